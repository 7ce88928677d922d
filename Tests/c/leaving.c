/* leaving.c - callbacks of the application that are slow, end the thread they are called on, or
   call the library so that it would call them again: their effect on the rest. Rules C7, C11, E7,
   E11, J7, O2. */

#include "support.h"

static tr_registry *registry_with_log(tr_log_fn receive, void *context, uint64_t max_tasks) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = receive;
  options.log_context = context;
  options.max_tasks = max_tasks;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

/* ---- A log that calls the library ------------------------------------------------------------ */

struct ship {
  tr_registry *registry;
  int events, depth, deepest;
};

static int body_ships(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  return 0;
}

static void log_ships(void *context, const tr_log_event *event) {
  struct ship *ship = context;
  if (event->event == TR_EVENT_TASK_LATE) return; /* at the end, as a deadline found it alive */
  CHECK_EQ(TR_EVENT_SPAWN_REJECTED, event->event);
  ship->events++;
  if (++ship->depth > ship->deepest) ship->deepest = ship->depth;
  CHECK_EQ(TR_ERR_LIMIT, tr_spawn(ship->registry, "ship", TR_KIND_MAINTENANCE, body_ships, NULL, NULL));
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(ship->registry, 0, NULL));
  ship->depth--;
}

/* Proves: a log callback receives no events about the results of its own calls: one that passes
   each event to a task is called once for a spawn that a full registry rejects, though its own
   spawn is rejected too, and its join misses its deadline; all rejections are counted (O2, J8). Why
   it matters: it would be called until the stack is full. Catches: an event for a rejection inside
   the callback; one that is not counted. */
CASE(a_log_hears_nothing_of_its_own_calls) {
  struct ship ship = {NULL, 0, 0, 0};
  struct gate gate = GATE_INIT;
  ship.registry = registry_with_log(log_ships, &ship, 1);
  tr_task *task = spawn(ship.registry, "fills it", body_deaf, &gate);
  for (int round = 1; round <= 3; round++) {
    CHECK_EQ(TR_ERR_LIMIT, tr_spawn(ship.registry, "more", TR_KIND_MAINTENANCE, body_ships, NULL, NULL));
    CHECK_EQ(round, ship.events);
  }
  CHECK_EQ(1, ship.deepest);
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(ship.registry, 0, &metrics));
  CHECK_EQ(6, metrics.rejected);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(ship.registry);
}

/* ---- Callbacks that end their thread, or take their time, where timers are --------------------- */

static tr_task *spawn_with_interval(tr_registry *registry, int64_t interval, tr_task_fn body, void *ctx) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.heartbeat_ns = interval;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "stalls", TR_KIND_RPC_HANDLER, body, ctx, &options, &task));
  return task;
}

static void log_leaves(void *context, const tr_log_event *event) {
  atomic_int *events = context;
  atomic_fetch_add(&events[event->event == TR_EVENT_TASK_RECOVERED], 1);
  if (event->event == TR_EVENT_TASK_STALLED) pthread_exit(NULL);
}

/* Reports heartbeats on request, until the gate is open. */
static int body_beats_at_last(tr_task *self, void *ctx) {
  (void)self;
  struct gate *gate = ctx;
  gate_pass(gate);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 3600 * SECOND, 0)); /* a heartbeat, after which it is not stalled again */
  return 0;
}

/* Wait for a timeout to come. */
static void timeout_comes(void) {
  tr_token *parent = tr_token_create(), *token = tr_token_child_with_timeout(parent, 10 * MS);
  CHECK(token != NULL);
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  tr_token_release(token);
  tr_token_release(parent);
}

/* Proves: a stall is reported even if the log callback ends its thread: the task may recover, which
   is reported, and end; timeouts come, and the next stall is reported in a new thread (E7, C11).
   Why it matters: runtimes end threads that they do not need any more. Catches: a thread that is
   not replaced; a report that stays under way indefinitely, for which the task's end waits. */
CASE(a_log_that_ends_its_thread_ends_nothing_else) {
  atomic_int events[2] = {0, 0};
  tr_registry *registry = registry_with_log(log_leaves, events, 0);
  for (int round = 1; round <= 3; round++) {
    struct gate gate = GATE_INIT;
    tr_task *task = spawn_with_interval(registry, MS, body_beats_at_last, &gate);
    gate_await(&gate, 1);
    while (atomic_load(&events[0]) < round) breathe();
    timeout_comes();
    gate_open(&gate);
    wait_and_release(task);
    CHECK_EQ(round, atomic_load(&events[0]));
    CHECK_EQ(round, atomic_load(&events[1]));
  }
  while (threads_called("taskreg-events") > 0) breathe();
  registry_finish(registry);
  timer_thread_leaves();
}

static void callback_waits(void *ctx) { gate_pass(ctx); }

static void callback_comes(void *ctx) { gate_arrive(ctx); }

/* Proves: callbacks of timeouts that do not return hold up nothing else: other timeouts come, their
   callbacks run, and a stall is reported, with seven of them under way (C11, E7). Why it matters: a
   callback that flushes to a slow disk would stop every deadline of the process. Catches: callbacks
   on the timer thread; one thread for all of them. */
CASE(callbacks_that_block_delay_no_others) {
  enum { blocked = 7 };
  struct gate gate = GATE_INIT;
  tr_token *parent = tr_token_create(), *tokens[blocked];
  tr_registration *registrations[blocked];
  for (int i = 0; i < blocked; i++) {
    tokens[i] = tr_token_child_with_timeout(parent, 200 * MS * check_scale());
    CHECK_EQ(TR_OK, tr_token_on_cancel(tokens[i], callback_waits, &gate, NULL, &registrations[i]));
  }
  gate_await(&gate, blocked);
  timeout_comes();
  struct gate other = GATE_INIT;
  tr_token *last = tr_token_child_with_timeout(parent, 200 * MS * check_scale());
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_cancel(last, callback_comes, &other, NULL, &registration));
  gate_await(&other, 1);
  atomic_int events[2] = {0, 0};
  tr_registry *registry = registry_with_log(log_leaves, events, 0);
  struct gate beats = GATE_INIT;
  tr_task *task = spawn_with_interval(registry, MS, body_beats_at_last, &beats);
  while (atomic_load(&events[0]) < 1) breathe();
  gate_open(&beats);
  wait_and_release(task);
  gate_open(&gate);
  tr_registration_remove(registration);
  tr_token_release(last);
  for (int i = 0; i < blocked; i++) {
    tr_registration_remove(registrations[i]);
    tr_token_release(tokens[i]);
  }
  tr_token_release(parent);
  while (threads_called("taskreg-events") > 0) breathe();
  registry_finish(registry);
  timer_thread_leaves();
}

CHECK_MAIN(CHECK_ENTRY(a_log_hears_nothing_of_its_own_calls),
           CHECK_ENTRY(a_log_that_ends_its_thread_ends_nothing_else),
           CHECK_ENTRY(callbacks_that_block_delay_no_others))
