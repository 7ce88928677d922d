/* 06-service/listener.h - the socket that listens, and the task that accepts connections.

   main calls open_listener; the rest is for the task "listener".

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_LISTENER_H
#define TASKREG_EXAMPLES_06_SERVICE_LISTENER_H

#include <taskreg.h>

/* Return a socket that listens on 127.0.0.1, or -1 with errno set. *port becomes the real port. */
int open_listener(long *port);

/* The drop of the task: close the socket. */
void listener_drop(void *ctx);

/* The body of the task. Its ctx is the descriptor. */
int listener_run(tr_task *self, void *ctx);

#endif /* TASKREG_EXAMPLES_06_SERVICE_LISTENER_H */
