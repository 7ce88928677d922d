/* stalls.h - what the tests of heartbeats and of ladders share: a log that keeps its events, and a task that is told
   when to send a heartbeat. */

#ifndef TASKREG_TESTS_STALLS_H
#define TASKREG_TESTS_STALLS_H

#include "support.h"

/* ---- The events ---------------------------------------------------------------------------- */

/* One log event, as it came. */
struct heard {
  uint32_t level, event;
  tr_kind kind;
  uint64_t id;
  int32_t code;
  char task[64], message[256], thread[16];
};

/* All events. Guards: all fields. `changed` is signalled when one is added. */
struct log {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int count;
  struct heard all[4096];
  struct gate *held; /* TR_EVENT_TASK_STALLED arrives there, and waits; may be NULL */
};

static inline void log_init(struct log *log, struct gate *held) {
  memset(log, 0, sizeof *log);
  pthread_mutex_init(&log->lock, NULL);
  pthread_cond_init(&log->changed, NULL);
  log->held = held;
}

static inline void log_adds(void *context, const tr_log_event *event) {
  struct log *log = context;
  CHECK_EQ(sizeof *event, event->size);
  CHECK_EQ(0, event->reserved);
  pthread_mutex_lock(&log->lock);
  CHECK(log->count < 4096);
  struct heard *heard = &log->all[log->count++];
  *heard = (struct heard){event->level, event->event, event->kind, event->task_id, event->code, "", "", ""};
  snprintf(heard->task, sizeof heard->task, "%s", event->task);
  snprintf(heard->message, sizeof heard->message, "%s", event->message);
  pthread_getname_np(pthread_self(), heard->thread, sizeof heard->thread);
  pthread_cond_broadcast(&log->changed);
  struct gate *held = event->event == TR_EVENT_TASK_STALLED ? log->held : NULL;
  pthread_mutex_unlock(&log->lock);
  if (held != NULL) gate_pass(held);
}

/* Wait for event number `index`, and return it. */
static inline struct heard log_await(struct log *log, int index) {
  pthread_mutex_lock(&log->lock);
  while (log->count <= index) pthread_cond_wait(&log->changed, &log->lock);
  struct heard heard = log->all[index];
  pthread_mutex_unlock(&log->lock);
  return heard;
}

static inline int log_count(struct log *log) {
  pthread_mutex_lock(&log->lock);
  int count = log->count;
  pthread_mutex_unlock(&log->lock);
  return count;
}

/* Read a duration as events have it, in nanoseconds. */
static inline double read_duration(const char *text, char **end) {
  double number = strtod(text, end);
  if (strncmp(*end, " s", 2) == 0) return *end += 2, number * 1e9;
  if (strncmp(*end, " ms", 3) == 0) return *end += 3, number * 1e6;
  CHECK_MSG(strncmp(*end, " \302\265s", 4) == 0, "\"%s\" is not a duration", text);
  return *end += 4, number * 1e3;
}

/* ---- Tasks with intervals ------------------------------------------------------------------- */

static inline tr_registry *registry_with(tr_log_fn receive, void *context) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = receive;
  options.log_context = context;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

static inline tr_task *spawn_with_interval(tr_registry *registry, const char *name, int64_t interval,
                                tr_task_fn body, void *ctx, tr_drop_fn drop) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.heartbeat_ns = interval;
  options.drop = drop;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, name, TR_KIND_RPC_HANDLER, body, ctx, &options, &task));
  return task;
}

/* A task that carries out steps on request, and their results. */
struct puppet {
  sem_t go, done;
  int beats, leaves, exits;
  tr_status status;
};

static inline void puppet_init(struct puppet *puppet) {
  memset(puppet, 0, sizeof *puppet);
  sem_init(&puppet->go, 0, 0);
  sem_init(&puppet->done, 0, 0);
}

static inline int body_is_puppet(tr_task *self, void *ctx) {
  (void)self;
  struct puppet *puppet = ctx;
  while (1) {
    sem_take(&puppet->go);
    if (puppet->exits) pthread_exit(NULL);
    if (puppet->leaves) return 0;
    puppet->status = tr_heartbeat();
    sem_post(&puppet->done);
  }
}

static inline void puppet_beats(struct puppet *puppet) {
  sem_post(&puppet->go);
  sem_take(&puppet->done);
  CHECK_EQ(TR_OK, puppet->status);
}

static inline void puppet_leaves(struct puppet *puppet) {
  puppet->leaves = 1;
  sem_post(&puppet->go);
}

/* Wait until the timer thread has finished its current action, and no report is under way. */
static inline void timer_thread_settles(void) {
  tr_token *parent = tr_token_create(), *token = NULL;
  /* One whose time is up as it is made would not be cancelled there. */
  for (int64_t timeout = MS; token == NULL || tr_token_is_cancelled(token); timeout *= 2) {
    tr_token_release(token);
    token = tr_token_child_with_timeout(parent, timeout);
    CHECK(token != NULL);
  }
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  tr_token_release(token);
  tr_token_release(parent);
  while (threads_called("taskreg-events") > 0) breathe();
}

#endif /* TASKREG_TESTS_STALLS_H */
