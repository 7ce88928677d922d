/* sequences.c - sequences of calls on the C ABI, out of bytes, checked against a model.

   Each four bytes are one call: what, by whom, on what, how. The calls are made one at a time, but by
   many threads: three of the program's own and those of the tasks, which do what they are told. Calls
   that block are left blocked while others are made. The model (model.h) says in plain C, without
   a thread, what each call has to return, which blocked calls it ends, and what callbacks, drops and log
   events it makes; what it says is compared after each call. A few calls are made by three threads at
   once, where the contract says what the three together come to.

   Objects are valid, NULL, or stale: released by the caller, and alive because something else keeps
   them, be it a reference that the program holds in reserve.

   The books stand in model.c, the threads in actors.c and performing.c, what blocks in blocked.c, what can be
   looked at in checks.c and checks-reports.c, and the calls, each with its effect on the books, in calls-*.c.

   libFuzzer calls LLVMFuzzerTestOneInput; main.c does the same for files. A broken rule aborts. */

#include "calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  CALLS = 160, /* the rest of an input is not read */
  /* What the first byte of a call selects. The ranges are there for the corpus: an input keeps its meaning when calls
     are added. Below the first, the remainder by 40 counts: make_basic_call. */
  PROCESS_CALLS = 160,
  REPORT_CALLS = 184,
  GROUP_CALLS = 224
};

static const uint8_t *failing_input;
static size_t failing_size;

void broken(const char *file, int line, const char *what, long long expected, long long actual) {
  fprintf(stderr, "%s:%d: not so: %s (%lld, %lld), in an input of %zu bytes:", file, line,
          what, expected, actual, failing_size);
  for (size_t i = 0; i < failing_size && i < 4 * CALLS; i++) fprintf(stderr, " %02x", failing_input[i]);
  fprintf(stderr, "\n");
  abort();
}

char long_name[81], kept_name[64], long_message[301];
const struct name names[] = {
    {"peer", "peer"}, {"na\xc3\xafve", "na\xc3\xafve"}, {long_name, kept_name}, {"x", "x"},
    {"", NULL},       {"\xff", NULL},                   {NULL, NULL},           {"store", "store"}};
const char *const messages[] = {NULL, "", "stop", long_message};

/* Groups, essential tasks, timeouts, requests, condition variables. */
static void make_group_call(int what, int a, int b, int c) {
  static const uint32_t essential[] = {TR_SPAWN_ESSENTIAL, TR_SPAWN_ESSENTIAL_ON_FAILURE,
                                       TR_SPAWN_ESSENTIAL | TR_SPAWN_ESSENTIAL_ON_FAILURE};
  if (what < 8) call_group_create(b, c, 0);
  else if (what < 16) call_spawn(a, b, c, (struct wish){.flags = essential[what % 3]});
  else if (what < 19) call_timeout(b, c);
  else if (what < 22) call_watch(b, c);
  else if (what < 25) call_request(b, c);
  else call_cond(what - 25, a, b, c);
}
/* Phases, heartbeats, notes, reports, metrics. */
static void make_report_call(int what, int a, int b, int c) {
  static const int64_t lengths[] = {0, INT64_C(3600000000000), INT64_MAX, -1};
  struct wish wish = {.phase = (uint32_t)(what - 3), .heartbeat = lengths[b >> 3 & 3]};
  if ((c & 192) == 192 && b & 64) wish.phase += TR_PHASES;
  if (what < 3) call_registry_create(a, b, c, what < 2, what == 0 ? 0 : 1000000);
  else if (what < 11) call_spawn(a, b, c, wish);
  else if (what < 14) call_checkpoint(a, c);
  else if (what < 17) call_progress(a, b, c);
  else if (what < 18) call_heartbeat(a);
  else if (what < 20) call_shutdown_with(a, b, c);
  else if (what < 24) call_join_fully(a, b, c);
  else if (what < 26) call_explain(b, c);
  else if (what < 28) call_health(b, c);
  else if (what < 31) call_write(b, c);
  else if (what < 35) call_metrics(b, c);
  else if (what < 37) call_recent(b, c);
  else if (what < 38) call_reports_with_null();
  else call_group_create(b, c, 1);
}
/* Heartbeat intervals of any thread, reports without backtraces, plain spawns, what concerns the whole process. */
static void make_process_call(int what, int a, int b, int c) {
  if (what < 6) call_heartbeat_interval(a, b, c);
  else if (what < 9) call_pause(a, c);
  else if (what < 11) call_explain_with(b, c);
  else if (what < 13) call_level(a, b, c);
  else if (what < 15) call_spawn(a, b, c, (struct wish){.isPlain = 1});
  else if (what < 18) call_systemd(b, c);
  else if (what < 19) call_signals(b, c);
  else if (what < 20) call_acknowledge(a);
  else if (what < 22) call_quiesce(a, c);
  else if (what < 23) call_names(b, c);
  else call_process_with_null();
}
static void make_basic_call(int what, int a, int b, int c) {
  switch (what) {
    case 0: case 1: case 2: case 3: case 4: case 5: case 6: call_token(what, a, b, c); break;
    case 7: case 8: case 9: case 10: call_registry(what - 7, a, b, c); break;
    case 11: case 12: case 13: case 14: case 15: call_spawn(a, b, c, (struct wish){0}); break;
    case 16: case 17: case 18: case 19: case 20: case 21: case 22: case 23:
      call_task(what - 16, a, b, c); break;
    case 24: case 25: call_join(a, b, 0); break;
    case 26: call_join(a, b, 1); break;
    case 27: case 28: call_on_cancel(a, b, what - 27); break;
    case 29: call_off_cancel(a, b); break;
    case 30: case 31: case 32: case 33: call_blocking(what - 30, a, b, c); break;
    case 34: call_with_null(); break;
    case 35: call_cancel_thrice(b, c); break;
    case 36: call_spawn_thrice(b, c); break;
    case 39: call_adopt(a, b, c); break;
    default: {
      int number = some_registry(b);
      if (number >= 0) check_registry(number, c);
    }
  }
}
static void make_call(const uint8_t *bytes) {
  int a = bytes[1], b = bytes[2], c = bytes[3];
  if (bytes[0] >= GROUP_CALLS) make_group_call(bytes[0] - GROUP_CALLS, a, b, c);
  else if (bytes[0] >= REPORT_CALLS) make_report_call(bytes[0] - REPORT_CALLS, a, b, c);
  else if (bytes[0] >= PROCESS_CALLS) make_process_call(bytes[0] - PROCESS_CALLS, a, b, c);
  else make_basic_call(bytes[0] % 40, a, b, c);
  settle();
  check_counts();
  empty_notify_socket();
}

/* Ends all that is blocked and alive, and releases everything. */
static void finish(void) {
  go_on(0, 0);
  if (watched >= 0) {
    MUST_EQ(TR_OK, tr_signal_watch_stop(registries[watched].it));
    watched = -1;
  }
  end_systemd();
  for (int i = 0; i < token_count; i++)
    if (token_lives(i)) {
      tr_token_cancel(tokens[i].it, 1, NULL);
      model_cancel(i, 1, 0);
    }
  for (int i = 0; i < task_count; i++)
    if (tasks[i].live && tasks[i].draining) { /* its waits do not end before (C16) */
      MUST_EQ(TR_OK, tr_task_abort(tasks[i].it));
      model_abort(i);
    } else if (tasks[i].live) {
      MUST_EQ(TR_OK, tr_task_cancel(tasks[i].it));
      model_flag(i);
    }
  settle();
  for (int i = 0; i < task_count; i++)
    if (tasks[i].live) {
      MUST(is_free(HOSTS + i));
      end_task(i, 0, 0);
      settle();
    }
  for (int i = 0; i < ACTORS; i++) MUST_EQ(NOTHING, actors[i].isPending ? actors[i].order.call : NOTHING);
  check_counts();
  for (int i = 0; i < registry_count; i++)
    if (registry_usable(i)) MUST_EQ(TR_OK, tr_shutdown(registries[i].it, 1, NULL, -1, NULL));
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].it != NULL) {
      tr_registration_remove(registrations[i].it);
      registrations[i].it = NULL;
    }
  check_counts();
  check_ends();
  for (int i = 0; i < task_count; i++)
    for (; tasks[i].refs + tasks[i].reserve > 0; tasks[i].refs--) tr_task_release(tasks[i].it);
  for (int i = 0; i < registry_count; i++)
    for (; registries[i].refs + registries[i].reserve > 0; registries[i].refs--)
      tr_registry_release(registries[i].it);
  for (int i = 0; i < token_count; i++)
    for (; tokens[i].refs + tokens[i].reserve > 0; tokens[i].refs--) tr_token_release(tokens[i].it);
  end_intervals();
  MUST_EQ(TR_OK, tr_quiesce(INT64_C(10000000000)));
}

static void begin(void) {
  static int begun;
  token_count = registry_count = task_count = registration_count = ending_count = 0;
  watched = notified = -1;
  had_circle = 0;
  if (begun) return;
  begun = 1;
  memset(long_name, 'n', sizeof long_name - 1);
  memset(kept_name, 'n', sizeof kept_name - 1);
  memset(long_message, 'm', sizeof long_message - 1);
  begin_actors();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  failing_input = data;
  failing_size = size;
  begin();
  for (size_t i = 0; i + 4 <= size && i < 4 * CALLS; i += 4) make_call(data + i);
  finish();
  return 0;
}
