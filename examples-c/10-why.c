/* 10-why.c - why a shutdown was not graceful: which task did not stop, and what it was doing.

   Tasks set checkpoints (tr_checkpoint) and report progress (tr_progress); both cost very little
   and may be called often. A shutdown stops tasks phase by phase, here a worker before the writer
   that stores its results. The report names the tasks that did not stop in time, with their
   diagnosis, checkpoint and progress, and the tasks that were slow to stop. tr_report_write prints
   all of it; this program prints the parts that are the same in each run.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <taskreg.h>

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

/* Stops at once. */
static int worker(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_wait_cancelled(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* Blocks in a system call that the flag does not end; 07-blocking-calls.c shows what to do. */
static int importer(tr_task *self, void *ctx) {
  const int *pipe_ends = ctx;
  char byte;

  (void)self;
  TR_IGNORE(tr_progress(30, 100, "records"));
  TR_IGNORE(tr_checkpoint("reading record 31"));
  return read(pipe_ends[0], &byte, 1) == 1 ? 0 : 1;
}

/* Has work to complete before it stops: slow, but in time. */
static int writer(tr_task *self, void *ctx) {
  const struct timespec block = {0, 10000000};

  (void)self, (void)ctx;
  TR_IGNORE(tr_wait_cancelled(TR_FOREVER));
  TR_IGNORE(tr_checkpoint("flushing"));
  for (unsigned i = 0; i < 20; i++) {
    (void)nanosleep(&block, NULL); /* as if it wrote one */
    TR_IGNORE(tr_progress(i + 1, 20, "blocks"));
  }
  return 0;
}

static void start(tr_registry *registry, const char *name, tr_task_fn body, void *ctx,
                  uint32_t phase) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;

  options.phase = phase;
  check(tr_spawn_with(registry, name, TR_KIND_APPLICATION, body, ctx, &options, NULL),
        "tr_spawn_with");
}

static void explain(const tr_report *report) {
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  tr_straggler late = TR_STRAGGLER_INIT;
  tr_ended_task slow = TR_ENDED_TASK_INIT;

  for (size_t i = 0; tr_report_phase(report, i, &phase) == TR_OK; i++) {
    printf("phase %u: asked %llu, remaining %llu\n", (unsigned)phase.phase,
           (unsigned long long)phase.asked, (unsigned long long)phase.remaining);
  }
  for (size_t i = 0; tr_report_straggler(report, i, &late) == TR_OK; i++) {
    printf("%s is %s, at \"%s\", after %llu of %llu %s\n", late.name,
           tr_diagnosis_name(late.diagnosis), late.checkpoint,
           (unsigned long long)late.progress_done, (unsigned long long)late.progress_total,
           late.progress_unit);
    printf("it %s since it was asked to stop\n",
           late.cancel_checks > 0 ? "has checked" : "has not checked");
  }
  if (tr_report_slowest(report, 0, &slow) == TR_OK) {
    printf("the slowest that did stop: %s\n", slow.name);
  }
}

int main(void) {
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_registry *registry = NULL;
  tr_report *report = NULL;
  int pipe_ends[2];
  tr_status status;

  if (pipe(pipe_ends) != 0) return EXIT_FAILURE;
  check(tr_registry_create(NULL, &registry), "tr_registry_create");
  start(registry, "worker", worker, NULL, 0);
  start(registry, "importer", importer, pipe_ends, 0);
  start(registry, "writer", writer, NULL, 1);

  /* A task that reported progress within the last second is "progressing". The importer did so more
     than a second before the deadline. */
  counts.full = &report;
  status = tr_shutdown(registry, TR_REASON_USER_REQUESTED, "enough", TR_SECONDS(2), &counts);
  printf("%s\n",
         status == TR_ERR_DEADLINE ? "not every task stopped in time:" : tr_strerror(status));
  explain(report);
  tr_report_release(report);

  /* Write what the importer reads. */
  if (write(pipe_ends[1], "x", 1) != 1) return EXIT_FAILURE;
  check(tr_shutdown(registry, TR_REASON_NONE, NULL, TR_FOREVER, NULL), "tr_shutdown");
  printf("now every task has stopped\n");
  tr_registry_release(registry);
  return EXIT_SUCCESS;
}
