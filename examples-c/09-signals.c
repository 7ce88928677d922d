/* 09-signals.c - a daemon that signals shut down or reload.

   One call makes SIGTERM, SIGINT and SIGHUP cancel the token of a registry. The first of them does
   so, on an ordinary thread, where cancel callbacks may call any function. main waits for the
   token, reads the reason and acts on it. A second SIGTERM would force the deadline, and a third
   would end the process at once. A signal handler of the program, here for SIGALRM, asks for a
   shutdown with the one call that is async-signal-safe.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _POSIX_C_SOURCE 200809L

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <taskreg.h>

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

static tr_token *volatile alarm_token; /* the token that SIGALRM cancels */

static void on_alarm(int number) {
  (void)number;
  /* No other function of the library may be called here. */
  TR_IGNORE(tr_request_shutdown(alarm_token, TR_REASON_FATAL));
}

static int worker(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_wait_cancelled(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* The daemon, from its start to the end of its last task. It sends itself a signal. Returns the
   reason for which it stopped. */
static tr_reason run_until(int number) {
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_registry *registry = NULL;
  char message[256];
  sigset_t set;

  check(tr_registry_create(NULL, &registry), "tr_registry_create");
  alarm_token = tr_registry_token(registry);
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  options.flags = TR_SIGNALS_HUP_RELOADS;
  check(tr_signal_watch_start(registry, &set, &options), "tr_signal_watch_start");
  check(tr_spawn(registry, "worker", TR_KIND_BACKGROUND_LOOP, worker, NULL, NULL), "tr_spawn");

  kill(getpid(), number);

  check(tr_token_wait(alarm_token, TR_FOREVER), "tr_token_wait");
  tr_reason reason = tr_token_reason(alarm_token);
  tr_token_message(alarm_token, message, sizeof message);
  check(tr_shutdown(registry, reason, NULL, TR_SECONDS(5), &report), "tr_shutdown");
  printf("%s%s%s: %llu tasks left, %s\n", tr_reason_name(reason), message[0] != '\0' ? " by " : "",
         message, (unsigned long long)report.pending,
         tr_reason_is_graceful(reason) ? "graceful" : "not graceful");

  check(tr_signal_watch_stop(registry), "tr_signal_watch_stop");
  tr_registry_release(registry);
  return reason;
}

int main(void) {
  struct sigaction action;

  memset(&action, 0, sizeof action);
  action.sa_handler = on_alarm;
  sigaction(SIGALRM, &action, NULL);

  /* A real daemon starts again after a reload, and ends for any other reason. */
  if (run_until(SIGHUP) != TR_REASON_RELOAD_REQUESTED || run_until(SIGALRM) != TR_REASON_FATAL)
    return EXIT_FAILURE;
  return tr_reason_is_graceful(run_until(SIGTERM)) ? EXIT_SUCCESS : EXIT_FAILURE;
}
