/* shutdown_signals.c - signals that shut a registry down (C13), and the one call that a signal handler
   may make (C14). */

#include "support.h"

#include <signal.h>
#include <sys/resource.h>

static tr_registry *watched(const sigset_t *set, uint32_t flags) {
  tr_registry *registry = registry_new();
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.flags = flags;
  CHECK_EQ(TR_OK, tr_shutdown_on_signals(registry, set, &options));
  return registry;
}

static void unwatch_and_finish(tr_registry *registry) {
  CHECK_EQ(TR_OK, tr_shutdown_off_signals(registry));
  registry_finish(registry);
}

/* To the process, not to the calling thread: whoever has it unblocked gets it. */
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
   shutdown that follows has all its grace (C13).  Why it matters: this is how a daemon is stopped.
   Catches: a cancel from inside the handler; a first signal that hurries. */
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
    tr_off_cancel(registration);
    sem_destroy(&called);
    unwatch_and_finish(registry);
  }
}

/* Proves: SIGHUP asks for TR_REASON_RELOAD_REQUESTED where that is wanted, and neither hurries nor ends
   the process however often it comes; where it is not, it is a signal like the others (C13).
   Why it matters: a terminal that closes sends it more than once.  Catches: SIGHUP counted. */
CASE(hang_up_may_ask_for_a_reload) {
  tr_registry *registry = watched(NULL, TR_SIGNALS_HUP_RELOADS);
  for (int i = 0; i < 5; i++) send_signal(SIGHUP);
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

/* Proves: the second signal makes the deadline of a shutdown under way now, and of one that is yet to
   come; a join goes on waiting (C13).  Why it matters: who presses ^C twice does not want to wait.
   Catches: a grace that was computed once; a join cut short. */
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

static int role_third(void) {
  tr_registry *registry = watched(NULL, 0);
  struct gate gate = GATE_INIT;
  spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  send_signal(SIGINT);
  send_signal(SIGTERM);
  tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL);
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
  tr_token_on_cancel(tr_registry_token(registry), stay, &stuck, NULL, &registration);
  send_signal(SIGTERM);
  sem_take(&stuck);
  send_signal(SIGTERM);
  send_signal(SIGINT);
  pause();
  return 1;
}

/* Proves: the third signal ends the process with 128 + its number, also when a callback of the
   application's holds up the thread that deals with signals (C13).  Why it matters: there has to be a
   way out that needs nobody.  Catches: an end that waits for the thread. */
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

/* Proves: when the watch ends, each signal does what it did before: default, ignored, or a handler of
   the application's; one installed meanwhile stays; a signal that was not asked for is never touched
   (C13).  Why it matters: handlers belong to the application.  Catches: SIG_DFL for all. */
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
  CHECK_EQ(TR_OK, tr_shutdown_off_signals(registry));
  sigset_t set = set_of(SIGINT, 0);
  CHECK_EQ(TR_OK, tr_shutdown_on_signals(registry, &set, NULL));
  CHECK(handler_of(SIGINT) != SIG_IGN);
  unwatch_and_finish(registry);
  set_handler(SIGINT, SIG_DFL);
}

static void child_is_killed(void *argument) {
  (void)argument;
  raise(SIGTERM);
}

/* Proves: in a child of fork a signal does what it did before the watch, and the parent's registry hears
   nothing of it (C13, P1).  Why it matters: a child that swallows SIGTERM cannot be stopped.
   Catches: a handler that does not know where it is. */
CASE(child_of_fork_is_not_watched) {
  tr_registry *registry = watched(NULL, 0);
  int status = status_of_child(child_is_killed, NULL);
  CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "status 0x%x", (unsigned)status);
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  unwatch_and_finish(registry);
}

/* Proves: the watch is one thread, there while it is wanted (C13).  Why it matters: a program that uses
   none of this has no thread of the library's.  Catches: a thread that is left. */
CASE(watch_is_one_thread) {
  int before = thread_baseline();
  tr_registry *registry = registry_new();
  CHECK_EQ(before, thread_count());
  CHECK_EQ(TR_OK, tr_shutdown_on_signals(registry, NULL, NULL));
  CHECK_EQ(before + 1, thread_count());
  CHECK_EQ(TR_OK, tr_shutdown_off_signals(registry));
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
  ending->status = tr_shutdown_off_signals(ending->registry);
  sem_post(&ending->done);
}

/* Proves: what cannot be watched is refused and changes nothing: a second watch, SIGKILL, faults,
   unknown flags, NULL; and ending what was not begun, or from the watch's own thread (P4, J7).
   Why it matters: bad input gets a clear error.  Catches: handlers installed before the check. */
CASE(nonsense_is_refused) {
  tr_registry *registry = registry_new(), *other = registry_new();
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_on_signals(NULL, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_off_signals(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_off_signals(registry));
  const int never[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    sigset_t set = set_of(SIGTERM, never[i]);
    CHECK_EQ(TR_ERR_INVALID, tr_shutdown_on_signals(registry, &set, NULL));
    CHECK(handler_of(SIGTERM) == SIG_DFL);
  }
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.flags = 0x2;
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_on_signals(registry, NULL, &options));
  options = (tr_signal_options)TR_SIGNAL_OPTIONS_INIT;
  options.size = 4;
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_on_signals(registry, NULL, &options));

  CHECK_EQ(TR_OK, tr_shutdown_on_signals(registry, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_on_signals(registry, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_on_signals(other, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_off_signals(other));
  struct ending ending = {.registry = registry};
  sem_init(&ending.done, 0, 0);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(registry), ends_its_own_watch, &ending, NULL,
                                     &registration));
  send_signal(SIGTERM);
  sem_take(&ending.done);
  CHECK_EQ(TR_ERR_DEADLOCK, ending.status);
  CHECK_EQ(TR_OK, tr_shutdown_off_signals(registry));
  sem_destroy(&ending.done);
  tr_off_cancel(registration);
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_off_signals(registry));
  registry_finish(other);
  registry_finish(registry);
}

/* Proves: without a descriptor the call is an error, nothing is left behind, and the next one works
   (P4).  Why it matters: it happens on the machines that are in trouble.  Catches: handlers or a
   place taken before the watch stands. */
CASE(watch_may_be_refused) {
  tr_registry *registry = registry_new();
  struct rlimit limit, none;
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
  none = limit;
  none.rlim_cur = 0;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
  errno = 0;
  tr_status status = tr_shutdown_on_signals(registry, NULL, NULL);
  int error = errno;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
  CHECK_EQ(TR_ERR_SYSTEM, status);
  CHECK_EQ(EMFILE, error);
  CHECK(handler_of(SIGTERM) == SIG_DFL);
  CHECK_EQ(TR_OK, tr_shutdown_on_signals(registry, NULL, NULL));
  unwatch_and_finish(registry);
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

/* Proves: what was asked for by four threads at once before the watch ends is done when it has ended,
   and what is asked for afterwards is refused (C14).  Why it matters: nothing is lost.  Catches:
   a list that is looked at before the end is known. */
CASE(requests_are_answered_before_the_watch_ends) {
  for (int round = 0; round < 20; round++) {
    sigset_t none = set_of(0, 0);
    tr_registry *registry = watched(&none, 0);
    static tr_token *tokens[1000];
    for (int i = 0; i < 1000; i++) tokens[i] = tr_token_create();
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) threads[i] = thread_start(request_many, tokens);
    for (int i = 0; i < 4; i++) thread_end(threads[i]);
    CHECK_EQ(TR_OK, tr_shutdown_off_signals(registry));
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

static atomic_int raining;

static void *rain(void *argument) {
  while (atomic_load(&raining)) send_signal(SIGHUP);
  return argument;
}

/* Proves: a watch may begin and end while its signals come: each is the application's or the watch's
   (C13).  Why it matters: nobody chooses when a signal comes.  Catches: a handler that finds a watch
   that is gone, which the sanitizers see. */
CASE(watch_comes_and_goes_under_signals) {
  set_handler(SIGHUP, handler_counts);
  atomic_store(&raining, 1);
  pthread_t thread = thread_start(rain, NULL);
  for (int i = 0; i < check_rounds(1000); i++) {
    tr_registry *registry = watched(NULL, TR_SIGNALS_HUP_RELOADS);
    if (i % 10 == 0)
      await_cancelled(tr_registry_token(registry), TR_REASON_RELOAD_REQUESTED, "SIGHUP");
    CHECK_EQ(TR_OK, tr_shutdown_off_signals(registry));
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
    CHECK_ENTRY(second_signal_cuts_the_grace_short),
    CHECK_ENTRY(third_signal_ends_the_process),
    CHECK_ENTRY(blocked_signals_come_through),
    CHECK_ENTRY(signals_do_again_what_they_did),
    CHECK_ENTRY(ignored_signals_stay_ignored_by_default),
    CHECK_ENTRY(child_of_fork_is_not_watched),
    CHECK_ENTRY(watch_is_one_thread),
    CHECK_ENTRY(nonsense_is_refused),
    CHECK_ENTRY(watch_may_be_refused),
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
