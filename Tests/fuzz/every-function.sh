#!/bin/sh
# every-function.sh MAP FOLDER - says which function of the library the sequences of FOLDER never call.
#
# Proves: each exported function is called with arguments that are right, somewhere but in calls-null.c, and with
# wrong ones in calls-null.c, unless it has none that could be wrong (P4).
# Why it matters: a function that no sequence calls is tried by its own tests alone.
# Catches: a new function without a call here.
set -eu
map=$1 folder=$2

# They take nothing, or whatever they are given is right.
no_wrong=" tr_version tr_strerror tr_error_detail tr_kind_name tr_state_name tr_reason_name tr_event_name
  tr_ended_name tr_diagnosis_name tr_reason_is_graceful tr_token_create tr_token_create_with_timeout tr_signal_watch_pending tr_sleep tr_quiesce "

missing=0
complain() {
  echo "$1 is never called with arguments that are $2: see Tests/fuzz" >&2
  missing=$((missing + 1))
}
called() { # FUNCTION FILE...
  function=$1
  shift
  grep -qE "(^|[^a-z0-9_])$function\\(" "$@"
}

good=$(ls "$folder"/*.c | grep -v '/calls-null\.c$')
functions=$(sed -nE 's/^ +(tr_[a-z0-9_]+);.*/\1/p' "$map")
[ -n "$functions" ]
for function in $functions; do
  called "$function" $good || complain "$function" right
  case $no_wrong in *[[:space:]]"$function"[[:space:]]*) continue ;; esac
  called "$function" "$folder/calls-null.c" || complain "$function" wrong
done
[ "$missing" = 0 ] && echo "$(echo "$functions" | wc -l) functions, each is called"
