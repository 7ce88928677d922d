/* cplatform.h - what Swift needs of C, one header for each concept.

   Most of it is shims: `static inline` functions for macros that Swift does not import, for GNU
   extensions that Swift's C module leaves out, and for system calls. A shim makes one call, or the
   few that belong together, and takes care of what every caller would have to: EINTR, errno, and
   cancellation. It keeps no state, except for the text of tr_error_detail in cp_errors.h, and takes
   no decision of the library's; these are in Swift. thread_state.h is long, but shims as well: it
   reads, compares and restores all that the kernel keeps for a thread.

   Three headers are code, because it must run where Swift cannot: cp_unwind.h reads unwind tables
   in a signal handler, cp_symbols.h reads ELF symbol tables that may be unmapped at any moment, and
   cp_file_symbols.h those in a file that may be any file by now. Tests/c/shims.c tests them, with
   broken tables too.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CPLATFORM_H
#define TASKREG_CPLATFORM_H

#include "cp_errors.h"
#include "cp_clocks.h"
#include "cp_scheduling.h"
#include "cp_threads.h"
#include "thread_state.h"
#include "cp_locks.h"
#include "cp_descriptors.h"
#include "cp_files.h"
#include "cp_exit.h"
#include "cp_memory.h"
#include "cp_signals.h"
#include "syscall_names.h"
#include "cp_peek.h"
#include "cp_unwind.h"
#include "cp_backtraces.h"
#include "cp_waits.h"
#include "cp_symbols.h"
#include "cp_file_symbols.h"
#include "cp_faces.h"
#include "cp_births.h"
#include "cp_target.h"
#include "cp_cores.h"
#include "cp_options.h"
#include "cp_terminal.h"

#endif
