/* deadlines.c - the events of a deadline: that it is near, that it is extended for progress, that a
   task was late (E4, E6). */

#include "deadline.h"

#include "groups.h"

/* Proves: when 80 % of the grace have passed with tasks alive, one warning names them, with where
   they are; it comes before the deadline does, and not at all when all have ended by then, when it
   is switched off, or when no task is asked (E6, O2). Why it matters: an operator may still do
   something. Catches: a warning at every check, one after the deadline, one by tr_join_all, a share
   of the wrong time. */
CASE(a_deadline_that_is_near_is_reported_once) {
  struct events events = EVENTS_INIT;
  tr_registry *registry = registry_noting(&events, 0);
  struct gate gate = GATE_INIT;
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 20 * MS, NULL));
  CHECK_EQ(0, events_of(&events, TR_EVENT_DEADLINE_NEAR, NULL));
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, 200 * MS, NULL));
  struct event near;
  CHECK_EQ(1, events_of(&events, TR_EVENT_DEADLINE_NEAR, &near));
  CHECK_EQ(TR_LOG_WARNING, near.level);
  CHECK_MSG(strstr(near.message, "1 task alive: deaf") != NULL, "%s", near.message);
  CHECK(near.at - start >= 160 * MS);
  CHECK_EQ(gettid(), near.tid);
  struct event passed;
  CHECK_EQ(2, events_of(&events, TR_EVENT_DEADLINE_EXCEEDED, &passed));
  CHECK(near.at < passed.at);

  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  options.warn_percent = TR_WARN_NEVER;
  CHECK_EQ(TR_ERR_DEADLINE,
           tr_shutdown_with(registry, TR_REASON_FATAL, NULL, 20 * MS, &options, NULL));
  CHECK_EQ(1, events_of(&events, TR_EVENT_DEADLINE_NEAR, NULL));
  options.warn_percent = 10;
  start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE,
           tr_shutdown_with(registry, TR_REASON_FATAL, NULL, 200 * MS, &options, NULL));
  CHECK_EQ(2, events_of(&events, TR_EVENT_DEADLINE_NEAR, &near));
  CHECK(near.at - start >= 20 * MS);
  CHECK_MSG(near.at - start < 160 * MS * check_scale(), "%lld", (long long)(near.at - start));
  gate_open(&gate);
  wait_and_release(deaf);
  CHECK_EQ(TR_OK, tr_shutdown_with(registry, TR_REASON_FATAL, NULL, 10 * SECOND, &options, NULL));
  CHECK_EQ(2, events_of(&events, TR_EVENT_DEADLINE_NEAR, NULL));
  registry_finish(registry);
}

static int body_checks_in(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_checkpoint("flushing the journal"));
  gate_pass(ctx);
  return 0;
}

/* Proves: the events of a deadline say where tasks are, groups and checkpoints included, and in
   phases that a deadline is near comes while an earlier phase still takes its time (E3, E5, E6).
   Why it matters: the name "deaf" alone does not say where the task is. Catches: names without
   paths; a warning that waits for the last phase. */
CASE(events_of_a_deadline_say_where_tasks_are) {
  struct events events = EVENTS_INIT;
  tr_registry *registry = registry_noting(&events, 0);
  tr_registry *group = group_new(registry, "net");
  struct gate gate = GATE_INIT, other = GATE_INIT;
  tr_task *task = spawn(group, "peer", body_checks_in, &gate);
  tr_task *later = spawn_in_phase(group, "later", 1, body_deaf, &other);
  gate_await(&gate, 1);
  gate_await(&other, 1);
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  options.warn_percent = 10;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE,
           tr_shutdown_with(registry, TR_REASON_FATAL, NULL, 300 * MS, &options, NULL));
  struct event near, passed;
  CHECK_EQ(1, events_of(&events, TR_EVENT_DEADLINE_NEAR, &near));
  CHECK_MSG(strstr(near.message, "2 tasks alive:") != NULL, "%s", near.message);
  CHECK_MSG(strstr(near.message, " net/peer (flushing the journal)") != NULL, "%s", near.message);
  CHECK_MSG(strstr(near.message, " net/later") != NULL, "%s", near.message);
  CHECK_MSG(near.at - start < 150 * MS * check_scale(), "%lld", (long long)(near.at - start));
  CHECK_EQ(1, events_of(&events, TR_EVENT_DEADLINE_EXCEEDED, &passed));
  CHECK_MSG(strstr(passed.message, " net/peer (flushing the journal)") != NULL, "%s", passed.message);
  gate_open(&gate);
  gate_open(&other);
  wait_and_release(task);
  wait_and_release(later);
  tr_registry_release(group);
  registry_finish(registry);
}

/* Proves: the late end of an abandoned task is reported once, on its own thread, with its name,
   before its completion becomes observable; one that ends within the abort grace is not late, nor
   one that ended before the deadline (E6, J4). Why it matters: the operator who read "abandoned"
   sees how it ended. Catches: a late event for every flagged task, for an aborted one, twice after
   two deadlines, or after the end was observable. */
CASE(who_ends_after_all_is_late_once) {
  struct events events = EVENTS_INIT;
  tr_registry *registry = registry_noting(&events, 0);
  struct gate gate = GATE_INIT;
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  wait_and_release(spawn(registry, "quick", body_returns, NULL));
  gate_await(&gate, 1);
  tr_task_summary summary;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, NULL));
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(deaf), &summary));
  CHECK_EQ(0, events_of(&events, TR_EVENT_TASK_LATE, NULL));
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_task_wait(deaf, FOREVER, NULL));
  struct event late;
  CHECK_EQ(1, events_of(&events, TR_EVENT_TASK_LATE, &late));
  CHECK_EQ(TR_LOG_INFO, late.level);
  CHECK_STR("deaf", late.task);
  CHECK_EQ(tr_task_id(deaf), late.task_id);
  CHECK_EQ(summary.thread_id, late.tid);
  tr_task_release(deaf);
  registry_finish(registry);
  CHECK_EQ(1, events_of(&events, TR_EVENT_TASK_LATE, NULL));

  struct events others = EVENTS_INIT;
  registry = registry_noting(&others, 3600 * SECOND);
  struct gate started = GATE_INIT;
  tr_task *obeys = spawn(registry, "obeys", body_obeys, &started);
  gate_await(&started, 1);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &report));
  CHECK_EQ(1, report.aborted);
  CHECK_EQ(0, events_of(&others, TR_EVENT_TASK_LATE, NULL));
  tr_task_release(obeys);
  registry_finish(registry);
}

static void exit_on_late(void *context, const tr_log_event *event) {
  if (event->event != TR_EVENT_TASK_LATE) return;
  atomic_fetch_add((atomic_int *)context, 1);
  pthread_exit(NULL);
}

/* Proves: a log callback that leaves the thread while a late end is reported is called once, and
   the task ends exactly once (E6, O1). Why it matters: nothing a callback does may lose a task.
   Catches: reporting again from the destructor; an end that is counted twice or never. */
CASE(a_callback_may_leave_the_thread_of_a_late_task) {
  atomic_int heard = 0;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = exit_on_late;
  options.log_context = &heard;
  options.flags = TR_REGISTRY_METRICS;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  struct gate gate = GATE_INIT;
  tr_task *plain = spawn(registry, "plain", body_deaf, &gate);
  tr_task *phased = spawn_in_phase(registry, "phased", 3, body_deaf, &gate);
  gate_await(&gate, 2);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  gate_open(&gate);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(plain).how);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(phased).how);
  tr_task_release(plain);
  tr_task_release(phased);
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, 0, &metrics));
  CHECK_EQ(2, metrics.ended);
  registry_finish(registry);
  CHECK_EQ(2, atomic_load(&heard));
}

/* ---- A deadline that is extended ------------------------------------------------------------ */

struct worker {
  struct gate started;
  int steps;    /* how many times it reports progress once it is asked, 2 ms apart; negative:
                   indefinitely */
  int repeats;  /* 1: with the same numbers again and again */
  atomic_int *stop;
};

static int body_works_on(tr_task *self, void *ctx) {
  struct worker *worker = ctx;
  (void)self;
  gate_arrive(&worker->started);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  for (int i = 1; worker->steps < 0 || i <= worker->steps; i++) {
    CHECK_EQ(TR_OK, tr_progress(worker->repeats ? 1 : (uint64_t)i, 0, "blocks"));
    breathe();
    breathe();
    if (worker->stop != NULL && atomic_load(worker->stop)) break;
  }
  return 0;
}

/* Proves: while a task reports progress the deadline is extended, and the call succeeds when it has
   ended; the report and an event say how far; without the option it is not extended (E4). Why it
   matters: a flush that needs a second more must not be lost. Catches: a deadline that stays; one
   that is extended without the option; an extension that is not reported. */
CASE(progress_moves_the_deadline_on) {
  struct events events = EVENTS_INIT;
  for (int moves = 1; moves >= 0; moves--) {
    tr_registry *registry = registry_noting(&events, 0);
    atomic_int stop = 0;
    struct worker worker = {GATE_INIT, moves ? 100 : -1, 0, &stop};
    tr_task *task = spawn(registry, "worker", body_works_on, &worker);
    gate_await(&worker.started, 1);
    tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
    if (moves) options.max_grace_ns = 600 * SECOND;
    options.progress_window_ns = 10 * SECOND;
    tr_join_report report = TR_JOIN_REPORT_INIT;
    int64_t start = now_ns();
    tr_status status = tr_shutdown_with(registry, TR_REASON_USER_REQUESTED, NULL, 50 * MS, &options,
                                        &report);
    int64_t took = now_ns() - start;
    if (moves) {
      CHECK_EQ(TR_OK, status);
      CHECK(took >= 200 * MS);
      CHECK(report.extended_ns > 0);
      CHECK(events_of(&events, TR_EVENT_DEADLINE_EXTENDED, NULL) >= 1);
      CHECK_EQ(0, events_of(&events, TR_EVENT_DEADLINE_EXCEEDED, NULL));
    } else {
      CHECK_EQ(TR_ERR_DEADLINE, status);
      CHECK_EQ(0, report.extended_ns);
      atomic_store(&stop, 1);
    }
    wait_and_release(task);
    registry_finish(registry);
  }
}

/* Proves: the deadline is never extended beyond the cap, whatever tasks report; it is not extended
   for a task that reports the same numbers again, nor for one that has reported nothing for longer
   than the window (E4). Why it matters: systemd kills a service that takes too long. Catches: a cap
   that counts from the last extension; every call of tr_progress taken for progress; a window that
   is not checked. */
CASE(the_cap_bounds_what_progress_can_do) {
  struct {
    int repeats, steps;
    int64_t grace, max, window, least, most;
  } ways[] = {
      {0, -1, 50 * MS, 300 * MS, 10 * SECOND, 300 * MS, 300 * MS}, /* progress indefinitely */
      {1, -1, 150 * MS, 60 * SECOND, 20 * MS, 150 * MS, 150 * MS}, /* the same numbers */
      {0, 1, 400 * MS, 60 * SECOND, 50 * MS, 400 * MS, 400 * MS},  /* one step, long ago */
      {0, -1, 100 * MS, 50 * MS, 10 * SECOND, 100 * MS, 100 * MS}, /* a cap before the grace is none */
  };
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    tr_registry *registry = registry_new();
    atomic_int stop = 0;
    struct gate gate = GATE_INIT;
    struct worker worker = {GATE_INIT, ways[i].steps, ways[i].repeats, &stop};
    tr_task *task = spawn(registry, "worker", body_works_on, &worker);
    tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
    gate_await(&worker.started, 1);
    gate_await(&gate, 1);
    tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
    options.max_grace_ns = ways[i].max;
    options.progress_window_ns = ways[i].window;
    tr_join_report report = TR_JOIN_REPORT_INIT;
    int64_t start = now_ns();
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown_with(registry, TR_REASON_USER_REQUESTED, NULL, ways[i].grace,
                                               &options, &report));
    int64_t took = now_ns() - start;
    CHECK_MSG(took >= ways[i].least && took <= ways[i].most + AT_ONCE, "way %zu: %lld ns", i,
              (long long)took);
    CHECK_BETWEEN_NS(0, ways[i].most - ways[i].grace, report.extended_ns);
    if (i == 0) CHECK_EQ(ways[i].max - ways[i].grace, report.extended_ns);
    atomic_store(&stop, 1);
    gate_open(&gate);
    wait_and_release(task);
    wait_and_release(deaf);
    registry_finish(registry);
  }
}

/* Proves: a second signal makes the deadline now, however much progress there is, and asks all
   phases, which are in the report (E4, E5, C13). Why it matters: the sender wants an end, and
   then an explanation. Catches: an extension that outlasts it; phases that are asked and not
   reported. */
CASE(a_second_signal_goes_before_progress) {
  tr_registry *registry = registry_new();
  atomic_int stop = 0;
  struct worker worker = {GATE_INIT, -1, 0, &stop};
  struct gate started = GATE_INIT;
  tr_task *task = spawn(registry, "worker", body_works_on, &worker);
  tr_task *later = spawn_in_phase(registry, "later", 2, body_obeys, &started);
  gate_await(&worker.started, 1);
  gate_await(&started, 1);
  tr_signal_options signals = TR_SIGNAL_OPTIONS_INIT;
  signals.debounce_ns = TR_NO_DEBOUNCE;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &signals));
  tr_token *token = tr_registry_token(registry);
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  options.max_grace_ns = 3600 * SECOND;
  options.progress_window_ns = 3600 * SECOND;
  int64_t start = now_ns();
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, 1800 * SECOND, &options, &counts, &full));
  CHECK(now_ns() - start < AT_ONCE);
  CHECK_EQ(1, tr_task_is_cancelled(later));
  tr_phase_report first = phase_of(full, 0), second = phase_of(full, 1);
  CHECK(first.phase == 0 && first.asked == 1 && first.remaining == 1);
  CHECK(second.phase == 2 && second.asked == 1 && second.remaining <= 1);
  CHECK(second.start_ns >= first.start_ns + first.duration_ns && second.duration_ns >= 0);
  tr_report_release(full);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  atomic_store(&stop, 1);
  wait_and_release(task);
  wait_and_release(later);
  registry_finish(registry);
}

/* Proves: once a second signal has forced the deadline, no event says that it is near, however long the later phases
   have (E6, C13).  Why it matters: "860 ms to the deadline" is not so, and an operator waits for what has passed.
   Catches: an event with the time of the deadline that was. */
CASE(nothing_is_near_after_a_second_signal) {
  struct events events = EVENTS_INIT;
  tr_registry *registry = registry_noting(&events, TR_NO_ABORT_GRACE);
  struct gate gate = GATE_INIT;
  tr_task *tasks[3];
  for (uint32_t i = 0; i < 3; i++) tasks[i] = spawn_in_phase(registry, "deaf", i, body_deaf, &gate);
  gate_await(&gate, 3);
  tr_signal_options signals = TR_SIGNAL_OPTIONS_INIT;
  signals.debounce_ns = TR_NO_DEBOUNCE;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &signals));
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  while (tr_task_stop_level(tasks[0]) != TR_STOP_ABORT) breathe();
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  options.warn_percent = 5; /* 50 ms: it has passed when phase 2 is asked */
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown_with(registry, TR_REASON_FATAL, NULL, SECOND, &options, NULL));
  CHECK_EQ(0, events_of(&events, TR_EVENT_DEADLINE_NEAR, NULL));
  CHECK_EQ(1, events_of(&events, TR_EVENT_DEADLINE_EXCEEDED, NULL));
  gate_open(&gate);
  for (int i = 0; i < 3; i++) wait_and_release(tasks[i]);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  registry_finish(registry);
}

static int body_takes(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  int64_t end = now_ns() + *(int64_t *)ctx;
  while (now_ns() < end) breathe();
  return *(int64_t *)ctx == 0 ? 7 : 0;
}

/* Proves: a shutdown that succeeds names the tasks that took longest to stop, the slowest first,
   with times, kinds, groups and how they ended; at most sixteen of them (E6). Why it matters: a
   task that is slow today does not stop in time tomorrow. Catches: the fastest ones; the last to
   come; times from the spawn. */
CASE(the_slowest_to_stop_are_named_in_success) {
  enum { TASKS = 20 };
  tr_registry *registry = registry_new();
  tr_registry *group = group_new(registry, "net");
  static int64_t times[TASKS];
  for (int i = 0; i < TASKS; i++) {
    char name[16];
    times[i] = i == 5 ? 600 * MS : i == 6 ? 200 * MS : 0;
    snprintf(name, sizeof name, "task %d", i);
    tr_task_release(spawn(i == 5 ? group : registry, name, body_takes, &times[i]));
  }
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_OK, shutdown_full(registry, 60 * SECOND, NULL, &counts, &full));
  tr_ended_task first = TR_ENDED_TASK_INIT, second = TR_ENDED_TASK_INIT, next = TR_ENDED_TASK_INIT;
  CHECK_EQ(TR_OK, tr_report_slowest(full, 0, &first));
  CHECK_EQ(TR_OK, tr_report_slowest(full, 1, &second));
  CHECK_STR("task 5", first.name);
  CHECK_STR("net", first.group);
  CHECK_EQ(TR_ENDED_RETURNED, first.how);
  CHECK(first.stop_ns >= 600 * MS && first.ran_ns >= first.stop_ns);
  CHECK_STR("task 6", second.name);
  int64_t before = second.stop_ns;
  for (size_t i = 2; i < 16; i++) {
    CHECK_EQ(TR_OK, tr_report_slowest(full, i, &next));
    CHECK(next.stop_ns <= before);
    CHECK_EQ(TR_ENDED_FAILED, next.how);
    CHECK_EQ(7, next.code);
    before = next.stop_ns;
  }
  CHECK_EQ(TR_ERR_INVALID, tr_report_slowest(full, 16, &next));
  CHECK_EQ(0, straggler_count(full));
  tr_report_release(full);
  tr_registry_release(group);
  tr_registry_release(registry);
}

CHECK_MAIN(CHECK_ENTRY(a_deadline_that_is_near_is_reported_once),
           CHECK_ENTRY(events_of_a_deadline_say_where_tasks_are),
           CHECK_ENTRY(who_ends_after_all_is_late_once),
           CHECK_ENTRY(a_callback_may_leave_the_thread_of_a_late_task),
           CHECK_ENTRY(progress_moves_the_deadline_on),
           CHECK_ENTRY(the_cap_bounds_what_progress_can_do),
           CHECK_ENTRY(a_second_signal_goes_before_progress),
           CHECK_ENTRY(nothing_is_near_after_a_second_signal),
           CHECK_ENTRY(the_slowest_to_stop_are_named_in_success))
