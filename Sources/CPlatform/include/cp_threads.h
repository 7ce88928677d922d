/* cp_threads.h - threads: their ids, names, attributes, cancellation and ends; a part of
   cplatform.h.

   Shims, and one function that cannot be written in Swift: cp_call_guarded, which needs a cleanup
   handler and a personality. What the kernel keeps for each thread is in thread_state.h.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_THREADS_H
#define TASKREG_CP_THREADS_H

#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* GNU extensions are declared in these headers rather than by _GNU_SOURCE: that macro changes the
   layout of unrelated types (fd_set), and Swift rejects two modules that disagree on a type. */
extern pid_t gettid(void);
extern int pthread_setname_np(pthread_t, const char *);
extern int pthread_attr_setsigmask_np(pthread_attr_t *, const sigset_t *);

/* A thread as a number: pthread_t is one in glibc, and a pointer in musl. Two are the same thread
   if the numbers are equal. 0 is none. */
typedef uintptr_t cp_thread;

static inline cp_thread cp_thread_self(void) { return (cp_thread)pthread_self(); }
static inline int cp_thread_create(cp_thread *thread, const pthread_attr_t *attr,
                                   void *(*run)(void *), void *argument) {
  pthread_t created;
  int code = pthread_create(&created, attr, run, argument);
  if (code == 0) *thread = (cp_thread)created;
  return code;
}
static inline int cp_thread_join(cp_thread thread) { return pthread_join((pthread_t)thread, NULL); }
static inline int cp_thread_detach(cp_thread thread) { return pthread_detach((pthread_t)thread); }
static inline int cp_thread_kill(cp_thread thread, int number) {
  return pthread_kill((pthread_t)thread, number);
}

/* Macros that Swift does not import, or imports with an awkward type. */
static inline int cp_cancel_enable(void) { return PTHREAD_CANCEL_ENABLE; }
static inline int cp_cancel_disable(void) { return PTHREAD_CANCEL_DISABLE; }
static inline int cp_cancel_deferred(void) { return PTHREAD_CANCEL_DEFERRED; }
static inline int cp_create_detached(void) { return PTHREAD_CREATE_DETACHED; }

/* Disable cancellation of the calling thread. Returns the state to pass to cp_set_cancellation. */
static inline int cp_disable_cancellation(void) {
  int before = PTHREAD_CANCEL_ENABLE;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  return before;
}
static inline void cp_set_cancellation(int before) { pthread_setcancelstate(before, NULL); }

/* The kernel's thread id (gettid(2)); Swift's Glibc module lacks it. */
static inline int32_t cp_gettid(void) { return (int32_t)gettid(); }

/* The id of the process that the caller is in, also in a child that shares its parent's memory.
   Async-signal-safe. */
static inline int32_t cp_process(void) { return (int32_t)getpid(); }

/* Copy the kernel's name of the calling thread to `name`, which has 16 bytes; "" if prctl(2)
   fails. */
static inline void cp_own_thread_name(char *name) {
  int saved = errno;
  if (syscall(SYS_prctl, 16 /* PR_GET_NAME */, name, 0, 0, 0) != 0) name[0] = 0;
  errno = saved;
}

/* Set the kernel's name of the calling thread: at most 15 bytes, else ERANGE
   (pthread_setname_np(3)). */
static inline int cp_set_own_thread_name(const char *name) {
  return pthread_setname_np(pthread_self(), name);
}

/* Set the signal mask that new threads start with (pthread_attr_setsigmask_np(3), glibc 2.32). */
static inline int cp_attr_setsigmask(pthread_attr_t *attr, const sigset_t *mask) {
  return pthread_attr_setsigmask_np(attr, mask);
}

/* Give the calling thread the process's locale, if uselocale(3) gave it another. */
static inline void cp_reset_locale(void) {
  if (uselocale((locale_t)0) != LC_GLOBAL_LOCALE) uselocale(LC_GLOBAL_LOCALE);
}

/* Have the kernel write 0 to `word` when the calling thread has ended and no longer uses its memory
   (set_tid_address(2)). This replaces the word in which the C library waits for the end of threads
   that are joined, and of threads whose stacks it allocated. False if a system call filter forbids
   it; and with musl, where that word is the lock of the list of threads. */
static inline bool cp_clear_at_end(void *word) {
#ifndef __GLIBC__
  (void)word;
  return false;
#else
  int saved = errno;
  bool is_done = syscall(SYS_set_tid_address, word) >= 0;
  errno = saved;
  return is_done;
#endif
}

/* Whether this process has a thread with that id, for the kernel (tgkill(2) with signal 0). */
static inline bool cp_thread_exists(int32_t thread_id) {
  int saved = errno;
  bool exists = syscall(SYS_tgkill, getpid(), thread_id, 0) == 0 || errno != ESRCH;
  errno = saved;
  return exists;
}

/* The personality of a function that no exception passes (Itanium C++ ABI: Exception Handling,
   1.6): the search for a handler ends here, so a throw ends the program by std::terminate. The
   forced unwinding at the end of a thread continues. */
static int cp_lets_nothing_through(int version, int actions, uint64_t kind, void *exception,
                                   void *context) {
  (void)version, (void)kind, (void)exception, (void)context;
  return actions & 1 /* _UA_SEARCH_PHASE */ ? 3 /* _URC_FATAL_PHASE1_ERROR */
                                            : 8 /* _URC_CONTINUE_UNWIND */;
}

/* What the cleanup handler of cp_call_guarded needs. */
struct cp_guard {
  void (*left)(void *);
  void *argument;
#ifdef __GLIBC__
  __pthread_unwind_buf_t *volatile place; /* in glibc's list of the thread's handlers */
#endif
};

/* glibc leaves the list as it is when it calls a handler. If `left` has ended the thread, in a call
   that was guarded too, the list begins in that call's frame, which is gone when this is called
   again: it has to begin here, for the calls that `left` makes now. musl takes a handler from its
   list before it calls it. */
static void cp_guard_was_left(void *argument) {
  struct cp_guard *guard = (struct cp_guard *)argument;
#ifdef __GLIBC__
  __pthread_unregister_cancel(guard->place);
  __pthread_register_cancel(guard->place);
  guard->left(guard->argument);
#else
  pthread_cleanup_push(cp_guard_was_left, guard);
  guard->left(guard->argument);
  pthread_cleanup_pop(0);
#endif
}

/* Call body(argument). If the body ends the thread instead of returning, by pthread_exit(3) or
   cancellation, left(argument) is called as a cleanup handler, while the frames of this call and of
   its callers still exist. If `left` ends the thread too, it is called again.

   A C++ exception does not pass this function: it would leave the library's calls half done. The
   function is not inlined, because the personality applies to a whole function. */
static __attribute__((noinline, unused)) void
cp_call_guarded(void (*body)(void *), void (*left)(void *), void *argument) {
  struct cp_guard guard = {.left = left, .argument = argument};
  /* 0x1b: relative to the place of the reference, in four bytes (DW_EH_PE_pcrel |
     DW_EH_PE_sdata4). */
  __asm__ volatile(".cfi_personality 0x1b, %c0" : : "i"(cp_lets_nothing_through));
  pthread_cleanup_push(cp_guard_was_left, &guard);
#ifdef __GLIBC__
  guard.place = &__cancel_buf; /* of the macro */
#endif
  body(argument);
  pthread_cleanup_pop(0);
}

#endif
