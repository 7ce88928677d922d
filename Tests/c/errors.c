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

/* Proves: the log receives invalid calls with its registry, or a task of it, with the same line
   (P4). Why it matters: a status that was ignored is seen in the log. Catches: no event; one for a
   call without a registry. */
CASE(a_log_hears_of_invalid_calls) {
  struct heard heard = {.wanted = TR_EVENT_INVALID_CALL};
  tr_registry *registry = registry_that_logs(&heard);
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "", 1, body_never, NULL, NULL));
  CHECK_EQ(1, atomic_load(&heard.count));
  CHECK_STR(tr_error_detail(), heard.message);
  CHECK_EQ(TR_LOG_ERROR, heard.level);
  CHECK_EQ(TR_ERR_INVALID, heard.code);
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(NULL, "n", 1, body_never, NULL, NULL));
  CHECK_EQ(1, atomic_load(&heard.count));
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.size = 1;
  CHECK_EQ(TR_ERR_INVALID, tr_join_all(registry, 0, &report));
  CHECK_EQ(2, atomic_load(&heard.count));
  CHECK_STR(tr_error_detail(), heard.message);
  tr_task *task = spawn(registry, "t", body_returns, NULL);
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message(task, "from outside"));
  CHECK_EQ(3, atomic_load(&heard.count));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a grace above 0 and below a millisecond is remarked on, others are not (P4).  Why it matters: 5000 was
   meant to be five seconds, and the program lost its data.  Catches: no remark; one for 0, for a millisecond or
   for a grace without end. */
CASE(a_short_grace_is_remarked_on) {
  struct heard heard = {.wanted = TR_EVENT_SHORT_GRACE};
  tr_registry *registry = registry_that_logs(&heard);
  const int64_t fair[] = {0, TR_FOREVER, -5000, TR_MILLISECONDS(1), TR_SECONDS(5)};
  for (size_t i = 0; i < sizeof fair / sizeof *fair; i++)
    CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, fair[i], NULL));
  CHECK_EQ(0, atomic_load(&heard.count));
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, 5000, NULL));
  CHECK_EQ(1, atomic_load(&heard.count));
  CHECK_EQ(TR_LOG_WARNING, heard.level);
  CHECK(strstr(heard.message, "TR_MILLISECONDS(5000)") != NULL);
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
    CHECK_ENTRY(a_log_hears_of_invalid_calls),
    CHECK_ENTRY(a_short_grace_is_remarked_on),
    CHECK_ENTRY(durations_are_nanoseconds))
