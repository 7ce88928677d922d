#!/usr/bin/env bash
# same.sh FROM_SWIFT FROM_ASSEMBLY FOLDER_OF_HEADER
#
# Proves:  the library built from a release's assembly is the one built with Swift, as far as a program can tell: the
#          same functions under the same version nodes, the same functions asked of libc, the same SONAME, the same
#          flags, needed libraries and hardening; an unwind table for every function; frame pointers in as many; and
#          abidiff finds no difference.
# Why it matters: two libraries with one SONAME are exchanged for one another by a package's upgrade.
# Catches: a function that portable-assembly loses, a linker setting of Package.swift that TaskregPrebuilt.cmake lacks, a
#          weak reference that became strong, .eh_frame dropped with the debug information, an option of SwiftPM's that
#          packaging/prebuilt/generate lacks.
source "$(dirname "$0")/../binary/common.bash"
swift=$1 assembly=$2

symbols() { # LIBRARY: each dynamic symbol with its kind and node; glibc's nodes are those of the machine that linked it
  nm --dynamic --with-symbol-versions "$1" | awk '$(NF - 1) != "A" { sub(/@GLIBC.*/, "", $NF); print $(NF - 1), $NF }' | sort -u
}
same_lists "$swift" "$(symbols "$swift")" "$assembly" "$(symbols "$assembly")"
[ "$(symbols "$swift" | grep -c ' tr_')" -gt 100 ] || fail "$swift exports hardly any function"

settings() { # LIBRARY: what it tells the loader
  readelf --dynamic --wide "$1" | sed -n 's/.*(\(SONAME\|NEEDED\|FLAGS\|FLAGS_1\|BIND_NOW\|TEXTREL\|RUNPATH\|RPATH\))/\1/p' |
    tr -s ' ' | grep -v '^BIND_NOW' | sort
  readelf --program-headers --wide "$1" | awk '/GNU_STACK|GNU_RELRO/ { print $1, $7 }'
}
same_lists "$swift" "$(settings "$swift" | sort)" "$assembly" "$(settings "$assembly" | sort)"

# Every function, by its own symbol, lies within an unwind table of .eh_frame.
frames() { # LIBRARY: the first and the last address of each table, as numbers
  readelf --debug-dump=frames --wide "$1" 2>/dev/null | sed -n 's/.* FDE .*pc=\([0-9a-f]*\)\.\.\([0-9a-f]*\).*/\1 \2/p'
}
unwound() {
  { frames "$1" | sed 's/^/frame /'; nm --defined-only "$1" | awk '$2 ~ /[tT]/ { print "function", $1, $3 }'; } |
    python3 -c '
import sys
frames, functions = [], []
for line in sys.stdin:
    words = line.split()
    if words[0] == "frame":
        frames.append((int(words[1], 16), int(words[2], 16)))
    else:
        functions.append((int(words[1], 16), words[2]))
# What the C compiler itself puts at the ends of every library.
own = {"_init", "_fini", "deregister_tm_clones", "register_tm_clones", "__do_global_dtors_aux", "frame_dummy"}
bare = [name for address, name in functions
        if name not in own and not any(first <= address < last for first, last in frames)]
if len(frames) < 500 or bare:
    sys.exit(f"{len(frames)} unwind tables for {len(functions)} functions; without: {bare[:5]}")
print(f"{len(frames)} unwind tables for {len(functions)} functions")'
}
unwound "$assembly" || fail "a function of $assembly has no unwind table"

# By the instruction that sets it, on x86-64. Profilers that follow them end where a function has none.
pointers() { objdump --disassemble --no-show-raw-insn "$1" | grep -cE '\bmov +%rsp,%rbp$' || true; }
if [ "$(uname -m)" = x86_64 ]; then
  from_swift=$(pointers "$swift") from_assembly=$(pointers "$assembly")
  [ "$from_swift" -gt 500 ] || fail "hardly any function of $swift sets a frame pointer"
  [ $((from_assembly * 100)) -gt $((from_swift * 95)) ] ||
    fail "$from_assembly functions of $assembly set a frame pointer, and $from_swift of $swift"
fi

if command -v abidiff >/dev/null; then
  abidiff --headers-dir1 "$3" --headers-dir2 "$3" "$swift" "$assembly" >"$scratch/abidiff" 2>&1 ||
    { cat "$scratch/abidiff" >&2; fail 'abidiff finds a difference'; }
  echo 'abidiff: no difference'
fi
printf '%s symbols and %s settings are the same\n' "$(symbols "$swift" | wc -l)" "$(settings "$swift" | wc -l)"
