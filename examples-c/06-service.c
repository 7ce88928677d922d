/* 06-service.c - a TCP service: how a daemon is written with libtaskreg.

   A small key-value store in memory, reached by lines ("SET colour blue", "GET colour", HELP lists
   them all) or by HTTP/1.1 ("GET /kv/colour", with keep-alive), on 127.0.0.1. Its tasks, by the phase
   of a shutdown that stops them:

     0  listener     accepts connections and spawns one task for each; without it the service stops
     1  peers        a group, with a limit of its own:
          peer A:P     one connection: reads requests, answers them
          rpc primes   one expensive request, run beside the connection that waits for it
     2  heartbeat    prints a line of statistics now and then, and promises to
        compaction   frees what deleted entries of the store occupy
        read, ...    (with --stuck) tasks that do not behave, to show what happens then
     7  journal      (with --journal) writes changes to a file; last, as all the others make some

   What it is doing can be asked at any time: /tasks, /tasks.json and SIGUSR1 list the tasks, SIGUSR2
   prints what each of them is at, /metrics has counters and durations, /stats a line of them, /health says whether a task
   misses its heartbeats. SIGTERM and SIGINT stop the service: everybody is asked to stop, requests that
   have arrived are answered, and a report tells who did not stop in time, and why. A second SIGTERM or
   SIGINT cuts the grace short, a third ends the process.

   Exit status: 0 when all tasks ended within the grace period, 1 when some did not, or the service
   stopped because something failed, 2 when it could not start.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* accept4, strcasestr */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <taskreg.h>

/* None of these knows of tasks. */
#include "06-journal.h" /* changes on their way to a file */
#include "06-request.h" /* what a client wants: a pure function of bytes */
#include "06-store.h"   /* keys and values behind a lock */

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
#define NAMED_STALLED 8         /* how many stalled tasks /health names */

/* When a shutdown stops a task: who makes work for others stops before them. */
enum phase { PHASE_LISTENER = 0, PHASE_PEERS = 1, PHASE_UPKEEP = 2, PHASE_JOURNAL = TR_PHASES - 1 };

/* ---- The service ------------------------------------------------------------------------- */

/* The one service of this program. It is static on purpose: after a shutdown that was not graceful
   abandoned tasks still run while main returns, and what they use has to outlive main's frame. */
static struct service {
  tr_registry *registry;   /* the first four do not change once tasks run */
  tr_registry *peers;      /* the group of connections and their requests */
  int64_t heartbeat_ns;    /* time between two heartbeats, in nanoseconds */
  int64_t compaction_ns;   /* time between two compactions, in nanoseconds */
  atomic_uint_fast64_t accepted, refused, requests;
  pthread_mutex_t changes; /* held for one change of store and journal; taken before their locks */
  struct store store;      /* has a lock of its own */
  struct journal journal;  /* so has this */
} service = {
    .changes = PTHREAD_MUTEX_INITIALIZER, .store = STORE_INIT, .journal = JOURNAL_INIT};

static int64_t now_ms(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* End the calling task as failed, with a message for its outcome and for the log. */
static int fail_task(tr_task *self, const char *call) {
  char message[128];

  snprintf(message, sizeof message, "%s: %s", call, strerror(errno));
  TR_IGNORE(tr_task_set_message(self, message)); /* it can only fail for a message that is not UTF-8 */
  return 1;
}

/* The library prints nothing by itself; what it has to say goes here, from any thread. */
static void on_event(void *log_context, const tr_log_event *event) {
  (void)log_context;
  if (event->event != TR_EVENT_SPAWN_REJECTED) { /* the listener counts those */
    fprintf(stderr, "log: %s: %s%s%s\n", tr_event_name(event->event), event->task,
            event->task[0] != '\0' ? ": " : "", event->message);
  }
}

/* ---- What the service is doing ------------------------------------------------------------ */

/* The library writes to descriptors. Return what `write_to`, which is tr_snapshot_write or
   tr_metrics_write, writes in `format`, without the newline at its end, for the caller to free; NULL
   when that cannot be had. */
static char *text_of(tr_status (*write_to)(tr_registry *, int, uint32_t), uint32_t format) {
  int fd = memfd_create("06-service", MFD_CLOEXEC);
  char *text = NULL;
  off_t length = 0;

  if (fd < 0) {
    return NULL;
  }
  if (write_to(service.registry, fd, format) == TR_OK && (length = lseek(fd, 0, SEEK_CUR)) > 0) {
    text = malloc((size_t)length);
  }
  if (text != NULL && pread(fd, text, (size_t)length, 0) == (ssize_t)length) {
    text[length - 1] = '\0';
  } else {
    free(text);
    text = NULL;
  }
  close(fd);
  return text;
}

/* Print the table of tasks, or a report of what each of them is at. No line of another thread's gets in
   between. */
static void print_tasks(int with_report) {
  tr_report *report = NULL;
  tr_status status = with_report ? tr_explain(service.registry, &report) : TR_OK;

  flockfile(stdout);
  fflush(stdout);
  if (report != NULL) {
    status = tr_report_write(report, STDOUT_FILENO, TR_FORMAT_TEXT);
  } else if (status == TR_OK) {
    status = tr_snapshot_write(service.registry, STDOUT_FILENO, TR_FORMAT_TEXT);
  }
  funlockfile(stdout);
  if (status != TR_OK) {
    fprintf(stderr, "06-service: cannot print the tasks: %s\n", tr_strerror(status));
  }
  tr_report_release(report);
}

/* Say in `text` whether every task keeps its promise to beat, and who does not. Returns an HTTP
   status. */
static int check_health(char *text, size_t capacity) {
  tr_task_summary stalled[NAMED_STALLED] = {TR_TASK_SUMMARY_INIT};
  size_t count = 0;
  tr_status status = tr_health(service.registry, stalled, NAMED_STALLED, &count);
  int length;

  if (status != TR_ERR_STALLED) {
    snprintf(text, capacity, "%s", status == TR_OK ? "healthy" : tr_strerror(status));
    return status == TR_OK ? 200 : 500;
  }
  length = snprintf(text, capacity, "%zu stalled:", count);
  for (size_t i = 0; i < count && i < NAMED_STALLED && (size_t)length < capacity; i++) {
    length += snprintf(text + length, capacity - (size_t)length, " %s", stalled[i].name);
  }
  return 503;
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
   then, and tells how far it has come. */
static int primes_run(tr_task *self, void *ctx) {
  struct job *job = ctx;
  uint32_t primes = job->limit > 2 ? 1 : 0;

  TR_IGNORE(tr_checkpoint("counting primes"));
  for (uint32_t n = 3; n < job->limit; n += 2) {
    uint32_t divisor = 3;

    if (n % 1024 == 1) {
      TR_IGNORE(tr_progress(n, job->limit, "numbers"));
      if (tr_task_is_cancelled(self)) {
        return 0; /* to stop when asked is no failure: the job is just not done */
      }
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
  options.phase = PHASE_PEERS;
  status = tr_spawn_with(service.peers, "rpc primes", TR_KIND_RPC_HANDLER, primes_run, job,
                         &options, &handler);
  if (status == TR_OK) {
    status = tr_task_wait(handler, RPC_LIMIT_MS * MS, NULL);
    if (status != TR_OK) { /* its time is up, or this connection was asked to stop */
      TR_IGNORE(tr_task_cancel(handler)); /* it will see its flag, end, and release its share */
    }
    tr_task_release(handler);
  } else {
    job_release(job); /* refused: nothing has run, and the handler's share is still ours */
    if (status != TR_ERR_CLOSED) {
      (void)primes_run(self, job); /* no task to be had: the connection does the work itself... */
      TR_IGNORE(tr_checkpoint(NULL));   /* ...and is somewhere else afterwards */
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

/* Answer the current request: with lines, or with an HTTP response of the media type `type`. `text`
   has no newline at its end; `code` is the HTTP status, and 400 or more makes it an error. */
static void respond_with(const tr_task *self, struct connection *c, int code, const char *type,
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

static void respond(const tr_task *self, struct connection *c, int code, const char *text) {
  respond_with(self, c, code, "text/plain", text);
}

/* Answer with a text of the library's. */
static void respond_written(const tr_task *self, struct connection *c, const char *type,
                            tr_status (*write_to)(tr_registry *, int, uint32_t), uint32_t format) {
  char *text = text_of(write_to, format);

  if (text != NULL) {
    respond_with(self, c, 200, type, text);
  } else {
    respond(self, c, 500, "out of memory or descriptors");
  }
  free(text);
}

/* ---- Connections: requests --------------------------------------------------------------- */

#define TEXT_OF(macro) TEXT_OF_VALUE(macro)
#define TEXT_OF_VALUE(value) #value

static const char help_text[] =
    "commands: SET key value | GET key | DEL key | ECHO text | PRIMES number | PING | TASKS [json] | "
    "METRICS | STATS | HEALTH | SHUTDOWN | QUIT | HELP; by HTTP: GET / | /kv/key | /echo/text | "
    "/primes/number | /tasks | /tasks.json | /metrics | /stats | /health";

/* Give `key` a value, or delete it for NULL, and have that written down. It is one step: the journal has
   the changes in the order in which the store had them. Returns NULL, or why it cannot be done. */
static const char *change(const char *key, const char *value) {
  const char *why = NULL;

  pthread_mutex_lock(&service.changes);
  if (!journal_has_room(&service.journal, key, value)) {
    why = "the journal is behind";
  } else if (store_set(&service.store, key, value) != 0) {
    why = "the store is full";
  } else {
    journal_append(&service.journal, key, value);
  }
  pthread_mutex_unlock(&service.changes);
  return why;
}

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

/* Say in one line how the expensive requests did, and which task was the last to end. */
static void describe_requests(char *text, size_t size) {
  tr_metrics metrics = TR_METRICS_INIT;
  tr_ended_task last = TR_ENDED_TASK_INIT;
  size_t count = 0;
  int length = 0;

  if (tr_metrics_read(service.registry, TR_KIND_RPC_HANDLER, &metrics) == TR_OK) {
    length = snprintf(text, size, "%" PRIu64 " rpc tasks ended, %" PRIu64 " failed, at most %" PRIu64
                      " at once", metrics.ended, metrics.failed, metrics.peak);
    if (metrics.ended > 0) {
      length += snprintf(text + length, size - (size_t)length, ", half of them within %.1f ms",
                         (double)metrics.run_p50_ns / (double)MS);
    }
  }
  TR_IGNORE(tr_recent(service.registry, &last, 1, &count)); /* TR_ERR_TRUNCATED: there are more than one */
  if (count > 0) {
    snprintf(text + length, size - (size_t)length, "; the last task to end: %s%s%s, %s after %.1f ms",
             last.group, last.group[0] != '\0' ? "/" : "", last.name, tr_ended_name(last.how),
             (double)last.ran_ns / (double)MS);
  }
}

/* Execute one command. `argument` is "" when there is none. */
static void execute(tr_task *self, struct connection *c, const char *command, char *argument) {
  char value[INPUT_SIZE];
  const char *why;

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
    } else {
      why = change(argument, text);
      respond(self, c, why == NULL ? 200 : 507, why == NULL ? "OK" : why);
    }
  } else if (strcmp(command, "ECHO") == 0) {
    respond(self, c, 200, argument);
  } else if (strcmp(command, "PRIMES") == 0) {
    run_primes(self, c, argument);
  } else if (strcmp(command, "PING") == 0) {
    respond(self, c, 200, "PONG");
  } else if (strcmp(command, "TASKS") == 0) {
    int json = strcmp(argument, "json") == 0;
    respond_written(self, c, json ? "application/json" : "text/plain", tr_snapshot_write,
                    json ? TR_FORMAT_JSON : TR_FORMAT_TEXT);
  } else if (strcmp(command, "METRICS") == 0) {
    respond_written(self, c, "application/openmetrics-text; version=1.0.0", tr_metrics_write,
                    TR_FORMAT_OPENMETRICS);
  } else if (strcmp(command, "STATS") == 0) {
    describe_requests(value, sizeof value);
    respond(self, c, 200, value);
  } else if (strcmp(command, "HEALTH") == 0) {
    int code = check_health(value, sizeof value);
    respond(self, c, code, value);
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
  options.phase = PHASE_PEERS;
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
      TR_IGNORE(tr_sleep(100 * MS)); /* the wait looks at the flag itself */
    } else if (errno == EBADF || errno == EINVAL || errno == ENOTSOCK) {
      return fail_task(self, "accept"); /* which stops the service, as this task is essential */
    } /* else: EINTR, EAGAIN, ECONNABORTED, errors of that one connection: go on */
  }
  return 0;
}

/* ---- The upkeep --------------------------------------------------------------------------- */

static int heartbeat_run(tr_task *self, void *ctx) {
  uint64_t before = 0;

  (void)self;
  (void)ctx;
  while (tr_sleep(service.heartbeat_ns) == TR_OK) { /* anything else: asked to stop */
    uint64_t requests = atomic_load(&service.requests);
    TR_IGNORE(tr_heartbeat()); /* as promised in start_tasks: without it /health complains */
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
    TR_IGNORE(tr_checkpoint("compacting the store"));
    for (size_t slice = 0; slice < STORE_SLICES && !tr_task_is_cancelled(self); slice++) {
      freed += store_compact(&service.store, slice);
      TR_IGNORE(tr_progress(slice + 1, STORE_SLICES, "slices"));
    }
    TR_IGNORE(tr_checkpoint("waiting for the next compaction"));
    if (freed > 0) {
      printf("compaction: freed %zu deleted entries in %" PRId64 " ms\n", freed, now_ms() - start);
    }
  }
  return 0;
}

/* ---- The journal -------------------------------------------------------------------------- */

static void journal_drop(void *ctx) { close(((struct journal *)ctx)->fd); }

/* Write what has been appended, until asked to stop and nothing is left. Then nobody appends any more:
   a shutdown asks this task after all the others. */
static int journal_run(tr_task *self, void *ctx) {
  struct journal *journal = ctx;
  char chunk[16384];

  for (;;) {
    tr_status status = TR_OK;
    uint64_t appended, written;
    size_t length;

    TR_IGNORE(tr_checkpoint("waiting for changes"));
    pthread_mutex_lock(&journal->lock);
    while (journal->used == 0 && status == TR_OK) {
      status = tr_cond_wait(&journal->not_empty, &journal->lock, -1);
    }
    length = journal_take(journal, chunk, sizeof chunk);
    pthread_mutex_unlock(&journal->lock);
    if (length == 0) {
      if (status != TR_ERR_CANCELLED) {
        TR_IGNORE(tr_task_set_message(self, tr_strerror(status)));
        return 1;
      }
      TR_IGNORE(tr_checkpoint("waiting for the disk"));
      if (fsync(journal->fd) != 0 && errno != EINVAL) { /* EINVAL: a pipe, say, has no disk */
        return fail_task(self, "fsync");
      }
      return 0;
    }
    TR_IGNORE(tr_checkpoint(tr_task_is_cancelled(self) ? "flushing the journal" : "writing the journal"));
    if (journal_write(journal, chunk, length) != 0) {
      return fail_task(self, "write"); /* which stops the service, as this task is essential */
    }
    journal_count(journal, &appended, &written);
    TR_IGNORE(tr_progress(written, appended, "entries"));
  }
}

/* ---- Tasks that do not behave ------------------------------------------------------------- */

/* Blocks in a system call that nobody ends. What it should do: wait for the descriptor by tr_wait_fd, or
   have a cancel_signal. */
static int stuck_in_read(tr_task *self, void *ctx) {
  int ends[2]; /* the end for writing stays open, or this one would find the end of the file */
  char byte;

  (void)ctx;
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return fail_task(self, "pipe2");
  }
  TR_IGNORE(tr_checkpoint("reading from a pipe"));
  for (;;) {
    (void)!read(ends[0], &byte, 1);
  }
  return 0;
}

/* Computes and computes. What it should do: look at its flag now and then. */
static int stuck_spinning(tr_task *self, void *ctx) {
  static volatile unsigned turns;

  (void)self, (void)ctx;
  TR_IGNORE(tr_checkpoint("turning round and round"));
  for (;;) {
    turns++;
  }
  return 0;
}

/* Never looks at its flag, and waits by other means. What it should do: call tr_sleep. */
static int stuck_deaf(tr_task *self, void *ctx) {
  const struct timespec second = {1, 0};

  (void)self, (void)ctx;
  for (;;) {
    (void)nanosleep(&second, NULL);
  }
  return 0;
}

/* Has promised heartbeats and does not keep the promise. It does stop when it is asked to. */
static int stuck_stalled(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_wait_cancelled(-1) == TR_ERR_CANCELLED ? 0 : 1;
}

/* Is no bad one: it listens, but what it has to do before it can stop takes 0.7 s. */
static int slow_to_stop(tr_task *self, void *ctx) {
  const struct timespec page = {0, 50000000};

  (void)self, (void)ctx;
  TR_IGNORE(tr_wait_cancelled(-1));
  TR_IGNORE(tr_checkpoint("writing pages back"));
  for (unsigned i = 0; i < 14; i++) {
    (void)nanosleep(&page, NULL); /* tr_sleep would not sleep any more */
    TR_IGNORE(tr_progress(i + 1, 14, "pages"));
  }
  return 0;
}

static const struct {
  const char *name;
  tr_task_fn body;
  int64_t heartbeat_ns;
} stuck_tasks[] = {{"read", stuck_in_read, 0},
                   {"spin", stuck_spinning, 0},
                   {"deaf", stuck_deaf, 0},
                   {"stall", stuck_stalled, 100 * MS},
                   {"slow", slow_to_stop, 0}};
#define STUCK_TASKS (sizeof stuck_tasks / sizeof stuck_tasks[0])

/* ---- Start and stop ---------------------------------------------------------------------- */

struct settings {
  long port, grace_ms, max_grace_ms, max_connections, heartbeat_ms, compaction_ms;
  const char *journal, *report; /* names of files, or NULL */
  int backtraces;
  int stuck[STUCK_TASKS]; /* 1 for those that are wanted */
};

static const char usage[] =
    "Usage: 06-service [option]...\n"
    "A key-value service on 127.0.0.1, by lines and by HTTP. Send HELP to learn its commands.\n"
    "\n"
    "  --port N             TCP port; 0, the default: one that is free\n"
    "  --grace MS           how long a shutdown waits for tasks, in milliseconds (5000)\n"
    "  --max-grace MS       how long it waits, at most, for tasks that make progress; 0, the default:\n"
    "                       no longer\n"
    "  --max-connections N  connections and expensive requests at the same time (1024)\n"
    "  --heartbeat MS       time between two lines of statistics, in milliseconds (5000)\n"
    "  --compaction MS      time between two compactions, in milliseconds (2000)\n"
    "  --journal FILE       append every change to FILE\n"
    "  --report FILE        write the report of the shutdown to FILE, too, as JSON\n"
    "  --backtraces         have reports say where in the program tasks are\n"
    "  --stuck HOW          run a task that does not behave: read, spin or deaf never stop, stall misses\n"
    "                       its heartbeats, slow stops after 0.7 s; may be given more than once\n"
    "  --deaf               the same as --stuck deaf\n"
    "  --help               print this and exit\n"
    "\n"
    "Signals: SIGUSR1 prints the table of tasks, SIGUSR2 what each of them is doing; SIGTERM and SIGINT\n"
    "stop the service, a second one at once, and a third ends the process.\n"
    "Exit status: 0 graceful, 1 tasks were abandoned or something failed, 2 the service could not\n"
    "start.\n";

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

static void parse_stuck(const char *how, struct settings *settings) {
  for (size_t i = 0; i < STUCK_TASKS; i++) {
    if (strcmp(how, stuck_tasks[i].name) == 0) {
      settings->stuck[i] = 1;
      return;
    }
  }
  fprintf(stderr, "06-service: --stuck takes read, spin, deaf, stall or slow\n");
  exit(2);
}

static void parse_options(int argc, char **argv, struct settings *settings) {
  static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                          {"grace", required_argument, NULL, 'g'},
                                          {"max-connections", required_argument, NULL, 'm'},
                                          {"heartbeat", required_argument, NULL, 'b'},
                                          {"compaction", required_argument, NULL, 'c'},
                                          {"max-grace", required_argument, NULL, 'x'},
                                          {"journal", required_argument, NULL, 'j'},
                                          {"report", required_argument, NULL, 'r'},
                                          {"backtraces", no_argument, NULL, 't'},
                                          {"stuck", required_argument, NULL, 's'},
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
    case 'x': settings->max_grace_ms = parse_number(name, optarg, 0, 3600000); break;
    case 'j': settings->journal = optarg; break;
    case 'r': settings->report = optarg; break;
    case 't': settings->backtraces = 1; break;
    case 's': parse_stuck(optarg, settings); break;
    case 'd': parse_stuck("deaf", settings); break;
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

/* Spawn the tasks that are there from the start. On TR_OK the listener owns listen_fd, and the journal
   its descriptor. */
static tr_status start_tasks(int listen_fd, const struct settings *settings) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  tr_status status = TR_OK;

  if (service.journal.fd >= 0) {
    options.drop = journal_drop;
    options.phase = PHASE_JOURNAL;
    options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE; /* what cannot be written must not be accepted */
    status = tr_spawn_with(service.registry, "journal", TR_KIND_BACKGROUND_LOOP, journal_run,
                           &service.journal, &options, NULL);
  }
  options = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  options.phase = PHASE_UPKEEP;
  if (status == TR_OK) {
    status = tr_spawn_with(service.registry, "compaction", TR_KIND_MAINTENANCE, compaction_run, NULL,
                           &options, NULL);
  }
  for (size_t i = 0; i < STUCK_TASKS && status == TR_OK; i++) {
    if (settings->stuck[i]) {
      options.heartbeat_ns = stuck_tasks[i].heartbeat_ns;
      status = tr_spawn_with(service.registry, stuck_tasks[i].name, TR_KIND_MAINTENANCE,
                             stuck_tasks[i].body, NULL, &options, NULL);
    }
  }
  if (status == TR_OK) { /* a promise with room: a busy machine is no reason for an alarm */
    options.heartbeat_ns = 2 * service.heartbeat_ns + 5000 * MS;
    status = tr_spawn_with(service.registry, "heartbeat", TR_KIND_BACKGROUND_LOOP, heartbeat_run, NULL,
                           &options, NULL);
  }
  if (status == TR_OK) { /* last: whoever can connect finds the rest running */
    options = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
    options.drop = listener_drop;
    options.phase = PHASE_LISTENER;
    options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE; /* a service that cannot accept is of no use */
    status = tr_spawn_with(service.registry, "listener", TR_KIND_BACKGROUND_LOOP, listener_run,
                           (void *)(intptr_t)listen_fd, &options, NULL);
  }
  return status;
}

/* Print what SIGUSR1 and SIGUSR2 ask for, until the service is to stop: by a signal, a client, or an
   essential task that failed. Returns 0, or -1 with errno set. */
static int serve_until_stop(int signal_fd) {
  struct pollfd fds[2] = {{.fd = signal_fd, .events = POLLIN}, {.events = POLLIN}};

  if (tr_token_fd(tr_registry_token(service.registry), &fds[1].fd) != TR_OK) {
    return -1;
  }
  while (fds[1].revents == 0) {
    struct signalfd_siginfo info;

    if (poll(fds, 2, -1) < 0) {
      if (errno == EINTR) {
        continue;
      }
      return -1;
    }
    if (fds[0].revents != 0 && read(signal_fd, &info, sizeof info) == sizeof info) {
      print_tasks(info.ssi_signo == SIGUSR2);
    }
  }
  return 0;
}

/* Write `report` to standard output, and as JSON to the file `name` unless that is NULL. */
static void write_report(const tr_report *report, const char *name) {
  fflush(stdout);
  TR_IGNORE(tr_report_write(report, STDOUT_FILENO, TR_FORMAT_TEXT)); /* whom could one tell? */
  if (name != NULL) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || tr_report_write(report, fd, TR_FORMAT_JSON) != TR_OK) {
      fprintf(stderr, "06-service: cannot write %s: %s\n", name, strerror(errno));
    }
    if (fd >= 0) {
      close(fd);
    }
  }
}

/* Stop the service and print a report. Returns the program's exit status. */
static int stop(const struct settings *settings) {
  /* How the time is divided: clients get the most, and nobody takes away what the journal needs. */
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_token *token = tr_registry_token(service.registry);
  tr_report *report = NULL;
  uint64_t appended, written;
  int is_graceful;
  tr_status status;

  options.phase_share[PHASE_LISTENER] = 1;
  options.phase_share[PHASE_PEERS] = 4;
  options.phase_share[PHASE_UPKEEP] = 2;
  options.phase_share[PHASE_JOURNAL] = 3;
  options.max_grace_ns = settings->max_grace_ms * MS;
  counts.full = &report;
  /* The token is cancelled already: the reason and the message given then stand. */
  status = tr_shutdown_with(service.registry, TR_REASON_NONE, NULL, settings->grace_ms * MS, &options,
                            &counts);
  if (status != TR_OK && status != TR_ERR_DEADLINE) {
    fprintf(stderr, "tr_shutdown_with: %s\n", tr_strerror(status));
    return 1;
  }
  write_report(report, settings->report);
  tr_report_release(report);
  printf("served: %" PRIu64 " connections, %" PRIu64 " refused, %" PRIu64 " requests\n",
         (uint64_t)atomic_load(&service.accepted), (uint64_t)atomic_load(&service.refused),
         (uint64_t)atomic_load(&service.requests));
  if (settings->journal != NULL) {
    journal_count(&service.journal, &appended, &written);
    printf("journal: %" PRIu64 " of %" PRIu64 " entries written\n", written, appended);
  }
  is_graceful = status == TR_OK && tr_reason_is_graceful(tr_token_reason(token));
  if (status == TR_OK) { /* no thread is left */
    store_clear(&service.store);
    TR_IGNORE(tr_systemd_stop(service.registry));
    TR_IGNORE(tr_signal_watch_stop(service.registry));
    tr_registry_release(service.peers);
    tr_registry_release(service.registry);
  } /* else abandoned tasks still run and use all this: it goes with the process */
  printf("shutdown: %s\n", is_graceful ? "graceful" : "not graceful");
  return is_graceful ? 0 : 1;
}

/* Create the registry and its group of connections. */
static tr_status create_registries(long max_connections) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_status status;

  options.flags = TR_REGISTRY_METRICS;
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
  struct settings settings = {.grace_ms = 5000,
                              .max_connections = 1024,
                              .heartbeat_ms = 5000,
                              .compaction_ms = 2000};
  sigset_t questions, stop_signals;
  tr_status status = TR_OK;
  int listen_fd, signal_fd;

  parse_options(argc, argv, &settings);
  setvbuf(stdout, NULL, _IOLBF, 0); /* whoever reads a log file or a pipe sees each line at once */
  (void)signal(SIGPIPE, SIG_IGN);   /* a log reader that goes away must not end the service */

  /* SIGUSR1 and SIGUSR2 are blocked before there is any thread and read from a descriptor: what they ask
     for is done by ordinary code. The signals that stop the service are the library's business; they are
     named because those it takes by itself stay ignored where a shell has made them so. */
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGTERM);
  sigaddset(&stop_signals, SIGINT);
  sigemptyset(&questions);
  sigaddset(&questions, SIGUSR1);
  sigaddset(&questions, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &questions, NULL);
  signal_fd = signalfd(-1, &questions, SFD_CLOEXEC);

  service.heartbeat_ns = settings.heartbeat_ms * MS;
  service.compaction_ns = settings.compaction_ms * MS;
  listen_fd = signal_fd >= 0 ? open_listener(&settings.port) : -1;
  if (listen_fd < 0) {
    fprintf(stderr, "06-service: cannot listen: %s\n", strerror(errno));
    return 2;
  }
  if (settings.journal != NULL) {
    service.journal.fd = open(settings.journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (service.journal.fd < 0) {
      fprintf(stderr, "06-service: cannot open %s: %s\n", settings.journal, strerror(errno));
      return 2;
    }
  }
  if (settings.backtraces) { /* before the first task, which lets the signal through then */
    status = tr_enable_backtraces(SIGRTMIN + 2);
  }
  if (status == TR_OK) {
    status = create_registries(settings.max_connections);
  }
  if (status == TR_OK) {
    status = tr_signal_watch_start(service.registry, &stop_signals, NULL);
  }
  if (status == TR_OK) {
    status = start_tasks(listen_fd, &settings);
  }
  if (status == TR_OK) { /* tells systemd that the service is ready; does nothing without systemd */
    status = tr_systemd_start(service.registry, NULL);
  }
  if (status != TR_OK) {
    fprintf(stderr, "06-service: cannot start: %s\n", tr_strerror(status));
    return 2; /* what has started ends with the process */
  }
  printf("listening on 127.0.0.1:%ld\n", settings.port);
  if (serve_until_stop(signal_fd) != 0) {
    perror("06-service: poll");
    return 2;
  }
  return stop(&settings);
}
