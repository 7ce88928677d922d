/* latency.c - W1, one task at a time, W4, asking "am I cancelled", and W9, cancelling one that blocks. */

#include "workloads.h"

#include <stdlib.h>

/* ---- W1: spawn one task and wait for it ----------------------------------------------------- */

static int64_t spawn_and_wait(void *registry) {
  static bench_gate gate;
  static bench_job nothing = {"w1", body_nothing, NULL}, done = {"w1", body_done, &gate};
  int64_t start;
  int status;
  if (peer->wait_one != NULL) {
    void *handle = NULL;
    start = bench_now_ns();
    status = peer->spawn(registry, &nothing, &handle);
    if (status == 0) peer->wait_one(registry, handle);
  } else {
    static bool initialised;
    if (!initialised) bench_gate_init(&gate), initialised = true;
    start = bench_now_ns();
    bench_gate_add(&gate, 1);
    status = peer->spawn(registry, &done, NULL);
    if (status == 0) bench_gate_wait(&gate, -1);
  }
  if (status != 0) bench_fail("spawn was rejected: %d", status);
  return bench_now_ns() - start;
}

void w1_latency(long unused) {
  const long warm = quick ? 10000 : 100000, rested = quick ? 500 : 2000;
  int64_t *took = calloc((size_t)warm, sizeof *took);
  void *registry = open_or_fail();
  (void)unused;
  if (took == NULL) bench_fail("no memory");

  for (long i = 0; i < 200; i++) spawn_and_wait(registry);
  for (long i = 0; i < warm; i++) took[i] = spawn_and_wait(registry);
  bench_sort(took, warm);
  bench_result("p50", (double)bench_percentile(took, warm, 0.5));
  bench_result("p99", (double)bench_percentile(took, warm, 0.99));

  /* The caller stays busy meanwhile, so that only the task's thread has had its rest. */
  for (long i = 0; i < rested; i++) {
    bench_busy_ns(100 * BENCH_US);
    took[i] = spawn_and_wait(registry);
  }
  bench_sort(took, rested);
  bench_result("rested_p50", (double)bench_percentile(took, rested, 0.5));

  peer->join_all(registry, -1);
  peer->close(registry);
  free(took);
}

/* ---- W1-work: the same with tasks that are not empty ----------------------------------------- */

static int body_works(bench_self *self, void *unused) {
  (void)self, (void)unused;
  bench_busy_ns(BENCH_US);
  return 0;
}

static void drop_nothing(void *unused) { (void)unused; }

typedef enum w1_way { WAY_PLAIN, WAY_DROP, WAY_OWNED } w1_way;

static int spawn_by(w1_way way, void *registry, const bench_job *job, void **handle) {
  switch (way) {
    case WAY_DROP: return peer->spawn_drop(registry, job, drop_nothing, handle);
    case WAY_OWNED: return peer->spawn_owned(registry, job, handle);
    default: return peer->spawn(registry, job, handle);
  }
}

static int64_t median_of(w1_way way, void *registry, const bench_job *job, int64_t *took, long times) {
  for (long i = 0; i < times; i++) {
    void *handle = NULL;
    int64_t start = bench_now_ns();
    int status = spawn_by(way, registry, job, &handle);
    if (status != 0) bench_fail("spawn was rejected: %d", status);
    peer->wait_one(registry, handle);
    took[i] = bench_now_ns() - start;
  }
  bench_sort(took, times);
  return bench_percentile(took, times, 0.5);
}

/* In turns, so that all of them meet the same phases of the machine; of each the median of its turns. */
void w1_work(long unused) {
  enum { TURNS = 9 };
  const long times = quick ? 2000 : 10000;
  const bench_job nothing = {"w1", body_nothing, NULL}, work = {"w1", body_works, NULL};
  static const char *const names[] = {"empty", "work", "drop", "owned", "body"};
  enum { ROWS = sizeof names / sizeof *names };
  int64_t *took = calloc((size_t)times, sizeof *took), turns[ROWS][TURNS];
  void *registry;
  (void)unused;
  if (took == NULL) bench_fail("no memory");
  if (peer->wait_one == NULL || peer->spawn_drop == NULL || peer->spawn_owned == NULL) return free(took);
  registry = open_or_fail();
  for (int turn = -1; turn < TURNS; turn++) { /* the first does not count */
    int kept = turn < 0 ? 0 : turn;
    turns[0][kept] = median_of(WAY_PLAIN, registry, &nothing, took, times);
    turns[1][kept] = median_of(WAY_PLAIN, registry, &work, took, times);
    turns[2][kept] = median_of(WAY_DROP, registry, &nothing, took, times);
    turns[3][kept] = median_of(WAY_OWNED, registry, &nothing, took, times);
    for (long i = 0; i < times; i++) {
      int64_t start = bench_now_ns();
      body_works(NULL, NULL);
      took[i] = bench_now_ns() - start;
    }
    bench_sort(took, times);
    turns[4][kept] = bench_percentile(took, times, 0.5);
  }
  double found[ROWS];
  for (int i = 0; i < ROWS; i++) {
    bench_sort(turns[i], TURNS);
    found[i] = (double)bench_percentile(turns[i], TURNS, 0.5);
  }
  for (int i = 0; i < ROWS; i++) bench_result(names[i], found[i]);
  /* What is left when the body is taken off. */
  bench_result("work_ratio", (found[1] - found[4]) / found[0]);
  bench_result("drop_ratio", found[2] / found[0]);
  peer->join_all(registry, -1);
  peer->close(registry);
  free(took);
}

/* ---- W4: ask "am I cancelled" --------------------------------------------------------------- */

typedef struct polls {
  long (*poll)(bench_self *self, long times);
  long times;
  double ns_each;
  bench_gate done;
} polls;

static int body_polls(bench_self *self, void *arg) {
  polls *work = arg;
  int64_t start = bench_now_ns();
  long asked = work->poll(self, work->times);
  work->ns_each = (double)(bench_now_ns() - start) / (double)work->times;
  if (asked != work->times) bench_fail("a task that nobody cancelled was cancelled");
  bench_gate_done(&work->done);
  return 0;
}

/* What the machine takes for a loop around one load: nothing that reads a flag can be cheaper. */
static long plain_load(bench_self *self, long times) {
  static uint32_t flag;
  long asked = 0;
  (void)self;
  while (asked < times && !__atomic_load_n(&flag, __ATOMIC_RELAXED)) asked++;
  return asked;
}

/* The best of several: everything that disturbs makes it longer. */
static void measure(void *registry, const char *metric, long (*poll)(bench_self *, long)) {
  static polls work;
  bench_job job = {"w4", body_polls, &work};
  double best = 0;
  if (poll == NULL) return;
  work.poll = poll;
  work.times = quick ? 2000000 : 20000000;
  for (int i = 0; i < 5; i++) {
    bench_gate_init(&work.done);
    bench_gate_add(&work.done, 1);
    spawn_many(registry, &job, 1);
    bench_gate_wait(&work.done, -1);
    if (i == 0 || work.ns_each < best) best = work.ns_each;
    peer->join_all(registry, -1);
  }
  bench_result(metric, best);
}

void w4_flag(long unused) {
  void *registry = open_or_fail();
  (void)unused;
  measure(registry, "plain", plain_load);
  measure(registry, "flag", peer->poll_flag);
  measure(registry, "call", peer->poll_call);
  peer->close(registry);
}

/* ---- W9: from the cancel to the return of the wait ------------------------------------------- */

typedef struct blocked {
  bench_wait how;
  long entered; /* atomic */
  int offered;
  int64_t returned_at_ns;
  bench_gate done;
} blocked;

static int body_waits(bench_self *self, void *arg) {
  blocked *wait = arg;
  __atomic_store_n(&wait->entered, 1, __ATOMIC_RELEASE);
  wait->offered = 1;
  if (peer->cancellable_wait != NULL) wait->offered = peer->cancellable_wait(self, wait->how);
  else if (wait->how == BENCH_WAIT_SLEEP) peer->cancellable_sleep(self);
  else wait->offered = 0;
  wait->returned_at_ns = bench_now_ns();
  bench_gate_done(&wait->done);
  return 0;
}

/* Cancel one task that blocks; return how long its wait took to return, or -1 where the peer has no
   such wait. */
static int64_t cancel_to_return(bench_wait how) {
  static blocked wait;
  static bench_job job = {"w9", body_waits, &wait};
  void *registry = open_or_fail();
  int64_t start;
  wait.how = how;
  wait.entered = 0;
  bench_gate_init(&wait.done);
  bench_gate_add(&wait.done, 1);
  spawn_many(registry, &job, 1);
  if (!reached(&wait.entered, 1)) bench_fail("the task does not start");
  bench_sleep_ns(200 * BENCH_US); /* it is asleep by now */
  start = bench_now_ns();
  peer->cancel_all(registry);
  bench_gate_wait(&wait.done, -1);
  peer->join_all(registry, -1);
  peer->close(registry);
  return wait.offered ? wait.returned_at_ns - start : -1;
}

void w9_stop(long unused) {
  static const struct {
    const char *p50, *p99;
  } metrics[BENCH_WAITS] = {
      {"sleep_p50", "sleep_p99"}, {"fd_p50", "fd_p99"}, {"condition_p50", "condition_p99"}};
  enum { MOST = 2000 };
  static int64_t took[MOST];
  const long rounds = quick ? 300 : MOST;
  (void)unused;
  for (int how = 0; how < BENCH_WAITS; how++) {
    if (cancel_to_return((bench_wait)how) < 0) continue;
    for (long i = 0; i < rounds; i++) took[i] = cancel_to_return((bench_wait)how);
    bench_sort(took, rounds);
    bench_result(metrics[how].p50, (double)bench_percentile(took, rounds, 0.5));
    bench_result(metrics[how].p99, (double)bench_percentile(took, rounds, 0.99));
  }
}
