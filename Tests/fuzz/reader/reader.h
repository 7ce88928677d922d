/* reader.h - what the two programs that fuzz taskreg share: the command is run inside of the program, and whatever it asks of
   the system is answered by an input. */

#ifndef TASKREG_FUZZ_READER_H
#define TASKREG_FUZZ_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- What the system answers; each program has its own ---- */

/* A descriptor for a file that taskreg opens; a negative error number; or NOT_MINE, and the system is asked. */
enum { NOT_MINE = 1 << 30 };
int world_open(const char *path, int flags);
/* Whether there is such a file, or NOT_MINE. */
int world_has(const char *path);
/* A system call; false: the system is asked. `result` is its result, or a negative error number. */
bool world_call(long number, const long arguments[6], long *result);

/* ---- For these ---- */

/* A file without a name that has these bytes. */
int world_file(const void *bytes, size_t size);
/* Like open(2), of the system. */
int real_open(const char *path, int flags);
/* The number that the process has which is not there: larger than any. */
enum { PROCESS = 999999999 };

/* ---- Running a command ---- */

/* Run `taskreg` with arguments, the last of which is NULL, and check what it writes and how it ends: a status of the list, JSON
   that is JSON, text without control characters, no descriptor left open. */
void reader_run(const uint64_t places[4], const char *const *arguments);

#endif
