#!/usr/bin/env bash
# compilers.sh LIBRARY_FOLDER WORK_FOLDER: the tests of taskreg.hpp with every compiler, standard library and standard that
# is installed here, beside those that CMake uses. Exit status 77 if there is only one compiler.
#
# Proves: the header is C++17, 20 and 23 for gcc and clang, with libstdc++ and with libc++, with and without exceptions and
# RTTI, and linked with LTO, as a static-pie and out of the archive (U6).  Why it matters: a header is compiled by
# whoever includes it.  Catches: what one compiler lets pass.
set -Eeuo pipefail
library=$(realpath "$1") work=$(realpath "$2")/compilers
cd "$(dirname "$0")"
mkdir -p "$work"
warnings=(-Wall -Wextra -Wconversion -Wold-style-cast -Wshadow -pedantic -Werror)
shared=(-L"$library" "-Wl,-rpath,$library" -ltaskreg)
failed=0 ran=0

try() { # NAME SOURCE LIBRARIES… -- COMMAND…
  local name=$1 source=$2 libraries=()
  shift 2
  while [ "$1" != -- ]; do libraries+=("$1"); shift; done
  shift
  command -v "$1" >/dev/null || return 0
  ran=$((ran + 1))
  if ! "$@" "${warnings[@]}" -I../../include -isystem ../c "$source.cpp" -o "$work/$name" "${libraries[@]}" -pthread \
    >"$work/$name.log" 2>&1; then
    echo "FAILED to compile: $name"
    head -30 "$work/$name.log"
    failed=1
  elif ! timeout 300 "$work/$name" >"$work/$name.log" 2>&1; then
    echo "FAILED: $name"
    tail -5 "$work/$name.log"
    failed=1
  else
    echo "ok $name: $(tail -1 "$work/$name.log")"
  fi
}

clang=clang++
for candidate in clang++-14 clang++-15 clang++-16 clang++-19; do
  command -v $candidate >/dev/null && clang=$candidate
done
libcxx=false
echo '#include <optional>' >"$work/probe.cpp"
$clang -stdlib=libc++ -fsyntax-only "$work/probe.cpp" 2>/dev/null && libcxx=true

for program in tasks timeouts scopes stop services; do
  try $program-gcc-23 $program "${shared[@]}" -- g++ -std=c++23 -O1
  try $program-clang-17 $program "${shared[@]}" -- $clang -std=c++17 -O1
  try $program-clang-plain $program "${shared[@]}" -- $clang -std=c++20 -O1 -fno-exceptions -fno-rtti
  if $libcxx; then try $program-libc++ $program "${shared[@]}" -- $clang -stdlib=libc++ -std=c++2b -O1; fi
done
if [ -e "$library/libtaskreg.a" ]; then
  try scopes-static-pie scopes "$library/libtaskreg.a" -- g++ -std=c++20 -O2 -flto -static-pie
  try scopes-static scopes "$library/libtaskreg.a" -- g++ -std=c++17 -O2 -static
fi
echo "$ran programs"
[ $failed = 0 ] || exit 1
[ $ran -gt 6 ] || exit 77
