/* forking.h - for programs whose tasks or callbacks fork: the first acts of the child. */

#ifndef TASKREG_TESTS_FORKING_H
#define TASKREG_TESTS_FORKING_H

#include "check.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_CLO_CHANGE(option) ((void)0)
#endif

/* Set in a child of fork: there the leak checks of AddressSanitizer and of valgrind would find what only the
   parent's other threads refer to. */
static int is_child;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return is_child; }

/* Begin life as a child that an alarm ends if it hangs. */
static inline void begin_as_child(void) {
  is_child = 1;
  VALGRIND_CLO_CHANGE("--leak-check=no");
  sigset_t mask; /* threads of the library have SIGALRM blocked */
  sigemptyset(&mask);
  sigaddset(&mask, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
  signal(SIGALRM, SIG_DFL);
  alarm((unsigned)(10 * check_scale()));
}

#endif /* TASKREG_TESTS_FORKING_H */
