/* ladder.c - what a registry does about a task that stays stalled: event, explanation, last step. Rule F4, with E7,
   E12, C5, C15, O2, T6. */

#include "forking.h"
#include "stalls.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

/* A registry with a ladder whose times are `each`, and a log if `log` is not NULL. */
static tr_registry *registry_with_ladder(struct log *log, uint32_t last_step, int64_t each, int fd) {
  tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
  ladder.last_step = last_step;
  ladder.explain_after_ns = each;
  ladder.last_after_ns = each;
  ladder.explain_fd = fd;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log == NULL ? NULL : log_adds;
  options.log_context = log;
  options.ladder = &ladder;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  memset(&ladder, 0xAA, sizeof ladder); /* it was copied */
  return registry;
}

/* Pass over the lines of an explanation from event number `index` on; returns the number of the next event, which must
   have come or must come. */
static int pass_explanation(struct log *log, int index) {
  struct heard first = log_await(log, index);
  CHECK_EQ(TR_EVENT_STALL_EXPLAINED, first.event);
  CHECK_EQ(TR_LOG_WARNING, first.level);
  CHECK(strncmp(first.message, "stalled t", 9) == 0);
  while (log_await(log, index).event == TR_EVENT_STALL_EXPLAINED) {
    struct heard line = log_await(log, index++);
    CHECK_EQ(first.id, line.id);
    CHECK_STR(first.task, line.task);
    CHECK(strchr(line.message, '\n') == NULL && line.message[0] != 0);
  }
  return index;
}

static int body_stays_until_aborted(tr_task *self, void *ctx) {
  (void)self;
  if (ctx != NULL) CHECK_EQ(TR_OK, tr_heartbeat());
  CHECK_EQ(TR_OK, tr_checkpoint("staying"));
  while (tr_task_stop_level(self) != TR_STOP_ABORT) breathe();
  return 0;
}

static void wait_and_check_aborted(tr_task *task) {
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(task));
  tr_task_release(task);
}

/* Proves: a task that stays stalled is reported, then explained, line by line, with what it waits in and its
   checkpoint, and then told to abort, each after its time and once; the text at the descriptor is that of the events (F4).
   Why it matters: a hang at night is explained in the log before anything is done about it.
   Catches: steps in another order, or before their time; an explanation of every check; an abort that reaches nobody. */
CASE(the_steps_come_one_after_the_other) {
  static struct log log;
  log_init(&log, NULL);
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  int64_t interval = 20 * MS, each = 30 * MS, before = now_ns();
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_ABORT_TASK, each, ends[1]);
  tr_task *task = spawn_with_interval(registry, "peer", interval, body_stays_until_aborted, NULL, NULL);
  struct heard stalled = log_await(&log, 0);
  CHECK_EQ(TR_EVENT_TASK_STALLED, stalled.event);
  struct heard explained = log_await(&log, 1);
  CHECK(now_ns() - before >= interval + each);
  CHECK(strncmp(explained.message, "stalled task peer: ", 19) == 0);
  CHECK_STR("taskreg-events", explained.thread);
  CHECK_EQ(tr_task_id(task), explained.id);
  CHECK_EQ(TR_KIND_RPC_HANDLER, explained.kind);
  int next = pass_explanation(&log, 1);
  CHECK(now_ns() - before >= interval + 2 * each);
  struct heard aborted = log_await(&log, next);
  CHECK_EQ(TR_EVENT_STALL_ABORTED, aborted.event);
  CHECK_EQ(TR_LOG_ERROR, aborted.level);
  CHECK_EQ(tr_task_id(task), aborted.id);
  char *end;
  CHECK(strncmp(aborted.message, "no heartbeat for ", 17) == 0);
  CHECK(read_duration(aborted.message + 17, &end) >= (double)(interval + 2 * each));
  CHECK_STR(", told to abort", end);
  wait_and_check_aborted(task);
  CHECK_EQ(next + 1, log_count(&log));
  int has_checkpoint = 0;
  char text[4096] = {0};
  for (int i = 1; i < next; i++) {
    has_checkpoint |= strstr(log.all[i].message, "at \"staying\"") != NULL;
    strcat(strcat(text, log.all[i].message), "\n");
  }
  CHECK(has_checkpoint);
  char written[4096] = {0};
  for (size_t length = 0; length < strlen(text);) {
    ssize_t count = read(ends[0], written + length, sizeof written - 1 - length);
    CHECK(count > 0);
    length += (size_t)count;
  }
  CHECK_STR(text, written);
  registry_finish(registry);
  timer_thread_leaves();
  CHECK_EQ(0, close(ends[1]));
  CHECK_EQ(0, read(ends[0], written, 1));
  close(ends[0]);
}

/* Proves: a heartbeat between the steps begins anew, after the event as after the explanation; only a task that stays
   silent is told to abort (F4).  Why it matters: what is slow must not be dropped.
   Catches: a time that counts from the first stall; a step that is remembered. */
CASE(a_heartbeat_begins_anew) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_ABORT_TASK, 30 * MS * check_scale(), 0);
  struct puppet puppet;
  puppet_init(&puppet);
  tr_task *task = spawn_with_interval(registry, "slow", 10 * MS, body_is_puppet, &puppet, NULL);
  int next = 0, explained = 0;
  for (int round = 0; round < 6; round++) {
    CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(&log, next++).event);
    if (round % 2 == 1) log_await(&log, next);
    puppet_beats(&puppet);
    if (log_await(&log, next).event == TR_EVENT_STALL_EXPLAINED) {
      next = pass_explanation(&log, next);
      explained++;
    }
    CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(&log, next++).event);
    CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(task));
  }
  CHECK(explained >= 3);
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(&log, next++).event);
  next = pass_explanation(&log, next);
  CHECK_EQ(TR_EVENT_STALL_ABORTED, log_await(&log, next).event);
  puppet_leaves(&puppet);
  wait_and_check_aborted(task);
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: without a last step nothing is done to the task, and without a ladder it is not explained either (F4, C5).
   Why it matters: nothing is dropped or ended unless the application says so.  Catches: a default that aborts. */
CASE(nothing_is_done_unasked) {
  static struct log log, plain;
  log_init(&log, NULL);
  log_init(&plain, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_NOTHING, 5 * MS, 0);
  tr_registry *without = registry_with(log_adds, &plain);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn_with_interval(registry, "stays", 5 * MS, body_deaf, &gate, NULL);
  tr_task *other = spawn_with_interval(without, "other", 5 * MS, body_deaf, &gate, NULL);
  log_await(&log, 1);
  log_await(&plain, 0);
  timer_thread_settles();
  int count = log_count(&log);
  for (int64_t start = now_ns(); now_ns() - start < 200 * MS;) breathe();
  CHECK_EQ(count, log_count(&log));
  CHECK_EQ(1, log_count(&plain));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(task));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(other));
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by_cancel());
  gate_open(&gate);
  wait_and_release(task);
  wait_and_release(other);
  registry_finish(registry);
  registry_finish(without);
  timer_thread_leaves();
}

/* Proves: times of 0 are as long as the heartbeat interval of the task (F4).
   Why it matters: one registry has tasks of milliseconds and of minutes.  Catches: a default of no time at all. */
CASE(the_default_times_are_the_interval) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_ABORT_TASK, 0, 0);
  int64_t before = now_ns();
  tr_task *task = spawn_with_interval(registry, "stays", 40 * MS, body_stays_until_aborted, NULL, NULL);
  log_await(&log, 1);
  CHECK(now_ns() - before >= 80 * MS);
  wait_and_check_aborted(task);
  CHECK(now_ns() - before >= 120 * MS);
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: without a log the explanation goes to the descriptor alone, and the last step is taken; with neither, too
   (F4).  Why it matters: a program without a log is one that nobody watches.  Catches: steps that only a log makes. */
CASE(a_registry_without_a_log) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  for (int has_fd = 1; has_fd >= 0; has_fd--) {
    tr_registry *registry = registry_with_ladder(NULL, TR_LADDER_ABORT_TASK, 10 * MS, has_fd ? ends[1] : 0);
    tr_task *task = spawn_with_interval(registry, "unseen", 10 * MS, body_stays_until_aborted, NULL, NULL);
    wait_and_check_aborted(task);
    registry_finish(registry);
    timer_thread_leaves();
  }
  char text[4096] = {0};
  CHECK(read(ends[0], text, sizeof text - 1) > 0);
  CHECK_MSG(strncmp(text, "stalled task unseen: ", 21) == 0, "the text is %.300s", text);
  CHECK(strstr(text, "  at \"staying\"\n") != NULL);
  close(ends[0]);
  close(ends[1]);
}

static void called_in_time(void *ctx) { sem_post(ctx); }

/* Proves: explanations for which nobody reads do not hold up the event threads, of which there are eight: the callback
   of a timeout is called, and each task that stalls is told to abort (F4, C11).
   Why it matters: explain_fd is a pipe to a log collector, which hangs when everything does.
   Catches: a write that waits for its reader. */
CASE(explanations_that_nobody_reads) {
  enum { tasks = 12 };
  int ends[2];
  char page[4096] = {0};
  CHECK_EQ(0, pipe2(ends, O_NONBLOCK));
  while (write(ends[1], page, sizeof page) > 0) continue;
  while (write(ends[1], page, 1) > 0) continue;
  CHECK_EQ(0, fcntl(ends[1], F_SETFL, 0));
  tr_registry *registry = registry_with_ladder(NULL, TR_LADDER_ABORT_TASK, 10 * MS, ends[1]);
  tr_task *all[tasks];
  for (int i = 0; i < tasks; i++)
    all[i] = spawn_with_interval(registry, "unseen", 10 * MS, body_stays_until_aborted, NULL, NULL);
  for (int i = 0; i < tasks; i++) wait_and_check_aborted(all[i]);
  sem_t called;
  sem_init(&called, 0, 0);
  tr_token *token = tr_token_create_with_timeout(500 * MS * check_scale()); /* not over before the next call */
  tr_registration *registration = NULL;
  CHECK(token != NULL);
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, called_in_time, &called, NULL, &registration));
  sem_take(&called);
  tr_registration_remove(registration);
  tr_token_release(token);
  sem_destroy(&called);
  registry_finish(registry);
  timer_thread_leaves();
  close(ends[0]);
  close(ends[1]);
}

static int body_pauses(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_heartbeat_pause());
  gate_pass(ctx);
  CHECK_EQ(TR_OK, tr_heartbeat_resume());
  return body_stays_until_aborted(self, NULL);
}

static int body_waits_left_out(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 10 * MS, TR_HEARTBEAT_EXCEPT_WAITS));
  CHECK_EQ(TR_OK, tr_sleep(300 * MS));
  gate_pass(ctx);
  return 0;
}

/* Proves: no step is taken while the interval is paused, or in a wait that is left out (F4, E7).
   Why it matters: a migration that takes an hour is announced, and must not be dropped.
   Catches: a check that only looks at the last heartbeat. */
CASE(a_paused_task_is_left_alone) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_ABORT_TASK, 10 * MS, 0);
  struct gate gate = GATE_INIT, other_gate = GATE_INIT;
  gate_open(&other_gate);
  wait_and_release(spawn(registry, "waits", body_waits_left_out, &other_gate));
  int before = log_count(&log); /* on a busy machine it may have stalled beside the wait */
  for (int i = 0; i < before; i++) CHECK(log.all[i].event != TR_EVENT_STALL_ABORTED || check_scale() > 1);
  tr_task *task = spawn_with_interval(registry, "pauses", SECOND * check_scale(), body_pauses, &gate, NULL);
  gate_await(&gate, 1);
  for (int64_t start = now_ns(); now_ns() - start < 300 * MS;) breathe();
  CHECK_EQ(before, log_count(&log));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(task));
  gate_open(&gate);
  wait_and_check_aborted(task);
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(&log, before).event);
  CHECK_EQ(TR_EVENT_STALL_ABORTED, log_await(&log, pass_explanation(&log, before + 1)).event);
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_beats(tr_task *self, void *ctx) {
  (void)ctx;
  while (!tr_task_is_cancelled(self)) {
    CHECK_EQ(TR_OK, tr_heartbeat());
    breathe();
  }
  return 0;
}

static void is_stopped(void) {
  begin_as_child();
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_END_PROCESS, 200 * MS * check_scale(), 0);
  tr_task *task = spawn_with_interval(registry, "beats", 200 * MS * check_scale(), body_beats, NULL, NULL);
  for (int round = 0; round < 3; round++) {
    CHECK_EQ(0, raise(SIGSTOP));
    for (int64_t start = now_ns(); now_ns() - start < 50 * MS;) breathe();
    CHECK_EQ(0, log_count(&log));
  }
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a process that was stopped for longer than the whole ladder goes on as if it had not been (F4, E7).
   Why it matters: a debugger or a frozen container must not cost the process its life.
   Catches: steps that are due on CLOCK_MONOTONIC. */
CASE(a_stopped_process_climbs_nothing) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    is_stopped();
    _exit(0);
  }
  int status;
  while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
    poll(NULL, 0, 1000);
    CHECK_EQ(0, kill(child, SIGCONT));
  }
  CHECK_EXITED(0, status);
}

/* A callback that waits for the task that is told to abort. */
struct abort_waiter {
  tr_task *_Atomic task;
  struct gate gate;
  tr_status status;
};

static void waits_for_the_end(void *ctx) {
  struct abort_waiter *waiter = ctx;
  while (atomic_load(&waiter->task) == NULL) breathe();
  waiter->status = tr_task_wait(atomic_load(&waiter->task), FOREVER, NULL);
  gate_arrive(&waiter->gate);
}

/* Proves: a callback for the abort may wait for the end of the task (F4, C15, P7).
   Why it matters: that is what a callback that closes the task's connection does.
   Catches: an abort inside the report, which the end of the task waits for. */
CASE(a_callback_waits_for_the_end) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_ABORT_TASK, 20 * MS, 0);
  struct abort_waiter waiter = {NULL, GATE_INIT, 1};
  tr_task *task = spawn_with_interval(registry, "peer", 50 * MS, body_stays_until_aborted, NULL, NULL);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_abort(task, waits_for_the_end, &waiter, NULL, &registration));
  atomic_store(&waiter.task, task);
  gate_await(&waiter.gate, 1);
  CHECK_EQ(TR_OK, waiter.status);
  tr_registration_remove(registration);
  wait_and_check_aborted(task);
  registry_finish(registry);
  timer_thread_leaves();
}

/* Ends its thread in the event that `ends_in` names. */
static _Atomic uint32_t ends_in;
static atomic_int ended_threads;
static void log_ends_its_thread(void *context, const tr_log_event *event) {
  log_adds(context, event);
  if (event->event == atomic_load(&ends_in)) {
    atomic_fetch_add(&ended_threads, 1);
    pthread_exit(NULL);
  }
}

/* Proves: a log callback that ends its thread in the middle of a step does not keep the next from coming (F4, P7).
   Why it matters: a log that fails is when it is needed.  Catches: an abort that goes with the thread. */
CASE(the_log_may_end_its_thread) {
  static const uint32_t all[] = {TR_EVENT_TASK_STALLED, TR_EVENT_STALL_EXPLAINED, TR_EVENT_STALL_ABORTED};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    static struct log log;
    log_init(&log, NULL);
    atomic_store(&ends_in, all[i]);
    atomic_store(&ended_threads, 0);
    tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
    ladder.last_step = TR_LADDER_ABORT_TASK;
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.log = log_ends_its_thread;
    options.log_context = &log;
    options.ladder = &ladder;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    tr_task *task = spawn_with_interval(registry, "peer", 10 * MS, body_stays_until_aborted, NULL, NULL);
    wait_and_check_aborted(task);
    CHECK_EQ(1, atomic_load(&ended_threads));
    registry_finish(registry);
    timer_thread_leaves();
  }
}

/* Proves: a group has its parent's ladder, or its own (F4, T6).  Why it matters: connections are dropped, the journal
   is not.  Catches: a ladder of the root registry for all; one that no group has. */
CASE(groups_have_ladders) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_ABORT_TASK, 10 * MS, 0), *with = NULL, *without = NULL;
  tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.ladder = &ladder;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "with", &options, &with));
  CHECK_EQ(TR_OK, tr_registry_child(registry, "without", NULL, &without));
  struct gate gate = GATE_INIT;
  tr_task *one = spawn_with_interval(with, "one", 5 * MS, body_deaf, &gate, NULL);
  tr_task *other = spawn_with_interval(without, "other", 5 * MS, body_stays_until_aborted, NULL, NULL);
  wait_and_check_aborted(other);
  for (int at = 0, explained = 0; !explained; at++) {
    struct heard heard = log_await(&log, at);
    explained = heard.event == TR_EVENT_STALL_EXPLAINED && strcmp(heard.task, "one") == 0;
    if (explained) CHECK(strncmp(heard.message, "stalled task with/one: ", 23) == 0);
  }
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(one));
  gate_open(&gate);
  wait_and_release(one);
  tr_registry_release(with);
  tr_registry_release(without);
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: a thread that is not a task is explained, too; there is no abort for it (F4, E7).
   Why it matters: main's loop hangs like any other.  Catches: an explanation of tasks alone; an abort of no task. */
CASE(a_thread_is_explained) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_ABORT_TASK, 10 * MS, 0);
  char name[16] = "", expected[64];
  pthread_getname_np(pthread_self(), name, sizeof name);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(registry, 10 * MS, 0));
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(&log, 0).event);
  struct heard explained = log_await(&log, 1);
  CHECK_EQ(TR_EVENT_STALL_EXPLAINED, explained.event);
  CHECK_EQ(0, explained.id);
  CHECK_STR(name, explained.task);
  snprintf(expected, sizeof expected, "stalled thread %d (main) \"%s\": state ", (int)getpid(), name);
  CHECK_MSG(strncmp(explained.message, expected, strlen(expected)) == 0, "it is \"%s\"", explained.message);
  for (int64_t start = now_ns(); now_ns() - start < 100 * MS;) breathe();
  CHECK_EQ(2, log_count(&log));
  CHECK_EQ(TR_OK, tr_heartbeat());
  CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(&log, 2).event);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0));
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: once backtraces are enabled, an explanation has one (F4, E12).
   Why it matters: it says where the program hangs.  Catches: an explanation that never takes any. */
CASE(an_explanation_has_a_backtrace) {
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 2));
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with_ladder(&log, TR_LADDER_NOTHING, 10 * MS, 0);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn_with_interval(registry, "stays", 10 * MS, body_deaf, &gate, NULL);
  int frames = 0;
  for (int at = 1; frames == 0; at++) frames = strncmp(log_await(&log, at).message, "  #0 0x", 7) == 0;
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: a ladder that is wrong is rejected, and one of a later release is read as far as it is known (F4, P4).
   Why it matters: a program that believes that it is watched is not.  Catches: a number that is taken for nothing. */
CASE(wrong_ladders) {
  struct {
    tr_ladder_options ladder;
    char behind[16];
  } given;
  memset(&given, 0, sizeof given);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.ladder = &given.ladder;
  tr_registry *registry = NULL, *parent = registry_new();
  for (int wrong = 0; wrong < 9; wrong++) {
    given.ladder = (tr_ladder_options)TR_LADDER_OPTIONS_INIT;
    memset(given.behind, 0, sizeof given.behind);
    if (wrong == 0) given.ladder.last_step = 3;
    if (wrong == 1) given.ladder.last_step = UINT32_MAX;
    if (wrong == 2) given.ladder.explain_after_ns = -1;
    if (wrong == 3) given.ladder.last_after_ns = INT64_MIN;
    if (wrong == 4) given.ladder.explain_fd = -1;
    if (wrong == 5) given.ladder.reserved = 1;
    if (wrong == 6) given.ladder.size -= 1;
    if (wrong == 7) given.ladder.size = 0;
    if (wrong == 8) {
      given.ladder.size += 16;
      given.behind[15] = 1;
    }
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
    CHECK_EQ(TR_ERR_INVALID, tr_registry_child(parent, "group", &options, &registry));
    CHECK(registry == NULL);
  }
  given.behind[15] = 0;
  given.ladder.explain_after_ns = INT64_MAX;
  given.ladder.last_after_ns = INT64_MAX;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  struct gate gate = GATE_INIT;
  tr_task *task = spawn_with_interval(registry, "stays", MS, body_deaf, &gate, NULL);
  while (tr_health(registry, NULL, 0, NULL) == TR_OK) breathe();
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
  registry_finish(parent);
  timer_thread_leaves();
}

/* ---- The end of the process -------------------------------------------------------------------- */

static char report[1 << 16];

/* Run a program in a child until it is gone, and read what it writes to `out`. Returns the status of waitpid. */
static int run_child(void (*program)(int out)) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    check_process = 0;
    program(ends[1]);
    _exit(99);
  }
  close(ends[1]);
  memset(report, 0, sizeof report);
  size_t length = 0;
  ssize_t count;
  while ((count = read(ends[0], report + length, sizeof report - 1 - length)) > 0) length += (size_t)count;
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  return status;
}

static struct gate stall_gate = GATE_INIT;
static void log_hangs(void *context, const tr_log_event *event) {
  (void)context, (void)event;
  gate_pass(&stall_gate); /* which nobody opens */
}

static void log_is_slow(void *context, const tr_log_event *event) {
  (void)context;
  if (event->event == TR_EVENT_TASK_STALLED) poll(NULL, 0, 200);
}

static void log_of_the_end_hangs(void *context, const tr_log_event *event) {
  if (event->event == TR_EVENT_TASK_RECOVERED) log_hangs(context, event);
  gate_arrive(context);
}

static void begin_to_stall(tr_log_fn log) {
  tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
  ladder.last_step = TR_LADDER_END_PROCESS;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log;
  options.ladder = &ladder;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  static struct gate gate = GATE_INIT;
  tr_task_release(spawn_with_interval(registry, "the \"task\"\n", 20 * MS, body_deaf, &gate, NULL));
}

static void stall_forever(tr_log_fn log) {
  begin_to_stall(log);
  for (;;) pause();
}

static void arm_for(int out, uint32_t flags, int32_t code) {
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.flags = flags;
  options.code = code;
  options.fd = out;
  CHECK_EQ(TR_OK, tr_exit_by(3600 * SECOND, &options));
}

static void stalls_armed(int out) {
  arm_for(out, 0, 7);
  stall_forever(NULL);
}
static void stalls_armed_for_a_signal(int out) {
  arm_for(out, TR_EXIT_FROM_SIGNAL, 8);
  stall_forever(NULL);
}
static void stalls_with_a_log_that_hangs(int out) {
  arm_for(out, 0, 9);
  stall_forever(log_hangs);
}
static void stalls_and_is_armed_later(int out) {
  begin_to_stall(log_hangs);
  gate_await(&stall_gate, 1);
  poll(NULL, 0, 200);
  arm_for(out, 0, 4);
  for (;;) pause();
}
/* The task sends one heartbeat after its stall was logged, and none after that. */
static void stall_again(int out, tr_log_fn log, struct gate *gate) {
  arm_for(out, 0, 10);
  tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
  ladder.last_step = TR_LADDER_END_PROCESS;
  ladder.last_after_ns = 500 * MS;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log;
  options.log_context = gate;
  options.ladder = &ladder;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  struct puppet puppet;
  puppet_init(&puppet);
  tr_task_release(spawn_with_interval(registry, "the \"task\"\n", 20 * MS, body_is_puppet, &puppet, NULL));
  gate_await(gate, 1);
  poll(NULL, 0, 10);
  sem_post(&puppet.go);
  for (;;) pause();
}
static void stalls_again_while_the_log_hangs(int out) { stall_again(out, log_hangs, &stall_gate); }
static void stalls_again_while_the_end_is_logged(int out) {
  static struct gate logged = GATE_INIT;
  stall_again(out, log_of_the_end_hangs, &logged);
}
static void stall_unarmed(int out, tr_log_fn log) {
  CHECK(dup2(out, STDERR_FILENO) == STDERR_FILENO);
  arm_for(out, 0, 6);
  CHECK_EQ(TR_OK, tr_exit_by_cancel());
  stall_forever(log);
}
static void stalls_unarmed(int out) { stall_unarmed(out, NULL); }
static void stalls_unarmed_with_a_slow_log(int out) { stall_unarmed(out, log_is_slow); }

static void check_ended_by_the_ladder(void (*program)(int), int code) {
  int status = run_child(program);
  CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == code, "the status is %#x: %.300s", (unsigned)status, report);
  const char *start = "libtaskreg: no heartbeat from the \"task\"\\x0a for ";
  CHECK_MSG(strncmp(report, start, strlen(start)) == 0, "the report is %.300s", report);
  char *end;
  CHECK(read_duration(report + strlen(start), &end) >= 60e6);
  char rest[80];
  snprintf(rest, sizeof rest, ", and the process ends now with status %d\n", code);
  CHECK_MSG(strncmp(end, rest, strlen(rest)) == 0, "the report is %.300s", report);
  CHECK(strstr(report, ", heartbeat overdue\n") != NULL);
  CHECK(strstr(report, " threads\nlibtaskreg: end of the report\n") != NULL);
}

/* Proves: TR_LADDER_END_PROCESS ends the process as tr_exit_by has armed it, long before its time and before any signal,
   and says whose heartbeat is missing; with the defaults if nothing is armed (F4, F1, F2).
   Why it matters: a service that hangs is restarted, and its log says why.
   Catches: an end that waits for the time that was armed; one that needs a log. */
CASE(the_process_ends) {
  check_ended_by_the_ladder(stalls_armed, 7);
  check_ended_by_the_ladder(stalls_armed_for_a_signal, 8);
  check_ended_by_the_ladder(stalls_unarmed, 124);
}

/* Proves: the same while a log callback hangs in an earlier step (F4).
   Why it matters: the log is often what hangs.  Catches: a last step that waits for the one before. */
CASE(the_process_ends_although_the_log_hangs) { check_ended_by_the_ladder(stalls_with_a_log_that_hangs, 9); }

/* Proves: the same although a heartbeat came while the log callback hung, or the end of the stall is what it hangs in
   (F4). Why it matters: a loop that goes round once more, and then waits for the log itself.
   Catches: a ladder that waits for the end of a report before it begins anew. */
CASE(the_process_ends_after_a_last_heartbeat) {
  check_ended_by_the_ladder(stalls_again_while_the_log_hangs, 10);
  check_ended_by_the_ladder(stalls_again_while_the_end_is_logged, 10);
}

/* Proves: where nothing is armed, a last step that is due while a log callback is in an earlier one is taken once that
   has returned (F4). Why it matters: an explanation with a backtrace takes longer than a short interval, and nothing else
   would end the process.  Catches: a step that counts as taken although nobody took it. */
CASE(the_process_ends_after_a_slow_log) { check_ended_by_the_ladder(stalls_unarmed_with_a_slow_log, 124); }

/* Proves: a process that is armed while the log hangs, and the last step is due, ends by that step (F4).
   Why it matters: a service arms itself when it begins to stop, and the log hangs already.
   Catches: a step that is looked at once. */
CASE(a_process_that_is_armed_later_ends) { check_ended_by_the_ladder(stalls_and_is_armed_later, 4); }

/* Hangs until the program opens the gate. */
static struct gate busy_gate = GATE_INIT;
static void log_is_busy(void *context, const tr_log_event *event) {
  (void)context;
  if (event->event == TR_EVENT_TASK_STALLED) gate_pass(&busy_gate);
}

/* All threads that could take the last step are busy until the task has ended; later the process is armed. */
static void ends_before_its_last_step(int out) {
  enum { event_threads = 8 };
  arm_for(out, 0, 5);
  CHECK_EQ(TR_OK, tr_exit_by_cancel());
  static struct gate gate = GATE_INIT, other_gate = GATE_INIT;
  tr_registry *busy = registry_with(log_is_busy, NULL);
  for (int i = 0; i < event_threads; i++)
    tr_task_release(spawn_with_interval(busy, "busy", MS, body_deaf, &gate, NULL));
  gate_await(&busy_gate, event_threads);
  tr_registry *registry = registry_with_ladder(NULL, TR_LADDER_END_PROCESS, MS, 0);
  tr_task *task = spawn_with_interval(registry, "late", 20 * MS, body_deaf, &other_gate, NULL);
  poll(NULL, 0, 300);
  gate_open(&other_gate);
  wait_and_release(task);
  gate_open(&busy_gate);
  arm_for(out, 0, 6);
  poll(NULL, 0, 300);
  CHECK_EQ(TR_OK, tr_exit_by_cancel());
  _exit(3);
}

/* Proves: a stall that is over before its last step is taken ends nothing, neither then nor once the process is armed
   (F4). Why it matters: an hour later a healthy service arms its end as it begins to stop, and would be gone at once.
   Catches: a stall that is stored although nothing is armed. */
CASE(a_stall_that_is_over_ends_nothing) {
  int status = run_child(ends_before_its_last_step);
  CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 3, "the status is %#x: %.300s", (unsigned)status, report);
}

/* ---- Everything at random ---------------------------------------------------------------------- */

struct random_beats {
  unsigned random;
};

static int body_beats_at_random(tr_task *self, void *ctx) {
  struct random_beats *beats = ctx;
  for (int i = 0; i < 40 && tr_task_stop_level(self) == TR_STOP_NONE; i++) {
    beats->random = beats->random * 1664525u + 1013904223u;
    struct timespec moment = {0, (beats->random >> 8) % 5000000};
    nanosleep(&moment, NULL);
    CHECK_EQ(TR_OK, tr_heartbeat());
  }
  if (beats->random & 0x100) pthread_exit(NULL);
  return 0;
}

/* Claim: whenever tasks send heartbeats, and whenever they end, the events of each are a stall, its explanation, an abort
   and a recovery, in this order, each at most once and none without the ones before, or the recovery after any of them;
   none comes after the end of the task, and none is told to abort without an event.
   Proves: that (F4, E7).  Why it matters: an operator reads them in order.
   Catches: a step that a heartbeat does not take back; a report that the end does not wait for. */
CASE(the_steps_are_in_order_whatever_happens) {
  static struct log log;
  enum { tasks = 4 };
  for (int round = 0; round < check_rounds(40); round++) {
    log_init(&log, NULL);
    tr_registry *registry = registry_with_ladder(&log, TR_LADDER_ABORT_TASK, MS, 0);
    struct random_beats beats[tasks];
    tr_task *all[tasks];
    for (int i = 0; i < tasks; i++) {
      beats[i].random = (unsigned)(round * tasks + i) * 7919u;
      all[i] = spawn_with_interval(registry, "random", MS, body_beats_at_random, &beats[i], NULL);
    }
    for (int i = 0; i < tasks; i++) {
      CHECK_EQ(TR_OK, tr_task_wait(all[i], FOREVER, NULL));
      int count = log_count(&log);
      uint32_t last = TR_EVENT_TASK_RECOVERED, aborted = 0;
      for (int at = 0; at < count; at++) {
        uint32_t event = log.all[at].event;
        if (log.all[at].id != tr_task_id(all[i]) || event == TR_EVENT_TASK_EXITED) continue;
        switch (event) {
          case TR_EVENT_TASK_STALLED: CHECK_EQ(TR_EVENT_TASK_RECOVERED, last); break;
          case TR_EVENT_STALL_EXPLAINED:
            CHECK(last == TR_EVENT_TASK_STALLED || last == TR_EVENT_STALL_EXPLAINED);
            CHECK_EQ(last == TR_EVENT_TASK_STALLED, strncmp(log.all[at].message, "stalled task ", 13) == 0);
            break;
          case TR_EVENT_STALL_ABORTED:
            CHECK_EQ(TR_EVENT_STALL_EXPLAINED, last);
            aborted = 1;
            break;
          default:
            CHECK_EQ(TR_EVENT_TASK_RECOVERED, event);
            CHECK(last != TR_EVENT_TASK_RECOVERED);
        }
        last = event;
      }
      if (!aborted) CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(all[i]));
      beats[i].random = (unsigned)count;
    }
    registry_finish(registry);
    for (int i = 0; i < tasks; i++) {
      for (int at = (int)beats[i].random; at < log.count; at++) CHECK(log.all[at].id != tr_task_id(all[i]));
      tr_task_release(all[i]);
    }
  }
  timer_thread_leaves();
}

CHECK_MAIN(CHECK_ENTRY(the_steps_come_one_after_the_other), CHECK_ENTRY(a_heartbeat_begins_anew),
           CHECK_ENTRY(nothing_is_done_unasked), CHECK_ENTRY(the_default_times_are_the_interval),
           CHECK_ENTRY(a_registry_without_a_log),
           CHECK_ENTRY(explanations_that_nobody_reads), CHECK_ENTRY(a_paused_task_is_left_alone),
           CHECK_ENTRY(a_stopped_process_climbs_nothing), CHECK_ENTRY(a_callback_waits_for_the_end),
           CHECK_ENTRY(the_log_may_end_its_thread), CHECK_ENTRY(groups_have_ladders),
           CHECK_ENTRY(a_thread_is_explained), CHECK_ENTRY(an_explanation_has_a_backtrace),
           CHECK_ENTRY(wrong_ladders), CHECK_ENTRY(the_process_ends),
           CHECK_ENTRY(the_process_ends_although_the_log_hangs), CHECK_ENTRY(the_process_ends_after_a_slow_log),
           CHECK_ENTRY(the_process_ends_after_a_last_heartbeat), CHECK_ENTRY(a_process_that_is_armed_later_ends),
           CHECK_ENTRY(a_stall_that_is_over_ends_nothing),
           CHECK_ENTRY(the_steps_are_in_order_whatever_happens))
