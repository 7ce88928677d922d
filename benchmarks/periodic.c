/* periodic.c - what tasks cost that run once a second and do next to nothing: `periodic [TASKS [SECONDS]]`, by default 10 000
   tasks, measured for 10 s. First periodic tasks (tr_spawn_every), then as many that return at once and start again after a
   second (tr_restart_options). Prints runs a second, how much of one processor the process takes, and its threads just before
   the end. There is no peer: nobody else has them without a thread for each. */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "support.h"
#include "taskreg.h"

static atomic_long runs;

static int body(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  atomic_fetch_add_explicit(&runs, 1, memory_order_relaxed);
  return 0;
}

static int64_t cpu_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return now.tv_sec * BENCH_SECOND + now.tv_nsec;
}

static void pause_for(int64_t nanoseconds) {
  struct timespec left = {nanoseconds / BENCH_SECOND, nanoseconds % BENCH_SECOND};
  while (nanosleep(&left, &left) != 0) {}
}

static void must(tr_status status) {
  if (status == TR_OK) return;
  fprintf(stderr, "periodic: %s\n", tr_strerror(status));
  exit(1);
}

/* Spawn the tasks over a second, so that their runs are spread, and measure them. */
static void measure(const char *what, int is_periodic, int tasks, int seconds) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = (uint64_t)tasks;
  tr_registry *registry;
  must(tr_registry_create(&options, &registry));
  tr_restart_options restart = TR_RESTART_OPTIONS_INIT;
  restart.policy = TR_RESTART_ALWAYS;
  restart.min_delay_ns = restart.max_delay_ns = BENCH_SECOND;
  tr_spawn_options restarts = TR_SPAWN_OPTIONS_INIT;
  restarts.restart = &restart;
  tr_schedule schedule = TR_SCHEDULE_INIT;
  schedule.period_ns = BENCH_SECOND;
  for (int i = 0; i < tasks; i++) {
    schedule.first_delay_ns = BENCH_SECOND / tasks * i;
    must(is_periodic ? tr_spawn_every(registry, what, TR_KIND_MAINTENANCE, body, NULL, &schedule, NULL, NULL)
                     : tr_spawn_with(registry, what, TR_KIND_MAINTENANCE, body, NULL, &restarts, NULL));
    if (!is_periodic && i % 100 == 99) pause_for(BENCH_SECOND / tasks * 100);
  }
  pause_for(2 * BENCH_SECOND);
  long first = atomic_load(&runs);
  int64_t cpu = cpu_ns(), begin = bench_now_ns();
  pause_for(seconds * BENCH_SECOND);
  int64_t took = bench_now_ns() - begin;
  cpu = cpu_ns() - cpu;
  printf("%-9s %d tasks: %.0f runs/s, %.2f %% of a processor, %ld threads\n", what, tasks,
         (double)(atomic_load(&runs) - first) * 1e9 / (double)took, (double)cpu * 100 / (double)took, bench_threads());
  must(tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, 60 * BENCH_SECOND, NULL));
  tr_registry_release(registry);
}

int main(int argc, char **argv) {
  int tasks = argc > 1 ? atoi(argv[1]) : 10000, seconds = argc > 2 ? atoi(argv[2]) : 10;
  if (tasks < 1 || seconds < 1) {
    fprintf(stderr, "usage: periodic [TASKS [SECONDS]]\n");
    return 2;
  }
  measure("periodic", 1, tasks, seconds);
  measure("restarts", 0, tasks, seconds);
  return 0;
}
