/* common.c - the bodies of the tasks, and spawning many of them. */

#include "workloads.h"

void *open_or_fail(void) {
  void *registry = peer->open();
  if (registry == NULL) bench_fail("%s: the registry could not be opened", peer->name);
  return registry;
}

void spawn_many(void *registry, const bench_job *job, long times) {
  for (long i = 0; i < times; i++) {
    int status = peer->spawn(registry, job, NULL);
    if (status != 0) bench_fail("spawn %ld of %ld was refused: %d", i + 1, times, status);
  }
}

bool reached(const long *count, long want) {
  long seen = -1;
  int64_t changed_at = bench_now_ns();
  for (;;) {
    long now = __atomic_load_n(count, __ATOMIC_ACQUIRE);
    if (now >= want) return true;
    if (now != seen) seen = now, changed_at = bench_now_ns();
    else if (bench_now_ns() - changed_at > BENCH_SECOND) return false;
    bench_sleep_ns(200 * BENCH_US);
  }
}

int body_nothing(bench_self *self, void *unused) {
  (void)self, (void)unused;
  return 0;
}

int body_done(bench_self *self, void *gate) {
  (void)self;
  bench_gate_done(gate);
  return 0;
}

int body_blocked(bench_self *self, void *arg) {
  crowd *all = arg;
  __atomic_fetch_add(&all->entered, 1, __ATOMIC_RELEASE);
  peer->cancellable_sleep(self);
  return 0;
}

int body_deaf(bench_self *self, void *arg) {
  crowd *all = arg;
  (void)self;
  __atomic_fetch_add(&all->entered, 1, __ATOMIC_RELEASE);
  bench_latch_wait(&all->release);
  return 0;
}
