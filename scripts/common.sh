# scripts/common.sh - what the scripts share; to be sourced by bash.
#
#   need_packages PACKAGE...  install the Debian packages that are missing; end the script if that
#                             cannot be done
#   need_swift                put a `swift` that is new enough on PATH; or end the script
#
# Both are silent when there is nothing to do.
# shellcheck shell=bash

# Package.swift reads it: warnings are errors in what the scripts build.
export TASKREG_WARNINGS=errors

# The oldest Swift that builds the library: the same number as in cmake/TaskregToolchain.cmake.
swift_minimum=6.3

# die LINE...: print the lines, after the script's name, on standard error and end the script.
die() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  shift
  if [ $# -gt 0 ]; then printf '  %s\n' "$@" >&2; fi
  exit 1
}

need_packages() {
  local package missing=() as_root=() apt=()

  command -v dpkg >/dev/null && command -v apt-get >/dev/null ||
    die 'this is not a Debian system (dpkg and apt-get are not there).' \
      "Install what these Debian packages contain, then run the commands of this script by hand: $*"
  for package in "$@"; do
    # The status has to be looked at: a removed package whose settings were kept is listed, too.
    case $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true) in
      'install ok installed' | 'hold ok installed') ;;
      *) missing+=("$package") ;;
    esac
  done
  if [ ${#missing[@]} = 0 ]; then return 0; fi

  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      die "these packages are missing: ${missing[*]}" \
        'Only root can install them, and there is no sudo. As root, run:' \
        "apt-get update && apt-get install -y ${missing[*]}"
    as_root=(sudo)
    # Without a terminal nobody could type a password: fail at once instead of waiting for one.
    if [ ! -t 0 ]; then as_root=(sudo -n); fi
  fi
  printf 'installing %s\n' "${missing[*]}"
  # `env`, as sudo does not hand on the environment. apt-get waits for a lock for up to 120 s.
  apt=(${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive
    apt-get -q -o DPkg::Lock::Timeout=120)
  "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}" ||
    die "apt-get could not install: ${missing[*]}" \
      'Its own message is above. Without a network, install them by other means.'
}

# swift_version COMMAND: print the version of a working Swift compiler, or nothing.
swift_version() {
  # Debian's python3-swiftclient has a command `swift`, too, which is not a compiler.
  "$1" --version 2>/dev/null | sed -n 's/.*Swift version \([0-9][0-9.]*\).*/\1/p' | head -n 1
}

need_swift() {
  local folder version found=''

  # First what is on PATH, then where swiftly, the tar files of swift.org and Debian put it.
  for folder in '' "${SWIFTLY_BIN_DIR:-$HOME/.local/share/swiftly/bin}" /opt/swift/usr/bin \
    /usr/local/swift/usr/bin /usr/share/swift/usr/bin /usr/libexec/swift/bin; do
    command -v "${folder:+$folder/}swift" >/dev/null || continue
    version=$(swift_version "${folder:+$folder/}swift" || true)
    if [ -z "$version" ]; then continue; fi
    # sort -V sorts versions; -C says whether they were in order.
    if printf '%s\n' "$swift_minimum" "$version" | sort -V -C; then
      if [ -n "$folder" ]; then export PATH="$folder:$PATH"; fi
      return 0
    fi
    found="${found:+$found, }$version (${folder:-on PATH})"
  done
  die "Swift $swift_minimum or newer is needed; found: ${found:-none}." \
    'How to install it: https://www.swift.org/install/linux/' \
    'If it is installed elsewhere, put the folder of `swift` on PATH and run this again.'
}
