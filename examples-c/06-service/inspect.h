/* 06-service/inspect.h - what the service is doing, for its clients and its operator.

   It reads the registry and changes nothing. Any thread may call it: connections do, and the task
   "questions" for a signal.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_INSPECT_H
#define TASKREG_EXAMPLES_06_SERVICE_INSPECT_H

#include <stddef.h>
#include <stdint.h>

#include <taskreg.h>

/* The library writes to descriptors. Return what `write_to`, which is tr_snapshot_write or
   tr_metrics_write, writes in `format`, without the newline at its end, for the caller to free, or
   NULL on failure. */
char *text_of(tr_status (*write_to)(tr_registry *, int, uint32_t), uint32_t format);

/* The body of a task: print the table of tasks whenever `ctx`, a descriptor of signalfd(2), has a signal. Output of
   other threads does not get in between. */
int questions_run(tr_task *self, void *ctx);

/* Say in `text` whether every task keeps to its heartbeat interval, and which do not. Returns an
   HTTP status. */
int check_health(char *text, size_t capacity);

/* Say in one line how the expensive requests did, and which task was the last to end. */
void describe_requests(char *text, size_t size);

#endif /* TASKREG_EXAMPLES_06_SERVICE_INSPECT_H */
