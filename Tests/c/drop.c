/* drop.c - ctx and drop: exactly once on success, never on an error, on the task's thread, under no
   lock, before the task's completion becomes observable. Rule S4. */

#include "support.h"

enum way { RETURNS, FAILS, EXITS, IS_CANCELLED, DEEP_EXIT, WAYS };

/* What one task, its body and its drop do and find. */
struct life {
  tr_registry *registry;
  enum way way;
  struct gate *in_drop; /* the drop waits here when it is not NULL */
  int calls_library;
  atomic_int bodies, drops;
  pid_t body_tid, drop_tid;
  tr_task *body_self, *drop_self;
  pthread_t thread;
  sem_t ready;
};

static void life_init(struct life *life, tr_registry *registry, enum way way) {
  memset(life, 0, sizeof *life);
  life->registry = registry;
  life->way = way;
  CHECK_EQ(0, sem_init(&life->ready, 0, 0));
}

static void exit_from_the_depth(int depth) {
  volatile char frame[64];
  if (depth < 0) return;
  frame[0] = (char)depth;
  if (depth == 0) pthread_exit(NULL);
  exit_from_the_depth(depth - 1);
  frame[1] = frame[0];
}

static int body_lives(tr_task *self, void *ctx) {
  struct life *life = ctx;
  life->body_tid = gettid();
  life->body_self = self;
  life->thread = pthread_self();
  atomic_fetch_add(&life->bodies, 1);
  CHECK_EQ(0, sem_post(&life->ready));
  switch (life->way) {
    case FAILS: return -7;
    case EXITS: pthread_exit(NULL);
    case DEEP_EXIT: exit_from_the_depth(20); break;
    case IS_CANCELLED: be_cancelled(1); break;
    default: break;
  }
  return 0;
}

static void drop_lives(void *ctx) {
  struct life *life = ctx;
  CHECK_EQ(0, atomic_fetch_add(&life->drops, 1));
  CHECK_EQ(1, atomic_load(&life->bodies));
  life->drop_tid = gettid();
  life->drop_self = tr_task_self();
  if (life->calls_library) {
    CHECK(tr_task_id(life->drop_self) >= 1);
    CHECK(tr_len(life->registry) >= 1);
    CHECK_EQ(1, find_in_snapshot(life->registry, tr_task_id(life->drop_self), NULL));
    CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all(life->registry, FOREVER, NULL));
    CHECK_EQ(TR_ERR_DEADLOCK, tr_task_wait(life->drop_self, FOREVER, NULL));
    wait_and_release(spawn(life->registry, "from drop", body_returns, NULL));
    CHECK_EQ(TR_OK, tr_sleep(1));
    CHECK_EQ(TR_OK, tr_task_cancel(life->drop_self));
    CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
    tr_token *token = tr_token_child(tr_registry_token(life->registry));
    CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, NULL));
    tr_token_release(token);
  }
  if (life->in_drop != NULL) gate_pass(life->in_drop);
}

static tr_task *life_begin(struct life *life, uint32_t flags) {
  tr_task *task = spawn_drop(life->registry, "life", body_lives, life, drop_lives, flags);
  if (life->way == IS_CANCELLED) {
    sem_take(&life->ready);
    CHECK_EQ(0, pthread_cancel(life->thread));
  }
  return task;
}

static uint32_t how_of(enum way way) {
  return way == RETURNS ? TR_ENDED_RETURNED : way == FAILS ? TR_ENDED_FAILED : TR_ENDED_EXITED;
}

/* Proves: drop runs exactly once after a body that returned, failed, called pthread_exit (in its
   first frame or deep down) or whose thread was cancelled, in an ordinary and in a fresh thread,
   after the body and on the same thread (S4, O1). Why it matters: ctx is memory; twice is a crash,
   never is a leak. Catches: drop called only after the body's return; called by the joiner. */
CASE(drop_runs_once_on_every_way_out) {
  tr_registry *registry = registry_new();
  for (int round = 0; round < check_rounds(50); round++)
    for (enum way way = RETURNS; way < WAYS; way++) {
      struct life life;
      life_init(&life, registry, way);
      tr_task *task = life_begin(&life, round % 2 ? TR_SPAWN_FRESH_THREAD : 0);
      CHECK_EQ(how_of(way), outcome_of(task).how);
      CHECK_EQ(1, atomic_load(&life.bodies));
      CHECK_EQ(1, atomic_load(&life.drops));
      CHECK_EQ(life.body_tid, life.drop_tid);
      CHECK(life.body_self == task && life.drop_self == task);
      tr_task_release(task);
      CHECK_EQ(0, sem_destroy(&life.ready));
    }
  registry_finish(registry);
}

static atomic_int null_drops;
static void drop_of_null(void *ctx) {
  CHECK(ctx == NULL);
  atomic_fetch_add(&null_drops, 1);
}

/* Proves: drop is called with a NULL ctx too, and a task without a drop is not in need of one
   (S4).  Why it matters: drop may count tasks rather than free memory.  Catches: skipping drop
   when ctx is NULL. */
CASE(drop_is_called_with_null_too) {
  tr_registry *registry = registry_new();
  wait_and_release(spawn_drop(registry, "null", body_returns, NULL, drop_of_null, 0));
  wait_and_release(spawn_drop(registry, "exits", body_exits, NULL, drop_of_null, 0));
  wait_and_release(spawn_drop(registry, "none", body_returns, NULL, NULL, 0));
  CHECK_EQ(2, atomic_load(&null_drops));
  registry_finish(registry);
}

/* Proves: while drop runs the task is alive for all threads: counted, listed, not ended for a wait,
   and a straggler to a join; the moment drop has returned it is none of these (S4, N1, J5). Why it
   matters: a thread that has seen the end may free what drop uses. Catches: reporting the end
   between the body and drop, on any way out. */
CASE(nobody_learns_of_the_end_before_drop_has_returned) {
  for (enum way way = RETURNS; way < WAYS; way++) {
    tr_registry *registry = registry_new();
    struct gate in_drop = GATE_INIT;
    struct life life;
    life_init(&life, registry, way);
    life.in_drop = &in_drop;
    tr_task *task = life_begin(&life, 0);
    gate_await(&in_drop, 1);
    CHECK_EQ(1, tr_len(registry));
    CHECK_EQ(0, tr_is_empty(registry));
    tr_task_summary summary;
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &summary));
    CHECK(summary.state == TR_STATE_RUNNING);
    CHECK_EQ(life.drop_tid, summary.thread_id);
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 0, NULL));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 5 * MS, NULL));
    struct join_call call;
    join_begin_asleep(&call, registry, FOREVER);
    CHECK_EQ(0, atomic_load(&call.returned));
    tr_join_report report = TR_JOIN_REPORT_INIT;
    CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &report));
    CHECK_EQ(1, report.pending);
    gate_open(&in_drop);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK_EQ(0, tr_len(registry));
    CHECK_EQ(0, snapshot_count(registry));
    join_end(&call);
    CHECK_EQ(TR_OK, call.status);
    CHECK_EQ(1, call.report.ended);
    tr_task_release(task);
    registry_finish(registry);
    CHECK_EQ(0, sem_destroy(&life.ready));
  }
}

/* Proves: drop may call the library, also after pthread_exit and thread cancellation: read
   itself, list, spawn, sleep, cancel, and a join of its own registry is a deadlock there as in
   the body (S4, J7).  Why it matters: drop closes connections, logs, hands work on.  Catches:
   drop called under a lock; a thread that no longer knows its task in its last steps. */
CASE(drop_may_call_the_library) {
  tr_registry *registry = registry_new();
  for (int round = 0; round < 5; round++)
    for (enum way way = RETURNS; way < WAYS; way++) {
      struct life life;
      life_init(&life, registry, way);
      life.calls_library = 1;
      tr_task *task = life_begin(&life, round % 2 ? TR_SPAWN_FRESH_THREAD : 0);
      CHECK_EQ(how_of(way), outcome_of(task).how);
      CHECK_EQ(1, atomic_load(&life.drops));
      tr_task_release(task);
      CHECK_EQ(0, sem_destroy(&life.ready));
    }
  registry_finish(registry);
}

/* Proves: on an error neither body nor drop runs, ctx is untouched, *out is untouched and the
   task is in no list: invalid name, kind, body, options and flags, limit reached, registry
   closed by its token and by a shutdown (S4, S5, S6).  Why it matters: the caller frees ctx on
   an error; drop would free it again.  Catches: calling drop on the error path; storing ctx
   before the checks. */
CASE(rejected_spawn_leaves_ctx_to_the_caller) {
  tr_registry_options limits = TR_REGISTRY_OPTIONS_INIT;
  limits.max_tasks = 1;
  tr_registry *limited = NULL;
  CHECK_EQ(TR_OK, create_registry(&limits, &limited));
  struct gate gate = GATE_INIT;
  tr_task *occupant = spawn(limited, "occupant", body_deaf, &gate);
  tr_registry *cancelled = registry_new(), *shut = registry_new(), *open = registry_new();
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(cancelled), TR_REASON_FATAL, NULL));
  CHECK_EQ(TR_OK, shutdown_fully(shut, TR_REASON_FATAL, NULL, 0, NULL));
  tr_spawn_options good = TR_SPAWN_OPTIONS_INIT, flags = good, size = good, stack = good;
  good.drop = flags.drop = size.drop = stack.drop = drop_never;
  flags.flags = 0x80;
  size.size = 3;
  stack.stack_size = UINT64_MAX;
  char long_broken[200];
  memset(long_broken, 'x', sizeof long_broken);
  long_broken[150] = (char)0xFF;
  long_broken[199] = 0;
  const struct {
    tr_registry *registry;
    const char *name;
    tr_kind kind;
    tr_task_fn body;
    const tr_spawn_options *options;
    tr_status expected;
  } rejections[] = {
      {NULL, "n", 1, body_never, &good, TR_ERR_INVALID},
      {open, NULL, 1, body_never, &good, TR_ERR_INVALID},
      {open, "", 1, body_never, &good, TR_ERR_INVALID},
      {open, "\xFF", 1, body_never, &good, TR_ERR_INVALID},
      {open, long_broken, 1, body_never, &good, TR_ERR_INVALID},
      {open, "n", 0, body_never, &good, TR_ERR_INVALID},
      {open, "n", 0x50, body_never, &good, TR_ERR_INVALID},
      {open, "n", 1, NULL, &good, TR_ERR_INVALID},
      {open, "n", 1, body_never, &flags, TR_ERR_INVALID},
      {open, "n", 1, body_never, &size, TR_ERR_INVALID},
      {open, "n", 1, body_never, &stack, TR_ERR_INVALID},
      {limited, "n", 1, body_never, &good, TR_ERR_LIMIT},
      {cancelled, "n", 1, body_never, &good, TR_ERR_CLOSED},
      {shut, "n", 1, body_never, &good, TR_ERR_CLOSED},
  };
  for (int round = 0; round < 20; round++)
    for (size_t i = 0; i < sizeof rejections / sizeof *rejections; i++) {
      char ctx[16], same[16];
      memset(ctx, 0x5a, sizeof ctx);
      memset(same, 0x5a, sizeof same);
      tr_task *out = occupant;
      tr_status status = tr_spawn_with(rejections[i].registry, rejections[i].name, rejections[i].kind,
                                       rejections[i].body, ctx, rejections[i].options, &out);
      CHECK_MSG(status == rejections[i].expected, "rejection %zu is %d", i, (int)status);
      CHECK(out == occupant);
      CHECK_EQ(0, memcmp(ctx, same, sizeof ctx));
    }
  CHECK_EQ(0, tr_len(open));
  CHECK_EQ(0, snapshot_count(open));
  CHECK_EQ(1, tr_len(limited));
  CHECK_EQ(0, tr_len(cancelled));
  CHECK_EQ(0, tr_len(shut));
  gate_open(&gate);
  wait_and_release(occupant);
  /* and none of it runs later */
  registry_finish(limited);
  registry_finish(cancelled);
  registry_finish(shut);
  registry_finish(open);
}

struct result {
  int body, drop;
};
static int body_writes(tr_task *self, void *ctx) {
  (void)self;
  ((struct result *)ctx)->body = 1;
  return 0;
}
static void drop_writes(void *ctx) { ((struct result *)ctx)->drop = 2; }

/* Proves: after tr_task_wait has returned TR_OK whatever drop wrote is there to be read without
   further synchronisation; under ThreadSanitizer that is checked (S4, O3).  Why it matters: the
   end of a task is the point at which its results are handed over.  Catches: a wait that returns
   on a relaxed flag. */
CASE(what_drop_wrote_is_there_after_the_wait) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(1000); i++) {
    struct result result = {0, 0};
    tr_task *task = spawn_drop(registry, "writes", body_writes, &result, drop_writes, 0);
    if (i % 3 == 0) CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
    if (i % 3 == 1) {
      while (tr_task_wait(task, 0, NULL) != TR_OK) sched_yield();
    }
    if (i % 3 == 2) CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK_EQ(3, result.body + result.drop);
    tr_task_release(task);
  }
  registry_finish(registry);
}

static int body_cancels_itself(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  CHECK_EQ(0, pthread_cancel(pthread_self())); /* acts at the next cancellation point */
  return 0;
}
static void drop_at_a_cancellation_point(void *ctx) {
  atomic_fetch_add((atomic_int *)ctx, 1);
  be_cancelled(0);
}

/* Proves: a cancellation of the thread that is still pending when the body returns changes nothing:
   drop is entered once, the task ends, no thread hangs (S4, O1). Why it matters: a pthread_cancel
   that comes a moment late meets the library's own code. Catches: a cancellation point under a
   lock, or between drop and the report of the end. */
CASE(pending_cancellation_does_not_lose_the_drop) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(100); i++) {
    atomic_int drops = 0;
    tr_task *task = spawn_drop(registry, "cancels", body_cancels_itself, &drops,
                               drop_at_a_cancellation_point, i % 2 ? TR_SPAWN_FRESH_THREAD : 0);
    tr_outcome outcome = outcome_of(task);
    CHECK(outcome.how == TR_ENDED_RETURNED || outcome.how == TR_ENDED_EXITED);
    CHECK_EQ(1, atomic_load(&drops));
    tr_task_release(task);
    wait_and_release(spawn(registry, "next", body_returns, NULL));
  }
  CHECK_EQ(0, tr_len(registry));
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(drop_runs_once_on_every_way_out),
    CHECK_ENTRY(drop_is_called_with_null_too),
    CHECK_ENTRY(nobody_learns_of_the_end_before_drop_has_returned),
    CHECK_ENTRY(drop_may_call_the_library),
    CHECK_ENTRY(rejected_spawn_leaves_ctx_to_the_caller),
    CHECK_ENTRY(what_drop_wrote_is_there_after_the_wait),
    CHECK_ENTRY(pending_cancellation_does_not_lose_the_drop))
