/* glib.c - GLib's GThreadPool without a limit, so that no task waits behind another. (A pool that
   is exclusive must have a limit, and starts that many threads when it is made.) A pool has neither
   handles nor a list, and freeing it is the only join; so a gate and a latch stand beside it. */

#include "bench.h"
#include "support.h"

#include <glib.h>

static GThreadPool *pool;
static bench_gate live;
static bench_latch cancelled;

static void run(gpointer data, gpointer user_data) {
  const bench_job *job = data;
  (void)user_data;
  job->body(NULL, job->arg);
  bench_gate_done(&live);
}

static void *open_registry(void) {
  bench_gate_init(&live);
  bench_latch_init(&cancelled);
  pool = g_thread_pool_new(run, NULL, -1, FALSE, NULL);
  return pool;
}

static void close_registry(void *registry) {
  g_thread_pool_free(registry, FALSE, TRUE);
  g_thread_pool_stop_unused_threads();
}

static int spawn(void *registry, const bench_job *job, void **handle) {
  GError *error = NULL;
  (void)handle;
  bench_gate_add(&live, 1);
  /* An error means that no thread could be made; the task is queued all the same. */
  if (g_thread_pool_push(registry, (gpointer)job, &error)) return 0;
  g_clear_error(&error);
  return 1;
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
    .name = "glib",
    .open = open_registry,
    .close = close_registry,
    .spawn = spawn,
    .join_all = join_all,
    .cancel_all = cancel_all,
    .cancellable_sleep = cancellable_sleep,
    .poll_flag = poll_flag,
    .keeps_threads = 1,
};
