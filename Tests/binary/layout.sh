#!/usr/bin/env bash
# layout.sh [--write] HEADER TABLE OLD_TABLE…
#
# Proves:  every structure of taskreg.h has the size and the fields, and every constant the value, that
#          TABLE says; and all that a release had (an OLD_TABLE each) is as it was then, but for
#          structures that have grown at their end (P4).
# Matters: a program holds sizes, offsets and numbers from the day it was compiled.
# Catches: a field that is inserted, widened or removed; a constant with another number.
#
# A table has a line for each: `size STRUCTURE BYTES`, `field STRUCTURE.FIELD OFFSET BYTES`,
# `constant NAME VALUE`. With --write it is written instead of compared: after an addition, and then to be
# looked at. With a release, its table is copied to layout-RELEASE.txt and is never touched again.
source "$(dirname "$0")/common.bash"
write=false
if [ "$1" = --write ]; then write=true; shift; fi
header=$1 table=$2
shift 2

# Each structure with its fields, one on a line, from the preprocessed header: "tr_outcome how".
fields=$(cc -E -P -x c "$header" | tr '\n' ' ' | grep -oE 'typedef struct tr_[a-z_]+ \{[^}]*\}' |
  while read -r _ _ structure body; do
    tr ';' '\n' <<<"$body" | sed -E 's/\[[^]]*\]//' | grep -oE '[a-z_0-9]+ *$' | sed "s/^/$structure /"
  done)
# Texts are not in the table: nothing lies where they say.
constants=$(declared_constants "$header")
[ "$(wc -l <<<"$fields")" -gt 50 ] && [ "$(wc -l <<<"$constants")" -gt 30 ] ||
  fail "the structures and constants of $header were not found"

{
  printf '#include <stdio.h>\n#include "%s"\nint main(void) {\n' "$(realpath "$header")"
  for structure in $(awk '{ print $1 }' <<<"$fields" | uniq); do
    printf '  printf("size %s %%zu\\n", sizeof(%s));\n' "$structure" "$structure"
  done
  while read -r structure field; do
    printf '  printf("field %s.%s %%zu %%zu\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s));\n' \
      "$structure" "$field" "$structure" "$field" "$structure" "$field"
  done <<<"$fields"
  for constant in $constants; do
    printf '  printf("constant %s %%lld\\n", (long long)(%s));\n' "$constant" "$constant"
  done
  printf '  return 0;\n}\n'
} >"$scratch/layout.c"
cc -Wall -Wextra -Werror "$scratch/layout.c" -o "$scratch/layout" || fail 'the program that prints the layout does not compile'
"$scratch/layout" >"$scratch/table"

if $write; then
  cp "$scratch/table" "$table"
  printf '%s: %s lines\n' "$table" "$(wc -l <"$table")"
  exit 0
fi
diff -u "$table" "$scratch/table" ||
  fail "the layout of $header is not that of $table; if it is meant to be: $0 --write $header $table"

for old in "$@"; do
  while read -r what name numbers; do
    # A structure may grow, and TR_VERSION has to.
    now=$(awk -v what="$what" -v name="$name" '$1 == what && $2 == name { print $3 ($4 == "" ? "" : " " $4) }' "$scratch/table")
    if [ "$what" = size ] || [ "$name" = TR_VERSION ]; then
      [ -n "$now" ] && [ "$now" -ge "$numbers" ] || fail "$what $name was $numbers in $old and is ${now:-gone}"
    else
      [ "$now" = "$numbers" ] || fail "$what $name was $numbers in $old and is ${now:-gone}"
    fi
  done <"$old"
done
printf '%s lines, as in %s; and all of %s\n' "$(wc -l <"$table")" "$(basename "$table")" "$(basename -a "$@" | tr '\n' ' ')"
