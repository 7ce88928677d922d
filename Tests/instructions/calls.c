/* calls.c - what scripts/instructions counts: calls of the library, each from the same state every time.

   Runs under callgrind, which counts the instructions of each thread between two requests of this program. A count
   must not depend on which thread runs when. So no worker polls (TR_SPIN_NEVER), and before each call the main
   thread waits until the others sleep in the kernel: they have nothing to do, and it does not matter how long that
   takes. Each call is repeated, as some counts have an accident in them, such as a futex call that had to be made
   again. A request counts, and is answered for, the thread that makes it.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <valgrind/callgrind.h>

#include <taskreg.h>

enum { REPEATS = 12, CROWD = 100 };

/* Counts what the calling thread executes in `statement`. */
#define COUNT(row, statement)     \
  do {                            \
    rest();                       \
    CALLGRIND_ZERO_STATS;         \
    statement;                    \
    CALLGRIND_DUMP_STATS_AT(row); \
  } while (0)

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "calls: %s: %s (%s)\n", call, tr_strerror(status), tr_error_detail());
    exit(EXIT_FAILURE);
  }
}
#define CHECK(call) check((call), #call)

/* Long enough for a thread that was woken to do what it has to and to sleep; a count that is taken too early is
   an accident, too. */
static void rest(void) {
  nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
}

static int returns(tr_task *self, void *context) {
  (void)self;
  (void)context;
  return 0;
}

/* Begins, or ends, the count of what a worker executes between the bodies of two tasks: the end of the first, going
   to sleep, waking, the start of the second. */
static int begins_count(tr_task *self, void *context) {
  (void)self;
  (void)context;
  CALLGRIND_ZERO_STATS;
  return 0;
}

static int ends_count(tr_task *self, void *context) {
  (void)self;
  CALLGRIND_DUMP_STATS_AT((const char *)context);
  return 0;
}

static void drops(void *context) { *(volatile int *)context = 1; }

/* The task that looks at itself; its counts are its thread's. */
static int looks(tr_task *self, void *context) {
  int *sum = context;

  COUNT("cancel check", *sum += tr_task_is_cancelled(self));
  COUNT("checkpoint", *sum += (int)tr_checkpoint("somewhere"));
  COUNT("progress", *sum += (int)tr_progress(1, 2, "rows"));
  return 0;
}

static int ends_late(tr_task *self, void *context) {
  (void)self;
  (void)context;
  rest();
  rest();
  return 0;
}

static int stays(tr_task *self, void *context) {
  (void)context;
  return tr_task_wait_cancelled(self, TR_FOREVER) == TR_OK ? 0 : 1;
}

static void calls_without_company(tr_registry *registry) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  int context = 0;
  tr_task *task = NULL;

  options.drop = drops;
  for (int i = 0; i < REPEATS; i += 1) {
    COUNT("nothing", (void)0);
    /* The worker is asleep, so the spawn wakes it; it runs the task and goes to sleep again. */
    COUNT("spawn, a parked worker", CHECK(tr_spawn(registry, "t", TR_KIND_MAINTENANCE, returns, NULL, &task)));
    rest();
    COUNT("wait for an ended task", CHECK(tr_task_wait(task, TR_FOREVER, NULL)));
    COUNT("release of a task", tr_task_release(task));
    CHECK(tr_spawn(registry, "t", TR_KIND_MAINTENANCE, begins_count, NULL, NULL));
    rest();
    CHECK(tr_spawn(registry, "t", TR_KIND_MAINTENANCE, ends_count, "end, sleep, wake, start", NULL));
    rest();
    CHECK(tr_spawn_with(registry, "t", TR_KIND_MAINTENANCE, begins_count, &context, &options, NULL));
    rest();
    CHECK(tr_spawn(registry, "t", TR_KIND_MAINTENANCE, ends_count, "the same with a drop", NULL));
    rest();
    CHECK(tr_spawn(registry, "t", TR_KIND_MAINTENANCE, looks, &context, &task));
    CHECK(tr_task_wait(task, TR_FOREVER, NULL));
    tr_task_release(task);
    CHECK(tr_spawn(registry, "t", TR_KIND_MAINTENANCE, ends_late, NULL, &task));
    COUNT("wait for a running task", CHECK(tr_task_wait(task, TR_FOREVER, NULL)));
    tr_task_release(task);
  }
}

static void calls_in_a_group(tr_registry *registry) {
  tr_registry *groups[3];
  tr_registry *parent = registry;

  for (int depth = 0; depth < 3; depth += 1) {
    CHECK(tr_registry_child(parent, "group", NULL, &groups[depth]));
    parent = groups[depth];
  }
  for (int i = 0; i < REPEATS; i += 1) {
    tr_task *task = NULL;
    COUNT("spawn in a group three deep",
          CHECK(tr_spawn(parent, "t", TR_KIND_MAINTENANCE, returns, NULL, &task)));
    CHECK(tr_task_wait(task, TR_FOREVER, NULL));
    tr_task_release(task);
  }
  for (int depth = 2; depth >= 0; depth -= 1) tr_registry_release(groups[depth]);
}

static void tokens(void) {
  tr_token *children[CROWD];

  for (int i = 0; i < REPEATS; i += 1) {
    tr_token *token = tr_token_create();
    if (token == NULL) exit(EXIT_FAILURE);
    for (int child = 0; child < CROWD; child += 1) {
      if ((children[child] = tr_token_child(token)) == NULL) exit(EXIT_FAILURE);
    }
    COUNT("cancel of a token with 100 children", (void)tr_token_cancel(token, TR_REASON_FATAL, NULL));
    COUNT("cancel of a cancelled token", (void)tr_token_cancel(token, TR_REASON_FATAL, NULL));
    for (int child = 0; child < CROWD; child += 1) tr_token_release(children[child]);
    tr_token_release(token);
  }
}

static void calls_in_a_crowd(const tr_registry_options *options) {
  static tr_task_summary list[CROWD];

  for (int i = 0; i < REPEATS; i += 1) {
    tr_registry *registry = NULL;
    size_t count = 0;

    CHECK(tr_registry_create(options, &registry));
    for (int task = 0; task < CROWD; task += 1) {
      list[task] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
      CHECK(tr_spawn(registry, "stays", TR_KIND_BACKGROUND_LOOP, stays, NULL, NULL));
    }
    COUNT("snapshot of 100 tasks", CHECK(tr_snapshot(registry, list, CROWD, &count)));
    tr_token *token = tr_registry_token(registry);
    COUNT("cancel of 100 tasks that wait", (void)tr_token_cancel(token, TR_REASON_FATAL, NULL));
    CHECK(tr_shutdown(registry, TR_REASON_FATAL, NULL, TR_FOREVER, NULL));
    tr_registry_release(registry);
  }
}

int main(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;

  if (!RUNNING_ON_VALGRIND) {
    fprintf(stderr, "calls: this program counts under callgrind alone; scripts/instructions runs it\n");
    return EXIT_FAILURE;
  }
  options.spin_ns = TR_SPIN_NEVER;
  CHECK(tr_registry_create(&options, &registry));
  CHECK(tr_spawn(registry, "first", TR_KIND_MAINTENANCE, returns, NULL, NULL)); /* makes the worker */
  calls_without_company(registry);
  calls_in_a_group(registry);
  tokens();
  CHECK(tr_shutdown(registry, TR_REASON_FATAL, NULL, TR_FOREVER, NULL));
  tr_registry_release(registry);
  calls_in_a_crowd(&options);
  return 0;
}
