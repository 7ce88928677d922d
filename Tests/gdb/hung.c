/* hung.c MODE - a program that hangs in one way, for agree.py. For each line on its standard input it writes a report of
   its tasks, with the other threads of the process, as one line of JSON; it is ended from outside. */

#include "support.h"

#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static pthread_mutex_t mutexes[5];
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static sem_t semaphore;
static pthread_t joined;
static int fds[2];
static pid_t child;
static int size; /* of a circle */
static struct gate ready = GATE_INIT;

/* Looks like a mutex that is locked, with waiters, by a thread that lives; it is somebody else's. */
static struct {
  uint32_t word, count, owner, users, kind, rest[6];
} foreign;

static int waits_in_mutex(int place) { return pthread_mutex_lock(&mutexes[place]); }
static int waits_as_writer(int place) { return pthread_rwlock_wrlock(&rwlock) + place; }
static int waits_as_reader(int place) { return pthread_rwlock_rdlock(&rwlock) + place; }
static int waits_in_condition(int place) {
  pthread_mutex_lock(&mutexes[place]);
  while (place < size) pthread_cond_wait(&condition, &mutexes[place]);
  return pthread_mutex_unlock(&mutexes[place]);
}
static int waits_in_semaphore(int place) { return sem_wait(&semaphore) + place; }
static int waits_in_join(int place) { return pthread_join(joined, NULL) + place; }
static int waits_in_read(int place) {
  char byte;
  return (int)read(fds[0], &byte, 1) + place;
}
static int waits_in_recv(int place) {
  char byte;
  return (int)recv(fds[0], &byte, 1, 0) + place;
}
static int waits_in_futex(int place) {
  return (int)syscall(SYS_futex, &foreign.word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0) + place;
}
static int waits_in_flock(int place) { return flock(fds[1], LOCK_EX) + place; }
static int waits_in_waitpid(int place) { return (int)waitpid(child, NULL, 0) + place; }
static int waits_in_circle(int place) {
  pthread_mutex_lock(&mutexes[place]);
  gate_pass(&ready);
  return pthread_mutex_lock(&mutexes[(place + 1) % size]);
}

/* What the main thread does before the tasks begin. */
static void holds_mutex(void) { CHECK_EQ(0, pthread_mutex_lock(&mutexes[0])); }
static void writes(void) { CHECK_EQ(0, pthread_rwlock_wrlock(&rwlock)); }
static void reads(void) { CHECK_EQ(0, pthread_rwlock_rdlock(&rwlock)); }
static void nothing(void) {}
static void makes_semaphore(void) { CHECK_EQ(0, sem_init(&semaphore, 0, 0)); }
static void *sleeps(void *argument) {
  prctl(PR_SET_NAME, "sleeper");
  while (argument == NULL) pause();
  return argument;
}
static void makes_thread(void) { CHECK_EQ(0, pthread_create(&joined, NULL, sleeps, NULL)); }
static void makes_pipe(void) { CHECK_EQ(0, pipe(fds)); }
static void makes_sockets(void) { CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fds)); }
static void makes_foreign(void) {
  foreign.word = 2;
  foreign.owner = (uint32_t)syscall(SYS_gettid);
  foreign.users = 1;
}
static void locks_file(void) {
  char path[64];
  fds[0] = memfd_create("locked", MFD_CLOEXEC);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fds[0]);
  fds[1] = open(path, O_RDWR | O_CLOEXEC);
  CHECK(fds[0] >= 0 && fds[1] >= 0 && flock(fds[0], LOCK_EX) == 0);
}
static void makes_child(void) {
  child = fork();
  if (child != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  while (1) pause();
}

static const struct mode {
  const char *name;
  void (*before)(void);
  int (*waits)(int place);
  int size; /* how many tasks */
} modes[] = {
    {"mutex", holds_mutex, waits_in_mutex, 1},       {"rwlock-written", writes, waits_as_reader, 1},
    {"rwlock-read", reads, waits_as_writer, 1},      {"condition", nothing, waits_in_condition, 1},
    {"semaphore", makes_semaphore, waits_in_semaphore, 1}, {"join", makes_thread, waits_in_join, 1},
    {"pipe", makes_pipe, waits_in_read, 1},          {"socket", makes_sockets, waits_in_recv, 1},
    {"foreign", makes_foreign, waits_in_futex, 1},   {"flock", locks_file, waits_in_flock, 1},
    {"waitpid", makes_child, waits_in_waitpid, 1},   {"circle-2", nothing, waits_in_circle, 2},
    {"circle-3", nothing, waits_in_circle, 3},       {"circle-5", nothing, waits_in_circle, 5},
};

static const struct mode *chosen;

static int body_hangs(tr_task *self, void *ctx) {
  (void)self;
  return chosen->waits((int)(intptr_t)ctx);
}

int main(int argc, char **argv) {
  for (size_t i = 0; argc == 2 && i < sizeof modes / sizeof *modes; i++)
    if (strcmp(argv[1], modes[i].name) == 0) chosen = &modes[i];
  if (chosen == NULL) return 2;
  /* Yama lets a debugger attach to its children alone, unless these say otherwise. */
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  size = chosen->size;
  for (int i = 0; i < 5; i++) CHECK_EQ(0, pthread_mutex_init(&mutexes[i], NULL));
  chosen->before();
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(NULL, &registry));
  for (int i = 0; i < size; i++) {
    char name[16] = "hangs-0";
    name[6] += (char)i;
    CHECK_EQ(TR_OK, tr_spawn(registry, name, TR_KIND_MAINTENANCE, body_hangs, (void *)(intptr_t)i, NULL));
  }
  if (chosen->waits == waits_in_circle) {
    gate_await(&ready, size);
    gate_open(&ready);
  }
  for (int byte; (byte = getchar()) != EOF;) {
    if (byte != '\n') continue;
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES | TR_EXPLAIN_THREADS, &report));
    CHECK_EQ(TR_OK, tr_report_write(report, STDOUT_FILENO, TR_FORMAT_JSON));
    tr_report_release(report);
  }
  _exit(0);
}
