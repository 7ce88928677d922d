/* cp_exit.h - the end of the process, and what is read before it; a part of cplatform.h.

   Shims. All of them work while another thread holds any lock of libc's: they make system calls,
   and allocate nothing. `exit`, `abort` and `_exit` are not used: the first two take locks, and a
   sanitizer intercepts the third to run code of its own.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_EXIT_H
#define TASKREG_CP_EXIT_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cp_descriptors.h"
#include "cp_threads.h"

/* End the process at once with that status; no handler of atexit(3) and no destructor runs. */
static inline __attribute__((noreturn)) void cp_end_process(int status) {
  for (;;) syscall(SYS_exit_group, status);
}

/* Give signal `number` its default action, and unblock it in the calling thread. By system call:
   sigaction(2) of newer versions of glibc takes the lock of abort(3). */
static inline void cp_make_fatal(int number) {
  /* The kernel's structure, all zero: SIG_DFL, no flags, an empty mask. It has 32 bytes or less. */
  uint64_t by_default[8] = {0}, mask = UINT64_C(1) << (number - 1);
  syscall(SYS_rt_sigaction, number, by_default, NULL, sizeof mask);
  syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, sizeof mask);
}

/* End the process by SIGABRT, with a core where the system writes one, whatever handler the program
   has. The first process of a PID namespace does not get signals that it sends itself: it ends by a
   fault, as in abort(3). */
static inline __attribute__((noreturn)) void cp_end_process_by_abort(void) {
  cp_make_fatal(SIGILL);
  cp_make_fatal(SIGTRAP);
  cp_make_fatal(SIGABRT);
  syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), SIGABRT);
  __builtin_trap();
}

/* Give the calling thread a descriptor table of its own with one or two of the process's
   descriptors; both are above 2, and `other` may be -1. The process's table is not changed. False
   if Linux is older than 5.9, or forbids it. */
static inline bool cp_use_only_descriptors(int one, int other) {
  int saved = errno;
  const unsigned close_range_unshare = 1u << 1;
  unsigned low = (unsigned)(other < 0 || one < other ? one : other);
  unsigned high = (unsigned)(one > other ? one : other);
  bool is_done = syscall(436, high + 1, ~0u, close_range_unshare) == 0;
  if (is_done) {
    syscall(436, 0u, low - 1, 0u);
    if (low + 1 < high) syscall(436, low + 1, high - 1, 0u);
  }
  errno = saved;
  return is_done;
}

/* Duplicate a descriptor: closed on exec, and above 2. Negative, with errno set, if it is not open
   or none is available. */
static inline int cp_duplicate(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }

/* Open a file for appending, which is made if it is not there; or, to replace what is in it, for
   writing from its start. Negative, with errno set, if that fails. */
static inline int cp_open_to_write(const char *path, bool replaces) {
  int cancellation = cp_disable_cancellation();
  int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  int fd = cp_not_standard(open(path, flags | (replaces ? O_TRUNC : O_APPEND), 0666));
  int failure = errno;
  cp_set_cancellation(cancellation);
  errno = failure;
  return fd;
}

/* The threads of a process, read from its directory "task" in proc(5) by getdents64(2). */
struct cp_thread_list {
  int fd;
  int place, filled;   /* in `entries` */
  uint64_t entries[64];
};

/* Open the list at `path`. Returns 0 or the error number. */
static inline int cp_thread_list_open(struct cp_thread_list *list, const char *path) {
  int saved = errno, cancellation = cp_disable_cancellation();
  list->place = list->filled = 0;
  list->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int failure = list->fd < 0 ? errno : 0;
  cp_set_cancellation(cancellation);
  errno = saved;
  return failure;
}

static inline void cp_thread_list_close(struct cp_thread_list *list) { cp_close(list->fd); }

/* The id of the next thread; 0 at the end; a negative error number if the list cannot be read. */
static inline int32_t cp_thread_list_next(struct cp_thread_list *list) {
  /* struct linux_dirent64: two 64-bit numbers, the entry's length in 16 bits, type and name. */
  enum { LENGTH_AT = 16, NAME_AT = 19 };
  const char *bytes = (const char *)list->entries;
  for (;;) {
    if (list->place >= list->filled) {
      int saved = errno;
      long count = syscall(SYS_getdents64, list->fd, list->entries, sizeof list->entries);
      int failure = errno;
      errno = saved;
      if (count < 0) return -failure;
      if (count == 0) return 0;
      list->place = 0;
      list->filled = (int)count;
    }
    const char *entry = bytes + list->place;
    uint16_t length;
    memcpy(&length, entry + LENGTH_AT, sizeof length);
    list->place += length;
    int32_t id = 0;
    for (const char *digit = entry + NAME_AT; *digit >= '0' && *digit <= '9'; digit++)
      id = id * 10 + (*digit - '0');
    if (id > 0) return id;
  }
}

#endif
