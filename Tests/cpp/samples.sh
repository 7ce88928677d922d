#!/usr/bin/env bash
# samples.sh COMPILER: the samples in the comments of taskreg.hpp and taskreg.h compile without a
# warning, as C++17 and C++20.
#
# Proves: what the headers show can be copied (U6).  Why it matters: with -Werror a warning about a
# discarded result is an error, in the first lines that a newcomer writes.  Catches: a sample that
# ignores a status, or has an old name.
set -Eeuo pipefail
cd "$(dirname "$0")"
compiler=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0 count=0
for header in taskreg.hpp taskreg.h; do
  if [ $header = taskreg.hpp ]; then
    signature='int sample(const std::string &text)' warning=-Wold-style-cast
  else
    warning=-Wall # the macros that initialise structures have casts of C
  fi
  # A sample is a paragraph of an opening comment that is indented by five blanks.
  awk -v name="$folder/$header" '
    /^ *\/\*/ { comment = 1 }
    comment && last == "" && /^     [^ ]/ { file = sprintf("%s-%04d", name, NR) }
    file != "" && ($0 == "" || /\*\//) { close(file); file = "" }
    file != "" { print > file }
    /\*\// { comment = 0 }
    { last = $0 }' "../../include/$header"
  for sample in "$folder/$header"-*; do
    if [ $header = taskreg.h ]; then # a whole main returns an exit status
      if grep -q '^ *return ' "$sample"; then signature='int sample()'; else signature='void sample()'; fi
    fi
    for standard in 17 20; do
      count=$((count + 1))
      {
        cat <<'PRELUDE'
#include <taskreg.hpp>
#include <cstdio>
#include <unistd.h>
int count_words(const std::string &);
extern tr_registry *registry;
extern tr_join_report report;
extern const tr_reason reason;
extern const char *const message;
extern const std::int64_t grace_ns;
extern pthread_mutex_t mutex;
extern pthread_cond_t not_empty;
extern bool queue_is_empty;
extern tr_task *const task;
extern const int connection;
void serve_next_request(int);
void finish_requests_under_way(int);
PRELUDE
        echo "$signature;"
        echo "$signature {"
        cat "$sample"
        echo '}'
      } >"$folder/sample.cpp"
      "$compiler" "-std=c++$standard" -fsyntax-only -Wall -Wextra -Wconversion "$warning" \
        -pedantic -Werror -I../../include "$folder/sample.cpp" && continue
      failed=1
      echo "FAILED: the sample in line $((10#${sample##*-})) of $header as C++$standard"
    done
  done
done
echo "$count samples"
[ $count -ge 8 ] && [ $failed = 0 ]
