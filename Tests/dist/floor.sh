#!/usr/bin/env bash
# floor.sh LIBRARY FLOOR
#
# Proves:  LIBRARY asks for no version of glibc's symbols newer than FLOOR, such as 2.30, by its table of needed
#          versions, which is what the loader looks at.
# Why it matters: a library that needs one newer symbol is not loaded at all on an older system, whoever calls it.
# Catches: a call of a function that only a newer glibc has, such as arc4random_buf (2.36) or sigabbrev_np (2.32).
source "$(dirname "$0")/../binary/common.bash"
library=$1 floor=$2
needed=$(readelf --version-info --wide "$library" | sed -n 's/.*Name: GLIBC_\([0-9.]*\) .*/\1/p' | sort -uV)
[ -n "$needed" ] || fail "$library names no version of glibc"
newest=$(tail -1 <<<"$needed")
if [ "$(printf '%s\n' "$floor" "$newest" | sort -V | tail -1)" != "$floor" ]; then
  symbols=$(nm --dynamic --undefined-only --with-symbol-versions "$library" | awk -v floor="$floor" '
    match($NF, /@GLIBC_[0-9.]+$/) {
      split(substr($NF, RSTART + 7), v, "."); split(floor, f, ".")
      if (v[1] > f[1] || (v[1] == f[1] && v[2] + 0 > f[2] + 0)) printf "%s ", $NF }')
  fail "it needs glibc $newest, where $floor is the floor: $symbols"
fi
printf 'the newest version it asks for is %s; the floor is %s\n' "$newest" "$floor"
