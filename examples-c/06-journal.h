/* 06-journal.h - the journal of 06-service.c: changes on their way to a file, one a line.

   Whoever changes something appends a line to a ring in memory, which takes no time; somebody else takes
   lines out and writes them. Without a file every line is accepted and none kept.

   LOCKING: `lock` guards all but `fd`. It is held while bytes are copied, and never during a write.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_JOURNAL_H
#define TASKREG_EXAMPLES_06_JOURNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define JOURNAL_SIZE (1024 * 1024) /* bytes that may wait to be written */

struct journal {
  int fd; /* -1: there is no file. It does not change once tasks run */
  pthread_mutex_t lock;
  pthread_cond_t not_empty; /* signalled when `used` becomes more than 0 */
  uint64_t appended, written; /* lines */
  size_t first, used; /* what waits: `used` bytes from `first` on, around the end of the ring */
  char ring[JOURNAL_SIZE];
};

#define JOURNAL_INIT                                                                               \
  {.fd = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .not_empty = PTHREAD_COND_INITIALIZER}

/* The length of the line "SET key value", or "DEL key" for a NULL value, with its end. */
static size_t journal_length(const char *key, const char *value) {
  return 4 + strlen(key) + (value != NULL ? 1 + strlen(value) : 0) + 1;
}

/* Say whether there is room for that line. It stays while nobody else appends. */
static int journal_has_room(struct journal *journal, const char *key, const char *value) {
  int has_room;

  if (journal->fd < 0) {
    return 1;
  }
  pthread_mutex_lock(&journal->lock);
  has_room = journal_length(key, value) <= sizeof journal->ring - journal->used;
  pthread_mutex_unlock(&journal->lock);
  return has_room;
}

/* Requires that the lock is held and that there is room. */
static void journal_put(struct journal *journal, const char *text) {
  for (; *text != '\0'; text++) {
    journal->ring[(journal->first + journal->used++) % sizeof journal->ring] = *text;
  }
}

/* Append that line. Requires that there is room. */
static void journal_append(struct journal *journal, const char *key, const char *value) {
  if (journal->fd < 0) {
    return;
  }
  pthread_mutex_lock(&journal->lock);
  if (journal->used == 0) {
    pthread_cond_signal(&journal->not_empty);
  }
  journal_put(journal, value != NULL ? "SET " : "DEL ");
  journal_put(journal, key);
  if (value != NULL) {
    journal_put(journal, " ");
    journal_put(journal, value);
  }
  journal_put(journal, "\n");
  journal->appended++;
  pthread_mutex_unlock(&journal->lock);
}

/* Take up to `capacity` bytes of what waits, in order. Returns how many; lines may be cut.
   Requires that the lock is held. */
static size_t journal_take(struct journal *journal, char *buffer, size_t capacity) {
  size_t length = journal->used < capacity ? journal->used : capacity;

  for (size_t i = 0; i < length; i++) {
    buffer[i] = journal->ring[(journal->first + i) % sizeof journal->ring];
  }
  journal->first = (journal->first + length) % sizeof journal->ring;
  journal->used -= length;
  return length;
}

/* Write what was taken. Returns 0, or -1 with errno set. */
static int journal_write(struct journal *journal, const char *data, size_t length) {
  uint64_t lines = 0;

  for (size_t i = 0; i < length; i++) {
    lines += data[i] == '\n';
  }
  while (length > 0) {
    ssize_t wrote = write(journal->fd, data, length);
    if (wrote < 0 && errno != EINTR) {
      return -1;
    }
    data += wrote > 0 ? wrote : 0;
    length -= wrote > 0 ? (size_t)wrote : 0;
  }
  pthread_mutex_lock(&journal->lock);
  journal->written += lines;
  pthread_mutex_unlock(&journal->lock);
  return 0;
}

/* Tell how many lines were appended, and how many of these are in the file. */
static void journal_count(struct journal *journal, uint64_t *appended, uint64_t *written) {
  pthread_mutex_lock(&journal->lock);
  *appended = journal->appended;
  *written = journal->written;
  pthread_mutex_unlock(&journal->lock);
}

#endif /* TASKREG_EXAMPLES_06_JOURNAL_H */
