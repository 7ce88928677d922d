/* life.c - how long objects live: a registry that is used after its last reference was released,
   very large counts of references, a log's context, a forked child of a process that had released
   everything. Rules G3, G4, N1, O2, P1, T6, W5. */

#include "forking.h"
#include "groups.h"

/* ---- After the last reference ----------------------------------------------------------------- */

enum { MOST_STACKS = 1000 };

/* Which stacks bodies ran on. */
struct stacks {
  pthread_mutex_t lock;
  int count;
  uintptr_t pages[MOST_STACKS];
};

#define STACKS_INIT                                                                                \
  { PTHREAD_MUTEX_INITIALIZER, 0, {0} }

static int body_notes_its_stack(tr_task *self, void *ctx) {
  (void)self;
  struct stacks *stacks = ctx;
  uintptr_t page = (uintptr_t)__builtin_frame_address(0) >> 16;
  pthread_mutex_lock(&stacks->lock);
  int i = 0;
  while (i < stacks->count && stacks->pages[i] != page) i++;
  if (i == stacks->count && i < MOST_STACKS) stacks->pages[stacks->count++] = page;
  pthread_mutex_unlock(&stacks->lock);
  return 0;
}

static void run_one_by_one(tr_registry *registry, struct stacks *stacks, int count) {
  for (int i = 0; i < count; i++) wait_and_release(spawn(registry, "one", body_notes_its_stack, stacks));
}

/* A registry whose threads do not spin for the next task, and so meet every way of getting one. */
static tr_registry *registry_without_spinning(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.spin_ns = TR_SPIN_NEVER;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

/* Proves: a registry whose last reference was released, and that a group keeps in use, reuses
   threads and their stacks as before, however many tasks it runs one after the other; once the
   group is shut down none of its threads is left (N1, T6, G3). Why it matters: a program that makes
   a tree of groups often keeps only the groups. Catches: threads that are released for good with
   the last reference. */
CASE(threads_are_reused_as_long_as_a_group_is_in_use) {
  int threads = thread_baseline();
  tr_registry *registry = registry_without_spinning();
  tr_registry *group = group_new(registry, "group");
  tr_registry_release(registry);
  struct stacks stacks = STACKS_INIT;
  run_one_by_one(group, &stacks, MOST_STACKS);
  /* A thread that leaves may still be on its stack when the next is wanted. */
  CHECK_MSG(stacks.count < MOST_STACKS / 4, "%d tasks ran on %d stacks", MOST_STACKS, stacks.count);
  CHECK_EQ(TR_OK, shutdown_fully(group, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
  threads_settle(threads, 10 * SECOND * check_scale());
  tr_registry_release(group);
  tr_registry_release(registry_new()); /* what threads could not free on their way out is freed now */
}

struct spawner {
  tr_registry *registry;
  struct stacks stacks;
  sem_t done;
};

static int body_spawns_one_by_one(tr_task *self, void *ctx) {
  (void)self;
  struct spawner *spawner = ctx;
  run_one_by_one(spawner->registry, &spawner->stacks, MOST_STACKS);
  return 0;
}

static void drop_of_spawner(void *ctx) { CHECK_EQ(0, sem_post(&((struct spawner *)ctx)->done)); }

/* Proves: the same while a task of its own is alive that spawns others; when that has ended no
   thread is left, without a shutdown (N1, G3). Why it matters: a supervising task is a common
   pattern. Catches: a registry that is given up with a task alive. */
CASE(threads_are_reused_as_long_as_a_task_spawns) {
  int threads = thread_baseline();
  struct spawner spawner = {registry_without_spinning(), STACKS_INIT, {{0}}};
  CHECK_EQ(0, sem_init(&spawner.done, 0, 0));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_of_spawner;
  struct gate gate = GATE_INIT;
  tr_task *first = spawn(spawner.registry, "first", body_deaf, &gate);
  CHECK_EQ(TR_OK, tr_spawn_with(spawner.registry, "spawner", TR_KIND_BACKGROUND_LOOP,
                                body_spawns_one_by_one, &spawner, &options, NULL));
  tr_registry_release(spawner.registry);
  sem_take(&spawner.done);
  CHECK_MSG(spawner.stacks.count < MOST_STACKS / 4, "%d tasks ran on %d stacks", MOST_STACKS,
            spawner.stacks.count);
  gate_open(&gate);
  wait_and_release(first);
  threads_settle(threads, 10 * SECOND * check_scale());
  CHECK_EQ(0, sem_destroy(&spawner.done));
  tr_registry_release(registry_new());
}

static pthread_key_t held_up;
static struct gate held_up_gate = GATE_INIT;
static atomic_int destructors;

static void destructor_is_held_up(void *value) {
  (void)value;
  gate_pass(&held_up_gate);
  atomic_fetch_add(&destructors, 1);
}

struct taking {
  tr_registry *registry;
  struct gate released;
  struct gate taken;
};

static int body_takes_it_back(tr_task *self, void *ctx) {
  (void)self;
  struct taking *taking = ctx;
  CHECK_EQ(0, pthread_setspecific(held_up, taking));
  gate_pass(&taking->released);
  CHECK(tr_registry_retain(taking->registry) == taking->registry);
  gate_arrive(&taking->taken);
  return 0;
}

/* Proves: a task may take a reference after the last was released, and a shutdown with that
   reference joins the threads, whose destructors have then run (G3, G4). Why it matters: the header
   allows it, and a plug-in that is unloaded after the shutdown relies on it. Catches: threads that
   can no longer be joined, once there was no reference. */
CASE(a_registry_that_a_task_takes_back_is_joined) {
  struct taking taking = {registry_new(), GATE_INIT, GATE_INIT};
  /* Made after the library's, so that its destructor runs when the library has seen the thread leave. */
  CHECK_EQ(0, pthread_key_create(&held_up, destructor_is_held_up));
  CHECK_EQ(TR_OK, tr_spawn(taking.registry, "takes", TR_KIND_MAINTENANCE, body_takes_it_back, &taking, NULL));
  gate_await(&taking.released, 1);
  tr_registry_release(taking.registry);
  gate_open(&taking.released);
  gate_await(&taking.taken, 1);
  struct join_call call;
  shutdown_begin(&call, taking.registry, FOREVER);
  gate_await(&held_up_gate, 1);
  for (int i = 0; i < 100; i++) { /* time to return too early */
    CHECK_EQ(0, atomic_load(&call.returned));
    breathe();
  }
  gate_open(&held_up_gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(0, call.report.threads_left);
  CHECK_EQ(1, atomic_load(&destructors));
  tr_registry_release(taking.registry);
  CHECK_EQ(0, pthread_key_delete(held_up));
}

struct last {
  tr_registry *registry, *group;
  struct gate gate;
};

static void *releases_registry(void *argument) {
  struct last *last = argument;
  gate_pass(&last->gate);
  tr_registry_release(last->registry);
  return NULL;
}

static void *closes_group(void *argument) {
  struct last *last = argument;
  gate_pass(&last->gate);
  tr_token_cancel(tr_registry_token(last->group), TR_REASON_USER_REQUESTED, NULL);
  return NULL;
}

static int body_passes(tr_task *self, void *ctx) {
  (void)self;
  gate_pass(ctx);
  return 0;
}

/* Proves: whichever comes last, the release of the registry, the closing of its group, or the end
   of their last task, no thread is left afterwards (G3, T6). Why it matters: threads of an
   unreachable registry would stay as long as the process. Catches: one of the three that does not
   check whether the others have come. */
CASE(the_last_to_let_go_lets_the_threads_go) {
  int threads = thread_baseline();
  for (int round = 0; round < check_rounds(300); round++) {
    struct last last = {registry_new(), NULL, GATE_INIT};
    last.group = group_new(last.registry, "group");
    CHECK_EQ(TR_OK, tr_spawn(round % 2 ? last.group : last.registry, "last", TR_KIND_MAINTENANCE, body_passes,
                             &last.gate, NULL));
    pthread_t releaser = thread_start(releases_registry, &last);
    pthread_t closer = thread_start(closes_group, &last);
    gate_await(&last.gate, 3);
    gate_open(&last.gate);
    thread_end(releaser);
    thread_end(closer);
    threads_settle(threads, 10 * SECOND * check_scale());
    tr_registry_release(last.group);
  }
  tr_registry_release(registry_new());
}

/* ---- References ------------------------------------------------------------------------------- */

enum { WORD_HOLDS = (1 << 19) - 1 };

static void check_closed(int descriptor) {
  CHECK_EQ(-1, fcntl(descriptor, F_GETFD));
  CHECK_EQ(EBADF, errno);
}

/* Proves: a task with as many references as its word can count is asked to stop like any other, by
   its token and by a join's deadline, and may get more references; with the last reference its
   descriptor is closed (C3, C6, N1, W5). Why it matters: reference counts of other languages'
   wrappers leak long before that is noticed, and a count that stuck leaked a descriptor and a
   registry. Catches: a walk that takes a full word for a task that has ended; references beside the
   word that are forgotten or counted twice. */
CASE(references_without_number_are_counted) {
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "held", body_obeys, NULL);
  int descriptor = -1;
  CHECK_EQ(TR_OK, tr_task_fd(task, &descriptor));
  /* with the worker's and the spawner's it is full */
  for (int i = 0; i < WORD_HOLDS - 2; i++) CHECK(tr_task_retain(task) == task);
  CHECK_EQ(0, tr_task_is_cancelled(task));
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, NULL));
  CHECK_EQ(1, tr_task_is_cancelled(task));
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  for (int i = 0; i < WORD_HOLDS; i++) CHECK(tr_task_retain(task) == task);
  for (int i = 0; i < 2 * WORD_HOLDS - 2; i++) tr_task_release(task);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK(fcntl(descriptor, F_GETFD) >= 0);
  tr_task_release(task);
  check_closed(descriptor);
  registry_finish(registry);
}

struct holder {
  tr_task *task;
  int count;
};

static void *holds_and_releases(void *argument) {
  struct holder *holder = argument;
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < holder->count; i++) tr_task_retain(holder->task);
    for (int i = 0; i < holder->count; i++) tr_task_release(holder->task);
  }
  return NULL;
}

/* Proves: the same with four threads that together take and release more than the word can count,
   repeatedly, while the task ends (N1, W5). Why it matters: the moves between the word and the
   count beside it are where one could be lost. Catches: a move that is not made under the lock. */
CASE(references_without_number_from_several_threads) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "held", body_deaf, &gate);
  int descriptor = -1;
  CHECK_EQ(TR_OK, tr_task_fd(task, &descriptor));
  struct holder holder = {task, check_under_a_tool() ? WORD_HOLDS / 3 : WORD_HOLDS};
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = thread_start(holds_and_releases, &holder);
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  for (int i = 0; i < 4; i++) thread_end(threads[i]);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK(fcntl(descriptor, F_GETFD) >= 0);
  tr_task_release(task);
  check_closed(descriptor);
  registry_finish(registry);
}

/* ---- A log's context -------------------------------------------------------------------------- */

static void log_counts(void *context, const tr_log_event *event) {
  if (event->event == TR_EVENT_SPAWN_REJECTED) atomic_fetch_add((atomic_int *)context, 1);
}

/* Proves: once a shutdown has returned TR_OK no further event is logged: a spawn that is rejected
   then does not use the log's context, even in a group that inherited it, and is still counted;
   before that, rejections are events (O2, S5, J8). Why it matters: the context is freed then, as
   the header says it may be. Catches: every rejection made an event. */
CASE(a_log_hears_nothing_after_the_shutdown) {
  atomic_int *rejections = calloc(1, sizeof *rejections);
  CHECK(rejections != NULL);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_counts;
  options.log_context = rejections;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  tr_registry *group = group_new(registry, "group");
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(group, "deaf", body_deaf, &gate);
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, 0, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(group, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(2, atomic_load(rejections));
  gate_open(&gate);
  wait_and_release(task);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "later", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(group, "later", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, 0, &metrics));
  CHECK_EQ(4, metrics.rejected);
  CHECK_EQ(2, atomic_load(rejections));
  free(rejections);
  tr_registry_release(group);
  tr_registry_release(registry);
}

/* ---- Threads of the library's own ------------------------------------------------------------- */

/* Proves: when tr_shutdown of a registry that is not a group has returned TR_OK, the timer thread
   and the event threads are gone, unless something else needs them (G4, C11). Why it matters: a
   thread that stays for a second after everything is a leak for valgrind, and a surprise for code
   that forks, unloads or confines the process next. Catches: a thread that lingers after a
   shutdown. */
CASE(a_shutdown_ends_the_timer_thread) {
  for (int round = 0; round < check_rounds(50); round++) {
    tr_registry *registry = registry_new();
    tr_token *token = tr_token_child_with_timeout(tr_registry_token(registry), 1000 * SECOND);
    CHECK(token != NULL);
    CHECK(threads_called("taskreg-timer") <= 1);
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
    CHECK_EQ(0, own_threads());
    tr_token_release(token);
    tr_registry_release(registry);
  }
  tr_token *token = tr_token_create(), *timed = tr_token_child_with_timeout(token, 1000 * SECOND);
  tr_registry *registry = registry_new();
  registry_finish(registry);
  while (threads_called("taskreg-timer") != 1) breathe(); /* it may only be starting */
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_quiesce(1 * MS));
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, NULL));
  CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
  CHECK_EQ(0, own_threads());
  tr_token_release(timed);
  tr_token_release(token);
}

struct yielding {
  sem_t called;
  int on_event_thread; /* and not on main, where the timeout passed as it was registered */
};

/* From now on the thread runs only when no other needs the CPU: it is then not finished when other
   threads see that its callback is. */
static void callback_gives_way(void *ctx) {
  struct yielding *yielding = ctx;
  struct sched_param none = {0};
  yielding->on_event_thread = gettid() != getpid();
  if (yielding->on_event_thread) CHECK_EQ(0, sched_setscheduler(0, SCHED_IDLE, &none));
  CHECK_EQ(0, sem_post(&yielding->called));
}

/* Proves: so is an event thread whose callback has just ended: it is not needed, though it has not
   checked yet (G4, C7, C11). Why it matters: a program waits for the end of a callback before it
   shuts down, and valgrind reports the memory of a thread that is left as lost. Catches: a thread
   that counts as needed until it has checked for another event. */
CASE(a_shutdown_ends_threads_whose_callbacks_have_ended) {
  cpu_set_t all, one;
  CHECK_EQ(0, sched_getaffinity(0, sizeof all, &all));
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  CHECK_EQ(0, sched_setaffinity(0, sizeof one, &one)); /* the library's own threads are scheduled as this one is */
  struct yielding yielding = {.on_event_thread = 0};
  CHECK_EQ(0, sem_init(&yielding.called, 0, 0));
  int64_t timeout = 5 * MS;
  for (int rounds = check_rounds(100); rounds > 0;) {
    yielding.on_event_thread = 0;
    tr_registry *registry = registry_new();
    tr_token *token = tr_token_child_with_timeout(tr_registry_token(registry), timeout);
    CHECK(token != NULL);
    tr_registration *registration = NULL;
    if (!tr_token_is_cancelled(token)) {
      tr_status status = tr_token_on_cancel(token, callback_gives_way, &yielding, NULL, &registration);
      CHECK(status == TR_OK || status == TR_ERR_CANCELLED);
      sem_take(&yielding.called);
    }
    tr_registration_remove(registration);
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
    if (yielding.on_event_thread) {
      CHECK_EQ(0, own_threads());
      rounds--;
    } else {
      /* On a busy machine the timeout passed before, and an event thread may still be about to look for callbacks,
         for which it counts as needed. */
      timeout *= 2;
      CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
    }
    tr_token_release(token);
    tr_registry_release(registry);
  }
  CHECK_EQ(0, sem_destroy(&yielding.called));
  CHECK_EQ(0, sched_setaffinity(0, sizeof all, &all));
}

/* Proves: with the last object of all the thread for timers leaves at once, and tr_quiesce waits until it is
   gone (G4, C11).
   Why it matters: as above, in programs that use tokens alone.
   Catches: a second of lingering where nothing is left that could need the thread. */
CASE(the_last_object_ends_the_timer_thread) {
  CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
  int64_t start = now_ns();
  int rounds = check_rounds(50);
  for (int round = 0; round < rounds; round++) {
    tr_token *token = tr_token_create(), *timed = tr_token_child_with_timeout(token, 1000 * SECOND);
    CHECK(timed != NULL);
    tr_token_release(timed);
    tr_token_release(token);
    CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
    CHECK_EQ(0, own_threads());
  }
  /* Each would have lingered for a second. */
  if (check_scale() == 1) CHECK_BETWEEN_NS(0, rounds * SECOND / 2, now_ns() - start);
}

static _Atomic(tr_status) quiesced;
static sem_t has_quiesced;

static void quiesces(void *ctx) {
  (void)ctx;
  atomic_store(&quiesced, tr_quiesce(FOREVER));
  CHECK_EQ(0, sem_post(&has_quiesced));
}

static int body_quiesces(tr_task *self, void *ctx) {
  (void)self;
  return tr_quiesce(FOREVER) == *(tr_status *)ctx ? 0 : 1;
}

static int body_sets_value(tr_task *self, void *ctx) {
  (void)self;
  return pthread_setspecific(*(pthread_key_t *)ctx, ctx);
}

/* Proves: tr_quiesce does not wait for the thread it is called on, an event thread or one that runs
   its last destructors, and in a task its flag ends the wait (G4, C4, J7). Why it matters: a
   callback that cleans up at the end may call it. Catches: a wait of a thread for its own end. */
CASE(nobody_waits_for_its_own_end) {
  CHECK_EQ(0, sem_init(&has_quiesced, 0, 0));
  tr_token *token = tr_token_create(), *timed = tr_token_child_with_timeout(token, 1 * MS);
  tr_registration *callback = NULL;
  tr_status registered = tr_token_on_cancel(timed, quiesces, NULL, NULL, &callback);
  CHECK(registered == TR_OK || registered == TR_ERR_CANCELLED);
  sem_take(&has_quiesced);
  /* The timeout may have passed before: then it was called here. */
  CHECK(atomic_load(&quiesced) == TR_ERR_DEADLOCK || callback == NULL);
  tr_registration_remove(callback);
  tr_token_release(timed);

  tr_registry *registry = registry_new();
  pthread_key_t key;
  CHECK_EQ(0, pthread_key_create(&key, quiesces));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_FRESH_THREAD;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "leaves", TR_KIND_MAINTENANCE, body_sets_value, &key, &options, NULL));
  sem_take(&has_quiesced);
  CHECK_EQ(TR_ERR_DEADLOCK, atomic_load(&quiesced));

  timed = tr_token_child_with_timeout(token, 1000 * SECOND);
  tr_status expected = TR_ERR_CANCELLED;
  tr_task *task = spawn(registry, "quiesces", body_quiesces, &expected);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 5 * MS, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(0, outcome_of(task).code);
  tr_task_release(task);
  tr_token_release(timed);
  expected = TR_OK;
  task = spawn(registry, "quiesces", body_quiesces, &expected);
  CHECK_EQ(0, outcome_of(task).code);
  tr_task_release(task);
  registry_finish(registry);
  tr_token_release(token);
  CHECK_EQ(0, pthread_key_delete(key));
  CHECK_EQ(0, sem_destroy(&has_quiesced));
}

/* Proves: when tr_quiesce has returned TR_OK, threads of registries that were released without a
   shutdown are gone, whether a handle of an ended task is held or not (G3, G4). Why it matters: no
   other call can wait for them. Catches: threads on their last instructions that are forgotten. */
CASE(threads_that_nobody_joins_can_be_waited_for) {
  CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
  int threads = thread_baseline();
  for (int round = 0; round < check_rounds(100); round++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *tasks[3];
    for (int i = 0; i < 3; i++) tasks[i] = spawn(registry, "one of three", body_deaf, &gate);
    if (round % 2) tr_registry_release(registry);
    gate_open(&gate);
    for (int i = 0; i < 3; i++) CHECK_EQ(TR_OK, tr_task_wait(tasks[i], FOREVER, NULL));
    if (!(round % 2)) {
      /* Idle threads of a registry in use are not waited for. */
      CHECK_EQ(TR_OK, tr_quiesce(0));
      tr_registry_release(registry);
    } else {
      /* The last worker releases the others after its last check; then its registry is orphaned. */
      threads_settle(threads, 10 * SECOND * check_scale());
    }
    CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
#ifdef CHECK_UNDER_TSAN /* whose own part of a thread's end comes later */
    threads_settle(threads, 10 * SECOND * check_scale());
#endif
    CHECK_EQ(threads, threads_that_run());
    for (int i = 0; i < 3; i++) tr_task_release(tasks[i]);
  }
  CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
}

/* ---- fork ------------------------------------------------------------------------------------- */

static void run_something(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_METRICS;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  tr_registry *group = group_new(registry, "group");
  wait_and_release(spawn(registry, "one", body_returns, NULL));
  tr_task *task = spawn(group, "two", body_obeys, NULL);
  tr_token *token = tr_token_child_with_timeout(tr_registry_token(registry), 1 * MS);
  CHECK(token != NULL);
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_report *full = NULL;
  report.full = &full;
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, "end", FOREVER, &report));
  tr_report_release(full);
  tr_token_release(token);
  wait_and_release(task);
  tr_registry_release(group);
  tr_registry_release(registry);
}

/* The calls by which a child shows that it can use the library. */
static void run_something_in_a_child(void) {
#ifdef CHECK_UNDER_TSAN /* which lets no child of a process with threads make one */
  tr_registry_release(registry_new());
#else
  run_something();
#endif
}

static void begins_anew(void *argument) {
  (void)argument;
  begin_as_child();
  run_something_in_a_child();
  /* and so does a child of this one */
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    run_something_in_a_child();
    _exit(0);
  }
  int status = -1;
  CHECK_EQ(child, waitpid(child, &status, 0));
  CHECK_EXITED(0, status);
}

enum { REJECTED = 77 };

static void begins_anew_or_not(void *argument) {
  begin_as_child();
  tr_registry *registry = NULL;
  tr_status status = create_registry(NULL, &registry);
  if (status == TR_ERR_FORKED) _exit(REJECTED);
  CHECK_EQ(TR_OK, status);
  tr_registry_release(registry);
  begins_anew(argument);
}

/* Proves: a child of a process that has used everything and released it may use the library as if
   it were the first, and so may its own children; threads of a registry that was not shut down may
   be on their last instructions (P1). Why it matters: servers prepare in one process, and then fork
   those that serve. Catches: a child whose calls fail because the parent once had a registry;
   locks, lists or threads of the parent that the child relies on. */
CASE(a_child_of_a_process_that_released_everything_begins_anew) {
  run_something();
  CHECK_EXITED(0, status_of_child(begins_anew, NULL));
  for (int round = 0; round < check_rounds(100); round++) {
    run_something();
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "last", body_deaf, &gate);
    tr_registry_release(registry);
    gate_open(&gate);
    wait_and_release(task);
    /* Its thread holds the registry for a moment yet. */
    int status;
    do status = status_of_child(begins_anew_or_not, NULL);
    while (WIFEXITED(status) && WEXITSTATUS(status) == REJECTED);
    CHECK_EXITED(0, status);
  }
}

static void is_rejected(void *argument) {
  (void)argument;
  begin_as_child();
  tr_registry *registry = NULL;
  CHECK_EQ(TR_ERR_FORKED, create_registry(NULL, &registry));
  CHECK(registry == NULL);
  CHECK(tr_token_create() == NULL);
}

/* Proves: as long as one object is left, a registry, a group, a task's handle, a token or a report,
   a child's calls fail (P1). Why it matters: an object that the child has a pointer to may be
   locked there, and no thread unlocks it. Catches: objects that are not counted. */
CASE(a_child_is_rejected_as_long_as_one_object_is_left) {
  tr_registry *registry = registry_new();
  CHECK_EXITED(0, status_of_child(is_rejected, NULL));
  tr_registry *group = group_new(registry, "group");
  tr_task *task = spawn(group, "one", body_returns, NULL);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
  tr_registry_release(registry);
  tr_registry_release(group);
  CHECK_EXITED(0, status_of_child(is_rejected, NULL));
  tr_task_release(task);
  tr_token *token = tr_token_create();
  CHECK_EXITED(0, status_of_child(is_rejected, NULL));
  registry = registry_new();
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  tr_registry_release(registry);
  tr_token_release(token);
  CHECK_EXITED(0, status_of_child(is_rejected, NULL));
  tr_report_release(report);
  CHECK_EXITED(0, status_of_child(begins_anew, NULL));
}

CHECK_MAIN(CHECK_ENTRY(threads_are_reused_as_long_as_a_group_is_in_use),
           CHECK_ENTRY(threads_are_reused_as_long_as_a_task_spawns),
           CHECK_ENTRY(a_registry_that_a_task_takes_back_is_joined),
           CHECK_ENTRY(the_last_to_let_go_lets_the_threads_go),
           CHECK_ENTRY(references_without_number_are_counted),
           CHECK_ENTRY(references_without_number_from_several_threads),
           CHECK_ENTRY(a_log_hears_nothing_after_the_shutdown),
           CHECK_ENTRY(a_shutdown_ends_the_timer_thread),
           CHECK_ENTRY(a_shutdown_ends_threads_whose_callbacks_have_ended),
           CHECK_ENTRY(the_last_object_ends_the_timer_thread), CHECK_ENTRY(nobody_waits_for_its_own_end),
           CHECK_ENTRY(threads_that_nobody_joins_can_be_waited_for),
           CHECK_ENTRY(a_child_of_a_process_that_released_everything_begins_anew),
           CHECK_ENTRY(a_child_is_rejected_as_long_as_one_object_is_left))
