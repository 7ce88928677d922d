#!/usr/bin/env bash
# abi.sh LIBRARY HEADER MAP
# abi.sh --write HEADER MAP BASELINE
#
# Proves:  nothing of what release 0.2 had is gone or different, by abidiff (Debian: abigail-tools): the
#          functions and their version nodes, every parameter and every type they reach; but for
#          structures that have grown at their end (abi.suppr). And a program compiled and linked
#          against 0.2 as it was runs with LIBRARY (P4).
# Matters: the SONAME promises that programs need not be compiled again.
# Catches: a parameter of another type, a function moved to another node, a structure whose size is
#          not looked at, a field written that the program does not have.
#
# Swift's debug information says nothing of C types. So abidiff sees, for each release, a library made of
# its header and its version script alone, whose functions do nothing; that the real library exports the
# same symbols under the same nodes is compared here and in exports.sh.
#
# taskreg-0.2.h is the header of that release without its comments, and taskreg-0.2.abi its interface; freeze.sh wrote both.
# With the next release another pair is added, and the loop below goes through both.
source "$(dirname "$0")/common.bash"
here=$(cd "$(dirname "$0")" && pwd)

# interface HEADER MAP LIBRARY: makes a library with the interface of a header and no code.
interface() {
  cp "$1" "$scratch/taskreg.h"
  {
    printf '#include "taskreg.h"\n'
    # Every declaration, as a definition that does not return. Each parameter has a name.
    cc -E -P -x c -D'__attribute__(x)=' "$1" | tr '\n' ' ' | tr ';' '\n' |
      grep -E '\btr_[a-z_]+ *\(' | grep -v typedef | sed 's/.*}//; s/$/ { for (;;) {} }/'
  } >"$scratch/interface.c"
  cc -g -O0 -shared -fPIC -w -fdebug-prefix-map="$scratch"=. -I "$scratch" "$scratch/interface.c" -Wl,--version-script="$2" \
    -Wl,-soname,libtaskreg.so.0 -o "$3" || fail "the interface of $1 does not compile"
}

# describe LIBRARY ABI: what abidw finds in it, without anything of this machine.
describe() {
  abidw --no-corpus-path --no-comp-dir-path --no-show-locs --drop-undefined-syms "$1" >"$2"
}

if [ "$1" = --write ]; then
  interface "$2" "$3" "$scratch/interface.so"
  describe "$scratch/interface.so" "$4"
  exit 0
fi
library=$1 header=$2 map=$3
release=0.2

# A program from then, linked with the library of then, runs with today's.
{
  printf 'TASKREG_%s {\n  global:\n' $release
  declared_functions "$here/taskreg-$release.h" | sed 's/.*/    &;/'
  printf '  local:\n    *;\n};\n'
} >"$scratch/$release.map"
mkdir "$scratch/then"
interface "$here/taskreg-$release.h" "$scratch/$release.map" "$scratch/then/libtaskreg.so"
cc -std=c11 -Wall -Wextra -Werror -I "$scratch" "$here/use-$release.c" -L "$scratch/then" -ltaskreg -pthread \
  -o "$scratch/program" || fail "a program for $release does not link with the interface of $release"
ln -s "$(realpath "$library")" "$scratch/libtaskreg.so.0"
LD_LIBRARY_PATH=$scratch timeout 60 "$scratch/program" ||
  fail "a program compiled against taskreg.h of $release fails with $library (status $?)"

command -v abidiff >/dev/null || skip 'abidiff is not installed (Debian: abigail-tools); all the rest holds'

# The symbols of then are in the library, under their nodes.
described=$(sed -n "s/.*<elf-symbol name='\([^']*\)' version='\([^']*\)'.*/\1@@\2/p" "$here/taskreg-$release.abi" | sort)
[ "$(wc -l <<<"$described")" -gt 30 ] || fail "taskreg-$release.abi describes no symbols"
exported=$(nm --dynamic --extern-only --defined-only --with-symbol-versions "$library" | awk '{ print $3 }' | sort)
gone=$(comm -23 <(printf '%s\n' "$described") <(printf '%s\n' "$exported") | tr '\n' ' ')
[ -z "$gone" ] || fail "release $release exported what $library does not: $gone"

interface "$header" "$map" "$scratch/now.so"
describe "$scratch/now.so" "$scratch/now.abi"
abidiff --no-added-syms --suppressions "$here/abi.suppr" "$here/taskreg-$release.abi" "$scratch/now.abi" ||
  fail "the interface of release $release has changed; what abidiff found is above"
printf '%s symbols of %s and all types they reach are as they were\n' "$(wc -l <<<"$described")" $release
