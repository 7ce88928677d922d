/* blocking.c - stopping what blocks: descriptors that report a cancellation (C6), and the waits
   that poll one (C8). */

#include "support.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

static int is_readable(int fd, int timeout_ms) {
  struct pollfd one = {fd, POLLIN, 0};
  int ready = poll(&one, 1, timeout_ms);
  CHECK(ready >= 0);
  return ready == 1 && one.revents == POLLIN;
}

static int fd_of_token(tr_token *token) {
  int fd = -1;
  CHECK_EQ(TR_OK, tr_token_fd(token, &fd));
  CHECK(fd >= 0);
  return fd;
}

static int fd_of_task(tr_task *task) {
  int fd = -1;
  CHECK_EQ(TR_OK, tr_task_fd(task, &fd));
  CHECK(fd >= 0);
  return fd;
}

/* Proves: a token's descriptor is not readable before it is cancelled and stays readable
   afterwards, is the same at every call, non-blocking, closed on exec, and gone with the token
   (C6). Why it matters: it is in an application's event loop. Catches: a descriptor that is
   drained, or leaks into children. */
CASE(descriptor_of_a_token_shows_its_cancellation) {
  tr_token *token = tr_token_create();
  int fd = fd_of_token(token);
  CHECK_EQ(fd, fd_of_token(token));
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK(!is_readable(fd, 0));
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_USER_REQUESTED, "stop"));
  for (int i = 0; i < 3; i++) CHECK(is_readable(fd, 0));
  CHECK_EQ(0, tr_token_cancel(token, TR_REASON_FATAL, "again"));
  CHECK(is_readable(fd, 0));
  CHECK_EQ(fd, fd_of_token(token));
  tr_token_release(token);
  CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
}

/* Proves: a descriptor first requested after the cancellation is readable, and a child's becomes so
   with its parent (C6, C2). Why it matters: a late caller would wait indefinitely. Catches: a
   descriptor raised only by the cancelling call. */
CASE(late_descriptors_and_those_of_children_are_readable) {
  tr_token *parent = tr_token_create(), *child = tr_token_child(parent);
  int fd = fd_of_token(child);
  CHECK(!is_readable(fd, 0));
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_NONE, NULL));
  CHECK(is_readable(fd, 0));
  CHECK(is_readable(fd_of_token(parent), 0));
  tr_token *born = tr_token_child(parent);
  CHECK(is_readable(fd_of_token(born), 0));
  tr_token_release(born);
  tr_token_release(child);
  tr_token_release(parent);
}

/* Proves: a task's descriptor reports each kind of request to stop: by its handle, by the token, by
   the deadline of a join (C6, C3); it outlives the task as long as a handle, and no longer. Why it
   matters: the body polls it. Catches: one of the ways left out; a descriptor that leaks with its
   record. */
CASE(descriptor_of_a_task_shows_every_way_to_be_stopped) {
  for (int way = 0; way < 3; way++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "polls", body_deaf, &gate);
    gate_await(&gate, 1);
    int fd = fd_of_task(task);
    CHECK_EQ(fd, fd_of_task(task));
    CHECK(!is_readable(fd, 0));
    if (way == 0) CHECK_EQ(TR_OK, tr_task_cancel(task));
    if (way == 1) CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_NONE, NULL));
    if (way == 2) CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
    CHECK(is_readable(fd, 0));
    gate_open(&gate);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK(is_readable(fd, 0));
    tr_task_release(task);
    CHECK(fcntl(fd, F_GETFD) == -1 && errno == EBADF);
    registry_finish(registry);
  }
}

/* Proves: the record of a task that had a descriptor serves the next without it: thousands of tasks
   need no more descriptors than live at once (C6, N1).  Why it matters: the limit is 1024.
   Catches: a descriptor that is not closed, or is found readable by the next task. */
CASE(descriptors_go_with_their_tasks) {
  tr_registry *registry = registry_new();
  int highest = 0;
  for (int i = 0; i < check_rounds(2000); i++) {
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "short", body_deaf, &gate);
    int fd = fd_of_task(task);
    if (fd > highest) highest = fd;
    CHECK(!is_readable(fd, 0));
    if (i % 2) CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(i % 2, is_readable(fd, 0));
    gate_open(&gate);
    wait_and_release(task);
  }
  CHECK_MSG(highest < 100, "descriptor %d", highest);
  registry_finish(registry);
}

/* Proves: without a descriptor left the call is TR_ERR_SYSTEM with errno EMFILE, nothing is written,
   and later it works (C6).  Why it matters: servers run out of descriptors first.
   Catches: -1 handed out as a descriptor; a failure that is remembered. */
CASE(descriptors_may_be_refused) {
  tr_token *token = tr_token_create();
  struct rlimit before, none;
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
  none = before;
  none.rlim_cur = 0;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
  int fd = -7;
  errno = 0;
  tr_status status = tr_token_fd(token, &fd);
  int error = errno;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
  CHECK_EQ(TR_ERR_SYSTEM, status);
  CHECK_EQ(EMFILE, error);
  CHECK_EQ(-7, fd);
  CHECK(!is_readable(fd_of_token(token), 0));
  tr_token_release(token);
}

/* ---- Waits ---------------------------------------------------------------------------------- */

struct wait_one {
  int fd;
  short events;
  int64_t timeout;
  tr_status first, second;
  struct gate *gate;
};

static int body_waits_for_fd(tr_task *self, void *ctx) {
  struct wait_one *one = ctx;
  (void)self;
  if (one->gate != NULL) gate_arrive(one->gate);
  one->first = tr_wait_fd(one->fd, one->events, one->timeout);
  one->second = tr_wait_fd(one->fd, one->events, one->timeout);
  return 0;
}

/* Proves: a wait for a descriptor ends with what comes first: an event, a hang-up, its timeout
   (C8). Why it matters: it replaces poll. Catches: a hang-up that is waited out; a timeout in the
   wrong unit; a closed descriptor that is waited for. */
CASE(wait_for_a_descriptor_ends_with_what_comes_first) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  CHECK_EQ(TR_OK, tr_wait_fd(ends[1], POLLOUT, FOREVER)); /* outside a task a plain poll */
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fd(ends[0], POLLIN, 0));
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fd(ends[0], POLLIN, 20 * MS));
  CHECK(now_ns() - start >= 20 * MS);
  CHECK_EQ(TR_ERR_INVALID, tr_wait_fd(-1, POLLIN, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_wait_fd(1000000, POLLIN, FOREVER));

  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  struct wait_one one = {ends[0], POLLIN, FOREVER, 1, 1, &gate};
  tr_task *task = spawn(registry, "waits", body_waits_for_fd, &one);
  gate_await(&gate, 1);
  CHECK_EQ(1, write(ends[1], "x", 1)); /* never read: the second wait ends as well */
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  tr_task_release(task);
  CHECK_EQ(TR_OK, one.first);
  CHECK_EQ(TR_OK, one.second);

  close(ends[1]);
  CHECK_EQ(TR_OK, tr_wait_fd(ends[0], POLLIN, FOREVER)); /* the hang-up */
  close(ends[0]);
  registry_finish(registry);
}

static int body_waits_flagged(tr_task *self, void *ctx) {
  int fd = *(const int *)ctx;
  CHECK_EQ(TR_OK, tr_task_cancel(self));
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_fd(fd, POLLOUT, FOREVER));
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_fd(fd, POLLOUT, 0));
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(FOREVER));
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_cancelled(0));
  return 0;
}

/* Proves: with the flag up every wait is TR_ERR_CANCELLED, whatever is ready and however short the
   time (C8, C4). Why it matters: a loop around a wait ends by it. Catches: the descriptor checked
   first. */
CASE(the_flag_comes_before_the_descriptor) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "flagged", body_waits_flagged, &ends[1]);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  registry_finish(registry);
  close(ends[0]);
  close(ends[1]);
}

static int body_waits_a_moment(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_cancelled(10 * MS));
  CHECK(now_ns() - start >= 10 * MS);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_cancelled(0));
  return 0;
}

/* Proves: waiting for the flag outside a task is rejected, and inside ends by its timeout (C8). Why
   it matters: nothing could end it. Catches: a thread that sleeps indefinitely. */
CASE(waiting_for_the_flag_needs_a_task) {
  CHECK_EQ(TR_ERR_INVALID, tr_wait_cancelled(0));
  CHECK_EQ(TR_ERR_INVALID, tr_wait_cancelled(FOREVER));
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "waits", body_waits_a_moment, NULL);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  registry_finish(registry);
}

/* The ways to wait that end by the flag. */
enum way {
  WAY_FD,
  WAY_FLAG,
  WAY_OWN_DESCRIPTOR,
  WAY_CONDITION,
  WAY_SLEEP,
  WAY_TOKEN,
  WAY_TASK,
  WAY_JOIN
};

/* Events to wait for, none of which happens. */
struct awaited {
  int fd;
  tr_token *token;
  tr_task *task;
  tr_registry *registry;
};

/* One of many rounds: the body enters a wait as it is cancelled. */
struct round {
  enum way way;
  const struct awaited *awaited;
  atomic_int entering;
  tr_status status;
  pthread_mutex_t mutex;
  pthread_cond_t condition;
};

static int body_enters_a_wait(tr_task *self, void *ctx) {
  struct round *round = ctx;
  const struct awaited *awaited = round->awaited;
  if (round->way == WAY_CONDITION) pthread_mutex_lock(&round->mutex);
  atomic_store(&round->entering, 1);
  switch (round->way) {
    case WAY_FD: round->status = tr_wait_fd(awaited->fd, POLLIN, FOREVER); break;
    case WAY_FLAG: round->status = tr_wait_cancelled(FOREVER); break;
    case WAY_SLEEP: round->status = tr_sleep(FOREVER); break;
    case WAY_TOKEN: round->status = tr_token_wait(awaited->token, FOREVER); break;
    case WAY_TASK: round->status = tr_task_wait(awaited->task, FOREVER, NULL); break;
    case WAY_JOIN: round->status = tr_join_all(awaited->registry, FOREVER, NULL); break;
    case WAY_CONDITION:
      do /* as POSIX lets it, a wait may end for no reason */
        round->status = tr_cond_wait(&round->condition, &round->mutex, FOREVER);
      while (round->status == TR_OK && !tr_task_is_cancelled(self));
      pthread_mutex_unlock(&round->mutex);
      break;
    default: {
      int own;
      CHECK_EQ(TR_OK, tr_task_fd(self, &own));
      round->status = is_readable(own, -1) ? TR_ERR_CANCELLED : TR_OK;
    }
  }
  return 0;
}

/* Proves: a cancellation that races with the entry to a wait ends it: for each way to wait, in 10 000
   rounds, with one outcome each (C4, C6, C8, C9).  Why it matters: one lost wake-up in a year is a
   daemon that does not stop.  Catches: "checked, then blocked"; a descriptor made and raised past each
   other; a condition variable broadcast once. */
static void race_with_the_entry(enum way way) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  tr_registry *registry = registry_new(), *other = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *deaf = spawn(other, "deaf", body_deaf, &gate);
  struct awaited awaited = {ends[0], tr_token_create(), deaf, other};
  int rounds = check_under_valgrind() ? 500 : 10000;
  for (int i = 0; i < rounds; i++) {
    struct round round = {way, &awaited, 0, 1, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
    tr_task *task = spawn(registry, "enters", body_enters_a_wait, &round);
    if (i % 4) while (!atomic_load(&round.entering)) continue;
    for (volatile int spin = (i * 7) % 300; spin > 0; spin--) continue;
    CHECK_EQ(TR_OK, tr_task_cancel(task));
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK_EQ(TR_ERR_CANCELLED, round.status);
    tr_task_release(task);
    pthread_cond_destroy(&round.condition);
    pthread_mutex_destroy(&round.mutex);
  }
  gate_open(&gate);
  wait_and_release(deaf);
  tr_token_release(awaited.token);
  registry_finish(registry);
  registry_finish(other);
  close(ends[0]);
  close(ends[1]);
  timer_thread_leaves();
}

CASE(no_cancellation_is_lost_on_the_way_into_a_wait) { race_with_the_entry(WAY_FD); }
CASE(nor_on_the_way_into_a_wait_for_the_flag) { race_with_the_entry(WAY_FLAG); }
CASE(nor_on_the_way_into_poll) { race_with_the_entry(WAY_OWN_DESCRIPTOR); }
CASE(nor_on_the_way_into_a_condition_variable) { race_with_the_entry(WAY_CONDITION); }
CASE(nor_on_the_way_into_a_sleep) { race_with_the_entry(WAY_SLEEP); }
CASE(nor_on_the_way_into_a_wait_for_a_token) { race_with_the_entry(WAY_TOKEN); }
CASE(nor_on_the_way_into_a_wait_for_a_task) { race_with_the_entry(WAY_TASK); }
CASE(nor_on_the_way_into_a_join) { race_with_the_entry(WAY_JOIN); }

/* Proves: every NULL or invalid argument is handled, and reasons say whether they are graceful
   (P4). Why it matters: the boundary is where the errors are. Catches: a crash. */
CASE(nonsense_is_rejected) {
  int fd = -7;
  tr_token *token = tr_token_create();
  CHECK_EQ(TR_ERR_INVALID, tr_token_fd(NULL, &fd));
  CHECK_EQ(TR_ERR_INVALID, tr_token_fd(token, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_fd(NULL, &fd));
  CHECK_EQ(TR_ERR_INVALID, tr_task_fd(NULL, NULL));
  CHECK_EQ(-7, fd);
  tr_token_release(token);
  for (tr_reason reason = 0; reason < 300; reason++)
    CHECK_EQ(reason != TR_REASON_FATAL, tr_reason_is_graceful(reason));
}

/* Proves: descriptors of the library are never 0, 1 or 2, also where those are closed, and work
   (C6). Why it matters: a daemon that was started with its output closed would print into them, and
   what it prints would look like a cancellation. Catches: returning the result of eventfd(2)
   unchanged. */
CASE(descriptors_are_never_the_standard_ones) {
  int kept[3];
  for (int fd = 0; fd < 3; fd++) {
    kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    close(fd);
  }
  for (int i = 0; i < 5; i++) {
    tr_token *token = tr_token_create();
    int fd = -1;
    CHECK_EQ(TR_OK, tr_token_fd(token, &fd));
    CHECK(fd > 2);
    CHECK_EQ(O_NONBLOCK, fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
    struct pollfd polled = {fd, POLLIN, 0};
    CHECK_EQ(0, poll(&polled, 1, 0));
    CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, NULL));
    CHECK_EQ(1, poll(&polled, 1, 0));
    tr_token_release(token);
    for (fd = 0; fd < 3; fd++) CHECK(fcntl(fd, F_GETFD) < 0);
  }
  for (int fd = 0; fd < 3; fd++) {
    if (kept[fd] < 0) continue;
    dup2(kept[fd], fd);
    close(kept[fd]);
  }
}

CHECK_MAIN(
    CHECK_ENTRY(descriptor_of_a_token_shows_its_cancellation),
    CHECK_ENTRY(late_descriptors_and_those_of_children_are_readable),
    CHECK_ENTRY(descriptor_of_a_task_shows_every_way_to_be_stopped),
    CHECK_ENTRY(descriptors_go_with_their_tasks),
    CHECK_ENTRY(descriptors_may_be_refused),
    CHECK_ENTRY(wait_for_a_descriptor_ends_with_what_comes_first),
    CHECK_ENTRY(the_flag_comes_before_the_descriptor),
    CHECK_ENTRY(waiting_for_the_flag_needs_a_task),
    CHECK_ENTRY(no_cancellation_is_lost_on_the_way_into_a_wait),
    CHECK_ENTRY(nor_on_the_way_into_a_wait_for_the_flag),
    CHECK_ENTRY(nor_on_the_way_into_poll),
    CHECK_ENTRY(nor_on_the_way_into_a_condition_variable),
    CHECK_ENTRY(nor_on_the_way_into_a_sleep),
    CHECK_ENTRY(nor_on_the_way_into_a_wait_for_a_token),
    CHECK_ENTRY(nor_on_the_way_into_a_wait_for_a_task),
    CHECK_ENTRY(nor_on_the_way_into_a_join),
    CHECK_ENTRY(nonsense_is_rejected),
    CHECK_ENTRY(descriptors_are_never_the_standard_ones))
