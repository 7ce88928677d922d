/* 06-service/store.c - the hash table.

   LOCKING: `lock` guards all the rest. It is held for a few string operations, or for one slice of the
   table; nothing is called under it but the C library's string functions and malloc.
   Calls come from the tasks of connections, from the compaction, and at the end from main.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE /* strdup */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store.h"

static struct store_entry **store_bucket(struct store *store, const char *key) {
  uint32_t hash = 2166136261u; /* FNV-1a */

  for (const unsigned char *byte = (const unsigned char *)key; *byte != '\0'; byte++) {
    hash = (hash ^ *byte) * 16777619u;
  }
  return &store->buckets[hash % STORE_BUCKETS];
}

/* Requires that the lock is held. */
static struct store_entry *store_find(struct store *store, const char *key) {
  struct store_entry *entry = *store_bucket(store, key);

  while (entry != NULL && strcmp(entry->key, key) != 0) {
    entry = entry->next;
  }
  return entry;
}

int store_get(struct store *store, const char *key, char *value, size_t capacity) {
  struct store_entry *entry;
  int found;

  pthread_mutex_lock(&store->lock);
  entry = store_find(store, key);
  found = entry != NULL && entry->value != NULL;
  if (found) {
    snprintf(value, capacity, "%s", entry->value);
  }
  pthread_mutex_unlock(&store->lock);
  return found ? 0 : -1;
}

int store_set(struct store *store, const char *key, const char *value) {
  char *surplus = value != NULL ? strdup(value) : NULL; /* what is left to free in the end */
  struct store_entry *entry;
  int result = 0;

  if (value != NULL && surplus == NULL) {
    return -1;
  }
  pthread_mutex_lock(&store->lock);
  entry = store_find(store, key);
  if (entry == NULL && value != NULL) {
    entry = store->entries < STORE_LIMIT ? malloc(sizeof *entry + strlen(key) + 1) : NULL;
    if (entry != NULL) {
      struct store_entry **bucket = store_bucket(store, key);
      strcpy(entry->key, key);
      entry->value = NULL;
      entry->next = *bucket;
      *bucket = entry;
      store->entries++;
    } else {
      result = -1;
    }
  }
  if (entry != NULL) {
    char *old = entry->value;
    entry->value = surplus;
    surplus = old;
  }
  pthread_mutex_unlock(&store->lock);
  free(surplus);
  return result;
}

/* Unlink the entries of one slice that are deleted, or all of them. Returns how many it freed. */
static size_t store_sweep(struct store *store, size_t slice, int all) {
  struct store_entry *doomed = NULL;
  size_t freed = 0;

  pthread_mutex_lock(&store->lock);
  for (size_t i = slice; i < STORE_BUCKETS; i += STORE_SLICES) {
    struct store_entry **link = &store->buckets[i];
    while (*link != NULL) {
      struct store_entry *entry = *link;
      if (entry->value != NULL && !all) {
        link = &entry->next;
      } else {
        *link = entry->next;
        entry->next = doomed;
        doomed = entry;
        freed++;
      }
    }
  }
  store->entries -= freed;
  pthread_mutex_unlock(&store->lock);
  while (doomed != NULL) {
    struct store_entry *next = doomed->next;
    free(doomed->value);
    free(doomed);
    doomed = next;
  }
  return freed;
}

size_t store_compact(struct store *store, size_t slice) {
  return store_sweep(store, slice, 0);
}

void store_clear(struct store *store) {
  for (size_t slice = 0; slice < STORE_SLICES; slice++) {
    (void)store_sweep(store, slice, 1);
  }
}
