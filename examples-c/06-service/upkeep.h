/* 06-service/upkeep.h - bodies of the tasks "heartbeat" and "compaction".

   main spawns them; each runs in a task of its own.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_UPKEEP_H
#define TASKREG_EXAMPLES_06_SERVICE_UPKEEP_H

#include <taskreg.h>

/* Print a line of statistics at intervals, and send a heartbeat with each. */
int heartbeat_run(tr_task *self, void *ctx);

/* Free deleted entries of the store, once: a run of a periodic task. */
int compaction_run(tr_task *self, void *ctx);

#endif /* TASKREG_EXAMPLES_06_SERVICE_UPKEEP_H */
