/* containers.c - what containers take away: /proc, one's own numbers in it, a system call that a filter refuses.

   Each case makes its surroundings in a child process. Where this process may not make them, the case is left out, and
   says so. */

#include "support.h"

#include "deadline.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { LEFT_OUT = 77 };

#ifndef SYS_clone3 /* headers before Linux 5.3; the number is the same everywhere */
#define SYS_clone3 435
#endif

/* Run `body` in a child; 0 if the surroundings could not be made. */
static int ran(void (*body)(void *), void *argument) {
  int status = status_of_child(body, argument);
  if (WIFEXITED(status) && WEXITSTATUS(status) == LEFT_OUT) {
    dprintf(check_messages, "these surroundings cannot be made here: left out\n");
    return 0;
  }
  CHECK_EXITED(0, status);
  return 1;
}

/* ---- A filter that refuses clone3 ---------------------------------------------------------- */

static void refuse_clone3(unsigned error) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    _exit(LEFT_OUT);
}

static void spawn_without_clone3(void *argument) {
  (void)argument;
  refuse_clone3(ENOSYS);
  tr_registry *registry = registry_new();
  struct gate started = GATE_INIT;
  tr_task *task = spawn(registry, "obeys", body_obeys, &started);
  gate_await(&started, 1);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a filter that answers clone3 with ENOSYS costs nothing: there are threads as elsewhere (S6).
   Why it matters: older container runtimes answer so, and the page on platforms recommends it.
   Catches: threads that are made by a call of the library's own. */
CASE(a_clone3_that_is_not_there_costs_nothing) { ran(spawn_without_clone3, NULL); }

static void log_counts_advice(void *ctx, const tr_log_event *event) {
  CHECK_EQ(TR_EVENT_SPAWN_REJECTED, event->event);
  CHECK_EQ(TR_ERR_SYSTEM, event->code);
  CHECK_MSG(strstr(event->message, " (error 1; ") != NULL && strstr(event->message, "ENOSYS") != NULL, "%.300s",
            event->message);
  atomic_fetch_add((atomic_int *)ctx, 1);
}

static void spawn_with_clone3_forbidden(void *argument) {
  (void)argument;
  atomic_int rejections = 0;
  pthread_t thread;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_counts_advice;
  options.log_context = &rejections;
  tr_registry *registry = NULL;
  if (check_under_valgrind()) _exit(LEFT_OUT); /* glibc loses memory of a thread that it cannot make */
  refuse_clone3(EPERM);
  int code = pthread_create(&thread, NULL, thread_does_nothing, NULL);
  if (code != EPERM) _exit(LEFT_OUT); /* this libc does not make that call, or tries another after it */
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.drop = drop_never;
  tr_task *task = NULL;
  errno = 0;
  CHECK_EQ(TR_ERR_SYSTEM, tr_spawn_with(registry, "never", TR_KIND_MAINTENANCE, body_never, NULL, &how, &task));
  CHECK_EQ(EPERM, errno);
  CHECK(task == NULL);
  CHECK_EQ(1, atomic_load(&rejections));
  registry_finish(registry);
}

/* Proves: where a filter forbids clone3, tr_spawn returns TR_ERR_SYSTEM with EPERM, the log says what the filter has to do
   instead, and the registry is as it was (S6, O2).  Why it matters: "try again later" would send a program into a loop.
   Catches: TR_ERR_AGAIN for every error; an errno that a clean-up changed; an event that names no cause. */
CASE(a_forbidden_clone3_is_an_error_with_its_name) { ran(spawn_with_clone3_forbidden, NULL); }

/* ---- A /proc that is not there, or is somebody else's ---------------------------------------- */

static int body_reads(tr_task *self, void *ctx) {
  char byte;
  (void)self;
  return read(*(int *)ctx, &byte, 1) == 1 ? 0 : 1;
}

/* Shut down with a task that does not stop: the report has its name, and what is not known of it is not guessed. */
static void report_a_straggler(int error) {
  static char text[65536];
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "reads", body_reads, &ends[0]);
  tr_task_release(task);
  tr_report *full = NULL;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown_report(registry, TR_REASON_USER_REQUESTED, "stop", 50 * MS, NULL, &full));
  CHECK_EQ(1, straggler_count(full));
  tr_straggler straggler = straggler_called(full, "reads");
  CHECK_EQ(error, straggler.probe_error);
  CHECK(straggler.syscall == -1 && straggler.syscall_name == NULL && straggler.scheduler_state == 0);
  CHECK(straggler.descriptor == -1 && straggler.wait_channel[0] == 0);
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_report_write_buffer(full, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "straggler reads: ") != NULL && strstr(text, "not all is known of its thread: ") != NULL,
            "%.300s", text);
  tr_report_release(full);
  CHECK_EQ(1, write(ends[1], "", 1));
  registry_finish(registry);
}

static void live_without_proc(void *argument) {
  (void)argument;
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
      mount("none", "/proc", "tmpfs", 0, NULL) != 0)
    _exit(LEFT_OUT);
  report_a_straggler(ENOENT);
}

/* Proves: without /proc a shutdown reports who did not stop, and says that it does not know the rest (E2, E12).
   Why it matters: chroots and small containers have none, and are where services hang unseen.
   Catches: a report that needs /proc; a state that is made of nothing. */
CASE(without_proc_a_report_has_the_names) {
  if (check_under_a_tool()) return; /* tools read /proc themselves */
  ran(live_without_proc, NULL);
}

static void live_with_a_foreign_proc(void *argument) {
  (void)argument;
  if (unshare(CLONE_NEWPID) != 0) _exit(LEFT_OUT);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm((unsigned)(10 * check_scale()));
    CHECK_EQ(1, getpid()); /* and /proc knows it by another number */
    report_a_straggler(ENOENT);
    _exit(0);
  }
  int status = 0;
  CHECK_EQ(child, waitpid(child, &status, 0));
  CHECK_EXITED(0, status);
}

/* Proves: where /proc is that of another namespace of process ids, which has other numbers for the same threads, a report
   has the names and takes nothing from the files of whoever has these numbers there (E2, E12).
   Why it matters: `unshare --pid` without a /proc of its own is one forgotten option.
   Catches: a state read from /proc/PID of somebody else. */
CASE(a_foreign_proc_is_not_believed) {
  if (check_under_a_tool()) return;
  ran(live_with_a_foreign_proc, NULL);
}

CHECK_MAIN(CHECK_ENTRY(a_clone3_that_is_not_there_costs_nothing),
           CHECK_ENTRY(a_forbidden_clone3_is_an_error_with_its_name),
           CHECK_ENTRY(without_proc_a_report_has_the_names),
           CHECK_ENTRY(a_foreign_proc_is_not_believed))
