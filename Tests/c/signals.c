/* signals.c - the signal that interrupts a task's system calls once it is asked to stop. Rule C10,
   with C3, C4, S1, S6, P4. */

#include "support.h"

#include <limits.h>
#include <sys/resource.h>

/* The test's own handler: counts, for the process and for the thread, and notes when. */
static atomic_int signals_seen;
static _Thread_local volatile sig_atomic_t signals_here;
enum { noted_signals = 64 };
static _Atomic int64_t noted[noted_signals];

static void count_signal(int number) {
  (void)number;
  signals_here = signals_here + 1;
  int index = atomic_fetch_add(&signals_seen, 1);
  if (index < noted_signals) atomic_store(&noted[index], now_ns());
}

/* Install `handler` for `number` as sigaction does, with `flags`. */
static void handle(int number, void (*handler)(int), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = flags;
  CHECK_EQ(0, sigaction(number, &action, NULL));
}

/* The signal of these tests, with the handler that counts. */
static int own_signal(void) {
  handle(SIGRTMIN + 3, count_signal, 0);
  return SIGRTMIN + 3;
}

static tr_status spawn_with_signal(tr_registry *registry, int number, tr_task_fn body, void *ctx,
                                   tr_drop_fn drop, tr_task **out) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.cancel_signal = number;
  options.drop = drop;
  return tr_spawn_with(registry, "stubborn", TR_KIND_RPC_HANDLER, body, ctx, &options, out);
}

static tr_task *spawn_stubborn(tr_registry *registry, tr_task_fn body, void *ctx) {
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, spawn_with_signal(registry, own_signal(), body, ctx, NULL, &task));
  return task;
}

static int is_blocked(int number) {
  sigset_t mask;
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &mask));
  return sigismember(&mask, number);
}

static int is_pending(int number) {
  sigset_t set;
  CHECK_EQ(0, sigpending(&set));
  return sigismember(&set, number);
}

/* Let `duration` pass, whatever signals come. */
static void let_pass(int64_t duration) {
  int64_t end = now_ns() + duration;
  while (now_ns() < end) breathe();
}

/* A system call that blocks indefinitely, and its result. */
struct blocked {
  int way;
  int ends[2];
  struct gate gate;
  int result, error;
};

static int body_blocks(tr_task *self, void *ctx) {
  struct blocked *blocked = ctx;
  (void)self;
  char byte;
  struct timespec for_ever = {1000000, 0};
  gate_arrive(&blocked->gate);
  switch (blocked->way) {
    case 0: blocked->result = (int)read(blocked->ends[0], &byte, 1); break;
    case 1: blocked->result = pause(); break;
    default: blocked->result = nanosleep(&for_ever, NULL);
  }
  blocked->error = errno;
  return 0;
}

/* Proves: a task that blocks in a system call of its own gets EINTR there, in whatever way it is asked
   to stop: by its handle, by the token, by a join's deadline (C10, C3).  Why it matters: this is the
   one way to stop a call that knows of no descriptor and no lock.  Catches: a signal that stays
   blocked in the thread; one of the ways left out. */
CASE(a_signal_interrupts_what_blocks) {
  for (int way = 0; way < 3; way++)
    for (int how = 0; how < 3; how++) {
      tr_registry *registry = registry_new();
      struct blocked blocked = {way, {-1, -1}, GATE_INIT, 0, 0};
      CHECK_EQ(0, pipe(blocked.ends));
      tr_task *task = spawn_stubborn(registry, body_blocks, &blocked);
      gate_await(&blocked.gate, 1);
      if (how == 0) CHECK_EQ(TR_OK, tr_task_cancel(task));
      if (how == 1) CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
      if (how == 2) CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
      CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
      CHECK_EQ(-1, blocked.result);
      CHECK_EQ(EINTR, blocked.error);
      tr_task_release(task);
      registry_finish(registry);
      close(blocked.ends[0]);
      close(blocked.ends[1]);
    }
  timer_thread_leaves();
}

/* Checks its flag, and then blocks without another check; `is_late`: only when the signal has come
   and gone in between. */
struct unlucky {
  int fd, is_late;
  atomic_int entering;
  int looked_up, result, error;
};

static int body_checks_then_blocks(tr_task *self, void *ctx) {
  struct unlucky *unlucky = ctx;
  char byte;
  int before = signals_here;
  if (!unlucky->is_late) atomic_store(&unlucky->entering, 1);
  if (tr_task_is_cancelled(self)) {
    unlucky->looked_up = 1;
    return 0;
  }
  atomic_store(&unlucky->entering, 1);
  while (unlucky->is_late && signals_here == before) breathe(); /* where ThreadSanitizer delivers, too */
  unlucky->result = (int)read(unlucky->fd, &byte, 1);
  unlucky->error = errno;
  return 0;
}

/* Proves: a task that checks its flag, finds it down, and blocks in read(2) without another check
   is stopped, in 10 000 rounds of cancel racing with that, with one outcome each (C10). Why it
   matters: a signal that comes between the check and the call interrupts nothing. Catches: a signal
   that is sent once. */
CASE(checked_then_blocked_is_stopped) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  tr_registry *registry = registry_new();
  int looked_up = 0, rounds = check_under_valgrind() ? 500 : 10000;
  for (int i = 0; i < rounds; i++) {
    struct unlucky unlucky = {ends[0], i % 8 == 1, 0, 0, 0, 0};
    tr_task *task = spawn_stubborn(registry, body_checks_then_blocks, &unlucky);
    if (i % 4) while (!atomic_load(&unlucky.entering)) continue;
    for (volatile int spin = (i * 7) % 300; spin > 0; spin--) continue;
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
    if (!unlucky.looked_up) {
      CHECK_EQ(-1, unlucky.result);
      CHECK_EQ(EINTR, unlucky.error);
    }
    looked_up += unlucky.looked_up;
    tr_task_release(task);
  }
  CHECK(looked_up < rounds);
  registry_finish(registry);
  close(ends[0]);
  close(ends[1]);
  timer_thread_leaves();
}

enum { repeats = 8 };

static int body_counts_repeats(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  while (signals_here < repeats) pause();
  CHECK_EQ(TR_OK, tr_acknowledge_cancel());
  breathe(); /* into the kernel and back: signals sent before have been delivered */
  int at_last = signals_here;
  let_pass(300 * MS); /* the next was due 128 ms after the last */
  CHECK_EQ(at_last, signals_here);
  CHECK_EQ(TR_OK, tr_acknowledge_cancel());
  return 0;
}

/* Proves: the signal comes again at intervals that double from 1 ms, none of them early, until the
   task acknowledges, and not after that (C10). Why it matters: the first may be lost, and a task
   that cleans up must not be interrupted indefinitely. Catches: an interval that stays the same; an
   acknowledgement that only pauses it. */
CASE(a_signal_is_repeated_until_it_is_acknowledged) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn_stubborn(registry, body_counts_repeats, &gate);
  gate_await(&gate, 1);
  int before = atomic_load(&signals_seen);
  CHECK_EQ(0, before);
  int64_t start = now_ns();
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_OK, tr_task_cancel(task)); /* asked again: nothing starts again */
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  for (int i = 0; i < repeats; i++)
    CHECK(atomic_load(&noted[i]) - start >= ((INT64_C(1) << i) - 1) * MS);
  CHECK(atomic_load(&noted[repeats - 1]) - start < ((INT64_C(1) << repeats) * MS) + AT_ONCE);
  tr_task_release(task);
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_acknowledges_early(tr_task *self, void *ctx) {
  CHECK_EQ(TR_OK, tr_acknowledge_cancel()); /* nothing to acknowledge yet: it changes nothing */
  return body_blocks(self, ctx);
}

static int body_acknowledges_nothing(tr_task *self, void *ctx) {
  (void)ctx;
  CHECK_EQ(TR_OK, tr_acknowledge_cancel());
  CHECK_EQ(TR_OK, tr_task_cancel(self));
  CHECK_EQ(TR_OK, tr_acknowledge_cancel());
  return 0;
}

/* Proves: an acknowledgement needs a request: without one the signal still comes later; without a
   signal nothing happens, and outside a task it is rejected (C10, P4). Why it matters: code that
   acknowledges does not know how its task was spawned. Catches: an acknowledgement that disarms in
   advance. */
CASE(an_acknowledgement_needs_a_request) {
  CHECK_EQ(TR_ERR_INVALID, tr_acknowledge_cancel());
  tr_registry *registry = registry_new();
  struct blocked blocked = {1, {-1, -1}, GATE_INIT, 0, 0};
  tr_task *task = spawn_stubborn(registry, body_acknowledges_early, &blocked);
  gate_await(&blocked.gate, 1);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  CHECK_EQ(EINTR, blocked.error);
  wait_and_release(spawn(registry, "plain", body_acknowledges_nothing, NULL));
  registry_finish(registry);
  timer_thread_leaves();
}

static atomic_int reused;
static _Atomic(pid_t) last_thread;

static int body_waits_for_its_flag(tr_task *self, void *ctx) {
  atomic_store(&last_thread, gettid());
  gate_arrive(ctx);
  while (!tr_task_is_cancelled(self)) sched_yield(); /* on a busy machine the canceller needs a CPU,
                                                        too */
  return 0;
}

/* Leaves one pending for certain. */
static int body_blocks_its_signal(tr_task *self, void *ctx) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
  body_waits_for_its_flag(self, ctx);
  while (!is_pending(SIGRTMIN + 3)) breathe();
  return 0;
}

/* Whether tasks of the registry block the signal of these tests: as when no task uses it. */
static int tasks_block_it;

static tr_registry *registry_whose_tasks_block_it(int block) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  sigset_t set;
  sigemptyset(&set);
  if (block) sigaddset(&set, SIGRTMIN + 3);
  options.blocked_signals = &set;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  tasks_block_it = block;
  return registry;
}

static void drop_expects_no_signal(void *ctx) {
  (void)ctx;
  int number = SIGRTMIN + 3;
  int before = signals_here;
  CHECK_EQ(tasks_block_it, is_blocked(number));
  CHECK_EQ(0, is_pending(number));
  sched_yield();
  CHECK_EQ(before, signals_here);
}

static int body_expects_no_signal(tr_task *self, void *ctx) {
  (void)self;
  if (gettid() == atomic_load(&last_thread)) atomic_fetch_add(&reused, 1);
  drop_expects_no_signal(ctx);
  return 0;
}

static void check_no_other_task_gets_it(int block) {
  tr_registry *registry = registry_whose_tasks_block_it(block);
  const int may_be_reused = getenv("TASKREG_TEST_VARIANT") == NULL;
  const int rounds = check_rounds(1000);
  atomic_store(&reused, 0);
  /* The thread is reused if it is idle before the next spawn: in few rounds it may never be. */
  for (int i = 0; i < rounds || (may_be_reused && atomic_load(&reused) == 0 && i < 100000); i++) {
    struct gate gate = GATE_INIT;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, spawn_with_signal(registry, own_signal(),
                                      i % 4 ? body_waits_for_its_flag : body_blocks_its_signal,
                                      &gate, drop_expects_no_signal, &task));
    gate_await(&gate, 1);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    wait_and_release(task);
    wait_and_release(spawn(registry, "next", body_expects_no_signal, NULL));
  }
  CHECK(atomic_load(&reused) > 0 || !may_be_reused);
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: when the body is left the signal is neither sent nor pending, for its drop and for the next
   task on the same thread, however the flag races with the end (C10, S1).  Why it matters: a read
   of another task that fails with EINTR for no reason is never found.  Catches: one pending signal
   left behind; disarming after the thread has gone on. */
CASE(no_other_task_gets_the_signal) {
  check_no_other_task_gets_it(1);
  check_no_other_task_gets_it(0);
}

static int body_blocks_and_exits(tr_task *self, void *ctx) {
  body_blocks(self, ctx);
  pthread_exit(NULL);
}

/* Proves: a body that leaves by pthread_exit gets no signal afterwards, nor does its thread while it
   goes (C10, O1).  Why it matters: a signal to a thread that is gone is a crash.  Catches: disarming
   only where the body returns. */
CASE(a_body_that_exits_gets_no_more_signals) {
  tr_registry *registry = registry_whose_tasks_block_it(1);
  for (int i = 0; i < check_rounds(200); i++) {
    struct blocked blocked = {1, {-1, -1}, GATE_INIT, 0, 0};
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, spawn_with_signal(registry, own_signal(), body_blocks_and_exits, &blocked,
                                      drop_expects_no_signal, &task));
    gate_await(&blocked.gate, 1);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_ENDED_EXITED, outcome_of(task).how);
    tr_task_release(task);
    CHECK_EQ(EINTR, blocked.error);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_reports_its_mask(tr_task *self, void *ctx) {
  (void)self;
  return is_blocked(SIGRTMIN + 3) == *(const int *)ctx ? 0 : 1;
}

/* Proves: where tasks block the signal it is unblocked in the body of the task that has it, and in no other
   (C10, S7).  Why it matters: one that the process gets must not come upon a task that did not ask for
   it.  Catches: unblocking it in every worker; leaving it unblocked. */
CASE(the_signal_is_unblocked_in_that_body_alone) {
  tr_registry *registry = registry_whose_tasks_block_it(1);
  int yes = 1, no = 0;
  for (int i = 0; i < 20; i++) {
    tr_task *plain = spawn(registry, "plain", body_reports_its_mask, &yes);
    tr_task *stubborn = spawn_stubborn(registry, body_reports_its_mask, &no);
    CHECK_EQ(TR_ENDED_RETURNED, outcome_of(plain).how);
    CHECK_EQ(TR_ENDED_RETURNED, outcome_of(stubborn).how);
    tr_task_release(plain);
    tr_task_release(stubborn);
  }
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: a signal without a handler, an invalid number and a fault are rejected by spawn, with
   nothing run; a signal that cannot have a handler is rejected by the installer too (C10, P4, S4).
   Why it matters: a signal without a handler ends the process. Catches: a signal that is checked
   when it is sent. */
CASE(signals_that_would_do_harm_are_rejected) {
  tr_registry *registry = registry_new();
  handle(SIGUSR2, SIG_DFL, 0);
  handle(SIGWINCH, SIG_IGN, 0);
  handle(SIGBUS, count_signal, 0);
  const int never[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGKILL, SIGSTOP,
                       -1,      65,     32,     33,     1000000, INT_MIN};
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    CHECK_EQ(TR_ERR_INVALID, spawn_with_signal(registry, never[i], body_never, NULL, drop_never, NULL));
    CHECK_EQ(TR_ERR_INVALID, tr_install_cancel_signal(never[i]));
  }
  CHECK_EQ(TR_ERR_INVALID, tr_install_cancel_signal(0));
  CHECK_EQ(TR_ERR_INVALID, spawn_with_signal(registry, SIGUSR2, body_never, NULL, drop_never, NULL));
  CHECK_EQ(TR_ERR_INVALID, spawn_with_signal(registry, SIGWINCH, body_never, NULL, drop_never, NULL));
  CHECK_EQ(TR_ERR_INVALID,
           spawn_with_signal(registry, SIGRTMIN + 5, body_never, NULL, drop_never, NULL));
  CHECK_EQ(0, tr_len(registry));
  handle(SIGBUS, SIG_DFL, 0);
  registry_finish(registry);
}

/* Proves: a signal whose handler has SA_RESTART is rejected by spawn, with nothing run (C10, P4).
   Why it matters: it interrupts no system call, so that the task is never stopped and the signal is
   sent indefinitely; language runtimes install such handlers. Catches: a check that there is some
   handler. */
CASE(a_handler_that_restarts_is_rejected) {
  tr_registry *registry = registry_new();
  handle(SIGUSR2, count_signal, SA_RESTART);
  CHECK_EQ(TR_ERR_INVALID, spawn_with_signal(registry, SIGUSR2, body_never, NULL, drop_never, NULL));
  CHECK_EQ(0, tr_len(registry));
  handle(SIGUSR2, SIG_DFL, 0);
  registry_finish(registry);
}

/* Proves: when the handler has gone by the time the task is asked to stop, the signal is not sent
   (C10). Why it matters: its default action ends the process. Catches: a handler that is checked
   only at the spawn. */
CASE(no_signal_is_sent_without_a_handler) {
  tr_registry *registry = registry_new();
  handle(SIGUSR2, count_signal, 0);
  struct gate gate = GATE_INIT;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, spawn_with_signal(registry, SIGUSR2, body_obeys, &gate, NULL, &task));
  gate_await(&gate, 1);
  handle(SIGUSR2, SIG_DFL, 0);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: the library installs a handler where there is none, without SA_RESTART, any number of
   times, and never replaces another handler or SIG_IGN (C10). Why it matters: handlers belong to
   the application. Catches: an installer that does not check; a system call that is restarted. */
CASE(a_handler_is_installed_only_where_there_is_none) {
  int number = SIGRTMIN + 4;
  struct sigaction action;
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(TR_OK, tr_install_cancel_signal(number));
    CHECK_EQ(0, sigaction(number, NULL, &action));
    CHECK(action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
    CHECK_EQ(0, action.sa_flags & SA_RESTART);
  }
  handle(number, count_signal, SA_RESTART);
  CHECK_EQ(TR_ERR_INVALID, tr_install_cancel_signal(number));
  CHECK_EQ(0, sigaction(number, NULL, &action));
  CHECK(action.sa_handler == count_signal);
  CHECK((action.sa_flags & SA_RESTART) != 0);
  handle(number, SIG_IGN, 0);
  CHECK_EQ(TR_ERR_INVALID, tr_install_cancel_signal(number));
  CHECK_EQ(0, sigaction(number, NULL, &action));
  CHECK(action.sa_handler == SIG_IGN);

  handle(number, SIG_DFL, 0);
  CHECK_EQ(TR_OK, tr_install_cancel_signal(number));
  tr_registry *registry = registry_new();
  struct blocked blocked = {1, {-1, -1}, GATE_INIT, 0, 0};
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, spawn_with_signal(registry, number, body_blocks, &blocked, NULL, &task));
  gate_await(&blocked.gate, 1);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  CHECK_EQ(EINTR, blocked.error);
  registry_finish(registry);
  timer_thread_leaves();
}

static atomic_int troubles_reported;
static void log_trouble(void *context, const tr_log_event *event) {
  (void)context;
  if (event->event == TR_EVENT_DEADLINE_EXCEEDED && strstr(event->message, "RLIMIT_SIGPENDING") != NULL)
    atomic_fetch_add(&troubles_reported, 1);
}

/* Proves: when the system refuses to queue the signal, it only comes later (C10). Why it matters:
   real-time signals need memory that others may have used up, and the process has done nothing
   wrong. Catches: a refused pthread_kill taken for a defect, which ends the process. */
CASE(a_signal_that_is_refused_comes_later) {
  struct rlimit before, none;
  CHECK_EQ(0, getrlimit(RLIMIT_SIGPENDING, &before));
  none = before;
  none.rlim_cur = 0;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_trouble;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  struct blocked blocked = {1, {-1, -1}, GATE_INIT, 0, 0};
  tr_task *task = spawn_stubborn(registry, body_blocks, &blocked);
  gate_await(&blocked.gate, 1);
  CHECK_EQ(0, setrlimit(RLIMIT_SIGPENDING, &none));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 10 * MS, NULL));
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  CHECK_EQ(1, atomic_load(&troubles_reported));
  CHECK_EQ(0, setrlimit(RLIMIT_SIGPENDING, &before));
  wait_and_release(task);
  CHECK_EQ(EINTR, blocked.error);
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: a task that was asked to stop before its body began gets its signal as well, and one that
   a closed registry rejects leaves nothing behind (C10, S5). Why it matters: cancel races with
   spawn. Catches: a signal that is sent only when the flag is raised. */
CASE(a_task_born_flagged_gets_its_signal) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < check_rounds(500); i++) {
    struct blocked blocked = {1, {-1, -1}, GATE_INIT, 0, 0};
    tr_task *task = spawn_stubborn(registry, body_blocks, &blocked);
    CHECK_EQ(TR_OK, tr_task_cancel(task)); /* more often than not before the body */
    wait_and_release(task);
    CHECK_EQ(EINTR, blocked.error);
  }
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
  CHECK_EQ(TR_ERR_CLOSED,
           spawn_with_signal(registry, own_signal(), body_never, NULL, drop_never, NULL));
  registry_finish(registry);
  timer_thread_leaves();
}

CHECK_MAIN(
    CHECK_ENTRY(a_signal_is_repeated_until_it_is_acknowledged), /* first: it counts them all */
    CHECK_ENTRY(a_signal_interrupts_what_blocks),
    CHECK_ENTRY(checked_then_blocked_is_stopped),
    CHECK_ENTRY(an_acknowledgement_needs_a_request),
    CHECK_ENTRY(no_other_task_gets_the_signal),
    CHECK_ENTRY(a_body_that_exits_gets_no_more_signals),
    CHECK_ENTRY(the_signal_is_unblocked_in_that_body_alone),
    CHECK_ENTRY(signals_that_would_do_harm_are_rejected),
    CHECK_ENTRY(a_handler_that_restarts_is_rejected), CHECK_ENTRY(no_signal_is_sent_without_a_handler),
    CHECK_ENTRY(a_handler_is_installed_only_where_there_is_none),
    CHECK_ENTRY(a_signal_that_is_refused_comes_later),
    CHECK_ENTRY(a_task_born_flagged_gets_its_signal))
