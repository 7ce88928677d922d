/* heartbeats.c - tasks with heartbeat intervals, and the events when they miss one. Rule E7, with
   O2, T3, S4, P1, P4. */

#include "forking.h"
#include "stalls.h"

static size_t stalled_count(tr_registry *registry) {
  size_t count = 4711;
  tr_status status = tr_health(registry, NULL, 0, &count);
  CHECK_EQ(count == 0 ? TR_OK : TR_ERR_STALLED, status);
  /* Without a count: the same, or what has become of it since. */
  tr_status again = tr_health(registry, NULL, 0, NULL);
  CHECK(again == status || again == tr_health(registry, NULL, 0, NULL));
  return count;
}

/* Proves: a task that misses a heartbeat is reported once, on a thread of the library's, as a
   warning with its name, id and kind, the time since its last heartbeat and its interval; it is
   listed by tr_health and as stalled in snapshots; its next heartbeat is reported as its recovery,
   on its own thread, and it can stall again; tasks that report heartbeats, and those without an
   interval, are never named (E7, O2). Why it matters: this is how a hang is detected while no
   shutdown is under way. Catches: a report at every check; a watch that is not armed again; a
   heartbeat that is not stored. */
CASE(a_stall_and_its_end_are_reported) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with(log_adds, &log);
  struct puppet puppet;
  puppet_init(&puppet);
  struct gate gate = GATE_INIT;
  int64_t interval = 50 * MS;
  tr_task *silent = spawn(registry, "no interval", body_deaf, &gate);
  tr_task *far = spawn_with_interval(registry, "in time", 3600 * SECOND, body_deaf, &gate, NULL);
  int64_t before = now_ns();
  tr_task *task = spawn_with_interval(registry, "peer 1.2.3.4", interval, body_is_puppet, &puppet, NULL);
  for (int round = 0; round < 3; round++) {
    struct heard stalled = log_await(&log, 2 * round);
    int64_t silence_most = now_ns() - before;
    CHECK(silence_most >= interval);
    CHECK_EQ(TR_EVENT_TASK_STALLED, stalled.event);
    CHECK_EQ(TR_LOG_WARNING, stalled.level);
    CHECK_EQ(TR_KIND_RPC_HANDLER, stalled.kind);
    CHECK_EQ(tr_task_id(task), stalled.id);
    CHECK_EQ(0, stalled.code);
    CHECK_STR("peer 1.2.3.4", stalled.task);
    CHECK_STR("taskreg-events", stalled.thread);
    CHECK(strncmp("no heartbeat for ", stalled.message, 17) == 0);
    char *end;
    double silence = read_duration(stalled.message + 17, &end);
    CHECK_STR(", heartbeat interval 50.0 ms", end);
    CHECK(silence >= (double)interval && silence <= (double)silence_most);

    tr_task_summary summary = TR_TASK_SUMMARY_INIT, listed;
    size_t count = 0;
    CHECK_EQ(TR_ERR_STALLED, tr_health(registry, &summary, 1, &count));
    CHECK_EQ(1, count);
    CHECK_EQ(tr_task_id(task), summary.id);
    CHECK_EQ(1, summary.stalled);
    CHECK_STR("peer 1.2.3.4", summary.name);
    CHECK(find_in_snapshot(registry, tr_task_id(task), &listed));
    CHECK_EQ(1, listed.stalled);
    CHECK(find_in_snapshot(registry, tr_task_id(silent), &listed));
    CHECK_EQ(0, listed.stalled);

    timer_thread_settles();
    CHECK_EQ(2 * round + 1, log_count(&log));
    before = now_ns();
    puppet_beats(&puppet);
    struct heard recovered = log_await(&log, 2 * round + 1);
    CHECK_EQ(TR_EVENT_TASK_RECOVERED, recovered.event);
    CHECK_EQ(TR_LOG_INFO, recovered.level);
    CHECK_EQ(TR_KIND_RPC_HANDLER, recovered.kind);
    CHECK_EQ(tr_task_id(task), recovered.id);
    CHECK_EQ(0, recovered.code);
    CHECK_STR("peer 1.2.3.4", recovered.task);
    CHECK_STR("peer 1.2.3.4", recovered.thread);
    CHECK(strncmp("a heartbeat again after ", recovered.message, 24) == 0);
    CHECK(read_duration(recovered.message + 24, &end) >= silence * 0.99);
    CHECK_STR("", end);
  }
  puppet_leaves(&puppet);
  wait_and_release(task);
  gate_open(&gate);
  wait_and_release(silent);
  wait_and_release(far);
  int count = log_count(&log);
  CHECK(count == 6 || (count == 7 && log.all[6].event == TR_EVENT_TASK_STALLED));
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_beats(tr_task *self, void *ctx) {
  atomic_int *stop = ctx;
  while (!atomic_load(stop) && !tr_task_is_cancelled(self)) {
    CHECK_EQ(TR_OK, tr_heartbeat());
    breathe();
  }
  return 0;
}

/* Proves: a task that reports heartbeats in time is never reported, through several intervals (E7).
   Why it matters: false alarms are switched off. Catches: a check that compares with the start
   instead of the last heartbeat. */
CASE(a_task_that_beats_is_left_alone) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with(log_adds, &log);
  atomic_int stop = 0;
  int64_t interval = 2 * SECOND * check_scale(), end = now_ns() + (check_scale() > 1 ? 0 : 5 * SECOND);
  tr_task *task = spawn_with_interval(registry, "beats", interval, body_beats, &stop, NULL);
  do CHECK_EQ(0, stalled_count(registry));
  while (breathe(), now_ns() < end);
  atomic_store(&stop, 1);
  wait_and_release(task);
  CHECK_EQ(0, log_count(&log));
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: a heartbeat while the stall is being reported does not wait for that, and is reported
   right after it (E7). Why it matters: the log must not hold the task up. Catches: an event between
   the two that is lost, or comes first. */
CASE(a_beat_during_the_report_is_reported_after_it) {
  static struct log log;
  struct gate gate = GATE_INIT;
  log_init(&log, &gate);
  tr_registry *registry = registry_with(log_adds, &log);
  struct puppet puppet;
  puppet_init(&puppet);
  tr_task *task = spawn_with_interval(registry, "beats late", 20 * MS, body_is_puppet, &puppet, NULL);
  gate_await(&gate, 1);
  puppet_beats(&puppet);
  puppet_beats(&puppet);
  CHECK_EQ(1, log_count(&log));
  gate_open(&gate);
  struct heard recovered = log_await(&log, 1);
  CHECK_EQ(TR_EVENT_TASK_RECOVERED, recovered.event);
  CHECK_EQ(tr_task_id(task), recovered.id);
  CHECK_STR("taskreg-events", recovered.thread);
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(&log, 2).event); /* it is watched again */
  puppet_leaves(&puppet);
  wait_and_release(task);
  registry_finish(registry);
  timer_thread_leaves();
}

/* The result of a callback that waits for the task of its event. */
struct waits_there {
  struct gate gate;
  tr_registry *registry, *other;
  tr_task *_Atomic task;
  tr_status wait, join, shutdown, other_join;
};

static void log_waits(void *context, const tr_log_event *event) {
  struct waits_there *waits = context;
  CHECK_EQ(TR_EVENT_TASK_STALLED, event->event);
  while (atomic_load(&waits->task) == NULL) breathe();
  waits->wait = tr_task_wait(atomic_load(&waits->task), FOREVER, NULL);
  waits->join = tr_join_all(waits->registry, FOREVER, NULL);
  waits->shutdown = tr_shutdown(waits->registry, TR_REASON_FATAL, NULL, FOREVER, NULL);
  waits->other_join = tr_join_all(waits->other, FOREVER, NULL);
  gate_pass(&waits->gate);
}

/* Proves: a task does not end while its stall is being reported, and a wait for it there fails (E7,
   O2, O3, J7). Why it matters: an event that names a task that has ended misleads the operator, and
   one that comes after the last task has ended finds a log's context freed. Catches: an end that
   does not wait; a deadlock in a callback that shuts down. */
CASE(the_end_waits_for_a_report) {
  struct waits_there waits = {GATE_INIT, NULL, registry_new(), NULL, 1, 1, 1, 1};
  waits.registry = registry_with(log_waits, &waits);
  struct puppet puppet;
  puppet_init(&puppet);
  tr_task *task = spawn_with_interval(waits.registry, "stalls", 20 * MS, body_is_puppet, &puppet, NULL);
  atomic_store(&waits.task, task);
  gate_await(&waits.gate, 1);
  CHECK_EQ(TR_ERR_DEADLOCK, waits.wait);
  CHECK_EQ(TR_ERR_DEADLOCK, waits.join);
  CHECK_EQ(TR_ERR_DEADLOCK, waits.shutdown);
  CHECK_EQ(TR_OK, waits.other_join);
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(waits.registry)));
  puppet_leaves(&puppet);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 100 * MS, NULL));
  CHECK_EQ(1, tr_len(waits.registry));
  gate_open(&waits.gate);
  wait_and_release(task);
  timer_thread_settles();
  registry_finish(waits.registry);
  registry_finish(waits.other);
  timer_thread_leaves();
}

static struct gate dropping;

static void drop_waits(void *ctx) {
  (void)ctx;
  CHECK_EQ(TR_OK, tr_heartbeat());
  gate_pass(&dropping);
}

static int body_ends_somehow(tr_task *self, void *ctx) {
  (void)self;
  if (*(int *)ctx) pthread_exit(NULL);
  return 0;
}

/* Proves: the interval lasts as long as the body, however that ends: what runs afterwards may take
   long (E7, S4). Why it matters: a drop cannot report heartbeats for a body that is over. Catches:
   a watch that is left behind; a task listed as stalled while it is being cleaned up. */
CASE(the_interval_ends_with_the_body) {
  for (int exits = 0; exits < 2; exits++) {
    static struct log log;
    log_init(&log, NULL);
    dropping = (struct gate)GATE_INIT;
    tr_registry *registry = registry_with(log_adds, &log);
    tr_task *task =
        spawn_with_interval(registry, "ends", 200 * MS * check_scale(), body_ends_somehow, &exits, drop_waits);
    gate_await(&dropping, 1);
    int64_t end = now_ns() + 300 * MS * check_scale();
    while (now_ns() < end) {
      CHECK_EQ(0, stalled_count(registry));
      breathe();
    }
    CHECK_EQ(0, log_count(&log));
    gate_open(&dropping);
    wait_and_release(task);
    registry_finish(registry);
    CHECK_EQ(exits, log_count(&log)); /* TR_EVENT_TASK_EXITED */
  }
  timer_thread_leaves();
}

static int body_beats_once(tr_task *self, void *ctx) {
  (void)self;
  *(tr_status *)ctx = tr_heartbeat();
  return 0;
}

/* Proves: tr_heartbeat is only for tasks, and for all of them; an interval of 0 is none, one beyond
   the clock's range is kept, a negative one is rejected, and a task without an interval is not
   stalled (E7, P4). Why it matters: a library calls it without knowing which task runs it. Catches:
   a sum that overflows. */
CASE(intervals_at_the_ends_of_their_range) {
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat());
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with(log_adds, &log);
  static const int64_t intervals[] = {0, INT64_MAX, INT64_MAX - 1, INT64_MAX / 2};
  for (size_t i = 0; i < sizeof intervals / sizeof *intervals; i++) {
    tr_status status = 1;
    wait_and_release(
        spawn_with_interval(registry, "beats once", intervals[i], body_beats_once, &status, NULL));
    CHECK_EQ(TR_OK, status);
    struct gate gate = GATE_INIT;
    tr_task *task = spawn_with_interval(registry, "silent", intervals[i], body_deaf, &gate, NULL);
    gate_await(&gate, 1);
    CHECK_EQ(0, stalled_count(registry));
    gate_open(&gate);
    wait_and_release(task);
  }
  static const int64_t invalid[] = {-1, INT64_MIN};
  for (size_t i = 0; i < 2; i++) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.heartbeat_ns = invalid[i];
    CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "never", TR_KIND_RPC_HANDLER, body_never, NULL,
                                           &options, NULL));
  }
  CHECK_EQ(2, log_count(&log)); /* the two invalid calls */
  registry_finish(registry);
  timer_thread_leaves();
}

/* Proves: tr_health lists stalls without a log, too; without an interval there is no timer thread,
   and with one it ends again (E7, O2). Why it matters: unused features cost nothing. Catches: a
   hold that is not released. */
CASE(the_thread_goes_with_the_intervals) {
  while (threads_called("taskreg-timer") > 0) breathe();
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *plain = spawn(registry, "plain", body_deaf, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(0, threads_called("taskreg-timer"));
  tr_task *task = spawn_with_interval(registry, "silent", 5 * MS, body_deaf, &gate, NULL);
  while (stalled_count(registry) == 0) breathe();
  gate_open(&gate);
  wait_and_release(task);
  wait_and_release(plain);
  CHECK_EQ(0, stalled_count(registry));
  registry_finish(registry);

  static struct log log;
  log_init(&log, NULL);
  registry = registry_with(log_adds, &log);
  wait_and_release(spawn_with_interval(registry, "brief", SECOND, body_returns, NULL, NULL));
  /* Nor is anything kept of a task that was rejected. */
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.heartbeat_ns = SECOND;
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn_with(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL,
                                        &options, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  registry_finish(registry);
  while (threads_called("taskreg-timer") > 0) breathe();
}

/* Proves: tr_health lists the stalled tasks of a registry and of the groups inside it, as many as
   there is room for, and counts all; an element of any accepted size, no registry and no invalid
   array (E7, T3, P4). Why it matters: a watchdog checks the root registry. Catches: groups left
   out; an index that counts the healthy ones, too. */
CASE(health_lists_the_stalled_tasks) {
  tr_registry *registry = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "net", NULL, &group));
  struct gate gate = GATE_INIT;
  tr_task *tasks[6];
  for (int i = 0; i < 6; i++)
    tasks[i] = spawn_with_interval(i % 2 ? group : registry, i < 3 ? "well" : "stalled",
                               i < 3 ? 3600 * SECOND : MS, body_deaf, &gate, NULL);
  while (stalled_count(registry) < 3) breathe();
  CHECK_EQ(2, stalled_count(group)); /* 3 and 5 */
  for (size_t capacity = 0; capacity < 5; capacity++) {
    tr_task_summary list[5];
    memset(list, 0xAA, sizeof list);
    list[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
    size_t count = 0;
    CHECK_EQ(TR_ERR_STALLED, tr_health(registry, list, capacity, &count));
    CHECK_EQ(3, count);
    for (size_t i = 0; i < capacity && i < 3; i++) {
      CHECK_EQ(sizeof list[0], list[i].size);
      CHECK_STR("stalled", list[i].name);
      CHECK_EQ(1, list[i].stalled);
      int known = 0;
      for (int t = 3; t < 6; t++)
        if (tr_task_id(tasks[t]) == list[i].id) {
          known = 1;
          CHECK_STR(t % 2 ? "net" : "", list[i].group);
        }
      CHECK(known);
      for (size_t other = 0; other < i; other++) CHECK(list[other].id != list[i].id);
    }
    for (size_t i = capacity < 3 ? (capacity == 0 ? 1 : capacity) : 3; i < 5; i++)
      CHECK_EQ(0xAA, ((unsigned char *)&list[i])[0]);
  }
  /* Elements of a later release. */
  static union {
    tr_task_summary first;
    unsigned char bytes[4096];
  } room;
  static const uint32_t sizes[] = {sizeof(tr_task_summary), sizeof(tr_task_summary) + 8, sizeof(tr_task_summary) + 64};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    memset(&room, 0xAA, sizeof room);
    room.first.size = sizes[s];
    size_t count = 0;
    CHECK_EQ(TR_ERR_STALLED, tr_health(registry, &room.first, 3, &count));
    for (size_t i = 0; i < 3; i++) {
      CHECK_EQ(sizes[s], *(uint32_t *)(void *)(room.bytes + i * sizes[s]));
      CHECK_STR("stalled", (char *)room.bytes + i * sizes[s] + offsetof(tr_task_summary, name));
      for (size_t at = sizeof(tr_task_summary); at < sizes[s]; at++)
        CHECK_EQ(0, room.bytes[i * sizes[s] + at]);
    }
    CHECK_EQ(0xAA, room.bytes[3 * sizes[s]]);
  }
  tr_task_summary one = TR_TASK_SUMMARY_INIT;
  size_t count = 4711;
  CHECK_EQ(TR_ERR_INVALID, tr_health(NULL, &one, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_health(registry, NULL, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_health(registry, &one, SIZE_MAX, &count));
  static const uint32_t senseless[] = {0, 1, 128, sizeof(tr_task_summary) - 8, sizeof(tr_task_summary) + 1, 65537, UINT32_MAX};
  for (size_t s = 0; s < sizeof senseless / sizeof *senseless; s++) {
    one.size = senseless[s];
    CHECK_EQ(TR_ERR_INVALID, tr_health(registry, &one, 1, &count));
  }
  CHECK_EQ(4711, count);
  gate_open(&gate);
  for (int i = 0; i < 6; i++) wait_and_release(tasks[i]);
  tr_registry_release(group);
  registry_finish(registry);
}

/* Proves: a stall in a group is reported to the group's log, or to that of the nearest ancestor
   that has one (E7, T3). Why it matters: a part of a program has its own log. Catches: the root
   registry's log for all. */
CASE(the_nearest_log_hears_of_it) {
  static struct log above, own;
  log_init(&above, NULL);
  log_init(&own, NULL);
  tr_registry *registry = registry_with(log_adds, &above), *with = NULL, *without = NULL;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_adds;
  options.log_context = &own;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "with", &options, &with));
  CHECK_EQ(TR_OK, tr_registry_child(registry, "without", NULL, &without));
  struct gate gate = GATE_INIT;
  tr_task *one = spawn_with_interval(with, "one", 10 * MS, body_deaf, &gate, NULL);
  tr_task *other = spawn_with_interval(without, "other", 10 * MS, body_deaf, &gate, NULL);
  struct heard of_own = log_await(&own, 0), of_above = log_await(&above, 0);
  CHECK_STR("one", of_own.task);
  CHECK_STR("other", of_above.task);
  gate_open(&gate);
  wait_and_release(one);
  wait_and_release(other);
  CHECK_EQ(1, log_count(&own));
  CHECK_EQ(1, log_count(&above));
  tr_registry_release(with);
  tr_registry_release(without);
  registry_finish(registry);
  timer_thread_leaves();
}

/* One of many tasks that report heartbeats at random. */
struct random_beats {
  unsigned random;
  atomic_int *stop;
};

static int body_beats_at_random(tr_task *self, void *ctx) {
  (void)self;
  struct random_beats *beats = ctx;
  for (int i = 0; i < 40 && !atomic_load(beats->stop); i++) {
    beats->random = beats->random * 1664525u + 1013904223u;
    struct timespec moment = {0, (beats->random >> 8) % 1000000};
    nanosleep(&moment, NULL);
    CHECK_EQ(TR_OK, tr_heartbeat());
  }
  if (beats->random & 0x100) pthread_exit(NULL);
  return 0;
}

/* Claim: whenever tasks report heartbeats, while they are found stalled or not, and whenever they
   end, the events of each alternate, a stall first; none comes after its task has ended. Proves:
   that (E7). Why it matters: a count of stalls and recoveries must balance. Catches: a stage that
   is changed without the lock; a report that the end does not wait for. */
CASE(the_events_of_a_task_alternate) {
  static struct log log;
  enum { tasks = 4 };
  atomic_int stop = 0;
  int most = check_rounds(50);
  for (int round = 0; round < most; round++) {
    log_init(&log, NULL);
    tr_registry *registry = registry_with(log_adds, &log);
    struct random_beats beats[tasks];
    tr_task *all[tasks];
    for (int i = 0; i < tasks; i++) {
      beats[i] = (struct random_beats){(unsigned)(round * tasks + i) * 7919u, &stop};
      all[i] = spawn_with_interval(registry, "random", 300000 + 100000 * i, body_beats_at_random, &beats[i],
                               NULL);
    }
    for (int i = 0; i < tasks; i++) {
      CHECK_EQ(TR_OK, tr_task_wait(all[i], FOREVER, NULL));
      pthread_mutex_lock(&log.lock);
      int is_stalled = 0, stalls = 0;
      for (int at = 0; at < log.count; at++) {
        if (log.all[at].id != tr_task_id(all[i]) || log.all[at].event == TR_EVENT_TASK_EXITED) continue;
        CHECK_EQ(is_stalled ? TR_EVENT_TASK_RECOVERED : TR_EVENT_TASK_STALLED, log.all[at].event);
        is_stalled = !is_stalled;
        stalls += is_stalled;
      }
      beats[i].random = (unsigned)stalls;
      pthread_mutex_unlock(&log.lock);
    }
    registry_finish(registry);
    for (int i = 0; i < tasks; i++) {
      int stalls = 0; /* none after the end */
      for (int at = 0; at < log.count; at++)
        stalls += log.all[at].id == tr_task_id(all[i]) && log.all[at].event == TR_EVENT_TASK_STALLED;
      CHECK_EQ(beats[i].random, stalls);
      tr_task_release(all[i]);
    }
  }
  timer_thread_leaves();
}

/* Proves: a registry whose last reference is released while a stall of its task is being reported
   lives until that is done (E7, G3). Why it matters: tasks outlive the code that spawned them.
   Catches: a report that uses memory it does not hold. */
CASE(a_report_outlives_the_last_reference) {
  int threads = thread_baseline();
  for (int round = 0; round < 5; round++) {
    static struct log log;
    struct gate gate = GATE_INIT;
    log_init(&log, &gate);
    tr_registry *registry = registry_with(log_adds, &log);
    struct puppet puppet;
    puppet_init(&puppet);
    tr_task *task = spawn_with_interval(registry, "orphan", 5 * MS, body_is_puppet, &puppet, NULL);
    tr_registry_release(registry);
    gate_await(&gate, 1);
    puppet_leaves(&puppet);
    gate_open(&gate);
    wait_and_release(task);
  }
  timer_thread_settles();
  threads_settle(threads + threads_called("taskreg-timer"), AT_ONCE);
  registry_finish(registry_new()); /* frees what is left of the others */
  timer_thread_leaves();
}

/* ---- Intervals that change, and those of other threads
   ---------------------------------------- */

/* Sleep, as a busy task would. */
static void stay_silent(int64_t for_ns) {
  struct timespec left = {for_ns / SECOND, for_ns % SECOND};
  while (nanosleep(&left, &left) != 0) CHECK(errno == EINTR);
}

/* What a task does with its interval, step by step. */
struct watched {
  tr_registry *registry;
  struct log *log;
};

static int body_changes_its_interval(tr_task *self, void *ctx) {
  (void)self;
  struct watched *watched = ctx;
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat_pause());
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat_resume());
  int heard = log_count(watched->log); /* of the two */
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 10 * MS, 0));
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(watched->log, heard++).event);
    CHECK_EQ(1, stalled_count(watched->registry));
    CHECK_EQ(TR_OK, tr_heartbeat_pause()); /* counts as a heartbeat */
    CHECK_EQ(TR_OK, tr_heartbeat_pause());
    CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(watched->log, heard++).event);
    stay_silent(60 * MS);
    CHECK_EQ(TR_OK, tr_heartbeat()); /* changes nothing */
    stay_silent(60 * MS);
    CHECK_EQ(0, stalled_count(watched->registry));
    CHECK_EQ(heard, log_count(watched->log));
    CHECK_EQ(TR_OK, tr_heartbeat_resume());
  }
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(watched->log, heard++).event);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(watched->registry, 3600 * SECOND, 0)); /* a longer one */
  CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(watched->log, heard++).event);
  stay_silent(60 * MS);
  CHECK_EQ(heard, log_count(watched->log));
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, MS, 0)); /* a shorter one, though the next check was
                                                         far away */
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(watched->log, heard++).event);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0)); /* none */
  CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(watched->log, heard++).event);
  stay_silent(60 * MS);
  CHECK_EQ(0, stalled_count(watched->registry));
  CHECK_EQ(heard, log_count(watched->log));
  return 0;
}

/* Proves: a task without an interval can set one, change it, pause and resume it, each of which
   counts as a heartbeat; a paused task is never stalled, whatever heartbeats come meanwhile; a
   shorter interval holds at once (E7). Why it matters: a migration that takes an hour is known
   beforehand. Catches: a timer that is not queued again after a pause; a heartbeat that ends it; a
   change that waits for the old interval. */
CASE(an_interval_is_changed_and_paused) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with(log_adds, &log);
  struct watched watched = {registry, &log};
  wait_and_release(spawn(registry, "migrates", body_changes_its_interval, &watched));
  registry_finish(registry);
  timer_thread_leaves();
}

static void log_adds_slowly(void *ctx, const tr_log_event *event) {
  if (event->event == TR_EVENT_TASK_RECOVERED) stay_silent(60 * MS);
  log_adds(ctx, event);
}

static int body_pauses_and_changes(tr_task *self, void *ctx) {
  (void)self;
  struct watched *watched = ctx;
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 10 * MS, 0));
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(watched->log, 0).event);
  CHECK_EQ(TR_OK, tr_heartbeat_pause());
  CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(watched->log, 1).event);
  stay_silent(60 * MS);
  CHECK_EQ(2, log_count(watched->log));
  CHECK_EQ(TR_OK, tr_heartbeat_resume());
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(watched->log, 2).event);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 3600 * SECOND, 0));
  CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(watched->log, 3).event);
  stay_silent(60 * MS);
  CHECK_EQ(4, log_count(watched->log));
  return 0;
}

/* Proves: a pause, or another interval, holds from the call on, although the event of the recovery that it makes takes
   several of the old intervals (E7).  Why it matters: a log that writes to a slow disk would make of each pause a stall.
   Catches: an interval that is changed after that event, where the timer thread is quicker than the task: under valgrind. */
CASE(a_slow_log_makes_no_paused_task_stalled) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with(log_adds_slowly, &log);
  struct watched watched = {registry, &log};
  wait_and_release(spawn(registry, "pauses", body_pauses_and_changes, &watched));
  CHECK_EQ(4, log_count(&log));
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_loops_in_waits(tr_task *self, void *ctx) {
  (void)self;
  struct watched *watched = ctx;
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 20 * MS * check_scale(), TR_HEARTBEAT_EXCEPT_WAITS));
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  tr_token *token = tr_token_create();
  int64_t much = 100 * MS * check_scale();
  CHECK_EQ(TR_OK, tr_sleep(much));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fd(ends[0], 1 /* POLLIN */, much));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_cancelled(much));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait(token, much));
  pthread_mutex_lock(&mutex);
  tr_status status;
  while ((status = tr_cond_wait(&cond, &mutex, much)) == TR_OK) continue;
  CHECK_EQ(TR_ERR_TIMEDOUT, status);
  pthread_mutex_unlock(&mutex);
  CHECK_EQ(0, log_count(watched->log));
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(watched->log, 0).event); /* outside of them it is held to it */
  CHECK_EQ(TR_OK, tr_sleep(MS));
  CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(watched->log, 1).event);
  tr_token_release(token);
  close(ends[0]);
  close(ends[1]);
  return 0;
}

/* Proves: with TR_HEARTBEAT_EXCEPT_WAITS the time in the library's waits does not count, and the
   end of each is a heartbeat; a stall outside of them is found (E7). Why it matters: a loop that
   waits for its next event cannot say how long that takes. Catches: a kind of wait that is
   forgotten; a watch that does not check again after one. */
CASE(waits_are_left_out_if_so_asked) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with(log_adds, &log);
  struct watched watched = {registry, &log};
  wait_and_release(spawn(registry, "event loop", body_loops_in_waits, &watched));
  registry_finish(registry);
  timer_thread_leaves();
}

static void *thread_sets_interval(void *argument) {
  struct watched *watched = argument;
  pthread_setname_np(pthread_self(), "main loop");
  CHECK_EQ(TR_OK, tr_heartbeat_promise(watched->registry, 10 * MS, 0));
  struct heard stalled = log_await(watched->log, 0);
  CHECK_EQ(TR_EVENT_TASK_STALLED, stalled.event);
  CHECK_EQ(0, stalled.id);
  CHECK_STR("main loop", stalled.task);
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  CHECK_EQ(TR_ERR_STALLED, tr_health(watched->registry, &summary, 1, &count));
  CHECK_EQ(1, count);
  CHECK_EQ(0, summary.id);
  CHECK_STR("main loop", summary.name);
  CHECK_EQ(gettid(), summary.thread_id);
  CHECK_EQ(1, summary.stalled);
  CHECK_EQ(TR_OK, tr_heartbeat());
  CHECK_EQ(TR_EVENT_TASK_RECOVERED, log_await(watched->log, 1).event);
  CHECK_EQ(TR_EVENT_TASK_STALLED, log_await(watched->log, 2).event);
  return NULL; /* without taking it back */
}

/* Proves: a thread that is not a task can set an interval: its stalls are reported with its name,
   and listed; the interval ends with the thread, or when it is removed (E7). Why it matters: main's
   event loop can hang too. Catches: an interval that outlives its thread. */
CASE(any_thread_can_have_an_interval) {
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with(log_adds, &log);
  struct watched watched = {registry, &log};
  pthread_t thread;
  CHECK_EQ(0, pthread_create(&thread, NULL, thread_sets_interval, &watched));
  CHECK_EQ(0, pthread_join(thread, NULL));
  CHECK_EQ(0, stalled_count(registry));
  CHECK_EQ(TR_OK, tr_heartbeat_promise(registry, MS, 0));
  while (stalled_count(registry) == 0) breathe();
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0));
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0)); /* there is none */
  CHECK_EQ(0, stalled_count(registry));
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat());
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat_promise(NULL, MS, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat_promise(registry, -1, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat_promise(registry, MS, 2));
  timer_thread_settles();
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_sets_interval_and_ends(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 3600 * SECOND, 0));
  if (ctx != NULL) pthread_exit(NULL);
  return 0;
}

static void drop_sets_interval(void *ctx) {
  (void)ctx;
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat_promise(NULL, MS, 0));
}

/* Proves: an interval that a task sets in its body ends with the body, however that ends, and none
   can be set afterwards, with an earlier one or without: nothing is watched then, and the timer
   thread ends (E7, C11). Why it matters: the memory of the task's record is the next task's.
   Catches: the end of only those intervals that the spawner set. */
CASE(an_interval_set_in_the_body_ends_with_it) {
  tr_registry *registry = registry_new();
  static int leaves;
  for (int round = 0; round < 40; round++) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.drop = drop_sets_interval;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK,
             tr_spawn_with(registry, "sets one", TR_KIND_RPC_HANDLER,
                           round % 4 == 3 ? body_returns : body_sets_interval_and_ends,
                           round % 4 == 1 ? &leaves : NULL, &options, &task));
    wait_and_release(task);
    CHECK_EQ(0, stalled_count(registry));
  }
  while (threads_called("taskreg-timer") > 0) breathe();
  registry_finish(registry);
  timer_thread_leaves();
}

/* The acts of a log callback for a stalled thread. */
struct ends_there {
  struct gate gate;
  tr_registry *registry;
  atomic_int shuts_down, calls, is_back;
  _Atomic(tr_status) shutdown, withdrawal, change;
  _Atomic(pid_t) thread_id;
};

static void log_ends(void *context, const tr_log_event *event) {
  struct ends_there *ends = context;
  if (event->event == TR_EVENT_TASK_RECOVERED) {
    ends->withdrawal = tr_heartbeat_promise(NULL, 0, 0);
    ends->change = tr_heartbeat_promise(ends->registry, MS, 0);
    gate_arrive(&ends->gate);
    return;
  }
  if (event->event != TR_EVENT_TASK_STALLED) return;
  atomic_fetch_add(&ends->calls, 1);
  if (atomic_load(&ends->shuts_down)) {
    ends->shutdown = tr_shutdown(ends->registry, TR_REASON_FATAL, NULL, FOREVER, NULL);
    gate_arrive(&ends->gate);
    return;
  }
  gate_pass(&ends->gate);
  atomic_store(&ends->is_back, 1);
}

static void *thread_shuts_down(void *argument) {
  struct ends_there *ends = argument;
  tr_status status;
  atomic_store(&ends->thread_id, gettid());
  while ((status = tr_shutdown(ends->registry, TR_REASON_FATAL, NULL, FOREVER, NULL)) == TR_ERR_DEADLINE) continue;
  CHECK_EQ(TR_OK, status);
  CHECK(atomic_load(&ends->is_back));
  return NULL;
}

/* Proves: a shutdown waits for the log callback for a thread's stall, and ends the intervals of
   threads, in groups as well: no event comes after it, the timer thread ends, and no interval can
   be set; a heartbeat does no harm (E7, O2, G4). Why it matters: a log's context is freed after the
   shutdown, and main's loop has no reason to remove its interval. Catches: a callback that is under
   way when the shutdown returns; an interval that holds the timer thread indefinitely. */
CASE(a_shutdown_ends_the_intervals_of_threads) {
  for (int in_group = 0; in_group < 2; in_group++) {
    static struct ends_there ends;
    ends = (struct ends_there){.gate = GATE_INIT};
    tr_registry *above = registry_with(log_ends, &ends), *group = NULL;
    CHECK_EQ(TR_OK, tr_registry_child(above, "loops", NULL, &group));
    ends.registry = in_group ? group : above;
    CHECK_EQ(TR_OK, tr_heartbeat_promise(group, MS, 0));
    gate_await(&ends.gate, 1);
    CHECK_EQ(1, stalled_count(above));
    pthread_t thread;
    CHECK_EQ(0, pthread_create(&thread, NULL, thread_shuts_down, &ends));
    await_asleep(&ends.thread_id);
    gate_open(&ends.gate);
    CHECK_EQ(0, pthread_join(thread, NULL));
    CHECK_EQ(0, stalled_count(above));
    CHECK_EQ(TR_OK, tr_heartbeat());
    CHECK_EQ(1, atomic_load(&ends.calls));
    while (threads_called("taskreg-timer") > 0) breathe();
    CHECK_EQ(TR_ERR_CLOSED, tr_heartbeat_promise(group, MS, 0));
    CHECK_EQ(TR_ERR_INVALID, tr_heartbeat()); /* the old interval has ended */
    CHECK_EQ(1, atomic_load(&ends.calls));
    tr_registry_release(group);
    registry_finish(above);
  }
  timer_thread_leaves();
}

/* Proves: the log callback for a thread's stall may shut the registry down, which does not wait for
   itself; the one for its own thread's recovery may set another interval, except where that would
   end the interval of the event (E7, O2). Why it matters: a program that stops itself does this.
   Catches: a shutdown that waits a second for its caller; memory that is used after the callback
   has freed it. */
CASE(a_log_may_end_what_it_hears_of) {
  static struct ends_there ends;
  ends = (struct ends_there){.gate = GATE_INIT, .shutdown = 1, .withdrawal = 1, .change = 1};
  tr_registry *registry = ends.registry = registry_with(log_ends, &ends);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(registry, MS, 0));
  gate_await(&ends.gate, 1);
  gate_open(&ends.gate);
  for (;;) {
    CHECK_EQ(TR_OK, tr_heartbeat());
    if (ends.withdrawal == TR_ERR_DEADLOCK) break;
    stay_silent(3 * MS); /* the other thread may have reported that recovery: stall once more */
  }
  CHECK_EQ(TR_OK, ends.change);
  atomic_store(&ends.shuts_down, 1);
  while (ends.shutdown == 1) stay_silent(MS);
  CHECK_EQ(TR_OK, ends.shutdown);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0));
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_beats_often(tr_task *self, void *ctx) {
  (void)ctx;
  while (!tr_task_is_cancelled(self)) {
    stay_silent(10 * MS);
    CHECK_EQ(TR_OK, tr_heartbeat());
  }
  return 0;
}

static void is_stopped(void *unused) {
  (void)unused;
  static struct log log;
  log_init(&log, NULL);
  tr_registry *registry = registry_with(log_adds, &log), *silent = registry_new();
  tr_task *task = spawn_with_interval(registry, "beats", SECOND, body_beats_often, NULL, NULL);
  tr_task *other = spawn_with_interval(silent, "beats", SECOND, body_beats_often, NULL, NULL);
  stay_silent(50 * MS);
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(0, kill(getpid(), SIGSTOP));
    CHECK_EQ(0, stalled_count(registry));
    CHECK_EQ(0, stalled_count(silent));
    stay_silent(300 * MS);
    CHECK_EQ(0, log_count(&log));
  }
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_OK, tr_task_cancel(other));
  wait_and_release(task);
  wait_and_release(other);
  registry_finish(registry);
  registry_finish(silent);
}

/* Proves: a process that was stopped for longer than an interval reports no task that sends
   heartbeats when it can, and tr_health finds none at once, with a log and without one (E7). Why it
   matters: a debugger, a frozen container or a suspended machine is not the task's fault. Catches:
   time that is measured on the wall clock. */
CASE(a_stopped_process_makes_nobody_stalled) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    is_stopped(NULL);
    _exit(0);
  }
  int status;
  while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
    stay_silent(3 * SECOND);
    CHECK_EQ(0, kill(child, SIGCONT));
  }
  CHECK_EXITED(0, status);
}

static void use_in_child(void *argument) {
  tr_registry *registry = argument;
  CHECK_EQ(TR_ERR_FORKED, tr_heartbeat());
  size_t count = 4711;
  CHECK_EQ(TR_ERR_FORKED, tr_health(registry, NULL, 0, &count));
  CHECK_EQ(TR_ERR_FORKED, tr_health(NULL, NULL, 0, NULL));
  CHECK_EQ(4711, count);
}

/* The observations of a log callback that forks. */
struct forking_log {
  struct gate gate;
  uint32_t forks_at;
  pid_t child;
};

static void log_forks(void *context, const tr_log_event *event) {
  struct forking_log *log = context;
  if (event->event != log->forks_at) return;
  log->forks_at = 0;
  pid_t child = fork();
  if (child == 0) {
    begin_as_child();
    return;
  }
  log->child = child;
  gate_arrive(&log->gate);
}

static int body_beats_and_reports(tr_task *self, void *ctx) {
  while (!tr_task_is_cancelled(self)) {
    struct timespec moment = {0, 20000000};
    nanosleep(&moment, NULL);
    tr_status status = tr_heartbeat();
    if (status == TR_ERR_FORKED) _exit(is_child ? 0 : 71);
    CHECK_EQ(TR_OK, status);
  }
  (void)ctx;
  return 0;
}

/* Proves: in a child of fork these calls return TR_ERR_FORKED, and a log callback that forks in the
   event of a stall, on a thread of the library's, or of a recovery, on the task's own, leaves a
   child that ends and a parent that continues (E7, P1). Why it matters: a watchdog starts a process
   to inspect the hang. Catches: the child of that thread that continues; a lock that is held. */
CASE(a_log_may_fork) {
  tr_registry *idle = registry_new();
  CHECK_EXITED(0, status_of_child(use_in_child, idle));
  registry_finish(idle);
  uint32_t first = TR_EVENT_TASK_STALLED;
#ifdef CHECK_UNDER_TSAN
  first = TR_EVENT_TASK_RECOVERED; /* the sanitizer does not survive the end of a thread in the child */
#endif
  for (uint32_t event = first; event <= TR_EVENT_TASK_RECOVERED; event++) {
    static struct forking_log log;
    log = (struct forking_log){GATE_INIT, event, -1};
    tr_registry *registry = registry_with(log_forks, &log);
    tr_task *task = spawn_with_interval(registry, "beats", MS, body_beats_and_reports, NULL, NULL);
    gate_await(&log.gate, 1);
    int status;
    while (waitpid(log.child, &status, 0) < 0) CHECK(errno == EINTR);
    if (check_under_valgrind())
      CHECK(WIFEXITED(status)); /* it counts memory of the parent's other threads */
    else
      CHECK_EXITED(0, status);
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    wait_and_release(task);
    registry_finish(registry);
  }
  timer_thread_leaves();
}

CHECK_MAIN(CHECK_ENTRY(a_stall_and_its_end_are_reported), CHECK_ENTRY(a_task_that_beats_is_left_alone),
           CHECK_ENTRY(a_beat_during_the_report_is_reported_after_it),
           CHECK_ENTRY(the_end_waits_for_a_report), CHECK_ENTRY(the_interval_ends_with_the_body),
           CHECK_ENTRY(intervals_at_the_ends_of_their_range),
           CHECK_ENTRY(the_thread_goes_with_the_intervals), CHECK_ENTRY(health_lists_the_stalled_tasks),
           CHECK_ENTRY(the_nearest_log_hears_of_it), CHECK_ENTRY(the_events_of_a_task_alternate),
           CHECK_ENTRY(a_report_outlives_the_last_reference), CHECK_ENTRY(a_log_may_fork),
           CHECK_ENTRY(an_interval_is_changed_and_paused), CHECK_ENTRY(a_slow_log_makes_no_paused_task_stalled), CHECK_ENTRY(waits_are_left_out_if_so_asked),
           CHECK_ENTRY(any_thread_can_have_an_interval), CHECK_ENTRY(an_interval_set_in_the_body_ends_with_it),
           CHECK_ENTRY(a_shutdown_ends_the_intervals_of_threads), CHECK_ENTRY(a_log_may_end_what_it_hears_of),
           CHECK_ENTRY(a_stopped_process_makes_nobody_stalled))
