/* no_thread.c - the result of a spawn when the system refuses a thread, and of the calls that need
   the library's timer thread. Rule S6, with S1, S4, S7, J3, T2, C9 to C11, E8.

   RLIMIT_NPROC does not bind root, so pthread_create itself is made to fail (fault.h); one case
   takes the address space away instead, and the system refuses by itself. */

#include "stalls.h"

#include "fault.h"
#include "forking.h"

#include <sys/resource.h>

/* Spawn a task that needs a thread of its own, and expect `status`. */
static tr_status spawn_fresh(tr_registry *registry, tr_task_fn body, void *ctx, tr_drop_fn drop,
                             tr_task **out) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_FRESH_THREAD;
  options.drop = drop;
  return tr_spawn_with(registry, "fresh", TR_KIND_MAINTENANCE, body, ctx, &options, out);
}

/* Check that `registry` is as it was with `alive` tasks: counted, listed, open, and joinable at
   once if there are none. */
static void check_as_before(tr_registry *registry, size_t alive) {
  CHECK_EQ(alive, tr_len(registry));
  CHECK_EQ(alive == 0, tr_is_empty(registry));
  CHECK_EQ(alive, snapshot_count(registry));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  if (alive == 0) {
    tr_join_report report = TR_JOIN_REPORT_INIT;
    CHECK_EQ(TR_OK, tr_join_all(registry, 0, &report));
    CHECK_EQ(0, report.ended + report.pending + report.rejected);
  }
}

/* Proves: a refused thread makes the spawn TR_ERR_AGAIN, with nothing run, ctx and out
   untouched, and the registry as if the call had not been made: empty, joinable at once, and
   ready for the next (S6, S4).  Why it matters: a ghost entry would hang every later join.
   Catches: a record that stays admitted; drop called for a body that never ran. */
CASE(refused_thread_leaves_the_registry_as_it_was) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 50; i++) {
    char ctx[8] = "context";
    tr_task *out = NULL;
    /* every other time for good */
    fault_every(1, i % 2 ? EINVAL : EAGAIN);
    errno = 0;
    CHECK_EQ(i % 2 ? TR_ERR_SYSTEM : TR_ERR_AGAIN,
             spawn_fresh(registry, body_never, ctx, drop_never, &out));
    CHECK_EQ(i % 2 ? EINVAL : EAGAIN, errno);
    CHECK(faulted_threads() >= 1);
    fault_none();
    CHECK(out == NULL);
    CHECK_STR("context", ctx);
    check_as_before(registry, 0);
    atomic_int drops = 0;
    CHECK_EQ(TR_OK, spawn_fresh(registry, body_returns, &drops, drop_counts, &out));
    CHECK_EQ(TR_ENDED_RETURNED, outcome_of(out).how);
    CHECK_EQ(1, atomic_load(&drops));
    tr_task_release(out);
  }
  registry_finish(registry);
}

/* Proves: a spawn for which there is no thread counts as rejected, with its kind, and not as
   spawned, here and in the ancestors; the next one counts as usual (S6, E8). Why it matters: live
   is the number of tasks spawned and not ended, and a ghost in it never goes. Catches: a spawn that
   stays counted; one that counts as rejected only in the group. */
CASE(refused_thread_is_a_rejection_in_the_metrics) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_METRICS;
  tr_registry *registries[2];
  CHECK_EQ(TR_OK, create_registry(&options, &registries[0]));
  CHECK_EQ(TR_OK, tr_registry_child(registries[0], "group", &options, &registries[1]));
  for (int i = 1; i <= 20; i++) {
    fault_every(1, EAGAIN);
    CHECK_EQ(TR_ERR_AGAIN, spawn_fresh(registries[1], body_never, NULL, drop_never, NULL));
    fault_none();
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, spawn_fresh(registries[1], body_returns, NULL, NULL, &task));
    wait_and_release(task);
    for (int at = 0; at < 2; at++) {
      for (tr_kind kind = 0; kind <= TR_KIND_MAINTENANCE; kind += TR_KIND_MAINTENANCE) {
        tr_metrics metrics = TR_METRICS_INIT;
        CHECK_EQ(TR_OK, tr_metrics_read(registries[at], kind, &metrics));
        CHECK_EQ(i, metrics.spawned);
        CHECK_EQ(i, metrics.ended);
        CHECK_EQ(i, metrics.rejected);
        CHECK_EQ(0, metrics.live);
        CHECK_EQ(1, metrics.peak);
      }
    }
  }
  tr_registry_release(registries[1]);
  registry_finish(registries[0]);
}

/* Proves: the very first spawn of a registry may be rejected, by the ordinary path too, and the
   registry can be shut down and released after it (S6, G4).  Why it matters: a machine at its
   limit refuses the first thread.  Catches: state that only a first success completes. */
CASE(first_spawn_may_be_rejected) {
  int threads = thread_baseline();
  for (int again = 0; again < 2; again++) {
    tr_registry *registry = registry_new();
    fault_every(1, EAGAIN);
    CHECK_EQ(TR_ERR_AGAIN,
             tr_spawn(registry, "first", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
    CHECK(faulted_threads() >= 1);
    fault_none();
    check_as_before(registry, 0);
    if (again) wait_and_release(spawn(registry, "second", body_returns, NULL));
    registry_finish(registry);
  }
  threads_settle(threads, 5 * SECOND * check_scale());
}

/* Proves: live tasks are not affected by a failed spawn: they stay listed and unflagged, and their
   handles work; ids stay unique (S6, N2). Why it matters: the rejection hits a busy service, not an
   empty one. Catches: a rollback that removes the wrong record; reusing the id. */
CASE(living_tasks_are_untouched_by_a_rejection) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  uint64_t last = 0;
  tr_task *tasks[10];
  for (int i = 0; i < 10; i++) {
    fault_every(1, EAGAIN);
    CHECK_EQ(TR_ERR_AGAIN, spawn_fresh(registry, body_never, NULL, drop_never, NULL));
    fault_none();
    check_as_before(registry, (size_t)i);
    CHECK_EQ(TR_OK, spawn_fresh(registry, body_deaf, &gate, NULL, &tasks[i]));
    uint64_t id = tr_task_id(tasks[i]);
    CHECK(id != 0 && id != last);
    for (int j = 0; j < i; j++) CHECK(id != tr_task_id(tasks[j]));
    last = id;
  }
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(0, tr_task_is_cancelled(tasks[i]));
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(tasks[i]), NULL));
  }
  gate_open(&gate);
  for (int i = 0; i < 10; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
}

/* Proves: a failed spawn does not use up max_tasks, and the token can still close the registry
   (S6). Why it matters: leaking one place for each failure stops the service in the end. Catches:
   not releasing the place. */
CASE(rejections_do_not_use_up_the_limit) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = 2;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  fault_every(1, EAGAIN);
  for (int i = 0; i < 10; i++)
    CHECK_EQ(TR_ERR_AGAIN, spawn_fresh(registry, body_never, NULL, drop_never, NULL));
  fault_none();
  struct gate gate = GATE_INIT;
  CHECK_EQ(TR_OK, spawn_fresh(registry, body_deaf, &gate, NULL, NULL));
  CHECK_EQ(TR_OK, spawn_fresh(registry, body_deaf, &gate, NULL, NULL));
  CHECK_EQ(TR_ERR_LIMIT, spawn_fresh(registry, body_never, NULL, drop_never, NULL));
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
  fault_every(1, EAGAIN);
  CHECK_EQ(TR_ERR_CLOSED, spawn_fresh(registry, body_never, NULL, drop_never, NULL));
  fault_none();
  registry_finish(registry);
}

/* Proves: a join that waits while a spawn fails neither hangs nor counts it as ended, and returns
   when the last living task has ended; the rejection is in its report as rejected (S6, J3, J8). Why
   it matters: the rejected record was admitted for a moment, and a joiner may have seen it. Catches:
   a rollback that wakes no waiter; counting it among the ended. */
CASE(a_waiting_join_survives_a_rejection) {
  for (int round = 0; round < check_rounds(20); round++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    gate_await(&gate, 1);
    struct join_call call;
    join_begin_asleep(&call, registry, FOREVER);
    fault_every(1, EAGAIN);
    for (int i = 0; i < 3; i++)
      CHECK_EQ(TR_ERR_AGAIN, spawn_fresh(registry, body_never, NULL, drop_never, NULL));
    fault_none();
    CHECK_EQ(0, atomic_load(&call.returned));
    gate_open(&gate);
    join_end(&call);
    CHECK_EQ(TR_OK, call.status);
    CHECK_EQ(1, call.report.ended);
    CHECK_EQ(0, call.report.failed + call.report.exited);
    CHECK_EQ(3, call.report.rejected);
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* Proves: a thread that is refused to a task of a group leaves every level as it was, counted,
   listed, joinable and with room below its limit, and is rejected in the reports of all of them; a
   join that waits at any of them survives it (S6, T2, J8). Why it matters: the task was admitted at
   every level when the system refused. Catches: a rollback only in the group. */
CASE(a_rejection_in_a_group_leaves_every_level_as_it_was) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = 2;
  tr_registry *levels[3];
  CHECK_EQ(TR_OK, create_registry(&options, &levels[0]));
  CHECK_EQ(TR_OK, tr_registry_child(levels[0], "net", &options, &levels[1]));
  CHECK_EQ(TR_OK, tr_registry_child(levels[1], "peers", &options, &levels[2]));
  for (int alive = 0; alive < 2; alive++) {
    struct gate gate = GATE_INIT;
    struct join_call calls[3];
    if (alive) {
      CHECK_EQ(TR_OK, spawn_fresh(levels[2], body_deaf, &gate, NULL, NULL));
      for (int i = 0; i < 3; i++) join_begin_asleep(&calls[i], levels[i], FOREVER);
    }
    fault_every(1, EAGAIN);
    for (int i = 0; i < 5; i++) {
      tr_task *out = NULL;
      CHECK_EQ(TR_ERR_AGAIN,
               spawn_fresh(levels[2], body_never, NULL, drop_never, i % 2 ? &out : NULL));
      CHECK(out == NULL);
    }
    fault_none();
    for (int i = 0; i < 3; i++) check_as_before(levels[i], (size_t)alive);
    if (!alive) continue;
    for (int i = 0; i < 3; i++) CHECK_EQ(0, atomic_load(&calls[i].returned));
    gate_open(&gate);
    for (int i = 0; i < 3; i++) {
      join_end(&calls[i]);
      CHECK_EQ(TR_OK, calls[i].status);
      CHECK_EQ(1, calls[i].report.ended);
      CHECK_EQ(5, calls[i].report.rejected);
    }
  }
  registry_finish(levels[0]);
  tr_registry_release(levels[2]);
  tr_registry_release(levels[1]);
}

static int body_is_rejected_itself(tr_task *self, void *ctx) {
  tr_registry *registry = ctx;
  (void)self;
  fault_every(1, EAGAIN);
  CHECK_EQ(TR_ERR_AGAIN, spawn_fresh(registry, body_never, NULL, drop_never, NULL));
  fault_none();
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, spawn_fresh(registry, body_returns, NULL, NULL, &task));
  wait_and_release(task);
  return 0;
}

/* Proves: a spawn from inside a task may fail, and be tried again, like any other (S6). Why it
   matters: acceptors spawn from inside a task. Catches: cleaning up the caller's thread instead of
   the one that was not created. */
CASE(a_task_may_be_refused_a_thread) {
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "spawner", body_is_rejected_itself, registry);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: the caller's signal mask is as before after a refused thread (S7, S6). Why it matters:
   with a mask left full the program ignores SIGTERM. Catches: restoring the mask on success
   only. */
CASE(rejection_keeps_the_callers_signal_mask) {
  tr_registry *registry = registry_new();
  sigset_t before, mask, now;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR2);
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &mask, &before));
  fault_every(1, EAGAIN);
  CHECK_EQ(TR_ERR_AGAIN, spawn_fresh(registry, body_never, NULL, drop_never, NULL));
  fault_none();
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &before, &now));
  for (int number = 1; number <= SIGRTMAX; number++)
    CHECK_EQ(number == SIGUSR2, sigismember(&now, number) == 1);
  registry_finish(registry);
}

struct rejection_log {
  atomic_int rejections, others;
};

static void log_rejections(void *log_context, const tr_log_event *event) {
  struct rejection_log *log = log_context;
  if (event->event == TR_EVENT_SPAWN_REJECTED && event->code == TR_ERR_AGAIN)
    atomic_fetch_add(&log->rejections, 1);
  else
    atomic_fetch_add(&log->others, 1);
}

/* Proves: each refused thread is one log event, spawn rejected with TR_ERR_AGAIN (O2, S6).
   Why it matters: it is the first sign of a machine at its limit.  Catches: no event, or two. */
CASE(rejection_is_logged_once) {
  struct rejection_log log = {0, 0};
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_rejections;
  options.log_context = &log;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  fault_every(1, EAGAIN);
  for (int i = 1; i <= 5; i++) {
    CHECK_EQ(TR_ERR_AGAIN, spawn_fresh(registry, body_never, NULL, drop_never, NULL));
    CHECK_EQ(i, atomic_load(&log.rejections));
  }
  fault_none();
  CHECK_EQ(0, atomic_load(&log.others));
  registry_finish(registry);
}

struct unlucky {
  tr_registry *registry;
  atomic_int *drops;
  int accepted, rejected;
};

static void drop_of_unlucky(void *ctx) { atomic_fetch_add(((struct unlucky *)ctx)->drops, 1); }

static void *spawn_with_bad_luck(void *argument) {
  struct unlucky *unlucky = argument;
  for (int i = 0; i < check_rounds(500); i++) {
    tr_task *task = NULL;
    tr_status status = spawn_fresh(unlucky->registry, body_returns, unlucky, drop_of_unlucky,
                                   &task);
    CHECK(status == TR_OK || status == TR_ERR_AGAIN);
    CHECK((task != NULL) == (status == TR_OK));
    if (status == TR_OK) {
      unlucky->accepted++;
      if (i % 2) CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
      tr_task_release(task);
    } else {
      unlucky->rejected++;
    }
  }
  return NULL;
}

/* Proves: four threads spawn while every third thread is refused, and a join waits all the time:
   accepted tasks run and are dropped once, rejected ones never, and both counts are in the join's
   report (S6, S4, J8).  Why it matters: a machine at its limit refuses many at once.  Catches: a
   rollback that is not safe beside other spawns. */
CASE(rejections_under_load_lose_nothing) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *keeper = spawn(registry, "keeper", body_deaf, &gate);
  gate_await(&gate, 1);
  struct join_call call;
  join_begin_asleep(&call, registry, FOREVER);
  atomic_int drops = 0;
  struct unlucky unlucky[4];
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    unlucky[i] = (struct unlucky){registry, &drops, 0, 0};
    threads[i] = thread_start(spawn_with_bad_luck, &unlucky[i]);
    if (i == 3) fault_every(3, EAGAIN);
  }
  int accepted = 0, rejected = 0;
  for (int i = 0; i < 4; i++) {
    thread_end(threads[i]);
    accepted += unlucky[i].accepted;
    rejected += unlucky[i].rejected;
  }
  fault_none();
  CHECK(rejected > 0);
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(accepted, atomic_load(&drops));
  CHECK_EQ(accepted + 1, call.report.ended);
  CHECK_EQ(rejected, call.report.rejected);
  CHECK_EQ(0, tr_len(registry));
  tr_task_release(keeper);
  registry_finish(registry);
}

static size_t address_space_in_use(void) {
  FILE *file = fopen("/proc/self/statm", "re");
  CHECK(file != NULL);
  size_t pages = 0;
  CHECK_EQ(1, fscanf(file, "%zu", &pages));
  fclose(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Proves: when the system itself refuses, for lack of address space for the stack, the spawn is
   TR_ERR_AGAIN and the registry as before; with the space available again the same spawn succeeds
   (S6, S7). Why it matters: this is the rejection as it happens outside of tests. Catches: an error
   number other than EAGAIN taken for success; an abort on it. */
CASE(the_system_itself_refuses) {
  tr_registry *registry = registry_new();
  wait_and_release(spawn(registry, "before", body_returns, NULL));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.stack_size = UINT64_C(4) << 30; /* 4 GiB of address space, hardly any memory */
  options.drop = drop_never;
  struct rlimit limit;
  CHECK_EQ(0, getrlimit(RLIMIT_AS, &limit));
  struct rlimit tight = limit;
  tight.rlim_cur = address_space_in_use() + (UINT64_C(2) << 30);
  CHECK_EQ(0, setrlimit(RLIMIT_AS, &tight));
  for (int i = 0; i < 5; i++) {
    tr_task *none = NULL;
    CHECK_EQ(TR_ERR_AGAIN, tr_spawn_with(registry, "huge", TR_KIND_MAINTENANCE, body_never, NULL,
                                         &options, &none));
    CHECK(none == NULL);
    check_as_before(registry, 0);
  }
  CHECK_EQ(0, setrlimit(RLIMIT_AS, &limit));
  wait_and_release(spawn(registry, "after", body_returns, NULL));
  options.drop = NULL;
  options.stack_size = UINT64_C(256) << 20;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "large", TR_KIND_MAINTENANCE, body_returns, NULL,
                                &options, NULL));
  registry_finish(registry);
}

static void ignore_signal(int number) { (void)number; }

struct listener {
  pthread_mutex_t mutex;
  pthread_cond_t never;
  _Atomic(pid_t) tid;
};

static int body_listens(tr_task *self, void *ctx) {
  struct listener *listener = ctx;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&listener->mutex));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_cond_wait(&listener->never, &listener->mutex, 1 * MS));
  atomic_store(&listener->tid, gettid());
  CHECK_EQ(TR_ERR_CANCELLED, tr_cond_wait(&listener->never, &listener->mutex, FOREVER));
  CHECK_EQ(0, pthread_mutex_unlock(&listener->mutex));
  return 0;
}

/* Proves: a task that waits on a condition variable needs no thread for that, and is woken when it
   is asked to stop even if the system refuses the thread that would do it (C9). Why it matters: a
   program at its limit of threads is likely to be stopped. Catches: a wake-up that is given up with
   the thread. */
CASE(a_wait_on_a_condition_variable_ends_without_a_thread) {
  tr_registry *registry = registry_new();
  long rejected = 0;
  for (int i = 0; i < 10; i++) {
    struct listener listener = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
    tr_task *task = spawn(registry, "listens", body_listens, &listener);
    await_asleep(&listener.tid); /* one that does not wait yet sees its flag without a thread */
    /* One of a round before that has not left yet would wake it. */
    while (threads_called("taskreg-wake") > 0) breathe();
    fault_every(1, EAGAIN);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    wait_and_release(task);
    rejected += faulted_threads();
    fault_none();
  }
  CHECK_EQ(10, rejected);
  registry_finish(registry);
}

/* Proves: at the limit of descriptors, with no thread available either, a report is still made, and
   says that there was no descriptor (E1). Why it matters: "unknown" would suggest a defect of the
   report. Catches: an error that is not reported; memory that is lost. */
CASE(a_report_says_that_there_was_no_descriptor) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  int ends[2], next = dup(0);
  CHECK_EQ(0, pipe(ends));
  struct rlimit before, low;
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
  low = (struct rlimit){(rlim_t)next, before.rlim_max};
  tr_report *report = NULL;
  tr_straggler straggler = TR_STRAGGLER_INIT;
  fault_every(1, EAGAIN);
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &low));
  tr_status status = tr_explain(registry, &report);
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
  CHECK_EQ(1, faulted_threads());
  fault_none();
  CHECK_EQ(TR_OK, status);
  CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
  CHECK_EQ(EMFILE, straggler.probe_error);
  CHECK_EQ(TR_DIAGNOSIS_UNKNOWN, straggler.diagnosis);
  char text[4096];
  CHECK_EQ(TR_OK, tr_report_write(report, ends[1], TR_FORMAT_TEXT));
  ssize_t length = read(ends[0], text, sizeof text - 1);
  CHECK(length > 0);
  text[length] = 0;
  CHECK(strstr(text, "not all is known of its thread: no descriptor is available\n") != NULL);
  close(ends[0]);
  close(ends[1]);
  close(next);
  tr_report_release(report);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

/* Proves: if no timer thread is available, a token with a timeout is NULL, a spawn with a cancel
   signal fails with TR_ERR_AGAIN; each changes nothing, and works at the next call (C10, C11, S6).
   Why it matters: the thread is made in the middle of an application's call. Catches: a hold that
   stays behind, after which the thread is taken for granted. */
CASE(a_refused_timer_thread_leaves_all_as_it_was) {
  int threads = thread_baseline();
  tr_registry *registry = registry_new();
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = ignore_signal;
  CHECK_EQ(0, sigaction(SIGRTMIN + 1, &action, NULL));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.cancel_signal = SIGRTMIN + 1;
  tr_token *parent = tr_token_create();

  while (threads_called("taskreg-timer") > 0) breathe();
  for (int i = 0; i < 10; i++) {
    char ctx[8] = "context";
    fault_every(1, EAGAIN);
    errno = 0;
    CHECK(tr_token_child_with_timeout(parent, SECOND) == NULL);
    CHECK_EQ(EAGAIN, errno); /* C1 */
    errno = 0;
    CHECK(tr_token_child_with_timeout(parent, 0) == NULL);
    CHECK_EQ(EAGAIN, errno);
    options.drop = drop_never;
    CHECK_EQ(TR_ERR_AGAIN, tr_spawn_with(registry, "stubborn", TR_KIND_MAINTENANCE, body_never, ctx,
                                         &options, NULL));
    CHECK_EQ(3, faulted_threads());
    fault_none();
    CHECK_STR("context", ctx);
    check_as_before(registry, 0);
  }
  tr_token *token = tr_token_child_with_timeout(parent, 1 * MS);
  CHECK(token != NULL);
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  tr_token_release(token);
  options.drop = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "stubborn", TR_KIND_MAINTENANCE, body_obeys, NULL, &options,
                                NULL));
  registry_finish(registry);
  tr_token_release(parent);
  threads_settle(threads, SECOND + 5 * SECOND * check_scale());
}

/* ---- The end of the process for a stall ----------------------------------------------------------- */

/* Which threads are refused, and when. */
enum { ALL, ALL_BUT_THE_FIRST, ALL_FROM_THE_EXPLANATION, NONE_BUT_STDERR_IS_CLOSED };

static void log_nothing(void *context, const tr_log_event *event) { (void)context, (void)event; }
static void log_refuses(void *context, const tr_log_event *event) {
  (void)context;
  if (event->event == TR_EVENT_STALL_EXPLAINED) fault_every(1, EAGAIN);
}

static void stall_without_threads(int refused, tr_log_fn log, int out) {
  CHECK(dup2(out, STDERR_FILENO) == STDERR_FILENO);
  tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
  ladder.last_step = TR_LADDER_END_PROCESS;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log;
  options.ladder = &ladder;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  static struct gate gate = GATE_INIT;
  tr_task_release(spawn_with_interval(registry, "silent", 20 * MS * check_scale(), body_deaf, &gate, NULL));
  gate_await(&gate, 1);
  if (refused == ALL) fault_every(1, EAGAIN);
  if (refused == ALL_BUT_THE_FIRST) fault_every(2, EAGAIN);
  if (refused == NONE_BUT_STDERR_IS_CLOSED) close(STDERR_FILENO);
  for (;;) pause();
}

/* Run it in a child, and read what it reports. */
static int end_of_child(int refused, tr_log_fn log, char text[1 << 14]) {
  int ends[2], status = 0;
  CHECK_EQ(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    close(ends[0]);
    check_process = 0;
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    stall_without_threads(refused, log, ends[1]);
    _exit(99);
  }
  close(ends[1]);
  size_t length = 0;
  ssize_t count;
  while ((count = read(ends[0], text + length, (1 << 14) - 1 - length)) > 0) length += (size_t)count;
  text[length] = 0;
  close(ends[0]);
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  return status;
}

/* Proves: TR_LADDER_END_PROCESS ends a process in which nothing is armed although the system refuses the threads for it:
   all of them, or only those of the end, once the log was called, or because standard error is closed; with the same
   status and report, as far as that can be written (F4, F2).
   Why it matters: a process that has run out of threads is one that stalls.
   Catches: a step that counts as taken although nobody took it; one that waits for an event which no thread delivers. */
CASE(a_stall_ends_the_process_without_threads) {
  static const struct {
    int refused;
    tr_log_fn log;
  } cases[] = {{ALL, NULL},
               {ALL, log_nothing},
               {ALL_BUT_THE_FIRST, NULL},
               {ALL_FROM_THE_EXPLANATION, log_refuses},
               {NONE_BUT_STDERR_IS_CLOSED, NULL}};
  static char text[1 << 14];
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int status = end_of_child(cases[i].refused, cases[i].log, text);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 124, "case %zu: the status is %#x: %.300s", i,
              (unsigned)status, text);
    if (cases[i].refused == NONE_BUT_STDERR_IS_CLOSED) continue;
    const char *start = "libtaskreg: no heartbeat from silent for ";
    CHECK_MSG(strncmp(text, start, strlen(start)) == 0, "case %zu: the report is %.300s", i, text);
    CHECK(strstr(text, ", and the process ends now with status 124\n") != NULL);
    CHECK(strstr(text, "  task silent: ") != NULL && strstr(text, ", heartbeat overdue\n") != NULL);
    CHECK(strstr(text, " threads\nlibtaskreg: end of the report\n") != NULL);
  }
}

CHECK_MAIN(
    CHECK_ENTRY(refused_thread_leaves_the_registry_as_it_was),
    CHECK_ENTRY(refused_thread_is_a_rejection_in_the_metrics),
    CHECK_ENTRY(first_spawn_may_be_rejected),
    CHECK_ENTRY(living_tasks_are_untouched_by_a_rejection),
    CHECK_ENTRY(rejections_do_not_use_up_the_limit),
    CHECK_ENTRY(a_waiting_join_survives_a_rejection),
    CHECK_ENTRY(a_rejection_in_a_group_leaves_every_level_as_it_was),
    CHECK_ENTRY(a_task_may_be_refused_a_thread),
    CHECK_ENTRY(rejection_keeps_the_callers_signal_mask),
    CHECK_ENTRY(rejection_is_logged_once),
    CHECK_ENTRY(rejections_under_load_lose_nothing),
    CHECK_ENTRY(the_system_itself_refuses),
    CHECK_ENTRY(a_wait_on_a_condition_variable_ends_without_a_thread),
    CHECK_ENTRY(a_report_says_that_there_was_no_descriptor),
    CHECK_ENTRY(a_refused_timer_thread_leaves_all_as_it_was),
    CHECK_ENTRY(a_stall_ends_the_process_without_threads))
