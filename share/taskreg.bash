# bash completion for taskreg(1).
#
# Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0

_taskreg() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' word processes
  COMPREPLY=()
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in
      ps | why | threads | metrics | top) command=$word ;;
    esac
  done
  case $previous in
    -w | --watch) return ;;
    -s | --sort)
      mapfile -t COMPREPLY < <(compgen -W 'cpu time age id name' -- "$current")
      return ;;
  esac
  case $command:$current in
    :-*) word='--help --version' ;;
    :*) word='ps why threads metrics top help' ;;
    ps:-*) word='--json --tree --watch' ;;
    why:-* | threads:-*) word='--json --watch' ;;
    metrics:-*) word='--watch' ;;
    top:-*) word='--sort --watch' ;;
    *)
      # Processes of the caller's; and core files, of which top knows nothing.
      processes=$(ps -u "$(id -u)" -o pid= 2>/dev/null)
      mapfile -t COMPREPLY < <(compgen -W "$processes" -- "$current")
      [ "$command" = top ] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$current")
      return ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$word" -- "$current")
}
complete -o filenames -F _taskreg taskreg
