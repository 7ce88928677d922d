/* 06-service/upkeep.c - what has to be done periodically.

   Each function is the body of one task. They read the counters and sweep the store.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "upkeep.h"
#include "service.h"

int heartbeat_run(tr_task *self, void *ctx) {
  uint64_t before = 0;

  (void)self;
  (void)ctx;
  while (tr_sleep(service.heartbeat_ns) == TR_OK) { /* anything else: asked to stop */
    uint64_t requests = atomic_load(&service.requests);
    TR_IGNORE(tr_heartbeat()); /* start_tasks sets the interval; without it /health returns 503 */
    printf("heartbeat: %zu tasks, %" PRIu64 " requests, %" PRIu64 " of them in the last %" PRId64
           " ms\n",
           tr_len(service.registry), requests, requests - before, service.heartbeat_ns / TR_MILLISECONDS(1));
    before = requests;
  }
  return 0;
}

int compaction_run(tr_task *self, void *ctx) {
  int64_t start = now_ms();
  size_t freed = 0;

  (void)ctx;
  /* A long job is done in slices; the flag is checked between two of them. */
  TR_IGNORE(tr_checkpoint("compacting the store"));
  for (size_t slice = 0; slice < STORE_SLICES && !tr_task_is_cancelled(self); slice++) {
    freed += store_compact(&service.store, slice);
    TR_IGNORE(tr_progress(slice + 1, STORE_SLICES, "slices"));
  }
  TR_IGNORE(tr_checkpoint(NULL));
  if (freed > 0) {
    printf("compaction: freed %zu deleted entries in %" PRId64 " ms\n", freed, now_ms() - start);
  }
  return 0;
}
