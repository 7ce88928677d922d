/* refuse.c - a pthread_create that fails on demand; see refuse.h. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "refuse.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef int (*create_function)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

static atomic_int every, calls, error_number, refused;

void refuse_every(int n, int error) {
  atomic_store(&refused, 0);
  atomic_store(&error_number, error);
  atomic_store(&every, n);
}

void refuse_none(void) { atomic_store(&every, 0); }

int refused_threads(void) { return atomic_load(&refused); }

/* Say whether this call is one of those to fail. */
static int is_refused(void) {
  int n = atomic_load(&every);
  return n > 0 && atomic_fetch_add(&calls, 1) % n == n - 1;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument) {
  if (is_refused()) {
    atomic_fetch_add(&refused, 1);
    return atomic_load(&error_number);
  }
  void *found = dlsym(RTLD_NEXT, "pthread_create");
  if (found == NULL) abort();
  create_function create;
  memcpy(&create, &found, sizeof create);
  return create(thread, attributes, start, argument);
}
