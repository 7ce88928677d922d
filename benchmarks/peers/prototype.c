/* prototype.c - the C prototype of libtaskreg's threading, which is not a part of this repository.
   limit_cached.c is found through the include path of BENCH_PROTOTYPE; it ends with a program of
   its own, which is set aside here. It runs with process-shared condition variables, its best on
   POSIX primitives. Variant: futex. */

#define main prototype_main
#define peer prototype_peer
#include "limit_cached.c"
#undef main
#undef peer

#include "bench.h"

#include <string.h>

static int choose(const char *variant) {
  char program[] = "prototype", park[] = "--park=cond", shared[] = "--pshared=1";
  char *condvar[] = {program, park, shared}, *futex_only[] = {program};
  if (variant == NULL) peer_setup(3, condvar);
  else if (strcmp(variant, "futex") == 0) peer_setup(1, futex_only);
  else return 1;
  return 0;
}

static void run(void *context, void *arg) {
  const bench_job *job = arg;
  job->body(context, job->arg);
}

static int spawn(void *registry, const bench_job *job, void **handle) {
  return p_spawn(registry, job->name, run, (void *)job, handle);
}

static void sleep_until_cancelled(bench_self *self) { p_wait(self); }

static long poll_flag(bench_self *self, long times) {
  p_poll(self, times); /* stops at yes, and nobody cancels a task that polls */
  return times;
}

const bench_peer bench_peer_under_test = {
    .name = "prototype",
    .choose = choose,
    .open = p_open,
    .close = p_close,
    .spawn = spawn,
    .wait_one = p_join,
    .join_all = p_join_all,
    .cancel_all = p_cancel,
    .cancellable_sleep = sleep_until_cancelled,
    .poll_flag = poll_flag,
    .snapshot = p_snapshot,
    .keeps_threads = 1,
};
