/* filters.c - the system calls that the library makes, for people who write filters (seccomp(2)).

   Proves: each row of the table below does its work under a filter that allows the row's calls and those that every
   program with the library makes, and kills the process for any other. And no row names a call of its own that its
   functions can do without: under a filter that lacks it they are killed.
   Why it matters: a filter that lacks one call breaks a service where nobody tests: in its clean-up, on its last day.
   Catches: a new system call of the library's that nobody wrote down; a row that has become too long.

   filters            runs every row
   filters --plain N  runs row N without a filter, for strace(1)
   filters --table    writes the table as docs/platforms.md has it

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <taskreg.h>

#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      dprintf(2, "filters.c:%d: not so: %s\n", __LINE__, #condition);                              \
      _exit(1);                                                                                    \
    }                                                                                              \
  } while (0)

static tr_registry *registry;
static int silent[2]; /* a pipe that nobody writes to */
static int nowhere;   /* /dev/null */
/* What stragglers read from, and what is written to at last: a pipe, one with a name, a unix socket, a TCP connection. */
enum { SORTS = 4 };
static int readers[SORTS], writers[SORTS];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, of_a_thread = PTHREAD_MUTEX_INITIALIZER, robust;
static atomic_int thread_holds;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_t thread; /* waits for `mutex` */

static void begin(void) { CHECK(tr_registry_create(NULL, &registry) == TR_OK); }
static void end(void) {
  CHECK(tr_shutdown(registry, TR_REASON_USER_REQUESTED, "end", TR_SECONDS(20), NULL) == TR_OK);
  tr_registry_release(registry);
}
static int sleeps(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_sleep(TR_SECONDS(60)) == TR_ERR_CANCELLED ? 0 : 1;
}
static int polls(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_wait_fd(silent[0], POLLIN, TR_SECONDS(60)) == TR_ERR_CANCELLED ? 0 : 1;
}
static void spawn(tr_task_fn body) {
  CHECK(tr_spawn(registry, "task", TR_KIND_BACKGROUND_LOOP, body, NULL, NULL) == TR_OK);
  CHECK(tr_sleep(TR_MILLISECONDS(50)) == TR_OK);
}

static void run_tasks(void) {
  tr_task *task;
  tr_task_summary list[4] = {TR_TASK_SUMMARY_INIT};
  size_t count = 0;
  begin();
  spawn(sleeps);
  CHECK(tr_spawn(registry, "waits", TR_KIND_BACKGROUND_LOOP, sleeps, NULL, &task) == TR_OK);
  CHECK(tr_task_wait(task, TR_MILLISECONDS(30), NULL) == TR_ERR_TIMEDOUT);
  CHECK(tr_snapshot(registry, list, 4, &count) == TR_OK && count == 2);
  TR_IGNORE(tr_task_cancel(task));
  CHECK(tr_task_wait(task, TR_SECONDS(20), NULL) == TR_OK);
  tr_task_release(task);
  tr_token *token = tr_token_create_with_timeout(TR_MILLISECONDS(20));
  CHECK(token != NULL && tr_token_wait(token, TR_SECONDS(20)) == TR_OK);
  tr_token_release(token);
  end();
}
static void run_descriptors(void) {
  int fd = -1;
  begin();
  CHECK(tr_token_fd(tr_registry_token(registry), &fd) == TR_OK && fd >= 0);
  spawn(polls);
  end();
}
static void run_signals(void) {
  sigset_t set;
  begin();
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  CHECK(tr_signal_watch_start(registry, &set, NULL) == TR_OK);
  CHECK(raise(SIGUSR1) == 0);
  CHECK(tr_token_wait(tr_registry_token(registry), TR_SECONDS(20)) == TR_OK);
  CHECK(tr_signal_watch_stop(registry) == TR_OK);
  end();
}
static int answer[2]; /* a pipe that an explanation is written to */
static void run_explanations(void) {
  static char text[16384];
  size_t length = 0;
  const tr_signal_role role = {SIGUSR2, TR_SIGNAL_EXPLAIN, 0, answer[1]};
  tr_signal_options options = TR_SIGNAL_OPTIONS_INIT;
  options.roles = &role;
  options.roles_count = 1;
  begin();
  CHECK(tr_signal_watch_start(registry, NULL, &options) == TR_OK);
  spawn(sleeps);
  CHECK(raise(SIGUSR2) == 0);
  while (strstr(text, "task task: ") == NULL) {
    ssize_t count = read(answer[0], text + length, sizeof text - 1 - length);
    CHECK(count > 0);
    length += (size_t)count;
  }
  CHECK(tr_signal_watch_stop(registry) == TR_OK);
  end();
}
static int reads(tr_task *self, void *ctx) {
  int *fd = ctx;
  char byte;
  (void)self;
  while (read(*fd, &byte, 1) != 1) continue; /* the signal for a backtrace interrupts it */
  return 0;
}
static int locks(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  return 0;
}
static int locks_robust(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  CHECK(pthread_mutex_lock(&robust) == 0);
  CHECK(pthread_mutex_unlock(&robust) == 0);
  return 0;
}
static int locks_to_write(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  CHECK(pthread_rwlock_wrlock(&rwlock) == 0);
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  return 0;
}
static int joins(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  CHECK(pthread_join(thread, NULL) == 0);
  return 0;
}
static int locks_of_a_thread(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  CHECK(pthread_mutex_lock(&of_a_thread) == 0);
  CHECK(pthread_mutex_unlock(&of_a_thread) == 0);
  return 0;
}
static void *locks_in_a_thread(void *ctx) {
  CHECK(pthread_mutex_lock(&of_a_thread) == 0);
  atomic_store(&thread_holds, 1);
  TR_IGNORE(locks(NULL, ctx));
  CHECK(pthread_mutex_unlock(&of_a_thread) == 0);
  return NULL;
}
static void finds(const char *text, const char *expected) {
  if (strstr(text, expected) == NULL) dprintf(2, "no \"%s\" in\n%s", expected, text);
  CHECK(strstr(text, expected) != NULL);
}
/* A report on stragglers of each sort: in a wait of the library, in each kind of lock, and in a read of each sort of
   descriptor that is asked in a way of its own. */
static void explain(const char *more) {
  static char text[262144];
  size_t length = 0;
  tr_report *report = NULL;
  pthread_mutexattr_t attributes;
  begin();
  CHECK(pthread_mutexattr_init(&attributes) == 0);
  CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
  CHECK(pthread_mutex_init(&robust, &attributes) == 0);
  CHECK(pthread_mutex_lock(&mutex) == 0);
  CHECK(pthread_mutex_lock(&robust) == 0);
  CHECK(pthread_rwlock_wrlock(&rwlock) == 0);
  CHECK(pthread_create(&thread, NULL, locks_in_a_thread, NULL) == 0);
  while (!atomic_load(&thread_holds)) continue;
  for (int sort = 0; sort < SORTS; sort++)
    CHECK(tr_spawn(registry, "reads", TR_KIND_PEER_CONNECTION, reads, &readers[sort], NULL) == TR_OK);
  tr_task_fn const others[] = {sleeps, locks, locks_of_a_thread, locks_robust, locks_to_write, joins};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) spawn(others[i]);
  CHECK(tr_explain(registry, &report) == TR_OK);
  CHECK(tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length) == TR_OK);
  finds(text, "asleep");
  finds(text, "waits for mutex");
  finds(text, "waits for read-write lock");
  finds(text, "waits for the end of");
  finds(text, ": pipe, ");
  finds(text, ": pipe /");
  finds(text, ": unix stream");
  finds(text, ": tcp ");
  finds(text, more);
  tr_report_release(report);
  CHECK(pthread_rwlock_unlock(&rwlock) == 0);
  CHECK(pthread_mutex_unlock(&robust) == 0);
  CHECK(pthread_mutex_unlock(&mutex) == 0);
  for (int sort = 0; sort < SORTS; sort++) CHECK(write(writers[sort], "", 1) == 1);
  end();
}
static void run_reports(void) { explain(""); }
static void run_backtraces(void) {
  CHECK(tr_enable_backtraces(SIGRTMIN + 4) == TR_OK);
  explain("#1 0x");
}
/* Makes the descriptors of `explain`, which needs calls for that that the library does not make. */
static void open_all(void) {
  char path[] = "/tmp/taskreg-filters-XXXXXX", name[64];
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  int ends[2];
  CHECK(pipe(ends) == 0);
  readers[0] = ends[0], writers[0] = ends[1];
  CHECK(mkdtemp(path) != NULL);
  snprintf(name, sizeof name, "%s/pipe", path);
  CHECK(mkfifo(name, 0600) == 0);
  readers[1] = open(name, O_RDONLY | O_NONBLOCK);
  writers[1] = open(name, O_WRONLY);
  CHECK(readers[1] >= 0 && writers[1] >= 0);
  CHECK(fcntl(readers[1], F_SETFL, 0) == 0);
  CHECK(unlink(name) == 0 && rmdir(path) == 0);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  readers[2] = ends[0], writers[2] = ends[1];
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
  CHECK(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
  writers[3] = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(connect(writers[3], (struct sockaddr *)&address, sizeof address) == 0);
  readers[3] = accept(listener, NULL, NULL);
  CHECK(readers[3] >= 0);
  close(listener);
}
static void run_cancel_signal(void) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.cancel_signal = SIGUSR2;
  CHECK(tr_install_cancel_signal(SIGUSR2) == TR_OK);
  begin();
  CHECK(tr_spawn_with(registry, "signalled", TR_KIND_BACKGROUND_LOOP, sleeps, NULL, &options, NULL) == TR_OK);
  CHECK(tr_sleep(TR_MILLISECONDS(50)) == TR_OK);
  end();
}
static const char socket_name[] = "taskreg-filters";
static void run_systemd(void) {
  tr_systemd_options options = TR_SYSTEMD_OPTIONS_INIT;
  options.socket = "@taskreg-filters";
  begin();
  CHECK(tr_systemd_start(registry, &options) == TR_OK);
  CHECK(tr_systemd_stop(registry) == TR_OK);
  end();
}
static void run_exit_by(void) {
  CHECK(tr_exit_by(TR_MILLISECONDS(50), NULL) == TR_OK);
  for (;;) poll(NULL, 0, -1);
}

typedef struct {
  const char *name;
  int number;
} call;
#ifndef SYS_poll /* aarch64 has ppoll alone */
#define SYS_poll SYS_ppoll
#endif
#ifndef SYS_close_range /* headers before Linux 5.9 */
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open /* headers before Linux 5.3 */
#define SYS_pidfd_open 434
#endif
#define C(name) {#name, SYS_##name}
enum { MOST = 48 };
/* Of locks, of pipes and files, of sockets. */
#define REPORTS                                                                                    \
  C(process_vm_readv), C(get_robust_list), C(nanosleep), C(pread64), C(pidfd_open), C(fcntl),      \
      C(statx), C(getsockname), C(getpeername), C(getsockopt), C(ioctl)

/* Row 0 is what every program with the library makes; the calls of the others are in addition to it. */
static const struct row {
  const char *functions;
  void (*run)(void);
  int status; /* of a process that has done its work */
  call calls[MOST];
} rows[] = {
    {"the process itself; tasks, waits, tokens, timeouts, heartbeats, shutdowns, snapshots, metrics", run_tasks, 0,
     {C(exit_group), C(exit), C(write), C(brk), C(clone), C(clone3), C(rseq), C(set_robust_list), C(futex), C(mmap),
      C(munmap), C(mprotect), C(madvise), C(rt_sigprocmask), C(rt_sigaction), C(rt_sigreturn), C(sigaltstack),
      C(getpid), C(gettid), C(tgkill), C(prctl), C(close), C(set_tid_address), C(sched_getaffinity), C(sched_getattr),
      C(capget), C(setfsuid), C(setfsgid), C(kcmp), C(readlinkat), C(ioprio_get), C(get_mempolicy), C(openat),
      C(read), C(getrandom), C(clock_gettime), C(sched_setattr), C(sched_setaffinity), C(ioprio_set), C(set_mempolicy), C(getuid),
      C(geteuid), C(getgid), C(getegid)}},
    {"`tr_token_fd`, `tr_task_fd`, `tr_wait_fd`", run_descriptors, 0, {C(eventfd2), C(ppoll)}},
    {"`tr_signal_watch_start`", run_signals, 0, {{0, 0}}},
    {"`TR_SIGNAL_EXPLAIN`; more as for full reports", run_explanations, 0,
     {C(rt_sigpending), C(poll), C(nanosleep), C(process_vm_readv), C(pread64)}},
    {"full reports: `tr_explain`, `tr_shutdown_report`, `tr_join_all_report`", run_reports, 0, {REPORTS}},
    {"`tr_enable_backtraces`, and full reports then", run_backtraces, 0, {REPORTS}},
    {"`tr_install_cancel_signal`", run_cancel_signal, 0, {C(rt_sigtimedwait)}},
    {"`tr_systemd_start`", run_systemd, 0, {C(socket), C(connect), C(sendto)}},
    {"`tr_exit_by`, `tr_run_until_stopped`", run_exit_by, 124,
     {C(fcntl), C(getdents64), C(poll), C(close_range), C(rt_sigpending)}},
};
enum { ROWS = sizeof rows / sizeof *rows };

/* Allows the calls of row 0 and of `row` but `without`, and kills the process for all others. */
static void filter(int row, const call *without) {
  static struct sock_filter program[2 * MOST * 2 + 4];
  unsigned short length = 0;
  program[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int pass = 0; pass < (row == 0 ? 1 : 2); pass++)
    for (const call *one = rows[pass == 0 ? 0 : row].calls; one->name != NULL; one++) {
      if (one == without) continue;
      program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)one->number, 0, 1);
      program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
  program[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  struct sock_fprog all = {length, program};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) == 0);
}

/* Runs a row in a process of its own; returns how that ended. */
static int run(int row, const call *without) {
  int status = 0;
  fflush(stdout);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    char number[12], call[12];
    snprintf(number, sizeof number, "%d", row);
    snprintf(call, sizeof call, "%d", without == NULL ? -1 : (int)(without - rows[row].calls));
    /* Not in this child: of one that has executed no program a report says less (Q1). */
    execl("/proc/self/exe", "filters", "--row", number, call, (char *)NULL);
    _exit(126);
  }
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

/* In a process of its own: runs a row under its filter, from which a call may be left out. */
static void run_filtered(int row, int call) {
  alarm(60);
  if (call >= 0 || rows[row].status != 0) CHECK(dup2(nowhere, 2) == 2); /* ends that are meant to be */
  filter(row, call < 0 ? NULL : &rows[row].calls[call]);
  rows[row].run();
  _exit(0);
}

static void write_table(void) {
  printf("| What | System calls |\n|---|---|\n");
  for (int row = 0; row < ROWS; row++) {
    printf("| %s | ", rows[row].functions);
    if (rows[row].calls[0].name == NULL) printf("no others");
    for (const call *one = rows[row].calls; one->name != NULL; one++) printf("%s%s", one == rows[row].calls ? "" : ", ", one->name);
    printf(" |\n");
  }
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int failures = 0;
  if (argc == 2 && strcmp(argv[1], "--table") == 0) {
    write_table();
    return 0;
  }
  CHECK(pipe(silent) == 0 && pipe(answer) == 0);
  open_all();
  nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (argc == 4 && strcmp(argv[1], "--row") == 0) run_filtered(atoi(argv[2]), atoi(argv[3]));
  memcpy(address.sun_path + 1, socket_name, sizeof socket_name - 1);
  int receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
  CHECK(bind(receiver, (struct sockaddr *)&address,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof socket_name)) == 0);
  if (argc == 3 && strcmp(argv[1], "--plain") == 0) {
    rows[atoi(argv[2])].run();
    return 0;
  }
  for (int row = 0; row < ROWS; row++) {
    int status = run(row, NULL);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != rows[row].status) {
      printf("FAILED: %s: ended by signal %d or with status %d\n", rows[row].functions,
             WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
      failures++;
      continue;
    }
    int surplus = 0;
    for (const call *one = rows[row].calls; row > 0 && one->name != NULL; one++) {
      status = run(row, one);
      if (WIFEXITED(status) && WEXITSTATUS(status) == rows[row].status) {
        printf("FAILED: %s: does as well without %s\n", rows[row].functions, one->name);
        surplus++;
      }
    }
    failures += surplus;
    if (surplus == 0) printf("ok: %s\n", rows[row].functions);
  }
  return failures != 0;
}
