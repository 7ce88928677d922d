/* 06-service/journal.h - the journal: changes on their way to a file, one per line.

   Whoever changes something appends a line to a ring in memory, which does not wait for the disk; the
   task "journal" takes lines out and writes them. Without a file every line is accepted and none kept.
   Any thread may append and count; journal_run and journal_drop are for the task alone.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_JOURNAL_H
#define TASKREG_EXAMPLES_06_SERVICE_JOURNAL_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include <taskreg.h>

#define JOURNAL_SIZE (1024 * 1024) /* bytes that may wait to be written */

struct journal {
  int fd; /* -1: there is no file. it does not change while tasks run */
  pthread_mutex_t lock;
  pthread_cond_t not_empty; /* signalled when `used` becomes more than 0 */
  uint64_t appended, written; /* lines */
  size_t first, used; /* what waits: `used` bytes from `first` on, around the end of the ring */
  char ring[JOURNAL_SIZE];
};

#define JOURNAL_INIT                                                                               \
  {.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .not_empty = PTHREAD_COND_INITIALIZER}

/* Say whether there is room for that line. It stays while nobody else appends. */
int journal_has_room(struct journal *journal, const char *key, const char *value);

/* Append that line. Requires that there is room. */
void journal_append(struct journal *journal, const char *key, const char *value);

/* Say how many lines were appended, and how many of these are in the file. */
void journal_count(struct journal *journal, uint64_t *appended, uint64_t *written);

/* The drop of the task: close the file. */
void journal_drop(void *ctx);

/* Write what has been appended, until asked to stop and nothing is left. By then
   nothing appends: a shutdown asks this task after all the others. */
int journal_run(tr_task *self, void *ctx);

#endif /* TASKREG_EXAMPLES_06_SERVICE_JOURNAL_H */
