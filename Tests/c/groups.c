/* groups.c - registries inside registries: their tokens, counts, lists, joins and rejections. Rules
   T1 to T5, with C2, C7, C12, G4, J3, J4, J7, J8, N3, O2, S5, S6, S7. */

#include "groups.h"

/* ---- Tokens -------------------------------------------------------------------------------- */

/* Proves: a group has a token of its own; cancelling it stops the group and the groups inside it,
   but no ancestor or sibling; cancelling the root registry's stops all, with its reason, but those
   that were stopped before keep theirs; a group of a stopped one is created stopped and closed (T1,
   C2). Why it matters: one part of a server is shut down, or all of it. Catches: a group linked to
   its parent's token. */
CASE(a_cancel_goes_down_and_not_up) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  tr_task *tasks[TREE];
  for (int i = 0; i < TREE; i++) {
    tasks[i] = spawn(tree[i], "obeys", body_obeys, &gate);
    for (int j = 0; j < i; j++) CHECK(token_of(tree[i]) != token_of(tree[j]));
  }
  gate_await(&gate, TREE);
  CHECK_EQ(1, tr_token_cancel(token_of(tree[NET]), TR_REASON_RELOAD_REQUESTED, "new peers"));
  for (int i = 0; i < TREE; i++) {
    int stopped = i == NET || i == PEERS;
    CHECK_EQ(stopped, is_stopped(tree[i]));
    CHECK_EQ(stopped, tr_task_is_cancelled(tasks[i]));
    CHECK_EQ(stopped ? TR_ERR_CLOSED : TR_OK, tr_spawn(tree[i], "late", TR_KIND_RPC_HANDLER,
                                                       stopped ? body_never : body_returns, NULL, NULL));
  }
  CHECK_EQ(TR_REASON_RELOAD_REQUESTED, tr_token_reason(token_of(tree[PEERS])));
  CHECK_EQ(TR_OK, tr_join_all(tree[NET], FOREVER, NULL));
  CHECK_EQ(1, tr_token_cancel(token_of(tree[TOP]), TR_REASON_USER_REQUESTED, "all"));
  for (int i = 0; i < TREE; i++) CHECK_EQ(1, tr_task_is_cancelled(tasks[i]));
  CHECK_EQ(TR_REASON_RELOAD_REQUESTED, tr_token_reason(token_of(tree[NET])));
  CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(token_of(tree[STORAGE])));
  tr_registry *late = group_new(tree[STORAGE], "late");
  CHECK_EQ(1, is_stopped(late));
  CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(token_of(late)));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(late, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  tr_registry_release(late);
  for (int i = 0; i < TREE; i++) wait_and_release(tasks[i]);
  tree_finish(tree);
}

/* Proves: an essential task of a group that ends stops its group and the groups inside it, and
   neither the parent nor a sibling (C12, T1). Why it matters: a task that is essential for the
   network is not for the rest. Catches: cancelling the root registry's token. */
CASE(an_essential_task_stops_its_group_alone) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn_drop(tree[NET], "listener", body_deaf, &gate, NULL, TR_SPAWN_ESSENTIAL);
  tr_task *peer = spawn(tree[PEERS], "peer", body_obeys, NULL);
  tr_task *beside = spawn(tree[STORAGE], "beside", body_obeys, NULL);
  gate_open(&gate);
  wait_and_release(task);
  CHECK_EQ(1, is_stopped(tree[NET]));
  CHECK_EQ(TR_REASON_REQUESTED_BY_RUN, tr_token_reason(token_of(tree[PEERS])));
  wait_and_release(peer);
  CHECK_EQ(0, is_stopped(tree[TOP]));
  CHECK_EQ(0, is_stopped(tree[STORAGE]));
  CHECK_EQ(0, tr_task_is_cancelled(beside));
  tr_task_release(beside);
  tree_finish(tree);
}

/* ---- Counting and listing ------------------------------------------------------------------- */

/* Proves: a task is counted in its group and in each ancestor, and nowhere else, from the moment
   spawn returns until its completion becomes observable (T2, N1). Why it matters: a status page
   shows `tr_len` of the root registry. Catches: an end that is counted only in the group. */
CASE(tasks_count_at_every_level_above) {
  tr_registry *tree[TREE];
  tree_new(tree);
  check_lengths(tree, 0, 0, 0, 0);
  struct gate gates[TREE] = {GATE_INIT, GATE_INIT, GATE_INIT, GATE_INIT};
  tr_task *tasks[TREE];
  tasks[PEERS] = spawn(tree[PEERS], "peer", body_deaf, &gates[PEERS]);
  check_lengths(tree, 1, 1, 1, 0);
  tasks[TOP] = spawn(tree[TOP], "top", body_deaf, &gates[TOP]);
  check_lengths(tree, 2, 1, 1, 0);
  tasks[STORAGE] = spawn(tree[STORAGE], "storage", body_deaf, &gates[STORAGE]);
  check_lengths(tree, 3, 1, 1, 1);
  tasks[NET] = spawn(tree[NET], "net", body_deaf, &gates[NET]);
  check_lengths(tree, 4, 2, 1, 1);
  gate_open(&gates[PEERS]);
  wait_and_release(tasks[PEERS]);
  check_lengths(tree, 3, 1, 0, 1);
  gate_open(&gates[TOP]);
  wait_and_release(tasks[TOP]);
  check_lengths(tree, 2, 1, 0, 1);
  gate_open(&gates[NET]);
  wait_and_release(tasks[NET]);
  check_lengths(tree, 1, 0, 0, 1);
  gate_open(&gates[STORAGE]);
  wait_and_release(tasks[STORAGE]);
  check_lengths(tree, 0, 0, 0, 0);
  tree_finish(tree);
}

/* Proves: every registry lists its tasks and those of groups inside it with the path of their
   group, during a join as well, and a group does not list tasks of ancestors or siblings (T3, N3).
   Why it matters: the list is what says where a task belongs. Catches: the path of the registry
   that is listed instead of the task's own. */
CASE(tasks_are_listed_with_the_path_of_their_group) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  tr_task *tasks[TREE];
  for (int i = 0; i < TREE; i++) tasks[i] = spawn(tree[i], "task", body_deaf, &gate);
  gate_await(&gate, TREE);
  struct join_call call;
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < TREE; i++) {
      tr_task_summary entry = entry_of(tree[i], tasks[i]);
      CHECK_STR(paths[i], entry.group);
      CHECK_STR("task", entry.name);
      check_path(paths[i], tree[TOP], tasks[i]);
    }
    check_path("net/peers", tree[NET], tasks[PEERS]);
    CHECK_EQ(0, find_in_snapshot(tree[NET], tr_task_id(tasks[TOP]), NULL));
    CHECK_EQ(0, find_in_snapshot(tree[NET], tr_task_id(tasks[STORAGE]), NULL));
    CHECK_EQ(0, find_in_snapshot(tree[PEERS], tr_task_id(tasks[NET]), NULL));
    if (round == 0) join_begin_asleep(&call, tree[TOP], FOREVER);
  }
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(TREE, call.report.ended);
  for (int i = 0; i < TREE; i++) tr_task_release(tasks[i]);
  tree_finish(tree);
}

/* Proves: 127 bytes of a path are kept, cut at a character boundary, and nothing is appended to a
   path that was cut (T3). Why it matters: half a character breaks programs that print the list, and
   a wrong path is worse than a short one. Catches: a name appended to a path that was cut before
   its last bytes. */
CASE(long_paths_are_cut_at_a_character) {
  char name[2][64], path[256];
  memset(name, 0, sizeof name);
  memset(name[0], 'a', 63);
  for (int i = 0; i < 21; i++) memcpy(name[1] + 3 * i, "\xE2\x82\xAC", 3);
  tr_registry *registry = registry_new();
  tr_registry *first = group_new(registry, name[0]);
  tr_registry *second = group_new(first, "x"); /* 65 bytes: 20 euros fit behind them, and a slash */
  tr_registry *third = group_new(second, name[1]);
  tr_registry *fourth = group_new(third, "b");
  struct gate gate = GATE_INIT;
  tr_task *tasks[4] = {spawn(first, "t", body_deaf, &gate), spawn(second, "t", body_deaf, &gate),
                       spawn(third, "t", body_deaf, &gate), spawn(fourth, "t", body_deaf, &gate)};
  check_path(name[0], registry, tasks[0]);
  snprintf(path, sizeof path, "%s/x", name[0]);
  check_path(path, registry, tasks[1]);
  snprintf(path, sizeof path, "%s/x/%.60s", name[0], name[1]);
  CHECK_EQ(126, strlen(path));
  check_path(path, registry, tasks[2]);
  check_path(path, registry, tasks[3]);
  gate_open(&gate);
  for (int i = 0; i < 4; i++) tr_task_release(tasks[i]);
  registry_finish(registry);
  tr_registry_release(first);
  tr_registry_release(second);
  tr_registry_release(third);
  tr_registry_release(fourth);
}

enum { FIXED = 12 };

struct coming_and_going {
  tr_registry *parents[4];
  atomic_int *stop;
  unsigned seed;
  uint64_t made;
};

/* Makes groups, spawns in them, and gives them back, now before and now after their task has ended. */
static void *come_and_go(void *argument) {
  struct coming_and_going *self = argument;
  unsigned random = self->seed;
  while (!atomic_load(self->stop)) {
    random = random * 1664525u + 1013904223u;
    tr_registry *outer = group_new(self->parents[random >> 30], "outer");
    tr_registry *inner = group_new(outer, "inner");
    /* Most have no task: the test looks for a group at the moment that it is freed. */
    tr_task *task = NULL;
    if ((random >> 24 & 7) == 0)
      task = spawn(random >> 29 & 1 ? inner : outer, "short", body_returns, NULL);
    tr_registry_release(random >> 27 & 1 ? inner : outer);
    if (task != NULL) wait_and_release(task);
    tr_registry_release(random >> 27 & 1 ? outer : inner);
    self->made += 2;
  }
  return NULL;
}

/* Proves: while four threads make groups at three levels and give them back, each of twelve tasks in
   groups that stay is in every snapshot exactly once (N3, T3).  Why it matters: the tree is walked
   without stopping anyone.  Catches: a walk that ends at a group that is about to be freed. */
CASE(groups_that_stay_are_listed_while_others_come_and_go) {
  tr_registry *tree[TREE], *groups[FIXED];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  tr_task *tasks[FIXED];
  for (int i = 0; i < FIXED; i++) {
    char name[16];
    snprintf(name, sizeof name, "fixed-%d", i);
    groups[i] = group_new(i < 4 ? tree[i] : groups[i - 4], name);
    tasks[i] = spawn(groups[i], name, body_deaf, &gate);
  }
  atomic_int stop = 0;
  struct coming_and_going threads_of[4];
  pthread_t threads[4];
  for (unsigned i = 0; i < 4; i++) {
    threads_of[i] = (struct coming_and_going){{tree[TOP], tree[PEERS], groups[2], groups[9]}, &stop,
                                              i * 7919 + 1, 0};
    threads[i] = thread_start(come_and_go, &threads_of[i]);
  }
  size_t capacity = 4096;
  tr_task_summary *list = calloc(capacity, sizeof *list);
  CHECK(list != NULL);
  int others = 0; /* a list had some that come and go: on a busy machine that takes longer */
  for (int round = 0; round < check_rounds(30000) || !others; round++) {
    size_t count = 0;
    int seen[FIXED] = {0};
    list[0].size = sizeof list[0];
    CHECK_EQ(TR_OK, tr_snapshot(tree[TOP], list, capacity, &count));
    for (size_t i = 0; i < count; i++)
      for (int t = 0; t < FIXED; t++) seen[t] += list[i].id == tr_task_id(tasks[t]);
    for (int t = 0; t < FIXED; t++) CHECK_MSG(seen[t] == 1, "task %d: %d times", t, seen[t]);
    others |= count > FIXED;
  }
  atomic_store(&stop, 1);
  uint64_t made = 0;
  for (int i = 0; i < 4; i++) {
    thread_end(threads[i]);
    made += threads_of[i].made;
  }
  CHECK(made > 0);
  free(list);
  CHECK_EQ(FIXED, tr_len(tree[TOP]));
  gate_open(&gate);
  for (int i = 0; i < FIXED; i++) {
    tr_task_release(tasks[i]);
    tr_registry_release(groups[i]);
  }
  tree_finish(tree);
}

/* ---- Joining -------------------------------------------------------------------------------- */

/* Proves: when a join at any level has returned, the tasks it waited for are counted as ended at
   every other, too (T2). Why it matters: a program that has joined a part checks the whole next.
   Catches: joins that read a count which is not the last to be written. */
CASE(a_join_that_returned_finds_nothing_counted_elsewhere) {
  tr_registry *tree[TREE];
  tree_new(tree);
  for (int i = 0; i < check_rounds(20000); i++) {
    CHECK_EQ(TR_OK, tr_spawn(tree[PEERS], "brief", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL));
    CHECK_EQ(TR_OK, tr_join_all(tree[i % 3 == 0 ? PEERS : i % 3 == 1 ? NET : TOP], FOREVER, NULL));
    for (int level = TOP; level <= PEERS; level++) CHECK_EQ(0, tr_len(tree[level]));
  }
  tree_finish(tree);
}

/* Proves: a join of the parent waits for tasks of its groups, for a group that is made meanwhile
   and for its task, and the end of that task, which is the last, wakes it; a join of the group
   waits only for its own (J3, T1, T2). Why it matters: the parent's join is the program's last
   line. Catches: waking only the joiners of the task's own group. */
CASE(a_join_waits_for_groups_made_meanwhile) {
  for (int round = 0; round < check_rounds(50); round++) {
    tr_registry *registry = registry_new();
    tr_registry *first = group_new(registry, "first");
    struct gate gates[2] = {GATE_INIT, GATE_INIT};
    tr_task *task = spawn(first, "task", body_deaf, &gates[0]);
    struct join_call above, here;
    join_begin_asleep(&above, registry, FOREVER);
    join_begin_asleep(&here, first, FOREVER);
    tr_registry *second = group_new(registry, "second");
    tr_registry *third = group_new(second, "third");
    CHECK_EQ(TR_OK, tr_spawn(third, "late", TR_KIND_RPC_HANDLER, body_deaf, &gates[1], NULL));
    tr_registry_release(third);
    tr_registry_release(second);
    gate_open(&gates[0]);
    join_end(&here);
    CHECK_EQ(TR_OK, here.status);
    CHECK_EQ(1, here.report.ended);
    CHECK_EQ(0, atomic_load(&above.returned));
    CHECK_EQ(1, tr_len(registry));
    gate_open(&gates[1]);
    join_end(&above);
    CHECK_EQ(TR_OK, above.status);
    CHECK_EQ(2, above.report.ended);
    tr_task_release(task);
    tr_registry_release(first);
    registry_finish(registry);
  }
}

struct kept_event {
  pthread_mutex_t lock;
  int events, deadlines;
  char message[512];
};

#define KEPT_EVENT_INIT                                                                            \
  { PTHREAD_MUTEX_INITIALIZER, 0, 0, {0} }

static void keep_event(void *log_context, const tr_log_event *event) {
  struct kept_event *kept = log_context;
  pthread_mutex_lock(&kept->lock);
  kept->events++;
  if (event->event == TR_EVENT_DEADLINE_EXCEEDED) {
    kept->deadlines++;
    snprintf(kept->message, sizeof kept->message, "%s", event->message);
  }
  pthread_mutex_unlock(&kept->lock);
}

/* Proves: at the deadline of a join each task of the groups inside is a straggler once, with its
   path in the report and in the log event, flagged and abandoned, while tokens stay as they are;
   the join of a group names only its own (T2, T3, J4, J8, O2). Why it matters: "net/peers/reader"
   identifies the task. Catches: visiting only the records of the joined registry; names without
   paths. */
CASE(stragglers_in_groups_are_named_with_their_paths) {
  struct kept_event kept = KEPT_EVENT_INIT;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = keep_event;
  options.log_context = &kept;
  tr_registry *tree[TREE], *top = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &top));
  tree_below(top, tree);
  struct gate gate = GATE_INIT;
  tr_task *tasks[TREE];
  for (int i = 0; i < TREE; i++) tasks[i] = spawn(tree[i], "deaf", body_deaf, &gate);
  gate_await(&gate, TREE);
  tr_task_summary array[8] = {TR_TASK_SUMMARY_INIT};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = array;
  report.stragglers_capacity = 8;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(tree[NET], 0, &report));
  CHECK_EQ(2, report.pending);
  CHECK_EQ(0, tr_task_is_cancelled(tasks[TOP]) + tr_task_is_cancelled(tasks[STORAGE]));
  CHECK_EQ(1, tr_task_is_cancelled(tasks[NET]) & tr_task_is_cancelled(tasks[PEERS]));
  CHECK(strstr(kept.message, " net/deaf") != NULL);
  CHECK(strstr(kept.message, " net/peers/deaf") != NULL);
  CHECK(strstr(kept.message, "storage") == NULL);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(tree[TOP], 0, &report));
  CHECK_EQ(TREE, report.pending);
  CHECK_EQ(TREE, report.abandoned);
  CHECK_EQ(TREE, report.stragglers_count);
  for (int i = 0; i < TREE; i++) {
    int times = 0;
    for (int s = 0; s < TREE; s++) {
      if (array[s].id != tr_task_id(tasks[i])) continue;
      times++;
      CHECK_STR(paths[i], array[s].group);
      CHECK_STR("deaf", array[s].name);
      CHECK_EQ(TR_STATE_ABANDONED, array[s].state);
    }
    CHECK_EQ(1, times);
    CHECK_EQ(1, tr_task_is_cancelled(tasks[i]));
    CHECK_EQ(0, is_stopped(tree[i]));
    CHECK_EQ(TR_STATE_ABANDONED, entry_of(tree[TOP], tasks[i]).state);
  }
  CHECK(strstr(kept.message, "4 tasks alive") != NULL);
  CHECK(strstr(kept.message, " storage/deaf") != NULL);
  CHECK_EQ(2, kept.deadlines);
  check_lengths(tree, 4, 2, 1, 1);
  gate_open(&gate);
  for (int i = 0; i < TREE; i++) wait_and_release(tasks[i]);
  tree_finish(tree);
}

/* Proves: with an abort grace tasks of groups are aborted or abandoned, each once, even if the
   group's last reference is gone and only its task keeps it; they are listed with their paths (J4,
   J8, T2, T6). Why it matters: the report has to add up, and to outlive what it reports. Catches:
   counting a straggler at each level; under AddressSanitizer, listing it after its reference is
   released. */
CASE(aborted_and_abandoned_add_up_across_groups) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.abort_grace_ns = 300 * MS * check_scale();
  tr_registry *tree[TREE], *top = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &top));
  tree_below(top, tree);
  struct gate deaf = GATE_INIT, sleeping = GATE_INIT;
  for (int i = 0; i < TREE; i++)
    CHECK_EQ(TR_OK, tr_spawn(tree[i], "obeys", TR_KIND_RPC_HANDLER, body_obeys, &sleeping, NULL));
  tr_registry *forgotten = group_new(tree[PEERS], "forgotten");
  CHECK_EQ(TR_OK, tr_spawn(forgotten, "obeys", TR_KIND_RPC_HANDLER, body_obeys, &sleeping, NULL));
  tr_registry_release(forgotten);
  CHECK_EQ(TR_OK, tr_spawn(tree[PEERS], "deaf", TR_KIND_RPC_HANDLER, body_deaf, &deaf, NULL));
  gate_await(&sleeping, TREE + 1);
  gate_await(&deaf, 1);
  tr_task_summary array[8] = {TR_TASK_SUMMARY_INIT};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = array;
  report.stragglers_capacity = 8;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(tree[TOP], 0, &report));
  CHECK_EQ(6, report.pending);
  CHECK_EQ(5, report.aborted);
  CHECK_EQ(1, report.abandoned);
  CHECK_EQ(5, report.ended);
  CHECK_EQ(6, report.stragglers_count);
  int forgotten_ones = 0, abandoned = 0;
  for (int i = 0; i < 6; i++) {
    for (int j = 0; j < i; j++) CHECK(array[i].id != array[j].id);
    forgotten_ones += strcmp(array[i].group, "net/peers/forgotten") == 0;
    if (array[i].state != TR_STATE_ABANDONED) continue;
    abandoned++;
    CHECK_STR("net/peers", array[i].group);
    CHECK_STR("deaf", array[i].name);
  }
  CHECK_EQ(1, forgotten_ones);
  CHECK_EQ(1, abandoned);
  check_lengths(tree, 1, 1, 1, 0);
  gate_open(&deaf);
  tree_finish(tree);
}

struct stopping {
  tr_registry *group;
  atomic_int calls;
};

static void release_the_group(void *ctx) {
  struct stopping *stopping = ctx;
  atomic_fetch_add(&stopping->calls, 1);
  tr_registry_release(stopping->group);
}

/* Proves: callbacks of the tasks of groups run at the deadline of an ancestor's join, and one of
   them may release its group's last reference (C7, J4, T6). Why it matters: they wake a task that
   blocks. Catches: running only those of the joined registry's tasks. */
CASE(callbacks_of_tasks_in_groups_run_at_a_deadline_above) {
  tr_registry *registry = registry_new();
  tr_registry *outer = group_new(registry, "outer");
  struct stopping stopping = {group_new(outer, "inner"), 0};
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(stopping.group, "blocks", body_deaf, &gate);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_cancel(task, release_the_group, &stopping, NULL, &registration));
  tr_registry_release(outer);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  /* The call waits for its callbacks for a moment only; on a busy machine they may run later. */
  while (atomic_load(&stopping.calls) == 0) breathe();
  CHECK_EQ(1, atomic_load(&stopping.calls));
  tr_registration_remove(registration);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

/* ---- Rejections ----------------------------------------------------------------------------- */

/* Begin a join of each registry of the tree, all of which have tasks. */
static void joins_begin(struct join_call calls[TREE], tr_registry *tree[TREE]) {
  for (int i = 0; i < TREE; i++) join_begin_asleep(&calls[i], tree[i], FOREVER);
}

static void check_rejected(struct join_call calls[TREE], const uint64_t expected[TREE]) {
  for (int i = 0; i < TREE; i++) {
    join_end(&calls[i]);
    CHECK_EQ(TR_OK, calls[i].status);
    CHECK_MSG(calls[i].report.rejected == expected[i], "\"%s\" rejected %llu", paths[i],
              (unsigned long long)calls[i].report.rejected);
  }
}

/* Proves: max_tasks of a registry counts the tasks of its groups; a spawn that it rejects, in any
   group, leaves every count as it was, is rejected in the reports of the group and its ancestors,
   and uses up no group's limit; and there is room again once one has ended (T2, S6, J8). Why it
   matters: the limit of a server holds for all of its parts. Catches: checking only the group's
   limit; a rejected spawn that stays counted in the group. */
CASE(limits_count_the_tasks_of_groups) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *tree[TREE];
  options.max_tasks = 4;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &tree[TOP]));
  options.max_tasks = 3;
  tree[NET] = group_with(tree[TOP], "net", &options);
  options.max_tasks = 2;
  tree[PEERS] = group_with(tree[NET], "peers", &options);
  tree[STORAGE] = group_new(tree[TOP], "storage");
  struct gate gates[TREE] = {GATE_INIT, GATE_INIT, GATE_INIT, GATE_INIT};
  tr_task *peer = spawn(tree[PEERS], "peer", body_deaf, &gates[PEERS]);
  tr_task *storage = spawn(tree[STORAGE], "storage", body_deaf, &gates[STORAGE]);
  struct join_call calls[TREE];
  joins_begin(calls, tree);
  CHECK_EQ(TR_OK, tr_spawn(tree[PEERS], "peer", TR_KIND_RPC_HANDLER, body_deaf, &gates[NET], NULL));
  CHECK_EQ(TR_ERR_LIMIT, try_spawn(tree[PEERS])); /* by its own */
  CHECK_EQ(TR_OK, tr_spawn(tree[NET], "net", TR_KIND_RPC_HANDLER, body_deaf, &gates[NET], NULL));
  check_lengths(tree, 4, 3, 2, 1);
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(TR_ERR_LIMIT, try_spawn(tree[NET]));     /* by its own */
    CHECK_EQ(TR_ERR_LIMIT, try_spawn(tree[STORAGE])); /* by the root registry's */
    CHECK_EQ(TR_ERR_LIMIT, try_spawn(tree[TOP]));
  }
  check_lengths(tree, 4, 3, 2, 1);
  gate_open(&gates[PEERS]);
  wait_and_release(peer);
  check_lengths(tree, 3, 2, 1, 1);
  CHECK_EQ(TR_OK, tr_spawn(tree[STORAGE], "room", TR_KIND_RPC_HANDLER, body_deaf, &gates[NET], NULL));
  for (int i = 0; i < 10; i++) CHECK_EQ(TR_ERR_LIMIT, try_spawn(tree[PEERS])); /* by the root registry's */
  check_lengths(tree, 4, 2, 1, 2);
  gate_open(&gates[STORAGE]);
  wait_and_release(storage);
  CHECK_EQ(TR_OK, tr_spawn(tree[PEERS], "room", TR_KIND_RPC_HANDLER, body_deaf, &gates[NET], NULL));
  check_lengths(tree, 4, 3, 2, 1);
  gate_open(&gates[NET]);
  check_rejected(calls, (const uint64_t[TREE]){41, 21, 11, 10});
  tree_finish(tree);
}

/* Proves: once a registry is shut down its groups reject spawns too, old groups and new ones,
   and the spawn is rejected at every level and counted nowhere (T2, S5, J8). Why it matters: a
   part that still accepted would never be joined. Catches: counting a rejected spawn only in the
   group. */
CASE(closed_above_is_closed_below) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  for (int i = 0; i < TREE; i++)
    CHECK_EQ(TR_OK, tr_spawn(tree[i], "deaf", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
  struct join_call calls[TREE];
  joins_begin(calls, tree);
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(tree[TOP], TR_REASON_FATAL, "over", 0, NULL));
  for (int i = 0; i < 3; i++) CHECK_EQ(TR_ERR_CLOSED, try_spawn(tree[PEERS]));
  CHECK_EQ(TR_ERR_CLOSED, try_spawn(tree[STORAGE]));
  tr_registry *late = group_new(tree[NET], "late");
  CHECK_EQ(TR_ERR_CLOSED, try_spawn(late));
  CHECK_EQ(0, tr_len(late));
  CHECK_EQ(TR_OK, tr_join_all(late, 0, NULL));
  tr_registry_release(late);
  check_lengths(tree, 4, 2, 1, 1);
  gate_open(&gate);
  check_rejected(calls, (const uint64_t[TREE]){5, 4, 3, 1});
  tree_finish(tree);
}

struct cleaning {
  tr_registry **tree;
  struct gate *closed, *cleaning;
  tr_status statuses[TREE];
};

static int body_spawns_cleanup_everywhere(tr_task *self, void *ctx) {
  struct cleaning *cleaning = ctx;
  (void)self;
  gate_pass(cleaning->closed);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_CLEANUP;
  for (int i = 0; i < TREE; i++)
    cleaning->statuses[i] = tr_spawn_with(cleaning->tree[i], "clean-up", TR_KIND_MAINTENANCE, body_obeys,
                                          cleaning->cleaning, &options, NULL);
  return 0;
}

/* Proves: after all is closed, clean-up work is accepted from a running task of the registry asked or
   of a group below it, and from no other; it is born unflagged in a group too, and its flag rises at
   the deadline of the shutdown above (S5, T2).  Why it matters: each part cleans up after itself.
   Catches: comparing the caller's registry with the one asked; a deadline that reaches the gate of the
   joined registry alone. */
CASE(cleanup_may_come_from_the_same_group_or_below) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate closed = GATE_INIT, started = GATE_INIT;
  struct cleaning cleanings[TREE];
  tr_task *tasks[TREE];
  for (int i = 0; i < TREE; i++) {
    cleanings[i] = (struct cleaning){tree, &closed, &started, {-99, -99, -99, -99}};
    tasks[i] = spawn(tree[i], "cleans", body_spawns_cleanup_everywhere, &cleanings[i]);
  }
  gate_await(&closed, TREE);
  CHECK_EQ(1, tr_token_cancel(token_of(tree[TOP]), TR_REASON_USER_REQUESTED, "stop"));
  gate_open(&closed);
  for (int i = 0; i < TREE; i++) wait_and_release(tasks[i]);
  const int accepted[TREE][TREE] = {
      /* from, into: */
      [TOP] = {1, 0, 0, 0},
      [NET] = {1, 1, 0, 0},
      [PEERS] = {1, 1, 1, 0},
      [STORAGE] = {1, 0, 0, 1},
  };
  for (int from = 0; from < TREE; from++)
    for (int into = 0; into < TREE; into++)
      CHECK_MSG(cleanings[from].statuses[into] == (accepted[from][into] ? TR_OK : TR_ERR_CLOSED),
                "from \"%s\" into \"%s\": %d", paths[from], paths[into],
                (int)cleanings[from].statuses[into]);
  gate_await(&started, 8);
  check_lengths(tree, 8, 3, 1, 1);
  tr_task_summary list[16] = {TR_TASK_SUMMARY_INIT};
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_snapshot(tree[TOP], list, 16, &count));
  for (size_t i = 0; i < count; i++) CHECK_EQ(0, list[i].cancel_requested);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(tree[TOP], TR_REASON_NONE, NULL, 0, &report));
  CHECK_EQ(8, report.pending);
  tree_finish(tree); /* would not return if one of them still slept */
}

struct too_late {
  tr_registry *group;
  struct gate overdue;
};

static int body_is_flagged(tr_task *self, void *ctx) {
  (void)ctx;
  return tr_task_is_cancelled(self) ? 0 : 71;
}

static int body_cleans_up_too_late(tr_task *self, void *ctx) {
  struct too_late *late = ctx;
  (void)self;
  gate_pass(&late->overdue);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_CLEANUP;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(late->group, "late", TR_KIND_MAINTENANCE, body_is_flagged, NULL,
                                &options, &task));
  tr_outcome outcome = TR_OUTCOME_INIT;
  tr_status status = tr_task_wait(task, FOREVER, &outcome);
  CHECK(status == TR_ERR_CANCELLED || (status == TR_OK && outcome.code == 0));
  CHECK_EQ(1, tr_task_is_cancelled(task));
  tr_task_release(task);
  return 0;
}

/* Proves: clean-up work spawned in a group after the deadline of an ancestor's shutdown starts with
   its flag up (S5, T2). Why it matters: no later call raises it. Catches: a deadline that is
   recorded only in the joined registry. */
CASE(cleanup_after_a_deadline_above_is_born_flagged) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct too_late late = {tree[PEERS], GATE_INIT};
  tr_task *task = spawn(tree[PEERS], "cleans", body_cleans_up_too_late, &late);
  gate_await(&late.overdue, 1);
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(tree[TOP], TR_REASON_FATAL, NULL, 0, NULL));
  gate_open(&late.overdue);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  tree_finish(tree);
}

/* ---- Waiting for oneself -------------------------------------------------------------------- */

struct joining {
  tr_registry **tree;
  tr_registry *below; /* a group of the task's own registry */
  int home;
};

static int body_joins_everything(tr_task *self, void *ctx) {
  struct joining *joining = ctx;
  (void)self;
  for (int i = 0; i < TREE; i++) {
    int is_above = i == TOP || i == joining->home || (i == NET && joining->home == PEERS);
    tr_join_report report = TR_JOIN_REPORT_INIT;
    report.ended = 4711;
    if (is_above) {
      CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all(joining->tree[i], FOREVER, &report));
      CHECK_EQ(TR_ERR_DEADLOCK, tr_shutdown(joining->tree[i], TR_REASON_FATAL, "no", FOREVER, &report));
      CHECK_EQ(4711, report.ended);
    } else {
      CHECK_EQ(TR_OK, tr_join_all(joining->tree[i], FOREVER, &report));
    }
    CHECK_EQ(0, is_stopped(joining->tree[i]));
  }
  CHECK_EQ(TR_OK, tr_join_all(joining->below, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_shutdown(joining->below, TR_REASON_RELOAD_REQUESTED, "mine", FOREVER, NULL));
  return 0;
}

/* Proves: from inside a task a join or a shutdown of its own group or of any ancestor is
   TR_ERR_DEADLOCK at once and changes nothing; that of a sibling or of a group inside is not
   (T5, J7). Why it matters: it would wait for itself indefinitely; and a part may well shut down
   its own parts. Catches: comparing only the task's own registry; rejecting every caller in the
   same tree. */
CASE(joining_from_inside_is_a_deadlock_at_every_level_above) {
  tr_registry *tree[TREE];
  tree_new(tree);
  for (int i = 0; i < TREE; i++) {
    struct joining joining = {tree, group_new(tree[i], "below"), i};
    CHECK_EQ(TR_OK, tr_spawn(joining.below, "obeys", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL));
    wait_and_release(spawn(tree[i], "joins", body_joins_everything, &joining));
    CHECK_EQ(1, is_stopped(joining.below));
    tr_registry_release(joining.below);
  }
  tree_finish(tree);
}

/* ---- Shutdown ------------------------------------------------------------------------------- */

/* Proves: a shutdown of a group stops and joins its own tasks and those of groups inside it, and
   reports only those; the parent and a sibling continue, are open, and their tasks keep their flags
   down (T1, T4). Why it matters: one part is restarted while the server serves. Catches: closing
   the parent. */
CASE(a_groups_own_shutdown_leaves_the_others_open) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  tr_task *tasks[TREE];
  for (int i = 0; i < TREE; i++) tasks[i] = spawn(tree[i], "obeys", body_obeys, &gate);
  gate_await(&gate, TREE);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_shutdown(tree[NET], TR_REASON_RELOAD_REQUESTED, "restart", FOREVER, &report));
  CHECK_EQ(2, report.ended);
  CHECK_EQ(0, report.threads_left);
  check_lengths(tree, 2, 0, 0, 1);
  CHECK_EQ(0, tr_task_is_cancelled(tasks[TOP]) + tr_task_is_cancelled(tasks[STORAGE]));
  CHECK_EQ(0, is_stopped(tree[TOP]) + is_stopped(tree[STORAGE]));
  tr_registry_release(tree[NET]);
  tree[NET] = group_new(tree[TOP], "net");
  wait_and_release(spawn(tree[NET], "again", body_returns, NULL));
  wait_and_release(spawn(tree[TOP], "still open", body_returns, NULL));
  wait_and_release(spawn(tree[STORAGE], "still open", body_returns, NULL));
  for (int i = 0; i < TREE; i++) tr_task_release(tasks[i]);
  tree_finish(tree);
}

/* Proves: tasks of groups run in threads of the root registry: after its shutdown none is left, and
   the groups, which are still held, have none either (T4, G4). Why it matters: the next step
   unloads plug-ins. Catches: threads that belong to the group. */
CASE(shutdown_of_the_root_leaves_no_thread) {
  int threads = thread_baseline();
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  for (int i = 0; i < 20; i++)
    CHECK_EQ(TR_OK, tr_spawn(tree[i % TREE], "obeys", TR_KIND_RPC_HANDLER, body_obeys, &gate, NULL));
  gate_await(&gate, 20);
  for (int i = 0; i < TREE; i++) wait_and_release(spawn(tree[i], "short", body_returns, NULL));
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, shutdown_fully(tree[TOP], TR_REASON_USER_REQUESTED, NULL, FOREVER, &report));
  CHECK_EQ(20, report.ended);
  CHECK_EQ(0, report.threads_left);
  threads_settle(threads, 5 * SECOND * check_scale());
  for (int i = 0; i < TREE; i++) CHECK_EQ(TR_ERR_CLOSED, try_spawn(tree[i]));
  tree_finish(tree);
}

/* ---- Options -------------------------------------------------------------------------------- */

static int body_measures_its_stack(tr_task *self, void *ctx) {
  pthread_attr_t attributes;
  (void)self;
  CHECK_EQ(0, pthread_getattr_np(pthread_self(), &attributes));
  CHECK_EQ(0, pthread_attr_getstacksize(&attributes, ctx));
  pthread_attr_destroy(&attributes);
  return 0;
}

static size_t stack_in(tr_registry *registry) {
  size_t size = 0;
  wait_and_release(spawn(registry, "stack", body_measures_its_stack, &size));
  return size;
}

/* How many of `count` obedient tasks a join with a deadline of 0 calls aborted. */
static uint64_t aborted_in(tr_registry *registry, int count) {
  struct gate gate = GATE_INIT;
  for (int i = 0; i < count; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "obeys", TR_KIND_RPC_HANDLER, body_obeys, &gate, NULL));
  gate_await(&gate, count);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &report));
  CHECK_EQ(count, report.pending);
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  return report.aborted;
}

/* Proves: stack size, abort grace and log of a group are its parent's unless it has its own, down
   several levels, and max_tasks is not the parent's again (T1, S7, J4, O2). Why it matters: the
   parts of a server should have its options unless they set their own. Catches: defaults instead of
   the parent's; a log that is inherited without its context; an event that both logs receive. */
CASE(options_are_inherited_unless_given) {
  static const size_t mib = 1 << 20;
  struct kept_event all = KEPT_EVENT_INIT, own = KEPT_EVENT_INIT;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.stack_size = 16 * mib;
  options.abort_grace_ns = 3600 * SECOND;
  options.log = keep_event;
  options.log_context = &all;
  options.max_tasks = 8;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  tr_registry *heir = group_new(registry, "heir");
  tr_registry_options nothing = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *grandchild = group_with(heir, "grandchild", &nothing);
  tr_registry_options given = TR_REGISTRY_OPTIONS_INIT;
  given.stack_size = 3 * mib;
  given.abort_grace_ns = 1;
  given.log = keep_event;
  given.log_context = &own;
  tr_registry *free_one = group_with(heir, "free", &given);
  tr_registry *below = group_new(free_one, "below");
  /* The C library may hand out a cached stack of up to four times the size. */
  size_t size = stack_in(grandchild);
  CHECK_MSG(size >= 16 * mib, "%zu", size);
  size = stack_in(free_one);
  CHECK_MSG(size >= 3 * mib && size < 16 * mib, "%zu", size);
  size = stack_in(below);
  CHECK_MSG(size >= 3 * mib && size < 16 * mib, "%zu", size);
  size = stack_in(registry);
  CHECK_MSG(size >= 16 * mib, "%zu", size);
  int code = 5;
  wait_and_release(spawn(grandchild, "fails", body_fails, &code));
  CHECK_EQ(1, all.events);
  CHECK_EQ(0, own.events);
  wait_and_release(spawn(below, "fails", body_fails, &code));
  CHECK_EQ(1, all.events);
  CHECK_EQ(1, own.events);
  CHECK_EQ(8, aborted_in(grandchild, 8)); /* at the limit of the root registry, with none of its
                                             own */
  CHECK_EQ(1, all.deadlines);
  struct gate deaf = GATE_INIT;
  CHECK_EQ(TR_OK, tr_spawn(below, "deaf", TR_KIND_RPC_HANDLER, body_deaf, &deaf, NULL));
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(below, 0, NULL)); /* a nanosecond, and not an hour */
  CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - start);
  CHECK_EQ(1, own.deadlines);
  gate_open(&deaf);
  registry_finish(registry);
  tr_registry_release(heir);
  tr_registry_release(grandchild);
  tr_registry_release(free_one);
  tr_registry_release(below);
}

CHECK_MAIN(
    CHECK_ENTRY(a_cancel_goes_down_and_not_up),
    CHECK_ENTRY(an_essential_task_stops_its_group_alone),
    CHECK_ENTRY(tasks_count_at_every_level_above),
    CHECK_ENTRY(tasks_are_listed_with_the_path_of_their_group),
    CHECK_ENTRY(long_paths_are_cut_at_a_character),
    CHECK_ENTRY(groups_that_stay_are_listed_while_others_come_and_go),
    CHECK_ENTRY(a_join_waits_for_groups_made_meanwhile),
    CHECK_ENTRY(stragglers_in_groups_are_named_with_their_paths),
    CHECK_ENTRY(aborted_and_abandoned_add_up_across_groups),
    CHECK_ENTRY(callbacks_of_tasks_in_groups_run_at_a_deadline_above),
    CHECK_ENTRY(limits_count_the_tasks_of_groups),
    CHECK_ENTRY(closed_above_is_closed_below),
    CHECK_ENTRY(cleanup_may_come_from_the_same_group_or_below),
    CHECK_ENTRY(cleanup_after_a_deadline_above_is_born_flagged),
    CHECK_ENTRY(a_join_that_returned_finds_nothing_counted_elsewhere),
    CHECK_ENTRY(joining_from_inside_is_a_deadlock_at_every_level_above),
    CHECK_ENTRY(a_groups_own_shutdown_leaves_the_others_open),
    CHECK_ENTRY(shutdown_of_the_root_leaves_no_thread),
    CHECK_ENTRY(options_are_inherited_unless_given))
