/* thread_state.c - the state that the kernel keeps for each thread: what a task finds, whichever
   thread created its own and whatever ran there before. Rule S1, and S2 for names. */

#include "support.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- The table of the contract, row by row ------------------------------------------------------------ */

enum { TEXT = 192 };

/* One item that the kernel keeps for a thread: how a task changes it, 0 on success, and its present
   value. */
struct row {
  const char *name;
  int (*change)(void);
  void (*read)(char *text);
};

static int change_mask(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  return pthread_sigmask(SIG_BLOCK, &set, NULL);
}
static void read_mask(char *text) {
  sigset_t set;
  pthread_sigmask(SIG_SETMASK, NULL, &set);
  snprintf(text, TEXT, "%d", sigismember(&set, SIGUSR2));
}

static char handler_stack[1 << 16];
static int change_stack(void) {
  stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack, .ss_flags = 0};
  return sigaltstack(&stack, NULL);
}
static void read_stack(char *text) {
  stack_t stack;
  sigaltstack(NULL, &stack);
  int is_own = stack.ss_sp == handler_stack && !(stack.ss_flags & SS_DISABLE);
  snprintf(text, TEXT, "%s", is_own ? "the task's" : "none of the task's");
}

static int change_name(void) { return prctl(PR_SET_NAME, "a task's", 0, 0, 0); }
static void read_name(char *text) { prctl(PR_GET_NAME, text, 0, 0, 0); }

static int change_nice(void) {
  return setpriority(PRIO_PROCESS, (id_t)gettid(), getpriority(PRIO_PROCESS, (id_t)gettid()) + 3);
}
static void read_nice(char *text) { snprintf(text, TEXT, "%d", getpriority(PRIO_PROCESS, (id_t)gettid())); }

static int change_policy(void) {
  struct sched_param none = {0};
  return sched_setscheduler(0, SCHED_BATCH, &none);
}
static void read_policy(char *text) { snprintf(text, TEXT, "%d", sched_getscheduler(0)); }

static int change_affinity(void) {
  cpu_set_t now, one;
  CPU_ZERO(&one);
  if (sched_getaffinity(0, sizeof now, &now) != 0 || CPU_COUNT(&now) < 2) return -1;
  for (int i = 0;; i++)
    if (CPU_ISSET(i, &now)) return CPU_SET(i, &one), sched_setaffinity(0, sizeof one, &one);
}
static void read_affinity(char *text) {
  cpu_set_t now;
  CPU_ZERO(&now);
  sched_getaffinity(0, sizeof now, &now);
  snprintf(text, TEXT, "%d", CPU_COUNT(&now));
}

static int change_fsuid(void) {
  setfsuid(54321);
  return setfsuid((uid_t)-1) == 54321 ? 0 : -1;
}
static void read_fsuid(char *text) { snprintf(text, TEXT, "%d", setfsuid((uid_t)-1)); }

static int change_fsgid(void) {
  setfsgid(54321);
  return setfsgid((gid_t)-1) == 54321 ? 0 : -1;
}
static void read_fsgid(char *text) { snprintf(text, TEXT, "%d", setfsgid((gid_t)-1)); }

static struct __user_cap_header_struct own_capabilities = {_LINUX_CAPABILITY_VERSION_3, 0};
static int change_capabilities(void) {
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &own_capabilities, data) != 0 || data[0].effective == 0) return -1;
  data[0].effective = 0;
  return (int)syscall(SYS_capset, &own_capabilities, data);
}
static void read_capabilities(char *text) {
  struct __user_cap_data_struct data[2];
  memset(data, 0, sizeof data);
  syscall(SYS_capget, &own_capabilities, data);
  snprintf(text, TEXT, "%x", data[0].effective);
}

static int change_securebits(void) { return prctl(PR_SET_SECUREBITS, 1, 0, 0, 0); /* SECBIT_NOROOT */ }
static void read_securebits(char *text) {
  snprintf(text, TEXT, "%d", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
}

static int change_directory(void) {
  if (unshare(CLONE_FS) != 0 || chdir("/proc") != 0) return -1;
  umask(0707);
  return 0;
}
static void read_directory(char *text) {
  char path[TEXT / 2] = "?";
  CHECK(getcwd(path, sizeof path) != NULL || errno == ERANGE);
  mode_t mask = umask(022);
  umask(mask);
  snprintf(text, TEXT, "%s %03o", path, (unsigned)mask);
}

static int lasting_descriptor = -1;
static int change_descriptors(void) {
  if (unshare(CLONE_FILES) != 0) return -1;
  return close(lasting_descriptor);
}
static void read_descriptors(char *text) {
  snprintf(text, TEXT, "%s", fcntl(lasting_descriptor, F_GETFD) >= 0 ? "open" : "closed");
}

static void read_namespace(const char *name, char *text) {
  char path[64];
  snprintf(path, sizeof path, "/proc/thread-self/ns/%s", name);
  ssize_t length = readlink(path, text, TEXT - 1);
  text[length < 0 ? 0 : length] = 0;
}
static int change_uts(void) { return unshare(CLONE_NEWUTS); }
static void read_uts(char *text) { read_namespace("uts", text); }
static int change_net(void) { return unshare(CLONE_NEWNET); }
static void read_net(char *text) { read_namespace("net", text); }
static int change_ipc(void) { return unshare(CLONE_NEWIPC); }
static void read_ipc(char *text) { read_namespace("ipc", text); }
static int change_cgroup(void) { return unshare(CLONE_NEWCGROUP); }
static void read_cgroup(char *text) { read_namespace("cgroup", text); }
static int change_pid(void) { return unshare(CLONE_NEWPID); }
static void read_pid(char *text) { read_namespace("pid_for_children", text); }
static int change_mount(void) { return unshare(CLONE_NEWNS); }
static void read_mount(char *text) { read_namespace("mnt", text); }

static int change_slack(void) { return prctl(PR_SET_TIMERSLACK, 7654321, 0, 0, 0); }
static void read_slack(char *text) { snprintf(text, TEXT, "%d", prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0)); }

static int change_io_priority(void) { return (int)syscall(SYS_ioprio_set, 1, 0, 3 << 13); /* idle */ }
static void read_io_priority(char *text) { snprintf(text, TEXT, "%ld", syscall(SYS_ioprio_get, 1, 0)); }

static int change_memory_policy(void) {
  unsigned long nodes = 1;
  return (int)syscall(SYS_set_mempolicy, 1 /* MPOL_PREFERRED */, &nodes, sizeof nodes * 8);
}
static void read_memory_policy(char *text) {
  int mode = -1;
  syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0);
  snprintf(text, TEXT, "%d", mode);
}

static int change_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); }
static void read_privileges(char *text) {
  snprintf(text, TEXT, "%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static int change_seccomp(void) {
  struct sock_filter allow[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {1, allow};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
static void read_seccomp(char *text) { snprintf(text, TEXT, "%d", prctl(PR_GET_SECCOMP, 0, 0, 0, 0)); }

static const struct row kept_from_others[] = {
    {"signal mask", change_mask, read_mask},
    {"stack for signal handlers", change_stack, read_stack},
    {"name", change_name, read_name},
    {"nice value", change_nice, read_nice},
    {"policy", change_policy, read_policy},
    {"affinity", change_affinity, read_affinity},
    {"file system's user id", change_fsuid, read_fsuid},
    {"file system's group id", change_fsgid, read_fsgid},
    {"capabilities", change_capabilities, read_capabilities},
    {"securebits", change_securebits, read_securebits},
    {"directory and umask", change_directory, read_directory},
    {"descriptors", change_descriptors, read_descriptors},
    {"namespace of host names", change_uts, read_uts},
    {"namespace of networks", change_net, read_net},
    {"namespace of IPC", change_ipc, read_ipc},
    {"namespace of control groups", change_cgroup, read_cgroup},
    {"namespace of process ids", change_pid, read_pid},
    {"namespace of mounts", change_mount, read_mount},
    {"timer slack", change_slack, read_slack},
    {"I/O priority", change_io_priority, read_io_priority},
    {"memory policy", change_memory_policy, read_memory_policy},
    {"no_new_privs", change_privileges, read_privileges},
    {"seccomp", change_seccomp, read_seccomp},
};
enum { ROWS = sizeof kept_from_others / sizeof *kept_from_others };

struct seen {
  const struct row *row;
  int refused;
  pid_t thread;
  char before[TEXT], after[TEXT];
};

static int body_reads(tr_task *self, void *ctx) {
  struct seen *seen = ctx;
  (void)self;
  seen->thread = gettid();
  seen->row->read(seen->after);
  return 0;
}

/* Changes it, and works for 50 microseconds, as what enters a namespace or acts for a user does. */
static int body_changes(tr_task *self, void *ctx) {
  struct seen *seen = ctx;
  (void)self;
  seen->thread = gettid();
  seen->row->read(seen->before);
  seen->refused = seen->row->change() != 0;
  if (!seen->refused) {
    seen->row->read(seen->after);
    /* no_new_privs may have been set before; another change would say nothing. */
    seen->refused = strcmp(seen->before, seen->after) == 0;
  }
  for (int64_t end = now_ns() + 50000; now_ns() < end;) continue;
  return 0;
}

static void read_in(tr_registry *registry, struct seen *seen) {
  wait_and_release(spawn(registry, seen->row->name, body_reads, seen));
}

static void changes_and_looks(void *argument) {
  const struct row *row = argument;
  tr_registry *registry = registry_new();
  struct seen taint = {.row = row}, seen = {.row = row};
  lasting_descriptor = dup(2);
  CHECK(lasting_descriptor >= 0);
  /* The first is a new thread's, which is checked anyway, and the third one that has served
     others. */
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < i; j++) wait_and_release(spawn(registry, "nothing", body_returns, NULL));
    read_in(registry, &seen);
    char usual[TEXT];
    strcpy(usual, seen.after);
    wait_and_release(spawn(registry, row->name, body_changes, &taint));
    if (taint.refused) break;
    /* Twice: the one that is awake, and, it may be, one that slept. */
    for (int j = 0; j < 2; j++) {
      read_in(registry, &seen);
      CHECK_MSG(strcmp(seen.after, usual) == 0, "%s: the next task finds %s instead of %s", row->name,
                seen.after, usual);
    }
  }
  if (taint.refused) fprintf(stderr, "# %s: refused here\n", row->name);
  registry_finish(registry);
  close(lasting_descriptor);
}

/* Proves: whatever state of its thread in the kernel a task changed, the next task finds it as it
   was, for each row of the table that says so (S1, S2). Why it matters: another user's files,
   another network, or a confinement meant for one request, in unrelated work. Catches: a row that
   is not checked, or not restored. */
CASE(what_a_task_changes_of_its_thread_meets_no_other) {
  for (int i = 0; i < ROWS; i++) {
    struct row row = kept_from_others[i];
    int status = status_of_child(changes_and_looks, &row);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: status 0x%x", row.name,
              (unsigned)status);
  }
}

static pthread_key_t looks_at_the_end;
static atomic_int left; /* 1: the thread left without the task's stack for handlers; 2: with it */

static void look_at_the_end(void *value) {
  char text[TEXT];
  (void)value;
  read_stack(text);
  atomic_store(&left, strcmp(text, "the task's") == 0 ? 2 : 1);
}

static int body_installs_a_stack(tr_task *self, void *ctx) {
  CHECK_EQ(0, pthread_setspecific(looks_at_the_end, ctx));
  TR_IGNORE(tr_task_wait_cancelled(self, FOREVER));
  CHECK_EQ(0, change_stack());
  for (int64_t end = now_ns() + 50000; now_ns() < end;) continue;
  return 0;
}

/* Proves: a thread that serves no other task, as its registry has closed or the task had it for itself, leaves without the
   stack for handlers that its task has installed (S1). Why it matters: a handler that runs meanwhile would run on memory that is
   freed; AddressSanitizer ends the process. Catches: a stack restored only for the next task. */
CASE(a_thread_that_leaves_has_no_stack_of_its_task) {
  CHECK_EQ(0, pthread_key_create(&looks_at_the_end, look_at_the_end));
  for (int fresh = 0; fresh < 2; fresh++) {
    tr_registry *registry = registry_new();
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    if (fresh) options.flags = TR_SPAWN_FRESH_THREAD;
    tr_task *task = NULL;
    atomic_store(&left, 0);
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "stack", TR_KIND_MAINTENANCE, body_installs_a_stack, &left, &options, &task));
    if (fresh) CHECK_EQ(TR_OK, tr_task_cancel(task));
    if (fresh) CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    tr_task_release(task);
    registry_finish(registry);
    CHECK_EQ(1, atomic_load(&left));
  }
  CHECK_EQ(0, pthread_key_delete(looks_at_the_end));
}

static int body_only_changes(tr_task *self, void *ctx) {
  (void)self;
  return ((const struct row *)ctx)->change();
}

/* Proves: mask, stack for handlers, name, nice value and policy are right after a body too, that
   does nothing but change them and ends at once, in a thread that is awake (S1). Why it matters: a
   handler that runs on memory another task has freed overwrites other data. Catches: a body taken
   for too short to have changed anything. */
CASE(the_shortest_body_that_changes_its_thread_is_noticed) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 5; i++) {
    struct row row = kept_from_others[i];
    struct seen seen = {.row = &row};
    for (int j = 0, rounds = check_rounds(200); j < rounds; j++) {
      read_in(registry, &seen);
      char usual[TEXT];
      strcpy(usual, seen.after);
      wait_and_release(spawn(registry, row.name, body_only_changes, &row));
      read_in(registry, &seen);
      CHECK_MSG(strcmp(seen.after, usual) == 0, "%s: %s instead of %s", row.name, seen.after, usual);
    }
  }
  registry_finish(registry);
}

static int body_changes_what_stays(tr_task *self, void *ctx) {
  (void)self;
  *(pid_t *)ctx = gettid();
  CHECK_EQ(0, prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
  return 0;
}

static int body_finds_it_unchanged(tr_task *self, void *ctx) {
  int signal = -1;
  (void)self;
  CHECK(gettid() != *(pid_t *)ctx);
  CHECK_EQ(0, prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0));
  CHECK_EQ(0, signal);
  return 0;
}

/* Proves: state that the table leaves to the application affects no other task when the body is
   spawned with TR_SPAWN_FRESH_THREAD (S1). Why it matters: it is the way out that the table names.
   Catches: a fresh thread that is kept. */
CASE(a_fresh_thread_takes_what_stays_with_it) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 20; i++) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.flags = TR_SPAWN_FRESH_THREAD;
    pid_t thread = 0;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "changes", TR_KIND_APPLICATION, body_changes_what_stays, &thread,
                                  &options, &task));
    wait_and_release(task);
    wait_and_release(spawn(registry, "looks", body_finds_it_unchanged, &thread));
  }
  registry_finish(registry);
}

/* ---- Whose scheduling ------------------------------------------------------------------------------- */

struct scheduled {
  int nice, policy, cpus;
};

static struct scheduled scheduling_of(pid_t thread) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CHECK_EQ(0, sched_getaffinity(thread, sizeof set, &set));
  struct scheduled now = {getpriority(PRIO_PROCESS, (id_t)thread), sched_getscheduler(thread), CPU_COUNT(&set)};
  return now;
}

static void check_scheduled(struct scheduled expected, struct scheduled now) {
  CHECK_EQ(expected.nice, now.nice);
  CHECK_EQ(expected.policy, now.policy);
  CHECK_EQ(expected.cpus, now.cpus);
}

static int body_notes_scheduling(tr_task *self, void *ctx) {
  (void)self;
  *(struct scheduled *)ctx = scheduling_of(gettid());
  return 0;
}

/* A housekeeping thread, which has made itself unimportant. */
static void become_unimportant(void) {
  CHECK_EQ(0, setpriority(PRIO_PROCESS, (id_t)gettid(), 15));
  struct sched_param none = {0};
  CHECK_EQ(0, sched_setscheduler(0, SCHED_BATCH, &none));
  change_affinity();
}

static void *spawns_first(void *registry) {
  struct scheduled now;
  become_unimportant();
  wait_and_release(spawn(registry, "housekeeping", body_notes_scheduling, &now));
  return NULL;
}

static void *creates(void *registry) {
  become_unimportant();
  *(tr_registry **)registry = registry_new();
  return NULL;
}

static void run_thread(void *(*body)(void *), void *argument) {
  pthread_t thread;
  CHECK_EQ(0, pthread_create(&thread, NULL, body, argument));
  CHECK_EQ(0, pthread_join(thread, NULL));
}

/* Proves: a task has the scheduling of the thread that created its registry, whichever thread
   created the one it runs in (S1). Why it matters: work that others wait for would run at nice 15,
   on one CPU, because a housekeeping thread came first. Catches: threads that keep their creators'
   scheduling; taking a thread's first state for the right one. */
CASE(tasks_are_scheduled_as_the_creator_of_their_registry) {
  struct scheduled own = scheduling_of(0), seen;
  tr_registry *registry = registry_new();
  run_thread(spawns_first, registry);
  for (int i = 0; i < 5; i++) {
    wait_and_release(spawn(registry, "waited for", body_notes_scheduling, &seen));
    check_scheduled(own, seen);
  }
  registry_finish(registry);

  run_thread(creates, &registry);
  for (int i = 0; i < 5; i++) {
    wait_and_release(spawn(registry, "unimportant", body_notes_scheduling, &seen));
    CHECK_EQ(15, seen.nice);
    CHECK_EQ(SCHED_BATCH, seen.policy);
  }
  registry_finish(registry);
}

static int may_become_important(void) {
  int before = getpriority(PRIO_PROCESS, (id_t)gettid());
  if (setpriority(PRIO_PROCESS, (id_t)gettid(), before + 1) != 0) return 0;
  int may = setpriority(PRIO_PROCESS, (id_t)gettid(), before) == 0;
  return may;
}

static void *needs_the_timer(void *unused) {
  (void)unused;
  become_unimportant();
  tr_token *root = tr_token_create(), *token = tr_token_child_with_timeout(root, 3600 * SECOND);
  CHECK(token != NULL);
  int id = 0;
  while (threads_named("taskreg-timer", &id) == 0) breathe();
  check_scheduled(scheduling_of(getpid()), scheduling_of(id));
  tr_token_release(token);
  tr_token_release(root);
  return NULL;
}

static void timer_is_scheduled_as_main(void *unused) {
  (void)unused;
  if (!may_become_important()) return;
  run_thread(needs_the_timer, NULL);
  timer_thread_leaves();
}

/* Proves: the library's own threads have the scheduling of the process's main thread, not of the
   thread that first needed them (S1). Why it matters: every deadline of the process would wait for
   a nice value of 15. Catches: a timer thread that keeps its creator's scheduling. */
CASE(the_librarys_own_threads_are_scheduled_as_the_main_thread) {
  int status = status_of_child(timer_is_scheduled_as_main, NULL);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- Threads made in the wrong place ------------------------------------------------------------------ */

struct spawner {
  tr_registry *registry;
  struct seen inner;
  int refused;
};

static int body_spawns_from_elsewhere(tr_task *self, void *ctx) {
  struct spawner *spawner = ctx;
  (void)self;
  spawner->refused = unshare(CLONE_NEWUTS) != 0;
  if (!spawner->refused) read_in(spawner->registry, &spawner->inner);
  return 0;
}

/* Proves: a thread created by a task that had entered a namespace serves no other tasks (S1). Why
   it matters: a thread starts with its creator's state, and would take that for the right one.
   Catches: threads compared with their first state, or not checked after their first task. */
CASE(a_thread_made_in_a_namespace_serves_nobody_else) {
  tr_registry *registry = registry_new();
  struct row row = {"namespace of host names", change_uts, read_uts};
  char usual[TEXT];
  read_uts(usual);
  struct spawner spawner = {registry, {.row = &row}, 0};
  struct seen seen = {.row = &row};
  for (int i = 0; i < 5 && !spawner.refused; i++) {
    wait_and_release(spawn(registry, "elsewhere", body_spawns_from_elsewhere, &spawner));
    for (int j = 0; j < 3; j++) {
      read_in(registry, &seen);
      CHECK_STR(usual, seen.after);
    }
  }
  registry_finish(registry);
}

static int body_works_and_reports_its_thread(tr_task *self, void *ctx) {
  (void)self;
  *(pid_t *)ctx = gettid();
  for (int64_t end = now_ns() + 50000; now_ns() < end;) continue;
  return 0;
}

static void drops_its_privileges(void *unused) {
  (void)unused;
  tr_registry *registry = registry_new();
  pid_t thread = 0, seen[50];
  wait_and_release(spawn(registry, "before", body_works_and_reports_its_thread, &thread));
  if (setgid(65534) != 0 || setuid(65534) != 0) _exit(0); /* not root's */
  int threads = 0;
  for (int i = 0; i < 50; i++) {
    wait_and_release(spawn(registry, "after", body_works_and_reports_its_thread, &thread));
    int known = 0;
    for (int j = 0; j < threads; j++) known |= seen[j] == thread;
    if (!known) seen[threads++] = thread;
  }
  CHECK_MSG(threads < 25, "%d threads for 50 tasks", threads);
  registry_finish(registry);
}

/* Proves: when the whole process gives up its privileges, threads are reused as before (S1).  Why it matters: that is
   what services do at start, and each task would cost a thread from then on.  Catches: comparing with the
   creator of the registry alone. */
CASE(a_process_that_drops_its_privileges_reuses_threads) {
  if (getenv("TASKREG_TEST_VARIANT") != NULL) return; /* one of them reuses none */
  int status = status_of_child(drops_its_privileges, NULL);
  CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", (unsigned)status);
}

/* ---- Threads without a task --------------------------------------------------------------------------- */

/* Proves: a thread that has been without a task for a moment is called idle, and the next task's
   name is its own again (S2). Why it matters: `top -H` and core dumps would show yesterday's
   request. Catches: a name that stays. */
CASE(a_thread_without_a_task_is_called_idle) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 2; i++) {
    wait_and_release(spawn(registry, "GET /secret", body_returns, NULL));
    for (int64_t end = now_ns() + AT_ONCE; threads_called("GET /secret") > 0;) {
      CHECK(now_ns() < end);
      breathe();
    }
    struct row row = {"a new name", change_name, read_name};
    struct seen seen = {.row = &row};
    read_in(registry, &seen);
    CHECK_STR("a new name", seen.after);
  }
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(what_a_task_changes_of_its_thread_meets_no_other),
    CHECK_ENTRY(the_shortest_body_that_changes_its_thread_is_noticed),
    CHECK_ENTRY(a_fresh_thread_takes_what_stays_with_it),
    CHECK_ENTRY(tasks_are_scheduled_as_the_creator_of_their_registry),
    CHECK_ENTRY(a_thread_that_leaves_has_no_stack_of_its_task),
    CHECK_ENTRY(the_librarys_own_threads_are_scheduled_as_the_main_thread),
    CHECK_ENTRY(a_thread_made_in_a_namespace_serves_nobody_else),
    CHECK_ENTRY(a_process_that_drops_its_privileges_reuses_threads),
    CHECK_ENTRY(a_thread_without_a_task_is_called_idle))
