/* support.h - shared by several conformance programs: gates instead of sleeps, bodies of every
   kind, joins on a thread of their own, and a list of the threads of the process. */

#ifndef TASKREG_TESTS_SUPPORT_H
#define TASKREG_TESTS_SUPPORT_H

#include "check.h"

#include <taskreg.h>

#include <dirent.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <sys/wait.h>

#define MS INT64_C(1000000)
#define SECOND INT64_C(1000000000)
/* Wherever a check expects TR_ERR_INVALID of a function of the library, that has to be explained under the
   function's name, by an argument of its declaration (P4): every check of an invalid call in these programs checks it on the way. */
#ifndef SUPPORT_LIBRARY_IS_LOADED_LATER
#undef CHECK_EQ
#define CHECK_EQ(expected, actual)                                                                 \
  do {                                                                                             \
    long long check_expected = (long long)(expected), check_actual;                                \
    if (check_expected == TR_ERR_INVALID) forget_error_detail();                                   \
    check_actual = (long long)(actual);                                                            \
    if (check_expected != check_actual)                                                            \
      check_fail(__FILE__, __LINE__, "%s is %lld, not %s = %lld", #actual, check_actual,           \
                 #expected, check_expected);                                                       \
    if (check_expected == TR_ERR_INVALID) check_error_detail(#actual, __FILE__, __LINE__);         \
  } while (0)

/* Leave the text of a function that no check calls, so that none finds that of an earlier check. */
static inline void forget_error_detail(void) {
  if (tr_error_detail()[0] != 0 && tr_token_child(NULL) != NULL) abort();
}

#ifdef SUPPORT_DECLARATIONS
static const struct {
  const char *result, *function, *parameters; /* "tr_status ", "tr_token_fd", "(tr_token *token, int *fd)" */
} support_declarations[] = {
#include SUPPORT_DECLARATIONS
};

/* Say whether the `length` characters of `name` are the name of a parameter of the function, which has `declared`
   characters. */
static inline int is_parameter(const char *function, size_t declared, const char *name, size_t length) {
  const char *place = NULL;
  for (size_t i = 0; i < sizeof support_declarations / sizeof *support_declarations; i++)
    if (strlen(support_declarations[i].function) == declared &&
        strncmp(support_declarations[i].function, function, declared) == 0)
      place = support_declarations[i].parameters;
  for (; place != NULL && length > 0 && *place != 0; place++)
    if (strchr(" *", *place) != NULL && strncmp(place + 1, name, length) == 0 && strchr(",)", place[1 + length]) != NULL)
      return 1;
  return 0;
}

/* Say whether `text` starts with what is wrong: a parameter of the function, or a part of one; or, where no argument
   is, the caller, a task, a registry or the process. */
static inline int names_what_is_wrong(const char *function, size_t declared, const char *text) {
  static const char *const parts[] = {"the size in ", "the capacity of ", "a number in "};
  static const char *const others[] = {"the caller ",       "the calling thread ", "the body of ", "the task ",
                                       "the registry ",     "there is no watch ",  "there is a watch ",
                                       "systemd is ",       "the process is "};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (strncmp(text, others[i], strlen(others[i])) == 0) return 1;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (strncmp(text, parts[i], strlen(parts[i])) == 0) text += strlen(parts[i]);
  return is_parameter(function, declared, text, strspn(text, "abcdefghijklmnopqrstuvwxyz_"));
}
#endif

/* Check that the last invalid call is explained under the name that `call` begins with, by an argument that it has. */
static inline void check_error_detail(const char *call, const char *file, int line) {
  size_t length = strcspn(call, "(");
  const char *detail = tr_error_detail();
  if (strncmp(call, "tr_", 3) != 0) return; /* a function of the program's own */
  if (strncmp(call, detail, length) != 0 || strncmp(detail + length, ": ", 2) != 0 || detail[length + 2] == 0)
    check_fail(file, line, "%s is explained by \"%s\"", call, detail);
#ifdef SUPPORT_DECLARATIONS
  if (!names_what_is_wrong(detail, length, detail + length + 2))
    check_fail(file, line, "\"%s\" does not start with an argument of the function", detail);
#endif
}
#endif

#define FOREVER INT64_C(-1)

/* The time that "at once" may take on a busy machine; a wait that does not end takes longer. */
#define AT_ONCE (2 * SECOND * check_scale())

/* ---- Time ---------------------------------------------------------------------------------- */

static inline int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

static inline int64_t wall_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

/* Yield the CPU for a moment: for polling a state that no event reports. */
static inline void breathe(void) {
  struct timespec moment = {0, 1000000};
  nanosleep(&moment, NULL);
}

/* ---- Gates --------------------------------------------------------------------------------- */

/* A gate is shut until it is opened; it counts the arrivals. Guards: all its fields. `changed` is
   signalled when `open` or `arrived` changes. */
struct gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int arrived;
  int open;
};

#define GATE_INIT                                                                                  \
  { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 }

/* Arrive, and wait until the gate is open. */
static inline void gate_pass(struct gate *gate) {
  pthread_mutex_lock(&gate->lock);
  gate->arrived++;
  pthread_cond_broadcast(&gate->changed);
  while (!gate->open) pthread_cond_wait(&gate->changed, &gate->lock);
  pthread_mutex_unlock(&gate->lock);
}

/* Arrive without waiting. */
static inline void gate_arrive(struct gate *gate) {
  pthread_mutex_lock(&gate->lock);
  gate->arrived++;
  pthread_cond_broadcast(&gate->changed);
  pthread_mutex_unlock(&gate->lock);
}

/* Wait until `count` have arrived. */
static inline void gate_await(struct gate *gate, int count) {
  pthread_mutex_lock(&gate->lock);
  while (gate->arrived < count) pthread_cond_wait(&gate->changed, &gate->lock);
  pthread_mutex_unlock(&gate->lock);
}

static inline void gate_open(struct gate *gate) {
  pthread_mutex_lock(&gate->lock);
  gate->open = 1;
  pthread_cond_broadcast(&gate->changed);
  pthread_mutex_unlock(&gate->lock);
}

/* sem_wait that outlives signals. */
static inline void sem_take(sem_t *semaphore) {
  while (sem_wait(semaphore) != 0) CHECK(errno == EINTR);
}

/* ---- Bodies -------------------------------------------------------------------------------- */

/* Ends at once. */
static inline int body_returns(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  return 0;
}

/* Deaf: waits at the gate `ctx` and never checks its flag. */
static inline int body_deaf(tr_task *self, void *ctx) {
  (void)self;
  gate_pass((struct gate *)ctx);
  return 0;
}

/* Obedient: arrives at the gate `ctx` (which may be NULL) and sleeps until it is asked to stop. */
static inline int body_obeys(tr_task *self, void *ctx) {
  (void)self;
  if (ctx != NULL) gate_arrive((struct gate *)ctx);
  return tr_sleep(FOREVER) == TR_ERR_CANCELLED ? 0 : 70;
}

/* Fails at once, with the int that `ctx` points to. */
static inline int body_fails(tr_task *self, void *ctx) {
  (void)self;
  return *(const int *)ctx;
}

/* Leaves by pthread_exit at once. */
static inline int body_exits(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  pthread_exit(NULL);
}

#ifdef CHECK_UNDER_ASAN
/* AddressSanitizer does not see that a thread is cancelled, and takes the frames that are left for
   live ones: functions that run later on the same stack would be reported. This informs it. */
void __asan_handle_no_return(void);
#endif

static inline void on_cancellation(void *argument) {
  (void)argument;
#ifdef CHECK_UNDER_ASAN
  __asan_handle_no_return();
#endif
}

/* Check whether pthread_cancel was called for this thread, and end if it was; or wait for it.
   ThreadSanitizer forgets what a thread did that is cancelled inside a call it intercepts, as pause
   is. */
static inline void be_cancelled(int waits) {
  pthread_cleanup_push(on_cancellation, NULL);
  do {
    pthread_testcancel();
#ifndef CHECK_UNDER_TSAN
    if (waits) pause();
#endif
  } while (waits);
  pthread_cleanup_pop(0);
}

/* Must never run. */
static inline int body_never(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  check_fail(__FILE__, __LINE__, "a body ran that must not");
}

/* Counts its calls; a drop. */
static inline void drop_counts(void *ctx) { atomic_fetch_add((atomic_int *)ctx, 1); }

/* Must never run; a drop. */
static inline void drop_never(void *ctx) {
  (void)ctx;
  check_fail(__FILE__, __LINE__, "a drop ran that must not");
}

/* ---- Memory --------------------------------------------------------------------------------- */

static inline long resident_bytes(void) {
  long pages = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  CHECK(file != NULL);
  CHECK_EQ(2, fscanf(file, "%ld %ld", &pages, &resident));
  fclose(file);
  return resident * sysconf(_SC_PAGESIZE);
}

/* ---- Variants ------------------------------------------------------------------------------- */

/* tr_registry_create, with the thread reuse that TASKREG_TEST_VARIANT in the environment asks for
   where the case leaves the default: "fresh": no thread outlives its task; "spin0": no thread
   spins. The contract is the same in every variant. */
static inline tr_status create_registry(const tr_registry_options *given, tr_registry **registry) {
  const char *variant = getenv("TASKREG_TEST_VARIANT");
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  if (variant == NULL || (given != NULL && given->size != sizeof options))
    return tr_registry_create(given, registry);
  if (given != NULL) options = *given;
  if (strcmp(variant, "fresh") == 0) {
    if (options.idle_threads == 0) options.idle_threads = TR_IDLE_THREADS_NONE;
  } else {
    CHECK_MSG(strcmp(variant, "spin0") == 0, "TASKREG_TEST_VARIANT is \"%s\": fresh or spin0", variant);
    if (options.spin_ns == 0) options.spin_ns = TR_SPIN_NEVER;
  }
  return tr_registry_create(&options, registry);
}

/* ---- Short forms --------------------------------------------------------------------------- */

static inline tr_registry *registry_new(void) {
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(NULL, &registry));
  CHECK(registry != NULL);
  return registry;
}

/* A registry with that abort grace, in nanoseconds. */
static inline tr_registry *registry_with_grace(int64_t abort_grace) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.abort_grace_ns = abort_grace;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

/* tr_shutdown, called again as long as all that is left is threads that have ended their tasks and
   do not get to leave: on a busy machine that may take longer than the second the library allows.
   The report is that of the first call, with the last one's threads_left. */
static inline tr_status shutdown_fully(tr_registry *registry, tr_reason reason, const char *message,
                                       int64_t grace, tr_join_report *report) {
  tr_join_report own = TR_JOIN_REPORT_INIT, again = TR_JOIN_REPORT_INIT;
  if (report == NULL) report = &own;
  tr_status status = tr_shutdown(registry, reason, message, grace, report);
  if (status != TR_ERR_DEADLINE || report->pending != 0) return status;
  do {
    CHECK(again.pending == 0 && report->threads_left > 0);
    status = tr_shutdown(registry, reason, message, grace, &again);
    report->threads_left = again.threads_left;
  } while (status == TR_ERR_DEADLINE);
  return status;
}

/* Shut `registry` down without a deadline and release it: every case ends so, and leaves no thread
   and no memory behind. */
static inline void registry_finish(tr_registry *registry) {
  CHECK_EQ(TR_OK,
           shutdown_fully(registry, TR_REASON_REQUESTED_BY_RUN, "end of case", FOREVER, NULL));
  CHECK_EQ(0, tr_len(registry));
  tr_registry_release(registry);
}

static inline tr_task *spawn(tr_registry *registry, const char *name, tr_task_fn body, void *ctx) {
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, name, TR_KIND_BACKGROUND_LOOP, body, ctx, &task));
  CHECK(task != NULL);
  return task;
}

/* Spawn with a drop and flags. */
static inline tr_task *spawn_drop(tr_registry *registry, const char *name, tr_task_fn body,
                                  void *ctx, tr_drop_fn drop, uint32_t flags) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop;
  options.flags = flags;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, name, TR_KIND_MAINTENANCE, body, ctx, &options, &task));
  CHECK(task != NULL);
  return task;
}

/* Wait for `task` without a timeout and say how it ended. */
static inline tr_outcome outcome_of(tr_task *task) {
  tr_outcome outcome = TR_OUTCOME_INIT;
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, &outcome));
  return outcome;
}

/* Wait for `task` and give its handle back. */
static inline void wait_and_release(tr_task *task) {
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  tr_task_release(task);
}

/* Find the task `id` in a snapshot of `registry`; 0 when it is not listed. */
static inline int find_in_snapshot(tr_registry *registry, uint64_t id, tr_task_summary *found) {
  size_t capacity = 256, count = 0;
  tr_task_summary *list = (tr_task_summary *)calloc(capacity, sizeof *list);
  CHECK(list != NULL);
  list[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
  CHECK_EQ(TR_OK, tr_snapshot(registry, list, capacity, &count));
  if (found != NULL) *found = (tr_task_summary)TR_TASK_SUMMARY_INIT;
  int times = 0;
  for (size_t i = 0; i < count; i++) {
    if (list[i].id != id) continue;
    times++;
    if (found != NULL) *found = list[i];
  }
  free(list);
  CHECK_MSG(times <= 1, "task %llu is listed %d times", (unsigned long long)id, times);
  return times;
}

static inline size_t snapshot_count(tr_registry *registry) {
  size_t count = 4711;
  CHECK_EQ(TR_OK, tr_snapshot(registry, NULL, 0, &count));
  return count;
}

/* ---- Threads ------------------------------------------------------------------------------- */

static inline pthread_t thread_start(void *(*run)(void *), void *argument) {
  pthread_t thread;
  CHECK_EQ(0, pthread_create(&thread, NULL, run, argument));
  return thread;
}

static inline void thread_end(pthread_t thread) { CHECK_EQ(0, pthread_join(thread, NULL)); }

/* How many threads the process has. */
static inline int thread_count(void) {
  DIR *directory = opendir("/proc/self/task");
  CHECK(directory != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
    count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

/* The same without threads that have executed their last instruction: the kernel, which has told whoever waits for their
   end, takes them out of /proc a moment later. */
static inline int threads_that_run(void) {
  enum { PF_EXITING = 4 };
  DIR *directory = opendir("/proc/self/task");
  CHECK(directory != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char path[320], text[512];
    unsigned flags = 0;
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/self/task/%s/stat", entry->d_name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) continue; /* it has just gone */
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) continue;
    text[length] = 0;
    const char *rest = strrchr(text, ')');
    CHECK(rest != NULL && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1);
    count += (flags & PF_EXITING) == 0;
  }
  closedir(directory);
  return count;
}

static inline void *thread_does_nothing(void *argument) { return argument; }

/* How many threads there are before a case makes any: a tool's own included, some of which it only
   makes along with the first thread of the program. */
static inline int thread_baseline(void) {
  thread_end(thread_start(thread_does_nothing, NULL));
  int before;
  do { /* a joined thread leaves /proc a moment after pthread_join returned */
    before = thread_count();
    breathe();
  } while (thread_count() != before);
  return before;
}

/* Check that the process comes down to `expected` threads: a joined thread leaves /proc/self/task
   a moment after it was joined, so this polls for at most `limit`. */
static inline void threads_settle(int expected, int64_t limit) {
  int64_t end = now_ns() + limit;
  int count;
  while ((count = thread_count()) > expected && now_ns() < end) breathe();
  CHECK_EQ(expected, count);
}

/* How many threads of the process the kernel calls `name`; the id of one of them in `*id`, unless NULL. */
static inline int threads_named(const char *name, int *id) {
  DIR *directory = opendir("/proc/self/task");
  CHECK(directory != NULL);
  int count = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    char path[320], text[32];
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) continue;
    text[length - 1] = 0;
    if (strcmp(text, name) != 0) continue;
    count++;
    if (id != NULL) *id = atoi(entry->d_name);
  }
  closedir(directory);
  return count;
}

static inline int threads_called(const char *name) { return threads_named(name, NULL); }

/* How many timer threads and event threads the library has. */
static inline int own_threads(void) {
  return threads_called("taskreg-timer") + threads_called("taskreg-events");
}

/* Under valgrind, wait until the library's own threads have left: valgrind reports what the C
   library keeps for a running thread as lost. */
static inline void timer_thread_leaves(void) {
  if (check_under_valgrind()) CHECK_EQ(TR_OK, tr_quiesce(AT_ONCE));
}

/* The run state of thread `tid` as the kernel reports it: 'R', 'S', ...; 0 when it is gone. */
static inline char thread_state(pid_t tid) {
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t length = read(file, text, sizeof text - 1);
  close(file);
  if (length <= 0) return 0;
  text[length] = 0;
  const char *after = strrchr(text, ')');
  return after != NULL && after[1] == ' ' ? after[2] : 0;
}

/* Wait until the thread whose id is stored in `tid` sleeps in the kernel. It must store its id as
   the last thing before the call in which it is to sleep. */
static inline void await_asleep(_Atomic(pid_t) *tid) {
  int seen = 0;
  while (seen < 3) {
    pid_t id = atomic_load(tid);
    seen = id != 0 && thread_state(id) == 'S' ? seen + 1 : 0;
    breathe();
  }
}

/* A join (or a shutdown) on a thread of its own. */
struct join_call {
  tr_registry *registry;
  int64_t timeout;
  int shuts_down;
  tr_status status;
  tr_join_report report;
  int64_t took;
  _Atomic(pid_t) tid;
  atomic_int returned;
  pthread_t thread;
};

static inline void *join_call_run(void *argument) {
  struct join_call *call = (struct join_call *)argument;
  call->report = (tr_join_report)TR_JOIN_REPORT_INIT;
  atomic_store(&call->tid, gettid());
  int64_t start = now_ns();
  if (call->shuts_down)
    call->status = shutdown_fully(call->registry, TR_REASON_USER_REQUESTED, "stop", call->timeout,
                                  &call->report);
  else
    call->status = tr_join_all(call->registry, call->timeout, &call->report);
  call->took = now_ns() - start;
  atomic_store(&call->returned, 1);
  return NULL;
}

/* Begin a join in a thread of its own; it may not yet wait when this returns. */
static inline void join_begin(struct join_call *call, tr_registry *registry, int64_t timeout) {
  memset(call, 0, sizeof *call);
  call->registry = registry;
  call->timeout = timeout;
  call->thread = thread_start(join_call_run, call);
}

/* Begin a join and wait until it sleeps. */
static inline void join_begin_asleep(struct join_call *call, tr_registry *registry,
                                     int64_t timeout) {
  join_begin(call, registry, timeout);
  await_asleep(&call->tid);
}

/* The same with tr_shutdown. */
static inline void shutdown_begin(struct join_call *call, tr_registry *registry, int64_t timeout) {
  memset(call, 0, sizeof *call);
  call->registry = registry;
  call->timeout = timeout;
  call->shuts_down = 1;
  call->thread = thread_start(join_call_run, call);
}

static inline void join_end(struct join_call *call) { thread_end(call->thread); }

/* ---- Processes ----------------------------------------------------------------------------- */

/* Run `body` in a child of fork, which an alarm ends if it hangs; its wait status. */
static inline int status_of_child(void (*body)(void *), void *argument) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    signal(SIGALRM, SIG_DFL);
    alarm((unsigned)(10 * check_scale()));
    body(argument);
    _exit(0);
  }
  int status;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  return status;
}

/* Run this program again with two arguments, after `prepare` (which may be NULL) has run in the
   new process; its wait status. An alarm ends it if it hangs. */
static inline int status_of_role(const char *role, void (*prepare)(void)) {
  char path[4096];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
  CHECK(length > 0);
  path[length] = 0;
  unsigned limit = (unsigned)(20 * check_scale());
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    signal(SIGALRM, SIG_DFL);
    alarm(limit);
    if (prepare != NULL) prepare();
    execl(path, path, "--role", role, (char *)NULL);
    _exit(126);
  }
  int status;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  return status;
}

/* The role of a program that status_of_role runs again. */
struct role {
  const char *name;
  int (*run)(void);
};

/* The main of a program that has roles beside its cases. */
static inline int roles_main(int argc, char **argv, const struct role *roles, size_t role_count,
                             const struct check_case *cases, size_t case_count) {
  if (argc != 3 || strcmp(argv[1], "--role") != 0) return check_main(argc, argv, cases, case_count);
  check_scale();
  check_current = argv[2];
  for (size_t i = 0; i < role_count; i++)
    if (strcmp(argv[2], roles[i].name) == 0) return roles[i].run();
  return 2;
}

/* Check that a process ended by itself with `code`. */
#define CHECK_EXITED(code, status)                                                                 \
  do {                                                                                             \
    int check_status = (status);                                                                   \
    if (WIFSIGNALED(check_status) && WTERMSIG(check_status) == SIGALRM)                            \
      check_fail(__FILE__, __LINE__, "the process of %s hung", #status);                           \
    if (WIFSIGNALED(check_status))                                                                 \
      check_fail(__FILE__, __LINE__, "signal %d ended the process of %s", WTERMSIG(check_status),  \
                 #status);                                                                         \
    CHECK_EQ(code, WEXITSTATUS(check_status));                                                     \
  } while (0)

#endif /* TASKREG_TESTS_SUPPORT_H */
