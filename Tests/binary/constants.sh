#!/usr/bin/env bash
# constants.sh HEADER [SWIFTC]
#
# Proves:  every constant of taskreg.h is a literal or a member of an enum, and each tool that makes bindings and
#          is here reads it, with the number that C gives it: cffi's parser, bindgen, cgo and Swift's importer.
# Why it matters: these tools leave out, without a word, a macro whose value is a cast or another macro; the
#          binding then repeats the number, and nobody compares the two.
# Catches: `#define TR_OK ((tr_status)0)`; `#define TR_WARN_NEVER UINT32_MAX`; an enum with a member that is computed.
#
# A tool that is not installed is left out, and named; the form of the constants is checked in any case.
source "$(dirname "$0")/common.bash"
header=$(realpath "$1") swiftc=${2:-swiftc}
constants=$(declared_constants "$header")
[ "$(wc -l <<<"$constants")" -gt 80 ] || fail "the constants of $header were not found"

# The form: nothing but a literal. Macros with parameters are for C, and so are the initialisers.
literal='-?(0x[0-9A-Fa-f]+|[0-9]+)[uUlL]*'
preprocessed=$(cc -E -P -dD -x c "$header")
odd=$(grep -E '^#define TR_[A-Z0-9_]+ ' <<<"$preprocessed" | grep -vE '^#define TR_[A-Z0-9_]+_INIT ' |
  grep -vE "^#define TR_[A-Z0-9_]+ +($literal|\"[^\"]*\") *$" || true)
[ -z "$odd" ] || fail "a constant is not one literal: $odd"
enums=$(grep -v '^#' <<<"$preprocessed" | tr '\n' ' ' | grep -oE '\benum [^;]*\}' | grep 'TR_')
odd=$(grep -vE '^enum \{' <<<"$enums" || true)
[ -z "$odd" ] || fail "an enum has a name, and so a type of its own: $odd"
odd=$(sed 's/^enum {//; s/}$//' <<<"$enums" | tr ',' '\n' | grep -vE "^ *TR_[A-Z0-9_]+ = $literal *$" || true)
[ -z "$odd" ] || fail "a member of an enum is not one literal: $odd"

# What C says.
{
  printf '#include <stdio.h>\n#include "%s"\nint main(void) {\n' "$header"
  for name in $constants; do printf '  printf("%s %%lld\\n", (long long)%s);\n' "$name" "$name"; done
  printf '  return 0;\n}\n'
} >"$scratch/c.c"
cc -Wall -Wextra -Werror "$scratch/c.c" -o "$scratch/c"
"$scratch/c" | sort >"$scratch/expected"

readers=C
compare() { # TOOL: compares what it read, in $scratch/read
  sort "$scratch/read" | diff "$scratch/expected" - >&2 || fail "$1 does not read every constant as C does"
  readers+=", $1"
}

if command -v bindgen >/dev/null; then
  bindgen --allowlist-var 'TR_.*' "$header" >"$scratch/bindings.rs" 2>"$scratch/log" || fail "bindgen: $(cat "$scratch/log")"
  tr '\n' ' ' <"$scratch/bindings.rs" | grep -oE 'pub const TR_[A-Z0-9_]+: [^=;]*= -?[0-9]+;' |
    sed -E 's/pub const (TR_[A-Z0-9_]+):.*= (-?[0-9]+);/\1 \2/' >"$scratch/read"
  compare bindgen
else
  readers+=' (no bindgen)'
fi

if command -v go >/dev/null; then
  {
    printf 'package main\n\n// #include "%s"\nimport "C"\nimport "fmt"\n\nfunc main() {\n' "$header"
    for name in $constants; do printf '\tfmt.Println("%s", int64(C.%s))\n' "$name" "$name"; done
    printf '}\n'
  } >"$scratch/constants.go"
  HOME=$scratch GOCACHE=${GOCACHE:-$scratch/go} GO111MODULE=off CGO_ENABLED=1 \
    go run "$scratch/constants.go" >"$scratch/read" || fail 'cgo does not read a constant'
  compare cgo
else
  readers+=' (no cgo)'
fi

python=
for candidate in python3 /usr/bin/python3; do
  "$candidate" -c 'import cffi' 2>/dev/null && python=$candidate && break
done
if [ -n "$python" ]; then
  # cffi wants declarations without a preprocessor: the literals, as they stand in the header, and the enums.
  { grep -E "^#define TR_[A-Z0-9_]+ +$literal *$" <<<"$preprocessed"; sed 's/$/;/' <<<"$enums"; } >"$scratch/constants.h"
  "$python" - "$scratch/constants.h" $constants >"$scratch/read" <<'EOF' || fail 'cffi does not read a constant'
import sys, cffi
ffi = cffi.FFI()
ffi.cdef(open(sys.argv[1]).read())
library = ffi.dlopen(None)
for name in sys.argv[2:]:
    print(name, getattr(library, name))
EOF
  compare cffi
else
  readers+=' (no cffi)'
fi

if command -v "$swiftc" >/dev/null; then
  {
    printf 'import CTaskReg\n'
    for name in $constants; do printf 'print("%s", Int64(%s))\n' "$name" "$name"; done
    # What a caller passes is of the parameter's type.
    printf 'let forever: Int64 = TR_FOREVER\nlet flag: UInt32 = TR_SPAWN_CLEANUP\nlet none: UInt32 = TR_IDLE_THREADS_NONE\n'
    printf 'precondition(forever == -1 && flag == 1 && none == .max)\n'
  } >"$scratch/constants.swift"
  "$swiftc" -swift-version 6 -I "$(dirname "$header")" -module-cache-path "$scratch/modules" "$scratch/constants.swift" \
    -o "$scratch/swift" || fail "Swift's importer does not read a constant"
  "$scratch/swift" >"$scratch/read"
  compare Swift
else
  readers+=' (no Swift)'
fi
printf '%s constants, read alike by %s\n' "$(wc -l <<<"$constants")" "$readers"
