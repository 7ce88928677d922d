/* two.c LIBRARY LIBRARY - a program with two copies of the library, as two plug-ins may bring them; a task in each. */

#include "check.h"

#include <taskreg.h>

#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/prctl.h>

static _Atomic int in_body;

static int body_waits(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  atomic_fetch_add(&in_body, 1);
  while (1) pause();
  return 0;
}

int main(int argc, char **argv) {
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 1; i < argc; i++) {
    tr_status (*create)(const tr_registry_options *, tr_registry **);
    tr_status (*spawn)(tr_registry *, const char *, tr_kind, tr_task_fn, void *, tr_task **);
    tr_registry *registry = NULL;
    void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) check_fail(__FILE__, __LINE__, "%s", dlerror());
    *(void **)&create = dlsym(library, "tr_registry_create");
    *(void **)&spawn = dlsym(library, "tr_spawn");
    CHECK(create != NULL && spawn != NULL);
    CHECK_EQ(TR_OK, create(NULL, &registry));
    CHECK_EQ(TR_OK, spawn(registry, i == 1 ? "in the first" : "in the second", TR_KIND_MAINTENANCE, body_waits, NULL, NULL));
  }
  while (atomic_load(&in_body) < argc - 1) sched_yield();
  printf("ready\n");
  fflush(stdout);
  for (int byte; (byte = getchar()) != EOF;) {}
  _exit(0);
}
