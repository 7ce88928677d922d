/* cp_waits.h - what a thread waits for: system calls by what their arguments say, memory that may
   be unmapped, the layout of glibc's locks, and a thread that waits in them on purpose; a part of
   cplatform.h.

   Shims, and a trial: a thread that waits in one of glibc's locks after the other, so that it
   shows where glibc's own code makes the system calls (Base/LockTrial.swift).

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_WAITS_H
#define TASKREG_CP_WAITS_H

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cp_peek.h"

/* Where the fields of glibc's locks are, in bytes; from the header that the library is built with.
   The trial checks at run time that the glibc which is there agrees. With another C library they
   are not used: the trial is not made. */
#ifdef __GLIBC__
enum {
  CP_MUTEX_WORD = offsetof(pthread_mutex_t, __data.__lock),
  CP_MUTEX_COUNT = offsetof(pthread_mutex_t, __data.__count),
  CP_MUTEX_OWNER = offsetof(pthread_mutex_t, __data.__owner),
  CP_MUTEX_USERS = offsetof(pthread_mutex_t, __data.__nusers),
  CP_MUTEX_KIND = offsetof(pthread_mutex_t, __data.__kind),
  CP_MUTEX_PREVIOUS = offsetof(pthread_mutex_t, __data.__list.__prev),
  CP_MUTEX_NEXT = offsetof(pthread_mutex_t, __data.__list.__next),
  CP_RWLOCK_READERS = offsetof(pthread_rwlock_t, __data.__readers),
  CP_RWLOCK_PHASE = offsetof(pthread_rwlock_t, __data.__wrphase_futex),
  CP_RWLOCK_WRITERS = offsetof(pthread_rwlock_t, __data.__writers_futex),
  CP_RWLOCK_PAD = offsetof(pthread_rwlock_t, __data.__pad3),
  CP_RWLOCK_WRITER = offsetof(pthread_rwlock_t, __data.__cur_writer),
  CP_RWLOCK_SHARED = offsetof(pthread_rwlock_t, __data.__shared),
  CP_RWLOCK_FLAGS = offsetof(pthread_rwlock_t, __data.__flags)
};
#else
enum {
  CP_MUTEX_WORD, CP_MUTEX_COUNT, CP_MUTEX_OWNER, CP_MUTEX_USERS, CP_MUTEX_KIND, CP_MUTEX_PREVIOUS,
  CP_MUTEX_NEXT, CP_RWLOCK_READERS, CP_RWLOCK_PHASE, CP_RWLOCK_WRITERS, CP_RWLOCK_PAD,
  CP_RWLOCK_WRITER, CP_RWLOCK_SHARED, CP_RWLOCK_FLAGS
};
#endif

/* Whether the C library is one whose locks are known here. */
static inline bool cp_knows_locks(void) {
#ifdef __GLIBC__
  return true;
#else
  return false;
#endif
}

/* What the arguments of a system call say about what it waits for: the numbers of
   `CallArguments`. close(2) is left out: its number is free again while it waits; so are calls with
   two descriptors. */
static inline uint8_t cp_call_arguments(int32_t number) {
  switch (number) {
  case SYS_futex: return 1;
  /* The first is a descriptor. */
#ifdef SYS_epoll_wait
  case SYS_epoll_wait:
#endif
#ifdef SYS_epoll_pwait2
  case SYS_epoll_pwait2:
#endif
  case SYS_epoll_pwait:
  case SYS_fallocate:
  case SYS_fdatasync:
  case SYS_fsync:
  case SYS_ftruncate:
  case SYS_getdents64:
  case SYS_ioctl:
  case SYS_lseek:
  case SYS_pread64:
  case SYS_preadv:
  case SYS_preadv2:
  case SYS_pwrite64:
  case SYS_pwritev:
  case SYS_pwritev2:
  case SYS_read:
  case SYS_readv:
  case SYS_sync_file_range:
  case SYS_syncfs:
  case SYS_write:
  case SYS_writev: return 2;
  /* The first is a socket: the kernel takes nothing else. */
#ifdef SYS_accept
  case SYS_accept:
#endif
  case SYS_accept4:
  case SYS_connect:
  case SYS_recvfrom:
  case SYS_recvmmsg:
  case SYS_recvmsg:
  case SYS_sendmmsg:
  case SYS_sendmsg:
  case SYS_sendto:
  case SYS_shutdown: return 10;
  /* An array of `struct pollfd`, and their number. */
#ifdef SYS_poll
  case SYS_poll:
#endif
  case SYS_ppoll: return 3;
#ifdef SYS_select
  case SYS_select:
#endif
  case SYS_pselect6: return 4;
  case SYS_nanosleep:
  case SYS_clock_nanosleep: return 5;
  /* A process, in the first; and in the second, by the kind in the first. */
  case SYS_wait4: return 6;
  case SYS_waitid: return 7;
  case SYS_flock: return 8;
  case SYS_fcntl: return 9;
  default: return 0;
  }
}

/* The address of the list of robust mutexes of a thread of this process, which is in glibc's
   descriptor of the thread (get_robust_list(2)); 0 for the caller; 0 if it is not known. */
static inline uint64_t cp_robust_list(int32_t thread_id) {
  int saved = errno;
  void *head = NULL;
  size_t size = 0;
  if (syscall(SYS_get_robust_list, thread_id, &head, &size) != 0) head = NULL;
  errno = saved;
  return (uint64_t)(uintptr_t)head;
}

/* How far behind the caller's id, in glibc's descriptor of the thread, the word is that the kernel
   sets to 0 at the thread's end, in bytes (PR_GET_TID_ADDRESS of prctl(2)); 0: the id is that word;
   -1: not known. The descriptor is where pthread_self says; the id is in it once before that
   word. */
static inline int64_t cp_end_word(int32_t thread_id) {
  int saved = errno;
  uint64_t word = 0, start = (uint64_t)(uintptr_t)(void *)pthread_self();
  int64_t distance = -1;
  long result = syscall(SYS_prctl, 40L /* PR_GET_TID_ADDRESS */, &word, 0L, 0L, 0L);
  errno = saved;
  if (result != 0 || word % sizeof(int32_t) != 0 || word - start >= 4096) return -1;
  for (uint64_t place = start; place <= word; place += sizeof(int32_t)) {
    if (*(volatile const int32_t *)(uintptr_t)place != thread_id) continue;
    if (distance >= 0) return -1;
    distance = (int64_t)(word - place);
  }
  return distance;
}

/* Sleep for a moment, or less if a signal comes. */
static inline void cp_pause(long nanoseconds) {
  int saved = errno;
  struct timespec time = {0, nanoseconds};
  syscall(SYS_nanosleep, &time, NULL);
  errno = saved;
}

/* The trial: a thread waits for `plain`, `robust`, `rwlock` and `semaphore`, one after the other,
   each of which its maker holds until it has seen it wait. Neither of the two waits for the
   other indefinitely: the last of them frees it. */
struct cp_lock_trial {
  pthread_mutex_t plain, robust;
  pthread_rwlock_t rwlock;
  sem_t semaphore;
  int64_t end_word;  /* as cp_end_word, before thread_id */
  int32_t thread_id; /* of that thread; 0 before */
  int32_t holders;
};

static inline void cp_lock_trial_drop(struct cp_lock_trial *trial) {
  if (__atomic_sub_fetch(&trial->holders, 1, __ATOMIC_ACQ_REL) != 0) return;
  pthread_mutex_destroy(&trial->plain);
  pthread_mutex_destroy(&trial->robust);
  pthread_rwlock_destroy(&trial->rwlock);
  sem_destroy(&trial->semaphore);
  free(trial);
}

/* A trial whose locks are held by the caller; NULL without memory. */
static inline struct cp_lock_trial *cp_lock_trial_make(void) {
  struct cp_lock_trial *trial = (struct cp_lock_trial *)calloc(1, sizeof *trial);
  pthread_mutexattr_t robust;
  if (trial == NULL) return NULL;
  trial->holders = 2;
  if (pthread_mutexattr_init(&robust) != 0) return free(trial), NULL;
  bool made = pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST) == 0 &&
              pthread_mutex_init(&trial->robust, &robust) == 0 &&
              pthread_mutex_init(&trial->plain, NULL) == 0 &&
              pthread_rwlock_init(&trial->rwlock, NULL) == 0 &&
              sem_init(&trial->semaphore, 0, 0) == 0;
  pthread_mutexattr_destroy(&robust);
  if (!made) return free(trial), NULL;
  pthread_mutex_lock(&trial->plain);
  pthread_mutex_lock(&trial->robust);
  pthread_rwlock_wrlock(&trial->rwlock);
  return trial;
}

/* The thread's part. */
static inline void cp_lock_trial_run(struct cp_lock_trial *trial, int32_t thread_id) {
  trial->end_word = cp_end_word(thread_id);
  __atomic_store_n(&trial->thread_id, thread_id, __ATOMIC_RELEASE);
  pthread_mutex_lock(&trial->plain);
  pthread_mutex_unlock(&trial->plain);
  if (pthread_mutex_lock(&trial->robust) == 0) pthread_mutex_unlock(&trial->robust);
  pthread_rwlock_rdlock(&trial->rwlock);
  pthread_rwlock_unlock(&trial->rwlock);
  while (sem_wait(&trial->semaphore) != 0) continue;
  cp_lock_trial_drop(trial);
}

static inline int32_t cp_lock_trial_thread(struct cp_lock_trial *trial) {
  return __atomic_load_n(&trial->thread_id, __ATOMIC_ACQUIRE);
}

/* Of the thread, once its id is there. */
static inline int64_t cp_lock_trial_end_word(const struct cp_lock_trial *trial) {
  return trial->end_word;
}

/* The lock of step 0 to 3: its address, and where in it the thread waits. */
static inline uint64_t cp_lock_trial_lock(struct cp_lock_trial *trial, int step) {
  void *lock = step == 0   ? (void *)&trial->plain
               : step == 1 ? (void *)&trial->robust
               : step == 2 ? (void *)&trial->rwlock
                           : (void *)&trial->semaphore;
  return (uint64_t)(uintptr_t)lock;
}

/* Let the thread go on from a step; from the last, to its end. */
static inline void cp_lock_trial_let_go(struct cp_lock_trial *trial, int step) {
  if (step == 0) pthread_mutex_unlock(&trial->plain);
  if (step == 1) pthread_mutex_unlock(&trial->robust);
  if (step == 2) pthread_rwlock_unlock(&trial->rwlock);
  if (step == 3) sem_post(&trial->semaphore);
}

#endif
