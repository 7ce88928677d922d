/* calls-tasks.c - what is done with tasks, and what they wait for. */

#include "calls.h"

void call_task(int what, int a, int b, int c) {
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
      if (pending(TASK_WAIT, number) > 0) return;
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
      if (c & 128) {
        order = order_for(actor, SET_DATA, number);
        order->data = c & 64 ? &tasks[c % TASKS] : NULL;
        ask(actor);
        MUST_EQ(task_of(actor) == task ? TR_OK : TR_ERR_INVALID, order->status);
        if (task_of(actor) == task) task->data = order->data;
        break;
      }
      order = order_for(actor, SET_MESSAGE, number);
      order->text = c % 3 == 0 ? NULL : c % 3 == 1 ? "note" : "\xff\xfe";
      order->how = c >> 6 & 1; /* whether bytes that are not UTF-8 are replaced, by three each */
      ask(actor);
      if (task_of(actor) != task || (c % 3 == 2 && !order->how)) {
        MUST_EQ(TR_ERR_INVALID, order->status);
      } else {
        MUST_EQ(TR_OK, order->status);
        task->messageLength = c % 3 == 0 ? 0 : c % 3 == 1 ? 4 : 6;
      }
  }
}

/* Lets those in COND_WAIT go on; a signal is enough for one. */
void go_on(int isLocked, int mayBeSignal) {
  int waiters = pending(COND_WAIT, 0);
  MUST_EQ(0, pthread_mutex_lock(&cond_lock));
  rounds++;
  if (!isLocked) MUST_EQ(0, pthread_mutex_unlock(&cond_lock));
  MUST_EQ(0, mayBeSignal && waiters < 2 ? pthread_cond_signal(&cond) : pthread_cond_broadcast(&cond));
  if (isLocked) MUST_EQ(0, pthread_mutex_unlock(&cond_lock));
}

void call_cond(int what, int a, int b, int c) {
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

void call_blocking(int what, int a, int b, int c) {
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
