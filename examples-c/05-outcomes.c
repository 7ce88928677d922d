/* 05-outcomes.c - how tasks end, what becomes of their ctx, and what the log reports.

   A task ends in exactly one of three ways: its body returned 0, it failed (returned something
   else, and may have left a message), or its thread left the body by pthread_exit. In each case
   the drop function frees the task's ctx, exactly once. When a spawn is rejected, neither has run,
   and ctx is still the caller's.

   The library prints nothing. A log callback gets the events that the program may not ask about.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <taskreg.h>

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

/* ---- The log ----------------------------------------------------------------------------- */

/* The callback runs on the thread in which the event occurs, in several threads at once, so the log
   has a lock. The strings of an event are valid during the callback only. */
struct log {
  pthread_mutex_t lock;
  size_t count;
  char lines[16][128];
};

static void on_event(void *log_context, const tr_log_event *event) {
  struct log *log = log_context;

  pthread_mutex_lock(&log->lock);
  if (log->count < sizeof log->lines / sizeof log->lines[0]) {
    snprintf(log->lines[log->count], sizeof log->lines[0], "%s: \"%s\" (%s), code %d",
             tr_event_name(event->event), event->task, tr_kind_name(event->kind), event->code);
    log->count++;
  }
  pthread_mutex_unlock(&log->lock);
}

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

/* ---- The tasks --------------------------------------------------------------------------- */

/* The ctx of each task: memory of its own, which its drop function frees. `alive` counts them. */
static atomic_int alive;

static char *parcel_new(const char *text) {
  char *parcel = malloc(strlen(text) + 1);

  if (parcel == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(EXIT_FAILURE);
  }
  atomic_fetch_add(&alive, 1);
  return strcpy(parcel, text);
}

static void parcel_drop(void *ctx) {
  free(ctx);
  atomic_fetch_sub(&alive, 1);
}

static int succeed(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  return 0;
}

static int fail(tr_task *self, void *ctx) {
  char message[64];

  snprintf(message, sizeof message, "cannot read %s", (const char *)ctx);
  if (tr_task_set_message(self, message) != TR_OK) {
    return 1;
  }
  return 42; /* the meaning of the code is the program's; it may also be an errno value */
}

/* Code of a library may end a thread like this. The rest of the body does not run, but the task
   ends as any other: its ctx is dropped, and it is counted and joined. */
static int leave(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  pthread_exit(NULL);
}

static int wait_to_stop(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  return tr_sleep(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* ---- The program ------------------------------------------------------------------------- */

static tr_status spawn(tr_registry *registry, const char *name, tr_task_fn body, tr_task **out) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  char *parcel = parcel_new("/etc/example.conf");
  tr_status status;

  options.drop = parcel_drop;
  status = tr_spawn_with(registry, name, TR_KIND_RPC_HANDLER, body, parcel, &options, out);
  if (status != TR_OK) {
    parcel_drop(parcel); /* rejected: it is still ours. On TR_OK the library calls parcel_drop. */
  }
  return status;
}

static void run_one(tr_registry *registry, const char *name, tr_task_fn body) {
  tr_outcome outcome = TR_OUTCOME_INIT;
  tr_task *task = NULL;

  check(spawn(registry, name, body, &task), "tr_spawn_with");
  check(tr_task_wait(task, TR_FOREVER, &outcome), "tr_task_wait");
  /* The drop function has run before any thread can see that the task has ended. */
  printf("%s: %s, code %d, message \"%s\", parcels alive: %d\n", name, tr_ended_name(outcome.how),
         outcome.code, outcome.message, atomic_load(&alive));
  tr_task_release(task);
}

static void print_rejection(const char *what, tr_status status) {
  const char *code = status == TR_ERR_INVALID  ? "TR_ERR_INVALID"
                     : status == TR_ERR_LIMIT  ? "TR_ERR_LIMIT"
                     : status == TR_ERR_CLOSED ? "TR_ERR_CLOSED"
                                               : tr_strerror(status);

  printf("%s: %s, parcels alive: %d\n", what, code, atomic_load(&alive));
}

int main(void) {
  static struct log log = {.lock = PTHREAD_MUTEX_INITIALIZER};
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_registry *registry = NULL;
  tr_task *late = NULL;

  options.max_tasks = 2;
  options.log = on_event;
  options.log_context = &log;
  check(tr_registry_create(&options, &registry), "tr_registry_create");

  run_one(registry, "good", succeed);
  run_one(registry, "bad", fail);
  run_one(registry, "gone", leave);

  /* Rejected spawns: a wrong argument, a full registry, a closed one. */
  print_rejection("no name", spawn(registry, "", succeed, NULL));
  check(spawn(registry, "first", wait_to_stop, NULL), "tr_spawn_with");
  check(spawn(registry, "second", wait_to_stop, NULL), "tr_spawn_with");
  print_rejection("a third one", spawn(registry, "third", succeed, NULL));

  check(tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, "done", TR_SECONDS(1), &report),
        "tr_shutdown");
  print_rejection("after the shutdown", spawn(registry, "late", succeed, &late));
  printf("the out parameter of a rejected spawn is untouched: %s\n", late == NULL ? "yes" : "no");

  /* No thread is left, so no further event can occur. */
  printf("the log, sorted:\n");
  qsort(log.lines, log.count, sizeof log.lines[0], by_text);
  for (size_t i = 0; i < log.count; i++) {
    printf("  %s\n", log.lines[i]);
  }
  tr_registry_release(registry);
  return EXIT_SUCCESS;
}
