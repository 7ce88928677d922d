#!/usr/bin/env bash
# width.sh FILE…: no line of the headers is wider than .editorconfig says.
#
# Proves: each line of taskreg.h, taskreg.hpp and the C of the core has at most 100 columns.
# Why it matters: the headers are read in terminals and side by side; an overlong line wraps in the middle of a comment.
# Catches: a declaration or a comment that grew, as by a rename.
set -Eeuo pipefail

# too_wide FILE…: prints each line of more than 100 characters.
too_wide() {
  awk 'FNR == 1 { files++ }
    { line = $0; gsub(/[\200-\277]/, "", line) } # the rest of each character of UTF-8
    length(line) > 100 { print FILENAME ":" FNR ": " length(line) " columns" }
    END { if (files < ARGC - 1) print "a file is empty" }' "$@"
}

export LC_ALL=C
exact=$(printf '%0100d' 0)
[ -z "$(too_wide <(printf '%s\n%s\303\251\n' "$exact" "${exact%0}"))" ] || { echo 'a line of 100 columns is found'; exit 1; }
[ -n "$(too_wide <(printf '%s0\n' "$exact"))" ] || { echo 'a line of 101 columns is not found'; exit 1; }

found=$(too_wide "$@")
[ -z "$found" ] || { echo "$found"; exit 1; }
echo "$# files, no line over 100 columns"
