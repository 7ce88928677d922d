/* handmade.c - the registry that a service in C writes for itself: one mutex, one condition
   variable for "a task has ended", one for "stop", and a doubly linked list of records from malloc
   with a name and a start time. Every task is a detached thread with a stack of 64 KiB. */

#include "bench.h"
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct record {
  struct record *next, *previous;
  const bench_job *job;
  char name[64];
  int64_t started_at_ns;
  uint32_t cancelled; /* atomic */
  int awaited;        /* somebody holds a handle: the waiter frees the record */
  int ended;
} record;

/* Everything is guarded by lock. */
static struct {
  pthread_mutex_t lock;
  pthread_cond_t ended; /* broadcast when a task with a handle ends, and when live becomes 0 */
  pthread_cond_t stop;  /* broadcast when the flags rise */
  pthread_attr_t attributes;
  record *first;
  long live;
  int stop_fd; /* an eventfd, readable once the flags have risen */
} all;

static void *open_registry(void) {
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_mutex_init(&all.lock, NULL);
  pthread_cond_init(&all.ended, &monotonic);
  pthread_cond_init(&all.stop, NULL);
  pthread_condattr_destroy(&monotonic);
  pthread_attr_init(&all.attributes);
  pthread_attr_setstacksize(&all.attributes, 65536);
  pthread_attr_setdetachstate(&all.attributes, PTHREAD_CREATE_DETACHED);
  all.stop_fd = eventfd(0, EFD_CLOEXEC);
  return &all;
}

static void close_registry(void *registry) {
  (void)registry;
  pthread_attr_destroy(&all.attributes);
  close(all.stop_fd);
}

/* The lock is held. */
static void unlink_record(record *task) {
  if (task->previous != NULL) task->previous->next = task->next;
  else all.first = task->next;
  if (task->next != NULL) task->next->previous = task->previous;
  all.live--;
}

static void *run(void *arg) {
  record *task = arg;
  int awaited = task->awaited;
  task->job->body((bench_self *)task, task->job->arg);
  pthread_mutex_lock(&all.lock);
  unlink_record(task);
  task->ended = 1;
  if (awaited || all.live == 0) pthread_cond_broadcast(&all.ended);
  pthread_mutex_unlock(&all.lock);
  if (!awaited) free(task);
  return NULL;
}

static int spawn(void *registry, const bench_job *job, void **handle) {
  pthread_t thread;
  int status;
  record *task = calloc(1, sizeof *task);
  (void)registry;
  if (task == NULL) return ENOMEM;
  task->job = job;
  task->awaited = handle != NULL;
  task->started_at_ns = bench_now_ns();
  snprintf(task->name, sizeof task->name, "%s", job->name);
  pthread_mutex_lock(&all.lock);
  task->next = all.first;
  if (all.first != NULL) all.first->previous = task;
  all.first = task;
  all.live++;
  pthread_mutex_unlock(&all.lock);
  status = pthread_create(&thread, &all.attributes, run, task);
  if (status != 0) {
    pthread_mutex_lock(&all.lock);
    unlink_record(task);
    pthread_mutex_unlock(&all.lock);
    free(task);
  } else if (handle != NULL) {
    *handle = task;
  }
  return status;
}

static void wait_one(void *registry, void *handle) {
  record *task = handle;
  (void)registry;
  pthread_mutex_lock(&all.lock);
  while (!task->ended) pthread_cond_wait(&all.ended, &all.lock);
  pthread_mutex_unlock(&all.lock);
  free(task);
}

static long join_all(void *registry, int64_t timeout_ns) {
  struct timespec end = bench_timespec(bench_now_ns() + timeout_ns);
  long left;
  int status = 0;
  (void)registry;
  pthread_mutex_lock(&all.lock);
  while (all.live > 0 && status == 0) {
    status = timeout_ns < 0 ? pthread_cond_wait(&all.ended, &all.lock)
                            : pthread_cond_timedwait(&all.ended, &all.lock, &end);
  }
  left = all.live;
  pthread_mutex_unlock(&all.lock);
  return left;
}

static void cancel_all(void *registry) {
  (void)registry;
  pthread_mutex_lock(&all.lock);
  for (record *task = all.first; task != NULL; task = task->next) {
    __atomic_store_n(&task->cancelled, 1, __ATOMIC_RELEASE);
  }
  pthread_cond_broadcast(&all.stop);
  pthread_mutex_unlock(&all.lock);
  eventfd_write(all.stop_fd, 1);
}

static void cancellable_sleep(bench_self *self) {
  record *task = (record *)self;
  pthread_mutex_lock(&all.lock);
  while (!task->cancelled) pthread_cond_wait(&all.stop, &all.lock);
  pthread_mutex_unlock(&all.lock);
}

static int cancellable_wait(bench_self *self, bench_wait how) {
  static int quiet[2];
  struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
  switch (how) {
    case BENCH_WAIT_SLEEP:
    case BENCH_WAIT_CONDITION: return cancellable_sleep(self), 1; /* all.stop is what they wait on */
    case BENCH_WAIT_FD:
      if (quiet[0] == 0 && pipe(quiet) != 0) return 0;
      fds[0].fd = quiet[0];
      fds[1].fd = all.stop_fd;
      while (poll(fds, 2, -1) < 0) continue;
      return 1;
    default: return 0;
  }
}

static long poll_flag(bench_self *self, long times) {
  const record *task = (record *)self;
  long asked = 0;
  while (asked < times && !__atomic_load_n(&task->cancelled, __ATOMIC_ACQUIRE)) asked++;
  return asked;
}

typedef struct summary {
  char name[64];
  int64_t started_at_ns;
  uint32_t cancelled;
} summary;

static long snapshot(void *registry) {
  static summary list[BENCH_MOST_TASKS];
  long count = 0;
  (void)registry;
  pthread_mutex_lock(&all.lock);
  for (record *task = all.first; task != NULL && count < BENCH_MOST_TASKS; task = task->next) {
    summary *entry = &list[count++];
    __builtin_memcpy(entry->name, task->name, sizeof entry->name);
    entry->started_at_ns = task->started_at_ns;
    entry->cancelled = task->cancelled;
  }
  pthread_mutex_unlock(&all.lock);
  __asm__ volatile("" ::"r"(list) : "memory"); /* the list is wanted, whoever looks at it */
  return count;
}

const bench_peer bench_peer_under_test = {
    .name = "handmade",
    .open = open_registry,
    .close = close_registry,
    .spawn = spawn,
    .wait_one = wait_one,
    .join_all = join_all,
    .cancel_all = cancel_all,
    .cancellable_sleep = cancellable_sleep,
    .cancellable_wait = cancellable_wait,
    .poll_flag = poll_flag,
    .snapshot = snapshot,
};
