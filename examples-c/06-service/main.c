/* 06-service/main.c - a TCP service: how a daemon is written with libtaskreg.

   A small key-value store in memory, reached by lines ("SET colour blue", "GET colour", HELP lists
   them all) or by HTTP/1.1 ("GET /kv/colour", with keep-alive), on 127.0.0.1. Its tasks, by the phase
   of a shutdown that stops them:

     0  listener     accepts connections and spawns one task for each; started again if it fails, three times in a
                     minute at most; without it the service stops
     1  peers        a group, with a limit of its own:
          peer A:P     one connection: reads requests, answers them, asks another server (FETCH)
          rpc primes   one expensive request, run beside the connection that waits for it
     2  heartbeat    prints a line of statistics periodically, with a heartbeat interval
        questions    prints the table of tasks when SIGUSR1 comes
        compaction   frees what deleted entries of the store occupy, periodically
        read, ...    (with --stuck) tasks that misbehave, to show what happens then
     7  journal      (with --journal) writes changes to a file; last, since the others make changes
        main         the main thread, adopted

   You can ask at any time what it is doing: /tasks, /tasks.json and SIGUSR1 list the tasks, SIGUSR2
   explains what each of them is doing, /metrics has counters and durations, /stats a line of them,
   /health says whether a task misses its heartbeats. SIGTERM and SIGINT stop the service: every task is
   asked to stop, requests that have arrived are answered, and a report says which tasks did not stop in
   time, and why. When the grace period is over, requests that are still under way are dropped, and the
   clients are told. A second SIGTERM or SIGINT cuts the grace period short for the listener and the
   connections, the journal is still written, and a third ends the process.

   The main thread waits in tr_run_until_stopped, which does all that is the same in every service: the signals, systemd,
   the shutdown and its report. It is a task as well, so that it is in every list, and the service is not healthy if it hangs
   elsewhere. If the process hangs, it ends five seconds after the last deadline, with a report of its own.

   Exit status: 0 when all tasks ended within the grace period, 124 when some did not, 1 when the service
   stopped because something failed, 2 when it could not start, 70 when a call of the library failed.

   Read it in this order: main.c (start and stop), service.h (what is shared), listener.c, connection.c,
   commands.c, primes.c and upstream.c (a request from end to end), upkeep.c and journal.c (the other tasks), inspect.c.
   request.c and store.c know nothing of tasks; misbehaving.c serves the demo only. All of this file runs
   in the main thread, except on_event, which any thread may call. Only main sets the fields of `service`
   that do not change later, and only it creates, shuts down and releases the registries.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* POSIX calls under -std=c11 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <taskreg.h>

#include "inspect.h"
#include "listener.h"
#include "misbehaving.h"
#include "options.h"
#include "service.h"
#include "upkeep.h"

#define STACK_SIZE (256 * 1024) /* bytes of stack for each task */

/* The library prints nothing by itself; its events come here, from any thread. */
static void on_event(void *log_context, const tr_log_event *event) {
  (void)log_context;
  if (event->event != TR_EVENT_SPAWN_REJECTED) { /* the listener counts those */
    fprintf(stderr, "log: %s: %s%s%s\n", tr_event_name(event->event), event->task,
            event->task[0] != '\0' ? ": " : "", event->message);
  }
}

/* Make the main thread a task with a heartbeat interval, which does not count what it spends in waits of the library. It
   shuts the service down, and so waits for all tasks but itself. */
static tr_status adopt_main(void) {
  tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
  tr_status status;

  options.flags = TR_ADOPT_JOINS_OTHERS;
  options.phase = PHASE_JOURNAL;
  status = tr_adopt(service.registry, "main", TR_KIND_BACKGROUND_LOOP, &options, NULL);
  if (status == TR_OK) {
    status = tr_heartbeat_promise(NULL, TR_SECONDS(10), TR_HEARTBEAT_EXCEPT_WAITS);
  }
  return status;
}

/* Spawn the tasks that are there from the start. On TR_OK the listener owns listen_fd, and the journal
   its descriptor. */
static tr_status start_tasks(int listen_fd, int signal_fd, const struct settings *settings) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  tr_restart_options restart = TR_RESTART_OPTIONS_INIT;
  tr_status status = TR_OK;

  if (service.journal.fd >= 0) {
    options.drop = journal_drop;
    options.phase = PHASE_JOURNAL;
    options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE; /* what cannot be written must not be accepted */
    status = tr_spawn_with(service.registry, "journal", TR_KIND_BACKGROUND_LOOP, journal_run,
                           &service.journal, &options, NULL);
  }
  options = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  options.phase = PHASE_UPKEEP;
  if (status == TR_OK) {
    tr_schedule schedule = TR_SCHEDULE_INIT; /* no thread waits for the next compaction */
    schedule.period_ns = service.compaction_ns;
    schedule.first_delay_ns = service.compaction_ns;
    status = tr_spawn_every(service.registry, "compaction", TR_KIND_MAINTENANCE, compaction_run, NULL,
                            &schedule, &options, NULL);
  }
  if (status == TR_OK) {
    status = tr_spawn_with(service.registry, "questions", TR_KIND_BACKGROUND_LOOP, questions_run,
                           (void *)(intptr_t)signal_fd, &options, NULL);
  }
  for (size_t i = 0; i < STUCK_TASKS && status == TR_OK; i++) {
    if (settings->stuck[i]) {
      options.heartbeat_ns = stuck_tasks[i].heartbeat_ns;
      status = tr_spawn_with(service.registry, stuck_tasks[i].name, TR_KIND_MAINTENANCE,
                             stuck_tasks[i].body, NULL, &options, NULL);
    }
  }
  if (status == TR_OK) { /* a generous interval: a busy machine should not raise an alarm */
    options.heartbeat_ns = 2 * service.heartbeat_ns + TR_SECONDS(5);
    status = tr_spawn_with(service.registry, "heartbeat", TR_KIND_BACKGROUND_LOOP, heartbeat_run, NULL,
                           &options, NULL);
  }
  if (status == TR_OK) { /* last: whoever can connect finds the rest running */
    options = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
    options.drop = listener_drop;
    options.phase = PHASE_LISTENER;
    options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE; /* a service that cannot accept is of no use */
    restart.policy = TR_RESTART_ON_FAILURE;        /* but it may be able to again, in a moment */
    restart.max_restarts = 3;
    options.restart = &restart;
    status = tr_spawn_with(service.registry, "listener", TR_KIND_BACKGROUND_LOOP, listener_run,
                           (void *)(intptr_t)listen_fd, &options, NULL);
  }
  return status;
}

/* Print what the service did. */
static void print_summary(const struct settings *settings, int is_graceful) {
  uint64_t appended, written;

  if (ftrylockfile(stdout) != 0) return; /* a straggler is stuck in a write to stdout */
  printf("served: %" PRIu64 " connections, %" PRIu64 " refused, %" PRIu64 " requests\n",
         (uint64_t)atomic_load(&service.accepted), (uint64_t)atomic_load(&service.refused),
         (uint64_t)atomic_load(&service.requests));
  if (settings->journal != NULL) {
    journal_count(&service.journal, &appended, &written);
    printf("journal: %" PRIu64 " of %" PRIu64 " entries written\n", written, appended);
  }
  printf("shutdown: %s\n", is_graceful ? "graceful" : "not graceful");
  funlockfile(stdout);
}

/* Run until a signal, a client or an essential task that failed stops the service; stop it, and print a report. Returns the
   program's exit status; does not return if tasks are left. */
static int run(const struct settings *settings) {
  /* How the time is divided: connections get the most, and the journal keeps its part. */
  tr_shutdown_options shutdown = TR_SHUTDOWN_OPTIONS_INIT;
  tr_run_options options = TR_RUN_OPTIONS_INIT;
  tr_signal_options signals = TR_SIGNAL_OPTIONS_INIT;
  tr_signal_role explain = {SIGUSR2, TR_SIGNAL_EXPLAIN, 0, STDOUT_FILENO}; /* also while it stops */
  /* They are named because those that the library takes by itself stay ignored where a shell has made them so. */
  static const int watched[] = {SIGTERM, SIGINT};
  long longest_ms = settings->max_grace_ms > settings->grace_ms ? settings->max_grace_ms : settings->grace_ms;
  int32_t code;
  tr_status status;

  shutdown.phase_share[PHASE_LISTENER] = 1;
  shutdown.phase_share[PHASE_PEERS] = 4;
  shutdown.phase_share[PHASE_UPKEEP] = 2;
  shutdown.phase_share[PHASE_JOURNAL] = 3;
  shutdown.max_grace_ns = TR_MILLISECONDS(settings->max_grace_ms);
  signals.roles = &explain;
  signals.roles_count = 1;
  options.grace_ns = TR_MILLISECONDS(settings->grace_ms > 0 ? settings->grace_ms : 1); /* 0 is the default */
  options.shutdown = &shutdown;
  options.signals = watched;
  options.signals_count = sizeof watched / sizeof *watched;
  options.signal = &signals;
  options.report_fd = STDOUT_FILENO;
  options.report_file = settings->report;
  /* Whatever hangs, tasks or not: five seconds after the last of the deadlines the process ends. */
  options.exit_after_ns = TR_MILLISECONDS(longest_ms) + TR_SECONDS(5);
  status = tr_run_until_stopped(service.registry, &options, &code);
  if (status != TR_OK && status != TR_ERR_DEADLINE) {
    fprintf(stderr, "06-service: %s: %s\n", tr_strerror(status), tr_error_detail());
  }
  print_summary(settings, code == TR_EXIT_STOPPED);
  /* Stragglers still use all that is freed below, and may hold the lock of a stream that exit(3)
     would flush. */
  if (code != TR_EXIT_STOPPED && code != TR_EXIT_FATAL) _exit(code);
  TR_IGNORE(tr_leave()); /* main is a task to the end */
  store_clear(&service.store);
  tr_registry_release(service.peers);
  tr_registry_release(service.registry);
  return code;
}

/* Create the registry and its group of connections. */
static tr_status create_registries(long max_connections) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_status status;

  options.flags = TR_REGISTRY_METRICS;
  options.stack_size = STACK_SIZE;
  options.log = on_event;
  status = tr_registry_create(&options, &service.registry);
  if (status == TR_OK) { /* the group has the stack size and the log of its parent */
    options = (tr_registry_options)TR_REGISTRY_OPTIONS_INIT;
    options.max_tasks = (uint64_t)max_connections;
    status = tr_registry_child(service.registry, "peers", &options, &service.peers);
  }
  return status;
}

int main(int argc, char **argv) {
  struct settings settings = {.grace_ms = 5000,
                              .max_connections = 1024,
                              .heartbeat_ms = 5000,
                              .compaction_ms = 2000};
  sigset_t blocked, questions;
  tr_status status = TR_OK;
  int listen_fd, signal_fd;

  parse_options(argc, argv, &settings);
  setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads a log file or a pipe sees each line at once */
  (void)signal(SIGPIPE, SIG_IGN);   /* a log reader that goes away must not end the service */

  /* Blocked before there is any thread: SIGUSR1 is read from a descriptor, by a task, and what it asks for is done by
     ordinary code. The others wait until tr_run_until_stopped has a thread for them; a SIGTERM that comes as soon as the
     service listens must not end the process. */
  sigemptyset(&questions);
  sigaddset(&questions, SIGUSR1);
  blocked = questions;
  sigaddset(&blocked, SIGUSR2);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  pthread_sigmask(SIG_BLOCK, &blocked, NULL);
  signal_fd = signalfd(-1, &questions, SFD_CLOEXEC);

  service.heartbeat_ns = TR_MILLISECONDS(settings.heartbeat_ms);
  service.compaction_ns = TR_MILLISECONDS(settings.compaction_ms);
  listen_fd = signal_fd >= 0 ? open_listener(&settings.port) : -1;
  if (listen_fd < 0) {
    fprintf(stderr, "06-service: cannot listen: %s\n", strerror(errno));
    return 2;
  }
  if (settings.journal != NULL) {
    service.journal.fd = open(settings.journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (service.journal.fd < 0) {
      fprintf(stderr, "06-service: cannot open %s: %s\n", settings.journal, strerror(errno));
      return 2;
    }
  }
  if (settings.backtraces) { /* before the first task, which lets the signal through then */
    status = tr_enable_backtraces(SIGRTMIN + 2);
  }
  if (status == TR_OK) {
    status = create_registries(settings.max_connections);
  }
  if (status == TR_OK) {
    status = adopt_main();
  }
  if (status == TR_OK) {
    status = start_tasks(listen_fd, signal_fd, &settings);
  }
  if (status != TR_OK) {
    fprintf(stderr, "06-service: cannot start: %s\n", tr_strerror(status));
    return 2; /* what has started ends with the process */
  }
  printf("listening on 127.0.0.1:%ld\n", settings.port);
  return run(&settings);
}
