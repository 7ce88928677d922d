/* 06-service/journal.c - the ring and the task that empties it.

   LOCKING: `lock` guards all but `fd`. It is held while bytes are copied, and never during a write.
   The tasks of connections append, one at a time (see change() in commands.c); the journal's task takes
   and writes; main counts.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "service.h"

/* The length of the line "SET key value", or "DEL key" for a NULL value, with its end. */
static size_t journal_length(const char *key, const char *value) {
  return 4 + strlen(key) + (value != NULL ? 1 + strlen(value) : 0) + 1;
}

int journal_has_room(struct journal *journal, const char *key, const char *value) {
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

void journal_append(struct journal *journal, const char *key, const char *value) {
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

void journal_count(struct journal *journal, uint64_t *appended, uint64_t *written) {
  pthread_mutex_lock(&journal->lock);
  *appended = journal->appended;
  *written = journal->written;
  pthread_mutex_unlock(&journal->lock);
}

void journal_drop(void *ctx) {
  close(((struct journal *)ctx)->fd);
}

int journal_run(tr_task *self, void *ctx) {
  struct journal *journal = ctx;
  char chunk[16384];

  for (;;) {
    tr_status status = TR_OK;
    uint64_t appended, written;
    size_t length;

    TR_IGNORE(tr_checkpoint("waiting for changes"));
    pthread_mutex_lock(&journal->lock);
    while (journal->used == 0 && status == TR_OK) {
      status = tr_cond_wait(&journal->not_empty, &journal->lock, TR_FOREVER);
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
