/* refuse.h - makes pthread_create fail on demand, for whoever calls it in this process.

   refuse.c is a shared library of its own, found before the C library, and not part of the program:
   a sanitizer has its own pthread_create in the program, which the library under test must get, and
   which in turn finds this one. */

#ifndef TASKREG_TESTS_REFUSE_H
#define TASKREG_TESTS_REFUSE_H

/* Let every n-th call of pthread_create fail with `error` from now on, all for 1. */
void refuse_every(int n, int error);

/* Let every call succeed again that the system lets succeed. */
void refuse_none(void);

/* How many calls have been refused since the last call of refuse_every. */
int refused_threads(void);

#endif /* TASKREG_TESTS_REFUSE_H */
