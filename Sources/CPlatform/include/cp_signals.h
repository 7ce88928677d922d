/* cp_signals.h - signals: handlers, sets, and sending them; a part of cplatform.h.

   Shims around sigaction(2), sigtimedwait(2) and tgkill(2).

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_SIGNALS_H
#define TASKREG_CP_SIGNALS_H

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cp_threads.h"

/* A GNU extension; see cp_threads.h. */
extern const char *sigabbrev_np(int);

/* ---- Sets and names ---- */

/* An empty set. Swift does not find the type's initialiser when two modules include its header. */
static inline sigset_t cp_no_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  return set;
}

/* A signal set as bits: signal 1 is bit 0, as in the kernel, in glibc and in musl, where the set
   begins with them. */
static inline sigset_t cp_signal_set(uint64_t bits) {
  sigset_t set;
  sigemptyset(&set);
  __builtin_memcpy(&set, &bits, sizeof bits);
  return set;
}
static inline uint64_t cp_signal_bits(const sigset_t *set) {
  uint64_t bits;
  __builtin_memcpy(&bits, set, sizeof bits);
  return bits;
}

/* "TERM" for SIGTERM (sigabbrev_np(3), glibc 2.32); NULL for a signal without a name. */
static inline const char *cp_signal_name(int number) { return sigabbrev_np(number); }

/* ---- Handlers ---- */

/* Whether signal `number` exists, can have a handler, and is not a synchronous fault. */
static inline bool cp_may_have_handler(int number) {
  switch (number) {
  case SIGKILL: case SIGSTOP: return false;
  case SIGSEGV: case SIGBUS: case SIGFPE: case SIGILL: case SIGTRAP: case SIGSYS: return false;
  }
  struct sigaction action;
  return number > 0 && sigaction(number, NULL, &action) == 0;
}

/* Whether the signal has a handler that interrupts system calls: one without SA_RESTART. */
static inline bool cp_has_interrupting_handler(int number) {
  struct sigaction action;
  if (!cp_may_have_handler(number) || sigaction(number, NULL, &action) != 0) return false;
  return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN &&
         !(action.sa_flags & SA_RESTART);
}

/* Whether the signal is ignored. */
static inline bool cp_is_ignored(int number) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Whether the signal has that handler. */
static inline bool cp_has_plain_handler(int number, void (*handler)(int)) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 && action.sa_handler == handler;
}

/* Install `handler` for signal `number`, without SA_RESTART and on the thread's alternate stack
   if it has one, unless the signal already has another handler or is ignored. Returns 0 if
   `handler` is installed now or was before; EBUSY if another is; EINVAL for a number that is not
   a signal or cannot have a handler. */
static inline int cp_install_handler(int number, void (*handler)(int)) {
  struct sigaction action, before;
  if (sigaction(number, NULL, &before) != 0) return EINVAL;
  if (before.sa_handler == handler) return 0;
  if (before.sa_handler != SIG_DFL) return EBUSY;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  if (sigaction(number, &action, &before) != 0) return EINVAL;
  if (before.sa_handler == SIG_DFL || before.sa_handler == handler) return 0;
  /* Another thread has installed one since: restore that. */
  sigaction(number, &before, NULL);
  return EBUSY;
}

/* Install `handler`, with SA_RESTART and on the thread's alternate stack if it has one. Returns
   0 or the error number. */
static inline int cp_set_handler(int number, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return sigaction(number, &action, NULL) == 0 ? 0 : errno;
}

/* Read the action of a signal that is about to get `handler`. If it has that handler already,
   because the program restored an action that it had saved, the result is the default action.
   Returns 0 or the error number. */
static inline int cp_get_previous(int number, void (*handler)(int), struct sigaction *previous) {
  if (sigaction(number, NULL, previous) != 0) return errno;
  if (previous->sa_handler == handler) {
    memset(previous, 0, sizeof *previous);
    previous->sa_handler = SIG_DFL;
  }
  return 0;
}

/* Restore the action that a signal had before `handler` was installed, unless another handler was
   installed since. Async-signal-safe. */
static inline void cp_restore_handler(int number, void (*handler)(int),
                                      const struct sigaction *previous) {
  if (cp_has_plain_handler(number, handler)) sigaction(number, previous, NULL);
}

typedef void (*cp_context_handler)(int, siginfo_t *, void *);

/* Install `handler` for signal `number`, with SA_RESTART and on the thread's alternate stack if it
   has one; while it runs, every signal except the synchronous faults is blocked. Conditions and
   result are those of cp_install_handler. */
static inline int cp_install_context_handler(int number, cp_context_handler handler) {
  struct sigaction action, before;
  if (sigaction(number, NULL, &before) != 0) return EINVAL;
  if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction == handler) return 0;
  if (before.sa_handler != SIG_DFL) return EBUSY;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&action.sa_mask, faults[i]);
  if (sigaction(number, &action, &before) != 0) return EINVAL;
  if (before.sa_handler == SIG_DFL) return 0;
  if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction == handler) return 0;
  /* Another thread has installed one since: restore that. */
  sigaction(number, &before, NULL);
  return EBUSY;
}

/* Whether the signal has that handler, so that sending it is safe. */
static inline bool cp_has_context_handler(int number, cp_context_handler handler) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 && (action.sa_flags & SA_SIGINFO) &&
         action.sa_sigaction == handler;
}

/* ---- Sending and taking ---- */

/* Send signal `number` to one thread of this process (tgkill(2)); false if that failed. */
static inline bool cp_signal_thread(int32_t thread_id, int number) {
  int saved = errno;
  bool sent = syscall(SYS_tgkill, getpid(), thread_id, number) == 0;
  errno = saved;
  return sent;
}

/* Send a signal to the calling thread; inside the signal's own handler it is delivered when the
   handler returns. Async-signal-safe, and correct in a child that shares its parent's memory. */
static inline void cp_raise(int number) {
  syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
}

/* Take signal `number`, which the caller has blocked, if it is pending for the calling thread. */
static inline void cp_take_pending_signal(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  struct timespec none = {0, 0};
  int cancellation = cp_disable_cancellation();
  while (sigtimedwait(&set, NULL, &none) == number) {}
  cp_set_cancellation(cancellation);
}

#endif
