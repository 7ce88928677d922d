/* apr.c - the thread pool of the Apache Portable Runtime, told to queue nothing. It has neither
   handles nor a list nor a join; so a gate and a latch stand beside it. */

#include "bench.h"
#include "support.h"

#include <apr_general.h>
#include <apr_thread_pool.h>

static apr_pool_t *memory;
static bench_gate live;
static bench_latch cancelled;

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data) {
  const bench_job *job = data;
  (void)thread;
  job->body(NULL, job->arg);
  bench_gate_done(&live);
  return NULL;
}

static void *open_registry(void) {
  apr_thread_pool_t *pool = NULL;
  bench_gate_init(&live);
  bench_latch_init(&cancelled);
  if (apr_initialize() != APR_SUCCESS) return NULL;
  if (apr_pool_create(&memory, NULL) != APR_SUCCESS) return NULL;
  if (apr_thread_pool_create(&pool, 0, BENCH_MOST_TASKS, memory) != APR_SUCCESS) return NULL;
  apr_thread_pool_threshold_set(pool, 0); /* a new thread whenever none is idle */
  apr_thread_pool_idle_max_set(pool, 16); /* it would keep none; libtaskreg keeps so many */
  return pool;
}

static void close_registry(void *registry) {
  apr_thread_pool_destroy(registry);
  apr_pool_destroy(memory);
  apr_terminate();
}

static int spawn(void *registry, const bench_job *job, void **handle) {
  apr_status_t status;
  (void)handle;
  bench_gate_add(&live, 1);
  status = apr_thread_pool_push(registry, run, (void *)job, APR_THREAD_TASK_PRIORITY_NORMAL, NULL);
  if (status != APR_SUCCESS) bench_gate_done(&live);
  return status;
}

static long join_all(void *registry, int64_t timeout_ns) {
  (void)registry;
  return bench_gate_wait(&live, timeout_ns);
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
    .name = "apr",
    .open = open_registry,
    .close = close_registry,
    .spawn = spawn,
    .join_all = join_all,
    .cancel_all = cancel_all,
    .cancellable_sleep = cancellable_sleep,
    .poll_flag = poll_flag,
    .keeps_threads = 1,
};
