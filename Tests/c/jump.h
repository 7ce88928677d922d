/* jump.h - makes the wall clock jump, as clock_gettime shows it in this process.

   jump.c is a shared library of its own, found before the C library, for the reason given in
   fault.h. */

#ifndef TASKREG_TESTS_JUMP_H
#define TASKREG_TESTS_JUMP_H

#include <stdint.h>

/* Set CLOCK_REALTIME ahead by this many nanoseconds; negative: behind. */
void jump_to(int64_t ahead);

/* How often CLOCK_REALTIME has been read. */
int64_t jump_reads(void);

#endif /* TASKREG_TESTS_JUMP_H */
