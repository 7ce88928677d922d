/* sequences.c - sequences of calls on the C ABI, out of bytes, checked against a model.

   Each four bytes are one call: what, by whom, on what, how. The calls are made one at a time, but by
   many threads: three of the program's own and those of the tasks, which do what they are told. Calls
   that block are left blocked while others are made. The model below says in plain C, without a
   thread, what each call has to return, which blocked calls it ends, and what callbacks, drops and log
   events it makes; what it says is compared after each call. A few calls are made by three threads at
   once, where the contract says what the three together come to.

   Objects are valid, NULL, or stale: given back by the caller, and alive because something else keeps
   them, be it a reference that the program holds in reserve.

   libFuzzer calls LLVMFuzzerTestOneInput; main.c does the same for files. A broken promise aborts. */

#define _GNU_SOURCE

#include <taskreg.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
  do {                                                                                             \
    if (!(condition)) broken(__LINE__, #condition, 0, 0);                                          \
  } while (0)
#define MUST_EQ(expected, actual)                                                                  \
  do {                                                                                             \
    long long must_expected = (long long)(expected), must_actual = (long long)(actual);            \
    if (must_expected != must_actual)                                                              \
      broken(__LINE__, #expected " == " #actual, must_expected, must_actual);                      \
  } while (0)

enum {
  TOKENS = 14, REGISTRIES = 6, TASKS = 20, REGISTRATIONS = 10, HOSTS = 3, ACTORS = HOSTS + TASKS,
  CALLS = 160 /* the rest of an input is not looked at */
};

/* ---- The model ------------------------------------------------------------------------------- */

struct token {
  tr_token *it;
  int parent, refs, reserve, cancelled, fd;
  tr_reason reason;
  size_t length;
};

/* What a registry has come to; a report is the difference of two. */
struct counts {
  uint64_t ended, failed, exited, rejected;
};

/* A group counts what those below it come to: `live`, `counts`. */
struct registry {
  tr_registry *it;
  int parent; /* -1: it is no group */
  int token, refs, reserve, closed, overdue;
  int log; /* whose context its log events come with: its own, or that of one above */
  char path[REGISTRIES * 64];
  uint64_t limit, live;
  struct counts counts;
  uint64_t events[5];
  atomic_uint_least64_t logged[5];
};

struct task {
  tr_task *it;
  int registry, number, refs, reserve, live, flagged, overdue, cleanup, fd, hasMessage;
  uint32_t essential; /* of TR_SPAWN_..., those that say so */
  uint32_t how;
  int32_t code;
  uint64_t id;
  tr_kind kind;
  const char *name;
  atomic_int bodies, drops;
};

struct registration {
  tr_registration *it;
  int isUsed, isTask, owner, expected;
  atomic_int called, dropped;
};

/* A call for an actor to make. */
enum call {
  NOTHING, RETURN, EXIT, TOKEN_CANCEL, TOKEN_WAIT, TASK_CANCEL, TASK_WAIT, JOIN, SHUTDOWN, SPAWN, SLEEP,
  WAIT_CANCELLED, WAIT_FD, SET_MESSAGE, TOKEN_ON_CANCEL, TASK_ON_CANCEL, OFF_CANCEL, RETAIN_REGISTRY,
  COND_WAIT
};
struct order {
  enum call call;
  int object, how; /* a number in the model; whatever else the call needs */
  int64_t timeout;
  const char *text;
  int fd;
  struct counts before; /* a join's */
  /* the answer */
  int status;
  tr_join_report report;
  tr_outcome outcome;
  tr_task_summary stragglers[TASKS];
  tr_task *task;
  tr_spawn_options options;
  tr_kind kind;
  int wantsHandle;
};

/* A thread that makes calls. Guards: `order`, `state`; `changed` is signalled when `state` changes. */
struct actor {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  enum { IDLE, TOLD, DONE } state;
  struct order order;
  int isPending; /* the conductor's: a call was left blocked */
};

static struct token tokens[TOKENS];
static struct registry registries[REGISTRIES];
static struct task tasks[TASKS];
static struct registration registrations[REGISTRATIONS];
static struct actor actors[ACTORS]; /* first the program's own, then one for each task */
static int token_count, registry_count, task_count, registration_count;
static int watched; /* the registry of tr_shutdown_on_signals; -1: none */
static int rounds;  /* how often those in COND_WAIT were told to go on; guarded by `cond_lock` */
static pthread_mutex_t cond_lock;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int quiet_pipe[2], ready_pipe[2];
static const uint8_t *failing_input;
static size_t failing_size;

static void broken(int line, const char *what, long long expected, long long actual) {
  fprintf(stderr, "sequences.c:%d: not so: %s (%lld, %lld), in an input of %zu bytes:", line, what,
          expected, actual, failing_size);
  for (size_t i = 0; i < failing_size && i < 4 * CALLS; i++) fprintf(stderr, " %02x", failing_input[i]);
  fprintf(stderr, "\n");
  abort();
}

/* What a name is given as, and what is kept of it; NULL: refused. */
static char long_name[81], kept_name[64], long_message[301];
static const struct {
  const char *given, *kept;
} names[] = {{"peer", "peer"},     {"na\xc3\xafve", "na\xc3\xafve"}, {long_name, kept_name}, {"x", "x"},
             {"", NULL},           {"\xff", NULL},                   {NULL, NULL},           {"store", "store"}};
static const char *const messages[] = {NULL, "", "stop", long_message};

/* Whether anything but the program's own references keeps an object alive. */
static int token_lives(int number);
static int registry_lives(int number) {
  const struct registry *registry = &registries[number];
  if (registry->refs + registry->reserve > 0 || watched == number) return 1;
  for (int i = 0; i < registry_count; i++)
    if (registries[i].parent == number && registry_lives(i)) return 1;
  for (int i = 0; i < task_count; i++)
    if (tasks[i].registry == number && (tasks[i].live || tasks[i].refs + tasks[i].reserve > 0)) return 1;
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].it != NULL && registrations[i].isTask &&
        tasks[registrations[i].owner].registry == number)
      return 1;
  return 0;
}
static int token_lives(int number) {
  if (tokens[number].refs + tokens[number].reserve > 0) return 1;
  for (int i = 0; i < token_count; i++)
    if (tokens[i].parent == number && token_lives(i)) return 1;
  for (int i = 0; i < registry_count; i++)
    if (registries[i].token == number && registry_lives(i)) return 1;
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].it != NULL && !registrations[i].isTask && registrations[i].owner == number) return 1;
  return 0;
}
static int registry_usable(int number) { return registries[number].refs + registries[number].reserve > 0; }
static int task_lives(int number) {
  if (tasks[number].live || tasks[number].refs + tasks[number].reserve > 0) return 1;
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].it != NULL && registrations[i].isTask && registrations[i].owner == number) return 1;
  return 0;
}

/* Whether a registry is `other`, or somewhere below it. */
static int is_within(int number, int other) {
  while (number >= 0 && number != other) number = registries[number].parent;
  return number >= 0;
}

static void expect_callbacks(int isTask, int owner) {
  for (int i = 0; i < registration_count; i++) {
    struct registration *registration = &registrations[i];
    if (registration->it != NULL && registration->isTask == isTask && registration->owner == owner)
      registration->expected = 1;
  }
}
static void model_flag(int number) {
  if (!tasks[number].live || tasks[number].flagged) return;
  tasks[number].flagged = 1;
  expect_callbacks(1, number);
}
static void model_cancel(int number, tr_reason reason, size_t length) {
  struct token *token = &tokens[number];
  if (token->cancelled) return;
  token->cancelled = 1;
  token->reason = reason;
  token->length = length;
  expect_callbacks(0, number);
  for (int i = 0; i < registry_count; i++) {
    if (registries[i].token != number) continue;
    registries[i].closed = 1;
    for (int j = 0; j < task_count; j++)
      if (tasks[j].registry == i && !tasks[j].cleanup) model_flag(j);
  }
  for (int i = 0; i < token_count; i++)
    if (tokens[i].parent == number) model_cancel(i, reason, length);
}
static void model_event(int registry, uint32_t event) {
  registries[registries[registry].log].events[event]++;
}
/* The deadline of a join passed with tasks alive (J4). */
static void model_deadline(int number) {
  for (int i = 0; i < registry_count; i++)
    if (is_within(i, number) && registries[i].closed) registries[i].overdue = 1;
  model_event(number, TR_EVENT_DEADLINE_EXCEEDED);
  for (int i = 0; i < task_count; i++)
    if (tasks[i].live && is_within(tasks[i].registry, number)) {
      tasks[i].overdue = 1;
      model_flag(i);
    }
}

/* Whether the end of the task cancels its registry's token (C12). */
static int is_essential(const struct task *task) {
  if (task->how == TR_ENDED_RETURNED) return (task->essential & TR_SPAWN_ESSENTIAL) != 0;
  return task->essential != 0;
}
/* A spawn was refused, in `registry` and all above it (T2). */
static void model_refusal(int registry) {
  model_event(registry, TR_EVENT_SPAWN_REFUSED);
  for (int i = registry; i >= 0; i = registries[i].parent) registries[i].counts.rejected++;
}
/* A task has ended, as the task says, in its registry and all above it (T2, C12). */
static void model_end(int number) {
  struct task *task = &tasks[number];
  task->live = 0;
  for (int i = task->registry; i >= 0; i = registries[i].parent) {
    registries[i].live--;
    registries[i].counts.ended++;
    registries[i].counts.failed += task->how == TR_ENDED_FAILED;
    registries[i].counts.exited += task->how == TR_ENDED_EXITED;
  }
  if (task->how != TR_ENDED_RETURNED)
    model_event(task->registry, task->how == TR_ENDED_EXITED ? TR_EVENT_TASK_EXITED : TR_EVENT_TASK_FAILED);
  if (is_essential(task))
    model_cancel(registries[task->registry].token,
                 task->how == TR_ENDED_RETURNED ? TR_REASON_REQUESTED_BY_RUN : TR_REASON_FATAL,
                 strlen(task->name));
}

static struct task *task_of(int actor) { return actor < HOSTS ? NULL : &tasks[actor - HOSTS]; }
static int is_flagged(int actor) { return actor >= HOSTS && tasks[actor - HOSTS].flagged; }

/* ---- Callbacks ------------------------------------------------------------------------------- */

static void on_log(void *context, const tr_log_event *event) {
  struct registry *registry = context;
  MUST(event->event >= 1 && event->event <= 4 && event->message != NULL && event->task != NULL);
  atomic_fetch_add(&registry->logged[event->event], 1);
}
static void on_cancel(void *context) {
  struct registration *registration = context;
  MUST_EQ(0, atomic_fetch_add(&registration->called, 1));
  MUST_EQ(0, atomic_load(&registration->dropped));
}
static void on_drop_callback(void *context) {
  MUST_EQ(0, atomic_fetch_add(&((struct registration *)context)->dropped, 1));
}
static void on_drop(void *context) {
  struct task *task = context;
  MUST_EQ(1, atomic_load(&task->bodies));
  MUST_EQ(0, atomic_fetch_add(&task->drops, 1));
}

/* ---- Actors ---------------------------------------------------------------------------------- */

static void act(struct actor *actor);

/* A task does what it is told until it is told to end. */
static int body(tr_task *self, void *context) {
  struct task *task = context;
  struct actor *actor = &actors[HOSTS + task->number];
  MUST(self == tr_task_self());
  task->it = self;
  MUST_EQ(0, atomic_fetch_add(&task->bodies, 1));
  while (1) {
    pthread_mutex_lock(&actor->lock);
    while (actor->state != TOLD) pthread_cond_wait(&actor->changed, &actor->lock);
    enum call call = actor->order.call;
    int how = actor->order.how;
    pthread_mutex_unlock(&actor->lock);
    if (call == RETURN) return how;
    if (call == EXIT) pthread_exit(NULL);
    act(actor);
  }
}
static void *host(void *argument) {
  struct actor *actor = argument;
  while (1) {
    pthread_mutex_lock(&actor->lock);
    while (actor->state != TOLD) pthread_cond_wait(&actor->changed, &actor->lock);
    pthread_mutex_unlock(&actor->lock);
    act(actor);
  }
  return NULL;
}

static void perform(struct order *order) {
  switch (order->call) {
    case TOKEN_CANCEL:
      order->status = tr_token_cancel(tokens[order->object].it, (tr_reason)order->how, order->text);
      break;
    case TOKEN_WAIT: order->status = tr_token_wait(tokens[order->object].it, order->timeout); break;
    case TASK_CANCEL: order->status = tr_task_cancel(tasks[order->object].it); break;
    case TASK_WAIT:
      order->outcome = (tr_outcome)TR_OUTCOME_INIT;
      order->status = tr_task_wait(tasks[order->object].it, order->timeout, &order->outcome);
      break;
    case JOIN:
    case SHUTDOWN:
      order->report = (tr_join_report)TR_JOIN_REPORT_INIT;
      order->stragglers[0].size = sizeof order->stragglers[0];
      order->report.stragglers = order->stragglers;
      order->report.stragglers_capacity = TASKS;
      order->status = order->call == JOIN
          ? tr_join_all(registries[order->object].it, order->timeout, &order->report)
          : tr_shutdown(registries[order->object].it, (tr_reason)order->how, order->text, order->timeout,
                        &order->report);
      break;
    case SPAWN:
      order->status = tr_spawn_with(registries[order->object].it, order->text, order->kind, body,
                                    &tasks[order->how], &order->options,
                                    order->wantsHandle ? &order->task : NULL);
      break;
    case SLEEP: order->status = tr_sleep(order->timeout); break;
    case WAIT_CANCELLED: order->status = tr_wait_cancelled(order->timeout); break;
    case WAIT_FD: order->status = tr_wait_fd(order->fd, POLLIN, order->timeout); break;
    case SET_MESSAGE: order->status = tr_task_set_message(tasks[order->object].it, order->text); break;
    case TOKEN_ON_CANCEL:
      order->status = tr_token_on_cancel(tokens[order->object].it, on_cancel, &registrations[order->how],
                                         on_drop_callback, &registrations[order->how].it);
      break;
    case TASK_ON_CANCEL:
      order->status = tr_task_on_cancel(tasks[order->object].it, on_cancel, &registrations[order->how],
                                        on_drop_callback, &registrations[order->how].it);
      break;
    case OFF_CANCEL: tr_off_cancel(registrations[order->object].it); break;
    case COND_WAIT:
      MUST_EQ(0, pthread_mutex_lock(&cond_lock));
      order->status = TR_OK;
      while (order->status == TR_OK && rounds == order->how)
        order->status = tr_cond_wait(&cond, &cond_lock, order->timeout);
      MUST_EQ(0, pthread_mutex_unlock(&cond_lock)); /* it would tell if it was not held */
      break;
    case RETAIN_REGISTRY: MUST(tr_registry_retain(registries[order->object].it) != NULL); break;
    default: break;
  }
}
static void act(struct actor *actor) {
  perform(&actor->order);
  pthread_mutex_lock(&actor->lock);
  actor->state = DONE;
  pthread_cond_broadcast(&actor->changed);
  pthread_mutex_unlock(&actor->lock);
}
static void tell(int number) {
  struct actor *actor = &actors[number];
  pthread_mutex_lock(&actor->lock);
  actor->state = TOLD;
  pthread_cond_broadcast(&actor->changed);
  pthread_mutex_unlock(&actor->lock);
}
static struct order *answer_of(int number) {
  struct actor *actor = &actors[number];
  pthread_mutex_lock(&actor->lock);
  while (actor->state != DONE) pthread_cond_wait(&actor->changed, &actor->lock);
  actor->state = IDLE;
  pthread_mutex_unlock(&actor->lock);
  return &actor->order;
}
static int has_answered(int number) {
  struct actor *actor = &actors[number];
  pthread_mutex_lock(&actor->lock);
  int answered = actor->state == DONE;
  pthread_mutex_unlock(&actor->lock);
  return answered;
}
static struct order *order_for(int number, enum call call, int object) {
  struct order *order = &actors[number].order;
  order->call = call;
  order->object = object;
  order->timeout = 0;
  order->text = NULL;
  order->how = 0;
  return order;
}
static struct order *ask(int number) {
  tell(number);
  return answer_of(number);
}

/* ---- Blocked calls --------------------------------------------------------------------------- */

#define MAY(status) (1u << -(status))

/* What a call may return in the state the model is in; 0: it blocks. */
static unsigned may_return(int number, const struct order *order) {
  unsigned may = 0;
  int flagged = is_flagged(number);
  switch (order->call) {
    case TOKEN_WAIT: if (tokens[order->object].cancelled) may |= MAY(TR_OK); break;
    case TASK_WAIT:
      if (task_of(number) == &tasks[order->object]) return MAY(TR_ERR_DEADLOCK);
      if (!tasks[order->object].live) may |= MAY(TR_OK);
      break;
    case JOIN:
      if (task_of(number) != NULL && is_within(task_of(number)->registry, order->object))
        return MAY(TR_ERR_DEADLOCK);
      if (registries[order->object].live == 0) may |= MAY(TR_OK);
      break;
    case WAIT_FD:
      if (flagged) return MAY(TR_ERR_CANCELLED);
      if (order->fd == -1) return MAY(TR_ERR_INVALID);
      if (order->fd == ready_pipe[0]) may |= MAY(TR_OK);
      break;
    case COND_WAIT: if (order->how != rounds) may |= MAY(TR_OK); break;
    case WAIT_CANCELLED: if (number < HOSTS) return MAY(TR_ERR_INVALID); break;
    default: break;
  }
  if (flagged) may |= MAY(TR_ERR_CANCELLED);
  return may;
}
static void check_outcome(const struct order *order) {
  const struct task *task = &tasks[order->object];
  MUST_EQ(task->how, order->outcome.how);
  MUST_EQ(task->code, order->outcome.code);
  MUST_EQ(task->flagged, order->outcome.was_cancelled);
  MUST_EQ(task->hasMessage ? 4 : 0, strlen(order->outcome.message));
}
static void check_answer(int number, unsigned may) {
  struct order *order = answer_of(number);
  actors[number].isPending = 0;
  if (!(may & MAY(order->status))) broken(__LINE__, "a status that is allowed", may, order->status);
  if (order->call == TASK_WAIT && order->status == TR_OK) check_outcome(order);
  if (order->call == JOIN && order->status == TR_OK) {
    MUST_EQ(0, order->report.pending);
    MUST_EQ(0, order->report.stragglers_count);
    /* no more than what came to pass since it was told to join */
    const struct counts *now = &registries[order->object].counts, *before = &order->before;
    MUST(order->report.ended <= now->ended - before->ended);
    MUST(order->report.failed <= now->failed - before->failed);
    MUST(order->report.exited <= now->exited - before->exited);
    MUST(order->report.rejected <= now->rejected - before->rejected);
  }
}
/* Ends those blocked calls that can end now, and looks that the others have not. */
static void settle(void) {
  for (int i = 0; i < ACTORS; i++) {
    if (!actors[i].isPending) continue;
    unsigned may = may_return(i, &actors[i].order);
    if (may != 0) check_answer(i, may);
    else MUST(!has_answered(i));
  }
}
/* Makes a call that may block, with a timeout of 0 or without one. */
static void wait_with(int number, int forever) {
  struct order *order = &actors[number].order;
  unsigned may = may_return(number, order);
  order->timeout = forever ? -1 : 0;
  if (order->call == JOIN) order->before = registries[order->object].counts;
  if (!forever) {
    /* what is ready is looked at before the flag, and the flag before the clock */
    if ((may & MAY(TR_OK)) && order->call != WAIT_FD) may = MAY(TR_OK);
    if (may == 0) may = order->call == SLEEP ? MAY(TR_OK) : MAY(TR_ERR_TIMEDOUT);
  }
  tell(number);
  if (may != 0) check_answer(number, may);
  else actors[number].isPending = 1;
}

/* ---- Looking at everything ------------------------------------------------------------------- */

static int is_readable(int fd) {
  struct pollfd poll_for = {fd, POLLIN, 0};
  MUST(poll(&poll_for, 1, 0) >= 0);
  return (poll_for.revents & POLLIN) != 0;
}
static void check_token(int number, int how) {
  struct token *token = &tokens[number];
  MUST_EQ(token->cancelled, tr_token_is_cancelled(token->it));
  MUST_EQ(token->cancelled ? token->reason : 0, tr_token_reason(token->it));
  MUST_EQ(!token->cancelled || token->reason != TR_REASON_FATAL,
          tr_reason_is_graceful(tr_token_reason(token->it)));
  char text[8];
  MUST_EQ(token->cancelled ? token->length : 0, tr_token_message(token->it, text, sizeof text));
  if (how % 4 == 0) {
    int fd = -1;
    MUST_EQ(TR_OK, tr_token_fd(token->it, &fd));
    MUST(token->fd == 0 || token->fd == fd);
    token->fd = fd;
  }
  if (token->fd != 0) MUST_EQ(token->cancelled, is_readable(token->fd));
}
static void check_task(int number, int how) {
  struct task *task = &tasks[number];
  char text[64];
  MUST_EQ(task->id, tr_task_id(task->it));
  MUST_EQ(task->kind, tr_task_kind(task->it));
  MUST_EQ(strlen(task->name), tr_task_name(task->it, text, sizeof text));
  MUST_EQ(0, strcmp(task->name, text));
  MUST_EQ(task->flagged, tr_task_is_cancelled(task->it));
  MUST_EQ(task->flagged, __atomic_load_n(tr_task_cancel_flag(task->it), __ATOMIC_ACQUIRE) != 0);
  if (how % 4 == 0) {
    int fd = -1;
    MUST_EQ(TR_OK, tr_task_fd(task->it, &fd));
    MUST(task->fd == 0 || task->fd == fd);
    task->fd = fd;
  }
  if (task->fd != 0) MUST_EQ(task->flagged, is_readable(task->fd));
}
/* The names of a group and of those above it, as much as is kept of them (T3). */
static void check_group(const char *group, int registry) {
  const char *path = registries[registry].path;
  size_t length = strlen(path);
  if (length > 127)
    for (length = 127; ((unsigned char)path[length] & 0xc0) == 0x80;) length--;
  MUST_EQ(length, strlen(group));
  MUST_EQ(0, memcmp(path, group, length));
}
static void check_listed(const tr_task_summary *entry, int registry, uint32_t state_of_overdue) {
  int found = 0;
  for (int i = 0; i < task_count; i++) {
    const struct task *task = &tasks[i];
    if (!task->live || task->id != entry->id || !is_within(task->registry, registry)) continue;
    found++;
    MUST_EQ(task->kind, entry->kind);
    MUST_EQ(0, strcmp(task->name, entry->name));
    MUST_EQ(task->flagged, entry->cancel_requested);
    MUST_EQ(task->cleanup ? TR_SPAWN_CLEANUP : 0, entry->flags);
    MUST_EQ(task->overdue ? state_of_overdue : task->flagged ? TR_STATE_CANCELLING : TR_STATE_RUNNING,
            entry->state);
    MUST(entry->thread_id > 0 && (entry->cancel_requested_at_ns != 0) == task->flagged);
    check_group(entry->group, task->registry);
  }
  MUST_EQ(1, found);
}
static void check_list(const tr_task_summary *list, size_t count, int registry) {
  for (size_t i = 0; i < count; i++) {
    check_listed(&list[i], registry, TR_STATE_ABANDONED);
    for (size_t j = 0; j < i; j++) MUST(list[i].id != list[j].id);
  }
}
static void check_registry(int number, int how) {
  struct registry *registry = &registries[number];
  MUST_EQ(registry->live, tr_len(registry->it));
  MUST_EQ(registry->live == 0, tr_is_empty(registry->it));
  MUST(tr_registry_token(registry->it) == tokens[registry->token].it);
  tr_task_summary list[TASKS];
  size_t room = how % 3 == 0 ? (size_t)how % 4 : TASKS, count = 77;
  list[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
  tr_status status = tr_snapshot(registry->it, room == 0 ? NULL : list, room, &count);
  MUST_EQ(room != 0 && room < registry->live ? TR_ERR_TRUNCATED : TR_OK, status);
  MUST_EQ(registry->live, count);
  check_list(list, room < count ? room : count, number);
}
static void check_counts(void) {
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].isUsed) {
      MUST_EQ(registrations[i].expected, atomic_load(&registrations[i].called));
      MUST_EQ(registrations[i].expected || registrations[i].it == NULL,
              atomic_load(&registrations[i].dropped));
    }
  for (int i = 0; i < registry_count; i++)
    for (int event = 1; event <= 4; event++)
      MUST_EQ(registries[i].events[event], atomic_load(&registries[i].logged[event]));
  for (int i = 0; i < task_count; i++) MUST_EQ(!tasks[i].live, atomic_load(&tasks[i].drops));
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static int is_free(int number) {
  if (actors[number].isPending) return 0;
  return number < HOSTS || (number - HOSTS < task_count && tasks[number - HOSTS].live);
}
/* Whoever `byte` names, or the next who is not blocked; nobody: -1. */
static int some_actor(int byte, int from) {
  for (int i = 0; i < ACTORS - from; i++) {
    int number = from + (byte + i) % (ACTORS - from);
    if (is_free(number)) return number;
  }
  return -1;
}
static int some_token(int byte) {
  for (int i = 0; i < token_count; i++)
    if (token_lives((byte + i) % token_count)) return (byte + i) % token_count;
  return -1;
}
static int some_registry(int byte) {
  for (int i = 0; i < registry_count; i++)
    if (registry_usable((byte + i) % registry_count)) return (byte + i) % registry_count;
  return -1;
}
static int some_task(int byte) {
  for (int i = 0; i < task_count; i++)
    if (task_lives((byte + i) % task_count)) return (byte + i) % task_count;
  return -1;
}

static int new_token(tr_token *it, int parent) {
  MUST(it != NULL);
  int number = token_count++;
  tokens[number] = (struct token){.it = it, .parent = parent, .refs = 1};
  if (parent >= 0 && tokens[parent].cancelled) {
    tokens[number].cancelled = 1;
    tokens[number].reason = tokens[parent].reason;
    tokens[number].length = tokens[parent].length;
  }
  return number;
}
static void call_registry_create(int a, int b, int c) {
  if (registry_count == REGISTRIES || token_count == TOKENS) return;
  int number = registry_count;
  struct registry *registry = &registries[number];
  int token = a % 2 == 0 ? some_token(b) : -1;
  memset(registry, 0, sizeof *registry);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  registry->parent = -1;
  registry->log = number;
  options.log = on_log;
  options.log_context = registry;
  options.token = token < 0 ? NULL : tokens[token].it;
  options.max_tasks = registry->limit = (uint64_t)(c % 8 < 3 ? c % 8 + 1 : 0);
  if (c & 16) options.spin_ns = 0;
  if (c & 32) options.idle_threads = TR_IDLE_THREADS_NONE;
  options.stack_size = 256 << 10;
  MUST_EQ(TR_OK, tr_registry_create(&options, &registry->it));
  registry->refs = 1;
  registry_count++;
  if (token < 0) {
    token = new_token(tr_registry_token(registry->it), -1);
    tokens[token].refs = 0;
  }
  registry->token = token;
  registry->closed = tokens[token].cancelled;
}

static void call_group_create(int b, int c) {
  int parent = some_registry(b), number = registry_count;
  if (parent < 0 || number == REGISTRIES || token_count == TOKENS) return;
  struct registry *group = &registries[number];
  memset(group, 0, sizeof *group);
  const char *name = c % 8 == 7 ? "a/b" : names[c >> 3 & 7].given, *kept = names[c >> 3 & 7].kept;
  int isDefault = (b & 128) != 0, isInvalid = kept == NULL || c % 8 == 7;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  group->log = registries[parent].log;
  if (!isDefault) {
    options.max_tasks = group->limit = (uint64_t)(c % 8 < 3 ? c % 8 + 1 : 0);
    if (c % 8 == 6) {
      options.token = tokens[registries[parent].token].it;
      isInvalid = 1;
    }
    if (c & 64) {
      options.log = on_log;
      options.log_context = group;
      group->log = number;
    }
    if (c & 128) options.stack_size = 128 << 10;
  }
  MUST_EQ(isInvalid ? TR_ERR_INVALID : TR_OK,
          tr_registry_child(registries[parent].it, name, isDefault ? NULL : &options, &group->it));
  MUST_EQ(isInvalid, group->it == NULL);
  if (isInvalid) return;
  registry_count++;
  strcpy(group->path, registries[parent].path);
  if (group->path[0] != 0) strcat(group->path, "/");
  strcat(group->path, kept);
  group->parent = parent;
  group->refs = 1;
  group->token = new_token(tr_registry_token(group->it), registries[parent].token);
  tokens[group->token].refs = 0;
  group->closed = tokens[group->token].cancelled;
}

/* What a spawn has to return. */
static int spawn_status(int actor, const struct order *order, int invalid) {
  if (invalid) return TR_ERR_INVALID;
  for (int i = order->object; i >= 0; i = registries[i].parent) {
    int isOwn = task_of(actor) != NULL && is_within(task_of(actor)->registry, i);
    int passes = (order->options.flags & TR_SPAWN_CLEANUP) && isOwn;
    if (registries[i].closed && !passes) return TR_ERR_CLOSED;
    if (registries[i].limit != 0 && registries[i].live >= registries[i].limit) return TR_ERR_LIMIT;
  }
  return TR_OK;
}
#define UNKNOWN_FLAG (1u << 31)

static int prepare_spawn(int actor, int number, int registry, int b, int c, uint32_t flags) {
  struct order *order = order_for(actor, SPAWN, registry);
  static const tr_kind kinds[] = {TR_KIND_BACKGROUND_LOOP, TR_KIND_MAINTENANCE, TR_KIND_APPLICATION, 0x77};
  order->text = names[b % 8].given;
  order->kind = kinds[c % 16 == 15 ? 3 : c % 3];
  order->options = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  order->options.drop = on_drop;
  order->options.flags = flags | (c & 16 ? TR_SPAWN_CLEANUP : 0) | (c & 32 ? TR_SPAWN_FRESH_THREAD : 0) |
                         ((c & 192) == 192 && b & 128 ? UNKNOWN_FLAG : 0);
  order->wantsHandle = !(c & 64);
  order->how = number;
  order->task = NULL;
  tasks[number].number = number;
  atomic_store(&tasks[number].bodies, 0);
  atomic_store(&tasks[number].drops, 0);
  actors[HOSTS + number].state = IDLE;
  return names[b % 8].kept == NULL || order->kind == 0x77 || (order->options.flags & UNKNOWN_FLAG) != 0;
}
/* A spawn was accepted: waits for the body, and writes the task down. */
static void note_spawn(const struct order *order, int name) {
  struct task *task = &tasks[order->how];
  struct registry *registry = &registries[order->object];
  while (atomic_load(&task->bodies) == 0) usleep(20);
  task->registry = order->object;
  task->refs = order->wantsHandle;
  task->reserve = task->overdue = task->fd = task->hasMessage = 0;
  task->live = 1;
  task->cleanup = (order->options.flags & TR_SPAWN_CLEANUP) != 0;
  task->essential = order->options.flags & (TR_SPAWN_ESSENTIAL | TR_SPAWN_ESSENTIAL_UNLESS_RETURNED);
  task->flagged = task->cleanup ? registry->overdue : tokens[registry->token].cancelled;
  task->kind = order->kind;
  task->name = names[name % 8].kept;
  task->how = 0;
  task->code = 0;
  task->id = tr_task_id(task->it);
  MUST(!order->wantsHandle || order->task == task->it);
  for (int i = 0; i < TASKS; i++) MUST(i == order->how || i >= task_count || tasks[i].id != task->id);
  for (int i = task->registry; i >= 0; i = registries[i].parent) registries[i].live++;
}
static void call_spawn(int a, int b, int c, uint32_t flags) {
  int actor = some_actor(a, 0), registry = some_registry(a >> 4);
  if (actor < 0 || registry < 0 || task_count == TASKS) return;
  int invalid = prepare_spawn(actor, task_count, registry, b, c, flags);
  struct order *order = &actors[actor].order;
  int expected = spawn_status(actor, order, invalid);
  ask(actor);
  MUST_EQ(expected, order->status);
  if (expected == TR_OK) {
    task_count++;
    note_spawn(order, b);
  } else {
    MUST(order->task == NULL);
    if (expected != TR_ERR_INVALID) model_refusal(registry);
  }
}
/* Three spawn at once: as many get in as there is room for (S6). */
static void call_spawn_thrice(int b, int c) {
  int registry = some_registry(b);
  if (registry < 0 || task_count + 3 > TASKS) return;
  struct registry *into = &registries[registry];
  for (int i = 0; i < HOSTS; i++)
    if (!is_free(i)) return;
  for (int i = 0; i < HOSTS; i++) prepare_spawn(i, task_count + i, registry, 0, c & 0x70, 0);
  for (int i = 0; i < HOSTS; i++) tell(i);
  int accepted = 0, expected = into->closed ? 0 : 3;
  for (int i = registry; i >= 0; i = registries[i].parent)
    if (registries[i].limit != 0 && registries[i].limit - registries[i].live < (uint64_t)expected)
      expected = (int)(registries[i].limit - registries[i].live);
  struct order kept[HOSTS];
  for (int i = 0; i < HOSTS; i++) kept[i] = *answer_of(i);
  for (int i = 0; i < HOSTS; i++) {
    if (kept[i].status == TR_OK) {
      accepted++;
      continue;
    }
    MUST_EQ(into->closed ? TR_ERR_CLOSED : TR_ERR_LIMIT, kept[i].status);
    model_refusal(registry);
  }
  MUST_EQ(expected, accepted);
  int first = task_count;
  task_count += 3;
  for (int i = 0; i < HOSTS; i++) {
    tasks[first + i].registry = registry;
    tasks[first + i].live = tasks[first + i].refs = tasks[first + i].reserve = 0;
    tasks[first + i].id = 0;
    if (kept[i].status == TR_OK) note_spawn(&kept[i], 0);
    else atomic_store(&tasks[first + i].drops, 1); /* there was none: nothing to be dropped */
  }
}
static void end_task(int number, int exits, int code) {
  struct task *task = &tasks[number];
  struct order *order = order_for(HOSTS + number, exits ? EXIT : RETURN, 0);
  order->how = code;
  task->how = exits ? TR_ENDED_EXITED : code != 0 ? TR_ENDED_FAILED : TR_ENDED_RETURNED;
  task->code = exits ? 0 : code;
  /* what an essential one cancels has happened when a wait for it returns, and not when its drop has */
  int isHeld = task->refs + task->reserve > 0, isHeldFor = !isHeld && is_essential(task);
  if (isHeldFor) MUST(tr_task_retain(task->it) == task->it);
  tell(HOSTS + number);
  if (isHeld || isHeldFor) MUST_EQ(TR_OK, tr_task_wait(task->it, -1, NULL));
  if (isHeldFor) tr_task_release(task->it);
  while (atomic_load(&task->drops) == 0) usleep(20);
  model_end(number);
  for (int i = task->registry; i >= 0; i = registries[i].parent)
    if (registry_usable(i))
      while (tr_len(registries[i].it) != registries[i].live) usleep(20);
  const struct registry *log = &registries[registries[task->registry].log];
  for (int event = 1; event <= 2; event++)
    while (atomic_load(&log->logged[event]) != log->events[event]) usleep(20);
}
static void call_join(int a, int b, int shuts) {
  int actor = some_actor(a, 0), number = some_registry(b);
  if (actor < 0 || number < 0) return;
  struct registry *registry = &registries[number];
  struct order *order = order_for(actor, shuts ? SHUTDOWN : JOIN, number);
  order->how = 3;
  order->text = "stop";
  int isOwn = task_of(actor) != NULL && is_within(task_of(actor)->registry, number);
  ask(actor);
  if (isOwn) {
    MUST_EQ(TR_ERR_DEADLOCK, order->status);
    return;
  }
  if (shuts) {
    registry->closed = 1;
    model_cancel(registry->token, 3, 4);
  }
  if (registry->live > 0 && is_flagged(actor)) {
    MUST_EQ(TR_ERR_CANCELLED, order->status);
    return;
  }
  if (registry->live == 0) {
    int held_up = shuts && order->status == TR_ERR_DEADLINE && order->report.threads_left > 0;
    if (shuts && is_flagged(actor) && order->status == TR_ERR_CANCELLED) return;
    if (!held_up) MUST_EQ(TR_OK, order->status);
    MUST_EQ(0, order->report.pending);
  } else {
    MUST_EQ(TR_ERR_DEADLINE, order->status);
    model_deadline(number);
    MUST_EQ(registry->live, order->report.pending);
    MUST_EQ(registry->live, order->report.abandoned);
    MUST_EQ(registry->live, order->report.stragglers_count);
    check_list(order->stragglers, order->report.stragglers_count, number);
  }
  MUST_EQ(0, order->report.aborted);
  MUST_EQ(0, order->report.ended);
  MUST_EQ(0, order->report.rejected);
}
static void call_on_cancel(int a, int b, int isTask) {
  int actor = some_actor(a, 0), owner = isTask ? some_task(b) : some_token(b);
  if (actor < 0 || owner < 0 || registration_count == REGISTRATIONS) return;
  int number = registration_count++;
  struct registration *registration = &registrations[number];
  *registration = (struct registration){.isUsed = 1, .isTask = isTask, .owner = owner};
  struct order *order = order_for(actor, isTask ? TASK_ON_CANCEL : TOKEN_ON_CANCEL, owner);
  order->how = number;
  int cancelled = isTask ? tasks[owner].flagged : tokens[owner].cancelled;
  ask(actor);
  MUST_EQ(cancelled ? TR_ERR_CANCELLED : TR_OK, order->status);
  registration->expected = cancelled;
  MUST_EQ(cancelled, registration->it == NULL);
}
static void call_off_cancel(int a, int b) {
  int actor = some_actor(a, 0);
  if (actor < 0 || registration_count == 0) return;
  int number = b % registration_count;
  if (registrations[number].it == NULL) return;
  order_for(actor, OFF_CANCEL, number);
  ask(actor);
  registrations[number].it = NULL;
}
static void call_cancel_thrice(int b, int c) {
  int number = some_token(b);
  for (int i = 0; i < HOSTS; i++)
    if (!is_free(i) || number < 0) return;
  int before = tokens[number].cancelled, firsts = 0, winner = 0;
  for (int i = 0; i < HOSTS; i++) {
    struct order *order = order_for(i, TOKEN_CANCEL, number);
    order->how = c % 64 + i;
    order->text = i == 1 ? "stop" : NULL;
  }
  for (int i = 0; i < HOSTS; i++) tell(i);
  for (int i = 0; i < HOSTS; i++)
    if (answer_of(i)->status == 1) {
      firsts++;
      winner = i;
    }
  MUST_EQ(!before, firsts);
  model_cancel(number, (tr_reason)(c % 64 + winner), winner == 1 ? 4 : 0);
}
static void call_with_null(void) {
  size_t count;
  int fd;
  tr_registration *registration;
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  MUST(tr_token_child(NULL) == NULL && tr_token_retain(NULL) == NULL);
  MUST(tr_registry_retain(NULL) == NULL && tr_task_retain(NULL) == NULL);
  tr_token_release(NULL);
  tr_registry_release(NULL);
  tr_task_release(NULL);
  tr_off_cancel(NULL);
  MUST(!tr_token_cancel(NULL, 1, NULL) && !tr_token_is_cancelled(NULL) && !tr_token_reason(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_token_wait(NULL, 0));
  MUST_EQ(TR_ERR_INVALID, tr_registry_create(NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_spawn(NULL, "x", 1, body, NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_join_all(NULL, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_registry_child(NULL, "x", NULL, NULL));
  MUST(tr_token_child_with_timeout(NULL, 0) == NULL);
  MUST_EQ(TR_ERR_INVALID, tr_request_shutdown(NULL, 1));
  MUST_EQ(TR_ERR_INVALID, tr_shutdown_on_signals(NULL, NULL, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_shutdown_off_signals(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_cond_wait(NULL, NULL, 0));
  MUST_EQ(TR_ERR_INVALID, tr_shutdown(NULL, 1, NULL, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_snapshot(NULL, &summary, 1, &count));
  MUST_EQ(TR_ERR_INVALID, tr_task_cancel(NULL));
  MUST_EQ(TR_ERR_INVALID, tr_task_wait(NULL, 0, NULL));
  MUST_EQ(TR_ERR_INVALID, tr_task_set_message(NULL, "x"));
  MUST_EQ(TR_ERR_INVALID, tr_token_fd(NULL, &fd));
  MUST_EQ(TR_ERR_INVALID, tr_task_fd(NULL, &fd));
  MUST_EQ(TR_ERR_INVALID, tr_token_on_cancel(NULL, on_cancel, NULL, NULL, &registration));
  MUST_EQ(TR_ERR_INVALID, tr_task_on_cancel(NULL, on_cancel, NULL, NULL, &registration));
  MUST(tr_task_self() == NULL && tr_len(NULL) == 0 && tr_is_empty(NULL) && tr_task_id(NULL) == 0);
}

static void call_token(int what, int a, int b, int c) {
  int number = some_token(b), actor = some_actor(a, 0);
  if (what == 0) {
    if (token_count < TOKENS) new_token(tr_token_create(), -1);
    return;
  }
  if (number < 0 || actor < 0) return;
  struct token *token = &tokens[number];
  struct order *order;
  switch (what) {
    case 1: if (token_count < TOKENS) new_token(tr_token_child(token->it), number); break;
    case 2: /* more references, or fewer; one may be held in reserve */
      for (int i = 0; i < ACTORS; i++)
        if (actors[i].isPending && actors[i].order.call == TOKEN_WAIT && actors[i].order.object == number) return;
      if (c % 3 == 0 && token->refs > 0) {
        token->refs--;
        tr_token_release(token->it);
      } else if (c % 3 == 1 && token->reserve > 0) {
        token->reserve--;
        tr_token_release(token->it);
      } else if (token->refs + token->reserve < 5) {
        MUST(tr_token_retain(token->it) == token->it);
        if (c & 8) token->reserve++;
        else token->refs++;
      }
      if (!token_lives(number)) token->fd = 0;
      break;
    case 3:
      order = order_for(actor, TOKEN_CANCEL, number);
      order->how = c % 64;
      order->text = messages[c >> 6];
      int isFirst = !token->cancelled;
      ask(actor);
      MUST_EQ(isFirst, order->status);
      model_cancel(number, (tr_reason)(c % 64),
                   order->text == long_message ? 255 : order->text == NULL ? 0 : strlen(order->text));
      break;
    case 4: check_token(number, c); break;
    default:
      if (what == 6 && token->refs + token->reserve == 0) return;
      order_for(actor, TOKEN_WAIT, number);
      wait_with(actor, what == 6);
  }
}
static void call_task(int what, int a, int b, int c) {
  int number = some_task(b), actor = some_actor(a, 0);
  if (number < 0 || actor < 0) return;
  struct task *task = &tasks[number];
  struct order *order;
  switch (what) {
    case 0: case 1:
      if (is_free(HOSTS + number)) end_task(number, what == 1, c % 3);
      break;
    case 2:
      order_for(actor, TASK_CANCEL, number);
      MUST_EQ(TR_OK, ask(actor)->status);
      model_flag(number);
      break;
    case 3: case 4:
      /* the wait itself needs the task to stay: another reference is held while it is blocked */
      if (what == 4 && task->refs + task->reserve == 0) return;
      order_for(actor, TASK_WAIT, number);
      wait_with(actor, what == 4);
      break;
    case 5: check_task(number, c); break;
    case 6:
      for (int i = 0; i < ACTORS; i++)
        if (actors[i].isPending && actors[i].order.call == TASK_WAIT && actors[i].order.object == number) return;
      if (c % 3 == 0 && task->refs > 0) {
        task->refs--;
        tr_task_release(task->it);
      } else if (c % 3 == 1 && task->reserve > 0) {
        task->reserve--;
        tr_task_release(task->it);
      } else if (task->refs + task->reserve < 5) {
        MUST(tr_task_retain(task->it) == task->it);
        if (c & 8) task->reserve++;
        else task->refs++;
      }
      break;
    default:
      order = order_for(actor, SET_MESSAGE, number);
      order->text = c % 3 == 0 ? NULL : c % 3 == 1 ? "note" : "\xff\xfe";
      ask(actor);
      if (task_of(actor) != task || c % 3 == 2) {
        MUST_EQ(TR_ERR_INVALID, order->status);
      } else {
        MUST_EQ(TR_OK, order->status);
        task->hasMessage = c % 3 == 1;
      }
  }
}
static void call_registry(int what, int a, int b, int c) {
  if (what == 0) {
    call_registry_create(a, b, c);
    return;
  }
  if (what == 1) { /* one of its tasks may take a reference after the last one was given back */
    int actor = some_actor(a, HOSTS);
    if (actor < 0) return;
    int own = task_of(actor)->registry; /* or one above it, whose task it is as well */
    for (int climb = b % 4; climb > 0 && registries[own].parent >= 0; climb--) own = registries[own].parent;
    if (registries[own].refs < 3) {
      order_for(actor, RETAIN_REGISTRY, own);
      ask(actor);
      registries[own].refs++;
    }
    return;
  }
  int number = some_registry(b);
  if (number < 0) return;
  struct registry *registry = &registries[number];
  if (what == 2) {
    for (int i = 0; i < ACTORS; i++)
      if (actors[i].isPending && actors[i].order.call == JOIN && actors[i].order.object == number) return;
    if (c % 3 == 0 && registry->refs > 0) {
      registry->refs--;
      tr_registry_release(registry->it);
    } else if (c % 3 == 1 && registry->reserve > 0) {
      registry->reserve--;
      tr_registry_release(registry->it);
    } else if (registry->refs + registry->reserve < 5) {
      MUST(tr_registry_retain(registry->it) == registry->it);
      if (c & 8) registry->reserve++;
      else registry->refs++;
    }
    return;
  }
  check_registry(number, c);
}
static void call_timeout(int b, int c) {
  static const int64_t timeouts[] = {0, INT64_C(3600000000000), INT64_MAX, -1};
  int parent = some_token(b);
  if (parent < 0 || token_count == TOKENS) return;
  int number = new_token(tr_token_child_with_timeout(tokens[parent].it, timeouts[c % 4]), parent);
  /* the message is the library's own, and stays as it is */
  if (timeouts[c % 4] == 0)
    model_cancel(number, TR_REASON_DEADLINE, tr_token_message(tokens[number].it, NULL, 0));
}
/* Begins or ends the watch of no signal at all: there is one in the process. */
static void call_watch(int b, int c) {
  int number = some_registry(b);
  if (c & 8 && watched >= 0) number = watched; /* which may be all that keeps the registry */
  if (number < 0) return;
  if (c % 3 != 0) {
    sigset_t signals;
    sigemptyset(&signals);
    if (c & 16) sigaddset(&signals, SIGKILL);
    MUST_EQ(watched < 0 && !(c & 16) ? TR_OK : TR_ERR_INVALID,
            tr_shutdown_on_signals(registries[number].it, &signals, NULL));
    if (!(c & 16) && watched < 0) watched = number;
  } else {
    MUST_EQ(watched == number ? TR_OK : TR_ERR_INVALID, tr_shutdown_off_signals(registries[number].it));
    if (watched == number) watched = -1;
  }
}
/* Asks for a cancel, and waits until the watch's thread is through with it. */
static void call_request(int b, int c) {
  int number = some_token(b);
  if (number < 0) return;
  tr_token *token = tokens[number].it;
  MUST_EQ(watched < 0 ? TR_ERR_INVALID : TR_OK, tr_request_shutdown(token, (tr_reason)(c % 64)));
  if (watched < 0) return;
  model_cancel(number, (tr_reason)(c % 64), 0);
  MUST_EQ(TR_OK, tr_token_wait(token, -1));
  MUST_EQ(0, tr_token_cancel(token, 1, NULL)); /* returns once the flags below are up (C3) */
  for (int i = 0; i < registration_count; i++)
    while (registrations[i].expected && atomic_load(&registrations[i].dropped) == 0) usleep(20);
}
/* Lets those in COND_WAIT go on; a signal is enough for one. */
static void go_on(int isLocked, int mayBeSignal) {
  int waiters = 0;
  for (int i = 0; i < ACTORS; i++) waiters += actors[i].isPending && actors[i].order.call == COND_WAIT;
  MUST_EQ(0, pthread_mutex_lock(&cond_lock));
  rounds++;
  if (!isLocked) MUST_EQ(0, pthread_mutex_unlock(&cond_lock));
  MUST_EQ(0, mayBeSignal && waiters < 2 ? pthread_cond_signal(&cond) : pthread_cond_broadcast(&cond));
  if (isLocked) MUST_EQ(0, pthread_mutex_unlock(&cond_lock));
}
static void call_cond(int what, int a, int b, int c) {
  int number = some_task(b), actor = some_actor(a, c & 1 ? HOSTS : 0);
  if (what == 0) {
    go_on(c & 1, c & 2);
  } else if (what == 1) { /* a task is cancelled by one who holds the mutex it may wait with */
    if (number < 0) return;
    MUST_EQ(0, pthread_mutex_lock(&cond_lock));
    MUST_EQ(TR_OK, tr_task_cancel(tasks[number].it));
    MUST_EQ(0, pthread_mutex_unlock(&cond_lock));
    model_flag(number);
  } else if (actor >= 0) {
    order_for(actor, COND_WAIT, 0)->how = rounds;
    wait_with(actor, b % 4 != 0);
  }
}
static void call_blocking(int what, int a, int b, int c) {
  int actor = some_actor(a, what == 2 ? 0 : HOSTS);
  if (actor < 0) return;
  if (what == 3) {
    int number = some_registry(b);
    if (number < 0) return;
    order_for(actor = some_actor(a, 0), JOIN, number);
    wait_with(actor, 1);
    return;
  }
  struct order *order = order_for(actor, what == 0 ? SLEEP : what == 1 ? WAIT_CANCELLED : WAIT_FD, 0);
  order->fd = c % 3 == 0 ? ready_pipe[0] : c % 3 == 1 ? quiet_pipe[0] : -1;
  if (what == 2 && order->fd == -1 && is_flagged(actor)) order->fd = quiet_pipe[0];
  wait_with(actor, actor >= HOSTS && b % 2);
}

static void make_call(const uint8_t *bytes) {
  int a = bytes[1], b = bytes[2], c = bytes[3];
  static const uint32_t essential[] = {TR_SPAWN_ESSENTIAL, TR_SPAWN_ESSENTIAL_UNLESS_RETURNED,
                                       TR_SPAWN_ESSENTIAL | TR_SPAWN_ESSENTIAL_UNLESS_RETURNED};
  if (bytes[0] >= 224) {
    int what = bytes[0] - 224;
    if (what < 8) call_group_create(b, c);
    else if (what < 16) call_spawn(a, b, c, essential[what % 3]);
    else if (what < 19) call_timeout(b, c);
    else if (what < 22) call_watch(b, c);
    else if (what < 25) call_request(b, c);
    else call_cond(what - 25, a, b, c);
  } else switch (bytes[0] % 40) {
    case 0: case 1: case 2: case 3: case 4: case 5: case 6: call_token(bytes[0] % 40, a, b, c); break;
    case 7: case 8: case 9: case 10: call_registry(bytes[0] % 40 - 7, a, b, c); break;
    case 11: case 12: case 13: case 14: case 15: call_spawn(a, b, c, 0); break;
    case 16: case 17: case 18: case 19: case 20: case 21: case 22: case 23:
      call_task(bytes[0] % 40 - 16, a, b, c); break;
    case 24: case 25: call_join(a, b, 0); break;
    case 26: call_join(a, b, 1); break;
    case 27: case 28: call_on_cancel(a, b, bytes[0] % 40 - 27); break;
    case 29: call_off_cancel(a, b); break;
    case 30: case 31: case 32: case 33: call_blocking(bytes[0] % 40 - 30, a, b, c); break;
    case 34: call_with_null(); break;
    case 35: call_cancel_thrice(b, c); break;
    case 36: call_spawn_thrice(b, c); break;
    default: {
      int number = some_registry(b);
      if (number >= 0) check_registry(number, c);
    }
  }
  settle();
  check_counts();
}

/* ---- One input ------------------------------------------------------------------------------- */

/* Ends all that is blocked and alive, and gives everything back. */
static void finish(void) {
  go_on(0, 0);
  if (watched >= 0) {
    MUST_EQ(TR_OK, tr_shutdown_off_signals(registries[watched].it));
    watched = -1;
  }
  for (int i = 0; i < token_count; i++)
    if (token_lives(i)) {
      tr_token_cancel(tokens[i].it, 1, NULL);
      model_cancel(i, 1, 0);
    }
  for (int i = 0; i < task_count; i++)
    if (tasks[i].live) {
      MUST_EQ(TR_OK, tr_task_cancel(tasks[i].it));
      model_flag(i);
    }
  settle();
  for (int i = 0; i < task_count; i++)
    if (tasks[i].live) {
      MUST(is_free(HOSTS + i));
      end_task(i, 0, 0);
      settle();
    }
  for (int i = 0; i < ACTORS; i++) MUST_EQ(NOTHING, actors[i].isPending ? actors[i].order.call : NOTHING);
  check_counts();
  for (int i = 0; i < registry_count; i++)
    if (registry_usable(i)) MUST_EQ(TR_OK, tr_shutdown(registries[i].it, 1, NULL, -1, NULL));
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].it != NULL) {
      tr_off_cancel(registrations[i].it);
      registrations[i].it = NULL;
    }
  check_counts();
  for (int i = 0; i < task_count; i++)
    for (; tasks[i].refs + tasks[i].reserve > 0; tasks[i].refs--) tr_task_release(tasks[i].it);
  for (int i = 0; i < registry_count; i++)
    for (; registries[i].refs + registries[i].reserve > 0; registries[i].refs--)
      tr_registry_release(registries[i].it);
  for (int i = 0; i < token_count; i++)
    for (; tokens[i].refs + tokens[i].reserve > 0; tokens[i].refs--) tr_token_release(tokens[i].it);
}

static void begin(void) {
  static int begun;
  token_count = registry_count = task_count = registration_count = 0;
  watched = -1;
  if (begun) return;
  begun = 1;
  memset(long_name, 'n', sizeof long_name - 1);
  memset(kept_name, 'n', sizeof kept_name - 1);
  memset(long_message, 'm', sizeof long_message - 1);
  MUST(pipe2(quiet_pipe, O_CLOEXEC) == 0 && pipe2(ready_pipe, O_CLOEXEC) == 0);
  MUST(write(ready_pipe[1], "x", 1) == 1);
  pthread_mutexattr_t checking;
  MUST_EQ(0, pthread_mutexattr_init(&checking));
  MUST_EQ(0, pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK));
  MUST_EQ(0, pthread_mutex_init(&cond_lock, &checking));
  for (int i = 0; i < ACTORS; i++) {
    pthread_mutex_init(&actors[i].lock, NULL);
    pthread_cond_init(&actors[i].changed, NULL);
    pthread_t thread;
    if (i < HOSTS) MUST(pthread_create(&thread, NULL, host, &actors[i]) == 0 && pthread_detach(thread) == 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  failing_input = data;
  failing_size = size;
  begin();
  for (size_t i = 0; i + 4 <= size && i < 4 * CALLS; i += 4) make_call(data + i);
  finish();
  return 0;
}
