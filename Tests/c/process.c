/* process.c - the library and its process: fork, and exit with tasks running. Rules P1, P2. */

#include "support.h"

#include "forking.h"

/* ---- fork ---------------------------------------------------------------------------------- */

/* What exists at the moment of the fork. */
struct at_fork {
  tr_token *token;
  tr_registry *registry;
  tr_task *task;
  tr_report *full;
};

/* One call in the child, and whether it answered as documented. */
struct forked_call {
  const char *name;
  int (*is_right)(struct at_fork *);
};

#define FORKED(name, expression)                                                                   \
  static int forked_##name(struct at_fork *at) {                                                   \
    (void)at;                                                                                      \
    return (expression);                                                                           \
  }

static int answers_nothing(void) { return 1; }

FORKED(token_create, (errno = 0, tr_token_create() == NULL && errno == EPERM))
FORKED(token_child, (errno = 0, tr_token_child(at->token) == NULL && errno == EPERM))
FORKED(token_retain, tr_token_retain(at->token) == NULL)
FORKED(token_release, (tr_token_release(at->token), answers_nothing()))
FORKED(token_cancel, tr_token_cancel(at->token, TR_REASON_FATAL, "m") == 0)
FORKED(token_is_cancelled, tr_token_is_cancelled(at->token) == 0)
FORKED(token_reason, tr_token_reason(at->token) == TR_REASON_NONE)
FORKED(token_message, tr_token_message(at->token, NULL, 0) == 0)
FORKED(token_wait, tr_token_wait(at->token, 0) == TR_ERR_FORKED)
FORKED(token_wait_for_ever, tr_token_wait(at->token, FOREVER) == TR_ERR_FORKED)
static int forked_registry_create(struct at_fork *at) {
  tr_registry *registry = at->registry;
  return create_registry(NULL, &registry) == TR_ERR_FORKED && registry == at->registry;
}
static int forked_registry_child(struct at_fork *at) {
  tr_registry *group = at->registry;
  return tr_registry_child(at->registry, "group", NULL, &group) == TR_ERR_FORKED &&
         group == at->registry;
}
FORKED(registry_retain, tr_registry_retain(at->registry) == NULL)
FORKED(registry_release, (tr_registry_release(at->registry), answers_nothing()))
FORKED(registry_token, tr_registry_token(at->registry) == NULL)
static int forked_spawn(struct at_fork *at) {
  tr_task *task = at->task;
  return tr_spawn(at->registry, "n", TR_KIND_RPC_HANDLER, body_never, NULL, &task) ==
             TR_ERR_FORKED &&
         task == at->task;
}
static int forked_spawn_with(struct at_fork *at) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_never;
  return tr_spawn_with(at->registry, "n", TR_KIND_RPC_HANDLER, body_never, NULL, &options, NULL) ==
         TR_ERR_FORKED;
}
FORKED(registry_wait, tr_registry_wait(at->registry, 0) == TR_ERR_FORKED &&
                          tr_registry_wait(at->registry, FOREVER) == TR_ERR_FORKED)
static int forked_join_all(struct at_fork *at) {
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.ended = 4711;
  return tr_join_all(at->registry, 0, &report) == TR_ERR_FORKED &&
         tr_join_all(at->registry, FOREVER, &report) == TR_ERR_FORKED && report.ended == 4711;
}
static int forked_shutdown(struct at_fork *at) {
  return tr_shutdown(at->registry, TR_REASON_FATAL, "m", 0, NULL) == TR_ERR_FORKED &&
         tr_shutdown(at->registry, TR_REASON_FATAL, "m", FOREVER, NULL) == TR_ERR_FORKED;
}
FORKED(len, tr_len(at->registry) == 0)
FORKED(is_empty, tr_is_empty(at->registry) == 0)
static int forked_snapshot(struct at_fork *at) {
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 4711;
  return tr_snapshot(at->registry, &summary, 1, &count) == TR_ERR_FORKED &&
         tr_snapshot(at->registry, NULL, 0, &count) == TR_ERR_FORKED && count == 4711;
}
FORKED(task_self, tr_task_self() == NULL)
FORKED(task_retain, tr_task_retain(at->task) == NULL)
FORKED(task_release, (tr_task_release(at->task), answers_nothing()))
FORKED(task_id, tr_task_id(at->task) == 0)
FORKED(task_name, tr_task_name(at->task, NULL, 0) == 0)
FORKED(task_kind, tr_task_kind(at->task) == 0)
FORKED(task_phase, tr_task_phase(at->task) == 0)
FORKED(task_data, tr_task_data(at->task) == NULL)
FORKED(task_set_data, tr_task_set_data(at->task, NULL) == TR_ERR_FORKED)
FORKED(task_is_cancelled, tr_task_is_cancelled(at->task) == 0)
FORKED(task_cancel_flag, tr_task_cancel_flag(at->task) == NULL)
FORKED(task_cancel, tr_task_cancel(at->task) == TR_ERR_FORKED)
FORKED(task_set_message_lossy, tr_task_set_message_lossy(at->task, "m") == TR_ERR_FORKED)
FORKED(task_set_message, tr_task_set_message(at->task, "m") == TR_ERR_FORKED)
static int forked_task_wait(struct at_fork *at) {
  tr_outcome outcome = TR_OUTCOME_INIT;
  outcome.code = 4711;
  return tr_task_wait(at->task, 0, &outcome) == TR_ERR_FORKED &&
         tr_task_wait(at->task, FOREVER, &outcome) == TR_ERR_FORKED && outcome.code == 4711;
}
FORKED(wait_cancelled, tr_wait_cancelled(FOREVER) == TR_ERR_FORKED)
FORKED(wait_fd, tr_wait_fd(0, 1, FOREVER) == TR_ERR_FORKED)
static int forked_token_fd(struct at_fork *at) {
  int fd = 4711;
  return tr_token_fd(at->token, &fd) == TR_ERR_FORKED && fd == 4711;
}
static int forked_task_fd(struct at_fork *at) {
  int fd = 4711;
  return tr_task_fd(at->task, &fd) == TR_ERR_FORKED && fd == 4711;
}
static int forked_token_on_cancel(struct at_fork *at) {
  tr_registration *registration = NULL;
  return tr_token_on_cancel(at->token, drop_never, NULL, drop_never, &registration) ==
             TR_ERR_FORKED &&
         registration == NULL;
}
static int forked_task_on_cancel(struct at_fork *at) {
  tr_registration *registration = NULL;
  return tr_task_on_cancel(at->task, drop_never, NULL, drop_never, &registration) ==
             TR_ERR_FORKED &&
         registration == NULL;
}
FORKED(off_cancel, (tr_registration_remove((tr_registration *)at->token), answers_nothing()))
FORKED(sleep, tr_sleep(0) == TR_ERR_FORKED)
FORKED(sleep_for_ever, tr_sleep(FOREVER) == TR_ERR_FORKED)
/* These touch no object; that they come back is all there is to ask. */
FORKED(strerror, (tr_strerror(TR_ERR_FORKED), answers_nothing()))
FORKED(error_detail, (tr_error_detail(), answers_nothing()))
FORKED(version, (tr_version(), answers_nothing()))
FORKED(names, (tr_kind_name(1), tr_state_name(1), tr_reason_name(1), tr_event_name(1),
               tr_ended_name(1), tr_reason_is_graceful(1), answers_nothing()))

static int forked_shutdown_with(struct at_fork *at) {
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  tr_report *full = at->full;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.full = &full;
  return tr_shutdown_with(at->registry, TR_REASON_FATAL, "m", 0, &options, &report) == TR_ERR_FORKED &&
         tr_shutdown_with(at->registry, TR_REASON_FATAL, "m", FOREVER, NULL, NULL) == TR_ERR_FORKED &&
         full == at->full;
}
FORKED(checkpoint, tr_checkpoint("m") == TR_ERR_FORKED)
FORKED(label, tr_label("m") == TR_ERR_FORKED)
FORKED(kind_set_name, tr_kind_set_name(TR_KIND_APPLICATION, "m") == TR_ERR_FORKED)
FORKED(progress, tr_progress(1, 2, "m") == TR_ERR_FORKED)
FORKED(heartbeat, tr_heartbeat() == TR_ERR_FORKED)
static int forked_health(struct at_fork *at) {
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 4711;
  return tr_health(at->registry, &summary, 1, &count) == TR_ERR_FORKED &&
         tr_health(at->registry, NULL, 0, NULL) == TR_ERR_FORKED && count == 4711;
}
static int forked_explain(struct at_fork *at) {
  tr_report *full = at->full;
  return tr_explain(at->registry, &full) == TR_ERR_FORKED && full == at->full;
}
static int forked_explain_with(struct at_fork *at) {
  tr_report *full = at->full;
  return tr_explain_with(at->registry, 0, &full) == TR_ERR_FORKED && full == at->full;
}
FORKED(report_release, (tr_report_release(at->full), answers_nothing()))
static int forked_report_counts(struct at_fork *at) {
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  counts.pending = 4711;
  return tr_report_counts(at->full, &counts) == TR_ERR_FORKED && counts.pending == 4711;
}
static int forked_report_straggler(struct at_fork *at) {
  tr_straggler straggler = TR_STRAGGLER_INIT;
  return tr_report_straggler(at->full, 0, &straggler) == TR_ERR_FORKED && straggler.id == 0;
}
static int forked_report_slowest(struct at_fork *at) {
  tr_ended_task task = TR_ENDED_TASK_INIT;
  return tr_report_slowest(at->full, 0, &task) == TR_ERR_FORKED && task.id == 0;
}
static int forked_report_phase(struct at_fork *at) {
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  return tr_report_phase(at->full, 0, &phase) == TR_ERR_FORKED && phase.asked == 0;
}
static int forked_report_thread(struct at_fork *at) {
  tr_thread_report thread = TR_THREAD_REPORT_INIT;
  return tr_report_thread(at->full, 0, &thread) == TR_ERR_FORKED && thread.thread_id == 0;
}
/* A descriptor that cannot be written: one that is not open would be another error. */
FORKED(report_write, tr_report_write(at->full, -1, TR_FORMAT_TEXT) == TR_ERR_FORKED)
FORKED(snapshot_write, tr_snapshot_write(at->registry, -1, TR_FORMAT_JSON) == TR_ERR_FORKED)
FORKED(metrics_write, tr_metrics_write(at->registry, -1, TR_FORMAT_OPENMETRICS) == TR_ERR_FORKED)
FORKED(metrics_write_all, tr_metrics_write_all(NULL, 1, -1, TR_FORMAT_OPENMETRICS, 0) == TR_ERR_FORKED)
static int forked_buffers(struct at_fork *at) {
  char text[16] = "untouched";
  size_t length = 4711;
  return tr_report_write_buffer(at->full, TR_FORMAT_TEXT, text, sizeof text, &length) == TR_ERR_FORKED &&
         tr_snapshot_write_buffer(at->registry, TR_FORMAT_JSON, text, sizeof text, &length) == TR_ERR_FORKED &&
         tr_metrics_write_buffer(at->registry, TR_FORMAT_OPENMETRICS, text, sizeof text, &length) == TR_ERR_FORKED &&
         tr_metrics_write_all_buffer(NULL, 0, TR_FORMAT_OPENMETRICS, 0, text, sizeof text, &length) == TR_ERR_FORKED &&
         length == 4711 && strcmp(text, "untouched") == 0;
}
static int forked_reports(struct at_fork *at) {
  tr_report *full = at->full;
  return tr_join_all_report(at->registry, FOREVER, &full) == TR_ERR_FORKED &&
         tr_shutdown_report(at->registry, TR_REASON_FATAL, "m", FOREVER, NULL, &full) == TR_ERR_FORKED && full == at->full;
}
FORKED(named_waits, tr_task_sleep(at->task, FOREVER) == TR_ERR_FORKED &&
                        tr_task_wait_cancelled(at->task, FOREVER) == TR_ERR_FORKED &&
                        tr_task_wait_fd(at->task, 0, 1, FOREVER) == TR_ERR_FORKED)
FORKED(signal_array, tr_signal_watch_start_array(at->registry, NULL, 0, NULL) == TR_ERR_FORKED)
static int forked_metrics_read(struct at_fork *at) {
  tr_metrics metrics = TR_METRICS_INIT;
  metrics.live = 4711;
  return tr_metrics_read(at->registry, 0, &metrics) == TR_ERR_FORKED && metrics.live == 4711;
}
static int forked_recent(struct at_fork *at) {
  tr_ended_task task = TR_ENDED_TASK_INIT;
  size_t count = 4711;
  return tr_recent(at->registry, &task, 1, &count) == TR_ERR_FORKED && count == 4711;
}
FORKED(enable_backtraces, tr_enable_backtraces(SIGRTMIN + 3) == TR_ERR_FORKED)
FORKED(systemd_start, tr_systemd_start(at->registry, NULL) == TR_ERR_FORKED)
FORKED(signal_watch_start, tr_signal_watch_start(at->registry, NULL, NULL) == TR_ERR_FORKED)
FORKED(signal_watch_stop, tr_signal_watch_stop(at->registry) == TR_ERR_FORKED)
FORKED(signal_watch_move, tr_signal_watch_move(at->registry, at->registry) == TR_ERR_FORKED)
FORKED(signal_watch_pending, tr_signal_watch_pending() == 0)
FORKED(systemd_stop, tr_systemd_stop(at->registry) == TR_ERR_FORKED)
FORKED(exit_by, tr_exit_by(0, NULL) == TR_ERR_FORKED)
FORKED(exit_by_cancel, tr_exit_by_cancel() == TR_ERR_FORKED)
static int forked_run(struct at_fork *at) {
  int32_t code = -1;
  return tr_run_until_stopped(at->registry, NULL, &code) == TR_ERR_FORKED && code == TR_EXIT_FAILED;
}
FORKED(token_child_with_timeout, (errno = 0, tr_token_child_with_timeout(at->token, 1) == NULL && errno == EPERM))
FORKED(token_create_with_timeout, (errno = 0, tr_token_create_with_timeout(1) == NULL && errno == EPERM))
FORKED(token_abort, tr_token_abort(at->token, TR_REASON_FATAL, "m") == 0)
FORKED(token_stop_level, tr_token_stop_level(at->token) == TR_STOP_NONE)
FORKED(token_wait_any, tr_token_wait_any(&at->token, 1, FOREVER, NULL) == TR_ERR_FORKED)
FORKED(registry_close, tr_registry_close(at->registry) == TR_ERR_FORKED)
FORKED(registry_is_closed, tr_registry_is_closed(at->registry) == 0)
FORKED(task_stop_level, tr_task_stop_level(at->task) == TR_STOP_NONE)
FORKED(task_abort, tr_task_abort(at->task) == TR_ERR_FORKED)
FORKED(task_token, (errno = 0, tr_task_token(at->task) == NULL && errno == EPERM))
FORKED(begin_drain, tr_begin_drain() == TR_ERR_FORKED)
FORKED(shield, tr_shield_begin() == TR_ERR_FORKED && tr_shield_end() == TR_ERR_FORKED)
FORKED(acknowledge_cancel, tr_acknowledge_cancel() == TR_ERR_FORKED)
FORKED(install_cancel_signal, tr_install_cancel_signal(SIGRTMIN + 4) == TR_ERR_FORKED)
FORKED(request_shutdown, tr_request_shutdown(at->token, TR_REASON_FATAL) == TR_ERR_FORKED)
FORKED(heartbeat_promise, tr_heartbeat_promise(at->registry, SECOND, 0) == TR_ERR_FORKED &&
                              tr_heartbeat_pause() == TR_ERR_FORKED && tr_heartbeat_resume() == TR_ERR_FORKED)
static int forked_abort_fds(struct at_fork *at) {
  int fd = 4711;
  return tr_token_abort_fd(at->token, &fd) == TR_ERR_FORKED && tr_task_abort_fd(at->task, &fd) == TR_ERR_FORKED &&
         fd == 4711;
}
static int forked_registrations(struct at_fork *at) {
  tr_registration *registration = NULL;
  return tr_token_on_abort(at->token, drop_never, NULL, drop_never, &registration) == TR_ERR_FORKED &&
         tr_task_on_abort(at->task, drop_never, NULL, drop_never, &registration) == TR_ERR_FORKED &&
         tr_task_on_end(at->task, drop_never, NULL, drop_never, &registration) == TR_ERR_FORKED &&
         tr_task_on_end(at->task, drop_never, NULL, drop_never, NULL) == TR_ERR_FORKED && registration == NULL;
}
static int forked_condition_waits(struct at_fork *at) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  return pthread_mutex_lock(&mutex) == 0 && tr_cond_wait(&never, &mutex, FOREVER) == TR_ERR_FORKED &&
         tr_cond_wait_token(&never, &mutex, at->token, FOREVER) == TR_ERR_FORKED &&
         pthread_mutex_unlock(&mutex) == 0;
}
#define INITIALISES_NOTHING(name) (tr_##name##_init((tr_##name *)bytes, sizeof(tr_##name)) == TR_ERR_FORKED)
static int forked_initialisers(struct at_fork *at) {
  _Alignas(8) char bytes[1024] = "untouched";
  (void)at;
  return INITIALISES_NOTHING(registry_options) &&
         INITIALISES_NOTHING(spawn_options) &&
         INITIALISES_NOTHING(adopt_options) &&
         INITIALISES_NOTHING(restart_options) &&
         INITIALISES_NOTHING(schedule) &&
         INITIALISES_NOTHING(task_summary) &&
         INITIALISES_NOTHING(join_report) &&
         INITIALISES_NOTHING(shutdown_options) &&
         INITIALISES_NOTHING(outcome) &&
         INITIALISES_NOTHING(signal_options) &&
         INITIALISES_NOTHING(straggler) &&
         INITIALISES_NOTHING(ended_task) &&
         INITIALISES_NOTHING(phase_report) && INITIALISES_NOTHING(thread_report) &&
         INITIALISES_NOTHING(metrics) &&
         INITIALISES_NOTHING(metrics_source) &&
         INITIALISES_NOTHING(systemd_options) &&
         INITIALISES_NOTHING(exit_options) &&
         INITIALISES_NOTHING(ladder_options) &&
         INITIALISES_NOTHING(run_options) &&
         strcmp(bytes, "untouched") == 0;
}
FORKED(wait_fds, tr_wait_fds(NULL, 0, FOREVER) == TR_ERR_FORKED)
FORKED(wait_room, tr_wait_room(at->registry, FOREVER) == TR_ERR_FORKED &&
                      tr_registry_set_max_tasks(at->registry, 1) == TR_ERR_FORKED)
FORKED(spawn_every, tr_spawn_every(at->registry, "n", 1, body_never, NULL, NULL, NULL, NULL) == TR_ERR_FORKED &&
                        tr_task_trigger(at->task) == TR_ERR_FORKED && tr_task_pause(at->task) == TR_ERR_FORKED &&
                        tr_task_resume(at->task) == TR_ERR_FORKED && tr_task_set_period(at->task, 1) == TR_ERR_FORKED)
static int forked_adopt(struct at_fork *at) {
  tr_task *task = NULL;
  return tr_adopt(at->registry, "n", 1, NULL, &task) == TR_ERR_FORKED && task == NULL &&
         tr_leave() == TR_ERR_FORKED && tr_leave_with(1) == TR_ERR_FORKED;
}
FORKED(quiesce, tr_quiesce(FOREVER) == TR_ERR_FORKED)
FORKED(diagnosis_name, (tr_diagnosis_name(TR_DIAGNOSIS_BLOCKED), answers_nothing()))

static const struct forked_call forked_calls[] = {
#define ROW(name)                                                                                  \
  { "tr_" #name, forked_##name }
    ROW(token_create), ROW(token_child), ROW(token_retain), ROW(token_release), ROW(token_cancel),
    ROW(token_is_cancelled), ROW(token_reason), ROW(token_message), ROW(token_wait),
    ROW(token_wait_for_ever), ROW(registry_create), ROW(registry_child), ROW(registry_retain),
    ROW(registry_release), ROW(registry_token), ROW(spawn), ROW(spawn_with), ROW(wait_room), ROW(wait_fds), ROW(adopt), ROW(spawn_every), ROW(registry_wait), ROW(join_all), ROW(shutdown), ROW(len),
    ROW(is_empty), ROW(snapshot), ROW(task_self), ROW(task_retain), ROW(task_release), ROW(task_id),
    ROW(task_name), ROW(task_kind), ROW(task_phase), ROW(task_data), ROW(task_set_data),
    ROW(task_set_message_lossy), ROW(task_is_cancelled), ROW(task_cancel_flag),
    ROW(task_cancel), ROW(task_set_message), ROW(task_wait), ROW(sleep), ROW(sleep_for_ever),
    ROW(strerror), ROW(error_detail), ROW(version), ROW(names), ROW(wait_cancelled), ROW(wait_fd), ROW(token_fd),
    ROW(task_fd), ROW(token_on_cancel), ROW(task_on_cancel), ROW(off_cancel), ROW(shutdown_with),
    ROW(checkpoint), ROW(label), ROW(kind_set_name), ROW(progress), ROW(heartbeat), ROW(health), ROW(explain), ROW(explain_with), ROW(report_release),
    ROW(report_counts), ROW(report_straggler), ROW(report_slowest), ROW(report_phase), ROW(report_thread),
    ROW(report_write),
    ROW(snapshot_write), ROW(metrics_write), ROW(metrics_write_all), ROW(metrics_read), ROW(recent), ROW(enable_backtraces),
    ROW(systemd_start), ROW(systemd_stop), ROW(quiesce), ROW(diagnosis_name), ROW(signal_watch_start), ROW(signal_watch_stop),
    ROW(signal_watch_move), ROW(signal_watch_pending), ROW(initialisers), ROW(reports), ROW(named_waits), ROW(signal_array), ROW(buffers),
    ROW(exit_by), ROW(exit_by_cancel), ROW(run),
    ROW(token_child_with_timeout), ROW(token_create_with_timeout), ROW(token_abort), ROW(token_stop_level),
    ROW(token_wait_any), ROW(registry_close), ROW(registry_is_closed), ROW(task_stop_level), ROW(task_abort),
    ROW(task_token), ROW(begin_drain), ROW(shield), ROW(acknowledge_cancel), ROW(install_cancel_signal),
    ROW(request_shutdown), ROW(heartbeat_promise), ROW(abort_fds), ROW(registrations), ROW(condition_waits),
#undef ROW
};
enum {
  FORKED_CALLS = sizeof forked_calls / sizeof *forked_calls,
  FIRST_CALL = 10 /* the exit status of a child in which the first is wrong */
};

struct forked_one {
  struct at_fork *at;
  const struct forked_call *call;
};

static void make_forked_call(void *argument) {
  struct forked_one *one = argument;
  if (!one->call->is_right(one->at)) _exit(3);
  if (!one->call->is_right(one->at)) _exit(4); /* and the same when asked again */
}

static void make_all_forked_calls(void *argument) {
  for (int i = 0; i < FORKED_CALLS; i++)
    if (!forked_calls[i].is_right(argument)) _exit(FIRST_CALL + i);
}

/* Proves: in a child of fork each function returns what the header says, TR_ERR_FORKED, NULL, 0
   or nothing, at once, with tasks alive and asleep in the parent, and writes no output; the
   parent continues as before (P1, P4). Why it matters: the child has one thread and every lock
   as it was; only a library that touches nothing cannot hang there. Catches: any function
   without the check. */
CASE(every_call_in_a_fork_child_is_rejected) {
  struct gate deaf = GATE_INIT, asleep = GATE_INIT;
  struct at_fork at = {NULL, registry_new(), NULL, NULL};
  at.token = tr_token_create();
  at.task = spawn(at.registry, "deaf", body_deaf, &deaf);
  tr_task *sleeper = spawn(at.registry, "asleep", body_obeys, &asleep);
  gate_await(&deaf, 1);
  gate_await(&asleep, 1);
  CHECK_EQ(TR_OK, tr_explain(at.registry, &at.full));
  struct join_call call;
  join_begin_asleep(&call, at.registry, FOREVER);
  for (int i = 0; i < FORKED_CALLS; i++) {
    struct forked_one one = {&at, &forked_calls[i]};
    int status = status_of_child(make_forked_call, &one);
    CHECK_MSG(!(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM), "%s hangs in a child",
              forked_calls[i].name);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s in a child: status 0x%x",
              forked_calls[i].name, (unsigned)status);
  }
  tr_straggler straggler = TR_STRAGGLER_INIT; /* the report is as it was */
  CHECK_EQ(TR_OK, tr_report_straggler(at.full, 1, &straggler));
  tr_report_release(at.full);
  CHECK_EQ(2, tr_len(at.registry));
  CHECK_EQ(0, tr_token_is_cancelled(at.token));
  CHECK_EQ(0, tr_task_is_cancelled(at.task));
  CHECK_EQ(TR_OK, tr_task_cancel(sleeper));
  gate_open(&deaf);
  join_end(&call);
  CHECK_EQ(TR_OK, call.status);
  wait_and_release(at.task);
  wait_and_release(sleeper);
  registry_finish(at.registry);
  tr_token_release(at.token);
}

struct hammer {
  struct at_fork *at;
  atomic_int *stop;
};

static void *hammer_library(void *argument) {
  struct hammer *hammer = argument;
  tr_task_summary list[32] = {TR_TASK_SUMMARY_INIT};
  while (!atomic_load(hammer->stop)) {
    size_t count;
    tr_task *task = NULL;
    if (tr_spawn(hammer->at->registry, "hammer", TR_KIND_RPC_HANDLER, body_returns, NULL, &task) ==
        TR_OK) {
      TR_IGNORE(tr_task_cancel(task));
      TR_IGNORE(tr_task_wait(task, 1 * MS, NULL));
      tr_task_release(task);
    }
    TR_IGNORE(tr_snapshot(hammer->at->registry, list, 32, &count));
    tr_token *child = tr_token_child(hammer->at->token);
    tr_token_cancel(child, TR_REASON_FATAL, "hammer");
    tr_token_release(child);
    tr_report *full = NULL;
    tr_join_report report = TR_JOIN_REPORT_INIT;
    report.full = &full;
    TR_IGNORE(tr_join_all(hammer->at->registry, 0, &report));
    tr_report_release(full);
    tr_metrics metrics = TR_METRICS_INIT;
    TR_IGNORE(tr_metrics_read(hammer->at->registry, 0, &metrics));
    TR_IGNORE(tr_health(hammer->at->registry, NULL, 0, NULL));
  }
  return NULL;
}

/* As above, and then the end without a leak check: memory that other threads were using at the
   moment of the fork is lost to the child, which is not a defect. */
static void make_all_forked_calls_and_vanish(void *argument) {
  make_all_forked_calls(argument);
  raise(SIGKILL);
}

/* Proves: the same when other threads are in the middle of every call at the moment of the fork, in
   200 forks (P1). Why it matters: a lock that is taken then is never released in the child.
   Catches: taking a lock before, or in, the check; an allocator call that can hang. */
CASE(fork_in_the_middle_of_everything_never_hangs) {
  struct gate deaf = GATE_INIT;
  struct at_fork at = {NULL, registry_new(), NULL, NULL};
  at.token = tr_token_create();
  at.task = spawn(at.registry, "deaf", body_deaf, &deaf);
  CHECK_EQ(TR_OK, tr_explain(at.registry, &at.full));
  atomic_int stop = 0;
  struct hammer hammer = {&at, &stop};
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = thread_start(hammer_library, &hammer);
  for (int round = 0; round < check_rounds(200); round++) {
    int status = status_of_child(make_all_forked_calls_and_vanish, &at);
    CHECK_MSG(!(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM), "the child hung");
    int which = WIFEXITED(status) ? WEXITSTATUS(status) - FIRST_CALL : FORKED_CALLS;
    CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s is wrong, status 0x%x",
              which >= 0 && which < FORKED_CALLS ? forked_calls[which].name : "?",
              (unsigned)status);
  }
  atomic_store(&stop, 1);
  for (int i = 0; i < 3; i++) thread_end(threads[i]);
  tr_report_release(at.full);
  gate_open(&deaf);
  wait_and_release(at.task);
  registry_finish(at.registry);
  tr_token_release(at.token);
}

static void in_grandchild(void *argument) {
  make_all_forked_calls(argument);
  int status = status_of_child(make_all_forked_calls, argument);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) _exit(5);
}

/* Proves: the calls of a child's child fail as well (P1). Why it matters: daemons fork twice.
   Catches: a check that compares with the parent's process id. */
CASE(grandchild_is_rejected_too) {
  struct gate deaf = GATE_INIT;
  struct at_fork at = {NULL, registry_new(), NULL, NULL};
  at.token = tr_token_create();
  at.task = spawn(at.registry, "deaf", body_deaf, &deaf);
  CHECK_EQ(TR_OK, tr_explain(at.registry, &at.full));
  CHECK_EXITED(0, status_of_child(in_grandchild, &at));
  tr_report_release(at.full);
  gate_open(&deaf);
  wait_and_release(at.task);
  registry_finish(at.registry);
  tr_token_release(at.token);
}

enum leave { LEAVE_AT_ONCE, LEAVE_BY_RETURN, LEAVE_BY_PTHREAD_EXIT, LEAVE_BY_EXIT, LEAVES };

struct forking {
  enum leave leave;
  int status;
  atomic_int drops;
};

static void drop_of_forking(void *ctx) { atomic_fetch_add(&((struct forking *)ctx)->drops, 1); }

static int body_forks(tr_task *self, void *ctx) {
  struct forking *forking = ctx;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    if (tr_task_self() != NULL || tr_sleep(FOREVER) != TR_ERR_FORKED) _exit(3);
    if (tr_task_is_cancelled(self) != 0 || tr_task_cancel(self) != TR_ERR_FORKED) _exit(4);
    if (tr_checkpoint("child") != TR_ERR_FORKED || tr_heartbeat() != TR_ERR_FORKED) _exit(5);
#ifdef CHECK_UNDER_TSAN
    _exit(0); /* its runtime cannot end a thread in a child */
#endif
    if (forking->leave == LEAVE_AT_ONCE) _exit(0);
    if (forking->leave == LEAVE_BY_PTHREAD_EXIT) pthread_exit(NULL);
    if (forking->leave == LEAVE_BY_EXIT) exit(0);
    return 0;
  }
  while (waitpid(child, &forking->status, 0) < 0) CHECK(errno == EINTR);
  CHECK(tr_task_self() == self);
  return 0;
}

/* Proves: a task may fork; in the child it is not a task any more, and whichever way the child
   leaves, by _exit, by returning from the body, by pthread_exit or by exit, it ends and does not
   hang; in the parent the task ends as usual (P1, P2). Why it matters: tasks start programs.
   Catches: finishing the parent's task in the child, which waits for locks that no thread will
   release. */
CASE(a_task_may_fork) {
  tr_registry *registry = registry_new();
  for (enum leave leave = LEAVE_AT_ONCE; leave < LEAVES; leave++) {
    struct forking forking = {leave, -1, 0};
    tr_task *task = spawn_drop(registry, "forks", body_forks, &forking, drop_of_forking, 0);
    CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
    CHECK_MSG(!(WIFSIGNALED(forking.status) && WTERMSIG(forking.status) == SIGALRM),
              "the child hung, leaving by %d", (int)leave);
    CHECK_MSG(WIFEXITED(forking.status) && WEXITSTATUS(forking.status) == 0,
              "status 0x%x, leaving by %d", (unsigned)forking.status, (int)leave);
    CHECK_EQ(1, atomic_load(&forking.drops));
    tr_task_release(task);
  }
  registry_finish(registry);
}

/* In a child of fork: become another program. */
static void run_another_program(const char *role) {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  if (length <= 0) _exit(126);
  path[length] = 0;
  execl(path, path, "--role", role, (char *)NULL);
  _exit(126);
}

/* The program that is run: it uses the library as if nothing had been before. */
static int role_executed(void) {
  alarm((unsigned)(10 * check_scale()));
  for (int fd = 3; fd < 50; fd++) {
    char target[64] = "", path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, target, sizeof target - 1) > 0) CHECK(strstr(target, "eventfd") == NULL);
  }
  CHECK(tr_task_self() == NULL);
  tr_registry *registry = registry_new();
  wait_and_release(spawn(registry, "in the program", body_returns, NULL));
  registry_finish(registry);
  return 7;
}

static int status_of_program(void) {
  int status;
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) run_another_program("executed");
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  return status;
}

static int body_runs_a_program(tr_task *self, void *ctx) {
  int fd = -1;
  CHECK_EQ(TR_OK, tr_task_fd(self, &fd));
  *(int *)ctx = status_of_program();
  CHECK(tr_task_self() == self);
  return 0;
}

/* Proves: fork and exec, from the program and from inside a task, with tasks alive, lead into a
   program that can use the library, with none of the descriptors, while the parent continues (P1,
   C6). Why it matters: services start programs. Catches: a descriptor without close-on-exec; a
   state of the child that exec does not end. */
CASE(a_child_may_run_another_program) {
  tr_registry *registry = registry_new();
  struct gate deaf = GATE_INIT;
  tr_task *alive = spawn(registry, "deaf", body_deaf, &deaf);
  int fd = -1;
  CHECK_EQ(TR_OK, tr_token_fd(tr_registry_token(registry), &fd));
  gate_await(&deaf, 1);
  for (int round = 0; round < 3; round++) {
    CHECK_EXITED(7, status_of_program());
    int status = -1;
    wait_and_release(spawn(registry, "starts it", body_runs_a_program, &status));
    CHECK_EXITED(7, status);
  }
  gate_open(&deaf);
  wait_and_release(alive);
  registry_finish(registry);
}

/* In a process of its own, which has not used the library yet. */
static int role_daemon(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm((unsigned)(10 * check_scale()));
    tr_registry *registry = registry_new();
    wait_and_release(spawn(registry, "in the daemon", body_returns, NULL));
    registry_finish(registry);
    _exit(0);
  }
  int status;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  CHECK_EXITED(0, status);
  return 0;
}

/* Proves: a process that forks before it first uses the library can use it in the child: it is a
   fork of a process that had the library loaded, not of one that used it (P1).  Why it matters:
   that is what every daemon does.  Catches: remembering the process id when the library is
   loaded. */
CASE(daemon_may_fork_before_first_use) { CHECK_EXITED(0, status_of_role("daemon", NULL)); }

static void *spawn_fresh_threads(void *argument) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_FRESH_THREAD;
  for (int i = 0; i < check_rounds(300); i++) {
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_with(argument, "fresh", TR_KIND_RPC_HANDLER, body_returns, NULL,
                                  i % 3 ? &options : NULL, &task));
    if (i % 2) CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    tr_task_release(task);
  }
  return NULL;
}

/* In a process of its own, which has not used the library yet. */
static int role_many_keys(void) {
  for (int i = 0; i < 40; i++) {
    pthread_key_t key;
    CHECK_EQ(0, pthread_key_create(&key, NULL));
  }
  int before = thread_baseline();
  tr_registry *registry = registry_new();
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) threads[i] = thread_start(spawn_fresh_threads, registry);
  for (int i = 0; i < 4; i++) thread_end(threads[i]);
  registry_finish(registry);
  threads_settle(before, 20 * SECOND * check_scale());
  return 0;
}

/* Proves: in a program that has 40 keys for thread-specific data before it first uses the library,
   where the creator waits until a new thread has started, tasks start, end and are joined as usual,
   even those that end before their creator has checked (S6, G4). Why it matters: the creator must
   not take the next thread's word for this one's. Catches: a word left where the worker's next
   creator finds it; a wake-up that is lost. */
CASE(many_keys_make_no_difference) { CHECK_EXITED(0, status_of_role("many-keys", NULL)); }

/* ---- exit ---------------------------------------------------------------------------------- */

static struct gate never_opened = GATE_INIT;
static atomic_int spinning;

static int body_spins(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  atomic_store(&spinning, 1);
  while (atomic_load(&spinning)) sched_yield(); /* indefinitely */
  return 0;
}

static int body_exits_the_process(tr_task *self, void *ctx) {
  (void)self;
  gate_pass(ctx);
  exit(7);
}

static void *shut_down_for_ever(void *argument) {
  TR_IGNORE(tr_shutdown(argument, TR_REASON_FATAL, NULL, FOREVER, NULL));
  return NULL;
}

/* A registry full of tasks that do not end: ignoring their flags, spinning, asleep in the
   library. */
static tr_registry *busy_registry(void) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 5; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_RPC_HANDLER, body_deaf, &never_opened,
                             NULL));
  CHECK_EQ(TR_OK, tr_spawn(registry, "spins", TR_KIND_MAINTENANCE, body_spins, NULL, NULL));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_CLEANUP; /* sleeps on when the token is cancelled */
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "sleeps", TR_KIND_BACKGROUND_LOOP, body_obeys, NULL,
                                &options, NULL));
  gate_await(&never_opened, 5);
  while (!atomic_load(&spinning)) sched_yield();
  return registry;
}

static tr_registry *kept; /* reachable at exit: no leak, but a living registry */

static int role_exit(void) {
  kept = busy_registry();
  exit(7);
}

static int role_return(void) {
  kept = busy_registry();
  return 7;
}

static int role_exit_released(void) {
  tr_registry *registry = busy_registry();
  tr_registry_release(registry);
  exit(7);
}

static int role_exit_while_joining(void) {
  kept = busy_registry();
  struct join_call call;
  join_begin_asleep(&call, kept, FOREVER);
  thread_start(shut_down_for_ever, kept);
  while (!tr_token_is_cancelled(tr_registry_token(kept))) sched_yield();
  exit(7);
}

static int role_exit_in_task(void) {
  kept = busy_registry();
  static struct gate gate = GATE_INIT;
  CHECK_EQ(TR_OK, tr_spawn(kept, "exits", TR_KIND_RPC_HANDLER, body_exits_the_process, &gate,
                           NULL));
  gate_open(&gate);
  TR_IGNORE(tr_join_all(kept, FOREVER, NULL));
  return 1;
}

static int role_exit_after_deadline(void) {
  kept = busy_registry();
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(kept, TR_REASON_FATAL, NULL, 1 * MS, NULL));
  exit(7);
}

static int role_vanish(void) {
  kept = busy_registry();
  _exit(7);
}

static int body_vanishes(tr_task *self, void *ctx) {
  (void)self;
  gate_pass(ctx);
  _exit(7);
}

static int role_vanish_in_task(void) {
  kept = busy_registry();
  static struct gate gate = GATE_INIT;
  CHECK_EQ(TR_OK, tr_spawn(kept, "vanishes", TR_KIND_RPC_HANDLER, body_vanishes, &gate, NULL));
  gate_open(&gate);
  TR_IGNORE(tr_join_all(kept, FOREVER, NULL));
  return 1;
}

static int role_quick_exit(void) {
  kept = busy_registry();
  quick_exit(7);
}

static const struct role roles[] = {{"daemon", role_daemon},
             {"many-keys", role_many_keys},
             {"exit", role_exit},
             {"return", role_return},
             {"exit-released", role_exit_released},
             {"exit-while-joining", role_exit_while_joining},
             {"exit-in-task", role_exit_in_task},
             {"exit-after-deadline", role_exit_after_deadline},
             {"vanish", role_vanish},
             {"vanish-in-task", role_vanish_in_task},
             {"quick-exit", role_quick_exit},
             {"executed", role_executed}};
enum { ROLES = sizeof roles / sizeof *roles };

/* Proves: exit, _exit, quick_exit and a return from main end the process at once with the right
   status while tasks ignore their flags, spin and sleep, while others join and shut down, from
   inside a task, after a failed shutdown, and with the registry released (P2). Why it matters: a
   service that cannot exit is killed. Catches: a destructor or atexit handler that joins or takes a
   lock. */
CASE(exit_ends_the_process_whatever_runs) {
  for (int i = 2; i < ROLES; i++) { /* all but the first two, which exit with 0 */
    int64_t start = now_ns();
    int status = status_of_role(roles[i].name, NULL);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 7, "role %s: status 0x%x", roles[i].name,
              (unsigned)status);
    CHECK_BETWEEN_NS(0, 5 * SECOND * check_scale(), now_ns() - start);
  }
}

static const struct check_case cases[] = {
    CHECK_ENTRY(every_call_in_a_fork_child_is_rejected),
    CHECK_ENTRY(fork_in_the_middle_of_everything_never_hangs),
    CHECK_ENTRY(grandchild_is_rejected_too),
    CHECK_ENTRY(a_task_may_fork),
    CHECK_ENTRY(a_child_may_run_another_program),
    CHECK_ENTRY(daemon_may_fork_before_first_use),
    CHECK_ENTRY(many_keys_make_no_difference),
    CHECK_ENTRY(exit_ends_the_process_whatever_runs),
};

int main(int argc, char **argv) {
  return roles_main(argc, argv, roles, ROLES, cases, sizeof cases / sizeof *cases);
}
