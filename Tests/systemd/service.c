/* service.c - a small service for a real systemd: it reloads in three seconds, stops in five, explains what its tasks do
   when SIGUSR2 asks for it, and its worker can be told to stall. Its lives follow each other as in
   examples-c/09-signals.c.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <taskreg.h>

static void check(tr_status status, const char *call) {
  if (status == TR_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", call, tr_strerror(status), strerror(errno));
  exit(EXIT_FAILURE);
}

/* Beats ten times a second, until there is a file /run/stall; then it does nothing at all. */
static int worker(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  while (tr_sleep(TR_MILLISECONDS(100)) == TR_OK) {
    if (access("/run/stall", F_OK) == 0) sleep(600);
    check(tr_heartbeat(), "tr_heartbeat");
  }
  return 0;
}

/* Asked to stop, it writes for three seconds before a reload and for five before an end, saying how far it is. */
static int writer(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  TR_IGNORE(tr_wait_cancelled(TR_FOREVER));
  int rounds = tr_token_reason(ctx) == TR_REASON_RELOAD_REQUESTED ? 30 : 50;
  for (int i = 0; i < rounds; i++) {
    check(tr_progress((uint64_t)i, (uint64_t)rounds, "pages"), "tr_progress");
    usleep(100000);
  }
  return 0;
}

static tr_reason live(tr_registry *registry, tr_registry **next) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.heartbeat_ns = TR_MILLISECONDS(500);
  check(tr_spawn_with(registry, "worker", TR_KIND_BACKGROUND_LOOP, worker, NULL, &options, NULL), "tr_spawn_with");
  check(tr_spawn(registry, "writer", TR_KIND_BACKGROUND_LOOP, writer, tr_registry_token(registry), NULL), "tr_spawn");
  check(tr_systemd_start(registry, NULL), "tr_systemd_start");

  check(tr_token_wait(tr_registry_token(registry), TR_FOREVER), "tr_token_wait");
  tr_reason reason = tr_token_reason(tr_registry_token(registry));
  tr_join_report report = TR_JOIN_REPORT_INIT;
  check(tr_shutdown(registry, reason, NULL, TR_SECONDS(30), &report), "tr_shutdown");
  check(tr_systemd_stop(registry), "tr_systemd_stop");
  if (reason == TR_REASON_RELOAD_REQUESTED) {
    check(tr_registry_create(NULL, next), "tr_registry_create");
    check(tr_signal_watch_move(registry, *next), "tr_signal_watch_move");
  } else {
    check(tr_signal_watch_stop(registry), "tr_signal_watch_stop");
  }
  tr_registry_release(registry);
  return reason;
}

int main(void) {
  tr_registry *registry = NULL;
  check(tr_registry_create(NULL, &registry), "tr_registry_create");
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  const tr_signal_role explain = {SIGUSR2, TR_SIGNAL_EXPLAIN, 0, STDOUT_FILENO};
  options.flags = TR_SIGNALS_HUP_RELOADS;
  options.roles = &explain;
  options.roles_count = 1;
  check(tr_enable_backtraces(SIGRTMIN + 4), "tr_enable_backtraces");
  check(tr_signal_watch_start(registry, NULL, &options), "tr_signal_watch_start");
  tr_reason reason;
  do {
    reason = live(registry, &registry);
    printf("a life ended: %s\n", tr_reason_name(reason));
    fflush(stdout);
  } while (reason == TR_REASON_RELOAD_REQUESTED);
  return tr_reason_is_graceful(reason) ? EXIT_SUCCESS : EXIT_FAILURE;
}
