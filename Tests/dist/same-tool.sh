#!/usr/bin/env bash
# same-tool.sh FROM_SWIFT FROM_ASSEMBLY
#
# Proves:  the command taskreg built from a release's assembly is the one built with Swift, as far as its files say: it asks
#          the same functions of libc, needs the same libraries, is as hardened, runs at any address, and exports nothing.
# Why it matters: it is copied to machines where nothing else of the release is.
# Catches: a linker setting of Package.swift that TaskregPrebuilt.cmake lacks, a function that portable-assembly loses or renames.
source "$(dirname "$0")/../binary/common.bash"
swift=$1 assembly=$2

# What the linkers' own start files ask for differs, and is weak or has two underscores.
imports() { nm --dynamic --undefined-only "$1" | awk '$1 == "U" { sub(/@.*/, "", $2); print $2 }' | grep -v '^__' | sort -u; }
[ "$(imports "$swift" | wc -l)" -gt 20 ] || fail "$swift asks hardly anything of libc"
same_lists "$swift" "$(imports "$swift")" "$assembly" "$(imports "$assembly")"
for tool in "$swift" "$assembly"; do
  dynamic=$(readelf --dynamic --wide "$tool")
  [ "$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic" | grep -vcE '^(libc\.so\.6|libpthread\.so\.0|ld-linux.*\.so\.[0-9]+)$')" = 0 ] ||
    fail "$tool needs more than libc"
  grep -q 'FLAGS_1.*NOW.*PIE' <<<"$dynamic" || fail "$tool is not bound when it is loaded, or not for any address"
  ! grep -qE '\((RPATH|RUNPATH|TEXTREL)\)' <<<"$dynamic" || fail "$tool has a search path or relocations in its code"
  readelf --program-headers --wide "$tool" | grep -q GNU_RELRO || fail "$tool has no RELRO segment"
  [ "$(readelf --program-headers --wide "$tool" | awk '/GNU_STACK/ { print $7 }')" = RW ] || fail "the stack of $tool is executable"
  exported=$(nm --dynamic --defined-only "$tool" | awk '{ print $3 }' | grep -E '^(tr_|swift_|_?\$s)' | tr '\n' ' ' || true)
  [ -z "$exported" ] || fail "$tool exports $exported"
done
printf '%s functions of libc are the same; %s bytes from Swift, %s from the assembly\n' "$(imports "$swift" | wc -l)" \
  "$(stat -c %s "$swift")" "$(stat -c %s "$assembly")"
