/* hook.c - a pthread_cond_clockwait and a pthread_cond_broadcast that can be delayed; see hook.h. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "hook.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef int (*wait_function)(pthread_cond_t *, pthread_mutex_t *, clockid_t,
                             const struct timespec *);

static _Atomic(pthread_cond_t *) hooked;
static void (*hook_function)(void *);
static void *hook_argument;

void hook_next_wait(pthread_cond_t *condition, void (*function)(void *), void *argument) {
  hook_function = function;
  hook_argument = argument;
  atomic_store(&hooked, condition);
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *deadline) {
  pthread_cond_t *expected = condition;
  if (atomic_compare_exchange_strong(&hooked, &expected, NULL)) hook_function(hook_argument);
  void *found = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
  if (found == NULL) abort();
  wait_function wait;
  memcpy(&wait, &found, sizeof wait);
  return wait(condition, mutex, clock, deadline);
}

static _Atomic(pthread_cond_t *) hooked_broadcast;
static _Atomic(int) broadcasts_left;
static void (*broadcast_function)(void *);
static void *broadcast_argument;

void hook_broadcast(pthread_cond_t *condition, int number, void (*function)(void *), void *argument) {
  broadcast_function = function;
  broadcast_argument = argument;
  atomic_store(&broadcasts_left, number);
  atomic_store(&hooked_broadcast, condition);
}

/* Has the version of glibc's, by hook.map: ThreadSanitizer asks for that one behind its own. */
int pthread_cond_broadcast(pthread_cond_t *condition) {
  if (atomic_load(&hooked_broadcast) == condition && atomic_fetch_sub(&broadcasts_left, 1) == 1)
    broadcast_function(broadcast_argument);
  void *found = dlsym(RTLD_NEXT, "pthread_cond_broadcast");
  if (found == NULL) abort();
  int (*broadcast)(pthread_cond_t *);
  memcpy(&broadcast, &found, sizeof broadcast);
  return broadcast(condition);
}
