#!/usr/bin/env bash
# test-service.sh - start 06-service, talk to it, stop it, and check all that it says.
#
#   bash test-service.sh path/to/06-service
#
# Needs bash, coreutils, grep, sed and find alone: connections go through bash's /dev/tcp. What is sent
# to systemd is tested if there is a python3. Every wait has a limit.
set -eu

service=${1:?usage: test-service.sh path/to/06-service}
work=$(mktemp -d)
pid=''

cleanup() {
  if [ -n "$pid" ]; then
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

fail() {
  printf 'FAILED: %s\n' "$1" >&2
  printf -- '--- standard output of the service\n' >&2
  cat "$work/out" >&2 || true
  printf -- '--- standard error of the service\n' >&2
  cat "$work/err" >&2 || true
  exit 1
}

# expect NAME ACTUAL PATTERN: the whole text matches the shell pattern.
expect() {
  # shellcheck disable=SC2053 # the pattern is one
  [[ $2 == $3 ]] || fail "$1: expected '$3', got '$2'"
}

# wait_for PATTERN [FILE]: a line of the service's output, or of FILE, matches the regular expression
# within 10 s.
wait_for() {
  local i
  for ((i = 0; i < 200; i++)); do
    grep -Eq -- "$1" "${2:-$work/out}" && return 0
    sleep 0.05
  done
  fail "no line matches: $1"
}

# blocked_in CALL: print the regular expression for what a report says of a thread in that system call,
# where Linux says in which one a thread is.
blocked_in() {
  if grep -q . /proc/self/syscall 2>/dev/null; then
    printf 'blocked in %s( |$)' "$1"
  else
    printf '(blocked|unknown)'
  fi
}

# check_json FILE: it is one JSON object, as far as that can be checked here.
check_json() {
  if command -v python3 >/dev/null; then
    python3 -m json.tool "$1" >/dev/null || fail "no JSON: $(cat "$1")"
  else
    expect 'a JSON object' "$(cat "$1")" '{"*}'
  fi
}

# start OPTION...: start the service on a free port.
start() {
  : >"$work/out"
  "$service" --port 0 "$@" >"$work/out" 2>"$work/err" &
  pid=$!
  wait_for '^listening on 127\.0\.0\.1:[0-9]+$'
  port=$(sed -n 's/^listening on 127\.0\.0\.1://p' "$work/out")
}

# again OPTION...: start the service on the port it had before.
again() {
  : >"$work/out"
  "$service" --port "$port" "$@" >"$work/out" 2>"$work/err" &
  pid=$!
  wait_for "^listening on 127\.0\.0\.1:$port\$"
}

# finish: wait for the end of the service, no longer than 20 s; sets status.
finish() {
  local i
  for ((i = 0; i < 400; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.05
  done
  kill -0 "$pid" 2>/dev/null && fail 'the service does not end'
  status=0
  wait "$pid" || status=$?
  pid=''
}

# connect N: open a connection as file descriptor N. A connection is closed with: exec N>&-
connect() { eval "exec $1<>/dev/tcp/127.0.0.1/$port" || fail "cannot connect"; }

# ask N REQUEST: send one line and read one line of answer into `answer`, within 10 s.
ask() {
  printf '%s\n' "$2" >&"$1"
  IFS= read -r -t 10 -u "$1" answer || fail "no answer to: $2"
}

# settle: wait until descriptor 3 is the only connection that the service has. What it answers to
# TASKS is the table that SIGUSR1 prints.
settle() {
  local i peers
  for ((i = 0; i < 200; i++)); do
    peers=0
    printf 'TASKS\n' >&3
    while IFS= read -r -t 10 -u 3 answer && [[ $answer != *' tasks' ]]; do
      [[ $answer != *'  peers/peer 127.0.0.1:'* ]] || peers=$((peers + 1))
    done
    [ "$peers" != 1 ] || return 0
    sleep 0.05
  done
  fail 'the tasks of closed connections do not end'
}

# await_stopping: wait until the service accepts no more connections.
await_stopping() {
  local i
  for ((i = 0; i < 200; i++)); do
    (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || return 0
    sleep 0.05
  done
  fail 'the service still accepts connections'
}

# http PATH [HEADER]: one HTTP/1.1 request on a connection of its own; sets response.
# Descriptor 3 has to be a connection, too.
http() {
  connect 9
  printf 'GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n' "$1" "${2:-Connection: close}" >&9
  response=$(timeout 10 cat <&9) || fail "the connection does not end after: GET $1"
  exec 9>&-
  settle # a connection that is still ending counts for --max-connections
}

echo '== options'
"$service" --help >"$work/out" 2>"$work/err" || fail '--help fails'
grep -q -- '--max-connections' "$work/out" || fail '--help does not help'
status=0
"$service" --port nonsense >"$work/out" 2>"$work/err" || status=$?
expect 'exit status for a bad option' "$status" 2

status=0
"$service" --stuck somehow >"$work/out" 2>"$work/err" || status=$?
expect 'exit status for something unknown to be stuck in' "$status" 2

echo '== a graceful run'
start --grace 10000 --heartbeat 200 --compaction 100 --max-connections 3 \
  --journal "$work/journal" --report "$work/report"

# descriptors: how many the service has open.
descriptors() { find "/proc/$pid/fd" -mindepth 1 | wc -l; }

connect 3
ask 3 'PING' && expect PING "$answer" 'PONG'
with_one_connection=$(descriptors)
ask 3 'SET colour dark blue' && expect SET "$answer" 'OK'
ask 3 'GET colour' && expect GET "$answer" 'dark blue'
ask 3 'DEL colour' && expect DEL "$answer" 'OK'
ask 3 'GET colour' && expect 'GET after DEL' "$answer" 'ERROR no such key'
ask 3 'NONSENSE' && expect 'an unknown command' "$answer" 'ERROR no such command*'
ask 3 'PRIMES 1000' && expect PRIMES "$answer" 168
ask 3 'PRIMES many' && expect 'PRIMES without a number' "$answer" 'ERROR PRIMES takes a number*'
wait_for '^compaction: freed 1 deleted entries'
wait_for '^heartbeat: [0-9]+ tasks, [0-9]+ requests'

ask 3 'SET colour green' && expect SET "$answer" 'OK'
http /kv/colour
expect 'GET /kv/colour' "$response" $'HTTP/1.1 200 OK\r\n*Content-Length: 6\r\n*\r\n\r\ngreen'
http /nowhere
expect 'GET /nowhere' "$response" $'HTTP/1.1 404 *\r\n\r\nERROR no such path'
http /primes/100 $'Connection: keep-alive\r\n\r\nGET /echo/two HTTP/1.1\r\nConnection: close'
expect 'two requests on one connection' "$response" \
  $'HTTP/1.1 200 *: keep-alive\r\n\r\n25\nHTTP/1.1 200 *: close\r\n\r\ntwo'

# A request that is longer than the buffer, all of it one line.
connect 4
printf '%09000d' 0 >&4
IFS= read -r -t 10 -u 4 answer || fail 'no answer to a long line'
expect 'a long line' "$answer" 'ERROR the request is too long'
exec 4>&-
settle

expect 'descriptors left over by ended connections' \
  $(($(descriptors) - with_one_connection)) 0

# The table of tasks, with the one connection that is open.
kill -USR1 "$pid"
wait_for '^7 tasks$'
wait_for '^ +ID +THREAD +AGE/ms +STATE +KIND +NAME$'
for row in 'background-loop +listener' 'background-loop +heartbeat' 'background-loop +questions' 'maintenance +compaction' \
  'background-loop +journal' 'background-loop +main' 'peer-connection +peers/peer 127\.0\.0\.1:[0-9]+'; do
  wait_for "^ +[0-9]+ +[0-9]+ +[0-9]+  (running|waiting) +$row( |\$)"
done

# Three connections are the limit. At the limit a request is served without a task of its own.
connect 4
connect 5
ask 4 'PING' && expect 'the second connection' "$answer" 'PONG'
ask 5 'PING' && expect 'the third connection' "$answer" 'PONG'
connect 6
refusal=$(timeout 10 cat <&6) || fail 'a connection too many is not closed'
expect 'a connection too many' "$refusal" $'HTTP/1.1 503 *\r\n\r\nERROR too many connections'
exec 6>&-
ask 4 'PRIMES 100' && expect 'PRIMES at the limit' "$answer" 25
exec 5>&-

# Stop it with a request in flight: it gets an answer, the idle connection just an end.
printf 'PRIMES 5000000\n' >&4
kill -USR1 "$pid"
kill -TERM "$pid"
finish
expect 'exit status' "$status" 0
answer=$(timeout 10 cat <&4) || fail 'the connection does not end at a shutdown'
[ "$answer" = 348513 ] || expect 'the request in flight' "$answer" 'ERROR the service is stopping'
answer=$(timeout 10 cat <&3) || fail 'the idle connection does not end at a shutdown'
expect 'the idle connection' "$answer" ''
exec 3>&- 4>&-
wait_for '^shutdown \(user-requested: SIGTERM\): all tasks have ended, after .* of 10\.00 s(; callbacks took .*)?$'
wait_for '^  ended [0-9]+ \(failed 0, exited 0\), pending 0 '
# The listener is asked by the signal, and may be gone before the shutdown begins: then phase 0 has only `ended before`.
wait_for '^  phase 1: asked [2-3] after [0-9.]+ [^ ]+, remaining 0, '
wait_for '^  phase 2: asked 3 after [0-9.]+ [^ ]+, remaining 0, '
wait_for '^  phase 7: asked 1 after [0-9.]+ [^ ]+, remaining 0, '
wait_for '^slowest to stop: .*journal [0-9.]+ '
wait_for '^served: 7 connections, 1 refused, [0-9]+ requests$'
wait_for '^journal: 3 of 3 entries written$'
wait_for '^shutdown: graceful$'
expect 'the journal' "$(cat "$work/journal")" $'SET colour dark blue\nDEL colour\nSET colour green'
check_json "$work/report"
expect 'the report as JSON' "$(cat "$work/report")" \
  '{"occasion":"shutdown",*"reason":"user-requested",*"message":"SIGTERM",*"pending":0,*"stragglers":\[*\],"threads":null,*}'
[ ! -s "$work/err" ] || fail 'something was logged'

echo '== a shutdown that a client asks for'
start --grace 10000
connect 3
ask 3 'SHUTDOWN' && expect SHUTDOWN "$answer" 'OK, stopping'
wait_for '^shutdown \(rpc-requested: peer 127\.0\.0\.1:[0-9]+\): all tasks have ended'
exec 3>&-
wait_for '^shutdown: graceful$'
finish
expect 'exit status' "$status" 0

echo '== what is it doing?'
start --grace 10000 --stuck stall
connect 3
http /tasks.json
expect 'the head of /tasks.json' "$response" $'HTTP/1.1 200 OK\r\nContent-Type: application/json;*'
printf '%s\n' "${response#*$'\r\n\r\n'}" >"$work/tasks"
check_json "$work/tasks"
expect '/tasks.json' "$(cat "$work/tasks")" '*"name":"listener","group":"",*"name":"peer *","group":"peers",*'
http /tasks
expect /tasks "$response" $'HTTP/1.1 200 OK\r\nContent-Type: text/plain;*  listener*  peers/peer * tasks'
http /metrics
expect 'the head of /metrics' "$response" \
  $'HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n*'
expect /metrics "$response" \
  $'*\ntaskreg_tasks_spawned_total{kind="peer-connection"} 4\n*\ntaskreg_task_run_seconds_count*\n# EOF'
http /stats
expect /stats "$response" $'HTTP/1.1 200 OK\r\n*'
[[ $response =~ [0-9]+' rpc tasks ended, '[0-9]+' failed, at most '[0-9]+' at once' ]] || fail "/stats says $response"
printf 'METRICS\n' >&3
while IFS= read -r -t 10 -u 3 answer && [ "$answer" != '# EOF' ]; do :; done
expect 'the end of METRICS' "$answer" '# EOF'
wait_for '^log: task-stalled: stall: ' "$work/err"
ask 3 'HEALTH' && expect HEALTH "$answer" 'ERROR 1 stalled: stall'
http /health
expect /health "$response" $'HTTP/1.1 503 *\r\n\r\nERROR 1 stalled: stall'
kill -USR2 "$pid"
wait_for '^7 tasks alive$'
wait_for '^task listener: idle in tr_wait_fd for '
wait_for '^  maintenance, id [0-9]+, thread [0-9]+, running, age .*, heartbeat overdue$'
! grep -q '^  #0 ' "$work/out" || fail 'there are backtraces that nobody asked for'
exec 3>&-
kill -TERM "$pid"
finish
expect 'exit status' "$status" 0 # a stalled task can still stop

echo '== healthy'
start --grace 10000
connect 3
ask 3 'HEALTH' && expect HEALTH "$answer" 'healthy'
http /health
expect /health "$response" $'HTTP/1.1 200 OK\r\n*\r\n\r\nhealthy'
exec 3>&-
kill -TERM "$pid"
finish
expect 'exit status' "$status" 0

echo '== a run with tasks that do not stop, and one that is slow'
start --grace 2500 --stuck read --stuck spin --stuck slow --deaf --backtraces --report "$work/report"
connect 3
ask 3 'PING' && expect PING "$answer" 'PONG'
kill -INT "$pid"
finish
exec 3>&-
expect 'exit status' "$status" 124
wait_for '^shutdown \(user-requested: SIGINT\): 3 tasks did not stop, after [0-9.]+ s of 2\.50 s(; callbacks took .*)?$'
wait_for '^  ended [0-9]+ \(failed 0, exited 0\), pending 3 \(aborted 0, abandoned 3\)'
wait_for '^  phase 2: asked 7 after '
wait_for '^slowest to stop: slow [0-9.]+ (ms|s), '
wait_for "^straggler read: $(blocked_in read)"
wait_for '^straggler spin: (spinning|working)$' # the machine may be busy with something else
wait_for "^straggler deaf: $(blocked_in "(clock_)?nanosleep")"
wait_for '^  asked to stop [0-9.]+ s ago, has never checked for cancellation; CPU time '
wait_for '^  at "reading from a pipe"$'
wait_for '^  #0 0x'
wait_for '^shutdown: not graceful$'
[ "$(grep -c '^straggler ' "$work/out")" = 3 ] || fail 'more or fewer than three stragglers'
wait_for '^log: deadline-near: .* 3 tasks alive: read \(reading from a pipe\)' "$work/err"
wait_for '^log: deadline-exceeded: ' "$work/err"
check_json "$work/report"
expect 'the report as JSON' "$(cat "$work/report")" \
  '{"occasion":"shutdown",*"pending":3,*"slowest":\[{*"name":"slow",*"stragglers":\[*"name":"read",*"diagnosis":"blocked",*'

echo '== impatience: a second signal cuts the grace short'
start --grace 600000 --deaf
kill -TERM "$pid"
await_stopping
sleep 0.3 # longer than debounce_ns, within which two signals count as one
kill -INT "$pid"
finish
expect 'exit status' "$status" 124
wait_for "^straggler deaf: $(blocked_in "(clock_)?nanosleep")"
wait_for '^shutdown \(user-requested: SIGTERM\): 1 task did not stop, after .* of 600\.00 s, cut short: SIGINT, .* after SIGTERM$'

echo '== patience: progress moves the deadline on'
start --grace 400 --max-grace 20000 --stuck slow
kill -TERM "$pid"
finish
expect 'exit status' "$status" 0
wait_for '^shutdown \(.*\): all tasks have ended, after .* of 400\.0 ms and .* more for progress$'
wait_for '^log: deadline-extended: .* slow \(writing pages back\)' "$work/err"

echo '== the journal of a service that is stopped under load'
rm -f "$work/journal"
start --grace 10000 --journal "$work/journal"
clients=()
for name in a b c d; do
  (
    exec 2>/dev/null
    trap '' PIPE
    answered=0
    connect 9
    while printf 'SET %s%d value %d\n' $name $((answered + 1)) $((answered + 1)) >&9 &&
      IFS= read -r -t 10 -u 9 answer && [ "$answer" = OK ]; do
      answered=$((answered + 1))
    done
    echo "$answered" >"$work/answered-$name"
  ) &
  clients+=($!)
done
for name in a b c d; do wait_for "^SET ${name}50 " "$work/journal"; done
kill -TERM "$pid"
finish
expect 'exit status' "$status" 0
for client in "${clients[@]}"; do wait "$client" || fail 'a client failed'; done
for name in a b c d; do # one more may be there, whose answer went the way of the connection
  answered=$(cat "$work/answered-$name")
  expect "what $name was answered is in the journal" \
    "$(grep "^SET $name" "$work/journal" | head -n "$answered")" \
    "$(seq "$answered" | sed "s/.*/SET $name& value &/")"
done
lines=$(wc -l <"$work/journal")
wait_for "^journal: $lines of $lines entries written\$"
wait_for '^  phase 7: asked 1 after .*, remaining 0, '
wait_for '^shutdown: graceful$'

if [ -c /dev/full ]; then
  echo '== a journal that cannot be written'
  start --grace 10000 --journal /dev/full
  connect 3
  ask 3 'SET colour blue' && expect SET "$answer" 'OK'
  finish # by itself: what cannot be written must not be accepted
  exec 3>&-
  expect 'exit status' "$status" 1
  wait_for '^shutdown \(fatal: journal\): all tasks have ended'
  wait_for '^journal: 0 of 1 entries written$'
  wait_for '^log: task-failed: journal: .*write: ' "$work/err"
fi

if command -v python3 >/dev/null; then
  echo '== what systemd is notified of'
  python3 - "$work/notify" >"$work/notified" <<'END' &
import socket, sys
systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
systemd.bind(sys.argv[1])
systemd.settimeout(60)
datagram = ""
while "STOPPING=1" not in datagram:
    datagram = systemd.recv(4096).decode()
    print(datagram, flush=True)
END
  systemd=$!
  for ((i = 0; i < 200; i++)); do
    [ ! -S "$work/notify" ] || break
    sleep 0.05
  done
  export NOTIFY_SOCKET=$work/notify
  start --grace 10000
  unset NOTIFY_SOCKET
  wait_for '^READY=1$' "$work/notified"
  ! grep -q STOPPING "$work/notified" || fail 'systemd was notified of a stop'
  kill -TERM "$pid"
  finish
  expect 'exit status' "$status" 0
  wait_for '^STOPPING=1$' "$work/notified"
  wait "$systemd" || fail 'there is no end of what systemd is notified of'
fi

echo '== killed under load, and started again'
start
clients=()
for i in 1 2 3 4 5 6 7 8; do
  (
    exec 2>/dev/null
    while exec 9<>"/dev/tcp/127.0.0.1/$port"; do
      # Until the service is gone.
      while printf 'PRIMES 20000\nSET key %s\nECHO x\n' "$i" >&9 && IFS= read -r -t 10 -u 9 _; do :; done
      exec 9>&-
    done
  ) &
  clients+=($!)
done
connect 3
for i in 1 2 3 4 5 6 7 8 9 10; do ask 3 'PRIMES 1000' && expect 'PRIMES under load' "$answer" 168; done
kill -KILL "$pid"
finish
exec 3>&-
expect 'exit status of what was killed' "$status" 137
for client in "${clients[@]}"; do wait "$client" || true; done
again --grace 10000
connect 3
ask 3 'PING' && expect 'PING after the restart' "$answer" 'PONG'
kill -TERM "$pid"
finish
exec 3>&-
expect 'exit status after the restart' "$status" 0
wait_for '^shutdown: graceful$'

echo 'all as announced'
