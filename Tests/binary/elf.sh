#!/usr/bin/env bash
# elf.sh LIBRARY SONAME [LIMIT]
#
# LIMIT: how many bytes it may have, stripped.
#
# Proves:  libtaskreg.so needs libc alone and finds in it everything it calls; has its SONAME; cannot be
#          unloaded (P3); is hardened (full RELRO, bound at load, no executable stack, no text
#          relocations, no search path, stack protectors); asks of libc nothing but what imports.txt
#          lists: it reads no environment, opens no file but those of its threads in /proc, prints nothing
#          (O2); runs nothing of its own at load or at exit (P2); allocates nothing by way of the Swift
#          runtime.
# Matters: a C program must not be able to tell that the library is written in Swift.
# Catches: a Swift runtime or libm dependency, a dropped linker setting, a global initialiser, a String
#          where a StaticString was meant, a getenv, a print left from debugging.
source "$(dirname "$0")/common.bash"
library=$1 soname=$2 limit=${3:-820000}

dynamic=$(readelf --dynamic --wide "$library")
headers=$(readelf --program-headers --wide "$library")
sections=$(readelf --section-headers --wide "$library" | sed 's/^ *\[ *[0-9]*\] *//')

needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<<"$dynamic")
# Before glibc 2.34 a part of libc is in libpthread.
others=$(grep -vE '^(libc\.so\.[0-9]+|libpthread\.so\.0|ld-linux.*\.so\.[0-9]+)$' <<<"$needed" || true)
[ -z "$others" ] || fail "it needs more than libc: $(tr '\n' ' ' <<<"$others")"

resolved=$(ldd -r "$library" 2>&1)
! grep -q 'undefined symbol' <<<"$resolved" ||
  fail "it calls what libc does not have: $(grep 'undefined symbol' <<<"$resolved")"
! grep -q 'not found' <<<"$resolved" || fail "ldd: $(grep 'not found' <<<"$resolved")"
! grep -qi swift <<<"$(cut -d'>' -f2 <<<"$resolved" | grep -F '.so')" || fail "ldd names a Swift library: $resolved"

# What is undefined, strong and without a version belongs to no library that is needed.
foreign=$(nm --dynamic --undefined-only --with-symbol-versions "$library" | awk '$1 == "U" && $2 !~ /@/ { print $2 }')
[ -z "$foreign" ] || fail "undefined without a version: $(tr '\n' ' ' <<<"$foreign")"

grep -qF "Library soname: [$soname]" <<<"$dynamic" || fail "its SONAME is not $soname"
grep -q 'FLAGS_1.*NODELETE' <<<"$dynamic" || fail 'it is not linked -z nodelete'
grep -q 'GNU_RELRO' <<<"$headers" || fail 'it has no RELRO segment; link with -z relro'
grep -qE '\(BIND_NOW\)|FLAGS\).*BIND_NOW|FLAGS_1.*NOW' <<<"$dynamic" || fail 'it is not linked -z now'
grep -E 'GNU_STACK' <<<"$headers" | grep -q 'RW ' || fail 'it asks for an executable stack'
! grep -q 'RWE' <<<"$headers" || fail 'a segment is writable and executable'
! grep -q 'TEXTREL' <<<"$dynamic" || fail 'it has text relocations'
! grep -qE '\((RPATH|RUNPATH)\)' <<<"$dynamic" || fail 'it has a library search path, and needs none'

# What it asks of libc.
allowed=$(sed 's/#.*//' "$(dirname "$0")/imports.txt" | tr -s ' ' '\n' | sed '/^$/d' | sort)
imported=$(nm --dynamic --undefined-only "$library" | awk '{ sub(/@.*/, "", $NF); print $NF }' | sort)
[ "$(wc -l <<<"$imported")" -gt 30 ] || fail 'no imports were found'
more=$(comm -13 <(printf '%s\n' "$allowed") <(printf '%s\n' "$imported") | tr '\n' ' ')
[ -z "$more" ] || fail "it imports what imports.txt does not list: $more"

# The shims are C that is compiled into the Swift functions that call them. Those with an array on the
# stack, which are these, have a stack protector; so have dozens of Swift's own.
calls=$(objdump --disassemble --no-show-raw-insn "$library" | awk '
  /^[0-9a-f]+ <.*>:$/ { name = $2; next } match($0, /<[a-z_]+@plt>/) { print name, substr($0, RSTART + 1, RLENGTH - 6) }')
protected=$(awk '$2 == "__stack_chk_fail" { print $1 }' <<<"$calls" | sort -u)
[ "$(wc -l <<<"$protected")" -ge 20 ] || fail "only $(wc -l <<<"$protected") functions have a stack protector"
shims=$(awk '$2 == "sched_getaffinity" || $1 ~ /pollDescriptor/ { print $1 }' <<<"$calls" | sort -u)
[ -n "$shims" ] || fail 'no function with a shim that has an array was found'
bare=$(comm -13 <(printf '%s\n' "$protected") <(printf '%s\n' "$shims") | tr '\n' ' ')
[ -z "$bare" ] || fail "these have an array on the stack and no stack protector: $bare"

# Code run at load and at exit: the compiler's own frame_dummy and __do_global_dtors_aux.
entries() { # ARRAY: the functions that section ARRAY points to
  local address size
  read -r address size < <(awk -v name="$1" '$1 == name { print $3, $5 }' <<<"$sections") || return 0
  readelf --relocs --wide "$library" |
    awk -v from=$((16#$address)) -v to=$((16#$address + 16#$size)) '
      function hex(text, i, value) {
        for (i = 1; i <= length(text); i++)
          value = value * 16 + index("0123456789abcdef", tolower(substr(text, i, 1))) - 1
        return value
      }
      $1 ~ /^[0-9a-f]+$/ && hex($1) >= from && hex($1) < to { print $NF }' |
    while read -r target; do
      nm "$library" | awk -v at="$target" '{ sub(/^0+/, "", $1) } $1 == at { name = $3 } END { print name == "" ? "?" at : name }'
    done
}
at_load=$(entries .init_array)
at_exit=$(entries .fini_array)
same_lists 'what the compiler runs at load' frame_dummy 'what the library runs at load' "$at_load"
same_lists 'what the compiler runs at exit' __do_global_dtors_aux 'what the library runs at exit' "$at_exit"
! grep -qE '^\.(ctors|dtors|preinit_array) ' <<<"$sections" || fail 'it has .ctors, .dtors or .preinit_array'

# What the Swift runtime allocates and counts. Nothing of ours may call it: it ends the process when
# memory runs out, where taskreg.h promises TR_ERR_NOMEM.
callers=$(objdump --disassemble --no-show-raw-insn "$library" | awk '
  /^[0-9a-f]+ <.*>:$/ { name = $2; ours = name ~ /^<(tr_|_?\$[es]13TaskRegistryC)/ }
  ours && /<swift_(alloc|retain|release|bridgeObject|isUnique|slowAlloc)/ { print name, $NF }' | sort -u)
[ -z "$callers" ] || fail "these call the Swift runtime's allocator: $callers"
# (and the pattern knows what it looks for)
grep -qE ' t _?\$[es]13TaskRegistryC' <(nm "$library") || fail 'no function of module TaskRegistryC was found by its name'

strip --strip-unneeded -o "$scratch/stripped.so" "$library"
size=$(stat -c %s "$scratch/stripped.so")
[ "$size" -lt $limit ] || fail "stripped it takes $size bytes; $limit is the limit"

# Every function has its unwind table in .eh_frame, which stripping leaves: none is described in .debug_frame alone.
frames=$(readelf --debug-dump=frames "$library" 2>/dev/null |
  awk '/^Contents of the/ { section = $4 } / FDE / { count[section]++ } END { print count[".eh_frame"] + 0, count[".debug_frame"] + 0 }')
[ "${frames#* }" = 0 ] || fail "${frames#* } functions have no unwind table in .eh_frame"
functions=$(nm "$library" | grep -cE ' [tT] (_?\$[es]13TaskRegistryC|tr_)')
[ "${frames% *}" -ge "$functions" ] || fail "there are ${frames% *} unwind tables in .eh_frame, for $functions functions"

printf 'needs %s; %s bytes stripped; newest libc symbol version: %s\n' "$(tr '\n' ' ' <<<"$needed")" "$size" \
  "$(nm --dynamic --undefined-only --with-symbol-versions "$library" | grep -oE 'GLIBC_[0-9.]+' | sort -uV | tail -1)"
