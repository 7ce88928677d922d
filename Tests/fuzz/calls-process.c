/* calls-process.c - what there is one of in the process: systemd, signals, threads of the library's own, names. */

#define _GNU_SOURCE

#include "calls.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- systemd --------------------------------------------------------------------------------- */

static int notify_socket = -1;
static char notify_path[32];

/* What is told is read by nobody, but has to be fetched: a datagram that finds no room makes an event. */
void empty_notify_socket(void) {
  char datagram[4096];
  while (notify_socket >= 0 && recv(notify_socket, datagram, sizeof datagram, MSG_DONTWAIT) >= 0) continue;
}

static void make_notify_socket(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int length = snprintf(notify_path, sizeof notify_path, "@taskreg-fuzz-%d", (int)getpid());
  memcpy(address.sun_path + 1, notify_path + 1, (size_t)length - 1);
  notify_socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  MUST(notify_socket >= 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
  MUST_EQ(0, bind(notify_socket, (struct sockaddr *)&address, size));
}

/* Begins or ends the notifications: there is one who gets them in the process (E11). */
void call_systemd(int b, int c) {
  int number = some_registry(b);
  if (c & 8 && notified >= 0) number = notified; /* which may be all that keeps the registry */
  if (number < 0) return;
  tr_registry *registry = registries[number].it;
  if (notify_socket < 0) make_notify_socket();
  if (c % 3 == 0) {
    MUST_EQ(notified == number ? TR_OK : TR_ERR_INVALID, tr_systemd_stop(registry));
    if (notified == number) notified = -1;
    return;
  }
  tr_systemd_options options = TR_SYSTEMD_OPTIONS_INIT;
  options.socket = notify_path;
  options.watchdog_ns = c & 16 ? -1 : 0; /* with a watchdog a heartbeat of any thread would set an interval (E7) */
  options.status_ns = INT64_C(3600000000000);
  int isInvalid = notified >= 0 || c & 32;
  switch (c & 32 ? c >> 6 : -1) {
    case 0: options.flags = 1u << b % 32; break;
    case 1: options.socket = "relative"; break;
    case 2: options.status_ns = -1; break;
    case 3: options.size = 4; break;
    default: break;
  }
  MUST_EQ(isInvalid ? TR_ERR_INVALID : TR_OK, tr_systemd_start(registry, &options));
  if (!isInvalid) notified = number;
}

void end_systemd(void) {
  if (notified >= 0) MUST_EQ(TR_OK, tr_systemd_stop(registries[notified].it));
  notified = -1;
  empty_notify_socket();
}

/* ---- Signals --------------------------------------------------------------------------------- */

#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

void call_signals(int b, int c) {
  const int bad[] = {0, -1, SIGKILL, SIGSTOP, SIGSEGV, 65, 1 << 20, INT32_MIN};
  const int cancels = SIGRTMIN + 5, traces = SIGRTMIN + 6;
  MUST_EQ(TR_ERR_INVALID, tr_install_cancel_signal(bad[b % 8]));
  MUST_EQ(TR_ERR_INVALID, tr_enable_backtraces(bad[b % 8]));
  MUST_EQ(TR_OK, tr_install_cancel_signal(cancels));
  MUST_EQ(TR_ERR_INVALID, tr_enable_backtraces(cancels)); /* it has a handler */
  MUST_EQ(0, tr_signal_watch_pending());
#ifndef UNDER_TSAN /* which delivers a signal when it likes, so that every report would wait */
  if (c % 4 == 0) {
    MUST_EQ(TR_OK, tr_enable_backtraces(traces));
    has_backtraces = 1;
  }
  if (has_backtraces) {
    MUST_EQ(TR_ERR_INVALID, tr_enable_backtraces(traces + 1)); /* another than before */
    MUST_EQ(TR_ERR_INVALID, tr_install_cancel_signal(traces));
  }
#else
  (void)c, (void)traces;
#endif
}

void call_acknowledge(int a) {
  int actor = some_actor(a, 0);
  if (actor < 0) return;
  order_for(actor, ACKNOWLEDGE, 0);
  MUST_EQ(actor < HOSTS ? TR_ERR_INVALID : TR_OK, ask(actor)->status);
}

/* ---- Threads, names -------------------------------------------------------------------------- */

/* A time-out to come needs a thread, and so may a task. */
void call_quiesce(int a, int c) {
  static const int64_t timeouts[] = {0, 1000, -2, INT64_MIN};
  int actor = some_actor(a, 0);
  if (actor < 0) return;
  order_for(actor, QUIESCE, 0)->timeout = timeouts[c % 4];
  int status = ask(actor)->status;
  MUST(status == TR_OK || status == TR_ERR_TIMEDOUT || (is_flagged(actor) && status == TR_ERR_CANCELLED));
}

/* Every number has a name, also one that means nothing. */
/* What languages without the macros start from. */
#define INITIALISED(type, call)                                                                    \
  do {                                                                                             \
    type structure;                                                                                \
    memset(&structure, '#', sizeof structure);                                                     \
    MUST_EQ(TR_OK, call);                                                                          \
    MUST_EQ(sizeof structure, structure.size);                                                     \
    for (size_t i = sizeof structure.size; i < sizeof structure; i++)                              \
      MUST(((const char *)&structure)[i] == 0);                                                    \
  } while (0)

static void check_initialisers(void) {
  INITIALISED(tr_registry_options, tr_registry_options_init(&structure, sizeof structure));
  INITIALISED(tr_spawn_options, tr_spawn_options_init(&structure, sizeof structure));
  INITIALISED(tr_restart_options, tr_restart_options_init(&structure, sizeof structure));
  INITIALISED(tr_schedule, tr_schedule_init(&structure, sizeof structure));
  INITIALISED(tr_task_summary, tr_task_summary_init(&structure, sizeof structure));
  INITIALISED(tr_join_report, tr_join_report_init(&structure, sizeof structure));
  INITIALISED(tr_shutdown_options, tr_shutdown_options_init(&structure, sizeof structure));
  INITIALISED(tr_outcome, tr_outcome_init(&structure, sizeof structure));
  INITIALISED(tr_signal_options, tr_signal_options_init(&structure, sizeof structure));
  INITIALISED(tr_straggler, tr_straggler_init(&structure, sizeof structure));
  INITIALISED(tr_ended_task, tr_ended_task_init(&structure, sizeof structure));
  INITIALISED(tr_phase_report, tr_phase_report_init(&structure, sizeof structure));
  INITIALISED(tr_thread_report, tr_thread_report_init(&structure, sizeof structure));
  INITIALISED(tr_metrics, tr_metrics_init(&structure, sizeof structure));
  INITIALISED(tr_metrics_source, tr_metrics_source_init(&structure, sizeof structure));
  INITIALISED(tr_systemd_options, tr_systemd_options_init(&structure, sizeof structure));
  INITIALISED(tr_exit_options, tr_exit_options_init(&structure, sizeof structure));
  INITIALISED(tr_ladder_options, tr_ladder_options_init(&structure, sizeof structure));
  INITIALISED(tr_run_options, tr_run_options_init(&structure, sizeof structure));
}

/* An end that is far away, and is taken back; and a service that has been stopped before it runs (F1, F3). */
static void call_exit(int b) {
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.flags = (uint32_t)b % 4;
  options.code = b;
  options.fd = b & 16 ? -1 : 0;
  int64_t after = b & 32 ? INT64_MAX : INT64_C(3600000000000);
  MUST_EQ(TR_OK, tr_exit_by(after, &options));
  options.flags = 4u << b % 30;
  MUST_EQ(TR_ERR_INVALID, tr_exit_by(after, &options));
  if (b & 64) MUST_EQ(TR_OK, tr_exit_by(after, NULL));
  MUST_EQ(TR_OK, tr_exit_by_cancel());
  MUST_EQ(TR_ERR_INVALID, tr_exit_by_cancel());
  tr_registry *service = NULL;
  tr_run_options run = TR_RUN_OPTIONS_INIT;
  run.flags = TR_RUN_NO_SYSTEMD;
  run.report_fd = -1;
  int32_t code = -1;
  MUST_EQ(TR_OK, tr_registry_create(NULL, &service));
  MUST_EQ(1, tr_token_cancel(tr_registry_token(service), b & 1 ? TR_REASON_FATAL : TR_REASON_NONE, NULL));
  tr_status status = tr_run_until_stopped(service, &run, &code);
  /* Another registry may have the one watch of the process. */
  MUST(status == TR_OK ? code == (b & 1 ? TR_EXIT_FATAL : TR_EXIT_STOPPED)
                       : status == TR_ERR_INVALID && code == TR_EXIT_FAILED);
  tr_registry_release(service);
}

static int runs_at_once(tr_task *self, void *ctx) {
  (void)self;
  return *(int *)ctx;
}

/* A registry of its own, whose task runs on request (B5, B6). */
static void check_periodic(int b) {
  tr_registry *registry = NULL;
  tr_task *task = NULL;
  tr_schedule schedule = TR_SCHEDULE_INIT;
  static int codes[2] = {0, 7};
  schedule.period_ns = b & 1 ? 1 : INT64_MAX;
  schedule.first_delay_ns = b & 2 ? INT64_MAX : b & 4;
  schedule.missed = (uint32_t)b >> 3 & 1;
  schedule.jitter_percent = b & 16 ? 100 : 0;
  schedule.flags = b & 32 ? TR_SCHEDULE_FROM_END : 0;
  MUST_EQ(TR_OK, tr_registry_create(NULL, &registry));
  MUST_EQ(TR_OK, tr_spawn_every(registry, "beat", 1, runs_at_once, &codes[b >> 6 & 1], &schedule, NULL, &task));
  MUST_EQ(TR_OK, tr_task_trigger(task));
  MUST_EQ(TR_OK, tr_task_pause(task));
  MUST_EQ(TR_OK, tr_task_set_period(task, 1 + b));
  MUST_EQ(TR_OK, tr_task_resume(task));
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  do {
    MUST_EQ(TR_OK, tr_snapshot(registry, &summary, 1, &count));
    MUST_EQ(1, count);
  } while (summary.runs == 0);
  while (tr_shutdown(registry, TR_REASON_NONE, NULL, -1, NULL) != TR_OK) continue;
  MUST_EQ(TR_ERR_CLOSED, tr_task_trigger(task));
  tr_task_release(task);
  tr_registry_release(registry);
}

void call_names(int b, int c) {
  uint32_t numbers[] = {(uint32_t)b, 0u - (uint32_t)b, (uint32_t)b << 24 | (uint32_t)c, (uint32_t)b + TR_KIND_APPLICATION};
  uint32_t number = numbers[c % 4];
  if (number >= TR_KIND_APPLICATION && c & 4) {
    tr_status status = tr_kind_set_name(number, c & 8 ? "upload" : "na\xc3\xafve");
    MUST(status == TR_ERR_LIMIT || status == TR_OK);
    if (status == TR_OK) MUST_EQ(0, strcmp(c & 8 ? "upload" : "na\xc3\xafve", tr_kind_name(number)));
  }
  const char *texts[] = {tr_strerror((tr_status)number), tr_kind_name(number), tr_state_name(number),
                         tr_reason_name((tr_reason)number), tr_event_name(number), tr_ended_name(number),
                         tr_diagnosis_name(number), tr_error_detail()};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) MUST(texts[i] != NULL && strlen(texts[i]) < 512);
  for (size_t i = 0; i < 7; i++) MUST(texts[i][0] != 0);
  MUST_EQ(TR_VERSION, tr_version());
  if (c == 0) check_initialisers();
  if (c % 8 == 2) check_periodic(b);
  if (c % 8 == 1) call_exit(b);
}
