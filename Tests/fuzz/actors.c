/* actors.c - what the threads that make calls do; see actors.h. */

#define _GNU_SOURCE

#include "actors.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

struct actor actors[ACTORS];
int quiet_pipe[2], ready_pipe[2];
int rounds;
pthread_mutex_t cond_lock;
pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

/* ---- What the library calls ------------------------------------------------------------------ */

void on_log(void *context, const tr_log_event *event) {
  struct registry *registry = context;
  MUST(event->event >= 1 && event->event <= TR_EVENT_TASK_LATE && event->message != NULL && event->task != NULL);
  atomic_fetch_add(&registry->logged[event->event], 1);
}

void on_cancel(void *context) {
  struct registration *registration = context;
  MUST_EQ(0, atomic_fetch_add(&registration->called, 1));
  MUST_EQ(0, atomic_load(&registration->dropped));
}

void on_drop_callback(void *context) {
  MUST_EQ(0, atomic_fetch_add(&((struct registration *)context)->dropped, 1));
}

void on_drop(void *context) {
  struct task *task = context;
  MUST_EQ(1, atomic_load(&task->bodies));
  MUST_EQ(0, atomic_fetch_add(&task->drops, 1));
}

/* ---- Making calls ---------------------------------------------------------------------------- */

struct task *task_of(int actor) { return actor < HOSTS ? NULL : &tasks[actor - HOSTS]; }

int is_flagged(int actor) { return actor >= HOSTS && tasks[actor - HOSTS].flagged; }

int is_free(int number) {
  if (actors[number].isPending) return 0;
  return number < HOSTS || (number - HOSTS < task_count && tasks[number - HOSTS].live);
}

int pending(enum call call, int object) {
  int count = 0;
  for (int i = 0; i < ACTORS; i++)
    count += actors[i].isPending && actors[i].order.call == call && actors[i].order.object == object;
  return count;
}

int some_actor(int byte, int from) {
  for (int i = 0; i < ACTORS - from; i++) {
    int number = from + (byte + i) % (ACTORS - from);
    if (is_free(number)) return number;
  }
  return -1;
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

/* A task does what it is told until it is told to end. */
int body(tr_task *self, void *context) {
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

void *host(void *argument) {
  struct actor *actor = argument;
  while (1) {
    pthread_mutex_lock(&actor->lock);
    while (actor->state != TOLD) pthread_cond_wait(&actor->changed, &actor->lock);
    pthread_mutex_unlock(&actor->lock);
    act(actor);
  }
  return NULL;
}

void tell(int number) {
  struct actor *actor = &actors[number];
  pthread_mutex_lock(&actor->lock);
  actor->state = TOLD;
  pthread_cond_broadcast(&actor->changed);
  pthread_mutex_unlock(&actor->lock);
}

struct order *answer_of(int number) {
  struct actor *actor = &actors[number];
  pthread_mutex_lock(&actor->lock);
  while (actor->state != DONE) pthread_cond_wait(&actor->changed, &actor->lock);
  actor->state = IDLE;
  pthread_mutex_unlock(&actor->lock);
  return &actor->order;
}

int has_answered(int number) {
  struct actor *actor = &actors[number];
  pthread_mutex_lock(&actor->lock);
  int answered = actor->state == DONE;
  pthread_mutex_unlock(&actor->lock);
  return answered;
}

struct order *order_for(int number, enum call call, int object) {
  struct order *order = &actors[number].order;
  order->call = call;
  order->object = object;
  order->timeout = 0;
  order->text = NULL;
  order->how = 0;
  return order;
}

struct order *ask(int number) {
  tell(number);
  return answer_of(number);
}

void begin_actors(void) {
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
    if (i >= HOSTS) continue;
    MUST(pthread_create(&thread, NULL, host, &actors[i]) == 0 && pthread_detach(thread) == 0);
  }
}
