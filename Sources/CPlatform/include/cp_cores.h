/* cp_cores.h - core files: what their notes have of threads, and a copy of one that comes by a
   pipe; a part of cplatform.h.

   Shims, for the tool `taskreg`.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_CORES_H
#define TASKREG_CP_CORES_H

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/user.h>
#include <unistd.h>

#include "cp_files.h"

/* The machine that this program is for, as core files name it; 0: those of it are not read. */
static inline uint16_t cp_core_machine(void) {
#if defined(__x86_64__) && defined(__LP64__)
  return EM_X86_64;
#elif defined(__aarch64__) && defined(__LP64__)
  return EM_AARCH64;
#else
  return 0;
#endif
}

/* A thread, by its note. */
struct cp_core_thread {
  int32_t id;
  int32_t signal;     /* by which the process was ended; 0: none */
  int64_t cpu;        /* its CPU time in nanoseconds; 0 where a debugger wrote it */
  int32_t place;      /* 0: not known, 1: it ran, 2: in the program, 3: in a system call */
  int32_t call;       /* which; else -1 */
  uint64_t words[8];  /* its six arguments, the stack pointer, the address of what comes next */
  uint64_t pointer;   /* the thread pointer, from which thread-local variables are counted */
};

/* Read a note of the type NT_PRSTATUS; false if it is not of this machine's form.

   A thread that slept in a system call was woken by the signal that ended the process, or that the
   debugger stopped it with: the register for the result then has one of the numbers by which the
   kernel knows that the call has to be made again (ERESTARTSYS to ERESTART_RESTARTBLOCK), or EINTR.
   With any other result the call was over. */
static inline bool cp_read_core_thread(const void *note, size_t size,
                                       struct cp_core_thread *thread) {
  struct elf_prstatus status;
  memset(thread, 0, sizeof *thread);
  thread->call = -1;
  if (size != sizeof status) return false;
  memcpy(&status, note, sizeof status);
  thread->id = status.pr_pid;
  thread->signal = status.pr_cursig;
  const int64_t most = 1000000000, user = status.pr_utime.tv_sec, system = status.pr_stime.tv_sec;
  const int64_t parts = (int64_t)(uint32_t)status.pr_utime.tv_usec +
                        (int64_t)(uint32_t)status.pr_stime.tv_usec;
  /* No thread can have used more. */
  if (user >= 0 && user < most && system >= 0 && system < most)
    thread->cpu = (user + system) * 1000000000 + parts * 1000;
#if defined(__x86_64__) && defined(__LP64__)
  struct user_regs_struct own;
  if (sizeof status.pr_reg != sizeof own) return false;
  memcpy(&own, &status.pr_reg, sizeof own);
  const int64_t result = (int64_t)own.rax;
  const uint64_t words[8] = {own.rdi, own.rsi, own.rdx, own.r10, own.r8, own.r9, own.rsp, own.rip};
  memcpy(thread->words, words, sizeof words);
  thread->pointer = own.fs_base;
  if ((int64_t)own.orig_rax < 0 || own.orig_rax > 0xFFFF) {
    thread->place = 2;
  } else if (result == -EINTR || (result <= -512 && result >= -516 && result != -515)) {
    thread->place = 3;
    thread->call = (int32_t)own.orig_rax;
  } else {
    thread->place = 1;
  }
#endif
  return true;
}

/* The process, by a note of the type NT_PRPSINFO: its id, and its name with a NUL behind. */
static inline bool cp_read_core_process(const void *note, size_t size, int32_t *id, char *name,
                                        size_t room) {
  struct elf_prpsinfo facts;
  if (size != sizeof facts || room < sizeof facts.pr_fname) return false;
  memcpy(&facts, note, sizeof facts);
  *id = facts.pr_pid;
  memcpy(name, facts.pr_fname, sizeof facts.pr_fname);
  name[sizeof facts.pr_fname - 1] = 0;
  return true;
}

/* Read bytes of a file at an offset, as many as there are; a negative error number. */
static inline ssize_t cp_read_some(int fd, uint64_t offset, void *to, size_t size) {
  size_t filled = 0;
  int saved = errno;
  while (filled < size && offset <= (uint64_t)INT64_MAX - filled) {
    ssize_t count = pread(fd, (char *)to + filled, size - filled, (off_t)(offset + filled));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && filled == 0) filled = (size_t)-errno;
    if (count <= 0) break;
    filled += (size_t)count;
  }
  errno = saved;
  return (ssize_t)filled;
}

/* The size of an open file, and when it was written last, in nanoseconds since 1970; false unless
   it is a regular one. */
static inline bool cp_facts_of_file(int fd, uint64_t *size, int64_t *written) {
  struct stat facts;
  int saved = errno;
  bool is_regular = fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
  errno = saved;
  if (!is_regular) return false;
  *size = (uint64_t)facts.st_size;
  *written = (int64_t)facts.st_mtim.tv_sec * 1000000000 + facts.st_mtim.tv_nsec;
  return true;
}

/* Copy all that can be read of a descriptor to a file without a name, in TMPDIR or /var/tmp; blocks
   of zeroes become holes. Returns the file, or a negative error number. */
static inline int cp_keep_input(int from) {
  enum { BLOCK = 1 << 16 };
  static char bytes[BLOCK];
  const char *folder = cp_environment("TMPDIR");
  char path[4096];
  if (folder == NULL || folder[0] != '/') folder = "/var/tmp";
  if (strlen(folder) > sizeof path - 32) return -ENAMETOOLONG;
  snprintf(path, sizeof path, "%s/taskreg-XXXXXX", folder);
  int to = mkstemp(path);
  if (to < 0) return -errno;
  unlink(path);
  off_t end = 0;
  while (true) {
    ssize_t count = read(from, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0 && ftruncate(to, end) == 0) return to;
    if (count <= 0) break;
    const bool is_hole = bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)count - 1) == 0;
    for (ssize_t done = 0; !is_hole && done < count;) {
      ssize_t written = pwrite(to, bytes + done, (size_t)(count - done), end + done);
      if (written < 0 && errno != EINTR) goto failed;
      if (written > 0) done += written;
    }
    end += count;
  }
failed:;
  int error = errno;
  close(to);
  return -error;
}

#endif
