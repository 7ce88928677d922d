/* 03-deadline.c - wait until a deadline, and learn which tasks did not stop.

   tr_join_all waits for every task of a registry, but only until a deadline. Then it raises the
   flag of each task that is still alive, waits for a short time longer (the abort grace), and
   reports them: those that ended within the abort grace were aborted, the others are abandoned. An
   abandoned task stays in the list until it ends, and a later join can still succeed.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <taskreg.h>

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

/* Ends by itself, long before the deadline. */
static int quick(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  return 0;
}

/* Runs until it is asked to stop, then stops at once. */
static int polite(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  return tr_sleep(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* Never checks its flag. Such code exists: a slow call into a library, a read from a disk that does
   not respond. This one ends when the example lets it. */
static int deaf(tr_task *self, void *ctx) {
  const struct timespec nap = {0, 1000000}; /* 1 ms; this sleep ignores the flag */
  atomic_int *let_go = ctx;

  (void)self;
  while (!atomic_load(let_go)) {
    (void)nanosleep(&nap, NULL);
  }
  return 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const tr_task_summary *)a)->name, ((const tr_task_summary *)b)->name);
}

/* Require that `status` is TR_ERR_DEADLINE and print who was alive at the deadline. */
static void print_missed_deadline(const char *title, tr_status status, tr_join_report *report) {
  if (status != TR_ERR_DEADLINE) {
    fprintf(stderr, "%s: expected the deadline, not: %s\n", title, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
  printf("%s: TR_ERR_DEADLINE\n", title);
  printf("  ended %" PRIu64 ", pending %" PRIu64 " (aborted %" PRIu64 ", abandoned %" PRIu64 ")\n",
         report->ended, report->pending, report->aborted, report->abandoned);

  /* The list has no order of its own. */
  qsort(report->stragglers, (size_t)report->stragglers_count, sizeof report->stragglers[0],
        by_name);
  for (uint64_t i = 0; i < report->stragglers_count; i++) {
    const tr_task_summary *straggler = &report->stragglers[i];
    printf("  straggler: %s (%s), %s, age %" PRId64 " ms\n", straggler->name,
           tr_kind_name(straggler->kind), tr_state_name(straggler->state),
           straggler->age_ns / TR_MILLISECONDS(1));
  }
}

int main(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;
  tr_task *quick_task = NULL;
  tr_task_summary stragglers[8] = {TR_TASK_SUMMARY_INIT};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  atomic_int let_go = 0;
  tr_status status;

  options.abort_grace_ns = TR_MILLISECONDS(500);
  check(tr_registry_create(&options, &registry), "tr_registry_create");
  check(tr_spawn(registry, "quick", TR_KIND_RPC_HANDLER, quick, NULL, &quick_task), "tr_spawn");
  check(tr_spawn(registry, "polite", TR_KIND_BACKGROUND_LOOP, polite, NULL, NULL), "tr_spawn");
  check(tr_spawn(registry, "deaf", TR_KIND_MAINTENANCE, deaf, &let_go, NULL), "tr_spawn");
  check(tr_task_wait(quick_task, TR_FOREVER, NULL), "tr_task_wait");
  tr_task_release(quick_task);

  /* The array of stragglers is the caller's: the library allocates nothing for this report. */
  report.stragglers = stragglers;
  report.stragglers_capacity = sizeof stragglers / sizeof stragglers[0];

  /* A join asks no task to stop before its deadline, here 50 ms from now. */
  status = tr_join_all(registry, TR_MILLISECONDS(50), &report);
  print_missed_deadline("join with 50 ms", status, &report);
  printf("  it took the timeout and the abort grace: %s\n",
         report.elapsed_ns >= TR_MILLISECONDS(550) ? "yes" : "no");
  printf("tasks still tracked: %zu\n", tr_len(registry));

  /* A shutdown asks at once and then joins. It fails for the same reason as the join did... */
  status = tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, "done", 0, &report);
  print_missed_deadline("shutdown with 0 ms", status, &report);

  /* ...until the straggler has ended after all. */
  atomic_store(&let_go, 1);
  check(tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, "done", TR_SECONDS(10), NULL),
        "tr_shutdown");
  printf("shutdown with 10 s: TR_OK\n");
  printf("tasks still tracked: %zu\n", tr_len(registry));
  tr_registry_release(registry);
  return EXIT_SUCCESS;
}
