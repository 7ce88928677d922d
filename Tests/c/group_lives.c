/* group_lives.c - how groups come, go and outlive each other, and all of it at once. Rules T1 and T6, with
   G3, J8, N1, P1, P4, S4. */

#include "groups.h"

/* ---- Life ----------------------------------------------------------------------------------- */

struct released {
  struct gate *gate;
  sem_t *dropped;
};

static int body_of_released(tr_task *self, void *ctx) {
  (void)self;
  gate_pass(((struct released *)ctx)->gate);
  return 0;
}

static void drop_of_released(void *ctx) { CHECK_EQ(0, sem_post(((struct released *)ctx)->dropped)); }

enum { HELD_TOP, HELD_NET, HELD_PEERS, HELD_TASK, HELD_TOKEN, HELD };

/* Release the objects of a tree with a task at the bottom in the order of `order`; its task ends
   after `early` of them. */
static void release_in_order(const int order[HELD], int early) {
  struct gate gate = GATE_INIT;
  sem_t dropped;
  CHECK_EQ(0, sem_init(&dropped, 0, 0));
  tr_registry *registries[3];
  registries[0] = registry_new();
  registries[1] = group_new(registries[0], "net");
  registries[2] = group_new(registries[1], "peers");
  tr_token *token = tr_token_retain(token_of(registries[2]));
  struct released released = {&gate, &dropped};
  tr_task *task = spawn_drop(registries[2], "held", body_of_released, &released, drop_of_released, 0);
  for (int i = 0; i < HELD; i++) {
    if (i == early) {
      gate_open(&gate);
      sem_take(&dropped);
    }
    switch (order[i]) {
    case HELD_TASK: tr_task_release(task); break;
    case HELD_TOKEN: tr_token_release(token); break;
    default: tr_registry_release(registries[order[i]]);
    }
  }
  if (early == HELD) {
    gate_open(&gate);
    sem_take(&dropped);
  }
  CHECK_EQ(0, sem_destroy(&dropped));
}

/* Proves: a root registry, two groups, a group's token and the handle of its task may be released
   in each of their 120 orders, with the task alive to the last or ended before; it is never
   cancelled, and dropped once; no memory and no thread is left (T6, G3, S4). Why it matters: the
   owner of a part rarely knows the owner of the whole. Catches: a group that does not keep its
   ancestors; a task that does not keep its group. */
CASE(groups_may_be_released_in_every_order) {
  int threads = thread_baseline();
  int number = 0;
  for (int a = 0; a < HELD; a++)
    for (int b = 0; b < HELD; b++)
      for (int c = 0; c < HELD; c++)
        for (int d = 0; d < HELD; d++) {
          int e = 10 - a - b - c - d;
          const int order[HELD] = {a, b, c, d, e};
          int seen = 0;
          for (int i = 0; i < HELD; i++)
            if (order[i] >= 0 && order[i] < HELD) seen |= 1 << order[i];
          if (seen != (1 << HELD) - 1) continue;
          release_in_order(order, HELD);
          release_in_order(order, number % HELD);
          number++;
        }
  CHECK_EQ(120, number);
  threads_settle(threads, 10 * SECOND * check_scale());
  tr_registry_release(registry_new()); /* what threads could not free on their way out is freed now */
}

struct inside {
  tr_registry *held[3];
  struct gate ready;
  sem_t done;
};

static void release_all_held(struct inside *inside) {
  for (int i = 0; i < 3; i++) tr_registry_release(inside->held[i]);
}

static int body_lets_go(tr_task *self, void *ctx) {
  struct inside *inside = ctx;
  gate_pass(&inside->ready);
  tr_registry *own = inside->held[2], *above = inside->held[1];
  release_all_held(inside);
  CHECK_EQ(0, tr_task_is_cancelled(self));
  /* Only this task keeps them now. */
  CHECK_EQ(1, tr_len(own));
  CHECK_EQ(1, tr_len(above));
  CHECK(tr_registry_retain(own) == own);
  tr_registry *late = group_new(own, "late");
  wait_and_release(spawn(late, "late", body_returns, NULL));
  CHECK_EQ(TR_OK, tr_shutdown(late, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
  CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all(above, FOREVER, NULL));
  tr_registry_release(own);
  CHECK_EQ(TR_ERR_CLOSED, try_spawn(late));
  tr_registry_release(late);
  return 0;
}

static void post_done(void *ctx) { CHECK_EQ(0, sem_post(&((struct inside *)ctx)->done)); }

static int body_waits_for_ready(tr_task *self, void *ctx) {
  (void)self;
  gate_pass(&((struct inside *)ctx)->ready);
  return 0;
}

static void drop_lets_go(void *ctx) {
  release_all_held(ctx);
  post_done(ctx);
}

/* Proves: a task may release the last references to its group and to its ancestors, from its body
   or its drop; from its body it may then still use its group, make groups in it, and join those
   (T6, G3). Why it matters: the last user must be able to clean up. Catches: a group that is freed
   with its last reference while its task runs. */
CASE(a_task_may_release_its_own_group) {
  int threads = thread_baseline();
  for (int round = 0; round < check_rounds(200); round++) {
    struct inside inside = {.ready = GATE_INIT};
    CHECK_EQ(0, sem_init(&inside.done, 0, 0));
    inside.held[0] = registry_new();
    inside.held[1] = group_new(inside.held[0], "net");
    inside.held[2] = group_new(inside.held[1], "peers");
    int from_drop = round % 2;
    /* without a handle, which would keep the group as well */
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.drop = from_drop ? drop_lets_go : post_done;
    CHECK_EQ(TR_OK, tr_spawn_with(inside.held[2], "last", TR_KIND_MAINTENANCE,
                                  from_drop ? body_waits_for_ready : body_lets_go, &inside, &options,
                                  NULL));
    gate_await(&inside.ready, 1);
    gate_open(&inside.ready);
    sem_take(&inside.done);
    CHECK_EQ(0, sem_destroy(&inside.done));
  }
  threads_settle(threads, 10 * SECOND * check_scale());
  tr_registry_release(registry_new());
}

/* Proves: a group whose parent's last reference is gone continues: it spawns, lists, joins and
   shuts down, and its threads leave by themselves (T6, G3). Why it matters: as above. Catches:
   groups that are closed, or freed, with the root registry. */
CASE(a_group_outlives_its_parents_last_reference) {
  int threads = thread_baseline();
  tr_registry *registry = registry_new();
  tr_registry *group = group_new(registry, "group");
  wait_and_release(spawn(registry, "makes a thread", body_returns, NULL));
  tr_registry_release(registry);
  struct gate gate = GATE_INIT;
  for (int i = 0; i < 4; i++)
    CHECK_EQ(TR_OK, tr_spawn(group, "obeys", TR_KIND_RPC_HANDLER, body_obeys, &gate, NULL));
  gate_await(&gate, 4);
  CHECK_EQ(4, tr_len(group));
  CHECK_EQ(4, snapshot_count(group));
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_shutdown(group, TR_REASON_USER_REQUESTED, NULL, FOREVER, &report));
  CHECK_EQ(4, report.ended);
  threads_settle(threads, 10 * SECOND * check_scale());
  tr_registry_release(group);
}

struct chain {
  int depth;
  int outermost_first;
};

static void *make_chain(void *argument) {
  struct chain *chain = argument;
  tr_registry **groups = calloc((size_t)chain->depth + 1, sizeof *groups);
  CHECK(groups != NULL);
  groups[0] = registry_new();
  for (int i = 1; i <= chain->depth; i++) groups[i] = group_new(groups[i - 1], "g");
  tr_registry *last = groups[chain->depth];
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(last, "deep", body_obeys, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(1, tr_len(groups[0]));
  tr_task_summary entry = entry_of(groups[0], task);
  CHECK(strncmp(entry.group, "g/g/g/", 6) == 0);
  CHECK_EQ(chain->depth < 64 ? 2 * chain->depth - 1 : 127, strlen(entry.group));
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(groups[0], 0, NULL));
  wait_and_release(task);
  CHECK_EQ(0, tr_len(groups[0]));
  task = spawn(last, "deep", body_obeys, NULL);
  CHECK_EQ(1, tr_token_cancel(token_of(groups[0]), TR_REASON_FATAL, "all the way down"));
  CHECK_EQ(1, is_stopped(last));
  wait_and_release(task);
  CHECK_EQ(TR_OK, shutdown_fully(groups[0], TR_REASON_NONE, NULL, FOREVER, NULL));
  for (int i = 0; i <= chain->depth; i++)
    tr_registry_release(groups[chain->outermost_first ? i : chain->depth - i]);
  free(groups);
  return NULL;
}

/* Proves: a chain of 10 000 groups is made, counted, walked, cancelled, joined and freed, from either
   end, by a thread with a small stack (T1, T2, T3, T6).  Why it matters: how deep a tree is, the
   application decides, and a stack that overflows cannot be caught.  Catches: freeing a chain of
   parents by recursion. */
CASE(ten_thousand_groups_deep_nothing_recurses) {
  for (int outermost_first = 0; outermost_first < 2; outermost_first++) {
    struct chain chain = {check_rounds(10000), outermost_first};
    pthread_attr_t attributes;
    pthread_t thread;
    CHECK_EQ(0, pthread_attr_init(&attributes));
    CHECK_EQ(0, pthread_attr_setstacksize(&attributes, check_stack((check_under_a_tool() ? 512 : 96) << 10)));
    CHECK_EQ(0, pthread_create(&thread, &attributes, make_chain, &chain));
    pthread_attr_destroy(&attributes);
    thread_end(thread);
  }
}

static void groups_come_and_go(tr_registry *registry, int count) {
  for (int i = 0; i < count; i++) {
    tr_registry *group = group_new(registry, "short-lived");
    tr_task *task = spawn(group, "short", body_returns, NULL);
    if (i % 2) tr_registry_release(group);
    wait_and_release(task);
    if (i % 2 == 0) tr_registry_release(group);
  }
}

/* Proves: 10 000 groups that had a task and are gone leave the process as large as the first 1 000 did,
   and nothing to walk (N1, T6).  Why it matters: one group for each connection.  Catches: a group that
   is kept by its parent, or by its task. */
CASE(memory_does_not_grow_with_groups_ever_made) {
  tr_registry *registry = registry_new();
  groups_come_and_go(registry, check_rounds(1000));
  long before = resident_bytes();
  groups_come_and_go(registry, check_rounds(10000));
  long grown = resident_bytes() - before;
  /* 400 bytes for each group; a tool keeps freed memory back and needs more */
  long bound = check_under_a_tool() ? 512L << 20 : 4L << 20;
  CHECK_MSG(grown < bound, "grown by %ld KiB", grown / 1024);
  CHECK_EQ(0, snapshot_count(registry));
  registry_finish(registry);
}

/* ---- Arguments and processes ---------------------------------------------------------------- */

/* Proves: any invalid argument is TR_ERR_INVALID with nothing created and *out untouched; a name
   that is too long is cut at a character boundary and not rejected (P4, S2, T1, T3). Why it
   matters: a slash in a name would make two groups look like one. Catches: a name checked up to its
   63rd byte only; a token in the options that is silently ignored. */
CASE(wrong_arguments_of_a_group_are_rejected) {
  tr_registry *registry = registry_new();
  tr_registry *untouched = (tr_registry *)&untouched, *out = untouched;
  char late_slash[80];
  memset(late_slash, 'a', sizeof late_slash);
  late_slash[70] = '/';
  late_slash[79] = 0;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_child(NULL, "name", NULL, &out));
  CHECK_EQ(TR_ERR_INVALID, tr_registry_child(registry, "name", NULL, NULL));
  const char *const names[] = {NULL, "", "/", "a/b", "/a", "a/", late_slash, "\xFF", "a\xC3", "\xED\xA0\x80"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    CHECK_MSG(tr_registry_child(registry, names[i], NULL, &out) == TR_ERR_INVALID, "name %zu", i);
  tr_token *token = tr_token_create();
  for (int i = 0; i < 7; i++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    switch (i) {
    case 0: options.token = token; break;
    case 1: options.flags = 8; break;
    case 2: options.reserved = 1; break;
    case 3: options.abort_grace_ns = TR_FOREVER; break;
    case 4: options.stack_size = UINT64_MAX; break;
    case 5: options.size = 4; break;
    default: options.size = UINT32_MAX; break;
    }
    CHECK_MSG(tr_registry_child(registry, "name", &options, &out) == TR_ERR_INVALID, "options %d", i);
  }
  CHECK(out == untouched);
  struct {
    tr_registry_options options;
    uint64_t unknown;
  } larger = {TR_REGISTRY_OPTIONS_INIT, 0};
  larger.options.size = sizeof larger;
  out = group_with(registry, "larger", &larger.options);
  tr_registry_release(out);
  out = untouched;
  larger.unknown = 1;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_child(registry, "larger", &larger.options, &out));
  CHECK(out == untouched);
  tr_token_release(token);

  char name[80];
  memset(name, 'a', 62);
  memcpy(name + 62, "\xE2\x82\xAC...", 7);
  tr_registry *group = group_new(registry, name);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(group, "task", body_deaf, &gate);
  name[62] = 0;
  check_path(name, registry, task);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
  tr_registry_release(group);
}

static void use_groups_in_child(void *argument) {
  tr_registry **tree = argument;
  tr_registry *untouched = (tr_registry *)&untouched, *out = untouched;
  size_t count;
  if (tr_registry_child(tree[TOP], "child", NULL, &out) != TR_ERR_FORKED || out != untouched) _exit(1);
  if (tr_registry_child(NULL, NULL, NULL, NULL) != TR_ERR_FORKED) _exit(2);
  if (try_spawn(tree[PEERS]) != TR_ERR_FORKED) _exit(3);
  if (tr_join_all(tree[NET], FOREVER, NULL) != TR_ERR_FORKED) _exit(4);
  if (tr_shutdown(tree[PEERS], TR_REASON_FATAL, NULL, FOREVER, NULL) != TR_ERR_FORKED) _exit(5);
  if (tr_snapshot(tree[TOP], NULL, 0, &count) != TR_ERR_FORKED) _exit(6);
  if (tr_len(tree[PEERS]) != 0) _exit(7);
  for (int i = 0; i < TREE; i++) tr_registry_release(tree[i]);
  raise(SIGKILL); /* no leak checker runs */
}

/* Proves: in a child of fork every call on a group fails and touches nothing, while in the parent
   its tasks continue (P1, T1). Why it matters: a lock of the tree that was held at the fork stays
   held. Catches: handles that are not rejected at the boundary. */
CASE(groups_are_rejected_in_a_child_of_fork) {
  tr_registry *tree[TREE];
  tree_new(tree);
  struct gate gate = GATE_INIT;
  for (int i = 0; i < TREE; i++)
    CHECK_EQ(TR_OK, tr_spawn(tree[i], "deaf", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
  int status = status_of_child(use_groups_in_child, tree);
  CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "status 0x%x", (unsigned)status);
  check_lengths(tree, 4, 2, 1, 1);
  gate_open(&gate);
  tree_finish(tree);
}

/* ---- Everything at once --------------------------------------------------------------------- */

enum { DEEPEST = 6 };

struct crowd {
  tr_registry *top;
  unsigned seed;
  atomic_int *ran;
  int spawned, rejected;
};

static int body_of_crowd(tr_task *self, void *ctx) {
  (void)ctx;
  return tr_task_id(self) % 3 != 0 ? 0 : tr_sleep(1 * MS) == TR_OK ? 0 : 1;
}

static unsigned draw(unsigned *state, unsigned below) {
  *state = *state * 1664525u + 1013904223u;
  return (*state >> 16) % below;
}

static void *be_in_the_crowd(void *argument) {
  struct crowd *crowd = argument;
  unsigned random = crowd->seed;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_counts;
  for (int round = 0; round < check_rounds(1500); round++) {
    tr_registry *chain[DEEPEST + 1] = {tr_registry_retain(crowd->top)};
    int depth = 1 + (int)draw(&random, DEEPEST);
    tr_registry_options limits = TR_REGISTRY_OPTIONS_INIT;
    limits.max_tasks = draw(&random, 4) == 0 ? 3 : 0;
    for (int i = 1; i <= depth; i++) chain[i] = group_with(chain[i - 1], "crowd", &limits);
    for (unsigned i = draw(&random, 8); i > 0; i--) {
      tr_task *task = NULL;
      tr_status status = tr_spawn_with(chain[draw(&random, (unsigned)depth + 1)], "crowd",
                                       TR_KIND_RPC_HANDLER, body_of_crowd, crowd->ran, &options,
                                       draw(&random, 2) ? &task : NULL);
      CHECK(status == TR_OK || status == TR_ERR_LIMIT || status == TR_ERR_CLOSED);
      if (status == TR_OK) crowd->spawned++; else crowd->rejected++;
      if (task != NULL) tr_task_release(task);
      if (draw(&random, 8) == 0)
        tr_token_cancel(token_of(chain[1 + draw(&random, (unsigned)depth)]), TR_REASON_FATAL, "crowd");
    }
    tr_registry *one = chain[1 + draw(&random, (unsigned)depth)];
    switch (draw(&random, 4)) {
    case 0: CHECK_EQ(TR_OK, tr_join_all(one, FOREVER, NULL)); break;
    case 1: CHECK_EQ(TR_OK, tr_shutdown(one, TR_REASON_FATAL, NULL, FOREVER, NULL)); break;
    case 2: TR_IGNORE(tr_join_all(one, 0, NULL)); break;
    default: snapshot_count(crowd->top); break;
    }
    int upwards = (int)draw(&random, 2);
    for (int i = 0; i <= depth; i++) tr_registry_release(chain[upwards ? depth - i : i]);
  }
  return NULL;
}

/* Claim: whatever four threads do to groups of random depth, whose tasks are spawned, rejected,
   cancelled, joined and released: each accepted task runs and is dropped once, and at the end the
   root registry, which was joined all the time, has reported each end and each rejection once.
   Proves: counts agree across a tree that changes all the time (T2, T6, S4, J8). Why it matters: a
   count that is off by one is a join that never returns. Catches: counting an end at a parent
   before the task was admitted there, or not at all. */
CASE(four_threads_do_everything_to_groups_at_once) {
  int threads_before = thread_baseline();
  tr_registry *top = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *keeper = spawn(top, "keeper", body_deaf, &gate);
  struct join_call call;
  join_begin_asleep(&call, top, FOREVER);
  atomic_int ran = 0;
  struct crowd crowds[4];
  pthread_t threads[4];
  for (unsigned i = 0; i < 4; i++) {
    crowds[i] = (struct crowd){top, i * 104729 + 3, &ran, 0, 0};
    threads[i] = thread_start(be_in_the_crowd, &crowds[i]);
  }
  int spawned = 0, rejected = 0;
  for (int i = 0; i < 4; i++) {
    thread_end(threads[i]);
    spawned += crowds[i].spawned;
    rejected += crowds[i].rejected;
  }
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK_EQ(spawned, atomic_load(&ran));
  CHECK_EQ(spawned + 1, call.report.ended);
  CHECK_EQ(rejected, call.report.rejected);
  CHECK(rejected > 0);
  CHECK_EQ(0, tr_len(top));
  CHECK_EQ(0, snapshot_count(top));
  tr_task_release(keeper);
  registry_finish(top);
  threads_settle(threads_before, 5 * SECOND * check_scale());
}

CHECK_MAIN(
    CHECK_ENTRY(groups_may_be_released_in_every_order),
    CHECK_ENTRY(a_task_may_release_its_own_group),
    CHECK_ENTRY(a_group_outlives_its_parents_last_reference),
    CHECK_ENTRY(ten_thousand_groups_deep_nothing_recurses),
    CHECK_ENTRY(memory_does_not_grow_with_groups_ever_made),
    CHECK_ENTRY(wrong_arguments_of_a_group_are_rejected),
    CHECK_ENTRY(groups_are_rejected_in_a_child_of_fork),
    CHECK_ENTRY(four_threads_do_everything_to_groups_at_once))
