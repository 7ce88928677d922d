/* nameless.c - an object that exports no function, and hands out the address of one. */

static int nameless(int number) { return number + 1; }

extern int (*const nameless_function)(int);
int (*const nameless_function)(int) = nameless;
