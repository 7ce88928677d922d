/* execstack.c - a program that wants executable stacks, as one with GNU C's nested functions does. Rule S7. */

#include "support.h"

/* Whether the memory at `address` may be executed, according to the kernel. */
static int is_executable(const void *address) {
  FILE *file = fopen("/proc/self/maps", "re");
  CHECK(file != NULL);
  char line[512], rights[8];
  unsigned long from, to;
  int result = -1;
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3 && (uintptr_t)address >= from &&
        (uintptr_t)address < to)
      result = rights[2] == 'x';
  fclose(file);
  return result;
}

static int body_looks(tr_task *self, void *ctx) {
  (void)self;
  char here = 0;
  *(int *)ctx = is_executable(&here);
  return 0;
}

static void *thread_looks(void *ctx) {
  body_looks(NULL, ctx);
  return NULL;
}

/* Proves: stacks of tasks are executable where those of threads are, the registry's, those of another size and those
   of fresh threads (S7).  Why it matters: a nested function whose address is taken runs from the stack, and
   dies of SIGSEGV elsewhere.  Catches: a mapping without PROT_EXEC. */
CASE(stacks_are_executable_where_the_program_wants_it) {
  int in_thread = -1;
  thread_end(thread_start(thread_looks, &in_thread));
  tr_registry *registry = registry_new();
  for (int i = 0; i < 3; i++) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.flags = i == 1 ? TR_SPAWN_FRESH_THREAD : 0;
    options.stack_size = i == 2 ? 2 << 20 : 0;
    int in_task = -1;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "looks", TR_KIND_RPC_HANDLER, body_looks, &in_task, &options, &task));
    wait_and_release(task);
    CHECK_EQ(in_thread, in_task);
  }
  registry_finish(registry);
}

CHECK_MAIN(CHECK_ENTRY(stacks_are_executable_where_the_program_wants_it))
