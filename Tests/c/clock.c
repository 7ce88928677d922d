/* clock.c - the wall clock jumps by an hour, there and back, and no wait becomes shorter or longer. The
   contract's section 6 (timeouts are measured on CLOCK_MONOTONIC), with C9, C11, J1, N2.

   A deadline computed from a wall clock that has jumped would make a wait last an hour, or end at
   once. */

#include "support.h"

#include "jump.h"

#include <poll.h>

#define HOUR (3600 * SECOND)

/* Objects to wait for: nothing happens to them. */
struct world {
  tr_token *token;
  tr_task *task;
  tr_registry *registry;
  int fd;
};

typedef tr_status (*timed_wait)(const struct world *world, int64_t timeout);

static tr_status by_sleep(const struct world *world, int64_t timeout) {
  (void)world;
  return tr_sleep(timeout) == TR_OK ? TR_ERR_TIMEDOUT : TR_ERR_SYSTEM;
}

static tr_status by_token(const struct world *world, int64_t timeout) {
  return tr_token_wait(world->token, timeout);
}

static tr_status by_task(const struct world *world, int64_t timeout) {
  return tr_task_wait(world->task, timeout, NULL);
}

static tr_status by_join(const struct world *world, int64_t timeout) {
  return tr_join_all(world->registry, timeout, NULL) == TR_ERR_DEADLINE ? TR_ERR_TIMEDOUT
                                                                       : TR_ERR_SYSTEM;
}

static tr_status by_descriptor(const struct world *world, int64_t timeout) {
  return tr_wait_fd(world->fd, POLLIN, timeout);
}

static tr_status by_timed_token(const struct world *world, int64_t timeout) {
  tr_token *token = tr_token_child_with_timeout(world->token, timeout);
  CHECK(token != NULL);
  tr_status status = tr_token_wait(token, FOREVER);
  CHECK_EQ(TR_REASON_DEADLINE, tr_token_reason(token));
  tr_token_release(token);
  return status == TR_OK ? TR_ERR_TIMEDOUT : status;
}

static tr_status by_condition(const struct world *world, int64_t timeout) {
  (void)world;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  tr_status status;
  pthread_mutex_lock(&mutex);
  do status = tr_cond_wait(&never, &mutex, timeout);
  while (status == TR_OK);
  pthread_mutex_unlock(&mutex);
  return status;
}

static tr_status by_flag(const struct world *world, int64_t timeout) {
  (void)world;
  return tr_wait_cancelled(timeout);
}

static const timed_wait waits[] = {by_sleep,      by_token,       by_task,      by_join,
                                   by_descriptor, by_timed_token, by_condition, by_flag};
enum { kinds_of_wait = sizeof waits / sizeof *waits };

/* One wait in a task of its own, begun before the clock jumps or after. */
struct timed {
  const struct world *world;
  timed_wait wait;
  atomic_int *begun;
  tr_status status;
  int64_t took;
};

static int body_waits_its_time(tr_task *self, void *ctx) {
  struct timed *timed = ctx;
  (void)self;
  int64_t start = now_ns();
  atomic_fetch_add(timed->begun, 1);
  timed->status = timed->wait(timed->world, 100 * MS);
  timed->took = now_ns() - start;
  return 0;
}

/* Proves: sleeps, joins, the timeouts of tokens and every other wait take as long as requested,
   whether the wall clock jumped by an hour, there or back, before them or during them (J1, C9,
   C11). Why it matters: clocks are set, and shutdown happens all the same. Catches: a deadline on
   CLOCK_REALTIME, computed or waited for. */
CASE(a_jump_of_the_wall_clock_changes_no_wait) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  struct gate gate = GATE_INIT;
  struct world world = {tr_token_create(), NULL, registry_new(), ends[0]};
  tr_registry *registry = registry_new();
  world.task = spawn(world.registry, "deaf", body_deaf, &gate);
  const int64_t jumps[] = {HOUR, -HOUR};
  for (int i = 0; i < 4; i++) {
    atomic_int begun = 0;
    struct timed timed[kinds_of_wait];
    tr_task *tasks[kinds_of_wait];
    jump_to(0);
    if (i >= 2) jump_to(jumps[i % 2]);
    for (int j = 0; j < kinds_of_wait; j++) {
      timed[j] = (struct timed){&world, waits[j], &begun, 1, 0};
      tasks[j] = spawn(registry, "waits", body_waits_its_time, &timed[j]);
    }
    while (atomic_load(&begun) < kinds_of_wait) sched_yield();
    jump_to(i >= 2 ? 0 : jumps[i % 2]);
    for (int j = 0; j < kinds_of_wait; j++) {
      wait_and_release(tasks[j]);
      CHECK_EQ(TR_ERR_TIMEDOUT, timed[j].status);
      CHECK_BETWEEN_NS(100 * MS, 100 * MS + AT_ONCE, timed[j].took);
    }
  }
  gate_open(&gate);
  wait_and_release(world.task);
  registry_finish(world.registry);
  registry_finish(registry);
  tr_token_release(world.token);
  close(ends[0]);
  close(ends[1]);
  timer_thread_leaves();
}

/* Proves: the wall clock is read where a snapshot shows when a task started, and nowhere else (N2).
   Why it matters: it shows that the clock of this test is the library's. Catches: a jump that the
   library does not see, with which the case above would prove nothing. */
CASE(the_wall_clock_is_read_for_snapshots_alone) {
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  int64_t wall = wall_ns(), reads = jump_reads();
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 1 * MS, NULL));
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
  CHECK_EQ(TR_OK, tr_sleep(1 * MS));
  CHECK_EQ(reads, jump_reads());
  jump_to(HOUR);
  tr_task_summary found;
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &found));
  CHECK(jump_reads() > reads);
  CHECK_BETWEEN_NS(wall + HOUR - AT_ONCE, wall + HOUR + AT_ONCE, found.spawned_at_unix_ns);
  jump_to(0);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(a_jump_of_the_wall_clock_changes_no_wait),
    CHECK_ENTRY(the_wall_clock_is_read_for_snapshots_alone))
