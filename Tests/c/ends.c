/* ends.c - programs that hang, each in another place, and end all the same (tr_exit_by); and a service in one call
   (tr_run_until_stopped). Rules F1, F2, F3. Each program is a child of this one, made before the first call of the
   library. */

#include "groups.h"

#include "forking.h"

#include <link.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* ---- An allocator that can be made to hang ------------------------------------------------------ */

static atomic_int allocator_hangs;

static inline void hang(void) {
  for (;;) pause();
}

#if !defined(CHECK_UNDER_TSAN) && !defined(CHECK_UNDER_ASAN) && defined(__GLIBC__)
/* In front of glibc's: every call of anybody's, as if a thread that holds the allocator's lock never released it. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t),
    *__libc_memalign(size_t, size_t), __libc_free(void *);
static inline void enter_allocator(void) {
  if (atomic_load_explicit(&allocator_hangs, memory_order_relaxed)) hang();
}
void *malloc(size_t size) { return enter_allocator(), __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return enter_allocator(), __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return enter_allocator(), __libc_realloc(old, size); }
void free(void *memory) { enter_allocator(), __libc_free(memory); }
int posix_memalign(void **memory, size_t alignment, size_t size) {
  enter_allocator();
  *memory = __libc_memalign(alignment, size);
  return *memory == NULL ? ENOMEM : 0;
}
#endif

/* ---- Programs that hang ----------------------------------------------------------------------- */

/* What a program tells its parent. */
struct told {
  _Atomic int64_t armed_at; /* 0: not yet */
};

struct program {
  struct told *told;
  int out; /* the write end of the pipe for the report */
};

/* How long after the arming each program is to end: TASKREG_EXIT_AFTER_MS, or a time that suits a busy machine. */
static int64_t end_after(void) {
  const char *given = getenv("TASKREG_EXIT_AFTER_MS");
  return given != NULL ? atoll(given) * MS : 300 * MS * (check_scale() < 10 ? check_scale() : 10);
}

/* How much later than that it may be gone: TASKREG_EXIT_SLACK_MS, or a time that suits a busy machine. */
static int64_t slack(void) {
  const char *given = getenv("TASKREG_EXIT_SLACK_MS");
  return given != NULL ? atoll(given) * MS : 10 * SECOND * check_scale();
}

static void arm_with(const struct program *this, tr_exit_options *options, int64_t after_ns) {
  options->fd = this->out;
  atomic_store(&this->told->armed_at, now_ns());
  CHECK_EQ(TR_OK, tr_exit_by(after_ns, options));
}

static void arm(const struct program *this) {
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  arm_with(this, &options, end_after());
}

static struct gate program_gate = GATE_INIT;

static tr_registry *registry_with_a_task(void) {
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "the task", body_deaf, &program_gate);
  gate_await(&program_gate, 1);
  tr_task_release(task);
  return registry;
}

static void hangs_before_shutdown(const struct program *this) {
  registry_with_a_task();
  arm(this);
  hang();
}

static void hangs_in_shutdown(const struct program *this) {
  tr_registry *registry = registry_with_a_task();
  arm(this);
  tr_status status = tr_shutdown(registry, TR_REASON_USER_REQUESTED, "at last", FOREVER, NULL);
  (void)status;
}

static void hangs_in_an_exit_handler(const struct program *this) {
  registry_with_a_task();
  arm(this);
  CHECK_EQ(0, atexit(hang));
  exit(3);
}

static atomic_int destructor_hangs;
static __attribute__((destructor)) void static_destructor(void) {
  if (atomic_load(&destructor_hangs)) hang();
}
static void hangs_in_a_destructor(const struct program *this) {
  registry_with_a_task();
  arm(this);
  atomic_store(&destructor_hangs, 1);
  exit(3);
}

static void hangs_in_the_allocator(const struct program *this) {
  registry_with_a_task();
  arm(this);
  atomic_store(&allocator_hangs, 1);
  free(malloc(1));
  hang();
}

static int hangs_at_the_first_object(struct dl_phdr_info *info, size_t size, void *ctx) {
  (void)info, (void)size, (void)ctx;
  hang();
  return 0;
}
static void hangs_under_the_loaders_lock(const struct program *this) {
  registry_with_a_task();
  arm(this);
  dl_iterate_phdr(hangs_at_the_first_object, NULL);
}

static void log_hangs(void *ctx, const tr_log_event *event) {
  (void)ctx;
  if (event->event == TR_EVENT_TASK_FAILED) hang();
}
static int body_fails_at_once(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return 1;
}
static void hangs_in_the_log(const struct program *this) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_hangs;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  arm(this);
  tr_task *task = spawn(registry, "the task", body_fails_at_once, NULL);
  tr_task_release(task);
  tr_status status = tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL);
  (void)status;
}

static int body_spins(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  for (volatile int spins = 1; spins;) continue;
  return 0;
}
static void hangs_with_all_signals_blocked(const struct program *this) {
  sigset_t all;
  sigfillset(&all);
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &all, NULL));
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "the task", body_spins, &program_gate);
  gate_await(&program_gate, 1);
  arm(this);
  tr_status status = tr_task_wait(task, FOREVER, NULL);
  (void)status;
}

static void *locks_stdio(void *gate) {
  flockfile(stderr);
  gate_arrive(gate);
  hang();
  return NULL;
}
static void hangs_in_stdio(const struct program *this) {
  static struct gate locked = GATE_INIT;
  registry_with_a_task();
  arm(this);
  thread_start(locks_stdio, &locked);
  gate_await(&locked, 1);
  fputs("never written\n", stderr);
}

static void hangs_without_descriptors(const struct program *this) {
  registry_with_a_task();
  arm(this);
  struct rlimit few = {64, 64};
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
  while (dup(this->out) >= 0) continue;
  hang();
}

static void hangs_with_all_descriptors_closed(const struct program *this) {
  registry_with_a_task();
  arm(this);
  for (int fd = 3; fd < 1024; fd++) close(fd);
  hang();
}

/* ---- Running them ----------------------------------------------------------------------------- */

struct end {
  int status; /* of waitpid */
  int64_t late; /* how long after the time */
  size_t length;
  char report[1 << 16];
};
static struct end ended;

/* Append what was measured of the last program to the file that TASKREG_EXIT_LOG names, for scripts/exit-by. */
static void write_measure(void) {
  const char *path = getenv("TASKREG_EXIT_LOG");
  if (path == NULL) return;
  FILE *file = fopen(path, "ae");
  CHECK(file != NULL);
  fprintf(file, "%s %lld\n", check_current, (long long)ended.late);
  CHECK_EQ(0, fclose(file));
}

/* Run a program in a child until it is gone, and read what it reports; `is_read`: 0 if nobody reads. */
static void run_program(void (*program)(const struct program *), int is_read, int64_t after) {
  struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(told != MAP_FAILED);
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    alarm(0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    check_process = 0;
    struct program this = {told, ends[1]};
    program(&this);
    _exit(99);
  }
  close(ends[1]);
  memset(&ended, 0, sizeof ended);
  while (is_read) {
    ssize_t count = read(ends[0], ended.report + ended.length, sizeof ended.report - 1 - ended.length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    ended.length += (size_t)count;
  }
  while (waitpid(child, &ended.status, 0) < 0) CHECK(errno == EINTR);
  int64_t armed_at = atomic_load(&told->armed_at);
  CHECK(armed_at != 0);
  ended.late = now_ns() - armed_at - after;
  write_measure();
  close(ends[0]);
  munmap(told, sizeof *told);
}

static void check_contains(const char *text) {
  CHECK_MSG(strstr(ended.report, text) != NULL, "the report has no \"%s\": %.400s", text, ended.report);
}

/* Check that the last program ended in time, with that status and a report that is whole. */
static void check_ended(int status) {
  CHECK_MSG(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == status, "the status is %#x: %.300s", ended.status,
            ended.report);
  CHECK_BETWEEN_NS(0, slack(), ended.late);
  check_contains("libtaskreg: the process has not ended within ");
  check_contains("registry 1: ");
  check_contains(" (main) \"");
  check_contains("\": state ");
  check_contains(" threads\nlibtaskreg: end of the report\n");
}

static void check_hangs(void (*program)(const struct program *)) {
  run_program(program, 1, end_after());
  check_ended(124);
  check_contains("  task the task: ");
}

/* Proves: a process that hangs in any of these places ends at its time, with a report of its registries and threads
   that is whole (F1, F2).
   Why it matters: a service that hangs in a destructor is restarted ten minutes later, and nobody knows why it hung.
   Catches: a report that allocates, or prints by stdio, or asks the loader; an end by exit; a thread made too late. */
CASE(hang_before_shutdown) { check_hangs(hangs_before_shutdown); }
CASE(hang_in_shutdown) {
  check_hangs(hangs_in_shutdown);
  check_contains(", closed, cancelled (user-requested: at last)\n");
  check_contains(", asked to stop ");
}
static int body_drains_and_says_so(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_progress(30, 100, "blocks"));
  CHECK_EQ(TR_OK, tr_begin_drain());
  gate_pass(ctx);
  return 0;
}

static void hangs_with_levels(const struct program *this) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *told = spawn(registry, "told", body_deaf, &gate);
  tr_task_release(spawn(registry, "drains", body_drains_and_says_so, &gate));
  gate_await(&gate, 2);
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, NULL));
  CHECK_EQ(TR_OK, tr_task_abort(told));
  arm(this);
  hang();
}

/* Copy the line of the last report that begins with `start`. */
static void copy_line(const char *start, char line[512]) {
  const char *found = strstr(ended.report, start);
  CHECK_MSG(found != NULL, "the report has no \"%s\": %.400s", start, ended.report);
  snprintf(line, 512, "%.*s", (int)strcspn(found, "\n"), found);
}

/* Proves: the report says whether a task was told to abort, for how long it has been draining, and how recent its
   progress is, each of the task that it concerns (F2, C15, C16, E3).
   Why it matters: a task that finishes its work is not the one that hangs.
   Catches: a report that knows one level; the words of one task in the line of another. */
CASE(a_report_has_levels_and_progress) {
  char line[512];
  run_program(hangs_with_levels, 1, end_after());
  check_ended(124);
  copy_line("  task told: ", line);
  CHECK_MSG(strstr(line, ", asked to stop ") != NULL && strstr(line, " ago, told to abort") != NULL, "%s", line);
  CHECK_MSG(strstr(line, "draining") == NULL && strstr(line, "progress") == NULL, "%s", line);
  copy_line("  task drains: ", line);
  CHECK_MSG(strstr(line, "told to abort") == NULL && strstr(line, " ago, draining for ") != NULL, "%s", line);
  const char *progress = strstr(line, ", progress 30 of 100 blocks, reported ");
  CHECK_MSG(progress != NULL && strcmp(line + strlen(line) - 4, " ago") == 0, "%s", line);
}

CASE(hang_in_an_exit_handler) { check_hangs(hangs_in_an_exit_handler); }
CASE(hang_in_a_destructor) { check_hangs(hangs_in_a_destructor); }
CASE(hang_in_the_allocator) { check_hangs(hangs_in_the_allocator); }
CASE(hang_under_the_loaders_lock) { check_hangs(hangs_under_the_loaders_lock); }
CASE(hang_in_the_log) { check_hangs(hangs_in_the_log); }
CASE(hang_with_all_signals_blocked) { check_hangs(hangs_with_all_signals_blocked); }
CASE(hang_in_stdio) { check_hangs(hangs_in_stdio); }

/* Say whether the system gives a thread a descriptor table of its own; valgrind does not know it. */
static int has_own_tables(void) { return !check_under_valgrind(); }

/* Proves: the report is written although the process has no descriptor left, or has closed all that it had (F1).
   Why it matters: a program that has run out of descriptors is one that hangs.
   Catches: a duplicate in the process's own table; files that are opened there. */
CASE(hang_without_descriptors) {
  if (has_own_tables()) check_hangs(hangs_without_descriptors);
}
CASE(hang_with_all_descriptors_closed) {
  if (has_own_tables()) check_hangs(hangs_with_all_descriptors_closed);
}

/* Does by itself what a thread of the library's does for the others. */
static void *ends_the_process(void *argument) {
  const struct program *this = argument;
  int64_t due = atomic_load(&this->told->armed_at) + end_after();
  struct timespec at = {due / SECOND, due % SECOND};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) continue;
  static const char *const files[] = {"stat", "wchan", "syscall", "comm"};
  for (int i = 0; i < 16; i++) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/%s", (int)getpid(), files[i % 4]);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = file < 0 ? 0 : read(file, text, sizeof text);
    if (file >= 0) close(file);
    if (write(this->out, text, count > 0 ? (size_t)count : 0) < 0) break;
  }
  _exit(124);
}
static void ends_without_the_library(const struct program *this) {
  atomic_store(&this->told->armed_at, now_ns());
  thread_start(ends_the_process, (void *)(uintptr_t)this);
  hang();
}

/* Proves: nothing of the library: how late a program is gone that wakes, reads as many files and ends by itself.
   Why it matters: scripts/exit-by compares the others with it; a machine that is busy makes any program late.
   Catches: a bound that the machine cannot keep. */
CASE(an_end_without_the_library) {
  run_program(ends_without_the_library, 1, end_after());
  CHECK(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 124);
  CHECK_BETWEEN_NS(0, slack(), ended.late);
}

/* Fills the pipe before it hangs. */
static void hangs_with_a_full_pipe(const struct program *this) {
  CHECK_EQ(0, fcntl(this->out, F_SETFL, O_NONBLOCK));
  char page[4096] = {0};
  while (write(this->out, page, sizeof page) > 0) continue;
  CHECK_EQ(0, fcntl(this->out, F_SETFL, 0));
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.code = 9;
  options.report_ns = 100 * MS;
  arm_with(this, &options, end_after());
  hang();
}

/* Proves: a report that nobody reads does not keep the process (F1).
   Why it matters: the log collector hangs when everything does.  Catches: a process that is ended by the thread that
   writes, alone. */
CASE(a_report_that_nobody_reads) {
  run_program(hangs_with_a_full_pipe, 0, end_after() + 100 * MS);
  CHECK(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 9);
  CHECK_BETWEEN_NS(0, slack(), ended.late);
}

static void ignore_signal(int number) { (void)number; }
static void hangs_and_aborts(const struct program *this) {
  struct rlimit none = {0, 0};
  CHECK_EQ(0, setrlimit(RLIMIT_CORE, &none));
  signal(SIGABRT, ignore_signal);
  registry_with_a_task();
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.flags = TR_EXIT_ABORT;
  arm_with(this, &options, end_after());
  hang();
}

/* Proves: with TR_EXIT_ABORT the process ends by SIGABRT, although the program has a handler for it (F1).
   Why it matters: a core is what the post-mortem needs.  Catches: the program's handler, which returns. */
CASE(an_end_by_abort) {
  run_program(hangs_and_aborts, 1, end_after());
  CHECK_MSG(WIFSIGNALED(ended.status) && WTERMSIG(ended.status) == SIGABRT, "the status is %#x", ended.status);
  check_contains(", and is aborted now\n");
  check_contains("libtaskreg: end of the report\n");
}

static char reason_path[64];
static void hangs_with_a_reason_file(const struct program *this) {
  registry_with_a_task();
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.reason_file = reason_path;
  arm_with(this, &options, end_after());
  hang();
}

/* Proves: the reason is appended to the file, not longer than a container's log of it (F2).
   Why it matters: it is what the orchestrator shows.  Catches: a file that is emptied; one that gets nothing. */
CASE(a_reason_in_a_file) {
  strcpy(reason_path, "/tmp/taskreg-ends-XXXXXX");
  int file = mkstemp(reason_path);
  CHECK(file >= 0);
  CHECK_EQ(8, write(file, "earlier\n", 8));
  run_program(hangs_with_a_reason_file, 1, end_after());
  check_ended(124);
  char text[8192] = {0};
  CHECK(pread(file, text, sizeof text - 1, 0) < 8 + 4096);
  CHECK(strncmp(text, "earlier\nlibtaskreg: the process has not ended within ", 52) == 0);
  CHECK(strstr(text, " (main) \"") != NULL);
  CHECK(strstr(text, "  task the task: ") != NULL);
  close(file);
  unlink(reason_path);
}

static void hangs_after_a_signal(const struct program *this) {
  tr_registry *registry = registry_with_a_task();
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.flags = TR_EXIT_FROM_SIGNAL;
  options.fd = this->out;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, NULL));
  CHECK_EQ(TR_OK, tr_exit_by(end_after(), &options));
  struct timespec longer = {0, 0};
  longer.tv_sec = (time_t)(2 * end_after() / SECOND);
  longer.tv_nsec = (long)(2 * end_after() % SECOND);
  nanosleep(&longer, NULL); /* the time has not begun */
  atomic_store(&this->told->armed_at, now_ns());
  raise(SIGTERM);
  hang();
}

static void hangs_after_an_earlier_signal(const struct program *this) {
  tr_registry *registry = registry_with_a_task();
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, NULL));
  raise(SIGTERM);
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.flags = TR_EXIT_FROM_SIGNAL;
  arm_with(this, &options, end_after());
  hang();
}

static void hangs_after_its_watch(const struct program *this) {
  tr_registry *registry = registry_new();
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.flags = TR_EXIT_FROM_SIGNAL;
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, NULL));
  raise(SIGTERM);
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  arm_with(this, &options, end_after());
  hang();
}

static void is_watched_anew(const struct program *this) {
  tr_registry *registry = registry_new(), *next = registry_new();
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, NULL, NULL));
  raise(SIGTERM);
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  CHECK_EQ(TR_OK, tr_signal_watch_start(next, NULL, NULL));
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.flags = TR_EXIT_FROM_SIGNAL;
  arm_with(this, &options, 1);
  int64_t end = now_ns() + end_after();
  while (now_ns() < end) breathe();
  CHECK_EQ(TR_OK, tr_exit_by_cancel());
  _exit(CHECK_PASSED);
}

/* Proves: with TR_EXIT_FROM_SIGNAL the time begins with the first signal, or with the call if that has come, also to a
   watch that has ended; a watch that is started since begins anew (F1).
   Why it matters: armed at the start, the program must run as long as it is to run; armed for its destructors after the
   shutdown, it must end.  Catches: a time from the call; a signal before the call that counts for nothing, or for good. */
CASE(a_time_that_begins_with_a_signal) {
  run_program(hangs_after_its_watch, 1, end_after());
  check_ended(124);
  run_program(is_watched_anew, 1, end_after());
  CHECK_MSG(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == CHECK_PASSED, "the status is %#x", ended.status);
  run_program(hangs_after_a_signal, 1, end_after());
  check_ended(124);
  check_contains(" of the signal, and ends now with status 124\n");
  check_contains("cancelled (user-requested: SIGTERM)");
  run_program(hangs_after_an_earlier_signal, 1, end_after());
  check_ended(124);
}

static void is_armed_twice(const struct program *this) {
  registry_with_a_task();
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  options.code = 1;
  options.fd = this->out;
  CHECK_EQ(TR_OK, tr_exit_by(end_after(), &options));
  options.code = 255;
  arm_with(this, &options, 2 * end_after());
  options.fd = 1 << 20;
  CHECK_EQ(TR_ERR_SYSTEM, tr_exit_by(3600 * SECOND, &options)); /* which changes nothing */
  CHECK_EQ(EBADF, errno);
  hang();
}

/* Proves: a second call replaces the first, and one that fails changes nothing (F1).
   Why it matters: a program moves the time when it knows more.  Catches: the earlier of the two times, or the first. */
CASE(a_second_call_replaces_the_first) {
  run_program(is_armed_twice, 1, 2 * end_after());
  check_ended(255);
}

static int descriptors_of_the_process(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

/* Proves: after tr_exit_by_cancel the process goes on, with no thread and no descriptor left of the arming (F1).
   Why it matters: a reload must not be ended.  Catches: a thread that ends the process all the same, or that stays. */
CASE(cancelled) {
  int threads = thread_baseline(), descriptors = descriptors_of_the_process();
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by_cancel());
  for (int round = 0; round < check_rounds(200); round++) {
    tr_exit_options options = TR_EXIT_OPTIONS_INIT;
    options.flags = round & 1 ? TR_EXIT_FROM_SIGNAL : 0;
    CHECK_EQ(TR_OK, tr_exit_by(round & 2 ? INT64_MAX : 3600 * SECOND, &options));
    if (round % 3 == 0) CHECK_EQ(TR_OK, tr_exit_by(3600 * SECOND, NULL));
    CHECK_EQ(TR_OK, tr_exit_by_cancel());
    CHECK_EQ(TR_ERR_INVALID, tr_exit_by_cancel());
  }
  threads_settle(threads, AT_ONCE);
  CHECK_EQ(descriptors, descriptors_of_the_process());
}

/* Proves: a child of fork is not armed, and has none of the descriptors; nor has a program that replaces one (F1).
   Why it matters: a helper that a service starts must not die with its deadline.  Catches: an inherited duplicate. */
CASE(a_child_is_not_armed) {
  int descriptors = descriptors_of_the_process();
  CHECK_EQ(TR_OK, tr_exit_by(3600 * SECOND, NULL));
  if (has_own_tables()) CHECK_EQ(descriptors, descriptors_of_the_process());
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    int is_right = tr_exit_by_cancel() == TR_ERR_INVALID && descriptors_of_the_process() == descriptors;
#ifndef CHECK_UNDER_TSAN /* which makes no threads in such a child */
    /* There was no object of the library's: the child starts anew. */
    is_right = is_right && tr_exit_by(3600 * SECOND, NULL) == TR_OK && tr_exit_by_cancel() == TR_OK;
#endif
    _exit(is_right ? CHECK_PASSED : 1);
  }
  CHECK(check_passed(child));
  CHECK_EQ(TR_OK, tr_exit_by_cancel());
}

/* Proves: arguments that are wrong are rejected, and leave nothing armed (P4, F1).
   Why it matters: a program that believes that it will end waits indefinitely.  Catches: a flag that is ignored. */
CASE(wrong_arguments) {
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by(FOREVER, NULL));
  options.flags = 0x80;
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by(SECOND, &options));
  options.flags = 0;
  options.report_ns = -1;
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by(SECOND, &options));
  options.report_ns = 0;
  options.code = 256;
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by(SECOND, &options));
  options.code = -1;
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by(SECOND, &options));
  options.code = 0;
  options.size = 4;
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by(SECOND, &options));
  options.size = sizeof options;
  options.reason_file = "/nowhere/at/all";
  CHECK_EQ(TR_ERR_SYSTEM, tr_exit_by(SECOND, &options));
  CHECK_EQ(ENOENT, errno);
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by_cancel());
}

static void is_over_at_once(const struct program *this) {
  registry_with_a_task();
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  arm_with(this, &options, INT64_MIN);
  hang();
}

/* Proves: a time that has passed is over at once (F1).  Why it matters: it is what `deadline - now` gives.
   Catches: an end that never comes. */
CASE(a_time_that_has_passed) {
  run_program(is_over_at_once, 1, 0);
  check_ended(124);
}

static int body_sleeps_on(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  hang();
  return 0;
}
static void main_has_left(const struct program *this) {
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "the task", body_sleeps_on, NULL);
  tr_task_release(task);
  arm(this);
  pthread_exit(NULL);
}
#ifndef CHECK_UNDER_TSAN /* whose own thread keeps the process */
static void main_has_left_with_nothing(const struct program *this) {
  tr_registry *registry = registry_new();
  tr_exit_options options = TR_EXIT_OPTIONS_INIT;
  arm_with(this, &options, 3600 * SECOND);
  tr_registry_release(registry);
  pthread_exit(NULL);
}
#endif

/* Proves: after main has left by pthread_exit a task that hangs is ended at the time; and without any task the process
   ends by itself, long before (P9, F1).
   Why it matters: the threads of the arming are not what the process lives for.
   Catches: two threads that keep the process until the time is over. */
CASE(main_leaves_by_pthread_exit) {
  run_program(main_has_left, 1, end_after());
  CHECK(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 124);
  check_contains("  task the task: ");
  check_contains("libtaskreg: end of the report\n");
#ifndef CHECK_UNDER_TSAN
  run_program(main_has_left_with_nothing, 1, 0);
  CHECK_MSG(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == 0, "the status is %#x", ended.status);
  CHECK_EQ(0, ended.length);
#endif
}

/* ---- A service in one call -------------------------------------------------------------------- */

static tr_run_options run_options(const struct program *this) {
  tr_run_options options = TR_RUN_OPTIONS_INIT;
  options.flags = TR_RUN_NO_SYSTEMD;
  options.report_fd = this->out;
  return options;
}

/* Send this process SIGTERM, which is delivered once a watch has been started. */
static void leave_a_signal(void) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &stop, NULL));
  kill(getpid(), SIGTERM);
}

static void is_stopped_by_a_signal(const struct program *this) {
  leave_a_signal();
  tr_registry *registry = registry_new();
  tr_task_release(spawn(registry, "obeys", body_obeys, NULL));
  tr_run_options options = run_options(this);
  int32_t code = -1;
  atomic_store(&this->told->armed_at, now_ns());
  CHECK_EQ(TR_OK, tr_run_until_stopped(registry, &options, &code));
  CHECK_EQ(TR_ERR_INVALID, tr_signal_watch_stop(registry));
  tr_registry_release(registry);
  _exit(code == TR_EXIT_STOPPED ? CHECK_PASSED : 1);
}

static void check_run_passed(void (*program)(const struct program *)) {
  run_program(program, 1, 0);
  CHECK_MSG(WIFEXITED(ended.status) && WEXITSTATUS(ended.status) == CHECK_PASSED, "the status is %#x: %.300s",
            ended.status, ended.report);
}

/* Proves: a signal stops the service, the report is written, and the status is that of success (F3).
   Why it matters: it is what the main function of every daemon does.  Catches: a watch that is left behind; a report
   that is not written. */
CASE(a_service_that_a_signal_stops) {
  check_run_passed(is_stopped_by_a_signal);
  check_contains("shutdown (user-requested: SIGTERM): all tasks have ended, after ");
  check_contains(" of 5.00 s");
}

static char json_path[64];
static void has_a_straggler(const struct program *this) {
  tr_registry *registry = registry_with_a_task();
  tr_run_options options = run_options(this);
  options.grace_ns = 20 * MS;
  options.report_file = json_path;
  int32_t code = -1;
  atomic_store(&this->told->armed_at, now_ns());
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_RPC_REQUESTED, "over"));
  CHECK_EQ(TR_ERR_DEADLINE, tr_run_until_stopped(registry, &options, &code));
  _exit(code == TR_EXIT_DEADLINE ? CHECK_PASSED : 1);
}

/* Proves: a task that does not stop is reported, as text and as JSON in place of what was in the file, and in the status
   (F3).
   Why it matters: a restart that lost work must not look like one that did not.  Catches: a report that is appended. */
CASE(a_service_with_a_straggler) {
  strcpy(json_path, "/tmp/taskreg-run-XXXXXX");
  int file = mkstemp(json_path);
  CHECK(file >= 0);
  CHECK_EQ(8, write(file, "earlier\n", 8));
  check_run_passed(has_a_straggler);
  check_contains("shutdown (rpc-requested: over): 1 task did not stop");
  check_contains("straggler the task: ");
  char text[8192] = {0};
  CHECK(pread(file, text, sizeof text - 1, 0) > 8);
  CHECK(text[0] == '{' && strstr(text, "\"name\":\"the task\"") != NULL);
  close(file);
  unlink(json_path);
}

static void fails_beyond_repair(const struct program *this) {
  tr_registry *registry = registry_new();
  tr_run_options options = run_options(this);
  int32_t code = -1;
  atomic_store(&this->told->armed_at, now_ns());
  options.report_file = "/nowhere/at/all";
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
  CHECK_EQ(TR_ERR_SYSTEM, tr_run_until_stopped(registry, &options, &code));
  CHECK_EQ(ENOENT, errno);
  tr_registry_release(registry);
  _exit(code == TR_EXIT_FATAL ? CHECK_PASSED : 1);
}

/* Proves: after TR_REASON_FATAL the status says so, also if the report could not be written (F3).
   Why it matters: what is restarted on failure is told by the status.  Catches: a success for every reason. */
CASE(a_service_that_fails) { check_run_passed(fails_beyond_repair); }

static void hangs_as_a_service(const struct program *this) {
  leave_a_signal();
  tr_registry *registry = registry_with_a_task();
  tr_run_options options = run_options(this);
  tr_exit_options exits = TR_EXIT_OPTIONS_INIT;
  exits.fd = this->out;
  exits.code = 77;
  options.grace_ns = FOREVER;
  options.exit_after_ns = end_after();
  options.exit = &exits;
  atomic_store(&this->told->armed_at, now_ns());
  tr_status status = tr_run_until_stopped(registry, &options, NULL);
  (void)status;
}

static void hangs_after_the_service(const struct program *this) {
  tr_registry *registry = registry_with_a_task();
  tr_run_options options = run_options(this);
  tr_exit_options exits = TR_EXIT_OPTIONS_INIT;
  exits.fd = this->out;
  exits.code = 77;
  options.grace_ns = 1 * MS;
  options.exit_after_ns = end_after();
  options.exit = &exits;
  atomic_store(&this->told->armed_at, now_ns());
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_REQUESTED_BY_RUN, NULL));
  CHECK_EQ(TR_ERR_DEADLINE, tr_run_until_stopped(registry, &options, NULL));
  hang();
}

/* Proves: with exit_after_ns the process ends although the shutdown has no deadline, or main hangs after it; whether a
   signal or something else has stopped the service (F3, F1).
   Why it matters: exit handlers and destructors come after the call.
   Catches: a time that begins with signals alone; an arming that the call takes back; "of the signal" where none was. */
CASE(a_service_that_hangs) {
  run_program(hangs_as_a_service, 1, end_after());
  check_ended(77);
  run_program(hangs_after_the_service, 1, end_after());
  check_ended(77);
  check_contains(" of the request to stop, and ends now with status 77\n");
}

/* A service that runs in a task of another registry. */
struct inner_run {
  const struct program *program;
  tr_registry *registry;
  tr_status status;
  int32_t code;
};

static int body_runs_another_registry(tr_task *self, void *ctx) {
  (void)self;
  struct inner_run *run = ctx;
  tr_run_options options = run_options(run->program);
  tr_exit_options exits = TR_EXIT_OPTIONS_INIT;
  exits.fd = run->program->out;
  options.exit = &exits;
  options.exit_after_ns = 3600 * SECOND;
  options.grace_ns = FOREVER;
  run->status = tr_run_until_stopped(run->registry, &options, &run->code);
  return 0;
}

enum { NOT_STOPPED, STOPPED_BY_TOKEN, STOPPED_BY_SIGNAL };

/* Cut the run short by its caller's flag; says whether something is armed afterwards. */
static int is_armed_after_a_run_cut_short(const struct program *this, int stop) {
  tr_registry *outer = registry_new(), *registry = registry_with_a_task();
  struct inner_run run = {this, registry, TR_OK, -1};
  if (stop == STOPPED_BY_TOKEN) tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, NULL);
  tr_task *task = spawn(outer, "runs", body_runs_another_registry, &run);
  struct sigaction action;
  while (sigaction(SIGTERM, NULL, &action) == 0 && action.sa_handler == SIG_DFL) breathe(); /* it has not begun */
  if (stop == STOPPED_BY_SIGNAL) kill(getpid(), SIGTERM);
  if (stop != NOT_STOPPED) CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(registry), FOREVER));
  for (int i = 0; i < 20; i++) breathe(); /* most likely it is in its wait, or in its shutdown */
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  CHECK_EQ(TR_ERR_CANCELLED, run.status);
  CHECK_EQ(TR_EXIT_FAILED, run.code);
  return tr_exit_by_cancel() == TR_OK;
}

static void is_cut_short(const struct program *this) {
  atomic_store(&this->told->armed_at, now_ns());
  _exit(is_armed_after_a_run_cut_short(this, NOT_STOPPED) ? 1 : CHECK_PASSED);
}
static void is_cut_short_in_its_shutdown(const struct program *this) {
  atomic_store(&this->told->armed_at, now_ns());
  _exit(is_armed_after_a_run_cut_short(this, STOPPED_BY_TOKEN) ? 1 : CHECK_PASSED);
}
static void is_cut_short_after_a_signal(const struct program *this) {
  atomic_store(&this->told->armed_at, now_ns());
  _exit(is_armed_after_a_run_cut_short(this, STOPPED_BY_SIGNAL) ? CHECK_PASSED : 1);
}

/* Proves: a run that the flag of its caller cuts short leaves nothing armed, unless a signal has asked the process to
   stop; and one whose shutdown had begun reports the tasks that are alive, as text (F3, F1, C4).
   Why it matters: the process of a service inside another goes on, and must not end an hour later; what did not stop is
   what the operator has to know.
   Catches: an arming that stays; one that a signal has begun and that is taken back; no report, or one that says that
   all tasks have ended. */
CASE(a_service_that_is_cut_short) {
  check_run_passed(is_cut_short);
  CHECK_EQ(0, ended.length);
  check_run_passed(is_cut_short_in_its_shutdown);
  check_contains("1 task alive\n");
  check_contains("task the task: ");
  CHECK(strstr(ended.report, "all tasks have ended") == NULL);
  check_run_passed(is_cut_short_after_a_signal);
  check_contains("task the task: ");
}

static int body_runs_its_registry(tr_task *self, void *registry) {
  (void)self;
  int32_t code = -1;
  return tr_run_until_stopped(registry, NULL, &code) == TR_ERR_DEADLOCK && code == TR_EXIT_FAILED ? 0 : 1;
}

/* Proves: wrong options are rejected, and start nothing; nor does a call in a task of the registry (F3, P4, J7).
   Why it matters: half a start would be a service that no signal stops.  Catches: a watch that stays. */
CASE(a_service_that_does_not_start) {
  tr_registry *registry = registry_new(), *other = registry_new();
  int32_t code = -1;
  tr_run_options options = TR_RUN_OPTIONS_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(NULL, &options, &code));
  CHECK_EQ(TR_EXIT_FAILED, code);
  options.flags = 0x80;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.flags = 0;
  options.reserved = 1;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.reserved = 0;
  options.exit_after_ns = -1;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.exit_after_ns = 0;
  tr_exit_options exits = TR_EXIT_OPTIONS_INIT;
  options.exit = &exits; /* without a time */
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.exit_after_ns = SECOND;
  exits.code = 1000;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.exit = NULL;
  options.exit_after_ns = 0;
  options.signals_count = 1;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  int signals[] = {SIGKILL, 65};
  options.signals = signals;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.signals_count = 2;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.signals_count = SIZE_MAX;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.signals = NULL;
  options.signals_count = 0;
  tr_shutdown_options shutdown = TR_SHUTDOWN_OPTIONS_INIT;
  shutdown.warn_percent = 1000;
  options.shutdown = &shutdown;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  options.shutdown = NULL;
  tr_systemd_options systemd = TR_SYSTEMD_OPTIONS_INIT;
  systemd.socket = "@taskreg-test-nobody-listens";
  options.systemd = &systemd;
  options.exit_after_ns = SECOND;
  CHECK_EQ(TR_ERR_SYSTEM, tr_run_until_stopped(registry, &options, &code)); /* READY=1 cannot be sent */
  CHECK_EQ(TR_EXIT_FAILED, code);
  CHECK_EQ(TR_ERR_INVALID, tr_exit_by_cancel());
  CHECK_EQ(TR_OK, tr_signal_watch_start(other, NULL, NULL)); /* no watch is left */
  options.systemd = NULL;
  CHECK_EQ(TR_ERR_INVALID, tr_run_until_stopped(registry, &options, &code));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(other));
  tr_task *task = spawn(registry, "runs", body_runs_its_registry, registry);
  tr_outcome outcome = outcome_of(task);
  CHECK_EQ(0, outcome.code);
  tr_task_release(task);
  registry_finish(registry);
  registry_finish(other);
}

CHECK_MAIN(CHECK_ENTRY(hang_before_shutdown), CHECK_ENTRY(hang_in_shutdown),
           CHECK_ENTRY(a_report_has_levels_and_progress), CHECK_ENTRY(hang_in_an_exit_handler),
           CHECK_ENTRY(hang_in_a_destructor), CHECK_ENTRY(hang_in_the_allocator),
           CHECK_ENTRY(hang_under_the_loaders_lock), CHECK_ENTRY(hang_in_the_log),
           CHECK_ENTRY(hang_with_all_signals_blocked), CHECK_ENTRY(hang_in_stdio),
           CHECK_ENTRY(hang_without_descriptors), CHECK_ENTRY(hang_with_all_descriptors_closed),
           CHECK_ENTRY(an_end_without_the_library),
           CHECK_ENTRY(a_report_that_nobody_reads), CHECK_ENTRY(an_end_by_abort), CHECK_ENTRY(a_reason_in_a_file),
           CHECK_ENTRY(a_time_that_begins_with_a_signal), CHECK_ENTRY(a_second_call_replaces_the_first),
           CHECK_ENTRY(cancelled), CHECK_ENTRY(a_child_is_not_armed), CHECK_ENTRY(wrong_arguments),
           CHECK_ENTRY(a_time_that_has_passed), CHECK_ENTRY(main_leaves_by_pthread_exit),
           CHECK_ENTRY(a_service_that_a_signal_stops), CHECK_ENTRY(a_service_with_a_straggler),
           CHECK_ENTRY(a_service_that_fails), CHECK_ENTRY(a_service_that_hangs),
           CHECK_ENTRY(a_service_that_is_cut_short),
           CHECK_ENTRY(a_service_that_does_not_start))
