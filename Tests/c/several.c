/* several.c - a wait for the first of several descriptors: tr_wait_fds. Rule C19. */

#include "support.h"

#include <poll.h>
#include <sys/resource.h>

enum { MANY = 200 };

struct pipes {
  int ends[MANY][2];
  struct pollfd polled[MANY];
};

static void pipes_open(struct pipes *pipes) {
  for (int i = 0; i < MANY; i++) {
    CHECK_EQ(0, pipe(pipes->ends[i]));
    pipes->polled[i] = (struct pollfd){pipes->ends[i][0], POLLIN, 77};
  }
}

static void pipes_close(struct pipes *pipes) {
  for (int i = 0; i < MANY; i++) {
    close(pipes->ends[i][0]);
    close(pipes->ends[i][1]);
  }
}

static void *writes_soon(void *end) {
  breathe();
  CHECK_EQ(1, write(*(int *)end, "x", 1));
  return NULL;
}

/* Proves: whichever of many descriptors is ready, now or later, ends the wait, and is the one that is marked; what is not ready
   is not, a negative one is left out, and no descriptor is a sleep (C19). Why it matters: a listener has an IPv4 and an IPv6
   socket. Catches: a wait for the first one; a mark that is not stored, or that is left from before. */
CASE(the_first_that_is_ready_ends_the_wait) {
  static struct pipes pipes;
  pipes_open(&pipes);
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fds(pipes.polled, MANY, 0));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fds(pipes.polled, MANY, 2 * MS));
  CHECK_EQ(77, pipes.polled[0].revents);
  for (int i = MANY - 1; i >= 0; i -= 33) { /* the last one, too */
    pthread_t thread = thread_start(writes_soon, &pipes.ends[i][1]);
    CHECK_EQ(TR_OK, tr_wait_fds(pipes.polled, MANY, FOREVER));
    thread_end(thread);
    for (int k = 0; k < MANY; k++) CHECK_EQ(k == i ? POLLIN : 0, pipes.polled[k].revents);
    char byte;
    CHECK_EQ(1, read(pipes.ends[i][0], &byte, 1));
  }
  CHECK_EQ(1, write(pipes.ends[0][1], "x", 1));
  pipes.polled[0].fd = -1;
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fds(pipes.polled, MANY, 0));
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fds(NULL, 0, 5 * MS));
  CHECK(now_ns() - start >= 5 * MS);
  CHECK_EQ(TR_ERR_INVALID, tr_wait_fds(NULL, 1, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_wait_fds(pipes.polled, (size_t)-1, 0));
  if (!check_under_valgrind()) { /* which keeps this limit to itself */
    struct rlimit few = {64, 64};
    CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_wait_fds(pipes.polled, MANY, 0));
    CHECK_EQ(EINVAL, errno);
  }
  pipes_close(&pipes);
}

/* Proves: a descriptor that is not open is an invalid call, and which one it is can be read (C19, P4). Why it matters: poll
   would return at once, again and again. Catches: a wait that goes on, or does not say which. */
CASE(one_that_is_not_open_is_marked) {
  static struct pipes pipes;
  pipes_open(&pipes);
  close(pipes.ends[7][0]);
  CHECK_EQ(TR_ERR_INVALID, tr_wait_fds(pipes.polled, MANY, FOREVER));
  for (int k = 0; k < MANY; k++) CHECK_EQ(k == 7 ? POLLNVAL : 0, pipes.polled[k].revents);
  close(pipes.ends[7][1]);
  pipes.ends[7][0] = pipes.ends[7][1] = -1;
  pipes_close(&pipes);
}

struct listener {
  struct pipes *pipes;
  struct gate started;
  int drains;
};

static int listens(tr_task *self, void *ctx) {
  struct listener *listener = ctx;
  (void)self;
  if (listener->drains) CHECK_EQ(TR_OK, tr_begin_drain());
  gate_arrive(&listener->started);
  CHECK_EQ(TR_ERR_CANCELLED, tr_wait_fds(listener->pipes->polled, MANY, FOREVER));
  CHECK_EQ(77, listener->pipes->polled[0].revents);
  return 0;
}

/* Proves: the flag of the calling task ends the wait, that of a draining one at abort, and before anything that is ready; a
   report says that the task is idle, and how many descriptors it waits for (C19, C16, E15). Why it matters: a busy peer must
   not keep a listener from stopping. Catches: a flag that is not polled, or that is stored in the caller's array. */
CASE(the_flag_ends_the_wait) {
  static struct pipes pipes;
  pipes_open(&pipes);
  tr_registry *registry = registry_new();
  for (int drains = 0; drains < 2; drains++) {
    struct listener listener = {&pipes, GATE_INIT, drains};
    tr_task *task = spawn(registry, "listener", listens, &listener);
    gate_await(&listener.started, 1);
    tr_report *report = NULL;
    tr_straggler straggler = TR_STRAGGLER_INIT;
    do {
      breathe();
      tr_report_release(report);
      CHECK_EQ(TR_OK, tr_explain(registry, &report));
      CHECK_EQ(TR_OK, tr_report_straggler(report, 0, &straggler));
      /* at first it may look busy: creating its thread counts */
    } while (straggler.library_wait != TR_LIBRARY_WAIT_DESCRIPTORS || straggler.diagnosis != TR_DIAGNOSIS_IDLE);
    CHECK(straggler.waits_for == TR_WAITS_DESCRIPTORS && straggler.wait_count == MANY);
    CHECK_EQ(MANY, straggler.library_wait_object);
    char text[8192];
    size_t length;
    CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
    CHECK_MSG(strstr(text, "idle in tr_wait_fds for ") != NULL, "%.400s", text);
    tr_report_release(report);
    CHECK_EQ(TR_OK, drains ? tr_task_abort(task) : tr_task_cancel(task));
    wait_and_release(task);
  }
  CHECK_EQ(1, write(pipes.ends[3][1], "x", 1));
  struct listener listener = {&pipes, GATE_INIT, 0};
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_adopt(registry, "listener", 1, NULL, &task));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(0, listens(task, &listener));
  CHECK_EQ(TR_OK, tr_leave());
  tr_task_release(task);
  registry_finish(registry);
  pipes_close(&pipes);
}

CHECK_MAIN(CHECK_ENTRY(the_first_that_is_ready_ends_the_wait), CHECK_ENTRY(one_that_is_not_open_is_marked),
           CHECK_ENTRY(the_flag_ends_the_wait))
