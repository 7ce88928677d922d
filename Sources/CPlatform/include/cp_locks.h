/* cp_locks.h - mutexes, condition variables and futexes; a part of cplatform.h.

   Shims.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_LOCKS_H
#define TASKREG_CP_LOCKS_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* GNU extensions; see cp_threads.h. */
extern int pthread_cond_clockwait(pthread_cond_t *, pthread_mutex_t *, clockid_t,
                                  const struct timespec *);
extern int pthread_mutex_clocklock(pthread_mutex_t *, clockid_t, const struct timespec *);

/* A macro that Swift imports with an awkward type. */
static inline int cp_process_shared(void) { return PTHREAD_PROCESS_SHARED; }

/* Whether a mutex is robust (pthread_mutexattr_setrobust(3)). Locking one may report that its owner
   has died, and only the application knows what to do then. C libraries have no function for this
   question; the bit is part of their ABI. */
static inline int cp_mutex_is_robust(const pthread_mutex_t *mutex) {
#ifdef __GLIBC__
  return (mutex->__data.__kind & 16 /* PTHREAD_MUTEX_ROBUST_NORMAL_NP */) != 0;
#else
  return (mutex->__u.__i[0] & 4) != 0; /* musl's _m_type */
#endif
}

/* Lock a mutex, by a time on CLOCK_MONOTONIC; ETIMEDOUT if it is not free by then
   (pthread_mutex_clocklock(3), glibc 2.30). */
static inline int cp_mutex_clocklock(pthread_mutex_t *mutex, const struct timespec *until) {
  return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, until);
}

/* Wait on a condition variable, by a time on CLOCK_MONOTONIC, whatever clock it was created with
   (pthread_cond_clockwait(3), glibc 2.30). */
static inline int cp_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                    const struct timespec *deadline) {
  return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, deadline);
}

/* Sleep until the word at `address` is no longer `value`, or until a time on CLOCK_MONOTONIC; may
   wake spuriously (futex(2)). */
static inline void cp_futex_wait(const void *address, uint32_t value,
                                 const struct timespec *until) {
  int saved = errno;
  syscall(SYS_futex, address, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, until, NULL,
          FUTEX_BITSET_MATCH_ANY);
  errno = saved;
}

/* Wake all threads that sleep on the word at `address`. Async-signal-safe. */
static inline void cp_futex_wake(const void *address) {
  int saved = errno;
  syscall(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
  errno = saved;
}

#endif
