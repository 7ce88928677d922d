/* deadline.h - shared by the programs that test reports of shutdowns: tasks with a phase, a log
   that remembers, and a full report. */

#ifndef TASKREG_TESTS_DEADLINE_H
#define TASKREG_TESTS_DEADLINE_H

#include "support.h"

#include <stdatomic.h>

static inline tr_task *spawn_in_phase(tr_registry *registry, const char *name, uint32_t phase,
                                      tr_task_fn body, void *ctx) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.phase = phase;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK,
           tr_spawn_with(registry, name, TR_KIND_MAINTENANCE, body, ctx, &options, &task));
  return task;
}

/* A shutdown with a full report. */
static inline tr_status shutdown_full(tr_registry *registry, int64_t grace,
                                      const tr_shutdown_options *options, tr_join_report *counts,
                                      tr_report **full) {
  *counts = (tr_join_report)TR_JOIN_REPORT_INIT;
  counts->full = full;
  return tr_shutdown_with(registry, TR_REASON_USER_REQUESTED, "SIGTERM", grace, options, counts);
}

static inline tr_phase_report phase_of(const tr_report *full, size_t index) {
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_report_phase(full, index, &phase));
  return phase;
}

/* The straggler called `name`. */
static inline tr_straggler straggler_called(const tr_report *full, const char *name) {
  tr_straggler straggler = TR_STRAGGLER_INIT;
  for (size_t i = 0; tr_report_straggler(full, i, &straggler) == TR_OK; i++)
    if (strcmp(straggler.name, name) == 0) return straggler;
  CHECK_MSG(0, "no straggler is called %s", name);
  return straggler;
}

static inline size_t straggler_count(const tr_report *full) {
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_report_counts(full, &counts));
  return counts.stragglers_count;
}

/* One event, as a log remembers it. */
struct event {
  uint32_t event, level;
  uint64_t task_id;
  pid_t tid;
  int64_t at;
  char task[64], message[256];
};

struct events {
  pthread_mutex_t lock;
  int count;
  struct event list[64];
};

#define EVENTS_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

static inline void events_note(void *context, const tr_log_event *event) {
  struct events *events = context;
  pthread_mutex_lock(&events->lock);
  CHECK(events->count < 64);
  struct event *noted = &events->list[events->count++];
  noted->event = event->event;
  noted->level = event->level;
  noted->task_id = event->task_id;
  noted->tid = gettid();
  noted->at = now_ns();
  snprintf(noted->task, sizeof noted->task, "%s", event->task);
  snprintf(noted->message, sizeof noted->message, "%s", event->message);
  pthread_mutex_unlock(&events->lock);
}

static inline tr_registry *registry_noting(struct events *events, int64_t abort_grace) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = events_note;
  options.log_context = events;
  options.abort_grace_ns = abort_grace;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

/* How many events of that number there were; the last is copied to *last unless that is NULL. */
static inline int events_of(struct events *events, uint32_t number, struct event *last) {
  int count = 0;
  pthread_mutex_lock(&events->lock);
  for (int i = 0; i < events->count; i++) {
    if (events->list[i].event != number) continue;
    count++;
    if (last != NULL) *last = events->list[i];
  }
  pthread_mutex_unlock(&events->lock);
  return count;
}

#endif /* TASKREG_TESTS_DEADLINE_H */
