/* original.c - the four unit tests of the Rust original, and one case for each thing that was wrong
   with it. */

#include "support.h"

/* ---- The four ------------------------------------------------------------------------------ */

/* Proves: a registry just made is empty (G1, N1).  Why it matters: nothing is tracked before the
   first spawn.  Catches: a count that does not start at 0. */
CASE(empty_on_construction) {
  tr_registry *registry = registry_new();
  CHECK_EQ(1, tr_is_empty(registry));
  CHECK_EQ(0, tr_len(registry));
  CHECK_EQ(0, snapshot_count(registry));
  registry_finish(registry);
}

/* Proves: spawn counts the task and lists it with its name and kind (N2, S2, S3).
   Why it matters: an empty list for a running service misleads its operators.  Catches: a spawn
   that does not enter it. */
CASE(spawn_registers) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "t1", body_deaf, &gate);
  CHECK_EQ(1, tr_len(registry));
  tr_task_summary entry = TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_snapshot(registry, &entry, 1, &count));
  CHECK_EQ(1, count);
  CHECK_STR("t1", entry.name);
  CHECK_EQ(TR_KIND_BACKGROUND_LOOP, entry.kind);
  gate_open(&gate);
  tr_task_release(task);
  registry_finish(registry);
}

static int body_is_fast(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_sleep(5 * MS));
  atomic_store((atomic_int *)ctx, 1);
  return 0;
}

/* Proves: a join waits for a task that ends within its deadline, and is then TR_OK (J1).
   Why it matters: this is how a shutdown in order goes.  Catches: returning before the task has
   ended. */
CASE(join_awaits_fast_tasks) {
  tr_registry *registry = registry_new();
  atomic_int done = 0;
  tr_task *task = spawn(registry, "fast", body_is_fast, &done);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_join_all(registry, 60 * SECOND, &report));
  CHECK_EQ(1, atomic_load(&done));
  CHECK_EQ(0, report.pending);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a join does not wait beyond its deadline for a slow task, and reports it as pending
   (J4).  Why it matters: one stuck task must not hang the shutdown.  Catches: waiting for it; a
   wrong count. */
CASE(join_gives_up_on_slow_tasks) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "slow", body_obeys, &gate);
  gate_await(&gate, 1);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 20 * MS, &report));
  CHECK_EQ(1, report.pending);
  tr_task_release(task);
  registry_finish(registry);
}

/* ---- Its defects ---------------------------------------------------------------------------- */

struct ticking {
  atomic_int stop;
  atomic_int ticks;
};

static int body_ticks(tr_task *self, void *ctx) {
  struct ticking *ticking = ctx;
  (void)self;
  while (!atomic_load(&ticking->stop)) {
    atomic_fetch_add(&ticking->ticks, 1);
    sched_yield();
  }
  return 0;
}

/* Proves: a straggler that continues after the deadline is flagged, counted, named and still
   tracked (J4, J5). Why it matters: the original called it aborted, and it continued unseen.
   Catches: forgetting it. */
CASE(straggler_is_flagged_counted_named_and_tracked) {
  tr_registry *registry = registry_new();
  struct ticking ticking = {0, 0};
  tr_task *task = spawn(registry, "runs on", body_ticks, &ticking);
  tr_task_summary named[1] = {TR_TASK_SUMMARY_INIT};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = named;
  report.stragglers_capacity = 1;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 20 * MS, &report));
  int ticks = atomic_load(&ticking.ticks);
  while (atomic_load(&ticking.ticks) < ticks + 5) sched_yield();
  CHECK_EQ(1, tr_task_is_cancelled(task));
  CHECK_EQ(1, report.abandoned);
  CHECK_EQ(0, report.aborted);
  CHECK_EQ(1, report.stragglers_count);
  CHECK_STR("runs on", named[0].name);
  CHECK_EQ(tr_task_id(task), named[0].id);
  CHECK_EQ(1, tr_len(registry));
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), NULL));
  atomic_store(&ticking.stop, 1);
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: when one straggler has used up the time, tasks that had ended are not counted with it
   (J2). Why it matters: the original blamed them too. Catches: giving the remaining time to
   each. */
CASE(finished_tasks_are_not_blamed_for_a_straggler) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *straggler = spawn(registry, "straggler", body_deaf, &gate);
  tr_task *tasks[10];
  for (int i = 0; i < 10; i++) tasks[i] = spawn(registry, "finished", body_returns, NULL);
  for (int i = 0; i < 10; i++) wait_and_release(tasks[i]);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 20 * MS, &report));
  CHECK_EQ(1, report.pending);
  gate_open(&gate);
  tr_task_release(straggler);
  registry_finish(registry);
}

/* Proves: finished tasks are not kept: after thousands the list holds what lives (N1).
   Why it matters: the original kept an entry for each until the join.  Catches: appending only. */
CASE(finished_tasks_are_not_kept) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(5000); i++) {
    wait_and_release(spawn(registry, "short", body_returns, NULL));
    CHECK_EQ(0, tr_len(registry));
  }
  CHECK_EQ(0, snapshot_count(registry));
  registry_finish(registry);
}

/* Proves: a task spawned while a join waits is waited for (J3).  Why it matters: the original
   missed it.  Catches: waiting for a copy of the list. */
CASE(task_spawned_during_a_join_is_not_missed) {
  tr_registry *registry = registry_new();
  struct gate first = GATE_INIT, second = GATE_INIT;
  tr_task *early = spawn(registry, "early", body_deaf, &first);
  struct join_call call;
  join_begin_asleep(&call, registry, FOREVER);
  tr_task *late = spawn(registry, "late", body_deaf, &second);
  gate_open(&first);
  CHECK_EQ(TR_OK, tr_task_wait(early, FOREVER, NULL));
  await_asleep(&call.tid);
  CHECK_EQ(0, atomic_load(&call.returned));
  gate_open(&second);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(2, call.report.ended);
  tr_task_release(early);
  tr_task_release(late);
  registry_finish(registry);
}

/* Proves: a spawn after shutdown is rejected (S5). Why it matters: the original accepted it, and
   never joined it. Catches: a registry that does not close. */
CASE(spawn_after_shutdown_is_rejected) {
  tr_registry *registry = registry_new();
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, 0, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(0, tr_len(registry));
  tr_registry_release(registry);
}

/* Proves: a second join that runs beside a first waits as well, and a snapshot taken meanwhile
   is not empty (J6, N3).  Why it matters: the original's second join returned Ok at once, and
   its list was empty while joining.  Catches: taking the list away to join it. */
CASE(second_join_and_snapshot_see_everything) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "seen", body_deaf, &gate);
  struct join_call one, two;
  join_begin_asleep(&one, registry, FOREVER);
  join_begin_asleep(&two, registry, FOREVER);
  CHECK_EQ(0, atomic_load(&one.returned) + atomic_load(&two.returned));
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), NULL));
  gate_open(&gate);
  join_end(&one);
  join_end(&two);
  CHECK_EQ(TR_OK, one.status);
  CHECK_EQ(TR_OK, two.status);
  CHECK_EQ(1, one.report.ended);
  CHECK_EQ(1, two.report.ended);
  tr_task_release(task);
  registry_finish(registry);
}

static int body_joins(tr_task *self, void *ctx) {
  (void)self;
  return tr_join_all(ctx, 3600 * SECOND, NULL) == TR_ERR_DEADLOCK ? 0 : 1;
}

/* Proves: a join from inside a task fails at once (J7). Why it matters: the original burned the
   whole deadline. Catches: waiting for itself. */
CASE(join_from_inside_is_rejected_at_once) {
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "inside", body_joins, registry);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a child token has a reason of its own and leaves its parent's alone (C2).
   Why it matters: in the original the child's overwrote the parent's.  Catches: one reason
   shared by both. */
CASE(child_reason_does_not_overwrite_the_parents) {
  tr_token *parent = tr_token_create(), *child = tr_token_child(parent);
  CHECK_EQ(1, tr_token_cancel(child, TR_REASON_FATAL, "child"));
  CHECK_EQ(TR_REASON_NONE, tr_token_reason(parent));
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_USER_REQUESTED, "parent"));
  CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(parent));
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(child));
  tr_token_release(child);
  tr_token_release(parent);
}

/* Proves: a failed task and one that left by pthread_exit show in the report and in their
   outcomes (O2, J8, O1).  Why it matters: in the original they left no trace.  Catches: counting
   ends only. */
CASE(failures_leave_a_trace) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *keeper = spawn(registry, "keeper", body_deaf, &gate);
  struct join_call call;
  join_begin_asleep(&call, registry, FOREVER);
  int code = 13;
  tr_task *failed = spawn(registry, "failed", body_fails, &code);
  tr_task *exited = spawn(registry, "exited", body_exits, NULL);
  CHECK_EQ(13, outcome_of(failed).code);
  CHECK_EQ(TR_ENDED_EXITED, outcome_of(exited).how);
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(3, call.report.ended);
  CHECK_EQ(1, call.report.failed);
  CHECK_EQ(1, call.report.exited);
  tr_task_release(keeper);
  tr_task_release(failed);
  tr_task_release(exited);
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(empty_on_construction),
    CHECK_ENTRY(spawn_registers),
    CHECK_ENTRY(join_awaits_fast_tasks),
    CHECK_ENTRY(join_gives_up_on_slow_tasks),
    CHECK_ENTRY(straggler_is_flagged_counted_named_and_tracked),
    CHECK_ENTRY(finished_tasks_are_not_blamed_for_a_straggler),
    CHECK_ENTRY(finished_tasks_are_not_kept),
    CHECK_ENTRY(task_spawned_during_a_join_is_not_missed),
    CHECK_ENTRY(spawn_after_shutdown_is_rejected),
    CHECK_ENTRY(second_join_and_snapshot_see_everything),
    CHECK_ENTRY(join_from_inside_is_rejected_at_once),
    CHECK_ENTRY(child_reason_does_not_overwrite_the_parents),
    CHECK_ENTRY(failures_leave_a_trace))
