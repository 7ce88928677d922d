/* jump.h - makes the wall clock jump, for whoever reads it by clock_gettime in this process.

   jump.c is a shared library of its own, found before the C library, for the reason given in
   refuse.h. */

#ifndef TASKREG_TESTS_JUMP_H
#define TASKREG_TESTS_JUMP_H

#include <stdint.h>

/* Let CLOCK_REALTIME be ahead of what it is by so many nanoseconds; fewer than 0: behind. */
void jump_to(int64_t ahead);

/* How often CLOCK_REALTIME has been read. */
int64_t jump_reads(void);

#endif /* TASKREG_TESTS_JUMP_H */
