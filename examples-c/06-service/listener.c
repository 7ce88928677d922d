/* 06-service/listener.c - accepts connections and spawns a task for each.

   main calls open_listener before there are tasks. All else runs in the task "listener" and touches its
   socket, the counters, and a new connection until the task of that connection has been spawned.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* accept4 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "listener.h"
#include "connection.h"
#include "service.h"

int open_listener(long *port) {
  struct sockaddr_in address = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)*port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  const int on = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

  if (fd < 0) {
    return -1;
  }
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, SOMAXCONN) != 0 ||
      getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
  }
  *port = ntohs(address.sin_port);
  return fd;
}

/* Send a client the answer that it cannot be served, in a form that suits both protocols, and close
   the connection. This never waits: other clients are waiting to be accepted. */
static void refuse(int fd, const char *why) {
  char text[256], unread[1024];
  int length = snprintf(text, sizeof text,
                        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
                        "Content-Length: %zu\r\nConnection: close\r\n\r\nERROR %s\n",
                        strlen(why) + 7, why);

  atomic_fetch_add(&service.refused, 1);
  if (send(fd, text, (size_t)length, MSG_NOSIGNAL) == length && shutdown(fd, SHUT_WR) == 0) {
    while (recv(fd, unread, sizeof unread, 0) > 0) {
      /* Unread input would turn the close into a reset, which may overtake the answer. */
    }
  }
  close(fd);
}

/* Spawn the task of a new connection. */
static void start_connection(int fd, const struct sockaddr_in *peer) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  struct connection *c = malloc(sizeof *c);
  char address[INET_ADDRSTRLEN] = "?";
  const int on = 1;
  tr_status status;

  if (c == NULL) {
    refuse(fd, "out of memory");
    return;
  }
  (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* only a matter of speed */
  (void)inet_ntop(AF_INET, &peer->sin_addr, address, sizeof address);
  c->fd = fd;
  snprintf(c->name, sizeof c->name, "peer %s:%u", address, (unsigned)ntohs(peer->sin_port));
  c->broken = 0;
  c->request = (struct request){.keep_alive = 1};
  c->input_used = c->output_used = 0;

  options.drop = connection_drop;
  options.phase = PHASE_PEERS;
  /* At the limit a moment's patience, in which clients wait in the socket's queue, is better than a refusal. */
  options.room_wait_ns = TR_MILLISECONDS(200);
  status = tr_spawn_with(service.peers, c->name, TR_KIND_PEER_CONNECTION, connection_run, c,
                         &options, NULL);
  if (status == TR_OK) {
    atomic_fetch_add(&service.accepted, 1); /* c is the task's now: do not touch it any more */
    return;
  }
  free(c); /* rejected: c and its descriptor are still ours */
  refuse(fd, status == TR_ERR_LIMIT ? "too many connections"
             : status == TR_ERR_CLOSED || status == TR_ERR_CANCELLED
                 ? "the service is stopping"
                 : tr_strerror(status));
}

void listener_drop(void *ctx) {
  close((int)(intptr_t)ctx);
}

int listener_run(tr_task *self, void *ctx) {
  int fd = (int)(intptr_t)ctx;
  tr_status status;

  while ((status = tr_wait_fd(fd, POLLIN, TR_FOREVER)) == TR_OK) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int client = accept4(fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (client >= 0) {
      start_connection(client, &peer);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      /* The connection stays in the queue, so poll would return at once: pause for 100 ms. */
      fprintf(stderr, "listener: accept: %s\n", strerror(errno));
      TR_IGNORE(tr_sleep(TR_MILLISECONDS(100))); /* the wait checks the flag itself */
    } else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
      return fail_task(self, "accept"); /* which stops the service, as this task is essential */
    } /* else: EINTR, EAGAIN, ECONNABORTED, errors of that one connection: go on */
  }
  return 0;
}
