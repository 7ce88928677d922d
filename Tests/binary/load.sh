#!/usr/bin/env bash
# load.sh LIBRARY PROGRAM: loading and using libtaskreg.so changes no signal disposition and prints
# nothing (O2). PROGRAM is load-quietly, which says on stderr what it found.
source "$(dirname "$0")/common.bash"
library=$1 program=$2

status=0
"$program" "$library" >"$scratch/out" 2>"$scratch/err" </dev/null || status=$?
cat "$scratch/out" "$scratch/err"
[ "$status" = 0 ] || fail "load-quietly ended with status $status"
[ ! -s "$scratch/out" ] || fail 'something was printed on standard output'
[ ! -s "$scratch/err" ] || fail 'something was printed on standard error'
echo 'loaded, used and closed without a trace'
