/* 06-service/upstream.c - asks another server, and shows how a task drains.

   All of it runs in the task of the connection that waits for the answer. When the service stops, the
   request goes on; if the other server hangs, it ends when the task is told to abort, so that the client
   still gets an answer.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* POSIX calls under -std=c11 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "upstream.h"

#define ANSWER_LIMIT_MS 30000 /* how long the other server may take, for each step */

static int code_of(tr_status status) {
  return status == TR_ERR_TIMEDOUT ? 504 : status == TR_ERR_CANCELLED ? 503 : 502;
}

/* Connect, which may take until the socket is writable. */
static tr_status connect_to(int fd, long port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int error = 0;
  socklen_t size = sizeof error;
  tr_status status;

  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) {
    return TR_OK;
  }
  if (errno != EINPROGRESS) {
    return TR_ERR_SYSTEM;
  }
  status = wait_draining(fd, POLLOUT, ANSWER_LIMIT_MS);
  if (status == TR_OK && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)) {
    return TR_ERR_SYSTEM;
  }
  return status;
}

/* Receive up to the first newline, which is not kept. */
static tr_status receive_line(int fd, char *line, size_t size) {
  size_t used = 0;

  while (used + 1 < size) {
    tr_status status = wait_draining(fd, POLLIN, ANSWER_LIMIT_MS);
    ssize_t got;
    char *end;

    if (status != TR_OK) {
      return status;
    }
    got = recv(fd, line + used, size - 1 - used, 0);
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
      return TR_ERR_SYSTEM;
    }
    used += got > 0 ? (size_t)got : 0;
    line[used] = '\0';
    end = strchr(line, '\n');
    if (end != NULL) {
      *end = '\0';
      return TR_OK;
    }
  }
  return TR_ERR_SYSTEM; /* the line is too long */
}

int fetch_line(long port, const char *key, char *answer, size_t size) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  char request[256];
  int length = snprintf(request, sizeof request, "GET %.200s\n", key);
  tr_status status = fd < 0 ? TR_ERR_SYSTEM : connect_to(fd, port);

  TR_IGNORE(tr_checkpoint("waiting for the other server"));
  /* So short a request fits into the empty buffer of a socket. */
  if (status == TR_OK && send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) {
    status = TR_ERR_SYSTEM;
  }
  if (status == TR_OK) {
    status = receive_line(fd, answer, size);
  }
  TR_IGNORE(tr_checkpoint(NULL));
  if (fd >= 0) {
    close(fd);
  }
  return status == TR_OK ? 200 : code_of(status);
}
