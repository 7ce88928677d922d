#!/usr/bin/env bash
# man.sh CASE MAN_FOLDER SOURCE_FOLDER LIBRARY CC
#
# Proves:  lint: mandoc has no warning about any page; every-function: each function that the library exports and
#          the header declares has a page, and each reference to a page of ours leads to one; render: `man -l`
#          shows one, with its prototype, its statuses and a structure; incomplete: scripts/manpages names a
#          function that lacks its comment or a label, and fails.
# Why it matters: the manual is what is read when the network is down; a page that is missing is found then.
# Catches: a function added without a comment, a page that is lost, a header whose comments are not understood any more.
source "$(dirname "$0")/../binary/common.bash"
case=$1 man=$2 source_folder=$3 library=$4 cc=$5
header=$source_folder/include/taskreg.h

needs() { # COMMAND PACKAGE
  command -v "$1" >/dev/null || skip "$1 is not there. On Debian: apt-get install $2"
}

case $case in
  lint)
    needs mandoc mandoc
    mandoc -Tlint -W warning "$man"/man3/* "$man"/man7/* || fail 'mandoc has found something'
    printf '%s pages\n' "$(find "$man" -type f -name '*.[37]' | wc -l)"
    ;;
  every-function)
    pages=$(find "$man/man3" -name '*.3' -printf '%f\n' | sed 's/\.3$//' | sort)
    missing=$(comm -23 <(declared_functions "$header" "$cc") <(printf '%s\n' "$pages") | tr '\n' ' ')
    [ -z "${missing// /}" ] || fail "no page for these functions of the header: $missing"
    exported=$(nm --dynamic --defined-only "$library" | sed -n 's/.* T \(tr_[a-z0-9_]*\).*/\1/p' | sort -u)
    missing=$(comm -23 <(printf '%s\n' "$exported") <(printf '%s\n' "$pages") | tr '\n' ' ')
    [ -z "${missing// /}" ] || fail "no page for these functions of the library: $missing"
    missing=$(comm -23 <(grep -hoE 'Xr (tr_[a-z0-9_]+|taskreg_[a-z]+) 3' "$man"/man?/* | cut -d ' ' -f 2 | sort -u) \
      <(printf '%s\n' "$pages") | tr '\n' ' ')
    [ -z "${missing// /}" ] || fail "references to pages that are not there: $missing"
    ! grep -n '@[A-Z]*@' "$man/man7/taskreg.7" || fail 'a word of the template was not replaced'
    ;;
  render)
    needs man man-db
    MANWIDTH=80 MANPAGER=cat PAGER=cat man -l "$man/man3/tr_shutdown.3" >"$scratch/page" 2>"$scratch/errors"
    text=$(tr -s ' \n' ' ' <"$scratch/page" | sed 's/.\x08//g')
    for part in 'tr_shutdown(tr_registry *registry' TR_ERR_DEADLINE stragglers_capacity TR_REASON_FATAL 'SEE ALSO'; do
      [[ $text == *"$part"* ]] || fail "the page of tr_shutdown does not show: $part"
    done
    [ ! -s "$scratch/errors" ] || fail "man complains: $(cat "$scratch/errors")"
    ;;
  incomplete)
    "$source_folder/scripts/manpages" --check "$header" || fail 'the header is not complete'
    rejects() { # TEXT: the changed header is rejected with this message
      local message
      ! cmp -s "$header" "$scratch/taskreg.h" || fail 'the header was not changed'
      ! message=$("$source_folder/scripts/manpages" --check "$scratch/taskreg.h" 2>&1) || fail "accepted, where: $1"
      [[ $message == *"$1"* ]] || fail "it says '$message', not: $1"
    }
    { sed '$d' "$header"; printf '\nint tr_uncommented(void);\n#endif\n'; } >"$scratch/taskreg.h"
    rejects 'tr_uncommented has no comment above it'
    perl -0pe 's/\n   Threads:[^\n]*\n(   Since:[^\n]*\nuint32_t tr_version)/\n$1/' "$header" >"$scratch/taskreg.h"
    rejects 'tr_version has no label Threads'
    ;;
  *) fail "unknown case $case" ;;
esac
