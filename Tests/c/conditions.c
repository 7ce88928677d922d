/* conditions.c - waiting on the application's own condition variables. Rule C9, with C4, J4, P4. */

#include "support.h"

/* A mutex of one of three types, with a condition variable of the default clock. */
struct lock {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
};

enum { lock_types = 3 };
static const int types[lock_types] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ERRORCHECK,
                                      PTHREAD_MUTEX_RECURSIVE};

static void lock_init(struct lock *lock, int type) {
  pthread_mutexattr_t attributes;
  CHECK_EQ(0, pthread_mutexattr_init(&attributes));
  CHECK_EQ(0, pthread_mutexattr_settype(&attributes, type));
  CHECK_EQ(0, pthread_mutex_init(&lock->mutex, &attributes));
  CHECK_EQ(0, pthread_mutexattr_destroy(&attributes));
  CHECK_EQ(0, pthread_cond_init(&lock->changed, NULL));
}

static void lock_destroy(struct lock *lock) {
  CHECK_EQ(0, pthread_cond_destroy(&lock->changed));
  CHECK_EQ(0, pthread_mutex_destroy(&lock->mutex));
}

/* Check that the caller holds the mutex, once, as far as its type can detect, and unlock it. */
static void unlock_held(struct lock *lock, int type) {
  if (type == PTHREAD_MUTEX_ERRORCHECK) CHECK_EQ(EDEADLK, pthread_mutex_lock(&lock->mutex));
  if (type == PTHREAD_MUTEX_NORMAL) CHECK_EQ(EBUSY, pthread_mutex_trylock(&lock->mutex));
  CHECK_EQ(0, pthread_mutex_unlock(&lock->mutex));
  if (type != PTHREAD_MUTEX_NORMAL) CHECK_EQ(EPERM, pthread_mutex_unlock(&lock->mutex));
}

/* A wait in a loop, as applications write it. Guards: `items`. */
struct waiter {
  struct lock lock;
  int type;
  int items;
  int64_t timeout;
  struct gate entered;
  _Atomic(pid_t) tid;
  tr_status status;
  int64_t took;
};

static void waiter_init(struct waiter *waiter, int type, int64_t timeout) {
  memset(waiter, 0, sizeof *waiter);
  lock_init(&waiter->lock, type);
  waiter->type = type;
  waiter->timeout = timeout;
  waiter->entered = (struct gate)GATE_INIT;
  waiter->status = 1;
}

static void wait_for_an_item(struct waiter *waiter) {
  tr_status status = TR_OK;
  CHECK_EQ(0, pthread_mutex_lock(&waiter->lock.mutex));
  gate_arrive(&waiter->entered);
  atomic_store(&waiter->tid, gettid());
  int64_t start = now_ns();
  while (waiter->items == 0 && status == TR_OK)
    status = tr_cond_wait(&waiter->lock.changed, &waiter->lock.mutex, waiter->timeout);
  waiter->took = now_ns() - start;
  waiter->status = status;
  unlock_held(&waiter->lock, waiter->type);
}

static int body_waits_for_an_item(tr_task *self, void *ctx) {
  (void)self;
  wait_for_an_item(ctx);
  return 0;
}

static void *thread_waits_for_an_item(void *ctx) {
  wait_for_an_item(ctx);
  return NULL;
}

/* Put an item there, and signal once. */
static void put_an_item(struct waiter *waiter) {
  CHECK_EQ(0, pthread_mutex_lock(&waiter->lock.mutex));
  waiter->items++;
  CHECK_EQ(0, pthread_cond_signal(&waiter->lock.changed));
  CHECK_EQ(0, pthread_mutex_unlock(&waiter->lock.mutex));
}

/* Proves: inside a task and outside, with each type of mutex, a wait ends with the signal, or with its
   timeout, not earlier, on a condition variable made with the defaults; and the caller holds the mutex,
   once (C9).  Why it matters: it takes the place of pthread_cond_timedwait.  Catches: the timeout read
   on the condition variable's own clock; a mutex left unlocked. */
CASE(a_wait_ends_with_what_comes_first) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 2 * lock_types; i++) {
    int type = types[i / 2], in_task = i % 2;
    const int64_t timeouts[] = {FOREVER, 0, 20 * MS, 1};
    for (int j = 0; j < 4; j++) {
      struct waiter waiter;
      waiter_init(&waiter, type, timeouts[j]);
      tr_task *task = NULL;
      pthread_t thread = pthread_self();
      if (in_task)
        task = spawn(registry, "waits", body_waits_for_an_item, &waiter);
      else
        thread = thread_start(thread_waits_for_an_item, &waiter);
      if (timeouts[j] < 0) {
        await_asleep(&waiter.tid);
        put_an_item(&waiter);
      }
      if (in_task)
        wait_and_release(task);
      else
        thread_end(thread);
      CHECK_EQ(timeouts[j] < 0 ? TR_OK : TR_ERR_TIMEDOUT, waiter.status);
      if (timeouts[j] >= 0) CHECK_BETWEEN_NS(timeouts[j], AT_ONCE, waiter.took);
      lock_destroy(&waiter.lock);
    }
  }
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: a task that waits, indefinitely or with a timeout, with each type of mutex, is woken by
   being asked to stop, and holds the mutex (C9). Why it matters: this is the purpose of the call.
   Catches: a flag that is checked only before the wait. */
CASE(being_asked_to_stop_ends_a_wait) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 2 * lock_types; i++) {
    struct waiter waiter;
    waiter_init(&waiter, types[i / 2], i % 2 ? FOREVER : 3600 * SECOND);
    tr_task *task = spawn(registry, "waits", body_waits_for_an_item, &waiter);
    await_asleep(&waiter.tid);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    wait_and_release(task);
    CHECK_EQ(TR_ERR_CANCELLED, waiter.status);
    lock_destroy(&waiter.lock);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_waits_flagged(tr_task *self, void *ctx) {
  struct waiter *waiter = ctx;
  CHECK_EQ(TR_OK, tr_task_cancel(self));
  const int64_t timeouts[] = {FOREVER, 0, 3600 * SECOND};
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(0, pthread_mutex_lock(&waiter->lock.mutex));
    CHECK_EQ(TR_ERR_CANCELLED,
             tr_cond_wait(&waiter->lock.changed, &waiter->lock.mutex, timeouts[i]));
    unlock_held(&waiter->lock, waiter->type);
  }
  return 0;
}

/* Proves: with the flag up a wait is TR_ERR_CANCELLED at once, whatever its timeout, without
   unlocking the mutex (C9, C8). Why it matters: a loop around a wait ends by it. Catches: the flag
   checked after the wait. */
CASE(the_flag_comes_first) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < lock_types; i++) {
    struct waiter waiter;
    waiter_init(&waiter, types[i], FOREVER);
    wait_and_release(spawn(registry, "flagged", body_waits_flagged, &waiter));
    lock_destroy(&waiter.lock);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_makes_mistakes(tr_task *self, void *ctx) {
  (void)self;
  struct lock *lock = ctx;
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait(NULL, &lock->mutex, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait(&lock->changed, NULL, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait(NULL, NULL, FOREVER));
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait(&lock->changed, &lock->mutex, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait(&lock->changed, &lock->mutex, FOREVER));
  CHECK_EQ(EPERM, pthread_mutex_unlock(&lock->mutex));
  return 0;
}

/* Proves: NULL, and a mutex that can detect that it is not the caller's, are rejected, inside a
   task and outside, and nothing is locked (C9, P4). Why it matters: the alternative is a lock
   corrupted far from the mistake. Catches: the code of pthread_cond_clockwait ignored. */
CASE(mistakes_are_rejected) {
  tr_registry *registry = registry_new();
  for (int i = 1; i < lock_types; i++) {
    struct lock lock;
    lock_init(&lock, types[i]);
    body_makes_mistakes(NULL, &lock);
    wait_and_release(spawn(registry, "mistakes", body_makes_mistakes, &lock));
    lock_destroy(&lock);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: the thread that asks the task to stop may hold the mutex meanwhile (C9). Why it matters:
   the decision to stop is often made under the same lock. Catches: a canceller that locks the
   mutex. */
CASE(the_canceller_may_hold_the_mutex) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 2 * lock_types; i++) {
    struct waiter waiter;
    waiter_init(&waiter, types[i / 2], FOREVER);
    tr_task *task = spawn(registry, "waits", body_waits_for_an_item, &waiter);
    if (i % 2)
      await_asleep(&waiter.tid);
    else
      gate_await(&waiter.entered, 1); /* it may be on its way into the wait, or before it */
    CHECK_EQ(0, pthread_mutex_lock(&waiter.lock.mutex));
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 5 * MS, NULL));
    CHECK_EQ(0, pthread_mutex_unlock(&waiter.lock.mutex));
    wait_and_release(task);
    CHECK_EQ(TR_ERR_CANCELLED, waiter.status);
    lock_destroy(&waiter.lock);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

/* A thread that holds a mutex while others do things. */
struct holder {
  struct lock *lock;
  struct gate gate;
};

static void *hold_the_mutex(void *argument) {
  struct holder *holder = argument;
  CHECK_EQ(0, pthread_mutex_lock(&holder->lock->mutex));
  gate_pass(&holder->gate);
  CHECK_EQ(0, pthread_mutex_unlock(&holder->lock->mutex));
  return NULL;
}

/* Proves: while a third thread holds the mutex, asking the task to stop returns at once, and the task
   stops when the mutex is free (C9).  Why it matters: the holder may be waiting for the canceller.
   Catches: a canceller that waits for the mutex. */
CASE(a_third_thread_may_hold_the_mutex) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < lock_types; i++) {
    struct waiter waiter;
    waiter_init(&waiter, types[i], FOREVER);
    struct holder holder = {&waiter.lock, GATE_INIT};
    tr_task *task = spawn(registry, "waits", body_waits_for_an_item, &waiter);
    await_asleep(&waiter.tid);
    pthread_t thread = thread_start(hold_the_mutex, &holder);
    gate_await(&holder.gate, 1);
    CHECK_EQ(TR_OK, tr_task_cancel(task)); /* the holder waits for the next step */
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 30 * MS, NULL));
    gate_open(&holder.gate);
    wait_and_release(task);
    thread_end(thread);
    CHECK_EQ(TR_ERR_CANCELLED, waiter.status);
    lock_destroy(&waiter.lock);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: of many tasks that wait on one condition variable only the one that is asked to stop says so;
   the others wait on, and are woken by signals as before (C9).  Why it matters: it is woken by a
   broadcast.  Catches: a cancellation that is everybody's. */
CASE(only_the_one_that_was_asked_stops) {
  enum { tasks = 8 };
  tr_registry *registry = registry_new();
  struct waiter shared, *waiter = &shared;
  waiter_init(waiter, PTHREAD_MUTEX_NORMAL, FOREVER);
  tr_task *waiting[tasks];
  for (int i = 0; i < tasks; i++)
    waiting[i] = spawn(registry, "waits", body_waits_for_an_item, waiter);
  gate_await(&waiter->entered, tasks);
  CHECK_EQ(TR_OK, tr_task_cancel(waiting[3]));
  wait_and_release(waiting[3]);
  CHECK_EQ(tasks - 1, tr_len(registry));
  CHECK_EQ(TR_ERR_CANCELLED, waiter->status);
  pthread_mutex_lock(&waiter->lock.mutex);
  waiter->items = 1;
  pthread_cond_broadcast(&waiter->lock.changed);
  pthread_mutex_unlock(&waiter->lock.mutex);
  for (int i = 0; i < tasks; i++)
    if (i != 3) wait_and_release(waiting[i]);
  CHECK_EQ(TR_OK, waiter->status);
  registry_finish(registry);
  lock_destroy(&waiter->lock);
  timer_thread_leaves();
}

/* A queue whose consumers each take one item, unless they are asked to stop. Guards: `items`. */
struct queue {
  struct lock lock;
  int items;
  atomic_int waiting, taken, stopped;
};

static int body_takes_one(tr_task *self, void *ctx) {
  struct queue *queue = ctx;
  tr_status status = TR_OK;
  (void)self;
  pthread_mutex_lock(&queue->lock.mutex);
  atomic_fetch_add(&queue->waiting, 1);
  while (queue->items == 0 && status == TR_OK)
    status = tr_cond_wait(&queue->lock.changed, &queue->lock.mutex, FOREVER);
  if (status == TR_OK) {
    queue->items--;
    atomic_fetch_add(&queue->taken, 1);
  } else {
    CHECK_EQ(TR_ERR_CANCELLED, status); /* it does not check whether there is an item */
    atomic_fetch_add(&queue->stopped, 1);
  }
  pthread_mutex_unlock(&queue->lock.mutex);
  return 0;
}

static void *put_one(void *argument) {
  struct queue *queue = argument;
  pthread_mutex_lock(&queue->lock.mutex);
  queue->items++;
  pthread_cond_signal(&queue->lock.changed); /* one item, one signal */
  pthread_mutex_unlock(&queue->lock.mutex);
  return NULL;
}

/* Claim: one signal an item is enough, whichever consumer is asked to stop meanwhile: no consumer
   sleeps while there is an item. Proves: that a wake-up which a cancelled wait has consumed is
   passed on (C9). Why it matters: a queue with one signal an item is the most common use there is.
   Catches: a task that takes an item and says that it was cancelled. entering.c stops the threads
   at this point; here they run. */
CASE(a_wake_up_is_not_lost_with_a_cancelled_task) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(10000); i++) {
    struct queue queue = {.items = 0};
    lock_init(&queue.lock, PTHREAD_MUTEX_NORMAL);
    tr_task *one = spawn(registry, "one", body_takes_one, &queue);
    tr_task *two = spawn(registry, "two", body_takes_one, &queue);
    if (i % 3) while (atomic_load(&queue.waiting) < i % 3) continue;
    for (volatile int spin = (i * 13) % 400; spin > 0; spin--) continue;
    tr_task *stopped = i % 2 ? one : two, *other = i % 2 ? two : one;
    pthread_t thread = thread_start(put_one, &queue);
    CHECK_EQ(TR_OK, tr_task_cancel(stopped));
    thread_end(thread);
    wait_and_release(stopped);
    if (atomic_load(&queue.stopped) == 1) {
      wait_and_release(other); /* hangs if it was not woken for the item */
    } else {
      CHECK_EQ(1, atomic_load(&queue.taken));
      put_one(&queue);
      wait_and_release(other);
    }
    CHECK_EQ(0, queue.items);
    CHECK_EQ(2, atomic_load(&queue.taken) + atomic_load(&queue.stopped));
    lock_destroy(&queue.lock);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

static _Atomic(pthread_t) waiting_thread;

static int body_waits_cancelled(tr_task *self, void *ctx) {
  atomic_store(&waiting_thread, pthread_self());
  body_waits_for_an_item(self, ctx);
  be_cancelled(0);
  check_fail(__FILE__, __LINE__, "the pthread_cancel was lost");
}

/* Proves: the wait is not a cancellation point: a thread that is cancelled in it, by
   pthread_cancel, waits on, holds the mutex afterwards, and is cancelled at its next one (C9, C4).
   Why it matters: a thread that ends with the mutex locked blocks all others. Catches: the wait
   made without thread cancellation disabled. */
CASE(the_wait_is_no_cancellation_point) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 10; i++) {
    struct waiter waiter;
    waiter_init(&waiter, PTHREAD_MUTEX_ERRORCHECK, FOREVER);
    tr_task *task = spawn(registry, "waits", body_waits_cancelled, &waiter);
    await_asleep(&waiter.tid);
    CHECK_EQ(0, pthread_cancel(atomic_load(&waiting_thread)));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 5 * MS, NULL));
    put_an_item(&waiter);
    CHECK_EQ(TR_ENDED_EXITED, outcome_of(task).how);
    tr_task_release(task);
    CHECK_EQ(TR_OK, waiter.status);
    lock_destroy(&waiter.lock);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_waits_and_exits(tr_task *self, void *ctx) {
  body_waits_for_an_item(self, ctx);
  pthread_exit(NULL);
}

/* Proves: however a task that has waited ends, what the wait needed is freed: no thread is left
   (C9). Why it matters: a thread that stays for a finished wait never ends. Catches: a thread that
   wakes and does not leave. */
CASE(what_a_wait_needs_goes_with_its_task) {
  int threads = thread_baseline();
  tr_registry *registry = registry_new();
  for (int i = 0; i < 20; i++) {
    struct waiter waiter;
    waiter_init(&waiter, PTHREAD_MUTEX_NORMAL, i % 2 ? FOREVER : 0);
    tr_task *task =
        spawn(registry, "waits", i % 4 < 2 ? body_waits_for_an_item : body_waits_and_exits, &waiter);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    wait_and_release(task);
    lock_destroy(&waiter.lock);
  }
  registry_finish(registry);
  threads_settle(threads, SECOND + 5 * SECOND * check_scale());
}

/* Proves: tr_quiesce waits for the threads that wake condition variables, also for one that
   tries repeatedly, and none is left when it, or a shutdown, has returned TR_OK (C9, G4). Why it
   matters: leak checkers report threads on their last instructions. Catches: a thread that is
   not counted. */
CASE(a_thread_that_wakes_is_waited_for) {
  CHECK_EQ(TR_OK, tr_quiesce(FOREVER)); /* those of the cases before */
  for (int i = 0; i < 20; i++) {
    tr_registry *registry = registry_new();
    struct waiter waiter;
    waiter_init(&waiter, PTHREAD_MUTEX_NORMAL, FOREVER);
    struct holder holder = {&waiter.lock, GATE_INIT};
    tr_task *task = spawn(registry, "waits", body_waits_for_an_item, &waiter);
    await_asleep(&waiter.tid);
    pthread_t thread = thread_start(hold_the_mutex, &holder);
    gate_await(&holder.gate, 1);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_quiesce(20 * MS)); /* the thread cannot know which thread holds the
                                                       mutex */
    gate_open(&holder.gate);
    wait_and_release(task);
    if (i % 2)
      CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
    else
      CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    CHECK_EQ(0, threads_called("taskreg-wake"));
    thread_end(thread);
    lock_destroy(&waiter.lock);
    registry_finish(registry);
  }
}

static int body_waits_with_a_robust_mutex(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  struct lock lock;
  pthread_mutexattr_t attributes;
  CHECK_EQ(0, pthread_mutexattr_init(&attributes));
  CHECK_EQ(0, pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
  CHECK_EQ(0, pthread_mutex_init(&lock.mutex, &attributes));
  CHECK_EQ(0, pthread_mutexattr_destroy(&attributes));
  CHECK_EQ(0, pthread_cond_init(&lock.changed, NULL));
  CHECK_EQ(0, pthread_mutex_lock(&lock.mutex));
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait(&lock.changed, &lock.mutex, SECOND));
  unlock_held(&lock, PTHREAD_MUTEX_NORMAL);
  lock_destroy(&lock);
  return 0;
}

/* Proves: a robust mutex is rejected, in a task and outside, and stays with the caller (C9, P4).
   Why it matters: a wait that found its holder dead ended the process, in a call that could not
   recover. Catches: locking one that only the application can make consistent. */
CASE(a_robust_mutex_is_rejected) {
  tr_registry *registry = registry_new();
  body_waits_with_a_robust_mutex(NULL, NULL);
  wait_and_release(spawn(registry, "robust", body_waits_with_a_robust_mutex, NULL));
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(a_robust_mutex_is_rejected),
    CHECK_ENTRY(a_thread_that_wakes_is_waited_for),
    CHECK_ENTRY(what_a_wait_needs_goes_with_its_task),
    CHECK_ENTRY(a_wait_ends_with_what_comes_first),
    CHECK_ENTRY(being_asked_to_stop_ends_a_wait),
    CHECK_ENTRY(the_flag_comes_first),
    CHECK_ENTRY(mistakes_are_rejected),
    CHECK_ENTRY(the_canceller_may_hold_the_mutex),
    CHECK_ENTRY(a_third_thread_may_hold_the_mutex),
    CHECK_ENTRY(only_the_one_that_was_asked_stops),
    CHECK_ENTRY(a_wake_up_is_not_lost_with_a_cancelled_task),
    CHECK_ENTRY(the_wait_is_no_cancellation_point))
