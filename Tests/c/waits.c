/* waits.c - what a report says that tasks wait for, and who holds it: one case for each kind of wait, and one for each
   lie (Q1 to Q5). */

#include "deadline.h"

#include <limits.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <semaphore.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* A wait to be examined: what a task does, and where it shows that it is about to. */
struct wait {
  int (*body)(struct wait *);
  tr_task *task;
  void *object, *object2;
  int fd;
  pid_t pid;
  uint32_t expected;
  atomic_int tid;
};

static int body_waits(tr_task *self, void *ctx) {
  struct wait *wait = ctx;
  (void)self;
  atomic_store(&wait->tid, (int)syscall(SYS_gettid));
  return wait->body(wait);
}

static tr_registry *begin(struct wait *wait, const char *name) {
  tr_registry *registry = registry_new();
  wait->task = spawn(registry, name, body_waits, wait);
  while (atomic_load(&wait->tid) == 0) breathe();
  return registry;
}

/* Report until the straggler `name` waits for what is expected, or for long: the last report. */
static tr_report *explain_until(tr_registry *registry, const char *name, uint32_t expected,
                                tr_straggler *straggler) {
  int64_t end = now_ns() + 5 * SECOND * check_scale();
  tr_report *report = NULL;
  while (1) {
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    *straggler = straggler_called(report, name);
    if (straggler->waits_for == expected || now_ns() > end) break;
    tr_report_release(report);
    breathe();
  }
  CHECK_MSG(straggler->waits_for == expected, "it waits for %u, gap %u, in %s", straggler->waits_for,
            straggler->wait_gap, straggler->syscall_name == NULL ? "?" : straggler->syscall_name);
  return report;
}

static void finish(tr_registry *registry, struct wait *wait) {
  wait_and_release(wait->task);
  registry_finish(registry);
}

static char *text_of(const tr_report *report) {
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, NULL, 0, &length));
  char *text = malloc(length + 1);
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, length + 1, &length));
  return text;
}

static struct timespec in_an_hour(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  time.tv_sec += 3600;
  return time;
}

extern int pthread_mutex_clocklock(pthread_mutex_t *, clockid_t, const struct timespec *);

static int locks(struct wait *wait) {
  int code = pthread_mutex_lock(wait->object);
  return code == 0 ? pthread_mutex_unlock(wait->object) : code;
}
static int locks_in_time(struct wait *wait) {
  struct timespec time = in_an_hour(CLOCK_REALTIME);
  int code = pthread_mutex_timedlock(wait->object, &time);
  return code == 0 ? pthread_mutex_unlock(wait->object) : code;
}
static int locks_by_clock(struct wait *wait) {
  struct timespec time = in_an_hour(CLOCK_MONOTONIC);
  int code = pthread_mutex_clocklock(wait->object, CLOCK_MONOTONIC, &time);
  return code == 0 ? pthread_mutex_unlock(wait->object) : code;
}

static pthread_mutex_t made(int type, int protocol, int robust, int shared) {
  pthread_mutex_t mutex;
  pthread_mutexattr_t attributes;
  CHECK_EQ(0, pthread_mutexattr_init(&attributes));
  CHECK_EQ(0, pthread_mutexattr_settype(&attributes, type));
  CHECK_EQ(0, pthread_mutexattr_setprotocol(&attributes, protocol));
  CHECK_EQ(0, pthread_mutexattr_setrobust(&attributes, robust));
  CHECK_EQ(0, pthread_mutexattr_setpshared(&attributes, shared));
  CHECK_EQ(0, pthread_mutex_init(&mutex, &attributes));
  CHECK_EQ(0, pthread_mutexattr_destroy(&attributes));
  return mutex;
}

/* A mutex of any kind that the calling thread holds: the report names this thread. */
static void held_mutex(pthread_mutex_t *mutex, int (*body)(struct wait *)) {
  struct wait wait = {.body = body, .object = mutex};
  CHECK_EQ(0, pthread_mutex_lock(mutex));
  tr_registry *registry = begin(&wait, "locker");
  tr_straggler straggler;
  tr_report *report = explain_until(registry, "locker", TR_WAITS_MUTEX, &straggler);
  CHECK_EQ(syscall(SYS_gettid), straggler.holder_thread_id);
  CHECK_EQ((uintptr_t)mutex, straggler.wait_address);
  CHECK_EQ(TR_GAP_NONE, straggler.wait_gap);
  CHECK_EQ(0, straggler.holder_task_id);
  CHECK(strncmp(straggler.holder_name, "c-waits", 7) == 0);
  char *text = text_of(report), *line = strtok(text, "\n");
  CHECK_MSG(strncmp(line, "1 task waits for mutex 0x", 25) == 0, "%s", line);
  CHECK_MSG(strstr(line, " held by thread c-waits, which makes this report") != NULL, "%s", line);
  free(text);
  tr_report_release(report);
  CHECK_EQ(0, pthread_mutex_unlock(mutex));
  finish(registry, &wait);
  CHECK_EQ(0, pthread_mutex_destroy(mutex));
}

/* Proves: of each kind of glibc's mutexes, waited for with and without a time limit, a report names the thread that
   holds it, and if that is the one that makes the report, says so (Q1, Q3). Why it matters: who holds the lock is what
   everybody asks next. Catches: an offset of another field; a kind or a call that is forgotten; the reading of the
   reporter's own file taken for what it waits in. */
CASE(each_kind_of_mutex_has_its_owner) {
  static const int types[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                              3 /* PTHREAD_MUTEX_ADAPTIVE_NP */};
  int (*const bodies[])(struct wait *) = {locks, locks_in_time, locks_by_clock};
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    for (int robust = 0; robust < 2; robust++) {
      for (int protocol = 0; protocol < 2; protocol++) {
        for (size_t k = 0; k < 3; k++) {
          /* A mutex of priority inheritance has no other clock than the wall's (EINVAL). */
          if (protocol != 0 && k == 2) continue;
          if (protocol == 0 && k > 0 && !check_sees_all_locks()) continue;
          if (types[i] == 3 && robust && protocol) continue;
          pthread_mutex_t mutex = made(types[i], protocol ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE,
                                       robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED,
                                       PTHREAD_PROCESS_PRIVATE);
          held_mutex(&mutex, bodies[k]);
        }
      }
    }
  }
}


/* Examine a wait whose task waits for what the case holds: what it waits for, in a report of one task. */
static tr_straggler examine(struct wait *wait, uint32_t expected, tr_registry **registry) {
  *registry = begin(wait, "waiter");
  tr_straggler straggler;
  tr_report_release(explain_until(*registry, "waiter", expected, &straggler));
  if (expected == TR_WAITS_UNKNOWN) CHECK_EQ(0, straggler.holder_thread_id);
  return straggler;
}

static int reads_lock(struct wait *wait) {
  int code = pthread_rwlock_rdlock(wait->object);
  return code == 0 ? pthread_rwlock_unlock(wait->object) : code;
}
static int writes_lock(struct wait *wait) {
  int code = pthread_rwlock_wrlock(wait->object);
  return code == 0 ? pthread_rwlock_unlock(wait->object) : code;
}

static void held_rwlock(pthread_rwlock_t *lock, int (*body)(struct wait *), int writes) {
  struct wait wait = {.body = body, .object = lock};
  tr_registry *registry;
  CHECK_EQ(0, writes ? pthread_rwlock_wrlock(lock) : pthread_rwlock_rdlock(lock));
  tr_straggler straggler = examine(&wait, TR_WAITS_RWLOCK, &registry);
  CHECK_EQ(writes ? syscall(SYS_gettid) : 0, straggler.holder_thread_id);
  CHECK_EQ(writes ? 0 : 1, straggler.wait_count);
  CHECK_EQ((uintptr_t)lock, straggler.wait_address);
  CHECK_EQ(0, pthread_rwlock_unlock(lock));
  finish(registry, &wait);
}

/* Proves: of a read-write lock a report names the writer, or says how many read (Q1). Why it matters: the readers of a
   lock are not to be blamed on a writer that went long ago. Catches: another field than the writer's; the lock's
   readers counted with its flags. */
CASE(a_read_write_lock_has_a_writer_or_readers) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  held_rwlock(&lock, reads_lock, 1);
  if (check_sees_all_locks()) {
    held_rwlock(&lock, writes_lock, 1);
    held_rwlock(&lock, writes_lock, 0);
  }
  held_rwlock(&lock, reads_lock, 1);
  CHECK_EQ(0, pthread_rwlock_destroy(&lock));
}

struct signalled {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
  uint32_t behind[12]; /* read as an owner by who takes the condition variable for a mutex */
  int done;
};

static int waits_for_condition(struct wait *wait) {
  struct signalled *signalled = wait->object;
  pthread_mutex_lock(&signalled->mutex);
  while (!signalled->done) pthread_cond_wait(&signalled->condition, &signalled->mutex);
  return pthread_mutex_unlock(&signalled->mutex);
}

static int waits_for_semaphore(struct wait *wait) {
  sem_take(wait->object);
  return 0;
}

/* Proves: of a condition variable and of a semaphore a report says that they are waited for, and no holder, even if the
   memory behind them looks like a locked mutex of a live thread (Q1). Why it matters: nobody holds them, and whoever
   is named is innocent. Catches: an owner read wherever a futex is waited for. */
CASE(what_is_signalled_has_no_holder) {
  struct signalled signalled = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, {0}, 0};
  uint32_t self = (uint32_t)syscall(SYS_gettid);
  for (size_t i = 0; i < 12; i += 4) {
    uint32_t words[] = {self, 1, 0, 0};
    memcpy(signalled.behind + i, words, sizeof words);
  }
  struct wait wait = {.body = waits_for_condition, .object = &signalled};
  tr_registry *registry;
  tr_straggler straggler = examine(&wait, check_sees_all_locks() ? TR_WAITS_SIGNAL : TR_WAITS_UNKNOWN, &registry);
  CHECK_EQ(0, straggler.holder_thread_id);
  uintptr_t inside = straggler.wait_address - (uintptr_t)&signalled.condition;
  CHECK(inside < sizeof signalled.condition || !check_sees_all_locks());
  pthread_mutex_lock(&signalled.mutex);
  signalled.done = 1;
  pthread_cond_broadcast(&signalled.condition);
  pthread_mutex_unlock(&signalled.mutex);
  finish(registry, &wait);

  sem_t semaphore;
  CHECK_EQ(0, sem_init(&semaphore, 0, 0));
  wait = (struct wait){.body = waits_for_semaphore, .object = &semaphore};
  straggler = examine(&wait, TR_WAITS_SIGNAL, &registry);
  CHECK_EQ(0, straggler.holder_thread_id);
  CHECK_EQ(0, sem_post(&semaphore));
  finish(registry, &wait);

  CHECK_EQ(0, sem_init(&semaphore, 1, 0)); /* its call has no FUTEX_PRIVATE_FLAG, as that of a join has none */
  wait = (struct wait){.body = waits_for_semaphore, .object = &semaphore};
  straggler = examine(&wait, TR_WAITS_SIGNAL, &registry);
  CHECK_EQ(0, straggler.holder_thread_id);
  CHECK_EQ(0, sem_post(&semaphore));
  finish(registry, &wait);
}

struct joined {
  sem_t semaphore;
  atomic_int tid;
  pthread_t thread;
};

static void *is_joined(void *argument) {
  struct joined *joined = argument;
  atomic_store(&joined->tid, (int)syscall(SYS_gettid));
  sem_take(&joined->semaphore);
  return NULL;
}

static int joins(struct wait *wait) {
  struct joined *joined = wait->object;
  return pthread_join(joined->thread, NULL);
}

/* Proves: of pthread_join a report names the thread that has to end (Q1). Why it matters: a joining task is held up by
   what that thread does. Catches: the call taken for a semaphore that processes share. */
CASE(a_join_names_the_thread) {
  struct joined joined = {.tid = 0};
  CHECK_EQ(0, sem_init(&joined.semaphore, 0, 0));
  joined.thread = thread_start(is_joined, &joined);
  while (atomic_load(&joined.tid) == 0) breathe();
  struct wait wait = {.body = joins, .object = &joined};
  tr_registry *registry;
  tr_straggler straggler = examine(&wait, TR_WAITS_THREAD, &registry);
  CHECK_EQ(atomic_load(&joined.tid), straggler.holder_thread_id);
  CHECK_EQ(0, sem_post(&joined.semaphore));
  finish(registry, &wait);
}

static int reads(struct wait *wait) {
  char byte;
  return (int)read(wait->fd, &byte, 1);
}
static int polls_one(struct wait *wait) {
  struct pollfd one = {.fd = wait->fd, .events = POLLIN};
  while (poll(&one, 1, -1) < 0) continue;
  return 0;
}
static int polls_three(struct wait *wait) {
  struct pollfd three[3] = {{.fd = wait->fd, .events = POLLIN}, {.fd = -1}, {.fd = -1}};
  while (poll(three, 3, -1) < 0) continue;
  return 0;
}
static int locks_file(struct wait *wait) {
  while (flock(wait->fd, LOCK_EX) != 0) continue;
  return 0;
}
static int locks_bytes(struct wait *wait, int command) {
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  while (fcntl(wait->fd, command, &lock) != 0) continue;
  return 0;
}
static int locks_by_process(struct wait *wait) { return locks_bytes(wait, F_SETLKW); }
static int locks_by_open_file(struct wait *wait) { return locks_bytes(wait, 38 /* F_OFD_SETLKW */); }
static int waits_for_child(struct wait *wait) {
  int status;
  while (waitpid(wait->pid, &status, 0) < 0) continue;
  return 0;
}
static int sleeps(struct wait *wait) {
  while (!atomic_load((atomic_int *)wait->object)) {
    struct timespec time = {0, 200000000};
    nanosleep(&time, NULL);
  }
  return 0;
}
static int runs(struct wait *wait) {
  while (!atomic_load((atomic_int *)wait->object)) continue;
  return 0;
}

/* Proves: of other system calls a report says the descriptor, how many are polled, the process, or that the task sleeps
   or runs (Q1). Why it matters: the argument says which of forty connections it is. Catches: an argument of another
   call. */
CASE(other_calls_say_what_they_wait_for) {
  int ends[2];
  CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
  struct {
    int (*body)(struct wait *);
    uint32_t expected;
    int fd;
    uint32_t count;
  } const cases[] = {{reads, TR_WAITS_DESCRIPTOR, ends[0], 0},
                     {polls_one, TR_WAITS_DESCRIPTOR, ends[0], 0},
                     {polls_three, TR_WAITS_DESCRIPTORS, -1, 3}};
  tr_registry *registry;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    struct wait wait = {.body = cases[i].body, .fd = ends[0]};
    tr_straggler straggler = examine(&wait, cases[i].expected, &registry);
    CHECK_EQ(cases[i].fd, straggler.wait_fd);
    CHECK_EQ(cases[i].count, straggler.wait_count);
    CHECK_EQ(1, write(ends[1], "x", 1));
    finish(registry, &wait);
    char byte;
    if (i > 0) CHECK_EQ(1, read(ends[0], &byte, 1));
  }

  char path[] = "/tmp/taskreg-waits-XXXXXX";
  int fd = mkstemp(path), other = open(path, O_RDWR | O_CLOEXEC);
  CHECK(fd >= 0 && other >= 0);
  CHECK_EQ(0, unlink(path));
  CHECK_EQ(0, flock(fd, LOCK_EX));
  struct wait wait = {.body = locks_file, .fd = other};
  tr_straggler straggler = examine(&wait, TR_WAITS_FILE_LOCK, &registry);
  CHECK_EQ(other, straggler.wait_fd);
  CHECK_EQ(getpid(), straggler.wait_pid);
  CHECK_EQ(0, flock(fd, LOCK_UN));
  finish(registry, &wait);
  close(fd), close(other);

  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    char byte;
    close(ends[1]);
    _exit(read(ends[0], &byte, 1) < 0);
  }
  wait = (struct wait){.body = waits_for_child, .pid = child};
  straggler = examine(&wait, TR_WAITS_CHILD, &registry);
  CHECK_EQ(child, straggler.wait_pid);
  close(ends[0]), close(ends[1]);
  finish(registry, &wait);

  atomic_int stop = 0;
  wait = (struct wait){.body = sleeps, .object = &stop};
  examine(&wait, TR_WAITS_TIME, &registry);
  atomic_store(&stop, 1);
  finish(registry, &wait);
  atomic_store(&stop, 0);
  wait = (struct wait){.body = runs, .object = &stop};
  examine(&wait, TR_WAITS_NOTHING, &registry);
  atomic_store(&stop, 1);
  finish(registry, &wait);
}

/* ---- Lies ----------------------------------------------------------------------------------- */

/* Waits in the way of `wait->fd`, an operation of futex(2), for a word that is 2. */
static int waits_on_foreign_lock(struct wait *wait) {
  uint32_t *word = wait->object;
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == 2)
    syscall(SYS_futex, word, (long)wait->fd, 2, NULL, NULL, FUTEX_BITSET_MATCH_ANY);
  return 0;
}

/* Proves: a lock that is not glibc's, whose call has the same arguments and whose memory is to the last byte that of a
   mutex held by a live thread, has no holder (Q2). Why it matters: Go's runtime, std::atomic::wait and many others
   call futex(2) like this, and what is behind their word is anything. Catches: a lock recognised by its arguments
   and its bytes alone. */
CASE(a_foreign_lock_has_no_holder) {
  static const int operations[] = {FUTEX_WAIT_PRIVATE, FUTEX_WAIT, FUTEX_WAIT_BITSET_PRIVATE, FUTEX_WAIT_BITSET};
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    CHECK_EQ(0, pthread_mutex_lock(&mutex));
    uint32_t copy[sizeof mutex / 4];
    memcpy(copy, &mutex, sizeof mutex);
    CHECK_EQ(0, pthread_mutex_unlock(&mutex));
    copy[0] = 2;
    CHECK_EQ(syscall(SYS_gettid), copy[2]);
    struct wait wait = {.body = waits_on_foreign_lock, .object = copy, .fd = operations[i]};
    tr_registry *registry = begin(&wait, "foreign");
    tr_straggler straggler = TR_STRAGGLER_INIT;
    for (int64_t end = now_ns() + AT_ONCE; straggler.wait_gap != TR_GAP_FOREIGN && now_ns() < end; breathe())
      tr_report_release(explain_until(registry, "foreign", TR_WAITS_UNKNOWN, &straggler));
    CHECK_EQ(TR_GAP_FOREIGN, straggler.wait_gap);
    CHECK_EQ(0, straggler.holder_thread_id);
    CHECK_STR("", straggler.holder_name);
    __atomic_store_n(copy, 0, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, copy, (long)(operations[i] & FUTEX_PRIVATE_FLAG) | FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    finish(registry, &wait);
  }
}

static void *locks_and_ends(void *mutex) {
  CHECK_EQ(0, pthread_mutex_lock(mutex));
  return NULL;
}

/* Examine a task that waits for `mutex` until it cannot be said who holds that, for `gap`. */
static tr_registry *unknown(struct wait *wait, uint32_t gap) {
  tr_registry *registry = begin(wait, "misled");
  tr_straggler straggler = TR_STRAGGLER_INIT;
  for (int64_t end = now_ns() + AT_ONCE; straggler.wait_gap != gap && now_ns() < end; breathe()) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    straggler = straggler_called(report, "misled");
    CHECK(straggler.waits_for == TR_WAITS_UNKNOWN || straggler.waits_for == TR_WAITS_NOTHING);
    CHECK_EQ(0, straggler.holder_thread_id);
    tr_report_release(report);
  }
  CHECK_EQ(gap, straggler.wait_gap);
  return registry;
}

/* Let the waiters of a mutex that nobody can unlock have it. */
static void force_open(pthread_mutex_t *mutex) {
  __atomic_store_n(&mutex->__data.__owner, 0, __ATOMIC_SEQ_CST);
  mutex->__data.__nusers = 0;
  __atomic_store_n(&mutex->__data.__lock, 0, __ATOMIC_SEQ_CST);
  syscall(SYS_futex, &mutex->__data.__lock, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Proves: a mutex whose owner has ended, or whose owner's id is another process's by now, has no holder, and the report
   says that the owner is not a thread of this process (Q1). Why it matters: ids are reused, and the thread that has
   the id now is innocent. Catches: an owner that is not looked for among the threads of the process. */
CASE(an_owner_that_is_gone_is_no_holder) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  thread_end(thread_start(locks_and_ends, &mutex));
  struct wait wait = {.body = locks, .object = &mutex};
  tr_registry *registry = unknown(&wait, TR_GAP_OWNER_GONE);
  force_open(&mutex);
  finish(registry, &wait);

  CHECK_EQ(0, pthread_mutex_lock(&mutex));
  int own = mutex.__data.__owner;
  mutex.__data.__owner = getppid();
  wait = (struct wait){.body = locks, .object = &mutex};
  registry = unknown(&wait, TR_GAP_OWNER_GONE);
  mutex.__data.__owner = own;
  CHECK_EQ(0, pthread_mutex_unlock(&mutex));
  finish(registry, &wait);
}

/* A thread that takes a mutex, says its id, and keeps both until it is let go. */
struct keeper {
  pthread_mutex_t mutex;
  atomic_int id;
  struct gate gate;
};
static void *keeps(void *ctx) {
  struct keeper *keeper = ctx;
  CHECK_EQ(0, pthread_mutex_lock(&keeper->mutex));
  atomic_store(&keeper->id, (int)syscall(SYS_gettid));
  gate_pass(&keeper->gate);
  CHECK_EQ(0, pthread_mutex_unlock(&keeper->mutex));
  return NULL;
}

/* Locks of every kind that a thread leaves locked behind it; of robust ones more than the kernel marks. ThreadSanitizer's
   detector of deadlocks ends a process whose thread has more than 64 locks. */
#ifdef CHECK_UNDER_TSAN
enum { ROBUST = 1, ARE_TOO_MANY = 0 };
#else
enum { ROBUST = 3000, ARE_TOO_MANY = 1 };
#endif
struct left {
  pthread_mutex_t normal, inheriting, robust[ROBUST];
  pthread_rwlock_t rwlock;
};
static void *leaves_locks(void *ctx) {
  struct left *left = ctx;
  CHECK_EQ(0, pthread_mutex_lock(&left->normal));
  CHECK_EQ(0, pthread_mutex_lock(&left->inheriting));
  CHECK_EQ(0, pthread_rwlock_wrlock(&left->rwlock));
  for (int i = 0; i < ROBUST; i++) CHECK_EQ(0, pthread_mutex_lock(&left->robust[i]));
  return NULL;
}

/* A thread that ends at once, unless its id is the one that is looked for: then it waits for a mutex. */
struct namesake {
  int id;
  int is_found;
  sem_t has_looked;
  pthread_mutex_t held;
};
static void *stays_if_it_has_the_id(void *ctx) {
  struct namesake *namesake = ctx;
  int is_it = syscall(SYS_gettid) == namesake->id;
  if (is_it) namesake->is_found = 1;
  CHECK_EQ(0, sem_post(&namesake->has_looked));
  if (!is_it) return NULL;
  CHECK_EQ(0, pthread_mutex_lock(&namesake->held));
  CHECK_EQ(0, pthread_mutex_unlock(&namesake->held));
  return NULL;
}

/* Examine a task that waits for a lock which names the thread `id` as its owner. Returns the registry, whose task goes on
   waiting. */
static tr_registry *holder_of(struct wait *wait, uint32_t kind, int id, uint32_t is_certain) {
  tr_registry *registry = begin(wait, "waiter");
  tr_straggler straggler;
  tr_report *report = explain_until(registry, "waiter", kind, &straggler);
  CHECK_EQ(id, straggler.holder_thread_id);
  CHECK_EQ(is_certain, straggler.holder_is_certain);
  char *text = text_of(report), *first = strtok(strdup(text), "\n"), json[16384], expected[96];
  CHECK_MSG((strstr(first, " (unless thread ids have come round)") == NULL) == (is_certain != 0), "%s", text);
  snprintf(expected, sizeof expected, "(thread %d%s)", id, is_certain ? "" : ", unless that id has come round");
  CHECK_MSG(strstr(text, expected) != NULL, "%s", text);
  free(first);
  free(text);
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_JSON, json, sizeof json, &length));
  const char *value = is_certain ? "true" : "false", *holders = strstr(json, "\"holders\":[{"), *end = strchr(holders, ']');
  snprintf(expected, sizeof expected, ",\"is_certain\":%s,\"waits_for\":", value);
  for (const char *one = holders; (one = strstr(one, "\"holds_up\":")) != NULL && one < end; one++)
    CHECK_MSG(strstr(one, expected) != NULL && strstr(one, expected) < strchr(one, '}'), "%.300s", holders);
  snprintf(expected, sizeof expected, ",\"is_certain\":%s}", value);
  CHECK_MSG(strstr(strstr(json, "\"stragglers\":["), expected) != NULL, "%.300s", json);
  tr_report_release(report);
  return registry;
}
static void check_keeper(struct keeper *keeper, uint32_t is_certain) {
  struct wait wait = {.body = locks, .object = &keeper->mutex};
  tr_registry *registry = holder_of(&wait, TR_WAITS_MUTEX, atomic_load(&keeper->id), is_certain);
  gate_open(&keeper->gate);
  finish(registry, &wait);
}

static long number_in(const char *path, const char *format) {
  FILE *file = fopen(path, "r");
  char line[65536];
  long number = -1;
  CHECK(file != NULL);
  while (number < 0 && fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, format, &number) != 1) number = -1;
  fclose(file);
  return number;
}
static long largest_id(void) {
  long most = number_in("/proc/sys/kernel/pid_max", "%ld");
  CHECK(most > 0);
  return most;
}
/* Whether Linux numbers all threads in one order. */
static int has_numbers_in_order(void) {
  long minor = number_in("/proc/sys/kernel/osrelease", "6.%ld");
  return minor >= 9 && minor <= 19;
}
static uint32_t is_young_machine(void) {
  return number_in("/proc/stat", "processes %ld") <= (largest_id() - 300) / 2;
}

/* Proves: where the id of a thread that ended with locks has come round, the report does not take the new thread for
   the holder, of whichever kind the lock is; it names it on condition, and on the same condition those whom it waits for; so it
   does with any thread that was made so late, and the others are named as before (Q1). Why it matters: one wrong "held by"
   destroys trust. Catches: an owner that counts as the holder as its id is alive; a kind of lock that the kernel is trusted to
   mark; a first line or a list of holders without the condition; a doubt about threads that were made when no id can have come
   round. It needs a limit of ids that is reached in a second or two, as Linux has by itself up to 32 processors. */
CASE(an_id_that_has_come_round_is_in_doubt) {
  static struct left left;
  static struct namesake namesake;
  static struct keeper early = {.mutex = PTHREAD_MUTEX_INITIALIZER, .gate = GATE_INIT};
  static struct keeper late = {.mutex = PTHREAD_MUTEX_INITIALIZER, .gate = GATE_INIT};
  const long most = largest_id();
  if (most > 65536) return;
  pthread_t keeper = thread_start(keeps, &early);
  gate_await(&early.gate, 1);
  left.normal = made(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE);
  left.inheriting = made(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE);
  for (int i = 0; i < ROBUST; i++)
    left.robust[i] = made(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_PRIVATE);
  CHECK_EQ(0, pthread_rwlock_init(&left.rwlock, NULL));
  CHECK_EQ(0, pthread_mutex_init(&namesake.held, NULL));
  CHECK_EQ(0, pthread_mutex_lock(&namesake.held));
  thread_end(thread_start(leaves_locks, &left));
  namesake.id = left.normal.__data.__owner;
  CHECK_EQ(0, sem_init(&namesake.has_looked, 0, 0));
  for (long made = 0; !namesake.is_found; made++) {
    /* Another process may have got the id, and in the next round again. */
    CHECK(made < 10 * most);
    pthread_t thread = thread_start(stays_if_it_has_the_id, &namesake);
    while (sem_wait(&namesake.has_looked) != 0) {}
    if (!namesake.is_found) thread_end(thread);
  }
  static struct wait waits[4];
  waits[0] = (struct wait){.body = locks, .object = &left.normal};
  waits[1] = (struct wait){.body = locks, .object = &left.inheriting};
  waits[2] = (struct wait){.body = locks, .object = &left.robust[0]};
  waits[3] = (struct wait){.body = check_sees_all_locks() ? writes_lock : reads_lock, .object = &left.rwlock};
  for (int i = 0; i < 4; i++)
    if (i != 2 || ARE_TOO_MANY) holder_of(&waits[i], i < 3 ? TR_WAITS_MUTEX : TR_WAITS_RWLOCK, namesake.id, 0);
  /* A holder that was made late, and one that was made early. */
  pthread_t later = thread_start(keeps, &late);
  gate_await(&late.gate, 1);
  check_keeper(&late, 0);
  thread_end(later);
  check_keeper(&early, has_numbers_in_order() ? 1 : is_young_machine());
  thread_end(keeper);
  check_pass_at_once(); /* the locks stay locked, and nothing ends the tasks that wait for them */
}

static void wait_in_a_child(void *none) {
  (void)none;
  static struct keeper early = {.mutex = PTHREAD_MUTEX_INITIALIZER, .gate = GATE_INIT};
  static pthread_mutex_t own = PTHREAD_MUTEX_INITIALIZER;
  struct wait wait = {.body = locks, .object = &own};
  pthread_t keeper = thread_start(keeps, &early);
  gate_await(&early.gate, 1);
  check_keeper(&early, is_young_machine());
  thread_end(keeper);
  CHECK_EQ(0, pthread_mutex_lock(&own));
  tr_registry *registry = holder_of(&wait, TR_WAITS_MUTEX, (int)syscall(SYS_gettid), is_young_machine());
  CHECK_EQ(0, pthread_mutex_unlock(&own));
  finish(registry, &wait);
}

/* Proves: in a child of fork no holder is certain, unless few threads were made since the machine was started (Q1). Why it
   matters: a lock may have been left locked by a thread of the parent, whose id the child's main thread may have got. Catches:
   a main thread that is always certain. */
CASE(in_a_child_of_fork_every_holder_is_in_doubt) { CHECK_EQ(0, status_of_child(wait_in_a_child, NULL)); }

/* Proves: where Linux does not say how many threads were made between two, because it is older or a filter forbids the
   question, all that it made since it was started count (Q1). Why it matters: half of the machines that run today have
   no such numbers. Catches: a holder that is certain because nothing is known. */
CASE(without_numbers_of_threads_those_since_the_start_count) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 434 /* pidfd_open */, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  struct keeper early = {.mutex = PTHREAD_MUTEX_INITIALIZER, .gate = GATE_INIT};
  pthread_t keeper = thread_start(keeps, &early);
  gate_await(&early.gate, 1);
  CHECK_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  CHECK_EQ(0, prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
  check_keeper(&early, is_young_machine());
  thread_end(keeper);
}

/* Proves: a lock whose memory is unmapped while a task waits for it has no holder, and reading it does no harm (Q1). Why
   it matters: a plug-in that is gone may be what a task hangs in; the report must not crash the program. Catches: a
   load where a copy by the kernel belongs. */
CASE(unmapped_memory_has_no_holder) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  pthread_mutex_t *mutex =
      mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(mutex != MAP_FAILED);
  CHECK_EQ(0, pthread_mutex_init(mutex, NULL));
  CHECK_EQ(0, pthread_mutex_lock(mutex));
  struct wait wait = {.body = locks, .object = mutex};
  tr_registry *registry = begin(&wait, "misled");
  tr_straggler straggler;
  tr_report_release(explain_until(registry, "misled", TR_WAITS_MUTEX, &straggler));
  CHECK_EQ(0, munmap(mutex, page));
  tr_report_release(explain_until(registry, "misled", TR_WAITS_UNKNOWN, &straggler));
  CHECK_EQ(TR_GAP_UNMAPPED, straggler.wait_gap);
  CHECK_EQ(0, straggler.holder_thread_id);
  CHECK(mmap(mutex, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == mutex);
  force_open(mutex);
  finish(registry, &wait);
  CHECK_EQ(0, munmap(mutex, page));
}

/* Proves: a mutex or a read-write lock that another process holds has no holder here (Q1). Why it matters: its owner is a
   number of the other process's, perhaps of another namespace, and may be that of a thread of this one. Catches: a
   shared lock taken for a private one. */
CASE(a_lock_of_other_processes_has_no_holder) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  struct shared {
    pthread_mutex_t mutex;
    atomic_int locked, stop;
  } *shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  shared->mutex = made(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_SHARED);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    pthread_mutex_lock(&shared->mutex);
    atomic_store(&shared->locked, 1);
    while (!atomic_load(&shared->stop)) breathe();
    pthread_mutex_unlock(&shared->mutex);
    _exit(0);
  }
  while (!atomic_load(&shared->locked)) breathe();
  struct wait wait = {.body = locks, .object = &shared->mutex};
  tr_registry *registry = unknown(&wait, TR_GAP_SHARED);
  atomic_store(&shared->stop, 1);
  finish(registry, &wait);
  int status;
  CHECK_EQ(child, waitpid(child, &status, 0));
  CHECK_EQ(0, munmap(shared, page));
}

/* Proves: a read-write lock that another process holds has no holder here either (Q1).  Why
   it matters: its writer is a number of the other process's.  Catches: the flag of sharing read in mutexes alone. */
CASE(a_read_write_lock_of_other_processes_has_no_holder) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  struct shared {
    pthread_rwlock_t lock;
    atomic_int locked, stop;
  } *shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  pthread_rwlockattr_t attributes;
  CHECK_EQ(0, pthread_rwlockattr_init(&attributes));
  CHECK_EQ(0, pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
  CHECK_EQ(0, pthread_rwlock_init(&shared->lock, &attributes));
  CHECK_EQ(0, pthread_rwlockattr_destroy(&attributes));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    pthread_rwlock_wrlock(&shared->lock);
    atomic_store(&shared->locked, 1);
    while (!atomic_load(&shared->stop)) breathe();
    pthread_rwlock_unlock(&shared->lock);
    _exit(0);
  }
  while (!atomic_load(&shared->locked)) breathe();
  /* As if the other's number were that of a thread of this process, which it may be in another namespace. */
  int writer = shared->lock.__data.__cur_writer;
  shared->lock.__data.__cur_writer = (int)syscall(SYS_gettid);
  struct wait wait = {.body = check_sees_all_locks() ? writes_lock : reads_lock, .object = &shared->lock};
  tr_registry *registry = unknown(&wait, TR_GAP_SHARED);
  shared->lock.__data.__cur_writer = writer;
  atomic_store(&shared->stop, 1);
  finish(registry, &wait);
  int status;
  CHECK_EQ(child, waitpid(child, &status, 0));
  CHECK_EQ(0, munmap(shared, page));
}

/* Global, so that the dynamic symbol table of the program has its name. */
pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t private_lock = PTHREAD_MUTEX_INITIALIZER;

struct held {
  pthread_mutex_t *mutex;
  struct gate gate;
};

static void *holds_without_a_name(void *argument) {
  struct held *held = argument;
  prctl(PR_SET_NAME, "");
  CHECK_EQ(0, pthread_mutex_lock(held->mutex));
  gate_pass(&held->gate);
  CHECK_EQ(0, pthread_mutex_unlock(held->mutex));
  return NULL;
}

/* Proves: a lock that is an exported variable has its name, and one that is static has it from the program's file; one
   without a name has the address alone; and a holder without a name is "thread" (Q3, Q5).  Why it matters: "mutex
   journal_lock" is found by a search in the sources, an address is not.  Catches: a name of the variable before it; an
   object of another address; names of exported variables alone. */
CASE(a_global_lock_has_its_name) {
  pthread_mutex_t nameless_lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_t *const locks_of[] = {&journal_lock, &private_lock, &nameless_lock};
  const char *const names[] = {"journal_lock (0x%llx)", "private_lock (0x%llx)", "0x%llx"};
  for (int i = 0; i < 3; i++) {
    struct held held = {locks_of[i], GATE_INIT};
    pthread_t holder = thread_start(holds_without_a_name, &held);
    gate_await(&held.gate, 1);
    struct wait wait = {.body = locks, .object = locks_of[i]};
    tr_registry *registry = begin(&wait, "waiter");
    tr_straggler straggler;
    tr_report *report = explain_until(registry, "waiter", TR_WAITS_MUTEX, &straggler);
    char *text = text_of(report), name[80], line[160];
    snprintf(name, sizeof name, names[i], (unsigned long long)(uintptr_t)locks_of[i]);
    /* The holder waits in pthread_cond_wait. */
    snprintf(line, sizeof line, "1 task waits for mutex %s held by thread%s", name,
             check_sees_all_locks() ? ", which waits to be signalled: " : " (thread ");
    CHECK_MSG(strncmp(text, line, strlen(line)) == 0, "%s", text);
    free(text);
    tr_report_release(report);
    gate_open(&held.gate);
    CHECK_EQ(0, pthread_join(holder, NULL));
    finish(registry, &wait);
  }
}

/* What a task computes all the time, and whether it was the same each time. */
struct computing {
  atomic_int stop, wrong;
  atomic_long rounds;
};

static uint64_t computed(void) {
  uint64_t number = 1;
  double sum = 0;
  for (int i = 0; i < 20000; i++) {
    number = number * UINT64_C(6364136223846793005) + 1;
    sum += (double)(number >> 40) / 3;
  }
  return number ^ (uint64_t)sum;
}

static int body_computes(tr_task *self, void *ctx) {
  struct computing *computing = ctx;
  uint64_t expected = computed();
  (void)self;
  while (!atomic_load(&computing->stop)) {
    if (computed() != expected) atomic_fetch_add(&computing->wrong, 1);
    atomic_fetch_add(&computing->rounds, 1);
  }
  return 0;
}

struct echo {
  int there[2], back[2];
  atomic_int stop, failed;
  atomic_long rounds;
};

static int body_echoes(tr_task *self, void *ctx) {
  struct echo *echo = ctx;
  char byte;
  (void)self;
  while (read(echo->there[0], &byte, 1) == 1)
    if (write(echo->back[1], &byte, 1) != 1) atomic_fetch_add(&echo->failed, 1);
  return 0;
}

static int body_asks(tr_task *self, void *ctx) {
  struct echo *echo = ctx;
  (void)self;
  for (char byte = 0, answer; !atomic_load(&echo->stop); byte++) {
    struct timespec time = {0, 1000};
    int asked = write(echo->there[1], &byte, 1) == 1 && read(echo->back[0], &answer, 1) == 1 && answer == byte;
    if (!asked || nanosleep(&time, NULL) != 0) atomic_fetch_add(&echo->failed, 1);
    atomic_fetch_add(&echo->rounds, 1);
  }
  close(echo->there[1]);
  return 0;
}

/* Proves: a thousand reports without backtraces, on tasks that read, write and sleep, while a task for each processor
   computes, end none of their calls early and change no result: no EINTR, no wrong byte, no other number (E1, Q1).  Why it matters: a report is made in production, in the middle of the work.  Catches: a
   look at a thread by a signal, or by stopping it. */
CASE(a_thousand_reports_interrupt_nothing) {
  struct echo echoes[2];
  tr_task *tasks[4];
  tr_registry *registry = registry_new();
  for (int i = 0; i < 2; i++) {
    echoes[i] = (struct echo){.stop = 0};
    CHECK_EQ(0, pipe2(echoes[i].there, O_CLOEXEC));
    CHECK_EQ(0, pipe2(echoes[i].back, O_CLOEXEC));
    tasks[2 * i] = spawn(registry, "echoes", body_echoes, &echoes[i]);
    tasks[2 * i + 1] = spawn(registry, "asks", body_asks, &echoes[i]);
  }
  struct computing computing = {.stop = 0};
  tr_task *computes[8];
  int processors = (int)sysconf(_SC_NPROCESSORS_ONLN), busy = processors < 8 ? processors : 8;
  for (int i = 0; i < busy; i++) computes[i] = spawn(registry, "computes", body_computes, &computing);
  /* Until the tasks have done something meanwhile, too: on one processor they may be late. */
  long least = 0;
  for (int i = 0, count = check_rounds(1000); i < count || least < count / 10; i++) {
    tr_report *report = NULL;
    long rounds[2] = {atomic_load(&echoes[0].rounds), atomic_load(&echoes[1].rounds)};
    least = rounds[0] < rounds[1] ? rounds[0] : rounds[1];
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    CHECK_EQ(4 + busy, straggler_count(report));
    tr_report_release(report);
  }
  while (atomic_load(&computing.rounds) < busy) breathe();
  atomic_store(&computing.stop, 1);
  for (int i = 0; i < busy; i++) wait_and_release(computes[i]);
  CHECK_EQ(0, atomic_load(&computing.wrong));
  for (int i = 0; i < 2; i++) atomic_store(&echoes[i].stop, 1);
  for (int i = 0; i < 4; i++) wait_and_release(tasks[i]);
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(0, atomic_load(&echoes[i].failed));
    close(echoes[i].there[0]), close(echoes[i].back[0]), close(echoes[i].back[1]);
  }
  registry_finish(registry);
}

/* A file of no name, and another descriptor for it in *other. */
static int nameless_file(int *other) {
  char path[64];
  int fd = memfd_create("locked", MFD_CLOEXEC);
  CHECK(fd >= 0);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  *other = open(path, O_RDWR | O_CLOEXEC);
  CHECK(*other >= 0);
  return fd;
}

/* Proves: of threads that wait for locks of several files at once, each has the process that holds its own: of flock(2)
   this one, of F_SETLKW a child of it, of F_OFD_SETLKW none (Q1).  Why it matters: a thread that waited for a lock of an
   open file was told that the holder of another file's lock holds it up.  Catches: a line of the table that is taken for
   a thread's because it is of the same process. */
CASE(each_wait_for_a_file_lock_has_its_own_holder) {
  int fds[3], others[3], ends[2], locked[2];
  for (int i = 0; i < 3; i++) fds[i] = nameless_file(&others[i]);
  CHECK_EQ(0, pipe2(ends, O_CLOEXEC));
  CHECK_EQ(0, pipe2(locked, O_CLOEXEC));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    char byte = 0;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    close(ends[1]);
    CHECK_EQ(0, fcntl(fds[1], F_SETLK, &lock));
    CHECK_EQ(1, write(locked[1], &byte, 1));
    _exit(read(ends[0], &byte, 1) < 0);
  }
  char byte;
  CHECK_EQ(1, read(locked[0], &byte, 1));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  CHECK_EQ(0, flock(fds[0], LOCK_EX));
  CHECK_EQ(0, fcntl(fds[2], 37 /* F_OFD_SETLK */, &lock));
  struct wait waits[3] = {{.body = locks_file, .fd = others[0]},
                          {.body = locks_by_process, .fd = others[1]},
                          {.body = locks_by_open_file, .fd = others[2]}};
  pid_t const holders[3] = {getpid(), child, 0};
  tr_registry *registries[3];
  for (int i = 0; i < 3; i++) registries[i] = begin(&waits[i], "locker");
  for (int round = 0; round < 2; round++) { /* the second time all wait */
    for (int i = 0; i < 3; i++) {
      tr_straggler straggler;
      tr_report_release(explain_until(registries[i], "locker", TR_WAITS_FILE_LOCK, &straggler));
      /* Before its call has put it into the table, a thread has no holder. */
      for (int64_t end = now_ns() + AT_ONCE; straggler.wait_pid != holders[i] && now_ns() < end; breathe())
        tr_report_release(explain_until(registries[i], "locker", TR_WAITS_FILE_LOCK, &straggler));
      CHECK_EQ(others[i], straggler.wait_fd);
      CHECK_EQ(holders[i], straggler.wait_pid);
    }
  }
  CHECK_EQ(0, flock(fds[0], LOCK_UN));
  lock.l_type = F_UNLCK;
  CHECK_EQ(0, fcntl(fds[2], 37, &lock));
  close(ends[0]), close(ends[1]);
  int status = -1;
  CHECK_EQ(child, waitpid(child, &status, 0));
  CHECK_EXITED(0, status);
  for (int i = 0; i < 3; i++) {
    finish(registries[i], &waits[i]);
    close(fds[i]), close(others[i]);
  }
  close(locked[0]), close(locked[1]);
}

/* ---- Circles and causes --------------------------------------------------------------------- */

struct ring {
  pthread_mutex_t mutexes[5];
  sem_t go;
  atomic_int locked, stop;
  int size;
};

struct ring_member {
  struct ring *ring;
  int place;
};

/* Holds its own mutex, and waits for the next one's, again and again. */
static int body_in_ring(tr_task *self, void *ctx) {
  struct ring_member *member = ctx;
  struct ring *ring = member->ring;
  pthread_mutex_t *next = &ring->mutexes[(member->place + 1) % ring->size];
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&ring->mutexes[member->place]));
  atomic_fetch_add(&ring->locked, 1);
  while (!atomic_load(&ring->stop)) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += 1;
    int code = pthread_mutex_clocklock(next, CLOCK_MONOTONIC, &time);
    if (code == 0) CHECK_EQ(0, pthread_mutex_unlock(next));
  }
  return pthread_mutex_unlock(&ring->mutexes[member->place]);
}

/* Proves: tasks that wait for each other's mutexes in a circle of 2, 3 and 5 are the first line of the report, with each
   task in it once, and nobody is named who only waits for one of them (Q4). Why it matters: a circle is the whole
   answer, and no number of backtraces shows it. Catches: a walk that ends at the first node; a circle that is
   reported once for each of its members. */
CASE(a_circle_is_the_first_line) {
  if (!check_sees_all_locks()) return; /* they wait with a time limit, so that they end */
  static const int sizes[] = {2, 3, 5};
  for (size_t k = 0; k < 3; k++) {
    struct ring ring = {.size = sizes[k]};
    struct ring_member members[5];
    static const char *const names[] = {"r0", "r1", "r2", "r3", "r4"};
    tr_task *tasks[5];
    tr_registry *registry = registry_new();
    for (int i = 0; i < ring.size; i++) CHECK_EQ(0, pthread_mutex_init(&ring.mutexes[i], NULL));
    for (int i = 0; i < ring.size; i++) {
      members[i] = (struct ring_member){&ring, i};
      tasks[i] = spawn(registry, names[i], body_in_ring, &members[i]);
    }
    while (atomic_load(&ring.locked) < ring.size) breathe();
    struct wait outside = {.body = locks, .object = &ring.mutexes[0]};
    tr_task *outsider = spawn(registry, "outsider", body_waits, &outside);
    char *text = NULL;
    for (int64_t end = now_ns() + 20 * SECOND * check_scale(); now_ns() < end; breathe()) {
      tr_report *report = NULL;
      CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
      free(text);
      text = text_of(report);
      tr_report_release(report);
      if (strncmp(text, "circle of waits: ", 17) == 0) break;
    }
    CHECK_MSG(strncmp(text, "circle of waits: ", 17) == 0, "%s", text);
    char *line = strtok(text, "\n");
    CHECK(strstr(line, "outsider") == NULL);
    for (int i = 0; i < ring.size; i++) {
      char held[32];
      snprintf(held, sizeof held, "held by r%d (thread ", i);
      CHECK_MSG(strstr(line, held) != NULL, "%s", line);
    }
    char *second = strtok(NULL, "\n");
    CHECK_MSG(strstr(second, "circle of waits: ") == NULL, "%s", second);
    free(text);
    atomic_store(&ring.stop, 1);
    for (int i = 0; i < ring.size; i++) wait_and_release(tasks[i]);
    wait_and_release(outsider);
    registry_finish(registry);
    for (int i = 0; i < ring.size; i++) CHECK_EQ(0, pthread_mutex_destroy(&ring.mutexes[i]));
  }
}

/* The cache daemon: one worker waits for a reply while it holds a lock, others want the lock. */
struct daemon {
  pthread_mutex_t cache_lock, journal_lock;
  int reply[2];
  atomic_int locked;
};

static int body_waits_for_reply(tr_task *self, void *ctx) {
  struct daemon *daemon = ctx;
  char byte;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&daemon->cache_lock));
  atomic_fetch_add(&daemon->locked, 1);
  CHECK_EQ(1, read(daemon->reply[0], &byte, 1));
  return pthread_mutex_unlock(&daemon->cache_lock);
}

static int body_wants_cache(tr_task *self, void *ctx) {
  struct daemon *daemon = ctx;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&daemon->journal_lock));
  atomic_fetch_add(&daemon->locked, 1);
  CHECK_EQ(0, pthread_mutex_lock(&daemon->cache_lock));
  CHECK_EQ(0, pthread_mutex_unlock(&daemon->cache_lock));
  return pthread_mutex_unlock(&daemon->journal_lock);
}

static int body_wants_journal(tr_task *self, void *ctx) {
  struct daemon *daemon = ctx;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&daemon->journal_lock));
  return pthread_mutex_unlock(&daemon->journal_lock);
}

/* Proves: when one worker waits for a reply while it holds a lock, the first line of the report names it, the lock that
   the others want, the descriptor it waits for, and how many tasks it holds up, directly and through others; and each
   of those has its chain down to it (Q3, Q5). Why it matters: the report of the ported cache daemon had the same words
   for the culprit and for its victims. Catches: the victim with the lock in the middle named first. */
CASE(the_first_line_names_the_culprit) {
  struct daemon daemon = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, {0, 0}, 0};
  CHECK_EQ(0, pipe2(daemon.reply, O_CLOEXEC));
  tr_registry *registry = registry_new();
  tr_task *tasks[5];
  tasks[0] = spawn(registry, "worker-1", body_waits_for_reply, &daemon);
  while (atomic_load(&daemon.locked) < 1) breathe();
  tasks[1] = spawn(registry, "worker-2", body_wants_cache, &daemon);
  while (atomic_load(&daemon.locked) < 2) breathe();
  for (int i = 2; i < 5; i++) tasks[i] = spawn(registry, "upload", body_wants_journal, &daemon);
  char first[256], chain[256];
  snprintf(first, sizeof first,
           "4 tasks wait, 1 directly and others through them, for mutex 0x%llx held by worker-1, which is in read on "
           "fd %d: pipe, written by this process's fd %d",
           (unsigned long long)(uintptr_t)&daemon.cache_lock, daemon.reply[0], daemon.reply[1]);
  char *text = NULL;
  for (int64_t end = now_ns() + 20 * SECOND * check_scale(); now_ns() < end; breathe()) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    free(text);
    text = text_of(report);
    tr_report_release(report);
    if (strncmp(text, first, strlen(first)) == 0) break;
  }
  CHECK_MSG(strncmp(text, first, strlen(first)) == 0, "%s", text);
  /* From the second report on it says for how long, too (Q8). */
  const char *rest = text + strlen(first);
  CHECK_MSG(*rest == '\n' || strncmp(rest, ", for at least ", 15) == 0, "%s", rest);
  snprintf(chain, sizeof chain, "  waits for mutex 0x%llx held by worker-2 (thread ",
           (unsigned long long)(uintptr_t)&daemon.journal_lock);
  char *there = strstr(text, chain);
  CHECK(there != NULL);
  CHECK(strstr(there, ", which waits for mutex ") != NULL);
  free(text);
  CHECK_EQ(1, write(daemon.reply[1], "x", 1));
  for (int i = 0; i < 5; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
  close(daemon.reply[0]), close(daemon.reply[1]);
}

/* Tasks that take one lock from each other until they are to stop. */
struct takers {
  pthread_mutex_t mutex;
  struct gate begun;
  atomic_int stop;
  long taken;
};

static int body_takes_turns(tr_task *self, void *ctx) {
  struct takers *takers = ctx;
  (void)self;
  gate_arrive(&takers->begun);
  while (!atomic_load(&takers->stop)) {
    CHECK_EQ(0, pthread_mutex_lock(&takers->mutex));
    if (++takers->taken % 16 == 0) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL); /* so that others wait */
    CHECK_EQ(0, pthread_mutex_unlock(&takers->mutex));
  }
  return 0;
}

/* Proves: while tasks take a lock from each other all the time, of either protocol, no report says that one of them waits
   for itself, or for somebody who takes no part, and none has a circle (Q1).  Why it matters: the kernel makes a thread
   the owner of an inheriting lock before that thread runs: it still sleeps in the call.  Catches: a holder that is not
   compared with the one who waits; an owner that is read once. */
CASE(nobody_waits_for_itself_while_a_lock_changes_hands) {
  enum { TAKERS = 4 };
  for (int protocol = 0; protocol < 2; protocol++) {
    struct takers takers = {.begun = GATE_INIT};
    takers.mutex = made(PTHREAD_MUTEX_NORMAL, protocol ? PTHREAD_PRIO_INHERIT : PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED,
                        PTHREAD_PROCESS_PRIVATE);
    tr_registry *registry = registry_new();
    tr_task *tasks[TAKERS];
    for (int i = 0; i < TAKERS; i++) tasks[i] = spawn(registry, "taker", body_takes_turns, &takers);
    gate_await(&takers.begun, TAKERS);
    int held = 0;
    for (int i = 0; i < check_rounds(8000); i++) {
      tr_report *report = NULL;
      CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
      tr_straggler stragglers[TAKERS];
      size_t count = 0;
      for (; count < TAKERS; count++) {
        stragglers[count] = (tr_straggler)TR_STRAGGLER_INIT;
        if (tr_report_straggler(report, count, &stragglers[count]) != TR_OK) break;
      }
      for (size_t k = 0; k < count; k++) {
        if (stragglers[k].holder_thread_id == 0) continue;
        held++;
        CHECK(stragglers[k].holder_thread_id != stragglers[k].thread_id);
        int is_taker = 0;
        for (size_t m = 0; m < count; m++) is_taker |= stragglers[m].thread_id == stragglers[k].holder_thread_id;
        CHECK(is_taker);
      }
      tr_report_release(report);
    }
    CHECK(held > 0 || check_under_a_tool());
    atomic_store(&takers.stop, 1);
    for (int i = 0; i < TAKERS; i++) wait_and_release(tasks[i]);
    registry_finish(registry);
    CHECK_EQ(0, pthread_mutex_destroy(&takers.mutex));
  }
}

CHECK_MAIN(CHECK_ENTRY(each_kind_of_mutex_has_its_owner),
           CHECK_ENTRY(a_read_write_lock_has_a_writer_or_readers),
           CHECK_ENTRY(what_is_signalled_has_no_holder), CHECK_ENTRY(a_join_names_the_thread),
           CHECK_ENTRY(other_calls_say_what_they_wait_for), CHECK_ENTRY(a_foreign_lock_has_no_holder),
           CHECK_ENTRY(an_owner_that_is_gone_is_no_holder), CHECK_ENTRY(an_id_that_has_come_round_is_in_doubt),
           CHECK_ENTRY(in_a_child_of_fork_every_holder_is_in_doubt),
           CHECK_ENTRY(without_numbers_of_threads_those_since_the_start_count), CHECK_ENTRY(unmapped_memory_has_no_holder),
           CHECK_ENTRY(a_lock_of_other_processes_has_no_holder),
           CHECK_ENTRY(a_read_write_lock_of_other_processes_has_no_holder),
           CHECK_ENTRY(a_global_lock_has_its_name), CHECK_ENTRY(a_thousand_reports_interrupt_nothing),
           CHECK_ENTRY(each_wait_for_a_file_lock_has_its_own_holder), CHECK_ENTRY(a_circle_is_the_first_line),
           CHECK_ENTRY(the_first_line_names_the_culprit),
           CHECK_ENTRY(nobody_waits_for_itself_while_a_lock_changes_hands))
