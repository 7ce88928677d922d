/* 06-service/options.c - parses the command line. It may end the process; main calls it, first of all.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* getopt_long */

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

static const char usage[] =
    "Usage: 06-service [option]...\n"
    "A key-value service on 127.0.0.1, by lines and by HTTP. Send HELP to learn its commands.\n"
    "\n"
    "  --port N             TCP port; 0, the default: one that is free\n"
    "  --grace MS           how long a shutdown waits for tasks, in milliseconds (5000)\n"
    "  --max-grace MS       how long it waits, at most, for tasks that make progress; 0, the default:\n"
    "                       no longer\n"
    "  --max-connections N  connections and expensive requests at the same time (1024)\n"
    "  --heartbeat MS       time between two lines of statistics, in milliseconds (5000)\n"
    "  --compaction MS      time between two compactions, in milliseconds (2000)\n"
    "  --journal FILE       append every change to FILE\n"
    "  --report FILE        write the report of the shutdown to FILE, too, as JSON\n"
    "  --backtraces         have reports say where in the program tasks are\n"
    "  --stuck HOW          run a task that does not behave: read, spin or deaf never stop, lock holds up all\n"
    "                       changes as well, stall misses its heartbeats, slow stops after 0.7 s; may be\n"
    "                       given more than once\n"
    "  --deaf               the same as --stuck deaf\n"
    "  --help               print this and exit\n"
    "\n"
    "Signals: SIGUSR1 prints the table of tasks, SIGUSR2 what each of them is doing; SIGTERM and SIGINT\n"
    "stop the service, a second one at once, and a third ends the process.\n"
    "Exit status: 0 graceful, 124 tasks did not stop in time, 1 something failed, 2 the service could not\n"
    "start.\n";

static long parse_number(const char *name, const char *text, long least, long most) {
  char *end;
  long value;

  errno = 0;
  value = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || errno != 0 || value < least || value > most) {
    fprintf(stderr, "06-service: --%s takes a number from %ld to %ld\n", name, least, most);
    exit(2);
  }
  return value;
}

static void parse_stuck(const char *how, struct settings *settings) {
  for (size_t i = 0; i < STUCK_TASKS; i++) {
    if (strcmp(how, stuck_tasks[i].name) == 0) {
      settings->stuck[i] = 1;
      return;
    }
  }
  fprintf(stderr, "06-service: --stuck takes read, spin, deaf, lock, stall or slow\n");
  exit(2);
}

void parse_options(int argc, char **argv, struct settings *settings) {
  static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                          {"grace", required_argument, NULL, 'g'},
                                          {"max-connections", required_argument, NULL, 'm'},
                                          {"heartbeat", required_argument, NULL, 'b'},
                                          {"compaction", required_argument, NULL, 'c'},
                                          {"max-grace", required_argument, NULL, 'x'},
                                          {"journal", required_argument, NULL, 'j'},
                                          {"report", required_argument, NULL, 'r'},
                                          {"backtraces", no_argument, NULL, 't'},
                                          {"stuck", required_argument, NULL, 's'},
                                          {"deaf", no_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  int index = 0;

  for (int c; (c = getopt_long(argc, argv, "", options, &index)) != -1;) {
    const char *name = options[index].name;
    switch (c) {
    case 'p': settings->port = parse_number(name, optarg, 0, 65535); break;
    case 'g': settings->grace_ms = parse_number(name, optarg, 0, 3600000); break;
    case 'm': settings->max_connections = parse_number(name, optarg, 1, 100000); break;
    case 'b': settings->heartbeat_ms = parse_number(name, optarg, 10, 3600000); break;
    case 'c': settings->compaction_ms = parse_number(name, optarg, 10, 3600000); break;
    case 'x': settings->max_grace_ms = parse_number(name, optarg, 0, 3600000); break;
    case 'j': settings->journal = optarg; break;
    case 'r': settings->report = optarg; break;
    case 't': settings->backtraces = 1; break;
    case 's': parse_stuck(optarg, settings); break;
    case 'd': parse_stuck("deaf", settings); break;
    case 'h': fputs(usage, stdout); exit(0);
    default: fputs(usage, stderr); exit(2);
    }
  }
  if (optind < argc) {
    fprintf(stderr, "06-service: unexpected argument: %s\n", argv[optind]);
    exit(2);
  }
}
