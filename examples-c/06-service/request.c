/* 06-service/request.c - parses a request. It only touches its arguments and may be called from any thread.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* strcasestr, strtok_r */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "request.h"

/* After an error the reader may be out of step with the client, and the connection has to end;
   only an unknown path (404) is harmless. */
static size_t request_error(struct request *request, size_t length, int error, const char *why) {
  request->error = error;
  request->why = why;
  request->keep_alive = request->keep_alive && error == 404;
  return length;
}

/* Find the end of the first request: that of its line or, when the line's last word is HTTP/1.x,
   that of the empty line after the headers. Returns the length of the request, 0 while it is
   incomplete; *line_length becomes that of the line without its end, *http says what it is. */
static size_t request_length(const char *input, size_t length, size_t *line_length, int *http) {
  const char *newline = memchr(input, '\n', length);

  *line_length = 0;
  *http = 0;
  if (newline == NULL) {
    return 0;
  }
  *line_length = (size_t)(newline - input);
  if (*line_length > 0 && newline[-1] == '\r') {
    --*line_length;
  }
  *http = *line_length > 9 && memcmp(input + *line_length - 9, " HTTP/1.", 8) == 0;
  if (*http) {
    const char *line;
    do {
      line = newline + 1;
      newline = memchr(line, '\n', length - (size_t)(line - input));
      if (newline == NULL) {
        return 0;
      }
    } while (newline != line && !(newline == line + 1 && *line == '\r'));
  }
  return (size_t)(newline + 1 - input);
}

/* Make a command of an HTTP request, whose method and path are in command and argument. Paths are
   taken literally, without percent-decoding. */
static size_t request_http(struct request *request, size_t length, const char *version,
                           char *headers) {
  static const struct {
    const char *path, *command;
    size_t skip; /* what of the path comes before the argument */
    int is_prefix;
  } routes[] = {{"/", "HELP", 1, 0},           {"/tasks", "TASKS", 6, 0},
                {"/tasks.json", "TASKS", 7, 0}, {"/metrics", "METRICS", 8, 0},
                {"/health", "HEALTH", 7, 0},    {"/stats", "STATS", 6, 0},
                {"/kv/", "GET", 4, 1},
                {"/echo/", "ECHO", 6, 1},       {"/primes/", "PRIMES", 8, 1}};
  const char *path = request->argument;
  int has_body = 0;

  request->head_only = strcmp(request->command, "HEAD") == 0;
  request->keep_alive = strcmp(version, "HTTP/1.0") != 0; /* unless a header says otherwise */
  for (char *rest, *line = strtok_r(headers, "\r\n", &rest); line != NULL;
       line = strtok_r(NULL, "\r\n", &rest)) {
    if (strncasecmp(line, "Connection:", 11) == 0) {
      request->keep_alive = strcasestr(line, "close") == NULL &&
                            (request->keep_alive || strcasestr(line, "keep-alive") != NULL);
    } else if (strncasecmp(line, "Transfer-Encoding:", 18) == 0 ||
               (strncasecmp(line, "Content-Length:", 15) == 0 && atol(line + 15) != 0)) {
      has_body = 1; /* which nobody here would read: the connection cannot go on */
    }
  }
  if ((strcmp(request->command, "GET") != 0 && !request->head_only) || has_body) {
    return request_error(request, length, 405, "only GET and HEAD, without a body");
  }
  for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
    if (routes[i].is_prefix ? strncmp(path, routes[i].path, routes[i].skip) == 0
                            : strcmp(path, routes[i].path) == 0) {
      request->command = routes[i].command;
      request->argument += routes[i].skip;
      return length;
    }
  }
  return request_error(request, length, 404, "no such path");
}

size_t request_parse(char *input, size_t length, struct request *request) {
  size_t line_length = 0, used;

  *request = (struct request){.command = "", .keep_alive = 1};
  used = request_length(input, length, &line_length, &request->http);
  if (used == 0) {
    return 0;
  }
  if (memchr(input, '\0', used) != NULL) {
    return request_error(request, used, 400, "a request is text");
  }
  input[used - 1] = '\0';    /* from here on there are strings: the headers... */
  input[line_length] = '\0'; /* ...the line... */
  if (request->http) {
    input[line_length - 9] = '\0'; /* ...and the line without its version */
  }
  request->command = input;
  request->argument = input + strcspn(input, " ");
  if (*request->argument != '\0') {
    *request->argument++ = '\0';
  }
  if (request->http) {
    return request_http(request, used, input + line_length - 8, input + line_length + 1);
  }
  return used;
}
