/* load-quietly LIBRARY: what loading libtaskreg.so, using it and closing it leaves behind in a
   process that knew nothing of it: no signal disposition, no signal mask, no alternate stack, no
   thread. The script load.sh also checks that nothing was printed.

   Proves:  the library takes no signal handler, at load or later (the ordinary Swift runtime takes
            seven), starts no thread before the first spawn and leaves none after a shutdown (G4).
   Catches: the ordinary runtime linked in, a start-up hook, a handler installed by a worker. */

#define _GNU_SOURCE 1
#include <dirent.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "taskreg.h"

typedef struct process_state {
  struct sigaction actions[NSIG];
  int known[NSIG];
  sigset_t mask;
  stack_t stack;
  int threads;
} process_state;

static int thread_count(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/task");
  if (directory == NULL) return -1;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
    if (entry->d_name[0] != '.') count++;
  closedir(directory);
  return count;
}

static void look(process_state *state) {
  memset(state, 0, sizeof *state);
  for (int number = 1; number < NSIG; number++)
    state->known[number] = sigaction(number, NULL, &state->actions[number]) == 0;
  sigprocmask(SIG_BLOCK, NULL, &state->mask);
  sigaltstack(NULL, &state->stack);
  state->threads = thread_count();
}

/* Compares field by field: the bytes of sigset_t beyond the kernel's are nobody's. */
static int differences(const process_state *before, const process_state *after, const char *when) {
  int found = 0;
  for (int number = 1; number < NSIG; number++) {
    int same = before->known[number] == after->known[number] &&
               before->actions[number].sa_flags == after->actions[number].sa_flags &&
               before->actions[number].sa_handler == after->actions[number].sa_handler;
    for (int member = 1; member < NSIG && same; member++)
      same = sigismember(&before->actions[number].sa_mask, member) ==
             sigismember(&after->actions[number].sa_mask, member);
    if (!same) {
      fprintf(stderr, "%s: the disposition of signal %d changed\n", when, number);
      found++;
    }
    if (sigismember(&before->mask, number) != sigismember(&after->mask, number)) {
      fprintf(stderr, "%s: signal %d changed in the caller's mask\n", when, number);
      found++;
    }
  }
  if (before->stack.ss_sp != after->stack.ss_sp || before->stack.ss_flags != after->stack.ss_flags) {
    fprintf(stderr, "%s: the alternate signal stack changed\n", when);
    found++;
  }
  if (before->threads != after->threads) {
    fprintf(stderr, "%s: %d threads, before %d\n", when, after->threads, before->threads);
    found++;
  }
  return found;
}

static int body(tr_task *self, void *ctx) {
  (void)self;
  __atomic_add_fetch((int *)ctx, 1, __ATOMIC_RELAXED);
  return 0;
}

static void *function(void *library, const char *name) {
  void *address = dlsym(library, name);
  if (address == NULL) {
    fprintf(stderr, "dlsym: %s\n", dlerror());
    exit(1);
  }
  return address;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: load-quietly LIBRARY\n");
    return 2;
  }
  static process_state before, after;
  int found = 0;

  look(&before);
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL);
  if (library == NULL) {
    fprintf(stderr, "dlopen: %s\n", dlerror());
    return 1;
  }
  look(&after);
  found += differences(&before, &after, "after dlopen");

  /* POSIX lets dlsym's pointer be read as a function pointer; C spells that with memcpy. */
  tr_status (*create)(const tr_registry_options *, tr_registry **);
  tr_status (*spawn)(tr_registry *, const char *, tr_kind, tr_task_fn, void *, tr_task **);
  tr_status (*shut)(tr_registry *, tr_reason, const char *, int64_t, tr_join_report *);
  void (*release)(tr_registry *);
  *(void **)&create = function(library, "tr_registry_create");
  *(void **)&spawn = function(library, "tr_spawn");
  *(void **)&shut = function(library, "tr_shutdown");
  *(void **)&release = function(library, "tr_registry_release");

  tr_registry *registry = NULL;
  int ran = 0;
  if (create(NULL, &registry) != TR_OK) {
    fprintf(stderr, "tr_registry_create failed\n");
    return 1;
  }
  look(&after);
  found += differences(&before, &after, "after tr_registry_create");
  for (int i = 0; i < 8; i++)
    if (spawn(registry, "quiet", TR_KIND_MAINTENANCE, body, &ran, NULL) != TR_OK) {
      fprintf(stderr, "tr_spawn failed\n");
      return 1;
    }
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_status status = shut(registry, TR_REASON_USER_REQUESTED, NULL, INT64_C(10000000000), &report);
  if (status != TR_OK || ran != 8) {
    fprintf(stderr, "tr_shutdown: status %d, %d of 8 bodies ran\n", (int)status, ran);
    return 1;
  }
  release(registry);
  look(&after);
  found += differences(&before, &after, "after tr_shutdown");

  dlclose(library);
  look(&after);
  found += differences(&before, &after, "after dlclose");
  if (dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL) {
    fprintf(stderr, "dlclose unloaded the library: it is not linked -z nodelete\n");
    found++;
  }
  return found == 0 ? 0 : 1;
}
