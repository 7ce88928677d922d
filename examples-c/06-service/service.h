/* 06-service/service.h - what all parts of the service share: its state, its limits, its helpers.

   main sets it up before it spawns a task. After that, tasks change only the counters, which are atomic,
   and store and journal, which have locks. The helpers may be called from any task.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_SERVICE_H
#define TASKREG_EXAMPLES_06_SERVICE_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include <taskreg.h>

#include "journal.h"
#include "store.h"

#define INPUT_SIZE 8192 /* bytes of the longest request: a line, or all HTTP headers */

/* When a shutdown stops a task: one that makes work for others stops before them. */
enum phase { PHASE_LISTENER = 0, PHASE_PEERS = 1, PHASE_UPKEEP = 2, PHASE_JOURNAL = TR_PHASES - 1 };

/* The one service of this program. It has static storage on purpose: after a shutdown that was not
   graceful, abandoned tasks still run while main returns, and what they use has to outlive main's frame. */
extern struct service {
  tr_registry *registry;   /* the first four do not change while tasks run */
  tr_registry *peers;      /* the group of connections and their requests */
  int64_t heartbeat_ns;    /* time between two heartbeats, in nanoseconds */
  int64_t compaction_ns;   /* time between two compactions, in nanoseconds */
  atomic_uint_fast64_t accepted, refused, requests;
  pthread_mutex_t changes; /* held for one change of store and journal; taken before their locks */
  struct store store;      /* has a lock of its own */
  struct journal journal;  /* this too */
} service;

/* Milliseconds on the monotonic clock. */
int64_t now_ms(void);

/* Wait for a descriptor, for `limit_ms` milliseconds at most. When the calling task is asked to stop, it
   begins to drain, and the wait goes on until it is told to abort. Returns as tr_wait_fd does. */
tr_status wait_draining(int fd, short events, long limit_ms);

/* End the calling task as failed, with a message for its outcome and for the log. */
int fail_task(tr_task *self, const char *call);

#endif /* TASKREG_EXAMPLES_06_SERVICE_SERVICE_H */
