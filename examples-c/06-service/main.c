/* 06-service/main.c - a TCP service: how a daemon is written with libtaskreg.

   A small key-value store in memory, reached by lines ("SET colour blue", "GET colour", HELP lists
   them all) or by HTTP/1.1 ("GET /kv/colour", with keep-alive), on 127.0.0.1. Its tasks, by the phase
   of a shutdown that stops them:

     0  listener     accepts connections and spawns one task for each; without it the service stops
     1  peers        a group, with a limit of its own:
          peer A:P     one connection: reads requests, answers them, asks another server (FETCH)
          rpc primes   one expensive request, run beside the connection that waits for it
     2  heartbeat    prints a line of statistics periodically, with a heartbeat interval
        compaction   frees what deleted entries of the store occupy
        read, ...    (with --stuck) tasks that misbehave, to show what happens then
     7  journal      (with --journal) writes changes to a file; last, since the others make changes

   You can ask at any time what it is doing: /tasks, /tasks.json and SIGUSR1 list the tasks, SIGUSR2
   explains what each of them is doing, /metrics has counters and durations, /stats a line of them,
   /health says whether a task misses its heartbeats. SIGTERM and SIGINT stop the service: every task is
   asked to stop, requests that have arrived are answered, and a report says which tasks did not stop in
   time, and why. When the grace period is over, requests that are still under way are dropped, and the
   clients are told. A second SIGTERM or SIGINT cuts the grace period short for the listener and the
   connections, the journal is still written, and a third ends the process.

   Exit status: 0 when all tasks ended within the grace period, 1 when some did not, or the service
   stopped because something failed, 2 when it could not start.

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
#include <poll.h>
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

/* Spawn the tasks that are there from the start. On TR_OK the listener owns listen_fd, and the journal
   its descriptor. */
static tr_status start_tasks(int listen_fd, const struct settings *settings) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
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
    status = tr_spawn_with(service.registry, "compaction", TR_KIND_MAINTENANCE, compaction_run, NULL,
                           &options, NULL);
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
    status = tr_spawn_with(service.registry, "listener", TR_KIND_BACKGROUND_LOOP, listener_run,
                           (void *)(intptr_t)listen_fd, &options, NULL);
  }
  return status;
}

/* Print what SIGUSR1 and SIGUSR2 ask for, until the service is to stop: by a signal, a client, or an
   essential task that failed. Returns 0, or -1 with errno set. */
static int serve_until_stop(int signal_fd) {
  struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN}, {.events = POLLIN}};

  if (tr_token_fd(tr_registry_token(service.registry), &fds[1].fd) != TR_OK) {
    return -1;
  }
  while (fds[1].revents == 0) {
    struct signalfd_siginfo info;

    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) {
        continue;
      }
      return -1;
    }
    if (fds[0].revents != 0 && read(signal_fd, &info, sizeof info) == sizeof info) {
      print_tasks(info.ssi_signo == SIGUSR2);
    }
  }
  return 0;
}

/* Write `report` to standard output, and as JSON to the file `name` unless that is NULL. */
static void write_report(const tr_report *report, const char *name) {
  fflush(stdout);
  TR_IGNORE(tr_report_write(report, STDOUT_FILENO, TR_FORMAT_TEXT)); /* a failure could not be reported either */
  if (name != NULL) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || tr_report_write(report, fd, TR_FORMAT_JSON) != TR_OK) {
      fprintf(stderr, "06-service: cannot write %s: %s\n", name, strerror(errno));
    }
    if (fd >= 0) {
      close(fd);
    }
  }
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

/* Stop the service and print a report. Returns the program's exit status; does not return if tasks
   are left. */
static int stop(const struct settings *settings) {
  /* How the time is divided: connections get the most, and the journal keeps its part. */
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_token *token = tr_registry_token(service.registry);
  tr_report *report = NULL;
  int is_graceful;
  tr_status status;

  options.phase_share[PHASE_LISTENER] = 1;
  options.phase_share[PHASE_PEERS] = 4;
  options.phase_share[PHASE_UPKEEP] = 2;
  options.phase_share[PHASE_JOURNAL] = 3;
  options.max_grace_ns = TR_MILLISECONDS(settings->max_grace_ms);
  counts.full = &report;
  /* The token is cancelled already: the reason and the message given then stand. */
  status = tr_shutdown_with(service.registry, TR_REASON_NONE, NULL,
                            TR_MILLISECONDS(settings->grace_ms), &options, &counts);
  if (status != TR_OK && status != TR_ERR_DEADLINE) {
    fprintf(stderr, "tr_shutdown_with: %s\n", tr_strerror(status));
    _exit(1); /* tasks may be left, as below */
  }
  write_report(report, settings->report);
  is_graceful = status == TR_OK && tr_reason_is_graceful(tr_token_reason(token));
  print_summary(settings, is_graceful);
  /* Stragglers still use all that is freed below, and may hold the lock of a stream that exit(3)
     would flush. */
  if (status != TR_OK) _exit(1);
  tr_report_release(report);
  store_clear(&service.store);
  TR_IGNORE(tr_systemd_stop(service.registry));
  TR_IGNORE(tr_signal_watch_stop(service.registry));
  tr_registry_release(service.peers);
  tr_registry_release(service.registry);
  return is_graceful ? 0 : 1;
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
  sigset_t questions, stop_signals;
  tr_status status = TR_OK;
  int listen_fd, signal_fd;

  parse_options(argc, argv, &settings);
  setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads a log file or a pipe sees each line at once */
  (void)signal(SIGPIPE, SIG_IGN);   /* a log reader that goes away must not end the service */

  /* SIGUSR1 and SIGUSR2 are blocked before there is any thread and read from a descriptor: what they ask
     for is done by ordinary code. The signals that stop the service are the library's business; they are
     named because those it takes by itself stay ignored where a shell has made them so. */
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  sigemptyset(&questions);
  sigaddset(&questions, SIGUSR1);
  sigaddset(&questions, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &questions, NULL);
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
    status = tr_signal_watch_start(service.registry, &stop_signals, NULL);
  }
  if (status == TR_OK) {
    status = start_tasks(listen_fd, &settings);
  }
  if (status == TR_OK) { /* systemd is notified that the service is ready, if it started it */
    status = tr_systemd_start(service.registry, NULL);
  }
  if (status != TR_OK) {
    fprintf(stderr, "06-service: cannot start: %s\n", tr_strerror(status));
    return 2; /* what has started ends with the process */
  }
  printf("listening on 127.0.0.1:%ld\n", settings.port);
  if (serve_until_stop(signal_fd) != 0) {
    perror("06-service: poll");
    return 2;
  }
  return stop(&settings);
}
