/* registry.c - registries: references, release in every order, and the state after a shutdown.
   Rules G1, G3, G4; S5 where a shutdown closes. */

#include "support.h"

/* Proves: all references share one list, one token and one state, and the registry lives until
   the last is released (G1).  Why it matters: every part of a program holds a reference of its
   own.  Catches: a retain that copies; a release that frees early. */
CASE(references_share_one_list) {
  struct gate gate = GATE_INIT;
  tr_registry *one = registry_new();
  tr_registry *two = tr_registry_retain(one);
  CHECK(two == one);
  tr_task *task = spawn(one, "shared", body_deaf, &gate);
  CHECK_EQ(1, tr_len(two));
  tr_registry_release(one);
  CHECK_EQ(1, tr_len(two));
  CHECK_EQ(1, find_in_snapshot(two, tr_task_id(task), NULL));
  tr_task *second = spawn(two, "after a release", body_deaf, &gate);
  CHECK_EQ(2, tr_len(two));
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_join_all(two, FOREVER, NULL));
  tr_task_release(task);
  tr_task_release(second);
  registry_finish(two);
}

/* Proves: a registry without options has the defaults: no limit of its own, a token of its own,
   open, empty (G1, G2).  Why it matters: most programs pass NULL.  Catches: defaults read from
   the structure only. */
CASE(defaults_need_no_options) {
  tr_registry *registry = NULL;
  int threads = thread_baseline();
  CHECK_EQ(TR_OK, create_registry(NULL, &registry));
  CHECK_EQ(threads, thread_count()); /* no thread is made before the first spawn */
  CHECK_EQ(0, tr_len(registry));
  CHECK_EQ(1, tr_is_empty(registry));
  CHECK(tr_registry_token(registry) != NULL);
  struct gate gate = GATE_INIT;
  for (int i = 0; i < 40; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "many", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
  CHECK_EQ(40, tr_len(registry));
  CHECK_EQ(0, tr_is_empty(registry));
  gate_open(&gate);
  registry_finish(registry);
}

/* Proves: creating and releasing registries, used and unused, leaves no thread behind (G3, G4).
   Why it matters: a program may make a registry for each request.  Catches: a manager thread
   that is never joined; a leak, under valgrind. */
CASE(registries_come_and_go) {
  int threads = thread_baseline();
  for (int i = 0; i < check_rounds(1000); i++) {
    tr_registry *registry = registry_new();
    if (i % 4 == 0) wait_and_release(spawn(registry, "short", body_returns, NULL));
    if (i % 2 == 0) CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    tr_registry_release(registry);
  }
  threads_settle(threads, 20 * SECOND * check_scale());
}

/* Proves: the last release returns at once with tasks alive that ignore their flags or sleep, and
   cancels none of them; each can still be read, cancelled and waited for through its handle (G3,
   C3, O3). Why it matters: an owner's release must not hang, and must not stop tasks that others
   still use. Catches: a join or a cancel in the destructor; freeing what a worker uses. */
CASE(last_release_neither_waits_nor_cancels) {
  int threads = thread_baseline();
  static struct gate gate = GATE_INIT, sleeping = GATE_INIT;
  tr_registry *registry = registry_new();
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  tr_task *sleeper = spawn(registry, "sleeper", body_obeys, &sleeping);
  gate_await(&gate, 1);
  gate_await(&sleeping, 1);
  int64_t start = now_ns();
  tr_registry_release(registry);
  CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - start);
  CHECK_EQ(0, tr_task_is_cancelled(deaf));
  CHECK_EQ(0, tr_task_is_cancelled(sleeper));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(deaf, 0, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(sleeper));
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(sleeper).how);
  gate_open(&gate);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(deaf).how);
  tr_task_release(deaf);
  tr_task_release(sleeper);
  threads_settle(threads, 20 * SECOND * check_scale());
}

/* Proves: the outcome of a task, its name, kind and id can be read from its handle after the
   registry is gone, whenever the task ended (G3, O3).  Why it matters: handles outlive the
   registry in programs that tear down in any order.  Catches: keeping the outcome in the
   registry. */
CASE(outcomes_outlive_the_registry) {
  tr_registry *registry = registry_new();
  int code = 42;
  tr_task *failed = spawn(registry, "failed", body_fails, &code);
  tr_task *exited = spawn(registry, "exited", body_exits, NULL);
  CHECK_EQ(TR_OK, tr_task_wait(failed, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_task_wait(exited, FOREVER, NULL));
  uint64_t id = tr_task_id(failed);
  registry_finish(registry);
  tr_outcome outcome = outcome_of(failed);
  CHECK_EQ(TR_ENDED_FAILED, outcome.how);
  CHECK_EQ(42, outcome.code);
  CHECK_EQ(TR_ENDED_EXITED, outcome_of(exited).how);
  char name[64];
  CHECK_EQ(6, tr_task_name(failed, name, sizeof name));
  CHECK_STR("failed", name);
  CHECK_EQ(TR_KIND_BACKGROUND_LOOP, tr_task_kind(failed));
  CHECK_EQ(id, tr_task_id(failed));
  CHECK(tr_task_cancel_flag(failed) != NULL);
  CHECK_EQ(TR_OK, tr_task_cancel(failed));
  tr_task_release(failed);
  tr_task_release(exited);
}

/* The things a program holds, to be released in an order of its own. */
enum {
  HELD_REGISTRY,
  HELD_SECOND_REFERENCE,
  HELD_TOKEN,
  HELD_PARENT,
  HELD_TASK,
  HELD_OBEDIENT,
  HELD
};

struct released {
  struct gate *gate;
  sem_t *dropped;
};

static int body_of_released(tr_task *self, void *ctx) {
  struct released *released = ctx;
  (void)self;
  gate_pass(released->gate);
  return 0;
}

static void drop_of_released(void *ctx) {
  struct released *released = ctx;
  CHECK_EQ(0, sem_post(released->dropped));
}

static int body_of_obedient(tr_task *self, void *ctx) {
  struct released *released = ctx;
  tr_status status = tr_sleep(FOREVER);
  CHECK_EQ(TR_ERR_CANCELLED, status);
  CHECK_EQ(1, tr_task_is_cancelled(self));
  gate_pass(released->gate);
  return 0;
}

/* Proves: two references to a registry, its token, the token's parent and two task handles may be
   released in each of their 720 orders while the tasks run, one ignoring its flag and one asleep in
   the library; each task still ends and is dropped once (G3, S4, P4). Why it matters: real programs
   tear down in every order, and memory errors live there. Catches: any one-way ownership that frees
   too early or never. */
CASE(everything_may_be_released_in_every_order) {
  int threads = thread_baseline();
  int rounds = 0;
  for (int code = 0; code < 46656; code++) { /* six digits of base six: those that are orders */
    int order[HELD], rest = code, used = 0;
    for (int i = 0; i < HELD; i++, rest /= HELD) used |= 1 << (order[i] = rest % HELD);
    if (used != (1 << HELD) - 1) continue;
    if (rounds++ % 10 != 0 && check_under_a_tool()) continue;
    static sem_t dropped;
    static struct gate gates[720];
    static struct released contexts[720];
    static int initialised;
    if (!initialised++) CHECK_EQ(0, sem_init(&dropped, 0, 0));
    struct gate *gate = &gates[rounds - 1];
    *gate = (struct gate)GATE_INIT;
    struct released *context = &contexts[rounds - 1];
    *context = (struct released){gate, &dropped};

    tr_token *parent = tr_token_create();
    tr_token *token = tr_token_child(parent);
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.token = token;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    tr_registry *second = tr_registry_retain(registry);
    tr_task *task = spawn_drop(registry, "deaf", body_of_released, context, drop_of_released, 0);
    tr_task *obedient =
        spawn_drop(registry, "obedient", body_of_obedient, context, drop_of_released, 0);
    gate_await(gate, 1);
    for (int i = 0; i < HELD; i++) switch (order[i]) {
        case HELD_REGISTRY: tr_registry_release(registry); break;
        case HELD_SECOND_REFERENCE: tr_registry_release(second); break;
        case HELD_TOKEN: tr_token_release(token); break;
        case HELD_PARENT:
          if (rounds % 2) CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_USER_REQUESTED, "end"));
          tr_token_release(parent);
          break;
        case HELD_TASK: tr_task_release(task); break;
        case HELD_OBEDIENT:
          CHECK_EQ(TR_OK, tr_task_cancel(obedient));
          tr_task_release(obedient);
          break;
      }
    gate_open(gate);
    sem_take(&dropped);
    sem_take(&dropped);
  }
  CHECK_EQ(720, rounds);
  threads_settle(threads, 20 * SECOND * check_scale());
}

struct own_reference {
  tr_registry *registry;
  tr_task *task;
  struct gate *gate; /* opened when both references are the task's */
  sem_t *dropped;
  int in_drop;
};

static int body_releases_registry(tr_task *self, void *ctx) {
  struct own_reference *own = ctx;
  gate_pass(own->gate);
  CHECK(own->task == self);
  if (!own->in_drop) {
    tr_registry_release(own->registry);
    tr_task_release(own->task);
    CHECK(tr_task_self() == self); /* valid until the body and its drop have returned */
    CHECK_EQ(TR_OK, tr_sleep(1));
    CHECK_EQ(0, tr_task_is_cancelled(self));
  }
  return 0;
}

static void drop_releases_registry(void *ctx) {
  struct own_reference *own = ctx;
  if (own->in_drop) {
    tr_registry_release(own->registry);
    tr_task_release(own->task);
    CHECK(tr_task_id(tr_task_self()) != 0);
  }
  CHECK_EQ(0, sem_post(own->dropped));
}

/* Proves: a task may itself release the last reference to its registry and to itself, in its
   body or in its drop (G3, S4).  Why it matters: a detached task often owns the registry it runs
   in.  Catches: freeing the registry or the task under the worker that still finishes it. */
CASE(a_task_may_release_its_own_registry) {
  int threads = thread_baseline();
  static sem_t dropped;
  CHECK_EQ(0, sem_init(&dropped, 0, 0));
  enum { rounds = 200 };
  static struct own_reference owns[rounds];
  static struct gate gates[rounds];
  for (int round = 0; round < check_rounds(rounds); round++) {
    struct own_reference *own = &owns[round];
    gates[round] = (struct gate)GATE_INIT;
    *own = (struct own_reference){registry_new(), NULL, &gates[round], &dropped, round % 2};
    own->task = spawn_drop(own->registry, "owner", body_releases_registry, own,
                           drop_releases_registry, 0);
    gate_open(&gates[round]);
    sem_take(&dropped);
  }
  threads_settle(threads, 20 * SECOND * check_scale());
}

static int body_keeps_its_registry(tr_task *self, void *ctx) {
  struct own_reference *own = ctx;
  (void)self;
  gate_pass(own->gate);
  /* main has released its reference, the last one */
  tr_registry *registry = tr_registry_retain(own->registry);
  tr_task *child = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, "child", TR_KIND_MAINTENANCE, body_returns, NULL, &child));
  CHECK_EQ(TR_OK, tr_task_wait(child, FOREVER, NULL));
  tr_task_release(child);
  tr_registry_release(registry);
  return 0;
}

/* Proves: a task may take a reference to its registry when there is no other, use it, and release
   it (G3). Why it matters: the registry lives as long as its tasks, so a task that has its address
   may use it. Catches: freeing the memory each time the count falls to 0. */
CASE(a_task_may_retain_its_registry_after_the_last_release) {
  int threads = thread_baseline();
  static sem_t dropped;
  CHECK_EQ(0, sem_init(&dropped, 0, 0));
  for (int round = 0; round < check_rounds(50); round++) {
    struct gate gate = GATE_INIT;
    struct own_reference own = {registry_new(), NULL, &gate, &dropped, 0};
    tr_task_release(spawn_drop(own.registry, "keeper", body_keeps_its_registry, &own,
                               drop_releases_registry, 0));
    tr_registry_release(own.registry);
    gate_open(&gate);
    sem_take(&dropped);
  }
  threads_settle(threads, 20 * SECOND * check_scale());
}

static pthread_key_t slow_key;
static atomic_int slow_destructors;

static void slow_destructor(void *value) {
  (void)value;
  struct timespec moment = {0, 5000000}; /* widens the window in which a thread is not yet gone */
  nanosleep(&moment, NULL);
  atomic_fetch_add(&slow_destructors, 1);
}

static int body_leaves_slow_data(tr_task *self, void *ctx) {
  CHECK_EQ(0, pthread_setspecific(slow_key, self));
  if (ctx != NULL) gate_pass(ctx);
  return 0;
}

/* Proves: when a shutdown returns TR_OK every thread of the registry has been joined: the
   destructors of its thread-specific data have run, idle threads' too, whatever the idle
   options, and the process has the threads it had before (G4).  Why it matters: a library may be
   unloaded, a heap checker may run, right after.  Catches: detaching workers; counting tasks
   instead of threads. */
CASE(shutdown_leaves_no_thread_behind) {
  CHECK_EQ(0, pthread_key_create(&slow_key, slow_destructor));
  int threads = thread_baseline();
  const int64_t idle_times[] = {0, -1, 1, 3600 * SECOND};
  const uint32_t idle_counts[] = {0, 4, TR_IDLE_THREADS_NONE};
  for (int t = 0; t < 4; t++)
    for (int c = 0; c < 3; c++) {
      tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
      options.idle_ns = idle_times[t];
      options.idle_threads = idle_counts[c];
      tr_registry *registry = NULL;
      CHECK_EQ(TR_OK, create_registry(&options, &registry));
      atomic_store(&slow_destructors, 0);
      struct gate gate = GATE_INIT;
      for (int i = 0; i < 8; i++) /* eight tasks at once in eight threads, each with data */
        CHECK_EQ(TR_OK, tr_spawn(registry, "data", TR_KIND_MAINTENANCE, body_leaves_slow_data,
                                 &gate, NULL));
      gate_await(&gate, 8);
      gate_open(&gate);
      if (t % 2) CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
      tr_join_report report = TR_JOIN_REPORT_INIT;
      CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, &report));
      CHECK_EQ(8, atomic_load(&slow_destructors));
      CHECK_EQ(0, report.threads_left);
      CHECK_EQ(0, tr_len(registry));
      threads_settle(threads, 5 * SECOND * check_scale());
      tr_registry_release(registry);
    }
  CHECK_EQ(0, pthread_key_delete(slow_key));
}

static pthread_key_t late_key;
static atomic_int late_rejections;

static void late_destructor(void *value) {
  for (int i = 0; i < 100; i++) {
    CHECK_EQ(TR_ERR_DEADLOCK, tr_shutdown(value, TR_REASON_NONE, NULL, 0, NULL));
    atomic_fetch_add(&late_rejections, 1);
    struct timespec moment = {0, 10000};
    nanosleep(&moment, NULL);
  }
}

static int body_leaves_late_data(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(0, pthread_setspecific(late_key, ctx));
  return 0;
}

/* Proves: a thread of the registry that is on its last instructions, in a destructor of the
   application's, cannot shut it down, even while another shutdown is about to join that thread (J7,
   G4). Why it matters: two joins of one thread wait for each other. Catches: identifying the thread
   by a list from which the joiner has just taken it. */
CASE(shutdown_from_a_destructor_is_a_deadlock) {
  /* the library's own key is older, so its destructor has run by then */
  tr_registry *first = registry_new();
  CHECK_EQ(0, pthread_key_create(&late_key, late_destructor));
  for (int round = 0; round < check_rounds(20); round++) {
    atomic_store(&late_rejections, 0);
    tr_registry *registry = registry_new();
    for (int i = 0; i < 3; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "late", TR_KIND_MAINTENANCE, body_leaves_late_data,
                               registry, NULL));
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    int rejections = atomic_load(&late_rejections);
    CHECK_MSG(rejections >= 100 && rejections % 100 == 0, "%d rejections", rejections);
    tr_registry_release(registry);
  }
  CHECK_EQ(0, pthread_key_delete(late_key));
  registry_finish(first);
}

static pthread_key_t held_key;
static struct gate held_gate = GATE_INIT;

static void held_destructor(void *value) {
  (void)value;
  gate_pass(&held_gate);
}

static int body_leaves_held_data(tr_task *self, void *ctx) {
  (void)ctx;
  CHECK_EQ(0, pthread_setspecific(held_key, self));
  return 0;
}

/* Proves: a shutdown does not report TR_OK while a thread whose task has ended is still held up in
   a destructor of the application's: it returns TR_ERR_DEADLINE with nothing pending and
   threads_left, and the next one, after the destructor has returned, is TR_OK (G4, J2). Why it
   matters: after TR_OK a program may unload code and check for leaks. Catches: TR_OK as soon as no
   task is alive; a shutdown that waits for the destructor indefinitely. */
CASE(shutdown_reports_threads_held_up_by_a_destructor) {
  CHECK_EQ(0, pthread_key_create(&held_key, held_destructor));
  int threads = thread_baseline();
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "held", body_leaves_held_data, NULL);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, &report));
  CHECK_EQ(0, report.pending);
  CHECK_EQ(0, report.abandoned);
  CHECK_EQ(1, report.threads_left);
  CHECK_BETWEEN_NS(0, 1 * SECOND + 10 * AT_ONCE, report.elapsed_ns);
  CHECK_EQ(0, tr_len(registry));
  gate_await(&held_gate, 1);
  gate_open(&held_gate);
  report = (tr_join_report)TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, &report));
  CHECK_EQ(0, report.threads_left);
  threads_settle(threads, 5 * SECOND * check_scale());
  tr_task_release(task);
  tr_registry_release(registry);
  CHECK_EQ(0, pthread_key_delete(held_key));
}

/* Proves: a shutdown closes the registry and cancels its token with the given reason and message; a
   second one is TR_OK and changes neither; joins, counts and snapshots still work (J1, S5, C1). Why
   it matters: shutdown paths are usually entered twice. Catches: a second shutdown that hangs,
   fails or overwrites the reason. */
CASE(shutdown_may_be_repeated) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "obeys", body_obeys, &gate);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_RPC_REQUESTED, "first", FOREVER, NULL));
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  for (int i = 0; i < 3; i++) {
    tr_join_report report = TR_JOIN_REPORT_INIT;
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_FATAL, "again", 0, &report));
    CHECK_EQ(0, report.ended);
    CHECK_EQ(0, report.pending);
    CHECK_EQ(TR_OK, tr_join_all(registry, 0, NULL));
    CHECK_EQ(0, snapshot_count(registry));
    CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL,
                                     NULL));
  }
  tr_token *token = tr_registry_token(registry);
  char message[32];
  CHECK_EQ(TR_REASON_RPC_REQUESTED, tr_token_reason(token));
  CHECK_EQ(5, tr_token_message(token, message, sizeof message));
  CHECK_STR("first", message);
  tr_task_release(task);
  tr_registry_release(registry);
}

/* Proves: shutting down an empty registry is TR_OK at once, with a grace of 0 and an unlimited one,
   used or never used (G4, J2). Why it matters: a service that never started its work must stop as
   well. Catches: waiting for a signal that never comes. */
CASE(shutdown_of_an_empty_registry_is_immediate) {
  for (int used = 0; used < 2; used++)
    for (int64_t grace = -1; grace <= 0; grace++) {
      tr_registry *registry = registry_new();
      if (used) wait_and_release(spawn(registry, "short", body_returns, NULL));
      tr_join_report report = TR_JOIN_REPORT_INIT;
      int64_t start = now_ns();
      CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, grace, &report));
      CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - start);
      CHECK_EQ(0, report.ended + report.pending + report.threads_left);
      tr_registry_release(registry);
    }
}

/* Proves: several threads may shut one registry down at once: one reason is recorded, all return
   TR_OK, and when any has returned no thread is left (G4, J6, C1).  Why it matters: a signal
   handler thread and an RPC ask for it in the same moment.  Catches: joining a thread twice; a
   shutdown that returns before another's join is done. */
CASE(concurrent_shutdowns_all_succeed) {
  CHECK_EQ(0, pthread_key_create(&slow_key, slow_destructor));
  int threads = thread_baseline();
  for (int round = 0; round < check_rounds(30); round++) {
    atomic_store(&slow_destructors, 0);
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    for (int i = 0; i < 4; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "data", TR_KIND_MAINTENANCE, body_leaves_slow_data, &gate,
                               NULL));
    struct join_call calls[4];
    for (int i = 0; i < 4; i++) shutdown_begin(&calls[i], registry, FOREVER);
    gate_await(&gate, 4);
    gate_open(&gate);
    for (int i = 0; i < 4; i++) {
      join_end(&calls[i]);
      CHECK_EQ(TR_OK, calls[i].status);
      CHECK_EQ(4, atomic_load(&slow_destructors));
      CHECK_EQ(0, calls[i].report.threads_left);
    }
    CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(tr_registry_token(registry)));
    threads_settle(threads, 5 * SECOND * check_scale());
    tr_registry_release(registry);
  }
  CHECK_EQ(0, pthread_key_delete(slow_key));
}

static void *retain_and_release(void *argument) {
  void **held = argument;
  for (int i = 0; i < check_rounds(20000); i++) {
    CHECK(tr_registry_retain(held[0]) == held[0]);
    CHECK(tr_token_retain(held[1]) == held[1]);
    CHECK(tr_task_retain(held[2]) == held[2]);
    tr_task_release(held[2]);
    tr_token_release(held[1]);
    tr_registry_release(held[0]);
  }
  return NULL;
}

/* Proves: handles may be retained and released from many threads at once without losing count
   (G1, P4).  Why it matters: references are passed between threads.  Catches: a count that is
   not atomic. */
CASE(reference_counts_are_atomic) {
  struct gate gate = GATE_INIT;
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "held", body_deaf, &gate);
  void *held[] = {registry, tr_registry_token(registry), task};
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = thread_start(retain_and_release, held);
  for (int i = 0; i < 4; i++) thread_end(threads[i]);
  CHECK_EQ(1, tr_len(registry));
  CHECK_EQ(0, tr_token_is_cancelled(held[1]));
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(references_share_one_list),
    CHECK_ENTRY(defaults_need_no_options),
    CHECK_ENTRY(registries_come_and_go),
    CHECK_ENTRY(last_release_neither_waits_nor_cancels),
    CHECK_ENTRY(outcomes_outlive_the_registry),
    CHECK_ENTRY(everything_may_be_released_in_every_order),
    CHECK_ENTRY(a_task_may_release_its_own_registry),
    CHECK_ENTRY(a_task_may_retain_its_registry_after_the_last_release),
    CHECK_ENTRY(shutdown_leaves_no_thread_behind),
    CHECK_ENTRY(shutdown_from_a_destructor_is_a_deadlock),
    CHECK_ENTRY(shutdown_reports_threads_held_up_by_a_destructor),
    CHECK_ENTRY(shutdown_may_be_repeated),
    CHECK_ENTRY(shutdown_of_an_empty_registry_is_immediate),
    CHECK_ENTRY(concurrent_shutdowns_all_succeed),
    CHECK_ENTRY(reference_counts_are_atomic))
