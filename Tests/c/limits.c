/* limits.c - at the limits of one process or one user: threads, address space, descriptors, stacks.
   Rules S6, S7, P4, G4, C6, C8. */

#include "support.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

/* Use a registry from beginning to end; each call may fail, and then leaves nothing behind. Returns
   how many calls failed. */
static int use_what_there_is(void) {
  int rejections = 0;
  tr_registry *registry = NULL;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.stack_size = 1 << 20;
  tr_status status = create_registry(&options, &registry);
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
    else rejections++;
    CHECK_EQ(alive, tr_len(registry));
    CHECK_EQ(alive, snapshot_count(registry));
  }
  gate_await(&gate, alive);
  gate_open(&gate);
  registry_finish(registry);
  return rejections;
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
   is TR_ERR_AGAIN, live tasks continue, and when one has ended another may start (S6, G4). Why it
   matters: it is the limit that service managers set. Catches: a failed spawn that leaves a thread,
   a place or a record behind. */
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
    int rejections = use_what_there_is();
    CHECK_EQ(0, setrlimit(RLIMIT_AS, &before));
    seen[rejections != 0]++;
    CHECK_EQ(0, use_what_there_is());
  }
}

/* Proves: however much address space is left, from none to plenty, each call works or fails, a
   registry that was created is joined and leaves nothing, and once there is space again all of it
   works (S6, P4, G4). Why it matters: memory does not run out at a convenient moment. Catches: a
   stack or a block taken for granted. */
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

/* Proves: with room for n descriptors n tasks have one, for each n from none up; the others get
   TR_ERR_SYSTEM, and spawning, listing, cancelling and joining need none (C6, S6). Why it matters:
   a server without descriptors has to be able to stop. Catches: a descriptor that a join or a
   registry needs; one that is not closed. */
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

/* How many descriptors are open, including the one used to count them. */
static int open_descriptors(void) {
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  int count = 0;
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count - 2; /* . and .. */
}

enum { SHARING = 100 };

/* Tasks that wait for descriptors, each for its own pair of sockets. */
struct sharing {
  int ends[SHARING][2];
  tr_status seen[SHARING];
  atomic_int waiting, over;
  tr_registry *registry;
  tr_task *tasks[SHARING];
};
static struct sharing sharing;

static int body_shares(tr_task *self, void *ctx) {
  int number = (int)(intptr_t)ctx;
  (void)self;
  /* A time that does not pass makes no difference to one without end. */
  int64_t timeout = number % 2 ? FOREVER : 3600 * SECOND;
  atomic_fetch_add(&sharing.waiting, 1);
  sharing.seen[number] = tr_wait_fd(sharing.ends[number][0], POLLIN, timeout);
  atomic_fetch_add(&sharing.over, 1);
  return 0;
}

/* Until each task that is alive has been seen in the system call that it waits in. */
static void await_blocked(void) {
  tr_report *report = NULL;
  for (size_t blocked = 0, all = 1; blocked < all;) {
    tr_report_release(report);
    CHECK_EQ(TR_OK, tr_explain(sharing.registry, &report));
    tr_straggler straggler = TR_STRAGGLER_INIT;
    for (blocked = 0, all = 0; tr_report_straggler(report, all, &straggler) == TR_OK; all++)
      blocked += straggler.syscall_name != NULL && strcmp(straggler.syscall_name, "ppoll") == 0;
  }
  tr_report_release(report);
}

static void share_begin(void) {
  memset(&sharing, 0, sizeof sharing);
  sharing.registry = registry_new();
  for (int i = 0; i < SHARING; i++) {
    CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sharing.ends[i]));
    sharing.seen[i] = 1;
  }
}
static void share_spawn(int first, int end) {
  for (int i = first; i < end; i++)
    sharing.tasks[i] = spawn(sharing.registry, "shares", body_shares, (void *)(intptr_t)i);
  while (atomic_load(&sharing.waiting) < end) breathe();
}
/* Ask one to stop, and have one woken by its socket; both are over then, and no other is. */
static void share_end_two(int asked, int ready) {
  int before = atomic_load(&sharing.over);
  CHECK_EQ(TR_OK, tr_task_cancel(sharing.tasks[asked]));
  CHECK_EQ(TR_OK, tr_task_wait(sharing.tasks[asked], FOREVER, NULL));
  CHECK_EQ(TR_ERR_CANCELLED, sharing.seen[asked]);
  CHECK_EQ(1, write(sharing.ends[ready][1], "x", 1));
  CHECK_EQ(TR_OK, tr_task_wait(sharing.tasks[ready], FOREVER, NULL));
  CHECK_EQ(TR_OK, sharing.seen[ready]);
  CHECK_EQ(before + 2, atomic_load(&sharing.over));
}
static void share_end(void) {
  CHECK_EQ(TR_OK, tr_shutdown(sharing.registry, TR_REASON_FATAL, NULL, FOREVER, NULL));
  int cancelled = 0;
  for (int i = 0; i < SHARING; i++) {
    cancelled += sharing.seen[i] == TR_ERR_CANCELLED;
    CHECK(sharing.seen[i] == TR_ERR_CANCELLED || sharing.seen[i] == TR_OK);
    tr_task_release(sharing.tasks[i]);
    for (int end = 0; end < 2; end++) close(sharing.ends[i][end]);
  }
  CHECK(cancelled >= SHARING / 2);
  tr_registry_release(sharing.registry);
}

/* Proves: a hundred tasks that wait for descriptors cost the process a few of its own, which are
   closed again; asking one of them to stop ends its wait and no other, however often; each of the
   others still ends by its own event, and all of them by a shutdown (C8). Why it matters: one
   descriptor for each task that waits halves the connections of a server. Catches: a descriptor for
   each; a wait that ends by another's flag, or fails; one that sleeps on at a descriptor that is no
   longer used; a descriptor that stays. */
CASE(tasks_that_wait_share_descriptors) {
  int before = open_descriptors();
  share_begin();
  int without = open_descriptors();
  share_spawn(0, SHARING);
  await_blocked();
  int shared = open_descriptors() - without;
  CHECK_MSG(shared >= 1 && shared <= SHARING / 8, "%d descriptors for %d tasks", shared, SHARING);
  for (int i = 0; i < SHARING / 2; i += 2) share_end_two(i, i + 1);
  await_blocked();
  shared = open_descriptors() - without;
  CHECK_MSG(shared >= 1 && shared <= SHARING / 8, "%d descriptors for the rest of %d tasks", shared, SHARING);
  share_end();
  CHECK_EQ(before, open_descriptors());
}

static int body_waits_in_vain(tr_task *self, void *ctx) {
  (void)self;
  errno = 0;
  *(tr_status *)ctx = tr_wait_fd(0, 0, FOREVER);
  CHECK_EQ(EMFILE, errno);
  return 0;
}

/* Proves: where only one descriptor is left, all share it; when it has reported one task's flag the
   others continue without one, are woken by their own events and their own flags, and do not fail;
   where none is left a new wait is TR_ERR_SYSTEM with EMFILE (C8). Why it matters: a server at its
   limit must continue to serve its clients. Catches: a wait that fails because another task was
   asked to stop; one that does not see its flag. */
CASE(waits_go_on_where_no_descriptor_is_left) {
  struct rlimit before, limit;
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
  share_begin();
  int highest = dup(2);
  CHECK(highest >= 0);
  close(highest);
  limit = before;
  limit.rlim_cur = (rlim_t)highest + 1;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
  /* One alone has the descriptor before the others look for it: a thread that begins takes one for a moment (so does
     malloc, which counts processors), and a wait that begins meanwhile has none. */
  share_spawn(0, 1);
  while (fcntl(highest, F_GETFD) < 0) breathe();
  share_spawn(1, SHARING);
  /* One that begins to wait after the only descriptor was closed fails, as it should. Looking takes descriptors. */
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
  await_blocked();
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
  for (int i = 0; i < SHARING / 2; i += 2) {
    share_end_two(i, i + 1);
    /* The only descriptor, taken as soon as it is closed: the next tasks wake without one. */
    if (i == SHARING / 4) {
      limit.rlim_cur = (rlim_t)highest;
      CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
    }
  }
  share_end();
  CHECK(fcntl(highest, F_GETFD) < 0);
  limit.rlim_cur = (rlim_t)sharing.ends[0][0];
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
  tr_registry *registry = registry_new();
  tr_status seen = TR_OK;
  wait_and_release(spawn(registry, "none left", body_waits_in_vain, &seen));
  CHECK_EQ(TR_ERR_SYSTEM, seen);
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
  registry_finish(registry);
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
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
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
    CHECK_EQ(TR_ERR_INVALID, create_registry(&options, &none));
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
    CHECK_ENTRY(tasks_that_wait_share_descriptors),
    CHECK_ENTRY(waits_go_on_where_no_descriptor_is_left),
    CHECK_ENTRY(absurd_stacks_are_none))
