/* use-0.2 - a program from the time of release 0.2; abi.sh compiles it with the header of then, links it
   with the interface of then, and runs it with the library of today. Every structure it hands in lies
   before a page it may not touch, or before bytes that must stay as they are. Exit status 1 when
   something is not as 0.2 promised. */

#define _GNU_SOURCE 1
#include "taskreg.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPECT(condition)                                                                          \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      fprintf(stderr, "use-0.2.c:%d: not so: %s\n", __LINE__, #condition);                        \
      _exit(1);                                                                                    \
    }                                                                                              \
  } while (0)

#define SECONDS(n) (INT64_C(1000000000) * (n))

/* The last `size` bytes before a page that cannot be touched. */
static void *at_the_end(size_t size) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *memory = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(memory != MAP_FAILED && size <= page && size % 8 == 0);
  EXPECT(mprotect(memory + page, page, PROT_NONE) == 0);
  return memory + page - size;
}

static int events, drops;

static void on_event(void *log_context, const tr_log_event *event) {
  EXPECT(log_context == &events && event->size >= sizeof *event);
  if (event->event != TR_EVENT_TASK_FAILED) return;
  EXPECT(event->code == 7 && strcmp(event->task, "fails") == 0);
  __atomic_add_fetch(&events, 1, __ATOMIC_RELAXED);
}

static void on_drop(void *ctx) { __atomic_add_fetch((int *)ctx, 1, __ATOMIC_RELAXED); }

static int obeys(tr_task *self, void *ctx) {
  (void)ctx;
  EXPECT(tr_task_self() == self);
  EXPECT(tr_sleep(-1) == TR_ERR_CANCELLED);
  return 0;
}

static int fails(tr_task *self, void *ctx) {
  (void)ctx;
  EXPECT(tr_task_set_message(self, "as it was told") == TR_OK);
  return 7;
}

static int deaf(tr_task *self, void *ctx) {
  (void)self;
  while (!__atomic_load_n((int *)ctx, __ATOMIC_ACQUIRE)) usleep(1000);
  return 0;
}

int main(void) {
  EXPECT(TR_VERSION == 0x000200u && tr_version() >= TR_VERSION);

  tr_token *parent = tr_token_create(), *token = tr_token_child(parent);
  tr_registry_options *options = at_the_end(sizeof *options);
  *options = (tr_registry_options)TR_REGISTRY_OPTIONS_INIT;
  options->token = token;
  options->max_tasks = 3;
  options->log = on_event;
  options->log_context = &events;
  tr_registry *registry = NULL;
  EXPECT(tr_registry_create(options, &registry) == TR_OK);
  EXPECT(tr_registry_token(registry) == token);

  tr_spawn_options *how = at_the_end(sizeof *how);
  *how = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  how->drop = on_drop;
  tr_task *task = NULL;
  EXPECT(tr_spawn_with(registry, "fails", TR_KIND_RPC_HANDLER, fails, &drops, how, &task) == TR_OK);
  tr_outcome *outcome = at_the_end(sizeof *outcome);
  *outcome = (tr_outcome)TR_OUTCOME_INIT;
  EXPECT(tr_task_wait(task, SECONDS(30), outcome) == TR_OK);
  EXPECT(outcome->size == sizeof *outcome && outcome->how == TR_ENDED_FAILED);
  EXPECT(outcome->code == 7 && strcmp(outcome->message, "as it was told") == 0);
  EXPECT(drops == 1 && events == 1);
  tr_task_release(task);

  int open = 0;
  how->flags = TR_SPAWN_FRESH_THREAD;
  EXPECT(tr_spawn(registry, "obeys", TR_KIND_BACKGROUND_LOOP, obeys, NULL, NULL) == TR_OK);
  EXPECT(tr_spawn(registry, "obeys", TR_KIND_APPLICATION, obeys, NULL, NULL) == TR_OK);
  how->drop = NULL;
  EXPECT(tr_spawn_with(registry, "deaf", TR_KIND_MAINTENANCE, deaf, &open, how, NULL) == TR_OK);
  EXPECT(tr_spawn(registry, "one too many", TR_KIND_MAINTENANCE, deaf, &open, NULL) == TR_ERR_LIMIT);

  tr_task_summary *list = at_the_end(3 * sizeof *list);
  list[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  EXPECT(tr_snapshot(registry, list, 3, &count) == TR_OK && count == 3);
  for (int i = 0; i < 3; i++) {
    EXPECT(list[i].size == sizeof *list && list[i].id != 0 && list[i].age_ns >= 0);
    EXPECT(strcmp(list[i].name, "obeys") == 0 || strcmp(list[i].name, "deaf") == 0);
  }

  EXPECT(tr_token_cancel(parent, TR_REASON_RELOAD_REQUESTED, "again") == 1);
  EXPECT(tr_token_reason(token) == TR_REASON_RELOAD_REQUESTED);
  tr_join_report *report = at_the_end(sizeof *report);
  *report = (tr_join_report)TR_JOIN_REPORT_INIT;
  report->stragglers = list;
  report->stragglers_capacity = 1;
  list[1].id = 4711;
  EXPECT(tr_shutdown(registry, TR_REASON_FATAL, NULL, SECONDS(1), report) == TR_ERR_DEADLINE);
  EXPECT(report->size == sizeof *report && report->pending == 1 && report->abandoned == 1);
  EXPECT(report->stragglers_count == 1 && strcmp(list[0].name, "deaf") == 0);
  EXPECT(list[1].id == 4711); /* beyond the one element it was given */

  __atomic_store_n(&open, 1, __ATOMIC_RELEASE);
  EXPECT(tr_shutdown(registry, TR_REASON_FATAL, NULL, SECONDS(30), report) == TR_OK);
  EXPECT(tr_len(registry) == 0 && report->threads_left == 0);
  tr_registry_release(registry);
  tr_token_release(token);
  tr_token_release(parent);
  return 0;
}
