/* 06-service/store.h - keys and values: a hash table behind a lock. It knows nothing of tasks.

   Any thread may call any of this; only store_clear requires that no other thread still uses the store.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_EXAMPLES_06_SERVICE_STORE_H
#define TASKREG_EXAMPLES_06_SERVICE_STORE_H

#include <pthread.h>
#include <stddef.h>

#define STORE_BUCKETS 4096
#define STORE_SLICES 64       /* parts of the table that are compacted one at a time */
#define STORE_LIMIT 1000000   /* entries, deleted ones that wait for the compaction included */

/* An entry in the chain of its bucket. Deleting only takes its value away, which is quick; the
   compaction unlinks and frees it later. */
struct store_entry {
  struct store_entry *next;
  char *value; /* NULL: deleted */
  char key[];
};

struct store {
  pthread_mutex_t lock;
  size_t entries;
  struct store_entry *buckets[STORE_BUCKETS];
};

#define STORE_INIT {.lock = PTHREAD_MUTEX_INITIALIZER}

/* Copy the value of `key` to `value`, as snprintf would. Returns 0, or -1 without such a key. */
int store_get(struct store *store, const char *key, char *value, size_t capacity);

/* Give `key` a value; NULL deletes it. Returns 0, or -1 when there is no room. */
int store_set(struct store *store, const char *key, const char *value);

/* Free the deleted entries of slice number `slice`. Returns how many there were. */
size_t store_compact(struct store *store, size_t slice);

/* Free all entries. */
void store_clear(struct store *store);

#endif /* TASKREG_EXAMPLES_06_SERVICE_STORE_H */
