/* 01-hello.c - spawn one task, wait for it, shut down.

   A task is one thread that runs one function of yours. It has a name and a kind, it can be asked
   to stop, and it belongs to a registry, which lists its tasks and joins them.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>

#include <taskreg.h>

/* Every function that can fail returns a tr_status. These programs end at the first failure. */
static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

/* The body of the task. `self` is the task; `ctx` is what was given to tr_spawn. The task sees
   everything that was written before tr_spawn, and a thread that has waited for the task
   sees everything that it wrote, so ctx needs no lock here. */
static int greet(tr_task *self, void *ctx) {
  int *visits = ctx;
  char name[64]; /* a name has at most 63 bytes */

  tr_task_name(self, name, sizeof name);
  printf("hello from the task \"%s\", which is a %s\n", name,
         tr_kind_name(tr_task_kind(self)));
  *visits += 1;
  return 0; /* anything but 0 would mean that the task failed: see 05-outcomes.c */
}

int main(void) {
  tr_registry *registry = NULL;
  tr_task *task = NULL;
  tr_outcome outcome = TR_OUTCOME_INIT;
  int visits = 0;

  /* Two versions matter: the one this was compiled with and the one that is running. */
  if (tr_version() < TR_VERSION) {
    fprintf(stderr, "this program needs a newer libtaskreg\n");
    return EXIT_FAILURE;
  }

  check(tr_registry_create(NULL, &registry), "tr_registry_create"); /* NULL: the defaults */

  /* The thread starts at once. The last argument may be NULL if the handle of the task is not
     needed. Here it is, and the reference that comes with it has to be released. */
  check(tr_spawn(registry, "greeter", TR_KIND_BACKGROUND_LOOP, greet, &visits, &task), "tr_spawn");

  check(tr_task_wait(task, TR_FOREVER, &outcome), "tr_task_wait"); /* never times out */
  printf("it %s %d; visits: %d\n", tr_ended_name(outcome.how), outcome.code, visits);
  tr_task_release(task);

  /* Accept no more tasks, ask those that are alive to stop, and wait for them for at most 1 s. All
     timeouts are in nanoseconds. After TR_OK no thread of the registry is left. */
  check(tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, "done", TR_SECONDS(1), NULL),
        "tr_shutdown");
  printf("tasks left: %zu\n", tr_len(registry));
  tr_registry_release(registry);
  return EXIT_SUCCESS;
}
