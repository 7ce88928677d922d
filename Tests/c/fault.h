/* fault.h - makes the library's calls of the system fail on demand.

   fault.c is a shared library of its own, found before the C library, and not part of the program:
   a sanitizer has its own pthread_create in the program, which the library under test must get, and
   which in turn finds this one.

   Two ways to fail: every n-th pthread_create, from any caller; and, for all calls that can fail,
   those that the library itself makes, by their number. The second does not work under a sanitizer,
   whose own malloc and mmap would be found first. */

#ifndef TASKREG_TESTS_FAULT_H
#define TASKREG_TESTS_FAULT_H

#include <stddef.h>

/* Let every n-th call of pthread_create fail with `error` from now on, all for 1. */
void fault_every(int n, int error);

/* Let every call succeed again that the system lets succeed. */
void fault_none(void);

/* How many calls have failed since the last call of fault_every. */
int faulted_threads(void);

/* Let every pthread_create return, once it has created the thread, only after fault_release. Not under a sanitizer: its own
   pthread_create, which has called this one, lets the thread begin only when it has returned. */
void fault_hold(void);
void fault_release(void);

/* Watch the calls that come from the shared object in which `function` lies, and those that the
   C library makes on its behalf to create a thread or to give a thread its first value of a key.
   Calls that can fail are counted: malloc and calloc, posix_memalign, mmap, mprotect, madvise,
   eventfd, open, socket, connect, send, write, backtrace, the clocks of other threads,
   pthread_create, the making of attributes and keys, fork handlers, thread names, and system
   calls. */
void fault_watch(const void *function);

/* Let the watched calls from the first-th to the last-th from now on fail, each as its manual page
   says. */
void fault_calls(long first, long last);

/* How many watched calls there have been since fault_calls, how many of them failed, and the name
   of the last that did. */
long watched_calls(void);
long faulted_calls(void);
const char *faulted_call(void);

/* How many blocks of memory and how many bytes of mappings the watched object holds: what it
   allocated itself and has not freed. */
long held_blocks(void);
long held_bytes_mapped(void);

#endif /* TASKREG_TESTS_FAULT_H */
