#!/usr/bin/env bash
# freeze.sh: writes what abi.sh compares with, for the release that include/taskreg.h has the number of: its header
# without comments, and its interface as abidw describes it. To be run when a release is made, and until then
# whenever the interface changes on purpose.
source "$(dirname "$0")/common.bash"
here=$(cd "$(dirname "$0")" && pwd)
header=$here/../../include/taskreg.h map=$here/../../Sources/TaskRegistryC/taskreg.map
number=$(sed -n 's/^#define TR_VERSION 0x\([0-9a-f]*\)u$/\1/p' "$header")
release=$((16#${number:0:2})).$((16#${number:2:2}))
gcc -fpreprocessed -dD -E -P -w -x c "$header" >"$here/taskreg-$release.h"
"$here/abi.sh" --write "$here/taskreg-$release.h" "$map" "$here/taskreg-$release.abi"
"$here/layout.sh" --write "$header" "$here/layout.txt"
