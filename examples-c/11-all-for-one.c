/* 11-all-for-one.c - tasks that depend on each other start again together.

   A task with tr_spawn_options.restart starts again alone. For tasks that are no use without each
   other, let such a task run them: each of its runs makes a group (tr_registry_child), spawns the
   members there as essential tasks (TR_SPAWN_ESSENTIAL_ON_FAILURE), so that the failure of one asks
   all of them to stop, waits until they have ended, and fails itself. So all of them start again
   after the delay of its policy, and none of the old ones is alive then.

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

/* What the members share. `run` is written while none of them is alive, and needs no lock. */
struct engine {
  tr_registry *all;
  unsigned run;
};

/* ---- The members -------------------------------------------------------------------------- */

/* The body of the reader and of the keeper. */
static int serve(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_sleep(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* Fails in the first run; asks the program to stop in the second. */
static int writer(tr_task *self, void *ctx) {
  const struct engine *engine = ctx;

  if (engine->run == 1) {
    TR_IGNORE(tr_task_set_message(self, "no space left on device"));
    return 1;
  }
  (void)tr_token_cancel(tr_registry_token(engine->all), TR_REASON_USER_REQUESTED, "all written");
  return serve(self, ctx);
}

static tr_status start(tr_registry *group, const char *name, tr_task_fn body, void *ctx) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;

  options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE; /* its failure stops its group */
  return tr_spawn_with(group, name, TR_KIND_APPLICATION, body, ctx, &options, NULL);
}

/* ---- The task that runs them --------------------------------------------------------------- */

static int run_engine(tr_task *self, void *ctx) {
  struct engine *engine = ctx;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_registry *group = NULL;
  char why[128] = "a member could not start";
  tr_status status;

  engine->run++;
  if (tr_registry_child(engine->all, "engine", NULL, &group) != TR_OK) return 1;
  status = start(group, "reader", serve, engine);
  if (status == TR_OK) status = start(group, "keeper", serve, engine);
  if (status == TR_OK) status = start(group, "writer", writer, engine);

  /* Wait until a member fails, which it may have done already (TR_ERR_CLOSED), or this task is asked
     to stop. If the whole program stops, this task is asked in its phase. */
  if (status == TR_OK || status == TR_ERR_CLOSED) {
    status = tr_token_wait(tr_registry_token(group), TR_FOREVER);
    (void)tr_token_message(tr_registry_token(group), why, sizeof why); /* the member's name */
  }
  if (tr_token_is_cancelled(tr_registry_token(engine->all))) {
    status = tr_wait_cancelled(TR_FOREVER);
  }

  /* Stop the members. From here on only the level abort ends a wait of this task, so that it can
     wait for them if it was asked to stop. */
  TR_IGNORE(tr_begin_drain());
  TR_IGNORE(tr_shutdown(group, TR_REASON_REQUESTED_BY_RUN, why, TR_SECONDS(5), &report));
  if (!tr_is_empty(group)) { /* some member did not stop: no run beside it, this one is the last */
    TR_IGNORE(tr_task_cancel(self));
    (void)snprintf(why, sizeof why, "a member did not stop");
    status = TR_ERR_DEADLINE;
  }
  tr_registry_release(group);
  printf("run %u: %s; %llu members have ended\n", engine->run,
         status == TR_ERR_CANCELLED ? "asked to stop" : why,
         (unsigned long long)(report.ended_before + report.ended));
  if (status == TR_ERR_CANCELLED) return 0;
  TR_IGNORE(tr_task_set_message(self, why));
  return 1;
}

int main(void) {
  tr_restart_options restart = TR_RESTART_OPTIONS_INIT;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  struct engine engine = {NULL, 0};

  check(tr_registry_create(NULL, &engine.all), "tr_registry_create");
  restart.policy = TR_RESTART_ON_FAILURE;
  restart.max_restarts = 5;                      /* in any minute; one more failure is the end */
  options.restart = &restart;
  options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE; /* and that of the program */
  check(tr_spawn_with(engine.all, "engine", TR_KIND_BACKGROUND_LOOP, run_engine, &engine, &options,
                      NULL),
        "tr_spawn_with");

  /* Until somebody asks the program to stop; 09-signals.c does it by SIGTERM. */
  check(tr_token_wait(tr_registry_token(engine.all), TR_FOREVER), "tr_token_wait");
  check(tr_shutdown(engine.all, TR_REASON_USER_REQUESTED, NULL, TR_SECONDS(10), NULL), "tr_shutdown");
  printf("stopped in run %u\n", engine.run);
  tr_registry_release(engine.all);
  return EXIT_SUCCESS;
}
