/* crowds.c - many tasks that are alive at once: W3, starting and stopping them, and W5, listing
   them. */

#include "workloads.h"

#include <pthread.h>

/* ---- W3: a crowd ---------------------------------------------------------------------------- */

static void list_all(void *registry, long live) {
  long listed;
  if (peer->snapshot == NULL) return;
  listed = peer->snapshot(registry);
  if (listed != live) bench_fail("%ld tasks are alive and %ld are listed", live, listed);
  bench_result("listed", (double)listed);
}

void w3_crowd(long tasks) {
  static crowd all;
  static bench_job job = {"w3", body_blocked, &all};
  void *registry = open_or_fail();
  long accepted = 0, live, rss;
  int status = 0;
  int64_t start, spawned, joined;

  bench_rss_bytes();
  rss = bench_rss_bytes();
  start = bench_now_ns();
  while (accepted < tasks && (status = peer->spawn(registry, &job, NULL)) == 0) accepted++;
  spawned = bench_now_ns() - start;
  if (status != 0) bench_note("task %ld of %ld was refused: %d", accepted + 1, tasks, status);

  if (reached(&all.entered, accepted)) {
    bench_sleep_ns(100 * BENCH_MS); /* the last ones go to sleep */
    live = accepted;
    bench_result("spawn", (double)spawned / (double)live);
    bench_result("rss", (double)(bench_rss_bytes() - rss) / (double)live);
    list_all(registry, live);
  } else {
    live = __atomic_load_n(&all.entered, __ATOMIC_ACQUIRE);
    bench_note("only %ld of %ld tasks run, the others wait behind them", live, accepted);
  }
  bench_result("live", (double)live);

  start = bench_now_ns();
  peer->cancel_all(registry);
  if (peer->join_all(registry, -1) != 0) bench_fail("a join without a deadline left tasks behind");
  joined = bench_now_ns() - start;
  peer->close(registry);
  if (live == accepted) {
    bench_result("stop", (double)joined);
    bench_result("gone", (double)(bench_now_ns() - start));
  }
}

/* ---- W5: a snapshot ------------------------------------------------------------------------- */

static uint32_t storm_is_over; /* atomic */

static void *storm(void *registry) {
  while (!__atomic_load_n(&storm_is_over, __ATOMIC_ACQUIRE)) peer->snapshot(registry);
  return NULL;
}

/* The median of several bursts, in tasks per second; of one that is small where they take seconds:
   a registry whose lists take the lock that a spawn takes may starve it. */
static double spawn_rate(void *registry) {
  enum { BURSTS = 5 };
  int64_t rates[BURSTS];
  double trial = gated_burst(registry, 200);
  if (trial < 5000) return trial;
  for (int i = 0; i < BURSTS; i++) rates[i] = (int64_t)gated_burst(registry, quick ? 2000 : 10000);
  bench_sort(rates, BURSTS);
  return (double)bench_percentile(rates, BURSTS, 0.5);
}

void w5_snapshot(long tasks) {
  enum { MOST = 500 };
  static crowd all;
  static bench_job job = {"w5 has a name of some length", body_blocked, &all};
  static int64_t took[MOST];
  const int times = quick ? 100 : MOST;
  void *registry;
  pthread_t thread;
  if (peer->snapshot == NULL) return;

  registry = open_or_fail();
  spawn_many(registry, &job, tasks);
  if (!reached(&all.entered, tasks)) bench_fail("not all of %ld tasks run", tasks);
  bench_sleep_ns(100 * BENCH_MS);
  for (int i = 0; i < times; i++) {
    int64_t start = bench_now_ns();
    long listed = peer->snapshot(registry);
    took[i] = bench_now_ns() - start;
    if (listed != tasks) bench_fail("%ld tasks are alive and %ld are listed", tasks, listed);
  }
  bench_sort(took, times);
  bench_result("p50", (double)bench_percentile(took, times, 0.5));
  bench_result("p99", (double)bench_percentile(took, times, 0.99));

  spawn_rate(registry); /* warms up */
  bench_result("quiet", spawn_rate(registry));
  if (pthread_create(&thread, NULL, storm, registry) != 0) bench_fail("no thread for the storm");
  bench_sleep_ns(2 * BENCH_MS);
  bench_result("beside", spawn_rate(registry));
  __atomic_store_n(&storm_is_over, 1, __ATOMIC_RELEASE);
  pthread_join(thread, NULL);

  peer->cancel_all(registry);
  peer->join_all(registry, -1);
  peer->close(registry);
}
