#!/usr/bin/env bash
# consumers.sh BUILD_FOLDER CMAKE CTEST GENERATOR LIBDIR CC CXX
#
# Proves:  what `cmake --install` puts under a prefix is found by find_package(taskreg) and by
#          pkg-config, from C and C++, shared and static, also with plain cc; the prefix can be moved
#          afterwards; DESTDIR is honoured; --strip strips.
# Catches: a path of the build or of the first prefix left in an installed file, a missing symbolic
#          link, a forgotten header, taskreg.pc without URL or License.
source "$(dirname "$0")/../binary/common.bash"
build=$1 cmake=$2 ctest=$3 generator=$4 libdir=$5 cc=$6 cxx=$7
here=$(cd "$(dirname "$0")" && pwd)

unset DESTDIR PKG_CONFIG_PATH PKG_CONFIG_LIBDIR LD_LIBRARY_PATH CMAKE_PREFIX_PATH
case $libdir in /*) skip "CMAKE_INSTALL_LIBDIR is absolute ($libdir): the prefix cannot be chosen" ;; esac

quietly() { # COMMAND…: shows the output only if it fails
  "$@" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; fail "$*"; }
}

# consume PREFIX: everything an outside project does with an installation.
consume() {
  local prefix=$1 via consumer program name
  name=$(basename "$prefix")
  for via in find_package pkg-config; do
    consumer=$scratch/consumer-$name-$via
    local where=(-DCMAKE_PREFIX_PATH="$prefix")
    [ "$via" = pkg-config ] && where=(-DCMAKE_PREFIX_PATH=)
    quietly env PKG_CONFIG_PATH="$([ "$via" = pkg-config ] && echo "$prefix/$libdir/pkgconfig")" \
      "$cmake" -S "$here/consumer" -B "$consumer" -G "$generator" -DVIA=$via "${where[@]}" \
      -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
      -DCMAKE_C_FLAGS='-Wall -Wextra -Werror -pedantic' -DCMAKE_CXX_FLAGS='-Wall -Wextra -Werror -pedantic'
    quietly "$cmake" --build "$consumer"
    for program in "$consumer"/consumer-*; do
      printf '%s, %s, %s: ' "$name" "$via" "$(basename "$program")"
      env LD_LIBRARY_PATH="$prefix/$libdir" "$program" || fail "$program ended with status $?"
    done
    ldd "$consumer/consumer-c" >"$scratch/ldd" 2>&1 || true
    [ "$via" != find_package ] || grep -q "libtaskreg.so.0 => $prefix/" "$scratch/ldd" ||
      fail "consumer-c does not load the library of the prefix: $(cat "$scratch/ldd")"
  done
  grep -q NODELETE <<<"$(readelf --dynamic --wide "$scratch/consumer-$name-find_package/libplugin.so")" ||
    fail 'a module with the archive inside can be unloaded under a live worker (P3)'
  for program in consumer-static consumer-static-cpp; do
    ! ldd "$scratch/consumer-$name-find_package/$program" | grep -q taskreg || fail "$program needs libtaskreg.so"
  done

  # By hand, without CMake.
  local flags
  flags=$(PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig" pkg-config --cflags --libs taskreg) ||
    fail 'pkg-config does not find taskreg'
  local field
  for field in Name Description URL Version License; do
    grep -qE "^$field: [^ ]" "$prefix/$libdir/pkgconfig/taskreg.pc" || fail "taskreg.pc has no $field"
  done
  # shellcheck disable=SC2086
  quietly "$cc" "$here/consumer/main.c" $flags -o "$scratch/by-pkg-config"
  printf '%s, cc $(pkg-config --cflags --libs taskreg): ' "$name"
  LD_LIBRARY_PATH="$prefix/$libdir" "$scratch/by-pkg-config" || fail "status $?"
  quietly "$cc" -I "$prefix/include" "$here/consumer/main.c" "$prefix/$libdir/libtaskreg.a" -pthread -o "$scratch/by-hand"
  printf '%s, cc main.c libtaskreg.a -pthread: ' "$name"
  "$scratch/by-hand" || fail "status $?"
  # A plug-in with the archive inside: the shared library is taken out of the way, so that -ltaskreg is that.
  mkdir -p "$scratch/archive-$name"
  cp "$prefix/$libdir/libtaskreg.a" "$scratch/archive-$name/"
  flags=$(PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig" pkg-config --static --libs taskreg)
  grep -q -- -pthread <<<"$flags" || fail 'pkg-config --static taskreg does not say -pthread'
  # shellcheck disable=SC2086
  quietly "$cc" -shared -fPIC -I "$prefix/include" "$here/consumer/plugin.c" -L "$scratch/archive-$name" $flags \
    -o "$scratch/plugin-$name.so"
  ! ldd "$scratch/plugin-$name.so" | grep -q taskreg || fail 'the plug-in has not the archive inside'
  grep -q NODELETE <<<"$(readelf --dynamic --wide "$scratch/plugin-$name.so")" ||
    fail 'pkg-config --static makes a plug-in that can be unloaded under a live worker (P3)'
}

quietly "$cmake" --install "$build" --prefix "$scratch/first"
for file in include/taskreg.h include/taskreg.hpp "$libdir/libtaskreg.so" "$libdir/libtaskreg.so.0" "$libdir/libtaskreg.a" \
  "$libdir/pkgconfig/taskreg.pc" "$libdir/cmake/taskreg/taskregConfig.cmake" \
  "$libdir/cmake/taskreg/taskregConfigVersion.cmake" share/taskreg/schema/{report,snapshot}.json \
  share/doc/libtaskreg/examples/{CMakeLists.txt,Makefile,01-hello.c} \
  share/doc/libtaskreg/examples-cpp/{CMakeLists.txt,01-hello.cpp}; do
  [ -e "$scratch/first/$file" ] || fail "$file is not installed"
done
[ -L "$scratch/first/$libdir/libtaskreg.so" ] && [ -L "$scratch/first/$libdir/libtaskreg.so.0" ] ||
  fail 'libtaskreg.so and libtaskreg.so.0 are not symbolic links'
# Without Python there are no manual pages; with it, they go with the library.
[ ! -d "$build/man" ] || for page in man3/tr_spawn.3 man3/tr_state_name.3 man7/taskreg.7; do
  [ -s "$scratch/first/share/man/$page" ] || fail "share/man/$page is not installed"
done
leaks=$(grep -rlF -e "$scratch" -e "$build" "$scratch/first/include" "$scratch/first/$libdir/pkgconfig" \
  "$scratch/first/$libdir/cmake" || true)
[ -z "$leaks" ] || fail "a path of the build or the prefix stands in: $leaks"

version=$(PKG_CONFIG_PATH="$scratch/first/$libdir/pkgconfig" pkg-config --modversion taskreg)
printf '#include <taskreg.h>\nTR_VERSION' | "$cc" -E -P -x c -I "$scratch/first/include" - | tail -1 | tr -d u |
  { read -r number; [ "$version" = "$((number >> 16)).$((number >> 8 & 255)).$((number & 255))" ]; } ||
  fail "taskreg.pc says $version, the header something else"

consume "$scratch/first"
mv "$scratch/first" "$scratch/moved"
consume "$scratch/moved"

# The examples are usable alone, from where they are installed: by find_package, by pkg-config, and by make.
examples=$scratch/moved/share/doc/libtaskreg/examples
quietly "$cmake" -S "$examples" -B "$scratch/examples" -G "$generator" \
  -DCMAKE_PREFIX_PATH="$scratch/moved" -DCMAKE_C_COMPILER="$cc"
quietly "$cmake" --build "$scratch/examples"
quietly "$ctest" --test-dir "$scratch/examples" --output-on-failure --no-tests=error -R 01-hello
quietly "$cmake" -S "$scratch/moved/share/doc/libtaskreg/examples-cpp" -B "$scratch/examples-cpp" -G "$generator" \
  -DCMAKE_PREFIX_PATH="$scratch/moved" -DCMAKE_CXX_COMPILER="$cxx"
quietly "$cmake" --build "$scratch/examples-cpp" --target example-cpp-01-hello
quietly "$ctest" --test-dir "$scratch/examples-cpp" --output-on-failure --no-tests=error -R 01-hello
export PKG_CONFIG_PATH="$scratch/moved/$libdir/pkgconfig"
quietly "$cmake" -S "$examples" -B "$scratch/examples-pc" -G "$generator" -DTASKREG_VIA_PKG_CONFIG=ON \
  -DCMAKE_C_COMPILER="$cc"
quietly "$cmake" --build "$scratch/examples-pc"
quietly "$ctest" --test-dir "$scratch/examples-pc" --output-on-failure --no-tests=error -R 01-hello
quietly make -C "$examples" CC="$cc" OUT="$scratch/examples-make" CFLAGS='-O1 -Werror'
unset PKG_CONFIG_PATH
quietly "$cmake" -DPROGRAM="$scratch/examples-make/01-hello" -DEXPECTED="$examples/expected/01-hello.txt" \
  -P "$examples/check.cmake"
built_by_make=$(find "$scratch/examples-make" -type f | wc -l)
built_by_cmake=$(find "$scratch/examples-pc" -maxdepth 1 -type f -name '[0-9][0-9]-*' | wc -l)
[ "$built_by_make" = "$built_by_cmake" ] || fail "make builds $built_by_make examples, CMake $built_by_cmake"
echo "moved, examples: $built_by_make built by CMake and by make, 01-hello passed"

# Staged, as a package is made; stripped.
quietly env DESTDIR="$scratch/stage" "$cmake" --install "$build" --prefix /opt/taskreg --strip
staged=$scratch/stage/opt/taskreg
[ -z "$(cd "$scratch/stage" && find . -type f -not -path './opt/taskreg/*')" ] || fail 'DESTDIR: files beside the prefix'
diff <(cd "$scratch/moved" && find . | sort) <(cd "$staged" && find . | sort) >"$scratch/log" ||
  fail "DESTDIR: other files than without it: $(cat "$scratch/log")"
! grep -q '\.debug_' <<<"$(readelf --section-headers --wide "$staged/$libdir/libtaskreg.so.0")" ||
  fail 'cmake --install --strip leaves debug sections'
consume "$staged"
