/* 06-service/request.h - what a client asks for: a line, or an HTTP/1.x request.

   It touches only the bytes that it is given: no I/O, no lock, no state. Any thread may call it.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_REQUEST_H
#define TASKREG_EXAMPLES_06_SERVICE_REQUEST_H

#include <stddef.h>

/* One request. The strings point into the input. */
struct request {
  const char *command; /* "GET", "SET", ...; "" for an empty line, which asks for nothing */
  char *argument;      /* the rest of the line; "" when there is none */
  int http;            /* it came as HTTP and is to be answered so */
  int head_only;       /* HTTP HEAD: answer with headers, but no body */
  int keep_alive;      /* another request may follow */
  int error;           /* 0, or the HTTP status to answer with: there is no command then */
  const char *why;     /* what is wrong when error is not 0 */
};

/* Read the first request of `input`, which is modified for that once the request is complete.
   Returns the number of bytes it took, or 0 while it is incomplete. */
size_t request_parse(char *input, size_t length, struct request *request);

#endif /* TASKREG_EXAMPLES_06_SERVICE_REQUEST_H */
