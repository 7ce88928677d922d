/* workloads.h - the workloads, and what they share. Each runs in a process of its own. */

#ifndef TASKREG_BENCH_WORKLOADS_H
#define TASKREG_BENCH_WORKLOADS_H

#include "bench.h"
#include "support.h"

#include <stdbool.h>

extern const bench_peer *const peer;

/* Set by --quick: fewer repetitions and shorter rests; the crowds keep their sizes. */
extern bool quick;

void w1_latency(long unused);
void w1_work(long unused);
void w2_burst(long tasks);
void w3_crowd(long tasks);
void w4_flag(long unused);
void w5_snapshot(long tasks);
void w6_million(long tasks);
void w7_stragglers(long stragglers);
void w8_rest(long workers);
void w9_stop(long unused);

/* ---- workloads/common.c --------------------------------------------------------------------- */

void *open_or_fail(void);
/* Spawn `times` tasks of `job` without handles; end the process if one is refused. */
void spawn_many(void *registry, const bench_job *job, long times);
/* Wait until `count` is at least `want`; give up when it has stood still for a second. */
bool reached(const long *count, long want);

/* The argument of body_blocked and body_deaf: how many have entered it, counted atomically. */
typedef struct crowd {
  long entered;
  bench_latch release; /* what the deaf wait for, and nobody but the workload opens */
} crowd;

int body_nothing(bench_self *self, void *unused);
int body_done(bench_self *self, void *gate);     /* counts a bench_gate down */
int body_blocked(bench_self *self, void *crowd); /* sleeps until it is cancelled */
int body_deaf(bench_self *self, void *crowd);    /* sleeps until the workload releases it */

/* ---- workloads/throughput.c ----------------------------------------------------------------- */

/* Spawn `tasks` trivial tasks and wait for them at a gate, for registries where others live on;
   return tasks per second. */
double gated_burst(void *registry, long tasks);

#endif
