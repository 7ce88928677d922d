/* scheduler.h - an exhaustive explorer of thread interleavings.

   The core is compiled for it unchanged, with two things replaced: `Atomic` (Atomic.swift),
   which reports each access to the explorer, and the functions of the C library through which
   threads interact, which the linker's --wrap replaces by those of scheduler.c. Threads are
   coroutines here; one runs at a time, and where two could disturb each other the explorer tries
   every order. */

#ifndef TASKREG_MODEL_SCHEDULER_H
#define TASKREG_MODEL_SCHEDULER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/* What an access does; a failed compare-and-swap counts as a write, which is safe. */
enum { MODEL_READ = 0, MODEL_WRITE = 1 };

/* A thread is about to access the atomic at `address`: others may run before it does. */
void model_access(const void *address, int kind, const char *what);

/* An atomic outside of all allocated memory is about to change: put it back before the next
   execution. */
void model_keep(void *address, int size);

/* Report a broken property, with the steps that led there, and end the process. */
void model_fail(const char *what);

/* One scenario. */
struct model_run {
  const char *name;
  void (*body)(void);  /* the first thread */
  int preemptions;     /* how often a thread that could continue is interrupted; negative: any
                          number */
  int timeouts;        /* how many time-outs may come while others could run; the rest come last */
};

/* The result of an exploration. */
struct model_result {
  uint64_t executions, states, steps;
  int locations; /* atomics on which two threads meet */
};

/* Explore every interleaving of `run`; ends the process at the first that breaks a property. */
struct model_result model_explore(const struct model_run *run);

/* For scenarios: a thread of the application's own, and the wait for its end. */
void model_thread(void (*body)(void));
/* Block the calling thread until `*word` is at least `value`; `*word` changes by model_add alone. */
void model_add(int *word, int value);
int model_value(const int *word);
void model_await(const int *word, int value);
/* Whether an eventfd has been written to, and not been closed. */
int model_is_readable(int fd);
/* Wait until all other threads have ended. */
void model_await_others(void);
/* From now on, in this execution, no thread can be had. */
void model_refuse_threads(bool refuses);
/* The calling thread has so many blocks of memory that stay for good. */
void model_keep_blocks(int blocks);
/* Seconds of CPU time, for reports. */
double model_seconds(void);

#endif
