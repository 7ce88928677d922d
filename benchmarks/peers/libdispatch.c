/* libdispatch.c - Grand Central Dispatch: a group on a concurrent queue. Tasks are functions, not
   blocks, so that nothing is copied for them. There are a few threads for all tasks: a task that
   blocks keeps others from starting. */

#include "bench.h"
#include "support.h"

#include <dispatch/dispatch.h>

static dispatch_group_t group;
static bench_latch cancelled;

static void run(void *context) {
  const bench_job *job = context;
  job->body(NULL, job->arg);
}

static void *open_registry(void) {
  bench_latch_init(&cancelled);
  group = dispatch_group_create();
  return dispatch_queue_create("bench", DISPATCH_QUEUE_CONCURRENT);
}

static void close_registry(void *registry) {
  dispatch_release((dispatch_queue_t)registry);
  dispatch_release(group);
}

static int spawn(void *registry, const bench_job *job, void **handle) {
  if (handle != NULL) {
    *handle = dispatch_group_create();
    dispatch_group_async_f(*handle, registry, (void *)job, run);
  } else {
    dispatch_group_async_f(group, registry, (void *)job, run);
  }
  return 0;
}

static void wait_one(void *registry, void *handle) {
  (void)registry;
  dispatch_group_wait(handle, DISPATCH_TIME_FOREVER);
  dispatch_release((dispatch_group_t)handle);
}

static long join_all(void *registry, int64_t timeout_ns) {
  (void)registry;
  if (timeout_ns >= 0) return BENCH_CANNOT; /* there is a deadline, but no count */
  return dispatch_group_wait(group, DISPATCH_TIME_FOREVER);
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
    .name = "libdispatch",
    .open = open_registry,
    .close = close_registry,
    .spawn = spawn,
    .wait_one = wait_one,
    .join_all = join_all,
    .cancel_all = cancel_all,
    .cancellable_sleep = cancellable_sleep,
    .poll_flag = poll_flag,
    .keeps_threads = 1,
};
