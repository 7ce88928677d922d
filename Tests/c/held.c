/* held.c - a thread that the system does not run holds up no call with a deadline: one preempted by
   real-time work, of nice 19, or stopped by a debugger. Here it is stopped at one instruction after
   another of a call, by the CPU's trap flag, while others continue. Rule P6, with C3, J4. */

#define CHECK_WATCHDOG_SECONDS 120
#include "support.h"

#include <sys/syscall.h>
#include <ucontext.h>

#if defined(__x86_64__) && !defined(CHECK_UNDER_ASAN) && !defined(CHECK_UNDER_TSAN)
#define CAN_HOLD 1
#endif

#ifdef CAN_HOLD
/* The call that is held up, the step it is held at, and how it stands. */
static void (*call_made)(void);
static _Atomic(long) held_at, steps;
static _Atomic(int) is_held, goes_on, has_returned;
/* Says from when on the steps count; NULL from the first. */
static int (*counts_from)(void);

static void on_step(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)info;
  if (counts_from == NULL || atomic_load(&is_held) || counts_from()) {
    if (atomic_fetch_add(&steps, 1) + 1 == atomic_load(&held_at)) {
      atomic_store(&is_held, 1);
      while (!atomic_load(&goes_on)) usleep(100);
      ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~0x100; /* no trap any more */
    }
  }
}

static void *is_stepped(void *argument) {
  __asm__ volatile("pushf; orq $0x100, (%%rsp); popf" ::: "memory", "cc");
  call_made();
  __asm__ volatile("pushf; andq $~0x100, (%%rsp); popf" ::: "memory", "cc");
  atomic_store(&has_returned, 1);
  return argument;
}

/* Has a thread make `call` and holds it at step number `at`; false if the call has fewer. */
static int hold(pthread_t *thread, void (*call)(void), int (*from)(void), long at) {
  struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
  CHECK_EQ(0, sigaction(SIGTRAP, &action, NULL));
  call_made = call;
  counts_from = from;
  atomic_store(&steps, 0);
  atomic_store(&is_held, 0);
  atomic_store(&goes_on, 0);
  atomic_store(&has_returned, 0);
  atomic_store(&held_at, at);
  *thread = thread_start(is_stepped, NULL);
  while (!atomic_load(&is_held) && !atomic_load(&has_returned)) usleep(100);
  if (atomic_load(&is_held)) return 1;
  thread_end(*thread);
  return 0;
}

static void let_go(pthread_t thread) {
  atomic_store(&goes_on, 1);
  thread_end(thread);
}

static tr_registry *registry;
static tr_token *other;

static void spawns(void) { CHECK_EQ(TR_OK, tr_spawn(registry, "only", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL)); }
static int is_admitted(void) { return tr_len(registry) == 1; }

static void cancels(void) { tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "held"); }
static int is_cancelled(void) { return tr_token_is_cancelled(tr_registry_token(registry)); }

static _Atomic(int) is_shut;
static void *shuts_down(void *argument) {
  tr_status status = tr_shutdown(registry, TR_REASON_NONE, NULL, 50 * MS, NULL);
  CHECK(status == TR_OK || status == TR_ERR_DEADLINE);
  atomic_store(&is_shut, 1);
  return argument;
}

/* A tenth of what a debugger or real-time work may take, and far more than a deadline is late on a busy machine. */
static int64_t bound(void) { return 5 * SECOND * check_scale(); }
#endif

/* Proves: a join comes back by its deadline though the thread that spawns the only task is stopped anywhere between
   the task's admission and the end of the call (P6, J4).  Why it matters: a deadline that a stopped thread holds up is
   none.  Catches: a join that waits for the task to be in a list. */
CASE(a_spawner_that_is_stopped_holds_up_no_join) {
#ifdef CAN_HOLD
  if (check_under_valgrind()) return; /* which has no trap flag */
  int held = 0;
  /* Not as far as pthread_create(3), which blocks all signals, this one too. */
  for (long at = 1; at < 400; at += at < 40 ? 3 : 53) {
    pthread_t thread;
    registry = registry_new();
    CHECK(hold(&thread, spawns, is_admitted, at));
    held++;
    int64_t start = now_ns();
    tr_status status = tr_join_all(registry, 20 * MS, NULL);
    CHECK(status == TR_ERR_DEADLINE || status == TR_OK);
    CHECK_BETWEEN_NS(0, bound(), now_ns() - start);
    let_go(thread);
    CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    tr_registry_release(registry);
  }
  CHECK_EQ(20, held);
#endif
}

/* Proves: a cancel, a shutdown and a join make progress while another thread is stopped anywhere in
   the cancel of the same token, and the flags are up when a cancel returns; timeouts of other
   tokens pass (P6, C3). Why it matters: a canceller of nice 19 held a shutdown of 300 ms for
   seconds. Catches: waiting for the first canceller; a process-wide lock held meanwhile. */
CASE(a_canceller_that_is_stopped_holds_up_nobody) {
#ifdef CAN_HOLD
  if (check_under_valgrind()) return;
  int held = 0, in_lock = 0;
  /* A step that does not divide the instructions of a loop: with 97 a quarter of the places were in locks, with
     a step of one in a finer sample a seventh. */
  for (long at = 1;; at += at < 40 ? 7 : 61) {
    pthread_t thread;
    registry = registry_new();
    tr_token *child = tr_token_child(tr_registry_token(registry));
    tr_task *tasks[3];
    for (int i = 0; i < 3; i++) tasks[i] = spawn(registry, "obeys", body_obeys, NULL);
    other = tr_token_create();
    atomic_store(&is_shut, 0);
    int is_in = hold(&thread, cancels, is_cancelled, at);
    if (is_in) {
      held++;
      tr_token *timed = tr_token_child_with_timeout(other, 1 * MS);
      CHECK(timed != NULL);
      CHECK_EQ(TR_OK, tr_token_wait(timed, bound()));
      tr_token_release(timed);
      /* By a thread of its own: the canceller may be held within one of the library's locks, of a few instructions. */
      pthread_t other_thread = thread_start(shuts_down, NULL);
      for (int i = 0; i < 20 * (int)check_scale() && !atomic_load(&is_shut); i++) usleep(50000);
      if (atomic_load(&is_shut)) {
        CHECK_EQ(1, tr_token_is_cancelled(child));
        for (int i = 0; i < 3; i++) CHECK_EQ(1, tr_task_is_cancelled(tasks[i]));
      } else {
        in_lock++;
      }
      let_go(thread);
      thread_end(other_thread);
    } else {
      cancels();
    }
    CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    for (int i = 0; i < 3; i++) tr_task_release(tasks[i]);
    tr_token_release(child);
    tr_token_release(other);
    tr_registry_release(registry);
    if (!is_in) break;
  }
  CHECK_MSG(held > 20 && in_lock < held / 4, "held at %d places, %d of them in a lock", held, in_lock);
#endif
}

#ifdef CAN_HOLD
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static _Atomic(pid_t) waiting[2];

static int body_waits(tr_task *self, void *ctx) {
  (void)self;
  pthread_mutex_lock(&mutex);
  atomic_store((_Atomic(pid_t) *)ctx, gettid());
  tr_status status;
  do status = tr_cond_wait(&changed, &mutex, FOREVER);
  while (status == TR_OK);
  pthread_mutex_unlock(&mutex);
  return status == TR_ERR_CANCELLED ? 0 : 1;
}

/* The thread that receives this is held where it was, until it may continue. */
static void on_hold(int number) {
  (void)number;
  int saved = errno;
  atomic_store(&is_held, 1);
  while (!atomic_load(&goes_on)) usleep(100);
  errno = saved;
}
#endif

/* Proves: a task that is stopped as it waits in tr_cond_wait holds up no cancel of it or of another
   task that waits on the same condition variable, no timeout of another token and no shutdown; all
   end when it continues (P6, C9, C11, J4). Why it matters: a broadcast waits for threads that were
   woken before and have not run, and one that was made on the timer thread stopped every timer of
   the process. Catches: a broadcast by the canceller. */
CASE(a_waiting_task_that_is_stopped_holds_up_nobody) {
#ifdef CAN_HOLD
  if (check_under_valgrind()) return;
  struct sigaction action = {.sa_handler = on_hold, .sa_flags = SA_RESTART};
  CHECK_EQ(0, sigaction(SIGUSR1, &action, NULL));
  for (int round = 0; round < 5; round++) {
    atomic_store(&is_held, 0);
    atomic_store(&goes_on, 0);
    registry = registry_new();
    tr_task *tasks[2];
    for (int i = 0; i < 2; i++) {
      atomic_store(&waiting[i], 0);
      tasks[i] = spawn(registry, "waits", body_waits, &waiting[i]);
      await_asleep(&waiting[i]);
    }
    CHECK_EQ(0, syscall(SYS_tgkill, getpid(), atomic_load(&waiting[0]), SIGUSR1));
    while (!atomic_load(&is_held)) usleep(100);
    int64_t start = now_ns();
    for (int i = 0; i < 2; i++) CHECK_EQ(TR_OK, tr_task_cancel(tasks[i]));
    /* Once more on the same condition variable, for a broadcast after that which the stopped one was woken by. */
    usleep(20000);
    other = tr_token_create();
    tr_token *timed = tr_token_child_with_timeout(other, 1 * MS);
    CHECK(timed != NULL);
    CHECK_EQ(TR_OK, tr_token_wait(timed, bound()));
    tr_token_release(timed);
    tr_token_release(other);
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, 50 * MS, NULL));
    CHECK_BETWEEN_NS(0, bound(), now_ns() - start);
    atomic_store(&goes_on, 1);
    for (int i = 0; i < 2; i++) wait_and_release(tasks[i]);
    registry_finish(registry);
  }
#endif
}

CHECK_MAIN(
    CHECK_ENTRY(a_waiting_task_that_is_stopped_holds_up_nobody),
    CHECK_ENTRY(a_spawner_that_is_stopped_holds_up_no_join),
    CHECK_ENTRY(a_canceller_that_is_stopped_holds_up_nobody))
