/* essential.c - tasks whose end is the end of their registry. Rule C12, with C1, S6, J4, O3, P1. */

#include "support.h"

#include "forking.h"

static const uint32_t essential_flags[] = {TR_SPAWN_ESSENTIAL, TR_SPAWN_ESSENTIAL_ON_FAILURE};

static tr_task *spawn_essential(tr_registry *registry, const char *name, uint32_t flags,
                                tr_task_fn body, void *ctx) {
  return spawn_drop(registry, name, body, ctx, NULL, flags);
}

/* Check that `token` was cancelled with `reason` and `message`. */
static void check_cancelled_with(tr_token *token, tr_reason reason, const char *message) {
  char text[256];
  CHECK_EQ(1, tr_token_is_cancelled(token));
  CHECK_EQ(reason, tr_token_reason(token));
  CHECK_EQ(strlen(message), tr_token_message(token, text, sizeof text));
  CHECK_STR(message, text);
}

/* Proves: each end of an essential task cancels the registry's token with the task's name,
   returning 0 with REQUESTED_BY_RUN and the others with FATAL; with the option for failures a
   return cancels nothing; the other tasks stop, and the task's own flag and outcome say that it was
   not asked to (C12). Why it matters: the report names the task to blame, which was not stopped but
   caused the stop. Catches: a reason for all ends; the flag of the task itself raised by its own
   end. */
CASE(the_end_of_an_essential_task_cancels_the_token) {
  int code = 7;
  struct {
    tr_task_fn body;
    uint32_t how;
    tr_reason reason;
  } ends[] = {{body_returns, TR_ENDED_RETURNED, TR_REASON_REQUESTED_BY_RUN},
              {body_fails, TR_ENDED_FAILED, TR_REASON_FATAL},
              {body_exits, TR_ENDED_EXITED, TR_REASON_FATAL}};
  for (int option = 0; option < 2; option++)
    for (int end = 0; end < 3; end++) {
      tr_registry *registry = registry_new();
      tr_token *token = tr_registry_token(registry);
      struct gate gate = GATE_INIT;
      tr_task *other = spawn(registry, "other", body_obeys, &gate);
      gate_await(&gate, 1);
      tr_task *task =
          spawn_essential(registry, "main loop", essential_flags[option], ends[end].body, &code);
      tr_outcome outcome = outcome_of(task);
      CHECK_EQ(ends[end].how, outcome.how);
      CHECK_EQ(0, outcome.was_cancelled);
      CHECK_EQ(0, tr_task_is_cancelled(task));
      if (option == 1 && end == 0) {
        CHECK_EQ(0, tr_token_is_cancelled(token));
        CHECK_EQ(0, tr_task_is_cancelled(other));
      } else {
        check_cancelled_with(token, ends[end].reason, "main loop");
        CHECK_EQ(1, outcome_of(other).was_cancelled);
        CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_MAINTENANCE, body_never, NULL, NULL));
      }
      tr_task_release(task);
      registry_finish(registry);
      tr_task_release(other);
    }
}

/* Proves: an essential task that was asked to stop before it ended says so, and a token that was
   cancelled before keeps its reason and message (C12, C1).  Why it matters: in an ordinary shutdown
   every essential task ends, and none of them is why.  Catches: the first end taken for the cause. */
CASE(a_token_cancelled_before_keeps_its_reason) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn_essential(registry, "obeys", TR_SPAWN_ESSENTIAL, body_obeys, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "signal"));
  CHECK_EQ(1, outcome_of(task).was_cancelled);
  tr_task_release(task);
  check_cancelled_with(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "signal");
  registry_finish(registry);
}

/* Proves: only the registry's own token is cancelled, and its descendants: not its parent, and the
   tasks of other registries linked to the same token (C12, C2, G2). Why it matters: the end of one
   part must not end the process. Catches: cancelling the root. */
CASE(the_cancel_goes_down_not_up) {
  tr_token *root = tr_token_create(), *part = tr_token_child(root);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.token = part;
  tr_registry *one = NULL, *two = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &one));
  CHECK_EQ(TR_OK, create_registry(&options, &two));
  struct gate gate = GATE_INIT;
  tr_task *other = spawn(two, "other", body_obeys, &gate);
  gate_await(&gate, 1);
  wait_and_release(spawn_essential(one, "part", TR_SPAWN_ESSENTIAL, body_returns, NULL));
  CHECK_EQ(1, tr_task_is_cancelled(other));
  CHECK_EQ(0, tr_token_is_cancelled(root));
  wait_and_release(other);
  registry_finish(one);
  registry_finish(two);
  tr_token_release(part);
  tr_token_release(root);
}

/* Proves: once the end of an essential task is observable, by a wait, a snapshot or the count, the
   token is cancelled and every flag is up (C12). Why it matters: code that sees the main loop gone
   and spawns a replacement must be rejected. Catches: cancelling when the task has left the list;
   counting the end first. */
CASE(the_flags_are_up_before_the_end_can_be_learnt_of) {
  enum { others = 40 };
  for (int round = 0; round < check_rounds(300); round++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT, start = GATE_INIT;
    tr_task *tasks[others];
    for (int i = 0; i < others; i++) tasks[i] = spawn(registry, "other", body_deaf, &gate);
    tr_task *task = spawn_essential(registry, "main", TR_SPAWN_ESSENTIAL, body_deaf, &start);
    uint64_t id = tr_task_id(task);
    gate_await(&start, 1);
    gate_open(&start);
    switch (round % 3) {
      case 0: CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL)); break;
      case 1: while (find_in_snapshot(registry, id, NULL)) continue; break;
      default: while (tr_len(registry) > others) continue;
    }
    CHECK_EQ(1, tr_token_is_cancelled(tr_registry_token(registry)));
    for (int i = 0; i < others; i++) CHECK_EQ(1, tr_task_is_cancelled(tasks[i]));
    tr_task_release(task);
    gate_open(&gate);
    registry_finish(registry);
    for (int i = 0; i < others; i++) tr_task_release(tasks[i]);
  }
}

/* The observations of a callback, on the thread that cancels. */
struct finding {
  struct gate gate;
  tr_registry *registry;
  tr_task *self;
  tr_status join, spawned;
  pid_t tid;
};

static void callback_looks(void *ctx) {
  struct finding *finding = ctx;
  finding->self = tr_task_self();
  finding->tid = gettid();
  finding->join = tr_join_all(finding->registry, 0, NULL);
  finding->spawned =
      tr_spawn(finding->registry, "late", TR_KIND_MAINTENANCE, body_never, NULL, NULL);
  gate_pass(&finding->gate);
}

/* Proves: callbacks on the token run on the essential task's thread while it is still alive: inside
   the task, listed and counted; a wait for it meanwhile has its timeout, and a join its deadline,
   with the task as its straggler (C12, C7, O3, J4, J7). Why it matters: a slow callback would
   disable all timeouts. Catches: a task that is neither alive nor ended while callbacks run. */
CASE(callbacks_of_the_token_run_within_the_task) {
  tr_registry *registry = registry_new();
  struct finding finding = {GATE_INIT, registry, NULL, TR_OK, TR_OK, 0};
  tr_registration *registration;
  CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), callback_looks, &finding, NULL,
                                     &registration));
  tr_task *task = spawn_essential(registry, "main", TR_SPAWN_ESSENTIAL, body_returns, NULL);
  gate_await(&finding.gate, 1);
  CHECK_EQ(1, tr_len(registry));
  tr_task_summary found;
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &found));
  CHECK_EQ(TR_STATE_RUNNING, found.state);
  CHECK_EQ(finding.tid, found.thread_id);
  CHECK_EQ(0, tr_task_is_cancelled(task));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 10 * MS, NULL));
  tr_join_report report = TR_JOIN_REPORT_INIT;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 10 * MS, &report));
  CHECK_BETWEEN_NS(10 * MS, AT_ONCE, now_ns() - start);
  CHECK_EQ(1, report.pending);
  CHECK_EQ(1, report.abandoned);
  gate_open(&finding.gate);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK(finding.self == task);
  CHECK_EQ(TR_ERR_DEADLOCK, finding.join);
  CHECK_EQ(TR_ERR_CLOSED, finding.spawned);
  tr_registration_remove(registration);
  tr_task_release(task);
  registry_finish(registry);
}

static void callback_ends_the_thread(void *ctx) {
  (void)ctx;
  pthread_exit(NULL);
}

static void end_the_thread_from_a_callback(void) {
  tr_registry *registry = registry_new();
  tr_registration *registration;
  CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), callback_ends_the_thread, NULL,
                                     NULL, &registration));
  tr_task *task = spawn_essential(registry, "main", TR_SPAWN_ESSENTIAL, body_returns, NULL);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK_EQ(0, tr_len(registry));
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  check_cancelled_with(tr_registry_token(registry), TR_REASON_REQUESTED_BY_RUN, "main");
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
}

/* Proves: a callback that leaves the thread of an essential task, against the rules, loses no end:
   the task has returned, is counted once, and the registry can be joined (C12, O1). Why it matters:
   a join that hangs hides the mistake. Catches: an end that is carried out twice, or not at all. In
   a process of its own, as what the callback leaves behind is lost. */
CASE(a_callback_that_ends_the_thread_ends_no_join) {
  CHECK_EXITED(0, status_of_role("callback-exits", NULL));
}

/* The observations of a callback that forks. */
struct forking {
  pid_t child;
  atomic_int later;
};

static void callback_forks(void *ctx) {
  struct forking *forking = ctx;
  forking->child = fork();
  CHECK(forking->child >= 0);
  if (forking->child == 0) begin_as_child();
}

static void callback_comes_later(void *ctx) { atomic_fetch_add(&((struct forking *)ctx)->later, 1); }

static void drop_in_one_process(void *ctx) {
  if (getpid() != *(const pid_t *)ctx) _exit(3);
}

/* Proves: when a callback on an essential task's thread forks, the parent continues as usual, and
   in the child nothing else runs: no other callback, and its thread ends (C12, P1). Why it matters:
   the child has locks that no thread releases. Catches: the end of the task carried on in the
   child. */
CASE(a_callback_may_fork) {
  tr_registry *registry = registry_new();
  struct forking forking = {-1, 0};
  tr_registration *first, *second;
  tr_token *token = tr_registry_token(registry);
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, callback_comes_later, &forking, NULL, &second));
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, callback_forks, &forking, NULL, &first));
  pid_t own = getpid();
  tr_task *task = spawn_drop(registry, "main", body_returns, &own, drop_in_one_process,
                             TR_SPAWN_ESSENTIAL);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK_EQ(1, atomic_load(&forking.later));
  int status;
  while (waitpid(forking.child, &status, 0) < 0) CHECK(errno == EINTR);
  CHECK_EXITED(0, status);
  tr_registration_remove(first);
  tr_registration_remove(second);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: an essential task that is rejected, at the limit or by a closed registry, has no effect,
   and neither has the next task in its record (C12, S6). Why it matters: a spawn that failed did
   not happen. Catches: prepared state left in the record. */
CASE(a_rejected_spawn_has_no_effect) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = 1;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  tr_spawn_options essential = TR_SPAWN_OPTIONS_INIT;
  essential.flags = TR_SPAWN_ESSENTIAL;
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "one", body_deaf, &gate);
  for (int i = 0; i < 10; i++)
    CHECK_EQ(TR_ERR_LIMIT, tr_spawn_with(registry, "two", TR_KIND_MAINTENANCE, body_never, NULL,
                                         &essential, NULL));
  gate_open(&gate);
  wait_and_release(task);
  for (int i = 0; i < 10; i++) wait_and_release(spawn(registry, "three", body_exits, NULL));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  wait_and_release(spawn_essential(registry, "four", TR_SPAWN_ESSENTIAL, body_returns, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn_with(registry, "five", TR_KIND_MAINTENANCE, body_never, NULL,
                                        &essential, NULL));
  check_cancelled_with(tr_registry_token(registry), TR_REASON_REQUESTED_BY_RUN, "four");
  registry_finish(registry);
}

/* Proves: with both options any end counts, and an essential clean-up task is one like the others
   (C12, S5).  Why it matters: options are combined.  Catches: the weaker option winning. */
CASE(options_may_be_combined) {
  uint32_t flags[] = {TR_SPAWN_ESSENTIAL | TR_SPAWN_ESSENTIAL_ON_FAILURE,
                      TR_SPAWN_ESSENTIAL | TR_SPAWN_CLEANUP,
                      TR_SPAWN_ESSENTIAL | TR_SPAWN_FRESH_THREAD};
  for (int i = 0; i < 3; i++) {
    tr_registry *registry = registry_new();
    wait_and_release(spawn_essential(registry, "main", flags[i], body_returns, NULL));
    check_cancelled_with(tr_registry_token(registry), TR_REASON_REQUESTED_BY_RUN, "main");
    registry_finish(registry);
  }
}

static const struct check_case cases[] = {
    CHECK_ENTRY(the_end_of_an_essential_task_cancels_the_token),
    CHECK_ENTRY(a_token_cancelled_before_keeps_its_reason),
    CHECK_ENTRY(the_cancel_goes_down_not_up),
    CHECK_ENTRY(the_flags_are_up_before_the_end_can_be_learnt_of),
    CHECK_ENTRY(callbacks_of_the_token_run_within_the_task),
    CHECK_ENTRY(a_callback_that_ends_the_thread_ends_no_join),
    CHECK_ENTRY(a_callback_may_fork),
    CHECK_ENTRY(a_rejected_spawn_has_no_effect),
    CHECK_ENTRY(options_may_be_combined)};

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "--role") == 0) {
    CHECK_STR("callback-exits", argv[2]);
    end_the_thread_from_a_callback();
    _exit(0);
  }
  return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
