/* metrics.c - counters, durations and the last tasks of a registry with TR_REGISTRY_METRICS, and
   the totals of one without it. Rules E8, E9, with P1, P4, S6, T2, C12. Tests/formats checks the
   output of tr_metrics_write. */

#include "groups.h"

#include "forking.h"

#include <sys/mman.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* One kind of each that is counted apart; the last stands for all of the application's. */
static const tr_kind kinds[] = {TR_KIND_BACKGROUND_LOOP, TR_KIND_PEER_CONNECTION,
                                TR_KIND_RPC_HANDLER, TR_KIND_MAINTENANCE, TR_KIND_APPLICATION};
enum { KINDS = LENGTH(kinds) };

static tr_registry *measured_with(uint64_t max_tasks) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_METRICS;
  options.max_tasks = max_tasks;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  return registry;
}

static tr_registry *measured(void) { return measured_with(0); }

static tr_registry *measured_group(tr_registry *parent, const char *name) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_METRICS;
  return group_with(parent, name, &options);
}

static tr_metrics metrics_of(tr_registry *registry, tr_kind kind) {
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, kind, &metrics));
  CHECK_EQ(sizeof metrics, metrics.size);
  CHECK_EQ(0, metrics.reserved);
  CHECK_EQ(metrics.live, metrics.spawned - metrics.ended);
  CHECK(metrics.failed + metrics.exited <= metrics.ended);
  return metrics;
}

/* Check the counters of `registry`, of all kinds or of one. */
static void check_counts(tr_registry *registry, tr_kind kind, uint64_t spawned, uint64_t ended,
                         uint64_t failed, uint64_t exited, uint64_t rejected) {
  tr_metrics metrics = metrics_of(registry, kind);
  CHECK_EQ(spawned, metrics.spawned);
  CHECK_EQ(ended, metrics.ended);
  CHECK_EQ(failed, metrics.failed);
  CHECK_EQ(exited, metrics.exited);
  CHECK_EQ(rejected, metrics.rejected);
}

/* ---- Counters ------------------------------------------------------------------------------- */

enum { SPAWNERS = 4, ROUNDS = 500, MIXED_LIMIT = 12 };

/* What one thread of the mixed load did, by kind. */
struct mixed {
  tr_registry *registry;
  int number;
  uint64_t spawned[KINDS], failed[KINDS], exited[KINDS], rejected[KINDS];
  pthread_t thread;
};

static void *spawn_a_mixture(void *argument) {
  static int code = 3;
  struct mixed *mixed = argument;
  int rounds = check_rounds(ROUNDS);
  for (int i = 0; i < rounds; i++) {
    int k = (i + mixed->number) % KINDS, how = i / KINDS % 3;
    /* the application has more than one kind */
    tr_kind kind = kinds[k] == TR_KIND_APPLICATION ? TR_KIND_APPLICATION + (tr_kind)i * 7 : kinds[k];
    tr_task *task = NULL;
    tr_status status = tr_spawn(mixed->registry, "mixed", kind,
                                how == 0   ? body_returns
                                : how == 1 ? body_fails
                                           : body_exits,
                                &code, i % 2 ? &task : NULL);
    if (status == TR_ERR_LIMIT) {
      mixed->rejected[k]++;
      continue;
    }
    CHECK_EQ(TR_OK, status);
    mixed->spawned[k]++;
    mixed->failed[k] += how == 1;
    mixed->exited[k] += how == 2;
    if (task != NULL) wait_and_release(task);
  }
  return NULL;
}

/* The observations of a thread that reads all the time. */
struct reader {
  tr_registry *registry;
  atomic_int stop;
  pthread_t thread;
};

static void *read_all_the_time(void *argument) {
  struct reader *reader = argument;
  uint64_t spawned = 0, ended = 0, peak = 0;
  while (!atomic_load(&reader->stop)) {
    tr_metrics metrics = metrics_of(reader->registry, 0);
    CHECK(metrics.ended <= metrics.spawned);
    CHECK(metrics.live <= metrics.peak && metrics.peak <= MIXED_LIMIT);
    CHECK(metrics.spawned >= spawned && metrics.ended >= ended && metrics.peak >= peak);
    spawned = metrics.spawned, ended = metrics.ended, peak = metrics.peak;
    for (int k = 0; k < KINDS; k++) {
      tr_metrics one = metrics_of(reader->registry, kinds[k]);
      CHECK(one.live <= one.peak && one.peak <= MIXED_LIMIT);
    }
    breathe();
  }
  return NULL;
}

/* Proves: after tasks of all kinds were spawned by several threads at once, and returned, failed,
   left by pthread_exit or were rejected, each counter of each kind is exact, and so is their sum;
   meanwhile no reader sees more tasks ended than spawned, a counter that falls, or more alive than
   max_tasks (E8). Why it matters: alarms are set on these numbers; one that is off by one in a
   thousand is useless for "rejected > 0". Catches: counters without the lock; an end that is
   counted for limits before it is counted here; all kinds in one; an exit that is counted as a
   failure. */
CASE(counts_are_exact_after_a_mixed_load) {
  struct mixed mixed[SPAWNERS];
  struct reader reader = {measured_with(MIXED_LIMIT), 0, 0};
  reader.thread = thread_start(read_all_the_time, &reader);
  for (int i = 0; i < SPAWNERS; i++) {
    mixed[i] = (struct mixed){.registry = reader.registry, .number = i};
    mixed[i].thread = thread_start(spawn_a_mixture, &mixed[i]);
  }
  for (int i = 0; i < SPAWNERS; i++) thread_end(mixed[i].thread);
  CHECK_EQ(TR_OK, tr_join_all(reader.registry, FOREVER, NULL));
  uint64_t spawned = 0, failed = 0, exited = 0, rejected = 0;
  for (int k = 0; k < KINDS; k++) {
    uint64_t own_spawned = 0, own_failed = 0, own_exited = 0, own_rejected = 0;
    for (int i = 0; i < SPAWNERS; i++) {
      own_spawned += mixed[i].spawned[k], own_failed += mixed[i].failed[k];
      own_exited += mixed[i].exited[k], own_rejected += mixed[i].rejected[k];
    }
    CHECK(own_spawned > 0);
    check_counts(reader.registry, kinds[k], own_spawned, own_spawned, own_failed, own_exited,
                 own_rejected);
    spawned += own_spawned, failed += own_failed, exited += own_exited, rejected += own_rejected;
  }
  check_counts(reader.registry, 0, spawned, spawned, failed, exited, rejected);
  atomic_store(&reader.stop, 1);
  thread_end(reader.thread);
  registry_finish(reader.registry);
}

/* Proves: a spawn rejected because the registry is full, or closed, counts as rejected with its
   kind, and as nothing else; one with invalid arguments does not count (E8, S6). Why it matters: a
   limit that is too low shows here, and nowhere else without a log. Catches: a rejected spawn that
   counts as spawned; one that counts with no kind. */
CASE(rejections_are_counted_by_kind) {
  struct gate gate = GATE_INIT;
  tr_registry *registry = measured_with(2);
  for (int i = 0; i < 2; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_MAINTENANCE, body_deaf, &gate, NULL));
  for (int i = 0; i < 3; i++)
    CHECK_EQ(TR_ERR_LIMIT, tr_spawn(registry, "no", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "no", 99, body_never, NULL, NULL));
  check_counts(registry, 0, 2, 0, 0, 0, 3);
  gate_open(&gate);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "no", 0x777, body_never, NULL, NULL));
  check_counts(registry, 0, 2, 2, 0, 0, 4);
  check_counts(registry, TR_KIND_RPC_HANDLER, 0, 0, 0, 0, 3);
  check_counts(registry, TR_KIND_MAINTENANCE, 2, 2, 0, 0, 0);
  check_counts(registry, TR_KIND_APPLICATION, 0, 0, 0, 0, 1);
  CHECK_EQ(2, metrics_of(registry, 0).peak);
  CHECK_EQ(0, metrics_of(registry, TR_KIND_RPC_HANDLER).peak);
  tr_registry_release(registry);
}

/* Proves: once the end of a task is observable, by a wait, a join or the list, it is in the metrics
   and is the last that ended; and a spawn is in them when it has returned (E8). Why it matters:
   "the job is done, and the metrics say it runs" is a support call. Catches: counting the end after
   it was counted for joins, or after the task has left the list. */
CASE(what_was_learned_of_is_counted) {
  tr_registry *registry = measured();
  int rounds = check_rounds(3000);
  for (int i = 0; i < rounds; i++) {
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "one", body_deaf, &gate);
    uint64_t id = tr_task_id(task);
    CHECK_EQ(i + 1, metrics_of(registry, 0).spawned);
    CHECK_EQ(i, metrics_of(registry, 0).ended);
    gate_open(&gate);
    if (i % 3 == 0) CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    if (i % 3 == 1) CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
    if (i % 3 == 2)
      while (snapshot_count(registry) > 0) {}
    CHECK_EQ(i + 1, metrics_of(registry, 0).ended);
    tr_ended_task last = TR_ENDED_TASK_INIT;
    size_t count = 0;
    CHECK_EQ(i == 0 ? TR_OK : TR_ERR_TRUNCATED, tr_recent(registry, &last, 1, &count));
    CHECK_EQ(id, last.id);
    wait_and_release(task); /* the gate is on this stack */
  }
  registry_finish(registry);
}

/* Proves: the peak is the most tasks that were alive at once, of each kind and of all, which is less than
   the sum of those of the kinds; it stays when they have ended (E8).  Why it matters: max_tasks is chosen
   by it.  Catches: the peak of all kinds taken for the sum; a peak that follows the tasks down. */
CASE(the_peak_is_the_most_at_once) {
  tr_registry *registry = measured();
  for (int turn = 0; turn < 2; turn++) {
    struct gate gate = GATE_INIT;
    int handlers = turn == 0 ? 7 : 3, loops = turn == 0 ? 1 : 4;
    for (int i = 0; i < handlers; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "h", TR_KIND_RPC_HANDLER, body_deaf, &gate, NULL));
    for (int i = 0; i < loops; i++)
      CHECK_EQ(TR_OK, tr_spawn(registry, "l", TR_KIND_BACKGROUND_LOOP, body_deaf, &gate, NULL));
    CHECK_EQ(handlers + loops, metrics_of(registry, 0).live);
    gate_open(&gate);
    CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
    CHECK_EQ(0, metrics_of(registry, 0).live);
  }
  CHECK_EQ(8, metrics_of(registry, 0).peak);
  CHECK_EQ(7, metrics_of(registry, TR_KIND_RPC_HANDLER).peak);
  CHECK_EQ(4, metrics_of(registry, TR_KIND_BACKGROUND_LOOP).peak);
  CHECK_EQ(0, metrics_of(registry, TR_KIND_MAINTENANCE).peak);
  registry_finish(registry);
}

static void callback_leaves_the_thread(void *ctx) {
  (void)ctx;
  pthread_exit(NULL);
}

static void leave_while_the_end_is_carried_out(void) {
  tr_registry *registry = measured();
  tr_registration *registration;
  CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), callback_leaves_the_thread, NULL,
                                     NULL, &registration));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_ESSENTIAL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "main", TR_KIND_BACKGROUND_LOOP, body_returns, NULL,
                                &options, NULL));
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  check_counts(registry, 0, 1, 1, 0, 0, 0);
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_recent(registry, NULL, 0, &count));
  CHECK_EQ(1, count);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
}

/* Proves: a task whose thread is left in the middle of its end, by a callback of the application's against
   the rules, is counted once (E8, C12).  Why it matters: more ended than were spawned is a number of
   live tasks beyond 2^63.  Catches: counting before the callbacks have run, and again when the end is
   carried out again.  In a process of its own, as what the callback leaves behind is lost. */
CASE(an_end_that_is_interrupted_counts_once) {
  CHECK_EXITED(0, status_of_role("callback-exits", NULL));
}

/* ---- Groups --------------------------------------------------------------------------------- */

/* Proves: a task of a group, and a rejected spawn, counts in each ancestor that keeps metrics, and
   not in siblings; one in between that keeps none has its totals; and the list of the last tasks
   shows their group (E8, T2). Why it matters: the whole server's numbers are those of its parts.
   Catches: counting only in the task's own registry, or not above one that keeps none; inherited
   metrics. */
CASE(tasks_of_groups_count_above) {
  int code = 9;
  tr_registry *top = measured();
  tr_registry *middle = group_new(top, "middle");
  tr_registry *leaf = measured_group(middle, "leaf");
  tr_registry *beside = measured_group(top, "beside");
  wait_and_release(spawn(leaf, "in leaf", body_returns, NULL));
  wait_and_release(spawn(middle, "in middle", body_fails, &code));
  wait_and_release(spawn(beside, "in beside", body_exits, NULL));
  wait_and_release(spawn(top, "in top", body_returns, NULL));
  CHECK_EQ(TR_OK, shutdown_fully(leaf, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(TR_ERR_CLOSED, try_spawn(leaf));
  check_counts(top, 0, 4, 4, 1, 1, 1);
  check_counts(top, TR_KIND_BACKGROUND_LOOP, 4, 4, 1, 1, 0);
  check_counts(top, TR_KIND_RPC_HANDLER, 0, 0, 0, 0, 1);
  check_counts(middle, 0, 2, 2, 1, 0, 1);
  check_counts(leaf, 0, 1, 1, 0, 0, 1);
  check_counts(beside, 0, 1, 1, 0, 1, 0);
  CHECK_EQ(1, metrics_of(top, 0).peak);
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(middle, TR_KIND_BACKGROUND_LOOP, &metrics));

  static const char *const names[] = {"in top", "in beside", "in middle", "in leaf"};
  static const char *const groups[] = {"", "beside", "middle", "middle/leaf"};
  tr_ended_task last[4] = {TR_ENDED_TASK_INIT};
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_recent(top, last, 4, &count));
  CHECK_EQ(4, count);
  for (size_t i = 0; i < count; i++) {
    CHECK_STR(names[i], last[i].name);
    CHECK_STR(groups[i], last[i].group);
  }
  CHECK_EQ(TR_OK, tr_recent(leaf, last, 4, &count));
  CHECK_EQ(1, count);
  CHECK_EQ(TR_ERR_INVALID, tr_recent(middle, last, 4, &count));
  tr_registry_release(beside);
  tr_registry_release(leaf);
  tr_registry_release(middle);
  registry_finish(top);
}

/* Proves: a group inside a registry without metrics keeps its own, and a registry whose last
   reference went while its tasks were alive counts them to their end (E8, G3). Why it matters:
   metrics of one part may be read without those of the whole; memory that is freed too early is
   reused. Catches: metrics that depend on the root registry; metrics freed with the last handle. */
CASE(metrics_live_as_long_as_tasks) {
  struct gate gate = GATE_INIT;
  tr_registry *top = registry_new();
  tr_registry *group = measured_group(top, "group");
  tr_task *task = spawn(group, "deaf", body_deaf, &gate);
  tr_task *other = NULL;
  tr_registry *orphan = measured();
  CHECK_EQ(TR_OK, tr_spawn(orphan, "deaf", TR_KIND_MAINTENANCE, body_deaf, &gate, &other));
  gate_await(&gate, 2);
  check_counts(group, 0, 1, 0, 0, 0, 0);
  tr_registry_release(group);
  tr_registry_release(orphan);
  gate_open(&gate);
  wait_and_release(task);
  wait_and_release(other);
  check_counts(top, 0, 1, 1, 0, 0, 0);
  registry_finish(top);
}

/* ---- Durations ------------------------------------------------------------------------------ */

/* A body that lasts until the gate opens, and then as long as it says. */
struct timed {
  struct gate *gate;
  int64_t lasts;
  int64_t began, ended; /* on the clock of the library */
};

static int body_timed(tr_task *self, void *ctx) {
  struct timed *timed = ctx;
  (void)self;
  timed->began = now_ns();
  gate_arrive(timed->gate);
  while (now_ns() - timed->began < timed->lasts) {}
  timed->ended = now_ns();
  return 0;
}

static int ascending(const void *one, const void *other) {
  int64_t a = *(const int64_t *)one, b = *(const int64_t *)other;
  return (a > b) - (a < b);
}

/* Check quantiles against the true durations. */
static void check_quantiles(int64_t *durations, size_t count, int64_t p50, int64_t p90, int64_t p99,
                            int64_t longest) {
  const int64_t reported[] = {p50, p90, p99};
  static const size_t percents[] = {50, 90, 99};
  qsort(durations, count, sizeof *durations, ascending);
  CHECK_EQ(durations[count - 1], longest);
  for (size_t i = 0; i < LENGTH(reported); i++) {
    int64_t exact = durations[(count * percents[i] + 99) / 100 - 1];
    int64_t most = exact < 1024 ? 1024 : exact + exact / 4;
    CHECK_MSG(exact <= reported[i] && reported[i] <= most && reported[i] <= longest,
              "p%zu is given as %lld ns, and is %lld", percents[i], (long long)reported[i],
              (long long)exact);
  }
}

/* Proves: the time a task ran is that from its spawn to its end, its time to stop that from its flag to its
   end; the longest are exact, the quantiles at most a quarter above the true ones; those that were not
   asked to stop have none; before any task has ended all are -1 (E8).  Why it matters: a grace is chosen by
   how long tasks take to stop.  Catches: clocks that are mixed; a stop counted from the spawn; quantiles
   that are lower bounds, or of all kinds together. */
CASE(durations_are_those_of_the_tasks) {
  enum { TASKS = 60 };
  static struct timed timed[TASKS];
  static int64_t before[TASKS], ran[TASKS], stopped[TASKS];
  struct gate gate = GATE_INIT, obeying = GATE_INIT;
  tr_registry *registry = measured();
  tr_metrics none = metrics_of(registry, 0);
  CHECK(none.run_p50_ns == -1 && none.run_p90_ns == -1 && none.run_p99_ns == -1);
  CHECK(none.run_max_ns == -1 && none.stop_max_ns == -1 && none.stop_p50_ns == -1);
  for (int i = 0; i < TASKS; i++) {
    timed[i] = (struct timed){&gate, (int64_t)i * i * 2000, 0, 0};
    before[i] = now_ns();
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn(registry, "timed", TR_KIND_RPC_HANDLER, body_timed, &timed[i], &task));
    wait_and_release(task);
    int64_t after = now_ns();
    tr_ended_task last = TR_ENDED_TASK_INIT;
    size_t count = 0;
    TR_IGNORE(tr_recent(registry, &last, 1, &count));
    CHECK(last.ran_ns >= timed[i].ended - timed[i].began);
    CHECK(last.ran_ns <= after - before[i]);
    CHECK(last.spawned_at_ns >= before[i] && last.spawned_at_ns <= timed[i].began);
    CHECK_EQ(-1, last.stop_ns);
    ran[i] = last.ran_ns;
  }
  tr_metrics metrics = metrics_of(registry, TR_KIND_RPC_HANDLER);
  check_quantiles(ran, TASKS, metrics.run_p50_ns, metrics.run_p90_ns, metrics.run_p99_ns,
                  metrics.run_max_ns);
  CHECK_EQ(-1, metrics.stop_max_ns);
  CHECK_EQ(-1, metrics_of(registry, TR_KIND_MAINTENANCE).run_p50_ns);

  for (int i = 0; i < TASKS; i++) {
    tr_task *task = spawn(registry, "obeys", body_obeys, &obeying);
    gate_await(&obeying, i + 1);
    int64_t asked = now_ns();
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    wait_and_release(task);
    int64_t after = now_ns();
    tr_ended_task last = TR_ENDED_TASK_INIT;
    size_t count = 0;
    TR_IGNORE(tr_recent(registry, &last, 1, &count));
    CHECK(last.stop_ns >= 0 && last.stop_ns <= after - asked && last.stop_ns <= last.ran_ns);
    stopped[i] = last.stop_ns;
  }
  metrics = metrics_of(registry, 0);
  check_quantiles(stopped, TASKS, metrics.stop_p50_ns, metrics.stop_p90_ns, metrics.stop_p99_ns,
                  metrics.stop_max_ns);
  CHECK_EQ(-1, metrics_of(registry, TR_KIND_RPC_HANDLER).stop_p50_ns);
  registry_finish(registry);
}

/* ---- The last tasks ------------------------------------------------------------------------- */

/* Proves: of a hundred tasks the last 64 are listed, the latest first, each with its name, kind,
   id, code and ending; a smaller array gets the first of them, TR_ERR_TRUNCATED, and nothing behind
   its end (E8). Why it matters: the tasks that ended right before a failure are the interesting
   ones. Catches: the first 64; the oldest first; a ring that begins in the wrong place before it is
   full. */
CASE(the_last_tasks_are_listed_last_first) {
  enum { TASKS = 100 };
  static int codes[TASKS];
  uint64_t ids[TASKS];
  tr_registry *registry = measured();
  size_t count = 77;
  CHECK_EQ(TR_OK, tr_recent(registry, NULL, 0, &count));
  CHECK_EQ(0, count);
  for (int i = 0; i < TASKS; i++) {
    char name[16];
    snprintf(name, sizeof name, "task %d", i);
    codes[i] = i % 3 == 1 ? 1000 + i : 0;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn(registry, name, TR_KIND_APPLICATION + (tr_kind)i,
                             i % 3 == 2 ? body_exits : body_fails, &codes[i], &task));
    ids[i] = tr_task_id(task);
    wait_and_release(task);

    static tr_ended_task list[TR_RECENT_MOST + 1];
    memset(list, 0x55, sizeof list);
    list[0] = (tr_ended_task)TR_ENDED_TASK_INIT;
    int remembered = i + 1 < (int)TR_RECENT_MOST ? i + 1 : (int)TR_RECENT_MOST;
    int room = i % 2 ? (int)TR_RECENT_MOST : remembered - 1;
    CHECK_EQ(room < remembered ? TR_ERR_TRUNCATED : TR_OK,
             tr_recent(registry, list, (size_t)room, &count));
    CHECK_EQ(remembered, count);
    int filled = room < remembered ? room : remembered;
    for (int at = 0; at < filled; at++) {
      int number = i - at;
      snprintf(name, sizeof name, "task %d", number);
      CHECK_STR(name, list[at].name);
      CHECK_EQ(sizeof list[at], list[at].size);
      CHECK_EQ(ids[number], list[at].id);
      CHECK_EQ(TR_KIND_APPLICATION + number, list[at].kind);
      CHECK_EQ(codes[number], list[at].code);
      CHECK_EQ(number % 3 == 0   ? TR_ENDED_RETURNED
               : number % 3 == 1 ? TR_ENDED_FAILED
                                 : TR_ENDED_EXITED,
               list[at].how);
      CHECK_STR("", list[at].group);
    }
    if (filled > 0) CHECK_EQ(0x55555555, list[filled].size);
  }
  registry_finish(registry);
}

/* ---- Without metrics, and invalid arguments -------------------------------------------------- */

/* Proves: a registry without TR_REGISTRY_METRICS has its totals, with a peak of 0 and durations of
   -1; it counts no kinds and remembers no task (E8). Why it matters: a program may export the
   totals without paying for more. Catches: a registry that keeps metrics without the flag; a
   rejection that is not counted. */
CASE(without_the_flag_there_are_totals) {
  struct gate gate = GATE_INIT;
  int code = 2;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = 2;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  wait_and_release(spawn(registry, "fails", body_fails, &code));
  wait_and_release(spawn(registry, "exits", body_exits, NULL));
  for (int i = 0; i < 2; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_MAINTENANCE, body_deaf, &gate, NULL));
  CHECK_EQ(TR_ERR_LIMIT, try_spawn(registry));
  check_counts(registry, 0, 4, 2, 1, 1, 1);
  tr_metrics metrics = metrics_of(registry, 0);
  CHECK_EQ(2, metrics.live);
  CHECK_EQ(0, metrics.peak);
  CHECK(metrics.run_p50_ns == -1 && metrics.run_p90_ns == -1 && metrics.run_p99_ns == -1);
  CHECK(metrics.stop_p50_ns == -1 && metrics.stop_p90_ns == -1 && metrics.stop_p99_ns == -1);
  CHECK(metrics.run_max_ns == -1 && metrics.stop_max_ns == -1);
  metrics.spawned = 4711;
  for (int k = 0; k < KINDS; k++)
    CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(registry, kinds[k], &metrics));
  CHECK_EQ(4711, metrics.spawned);
  size_t count = 77;
  tr_ended_task task = TR_ENDED_TASK_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_recent(registry, &task, 1, &count));
  CHECK_EQ(77, count);
  gate_open(&gate);
  registry_finish(registry);
}

/* Proves: NULL, an invalid kind, an invalid format and an unknown flag are TR_ERR_INVALID and
   change nothing; a descriptor that is not open is TR_ERR_SYSTEM with errno EBADF, and a pipe
   without a reader EPIPE, without a signal (E8, E9, P4). Why it matters: a scraper that hangs up
   must not end the server. Catches: reading behind NULL; errno lost on the way out; the kinds
   between 4 and 0x100 taken for a place in a table. */
CASE(wrong_arguments_are_errors) {
  tr_registry *registry = measured();
  tr_metrics metrics = TR_METRICS_INIT;
  tr_ended_task task = TR_ENDED_TASK_INIT;
  size_t count = 77;
  metrics.spawned = 4711;
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(NULL, 0, &metrics));
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(registry, 0, NULL));
  static const tr_kind wrong[] = {5, 99, 0xff, 0x101, UINT32_MAX};
  for (size_t i = 0; i < LENGTH(wrong); i++)
    CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(registry, wrong[i], &metrics));
  CHECK_EQ(4711, metrics.spawned);
  CHECK_EQ(TR_ERR_INVALID, tr_recent(NULL, &task, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_recent(registry, &task, 1, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_recent(registry, NULL, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_recent(registry, &task, SIZE_MAX, &count));
  CHECK_EQ(77, count);

  int ends[2];
  CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_write(NULL, ends[1], TR_FORMAT_OPENMETRICS));
  static const uint32_t formats[] = {0, TR_FORMAT_TEXT, TR_FORMAT_JSON, 4, UINT32_MAX};
  for (size_t i = 0; i < LENGTH(formats); i++)
    CHECK_EQ(TR_ERR_INVALID, tr_metrics_write(registry, ends[1], formats[i]));
  tr_registry *plain = registry_new();
  close(ends[0]);
  for (int turn = 0; turn < 2; turn++) {
    tr_registry *which = turn == 0 ? registry : plain;
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_metrics_write(which, ends[1], TR_FORMAT_OPENMETRICS));
    CHECK_EQ(EPIPE, errno);
    CHECK_EQ(TR_ERR_SYSTEM, tr_metrics_write(which, INT32_MAX, TR_FORMAT_OPENMETRICS));
    CHECK_EQ(EBADF, errno);
  }
  close(ends[1]);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *none = NULL;
  for (int bit = 3; bit < 32; bit++) { /* the first three are flags */
    options.flags = TR_REGISTRY_METRICS | 1u << bit;
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &none));
    CHECK_EQ(TR_ERR_INVALID, tr_registry_child(registry, "group", &options, &none));
  }
  CHECK(none == NULL);
  registry_finish(plain);
  registry_finish(registry);
}

/* The bytes each structure had in the release that brought it. Never changed. */
enum { FIRST_METRICS = 128, FIRST_ENDED_TASK = 240, FIRST_SOURCE = 24 };

/* The text that was written to `file`, which is then empty. */
static const char *written(int file) {
  static char text[1 << 18];
  ssize_t length = pread(file, text, sizeof text - 1, 0);
  CHECK(length >= 0);
  text[length] = 0;
  CHECK_EQ(0, ftruncate(file, 0));
  CHECK_EQ(0, lseek(file, 0, SEEK_SET));
  return text;
}

static size_t occurrences(const char *text, const char *what) {
  size_t count = 0;
  for (; (text = strstr(text, what)) != NULL; text++) count++;
  return count;
}

/* Proves: two registries and a group make one exposition, with one "# EOF" or none, each family
   once, and distinguished by a label; the text of a single registry is that of tr_metrics_write; a
   name twice, or none twice, an empty, too long or malformed one, a registry that is NULL, another
   size in the middle, an unknown field or flag are TR_ERR_INVALID, set the error detail, and write
   nothing (E9, P4). Why it matters: two modules of a program are in one scrape, and a family twice
   loses it all. Catches: samples of two with the same labels; elements looked for at this library's
   distance; an error after half the text. */
CASE(several_registries_make_one_exposition) {
  struct larger {
    tr_metrics_source source;
    uint64_t behind;
  } large[3];
  tr_registry *all[3] = {measured(), registry_new()};
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_METRICS;
  CHECK_EQ(TR_OK, tr_registry_child(all[0], "net", &options, &all[2]));
  wait_and_release(spawn(all[2], "one", body_returns, NULL));
  int file = memfd_create("written", MFD_CLOEXEC);
  CHECK(file >= 0);
  tr_metrics_source sources[3];
  for (int i = 0; i < 3; i++) {
    sources[i] = (tr_metrics_source)TR_METRICS_SOURCE_INIT;
    sources[i].registry = all[i];
  }
  sources[1].name = "files";
  CHECK_EQ(TR_OK, tr_metrics_write_all(sources, 3, file, TR_FORMAT_OPENMETRICS, TR_METRICS_NO_EOF));
  const char *text = written(file);
  CHECK_EQ(0, occurrences(text, "# EOF"));
  CHECK_EQ(TR_OK, tr_metrics_write_all(sources, 3, file, TR_FORMAT_OPENMETRICS, 0));
  text = written(file);
  CHECK_EQ(1, occurrences(text, "# EOF\n"));
  CHECK_EQ(9, occurrences(text, "# TYPE "));
  CHECK_STR("application/openmetrics-text; version=1.0.0; charset=utf-8", TR_OPENMETRICS_CONTENT_TYPE);
  CHECK_EQ(1, occurrences(text, "\ntaskreg_tasks_spawned_total{kind=\"maintenance\"} "));
  CHECK_EQ(1, occurrences(text, "\ntaskreg_tasks_spawned_total{registry=\"net\",kind=\"maintenance\"} "));
  CHECK_EQ(1, occurrences(text, "\ntaskreg_tasks_spawned_total{registry=\"files\"} 0\n"));
  CHECK_EQ(1, occurrences(text, "{registry=\"files\",outcome=\"exited\"} 0\n"));
  for (int i = 0; i < 3; i += 2) {
    sources[i].name = "a";
    CHECK_EQ(TR_OK, tr_metrics_write_all(&sources[i], 1, file, TR_FORMAT_OPENMETRICS, 0));
    CHECK(occurrences(written(file), "registry=\"a\"") > 0);
    sources[i].name = NULL;
  }
  CHECK_EQ(TR_OK, tr_metrics_write(all[0], file, TR_FORMAT_OPENMETRICS));
  char *alone = strdup(written(file));
  CHECK_EQ(TR_OK, tr_metrics_write_all(sources, 1, file, TR_FORMAT_OPENMETRICS, 0));
  CHECK_STR(alone, written(file));
  free(alone);

  memset(large, 0, sizeof large);
  for (int i = 0; i < 3; i++) {
    large[i].source = sources[i];
    large[i].source.size = sizeof large[i];
  }
  CHECK_EQ(TR_OK, tr_metrics_write_all(&large[0].source, 3, file, TR_FORMAT_OPENMETRICS, 0));
  CHECK_EQ(1, occurrences(written(file), "{registry=\"net\",kind=\"rpc-handler\",outcome=\"failed\"}"));

#define INVALID(how, ...)                                                                          \
  do {                                                                                             \
    CHECK_EQ(TR_ERR_INVALID, tr_metrics_write_all(__VA_ARGS__));                                   \
    CHECK_MSG(strncmp(tr_error_detail(), "tr_metrics_write_all: " how, strlen("tr_metrics_write_all: " how)) == 0, \
              "%s", tr_error_detail());                                                            \
    CHECK_EQ(0, lseek(file, 0, SEEK_CUR));                                                         \
  } while (0)
  large[2].behind = 1;
  INVALID("sources has a field", &large[0].source, 3, file, TR_FORMAT_OPENMETRICS, 0);
  large[2].source.size = sizeof(tr_metrics_source);
  INVALID("the size in sources", &large[0].source, 3, file, TR_FORMAT_OPENMETRICS, 0);
  static const uint32_t sizes[] = {0, 4, FIRST_SOURCE - 1, FIRST_SOURCE + 4, 65544, UINT32_MAX};
  for (size_t i = 0; i < LENGTH(sizes); i++) {
    sources[0].size = sizes[i];
    INVALID("the size in sources", sources, 1, file, TR_FORMAT_OPENMETRICS, 0);
  }
  sources[0].size = sizeof sources[0];
  sources[1].name = "net";
  INVALID("sources has two registries with the same name", sources, 3, file, TR_FORMAT_OPENMETRICS, 0);
  sources[1].name = NULL;
  INVALID("sources has two registries with the same name", sources, 3, file, TR_FORMAT_OPENMETRICS, 0);
  char long_name[257];
  memset(long_name, 'x', 256);
  long_name[256] = 0;
  const char *const names[] = {"", "\xff", "half \xe2\x82", long_name};
  for (size_t i = 0; i < LENGTH(names); i++) {
    sources[1].name = names[i];
    INVALID("sources has a name that is empty", sources, 3, file, TR_FORMAT_OPENMETRICS, 0);
  }
  sources[1].name = &long_name[1];
  CHECK_EQ(TR_OK, tr_metrics_write_all(sources, 3, file, TR_FORMAT_OPENMETRICS, 0));
  CHECK(strstr(written(file), &long_name[1]) != NULL);
  sources[1].registry = NULL;
  INVALID("sources has a registry that is NULL", sources, 3, file, TR_FORMAT_OPENMETRICS, 0);
  sources[1].registry = all[1];
  sources[1].reserved = 1;
  INVALID("sources has a reserved that is not 0", sources, 3, file, TR_FORMAT_OPENMETRICS, 0);
  sources[1].reserved = 0;
  INVALID("sources is NULL", NULL, 1, file, TR_FORMAT_OPENMETRICS, 0);
  INVALID("count", sources, 1025, file, TR_FORMAT_OPENMETRICS, 0);
  INVALID("count", sources, SIZE_MAX, file, TR_FORMAT_OPENMETRICS, 0);
  INVALID("fd is negative", sources, 1, -1, TR_FORMAT_OPENMETRICS, 0);
  for (int bit = 1; bit < 32; bit++)
    INVALID("flags", sources, 1, file, TR_FORMAT_OPENMETRICS, 1u << bit);
  static const uint32_t formats[] = {0, TR_FORMAT_TEXT, TR_FORMAT_JSON, 4, UINT32_MAX};
  for (size_t i = 0; i < LENGTH(formats); i++)
    INVALID("format", sources, 1, file, formats[i], 0);
#undef INVALID
  errno = 0;
  CHECK_EQ(TR_ERR_SYSTEM, tr_metrics_write_all(sources, 3, INT32_MAX, TR_FORMAT_OPENMETRICS, 0));
  CHECK_EQ(EBADF, errno);
  close(file);
  for (int i = 2; i > 0; i--) registry_finish(all[i]);
  registry_finish(all[0]);
}

/* Proves: a registry that its options name has that label in its metrics, unless it is given another; the name is copied,
   63 bytes of it without half a character; one that is empty or not UTF-8, and one for a group, is TR_ERR_INVALID (E9,
   P4).  Why it matters: two services of a process are told apart in one scrape.  Catches: a name that is the caller's
   memory; a group that is called as its root is. */
CASE(a_registry_has_the_name_of_its_options) {
  char name[80];
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL, *group = NULL, *none = NULL;
  options.name = "\xff";
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &none));
  options.name = "";
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &none));
  CHECK(none == NULL);
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  memcpy(name + 62, "\xc3\xbc", 3); /* a character that would end in byte 64 */
  options.name = name;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  memset(name, '#', sizeof name - 1);
  CHECK_EQ(TR_ERR_INVALID, tr_registry_child(registry, "net", &options, &none));
  CHECK(none == NULL);
  CHECK_EQ(TR_OK, tr_registry_child(registry, "net", NULL, &group));
  int file = memfd_create("written", MFD_CLOEXEC);
  CHECK(file >= 0);
  CHECK_EQ(TR_OK, tr_metrics_write(registry, file, TR_FORMAT_OPENMETRICS));
  char label[160];
  snprintf(label, sizeof label, "\ntaskreg_tasks_spawned_total{registry=\"%.62s\"} 0\n",
           "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
  CHECK_EQ(1, occurrences(written(file), label));
  CHECK_EQ(TR_OK, tr_metrics_write(group, file, TR_FORMAT_OPENMETRICS));
  CHECK_EQ(1, occurrences(written(file), "\ntaskreg_tasks_spawned_total{registry=\"net\"} 0\n"));
  tr_metrics_source source = TR_METRICS_SOURCE_INIT;
  source.registry = registry;
  source.name = "other";
  CHECK_EQ(TR_OK, tr_metrics_write_all(&source, 1, file, TR_FORMAT_OPENMETRICS, 0));
  CHECK_EQ(1, occurrences(written(file), "\ntaskreg_tasks_spawned_total{registry=\"other\"} 0\n"));
  close(file);
  tr_registry_release(group);
  registry_finish(registry);
}

/* Proves: structures that are too small, absurdly large or of a size that no array can have are
   rejected and left unchanged; larger ones get zeros behind the known members, in each element (P4,
   E8). Why it matters: programs of older and newer releases use one library. Catches: a size that
   is not checked; elements stored at this library's distance. */
CASE(structures_of_other_sizes) {
  enum { LARGER = 16 };
  static const uint32_t invalid_sizes[] = {0,     4,     FIRST_METRICS - 8, FIRST_METRICS - 1,
                                           65537, 1u << 20, 0x80000000u,   UINT32_MAX};
  tr_registry *registry = measured();
  for (int i = 0; i < 3; i++) wait_and_release(spawn(registry, "one", body_returns, NULL));
  tr_metrics metrics = TR_METRICS_INIT;
  for (size_t i = 0; i < LENGTH(invalid_sizes); i++) {
    metrics.size = invalid_sizes[i];
    metrics.spawned = 4711;
    CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(registry, 0, &metrics));
    CHECK_EQ(4711, metrics.spawned);
  }
  union {
    tr_metrics metrics;
    unsigned char bytes[sizeof(tr_metrics) + LARGER + 1];
  } large;
  memset(&large, 0x55, sizeof large);
  large.metrics.size = sizeof(tr_metrics) + LARGER;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, 0, &large.metrics));
  CHECK_EQ(3, large.metrics.spawned);
  CHECK_EQ(sizeof(tr_metrics) + LARGER, large.metrics.size);
  for (size_t at = sizeof(tr_metrics); at < sizeof(tr_metrics) + LARGER; at++)
    CHECK_EQ(0, large.bytes[at]);
  CHECK_EQ(0x55, large.bytes[sizeof(tr_metrics) + LARGER]);

  size_t count = 77;
  tr_ended_task task = TR_ENDED_TASK_INIT;
  static const uint32_t invalid_elements[] = {0, 8, FIRST_ENDED_TASK - 8, FIRST_ENDED_TASK + 4, 65544,
                                              UINT32_MAX};
  for (size_t i = 0; i < LENGTH(invalid_elements); i++) {
    task.size = invalid_elements[i];
    CHECK_EQ(TR_ERR_INVALID, tr_recent(registry, &task, 1, &count));
    CHECK_EQ(77, count);
  }
  enum { STRIDE = sizeof(tr_ended_task) + LARGER };
  static _Alignas(tr_ended_task) unsigned char elements[2 * STRIDE + 1];
  memset(elements, 0x55, sizeof elements);
  uint32_t stride = STRIDE;
  memcpy(elements, &stride, sizeof stride);
  CHECK_EQ(TR_ERR_TRUNCATED, tr_recent(registry, (tr_ended_task *)elements, 2, &count));
  CHECK_EQ(3, count);
  for (int i = 0; i < 2; i++) {
    const unsigned char *element = elements + (size_t)i * STRIDE;
    memcpy(&task, element, sizeof task);
    CHECK_EQ(STRIDE, task.size);
    CHECK_STR("one", task.name);
    for (size_t at = sizeof task; at < STRIDE; at++) CHECK_EQ(0, element[at]);
  }
  CHECK_EQ(0x55, elements[2 * STRIDE]);
  registry_finish(registry);
}

/* ---- Fork ----------------------------------------------------------------------------------- */

static void read_in_a_child(tr_registry *registry) {
  begin_as_child();
  tr_metrics metrics = TR_METRICS_INIT;
  tr_ended_task task = TR_ENDED_TASK_INIT;
  size_t count = 77;
  int ok = tr_metrics_read(registry, 0, &metrics) == TR_ERR_FORKED &&
           tr_metrics_write(registry, 1, TR_FORMAT_OPENMETRICS) == TR_ERR_FORKED &&
           tr_recent(registry, &task, 1, &count) == TR_ERR_FORKED && count == 77 &&
           tr_metrics_read(NULL, 0, NULL) == TR_ERR_FORKED;
  /* Not by exit: valgrind would count what the parent's other threads were about to free. */
  if (ok) kill(getpid(), SIGKILL);
  _exit(1);
}

/* Forks, and in the child returns from the body: no end is carried out there. */
static int body_forks(tr_task *self, void *ctx) {
  (void)self;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    return 0;
  }
  return waitpid(child, (int *)ctx, 0) == child ? 0 : 1;
}

/* Proves: in a child of fork, with other threads in the middle of spawning and ending tasks, each
   function is TR_ERR_FORKED at once; and a task that forks ends in its child without its end being
   counted there (P1, E8). Why it matters: the lock of the metrics may stay locked in the child.
   Catches: taking it before, or without, checking whether this is a child. */
CASE(a_child_of_fork_takes_no_lock) {
  struct mixed mixed[SPAWNERS];
  tr_registry *registry = measured_with(MIXED_LIMIT);
  for (int i = 0; i < SPAWNERS; i++) {
    mixed[i] = (struct mixed){.registry = registry, .number = i};
    mixed[i].thread = thread_start(spawn_a_mixture, &mixed[i]);
  }
  for (int i = 0; i < check_rounds(50); i++) {
    int status = 0;
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) read_in_a_child(registry);
    CHECK_EQ(child, waitpid(child, &status, 0));
    CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%#x", (unsigned)status);
  }
  for (int i = 0; i < SPAWNERS; i++) thread_end(mixed[i].thread);
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  uint64_t ended = metrics_of(registry, 0).ended;
  int status = 77;
  tr_task *task = spawn(registry, "forks", body_forks, &status);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK_EXITED(0, status);
  CHECK_EQ(ended + 1, metrics_of(registry, 0).ended);
  tr_task_release(task);
  registry_finish(registry);
}

static const struct check_case cases[] = {
    CHECK_ENTRY(counts_are_exact_after_a_mixed_load),
    CHECK_ENTRY(rejections_are_counted_by_kind),
    CHECK_ENTRY(what_was_learned_of_is_counted),
    CHECK_ENTRY(the_peak_is_the_most_at_once),
    CHECK_ENTRY(an_end_that_is_interrupted_counts_once),
    CHECK_ENTRY(tasks_of_groups_count_above),
    CHECK_ENTRY(metrics_live_as_long_as_tasks),
    CHECK_ENTRY(durations_are_those_of_the_tasks),
    CHECK_ENTRY(the_last_tasks_are_listed_last_first),
    CHECK_ENTRY(without_the_flag_there_are_totals),
    CHECK_ENTRY(wrong_arguments_are_errors), CHECK_ENTRY(several_registries_make_one_exposition),
    CHECK_ENTRY(a_registry_has_the_name_of_its_options),
    CHECK_ENTRY(structures_of_other_sizes),
    CHECK_ENTRY(a_child_of_fork_takes_no_lock)};

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "--role") == 0) {
    CHECK_STR("callback-exits", argv[2]);
    leave_while_the_end_is_carried_out();
    _exit(0);
  }
  return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
