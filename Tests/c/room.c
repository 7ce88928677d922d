/* room.c - waiting for room: tr_wait_room, spawns that wait, tr_registry_set_max_tasks. Rule S8. */

#include "support.h"

static tr_registry *registry_of(uint64_t max_tasks) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;
  options.max_tasks = max_tasks;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

static uint64_t rejected(tr_registry *registry) {
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, 0, &metrics));
  return metrics.rejected;
}

/* A call that waits for room, on a thread of its own. */
struct room_call {
  tr_registry *registry;
  int64_t timeout;
  tr_status status;
  tr_task *task; /* if it spawns */
  int spawns;
  _Atomic(pid_t) tid;
  atomic_int returned;
  pthread_t thread;
};

static void *room_call_run(void *argument) {
  struct room_call *call = argument;
  atomic_store(&call->tid, gettid());
  if (call->spawns) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.room_wait_ns = call->timeout;
    call->status = tr_spawn_with(call->registry, "waited", 1, body_obeys, NULL, &options, &call->task);
  } else {
    call->status = tr_wait_room(call->registry, call->timeout);
  }
  atomic_store(&call->returned, 1);
  return NULL;
}

/* Begins a call, and waits until it sleeps. */
static void room_begin(struct room_call *call, tr_registry *registry, int spawns) {
  *call = (struct room_call){.registry = registry, .timeout = FOREVER, .spawns = spawns};
  call->thread = thread_start(room_call_run, call);
  await_asleep(&call->tid);
  CHECK_EQ(0, atomic_load(&call->returned));
}

static tr_status room_end(struct room_call *call) {
  thread_end(call->thread);
  return call->status;
}

/* Proves: a wait for room and a spawn that waits return when a task ends, and no earlier; the spawn has spawned, and
   nothing was rejected (S8). Why it matters: a listener leaves its clients in the queue. Catches: an end that wakes nobody;
   a spawn that counts its attempts as rejections. */
CASE(an_end_makes_room) {
  for (int spawns = 0; spawns < 2; spawns++) {
    tr_registry *registry = registry_of(1);
    CHECK_EQ(TR_OK, tr_wait_room(registry, 0));
    tr_task *first = spawn(registry, "first", body_obeys, NULL);
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_room(registry, 0));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_room(registry, 5 * MS));
    struct room_call call;
    room_begin(&call, registry, spawns);
    CHECK_EQ(TR_OK, tr_task_cancel(first));
    CHECK_EQ(TR_OK, room_end(&call));
    CHECK_EQ(0, rejected(registry));
    CHECK_EQ(spawns, tr_len(registry));
    if (spawns) tr_task_release(call.task);
    wait_and_release(first);
    registry_finish(registry);
  }
}

/* Proves: the limit of a registry around it counts, and an end in another group there makes room (S8, T2). Why it matters:
   a limit for all connections is that of the group's parent. Catches: a wait on the list of the group alone. */
CASE(an_end_in_another_group_makes_room) {
  tr_registry *root = registry_of(1), *groups[2];
  for (int i = 0; i < 2; i++) CHECK_EQ(TR_OK, tr_registry_child(root, i ? "b" : "a", NULL, &groups[i]));
  tr_task *first = spawn(groups[0], "first", body_obeys, NULL);
  struct room_call call;
  room_begin(&call, groups[1], 1);
  CHECK_EQ(TR_OK, tr_task_cancel(first));
  CHECK_EQ(TR_OK, room_end(&call));
  CHECK(tr_len(groups[1]) == 1 && tr_len(root) == 1);
  tr_task_release(call.task);
  wait_and_release(first);
  for (int i = 0; i < 2; i++) tr_registry_release(groups[i]);
  registry_finish(root);
}

/* Proves: a limit that is raised, or taken away, makes room; one that is lowered ends nothing, and accepts nothing until
   fewer are alive (S8, S6). Why it matters: a reload changes it. Catches: a limit that is read once. */
CASE(the_limit_changes) {
  tr_registry *registry = registry_of(1);
  struct room_call call;
  tr_task_release(spawn(registry, "first", body_obeys, NULL));
  for (uint64_t most = 2;; most = 0) {
    room_begin(&call, registry, 1);
    CHECK_EQ(TR_OK, tr_registry_set_max_tasks(registry, most));
    CHECK_EQ(TR_OK, room_end(&call));
    tr_task_release(call.task);
    if (most == 0) break;
    CHECK_EQ(TR_ERR_LIMIT, tr_spawn(registry, "third", 1, body_never, NULL, NULL));
  }
  CHECK_EQ(3, tr_len(registry));
  CHECK_EQ(TR_OK, tr_registry_set_max_tasks(registry, 1));
  CHECK_EQ(3, tr_len(registry));
  CHECK_EQ(TR_ERR_LIMIT, tr_spawn(registry, "fourth", 1, body_never, NULL, NULL));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_room(registry, 1 * MS));
  CHECK_EQ(TR_OK, tr_registry_set_max_tasks(registry, 4));
  CHECK_EQ(TR_OK, tr_wait_room(registry, 0));
  registry_finish(registry);
}

/* Proves: what closes the registry, in whatever way, and in whatever registry around it, ends a wait for room in a group with
   TR_ERR_CLOSED, of which the spawn is a rejection (S8, S5). Why it matters: a listener must hear of the end. Catches: a wait
   that a close, or a cancel, does not wake. */
CASE(a_close_ends_the_wait) {
  for (int how = 0; how < 5; how++) {
    tr_registry *root = registry_of(1), *group = NULL, *inner = NULL;
    CHECK_EQ(TR_OK, tr_registry_child(root, "group", NULL, &group));
    CHECK_EQ(TR_OK, tr_registry_child(group, "inner", NULL, &inner));
    struct gate gate = GATE_INIT;
    tr_task *first = spawn(root, "first", body_deaf, &gate);
    struct room_call waits, spawns;
    room_begin(&waits, inner, 0);
    room_begin(&spawns, inner, 1);
    if (how == 0) CHECK_EQ(TR_OK, tr_registry_close(inner));
    if (how == 1) CHECK_EQ(TR_OK, tr_registry_close(group));
    if (how == 2) CHECK_EQ(TR_OK, tr_registry_close(root));
    if (how == 3) CHECK(tr_token_cancel(tr_registry_token(group), TR_REASON_FATAL, NULL));
    if (how == 4) CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(root, TR_REASON_FATAL, NULL, 0, NULL));
    CHECK_EQ(TR_ERR_CLOSED, room_end(&waits));
    CHECK_EQ(TR_ERR_CLOSED, room_end(&spawns));
    CHECK_EQ(1, rejected(inner));
    CHECK_EQ(TR_ERR_CLOSED, tr_wait_room(inner, FOREVER));
    gate_open(&gate);
    wait_and_release(first);
    tr_registry_release(inner);
    tr_registry_release(group);
    registry_finish(root);
  }
}

struct flagged {
  tr_registry *full;
  struct gate started;
};

static int waits_for_room(tr_task *self, void *ctx) {
  struct flagged *flagged = ctx;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.room_wait_ns = TR_FOREVER;
  gate_arrive(&flagged->started);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_room(flagged->full, FOREVER));
  CHECK_EQ(TR_ERR_CANCELLED, tr_spawn_with(flagged->full, "never", 1, body_never, NULL, &options, NULL));
  CHECK(tr_task_is_cancelled(self));
  return 0;
}

/* Proves: the flag of the calling task ends a wait for room, and a list says that it is in one (S8, C4, E15); a spawn's time
   for room ends with TR_ERR_LIMIT, one rejection each (S8, S6). Why it matters: a full registry must not hold up a stop.
   Catches: a wait without the flag; a timeout that is not kept. */
CASE(the_flag_and_the_time_end_the_wait) {
  tr_registry *full = registry_of(1), *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *first = spawn(full, "first", body_deaf, &gate);
  struct flagged flagged = {full, GATE_INIT};
  tr_task *task = spawn(registry, "listener", waits_for_room, &flagged);
  gate_await(&flagged.started, 1);
  tr_report *report = NULL;
  tr_straggler straggler = TR_STRAGGLER_INIT;
  do {
    breathe();
    tr_report_release(report);
    CHECK_EQ(TR_OK, tr_explain(registry, &report));
    CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
    /* at first it may look busy: creating its thread counts */
  } while (straggler.library_wait != TR_LIBRARY_WAIT_ROOM || straggler.diagnosis != TR_DIAGNOSIS_IDLE);
  CHECK_EQ(TR_WAITS_ROOM, straggler.waits_for);
  char text[8192];
  size_t length;
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "idle in a wait for room for ") != NULL, "%.400s", text);
  tr_report_release(report);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  CHECK_EQ(1, rejected(full));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  for (int64_t wait = -2; wait < 2; wait++) {
    options.room_wait_ns = wait == -1 ? 20 * MS : wait * MS;
    int64_t start = now_ns();
    CHECK_EQ(TR_ERR_LIMIT, tr_spawn_with(full, "late", 1, body_never, NULL, &options, NULL));
    CHECK(now_ns() - start >= (options.room_wait_ns > 0 ? options.room_wait_ns : 0));
  }
  CHECK_EQ(5, rejected(full));
  gate_open(&gate);
  wait_and_release(first);
  CHECK_EQ(TR_ERR_INVALID, tr_wait_room(NULL, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_registry_set_max_tasks(NULL, 0));
  registry_finish(full);
  registry_finish(registry);
}

struct crowd {
  tr_registry *registry;
  atomic_int alive, most, ran;
};

static int body_counted(tr_task *self, void *ctx) {
  struct crowd *crowd = ctx;
  (void)self;
  int alive = atomic_fetch_add(&crowd->alive, 1) + 1, most = atomic_load(&crowd->most);
  while (alive > most && !atomic_compare_exchange_weak(&crowd->most, &most, alive)) {
  }
  atomic_fetch_add(&crowd->ran, 1);
  atomic_fetch_sub(&crowd->alive, 1);
  return 0;
}

static void *spawns_many(void *argument) {
  struct crowd *crowd = argument;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.room_wait_ns = TR_FOREVER;
  for (int i = 0; i < 200; i++)
    CHECK_EQ(TR_OK, tr_spawn_with(crowd->registry, "one", 1, body_counted, crowd, &options, NULL));
  return NULL;
}

/* Claim: eight threads spawn into a registry for three, with 200 spawns each that wait: all run, and never more than three.
   Proves: no wake-up is lost, and the limit holds (S8, S6). Why it matters: a lost one is a server that accepts nobody any more.
   Catches: waking one waiter that then does not spawn. */
CASE(a_crowd_spawns_as_there_is_room) {
  struct crowd crowd = {.registry = registry_of(3)};
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) threads[i] = thread_start(spawns_many, &crowd);
  for (int i = 0; i < 8; i++) thread_end(threads[i]);
  CHECK_EQ(TR_OK, tr_registry_wait(crowd.registry, FOREVER));
  CHECK(atomic_load(&crowd.ran) == 1600 && atomic_load(&crowd.most) <= 3);
  CHECK_EQ(0, rejected(crowd.registry));
  registry_finish(crowd.registry);
}

CHECK_MAIN(CHECK_ENTRY(an_end_makes_room), CHECK_ENTRY(an_end_in_another_group_makes_room), CHECK_ENTRY(the_limit_changes),
           CHECK_ENTRY(a_close_ends_the_wait), CHECK_ENTRY(the_flag_and_the_time_end_the_wait),
           CHECK_ENTRY(a_crowd_spawns_as_there_is_room))
