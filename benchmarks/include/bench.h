/* bench.h - what a peer offers to the workloads: spawn, wait, join, cancel, list.

   One peer is one file under peers/, which defines `bench_peer_under_test`. The workloads know
   nothing else about it, so that all peers run the same code. For C11 and C++20.

   A task is a job: a body and its argument. The caller keeps the job alive until its tasks have
   ended, and many tasks share one; so no peer has to allocate anything only to carry two pointers
   through an interface that has room for one. */

#ifndef TASKREG_BENCH_H
#define TASKREG_BENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a running task knows itself by; every peer casts its own context to it. It is the same type
   as libtaskreg's tr_task, so that libtaskreg calls the bodies as they are. */
typedef struct tr_task bench_self;

typedef int (*bench_body)(bench_self *self, void *arg);

typedef struct bench_job {
  const char *name; /* for peers that name their tasks */
  bench_body body;
  void *arg;
} bench_job;

/* What join_all and snapshot return when the peer cannot do what was asked. */
#define BENCH_CANNOT (-1L)
/* What they return when the peer contradicted itself; the workloads report it as an error. */
#define BENCH_INCONSISTENT (-2L)

/* The most tasks that are ever alive at once. */
#define BENCH_MOST_TASKS 40000

/* What a task can be blocked in when it is cancelled. */
typedef enum bench_wait {
  BENCH_WAIT_SLEEP,     /* nothing else */
  BENCH_WAIT_FD,        /* a descriptor that never becomes readable */
  BENCH_WAIT_CONDITION, /* a condition variable that nobody signals */
  BENCH_WAITS
} bench_wait;

/* One registry is open at a time. A member that may be NULL says so. */
typedef struct bench_peer {
  const char *name;

  /* Choose a variant of the peer before open; NULL is the usual one. 0: there is such a variant.
     May be NULL: no variants. */
  int (*choose)(const char *variant);

  void *(*open)(void);
  /* All tasks have ended. On return no thread of the peer is left, if it can promise that. */
  void (*close)(void *registry);

  /* 0: the task was accepted. With a handle the caller will call wait_one on it exactly once. */
  int (*spawn)(void *registry, const bench_job *job, void **handle);
  /* The same, and drop(job->arg) is called after the body. May be NULL: the peer has no such thing. */
  int (*spawn_drop)(void *registry, const bench_job *job, void (*drop)(void *arg), void **handle);
  /* The same, and the task has a copy of the job on the heap, which is freed when the task has ended; `job` is not
     used after the return. May be NULL: the peer has no such thing. */
  int (*spawn_owned)(void *registry, const bench_job *job, void **handle);
  /* May be NULL: such a peer has no handles, and the task itself reports its end to a gate. */
  void (*wait_one)(void *registry, void *handle);

  /* Wait for all tasks spawned without a handle, at most timeout_ns (negative: never times out). Returns
     how many are unfinished, or BENCH_CANNOT when there is no such wait with a deadline. */
  long (*join_all)(void *registry, int64_t timeout_ns);
  void (*cancel_all)(void *registry);

  /* Called by a task: block until it is cancelled. */
  void (*cancellable_sleep)(bench_self *self);
  /* Called by a task: block in this way until it is cancelled; false: the peer does not offer it, and
     has not blocked. May be NULL: the peer offers cancellable_sleep alone. */
  int (*cancellable_wait)(bench_self *self, bench_wait how);
  /* Called by a task: ask `times` times "am I cancelled?", stop at yes; return how often the answer
     was no. poll_call asks through the peer's function, poll_flag through a pointer. Each may be
     NULL. */
  long (*poll_call)(bench_self *self, long times);
  long (*poll_flag)(bench_self *self, long times);

  /* List every live task with name and start time; return how many. May be NULL. */
  long (*snapshot)(void *registry);

  /* 1 if threads are kept when their task has ended. */
  int keeps_threads;
} bench_peer;

extern const bench_peer bench_peer_under_test;

#ifdef __cplusplus
}
#endif

#endif
