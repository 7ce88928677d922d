#!/usr/bin/env bash
# labels.sh HEADER: what the header says of its functions is complete.
#
# Proves: every function of the header is documented with its threads and its version, those with a value
#   with what they return; those with a status have TASKREG_MUST_USE; and none but tr_request_shutdown is called async-signal-safe: no caller is
#   invited to call another from a signal handler (P4, P5, C14).
# Why it matters: at three in the morning the header is all there is to read.
# Catches: a function added without its labels; a status that a caller may discard without a warning; a claim of
#   signal safety that nothing backs.
set -Eeuo pipefail
header=$1

awk '
  /^\/\*/ { text = ""; comment = 1; documented = 1 }
  comment { text = text " " $0; if (/\*\//) comment = 0; next }
  /^(const char|uint32_t|tr_[a-z]+|void|int|size_t|uint64_t|const uint32_t) +\*?tr_[a-z_]+\(/ {
    name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); functions++
    if (!documented) { print name ": no comment above it"; bad = 1 }
    if (text !~ /Threads: /) { print name ": no Threads label"; bad = 1 }
    if (text !~ /Since: /) { print name ": no Since label"; bad = 1 }
    if ($0 !~ /^void / && text !~ /Returns: /) { print name ": no Returns label"; bad = 1 }
    if ($0 ~ /tr_request_shutdown\(/) {
      if (text !~ /only function of the library that is +async-signal-safe/) {
        print "tr_request_shutdown: not said to be async-signal-safe"; bad = 1
      }
    } else if (text ~ /async-signal-safe/ && text !~ /not async-signal-safe/) {
      print name ": said to be async-signal-safe"; bad = 1
    }
    status = $0 ~ /^tr_status /
    declaration = ""
  }
  status {
    declaration = declaration " " $0
    if (/;/) {
      if (declaration !~ /\) +TASKREG_MUST_USE;/) { print name ": a status without TASKREG_MUST_USE"; bad = 1 }
      status = 0
    }
  }
  /^$/ { documented = 0 }
  END {
    if (functions < 30) { print "only " functions " functions found in the header"; bad = 1 }
    print functions " functions, each documented"
    exit bad
  }' "$header"
grep -A1 'Only tr_request_shutdown is' "$header" | grep -q 'async-signal-safe\.' || {
  echo 'the header no longer says at its top which one of its functions is async-signal-safe' >&2
  exit 1
}
