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

/* Operations on atomics. */
enum {
  MODEL_LOAD, MODEL_STORE, MODEL_EXCHANGE, MODEL_COMPARE, MODEL_ADD, MODEL_OR, MODEL_AND
};

/* Orders; a sequentially consistent operation also acquires and releases. */
enum { MODEL_RELAXED = 0, MODEL_ACQUIRE = 1, MODEL_RELEASE = 2, MODEL_SEQUENTIAL = 4 };

struct model_operation {
  void *address;
  uint64_t operand, expected;
  int size, kind, order;
  /* Where it is in the source. */
  const char *file;
  int line;
};

/* Accesses an atomic, before which other threads may run; returns the value that it had, or, where
   orders are weak, that the calling thread sees. */
uint64_t model_atomic(struct model_operation operation);
void model_fence(int order, const char *file, int line);
/* The value after an operation on an atomic with this value. */
uint64_t model_result_of(const struct model_operation *operation, uint64_t value);

/* From now on, the operation at this place has this order, where orders are weak. */
void model_weaken(const char *file, int line, int order);
/* Print each place of an operation on an atomic that was passed since, with its order. */
void model_list_places(void);

/* Report a broken property, with the steps that led there, and end the process. */
void model_fail(const char *what);

/* One scenario. */
struct model_run {
  const char *name;
  void (*body)(void);  /* the first thread */
  int preemptions;     /* how often a thread that could continue is interrupted; negative: any
                          number */
  int timeouts;        /* how many time-outs may come while others could run; the rest come last */
  bool isWeak;         /* whether atomics have the orders of C++11, instead of one order for all */
  int stale;           /* weak: how many accesses see another than the last store; negative: any */
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
/* From now on, in this execution, no thread is available. */
void model_refuse_threads(bool refuses);
/* The calling thread has so many blocks of memory that stay for good. */
void model_keep_blocks(int blocks);
/* Seconds of CPU time, for reports. */
double model_seconds(void);

#endif
