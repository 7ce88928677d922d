/* chains.c - who waits for whom through locks and waits of the library, mixed: chains, circles, and a wait that is
   refused (Q1, Q4, J7). */

#include "deadline.h"
#include "forking.h"

#include <sys/wait.h>

/* Two or three tasks that wait for each other in some way. */
struct ring {
  struct gate started, second;
  tr_task *_Atomic tasks[3];
  tr_registry *group;
  pthread_mutex_t mutex;
  int pipe[2];
  int64_t timeout, timeouts[3]; /* of all, or of each if that is 0 */
  atomic_int results[3]; /* a stranger has the place of one of the others */
  int size;
};

struct member {
  struct ring *ring;
  int place;
};

static tr_task *task_at(struct ring *ring, int place) {
  tr_task *task;
  while ((task = atomic_load(&ring->tasks[place])) == NULL) breathe();
  return task;
}

/* Reports until `holds` finds what it looks for, or for long: the text, to be freed. */
static char *text_once(tr_registry *registry, int (*holds)(const char *, void *), void *what) {
  for (int64_t end = now_ns() + AT_ONCE;; breathe()) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    size_t length = 0;
    CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, NULL, 0, &length));
    char *text = malloc(length + 1);
    CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, length + 1, &length));
    tr_report_release(report);
    if (holds(text, what)) return text;
    CHECK_MSG(now_ns() < end, "%s", text);
    free(text);
  }
}

static int starts(const char *text, void *what) { return strncmp(text, what, strlen(what)) == 0; }
static int contains(const char *text, void *what) { return strstr(text, what) != NULL; }

static int body_waits_for_next(tr_task *self, void *ctx) {
  struct member *member = ctx;
  struct ring *ring = member->ring;
  (void)self;
  tr_task *next = task_at(ring, (member->place + 1) % ring->size);
  if (ring->timeout == 0 && member->place == 1) gate_await(&ring->second, 1);
  ring->results[member->place] =
      tr_task_wait(next, ring->timeout == 0 ? ring->timeouts[member->place] : ring->timeout, NULL);
  return 0;
}

static void begin_ring(struct ring *ring, struct member *members, tr_registry *registry, int size) {
  static const char *const names[] = {"alpha", "beta", "gamma"};
  ring->size = size;
  for (int i = 0; i < size; i++) {
    members[i] = (struct member){ring, i};
    atomic_store(&ring->tasks[i], spawn(registry, names[i], body_waits_for_next, &members[i]));
  }
}

/* Waits for all of them before a handle is released: the others use it. */
static void end_ring(struct ring *ring) {
  for (int i = 0; i < ring->size; i++) CHECK_EQ(TR_OK, tr_task_wait(task_at(ring, i), FOREVER, NULL));
  for (int i = 0; i < ring->size; i++) tr_task_release(task_at(ring, i));
}

/* Proves: of two tasks that wait for each other without a time limit, the call that would close the circle returns
   TR_ERR_DEADLOCK, so that both go on (J7).  Why it matters: else neither ever ends, and a join waits to its deadline.
   Catches: a wait that looks at the other's note before its own can be read; one that is refused for another's sake. */
CASE(two_that_wait_for_each_other_are_refused) {
  for (int round = 0; round < check_rounds(200); round++) {
    tr_registry *registry = registry_new();
    struct ring ring = {.timeout = FOREVER};
    struct member members[2];
    begin_ring(&ring, members, registry, 2);
    end_ring(&ring);
    int refused = (ring.results[0] == TR_ERR_DEADLOCK) + (ring.results[1] == TR_ERR_DEADLOCK);
    CHECK_MSG(refused >= 1, "%d and %d", (int)ring.results[0], (int)ring.results[1]);
    for (int i = 0; i < 2; i++) CHECK(ring.results[i] == TR_OK || ring.results[i] == TR_ERR_DEADLOCK);
    registry_finish(registry);
  }
}

/* Proves: a wait with a time limit is not refused, nor one for a task that waits for a third one (J7).  Why it matters:
   both end by themselves.  Catches: a limit that is not looked at; any task that waits taken for one that waits for the
   caller. */
CASE(a_wait_that_ends_is_not_refused) {
  tr_registry *registry = registry_new();
  for (int limited = 0; limited < 2; limited++) {
    struct ring ring = {.second = GATE_INIT, .timeouts = {FOREVER, FOREVER}};
    ring.timeouts[limited] = SECOND * check_scale();
    struct member members[2];
    begin_ring(&ring, members, registry, 2);
    free(text_once(registry, contains, "alpha: idle in a wait for task #"));
    gate_arrive(&ring.second);
    end_ring(&ring);
    CHECK_EQ(TR_ERR_TIMEDOUT, ring.results[limited]);
    CHECK_EQ(TR_OK, ring.results[!limited]);
  }

  struct gate deaf = GATE_INIT;
  struct ring chain = {.timeout = FOREVER, .size = 3};
  struct member places[2] = {{&chain, 0}, {&chain, 1}};
  atomic_store(&chain.tasks[2], spawn(registry, "gamma", body_deaf, &deaf));
  for (int i = 1; i >= 0; i--) atomic_store(&chain.tasks[i], spawn(registry, "waits", body_waits_for_next, &places[i]));
  gate_await(&deaf, 1);
  char line[64];
  snprintf(line, sizeof line, "waits for task #%llu (waits), which waits for task #",
           (unsigned long long)tr_task_id(task_at(&chain, 1)));
  free(text_once(registry, contains, line));
  gate_open(&deaf);
  end_ring(&chain);
  CHECK_EQ(TR_OK, chain.results[0]);
  CHECK_EQ(TR_OK, chain.results[1]);
  registry_finish(registry);
}

/* Proves: a circle of three waits for tasks is the first line of a report, as a deadlock, or as a circle of waits if one
   has a time limit; each of the three is in it once, and the line is an event; and a request to stop ends it (Q4).  Why it matters: each of the
   three reads "idle", and nothing else says that they will stay so.  Catches: a wait of the library that is not an edge; a
   limit that is not noted. */
CASE(a_circle_of_waits_for_tasks_is_the_first_line) {
  for (int timed = 0; timed < 2; timed++) {
    struct events events = EVENTS_INIT;
    struct event event;
    tr_registry *registry = registry_noting(&events, 0);
    struct ring ring = {.timeout = timed ? 3600 * SECOND : FOREVER};
    struct member members[3];
    begin_ring(&ring, members, registry, 3);
    char *text = text_once(registry, starts, timed ? "circle of waits: " : "deadlock: ");
    char *line = strtok(text, "\n");
    CHECK_EQ(1, events_of(&events, TR_EVENT_DEADLOCK, &event));
    CHECK_EQ(timed ? TR_LOG_WARNING : TR_LOG_ERROR, event.level);
    CHECK_EQ(gettid(), event.tid);
    CHECK_MSG(strncmp(line, event.message, strlen(event.message)) == 0 && strlen(event.message) > 60, "%s", event.message);
    for (int i = 0; i < 3; i++) {
      char part[64];
      snprintf(part, sizeof part, "waits for task #%llu (", (unsigned long long)tr_task_id(task_at(&ring, i)));
      char *found = strstr(line, part);
      CHECK_MSG(found != NULL && strstr(found + 1, part) == NULL, "%s", line);
    }
    CHECK(strncmp(strtok(NULL, "\n"), "3 tasks alive", 13) == 0);
    free(text);
    CHECK_EQ(TR_OK, tr_task_cancel(task_at(&ring, 0)));
    end_ring(&ring);
    CHECK_EQ(TR_ERR_CANCELLED, ring.results[0]);
    registry_finish(registry);
  }
}

static int body_holds_and_waits(tr_task *self, void *ctx) {
  struct ring *ring = ctx;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&ring->mutex));
  gate_arrive(&ring->started);
  tr_status status = ring->group != NULL ? tr_registry_wait(ring->group, FOREVER)
                                         : tr_task_wait(task_at(ring, 1), FOREVER, NULL);
  CHECK_EQ(TR_ERR_CANCELLED, status);
  return pthread_mutex_unlock(&ring->mutex);
}
static int body_wants(tr_task *self, void *ctx) {
  struct ring *ring = ctx;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&ring->mutex));
  return pthread_mutex_unlock(&ring->mutex);
}

/* Proves: a task that waits for another, or for all tasks of a group, while it holds the mutex that one of those wants is
   in a circle with it, which is the first line (Q4).  Why it matters: half of such a circle is a lock, half a join, and
   whoever looks at one half finds nothing.  Catches: the wait for a group followed to its oldest task, which is innocent;
   locks alone in circles. */
CASE(locks_and_waits_for_tasks_close_one_circle) {
  for (int grouped = 0; grouped < 2; grouped++) {
    tr_registry *registry = registry_new(), *group = NULL;
    struct gate deaf = GATE_INIT;
    struct ring ring = {.started = GATE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER};
    CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
    if (grouped) ring.group = group;
    tr_task *innocent = spawn(group, "innocent", body_deaf, &deaf);
    gate_await(&deaf, 1);
    tr_task *holder = spawn(registry, "holder", body_holds_and_waits, &ring);
    gate_await(&ring.started, 1);
    tr_task *wants = spawn(group, "wants", body_wants, &ring);
    atomic_store(&ring.tasks[1], wants);
    char *text = text_once(registry, starts, "deadlock: ");
    char *line = strtok(text, "\n");
    CHECK_MSG(strstr(line, "held by holder (thread ") != NULL, "%s", line);
    CHECK_MSG(strstr(line, grouped ? "among them group/wants, which waits for mutex " : " (group/wants)") != NULL, "%s", line);
    CHECK_MSG(strstr(line, "innocent") == NULL, "%s", line);
    free(text);
    CHECK_EQ(TR_OK, tr_task_cancel(holder));
    wait_and_release(holder);
    wait_and_release(wants);
    gate_open(&deaf);
    wait_and_release(innocent);
    registry_finish(group);
    registry_finish(registry);
  }
}

struct group_wait {
  tr_registry *group;
  struct gate gate;
};

static int body_waits_for_group(tr_task *self, void *ctx) {
  struct group_wait *wait = ctx;
  (void)self;
  gate_pass(&wait->gate);
  tr_status status = tr_registry_wait(wait->group, FOREVER);
  return status == TR_OK || status == TR_ERR_CANCELLED ? 0 : 1;
}

/* Proves: two tasks that wait each for all tasks of the other's group are a circle, in whichever order they are listed,
   although an older task of one group waits for nobody (Q4).  Why it matters: it was seen in every other report.
   Catches: a member that is chosen before the other's wait has one, and never again. */
CASE(two_waits_for_groups_close_a_circle_in_any_order) {
  for (int swapped = 0; swapped < 2; swapped++) {
    tr_registry *registry = registry_new(), *groups[2] = {NULL, NULL};
    struct group_wait waits[2] = {{.gate = GATE_INIT}, {.gate = GATE_INIT}};
    struct gate deaf = GATE_INIT;
    for (int i = 0; i < 2; i++) {
      CHECK_EQ(TR_OK, tr_registry_child(registry, i == 0 ? "one" : "two", NULL, &groups[i]));
      waits[1 - i].group = groups[i];
    }
    tr_task *innocent = spawn(groups[0], "innocent", body_deaf, &deaf), *tasks[2];
    for (int k = 0; k < 2; k++) {
      int i = swapped ? 1 - k : k;
      tasks[i] = spawn(groups[i], "waits", body_waits_for_group, &waits[i]);
    }
    for (int i = 0; i < 2; i++) gate_open(&waits[i].gate);
    char *text = text_once(registry, starts, "deadlock: "), *line = strtok(text, "\n");
    CHECK_MSG(strstr(line, "one/waits") != NULL && strstr(line, "two/waits") != NULL, "%s", line);
    CHECK_MSG(strstr(line, "innocent") == NULL, "%s", line);
    free(text);
    CHECK_EQ(TR_OK, tr_task_cancel(tasks[1]));
    wait_and_release(tasks[1]);
    gate_open(&deaf);
    wait_and_release(innocent);
    CHECK_EQ(TR_OK, tr_task_cancel(tasks[0]));
    wait_and_release(tasks[0]);
    for (int i = 0; i < 2; i++) registry_finish(groups[i]);
    registry_finish(registry);
  }
}

/* Proves: in a report of a thousand tasks each of which waits for all tasks of a group, every wait has a task that stands
   for all, and is counted once per task; and a circle of two such waits among them is found (Q4).  Why it matters: with
   some thousand waits, only the first of them were followed.  Catches: a search that many waits share a budget of; one
   that counts the tasks of another registry. */
CASE(a_thousand_waits_for_a_group_are_all_followed) {
  enum { MANY = 1100 };
  static tr_task *tasks[MANY];
  int count = check_under_a_tool() ? 50 : MANY;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.stack_size = 64 * 1024;
  options.idle_threads = TR_IDLE_THREADS_NONE;
  tr_registry *registry = NULL, *groups[2] = {NULL, NULL}, *crowd = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  CHECK_EQ(TR_OK, tr_registry_child(registry, "crowd", NULL, &crowd));
  struct group_wait waits[2] = {{.gate = GATE_INIT}, {.gate = GATE_INIT}};
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(TR_OK, tr_registry_child(registry, i == 0 ? "one" : "two", NULL, &groups[i]));
    waits[1 - i].group = groups[i];
  }
  struct gate deaf = GATE_INIT;
  tr_task *innocent = spawn(groups[0], "innocent", body_deaf, &deaf), *pair[2];
  gate_await(&deaf, 1);
  for (int i = 0; i < count / 2; i++) tasks[i] = spawn(crowd, "waits", body_waits_for_group, &waits[1]);
  for (int i = 0; i < 2; i++) pair[i] = spawn(groups[i], "pair", body_waits_for_group, &waits[i]);
  /* A wait for a group in which nobody is would be over. */
  for (int i = 0; i < 2; i++) gate_open(&waits[i].gate);
  for (int i = count / 2; i < count; i++) tasks[i] = spawn(crowd, "waits", body_waits_for_group, &waits[1]);
  uint64_t in_circle = tr_task_id(pair[0]);
  for (int64_t end = now_ns() + AT_ONCE;; breathe()) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    tr_straggler straggler = TR_STRAGGLER_INIT;
    int waiting = 0;
    for (size_t i = 0; tr_report_straggler(report, i, &straggler) == TR_OK; i++) {
      if (straggler.waits_for != TR_WAITS_TASKS || strcmp(straggler.group, "crowd") != 0) continue;
      waiting++;
      CHECK_MSG(straggler.wait_count == 2 || straggler.wait_count == 1, "%u", (unsigned)straggler.wait_count);
      CHECK(straggler.holder_task_id != 0);
      /* The pair is not there yet, or does not wait yet. */
      if (straggler.wait_count == 1 || straggler.holder_task_id != in_circle) waiting--;
    }
    char *text = malloc(1 << 20);
    size_t length = 0;
    CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, 1 << 20, &length));
    tr_report_release(report);
    int found = strncmp(text, "deadlock: ", 10) == 0 && strstr(text, "one/pair") != NULL && strstr(text, "two/pair") != NULL;
    free(text);
    if (waiting == count && found) break;
    CHECK_MSG(now_ns() < end, "%d of %d wait, circle %d", waiting, count, found);
  }
  CHECK_EQ(TR_OK, tr_task_cancel(pair[1]));
  wait_and_release(pair[1]);
  gate_open(&deaf);
  wait_and_release(innocent);
  CHECK_EQ(TR_OK, tr_task_cancel(pair[0]));
  wait_and_release(pair[0]);
  for (int i = 0; i < count; i++) wait_and_release(tasks[i]);
  for (int i = 0; i < 2; i++) registry_finish(groups[i]);
  registry_finish(crowd);
  registry_finish(registry);
}

static int body_holds_and_reads(tr_task *self, void *ctx) {
  struct ring *ring = ctx;
  char byte;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&ring->mutex));
  gate_arrive(&ring->started);
  CHECK_EQ(1, read(ring->pipe[0], &byte, 1));
  return pthread_mutex_unlock(&ring->mutex);
}

/* Proves: a chain goes from a wait for a task through a lock to the call that everything hangs in; the first line counts
   the task that waits for the task among those held up (Q3, Q5); and the task's own line keeps its words (E15).  Why it
   matters: "idle in a wait for task #7" is where the search used to end.  Catches: a wait of the library that is not an edge;
   an id that is not looked up. */
CASE(a_chain_goes_on_through_a_wait_for_a_task) {
  tr_registry *registry = registry_new(), *others = registry_new();
  struct ring ring = {.started = GATE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .timeout = FOREVER, .size = 3};
  CHECK_EQ(0, pipe(ring.pipe));
  tr_task *holder = spawn(registry, "holder", body_holds_and_reads, &ring);
  gate_await(&ring.started, 1);
  struct member upload = {&ring, 0}, elsewhere = {&ring, 0};
  atomic_store(&ring.tasks[1], spawn(registry, "journal", body_wants, &ring));
  tr_task *uploads = spawn(registry, "upload", body_waits_for_next, &upload);
  tr_task *stranger = spawn(others, "stranger", body_waits_for_next, &elsewhere);
  free(text_once(registry, starts, "2 tasks wait, 1 directly and others through them, for mutex 0x"));
  char line[256];
  unsigned long long id = tr_task_id(task_at(&ring, 1));
  snprintf(line, sizeof line, "\n  waits for task #%llu (journal), which waits for mutex 0x%llx held by holder (thread ", id,
           (unsigned long long)(uintptr_t)&ring.mutex);
  char *text = text_once(registry, contains, line);
  CHECK_MSG(strstr(strstr(text, line), "), which is in read on fd ") != NULL, "%s", text);
  free(text);
  snprintf(line, sizeof line, "task upload: idle in a wait for task #%llu for ", id);
  free(text_once(registry, contains, line));
  /* In a report of another registry the id is known, and no more. */
  tr_straggler straggler = TR_STRAGGLER_INIT;
  for (int64_t end = now_ns() + AT_ONCE; straggler.waits_for != TR_WAITS_TASK; breathe()) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(others, TR_EXPLAIN_NO_BACKTRACES, &report));
    straggler = straggler_called(report, "stranger");
    tr_report_release(report);
    CHECK(now_ns() < end);
  }
  CHECK(straggler.holder_task_id == id && straggler.holder_thread_id == 0);
  CHECK_STR("", straggler.holder_name);
  CHECK_EQ(1, write(ring.pipe[1], "x", 1));
  wait_and_release(holder);
  wait_and_release(uploads);
  wait_and_release(stranger);
  wait_and_release(task_at(&ring, 1));
  registry_finish(registry);
  registry_finish(others);
  close(ring.pipe[0]), close(ring.pipe[1]);
}

/* ---- The event of a circle, and what its callback may do -------------------------------------- */

enum act { WAITS, LEAVES, FORKS, TAKES_LONG };

/* A log whose callback does something when a circle is reported. */
struct actor {
  tr_registry *registry;
  tr_task *_Atomic task;
  enum act act;
  tr_status waited, joined;
  atomic_int circles, explained;
  pid_t child;
};

static void acts(void *context, const tr_log_event *event) {
  struct actor *actor = context;
  if (event->event == TR_EVENT_STALL_EXPLAINED) atomic_fetch_add(&actor->explained, 1);
  if (event->event != TR_EVENT_DEADLOCK || atomic_load(&actor->circles) > 0) return;
  if (actor->act == WAITS) {
    while (atomic_load(&actor->task) == NULL) breathe();
    actor->waited = tr_task_wait(atomic_load(&actor->task), SECOND, NULL);
    actor->joined = tr_join_all(actor->registry, SECOND, NULL);
  }
  if (actor->act == FORKS) {
    actor->child = fork();
    CHECK(actor->child >= 0);
    if (actor->child == 0) begin_as_child();
  }
  if (actor->act == TAKES_LONG) {
    struct timespec time = {0, 30 * MS};
    while (nanosleep(&time, &time) != 0) continue;
  }
  atomic_fetch_add(&actor->circles, 1);
  if (actor->act == LEAVES) pthread_exit(NULL);
}

static void make_registry_of(struct actor *actor, const tr_ladder_options *ladder) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = acts;
  options.log_context = actor;
  options.ladder = ladder;
  CHECK_EQ(TR_OK, create_registry(&options, &actor->registry));
}

/* Nothing is left: a child of fork begins anew. */
static void check_nothing_is_left(void) {
  timer_thread_leaves();
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(NULL, &registry));
    _exit(0);
  }
  int status = -1;
  CHECK_EQ(child, waitpid(child, &status, 0));
  CHECK_EXITED(0, status);
}

/* A task that waits, with a mutex, for the end of a thread that wants the mutex, until it is cancelled as a thread. */
struct knot {
  pthread_mutex_t mutex;
  pthread_t thread, other;
  struct gate gate;
};

static void *wants_mutex(void *argument) {
  struct knot *knot = argument;
  CHECK_EQ(0, pthread_mutex_lock(&knot->mutex));
  CHECK_EQ(0, pthread_mutex_unlock(&knot->mutex));
  return NULL;
}
static void unlocks(void *argument) { CHECK_EQ(0, pthread_mutex_unlock(argument)); }

static int body_ties_the_knot(tr_task *self, void *ctx) {
  struct knot *knot = ctx;
  (void)self;
  knot->thread = pthread_self();
  CHECK_EQ(0, pthread_mutex_lock(&knot->mutex));
  pthread_cleanup_push(unlocks, &knot->mutex);
  CHECK_EQ(0, pthread_create(&knot->other, NULL, wants_mutex, knot));
  gate_arrive(&knot->gate);
  pthread_join(knot->other, NULL);
  pthread_cleanup_pop(1);
  return 1;
}

static void untie(struct knot *knot, tr_task *task) {
  CHECK_EQ(0, pthread_cancel(knot->thread));
  wait_and_release(task);
  CHECK_EQ(0, pthread_join(knot->other, NULL));
}

/* Proves: the circle in which a stalled task is found is an event before the explanation, in whose callback a wait for
   the task or for its registry is TR_ERR_DEADLOCK, as in those of the explanation; if the callback ends its thread,
   nothing is left behind (Q4, F4, J7).  Why it matters: the task cannot end before the callback has returned, so the
   wait would not end even if the circle did.  Catches: an event that holds up nobody; a report that is lost with its thread. */
CASE(a_stalled_task_in_a_circle_is_held_up_by_the_event) {
  if (!check_sees_joins()) return;
  for (enum act act = WAITS; act <= LEAVES; act++) {
    struct actor actor = {.act = act};
    tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
    ladder.explain_after_ns = MS;
    ladder.last_after_ns = 3600 * SECOND;
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.heartbeat_ns = 20 * MS;
    make_registry_of(&actor, &ladder);
    while (atomic_load(&actor.circles) == 0) { /* again, if one of the two did not wait yet when it was explained */
      struct knot knot = {.mutex = PTHREAD_MUTEX_INITIALIZER, .gate = GATE_INIT};
      tr_task *task = NULL;
      atomic_store(&actor.explained, 0);
      CHECK_EQ(TR_OK, tr_spawn_with(actor.registry, "knot", TR_KIND_MAINTENANCE, body_ties_the_knot, &knot, &options, &task));
      atomic_store(&actor.task, task);
      gate_await(&knot.gate, 1);
      while (atomic_load(&actor.explained) == 0 && (act == WAITS || atomic_load(&actor.circles) == 0)) breathe();
      untie(&knot, task);
      atomic_store(&actor.task, NULL);
    }
    if (act == WAITS) {
      CHECK_EQ(TR_ERR_DEADLOCK, actor.waited);
      CHECK_EQ(TR_ERR_DEADLOCK, actor.joined);
    }
    registry_finish(actor.registry);
    check_nothing_is_left();
  }
}

/* A call that makes a report of a circle, on a thread of its own. */
struct reporting {
  tr_registry *registry;
  int joins;
  tr_status status;
  tr_report *report;
  int has_returned;
};

static void *reports(void *argument) {
  struct reporting *call = argument;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  counts.full = &call->report;
  call->status =
      call->joins ? tr_join_all(call->registry, 0, &counts) : tr_explain(call->registry, &call->report);
  if (is_child) _exit(call->status == TR_ERR_FORKED && call->report == NULL ? 0 : 1);
  call->has_returned = 1;
  return NULL;
}

/* Proves: a log callback for a circle may end the thread that makes the report, by tr_explain or by a join, and nothing is
   left of the report; where it forks, the call is TR_ERR_FORKED in the child, and goes on in the parent (Q4, P1).  Why
   it matters: a report that is never freed makes every later child of fork useless.  Catches: a call whose report is lost
   with its thread; a child that is told that it has a report. */
CASE(the_callback_of_a_circle_may_leave_or_fork) {
  if (!check_sees_joins()) return;
  for (int joins = 0; joins < 2; joins++) {
    for (enum act act = LEAVES; act <= FORKS; act++) {
      struct actor actor = {.act = act};
      struct knot knot = {.mutex = PTHREAD_MUTEX_INITIALIZER, .gate = GATE_INIT};
      make_registry_of(&actor, NULL);
      tr_task *task = spawn(actor.registry, "knot", body_ties_the_knot, &knot);
      gate_await(&knot.gate, 1);
      int returned = 0;
      while (atomic_load(&actor.circles) == 0) {
        struct reporting call = {.registry = actor.registry, .joins = joins};
        pthread_t thread;
        CHECK_EQ(0, pthread_create(&thread, NULL, reports, &call));
        CHECK_EQ(0, pthread_join(thread, NULL));
        if (call.has_returned) {
          CHECK_EQ(joins ? TR_ERR_DEADLINE : TR_OK, call.status);
          tr_report_release(call.report);
        }
        returned = call.has_returned;
        breathe();
      }
      CHECK_EQ(act == FORKS, returned);
      if (act == FORKS) {
        int status = -1;
        CHECK_EQ(actor.child, waitpid(actor.child, &status, 0));
        CHECK_EXITED(0, status);
      }
      untie(&knot, task);
      registry_finish(actor.registry);
      check_nothing_is_left();
    }
  }
}

/* Proves: the time that the log callback takes for a circle is part of a report's time for callbacks, and of the time of the
   join that makes it (Q4, E5).  Why it matters: a join that is late because of the log says so.  Catches: counts that are
   made before the event, and never again. */
CASE(the_callback_of_a_circle_is_counted) {
  if (!check_sees_joins()) return;
  for (int joins = 0; joins < 2; joins++) {
    struct actor actor = {.act = TAKES_LONG};
    struct knot knot = {.mutex = PTHREAD_MUTEX_INITIALIZER, .gate = GATE_INIT};
    make_registry_of(&actor, NULL);
    tr_task *task = spawn(actor.registry, "knot", body_ties_the_knot, &knot);
    gate_await(&knot.gate, 1);
    while (atomic_load(&actor.circles) == 0) {
      tr_report *report = NULL;
      tr_join_report counts = TR_JOIN_REPORT_INIT, again = TR_JOIN_REPORT_INIT;
      counts.full = &report;
      CHECK_EQ(joins ? TR_ERR_DEADLINE : TR_OK,
               joins ? tr_join_all(actor.registry, 0, &counts) : tr_explain(actor.registry, &report));
      CHECK_EQ(TR_OK, tr_report_counts(report, &again));
      if (atomic_load(&actor.circles) > 0) {
        CHECK_MSG(again.callbacks_ns >= 30 * MS, "%lld", (long long)again.callbacks_ns);
        if (joins) CHECK(counts.callbacks_ns == again.callbacks_ns && counts.elapsed_ns >= counts.callbacks_ns);
        else CHECK_EQ(0, again.elapsed_ns);
      }
      tr_report_release(report);
      breathe();
    }
    untie(&knot, task);
    registry_finish(actor.registry);
  }
}

/* Proves: a log callback for a circle may end the thread that explains for a signal, and the registry and the process are
   left clean (Q4, C13).  Why it matters: what is lost there is lost once for each signal.  Catches: a reference that
   goes with the thread. */
CASE(the_callback_of_a_circle_may_leave_the_thread_of_signals) {
  if (!check_sees_joins()) return;
  struct actor actor = {.act = LEAVES};
  struct knot knot = {.mutex = PTHREAD_MUTEX_INITIALIZER, .gate = GATE_INIT};
  make_registry_of(&actor, NULL);
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  const tr_signal_role role = {SIGUSR2, TR_SIGNAL_EXPLAIN, 0, null};
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.roles = &role;
  options.roles_count = 1;
  CHECK_EQ(TR_OK, tr_signal_watch_start(actor.registry, NULL, &options));
  tr_task *task = spawn(actor.registry, "knot", body_ties_the_knot, &knot);
  gate_await(&knot.gate, 1);
  for (int64_t end = now_ns() + AT_ONCE; atomic_load(&actor.circles) == 0 && now_ns() < end;) {
    CHECK_EQ(0, kill(getpid(), SIGUSR2));
    struct timespec time = {0, 10 * MS};
    nanosleep(&time, NULL);
  }
  CHECK_EQ(1, atomic_load(&actor.circles));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(actor.registry));
  untie(&knot, task);
  registry_finish(actor.registry);
  check_nothing_is_left();
  close(null);
}

CHECK_MAIN(CHECK_ENTRY(two_that_wait_for_each_other_are_refused), CHECK_ENTRY(a_wait_that_ends_is_not_refused),
           CHECK_ENTRY(a_circle_of_waits_for_tasks_is_the_first_line),
           CHECK_ENTRY(locks_and_waits_for_tasks_close_one_circle),
           CHECK_ENTRY(two_waits_for_groups_close_a_circle_in_any_order),
           CHECK_ENTRY(a_thousand_waits_for_a_group_are_all_followed), CHECK_ENTRY(a_chain_goes_on_through_a_wait_for_a_task),
           CHECK_ENTRY(a_stalled_task_in_a_circle_is_held_up_by_the_event),
           CHECK_ENTRY(the_callback_of_a_circle_may_leave_or_fork), CHECK_ENTRY(the_callback_of_a_circle_is_counted),
           CHECK_ENTRY(the_callback_of_a_circle_may_leave_the_thread_of_signals))
