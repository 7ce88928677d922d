/* stragglers.c - a join at its deadline while others continue: spawns, callbacks, its caller's own
   flag; and the wait that asks no task to stop. Rules J2, J4, J9, C4, C7, G4. */

#include "groups.h"

/* ---- The abort grace ------------------------------------------------------------------------ */

struct caller {
  tr_registry *registry;
  tr_status status;
  int64_t took;
  tr_join_report report;
  struct gate gate;
  int waits; /* tr_registry_wait instead of tr_join_all */
};

static int body_joins(tr_task *self, void *ctx) {
  struct caller *caller = ctx;
  (void)self;
  gate_arrive(&caller->gate);
  int64_t start = now_ns();
  caller->report = (tr_join_report)TR_JOIN_REPORT_INIT;
  caller->report.ended = 4711;
  caller->status = caller->waits ? tr_registry_wait(caller->registry, FOREVER)
                                 : tr_join_all(caller->registry, 0, &caller->report);
  caller->took = now_ns() - start;
  return 0;
}

/* Proves: the flag of the calling task ends the wait for the abort grace as it ends every other,
   the report stays as it was, and the stragglers are still tracked (C4, J4, J5). Why it matters: a
   supervisor that is asked to stop must not hang for another registry's grace. Catches: "cancelled"
   taken for "still alive". */
CASE(the_callers_flag_ends_the_abort_grace) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.abort_grace_ns = 3600 * SECOND;
  tr_registry *registry = NULL, *callers = registry_new();
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  struct gate gate = GATE_INIT;
  tr_task *deaf[3];
  for (int i = 0; i < 3; i++) deaf[i] = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 3);
  struct caller caller = {.registry = registry, .status = 1, .gate = GATE_INIT};
  tr_task *task = spawn(callers, "caller", body_joins, &caller);
  while (!tr_task_is_cancelled(deaf[2])) breathe(); /* the deadline has passed */
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  CHECK_EQ(TR_ERR_CANCELLED, caller.status);
  CHECK_EQ(4711, caller.report.ended);
  CHECK_EQ(3, tr_len(registry));
  gate_open(&gate);
  for (int i = 0; i < 3; i++) wait_and_release(deaf[i]);
  registry_finish(registry);
  registry_finish(callers);
}

struct storm {
  tr_registry *registry;
  atomic_int *stop;
};

static void *spawn_all_the_time(void *argument) {
  const struct storm *storm = argument;
  while (!atomic_load(storm->stop)) {
    if (tr_len(storm->registry) < 400) {
      tr_status status =
          tr_spawn(storm->registry, "storm", TR_KIND_RPC_HANDLER, body_obeys, NULL, NULL);
      CHECK(status == TR_OK || status == TR_ERR_AGAIN);
    } else {
      breathe();
    }
  }
  return NULL;
}

/* Claim: however many tasks are spawned while a join counts its stragglers, each that ends within the grace is
   aborted.  Proves: that, and that pending is both (J4, J8).  Why it matters: a count of "abandoned" sends
   people looking for tasks that have long ended.  Catches: room for so many more than there were at the
   deadline; tasks counted that came after it. */
CASE(no_straggler_is_lost_in_a_storm_of_spawns) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.abort_grace_ns = 3600 * SECOND;
  options.stack_size = 65536;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  atomic_int stop = 0;
  struct storm storm = {registry, &stop};
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) threads[i] = thread_start(spawn_all_the_time, &storm);
  int rounds = check_rounds(20);
  for (int round = 0; round < rounds; round++) {
    tr_join_report report = TR_JOIN_REPORT_INIT;
    tr_status status = tr_join_all(registry, 1000, &report);
    CHECK(status == (report.pending == 0 ? TR_OK : TR_ERR_DEADLINE));
    CHECK_EQ(0, report.abandoned);
    CHECK_EQ(report.pending, report.aborted);
    CHECK(report.aborted <= report.ended);
  }
  atomic_store(&stop, 1);
  for (int i = 0; i < 2; i++) thread_end(threads[i]);
  registry_finish(registry);
}

/* ---- Callbacks at the deadline -------------------------------------------------------------- */

struct slow {
  struct gate gate;
  _Atomic(pid_t) tid;
  atomic_int drops;
  int leaves;
};

static void callback_is_slow(void *ctx) {
  struct slow *slow = ctx;
  atomic_store(&slow->tid, gettid());
  gate_pass(&slow->gate);
  if (slow->leaves) pthread_exit(NULL);
}

static void slow_is_dropped(void *ctx) { atomic_fetch_add(&((struct slow *)ctx)->drops, 1); }

static void run_has_ended(void) {
  while (threads_called("taskreg-cancel") > 0) breathe();
}

/* Proves: a callback of a task that a deadline asks to stop runs on another thread, and however long it takes,
   the join comes back; a shutdown that is TR_OK has waited for it (J4, C7, G4).  Why it matters: the deadline
   is the caller's, and a callback that hangs must not take it away.  Catches: callbacks that run inside the
   join; a shutdown that leaves their thread behind. */
CASE(a_slow_callback_delays_no_join) {
  for (int in_group = 0; in_group < 2; in_group++) {
    tr_registry *top = registry_new();
    tr_registry *registry = in_group ? group_new(top, "group") : tr_registry_retain(top);
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    gate_await(&gate, 1);
    struct slow slow = {.gate = GATE_INIT};
    tr_registration *registration = NULL;
    CHECK_EQ(TR_OK, tr_task_on_cancel(task, callback_is_slow, &slow, slow_is_dropped, &registration));
    tr_join_report report = TR_JOIN_REPORT_INIT;
    CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, &report)); /* hangs if it waits */
    CHECK_EQ(1, report.abandoned);
    gate_await(&slow.gate, 1);
    CHECK(atomic_load(&slow.tid) != gettid());
    gate_open(&gate);
    wait_and_release(task);
    struct join_call shutdown;
    shutdown_begin(&shutdown, top, 0);
    while (!tr_token_is_cancelled(tr_registry_token(top))) breathe();
    CHECK_EQ(0, atomic_load(&shutdown.returned));
    CHECK_EQ(0, atomic_load(&slow.drops));
    gate_open(&slow.gate);
    join_end(&shutdown);
    CHECK_EQ(TR_OK, shutdown.status);
    CHECK_EQ(1, atomic_load(&slow.drops));
    tr_registration_remove(registration);
    run_has_ended();
    tr_registry_release(registry);
    tr_registry_release(top);
  }
}

/* Proves: a callback that leaves its thread by pthread_exit does not break a shutdown (G4). Why it
   matters: a library must survive what a callback does on the library's own thread. Catches: a run
   that is counted in and never out. */
CASE(a_callback_that_leaves_its_thread_holds_up_nobody) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  static struct slow slow = {.gate = GATE_INIT, .leaves = 1};
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_cancel(task, callback_is_slow, &slow, NULL, &registration));
  gate_open(&slow.gate);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  gate_open(&gate);
  wait_and_release(task);
  tr_registration_remove(registration);
  registry_finish(registry);
  run_has_ended();
}

struct departing {
  tr_registry *registry;
  tr_task *tasks[2];
  atomic_int calls, drops, freed;
};

static void departs(void *ctx) {
  atomic_fetch_add(&((struct departing *)ctx)->calls, 1);
  pthread_exit(NULL);
}

static void departing_is_dropped(void *ctx) { atomic_fetch_add(&((struct departing *)ctx)->drops, 1); }

static void departing_is_freed(void *context) { atomic_fetch_add(&((struct departing *)context)->freed, 1); }

static void log_nothing(void *context, const tr_log_event *event) {
  (void)context;
  (void)event;
}

static void *abort_one(void *argument) {
  TR_IGNORE(tr_task_abort(((struct departing *)argument)->tasks[1]));
  return NULL;
}

static void *abort_all(void *argument) {
  tr_token_abort(tr_registry_token(((struct departing *)argument)->registry), TR_REASON_FATAL, NULL);
  return NULL;
}

static void *join_late(void *argument) {
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(((struct departing *)argument)->registry, 0, NULL));
  return NULL;
}

static void *ask_phase(void *argument) {
  TR_IGNORE(tr_shutdown(((struct departing *)argument)->registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  return NULL;
}

static const struct {
  void *(*ask)(void *);
  tr_status (*on)(tr_task *, tr_cancel_fn, void *, tr_drop_fn, tr_registration **);
  int calls;
} departures[] = {{abort_one, tr_task_on_abort, 2},
                  {abort_all, tr_task_on_abort, 4},
                  {join_late, tr_task_on_abort, 4},
                  {ask_phase, tr_task_on_cancel, 4}};

/* Proves: where each callback of two tasks, one of them in a group, ends its thread, all of them are called and
   dropped, be it that a task or a token is aborted, that a deadline passes, or that a shutdown asks a phase to stop;
   afterwards the records and the registry's memory are free (C7, P7).  Why it matters: the second straggler is told
   what to let go of, whatever a library under the callback of the first does.  Catches: callbacks that run in a plain
   loop; a reference that is lost with the thread. */
CASE(callbacks_that_end_their_thread_take_none_with_them) {
  for (size_t way = 0; way < sizeof departures / sizeof *departures; way++) {
    struct departing departing = {.registry = NULL};
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.log = log_nothing;
    options.log_context = &departing;
    options.log_drop = departing_is_freed;
    CHECK_EQ(TR_OK, tr_registry_create(&options, &departing.registry));
    tr_registry *group = group_new(departing.registry, "group");
    struct gate gate = GATE_INIT;
    tr_registration *registrations[4];
    for (int i = 0; i < 4; i++) {
      tr_task **task = &departing.tasks[i / 2];
      if (i % 2 == 0) {
        tr_spawn_options spawned = TR_SPAWN_OPTIONS_INIT;
        spawned.phase = departures[way].ask == ask_phase;
        CHECK_EQ(TR_OK, tr_spawn_with(i == 0 ? departing.registry : group, "deaf", TR_KIND_BACKGROUND_LOOP, body_deaf,
                                      &gate, &spawned, task));
      }
      CHECK_EQ(TR_OK, departures[way].on(*task, departs, &departing, departing_is_dropped, &registrations[i]));
    }
    gate_await(&gate, 2);
    thread_end(thread_start(departures[way].ask, &departing));
    while (atomic_load(&departing.calls) == 0) breathe();
    run_has_ended();
    CHECK_MSG(atomic_load(&departing.calls) == departures[way].calls, "%d in way %zu", departing.calls, way);
    CHECK_EQ(departures[way].calls, atomic_load(&departing.drops));
    for (int i = 0; i < 4; i++) tr_registration_remove(registrations[i]);
    CHECK_EQ(4, atomic_load(&departing.drops));
    gate_open(&gate);
    for (int i = 0; i < 2; i++) wait_and_release(departing.tasks[i]);
    tr_registry_release(group);
    registry_finish(departing.registry);
    /* What no call could free is freed by a later one. */
    for (int64_t start = now_ns(); atomic_load(&departing.freed) == 0 && now_ns() - start < AT_ONCE; breathe())
      tr_registry_release(registry_new());
    CHECK_MSG(atomic_load(&departing.freed) == 1, "not freed in way %zu", way);
  }
}

static void nap_20_ms(void) {
  const struct timespec time = {0, 20000000};
  nanosleep(&time, NULL);
}

static void log_is_slow(void *context, const tr_log_event *event) {
  (void)context;
  if (event->event == TR_EVENT_DEADLINE_NEAR) nap_20_ms();
}

static void cancel_is_slow(void *ctx) {
  (void)ctx;
  nap_20_ms();
}

/* The report as JSON. */
static void written(const tr_report *report, char *text, size_t room) {
  FILE *file = tmpfile();
  CHECK(file != NULL);
  CHECK_EQ(TR_OK, tr_report_write(report, fileno(file), TR_FORMAT_JSON));
  rewind(file);
  text[fread(text, 1, room - 1, file)] = 0;
  fclose(file);
}

/* Proves: the time that callbacks took within a shutdown is in its report, and the slowest one is
   named: a log callback for the deadline, or a function that was registered with the token (E5).
   Why it matters: otherwise the library is suspected when a shutdown is two seconds late. Catches:
   a callback that is not measured; times of another call. */
CASE(a_report_names_the_callback_that_ate_the_time) {
  static char text[1 << 16];
  for (int is_log = 0; is_log < 2; is_log++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    if (is_log) options.log = log_is_slow;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    gate_await(&gate, 1);
    tr_registration *registration = NULL;
    if (!is_log)
      CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), cancel_is_slow, NULL, NULL,
                                         &registration));
    tr_report *full = NULL;
    tr_join_report report = TR_JOIN_REPORT_INIT;
    report.full = &full;
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, 10 * MS, &report));
    CHECK_BETWEEN_NS(20 * MS, report.elapsed_ns, report.callbacks_ns);
    written(full, text, sizeof text);
    CHECK(strstr(text, is_log ? "\"longest_callback\":{\"kind\":\"log\",\"duration_ns\":"
                              : "\"longest_callback\":{\"kind\":\"cancel\",\"duration_ns\":") != NULL);
    tr_report_release(full);
    tr_registration_remove(registration);
    gate_open(&gate);
    wait_and_release(task);
    report.full = NULL;
    CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, &report));
    CHECK_EQ(0, report.callbacks_ns);
    registry_finish(registry);
  }
}

/* ---- Waiting ------------------------------------------------------------------------------- */

/* Proves: tr_registry_wait waits no longer than its timeout, for the tasks of groups as well, and
   asks no task to stop, however often it is called; it is TR_OK once all have ended (J9, T2). Why
   it matters: "wait a second, print what is left, wait again" is what people write around a join.
   Catches: flags that are raised at its timeout; a registry that is closed by it. */
CASE(a_wait_asks_nobody_to_stop) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  tr_task *first = spawn(tree[TOP], "deaf", body_deaf, &gate);
  tr_task *second = spawn(tree[PEERS], "deaf", body_deaf, &gate);
  gate_await(&gate, 2);
  for (int i = 0; i < 3; i++) {
    int64_t start = now_ns();
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_registry_wait(tree[TOP], i * 5 * MS));
    CHECK(now_ns() - start >= i * 5 * MS);
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_registry_wait(tree[NET], 0));
    CHECK_EQ(TR_OK, tr_registry_wait(tree[STORAGE], FOREVER));
  }
  CHECK_EQ(0, tr_task_is_cancelled(first) + tr_task_is_cancelled(second));
  tr_task *third = spawn(tree[NET], "late", body_deaf, &gate); /* it is open */
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_registry_wait(tree[TOP], FOREVER));
  CHECK_EQ(0, tr_len(tree[TOP]));
  CHECK_EQ(0, outcome_of(first).was_cancelled + outcome_of(third).was_cancelled);
  tr_task_release(first);
  tr_task_release(second);
  tr_task_release(third);
  CHECK_EQ(TR_ERR_INVALID, tr_registry_wait(NULL, 0));
  tree_finish(tree);
}

static int body_waits_for_its_own(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_ERR_DEADLOCK, tr_registry_wait(ctx, FOREVER));
  CHECK_EQ(TR_ERR_DEADLOCK, tr_registry_wait(ctx, 0));
  return 0;
}

/* Proves: the flag of the calling task ends a wait, and from inside the registry it fails (J9, C4,
   J7). Why it matters: as with every wait. Catches: a wait for itself. */
CASE(a_wait_ends_as_every_wait_does) {
  tr_registry *registry = registry_new(), *callers = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  struct caller caller = {.registry = registry, .status = 1, .gate = GATE_INIT, .waits = 1};
  tr_task *task = spawn(callers, "caller", body_joins, &caller);
  gate_await(&caller.gate, 1);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  CHECK_EQ(TR_ERR_CANCELLED, caller.status);
  CHECK_EQ(0, tr_task_is_cancelled(deaf));
  wait_and_release(spawn(registry, "own", body_waits_for_its_own, registry));
  gate_open(&gate);
  wait_and_release(deaf);
  registry_finish(registry);
  registry_finish(callers);
}

CHECK_MAIN(CHECK_ENTRY(the_callers_flag_ends_the_abort_grace),
           CHECK_ENTRY(no_straggler_is_lost_in_a_storm_of_spawns),
           CHECK_ENTRY(a_slow_callback_delays_no_join),
           CHECK_ENTRY(a_callback_that_leaves_its_thread_holds_up_nobody),
           CHECK_ENTRY(callbacks_that_end_their_thread_take_none_with_them),
           CHECK_ENTRY(a_report_names_the_callback_that_ate_the_time),
           CHECK_ENTRY(a_wait_asks_nobody_to_stop), CHECK_ENTRY(a_wait_ends_as_every_wait_does))
