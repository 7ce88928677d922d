/* 06-service/service.c - the state of the service and the helpers of its tasks, for any thread.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* clock_gettime */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "service.h"

struct service service = {
    .changes = PTHREAD_MUTEX_INITIALIZER, .store = STORE_INIT, .journal = JOURNAL_INIT};

int64_t now_ms(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

tr_status wait_draining(int fd, short events, long limit_ms) {
  int64_t end = now_ms() + limit_ms;
  tr_status status;

  do { /* a second time after the request to stop, which tr_begin_drain answers */
    int64_t left = end - now_ms();
    status = tr_wait_fd(fd, events, TR_MILLISECONDS(left > 0 ? left : 0));
  } while (status == TR_ERR_CANCELLED && tr_begin_drain() == TR_OK);
  return status;
}

int fail_task(tr_task *self, const char *call) {
  char message[128];

  snprintf(message, sizeof message, "%s: %s", call, strerror(errno));
  TR_IGNORE(tr_task_set_message(self, message)); /* it can only fail for a message that is not UTF-8 */
  return 1;
}
