/* spawn.c - spawning: a thread for each task, closing, clean-up work, limits, signal masks, stacks.
   Rules S1, S5, S6 (the limit; refused threads are in no_thread.c), S7. */

#include "support.h"

#include <locale.h>

#include <sys/resource.h>

/* ---- One task, one thread ------------------------------------------------------------------ */

enum { MANY = 100 };

struct meeting {
  pthread_barrier_t all;
  _Atomic(pid_t) tids[MANY];
  atomic_int next;
};

static int body_meets(tr_task *self, void *ctx) {
  struct meeting *meeting = ctx;
  CHECK(tr_task_self() == self);
  atomic_store(&meeting->tids[atomic_fetch_add(&meeting->next, 1)], gettid());
  pthread_barrier_wait(&meeting->all);
  pthread_barrier_wait(&meeting->all);
  return 0;
}

/* Proves: 100 tasks that all wait for each other at one barrier all run at the same time, each
   in a thread of its own, again and again in one registry (S1).  Why it matters: a pool of a
   fixed size deadlocks as soon as a task waits for one behind it.  Catches: any queue before the
   threads. */
CASE(a_hundred_tasks_run_at_once) {
  tr_registry *registry = registry_new();
  for (int round = 0; round < 5; round++) {
    static struct meeting meeting;
    memset(&meeting, 0, sizeof meeting);
    CHECK_EQ(0, pthread_barrier_init(&meeting.all, NULL, MANY + 1));
    for (int i = 0; i < MANY; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "meets", TR_KIND_RPC_HANDLER, body_meets, &meeting, NULL));
    pthread_barrier_wait(&meeting.all);
    CHECK_EQ(MANY, tr_len(registry));
    CHECK_EQ(MANY, snapshot_count(registry));
    for (int i = 0; i < MANY; i++) {
      CHECK(meeting.tids[i] != 0 && meeting.tids[i] != gettid());
      for (int j = 0; j < i; j++) CHECK(meeting.tids[i] != meeting.tids[j]);
    }
    pthread_barrier_wait(&meeting.all);
    CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
    pthread_barrier_destroy(&meeting.all);
  }
  registry_finish(registry);
}

struct chain {
  tr_registry *registry;
  int left;
};

static int body_spawns_and_waits(tr_task *self, void *ctx) {
  struct chain *chain = ctx;
  (void)self;
  if (chain->left == 0) return 0;
  struct chain next = {chain->registry, chain->left - 1};
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn(chain->registry, "inner", TR_KIND_RPC_HANDLER, body_spawns_and_waits,
                           &next, &task));
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  tr_task_release(task);
  return 0;
}

/* Proves: a task may spawn tasks and wait for them, to a depth of 50: none waits behind its parent
   (S1, J7). Why it matters: work is usually split inside tasks. Catches: running the child after
   the parent; a lock held across the start of a thread; DEADLOCK for any wait inside a task. */
CASE(tasks_spawn_tasks_and_wait_for_them) {
  tr_registry *registry = registry_new();
  struct chain chain = {registry, 50};
  wait_and_release(spawn(registry, "outer", body_spawns_and_waits, &chain));
  CHECK_EQ(0, tr_len(registry));
  registry_finish(registry);
}

static pthread_key_t litter;

static int body_leaves_litter(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  CHECK_EQ(0, pthread_setspecific(litter, &litter));
  return 0;
}

static int body_wants_it_clean(tr_task *self, void *ctx) {
  (void)self;
  CHECK(pthread_getspecific(litter) == NULL);
  CHECK_EQ(0, pthread_setspecific(litter, ctx));
  return 0;
}

static int body_never_meets_it(tr_task *self, void *ctx) {
  (void)self;
  CHECK(pthread_getspecific(litter) != ctx);
  return 0;
}

/* Proves: a task with TR_SPAWN_FRESH_THREAD, or with a stack size of its own, runs in a thread that
   has run no other task and runs none afterwards: it finds no thread-specific data, and its own
   affects no other task (S1). Why it matters: libraries keep connections and locales in
   thread-specific data. Catches: ignoring the flag; putting a fresh thread back among the idle
   ones. */
CASE(fresh_threads_are_fresh_and_stay_so) {
  CHECK_EQ(0, pthread_key_create(&litter, NULL));
  tr_registry *registry = registry_new();
  static int mark;
  for (int round = 0; round < 20; round++) {
    for (int i = 0; i < 4; i++)
      wait_and_release(spawn(registry, "litters", body_leaves_litter, NULL));
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    if (round % 2)
      options.flags = TR_SPAWN_FRESH_THREAD;
    else
      options.stack_size = 2 << 20;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "clean", TR_KIND_MAINTENANCE, body_wants_it_clean,
                                  &mark, &options, &task));
    wait_and_release(task);
    for (int i = 0; i < 4; i++)
      wait_and_release(spawn(registry, "meets nobody", body_never_meets_it, &mark));
  }
  registry_finish(registry);
  CHECK_EQ(0, pthread_key_delete(litter));
}

struct identity {
  tr_task *self;
  void *ctx;
};

static int body_identifies_itself(tr_task *self, void *ctx) {
  struct identity *identity = ctx;
  identity->self = self;
  identity->ctx = ctx;
  CHECK(tr_task_self() == self);
  CHECK(tr_task_id(self) >= 1);
  return 0;
}

/* Proves: the body gets the task and the ctx that belong together, the handle of the spawner is
   the same task, and tr_task_self is NULL outside (S1, G1).  Why it matters: everything a task
   does goes through self.  Catches: mixing up records under load; a stale thread-specific
   pointer. */
CASE(body_gets_its_own_task_and_context) {
  tr_registry *registry = registry_new();
  enum { count = 50 };
  static struct identity identities[count];
  tr_task *tasks[count];
  for (int i = 0; i < count; i++)
    tasks[i] = spawn(registry, "self", body_identifies_itself, &identities[i]);
  for (int i = 0; i < count; i++) {
    CHECK_EQ(TR_OK, tr_task_wait(tasks[i], FOREVER, NULL));
    CHECK(identities[i].self == tasks[i]);
    CHECK(identities[i].ctx == &identities[i]);
  }
  for (int i = 0; i < count; i++) tr_task_release(tasks[i]);
  CHECK(tr_task_self() == NULL);
  registry_finish(registry);
}

/* ---- Closing ------------------------------------------------------------------------------- */

struct closing {
  tr_registry *registry;
  tr_registry *other;
  struct gate closed;   /* opened when the registry has closed */
  struct gate finished; /* the clean-up task waits here */
  tr_status ordinary, cleanup, foreign;
  tr_task *cleanup_task;
};

static int body_cleans_up(tr_task *self, void *ctx) {
  struct closing *closing = ctx;
  CHECK_EQ(0, tr_task_is_cancelled(self));
  CHECK_EQ(TR_OK, tr_sleep(1)); /* it can still wait: that is what "born unflagged" is for */
  gate_pass(&closing->finished);
  return 0;
}

static int body_spawns_when_closed(tr_task *self, void *ctx) {
  struct closing *closing = ctx;
  (void)self;
  gate_pass(&closing->closed);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  closing->ordinary = tr_spawn(closing->registry, "ordinary", TR_KIND_RPC_HANDLER, body_never, NULL,
                               NULL);
  options.flags = TR_SPAWN_CLEANUP;
  closing->cleanup = tr_spawn_with(closing->registry, "clean-up", TR_KIND_MAINTENANCE,
                                   body_cleans_up, closing, &options, &closing->cleanup_task);
  return 0;
}

static int body_spawns_into_another(tr_task *self, void *ctx) {
  struct closing *closing = ctx;
  (void)self;
  gate_pass(&closing->closed);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_CLEANUP;
  closing->foreign = tr_spawn_with(closing->registry, "foreign", TR_KIND_MAINTENANCE, body_never,
                                   NULL, &options, NULL);
  return 0;
}

static void check_closing(int by_token) {
  static struct closing closing;
  closing = (struct closing){registry_new(), registry_new(), GATE_INIT, GATE_INIT, -99, -99, -99,
                             NULL};
  tr_task *inside = spawn(closing.registry, "inside", body_spawns_when_closed, &closing);
  tr_task *foreigner = spawn(closing.other, "foreigner", body_spawns_into_another, &closing);
  gate_await(&closing.closed, 2);
  struct join_call call;
  if (by_token) {
    CHECK_EQ(1, tr_token_cancel(tr_registry_token(closing.registry), TR_REASON_FATAL, "closing"));
    join_begin_asleep(&call, closing.registry, FOREVER);
  } else {
    shutdown_begin(&call, closing.registry, FOREVER);
    await_asleep(&call.tid);
  }
  CHECK_EQ(1, tr_token_is_cancelled(tr_registry_token(closing.registry)));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(closing.registry, "outside", TR_KIND_RPC_HANDLER, body_never,
                                   NULL, NULL));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_CLEANUP;
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn_with(closing.registry, "outside", TR_KIND_MAINTENANCE,
                                        body_never, NULL, &options, NULL));
  options.flags |= TR_SPAWN_FRESH_THREAD;
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn_with(closing.registry, "outside", TR_KIND_MAINTENANCE,
                                        body_never, NULL, &options, NULL));
  gate_open(&closing.closed);
  wait_and_release(inside);
  wait_and_release(foreigner);
  CHECK_EQ(TR_ERR_CLOSED, closing.ordinary);
  CHECK_EQ(TR_OK, closing.cleanup);
  CHECK_EQ(TR_ERR_CLOSED, closing.foreign);
  gate_await(&closing.finished, 1);
  CHECK_EQ(0, tr_task_is_cancelled(closing.cleanup_task));
  tr_task_summary summary;
  CHECK_EQ(1, find_in_snapshot(closing.registry, tr_task_id(closing.cleanup_task), &summary));
  CHECK_EQ(TR_SPAWN_CLEANUP, summary.flags);
  CHECK_EQ(0, summary.cancel_requested);
  CHECK_EQ(0, atomic_load(&call.returned));
  gate_open(&closing.finished);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(2, call.report.ended); /* the task inside and the clean-up task */
  CHECK_EQ(0, outcome_of(closing.cleanup_task).was_cancelled);
  tr_task_release(closing.cleanup_task);
  registry_finish(closing.registry);
  registry_finish(closing.other);
}

/* Proves: after a shutdown has begun spawn is TR_ERR_CLOSED from outside, from a task of the
   registry and, with the clean-up flag, from outside and from another registry's task; from a
   running task of the same registry clean-up work is accepted, born unflagged, and waited for
   (S5, J3).  Why it matters: in the original a spawn after shutdown was accepted and never
   joined; clean-up itself needs threads.  Catches: either direction of the check; raising the
   flag of a task born after the cancel. */
CASE(closed_by_shutdown_only_cleanup_from_inside_is_accepted) { check_closing(0); }

/* Proves: the same when the registry was closed by its token alone (S5, G2).  Why it matters:
   programs that cancel a parent token never call tr_shutdown before they join.  Catches: closing
   in tr_shutdown only. */
CASE(closed_by_its_token_only_cleanup_from_inside_is_accepted) { check_closing(1); }

/* Proves: the registry's token does not raise the flag of clean-up tasks, spawned before the
   closing from anywhere or after it; tr_task_cancel does, and a join's deadline does, ending their
   sleep (S5, C3, J4). Why it matters: clean-up is the one kind of work that must continue when
   everything else stops, and must stop when time is up. Catches: flags raised for all; clean-up
   tasks skipped at the deadline. */
CASE(cleanup_flag_rises_at_the_deadline) {
  tr_registry *registry = registry_with_grace(3600 * SECOND);
  struct gate gate = GATE_INIT;
  tr_task *one = spawn_drop(registry, "one", body_obeys, &gate, NULL, TR_SPAWN_CLEANUP);
  tr_task *two = spawn_drop(registry, "two", body_obeys, &gate, NULL, TR_SPAWN_CLEANUP);
  tr_task *plain = spawn_drop(registry, "plain", body_obeys, &gate, NULL, 0);
  gate_await(&gate, 3);
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, NULL));
  CHECK_EQ(1, tr_task_is_cancelled(plain));
  CHECK_EQ(TR_OK, tr_task_wait(plain, FOREVER, NULL));
  CHECK_EQ(0, tr_task_is_cancelled(one));
  CHECK_EQ(0, tr_task_is_cancelled(two));
  CHECK_EQ(TR_OK, tr_task_cancel(one));
  CHECK_EQ(1, outcome_of(one).was_cancelled);
  CHECK_EQ(0, tr_task_is_cancelled(two));
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, 10 * MS, &report));
  CHECK_EQ(1, report.pending);
  CHECK_EQ(1, report.aborted);
  CHECK_EQ(1, outcome_of(two).was_cancelled);
  tr_task_release(one);
  tr_task_release(two);
  tr_task_release(plain);
  registry_finish(registry);
}

struct overdue {
  tr_registry *registry;
  struct gate deadline_passed;
  atomic_int born;
};

static int body_is_born_late(tr_task *self, void *ctx) {
  CHECK_EQ(1, tr_task_is_cancelled(self));
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  atomic_fetch_add(&((struct overdue *)ctx)->born, 1);
  return 0;
}

static int body_cleans_up_too_late(tr_task *self, void *ctx) {
  struct overdue *overdue = ctx;
  (void)self;
  gate_pass(&overdue->deadline_passed);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_CLEANUP;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(overdue->registry, "late", TR_KIND_MAINTENANCE, body_is_born_late,
                                overdue, &options, &task));
  CHECK_EQ(1, tr_task_is_cancelled(task));
  tr_task_release(task);
  return 0;
}

/* Proves: clean-up work that is spawned after the deadline of a shutdown has passed is accepted and
   starts with its flag up: its time is over (S5). Why it matters: a straggler that starts to clean
   up after the deadline would otherwise start work that is never asked to stop. Catches: a flag
   that is always down at the start. */
CASE(cleanup_after_the_deadline_is_born_flagged) {
  for (int round = 0; round < check_rounds(50); round++) {
    struct overdue overdue = {registry_new(), GATE_INIT, 0};
    tr_task *task = spawn(overdue.registry, "straggler", body_cleans_up_too_late, &overdue);
    gate_await(&overdue.deadline_passed, 1);
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(overdue.registry, TR_REASON_FATAL, NULL, 0, NULL));
    gate_open(&overdue.deadline_passed);
    CHECK_EQ(TR_OK, tr_join_all(overdue.registry, FOREVER, NULL));
    CHECK_EQ(1, atomic_load(&overdue.born));
    tr_task_release(task);
    registry_finish(overdue.registry);
  }
}

struct generations {
  tr_registry *registry;
  atomic_int *ran;
  struct gate *closed; /* the first generation waits here; NULL in the others */
  int left;
};

static int body_cleans_on(tr_task *self, void *ctx) {
  struct generations *me = ctx;
  if (me->closed != NULL) gate_pass(me->closed);
  CHECK_EQ(me->closed != NULL, tr_task_is_cancelled(self));
  atomic_fetch_add(me->ran, 1);
  if (me->left == 0) return 0;
  struct generations *next = malloc(sizeof *next);
  CHECK(next != NULL);
  *next = (struct generations){me->registry, me->ran, NULL, me->left - 1};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_CLEANUP;
  options.drop = free;
  CHECK_EQ(TR_OK, tr_spawn_with(me->registry, "generation", TR_KIND_MAINTENANCE, body_cleans_on,
                                next, &options, NULL));
  return 0;
}

/* Proves: clean-up tasks may spawn clean-up tasks, each ending before the next has, and a
   shutdown without a deadline waits for the last of 50 (S5, J3).  Why it matters: the registry
   is never empty between them, and must not be taken for empty.  Catches: a spawner that stops
   counting as running before its child is admitted; a join that waits for those it saw first. */
CASE(cleanup_spawns_cleanup_to_the_end) {
  for (int round = 0; round < check_rounds(20); round++) {
    tr_registry *registry = registry_new();
    atomic_int ran = 0;
    struct gate closed = GATE_INIT;
    struct generations first = {registry, &ran, &closed, 50};
    CHECK_EQ(TR_OK, tr_spawn(registry, "first", TR_KIND_MAINTENANCE, body_cleans_on, &first, NULL));
    gate_await(&closed, 1);
    CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, NULL));
    gate_open(&closed);
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    CHECK_EQ(51, atomic_load(&ran));
    tr_registry_release(registry);
  }
}

struct spawner {
  tr_registry *registry;
  pthread_barrier_t *start;
  atomic_int *bodies, *drops;
  int accepted, rejected;
};

static int body_counts(tr_task *self, void *ctx) {
  struct spawner *spawner = ctx;
  (void)self;
  atomic_fetch_add(spawner->bodies, 1);
  return 0;
}

static void drop_of_spawner(void *ctx) {
  struct spawner *spawner = ctx;
  atomic_fetch_add(spawner->drops, 1);
}

static void *spawn_until_closed(void *argument) {
  struct spawner *spawner = argument;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_of_spawner;
  pthread_barrier_wait(spawner->start);
  /* few enough that the shutdown need not compete for the CPU with thousands of threads */
  while (spawner->rejected < 5 && spawner->accepted < 300) {
    tr_status status = tr_spawn_with(spawner->registry, "racer", TR_KIND_RPC_HANDLER, body_counts,
                                     spawner, &options, NULL);
    CHECK(status == TR_OK || status == TR_ERR_CLOSED);
    /* once closed, closed for good */
    CHECK(status != TR_OK || spawner->rejected == 0);
    if (status == TR_OK)
      spawner->accepted++;
    else
      spawner->rejected++;
  }
  return NULL;
}

/* Proves: when spawns race with a shutdown, each is either accepted, and then run, dropped and
   joined before the shutdown returns, or rejected (S5, J3, S4). Why it matters: a task that is
   admitted after the shutdown continues unseen. Catches: a check and an insert that are two
   steps. */
CASE(spawn_races_shutdown_without_a_gap) {
  for (int round = 0; round < check_rounds(100); round++) {
    tr_registry *registry = registry_new();
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 4);
    atomic_int bodies = 0, drops = 0;
    struct spawner spawners[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
      spawners[i] = (struct spawner){registry, &start, &bodies, &drops, 0, 0};
      threads[i] = thread_start(spawn_until_closed, &spawners[i]);
    }
    pthread_barrier_wait(&start);
    for (int i = 0; i < round % 20; i++) sched_yield();
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
    int dropped_at_return = atomic_load(&drops);
    CHECK_EQ(0, tr_len(registry));
    int accepted = 0;
    for (int i = 0; i < 3; i++) {
      thread_end(threads[i]);
      accepted += spawners[i].accepted;
    }
    CHECK_EQ(accepted, dropped_at_return);
    CHECK_EQ(accepted, atomic_load(&drops));
    CHECK_EQ(accepted, atomic_load(&bodies));
    pthread_barrier_destroy(&start);
    tr_registry_release(registry);
  }
}

/* ---- The limit ----------------------------------------------------------------------------- */

/* Proves: with max_tasks alive a spawn is TR_ERR_LIMIT, and after one has ended exactly one more is
   accepted, at once, repeatedly (S6, N1). Why it matters: the limit keeps a flood from overloading
   the machine. Catches: off by one; a slot freed late or not at all; counting rejected spawns. */
CASE(max_tasks_is_exact) {
  for (uint64_t max = 1; max <= 5; max += 2) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.max_tasks = max;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    struct gate gate = GATE_INIT;
    for (uint64_t i = 1; i < max; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "held", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
    for (int round = 0; round < check_rounds(200); round++) {
      struct gate last = GATE_INIT;
      tr_task *task = spawn(registry, "last", body_deaf, &last);
      CHECK_EQ(max, tr_len(registry));
      for (int i = 0; i < 3; i++) {
        tr_task *none = NULL;
        CHECK_EQ(TR_ERR_LIMIT,
                 tr_spawn(registry, "one more", TR_KIND_RPC_HANDLER, body_never, NULL, &none));
        CHECK(none == NULL);
      }
      CHECK_EQ(max, tr_len(registry));
      CHECK_EQ(max, snapshot_count(registry));
      gate_open(&last);
      wait_and_release(task);
    }
    gate_open(&gate);
    registry_finish(registry);
  }
}

struct flood {
  tr_registry *registry;
  atomic_int *alive, *most;
  int accepted, limited;
};

static int body_of_flood(tr_task *self, void *ctx) {
  struct flood *flood = ctx;
  (void)self;
  int alive = atomic_fetch_add(flood->alive, 1) + 1;
  int most = atomic_load(flood->most);
  while (alive > most && !atomic_compare_exchange_weak(flood->most, &most, alive)) continue;
  sched_yield();
  atomic_fetch_sub(flood->alive, 1);
  return 0;
}

static void *flood_registry(void *argument) {
  struct flood *flood = argument;
  while (flood->accepted < check_rounds(500)) {
    tr_status status =
        tr_spawn(flood->registry, "flood", TR_KIND_RPC_HANDLER, body_of_flood, flood, NULL);
    CHECK(status == TR_OK || status == TR_ERR_LIMIT);
    if (status == TR_OK)
      flood->accepted++;
    else
      flood->limited++, sched_yield();
  }
  return NULL;
}

/* Proves: under a flood from four threads never more than max_tasks tasks are alive (S6).
   Why it matters: the check and the insert must be one step there too.  Catches: a count that is
   read before the lock. */
CASE(max_tasks_holds_under_a_flood) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = 7;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  atomic_int alive = 0, most = 0;
  struct flood floods[4];
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    floods[i] = (struct flood){registry, &alive, &most, 0, 0};
    threads[i] = thread_start(flood_registry, &floods[i]);
  }
  for (int i = 0; i < 4; i++) thread_end(threads[i]);
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  CHECK_EQ(0, atomic_load(&alive));
  CHECK(atomic_load(&most) <= 7);
  registry_finish(registry);
}

/* ---- Signals and stacks -------------------------------------------------------------------- */

/* Signals that a thread raises itself, which are never blocked. */
static int is_synchronous(int number) {
  return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
         number == SIGTRAP || number == SIGSYS || number == SIGABRT;
}

/* Make a registry in a thread that blocks these signals. */
static tr_registry *registry_made_under(const sigset_t *blocked) {
  sigset_t before;
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, blocked, &before));
  tr_registry *registry = registry_new();
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
  return registry;
}

static sigset_t some_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGABRT);
  sigaddset(&set, SIGCHLD);
  sigaddset(&set, SIGFPE);
  sigaddset(&set, SIGRTMIN + 7);
  return set;
}

/* Checks that the blocked signals are those of the set `ctx`. */
static int body_checks_its_mask(tr_task *self, void *ctx) {
  const sigset_t *expected = ctx;
  (void)self;
  sigset_t mask;
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &mask));
  for (int number = 1; number <= SIGRTMAX; number++) {
    if (number == SIGKILL || number == SIGSTOP) continue;   /* cannot be blocked */
    if (number >= 32 && number < SIGRTMIN) continue;        /* the C library's own */
    if (number == SIGSYS) continue;                         /* synchronous, blocked or not */
    CHECK_MSG(sigismember(&mask, number) == (!is_synchronous(number) && sigismember(expected, number)),
              "signal %d", number);
  }
  return 0;
}

static void check_caller_mask(tr_registry *registry, tr_registry *full, sigset_t *in_tasks,
                              const sigset_t *mask) {
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, mask, NULL));
  sigset_t expected, now;
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &expected));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_FRESH_THREAD;
  tr_task *task = NULL;
  for (int step = 0; step < 5; step++) {
    switch (step) {
      case 0:
        CHECK_EQ(TR_OK, tr_spawn_with(registry, "mask", TR_KIND_MAINTENANCE, body_checks_its_mask,
                                      in_tasks, &options, &task));
        wait_and_release(task);
        break;
      case 1: wait_and_release(spawn(registry, "mask", body_checks_its_mask, in_tasks)); break;
      case 2:
        CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "", TR_KIND_MAINTENANCE, body_never, NULL,
                                          NULL));
        break;
      case 3:
        CHECK_EQ(TR_ERR_LIMIT,
                 tr_spawn(full, "full", TR_KIND_MAINTENANCE, body_never, NULL, NULL));
        break;
      default: CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL)); break;
    }
    CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &now));
    for (int number = 1; number <= SIGRTMAX; number++)
      CHECK_EQ(sigismember(&expected, number), sigismember(&now, number));
  }
}

/* Proves: a task blocks the signals that the creator of the registry blocked, whatever the
   spawner's mask, and the spawner's mask is as before on success and on failure (S7). Why it
   matters: the host's signals must reach the host's threads, and processes that a task starts
   inherit its mask. Catches: inheriting the caller's mask; not restoring it on an error path. */
CASE(tasks_have_the_registrys_mask_and_the_caller_keeps_its_own) {
  sigset_t before, mask, in_tasks = some_signals();
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &before));
  tr_registry *registry = registry_made_under(&in_tasks), *full = NULL;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = 1;
  CHECK_EQ(TR_OK, create_registry(&options, &full));
  struct gate gate = GATE_INIT;
  tr_task *occupant = spawn(full, "occupant", body_deaf, &gate);
  for (int form = 0; form < 3; form++) {
    if (form == 0) sigemptyset(&mask);
    if (form == 1) {
      sigfillset(&mask);
      sigdelset(&mask, SIGALRM); /* the watchdog's */
    }
    if (form == 2) {
      sigemptyset(&mask);
      sigaddset(&mask, SIGUSR2);
      sigaddset(&mask, SIGTERM);
      sigaddset(&mask, SIGSEGV);
      sigaddset(&mask, SIGRTMAX);
    }
    check_caller_mask(registry, full, &in_tasks, &mask);
  }
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
  gate_open(&gate);
  tr_task_release(occupant);
  registry_finish(full);
  registry_finish(registry);
}

static int body_unblocks_everything(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  sigset_t none;
  sigemptyset(&none);
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &none, NULL));
  return 0;
}

/* Proves: a task that opens its thread's signal mask opens no later task's: each starts with
   the registry's, however many tasks its thread has served (S7,
   S1).  Why it matters: one careless task would make a worker of the program's signal handlers
   for good.  Catches: setting the mask when a thread is made only, where threads serve several
   tasks. */
CASE(an_open_mask_stays_with_its_task) {
  sigset_t in_tasks = some_signals();
  tr_registry *registry = registry_made_under(&in_tasks);
  for (int round = 0; round < 4; round++) {
    wait_and_release(spawn(registry, "unblocks", body_unblocks_everything, NULL));
    for (int i = 0; i < 4; i++)
      wait_and_release(spawn(registry, "mask", body_checks_its_mask, &in_tasks));
  }
  registry_finish(registry);
}

static _Atomic(pid_t) handled_by;
static atomic_int handled;

static void note_handler(int number) {
  (void)number;
  atomic_store(&handled_by, gettid());
  atomic_fetch_add(&handled, 1);
}

/* The one thread of the program that has SIGUSR1 open. */
struct listener {
  _Atomic(pid_t) tid;
  struct gate leave;
};

static void *listen_for_signals(void *argument) {
  struct listener *listener = argument;
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  CHECK_EQ(0, pthread_sigmask(SIG_UNBLOCK, &usr1, NULL));
  atomic_store(&listener->tid, gettid());
  gate_pass(&listener->leave);
  return NULL;
}

static int body_changes_its_locale(tr_task *self, void *ctx) {
  (void)self;
  CHECK_MSG(uselocale((locale_t)0) == LC_GLOBAL_LOCALE, "a task found another's locale");
  uselocale((locale_t)ctx);
  return 0;
}

/* Proves: the locale that a body gave its thread does not meet the next task there (S1).
   Why it matters: it is libc's state, not the application's data, and may have been freed.
   Catches: the locale left as it was. */
CASE(a_locale_stays_with_its_task) {
  locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  CHECK(locale != (locale_t)0);
  tr_registry *registry = registry_new();
  for (int i = 0; i < 50; i++)
    wait_and_release(spawn(registry, "locale", body_changes_its_locale, locale));
  registry_finish(registry);
  freelocale(locale);
}

/* Proves: a signal sent to the process, which was blocked where the registry was made, is handled by the
   thread of the program that has it open, never by a worker, running, asleep in the library or idle, also
   when the spawner had it open (S7).  Why it matters: a handler on a worker's stack interrupts code that
   does not expect it.  Catches: a worker that starts with its spawner's mask. */
CASE(process_signals_never_reach_workers) {
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  tr_registry *registry = registry_made_under(&usr1);
  struct gate deaf = GATE_INIT, asleep = GATE_INIT;
  struct sigaction action, before;
  memset(&action, 0, sizeof action);
  action.sa_handler = note_handler;
  CHECK_EQ(0, sigaction(SIGUSR1, &action, &before));
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_RPC_HANDLER, body_deaf, &deaf, NULL));
    CHECK_EQ(TR_OK, tr_spawn(registry, "asleep", TR_KIND_RPC_HANDLER, body_obeys, &asleep, NULL));
    CHECK_EQ(TR_OK, tr_spawn(registry, "idle soon", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL));
  }
  gate_await(&deaf, 4);
  gate_await(&asleep, 4);
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &usr1, NULL)); /* the first thread would be preferred */
  struct listener listener = {0, GATE_INIT};
  pthread_t thread = thread_start(listen_for_signals, &listener);
  gate_await(&listener.leave, 1);
  for (int i = 1; i <= 50; i++) {
    CHECK_EQ(0, kill(getpid(), SIGUSR1));
    while (atomic_load(&handled) < i) sched_yield();
    CHECK_EQ(atomic_load(&listener.tid), atomic_load(&handled_by));
  }
  gate_open(&listener.leave);
  thread_end(thread);
  CHECK_EQ(0, sigaction(SIGUSR1, &before, NULL));
  CHECK_EQ(0, pthread_sigmask(SIG_UNBLOCK, &usr1, NULL));
  gate_open(&deaf);
  registry_finish(registry);
}

struct stack {
  size_t size;
  size_t use; /* how deep to go, in bytes */
};

/* Recurse until this frame lies `use` bytes below `top`; says how deep it came. */
static size_t descend(uintptr_t top, size_t use) {
  volatile char filler[512];
  filler[0] = 1;
  size_t depth = (size_t)(top - (uintptr_t)__builtin_frame_address(0));
  if (depth < use) depth = descend(top, use);
  filler[1] = filler[0];
  return depth;
}

static int body_measures_its_stack(tr_task *self, void *ctx) {
  struct stack *stack = ctx;
  (void)self;
  pthread_attr_t attributes;
  void *low;
  CHECK_EQ(0, pthread_getattr_np(pthread_self(), &attributes));
  CHECK_EQ(0, pthread_attr_getstack(&attributes, &low, &stack->size));
  CHECK_EQ(0, pthread_attr_destroy(&attributes));
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  CHECK(here > (uintptr_t)low && here < (uintptr_t)low + stack->size);
  CHECK(descend(here, stack->use) >= stack->use);
  return 0;
}

static size_t stack_of_task(tr_registry *registry, uint64_t asked) {
  struct stack stack = {0, 0};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.stack_size = asked;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "stack", TR_KIND_MAINTENANCE, body_measures_its_stack,
                                &stack, &options, &task));
  wait_and_release(task);
  return stack.size;
}

/* Proves: a stack is as large as the spawn's or the registry's options say, rounded up to pages, at
   least 64 KiB, 1 MiB by default, and a spawn's own size takes precedence (S7). Why it matters: a
   thousand stacks of 8 MiB each are too much. Catches: ignoring either option; leaving the C
   library's default; no floor. */
CASE(stack_size_is_what_was_asked_for) {
  /* The C library may hand out a cached stack of up to four times the size. */
  static const size_t kib = 1024;
  tr_registry *registry = registry_new();
  size_t size = stack_of_task(registry, 0);
  CHECK_MSG(size >= 1024 * kib && size <= 4096 * kib + 64 * kib, "default %zu", size);
  size = stack_of_task(registry, 16384 * kib);
  CHECK_MSG(size >= 16384 * kib && size <= 4 * 16384 * kib, "16 MiB %zu", size);
  size = stack_of_task(registry, 1);
  CHECK_MSG(size >= 64 * kib, "floor %zu", size);
  size = stack_of_task(registry, 64 * kib);
  CHECK_MSG(size >= 64 * kib, "64 KiB %zu", size);
  size = stack_of_task(registry, 3 * 1024 * kib + 1);
  CHECK_MSG(size >= 3 * 1024 * kib + 1 && size % (size_t)sysconf(_SC_PAGESIZE) == 0, "odd %zu",
            size);
  registry_finish(registry);

  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.stack_size = 24576 * kib;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  size = stack_of_task(registry, 0);
  CHECK_MSG(size >= 24576 * kib && size <= 4 * 24576 * kib, "of the registry %zu", size);
  size = stack_of_task(registry, 2048 * kib);
  CHECK_MSG(size >= 2048 * kib && size < 24576 * kib, "of the spawn %zu", size);
  registry_finish(registry);
}

/* Proves: a default stack can be used down to its last tens of KiB, and one of the least size
   holds a modest body (S7, P4).  Why it matters: a stack that is smaller than it says ends in a
   crash far from its cause.  Catches: a size given in the wrong unit; a guard taken out of the
   stack. */
CASE(stacks_can_be_used_to_their_size) {
  tr_registry *registry = registry_new();
  struct stack stack = {0, check_under_a_tool() ? 256 * 1024 : 1024 * 1024 - 48 * 1024};
  wait_and_release(spawn(registry, "deep", body_measures_its_stack, &stack));
  struct stack least = {0, 24 * 1024};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.stack_size = 1;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "shallow", TR_KIND_MAINTENANCE, body_measures_its_stack,
                                &least, &options, &task));
  wait_and_release(task);
  registry_finish(registry);
}

/* In a process of its own: what RLIMIT_STACK was when it started is the C library's default. */
static int role_default_stack(void) {
  tr_registry *registry = registry_new();
  size_t size = stack_of_task(registry, 0);
  registry_finish(registry);
  CHECK_MSG(size >= 1 << 20 && size < (4 << 20) + (64 << 10), "default stack %zu", size);
  return 0;
}

static void limit_stack(rlim_t bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_STACK, &limit) != 0) _exit(125);
  if (bytes != RLIM_INFINITY || limit.rlim_max == RLIM_INFINITY) limit.rlim_cur = bytes;
  if (setrlimit(RLIMIT_STACK, &limit) != 0) _exit(125);
}
static void limit_stack_low(void) { limit_stack(256 << 10); }
static void limit_stack_high(void) { limit_stack(64 << 20); }
static void limit_stack_none(void) { limit_stack(RLIM_INFINITY); }

/* Proves: the default stack is 1 MiB under RLIMIT_STACK of 256 KiB, 64 MiB and unlimited alike
   (S7).  Why it matters: the same program must not run out of stack on another machine.
   Catches: leaving the size out of the thread's attributes. */
CASE(default_stack_does_not_follow_rlimit_stack) {
  CHECK_EXITED(0, status_of_role("default-stack", limit_stack_low));
  CHECK_EXITED(0, status_of_role("default-stack", limit_stack_high));
  CHECK_EXITED(0, status_of_role("default-stack", limit_stack_none));
}

static const struct check_case cases[] = {
    CHECK_ENTRY(a_hundred_tasks_run_at_once),
    CHECK_ENTRY(tasks_spawn_tasks_and_wait_for_them),
    CHECK_ENTRY(fresh_threads_are_fresh_and_stay_so),
    CHECK_ENTRY(body_gets_its_own_task_and_context),
    CHECK_ENTRY(closed_by_shutdown_only_cleanup_from_inside_is_accepted),
    CHECK_ENTRY(closed_by_its_token_only_cleanup_from_inside_is_accepted),
    CHECK_ENTRY(cleanup_flag_rises_at_the_deadline),
    CHECK_ENTRY(cleanup_after_the_deadline_is_born_flagged),
    CHECK_ENTRY(cleanup_spawns_cleanup_to_the_end),
    CHECK_ENTRY(spawn_races_shutdown_without_a_gap),
    CHECK_ENTRY(max_tasks_is_exact),
    CHECK_ENTRY(max_tasks_holds_under_a_flood),
    CHECK_ENTRY(tasks_have_the_registrys_mask_and_the_caller_keeps_its_own),
    CHECK_ENTRY(an_open_mask_stays_with_its_task),
    CHECK_ENTRY(a_locale_stays_with_its_task),
    CHECK_ENTRY(process_signals_never_reach_workers),
    CHECK_ENTRY(stack_size_is_what_was_asked_for),
    CHECK_ENTRY(stacks_can_be_used_to_their_size),
    CHECK_ENTRY(default_stack_does_not_follow_rlimit_stack),
};

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "--role") == 0) {
    check_current = argv[2];
    if (strcmp(argv[2], "default-stack") == 0) return role_default_stack();
    return 2;
  }
  return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
