/* idle.c - what a report says of tasks in waits of the library: idle, not blocked (E15). */

#include "deadline.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What the waits are for. */
struct waits {
  struct gate started;
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  int pipe[2];
  tr_token *token;
  tr_task *other;
  tr_registry *registry, *group;
  atomic_int hold, released;
};

static int waits_time(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  gate_arrive(&waits->started);
  return tr_sleep(3600 * SECOND) == TR_ERR_CANCELLED ? 0 : 1;
}
static int waits_forever(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  gate_arrive(&waits->started);
  return tr_sleep(FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}
static int waits_cancel(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  gate_arrive(&waits->started);
  return tr_wait_cancelled(FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}
static int waits_descriptor(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  gate_arrive(&waits->started);
  return tr_wait_fd(waits->pipe[0], POLLIN, FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}
static int waits_condition(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&waits->mutex));
  gate_arrive(&waits->started);
  tr_status status = TR_OK;
  while (status == TR_OK && !atomic_load(&waits->released))
    status = tr_cond_wait(&waits->condition, &waits->mutex, FOREVER);
  CHECK_EQ(0, pthread_mutex_unlock(&waits->mutex));
  return 0;
}
static int waits_task(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  gate_arrive(&waits->started);
  return tr_task_wait(waits->other, FOREVER, NULL) == TR_ERR_CANCELLED ? 0 : 1;
}
static int waits_in_a_shield(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  CHECK_EQ(TR_OK, tr_shield_begin());
  gate_arrive(&waits->started);
  CHECK_EQ(TR_OK, tr_task_wait(waits->other, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_shield_end());
  return 0;
}
static int waits_draining(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  CHECK_EQ(TR_OK, tr_begin_drain());
  gate_arrive(&waits->started);
  return tr_wait_cancelled(FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}
static int waits_token(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  gate_arrive(&waits->started);
  return tr_token_wait(waits->token, FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}
static int waits_tasks(tr_task *self, void *ctx) {
  struct waits *waits = ctx;
  (void)self;
  gate_arrive(&waits->started);
  return tr_registry_wait(waits->group, FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* A report in which the task called `name` has the diagnosis that is wanted. */
static tr_straggler straggler_once(tr_registry *registry, const char *name, uint32_t diagnosis, char *text, size_t room) {
  for (int64_t until = now_ns() + AT_ONCE;;) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain(registry, &report));
    tr_straggler straggler = straggler_called(report, name);
    size_t length;
    CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, room, &length));
    tr_report_release(report);
    straggler.descriptor_text = NULL; /* it went with the report */
    if (straggler.diagnosis == diagnosis) return straggler;
    CHECK_MSG(now_ns() < until, "%s is %s", name, tr_diagnosis_name(straggler.diagnosis));
    breathe();
  }
}

/* Proves: a task in each wait of the library is idle, with what it waits for, for how long, and for how much longer, as
   numbers and in words, and that is what its thread waits for (Q1); the next task in the thread, which waits for a lock,
   is blocked (E15).  Why it matters: six healthy loops read like six hangs.  Catches: a wait without its note; a note that
   stays; an object or a time of another wait; a descriptor that the library has added taken for the task's. */
CASE(a_task_in_a_wait_is_idle) {
  static const struct {
    const char *name;
    tr_task_fn body;
    uint32_t kind, edge;
    const char *words;
  } kinds[] = {
      {"time", waits_time, TR_LIBRARY_WAIT_TIME, TR_WAITS_TIME, "task time: asleep, 3"},
      {"forever", waits_forever, TR_LIBRARY_WAIT_TIME, TR_WAITS_TIME, "task forever: asleep for "},
      {"cancel", waits_cancel, TR_LIBRARY_WAIT_CANCEL, TR_WAITS_STOP, "task cancel: idle in tr_wait_cancelled for "},
      {"descriptor", waits_descriptor, TR_LIBRARY_WAIT_DESCRIPTOR, TR_WAITS_DESCRIPTOR, "task descriptor: idle in tr_wait_fd for "},
      {"condition", waits_condition, TR_LIBRARY_WAIT_CONDITION, TR_WAITS_SIGNAL, "task condition: idle in tr_cond_wait for "},
      {"task", waits_task, TR_LIBRARY_WAIT_TASK, TR_WAITS_TASK, "task task: idle in a wait for task #"},
      {"token", waits_token, TR_LIBRARY_WAIT_TOKEN, TR_WAITS_TOKEN, "task token: idle in a wait for a token for "},
      {"tasks", waits_tasks, TR_LIBRARY_WAIT_TASKS, TR_WAITS_TASKS, "task tasks: idle in a wait for all tasks of a registry for "},
  };
  tr_registry *registry = registry_new(), *others = registry_new();
  struct gate deaf = GATE_INIT;
  struct waits waits = {.started = GATE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER};
  CHECK_EQ(0, pipe(waits.pipe));
  waits.token = tr_token_create();
  waits.registry = registry;
  waits.group = others;
  waits.other = spawn(others, "other", body_deaf, &deaf);
  gate_await(&deaf, 1);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    static char text[65536];
    int64_t before = now_ns();
    waits.started = (struct gate)GATE_INIT;
    tr_task *task = spawn(registry, kinds[i].name, kinds[i].body, &waits);
    gate_await(&waits.started, 1);
    tr_straggler found;
    for (int64_t until = now_ns() + AT_ONCE;;) { /* spent creating its thread, it may look busy at first */
      found = straggler_once(registry, kinds[i].name, TR_DIAGNOSIS_IDLE, text, sizeof text);
      if (found.library_wait == kinds[i].kind) break;
      CHECK(now_ns() < until);
    }
    CHECK_MSG(strstr(text, kinds[i].words) != NULL, "%.400s", text);
    CHECK(found.library_waited_ns >= 0 && found.library_waited_ns <= now_ns() - before);
    uint64_t object = kinds[i].kind == TR_LIBRARY_WAIT_DESCRIPTOR ? (uint64_t)waits.pipe[0]
                      : kinds[i].kind == TR_LIBRARY_WAIT_TASK     ? tr_task_id(waits.other)
                                                          : 0;
    CHECK(found.library_wait_object == object);
    CHECK_EQ(kinds[i].edge, found.waits_for);
    CHECK_EQ(kinds[i].edge == TR_WAITS_DESCRIPTOR ? waits.pipe[0] : -1, found.wait_fd);
    CHECK_EQ(kinds[i].edge == TR_WAITS_DESCRIPTOR ? TR_DESCRIPTOR_PIPE : 0, found.descriptor_kind);
    CHECK(found.holder_task_id == (kinds[i].edge == TR_WAITS_TASK ? object : 0));
    CHECK_EQ(0, found.holder_thread_id); /* that one is of another registry */
    if (kinds[i].kind == TR_LIBRARY_WAIT_TASK) {
      char words[128];
      snprintf(words, sizeof words, "%s%llu for ", kinds[i].words, (unsigned long long)object);
      CHECK_MSG(strstr(text, words) != NULL, "%.400s", text);
    }
    if (kinds[i].body == waits_time)
      CHECK(found.library_wait_remaining_ns > 3500 * SECOND && found.library_wait_remaining_ns <= 3600 * SECOND);
    else
      CHECK_EQ(-1, found.library_wait_remaining_ns);
    TR_IGNORE(tr_task_cancel(task));
    wait_and_release(task);
    /* In the same thread, most likely. */
    struct gate gate = GATE_INIT;
    tr_task *after = spawn(registry, "after", body_deaf, &gate);
    gate_await(&gate, 1);
    found = straggler_once(registry, "after", TR_DIAGNOSIS_BLOCKED, text, sizeof text);
    CHECK_EQ(TR_LIBRARY_WAIT_NONE, found.library_wait);
    CHECK(found.library_waited_ns == -1 && found.library_wait_remaining_ns == -1);
    gate_open(&gate);
    wait_and_release(after);
  }
  gate_open(&deaf);
  wait_and_release(waits.other);
  registry_finish(others);
  registry_finish(registry);
  tr_token_release(waits.token);
  close(waits.pipe[0]);
  close(waits.pipe[1]);
}

/* Proves: a task that tr_cond_wait has woken, and that waits to lock the mutex again, is blocked, not idle (E15).  Why it
   matters: somebody holds that mutex, and that is who has to be found.  Catches: a note that is believed without a look at
   what the thread does. */
CASE(a_task_that_wants_its_mutex_again_is_blocked) {
  tr_registry *registry = registry_new();
  struct waits waits = {.started = GATE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER};
  static char text[65536];
  tr_task *task = spawn(registry, "condition", waits_condition, &waits);
  gate_await(&waits.started, 1);
  tr_straggler found = straggler_once(registry, "condition", TR_DIAGNOSIS_IDLE, text, sizeof text);
  CHECK_EQ(TR_LIBRARY_WAIT_CONDITION, found.library_wait);
  CHECK_EQ(0, pthread_mutex_lock(&waits.mutex));
  atomic_store(&waits.released, 1);
  CHECK_EQ(0, pthread_cond_signal(&waits.condition));
  found = straggler_once(registry, "condition", TR_DIAGNOSIS_BLOCKED, text, sizeof text);
  CHECK_EQ(TR_LIBRARY_WAIT_NONE, found.library_wait);
  CHECK(strstr(text, "blocked in futex") != NULL);
  CHECK_EQ(0, pthread_mutex_unlock(&waits.mutex));
  wait_and_release(task);
  registry_finish(registry);
}

/* Spawns a task that tr_cond_wait has woken, and that waits for the mutex again: the caller holds that. */
static tr_task *spawn_wanting_its_mutex(tr_registry *registry, struct waits *waits, int64_t heartbeat) {
  static char text[65536];
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  tr_task *task = NULL;
  how.heartbeat_ns = heartbeat;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "condition", TR_KIND_MAINTENANCE, waits_condition, waits, &how, &task));
  gate_await(&waits->started, 1);
  CHECK_EQ(0, pthread_mutex_lock(&waits->mutex));
  atomic_store(&waits->released, 1);
  CHECK_EQ(0, pthread_cond_signal(&waits->condition));
  straggler_once(registry, "condition", TR_DIAGNOSIS_BLOCKED, text, sizeof text);
  return task;
}

/* Proves: the event of a stall and tr_health do not call a task idle that tr_cond_wait has woken and that waits for the
   mutex (E15).  Why it matters: who reads "idle" looks no further, and somebody holds that mutex.  Catches: a note that
   is believed there without a look at the thread. */
CASE(a_stall_at_the_mutex_is_not_idle) {
  int is_in_time = 0;
  for (int64_t interval = 200 * MS * check_scale(); !is_in_time; interval *= 2) {
    struct events events = EVENTS_INIT;
    struct event stall;
    struct waits waits = {.started = GATE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER};
    tr_registry *registry = registry_noting(&events, 0);
    tr_task *task = spawn_wanting_its_mutex(registry, &waits, interval);
    is_in_time = tr_health(registry, NULL, 0, NULL) == TR_OK; /* it waited for the mutex before it was late */
    tr_task_summary summary = TR_TASK_SUMMARY_INIT;
    size_t count = 0;
    while (tr_health(registry, &summary, 1, &count) != TR_ERR_STALLED) breathe();
    CHECK_EQ(TR_LIBRARY_WAIT_NONE, summary.library_wait);
    CHECK_EQ(-1, summary.library_waited_ns);
    while (events_of(&events, TR_EVENT_TASK_STALLED, &stall) == 0) breathe();
    if (is_in_time) CHECK_MSG(strstr(stall.message, "idle") == NULL, "%s", stall.message);
    CHECK_EQ(0, pthread_mutex_unlock(&waits.mutex));
    wait_and_release(task);
    registry_finish(registry);
  }
}

/* Proves: a task that was asked to stop and is still idle, because it is in a shield or drains, has that behind it, with
   the task it waits for, and one that was not asked has not (E15).  Why it matters: else its flag would end the wait, and
   it would be taken for one that stops at once.  Catches: the same words for both; a shield that is shown too early. */
CASE(a_wait_that_the_flag_does_not_end_says_so) {
  static char text[65536];
  tr_registry *registry = registry_new(), *others = registry_new();
  struct gate deaf = GATE_INIT;
  struct waits waits = {.started = GATE_INIT};
  waits.other = spawn(others, "other", body_deaf, &deaf);
  tr_task *shielded = spawn(registry, "shielded", waits_in_a_shield, &waits);
  tr_task *draining = spawn(registry, "draining", waits_draining, &waits);
  gate_await(&waits.started, 2);
  static const char *const words[] = {" (shielded)\n", " (draining)\n"};
  for (int asked = 0; asked < 2; asked++) {
    for (int i = 0; i < 2; i++) {
      straggler_once(registry, i == 0 ? "shielded" : "draining", TR_DIAGNOSIS_IDLE, text, sizeof text);
      const char *found = strstr(text, words[i]);
      CHECK_MSG((found != NULL) == asked, "%.400s", text);
    }
    if (asked) break;
    CHECK_EQ(TR_OK, tr_task_cancel(shielded));
    CHECK_EQ(TR_OK, tr_task_cancel(draining));
  }
  char line[128];
  snprintf(line, sizeof line, "task shielded: idle in a wait for task #%llu for ",
           (unsigned long long)tr_task_id(waits.other));
  CHECK_MSG(strstr(text, "task draining: idle in tr_wait_cancelled for ") != NULL, "%.400s", text);
  straggler_once(registry, "shielded", TR_DIAGNOSIS_IDLE, text, sizeof text);
  CHECK_MSG(strstr(text, line) != NULL, "%.400s", text);
  CHECK_EQ(TR_OK, tr_task_abort(draining));
  wait_and_release(draining);
  gate_open(&deaf);
  wait_and_release(shielded); /* which uses the handle of the other */
  wait_and_release(waits.other);
  registry_finish(others);
  registry_finish(registry);
}

/* Proves: systemd's status names the wait of a task in a shield, and calls one that waits for the mutex of its
   tr_cond_wait nothing (E15).  Why it matters: "idle" there says that nothing is wrong with the task.  Catches: a note
   that is believed there without a look at the thread. */
CASE(a_status_does_not_call_a_wait_for_a_mutex_idle) {
  char address[64], text[4096];
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(address, sizeof address, "@taskreg-idle-%d", (int)getpid());
  size_t length = strlen(address);
  memcpy(name.sun_path + 1, address + 1, length - 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  CHECK_EQ(0, bind(fd, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
  tr_registry *registry = registry_new(), *others = registry_new();
  struct gate deaf = GATE_INIT;
  struct waits waits = {.started = GATE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER};
  struct waits in_shield = {.started = GATE_INIT};
  in_shield.other = spawn(others, "other", body_deaf, &deaf);
  tr_task *shielded = spawn(registry, "shielded", waits_in_a_shield, &in_shield);
  gate_await(&in_shield.started, 1);
  straggler_once(registry, "shielded", TR_DIAGNOSIS_IDLE, text, sizeof text);
  tr_task *task = spawn_wanting_its_mutex(registry, &waits, 0);
  tr_systemd_options options = TR_SYSTEMD_OPTIONS_INIT;
  options.socket = address;
  options.status_ns = 20 * MS;
  CHECK_EQ(TR_OK, tr_systemd_start(registry, &options));
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "stop"));
  char expected[128];
  snprintf(expected, sizeof expected, "shielded, idle in a wait for task #%llu (shielded)",
           (unsigned long long)tr_task_id(in_shield.other));
  /* Until it sleeps again: the request to stop has woken it. */
  do {
    ssize_t got = recv(fd, text, sizeof text - 1, 0);
    CHECK(got > 0);
    text[got] = 0;
  } while (strstr(text, "STATUS=stopping: ") == NULL || strstr(text, expected) == NULL);
  CHECK_MSG(strstr(text, "condition") != NULL && strstr(text, "condition, idle") == NULL, "%.400s", text);
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  CHECK_EQ(0, pthread_mutex_unlock(&waits.mutex));
  gate_open(&deaf);
  wait_and_release(shielded);
  wait_and_release(in_shield.other);
  wait_and_release(task);
  registry_finish(others);
  registry_finish(registry);
  close(fd);
}

static int body_stalls_in_a_wait(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  return tr_sleep(FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* Proves: tr_health, and the event of a stall, say that the task is in a wait of the library (E15).  Why it matters: the
   cure is TR_HEARTBEAT_EXCEPT_WAITS, not a search for a lock.  Catches: a wait that is not looked up there. */
CASE(a_stall_in_a_wait_says_so) {
  struct events events = EVENTS_INIT;
  tr_registry *registry = registry_noting(&events, 0);
  struct gate gate = GATE_INIT;
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.heartbeat_ns = 20 * MS;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "stalls", TR_KIND_MAINTENANCE, body_stalls_in_a_wait, &gate, &how, NULL));
  gate_await(&gate, 1);
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  while (tr_health(registry, &summary, 1, &count) != TR_ERR_STALLED) breathe();
  CHECK_EQ(TR_LIBRARY_WAIT_TIME, summary.library_wait);
  CHECK(summary.library_waited_ns > 0);
  CHECK_EQ(TR_OK, tr_snapshot(registry, &summary, 1, &count));
  CHECK_EQ(TR_LIBRARY_WAIT_NONE, summary.library_wait);
  CHECK_EQ(-1, summary.library_waited_ns);
  struct event stall;
  while (events_of(&events, TR_EVENT_TASK_STALLED, &stall) == 0) breathe();
  registry_finish(registry);
  CHECK_MSG(strstr(stall.message, ", asleep for ") != NULL, "%s", stall.message);
}

static int body_spins(tr_task *self, void *ctx) {
  (void)self;
  while (!atomic_load((atomic_int *)ctx)) continue;
  return 0;
}

/* Proves: of tasks that share one processor, each report has the time that each thread has waited for it, and it grows;
   that of a task that sleeps does not; and the text says so of one that waits for it now (E15).
   Why it matters: a task that spins and one that starves look the same, and the cure of the second is not in its code.
   Catches: a time that is the thread's CPU time; one that is not read. */
CASE(a_task_without_a_processor_shows_it) {
  if (access("/proc/self/schedstat", R_OK) != 0) {
    printf("not tried: this kernel has no schedstat\n");
    return;
  }
  cpu_set_t before, one;
  CHECK_EQ(0, sched_getaffinity(0, sizeof before, &before));
  int cpu = 0;
  while (!CPU_ISSET(cpu, &before)) cpu++;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  CHECK_EQ(0, sched_setaffinity(0, sizeof one, &one));
  tr_registry *registry = registry_new();
  struct waits waits = {.started = GATE_INIT};
  atomic_int stop = 0;
  tr_task *sleeper = spawn(registry, "sleeper", waits_forever, &waits);
  gate_await(&waits.started, 1);
  tr_task *spinners[3];
  static const char *const names[] = {"spinner 0", "spinner 1", "spinner 2"};
  for (int i = 0; i < 3; i++) spinners[i] = spawn(registry, names[i], body_spins, &stop);
  CHECK_EQ(0, sched_setaffinity(0, sizeof before, &before));
  int64_t waited[3] = {0}, slept = 0;
  int told = 0;
  for (int64_t end = now_ns() + AT_ONCE;; breathe()) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    slept = straggler_called(report, "sleeper").run_queue_ns;
    for (int i = 0; i < 3; i++) {
      tr_straggler straggler = straggler_called(report, names[i]);
      waited[i] = straggler.run_queue_ns;
    }
    static char text[1 << 14];
    size_t length = 0;
    CHECK(tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length) == TR_OK);
    told |= strstr(text, "; its thread has waited for a processor for ") != NULL;
    tr_report_release(report);
    if (waited[0] > 150 * MS && waited[1] > 150 * MS && waited[2] > 150 * MS && told) break;
    CHECK_MSG(now_ns() < end, "%lld, %lld, %lld", (long long)waited[0], (long long)waited[1], (long long)waited[2]);
  }
  CHECK_MSG(slept >= 0 && slept < waited[0], "%lld of the sleeper, %lld of a spinner", (long long)slept, (long long)waited[0]);
  atomic_store(&stop, 1);
  for (int i = 0; i < 3; i++) wait_and_release(spinners[i]);
  CHECK_EQ(TR_OK, tr_task_cancel(sleeper));
  wait_and_release(sleeper);
  registry_finish(registry);
}

CHECK_MAIN(CHECK_ENTRY(a_task_without_a_processor_shows_it), CHECK_ENTRY(a_task_in_a_wait_is_idle),
           CHECK_ENTRY(a_task_that_wants_its_mutex_again_is_blocked),
           CHECK_ENTRY(a_stall_at_the_mutex_is_not_idle),
           CHECK_ENTRY(a_wait_that_the_flag_does_not_end_says_so),
           CHECK_ENTRY(a_status_does_not_call_a_wait_for_a_mutex_idle),
           CHECK_ENTRY(a_stall_in_a_wait_says_so))
