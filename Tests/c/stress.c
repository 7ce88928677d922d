/* stress.c - everything at once.

   Claims. Whatever eight threads do to a registry at the same time - spawn, cancel, wait, list,
   join, make and cancel tokens, release in any order - 1. every accepted task runs its body once
   and its drop once, and no rejected one does; 2. every accepted task ends in one way, and the
   report of a join that spans it all counts each way exactly; 3. ids are unique, and no entry of a
   snapshot mixes two tasks; 4. after the shutdown nothing is left: no task, no thread. */

#define CHECK_WATCHDOG_SECONDS 180

#include "support.h"

enum { THREADS = 8, HELD = 16, LIMIT = 64 };

/* One task: its work, and its result. Lives until the end of the case. */
struct deed {
  struct stage *stage;
  uint32_t number;
  int way; /* 0 returns, 1 fails, 2 exits, 3 sleeps until cancelled */
  atomic_int bodies, drops;
};

/* What all threads share. */
struct stage {
  tr_registry *registry;
  tr_token *token;
  atomic_int bodies, drops;
  int operations;
};

/* One thread's part. */
struct actor {
  struct stage *stage;
  uint32_t random;
  int spawned, limited, failed, exited;
  uint64_t *ids;
  struct deed *deeds;
  tr_task *held[HELD];
};

static uint32_t next_random(uint32_t *state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

static int body_of_deed(tr_task *self, void *ctx) {
  struct deed *deed = ctx;
  CHECK_EQ(0, atomic_fetch_add(&deed->bodies, 1));
  atomic_fetch_add(&deed->stage->bodies, 1);
  CHECK_EQ(TR_KIND_APPLICATION + deed->number, tr_task_kind(self));
  switch (deed->way) {
    case 1: return (int)(deed->number % 100) + 1;
    case 2: pthread_exit(NULL);
    case 3: {
      tr_status status = tr_sleep((int64_t)(deed->number % 4) * MS);
      CHECK(status == TR_OK || status == TR_ERR_CANCELLED);
      CHECK(status == TR_OK || tr_task_is_cancelled(self));
      return 0;
    }
    default: return 0;
  }
}

static void drop_of_deed(void *ctx) {
  struct deed *deed = ctx;
  CHECK_EQ(1, atomic_load(&deed->bodies));
  CHECK_EQ(0, atomic_fetch_add(&deed->drops, 1));
  atomic_fetch_add(&deed->stage->drops, 1);
}

static void act_spawn(struct actor *actor, unsigned place) {
  struct deed *deed = &actor->deeds[actor->spawned];
  uint32_t random = next_random(&actor->random);
  deed->stage = actor->stage;
  deed->number = random >> 8;
  deed->way = (int)(random % 4);
  char name[64];
  snprintf(name, sizeof name, "deed-%u-%.*s", deed->number, (int)(deed->number % 30),
           "zyxwvutsrqponmlkjihgfedcbazyxwvu");
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_of_deed;
  options.flags = random % 16 == 5   ? TR_SPAWN_FRESH_THREAD
                  : random % 16 == 9 ? TR_SPAWN_CLEANUP
                                     : 0;
  tr_task *task = NULL;
  tr_status status = tr_spawn_with(actor->stage->registry, name, TR_KIND_APPLICATION + deed->number,
                                   body_of_deed, deed, &options, &task);
  if (status == TR_ERR_LIMIT) {
    CHECK(task == NULL);
    actor->limited++;
    return;
  }
  CHECK_EQ(TR_OK, status);
  actor->ids[actor->spawned++] = tr_task_id(task);
  actor->failed += deed->way == 1;
  actor->exited += deed->way == 2;
  tr_task_release(actor->held[place]);
  actor->held[place] = task;
}

static void act_list(struct stage *stage) {
  /* not of one instant: it may show a task that began after another it shows had ended */
  enum { room = 4 * LIMIT };
  tr_task_summary list[room];
  list[0].size = sizeof list[0];
  size_t count = 0;
  tr_status status = tr_snapshot(stage->registry, list, room, &count);
  CHECK(status == TR_OK || status == TR_ERR_TRUNCATED);
  CHECK((count > room) == (status == TR_ERR_TRUNCATED));
  if (count > room) count = room;
  for (size_t i = 0; i < count; i++) {
    unsigned number = 0;
    if (strcmp(list[i].name, "keeper") == 0) continue;
    CHECK_MSG(sscanf(list[i].name, "deed-%u-", &number) == 1, "name \"%s\"", list[i].name);
    CHECK_EQ(TR_KIND_APPLICATION + number, list[i].kind);
    CHECK_EQ(strlen(list[i].name), (size_t)snprintf(NULL, 0, "deed-%u-", number) + number % 30);
    for (size_t j = 0; j < i; j++) CHECK(list[i].id != list[j].id);
  }
}

static void *act(void *argument) {
  struct actor *actor = argument;
  struct stage *stage = actor->stage;
  for (int i = 0; i < stage->operations; i++) {
    uint32_t random = next_random(&actor->random);
    unsigned place = random % HELD;
    tr_task *task = actor->held[place];
    switch ((random >> 8) % 16) {
      case 0: case 1:
        if (task != NULL) CHECK_EQ(TR_OK, tr_task_cancel(task));
        break;
      case 2: case 3:
        if (task != NULL) {
          tr_outcome outcome = TR_OUTCOME_INIT;
          tr_status status = tr_task_wait(task, (random >> 16) % 2 ? 0 : 1 * MS, &outcome);
          CHECK(status == TR_OK || status == TR_ERR_TIMEDOUT);
          CHECK((outcome.how != 0) == (status == TR_OK));
        }
        break;
      case 4: act_list(stage); break;
      case 5: {
        tr_token *child = tr_token_child(tr_registry_token(stage->registry));
        CHECK(child != NULL && !tr_token_is_cancelled(child));
        CHECK_EQ(1, tr_token_cancel(child, random, "child"));
        tr_token_release(child);
        break;
      }
      case 6: {
        tr_registry *again = tr_registry_retain(stage->registry);
        CHECK(tr_len(again) >= 1); /* the keeper */
        tr_registry_release(again);
        break;
      }
      case 7:
        if (task != NULL) {
          char name[64];
          tr_task *again = tr_task_retain(task);
          CHECK(tr_task_name(again, name, sizeof name) < 64);
          CHECK(strncmp(name, "deed-", 5) == 0);
          CHECK(tr_task_kind(again) >= TR_KIND_APPLICATION);
          tr_task_release(again);
        }
        break;
      case 8:
        if (task != NULL) {
          tr_task_release(task);
          actor->held[place] = NULL;
        }
        break;
      case 9:
        if ((random >> 16) % 16 == 0) {
          tr_join_report report = TR_JOIN_REPORT_INIT;
          CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(stage->registry, (random >> 20) % 2 * MS, &report));
          CHECK(report.pending >= 1); /* the keeper at least */
          CHECK_EQ(report.pending, report.aborted + report.abandoned);
        }
        break;
      default: act_spawn(actor, place); break;
    }
  }
  for (unsigned i = 0; i < HELD; i++) tr_task_release(actor->held[i]);
  return NULL;
}

static int compare_ids(const void *left, const void *right) {
  uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
  return a < b ? -1 : a > b;
}

/* Proves: claims 1 to 4 above, for eight threads that each do thousands of random things, with
   one join that spans them all (S1, S4, S6, C3, J3, J6, J8, N2, N3, O3, G4).  Why it matters: no
   single rule is broken by a single thread.  Catches: lost or doubled ends, drops and counts, in
   any interleaving that shows. */
CASE(eight_threads_do_everything_at_once) {
  int threads_before = thread_baseline();
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = LIMIT;
  struct stage stage;
  memset(&stage, 0, sizeof stage);
  stage.operations = check_rounds(12000);
  CHECK_EQ(TR_OK, create_registry(&options, &stage.registry));
  struct gate gate = GATE_INIT;
  tr_task *keeper = spawn(stage.registry, "keeper", body_deaf, &gate);
  gate_await(&gate, 1);
  struct join_call span;
  join_begin_asleep(&span, stage.registry, FOREVER);
  static struct actor actors[THREADS];
  memset(actors, 0, sizeof actors);
  pthread_t threads[THREADS];
  for (uint32_t i = 0; i < THREADS; i++) {
    actors[i].stage = &stage;
    actors[i].random = 2463534242u + i * 7919u;
    actors[i].ids = calloc((size_t)stage.operations, sizeof(uint64_t));
    actors[i].deeds = calloc((size_t)stage.operations, sizeof(struct deed));
    CHECK(actors[i].ids != NULL && actors[i].deeds != NULL);
    threads[i] = thread_start(act, &actors[i]);
  }
  uint64_t spawned = 0, failed = 0, exited = 0, limited = 0;
  for (int i = 0; i < THREADS; i++) {
    thread_end(threads[i]);
    spawned += (uint64_t)actors[i].spawned;
    failed += (uint64_t)actors[i].failed;
    exited += (uint64_t)actors[i].exited;
    limited += (uint64_t)actors[i].limited;
  }
  CHECK_EQ(0, atomic_load(&span.returned));
  gate_open(&gate);
  join_end(&span);
  CHECK_EQ(TR_OK, span.status);
  CHECK_EQ(spawned + 1, span.report.ended);
  CHECK_EQ(failed, span.report.failed);
  CHECK_EQ(exited, span.report.exited);
  CHECK_EQ(limited, span.report.rejected);
  CHECK_EQ(0, span.report.pending);
  CHECK_EQ(spawned, atomic_load(&stage.bodies));
  CHECK_EQ(spawned, atomic_load(&stage.drops));
  CHECK_EQ(0, tr_len(stage.registry));
  CHECK_EQ(0, snapshot_count(stage.registry));
  uint64_t *ids = calloc(spawned + 1, sizeof *ids), filled = 0;
  CHECK(ids != NULL);
  for (int i = 0; i < THREADS; i++) {
    for (int d = 0; d < actors[i].spawned; d++) {
      CHECK_EQ(1, atomic_load(&actors[i].deeds[d].bodies));
      CHECK_EQ(1, atomic_load(&actors[i].deeds[d].drops));
      ids[filled++] = actors[i].ids[d];
    }
  }
  ids[filled++] = tr_task_id(keeper);
  qsort(ids, filled, sizeof *ids, compare_ids);
  CHECK(ids[0] >= 1);
  for (uint64_t i = 1; i < filled; i++) CHECK(ids[i - 1] < ids[i]);
  free(ids);
  tr_task_release(keeper);
  registry_finish(stage.registry);
  threads_settle(threads_before, 5 * SECOND * check_scale());
  for (int i = 0; i < THREADS; i++) {
    free(actors[i].ids);
    free(actors[i].deeds);
  }
}

struct closing_actor {
  struct stage *stage;
  struct deed *deeds;
  int count, accepted, rejected;
  uint32_t random;
};

static void *spawn_into_closing(void *argument) {
  struct closing_actor *actor = argument;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_of_deed;
  while (actor->accepted < actor->count && actor->rejected < 3) {
    struct deed *deed = &actor->deeds[actor->accepted];
    uint32_t random = next_random(&actor->random);
    deed->stage = actor->stage;
    deed->number = random >> 8;
    deed->way = (int)(random % 4);
    tr_status status = tr_spawn_with(actor->stage->registry, "closing",
                                     TR_KIND_APPLICATION + deed->number, body_of_deed, deed,
                                     &options, NULL);
    CHECK(status == TR_OK || status == TR_ERR_CLOSED);
    CHECK(status == TR_ERR_CLOSED || actor->rejected == 0);
    if (status == TR_OK)
      actor->accepted++;
    else
      actor->rejected++;
  }
  return NULL;
}

static void *close_registry(void *argument) {
  struct closing_actor *actor = argument;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  /* awake, up to 1 ms: to yield would be to wait for whatever else the machine does */
  for (int64_t until = now_ns() + next_random(&actor->random) % 1000000; now_ns() < until;) continue;
  CHECK_EQ(TR_OK, shutdown_fully(actor->stage->registry, actor->random, "closing", FOREVER,
                                 &report));
  CHECK_EQ(0, report.pending + report.threads_left);
  CHECK_EQ(0, tr_len(actor->stage->registry));
  actor->accepted = atomic_load(&actor->stage->drops);
  return NULL;
}

/* Proves: four threads spawn while two shut down: when either shutdown has returned, every
   accepted task has been dropped and no further one is ever accepted (S5, G4, J3, J6).
   Why it matters: this is the last second of every busy service.  Catches: a task admitted
   behind the shutdown's back. */
CASE(spawners_race_with_two_shutdowns) {
  enum { spawners = 4, closers = 2, most = 400 };
  int threads_before = thread_baseline();
  for (int round = 0; round < check_rounds(150); round++) {
    struct stage stage;
    memset(&stage, 0, sizeof stage);
    stage.registry = registry_new();
    struct closing_actor actors[spawners + closers];
    pthread_t threads[spawners + closers];
    struct deed *deeds = calloc(spawners * most, sizeof *deeds);
    CHECK(deeds != NULL);
    for (int i = 0; i < spawners + closers; i++) {
      actors[i] = (struct closing_actor){&stage, i < spawners ? deeds + i * most : NULL, most, 0, 0,
                                         (uint32_t)(round * 31 + i + 1)};
      threads[i] = thread_start(i < spawners ? spawn_into_closing : close_registry, &actors[i]);
    }
    int accepted = 0;
    for (int i = 0; i < spawners + closers; i++) {
      thread_end(threads[i]);
      if (i < spawners) accepted += actors[i].accepted;
    }
    for (int i = 0; i < closers; i++) CHECK_EQ(accepted, actors[spawners + i].accepted);
    CHECK_EQ(accepted, atomic_load(&stage.bodies));
    CHECK_EQ(accepted, atomic_load(&stage.drops));
    tr_registry_release(stage.registry);
    free(deeds);
  }
  threads_settle(threads_before, 5 * SECOND * check_scale());
}

struct tenant {
  uint32_t random;
  atomic_int *drops;
  int spawned;
};

static void *live_and_let_go(void *argument) {
  struct tenant *tenant = argument;
  for (int i = 0; i < check_rounds(300); i++) {
    tr_registry *registry = registry_new();
    int tasks = (int)(next_random(&tenant->random) % 5);
    for (int t = 0; t < tasks; t++) {
      uint32_t random = next_random(&tenant->random);
      tr_task *task = spawn_drop(registry, "tenant", random % 2 ? body_returns : body_exits,
                                 tenant->drops, drop_counts, 0);
      tenant->spawned++;
      if (random % 3 == 0) CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
      if (random % 3 == 1) CHECK_EQ(TR_OK, tr_task_cancel(task));
      tr_task_release(task);
    }
    if (next_random(&tenant->random) % 2)
      CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    tr_registry_release(registry);
  }
  return NULL;
}

/* Proves: eight threads make, use, shut down or just release registries of their own: every task
   is dropped once and in the end no thread is left (G3, G4, S4).  Why it matters: the last
   release races with the last worker.  Catches: freeing by both or by neither. */
CASE(registries_live_and_die_in_parallel) {
  int threads_before = thread_baseline();
  static atomic_int drops;
  static struct tenant tenants[THREADS];
  pthread_t threads[THREADS];
  int spawned = 0;
  for (uint32_t i = 0; i < THREADS; i++) {
    tenants[i] = (struct tenant){i * 2654435761u + 1, &drops, 0};
    threads[i] = thread_start(live_and_let_go, &tenants[i]);
  }
  for (int i = 0; i < THREADS; i++) {
    thread_end(threads[i]);
    spawned += tenants[i].spawned;
  }
  threads_settle(threads_before, 20 * SECOND * check_scale());
  CHECK_EQ(spawned, atomic_load(&drops));
}

struct crowd {
  tr_task **tasks;
  int count;
  int64_t timeout;
};

static void *wait_for_crowd(void *argument) {
  struct crowd *crowd = argument;
  for (int i = 0; i < crowd->count; i++) {
    tr_outcome outcome = TR_OUTCOME_INIT;
    tr_status status;
    do {
      status = tr_task_wait(crowd->tasks[i], crowd->timeout, &outcome);
      CHECK(status == TR_OK || (status == TR_ERR_TIMEDOUT && crowd->timeout >= 0));
    } while (status != TR_OK);
    CHECK_EQ(TR_ENDED_FAILED, outcome.how);
    CHECK_EQ(i + 1, outcome.code);
  }
  return NULL;
}

struct numbered {
  struct gate *gate;
  int number;
};

static int body_fails_by_number(tr_task *self, void *ctx) {
  struct numbered *numbered = ctx;
  gate_pass(numbered->gate);
  if (numbered->number % 2) TR_IGNORE(tr_sleep((int64_t)(numbered->number % 5) * MS));
  (void)self;
  return numbered->number;
}

/* Proves: eight threads that wait for the same forty tasks, with different timeouts, while these
   end, all learn every outcome (O3, O1).  Why it matters: many waiters and many ends meet in one
   place.  Catches: a waiter taken off the list of another task; an outcome read before it is
   written. */
CASE(many_waiters_meet_many_ends) {
  enum { count = 40 };
  for (int round = 0; round < check_rounds(50); round++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *tasks[count];
    struct numbered numbers[count];
    for (int i = 0; i < count; i++) {
      numbers[i] = (struct numbered){&gate, i + 1};
      tasks[i] = spawn(registry, "numbered", body_fails_by_number, &numbers[i]);
    }
    const int64_t timeouts[THREADS] = {-1, 0, 1000, 100000, 1 * MS, INT64_MAX, -1, 3 * MS};
    struct crowd crowds[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
      crowds[i] = (struct crowd){tasks, count, timeouts[i]};
      threads[i] = thread_start(wait_for_crowd, &crowds[i]);
    }
    gate_open(&gate);
    for (int i = 0; i < THREADS; i++) thread_end(threads[i]);
    for (int i = 0; i < count; i++) tr_task_release(tasks[i]);
    registry_finish(registry);
  }
}

CHECK_MAIN(
    CHECK_ENTRY(eight_threads_do_everything_at_once),
    CHECK_ENTRY(spawners_race_with_two_shutdowns),
    CHECK_ENTRY(registries_live_and_die_in_parallel),
    CHECK_ENTRY(many_waiters_meet_many_ends))
