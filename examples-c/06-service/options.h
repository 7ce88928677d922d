/* 06-service/options.h - the command line. main calls it before there is any other thread.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_OPTIONS_H
#define TASKREG_EXAMPLES_06_SERVICE_OPTIONS_H

#include "misbehaving.h"

struct settings {
  long port, grace_ms, max_grace_ms, max_connections, heartbeat_ms, compaction_ms;
  const char *journal, *report; /* names of files, or NULL */
  int backtraces;
  int stuck[STUCK_TASKS]; /* 1 for those that are wanted */
};

/* Read the command line into `settings`, which holds the defaults. Ends the process for --help, and with
   status 2 for a mistake. */
void parse_options(int argc, char **argv, struct settings *settings);

#endif /* TASKREG_EXAMPLES_06_SERVICE_OPTIONS_H */
