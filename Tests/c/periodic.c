/* periodic.c - tasks that run again and again: tr_spawn_every, tr_task_trigger, pauses, other periods. Rules B2 to B6. */

#include "groups.h"
#include "stalls.h"
#include "support.h"

#define HOUR (3600 * SECOND)

/* What a task's runs do, and what they have done. */
struct beats {
  struct gate *held; /* each run arrives there, and waits; may be NULL */
  int code, obeys;
  int64_t takes;     /* how long each run sleeps */
  atomic_int runs, drops, wrong, running;
  int64_t begun[64];
};

static int body_beats(tr_task *self, void *ctx) {
  struct beats *beats = ctx;
  (void)self;
  int64_t now = now_ns();
  if (atomic_fetch_add(&beats->running, 1) != 0 || atomic_load(&beats->drops) != 0) atomic_fetch_add(&beats->wrong, 1);
  /* The time first, for whoever sees the count; no two runs are under way at once. */
  int run = atomic_load(&beats->runs);
  if (run < 64) beats->begun[run] = now;
  atomic_store(&beats->runs, run + 1);
  if (beats->held != NULL) gate_pass(beats->held);
  if (beats->takes != 0) TR_IGNORE(tr_sleep(beats->takes));
  if (beats->obeys && tr_sleep(FOREVER) != TR_ERR_CANCELLED) atomic_fetch_add(&beats->wrong, 1);
  atomic_fetch_sub(&beats->running, 1);
  return beats->code;
}

static void drop_beats(void *ctx) { atomic_fetch_add(&((struct beats *)ctx)->drops, 1); }

static tr_schedule every(int64_t period, int64_t first) {
  tr_schedule schedule = TR_SCHEDULE_INIT;
  schedule.period_ns = period;
  schedule.first_delay_ns = first;
  return schedule;
}

static tr_task *spawn_every(tr_registry *registry, struct beats *beats, const tr_schedule *schedule) {
  tr_task *task = NULL;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_beats;
  CHECK_EQ(TR_OK,
           tr_spawn_every(registry, "beat", TR_KIND_MAINTENANCE, body_beats, beats, schedule, &options, &task));
  return task;
}

static void await_runs(struct beats *beats, int count) {
  while (atomic_load(&beats->runs) < count) breathe();
}

static tr_task_summary listed(tr_registry *registry, tr_task *task) {
  tr_task_summary found = TR_TASK_SUMMARY_INIT;
  CHECK(find_in_snapshot(registry, tr_task_id(task), &found));
  return found;
}

/* Wait until `runs` runs are over and the task waits for the next. */
static tr_task_summary await_waiting(tr_registry *registry, tr_task *task, uint64_t runs) {
  tr_task_summary found = listed(registry, task);
  while (found.state != TR_STATE_WAITING || found.runs != runs) {
    breathe();
    found = listed(registry, task);
  }
  return found;
}

static void stop(tr_registry *registry, tr_task *task, struct beats *beats) {
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_EQ(1, atomic_load(&beats->drops));
  CHECK_EQ(0, atomic_load(&beats->wrong));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a periodic task runs at its first delay and then every period, never before its tick, as one task, and ends after the
   run that is under way when it is asked to stop (B3, B5). Why it matters: "every 30 seconds" is what the library takes off the
   program's hands. Catches: a tick that comes early; a first run that does not wait; a drop after each run. */
CASE(it_runs_every_period) {
  for (int first = 0; first < 2; first++) {
    struct beats beats = {.obeys = 0};
    tr_registry *registry = registry_new();
    tr_schedule schedule = every(20 * MS, first * 50 * MS);
    int64_t start = now_ns();
    tr_task *task = spawn_every(registry, &beats, &schedule);
    schedule.period_ns = -1; /* it was copied */
    await_runs(&beats, 8);
    for (int run = 0; run < 8; run++) CHECK(beats.begun[run] - start >= first * 50 * MS + run * 20 * MS);
    CHECK_EQ(1, tr_len(registry));
    CHECK(listed(registry, task).runs >= 8);
    stop(registry, task, &beats);
  }
}

/* Proves: before its first run, and between two, a periodic task waits without a thread, and says for how long; asked to stop it
   ends at once, having returned if it never ran (B2, B3, B4). Catches: a run that begins because of the stop. */
CASE(asked_to_stop_while_it_waits_it_ends_at_once) {
  for (int first = 0; first < 2; first++) {
    struct beats beats = {.code = first ? 0 : 7};
    tr_registry *registry = registry_new();
    tr_schedule schedule = every(2 * HOUR, first * HOUR);
    tr_task *task = spawn_every(registry, &beats, &schedule);
    tr_task_summary found = await_waiting(registry, task, first ? 0 : 1);
    CHECK_EQ(0, found.thread_id);
    CHECK_EQ(first ? 0 : TR_ENDED_FAILED, found.last_how);
    CHECK(found.starts_in_ns > HOUR / 2 && found.starts_in_ns <= (2 - first) * HOUR);
    char text[4096];
    size_t length = 0;
    CHECK_EQ(TR_OK, tr_snapshot_write_buffer(registry, TR_FORMAT_TEXT, text, sizeof text, &length));
    CHECK_MSG(strstr(text, first ? "run 0; starts in " : "run 1; the last failed with code 7; starts again in ") != NULL,
              "%.300s", text);
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain(registry, &report));
    CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
    CHECK_MSG(strstr(text, first ? " s for its first run\n" : " s to start again\n") != NULL, "%.300s", text);
    tr_report_release(report);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    tr_outcome outcome = outcome_of(task);
    CHECK_EQ(first ? TR_ENDED_RETURNED : TR_ENDED_FAILED, outcome.how);
    CHECK_EQ(TR_ERR_CLOSED, tr_task_trigger(task));
    CHECK_EQ(TR_ERR_CLOSED, tr_task_resume(task));
    CHECK_EQ(first ? 0 : 1, atomic_load(&beats.runs));
    CHECK_EQ(1, atomic_load(&beats.drops));
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* Proves: a trigger begins a run at once; during a run any number of them have one run after it; the ticks stay (B6). Why it
   matters: "compact now" must not run twice at once. Catches: a trigger that is lost, or counted; a second thread. */
CASE(a_trigger_begins_a_run_and_never_two) {
  struct gate held = GATE_INIT;
  struct beats beats = {.held = &held};
  tr_registry *registry = registry_new();
  tr_schedule schedule = every(HOUR, HOUR);
  tr_task *task = spawn_every(registry, &beats, &schedule);
  CHECK_EQ(TR_OK, tr_task_trigger(task));
  gate_await(&held, 1);
  for (int i = 0; i < 5; i++) CHECK_EQ(TR_OK, tr_task_trigger(task));
  CHECK_EQ(1, atomic_load(&beats.runs));
  gate_open(&held);
  tr_task_summary found = await_waiting(registry, task, 2);
  CHECK(found.starts_in_ns > HOUR / 2 && found.starts_in_ns < HOUR);
  CHECK_EQ(2, atomic_load(&beats.runs));
  stop(registry, task, &beats);
}

/* Proves: paused it does not run, says so, and misses nothing; a trigger runs it once; resumed it goes on (B6). Catches: a tick in
   a pause; a pause that only delays one tick; a resume that makes up. */
CASE(a_pause_has_no_ticks) {
  struct beats beats = {.code = 0};
  tr_registry *registry = registry_new();
  tr_schedule schedule = every(5 * MS, 0);
  tr_task *task = spawn_every(registry, &beats, &schedule);
  await_runs(&beats, 2);
  CHECK_EQ(TR_OK, tr_task_pause(task));
  CHECK_EQ(TR_OK, tr_task_pause(task));
  tr_task_summary found = listed(registry, task);
  while (found.starts_in_ns != INT64_MAX) { /* a run may have been on its way */
    breathe();
    found = listed(registry, task);
  }
  int runs = atomic_load(&beats.runs);
  CHECK_EQ(TR_STATE_WAITING, found.state);
  char text[4096];
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_snapshot_write_buffer(registry, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "; paused\n") != NULL, "%.300s", text);
  CHECK_EQ(TR_OK, tr_snapshot_write_buffer(registry, TR_FORMAT_JSON, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "\"paused\":true,\"starts_in_ns\":null") != NULL, "%.300s", text);
  TR_IGNORE(tr_sleep(50 * MS));
  CHECK_EQ(runs, atomic_load(&beats.runs));
  CHECK_EQ(TR_OK, tr_task_trigger(task));
  await_runs(&beats, runs + 1);
  CHECK_EQ(INT64_MAX, await_waiting(registry, task, (uint64_t)runs + 1).starts_in_ns);
  CHECK_EQ(TR_OK, tr_task_resume(task));
  await_runs(&beats, runs + 4);
  /* Asked to stop, it does not wait for a resume. */
  CHECK_EQ(TR_OK, tr_task_pause(task));
  stop(registry, task, &beats);
}

/* Proves: another period counts from the last tick, at once if that is over, and holds from then on (B6). */
CASE(the_period_may_be_changed) {
  struct beats beats = {.code = 0};
  tr_registry *registry = registry_new();
  tr_schedule schedule = every(HOUR, 0);
  tr_task *task = spawn_every(registry, &beats, &schedule);
  await_waiting(registry, task, 1);
  CHECK_EQ(TR_OK, tr_task_set_period(task, MS));
  await_runs(&beats, 5);
  CHECK_EQ(TR_OK, tr_task_set_period(task, 2 * HOUR));
  while (listed(registry, task).starts_in_ns <= HOUR) breathe(); /* a run may have been on its way */
  stop(registry, task, &beats);
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

static struct log log_of_case;

/* Proves: a run that takes longer than its period is an event, and is counted by kind; the ticks it takes are left out, and no two
   runs overlap (B5, B6). Why it matters: a job that no longer fits into its period is a defect that nobody sees. Catches: a run in
   a second thread; an event for each run. */
CASE(a_run_that_takes_too_long_is_an_event) {
  struct beats beats = {.takes = 55 * MS};
  log_init(&log_of_case, NULL);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_adds;
  options.log_context = &log_of_case;
  options.flags = TR_REGISTRY_METRICS;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  tr_schedule schedule = every(20 * MS, 0);
  tr_task *task = spawn_every(registry, &beats, &schedule);
  await_runs(&beats, 4);
  for (int run = 0; run < 4; run++) CHECK(beats.begun[run] - beats.begun[0] >= run * 60 * MS - 20 * MS);
  struct heard heard;
  CHECK(events_of(&log_of_case, TR_EVENT_TASK_OVERRUN, &heard) >= 3);
  CHECK_EQ(0, events_of(&log_of_case, TR_EVENT_TASK_RESTARTING, NULL));
  CHECK(heard.level == TR_LOG_WARNING && heard.id == tr_task_id(task));
  CHECK_MSG(strncmp(heard.message, "run ", 4) == 0 && strstr(heard.message, " ms of every 20.0 ms") != NULL, "%.300s",
            heard.message);
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, TR_KIND_MAINTENANCE, &metrics));
  CHECK(metrics.overruns >= 3 && metrics.restarts == 0);
  /* The period is that with which the run began. */
  CHECK_EQ(TR_OK, tr_task_set_period(task, 10 * MS));
  do {
    breathe();
    events_of(&log_of_case, TR_EVENT_TASK_OVERRUN, &heard);
  } while (strstr(heard.message, " ms of every 10.0 ms") == NULL);
  stop(registry, task, &beats);
}

/* Proves: with a heartbeat interval of its period a run that takes longer than that is listed by tr_health as long as it lasts, and
   between two runs the task is never stalled (B4, B6). Why it matters: a run that never ends makes no event. Catches: an interval
   that goes on between two runs; one that begins with the first run alone. */
CASE(a_run_that_takes_too_long_is_stalled_while_it_lasts) {
  tr_registry *registry = registry_new();
  struct gate gates[2] = {GATE_INIT, GATE_INIT};
  struct beats beats = {.held = &gates[0]};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.heartbeat_ns = 20 * MS;
  options.drop = drop_beats;
  tr_schedule schedule = every(HOUR, 0); /* so that no tick comes between */
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_every(registry, "beat", TR_KIND_MAINTENANCE, body_beats, &beats, &schedule, &options, &task));
  for (uint64_t run = 1; run <= 2; run++) {
    tr_task_summary stalled = TR_TASK_SUMMARY_INIT;
    size_t count = 0;
    gate_await(&gates[run - 1], 1);
    while (tr_health(registry, &stalled, 1, &count) != TR_ERR_STALLED) breathe();
    CHECK_EQ(1, count);
    CHECK_EQ(tr_task_id(task), stalled.id);
    CHECK_EQ(TR_STATE_RUNNING, stalled.state);
    CHECK_EQ(run, stalled.runs);
    beats.held = &gates[1];
    gate_open(&gates[run - 1]);
    await_waiting(registry, task, run);
    for (int64_t end = now_ns() + 5 * options.heartbeat_ns; now_ns() < end; breathe())
      CHECK_EQ(TR_OK, tr_health(registry, NULL, 0, &count));
    if (run == 1) CHECK_EQ(TR_OK, tr_task_trigger(task));
  }
  stop(registry, task, &beats);
}

/* Proves: a run that fails is an event and not the end, unless the schedule says so; then an essential task takes its registry down
   (B3, B5, C12). */
CASE(a_run_that_fails_is_the_end_only_if_the_schedule_says_so) {
  for (int ends = 0; ends < 2; ends++) {
    struct beats beats = {.code = 7};
    log_init(&log_of_case, NULL);
    tr_registry *registry = registry_with(log_adds, &log_of_case);
    tr_schedule schedule = every(5 * MS, MS);
    schedule.flags = ends ? TR_SCHEDULE_ENDS_ON_FAILURE : 0;
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.drop = drop_beats;
    options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_every(registry, "beat", 1, body_beats, &beats, &schedule, &options, &task));
    if (ends) {
      CHECK_EQ(TR_ENDED_FAILED, outcome_of(task).how);
      CHECK_EQ(1, atomic_load(&beats.runs));
      CHECK_EQ(TR_REASON_FATAL, tr_token_reason(tr_registry_token(registry)));
      CHECK_EQ(1, events_of(&log_of_case, TR_EVENT_TASK_FAILED, NULL));
    } else {
      await_runs(&beats, 4);
      CHECK(!tr_token_is_cancelled(tr_registry_token(registry)));
      struct heard heard;
      CHECK(events_of(&log_of_case, TR_EVENT_TASK_RESTARTING, &heard) >= 3);
      CHECK_MSG(strstr(heard.message, " failed with code 7") != NULL, "%.300s", heard.message);
      CHECK_EQ(0, events_of(&log_of_case, TR_EVENT_TASK_FAILED, NULL));
    }
    stop(registry, task, &beats);
  }
}

/* Proves: ticks counted from ends leave a whole period after each run (B5). */
CASE(ticks_may_be_counted_from_ends) {
  struct beats beats = {.takes = 30 * MS};
  tr_registry *registry = registry_new();
  tr_schedule schedule = every(20 * MS, 0);
  schedule.flags = TR_SCHEDULE_FROM_END;
  tr_task *task = spawn_every(registry, &beats, &schedule);
  await_runs(&beats, 4);
  for (int run = 1; run < 4; run++) CHECK(beats.begun[run] - beats.begun[run - 1] >= 50 * MS);
  stop(registry, task, &beats);
}

/* Proves: a trigger ends the delay of a task that is to start again, and is rejected for a task that is neither (B6). */
CASE(a_trigger_ends_a_delay) {
  struct beats beats = {.code = 7};
  tr_registry *registry = registry_new();
  tr_restart_options restart = TR_RESTART_OPTIONS_INIT;
  restart.policy = TR_RESTART_ON_FAILURE;
  restart.min_delay_ns = HOUR;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.restart = &restart;
  options.drop = drop_beats;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "again", 1, body_beats, &beats, &options, &task));
  await_waiting(registry, task, 1);
  CHECK_EQ(TR_OK, tr_task_trigger(task));
  await_waiting(registry, task, 2);
  CHECK_EQ(TR_ERR_INVALID, tr_task_pause(task));
  CHECK_EQ(TR_ERR_INVALID, tr_task_resume(task));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_period(task, SECOND));
  tr_task *plain = spawn(registry, "plain", body_obeys, NULL);
  CHECK_EQ(TR_ERR_INVALID, tr_task_trigger(plain));
  CHECK_EQ(TR_ERR_INVALID, tr_task_trigger(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_pause(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_resume(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_period(NULL, SECOND));
  tr_task_release(plain);
  stop(registry, task, &beats);
}

/* Proves: schedules that break their requirements are rejected, with nothing kept (P4, B5). */
CASE(wrong_arguments_are_rejected) {
  tr_registry *registry = registry_new();
  for (int wrong = 0; wrong < 10; wrong++) {
    tr_schedule schedule = every(SECOND, 0);
    tr_restart_options restart = TR_RESTART_OPTIONS_INIT;
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.drop = drop_never;
    switch (wrong) {
      case 0: schedule.period_ns = 0; break;
      case 1: schedule.period_ns = -1; break;
      case 2: schedule.first_delay_ns = -1; break;
      case 3: schedule.flags = 4; break;
      case 4: schedule.missed = 3; break;
      case 5: schedule.jitter_percent = 101; break;
      case 6: schedule.size = 8; break;
      case 7: options.restart = &restart; break;
      case 8: options.flags = 0x8000; break;
      default: break;
    }
    CHECK_EQ(TR_ERR_INVALID,
             tr_spawn_every(registry, "wrong", 1, body_never, NULL, wrong == 9 ? NULL : &schedule, &options, NULL));
  }
  tr_schedule schedule = every(SECOND, 0);
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_every(NULL, "wrong", 1, body_never, NULL, &schedule, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_every(registry, NULL, 1, body_never, NULL, &schedule, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_every(registry, "wrong", 1, NULL, NULL, &schedule, NULL, NULL));
  CHECK_EQ(0, tr_len(registry));
  struct beats beats = {.code = 0};
  tr_task *task = spawn_every(registry, &beats, &schedule);
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_period(task, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_period(task, -1));
  await_runs(&beats, 1);
  stop(registry, task, &beats);
}

/* Proves: a periodic task of a group runs in the root registry's threads, a shutdown of either ends it at once, and the registry
   may be released while it waits (B4, T4, G3). */
CASE(a_group_may_have_periodic_tasks) {
  struct beats beats = {.code = 0}, other = {.code = 0};
  tr_registry *registry = registry_new(), *group = group_new(registry, "group");
  tr_schedule schedule = every(2 * MS, 0), rare = every(HOUR, HOUR);
  tr_task_release(spawn_every(group, &beats, &schedule));
  tr_task_release(spawn_every(group, &other, &rare));
  await_runs(&beats, 5);
  tr_registry_release(group);
  await_runs(&beats, 10);
  registry_finish(registry);
  CHECK(atomic_load(&beats.drops) == 1 && atomic_load(&other.drops) == 1 && atomic_load(&other.runs) == 0);
}

struct crowd {
  tr_task *task;
  atomic_int over;
};

static void *crowd_triggers(void *argument) {
  struct crowd *crowd = argument;
  for (int i = 0; !atomic_load(&crowd->over); i++) {
    tr_status status = i % 7 == 0   ? tr_task_pause(crowd->task)
                       : i % 7 == 3 ? tr_task_resume(crowd->task)
                       : i % 7 == 5 ? tr_task_set_period(crowd->task, 1 + i % 1000)
                                    : tr_task_trigger(crowd->task);
    CHECK(status == TR_OK || status == TR_ERR_CLOSED);
  }
  return NULL;
}

/* Claim: three threads trigger, pause and change a task whose ticks come all the time, until it is asked to stop: no two runs
   overlap, none is after the end, and it does end.
   Proves: trigger, tick, pause and stop meet in every order (B2, B5, B6). */
CASE(triggers_ticks_and_a_stop_meet) {
  for (int round = 0; round < check_rounds(10) + 1; round++) {
    struct beats beats = {.code = round % 2};
    tr_registry *registry = registry_new();
    tr_schedule schedule = every(1, 0);
    schedule.missed = (uint32_t)round % 3;
    struct crowd crowd = {.task = spawn_every(registry, &beats, &schedule)};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) threads[i] = thread_start(crowd_triggers, &crowd);
    await_runs(&beats, 200);
    CHECK_EQ(TR_OK, tr_task_cancel(crowd.task));
    CHECK_EQ(TR_OK, tr_task_wait(crowd.task, FOREVER, NULL));
    atomic_store(&crowd.over, 1);
    for (int i = 0; i < 3; i++) thread_end(threads[i]);
    stop(registry, crowd.task, &beats);
  }
}

CHECK_MAIN(CHECK_ENTRY(it_runs_every_period), CHECK_ENTRY(asked_to_stop_while_it_waits_it_ends_at_once),
           CHECK_ENTRY(a_trigger_begins_a_run_and_never_two), CHECK_ENTRY(a_pause_has_no_ticks),
           CHECK_ENTRY(the_period_may_be_changed), CHECK_ENTRY(a_run_that_takes_too_long_is_an_event),
           CHECK_ENTRY(a_run_that_takes_too_long_is_stalled_while_it_lasts),
           CHECK_ENTRY(a_run_that_fails_is_the_end_only_if_the_schedule_says_so),
           CHECK_ENTRY(ticks_may_be_counted_from_ends), CHECK_ENTRY(a_trigger_ends_a_delay),
           CHECK_ENTRY(wrong_arguments_are_rejected), CHECK_ENTRY(a_group_may_have_periodic_tasks),
           CHECK_ENTRY(triggers_ticks_and_a_stop_meet))
