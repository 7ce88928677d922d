/* 07-blocking-calls.c - stopping tasks that sit in blocking calls.

   A flag helps only a task that looks at it. A task that is about to block in accept or recv waits
   for the descriptor with tr_wait_fd first: the wait ends by an event or when the task is asked to
   stop, whichever is first, and no moment between looking and blocking is lost. A task with an event
   loop of its own adds tr_task_fd to it. And what can be woken by a call alone, such as a condition
   variable, is woken by a callback: tr_task_on_cancel.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _POSIX_C_SOURCE 200809L

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
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

/* Accepts connections, of which none ever comes. */
static int acceptor(tr_task *self, void *ctx) {
  int listener = *(int *)ctx;

  (void)self;
  while (tr_wait_fd(listener, POLLIN, -1) == TR_OK) {
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
  while (tr_wait_fd(socket, POLLIN, -1) == TR_OK) {
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

/* A queue that nothing is ever put into. */
struct queue {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int count;
};

static void wake_queue(void *ctx) {
  struct queue *queue = ctx;

  /* The lock is what makes it impossible to come between the look at the flag and the wait. */
  pthread_mutex_lock(&queue->lock);
  pthread_cond_broadcast(&queue->changed);
  pthread_mutex_unlock(&queue->lock);
}

static int consumer(tr_task *self, void *ctx) {
  struct queue *queue = ctx;
  tr_registration *wake = NULL;
  tr_status status = tr_task_on_cancel(self, wake_queue, queue, NULL, &wake);

  if (status == TR_ERR_CANCELLED) return 0; /* asked to stop already */
  check(status, "tr_task_on_cancel");
  pthread_mutex_lock(&queue->lock);
  while (queue->count == 0 && !tr_task_is_cancelled(self))
    pthread_cond_wait(&queue->changed, &queue->lock);
  pthread_mutex_unlock(&queue->lock);
  tr_off_cancel(wake); /* from here on nobody touches the queue on this task's behalf */
  return 0;
}

/* Nothing to do but to wait for the end. */
static int sentry(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_wait_cancelled(-1) == TR_ERR_CANCELLED ? 0 : 1;
}

int main(void) {
  struct queue queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};
  struct sockaddr_in anywhere = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  struct timespec moment = {0, 100000000};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_registry *registry = NULL;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2], quiet[2];

  check_system(listener, "socket");
  check_system(bind(listener, (struct sockaddr *)&anywhere, sizeof anywhere), "bind");
  check_system(listen(listener, 8), "listen");
  check_system(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
  check_system(pipe(quiet), "pipe");
  check(tr_registry_create(NULL, &registry), "tr_registry_create");

  check(tr_spawn(registry, "acceptor", TR_KIND_BACKGROUND_LOOP, acceptor, &listener, NULL),
        "tr_spawn");
  check(tr_spawn(registry, "reader", TR_KIND_PEER_CONNECTION, reader, &pair[0], NULL), "tr_spawn");
  check(tr_spawn(registry, "event loop", TR_KIND_BACKGROUND_LOOP, event_loop, &quiet[0], NULL),
        "tr_spawn");
  check(tr_spawn(registry, "consumer", TR_KIND_BACKGROUND_LOOP, consumer, &queue, NULL), "tr_spawn");
  check(tr_spawn(registry, "sentry", TR_KIND_MAINTENANCE, sentry, NULL, NULL), "tr_spawn");

  check_system((int)send(pair[1], "hello", 5, 0), "send");
  nanosleep(&moment, NULL); /* by now all of them block */
  printf("blocked: %zu tasks\n", tr_len(registry));

  check(tr_shutdown(registry, TR_REASON_USER_REQUESTED, "enough", 5000000000, &report),
        "tr_shutdown");
  printf("stopped: %llu tasks, %llu failed, no deadline missed\n", (unsigned long long)report.ended,
         (unsigned long long)report.failed);
  fprintf(stderr, "it took %.3f ms\n", (double)report.elapsed_ns / 1e6);

  tr_registry_release(registry);
  close(listener);
  close(pair[0]), close(pair[1]);
  close(quiet[0]), close(quiet[1]);
  return EXIT_SUCCESS;
}
