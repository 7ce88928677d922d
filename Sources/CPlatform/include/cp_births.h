/* cp_births.h - how many processes and threads the kernel has made, from which follows whether an
   id can have come round; a part of cplatform.h.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_BIRTHS_H
#define TASKREG_CP_BIRTHS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cp_descriptors.h"
#include "cp_faces.h"
#include "cp_files.h"
#include "cp_threads.h"

/* Whether numbers of threads (cp_birth) are given in one order, whichever processor makes a thread:
   on Linux 6.9 to 6.19. Before there are none; later kernels give each processor 4096 numbers at a
   time, so that those of two threads say little about how many were made between them. */
static inline bool cp_births_are_in_order(void) {
  char text[64];
  ssize_t count = cp_read_file("/proc/sys/kernel/osrelease", text, sizeof text - 1);
  if (count <= 0) return false;
  text[count] = 0;
  char *end = text;
  long major = strtol(text, &end, 10);
  long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;
  return major == 6 && minor >= 9 && minor <= 19;
}

/* The number that the kernel gave to a thread when it made it, and to no other since it booted; 0
   if that is not known. It is the inode of a pidfd for a thread (pidfd_open(2) with PIDFD_THREAD,
   Linux 6.9; the file system is pidfs). Each process and thread that is made takes one, and so does
   one whose making fails later. */
static inline uint64_t cp_birth(int32_t thread) {
#ifdef SYS_pidfd_open
  const long call = SYS_pidfd_open;
#else
  const long call = 434; /* on every processor */
#endif
  const unsigned long of_a_thread = O_EXCL;
  int saved = errno;
  int fd = (int)syscall(call, (long)thread, of_a_thread);
  errno = saved;
  if (fd < 0) return 0;
  uint64_t birth = cp_id_of_file(fd).inode;
  cp_close(fd);
  return birth;
}

/* The limit of thread ids (pid_max); 0 if it is not known. */
static inline uint64_t cp_largest_id(void) {
  char text[32];
  ssize_t count = cp_read_file("/proc/sys/kernel/pid_max", text, sizeof text - 1);
  if (count <= 0) return 0;
  text[count] = 0;
  long limit = strtol(text, NULL, 10);
  return limit > 0 ? (uint64_t)limit : 0;
}

/* How many processes and threads the kernel has made since it booted; UINT64_MAX if that is not
   known. Those whose making failed are not counted, though they may have taken an id. */
static inline uint64_t cp_births_since_boot(void) {
  static const char name[] = "\nprocesses ";
  uint64_t found = UINT64_MAX;
  char text[1024];
  int saved = errno, cancellation = cp_disable_cancellation();
  int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC | O_NOCTTY);
  size_t kept = 0; /* of the line before, which has a line for each interrupt in it */
  ssize_t count = 0;
  while (fd >= 0 && (count = read(fd, text + kept, sizeof text - 1 - kept)) > 0) {
    size_t filled = kept + (size_t)count;
    text[filled] = 0;
    const char *line = strstr(text, name);
    char *end = NULL;
    long number = line == NULL ? 0 : strtol(line + sizeof name - 1, &end, 10);
    if (line != NULL && *end == '\n' && number > 0) { /* it is whole; gVisor says 0 */
      found = (uint64_t)number;
      break;
    }
    kept = filled < 64 ? filled : 64;
    memmove(text, text + filled - kept, kept);
  }
  if (fd >= 0) close(fd);
  cp_set_cancellation(cancellation);
  errno = saved;
  return found;
}

#endif
