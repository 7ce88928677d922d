#!/usr/bin/env bash
# swift-host.sh SWIFTC LIBRARY ARCHIVE INCLUDE_FOLDER: builds and runs swift-host.swift, which says
# what is proved, against the library linked, preloaded, opened with dlopen, and as an archive.
source "$(dirname "$0")/common.bash"
swiftc=$1 library=$2 archive=$3 include=$4
here=$(cd "$(dirname "$0")" && pwd)
folder=$(dirname "$library")

"$swiftc" -version >/dev/null 2>&1 || fail "$swiftc does not run; configure again with -DTASKREG_SWIFT=/path/to/swift"
compile() { # NAME ARGUMENT…
  local name=$1
  shift
  "$swiftc" -O -swift-version 6 -I "$include" "$here/swift-host.swift" -module-cache-path "$scratch/modules" \
    -o "$scratch/$name" "$@" || fail "$name does not build"
}
run() { # NAME COMMAND…
  local name=$1
  shift
  printf '%s: ' "$name"
  "$@" || fail "$name ended with status $?"
}

compile linked -L "$folder" -ltaskreg -Xlinker -rpath -Xlinker "$folder"
run linked "$scratch/linked"
run preloaded env LD_PRELOAD="$library" "$scratch/linked"

compile opened -DDLOPEN
run opened "$scratch/opened" "$library"
run 'opened, bound at once' env LD_BIND_NOW=1 "$scratch/opened" "$library"

compile archived "$archive"
run archived "$scratch/archived"
