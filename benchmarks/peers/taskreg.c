/* taskreg.c - libtaskreg. Variants: spin0 (a thread without a task sleeps at once), fresh (no
   thread outlives its task). */

#include "bench.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <taskreg.h>
#include <unistd.h>

static int64_t spin_ns; /* 0: the default */
static uint32_t idle_threads;

/* For snapshots and for the stragglers of a join; not touched, it takes no memory. */
static tr_task_summary list[BENCH_MOST_TASKS];

static int choose(const char *variant) {
  if (variant == NULL) return 0;
  if (strcmp(variant, "spin0") == 0) return spin_ns = TR_SPIN_NEVER, 0;
  if (strcmp(variant, "fresh") == 0) return idle_threads = TR_IDLE_THREADS_NONE, 0;
  return 1;
}

static void *open_registry(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;
  options.stack_size = 65536;
  options.spin_ns = spin_ns;
  options.idle_threads = idle_threads;
  return tr_registry_create(&options, &registry) == TR_OK ? registry : NULL;
}

static void close_registry(void *registry) {
  TR_IGNORE(tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, NULL, TR_FOREVER, NULL));
  tr_registry_release(registry);
}

static int spawn(void *registry, const bench_job *job, void **handle) {
  tr_task *task;
  tr_status status = tr_spawn(registry, job->name, TR_KIND_APPLICATION, job->body, job->arg,
                              handle != NULL ? &task : NULL);
  if (handle != NULL && status == TR_OK) *handle = task;
  return status;
}

static int spawn_drop(void *registry, const bench_job *job, void (*drop)(void *), void **handle) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  tr_task *task;
  options.drop = drop;
  tr_status status = tr_spawn_with(registry, job->name, TR_KIND_APPLICATION, job->body, job->arg, &options, &task);
  if (status == TR_OK) *handle = task;
  return status;
}

static int run_owned(tr_task *self, void *ctx) {
  const bench_job *own = ctx;
  return own->body(self, own->arg);
}

static int spawn_owned(void *registry, const bench_job *job, void **handle) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  tr_task *task;
  bench_job *own = malloc(sizeof *own);
  if (own == NULL) return TR_ERR_NOMEM;
  *own = *job;
  options.drop = free;
  tr_status status = tr_spawn_with(registry, job->name, TR_KIND_APPLICATION, run_owned, own, &options, &task);
  if (status == TR_OK) *handle = task;
  else free(own);
  return status;
}

static void wait_one(void *registry, void *handle) {
  (void)registry;
  TR_IGNORE(tr_task_wait(handle, TR_FOREVER, NULL));
  tr_task_release(handle);
}

static long join_all(void *registry, int64_t timeout_ns) {
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_task_summary first = TR_TASK_SUMMARY_INIT;
  if (timeout_ns < 0) return tr_join_all(registry, TR_FOREVER, NULL) == TR_OK ? 0 : BENCH_INCONSISTENT;
  /* With a deadline the stragglers are named, as a service would want it. */
  list[0] = first;
  report.stragglers = list;
  report.stragglers_capacity = BENCH_MOST_TASKS;
  switch (tr_join_all(registry, timeout_ns, &report)) {
    case TR_OK: return report.pending == 0 ? 0 : BENCH_INCONSISTENT;
    case TR_ERR_DEADLINE: break;
    default: return BENCH_INCONSISTENT;
  }
  if (report.aborted + report.abandoned != report.pending ||
      report.stragglers_count != report.pending)
    return BENCH_INCONSISTENT;
  return (long)report.pending;
}

static void cancel_all(void *registry) {
  tr_token_cancel(tr_registry_token(registry), TR_REASON_REQUESTED_BY_RUN, NULL);
}

static void cancellable_sleep(bench_self *self) {
  (void)self;
  TR_IGNORE(tr_sleep(TR_FOREVER));
}

static int cancellable_wait(bench_self *self, bench_wait how) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  static int quiet[2];
  (void)self;
  switch (how) {
    case BENCH_WAIT_SLEEP: TR_IGNORE(tr_sleep(TR_FOREVER)); return 1;
    case BENCH_WAIT_FD:
      if (quiet[0] == 0 && pipe(quiet) != 0) return 0;
      TR_IGNORE(tr_wait_fd(quiet[0], POLLIN, TR_FOREVER)); return 1;
    case BENCH_WAIT_CONDITION:
      pthread_mutex_lock(&lock);
      while (tr_cond_wait(&never, &lock, TR_FOREVER) == TR_OK) continue;
      pthread_mutex_unlock(&lock);
      return 1;
    default: return 0;
  }
}

static long poll_call(bench_self *self, long times) {
  long asked = 0;
  while (asked < times && !tr_task_is_cancelled(self)) asked++;
  return asked;
}

static long poll_flag(bench_self *self, long times) {
  const uint32_t *flag = tr_task_cancel_flag(self);
  long asked = 0;
  while (asked < times && !__atomic_load_n(flag, __ATOMIC_ACQUIRE)) asked++;
  return asked;
}

static long snapshot(void *registry) {
  tr_task_summary first = TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  list[0] = first;
  if (tr_snapshot(registry, list, BENCH_MOST_TASKS, &count) != TR_OK) return BENCH_INCONSISTENT;
  return (long)count;
}

const bench_peer bench_peer_under_test = {
    .name = "taskreg",
    .choose = choose,
    .open = open_registry,
    .close = close_registry,
    .spawn = spawn,
    .spawn_drop = spawn_drop,
    .spawn_owned = spawn_owned,
    .wait_one = wait_one,
    .join_all = join_all,
    .cancel_all = cancel_all,
    .cancellable_sleep = cancellable_sleep,
    .cancellable_wait = cancellable_wait,
    .poll_call = poll_call,
    .poll_flag = poll_flag,
    .snapshot = snapshot,
    .keeps_threads = 1,
};
