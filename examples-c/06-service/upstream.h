/* 06-service/upstream.h - a request that another server answers.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_UPSTREAM_H
#define TASKREG_EXAMPLES_06_SERVICE_UPSTREAM_H

#include <stddef.h>

#include <taskreg.h>

/* Ask the server on 127.0.0.1:port for `key` and copy its line to `answer`, which has room for `size`
   bytes. Returns an HTTP status: 200, 502 (no answer), 503 (told to abort), 504 (too late). */
int fetch_line(long port, const char *key, char *answer, size_t size);

#endif /* TASKREG_EXAMPLES_06_SERVICE_UPSTREAM_H */
