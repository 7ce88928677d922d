/* 06-service/misbehaving.c - tasks that misbehave, each with what it should do instead.

   Each function is the body of one task and touches nothing that others use, but for one, which takes a lock.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* pipe2 */

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "misbehaving.h"
#include "service.h"

/* Blocks in a system call that nothing ends. What it should do: wait for the descriptor with tr_wait_fd, or
   have a cancel_signal. */
static int stuck_in_read(tr_task *self, void *ctx) {
  int ends[2]; /* the end for writing stays open, or this one would find the end of the file */
  char byte;

  (void)ctx;
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return fail_task(self, "pipe2");
  }
  TR_IGNORE(tr_checkpoint("reading from a pipe"));
  for (;;) {
    (void)!read(ends[0], &byte, 1);
  }
  return 0;
}

/* Likewise, with a lock held that every change takes: clients wait as well. What it should do: never wait for
   others while it holds a lock. */
static int stuck_with_lock(tr_task *self, void *ctx) {
  pthread_mutex_lock(&service.changes);
  return stuck_in_read(self, ctx);
}

/* Computes without end. What it should do: check its flag from time to time. */
static int stuck_spinning(tr_task *self, void *ctx) {
  static volatile unsigned turns;

  (void)self, (void)ctx;
  TR_IGNORE(tr_checkpoint("turning round and round"));
  for (;;) {
    turns++;
  }
  return 0;
}

/* Never checks its flag, and waits by other means. What it should do: call tr_sleep. */
static int stuck_deaf(tr_task *self, void *ctx) {
  const struct timespec second = {1, 0};

  (void)self, (void)ctx;
  for (;;) {
    (void)nanosleep(&second, NULL);
  }
  return 0;
}

/* Has a heartbeat interval and does not send heartbeats. It does stop when it is asked to. */
static int stuck_stalled(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_wait_cancelled(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* Not misbehaving: it does stop, but the work that it completes first takes 0.7 s. */
static int slow_to_stop(tr_task *self, void *ctx) {
  const struct timespec page = {0, 50000000};

  (void)self, (void)ctx;
  TR_IGNORE(tr_wait_cancelled(TR_FOREVER));
  TR_IGNORE(tr_checkpoint("writing pages back"));
  for (unsigned i = 0; i < 14; i++) {
    (void)nanosleep(&page, NULL); /* tr_sleep would return at once */
    TR_IGNORE(tr_progress(i + 1, 14, "pages"));
  }
  return 0;
}

const struct stuck_task stuck_tasks[STUCK_TASKS] = {
    {"read", stuck_in_read, 0},
    {"spin", stuck_spinning, 0},
    {"deaf", stuck_deaf, 0},
    {"lock", stuck_with_lock, 0},
    {"stall", stuck_stalled, TR_MILLISECONDS(100)},
    {"slow", slow_to_stop, 0}};
