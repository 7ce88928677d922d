/* 06-service/connection.c - receives requests, has them executed, sends the answers.

   All of it runs in the task of the connection and touches that connection and the counter of requests.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* POSIX calls under -std=c11 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "connection.h"
#include "commands.h"

#define IDLE_LIMIT_MS 60000     /* a silent connection is closed after this */
#define SEND_LIMIT_MS 10000     /* a client that reads nothing is given up after this... */
#define SEND_LIMIT_STOP_MS 500  /* ...or after this when the service is stopping */
#define LINGER_MS 100           /* how long a closing connection waits for the client to close... */
#define LINGER_ABORT_MS 20      /* ...or this long when the task is told to abort */

void connection_drop(void *ctx) {
  struct connection *c = ctx;

  close(c->fd);
  free(c);
}

/* Send all of data, which may take several calls. A failure stays recorded in c->broken. */
static void send_all(const tr_task *self, struct connection *c, const char *data, size_t length) {
  int64_t last_progress = now_ms();

  while (length > 0 && c->broken == 0) {
    /* MSG_NOSIGNAL: a client that has hung up is EPIPE, not a SIGPIPE. */
    ssize_t sent = send(c->fd, data, length, MSG_NOSIGNAL);
    if (sent >= 0) {
      data += sent;
      length -= (size_t)sent;
      last_progress = now_ms();
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      /* A response is not cut off because the task was asked to stop; only the limit is shorter. It is
         cut off when the task is told to abort. */
      int limit = tr_task_is_cancelled(self) ? SEND_LIMIT_STOP_MS : SEND_LIMIT_MS;
      int64_t left = last_progress + limit - now_ms();
      tr_status status = tr_wait_fd(c->fd, POLLOUT, TR_MILLISECONDS(left > 0 ? left : 0));
      if (status == TR_ERR_CANCELLED ? tr_begin_drain() != TR_OK : status != TR_OK) {
        c->broken = ETIMEDOUT;
      }
    } else if (errno != EINTR) {
      c->broken = errno;
    }
  }
}

static void flush(const tr_task *self, struct connection *c) {
  size_t length = c->output_used;

  c->output_used = 0;
  send_all(self, c, c->output, length);
}

/* Collect output, so that a response (or those to pipelined requests) goes out in one piece. */
static void put(const tr_task *self, struct connection *c, const char *data, size_t length) {
  if (length > sizeof c->output - c->output_used) {
    flush(self, c);
  }
  if (length > sizeof c->output) {
    send_all(self, c, data, length);
  } else {
    memcpy(c->output + c->output_used, data, length);
    c->output_used += length;
  }
}

void respond_with(const tr_task *self, struct connection *c, int code, const char *type,
                  const char *text) {
  const char *mark = code >= 400 ? "ERROR " : "";
  size_t length = strlen(mark) + strlen(text) + 1;

  atomic_fetch_add(&service.requests, 1);
  if (c->request.http) {
    char head[256];
    int head_length;

    c->request.keep_alive = c->request.keep_alive && !tr_task_is_cancelled(self);
    head_length = snprintf(head, sizeof head,
                           "HTTP/1.1 %d %s\r\nContent-Type: %s; charset=utf-8\r\n"
                           "Content-Length: %zu\r\nConnection: %s\r\n\r\n",
                           code, code == 200 ? "OK" : "Error", type, length,
                           c->request.keep_alive ? "keep-alive" : "close");
    put(self, c, head, (size_t)head_length);
    if (c->request.head_only) {
      return;
    }
  }
  put(self, c, mark, strlen(mark));
  put(self, c, text, strlen(text));
  put(self, c, "\n", 1);
}

void respond(const tr_task *self, struct connection *c, int code, const char *text) {
  respond_with(self, c, code, "text/plain", text);
}

/* Execute the first request of c->input, if all of it is there, and remove it. Returns 1 if it was,
   0 if more input is needed. */
static int execute_next(tr_task *self, struct connection *c) {
  size_t used = request_parse(c->input, c->input_used, &c->request);

  if (used == 0) {
    return 0;
  }
  if (c->request.error != 0) {
    respond(self, c, c->request.error, c->request.why);
  } else if (*c->request.command != '\0') {
    execute(self, c, c->request.command, c->request.argument);
  }
  c->input_used -= used;
  memmove(c->input, c->input + used, c->input_used);
  return 1;
}

/* Say that nothing more will come and wait a little for the client to close. Closing at once would
   reset the connection if the client has sent more, and it might lose our last response. */
static void linger(const tr_task *self, struct connection *c) {
  int64_t deadline =
      now_ms() + (tr_task_stop_level(self) == TR_STOP_ABORT ? LINGER_ABORT_MS : LINGER_MS);
  struct pollfd readable = {.fd = c->fd, .events = POLLIN};

  if (shutdown(c->fd, SHUT_WR) != 0) {
    return;
  }
  for (int64_t left; (left = deadline - now_ms()) > 0;) {
    int ready = poll(&readable, 1, (int)left);
    if (ready > 0) {
      ssize_t got = recv(c->fd, c->input, sizeof c->input, 0);
      if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
        return;
      }
    } else if (ready == 0 || errno != EINTR) {
      return;
    }
  }
}

int connection_run(tr_task *self, void *ctx) {
  struct connection *c = ctx;
  int stopping = 0;

  while (c->request.keep_alive && !stopping) {
    tr_status status;

    /* Asked to stop during the last request, which may have begun to drain: then nothing but an abort
       ends a wait. */
    stopping = tr_task_is_cancelled(self);
    status = tr_wait_fd(c->fd, POLLIN, stopping ? 0 : TR_MILLISECONDS(IDLE_LIMIT_MS));
    if (status == TR_ERR_TIMEDOUT) {
      break;
    }
    /* What has arrived when the flag rises is still answered, and whatever the client goes on
       sending, there is no second round. */
    stopping = stopping || status == TR_ERR_CANCELLED;
    if (status != TR_OK && status != TR_ERR_CANCELLED) {
      TR_IGNORE(tr_task_set_message(self, tr_strerror(status)));
      return 1;
    }
    ssize_t got = recv(c->fd, c->input + c->input_used, sizeof c->input - c->input_used, 0);
    if (got == 0 || (got < 0 && errno == ECONNRESET)) {
      return 0; /* the client is done */
    }
    if (got < 0) {
      if (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) {
        continue;
      }
      return fail_task(self, "recv");
    }
    c->input_used += (size_t)got;
    while (c->request.keep_alive && c->broken == 0 && execute_next(self, c)) {
    }
    if (c->request.keep_alive && c->input_used == sizeof c->input) {
      c->request.keep_alive = 0;
      respond(self, c, 431, "the request is too long");
    }
    flush(self, c);
    if (c->broken != 0) {
      errno = c->broken; /* a client that hangs up is normal; the rest is logged */
      return errno == EPIPE || errno == ECONNRESET ? 0 : fail_task(self, "send");
    }
  }
  linger(self, c);
  return 0;
}
