/* cp_target.h - another process: its memory, its descriptors; a part of cplatform.h.

   Shims, for the tool `taskreg`. None of them stops the process, or sends it a signal.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_TARGET_H
#define TASKREG_CP_TARGET_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Copy parts of a process's memory, each after the one before, to places one behind the other, of
   `size` bytes in total (process_vm_readv(2), which takes its parts in order). `number` of parts:
   1024 at the most. Returns how many bytes were copied in total, or a negative error number. */
static inline ssize_t cp_read_memory(int32_t process, const struct iovec *from, size_t number,
                                     void *bytes, size_t size) {
  struct iovec to = {bytes, size};
  int saved = errno;
  unsigned long one = 1, parts = number, no_flags = 0;
  ssize_t count = syscall(SYS_process_vm_readv, (long)process, &to, one, from, parts, no_flags);
  if (count < 0) count = -errno;
  errno = saved;
  return count;
}

/* A descriptor for a process (pidfd_open(2), Linux 5.3), or a negative error number. Calls by their
   numbers, which glibc's headers of 2019 do not have. */
static inline int cp_open_process(int32_t process) {
  int saved = errno;
  int fd = (int)syscall(434, (long)process, 0ul);
  if (fd < 0) fd = -errno;
  errno = saved;
  return fd;
}

/* A descriptor for the open file that is `number` in the table of a process (pidfd_getfd(2), Linux
   5.6), or a negative error number. */
static inline int cp_lend_descriptor(int process_fd, int number) {
  int saved = errno;
  int fd = (int)syscall(438, (long)process_fd, (long)number, 0ul);
  if (fd < 0) fd = -errno;
  errno = saved;
  return fd;
}

/* Open a regular file for reading; a negative error number if that fails. Anything else, which
   might do something when it is opened, is found out before (O_PATH, a GNU extension) and not
   opened: EINVAL. */
static inline int cp_open_file(const char *path) {
  const int path_only = 010000000;
  struct stat facts;
  char link[64];
  int saved = errno, fd = -EINVAL, place = open(path, path_only | O_CLOEXEC);
  if (place < 0) {
    fd = -errno;
  } else {
    if (fstat(place, &facts) == 0 && S_ISREG(facts.st_mode)) {
      snprintf(link, sizeof link, "/proc/self/fd/%d", place);
      fd = open(link, O_RDONLY | O_CLOEXEC | O_NOCTTY);
      if (fd < 0) fd = -errno;
    }
    close(place);
  }
  errno = saved;
  return fd;
}

/* The inode of an open file that is a regular one; 0 if it is not. */
static inline uint64_t cp_inode_of_file(int fd) {
  struct stat facts;
  int saved = errno;
  uint64_t inode = fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) ? facts.st_ino : 0;
  errno = saved;
  return inode;
}

#endif
