/* target.c MODE - a program with the library at which `taskreg` looks (check.py). It writes one line, which says what
   there is to be seen, when that is so; and lives until its standard input ends. */

#include "support.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define SLOTS 6

static tr_registry *registry, *net, *peers;
static _Atomic int in_body;
static _Atomic int stops;

static int body_waits(tr_task *self, void *ctx) {
  (void)ctx;
  atomic_fetch_add(&in_body, 1);
  while (!tr_task_is_cancelled(self) && !atomic_load(&stops)) TR_IGNORE(tr_sleep(TR_SECONDS(3600)));
  return 0;
}

/* Text that must not command a terminal. */
static int body_reports(tr_task *self, void *ctx) {
  CHECK_EQ(TR_OK, tr_checkpoint("reading \x1b[31m the manifest"));
  CHECK_EQ(TR_OK, tr_progress(7, 9, "blocks"));
  CHECK_EQ(TR_OK, tr_label("GET /index.html"));
  return body_waits(self, ctx);
}

static void await_bodies(int count) {
  while (atomic_load(&in_body) < count) sched_yield();
}

static void spawns(tr_registry *in, const char *name, tr_kind kind, tr_task_fn body) {
  CHECK_EQ(TR_OK, tr_spawn(in, name, kind, body, NULL, NULL));
}

static void make_tree(void) {
  CHECK_EQ(TR_OK, tr_kind_set_name((tr_kind)0x105, "crawler"));
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.name = "service \n of the target";
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  CHECK_EQ(TR_OK, tr_registry_child(registry, "net", NULL, &net));
  CHECK_EQ(TR_OK, tr_registry_child(net, "peers", NULL, &peers));
  spawns(registry, "alpha", TR_KIND_MAINTENANCE, body_waits);
  spawns(registry, "crawls", (tr_kind)0x105, body_waits);
  spawns(net, "beta", TR_KIND_RPC_HANDLER, body_waits);
  spawns(peers, "gamma", TR_KIND_PEER_CONNECTION, body_reports);
  await_bodies(4);
}

/* ---- A thread that stops for good in the middle of a change, with the lock held ---- */

static _Atomic int stop_at_unlock;
static sem_t stopped, allowed;

#ifdef KEEPS_UNLOCK
static void *creates_registries(void *argument) { return argument; }
#else
/* The allocator, which a thread can hold for good: whoever allocates waits in it. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void __libc_free(void *);
pthread_mutex_t allocator_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int allocator_is_held;

static inline void enter_allocator(void) {
  if (!atomic_load_explicit(&allocator_is_held, memory_order_relaxed)) return;
  pthread_mutex_lock(&allocator_lock);
  pthread_mutex_unlock(&allocator_lock);
}
void *malloc(size_t size) { return enter_allocator(), __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return enter_allocator(), __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return enter_allocator(), __libc_realloc(old, size); }
void free(void *memory) { enter_allocator(), __libc_free(memory); }

static void *holds_allocator(void *argument) {
  prctl(PR_SET_NAME, "holder");
  pthread_mutex_lock(&allocator_lock);
  atomic_store(&allocator_is_held, 1);
  sem_post((sem_t *)argument);
  while (1) pause();
  return NULL;
}
static int body_allocates(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  atomic_fetch_add(&in_body, 1);
  while (sem_wait(&allowed) != 0) continue;
  void *volatile memory = malloc(100); /* which a compiler would leave out otherwise */
  free(memory);
  return 0;
}

/* The dynamic linker's list of objects, likewise. */
static int hangs_among_objects(struct dl_phdr_info *object, size_t size, void *argument) {
  (void)object, (void)size;
  sem_post((sem_t *)argument);
  while (1) pause();
  return 0;
}
static void *holds_loader(void *argument) {
  prctl(PR_SET_NAME, "holder");
  dl_iterate_phdr(hangs_among_objects, argument);
  return NULL;
}
static int visits_nothing(struct dl_phdr_info *object, size_t size, void *argument) {
  (void)object, (void)size, (void)argument;
  return 1;
}
static int body_visits_objects(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  atomic_fetch_add(&in_body, 1);
  return dl_iterate_phdr(visits_nothing, NULL);
}

/* It needs the lock of the registry. */
static int body_makes_a_group(tr_task *self, void *ctx) {
  tr_registry *made;
  (void)self;
  atomic_fetch_add(&in_body, 1);
  return tr_registry_child(ctx, "more", NULL, &made);
}

static __thread int is_victim;

/* The library calls this one, as it is exported by the program. */
int pthread_mutex_unlock(pthread_mutex_t *mutex) {
  static int (*real)(pthread_mutex_t *);
  if (real == NULL) *(void **)&real = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
  if (is_victim && atomic_load(&stop_at_unlock) > 0 && atomic_fetch_sub(&stop_at_unlock, 1) == 1) {
    sem_post(&stopped);
    while (1) pause();
  }
  return real(mutex);
}

static void *creates_registries(void *argument) {
  is_victim = 1;
  tr_registry *made = NULL;
  while (1) {
    if (argument == NULL) TR_IGNORE(tr_registry_create(NULL, &made));
    else TR_IGNORE(tr_registry_child((tr_registry *)argument, "stuck", NULL, &made));
    if (made != NULL) tr_registry_release(made);
  }
  return NULL;
}
#endif

/* ---- Tasks that come and go, with a ledger ---- */

/* Of each slot: how many of its tasks have been joined, and how many were about to be spawned. */
static struct ledger {
  _Atomic uint64_t spawned[SLOTS], joined[SLOTS];
} *ledger;

static int body_churns(tr_task *self, void *ctx) {
  uint64_t number = (uint64_t)(uintptr_t)ctx;
  char text[64];
  (void)self;
  snprintf(text, sizeof text, "label %" PRIu64, number);
  CHECK_EQ(TR_OK, tr_label(text));
  CHECK_EQ(TR_OK, tr_progress(number, number, "turns"));
  for (int turn = 0; turn < 20; turn++) sched_yield(); /* so that some are seen with it */
  return 0;
}

static void *churns(void *argument) {
  size_t slot = (size_t)(uintptr_t)argument;
  tr_registry *group = registry;
  for (uint64_t number = 1; !atomic_load(&stops); number++) {
    char name[64];
    tr_task *task = NULL;
    /* Groups come and go as well. */
    if (slot % 2 == 1) {
      if (group != registry) tr_registry_release(group);
      snprintf(name, sizeof name, "g%zu-%" PRIu64, slot, number);
      CHECK_EQ(TR_OK, tr_registry_child(registry, name, NULL, &group));
    }
    snprintf(name, sizeof name, "s%zu-%" PRIu64, slot, number);
    atomic_store(&ledger->spawned[slot], number);
    CHECK_EQ(TR_OK, tr_spawn(group, name, (tr_kind)(0x200 + number % 1000), body_churns,
                             (void *)(uintptr_t)number, &task));
    CHECK_EQ(TR_OK, tr_task_wait(task, TR_FOREVER, NULL));
    tr_task_release(task);
    atomic_store(&ledger->joined[slot], number);
  }
  if (group != registry) tr_registry_release(group);
  return NULL;
}

/* ---- Threads that wait for each other, without the library's help ---- */

static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static struct gate both = GATE_INIT;

static void *locks_first(void *argument) {
  prctl(PR_SET_NAME, "locks-first");
  pthread_mutex_lock(&first);
  gate_pass(&both);
  pthread_mutex_lock(&second);
  return argument;
}
static void *locks_second(void *argument) {
  prctl(PR_SET_NAME, "locks-second");
  pthread_mutex_lock(&second);
  gate_pass(&both);
  pthread_mutex_lock(&first);
  return argument;
}

static int body_locks(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  atomic_fetch_add(&in_body, 1);
  return pthread_mutex_lock(&first);
}

/* ---- A shutdown that does not come to its end ---- */

static int body_never_stops(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  atomic_fetch_add(&in_body, 1);
  while (1) pause();
  return 0;
}

static void *shuts_down(void *argument) {
  prctl(PR_SET_NAME, "shuts-down");
  TR_IGNORE(tr_shutdown(registry, TR_REASON_USER_REQUESTED, "maintenance", TR_SECONDS(3600), NULL));
  return argument;
}

/* ---- An end by a signal, with a core file ---- */

static _Atomic int crashes;

static int body_crashes(tr_task *self, void *ctx) {
  (void)self;
  atomic_fetch_add(&in_body, 1);
  while (!atomic_load(&crashes)) sched_yield();
  *(volatile int *)ctx = 0;
  return 0;
}

static int body_aborts(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  atomic_fetch_add(&in_body, 1);
  while (!atomic_load(&crashes)) sched_yield();
  abort();
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  pthread_t thread;
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  CHECK_EQ(0, sem_init(&stopped, 0, 0));
  CHECK_EQ(0, sem_init(&allowed, 0, 0));
  if (strcmp(mode, "tree") == 0) {
    make_tree();
  } else if (strcmp(mode, "executes") == 0) {
    CHECK_EQ(TR_OK, tr_registry_create(NULL, &registry));
    spawns(registry, "before", TR_KIND_MAINTENANCE, body_waits);
    await_bodies(1);
    printf("ready\n");
    fflush(stdout);
    char byte;
    CHECK_EQ(1, read(STDIN_FILENO, &byte, 1));
    execl("/proc/self/exe", argv[0], "tree", (char *)NULL);
    return 1;
  } else if (strcmp(mode, "empty") == 0) {
    printf("version %u\n", tr_version());
  } else if (strcmp(mode, "forked") == 0) {
    make_tree();
    pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (1) pause();
    }
    printf("child %d\n", (int)child);
  } else if (strncmp(mode, "stuck-", 6) == 0) {
    make_tree();
    int unlocks = atoi(mode + 7);
    atomic_store(&stop_at_unlock, unlocks);
    CHECK_EQ(0, pthread_create(&thread, NULL, creates_registries, mode[6] == 'g' ? net : NULL));
    CHECK_EQ(0, sem_wait(&stopped));
#ifndef KEEPS_UNLOCK
  } else if (strcmp(mode, "holds-registry") == 0) {
    make_tree();
    atomic_store(&stop_at_unlock, 1);
    CHECK_EQ(0, pthread_create(&thread, NULL, creates_registries, net));
    CHECK_EQ(0, sem_wait(&stopped));
    CHECK_EQ(TR_OK, tr_spawn(registry, "victim", TR_KIND_MAINTENANCE, body_makes_a_group, net, NULL));
    await_bodies(5);
  } else if (strcmp(mode, "holds-allocator") == 0) {
    make_tree();
    static char room[256]; /* or what is printed would be put into memory that is allocated */
    CHECK_EQ(0, setvbuf(stdout, room, _IOFBF, sizeof room));
    spawns(registry, "victim", TR_KIND_MAINTENANCE, body_allocates); /* a spawn may allocate, too */
    await_bodies(5);
    CHECK_EQ(0, pthread_create(&thread, NULL, holds_allocator, &stopped));
    CHECK_EQ(0, sem_wait(&stopped));
    sem_post(&allowed);
  } else if (strcmp(mode, "holds-loader") == 0) {
    make_tree();
    CHECK_EQ(0, pthread_create(&thread, NULL, holds_loader, &stopped));
    CHECK_EQ(0, sem_wait(&stopped));
    spawns(registry, "victim", TR_KIND_MAINTENANCE, body_visits_objects);
    await_bodies(5);
#endif
  } else if (strcmp(mode, "shutdown") == 0) {
    make_tree();
    spawns(peers, "deaf", TR_KIND_MAINTENANCE, body_never_stops);
    await_bodies(5);
    CHECK_EQ(0, pthread_create(&thread, NULL, shuts_down, NULL));
  } else if (strcmp(mode, "crowd") == 0) {
    CHECK_EQ(TR_OK, tr_registry_create(NULL, &registry));
    int count = argc > 2 ? atoi(argv[2]) : 100;
    for (int i = 0; i < count; i++) spawns(registry, "one of many", TR_KIND_MAINTENANCE, body_waits);
    await_bodies(count);
  } else if (strcmp(mode, "churn") == 0) {
    int fd = open(argv[2], O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, sizeof *ledger) == 0);
    ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(ledger != MAP_FAILED);
    make_tree();
    for (size_t slot = 0; slot < SLOTS; slot++)
      CHECK_EQ(0, pthread_create(&thread, NULL, churns, (void *)(uintptr_t)slot));
  } else if (strcmp(mode, "segv") == 0 || strcmp(mode, "abort") == 0) {
    make_tree();
    spawns(peers, "delta", TR_KIND_MAINTENANCE, strcmp(mode, "segv") == 0 ? body_crashes : body_aborts);
    await_bodies(5);
  } else if (strcmp(mode, "deadlock") == 0) {
    CHECK_EQ(TR_OK, tr_registry_create(NULL, &registry));
    CHECK_EQ(0, pthread_create(&thread, NULL, locks_first, NULL));
    CHECK_EQ(0, pthread_create(&thread, NULL, locks_second, NULL));
    gate_await(&both, 2);
    gate_open(&both);
    for (int i = 0; i < 3; i++) spawns(registry, "victim", TR_KIND_MAINTENANCE, body_locks);
    await_bodies(3);
  } else {
    return 2;
  }
  printf("ready\n");
  fflush(stdout);
  for (int byte; (byte = getchar()) != EOF;) {}
  atomic_store(&crashes, 1);
  while (strcmp(mode, "segv") == 0 || strcmp(mode, "abort") == 0) pause();
  atomic_store(&stops, 1);
  _exit(0);
}
