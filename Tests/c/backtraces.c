/* backtraces.c - backtraces of stragglers: the signal that requests them, and its effect on tasks. Rule
   E12, with S7, P1. */

#include "support.h"

#include "forking.h"

#include <limits.h>
#include <poll.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* The one signal that this program enables: until it ends, so that every case shares it. */
static int own_signal(void) { return SIGRTMIN + 2; }

static void enable(void) { CHECK_EQ(TR_OK, tr_enable_backtraces(own_signal())); }

static void handler_of_the_test(int number) { (void)number; }

static void (*handler_of(int number))(int) {
  struct sigaction action;
  CHECK_EQ(0, sigaction(number, NULL, &action));
  return action.sa_handler;
}

/* Proves: an unsuitable signal is rejected and left as it is; a suitable one is accepted,
   repeatedly, and then no other (E12). Why it matters: another part's signal would be lost, or
   end the process. Catches: a handler that is replaced; an ignored signal taken; a second signal
   taken. */
CASE(only_a_free_signal_is_taken) {
  static const int never[] = {INT_MIN, -1, 0, 65, 4711, INT_MAX, SIGKILL, SIGSTOP,
                              SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < sizeof never / sizeof *never; i++)
    CHECK_EQ(TR_ERR_INVALID, tr_enable_backtraces(never[i]));
  int handled = SIGRTMIN + 3, ignored = SIGRTMIN + 4, cancelling = SIGRTMIN + 5, other = SIGRTMIN + 6;
  signal(handled, handler_of_the_test);
  signal(ignored, SIG_IGN);
  CHECK_EQ(TR_OK, tr_install_cancel_signal(cancelling));
  CHECK_EQ(TR_ERR_INVALID, tr_enable_backtraces(handled));
  CHECK_EQ(TR_ERR_INVALID, tr_enable_backtraces(ignored));
  CHECK_EQ(TR_ERR_INVALID, tr_enable_backtraces(cancelling));
  CHECK(handler_of(handled) == handler_of_the_test);
  CHECK(handler_of(ignored) == SIG_IGN);
  for (int i = 0; i < 3; i++) enable();
  CHECK_EQ(TR_ERR_INVALID, tr_enable_backtraces(other));
  CHECK(handler_of(other) == SIG_DFL);
  struct sigaction action;
  CHECK_EQ(0, sigaction(own_signal(), NULL, &action));
  CHECK(action.sa_flags & SA_RESTART);
  CHECK(action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
  /* It interrupts nothing, and tasks let it through: no signal to cancel by. */
  CHECK_EQ(TR_ERR_INVALID, tr_install_cancel_signal(own_signal()));
  tr_registry *registry = registry_new();
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.cancel_signal = own_signal();
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "t", TR_KIND_RPC_HANDLER, body_never, NULL, &options, NULL));
  registry_finish(registry);
  signal(handled, SIG_DFL);
  signal(ignored, SIG_DFL);
}

/* Proves: a handler that took the place of the library's is found when it is enabled again, and one
   that was taken away is installed again (E12).  Why it matters: TR_OK would say that there are backtraces.
   Catches: only the number compared. */
CASE(a_handler_that_was_replaced_is_noticed) {
  enable();
  void (*own)(int) = handler_of(own_signal());
  signal(own_signal(), handler_of_the_test);
  CHECK_EQ(TR_ERR_INVALID, tr_enable_backtraces(own_signal()));
  CHECK(handler_of(own_signal()) == handler_of_the_test);
  signal(own_signal(), SIG_DFL);
  enable();
  CHECK(handler_of(own_signal()) == own);
}

static void *enables(void *argument) {
  gate_pass(argument);
  enable();
  return NULL;
}

/* Proves: several threads may enable the signal at once (E12).  Why it matters: libraries of one program may
   each do so.  Catches: the handler that one has just installed taken for another's. */
CASE(many_may_enable_at_once) {
  enum { count = 8 };
  struct gate gate = GATE_INIT;
  pthread_t threads[count];
  for (int i = 0; i < count; i++) threads[i] = thread_start(enables, &gate);
  gate_await(&gate, count);
  gate_open(&gate);
  for (int i = 0; i < count; i++) thread_end(threads[i]);
}

/* Proves: in a child of fork nothing is enabled (P1).  Why it matters: there it is of no use.  Catches: the
   question left out. */
CASE(a_forked_child_enables_nothing) {
  enable();
  tr_token *token = tr_token_create(); /* with no object of the library the child would start
                                          anew */
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    begin_as_child();
    _exit(tr_enable_backtraces(own_signal()) == TR_ERR_FORKED &&
                  tr_enable_backtraces(0) == TR_ERR_FORKED
              ? 0
              : 1);
  }
  int status;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  CHECK_EQ(0, status);
  tr_token_release(token);
}

/* The signals that a body finds blocked. */
struct mask {
  pid_t tid;
  int blocks_own, blocks_others;
};

static int body_notes_mask(tr_task *self, void *ctx) {
  struct mask *mask = ctx;
  (void)self;
  sigset_t set;
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &set));
  mask->tid = gettid();
  mask->blocks_own = sigismember(&set, own_signal());
  mask->blocks_others = 1;
  for (int number = 1; number <= 64; number++) {
    int is_fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
                   number == SIGTRAP || number == SIGSYS || number == SIGABRT;
    /* The C library keeps those from 32 to SIGRTMIN to itself; SIGKILL and SIGSTOP cannot be blocked. */
    if (number == own_signal() || number == SIGKILL || number == SIGSTOP || (number >= 32 && number < SIGRTMIN))
      continue;
    if (sigismember(&set, number) != !is_fault) mask->blocks_others = 0;
  }
  return 0;
}

/* A registry whose tasks block all there is. */
static tr_registry *registry_that_blocks_all(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  sigset_t all;
  sigfillset(&all);
  options.blocked_signals = &all;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

static struct mask mask_in_task(tr_registry *registry, uint32_t flags) {
  struct mask mask = {0, -1, -1};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = flags;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "mask", TR_KIND_RPC_HANDLER, body_notes_mask, &mask, &options, &task));
  wait_and_release(task);
  CHECK_EQ(1, mask.blocks_others);
  return mask;
}

/* Whether the thread called `name` has the signal blocked, according to the kernel. */
static int blocks_own(const char *name) {
  DIR *directory = opendir("/proc/self/task");
  CHECK(directory != NULL);
  int result = -1;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char path[320], line[256];
    int is_it = 0;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
    FILE *file = fopen(path, "re");
    if (file == NULL) continue;
    while (fgets(line, sizeof line, file) != NULL) {
      char text[64];
      unsigned long long blocked;
      if (sscanf(line, "Name: %63s", text) == 1) is_it = strcmp(text, name) == 0;
      if (is_it && sscanf(line, "SigBlk: %llx", &blocked) == 1)
        result = (int)(blocked >> (own_signal() - 1) & 1);
    }
    fclose(file);
  }
  closedir(directory);
  return result;
}

/* Proves: tasks that start after the call leave the signal unblocked, and no other signal that was
   blocked before, on new threads and on those that served tasks before; the library's own threads
   block it (E12, S7). Why it matters: a straggler that blocks the signal has no backtrace, and a
   thread of the library's must not be interrupted. Catches: a thread that waited through the call
   with the mask it had. */
CASE(tasks_that_begin_later_let_it_through) {
  tr_registry *registry = registry_that_blocks_all();
  int is_first = handler_of(own_signal()) == SIG_DFL;
  struct mask before = mask_in_task(registry, 0);
  if (is_first) CHECK_EQ(1, before.blocks_own);
  /* Its thread sleeps, if it is kept, and is the next to get a task. */
  for (char state; (state = thread_state(before.tid)) != 'S' && state != 0;) breathe();
  enable();
  int is_reused = 0;
  for (int i = 0; i < 20; i++) {
    struct mask after = mask_in_task(registry, 0);
    CHECK_EQ(0, after.blocks_own);
    is_reused |= after.tid == before.tid;
  }
  const char *variant = getenv("TASKREG_TEST_VARIANT");
  if (variant == NULL || strcmp(variant, "fresh") != 0) CHECK(is_reused);
  CHECK_EQ(0, mask_in_task(registry, TR_SPAWN_FRESH_THREAD).blocks_own);
  tr_token *token = tr_token_child_with_timeout(tr_registry_token(registry), 600 * SECOND);
  CHECK(token != NULL);
  int timer_blocks;
  while ((timer_blocks = blocks_own("taskreg-timer")) < 0) breathe();
  CHECK_EQ(1, timer_blocks);
  tr_token_release(token);
  registry_finish(registry);
  timer_thread_leaves();
}

static int body_blocks_it(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, own_signal());
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
  return 0;
}

/* Proves: a task that blocks the signal does not do so for the next one of its thread (E12, S7).
   Why it matters: fewer and fewer tasks would have backtraces. Catches: a mask that is restored to
   its old state. */
CASE(a_task_that_blocks_it_blocks_its_own) {
  enable();
  tr_registry *registry = registry_that_blocks_all();
  for (int i = 0; i < 20; i++) {
    wait_and_release(spawn(registry, "blocks", body_blocks_it, NULL));
    CHECK_EQ(0, mask_in_task(registry, 0).blocks_own);
  }
  registry_finish(registry);
}

/* A body that reads from a pipe, with an error number of its own. */
struct reader {
  int ends[2];
  atomic_int tid;
  int result, error;
  char byte;
};

static int body_reads(tr_task *self, void *ctx) {
  struct reader *reader = ctx;
  (void)self;
  errno = 4711;
  atomic_store(&reader->tid, gettid());
  reader->result = (int)read(reader->ends[0], &reader->byte, 1);
  reader->error = errno;
  return 0;
}

/* Proves: a read in a task continues after the signal, and errno is as before (E12). Why it
   matters: inspecting a program must not change what it does. Catches: a handler without
   SA_RESTART, or one that changes errno. */
CASE(a_read_goes_on_over_the_signal) {
  enable();
  tr_registry *registry = registry_new();
  struct reader reader = {{-1, -1}, 0, 0, 0, 0};
  CHECK_EQ(0, pipe(reader.ends));
  tr_task *task = spawn(registry, "reads", body_reads, &reader);
  while (atomic_load(&reader.tid) == 0) breathe();
  for (int i = 0; i < 50; i++) {
    CHECK_EQ(0, syscall(SYS_tgkill, getpid(), atomic_load(&reader.tid), own_signal()));
    breathe();
  }
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 0, NULL));
  CHECK_EQ(1, write(reader.ends[1], "x", 1));
  wait_and_release(task);
  CHECK_EQ(1, reader.result);
  CHECK_EQ('x', reader.byte);
  CHECK_EQ(4711, reader.error);
  registry_finish(registry);
  close(reader.ends[0]);
  close(reader.ends[1]);
}

static int body_ends_by_eintr(tr_task *self, void *context) {
  atomic_store((_Atomic(pid_t) *)context, gettid());
  while (!tr_task_is_cancelled(self)) poll(NULL, 0, -1);
  return 0;
}

/* Proves: a backtrace that was taken is kept when the signal made the task end (E12).  Why it matters: poll(2) ends
   with EINTR, the straggler sees its flag, and the culprit's backtrace was thrown away while its victims' were
   shown.  Catches: frames that are dropped because the task is not alive afterwards. */
CASE(frames_are_kept_of_a_task_that_the_signal_ends) {
  enable();
  for (int round = 0; round < check_rounds(20); round++) {
    tr_registry *registry = registry_new();
    _Atomic(pid_t) tid = 0;
    tr_report *full = NULL;
    tr_join_report report = TR_JOIN_REPORT_INIT;
    report.full = &full;
    CHECK_EQ(TR_OK, tr_spawn(registry, "polls", TR_KIND_RPC_HANDLER, body_ends_by_eintr, &tid, NULL));
    await_asleep(&tid);
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, 30 * MS, &report));
    tr_straggler straggler = TR_STRAGGLER_INIT;
    CHECK_EQ(TR_OK, tr_report_straggler(full, 0, &straggler));
    CHECK_EQ(TR_BACKTRACE_TAKEN, straggler.backtrace);
    CHECK(straggler.frame_count > 0);
    tr_report_release(full);
    CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    tr_registry_release(registry);
  }
}

static int body_blocks_the_signal(tr_task *self, void *context) {
  sigset_t set;
  (void)self;
  sigemptyset(&set);
  sigaddset(&set, own_signal());
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &set, NULL));
  gate_pass(context);
  return 0;
}

/* Proves: a straggler without a backtrace says why (E12).  Why it matters: "none" of a thread that did not answer is
   a finding; of one that blocks the signal it is not.  Catches: one answer for all; an answer for another. */
CASE(a_report_says_why_there_is_no_backtrace) {
  enable();
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", TR_KIND_RPC_HANDLER, body_blocks_the_signal, &gate, NULL));
  gate_await(&gate, 1);
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  tr_straggler straggler = TR_STRAGGLER_INIT;
  CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
  CHECK_EQ(TR_BACKTRACE_BLOCKED, straggler.backtrace);
  CHECK_EQ(0, straggler.frame_count);
  tr_report_release(report);
  gate_open(&gate);
  registry_finish(registry);
}

/* Functions of the application that wait in the library; the volatile keeps the call from being the last thing. */
static volatile int after;

__attribute__((noinline)) static int waits_in_sleep(void) {
  tr_status status = tr_sleep(FOREVER);
  return after = status;
}
__attribute__((noinline)) static int waits_for_a_descriptor(void) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  tr_status status = tr_wait_fd(ends[0], POLLIN, FOREVER);
  close(ends[0]);
  close(ends[1]);
  return after = status;
}
__attribute__((noinline)) static int waits_on_a_condition(void) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  CHECK_EQ(0, pthread_mutex_lock(&mutex));
  tr_status status = tr_cond_wait(&condition, &mutex, FOREVER);
  CHECK_EQ(0, pthread_mutex_unlock(&mutex));
  return after = status;
}
__attribute__((noinline)) static int waits_for_its_flag(void) {
  tr_status status = tr_wait_cancelled(FOREVER);
  return after = status;
}

struct waits {
  int (*function)(void);
  _Atomic(pid_t) tid;
};

static int body_waits(tr_task *self, void *context) {
  struct waits *waits = context;
  (void)self;
  atomic_store(&waits->tid, gettid());
  return waits->function() == TR_ERR_CANCELLED || waits->function == waits_for_its_flag ? 0 : 1;
}

/* Proves: the backtrace of a task that waits in a call of the library shows which function made it (E12).  Why it
   matters: most tasks wait there, and their backtraces ended inside the library.  Catches: a function of the library
   without an unwind table in .eh_frame. */
CASE(a_wait_of_the_library_shows_who_called_it) {
#ifdef CHECK_UNDER_TSAN /* which delivers a signal when the thread makes a call that it knows */
  return;
#endif
  enable();
  struct waits all[] = {{waits_in_sleep, 0}, {waits_for_a_descriptor, 0}, {waits_on_a_condition, 0}, {waits_for_its_flag, 0}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    tr_registry *registry = registry_new();
    tr_report *report = NULL;
    tr_straggler straggler = TR_STRAGGLER_INIT;
    CHECK_EQ(TR_OK, tr_spawn(registry, "waits", TR_KIND_RPC_HANDLER, body_waits, &all[i], NULL));
    await_asleep(&all[i].tid);
    CHECK_EQ(TR_OK, tr_explain(registry, &report));
    CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
    CHECK_EQ(TR_BACKTRACE_TAKEN, straggler.backtrace);
    int is_shown = !check_finds_callers();
    for (uint32_t n = 0; n < straggler.frame_count; n++)
      is_shown |= straggler.frames[n] - (uintptr_t)all[i].function < 512;
    CHECK_MSG(is_shown, "%zu, %u frames", i, straggler.frame_count);
    tr_report_release(report);
    CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    tr_registry_release(registry);
  }
}

#if defined(__x86_64__) && !defined(CHECK_UNDER_ASAN) && !defined(CHECK_UNDER_TSAN)
static _Atomic(pid_t) coroutine;
__attribute__((noinline)) static void stays(void) {
  atomic_store(&coroutine, gettid());
  for (;;) pause();
}
/* Continues at `function` on the stack that ends at `top`, as if it had been called from `back`. */
extern void switch_to(void *top, void (*function)(void), uintptr_t back);
__asm__(".text\nswitch_to:\n mov %rdi, %rsp\n push %rdx\n jmp *%rsi\n");
static int body_switches(tr_task *self, void *context) {
  static _Alignas(64) char stack[65536];
  (void)self;
  switch_to(stack + sizeof stack - 64, stays, (uintptr_t)context);
  return 0;
}
static int body_switches_here(tr_task *self, void *context) {
  (void)self;
  switch_to((char *)__builtin_frame_address(0) - 4096, stays, (uintptr_t)context);
  return 0;
}

#endif

/* Proves: a return address that is not code ends the backtrace and not the program, on a
   coroutine's stack and on the task's own (E12). Why it matters: hand-written context switches
   leave such addresses, and a report must not crash what it explains. Catches: an unwinder that
   reads the code a return address leads to. */
CASE(a_return_address_that_is_no_code_ends_the_backtrace) {
#if defined(__x86_64__) && !defined(CHECK_UNDER_ASAN) && !defined(CHECK_UNDER_TSAN)
  static const uintptr_t backs[] = {0, 1, 0xdeadbeef, 0xdeaddeaddeaddead, UINTPTR_MAX};
  if (check_under_valgrind()) return; /* which takes the change of stacks for an error of the program's */
  for (size_t i = 0; i < 2 * sizeof backs / sizeof *backs; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      tr_report *report = NULL;
      tr_straggler straggler = TR_STRAGGLER_INIT;
      enable();
      tr_registry *registry = registry_new();
      CHECK_EQ(TR_OK, tr_spawn(registry, "coroutine", TR_KIND_RPC_HANDLER, i % 2 ? body_switches : body_switches_here,
                               (void *)backs[i / 2], NULL));
      await_asleep(&coroutine);
      CHECK_EQ(TR_OK, tr_explain(registry, &report));
      CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
      _exit((straggler.frame_count > 1) == check_finds_callers() && straggler.backtrace == TR_BACKTRACE_TAKEN ? 0 : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
    CHECK_MSG(status == 0, "%zu: status %#x", i, status);
  }
#endif
}
#if defined(__x86_64__) && !defined(CHECK_UNDER_ASAN) && !defined(CHECK_UNDER_TSAN)
/* Memory with room for little more than what the kernel saves for a handler; below it nothing is mapped. */
static struct {
  char *lowest;
  size_t size;
} small;
static void map_small(size_t more) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), least = getauxval(AT_MINSIGSTKSZ);
  small.size = (least < 2048 ? 2048 : least) + more;
  size_t room = (small.size + page - 1) / page * page;
  char *mapped = mmap(NULL, page + room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(mapped != MAP_FAILED && mprotect(mapped + page, room, PROT_READ | PROT_WRITE) == 0);
  small.lowest = mapped + page;
}
static int body_on_a_small_alternate_stack(tr_task *self, void *context) {
  (void)context;
  map_small(464); /* 4 KiB with AVX-512 */
  stack_t stack = {.ss_sp = small.lowest, .ss_size = small.size};
  (void)self;
  CHECK_EQ(0, sigaltstack(&stack, NULL));
  stays();
  return 0;
}
static int body_on_a_small_stack(tr_task *self, void *context) {
  (void)self;
  (void)context;
  map_small(464 + 128 + 256); /* the red zone, and the frames of the function */
  switch_to(small.lowest + small.size / 16 * 16, stays, 0);
  return 0;
}
#endif

/* Proves: on a stack that has room for little more than what the kernel saves there, be it an
   alternate stack or a coroutine's, the backtrace is the one address where the thread was (E12). Why
   it matters: with AVX-512 the kernel leaves some 900 bytes of 4 KiB, and a report must not crash
   what it explains. Catches: a handler that looks for the caller although it wants one address; one
   that looks at alternate stacks alone. */
CASE(a_small_stack_has_one_address) {
#if defined(__x86_64__) && !defined(CHECK_UNDER_ASAN) && !defined(CHECK_UNDER_TSAN)
  static const tr_task_fn bodies[] = {body_on_a_small_alternate_stack, body_on_a_small_stack};
  if (check_under_valgrind()) return; /* which puts more onto the stack than the kernel does */
  for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      tr_report *report = NULL;
      tr_straggler straggler = TR_STRAGGLER_INIT;
      enable();
      tr_registry *registry = registry_new();
      CHECK_EQ(TR_OK, tr_spawn(registry, "small stack", TR_KIND_RPC_HANDLER, bodies[i], NULL, NULL));
      await_asleep(&coroutine);
      CHECK_EQ(TR_OK, tr_explain(registry, &report));
      CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
      _exit(straggler.frame_count == 1 && straggler.backtrace == TR_BACKTRACE_TAKEN ? 0 : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
    CHECK_MSG(status == 0, "%zu: status %#x", i, status);
  }
#endif
}

#if !defined(CHECK_UNDER_TSAN)
static int body_spins_until_asked(tr_task *self, void *begun) {
  atomic_store((atomic_int *)begun, 1);
  while (!tr_task_is_cancelled(self)) continue;
  return 0;
}
#endif

/* Proves: of two reports right after another each has the backtrace of a task that computes, though its thread has
   just left the handler for the first (E12).  Why it matters: a watchdog explains, and the shutdown reports a moment
   later: one of them would say that the thread blocks the signal.  Catches: the handler's own mask taken for the
   task's. */
CASE(two_reports_in_a_row_have_their_backtraces) {
#if !defined(CHECK_UNDER_TSAN) /* which delivers a signal when the thread makes a call that it knows */
  if (check_under_valgrind()) return; /* which runs one thread at a time, and not in turn */
  enable();
  tr_registry *registry = registry_new();
  atomic_int begun = 0;
  tr_task *task = spawn(registry, "computes", body_spins_until_asked, &begun);
  while (!atomic_load(&begun)) breathe();
  for (int i = 0; i < 100; i++) {
    for (int unanswered = 0, taken = 0; taken < 2;) {
      tr_report *report = NULL;
      tr_straggler straggler = TR_STRAGGLER_INIT;
      CHECK_EQ(TR_OK, tr_explain(registry, &report));
      CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
      tr_report_release(report);
      if (straggler.backtrace == TR_BACKTRACE_UNANSWERED && unanswered++ < 10) {
        taken = 0; /* it did not run for a tenth of a second, as happens beside other programs: another pair */
      } else {
        CHECK_EQ(TR_BACKTRACE_TAKEN, straggler.backtrace);
        taken++;
      }
    }
  }
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  registry_finish(registry);
#endif
}

/* Proves: the signal may come from anywhere, without a request, to any thread (E12). Why it
   matters: anyone can use kill(1). Catches: a handler that takes every signal for a request of the
   library. */
CASE(a_signal_nobody_sent_does_nothing) {
  enable();
  for (int i = 0; i < 50; i++) {
    CHECK_EQ(0, raise(own_signal()));
    CHECK_EQ(0, kill(getpid(), own_signal()));
  }
}

CHECK_MAIN(
    CHECK_ENTRY(tasks_that_begin_later_let_it_through), /* before the others enable it */
    CHECK_ENTRY(only_a_free_signal_is_taken),
    CHECK_ENTRY(a_handler_that_was_replaced_is_noticed),
    CHECK_ENTRY(many_may_enable_at_once),
    CHECK_ENTRY(a_forked_child_enables_nothing),
    CHECK_ENTRY(a_task_that_blocks_it_blocks_its_own),
    CHECK_ENTRY(a_read_goes_on_over_the_signal),
    CHECK_ENTRY(frames_are_kept_of_a_task_that_the_signal_ends),
    CHECK_ENTRY(a_report_says_why_there_is_no_backtrace),
    CHECK_ENTRY(a_wait_of_the_library_shows_who_called_it),
    CHECK_ENTRY(two_reports_in_a_row_have_their_backtraces),
    CHECK_ENTRY(a_return_address_that_is_no_code_ends_the_backtrace),
    CHECK_ENTRY(a_small_stack_has_one_address),
    CHECK_ENTRY(a_signal_nobody_sent_does_nothing))
