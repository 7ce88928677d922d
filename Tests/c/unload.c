/* unload.c - the library loaded and unloaded at run time: nothing is disturbed by it, and a worker
   that is alive survives dlclose. Rules P3, O2. Not linked to the library; TASKREG_LIBRARY names
   it. */

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

static void *load(struct functions *f) {
  void *library = dlopen(library_path(), RTLD_NOW | RTLD_LOCAL);
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

/* Proves: dlclose with a live worker is safe: the worker goes on, calls the library, ends, and
   its registry can be shut down through the pointers kept; the library stays mapped; several
   times over (P3, G3).  Why it matters: plug-ins are unloaded while their threads run.  Catches:
   leaving out -z nodelete. */
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
    CHECK_ENTRY(loading_disturbs_nothing))
