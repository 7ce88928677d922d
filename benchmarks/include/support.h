/* support.h - the clock, the statistics and the output of the workloads, and two small monitors
   that the workloads share with those peers which have none of their own. For C11 and C++20. */

#ifndef TASKREG_BENCH_SUPPORT_H
#define TASKREG_BENCH_SUPPORT_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_US INT64_C(1000)
#define BENCH_MS INT64_C(1000000)
#define BENCH_SECOND INT64_C(1000000000)

/* ---- Time ----------------------------------------------------------------------------------- */

static inline int64_t bench_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * BENCH_SECOND + now.tv_nsec;
}

static inline struct timespec bench_timespec(int64_t ns) {
  struct timespec value;
  value.tv_sec = (time_t)(ns / BENCH_SECOND);
  value.tv_nsec = (long)(ns % BENCH_SECOND);
  return value;
}

void bench_sleep_ns(int64_t ns);
/* Keep the processor busy for so long: what is measured next starts on a warm core. */
void bench_busy_ns(int64_t ns);

/* CPU time of the whole process without the calling thread, in nanoseconds. */
int64_t bench_others_cpu_ns(void);

/* ---- Memory and threads --------------------------------------------------------------------- */

/* Resident bytes of the process, exact (the kernel walks the page tables for it). */
long bench_rss_bytes(void);
long bench_threads(void);

/* ---- Statistics and output ------------------------------------------------------------------ */

/* Sort `values`; afterwards bench_percentile reads them. */
void bench_sort(int64_t *values, long count);
/* The nearest-rank percentile of sorted values; 0.5 is the median. */
int64_t bench_percentile(const int64_t *sorted, long count, double part);

/* One line for the harness: `metric value`. */
void bench_result(const char *metric, double value);
/* One line for the reader, marked as a remark. */
__attribute__((format(printf, 1, 2))) void bench_note(const char *format, ...);
/* Say what is wrong and end the process: no figure of this run can be trusted. */
__attribute__((format(printf, 1, 2), noreturn)) void bench_fail(const char *format, ...);

/* ---- Gate: counts tasks down ---------------------------------------------------------------- */

typedef struct bench_gate {
  pthread_mutex_t lock;
  pthread_cond_t empty; /* signalled when left becomes 0 */
  long left;            /* atomic */
} bench_gate;

void bench_gate_init(bench_gate *gate);
void bench_gate_add(bench_gate *gate, long count);
void bench_gate_done(bench_gate *gate);
/* Wait until nothing is left, at most timeout_ns (negative: never times out); return what is left. */
long bench_gate_wait(bench_gate *gate, int64_t timeout_ns);

/* ---- Latch: shut until opened, for any number of waiters ------------------------------------ */

typedef struct bench_latch {
  pthread_mutex_t lock;
  pthread_cond_t opened; /* broadcast when is_open becomes 1 */
  uint32_t is_open;      /* atomic; written under the lock */
} bench_latch;

void bench_latch_init(bench_latch *latch);
void bench_latch_open(bench_latch *latch);
void bench_latch_wait(bench_latch *latch);
/* As the poll functions of bench_peer, for peers that use a latch as their cancel flag. */
long bench_latch_poll(const bench_latch *latch, long times);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif
