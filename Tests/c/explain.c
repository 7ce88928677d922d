/* explain.c - what a report says about each kind of task that does not stop (E1, E2, E3, E10,
   E12). */

#include "deadline.h"

#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* Tasks that are stuck, each in its own way; all of them end when `release` is called. */
struct stuck {
  struct gate started;
  pthread_mutex_t mutex;
  atomic_int stop;
  int pipe[2];
};

static void stuck_init(struct stuck *stuck) {
  memset(stuck, 0, sizeof *stuck);
  stuck->started = (struct gate)GATE_INIT;
  CHECK_EQ(0, pthread_mutex_init(&stuck->mutex, NULL));
  CHECK_EQ(0, pthread_mutex_lock(&stuck->mutex));
  CHECK_EQ(0, pipe2(stuck->pipe, O_CLOEXEC));
}

static void stuck_release(struct stuck *stuck) {
  atomic_store(&stuck->stop, 1);
  CHECK_EQ(0, pthread_mutex_unlock(&stuck->mutex));
  close(stuck->pipe[1]);
}

static void stuck_destroy(struct stuck *stuck) {
  close(stuck->pipe[0]);
  CHECK_EQ(0, pthread_mutex_destroy(&stuck->mutex));
}

static int body_reads(tr_task *self, void *ctx) {
  struct stuck *stuck = ctx;
  char byte;
  (void)self;
  CHECK_EQ(TR_OK, tr_checkpoint("reading the manifest"));
  gate_arrive(&stuck->started);
  return (int)read(stuck->pipe[0], &byte, 1);
}

static int body_locks(tr_task *self, void *ctx) {
  struct stuck *stuck = ctx;
  (void)self;
  gate_arrive(&stuck->started);
  CHECK_EQ(0, pthread_mutex_lock(&stuck->mutex));
  CHECK_EQ(0, pthread_mutex_unlock(&stuck->mutex));
  return 0;
}

/* A sleep that ignores being asked to stop. */
static int body_sleeps(tr_task *self, void *ctx) {
  struct stuck *stuck = ctx;
  (void)self;
  gate_arrive(&stuck->started);
  while (!atomic_load(&stuck->stop)) {
    struct timespec longer_than_the_grace = {2, 0};
    nanosleep(&longer_than_the_grace, NULL);
  }
  return 0;
}

static int body_spins(tr_task *self, void *ctx) {
  struct stuck *stuck = ctx;
  (void)self;
  gate_arrive(&stuck->started);
  while (!atomic_load(&stuck->stop)) continue;
  return 0;
}

/* Reports progress until it is asked to stop, and then no more. */
static int body_stops_in_the_middle(tr_task *self, void *ctx) {
  struct stuck *stuck = ctx;
  char byte;
  (void)self;
  CHECK_EQ(TR_OK, tr_checkpoint("copying"));
  CHECK_EQ(TR_OK, tr_progress(30, 100, "blocks"));
  gate_arrive(&stuck->started);
  return (int)read(stuck->pipe[0], &byte, 1);
}

/* Makes progress all the time. */
static int body_progresses(tr_task *self, void *ctx) {
  struct stuck *stuck = ctx;
  (void)self;
  CHECK_EQ(TR_OK, tr_progress(0, 0, "rows"));
  gate_arrive(&stuck->started);
  for (uint64_t i = 1; !atomic_load(&stuck->stop); i++) {
    CHECK_EQ(TR_OK, tr_progress(i, 0, "rows"));
    breathe();
  }
  return 0;
}

/* Checks its flag three times once it is up, and continues. */
static int body_checks(tr_task *self, void *ctx) {
  struct stuck *stuck = ctx;
  char byte;
  for (int i = 0; i < 1000; i++) CHECK_EQ(0, tr_task_is_cancelled(self));
  gate_arrive(&stuck->started);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  CHECK_EQ(1, tr_task_is_cancelled(self));
  gate_arrive(&stuck->started);
  return (int)read(stuck->pipe[0], &byte, 1);
}

static int body_has_the_address(tr_task *self, void *ctx) {
  struct stuck *stuck = ctx;
  char byte;
  CHECK(tr_task_cancel_flag(self) != NULL);
  gate_arrive(&stuck->started);
  return (int)read(stuck->pipe[0], &byte, 1);
}

static const struct {
  const char *name;
  tr_task_fn body;
} kinds[] = {{"reads", body_reads},
             {"locks", body_locks},
             {"sleeps", body_sleeps},
             {"spins", body_spins},
             {"stopped in the middle", body_stops_in_the_middle},
             {"progresses", body_progresses},
             {"checks", body_checks},
             {"has the address", body_has_the_address}};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Whether this system reports what a thread waits in: not all containers do. */
static int proc_shows(const char *file) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/%s", gettid(), file);
  FILE *stream = fopen(path, "re");
  if (stream == NULL) return 0;
  char line[64] = "";
  int shows = fgets(line, sizeof line, stream) != NULL;
  fclose(stream);
  return shows;
}

/* A shutdown of 1.2 s with one straggler of each kind, and its report. */
static tr_report *report_of_all(struct stuck *stuck, tr_registry *registry, tr_task *tasks[KINDS],
                                tr_join_report *counts) {
  tr_report *full = NULL;
  stuck_init(stuck);
  for (int i = 0; i < KINDS; i++) tasks[i] = spawn(registry, kinds[i].name, kinds[i].body, stuck);
  gate_await(&stuck->started, KINDS);
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, 1200 * MS, NULL, counts, &full));
  CHECK_EQ(KINDS, counts->pending);
  CHECK_EQ(KINDS, straggler_count(full));
  return full;
}

static void release_all(struct stuck *stuck, tr_registry *registry, tr_task *tasks[KINDS]) {
  stuck_release(stuck);
  for (int i = 0; i < KINDS; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
  stuck_destroy(stuck);
}

/* Proves: for each kind of task that does not stop the report says what it does: blocked in read,
   in a lock, in a sleep, spinning, stopped in the middle of progress, making progress; with thread,
   age, when it was asked, CPU time since, how often it checked its flag, its last checkpoint and
   its progress (E1, E2, E3). Why it matters: an operator needs that at three in the morning.
   Catches: facts of another task or thread; times from the spawn for times since the request;
   checks counted while the flag was down. */
CASE(each_kind_of_straggler_is_distinguished) {
  struct stuck stuck;
  tr_registry *registry = registry_new();
  tr_task *tasks[KINDS];
  tr_join_report counts;
  tr_report *full = report_of_all(&stuck, registry, tasks, &counts);
  int shows_call = proc_shows("syscall"), shows_channel = proc_shows("wchan");
  for (int i = 0; i < KINDS; i++) {
    tr_straggler s = straggler_called(full, kinds[i].name);
    tr_task_summary summary;
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(tasks[i]), &summary));
    CHECK_EQ(summary.id, s.id);
    CHECK_EQ(summary.thread_id, s.thread_id);
    CHECK_EQ(TR_KIND_BACKGROUND_LOOP, s.kind);
    CHECK_EQ(TR_STATE_ABANDONED, s.state);
    CHECK(s.age_ns >= s.cancel_requested_for_ns);
    CHECK(s.cancel_requested_for_ns >= 1200 * MS);
    CHECK(s.cpu_since_span_ns > 500 * MS && s.cpu_since_span_ns <= s.cancel_requested_for_ns);
    CHECK(s.cpu_since_ns >= 0 && s.cpu_ns >= s.cpu_since_ns);
    CHECK_EQ(0, s.frame_count);
    CHECK_EQ(0, s.stalled);
    int is_blocked = i != 3 && i != 5;
    if (is_blocked) {
      CHECK_MSG(s.diagnosis == TR_DIAGNOSIS_BLOCKED, "%s is %s", s.name,
                tr_diagnosis_name(s.diagnosis));
      CHECK_EQ('S', s.scheduler_state);
      CHECK(s.cpu_since_ns < s.cpu_since_span_ns / 10);
      if (shows_call) CHECK(s.syscall >= 0 && s.syscall_name != NULL);
      if (shows_channel) CHECK(s.wait_channel[0] != 0 || getuid() != 0);
    }
  }
  tr_straggler reads = straggler_called(full, "reads");
  CHECK_STR("reading the manifest", reads.checkpoint);
  CHECK_EQ(-1, reads.progress_age_ns);
  CHECK(reads.progress_unit == NULL);
  if (shows_call) {
    CHECK_STR("read", reads.syscall_name);
    CHECK_STR("futex", straggler_called(full, "locks").syscall_name);
    CHECK_STR("clock_nanosleep", straggler_called(full, "sleeps").syscall_name);
  }
  CHECK(straggler_called(full, "locks").checkpoint == NULL);

  tr_straggler spins = straggler_called(full, "spins");
  if (!check_under_valgrind()) { /* there one thread runs at a time, and the others wait in futex(2) */
    CHECK_EQ('R', spins.scheduler_state);
    CHECK_EQ(-1, spins.syscall);
  }
  CHECK_EQ(spins.cpu_since_ns > spins.cpu_since_span_ns / 2, spins.diagnosis == TR_DIAGNOSIS_SPINNING);
  CHECK(spins.diagnosis == TR_DIAGNOSIS_SPINNING || spins.diagnosis == TR_DIAGNOSIS_WORKING);
  CHECK_MSG(spins.cpu_since_ns > 100 * MS, "%lld", (long long)spins.cpu_since_ns);

  tr_straggler middle = straggler_called(full, "stopped in the middle");
  CHECK_STR("copying", middle.checkpoint);
  CHECK_EQ(30, middle.progress_done);
  CHECK_EQ(100, middle.progress_total);
  CHECK_STR("blocks", middle.progress_unit);
  CHECK(middle.progress_age_ns >= 1200 * MS);

  tr_straggler moves = straggler_called(full, "progresses");
  CHECK_EQ(TR_DIAGNOSIS_PROGRESSING, moves.diagnosis);
  CHECK_EQ(0, moves.progress_total);
  CHECK(moves.progress_age_ns >= 0 && moves.progress_age_ns < 1 * SECOND);

  CHECK_EQ(3, straggler_called(full, "checks").cancel_checks);
  CHECK_EQ(0, straggler_called(full, "checks").reads_flag_directly);
  CHECK_EQ(0, reads.cancel_checks);
  CHECK_EQ(1, straggler_called(full, "has the address").reads_flag_directly);
  CHECK_EQ(0, straggler_called(full, "has the address").cancel_checks);
  tr_report_release(full);
  release_all(&stuck, registry, tasks);
}

/* The text that `write` makes, as a string of the caller's. */
static char *written(tr_status (*write_it)(const tr_report *, int, uint32_t), const tr_report *report,
                     uint32_t format) {
  FILE *file = tmpfile();
  CHECK(file != NULL);
  CHECK_EQ(TR_OK, write_it(report, fileno(file), format));
  struct stat status;
  CHECK_EQ(0, fstat(fileno(file), &status));
  char *text = malloc((size_t)status.st_size + 1);
  CHECK(text != NULL);
  CHECK_EQ(status.st_size, pread(fileno(file), text, (size_t)status.st_size, 0));
  text[status.st_size] = 0;
  fclose(file);
  return text;
}

/* Proves: the text of the report has for each straggler a line that says what it does, and the
   lines that say when it was asked, whether it checked, and what it reported; and the report
   outlives registry and tasks (E1, E2, E10). Why it matters: people read this. Catches: a line left
   out or put under another task; a report that refers to freed memory. */
CASE(the_text_says_it_in_words) {
  struct stuck stuck;
  tr_registry *registry = registry_new();
  tr_task *tasks[KINDS];
  tr_join_report counts;
  tr_report *full = report_of_all(&stuck, registry, tasks, &counts);
  int shows_call = proc_shows("syscall");
  release_all(&stuck, registry, tasks);
  char *text = written(tr_report_write, full, TR_FORMAT_TEXT);
  static const char *const wanted[] = {
      "shutdown (user-requested: SIGTERM): 8 tasks did not stop, after ",
      "pending 8 (aborted 0, abandoned 8)",
      "straggler reads: blocked",
      "  at \"reading the manifest\"\n",
      "straggler locks: blocked",
      "straggler sleeps: blocked",
      "straggler stopped in the middle: blocked",
      "  progress 30 of 100 blocks, reported ",
      "straggler progresses: progressing",
      "checked for cancellation 3 times since",
      "has never checked for cancellation",
      "may have read its flag"};
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
    CHECK_MSG(strstr(text, wanted[i]) != NULL, "\"%s\" in:\n%.400s", wanted[i], text);
  if (shows_call) CHECK(strstr(text, "straggler reads: blocked in read") != NULL);
  int lines = 0;
  for (const char *at = text; (at = strstr(at, "straggler ")) != NULL; at++) lines++;
  CHECK_EQ(8, lines);
  free(text);
  tr_report_release(full);
}

static int body_is_asked_and_ends(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  return 0;
}

/* Proves: a straggler that ended within the abort grace is listed as ended, without the facts of
   its thread's next task; a join without stragglers has an empty report (E1, J4). Why it
   matters: a thread continues with the next task at once. Catches: examining a thread that runs
   another task. */
CASE(who_has_ended_meanwhile_is_not_probed) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.abort_grace_ns = 3600 * SECOND;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  struct gate started = GATE_INIT;
  tr_task_release(spawn(registry, "aborted", body_is_asked_and_ends, &started));
  gate_await(&started, 1);
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_report *full = NULL;
  counts.full = &full;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 1 * MS, &counts));
  CHECK_EQ(1, counts.aborted);
  tr_straggler straggler = straggler_called(full, "aborted");
  CHECK_EQ(TR_DIAGNOSIS_ENDED, straggler.diagnosis);
  CHECK_EQ(TR_STATE_ENDED, straggler.state);
  CHECK_EQ(0, straggler.scheduler_state);
  CHECK_EQ(-1, straggler.syscall);
  CHECK_EQ(-1, straggler.cpu_ns);
  tr_report_release(full);
  full = NULL;
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, &counts));
  CHECK(full != NULL);
  CHECK_EQ(0, straggler_count(full));
  tr_straggler none = TR_STRAGGLER_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_report_straggler(full, 0, &none));
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_report_phase(full, 0, &phase));
  tr_report_release(full);
  registry_finish(registry);
}

/* Proves: tr_explain examines every live task, asks none to stop, and can be used in a task about
   itself (E1, J7). Why it matters: a signal may request a report while all is well. Catches: a flag
   that is raised; a task that waits for itself. */
static int body_explains(tr_task *self, void *ctx) {
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(ctx, &report));
  tr_straggler own = straggler_called(report, "explains");
  CHECK_EQ(tr_task_id(self), own.id);
  CHECK_EQ(gettid(), own.thread_id);
  CHECK_EQ(-1, own.cancel_requested_for_ns);
  CHECK_EQ('R', own.scheduler_state);
  CHECK_EQ(2, straggler_count(report));
  CHECK_EQ(0, tr_task_is_cancelled(self));
  tr_report_release(report);
  return 0;
}

CASE(explaining_asks_nobody_to_stop) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *deaf = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  tr_task *task = spawn(registry, "explains", body_explains, registry);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK_EQ(0, tr_task_is_cancelled(deaf));
  tr_report *report = NULL;
  tr_straggler straggler;
  for (;;) { /* until it sleeps at its gate, and has for some time */
    CHECK_EQ(TR_OK, tr_explain(registry, &report));
    straggler = straggler_called(report, "deaf");
    CHECK_EQ(TR_STATE_RUNNING, straggler.state);
    if (straggler.diagnosis == TR_DIAGNOSIS_BLOCKED) break;
    CHECK(straggler.diagnosis == TR_DIAGNOSIS_WORKING || straggler.diagnosis == TR_DIAGNOSIS_SPINNING);
    tr_report_release(report);
    breathe();
  }
  char *text = written(tr_report_write, report, TR_FORMAT_TEXT);
  CHECK(strstr(text, "1 task alive\n") == text);
  CHECK(strstr(text, "  not asked to stop") != NULL);
  free(text);
  tr_report_release(report);
  gate_open(&gate);
  wait_and_release(deaf);
  tr_task_release(task);
  registry_finish(registry);
}

/* ---- Writing ----------------------------------------------------------------------------------- */

static void *drain(void *argument) {
  int fd = *(int *)argument;
  char buffer[512];
  long total = 0;
  ssize_t got;
  while ((got = read(fd, buffer, sizeof buffer)) > 0) {
    total += got;
    breathe();
  }
  return (void *)total;
}

/* Proves: a descriptor that is closed or fails gives TR_ERR_SYSTEM with errno, a pipe without a
   reader EPIPE and no SIGPIPE, with the caller's signal mask as it was; a non-blocking pipe that is
   full is waited for; unknown formats are rejected (E10, P4). Why it matters: a report that cannot
   be written must not end the program. Catches: a SIGPIPE; EAGAIN taken for an error; a mask left
   changed. */
CASE(writing_fails_without_ending_the_program) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[40];
  for (uint32_t i = 0; i < 40; i++) /* of different kinds: those that are alike are one paragraph */
    CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_APPLICATION + i, body_deaf, &gate, &tasks[i]));
  gate_await(&gate, 40);
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  CHECK_EQ(SIG_DFL, signal(SIGPIPE, SIG_DFL));
  sigset_t before, after;
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &before));
  for (uint32_t format = TR_FORMAT_TEXT; format <= TR_FORMAT_JSON; format++) {
    int ends[2];
    CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
    close(ends[0]);
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_report_write(report, ends[1], format));
    CHECK_EQ(EPIPE, errno);
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_snapshot_write(registry, ends[1], format));
    CHECK_EQ(EPIPE, errno);
    close(ends[1]);
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_report_write(report, ends[1], format));
    CHECK_EQ(EBADF, errno);
    CHECK_EQ(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    CHECK_EQ(0, fcntl(ends[0], F_SETFL, 0));
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 4096) >= 0);
    pthread_t reader = thread_start(drain, &ends[0]);
    errno = 0;
    CHECK_EQ(TR_OK, tr_report_write(report, ends[1], format));
    CHECK_EQ(0, errno);
    close(ends[1]);
    void *total = NULL;
    CHECK_EQ(0, pthread_join(reader, &total));
    CHECK_MSG((long)total > 4096, "%ld", (long)total);
    close(ends[0]);
  }
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &after));
  for (int number = 1; number < 64; number++)
    CHECK_EQ(sigismember(&before, number), sigismember(&after, number));
  sigset_t pending;
  CHECK_EQ(0, sigpending(&pending));
  CHECK_EQ(0, sigismember(&pending, SIGPIPE));
  CHECK_EQ(TR_ERR_INVALID, tr_report_write(report, 2, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_report_write(report, 2, TR_FORMAT_OPENMETRICS));
  CHECK_EQ(TR_ERR_INVALID, tr_report_write(report, -1, TR_FORMAT_TEXT));
  CHECK_EQ(TR_ERR_INVALID, tr_report_write(NULL, 2, TR_FORMAT_TEXT));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot_write(registry, 2, 7));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot_write(NULL, 2, TR_FORMAT_TEXT));
  tr_report_release(report);
  gate_open(&gate);
  for (int i = 0; i < 40; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
}

static int body_reports_from_a_buffer(tr_task *task, void *argument) {
  struct gate *gate = argument;
  char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  (void)task;
  CHECK(page != MAP_FAILED);
  strcpy(page, "first");
  CHECK_EQ(TR_OK, tr_checkpoint(page));
  strcpy(page, "second");
  CHECK_EQ(TR_OK, tr_checkpoint(page));
  strcpy(page, "blocks");
  CHECK_EQ(TR_OK, tr_progress(1, 2, page));
  CHECK_EQ(0, munmap(page, 4096));
  gate_pass(gate);
  return 0;
}

/* Proves: a checkpoint and a unit are not read in the caller's memory once the call has returned,
   and another text at the same address is another text (E3). Why it matters: a literal is unmapped
   with its plug-in. Catches: a pointer that is kept; a look-up by address. */
CASE(texts_may_vanish_after_the_call) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "reporter", body_reports_from_a_buffer, &gate);
  gate_await(&gate, 1);
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_snapshot(registry, &summary, 1, &count));
  CHECK_EQ(1, count);
  CHECK_STR("second", summary.checkpoint);
  CHECK_STR("blocks", summary.progress_unit);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

/* Take all descriptors, by a limit that is lower than before; `descriptors_back` restores the
   limit. The descriptors stay open. */
static struct rlimit descriptors_before;
static void take_descriptors(void) {
  int next = dup(0);
  CHECK(next >= 0);
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &descriptors_before));
  struct rlimit low = {(rlim_t)next + 20, descriptors_before.rlim_max};
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &low));
  while ((next = dup(0)) >= 0) {}
  CHECK_EQ(EMFILE, errno);
}
static void descriptors_back(void) {
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &descriptors_before));
}

/* Proves: a report that is made at the limit of descriptors says about each task what any other
   report says, and opens and closes no descriptor of the process (E1). Why it matters: a program
   that hangs has often run out of them, and a reserve could be closed by the program, which then
   gets its number. Catches: "unknown" of all tasks; a descriptor of the program's that is gone
   afterwards; a record lock that is lost. */
CASE(a_report_needs_no_descriptor_of_the_process) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[3];
  for (int i = 0; i < 3; i++) tasks[i] = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 3);
  tr_report *before = NULL, *report = NULL;
  tr_straggler expected = TR_STRAGGLER_INIT, straggler = TR_STRAGGLER_INIT;
  for (size_t blocked = 0; blocked < 3;) { /* and so they stay */
    tr_report_release(before);
    CHECK_EQ(TR_OK, tr_explain(registry, &before));
    for (blocked = 0; blocked < 3; blocked++) {
      CHECK_EQ(TR_OK, tr_report_straggler(before, blocked, &expected));
      CHECK_EQ(0, expected.probe_error);
      if (expected.diagnosis != TR_DIAGNOSIS_BLOCKED || expected.syscall_name == NULL) break;
    }
  }
  int file = memfd_create("locked", MFD_CLOEXEC);
  CHECK(file >= 0);
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  CHECK_EQ(0, fcntl(file, F_SETLK, &lock));
  take_descriptors();
  int last = (int)sysconf(_SC_OPEN_MAX) - 1;
  CHECK(fcntl(last, F_GETFD) >= 0);
  tr_status status = tr_explain(registry, &report);
  int is_full = dup(0) < 0, is_open = fcntl(last, F_GETFD) >= 0 && fcntl(0, F_GETFD) >= 0;
  descriptors_back();
  CHECK_EQ(TR_OK, status);
  CHECK(is_full && is_open);
  for (size_t i = 0; i < 3; i++) {
    CHECK_EQ(TR_OK, tr_report_straggler(report, i, &straggler));
    if (check_under_valgrind() && straggler.probe_error == EMFILE) continue; /* an old one knows no close_range */
    CHECK_EQ(0, straggler.probe_error);
    CHECK_EQ(TR_DIAGNOSIS_BLOCKED, straggler.diagnosis);
    CHECK_EQ('S', straggler.scheduler_state);
    CHECK_STR(expected.syscall_name, straggler.syscall_name);
  }
  pid_t child = fork(); /* another process, for which the lock is one */
  CHECK(child >= 0);
  if (child == 0) {
    /* Not by exit: valgrind would count what the parent's other threads have. */
    if (fcntl(file, F_SETLK, &lock) < 0) kill(getpid(), SIGKILL);
    _exit(1);
  }
  int how;
  while (waitpid(child, &how, 0) < 0) CHECK(errno == EINTR);
  CHECK(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
  close(file);
  for (int fd = last; fcntl(fd, F_GETFD) >= 0 && fd > file; fd--) close(fd);
  tr_report_release(before);
  tr_report_release(report);
  gate_open(&gate);
  for (int i = 0; i < 3; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
}

/* Proves: in a program that has changed its user a report says that the system call could not be
   read for lack of permission, and the rest is as before; with PR_SET_DUMPABLE it is complete (E1).
   Why it matters: daemons start as root and do not stay root; an empty field is taken for "in no
   system call". Catches: an error that is not reported; one that is reported where everything was
   read. */
CASE(after_a_change_of_user_a_report_says_what_it_may_not_read) {
  if (geteuid() != 0) return; /* only root can change to another user */
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    gate_await(&gate, 1);
    CHECK_EQ(0, setgid(65534));
    CHECK_EQ(0, setuid(65534));
    for (int dumpable = 0; dumpable < 2; dumpable++) {
      if (dumpable) CHECK_EQ(0, prctl(PR_SET_DUMPABLE, 1));
      tr_report *report = NULL;
      tr_straggler straggler = TR_STRAGGLER_INIT;
      do {
        tr_report_release(report);
        CHECK_EQ(TR_OK, tr_explain(registry, &report));
        CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
      } while (straggler.diagnosis != TR_DIAGNOSIS_BLOCKED);
      CHECK_EQ('S', straggler.scheduler_state);
      CHECK_EQ(dumpable ? 0 : EACCES, straggler.probe_error);
      CHECK_EQ(dumpable, straggler.syscall_name != NULL);
      int ends[2];
      char text[4096];
      CHECK_EQ(0, pipe(ends));
      CHECK_EQ(TR_OK, tr_report_write(report, ends[1], TR_FORMAT_TEXT));
      ssize_t length = read(ends[0], text, sizeof text - 1);
      CHECK(length > 0);
      text[length] = 0;
      CHECK_EQ(dumpable, strstr(text, "not all is known of its thread: no permission\n") == NULL);
      close(ends[0]);
      close(ends[1]);
      tr_report_release(report);
    }
    gate_open(&gate);
    wait_and_release(task);
    registry_finish(registry);
    _exit(0);
  }
  int how;
  while (waitpid(child, &how, 0) < 0) CHECK(errno == EINTR);
  CHECK_EQ(0, how);
}

/* Proves: the same with backtraces: a call that is restarted after their signal is known by its
   name, one that ends with EINTR is not, nor is there any in a thread that spins (E1, E12). Why it
   matters: daemons that have given up root's rights hang too. Catches: a register of a thread that
   is in no call taken for a number; the kernel's answer overwritten. */
CASE(after_a_change_of_user_the_signal_shows_the_call) {
#if defined(__x86_64__) && !defined(CHECK_UNDER_TSAN) /* which delivers a signal when it likes */
  if (geteuid() != 0 || check_under_valgrind()) return; /* that has all signals blocked */
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 4));
  struct stuck stuck;
  stuck_init(&stuck);
  tr_registry *registry = registry_new();
  tr_task *tasks[] = {spawn(registry, "reads", body_reads, &stuck), spawn(registry, "locks", body_locks, &stuck),
                      spawn(registry, "sleeps", body_sleeps, &stuck), spawn(registry, "spins", body_spins, &stuck)};
  gate_await(&stuck.started, 4);
  CHECK_EQ(0, setgid(65534));
  CHECK_EQ(0, setuid(65534));
  int is_known = 0;
  while (!is_known) { /* they may be on their way there, and beside other programs an answer takes its time */
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain(registry, &report));
    tr_straggler reads = straggler_called(report, "reads"), locks = straggler_called(report, "locks");
    tr_straggler sleeps = straggler_called(report, "sleeps"), spins = straggler_called(report, "spins");
    CHECK_EQ(EACCES, reads.probe_error);
    CHECK_EQ(-1, spins.syscall);
    CHECK(sleeps.syscall == -1 || sleeps.scheduler_state != 'S');
    is_known = reads.syscall_name != NULL && strcmp("read", reads.syscall_name) == 0 &&
               locks.syscall_name != NULL && strcmp("futex", locks.syscall_name) == 0;
    tr_report_release(report);
  }
  stuck_release(&stuck);
  for (int i = 0; i < 4; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
  stuck_destroy(&stuck);
#endif
}

/* Proves: at the limit of file size a report and a snapshot give TR_ERR_SYSTEM with EFBIG in either format and no
   SIGXFSZ ends the process or stays pending; one that was pending before is still (E10).  Why it matters: a
   report that cannot be written must not end the program that is to make it.  Catches: a SIGXFSZ that is not
   blocked, not taken, or taken from the application. */
CASE(writing_at_the_limit_of_file_size_is_an_error) {
  tr_registry *registry = registry_new();
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  int file = memfd_create("report", MFD_CLOEXEC);
  CHECK(file >= 0);
  sigset_t own, pending;
  sigemptyset(&own);
  sigaddset(&own, SIGXFSZ);
  struct rlimit before, small;
  CHECK_EQ(0, getrlimit(RLIMIT_FSIZE, &before));
  small = before;
  small.rlim_cur = 4;
  for (int is_pending = 0; is_pending <= 1; is_pending++) {
    if (is_pending) {
      CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &own, NULL));
      CHECK_EQ(0, pthread_kill(pthread_self(), SIGXFSZ));
    }
    for (uint32_t format = TR_FORMAT_TEXT; format <= TR_FORMAT_JSON; format++) {
      CHECK_EQ(0, setrlimit(RLIMIT_FSIZE, &small));
      errno = 0;
      tr_status of_report = tr_report_write(report, file, format);
      int error = errno;
      errno = 0;
      tr_status of_list = tr_snapshot_write(registry, file, format);
      int second_error = errno;
      CHECK_EQ(0, setrlimit(RLIMIT_FSIZE, &before));
      CHECK_EQ(TR_ERR_SYSTEM, of_report);
      CHECK_EQ(EFBIG, error);
      CHECK_EQ(TR_ERR_SYSTEM, of_list);
      CHECK_EQ(EFBIG, second_error);
      CHECK_EQ(0, sigpending(&pending));
      CHECK_EQ(is_pending, sigismember(&pending, SIGXFSZ));
    }
  }
  struct timespec none = {0, 0};
  CHECK_EQ(SIGXFSZ, sigtimedwait(&own, NULL, &none));
  CHECK_EQ(0, pthread_sigmask(SIG_UNBLOCK, &own, NULL));
  close(file);
  tr_report_release(report);
  registry_finish(registry);
}

static void *report_with_a_cancel_pending(void *argument) {
  tr_registry *registry = argument;
  tr_report *report = NULL;
  int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(sink >= 0);
  CHECK_EQ(0, pthread_cancel(pthread_self()));
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  for (uint32_t format = TR_FORMAT_TEXT; format <= TR_FORMAT_JSON; format++) {
    CHECK_EQ(TR_OK, tr_report_write(report, sink, format));
    CHECK_EQ(TR_OK, tr_snapshot_write(registry, sink, format));
  }
  CHECK_EQ(TR_OK, tr_metrics_write(registry, sink, TR_FORMAT_OPENMETRICS));
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 4));
  tr_systemd_options options = TR_SYSTEMD_OPTIONS_INIT;
  options.socket = "/nowhere/to/be/found";
  CHECK_EQ(TR_ERR_SYSTEM, tr_systemd_start(registry, &options));
  options.socket = "@taskreg reporting is not a cancellation point";
  CHECK_EQ(TR_OK, tr_systemd_start(registry, &options));
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));
  tr_report_release(report);
  CHECK_EQ(0, pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL));
  close(sink);
  return registry;
}

/* Proves: no call that examines, writes or sends is a point at which a cancelled thread ends (C4,
   E10 to E12). Why it matters: it would leave a report, a signal mask or a lock behind. Catches: a
   write, a send or a load of a library outside the library's own protection. */
CASE(reporting_is_no_cancellation_point) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  static const char name[] = "@taskreg reporting is not a cancellation point";
  memcpy(address.sun_path + 1, name + 1, sizeof name - 2);
  int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(manager >= 0);
  CHECK_EQ(0, bind(manager, (struct sockaddr *)&address,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof name - 1)));
  pthread_t thread = thread_start(report_with_a_cancel_pending, registry);
  void *result = NULL;
  CHECK_EQ(0, pthread_join(thread, &result));
  CHECK(result == registry);
  close(manager);
  timer_thread_leaves();
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

/* Proves: snapshots list the checkpoint, the progress and the phase of a task, and none of those of the task
   that was in the same record before (E3, E5, N3).  Why it matters: a task table shows where everybody is.
   Catches: notes that outlive their task. */
static int body_notes_and_waits(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_checkpoint("first"));
  CHECK_EQ(TR_OK, tr_checkpoint("second"));
  CHECK_EQ(TR_OK, tr_progress(1, 2, "files"));
  CHECK_EQ(TR_OK, tr_progress(2, 3, NULL));
  gate_pass(ctx);
  return 0;
}

CASE(notes_are_listed_and_end_with_their_task) {
  tr_registry *registry = registry_new();
  CHECK_EQ(TR_ERR_INVALID, tr_checkpoint("outside"));
  CHECK_EQ(TR_ERR_INVALID, tr_progress(1, 1, "outside"));
  for (int round = 0; round < 200; round++) {
    struct gate gate = GATE_INIT;
    tr_task_summary summary;
    tr_task *task = round % 2 == 0 ? spawn(registry, "plain", body_deaf, &gate)
                                   : spawn_in_phase(registry, "notes", 6, body_notes_and_waits, &gate);
    gate_await(&gate, 1);
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &summary));
    if (round % 2 == 0) {
      CHECK(summary.checkpoint == NULL && summary.progress_unit == NULL);
      CHECK(summary.progress_done == 0 && summary.progress_total == 0 && summary.progress_at_ns == 0);
      CHECK_EQ(0, summary.phase);
    } else {
      CHECK_STR("second", summary.checkpoint);
      CHECK_EQ(2, summary.progress_done);
      CHECK_EQ(3, summary.progress_total);
      CHECK(summary.progress_unit == NULL);
      CHECK(summary.progress_at_ns >= summary.spawned_at_ns && summary.progress_at_ns <= now_ns());
      CHECK_EQ(6, summary.phase);
    }
    CHECK_EQ(0, summary.stalled);
    gate_open(&gate);
    wait_and_release(task);
  }
  registry_finish(registry);
}

/* ---- Backtraces -------------------------------------------------------------------------------- */

/* Not static, so that its name is in the dynamic symbol table of a program linked with -rdynamic. */
int a_function_that_spins(struct stuck *stuck);
__attribute__((noinline)) int a_function_that_spins(struct stuck *stuck) {
  while (!atomic_load(&stuck->stop)) continue;
  return 0;
}

static int body_spins_deep(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(&((struct stuck *)ctx)->started);
  volatile int result = a_function_that_spins(ctx); /* or the compiler would leave by way of it */
  return result;
}

/* Proves: with a signal for it a report has the backtrace of each straggler's own thread, the
   innermost function first; a read continues afterwards; a thread that blocks the signal has none,
   and the rest have theirs (E12). Why it matters: "where exactly" is the last question. Catches:
   another thread's frames, those of the signal handler, a report that waits for a thread that does
   not answer. */
CASE(stragglers_have_their_own_backtraces) {
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 4));
  struct stuck stuck;
  stuck_init(&stuck);
  tr_registry *registry = registry_new();
  tr_task *spins = spawn(registry, "spins", body_spins_deep, &stuck);
  tr_task *reads = spawn(registry, "reads", body_reads, &stuck);
  gate_await(&stuck.started, 2);
  tr_join_report counts;
  tr_report *full = NULL;
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, 100 * MS, NULL, &counts, &full));
  tr_straggler spinner = straggler_called(full, "spins"), reader = straggler_called(full, "reads");
#ifndef CHECK_UNDER_TSAN /* which delivers a signal when the thread makes a call that it knows */
  while (!check_under_valgrind() && (spinner.backtrace == TR_BACKTRACE_UNANSWERED || reader.backtrace == TR_BACKTRACE_UNANSWERED)) {
    /* The thread did not run for a tenth of a second, as happens beside other programs. */
    tr_report_release(full);
    CHECK_EQ(TR_OK, tr_explain(registry, &full));
    spinner = straggler_called(full, "spins"), reader = straggler_called(full, "reads");
  }
  if (check_under_valgrind()) {
    CHECK_EQ(0, spinner.frame_count); /* it has all signals blocked */
  } else if (!check_finds_callers()) {
    CHECK_EQ(1, spinner.frame_count);
    CHECK(spinner.frames[0] - (uintptr_t)a_function_that_spins < 256);
  } else {
    CHECK_MSG(spinner.frame_count >= 2, "%u", spinner.frame_count);
    uintptr_t function = (uintptr_t)a_function_that_spins, caller = (uintptr_t)body_spins_deep;
    CHECK(spinner.frames[0] - function < 256);
    CHECK(spinner.frames[1] - caller < 256);
  }
  CHECK_MSG(reader.frame_count >= (check_finds_callers() ? 2U : 1U), "%u", reader.frame_count);
  int has_body = !check_finds_callers();
  for (uint32_t i = 0; i < reader.frame_count; i++)
    has_body |= reader.frames[i] - (uintptr_t)body_reads < 512;
  CHECK(has_body);
  char *text = written(tr_report_write, full, TR_FORMAT_TEXT);
  CHECK_MSG(strstr(text, "  #0 0x") != NULL, "%s", text);
  free(text);
#endif
  (void)spinner;
  (void)reader;
  tr_report_release(full);
  CHECK_EQ(2, tr_len(registry)); /* the read has gone on */
  stuck_release(&stuck);
  wait_and_release(spins);
  wait_and_release(reads);
  registry_finish(registry);
  stuck_destroy(&stuck);
}

/* Proves: with backtraces enabled an explain with the flag takes none; one without the flag takes
   them; unknown flags are TR_ERR_INVALID (E12). Why it matters: inspecting a healthy program must
   not disturb it. Catches: a signal that is sent all the same; a flag that is not checked. */
CASE(an_explain_may_do_without_backtraces) {
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 4));
  struct stuck stuck;
  stuck_init(&stuck);
  tr_registry *registry = registry_new();
  tr_task *reads = spawn(registry, "reads", body_reads, &stuck);
  gate_await(&stuck.started, 1);
  for (uint32_t flags = 0; flags < 2; flags++) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, flags, &report));
    tr_straggler straggler = straggler_called(report, "reads");
    if (flags != 0) CHECK(straggler.backtrace == TR_BACKTRACE_NOT_ENABLED && straggler.frame_count == 0);
#ifndef CHECK_UNDER_TSAN /* which delivers a signal when it likes */
    if (flags == 0) CHECK(straggler.backtrace == TR_BACKTRACE_TAKEN && straggler.frame_count > 0);
#endif
    tr_report_release(report);
  }
  tr_report *none = NULL;
  for (int bit = 3; bit < 32; bit++) CHECK_EQ(TR_ERR_INVALID, tr_explain_with(registry, 1u << bit, &none));
  CHECK_EQ(TR_ERR_INVALID, tr_explain_with(NULL, 0, &none));
  CHECK_EQ(TR_ERR_INVALID, tr_explain_with(registry, 0, NULL));
  CHECK(none == NULL);
  stuck_release(&stuck);
  wait_and_release(reads);
  registry_finish(registry);
  stuck_destroy(&stuck);
}

CHECK_MAIN(CHECK_ENTRY(an_explain_may_do_without_backtraces),
           CHECK_ENTRY(each_kind_of_straggler_is_distinguished),
           CHECK_ENTRY(the_text_says_it_in_words),
           CHECK_ENTRY(who_has_ended_meanwhile_is_not_probed),
           CHECK_ENTRY(explaining_asks_nobody_to_stop),
           CHECK_ENTRY(writing_fails_without_ending_the_program),
           CHECK_ENTRY(texts_may_vanish_after_the_call),
           CHECK_ENTRY(writing_at_the_limit_of_file_size_is_an_error),
           CHECK_ENTRY(a_report_needs_no_descriptor_of_the_process),
           CHECK_ENTRY(after_a_change_of_user_a_report_says_what_it_may_not_read),
           CHECK_ENTRY(after_a_change_of_user_the_signal_shows_the_call),
           CHECK_ENTRY(reporting_is_no_cancellation_point),
           CHECK_ENTRY(notes_are_listed_and_end_with_their_task),
           CHECK_ENTRY(stragglers_have_their_own_backtraces))
