#!/usr/bin/env bash
# archive.sh ARCHIVE HEADER OBJCOPY [TOOLCHAIN_CLANG]
#
# Proves:  libtaskreg.a defines the functions of taskreg.h as its only global symbols, all strong; links
#          with a plain `cc main.c libtaskreg.a -pthread` under every compiler and linker at hand,
#          position-independent or not, into shared objects and into static programs, without a
#          warning; and two copies of it (as two Embedded libraries would) live in one program.
# Matters: a weak swift_retain left global would be merged with somebody else's at the user's link.
# Catches: a symbol not localised, a COMDAT group, an auto-link section, a need for more than libc.
source "$(dirname "$0")/common.bash"
archive=$1 header=$2 objcopy=$3 clang=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
folder=$(dirname "$header")

declared=$(declared_functions "$header")
same_lists "$header" "$declared" "the global symbols of $archive" \
  "$(nm --extern-only --defined-only "$archive" | awk 'NF == 3 { print $3 }' | sort)"
kinds=$(nm --extern-only --defined-only "$archive" | awk 'NF == 3 { print $2 }' | sort -u | tr '\n' ' ')
[ "$kinds" = 'T ' ] || fail "it defines symbols other than strong functions: $kinds"
global_weak=$(readelf --syms --wide "$archive" | awk '$5 == "WEAK" && $7 != "UND" { print $8 }' | head -5 | tr '\n' ' ')
[ -z "$global_weak" ] || fail "weak definitions are left: $global_weak"
! grep -q 'COMDAT' <<<"$(readelf --section-groups --wide "$archive")" || fail 'it has COMDAT groups'
kept=$(readelf --section-headers --wide "$archive" |
  { grep -oE '\.swift1_autolink_entries|\.linker-options|\bswift5_[a-z]+' || true; } | sort -u | tr '\n' ' ')
[ -z "$kept" ] || fail "sections meant for the Swift toolchain are left: $kept"
grep -q 'note.GNU-stack' <<<"$(readelf --section-headers --wide "$archive")" ||
  fail 'it does not say that it needs no executable stack'

# build COMPILER ARGUMENT…: link a program and run it; any warning of the linker is an error.
count=0
build() {
  "$@" -Wl,--fatal-warnings -I "$folder" -o "$scratch/program" 2>"$scratch/log" ||
    { cat "$scratch/log" >&2; fail "$*"; }
  "$scratch/program" || fail "the program made with '$*' ended with status $?"
  count=$((count + 1))
}

# Each compiler once, whatever names it has; called by its name, which may be a launcher's link.
compilers=$(for c in cc gcc clang "$clang"; do
  path=$(command -v "${c:-none}") && printf '%s %s\n' "$(readlink -f "$path")" "$path"
done | awk '!seen[$1]++ { print $2 }')
for cc in $compilers; do
  build "$cc" "$here/use-archive.c" "$archive" -pthread
  build "$cc" -fno-pie -no-pie "$here/use-archive.c" "$archive" -pthread
  build "$cc" -O2 -Wl,--gc-sections "$here/use-archive.c" "$archive" -pthread
  for linker in bfd gold lld; do
    echo 'int main(void) { return 0; }' >"$scratch/empty.c"
    "$cc" -fuse-ld=$linker "$scratch/empty.c" -o "$scratch/empty" 2>/dev/null || continue
    build "$cc" -fuse-ld=$linker "$here/use-archive.c" "$archive" -pthread
  done
done

cc=$(head -1 <<<"$compilers")
if "$cc" -static "$scratch/empty.c" -o "$scratch/empty" 2>/dev/null; then
  build "$cc" -static "$here/use-archive.c" "$archive" -pthread
fi

# Inside somebody's shared object.
"$cc" -shared -fPIC -DNO_MAIN "$here/use-archive.c" "$archive" -pthread -I "$folder" -Wl,-z,defs -Wl,-z,nodelete \
  -Wl,--fatal-warnings -o "$scratch/libinside.so"
printf 'int use_library(void);\nint main(void) { return use_library(); }\n' >"$scratch/outside.c"
build "$cc" "$scratch/outside.c" -L "$scratch" -linside -Wl,-rpath,"$scratch"

# Two copies, the second under other names: whatever is not tr_* must not meet.
cp "$archive" "$scratch/renamed.a"
sed 's/^tr_\(.*\)$/tr_\1 renamed_\1/' <<<"$declared" >"$scratch/renames"
"$objcopy" --redefine-syms="$scratch/renames" "$scratch/renamed.a"
"$cc" -DRENAMED -I "$folder" -c "$here/use-archive.c" -o "$scratch/renamed.o"
build "$cc" -DBOTH "$here/use-archive.c" "$scratch/renamed.o" \
  -Wl,--whole-archive "$archive" "$scratch/renamed.a" -Wl,--no-whole-archive -pthread

printf '%s functions; linked and run in %s ways with: %s\n' "$(wc -l <<<"$declared")" "$count" "$(tr '\n' ' ' <<<"$compilers")"
