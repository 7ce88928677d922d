/* guarded.h - structures of strange sizes, behind which nothing can be read or written. */

#ifndef TASKREG_TESTS_GUARDED_H
#define TASKREG_TESTS_GUARDED_H

#include "support.h"

#include <sys/mman.h>

/* A copy of `length` bytes, aligned to eight, that ends (within the alignment) where an unreadable
   page begins: what is read or written beyond is a crash. Freed with guarded_free. */
struct guarded {
  char *map;
  size_t map_size;
  void *object;
};

static inline struct guarded guarded_copy(const void *source, size_t length) {
  struct guarded guarded;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t pages = (length + page - 1) / page;
  guarded.map_size = (pages + 1) * page;
  guarded.map = mmap(NULL, guarded.map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                     -1, 0);
  CHECK(guarded.map != MAP_FAILED);
  CHECK_EQ(0, mprotect(guarded.map + pages * page, page, PROT_NONE));
  guarded.object = guarded.map + pages * page - (length + 7) / 8 * 8;
  memcpy(guarded.object, source, length);
  return guarded;
}

static inline void guarded_free(struct guarded guarded) {
  CHECK_EQ(0, munmap(guarded.map, guarded.map_size));
}

/* Beyond the 64 KiB that a structure may claim. */
static const uint32_t absurd_sizes[] = {65537u,      65544u,      1u << 20,    1u << 24, 1u << 30,
                                        0x7fffffffu, 0x80000000u, 0xfffffff8u, UINT32_MAX};
#define ABSURD_SIZES (sizeof absurd_sizes / sizeof *absurd_sizes)

/* A structure that claims `size` bytes, has no more, and has its size as its first field. */
static inline struct guarded sized_copy(const void *structure, size_t size) {
  struct guarded guarded = guarded_copy(structure, size);
  uint32_t claimed = (uint32_t)size;
  memcpy(guarded.object, &claimed, sizeof claimed);
  return guarded;
}

#endif /* TASKREG_TESTS_GUARDED_H */
