/* outcomes.c - how tasks end, when that is observable, and what is logged. Rules O1, O2, O3. */

#include "support.h"

#include <limits.h>
#include <sys/mman.h>

/* ---- Ways of ending ------------------------------------------------------------------------ */

/* Proves: a body that returns 0 has returned, one that returns anything else has failed with
   that number, positive, negative and at the ends of int (O1).  Why it matters: the code is the
   task's exit status.  Catches: a comparison with less than 0; a narrowed code. */
CASE(return_value_is_the_outcome) {
  tr_registry *registry = registry_new();
  int codes[] = {1, -1, 2, 255, 256, 65536, -65536, INT_MAX, INT_MIN};
  tr_outcome outcome;
  tr_task *task = spawn(registry, "returns", body_returns, NULL);
  outcome = outcome_of(task);
  CHECK_EQ(sizeof outcome, outcome.size);
  CHECK_EQ(TR_ENDED_RETURNED, outcome.how);
  CHECK_EQ(0, outcome.code);
  CHECK_EQ(0, outcome.was_cancelled);
  CHECK_STR("", outcome.message);
  tr_task_release(task);
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    task = spawn(registry, "fails", body_fails, &codes[i]);
    outcome = outcome_of(task);
    CHECK_EQ(TR_ENDED_FAILED, outcome.how);
    CHECK_EQ(codes[i], outcome.code);
    CHECK_STR("", outcome.message);
    tr_task_release(task);
  }
  registry_finish(registry);
}

static atomic_int cleaned_up;
static pthread_key_t exit_key;
static void clean_up(void *argument) {
  (void)argument;
  atomic_fetch_add(&cleaned_up, 1);
}
static int body_exits_with_value(tr_task *self, void *ctx) {
  CHECK_EQ(0, pthread_setspecific(exit_key, self));
  pthread_cleanup_push(clean_up, NULL);
  pthread_exit(ctx);
  pthread_cleanup_pop(0);
}

/* Proves: a body that calls pthread_exit has exited, with code 0, whatever value it exits with,
   and its cleanup handlers and the destructors of its thread-specific data run (O1).
   Why it matters: it is the nearest C has to a panic.  Catches: reading the exit value as the
   code; an end noticed only on the return of the body. */
CASE(pthread_exit_is_an_end_of_its_own) {
  CHECK_EQ(0, pthread_key_create(&exit_key, clean_up));
  tr_registry *registry = registry_new();
  void *const values[] = {NULL, (void *)&cleaned_up, (void *)(intptr_t)5, PTHREAD_CANCELED};
  for (size_t i = 0; i < 4; i++) {
    tr_task *task = spawn(registry, "exits", body_exits_with_value, values[i]);
    tr_outcome outcome = outcome_of(task);
    CHECK_EQ(TR_ENDED_EXITED, outcome.how);
    CHECK_EQ(0, outcome.code);
    CHECK_EQ(0, outcome.was_cancelled);
    tr_task_release(task);
  }
  registry_finish(registry);
  CHECK_EQ(8, atomic_load(&cleaned_up));
  CHECK_EQ(0, pthread_key_delete(exit_key));
}

struct victim {
  pthread_t thread;
  sem_t ready;
  atomic_int after_sleep;
};

static int body_pauses(tr_task *self, void *ctx) {
  struct victim *victim = ctx;
  (void)self;
  victim->thread = pthread_self();
  CHECK_EQ(0, sem_post(&victim->ready));
  be_cancelled(1);
  return 0;
}

/* Proves: a task whose thread is cancelled with pthread_cancel has exited; joins, counts and other
   tasks work as before (O1, J8). Why it matters: foreign code does it. Catches: a task that is
   never reported as ended; a lock left taken by the cancelled thread. */
CASE(cancelled_thread_is_an_end_of_its_own) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(100); i++) {
    struct victim victim;
    memset(&victim, 0, sizeof victim);
    CHECK_EQ(0, sem_init(&victim.ready, 0, 0));
    tr_task *task = spawn(registry, "victim", body_pauses, &victim);
    sem_take(&victim.ready);
    CHECK_EQ(0, pthread_cancel(victim.thread));
    tr_outcome outcome = outcome_of(task);
    CHECK_EQ(TR_ENDED_EXITED, outcome.how);
    CHECK_EQ(0, outcome.code);
    CHECK_EQ(0, tr_len(registry));
    CHECK_EQ(TR_OK, tr_join_all(registry, 0, NULL));
    tr_task_release(task);
    wait_and_release(spawn(registry, "next", body_returns, NULL));
    CHECK_EQ(0, sem_destroy(&victim.ready));
  }
  registry_finish(registry);
}

static int body_sleeps_then_tests(tr_task *self, void *ctx) {
  struct victim *victim = ctx;
  (void)self;
  victim->thread = pthread_self();
  CHECK_EQ(0, sem_post(&victim->ready));
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  atomic_store(&victim->after_sleep, 1);
  be_cancelled(0);
  return 0;
}

/* Proves: the waits of the library are not cancellation points: a pthread_cancel during tr_sleep
   acts at the first cancellation point after it (O1, C4, C5). Why it matters: a thread cancelled
   inside the library could leave its locks taken. Catches: a wait on a condition variable with
   cancellation enabled. */
CASE(library_waits_are_no_cancellation_points) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(50); i++) {
    struct victim victim;
    memset(&victim, 0, sizeof victim);
    CHECK_EQ(0, sem_init(&victim.ready, 0, 0));
    tr_task *task = spawn(registry, "sleeper", body_sleeps_then_tests, &victim);
    sem_take(&victim.ready);
    CHECK_EQ(0, pthread_cancel(victim.thread));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 2 * MS, NULL));
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_ENDED_EXITED, outcome_of(task).how);
    CHECK_EQ(1, atomic_load(&victim.after_sleep));
    tr_task_release(task);
    CHECK_EQ(0, sem_destroy(&victim.ready));
  }
  registry_finish(registry);
}

/* ---- Messages ------------------------------------------------------------------------------ */

struct message {
  const char *given;
  const char *first; /* set before `given`, when it is not NULL */
  tr_status status;
  int code;
  int exits;
};

static int body_leaves_message(tr_task *self, void *ctx) {
  struct message *message = ctx;
  if (message->first != NULL) CHECK_EQ(TR_OK, tr_task_set_message(self, message->first));
  message->status = tr_task_set_message(self, message->given);
  if (message->exits) pthread_exit(NULL);
  return message->code;
}

static void check_left(tr_registry *registry, const char *given, tr_status status,
                       const char *expected) {
  for (int way = 0; way < 3; way++) {
    struct message message = {given, NULL, -99, way == 1 ? 5 : 0, way == 2};
    tr_task *task = spawn(registry, "says", body_leaves_message, &message);
    tr_outcome outcome = outcome_of(task);
    CHECK_EQ(status, message.status);
    CHECK_EQ(TR_ENDED_RETURNED + (uint32_t)way, outcome.how);
    CHECK_STR(expected, outcome.message);
    tr_task_release(task);
  }
}

/* Proves: the message a task leaves is in its outcome, whichever way it ends, kept to 127 bytes
   and cut at a character; broken UTF-8 is TR_ERR_INVALID and leaves none (O1, P4).
   Why it matters: it is the error text of a failed task.  Catches: keeping the pointer; half a
   character; messages of failures only. */
CASE(failure_message_is_kept) {
  tr_registry *registry = registry_new();
  check_left(registry, "disk full", TR_OK, "disk full");
  check_left(registry, "", TR_OK, "");
  check_left(registry, NULL, TR_OK, "");
  check_left(registry, "\xE2\x82\xAC", TR_OK, "\xE2\x82\xAC");
  check_left(registry, "\xFF", TR_ERR_INVALID, "");
  check_left(registry, "good\xC3", TR_ERR_INVALID, "");
  check_left(registry, "\xED\xA0\x80", TR_ERR_INVALID, "");
  for (int before = 122; before <= 129; before++) {
    char given[200], expected[200];
    memset(given, 'm', sizeof given);
    given[before] = 0;
    strcat(given, "\xF0\x9F\x98\x80tail");
    memcpy(expected, given, sizeof expected);
    size_t cut = 127;
    if (before < 127 && before + 4 > 127) cut = (size_t)before;
    expected[cut] = 0;
    check_left(registry, given, TR_OK, expected);
  }
  char *huge = malloc(10001);
  CHECK(huge != NULL);
  memset(huge, 'h', 10000);
  huge[10000] = 0;
  char expected[128];
  snprintf(expected, sizeof expected, "%.127s", huge);
  check_left(registry, huge, TR_OK, expected);
  free(huge);
  registry_finish(registry);
}

/* Proves: the last message counts; NULL removes it; an invalid one leaves the one before (O1). Why
   it matters: a task describes its latest problem. Catches: the first one winning; an invalid one
   that clears. */
CASE(last_message_stands) {
  tr_registry *registry = registry_new();
  struct message messages[] = {{"second", "a first that is longer", -99, 1, 0},
                               {NULL, "first", -99, 1, 0},
                               {"", "first", -99, 1, 0},
                               {"\xFF", "first", -99, 1, 0}};
  const char *const expected[] = {"second", "", "", "first"};
  for (int i = 0; i < 4; i++) {
    tr_task *task = spawn(registry, "says", body_leaves_message, &messages[i]);
    tr_outcome outcome = outcome_of(task);
    CHECK_EQ(i == 3 ? TR_ERR_INVALID : TR_OK, messages[i].status);
    CHECK_STR(expected[i], outcome.message);
    for (size_t at = strlen(expected[i]); at < sizeof outcome.message; at++)
      CHECK_EQ(0, outcome.message[at]);
    tr_task_release(task);
  }
  registry_finish(registry);
}

static int body_meddles(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message(ctx, "not mine"));
  return 0;
}

/* Proves: only the task itself may leave its message: not a thread outside, not another task
   (O1, P4).  Why it matters: the message is written without a lock.  Catches: accepting any
   caller. */
CASE(message_is_the_tasks_own) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "quiet", body_deaf, &gate);
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message(task, "from outside"));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message(task, NULL));
  wait_and_release(spawn(registry, "meddler", body_meddles, task));
  gate_open(&gate);
  tr_outcome outcome = outcome_of(task);
  CHECK_STR("", outcome.message);
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message(task, "too late"));
  outcome = outcome_of(task);
  CHECK_STR("", outcome.message);
  tr_task_release(task);
  registry_finish(registry);
}

/* ---- Waiting for a task -------------------------------------------------------------------- */

struct watcher {
  tr_task *task;
  int64_t timeout;
  tr_status status;
  tr_outcome outcome;
  _Atomic(pid_t) tid;
};

static void *watch_task(void *argument) {
  struct watcher *watcher = argument;
  watcher->outcome = (tr_outcome)TR_OUTCOME_INIT;
  atomic_store(&watcher->tid, gettid());
  watcher->status = tr_task_wait(watcher->task, watcher->timeout, &watcher->outcome);
  return NULL;
}

static int body_passes_gate_and_fails(tr_task *self, void *ctx) {
  gate_pass(ctx);
  CHECK_EQ(TR_OK, tr_task_set_message(self, "all of it"));
  return 31;
}

/* Proves: many threads may wait for one task, each with its own timeout, and all get the same
   outcome, before the end and after it, repeatedly (O3). Why it matters: the first caller does not
   consume the outcome. Catches: waking one waiter; a wait that joins the thread. */
CASE(many_may_wait_for_one_task) {
  for (int round = 0; round < check_rounds(30); round++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn(registry, "fails", TR_KIND_RPC_HANDLER, body_passes_gate_and_fails,
                             &gate, &task));
    struct watcher watchers[8];
    pthread_t threads[8];
    const int64_t timeouts[8] = {-1, INT64_MAX - 1, INT64_MAX, 3600 * SECOND, -1, 0, 1 * MS, 3 * MS};
    for (int i = 0; i < 8; i++) {
      memset(&watchers[i], 0, sizeof watchers[i]);
      watchers[i].task = task;
      watchers[i].timeout = timeouts[i];
      threads[i] = thread_start(watch_task, &watchers[i]);
    }
    for (int i = 5; i < 8; i++) {
      thread_end(threads[i]);
      CHECK_EQ(TR_ERR_TIMEDOUT, watchers[i].status);
      CHECK_EQ(0, watchers[i].outcome.how);
    }
    for (int i = 0; i < 5; i++) await_asleep(&watchers[i].tid);
    gate_open(&gate);
    for (int i = 0; i < 5; i++) {
      thread_end(threads[i]);
      CHECK_EQ(TR_OK, watchers[i].status);
      CHECK_EQ(TR_ENDED_FAILED, watchers[i].outcome.how);
      CHECK_EQ(31, watchers[i].outcome.code);
      CHECK_STR("all of it", watchers[i].outcome.message);
    }
    for (int i = 0; i < 3; i++) {
      tr_outcome outcome = TR_OUTCOME_INIT;
      CHECK_EQ(TR_OK, tr_task_wait(task, 0, &outcome));
      CHECK_EQ(31, outcome.code);
    }
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* Proves: a wait that times out does so not before its time and leaves the outcome untouched,
   and the task unflagged (O3, C3).  Why it matters: waiting for a task is not stopping it.
   Catches: raising the flag as a join does. */
CASE(wait_times_out_without_a_trace) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  tr_outcome outcome = TR_OUTCOME_INIT;
  outcome.code = 4711;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 30 * MS, &outcome));
  CHECK_BETWEEN_NS(30 * MS, 30 * MS + AT_ONCE, now_ns() - start);
  CHECK_EQ(4711, outcome.code);
  CHECK_EQ(0, outcome.how);
  CHECK_EQ(0, tr_task_is_cancelled(task));
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

/* Proves: a wait that meets the very end of a task is never lost, over thousands of tries (O3).
   Why it matters: a lost wake-up is a hang.  Catches: looking at the state before enlisting as a
   waiter. */
CASE(no_end_of_a_task_is_missed) {
  tr_registry *registry = registry_new();
  for (int round = 0; round < check_rounds(5000); round++) {
    tr_task *task = spawn(registry, "short", body_returns, NULL);
    for (int i = 0; i < round % 5; i++) sched_yield();
    CHECK_EQ(TR_OK, tr_task_wait(task, round % 2 ? FOREVER : 3600 * SECOND, NULL));
    tr_task_release(task);
  }
  registry_finish(registry);
}

/* ---- The log ------------------------------------------------------------------------------- */

struct entry {
  uint32_t level, event;
  tr_kind kind;
  uint64_t id;
  char task[64];
  char message[256];
  int32_t code;
  pid_t tid;
};

/* The events that a log callback received. Guards: `entries` and `count`. */
struct log {
  pthread_mutex_t lock;
  struct entry entries[64];
  int count;
  tr_registry *registry; /* called into when it is not NULL */
  struct gate *gate;     /* waited at when it is not NULL */
};

static void log_records(void *log_context, const tr_log_event *event) {
  struct log *log = log_context;
  CHECK(event != NULL && event->task != NULL && event->message != NULL);
  CHECK_EQ(sizeof *event, event->size);
  CHECK_EQ(0, event->reserved);
  CHECK(event->message[0] != 0 && strchr(event->message, '\n') == NULL);
  CHECK(event->level >= TR_LOG_INFO && event->level <= TR_LOG_ERROR);
  pthread_mutex_lock(&log->lock);
  CHECK(log->count < 64);
  struct entry *entry = &log->entries[log->count++];
  entry->level = event->level;
  entry->event = event->event;
  entry->kind = event->kind;
  entry->id = event->task_id;
  snprintf(entry->task, sizeof entry->task, "%s", event->task);
  snprintf(entry->message, sizeof entry->message, "%s", event->message);
  entry->code = event->code;
  entry->tid = gettid();
  pthread_mutex_unlock(&log->lock);
  if (log->gate != NULL) gate_pass(log->gate);
  if (log->registry != NULL && event->event != TR_EVENT_SPAWN_REJECTED) {
    CHECK(tr_len(log->registry) >= 1);
    size_t count = 0;
    CHECK_EQ(TR_OK, tr_snapshot(log->registry, NULL, 0, &count));
    CHECK(count >= 1);
    tr_token_release(tr_token_child(tr_registry_token(log->registry)));
    tr_task *task = NULL;
    tr_status status = tr_spawn(log->registry, "from the log", TR_KIND_MAINTENANCE, body_returns,
                                NULL, &task);
    CHECK(status == TR_OK || status == TR_ERR_CLOSED || status == TR_ERR_LIMIT);
    if (status == TR_OK) {
      if (tr_task_self() == NULL || !tr_task_is_cancelled(tr_task_self()))
        CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
      tr_task_release(task);
    }
  }
}

static tr_registry *registry_with_log(struct log *log, uint64_t max_tasks) {
  memset(log, 0, sizeof *log);
  CHECK_EQ(0, pthread_mutex_init(&log->lock, NULL));
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_records;
  options.log_context = log;
  options.max_tasks = max_tasks;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

static int count_of(struct log *log, uint32_t event) {
  int count = 0;
  pthread_mutex_lock(&log->lock);
  for (int i = 0; i < log->count; i++) count += log->entries[i].event == event;
  pthread_mutex_unlock(&log->lock);
  return count;
}

/* Proves: failed and exited tasks are logged once each, on the task's thread, with its id, name,
   kind, code, and its message, before its completion becomes observable; a task that returned 0 is
   not logged (O2, O1). Why it matters: log_context may be freed when the last task has ended; and a
   failure that no call waits for must still be seen. Catches: logging after the end is observable;
   a wrong level or code. */
CASE(failures_and_exits_are_logged) {
  struct log log;
  tr_registry *registry = registry_with_log(&log, 0);
  wait_and_release(spawn(registry, "fine", body_returns, NULL));
  CHECK_EQ(0, log.count);
  struct message message = {"no space left", NULL, -99, -28, 0};
  tr_task *failed = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, "writer", TR_KIND_PEER_CONNECTION, body_leaves_message,
                           &message, &failed));
  CHECK_EQ(TR_OK, tr_task_wait(failed, FOREVER, NULL));
  CHECK_EQ(1, log.count);
  struct entry *entry = &log.entries[0];
  CHECK_EQ(TR_EVENT_TASK_FAILED, entry->event);
  CHECK(entry->level == TR_LOG_WARNING || entry->level == TR_LOG_ERROR);
  CHECK_EQ(TR_KIND_PEER_CONNECTION, entry->kind);
  CHECK_EQ(tr_task_id(failed), entry->id);
  CHECK_STR("writer", entry->task);
  CHECK(strstr(entry->message, "no space left") != NULL);
  CHECK_EQ(-28, entry->code);
  CHECK(entry->tid != gettid());
  tr_task *exited = spawn(registry, "leaver", body_exits, NULL);
  CHECK_EQ(TR_OK, tr_task_wait(exited, FOREVER, NULL));
  CHECK_EQ(2, log.count);
  entry = &log.entries[1];
  CHECK_EQ(TR_EVENT_TASK_EXITED, entry->event);
  CHECK(entry->level == TR_LOG_WARNING || entry->level == TR_LOG_ERROR);
  CHECK_EQ(tr_task_id(exited), entry->id);
  CHECK_STR("leaver", entry->task);
  tr_task_release(failed);
  tr_task_release(exited);
  registry_finish(registry);
  CHECK_EQ(2, log.count);
}

/* Proves: after a join of many failing tasks every failure has been logged exactly once (O2,
   J2).  Why it matters: the log context is freed right after the join.  Catches: an event that
   is delivered after the end. */
CASE(every_failure_is_logged_before_the_join_returns) {
  for (int round = 0; round < check_rounds(100); round++) {
    struct log log;
    tr_registry *registry = registry_with_log(&log, 0);
    int code = 1;
    for (int i = 0; i < 10; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "fails", TR_KIND_RPC_HANDLER,
                               i % 2 ? body_fails : body_exits, &code, NULL));
    CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
    CHECK_EQ(5, count_of(&log, TR_EVENT_TASK_FAILED));
    CHECK_EQ(5, count_of(&log, TR_EVENT_TASK_EXITED));
    CHECK_EQ(10, log.count);
    registry_finish(registry);
    CHECK_EQ(0, pthread_mutex_destroy(&log.lock));
  }
}

/* Proves: a join's deadline is logged once, about no single task, and each rejected spawn with its
   name, kind and status: limit and closed; an invalid one is an event of its own kind (O2, S5, S6,
   P4). Why it matters: these are the first signs of trouble. Catches: missing or doubled events; an
   invalid call among the rejected spawns. */
CASE(deadlines_and_rejections_are_logged) {
  struct log log;
  tr_registry *registry = registry_with_log(&log, 1);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "n", 0, body_never, NULL, NULL));
  CHECK_EQ(2, count_of(&log, TR_EVENT_INVALID_CALL));
  CHECK_EQ(2, log.count);
  log.count = 0; /* events arise on this thread alone so far */
  CHECK_EQ(TR_ERR_LIMIT, tr_spawn(registry, "rejected", TR_KIND_PEER_CONNECTION, body_never, NULL,
                                  NULL));
  CHECK_EQ(1, log.count);
  CHECK_EQ(TR_EVENT_SPAWN_REJECTED, log.entries[0].event);
  CHECK_EQ(TR_ERR_LIMIT, log.entries[0].code);
  CHECK_EQ(TR_KIND_PEER_CONNECTION, log.entries[0].kind);
  CHECK_STR("rejected", log.entries[0].task);
  CHECK_EQ(0, log.entries[0].id);
  CHECK_EQ(gettid(), log.entries[0].tid);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, NULL));
  CHECK_EQ(2, log.count);
  CHECK_EQ(TR_EVENT_DEADLINE_EXCEEDED, log.entries[1].event);
  CHECK_EQ(0, log.entries[1].id);
  CHECK_EQ(0, log.entries[1].kind);
  CHECK_STR("", log.entries[1].task);
  CHECK_EQ(gettid(), log.entries[1].tid);
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(3, log.count);
  CHECK_EQ(TR_EVENT_SPAWN_REJECTED, log.entries[2].event);
  CHECK_EQ(TR_ERR_CLOSED, log.entries[2].code);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
  /* It was a straggler, and ended after all (E6). */
  CHECK_EQ(4, log.count);
  CHECK_EQ(TR_EVENT_TASK_LATE, log.entries[3].event);
}

/* Proves: a log callback may call the library, spawn and wait included, for each of the events
   (O2).  Why it matters: it may restart what failed.  Catches: calling back under the lock. */
CASE(log_callback_may_call_the_library) {
  struct log log;
  tr_registry *registry = registry_with_log(&log, 0);
  log.registry = registry;
  int code = 6;
  wait_and_release(spawn(registry, "fails", body_fails, &code));
  wait_and_release(spawn(registry, "exits", body_exits, NULL));
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  CHECK_EQ(1, count_of(&log, TR_EVENT_TASK_FAILED));
  CHECK_EQ(1, count_of(&log, TR_EVENT_TASK_EXITED));
  CHECK_EQ(1, count_of(&log, TR_EVENT_DEADLINE_EXCEEDED));
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

/* Proves: a log callback that blocks holds no other thread up: others spawn, list, wait and join
   meanwhile, and the task whose failure is being logged still counts as alive (O2, S4). Why it
   matters: a log goes to a disk that may be slow. Catches: calling back under the lock; ending the
   task first. */
CASE(blocked_log_callback_blocks_nobody_else) {
  struct log log;
  tr_registry *registry = registry_with_log(&log, 0);
  struct gate gate = GATE_INIT;
  log.gate = &gate;
  int code = 1;
  tr_task *failed = spawn(registry, "fails", body_fails, &code);
  gate_await(&gate, 1);
  for (int i = 0; i < 10; i++) wait_and_release(spawn(registry, "other", body_returns, NULL));
  CHECK_EQ(1, tr_len(registry));
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(failed), NULL));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(failed, 1 * MS, NULL));
  struct join_call call;
  join_begin_asleep(&call, registry, FOREVER);
  CHECK_EQ(0, atomic_load(&call.returned));
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  wait_and_release(failed);
  registry_finish(registry);
}

/* Proves: the library prints nothing, on standard output or standard error, through failures,
   exits, deadlines, rejections, invalid calls, closing and shutdown, with and without a log (O2).
   Why it matters: a library that prints breaks protocols on standard output and floods service
   logs. Catches: any print left in. */
CASE(nothing_is_printed) {
  fflush(NULL);
  int paper = memfd_create("printed", MFD_CLOEXEC);
  CHECK(paper >= 0);
  int out = dup(1), err = dup(2);
  CHECK(out >= 0 && err >= 0);
  CHECK(dup2(paper, 1) == 1 && dup2(paper, 2) == 2);
  for (int logged = 0; logged < 2; logged++) {
    struct log log;
    tr_registry *registry = registry_with_log(&log, 3);
    if (!logged) {
      registry_finish(registry);
      registry = registry_new();
    }
    int code = 3;
    wait_and_release(spawn(registry, "fails", body_fails, &code));
    wait_and_release(spawn(registry, "exits", body_exits, NULL));
    struct gate gate = GATE_INIT;
    for (int i = 0; i < 3; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
    if (logged)
      CHECK_EQ(TR_ERR_LIMIT, tr_spawn(registry, "full", TR_KIND_RPC_HANDLER, body_never, NULL,
                                      NULL));
    CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "\xFF", 0, NULL, NULL, NULL));
    CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, NULL));
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_FATAL, "quiet", 1 * MS, NULL));
    CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL,
                                     NULL));
    gate_open(&gate);
    registry_finish(registry);
  }
  fflush(NULL);
  CHECK(dup2(out, 1) == 1 && dup2(err, 2) == 2);
  close(out);
  close(err);
  CHECK_EQ(0, lseek(paper, 0, SEEK_END));
  close(paper);
}

CHECK_MAIN(
    CHECK_ENTRY(return_value_is_the_outcome),
    CHECK_ENTRY(pthread_exit_is_an_end_of_its_own),
    CHECK_ENTRY(cancelled_thread_is_an_end_of_its_own),
    CHECK_ENTRY(library_waits_are_no_cancellation_points),
    CHECK_ENTRY(failure_message_is_kept),
    CHECK_ENTRY(last_message_stands),
    CHECK_ENTRY(message_is_the_tasks_own),
    CHECK_ENTRY(many_may_wait_for_one_task),
    CHECK_ENTRY(wait_times_out_without_a_trace),
    CHECK_ENTRY(no_end_of_a_task_is_missed),
    CHECK_ENTRY(failures_and_exits_are_logged),
    CHECK_ENTRY(every_failure_is_logged_before_the_join_returns),
    CHECK_ENTRY(deadlines_and_rejections_are_logged),
    CHECK_ENTRY(log_callback_may_call_the_library),
    CHECK_ENTRY(blocked_log_callback_blocks_nobody_else),
    CHECK_ENTRY(nothing_is_printed))
