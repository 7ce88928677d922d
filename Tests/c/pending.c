/* pending.c - each function of the library, called by a thread that was cancelled with
   pthread_cancel (C4).

   pending.inc is made when the build is configured: one line FUNCTION(name) for each function that
   is exported, which are those of taskreg.h. One without a call_name here is a build that fails, so
   that a new function is tested automatically.

   The calls must not use cancellation points of their own, such as printf or sem_wait: the thread
   would end there. They return the line of the failed check, or 0. */

#include "support.h"

#include <poll.h>
#include <sys/syscall.h>

/* The objects that the calls use; created for each. */
struct at_hand {
  tr_token *token;
  tr_registry *registry;
  tr_task *task; /* sleeps until it is asked to stop */
  int null_fd;
};

#define EXPECT(condition)                                                                          \
  do {                                                                                             \
    if (!(condition)) return __LINE__;                                                             \
  } while (0)

#define CALL(name) static int call_##name(struct at_hand *at)

/* A call of which only the result is checked. */
#define ANSWERS(name, condition)                                                                   \
  CALL(name) {                                                                                     \
    (void)at;                                                                                      \
    EXPECT(condition);                                                                             \
    return 0;                                                                                      \
  }

static int is_readable(int fd) {
  struct pollfd event = {fd, POLLIN, 0};
  /* ppoll(2) by syscall(2), which is not a cancellation point. */
  struct timespec none = {0, 0};
  return syscall(SYS_ppoll, &event, 1, &none, NULL, (size_t)8) == 1 && event.revents == POLLIN;
}

static void calls_back(void *ctx) {
  pthread_testcancel(); /* as printf is */
  atomic_fetch_add((atomic_int *)ctx, 1);
}

static void log_calls_back(void *context, const tr_log_event *event) {
  (void)event;
  calls_back(context);
}

ANSWERS(tr_strerror, tr_strerror(TR_OK) != NULL)
ANSWERS(tr_error_detail, tr_error_detail() != NULL)
ANSWERS(tr_version, tr_version() != 0)
ANSWERS(tr_kind_name, tr_kind_name(1) != NULL)
ANSWERS(tr_state_name, tr_state_name(1) != NULL)
ANSWERS(tr_reason_name, tr_reason_name(1) != NULL)
ANSWERS(tr_event_name, tr_event_name(1) != NULL)
ANSWERS(tr_ended_name, tr_ended_name(1) != NULL)
ANSWERS(tr_diagnosis_name, tr_diagnosis_name(1) != NULL)
ANSWERS(tr_reason_is_graceful, tr_reason_is_graceful(TR_REASON_NONE) == 1)

CALL(tr_token_create) {
  (void)at;
  tr_token *token = tr_token_create();
  EXPECT(token != NULL);
  tr_token_release(token);
  return 0;
}
CALL(tr_token_child) {
  tr_token *child = tr_token_child(at->token);
  EXPECT(child != NULL);
  tr_token_release(child);
  return 0;
}
CALL(tr_token_child_with_timeout) {
  tr_token *child = tr_token_child_with_timeout(at->token, 1 * MS);
  EXPECT(child != NULL && tr_token_wait(child, AT_ONCE) == TR_OK);
  tr_token_release(child);
  return 0;
}
CALL(tr_token_retain) {
  EXPECT(tr_token_retain(at->token) == at->token);
  tr_token_release(at->token);
  return 0;
}
/* With a descriptor, which the last release closes. */
CALL(tr_token_release) {
  int fd = -1;
  tr_token *child = tr_token_child(at->token);
  EXPECT(tr_token_fd(child, &fd) == TR_OK);
  tr_token_release(child);
  EXPECT(fcntl(fd, F_GETFD) < 0);
  return 0;
}
/* With descriptors to raise and callbacks to call, in the token and in its descendants. */
CALL(tr_token_cancel) {
  int above = -1, below = -1, of_task = -1;
  atomic_int calls = 0;
  tr_token *child = tr_token_child(at->token);
  tr_registration *first = NULL, *second = NULL;
  EXPECT(tr_token_fd(at->token, &above) == TR_OK && tr_token_fd(child, &below) == TR_OK);
  EXPECT(tr_task_fd(at->task, &of_task) == TR_OK);
  EXPECT(tr_token_on_cancel(at->token, calls_back, &calls, calls_back, &first) == TR_OK);
  EXPECT(tr_task_on_cancel(at->task, calls_back, &calls, calls_back, &second) == TR_OK);
  EXPECT(tr_token_cancel(at->token, TR_REASON_FATAL, "m") == 1);
  EXPECT(tr_token_cancel(at->token, TR_REASON_FATAL, "m") == 0);
  EXPECT(tr_token_is_cancelled(child) && tr_task_is_cancelled(at->task));
  EXPECT(is_readable(above) && is_readable(below) && is_readable(of_task));
  EXPECT(calls == 4);
  tr_registration_remove(first);
  tr_registration_remove(second);
  tr_token_release(child);
  return 0;
}
ANSWERS(tr_token_is_cancelled, tr_token_is_cancelled(at->token) == 0)
ANSWERS(tr_token_reason, tr_token_reason(at->token) == TR_REASON_NONE)
ANSWERS(tr_token_message, tr_token_message(at->token, NULL, 0) == 0)
ANSWERS(tr_token_wait, tr_token_wait(at->token, 5 * MS) == TR_ERR_TIMEDOUT)
CALL(tr_token_fd) {
  int fd = -1;
  EXPECT(tr_token_fd(at->token, &fd) == TR_OK && !is_readable(fd));
  return 0;
}
CALL(tr_token_on_cancel) {
  atomic_int calls = 0;
  tr_registration *registration = NULL;
  tr_token_cancel(at->token, TR_REASON_FATAL, NULL);
  EXPECT(tr_token_on_cancel(at->token, calls_back, &calls, calls_back, &registration) ==
         TR_ERR_CANCELLED);
  EXPECT(calls == 2);
  return 0;
}
CALL(tr_task_on_cancel) {
  atomic_int calls = 0;
  tr_registration *registration = NULL;
  TR_IGNORE(tr_task_cancel(at->task));
  EXPECT(tr_task_on_cancel(at->task, calls_back, &calls, calls_back, &registration) ==
         TR_ERR_CANCELLED);
  EXPECT(calls == 2);
  return 0;
}
CALL(tr_registration_remove) {
  atomic_int calls = 0;
  tr_registration *registration = NULL;
  EXPECT(tr_token_on_cancel(at->token, calls_back, &calls, calls_back, &registration) == TR_OK);
  tr_registration_remove(registration);
  EXPECT(calls == 1); /* the drop */
  return 0;
}

CALL(tr_registry_create) {
  (void)at;
  tr_registry *registry = NULL;
  EXPECT(create_registry(NULL, &registry) == TR_OK);
  tr_registry_release(registry);
  return 0;
}
CALL(tr_registry_child) {
  tr_registry *group = NULL;
  EXPECT(tr_registry_child(at->registry, "group", NULL, &group) == TR_OK);
  EXPECT(shutdown_fully(group, TR_REASON_NONE, NULL, FOREVER, NULL) == TR_OK);
  tr_registry_release(group);
  return 0;
}
CALL(tr_registry_retain) {
  EXPECT(tr_registry_retain(at->registry) == at->registry);
  tr_registry_release(at->registry);
  return 0;
}
/* With a thread that the release leaves to itself. */
CALL(tr_registry_release) {
  (void)at;
  tr_registry *registry = NULL;
  EXPECT(create_registry(NULL, &registry) == TR_OK);
  EXPECT(tr_spawn(registry, "n", TR_KIND_MAINTENANCE, body_returns, NULL, NULL) == TR_OK);
  EXPECT(tr_join_all(registry, FOREVER, NULL) == TR_OK);
  tr_registry_release(registry);
  return 0;
}
ANSWERS(tr_registry_token, tr_registry_token(at->registry) == at->token)
CALL(tr_spawn) {
  tr_task *task = NULL;
  EXPECT(tr_spawn(at->registry, "n", TR_KIND_MAINTENANCE, body_returns, NULL, &task) == TR_OK);
  EXPECT(tr_task_wait(task, FOREVER, NULL) == TR_OK);
  tr_task_release(task);
  return 0;
}
/* A rejected spawn, whose log callback has a cancellation point. */
CALL(tr_spawn_with) {
  (void)at;
  atomic_int calls = 0;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.max_tasks = 1;
  options.log = log_calls_back;
  options.log_context = &calls;
  tr_registry *registry = NULL;
  EXPECT(create_registry(&options, &registry) == TR_OK);
  EXPECT(tr_spawn(registry, "n", TR_KIND_MAINTENANCE, body_obeys, NULL, NULL) == TR_OK);
  tr_spawn_options spawning = TR_SPAWN_OPTIONS_INIT;
  EXPECT(tr_spawn_with(registry, "n", TR_KIND_MAINTENANCE, body_never, NULL, &spawning, NULL) ==
         TR_ERR_LIMIT);
  EXPECT(calls == 1);
  EXPECT(shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL) == TR_OK);
  tr_registry_release(registry);
  return 0;
}
CALL(tr_wait_room) {
  EXPECT(tr_wait_room(at->registry, FOREVER) == TR_OK);
  EXPECT(tr_registry_set_max_tasks(at->registry, 1) == TR_OK);
  EXPECT(tr_wait_room(at->registry, 5 * MS) == TR_ERR_TIMEDOUT);
  return 0;
}
CALL(tr_wait_fds) {
  struct pollfd both[2] = {{at->null_fd, POLLIN, 0}, {-1, POLLIN, 0}};
  EXPECT(tr_wait_fds(both, 2, FOREVER) == TR_OK && both[0].revents == POLLIN);
  EXPECT(tr_wait_fds(both + 1, 1, 5 * MS) == TR_ERR_TIMEDOUT);
  return 0;
}
/* Its run begins, is paused and ends; what follows rests and is ended, with drop and log. */
CALL(tr_spawn_every) {
  tr_schedule schedule = TR_SCHEDULE_INIT;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  atomic_int drops = 0;
  tr_task *task = NULL;
  schedule.period_ns = MS;
  options.drop = drop_counts;
  EXPECT(tr_spawn_every(at->registry, "n", TR_KIND_MAINTENANCE, body_returns, &drops, &schedule, &options, &task) == TR_OK);
  EXPECT(tr_task_trigger(task) == TR_OK && tr_task_pause(task) == TR_OK && tr_task_resume(task) == TR_OK);
  EXPECT(tr_task_set_period(task, SECOND) == TR_OK && tr_task_cancel(task) == TR_OK);
  EXPECT(tr_task_wait(task, FOREVER, NULL) == TR_OK && drops == 1);
  tr_task_release(task);
  return 0;
}
ANSWERS(tr_task_trigger, tr_task_trigger(at->task) == TR_ERR_INVALID)
ANSWERS(tr_task_pause, tr_task_pause(at->task) == TR_ERR_INVALID)
ANSWERS(tr_task_resume, tr_task_resume(at->task) == TR_ERR_INVALID)
ANSWERS(tr_task_set_period, tr_task_set_period(at->task, MS) == TR_ERR_INVALID)
ANSWERS(tr_registry_set_max_tasks, tr_registry_set_max_tasks(at->registry, 7) == TR_OK)
/* Run in a task, and in a thread that is none. */
CALL(tr_adopt) {
  int is_task = tr_task_self() != NULL;
  EXPECT(tr_adopt(at->registry, "n", TR_KIND_MAINTENANCE, NULL, NULL) == (is_task ? TR_ERR_INVALID : TR_OK));
  if (!is_task) EXPECT(tr_leave() == TR_OK);
  return 0;
}
CALL(tr_leave) {
  tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
  options.heartbeat_ns = 60 * SECOND;
  int is_task = tr_task_self() != NULL;
  if (!is_task) EXPECT(tr_adopt(at->registry, "n", TR_KIND_MAINTENANCE, &options, NULL) == TR_OK);
  EXPECT(tr_leave() == (is_task ? TR_ERR_INVALID : TR_OK));
  return 0;
}
/* A failure, whose log callback has a cancellation point. */
CALL(tr_leave_with) {
  (void)at;
  if (tr_task_self() != NULL) return 0;
  atomic_int calls = 0;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_calls_back;
  options.log_context = &calls;
  tr_registry *registry = NULL;
  EXPECT(create_registry(&options, &registry) == TR_OK);
  EXPECT(tr_adopt(registry, "n", TR_KIND_MAINTENANCE, NULL, NULL) == TR_OK);
  EXPECT(tr_leave_with(1) == TR_OK && calls == 1);
  EXPECT(shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL) == TR_OK);
  tr_registry_release(registry);
  return 0;
}
ANSWERS(tr_len, tr_len(at->registry) == 1)
ANSWERS(tr_is_empty, tr_is_empty(at->registry) == 0)
CALL(tr_snapshot) {
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  EXPECT(tr_snapshot(at->registry, &summary, 1, &count) == TR_OK && count == 1);
  return 0;
}
/* With a straggler, and a report that examines it. */
CALL(tr_join_all) {
  tr_report *full = NULL;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.full = &full;
  struct gate gate = GATE_INIT;
  EXPECT(tr_spawn(at->registry, "deaf", TR_KIND_MAINTENANCE, body_deaf, &gate, NULL) == TR_OK);
  EXPECT(tr_join_all(at->registry, 20 * MS, &report) == TR_ERR_DEADLINE);
  EXPECT(report.pending == 2 && full != NULL);
  tr_report_release(full);
  gate_open(&gate);
  EXPECT(tr_join_all(at->registry, FOREVER, NULL) == TR_OK);
  return 0;
}
/* It times out, and then all have ended. */
CALL(tr_registry_wait) {
  EXPECT(tr_registry_wait(at->registry, 1 * MS) == TR_ERR_TIMEDOUT);
  EXPECT(tr_task_cancel(at->task) == TR_OK);
  EXPECT(tr_registry_wait(at->registry, FOREVER) == TR_OK);
  return 0;
}
CALL(tr_shutdown) {
  EXPECT(shutdown_fully(at->registry, TR_REASON_NONE, "m", FOREVER, NULL) == TR_OK);
  EXPECT(tr_is_empty(at->registry));
  return 0;
}
CALL(tr_shutdown_with) {
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  EXPECT(tr_shutdown_with(at->registry, TR_REASON_NONE, "m", FOREVER, &options, &report) == TR_OK);
  EXPECT(report.ended == 1 && report.threads_left == 0);
  return 0;
}

CALL(tr_join_all_report) {
  tr_report *report = NULL;
  EXPECT(tr_task_cancel(at->task) == TR_OK);
  EXPECT(tr_join_all_report(at->registry, FOREVER, &report) == TR_OK);
  tr_report_release(report);
  return 0;
}
CALL(tr_shutdown_report) {
  tr_report *report = NULL;
  tr_status status = tr_shutdown_report(at->registry, TR_REASON_NONE, "m", FOREVER, NULL, &report);
  EXPECT((status == TR_OK || status == TR_ERR_DEADLINE) && tr_is_empty(at->registry));
  tr_report_release(report);
  return 0;
}
CALL(tr_task_self) {
  (void)at;
  (void)tr_task_self();
  return 0;
}
CALL(tr_task_retain) {
  EXPECT(tr_task_retain(at->task) == at->task);
  tr_task_release(at->task);
  return 0;
}
/* The last handle of a task that has a descriptor. */
CALL(tr_task_release) {
  int fd = -1;
  tr_task *task = NULL;
  EXPECT(tr_spawn(at->registry, "n", TR_KIND_MAINTENANCE, body_returns, NULL, &task) == TR_OK);
  EXPECT(tr_task_fd(task, &fd) == TR_OK && tr_task_wait(task, FOREVER, NULL) == TR_OK);
  tr_task_release(task);
  EXPECT(fcntl(fd, F_GETFD) < 0);
  return 0;
}
ANSWERS(tr_task_id, tr_task_id(at->task) != 0)
ANSWERS(tr_task_name, tr_task_name(at->task, NULL, 0) == 7)
ANSWERS(tr_task_kind, tr_task_kind(at->task) == TR_KIND_BACKGROUND_LOOP)
ANSWERS(tr_task_phase, tr_task_phase(at->task) == 0)
ANSWERS(tr_task_data, tr_task_data(at->task) == NULL)
CALL(tr_task_set_data) {
  (void)at;
  EXPECT(tr_task_set_data(tr_task_self(), NULL) ==
         (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
ANSWERS(tr_task_is_cancelled, tr_task_is_cancelled(at->task) == 0)
ANSWERS(tr_task_cancel_flag, tr_task_cancel_flag(at->task) != NULL)
CALL(tr_task_cancel) {
  int fd = -1;
  atomic_int calls = 0;
  tr_registration *registration = NULL;
  EXPECT(tr_task_fd(at->task, &fd) == TR_OK);
  EXPECT(tr_task_on_cancel(at->task, calls_back, &calls, NULL, &registration) == TR_OK);
  EXPECT(tr_task_cancel(at->task) == TR_OK && is_readable(fd) && calls == 1);
  EXPECT(tr_task_wait(at->task, FOREVER, NULL) == TR_OK);
  tr_registration_remove(registration);
  return 0;
}
CALL(tr_task_set_message_lossy) {
  (void)at;
  EXPECT(tr_task_set_message_lossy(tr_task_self(), "m") ==
         (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_task_set_message) {
  (void)at;
  EXPECT(tr_task_set_message(tr_task_self(), "m") ==
         (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_task_wait) {
  EXPECT(tr_task_wait(at->task, 5 * MS, NULL) == TR_ERR_TIMEDOUT);
  return 0;
}
CALL(tr_task_fd) {
  int fd = -1;
  EXPECT(tr_task_fd(at->task, &fd) == TR_OK && !is_readable(fd));
  return 0;
}
ANSWERS(tr_sleep, tr_sleep(5 * MS) == TR_OK)
/* On a thread that is not the task's: each polls. */
ANSWERS(tr_task_sleep, tr_task_sleep(at->task, 1 * MS) == TR_OK)
ANSWERS(tr_task_wait_cancelled, tr_task_wait_cancelled(at->task, 1 * MS) == TR_ERR_TIMEDOUT)
CALL(tr_task_wait_fd) {
  int fd = -1;
  EXPECT(tr_token_fd(at->token, &fd) == TR_OK);
  EXPECT(tr_task_wait_fd(at->task, fd, POLLIN, 1 * MS) == TR_ERR_TIMEDOUT);
  EXPECT(tr_task_cancel(at->task) == TR_OK);
  EXPECT(tr_task_wait_fd(at->task, fd, POLLIN, FOREVER) == TR_ERR_CANCELLED);
  return 0;
}
CALL(tr_signal_watch_start_array) {
  const int signals[] = {SIGUSR1, SIGUSR2};
  EXPECT(tr_signal_watch_start_array(at->registry, signals, 2, NULL) == TR_OK);
  EXPECT(tr_signal_watch_stop(at->registry) == TR_OK);
  return 0;
}

CALL(tr_signal_watch_start) {
  EXPECT(tr_signal_watch_start(at->registry, NULL, NULL) == TR_OK);
  EXPECT(tr_signal_watch_stop(at->registry) == TR_OK);
  return 0;
}
CALL(tr_signal_watch_stop) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  EXPECT(tr_signal_watch_start(at->registry, &set, NULL) == TR_OK);
  EXPECT(kill(getpid(), SIGUSR1) == 0);
  EXPECT(tr_token_wait(at->token, FOREVER) == TR_OK);
  EXPECT(tr_signal_watch_stop(at->registry) == TR_OK);
  return 0;
}
CALL(tr_signal_watch_move) {
  tr_registry *other = NULL;
  EXPECT(create_registry(NULL, &other) == TR_OK);
  EXPECT(tr_signal_watch_start(at->registry, NULL, NULL) == TR_OK);
  EXPECT(tr_signal_watch_move(at->registry, other) == TR_OK);
  EXPECT(tr_signal_watch_stop(other) == TR_OK);
  tr_registry_release(other);
  return 0;
}
ANSWERS(tr_signal_watch_pending, tr_signal_watch_pending() == 0)
CALL(tr_request_shutdown) {
  EXPECT(tr_signal_watch_start(at->registry, NULL, NULL) == TR_OK);
  EXPECT(tr_request_shutdown(at->token, TR_REASON_FATAL) == TR_OK);
  EXPECT(tr_token_wait(at->token, FOREVER) == TR_OK);
  EXPECT(tr_signal_watch_stop(at->registry) == TR_OK);
  return 0;
}

CALL(tr_wait_cancelled) {
  (void)at;
  EXPECT(tr_wait_cancelled(5 * MS) == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_ERR_TIMEDOUT));
  return 0;
}
CALL(tr_wait_fd) {
  int fd = -1;
  EXPECT(tr_token_fd(at->token, &fd) == TR_OK);
  EXPECT(tr_wait_fd(fd, POLLIN, 5 * MS) == TR_ERR_TIMEDOUT);
  tr_token_cancel(at->token, TR_REASON_NONE, NULL);
  EXPECT(tr_wait_fd(fd, POLLIN, FOREVER) == TR_OK);
  return 0;
}
CALL(tr_cond_wait) {
  (void)at;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  EXPECT(tr_cond_wait(&cond, &mutex, 5 * MS) == TR_ERR_TIMEDOUT);
  EXPECT(pthread_mutex_trylock(&mutex) == EBUSY);
  pthread_mutex_unlock(&mutex);
  return 0;
}
ANSWERS(tr_install_cancel_signal, tr_install_cancel_signal(SIGRTMIN + 1) == TR_OK)
CALL(tr_cond_wait_token) {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  EXPECT(tr_cond_wait_token(&cond, &mutex, at->token, 5 * MS) == TR_ERR_TIMEDOUT);
  EXPECT(pthread_mutex_trylock(&mutex) == EBUSY);
  EXPECT(tr_token_cancel(at->token, TR_REASON_NONE, NULL) == 1);
  EXPECT(tr_cond_wait_token(&cond, &mutex, at->token, FOREVER) == TR_ERR_CANCELLED);
  pthread_mutex_unlock(&mutex);
  return 0;
}
CALL(tr_token_create_with_timeout) {
  (void)at;
  tr_token *token = tr_token_create_with_timeout(1 * MS);
  EXPECT(token != NULL && tr_token_wait(token, AT_ONCE) == TR_OK);
  tr_token_release(token);
  return 0;
}
CALL(tr_token_abort) {
  atomic_int calls = 0;
  tr_registration *registration = NULL;
  EXPECT(tr_token_on_cancel(at->token, calls_back, &calls, NULL, &registration) == TR_OK);
  EXPECT(tr_token_abort(at->token, TR_REASON_FATAL, "m") == 1 && calls == 1);
  EXPECT(tr_task_stop_level(at->task) == TR_STOP_ABORT);
  tr_registration_remove(registration);
  return 0;
}
ANSWERS(tr_token_stop_level, tr_token_stop_level(at->token) == TR_STOP_NONE)
CALL(tr_token_wait_any) {
  tr_token *tokens[2] = {at->token, at->token};
  EXPECT(tr_token_wait_any(tokens, 2, 5 * MS, NULL) == TR_ERR_TIMEDOUT);
  return 0;
}
ANSWERS(tr_registry_close, tr_registry_close(at->registry) == TR_OK)
ANSWERS(tr_registry_is_closed, tr_registry_is_closed(at->registry) == 0)
ANSWERS(tr_task_stop_level, tr_task_stop_level(at->task) == TR_STOP_NONE)
CALL(tr_task_abort) {
  int fd = -1;
  atomic_int calls = 0;
  tr_registration *registration = NULL;
  EXPECT(tr_task_abort_fd(at->task, &fd) == TR_OK);
  EXPECT(tr_task_on_abort(at->task, calls_back, &calls, NULL, &registration) == TR_OK);
  EXPECT(tr_task_abort(at->task) == TR_OK && is_readable(fd) && calls == 1);
  EXPECT(tr_task_wait(at->task, FOREVER, NULL) == TR_OK);
  tr_registration_remove(registration);
  return 0;
}
CALL(tr_task_abort_fd) {
  int fd = -1;
  EXPECT(tr_task_abort_fd(at->task, &fd) == TR_OK && !is_readable(fd));
  return 0;
}
CALL(tr_task_on_abort) {
  atomic_int calls = 0;
  tr_registration *registration = NULL;
  TR_IGNORE(tr_task_abort(at->task));
  EXPECT(tr_task_on_abort(at->task, calls_back, &calls, calls_back, &registration) == TR_ERR_CANCELLED);
  EXPECT(calls == 2);
  return 0;
}
CALL(tr_task_on_end) {
  atomic_int calls = 0;
  EXPECT(tr_task_cancel(at->task) == TR_OK && tr_task_wait(at->task, FOREVER, NULL) == TR_OK);
  EXPECT(tr_task_on_end(at->task, calls_back, &calls, calls_back, NULL) == TR_OK);
  EXPECT(calls == 2);
  return 0;
}
CALL(tr_token_abort_fd) {
  int fd = -1;
  EXPECT(tr_token_abort_fd(at->token, &fd) == TR_OK && !is_readable(fd));
  return 0;
}
CALL(tr_token_on_abort) {
  atomic_int calls = 0;
  tr_registration *registration = NULL;
  EXPECT(tr_token_abort(at->token, TR_REASON_FATAL, NULL) == 1);
  EXPECT(tr_token_on_abort(at->token, calls_back, &calls, calls_back, &registration) == TR_ERR_CANCELLED);
  EXPECT(calls == 2);
  return 0;
}
CALL(tr_task_token) {
  (void)at;
  EXPECT((tr_task_token(tr_task_self()) == NULL) == (tr_task_self() == NULL));
  return 0;
}
CALL(tr_begin_drain) {
  (void)at;
  EXPECT(tr_begin_drain() == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_shield_begin) {
  (void)at;
  EXPECT(tr_shield_begin() == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_shield_end) {
  (void)at;
  TR_IGNORE(tr_shield_begin());
  EXPECT(tr_shield_end() == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_acknowledge_cancel) {
  (void)at;
  EXPECT(tr_acknowledge_cancel() == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}

CALL(tr_checkpoint) {
  (void)at;
  EXPECT(tr_checkpoint("m") == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_label) {
  (void)at;
  EXPECT(tr_label("m") == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_kind_set_name) {
  (void)at;
  EXPECT(tr_kind_set_name(TR_KIND_APPLICATION, "application") == TR_OK);
  return 0;
}
CALL(tr_progress) {
  (void)at;
  EXPECT(tr_progress(1, 2, "m") == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_heartbeat) {
  (void)at;
  EXPECT(tr_heartbeat() == (tr_task_self() == NULL ? TR_ERR_INVALID : TR_OK));
  return 0;
}
CALL(tr_heartbeat_promise) {
  EXPECT(tr_heartbeat_promise(at->registry, -1, 0) == TR_ERR_INVALID);
  if (tr_task_self() != NULL) return 0;
  EXPECT(tr_heartbeat_promise(at->registry, 3600 * SECOND, 0) == TR_OK);
  EXPECT(tr_heartbeat_promise(NULL, 0, 0) == TR_OK);
  return 0;
}
ANSWERS(tr_heartbeat_pause, tr_heartbeat_pause() == TR_ERR_INVALID)
ANSWERS(tr_heartbeat_resume, tr_heartbeat_resume() == TR_ERR_INVALID)
CALL(tr_health) {
  size_t count = 1;
  EXPECT(tr_health(at->registry, NULL, 0, &count) == TR_OK && count == 0);
  return 0;
}

static int explain(struct at_hand *at, tr_report **report) {
  EXPECT(tr_explain(at->registry, report) == TR_OK);
  return 0;
}
CALL(tr_explain_with) {
  tr_report *report = NULL;
  EXPECT(tr_explain_with(at->registry, TR_EXPLAIN_NO_BACKTRACES, &report) == TR_OK);
  tr_report_release(report);
  return 0;
}
CALL(tr_explain) {
  tr_report *report = NULL;
  int line = explain(at, &report);
  tr_report_release(report);
  return line;
}
CALL(tr_report_release) {
  tr_report *report = NULL;
  int line = explain(at, &report);
  tr_report_release(report);
  return line;
}
#define ABOUT_REPORT(name, expression)                                                             \
  CALL(name) {                                                                                     \
    tr_report *report = NULL;                                                                      \
    int line = explain(at, &report);                                                               \
    if (line == 0 && (expression)) line = __LINE__;                                                \
    tr_report_release(report);                                                                     \
    return line;                                                                                   \
  }
static tr_status counts_of(const tr_report *report) {
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  return tr_report_counts(report, &counts);
}
static tr_status straggler_of(const tr_report *report) {
  tr_straggler straggler = TR_STRAGGLER_INIT;
  return tr_report_straggler(report, 0, &straggler);
}
static tr_status slowest_of(const tr_report *report) {
  tr_ended_task task = TR_ENDED_TASK_INIT;
  return tr_report_slowest(report, 0, &task) == TR_ERR_INVALID ? TR_OK : TR_ERR_SYSTEM;
}
static tr_status phase_of(const tr_report *report) {
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  return tr_report_phase(report, 0, &phase) == TR_ERR_INVALID ? TR_OK : TR_ERR_SYSTEM;
}
ABOUT_REPORT(tr_report_counts, counts_of(report) != TR_OK)
ABOUT_REPORT(tr_report_straggler, straggler_of(report) != TR_OK)
ABOUT_REPORT(tr_report_slowest, slowest_of(report) != TR_OK)
ABOUT_REPORT(tr_report_phase, phase_of(report) != TR_OK)
static tr_status thread_of(const tr_report *report) {
  tr_thread_report thread = TR_THREAD_REPORT_INIT;
  return tr_report_thread(report, 0, &thread) == TR_ERR_INVALID ? TR_OK : TR_ERR_SYSTEM;
}
ABOUT_REPORT(tr_report_thread, thread_of(report) != TR_OK)
ABOUT_REPORT(tr_report_write, tr_report_write(report, at->null_fd, TR_FORMAT_TEXT) != TR_OK ||
                                  tr_report_write(report, at->null_fd, TR_FORMAT_JSON) != TR_OK)
CALL(tr_snapshot_write) {
  EXPECT(tr_snapshot_write(at->registry, at->null_fd, TR_FORMAT_TEXT) == TR_OK);
  /* A pipe without a reader: SIGPIPE is blocked, and taken. */
  int ends[2];
  EXPECT(pipe(ends) == 0);
  syscall(SYS_close, ends[0]);
  EXPECT(tr_snapshot_write(at->registry, ends[1], TR_FORMAT_JSON) == TR_ERR_SYSTEM && errno == EPIPE);
  syscall(SYS_close, ends[1]);
  return 0;
}
CALL(tr_report_write_buffer) {
  char text[4096];
  size_t length;
  tr_report *report = NULL;
  EXPECT(tr_explain(at->registry, &report) == TR_OK);
  EXPECT(tr_report_write_buffer(report, TR_FORMAT_JSON, text, sizeof text, &length) == TR_OK);
  tr_report_release(report);
  return 0;
}
CALL(tr_snapshot_write_buffer) {
  char text[4096];
  size_t length;
  EXPECT(tr_snapshot_write_buffer(at->registry, TR_FORMAT_TEXT, text, sizeof text, &length) == TR_OK);
  EXPECT(strlen(text) == length);
  return 0;
}
CALL(tr_metrics_write_buffer) {
  size_t length;
  EXPECT(tr_metrics_write_buffer(at->registry, TR_FORMAT_OPENMETRICS, NULL, 0, &length) == TR_OK && length > 0);
  return 0;
}
CALL(tr_metrics_write_all_buffer) {
  size_t length;
  tr_metrics_source source = TR_METRICS_SOURCE_INIT;
  source.registry = at->registry;
  EXPECT(tr_metrics_write_all_buffer(&source, 1, TR_FORMAT_OPENMETRICS, 0, NULL, 0, &length) == TR_OK && length > 0);
  return 0;
}
ANSWERS(tr_enable_backtraces, tr_enable_backtraces(SIGRTMIN + 3) == TR_OK)
CALL(tr_metrics_read) {
  tr_metrics metrics = TR_METRICS_INIT;
  EXPECT(tr_metrics_read(at->registry, 0, &metrics) == TR_OK && metrics.live == 1);
  return 0;
}
ANSWERS(tr_metrics_write, tr_metrics_write(at->registry, at->null_fd, TR_FORMAT_OPENMETRICS) == TR_OK)
CALL(tr_metrics_write_all) {
  tr_metrics_source source = TR_METRICS_SOURCE_INIT;
  source.registry = at->registry;
  EXPECT(tr_metrics_write_all(&source, 1, at->null_fd, TR_FORMAT_OPENMETRICS, 0) == TR_OK);
  return 0;
}
CALL(tr_recent) {
  tr_ended_task task = TR_ENDED_TASK_INIT;
  size_t count = 1;
  EXPECT(tr_recent(at->registry, &task, 1, &count) == TR_OK && count == 0);
  return 0;
}
static tr_status begin_systemd(struct at_hand *at) {
  tr_systemd_options options = TR_SYSTEMD_OPTIONS_INIT;
  options.socket = "@taskreg-test-nobody-listens";
  return tr_systemd_start(at->registry, &options);
}
/* There is no receiver: whatever the result, a socket was made, a datagram sent, and a descriptor
   closed. */
CALL(tr_systemd_start) {
  if (begin_systemd(at) == TR_OK) EXPECT(tr_systemd_stop(at->registry) == TR_OK);
  return 0;
}
CALL(tr_systemd_stop) {
  tr_status begun = begin_systemd(at);
  EXPECT(tr_systemd_stop(at->registry) == (begun == TR_OK ? TR_OK : TR_ERR_INVALID));
  return 0;
}
CALL(tr_exit_by) {
  (void)at;
  EXPECT(tr_exit_by(3600 * SECOND, NULL) == TR_OK);
  EXPECT(tr_exit_by_cancel() == TR_OK);
  return 0;
}
CALL(tr_exit_by_cancel) {
  (void)at;
  EXPECT(tr_exit_by_cancel() == TR_ERR_INVALID);
  return 0;
}
CALL(tr_run_until_stopped) {
  tr_run_options options = TR_RUN_OPTIONS_INIT;
  int32_t code = -1;
  options.flags = TR_RUN_NO_SYSTEMD;
  options.report_fd = at->null_fd;
  EXPECT(tr_token_cancel(at->token, TR_REASON_FATAL, NULL) == 1);
  EXPECT(tr_run_until_stopped(at->registry, &options, &code) == TR_OK && code == TR_EXIT_FATAL);
  return 0;
}
/* Each makes of a structure what its macro does. */
#define INITIALISES(name)                                                                          \
  CALL(tr_##name##_init) {                                                                         \
    tr_##name structure;                                                                           \
    (void)at;                                                                                      \
    EXPECT(tr_##name##_init(&structure, sizeof structure) == TR_OK);                               \
    EXPECT(structure.size == sizeof structure);                                                    \
    return 0;                                                                                      \
  }
INITIALISES(registry_options)
INITIALISES(spawn_options)
INITIALISES(adopt_options)
INITIALISES(restart_options)
INITIALISES(schedule)
INITIALISES(task_summary)
INITIALISES(join_report)
INITIALISES(shutdown_options)
INITIALISES(outcome)
INITIALISES(signal_options)
INITIALISES(straggler)
INITIALISES(ended_task)
INITIALISES(phase_report)
INITIALISES(thread_report)
INITIALISES(metrics)
INITIALISES(metrics_source)
INITIALISES(systemd_options)
INITIALISES(exit_options)
INITIALISES(ladder_options)
INITIALISES(run_options)
/* A timeout to come needs the thread for timers, so that there is one to wait for. */
CALL(tr_quiesce) {
  tr_token *token = tr_token_child_with_timeout(at->token, 1000 * SECOND);
  EXPECT(token != NULL && tr_quiesce(1 * MS) == TR_ERR_TIMEDOUT);
  tr_token_release(token);
  EXPECT(tr_quiesce(FOREVER) == TR_OK);
  return 0;
}

struct function {
  const char *name;
  int (*call)(struct at_hand *);
};

static const struct function functions[] = {
#define FUNCTION(name) {#name, call_##name},
#include "pending.inc"
#undef FUNCTION
};

/* One call, by a thread with a pending cancel. */
struct attempt {
  const struct function *function;
  struct at_hand at;
  int line;
  int came_back;
};

static void *attempt_run(void *argument) {
  struct attempt *attempt = argument;
  pthread_cancel(pthread_self()); /* acts at the next cancellation point */
  attempt->line = attempt->function->call(&attempt->at);
  attempt->came_back = 1;
  pthread_testcancel();
  return NULL; /* the cancel was lost */
}

static int attempt_in_task(tr_task *self, void *argument) {
  (void)self;
  return attempt_run(argument) == NULL;
}

static void make_at_hand(struct at_hand *at, int null_fd) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  at->token = tr_token_create();
  options.token = at->token;
  options.flags = TR_REGISTRY_METRICS;
  CHECK_EQ(TR_OK, create_registry(&options, &at->registry));
  CHECK_EQ(TR_OK, tr_spawn(at->registry, "sleeper", TR_KIND_BACKGROUND_LOOP, body_obeys, NULL,
                           &at->task));
  at->null_fd = null_fd;
}

static void finish_at_hand(struct at_hand *at) {
  CHECK_EQ(TR_OK, shutdown_fully(at->registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  tr_task_release(at->task);
  tr_registry_release(at->registry);
  tr_token_release(at->token);
}

/* Proves: no function of the library is a cancellation point, or ends half-way: called by a thread
   that was cancelled before, each returns with its work done, descriptors raised and closed,
   callbacks and logs called, and the cancel still takes effect afterwards (C4, C2, C7). Why it
   matters: a thread that ends in the middle of a cancel leaves children that are never cancelled,
   and a token that can no longer be cancelled. Catches: write(2) or close(2) on a descriptor of the
   library's with cancellation enabled. */
CASE(functions_come_back_to_a_thread_that_was_cancelled) {
  int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(null_fd >= 0);
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    struct attempt attempt = {&functions[i], {NULL, NULL, NULL, 0}, 0, 0};
    void *result = NULL;
    make_at_hand(&attempt.at, null_fd);
    pthread_t thread = thread_start(attempt_run, &attempt);
    CHECK_EQ(0, pthread_join(thread, &result));
    CHECK_MSG(attempt.came_back, "%s did not come back", functions[i].name);
    CHECK_MSG(attempt.line == 0, "%s: see line %d", functions[i].name, attempt.line);
    CHECK_MSG(result == PTHREAD_CANCELED, "after %s the cancel was lost", functions[i].name);
    finish_at_hand(&attempt.at);
  }
  close(null_fd);
}

/* Proves: the same in the body of a task, whose waits respond to its flag (C4, O1). Why it matters:
   the thread of a task is a pthread like others, and may be cancelled. Catches: a wait only for
   tasks that is a cancellation point. */
CASE(functions_come_back_to_a_task_that_was_cancelled) {
  int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(null_fd >= 0);
  tr_registry *callers = registry_new();
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    struct attempt attempt = {&functions[i], {NULL, NULL, NULL, 0}, 0, 0};
    make_at_hand(&attempt.at, null_fd);
    tr_task *task = spawn(callers, "cancelled", attempt_in_task, &attempt);
    tr_outcome outcome = outcome_of(task);
    tr_task_release(task);
    CHECK_MSG(attempt.came_back, "%s did not come back", functions[i].name);
    CHECK_MSG(attempt.line == 0, "%s: see line %d", functions[i].name, attempt.line);
    CHECK_MSG(outcome.how == TR_ENDED_EXITED, "after %s the cancel was lost", functions[i].name);
    finish_at_hand(&attempt.at);
  }
  registry_finish(callers);
  close(null_fd);
}

CHECK_MAIN(CHECK_ENTRY(functions_come_back_to_a_thread_that_was_cancelled),
           CHECK_ENTRY(functions_come_back_to_a_task_that_was_cancelled))
