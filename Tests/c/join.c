/* join.c - joining with a deadline, and the report. Rules J1 to J8. */

#include "support.h"

/* ---- The deadline -------------------------------------------------------------------------- */

/* Proves: joining an empty registry is TR_OK at once with an empty report, whatever the timeout
   and whatever has run before (J1, J2).  Why it matters: most joins find nothing to wait for.
   Catches: waiting for an event that was before. */
CASE(join_of_an_empty_registry_is_immediate) {
  tr_registry *registry = registry_new();
  const int64_t timeouts[] = {0, 1, -1, SECOND, INT64_MAX, INT64_MIN};
  for (int used = 0; used < 2; used++) {
    for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
      tr_join_report report = TR_JOIN_REPORT_INIT;
      report.ended = report.pending = report.aborted = report.abandoned = report.rejected = 99;
      report.failed = report.exited = report.stragglers_count = 99;
      int64_t start = now_ns();
      CHECK_EQ(TR_OK, tr_join_all(registry, timeouts[i], &report));
      int64_t took = now_ns() - start;
      CHECK_BETWEEN_NS(0, AT_ONCE, took);
      CHECK_BETWEEN_NS(0, took, report.elapsed_ns);
      CHECK_EQ(0, report.ended + report.failed + report.exited + report.pending + report.aborted +
                      report.abandoned + report.rejected + report.stragglers_count);
    }
    wait_and_release(spawn(registry, "short", body_returns, NULL));
  }
  registry_finish(registry);
}

/* Proves: the deadline is one for the whole call: with twenty stragglers a join of 100 ms takes
   100 ms, not twenty times as long, and its report's time is the time it took (J1, J4, J8). Why
   it matters: the caller has only this much time in total. Catches: a timeout for each task in
   turn. */
CASE(one_deadline_for_the_whole_call) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  for (int i = 0; i < 20; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
  gate_await(&gate, 20);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 100 * MS, &report));
  int64_t took = now_ns() - start;
  CHECK_BETWEEN_NS(100 * MS, 100 * MS + 1000 * MS * check_scale(), took);
  CHECK_BETWEEN_NS(100 * MS, took, report.elapsed_ns);
  CHECK_EQ(20, report.pending);
  CHECK_EQ(20, report.abandoned);
  CHECK_EQ(0, report.aborted);
  CHECK_EQ(0, report.ended);
  gate_open(&gate);
  registry_finish(registry);
}

/* Proves: with stragglers that never check their flag tr_join_all(50 ms) returns within 60 ms, with
   the right counts each time, and they stay listed until they end (J4, J5, C5). Why it matters:
   this is the purpose of the library. Catches: waiting for a straggler; a deadline that is checked
   only now and then. On a busy machine any wake-up may be late, so half of the 100 runs must be in
   time; with TASKREG_QUIET_MACHINE set in the environment, all. */
CASE(deaf_stragglers_delay_no_join) {
  enum { runs = 100 };
  const int64_t timeout = 50 * MS, margin = 10 * MS * check_scale();
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[3];
  for (int i = 0; i < 3; i++) tasks[i] = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 3);
  int in_time = 0;
  int64_t worst = 0;
  for (int run = 0; run < runs; run++) {
    tr_join_report report = TR_JOIN_REPORT_INIT;
    int64_t start = now_ns();
    CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, timeout, &report));
    int64_t took = now_ns() - start;
    CHECK(took >= timeout);
    CHECK_EQ(3, report.pending);
    CHECK_EQ(3, report.abandoned);
    CHECK_EQ(0, report.aborted);
    CHECK_EQ(0, report.ended);
    CHECK_EQ(3, tr_len(registry));
    CHECK_EQ(3, snapshot_count(registry));
    in_time += took <= timeout + margin;
    if (took > worst) worst = took;
  }
  int least = getenv("TASKREG_QUIET_MACHINE") != NULL ? runs : runs / 2;
  CHECK_MSG(in_time >= least, "%d of %d in time, worst %.3f ms", in_time, runs,
            (double)worst / 1e6);
  gate_open(&gate);
  for (int i = 0; i < 3; i++) wait_and_release(tasks[i]);
  CHECK_EQ(0, tr_len(registry));
  registry_finish(registry);
}

/* Proves: a join asks no task to stop before its deadline: flags stay down while it waits (J1,
   C3). Why it matters: joining is waiting; stopping is tr_shutdown. Catches: a join that cancels
   first. */
CASE(join_is_patient_until_its_deadline) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT, sleeping = GATE_INIT;
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  tr_task *sleeper = spawn(registry, "sleeper", body_obeys, &sleeping);
  gate_await(&sleeping, 1);
  struct join_call one, two;
  join_begin_asleep(&one, registry, FOREVER);
  join_begin_asleep(&two, registry, 3600 * SECOND);
  CHECK_EQ(0, tr_task_is_cancelled(deaf));
  CHECK_EQ(0, tr_task_is_cancelled(sleeper));
  CHECK_EQ(TR_OK, tr_spawn(registry, "still open", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(sleeper));
  gate_open(&gate);
  join_end(&one);
  join_end(&two);
  CHECK_EQ(TR_OK, one.status);
  CHECK_EQ(TR_OK, two.status);
  CHECK_EQ(0, outcome_of(deaf).was_cancelled);
  tr_task_release(deaf);
  tr_task_release(sleeper);
  registry_finish(registry);
}

/* Proves: a shutdown closes the registry, cancels its token with reason and message, raises the
   flags and then waits, so that obedient tasks make it TR_OK long before its grace is over (J1,
   S5, C3).  Why it matters: it is the one call most programs make.  Catches: any of the three
   steps left out; waiting for the whole grace. */
CASE(shutdown_closes_cancels_and_joins) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[10];
  for (int i = 0; i < 10; i++) tasks[i] = spawn(registry, "obeys", body_obeys, &gate);
  gate_await(&gate, 10);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  int64_t start = now_ns();
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_RPC_REQUESTED, "because", 3600 * SECOND,
                                 &report));
  CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - start);
  CHECK_EQ(10, report.ended);
  CHECK_EQ(0, report.pending + report.failed + report.exited + report.threads_left);
  char message[16];
  CHECK_EQ(7, tr_token_message(tr_registry_token(registry), message, sizeof message));
  CHECK_STR("because", message);
  CHECK_EQ(TR_REASON_RPC_REQUESTED, tr_token_reason(tr_registry_token(registry)));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(1, outcome_of(tasks[i]).was_cancelled);
    tr_task_release(tasks[i]);
  }
  tr_registry_release(registry);
}

/* ---- Which tasks are stragglers ------------------------------------------------------------ */

/* Proves: tasks that have ended are never counted as pending, with a timeout of 0, with one that is
   used up by a straggler, and with many of them: pending is exactly those alive (J2). Why it
   matters: the original blamed finished tasks once the time was used up. Catches: counting tasks
   that are not yet unlinked; walking the list after the deadline without a check. */
CASE(finished_tasks_are_never_stragglers) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *straggler = spawn(registry, "straggler", body_deaf, &gate);
  for (int round = 0; round < check_rounds(100); round++) {
    tr_task *tasks[20];
    for (int i = 0; i < 20; i++) tasks[i] = spawn(registry, "finished", body_returns, NULL);
    for (int i = 0; i < 20; i++) wait_and_release(tasks[i]);
    for (int64_t timeout = 0; timeout <= 2 * MS; timeout += 2 * MS) {
      tr_join_report report = TR_JOIN_REPORT_INIT;
      CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, timeout, &report));
      CHECK_EQ(1, report.pending);
      CHECK_EQ(1, report.abandoned);
      CHECK_EQ(0, report.ended); /* they ended before the call */
    }
  }
  gate_open(&gate);
  wait_and_release(straggler);
  CHECK_EQ(TR_OK, tr_join_all(registry, 0, NULL));
  registry_finish(registry);
}

/* Proves: a join of 0 right after the last task was waited for is TR_OK, every time (J2, O3). Why
   it matters: 0 means "is anything left?". Catches: a task that is unlinked a moment after its
   waiters are woken. */
CASE(join_of_zero_sees_the_end_that_a_wait_saw) {
  tr_registry *registry = registry_new();
  for (int round = 0; round < check_rounds(2000); round++) {
    tr_task *task = spawn(registry, "short", round % 2 ? body_returns : body_exits, NULL);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK_EQ(TR_OK, tr_join_all(registry, 0, NULL));
    CHECK_EQ(0, tr_len(registry));
    tr_task_release(task);
  }
  registry_finish(registry);
}

struct successor {
  tr_registry *registry;
  struct gate *start;
  atomic_int *alive;
  int left;
};

static int body_is_succeeded(tr_task *self, void *ctx) {
  struct successor *me = ctx;
  (void)self;
  if (me->start != NULL) gate_pass(me->start);
  if (me->left == 0) {
    atomic_store(me->alive, 0);
    return 0;
  }
  struct successor *next = malloc(sizeof *next);
  CHECK(next != NULL);
  *next = (struct successor){me->registry, NULL, me->alive, me->left - 1};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = free;
  CHECK_EQ(TR_OK, tr_spawn_with(me->registry, "successor", TR_KIND_MAINTENANCE, body_is_succeeded,
                                next, &options, NULL));
  return 0;
}

/* Proves: a join waits for tasks that are spawned while it waits, from outside and from inside,
   in a chain of 100 of which each ends right after it has spawned the next (J3).
   Why it matters: the original missed them.  Catches: waiting for a copy of the list; an early
   TR_OK between two of the chain. */
CASE(tasks_spawned_during_a_join_are_waited_for) {
  for (int round = 0; round < check_rounds(30); round++) {
    tr_registry *registry = registry_new();
    struct gate start = GATE_INIT;
    atomic_int alive = 1;
    struct successor first = {registry, &start, &alive, 100};
    CHECK_EQ(TR_OK, tr_spawn(registry, "first", TR_KIND_MAINTENANCE, body_is_succeeded, &first,
                             NULL));
    gate_await(&start, 1);
    struct join_call call;
    join_begin_asleep(&call, registry, FOREVER);
    struct gate gate = GATE_INIT;
    tr_task *outside = spawn(registry, "from outside", body_deaf, &gate);
    gate_open(&start);
    while (atomic_load(&alive)) sched_yield();
    CHECK_EQ(0, atomic_load(&call.returned));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(outside, 0, NULL));
    gate_open(&gate);
    join_end(&call);
    CHECK_EQ(TR_OK, call.status);
    CHECK_EQ(102, call.report.ended);
    CHECK_EQ(0, tr_len(registry));
    tr_task_release(outside);
    registry_finish(registry);
  }
}

/* Proves: a task spawned while a join waits and still alive at its deadline is a straggler like
   the others (J3, J4).  Why it matters: late ones are the likeliest to be late.  Catches: flags
   and counts from the list as it was at the call. */
CASE(late_tasks_are_stragglers_too) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *early = spawn(registry, "early", body_deaf, &gate);
  struct join_call call;
  join_begin_asleep(&call, registry, 300 * MS * check_scale());
  tr_task *late = spawn(registry, "late", body_deaf, &gate);
  join_end(&call);
  CHECK_EQ(TR_ERR_DEADLINE, call.status);
  CHECK_EQ(2, call.report.pending);
  CHECK_EQ(1, tr_task_is_cancelled(early));
  CHECK_EQ(1, tr_task_is_cancelled(late));
  gate_open(&gate);
  tr_task_release(early);
  tr_task_release(late);
  registry_finish(registry);
}

/* ---- The abort grace ----------------------------------------------------------------------- */

/* Proves: stragglers that end within the abort grace are aborted, the others abandoned, pending is
   both, and the array names each with its state, name, kind, id, thread and age (J4, J8). Why it
   matters: this report tells the operator which task to blame. Catches: counts taken at different
   moments; aborted ones left out of the array; states swapped. */
CASE(aborted_and_abandoned_are_distinguished) {
  tr_registry *registry = registry_with_grace(300 * MS * check_scale());
  struct gate gate = GATE_INIT, sleeping = GATE_INIT;
  tr_task *deaf[2], *sleepers[3];
  int64_t before = now_ns();
  for (int i = 0; i < 2; i++) deaf[i] = spawn(registry, "deaf", body_deaf, &gate);
  for (int i = 0; i < 3; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "obeys", TR_KIND_PEER_CONNECTION, body_obeys, &sleeping,
                             &sleepers[i]));
  gate_await(&gate, 2);
  gate_await(&sleeping, 3);
  tr_task_summary array[8] = {TR_TASK_SUMMARY_INIT};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = array;
  report.stragglers_capacity = 8;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 10 * MS, &report));
  int64_t took = now_ns() - start;
  CHECK_BETWEEN_NS(10 * MS + 300 * MS * check_scale(),
                   10 * MS + 300 * MS * check_scale() + AT_ONCE, took);
  CHECK_BETWEEN_NS(0, took, report.elapsed_ns);
  CHECK_EQ(5, report.pending);
  CHECK_EQ(3, report.aborted);
  CHECK_EQ(2, report.abandoned);
  CHECK_EQ(3, report.ended); /* all that ended while the call waited */
  CHECK_EQ(5, report.stragglers_count);
  CHECK(report.stragglers == array);
  CHECK_EQ(8, report.stragglers_capacity);
  int seen = 0;
  for (int i = 0; i < 5; i++) {
    int found = 0;
    for (int d = 0; d < 2; d++)
      if (array[i].id == tr_task_id(deaf[d])) {
        found++;
        seen |= 1 << d;
        CHECK_EQ(TR_STATE_ABANDONED, array[i].state);
        CHECK_STR("deaf", array[i].name);
        CHECK_EQ(TR_KIND_BACKGROUND_LOOP, array[i].kind);
        CHECK(thread_state(array[i].thread_id) != 0);
      }
    for (int s = 0; s < 3; s++)
      if (array[i].id == tr_task_id(sleepers[s])) {
        found++;
        seen |= 1 << (2 + s);
        CHECK_EQ(TR_STATE_ENDED, array[i].state);
        CHECK_STR("obeys", array[i].name);
        CHECK_EQ(TR_KIND_PEER_CONNECTION, array[i].kind);
      }
    CHECK_EQ(1, found);
    CHECK_EQ(sizeof array[0], array[i].size);
    CHECK(array[i].thread_id > 0 && array[i].thread_id != gettid());
    CHECK_EQ(1, array[i].cancel_requested);
    CHECK_BETWEEN_NS(10 * MS, now_ns() - before, array[i].age_ns);
    CHECK_BETWEEN_NS(before, start, array[i].spawned_at_ns);
    CHECK_BETWEEN_NS(start + 10 * MS, start + took, array[i].cancel_requested_at_ns);
  }
  CHECK_EQ(31, seen);
  CHECK_EQ(2, tr_len(registry));
  gate_open(&gate);
  for (int i = 0; i < 2; i++) tr_task_release(deaf[i]);
  for (int i = 0; i < 3; i++) tr_task_release(sleepers[i]);
  registry_finish(registry);
}

/* Proves: a join returns at once when the last straggler ends within the grace, be the grace an
   hour or the longest there is (J4).  Why it matters: the grace is a limit, not a delay.
   Catches: sleeping for the grace; an overflow of deadline plus grace. */
CASE(join_returns_with_the_last_straggler) {
  const int64_t graces[] = {3600 * SECOND, INT64_MAX, INT64_MAX - 1};
  for (size_t g = 0; g < sizeof graces / sizeof *graces; g++) {
    tr_registry *registry = registry_with_grace(graces[g]);
    struct gate sleeping = GATE_INIT, gate = GATE_INIT;
    for (int i = 0; i < 5; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "obeys", TR_KIND_RPC_HANDLER, body_obeys, &sleeping,
                               NULL));
    tr_task *last = spawn(registry, "last", body_deaf, &gate);
    gate_await(&sleeping, 5);
    struct join_call call;
    join_begin(&call, registry, g == 0 ? 0 : 5 * MS);
    while (tr_len(registry) > 1) sched_yield();            /* the obedient have gone */
    while (!tr_task_is_cancelled(last)) sched_yield();     /* and the last has its flag */
    CHECK_EQ(0, atomic_load(&call.returned));
    gate_open(&gate);
    int64_t opened = now_ns();
    join_end(&call);
    CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - opened);
    CHECK_EQ(TR_ERR_DEADLINE, call.status); /* some were alive at the deadline */
    CHECK_EQ(6, call.report.pending);
    CHECK_EQ(6, call.report.aborted);
    CHECK_EQ(0, call.report.abandoned);
    CHECK_EQ(0, tr_len(registry));
    tr_task_release(last);
    registry_finish(registry);
  }
}

/* Proves: without an abort grace the call does not wait after the deadline: a timeout of 0 returns
   at once, with every living task abandoned and flagged (J4, C3). Why it matters: 0 is the default.
   Catches: a grace that is always there; returning before the flags are up. */
CASE(without_grace_the_deadline_is_final) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[10];
  for (int i = 0; i < 10; i++) tasks[i] = spawn(registry, "deaf", body_deaf, &gate);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &report));
  CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - start);
  CHECK_EQ(10, report.pending);
  CHECK_EQ(10, report.abandoned);
  CHECK_EQ(0, report.aborted);
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(1, tr_task_is_cancelled(tasks[i]));
    tr_task_release(tasks[i]);
  }
  gate_open(&gate);
  registry_finish(registry);
}

/* Proves: the array of stragglers is filled to its capacity and never beyond, and the counts are of
   all (J8, P4). Why it matters: the number of late tasks is not known beforehand. Catches: writing
   past the array; counts cut down to it. */
CASE(straggler_array_may_be_too_small) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  for (int i = 0; i < 6; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
  gate_await(&gate, 6);
  for (uint64_t capacity = 0; capacity <= 8; capacity++) {
    tr_task_summary array[8], untouched;
    memset(array, 0x5a, sizeof array);
    memset(&untouched, 0x5a, sizeof untouched);
    array[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
    tr_join_report report = TR_JOIN_REPORT_INIT;
    report.stragglers = array;
    report.stragglers_capacity = capacity;
    CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &report));
    uint64_t expected = capacity < 6 ? capacity : 6;
    CHECK_EQ(6, report.pending);
    CHECK_EQ(expected, report.stragglers_count);
    for (uint64_t i = 0; i < expected; i++) {
      CHECK_STR("deaf", array[i].name);
      for (uint64_t j = 0; j < i; j++) CHECK(array[i].id != array[j].id);
    }
    for (uint64_t i = expected > 0 ? expected : 1; i < 8; i++)
      CHECK_EQ(0, memcmp(&array[i], &untouched, sizeof untouched));
  }
  gate_open(&gate);
  registry_finish(registry);
}

/* ---- Abandoned tasks ----------------------------------------------------------------------- */

/* Proves: an abandoned task stays counted and listed, as abandoned, until it ends; joins that time
   out still count it, and a later join, and a shutdown, can still succeed (J5, N2). Why it matters:
   in the original a straggler was detached and continued unseen. Catches: dropping it from the
   list; a registry that is spoilt by one deadline. */
CASE(abandoned_tasks_stay_tracked) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "straggler", body_deaf, &gate);
  gate_await(&gate, 1);
  for (int i = 0; i < 5; i++) {
    tr_join_report report = TR_JOIN_REPORT_INIT;
    if (i < 3)
      CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, &report));
    else
      CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_FATAL, NULL, 1 * MS, &report));
    CHECK_EQ(1, report.pending);
    CHECK_EQ(1, report.abandoned);
    CHECK_EQ(1, tr_len(registry));
    CHECK_EQ(0, tr_is_empty(registry));
    tr_task_summary summary;
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &summary));
    CHECK_EQ(TR_STATE_ABANDONED, summary.state);
    CHECK_STR("straggler", summary.name);
  }
  struct join_call call;
  join_begin_asleep(&call, registry, FOREVER);
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(1, call.report.ended);
  CHECK_EQ(0, call.report.pending);
  CHECK_EQ(0, tr_len(registry));
  CHECK_EQ(0, snapshot_count(registry));
  CHECK_EQ(1, outcome_of(task).was_cancelled);
  tr_task_release(task);
  registry_finish(registry);
}

/* ---- Several at once ----------------------------------------------------------------------- */

/* Proves: eight joins of one registry with eight deadlines are each right: the four whose time
   runs out first say DEADLINE with all pending, the other four TR_OK with all ended, each with
   its own time (J6).  Why it matters: in the original the second join returned Ok at once.
   Catches: one deadline or one report for all; a join that steals another's wake-up. */
CASE(eight_joins_at_once_are_all_right) {
  for (int round = 0; round < check_rounds(20); round++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    for (int i = 0; i < 5; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
    gate_await(&gate, 5);
    const int64_t timeouts[8] = {0,  4 * MS,    8 * MS,   12 * MS,
                                 -1, INT64_MAX, INT64_MAX - 1, 3600 * SECOND};
    struct join_call calls[8];
    for (int i = 7; i >= 4; i--) join_begin_asleep(&calls[i], registry, timeouts[i]);
    for (int i = 0; i < 4; i++) join_begin(&calls[i], registry, timeouts[i]);
    for (int i = 0; i < 4; i++) {
      join_end(&calls[i]);
      CHECK_EQ(TR_ERR_DEADLINE, calls[i].status);
      CHECK_EQ(5, calls[i].report.pending);
      CHECK_EQ(5, calls[i].report.abandoned);
      CHECK_EQ(0, calls[i].report.ended);
      CHECK_BETWEEN_NS(timeouts[i], timeouts[i] + AT_ONCE, calls[i].took);
      CHECK_BETWEEN_NS(timeouts[i], calls[i].took, calls[i].report.elapsed_ns);
    }
    for (int i = 4; i < 8; i++) CHECK_EQ(0, atomic_load(&calls[i].returned));
    gate_open(&gate);
    for (int i = 4; i < 8; i++) {
      join_end(&calls[i]);
      CHECK_EQ(TR_OK, calls[i].status);
      CHECK_EQ(5, calls[i].report.ended);
      CHECK_EQ(0, calls[i].report.pending + calls[i].report.abandoned);
      CHECK_BETWEEN_NS(0, calls[i].took, calls[i].report.elapsed_ns);
    }
    registry_finish(registry);
  }
}

/* Proves: joins and shutdowns may wait together, and a snapshot or a count taken meanwhile shows
   every living task (J6, N3).  Why it matters: in the original a snapshot was empty while
   joining.  Catches: a join that takes the list away. */
CASE(joins_and_shutdowns_wait_together) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[3];
  for (int i = 0; i < 3; i++) tasks[i] = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 3);
  struct join_call joins[3], shutdowns[2];
  for (int i = 0; i < 3; i++) join_begin_asleep(&joins[i], registry, FOREVER);
  for (int i = 0; i < 2; i++) {
    shutdown_begin(&shutdowns[i], registry, FOREVER);
    await_asleep(&shutdowns[i].tid);
  }
  CHECK_EQ(3, tr_len(registry));
  for (int i = 0; i < 3; i++) {
    tr_task_summary summary;
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(tasks[i]), &summary));
    CHECK_EQ(TR_STATE_CANCELLING, summary.state);
  }
  gate_open(&gate);
  for (int i = 0; i < 3; i++) {
    join_end(&joins[i]);
    CHECK_EQ(TR_OK, joins[i].status);
    CHECK_EQ(3, joins[i].report.ended);
  }
  for (int i = 0; i < 2; i++) {
    join_end(&shutdowns[i]);
    CHECK_EQ(TR_OK, shutdowns[i].status);
    CHECK_EQ(3, shutdowns[i].report.ended);
  }
  for (int i = 0; i < 3; i++) tr_task_release(tasks[i]);
  registry_finish(registry);
}

/* ---- From inside a task -------------------------------------------------------------------- */

struct inside {
  tr_registry *registry, *other;
  tr_task *other_task;
  struct gate *open_other;
};

static int body_joins_its_own(tr_task *self, void *ctx) {
  struct inside *inside = ctx;
  tr_join_report report = TR_JOIN_REPORT_INIT, same;
  memset((char *)&report + offsetof(tr_join_report, ended), 0x5a,
         offsetof(tr_join_report, stragglers) - offsetof(tr_join_report, ended));
  memcpy(&same, &report, sizeof same);
  const int64_t timeouts[] = {0, 1 * MS, 3600 * SECOND, -1};
  int64_t start = now_ns();
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all(inside->registry, timeouts[i], &report));
    CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all(inside->registry, timeouts[i], NULL));
    CHECK_EQ(TR_ERR_DEADLOCK,
             tr_shutdown(inside->registry, TR_REASON_FATAL, "no", timeouts[i], &report));
    tr_outcome outcome = TR_OUTCOME_INIT;
    outcome.code = 4711;
    CHECK_EQ(TR_ERR_DEADLOCK, tr_task_wait(self, timeouts[i], &outcome));
    CHECK_EQ(TR_ERR_DEADLOCK, tr_task_wait(self, timeouts[i], NULL));
    CHECK_EQ(4711, outcome.code);
  }
  CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - start);
  CHECK_EQ(0, memcmp(&report, &same, sizeof report));
  CHECK_EQ(0, tr_task_is_cancelled(self));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(inside->registry)));
  wait_and_release(spawn(inside->registry, "still open", body_returns, NULL));
  /* what would not be a wait for itself is none */
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(inside->other, 1 * MS, NULL));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(inside->other_task, 1 * MS, NULL));
  gate_open(inside->open_other);
  CHECK_EQ(TR_OK, tr_task_wait(inside->other_task, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_join_all(inside->other, FOREVER, NULL));
  CHECK_EQ(TR_OK, shutdown_fully(inside->other, TR_REASON_NONE, NULL, FOREVER, NULL));
  return 0;
}

/* Proves: joining or shutting down its own registry and waiting for itself is TR_ERR_DEADLOCK
   for a task, at once, whatever the timeout, with nothing changed: report, flags, token,
   registry; other registries and tasks can be joined and waited for (J7). Why it matters: in the
   original this burned the whole deadline. Catches: closing before the check; rejecting every
   join inside a task. */
CASE(joining_from_inside_is_a_deadlock) {
  tr_registry *registry = registry_new(), *other = registry_new();
  struct gate gate = GATE_INIT;
  struct inside inside = {registry, other, NULL, &gate};
  inside.other_task = spawn(other, "other", body_deaf, &gate);
  tr_task *task = spawn(registry, "inside", body_joins_its_own, &inside);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  tr_task_release(inside.other_task);
  tr_registry_release(other);
  registry_finish(registry);
}

static void *join_from_helper_thread(void *argument) {
  CHECK(tr_task_self() == NULL);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all((tr_registry *)argument, 1 * MS, NULL));
  return NULL;
}

static int body_joins_through_a_thread(tr_task *self, void *ctx) {
  thread_end(thread_start(join_from_helper_thread, ctx));
  CHECK_EQ(1, tr_task_is_cancelled(self)); /* that deadline was real */
  return 0;
}

/* Proves: a thread that a task has created is not a task: its join is an ordinary one, with a
   deadline (J7). Why it matters: the check is about the calling thread, not about ancestry.
   Catches: a process-wide notion of "inside". */
CASE(threads_made_by_a_task_are_outside) {
  tr_registry *registry = registry_new();
  wait_and_release(spawn(registry, "maker", body_joins_through_a_thread, registry));
  registry_finish(registry);
}

/* ---- The report ---------------------------------------------------------------------------- */

static int body_passes_then(tr_task *self, void *ctx) {
  gate_pass(ctx);
  char name[64];
  tr_task_name(self, name, sizeof name);
  if (name[0] == 'f') return 17;
  if (name[0] == 'e') pthread_exit(NULL);
  return 0;
}

/* Proves: the report counts all that ended while the call waited, failed and exited among them, the
   spawns rejected at the limit while it waited, and the time it took; a task that ended before the
   call is not counted (J8, O1). Why it matters: in the original a failed task left no trace.
   Catches: counting since creation; failed counted as exited; rejections before the call. */
CASE(report_counts_what_happened_during_the_call) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = 9;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  struct gate open = GATE_INIT, gate = GATE_INIT;
  gate_open(&open);
  const char *const names[] = {"returns", "fails", "fails", "exits", "exits", "exits",
                               "returns", "returns", "returns"};
  for (int i = 0; i < 9; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, names[i], TR_KIND_RPC_HANDLER, body_passes_then, &open,
                             NULL));
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  for (int i = 0; i < 9; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, names[i], TR_KIND_RPC_HANDLER, body_passes_then, &gate,
                             NULL));
  gate_await(&gate, 9);
  CHECK_EQ(TR_ERR_LIMIT, tr_spawn(registry, "early", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  struct join_call call;
  join_begin_asleep(&call, registry, FOREVER);
  for (int i = 0; i < 4; i++)
    CHECK_EQ(TR_ERR_LIMIT, tr_spawn(registry, "full", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(9, call.report.ended);
  CHECK_EQ(2, call.report.failed);
  CHECK_EQ(3, call.report.exited);
  CHECK_EQ(4, call.report.rejected);
  CHECK_EQ(0, call.report.pending + call.report.aborted + call.report.abandoned);
  CHECK_BETWEEN_NS(1, call.took, call.report.elapsed_ns);
  registry_finish(registry);
}

/* Proves: during a shutdown rejected spawns are counted, one by one (J8, S5). Why it matters: it
   shows which parts still spawn. Catches: counting TR_ERR_LIMIT only. */
CASE(report_counts_spawns_rejected_by_closing) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  struct join_call call;
  shutdown_begin(&call, registry, FOREVER);
  await_asleep(&call.tid);
  for (int i = 0; i < 7; i++)
    CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL,
                                     NULL));
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(7, call.report.rejected);
  CHECK_EQ(1, call.report.ended);
  tr_task_release(task);
  tr_registry_release(registry);
}

/* Proves: after a join returned TR_OK nothing is counted or listed, and every handle can be waited
   for with a timeout of 0 (J2, O3, N1). Why it matters: TR_OK means that all have ended, for every
   query. Catches: a join that wakes before the task's own waiters. */
CASE(after_a_join_every_task_has_ended_for_everyone) {
  tr_registry *registry = registry_new();
  for (int round = 0; round < check_rounds(300); round++) {
    tr_task *tasks[6];
    int code = 9;
    for (int i = 0; i < 6; i++)
      tasks[i] = i % 3 == 0   ? spawn(registry, "returns", body_returns, NULL)
                 : i % 3 == 1 ? spawn(registry, "fails", body_fails, &code)
                              : spawn(registry, "exits", body_exits, NULL);
    CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
    CHECK_EQ(0, tr_len(registry));
    CHECK_EQ(1, tr_is_empty(registry));
    CHECK_EQ(0, snapshot_count(registry));
    for (int i = 0; i < 6; i++) {
      tr_outcome outcome = TR_OUTCOME_INIT;
      CHECK_EQ(TR_OK, tr_task_wait(tasks[i], 0, &outcome));
      CHECK_EQ(TR_ENDED_RETURNED + (uint32_t)(i % 3), outcome.how);
      tr_task_release(tasks[i]);
    }
  }
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(join_of_an_empty_registry_is_immediate),
    CHECK_ENTRY(one_deadline_for_the_whole_call),
    CHECK_ENTRY(deaf_stragglers_delay_no_join),
    CHECK_ENTRY(join_is_patient_until_its_deadline),
    CHECK_ENTRY(shutdown_closes_cancels_and_joins),
    CHECK_ENTRY(finished_tasks_are_never_stragglers),
    CHECK_ENTRY(join_of_zero_sees_the_end_that_a_wait_saw),
    CHECK_ENTRY(tasks_spawned_during_a_join_are_waited_for),
    CHECK_ENTRY(late_tasks_are_stragglers_too),
    CHECK_ENTRY(aborted_and_abandoned_are_distinguished),
    CHECK_ENTRY(join_returns_with_the_last_straggler),
    CHECK_ENTRY(without_grace_the_deadline_is_final),
    CHECK_ENTRY(straggler_array_may_be_too_small),
    CHECK_ENTRY(abandoned_tasks_stay_tracked),
    CHECK_ENTRY(eight_joins_at_once_are_all_right),
    CHECK_ENTRY(joins_and_shutdowns_wait_together),
    CHECK_ENTRY(joining_from_inside_is_a_deadlock),
    CHECK_ENTRY(threads_made_by_a_task_are_outside),
    CHECK_ENTRY(report_counts_what_happened_during_the_call),
    CHECK_ENTRY(report_counts_spawns_rejected_by_closing),
    CHECK_ENTRY(after_a_join_every_task_has_ended_for_everyone))
