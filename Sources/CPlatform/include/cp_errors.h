/* cp_errors.h - errno, and the text of tr_error_detail; a part of cplatform.h.

   Shims. The text is the only state in these headers: thread-local variables cannot be declared in
   Swift.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_ERRORS_H
#define TASKREG_CP_ERRORS_H

#include <errno.h>

static inline void cp_set_errno(int value) { errno = value; }
static inline int cp_errno(void) { return errno; }

/* The text that tr_error_detail returns; each thread has its own. With the model "initial-exec" it
   takes a few bytes of the room that libc keeps for libraries loaded later, and reading it does not
   call __tls_get_addr. */
enum { CP_ERROR_DETAIL_ROOM = 192 };
static inline char *cp_error_detail(void) {
  static _Thread_local char detail[CP_ERROR_DETAIL_ROOM] __attribute__((tls_model("initial-exec")));
  return detail;
}

#endif
