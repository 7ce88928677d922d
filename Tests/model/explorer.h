/* explorer.h - what the explorer's files share.

   scheduler.c  threads, choices, states, the C library
   weak.c       atomics with C++11's orders (`scripts/model --weak`)
   races.c      accesses to ordinary memory that nothing orders (likewise) */

#ifndef TASKREG_MODEL_EXPLORER_H
#define TASKREG_MODEL_EXPLORER_H

#include "scheduler.h"

#include <setjmp.h>
#include <stddef.h>
#include <sys/types.h>

enum {
  THREADS = 10,           /* in one execution, those that have ended included */
  STACK = 256 << 10,      /* bytes of one coroutine's stack */
  ARENA = 512 << 10,      /* bytes that one coroutine may allocate */
  DEPTH = 4096,           /* choices in one execution */
  TRACE = 1 << 15,        /* steps kept of one execution */
  LOCATIONS = 1 << 14,    /* atomics, mutexes and condition variables */
  USED = 1 << 12,         /* of them, those of one execution */
  KEPT = 64,              /* static atomics changed by one execution */
  STEPS = 200000,         /* steps after which an execution is taken for endless */
  KEYS = 4,
  GRAIN = 64              /* blocks of memory begin at multiples of it */
};

/* The functions themselves, where scheduler.c stands in for them. */
void *__real_mmap(void *, size_t, int, int, int, off_t);
void __real_free(void *);

enum state { UNUSED, READY, ON_MUTEX, ON_CONDITION, ON_WORD, ON_THREAD, DONE };

struct thread {
  enum state state;
  jmp_buf context;       /* where it continues */
  jmp_buf base;          /* where pthread_exit leads */
  void *(*start)(void *);
  void *argument;
  bool isStarted, isJoined, isDetached, hasTimedOut;
  const void *place;     /* the mutex, condition variable or word it waits for */
  int64_t deadline;      /* INT64_MAX: none */
  int awaited;           /* the value of the word, or the number of the thread */
  const void *values[KEYS];
  uint64_t hash;
  /* How many events of each thread its next one comes after: by what was explored, or, where orders
     are weak, by what C++11 calls happens-before. */
  uint32_t clock[THREADS];
  uint32_t pending[THREADS];  /* weak: what a fence that acquires would add to the clock */
  uint32_t released[THREADS]; /* weak: the clock at the last fence that releases */
  char *stack, *arena;
  int *cleared_at_end; /* by the kernel: set_tid_address */
  uint8_t *freed;        /* for each grain of the arena, whether it was freed */
  size_t used;
  int blocks;            /* allocated by it and not freed; may be negative */
};

struct store;
struct sighting;

/* The accesses to one address in this execution. */
struct location {
  const void *address;
  uint32_t epoch;   /* the execution this is of */
  bool isMeeting;   /* kept from execution to execution */
  uint64_t written, read;
  uint32_t writes[THREADS], reads[THREADS]; /* clocks of the last write, of the reads since */
  uint32_t sync[THREADS]; /* weak, and no atomic: what who comes next learns */
  /* weak, of an atomic; see weak.c */
  struct store *first, *last, *ordered;
  struct sighting *seen[THREADS];
};

extern struct thread threads[THREADS];
extern int thread_count, current;
extern bool isWeak;
extern uint32_t epoch;
/* The locations of this execution. */
extern struct location *used[USED];
extern int used_count;

uint64_t mix(uint64_t a, uint64_t b);
struct location *location_of(const void *address);
struct location *meeting_of(const void *address);
/* The calling thread does something to a location: its hash and its clock take in what that depends on. */
void touch(struct location *place, int kind);
void yield(void);
void expect_alive(const void *address);
void note(const char *what, const void *address, const char *file, int line);
/* Choose one of `count` alternatives, of which all but the first use up one stale access. */
int choose_stale(int count);

/* A clock takes in another. */
static inline void join(uint32_t *clock, const uint32_t *other) {
  for (int i = 0; i < THREADS; i++)
    if (other[i] > clock[i]) clock[i] = other[i];
}

/* weak.c */
void weak_begin(void);
uint64_t weak_access(struct location *place, const struct model_operation *operation);
void weak_fence(int order);

/* races.c */
void races_begin_thread(int thread);
/* The calling thread accesses an atomic, which does not race with another atomic access. */
void races_atomic(const void *address, size_t size, bool isWrite);
/* The calling thread frees a block: a race with all accesses that do not happen before. */
void races_free(const void *block, size_t size);

#endif
