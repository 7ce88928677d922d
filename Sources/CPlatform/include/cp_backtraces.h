/* cp_backtraces.h - the backtrace of a thread that a signal handler has interrupted; a part of
   cplatform.h.

   Shims around cp_unwind.h. Async-signal-safe.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_BACKTRACES_H
#define TASKREG_CP_BACKTRACES_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "cp_unwind.h"

/* Whether the caller, a signal handler, has little room left: on an alternate stack, or because the
   page below cannot be read, as below a coroutine's small stack or one that is nearly used up. */
static inline bool cp_is_cramped(const void *context) {
  const ucontext_t *interrupted = (const ucontext_t *)context;
  uintptr_t here = (uintptr_t)__builtin_frame_address(0);
  uintptr_t lowest = (uintptr_t)interrupted->uc_stack.ss_sp;
  bool has_alternate = !(interrupted->uc_stack.ss_flags & SS_DISABLE);
  if (has_alternate && here - lowest < interrupted->uc_stack.ss_size) return here - lowest < 4096;
  char below;
  return !cp_peek(here - 4096, &below, sizeof below);
}

/* Find where the thread was and its callers, as cp_unwind does; only where it was, if there is no
   room for more. */
static inline int cp_trace(const void *context, void **addresses, int capacity) {
  return cp_unwind(context, addresses, cp_is_cramped(context) && capacity > 1 ? 1 : capacity);
}

#endif
