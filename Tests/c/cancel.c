/* cancel.c - the flag of a task: the calls that raise it, the waits it ends, and what it does not
   end. Rules C3, C4, C5. */

#include "support.h"

/* ---- Raising the flag ---------------------------------------------------------------------- */

/* Check that `task` is flagged or not, by every way of looking at it. */
static void check_flag(tr_registry *registry, tr_task *task, int up) {
  CHECK_EQ(up, tr_task_is_cancelled(task));
  const uint32_t *flag = tr_task_cancel_flag(task);
  CHECK(flag != NULL);
  CHECK_EQ(up, __atomic_load_n(flag, __ATOMIC_ACQUIRE) != 0);
  tr_task_summary summary;
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &summary));
  CHECK_EQ(up, summary.cancel_requested);
  CHECK_EQ(up, summary.cancel_requested_at_ns != 0);
}

/* Proves: tr_task_cancel raises the flag of that task alone, seen by every way of looking at
   once, with the moment it was raised; calling it again, and after the end, is TR_OK and changes
   nothing (C3, N2).  Why it matters: one connection is closed, the others stay.  Catches: a flag
   shared by tasks; a flag that the snapshot does not know; moving the moment on the second call. */
CASE(task_cancel_raises_one_flag) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *one = spawn(registry, "one", body_deaf, &gate);
  tr_task *two = spawn(registry, "two", body_deaf, &gate);
  gate_await(&gate, 2);
  check_flag(registry, one, 0);
  check_flag(registry, two, 0);
  int64_t before = now_ns();
  CHECK_EQ(TR_OK, tr_task_cancel(one));
  int64_t after = now_ns();
  check_flag(registry, one, 1);
  check_flag(registry, two, 0);
  tr_task_summary first, second;
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(one), &first));
  CHECK_BETWEEN_NS(before, after, first.cancel_requested_at_ns);
  CHECK_EQ(TR_STATE_CANCELLING, first.state);
  CHECK_EQ(TR_OK, tr_task_cancel(one));
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(one), &second));
  CHECK_EQ(first.cancel_requested_at_ns, second.cancel_requested_at_ns);
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  gate_open(&gate);
  CHECK_EQ(1, outcome_of(one).was_cancelled);
  CHECK_EQ(0, outcome_of(two).was_cancelled);
  CHECK_EQ(TR_OK, tr_task_cancel(one));
  CHECK_EQ(TR_OK, tr_task_cancel(two));
  CHECK_EQ(0, outcome_of(two).was_cancelled); /* it was not up when the task ended */
  tr_task_release(one);
  tr_task_release(two);
  registry_finish(registry);
}

/* Proves: the flags of all tasks rise with the registry's token, with its parent and with a
   shutdown, before the cancel returns; tasks of other registries keep theirs down (C3, C2, J1).
   Why it matters: it is the one signal a task gets.  Catches: raising flags of tasks seen at
   some earlier time; none for tasks that never wait. */
CASE(token_raises_every_flag) {
  for (int way = 0; way < 3; way++) {
    tr_token *parent = tr_token_create(), *token = tr_token_child(parent);
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.token = token;
    tr_registry *registry = NULL, *other = registry_new();
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    struct gate gate = GATE_INIT;
    tr_task *tasks[20];
    for (int i = 0; i < 20; i++) tasks[i] = spawn(registry, "deaf", body_deaf, &gate);
    tr_task *bystander = spawn(other, "bystander", body_deaf, &gate);
    gate_await(&gate, 21);
    for (int i = 0; i < 20; i++) check_flag(registry, tasks[i], 0);
    struct join_call call;
    if (way == 0) CHECK_EQ(1, tr_token_cancel(token, TR_REASON_USER_REQUESTED, NULL));
    if (way == 1) CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_USER_REQUESTED, NULL));
    if (way == 2) {
      shutdown_begin(&call, registry, FOREVER);
      await_asleep(&call.tid);
    }
    for (int i = 0; i < 20; i++) check_flag(registry, tasks[i], 1);
    check_flag(other, bystander, 0);
    gate_open(&gate);
    if (way == 2) {
      join_end(&call);
      CHECK_EQ(TR_OK, call.status);
    }
    for (int i = 0; i < 20; i++) {
      CHECK_EQ(1, outcome_of(tasks[i]).was_cancelled);
      tr_task_release(tasks[i]);
    }
    tr_task_release(bystander);
    registry_finish(registry);
    registry_finish(other);
    tr_token_release(token);
    tr_token_release(parent);
  }
}

/* Proves: a join's deadline raises the flags of the tasks that are alive then, and none before (C3,
   J1, J4). Why it matters: a join is patient until its time is up. Catches: raising flags when the
   join starts; not raising them at all. */
CASE(deadline_raises_the_flags_of_stragglers) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[5];
  for (int i = 0; i < 5; i++) tasks[i] = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 5);
  struct join_call call;
  join_begin_asleep(&call, registry, FOREVER);
  for (int i = 0; i < 5; i++) check_flag(registry, tasks[i], 0);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 10 * MS, NULL));
  for (int i = 0; i < 5; i++) check_flag(registry, tasks[i], 1);
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  tr_task *later = spawn(registry, "later", body_deaf, &gate);
  check_flag(registry, later, 0); /* it was not there at the deadline */
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  for (int i = 0; i < 5; i++) tr_task_release(tasks[i]);
  tr_task_release(later);
  registry_finish(registry);
}

static int body_spawns_child(tr_task *self, void *ctx) {
  tr_task **child = ctx;
  tr_registry *registry = (tr_registry *)child[1];
  child[0] = spawn(registry, "child", body_obeys, NULL);
  while (!tr_task_is_cancelled(self)) sched_yield();
  return 0;
}

/* Proves: a task that another task spawned is a task like any other: cancelling the spawner does
   not cancel it (C3).  Why it matters: tasks form a list, not a tree; trees are made with
   tokens.  Catches: a flag that is inherited. */
CASE(cancelling_a_spawner_leaves_what_it_spawned) {
  tr_registry *registry = registry_new();
  void *shared[2] = {NULL, registry};
  tr_task *spawner = spawn(registry, "spawner", body_spawns_child, shared);
  while (tr_len(registry) < 2) sched_yield();
  CHECK_EQ(TR_OK, tr_task_cancel(spawner));
  CHECK_EQ(TR_OK, tr_task_wait(spawner, FOREVER, NULL));
  tr_task *child = shared[0];
  check_flag(registry, child, 0);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(child, 10 * MS, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(child));
  wait_and_release(child);
  tr_task_release(spawner);
  registry_finish(registry);
}

/* ---- Waits that the flag ends -------------------------------------------------------------- */

enum wait { SLEEPS, SLEEPS_LONG, WAITS_TOKEN, WAITS_TASK, JOINS, SHUTS_DOWN, WAITS };
enum raise { BY_TASK, BY_TOKEN, BY_PARENT, BY_SHUTDOWN, BY_DEADLINE, RAISES };

/* A task that waits in one of the library's waits for what does not come. */
struct waiting {
  enum wait wait;
  tr_token *token;
  tr_task *task;
  tr_registry *registry;
  struct gate *before; /* passed before the wait, when it is not NULL */
  _Atomic(pid_t) tid;
  tr_status status;
  int64_t ended_at;
  tr_join_report report;
};

static int body_waits(tr_task *self, void *ctx) {
  struct waiting *waiting = ctx;
  if (waiting->before != NULL) gate_pass(waiting->before);
  waiting->report = (tr_join_report)TR_JOIN_REPORT_INIT;
  waiting->report.ended = 4711;
  atomic_store(&waiting->tid, gettid());
  switch (waiting->wait) {
    case SLEEPS: waiting->status = tr_sleep(FOREVER); break;
    case SLEEPS_LONG: waiting->status = tr_sleep(INT64_MAX); break;
    case WAITS_TOKEN: waiting->status = tr_token_wait(waiting->token, FOREVER); break;
    case WAITS_TASK: waiting->status = tr_task_wait(waiting->task, FOREVER, NULL); break;
    case JOINS: waiting->status = tr_join_all(waiting->registry, FOREVER, &waiting->report); break;
    default:
      waiting->status =
          tr_shutdown(waiting->registry, TR_REASON_FATAL, NULL, FOREVER, &waiting->report);
      break;
  }
  waiting->ended_at = now_ns();
  CHECK_EQ(1, tr_task_is_cancelled(self));
  return 0;
}

/* One wait, one way to raise the flag, before the wait or during it. */
static void check_wait_ends(enum wait wait, enum raise raise, int before) {
  tr_token *parent = tr_token_create(), *token = tr_token_child(parent);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.token = token;
  options.abort_grace_ns = 3600 * SECOND;
  tr_registry *registry = NULL, *other = registry_new();
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  struct gate held = GATE_INIT, entry = GATE_INIT;
  struct waiting waiting;
  memset(&waiting, 0, sizeof waiting);
  waiting.wait = wait;
  waiting.token = tr_token_create();
  waiting.task = spawn(other, "held", body_deaf, &held);
  waiting.registry = other;
  waiting.before = before ? &entry : NULL;
  waiting.status = -99;
  tr_task *task = spawn(registry, "waits", body_waits, &waiting);
  if (before)
    gate_await(&entry, 1);
  else
    await_asleep(&waiting.tid);
  CHECK_EQ(0, tr_task_is_cancelled(task));
  struct join_call call;
  int calls = raise == BY_SHUTDOWN || raise == BY_DEADLINE;
  int64_t raised = now_ns();
  if (raise == BY_TASK) CHECK_EQ(TR_OK, tr_task_cancel(task));
  if (raise == BY_TOKEN) CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, NULL));
  if (raise == BY_PARENT) CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_FATAL, NULL));
  if (raise == BY_SHUTDOWN) shutdown_begin(&call, registry, FOREVER);
  if (raise == BY_DEADLINE) join_begin(&call, registry, 1 * MS);
  if (before) {
    while (!tr_task_is_cancelled(task)) sched_yield();
    raised = now_ns();
    gate_open(&entry);
  }
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_MSG(waiting.status == TR_ERR_CANCELLED, "wait %d, raised by %d, before %d: %d", (int)wait,
            (int)raise, before, (int)waiting.status);
  CHECK_BETWEEN_NS(0, AT_ONCE, waiting.ended_at - raised);
  CHECK_EQ(4711, waiting.report.ended); /* untouched unless OK or DEADLINE */
  if (calls) {
    join_end(&call);
    CHECK_EQ(raise == BY_SHUTDOWN ? TR_OK : TR_ERR_DEADLINE, call.status);
    if (raise == BY_DEADLINE) CHECK_EQ(1, call.report.aborted);
  }
  CHECK_EQ(0, tr_token_is_cancelled(waiting.token));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(waiting.task, 0, NULL));
  if (wait == JOINS) CHECK_EQ(0, tr_task_is_cancelled(waiting.task));
  gate_open(&held);
  wait_and_release(waiting.task);
  tr_token_release(waiting.token);
  tr_task_release(task);
  registry_finish(other);
  registry_finish(registry);
  tr_token_release(token);
  tr_token_release(parent);
}

/* Proves: every wait of the library, in a task, ends with TR_ERR_CANCELLED at once when the task's
   flag is raised during it, by any of: tr_task_cancel, the token, its parent, a shutdown, a join's
   deadline; the object waited for is unchanged (C4, C3). Why it matters: a service stops as fast as
   its slowest wait. Catches: a wait, or a way of raising, that was forgotten; polling with a
   period. */
CASE(flag_raised_during_any_wait_ends_it) {
  for (enum wait wait = SLEEPS; wait < WAITS; wait++)
    for (enum raise raise = BY_TASK; raise < RAISES; raise++) check_wait_ends(wait, raise, 0);
}

/* Proves: the same when the flag was raised before the wait started (C4). Why it matters: between
   checking the flag and waiting there is always a moment. Catches: a wait that only detects a new
   event. */
CASE(flag_raised_before_any_wait_ends_it) {
  for (enum wait wait = SLEEPS; wait < WAITS; wait++)
    for (enum raise raise = BY_TASK; raise < RAISES; raise++) check_wait_ends(wait, raise, 1);
}

static int body_sleeps_flagged(tr_task *self, void *ctx) {
  (void)ctx;
  while (!tr_task_is_cancelled(self)) sched_yield();
  for (int i = 0; i < 3; i++) { /* the flag stays up: every sleep ends at once */
    CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(0));
    CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(1));
    CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(3600 * SECOND));
    CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  }
  return 0;
}

/* Proves: once the flag is up every sleep, of 0 too, is TR_ERR_CANCELLED, each time (C4).
   Why it matters: loops test the status of their sleep and nothing else.  Catches: a wake-up
   that is consumed by the first wait. */
CASE(flag_stays_up) {
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "flagged", body_sleeps_flagged, NULL);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  registry_finish(registry);
}

/* Proves: a flag that rises in the very moment a wait begins is never lost, over thousands of
   tries with every wait (C4).  Why it matters: a lost wake-up is a shutdown that hangs once a
   month.  Catches: checking the flag, then taking the lock, then waiting. */
CASE(no_wake_up_is_lost) {
  tr_registry *registry = registry_new(), *other = registry_new();
  struct gate held = GATE_INIT;
  tr_token *token = tr_token_create();
  tr_task *deaf = spawn(other, "held", body_deaf, &held);
  for (int round = 0; round < check_rounds(4000); round++) {
    struct waiting waiting;
    memset(&waiting, 0, sizeof waiting);
    waiting.wait = (enum wait)(round % SHUTS_DOWN);
    waiting.token = token;
    waiting.task = deaf;
    waiting.registry = other;
    tr_task *task = spawn(registry, "waits", body_waits, &waiting);
    if (round % 3)
      while (atomic_load(&waiting.tid) == 0) sched_yield();
    for (int i = 0; i < round % 5; i++) sched_yield();
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK_EQ(TR_ERR_CANCELLED, waiting.status);
    tr_task_release(task);
  }
  gate_open(&held);
  tr_task_release(deaf);
  tr_token_release(token);
  registry_finish(other);
  registry_finish(registry);
}

static long switches_of(pid_t tid) {
  char path[64], line[128];
  snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)tid);
  FILE *file = fopen(path, "re");
  CHECK(file != NULL);
  long switches = -1;
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "voluntary_ctxt_switches: %ld", &switches) == 1) break;
  fclose(file);
  CHECK(switches >= 0);
  return switches;
}

/* Proves: a thread that waits in the library sleeps: in 200 ms it is not scheduled again, in any
   of the waits (C4).  Why it matters: a thousand idle connections must cost nothing.  Catches:
   polling with any period up to 50 ms. */
CASE(waits_do_not_poll) {
  tr_registry *registry = registry_new(), *other = registry_new();
  struct gate held = GATE_INIT;
  tr_token *token = tr_token_create();
  tr_task *deaf = spawn(other, "held", body_deaf, &held);
  struct waiting waitings[SHUTS_DOWN];
  long before[SHUTS_DOWN];
  for (int i = 0; i < SHUTS_DOWN; i++) {
    memset(&waitings[i], 0, sizeof waitings[i]);
    waitings[i].wait = (enum wait)i;
    waitings[i].token = token;
    waitings[i].task = deaf;
    waitings[i].registry = other;
    CHECK_EQ(TR_OK, tr_spawn(registry, "waits", TR_KIND_BACKGROUND_LOOP, body_waits, &waitings[i],
                             NULL));
    await_asleep(&waitings[i].tid);
  }
  for (int i = 0; i < SHUTS_DOWN; i++) before[i] = switches_of(waitings[i].tid);
  struct timespec while_measuring = {0, 200000000};
  nanosleep(&while_measuring, NULL);
  for (int i = 0; i < SHUTS_DOWN; i++) {
    long switches = switches_of(waitings[i].tid) - before[i];
    CHECK_MSG(switches <= 3, "wait %d: %ld switches", i, switches);
  }
  registry_finish(registry); /* raises their flags */
  gate_open(&held);
  registry_finish(other);
  tr_task_release(deaf);
  tr_token_release(token);
}

/* ---- What the flag does not end ------------------------------------------------------------ */

struct counting {
  atomic_int stop;
  atomic_long steps;
};

static int body_counts_on(tr_task *self, void *ctx) {
  struct counting *counting = ctx;
  (void)self;
  while (!atomic_load(&counting->stop)) {
    atomic_fetch_add(&counting->steps, 1);
    sched_yield();
  }
  return 3;
}

static void await_progress(struct counting *counting) {
  long seen = atomic_load(&counting->steps);
  while (atomic_load(&counting->steps) < seen + 10) sched_yield();
}

/* Proves: a task that never checks its flag continues after tr_task_cancel, after the token, after
   a deadline and after a shutdown that timed out, and ends in its own way with its own code (C5,
   J4). Why it matters: killing a thread leaves locks taken and memory lost. Catches: pthread_cancel
   on a straggler; a body whose result is replaced by "cancelled". */
CASE(nothing_kills_a_thread) {
  tr_registry *registry = registry_new();
  struct counting counting = {0, 0};
  tr_task *task = spawn(registry, "counts on", body_counts_on, &counting);
  await_progress(&counting);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  await_progress(&counting);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, NULL));
  await_progress(&counting);
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
  await_progress(&counting);
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_FATAL, NULL, 1 * MS, NULL));
  await_progress(&counting);
  atomic_store(&counting.stop, 1);
  tr_outcome outcome = outcome_of(task);
  CHECK_EQ(TR_ENDED_FAILED, outcome.how);
  CHECK_EQ(3, outcome.code);
  CHECK_EQ(1, outcome.was_cancelled);
  tr_task_release(task);
  registry_finish(registry);
}

static int body_plain_sleep(tr_task *self, void *ctx) {
  (void)self;
  int64_t start = now_ns();
  CHECK_EQ(TR_OK, tr_sleep(20 * MS));
  *(int64_t *)ctx = now_ns() - start;
  return 0;
}

/* Proves: a sleep that is not interrupted takes its whole time, in a task and outside of one, and
   outside a task a cancelled token does not shorten it (C4). Why it matters: outside a task there
   is not a flag. Catches: returning early; confusing milliseconds and nanoseconds. */
CASE(undisturbed_sleep_takes_its_time) {
  tr_registry *registry = registry_new();
  int64_t took = 0;
  wait_and_release(spawn(registry, "sleeps", body_plain_sleep, &took));
  CHECK_BETWEEN_NS(20 * MS, 20 * MS + AT_ONCE, took);
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
  int64_t start = now_ns();
  CHECK_EQ(TR_OK, tr_sleep(20 * MS));
  CHECK_BETWEEN_NS(20 * MS, 20 * MS + AT_ONCE, now_ns() - start);
  registry_finish(registry);
}

static void do_nothing(int number) { (void)number; }

/* Proves: signals handled in the waiting thread shorten no wait of the library: sleep, token,
   task and join all last to their timeouts (C4, J1).  Why it matters: programs use interval
   timers.  Catches: taking EINTR for the end. */
CASE(signals_shorten_no_wait) {
  tr_registry *registry = registry_new();
  tr_token *token = tr_token_create();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = do_nothing; /* without SA_RESTART; it stays, as valgrind delivers some later */
  CHECK_EQ(0, sigaction(SIGUSR1, &action, NULL));
  timer_t timer;
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGUSR1;
  CHECK_EQ(0, timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec every = {{0, 4000000}, {0, 4000000}};
  CHECK_EQ(0, timer_settime(timer, 0, &every, NULL));
  for (int wait = 0; wait < 4; wait++) {
    int64_t start = now_ns();
    if (wait == 0) CHECK_EQ(TR_OK, tr_sleep(60 * MS));
    if (wait == 1) CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait(token, 60 * MS));
    if (wait == 2) CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 60 * MS, NULL));
    if (wait == 3) CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 60 * MS, NULL));
    CHECK_BETWEEN_NS(60 * MS, 60 * MS + AT_ONCE, now_ns() - start);
  }
  CHECK_EQ(0, timer_delete(timer));
  gate_open(&gate);
  tr_task_release(task);
  tr_token_release(token);
  registry_finish(registry);
}

struct loop {
  const uint32_t *flag;
  sem_t ready;
};

static int body_spins_on_its_flag(tr_task *self, void *ctx) {
  struct loop *loop = ctx;
  loop->flag = tr_task_cancel_flag(self);
  CHECK_EQ(0, __atomic_load_n(loop->flag, __ATOMIC_ACQUIRE));
  CHECK_EQ(0, sem_post(&loop->ready));
  while (__atomic_load_n(loop->flag, __ATOMIC_ACQUIRE) == 0) sched_yield();
  CHECK_EQ(1, tr_task_is_cancelled(self));
  return 0;
}

/* Proves: a task that only reads the address of its flag sees it rise, the handle of the spawner
   gives the same address, and it stays readable after the end as long as the handle is held
   (C3).  Why it matters: tight loops cannot afford a call.  Catches: an address of a copy; a
   flag freed with the worker. */
CASE(flag_can_be_read_by_address) {
  tr_registry *registry = registry_new();
  struct loop loop = {NULL, {{0}}};
  CHECK_EQ(0, sem_init(&loop.ready, 0, 0));
  tr_task *task = spawn(registry, "spins", body_spins_on_its_flag, &loop);
  sem_take(&loop.ready);
  CHECK(tr_task_cancel_flag(task) == loop.flag);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  for (int i = 0; i < 20; i++) wait_and_release(spawn(registry, "reuse", body_returns, NULL));
  CHECK(__atomic_load_n(loop.flag, __ATOMIC_ACQUIRE) != 0);
  CHECK_EQ(1, tr_task_is_cancelled(task));
  CHECK_EQ(0, sem_destroy(&loop.ready));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a cancel of a task that has ended reaches no other task, whatever memory they share by
   reuse (C3, N1).  Why it matters: handles of ended tasks are kept and cancelled late.  Catches:
   a handle that refers to a slot without its generation. */
CASE(late_cancel_reaches_nobody_else) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(200); i++) {
    tr_task *old = spawn(registry, "old", body_returns, NULL);
    CHECK_EQ(TR_OK, tr_task_wait(old, FOREVER, NULL));
    struct gate gate = GATE_INIT;
    tr_task *young = spawn(registry, "young", body_deaf, &gate);
    CHECK_EQ(TR_OK, tr_task_cancel(old));
    CHECK_EQ(0, tr_task_is_cancelled(young));
    gate_open(&gate);
    CHECK_EQ(0, outcome_of(young).was_cancelled);
    tr_task_release(young);
    tr_task_release(old);
  }
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(task_cancel_raises_one_flag),
    CHECK_ENTRY(token_raises_every_flag),
    CHECK_ENTRY(deadline_raises_the_flags_of_stragglers),
    CHECK_ENTRY(cancelling_a_spawner_leaves_what_it_spawned),
    CHECK_ENTRY(flag_raised_during_any_wait_ends_it),
    CHECK_ENTRY(flag_raised_before_any_wait_ends_it),
    CHECK_ENTRY(flag_stays_up),
    CHECK_ENTRY(no_wake_up_is_lost),
    CHECK_ENTRY(waits_do_not_poll),
    CHECK_ENTRY(nothing_kills_a_thread),
    CHECK_ENTRY(undisturbed_sleep_takes_its_time),
    CHECK_ENTRY(signals_shorten_no_wait),
    CHECK_ENTRY(flag_can_be_read_by_address),
    CHECK_ENTRY(late_cancel_reaches_nobody_else))
