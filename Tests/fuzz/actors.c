/* actors.c - what the threads that make calls do; see actors.h. */

#define _GNU_SOURCE

#include "actors.h"

#include <string.h>

#include <fcntl.h>
#include <unistd.h>

struct actor actors[ACTORS];
int quiet_pipe[2], ready_pipe[2];
int rounds;
pthread_mutex_t cond_lock;
pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

/* ---- What the library calls ------------------------------------------------------------------ */

void on_log(void *context, const tr_log_event *event) {
  struct registry *registry = context;
  MUST(event->event >= 1 && event->event < EVENTS && event->message != NULL && event->task != NULL);
  if (event->event == TR_EVENT_TASK_LATE) MUST(event->task_id != 0 && event->task[0] != 0);
  /* How many invalid calls and short graces there are the model does not know; what is said of them it does. */
  if (event->event == TR_EVENT_INVALID_CALL) {
    MUST(event->code == TR_ERR_INVALID && strcmp(event->message, tr_error_detail()) == 0);
    return;
  }
  if (event->event == TR_EVENT_SHORT_GRACE) return;
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

int is_flagged(int actor) {
  if (actor < HOSTS) return 0;
  const struct task *task = &tasks[actor - HOSTS];
  return task->draining ? task->level == TR_STOP_ABORT : task->flagged;
}

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
    if ((call == RETURN || call == EXIT) && task->isPlain) atomic_fetch_add(&task->drops, 1);
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

void command(int number) {
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
  order->wantsFull = 0;
  order->full = NULL;
  order->shutdown = NULL;
  return order;
}

struct order *ask(int number) {
  command(number);
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
