/* phases.c - a shutdown asks phase by phase, and divides its time among them (E5). */

#include "deadline.h"

#include "groups.h"

/* A task that counts itself as alive in its phase, and when it is asked records whether an earlier
   phase has tasks left. */
struct phased {
  int phase;
  atomic_int *alive; /* by phase */
  atomic_int *early; /* how many were asked before an earlier phase had ended */
  struct gate *started;
};

static int body_phased(tr_task *self, void *ctx) {
  const struct phased *phased = ctx;
  (void)self;
  gate_arrive(phased->started);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  for (int i = 0; i < phased->phase; i++)
    if (atomic_load(&phased->alive[i]) != 0) atomic_fetch_add(phased->early, 1);
  breathe(); /* long enough for others to be asked, were they */
  atomic_fetch_sub(&phased->alive[phased->phase], 1);
  return 0;
}

struct late {
  tr_registry *registry;
  struct gate started;
  struct gate begun; /* opened once phase 0 has been asked, and the phases behind it have been looked up */
  atomic_int is_over, was_over;
};

static int body_last_work(tr_task *self, void *ctx) {
  struct late *late = ctx;
  (void)self;
  for (int i = 0; i < 20; i++) breathe();
  atomic_store(&late->is_over, 1);
  return 0;
}

static void phase_0_has_begun(void *ctx, uint32_t phase, uint64_t count) {
  (void)count;
  if (phase == 0) gate_open(&((struct late *)ctx)->begun);
}

/* Spawns work for phase 3 when it is asked. */
static int body_leaves_work(tr_task *self, void *ctx) {
  struct late *late = ctx;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  (void)self;
  options.phase = 3;
  options.flags = TR_SPAWN_CLEANUP;
  gate_arrive(&late->started);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  gate_pass(&late->begun);
  CHECK_EQ(TR_OK, tr_spawn_with(late->registry, "last work", TR_KIND_MAINTENANCE, body_last_work, late, &options, NULL));
  return 0;
}

static int body_comes_last(tr_task *self, void *ctx) {
  struct late *late = ctx;
  (void)self;
  gate_arrive(&late->started);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  atomic_store(&late->was_over, atomic_load(&late->is_over));
  return 0;
}

/* Proves: a phase that gets its first task while an earlier one is waited for has its turn: the next one is asked when
   it has ended (E5).  Why it matters: a worker that stops leaves its last work to a phase of its own, and that needs the
   journal.  Catches: phases that are looked up before the wait and asked after it. */
CASE(a_phase_that_gets_its_task_late_is_not_skipped) {
  struct late late = {registry_new(), GATE_INIT, GATE_INIT, 0, 0};
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  options.on_phase_begin = phase_0_has_begun;
  options.phase_context = &late;
  tr_task_release(spawn_in_phase(late.registry, "worker", 0, body_leaves_work, &late));
  tr_task_release(spawn_in_phase(late.registry, "journal", 5, body_comes_last, &late));
  gate_await(&late.started, 2);
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_OK, shutdown_full(late.registry, 60 * SECOND, &options, &counts, &full));
  CHECK_EQ(1, atomic_load(&late.was_over));
  CHECK_EQ(3, phase_of(full, 1).phase);
  CHECK_EQ(5, phase_of(full, 2).phase);
  tr_report_release(full);
  tr_registry_release(late.registry);
}

/* Proves: each phase is asked when all tasks of those before it have ended, and a report lists
   each phase that had tasks, in order (E5). Why it matters: a connection that still writes needs
   its journal. Catches: asking two phases at once; a wait that counts one phase's tasks for
   another's. */
CASE(phases_are_asked_one_after_the_other) {
  enum { EACH = 3 };
  static const int numbers[] = {0, 1, 2, 7};
  tr_registry *registry = registry_new();
  atomic_int alive[TR_PHASES], early;
  struct gate started = GATE_INIT;
  struct phased phased[4];
  for (int i = 0; i < (int)TR_PHASES; i++) atomic_init(&alive[i], 0);
  atomic_init(&early, 0);
  for (int i = 0; i < 4; i++) {
    phased[i] = (struct phased){numbers[i], alive, &early, &started};
    for (int n = 0; n < EACH; n++) {
      atomic_fetch_add(&alive[numbers[i]], 1);
      tr_task_release(spawn_in_phase(registry, "phased", (uint32_t)numbers[i], body_phased, &phased[i]));
    }
  }
  gate_await(&started, 4 * EACH);
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_OK, shutdown_full(registry, 60 * SECOND, NULL, &counts, &full));
  CHECK_EQ(0, atomic_load(&early));
  CHECK_EQ(4 * EACH, counts.ended);
  int64_t before = 0;
  for (size_t i = 0; i < 4; i++) {
    tr_phase_report phase = phase_of(full, i);
    CHECK_EQ(numbers[i], phase.phase);
    CHECK_EQ(EACH, phase.asked);
    CHECK_EQ(0, phase.remaining);
    CHECK(phase.start_ns >= before && phase.duration_ns >= 0);
    CHECK(phase.duration_ns <= phase.share_ns);
    before = phase.start_ns + phase.duration_ns;
  }
  CHECK(before <= counts.elapsed_ns);
  tr_phase_report none = TR_PHASE_REPORT_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_report_phase(full, 4, &none));
  tr_report_release(full);
  tr_registry_release(registry);
}

/* Proves: a task that does not stop takes only its own phase's share of the time: later phases
   are asked while theirs is left, and end in it; the call returns at its one deadline (E5, J1).
   Why it matters: a stuck connection must not use the time that the journal's flush needs.
   Catches: waiting for a phase without a limit; a later phase that waits for a stuck task of an
   earlier one. */
CASE(a_stuck_task_takes_nothing_from_later_phases) {
  const int64_t grace = 600 * MS;
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT, started = GATE_INIT;
  tr_task *stuck = spawn_in_phase(registry, "stuck", 0, body_deaf, &gate);
  tr_task *middle = spawn_in_phase(registry, "middle", 1, body_obeys, &started);
  tr_task *journal = spawn_in_phase(registry, "journal", 7, body_obeys, &started);
  gate_await(&gate, 1);
  gate_await(&started, 2);
  tr_join_report counts;
  tr_report *full = NULL;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, grace, NULL, &counts, &full));
  CHECK(now_ns() - start >= grace);
  CHECK_EQ(1, counts.pending);
  CHECK_EQ(2, counts.ended);
  CHECK_EQ(1, outcome_of(middle).was_cancelled);
  CHECK_EQ(1, outcome_of(journal).was_cancelled);
  tr_phase_report first = phase_of(full, 0), second = phase_of(full, 1), third = phase_of(full, 2);
  CHECK_EQ(1, first.remaining);
  /* Three phases with equal shares. */
  CHECK_BETWEEN_NS((grace - first.start_ns) / 3 - 1, (grace - first.start_ns) / 3 + 1, first.share_ns);
  CHECK(first.duration_ns >= first.share_ns);
  CHECK(second.start_ns >= first.start_ns + first.share_ns);
  CHECK_EQ(0, second.remaining);
  CHECK_EQ(0, third.remaining);
  CHECK(second.duration_ns < second.share_ns);
  CHECK(third.duration_ns < third.share_ns);
  CHECK(third.share_ns <= grace - third.start_ns + 1);
  CHECK_EQ(1, straggler_count(full));
  CHECK_EQ(tr_task_id(stuck), straggler_called(full, "stuck").id);
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_task_wait(stuck, FOREVER, NULL));
  tr_task_release(stuck);
  tr_task_release(middle);
  tr_task_release(journal);
  tr_report_release(full);
  registry_finish(registry);
}

static int body_stops_in_400_ms(tr_task *self, void *ctx) {
  const struct timespec time = {0, 400000000};
  (void)self;
  gate_arrive(ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  nanosleep(&time, NULL);
  return 0;
}

/* Proves: the CPU time of a straggler of a later phase is measured since its phase was asked,
   although that was long after the call; and a task that stops after the time of its phase, while
   the call waits for another, is reported as slow and not as a straggler (E1, E5, E6). Why it
   matters: a task is called spinning for what it did since it was asked. Catches: sampling CPU
   times once, 10 ms after the call. */
CASE(processor_times_of_a_later_phase_begin_with_it) {
  const int64_t grace = 600 * MS;
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT, started = GATE_INIT;
  tr_task *slow = spawn_in_phase(registry, "slow", 0, body_stops_in_400_ms, &started);
  tr_task *deaf = spawn_in_phase(registry, "deaf", 1, body_deaf, &gate);
  gate_await(&gate, 1);
  gate_await(&started, 1);
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, grace, NULL, &counts, &full));
  tr_phase_report second = phase_of(full, 1);
  CHECK_EQ(1, second.phase);
  CHECK(second.start_ns >= 200 * MS); /* near half of the grace */
  CHECK_EQ(1, phase_of(full, 0).remaining);
  tr_ended_task slowest = TR_ENDED_TASK_INIT;
  CHECK_EQ(TR_OK, tr_report_slowest(full, 0, &slowest));
  CHECK_STR("slow", slowest.name);
  CHECK_EQ(1, straggler_count(full));
  tr_straggler straggler = straggler_called(full, "deaf");
  CHECK(straggler.cpu_since_ns >= 0);
  CHECK(straggler.cpu_since_span_ns < straggler.cancel_requested_for_ns);
  /* 10 ms after its phase was asked, or a little later, and not at the deadline. */
  CHECK_MSG(straggler.cpu_since_span_ns > 50 * MS, "%lld", (long long)straggler.cpu_since_span_ns);
  gate_open(&gate);
  wait_and_release(slow);
  wait_and_release(deaf);
  tr_report_release(full);
  registry_finish(registry);
}

/* Proves: shares given by the caller divide the remaining time among the phases that have tasks,
   and a share of 0 beside others reserves nothing (E5). Why it matters: the journal may need most
   of it. Catches: shares of phases without tasks that are reserved in vain; shares of the whole
   time and not of the remaining time. */
CASE(shares_divide_the_time) {
  const int64_t grace = 400 * MS;
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[3];
  static const uint32_t numbers[] = {0, 3, 4};
  for (int i = 0; i < 3; i++) tasks[i] = spawn_in_phase(registry, "deaf", numbers[i], body_deaf, &gate);
  gate_await(&gate, 3);
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  options.phase_share[0] = 1;
  options.phase_share[1] = 100; /* has no tasks */
  options.phase_share[3] = 0;
  options.phase_share[4] = 3;
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, grace, &options, &counts, &full));
  tr_phase_report first = phase_of(full, 0), second = phase_of(full, 1), third = phase_of(full, 2);
  int64_t quarter = (grace - first.start_ns) / 4;
  CHECK_BETWEEN_NS(quarter - 1, quarter + 1, first.share_ns);
  CHECK_EQ(3, second.phase);
  CHECK_EQ(0, second.share_ns);
  CHECK_EQ(4, third.phase);
  CHECK_BETWEEN_NS(grace - third.start_ns - 1, grace - third.start_ns + 1, third.share_ns);
  CHECK_EQ(3, counts.pending);
  gate_open(&gate);
  for (int i = 0; i < 3; i++) wait_and_release(tasks[i]);
  tr_report_release(full);
  registry_finish(registry);
}

/* Proves: the registry's token asks phase 0 alone, however it is cancelled, and closes for all; tr_shutdown
   asks the rest afterwards, and so does a join's deadline, and tr_task_cancel (E5, C3, S5, C13).
   Why it matters: a signal cancels the token before the program calls tr_shutdown: the phases would be gone
   otherwise.  Catches: a token that raises all flags; a phase that is never asked because the token was
   cancelled before. */
CASE(the_token_asks_phase_0_alone) {
  tr_registry *registry = registry_new();
  struct gate started = GATE_INIT;
  tr_task *first = spawn_in_phase(registry, "first", 0, body_obeys, &started);
  tr_task *second = spawn_in_phase(registry, "second", 1, body_obeys, &started);
  tr_task *third = spawn_in_phase(registry, "third", 1, body_obeys, &started);
  gate_await(&started, 3);
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM"));
  CHECK_EQ(1, tr_task_is_cancelled(first));
  CHECK_EQ(0, tr_task_is_cancelled(second));
  CHECK_EQ(TR_OK, tr_task_wait(first, FOREVER, NULL));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.phase = 1;
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn_with(registry, "rejected", TR_KIND_MAINTENANCE, body_never, NULL,
                                        &options, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(third));
  CHECK_EQ(TR_OK, tr_task_wait(third, FOREVER, NULL));
  CHECK_EQ(0, tr_task_is_cancelled(second));
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
  CHECK_EQ(1, outcome_of(second).was_cancelled);
  tr_task_release(first);
  tr_task_release(second);
  tr_task_release(third);
  tr_registry_release(registry);

  registry = registry_new();
  tr_task *late = spawn_in_phase(registry, "late", 5, body_obeys, NULL);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, NULL));
  CHECK_EQ(1, tr_task_is_cancelled(late));
  tr_task_release(late);
  registry_finish(registry);
}

static int body_fails_when_asked(tr_task *self, void *ctx) {
  (void)body_obeys(self, ctx);
  return 7;
}

static int body_cleans_up_when_asked(tr_task *self, void *ctx) {
  tr_registry *registry = *(tr_registry **)ctx;
  (void)self;
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_CLEANUP;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "flush", TR_KIND_MAINTENANCE, body_returns, NULL, &options, NULL));
  return 0;
}

static int body_exits_when_asked(tr_task *self, void *ctx) {
  (void)body_obeys(self, ctx);
  pthread_exit(NULL);
}

static void text_of(const tr_report *full, char *text, size_t size) {
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_report_write_buffer(full, TR_FORMAT_TEXT, text, size, &length));
}

/* Proves: tasks that ended between the cancellation of the token and tr_shutdown are in its report, apart from
   those that it waited for, with their failures, and those of phase 0 in that phase; a task of a later phase, one
   that ended before the cancellation, and clean-up work that was spawned meanwhile are counted where they belong;
   a group counts its own, and a join counts them as well (J8). Why it matters: "where is my listener?" Catches:
   counters that are read when the call begins, or when the registry is made; a later phase's task in phase 0. */
CASE(what_ended_between_the_signal_and_the_shutdown_is_counted) {
  tr_registry *registry = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "net", NULL, &group));
  struct gate started = GATE_INIT;
  wait_and_release(spawn_in_phase(registry, "over", 0, body_returns, NULL));
  wait_and_release(spawn_in_phase(registry, "over too", 1, body_returns, NULL));
  tr_task *quick[] = {
      spawn_in_phase(group, "listener", 0, body_cleans_up_when_asked, &group),
      spawn_in_phase(registry, "fails", 0, body_fails_when_asked, &started),
      spawn_in_phase(registry, "exits", 0, body_exits_when_asked, &started),
      spawn_in_phase(registry, "later", 3, body_obeys, &started),
  };
  struct gate gate = GATE_INIT;
  tr_task *slow = spawn_in_phase(registry, "slow", 0, body_deaf, &gate);
  tr_task *journal = spawn_in_phase(registry, "journal", 7, body_obeys, &started);
  gate_await(&gate, 1);
  gate_await(&started, 4);
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM"));
  CHECK_EQ(TR_OK, tr_task_cancel(quick[3]));
  for (int i = 0; i < 4; i++) wait_and_release(quick[i]);
  while (tr_len(group) > 0) breathe(); /* what the listener has spawned */

  tr_join_report counts = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_join_all(group, FOREVER, &counts));
  CHECK_EQ(0, counts.ended);
  CHECK_EQ(2, counts.ended_before);

  tr_report *full = NULL;
  gate_open(&gate);
  CHECK_EQ(TR_OK, shutdown_full(registry, 60 * SECOND, NULL, &counts, &full));
  CHECK_EQ(7, counts.ended + counts.ended_before);
  CHECK(counts.ended_before == 5 || counts.ended_before == 6); /* "slow" may end before the call or in it */
  CHECK_EQ(1, counts.failed_before);
  CHECK_EQ(1, counts.exited_before);
  CHECK_EQ(0, counts.failed + counts.exited);
  tr_phase_report first = phase_of(full, 0), last = phase_of(full, 1);
  CHECK_EQ(0, first.phase);
  CHECK_EQ(counts.ended_before - 1, first.ended_before);
  CHECK_EQ(7, last.phase);
  CHECK_EQ(0, last.ended_before);
  char text[4096];
  text_of(full, text, sizeof text);
  CHECK(strstr(text, " (failed 1, exited 1)\n") != NULL);
  CHECK(strstr(text, "  phase 0: ") != NULL && strstr(text, " ended before the call, asked ") != NULL);
  tr_report_release(full);
  wait_and_release(slow);
  wait_and_release(journal);
  tr_registry_release(group);
  tr_registry_release(registry);
}

static void *thread_cancels(void *registry) {
  tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM");
  return NULL;
}

/* Proves: however the cancellation of the token and tr_shutdown meet, each task that ended for it is counted once,
   before the call or in it, and phase 0 was either asked by then or had ended (J8). Why it matters: a count that
   is wrong now and then is worse than none. Catches: counters that are read after the flags have risen. */
CASE(each_end_is_counted_before_the_shutdown_or_in_it) {
  enum { ROUNDS = 300, TASKS = 4 };
  int before = 0;
  for (int round = 0; round < ROUNDS; round++) {
    tr_registry *registry = registry_new();
    struct gate started = GATE_INIT;
    for (int i = 0; i < TASKS; i++)
      tr_task_release(spawn_in_phase(registry, "obeys", i == 0 ? 2 : 0, body_obeys, &started));
    gate_await(&started, TASKS);
    pthread_t thread;
    CHECK_EQ(0, pthread_create(&thread, NULL, thread_cancels, registry));
    if (round % 3 == 1) breathe();
    if (round % 3 == 2) CHECK_EQ(0, pthread_join(thread, NULL));
    tr_join_report counts;
    tr_report *full = NULL;
    CHECK_EQ(TR_OK, shutdown_full(registry, 60 * SECOND, NULL, &counts, &full));
    CHECK_EQ(TASKS, counts.ended + counts.ended_before);
    /* All of phase 0 may have ended in the call, before it looked at the phase. */
    tr_phase_report first = phase_of(full, 0);
    CHECK_EQ(counts.ended_before, first.phase == 0 ? first.ended_before : 0);
    CHECK(first.asked + first.ended_before <= TASKS - 1);
    if (counts.ended_before > 0) before++;
    if (round % 3 != 2) CHECK_EQ(0, pthread_join(thread, NULL));
    tr_report_release(full);
    tr_registry_release(registry);
  }
  CHECK(before > 0);
}

/* Proves: phases of tasks in groups are asked by the shutdown of the root registry, each group's by
   its own shutdown, and only by that (E5, T1, T2). Why it matters: the parts of a program stop in
   an order, too. Catches: phases counted in the group and not in its ancestors. */
CASE(phases_reach_into_groups) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate started = GATE_INIT;
  tr_task *peer = spawn_in_phase(tree[PEERS], "peer", 1, body_obeys, &started);
  tr_task *journal = spawn_in_phase(tree[STORAGE], "journal", 2, body_obeys, &started);
  tr_task *other = spawn_in_phase(tree[STORAGE], "other", 0, body_obeys, &started);
  gate_await(&started, 3);
  CHECK_EQ(TR_OK, tr_shutdown(tree[NET], TR_REASON_RELOAD_REQUESTED, NULL, FOREVER, NULL));
  CHECK_EQ(1, outcome_of(peer).was_cancelled);
  CHECK_EQ(0, tr_task_is_cancelled(journal));
  CHECK_EQ(0, tr_task_is_cancelled(other));
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_OK, shutdown_full(tree[TOP], 60 * SECOND, NULL, &counts, &full));
  CHECK_EQ(0, phase_of(full, 0).phase);
  CHECK_EQ(2, phase_of(full, 1).phase);
  CHECK_EQ(1, outcome_of(journal).was_cancelled);
  tr_task_release(peer);
  tr_task_release(journal);
  tr_task_release(other);
  tr_report_release(full);
  for (int i = 0; i < TREE; i++) tr_registry_release(tree[i]);
}

/* Proves: the abort grace is not part of a phase's time (E5, J4). Why it matters: "took 1.5 s of
   100 ms" is nonsense. Catches: a phase that is over when the call is. */
CASE(the_abort_grace_is_no_part_of_a_phase) {
  const int64_t abort_grace = 200 * MS;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.abort_grace_ns = abort_grace;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  struct gate gate = GATE_INIT;
  tr_task *task = spawn_in_phase(registry, "deaf", 0, body_deaf, &gate);
  gate_await(&gate, 1);
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, 50 * MS, NULL, &counts, &full));
  tr_phase_report phase = phase_of(full, 0);
  CHECK_EQ(1, phase.remaining);
  CHECK_BETWEEN_NS(50 * MS, counts.elapsed_ns - abort_grace, phase.duration_ns);
  gate_open(&gate);
  wait_and_release(task);
  tr_report_release(full);
  registry_finish(registry);
}

/* Proves: clean-up work of a later phase is waited for in its phase, and not asked before the deadline
   (E5, S5).  Why it matters: it has work to do.  Catches: a phase that asks it. */
CASE(clean_up_work_is_not_asked_in_its_phase) {
  tr_registry *registry = registry_new();
  struct gate started = GATE_INIT;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.phase = 2;
  options.flags = TR_SPAWN_CLEANUP;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "flush", TR_KIND_MAINTENANCE, body_obeys, &started, &options,
                                &task));
  gate_await(&started, 1);
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, 50 * MS, NULL, &counts, &full));
  CHECK_EQ(1, phase_of(full, 0).remaining);
  CHECK_EQ(2, phase_of(full, 0).phase);
  tr_straggler straggler = straggler_called(full, "flush");
  /* It was asked at the deadline, and not in its phase, which began 50 ms before. */
  CHECK(straggler.cancel_requested_for_ns < counts.elapsed_ns);
  CHECK_EQ(2, straggler.phase);
  wait_and_release(task);
  tr_report_release(full);
  registry_finish(registry);
}

struct caller {
  tr_registry *registry;
  tr_status status;
  struct gate started;
};

static int body_shuts_down(tr_task *self, void *ctx) {
  struct caller *caller = ctx;
  (void)self;
  gate_arrive(&caller->started);
  caller->status = tr_shutdown(caller->registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL);
  return 0;
}

/* Proves: a shutdown that is cut short, because its caller is asked to stop, has asked every phase
   (E5, C4). Why it matters: no other call would. Catches: later phases that are left unasked. */
CASE(a_shutdown_cut_short_has_asked_everybody) {
  tr_registry *registry = registry_new(), *callers = registry_new();
  struct gate gate = GATE_INIT, started = GATE_INIT;
  tr_task *stuck = spawn_in_phase(registry, "stuck", 0, body_deaf, &gate);
  tr_task *later = spawn_in_phase(registry, "later", 4, body_obeys, &started);
  gate_await(&gate, 1);
  gate_await(&started, 1);
  struct caller caller = {registry, 1, GATE_INIT};
  tr_task *task = spawn(callers, "caller", body_shuts_down, &caller);
  gate_await(&caller.started, 1);
  while (!tr_token_is_cancelled(tr_registry_token(registry))) breathe();
  CHECK_EQ(0, tr_task_is_cancelled(later));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  CHECK_EQ(TR_ERR_CANCELLED, caller.status);
  CHECK_EQ(TR_OK, tr_task_wait(later, FOREVER, NULL));
  gate_open(&gate);
  wait_and_release(stuck);
  tr_task_release(later);
  registry_finish(registry);
  registry_finish(callers);
}

struct racer {
  tr_registry *registry;
  atomic_int *stop;
  uint32_t seed;
};

static void *spawn_in_all_phases(void *argument) {
  struct racer *racer = argument;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  while (!atomic_load(racer->stop)) {
    racer->seed = racer->seed * 1664525u + 1013904223u;
    options.phase = racer->seed >> 29;
    tr_status status = tr_spawn_with(racer->registry, "racer", TR_KIND_RPC_HANDLER, body_obeys, NULL,
                                     &options, NULL);
    if (status == TR_ERR_CLOSED) break;
    CHECK(status == TR_OK || status == TR_ERR_AGAIN || status == TR_ERR_LIMIT);
  }
  return NULL;
}

/* Claim: however spawns of all phases race with a shutdown, each task that was admitted is asked to
   stop. Proves: that (E5, C3, S5). Why it matters: a task that is never asked holds the shutdown up
   indefinitely. Catches: a spawner that does not check whether its phase was asked; one that checks
   before it publishes; counts that do not return to zero, or wake no waiter when they do. */
CASE(no_task_is_missed_by_its_phase) {
  int rounds = check_rounds(200);
  for (int round = 0; round < rounds; round++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.max_tasks = 64;
    options.stack_size = 65536;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
    atomic_int stop = 0;
    struct racer racers[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
      racers[i] = (struct racer){registry, &stop, (uint32_t)(round * 3 + i + 1)};
      threads[i] = thread_start(spawn_in_all_phases, &racers[i]);
    }
    while (tr_len(registry) < 8) breathe();
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++) thread_end(threads[i]);
    CHECK_EQ(0, tr_len(registry));
    tr_registry_release(registry);
  }
}

/* Proves: two shutdowns at once go through the phases each for itself, and both return when all have ended
   (E5, J6).  Why it matters: a signal and a client may ask at the same time.  Catches: waiters of one
   phase that only the end of another wakes. */
CASE(two_shutdowns_go_through_the_phases_at_once) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT, started = GATE_INIT;
  tr_task *held = spawn_in_phase(registry, "held", 0, body_deaf, &gate);
  tr_task *later = spawn_in_phase(registry, "later", 3, body_obeys, &started);
  gate_await(&gate, 1);
  gate_await(&started, 1);
  struct join_call one, two;
  shutdown_begin(&one, registry, FOREVER);
  shutdown_begin(&two, registry, 60 * SECOND);
  while (!tr_token_is_cancelled(tr_registry_token(registry))) breathe();
  CHECK_EQ(0, tr_task_is_cancelled(later));
  gate_open(&gate);
  join_end(&one);
  join_end(&two);
  CHECK_EQ(TR_OK, one.status);
  CHECK_EQ(TR_OK, two.status);
  tr_task_release(held);
  tr_task_release(later);
  tr_registry_release(registry);
}

struct order {
  tr_task *earlier; /* the task that must have ended by then; NULL: none */
  int is_early;
  struct gate started;
};

static int body_stops_after(tr_task *self, void *ctx) {
  struct order *order = ctx;
  (void)self;
  gate_arrive(&order->started);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  tr_outcome outcome = TR_OUTCOME_INIT;
  order->is_early = order->earlier != NULL && tr_task_wait(order->earlier, 0, &outcome) != TR_OK;
  const struct timespec flush = {0, 20000000};
  nanosleep(&flush, NULL);
  return 0;
}

/* Proves: a second signal ends the time of the phase that was asked; the later ones are asked one
   after the other all the same, each with at least the abort grace, and only the task that hangs is
   a straggler (C13, E5). Why it matters: an impatient ^C must not lose what a journal has yet to
   write. Catches: asking all phases at once; a deadline that has passed when a phase is asked. */
CASE(a_second_signal_leaves_later_phases_their_moment) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.abort_grace_ns = 1000 * SECOND;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  tr_signal_options signals = TR_SIGNAL_OPTIONS_INIT;
  signals.debounce_ns = TR_NO_DEBOUNCE;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &signals));
  struct gate gate = GATE_INIT;
  tr_task *stuck = spawn_in_phase(registry, "stuck", 0, body_deaf, &gate);
  struct order first = {NULL, 0, GATE_INIT}, second = {NULL, 0, GATE_INIT};
  tr_task *journal = spawn_in_phase(registry, "journal", 3, body_stops_after, &first);
  second.earlier = journal;
  tr_task *database = spawn_in_phase(registry, "database", 7, body_stops_after, &second);
  gate_await(&gate, 1);
  gate_await(&first.started, 1);
  gate_await(&second.started, 1);
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  struct join_call shutdown;
  shutdown_begin(&shutdown, registry, 3600 * SECOND);
  await_asleep(&shutdown.tid);
  CHECK_EQ(0, tr_task_is_cancelled(journal));
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  CHECK_EQ(TR_OK, tr_task_wait(database, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_task_wait(journal, FOREVER, NULL));
  CHECK_EQ(0, second.is_early);
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  do { /* the abort grace has begun */
    breathe();
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(stuck), &summary));
  } while (summary.state != TR_STATE_ABANDONED);
  gate_open(&gate);
  join_end(&shutdown);
  CHECK_EQ(TR_ERR_DEADLINE, shutdown.status);
  CHECK_EQ(1, shutdown.report.pending);
  CHECK_EQ(2, shutdown.report.ended - shutdown.report.aborted);
  CHECK_EQ(1, outcome_of(journal).was_cancelled);
  tr_task_release(stuck);
  tr_task_release(journal);
  tr_task_release(database);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  registry_finish(registry);
}

struct progress_call {
  tr_registry *registry;
  const tr_shutdown_options *options;
  tr_join_report report;
  tr_status status;
};

static void *progress_call_run(void *argument) {
  struct progress_call *call = argument;
  call->report = (tr_join_report)TR_JOIN_REPORT_INIT;
  call->status = tr_shutdown_with(call->registry, TR_REASON_USER_REQUESTED, NULL, 200 * MS, call->options,
                                  &call->report);
  return NULL;
}

static int body_reports_and_waits(tr_task *self, void *ctx) {
  (void)self;
  TR_IGNORE(tr_progress(1, 2, "blocks"));
  gate_pass(ctx);
  return 0;
}

static void await_event(struct events *events, uint32_t event) {
  while (1) {
    pthread_mutex_lock(&events->lock);
    int found = 0;
    for (int i = 0; i < events->count; i++) found |= events->list[i].event == event;
    pthread_mutex_unlock(&events->lock);
    if (found) return;
    breathe();
  }
}

/* Proves: a phase whose tasks make progress keeps running, where max_grace_ns allows extensions:
   the next is asked when they have ended, and keeps its time; progress of a later phase holds none
   up (E4, E5). Why it matters: the database must not stop while uploads still use it. Catches: the
   end of a phase that is fixed when it starts; progress of any task. */
CASE(a_phase_that_makes_progress_is_waited_for) {
  for (int later_reports = 0; later_reports < 2; later_reports++) {
    struct events events = EVENTS_INIT;
    tr_registry_options creation = TR_REGISTRY_OPTIONS_INIT;
    creation.log = events_note;
    creation.log_context = &events;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, tr_registry_create(&creation, &registry));
    struct gate gate = GATE_INIT, deaf = GATE_INIT, started = GATE_INIT;
    tr_task *upload = later_reports ? spawn_in_phase(registry, "upload", 0, body_deaf, &gate)
                                    : spawn_in_phase(registry, "upload", 0, body_reports_and_waits, &gate);
    tr_task *database = spawn_in_phase(registry, "database", 1, body_obeys, &started);
    tr_task *reporter =
        later_reports ? spawn_in_phase(registry, "reporter", 1, body_reports_and_waits, &deaf) : NULL;
    gate_await(&gate, 1);
    gate_await(&started, 1);
    if (reporter != NULL) gate_await(&deaf, 1);
    tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
    options.max_grace_ns = 7200 * SECOND;
    options.progress_window_ns = 3600 * SECOND;
    options.warn_percent = TR_WARN_NEVER;
    struct progress_call progress = {registry, &options, TR_JOIN_REPORT_INIT, 1};
    pthread_t thread = thread_start(progress_call_run, &progress);
    if (later_reports) {
      /* Its time is over in 100 ms, whatever progress is reported. */
      CHECK_EQ(TR_OK, tr_task_wait(database, FOREVER, NULL));
      gate_open(&deaf);
    } else {
      await_event(&events, TR_EVENT_DEADLINE_EXTENDED);
      CHECK_EQ(0, tr_task_is_cancelled(database));
    }
    gate_open(&gate);
    thread_end(thread);
    CHECK_EQ(TR_OK, progress.status);
    if (!later_reports) CHECK(progress.report.extended_ns > 3000 * SECOND);
    CHECK_EQ(1, outcome_of(database).was_cancelled);
    tr_task_release(upload);
    tr_task_release(database);
    if (reporter != NULL) wait_and_release(reporter);
    tr_registry_release(registry);
  }
}

/* Proves: a phase beyond the last, and absurd options of a shutdown, are rejected, and nothing has
   happened (P4, E5). Why it matters: a typing error must not stop a service. Catches: an unchecked
   index. */
CASE(absurd_phases_and_shares_are_rejected) {
  tr_registry *registry = registry_new();
  tr_spawn_options spawning = TR_SPAWN_OPTIONS_INIT;
  spawning.phase = TR_PHASES;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "n", TR_KIND_RPC_HANDLER, body_never, NULL, &spawning,
                                         NULL));
  spawning.phase = UINT32_MAX;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "n", TR_KIND_RPC_HANDLER, body_never, NULL, &spawning,
                                         NULL));
  tr_shutdown_options options[6];
  for (int i = 0; i < 6; i++) options[i] = (tr_shutdown_options)TR_SHUTDOWN_OPTIONS_INIT;
  options[0].warn_percent = 100;
  options[1].max_grace_ns = -1;
  options[2].progress_window_ns = -1;
  options[3].phase_share[7] = 1000001;
  options[4].size = 8;
  options[5].phase_max_grace_ns[7] = -1;
  for (int i = 0; i < 6; i++)
    CHECK_EQ(TR_ERR_INVALID, tr_shutdown_with(registry, TR_REASON_FATAL, NULL, 0, &options[i], NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_with(NULL, TR_REASON_FATAL, NULL, 0, NULL, NULL));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  struct {
    tr_shutdown_options known;
    uint64_t more;
  } larger = {TR_SHUTDOWN_OPTIONS_INIT, 1};
  larger.known.size = sizeof larger;
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_with(registry, TR_REASON_FATAL, NULL, 0, &larger.known, NULL));
  larger.more = 0;
  CHECK_EQ(TR_OK, tr_shutdown_with(registry, TR_REASON_FATAL, NULL, FOREVER, &larger.known, NULL));
  tr_registry_release(registry);
}

CHECK_MAIN(CHECK_ENTRY(phases_are_asked_one_after_the_other),
           CHECK_ENTRY(a_stuck_task_takes_nothing_from_later_phases),
           CHECK_ENTRY(processor_times_of_a_later_phase_begin_with_it),
           CHECK_ENTRY(shares_divide_the_time), CHECK_ENTRY(the_token_asks_phase_0_alone),
           CHECK_ENTRY(what_ended_between_the_signal_and_the_shutdown_is_counted),
           CHECK_ENTRY(each_end_is_counted_before_the_shutdown_or_in_it),
           CHECK_ENTRY(phases_reach_into_groups), CHECK_ENTRY(clean_up_work_is_not_asked_in_its_phase),
           CHECK_ENTRY(the_abort_grace_is_no_part_of_a_phase),
           CHECK_ENTRY(a_shutdown_cut_short_has_asked_everybody),
           CHECK_ENTRY(no_task_is_missed_by_its_phase),
           CHECK_ENTRY(two_shutdowns_go_through_the_phases_at_once),
           CHECK_ENTRY(a_second_signal_leaves_later_phases_their_moment),
           CHECK_ENTRY(a_phase_that_makes_progress_is_waited_for),
           CHECK_ENTRY(a_phase_that_gets_its_task_late_is_not_skipped),
           CHECK_ENTRY(absurd_phases_and_shares_are_rejected))
