/* 06-service/misbehaving.h - tasks that misbehave, for --stuck. Only the demo needs them: leave them out
   of a daemon of your own.

   The table is constant. Each body runs in a task of its own that main spawns.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_MISBEHAVING_H
#define TASKREG_EXAMPLES_06_SERVICE_MISBEHAVING_H

#include <stdint.h>

#include <taskreg.h>

#define STUCK_TASKS 6

struct stuck_task {
  const char *name;
  tr_task_fn body;
  int64_t heartbeat_ns; /* the heartbeat interval; 0: none */
};

extern const struct stuck_task stuck_tasks[STUCK_TASKS];

#endif /* TASKREG_EXAMPLES_06_SERVICE_MISBEHAVING_H */
