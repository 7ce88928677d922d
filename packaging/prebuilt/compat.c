/* compat.c - what the library's assembly asks of glibc 2.32, for glibc 2.30 and 2.31, and for musl; with a newer glibc, a
   way through.

   portable-assembly gives the calls of three functions other names, taskreg_…, which are defined here. All other
   functions that the library calls are in glibc 2.30 or older, but for _dl_find_object, which is looked for at run time.
   2.30 is the first glibc with pthread_cond_clockwait and pthread_mutex_clocklock: before it, nothing waits on a
   condition variable of the application's by a time that setting the clock does not move.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#ifndef __GLIBC__
#include <time.h>
#endif

#ifdef __GLIBC__
#if !__GLIBC_PREREQ(2, 30)
#error "libtaskreg needs glibc 2.30 or newer: older ones have no wait on a condition variable by a given clock"
#endif
#define HAS_NAMES_OF_2_32 __GLIBC_PREREQ(2, 32)
#else
#define HAS_NAMES_OF_2_32 0
#endif

#define INTERNAL __attribute__((visibility("hidden")))

INTERNAL int taskreg_pthread_attr_setsigmask_np(pthread_attr_t *attr, const sigset_t *mask);
INTERNAL int taskreg_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *argument);
INTERNAL const char *taskreg_sigabbrev_np(int number);

#if HAS_NAMES_OF_2_32

int taskreg_pthread_attr_setsigmask_np(pthread_attr_t *attr, const sigset_t *mask) {
  return pthread_attr_setsigmask_np(attr, mask);
}

int taskreg_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *argument) {
  return pthread_create(thread, attr, start, argument);
}

const char *taskreg_sigabbrev_np(int number) { return sigabbrev_np(number); }

#else

/* A thread to come: its mask, and what it runs. Made by taskreg_pthread_attr_setsigmask_np, and freed by the thread. */
struct beginning {
  sigset_t mask;
  void *(*start)(void *);
  void *argument;
};

/* The library sets the mask of an attribute and creates a thread with it right after, in one function. */
static __thread struct beginning *next __attribute__((tls_model("initial-exec")));

int taskreg_pthread_attr_setsigmask_np(pthread_attr_t *attr, const sigset_t *mask) {
  (void)attr;
  if (next == NULL) next = malloc(sizeof *next);
  if (next == NULL) return ENOMEM;
  next->mask = *mask;
  return 0;
}

/* The thread begins with all signals blocked, as glibc's own does, and so receives none that its mask is to block. */
static void *begin(void *pointer) {
  struct beginning own = *(struct beginning *)pointer;
  free(pointer);
  pthread_sigmask(SIG_SETMASK, &own.mask, NULL);
  return own.start(own.argument);
}

int taskreg_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *argument) {
  struct beginning *own = next;
  sigset_t all, before;
  int code;

  if (own == NULL) return pthread_create(thread, attr, start, argument);
  next = NULL;
  own->start = start;
  own->argument = argument;
  /* The caller receives no signal meanwhile that it would not receive otherwise: what it blocks stays blocked (S7). */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  code = pthread_create(thread, attr, begin, own);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (code != 0) free(own);
  return code;
}

/* The names of signal(7), by number; the numbers differ between processors. */
const char *taskreg_sigabbrev_np(int number) {
  switch (number) {
  case SIGHUP: return "HUP";
  case SIGINT: return "INT";
  case SIGQUIT: return "QUIT";
  case SIGILL: return "ILL";
  case SIGTRAP: return "TRAP";
  case SIGABRT: return "ABRT";
  case SIGBUS: return "BUS";
  case SIGFPE: return "FPE";
  case SIGKILL: return "KILL";
  case SIGUSR1: return "USR1";
  case SIGSEGV: return "SEGV";
  case SIGUSR2: return "USR2";
  case SIGPIPE: return "PIPE";
  case SIGALRM: return "ALRM";
  case SIGTERM: return "TERM";
  case SIGSTKFLT: return "STKFLT";
  case SIGCHLD: return "CHLD";
  case SIGCONT: return "CONT";
  case SIGSTOP: return "STOP";
  case SIGTSTP: return "TSTP";
  case SIGTTIN: return "TTIN";
  case SIGTTOU: return "TTOU";
  case SIGURG: return "URG";
  case SIGXCPU: return "XCPU";
  case SIGXFSZ: return "XFSZ";
  case SIGVTALRM: return "VTALRM";
  case SIGPROF: return "PROF";
  case SIGWINCH: return "WINCH";
  case SIGPOLL: return "POLL";
  case SIGPWR: return "PWR";
  case SIGSYS: return "SYS";
  default: return NULL;
  }
}

#endif

#ifndef __GLIBC__

/* musl has neither wait by a given clock. Its timed waits read their clock, and then sleep for what is left of it; so it
   matters only that the clock is not set in the moment before. Such a wait ends early or late by that; one that ends
   early is begun again, and none is longer than a second, so that none is late by more. */

INTERNAL int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                                    const struct timespec *until);
INTERNAL int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until);

/* How long until a time on a clock, in nanoseconds. */
static long long left_until(clockid_t clock, const struct timespec *until) {
  struct timespec now;
  clock_gettime(clock, &now);
  if (until->tv_sec - now.tv_sec > 1000000) return 1000000000000000;
  return (until->tv_sec - now.tv_sec) * 1000000000LL + (until->tv_nsec - now.tv_nsec);
}

/* The time on CLOCK_REALTIME in `left` nanoseconds, or in a second. */
static struct timespec soon(long long left) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  left = (left > 1000000000 ? 1000000000 : left) + time.tv_nsec;
  time.tv_sec += left / 1000000000;
  time.tv_nsec = left % 1000000000;
  return time;
}

int pthread_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex, clockid_t clock,
                           const struct timespec *until) {
  /* musl's _c_clock: what pthread_condattr_setclock said. */
  if (condition->__u.__i[4] == clock) return pthread_cond_timedwait(condition, mutex, until);
  long long left = left_until(clock, until);
  if (left <= 0) return ETIMEDOUT;
  struct timespec time = soon(left);
  int code = pthread_cond_timedwait(condition, mutex, &time);
  /* Woken for nothing, as any wait on a condition variable may be. */
  return code == ETIMEDOUT && left_until(clock, until) > 0 ? 0 : code;
}

int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
  for (;;) {
    long long left = left_until(clock, until);
    if (left <= 0) {
      int code = pthread_mutex_trylock(mutex);
      return code == EBUSY ? ETIMEDOUT : code;
    }
    struct timespec time = soon(left);
    int code = pthread_mutex_timedlock(mutex, &time);
    if (code != ETIMEDOUT) return code;
  }
}

#endif
