/* kinds.c - the kinds of callback of the application's, each asked to block, to end its thread, and to call the
   library: the cells of the table of rule P7. What throws is in cplusplus.cpp. Rule P7, with C4, C7, C11, C13, E7, O2, S4. */

#include "support.h"

#include <signal.h>

/* The act of a callback. */
enum deed { BLOCKS, LEAVES, CALLS, deeds };

/* One round: a callback of one kind, called once. Guards nothing: the counters are atomic, and `gate` guards itself. */
static struct {
  enum deed deed;
  struct gate gate;
  atomic_int calls;
  tr_registry *own; /* whose task, log or token the callback is of */
  int holds_task;
  tr_token *token; /* of the round's own; may be NULL */
  tr_task *_Atomic task; /* that cannot end before it returns, if it holds one up */
} now;

static int body_sleeps(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  return tr_sleep(FOREVER) == TR_ERR_CANCELLED ? 0 : 70;
}

static void nothing(void *ctx) { (void)ctx; }

/* Make the calls of a program: none fails without a reason. */
static void calls_the_library(void) {
  tr_registry *registry = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
  tr_task *task = spawn(group, "sleeps", body_sleeps, NULL);
  tr_token *token = tr_token_child_with_timeout(tr_registry_token(registry), MS);
  CHECK(token != NULL);
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_cancel(task, nothing, NULL, NULL, &registration));
  tr_status status = tr_token_wait(token, FOREVER);
  CHECK(status == TR_OK || (status == TR_ERR_CANCELLED && tr_task_is_cancelled(tr_task_self())));
  CHECK_EQ(1, tr_len(registry));
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_snapshot(registry, NULL, 0, &count));
  CHECK_EQ(1, count);
  CHECK_EQ(TR_OK, tr_health(registry, NULL, 0, NULL));
  CHECK(tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, "a callback"));
  tr_registration_remove(registration);
  do status = tr_task_wait(task, FOREVER, NULL);
  while (status == TR_ERR_CANCELLED);
  CHECK_EQ(TR_OK, status);
  tr_task_release(task);
  tr_token_release(token);
  tr_registry_release(group);
  registry_finish(registry);
  if (!now.holds_task) return;
  while (atomic_load(&now.task) == NULL) breathe();
  CHECK_EQ(TR_ERR_DEADLOCK, tr_task_wait(atomic_load(&now.task), FOREVER, NULL));
}

/* The objects the callback was registered with, which this round releases. */
static tr_registration *of_own;

static void do_it(void) {
  atomic_fetch_add(&now.calls, 1);
  switch (now.deed) {
  case BLOCKS: gate_pass(&now.gate); break;
  case LEAVES: gate_arrive(&now.gate); pthread_exit(NULL);
  default: calls_the_library(); gate_arrive(&now.gate);
  }
}

static void do_it_with(void *ctx) {
  (void)ctx;
  do_it();
}

static int body_does_it(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  do_it();
  return 0;
}

static void log_does_it(void *context, const tr_log_event *event) {
  if (event->event == *(const uint32_t *)context) do_it();
}

/* Each of these leads to one call of do_it as the kind that it is named after. They run in threads of their own, as the
   callback may end those. */

static void body(void) { TR_IGNORE(tr_spawn(now.own, "body", TR_KIND_MAINTENANCE, body_does_it, NULL, NULL)); }

static void drop(void) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = do_it_with;
  CHECK_EQ(TR_OK, tr_spawn_with(now.own, "drop", TR_KIND_MAINTENANCE, body_returns, NULL, &options, NULL));
}

static void drop_of_a_registration(void) {
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(now.own), nothing, NULL, do_it_with, &registration));
  tr_registration_remove(registration);
}

static void log_of_a_call(void) {
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(now.own), TR_REASON_FATAL, NULL));
  /* It is not finished, so the rejection is logged. */
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(now.own, "late", TR_KIND_MAINTENANCE, body_returns, NULL, NULL));
}

static int body_fails_at_once(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  return 1;
}

static void log_of_an_end(void) {
  CHECK_EQ(TR_OK, tr_spawn(now.own, "fails", TR_KIND_MAINTENANCE, body_fails_at_once, NULL, NULL));
}

static void cancel(void) {
  tr_registration *registration = NULL;
  tr_token *token = tr_token_create();
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, do_it_with, NULL, NULL, &registration));
  of_own = registration;
  now.token = token;
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, NULL));
}

static void cancel_at_a_timeout(void) {
  tr_token *token = tr_token_child_with_timeout(tr_registry_token(now.own), 50 * MS * check_scale());
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, do_it_with, NULL, NULL, &registration));
  of_own = registration;
  tr_token_release(token);
}

static void on_signal(void) {
  CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(now.own), do_it_with, NULL, NULL, &of_own));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  CHECK_EQ(TR_OK, tr_signal_watch_start(now.own, &set, NULL));
  CHECK_EQ(0, kill(getpid(), SIGUSR2));
}

static int body_hangs_until_called(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  while (atomic_load(&now.calls) == 0) breathe();
  return 0;
}

static void heartbeat(void) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.heartbeat_ns = MS;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(now.own, "hangs", TR_KIND_MAINTENANCE, body_hangs_until_called, NULL, &options, &task));
  atomic_store(&now.task, task);
}

static void heartbeat_of_a_thread(void) {
  CHECK_EQ(TR_OK, tr_heartbeat_promise(now.own, MS, 0));
  while (atomic_load(&now.calls) == 0) breathe();
}

static const struct {
  const char *name;
  void (*begin)(void);
  uint32_t event; /* of the log that is the callback; 0: another is */
} kinds[] = {{"body", body, 0},
             {"drop", drop, 0},
             {"drop of a registration", drop_of_a_registration, 0},
             {"log, in a call", log_of_a_call, TR_EVENT_SPAWN_REJECTED},
             {"log, at a task's end", log_of_an_end, TR_EVENT_TASK_FAILED},
             {"cancel", cancel, 0},
             {"cancel, at a timeout", cancel_at_a_timeout, 0},
             {"signal", on_signal, 0},
             {"heartbeat", heartbeat, TR_EVENT_TASK_STALLED},
             {"heartbeat of a thread", heartbeat_of_a_thread, TR_EVENT_TASK_STALLED}};

static void *thread_begins(void *argument) {
  (*(void (*const *)(void))argument)();
  return NULL;
}

/* Wait for a timeout to come. */
static void timeout_comes(void) {
  tr_token *parent = tr_token_create(), *token = tr_token_child_with_timeout(parent, MS);
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  tr_token_release(token);
  tr_token_release(parent);
}

/* Have a callback of each kind do `deed`, and check that nothing else is affected. */
static void each_kind(enum deed deed) {
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    const char *name = check_current;
    check_current = kinds[k].name;
    now.deed = deed;
    now.gate = (struct gate)GATE_INIT;
    atomic_store(&now.calls, 0);
    atomic_store(&now.task, NULL);
    now.holds_task = kinds[k].begin == heartbeat;
    of_own = NULL;
    now.token = NULL;
    static uint32_t event;
    event = kinds[k].event;
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.log = event == 0 ? NULL : log_does_it;
    options.log_context = &event;
    CHECK_EQ(TR_OK, create_registry(&options, &now.own));
    struct gate holds = GATE_INIT;
    tr_task *task = NULL;
    if (event == TR_EVENT_SPAWN_REJECTED) task = spawn(now.own, "holds it up", body_deaf, &holds);
    void (*begin)(void) = kinds[k].begin;
    pthread_t thread;
    CHECK_EQ(0, pthread_create(&thread, NULL, thread_begins, (void *)&begin));
    gate_await(&now.gate, 1);
    if (deed == BLOCKS) {
      /* Everything else continues: timeouts, tasks, a shutdown. */
      timeout_comes();
      tr_registry *other = registry_new();
      wait_and_release(spawn(other, "other", body_returns, NULL));
      registry_finish(other);
      gate_open(&now.gate);
    }
    CHECK_EQ(0, pthread_join(thread, NULL));
    timeout_comes();
    gate_open(&holds);
    if (task != NULL) wait_and_release(task);
    if (atomic_load(&now.task) != NULL) wait_and_release(atomic_load(&now.task));
    tr_registration_remove(of_own);
    tr_token_release(now.token);
    if (begin == on_signal) CHECK_EQ(TR_OK, tr_signal_watch_stop(now.own));
    CHECK_EQ(1, atomic_load(&now.calls));
    registry_finish(now.own);
    check_current = name;
  }
  timer_thread_leaves();
}

/* Proves: a callback of any kind may block: it holds up what the table says, and neither a timeout,
   nor a task or a shutdown of another registry (P7, C11). Why it matters: callbacks write to disks
   and sockets. Catches: a callback on the timer thread, or under a lock. */
CASE(each_kind_may_block) { each_kind(BLOCKS); }

/* Proves: a callback of any kind may end its thread: it has been called, once, its cause is undone
   or continues in another thread, and its registry can be shut down (P7, C7, C13, E7, O2, S4). Why
   it matters: pthread_exit in a helper that a callback calls is not visible from outside. Catches:
   a registration, a report or a count that is left behind. */
CASE(each_kind_may_end_its_thread) { each_kind(LEAVES); }

/* Proves: a callback of any kind may call the library; where it holds a task up, waiting for that
   task is TR_ERR_DEADLOCK (P7, J7). Why it matters: a callback is a part of the program like any
   other. Catches: a lock that is held, a thread that waits for itself. */
CASE(each_kind_may_call_the_library) { each_kind(CALLS); }

CHECK_MAIN(CHECK_ENTRY(each_kind_may_block), CHECK_ENTRY(each_kind_may_end_its_thread),
           CHECK_ENTRY(each_kind_may_call_the_library))
