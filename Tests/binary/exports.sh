#!/usr/bin/env bash
# exports.sh LIBRARY HEADER MAP [CC]
#
# Proves:  libtaskreg.so exports the functions that taskreg.h declares, each under the version node
#          the map gives it, and nothing else; both ways.
# Matters: an exported swift_retain would replace the real Swift runtime's in a host that has one.
# Catches: a map without `local: *`, a function declared but not exported (or the reverse), a
#          library linked without the map.
source "$(dirname "$0")/common.bash"
library=$1 header=$2 map=$3 cc=${4:-cc}

declared=$(declared_functions "$header" "$cc")
[ -n "$declared" ] || fail "no declared function was found in $header"

# "function@@NODE" for each function of the map.
mapped=$(sed -e ':a' -e 's:/\*[^*]*\*\+\([^/*][^*]*\*\+\)*/::g' -e '/\/\*/{N;ba' -e '}' "$map" |
  awk '/\{/ { node = $1 } { line = $0; while (match(line, /tr_[a-z0-9_]+;/)) {
    print substr(line, RSTART, RLENGTH - 1) "@@" node; line = substr(line, RSTART + RLENGTH) } }' | sort)
same_lists "$header" "$declared" "$map" "$(sed 's/@@.*//' <<<"$mapped" | sort)"

# GNU linkers make of a version node an absolute symbol of its own name, lld does not.
exported=$(nm --dynamic --extern-only --defined-only --with-symbol-versions "$library" | awk '$2 != "A" { print $3 }' | sort)
same_lists "$map" "$mapped" "$library" "$exported"

nodes=$(readelf --version-info --wide "$library" | sed -n '/^Version definition/,/^Version needs/p' |
  grep -v 'Flags: BASE' | sed -n 's/.*Flags:.*Name: //p' | sort)
same_lists "the nodes of $map" "$(sed 's/.*@@//' <<<"$mapped" | sort -u)" "the nodes of $library" "$nodes"
grep -qx 'TASKREG_0\.2' <<<"$nodes" || fail "there is no version node TASKREG_0.2"

kinds=$(nm --dynamic --extern-only --defined-only "$library" | awk '$2 != "A" { print $2 }' | sort -u | tr '\n' ' ')
[ "$kinds" = 'T ' ] || fail "symbols other than strong functions are exported: $kinds"

printf '%s functions, nodes: %s\n' "$(wc -l <<<"$declared")" "$(tr '\n' ' ' <<<"$nodes")"
