/* threads.c - the threads and stacks that tasks get are as those of pthread_create, and nothing that a body does to
   its thread as such harms the library. Rules S1, S6, S7, G3, G4, O2. */

#include "support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* ---- Detaching and joining ---------------------------------------------------------------------------- */

static int body_detaches_itself(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(EINVAL, pthread_detach(pthread_self()));
  if (ctx != NULL) pthread_exit(NULL);
  return 0;
}

struct known {
  struct gate gate;
  pthread_t thread;
};

static int body_makes_itself_known(tr_task *self, void *ctx) {
  struct known *known = ctx;
  (void)self;
  known->thread = pthread_self();
  gate_pass(&known->gate);
  return 0;
}

static void detach_and_join(uint32_t flags) {
  tr_registry *registry = registry_new();
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = flags;
  for (int i = 0; i < 20; i++) {
    options.stack_size = i % 3 == 2 ? 256 << 10 : 0;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "detaches", TR_KIND_RPC_HANDLER, body_detaches_itself,
                                  i % 2 ? registry : NULL, &options, &task));
    wait_and_release(task);
    struct known known = {GATE_INIT, 0};
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "known", TR_KIND_RPC_HANDLER, body_makes_itself_known,
                                  &known, &options, &task));
    gate_await(&known.gate, 1);
    CHECK_EQ(EINVAL, pthread_join(known.thread, NULL));
    CHECK_EQ(EINVAL, pthread_detach(known.thread));
    gate_open(&known.gate);
    wait_and_release(task);
  }
  registry_finish(registry);
}

/* Proves: a body may detach its thread, and another thread may try to join it: that is EINVAL, and
   threads are reused and joined as usual, on stacks of the registry's and of their own (S1, G4).
   Why it matters: many thread functions begin with pthread_detach(pthread_self()). Catches: a
   library that joins by the thread's handle, which other code may have joined or detached. */
CASE(a_tasks_thread_is_nobodys_to_join) {
#if defined(CHECK_UNDER_ASAN) || defined(CHECK_UNDER_TSAN) /* which end the process at such a join themselves */
  return;
#endif
  detach_and_join(0);
  detach_and_join(TR_SPAWN_FRESH_THREAD);
}

/* Proves: the same where the registry is released while its tasks run (G3). Why it matters: threads
   that are not joined end as well. Catches: a detach that must succeed. */
CASE(a_registry_that_was_given_up_survives_detached_threads) {
  for (int i = 0; i < 20; i++) {
    int before = thread_baseline();
    tr_registry *registry = registry_new();
    struct known known = {GATE_INIT, 0};
    CHECK_EQ(TR_OK, tr_spawn(registry, "known", TR_KIND_RPC_HANDLER, body_makes_itself_known, &known, NULL));
    CHECK_EQ(TR_OK, tr_spawn(registry, "detaches", TR_KIND_RPC_HANDLER, body_detaches_itself,
                             i % 2 ? registry : NULL, NULL));
    gate_await(&known.gate, 1);
    tr_registry_release(registry);
    gate_open(&known.gate);
    threads_settle(before, 30 * SECOND);
  }
  registry_finish(registry_new());
}

/* ---- Stacks ------------------------------------------------------------------------------------- */

/* Notes the lowest byte of its stack, and stays. */
static int body_reports_its_stack(tr_task *self, void *ctx) {
  struct known *known = ctx;
  (void)self;
  pthread_attr_t attributes;
  void *low;
  size_t size;
  CHECK_EQ(0, pthread_getattr_np(pthread_self(), &attributes));
  CHECK_EQ(0, pthread_attr_getstack(&attributes, &low, &size));
  CHECK_EQ(0, pthread_attr_destroy(&attributes));
  for (size_t below = 1; below <= 64 << 10; below += 4095) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      signal(SIGSEGV, SIG_DFL);
      ((volatile char *)low)[-(ptrdiff_t)below] = 1;
      _exit(0);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
    CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "%zu bytes below the stack", below);
  }
  gate_pass(&known->gate);
  return 0;
}

/* Proves: 64 KiB below a task's stack fault on any access, on the registry's stacks and on one's own, with
   neighbours all around (S7).  Why it matters: a function with large locals steps over a single page, and writes
   to another task's stack.  Catches: a guard of one page. */
CASE(an_overflow_hits_the_guard) {
  if (check_under_a_tool()) return;
  tr_registry *registry = registry_new();
  struct known known[6];
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  for (int i = 0; i < 6; i++) {
    known[i] = (struct known){GATE_INIT, 0};
    options.stack_size = i == 5 ? 128 << 10 : 0;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "stack", TR_KIND_RPC_HANDLER, body_reports_its_stack,
                                  &known[i], &options, NULL));
    gate_await(&known[i].gate, 1);
  }
  for (int i = 0; i < 6; i++) gate_open(&known[i].gate);
  registry_finish(registry);
}

static int body_waits(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  while (tr_sleep(600 * SECOND) == TR_OK) continue;
  return 0;
}

/* A line of /proc/self/status, in KiB. */
static long status_of_process(const char *title) {
  FILE *file = fopen("/proc/self/status", "re");
  CHECK(file != NULL);
  char line[256];
  long value = -1;
  while (value < 0 && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, title, strlen(title)) == 0) value = atol(line + strlen(title));
  fclose(file);
  CHECK(value >= 0);
  return value;
}

enum { spawners = 32, tasks_each = 20 };

struct crowd {
  tr_registry *registry;
  pthread_barrier_t barrier;
};

static void *spawn_a_few(void *argument) {
  struct crowd *crowd = argument;
  pthread_barrier_wait(&crowd->barrier);
  for (int i = 0; i < tasks_each; i++)
    CHECK_EQ(TR_OK, tr_spawn(crowd->registry, "waits", TR_KIND_RPC_HANDLER, body_waits, NULL, NULL));
  return NULL;
}

/* Otherwise each thread that allocates reserves 64 MiB in glibc. */
static void one_arena(void) {
#ifdef M_ARENA_MAX
  CHECK_EQ(1, mallopt(M_ARENA_MAX, 1));
#endif
}

/* Proves: when many threads spawn at once, tasks take the address space that they need, and little
   more (S7, N1). Why it matters: limits of address space are real, and each mapping costs page
   tables. Catches: a region for each spawner that finds no stack left. */
CASE(stacks_are_mapped_once_whoever_spawns) {
  if (check_under_a_tool()) return;
  one_arena();
  for (int round = 0; round < 5; round++) {
    struct crowd crowd;
    crowd.registry = registry_new();
    CHECK_EQ(0, pthread_barrier_init(&crowd.barrier, NULL, spawners));
    long before = status_of_process("VmSize:");
    pthread_attr_t attributes;
    CHECK_EQ(0, pthread_attr_init(&attributes));
    CHECK_EQ(0, pthread_attr_setstacksize(&attributes, check_stack(64 << 10)));
    pthread_t threads[spawners];
    for (int i = 0; i < spawners; i++)
      CHECK_EQ(0, pthread_create(&threads[i], &attributes, spawn_a_few, &crowd));
    for (int i = 0; i < spawners; i++) thread_end(threads[i]);
    long grown = status_of_process("VmSize:") - before;
    long needed = (long)spawners * tasks_each * (1024 + 64);
    CHECK_MSG(grown < needed + needed / 3, "%ld KiB for %ld", grown, needed);
    registry_finish(crowd.registry);
    pthread_attr_destroy(&attributes);
    pthread_barrier_destroy(&crowd.barrier);
  }
}

static void fill_the_address_space(void *argument) {
  (void)argument;
  one_arena();
  tr_registry *registry = registry_new();
  struct rlimit limit;
  CHECK_EQ(0, getrlimit(RLIMIT_AS, &limit));
  struct rlimit tight = limit;
  tight.rlim_cur = (rlim_t)(status_of_process("VmSize:") + (14 << 10)) << 10;
  CHECK_EQ(0, setrlimit(RLIMIT_AS, &tight));
  int spawned = 0;
  while (tr_spawn(registry, "waits", TR_KIND_RPC_HANDLER, body_waits, NULL, NULL) == TR_OK) spawned++;
  CHECK_EQ(0, setrlimit(RLIMIT_AS, &limit));
  CHECK_MSG(spawned >= 11, "%d tasks", spawned);
  registry_finish(registry);
}

/* Proves: with address space left for a number of stacks, nearly that many tasks get one (S6). Why
   it matters: a limit that leaves room for threads is not a reason to reject a task. Catches: a
   spawn that fails because a region for several stacks cannot be mapped. */
CASE(the_last_stacks_are_had_one_by_one) {
  if (check_under_a_tool()) return;
  CHECK_EXITED(0, status_of_child(fill_the_address_space, NULL));
}

static void lock_memory(void *argument) {
  (void)argument;
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) _exit(77);
  long before = status_of_process("VmLck:");
  tr_registry *registry = registry_new();
  for (int i = 0; i < 9; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "waits", TR_KIND_RPC_HANDLER, body_waits, NULL, NULL));
  long locked = status_of_process("VmLck:") - before;
  CHECK_MSG(locked < 10 << 10, "%ld KiB are locked", locked);
  registry_finish(registry);
}

/* Proves: where the program locks what it maps, nine tasks lock nine stacks (S7).  Why it matters: locked memory is
   memory, used or not.  Catches: a region for more stacks than there are threads. */
CASE(locked_stacks_are_those_in_use) {
  if (check_under_a_tool()) return;
  one_arena();
  int status = status_of_child(lock_memory, NULL);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    dprintf(check_messages, "memory cannot be locked here: left out\n");
    return;
  }
  CHECK_EXITED(0, status);
}

/* ---- The end of the process ---------------------------------------------------------------------------- */

static void forbid_masks(void *argument) {
  int *ends = argument;
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigprocmask, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  const struct rlimit none = {0, 0};
  CHECK_EQ(0, setrlimit(RLIMIT_CORE, &none));
  dup2(ends[1], 2);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    _exit(77);
  tr_registry *registry = NULL;
  create_registry(NULL, &registry);
}

/* Proves: where the library cannot continue because a system call filter forbids what it needs, the
   process ends with a message that names the call and the error (S7, O2). Why it matters: if a
   program dies of SIGILL without a message, the cause is searched in the wrong place. Catches: an
   end without a message. */
CASE(the_end_of_a_process_is_explained) {
  if (check_under_a_tool()) return;
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  int status = status_of_child(forbid_masks, ends);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) return;
  CHECK(WIFSIGNALED(status));
  char text[512];
  ssize_t count = read(ends[0], text, sizeof text - 1);
  CHECK(count > 0);
  text[count] = 0;
  CHECK_MSG(strstr(text, "libtaskreg: pthread_sigmask failed with error 1 ") == text, "%s", text);
  CHECK(strstr(text, "seccomp") != NULL);
  close(ends[0]);
  close(ends[1]);
}

CHECK_MAIN(
    CHECK_ENTRY(a_tasks_thread_is_nobodys_to_join),
    CHECK_ENTRY(a_registry_that_was_given_up_survives_detached_threads),
    CHECK_ENTRY(an_overflow_hits_the_guard),
    CHECK_ENTRY(stacks_are_mapped_once_whoever_spawns),
    CHECK_ENTRY(the_last_stacks_are_had_one_by_one),
    CHECK_ENTRY(locked_stacks_are_those_in_use),
    CHECK_ENTRY(the_end_of_a_process_is_explained))
