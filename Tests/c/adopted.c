/* adopted.c - threads of the program's own that are tasks for a time: tr_adopt and tr_leave. Rules A1 to A5. */

#include "support.h"

/* A registry whose log is counted. */
struct heard {
  atomic_int failed, exited, rejected, invalid;
  char message[256];
  void (*first)(void); /* called in the first TASK_FAILED, if not NULL */
};

static void hears(void *context, const tr_log_event *event) {
  struct heard *heard = context;
  switch (event->event) {
    case TR_EVENT_TASK_FAILED:
      snprintf(heard->message, sizeof heard->message, "%s", event->message);
      if (atomic_fetch_add(&heard->failed, 1) == 0 && heard->first != NULL) heard->first();
      break;
    case TR_EVENT_TASK_EXITED:
      snprintf(heard->message, sizeof heard->message, "%s", event->message);
      atomic_fetch_add(&heard->exited, 1);
      break;
    case TR_EVENT_SPAWN_REJECTED: atomic_fetch_add(&heard->rejected, 1); break;
    case TR_EVENT_INVALID_CALL: atomic_fetch_add(&heard->invalid, 1); break;
    default: break;
  }
}

static tr_registry *registry_heard(struct heard *heard, uint64_t max_tasks) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;
  options.log = hears;
  options.log_context = heard;
  options.max_tasks = max_tasks;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

static tr_task *adopt_with(tr_registry *registry, const char *name, uint32_t flags, uint32_t phase) {
  tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
  tr_task *task = NULL;
  options.flags = flags;
  options.phase = phase;
  CHECK_EQ(TR_OK, tr_adopt(registry, name, TR_KIND_BACKGROUND_LOOP, &options, &task));
  CHECK(task != NULL);
  return task;
}

/* A thread that adopts itself, and then does as it is told. */
struct adopted {
  tr_registry *registry;
  tr_task *task;      /* valid from `entered` on */
  struct gate entered; /* it arrives, and goes on once this is open */
  struct gate left;    /* it has left, and ends once this is open */
  int (*body)(struct adopted *it);
  uint32_t flags, phase;
  int64_t heartbeat;
  pid_t tid;
  pthread_t thread;
  int leaves; /* whether it leaves with what its body returns, or just ends */
};

static void *runs_adopted(void *argument) {
  struct adopted *it = argument;
  tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
  options.flags = it->flags;
  options.phase = it->phase;
  options.heartbeat_ns = it->heartbeat;
  it->tid = gettid();
  CHECK_EQ(TR_OK, tr_adopt(it->registry, "adopted", TR_KIND_BACKGROUND_LOOP, &options, &it->task));
  gate_pass(&it->entered);
  int code = it->body == NULL ? 0 : it->body(it);
  if (it->leaves) {
    if (code == 0) CHECK_EQ(TR_OK, tr_leave());
    else CHECK_EQ(TR_OK, tr_leave_with(code));
    CHECK(tr_task_self() == NULL);
    gate_pass(&it->left);
  }
  return NULL;
}

static struct adopted adopted_new(tr_registry *registry, int (*body)(struct adopted *it)) {
  return (struct adopted){.registry = registry, .entered = GATE_INIT, .left = GATE_INIT, .body = body, .leaves = 1};
}

/* Starts it, and waits until it is a task, which goes on if `goes_on`. */
static void adopted_begin(struct adopted *it, int goes_on) {
  it->thread = thread_start(runs_adopted, it);
  gate_await(&it->entered, 1);
  if (goes_on) gate_open(&it->entered);
}

static tr_outcome adopted_end(struct adopted *it) {
  gate_open(&it->entered);
  gate_open(&it->left);
  tr_outcome outcome = outcome_of(it->task);
  thread_end(it->thread);
  tr_task_release(it->task);
  return outcome;
}

/* ---- A1: a task ------------------------------------------------------------------------------ */

static int describes_itself(struct adopted *it) {
  CHECK(tr_task_self() == it->task);
  CHECK_EQ(TR_OK, tr_checkpoint("polling"));
  CHECK_EQ(TR_OK, tr_label("peer 7"));
  CHECK_EQ(TR_OK, tr_progress(3, 4, "events"));
  CHECK_EQ(TR_OK, tr_task_set_data(it->task, it));
  gate_arrive(&it->left);
  return tr_sleep(FOREVER) == TR_ERR_CANCELLED ? 0 : 70;
}

/* Proves: an adopted thread is a task until it leaves: counted in its group and above, listed once with its name, its
   thread's own id, its phase and what it has set; asked to stop, which ends its wait; and its outcome can be read
   (A1). Then it is in no list, and can be adopted again, under another id. Why it matters: main is in no list today.
   Catches: an adoption that counts in one registry only; a flag that does not wake the thread; a thread that stays a
   task. */
CASE(a_thread_is_a_task_until_it_leaves) {
  tr_registry *root = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(root, "net", NULL, &group));
  uint64_t last = 0;
  for (int round = 0; round < 3; round++) {
    struct adopted it = adopted_new(group, describes_itself);
    it.phase = 3;
    adopted_begin(&it, 1);
    gate_await(&it.left, 1);
    CHECK(tr_len(root) == 1 && tr_len(group) == 1 && snapshot_count(root) == 1);
    tr_task_summary seen;
    CHECK_EQ(1, find_in_snapshot(root, tr_task_id(it.task), &seen));
    CHECK_STR("adopted", seen.name);
    CHECK_STR("net", seen.group);
    CHECK_STR("polling", seen.checkpoint);
    CHECK_STR("peer 7", seen.label);
    CHECK(seen.progress_done == 3 && seen.phase == 3 && seen.kind == TR_KIND_BACKGROUND_LOOP);
    CHECK_EQ(it.tid, seen.thread_id);
    CHECK_EQ(TR_STATE_RUNNING, seen.state);
    CHECK(tr_task_data(it.task) == &it && tr_task_id(it.task) > last);
    last = tr_task_id(it.task);
    CHECK_EQ(TR_OK, tr_task_cancel(it.task));
    gate_await(&it.left, 2);
    CHECK(tr_len(root) == 0 && tr_len(group) == 0);
    tr_outcome outcome = adopted_end(&it);
    CHECK_EQ(TR_ENDED_RETURNED, outcome.how);
    CHECK_EQ(1, outcome.was_cancelled);
  }
  tr_registry_release(group);
  registry_finish(root);
}

/* Proves: one thread is adopted and leaves as often as it likes, in different registries, and is a task of each in turn
   (A1). Why it matters: a pool's thread works for one customer after the other. Catches: a worker that is not given
   back; a record that keeps the state of the one before. */
CASE(a_thread_is_adopted_again_and_again) {
  tr_registry *registries[2] = {registry_new(), registry_new()};
  for (int round = 0; round < 1000; round++) {
    tr_registry *registry = registries[round % 2];
    tr_task *task = adopt_with(registry, "again", 0, (uint32_t)round % TR_PHASES);
    CHECK(tr_task_self() == task && !tr_task_is_cancelled(task));
    CHECK(tr_len(registry) == 1 && tr_len(registries[1 - round % 2]) == 0);
    if (round % 3 == 0) CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(round % 3 == 0 ? TR_ERR_CANCELLED : TR_OK, tr_sleep(0));
    CHECK_EQ(TR_OK, tr_leave());
    CHECK(tr_task_self() == NULL && tr_len(registry) == 0);
    CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
    tr_task_release(task);
    if (round % 100 == 0) wait_and_release(spawn(registry, "spawned", body_returns, NULL));
  }
  registry_finish(registries[0]);
  registry_finish(registries[1]);
}

static int waits_on(struct adopted *it) {
  (void)it;
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_fd(ends[0], 1 /* POLLIN */, FOREVER));
  CHECK_EQ(TR_OK, tr_begin_drain());
  CHECK_EQ(TR_OK, tr_sleep(1 * MS));
  gate_arrive(&it->left);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  CHECK_EQ(TR_STOP_ABORT, tr_task_stop_level(it->task));
  close(ends[0]);
  close(ends[1]);
  return 7;
}

/* Proves: a shutdown asks an adopted thread to stop in its phase, waits for it, tells it to abort at the deadline, and
   names it as a straggler; once it has left, a shutdown is complete although the thread lives on (A1, A2, J4, C16). Why
   it matters: nobody can join the thread of a library's. Catches: a shutdown that waits for the thread's end, or that
   does not wait for the task. */
CASE(a_shutdown_waits_for_the_task_and_not_for_the_thread) {
  tr_registry *registry = registry_new();
  struct adopted it = adopted_new(registry, waits_on);
  it.phase = 2;
  adopted_begin(&it, 1);
  tr_task_summary straggler = TR_TASK_SUMMARY_INIT;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = &straggler;
  report.stragglers_capacity = 1;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_FATAL, "stop", 50 * MS * check_scale(), &report));
  CHECK(report.pending == 1 && report.stragglers_count == 1);
  CHECK_STR("adopted", straggler.name);
  CHECK_EQ(it.tid, straggler.thread_id);
  gate_await(&it.left, 2);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_FATAL, "stop", FOREVER, &report));
  CHECK(report.pending == 0 && report.threads_left == 0);
  CHECK_EQ(7, outcome_of(it.task).code);
  tr_registry_release(registry);
  CHECK_EQ(TR_ENDED_FAILED, adopted_end(&it).how);
}

/* ---- A2: the thread stays its own ------------------------------------------------------------- */

/* What the library must not touch. */
struct own_state {
  sigset_t mask;
  char name[16];
  int cancel_state, cancel_type;
  void *stack;
  size_t stack_size;
  stack_t handler_stack;
  int policy;
  struct sched_param param;
  cpu_set_t cpus;
};

static void own_state_read(struct own_state *state) {
  memset(state, 0, sizeof *state);
  pthread_sigmask(SIG_SETMASK, NULL, &state->mask);
  pthread_getname_np(pthread_self(), state->name, sizeof state->name);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state->cancel_state);
  pthread_setcancelstate(state->cancel_state, NULL);
  pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &state->cancel_type);
  pthread_attr_t attributes;
  CHECK_EQ(0, pthread_getattr_np(pthread_self(), &attributes));
  pthread_attr_getstack(&attributes, &state->stack, &state->stack_size);
  pthread_attr_destroy(&attributes);
  sigaltstack(NULL, &state->handler_stack);
  pthread_getschedparam(pthread_self(), &state->policy, &state->param);
  sched_getaffinity(0, sizeof state->cpus, &state->cpus);
}

static void own_state_is(const struct own_state *before) {
  struct own_state now;
  own_state_read(&now);
  for (int number = 1; number < 65; number++)
    if (number != 32 && number != 33) CHECK_EQ(sigismember(&before->mask, number), sigismember(&now.mask, number));
  CHECK_STR(before->name, now.name);
  CHECK(before->cancel_state == now.cancel_state && before->cancel_type == now.cancel_type);
  CHECK(before->stack == now.stack && before->stack_size == now.stack_size);
  CHECK(before->handler_stack.ss_sp == now.handler_stack.ss_sp);
  CHECK_EQ(before->handler_stack.ss_flags, now.handler_stack.ss_flags);
  CHECK_EQ(before->policy, now.policy);
  CHECK(CPU_EQUAL(&before->cpus, &now.cpus));
}

static void *keeps_its_state(void *argument) {
  tr_registry *registry = argument;
  char room[65536];
  stack_t handler_stack = {.ss_sp = room, .ss_size = sizeof room};
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGUSR1);
  sigaddset(&mask, SIGTERM);
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &mask, NULL));
  CHECK_EQ(0, pthread_setname_np(pthread_self(), "of a library"));
  CHECK_EQ(0, pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
  CHECK_EQ(0, sigaltstack(&handler_stack, NULL));
  struct own_state before;
  own_state_read(&before);
  tr_task *task = adopt_with(registry, "another name", 0, 0);
  own_state_is(&before);
  CHECK_EQ(TR_OK, tr_sleep(1 * MS));
  own_state_is(&before);
  CHECK_EQ(TR_OK, tr_leave());
  own_state_is(&before);
  tr_task_release(task);
  handler_stack.ss_flags = SS_DISABLE;
  CHECK_EQ(0, sigaltstack(&handler_stack, NULL));
  return NULL;
}

/* Proves: an adopted thread keeps its mask, name, stack, stack for handlers, scheduling and cancellation state while it is
   a task and after it, and its creator joins it (A2). Why it matters: it is somebody else's thread. Catches: the
   name, the mask or the cancellation state that a task of the library's own gets. */
CASE(the_thread_keeps_its_state) {
  tr_registry *registry = registry_new();
  thread_end(thread_start(keeps_its_state, registry));
  registry_finish(registry);
}

/* ---- A3: who cannot be adopted ---------------------------------------------------------------- */

static tr_registry *second;

static int body_adopts(tr_task *self, void *ctx) {
  tr_task *out = NULL;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(ctx, "twice", 1, NULL, &out));
  CHECK_STR("tr_adopt: the caller is a task", tr_error_detail());
  CHECK(out == NULL && tr_task_self() == self);
  CHECK_EQ(TR_ERR_INVALID, tr_leave());
  CHECK_EQ(TR_ERR_INVALID, tr_leave_with(1));
  return 0;
}

static void adopts_and_leaves_in_a_callback(void *ctx) {
  atomic_int *calls = ctx;
  int is_task = tr_task_self() != NULL;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(second, "in a callback", 1, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_leave());
  CHECK_EQ(is_task, tr_task_self() != NULL);
  atomic_fetch_add(calls, 1);
}

/* Proves: neither a task of the library's nor an adopted thread can be adopted, nothing is adopted or left in a callback,
   and a thread that was not adopted cannot leave: TR_ERR_INVALID, with the reason, and nothing changes (A3). Why it
   matters: a call of the library would go on in a task that is over. Catches: each of the four checks left out. */
CASE(who_cannot_be_adopted) {
  struct heard heard = {0};
  tr_registry *registry = registry_heard(&heard, 0);
  second = registry;
  CHECK_EQ(TR_ERR_INVALID, tr_leave());
  CHECK_STR("tr_leave: the calling thread was not adopted, or has left", tr_error_detail());
  CHECK_EQ(TR_ERR_INVALID, tr_leave_with(0));
  wait_and_release(spawn(registry, "task", body_adopts, registry));
  CHECK_EQ(3, atomic_load(&heard.invalid));
  atomic_int calls = 0;
  /* on a thread that is not a task, in a call of the library */
  tr_token *token = tr_token_create();
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, adopts_and_leaves_in_a_callback, &calls, NULL, &registration));
  CHECK(tr_token_cancel(token, TR_REASON_NONE, NULL));
  CHECK_EQ(1, atomic_load(&calls));
  tr_registration_remove(registration);
  tr_token_release(token);
  atomic_store(&calls, 0);
  tr_task *task = adopt_with(registry, "once", 0, 0);
  tr_registration *on_cancel = NULL, *on_end = NULL;
  CHECK_EQ(TR_OK, tr_task_on_cancel(task, adopts_and_leaves_in_a_callback, &calls, NULL, &on_cancel));
  CHECK_EQ(TR_OK, tr_task_on_end(task, adopts_and_leaves_in_a_callback, &calls, NULL, &on_end));
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "twice", 1, NULL, NULL));
  CHECK_STR("tr_adopt: the caller is a task", tr_error_detail());
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(1, atomic_load(&calls));
  CHECK_EQ(1, tr_len(registry));
  CHECK_EQ(TR_OK, tr_leave());
  CHECK_EQ(2, atomic_load(&calls));
  CHECK_EQ(TR_ERR_INVALID, tr_leave());
  tr_registration_remove(on_cancel);
  tr_registration_remove(on_end);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: wrong arguments are rejected one by one, with the one that is wrong (A3, P4). Why it matters: an option
   that is read as 0 is one that is not kept. Catches: an option that nobody looks at. */
CASE(wrong_arguments_are_rejected) {
  tr_registry *registry = registry_new();
  tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(NULL, "n", 1, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, NULL, 1, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "", 1, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "\xff", 1, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "n", 0x77, NULL, NULL));
  options.flags = TR_SPAWN_FRESH_THREAD;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "n", 1, &options, NULL));
  options = (tr_adopt_options)TR_ADOPT_OPTIONS_INIT;
  options.phase = TR_PHASES;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "n", 1, &options, NULL));
  options = (tr_adopt_options)TR_ADOPT_OPTIONS_INIT;
  options.heartbeat_ns = -1;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "n", 1, &options, NULL));
  options = (tr_adopt_options)TR_ADOPT_OPTIONS_INIT;
  options.reserved = 1;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "n", 1, &options, NULL));
  options = (tr_adopt_options)TR_ADOPT_OPTIONS_INIT;
  options.size = 8;
  CHECK_EQ(TR_ERR_INVALID, tr_adopt(registry, "n", 1, &options, NULL));
  CHECK(tr_task_self() == NULL && tr_len(registry) == 0);
  registry_finish(registry);
}

/* Proves: a closed registry and a full one adopt nobody, as they accept no spawn; both are counted and logged as rejected,
   and the thread can be adopted elsewhere (A3, S5, S6). Why it matters: an adopted thread that a shutdown does not
   wait for is a hole. Catches: an adoption past the gate, or one that leaves its worker behind when it is rejected. */
CASE(a_closed_registry_and_a_full_one_adopt_nobody) {
  struct heard heard = {0};
  tr_registry *registry = registry_heard(&heard, 1), *other = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "fills it", body_obeys, &gate);
  gate_await(&gate, 1);
  for (int round = 0; round < 40; round++)
    CHECK_EQ(TR_ERR_LIMIT, tr_adopt(registry, "second", 1, NULL, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  tr_task *adopted = adopt_with(registry, "fills it", 0, 0);
  CHECK_EQ(TR_ERR_LIMIT, tr_spawn(registry, "second", 1, body_never, NULL, NULL));
  CHECK_EQ(TR_OK, tr_leave());
  tr_task_release(adopted);
  CHECK_EQ(TR_OK, tr_registry_close(registry));
  CHECK_EQ(TR_ERR_CLOSED, tr_adopt(registry, "late", 1, NULL, NULL));
  CHECK(tr_task_self() == NULL);
  CHECK_EQ(41, atomic_load(&heard.rejected)); /* of the last the log does not hear: all is over (O2) */
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, 0, &metrics));
  CHECK_EQ(42, metrics.rejected);
  CHECK_EQ(TR_OK, tr_adopt(other, "elsewhere", 1, NULL, NULL));
  CHECK_EQ(TR_OK, tr_leave());
  registry_finish(registry);
  registry_finish(other);
}

static void in_a_child(void *registry) {
  tr_task *out = NULL;
  CHECK_EQ(TR_ERR_FORKED, tr_adopt(registry, "child", 1, NULL, &out));
  CHECK(out == NULL);
  CHECK_EQ(TR_ERR_FORKED, tr_leave());
  CHECK_EQ(TR_ERR_FORKED, tr_leave_with(1));
  CHECK(tr_task_self() == NULL);
  _exit(7);
}

#ifndef CHECK_UNDER_TSAN /* which has a thread that keeps the process after its main thread */
static void ends_in_a_child(void *registry) {
  (void)registry;
  /* the destructor of this thread, which was adopted in the parent, must not touch the registry */
  pthread_exit(NULL);
}
#endif

/* Proves: in a child of fork there is no adopted thread; it may neither be adopted nor leave, and its end touches nothing
   (A3, P1). Why it matters: the parent's locks are held there indefinitely. Catches: a destructor of the key that ends the
   task of the parent. */
CASE(a_child_of_fork_is_no_task) {
  tr_registry *registry = registry_new();
  tr_task *task = adopt_with(registry, "parent", 0, 0);
  CHECK_EXITED(7, status_of_child(in_a_child, registry));
#ifndef CHECK_UNDER_TSAN
  CHECK_EXITED(0, status_of_child(ends_in_a_child, registry));
#endif
  CHECK(tr_task_self() == task && tr_len(registry) == 1);
  CHECK_EQ(TR_OK, tr_leave());
  tr_task_release(task);
  registry_finish(registry);
}

/* ---- A4: joins of the adopted thread's own ------------------------------------------------------ */

/* Proves: a join, a wait and a shutdown of its own registry are TR_ERR_DEADLOCK for an adopted thread that has not asked
   for more, at once, with nothing changed (A4, J7). Why it matters: it would wait for itself. Catches: a thread that is
   left out although it has not asked for that. */
CASE(without_the_option_a_join_is_a_deadlock) {
  tr_registry *root = registry_new(), *group = NULL, *sibling = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(root, "group", NULL, &group));
  CHECK_EQ(TR_OK, tr_registry_child(root, "sibling", NULL, &sibling));
  tr_task *task = adopt_with(group, "main", 0, 0);
  for (int place = 0; place < 2; place++) {
    tr_registry *registry = place ? group : root;
    CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all(registry, FOREVER, NULL));
    CHECK_EQ(TR_ERR_DEADLOCK, tr_registry_wait(registry, FOREVER));
    CHECK_EQ(TR_ERR_DEADLOCK, tr_shutdown(registry, TR_REASON_FATAL, "stop", FOREVER, NULL));
    CHECK(!tr_registry_is_closed(registry));
  }
  CHECK(!tr_task_is_cancelled(task));
  CHECK_EQ(TR_OK, tr_join_all(sibling, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_leave());
  CHECK_EQ(TR_OK, tr_join_all(root, FOREVER, NULL));
  tr_task_release(task);
  tr_registry_release(group);
  tr_registry_release(sibling);
  registry_finish(root);
}

static int obeys_in_phase(tr_task *self, void *ctx) {
  atomic_int *order = ctx;
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  CHECK_EQ((int)tr_task_phase(self), atomic_fetch_add(order, 1));
  return 0;
}

/* Checks that a report has the first `count` phases and no others, each with one task. */
static void has_phases(const tr_report *report, uint32_t count) {
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  for (uint32_t i = 0; i < count; i++) {
    CHECK_EQ(TR_OK, tr_report_phase(report, i, &phase));
    CHECK(phase.phase == i && phase.asked == 1 && phase.remaining == 0);
  }
  CHECK(tr_report_phase(report, count, &phase) == TR_ERR_INVALID);
}

/* Proves: a shutdown by an adopted thread that has asked for it ends all other tasks, phase by phase, and joins all other
   threads; it is not ended by the thread's own flag, which rises with its phase; the thread is in no count, and stays a
   task until it leaves (A4, E5, G4). Likewise joins and waits, in the registry and in one around it. Why it matters:
   main shuts down. Catches: a wait for itself; a wait that its own flag ends; a phase that is waited for because main
   is in it. */
CASE(main_shuts_down_and_is_not_waited_for) {
  for (uint32_t phase = 0; phase < TR_PHASES; phase += phase == 1 ? 5 : 1) {
    for (int in_group = 0; in_group < 2; in_group++) {
      tr_registry *root = registry_new(), *own = root;
      if (in_group) CHECK_EQ(TR_OK, tr_registry_child(root, "group", NULL, &own));
      tr_task *task = adopt_with(own, "main", TR_ADOPT_JOINS_OTHERS, phase);
      CHECK_EQ(TR_OK, tr_registry_wait(root, FOREVER));
      atomic_int order = 0;
      for (uint32_t i = 0; i < 3; i++) {
        tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
        options.phase = i;
        CHECK_EQ(TR_OK, tr_spawn_with(i == 1 ? root : own, "other", 1, obeys_in_phase, &order, &options, NULL));
      }
      CHECK_EQ(TR_ERR_TIMEDOUT, tr_registry_wait(root, 1 * MS));
      CHECK_EQ(4, tr_len(root));
      tr_join_report report = TR_JOIN_REPORT_INIT;
      tr_report *full = NULL;
      report.full = &full;
      CHECK_EQ(TR_OK, tr_shutdown(root, TR_REASON_FATAL, "stop", 600 * SECOND, &report));
      has_phases(full, 3);
      CHECK_EQ(3, atomic_load(&order));
      CHECK(report.ended == 3 && report.pending == 0 && report.threads_left == 0);
      tr_report_release(full);
      CHECK_EQ(1, tr_len(root));
      CHECK(tr_task_self() == task && tr_task_is_cancelled(task));
      CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(task));
      CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
      CHECK_EQ(TR_OK, tr_join_all(root, FOREVER, NULL));
      CHECK_EQ(TR_OK, tr_leave());
      CHECK_EQ(0, tr_len(root));
      tr_task_release(task);
      if (in_group) tr_registry_release(own);
      registry_finish(root);
    }
  }
}

/* Proves: when the deadline of such a shutdown passes, the others are its stragglers, and the thread itself is neither
   listed nor told to abort, nor is it in the report (A4, J4). Why it matters: a report that blames main hides who it
   was. Catches: a straggler too many. */
CASE(main_is_no_straggler_of_its_own_shutdown) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  tr_task *task = adopt_with(registry, "main", TR_ADOPT_JOINS_OTHERS, 5);
  tr_task_summary list[2] = {TR_TASK_SUMMARY_INIT, TR_TASK_SUMMARY_INIT};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = list;
  report.stragglers_capacity = 2;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_FATAL, "stop", 20 * MS, &report));
  CHECK(report.pending == 1 && report.abandoned == 1 && report.stragglers_count == 1);
  CHECK_STR("deaf", list[0].name);
  CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(task));
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, &report));
  CHECK_EQ(1, report.pending);
  CHECK_EQ(TR_STOP_DRAIN, tr_task_stop_level(task));
  gate_open(&gate);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_FATAL, "stop", FOREVER, &report));
  CHECK_EQ(TR_OK, tr_leave());
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  tr_task_release(deaf);
  tr_registry_release(registry);
}

static int ends_soon(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  breathe();
  return 0;
}

/* Proves: a join that waits in an adopted thread while others wait for all tasks wakes when the last other task ends, and
   theirs when the thread has left (A4, J1, J6). Why it matters: a lost wake-up is a shutdown that hangs. Catches: an
   end that wakes joiners only when nobody at all is left. */
CASE(the_last_of_the_others_wakes_the_join) {
  for (int round = 0; round < check_rounds(200); round++) {
    tr_registry *registry = registry_new();
    tr_task *task = adopt_with(registry, "main", TR_ADOPT_JOINS_OTHERS, (uint32_t)round % 2 * 4);
    CHECK_EQ(TR_OK, tr_spawn(registry, "short", 1, ends_soon, NULL, NULL));
    struct join_call join;
    join_begin(&join, registry, FOREVER);
    if (round % 3 == 0) CHECK_EQ(TR_OK, tr_registry_wait(registry, FOREVER));
    else CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_FATAL, NULL, FOREVER, NULL));
    CHECK_EQ(0, atomic_load(&join.returned));
    CHECK_EQ(TR_OK, tr_leave());
    join_end(&join);
    CHECK_EQ(TR_OK, join.status);
    tr_task_release(task);
    registry_finish(registry);
  }
}

/* ---- A5: how it ends ------------------------------------------------------------------------------ */

static int just_ends(struct adopted *it) {
  (void)it;
  return 0;
}

static int exits(struct adopted *it) {
  (void)it;
  pthread_exit(NULL);
}

static int is_cancelled_by_its_owner(struct adopted *it) {
  (void)it;
  pthread_cancel(pthread_self());
  be_cancelled(0);
  return 0;
}

/* Proves: a thread that returns, exits or is cancelled without leaving has exited: its task ends with it, whoever waits
   goes on, an event says why, and an essential one takes the registry down (A5, O1, C12). Why it matters: a list of dead
   threads lies. Catches: an end that nobody notices; one that counts as a success. */
CASE(an_end_without_leave_is_an_exit) {
  static int (*const bodies[])(struct adopted *) = {just_ends, exits, is_cancelled_by_its_owner};
  for (int how = 0; how < 3; how++) {
    struct heard heard = {0};
    tr_registry *registry = registry_heard(&heard, 0);
    struct adopted it = adopted_new(registry, bodies[how]);
    it.leaves = 0;
    it.flags = TR_SPAWN_ESSENTIAL;
    it.heartbeat = 60 * SECOND;
    adopted_begin(&it, 0);
    CHECK_EQ(TR_ENDED_EXITED, adopted_end(&it).how);
    CHECK_EQ(1, atomic_load(&heard.exited));
    CHECK_STR("its thread ended without tr_leave", heard.message);
    CHECK(tr_registry_is_closed(registry) && tr_len(registry) == 0);
    registry_finish(registry);
  }
}

static int fails_with_a_message(struct adopted *it) {
  CHECK_EQ(TR_OK, tr_task_set_message(it->task, "the socket is gone"));
  return 9;
}

/* Proves: a thread leaves with a code and a message, as a body returns it, and the log has heard of the failure before
   the end can be seen (A5, O1, O2). Why it matters: an event loop that failed has to say so. Catches: a code that is
   lost; an event that is not sent. */
CASE(leaving_with_a_code_is_a_failure) {
  struct heard heard = {0};
  tr_registry *registry = registry_heard(&heard, 0);
  struct adopted it = adopted_new(registry, fails_with_a_message);
  it.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE;
  adopted_begin(&it, 1);
  tr_outcome outcome = outcome_of(it.task);
  CHECK(outcome.how == TR_ENDED_FAILED && outcome.code == 9);
  CHECK_STR("the socket is gone", outcome.message);
  CHECK_EQ(1, atomic_load(&heard.failed));
  CHECK_STR("failed with code 9: the socket is gone", heard.message);
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(tr_registry_token(registry)));
  adopted_end(&it);
  registry_finish(registry);
}

static void exits_in_the_log(void) { pthread_exit(NULL); }

static int fails(struct adopted *it) {
  (void)it;
  return 3;
}

/* Proves: a log callback that ends the thread in the middle of tr_leave does not undo how the task has ended: it has
   failed, once (A5, P7). Why it matters: the end would be counted twice, or never. Catches: a destructor that begins
   the end anew. */
CASE(a_callback_may_end_the_thread_that_leaves) {
  struct heard heard = {.first = exits_in_the_log};
  tr_registry *registry = registry_heard(&heard, 0);
  struct adopted it = adopted_new(registry, fails);
  adopted_begin(&it, 0);
  tr_outcome outcome = adopted_end(&it);
  CHECK(outcome.how == TR_ENDED_FAILED && outcome.code == 3);
  CHECK(atomic_load(&heard.failed) == 1 && atomic_load(&heard.exited) == 0);
  registry_finish(registry);
}

static void counts_end(void *ctx) {
  CHECK(tr_task_self() == NULL);
  breathe();
  atomic_fetch_add((atomic_int *)ctx, 1);
}

static void exits_at_the_end(void *ctx) {
  counts_end(ctx);
  pthread_exit(NULL);
}

/* Proves: the functions for the end of the task run in tr_leave, or where the thread ends, also after one of them has
   ended the thread, and a shutdown by another thread has waited for them (A5, O4, G4). Why it matters: what they use is
   freed after the shutdown. Catches: a thread that is not waited for once its task is counted. */
CASE(functions_for_the_end_run_and_are_waited_for) {
  for (int round = 0; round < 4; round++) {
    tr_registry *registry = registry_new();
    atomic_int calls = 0;
    struct adopted it = adopted_new(registry, NULL);
    it.leaves = round % 2;
    adopted_begin(&it, 0);
    CHECK_EQ(TR_OK, tr_task_on_end(it.task, round < 2 ? counts_end : exits_at_the_end, &calls, NULL, NULL));
    CHECK_EQ(TR_OK, tr_task_on_end(it.task, counts_end, &calls, NULL, NULL));
    gate_open(&it.entered);
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    CHECK_EQ(2, atomic_load(&calls));
    adopted_end(&it);
    tr_registry_release(registry);
  }
}

/* Proves: the last reference of a registry may go while a thread is adopted, which lives on as a task, and leaves
   (A5, G3). Why it matters: main releases what its event loop still uses. Catches: memory that is freed under an adopted
   thread, or never. */
CASE(the_registry_may_be_released_before_the_thread_leaves) {
  for (int round = 0; round < 4; round++) {
    tr_registry *registry = registry_new(), *group = NULL;
    CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
    tr_task *task = adopt_with(round % 2 ? group : registry, "last", 0, 0);
    if (round >= 2) wait_and_release(spawn(group, "other", body_returns, NULL));
    tr_registry_release(group);
    tr_registry_release(registry);
    CHECK(tr_task_self() == task);
    CHECK_EQ(TR_OK, tr_sleep(0));
    CHECK_EQ(TR_OK, tr_leave());
    CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
    tr_task_release(task);
  }
  CHECK_EQ(TR_OK, tr_quiesce(AT_ONCE));
}

/* ---- Heartbeats ----------------------------------------------------------------------------------- */

/* Proves: the interval of an adopted thread is its task's; the one that the thread had set before is gone, and it has none
   after it has left; while it shuts down, its interval is suspended (A1, A4, E7). Why it matters: main is what systemd's
   watchdog is for. Catches: two intervals; a thread that is stalled because it shuts down. */
CASE(its_heartbeats_are_the_tasks) {
  tr_registry *registry = registry_new();
  CHECK_EQ(TR_OK, tr_heartbeat_promise(registry, 1 * MS, 0));
  tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
  options.heartbeat_ns = 60 * SECOND;
  options.flags = TR_ADOPT_JOINS_OTHERS;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_adopt(registry, "main", 1, &options, &task));
  for (int i = 0; i < 20; i++) breathe();
  tr_task_summary stalled = TR_TASK_SUMMARY_INIT;
  size_t count = 4711;
  CHECK_EQ(TR_OK, tr_health(registry, &stalled, 1, &count));
  CHECK_EQ(0, count);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(registry, 1 * MS, 0));
  do {
    breathe();
  } while (tr_health(registry, &stalled, 1, &count) == TR_OK);
  CHECK_EQ(1, count);
  CHECK_EQ(tr_task_id(task), stalled.id);
  CHECK_STR("main", stalled.name);
  CHECK_EQ(TR_OK, tr_heartbeat());
  struct gate gate = GATE_INIT;
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 30 * MS, NULL));
  CHECK_EQ(TR_OK, tr_heartbeat());
  gate_open(&gate);
  wait_and_release(deaf);
  CHECK_EQ(TR_OK, tr_leave());
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat());
  for (int i = 0; i < 20; i++) breathe();
  CHECK_EQ(TR_OK, tr_health(registry, NULL, 0, &count));
  tr_task_release(task);
  registry_finish(registry);
}

/* ---- All at once ------------------------------------------------------------------------------------ */

struct crowd {
  tr_registry *registry;
  atomic_int adopted, left;
};

static void *comes_and_goes(void *argument) {
  struct crowd *crowd = argument;
  for (int round = 0;; round++) {
    tr_task *task = NULL;
    tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
    options.phase = (uint32_t)round % 3;
    tr_status status = tr_adopt(crowd->registry, "one of many", TR_KIND_APPLICATION, &options, &task);
    if (status == TR_ERR_CLOSED) break;
    CHECK_EQ(TR_OK, status);
    atomic_fetch_add(&crowd->adopted, 1);
    if (round % 4 == 1) TR_IGNORE(tr_sleep(MS / 10));
    if (round % 16 == 2) TR_IGNORE(tr_spawn(crowd->registry, "of one", 1, body_returns, NULL, NULL));
    atomic_fetch_add(&crowd->left, 1);
    CHECK_EQ(TR_OK, tr_leave());
    tr_task_release(task);
  }
  return NULL;
}

/* Claim: eight threads adopt themselves and leave while tasks are spawned and the registry is shut down: nobody is lost,
   counted twice, or left behind.
   Proves: adoptions and spawns share workers, records and counts, and a shutdown that returns has seen the last of them
   (A1, A3, G4). Why it matters: the races are between the two. Catches: a worker that is returned while its mailbox is
   used. */
CASE(a_crowd_comes_and_goes) {
  for (int round = 0; round < check_rounds(20) + 1; round++) {
    struct crowd crowd = {.registry = registry_new()};
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) threads[i] = thread_start(comes_and_goes, &crowd);
    while (atomic_load(&crowd.adopted) < 200) wait_and_release(spawn(crowd.registry, "beside", body_returns, NULL));
    tr_join_report report = TR_JOIN_REPORT_INIT;
    CHECK_EQ(TR_OK, shutdown_fully(crowd.registry, TR_REASON_NONE, NULL, FOREVER, &report));
    CHECK_EQ(atomic_load(&crowd.adopted), atomic_load(&crowd.left));
    CHECK(tr_len(crowd.registry) == 0 && report.pending == 0 && report.threads_left == 0);
    for (int i = 0; i < 8; i++) thread_end(threads[i]);
    tr_registry_release(crowd.registry);
  }
}

CHECK_MAIN(CHECK_ENTRY(a_thread_is_a_task_until_it_leaves), CHECK_ENTRY(a_thread_is_adopted_again_and_again),
           CHECK_ENTRY(a_shutdown_waits_for_the_task_and_not_for_the_thread), CHECK_ENTRY(the_thread_keeps_its_state),
           CHECK_ENTRY(who_cannot_be_adopted), CHECK_ENTRY(wrong_arguments_are_rejected),
           CHECK_ENTRY(a_closed_registry_and_a_full_one_adopt_nobody), CHECK_ENTRY(a_child_of_fork_is_no_task),
           CHECK_ENTRY(without_the_option_a_join_is_a_deadlock), CHECK_ENTRY(main_shuts_down_and_is_not_waited_for),
           CHECK_ENTRY(main_is_no_straggler_of_its_own_shutdown), CHECK_ENTRY(the_last_of_the_others_wakes_the_join),
           CHECK_ENTRY(an_end_without_leave_is_an_exit), CHECK_ENTRY(leaving_with_a_code_is_a_failure),
           CHECK_ENTRY(a_callback_may_end_the_thread_that_leaves), CHECK_ENTRY(functions_for_the_end_run_and_are_waited_for),
           CHECK_ENTRY(the_registry_may_be_released_before_the_thread_leaves), CHECK_ENTRY(its_heartbeats_are_the_tasks),
           CHECK_ENTRY(a_crowd_comes_and_goes))
