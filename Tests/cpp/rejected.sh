#!/usr/bin/env bash
# rejected.sh COMPILER: each wrong use in rejected.cpp is rejected, for the reason given there; the right ones compile.
#
# Proves: a reference for a detached task, a handle that is copied, a result that nobody gets, a number without a unit
# and the like do not compile (U6).  Why it matters: each is a defect at run time otherwise.  Catches: a static_assert
# that has gone, an implicit conversion too many.
set -Eeuo pipefail
cd "$(dirname "$0")"
compiler=$1
failed=0
messages=$(mktemp)
trap 'rm -f "$messages"' EXIT
compile() { # NUMBER
  "$compiler" -std=c++17 -fsyntax-only -Wall -Wextra -Werror -Wno-unused-variable -Wno-unused-but-set-variable -DREJECT="$1" \
    -I../../include rejected.cpp >"$messages" 2>&1
}
compile 0 || { cat "$messages"; echo "what is right does not compile"; exit 1; }
count=0
while IFS=$'\t' read -r number reason; do
  count=$((count + 1))
  if compile "$number"; then
    echo "wrong use $number compiles; expected: $reason"
    failed=1
  elif ! grep -qE "$reason" "$messages"; then
    echo "wrong use $number is rejected for another reason than: $reason"
    head -20 "$messages"
    failed=1
  fi
done < <(sed -n 's:^#elif REJECT == \([0-9]*\) // \(.*\)$:\1\t\2:p' rejected.cpp)
echo "$count wrong uses"
[ "$count" -ge 18 ] && [ $failed = 0 ]
