/* cp_memory.h - memory for stacks: mapping it, guard pages, and returning unused pages to the
   system; a part of cplatform.h.

   Shims.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_MEMORY_H
#define TASKREG_CP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cp_files.h"
#include "cp_objects.h"

/* Map memory for stacks: reserved, and not in huge pages, with which each stack that is used would
   cost 2 MiB. NULL if the system refuses. If the system forbids executable memory (SELinux), it is
   not executable. */
static inline void *cp_map_stacks(size_t size, bool executable) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
  void *memory = MAP_FAILED;
  if (executable) memory = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
  if (memory == MAP_FAILED) memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  madvise(memory, size, MADV_NOHUGEPAGE);
  return memory;
}
static inline void cp_unmap(void *memory, size_t size) { munmap(memory, size); }

/* Make pages fault on any access: by MADV_GUARD_INSTALL (Linux 6.13), which needs no mapping of its
   own, else by PROT_NONE. False if both fail. In a locked mapping the guard pages are unlocked. */
static inline bool cp_install_guard(void *pages, size_t size, bool is_locked) {
  const int guard_install = 102;
  if (!is_locked && madvise(pages, size, guard_install) == 0) return true;
  if (mprotect(pages, size, PROT_NONE) != 0) return false;
  if (is_locked) munlock(pages, size);
  return true;
}

/* Whether new mappings are locked at once, and so use memory whether or not it is touched
   (MCL_FUTURE of mlockall(2)). To find out, a page is mapped. */
static inline bool cp_mappings_are_locked(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  void *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) return true; /* RLIMIT_MEMLOCK, or no memory: use little */
  long with = cp_locked_memory();
  munmap(probe, page);
  /* If other threads lock or unlock memory meanwhile, this is a guess; a wrong one does no harm. */
  return with > 0 && cp_locked_memory() < with;
}

/* Whether an object of the program asks for executable stacks, as GNU C's nested functions need
   them; glibc then makes the stacks of its threads executable. */
static inline int cp_visit_stack_wish(struct cp_object *object, size_t size, void *wish) {
  (void)size;
  for (uint16_t i = 0; i < object->header_count; i++)
    if (object->headers[i].p_type == PT_GNU_STACK && (object->headers[i].p_flags & PF_X)) {
      *(bool *)wish = true;
      return 1;
    }
  return 0;
}
static inline bool cp_wants_executable_stacks(void) {
  bool wish = false;
  cp_iterate_objects(cp_visit_stack_wish, &wish);
  return wish;
}

/* Return the pages of a stack that no thread runs on to the system. */
static inline void cp_discard(void *memory, size_t size) {
  madvise(memory, size, MADV_DONTNEED);
}

/* Return the pages below the caller's frame to the system, as glibc does at the end of a thread
   whose stack it allocated. Nothing happens if the caller does not run on this stack. */
static inline void cp_discard_unused(void *stack, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t lowest = (uintptr_t)stack;
  uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
  if (frame < lowest || frame - lowest >= size) return;
  uintptr_t used = frame / page * page - page; /* a page for what the caller calls meanwhile */
  if (used > lowest) madvise(stack, used - lowest, MADV_DONTNEED);
}

#endif
