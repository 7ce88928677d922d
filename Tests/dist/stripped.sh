#!/usr/bin/env bash
# stripped.sh LIBRARY PROGRAM
#
# Proves:  with the library as packages install it, stripped of symbols and debug information, gdb goes from a function
#          of the program, which the library has called, through the library's frames to the function that called it;
#          and gdb has nothing to say about the library.
# Why it matters: a backtrace that ends in the library does not say who called it, in gdb, perf and crash reports alike.
# Catches: unwind tables that are in .debug_frame alone, or for some functions alone; a section that sends gdb looking for
#          a module of Swift's.
source "$(dirname "$0")/../binary/common.bash"
library=$1 program=$2
command -v gdb >/dev/null || skip 'there is no gdb'
strip --strip-all -o "$scratch/libtaskreg.so.0" "$library"
[ "$(nm "$scratch/libtaskreg.so.0" 2>/dev/null | wc -l)" = 0 ] || fail 'strip leaves symbols'
gdb -nx -batch -iex 'set debuginfod enabled off' -ex "set environment LD_PRELOAD $scratch/libtaskreg.so.0" -ex run -ex 'info sharedlibrary libtaskreg' -ex bt "$program" \
  >"$scratch/log" 2>&1 || true
! grep 'exited' "$scratch/log" || fail 'the program ended before it could be looked at'
grep -q 'received signal SIGTRAP' "$scratch/log" || skip "gdb may not run a program here: $(tail -1 "$scratch/log")"
grep -q "$scratch/libtaskreg.so.0" "$scratch/log" || { cat "$scratch/log" >&2; fail 'the program does not use the stripped library'; }
frames=$(sed -n 's/^#[0-9]* .*in \([a-z_][a-zA-Z_0-9]*\|??\) (.*/\1/p; s/^#[0-9]* *\([a-z_]*\) (.*/\1/p' "$scratch/log" | tr '\n' ' ')
case " $frames" in
  *' on_event '*' caller_of_the_library main '*) ;;
  *) cat "$scratch/log" >&2; fail "the frames are: $frames" ;;
esac
! grep -iE 'warning.*(taskreg|swift|module)' "$scratch/log" || fail 'gdb complains about the library'
printf 'stripped, gdb shows: %s\n' "$frames"
