/* unload.c - the library loaded and unloaded at run time: nothing is disturbed by it, and a worker
   that is alive survives dlclose. Rules P3, O2. Not linked to the library; TASKREG_LIBRARY names
   it. */

#define SUPPORT_LIBRARY_IS_LOADED_LATER /* none of its functions is linked */
#include "support.h"

#include <dlfcn.h>
#include <sys/mman.h>

/* The functions used here, by their names. */
struct functions {
  tr_status (*registry_create)(const tr_registry_options *, tr_registry **);
  void (*registry_release)(tr_registry *);
  tr_status (*spawn)(tr_registry *, const char *, tr_kind, tr_task_fn, void *, tr_task **);
  tr_status (*shutdown)(tr_registry *, tr_reason, const char *, int64_t, tr_join_report *);
  tr_status (*task_wait)(tr_task *, int64_t, tr_outcome *);
  void (*task_release)(tr_task *);
  tr_status (*sleep)(int64_t);
  tr_task *(*task_self)(void);
  size_t (*len)(const tr_registry *);
};

static const char *library_path(void) {
  const char *path = getenv("TASKREG_LIBRARY");
  return path != NULL && path[0] != 0 ? path : "libtaskreg.so.0";
}

static void find(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);
  CHECK_MSG(found != NULL, "%s", name);
  memcpy(function, &found, sizeof found);
}

static void *found_in(void *library, struct functions *f) {
  CHECK_MSG(library != NULL, "%s", dlerror());
  find(library, "tr_registry_create", &f->registry_create);
  find(library, "tr_registry_release", &f->registry_release);
  find(library, "tr_spawn", &f->spawn);
  find(library, "tr_shutdown", &f->shutdown);
  find(library, "tr_task_wait", &f->task_wait);
  find(library, "tr_task_release", &f->task_release);
  find(library, "tr_sleep", &f->sleep);
  find(library, "tr_task_self", &f->task_self);
  find(library, "tr_len", &f->len);
  return library;
}

static void *load(struct functions *f) {
  return found_in(dlopen(library_path(), RTLD_NOW | RTLD_LOCAL), f);
}

struct alone {
  struct functions *f;
  struct gate gate;
  tr_status slept;
};

static int body_outlives_the_handle(tr_task *self, void *ctx) {
  struct alone *alone = ctx;
  gate_pass(&alone->gate);
  CHECK(alone->f->task_self() == self); /* the code is still there */
  alone->slept = alone->f->sleep(1);
  return 0;
}

/* Proves: dlclose with a live worker is safe: the worker continues, calls the library, ends, and
   its registry can be shut down through the pointers kept; the library stays mapped; several times
   over (P3, G3). Why it matters: plug-ins are unloaded while their threads run. Catches: leaving
   out -z nodelete. */
CASE(dlclose_with_a_live_worker_is_safe) {
  for (int round = 0; round < 5; round++) {
    struct functions f;
    void *library = load(&f);
    struct alone alone = {&f, GATE_INIT, -99};
    tr_registry *registry = NULL;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, f.registry_create(NULL, &registry));
    CHECK_EQ(TR_OK, f.spawn(registry, "alone", TR_KIND_BACKGROUND_LOOP, body_outlives_the_handle,
                            &alone, &task));
    gate_await(&alone.gate, 1);
    CHECK_EQ(0, dlclose(library));
    void *still = dlopen(library_path(), RTLD_NOW | RTLD_NOLOAD);
    CHECK(still != NULL);
    CHECK_EQ(0, dlclose(still));
    gate_open(&alone.gate);
    CHECK_EQ(TR_OK, f.task_wait(task, FOREVER, NULL));
    CHECK_EQ(TR_OK, alone.slept);
    f.task_release(task);
    CHECK_EQ(0, f.len(registry));
    CHECK_EQ(TR_OK, f.shutdown(registry, TR_REASON_FATAL, NULL, FOREVER, NULL));
    f.registry_release(registry);
  }
}

static void *use_library_then_wait(void *argument) {
  struct alone *alone = argument;
  CHECK(alone->f->task_self() == NULL);
  CHECK_EQ(TR_OK, alone->f->sleep(1));
  gate_pass(&alone->gate);
  return NULL;
}

/* Proves: a worker whose registry was released and whose library was closed ends by itself, and
   so do threads of the program that used the library before it was closed (P3, G3).
   Why it matters: thread-specific destructors run in the library's code.  Catches: unmapping it
   under them. */
CASE(threads_end_after_dlclose) {
  enum { rounds = 3 };
  int threads = thread_baseline();
  static struct functions functions[rounds];
  static struct alone alone[rounds];
  for (int round = 0; round < rounds; round++) {
    struct functions *f = &functions[round];
    void *library = load(f);
    alone[round] = (struct alone){f, GATE_INIT, -99};
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, f->registry_create(NULL, &registry));
    CHECK_EQ(TR_OK, f->spawn(registry, "alone", TR_KIND_BACKGROUND_LOOP, body_outlives_the_handle,
                             &alone[round], NULL));
    pthread_t user = thread_start(use_library_then_wait, &alone[round]);
    gate_await(&alone[round].gate, 2);
    f->registry_release(registry);
    CHECK_EQ(0, dlclose(library));
    gate_open(&alone[round].gate);
    thread_end(user);
    threads_settle(threads, 20 * SECOND * check_scale());
  }
}

/* How many mappings of files whose names end in `name` the process has. */
static int mappings_of(const char *name) {
  FILE *maps = fopen("/proc/self/maps", "re");
  CHECK(maps != NULL);
  char line[4352];
  int count = 0;
  while (fgets(line, sizeof line, maps) != NULL) {
    line[strcspn(line, "\n")] = 0;
    const char *found = strrchr(line, '/');
    count += found != NULL && strcmp(found + 1, name) == 0;
  }
  fclose(maps);
  return count;
}

/* Proves: a thousand times the library is loaded, used and closed while a worker of the time before
   is alive: each worker ends well, and neither mappings nor threads nor memory grow (P3, G3).
   Why it matters: a host that loads plug-ins on demand does it for years.  Catches: leaving out
   -z nodelete; anything that loading or the first use leaves behind each time. */
CASE(a_thousand_loads_around_live_workers) {
  static struct functions f[2];
  static struct alone alone[2];
  tr_registry *registries[2] = {NULL, NULL};
  char name[256];
  int threads = thread_baseline(), mappings = 0, rounds = check_rounds(1000);
  long resident = 0;
  for (int round = 0; round < rounds; round++) {
    int now = round % 2, last = 1 - now;
    void *library = load(&f[now]);
    alone[now] = (struct alone){&f[now], GATE_INIT, -99};
    CHECK_EQ(TR_OK, f[now].registry_create(NULL, &registries[now]));
    CHECK_EQ(TR_OK, f[now].spawn(registries[now], "alone", TR_KIND_BACKGROUND_LOOP,
                                 body_outlives_the_handle, &alone[now], NULL));
    gate_await(&alone[now].gate, 1);
    if (round == rounds / 10) {
      Dl_info info;
      CHECK(dladdr(dlsym(library, "tr_version"), &info) != 0);
      char *file = realpath(info.dli_fname, NULL); /* which may be a link's */
      CHECK(file != NULL);
      snprintf(name, sizeof name, "%s", strrchr(file, '/') + 1);
      free(file);
      mappings = mappings_of(name);
      CHECK(mappings > 0);
      resident = resident_bytes();
    }
    CHECK_EQ(0, dlclose(library));
    if (registries[last] != NULL) {
      gate_open(&alone[last].gate);
      CHECK_EQ(TR_OK, f[last].shutdown(registries[last], TR_REASON_FATAL, NULL, FOREVER, NULL));
      f[last].registry_release(registries[last]);
    }
  }
  int at = (rounds - 1) % 2;
  gate_open(&alone[at].gate);
  CHECK_EQ(TR_OK, f[at].shutdown(registries[at], TR_REASON_FATAL, NULL, FOREVER, NULL));
  f[at].registry_release(registries[at]);
  CHECK_EQ(mappings, mappings_of(name));
  if (!check_under_a_tool()) CHECK(resident_bytes() - resident < 4 << 20);
  threads_settle(threads, 20 * SECOND * check_scale());
}

/* Another file with the same bytes: to the dynamic linker another library. */
static void copy_library(char *path, size_t capacity) {
  snprintf(path, capacity, "/tmp/taskreg-copy-XXXXXX");
  int to = mkstemp(path), from = open(library_path(), O_RDONLY | O_CLOEXEC);
  CHECK(to >= 0 && from >= 0);
  char bytes[65536];
  for (ssize_t length; (length = read(from, bytes, sizeof bytes)) > 0;)
    CHECK_EQ(length, write(to, bytes, (size_t)length));
  close(from);
  close(to);
}

static int body_counts(tr_task *self, void *ctx) {
  (void)self;
  atomic_fetch_add((atomic_int *)ctx, 1);
  return 0;
}

struct visit {
  struct functions *own, *other;
  tr_registry *others;
};

static int body_visits_the_other(tr_task *self, void *ctx) {
  struct visit *visit = ctx;
  tr_task *guest = NULL;
  CHECK(visit->own->task_self() == self);
  CHECK(visit->other->task_self() == NULL); /* which knows nothing of this thread */
  CHECK_EQ(TR_OK, visit->other->sleep(1));
  CHECK_EQ(TR_OK, visit->other->spawn(visit->others, "guest", TR_KIND_RPC_HANDLER, body_returns, NULL,
                                      &guest));
  CHECK_EQ(TR_OK, visit->other->task_wait(guest, FOREVER, NULL));
  visit->other->task_release(guest);
  CHECK(visit->own->task_self() == self);
  return 0;
}

/* Proves: two copies of the library in one process do not know of each other: each has its own
   tasks, a task of one may use the other, and both shut down (P3, G4, J7).  Why it matters: two
   plug-ins each bring theirs.  Catches: an exported symbol that the second copy binds to in the first;
   state kept where both find it. */
CASE(two_copies_do_not_meet) {
  char path[64];
  copy_library(path, sizeof path);
  int threads = thread_baseline();
  struct functions f[2];
  tr_registry *registries[2];
  void *libraries[2] = {load(&f[0]), found_in(dlopen(path, RTLD_NOW | RTLD_LOCAL), &f[1])};
  CHECK(f[0].spawn != f[1].spawn);
  for (int i = 0; i < 2; i++) CHECK_EQ(TR_OK, f[i].registry_create(NULL, &registries[i]));
  struct visit visits[2] = {{&f[0], &f[1], registries[1]}, {&f[1], &f[0], registries[0]}};
  for (int round = 0; round < check_rounds(200); round++)
    for (int i = 0; i < 2; i++)
      CHECK_EQ(TR_OK, f[i].spawn(registries[i], "visits", TR_KIND_APPLICATION, body_visits_the_other,
                                 &visits[i], NULL));
  /* One after the other: the tasks of both use both. */
  for (int i = 0; i < 2; i++)
    while (f[i].len(registries[i]) > 0) breathe();
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(TR_OK, f[i].shutdown(registries[i], TR_REASON_FATAL, NULL, FOREVER, NULL));
    f[i].registry_release(registries[i]);
    CHECK_EQ(0, dlclose(libraries[i]));
  }
  CHECK_EQ(0, unlink(path));
  threads_settle(threads, 20 * SECOND * check_scale());
}

/* Proves: a copy in a namespace of its own (dlmopen), with a C library of its own, works beside the
   first (P3, G4).  Why it matters: that is how hosts keep plug-ins apart.  Catches: a need for what only
   the program's own namespace has. */
CASE(a_copy_in_another_namespace_works) {
  if (check_under_a_tool()) return; /* whose runtime is not in that namespace */
  int threads = thread_baseline();
  struct functions f[2];
  tr_registry *registries[2];
  load(&f[0]);
  found_in(dlmopen(LM_ID_NEWLM, library_path(), RTLD_NOW), &f[1]);
  CHECK(f[0].spawn != f[1].spawn);
  atomic_int ran = 0;
  for (int i = 0; i < 2; i++) CHECK_EQ(TR_OK, f[i].registry_create(NULL, &registries[i]));
  for (int round = 0; round < 100; round++)
    for (int i = 0; i < 2; i++)
      CHECK_EQ(TR_OK, f[i].spawn(registries[i], "counts", TR_KIND_APPLICATION, body_counts, &ran, NULL));
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(TR_OK, f[i].shutdown(registries[i], TR_REASON_FATAL, NULL, FOREVER, NULL));
    f[i].registry_release(registries[i]);
  }
  CHECK_EQ(200, atomic_load(&ran));
  threads_settle(threads, 20 * SECOND * check_scale());
}

/* Proves: loading and using the library changes no signal disposition, and prints nothing (P3,
   O2).  Why it matters: the Swift runtime proper installs seven handlers; a C program must not
   be able to tell what the library is written in.  Catches: linking that runtime. */
CASE(loading_disturbs_nothing) {
  struct sigaction before[128], after;
  for (int number = 1; number < NSIG; number++)
    if (sigaction(number, NULL, &before[number]) != 0) before[number].sa_handler = SIG_ERR;
  sigset_t mask, same;
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &mask));
  fflush(NULL);
  int paper = memfd_create("printed", MFD_CLOEXEC);
  CHECK(paper >= 0);
  int out = dup(1), err = dup(2);
  CHECK(dup2(paper, 1) == 1 && dup2(paper, 2) == 2);
  struct functions f;
  void *library = load(&f);
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, f.registry_create(NULL, &registry));
  CHECK_EQ(TR_OK, f.spawn(registry, "quiet", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL));
  CHECK_EQ(TR_OK, f.shutdown(registry, TR_REASON_FATAL, NULL, FOREVER, NULL));
  f.registry_release(registry);
  CHECK_EQ(0, dlclose(library));
  fflush(NULL);
  CHECK(dup2(out, 1) == 1 && dup2(err, 2) == 2);
  close(out);
  close(err);
  CHECK_EQ(0, lseek(paper, 0, SEEK_END));
  close(paper);
  for (int number = 1; number < NSIG; number++) {
    if (before[number].sa_handler == SIG_ERR) continue;
    CHECK_EQ(0, sigaction(number, NULL, &after));
    CHECK_MSG(before[number].sa_handler == after.sa_handler &&
                  before[number].sa_flags == after.sa_flags,
              "signal %d", number);
  }
  CHECK_EQ(0, pthread_sigmask(SIG_SETMASK, NULL, &same));
  for (int number = 1; number < NSIG; number++)
    CHECK_EQ(sigismember(&mask, number), sigismember(&same, number));
}

CHECK_MAIN(
    CHECK_ENTRY(dlclose_with_a_live_worker_is_safe),
    CHECK_ENTRY(threads_end_after_dlclose),
    CHECK_ENTRY(a_thousand_loads_around_live_workers),
    CHECK_ENTRY(two_copies_do_not_meet),
    CHECK_ENTRY(a_copy_in_another_namespace_works),
    CHECK_ENTRY(loading_disturbs_nothing))
