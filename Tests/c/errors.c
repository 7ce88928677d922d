/* errors.c - how a program's mistakes are reported: tr_error_detail, the log events about it, and
   the macros that keep nanoseconds from being mistaken. That every TR_ERR_INVALID is explained
   under the name of its function and of one of its arguments is checked wherever a program here
   checks for one; see CHECK_EQ in support.h. Rules P4, O2. */

#include "support.h"

/* The last event of a kind that a log has received. */
struct heard {
  _Atomic(int) count;
  uint32_t wanted, level;
  int32_t code;
  char message[256];
};

static void hear(void *context, const tr_log_event *event) {
  struct heard *heard = context;
  if (event->event != heard->wanted) return;
  heard->level = event->level;
  heard->code = event->code;
  snprintf(heard->message, sizeof heard->message, "%s", event->message);
  atomic_fetch_add(&heard->count, 1);
}

static tr_registry *registry_that_logs(struct heard *heard) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;
  options.log = hear;
  options.log_context = heard;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

/* Proves: the text names the function and the argument, and distinguishes the causes of one
   function (P4). Why it matters: TR_ERR_INVALID alone has some twenty causes. Catches: one text for
   all; the argument of another. */
CASE(each_cause_has_a_text_of_its_own) {
  tr_registry *registry = registry_new();
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(NULL, "n", 1, body_never, NULL, NULL));
  CHECK_STR("tr_spawn: registry is NULL", tr_error_detail());
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, NULL, 1, body_never, NULL, NULL));
  CHECK_STR("tr_spawn: name is NULL", tr_error_detail());
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "\xff", 1, body_never, NULL, NULL));
  CHECK_STR("tr_spawn: name is not UTF-8 of at least one byte", tr_error_detail());
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "n", 5, body_never, NULL, NULL));
  CHECK(strstr(tr_error_detail(), "tr_spawn: kind") == tr_error_detail());
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "n", 1, NULL, NULL, NULL));
  CHECK_STR("tr_spawn: body is NULL", tr_error_detail());
  how.size = 3;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "n", 1, body_never, NULL, &how, NULL));
  CHECK_STR("tr_spawn_with: the size in options is 3; begin with TR_SPAWN_OPTIONS_INIT", tr_error_detail());
  tr_spawn_options later = TR_SPAWN_OPTIONS_INIT;
  later.phase = TR_PHASES;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "n", 1, body_never, NULL, &later, NULL));
  CHECK_STR("tr_spawn_with: options.phase is not below TR_PHASES", tr_error_detail());
  CHECK(tr_token_child(NULL) == NULL);
  CHECK_STR("tr_token_child: parent is NULL", tr_error_detail());
  registry_finish(registry);
}

static void *looks_first(void *result) {
  CHECK_STR("", tr_error_detail());
  CHECK_EQ(TR_ERR_INVALID, tr_task_cancel(NULL));
  CHECK_STR("tr_task_cancel: task is NULL", tr_error_detail());
  return result;
}

/* Proves: the text is the calling thread's own, and neither a success nor another error touches it (P4).  Why it
   matters: what another thread did wrong explains nothing here.  Catches: one text for the process; a text that
   a TR_ERR_TIMEDOUT wipes out or replaces. */
CASE(the_text_is_the_threads_own) {
  tr_token *token = tr_token_create();
  CHECK_EQ(TR_ERR_INVALID, tr_token_wait(NULL, 0));
  thread_end(thread_start(looks_first, NULL));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait(token, 0));
  CHECK_STR("tr_token_wait: token is NULL", tr_error_detail());
  tr_token_release(token);
}

/* Invalid calls that have a registry with a log, or a task of one: `asked` is not the calling thread's and alive, `ended`
   has ended without being asked to stop. Each is invalid for a reason that is not its registry or task, if there is one,
   and what is checked in different places stands here with a call for each. */
#define INVALID_CALLS(CALL)                                                                        \
  CALL(tr_registry_child, (registry, NULL, NULL, &out.registry))                                   \
  CALL(tr_registry_child, (registry, "a/b", NULL, &out.registry))                                  \
  CALL(tr_registry_child, (registry, "n", NULL, NULL))                                             \
  CALL(tr_registry_child, (registry, "n", &small.registry, &out.registry))                         \
  CALL(tr_spawn, (registry, "", 1, body_never, NULL, NULL))                                        \
  CALL(tr_spawn, (registry, "n", 1, NULL, NULL, NULL))                                             \
  CALL(tr_spawn_with, (registry, "n", 5, body_never, NULL, NULL, NULL))                            \
  CALL(tr_spawn_with, (registry, "n", 1, body_never, NULL, &small.spawn, NULL))                    \
  CALL(tr_adopt, (registry, "", 1, NULL, NULL))                                                    \
  CALL(tr_adopt, (registry, "n", 1, &small.adopt, NULL))                                           \
  CALL(tr_snapshot, (registry, NULL, 0, NULL))                                                     \
  CALL(tr_snapshot, (registry, NULL, 1, &out.count))                                               \
  CALL(tr_join_all, (registry, 0, &small.join))                                                    \
  CALL(tr_join_all_report, (registry, 0, NULL))                                                    \
  CALL(tr_shutdown, (registry, TR_REASON_NONE, NULL, 0, &small.join))                              \
  CALL(tr_shutdown_with, (registry, TR_REASON_NONE, NULL, 0, &small.shutdown, NULL))               \
  CALL(tr_shutdown_report, (registry, TR_REASON_NONE, NULL, 0, NULL, NULL))                        \
  CALL(tr_shutdown_report, (registry, TR_REASON_NONE, NULL, 0, &small.shutdown, &out.report))      \
  CALL(tr_task_set_message, (asked, "from outside"))                                               \
  CALL(tr_task_set_message_lossy, (asked, "from outside"))                                         \
  CALL(tr_task_set_data, (asked, NULL))                                                            \
  CALL(tr_task_wait, (asked, 0, &small.outcome))                                                   \
  CALL(tr_spawn_every, (registry, "n", 1, body_never, NULL, NULL, NULL, NULL))                     \
  CALL(tr_spawn_every, (registry, "n", 1, body_never, NULL, &small.schedule, NULL, NULL))          \
  CALL(tr_task_trigger, (asked))                                                                   \
  CALL(tr_task_pause, (asked))                                                                     \
  CALL(tr_task_resume, (asked))                                                                    \
  CALL(tr_task_set_period, (asked, 1))                                                             \
  CALL(tr_signal_watch_start, (registry, NULL, &small.signals))                                    \
  CALL(tr_signal_watch_start, (registry, &stops, NULL))                                            \
  CALL(tr_signal_watch_start_array, (registry, NULL, 1, NULL))                                     \
  CALL(tr_signal_watch_stop, (registry))                                                           \
  CALL(tr_signal_watch_move, (registry, NULL))                                                     \
  CALL(tr_signal_watch_move, (NULL, registry))                                                     \
  CALL(tr_signal_watch_move, (registry, registry))                                                 \
  CALL(tr_task_sleep, (ended, 0))                                                                  \
  CALL(tr_task_wait_cancelled, (ended, 0))                                                         \
  CALL(tr_task_wait_fd, (ended, 0, 0, 0))                                                          \
  CALL(tr_task_wait_fd, (asked, -1, 0, 0))                                                         \
  CALL(tr_task_wait_fd, (asked, 1000000, 0, 0))                                                    \
  CALL(tr_signal_watch_start, (registry, NULL, &hasty))                                            \
  CALL(tr_signal_watch_start, (registry, NULL, &role_for_nobody))                                  \
  CALL(tr_task_fd, (asked, NULL))                                                                  \
  CALL(tr_task_abort_fd, (asked, NULL))                                                            \
  CALL(tr_task_on_abort, (asked, NULL, NULL, NULL, &out.registration))                             \
  CALL(tr_task_on_abort, (asked, never_called, NULL, NULL, NULL))                                  \
  CALL(tr_task_on_cancel, (asked, NULL, NULL, NULL, &out.registration))                            \
  CALL(tr_task_on_cancel, (asked, never_called, NULL, NULL, NULL))                                 \
  CALL(tr_task_on_end, (asked, NULL, NULL, NULL, &out.registration))                               \
  CALL(tr_task_on_end, (asked, NULL, NULL, NULL, NULL))                                            \
  CALL(tr_heartbeat_promise, (registry, 1, 0x80))                                                  \
  CALL(tr_heartbeat_promise, (registry, -1, 0))                                                    \
  CALL(tr_health, (registry, NULL, 1, NULL))                                                       \
  CALL(tr_explain, (registry, NULL))                                                               \
  CALL(tr_explain_with, (registry, 0, NULL))                                                       \
  CALL(tr_explain_with, (registry, 0x80, &out.report))                                             \
  CALL(tr_snapshot_write, (registry, -1, TR_FORMAT_TEXT))                                          \
  CALL(tr_snapshot_write, (registry, 2, 99))                                                       \
  CALL(tr_snapshot_write_buffer, (registry, TR_FORMAT_TEXT, NULL, 0, NULL))                        \
  CALL(tr_metrics_read, (registry, 0, NULL))                                                       \
  CALL(tr_metrics_read, (registry, 0, &small.metrics))                                             \
  CALL(tr_metrics_read, (registry, 5, &metrics))                                                   \
  CALL(tr_metrics_write, (registry, -1, TR_FORMAT_OPENMETRICS))                                    \
  CALL(tr_metrics_write, (registry, 2, 99))                                                        \
  CALL(tr_metrics_write_buffer, (registry, 99, NULL, 0, &out.count))                               \
  CALL(tr_recent, (registry, NULL, 0, NULL))                                                       \
  CALL(tr_recent, (registry, NULL, 0, &out.count))                                                 \
  CALL(tr_systemd_start, (registry, &small.systemd))                                               \
  CALL(tr_systemd_start, (registry, &unknown_systemd))                                             \
  CALL(tr_systemd_stop, (registry))                                                                \
  CALL(tr_run_until_stopped, (registry, &small.run, NULL))                                         \
  CALL(tr_run_until_stopped, (registry, &unknown_run, NULL))

/* Those that are invalid for NULL alone: there is no registry then. */
static const char *const only_for_null[] = {"tr_registry_wait", "tr_registry_close", "tr_task_cancel", "tr_task_abort",
                                            "tr_wait_room", "tr_registry_set_max_tasks"};

static void never_called(void *context) {
  (void)context;
  abort();
}

/* Proves: each function that takes a registry, or a task, and returns a status sends its registry's log one event for each
   invalid call, with the line of tr_error_detail, wherever the library finds out that it is invalid (P4).
   Why it matters: a status that nobody looked at is seen in the log, or nowhere.
   Catches: a function, or a path through one, that says nothing, or says it twice; one that is not in this list. */
CASE(a_log_hears_of_every_invalid_call) {
  struct heard heard = {.wanted = TR_EVENT_INVALID_CALL};
  tr_registry *registry = registry_that_logs(&heard);
  struct gate gate = GATE_INIT;
  tr_task *asked = spawn(registry, "asked", body_deaf, &gate), *ended = spawn(registry, "ended", body_returns, NULL);
  CHECK_EQ(TR_OK, tr_task_wait(ended, FOREVER, NULL));
  gate_await(&gate, 1);
  struct {
    tr_registry *registry;
    tr_report *report;
    tr_registration *registration;
    size_t count;
  } out;
  struct { /* structures that are too small */
    tr_registry_options registry;
    tr_spawn_options spawn;
    tr_shutdown_options shutdown;
    tr_join_report join;
    tr_outcome outcome;
    tr_signal_options signals;
    tr_metrics metrics;
    tr_systemd_options systemd;
    tr_run_options run;
    tr_adopt_options adopt;
    tr_schedule schedule;
  } small;
  memset(&small, 0, sizeof small);
  tr_metrics metrics = TR_METRICS_INIT;
  tr_systemd_options unknown_systemd = TR_SYSTEMD_OPTIONS_INIT;
  unknown_systemd.flags = 0x80;
  tr_run_options unknown_run = TR_RUN_OPTIONS_INIT;
  unknown_run.flags = 0x80;
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGSTOP);
  const tr_signal_role nobody = {0, TR_SIGNAL_STOP, 0, 0};
  tr_signal_options hasty = TR_SIGNAL_OPTIONS_INIT, role_for_nobody = TR_SIGNAL_OPTIONS_INIT;
  hasty.debounce_ns = TR_FOREVER;
  role_for_nobody.roles = &nobody;
  role_for_nobody.roles_count = 1;

  int expected = 0;
#define CALL(function, arguments)                                                                  \
  forget_error_detail();                                                                           \
  CHECK_MSG(function arguments == TR_ERR_INVALID, #function #arguments);                           \
  check_error_detail(#function, __FILE__, __LINE__);                                               \
  expected++;                                                                                      \
  CHECK_MSG(atomic_load(&heard.count) == expected, "%d events, not %d, after " #function #arguments, \
            atomic_load(&heard.count), expected);                                                  \
  CHECK_STR(tr_error_detail(), heard.message);                                                     \
  CHECK_EQ(TR_LOG_ERROR, heard.level);                                                             \
  CHECK_EQ(TR_ERR_INVALID, heard.code);
  INVALID_CALLS(CALL)
#undef CALL
  /* The one such function that returns no status. */
  CHECK(tr_task_token(asked) == NULL && errno == EINVAL);
  CHECK_EQ(expected + 1, atomic_load(&heard.count));
  CHECK_STR("tr_task_token: task is not the one that calls", heard.message);

  const char *called[] = {
#define CALL(function, arguments) #function,
      INVALID_CALLS(CALL)
#undef CALL
  };
  for (size_t i = 0; i < sizeof support_declarations / sizeof *support_declarations; i++) {
    const char *function = support_declarations[i].function, *parameters = support_declarations[i].parameters;
    if (strcmp(support_declarations[i].result, "tr_status ") != 0) continue;
    if (strstr(parameters, "tr_registry *") == NULL && strstr(parameters, "tr_task *") == NULL) continue;
    if (strcmp(function, "tr_registry_create") == 0) continue; /* makes one */
    int is_there = 0;
    for (size_t k = 0; k < sizeof called / sizeof *called; k++) is_there |= strcmp(called[k], function) == 0;
    for (size_t k = 0; k < sizeof only_for_null / sizeof *only_for_null; k++) is_there |= strcmp(only_for_null[k], function) == 0;
    CHECK_MSG(is_there, "no invalid call of %s", function);
  }
  gate_open(&gate);
  tr_task_release(asked);
  tr_task_release(ended);
  registry_finish(registry);
}

static void makes_an_invalid_call(void *context, const tr_log_event *event) {
  struct heard *heard = context;
  if (event->event != TR_EVENT_INVALID_CALL) return;
  int fd;
  CHECK(tr_token_fd(NULL, &fd) == TR_ERR_INVALID);
  CHECK(strncmp(tr_error_detail(), "tr_token_fd: ", 13) == 0);
  atomic_fetch_add(&heard->count, 1);
}

/* Proves: tr_error_detail is that of the thread's last call that returned TR_ERR_INVALID, also if the log callback has
   made an invalid call of its own meanwhile (P4).
   Why it matters: the reason of another call sends its reader to the wrong place.
   Catches: a text that the callback's call has replaced. */
CASE(an_invalid_call_in_the_log_keeps_the_callers_reason) {
  struct heard heard = {0};
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = makes_an_invalid_call;
  options.log_context = &heard;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "n", 1, NULL, NULL, NULL));
  CHECK_STR("tr_spawn: body is NULL", tr_error_detail());
  CHECK_EQ(1, atomic_load(&heard.count));
  registry_finish(registry);
}

/* Proves: once a registry is closed, or its last reference released, and its last task has ended, its log receives
   nothing from calls with it or with a task of it (P4, O2).
   Why it matters: its context may be gone by then.  Catches: a call that is reported there all the same. */
CASE(a_log_hears_nothing_once_its_context_may_be_gone) {
  struct heard heard = {.wanted = TR_EVENT_INVALID_CALL};
  tr_registry *registry = registry_that_logs(&heard);
  tr_task *task = spawn(registry, "held", body_returns, NULL);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_fd(task, NULL));
  CHECK_EQ(1, atomic_load(&heard.count));
  tr_registry_release(registry);
  CHECK_EQ(TR_ERR_INVALID, tr_task_fd(task, NULL));
  CHECK_EQ(1, atomic_load(&heard.count));
  tr_task_release(task);

  registry = registry_that_logs(&heard);
  task = spawn(registry, "held", body_returns, NULL);
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_fd(task, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_explain(registry, NULL));
  CHECK_EQ(1, atomic_load(&heard.count));
  heard.wanted = TR_EVENT_SHORT_GRACE;
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, 5000, NULL));
  CHECK_EQ(1, atomic_load(&heard.count));
  tr_task_release(task);
  tr_registry_release(registry);
}

/* Proves: a grace above 0 and below a millisecond is remarked on, others are not (P4).  Why it matters: 5000 was
   meant to be five seconds, and the program lost its data.  Catches: no remark; one for 0, for a millisecond or
   for a grace without end. */
CASE(a_short_grace_is_remarked_on) {
  struct heard heard = {.wanted = TR_EVENT_SHORT_GRACE};
  tr_registry *registry = NULL;
  const int64_t fair[] = {0, TR_FOREVER, -5000, TR_MILLISECONDS(1), TR_SECONDS(5)};
  for (size_t i = 0; i < sizeof fair / sizeof *fair; i++) {
    registry = registry_that_logs(&heard);
    CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, fair[i], NULL));
    tr_registry_release(registry);
  }
  CHECK_EQ(0, atomic_load(&heard.count));
  registry = registry_that_logs(&heard);
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, 5000, NULL));
  CHECK_EQ(1, atomic_load(&heard.count));
  CHECK_EQ(TR_LOG_WARNING, heard.level);
  CHECK(strstr(heard.message, "TR_MILLISECONDS(5000)") != NULL);
  tr_registry_release(registry);
  registry = registry_that_logs(&heard);
  CHECK_EQ(TR_OK, tr_shutdown_with(registry, TR_REASON_NONE, NULL, 999999, NULL, NULL));
  CHECK_EQ(2, atomic_load(&heard.count));
  tr_registry_release(registry);
}

/* Proves: the macros give nanoseconds, of fractions too, in 64 bits (P4).  Why it matters: TR_SECONDS(5) in 32 bits
   is 705 ms.  Catches: an int that overflows; a fraction that is cut before it is multiplied. */
CASE(durations_are_nanoseconds) {
  int seconds = 5;
  CHECK_EQ(INT64_C(5000000000), TR_SECONDS(seconds));
  CHECK_EQ(INT64_C(500000000), TR_SECONDS(0.5));
  CHECK_EQ(INT64_C(86400000000000), TR_SECONDS(86400));
  CHECK_EQ(INT64_C(200000000), TR_MILLISECONDS(200));
  CHECK_EQ(INT64_C(2500000), TR_MILLISECONDS(2.5));
  CHECK_EQ(INT64_C(-3000), TR_MICROSECONDS(1 - 4));
  CHECK_EQ(-1, TR_FOREVER);
}

/* Proves: where the process is ended on purpose, one line on descriptor 2 names the call, its
   error, the place, and what to check: here a program that has deleted every key for
   thread-specific data, the library's own among them (O2). Why it matters: without a message the
   cause is searched in the wrong place. Catches: a line that is not written, or does not say which
   call it was. */
CASE(an_end_on_purpose_says_why) {
  if (check_under_a_tool()) return; /* which has keys of its own */
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    dup2(ends[1], 2);
    tr_registry *registry = registry_new();
    for (pthread_key_t key = 0; key < 1024; key++) pthread_key_delete(key);
    TR_IGNORE(tr_spawn(registry, "keyless", TR_KIND_MAINTENANCE, body_returns, NULL, NULL));
    TR_IGNORE(tr_join_all(registry, FOREVER, NULL));
    _exit(0);
  }
  close(ends[1]);
  char text[1024];
  size_t length = 0;
  ssize_t count;
  while ((count = read(ends[0], text + length, sizeof text - 1 - length)) > 0) length += (size_t)count;
  text[length] = 0;
  close(ends[0]);
  int status;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  CHECK(WIFSIGNALED(status));
  CHECK_MSG(strncmp(text, "libtaskreg: pthread_setspecific failed with error 22 at ", 56) == 0, "%.400s", text);
  CHECK_MSG(strstr(text, "pthread_key_delete") != NULL && strchr(text, '\n') == text + length - 1, "%.400s", text);
}

CHECK_MAIN(
    CHECK_ENTRY(an_end_on_purpose_says_why),
    CHECK_ENTRY(each_cause_has_a_text_of_its_own),
    CHECK_ENTRY(the_text_is_the_threads_own),
    CHECK_ENTRY(a_log_hears_of_every_invalid_call),
    CHECK_ENTRY(an_invalid_call_in_the_log_keeps_the_callers_reason),
    CHECK_ENTRY(a_log_hears_nothing_once_its_context_may_be_gone),
    CHECK_ENTRY(a_short_grace_is_remarked_on),
    CHECK_ENTRY(durations_are_nanoseconds))
