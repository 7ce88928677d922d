/* slow.c - an object whose loading takes until a byte is written to a pipe: the loading thread
   holds the dynamic linker's lock meanwhile. The descriptors are in the environment. */

#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void load_slowly(void) {
  const char *arrived = getenv("SLOW_ARRIVED"), *go_on = getenv("SLOW_GO_ON");
  char byte = 0;
  if (arrived == NULL || go_on == NULL) return;
  if (write(atoi(arrived), &byte, 1) != 1) return;
  while (read(atoi(go_on), &byte, 1) < 0) continue;
}
