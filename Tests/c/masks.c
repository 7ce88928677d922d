/* masks.c - the signals that tasks leave unblocked: processes that they start can be ended, signals
   that they raise themselves take effect, and the program's signals go to the intended threads.
   Rule S7. */

#include "support.h"

#include <spawn.h>
#include <sys/resource.h>
#include <sys/time.h>

extern char **environ;

static void on_signal(int number) { (void)number; }

static void handle(int number, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  CHECK_EQ(0, sigaction(number, &action, NULL));
}

/* ---- Programs that tasks start ----------------------------------------------------------------------- */

enum way { by_fork, by_vfork, by_spawn, by_popen, by_system, ways };

/* A program that a task starts, and how it ended. */
struct started {
  int way;
  int ends[2]; /* a shell writes its process id here */
  _Atomic(pid_t) pid;
  int status;
};

static char *const sleep_for_long[] = {(char *)"sleep", (char *)"600", NULL};

static int body_starts(tr_task *self, void *ctx) {
  struct started *started = ctx;
  (void)self;
  pid_t pid = 0;
  char command[64];
  switch (started->way) {
    case by_fork:
      pid = fork();
      if (pid == 0) {
        execvp("sleep", sleep_for_long);
        _exit(127);
      }
      break;
    case by_vfork:
      pid = vfork();
      if (pid == 0) {
        execvp("sleep", sleep_for_long);
        _exit(127);
      }
      break;
    case by_spawn: CHECK_EQ(0, posix_spawnp(&pid, "sleep", NULL, NULL, sleep_for_long, environ)); break;
    case by_popen: {
      FILE *file = popen("echo $$; exec sleep 600", "r");
      CHECK(file != NULL);
      int number = 0;
      CHECK_EQ(1, fscanf(file, "%d", &number));
      atomic_store(&started->pid, (pid_t)number);
      started->status = pclose(file);
      return 0;
    }
    default:
      snprintf(command, sizeof command, "echo $$ >&%d; exec sleep 600", started->ends[1]);
      started->status = system(command);
      return 0;
  }
  CHECK(pid > 0);
  atomic_store(&started->pid, pid);
  while (waitpid(pid, &started->status, 0) < 0) CHECK(errno == EINTR);
  return 0;
}

/* The process that the task started, once it is the program: until its exec it has this program's handlers. */
static pid_t pid_of(struct started *started) {
  char text[64];
  pid_t pid;
  if (started->way == by_system) {
    ssize_t count = read(started->ends[0], text, 31);
    CHECK(count > 0);
    text[count] = 0;
    pid = (pid_t)atoi(text);
  } else {
    while (atomic_load(&started->pid) == 0) breathe();
    pid = atomic_load(&started->pid);
  }
  for (;;) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    ssize_t count = read(fd, text, sizeof text - 1);
    close(fd);
    CHECK(count > 0);
    text[count] = 0;
    if (strcmp(text, "sleep\n") == 0) return pid;
    breathe();
  }
}

static void check_that_children_can_be_ended(tr_registry *registry) {
  static const int signals[] = {SIGTERM, SIGHUP, SIGUSR1, SIGALRM};
  for (int way = 0; way < ways; way++)
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
      struct started started = {way, {-1, -1}, 0, 0};
      CHECK_EQ(0, pipe(started.ends));
      tr_task *task = spawn(registry, "starts", body_starts, &started);
      pid_t pid = pid_of(&started);
      CHECK_EQ(0, kill(pid, signals[i]));
      wait_and_release(task);
      CHECK_MSG(WIFSIGNALED(started.status) && WTERMSIG(started.status) == signals[i],
                "way %d, signal %d: status 0x%x", way, signals[i], (unsigned)started.status);
      close(started.ends[0]);
      close(started.ends[1]);
    }
}

/* Proves: a process that a task starts, by fork, vfork, posix_spawn, popen or system, is ended by a
   signal sent to it (S7). Why it matters: a mask survives exec, and a program that was started with
   every signal blocked can only be killed; processes that it starts inherit that. Catches: tasks
   that block signals that the program does not. */
CASE(what_a_task_starts_can_be_ended) {
  tr_registry *registry = registry_new();
  check_that_children_can_be_ended(registry);
  registry_finish(registry);
}

/* Proves: the same in a program that has handlers for those signals, its own or the library's (S7, C13).
   Why it matters: exec puts the handler back to the default, and the mask stays.  Catches: blocking in tasks
   what has a handler. */
CASE(what_a_task_starts_can_be_ended_where_the_program_has_handlers) {
  tr_registry *registry = registry_new();
  handle(SIGHUP, on_signal);
  handle(SIGUSR1, on_signal);
  sigset_t watched;
  sigemptyset(&watched);
  sigaddset(&watched, SIGTERM);
  CHECK_EQ(TR_OK, tr_signal_watch_start(registry, &watched, NULL));
  check_that_children_can_be_ended(registry);
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  CHECK_EQ(TR_OK, tr_signal_watch_stop(registry));
  registry_finish(registry);
}

/* ---- Programs that callbacks start on threads of the library's own ------------------------------------ */

/* The cause of a callback, and the process it starts. */
struct caller {
  struct started started;
  struct gate gate; /* arrived at when it has started something, and seen its end */
  atomic_int calls;
};

static void callback_starts(void *ctx) {
  struct caller *caller = ctx;
  if (atomic_fetch_add(&caller->calls, 1) != 0) return;
  body_starts(NULL, &caller->started);
  gate_arrive(&caller->gate);
}

static void log_starts(void *context, const tr_log_event *event) {
  if (event->event == TR_EVENT_TASK_STALLED) callback_starts(context);
}

/* Kill the process that the callback has started, and wait for its end. */
static void end_what_it_starts(struct caller *caller) {
  pid_t pid = pid_of(&caller->started);
  CHECK_EQ(0, kill(pid, SIGTERM));
  gate_await(&caller->gate, 1);
  CHECK_MSG(WIFSIGNALED(caller->started.status) && WTERMSIG(caller->started.status) == SIGTERM,
            "way %d: status 0x%x", caller->started.way, (unsigned)caller->started.status);
  close(caller->started.ends[0]);
  close(caller->started.ends[1]);
}

static void caller_init(struct caller *caller, int way) {
  *caller = (struct caller){{way, {-1, -1}, 0, 0}, GATE_INIT, 0};
  CHECK_EQ(0, pipe(caller->started.ends));
}

/* Proves: a process that a callback starts on a thread of the library is ended by a signal sent to
   it: for callbacks of a timeout, of a deadline, of a signal, and the log of a heartbeat (S7, P7).
   Why it matters: a helper that a watchdog starts, and its children, would otherwise ignore
   signals. Catches: callbacks with the mask that those threads have for themselves. */
CASE(what_a_callback_starts_can_be_ended) {
  for (int way = 0; way < ways; way++) {
    static struct caller caller;
    caller_init(&caller, way);
    tr_token *parent = tr_token_create(), *token = tr_token_child_with_timeout(parent, 50 * MS * check_scale());
    tr_registration *registration = NULL;
    CHECK_EQ(TR_OK, tr_token_on_cancel(token, callback_starts, &caller, NULL, &registration));
    end_what_it_starts(&caller);
    tr_registration_remove(registration);
    tr_token_release(token);
    tr_token_release(parent);

    caller_init(&caller, way);
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.log = log_starts;
    options.log_context = &caller;
    tr_registry *above = NULL, *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &above));
    CHECK_EQ(TR_OK, tr_registry_child(above, "group", NULL, &registry));
    CHECK_EQ(TR_OK, tr_heartbeat_promise(registry, MS, 0));
    end_what_it_starts(&caller);
    CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0));

    caller_init(&caller, way);
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    CHECK_EQ(TR_OK, tr_task_on_cancel(task, callback_starts, &caller, NULL, &registration));
    CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
    end_what_it_starts(&caller);
    tr_registration_remove(registration);
    gate_open(&gate);
    wait_and_release(task);

    caller_init(&caller, way);
    sigset_t watched;
    sigemptyset(&watched);
    sigaddset(&watched, SIGUSR2);
    CHECK_EQ(TR_OK, tr_signal_watch_start(above, &watched, NULL));
    CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(above), callback_starts, &caller, NULL, &registration));
    CHECK_EQ(0, kill(getpid(), SIGUSR2));
    end_what_it_starts(&caller);
    tr_registration_remove(registration);
    CHECK_EQ(TR_OK, tr_signal_watch_stop(above));
    tr_registry_release(registry);
    registry_finish(above);
  }
  timer_thread_leaves();
}

/* ---- Signals that tasks leave unblocked
   ------------------------------------------------------------ */

static void *make_registry_with_all_blocked(void *registry) {
  sigset_t all;
  sigfillset(&all);
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &all, NULL));
  *(tr_registry **)registry = registry_new();
  return NULL;
}

/* Proves: if the thread that makes the registry blocks every signal, as those of libdispatch do,
   tasks have the main thread's mask (S7). Why it matters: a runtime's mask is not the program's;
   processes started by tasks of a registry that asynchronous Swift code made would ignore signals.
   Catches: using the runtime's mask. */
CASE(a_runtimes_mask_is_not_the_programs) {
  tr_registry *registry = NULL;
  thread_end(thread_start(make_registry_with_all_blocked, &registry));
  check_that_children_can_be_ended(registry);
  registry_finish(registry);
}

/* The thread that handled a signal last, and how many were handled. */
static _Atomic(pid_t) handled_by;
static atomic_int handled;

static void note_handler(int number) {
  (void)number;
  atomic_store(&handled_by, gettid());
  atomic_fetch_add(&handled, 1);
}

/* Busy until it is asked to stop. */
static int body_computes(tr_task *self, void *ctx) {
  gate_arrive(ctx);
  while (!tr_task_is_cancelled(self)) continue;
  return 0;
}

static int body_sleeps(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  while (tr_sleep(600 * SECOND) == TR_OK) continue;
  return 0;
}

/* Proves: a signal to the process that the main thread leaves unblocked is handled there, whatever
   the tasks do (S7). Why it matters: tasks leave it unblocked as well, and should not be
   interrupted by it. Catches: in the library only a main thread whose mask the library changes; it
   checks what the choice of the mask relies on. */
CASE(the_main_thread_gets_the_programs_signals) {
  if (check_under_valgrind()) return; /* which delivers as it likes */
  tr_registry *registry = registry_new();
  handle(SIGUSR1, note_handler);
  struct gate gate = GATE_INIT;
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(TR_OK, tr_spawn(registry, "computes", TR_KIND_RPC_HANDLER, body_computes, &gate, NULL));
    CHECK_EQ(TR_OK, tr_spawn(registry, "sleeps", TR_KIND_RPC_HANDLER, body_sleeps, &gate, NULL));
  }
  gate_await(&gate, 6);
  for (int i = 1; i <= 50; i++) {
    CHECK_EQ(0, kill(getpid(), SIGUSR1));
    while (atomic_load(&handled) < i) breathe();
    CHECK_EQ(getpid(), atomic_load(&handled_by));
  }
  registry_finish(registry);
}

/* Proves: a program that blocks a signal before it makes the registry, and waits for it, gets it, with tasks
   alive, and no task does (S7).  Why it matters: sigwait and signalfd are how threaded programs take
   signals, and one that lands in a task ends the program.  Catches: tasks that let everything through. */
CASE(a_program_that_waits_for_a_signal_gets_it) {
  sigset_t awaited;
  sigemptyset(&awaited);
  sigaddset(&awaited, SIGTERM);
  CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &awaited, NULL));
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  for (int i = 0; i < 4; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "sleeps", TR_KIND_RPC_HANDLER, body_sleeps, &gate, NULL));
  gate_await(&gate, 4);
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(0, kill(getpid(), SIGTERM));
    int number = 0;
    CHECK_EQ(0, sigwait(&awaited, &number));
    CHECK_EQ(SIGTERM, number);
  }
  registry_finish(registry);
}

static void take_sample(int number) {
  (void)number;
  atomic_store(&handled_by, gettid());
}

static int body_computes_until_sampled(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  while (atomic_load(&handled_by) != gettid()) continue;
  return 0;
}

/* Proves: a profiler's samples reach the task that computes, as the application said once, by its
   own mask or by the option, that its tasks leave SIGPROF unblocked (S7). Why it matters: otherwise
   a profile shows a main thread that sleeps. Catches: a mask of tasks that cannot be chosen. */
CASE(a_profiler_sees_the_task_that_computes) {
  if (check_under_valgrind()) return; /* which delivers as it likes */
  sigset_t all, none;
  sigfillset(&all);
  sigdelset(&all, SIGPROF);
  sigemptyset(&none);
  handle(SIGPROF, take_sample);
  for (int form = 0; form < 2; form++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    if (form == 1) options.blocked_signals = &all;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    sigset_t prof, before;
    sigemptyset(&prof);
    sigaddset(&prof, SIGPROF);
    /* Linux before 6.4 would prefer the first thread. */
    CHECK_EQ(0, pthread_sigmask(SIG_BLOCK, &prof, &before));
    atomic_store(&handled_by, 0);
    tr_task *task = spawn(registry, "computes", body_computes_until_sampled, NULL);
    const struct itimerval often = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}};
    CHECK_EQ(0, setitimer(ITIMER_PROF, &often, NULL));
    wait_and_release(task);
    CHECK_EQ(0, setitimer(ITIMER_PROF, &off, NULL));
    CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
    registry_finish(registry);
  }
}

/* ---- Signals that a task raises itself
   ------------------------------------------------------------ */

static int body_raises(tr_task *self, void *ctx) {
  (void)self;
  raise(*(const int *)ctx);
  _exit(7);
}

struct raising {
  int number, blocks_all;
};

static void raise_in_a_task(void *argument) {
  struct raising *raising = argument;
  const struct rlimit none = {0, 0};
  CHECK_EQ(0, setrlimit(RLIMIT_CORE, &none));
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  sigset_t all;
  sigfillset(&all);
  if (raising->blocks_all) options.blocked_signals = &all;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  wait_and_release(spawn(registry, "raises", body_raises, &raising->number));
  _exit(8);
}

/* Proves: a signal that a task raises itself takes effect as in any thread; SIGABRT and the faults
   end the process even if tasks block all signals (S7). Why it matters: programs check themselves
   that way, and one that continues with damaged memory is worse than one that ends. Catches:
   SIGABRT among those that are blocked. */
CASE(what_a_task_raises_takes_effect) {
  const int numbers[] = {SIGABRT, SIGSEGV, SIGILL, SIGTERM, SIGPIPE, SIGRTMIN};
  for (int blocks_all = 0; blocks_all < 2; blocks_all++)
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
      if (blocks_all && i > 2) break;
#if defined(CHECK_UNDER_TSAN) || defined(CHECK_UNDER_ASAN)
      if (numbers[i] == SIGSEGV || numbers[i] == SIGILL) continue; /* the sanitizer has a handler */
#endif
      struct raising raising = {numbers[i], blocks_all};
      int status = status_of_child(raise_in_a_task, &raising);
      CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i], "signal %d: status 0x%x",
                numbers[i], (unsigned)status);
    }
}

CHECK_MAIN(
    CHECK_ENTRY(what_a_task_starts_can_be_ended),
    CHECK_ENTRY(what_a_task_starts_can_be_ended_where_the_program_has_handlers),
    CHECK_ENTRY(what_a_callback_starts_can_be_ended),
    CHECK_ENTRY(a_runtimes_mask_is_not_the_programs),
    CHECK_ENTRY(the_main_thread_gets_the_programs_signals),
    CHECK_ENTRY(a_program_that_waits_for_a_signal_gets_it),
    CHECK_ENTRY(a_profiler_sees_the_task_that_computes),
    CHECK_ENTRY(what_a_task_raises_takes_effect))
