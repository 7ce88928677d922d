/* 06-service/primes.c - counts primes, in a task beside the connection that waits.

   count_primes runs in the task of the connection, primes_run in the task "rpc primes", or in the
   connection's if no task is available. They share a struct job and nothing else.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "primes.h"
#include "service.h"

#define RPC_LIMIT_MS 30000 /* how long an expensive request may take */

/* A job has two owners, the connection that asked and the task that works: either may be the last
   one, because a connection that is told to abort, or whose time is up, waits no longer. */
struct job {
  atomic_int owners;
  uint32_t limit;
  uint32_t result; /* written by the task, read by the connection once the task has ended; */
  int done;        /* so is this: the count is complete */
};

static void job_release(void *ctx) {
  struct job *job = ctx;

  if (atomic_fetch_sub(&job->owners, 1) == 1) {
    free(job);
  }
}

/* Count the primes below job->limit. Nothing in it waits, so it checks its flag at intervals, and reports
   its progress. */
static int primes_run(tr_task *self, void *ctx) {
  struct job *job = ctx;
  uint32_t primes = job->limit > 2 ? 1 : 0;

  TR_IGNORE(tr_checkpoint("counting primes"));
  for (uint32_t n = 3; n < job->limit; n += 2) {
    uint32_t divisor = 3;

    if (n % 1024 == 1) {
      TR_IGNORE(tr_progress(n, job->limit, "numbers"));
      /* Asked to stop, it drains: it counts on, until it is told to abort. */
      if (tr_task_stop_level(self) == TR_STOP_ABORT) {
        return 0; /* to stop when told is not a failure: the job is just not done */
      }
    }
    while (divisor * divisor <= n && n % divisor != 0) {
      divisor += 2;
    }
    primes += divisor * divisor > n;
  }
  job->result = primes;
  job->done = 1;
  return 0;
}

int count_primes(tr_task *self, uint32_t limit, uint32_t *result) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  struct job *job = malloc(sizeof *job);
  tr_task *handler = NULL;
  tr_status status;
  int code;

  if (job == NULL) {
    return 500;
  }
  atomic_init(&job->owners, 2);
  job->limit = limit;
  job->result = 0;
  job->done = 0;
  options.drop = job_release; /* the handler's reference; also dropped after pthread_exit */
  options.phase = PHASE_PEERS;
  status = tr_spawn_with(service.peers, "rpc primes", TR_KIND_RPC_HANDLER, primes_run, job,
                         &options, &handler);
  if (status == TR_OK) {
    do { /* a second time when this connection is asked to stop, and drains */
      status = tr_task_wait(handler, TR_MILLISECONDS(RPC_LIMIT_MS), NULL);
    } while (status == TR_ERR_CANCELLED && tr_begin_drain() == TR_OK);
    if (status != TR_OK) { /* its time is up, or this connection was told to abort */
      TR_IGNORE(tr_task_abort(handler)); /* it will see its level, end, and release its reference */
    }
    tr_task_release(handler);
  } else {
    job_release(job); /* rejected: nothing has run, and the handler's reference is still ours */
    if (status != TR_ERR_CLOSED) {
      (void)primes_run(self, job); /* no task is available: the connection does the work itself... */
      TR_IGNORE(tr_checkpoint(NULL));   /* ...and goes on with other work */
      status = TR_OK;
    }
  }
  code = status == TR_ERR_TIMEDOUT ? 504 : 503;
  if (status == TR_OK && job->done) {
    *result = job->result;
    code = 200;
  }
  job_release(job);
  return code;
}
