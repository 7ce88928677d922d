/* thread_state.h - the state that the kernel keeps for each thread, as far as `ThreadState`
   compares or restores it; a part of cplatform.h.

   Shims around raw system calls: glibc has no functions for most of them, and none is a
   cancellation point. What a kernel or a sandbox refuses is read as zeros, each time. errno is not
   changed.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_THREAD_STATE_H
#define TASKREG_THREAD_STATE_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A hash of numbers by FNV-1a (Fowler, Noll, Vo), word by word. */
static inline uint64_t cp_hash(uint64_t hash, const void *words, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint64_t word;
    memcpy(&word, (const char *)words + i * sizeof word, sizeof word);
    hash = (hash ^ word) * UINT64_C(1099511628211);
  }
  return hash;
}
static inline uint64_t cp_hash_start(void) { return UINT64_C(14695981039346656037); }

/* ---- Scheduling ---- */

/* The scheduling and affinity of a thread; the first members are those of struct sched_attr, 56
   bytes. */
struct cp_scheduling {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t times[3];
  uint32_t clamps[2];
  cpu_set_t affinity;
  size_t affinity_words; /* how many of its 64-bit words the kernel has filled */
};
enum { CP_SCHED_ATTR_SIZE = 56, CP_RESET_ON_FORK = 1, CP_SCHED_DEADLINE = 6 };

/* The scheduling of the thread `id`; 0 is the calling one (sched_getattr(2),
   sched_getaffinity(2)). */
static inline struct cp_scheduling cp_get_scheduling(int32_t id) {
  struct cp_scheduling now;
  int saved = errno;
  memset(&now, 0, sizeof now);
  if (syscall(SYS_sched_getattr, id, &now, CP_SCHED_ATTR_SIZE, 0) != 0) memset(&now, 0, sizeof now);
  long bytes = syscall(SYS_sched_getaffinity, id, sizeof now.affinity, &now.affinity);
  now.affinity_words = bytes > 0 ? (size_t)bytes / 8 : 0;
  errno = saved;
  return now;
}

/* The scheduling of a new thread whose creator is scheduled like this: SCHED_RESET_ON_FORK applies,
   and SCHED_DEADLINE is never inherited (sched(7)). */
static inline struct cp_scheduling cp_inherited(struct cp_scheduling of) {
  if ((of.flags & CP_RESET_ON_FORK) || of.policy == CP_SCHED_DEADLINE) {
    if (of.policy == SCHED_FIFO || of.policy == SCHED_RR || of.policy == CP_SCHED_DEADLINE) {
      of.policy = SCHED_OTHER;
      of.nice = 0;
    }
    if (of.nice < 0) of.nice = 0;
    of.priority = 0;
  }
  of.flags = 0;
  return of;
}

static inline uint64_t cp_scheduling_digest(const struct cp_scheduling *of) {
  uint64_t hash = cp_hash(cp_hash_start(), of, CP_SCHED_ATTR_SIZE / 8);
  return cp_hash(hash, &of->affinity, of->affinity_words);
}

/* Give the calling thread, whose scheduling is `now`, the scheduling `wanted`. False if the system
   refuses. `changes` is set if anything had to be changed. */
static inline bool cp_schedule(const struct cp_scheduling *now, const struct cp_scheduling *wanted,
                               bool *changes) {
  int saved = errno;
  bool done = true;
  if (wanted->size != 0 && (now->policy != wanted->policy || now->nice != wanted->nice ||
                            now->priority != wanted->priority)) {
    struct cp_scheduling attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.size = CP_SCHED_ATTR_SIZE;
    attributes.policy = wanted->policy;
    attributes.nice = wanted->nice;
    attributes.priority = wanted->priority;
    *changes = true;
    done = syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
  }
  static const cpu_set_t none;
  if (memcmp(&now->affinity, &wanted->affinity, sizeof none) != 0 &&
      memcmp(&wanted->affinity, &none, sizeof none) != 0) {
    *changes = true;
    long result = syscall(SYS_sched_setaffinity, 0, sizeof wanted->affinity, &wanted->affinity);
    done = result == 0 && done;
  }
  errno = saved;
  return done;
}

/* What the system has refused, as an errno each; 0: nothing. */
struct cp_refused {
  int32_t scheduling, affinity;
};

/* Change the calling thread's policy and priority, unless the policy is negative, and its nice
   value. Returns 0 or an errno. */
static inline int cp_change_scheduling(int32_t policy, uint32_t priority, int32_t nice) {
  struct cp_scheduling wanted = cp_get_scheduling(0);
  if (wanted.size == 0) return EPERM; /* a filter hides what there is */
  wanted.size = CP_SCHED_ATTR_SIZE;
  wanted.flags = 0;
  memset(wanted.times, 0, sizeof wanted.times);
  memset(wanted.clamps, 0, sizeof wanted.clamps);
  if (policy >= 0) {
    wanted.policy = (uint32_t)policy;
    wanted.priority = priority;
  }
  wanted.nice += nice;
  if (wanted.nice < -20) wanted.nice = -20;
  if (wanted.nice > 19) wanted.nice = 19;
  return syscall(SYS_sched_setattr, 0, &wanted, 0) != 0 ? errno : 0;
}

/* Change the scheduling of the calling thread, each part by itself, as one may be refused: to a
   policy with a priority, unless that is negative; its nice value by `nice`; its affinity to
   `words` words of `cpus`, unless there are none. */
static inline struct cp_refused cp_reschedule(int32_t policy, uint32_t priority, int32_t nice,
                                              const uint64_t *cpus, size_t words) {
  struct cp_refused refused = {0, 0};
  int saved = errno, code = 0;
  if (policy >= 0) refused.scheduling = cp_change_scheduling(policy, priority, 0);
  if (nice != 0) code = cp_change_scheduling(-1, 0, nice);
  if (refused.scheduling == 0) refused.scheduling = code;
  if (words > 0 && syscall(SYS_sched_setaffinity, 0, words * sizeof *cpus, cpus) != 0)
    refused.affinity = errno;
  errno = saved;
  return refused;
}

static inline int32_t cp_sched_other(void) { return SCHED_OTHER; }
static inline int32_t cp_sched_batch(void) { return 3; } /* SCHED_BATCH: a GNU extension */
static inline int32_t cp_sched_idle(void) { return 5; }  /* SCHED_IDLE: likewise */
static inline int32_t cp_sched_fifo(void) { return SCHED_FIFO; }
static inline int32_t cp_sched_rr(void) { return SCHED_RR; }

/* ---- Identity and surroundings ---- */

enum { CP_CAP_SETGID = 6, CP_CAP_SETUID = 7, CP_CAP_SYS_ADMIN = 21 };

/* The calling thread's capabilities (capget(2)): effective, permitted, inheritable. */
struct cp_capabilities {
  uint64_t effective, permitted, inheritable;
};
static inline struct cp_capabilities cp_get_capabilities(void) {
  struct { uint32_t version; int pid; } header = {0x20080522, 0};
  struct { uint32_t effective, permitted, inheritable; } data[2];
  struct cp_capabilities all = {0, 0, 0};
  int saved = errno;
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &header, data) == 0)
    for (int i = 0; i < 2; i++) {
      all.effective |= (uint64_t)data[i].effective << (32 * i);
      all.permitted |= (uint64_t)data[i].permitted << (32 * i);
      all.inheritable |= (uint64_t)data[i].inheritable << (32 * i);
    }
  errno = saved;
  return all;
}

/* The ids of the calling thread's file access (setfsuid(2): -1 changes nothing). */
static inline uint64_t cp_filesystem_ids(void) {
  return (uint64_t)(uint32_t)syscall(SYS_setfsuid, -1) << 32 | (uint32_t)syscall(SYS_setfsgid, -1);
}

/* Whether the calling thread can change its ids: by its capabilities, or as in a set-user-ID
   program. */
static inline bool cp_may_change_ids(uint64_t permitted) {
  return (permitted >> CP_CAP_SETUID & 1) || (permitted >> CP_CAP_SETGID & 1) ||
         syscall(SYS_getuid) != syscall(SYS_geteuid) || syscall(SYS_getgid) != syscall(SYS_getegid);
}

/* Whether the calling thread, `own`, shares working directory, root and umask with the main thread,
   `process` (kcmp(2)), as a number that is compared with an earlier one. */
static inline uint64_t cp_shares_directories(int32_t own, int32_t process) {
  int saved = errno;
  long order = syscall(SYS_kcmp, own, process, KCMP_FS, 0, 0);
  errno = saved;
  return (uint64_t)order;
}
/* Likewise whether they share one descriptor table. */
static inline uint64_t cp_shares_descriptors(int32_t own, int32_t process) {
  int saved = errno;
  long order = syscall(SYS_kcmp, own, process, KCMP_FILES, 0, 0);
  errno = saved;
  return (uint64_t)order;
}

/* The securebits of the calling thread (PR_GET_SECUREBITS in prctl(2)). */
static inline uint64_t cp_securebits(void) {
  int saved = errno;
  long bits = syscall(SYS_prctl, PR_GET_SECUREBITS, 0, 0, 0, 0);
  errno = saved;
  return (uint64_t)bits;
}

/* The confinement of the calling thread, in one number: no_new_privs, seccomp (prctl(2)). */
static inline uint64_t cp_confinement(void) {
  int saved = errno;
  uint64_t bits = (uint64_t)syscall(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) & 0xFF;
  bits = bits << 8 | ((uint64_t)syscall(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0, 0) & 0xFF);
  errno = saved;
  return bits;
}

/* The namespaces of the calling thread, or of the main thread, in one number. Mount namespaces are
   not included: entering one requires a directory table of the thread's own. One thread of several
   cannot enter a user namespace, and a time namespace only applies to children (setns(2)). */
static inline bool cp_may_enter_namespaces(uint64_t permitted) {
  return permitted >> CP_CAP_SYS_ADMIN & 1;
}
static inline uint64_t cp_namespaces(bool of_main) {
  static const char names[][20] = {"net",    "uts",              "ipc",
                                   "cgroup", "pid_for_children", "time_for_children"};
  uint64_t digest = cp_hash_start();
  int saved = errno;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[64] = {0};
    uint64_t text[8] = {0};
    const char *directory = of_main ? "/proc/self/ns/" : "/proc/thread-self/ns/";
    memcpy(path, directory, strlen(directory));
    memcpy(path + strlen(directory), names[i], sizeof names[i]);
    if (syscall(SYS_readlinkat, AT_FDCWD, path, text, sizeof text) < 0) text[0] = 1;
    digest = cp_hash(digest, text, 8);
  }
  errno = saved;
  return digest;
}

/* ---- State that is restored ---- */

/* The calling thread's stack for signal handlers. */
static inline stack_t cp_alternate_stack(void) {
  stack_t stack;
  memset(&stack, 0, sizeof stack);
  stack.ss_flags = SS_DISABLE;
  sigaltstack(NULL, &stack);
  return stack;
}
/* Set the calling thread's stack for signal handlers; false if the thread runs on the present
   one. */
static inline bool cp_set_alternate_stack(stack_t stack) {
  int saved = errno;
  if (stack.ss_flags & SS_DISABLE) stack.ss_size = MINSIGSTKSZ;
  bool done = sigaltstack(&stack, NULL) == 0;
  errno = saved;
  return done;
}

/* The timer slack of the calling thread, in nanoseconds (PR_SET_TIMERSLACK in prctl(2)). */
static inline uint64_t cp_timer_slack(void) {
  return (uint64_t)syscall(SYS_prctl, PR_GET_TIMERSLACK, 0, 0, 0, 0);
}
static inline void cp_set_timer_slack(uint64_t slack) {
  int saved = errno;
  if ((int64_t)slack > 0) syscall(SYS_prctl, PR_SET_TIMERSLACK, slack, 0, 0, 0);
  errno = saved;
}

/* The I/O priority of the calling thread (ioprio_get(2)); negative if it is not known. */
static inline int32_t cp_io_priority(void) {
  int saved = errno;
  long priority = syscall(SYS_ioprio_get, 1, 0);
  errno = saved;
  return (int32_t)priority;
}
/* Set the calling thread's I/O priority if it differs; false if the system refuses. */
static inline bool cp_restore_io_priority(int32_t priority) {
  int saved = errno;
  bool done = priority < 0 || cp_io_priority() == priority ||
              syscall(SYS_ioprio_set, 1, 0, priority) == 0;
  errno = saved;
  return done;
}

/* Whether the calling thread has no memory policy of its own (get_mempolicy(2)). */
static inline bool cp_has_default_memory_policy(void) {
  int saved = errno, mode = 0;
  bool is_default = syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) == 0 && mode == 0;
  errno = saved;
  return is_default;
}
static inline void cp_set_default_memory_policy(void) {
  int saved = errno;
  syscall(SYS_set_mempolicy, 0, NULL, 0);
  errno = saved;
}

#endif
