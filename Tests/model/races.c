/* races.c - accesses to ordinary memory.

   The core is compiled for `scripts/model --weak` with -sanitize=thread, and this file is what it
   calls in the place of ThreadSanitizer's library. Each eight bytes of the threads' stacks and
   blocks have the last accesses to them; two of the same bytes, one of them a write and one of them
   not atomic, of which neither happens before the other, are a race. ThreadSanitizer itself sees
   the orders of one execution on this machine; here they are those of each execution explored. */

#include "explorer.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { CELLS = 5, GRANULE = 8, GRANULES = (STACK + ARENA) / GRANULE };

struct cell {
  uint32_t clock;
  uint32_t code;     /* where in the program */
  uint8_t bytes;     /* which of the eight */
  uint8_t thread;
  bool isWrite, isAtomic;
};
struct granule {
  uint32_t epoch;
  struct cell cells[CELLS];
};
static struct granule *shadows[THREADS];

extern char __executable_start;

void races_begin_thread(int thread) {
  if (shadows[thread] != NULL) return;
  shadows[thread] = __real_mmap(NULL, GRANULES * sizeof **shadows, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (shadows[thread] == MAP_FAILED) model_fail("no memory for the accesses");
}

static struct granule *granule_of(uintptr_t address) {
  for (int i = thread_count - 1; i >= 0; i--) {
    uintptr_t offset = address - (uintptr_t)threads[i].stack;
    if (offset < STACK + ARENA) return &shadows[i][offset / GRANULE];
  }
  return NULL;
}

static void fail(const struct cell *then, const struct cell *now, uintptr_t address) {
  fprintf(stderr, "model: a race at %p: thread %d %s%s by code at 0x%x, thread %d %s%s by code at 0x%x\n",
          (void *)address, then->thread, then->isAtomic ? "atomically " : "",
          then->isWrite ? "writes" : "reads", then->code, now->thread,
          now->isAtomic ? "atomically " : "", now->isWrite ? "writes" : "reads", now->code);
  model_fail(now->code == 0 ? "memory was freed that another thread may still access"
                            : "a data race");
}

static void access_memory(uintptr_t address, size_t size, struct cell now) {
  if (!isWeak || thread_count == 0) return;
  const uint32_t *clock = threads[current].clock;
  now.clock = clock[current];
  now.thread = (uint8_t)current;
  for (uintptr_t end = address + size; address < end;) {
    uintptr_t base = address & ~(uintptr_t)(GRANULE - 1);
    uintptr_t stop = end < base + GRANULE ? end : base + GRANULE;
    now.bytes = (uint8_t)(((1u << (stop - base)) - 1) & ~((1u << (address - base)) - 1));
    struct granule *granule = granule_of(base);
    if (granule == NULL) return;
    if (granule->epoch != epoch) {
      memset(granule, 0, sizeof *granule);
      granule->epoch = epoch;
    }
    struct cell *place = NULL;
    for (struct cell *cell = granule->cells; cell < granule->cells + CELLS; cell++) {
      if (cell->bytes == 0) {
        if (place == NULL) place = cell;
        continue;
      }
      if ((cell->bytes & now.bytes) == 0) continue;
      bool isBefore = cell->clock <= clock[cell->thread];
      if (!isBefore && (cell->isWrite || now.isWrite) && !(cell->isAtomic && now.isAtomic))
        fail(cell, &now, base);
      /* Whatever races with the older one races with this as well. */
      bool isCovered = isBefore && (cell->bytes & ~now.bytes) == 0 && cell->isAtomic >= now.isAtomic &&
                       (now.isWrite || (!cell->isWrite && cell->thread == current));
      if (!isCovered) continue;
      if (place == NULL) {
        place = cell;
      } else {
        cell->bytes = 0;
      }
    }
    /* Full: the accesses to other bytes, or of other threads, that are ordered are the least loss. */
    for (int i = 0; place == NULL && i < CELLS; i++) {
      const struct cell *cell = &granule->cells[i];
      if (cell->clock <= clock[cell->thread]) place = &granule->cells[i];
    }
    if (place == NULL) place = &granule->cells[now.clock % CELLS];
    *place = now;
    address = stop;
  }
}

static uint32_t code_at(const void *address) {
  return (uint32_t)((uintptr_t)address - (uintptr_t)&__executable_start);
}

void races_atomic(const void *address, size_t size, bool isWrite) {
  access_memory((uintptr_t)address, size,
                (struct cell){.code = 1, .isWrite = isWrite, .isAtomic = true});
}

void races_free(const void *block, size_t size) {
  access_memory((uintptr_t)block, size, (struct cell){.isWrite = true});
  const uint32_t *clock = threads[current].clock;
  for (int i = 0; i < used_count; i++) {
    const struct location *place = used[i];
    if ((uintptr_t)place->address - (uintptr_t)block >= size) continue;
    for (int thread = 0; thread < thread_count; thread++)
      if (place->writes[thread] > clock[thread] || place->reads[thread] > clock[thread])
        model_fail("an atomic was freed that another thread may still access");
  }
}

/* ---- What code compiled with -sanitize=thread calls ------------------------------------------- */

#define ACCESS(name, size, isStored)                                                               \
  void __tsan_##name(void *address);                                                               \
  void __tsan_##name(void *address) {                                                              \
    access_memory((uintptr_t)address, size,                                                        \
                  (struct cell){.code = code_at(__builtin_return_address(0)), .isWrite = isStored}); \
  }
#define ACCESSES(size)                                                                             \
  ACCESS(read##size, size, false)                                                                  \
  ACCESS(write##size, size, true)                                                                  \
  ACCESS(unaligned_read##size, size, false)                                                        \
  ACCESS(unaligned_write##size, size, true)
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

#define SELF (uint32_t)(uintptr_t) code_at(__builtin_return_address(0))
void *__tsan_memcpy(void *to, const void *from, size_t size);
void *__tsan_memcpy(void *to, const void *from, size_t size) {
  access_memory((uintptr_t)from, size, (struct cell){.code = SELF});
  access_memory((uintptr_t)to, size, (struct cell){.code = SELF, .isWrite = true});
  return memcpy(to, from, size);
}
void *__tsan_memmove(void *to, const void *from, size_t size);
void *__tsan_memmove(void *to, const void *from, size_t size) {
  access_memory((uintptr_t)from, size, (struct cell){.code = SELF});
  access_memory((uintptr_t)to, size, (struct cell){.code = SELF, .isWrite = true});
  return memmove(to, from, size);
}
void *__tsan_memset(void *to, int byte, size_t size);
void *__tsan_memset(void *to, int byte, size_t size) {
  access_memory((uintptr_t)to, size, (struct cell){.code = SELF, .isWrite = true});
  return memset(to, byte, size);
}

#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* Swift's lazily made statics, once for all executions. */
uint64_t __tsan_atomic64_load(const volatile uint64_t *place, int order) {
  (void)order;
  return *place;
}
void __tsan_atomic64_store(volatile uint64_t *place, uint64_t value, int order) {
  (void)order;
  *place = value;
}

/* Atomics of the C shims; the orders are the compiler's, as `__ATOMIC_RELAXED`. */
static uint32_t shim(void *place, int kind, uint32_t operand, int order) {
  static const int orders[] = {MODEL_RELAXED, MODEL_ACQUIRE, MODEL_ACQUIRE, MODEL_RELEASE,
                               MODEL_ACQUIRE | MODEL_RELEASE,
                               MODEL_ACQUIRE | MODEL_RELEASE | MODEL_SEQUENTIAL};
  return (uint32_t)model_atomic((struct model_operation){
      .address = place, .operand = operand, .size = 4, .kind = kind, .order = orders[order]});
}
uint32_t __tsan_atomic32_load(void *place, int order) { return shim(place, MODEL_LOAD, 0, order); }
void __tsan_atomic32_store(void *place, uint32_t value, int order) {
  shim(place, MODEL_STORE, value, order);
}
uint32_t __tsan_atomic32_fetch_add(void *place, uint32_t value, int order) {
  return shim(place, MODEL_ADD, value, order);
}
uint32_t __tsan_atomic32_fetch_sub(void *place, uint32_t value, int order) {
  return shim(place, MODEL_ADD, 0u - value, order);
}
void __tsan_init(void) {}
void __tsan_func_entry(void *caller) { (void)caller; }
void __tsan_func_exit(void) {}
void __tsan_external_read(void *a, void *b, void *c) { (void)a, (void)b, (void)c; }
void __tsan_external_write(void *a, void *b, void *c) { (void)a, (void)b, (void)c; }
