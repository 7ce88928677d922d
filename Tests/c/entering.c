/* entering.c - a task that has checked its flag and has not started to wait, held there for as long
   as needed: a race of 10 000 rounds meets this only now and then. Rule C9. */

#include "support.h"

#include "hook.h"

#define HOUR (3600 * SECOND)

/* A queue of which a task takes an item, with a plain thread beside it. Guards: `items`. */
struct queue {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  int items;
  struct gate entering;
  _Atomic(pid_t) task_id, thread_id;
  tr_status status;
};

#define QUEUE_INIT                                                                                 \
  { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, GATE_INIT, 0, 0, 1 }

/* Called with the mutex held, when the task has checked its flag. */
static void hold_on(void *argument) {
  struct queue *queue = argument;
  gate_pass(&queue->entering);
  atomic_store(&queue->task_id, gettid());
}

static int body_takes_an_item(tr_task *self, void *ctx) {
  struct queue *queue = ctx;
  tr_status status = TR_OK;
  (void)self;
  pthread_mutex_lock(&queue->mutex);
  while (queue->items == 0 && status == TR_OK)
    status = tr_cond_wait(&queue->changed, &queue->mutex, HOUR);
  if (status == TR_OK) queue->items--;
  queue->status = status;
  pthread_mutex_unlock(&queue->mutex);
  return 0;
}

static void *thread_takes_an_item(void *argument) {
  struct queue *queue = argument;
  pthread_mutex_lock(&queue->mutex);
  atomic_store(&queue->thread_id, gettid());
  while (queue->items == 0) pthread_cond_wait(&queue->changed, &queue->mutex);
  queue->items--;
  pthread_mutex_unlock(&queue->mutex);
  return NULL;
}

/* Proves: a task that is asked to stop after its check of the flag and before its wait is woken
   from that wait, although its start is not observable (C9). Why it matters: the broadcast comes
   too early, and there is no other. Catches: a condition variable broadcast once. */
CASE(a_task_asked_to_stop_on_its_way_into_the_wait_is_woken) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 20; i++) {
    struct queue queue = QUEUE_INIT;
    hook_next_wait(&queue.changed, hold_on, &queue);
    tr_task *task = spawn(registry, "enters", body_takes_an_item, &queue);
    gate_await(&queue.entering, 1);
    CHECK_EQ(TR_OK, tr_task_cancel(task)); /* the task holds the mutex: it does not wait for that */
    if (i % 2) CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 5 * MS, NULL));
    gate_open(&queue.entering);
    wait_and_release(task);
    CHECK_EQ(TR_ERR_CANCELLED, queue.status);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

static void callback_passes(void *ctx) { gate_pass(ctx); }

/* Proves: a wake-up that comes to a task which has been asked to stop, and is not awake yet, is
   passed on to another waiter (C9). Why it matters: one signal an item is the most common use of a
   queue. Catches: a wake-up that is lost with the task that got it. The thread that wakes is held
   up meanwhile, so that it does not wake them both; and the task waits first, so that the signal is
   its. */
CASE(a_wake_up_of_a_cancelled_task_is_passed_on) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 10; i++) {
    struct queue queue = QUEUE_INIT;
    struct gate held_up = GATE_INIT;
    hook_broadcast(&queue.changed, 2, callback_passes, &held_up);
    hook_next_wait(&queue.changed, hold_on, &queue);
    tr_task *task = spawn(registry, "enters", body_takes_an_item, &queue);
    gate_await(&queue.entering, 1);
    CHECK_EQ(TR_OK, tr_task_cancel(task)); /* the broadcast that comes too early */
    gate_await(&held_up, 1); /* and the next */
    gate_open(&queue.entering);
    await_asleep(&queue.task_id);
    pthread_t thread = thread_start(thread_takes_an_item, &queue);
    await_asleep(&queue.thread_id);
    pthread_mutex_lock(&queue.mutex);
    queue.items = 1;
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.mutex);
    thread_end(thread); /* hangs if the task keeps the wake-up */

    gate_open(&held_up);
    wait_and_release(task);
    CHECK_EQ(TR_ERR_CANCELLED, queue.status);
    CHECK_EQ(0, queue.items);
    hook_broadcast(NULL, 0, NULL, NULL);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

CHECK_MAIN(
    CHECK_ENTRY(a_task_asked_to_stop_on_its_way_into_the_wait_is_woken),
    CHECK_ENTRY(a_wake_up_of_a_cancelled_task_is_passed_on))
