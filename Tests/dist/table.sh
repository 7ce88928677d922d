#!/usr/bin/env bash
# table.sh PROGRAM PAGE
#
# Proves:  the table of system calls in PAGE, docs/platforms.md, is the one that PROGRAM, filters.c, runs under.
# Why it matters: people copy the table into filters; a row that nothing has tested kills their services.
# Catches: a call added in one place alone.
source "$(dirname "$0")/../binary/common.bash"
program=$1 page=$2
"$program" --table >"$scratch/table"
[ "$(wc -l <"$scratch/table")" -gt 5 ] || fail "$program writes no table"
awk '/^\| What \| System calls \|$/ { inside = 1 } inside && !/^\|/ { exit } inside' "$page" >"$scratch/page"
diff "$scratch/page" "$scratch/table" >&2 || fail "$page and $program differ; the table of the program is: $program --table"
