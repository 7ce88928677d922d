/* 06-service/connection.h - one connection: its buffers, its task, and how to answer.

   A connection belongs to its task: the listener fills it in and spawns the task, and from then on only
   that task touches it. connection_drop releases it. The respond functions are for its task.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_CONNECTION_H
#define TASKREG_EXAMPLES_06_SERVICE_CONNECTION_H

#include <stddef.h>

#include <taskreg.h>

#include "request.h"
#include "service.h"

#define OUTPUT_SIZE 16384 /* bytes of output that are collected before they are sent */

struct connection {
  int fd;                 /* non-blocking; closed by connection_drop and nowhere else */
  int broken;             /* 0, or the errno with which the client was lost */
  char name[64];          /* "peer 127.0.0.1:43210", the name of the task too */
  struct request request; /* the current one */
  size_t input_used, output_used;
  char input[INPUT_SIZE], output[OUTPUT_SIZE];
};

/* Runs when the task has ended, however it ended: returned or pthread_exit. */
void connection_drop(void *ctx);

/* Answer the current request: with lines, or with an HTTP response of the media type `type`. `text`
   has no newline at its end; `code` is the HTTP status, and 400 or more makes it an error. */
void respond_with(const tr_task *self, struct connection *c, int code, const char *type,
                  const char *text);

/* The same as plain text. */
void respond(const tr_task *self, struct connection *c, int code, const char *text);

/* The body of the task. */
int connection_run(tr_task *self, void *ctx);

#endif /* TASKREG_EXAMPLES_06_SERVICE_CONNECTION_H */
