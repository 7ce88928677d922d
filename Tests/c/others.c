/* others.c - the section of a report for the threads of the process that run none of its tasks (Q7), and for how long
   threads have waited (Q8). */

#include "deadline.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* A thread that is not a task: it takes a lock, says so, takes another one or waits for a byte, and ends. */
struct outsider {
  pthread_t thread;
  const char *name;
  pthread_mutex_t *first, *second;
  struct gate *go; /* before the second */
  int fd;
  atomic_int tid;
};

static void *runs_outside(void *argument) {
  struct outsider *outsider = argument;
  char byte;
  prctl(PR_SET_NAME, outsider->name);
  if (outsider->first != NULL) CHECK_EQ(0, pthread_mutex_lock(outsider->first));
  atomic_store(&outsider->tid, (int)syscall(SYS_gettid));
  if (outsider->second != NULL) {
    struct timespec end;
    gate_pass(outsider->go);
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 3600;
    while (pthread_mutex_timedlock(outsider->second, &end) != 0) continue;
    CHECK_EQ(0, pthread_mutex_unlock(outsider->second));
  } else {
    while (read(outsider->fd, &byte, 1) < 0) continue;
  }
  if (outsider->first != NULL) CHECK_EQ(0, pthread_mutex_unlock(outsider->first));
  return NULL;
}

static void begin_outside(struct outsider *outsider) {
  CHECK_EQ(0, pthread_create(&outsider->thread, NULL, runs_outside, outsider));
  while (atomic_load(&outsider->tid) == 0) breathe();
}

static int body_wants(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(ctx));
  return pthread_mutex_unlock(ctx);
}

static char *text_of(const tr_report *report, uint32_t format) {
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, format, NULL, 0, &length));
  char *text = malloc(length + 1);
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, format, text, length + 1, &length));
  return text;
}

/* The thread with that id in a report, and its place; fails if it is not there once. */
static tr_thread_report thread_with(const tr_report *report, int tid, size_t *place) {
  tr_thread_report thread = TR_THREAD_REPORT_INIT, found = TR_THREAD_REPORT_INIT;
  int times = 0;
  for (size_t i = 0; tr_report_thread(report, i, &thread) == TR_OK; i++)
    if (thread.thread_id == tid) found = thread, times++, *place = i;
  CHECK_EQ(1, times);
  return found;
}

static size_t threads_in(const tr_report *report) {
  tr_thread_report thread = TR_THREAD_REPORT_INIT;
  size_t count = 0;
  while (tr_report_thread(report, count, &thread) == TR_OK) count++;
  return count;
}

/* Reports with the threads until the straggler `name` waits for what is expected, or for long. */
static tr_report *explain_until(tr_registry *registry, const char *name, uint32_t expected) {
  for (int64_t end = now_ns() + AT_ONCE;; breathe()) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES | TR_EXPLAIN_THREADS, &report));
    tr_straggler straggler = straggler_called(report, name);
    if (straggler.waits_for == expected) return report;
    CHECK_MSG(now_ns() < end, "it waits for %u, gap %u", straggler.waits_for, straggler.wait_gap);
    tr_report_release(report);
  }
}

/* Proves: the section has each thread that runs no task of the report once, and none that does; one that holds what a
   task waits for comes first, with how many it holds up, and says what it waits in itself; the one that makes the
   report is in it and says so; without the flag there is no section (Q7).  Why it matters: the culprit is often a
   thread of somebody's else library, and no task.  Catches: a thread that is listed twice, as holder and by the kernel; a
   section that is always there. */
CASE(threads_that_are_no_tasks_have_a_section) {
  int ends[2];
  CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  struct outsider idler = {.name = "idler", .fd = ends[0]}, holder = {.name = "holder", .first = &mutex, .fd = ends[0]};
  begin_outside(&idler);
  begin_outside(&holder);
  tr_registry *registry = registry_new();
  tr_task *tasks[2];
  for (int i = 0; i < 2; i++) tasks[i] = spawn(registry, i == 0 ? "first" : "second", body_wants, &mutex);
  tr_report_release(explain_until(registry, "first", TR_WAITS_MUTEX));
  tr_report *report = explain_until(registry, "second", TR_WAITS_MUTEX);
  size_t place = 0;
  tr_thread_report thread = thread_with(report, atomic_load(&holder.tid), &place);
  CHECK_EQ(0, place);
  CHECK_STR("holder", thread.name);
  CHECK(thread.holds_up == 2 && thread.holds_up_directly == 2);
  CHECK(thread.waits_for == TR_WAITS_DESCRIPTOR && thread.wait_fd == ends[0]);
  CHECK_STR("read", thread.syscall_name);
  thread = thread_with(report, atomic_load(&idler.tid), &place);
  CHECK(thread.holds_up == 0 && thread.holds_up_directly == 0 && thread.waits_for == TR_WAITS_DESCRIPTOR);
  thread = thread_with(report, (int)syscall(SYS_gettid), &place);
  CHECK_EQ(TR_WAITS_NOTHING, thread.waits_for);
  for (int i = 0; i < 2; i++) {
    tr_straggler straggler = straggler_called(report, i == 0 ? "first" : "second");
    CHECK_EQ(atomic_load(&holder.tid), straggler.holder_thread_id);
    tr_thread_report other = TR_THREAD_REPORT_INIT;
    for (size_t k = 0; tr_report_thread(report, k, &other) == TR_OK; k++) CHECK(other.thread_id != straggler.thread_id);
  }
  char line[160], *text = text_of(report, TR_FORMAT_TEXT);
  snprintf(line, sizeof line, "\n  thread holder (thread %d) holds up 2 tasks, and is in read on descriptor %d\n",
           atomic_load(&holder.tid), ends[0]);
  CHECK_MSG(strstr(text, line) != NULL, "%s", text);
  snprintf(line, sizeof line, "\nother threads of the process: %zu\n  thread holder ", threads_in(report));
  CHECK_MSG(strstr(text, line) != NULL, "%s", text);
  snprintf(line, sizeof line, " (thread %d) makes this report\n", (int)syscall(SYS_gettid));
  CHECK_MSG(strstr(text, line) != NULL, "%s", text);
  free(text);
  tr_report_release(report);

  CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
  CHECK_EQ(0, threads_in(report));
  text = text_of(report, TR_FORMAT_TEXT);
  CHECK(strstr(text, "other threads") == NULL);
  free(text);
  text = text_of(report, TR_FORMAT_JSON);
  CHECK(strstr(text, "\"threads\":null") != NULL);
  free(text);
  tr_report_release(report);
  close(ends[1]);
  for (int i = 0; i < 2; i++) wait_and_release(tasks[i]);
  CHECK_EQ(0, pthread_join(holder.thread, NULL));
  CHECK_EQ(0, pthread_join(idler.thread, NULL));
  registry_finish(registry);
  close(ends[0]);
}

static void check_join_lists(tr_registry *registry, int lists) {
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_report *report = NULL;
  counts.full = &report;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &counts));
  CHECK_EQ(lists, threads_in(report) > 0);
  tr_report_release(report);
}

/* Proves: TR_REGISTRY_REPORT_THREADS puts the section into the reports of joins and shutdowns of a registry and of the
   groups in it, and of tr_explain without a flag (Q7).  Why it matters: the report that counts is that of the shutdown
   that failed.  Catches: an option that groups do not inherit; one that tr_explain alone reads. */
CASE(a_registry_can_ask_for_the_threads_in_all_reports) {
  for (int asked = 0; asked < 2; asked++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.flags = asked ? TR_REGISTRY_REPORT_THREADS : 0;
    tr_registry *registry = NULL, *group = NULL;
    CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
    CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(group, "deaf", body_deaf, &gate);
    gate_await(&gate, 1);
    check_join_lists(registry, asked);
    check_join_lists(group, asked);
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain(group, &report));
    CHECK_EQ(asked, threads_in(report) > 0);
    tr_report_release(report);
    tr_join_report counts = TR_JOIN_REPORT_INIT;
    counts.full = &report;
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_FATAL, "m", 0, &counts));
    CHECK_EQ(asked, threads_in(report) > 0);
    tr_report_release(report);
    gate_open(&gate);
    wait_and_release(task);
    registry_finish(group);
    registry_finish(registry);
  }
}

/* Proves: of hundreds of threads 256 are listed and the rest is counted, and in text those that do the same are one line
   with some names (Q7).  Why it matters: a report of a process with thousands of threads has to be made and read.
   Catches: a list without a bound; a line for each. */
CASE(many_threads_are_bounded) {
  enum { MANY = 300 };
  static struct outsider outsiders[MANY];
  static char names[MANY][16];
  int ends[2], count = check_under_a_tool() ? MANY / 10 : MANY;
  CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
  for (int i = 0; i < count; i++) {
    snprintf(names[i], sizeof names[i], "pool-%d", i);
    outsiders[i] = (struct outsider){.name = names[i], .fd = ends[0]};
    begin_outside(&outsiders[i]);
  }
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  tr_report *report = NULL;
  char more[64], *text = NULL;
  int listed = count < MANY ? count : 256;
  for (int64_t end = now_ns() + AT_ONCE;; breathe()) { /* until all of them wait */
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_THREADS, &report));
    CHECK(count < MANY || threads_in(report) == 256);
    text = text_of(report, TR_FORMAT_TEXT);
    tr_report_release(report);
    char *found = strstr(text, "; so do ");
    if (found != NULL && atoi(found + 8) >= listed - 8) break;
    CHECK_MSG(now_ns() < end, "%s", text);
    free(text);
  }
  char *section = strstr(text, "other threads of the process: ");
  CHECK(section != NULL);
  int all = atoi(section + 30);
  CHECK(all >= count + 1);
  if (count == MANY) {
    snprintf(more, sizeof more, "%d, %d of them not listed\n", all, all - 256);
    CHECK_MSG(strncmp(section + 30, more, strlen(more)) == 0, "%.100s", section);
  }
  int lines = 0;
  for (char *at = section; (at = strchr(at, '\n')) != NULL; at++) lines++;
  CHECK_MSG(lines < 16, "%s", section);
  CHECK(strstr(section, ", \xe2\x80\xa6\n") != NULL);
  free(text);
  close(ends[1]);
  for (int i = 0; i < count; i++) CHECK_EQ(0, pthread_join(outsiders[i].thread, NULL));
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
  close(ends[0]);
}

/* Proves: threads that are asked for are examined as holders are: two that run no task and wait for each other are a
   circle of the report (Q4, Q7).  Why it matters: nothing of the program's tasks shows it.  Catches: threads that are
   listed without being followed. */
CASE(a_circle_of_threads_without_tasks_is_found) {
  if (!check_sees_all_locks()) return;
  pthread_mutex_t mutexes[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
  struct gate go = GATE_INIT;
  struct outsider pair[2] = {{.name = "left", .first = &mutexes[0], .second = &mutexes[1], .go = &go},
                             {.name = "right", .first = &mutexes[1], .second = &mutexes[0], .go = &go}};
  int child = fork(); /* as the two never end */
  CHECK(child >= 0);
  if (child == 0) {
    for (int i = 0; i < 2; i++) begin_outside(&pair[i]);
    gate_open(&go);
    tr_registry *registry = registry_new();
    for (int64_t end = now_ns() + AT_ONCE;; breathe()) {
      tr_report *report = NULL;
      CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_THREADS, &report));
      char *text = text_of(report, TR_FORMAT_TEXT), *line = strtok(text, "\n");
      tr_report_release(report);
      int found = strncmp(line, "circle of waits: ", 17) == 0;
      if (found) CHECK_MSG(strstr(line, "held by thread left (") != NULL && strstr(line, "held by thread right (") != NULL, "%s", line);
      CHECK_MSG(found || now_ns() < end, "%s", text);
      free(text);
      if (found) _exit(0);
    }
  }
  int status = -1;
  CHECK_EQ(child, waitpid(child, &status, 0));
  CHECK_EXITED(0, status);
}

/* Proves: where no descriptor is left for the list of threads, the report says that it may lack some (Q7).  Why it
   matters: a program that hangs has often run out of them.  Catches: an empty list that looks complete. */
CASE(threads_that_cannot_be_listed_are_said_to_be_missing) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  struct rlimit before, none = {3, 3};
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
  none.rlim_max = before.rlim_max;
  while (dup(0) >= 0 && none.rlim_cur < 64) none.rlim_cur++;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}));
  tr_report *report = NULL;
  tr_status status = tr_explain_with(registry, TR_EXPLAIN_THREADS, &report);
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
  CHECK_EQ(TR_OK, status);
  char *text = text_of(report, TR_FORMAT_TEXT);
  CHECK_MSG(strstr(text, "\nother threads of the process: 0, and perhaps more: ") != NULL, "%s", text);
  free(text);
  tr_report_release(report);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

/* ---- For how long ----------------------------------------------------------------------------- */

struct reader {
  int fd;
  atomic_int read;
};

static int body_reads(tr_task *self, void *ctx) {
  struct reader *reader = ctx;
  char byte;
  (void)self;
  while (read(reader->fd, &byte, 1) == 1) atomic_fetch_add(&reader->read, 1);
  return 0;
}

static tr_straggler look(tr_registry *registry, const char *name) {
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
  tr_straggler straggler = straggler_called(report, name);
  tr_report_release(report);
  return straggler;
}

/* Proves: of a thread that has not run since an earlier report it is known how long it has waited at the least, never more
   than that is; what runs in between is forgotten; in a wait of the library the time is that since it began (Q8).  Why it
   matters: "in fsync for 4.1 s" sends people to the disk, and a number that is wrong sends them there in vain.
   Catches: an age that is counted from the task's beginning; a thread that has run and is said to have waited. */
CASE(a_wait_has_lasted_since_an_earlier_report) {
  int ends[2];
  CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
  struct reader reader = {.fd = ends[0]};
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "reads", body_reads, &reader);
  for (int round = 0; round < check_rounds(20); round++) {
    int64_t woken = now_ns();
    CHECK_EQ(1, write(ends[1], "x", 1));
    while (atomic_load(&reader.read) <= round) breathe();
    int64_t end = now_ns() + AT_ONCE;
    while (1) {
      tr_straggler straggler = look(registry, "reads");
      int64_t now = now_ns();
      CHECK_MSG(straggler.waited_at_least_ns <= now - woken, "%lld of %lld", (long long)straggler.waited_at_least_ns,
                (long long)(now - woken));
      if (straggler.waited_at_least_ns >= 5 * MS) break;
      CHECK(now < end);
      breathe();
    }
  }
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
  char *text = text_of(report, TR_FORMAT_TEXT);
  CHECK_MSG(strstr(text, ") for at least ") != NULL || strstr(text, "read for at least ") != NULL, "%s", text);
  free(text);
  tr_report_release(report);
  close(ends[1]);
  wait_and_release(task);
  registry_finish(registry);
  close(ends[0]);
}

/* Proves: a straggler of a shutdown that did not run since the shutdown looked at it first has a time; one that runs has
   none; and the last of a chain has its time in the first line (Q5, Q8).  Why it matters: the report of a shutdown is
   the first one, and often the only one.  Catches: a sample that nobody compares with; a time of a thread that runs. */
static int body_holds(tr_task *self, void *ctx) {
  struct reader *reader = ctx;
  (void)self;
  atomic_store(&reader->read, 1);
  char byte;
  while (read(reader->fd, &byte, 1) < 0) continue;
  return 0;
}
static int body_spins(tr_task *self, void *ctx) {
  (void)self;
  while (!atomic_load((atomic_int *)ctx)) continue;
  return 0;
}

CASE(a_straggler_has_waited_since_the_sample) {
  int ends[2];
  CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
  struct reader reader = {.fd = ends[0]};
  atomic_int stop = 0;
  tr_registry *registry = registry_new();
  tr_task *tasks[2] = {spawn(registry, "holds", body_holds, &reader), spawn(registry, "spins", body_spins, &stop)};
  while (atomic_load(&reader.read) == 0) breathe();
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_report *report = NULL;
  counts.full = &report;
  int64_t begin = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_FATAL, "m", 200 * MS, &counts));
  tr_straggler holds = straggler_called(report, "holds"), spins = straggler_called(report, "spins");
  CHECK_BETWEEN_NS(50 * MS, now_ns() - begin, holds.waited_at_least_ns);
  CHECK_EQ(-1, spins.waited_at_least_ns);
  tr_report_release(report);
  atomic_store(&stop, 1);
  close(ends[1]);
  for (int i = 0; i < 2; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
  close(ends[0]);
}

CHECK_MAIN(CHECK_ENTRY(threads_that_are_no_tasks_have_a_section),
           CHECK_ENTRY(a_registry_can_ask_for_the_threads_in_all_reports), CHECK_ENTRY(many_threads_are_bounded),
           CHECK_ENTRY(a_circle_of_threads_without_tasks_is_found),
           CHECK_ENTRY(threads_that_cannot_be_listed_are_said_to_be_missing),
           CHECK_ENTRY(a_wait_has_lasted_since_an_earlier_report), CHECK_ENTRY(a_straggler_has_waited_since_the_sample))
