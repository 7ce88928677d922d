# Shared by the scripts of this folder and of ../install: how to fail, a scratch folder that goes
# away at the end, and what the header declares.

set -Eeuo pipefail
export LC_ALL=C
trap 'printf "FAILED: %s, line %s: %s\n" "${BASH_SOURCE[0]}" "$LINENO" "$BASH_COMMAND" >&2' ERR

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

# Exit status 77 makes ctest report the test as skipped.
skip() {
  printf 'skipped: %s\n' "$*"
  exit 77
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/taskreg.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# declared_functions HEADER [CC]: the functions that HEADER declares, sorted, one on a line.
declared_functions() {
  "${2:-cc}" -E -P -x c "$1" | tr '\n' ' ' | tr ';' '\n' | grep -v typedef |
    grep -oE '\btr_[A-Za-z0-9_]+ *\(' | tr -d ' (' | sort -u
}

# declared_constants HEADER: its constants that are numbers: members of enums, and macros; one on a line.
declared_constants() {
  local text
  text=$(cc -E -P -dD -x c "$1" | grep -v '^#define [^T]' | grep -vE '^#define TR_[A-Z0-9_]+(_INIT |\(| +")')
  sed -n 's/^#define \(TR_[A-Z0-9_]*\) .*/\1/p' <<<"$text"
  grep -v '^#' <<<"$text" | tr '\n' ' ' | grep -oE 'enum \{[^}]*\}' | grep -oE '\bTR_[A-Z0-9_]+'
}

# same_lists WHAT_LEFT LEFT WHAT_RIGHT RIGHT: compares two sorted lists, and names what only one has.
same_lists() {
  local only_left only_right
  only_left=$(comm -23 <(printf '%s\n' "$2") <(printf '%s\n' "$4") | tr '\n' ' ')
  only_right=$(comm -13 <(printf '%s\n' "$2") <(printf '%s\n' "$4") | tr '\n' ' ')
  [ -z "${only_left// /}" ] || fail "in $1 but not in $3: $only_left"
  [ -z "${only_right// /}" ] || fail "in $3 but not in $1: $only_right"
}
