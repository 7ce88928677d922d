/* cp_files.h - small files, mostly those of proc(5), and the environment; a part of cplatform.h.

   Shims, and two that find a number in a file of proc(5). They allocate nothing.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_FILES_H
#define TASKREG_CP_FILES_H

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "cp_threads.h"

/* A GNU extension; see cp_threads.h. */
extern char *secure_getenv(const char *);

/* Return the value of an environment variable; NULL in a program that runs with more rights than
   its caller has (secure_getenv(3)). */
static inline const char *cp_environment(const char *name) { return secure_getenv(name); }

/* Read the first bytes of a file, at most `capacity`; if `is_whole`, by one read(2) that returns
   any. Returns their number, or a negative error number if the file cannot be opened or read. The
   descriptor is closed before this returns. While it is open it may be 0, 1 or 2, if those were
   closed; output of the program is then lost as it was before, because the descriptor is open only
   for reading. */
static inline ssize_t cp_read_first(const char *path, void *bytes, size_t capacity, int is_whole) {
  int saved = errno, cancellation = cp_disable_cancellation();
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  ssize_t count = -errno;
  if (fd >= 0) {
    size_t filled = 0;
    do {
      count = read(fd, (char *)bytes + filled, capacity - filled);
      if (count > 0) filled += (size_t)count;
    } while ((count > 0 && filled < capacity && !is_whole) || (count < 0 && errno == EINTR));
    count = count >= 0 || filled > 0 ? (ssize_t)filled : -errno;
    close(fd);
  }
  cp_set_cancellation(cancellation);
  errno = saved;
  return count;
}

/* The same of a file of any kind. */
static inline ssize_t cp_read_file(const char *path, void *bytes, size_t capacity) {
  return cp_read_first(path, bytes, capacity, 0);
}

/* The same of a file of proc(5) that the kernel writes whole for one read(2), if it fits; it is not
   asked a second time for the end. */
static inline ssize_t cp_read_at_once(const char *path, void *bytes, size_t capacity) {
  return cp_read_first(path, bytes, capacity, 1);
}

/* How many threads the process has apart from its main thread, if the main thread has ended by
   pthread_exit(3) while others run; -1 if it has not, or if that is not known. In a process's
   stat file (proc(5)) the state is that of the main thread, and num_threads counts all threads,
   the ended main thread included. The name in parentheses may have any characters. */
static inline long cp_threads_without_main(void) {
  char text[1024];
  ssize_t count = cp_read_file("/proc/self/stat", text, sizeof text - 1);
  if (count <= 0) return -1;
  text[count] = 0;
  const char *at = NULL;
  for (const char *c = text; *c != 0; c++) {
    if (*c == ')') at = c;
  }
  if (at == NULL || at[1] != ' ' || at[2] != 'Z') return -1;
  /* The state is field 3; num_threads is field 20. */
  at += 2;
  for (int field = 3; field < 20; at++) {
    if (*at == 0) return -1;
    if (*at == ' ') field++;
  }
  return strtol(at, NULL, 10) - 1;
}

/* Kibibytes of locked memory (VmLck of proc(5)); negative if that is not known. */
static inline long cp_locked_memory(void) {
  char text[4096];
  ssize_t count = cp_read_file("/proc/self/status", text, sizeof text - 1);
  if (count <= 0) return -1;
  text[count] = 0;
  const char *line = strstr(text, "\nVmLck:");
  return line == NULL ? -1 : strtol(line + 7, NULL, 10);
}

#endif
