/* 06-service/inspect.c - texts about the tasks. It only reads the registry; connections call it, and one
   function is the body of a task.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* memfd_create */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "inspect.h"
#include "service.h"

#define NAMED_STALLED 8 /* how many stalled tasks HEALTH names */

char *text_of(tr_status (*write_to)(tr_registry *, int, uint32_t), uint32_t format) {
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

int questions_run(tr_task *self, void *ctx) {
  int signal_fd = (int)(intptr_t)ctx;
  struct signalfd_siginfo info;

  (void)self;
  while (tr_wait_fd(signal_fd, POLLIN, TR_FOREVER) == TR_OK) { /* anything else: asked to stop */
    tr_status status;

    if (read(signal_fd, &info, sizeof info) != sizeof info) {
      continue;
    }
    flockfile(stdout);
    fflush(stdout);
    status = tr_snapshot_write(service.registry, STDOUT_FILENO, TR_FORMAT_TEXT);
    funlockfile(stdout);
    if (status != TR_OK) {
      fprintf(stderr, "06-service: cannot print the tasks: %s\n", tr_strerror(status));
    }
  }
  return 0;
}

int check_health(char *text, size_t capacity) {
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

void describe_requests(char *text, size_t size) {
  tr_metrics metrics = TR_METRICS_INIT;
  tr_ended_task last = TR_ENDED_TASK_INIT;
  size_t count = 0;
  int length = 0;

  if (tr_metrics_read(service.registry, TR_KIND_RPC_HANDLER, &metrics) == TR_OK) {
    length = snprintf(text, size, "%" PRIu64 " rpc tasks ended, %" PRIu64 " failed, at most %" PRIu64
                      " at once", metrics.ended, metrics.failed, metrics.peak);
    if (metrics.ended > 0) {
      length += snprintf(text + length, size - (size_t)length, ", half of them within %.1f ms",
                         (double)metrics.run_p50_ns / (double)TR_MILLISECONDS(1));
    }
  }
  TR_IGNORE(tr_recent(service.registry, &last, 1, &count)); /* TR_ERR_TRUNCATED: there are more than one */
  if (count > 0) {
    snprintf(text + length, size - (size_t)length, "; the last task to end: %s%s%s, %s after %.1f ms",
             last.group, last.group[0] != '\0' ? "/" : "", last.name, tr_ended_name(last.how),
             (double)last.ran_ns / (double)TR_MILLISECONDS(1));
  }
}
