/* 06-service/commands.h - the commands of the service: SET, GET, PRIMES, TASKS, ...

   Called from the task of the connection that asks.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_COMMANDS_H
#define TASKREG_EXAMPLES_06_SERVICE_COMMANDS_H

#include <taskreg.h>

#include "connection.h"

/* Execute one command. `argument` is "" when there is none. */
void execute(tr_task *self, struct connection *c, const char *command, char *argument);

#endif /* TASKREG_EXAMPLES_06_SERVICE_COMMANDS_H */
