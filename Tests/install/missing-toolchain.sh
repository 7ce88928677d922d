#!/usr/bin/env bash
# missing-toolchain.sh SOURCE_FOLDER CMAKE GENERATOR MAKE_PROGRAM
#
# Proves:  where Swift, pkg-config or pthread-stubs is missing, or Swift too old or another program of
#          that name, configuring stops with one message that names it and says what to install; and
#          so where a release's assembly is asked for and is not there.
# Catches: a second error after the first, CMake's own wording, a message without a remedy.
source "$(dirname "$0")/../binary/common.bash"
source_folder=$1 cmake=$2 generator=$3 make_program=$4

unset CMAKE_PREFIX_PATH PKG_CONFIG_PATH PKG_CONFIG_LIBDIR PKG_CONFIG
real_pkg_config=$(command -v pkg-config)
binutils=$(command -v ld) objcopy=$(command -v objcopy)

# tools CASE [NAME=PROGRAM]…: a folder to be the whole PATH.
tools() {
  local folder=$scratch/$1/bin pair
  mkdir -p "$folder"
  ln -s "$binutils" "$folder/ld"
  ln -s "$objcopy" "$folder/objcopy"
  shift
  for pair in "$@"; do ln -s "${pair#*=}" "$folder/${pair%%=*}"; done
}

# fails CASE [VARIABLE=VALUE]… -- TEXT…: configuring in CASE fails with one error with each TEXT in it.
fails() {
  local case=$1 log=$scratch/$1/log environment=() text
  shift
  while [ "$1" != -- ]; do environment+=("$1"); shift; done
  shift
  if env "${environment[@]}" PATH="$scratch/$case/bin" "$cmake" -S "$source_folder" -B "$scratch/$case/build" -G "$generator" \
    -DCMAKE_MAKE_PROGRAM="$make_program" -DCMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF \
    -DTASKREG_PREBUILT="${prebuilt:-OFF}" >"$log" 2>&1; then
    fail "$case: configuring succeeded"
  fi
  # CMake wraps long lines of a message.
  local flat
  flat=$(tr -s ' \n' ' ' <"$log")
  for text in "$@"; do
    case $flat in *"$text"*) ;; *) cat "$log" >&2; fail "$case: the message does not say: $text" ;; esac
  done
  [ "$(grep -c '^CMake Error' "$log")" = 1 ] || { cat "$log" >&2; fail "$case: more than one error"; }
  printf -- '-- %s\n' "$case"
  sed -n '/libtaskreg cannot/,/Then run/p' "$log"
}

program() { # FILE TEXT: a program that prints TEXT
  mkdir -p "$(dirname "$1")"
  printf '#!/bin/sh\necho "%s"\n' "$2" >"$1"
  chmod +x "$1"
}
program "$scratch/programs/old" 'Swift version 5.10.1 (swift-5.10.1-RELEASE)'
program "$scratch/programs/other" 'python-swiftclient 4.1.0'

tools no-swift pkg-config="$real_pkg_config"
fails no-swift -- 'Swift was not found' 'Install Swift 6.3 or newer from https://www.swift.org/install/linux/' '-DTASKREG_SWIFT='

tools old-swift pkg-config="$real_pkg_config" swift="$scratch/programs/old"
fails old-swift -- 'Swift 5.10.1, which is too old' 'Install Swift 6.3 or newer'

tools other-swift pkg-config="$real_pkg_config" swift="$scratch/programs/other"
fails other-swift -- 'is not a working Swift compiler' 'Install Swift 6.3 or newer'

tools no-pkg-config
fails no-pkg-config -- 'Swift was not found' 'apt-get install pkg-config libpthread-stubs0-dev'

mkdir "$scratch/empty"
tools no-pthread-stubs pkg-config="$real_pkg_config"
fails no-pthread-stubs PKG_CONFIG_LIBDIR="$scratch/empty" -- 'does not know pthread-stubs' 'apt-get install libpthread-stubs0-dev'

# A release's assembly takes the place of Swift, for processors that it was made for.
mkdir "$scratch/without"
cp -r "$source_folder/CMakeLists.txt" "$source_folder/cmake" "$source_folder/include" "$scratch/without/"
source_folder=$scratch/without prebuilt=ON
tools no-assembly
fails no-assembly -- 'TASKREG_PREBUILT is on' "A release's tarball has it"
