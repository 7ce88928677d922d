/* cp_peek.h - memory of this process that may be unmapped, or be changed by other threads while it
   is read; a part of cplatform.h.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_PEEK_H
#define TASKREG_CP_PEEK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Copy memory of this process (process_vm_readv(2)). Returns how many bytes were copied, or a
   negative error number: EFAULT, or EPERM or ENOSYS where the system forbids it.
   Async-signal-safe. */
static inline ssize_t cp_read_own_memory(uint64_t address, void *bytes, size_t size) {
  struct iovec to = {bytes, size}, from = {(void *)(uintptr_t)address, size};
  int saved = errno;
  /* As wide as the kernel reads them: syscall(3) is variadic, and would pass garbage beside an
     int. */
  unsigned long one = 1, no_flags = 0;
  ssize_t count = syscall(SYS_process_vm_readv, (long)getpid(), &to, one, &from, one, no_flags);
  if (count < 0) count = -errno;
  errno = saved;
  return count;
}

/* Copy all of it; false if a part cannot be read. Async-signal-safe. */
static inline bool cp_peek(uintptr_t address, void *to, size_t size) {
  return cp_read_own_memory(address, to, size) == (ssize_t)size;
}

#endif
