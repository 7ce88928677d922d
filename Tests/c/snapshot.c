/* snapshot.c - the list of live tasks: its fields, which tasks it shows, what it costs. Rules N1,
   N2, N3. */

#include "support.h"

/* ---- Its fields ------------------------------------------------------------------------------ */

struct placed {
  struct gate *gate;
  _Atomic(pid_t) tid;
};

static int body_placed(tr_task *self, void *ctx) {
  struct placed *placed = ctx;
  (void)self;
  atomic_store(&placed->tid, gettid());
  gate_pass(placed->gate);
  return 0;
}

/* Proves: an entry has the right id, name, kind, state, thread id, spawn time on both clocks, age,
   flags and request to stop (N2). Why it matters: this is the operator's task table. Catches: any
   field left out or taken from a neighbour; clocks confused. */
CASE(entry_has_everything_about_a_task) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  struct placed placed[3];
  tr_task *tasks[3];
  int64_t before[3], after[3];
  static const char *const names[] = {"heartbeat", "peer 10.0.0.1:443 \xE2\x82\xAC", "x"};
  const tr_kind kinds[] = {TR_KIND_BACKGROUND_LOOP, TR_KIND_PEER_CONNECTION, 0xFFFFFFFFu};
  for (int i = 0; i < 3; i++) {
    placed[i].gate = &gate;
    atomic_init(&placed[i].tid, 0);
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.flags = i == 2 ? TR_SPAWN_CLEANUP | TR_SPAWN_FRESH_THREAD : 0;
    before[i] = now_ns();
    CHECK_EQ(TR_OK, tr_spawn_with(registry, names[i], kinds[i], body_placed, &placed[i], &options,
                                  &tasks[i]));
    after[i] = now_ns();
  }
  gate_await(&gate, 3);
  for (int i = 0; i < 3; i++) {
    tr_task_summary entry;
    int64_t wall = wall_ns(), clock = now_ns();
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(tasks[i]), &entry));
    CHECK_EQ(sizeof entry, entry.size);
    CHECK_STR(names[i], entry.name);
    for (size_t at = strlen(names[i]); at < sizeof entry.name; at++) CHECK_EQ(0, entry.name[at]);
    CHECK_EQ(kinds[i], entry.kind);
    CHECK_EQ(TR_STATE_RUNNING, entry.state);
    CHECK_EQ(atomic_load(&placed[i].tid), entry.thread_id);
    CHECK_BETWEEN_NS(before[i], after[i], entry.spawned_at_ns);
    int64_t expected_wall = wall - (clock - entry.spawned_at_ns);
    CHECK_BETWEEN_NS(expected_wall - AT_ONCE, expected_wall + AT_ONCE, entry.spawned_at_unix_ns);
    CHECK_BETWEEN_NS(clock - entry.spawned_at_ns, now_ns() - entry.spawned_at_ns, entry.age_ns);
    CHECK_EQ(i == 2 ? TR_SPAWN_CLEANUP : 0, entry.flags & TR_SPAWN_CLEANUP);
    CHECK_EQ(0, entry.cancel_requested);
    CHECK_EQ(0, entry.cancel_requested_at_ns);
  }
  gate_open(&gate);
  for (int i = 0; i < 3; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
}

/* Proves: the state goes from running to cancelling to abandoned and never back, and a task that
   ended is not listed (N2, N1, J5). Why it matters: the state is what the operator acts on.
   Catches: a state that is not advanced, or advanced back by a later cancel. */
CASE(state_only_advances) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "advances", body_deaf, &gate);
  gate_await(&gate, 1);
  tr_task_summary entry;
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &entry));
  CHECK_EQ(TR_STATE_RUNNING, entry.state);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &entry));
  CHECK_EQ(TR_STATE_CANCELLING, entry.state);
  int64_t asked = entry.cancel_requested_at_ns;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &entry));
    CHECK_EQ(TR_STATE_ABANDONED, entry.state);
    CHECK_EQ(1, entry.cancel_requested);
    CHECK_EQ(asked, entry.cancel_requested_at_ns);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL);
  }
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_EQ(0, find_in_snapshot(registry, tr_task_id(task), NULL));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a task spawned but not yet in its body is listed from the moment spawn returns, as
   starting (with no thread id it cannot have) or as running (N2, N3).  Why it matters: a task
   that is accepted must be seen.  Catches: listing only what has begun. */
CASE(task_is_listed_from_the_moment_spawn_returns) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(500); i++) {
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "listed", body_deaf, &gate);
    tr_task_summary entry;
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &entry));
    CHECK(entry.state == TR_STATE_STARTING || entry.state == TR_STATE_RUNNING);
    CHECK(entry.state == TR_STATE_STARTING || entry.thread_id > 0);
    CHECK_STR("listed", entry.name);
    CHECK_EQ(1, tr_len(registry));
    gate_open(&gate);
    wait_and_release(task);
  }
  registry_finish(registry);
}

/* ---- How it fills -------------------------------------------------------------------------- */

/* Proves: the count is of all that live, the buffer is filled to its capacity and not beyond,
   too small is TRUNCATED, NULL and 0 ask for the count alone (N3, P4).  Why it matters: callers
   size their buffer by the first call.  Catches: a count of what fitted; one element too many;
   TRUNCATED on an exact fit. */
CASE(buffer_is_filled_to_its_capacity) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  enum { alive = 7 };
  tr_task *tasks[alive];
  for (int i = 0; i < alive; i++) tasks[i] = spawn(registry, "alive", body_deaf, &gate);
  CHECK_EQ(alive, snapshot_count(registry));
  for (size_t capacity = 1; capacity <= alive + 3; capacity++) {
    tr_task_summary list[alive + 3], untouched;
    memset(list, 0x5a, sizeof list);
    memset(&untouched, 0x5a, sizeof untouched);
    list[0].size = sizeof list[0]; /* the first one's size is the only thing that is read */
    size_t count = 0;
    CHECK_EQ(capacity < alive ? TR_ERR_TRUNCATED : TR_OK,
             tr_snapshot(registry, list, capacity, &count));
    CHECK_EQ(alive, count);
    size_t filled = capacity < alive ? capacity : alive;
    for (size_t i = 0; i < filled; i++) {
      CHECK_EQ(sizeof list[0], list[i].size);
      CHECK_STR("alive", list[i].name);
      int known = 0;
      for (int t = 0; t < alive; t++) known += list[i].id == tr_task_id(tasks[t]);
      CHECK_EQ(1, known);
      for (size_t j = 0; j < i; j++) CHECK(list[i].id != list[j].id);
    }
    for (size_t i = filled; i < alive + 3; i++)
      CHECK_EQ(0, memcmp(&list[i], &untouched, sizeof untouched));
  }
  gate_open(&gate);
  for (int i = 0; i < alive; i++) wait_and_release(tasks[i]);
  CHECK_EQ(0, snapshot_count(registry));
  tr_task_summary one = TR_TASK_SUMMARY_INIT;
  size_t count = 5;
  CHECK_EQ(TR_OK, tr_snapshot(registry, &one, 1, &count));
  CHECK_EQ(0, count);
  CHECK_EQ(0, one.id);
  registry_finish(registry);
}

/* ---- Which tasks it shows -------------------------------------------------------------------- */

/* Proves: the moment a wait for a task has returned it is in no count and no list, for each way
   of ending (N1, O3).  Why it matters: the original kept finished tasks until the join.
   Catches: unlinking lazily. */
CASE(ended_task_is_gone_at_once) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *keeper = spawn(registry, "keeper", body_deaf, &gate);
  int code = 2;
  for (int i = 0; i < check_rounds(1500); i++) {
    tr_task *task = i % 3 == 0   ? spawn(registry, "returns", body_returns, NULL)
                    : i % 3 == 1 ? spawn(registry, "fails", body_fails, &code)
                                 : spawn(registry, "exits", body_exits, NULL);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK_EQ(1, tr_len(registry));
    CHECK_EQ(0, find_in_snapshot(registry, tr_task_id(task), NULL));
    CHECK_EQ(1, snapshot_count(registry));
    tr_task_release(task);
  }
  gate_open(&gate);
  wait_and_release(keeper);
  registry_finish(registry);
}

static int compare_ids(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

struct ids {
  tr_registry *registry;
  uint64_t *ids;
  int count;
};

static void *collect_ids(void *argument) {
  struct ids *ids = argument;
  for (int i = 0; i < ids->count; i++) {
    tr_task *task = spawn(ids->registry, "id", body_returns, NULL);
    ids->ids[i] = tr_task_id(task);
    if (i % 4 == 0) CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    tr_task_release(task);
  }
  return NULL;
}

/* Proves: ids are never 0 and never reused, over thousands of tasks of two registries spawned by
   four threads (N2).  Why it matters: logs are searched by id.  Catches: an id made of a slot
   number; one counter for each registry. */
CASE(ids_are_unique_in_the_process) {
  enum { threads = 4 };
  int each = check_rounds(3000);
  uint64_t *ids = calloc((size_t)(threads * each), sizeof *ids);
  CHECK(ids != NULL);
  tr_registry *registries[2] = {registry_new(), registry_new()};
  struct ids collections[threads];
  pthread_t running[threads];
  for (int i = 0; i < threads; i++) {
    collections[i] = (struct ids){registries[i % 2], ids + i * each, each};
    running[i] = thread_start(collect_ids, &collections[i]);
  }
  for (int i = 0; i < threads; i++) thread_end(running[i]);
  qsort(ids, (size_t)(threads * each), sizeof *ids, compare_ids);
  CHECK(ids[0] >= 1);
  for (int i = 1; i < threads * each; i++) CHECK(ids[i - 1] < ids[i]);
  free(ids);
  registry_finish(registries[0]);
  registry_finish(registries[1]);
}

/* The kind that a churning task of this name must have: name and kind are made from one number. */
static tr_kind kind_of_name(const char *name) {
  unsigned number = 0;
  CHECK_MSG(sscanf(name, "churn-%u-", &number) == 1 || sscanf(name, "perm-%u-", &number) == 1,
            "name \"%s\"", name);
  return TR_KIND_APPLICATION + number;
}

struct churn {
  tr_registry *registry;
  atomic_int *stop;
  unsigned seed;
  long spawned;
};

static void *churn_tasks(void *argument) {
  struct churn *churn = argument;
  while (!atomic_load(churn->stop)) {
    unsigned number = churn->seed = churn->seed * 1664525u + 1013904223u;
    number >>= 8;
    char name[64];
    /* names of different lengths, so that a mixed entry shows */
    snprintf(name, sizeof name, "churn-%u-%.*s", number, (int)(number % 30),
             "abcdefghijklmnopqrstuvwxyzabcdef");
    tr_task *task = NULL;
    tr_kind kind = TR_KIND_APPLICATION + number;
    CHECK_EQ(TR_OK, tr_spawn(churn->registry, name, kind, body_returns, NULL, &task));
    if (number % 2) CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    tr_task_release(task);
    churn->spawned++;
    while (tr_len(churn->registry) > 60) sched_yield();
  }
  return NULL;
}

enum { PERMANENT = 20 };

/* A thread that takes snapshots while others churn. */
struct observer {
  tr_registry *registry;
  tr_task **permanent;
  int rounds;
  uint64_t others; /* entries of churning tasks seen */
};

static void check_entry(const tr_task_summary *entry, int64_t after) {
  CHECK_EQ(sizeof *entry, entry->size);
  CHECK(entry->id >= 1);
  CHECK_MSG(kind_of_name(entry->name) == entry->kind, "\"%s\" has kind %u", entry->name,
            entry->kind);
  unsigned number = entry->kind - TR_KIND_APPLICATION;
  if (entry->name[0] == 'c')
    CHECK_EQ(strlen(entry->name), (size_t)snprintf(NULL, 0, "churn-%u-", number) + number % 30);
  CHECK(entry->state >= TR_STATE_STARTING && entry->state <= TR_STATE_CANCELLING);
  CHECK((entry->state == TR_STATE_STARTING) == (entry->thread_id == 0));
  CHECK_EQ(0, entry->cancel_requested);
  CHECK(entry->spawned_at_ns <= after);
  CHECK_BETWEEN_NS(0, after - entry->spawned_at_ns, entry->age_ns);
}

static void *observe(void *argument) {
  struct observer *observer = argument;
  enum { capacity = 300 };
  tr_task_summary *list = calloc(capacity, sizeof *list);
  CHECK(list != NULL);
  for (int round = 0; round < observer->rounds; round++) {
    tr_task *ended = NULL;
    if (round % 50 == 0) {
      CHECK_EQ(TR_OK, tr_spawn(observer->registry, "perm-9999-ended", TR_KIND_APPLICATION + 9999,
                               body_returns, NULL, &ended));
      CHECK_EQ(TR_OK, tr_task_wait(ended, FOREVER, NULL));
    }
    size_t count = 0;
    list[0].size = sizeof list[0];
    int64_t before = now_ns();
    CHECK_EQ(TR_OK, tr_snapshot(observer->registry, list, capacity, &count));
    int64_t after = now_ns();
    CHECK(count >= PERMANENT && count <= capacity);
    int seen[PERMANENT] = {0};
    for (size_t i = 0; i < count; i++) {
      check_entry(&list[i], after);
      CHECK(ended == NULL || list[i].id != tr_task_id(ended));
      for (size_t j = 0; j < i; j++) CHECK(list[i].id != list[j].id);
      for (int p = 0; p < PERMANENT; p++) {
        if (list[i].id != tr_task_id(observer->permanent[p])) continue;
        seen[p]++;
        CHECK_EQ(TR_KIND_APPLICATION + (uint32_t)p, list[i].kind);
        CHECK_BETWEEN_NS(before - list[i].spawned_at_ns, after - list[i].spawned_at_ns,
                         list[i].age_ns);
      }
    }
    for (int p = 0; p < PERMANENT; p++) CHECK_EQ(1, seen[p]);
    observer->others += count - PERMANENT;
    if (ended != NULL) tr_task_release(ended);
  }
  free(list);
  return NULL;
}

/* Proves: while two threads churn short tasks and a join waits, every snapshot that three threads
   take shows each of twenty long-lived tasks exactly once, no task that ended before it, no id
   twice, and no entry that mixes two tasks: each name belongs to its kind and each age to its clock
   (N3, J6). Why it matters: the list is read without stopping anything. Catches: reading a slot
   while it is reused; a walk that skips or repeats when the list moves. */
CASE(snapshots_under_churn_are_right) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[PERMANENT];
  for (unsigned i = 0; i < PERMANENT; i++) {
    char name[64];
    snprintf(name, sizeof name, "perm-%u-%.*s", i, (int)i, "qwertyuiopasdfghjklzxcvbnm");
    CHECK_EQ(TR_OK, tr_spawn(registry, name, TR_KIND_APPLICATION + i, body_deaf, &gate, &tasks[i]));
  }
  gate_await(&gate, PERMANENT);
  struct join_call call;
  join_begin_asleep(&call, registry, FOREVER);
  atomic_int stop = 0;
  struct churn churns[2];
  struct observer observers[3];
  pthread_t churners[2], threads[3];
  for (unsigned i = 0; i < 2; i++) {
    churns[i] = (struct churn){registry, &stop, i + 1, 0};
    churners[i] = thread_start(churn_tasks, &churns[i]);
  }
  for (int i = 0; i < 3; i++) {
    observers[i] = (struct observer){registry, tasks, check_rounds(15000), 0};
    threads[i] = thread_start(observe, &observers[i]);
  }
  uint64_t others = 0;
  for (int i = 0; i < 3; i++) {
    thread_end(threads[i]);
    others += observers[i].others;
  }
  atomic_store(&stop, 1);
  for (int i = 0; i < 2; i++) thread_end(churners[i]);
  CHECK_EQ(0, atomic_load(&call.returned));
  gate_open(&gate);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  CHECK(others > 0); /* churn was there to be seen */
  for (int i = 0; i < PERMANENT; i++) tr_task_release(tasks[i]);
  registry_finish(registry);
}

/* ---- What it costs ------------------------------------------------------------------------- */

static void run_short_tasks(tr_registry *registry, int count) {
  tr_task *batch[25];
  for (int done = 0; done < count; done += 25) {
    for (int i = 0; i < 25; i++) batch[i] = spawn(registry, "short", body_returns, NULL);
    for (int i = 0; i < 25; i++) wait_and_release(batch[i]);
  }
}

/* Proves: memory does not grow with the number of tasks ever run: 100 000 short tasks, none
   kept, leave the process as large as 5 000 did (N1).  Why it matters: the original kept an
   entry for each of them.  Catches: any list, index or stack that is appended to and never cut;
   a detached thread that is never freed. */
CASE(memory_does_not_grow_with_tasks_ever_run) {
  tr_registry *registry = registry_new();
  run_short_tasks(registry, check_rounds(5000));
  long before = resident_bytes();
  run_short_tasks(registry, check_rounds(100000));
  long grown = resident_bytes() - before;
  /* 40 bytes for each task; a tool keeps freed memory back and needs more */
  long bound = check_under_a_tool() ? 512L << 20 : 4L << 20;
  CHECK_MSG(grown < bound, "grown by %ld KiB", grown / 1024);
  CHECK_EQ(0, tr_len(registry));
  registry_finish(registry);
}

static int body_uses_its_stack(tr_task *self, void *ctx) {
  volatile char room[256 << 10];
  for (size_t i = 0; i < sizeof room; i += 1024) room[i] = 1;
  return body_deaf(self, ctx);
}

/* Proves: threads that have left keep no stacks, without a shutdown and without spawns: 100 that
   used 256 KiB each leave at most an eighth of it behind (N1). Why it matters: one busy minute must
   not cost 100 stacks for a year. Catches: a thread that leaves without returning the pages of its
   stack. */
CASE(stacks_of_a_crowd_that_has_left_are_given_back) {
  enum { tasks = 100 };
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.idle_threads = TR_IDLE_THREADS_NONE;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  int threads = thread_baseline();
  long before = resident_bytes();
  struct gate gate = GATE_INIT;
  for (int i = 0; i < tasks; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "deep", TR_KIND_RPC_HANDLER, body_uses_its_stack, &gate, NULL));
  gate_await(&gate, tasks);
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  threads_settle(threads, 20 * SECOND * check_scale());
  long grown = resident_bytes() - before;
  /* a tool keeps memory of its own */
  if (!check_under_a_tool()) CHECK_MSG(grown < 3L << 20, "grown by %ld KiB", grown / 1024);
  registry_finish(registry);
}

/* Proves: the most tasks ever alive at once do not stay in the lists: after 300 at a time have
   ended the count and the snapshot are those of the few that live, and new ones are listed (N1,
   N3).  Why it matters: load comes in waves.  Catches: a list that keeps holes; places lost
   after growth. */
CASE(waves_of_tasks_leave_nothing_behind) {
  tr_registry *registry = registry_new();
  for (int wave = 0; wave < 3; wave++) {
    struct gate gate = GATE_INIT;
    int count = check_under_a_tool() ? 60 : 300;
    for (int i = 0; i < count; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "wave", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
    CHECK_EQ(count, tr_len(registry));
    CHECK_EQ(count, snapshot_count(registry));
    tr_task_summary few[4] = {TR_TASK_SUMMARY_INIT};
    size_t total = 0;
    CHECK_EQ(TR_ERR_TRUNCATED, tr_snapshot(registry, few, 4, &total));
    CHECK_EQ(count, total);
    gate_open(&gate);
    CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
    CHECK_EQ(0, tr_len(registry));
    CHECK_EQ(0, snapshot_count(registry));
  }
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(entry_has_everything_about_a_task),
    CHECK_ENTRY(state_only_advances),
    CHECK_ENTRY(task_is_listed_from_the_moment_spawn_returns),
    CHECK_ENTRY(buffer_is_filled_to_its_capacity),
    CHECK_ENTRY(ended_task_is_gone_at_once),
    CHECK_ENTRY(ids_are_unique_in_the_process),
    CHECK_ENTRY(snapshots_under_churn_are_right),
    CHECK_ENTRY(memory_does_not_grow_with_tasks_ever_run),
    CHECK_ENTRY(stacks_of_a_crowd_that_has_left_are_given_back),
    CHECK_ENTRY(waves_of_tasks_leave_nothing_behind))
