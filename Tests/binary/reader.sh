#!/usr/bin/env bash
# reader.sh [--write] SOURCES TABLE LIBRARY ARCHIVE
#
# Proves:  the table by which a program outside finds the registries of a process (ReaderTable) is what TABLE says: the
#          number of each of its words, the cookie, the layout, and, for that layout, the meaning of the bits of the words
#          that a record has. It is in the library and in the archive, in a section of its own, and stripping leaves it.
# Matters: `taskreg` of one release reads processes with the library of another.
# Catches: a word that is inserted among others or renumbered; a bit of TaskWord that moves while the layout stays; a table
#          that the linker leaves out.
#
# After an addition at the end, or a new layout, TABLE is written anew with --write, and then looked at.
source "$(dirname "$0")/common.bash"
write=false
if [ "$1" = --write ]; then write=true; shift; fi
sources=$1 table=$2 library=$3 archive=$4
machines=$sources/TrackedTasks/Machines

{
  sed -nE 's/^  case ([A-Za-z]+) = ([0-9]+)$/word \2 \1/p' "$machines/ReaderWord.swift"
  sed -nE 's/.*static var currentLayout: UInt64 \{ ([0-9]+) \}/layout \1/p' "$machines/ReaderWord.swift"
  grep -oE '0x[0-9A-F_]{19}' "$machines/ReaderWord.swift" | tr -d _ | sed 's/^/cookie /'
  for file in TaskWord GateWord TaskTraits CancelChecks; do
    sed -nE "s/^ *(private )?static (let|var) ([a-zA-Z]+)(: [A-Za-z0-9]+)? ?(= (.*)|\{ (.*) \})$/$file \3 \6\7/p" \
      "$machines/$file.swift"
    sed -nE "s/^ *case ([a-z]+) = ([0-9]+)$/$file \1 \2/p" "$machines/$file.swift"
  done
} >"$scratch/table"
[ "$(grep -c '^word' "$scratch/table")" -gt 60 ] && [ "$(grep -c '^cookie' "$scratch/table")" = 4 ] &&
  [ "$(grep -c '^TaskWord' "$scratch/table")" -gt 15 ] || fail "the words were not found in $machines"

if $write; then
  cp "$scratch/table" "$table"
  printf '%s: %s lines\n' "$table" "$(wc -l <"$table")"
  exit 0
fi
diff -u "$table" "$scratch/table" || fail "the table that taskreg reads is not that of $table; a word keeps its number and its
meaning, new ones come at the end, and anything else is a new layout: $0 --write after that"

# Numbers follow on each other, and the last is the end.
last=$(awk '$1 == "word" { if ($2 != next_ && NR > 1) { print "gap"; exit } next_ = $2 + 1; name = $3 } END { print name }' "$scratch/table")
[ "$last" = end ] || fail 'the words have gaps, or do not end with "end"'

words=$(awk '$3 == "end" { print $2 }' "$scratch/table")
cookie=$(awk '$1 == "cookie" { print substr($2, 3) }' "$scratch/table" | while read -r word; do
  fold -w 2 <<<"$word" | tac | tr -d '\n'
done | tr A-F a-f)
section() { # FILE: the bytes of the section, in hexadecimal
  objcopy -O binary --only-section=taskreg_root "$1" "$scratch/section" &&
    od -An -v -tx1 "$scratch/section" | tr -d ' \n'
}
check() { # FILE
  local bytes
  bytes=$(section "$1")
  [ "${bytes:0:64}" = "$cookie" ] || fail "$1 does not have the cookie in its section taskreg_root"
  [ ${#bytes} = $((words * 16)) ] || fail "the table in $1 has $((${#bytes} / 16)) words, not $words"
  [ -z "$(tr -d 0 <<<"${bytes:64}")" ] || fail "the table in $1 says something before the library has run"
}
check "$library"
strip --strip-all -o "$scratch/stripped.so" "$library"
check "$scratch/stripped.so"
archive=$(realpath "$archive")
(cd "$scratch" && ar x "$archive")
check "$scratch/taskreg.o"
printf '%s words; the cookie is in %s, stripped or not, and in %s\n' "$words" "$(basename "$library")" "$(basename "$archive")"
