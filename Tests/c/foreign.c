/* foreign.c - the forms of calls for languages that cannot make the others: waits that name their task, joins
   whose report is a handle, signals in an array. Rules C8, C13, E1, J1, P4. */

#include "support.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

/* ---- Waits that name their task ------------------------------------------------------------------ */

enum { SLEEP, FLAG, DESCRIPTOR, WAITS };

static int quiet[2], always[2]; /* pipes: never readable, and always */

static void pipe_open(void) { CHECK_EQ(0, pipe2(quiet, O_CLOEXEC)); }
static void pipe_close(void) {
  close(quiet[0]);
  close(quiet[1]);
}

static tr_status wait_named(int which, tr_task *task, int64_t timeout) {
  switch (which) {
    case SLEEP: return tr_task_sleep(task, timeout);
    case FLAG: return tr_task_wait_cancelled(task, timeout);
    default: return tr_task_wait_fd(task, quiet[0], POLLIN, timeout);
  }
}

static int descriptor_count(void) {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

struct named_wait {
  int which;
  tr_task *task;
  sem_t entered;
  tr_status status;
};

static void *wait_on_a_thread(void *argument) {
  struct named_wait *wait = argument;
  sem_post(&wait->entered);
  wait->status = wait_named(wait->which, wait->task, FOREVER);
  return NULL;
}

/* Proves: each of the waits, on a thread that is not the task's, ends when the task is asked to stop, whether that
   comes before, while it enters the wait, or later (C8).
   Why it matters: a runtime that moves coroutines between threads waits on whichever thread is free.
   Catches: the flag of the calling thread in the place of the task's; a flag that is read before its descriptor
   exists. */
CASE(a_wait_on_another_thread_ends_with_the_tasks_flag) {
  pipe_open();
  tr_registry *registry = registry_new();
  for (int which = 0; which < WAITS; which++)
    for (int i = 0; i < 60; i++) {
      struct gate gate = GATE_INIT;
      struct named_wait wait = {.which = which, .task = spawn(registry, "asked", body_deaf, &gate)};
      sem_init(&wait.entered, 0, 0);
      if (i % 4 == 0) CHECK_EQ(TR_OK, tr_task_cancel(wait.task));
      pthread_t thread = thread_start(wait_on_a_thread, &wait);
      sem_take(&wait.entered);
      for (int turn = 0; turn < i % 8; turn++) breathe();
      CHECK_EQ(TR_OK, tr_task_cancel(wait.task));
      thread_end(thread);
      CHECK_EQ(TR_ERR_CANCELLED, wait.status);
      sem_destroy(&wait.entered);
      gate_open(&gate);
      wait_and_release(wait.task);
    }
  registry_finish(registry);
  pipe_close();
}

/* Proves: on another thread a sleep takes its time, the others time out, a descriptor that is ready ends its wait,
   and one that is not open is TR_ERR_INVALID; the flag goes before a descriptor that is ready; a task that has
   ended without being asked cannot be waited with, and one that was asked is TR_ERR_CANCELLED (C8, P4).
   Why it matters: these are the waits of the task's own thread, and mean the same.
   Catches: a sleep that says that it timed out; a wait for a task that is gone, without an end. */
CASE(waits_on_another_thread_are_those_of_the_tasks_own) {
  pipe_open();
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "alive", body_deaf, &gate);
  int64_t start = now_ns();
  CHECK_EQ(TR_OK, tr_task_sleep(task, 5 * MS));
  CHECK(now_ns() - start >= 5 * MS);
  CHECK_EQ(TR_OK, tr_task_sleep(task, 0));
  CHECK_EQ(TR_OK, tr_task_sleep(task, -2));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait_cancelled(task, 0));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait_cancelled(task, 2 * MS));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait_fd(task, quiet[0], POLLIN, 2 * MS));
  CHECK_EQ(TR_ERR_INVALID, tr_task_wait_fd(task, -1, POLLIN, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_task_wait_fd(task, 1000000, POLLIN, FOREVER));
  CHECK_EQ(0, strncmp(tr_error_detail(), "tr_task_wait_fd: ", 17));
  CHECK_EQ(1, write(quiet[1], "x", 1));
  CHECK_EQ(TR_OK, tr_task_wait_fd(task, quiet[0], POLLIN, FOREVER));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_ERR_CANCELLED, tr_task_wait_fd(task, quiet[0], POLLIN, FOREVER));
  CHECK_EQ(TR_ERR_CANCELLED, tr_task_sleep(task, 0));
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  for (int which = 0; which < WAITS; which++) CHECK_EQ(TR_ERR_CANCELLED, wait_named(which, task, FOREVER));
  tr_task_release(task);

  task = spawn(registry, "gone", body_returns, NULL);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  for (int which = 0; which < WAITS; which++) {
    CHECK_EQ(TR_ERR_INVALID, wait_named(which, task, FOREVER));
    CHECK(strstr(tr_error_detail(), ": the task has ended") != NULL);
    CHECK_EQ(TR_ERR_INVALID, wait_named(which, NULL, 0));
  }
  tr_task_release(task);
  registry_finish(registry);
  pipe_close();
}

/* On the task's own thread: as the siblings, and without a descriptor for the flag alone. */
static int body_waits_for_itself(tr_task *self, void *ctx) {
  int before = descriptor_count();
  CHECK_EQ(TR_OK, tr_task_sleep(self, 1 * MS));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait_cancelled(self, 1 * MS));
  CHECK_EQ(before, descriptor_count());
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait_fd(self, quiet[0], POLLIN, 1 * MS));
  gate_arrive(ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_task_sleep(self, FOREVER));
  CHECK_EQ(TR_ERR_CANCELLED, tr_task_wait_cancelled(self, FOREVER));
  CHECK_EQ(TR_ERR_CANCELLED, tr_task_wait_fd(self, quiet[0], POLLIN, FOREVER));
  return 0;
}

/* Waits with another task, although its own flag is up. */
static int body_waits_with_another(tr_task *self, void *ctx) {
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  CHECK(tr_task_is_cancelled(self));
  CHECK_EQ(TR_OK, tr_task_sleep(ctx, 2 * MS));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait_cancelled(ctx, 2 * MS));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait_fd(ctx, quiet[0], POLLIN, 2 * MS));
  return 0;
}

/* Proves: on the task's own thread the waits are tr_sleep, tr_wait_cancelled and tr_wait_fd; in another task's body the
   flag of that task has no effect on them (C8).
   Why it matters: a pool's worker may itself be a task that is asked to stop, and the work it does is another's.
   Catches: a descriptor for each task that sleeps; the caller's own flag. */
CASE(a_wait_that_names_its_task_hears_of_that_one_alone) {
  pipe_open();
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT, started = GATE_INIT;
  tr_task *task = spawn(registry, "itself", body_waits_for_itself, &started);
  gate_await(&started, 1);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  tr_task *other = spawn(registry, "other", body_deaf, &gate);
  task = spawn(registry, "with-another", body_waits_with_another, other);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  gate_open(&gate);
  wait_and_release(other);
  registry_finish(registry);
  pipe_close();
}

/* Proves: without a descriptor for the flag a wait on another thread is TR_ERR_SYSTEM with EMFILE at once, and it works
   when there is one again (C6, C8).  Why it matters: the wait could not be ended, and says so.
   Catches: a wait that goes on without the flag. */
CASE(a_wait_on_another_thread_needs_a_descriptor) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "n", body_deaf, &gate);
  struct rlimit before, none;
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
  none = before;
  none.rlim_cur = 0;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
  errno = 0;
  tr_status status = tr_task_sleep(task, FOREVER);
  int error = errno;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
  CHECK_EQ(TR_ERR_SYSTEM, status);
  CHECK_EQ(EMFILE, error);
  CHECK_EQ(TR_OK, tr_task_sleep(task, 1));
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

/* ---- Descriptors of the library that the application has closed ------------------------------------ */

/* The number of the only descriptor below 256 that is open now and was not `before`; -1 if there is none. */
static int opened_since(const int *before) {
  int found = -1;
  for (int fd = 0; fd < 256; fd++)
    if (!before[fd] && fcntl(fd, F_GETFD) >= 0) {
      CHECK_EQ(-1, found);
      found = fd;
    }
  return found;
}

/* With the flag's descriptor closed, and then with a readable file under its number, a wait fails as it should. */
static void closed_under(int fd, int which, tr_task *task, tr_status (*wait)(int, tr_task *, int64_t)) {
  for (int is_reused = 0; is_reused < 2; is_reused++) {
    if (is_reused)
      CHECK_EQ(fd, dup3(always[0], fd, O_CLOEXEC));
    else
      CHECK_EQ(0, close(fd));
    for (int round = 0; round < 2; round++) {
      errno = 0;
      CHECK_EQ(TR_ERR_SYSTEM, wait(which, task, round == 0 ? FOREVER : 60 * SECOND));
      CHECK_EQ(EBADF, errno);
    }
  }
}

static tr_status wait_as_a_task(int which, tr_task *task, int64_t timeout) {
  (void)which;
  (void)task;
  return tr_wait_fd(quiet[0], POLLIN, timeout);
}

static int body_has_its_descriptors_closed(tr_task *self, void *ctx) {
  (void)ctx;
  int before[256], own;
  for (int fd = 0; fd < 256; fd++) before[fd] = fcntl(fd, F_GETFD) >= 0;
  int shared;
  do { /* a wait whose time is over before it has begun takes no descriptor */
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fd(quiet[0], POLLIN, 1 * MS));
    shared = opened_since(before);
  } while (shared < 0);
  closed_under(shared, 0, self, wait_as_a_task);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fd(quiet[0], POLLIN, 0));
  CHECK_EQ(TR_OK, tr_task_fd(self, &own));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fd(quiet[0], POLLIN, 1 * MS));
  closed_under(own, 0, self, wait_as_a_task);
  CHECK_EQ(TR_OK, tr_task_cancel(self));
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_fd(quiet[0], POLLIN, FOREVER));
  return 0;
}

/* Proves: a wait whose flag's descriptor the application has closed is TR_ERR_SYSTEM with EBADF, on the task's own thread
   and on another, also when the number belongs to a readable file by then; with the flag up it is TR_ERR_CANCELLED
   all the same (C8).
   Why it matters: a program that becomes a daemon closes every descriptor it finds, and would then use a processor for
   each wait, past every deadline.
   Catches: a descriptor that is polled again without a pause; an errno of some earlier call. */
CASE(a_wait_whose_descriptor_was_closed_fails) {
  pipe_open();
  CHECK_EQ(0, pipe2(always, O_CLOEXEC));
  CHECK_EQ(1, write(always[1], "x", 1));
  tr_registry *registry = registry_new();
  wait_and_release(spawn(registry, "closed", body_has_its_descriptors_closed, NULL));

  struct gate gate = GATE_INIT;
  for (int which = 0; which < WAITS; which++) {
    int fd;
    tr_task *task = spawn(registry, "named", body_deaf, &gate);
    CHECK_EQ(TR_OK, tr_task_fd(task, &fd));
    closed_under(fd, which, task, wait_named);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_ERR_CANCELLED, wait_named(which, task, FOREVER));
    tr_task_release(task);
  }
  gate_open(&gate);
  registry_finish(registry);
  close(always[0]);
  close(always[1]);
  pipe_close();
}

/* ---- Joins whose report is a handle --------------------------------------------------------------- */

/* Proves: tr_join_all_report and tr_shutdown_report are the calls without their name's end, with a full report: on
   TR_OK and on TR_ERR_DEADLINE, with the counts and the stragglers; on every other status it is untouched (E1, J1,
   J7, P4).
   Why it matters: Go's checker refuses a structure that holds the address of a pointer of Go's.
   Catches: a report that is lost on TR_ERR_DEADLINE, or leaks on an error; options that are not looked at. */
CASE(a_join_fills_a_handle) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  tr_report *report = NULL;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_straggler straggler = TR_STRAGGLER_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_join_all_report(NULL, 0, &report));
  CHECK_EQ(TR_ERR_INVALID, tr_join_all_report(registry, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_report(NULL, TR_REASON_FATAL, "m", 0, NULL, &report));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_report(registry, TR_REASON_FATAL, "m", 0, NULL, NULL));
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  options.warn_percent = 100;
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_report(registry, TR_REASON_FATAL, "m", 0, &options, &report));
  CHECK_EQ(0, strncmp(tr_error_detail(), "tr_shutdown_report: ", 20));
  CHECK(report == NULL && !tr_task_is_cancelled(task));

  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all_report(registry, 1 * MS, &report));
  CHECK_EQ(TR_OK, tr_report_counts(report, &counts));
  CHECK(counts.pending == 1 && counts.abandoned == 1 && counts.stragglers_count == 1);
  CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
  CHECK_EQ(tr_task_id(task), straggler.id);
  tr_report_release(report);
  report = NULL;
  options.warn_percent = TR_WARN_NEVER;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown_report(registry, TR_REASON_FATAL, "stop", 1 * MS, &options, &report));
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(tr_registry_token(registry)));
  CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
  tr_report_release(report);
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  tr_task_release(task);
  tr_status status;
  do { /* threads that have ended their tasks may take longer than a second to leave on a busy machine */
    report = NULL;
    status = tr_shutdown_report(registry, TR_REASON_NONE, NULL, FOREVER, NULL, &report);
    CHECK(report != NULL);
    CHECK_EQ(TR_OK, tr_report_counts(report, &counts));
    CHECK_EQ(0, counts.pending);
    tr_report_release(report);
  } while (status == TR_ERR_DEADLINE);
  CHECK_EQ(TR_OK, status);
  report = NULL;
  CHECK_EQ(TR_OK, tr_join_all_report(registry, FOREVER, &report));
  tr_report_release(report);
  tr_registry_release(registry);
}

static int body_joins_itself(tr_task *self, void *ctx) {
  tr_report *report = NULL;
  (void)self;
  CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all_report(ctx, FOREVER, &report));
  CHECK_EQ(TR_ERR_DEADLOCK, tr_shutdown_report(ctx, TR_REASON_NONE, NULL, FOREVER, NULL, &report));
  CHECK(report == NULL);
  return 0;
}

/* Proves: a task that joins its own registry is TR_ERR_DEADLOCK, with no report and nothing changed (J7).
   Why it matters: as for tr_join_all.  Catches: a report that is given out, or leaks, on an error. */
CASE(a_join_of_ones_own_registry_fills_nothing) {
  tr_registry *registry = registry_new();
  wait_and_release(spawn(registry, "n", body_joins_itself, registry));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  registry_finish(registry);
}

/* ---- Signals in an array --------------------------------------------------------------------------- */

static void (*handler_of(int number))(int) {
  struct sigaction action;
  CHECK_EQ(0, sigaction(number, NULL, &action));
  return action.sa_handler;
}

/* Proves: the signals of an array are watched, one that is there twice as well, and no other; NULL is the usual ones, an
   array without elements none; options count (C13).
   Why it matters: sigset_t has another layout on each system, and no generator knows it.
   Catches: a shift by the number; one signal too few. */
CASE(signals_may_come_in_an_array) {
  tr_registry *registry = registry_new();
  const int signals[] = {SIGUSR2, SIGRTMIN + 4, SIGUSR2, SIGRTMAX - 1}; /* valgrind keeps SIGRTMAX */
  CHECK_EQ(TR_OK, tr_signal_watch_start_array(registry, signals, 4, NULL));
  CHECK(handler_of(SIGUSR2) != SIG_DFL && handler_of(SIGRTMIN + 4) != SIG_DFL && handler_of(SIGRTMAX - 1) != SIG_DFL);
  CHECK(handler_of(SIGTERM) == SIG_DFL && handler_of(SIGUSR1) == SIG_DFL && handler_of(SIGRTMIN + 3) == SIG_DFL);
  CHECK_EQ(0, kill(getpid(), SIGRTMAX - 1));
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), AT_ONCE));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  CHECK(handler_of(SIGUSR2) == SIG_DFL);
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.flags = TR_SIGNALS_HUP_RELOADS;
  CHECK_EQ(TR_OK, tr_signal_watch_start_array(registry, NULL, 0, &options));
  CHECK(handler_of(SIGTERM) != SIG_DFL && handler_of(SIGHUP) != SIG_DFL && handler_of(SIGUSR2) == SIG_DFL);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  CHECK_EQ(TR_OK, tr_signal_watch_start_array(registry, signals, 0, NULL));
  CHECK(handler_of(SIGTERM) == SIG_DFL && handler_of(SIGUSR2) == SIG_DFL);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  registry_finish(registry);
}

/* Proves: numbers that are not signals, those that cannot be watched, and an array that is not there are TR_ERR_INVALID, and
   no handler is installed (P4, C13).
   Why it matters: a number is easily wrong where a set cannot be.  Catches: a shift by -1; a read behind the array. */
CASE(numbers_that_are_not_signals_are_rejected) {
  tr_registry *registry = registry_new();
  const int wrong[] = {0, -1, 65, INT32_MAX, INT32_MIN, SIGKILL, SIGSTOP, SIGSEGV, 32, 33};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    const int signals[] = {SIGTERM, wrong[i]};
    CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start_array(registry, signals, 2, NULL));
    CHECK_EQ(0, strncmp(tr_error_detail(), "tr_signal_watch_start_array: ", 29));
    CHECK(handler_of(SIGTERM) == SIG_DFL);
  }
  const int good[] = {SIGTERM};
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start_array(NULL, good, 1, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start_array(registry, NULL, 1, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start_array(registry, good, 65, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start_array(registry, good, SIZE_MAX, NULL));
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.flags = 2;
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start_array(registry, good, 1, &options));
  CHECK(handler_of(SIGTERM) == SIG_DFL);
  registry_finish(registry);
}

static int body_says_what_it_blocks(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, NULL, ctx));
  return 0;
}

/* The mask of a task of a registry with these options. */
static sigset_t mask_of_a_task(const tr_registry_options *options) {
  tr_registry *registry = NULL;
  sigset_t mask;
  CHECK_EQ(TR_OK, tr_registry_create(options, &registry));
  wait_and_release(spawn(registry, "masked", body_says_what_it_blocks, &mask));
  registry_finish(registry);
  return mask;
}

/* Proves: a registry's tasks block the signals of its array and no other, never the faults and SIGABRT; an array of none
   blocks none; NULL is what the caller blocks; a group's tasks block what the root registry's do (S7).
   Why it matters: a language without sigset_t has no other way to say it.
   Catches: a shift by the number; an array of none that is taken for no array; faults that are blocked. */
CASE(blocked_signals_may_come_in_an_array) {
  const int signals[] = {SIGUSR2, SIGSEGV, SIGRTMIN + 4, SIGABRT, SIGUSR2};
  sigset_t callers, before;
  sigemptyset(&callers);
  sigaddset(&callers, SIGWINCH);
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &callers, &before));
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  sigset_t mask = mask_of_a_task(&options);
  CHECK(sigismember(&mask, SIGWINCH) == 1 && sigismember(&mask, SIGUSR2) == 0);
  options.blocked_signal_numbers = signals;
  options.blocked_signal_count = 5;
  mask = mask_of_a_task(&options);
  CHECK(sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGRTMIN + 4) == 1);
  for (int number = 1; number <= SIGRTMAX; number++)
    if (number != SIGUSR2 && number != SIGRTMIN + 4) CHECK(sigismember(&mask, number) != 1);
  options.blocked_signal_count = 0;
  mask = mask_of_a_task(&options);
  CHECK(sigismember(&mask, SIGWINCH) == 0);

  tr_registry *parent = NULL, *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &parent));
  options.blocked_signal_count = 1;
  CHECK_EQ(TR_OK, tr_registry_child(parent, "group", &options, &group));
  wait_and_release(spawn(group, "masked", body_says_what_it_blocks, &mask));
  CHECK(sigismember(&mask, SIGUSR2) == 0 && sigismember(&mask, SIGWINCH) == 0);
  tr_registry_release(group);
  registry_finish(parent);
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
}

/* Proves: numbers that are not signals, an array that is not there or beside a set are TR_ERR_INVALID (P4).
   Why it matters, catches: as above. */
CASE(blocked_numbers_that_are_not_signals_are_invalid) {
  tr_registry *registry = NULL;
  const int wrong[] = {0, -1, 65, INT32_MAX, INT32_MIN};
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    const int signals[] = {SIGTERM, wrong[i]};
    options.blocked_signal_numbers = signals;
    options.blocked_signal_count = 2;
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
  }
  const int good[] = {SIGTERM};
  options.blocked_signal_numbers = good;
  for (size_t count = 65; count != 0; count = count == 65 ? SIZE_MAX : 0) {
    options.blocked_signal_count = count;
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
  }
  options.blocked_signal_count = 1;
  sigset_t set;
  sigemptyset(&set);
  options.blocked_signals = &set;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
  options.blocked_signals = NULL;
  options.blocked_signal_numbers = NULL;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
  CHECK(registry == NULL);
}

CHECK_MAIN(
    CHECK_ENTRY(a_wait_on_another_thread_ends_with_the_tasks_flag),
    CHECK_ENTRY(waits_on_another_thread_are_those_of_the_tasks_own),
    CHECK_ENTRY(a_wait_that_names_its_task_hears_of_that_one_alone),
    CHECK_ENTRY(a_wait_on_another_thread_needs_a_descriptor),
    CHECK_ENTRY(a_wait_whose_descriptor_was_closed_fails),
    CHECK_ENTRY(a_join_fills_a_handle),
    CHECK_ENTRY(a_join_of_ones_own_registry_fills_nothing),
    CHECK_ENTRY(signals_may_come_in_an_array),
    CHECK_ENTRY(numbers_that_are_not_signals_are_rejected),
    CHECK_ENTRY(blocked_signals_may_come_in_an_array),
    CHECK_ENTRY(blocked_numbers_that_are_not_signals_are_invalid))
