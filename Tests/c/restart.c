/* restart.c - tasks that start again after their body has ended: tr_restart_options. Rules B1 to B4. */

#include "fault.h"
#include "stalls.h"
#include "support.h"

#include <limits.h>

#define HOUR (3600 * SECOND)

/* What a task's runs do, and what they have done. */
struct acts {
  int fails;      /* so many of the first runs fail with the code 7 */
  int exits;      /* those fail by leaving their thread */
  int code;       /* what later runs return */
  int obeys;      /* later runs wait until they are asked to stop */
  atomic_int runs, drops, wrong;
  atomic_int running, asked; /* asked: the case may ask the task to stop during a run */
  _Atomic(uint64_t) id;
};

static int body_acts(tr_task *self, void *ctx) {
  struct acts *acts = ctx;
  if (atomic_fetch_add(&acts->running, 1) != 0 || atomic_load(&acts->drops) != 0) atomic_fetch_add(&acts->wrong, 1);
  int run = atomic_fetch_add(&acts->runs, 1);
  if (run > 0 && atomic_load(&acts->id) != tr_task_id(self)) atomic_fetch_add(&acts->wrong, 1);
  atomic_store(&acts->id, tr_task_id(self));
  if (tr_task_self() != self || (tr_task_is_cancelled(self) && !atomic_load(&acts->asked))) atomic_fetch_add(&acts->wrong, 1);
  int fails = run < acts->fails;
  if (!fails && acts->obeys && tr_sleep(FOREVER) != TR_ERR_CANCELLED) atomic_fetch_add(&acts->wrong, 1);
  char text[32];
  snprintf(text, sizeof text, "of run %d", run + 1);
  if (fails) TR_IGNORE(tr_task_set_message(self, text));
  atomic_fetch_sub(&acts->running, 1);
  if (fails && acts->exits) pthread_exit(NULL);
  return fails ? 7 : acts->code;
}

static void drop_acts(void *ctx) { atomic_fetch_add(&((struct acts *)ctx)->drops, 1); }

static tr_restart_options restarts(uint32_t policy, int64_t delay) {
  tr_restart_options options = TR_RESTART_OPTIONS_INIT;
  options.policy = policy;
  options.min_delay_ns = delay;
  options.max_delay_ns = delay;
  return options;
}

static tr_task *spawn_restarting(tr_registry *registry, struct acts *acts, const tr_restart_options *restart,
                                 tr_spawn_options options) {
  tr_task *task = NULL;
  options.drop = drop_acts;
  options.restart = restart;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "phoenix", TR_KIND_MAINTENANCE, body_acts, acts, &options, &task));
  return task;
}

static const tr_spawn_options plain = TR_SPAWN_OPTIONS_INIT;

static tr_task_summary listed(tr_registry *registry, tr_task *task) {
  tr_task_summary found = TR_TASK_SUMMARY_INIT;
  CHECK(find_in_snapshot(registry, tr_task_id(task), &found));
  return found;
}

/* Wait until the task waits to start again. */
static tr_task_summary await_waiting(tr_registry *registry, tr_task *task) {
  tr_task_summary found = listed(registry, task);
  while (found.state != TR_STATE_WAITING) {
    breathe();
    found = listed(registry, task);
  }
  return found;
}

static int events_of(struct log *log, uint32_t event, struct heard *last) {
  int count = 0;
  pthread_mutex_lock(&log->lock);
  for (int i = 0; i < log->count; i++)
    if (log->all[i].event == event) {
      count++;
      if (last != NULL) *last = log->all[i];
    }
  pthread_mutex_unlock(&log->lock);
  return count;
}

static uint64_t restarts_counted(tr_registry *registry, tr_kind kind) {
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, kind, &metrics));
  return metrics.restarts;
}

static struct log log_of_case;

/* Proves: a task whose runs fail starts again until one returns 0, as the same task with the same handle, one run at a time;
   its drop runs once, after the last; each restart is an event and is counted, and only the end is an end (B1, B3, B4).
   Why it matters: that is what everybody writes around a loop. Catches: a drop after each run; an end that is counted for each
   run; a restart after success. */
CASE(a_task_starts_again_until_it_succeeds) {
  for (int exits = 0; exits < 2; exits++) {
    struct acts acts = {.fails = 3, .exits = exits};
    log_init(&log_of_case, NULL);
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.log = log_adds;
    options.log_context = &log_of_case;
    options.flags = TR_REGISTRY_METRICS;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, MS);
    tr_task *task = spawn_restarting(registry, &acts, &restart, plain);
    restart.policy = 99; /* it was copied */
    tr_outcome outcome = outcome_of(task);
    CHECK_EQ(TR_ENDED_RETURNED, outcome.how);
    CHECK(outcome.message[0] == 0);
    CHECK_EQ(4, atomic_load(&acts.runs));
    CHECK_EQ(1, atomic_load(&acts.drops));
    CHECK_EQ(0, atomic_load(&acts.wrong));
    CHECK_EQ(3, restarts_counted(registry, 0));
    CHECK_EQ(3, restarts_counted(registry, TR_KIND_MAINTENANCE));
    CHECK_EQ(0, restarts_counted(registry, TR_KIND_RPC_HANDLER));
    tr_metrics metrics = TR_METRICS_INIT;
    CHECK_EQ(TR_OK, tr_metrics_read(registry, 0, &metrics));
    CHECK(metrics.spawned == 1 && metrics.ended == 1 && metrics.failed == 0 && metrics.exited == 0);
    struct heard heard;
    CHECK_EQ(3, events_of(&log_of_case, TR_EVENT_TASK_RESTARTING, &heard));
    CHECK_EQ(3, log_count(&log_of_case));
    CHECK(heard.level == TR_LOG_WARNING && heard.id == tr_task_id(task) && heard.code == (exits ? 0 : 7));
    CHECK_MSG(strstr(heard.message, exits ? "run 3 left the body" : "run 3 failed with code 7: of run 3; starts again in ") != NULL,
              "%.300s", heard.message);
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* Spawn a task whose last run has ended while the timer thread is still giving it its thread, until fault_release. */
static tr_task *ends_while_it_is_started(struct acts *acts, tr_registry **registry) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.idle_threads = TR_IDLE_THREADS_NONE;
  CHECK_EQ(TR_OK, create_registry(&options, registry));
  acts->fails = 1;
  tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, HOUR);
  tr_task *task = spawn_restarting(*registry, acts, &restart, plain);
  await_waiting(*registry, task);
  fault_hold();
  CHECK_EQ(TR_OK, tr_task_trigger(task));
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_EQ(2, atomic_load(&acts->runs));
  return task;
}

static void releases(void *none, uint32_t phase, uint64_t tasks) {
  (void)none;
  (void)phase;
  (void)tasks;
  fault_release();
}

/* Proves: a shutdown ends the timer thread also if that was just giving the task its last run, and comes back from it when all
   tasks are over (G4, C11). Why it matters: on a busy machine that is when a process that stops itself ends. Catches: a hold of
   the timer thread by what is over, which counts as a need. */
CASE(a_shutdown_ends_the_timer_thread_that_still_starts_the_last_run) {
  for (int round = 0; round < 3; round++) {
    tr_registry *registry = NULL;
    struct acts acts = {0};
    tr_task *task = ends_while_it_is_started(&acts, &registry);
    tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
    options.on_phase_end = releases;
    CHECK_EQ(TR_OK, tr_shutdown_with(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, &options, NULL));
    CHECK_EQ(0, own_threads());
    tr_task_release(task);
    tr_registry_release(registry);
  }
}

/* Proves: a shutdown that waits without limit returns though the system refuses the thread that would free the last run (G4,
   C11). Why it matters: where threads are refused, a service has to end all the same. Catches: a wait for a thread that does
   not come. */
CASE(a_shutdown_does_not_wait_for_an_event_thread_that_is_refused) {
  tr_registry *registry = NULL;
  struct acts acts = {0};
  tr_task *task = ends_while_it_is_started(&acts, &registry);
  fault_every(1, EAGAIN);
  fault_release();
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
  fault_none();
  tr_task_release(task);
  tr_registry_release(registry);
  CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
}

/* Proves: a periodic task whose run is refused a thread has it once there is one, though it was triggered, paused and resumed,
   and its period changed, meanwhile (B3, B6). Why it matters: an operator who triggers a job that hangs for want of a thread must
   not lose it. Catches: a timer taken out as the schedule takes the run for one that is under way. */
CASE(a_refused_run_of_a_periodic_task_is_not_lost) {
  for (int how = 0; how < 3; how++) {
    struct acts acts = {.fails = 0};
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.idle_threads = TR_IDLE_THREADS_NONE;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    tr_schedule schedule = TR_SCHEDULE_INIT;
    schedule.period_ns = HOUR;
    schedule.first_delay_ns = HOUR;
    tr_spawn_options plain_options = TR_SPAWN_OPTIONS_INIT;
    plain_options.drop = drop_acts;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_every(registry, "phoenix", TR_KIND_MAINTENANCE, body_acts, &acts, &schedule, &plain_options, &task));
    await_waiting(registry, task);
    fault_every(1, EAGAIN);
    CHECK_EQ(TR_OK, tr_task_trigger(task));
    while (faulted_threads() == 0) breathe();
    if (how == 0) CHECK_EQ(TR_OK, tr_task_trigger(task));
    if (how == 1) CHECK_EQ(TR_OK, tr_task_set_period(task, 2 * HOUR));
    if (how == 2) CHECK(tr_task_pause(task) == TR_OK && tr_task_resume(task) == TR_OK);
    fault_none();
    while (atomic_load(&acts.runs) == 0) breathe();
    atomic_store(&acts.asked, 1);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK(atomic_load(&acts.runs) <= 2 && atomic_load(&acts.wrong) == 0);
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* Proves: between two runs a task has a state of its own, says what its last run was and for how much longer it waits, in a
   snapshot, a list, a report and JSON, is alive, and has no thread (B3, B4). Why it matters: "why does nothing happen?" is
   answered by the list. Catches: a state "starting" that says nothing; a thread that sleeps for the task. */
CASE(while_it_waits_it_says_so_and_has_no_thread) {
  struct acts acts = {.fails = 1};
  tr_registry_options own = TR_REGISTRY_OPTIONS_INIT;
  own.idle_threads = TR_IDLE_THREADS_NONE;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&own, &registry));
  tr_restart_options restart = restarts(TR_RESTART_ALWAYS, HOUR);
  tr_task *task = spawn_restarting(registry, &acts, &restart, plain);
  tr_task_summary found = await_waiting(registry, task);
  CHECK_EQ(0, found.thread_id);
  CHECK_EQ(1, found.runs);
  CHECK_EQ(TR_ENDED_FAILED, found.last_how);
  CHECK_EQ(7, found.last_code);
  CHECK(found.starts_in_ns > HOUR / 2 && found.starts_in_ns <= HOUR + 67 * MS);
  CHECK(strcmp(tr_state_name(found.state), "waiting") == 0);
  CHECK_EQ(1, tr_len(registry));
  /* The thread of its run leaves. */
  while (threads_called("phoenix") + threads_called("idle") != 0) breathe();
  char text[4096];
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_snapshot_write_buffer(registry, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "run 1; the last failed with code 7; starts again in ") != NULL, "%.300s", text);
  CHECK_EQ(TR_OK, tr_snapshot_write_buffer(registry, TR_FORMAT_JSON, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "\"runs\":{\"begun\":1,\"last_how\":\"failed\",\"last_code\":7,\"paused\":false,\"starts_in_ns\":3") != NULL,
            "%.300s", text);
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  tr_straggler straggler = TR_STRAGGLER_INIT;
  CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
  CHECK(straggler.diagnosis == TR_DIAGNOSIS_WAITING && straggler.state == TR_STATE_WAITING);
  CHECK(straggler.runs == 1 && straggler.last_how == TR_ENDED_FAILED && straggler.last_code == 7);
  CHECK(straggler.starts_in_ns > HOUR / 2 && straggler.starts_in_ns <= HOUR + 67 * MS);
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "phoenix: waiting 3") != NULL && strstr(text, " s to start again\n") != NULL &&
                strstr(text, "\n  run 1; the last failed with code 7\n") != NULL,
            "%.300s", text);
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_JSON, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "\"diagnosis\":\"waiting\"") != NULL && strstr(text, "\"starts_in_ns\":3") != NULL, "%.300s", text);
  tr_report_release(report);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, MS, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a task that is asked to stop, told to abort, or met by a shutdown while it waits ends at once, runs no more, and has
   the outcome of its last run, with its message; its drop runs once (B2, B4). Why it matters: a shutdown must not wait for a
   back-off of half an hour, nor start anything. Catches: an end only when the delay is over; another run; a drop that is
   forgotten. */
CASE(asked_to_stop_while_it_waits_it_ends_at_once) {
  for (int how = 0; how < 4; how++) {
    struct acts acts = {.fails = 1};
    tr_registry *registry = registry_new();
    tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, HOUR);
    tr_task *task = spawn_restarting(registry, &acts, &restart, plain);
    await_waiting(registry, task);
    tr_join_report report = TR_JOIN_REPORT_INIT;
    if (how == 0) CHECK_EQ(TR_OK, tr_task_cancel(task));
    if (how == 1) CHECK_EQ(TR_OK, tr_task_abort(task));
    if (how == 2) CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, &report));
    if (how == 3) CHECK(tr_join_all(registry, 0, NULL) == TR_ERR_DEADLINE);
    tr_outcome outcome = outcome_of(task);
    CHECK_EQ(TR_ENDED_FAILED, outcome.how);
    CHECK_EQ(7, outcome.code);
    CHECK_EQ(1, outcome.was_cancelled);
    CHECK(strcmp(outcome.message, "of run 1") == 0);
    CHECK_EQ(1, atomic_load(&acts.runs));
    CHECK_EQ(1, atomic_load(&acts.drops));
    CHECK_EQ(0, restarts_counted(registry, 0));
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* Proves: a run that is asked to stop is the last, whatever it returns (B2). Catches: a restart of a task that was asked to
   stop and fails. */
CASE(the_run_that_is_asked_to_stop_is_the_last) {
  for (int code = 0; code < 2; code++) {
    struct acts acts = {.obeys = 1, .fails = 1, .code = code};
    tr_registry *registry = registry_new();
    tr_restart_options restart = restarts(TR_RESTART_ALWAYS, 1);
    tr_task *task = spawn_restarting(registry, &acts, &restart, plain);
    while (atomic_load(&acts.runs) < 2) breathe();
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(code == 0 ? TR_ENDED_RETURNED : TR_ENDED_FAILED, outcome_of(task).how);
    CHECK_EQ(2, atomic_load(&acts.runs));
    CHECK_EQ(1, atomic_load(&acts.drops));
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* Proves: after max_restarts within the window the next failure is the end, an event says why, and an essential task takes its
   registry down then, and not before (B1, B3, C12). Why it matters: a task that cannot work must not go on unnoticed.
   Catches: one restart too many or too few; a token that the first failure cancels. */
CASE(after_too_many_restarts_it_has_failed_for_good) {
  struct acts acts = {.fails = 100};
  log_init(&log_of_case, NULL);
  tr_registry *registry = registry_with(log_adds, &log_of_case);
  tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, 1);
  restart.max_restarts = 3;
  restart.window_ns = HOUR;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE;
  tr_task *task = spawn_restarting(registry, &acts, &restart, options);
  CHECK_EQ(TR_ENDED_FAILED, outcome_of(task).how);
  CHECK_EQ(4, atomic_load(&acts.runs));
  CHECK_EQ(3, events_of(&log_of_case, TR_EVENT_TASK_RESTARTING, NULL));
  struct heard heard;
  CHECK_EQ(1, events_of(&log_of_case, TR_EVENT_TASK_FAILED, &heard));
  CHECK_MSG(strstr(heard.message, "failed with code 7: of run 4; it was run 4, and is not started again: too many restarts") !=
                NULL, "%.300s", heard.message);
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(tr_registry_token(registry)));
  CHECK_EQ(0, atomic_load(&acts.wrong));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a task that is to start again after any end does so after success, too, and says so as an information (B1). */
CASE(always_is_after_success_too) {
  struct acts acts = {.obeys = 0};
  log_init(&log_of_case, NULL);
  tr_registry *registry = registry_with(log_adds, &log_of_case);
  tr_restart_options restart = restarts(TR_RESTART_ALWAYS, 1);
  restart.max_restarts = 5;
  tr_task *task = spawn_restarting(registry, &acts, &restart, plain);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK_EQ(6, atomic_load(&acts.runs));
  struct heard heard;
  CHECK_EQ(5, events_of(&log_of_case, TR_EVENT_TASK_RESTARTING, &heard));
  CHECK(heard.level == TR_LOG_INFO && strstr(heard.message, "run 5 returned; starts again in ") != NULL);
  tr_task_release(task);
  registry_finish(registry);
}

static void log_ends_thread(void *context, const tr_log_event *event) {
  if (event->event != TR_EVENT_TASK_RESTARTING) return;
  atomic_fetch_add((atomic_int *)context, 1);
  pthread_exit(NULL);
}

/* Proves: a log callback that ends the thread between two runs loses nothing: the task starts again (P7, B4). Catches: a task
   that ends, or is lost, with the thread. */
CASE(a_log_callback_may_end_the_thread_between_two_runs) {
  struct acts acts = {.fails = 3};
  atomic_int events = 0;
  tr_registry *registry = registry_with(log_ends_thread, &events);
  tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, 1);
  tr_task *task = spawn_restarting(registry, &acts, &restart, plain);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK_EQ(4, atomic_load(&acts.runs));
  CHECK_EQ(3, atomic_load(&events));
  CHECK_EQ(1, atomic_load(&acts.drops));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a task of a later phase starts again although the token is cancelled, until its phase is asked; a task of a group
   starts again in a thread of the root registry, and is counted there (B2, E5, T2, T4). Why it matters: what earlier phases
   rely on stays there. Catches: a closed registry that starts nothing again; a restart that is not counted above. */
CASE(a_later_phase_starts_again_until_it_is_asked) {
  struct acts acts = {.fails = 20};
  tr_registry *registry = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
  tr_restart_options restart = restarts(TR_RESTART_ALWAYS, MS);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.phase = 3;
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_NONE, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn_with(group, "late", 1, body_acts, &acts, &options, NULL));
  tr_registry_release(group);
  registry_finish(registry);

  registry = registry_new();
  CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
  tr_task *task = spawn_restarting(group, &acts, &restart, options);
  while (atomic_load(&acts.runs) < 3) breathe();
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_NONE, NULL));
  int before = atomic_load(&acts.runs);
  while (atomic_load(&acts.runs) < before + 3) breathe();
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_task_wait(task, 0, NULL));
  uint64_t counted = restarts_counted(registry, 0);
  CHECK_EQ((uint64_t)atomic_load(&acts.runs) - 1, counted);
  CHECK_EQ(counted, restarts_counted(group, 0));
  CHECK_EQ(1, atomic_load(&acts.drops));
  tr_task_release(task);
  tr_registry_release(group);
  tr_registry_release(registry);
}

/* Proves: the registry may be released while a task of it waits; the task starts again, and its end frees everything (B4, G3).
   Catches: memory that is freed under the timer thread; threads that were sent away and do not come back. */
CASE(the_registry_may_be_released_while_a_task_waits) {
  for (int group = 0; group < 2; group++) {
    struct acts acts = {.fails = 5};
    tr_registry *registry = registry_new(), *inner = NULL;
    if (group) CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &inner));
    tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, 5 * MS);
    tr_task_release(spawn_restarting(group ? inner : registry, &acts, &restart, plain));
    tr_registry_release(inner);
    tr_registry_release(registry);
    while (atomic_load(&acts.drops) == 0) breathe();
    CHECK_EQ(6, atomic_load(&acts.runs));
    CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
  }
}

/* Of the second run: whether a wait ends at level drain, and its heartbeat interval counts from its start. */
struct own_state {
  atomic_int runs;
  tr_status wait, heartbeat;
};

static int body_drains(tr_task *self, void *ctx) {
  (void)self;
  struct own_state *own = ctx;
  if (atomic_fetch_add(&own->runs, 1) == 0) {
    CHECK_EQ(TR_OK, tr_begin_drain());
    CHECK_EQ(TR_OK, tr_shield_begin());
    CHECK_EQ(TR_OK, tr_heartbeat_pause());
    return 7;
  }
  own->heartbeat = tr_heartbeat();
  own->wait = tr_sleep(FOREVER);
  return 0;
}

/* Proves: drain, shield and pause end with their run; the heartbeat interval is suspended while the task waits, so it does not
   stall then, and begins with the next run (B4, C16, C17, E7). Catches: a second run that cannot be stopped; a stall of a
   task that has no thread; an interval that is over after the first run. */
CASE(what_a_run_sets_ends_with_it) {
  struct own_state own = {.runs = 0};
  log_init(&log_of_case, NULL);
  tr_registry *registry = registry_with(log_adds, &log_of_case);
  tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, 200 * MS);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.restart = &restart;
  options.heartbeat_ns = 20 * MS;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "drains", 1, body_drains, &own, &options, &task));
  await_waiting(registry, task);
  while (atomic_load(&own.runs) < 2) {
    tr_task_summary found = listed(registry, task);
    if (found.state == TR_STATE_WAITING) CHECK_EQ(0, found.stalled);
    breathe();
  }
  struct heard heard = {0};
  while (events_of(&log_of_case, TR_EVENT_TASK_STALLED, &heard) == 0) breathe();
  CHECK_EQ(2, atomic_load(&own.runs));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK_EQ(TR_ERR_CANCELLED, own.wait);
  CHECK_EQ(TR_OK, own.heartbeat);
  tr_task_release(task);
  registry_finish(registry);
}

struct interrupted {
  atomic_int runs;
  int pipe[2];
  ssize_t result;
  int error;
};

static int body_reads(tr_task *self, void *ctx) {
  (void)self;
  struct interrupted *it = ctx;
  char byte;
  if (atomic_fetch_add(&it->runs, 1) == 0) return 7;
  it->result = read(it->pipe[0], &byte, 1);
  it->error = errno;
  return 0;
}

/* Proves: the cancel signal interrupts a later run as it does the first (B4, C10). Catches: a signal that is gone with the first
   run, or is sent to its thread. */
CASE(the_cancel_signal_interrupts_a_later_run) {
  struct interrupted it = {.result = 0};
  CHECK_EQ(0, pipe(it.pipe));
  tr_registry *registry = registry_new();
  CHECK_EQ(TR_OK, tr_install_cancel_signal(SIGRTMIN + 1));
  tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, MS);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.restart = &restart;
  options.cancel_signal = SIGRTMIN + 1;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "reads", 1, body_reads, &it, &options, &task));
  while (atomic_load(&it.runs) < 2) breathe();
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK(it.result == -1 && it.error == EINTR);
  tr_task_release(task);
  registry_finish(registry);
  close(it.pipe[0]);
  close(it.pipe[1]);
}

/* Proves: while the system refuses threads, a task that is to start again waits and tries again, and so does one that was asked
   to stop (B4, S6). Why it matters: what fails for want of threads fails just then. Catches: a task that is lost, or ends as
   if it had run. */
CASE(where_the_system_refuses_a_thread_it_tries_again) {
  for (int stops = 0; stops < 2; stops++) {
    struct acts acts = {.fails = 1};
    tr_registry_options own = TR_REGISTRY_OPTIONS_INIT;
    own.idle_threads = TR_IDLE_THREADS_NONE;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&own, &registry));
    tr_restart_options restart = restarts(TR_RESTART_ON_FAILURE, stops ? HOUR : 50 * MS);
    tr_task *task = spawn_restarting(registry, &acts, &restart, plain);
    await_waiting(registry, task);
    fault_every(1, EAGAIN);
    if (stops) CHECK_EQ(TR_OK, tr_task_cancel(task));
    while (faulted_threads() < 3) breathe();
    CHECK_EQ(TR_STATE_WAITING, listed(registry, task).state);
    CHECK_EQ(1, atomic_load(&acts.runs));
    fault_none();
    CHECK_EQ(stops ? TR_ENDED_FAILED : TR_ENDED_RETURNED, outcome_of(task).how);
    CHECK_EQ(stops ? 1 : 2, atomic_load(&acts.runs));
    CHECK_EQ(1, atomic_load(&acts.drops));
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* Proves: options that break their requirements are rejected, with nothing kept; a policy "never" is as none (P4, B1). */
CASE(wrong_arguments_are_rejected) {
  tr_registry *registry = registry_new();
  struct acts acts = {.fails = 1};
  for (int wrong = 0; wrong < 11; wrong++) {
    tr_restart_options restart = restarts(TR_RESTART_ALWAYS, MS);
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.drop = drop_never;
    options.restart = &restart;
    switch (wrong) {
      case 0: restart.policy = 3; break;
      case 1: restart.min_delay_ns = -1; break;
      case 2: restart.max_delay_ns = MS - 1; break;
      case 3: restart.factor_percent = 99; break;
      case 4: restart.jitter_percent = 101; break;
      case 5: restart.healthy_ns = -1; break;
      case 6: restart.window_ns = -1; break;
      case 7: restart.max_restarts = TR_RESTARTS_MOST + 1; break;
      case 8: restart.reserved = 1; break;
      case 9: restart.size = 8; break;
      default: restart.max_delay_ns = -1; break;
    }
    CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "wrong", 1, body_acts, &acts, &options, NULL));
  }
  CHECK_EQ(0, tr_len(registry));
  tr_restart_options restart = restarts(TR_RESTART_NEVER, HOUR);
  tr_task *task = spawn_restarting(registry, &acts, &restart, plain);
  CHECK_EQ(TR_ENDED_FAILED, outcome_of(task).how);
  CHECK_EQ(1, atomic_load(&acts.runs));
  tr_task_release(task);
  registry_finish(registry);
}

struct storm {
  tr_registry *registry;
  struct acts acts[64];
  tr_task *tasks[64];
};

static void *storm_cancels(void *argument) {
  struct storm *storm = argument;
  for (int i = 0; i < 64; i++) {
    CHECK_EQ(TR_OK, tr_task_cancel(storm->tasks[i]));
    int runs = atomic_load(&storm->acts[i].runs);
    CHECK_EQ(TR_OK, tr_task_wait(storm->tasks[i], FOREVER, NULL));
    /* One may have been on its way into the body. */
    CHECK(atomic_load(&storm->acts[i].runs) <= runs + 1);
  }
  return NULL;
}

/* Claim: 64 tasks that fail at once and start again at once are asked to stop one after the other: each ends, with one drop, and
   none runs in two threads.
   Proves: the end of a run, the timer thread and the thread that asks meet in every order (B2, B4). */
CASE(many_are_stopped_while_they_start_again) {
  for (int round = 0; round < check_rounds(10) + 1; round++) {
    struct storm *storm = calloc(1, sizeof *storm);
    storm->registry = registry_new();
    tr_restart_options restart = restarts(TR_RESTART_ALWAYS, 1);
    for (int i = 0; i < 64; i++) {
      storm->acts[i].fails = INT_MAX;
      storm->tasks[i] = spawn_restarting(storm->registry, &storm->acts[i], &restart, plain);
    }
    while (atomic_load(&storm->acts[63].runs) < 3) breathe();
    thread_end(thread_start(storm_cancels, storm));
    for (int i = 0; i < 64; i++) {
      CHECK_EQ(1, atomic_load(&storm->acts[i].drops));
      tr_task_release(storm->tasks[i]);
    }
    registry_finish(storm->registry);
    free(storm);
  }
}

CHECK_MAIN(CHECK_ENTRY(a_task_starts_again_until_it_succeeds),
           CHECK_ENTRY(a_shutdown_ends_the_timer_thread_that_still_starts_the_last_run),
           CHECK_ENTRY(a_shutdown_does_not_wait_for_an_event_thread_that_is_refused),
           CHECK_ENTRY(a_refused_run_of_a_periodic_task_is_not_lost),
           CHECK_ENTRY(while_it_waits_it_says_so_and_has_no_thread),
           CHECK_ENTRY(asked_to_stop_while_it_waits_it_ends_at_once),
           CHECK_ENTRY(the_run_that_is_asked_to_stop_is_the_last),
           CHECK_ENTRY(after_too_many_restarts_it_has_failed_for_good), CHECK_ENTRY(always_is_after_success_too),
           CHECK_ENTRY(a_log_callback_may_end_the_thread_between_two_runs),
           CHECK_ENTRY(a_later_phase_starts_again_until_it_is_asked),
           CHECK_ENTRY(the_registry_may_be_released_while_a_task_waits), CHECK_ENTRY(what_a_run_sets_ends_with_it),
           CHECK_ENTRY(the_cancel_signal_interrupts_a_later_run),
           CHECK_ENTRY(where_the_system_refuses_a_thread_it_tries_again), CHECK_ENTRY(wrong_arguments_are_rejected),
           CHECK_ENTRY(many_are_stopped_while_they_start_again))
