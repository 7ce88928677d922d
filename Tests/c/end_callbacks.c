/* end_callbacks.c - functions that are called when a task has ended (O4). */

#include "support.h"

struct heard {
  tr_task *task;
  uint32_t how;
  atomic_int calls, drops;
  pthread_t thread;
  int was_in_task;
};

static void hears(void *ctx) {
  struct heard *heard = ctx;
  tr_outcome outcome = TR_OUTCOME_INIT;
  CHECK_EQ(0, atomic_load(&heard->drops));
  CHECK_EQ(TR_OK, tr_task_wait(heard->task, 0, &outcome));
  heard->how = outcome.how;
  heard->thread = pthread_self();
  heard->was_in_task = tr_task_self() != NULL;
  atomic_fetch_add(&heard->calls, 1);
}

static void drop_is_heard(void *ctx) { atomic_fetch_add(&((struct heard *)ctx)->drops, 1); }

struct started {
  struct gate gate;
  pthread_t thread;
  int how; /* 0 returns, 1 fails, 2 exits */
};

static int body_ends_so(tr_task *self, void *ctx) {
  (void)self;
  struct started *started = ctx;
  started->thread = pthread_self();
  gate_pass(&started->gate);
  if (started->how == 2) pthread_exit(NULL);
  return started->how;
}

/* Proves: however a task ends, its function is called once, on its thread, inside no task, with the outcome
   readable, and its drop after it; a shutdown has waited for both (O4, G4). Also in a group, whose last reference
   is gone. Why it matters: a promise is fulfilled there, and may be freed after the shutdown. Catches: an end by
   pthread_exit that calls nothing; a call before the outcome; a task that is still the thread's own. */
CASE(a_function_is_called_at_the_end_of_a_task) {
  for (int how = 0; how < 3; how++) {
    for (int in_group = 0; in_group < 2; in_group++) {
      tr_registry *root = registry_new(), *registry = root;
      if (in_group) CHECK_EQ(TR_OK, tr_registry_child(root, "group", NULL, &registry));
      struct started started = {GATE_INIT, 0, how};
      tr_task *task = spawn(registry, "ends", body_ends_so, &started);
      if (in_group) tr_registry_release(registry);
      struct heard heard = {.task = task}, unheld = {.task = task};
      tr_registration *registration = NULL;
      CHECK_EQ(TR_OK, tr_task_on_end(task, hears, &heard, drop_is_heard, &registration));
      CHECK(registration != NULL);
      CHECK_EQ(TR_OK, tr_task_on_end(task, hears, &unheld, drop_is_heard, NULL));
      gate_await(&started.gate, 1);
      CHECK_EQ(0, atomic_load(&heard.calls) + atomic_load(&unheld.calls));
      gate_open(&started.gate);
      CHECK_EQ(TR_OK, tr_shutdown(root, TR_REASON_NONE, NULL, FOREVER, NULL));
      for (int number = 0; number < 2; number++) {
        struct heard *it = number ? &unheld : &heard;
        CHECK_EQ(1, atomic_load(&it->calls));
        CHECK_EQ(1, atomic_load(&it->drops));
        CHECK_EQ(how == 0 ? TR_ENDED_RETURNED : how == 1 ? TR_ENDED_FAILED : TR_ENDED_EXITED, it->how);
        CHECK(pthread_equal(started.thread, it->thread));
        CHECK(!it->was_in_task);
      }
      CHECK_EQ(TR_REMOVAL_HAS_RUN, tr_registration_remove(registration));
      tr_task_release(task);
      tr_registry_release(root);
    }
  }
}

/* Proves: once the task has ended the function is called by the call that registers it, and nothing is left to be
   removed (O4). Why it matters: whoever comes late must not wait for an end that was. Catches: a function that is
   only put on the list. */
CASE(a_late_function_is_called_at_once) {
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "ends", body_returns, NULL);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  struct heard heard = {.task = task}, unheld = {.task = task};
  tr_registration *registration = (tr_registration *)&heard;
  CHECK_EQ(TR_OK, tr_task_on_end(task, hears, &heard, drop_is_heard, &registration));
  CHECK(registration == NULL);
  CHECK_EQ(TR_OK, tr_task_on_end(task, hears, &unheld, drop_is_heard, NULL));
  CHECK(atomic_load(&heard.calls) == 1 && atomic_load(&heard.drops) == 1);
  CHECK(atomic_load(&unheld.calls) == 1 && atomic_load(&unheld.drops) == 1);
  CHECK(pthread_equal(heard.thread, pthread_self()));
  CHECK_EQ(TR_ERR_INVALID, tr_task_on_end(NULL, hears, &heard, NULL, &registration));
  CHECK_EQ(TR_ERR_INVALID, tr_task_on_end(task, NULL, &heard, NULL, &registration));
  CHECK_EQ(TR_ERR_INVALID, tr_task_on_end(task, NULL, &heard, NULL, NULL));
  wait_and_release(task);
  registry_finish(registry);
}

struct blocked {
  struct gate gate;
  tr_registration *own;
  atomic_int is_over;
};

static void blocks(void *ctx) {
  struct blocked *blocked = ctx;
  gate_pass(&blocked->gate);
  breathe();
  atomic_store(&blocked->is_over, 1);
}

static void *remove_it(void *ctx) {
  struct blocked *blocked = ctx;
  uint32_t removal = tr_registration_remove(blocked->own);
  CHECK_EQ(1, atomic_load(&blocked->is_over));
  return (void *)(uintptr_t)removal;
}

/* Proves: a function whose registration is removed in time never runs, and its drop does; a removal while it runs
   waits for it; meanwhile a task of the registry gets another thread, and a shutdown that cannot wait so long says
   that a thread is left (O4, S1, G4). Why it matters: what the function uses is freed after the removal. Catches: a
   removal that does not wait; a task that waits behind the function. */
CASE(a_removal_waits_for_the_function) {
  tr_registry *registry = registry_new();
  struct started started = {GATE_INIT, 0, 0};
  tr_task *task = spawn(registry, "ends", body_ends_so, &started);
  struct heard never = {.task = task};
  struct blocked blocked = {GATE_INIT, NULL, 0};
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_end(task, hears, &never, drop_is_heard, &registration));
  CHECK_EQ(TR_OK, tr_task_on_end(task, blocks, &blocked, NULL, &blocked.own));
  CHECK_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(registration));
  CHECK_EQ(1, atomic_load(&never.drops));
  gate_open(&started.gate);
  wait_and_release(task);
  gate_await(&blocked.gate, 1);

  task = spawn(registry, "another", body_returns, NULL);
  wait_and_release(task);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, 0, &report));
  CHECK_EQ(1, report.threads_left);
  CHECK_EQ(0, report.pending);

  pthread_t remover;
  void *removal = NULL;
  CHECK_EQ(0, pthread_create(&remover, NULL, remove_it, &blocked));
  breathe();
  CHECK_EQ(EBUSY, pthread_tryjoin_np(remover, NULL));
  gate_open(&blocked.gate);
  CHECK_EQ(0, pthread_join(remover, &removal));
  CHECK((uintptr_t)removal != TR_REMOVAL_NEVER_RUNS); /* the remover may come when the function is over */
  CHECK_EQ(0, atomic_load(&never.calls));
  registry_finish(registry);
}

static void removes_itself(void *ctx) {
  struct blocked *blocked = ctx;
  gate_pass(&blocked->gate); /* the registration is stored */
  CHECK_EQ(TR_REMOVAL_HAS_RUN, tr_registration_remove(blocked->own));
  blocked->own = NULL;
}

struct leaving {
  tr_registry *registry;
  atomic_int calls;
  int statuses[2];
};

static void leaves(void *ctx) {
  atomic_fetch_add(&((struct leaving *)ctx)->calls, 1);
  pthread_exit(NULL);
}

static void shuts_down(void *ctx) {
  struct leaving *leaving = ctx;
  atomic_fetch_add(&leaving->calls, 1);
  leaving->statuses[0] = tr_shutdown(leaving->registry, TR_REASON_NONE, NULL, FOREVER, NULL);
  leaving->statuses[1] = tr_join_all(leaving->registry, FOREVER, NULL);
}

/* Proves: a function may remove its own registration, end its thread, and call the library: the functions behind it
   are called all the same, a shutdown from one is a deadlock at once, and a group is released as ever (O4, P7).  Why
   it matters: whoever else waits for that end would never hear of it. Catches: a thread that leaves with the list; a
   shutdown that waits a second for its own thread; a group that is never freed (under LeakSanitizer). */
CASE(a_function_may_leave_and_call_anything) {
  for (int in_group = 0; in_group < 2; in_group++) {
    tr_registry *root = registry_new(), *registry = root;
    if (in_group) CHECK_EQ(TR_OK, tr_registry_child(root, "group", NULL, &registry));
    struct started started = {GATE_INIT, 0, 0};
    struct leaving leaving = {root, 0, {1, 1}};
    struct blocked blocked = {GATE_INIT, NULL, 0};
    tr_task *task = spawn(registry, "ends", body_ends_so, &started);
    if (in_group) tr_registry_release(registry);
    CHECK_EQ(TR_OK, tr_task_on_end(task, shuts_down, &leaving, NULL, NULL));
    CHECK_EQ(TR_OK, tr_task_on_end(task, leaves, &leaving, NULL, NULL));
    CHECK_EQ(TR_OK, tr_task_on_end(task, leaves, &leaving, NULL, NULL));
    CHECK_EQ(TR_OK, tr_task_on_end(task, removes_itself, &blocked, NULL, &blocked.own));
    gate_open(&started.gate);
    gate_open(&blocked.gate);
    wait_and_release(task);
    CHECK_EQ(TR_OK, tr_shutdown(root, TR_REASON_NONE, NULL, FOREVER, NULL));
    CHECK_EQ(3, atomic_load(&leaving.calls));
    CHECK_EQ(TR_ERR_DEADLOCK, leaving.statuses[0]);
    CHECK_EQ(TR_OK, leaving.statuses[1]);
    CHECK(blocked.own == NULL);
    tr_registry_release(root);
  }
}

static void blocks_a_signal(void *ctx) {
  (void)ctx;
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &mask, NULL));
}

static int body_has_its_mask(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  sigset_t mask;
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, NULL, &mask));
  return sigismember(&mask, SIGUSR1);
}

/* Proves: what a function changes of its thread is restored before the next task gets it (O4, S1). Why it matters: the
   next task is not interrupted by its signals. Catches: a thread that is reset only after a long body. */
CASE(a_function_does_not_change_the_next_task) {
  tr_registry *registry = registry_new();
  for (int round = 0; round < 100; round++) {
    tr_outcome outcome = TR_OUTCOME_INIT;
    tr_task *task = spawn(registry, "ends", body_returns, NULL);
    CHECK_EQ(TR_OK, tr_task_on_end(task, blocks_a_signal, NULL, NULL, NULL));
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    tr_task_release(task);
    /* The function may have run here, if the task had ended. */
    sigset_t none;
    sigemptyset(&none);
    CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &none, NULL));
    task = spawn(registry, "next", body_has_its_mask, NULL);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, &outcome));
    CHECK_EQ(0, outcome.code);
    tr_task_release(task);
  }
  registry_finish(registry);
}

static void counts(void *ctx) { atomic_fetch_add((atomic_int *)ctx, 1); }

/* Proves: of ends and registrations that meet, each function is called exactly once, and those that are removed at
   that moment run or do not, and their drops run (O4). Why it matters: a promise that is fulfilled twice, or never.
   Catches: a registration that comes between the end and the look at the list. */
CASE(ends_and_registrations_meet) {
  enum { ROUNDS = 3000 };
  tr_registry *registry = registry_new();
  atomic_int calls = 0, drops = 0, removable = 0, removed = 0;
  for (int round = 0; round < ROUNDS; round++) {
    tr_registration *registration = NULL;
    tr_task *task = spawn(registry, "ends", body_returns, NULL);
    for (int spin = 0; spin < round % 64; spin++) TR_IGNORE(tr_task_is_cancelled(task));
    CHECK_EQ(TR_OK, tr_task_on_end(task, counts, &removable, NULL, &registration));
    CHECK_EQ(TR_OK, tr_task_on_end(task, counts, &calls, NULL, NULL));
    if (registration != NULL && tr_registration_remove(registration) == TR_REMOVAL_NEVER_RUNS) removed++;
    CHECK_EQ(TR_OK, tr_task_on_end(task, counts, &drops, counts, NULL));
    tr_task_release(task);
  }
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(ROUNDS, atomic_load(&calls));
  CHECK_EQ(2 * ROUNDS, atomic_load(&drops));
  CHECK_EQ(ROUNDS, atomic_load(&removable) + removed);
  tr_registry_release(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(a_function_is_called_at_the_end_of_a_task),
    CHECK_ENTRY(a_late_function_is_called_at_once),
    CHECK_ENTRY(a_removal_waits_for_the_function),
    CHECK_ENTRY(a_function_may_leave_and_call_anything),
    CHECK_ENTRY(a_function_does_not_change_the_next_task),
    CHECK_ENTRY(ends_and_registrations_meet))
