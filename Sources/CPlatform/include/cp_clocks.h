/* cp_clocks.h - clocks, and the two times that the explorer of Tests/model changes; a part of
   cplatform.h.

   Shims: clock ids, the time-stamp counter, and the constants that TASKREG_EXPLORED replaces.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_CLOCKS_H
#define TASKREG_CP_CLOCKS_H

#include <stdint.h>
#include <time.h>

/* Macros that Swift imports with an awkward type. */
static inline clockid_t cp_clock_monotonic(void) { return CLOCK_MONOTONIC; }
static inline clockid_t cp_clock_realtime(void) { return CLOCK_REALTIME; }
static inline clockid_t cp_clock_thread(void) { return CLOCK_THREAD_CPUTIME_ID; }

/* The clock of the CPU time that a thread of this process uses, by the thread's id.
   pthread_getcpuclockid(3) computes the same from a pthread_t: bit 2 means a thread's clock, and
   bits 0 and 1 are 2 for the time that the scheduler counts
   (include/linux/posix-timers_types.h). */
static inline clockid_t cp_clock_of_thread(int32_t thread_id) {
  return (clockid_t)((~(uint32_t)thread_id << 3) | 6u);
}

/* The time-stamp counter where it is cheap and fine-grained, else 0. In the explorer of Tests/model
   it stands still, because the explorer repeats executions. */
static inline uint64_t cp_ticks(void) {
#if defined(TASKREG_EXPLORED)
  return 1;
#elif defined(__x86_64__) || defined(__i386__)
  return __builtin_ia32_rdtsc();
#else
  return 0;
#endif
}

/* How long a worker sleeps under the name of its last task, in nanoseconds. Setting the kernel's
   thread name at once would cost as much as an empty task, even if the next task comes soon. In the
   explorer of Tests/model it is unlimited: a lost wake-up would not show if the sleeper woke up by
   itself. */
static inline int64_t cp_named_rest_ns(void) {
#if defined(TASKREG_EXPLORED)
  return -1;
#else
  return 20000000;
#endif
}

#endif
