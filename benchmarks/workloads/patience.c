/* patience.c - W7, joins that run into their deadline, and W8, a registry at rest. */

#include "workloads.h"

/* ---- W7: stragglers ------------------------------------------------------------------------- */

/* Join with a deadline while `want` tasks are deaf; return how late the join was. */
static int64_t overshoot(void *registry, int64_t deadline_ns, long want) {
  int64_t start = bench_now_ns();
  long left = peer->join_all(registry, deadline_ns);
  int64_t late = bench_now_ns() - start - deadline_ns;
  if (left == BENCH_INCONSISTENT) bench_fail("the join's report contradicts itself");
  if (left != want) bench_fail("%ld tasks were alive at the deadline, reported: %ld", want, left);
  if (late < 0) bench_fail("the join came back %lld ns early", (long long)-late);
  return late;
}

/* To one deaf task in ten, one that obeys is added. The first join meets them all alive; it is at
   its deadline that a library raises the flags. After that the deaf ones alone are left. */
void w7_stragglers(long stragglers) {
  enum { MOST = 200 };
  static crowd deaf, good;
  static bench_job deaf_job = {"w7 deaf", body_deaf, &deaf}, good_job = {"w7", body_blocked, &good};
  const int joins = quick ? 50 : MOST;
  const long obedient = stragglers / 10;
  const int64_t deadline_ns = 10 * BENCH_MS;
  int64_t late[MOST], end;
  int done;
  void *registry = open_or_fail();

  bench_latch_init(&deaf.release);
  if (peer->join_all(registry, 0) == BENCH_CANNOT) {
    bench_note("no join with a deadline that counts");
    peer->close(registry);
    return;
  }
  spawn_many(registry, &deaf_job, stragglers);
  spawn_many(registry, &good_job, obedient);
  if (reached(&deaf.entered, stragglers) && reached(&good.entered, obedient)) {
    bench_sleep_ns(100 * BENCH_MS);
    late[0] = overshoot(registry, deadline_ns, stragglers + obedient);
    peer->cancel_all(registry);
    peer->join_all(registry, BENCH_SECOND); /* the obedient end meanwhile, in a hundredth of it */
    end = bench_now_ns() + 5 * BENCH_SECOND; /* fewer where a join takes long: it is clear then, too */
    for (done = 1; done < joins && bench_now_ns() < end; done++)
      late[done] = overshoot(registry, deadline_ns, stragglers);
    bench_result("first", (double)late[0]);
    bench_sort(late, done);
    bench_result("p50", (double)bench_percentile(late, done, 0.5));
    bench_result("p99", (double)bench_percentile(late, done, 0.99));
    bench_result("exact", 1);
  } else {
    bench_note("not all tasks run, some wait behind others");
    peer->cancel_all(registry);
  }
  bench_latch_open(&deaf.release);
  if (peer->join_all(registry, -1) != 0) bench_fail("a join without a deadline left tasks behind");
  peer->close(registry);
}

/* ---- W8: rest ------------------------------------------------------------------------------- */

void w8_rest(long workers) {
  static crowd all;
  static bench_job job = {"w8", body_deaf, &all};
  const int64_t settle = 3 * BENCH_SECOND, window = (quick ? 2 : 10) * BENCH_SECOND;
  void *registry;
  int64_t used;
  if (!peer->keeps_threads) return;

  registry = open_or_fail();
  bench_latch_init(&all.release);
  spawn_many(registry, &job, workers);
  reached(&all.entered, workers);
  bench_latch_open(&all.release);
  peer->join_all(registry, -1);
  bench_sleep_ns(settle); /* threads that a peer keeps for a while only have left */
  bench_result("threads", (double)bench_threads() - 1);
  used = bench_others_cpu_ns();
  bench_sleep_ns(window);
  used = bench_others_cpu_ns() - used;
  if (used < 0) used = 0; /* two clocks are subtracted, which agree to about a microsecond */
  bench_result("cpu", (double)used * 1e9 / (double)window); /* nanoseconds a second */
  peer->close(registry);
}
