/* levels.c - the two levels of a request to stop: drain and abort (C15), what a task's waits do once it
   drains (C16), and shields (C17). */

#include "support.h"

#include <poll.h>

static int is_readable(int fd) {
  struct pollfd one = {fd, POLLIN, 0};
  int ready = poll(&one, 1, 0);
  CHECK(ready >= 0);
  return ready == 1;
}

static uint32_t flag_of(tr_task *task) { return __atomic_load_n(tr_task_cancel_flag(task), __ATOMIC_ACQUIRE); }

/* Proves: a request has a level which only rises, and which the flag's address shows as 0, 1, 2; who is told
   to abort at once is cancelled too (C15, C3).  Why it matters: loops read the address without a call.
   Catches: a second flag; a cancel that lowers the level. */
CASE(levels_rise_and_never_fall) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "one by one", body_deaf, &gate);
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(task));
  CHECK_EQ(0, flag_of(task));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(task));
  CHECK_EQ(1, flag_of(task));
  CHECK_EQ(TR_OK, tr_task_abort(task));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(task));
  CHECK_EQ(2, flag_of(task));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(task));
  tr_task *other = spawn(registry, "at once", body_deaf, &gate);
  CHECK_EQ(TR_OK, tr_task_abort(other));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(other));
  CHECK_EQ(1, tr_task_is_cancelled(other));
  CHECK_EQ(TR_ERR_INVALID, tr_task_abort(NULL));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(NULL));
  gate_open(&gate);
  wait_and_release(task);
  CHECK_EQ(1, outcome_of(other).was_cancelled);
  tr_task_release(other);
  registry_finish(registry);
}

/* ---- Waits of a task that drains --------------------------------------------------------------- */

enum { SLEEP, FLAG, FD, COND, COND_TOKEN, TASK, TOKEN, ANY_TOKEN, REGISTRY, JOIN, WAITS };

struct drainer {
  int wait;
  int fd;
  tr_task *task;
  tr_token *token;
  tr_registry *empty_never;
  struct gate asked, waits;
};

/* The status of a wait that has nothing to wait for but its timeout. */
static tr_status wait_for_nothing(struct drainer *drainer, int64_t timeout) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  tr_status status = TR_OK;
  switch (drainer->wait) {
  case SLEEP:
    status = tr_sleep(timeout);
    return status == TR_OK ? TR_ERR_TIMEDOUT : status;
  case FLAG: return tr_wait_cancelled(timeout);
  case FD: return tr_wait_fd(drainer->fd, POLLIN, timeout);
  case COND:
  case COND_TOKEN:
    pthread_mutex_lock(&mutex);
    while (status == TR_OK)
      status = drainer->wait == COND ? tr_cond_wait(&never, &mutex, timeout)
                                     : tr_cond_wait_token(&never, &mutex, drainer->token, timeout);
    pthread_mutex_unlock(&mutex);
    return status;
  case TASK: return tr_task_wait(drainer->task, timeout, NULL);
  case TOKEN: return tr_token_wait(drainer->token, timeout);
  case ANY_TOKEN: return tr_token_wait_any(&drainer->token, 1, timeout, NULL);
  case REGISTRY: return tr_registry_wait(drainer->empty_never, timeout);
  default:
    status = tr_join_all(drainer->empty_never, timeout, NULL);
    return status == TR_ERR_DEADLINE ? TR_ERR_TIMEDOUT : status;
  }
}

static int body_drains(tr_task *self, void *ctx) {
  struct drainer *drainer = ctx;
  gate_pass(&drainer->asked);
  CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(self));
  CHECK_EQ(TR_ERR_CANCELLED, wait_for_nothing(drainer, FOREVER));
  CHECK_EQ(TR_OK, tr_begin_drain());
  CHECK_EQ(TR_OK, tr_begin_drain());
  CHECK_EQ(1, tr_task_is_cancelled(self));
  if (drainer->wait != JOIN) CHECK_EQ(TR_ERR_TIMEDOUT, wait_for_nothing(drainer, 2 * MS));
  gate_arrive(&drainer->waits);
  CHECK_EQ(TR_ERR_CANCELLED, wait_for_nothing(drainer, FOREVER));
  CHECK_EQ(TR_ERR_CANCELLED, wait_for_nothing(drainer, FOREVER));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(self));
  CHECK_EQ(TR_ERR_CANCELLED, tr_begin_drain());
  return 0;
}

/* Proves: after tr_begin_drain each wait of the library waits again, and ends at level abort; a list shows for
   how long the task drains (C16).  Why it matters: finishing work takes waits.  Catches: a wait that still ends
   by the flag; an abort that does not wake one that looks at a descriptor which drain has made readable. */
CASE(a_task_that_drains_waits_again) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  for (int own = 0; own < 2; own++) {
    for (int wait = 0; wait < WAITS; wait++) {
      tr_registry *registry = registry_new(), *others = registry_new();
      struct gate gate = GATE_INIT;
      struct drainer drainer = {wait, ends[0], spawn(others, "deaf", body_deaf, &gate), tr_token_create(),
                                others, GATE_INIT, GATE_INIT};
      tr_task *task = spawn(registry, "drains", body_drains, &drainer);
      int fd = -1;
      if (own) CHECK_EQ(TR_OK, tr_task_fd(task, &fd));
      gate_await(&drainer.asked, 1);
      CHECK_EQ(TR_OK, tr_task_cancel(task));
      gate_open(&drainer.asked);
      gate_await(&drainer.waits, 1);
      tr_task_summary summary;
      CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &summary));
      CHECK_EQ(TR_STOP_DRAIN, summary.stop_level);
      CHECK(summary.draining_for_ns >= 0);
      if (own) CHECK_EQ(TR_OK, tr_task_sleep(task, MS)); /* a wait of another thread that names it */
      CHECK_EQ(TR_OK, tr_task_abort(task));
      if (own) CHECK_EQ(TR_ERR_CANCELLED, tr_task_wait_cancelled(task, FOREVER));
      wait_and_release(task);
      gate_open(&gate);
      wait_and_release(drainer.task);
      tr_token_release(drainer.token);
      registry_finish(registry);
      registry_finish(others);
    }
  }
  close(ends[0]);
  close(ends[1]);
}

static int body_drains_at_once(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_begin_drain());
  gate_arrive((struct gate *)ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  return 0;
}

/* Proves: tr_begin_drain may come before the request; then the request does not end a wait, and abort does, in
   one step as well (C16).  Why it matters: a task may learn of a stop before its flag is up.
   Catches: a call that is rejected; a level that is compared with the wrong one. */
CASE(draining_may_begin_before_the_request) {
  for (int cancels = 0; cancels < 2; cancels++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "early", body_drains_at_once, &gate);
    gate_await(&gate, 1);
    if (cancels) CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 2 * MS, NULL));
    CHECK_EQ(TR_OK, tr_task_abort(task));
    wait_and_release(task);
    registry_finish(registry);
  }
  CHECK_EQ(TR_ERR_INVALID, tr_begin_drain());
}

/* ---- Who raises which level -------------------------------------------------------------------- */

/* Proves: the deadline of a shutdown, or of a join, tells every straggler to abort, clean-up tasks too; a
   shutdown then waits 100 ms by default, a join and TR_NO_ABORT_GRACE not at all (J4, C15).
   Why it matters: at the deadline something has to happen to a task that drains.
   Catches: a deadline that raises drain; an abort grace of 0 for a shutdown. */
CASE(a_deadline_aborts) {
  for (int way = 0; way < 3; way++) {
    tr_registry *registry = NULL;
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    if (way == 2) options.abort_grace_ns = TR_NO_ABORT_GRACE;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    struct gate gate = GATE_INIT, deaf = GATE_INIT;
    tr_task *task = spawn(registry, "drains", body_drains_at_once, &gate);
    tr_task *cleanup = spawn_drop(registry, "deaf", body_deaf, &deaf, NULL, TR_SPAWN_CLEANUP);
    gate_await(&gate, 1);
    gate_await(&deaf, 1);
    tr_join_report report = TR_JOIN_REPORT_INIT;
    int64_t start = now_ns();
    if (way == 0)
      CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &report));
    else
      CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, 5 * MS, &report));
    int64_t took = now_ns() - start;
    CHECK_EQ(2, report.pending);
    if (way == 1) {
      CHECK_EQ(1, report.aborted);
      CHECK(took >= 105 * MS); /* the deaf one has its grace */
    }
    if (way == 2) CHECK_EQ(2, report.abandoned);
    CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(task));
    CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(cleanup));
    gate_open(&deaf);
    wait_and_release(task);
    wait_and_release(cleanup);
    registry_finish(registry);
  }
}

/* Proves: the abort grace ends at once when the last straggler has ended (J4).  Why it matters: it is the
   price of every missed deadline.  Catches: a grace that is slept through. */
CASE(the_abort_grace_ends_with_the_last_task) {
  tr_registry *registry = registry_with_grace(600 * SECOND);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "drains", body_drains_at_once, &gate);
  gate_await(&gate, 1);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, 5 * MS, &report));
  CHECK_EQ(1, report.aborted);
  tr_task_release(task);
  registry_finish(registry);
}

static tr_task *spawn_in_phase(tr_registry *registry, const char *name, struct gate *gate, uint32_t phase) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.phase = phase;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, name, TR_KIND_MAINTENANCE, body_deaf, gate, &options, &task));
  return task;
}

/* Proves: tr_token_abort raises abort for phase 0, in groups too, leaves clean-up tasks and phases that were
   not asked, and reaches tokens that were made after the cancel; its return value says who was first; the first
   reason stays (C15, C1, C2).  Why it matters: the journal of a later phase has to outlive an abort.
   Catches: a child of a cancelled token that is linked to nothing; abort for everybody. */
CASE(aborting_a_token_reaches_those_it_asks) {
  tr_registry *registry = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
  tr_token *token = tr_registry_token(registry);
  struct gate gate = GATE_INIT;
  tr_task *plain = spawn(registry, "plain", body_deaf, &gate);
  tr_task *inner = spawn(group, "inner", body_deaf, &gate);
  tr_task *cleanup = spawn_drop(registry, "clean-up", body_deaf, &gate, NULL, TR_SPAWN_CLEANUP);
  tr_task *later = spawn_in_phase(registry, "later", &gate, 1);
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, "first"));
  CHECK_EQ(TR_STOP_DRAIN, tr_token_stop_level(token));
  tr_token *child = tr_token_child(token), *grandchild = tr_token_child(child);
  tr_registry *linked = NULL;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.token = grandchild;
  CHECK_EQ(TR_OK, create_registry(&options, &linked));
  CHECK_EQ(TR_STOP_DRAIN, tr_token_stop_level(grandchild));
  CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(plain));
  CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(inner));
  CHECK_EQ(1, tr_token_abort(token, TR_REASON_USER_REQUESTED, "second"));
  CHECK_EQ(0, tr_token_abort(token, TR_REASON_USER_REQUESTED, "third"));
  CHECK_EQ(0, tr_token_cancel(token, TR_REASON_USER_REQUESTED, "fourth"));
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(token));
  CHECK_EQ(TR_STOP_ABORT, tr_token_stop_level(token));
  CHECK_EQ(TR_STOP_ABORT, tr_token_stop_level(child));
  CHECK_EQ(TR_STOP_ABORT, tr_token_stop_level(grandchild));
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(grandchild));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(plain));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(inner));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(cleanup));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(later));
  tr_token *born = tr_token_child(token);
  CHECK_EQ(TR_STOP_ABORT, tr_token_stop_level(born));
  CHECK_EQ(0, tr_token_abort(NULL, TR_REASON_NONE, NULL));
  CHECK_EQ(TR_STOP_NONE, tr_token_stop_level(NULL));
  gate_open(&gate);
  wait_and_release(plain);
  wait_and_release(inner);
  wait_and_release(cleanup);
  wait_and_release(later);
  tr_token_release(born);
  tr_token_release(grandchild);
  tr_token_release(child);
  registry_finish(linked);
  tr_registry_release(group);
  registry_finish(registry);
}

static void *shuts_down(void *argument) {
  CHECK_EQ(TR_OK, shutdown_fully((tr_registry *)argument, TR_REASON_NONE, NULL, FOREVER, NULL));
  return NULL;
}

/* Proves: an aborted token raises abort also for the later phases that were asked by then, and drain remains
   what those are asked for that come after (C15, E5).  Why it matters: "now" is meant for those that have had
   their time.  Catches: an abort that stops at phase 0; one that spares no phase. */
CASE(an_abort_reaches_the_phases_asked_so_far) {
  tr_registry *registry = registry_new();
  struct gate gate[3] = {GATE_INIT, GATE_INIT, GATE_INIT};
  tr_task *tasks[3];
  for (int i = 0; i < 3; i++) {
    tasks[i] = spawn_in_phase(registry, "deaf", &gate[i], (uint32_t)i);
    gate_await(&gate[i], 1);
  }
  pthread_t thread = thread_start(shuts_down, registry);
  gate_open(&gate[0]);
  CHECK_EQ(TR_OK, tr_task_wait(tasks[0], FOREVER, NULL));
  while (tr_task_stop_level(tasks[1]) == TR_STOP_NONE) breathe();
  CHECK_EQ(1, tr_token_abort(tr_registry_token(registry), TR_REASON_NONE, NULL));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(tasks[1]));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(tasks[2]));
  gate_open(&gate[1]);
  while (tr_task_stop_level(tasks[2]) == TR_STOP_NONE) breathe();
  CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(tasks[2]));
  gate_open(&gate[2]);
  pthread_join(thread, NULL);
  for (int i = 0; i < 3; i++) tr_task_release(tasks[i]);
  registry_finish(registry);
}

/* ---- Descriptors, callbacks, the cancel signal --------------------------------------------------- */

static void count(void *ctx) { atomic_fetch_add((atomic_int *)ctx, 1); }

/* Proves: a task has a descriptor and callbacks for each level: those for abort tell of abort alone, and a task
   that is told to abort at once tells both (C15, C6, C7).  Why it matters: a draining connection polls for the
   abort.  Catches: callbacks for abort that run at drain; a descriptor that two levels share. */
CASE(each_level_has_its_descriptor_and_its_callbacks) {
  for (int once = 0; once < 2; once++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "polls", body_deaf, &gate);
    int drain = -1, abort_fd = -1, again = -1;
    CHECK_EQ(TR_OK, tr_task_abort_fd(task, &abort_fd));
    CHECK_EQ(TR_OK, tr_task_fd(task, &drain));
    CHECK_EQ(TR_OK, tr_task_abort_fd(task, &again));
    CHECK_EQ(abort_fd, again);
    CHECK(drain != abort_fd);
    atomic_int drains = 0, aborts = 0;
    tr_registration *registrations[3];
    CHECK_EQ(TR_OK, tr_task_on_abort(task, count, &aborts, NULL, &registrations[0]));
    CHECK_EQ(TR_OK, tr_task_on_cancel(task, count, &drains, NULL, &registrations[1]));
    CHECK_EQ(TR_OK, tr_task_on_abort(task, count, &aborts, NULL, &registrations[2]));
    if (!once) {
      CHECK_EQ(TR_OK, tr_task_cancel(task));
      CHECK(is_readable(drain) && !is_readable(abort_fd));
      CHECK_EQ(1, atomic_load(&drains));
      CHECK_EQ(0, atomic_load(&aborts));
      CHECK_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(registrations[2]));
    }
    CHECK_EQ(TR_OK, tr_task_abort(task));
    CHECK(is_readable(drain) && is_readable(abort_fd));
    CHECK_EQ(1, atomic_load(&drains));
    CHECK_EQ(once ? 2 : 1, atomic_load(&aborts));
    if (once) CHECK_EQ(TR_REMOVAL_HAS_RUN, tr_registration_remove(registrations[2]));
    CHECK_EQ(TR_REMOVAL_HAS_RUN, tr_registration_remove(registrations[0]));
    CHECK_EQ(TR_REMOVAL_HAS_RUN, tr_registration_remove(registrations[1]));
    tr_registration *late = (tr_registration *)&gate;
    CHECK_EQ(TR_ERR_CANCELLED, tr_task_on_abort(task, count, &aborts, NULL, &late));
    CHECK(late == NULL);
    CHECK_EQ(TR_ERR_INVALID, tr_task_abort_fd(NULL, &again));
    CHECK_EQ(TR_ERR_INVALID, tr_task_abort_fd(task, NULL));
    CHECK_EQ(TR_ERR_INVALID, tr_task_on_abort(NULL, count, NULL, NULL, &late));
    CHECK_EQ(TR_ERR_INVALID, tr_task_on_abort(task, NULL, NULL, NULL, &late));
    CHECK_EQ(TR_ERR_INVALID, tr_task_on_abort(task, count, NULL, NULL, NULL));
    gate_open(&gate);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    tr_task_release(task);
    CHECK(fcntl(abort_fd, F_GETFD) == -1 && errno == EBADF);
    registry_finish(registry);
  }
}

/* Proves: a token has a descriptor and callbacks for abort, which tell of an abort of the token or of one above
   it, and of no cancel (C15, C6, C7).  Why it matters: a library that has a token and no task polls for the abort.
   Catches: a descriptor that a cancel makes readable; an abort after a cancel that runs no callbacks. */
CASE(a_token_tells_of_its_abort) {
  for (int made_late = 0; made_late < 2; made_late++) {
    tr_token *root = tr_token_create(), *token = tr_token_child(root);
    int fd = -1, drain = -1, again = -1;
    atomic_int aborts = 0;
    tr_registration *registration = NULL, *removed = NULL;
    CHECK_EQ(TR_OK, tr_token_fd(token, &drain));
    if (!made_late) CHECK_EQ(TR_OK, tr_token_abort_fd(token, &fd));
    CHECK_EQ(TR_OK, tr_token_on_abort(token, count, &aborts, NULL, &registration));
    CHECK_EQ(TR_OK, tr_token_on_abort(token, count, &aborts, NULL, &removed));
    CHECK_EQ(1, tr_token_cancel(root, TR_REASON_FATAL, NULL));
    CHECK_EQ(0, atomic_load(&aborts));
    CHECK(is_readable(drain));
    if (!made_late) CHECK(!is_readable(fd));
    CHECK_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(removed));
    CHECK_EQ(1, tr_token_abort(root, TR_REASON_NONE, NULL));
    CHECK_EQ(1, atomic_load(&aborts));
    CHECK_EQ(TR_OK, tr_token_abort_fd(token, &again));
    if (!made_late) CHECK_EQ(fd, again);
    CHECK(is_readable(again) && again != drain);
    CHECK_EQ(TR_REMOVAL_HAS_RUN, tr_registration_remove(registration));
    CHECK_EQ(TR_ERR_CANCELLED, tr_token_on_abort(token, count, &aborts, NULL, &registration));
    CHECK_EQ(2, atomic_load(&aborts));
    CHECK_EQ(TR_ERR_INVALID, tr_token_abort_fd(NULL, &fd));
    CHECK_EQ(TR_ERR_INVALID, tr_token_abort_fd(token, NULL));
    CHECK_EQ(TR_ERR_INVALID, tr_token_on_abort(NULL, count, NULL, NULL, &registration));
    CHECK_EQ(TR_ERR_INVALID, tr_token_on_abort(token, NULL, NULL, NULL, &registration));
    CHECK_EQ(TR_ERR_INVALID, tr_token_on_abort(token, count, NULL, NULL, NULL));
    tr_token_release(token);
    tr_token_release(root);
    CHECK(fcntl(again, F_GETFD) == -1 && errno == EBADF);
  }
}

static void posts(void *ctx) { sem_post((sem_t *)ctx); }

/* Proves: a callback for abort runs at the deadline, on a thread of the library's (C7, C15, J4).
   Why it matters: it closes the connection of a task that hangs.  Catches: a deadline that runs those for drain
   alone. */
CASE(a_deadline_runs_the_callbacks_for_abort) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "hangs", body_deaf, &gate);
  gate_await(&gate, 1);
  sem_t called;
  sem_init(&called, 0, 0);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_abort(task, posts, &called, NULL, &registration));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK(sem_trywait(&called) == -1 && errno == EAGAIN);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  sem_take(&called);
  CHECK(tr_registration_remove(registration) != TR_REMOVAL_NEVER_RUNS);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
  sem_destroy(&called);
}

struct interrupted {
  struct gate gate;
  sem_t drains;
  int fd;
};

static int body_reads(tr_task *self, void *ctx) {
  struct interrupted *one = ctx;
  char byte;
  gate_arrive(&one->gate);
  CHECK(read(one->fd, &byte, 1) == -1 && errno == EINTR);
  CHECK_EQ(1, tr_task_is_cancelled(self));
  CHECK_EQ(TR_OK, tr_begin_drain());
  sem_post(&one->drains);
  while (tr_task_stop_level(self) != TR_STOP_ABORT) CHECK(read(one->fd, &byte, 1) == -1 && errno == EINTR);
  return 0;
}

/* Spawn a task with a cancel signal that reads from an empty pipe, and wait until its body says so. */
static tr_task *spawn_interrupted(tr_registry *registry, tr_task_fn body, struct interrupted *one, int ends[2]) {
  int number = SIGRTMIN + 2;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_install_cancel_signal(number));
  CHECK_EQ(0, pipe(ends));
  *one = (struct interrupted){.gate = GATE_INIT, .fd = ends[0]};
  sem_init(&one->drains, 0, 0);
  options.cancel_signal = number;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "reads", TR_KIND_RPC_HANDLER, body, one, &options, &task));
  gate_await(&one->gate, 1);
  return task;
}

static void end_interrupted(tr_registry *registry, tr_task *task, struct interrupted *one, const int ends[2]) {
  wait_and_release(task);
  registry_finish(registry);
  sem_destroy(&one->drains);
  close(ends[0]);
  close(ends[1]);
}

/* Proves: tr_begin_drain stops the cancel signal, and abort sends it again (C10, C16).
   Why it matters: the work that is being finished makes system calls.
   Catches: a signal that goes on while the task drains; an abort that interrupts nothing. */
CASE(the_cancel_signal_comes_again_with_abort) {
  int ends[2];
  struct interrupted one;
  tr_registry *registry = registry_new();
  tr_task *task = spawn_interrupted(registry, body_reads, &one, ends);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  sem_take(&one.drains);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 20 * MS, NULL));
  CHECK_EQ(TR_OK, tr_task_abort(task));
  end_interrupted(registry, task, &one, ends);
}

static int body_acknowledges(tr_task *self, void *ctx) {
  struct interrupted *one = ctx;
  char byte;
  CHECK_EQ(TR_OK, tr_begin_drain());
  gate_arrive(&one->gate);
  while (tr_task_stop_level(self) != TR_STOP_ABORT) CHECK(read(one->fd, &byte, 1) == -1 && errno == EINTR);
  CHECK_EQ(TR_OK, tr_acknowledge_cancel());
  sem_post(&one->drains);
  CHECK_EQ(1, read(one->fd, &byte, 1));
  return 0;
}

/* Proves: a cancel signal that was acknowledged at level abort is not sent again, whoever asks once more (C10, C16).
   Why it matters: the task closes its files.  Catches: a second abort that starts the signal again. */
CASE(an_acknowledged_abort_is_not_sent_again) {
  int ends[2];
  struct interrupted one;
  tr_registry *registry = registry_new();
  tr_task *task = spawn_interrupted(registry, body_acknowledges, &one, ends);
  CHECK_EQ(TR_OK, tr_task_cancel(task)); /* it drains: no signal */
  CHECK_EQ(TR_OK, tr_task_abort(task));
  sem_take(&one.drains);
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(TR_OK, tr_task_abort(task));
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 5 * MS, NULL));
  }
  CHECK_EQ(1, write(ends[1], "x", 1));
  end_interrupted(registry, task, &one, ends);
}

/* ---- Shields ------------------------------------------------------------------------------------ */

static int body_is_shielded(tr_task *self, void *ctx) {
  struct gate *child = ctx;
  tr_registry *own = NULL;
  CHECK_EQ(TR_ERR_INVALID, tr_shield_end());
  CHECK_EQ(TR_OK, tr_registry_create(NULL, &own));
  tr_task *task = spawn(own, "child", body_deaf, child);
  CHECK_EQ(TR_OK, tr_task_abort(self));
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  CHECK_EQ(TR_OK, tr_shield_begin());
  CHECK_EQ(TR_OK, tr_shield_begin());
  CHECK_EQ(TR_OK, tr_sleep(MS));
  CHECK_EQ(TR_OK, tr_shield_end());
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_cancelled(MS));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, MS, NULL));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(self));
  gate_open(child);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  tr_task_release(task);
  CHECK_EQ(TR_OK, shutdown_fully(own, TR_REASON_NONE, NULL, FOREVER, NULL));
  tr_registry_release(own);
  CHECK_EQ(TR_OK, tr_shield_end());
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  CHECK_EQ(TR_OK, tr_shield_begin()); /* left open */
  return 0;
}

/* Proves: in a shield no level ends a wait, not even abort, so a cancelled task can wait for its children;
   shields nest, and one that is left open ends with its task (C17).  Why it matters: a destructor in a cancelled
   task could not wait.  Catches: a shield that ends drain alone; one that the next task inherits. */
CASE(a_shield_lets_a_cancelled_task_wait) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 2; i++) {
    struct gate gate = GATE_INIT;
    wait_and_release(spawn(registry, "shielded", body_is_shielded, &gate));
  }
  struct gate gate = GATE_INIT;
  tr_task *next = spawn(registry, "next", body_obeys, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(TR_OK, tr_task_cancel(next));
  wait_and_release(next);
  CHECK_EQ(TR_ERR_INVALID, tr_shield_begin());
  CHECK_EQ(TR_ERR_INVALID, tr_shield_end());
  registry_finish(registry);
}

/* ---- Tokens and closing --------------------------------------------------------------------------- */

static void *cancels(void *token) {
  tr_token_cancel((tr_token *)token, TR_REASON_NONE, NULL);
  return NULL;
}

/* Proves: a wait for several tokens ends with the first, and says which; a token may be named twice (C18).
   Why it matters: a request waits for its client and for the program.  Catches: a wait on the first list alone;
   a waiter that stays on a list. */
CASE(one_of_several_tokens_ends_the_wait) {
  enum { TOKENS = 5 };
  for (size_t which = 0; which < TOKENS; which++) {
    tr_token *tokens[TOKENS + 1];
    for (size_t i = 0; i < TOKENS; i++) tokens[i] = tr_token_create();
    tokens[TOKENS] = tokens[0];
    size_t index = 4711;
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait_any(tokens, TOKENS + 1, MS, &index));
    CHECK_EQ(4711, index);
    pthread_t thread = thread_start(cancels, tokens[which]);
    CHECK_EQ(TR_OK, tr_token_wait_any(tokens, TOKENS + 1, FOREVER, &index));
    CHECK_EQ(which, index);
    CHECK_EQ(TR_OK, tr_token_wait_any(tokens, TOKENS + 1, 0, NULL));
    pthread_join(thread, NULL);
    for (size_t i = 0; i < TOKENS; i++) tr_token_release(tokens[i]);
  }
  tr_token *none = NULL, *one = tr_token_create();
  CHECK_EQ(TR_ERR_INVALID, tr_token_wait_any(NULL, 1, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_token_wait_any(&none, 1, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_token_wait_any(&one, 0, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_token_wait_any(&one, TR_TOKENS_MOST + 1, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_token_wait_any(&one, SIZE_MAX, 0, NULL));
  tr_token_release(one);
}

struct holder {
  pthread_mutex_t mutex;
  pthread_cond_t cond;
  tr_token *token;
  int waiting;
};

static void *cancels_with_the_mutex(void *argument) {
  struct holder *holder = argument;
  for (;;) {
    pthread_mutex_lock(&holder->mutex);
    if (holder->waiting) break;
    pthread_mutex_unlock(&holder->mutex);
    breathe();
  }
  tr_token_cancel(holder->token, TR_REASON_NONE, NULL);
  pthread_mutex_unlock(&holder->mutex);
  return NULL;
}

/* Proves: a token ends a wait on a condition variable, outside tasks too, also when who cancels holds the mutex;
   the caller holds it afterwards (C18, C9).  Why it matters: queues of threads that are no tasks.
   Catches: a token that is looked at before the wait alone; a canceller that waits for the mutex. */
CASE(a_token_ends_a_wait_on_a_condition_variable) {
  for (int round = 0; round < check_rounds(200); round++) {
    struct holder holder = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, tr_token_create(), 0};
    pthread_t thread = thread_start(cancels_with_the_mutex, &holder);
    tr_status status = TR_OK;
    pthread_mutex_lock(&holder.mutex);
    holder.waiting = 1;
    while (status == TR_OK) status = tr_cond_wait_token(&holder.cond, &holder.mutex, holder.token, FOREVER);
    CHECK_EQ(TR_ERR_CANCELLED, status);
    CHECK_EQ(TR_ERR_CANCELLED, tr_cond_wait_token(&holder.cond, &holder.mutex, holder.token, FOREVER));
    CHECK(pthread_mutex_trylock(&holder.mutex) == EBUSY);
    pthread_mutex_unlock(&holder.mutex);
    pthread_join(thread, NULL);
    tr_token_release(holder.token);
  }
  struct holder holder = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, tr_token_create(), 0};
  pthread_mutex_lock(&holder.mutex);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_cond_wait_token(&holder.cond, &holder.mutex, holder.token, MS));
  pthread_mutex_unlock(&holder.mutex);
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait_token(NULL, &holder.mutex, holder.token, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait_token(&holder.cond, NULL, holder.token, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_cond_wait_token(&holder.cond, &holder.mutex, NULL, 0));
  tr_token_release(holder.token);
}

enum { BY_TASK, BY_TOKEN, BY_DEADLINE, BY_SHUTDOWN, WAYS };

struct owner {
  struct gate gate;
  sem_t aborted;
  tr_token *token; /* a reference */
  tr_task *other;
};

static int body_owns_a_token(tr_task *self, void *ctx) {
  struct owner *owner = ctx;
  tr_token *token = tr_task_token(self);
  CHECK(token != NULL && token == tr_task_token(self));
  CHECK(tr_task_token(owner->other) == NULL);
  CHECK(tr_task_token(NULL) == NULL);
  CHECK_EQ(TR_STOP_NONE, tr_token_stop_level(token));
  owner->token = tr_token_retain(token);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_abort(token, posts, &owner->aborted, NULL, &registration));
  CHECK_EQ(TR_OK, tr_begin_drain());
  gate_arrive(&owner->gate);
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  sem_take(&owner->aborted); /* the callback runs, on whatever thread */
  CHECK_EQ(TR_STOP_ABORT, tr_token_stop_level(token));
  CHECK(tr_registration_remove(registration) != TR_REMOVAL_NEVER_RUNS);
  return 0;
}

/* Proves: a task's own token is cancelled with the task and aborted with it, in whatever way, with the reason of the
   registry's token if that is cancelled; it outlives the task as long as it is held (C18).
   Why it matters: a library that takes a token is stopped with the task that calls it.
   Catches: a token that hears of the registry's token alone; one that the token of the registry cancels although the
   task is of a later phase; a second token. */
CASE(a_task_has_a_token_of_its_own) {
  for (int way = 0; way < WAYS; way++) {
    tr_registry *registry = registry_new();
    struct gate deaf = GATE_INIT;
    struct owner owner = {.gate = GATE_INIT, .other = spawn(registry, "other", body_deaf, &deaf)};
    gate_await(&deaf, 1);
    gate_open(&deaf);
    sem_init(&owner.aborted, 0, 0);
    tr_task *task = NULL;
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.phase = way == BY_SHUTDOWN ? 1 : 0;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "owner", TR_KIND_MAINTENANCE, body_owns_a_token, &owner, &options, &task));
    gate_await(&owner.gate, 1);
    CHECK(tr_task_token(task) == NULL); /* from outside */
    tr_token *all = tr_registry_token(registry);
    tr_reason reason = TR_REASON_FATAL;
    switch (way) {
    case BY_TASK:
      CHECK_EQ(TR_OK, tr_task_cancel(task));
      CHECK_EQ(TR_STOP_DRAIN, tr_token_stop_level(owner.token));
      CHECK_EQ(0, tr_token_is_cancelled(all));
      CHECK_EQ(TR_OK, tr_task_abort(task));
      reason = TR_REASON_NONE;
      break;
    case BY_TOKEN:
      CHECK_EQ(1, tr_token_cancel(all, TR_REASON_FATAL, "why"));
      CHECK_EQ(TR_STOP_DRAIN, tr_token_stop_level(owner.token));
      CHECK_EQ(1, tr_token_abort(all, TR_REASON_USER_REQUESTED, NULL));
      break;
    case BY_DEADLINE:
      CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
      reason = TR_REASON_DEADLINE;
      break;
    default:
      CHECK_EQ(1, tr_token_abort(all, TR_REASON_FATAL, "why"));
      CHECK_EQ(TR_STOP_NONE, tr_token_stop_level(owner.token));
      CHECK_EQ(TR_ERR_DEADLINE, shutdown_fully(registry, TR_REASON_NONE, NULL, 5 * MS, NULL));
    }
    wait_and_release(task);
    CHECK_EQ(TR_STOP_ABORT, tr_token_stop_level(owner.token));
    CHECK_EQ(reason, tr_token_reason(owner.token));
    tr_token_release(owner.token);
    wait_and_release(owner.other);
    registry_finish(registry);
    sem_destroy(&owner.aborted);
  }
}

static int body_ends_at_once(tr_task *self, void *ctx) {
  struct owner *owner = ctx;
  owner->token = tr_token_retain(tr_task_token(self));
  CHECK_EQ(TR_OK, tr_begin_drain());
  gate_arrive(&owner->gate);
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  return 0;
}

/* Proves: a task that ends as soon as it is told to abort leaves an aborted token, once the call that told it has
   returned (C18, C7).  Why it matters: what the token was handed to goes on otherwise.
   Catches: a task that takes along the callback which has yet to run. */
CASE(a_task_that_ends_first_leaves_an_aborted_token) {
  for (int round = 0; round < check_rounds(300); round++) {
    tr_registry *registry = registry_new();
    struct owner owner = {.gate = GATE_INIT};
    tr_task *task = spawn(registry, "owner", body_ends_at_once, &owner);
    gate_await(&owner.gate, 1);
    CHECK_EQ(TR_OK, tr_task_abort(task));
    CHECK_EQ(TR_STOP_ABORT, tr_token_stop_level(owner.token));
    tr_token_release(owner.token);
    wait_and_release(task);
    registry_finish(registry);
  }
}

static int body_lets_a_token_go(tr_task *self, void *ctx) {
  *(tr_token **)ctx = tr_token_retain(tr_task_token(self));
  return 0;
}

/* Proves: the end of a task does not cancel its token, and nothing is left of the callbacks (C18).
   Why it matters: what it was handed to may go on.  Catches: a registration that keeps the task's record. */
CASE(a_tasks_token_may_outlive_it) {
  for (int round = 0; round < 3; round++) {
    tr_registry *registry = registry_new();
    tr_token *token = NULL;
    wait_and_release(spawn(registry, "short", body_lets_a_token_go, &token));
    CHECK_EQ(0, tr_token_is_cancelled(token));
    if (round == 1) CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
    CHECK_EQ(round == 1, tr_token_is_cancelled(token));
    if (round == 2) {
      registry_finish(registry);
      tr_token_release(token);
    } else {
      tr_token_release(token);
      registry_finish(registry);
    }
  }
}

/* Proves: a root token with a timeout is cancelled by it (C18, C11).  Why it matters: a request without a parent
   has a timeout too.  Catches: a timeout that needs a parent. */
CASE(a_root_token_may_have_a_timeout) {
  tr_token *token = tr_token_create_with_timeout(MS), *never = tr_token_create_with_timeout(FOREVER);
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  CHECK_EQ(TR_REASON_DEADLINE, tr_token_reason(token));
  CHECK_EQ(TR_STOP_DRAIN, tr_token_stop_level(token));
  CHECK_EQ(0, tr_token_is_cancelled(never));
  tr_token_release(token);
  tr_token_release(never);
  token = tr_token_create_with_timeout(0);
  CHECK_EQ(1, tr_token_is_cancelled(token));
  tr_token_release(token);
}

/* Proves: a closed registry rejects spawns, its groups too, and asks nobody to stop (C18, S5).
   Why it matters: the first step of a drain.  Catches: a close that cancels; a group that says it is open. */
CASE(closing_asks_nobody_to_stop) {
  tr_registry *registry = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(group, "goes on", body_deaf, &gate);
  CHECK_EQ(0, tr_registry_is_closed(registry));
  CHECK_EQ(0, tr_registry_is_closed(group));
  CHECK_EQ(TR_OK, tr_registry_close(registry));
  CHECK_EQ(TR_OK, tr_registry_close(registry));
  CHECK_EQ(1, tr_registry_is_closed(registry));
  CHECK_EQ(1, tr_registry_is_closed(group));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_MAINTENANCE, body_never, NULL, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(group, "late", TR_KIND_MAINTENANCE, body_never, NULL, NULL));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(task));
  CHECK_EQ(TR_ERR_INVALID, tr_registry_close(NULL));
  CHECK_EQ(0, tr_registry_is_closed(NULL));
  gate_open(&gate);
  wait_and_release(task);
  tr_registry_release(group);
  registry_finish(registry);
}

CHECK_MAIN(CHECK_ENTRY(levels_rise_and_never_fall),
           CHECK_ENTRY(a_task_that_drains_waits_again),
           CHECK_ENTRY(draining_may_begin_before_the_request),
           CHECK_ENTRY(a_deadline_aborts),
           CHECK_ENTRY(the_abort_grace_ends_with_the_last_task),
           CHECK_ENTRY(aborting_a_token_reaches_those_it_asks),
           CHECK_ENTRY(an_abort_reaches_the_phases_asked_so_far),
           CHECK_ENTRY(each_level_has_its_descriptor_and_its_callbacks),
           CHECK_ENTRY(a_token_tells_of_its_abort),
           CHECK_ENTRY(a_deadline_runs_the_callbacks_for_abort),
           CHECK_ENTRY(the_cancel_signal_comes_again_with_abort),
           CHECK_ENTRY(an_acknowledged_abort_is_not_sent_again),
           CHECK_ENTRY(a_shield_lets_a_cancelled_task_wait),
           CHECK_ENTRY(one_of_several_tokens_ends_the_wait),
           CHECK_ENTRY(a_token_ends_a_wait_on_a_condition_variable),
           CHECK_ENTRY(a_task_has_a_token_of_its_own),
           CHECK_ENTRY(a_task_that_ends_first_leaves_an_aborted_token),
           CHECK_ENTRY(a_tasks_token_may_outlive_it),
           CHECK_ENTRY(a_root_token_may_have_a_timeout),
           CHECK_ENTRY(closing_asks_nobody_to_stop))
