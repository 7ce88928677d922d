/* actors.h - the threads that make calls: three of the program's own, and those of the tasks. */

#ifndef ACTORS_H
#define ACTORS_H

#include "model.h"

#include <pthread.h>

/* A call for an actor to make. */
enum call {
  NOTHING, RETURN, EXIT, TOKEN_CANCEL, TOKEN_WAIT, TASK_CANCEL, TASK_WAIT, JOIN, SHUTDOWN, SPAWN, SLEEP,
  WAIT_CANCELLED, WAIT_FD, SET_MESSAGE, TOKEN_ON_CANCEL, TASK_ON_CANCEL, OFF_CANCEL, RETAIN_REGISTRY,
  COND_WAIT, CHECKPOINT, LABEL, PROGRESS, HEARTBEAT, REGISTRY_WAIT, SET_INTERVAL, PAUSE, RESUME, ACKNOWLEDGE, QUIESCE, BEGIN_DRAIN,
  SET_DATA, ADOPT
};
struct order {
  enum call call;
  int object, how; /* a number in the model; whatever else the call needs */
  int64_t timeout;
  const char *text;
  void *data;
  int fd;
  uint64_t done, total;                /* of progress */
  int wantsFull;                       /* whether a join is to make a report */
  const tr_shutdown_options *shutdown; /* NULL: tr_shutdown */
  struct counts before;                /* a join's */
  /* the answer */
  int status;
  tr_join_report report;
  tr_outcome outcome;
  tr_task_summary stragglers[TASKS];
  tr_task *task;
  tr_report *full;
  tr_spawn_options options;
  tr_kind kind;
  int wantsHandle, isPlain;
};

/* A thread that makes calls. Guards: `order`, `state`; `changed` is signalled when `state` changes. */
struct actor {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  enum { IDLE, TOLD, DONE } state;
  struct order order;
  int isPending; /* the conductor's: a call was left blocked */
  int mayBeRefused; /* likewise: that call waits in a circle of two tasks */
};

extern struct actor actors[ACTORS]; /* first the program's own, then one for each task */
extern int quiet_pipe[2], ready_pipe[2];
extern int rounds; /* how often those in COND_WAIT were told to go on; guarded by `cond_lock` */
extern pthread_mutex_t cond_lock;
extern pthread_cond_t cond;

/* What the library calls. */
void on_log(void *context, const tr_log_event *event);
void on_cancel(void *context);
void on_drop_callback(void *context);
void on_drop(void *context);
int body(tr_task *self, void *context);

/* Makes a call, on the thread that was told to; in performing.c. */
void perform(struct order *order);

/* The pipes, and the program's own threads, which never end. */
void begin_actors(void);
struct task *task_of(int actor);
int is_flagged(int actor);
int is_free(int number);
/* Whoever `byte` names, or the next who is not blocked; nobody: -1. */
int some_actor(int byte, int from);
/* How many calls of this kind on this object are left blocked. */
int pending(enum call call, int object);

/* Commanding one to make a call, and waiting until the call has returned. */
struct order *order_for(int number, enum call call, int object);
void command(int number);
struct order *answer_of(int number);
int has_answered(int number);
/* Whether tasks wait for each other in a circle. */
int has_circle(void);
extern int had_circle; /* there was one after a call of this sequence */
struct order *ask(int number);

/* Calls that may block; in blocked.c. */
void settle(void);
void wait_with(int number, int forever);

/* Looking at everything; in checks.c. */
void check_token(int number, int how);
void check_task(int number, int how);
int is_readable(int fd);
void check_list(const tr_task_summary *list, size_t count, int registry);
void check_registry(int number, int how);
void check_counts(void);
void check_group(const char *group, int registry);
void check_label(const struct task *task, const char *label);
void check_notes(const struct task *task, const char *checkpoint, uint64_t done, uint64_t total, const char *unit);

/* What a report tells; in checks-reports.c. */
void check_join_report(const struct order *order);
void check_look(const tr_report *full, int registry, int mayHaveBacktraces);
void check_phases(const struct order *order);
/* Whether what is written is what the books say. */
void check_written(int number, int what);
void check_written_report(const tr_report *full, size_t stragglers, int format);

#endif
