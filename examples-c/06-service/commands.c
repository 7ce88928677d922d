/* 06-service/commands.c - executes one command and answers it.

   It runs in the task of the connection and may touch that connection, the store, the journal, and the
   registry's token (SHUTDOWN).

   LOCKING: service.changes is held for one change of store and journal, and taken before their locks.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "inspect.h"
#include "primes.h"
#include "service.h"
#include "upstream.h"

#define KEY_SIZE 128 /* bytes of a key, its NUL included */

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

#define TEXT_OF(macro) TEXT_OF_VALUE(macro)
#define TEXT_OF_VALUE(value) #value

static const char help_text[] =
    "commands: SET key value | GET key | DEL key | ECHO text | PRIMES number | FETCH port key | PING | TASKS [json] | "
    "METRICS | STATS | HEALTH | SHUTDOWN | QUIT | HELP; by HTTP: GET / | /kv/key | /echo/text | "
    "/primes/number | /tasks | /tasks.json | /metrics | /stats | /health";

/* Give `key` a value, or delete it for NULL, and add that to the journal. It is one step: the journal
   has the changes in the same order as the store. Returns NULL, or why it failed. */
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

static void run_fetch(const tr_task *self, struct connection *c, const char *argument) {
  char answer[INPUT_SIZE], *key;
  long port;
  int code;

  errno = 0;
  port = strtol(argument, &key, 10);
  if (*argument < '0' || *argument > '9' || *key != ' ' || errno != 0 || port < 1 || port > 65535) {
    respond(self, c, 400, "FETCH takes a port and a key");
    return;
  }
  code = fetch_line(port, key + 1, answer, sizeof answer);
  respond(self, c, code, code == 200   ? answer
                         : code == 503 ? "the service is stopping"
                         : code == 504 ? "the other server took too long"
                                       : "the other server does not answer");
}

void execute(tr_task *self, struct connection *c, const char *command, char *argument) {
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
  } else if (strcmp(command, "FETCH") == 0) {
    run_fetch(self, c, argument);
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
