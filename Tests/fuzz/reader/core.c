/* core.c - taskreg looks at a core file that is the input; see reader.c.

   Each file that the core file names has the same bytes, so that files on disk, with symbols and build ids, are inputs as well.
   The C library of this process is said to be at LIBRARY, and is that file, too. */

#define _GNU_SOURCE

#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int input = -1;

/* seeds.py has the same. */
static const char own_maps[] = "7f0000000000-7f0000001000 r-xp 00000000 08:01 77 /library\n";
static const uint64_t places[4] = {0x7f0000000100, 0x7f0000000200, 0x7f0000000300, 0x7f0000000400};

int world_open(const char *path, int flags) {
  char link[64];
  if (strcmp(path, "/proc/self/maps") == 0) return world_file(own_maps, sizeof own_maps - 1);
  if (strncmp(path, "/proc/", 6) == 0) return NOT_MINE;
  if (strncmp(path, "/none", 5) == 0) return -ENOENT;
  snprintf(link, sizeof link, "/proc/self/fd/%d", input);
  int fd = real_open(link, flags);
  return fd < 0 ? -errno : fd;
}

int world_has(const char *path) {
  (void)path;
  return false;
}

bool world_call(long number, const long arguments[6], long *result) {
  (void)number, (void)arguments, (void)result;
  return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const commands[][4] = {
      {"ps", "core", "--json"}, {"ps", "core"}, {"ps", "core", "--tree"}, {"why", "core"}, {"why", "core", "--json"},
      {"threads", "core"}, {"threads", "core", "--json"}, {"metrics", "core"},
  };
  input = world_file(data, size);
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) reader_run(places, commands[i]);
  close(input);
  return 0;
}
