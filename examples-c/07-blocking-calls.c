/* 07-blocking-calls.c - stopping tasks that are in blocking calls.

   The flag stops only a task that checks it. Before accept or recv, wait for the descriptor with
   tr_wait_fd; wait on a condition variable with tr_cond_wait; sleep with tr_sleep. Each of these
   ends with its event or when the task is asked to stop, whichever comes first, and no request is
   lost between the check of the flag and the wait. A task with an event loop of its own adds
   tr_task_fd to it. A wait that only a certain call can end is ended by a callback,
   tr_task_on_cancel. A system call for which none of these works is interrupted by a signal.

   How long each took to stop is printed to standard error: microseconds, on an idle machine.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <taskreg.h>

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

static void check_system(int result, const char *call) {
  if (result < 0) {
    perror(call);
    exit(EXIT_FAILURE);
  }
}

/* Accepts connections; none ever arrives. */
static int acceptor(tr_task *self, void *ctx) {
  int listener = *(int *)ctx;

  (void)self;
  while (tr_wait_fd(listener, POLLIN, TR_FOREVER) == TR_OK) {
    int connection = accept(listener, NULL, NULL);
    if (connection >= 0) close(connection);
  }
  return 0;
}

/* Reads what a peer sends: "hello", and then nothing. */
static int reader(tr_task *self, void *ctx) {
  int socket = *(int *)ctx;
  char text[16];

  (void)self;
  while (tr_wait_fd(socket, POLLIN, TR_FOREVER) == TR_OK) {
    ssize_t got = recv(socket, text, sizeof text - 1, 0);
    if (got <= 0) return 1;
    text[got] = '\0';
    printf("reader got \"%s\"\n", text);
    fflush(stdout);
  }
  return 0;
}

/* An event loop of the task's own: its descriptor is one among others. */
static int event_loop(tr_task *self, void *ctx) {
  struct pollfd watched[2] = {{*(int *)ctx, POLLIN, 0}, {-1, POLLIN, 0}};

  check(tr_task_fd(self, &watched[1].fd), "tr_task_fd");
  while (poll(watched, 2, -1) < 0 || watched[1].revents == 0) continue;
  return 0;
}

/* A queue that stays empty. */
struct queue {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int count;
};

static int consumer(tr_task *self, void *ctx) {
  struct queue *queue = ctx;
  tr_status status = TR_OK;

  (void)self;
  pthread_mutex_lock(&queue->lock);
  while (queue->count == 0 && status == TR_OK)
    status = tr_cond_wait(&queue->changed, &queue->lock, TR_FOREVER);
  pthread_mutex_unlock(&queue->lock);
  return status == TR_ERR_CANCELLED ? 0 : 1;
}

static int sleeper(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_sleep(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

static void ring(void *ctx) { sem_post(ctx); }

/* Waits in a way that only a certain call ends, here sem_post. */
static int listener_to_bell(tr_task *self, void *ctx) {
  tr_registration *stop = NULL;
  tr_status status = tr_task_on_cancel(self, ring, ctx, NULL, &stop);

  if (status == TR_ERR_CANCELLED) return 0; /* it was asked to stop before */
  check(status, "tr_task_on_cancel");
  while (!tr_task_is_cancelled(self)) sem_wait(ctx);
  tr_registration_remove(stop); /* after this, ring is not called any more */
  return 0;
}

/* A read without a wait before it, perhaps in the code of a library. The signal is sent when the
   task is asked to stop, and again if it arrived just before the read. */
static int stubborn(tr_task *self, void *ctx) {
  char byte;

  while (!tr_task_is_cancelled(self))
    if (read(*(int *)ctx, &byte, 1) < 0 && errno != EINTR) return 1;
  return 0;
}

/* Ask a task to stop and wait until it has. */
static void stop(const char *name, tr_task *task) {
  struct timespec start, end;
  tr_outcome outcome = TR_OUTCOME_INIT;

  clock_gettime(CLOCK_MONOTONIC, &start);
  check(tr_task_cancel(task), "tr_task_cancel");
  check(tr_task_wait(task, TR_SECONDS(5), &outcome), "tr_task_wait");
  clock_gettime(CLOCK_MONOTONIC, &end);
  tr_task_release(task);
  printf("%s: %s\n", name, tr_ended_name(outcome.how));
  fprintf(stderr, "%s: %.3f ms\n", name,
          (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6);
}

int main(void) {
  struct queue queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  struct sockaddr_in anywhere = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct timespec moment = {0, 100000000};
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2], quiet[2];
  tr_registry *registry = NULL;
  sem_t bell;

  check_system(listener, "socket");
  check_system(bind(listener, (struct sockaddr *)&anywhere, sizeof anywhere), "bind");
  check_system(listen(listener, 8), "listen");
  check_system(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  check_system(pipe(quiet), "pipe");
  check_system(sem_init(&bell, 0, 0), "sem_init");
  check(tr_registry_create(NULL, &registry), "tr_registry_create");
  check(tr_install_cancel_signal(SIGRTMIN + 1), "tr_install_cancel_signal");

  const struct {
    const char *name;
    tr_task_fn body;
    void *ctx;
    int signal;
  } tasks[] = {{"accept", acceptor, &listener, 0},      {"recv", reader, &pair[0], 0},
               {"poll", event_loop, &quiet[0], 0},      {"condition variable", consumer, &queue, 0},
               {"sleep", sleeper, NULL, 0},             {"callback", listener_to_bell, &bell, 0},
               {"read", stubborn, &quiet[0], SIGRTMIN + 1}};
  enum { count = sizeof tasks / sizeof *tasks };
  tr_task *handles[count];

  for (int i = 0; i < count; i++) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.cancel_signal = tasks[i].signal;
    check(tr_spawn_with(registry, tasks[i].name, TR_KIND_BACKGROUND_LOOP, tasks[i].body,
                        tasks[i].ctx, &options, &handles[i]),
          "tr_spawn_with");
  }
  check_system((int)send(pair[1], "hello", 5, 0), "send");
  nanosleep(&moment, NULL); /* all of them are blocked by then */
  printf("blocked: %zu tasks\n", tr_len(registry));
  for (int i = 0; i < count; i++) stop(tasks[i].name, handles[i]);

  check(tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, NULL, TR_FOREVER, NULL), "tr_shutdown");
  tr_registry_release(registry);
  sem_destroy(&bell);
  close(listener);
  close(pair[0]), close(pair[1]);
  close(quiet[0]), close(quiet[1]);
  return EXIT_SUCCESS;
}
