/* 02-cancellation.c - how tasks are asked to stop, one by one and all together.

   Nothing kills a thread. Each task has a cancel flag. To ask for a stop is to raise the flag, and
   the task sees it in one of two ways: a wait of the library (tr_sleep, tr_task_wait,
   tr_token_wait) returns TR_ERR_CANCELLED at once; a loop that computes calls tr_task_is_cancelled
   from time to time.

   The flag of a single task rises with tr_task_cancel. The flags of all tasks of a registry rise
   with its token, and a token is cancelled with its parent, never the other way.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>

#include <taskreg.h>

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

/* A task that waits: the sleep has no timeout; it ends as soon as the flag is raised. */
static int sleeper(tr_task *self, void *ctx) {
  tr_status *woken_with = ctx;

  (void)self;
  *woken_with = tr_sleep(TR_FOREVER);
  return 0;
}

/* A task that computes: it checks its flag in every round, which costs one atomic load. */
static int counter(tr_task *self, void *ctx) {
  unsigned long *rounds = ctx;

  do {
    *rounds += 1;
  } while (!tr_task_is_cancelled(self));
  return 0;
}

/* Print how a task ended. Waiting makes what the task wrote visible to this thread. */
static void wait_and_print(tr_task *task) {
  tr_outcome outcome = TR_OUTCOME_INIT;
  char name[64];

  check(tr_task_wait(task, TR_FOREVER, &outcome), "tr_task_wait");
  tr_task_name(task, name, sizeof name);
  printf("  %s %s %d, asked to stop: %s\n", name, tr_ended_name(outcome.how), outcome.code,
         outcome.was_cancelled ? "yes" : "no");
}

int main(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;
  tr_token *program = tr_token_create();       /* stops everything */
  tr_token *service = tr_token_child(program); /* stops one part of it */
  tr_token *other = tr_token_child(program);   /* stops another part */
  tr_task *first = NULL, *second = NULL, *third = NULL;
  tr_status first_woken = TR_OK, third_woken = TR_OK, status;
  unsigned long rounds = 0;
  char message[64];

  if (program == NULL || service == NULL || other == NULL) {
    fprintf(stderr, "out of memory\n");
    return EXIT_FAILURE;
  }
  options.token = service; /* without one the registry makes its own: tr_registry_token */
  check(tr_registry_create(&options, &registry), "tr_registry_create");

  check(tr_spawn(registry, "sleeper", TR_KIND_BACKGROUND_LOOP, sleeper, &first_woken, &first),
        "tr_spawn");
  check(tr_spawn(registry, "counter", TR_KIND_BACKGROUND_LOOP, counter, &rounds, &second),
        "tr_spawn");
  check(tr_spawn(registry, "bystander", TR_KIND_BACKGROUND_LOOP, sleeper, &third_woken, &third),
        "tr_spawn");

  printf("one task is asked to stop:\n");
  check(tr_task_cancel(first), "tr_task_cancel");
  wait_and_print(first);
  printf("  its sleep returned: %s\n", first_woken == TR_ERR_CANCELLED ? "cancelled" : "not so");
  printf("  tasks that keep running: %zu\n", tr_len(registry));

  /* A token in another branch does not touch this registry. */
  printf("a sibling's token is cancelled:\n");
  tr_token_cancel(other, TR_REASON_RELOAD_REQUESTED, "new settings");
  printf("  the service is cancelled: %s\n", tr_token_is_cancelled(service) ? "yes" : "no");

  /* The parent does: the registry closes, and all its flags are raised when the call returns.
     Only the first call that cancels a token records a reason and a message. */
  printf("the program's token is cancelled:\n");
  printf("  first: %d\n", tr_token_cancel(program, TR_REASON_USER_REQUESTED, "control-C"));
  printf("  again: %d\n", tr_token_cancel(program, TR_REASON_FATAL, "too late to count"));
  wait_and_print(second);
  wait_and_print(third);
  printf("  the counter got somewhere: %s\n", rounds > 0 ? "yes" : "no");

  tr_token_message(service, message, sizeof message);
  printf("  the service knows why: %s, \"%s\"\n", tr_reason_name(tr_token_reason(service)),
         message);
  tr_token_message(other, message, sizeof message);
  printf("  the sibling keeps its own: %s, \"%s\"\n", tr_reason_name(tr_token_reason(other)),
         message);

  status = tr_spawn(registry, "latecomer", TR_KIND_BACKGROUND_LOOP, sleeper, &first_woken, NULL);
  printf("  a new task is rejected: %s\n",
         status == TR_ERR_CLOSED ? "closed" : tr_strerror(status));

  /* The token has closed the registry; the shutdown joins its threads. */
  check(tr_shutdown(registry, TR_REASON_NONE, NULL, TR_SECONDS(1), NULL), "tr_shutdown");
  tr_task_release(first);
  tr_task_release(second);
  tr_task_release(third);
  tr_registry_release(registry);
  tr_token_release(other);
  tr_token_release(service);
  tr_token_release(program);
  return EXIT_SUCCESS;
}
