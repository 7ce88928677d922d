#!/usr/bin/env bash
# run.sh LANGUAGE LIBRARY SOURCE - runs the test of bindings/LANGUAGE (python, go or rust) in SOURCE, the project's
# folder, against the library in the folder LIBRARY; `finalising` is finalising.py, which says what it is about. Exit
# status 77 where Debian's package for the language is missing.
#
# Proves: the file compiles and its program passes; what it declares by hand, because the language does not read the
# header, agrees with the header. The programs say what else (J1).
#
# Why it matters: a file that is copied is not looked at again when the header changes.
#
# Catches: a structure without its last field; a status with another number; a parameter of another width.
set -Eeuo pipefail
language=$1 library=$(realpath "$2") source=$(realpath "$3")
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
export LD_LIBRARY_PATH=$library${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}

# need FILE PACKAGE: skips the test if FILE is not there.
need() {
  if [ ! -e "$1" ]; then
    echo "skipped: $1 is missing. On Debian: apt-get install $2"
    exit 77
  fi
}

# Debian's own compilers, not those of rustup and the like: they are what the packages are for.
case $language in
  python)
    need /usr/bin/python3 python3
    need /usr/lib/python3/dist-packages/cffi python3-cffi
    export TASKREG_LIBRARY=$library/libtaskreg.so.0 PYTHONPATH=$source/bindings/python
    /usr/bin/python3 -B "$source/Tests/bindings/declarations.py" >"$work/declarations.c"
    cc -std=c11 -Wall -Werror -I "$source/include" -fsyntax-only "$work/declarations.c"
    /usr/bin/python3 -B "$source/bindings/python/test_taskreg.py"
    ;;
  finalising)
    need /usr/bin/python3 python3
    /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info >= (3, 14))' || {
      echo 'skipped: CPython 3.14 and later keep the threads that come back into them, and end none'
      exit 77
    }
    cc -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -fPIC -shared -pthread -I "$source/include" \
      "$source/Tests/bindings/finalising.c" -o "$work/finalising.so" -L "$library" -ltaskreg
    timeout 120 /usr/bin/python3 -B "$source/Tests/bindings/finalising.py" "$work/finalising.so" | tee "$work/said"
    # What is raised in __del__ does not reach the program's status.
    grep -qx 'every thread that the interpreter ended was replaced' "$work/said"
    ;;
  go)
    need /usr/bin/go golang-go
    export CGO_CFLAGS="-I$source/include -Wall -Werror" CGO_LDFLAGS="-L$library"
    export GOPROXY=off GOTOOLCHAIN=local HOME=$work GOCACHE=$work/cache GOPATH=$work/path
    cd "$source/bindings/go"
    /usr/bin/go test -vet=all -count=1 -v ./...
    ;;
  rust)
    need /usr/bin/rustc rustc
    need /usr/bin/bindgen bindgen
    clang=(/usr/lib/*/libclang-*.so* /usr/lib/llvm-*/lib/libclang*.so*)
    for file in "${clang[@]}"; do if [ -e "$file" ]; then clang=("$file"); fi; done
    need "${clang[0]}" libclang1
    LIBCLANG_PATH=$(dirname "${clang[0]}")
    export LIBCLANG_PATH
    # libclang has no headers of its own in this package; those of the compiler do.
    /usr/bin/bindgen "$source/include/taskreg.h" --no-layout-tests --no-rustfmt-bindings --allowlist-function 'tr_.*' \
      --allowlist-type 'tr_.*' --allowlist-var 'TR_.*' -o "$work/taskreg_sys.rs" \
      -- -I"$source/include" -I"$(cc -print-file-name=include)"
    OUT_DIR=$work /usr/bin/rustc --edition 2021 -D warnings -L "$library" -l taskreg -o "$work/test" \
      "$source/bindings/rust/test.rs"
    RUST_BACKTRACE=0 "$work/test" # a panic of the test's is intended
    ;;
  *)
    echo "run.sh: $language is not a language with a binding here" >&2
    exit 2
    ;;
esac
