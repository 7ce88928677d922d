/* probing.c - probing a thread takes nothing that the thread may hold: no memory from the
   allocator, and no lock, not even the dynamic linker's (E1, E12). The program's own malloc and
   pthread_mutex_lock are found before the C library's, and count the calls of one thread. */

#include "deadline.h"

#include <dlfcn.h>

#ifndef SLOW_OBJECT
#error "CMakeLists.txt says where the object is that loads slowly"
#endif

static _Thread_local int counts; /* whether the calls of this thread are counted */
static _Thread_local long allocations, locks;

extern void *__libc_malloc(size_t size);
void *malloc(size_t size) {
  allocations += counts;
  return __libc_malloc(size);
}

extern void *__libc_calloc(size_t count, size_t size);
void *calloc(size_t count, size_t size) {
  allocations += counts;
  return __libc_calloc(count, size);
}

extern void *__libc_memalign(size_t alignment, size_t size);
int posix_memalign(void **memory, size_t alignment, size_t size) {
  allocations += counts;
  *memory = __libc_memalign(alignment, size);
  return *memory == NULL ? ENOMEM : 0;
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
  static int (*next)(pthread_mutex_t *);
  if (next == NULL) *(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_lock");
  locks += counts;
  return next(mutex);
}

static int body_notes_and_is_deaf(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(TR_OK, tr_checkpoint("waiting"));
  CHECK_EQ(TR_OK, tr_progress(1, 2, "steps"));
  gate_pass(ctx);
  return 0;
}

/* How many allocations and locks it takes to examine `tasks` tasks, and to write the report. */
static void cost_of_probing(int tasks, long *allocated, long *locked) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *all[40];
  for (int i = 0; i < tasks; i++) all[i] = spawn(registry, "deaf", body_notes_and_is_deaf, &gate);
  gate_await(&gate, tasks);
  int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(sink >= 0);
  tr_report *report = NULL;
  counts = 1;
  allocations = locks = 0;
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  CHECK_EQ(TR_OK, tr_report_write(report, sink, TR_FORMAT_TEXT));
  CHECK_EQ(TR_OK, tr_report_write(report, sink, TR_FORMAT_JSON));
  counts = 0;
  *allocated = allocations;
  *locked = locks;
  CHECK_EQ(tasks, straggler_count(report));
  CHECK(straggler_called(report, "deaf").frame_count > 0);
  tr_report_release(report);
  close(sink);
  gate_open(&gate);
  for (int i = 0; i < tasks; i++) wait_and_release(all[i]);
  registry_finish(registry);
}

/* Proves: examining 33 tasks, with backtraces, takes as many allocations and locks as examining
   one: those for the report, and none for a task (E1, E12). Why it matters: the straggler may hold
   the allocator's lock, and a thread that waits for it would be the next straggler. Catches: a
   buffer from the heap, a lock for each task. */
CASE(probing_takes_no_memory_and_no_lock) {
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 4));
  long one[2], many[2];
  cost_of_probing(1, &one[0], &one[1]); /* what is made once exists now */
  cost_of_probing(1, &one[0], &one[1]);
  cost_of_probing(33, &many[0], &many[1]);
  CHECK_MSG(one[0] == many[0], "%ld allocations for one, %ld for 33", one[0], many[0]);
  CHECK_MSG(one[1] == many[1], "%ld locks for one, %ld for 33", one[1], many[1]);
  CHECK_MSG(one[0] <= 3, "%ld", one[0]);
}

static int body_loads(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  void *object = dlopen(SLOW_OBJECT, RTLD_NOW);
  CHECK_MSG(object != NULL, "%s", dlerror());
  return 0;
}

/* Proves: a task that hangs while it loads an object, and so holds the dynamic linker's lock, is
   reported with its backtrace and the names in it, and holds nothing up (E1, E12). Why it
   matters: a plugin that does not come up is a common straggler. Catches: dladdr, which waits
   for that lock. */
CASE(who_hangs_in_the_loader_holds_up_no_report) {
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 4));
  int arrived[2], go_on[2];
  char text[16], byte = 0;
  CHECK_EQ(0, pipe(arrived));
  CHECK_EQ(0, pipe(go_on));
  snprintf(text, sizeof text, "%d", arrived[1]);
  CHECK_EQ(0, setenv("SLOW_ARRIVED", text, 1));
  snprintf(text, sizeof text, "%d", go_on[0]);
  CHECK_EQ(0, setenv("SLOW_GO_ON", text, 1));
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "loads", body_loads, NULL);
  CHECK_EQ(1, read(arrived[0], &byte, 1));
  tr_join_report counted;
  tr_report *report = NULL;
  CHECK_EQ(TR_ERR_DEADLINE, shutdown_full(registry, 20 * MS, NULL, &counted, &report));
  int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK_EQ(TR_OK, tr_report_write(report, sink, TR_FORMAT_TEXT));
  CHECK_EQ(TR_OK, tr_report_write(report, sink, TR_FORMAT_JSON));
  close(sink);
  tr_straggler straggler = straggler_called(report, "loads");
  CHECK_EQ(TR_DIAGNOSIS_BLOCKED, straggler.diagnosis);
  CHECK(straggler.frame_count >= 2);
  tr_report_release(report);
  CHECK_EQ(1, write(go_on[1], &byte, 1));
  wait_and_release(task);
  registry_finish(registry);
  for (int i = 0; i < 2; i++) close(arrived[i]), close(go_on[i]);
}

CHECK_MAIN(CHECK_ENTRY(probing_takes_no_memory_and_no_lock),
           CHECK_ENTRY(who_hangs_in_the_loader_holds_up_no_report))
