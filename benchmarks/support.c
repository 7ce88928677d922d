/* support.c - see support.h. */

#include "support.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Time ----------------------------------------------------------------------------------- */

void bench_sleep_ns(int64_t ns) {
  struct timespec end = bench_timespec(bench_now_ns() + ns);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) != 0) continue;
}

void bench_busy_ns(int64_t ns) {
  int64_t end = bench_now_ns() + ns;
  while (bench_now_ns() < end) continue;
}

static int64_t cpu_clock(clockid_t clock) {
  struct timespec used;
  clock_gettime(clock, &used);
  return (int64_t)used.tv_sec * BENCH_SECOND + used.tv_nsec;
}

int64_t bench_others_cpu_ns(void) {
  /* Two clocks cannot be read at one moment. Own time is read first and last, and the process in
     between: the difference is exact to what this thread uses between the two system calls, which
     is subtracted as the mean of both. */
  int64_t before = cpu_clock(CLOCK_THREAD_CPUTIME_ID);
  int64_t process = cpu_clock(CLOCK_PROCESS_CPUTIME_ID);
  int64_t after = cpu_clock(CLOCK_THREAD_CPUTIME_ID);
  return process - (before + after) / 2;
}

/* ---- Memory and threads --------------------------------------------------------------------- */

static long number_from(const char *file, const char *label) {
  char line[256];
  long value = -1;
  FILE *in = fopen(file, "r");
  if (in == NULL) return -1;
  while (value < 0 && fgets(line, sizeof line, in) != NULL) {
    if (strncmp(line, label, strlen(label)) == 0) value = strtol(line + strlen(label), NULL, 10);
  }
  fclose(in);
  return value;
}

long bench_rss_bytes(void) {
  /* VmRSS of /proc/self/status is a sum of per-processor counters that lags behind. */
  long kilobytes = number_from("/proc/self/smaps_rollup", "Rss:");
  if (kilobytes < 0) kilobytes = number_from("/proc/self/status", "VmRSS:");
  return kilobytes * 1024;
}

long bench_threads(void) { return number_from("/proc/self/status", "Threads:"); }

/* ---- Statistics and output ------------------------------------------------------------------ */

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

void bench_sort(int64_t *values, long count) {
  qsort(values, (size_t)count, sizeof *values, compare);
}

int64_t bench_percentile(const int64_t *sorted, long count, double part) {
  long rank = (long)(part * (double)count);
  return sorted[rank < count ? rank : count - 1];
}

void bench_result(const char *metric, double value) {
  printf("%s %.10g\n", metric, value);
  fflush(stdout);
}

void bench_note(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("# ");
  vprintf(format, arguments);
  printf("\n");
  fflush(stdout);
  va_end(arguments);
}

void bench_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  printf("! ");
  vprintf(format, arguments);
  printf("\n");
  fflush(stdout);
  va_end(arguments);
  _exit(3); /* the tasks may still run: nothing is torn down under them */
}

/* ---- Gate ----------------------------------------------------------------------------------- */

static void init_monotonic(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

void bench_gate_init(bench_gate *gate) {
  pthread_mutex_init(&gate->lock, NULL);
  init_monotonic(&gate->empty);
  gate->left = 0;
}

void bench_gate_add(bench_gate *gate, long count) {
  __atomic_fetch_add(&gate->left, count, __ATOMIC_RELAXED);
}

void bench_gate_done(bench_gate *gate) {
  if (__atomic_sub_fetch(&gate->left, 1, __ATOMIC_ACQ_REL) != 0) return;
  /* The lock orders this signal after the look that a waiter takes under it. */
  pthread_mutex_lock(&gate->lock);
  pthread_cond_broadcast(&gate->empty);
  pthread_mutex_unlock(&gate->lock);
}

long bench_gate_wait(bench_gate *gate, int64_t timeout_ns) {
  struct timespec end = bench_timespec(bench_now_ns() + (timeout_ns < 0 ? 0 : timeout_ns));
  long left;
  int status = 0;
  pthread_mutex_lock(&gate->lock);
  while ((left = __atomic_load_n(&gate->left, __ATOMIC_ACQUIRE)) > 0 && status == 0) {
    status = timeout_ns < 0 ? pthread_cond_wait(&gate->empty, &gate->lock)
                            : pthread_cond_timedwait(&gate->empty, &gate->lock, &end);
  }
  pthread_mutex_unlock(&gate->lock);
  return left;
}

/* ---- Latch ---------------------------------------------------------------------------------- */

void bench_latch_init(bench_latch *latch) {
  pthread_mutex_init(&latch->lock, NULL);
  pthread_cond_init(&latch->opened, NULL);
  latch->is_open = 0;
}

void bench_latch_open(bench_latch *latch) {
  pthread_mutex_lock(&latch->lock);
  __atomic_store_n(&latch->is_open, 1, __ATOMIC_RELEASE);
  pthread_cond_broadcast(&latch->opened);
  pthread_mutex_unlock(&latch->lock);
}

void bench_latch_wait(bench_latch *latch) {
  pthread_mutex_lock(&latch->lock);
  while (!__atomic_load_n(&latch->is_open, __ATOMIC_RELAXED)) {
    pthread_cond_wait(&latch->opened, &latch->lock);
  }
  pthread_mutex_unlock(&latch->lock);
}

long bench_latch_poll(const bench_latch *latch, long times) {
  long asked = 0;
  while (asked < times && !__atomic_load_n(&latch->is_open, __ATOMIC_ACQUIRE)) asked++;
  return asked;
}
