/* pthread.c - POSIX threads as they are: create, keep the identifier, join. No names, no list:
   what is measured is the price of the threads alone. All tasks share one cancel flag, with one
   condition variable to sleep on. The usual variant has stacks of 64 KiB and shares one start
   argument among all threads, which is as lean as it gets. Variants:

   record  each thread gets a start record of its own from malloc and frees it, as programs do whose
           threads differ; the C library then keeps a cache of free memory for every thread
   8m      stacks of the 8 MiB that the C library gives by itself on most systems */

#include "bench.h"
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static pthread_attr_t attributes;
static size_t stack_size = 65536;
static int records;
static bench_latch cancelled;
static pthread_t threads[BENCH_MOST_TASKS]; /* spawned without a handle and not joined yet */
static long count;

static int choose(const char *variant) {
  if (variant == NULL) return 0;
  if (strcmp(variant, "record") == 0) return records = 1, 0;
  if (strcmp(variant, "8m") == 0) return stack_size = (size_t)8 << 20, 0;
  return 1;
}

static void *open_registry(void) {
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_size);
  bench_latch_init(&cancelled);
  return &attributes;
}

static void close_registry(void *registry) { pthread_attr_destroy(registry); }

static void *run(void *arg) {
  const bench_job *job = arg;
  job->body(NULL, job->arg);
  return NULL;
}

static void *run_record(void *arg) {
  bench_job job = *(bench_job *)arg;
  free(arg);
  job.body(NULL, job.arg);
  return NULL;
}

static int create(const bench_job *job, pthread_t *thread) {
  bench_job *record;
  int status;
  if (!records) return pthread_create(thread, &attributes, run, (void *)job);
  record = malloc(sizeof *record);
  if (record == NULL) return ENOMEM;
  *record = *job;
  status = pthread_create(thread, &attributes, run_record, record);
  if (status != 0) free(record);
  return status;
}

static int spawn(void *registry, const bench_job *job, void **handle) {
  pthread_t thread;
  int status;
  (void)registry;
  if (handle == NULL && count == BENCH_MOST_TASKS) return ENOMEM;
  status = create(job, &thread);
  if (status != 0) return status;
  if (handle == NULL) threads[count++] = thread;
  else *handle = (void *)thread;
  return 0;
}

static void wait_one(void *registry, void *handle) {
  (void)registry;
  pthread_join((pthread_t)handle, NULL);
}

static long join_all(void *registry, int64_t timeout_ns) {
  struct timespec end = bench_timespec(bench_now_ns() + timeout_ns);
  long left = 0;
  (void)registry;
  for (long i = 0; i < count; i++) {
    int status = timeout_ns < 0 ? pthread_join(threads[i], NULL)
                                : pthread_clockjoin_np(threads[i], NULL, CLOCK_MONOTONIC, &end);
    if (status != 0) threads[left++] = threads[i];
  }
  count = left;
  return left;
}

static void cancel_all(void *registry) {
  (void)registry;
  bench_latch_open(&cancelled);
}

static void cancellable_sleep(bench_self *self) {
  (void)self;
  bench_latch_wait(&cancelled);
}

static long poll_flag(bench_self *self, long times) {
  (void)self;
  return bench_latch_poll(&cancelled, times);
}

const bench_peer bench_peer_under_test = {
    .name = "pthread",
    .choose = choose,
    .open = open_registry,
    .close = close_registry,
    .spawn = spawn,
    .wait_one = wait_one,
    .join_all = join_all,
    .cancel_all = cancel_all,
    .cancellable_sleep = cancellable_sleep,
    .poll_flag = poll_flag,
};
