/* phase_calls.c - the functions that a shutdown calls when a phase has begun and when it has ended: in which order,
   on which thread, and what they may do: block, end their thread, fork, and call the library. Rules E5, P7, J8. */

#include "deadline.h"

#define MOST_CALLS 64

struct call {
  int has_ended;
  uint32_t phase;
  uint64_t tasks;
  pthread_t thread;
};

/* What the functions of one shutdown were called with. `also` is called with each. */
struct calls {
  struct call calls[MOST_CALLS];
  int count;
  tr_registry *registry;
  void (*also)(struct calls *calls, const struct call *call);
  void *more;
};

static void note(struct calls *calls, int has_ended, uint32_t phase, uint64_t tasks) {
  CHECK(calls->count < MOST_CALLS);
  struct call *call = &calls->calls[calls->count++];
  *call = (struct call){has_ended, phase, tasks, pthread_self()};
  if (calls->also != NULL) calls->also(calls, call);
}

static void phase_begins(void *context, uint32_t phase, uint64_t tasks) { note(context, 0, phase, tasks); }
static void phase_ends(void *context, uint32_t phase, uint64_t tasks) { note(context, 1, phase, tasks); }

static tr_shutdown_options reporting_to(struct calls *calls) {
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  options.on_phase_begin = phase_begins;
  options.on_phase_end = phase_ends;
  options.phase_context = calls;
  return options;
}

/* Each phase has begun and ended once, in order, in the calling thread. */
static void check_all_called(const struct calls *calls) {
  CHECK_EQ(2 * TR_PHASES, calls->count);
  for (int i = 0; i < calls->count; i++) {
    CHECK_EQ(i / 2, calls->calls[i].phase);
    CHECK_EQ(i % 2, calls->calls[i].has_ended);
    CHECK(pthread_equal(calls->calls[i].thread, pthread_self()));
  }
}

static int is_call(const struct call *call, int has_ended, uint32_t phase) {
  return call->has_ended == has_ended && call->phase == phase;
}

static void pass(int64_t ns) {
  const struct timespec time = {ns / SECOND, ns % SECOND};
  nanosleep(&time, NULL);
}

/* ---- When they are called ------------------------------------------------------------------- */

struct workers {
  struct gate gate;
  tr_task *worker, *journal;
};

static void look_at_workers(struct calls *calls, const struct call *call) {
  struct workers *workers = calls->more;
  tr_task_summary list[4] = {TR_TASK_SUMMARY_INIT};
  size_t count = 0;
  /* Under no lock: lists, counts and waits work here. */
  CHECK_EQ(TR_OK, tr_snapshot(calls->registry, list, 4, &count));
  if (is_call(call, 0, 1)) {
    CHECK_EQ(1, call->tasks);
    CHECK_EQ(1, tr_task_is_cancelled(workers->worker));
    CHECK_EQ(0, tr_task_is_cancelled(workers->journal));
    CHECK_EQ(2, count);
    gate_open(&workers->gate);
  } else if (is_call(call, 1, 1) || is_call(call, 1, 3)) {
    CHECK_EQ(0, call->tasks);
    CHECK_EQ(1, count);
    CHECK_EQ(TR_OK, tr_task_wait(workers->worker, 0, NULL));
    CHECK_EQ(0, tr_task_is_cancelled(workers->journal));
  } else if (call->phase > 4 || is_call(call, 1, 4)) {
    CHECK_EQ(0, call->tasks);
    CHECK_EQ(0, count);
  }
}

/* The phase of a report by its number. Others without tasks are listed if their calls took a millisecond, as they do on
   a slow machine; none is listed twice, or without its end. */
static tr_phase_report phase_numbered(const tr_report *full, uint32_t number) {
  tr_phase_report phase = TR_PHASE_REPORT_INIT, found = TR_PHASE_REPORT_INIT;
  int64_t last = -1;
  found.phase = TR_PHASES;
  for (size_t i = 0; tr_report_phase(full, i, &phase) == TR_OK; i++) {
    CHECK((int64_t)phase.phase > last && phase.duration_ns >= 0);
    CHECK(phase.asked + phase.ended_before > 0 || phase.callbacks_ns >= 1 * MS);
    if (phase.phase == number) found = phase;
    last = phase.phase;
  }
  CHECK_EQ(number, found.phase);
  return found;
}

/* Proves: each phase begins and ends once, in order, with tasks or without, also in a registry that never had any; a
   phase has begun once its tasks are asked, and has ended when they have, before the next one is asked; all calls are
   on the thread that shuts down, under no lock (E5). Why it matters: what closes the connections after the workers
   has to run then, and also if no worker was left. Catches: calls for phases with tasks alone; an end that is
   reported after the next phase was asked; a beginning before the tasks are asked. */
CASE(each_phase_begins_and_ends_once) {
  struct workers workers = {GATE_INIT, NULL, NULL};
  struct calls calls = {.also = look_at_workers, .more = &workers};
  struct gate started = GATE_INIT;
  calls.registry = registry_new();
  workers.worker = spawn_in_phase(calls.registry, "worker", 1, body_deaf, &workers.gate);
  workers.journal = spawn_in_phase(calls.registry, "journal", 4, body_obeys, &started);
  gate_await(&workers.gate, 1);
  gate_await(&started, 1);
  tr_shutdown_options options = reporting_to(&calls);
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_OK, shutdown_full(calls.registry, FOREVER, &options, &counts, &full));
  check_all_called(&calls);
  CHECK_EQ(1, phase_numbered(full, 1).asked);
  CHECK_EQ(1, phase_numbered(full, 4).asked);
  tr_report_release(full);

  /* Again, and nobody is left. */
  calls.count = 0;
  calls.also = NULL;
  CHECK_EQ(TR_OK, tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, 0, &options, NULL));
  check_all_called(&calls);

  /* One of the two alone. */
  calls.count = 0;
  options.on_phase_begin = NULL;
  CHECK_EQ(TR_OK, tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, 0, &options, NULL));
  CHECK_EQ(TR_PHASES, calls.count);
  CHECK_EQ(1, calls.calls[0].has_ended);
  calls.count = 0;
  options.on_phase_begin = phase_begins;
  options.on_phase_end = NULL;
  CHECK_EQ(TR_OK, tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, 0, &options, NULL));
  CHECK_EQ(TR_PHASES, calls.count);
  CHECK_EQ(0, calls.calls[0].has_ended);
  tr_task_release(workers.worker);
  tr_task_release(workers.journal);
  tr_registry_release(calls.registry);
}

struct late {
  struct gate gate;
  int64_t start, ended_at;
  uint64_t remaining;
};

static void note_the_end(struct calls *calls, const struct call *call) {
  struct late *late = calls->more;
  if (!is_call(call, 1, 2)) return;
  late->ended_at = now_ns() - late->start;
  late->remaining = call->tasks;
}

/* Proves: the end of the last phase that has tasks is reported after the abort grace, with the number of those that
   are still alive: its tasks were told to abort at the deadline, and not when the function had returned (E5, J4).
   Why it matters: a connection that a task still uses must not be closed. Catches: a call before the abort grace. */
CASE(the_last_phase_ends_after_the_abort_grace) {
  const int64_t grace = 50 * MS, abort_grace = 100 * MS;
  struct late late = {.gate = GATE_INIT};
  struct calls calls = {.also = note_the_end, .more = &late};
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.abort_grace_ns = abort_grace;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &calls.registry));
  struct gate started = GATE_INIT;
  tr_task *deaf = spawn_in_phase(calls.registry, "deaf", 2, body_deaf, &late.gate);
  tr_task *obeys = spawn_in_phase(calls.registry, "obeys", 2, body_obeys, &started);
  gate_await(&late.gate, 1);
  gate_await(&started, 1);
  tr_shutdown_options how = reporting_to(&calls);
  late.start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, grace, &how, NULL));
  check_all_called(&calls);
  CHECK(late.ended_at >= grace + abort_grace);
  CHECK_EQ(1, late.remaining);
  gate_open(&late.gate);
  wait_and_release(deaf);
  wait_and_release(obeys);
  registry_finish(calls.registry);
}

/* ---- Their time ----------------------------------------------------------------------------- */

static void take_time(struct calls *calls, const struct call *call) {
  (void)calls;
  if (is_call(call, 0, 1)) pass(20 * MS);
  if (is_call(call, 1, 1)) pass(40 * MS);
  if (is_call(call, 1, 6)) pass(30 * MS);
}

/* Proves: the time that the functions take is in the report: in total, by phase, also for a phase without tasks, and
   with the name of the function that took longest; as text and as JSON (E5, J8, E10). Why it matters: "took 90 ms"
   sends nobody to the function that closes connections. Catches: a time that is not counted; a phase without tasks
   that is left out; one that is listed twice, or without its end. */
CASE(their_time_is_counted_and_named) {
  struct calls calls = {.also = take_time};
  calls.registry = registry_new();
  struct gate started = GATE_INIT;
  tr_task *task = spawn_in_phase(calls.registry, "task", 1, body_obeys, &started);
  gate_await(&started, 1);
  tr_shutdown_options options = reporting_to(&calls);
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_OK, shutdown_full(calls.registry, 60 * SECOND, &options, &counts, &full));
  CHECK(counts.callbacks_ns >= 90 * MS && counts.callbacks_ns <= counts.elapsed_ns);
  tr_phase_report first = phase_numbered(full, 1), second = phase_numbered(full, 6);
  CHECK_EQ(1, first.phase);
  CHECK(first.callbacks_ns >= 60 * MS);
  CHECK(first.duration_ns >= 20 * MS);
  /* The end of phase 1 is called after its duration and before any later phase begins. */
  CHECK(second.start_ns >= first.start_ns + first.duration_ns + 40 * MS);
  CHECK_EQ(6, second.phase);
  CHECK_EQ(0, second.asked);
  CHECK(second.callbacks_ns >= 30 * MS && second.callbacks_ns <= counts.elapsed_ns);
  CHECK(second.start_ns >= first.start_ns + first.callbacks_ns && second.duration_ns >= second.callbacks_ns);
  char text[8192];
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_report_write_buffer(full, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK(strstr(text, ", phase callback ") != NULL && strstr(text, "phase_calls") != NULL);
  const char *line = strstr(text, "phase 1: "), *took = line != NULL ? strstr(line, "; its callbacks took ") : NULL;
  CHECK_MSG(took != NULL && strtod(took + strlen("; its callbacks took "), NULL) >= (first.callbacks_ns < SECOND ? 60 : 1), "%.300s", took != NULL ? took : text);
  CHECK_EQ(TR_OK, tr_report_write_buffer(full, TR_FORMAT_JSON, text, sizeof text, &length));
  CHECK(strstr(text, "\"longest_callback\":{\"kind\":\"phase\"") != NULL);
  wait_and_release(task);
  tr_report_release(full);
  tr_registry_release(calls.registry);
}

static void pass_some_time(void *ctx) {
  (void)ctx;
  pass(100 * MS);
}

static void cancel_another(struct calls *calls, const struct call *call) {
  if (is_call(call, 0, 1)) CHECK_EQ(TR_OK, tr_task_cancel(calls->more));
}

/* Proves: a callback that runs within another one is part of its time, and is not counted beside it (E5, J8).
   Why it matters: callbacks_ns is by how much the call may have exceeded its deadline.
   Catches: a sum of 200 ms for a call that took half of that. */
CASE(a_callback_within_another_is_counted_once) {
  struct calls calls = {.also = cancel_another};
  calls.registry = registry_new();
  struct gate started = GATE_INIT;
  tr_task *task = spawn_in_phase(calls.registry, "task", 4, body_obeys, &started);
  calls.more = task;
  gate_await(&started, 1);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_cancel(task, pass_some_time, NULL, NULL, &registration));
  tr_shutdown_options options = reporting_to(&calls);
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, 60 * SECOND, &options, &counts));
  CHECK(counts.callbacks_ns >= 100 * MS && counts.callbacks_ns <= counts.elapsed_ns);
  tr_registration_remove(registration);
  wait_and_release(task);
  tr_registry_release(calls.registry);
}

/* ---- What they may do ----------------------------------------------------------------------- */

/* Waits until it is told to abort, however it is asked before. */
static int body_drains(tr_task *self, void *ctx) {
  CHECK_EQ(TR_OK, tr_begin_drain());
  gate_arrive(ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(self));
  return 0;
}

static void block_past_the_deadline(struct calls *calls, const struct call *call) {
  (void)calls;
  if (is_call(call, 1, 0)) pass(200 * MS);
}

/* Proves: a function that blocks past the deadline delays what is due meanwhile, and no more: the later phase is asked
   and told to abort when it returns, has the abort grace, and the call ends; the report says how long the function
   took (E5, P7). Why it matters: the rest of the program must stop in order all the same. Catches: a later phase that
   is never asked because its time has gone; a deadline that moves by the function's time. */
CASE(one_that_blocks_past_the_deadline) {
  struct calls calls = {.also = block_past_the_deadline};
  calls.registry = registry_new();
  struct gate started = GATE_INIT;
  tr_task *task = spawn_in_phase(calls.registry, "drains", 5, body_drains, &started);
  gate_await(&started, 1);
  tr_shutdown_options options = reporting_to(&calls);
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, 50 * MS, &options, &counts));
  CHECK(now_ns() - start >= 200 * MS);
  CHECK_EQ(1, counts.pending);
  CHECK_EQ(1, counts.aborted);
  CHECK_EQ(0, counts.extended_ns);
  CHECK(counts.callbacks_ns >= 200 * MS);
  check_all_called(&calls);
  wait_and_release(task);
  registry_finish(calls.registry);
}

static void send_second_signal(struct calls *calls, const struct call *call) {
  if (!is_call(call, 0, 0)) return;
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  /* This thread is in the shutdown, and still the task is told to abort. */
  CHECK_EQ(TR_OK, tr_task_wait(calls->more, FOREVER, NULL));
}

/* Proves: a second signal takes effect while a function is running (E5, C13). Why it matters: a function that hangs
   must not make the program deaf. Catches: an abort that waits for the thread that shuts down. */
CASE(a_second_signal_comes_through) {
  struct calls calls = {.also = send_second_signal};
  calls.registry = registry_new();
  tr_signal_options signals = TR_SIGNAL_OPTIONS_INIT;
  signals.debounce_ns = TR_NO_DEBOUNCE;
  CHECK_EQ(TR_OK, tr_signal_watch_start(calls.registry, NULL, &signals));
  struct gate started = GATE_INIT;
  tr_task *task = spawn_in_phase(calls.registry, "drains", 0, body_drains, &started);
  calls.more = task;
  gate_await(&started, 1);
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(calls.registry), FOREVER));
  tr_shutdown_options options = reporting_to(&calls);
  CHECK_EQ(TR_OK, tr_shutdown_with(calls.registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, &options, NULL));
  check_all_called(&calls);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(calls.registry));
  tr_task_release(task);
  tr_registry_release(calls.registry);
}

static void end_the_thread(struct calls *calls, const struct call *call) {
  if (is_call(call, *(int *)calls->more, 0)) pthread_exit(NULL);
}

static void *thread_shuts_down(void *context) {
  struct calls *calls = context;
  tr_shutdown_options options = reporting_to(calls);
  tr_report *full = NULL;
  TR_IGNORE(tr_shutdown_report(calls->registry, TR_REASON_FATAL, NULL, FOREVER, &options, &full));
  CHECK_MSG(0, "%s", "a call whose thread has ended returns");
  return NULL;
}

/* Proves: a function that ends its thread ends the call, and nothing else: the registry stays closed, phases that were
   not asked stay unasked until another shutdown, which goes through all of them; nothing is left of the report (E5,
   P7, G4). Why it matters: libraries call pthread_exit in unexpected places. Catches: a report that records for good;
   a count of waiters that stays. */
CASE(one_that_ends_its_thread) {
  for (int in_end = 0; in_end < 2; in_end++) {
    struct calls calls = {.also = end_the_thread, .more = &in_end};
    calls.registry = registry_new();
    struct gate started = GATE_INIT;
    tr_task *first = spawn_in_phase(calls.registry, "first", 0, body_obeys, &started);
    tr_task *later = spawn_in_phase(calls.registry, "later", 2, body_obeys, &started);
    gate_await(&started, 2);
    thread_end(thread_start(thread_shuts_down, &calls));
    CHECK_EQ(1 + in_end, calls.count);
    CHECK_EQ(TR_OK, tr_task_wait(first, FOREVER, NULL));
    CHECK_EQ(1, tr_registry_is_closed(calls.registry));
    CHECK_EQ(0, tr_task_is_cancelled(later));
    calls.count = 0;
    calls.also = NULL;
    tr_shutdown_options options = reporting_to(&calls);
    tr_join_report counts;
    tr_report *full = NULL;
    CHECK_EQ(TR_OK, shutdown_full(calls.registry, 60 * SECOND, &options, &counts, &full));
    check_all_called(&calls);
    CHECK_EQ(1, counts.ended);
    CHECK_EQ(1, counts.ended_before);
    tr_report_release(full);
    tr_task_release(first);
    tr_task_release(later);
    tr_registry_release(calls.registry);
  }
}

static void call_the_library(struct calls *calls, const struct call *call) {
  tr_registry *registry = calls->registry, *other = calls->more;
  tr_spawn_options cleanup = TR_SPAWN_OPTIONS_INIT;
  cleanup.flags = TR_SPAWN_CLEANUP;
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "no", TR_KIND_MAINTENANCE, body_never, NULL, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn_with(registry, "no", TR_KIND_MAINTENANCE, body_never, NULL, &cleanup, NULL));
  CHECK_EQ(TR_OK, tr_spawn(other, "yes", TR_KIND_MAINTENANCE, body_returns, NULL, NULL));
  CHECK_EQ(TR_OK, tr_registry_wait(other, FOREVER));
  if (!is_call(call, 0, 0)) return;
  struct calls inner = {.registry = registry};
  tr_shutdown_options options = reporting_to(&inner);
  CHECK_EQ(TR_OK, tr_shutdown_with(registry, TR_REASON_FATAL, NULL, FOREVER, &options, NULL));
  check_all_called(&inner);
  CHECK_EQ(TR_OK, tr_join_all(registry, 0, NULL));
}

/* Proves: a function may call the library: a spawn in the registry is rejected, one in another is not; a shutdown and
   a join are calls of their own, with their own functions, and the outer call goes on (E5, P7, S5, J6). Why it
   matters: who has to stop now will do it there. Catches: a lock that is held; a wait for oneself. */
CASE(they_may_call_the_library) {
  struct calls calls = {.also = call_the_library};
  tr_registry *other = registry_new();
  calls.registry = registry_new();
  calls.more = other;
  struct gate started = GATE_INIT;
  for (uint32_t phase = 0; phase < 3; phase++)
    tr_task_release(spawn_in_phase(calls.registry, "obeys", phase, body_obeys, &started));
  gate_await(&started, 3);
  tr_shutdown_options options = reporting_to(&calls);
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, 60 * SECOND, &options, &counts));
  CHECK_EQ(3, counts.ended);
  check_all_called(&calls);
  registry_finish(other);
  tr_registry_release(calls.registry);
}

static void fork_a_child(struct calls *calls, const struct call *call) {
  if (!is_call(call, 0, 0)) return;
  pid_t *child = calls->more;
  *child = fork();
  CHECK(*child >= 0);
}

/* Proves: in a child that a function forks the shutdown returns TR_ERR_FORKED, and no other function is called (P1).
   Why it matters: the child would close the parent's connections. Catches: a call for the end of a phase there. */
CASE(one_that_forks) {
  pid_t child = -1;
  struct calls calls = {.also = fork_a_child, .more = &child};
  calls.registry = registry_new();
  struct gate started = GATE_INIT;
  tr_task_release(spawn_in_phase(calls.registry, "obeys", 0, body_obeys, &started));
  gate_await(&started, 1);
  tr_shutdown_options options = reporting_to(&calls);
  tr_status status = tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, 60 * SECOND, &options, NULL);
  if (child == 0) _exit(status == TR_ERR_FORKED && calls.count == 1 ? 7 : 1);
  CHECK_EQ(TR_OK, status);
  check_all_called(&calls);
  int result = 0;
  CHECK_EQ(child, waitpid(child, &result, 0));
  CHECK(WIFEXITED(result));
  CHECK_EQ(7, WEXITSTATUS(result));
  tr_registry_release(calls.registry);
}

struct impatient {
  struct calls calls;
  tr_task *self;
  tr_status status;
};

static void cancel_the_caller(struct calls *calls, const struct call *call) {
  struct impatient *impatient = calls->more;
  if (is_call(call, 0, 0)) CHECK_EQ(TR_OK, tr_task_cancel(impatient->self));
}

static int body_shuts_down_others(tr_task *self, void *ctx) {
  struct impatient *impatient = ctx;
  impatient->self = self;
  tr_shutdown_options options = reporting_to(&impatient->calls);
  impatient->status =
      tr_shutdown_with(impatient->calls.registry, TR_REASON_FATAL, NULL, FOREVER, &options, NULL);
  return 0;
}

/* Proves: after the flag of the calling task has cut the shutdown short no function is called; the later phases are
   asked all the same (E5, C4). Why it matters: none of these phases has ended. Catches: an end that is reported while
   its tasks run. */
CASE(none_is_called_after_a_shutdown_was_cut_short) {
  struct impatient impatient = {.calls = {.also = cancel_the_caller}};
  impatient.calls.more = &impatient;
  tr_registry *callers = registry_new();
  impatient.calls.registry = registry_new();
  struct gate gate = GATE_INIT, started = GATE_INIT;
  tr_task *stuck = spawn_in_phase(impatient.calls.registry, "stuck", 0, body_deaf, &gate);
  tr_task *later = spawn_in_phase(impatient.calls.registry, "later", 3, body_obeys, &started);
  gate_await(&gate, 1);
  gate_await(&started, 1);
  wait_and_release(spawn(callers, "caller", body_shuts_down_others, &impatient));
  CHECK_EQ(TR_ERR_CANCELLED, impatient.status);
  CHECK_EQ(1, impatient.calls.count);
  CHECK_EQ(1, tr_task_is_cancelled(later));
  gate_open(&gate);
  wait_and_release(stuck);
  wait_and_release(later);
  registry_finish(callers);
  registry_finish(impatient.calls.registry);
}

/* ---- The maximum of a phase ------------------------------------------------------------------ */

struct upload {
  int64_t lasts; /* from the flag; 0: until the gate is open */
  struct gate gate;
  int is_early; /* whether the database was asked before the upload ended */
  tr_task *database;
};

static int body_uploads(tr_task *self, void *ctx) {
  struct upload *upload = ctx;
  gate_arrive(&upload->gate);
  int64_t asked = 0;
  for (uint64_t block = 1;; block++) {
    CHECK_EQ(TR_OK, tr_progress(block, 0, "blocks"));
    pass(MS);
    if (asked == 0 && tr_task_is_cancelled(self)) asked = now_ns();
    if (asked != 0 && upload->lasts != 0 && now_ns() - asked >= upload->lasts) break;
    pthread_mutex_lock(&upload->gate.lock);
    int is_over = upload->gate.open;
    pthread_mutex_unlock(&upload->gate.lock);
    if (is_over) return 0;
  }
  upload->is_early = tr_task_is_cancelled(upload->database);
  return 0;
}

/* Proves: with phase_max_grace_ns, progress in a phase holds the next one back, and extends the deadline with it, but
   not beyond that time from the beginning of the phase, nor beyond max_grace_ns; a phase that has no such time is not
   extended, and neither is one because of the time of another; and the last phase is extended as well (E4, E5). Why it
   matters: connections that drain may take longer than the rest. Catches: a maximum that counts for all phases, or
   from the call; a next phase that loses its time. */
CASE(a_phase_is_extended_up_to_its_own_maximum) {
  const int64_t grace = 200 * MS;
  static const struct {
    int64_t of_phase, of_other, of_call; /* the maximums */
    int64_t lasts;                       /* of the upload; 0: until it is told to end */
    int is_extended, is_cut;             /* whether the phase has more than its share, and whether not enough */
    int64_t least;                       /* how long the phase lasts at least */
  } rows[] = {
      {60 * SECOND, 0, 0, 300 * MS, 1, 0, 300 * MS},  /* as long as there is progress */
      {400 * MS, 0, 0, 0, 1, 1, 400 * MS},            /* up to its own maximum */
      {60 * SECOND, 0, 600 * MS, 0, 1, 1, 450 * MS},  /* up to that of the call */
      {0, 60 * SECOND, 0, 0, 0, 1, 0},                /* that of another phase */
      {50 * MS, 0, 0, 0, 0, 1, 0},                    /* less than its share */
      {50 * MS, 0, 60 * SECOND, 500 * MS, 0, 1, 0},   /* less than its share, whatever the call has */
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct upload upload = {.lasts = rows[i].lasts, .gate = GATE_INIT};
    struct gate started = GATE_INIT;
    tr_registry *registry = registry_new();
    upload.database = spawn_in_phase(registry, "database", 5, body_obeys, &started);
    tr_task *task = spawn_in_phase(registry, "upload", 2, body_uploads, &upload);
    gate_await(&upload.gate, 1);
    gate_await(&started, 1);
    tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
    options.progress_window_ns = 10 * SECOND;
    options.max_grace_ns = rows[i].of_call;
    options.phase_max_grace_ns[2] = rows[i].of_phase;
    options.phase_max_grace_ns[7] = rows[i].of_other;
    tr_join_report counts;
    tr_report *full = NULL;
    tr_status status = shutdown_full(registry, grace, &options, &counts, &full);
    tr_phase_report first = phase_of(full, 0), second = phase_of(full, 1);
    CHECK_EQ(2, first.phase);
    CHECK_EQ(5, second.phase);
    CHECK_EQ(rows[i].is_cut, first.remaining);
    CHECK(first.duration_ns >= rows[i].least);
    CHECK(second.start_ns >= first.start_ns + first.duration_ns);
    CHECK_EQ(0, second.remaining);
    /* What was reserved for the later phase is still there when it is asked. */
    CHECK(second.share_ns > 0);
    if (rows[i].is_extended) CHECK(counts.extended_ns > 0);
    if (!rows[i].is_extended && rows[i].of_call == 0) CHECK_EQ(0, counts.extended_ns);
    if (rows[i].lasts != 0) {
      CHECK_EQ(TR_OK, status);
      CHECK_EQ(rows[i].is_cut, upload.is_early);
    } else {
      CHECK_EQ(TR_ERR_DEADLINE, status);
    }
    gate_open(&upload.gate);
    wait_and_release(task);
    wait_and_release(upload.database);
    tr_report_release(full);
    registry_finish(registry);
  }
}

/* Proves: a maximum of the last phase, also if that is phase 0, extends the deadline up to it (E4, E5). Why it
   matters: most programs have one phase. Catches: a maximum that is dropped when no later phase has tasks. */
CASE(the_last_phase_is_extended_up_to_its_own_maximum) {
  for (uint32_t phase = 0; phase < 8; phase += 7) {
    struct upload upload = {.gate = GATE_INIT};
    tr_registry *registry = registry_new();
    tr_task *task = spawn_in_phase(registry, "upload", phase, body_uploads, &upload);
    gate_await(&upload.gate, 1);
    tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
    options.progress_window_ns = 60 * SECOND;
    options.phase_max_grace_ns[phase] = 300 * MS;
    tr_join_report counts = TR_JOIN_REPORT_INIT;
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown_with(registry, TR_REASON_FATAL, NULL, 50 * MS, &options, &counts));
    CHECK_BETWEEN_NS(200 * MS, 250 * MS + check_scale() * MS, counts.extended_ns); /* the phase begins a moment later */
    CHECK(counts.elapsed_ns >= 300 * MS);
    gate_open(&upload.gate);
    wait_and_release(task);
    registry_finish(registry);
  }
}

static void block_after_the_second_signal(struct calls *calls, const struct call *call) {
  if (!is_call(call, 0, 0)) return;
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  while (tr_task_stop_level(calls->more) != TR_STOP_ABORT) breathe();
  pass(100 * MS);
}

/* Proves: after a second signal no progress extends the deadline, not even one that had passed when the signal came
   through (E4, C13). Why it matters: the report would name an extension that there was not.
   Catches: progress that is looked at first. */
CASE(nothing_is_extended_after_a_second_signal) {
  struct upload upload = {.gate = GATE_INIT};
  struct events events = EVENTS_INIT;
  struct calls calls = {.also = block_after_the_second_signal};
  calls.registry = registry_noting(&events, 10 * MS);
  tr_signal_options signals = TR_SIGNAL_OPTIONS_INIT;
  signals.debounce_ns = TR_NO_DEBOUNCE;
  CHECK_EQ(TR_OK, tr_signal_watch_start(calls.registry, NULL, &signals));
  tr_task *task = spawn_in_phase(calls.registry, "upload", 0, body_uploads, &upload);
  calls.more = task;
  gate_await(&upload.gate, 1);
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(calls.registry), FOREVER));
  tr_shutdown_options options = reporting_to(&calls);
  options.max_grace_ns = 60 * SECOND;
  options.progress_window_ns = 60 * SECOND;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown_with(calls.registry, TR_REASON_FATAL, NULL, 50 * MS, &options, &counts));
  CHECK_EQ(1, counts.pending);
  CHECK_EQ(0, counts.extended_ns);
  CHECK_EQ(0, events_of(&events, TR_EVENT_DEADLINE_EXTENDED, NULL));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(calls.registry));
  gate_open(&upload.gate);
  wait_and_release(task);
  registry_finish(calls.registry);
}

CHECK_MAIN(CHECK_ENTRY(each_phase_begins_and_ends_once),
           CHECK_ENTRY(the_last_phase_ends_after_the_abort_grace),
           CHECK_ENTRY(their_time_is_counted_and_named), CHECK_ENTRY(a_callback_within_another_is_counted_once),
           CHECK_ENTRY(one_that_blocks_past_the_deadline), CHECK_ENTRY(a_second_signal_comes_through),
           CHECK_ENTRY(one_that_ends_its_thread), CHECK_ENTRY(they_may_call_the_library),
           CHECK_ENTRY(one_that_forks), CHECK_ENTRY(none_is_called_after_a_shutdown_was_cut_short),
           CHECK_ENTRY(a_phase_is_extended_up_to_its_own_maximum),
           CHECK_ENTRY(the_last_phase_is_extended_up_to_its_own_maximum),
           CHECK_ENTRY(nothing_is_extended_after_a_second_signal))
