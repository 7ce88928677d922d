/* unjoined.c - tasks that nobody waits for: TR_SPAWN_UNJOINED. Rule S9. */

#include "support.h"

/* A task that is in a call which nothing ends, until the case lets it go on. */
struct hanging {
  struct gate gate;
  atomic_int drops; /* how often its context was dropped */
  tr_task *task;
};

static int hangs(tr_task *self, void *ctx) {
  struct hanging *it = ctx;
  (void)self;
  gate_pass(&it->gate);
  return 0;
}

static void drops_hanging(void *ctx) {
  struct hanging *it = ctx;
  atomic_fetch_add(&it->drops, 1);
}

static void spawn_unjoined(struct hanging *it, tr_registry *registry, uint32_t phase) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  *it = (struct hanging){.gate = GATE_INIT};
  options.flags = TR_SPAWN_UNJOINED;
  options.drop = drops_hanging;
  options.phase = phase;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "lookup", TR_KIND_RPC_HANDLER, hangs, it, &options, &it->task));
  gate_await(&it->gate, 1);
}

static tr_outcome let_go(struct hanging *it) {
  gate_open(&it->gate);
  tr_outcome outcome = outcome_of(it->task);
  tr_task_release(it->task);
  CHECK_EQ(1, atomic_load(&it->drops));
  return outcome;
}

/* Proves: a join, a wait for all tasks and a shutdown of its group do not wait for an unjoined task, in any registry around
   it, and a wait for the task itself does; it is listed, counted and told apart (S9). Why it matters: a task in getaddrinfo must
   not make a service's stop fail. Catches: a join that waits for it in its own registry, or in one above; a count that leaves
   it out. */
CASE(joins_do_not_wait_for_it) {
  tr_registry *root = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(root, "dns", NULL, &group));
  struct hanging it;
  spawn_unjoined(&it, group, 0);
  tr_task *other = spawn(group, "other", body_returns, NULL);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_join_all(root, FOREVER, &report));
  CHECK(report.pending == 0 && report.unjoined == 1);
  CHECK_EQ(TR_OK, tr_join_all(group, 0, &report));
  CHECK(report.pending == 0 && report.unjoined == 1);
  CHECK_EQ(TR_OK, tr_registry_wait(root, FOREVER));
  CHECK_EQ(TR_OK, tr_registry_wait(group, 0));
  CHECK(tr_len(root) == 1 && tr_len(group) == 1 && !tr_is_empty(root));
  tr_task_summary seen;
  CHECK_EQ(1, find_in_snapshot(root, tr_task_id(it.task), &seen));
  CHECK(seen.flags == TR_SPAWN_UNJOINED && seen.state == TR_STATE_RUNNING && seen.cancel_requested == 0);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(it.task, 0, NULL));
  CHECK_EQ(TR_OK, shutdown_fully(group, TR_REASON_REQUESTED_BY_RUN, NULL, FOREVER, &report));
  CHECK_EQ(1, report.unjoined);
  CHECK_EQ(1, find_in_snapshot(root, tr_task_id(it.task), &seen));
  CHECK(seen.state == TR_STATE_CANCELLING && seen.stop_level == TR_STOP_DRAIN);
  wait_and_release(other);
  tr_outcome outcome = let_go(&it);
  CHECK(outcome.how == TR_ENDED_RETURNED && outcome.was_cancelled == 1);
  CHECK_EQ(TR_OK, tr_join_all(root, FOREVER, &report));
  CHECK(report.unjoined == 0 && tr_len(root) == 0);
  tr_registry_release(group);
  registry_finish(root);
}

static void log_is_dropped(void *context) { atomic_fetch_add((atomic_int *)context, 1); }

static void log_nothing(void *context, const tr_log_event *event) {
  (void)context;
  (void)event;
}

/* Proves: a shutdown returns TR_OK beside an unjoined task, whose thread is then the only one left; it may be repeated; the
   last release frees nothing under the task: its context is dropped and the log's context released only when it has ended (S9,
   G3, G4). Why it matters: a record that is freed under a body crashes at the very end of a service. Catches: a shutdown that waits
   for the thread, or fails for it; one that leaves idle threads; a registry that is freed with its last reference. */
CASE(a_shutdown_leaves_it_and_nothing_else) {
  int before = thread_baseline();
  atomic_int log_drops = 0;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_nothing;
  options.log_context = &log_drops;
  options.log_drop = log_is_dropped;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  struct hanging it;
  spawn_unjoined(&it, registry, 0);
  struct gate arrived = GATE_INIT;
  tr_task *others[4];
  for (int i = 0; i < 4; i++) others[i] = spawn(registry, "other", body_obeys, &arrived);
  gate_await(&arrived, 4);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, "stop", FOREVER, &report));
  CHECK(report.pending == 0 && report.threads_left == 0 && report.unjoined == 1 && report.ended == 4);
  threads_settle(before + 1, 20 * SECOND);
  CHECK(tr_task_is_cancelled(it.task) && tr_len(registry) == 1);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, "stop", FOREVER, &report));
  CHECK(report.ended == 0 && report.unjoined == 1);
  for (int i = 0; i < 4; i++) tr_task_release(others[i]);
  tr_registry_release(registry);
  CHECK(atomic_load(&it.drops) == 0 && atomic_load(&log_drops) == 0);
  let_go(&it);
  threads_settle(before, 20 * SECOND);
  CHECK_EQ(TR_OK, tr_quiesce(20 * SECOND));
  CHECK_EQ(1, atomic_load(&log_drops));
}

static struct join_call joins[2];

/* Proves: a join that sleeps already ends with the last task it waits for, when an unjoined one was spawned meanwhile, here and in
   the group's parent (S9, J3). Why it matters: the threads that end tasks decide whom to wake. Catches: an end that wakes joiners
   only when no task is alive. */
CASE(a_sleeping_join_ends_beside_it) {
  tr_registry *root = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(root, "dns", NULL, &group));
  struct gate gate = GATE_INIT;
  tr_task *awaited = spawn(group, "awaited", body_deaf, &gate);
  gate_await(&gate, 1);
  join_begin_asleep(&joins[0], root, FOREVER);
  join_begin_asleep(&joins[1], group, FOREVER);
  struct hanging it;
  spawn_unjoined(&it, group, 2);
  CHECK(atomic_load(&joins[0].returned) == 0 && atomic_load(&joins[1].returned) == 0);
  gate_open(&gate);
  for (int i = 0; i < 2; i++) {
    join_end(&joins[i]);
    CHECK(joins[i].status == TR_OK && joins[i].report.unjoined == 1 && joins[i].report.ended == 1);
  }
  wait_and_release(awaited);
  let_go(&it);
  tr_registry_release(group);
  registry_finish(root);
}

/* The order in which tasks were asked to stop. */
struct asked {
  struct gate begun;
  atomic_int next;
  struct asking {
    struct asked *all;
    int place;
  } tasks[3];
};

static int notes_its_place(tr_task *self, void *ctx) {
  struct asking *it = ctx;
  (void)self;
  gate_arrive(&it->all->begun);
  if (tr_sleep(FOREVER) != TR_ERR_CANCELLED) return 70;
  it->place = atomic_fetch_add(&it->all->next, 1);
  return 0;
}

/* Proves: an unjoined task is asked to stop in its phase, also if it is the last or the only one there, and the phase is over at
   once (S9, E5). Why it matters: a look-up that can stop should. Catches: a shutdown that passes over phases in which it waits for
   nobody, or waits there. */
CASE(it_is_asked_in_its_phase) {
  tr_registry *registry = registry_new();
  struct asked all = {.begun = GATE_INIT};
  struct hanging it;
  tr_task *tasks[3];
  const uint32_t phases[3] = {0, 3, 5}, flags[3] = {0, TR_SPAWN_UNJOINED, 0};
  for (int i = 0; i < 3; i++) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.phase = phases[i];
    options.flags = flags[i];
    all.tasks[i].all = &all;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "phased", TR_KIND_MAINTENANCE, notes_its_place, &all.tasks[i], &options, &tasks[i]));
  }
  gate_await(&all.begun, 3);
  spawn_unjoined(&it, registry, 6);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, "stop", FOREVER, &report));
  CHECK(tr_task_stop_level(it.task) == TR_STOP_DRAIN && report.unjoined >= 1 && report.unjoined <= 2);
  CHECK_EQ(0, all.tasks[0].place);
  for (int i = 0; i < 3; i++) CHECK_EQ(TR_ENDED_RETURNED, outcome_of(tasks[i]).how);
  CHECK_EQ(3, atomic_load(&all.next));
  for (int i = 0; i < 3; i++) tr_task_release(tasks[i]);
  let_go(&it);
  registry_finish(registry);
}

/* Proves: at a deadline an unjoined task is not a straggler and is not told to abort, a full report lists it behind the stragglers,
   and says so in each form; the report of a shutdown that succeeds does, too (S9, J4, E1, E10). Why it matters: what runs on after a
   stop should be seen. Catches: a deadline that takes it for a straggler; a report without it. */
CASE(a_report_shows_it_behind_the_stragglers) {
  tr_registry *registry = registry_new();
  struct hanging it;
  struct gate gate = GATE_INIT;
  spawn_unjoined(&it, registry, 0);
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  for (int round = 0; round < 2; round++) {
    tr_report *full = NULL;
    tr_join_report report = TR_JOIN_REPORT_INIT;
    tr_task_summary stragglers[4] = {TR_TASK_SUMMARY_INIT};
    report.full = &full;
    report.stragglers = stragglers;
    report.stragglers_capacity = 4;
    CHECK_EQ(round == 0 ? TR_ERR_DEADLINE : TR_OK,
             round == 0 ? tr_shutdown(registry, TR_REASON_USER_REQUESTED, "stop", 1000000, &report)
                        : shutdown_fully(registry, TR_REASON_USER_REQUESTED, "stop", FOREVER, &report));
    CHECK(report.unjoined == 1 && report.pending == (round == 0) && report.stragglers_count == (round == 0));
    tr_join_report counts = TR_JOIN_REPORT_INIT;
    CHECK_EQ(TR_OK, tr_report_counts(full, &counts));
    CHECK_EQ(1, counts.unjoined);
    tr_straggler seen = TR_STRAGGLER_INIT;
    size_t place = 0;
    if (round == 0) {
      CHECK_STR("deaf", stragglers[0].name);
      CHECK_EQ(TR_OK, tr_report_straggler(full, place++, &seen));
      CHECK(seen.id == tr_task_id(deaf) && seen.flags == 0 && seen.stop_level == TR_STOP_ABORT);
    }
    CHECK_EQ(TR_OK, tr_report_straggler(full, place++, &seen));
    CHECK(seen.id == tr_task_id(it.task) && seen.flags == TR_SPAWN_UNJOINED);
    CHECK(seen.stop_level == TR_STOP_DRAIN && seen.state == TR_STATE_CANCELLING);
    CHECK_EQ(TR_ERR_INVALID, tr_report_straggler(full, place, &seen));
    char text[8192];
    size_t length = 0;
    CHECK_EQ(TR_OK, tr_report_write_buffer(full, TR_FORMAT_TEXT, text, sizeof text, &length));
    CHECK(length < sizeof text && strstr(text, "\n  unjoined and alive 1\n") != NULL);
    CHECK_MSG(strstr(text, "\nunjoined task lookup: ") != NULL, "%.300s", text);
    CHECK(round == 0 || strstr(text, ": all tasks have ended but unjoined ones, after ") != NULL);
    tr_report_release(full);
    gate_open(&gate);
  }
  wait_and_release(deaf);
  let_go(&it);
  registry_finish(registry);
}

static int fails_at_once(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive((struct gate *)ctx);
  return 7;
}

/* Proves: an unjoined task that waits to start again is asked to stop with the others, and ends; a shutdown waits for it no more
   than between two runs (S9, B2, B4). Why it matters: it has no thread then, and gets one to end in. Catches: a thread that is taken
   for that of a task which it has put to rest. */
CASE(one_that_starts_again) {
  tr_registry *registry = registry_new();
  struct gate runs = GATE_INIT;
  tr_restart_options restart = TR_RESTART_OPTIONS_INIT;
  restart.policy = TR_RESTART_ON_FAILURE;
  restart.min_delay_ns = 1000000;
  restart.max_delay_ns = 1000000;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_UNJOINED;
  options.restart = &restart;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "again", TR_KIND_MAINTENANCE, fails_at_once, &runs, &options, &task));
  gate_await(&runs, 3);
  CHECK_EQ(TR_OK, tr_registry_wait(registry, FOREVER));
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
  CHECK_EQ(TR_ENDED_FAILED, outcome_of(task).how);
  tr_task_release(task);
  registry_finish(registry);
}

/* A thread that adopts itself as an unjoined task. */
struct guest {
  tr_registry *registry;
  struct gate entered;
};

static void *is_adopted(void *argument) {
  struct guest *it = argument;
  tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
  options.flags = TR_SPAWN_UNJOINED;
  CHECK_EQ(TR_OK, tr_adopt(it->registry, "guest", TR_KIND_BACKGROUND_LOOP, &options, NULL));
  gate_pass(&it->entered);
  CHECK_EQ(TR_OK, tr_leave());
  return NULL;
}

/* Proves: a thread of others is adopted as an unjoined task, and a shutdown does not wait until it has left (S9, A1). Why it
   matters: a thread of a library that never ends can be seen without being waited for. Catches: a worker that is lent and counted
   as a thread that has to leave. */
CASE(an_adopted_thread) {
  tr_registry *registry = registry_new();
  struct guest it = {.registry = registry, .entered = GATE_INIT};
  pthread_t thread = thread_start(is_adopted, &it);
  gate_await(&it.entered, 1);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, &report));
  CHECK(report.unjoined == 1 && tr_len(registry) == 1);
  tr_registry_release(registry);
  gate_open(&it.entered);
  thread_end(thread);
}

static int joins_its_own(tr_task *self, void *ctx) {
  (void)self;
  if (tr_join_all((tr_registry *)ctx, FOREVER, NULL) != TR_ERR_DEADLOCK) return 1;
  return tr_shutdown((tr_registry *)ctx, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL) == TR_ERR_DEADLOCK ? 0 : 2;
}

/* Proves: an unjoined task that joins its own registry gets TR_ERR_DEADLOCK as any does; a clean-up task cannot be unjoined, nor
   one that joins others (S9, J7, P4). Why it matters: what has no meaning is rejected, not guessed. Catches: flags that are taken
   together. */
CASE(what_it_cannot_be) {
  tr_registry *registry = registry_new();
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_UNJOINED;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "own", TR_KIND_MAINTENANCE, joins_its_own, registry, &options, &task));
  CHECK_EQ(0, outcome_of(task).code);
  tr_task_release(task);
  options.flags |= TR_SPAWN_CLEANUP;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "none", TR_KIND_MAINTENANCE, body_never, NULL, &options, NULL));
  tr_adopt_options adopt = TR_ADOPT_OPTIONS_INIT;
  adopt.flags = TR_SPAWN_UNJOINED | TR_ADOPT_JOINS_OTHERS;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "none", TR_KIND_MAINTENANCE, &adopt, NULL));
  adopt.flags = TR_SPAWN_UNJOINED | TR_SPAWN_CLEANUP;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "none", TR_KIND_MAINTENANCE, &adopt, NULL));
  registry_finish(registry);
}

/* Proves: end after end of unjoined tasks beside joins that begin and return leaves every count right, and no join returns before
   the tasks that it waits for have ended (S9, J2, J3). Claim: 200 rounds with both sorts of task that end at any moment. */
static atomic_int ended_by_now;

static int ends_counted(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  if (tr_sleep(1000) != TR_OK) return 1;
  atomic_fetch_add(&ended_by_now, 1);
  return 0;
}

static int ends_in_turn(tr_task *self, void *ctx) {
  (void)self;
  if (ctx == NULL) pthread_exit(NULL);
  return (int)((uintptr_t)ctx - 1);
}

CASE(counts_stay_right) {
  tr_registry *root = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(root, "group", NULL, &group));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  for (int round = 0; round < 200; round++) {
    atomic_store(&ended_by_now, 0);
    for (uint32_t i = 0; i < 6; i++) {
      options.flags = i & 1 ? TR_SPAWN_UNJOINED : 0;
      options.phase = i & 2 ? 1 : 0;
      tr_registry *in = i & 4 ? root : group;
      CHECK_EQ(TR_OK, tr_spawn_with(in, "short", TR_KIND_MAINTENANCE, i & 1 ? ends_in_turn : ends_counted,
                                  (void *)(uintptr_t)(round % 3), &options, NULL));
    }
    CHECK_EQ(TR_OK, tr_join_all(root, FOREVER, NULL));
    CHECK(atomic_load(&ended_by_now) == 3);
  }
  while (tr_len(root) > 0) breathe();
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_join_all(root, 0, &report));
  CHECK_EQ(0, report.unjoined);
  tr_registry_release(group);
  registry_finish(root);
}

CHECK_MAIN(CHECK_ENTRY(joins_do_not_wait_for_it), CHECK_ENTRY(a_shutdown_leaves_it_and_nothing_else),
           CHECK_ENTRY(a_sleeping_join_ends_beside_it), CHECK_ENTRY(it_is_asked_in_its_phase),
           CHECK_ENTRY(a_report_shows_it_behind_the_stragglers), CHECK_ENTRY(one_that_starts_again),
           CHECK_ENTRY(an_adopted_thread), CHECK_ENTRY(what_it_cannot_be), CHECK_ENTRY(counts_stay_right))
