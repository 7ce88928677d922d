/* failing.c - every call that the library makes of the system fails, one after the other. Rules P4,
   S6, S4, G4, C6, J4, E1, E5, E7 to E12.

   Three scenarios use the whole interface, two of them the parts that need threads of the library.
   Each runs in one child process after the other, and in the n-th the n-th call that the library
   makes of the system fails (fault.h), until there is no n-th. Each call of the interface must
   then still succeed, or return TR_ERR_NOMEM, TR_ERR_AGAIN or TR_ERR_SYSTEM (or NULL) and succeed
   when it is made again. At the end nothing is left: no memory, no mapping, no descriptor, no
   thread. An alarm ends a child that hangs.

   Calls that do not fail here, and why that is right:
   - clock_gettime: of CLOCK_MONOTONIC and CLOCK_REALTIME, with a valid address, it cannot fail
     (clock_gettime(2): EFAULT, EINVAL for clocks the kernel does not know). Timers there are none: waits
     with a deadline are pthread_cond_timedwait and ppoll.
   - mutexes, condition variables and their attributes, cancel states, signal masks, detaching: the library
     stops the program when one of these fails (mustSucceed). In glibc they allocate nothing and ask
     the kernel for nothing that could fail; they fail for arguments that only a defect
     of the library could hand them.
   - pthread_setspecific fails in glibc when a thread gets its first value of a key beyond the 32nd,
     for which it allocates. So the scenario runs in processes with 40 keys, too, and the allocation is
     made to fail.
   - sigaction: with a number and a handler that are right it cannot fail.
   - munmap, close, write to an eventfd: see fault.c and cp_descriptors.h; they release, or cannot fail.

   A scenario of several threads does not make its calls in the same order each time. So the n-th is
   not always the same call, and all are tried all the same. */

#define CHECK_WATCHDOG_SECONDS 1500

#include "support.h"

#include "fault.h"

#include <dlfcn.h>
#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- Calls that may fail -------------------------------------------------------------------- */

/* How many calls of the interface have failed because a system call failed, and how many were
   made. */
static atomic_int failures_seen, calls_made;

/* Whether all system calls fail until a call of the interface has failed. */
static int lasts;

/* A call of the interface has failed: check whether it may. From here on no system call fails. */
static void check_failure(tr_status status, const char *call, int line) {
  if (status != TR_ERR_NOMEM && status != TR_ERR_AGAIN && status != TR_ERR_SYSTEM)
    check_fail(__FILE__, line, "%s returned %d after %s failed", call, (int)status,
               faulted_call());
  if (faulted_calls() == 0 || (atomic_fetch_add(&failures_seen, 1) > 0 && !lasts))
    check_fail(__FILE__, line, "%s returned %d, and no call had failed", call, (int)status);
  fault_none();
}

/* Make a call that returns `expected`, or fails because of a system call and then returns it. */
#define EXPECT(expected, call)                                                                     \
  do {                                                                                             \
    atomic_fetch_add(&calls_made, 1);                                                              \
    tr_status status_of_call = (call);                                                             \
    if (status_of_call != (expected)) {                                                            \
      check_failure(status_of_call, #call, __LINE__);                                              \
      status_of_call = (call);                                                                     \
      if (status_of_call != (expected))                                                            \
        check_fail(__FILE__, __LINE__, "%s returned %d again, though no call fails", #call,       \
                   (int)status_of_call);                                                           \
    }                                                                                              \
  } while (0)

/* The same for a call that gives a pointer: NULL is its failure. */
#define EXPECT_OBJECT(pointer, call)                                                               \
  do {                                                                                             \
    atomic_fetch_add(&calls_made, 1);                                                              \
    errno = 0;                                                                                     \
    (pointer) = (call);                                                                            \
    if ((pointer) == NULL) {                                                                       \
      CHECK(errno == ENOMEM || errno == EAGAIN); /* memory, or a key, or a thread */               \
      check_failure(TR_ERR_NOMEM, #call, __LINE__);                                                \
      (pointer) = (call);                                                                          \
      CHECK((pointer) != NULL);                                                                    \
    }                                                                                              \
  } while (0)

/* A call that asks nothing of the system, or can do without: it must be right at once. */
#define EXPECT_EQ(expected, call)                                                                  \
  do {                                                                                             \
    atomic_fetch_add(&calls_made, 1);                                                              \
    CHECK_EQ(expected, call);                                                                      \
  } while (0)

#define DO(call)                                                                                   \
  do {                                                                                             \
    atomic_fetch_add(&calls_made, 1);                                                              \
    call;                                                                                          \
  } while (0)

/* ---- The scenario ---------------------------------------------------------------------------- */

struct stage {
  tr_registry *registry;
  struct gate gate;
  int pipe[2];
  atomic_int drops, callbacks, rejections_logged;
  long kept; /* blocks that the library keeps until the process ends */
  int nowhere;
};

static void log_rejections(void *log_context, const tr_log_event *event) {
  struct stage *stage = log_context;
  if (event->event == TR_EVENT_SPAWN_REJECTED && event->code != TR_ERR_CLOSED)
    atomic_fetch_add(&stage->rejections_logged, 1);
}

static void drop_on_stage(void *ctx) { atomic_fetch_add(&((struct stage *)ctx)->drops, 1); }

static void callback_on_stage(void *ctx) { atomic_fetch_add(&((struct stage *)ctx)->callbacks, 1); }

/* Uses what only a task can use, then waits for a descriptor until it is asked to stop. */
static int body_uses_everything(tr_task *self, void *ctx) {
  struct stage *stage = ctx;
  int fd = -1, same = -1;
  tr_registration *registration = NULL;
  EXPECT_EQ(1, tr_task_self() == self);
  EXPECT_EQ(TR_OK, tr_task_set_message(self, "all of it"));
  EXPECT_EQ(TR_OK, tr_sleep(1));
  EXPECT_EQ(TR_ERR_TIMEDOUT, tr_wait_cancelled(1));
  EXPECT(TR_OK, tr_task_fd(self, &fd));
  EXPECT_EQ(TR_OK, tr_task_fd(self, &same));
  CHECK_EQ(fd, same);
  EXPECT(TR_OK, tr_task_on_cancel(self, callback_on_stage, stage, NULL, &registration));
  tr_token *own, *again;
  EXPECT_OBJECT(own, tr_task_token(self));
  EXPECT_OBJECT(again, tr_task_token(self));
  CHECK(own == again);
  EXPECT(TR_ERR_TIMEDOUT, tr_wait_fd(stage->pipe[0], POLLIN, 1));
  tr_task *inner = NULL;
  EXPECT(TR_OK, tr_spawn(stage->registry, "inner", TR_KIND_RPC_HANDLER, body_returns, NULL, &inner));
  EXPECT_EQ(TR_OK, tr_task_wait(inner, FOREVER, NULL));
  DO(tr_task_release(inner));
  EXPECT_EQ(TR_ERR_DEADLOCK, tr_join_all(stage->registry, FOREVER, NULL));
  gate_arrive(&stage->gate);
  EXPECT(TR_ERR_CANCELLED, tr_wait_fd(stage->pipe[0], POLLIN, FOREVER));
  while (!tr_token_is_cancelled(own)) sched_yield(); /* by the thread that runs the callbacks */
  DO(tr_registration_remove(registration));
  return 3;
}

static void use_tokens(struct stage *stage) {
  tr_token *parent, *child, *grandchild;
  EXPECT_OBJECT(parent, tr_token_create());
  EXPECT_OBJECT(child, tr_token_child(parent));
  EXPECT_OBJECT(grandchild, tr_token_child(child));
  EXPECT_EQ(1, tr_token_retain(child) == child);
  DO(tr_token_release(child));
  int fd = -1, before = atomic_load(&stage->callbacks);
  char text[32];
  EXPECT(TR_OK, tr_token_fd(grandchild, &fd));
  tr_registration *first = NULL, *second = NULL, *late = NULL;
  EXPECT(TR_OK, tr_token_on_cancel(child, callback_on_stage, stage, NULL, &first));
  EXPECT(TR_OK, tr_token_on_cancel(grandchild, callback_on_stage, stage, drop_on_stage, &second));
  DO(tr_registration_remove(second));
  EXPECT_EQ(TR_ERR_TIMEDOUT, tr_token_wait(grandchild, 1));
  EXPECT_EQ(0, tr_token_is_cancelled(grandchild));
  EXPECT_EQ(1, tr_token_cancel(parent, TR_REASON_RELOAD_REQUESTED, "again"));
  EXPECT_EQ(0, tr_token_cancel(parent, TR_REASON_FATAL, "too late"));
  EXPECT_EQ(TR_OK, tr_token_wait(grandchild, FOREVER));
  EXPECT_EQ(TR_REASON_RELOAD_REQUESTED, tr_token_reason(child));
  EXPECT_EQ(5, tr_token_message(grandchild, text, sizeof text));
  CHECK_STR("again", text);
  struct pollfd polled = {fd, POLLIN, 0};
  CHECK_EQ(1, poll(&polled, 1, 0));
  EXPECT(TR_ERR_CANCELLED, tr_token_on_cancel(child, callback_on_stage, stage, NULL, &late));
  CHECK_EQ(before + 2, atomic_load(&stage->callbacks));
  DO(tr_registration_remove(first));
  DO(tr_token_release(grandchild));
  DO(tr_token_release(child));
  DO(tr_token_release(parent));
}

/* Reads a report and writes it: whatever failed, it is complete, with less in it. */
static void use_report(struct stage *stage, tr_report *full, uint64_t pending) {
  CHECK(full != NULL);
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_straggler straggler = TR_STRAGGLER_INIT;
  EXPECT_EQ(TR_OK, tr_report_counts(full, &counts));
  CHECK_EQ(pending, counts.pending);
  CHECK(counts.stragglers_count <= pending);
  for (size_t i = 0; i < counts.stragglers_count; i++) {
    EXPECT_EQ(TR_OK, tr_report_straggler(full, i, &straggler));
    CHECK(straggler.id != 0 && straggler.name[0] != 0);
    CHECK(straggler.diagnosis <= TR_DIAGNOSIS_IDLE);
    for (uint32_t n = 0; n < straggler.frame_count; n++) CHECK(straggler.frames[n] != 0);
  }
  EXPECT_EQ(TR_ERR_INVALID, tr_report_straggler(full, counts.stragglers_count, &straggler));
  EXPECT(TR_OK, tr_report_write(full, stage->nowhere, TR_FORMAT_TEXT));
  EXPECT(TR_OK, tr_report_write(full, stage->nowhere, TR_FORMAT_JSON));
  DO(tr_report_release(full));
}

static void use_registry(struct stage *stage, uint32_t idle_threads) {
  tr_token *token;
  EXPECT_OBJECT(token, tr_token_create());
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_METRICS;
  options.token = token;
  options.max_tasks = 30;
  options.stack_size = 256 << 10;
  options.abort_grace_ns = SECOND;
  options.log = log_rejections;
  options.log_context = stage;
  options.idle_threads = idle_threads;
  tr_registry *registry = NULL;
  EXPECT(TR_OK, create_registry(&options, &registry));
  stage->registry = registry;
  EXPECT_EQ(1, tr_registry_token(registry) == token);
  EXPECT_EQ(1, tr_registry_retain(registry) == registry);
  DO(tr_registry_release(registry));

  enum { TASKS = 12 };
  tr_task *tasks[TASKS];
  int drops = atomic_load(&stage->drops), callbacks = atomic_load(&stage->callbacks);
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.drop = drop_on_stage;
  stage->gate = (struct gate)GATE_INIT;
  for (int i = 0; i < TASKS; i++) {
    how.flags = i % 4 == 1 ? TR_SPAWN_FRESH_THREAD : 0;
    how.stack_size = i % 4 == 2 ? 128 << 10 : 0;
    EXPECT(TR_OK, tr_spawn_with(registry, "everything", TR_KIND_APPLICATION, body_uses_everything,
                                stage, &how, &tasks[i]));
  }
  tr_task *quick = NULL;
  for (int i = 0; i < 6; i++) {
    EXPECT(TR_OK, tr_spawn(registry, "quick", TR_KIND_RPC_HANDLER, body_returns, NULL, &quick));
    EXPECT_EQ(TR_OK, tr_task_wait(quick, FOREVER, NULL));
    DO(tr_task_release(quick));
  }
  gate_await(&stage->gate, TASKS);

  char name[64];
  EXPECT_EQ(TASKS, tr_len(registry));
  EXPECT_EQ(0, tr_is_empty(registry));
  EXPECT_EQ(10, tr_task_name(tasks[0], name, sizeof name));
  EXPECT_EQ(TR_KIND_APPLICATION, tr_task_kind(tasks[1]));
  EXPECT_EQ(1, tr_task_id(tasks[2]) != 0);
  EXPECT_EQ(0, *tr_task_cancel_flag(tasks[3]));
  EXPECT_EQ(TR_ERR_TIMEDOUT, tr_task_wait(tasks[4], 1, NULL));
  tr_task_summary list[TASKS] = {TR_TASK_SUMMARY_INIT};
  size_t count = 0;
  EXPECT_EQ(TR_OK, tr_snapshot(registry, list, TASKS, &count));
  CHECK_EQ(TASKS, count);

  EXPECT_EQ(TR_OK, tr_task_cancel(tasks[0]));
  tr_outcome outcome = TR_OUTCOME_INIT;
  EXPECT_EQ(TR_OK, tr_task_wait(tasks[0], FOREVER, &outcome));
  CHECK_EQ(3, outcome.code);
  CHECK_STR("all of it", outcome.message);
  EXPECT_EQ(1, tr_task_is_cancelled(tasks[0]));
  /* At the deadline of a join the others are asked to stop, and have the grace to do so: with the
     memory to remember them they are "aborted", without it "abandoned" (J4). */
  tr_report *full = NULL;
  EXPECT(TR_OK, tr_explain(registry, &full));
  use_report(stage, full, TASKS - 1);
  EXPECT(TR_OK, tr_snapshot_write(registry, stage->nowhere, TR_FORMAT_TEXT));
  EXPECT(TR_OK, tr_snapshot_write(registry, stage->nowhere, TR_FORMAT_JSON));
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = list;
  report.stragglers_capacity = TASKS;
  report.full = &full;
  list[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
  full = NULL;
  EXPECT(TR_ERR_DEADLINE, tr_join_all(registry, 0, &report));
  use_report(stage, full, TASKS - 1);
  report.full = NULL;
  CHECK_EQ(TASKS - 1, report.pending);
  CHECK_EQ(TASKS - 1, report.aborted + report.abandoned);
  for (int i = 1; i < TASKS; i++) {
    EXPECT_EQ(TR_OK, tr_task_wait(tasks[i], FOREVER, NULL));
    DO(tr_task_release(tasks[i]));
  }
  DO(tr_task_release(tasks[0]));
  CHECK_EQ(drops + TASKS, atomic_load(&stage->drops));
  /* A task that is quick to remove it is not called any more. */
  CHECK(atomic_load(&stage->callbacks) <= callbacks + TASKS);

  EXPECT(TR_OK, tr_spawn(registry, "obeys", TR_KIND_BACKGROUND_LOOP, body_obeys, NULL, NULL));
  how = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  how.flags = TR_SPAWN_CLEANUP;
  EXPECT(TR_OK, tr_spawn_with(registry, "tidies", TR_KIND_MAINTENANCE, body_returns, NULL, &how,
                              NULL));
  atomic_fetch_add(&calls_made, 1);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, "enough", FOREVER, &report));
  EXPECT_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_MAINTENANCE, body_never, NULL, NULL));
  EXPECT_EQ(1, tr_is_empty(registry));
  tr_metrics metrics = TR_METRICS_INIT;
  EXPECT_EQ(TR_OK, tr_metrics_read(registry, 0, &metrics));
  CHECK_EQ(0, metrics.live);
  EXPECT(TR_OK, tr_metrics_write(registry, stage->nowhere, TR_FORMAT_OPENMETRICS));
  tr_metrics_source source = TR_METRICS_SOURCE_INIT;
  source.registry = registry;
  EXPECT(TR_OK, tr_metrics_write_all(&source, 1, stage->nowhere, TR_FORMAT_OPENMETRICS, TR_METRICS_NO_EOF));
  tr_ended_task recent[2] = {TR_ENDED_TASK_INIT};
  EXPECT_EQ(TR_ERR_TRUNCATED, tr_recent(registry, recent, 2, &count));
  CHECK(recent[0].id != 0);
  DO(tr_registry_release(registry));
  DO(tr_token_release(token));
}

/* A registry let go of with tasks alive: they end by themselves, and so does its memory (G3). */
static void use_orphans(void) {
  tr_registry *registry = NULL;
  struct gate gate = GATE_INIT;
  EXPECT(TR_OK, create_registry(NULL, &registry));
  for (int i = 0; i < 3; i++)
    EXPECT(TR_OK, tr_spawn(registry, "orphan", TR_KIND_BACKGROUND_LOOP, body_deaf, &gate, NULL));
  gate_await(&gate, 3);
  DO(tr_registry_release(registry));
  gate_open(&gate);
  /* `gate` stays until the last of them has left it. */
  threads_settle(1, 20 * SECOND * check_scale());
}

/* Waits on a condition variable, whose mutex it holds, until it is asked to stop. */
static int body_listens(tr_task *self, void *ctx) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
  struct stage *stage = ctx;
  (void)self;
  pthread_mutex_lock(&lock);
  EXPECT(TR_ERR_TIMEDOUT, tr_cond_wait(&bell, &lock, 1));
  gate_arrive(&stage->gate);
  EXPECT(TR_ERR_CANCELLED, tr_cond_wait(&bell, &lock, FOREVER));
  CHECK_EQ(0, pthread_mutex_unlock(&lock));
  return 0;
}

/* Sits in a read until its signal comes. */
static int body_reads(tr_task *self, void *ctx) {
  struct stage *stage = ctx;
  char byte;
  gate_arrive(&stage->gate);
  while (!tr_task_is_cancelled(self)) CHECK(read(stage->pipe[0], &byte, 1) < 0 && errno == EINTR);
  EXPECT_EQ(TR_OK, tr_acknowledge_cancel());
  return 0;
}

/* Sets checkpoints and reports heartbeats, in the last phase, until it is asked to stop. */
static int body_reports(tr_task *self, void *ctx) {
  struct stage *stage = ctx;
  (void)self;
  EXPECT_EQ(TR_OK, tr_checkpoint("on stage"));
  EXPECT_EQ(TR_OK, tr_progress(1, 2, "acts"));
  EXPECT_EQ(TR_OK, tr_heartbeat());
  gate_arrive(&stage->gate);
  EXPECT_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  return 0;
}

/* A socket that replaces systemd's, to which the state of `registry` is sent. */
static int listen_for(tr_registry *registry) {
  struct sockaddr_un name;
  char address[64], text[64];
  memset(&name, 0, sizeof name);
  snprintf(address, sizeof address, "@taskreg-failing-%d", (int)getpid());
  name.sun_family = AF_UNIX;
  memcpy(name.sun_path + 1, address + 1, strlen(address) - 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  CHECK_EQ(0, bind(fd, (struct sockaddr *)&name,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(address))));
  tr_systemd_options options = TR_SYSTEMD_OPTIONS_INIT;
  options.socket = address;
  options.watchdog_ns = 1000 * SECOND;
  EXPECT(TR_OK, tr_systemd_start(registry, &options));
  CHECK_EQ(7, recv(fd, text, sizeof text, MSG_DONTWAIT));
  CHECK_EQ(0, memcmp("READY=1", text, 7));
  EXPECT_EQ(TR_ERR_INVALID, tr_systemd_start(registry, &options));
  return fd;
}

/* Phases, heartbeats, backtraces, systemd: what explains a shutdown, with threads of the library's own. */
static void use_explanations(struct stage *stage) {
  long before = held_blocks();
  EXPECT(TR_OK, tr_enable_backtraces(SIGRTMIN + 3));
  stage->kept = held_blocks() - before;
  tr_registry *registry = NULL;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_rejections;
  options.log_context = stage;
  EXPECT(TR_OK, create_registry(&options, &registry));
  int systemd = listen_for(registry);
  before = held_blocks();
  EXPECT(TR_OK, tr_exit_by(1000 * SECOND, NULL));
  EXPECT_EQ(TR_OK, tr_exit_by_cancel());
  stage->kept += held_blocks() - before;
  enum { TASKS = 3 };
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.heartbeat_ns = 1000 * SECOND; /* there is a log, so that it is watched */
  stage->gate = (struct gate)GATE_INIT;
  for (uint32_t i = 0; i < TASKS; i++) {
    how.phase = i * 3;
    EXPECT(TR_OK, tr_spawn_with(registry, "reports", TR_KIND_MAINTENANCE, body_reports, stage, &how, NULL));
  }
  gate_await(&stage->gate, TASKS);
  size_t count = 77;
  EXPECT_EQ(TR_OK, tr_health(registry, NULL, 0, &count));
  CHECK_EQ(0, count);
  tr_report *full = NULL;
  EXPECT(TR_OK, tr_explain(registry, &full));
  use_report(stage, full, TASKS);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.full = &full;
  full = NULL;
  tr_shutdown_options shutdown = TR_SHUTDOWN_OPTIONS_INIT;
  shutdown.phase_share[0] = shutdown.phase_share[3] = 1;
  shutdown.phase_share[6] = 3;
  EXPECT(TR_OK, tr_shutdown_with(registry, TR_REASON_USER_REQUESTED, "enough", 100 * SECOND, &shutdown, &report));
  CHECK_EQ(TASKS, report.ended);
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  for (size_t i = 0; i < TASKS; i++) {
    EXPECT_EQ(TR_OK, tr_report_phase(full, i, &phase));
    CHECK_EQ(1, phase.asked);
    CHECK_EQ(0, phase.remaining);
  }
  tr_ended_task slow = TR_ENDED_TASK_INIT;
  EXPECT_EQ(TR_OK, tr_report_slowest(full, TASKS - 1, &slow));
  use_report(stage, full, 0);
  EXPECT_EQ(TR_OK, tr_systemd_stop(registry));
  close(systemd);
  DO(tr_registry_release(registry));
}

/* Timeouts, groups, signals: what needs threads of the library's own. */
static void use_timers_and_signals(struct stage *stage) {
  tr_registry *registry = NULL, *group = NULL;
  EXPECT(TR_OK, create_registry(NULL, &registry));
  EXPECT(TR_OK, tr_registry_child(registry, "group", NULL, &group));
  tr_token *brief, *given_up;
  EXPECT_OBJECT(brief, tr_token_child_with_timeout(tr_registry_token(registry), 1));
  EXPECT_OBJECT(given_up, tr_token_child_with_timeout(tr_registry_token(group), 1000 * SECOND));
  EXPECT_EQ(TR_OK, tr_token_wait(brief, FOREVER));
  EXPECT_EQ(TR_REASON_DEADLINE, tr_token_reason(brief));
  DO(tr_token_release(given_up));
  DO(tr_token_release(brief));

  EXPECT_EQ(TR_OK, tr_install_cancel_signal(SIGRTMIN + 1));
  tr_signal_options signals = TR_SIGNAL_OPTIONS_INIT;
  signals.flags = TR_SIGNALS_HUP_RELOADS;
  sigset_t hang_up;
  sigemptyset(&hang_up);
  sigaddset(&hang_up, SIGHUP);
  EXPECT(TR_OK, tr_signal_watch_start(registry, &hang_up, &signals));

  enum { TASKS = 3 };
  int drops = atomic_load(&stage->drops);
  stage->gate = (struct gate)GATE_INIT;
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.drop = drop_on_stage;
  EXPECT(TR_OK, tr_spawn_with(group, "listens", TR_KIND_BACKGROUND_LOOP, body_listens, stage, &how, NULL));
  how.cancel_signal = SIGRTMIN + 1;
  EXPECT(TR_OK, tr_spawn_with(group, "reads", TR_KIND_BACKGROUND_LOOP, body_reads, stage, &how, NULL));
  EXPECT(TR_OK, tr_spawn_with(registry, "reads", TR_KIND_BACKGROUND_LOOP, body_reads, stage, &how, NULL));
  gate_await(&stage->gate, TASKS);
  EXPECT_EQ(TASKS - 1, tr_len(group));
  EXPECT_EQ(TASKS, tr_len(registry));
  tr_token *other;
  EXPECT_OBJECT(other, tr_token_create());
  EXPECT_EQ(TR_OK, tr_request_shutdown(other, TR_REASON_RPC_REQUESTED));
  EXPECT_EQ(TR_OK, tr_token_wait(other, FOREVER));
  DO(tr_token_release(other));
  atomic_fetch_add(&calls_made, 1);
  CHECK_EQ(TR_OK, shutdown_fully(group, TR_REASON_RELOAD_REQUESTED, NULL, FOREVER, NULL));
  how = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  how.flags = TR_SPAWN_ESSENTIAL;
  EXPECT_EQ(0, kill(getpid(), SIGHUP));
  EXPECT_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  EXPECT_EQ(TR_ERR_CLOSED, tr_spawn_with(registry, "late", TR_KIND_MAINTENANCE, body_never, NULL, &how, NULL));
  atomic_fetch_add(&calls_made, 1);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(drops + TASKS, atomic_load(&stage->drops));
  EXPECT_EQ(TR_OK, tr_signal_watch_stop(registry));
  DO(tr_registry_release(registry));
  DO(tr_registry_release(group));

  EXPECT(TR_OK, create_registry(NULL, &registry));
  EXPECT(TR_OK, tr_spawn_with(registry, "essential", TR_KIND_MAINTENANCE, body_returns, NULL, &how, NULL));
  EXPECT_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  atomic_fetch_add(&calls_made, 1);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  DO(tr_registry_release(registry));
}

static int descriptor_count(void) {
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  int count = 0;
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

/* The conditions of a process, and its result. */
struct trial {
  int timers;     /* the scenario: 1: timers and signals, 2: what explains a shutdown, 0: the rest */
  int keys;       /* made before the library makes its own */
  long first;     /* the first call that fails */
  int lasts;      /* whether all after it fail, until a call of the interface has failed */
  int *made;      /* shared: calls of the interface made */
  int *was_there; /* shared: whether there was such a call */
  int *had_failure;  /* shared: whether a call of the interface failed */
};

/* Makes the library keep the texts of the trial, if it had no memory for them before; it never
   frees them. */
static int body_reports_texts(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  CHECK_EQ(TR_OK, tr_checkpoint("on stage"));
  CHECK_EQ(TR_OK, tr_progress(1, 2, "acts"));
  return 0;
}

static void run_trial(void *argument) {
  const struct trial *trial = argument;
  for (int i = 0; i < trial->keys; i++) {
    pthread_key_t key;
    CHECK_EQ(0, pthread_key_create(&key, NULL));
  }
  struct stage stage;
  memset(&stage, 0, sizeof stage);
  CHECK_EQ(0, pipe(stage.pipe));
  stage.nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(stage.nowhere >= 0);
  int descriptors = descriptor_count();
  lasts = trial->lasts;
  fault_watch(dlsym(RTLD_DEFAULT, "tr_version"));
  fault_calls(trial->first, trial->lasts ? LONG_MAX : trial->first);

  /* The list of registries, one block, and the timer thread's place, two, stay. Under valgrind, which allocates
     itself, no block is counted. */
  int counts = !check_under_valgrind();
  int threads = 1, blocks = counts ? trial->timers == 1 ? 3 : trial->timers == 2 ? 2 : 1 : 0;
  if (trial->timers == 2) {
    use_explanations(&stage);
    /* What was kept includes the list; then come the two texts with their table. */
    blocks += (int)stage.kept + (counts ? 3 : 0);
  } else if (trial->timers) {
    use_timers_and_signals(&stage);
    blocks += counts ? 3 : 0; /* the watch's place, which late handlers find, and the waker's */
  } else {
    use_tokens(&stage);
    use_registry(&stage, 0);
    use_registry(&stage, TR_IDLE_THREADS_NONE);
    use_orphans();
  }

  *trial->was_there = faulted_calls() > 0;
  *trial->had_failure = atomic_load(&failures_seen) > 0;
  *trial->made = atomic_load(&calls_made);
  fault_none();
  CHECK(atomic_load(&stage.rejections_logged) <= atomic_load(&failures_seen));
  /* Registries that were buried with threads on their last instructions are freed by the next
     call. */
  threads_settle(threads, 20 * SECOND * check_scale());
  wait_and_release(spawn(stage.registry = registry_new(), "last",
                         trial->timers == 2 ? body_reports_texts : body_returns, NULL));
  registry_finish(stage.registry);
  CHECK_MSG(held_blocks() == blocks, "%ld blocks are lost; %s failed", held_blocks() - blocks,
            faulted_call());
  CHECK_MSG(held_bytes_mapped() == 0, "%ld bytes of mappings are lost; %s failed",
            held_bytes_mapped(), faulted_call());
  CHECK_EQ(descriptors, descriptor_count());
  threads_settle(threads, 20 * SECOND * check_scale());
}

/* Of how many calls one fails: every call is tried only by scripts/test --long, as each trial is a process that begins
   and ends some hundred threads. */
static int calls_per_fault(void) {
  if (check_under_a_tool()) return 200;
  return getenv("TASKREG_TEST_LONG") != NULL ? 1 : 7;
}

/* Run the scenario with the n-th call failing, for each n that is a multiple of calls_per_fault(), but for an offset that
   is another one for each scenario. */
static void fault_each(int timers, int keys, int lasting) {
  int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  const int step = calls_per_fault();
  struct trial trial = {timers, keys, 1, lasting, &shared[0], &shared[1], &shared[2]};
  trial.first += (2 * timers + 3 * (keys > 0) + lasting) % step;
  int faults = 0, failures = 0;
  for (shared[1] = 1; shared[1]; trial.first += step) {
    int status = status_of_child(run_trial, &trial);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0,
              "with call %ld failing: status 0x%x", trial.first, (unsigned)status);
    faults += shared[1];
    failures += shared[2];
  }
  dprintf(check_messages,
          "%d calls of the interface; %d calls of the system failed in turn, %d seen as errors\n",
          shared[0], faults, failures);
  CHECK(failures > 0);
  if (!timers) CHECK(shared[0] >= 200 && faults * step > 200);
  munmap(shared, 4096);
}

/* Proves: whatever single call of the system fails, the call of the interface that needed it
   returns an error and works when made again, or succeeded without it; nothing is leaked and
   nothing hangs (P4, S6, S4, G4). Why it matters: on a machine that runs out of something any
   single call may fail. Catches: an allocation or a mapping that an error path forgets; a result
   that is ignored. */
CASE(each_call_of_the_system_may_fail) { fault_each(0, 0, 0); }

/* Proves: the same when everything fails from the n-th call on, until a call has returned an error
   (P4, S6). Why it matters: a call that fails once fails again, and so does the fallback. Catches:
   an error path that needs memory. */
CASE(everything_may_fail_from_some_moment_on) { fault_each(0, 0, 1); }

/* Proves: both, for timers, groups, condition variables and signals (P4, C9 to C14, T1). Why it
   matters: a daemon that gets no timer must receive an error. Catches: a thread of the library's
   own that is taken for granted; a hold that is not released. */
CASE(timers_and_signals_may_fail) {
  fault_each(1, 0, 0);
  fault_each(1, 0, 1);
}

/* Proves: the same of phases, heartbeats, backtraces and systemd: what fails is an error that the
   header names, or a report with less in it (P4, E1, E5, E7, E9, E11, E12). Why it matters: reports
   are made when a machine is in trouble. Catches: a watch, a socket or an examined thread that an
   error path forgets; a file below /proc taken for one that can be opened. */
CASE(what_explains_a_shutdown_may_fail) {
  fault_each(2, 0, 0);
  fault_each(2, 0, 1);
}

/* Proves: the same in a program with so many keys for thread-specific data that the library's own
   takes memory in each thread: the spawn fails, and the program does not end (S6, P4). Why it
   matters: large programs have that many. Catches: pthread_setspecific taken for a call that cannot
   fail. */
CASE(a_thread_may_fail_to_begin) { fault_each(0, 40, 0); }

/* Proves: the same when everything fails from the n-th call on (S6, P4). Why it matters: as above, on a machine that
   stays without memory. Catches: a thread that begins half. */
CASE(all_threads_may_fail_to_begin) { fault_each(0, 40, 1); }

CHECK_MAIN(
    CHECK_ENTRY(each_call_of_the_system_may_fail),
    CHECK_ENTRY(everything_may_fail_from_some_moment_on),
    CHECK_ENTRY(timers_and_signals_may_fail),
    CHECK_ENTRY(what_explains_a_shutdown_may_fail),
    CHECK_ENTRY(a_thread_may_fail_to_begin),
    CHECK_ENTRY(all_threads_may_fail_to_begin))
