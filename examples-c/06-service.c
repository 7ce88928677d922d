/* 06-service.c - a TCP service: how a daemon is written with libtaskreg.

   A small key-value store in memory, reached by lines ("SET colour blue", "GET colour", HELP lists
   them all) or by HTTP/1.1 ("GET /kv/colour", with keep-alive), on 127.0.0.1. Its tasks:

     listener     accepts connections and spawns one task for each; without it the service stops
     heartbeat    prints a line of statistics now and then
     compaction   frees what deleted entries of the store occupy
     deaf         (with --deaf) a task that never listens, to show what happens then
     peers        a group, with a limit of its own:
       peer A:P     one connection: reads requests, answers them
       rpc primes   one expensive request, run beside the connection that waits for it

   SIGUSR1 prints the table of tasks. SIGTERM and SIGINT stop the service: everybody is asked to
   stop, requests that have arrived are answered, and a report tells who did not stop in time. A
   second SIGTERM or SIGINT cuts the grace short, a third ends the process.

   Exit status: 0 when all tasks ended within the grace period, 1 when some did not, 2 when the
   service could not start.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* accept4, strcasestr */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <taskreg.h>

#include "06-request.h" /* what a client wants: a pure function of bytes */
#include "06-store.h"   /* keys and values behind a lock; neither of the two knows of tasks */

#define MS INT64_C(1000000) /* nanoseconds in a millisecond: the library counts in nanoseconds */

#define POLL_MS 100             /* how long a task that sends sits in poll before it looks at its flag */
#define IDLE_LIMIT_MS 60000     /* a connection that says nothing for so long is closed */
#define SEND_LIMIT_MS 10000     /* a client that takes nothing for so long is given up... */
#define SEND_LIMIT_STOP_MS 500  /* ...and for so long when the service is stopping */
#define LINGER_MS 100           /* how long a closing connection waits for the client to close */
#define RPC_LIMIT_MS 30000      /* how long an expensive request may take */
#define PRIMES_LIMIT 5000000    /* the largest argument of PRIMES */
#define STACK_SIZE (256 * 1024) /* bytes of stack for each task */
#define INPUT_SIZE 8192         /* bytes of the longest request: a line, or all HTTP headers */
#define OUTPUT_SIZE 16384       /* bytes of output that are collected before they are sent */
#define KEY_SIZE 128            /* bytes of a key, its NUL included */
#define NAMED_STRAGGLERS 64     /* how many stragglers the report names */

/* ---- The service ------------------------------------------------------------------------- */

/* The one service of this program. It is static on purpose: after a shutdown that was not graceful
   abandoned tasks still run while main returns, and what they use has to outlive main's frame. */
static struct service {
  tr_registry *registry;  /* the first four do not change once tasks run */
  tr_registry *peers;     /* the group of connections and their requests */
  int64_t heartbeat_ns;   /* time between two heartbeats, in nanoseconds */
  int64_t compaction_ns;  /* time between two compactions, in nanoseconds */
  atomic_uint_fast64_t accepted, refused, requests;
  struct store store;     /* has a lock of its own */
} service = {.store = STORE_INIT};

static int64_t now_ms(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* End the calling task as failed, with a message for its outcome and for the log. */
static int fail_task(tr_task *self, const char *call) {
  char message[128];

  snprintf(message, sizeof message, "%s: %s", call, strerror(errno));
  (void)tr_task_set_message(self, message); /* it can only fail for a message that is not UTF-8 */
  return 1;
}

/* The library prints nothing by itself; what it has to say goes here, from any thread. */
static void on_event(void *log_context, const tr_log_event *event) {
  (void)log_context;
  if (event->event != TR_EVENT_SPAWN_REFUSED) { /* the listener counts those */
    fprintf(stderr, "log: %s: %s%s%s\n", tr_event_name(event->event), event->task,
            event->task[0] != '\0' ? ": " : "", event->message);
  }
}

/* ---- The table of tasks ------------------------------------------------------------------ */

static int by_id(const void *a, const void *b) {
  uint64_t left = ((const tr_task_summary *)a)->id, right = ((const tr_task_summary *)b)->id;

  return left < right ? -1 : left > right;
}

/* Return the table of live tasks as text of *length bytes, which the caller frees; NULL without
   memory. */
static char *format_tasks(size_t *length) {
  tr_task_summary *tasks = NULL;
  size_t capacity = 32, count = 0;
  tr_status status;
  char *text = NULL;
  FILE *out;

  do { /* tasks come and go meanwhile: grow the array until it is large enough */
    tr_task_summary *larger = realloc(tasks, capacity * sizeof *tasks);
    if (larger == NULL) {
      free(tasks);
      return NULL;
    }
    tasks = larger;
    tasks[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT; /* tells the library an element's size */
    status = tr_snapshot(service.registry, tasks, capacity, &count);
    capacity = count + count / 4 + 8;
  } while (status == TR_ERR_TRUNCATED);

  out = status == TR_OK ? open_memstream(&text, length) : NULL;
  if (out == NULL) {
    free(tasks);
    return NULL;
  }
  qsort(tasks, count, sizeof *tasks, by_id);
  fprintf(out, "%8s %8s %10s  %-10s  %-15s  %s\n", "ID", "THREAD", "AGE/ms", "STATE", "KIND",
          "NAME");
  for (size_t i = 0; i < count; i++) {
    fprintf(out, "%8" PRIu64 " %8" PRId32 " %10" PRId64 "  %-10s  %-15s  %s%s%s\n", tasks[i].id,
            tasks[i].thread_id, tasks[i].age_ns / MS, tr_state_name(tasks[i].state),
            tr_kind_name(tasks[i].kind), tasks[i].group, tasks[i].group[0] != '\0' ? "/" : "",
            tasks[i].name);
  }
  fprintf(out, "%zu tasks\n", count);
  free(tasks);
  if (fclose(out) != 0) {
    free(text);
    return NULL;
  }
  return text;
}

/* ---- The expensive request: a handler task ----------------------------------------------- */

/* A job has two owners, the connection that asked and the task that works: either may be the last
   one, because a connection that is asked to stop, or whose time is up, waits no longer. */
struct job {
  atomic_int owners;
  uint32_t limit;
  uint32_t result; /* written by the task, read by the connection once the task has ended; */
  int done;        /* so is this: the count is complete */
};

static void job_release(void *ctx) {
  struct job *job = ctx;

  if (atomic_fetch_sub(&job->owners, 1) == 1) {
    free(job);
  }
}

/* Count the primes below job->limit. Nothing in it waits, and so it looks at its flag every now and
   then. */
static int primes_run(tr_task *self, void *ctx) {
  struct job *job = ctx;
  uint32_t primes = job->limit > 2 ? 1 : 0;

  for (uint32_t n = 3; n < job->limit; n += 2) {
    uint32_t divisor = 3;

    if (n % 1024 == 1 && tr_task_is_cancelled(self)) {
      return 0; /* to stop when asked is no failure: the job is just not done */
    }
    while (divisor * divisor <= n && n % divisor != 0) {
      divisor += 2;
    }
    primes += divisor * divisor > n;
  }
  job->result = primes;
  job->done = 1;
  return 0;
}

/* Count the primes below `limit` in a task of its own and wait for it. Returns 200 and the count,
   or an HTTP status that says why there is none. */
static int count_primes(tr_task *self, uint32_t limit, uint32_t *result) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  struct job *job = malloc(sizeof *job);
  tr_task *handler = NULL;
  tr_status status;
  int code;

  if (job == NULL) {
    return 500;
  }
  atomic_init(&job->owners, 2);
  job->limit = limit;
  job->result = 0;
  job->done = 0;
  options.drop = job_release; /* the handler's share; it is dropped after pthread_exit too */
  status = tr_spawn_with(service.peers, "rpc primes", TR_KIND_RPC_HANDLER, primes_run, job,
                         &options, &handler);
  if (status == TR_OK) {
    status = tr_task_wait(handler, RPC_LIMIT_MS * MS, NULL);
    if (status != TR_OK) { /* its time is up, or this connection was asked to stop */
      (void)tr_task_cancel(handler); /* it will see its flag, end, and release its share */
    }
    tr_task_release(handler);
  } else {
    job_release(job); /* refused: nothing has run, and the handler's share is still ours */
    if (status != TR_ERR_CLOSED) {
      (void)primes_run(self, job); /* no task to be had: the connection does the work itself */
      status = TR_OK;
    }
  }
  code = status == TR_ERR_TIMEDOUT ? 504 : 503;
  if (status == TR_OK && job->done) {
    *result = job->result;
    code = 200;
  }
  job_release(job);
  return code;
}

/* ---- Connections: input and output ------------------------------------------------------- */

struct connection {
  int fd;                 /* non-blocking; closed by connection_drop and nowhere else */
  int broken;             /* 0, or the errno with which the client was lost */
  char name[64];          /* "peer 127.0.0.1:43210", the name of the task too */
  struct request request; /* the current one */
  size_t input_used, output_used;
  char input[INPUT_SIZE], output[OUTPUT_SIZE];
};

/* Runs when the task has ended, however it ended: returned or pthread_exit. */
static void connection_drop(void *ctx) {
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
      struct pollfd writable = {.fd = c->fd, .events = POLLOUT};
      /* Being asked to stop is no reason to cut off a response; it only shortens the patience. */
      int limit = tr_task_is_cancelled(self) ? SEND_LIMIT_STOP_MS : SEND_LIMIT_MS;
      if (now_ms() - last_progress > limit) {
        c->broken = ETIMEDOUT;
      } else if (poll(&writable, 1, POLL_MS) < 0 && errno != EINTR) {
        c->broken = errno;
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

/* Answer the current request: with a line, or with an HTTP response. `text` has no newline at its
   end; `code` is the HTTP status, and 400 or more makes it an error. */
static void respond(const tr_task *self, struct connection *c, int code, const char *text) {
  const char *mark = code >= 400 ? "ERROR " : "";
  size_t length = strlen(mark) + strlen(text) + 1;

  atomic_fetch_add(&service.requests, 1);
  if (c->request.http) {
    char head[256];
    int head_length;

    c->request.keep_alive = c->request.keep_alive && !tr_task_is_cancelled(self);
    head_length = snprintf(head, sizeof head,
                           "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                           "Content-Length: %zu\r\nConnection: %s\r\n\r\n",
                           code, code == 200 ? "OK" : "Error", length,
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

/* ---- Connections: requests --------------------------------------------------------------- */

#define TEXT_OF(macro) TEXT_OF_VALUE(macro)
#define TEXT_OF_VALUE(value) #value

static const char help_text[] =
    "commands: SET key value | GET key | DEL key | ECHO text | PRIMES number | PING | TASKS | "
    "SHUTDOWN | QUIT | HELP; by HTTP: GET / | /kv/key | /echo/text | /primes/number | /tasks";

static void run_primes(tr_task *self, struct connection *c, const char *argument) {
  char text[32], *end;
  uint32_t result = 0;
  unsigned long limit;
  int code;

  errno = 0;
  limit = strtoul(argument, &end, 10);
  if (*argument < '0' || *argument > '9' || *end != '\0' || errno != 0 || limit > PRIMES_LIMIT) {
    respond(self, c, 400, "PRIMES takes a number up to " TEXT_OF(PRIMES_LIMIT));
    return;
  }
  code = count_primes(self, (uint32_t)limit, &result);
  snprintf(text, sizeof text, "%" PRIu32, result);
  respond(self, c, code, code == 200   ? text
                         : code == 503 ? "the service is stopping"
                         : code == 504 ? "that took too long"
                                       : "out of memory");
}

/* Execute one command. `argument` is "" when there is none. */
static void execute(tr_task *self, struct connection *c, const char *command, char *argument) {
  char value[INPUT_SIZE];

  if (strcmp(command, "GET") == 0) {
    int found = store_get(&service.store, argument, value, sizeof value) == 0;
    respond(self, c, found ? 200 : 404, found ? value : "no such key");
  } else if (strcmp(command, "SET") == 0 || strcmp(command, "DEL") == 0) {
    char *text = NULL; /* what follows the key */
    if (*command == 'S') {
      text = argument + strcspn(argument, " ");
      if (*text != '\0') {
        *text++ = '\0';
      }
    }
    if (*argument == '\0' || strlen(argument) >= KEY_SIZE) {
      respond(self, c, 400, "a key has 1 to 127 bytes");
    } else if (store_set(&service.store, argument, text) != 0) {
      respond(self, c, 507, "the store is full");
    } else {
      respond(self, c, 200, "OK");
    }
  } else if (strcmp(command, "ECHO") == 0) {
    respond(self, c, 200, argument);
  } else if (strcmp(command, "PRIMES") == 0) {
    run_primes(self, c, argument);
  } else if (strcmp(command, "PING") == 0) {
    respond(self, c, 200, "PONG");
  } else if (strcmp(command, "TASKS") == 0) {
    size_t length = 0;
    char *table = format_tasks(&length);
    if (table != NULL) {
      table[length - 1] = '\0'; /* respond ends the line */
    }
    respond(self, c, table != NULL ? 200 : 500, table != NULL ? table : "out of memory");
    free(table);
  } else if (strcmp(command, "SHUTDOWN") == 0) {
    /* Who cancels the token first has its reason recorded; main notices and does the rest. */
    tr_token_cancel(tr_registry_token(service.registry), TR_REASON_RPC_REQUESTED, c->name);
    respond(self, c, 200, "OK, stopping");
  } else if (strcmp(command, "QUIT") == 0) {
    c->request.keep_alive = 0;
    respond(self, c, 200, "BYE");
  } else if (strcmp(command, "HELP") == 0) {
    respond(self, c, 200, help_text);
  } else {
    respond(self, c, 400, "no such command; HELP lists them");
  }
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

/* ---- Connections: the task --------------------------------------------------------------- */

/* Say that nothing more will come and wait a little for the client to close. Closing at once would
   reset the connection if the client has sent more, and it might lose our last response. */
static void linger(struct connection *c) {
  int64_t deadline = now_ms() + LINGER_MS;
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

static int connection_run(tr_task *self, void *ctx) {
  struct connection *c = ctx;
  int stopping = 0;

  while (c->request.keep_alive && !stopping) {
    tr_status status = tr_wait_fd(c->fd, POLLIN, IDLE_LIMIT_MS * MS);

    if (status == TR_ERR_TIMEDOUT) {
      break;
    }
    /* What has arrived when the flag rises is still answered, and whatever the client goes on
       sending, there is no second round. */
    stopping = status == TR_ERR_CANCELLED;
    if (status != TR_OK && !stopping) {
      (void)tr_task_set_message(self, tr_strerror(status));
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
      errno = c->broken; /* that a client hangs up is nothing special; the rest the log hears of */
      return errno == EPIPE || errno == ECONNRESET ? 0 : fail_task(self, "send");
    }
  }
  linger(c);
  return 0;
}

/* ---- The listener ------------------------------------------------------------------------ */

/* Tell a client that it cannot be served, in a form that suits both protocols, and hang up. This
   never waits: other clients are waiting to be accepted. */
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
  status = tr_spawn_with(service.peers, c->name, TR_KIND_PEER_CONNECTION, connection_run, c,
                         &options, NULL);
  if (status == TR_OK) {
    atomic_fetch_add(&service.accepted, 1); /* c is the task's now: not a look at it any more */
    return;
  }
  free(c); /* refused: c and its descriptor are still ours */
  refuse(fd, status == TR_ERR_LIMIT    ? "too many connections"
             : status == TR_ERR_CLOSED ? "the service is stopping"
                                       : tr_strerror(status));
}

static void listener_drop(void *ctx) { close((int)(intptr_t)ctx); }

static int listener_run(tr_task *self, void *ctx) {
  int fd = (int)(intptr_t)ctx;
  tr_status status;

  while ((status = tr_wait_fd(fd, POLLIN, -1)) == TR_OK) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int client = accept4(fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (client >= 0) {
      start_connection(client, &peer);
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      /* The connection stays in the queue, hence poll would return at once: pause for 100 ms. */
      fprintf(stderr, "listener: accept: %s\n", strerror(errno));
      (void)tr_sleep(100 * MS); /* the wait looks at the flag itself */
    } else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
      return fail_task(self, "accept"); /* which stops the service, as this task is essential */
    } /* else: EINTR, EAGAIN, ECONNABORTED, errors of that one connection: go on */
  }
  return 0;
}

/* ---- The other tasks --------------------------------------------------------------------- */

static int heartbeat_run(tr_task *self, void *ctx) {
  uint64_t before = 0;

  (void)self;
  (void)ctx;
  while (tr_sleep(service.heartbeat_ns) == TR_OK) { /* anything else: asked to stop */
    uint64_t requests = atomic_load(&service.requests);
    printf("heartbeat: %zu tasks, %" PRIu64 " requests, %" PRIu64 " of them in the last %" PRId64
           " ms\n",
           tr_len(service.registry), requests, requests - before, service.heartbeat_ns / MS);
    before = requests;
  }
  return 0;
}

static int compaction_run(tr_task *self, void *ctx) {
  (void)ctx;
  while (tr_sleep(service.compaction_ns) == TR_OK) {
    int64_t start = now_ms();
    size_t freed = 0;

    /* A long job is done in slices, with a look at the flag between two of them. */
    for (size_t slice = 0; slice < STORE_SLICES && !tr_task_is_cancelled(self); slice++) {
      freed += store_compact(&service.store, slice);
    }
    if (freed > 0) {
      printf("compaction: freed %zu deleted entries in %" PRId64 " ms\n", freed, now_ms() - start);
    }
  }
  return 0;
}

/* What a task must not be: one that never looks at its flag, and waits by other means. */
static int deaf_run(tr_task *self, void *ctx) {
  const struct timespec second = {1, 0};

  (void)self;
  (void)ctx;
  for (;;) {
    (void)nanosleep(&second, NULL);
  }
  return 0;
}

/* ---- Start and stop ---------------------------------------------------------------------- */

struct settings {
  long port, grace_ms, max_connections, heartbeat_ms, compaction_ms;
  int deaf;
};

static const char usage[] =
    "Usage: 06-service [option]...\n"
    "A key-value service on 127.0.0.1, by lines and by HTTP. Send HELP to learn its commands.\n"
    "\n"
    "  --port N             TCP port; 0, the default: one that is free\n"
    "  --grace MS           how long a shutdown waits for tasks, in milliseconds (5000)\n"
    "  --max-connections N  connections and expensive requests at the same time (1024)\n"
    "  --heartbeat MS       time between two lines of statistics, in milliseconds (5000)\n"
    "  --compaction MS      time between two compactions, in milliseconds (2000)\n"
    "  --deaf               run a task that ignores being asked to stop\n"
    "  --help               print this and exit\n"
    "\n"
    "Signals: SIGUSR1 prints the table of tasks; SIGTERM and SIGINT stop the service, a second one\n"
    "at once, and a third ends the process.\n"
    "Exit status: 0 graceful, 1 tasks were abandoned, 2 the service could not start.\n";

static long parse_number(const char *name, const char *text, long least, long most) {
  char *end;
  long value;

  errno = 0;
  value = strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || errno != 0 || value < least || value > most) {
    fprintf(stderr, "06-service: --%s takes a number from %ld to %ld\n", name, least, most);
    exit(2);
  }
  return value;
}

static void parse_options(int argc, char **argv, struct settings *settings) {
  static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                          {"grace", required_argument, NULL, 'g'},
                                          {"max-connections", required_argument, NULL, 'm'},
                                          {"heartbeat", required_argument, NULL, 'b'},
                                          {"compaction", required_argument, NULL, 'c'},
                                          {"deaf", no_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
  int index = 0;

  for (int c; (c = getopt_long(argc, argv, "", options, &index)) != -1;) {
    const char *name = options[index].name;
    switch (c) {
    case 'p': settings->port = parse_number(name, optarg, 0, 65535); break;
    case 'g': settings->grace_ms = parse_number(name, optarg, 0, 3600000); break;
    case 'm': settings->max_connections = parse_number(name, optarg, 1, 100000); break;
    case 'b': settings->heartbeat_ms = parse_number(name, optarg, 10, 3600000); break;
    case 'c': settings->compaction_ms = parse_number(name, optarg, 10, 3600000); break;
    case 'd': settings->deaf = 1; break;
    case 'h': fputs(usage, stdout); exit(0);
    default: fputs(usage, stderr); exit(2);
    }
  }
  if (optind < argc) {
    fprintf(stderr, "06-service: unexpected argument: %s\n", argv[optind]);
    exit(2);
  }
}

/* Return a socket that listens on 127.0.0.1, or -1 with errno set. *port becomes the real port. */
static int open_listener(long *port) {
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

/* Spawn the tasks that are there from the start. On TR_OK the listener owns listen_fd. */
static tr_status start_tasks(int listen_fd, int deaf) {
  static const struct {
    const char *name;
    tr_kind kind;
    tr_task_fn body;
  } tasks[] = {{"heartbeat", TR_KIND_BACKGROUND_LOOP, heartbeat_run},
               {"compaction", TR_KIND_MAINTENANCE, compaction_run},
               {"deaf", TR_KIND_MAINTENANCE, deaf_run}};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  tr_status status = TR_OK;

  for (size_t i = 0; i < (deaf ? 3 : 2) && status == TR_OK; i++) {
    status = tr_spawn(service.registry, tasks[i].name, tasks[i].kind, tasks[i].body, NULL, NULL);
  }
  if (status == TR_OK) { /* last: whoever can connect finds the rest running */
    options.drop = listener_drop;
    options.flags = TR_SPAWN_ESSENTIAL_UNLESS_RETURNED; /* a service that cannot accept is of no use */
    status = tr_spawn_with(service.registry, "listener", TR_KIND_BACKGROUND_LOOP, listener_run,
                           (void *)(intptr_t)listen_fd, &options, NULL);
  }
  return status;
}

/* Print the table of tasks whenever SIGUSR1 comes, until the service is to stop: by a signal, a client,
   or a listener that failed. Returns 0, or -1 with errno set. */
static int serve_until_stop(int usr1_fd) {
  struct pollfd fds[2] = {{.fd = usr1_fd, .events = POLLIN}, {.events = POLLIN}};

  if (tr_token_fd(tr_registry_token(service.registry), &fds[1].fd) != TR_OK) {
    return -1;
  }
  while (fds[1].revents == 0) {
    struct signalfd_siginfo info;
    size_t length = 0;
    char *table;

    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) {
        continue;
      }
      return -1;
    }
    if (fds[0].revents != 0 && read(usr1_fd, &info, sizeof info) == sizeof info) {
      table = format_tasks(&length);
      if (table != NULL) {
        fwrite(table, 1, length, stdout); /* one call: no other line gets in between */
        free(table);
      }
    }
  }
  return 0;
}

/* Stop the service and print a report. Returns the program's exit status. */
static int stop(int64_t grace_ms) {
  static tr_task_summary stragglers[NAMED_STRAGGLERS] = {TR_TASK_SUMMARY_INIT};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_token *token = tr_registry_token(service.registry);
  char message[256];
  tr_status status;

  report.stragglers = stragglers; /* the room is ours: the library allocates nothing here */
  report.stragglers_capacity = NAMED_STRAGGLERS;
  /* The token is cancelled already: the reason and the message given then stand. */
  status = tr_shutdown(service.registry, TR_REASON_NONE, NULL, grace_ms * MS, &report);
  if (status != TR_OK && status != TR_ERR_DEADLINE) {
    fprintf(stderr, "tr_shutdown: %s\n", tr_strerror(status));
    return 1;
  }
  tr_token_message(token, message, sizeof message);
  printf("shutdown: %s (%s), grace %" PRId64 " ms, took %" PRId64 " ms\n",
         tr_reason_name(tr_token_reason(token)), message, grace_ms, report.elapsed_ns / MS);
  printf("shutdown: %" PRIu64 " tasks ended (%" PRIu64 " failed, %" PRIu64 " exited), %" PRIu64
         " pending at the deadline (%" PRIu64 " aborted, %" PRIu64 " abandoned), %" PRIu64
         " spawns refused\n",
         report.ended, report.failed, report.exited, report.pending, report.aborted,
         report.abandoned, report.rejected);
  for (uint64_t i = 0; i < report.stragglers_count; i++) {
    printf("straggler: %s%s%s, kind %s, age %" PRId64 " ms, thread %" PRId32 ", %s\n",
           stragglers[i].group, stragglers[i].group[0] != '\0' ? "/" : "", stragglers[i].name,
           tr_kind_name(stragglers[i].kind), stragglers[i].age_ns / MS,
           stragglers[i].thread_id, tr_state_name(stragglers[i].state));
  }
  if (report.pending > report.stragglers_count) {
    printf("straggler: %" PRIu64 " more\n", report.pending - report.stragglers_count);
  }
  printf("served: %" PRIu64 " connections, %" PRIu64 " refused, %" PRIu64 " requests\n",
         (uint64_t)atomic_load(&service.accepted), (uint64_t)atomic_load(&service.refused),
         (uint64_t)atomic_load(&service.requests));
  if (status == TR_ERR_DEADLINE) {
    /* Abandoned tasks still run and use all this: it goes with the process. */
    printf("shutdown: not graceful\n");
    return 1;
  }
  /* No thread is left. */
  store_clear(&service.store);
  (void)tr_shutdown_off_signals(service.registry);
  tr_registry_release(service.peers);
  tr_registry_release(service.registry);
  printf("shutdown: graceful\n");
  return 0;
}

/* Create the registry and its group of connections. */
static tr_status create_registries(long max_connections) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_status status;

  options.stack_size = STACK_SIZE;
  options.log = on_event;
  status = tr_registry_create(&options, &service.registry);
  if (status == TR_OK) { /* the group has the stack size and the log of its parent */
    options = (tr_registry_options)TR_REGISTRY_OPTIONS_INIT;
    options.max_tasks = (uint64_t)max_connections;
    status = tr_registry_child(service.registry, "peers", &options, &service.peers);
  }
  return status;
}

int main(int argc, char **argv) {
  struct settings settings = {0, 5000, 1024, 5000, 2000, 0};
  sigset_t usr1, stop_signals;
  tr_status status;
  int listen_fd, usr1_fd;

  parse_options(argc, argv, &settings);
  setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads a log file or a pipe sees each line at once */
  (void)signal(SIGPIPE, SIG_IGN);   /* a log reader that goes away must not end the service */

  /* SIGUSR1 is blocked before there is any thread and read from a descriptor: what it asks for is
     done by ordinary code. The signals that stop the service are the library's business; they are
     named because those it takes by itself stay ignored where a shell has made them so. */
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  pthread_sigmask(SIG_BLOCK, &usr1, NULL);
  usr1_fd = signalfd(-1, &usr1, SFD_CLOEXEC);

  service.heartbeat_ns = settings.heartbeat_ms * MS;
  service.compaction_ns = settings.compaction_ms * MS;
  listen_fd = usr1_fd >= 0 ? open_listener(&settings.port) : -1;
  if (listen_fd < 0) {
    fprintf(stderr, "06-service: cannot listen: %s\n", strerror(errno));
    return 2;
  }
  status = create_registries(settings.max_connections);
  if (status == TR_OK) {
    status = tr_shutdown_on_signals(service.registry, &stop_signals, NULL);
  }
  if (status == TR_OK) {
    status = start_tasks(listen_fd, settings.deaf);
  }
  if (status != TR_OK) {
    fprintf(stderr, "06-service: cannot start: %s\n", tr_strerror(status));
    return 2; /* what has started ends with the process */
  }
  printf("listening on 127.0.0.1:%ld\n", settings.port);
  if (serve_until_stop(usr1_fd) != 0) {
    perror("06-service: poll");
    return 2;
  }
  return stop(settings.grace_ms);
}
