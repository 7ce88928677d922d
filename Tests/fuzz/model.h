/* model.h - the books: what the contract says is so, in plain C, without a thread.

   Only the conductor, the thread that makes the calls, reads and writes them, but for what is atomic,
   which callbacks count. */

#ifndef MODEL_H
#define MODEL_H

#include <taskreg.h>

#include <stdatomic.h>
#include <stddef.h>

#define MUST(condition)                                                                            \
  do {                                                                                             \
    if (!(condition)) broken(__FILE__, __LINE__, #condition, 0, 0);                                \
  } while (0)
#define MUST_EQ(expected, actual)                                                                  \
  do {                                                                                             \
    long long must_expected = (long long)(expected), must_actual = (long long)(actual);            \
    if (must_expected != must_actual)                                                              \
      broken(__FILE__, __LINE__, #expected " == " #actual, must_expected, must_actual);            \
  } while (0)

/* Says what is not so, and in which input, and aborts. */
void broken(const char *file, int line, const char *what, long long expected, long long actual);

enum {
  TOKENS = 14, REGISTRIES = 6, TASKS = 20, REGISTRATIONS = 10, HOSTS = 3, ACTORS = HOSTS + TASKS,
  EVENTS = TR_EVENT_SCHEDULING_REFUSED + 1, /* events are counted by number */
  SLOTS = 5                             /* the four kinds, and the application's own */
};

struct token {
  tr_token *it;
  int parent, refs, reserve, cancelled, fd;
  uint32_t level; /* TR_STOP_...; cancelled says that it is not 0 */
  tr_reason reason;
  size_t length;
};

/* What a registry has come to; a report is the difference of two. */
struct counts {
  uint64_t ended, failed, exited, rejected;
};

/* The metrics of tasks of one kind, or of all (E8). */
struct kind_counts {
  uint64_t spawned, ended, failed, exited, rejected, live, peak, stopped;
};

/* A group counts what those below it come to: `live`, `counts`. */
struct registry {
  tr_registry *it;
  int parent; /* -1: it is not a group */
  int token, refs, reserve, closed, overdue, asked; /* asked: a shutdown has asked all phases */
  int log; /* whose context its log events come with: its own, or that of one above */
  char path[REGISTRIES * 64];
  uint64_t limit, live;
  struct counts counts;
  uint64_t events[EVENTS];
  atomic_uint_least64_t logged[EVENTS];
  int isMeasured; /* it keeps metrics, which are counted here in any case */
  struct kind_counts kinds[SLOTS], all;
};

struct task {
  tr_task *it;
  int registry, number, refs, reserve, live, flagged, overdue, cleanup, fd, messageLength;
  void *data; /* what tr_task_set_data attached */
  uint32_t essential; /* of TR_SPAWN_..., those that say so */
  uint32_t how;
  int32_t code;
  uint64_t id;
  tr_kind kind;
  const char *name;
  uint32_t phase, level; /* level: TR_STOP_...; flagged says that it is not 0 */
  int draining;
  const char *checkpoint, *unit, *label;
  uint64_t done, total;
  int hasProgress, checks; /* checks: how often a call told it to stop */
  int ending;             /* the number of its end, from 1 on; 0 before */
  enum { NO_INTERVAL, HAS_INTERVAL, INTERVAL_ENDED } interval;
  int isPlain; /* it came by tr_spawn, and its body counts as its drop, too */
  atomic_int bodies, drops;
};

struct registration {
  tr_registration *it;
  int isUsed, isTask, owner, expected;
  atomic_int called, dropped;
};

extern struct token tokens[TOKENS];
extern struct registry registries[REGISTRIES];
extern struct task tasks[TASKS];
extern struct registration registrations[REGISTRATIONS];
extern int token_count, registry_count, task_count, registration_count;
extern int ending_count;
extern int watched; /* the registry of tr_signal_watch_start; -1: none */
extern int notified; /* that of tr_systemd_start, likewise */
extern int interval_of[HOSTS]; /* those for which the program's own threads have a heartbeat interval, likewise */
extern int has_backtraces; /* whether they are enabled, for the rest of the process's life */

/* Whether anything but the program's own references keeps an object alive, and whether it has any. */
int token_lives(int number);
int registry_lives(int number);
int task_lives(int number);
int registry_usable(int number);

/* The one that `byte` names, or the next that can be used; none: -1. */
int some_token(int byte);
int some_registry(int byte);
int some_task(int byte);

/* Whether a registry is `other`, or somewhere below it. */
int is_within(int number, int other);
/* How many live tasks of `phase` there are in a registry and below. */
uint64_t live_in_phase(int registry, uint32_t phase);
/* Where tasks of a kind are counted. */
int slot_of(tr_kind kind);
/* Whether the end of the task cancels its registry's token (C12). */
int is_essential(const struct task *task);

/* What has come to pass. */
void model_flag(int number);
void model_abort(int number);
void model_abort_token(int number, tr_reason reason, size_t length);
void model_cancel(int number, tr_reason reason, size_t length);
void model_event(int registry, uint32_t event);
void model_deadline(int number);
void model_ask_phases(int number);
void model_spawn(int number);
void model_rejection(int registry, tr_kind kind);
void model_end(int number);

#endif
