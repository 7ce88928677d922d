/* limits.c - at the ends of what the system gives one process or one user: threads, address space,
   descriptors, stacks. Rules S6, S7, P4, G4. */

#include "support.h"

#include <grp.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* Use a registry from beginning to end; each call may be refused, and then leaves nothing behind.
   Returns how many calls were refused. */
static int use_what_there_is(void) {
  int refusals = 0;
  tr_registry *registry = NULL;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.stack_size = 1 << 20;
  tr_status status = tr_registry_create(&options, &registry);
  if (status != TR_OK) {
    CHECK(status == TR_ERR_NOMEM && registry == NULL);
    return 1;
  }
  struct gate gate = GATE_INIT;
  int alive = 0;
  for (int i = 0; i < 12; i++) {
    tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
    how.stack_size = i % 2 ? 2 << 20 : 0;
    status = tr_spawn_with(registry, "lucky", TR_KIND_MAINTENANCE, body_deaf, &gate, &how, NULL);
    CHECK(status == TR_OK || status == TR_ERR_AGAIN || status == TR_ERR_NOMEM);
    if (status == TR_OK) alive++;
    else refusals++;
    CHECK_EQ(alive, tr_len(registry));
    CHECK_EQ(alive, snapshot_count(registry));
  }
  gate_await(&gate, alive);
  gate_open(&gate);
  registry_finish(registry);
  return refusals;
}

/* ---- Threads --------------------------------------------------------------------------------- */

enum { NOBODY = 54321, PROCESSES = 12 };

/* As a user of its own, who may have a dozen threads. */
static void live_with_a_dozen_threads(void *argument) {
  (void)argument;
  if (geteuid() != 0) _exit(77);
  if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0) _exit(77);
  struct rlimit limit = {PROCESSES, PROCESSES};
  CHECK_EQ(0, setrlimit(RLIMIT_NPROC, &limit));
  int before = thread_count();
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *first = spawn(registry, "first", body_obeys, NULL);
  int alive = 1;
  tr_status status;
  while ((status = tr_spawn(registry, "deaf", TR_KIND_MAINTENANCE, body_deaf, &gate, NULL)) == TR_OK)
    CHECK(++alive <= PROCESSES);
  CHECK_EQ(TR_ERR_AGAIN, status);
  /* A tool may have made a thread of its own meanwhile. */
  CHECK(check_under_a_tool() ? alive <= PROCESSES - before : alive == PROCESSES - before);
  for (int i = 0; i < 20; i++) {
    CHECK_EQ(TR_ERR_AGAIN, tr_spawn(registry, "no", TR_KIND_MAINTENANCE, body_never, NULL, NULL));
    CHECK_EQ(alive, tr_len(registry));
  }
  /* One ends, and another may begin: in its thread, or in one of its own when that has left. */
  CHECK_EQ(TR_OK, tr_task_cancel(first));
  wait_and_release(first);
  int64_t end = now_ns() + AT_ONCE;
  while ((status = tr_spawn(registry, "deaf", TR_KIND_MAINTENANCE, body_deaf, &gate, NULL)) ==
             TR_ERR_AGAIN &&
         now_ns() < end)
    breathe();
  CHECK_EQ(TR_OK, status);
  CHECK_EQ(alive, tr_len(registry));
  gate_await(&gate, alive);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  gate_open(&gate);
  registry_finish(registry);
  use_what_there_is();
}

/* Proves: at RLIMIT_NPROC, which a process without privileges meets, the spawn that is one too many
   is TR_ERR_AGAIN, those that live go on, and when one has ended another may begin (S6, G4).
   Why it matters: it is the limit that service managers set.  Catches: a refusal that leaves a
   thread, a place or a record behind. */
CASE(threads_at_their_limit) {
  int status = status_of_child(live_with_a_dozen_threads, NULL);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
    dprintf(check_messages, "not root: RLIMIT_NPROC is left out\n");
    return;
  }
  CHECK_EXITED(0, status);
}

/* ---- Address space ---------------------------------------------------------------------------- */

static size_t address_space(void) {
  FILE *file = fopen("/proc/self/statm", "re");
  CHECK(file != NULL);
  size_t pages = 0;
  CHECK_EQ(1, fscanf(file, "%zu", &pages));
  fclose(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void climb_the_address_space(void *argument) {
  int *seen = argument;
  struct rlimit before;
  CHECK_EQ(0, getrlimit(RLIMIT_AS, &before));
  use_what_there_is();
  for (size_t room = 0; room <= (size_t)40 << 20; room += room < (4 << 20) ? 64 << 10 : 1 << 20) {
    struct rlimit limit = before;
    limit.rlim_cur = address_space() + room;
    CHECK_EQ(0, setrlimit(RLIMIT_AS, &limit));
    int refusals = use_what_there_is();
    CHECK_EQ(0, setrlimit(RLIMIT_AS, &before));
    seen[refusals != 0]++;
    CHECK_EQ(0, use_what_there_is());
  }
}

/* Proves: however much address space is left, from none to plenty, each call works or is refused, a
   registry that could be had is joined and leaves nothing, and with the space back all of it works
   (S6, P4, G4).  Why it matters: memory does not run out at a convenient moment.  Catches: a stack or
   a block taken for granted. */
CASE(address_space_at_its_limit) {
  if (check_under_a_tool()) return; /* which itself ends the program when it gets no memory */
  int *seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(seen != MAP_FAILED);
  CHECK_EXITED(0, status_of_child(climb_the_address_space, seen));
  CHECK_MSG(seen[0] > 10 && seen[1] > 10, "all granted %d times, not all %d times", seen[0], seen[1]);
  munmap(seen, 4096);
}

/* ---- Descriptors ------------------------------------------------------------------------------ */

static int body_needs_a_descriptor(tr_task *self, void *ctx) {
  int fd = -1;
  tr_status status = tr_task_fd(self, &fd);
  if (status != TR_OK) CHECK(status == TR_ERR_SYSTEM && fd == -1);
  tr_status waited = tr_wait_fd(0, 0, 0);
  if (status == TR_OK) CHECK(waited == TR_OK || waited == TR_ERR_TIMEDOUT);
  /* What has got none falls back on the flag, which needs none. */
  gate_arrive(ctx);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  return status == TR_OK ? 0 : 9;
}

/* Proves: with room for n descriptors n tasks have one, for each n from none up; the others are told
   TR_ERR_SYSTEM, and spawning, listing, cancelling and joining need none (C6, S6).
   Why it matters: a server without descriptors has to be able to stop.  Catches: a descriptor that a
   join or a registry needs; one that is not given back. */
CASE(descriptors_at_their_limit) {
  struct rlimit before, limit;
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
  int lowest = dup(2); /* the descriptors are handed out from here on */
  CHECK(lowest >= 0);
  close(lowest);
  for (int room = 0; room <= 4; room++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *tasks[4];
    limit = before;
    limit.rlim_cur = (rlim_t)(lowest + room);
    CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < 4; i++) tasks[i] = spawn(registry, "fd", body_needs_a_descriptor, &gate);
    gate_await(&gate, 4);
    CHECK_EQ(4, snapshot_count(registry));
    CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_FATAL, NULL));
    CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
    int without = 0;
    for (int i = 0; i < 4; i++) {
      without += outcome_of(tasks[i]).code == 9;
      tr_task_release(tasks[i]);
    }
    registry_finish(registry);
    CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
    CHECK_EQ(4 - room, without);
  }
}

/* ---- Stacks ----------------------------------------------------------------------------------- */

static int body_does_ordinary_things(tr_task *self, void *ctx) {
  char text[4096], name[64];
  CHECK(tr_task_name(self, name, sizeof name) > 0);
  snprintf(text, sizeof text, "%s has room for %d bytes of text and a %.3f", name, 4096, 1.5);
  tr_task_summary list[16] = {TR_TASK_SUMMARY_INIT};
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_snapshot(ctx, list, 16, &count));
  CHECK(count >= 1);
  CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all(ctx, 0, NULL));
  return 0;
}

/* Proves: absurdly small stacks, of 1 or 64 bytes or one page, asked for by a spawn or by a registry,
   are the least that serves an ordinary body; absurdly large ones are an error (S7, P4).
   Why it matters: a number from a settings file must not be a crash.  Catches: handing the number to
   the system as it is. */
CASE(absurd_stacks_are_none) {
  static const uint64_t small[] = {1, 64, 4095, 4096, 16384};
  static const uint64_t large[] = {(UINT64_C(1) << 40) + 1, UINT64_C(1) << 62, UINT64_MAX - 4095,
                                   UINT64_MAX};
  for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.stack_size = small[i];
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
    tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
    how.stack_size = small[i];
    tr_task *tasks[2] = {spawn(registry, "small", body_does_ordinary_things, registry), NULL};
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "small", TR_KIND_MAINTENANCE, body_does_ordinary_things,
                                  registry, &how, &tasks[1]));
    for (int t = 0; t < 2; t++) {
      CHECK_EQ(TR_ENDED_RETURNED, outcome_of(tasks[t]).how);
      tr_task_release(tasks[t]);
    }
    registry_finish(registry);
  }
  tr_registry *registry = registry_new();
  for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.stack_size = large[i];
    tr_registry *none = NULL;
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &none));
    tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
    how.stack_size = large[i];
    CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "large", TR_KIND_MAINTENANCE, body_never, NULL,
                                           &how, NULL));
  }
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(threads_at_their_limit),
    CHECK_ENTRY(address_space_at_its_limit),
    CHECK_ENTRY(descriptors_at_their_limit),
    CHECK_ENTRY(absurd_stacks_are_none))
