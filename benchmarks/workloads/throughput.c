/* throughput.c - W2, a burst of trivial tasks, and W6, a million of them. */

#include "workloads.h"

static int body_count(bench_self *self, void *counter) {
  (void)self;
  __atomic_fetch_add((long *)counter, 1, __ATOMIC_RELAXED);
  return 0;
}

/* ---- W2: a burst ---------------------------------------------------------------------------- */

static double burst(void *registry, long tasks) {
  static long counter;
  bench_job job = {"w2", body_count, &counter};
  int64_t start;
  counter = 0;
  start = bench_now_ns();
  spawn_many(registry, &job, tasks);
  peer->join_all(registry, -1);
  start = bench_now_ns() - start;
  if (counter != tasks) bench_fail("%ld of %ld tasks ran", counter, tasks);
  return (double)tasks * 1e9 / (double)start;
}

void w2_burst(long tasks) {
  enum { MOST = 15 };
  const int bursts = quick ? 3 : MOST; /* odd: the median is one of them */
  int64_t rates[MOST];
  void *registry = open_or_fail();
  bench_result("cold", burst(registry, tasks));
  for (int i = 0; i < bursts; i++) rates[i] = (int64_t)burst(registry, tasks);
  bench_sort(rates, bursts);
  bench_result("rate", (double)bench_percentile(rates, bursts, 0.5));
  peer->close(registry);
}

double gated_burst(void *registry, long tasks) {
  static bench_gate gate;
  bench_job job = {"burst", body_done, &gate};
  int64_t start;
  bench_gate_init(&gate);
  bench_gate_add(&gate, tasks);
  start = bench_now_ns();
  spawn_many(registry, &job, tasks);
  bench_gate_wait(&gate, -1);
  return (double)tasks * 1e9 / (double)(bench_now_ns() - start);
}

/* ---- W6: a million short tasks -------------------------------------------------------------- */

/* Runs so many tasks, or fewer of those who take longer than five seconds; returns how many. */
static long batches(void *registry, const bench_job *job, long tasks, long batch) {
  int64_t end = bench_now_ns() + 5 * BENCH_SECOND;
  long done = 0;
  while (done < tasks && (done % 10000 != 0 || bench_now_ns() < end)) {
    spawn_many(registry, job, batch);
    peer->join_all(registry, -1);
    done += batch;
  }
  return done;
}

/* The memory at the end is compared with that after the first thousand. A hundred of these are
   alive at once, which is the most that the others ever are: so what grows later is not a thread that
   happened to be needed for the first time. */
void w6_million(long tasks) {
  enum { BATCH = 100, FIRST = 1000 };
  const long total = quick ? tasks / 10 : tasks;
  static crowd all;
  static bench_job job = {"w6", body_nothing, NULL}, together = {"w6", body_deaf, &all};
  void *registry = open_or_fail();
  long rss, growth, done;
  int64_t start;

  bench_rss_bytes(); /* once for nothing, so that its own buffers are in the first reading */
  bench_latch_init(&all.release);
  spawn_many(registry, &together, BATCH);
  reached(&all.entered, BATCH);
  bench_latch_open(&all.release);
  peer->join_all(registry, -1);
  batches(registry, &job, FIRST - BATCH, BATCH);

  rss = bench_rss_bytes();
  start = bench_now_ns();
  done = batches(registry, &job, total, BATCH);
  start = bench_now_ns() - start;
  growth = bench_rss_bytes() - rss; /* before anything is printed, which takes pages, too */
  bench_result("rate", (double)done * 1e9 / (double)start);
  if (done < total) bench_note("%ld tasks of %ld in the 5 s it has", done, total);
  bench_result("growth", (double)growth);
  bench_result("threads", (double)bench_threads());
  peer->close(registry);
}
