/* hook.h - runs a function of the test between a caller's check of its condition and the wait.

   hook.c is a shared library of its own, found before the C library, for the reason given in
   fault.h. */

#ifndef TASKREG_TESTS_HOOK_H
#define TASKREG_TESTS_HOOK_H

#include <pthread.h>

/* Have function(argument) called the next time pthread_cond_clockwait is called with `condition`, by
   the calling thread, before the wait begins and with the mutex held. */
void hook_next_wait(pthread_cond_t *condition, void (*function)(void *), void *argument);

/* Make the thread that broadcasts call function(argument) before the `number`th broadcast to
   `condition` from now on. */
void hook_broadcast(pthread_cond_t *condition, int number, void (*function)(void *), void *argument);

#endif /* TASKREG_TESTS_HOOK_H */
