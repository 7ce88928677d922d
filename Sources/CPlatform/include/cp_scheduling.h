/* cp_scheduling.h - CPUs, and hints to them; a part of cplatform.h.

   Shims: which CPU the caller runs on, how many it may use, and instructions for spin loops and
   caches.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_SCHEDULING_H
#define TASKREG_CP_SCHEDULING_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* GNU extensions; see cp_threads.h. */
extern int sched_getcpu(void);
extern int sched_getaffinity(pid_t, size_t, cpu_set_t *);

/* The CPU that the caller runs on, from the vDSO; -1 if it is not known. */
static inline int32_t cp_current_cpu(void) { return (int32_t)sched_getcpu(); }

/* How many CPUs the process may use: 1 under `taskset -c 0`. */
static inline int32_t cp_usable_cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int32_t count = 0;
  for (size_t i = 0; i < sizeof set / sizeof set.__bits[0]; i++)
    count += __builtin_popcountl(set.__bits[i]);
  return count;
}

/* Tell the CPU that this is a spin loop. */
static inline void cp_spin_hint(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

/* Ask for a cache line that is about to be written, so that reading and then writing it moves it
   once. */
static inline void cp_prefetch_for_writing(const void *address) { __builtin_prefetch(address, 1); }
/* Likewise for all lines of so many bytes; nothing happens for NULL. */
static inline void cp_prefetch(const void *address, size_t bytes) {
  if (address == NULL) return;
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)address + i, 1);
}

#endif
