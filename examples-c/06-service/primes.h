/* 06-service/primes.h - the expensive request: it runs in a task of its own.

   Called from the task of a connection, which waits meanwhile.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_PRIMES_H
#define TASKREG_EXAMPLES_06_SERVICE_PRIMES_H

#include <stdint.h>

#include <taskreg.h>

#define PRIMES_LIMIT 5000000 /* the largest argument of PRIMES */

/* Count the primes below `limit` in a task of its own and wait for it. Returns 200 and the count,
   or an HTTP status that says why there is none. */
int count_primes(tr_task *self, uint32_t limit, uint32_t *result);

#endif /* TASKREG_EXAMPLES_06_SERVICE_PRIMES_H */
