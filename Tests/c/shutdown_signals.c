/* shutdown_signals.c - signals that shut a registry down (C13), and the one call that a signal handler
   may make (C14). */

#include "support.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static tr_registry *watched(const sigset_t *set, uint32_t flags) {
  tr_registry *registry = registry_new();
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.flags = flags;
  options.debounce_ns = TR_NO_DEBOUNCE;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, set, &options));
  return registry;
}

static void unwatch_and_finish(tr_registry *registry) {
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  registry_finish(registry);
}

/* To the process, not to the calling thread: any thread that has it unblocked receives it. */
static void send_signal(int number) { CHECK_EQ(0, kill(getpid(), number)); }

static void await_cancelled(tr_token *token, tr_reason reason, const char *message) {
  char text[256];
  CHECK_EQ(TR_OK, tr_token_wait(token, AT_ONCE));
  CHECK_EQ(reason, tr_token_reason(token));
  tr_token_message(token, text, sizeof text);
  CHECK_STR(message, text);
}

static sigset_t set_of(int first, int second) {
  sigset_t set;
  sigemptyset(&set);
  if (first != 0) sigaddset(&set, first);
  if (second != 0) sigaddset(&set, second);
  return set;
}

static atomic_int handled;
static void handler_counts(int number) {
  (void)number;
  atomic_fetch_add(&handled, 1);
}

static void (*handler_of(int number))(int) {
  struct sigaction action;
  CHECK_EQ(0, sigaction(number, NULL, &action));
  return action.sa_handler;
}

static void set_handler(int number, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  CHECK_EQ(0, sigaction(number, &action, NULL));
}

static void remember_thread(void *ctx) {
  char name[16];
  CHECK_EQ(0, pthread_getname_np(pthread_self(), name, sizeof name));
  CHECK_STR("taskreg-signals", name);
  sem_post((sem_t *)ctx);
}

/* Proves: the first SIGTERM cancels the token with TR_REASON_USER_REQUESTED and the signal's name,
   raises the flags of the tasks and runs callbacks, on a thread where they may call anything; the
   shutdown that follows has its full grace (C13). Why it matters: this is how a daemon is stopped.
   Catches: a cancel from inside the handler; a first signal that forces the deadline. */
CASE(first_signal_cancels_the_token) {
  const int numbers[] = {SIGTERM, SIGINT};
  const char *const names[] = {"SIGTERM", "SIGINT"};
  for (int i = 0; i < 2; i++) {
    tr_registry *registry = watched(NULL, 0);
    tr_task *task = spawn(registry, "obeys", body_obeys, NULL);
    sem_t called;
    sem_init(&called, 0, 0);
    tr_registration *registration = NULL;
    CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), remember_thread, &called, NULL,
                                       &registration));
    send_signal(numbers[i]);
    await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, names[i]);
    sem_take(&called);
    wait_and_release(task);
    tr_registration_remove(registration);
    sem_destroy(&called);
    unwatch_and_finish(registry);
  }
}

/* Proves: SIGHUP requests TR_REASON_RELOAD_REQUESTED if the option is set, and neither forces the
   deadline nor ends the process however often it comes; without the option it is a signal like the
   others (C13). Why it matters: a terminal that closes sends it more than once. Catches: SIGHUP
   counted. */
CASE(hang_up_may_ask_for_a_reload) {
  tr_registry *registry = watched(NULL, TR_SIGNALS_HUP_RELOADS);
  /* To this thread: of those sent to the process the last may be taken by another one after the watch has stopped. */
  for (int i = 0; i < 5; i++) CHECK_EQ(0, pthread_kill(pthread_self(), SIGHUP));
  await_cancelled(tr_registry_token(registry), TR_REASON_RELOAD_REQUESTED, "SIGHUP");
  unwatch_and_finish(registry);

  sigset_t set = set_of(SIGHUP, 0);
  registry = watched(&set, 0);
  send_signal(SIGHUP);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGHUP");
  unwatch_and_finish(registry);
}

/* Proves: signals of the application's choice do, real-time signals too, whose names are numbers (C13).
   Why it matters: supervisors differ.  Catches: a table of two signals. */
CASE(any_signal_may_be_chosen) {
  sigset_t set = set_of(SIGUSR2, SIGRTMIN + 3);
  tr_registry *registry = watched(&set, 0);
  send_signal(SIGRTMIN + 3);
  char expected[32];
  snprintf(expected, sizeof expected, "signal %d", SIGRTMIN + 3);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, expected);
  unwatch_and_finish(registry);
  registry = watched(&set, 0);
  send_signal(SIGUSR2);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGUSR2");
  unwatch_and_finish(registry);
}

/* Proves: the second signal forces the deadline of a shutdown under way, and of one that is yet to
   come; a join continues to wait (C13). Why it matters: a user who presses ^C twice does not want
   to wait. Catches: a grace that was computed once; a join cut short. */
CASE(second_signal_cuts_the_grace_short) {
  tr_registry *registry = watched(NULL, 0);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  struct join_call join, shutdown;
  join_begin_asleep(&join, registry, FOREVER);
  send_signal(SIGTERM);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM");
  shutdown_begin(&shutdown, registry, 1000 * SECOND);
  await_asleep(&shutdown.tid);
  CHECK_EQ(0, atomic_load(&shutdown.returned));
  send_signal(SIGINT);
  join_end(&shutdown);
  CHECK_EQ(TR_ERR_DEADLINE, shutdown.status);
  CHECK_EQ(1, shutdown.report.pending);
  CHECK_EQ(1, shutdown.report.abandoned);
  CHECK_BETWEEN_NS(0, AT_ONCE, shutdown.took);

  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, &report));
  CHECK_EQ(1, report.pending);
  CHECK_EQ(0, atomic_load(&join.returned));
  gate_open(&gate);
  join_end(&join);
  CHECK_EQ(TR_OK, join.status);
  wait_and_release(task);
  unwatch_and_finish(registry);
}

static int body_drains(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_begin_drain());
  gate_arrive((struct gate *)ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  return 0;
}

static int body_keeps_a_journal(tr_task *self, void *ctx) {
  gate_arrive((struct gate *)ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  uint32_t level = tr_task_stop_level(self);
  if (tr_begin_drain() == TR_OK) TR_IGNORE(tr_sleep(5 * MS));
  return (int)level;
}

static void remember_who_aborts(void *ctx) {
  char name[16];
  CHECK_EQ(0, pthread_getname_np(pthread_self(), name, sizeof name));
  CHECK_STR("taskreg-cancel", name);
  sem_post((sem_t *)ctx);
}

static void remember_an_abort(void *ctx) { sem_post((sem_t *)ctx); }

/* Proves: a second signal tells the tasks of the phases that were asked to abort, before any shutdown begins,
   and runs their callbacks on a thread of the library's; a phase that is asked later is asked to drain, and the
   report says what cut the shutdown short (C13, C15).  Why it matters: the workers drop what they do, and the
   journal is still complete.  Catches: abort for every phase; a callback on the thread that receives signals. */
CASE(second_signal_aborts_those_that_were_asked) {
  tr_registry *registry = watched(NULL, 0);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "drains", body_drains, &gate), *journal = NULL;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.phase = 1;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "journal", TR_KIND_MAINTENANCE, body_keeps_a_journal, &gate, &options,
                                &journal));
  gate_await(&gate, 2);
  sem_t called;
  sem_init(&called, 0, 0);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_abort(task, remember_who_aborts, &called, NULL, &registration));
  send_signal(SIGTERM);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM");
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 2 * MS, NULL));
  send_signal(SIGINT);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(task));
  CHECK_EQ(TR_STOP_NONE, tr_task_stop_level(journal));
  sem_take(&called);
  tr_registration_remove(registration);
  tr_report *full = NULL;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.full = &full;
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, 1000 * SECOND, &report));
  CHECK_EQ(TR_STOP_DRAIN, outcome_of(journal).code);
  char text[4096];
  size_t length;
  CHECK_EQ(TR_OK, tr_report_write_buffer(full, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_MSG(strstr(text, ", cut short: SIGINT, ") != NULL && strstr(text, " after SIGTERM\n") != NULL, "%.400s", text);
  CHECK_EQ(TR_OK, tr_report_write_buffer(full, TR_FORMAT_JSON, text, sizeof text, &length));
  const char *cut = strstr(text, "\"cut_short_by\":\"SIGINT, ");
  CHECK_MSG(cut != NULL && strstr(cut, " after SIGTERM\"") != NULL, "%.400s", text);
  tr_report_release(full);
  tr_task_release(task);
  tr_task_release(journal);
  sem_destroy(&called);
  unwatch_and_finish(registry);
}

static int body_writes_slowly(tr_task *self, void *ctx) {
  gate_arrive((struct gate *)ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  CHECK_EQ(TR_OK, tr_begin_drain());
  CHECK_EQ(TR_OK, tr_sleep(30 * MS));
  return (int)tr_task_stop_level(self);
}

/* Proves: after a second signal each later phase has at least the abort grace, also if less was left of the grace
   (C13).  Why it matters: the journal is complete, however late somebody lost patience.
   Catches: a phase that has only what is left; a phase that is told to abort as soon as it is asked. */
CASE(after_a_second_signal_each_later_phase_has_its_time) {
  tr_registry *registry = registry_with_grace(600 * SECOND);
  tr_signal_options how = TR_SIGNAL_OPTIONS_INIT;
  how.debounce_ns = TR_NO_DEBOUNCE;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &how));
  struct gate gate = GATE_INIT;
  tr_task *worker = spawn(registry, "drains", body_drains, &gate), *journals[2];
  for (uint32_t i = 0; i < 2; i++) {
    tr_spawn_options phased = TR_SPAWN_OPTIONS_INIT;
    phased.phase = i + 1;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "journal", TR_KIND_MAINTENANCE, body_writes_slowly, &gate, &phased,
                                  &journals[i]));
  }
  gate_await(&gate, 3);
  sem_t called;
  sem_init(&called, 0, 0);
  tr_registration *registration = NULL;
  /* The thread that answers the first signal may still be at its callbacks, and run this one as well. */
  CHECK_EQ(TR_OK, tr_task_on_abort(worker, remember_an_abort, &called, NULL, &registration));
  send_signal(SIGTERM);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM");
  send_signal(SIGTERM);
  /* Once the second signal has taken effect: its flags may end the worker before. */
  sem_take(&called);
  tr_registration_remove(registration);
  wait_and_release(worker);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, MS, NULL));
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(TR_STOP_DRAIN, outcome_of(journals[i]).code);
    tr_task_release(journals[i]);
  }
  sem_destroy(&called);
  unwatch_and_finish(registry);
}

/* Proves: stops that come within the debounce time of one that was counted count as one, whatever signal they
   are; the next after that counts (C13).  Why it matters: a wrapper delivers Ctrl-C twice, and the journal had
   44 microseconds.  Catches: a handler that counts everything; one that compares with the first stop alone. */
CASE(stops_in_quick_succession_are_one) {
  tr_registry *registry = registry_new();
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.debounce_ns = 3600 * SECOND;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &options));
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "drains", body_drains, &gate);
  gate_await(&gate, 1);
  for (int i = 0; i < 5; i++) {
    send_signal(i % 2 ? SIGINT : SIGTERM);
    CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  }
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 20 * MS, NULL));
  CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(task));
  CHECK_EQ(TR_OK, tr_task_abort(task));
  wait_and_release(task);
  unwatch_and_finish(registry);

  registry = registry_new();
  options.debounce_ns = 1;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &options));
  task = spawn(registry, "drains", body_drains, &gate);
  gate_await(&gate, 2);
  for (int i = 0; i < 2; i++) send_signal(SIGTERM);
  wait_and_release(task);
  options.debounce_ns = TR_FOREVER;
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, NULL, &options));
  unwatch_and_finish(registry);
}

/* Proves: a signal may mean "stop now", which aborts at once and has a reason of its own, also within the debounce
   time of a stop, and "explain", which is answered during a shutdown and asks nobody to stop; what is not a role is
   rejected (C13).  Why it matters: an operator wants different things at different times.  Catches: a "now" that is
   debounced; an explanation that cancels. */
CASE(signals_have_roles) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  const tr_signal_role roles[] = {{SIGQUIT, TR_SIGNAL_STOP_NOW, 0x1234, 0}, {SIGUSR2, TR_SIGNAL_EXPLAIN, 0, ends[1]}};
  for (int both = 0; both < 2; both++) {
    tr_registry *registry = registry_new();
    tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
    options.debounce_ns = 3600 * SECOND;
    options.roles = roles;
    options.roles_count = 2;
    CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &options));
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "drains", body_drains, &gate);
    gate_await(&gate, 1);
    struct join_call shutdown;
    if (both) {
      send_signal(SIGTERM);
      CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
      shutdown_begin(&shutdown, registry, 1000 * SECOND);
      await_asleep(&shutdown.tid);
    }
    send_signal(SIGUSR2);
    char text[4096] = "";
    size_t length = 0;
    while (strstr(text, "drains") == NULL) {
      ssize_t got = read(ends[0], text + length, sizeof text - 1 - length);
      CHECK(got > 0);
      length += (size_t)got;
      text[length] = 0;
    }
    CHECK_EQ(both ? TR_STOP_DRAIN : TR_STOP_NONE, tr_task_stop_level(task));
    send_signal(SIGQUIT);
    wait_and_release(task);
    if (both) join_end(&shutdown);
    CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
    CHECK_EQ(both ? TR_REASON_USER_REQUESTED : 0x1234, tr_token_reason(tr_registry_token(registry)));
    unwatch_and_finish(registry);
  }
  tr_registry *registry = registry_new();
  const tr_signal_role wrong[][2] = {{{0, 0, 0, 0}, {SIGUSR1, 0, 0, 0}},
                                     {{65, 0, 0, 0}, {SIGUSR1, 0, 0, 0}},
                                     {{SIGUSR1, 4, 0, 0}, {SIGUSR2, 0, 0, 0}},
                                     {{SIGUSR1, TR_SIGNAL_EXPLAIN, 0, -1}, {SIGUSR2, 0, 0, 0}},
                                     {{SIGUSR1, 0, 0, 0}, {SIGUSR1, 1, 0, 0}},
                                     {{SIGKILL, 0, 0, 0}, {SIGUSR1, 1, 0, 0}}};
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.roles_count = 2;
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, NULL, &options));
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    options.roles = wrong[i];
    CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, NULL, &options));
  }
  options.roles_count = 65;
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, NULL, &options));
  registry_finish(registry);
  close(ends[0]);
  close(ends[1]);
}

/* Proves: an explanation for which nobody reads holds up a stop for a moment alone, whether it comes before the stop or
   after it, and the watch ends (C13).  Why it matters: stderr is a pipe of a supervisor that hangs, and SIGTERM has to
   stop the service all the same.  Catches: a write that waits for its reader, which hangs here. */
CASE(an_explanation_that_nobody_reads_holds_up_no_stop) {
  int ends[2], threads = thread_baseline();
  char page[4096] = {0};
  CHECK_EQ(0, pipe2(ends, O_NONBLOCK));
  while (write(ends[1], page, sizeof page) > 0) {}
  while (write(ends[1], page, 1) > 0) {}
  CHECK_EQ(EAGAIN, errno);
  CHECK_EQ(0, fcntl(ends[1], F_SETFL, 0));
  const tr_signal_role roles[] = {{SIGUSR2, TR_SIGNAL_EXPLAIN, 0, ends[1]}};
  for (int later = 0; later < 2; later++) {
    tr_registry *registry = registry_new();
    tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
    options.roles = roles;
    options.roles_count = 1;
    CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &options));
    tr_task *task = spawn(registry, "obeys", body_obeys, NULL);
    send_signal(later ? SIGTERM : SIGUSR2);
    if (later) CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
    send_signal(later ? SIGUSR2 : SIGTERM);
    CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
    wait_and_release(task);
    unwatch_and_finish(registry);
  }
  threads_settle(threads, AT_ONCE); /* none is left at a write */
  close(ends[0]);
  close(ends[1]);
}

/* Take what a terminal has got, until `is_over` says 1. */
static atomic_int terminal_is_over;
static void *drain_terminal(void *descriptor) {
  char page[4096];
  struct pollfd readable = {*(int *)descriptor, POLLIN, 0};
  int is_there;
  while ((is_there = poll(&readable, 1, 10) > 0) || !atomic_load(&terminal_is_over))
    if (is_there && read(*(int *)descriptor, page, sizeof page) <= 0) break;
  return NULL;
}

/* A task whose part of an explanation is long, and like no other's. */
static int body_says_much(tr_task *self, void *ctx) {
  char text[256];
  memset(text, *(char *)ctx, sizeof text - 1);
  text[sizeof text - 1] = 0;
  CHECK_EQ(TR_OK, tr_checkpoint(text));
  return body_obeys(self, NULL);
}

/* Proves: an explanation whose write blocks although poll(2) said that it would not, to a terminal with little room,
   holds up neither a stop nor the end of the watch; its thread goes when the write returns, and others are left out
   until then (C13).  Why it matters: a terminal whose user has pressed ^S must not keep a service from stopping.
   Catches: an answerer that is never replaced, which hangs here; one more thread for each signal. */
CASE(an_explanation_that_is_stuck_holds_up_no_stop) {
  int threads = thread_baseline();
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return; /* no terminals here */
  CHECK_EQ(0, grantpt(master));
  CHECK_EQ(0, unlockpt(master));
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(slave >= 0);
  CHECK_EQ(0, fcntl(slave, F_SETFL, O_NONBLOCK));
  char page[4096];
  memset(page, 'x', sizeof page);
  while (write(slave, page, sizeof page) > 0) continue;
  while (write(slave, page, 1) > 0) continue;
  CHECK_EQ(EAGAIN, errno);
  CHECK_EQ(0, fcntl(slave, F_SETFL, 0));
  /* Room for a part of the explanation. */
  struct pollfd writable = {slave, POLLOUT, 0};
  while (poll(&writable, 1, 0) == 0) CHECK(read(master, page, 64) > 0);
  const tr_signal_role roles[] = {{SIGUSR2, TR_SIGNAL_EXPLAIN, 0, slave}};
  for (int round = 0; round < 2; round++) {
    tr_registry *registry = registry_new();
    tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
    options.roles = roles;
    options.roles_count = 1;
    CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &options));
    static char letters[] = "abcdefghijklmnopqrstuvwxyz";
    tr_task *tasks[26];
    for (int i = 0; i < 26; i++) tasks[i] = spawn(registry, "says much", body_says_much, &letters[i]);
    for (int i = 0; i < 3; i++) {
      send_signal(SIGUSR2);
      for (int pause = 0; pause < 10; pause++) breathe();
    }
    send_signal(SIGTERM);
    CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
    for (int i = 0; i < 26; i++) wait_and_release(tasks[i]);
    unwatch_and_finish(registry);
  }
  CHECK(thread_baseline() <= threads + 1); /* the one that writes */
  atomic_store(&terminal_is_over, 0);
  pthread_t reader = thread_start(drain_terminal, &master);
  threads_settle(threads + 1, 60 * SECOND * check_scale());
  atomic_store(&terminal_is_over, 1);
  thread_end(reader);
  /* The next one is written. */
  tr_registry *registry = registry_new();
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.roles = roles;
  options.roles_count = 1;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &options));
  send_signal(SIGUSR2);
  char text[8192] = "";
  for (size_t length = 0; strstr(text, "0 tasks alive") == NULL;) {
    ssize_t got = read(master, text + length, sizeof text - 1 - length);
    CHECK(got > 0);
    length += (size_t)got;
    text[length] = 0;
  }
  unwatch_and_finish(registry);
  close(slave);
  close(master);
}

static void holds_the_answerer(void *ctx) { gate_pass(ctx); }

/* Proves: while a callback of another token holds up the thread that answers, a second stop cancels the token for the
   first, with its reason, and aborts; the token's callbacks run on that thread when it continues (C13, C14).  Why it
   matters: otherwise two signals ask nobody to stop, and the third ends the process.  Catches: a receiver that forces
   the deadline alone; callbacks that run on its thread, or never. */
CASE(second_signal_needs_no_answer_to_the_first) {
  const tr_signal_role roles[] = {{SIGTERM, TR_SIGNAL_STOP, 0x1234, 0}};
  tr_registry *registry = registry_new();
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.debounce_ns = TR_NO_DEBOUNCE;
  options.roles = roles;
  options.roles_count = 1;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &options));
  struct gate running = GATE_INIT, held = GATE_INIT;
  tr_task *task = spawn(registry, "drains", body_drains, &running);
  gate_await(&running, 1);
  tr_token *other = tr_token_create(), *token = tr_registry_token(registry);
  tr_registration *holding = NULL, *registration = NULL;
  sem_t called;
  sem_init(&called, 0, 0);
  CHECK_EQ(TR_OK, tr_token_on_cancel(other, holds_the_answerer, &held, NULL, &holding));
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, remember_thread, &called, NULL, &registration));
  CHECK_EQ(TR_OK, tr_request_shutdown(other, TR_REASON_FATAL));
  gate_await(&held, 1);
  send_signal(SIGTERM);
  send_signal(SIGTERM);
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  await_cancelled(token, 0x1234, "SIGTERM");
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(task));
  CHECK(sem_trywait(&called) != 0);
  gate_open(&held);
  sem_take(&called);
  tr_registration_remove(holding);
  tr_registration_remove(registration);
  tr_token_release(other);
  tr_task_release(task);
  sem_destroy(&called);
  unwatch_and_finish(registry);
}

static void counts_its_call(void *ctx) { atomic_fetch_add((atomic_int *)ctx, 1); }

/* Claim: however two stops and the end of the watch meet, the token's callbacks have run once when the watch has ended.
   Proves: that (C7, C13).  Why it matters: either thread may have raised the flags, and either may be the last one.
   Catches: callbacks that are left to a thread that has finished. */
CASE(callbacks_have_run_when_the_watch_has_ended) {
  for (int i = 0; i < check_rounds(300); i++) {
    tr_registry *registry = watched(NULL, 0);
    atomic_int calls = 0;
    tr_registration *registration = NULL;
    CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), counts_its_call, &calls, NULL, &registration));
    raise(SIGTERM);
    raise(SIGTERM);
    CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
    CHECK_EQ(1, atomic_load(&calls));
    tr_registration_remove(registration);
    registry_finish(registry);
  }
}

static int role_third(void) {
  tr_registry *registry = watched(NULL, 0);
  struct gate gate = GATE_INIT;
  spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  send_signal(SIGINT);
  send_signal(SIGTERM);
  TR_IGNORE(tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  send_signal(SIGTERM);
  pause();
  return 1;
}

static void stay(void *ctx) {
  sem_post((sem_t *)ctx);
  for (;;) pause();
}

static int role_third_while_stuck(void) {
  tr_registry *registry = watched(NULL, 0);
  sem_t stuck;
  sem_init(&stuck, 0, 0);
  tr_registration *registration = NULL;
  TR_IGNORE(tr_token_on_cancel(tr_registry_token(registry), stay, &stuck, NULL, &registration));
  send_signal(SIGTERM);
  sem_take(&stuck);
  send_signal(SIGTERM);
  send_signal(SIGINT);
  pause();
  return 1;
}

/* Proves: the third signal ends the process with 128 + its number, also when a callback of the
   application's holds up the thread that deals with signals (C13). Why it matters: there must be a
   way out that needs no other thread. Catches: an end that waits for the thread. */
CASE(third_signal_ends_the_process) {
  CHECK_EXITED(128 + SIGTERM, status_of_role("third", NULL));
  CHECK_EXITED(128 + SIGINT, status_of_role("third-while-stuck", NULL));
}

/* Proves: signals that every thread of the application's has blocked come through (C13).  Why it
   matters: daemons block them before they start threads, for sigwait.  Catches: a watch that relies on
   the application's masks. */
CASE(blocked_signals_come_through) {
  sigset_t set = set_of(SIGTERM, SIGINT), before;
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &set, &before));
  tr_registry *registry = watched(NULL, 0);
  send_signal(SIGTERM);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM");
  unwatch_and_finish(registry);
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
}

/* Unblock SIGHUP without taking one that is pending. */
static void unblock_hang_up(const sigset_t *before) {
  sigset_t set = set_of(SIGHUP, 0);
  struct timespec at_once = {0, 0};
  while (sigtimedwait(&set, NULL, &at_once) == SIGHUP) continue;
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, before, NULL));
}

/* Proves: a signal that the program blocks, and that is pending when the watch starts, is the watch's,
   also for a registry that was created before it was blocked (C13).  Why it matters: the thread that
   answers takes the mask of that registry's callbacks; the default action ended the process.  Catches:
   a thread that lets the signal through before there is a handler. */
CASE(a_pending_signal_waits_for_the_handler) {
  sigset_t set = set_of(SIGHUP, 0), before;
  set_handler(SIGHUP, handler_counts);
  atomic_store(&handled, 0);
  for (int i = 0; i < check_rounds(50); i++) {
    tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
    options.flags = TR_SIGNALS_HUP_RELOADS;
    tr_registry *registry = registry_new();
    CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &set, &before));
    send_signal(SIGHUP);
    CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, &options));
    await_cancelled(tr_registry_token(registry), TR_REASON_RELOAD_REQUESTED, "SIGHUP");
    unwatch_and_finish(registry);
    unblock_hang_up(&before);
  }
  CHECK_EQ(0, atomic_load(&handled));
  set_handler(SIGHUP, SIG_DFL);
}

static atomic_int raining;

static void *rain(void *argument) {
  while (atomic_load(&raining)) send_signal(SIGHUP);
  return argument;
}

/* Proves: a signal that the program blocks while one watch ends and another starts is one of theirs, or stays pending: it
   never does what it did before them (C13). Why it matters: so a program without tr_signal_watch_move loses no
   signal; the default action ended the process. Catches: handlers that are gone before the threads that let the
   signal through. */
CASE(a_blocked_signal_waits_between_two_watches) {
  sigset_t set = set_of(SIGHUP, 0), before;
  set_handler(SIGHUP, handler_counts);
  atomic_store(&handled, 0);
  tr_registry *registry = watched(NULL, TR_SIGNALS_HUP_RELOADS);
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &set, &before));
  atomic_store(&raining, 1);
  pthread_t thread = thread_start(rain, NULL);
  for (int i = 0; i < check_rounds(100); i++) {
    await_cancelled(tr_registry_token(registry), TR_REASON_RELOAD_REQUESTED, "SIGHUP");
    unwatch_and_finish(registry);
    registry = watched(NULL, TR_SIGNALS_HUP_RELOADS);
  }
  atomic_store(&raining, 0);
  thread_end(thread);
  unwatch_and_finish(registry);
  unblock_hang_up(&before);
  CHECK_EQ(0, atomic_load(&handled));
  set_handler(SIGHUP, SIG_DFL);
}

static atomic_int turn;

static void *one_each_turn(void *argument) {
  for (int i = 1; i <= *(const int *)argument; i++) {
    while (atomic_load(&turn) < i) continue;
    for (volatile int spent = 0; spent < i * 7919 % 40000; spent = spent + 1) continue;
    send_signal(SIGHUP);
    atomic_fetch_add(&turn, -1000000);
    while (atomic_load(&turn) < 0) breathe();
  }
  return argument;
}

/* Proves: a signal that comes as the watch ends counts once: it has cancelled the token when the end
   returns, or it does what it did before (C13). Why it matters: a reload that is lost, or that the next
   registry gets. Catches: a signal that is recorded once the threads have ended, and not answered. */
CASE(a_signal_at_the_end_counts_once) {
  int rounds = check_rounds(1000);
  set_handler(SIGHUP, handler_counts);
  atomic_store(&turn, 0);
  pthread_t thread = thread_start(one_each_turn, &rounds);
  for (int i = 1; i <= rounds; i++) {
    tr_registry *registry = watched(NULL, TR_SIGNALS_HUP_RELOADS);
    atomic_store(&handled, 0);
    atomic_store(&turn, i);
    CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
    while (atomic_load(&turn) > 0) breathe();
    int counts = 0; /* kill(2) may return before the handler has run */
    for (int tries = 0; counts == 0 && tries < 1000; tries++) {
      if (tries > 0) breathe();
      counts = atomic_load(&handled) + tr_token_is_cancelled(tr_registry_token(registry));
    }
    CHECK_MSG(counts == 1, "round %d: %d times", i, counts);
    tr_registry_release(registry);
    atomic_fetch_add(&turn, 1000000);
  }
  thread_end(thread);
  set_handler(SIGHUP, SIG_DFL);
}

/* Proves: when the watch ends, each signal does what it did before: default, ignored, or a handler
   of the application's; one installed meanwhile stays; a signal that is not in the set is never
   changed (C13). Why it matters: handlers belong to the application. Catches: SIG_DFL for all. */
CASE(signals_do_again_what_they_did) {
  set_handler(SIGUSR1, handler_counts);
  set_handler(SIGUSR2, SIG_IGN);
  set_handler(SIGQUIT, handler_counts);
  sigset_t set = set_of(SIGUSR1, SIGUSR2);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGALRM);
  tr_registry *registry = watched(&set, 0);
  CHECK(handler_of(SIGUSR1) != handler_counts && handler_of(SIGUSR2) != SIG_IGN);
  CHECK(handler_of(SIGQUIT) == handler_counts && handler_of(SIGINT) == SIG_DFL);
  set_handler(SIGALRM, handler_counts);
  unwatch_and_finish(registry);
  CHECK(handler_of(SIGUSR1) == handler_counts);
  CHECK(handler_of(SIGUSR2) == SIG_IGN);
  CHECK(handler_of(SIGTERM) == SIG_DFL);
  CHECK(handler_of(SIGALRM) == handler_counts);
  set_handler(SIGALRM, SIG_DFL);
  atomic_store(&handled, 0);
  CHECK_EQ(0, raise(SIGUSR1));
  CHECK_EQ(1, atomic_load(&handled));
}

/* Proves: of the signals that are chosen by default those stay ignored that are, and an explicit choice
   takes them (C13).  Why it matters: nohup(1) and shells start programs so.  Catches: handlers
   installed whatever the disposition. */
CASE(ignored_signals_stay_ignored_by_default) {
  set_handler(SIGINT, SIG_IGN);
  tr_registry *registry = watched(NULL, 0);
  CHECK(handler_of(SIGINT) == SIG_IGN);
  CHECK(handler_of(SIGTERM) != SIG_DFL);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  sigset_t set = set_of(SIGINT, 0);
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, &set, NULL));
  CHECK(handler_of(SIGINT) != SIG_IGN);
  unwatch_and_finish(registry);
  set_handler(SIGINT, SIG_DFL);
}

static void child_is_killed(void *argument) {
  (void)argument;
  raise(SIGTERM);
}

/* Proves: in a child of fork a signal does what it did before the watch, and does not affect the
   parent's registry (C13, P1). Why it matters: a child that swallows SIGTERM cannot be stopped.
   Catches: a handler that does not detect the child. */
CASE(child_of_fork_is_not_watched) {
  tr_registry *registry = watched(NULL, 0);
  int status = status_of_child(child_is_killed, NULL);
  CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "status 0x%x", (unsigned)status);
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  unwatch_and_finish(registry);
}

/* Proves: the watch is two threads, there while it is wanted (C13).  Why it matters: a program that uses
   none of this has no thread of the library's.  Catches: a thread that is left. */
CASE(watch_is_two_threads) {
  int before = thread_baseline();
  tr_registry *registry = registry_new();
  CHECK_EQ(before, thread_count());
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, NULL));
  CHECK_EQ(before + 2, thread_count());
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  threads_settle(before, AT_ONCE);
  registry_finish(registry);
}

struct ending {
  tr_registry *registry;
  tr_status status;
  sem_t done;
};

static void ends_its_own_watch(void *ctx) {
  struct ending *ending = ctx;
  ending->status = tr_signal_watch_stop(ending->registry);
  sem_post(&ending->done);
}

/* Proves: an invalid watch is rejected and changes nothing: a second watch, SIGKILL, faults,
   unknown flags, NULL; and so is stopping a watch that was not started, or from its own thread
   (P4, J7). Why it matters: bad input gets a clear error. Catches: handlers installed before the
   check. */
CASE(nonsense_is_rejected) {
  tr_registry *registry = registry_new(), *other = registry_new();
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(NULL, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_stop(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_stop(registry));
  const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    sigset_t set = set_of(SIGTERM, never[i]);
    CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, &set, NULL));
    CHECK(handler_of(SIGTERM) == SIG_DFL);
  }
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.flags = 0x2;
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, NULL, &options));
  options = (tr_signal_options)TR_SIGNAL_OPTIONS_INIT;
  options.size = 4;
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, NULL, &options));

  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(other, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_stop(other));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_move(other, registry));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_move(registry, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_move(NULL, registry));
  struct ending ending = {.registry = registry};
  sem_init(&ending.done, 0, 0);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), ends_its_own_watch, &ending, NULL,
                                     &registration));
  send_signal(SIGTERM);
  sem_take(&ending.done);
  CHECK_EQ(TR_ERR_DEADLOCK, ending.status);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  sem_destroy(&ending.done);
  tr_registration_remove(registration);
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_stop(registry));
  registry_finish(other);
  registry_finish(registry);
}

static int descriptor_count(void) {
  int count = 0;
  for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

/* Proves: the watch needs no descriptor, neither to start nor to receive a signal (C13). Why it
   matters: daemons close all descriptors that they do not know, and the machines in trouble have
   none left: their SIGTERM would be lost. Catches: an eventfd or a pipe between the handler and the
   thread. */
CASE(watch_needs_no_descriptor) {
  tr_registry *registry = registry_new();
  struct rlimit limit, none;
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
  none = limit;
  none.rlim_cur = 0;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
  int before = descriptor_count();
  tr_status status = tr_signal_watch_start(registry, NULL, NULL);
  CHECK_EQ(before, descriptor_count());
  send_signal(SIGTERM);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM");
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
  CHECK_EQ(TR_OK, status);
  unwatch_and_finish(registry);
}

/* ---- The second signal ----------------------------------------------------------------------- */

/* A shutdown that is made where the library calls back. */
struct stopping {
  tr_registry *registry;
  sem_t begun, done;
  tr_status status;
};

static void shuts_down(void *ctx) {
  struct stopping *stopping = ctx;
  sem_post(&stopping->begun);
  stopping->status = tr_shutdown(stopping->registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL);
  sem_post(&stopping->done);
}

/* Proves: the second signal forces the deadline while a callback of the first is running, even if
   that callback makes the shutdown (C13). Why it matters: shutting down in a callback is natural,
   and a user who presses ^C twice does not know of it. Catches: a second signal that waits for the
   callbacks of the first. */
CASE(second_signal_counts_while_a_callback_runs) {
  tr_registry *registry = watched(NULL, 0);
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  struct stopping stopping = {.registry = registry};
  sem_init(&stopping.begun, 0, 0);
  sem_init(&stopping.done, 0, 0);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), shuts_down, &stopping, NULL,
                                     &registration));
  send_signal(SIGTERM);
  sem_take(&stopping.begun);
  send_signal(SIGTERM);
  sem_take(&stopping.done);
  CHECK_EQ(TR_ERR_DEADLINE, stopping.status);
  gate_open(&gate);
  wait_and_release(task);
  tr_registration_remove(registration);
  sem_destroy(&stopping.begun);
  sem_destroy(&stopping.done);
  unwatch_and_finish(registry);
}

/* Proves: the second signal forces the deadline of a group's shutdown, one under way and one to
   come, even of a group that is created afterwards; a join of a group continues to wait (C13, T1).
   Why it matters: a program stops its parts in order, and is in the shutdown of one of them when ^C
   comes again. Catches: forcing only the watched registry's deadline. */
CASE(second_signal_forces_the_groups_below) {
  tr_registry *top = watched(NULL, 0), *net = NULL, *peers = NULL, *late = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(top, "net", NULL, &net));
  CHECK_EQ(TR_OK, tr_registry_child(net, "peers", NULL, &peers));
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(peers, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  struct join_call join, shutdown, above;
  join_begin_asleep(&join, peers, FOREVER);
  send_signal(SIGTERM);
  await_cancelled(tr_registry_token(top), TR_REASON_USER_REQUESTED, "SIGTERM");
  shutdown_begin(&shutdown, peers, 1000 * SECOND);
  await_asleep(&shutdown.tid);
  shutdown_begin(&above, net, 1000 * SECOND);
  await_asleep(&above.tid);
  send_signal(SIGTERM);
  join_end(&shutdown);
  join_end(&above);
  CHECK_EQ(TR_ERR_DEADLINE, shutdown.status);
  CHECK_EQ(TR_ERR_DEADLINE, above.status);
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(net, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_registry_child(net, "late", NULL, &late));
  CHECK_EQ(TR_OK, tr_shutdown(late, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(0, atomic_load(&join.returned));
  gate_open(&gate);
  join_end(&join);
  CHECK_EQ(TR_OK, join.status);
  wait_and_release(task);
  tr_registry_release(late);
  tr_registry_release(peers);
  tr_registry_release(net);
  unwatch_and_finish(top);
}

static pthread_key_t held_up_key;
static void held_up(void *gate) { gate_pass(gate); }
static int body_leaves_a_value(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(0, pthread_setspecific(held_up_key, ctx));
  return tr_wait_cancelled(FOREVER) == TR_ERR_CANCELLED ? 0 : 70;
}
static void *shutdown_of_an_hour(void *argument) {
  struct join_call *call = argument;
  call->report = (tr_join_report)TR_JOIN_REPORT_INIT;
  call->status = tr_shutdown(call->registry, TR_REASON_NONE, NULL, 3600 * SECOND, &call->report);
  return NULL;
}

/* Proves: a second signal ends a shutdown that waits for a thread whose task has ended, within the
   allowance of a second, whether it comes before the shutdown or during that wait (C13, G4). Why it
   matters: a destructor of thread-specific data may hang, and the grace be an hour. Catches: an
   allowance that counts from the deadline before the second signal; a wait for threads that does
   not check whether the deadline is forced. */
CASE(second_signal_ends_the_wait_for_a_thread) {
  CHECK_EQ(0, pthread_key_create(&held_up_key, held_up));
  for (int comes_before = 0; comes_before < 2; comes_before++) {
    tr_registry *registry = watched(NULL, 0);
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "leaves", body_leaves_a_value, &gate);
    send_signal(SIGTERM);
    wait_and_release(task);
    if (comes_before) send_signal(SIGTERM);
    struct join_call call = {.registry = registry};
    pthread_t thread = thread_start(shutdown_of_an_hour, &call);
    gate_await(&gate, 1);
    if (!comes_before) send_signal(SIGTERM);
    thread_end(thread);
    CHECK_EQ(TR_ERR_DEADLINE, call.status);
    CHECK_EQ(0, call.report.pending);
    CHECK_EQ(1, call.report.threads_left);
    gate_open(&gate);
    unwatch_and_finish(registry);
  }
  CHECK_EQ(0, pthread_key_delete(held_up_key));
}

/* ---- Stops and reloads ----------------------------------------------------------------------- */

/* Holds the thread that answers signals up. */
static void hold_up_answers(tr_token *token, struct gate *gate, tr_registration **registration) {
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, held_up, gate, NULL, registration));
  CHECK_EQ(TR_OK, tr_request_shutdown(token, TR_REASON_NONE));
  gate_await(gate, 1);
}

/* Proves: when a reload and a stop have both come, the stop counts, whichever came first or has the
   smaller number (C13). Why it matters: a service that was asked to stop would start again.
   Catches: signals answered in the order of their numbers. */
CASE(stop_goes_before_a_reload) {
  for (int stop_comes_first = 0; stop_comes_first < 2; stop_comes_first++) {
    tr_registry *registry = watched(NULL, TR_SIGNALS_HUP_RELOADS);
    struct gate gate = GATE_INIT;
    tr_token *token = tr_token_create();
    tr_registration *registration = NULL;
    hold_up_answers(token, &gate, &registration);
    send_signal(stop_comes_first ? SIGTERM : SIGHUP);
    send_signal(stop_comes_first ? SIGHUP : SIGTERM);
    while (tr_signal_watch_pending() == 0) breathe();
    gate_open(&gate);
    await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM");
    CHECK_EQ(0, tr_signal_watch_pending());
    tr_registration_remove(registration);
    tr_token_release(token);
    unwatch_and_finish(registry);
  }
}

/* Proves: a stop that comes while a reload is under way is reported by tr_signal_watch_pending,
   during and after the watch, and starts the next watch: its registry's token is cancelled when the
   call returns; it does so once (C13, C1). Why it matters: a token keeps its first reason; the
   service would start again and continue. Catches: a stop that is forgotten with its watch; one
   that also stops every later registry. */
CASE(stop_during_a_reload_is_not_lost) {
  tr_registry *first = watched(NULL, TR_SIGNALS_HUP_RELOADS);
  send_signal(SIGHUP);
  await_cancelled(tr_registry_token(first), TR_REASON_RELOAD_REQUESTED, "SIGHUP");
  CHECK_EQ(0, tr_signal_watch_pending());
  send_signal(SIGTERM);
  while (tr_signal_watch_pending() == 0) breathe();
  CHECK_EQ(SIGTERM, tr_signal_watch_pending());
  CHECK_EQ(TR_REASON_RELOAD_REQUESTED, tr_token_reason(tr_registry_token(first)));
  unwatch_and_finish(first);
  CHECK_EQ(SIGTERM, tr_signal_watch_pending());

  tr_registry *second = watched(NULL, TR_SIGNALS_HUP_RELOADS);
  CHECK_EQ(1, tr_token_is_cancelled(tr_registry_token(second)));
  await_cancelled(tr_registry_token(second), TR_REASON_USER_REQUESTED, "SIGTERM");
  CHECK_EQ(0, tr_signal_watch_pending());
  unwatch_and_finish(second);

  tr_registry *third = watched(NULL, TR_SIGNALS_HUP_RELOADS);
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(third)));
  unwatch_and_finish(third);
}

/* Proves: a watch is moved: signals from then on are the other registry's, a stop that came before
   moves too, and so does a second one; the old registry can no longer stop the watch (C13). Why it
   matters: a reload does this between two registries. Catches: a stop that stays with the old
   registry. */
CASE(watch_is_handed_over) {
  tr_registry *first = watched(NULL, 0), *second = registry_new(), *third = registry_new();
  CHECK_EQ(TR_OK, tr_signal_watch_move(first, second));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_move(first, second));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_stop(first));
  send_signal(SIGTERM);
  await_cancelled(tr_registry_token(second), TR_REASON_USER_REQUESTED, "SIGTERM");
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(first)));
  send_signal(SIGTERM);
  CHECK_EQ(TR_OK, tr_signal_watch_move(second, third));
  CHECK_EQ(1, tr_token_is_cancelled(tr_registry_token(third)));
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(first, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(TR_OK, tr_signal_watch_move(third, first));
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(first, TR_REASON_NONE, NULL, FOREVER, NULL));
  gate_open(&gate);
  wait_and_release(task);
  unwatch_and_finish(first);
  registry_finish(second);
  registry_finish(third);
}

/* ---- Who releases the last reference ------------------------------------------------------------ */

struct dropped {
  atomic_int drops;
  pthread_t thread;
  char name[16];
};

static void remember_drop(void *context) {
  struct dropped *dropped = context;
  dropped->thread = pthread_self();
  CHECK_EQ(0, pthread_getname_np(pthread_self(), dropped->name, sizeof dropped->name));
  atomic_fetch_add(&dropped->drops, 1);
}

static atomic_int logged_losses;
static void log_leaves(void *context, const tr_log_event *event) {
  (void)context;
  if (event->event != TR_EVENT_SIGNAL_LOST) return;
  atomic_fetch_add(&logged_losses, 1);
  pthread_exit(NULL);
}

static tr_registry *registry_with_drop(struct dropped *dropped) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_leaves;
  options.log_context = dropped;
  options.log_drop = remember_drop;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

/* Proves: the context of a log is dropped once, in the call that releases the last reference: that which moves the watch
   to another registry, or ends it, or the application's own, whichever comes last (O2, C13).
   Why it matters: a reload frees the old configuration, and its log with it, when the watch has gone to the new one.
   Catches: a reference that the watch keeps to a registry which it has left. */
CASE(a_watch_that_moves_on_lets_go_of_the_log) {
  for (int way = 0; way < 4; way++) {
    struct dropped first = {0}, second = {0};
    tr_registry *one = registry_with_drop(&first), *other = registry_with_drop(&second);
    CHECK_EQ(TR_OK, tr_signal_watch_start(one, NULL, NULL));
    if (way % 2 == 0) {
      tr_registry *alias = one;
      tr_registry_release(one);
      CHECK_EQ(0, atomic_load(&first.drops));
      CHECK_EQ(TR_OK, tr_signal_watch_move(alias, other));
    } else {
      CHECK_EQ(TR_OK, tr_signal_watch_move(one, other));
      CHECK_EQ(0, atomic_load(&first.drops));
      tr_registry_release(one);
    }
    CHECK_EQ(1, atomic_load(&first.drops));
    CHECK(pthread_equal(first.thread, pthread_self()));
    CHECK_EQ(0, atomic_load(&second.drops));
    if (way < 2) {
      tr_registry_release(other);
      CHECK_EQ(0, atomic_load(&second.drops));
      CHECK_EQ(TR_OK, tr_signal_watch_stop(other));
    } else {
      CHECK_EQ(TR_OK, tr_signal_watch_stop(other));
      CHECK_EQ(0, atomic_load(&second.drops));
      tr_registry_release(other);
    }
    CHECK_EQ(1, atomic_load(&second.drops));
    CHECK(pthread_equal(second.thread, pthread_self()));
    CHECK_EQ(1, atomic_load(&first.drops));
  }
}

/* Proves: a log callback for a lost signal that ends its thread hides no other lost signal, and leaves no reference
   behind: the context is dropped (C13, O2, P7).  Why it matters: a log that is never freed is a leak for each reload.
   Catches: a reference, or a signal, that went with the thread. */
CASE(a_log_that_ends_the_answering_thread_is_dropped) {
  struct dropped dropped = {0};
  tr_registry *registry = registry_with_drop(&dropped);
  sigset_t set = set_of(SIGUSR1, SIGUSR2);
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, &set, NULL));
  set_handler(SIGUSR1, handler_counts);
  set_handler(SIGUSR2, handler_counts);
  while (atomic_load(&logged_losses) < 2) breathe(); /* the first check is after a second */
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  CHECK_EQ(0, atomic_load(&dropped.drops));
  tr_registry_release(registry);
  CHECK_EQ(1, atomic_load(&dropped.drops));
  set_handler(SIGUSR1, SIG_DFL);
  set_handler(SIGUSR2, SIG_DFL);
}

static atomic_int holds_the_receiver;
static struct gate receiver_gate = GATE_INIT;
#if !defined(CHECK_UNDER_TSAN) && !defined(CHECK_UNDER_ASAN) && defined(__GLIBC__)
/* In front of the C library's: holds up the thread that makes a second signal count as it raises a task's descriptor. */
static const int can_hold_the_receiver = 1;
ssize_t write(int fd, const void *bytes, size_t count) {
  char name[16] = "";
  if (count == 8 && atomic_load(&holds_the_receiver) &&
      pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, "taskreg-watch") == 0 &&
      atomic_exchange(&holds_the_receiver, 0))
    gate_pass(&receiver_gate);
  return syscall(SYS_write, fd, bytes, count);
}
#else
static const int can_hold_the_receiver = 0;
#endif

static int body_until_aborted(tr_task *self, void *ctx) {
  (void)ctx;
  while (tr_task_stop_level(self) != TR_STOP_ABORT) breathe();
  return 0;
}

struct mover {
  tr_registry *from, *to;
  int64_t took;
  _Atomic(pid_t) tid;
  atomic_int is_done;
};

static void *move_and_release(void *argument) {
  struct mover *mover = argument;
  int64_t start = now_ns();
  atomic_store(&mover->tid, gettid());
  CHECK_EQ(TR_OK, tr_signal_watch_move(mover->from, mover->to));
  mover->took = now_ns() - start;
  tr_registry_release(mover->from);
  atomic_store(&mover->is_done, 1);
  return NULL;
}

/* Proves: a watch that is moved away while the thread that makes a second signal count is at it waits for that, so that
   log_drop never runs there (O2, C13).  Why it matters: a log that is closed may take long, and a signal must count all
   the same.  Catches: a reference that is released on that thread last. */
CASE(a_second_signal_drops_no_log) {
  if (!can_hold_the_receiver) return;
  struct dropped dropped = {0};
  /* A group: it has no threads, which would keep its memory. */
  tr_registry *root = registry_new(), *other = registry_new(), *group = NULL;
  tr_registry_options of_group = TR_REGISTRY_OPTIONS_INIT;
  of_group.log = log_leaves;
  of_group.log_context = &dropped;
  of_group.log_drop = remember_drop;
  CHECK_EQ(TR_OK, tr_registry_child(root, "group", &of_group, &group));
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.debounce_ns = TR_NO_DEBOUNCE;
  CHECK_EQ(TR_OK, tr_signal_watch_start(group, NULL, &options));
  tr_task *task = spawn(group, "stays", body_until_aborted, NULL);
  int fd = -1;
  CHECK_EQ(TR_OK, tr_task_abort_fd(task, &fd));
  send_signal(SIGTERM);
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(group), FOREVER));
  atomic_store(&holds_the_receiver, 1);
  send_signal(SIGTERM);
  gate_await(&receiver_gate, 1);
  wait_and_release(task);
  struct mover mover = {group, other, 0, 0, 0};
  pthread_t thread = thread_start(move_and_release, &mover);
  for (int seen = 0; seen < 3 && !atomic_load(&mover.is_done);) {
    pid_t id = atomic_load(&mover.tid);
    seen = id != 0 && thread_state(id) == 'S' ? seen + 1 : 0;
    breathe();
  }
  gate_open(&receiver_gate);
  thread_end(thread);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(other));
  CHECK_EQ(1, atomic_load(&dropped.drops));
  CHECK_MSG(mover.took >= SECOND || strcmp(dropped.name, "taskreg-watch") != 0, "it ran on %s", dropped.name);
  registry_finish(other);
  registry_finish(root);
}

/* Proves: while a watch is moved back and forth there is no moment at which a signal does what it
   did before the watch (C13). Why it matters: that would end the process; the gap is short, and a
   supervisor sends its signal just then. Catches: a handover made of an end and a start. */
CASE(handover_leaves_no_gap) {
  set_handler(SIGHUP, handler_counts);
  atomic_store(&handled, 0);
  tr_registry *one = watched(NULL, TR_SIGNALS_HUP_RELOADS), *other = registry_new();
  atomic_store(&raining, 1);
  pthread_t thread = thread_start(rain, NULL);
  while (!tr_token_is_cancelled(tr_registry_token(one))) breathe();
  for (int i = 0; i < check_rounds(1000); i++) {
    CHECK_EQ(TR_OK, tr_signal_watch_move(one, other));
    CHECK_EQ(TR_OK, tr_signal_watch_move(other, one));
  }
  CHECK_EQ(0, atomic_load(&handled));
  atomic_store(&raining, 0);
  thread_end(thread);
  unwatch_and_finish(one);
  registry_finish(other);
  set_handler(SIGHUP, SIG_DFL);
}

/* ---- Children ---------------------------------------------------------------------------------- */

static pid_t child_by_vfork(tr_token *token) {
  pid_t child = vfork();
  if (child == 0) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGTERM);
    /* It runs in the parent's memory, and must ask for nothing there. */
    _exit(tr_request_shutdown(token, TR_REASON_FATAL) == TR_ERR_FORKED ? 7 : 8);
  }
  return child;
}

static pid_t child_by_clone(tr_token *token) {
  pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (child == 0) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGTERM);
    _exit(tr_request_shutdown(token, TR_REASON_FATAL) == TR_ERR_FORKED ? 7 : 8);
  }
  return child;
}

/* Proves: a signal that is sent to a child of vfork or of a raw clone, which have not called exec,
   does in the child what it did before, and counts nothing in the parent: neither the first nor the
   second (C13). Why it matters: no handler of pthread_atfork runs there, and the child of vfork
   shares the parent's memory: a SIGTERM for it shut the parent down. Catches: a handler that
   recognises a child only by the atfork handler. */
CASE(children_without_fork_handlers_count_nothing) {
  tr_registry *registry = watched(NULL, 0);
  tr_token *token = tr_registry_token(registry);
  pid_t (*const ways[])(tr_token *) = {child_by_vfork, child_by_clone};
  for (int i = 0; i < 4; i++) {
    int status;
    pid_t child = ways[i % 2](token);
    CHECK(child > 0);
    while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
    CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "status 0x%x", (unsigned)status);
    CHECK_EQ(0, tr_token_is_cancelled(token));
    CHECK_EQ(0, tr_signal_watch_pending());
  }
  send_signal(SIGTERM);
  await_cancelled(token, TR_REASON_USER_REQUESTED, "SIGTERM");
  unwatch_and_finish(registry);
}

static int status_of_program_that_is_hung_up(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "kill -HUP $$; exit 7", (char *)NULL);
    _exit(126);
  }
  int status;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  return status;
}

/* Proves: a signal that was ignored before it was watched is ignored in a program that a child executes, and by
   default it is not watched, SIGHUP that reloads included (C13).  Why it matters: so nohup(1) works, for children as
   well; a handler is SIG_DFL after exec.  Catches: handlers that a child of fork keeps until it executes. */
CASE(ignored_signals_are_ignored_in_child_programs) {
  set_handler(SIGHUP, SIG_IGN);
  CHECK_EXITED(7, status_of_program_that_is_hung_up());
  sigset_t set = set_of(SIGHUP, 0);
  tr_registry *registry = watched(&set, 0);
  CHECK_EXITED(7, status_of_program_that_is_hung_up());
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL,
                                         &(tr_signal_options){.size = sizeof(tr_signal_options),
                                                              .flags = TR_SIGNALS_HUP_RELOADS}));
  CHECK(handler_of(SIGHUP) == SIG_IGN);
  unwatch_and_finish(registry);
  set_handler(SIGHUP, SIG_DFL);
}

/* ---- Other users of the signals
   ---------------------------------------------------------------- */

static int flags_of(int number) {
  struct sigaction action;
  CHECK_EQ(0, sigaction(number, NULL, &action));
  return action.sa_flags;
}

/* Proves: handlers of the library run on a thread's alternative stack, where it has one (C13, C10).  Why it matters:
   Go ends the program when one does not, and a coroutine's stack may have a kilobyte left.  Catches: sigaction
   without SA_ONSTACK. */
CASE(handlers_run_on_the_alternative_stack) {
  tr_registry *registry = watched(NULL, 0);
  CHECK(flags_of(SIGTERM) & SA_ONSTACK && flags_of(SIGTERM) & SA_RESTART);
  CHECK_EQ(TR_OK, tr_install_cancel_signal(SIGRTMIN + 1));
  CHECK(flags_of(SIGRTMIN + 1) & SA_ONSTACK && !(flags_of(SIGRTMIN + 1) & SA_RESTART));
  unwatch_and_finish(registry);
}

static tr_status spawn_with_signal(tr_registry *registry, int number, tr_task **task) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.cancel_signal = number;
  return tr_spawn_with(registry, "n", TR_KIND_MAINTENANCE, body_obeys, NULL, &options, task);
}

/* Proves: a signal that is watched is rejected as a cancel signal, and the cancel signal of a task,
   one that was prepared for that, and the backtrace signal cannot be watched (P4, C10, C13). Why it
   matters: stopping one task would stop the program. Catches: either check. */
CASE(signal_has_one_use) {
  set_handler(SIGUSR2, SIG_DFL);
  sigset_t first = set_of(SIGUSR1, 0), second = set_of(SIGUSR2, SIGUSR1);
  tr_registry *registry = watched(&first, 0), *other = registry_new();
  tr_task *task = NULL;
  CHECK_EQ(TR_ERR_INVALID, spawn_with_signal(other, SIGUSR1, &task));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));

  set_handler(SIGUSR1, handler_counts);
  CHECK_EQ(TR_OK, spawn_with_signal(other, SIGUSR1, &task));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, &second, NULL));
  CHECK(handler_of(SIGUSR2) == SIG_DFL && handler_of(SIGUSR1) == handler_counts);
  TR_IGNORE(tr_task_cancel(task));
  wait_and_release(task);
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, &second, NULL));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  set_handler(SIGUSR1, SIG_DFL);

  CHECK_EQ(TR_OK, tr_install_cancel_signal(SIGRTMIN + 1));
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 2));
  first = set_of(SIGRTMIN + 1, 0);
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, &first, NULL));
  first = set_of(SIGRTMIN + 2, 0);
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_start(registry, &first, NULL));
  registry_finish(other);
  registry_finish(registry);
}

static void log_signal(void *context, const tr_log_event *event) {
  if (event->event != TR_EVENT_SIGNAL_LOST) return;
  CHECK_EQ(SIGUSR1, event->code);
  CHECK_EQ(TR_LOG_WARNING, event->level);
  CHECK(strstr(event->message, "SIGUSR1") != NULL);
  sem_post(context);
}

/* Proves: if the application replaces the watch's handler, that is logged, once (C13, O2). Why it
   matters: a library that it loads later may do that, and then SIGTERM silently does nothing any
   more. Catches: a watch that never checks again. */
CASE(lost_signal_is_reported) {
  sem_t reported;
  sem_init(&reported, 0, 0);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_signal;
  options.log_context = &reported;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  sigset_t set = set_of(SIGUSR1, SIGUSR2);
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, &set, NULL));
  set_handler(SIGUSR1, handler_counts);
  sem_take(&reported);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  CHECK(sem_trywait(&reported) != 0);
  CHECK(handler_of(SIGUSR1) == handler_counts);
  set_handler(SIGUSR1, SIG_DFL);
  registry_finish(registry);
  sem_destroy(&reported);
}

static void leaves(void *ctx) {
  sem_post(ctx);
  pthread_exit(NULL);
}

/* Proves: a callback that ends the thread on which signals are answered stops nothing: the next request, and a signal,
   are answered on a new one; and the watch can be ended (C13, C14).  Why it matters: CPython ends the threads that come
   back into it when it is finalised.  Catches: a watch that waits for a thread that is gone; requests that are lost with
   it. */
CASE(callback_may_end_the_thread_that_answers) {
  tr_registry *registry = watched(NULL, 0);
  sem_t left;
  sem_init(&left, 0, 0);
  for (int i = 0; i < 10; i++) {
    tr_token *token = tr_token_create(), *next = tr_token_create();
    tr_registration *registration = NULL;
    CHECK_EQ(TR_OK, tr_token_on_cancel(token, leaves, &left, NULL, &registration));
    CHECK_EQ(TR_OK, tr_request_shutdown(token, TR_REASON_FATAL));
    CHECK_EQ(TR_OK, tr_request_shutdown(next, TR_REASON_FATAL));
    sem_take(&left);
    CHECK_EQ(TR_OK, tr_token_wait(next, AT_ONCE));
    tr_registration_remove(registration);
    tr_token_release(next);
    tr_token_release(token);
  }
  send_signal(SIGTERM);
  await_cancelled(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "SIGTERM");
  unwatch_and_finish(registry);
  sem_destroy(&left);
}

/* ---- Requests from handlers ------------------------------------------------------------------ */

static tr_token *volatile to_request;

static void handler_requests(int number) {
  (void)number;
  errno = EDOM;
  tr_status status = tr_request_shutdown(to_request, TR_REASON_RPC_REQUESTED);
  if (status != TR_OK || errno != EDOM) abort();
}

/* Proves: a handler of the application's own may ask for a shutdown, with the library's thread
   and without any signal of the watch's; the token is cancelled with the reason, once, also when the
   handler's reference is the last but the library's (C14).  Why it matters: a handler may do next to
   nothing.  Catches: a request that is lost, or frees in the handler; errno changed. */
CASE(handler_may_ask_for_a_shutdown) {
  sigset_t none = set_of(0, 0);
  tr_registry *registry = watched(&none, 0);
  set_handler(SIGUSR1, handler_requests);
  for (int i = 0; i < 1000; i++) {
    tr_token *token = tr_token_create(), *child = tr_token_child(token);
    to_request = token;
    raise(SIGUSR1);
    raise(SIGUSR1);
    tr_token_release(token);
    await_cancelled(child, TR_REASON_RPC_REQUESTED, "");
    tr_token_release(child);
  }
  to_request = tr_registry_token(registry);
  raise(SIGUSR1);
  await_cancelled(tr_registry_token(registry), TR_REASON_RPC_REQUESTED, "");
  set_handler(SIGUSR1, SIG_DFL);
  unwatch_and_finish(registry);
}

static void *request_many(void *argument) {
  tr_token **tokens = argument;
  for (int i = 0; i < 1000; i++)
    CHECK_EQ(TR_OK, tr_request_shutdown(tokens[i], TR_REASON_USER_REQUESTED));
  return NULL;
}

/* Proves: requests of four threads at once before the watch ends are carried out when it has ended,
   and later requests are rejected (C14). Why it matters: nothing is lost. Catches: a list that is
   read before the end is set. */
CASE(requests_are_answered_before_the_watch_ends) {
  for (int round = 0; round < 20; round++) {
    sigset_t none = set_of(0, 0);
    tr_registry *registry = watched(&none, 0);
    static tr_token *tokens[1000];
    for (int i = 0; i < 1000; i++) tokens[i] = tr_token_create();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = thread_start(request_many, tokens);
    for (int i = 0; i < 4; i++) thread_end(threads[i]);
    CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
    for (int i = 0; i < 1000; i++) {
      CHECK_EQ(1, tr_token_is_cancelled(tokens[i]));
      tr_token_release(tokens[i]);
    }
    CHECK_EQ(TR_ERR_INVALID,
             tr_request_shutdown(tr_registry_token(registry), TR_REASON_USER_REQUESTED));
    CHECK_EQ(TR_ERR_INVALID, tr_request_shutdown(NULL, TR_REASON_USER_REQUESTED));
    registry_finish(registry);
  }
}

/* Proves: a watch may start and stop while its signals come: each is the application's or the
   watch's (C13). Why it matters: signals come at any time. Catches: a handler that finds a watch
   that is gone, which the sanitizers see. */
CASE(watch_comes_and_goes_under_signals) {
  set_handler(SIGHUP, handler_counts);
  atomic_store(&raining, 1);
  pthread_t thread = thread_start(rain, NULL);
  for (int i = 0; i < check_rounds(1000); i++) {
    tr_registry *registry = watched(NULL, TR_SIGNALS_HUP_RELOADS);
    if (i % 10 == 0)
      await_cancelled(tr_registry_token(registry), TR_REASON_RELOAD_REQUESTED, "SIGHUP");
    CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
    tr_registry_release(registry);
  }
  atomic_store(&raining, 0);
  thread_end(thread);
  set_handler(SIGHUP, SIG_DFL);
}

static const struct check_case cases[] = {
    CHECK_ENTRY(first_signal_cancels_the_token),
    CHECK_ENTRY(hang_up_may_ask_for_a_reload),
    CHECK_ENTRY(any_signal_may_be_chosen),
    CHECK_ENTRY(second_signal_aborts_those_that_were_asked),
           CHECK_ENTRY(after_a_second_signal_each_later_phase_has_its_time),
           CHECK_ENTRY(stops_in_quick_succession_are_one), CHECK_ENTRY(signals_have_roles),
    CHECK_ENTRY(an_explanation_that_nobody_reads_holds_up_no_stop),
    CHECK_ENTRY(an_explanation_that_is_stuck_holds_up_no_stop),
    CHECK_ENTRY(second_signal_needs_no_answer_to_the_first),
    CHECK_ENTRY(callbacks_have_run_when_the_watch_has_ended),
           CHECK_ENTRY(second_signal_cuts_the_grace_short),
    CHECK_ENTRY(third_signal_ends_the_process),
    CHECK_ENTRY(blocked_signals_come_through),
    CHECK_ENTRY(a_pending_signal_waits_for_the_handler),
    CHECK_ENTRY(a_blocked_signal_waits_between_two_watches),
    CHECK_ENTRY(a_signal_at_the_end_counts_once),
    CHECK_ENTRY(signals_do_again_what_they_did),
    CHECK_ENTRY(ignored_signals_stay_ignored_by_default),
    CHECK_ENTRY(child_of_fork_is_not_watched),
    CHECK_ENTRY(watch_is_two_threads),
    CHECK_ENTRY(nonsense_is_rejected),
    CHECK_ENTRY(watch_needs_no_descriptor),
    CHECK_ENTRY(second_signal_counts_while_a_callback_runs),
    CHECK_ENTRY(second_signal_forces_the_groups_below),
    CHECK_ENTRY(second_signal_ends_the_wait_for_a_thread),
    CHECK_ENTRY(stop_goes_before_a_reload),
    CHECK_ENTRY(stop_during_a_reload_is_not_lost),
    CHECK_ENTRY(watch_is_handed_over),
    CHECK_ENTRY(a_watch_that_moves_on_lets_go_of_the_log),
    CHECK_ENTRY(a_log_that_ends_the_answering_thread_is_dropped),
    CHECK_ENTRY(a_second_signal_drops_no_log),
    CHECK_ENTRY(handover_leaves_no_gap),
    CHECK_ENTRY(children_without_fork_handlers_count_nothing),
    CHECK_ENTRY(ignored_signals_are_ignored_in_child_programs),
    CHECK_ENTRY(handlers_run_on_the_alternative_stack),
    CHECK_ENTRY(signal_has_one_use),
    CHECK_ENTRY(lost_signal_is_reported),
    CHECK_ENTRY(callback_may_end_the_thread_that_answers),
    CHECK_ENTRY(handler_may_ask_for_a_shutdown),
    CHECK_ENTRY(requests_are_answered_before_the_watch_ends),
    CHECK_ENTRY(watch_comes_and_goes_under_signals),
};

static const struct role roles[] = {{"third", role_third},
                                    {"third-while-stuck", role_third_while_stuck}};

int main(int argc, char **argv) {
  return roles_main(argc, argv, roles, sizeof roles / sizeof *roles, cases,
                    sizeof cases / sizeof *cases);
}
