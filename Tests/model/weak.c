/* weak.c - atomics with the orders of C++11, as C++20 defines them where the two differ.

   Each atomic that two threads access unordered has its stores of this execution, in modification
   order. A load chooses among those that it may see, a store among the places in that order that it
   may take, an update (an exchange, a compare-and-swap) among the stores that none has updated yet.
   What may be seen follows from happens-before, kept as vector clocks:

   - A thread sees no store older than one that it, or an event that happens before, has written or
     read there (coherence: CoRR, CoWR, CoRW, CoWW).
   - A load that acquires learns what the store released that it reads from, or what the head of the
     release sequence did: updates hand on what they read. A store by the releasing thread itself does
     not: that rule of C++11 was removed in C++20, and to do without it finds more.
   - Fences: one that releases is released by each later relaxed store, one that acquires learns what
     earlier relaxed loads read.
   - Sequentially consistent accesses see nothing older at their atomic than any such access before
     them has seen or written, or any event that happens before such a fence. Such a fence makes the
     same true of all that happens after it.

   The machine lets each thread take its steps in the order of the program, so that no load sees a
   store that is executed later (the "no values out of thin air" of RC11), and takes the order of
   execution for the single order S of sequentially consistent events. Two things are therefore not
   explored which C++11 allows: load buffering, where a relaxed store overtakes a relaxed load; and
   orders S that contradict what threads learn through relaxed accesses. litmus.c shows both. */

#include "explorer.h"

#include <string.h>

/* One store, or the value that an atomic had at its first access. */
struct store {
  struct store *before, *after; /* in modification order */
  int rank;                     /* its place there */
  bool isUpdate;                /* it belongs to the one before it: nothing comes in between */
  uint64_t value, hash;
  uint32_t sync[THREADS];       /* what a load that acquires learns */
};

/* A thread saw or made a store when its clock was so far. */
struct sighting {
  uint32_t clock;
  struct store *store;
  struct sighting *earlier;
};

enum { STORES = 1 << 14, SIGHTINGS = 1 << 15 };
static struct store stores[STORES];
static struct sighting sightings[SIGHTINGS];
static int store_count, sighting_count;

void weak_begin(void) { store_count = sighting_count = 0; }

static struct store *new_store(uint64_t value) {
  if (store_count == STORES) model_fail("too many stores");
  struct store *store = &stores[store_count++];
  *store = (struct store){.value = value};
  return store;
}

static uint64_t value_at(const void *address, int size) {
  uint64_t value = 0;
  memcpy(&value, address, (size_t)size);
  return value;
}

/* The calling thread sees or makes `store`. */
static void see(struct location *place, struct store *store) {
  struct sighting *last = place->seen[current];
  if (last != NULL && last->store->rank >= store->rank) return;
  if (sighting_count == SIGHTINGS) model_fail("too many sightings");
  struct sighting *sighting = &sightings[sighting_count++];
  *sighting = (struct sighting){threads[current].clock[current], store, last};
  place->seen[current] = sighting;
}

/* The oldest store that the calling thread may see. */
static struct store *oldest(const struct location *place, bool isOrdered) {
  const uint32_t *clock = threads[current].clock;
  struct store *bound = place->first;
  for (int i = 0; i < thread_count; i++) {
    const struct sighting *sighting = place->seen[i];
    while (sighting != NULL && sighting->clock > clock[i]) sighting = sighting->earlier;
    if (sighting != NULL && sighting->store->rank > bound->rank) bound = sighting->store;
  }
  if (isOrdered && place->ordered != NULL && place->ordered->rank > bound->rank)
    bound = place->ordered;
  return bound;
}

static void order(struct location *place, struct store *store) {
  if (place->ordered == NULL || place->ordered->rank < store->rank) place->ordered = store;
}

static void insert(struct location *place, struct store *store, struct store *before) {
  store->before = before;
  store->after = before->after;
  before->after = store;
  if (store->after != NULL)
    store->after->before = store;
  else
    place->last = store;
  for (struct store *each = store; each != NULL; each = each->after) each->rank = each->before->rank + 1;
}

/* Whether the operation changes what it read. */
static bool changes(const struct model_operation *operation, uint64_t value) {
  switch (operation->kind) {
    case MODEL_LOAD: return false;
    case MODEL_COMPARE: return value == operation->expected;
    default: return true;
  }
}

uint64_t weak_access(struct location *place, const struct model_operation *operation) {
  struct thread *self = &threads[current];
  uint64_t memory = value_at(operation->address, operation->size);
  if (place->first == NULL || place->last->value != memory) {
    /* Its first access, or someone has made a new atomic there. */
    struct store *initial = new_store(memory);
    initial->hash = 1;
    place->first = place->last = initial;
    place->ordered = NULL;
    memset(place->seen, 0, sizeof place->seen);
  }
  int by = operation->order;
  struct store *bound = oldest(place, (by & MODEL_SEQUENTIAL) != 0);
  int count = 0;
  for (struct store *each = place->last;; each = each->before) {
    bool isTaken = each->after != NULL && each->after->isUpdate;
    if (!(isTaken && changes(operation, each->value))) count++;
    if (each == bound) break;
  }
  int taken = choose_stale(count);
  /* Set only now: to choose may begin another execution. */
  struct store *found = place->last;
  while (true) {
    bool isTaken = found->after != NULL && found->after->isUpdate;
    if (!(isTaken && changes(operation, found->value)) && taken-- == 0) break;
    found = found->before;
  }
  bool isLoad = operation->kind != MODEL_STORE;
  bool isStore = changes(operation, found->value);
  uint64_t hash = mix(mix(self->hash, (uintptr_t)operation->address), found->hash);
  if (isLoad) {
    see(place, found);
    join(self->pending, found->sync);
    /* A compare-and-swap that fails is a load, of the order that is left without the store. */
    if (by & MODEL_ACQUIRE) join(self->clock, found->sync);
    if (by & MODEL_SEQUENTIAL) order(place, found);
  }
  if (isStore) {
    struct store *store = new_store(model_result_of(operation, found->value));
    store->isUpdate = isLoad;
    memcpy(store->sync, by & MODEL_RELEASE ? self->clock : self->released, sizeof store->sync);
    if (isLoad) join(store->sync, found->sync);
    if (found->after != NULL) hash = mix(hash, found->after->hash);
    store->hash = hash = mix(hash, 2);
    insert(place, store, found);
    see(place, store);
    if (by & MODEL_SEQUENTIAL) order(place, store);
    if (store->after == NULL) memcpy(operation->address, &store->value, (size_t)operation->size);
    place->writes[current] = self->clock[current];
  } else {
    place->reads[current] = self->clock[current];
  }
  self->hash = hash;
  self->clock[current]++;
  return found->value;
}

void weak_fence(int by) {
  static char fences;
  struct thread *self = &threads[current];
  if (by & MODEL_SEQUENTIAL) {
    struct location *place = meeting_of(&fences);
    yield();
    note("fence", NULL, NULL, 0);
    touch(place, MODEL_WRITE);
  } else {
    self->hash = mix(self->hash, (uint64_t)by + 0x61);
  }
  if (by & MODEL_ACQUIRE) join(self->clock, self->pending);
  if (by & MODEL_SEQUENTIAL) {
    uint64_t before = 0;
    for (int i = 0; i < used_count; i++) {
      struct location *place = used[i];
      if (place->first == NULL) continue;
      if (place->ordered != NULL) {
        before += mix((uintptr_t)place->address, place->ordered->hash);
        if (place->ordered->rank > oldest(place, false)->rank) see(place, place->ordered);
      }
      order(place, oldest(place, false));
    }
    self->hash = mix(self->hash, before);
  }
  if (by & MODEL_RELEASE) memcpy(self->released, self->clock, sizeof self->released);
  self->clock[current]++;
}
