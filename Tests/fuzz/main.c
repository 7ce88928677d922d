/* main.c - runs sequences.c without libFuzzer.

   sequences FILE…        each file, or each file of each folder, is one input
   sequences --random SEED COUNT    COUNT inputs made out of SEED */

#define _GNU_SOURCE

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t input[1 << 16];

static int run_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    perror(path);
    return 1;
  }
  size_t size = fread(input, 1, sizeof input, file);
  fclose(file);
  LLVMFuzzerTestOneInput(input, size);
  return 0;
}

int main(int argc, char **argv) {
  int failures = 0, count = 0;
  if (argc == 4 && strcmp(argv[1], "--random") == 0) {
    uint64_t state = strtoull(argv[2], NULL, 0) * 2 + 1;
    for (count = 0; count < atoi(argv[3]); count++) {
      for (size_t i = 0; i < 640; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        input[i] = (uint8_t)(state >> 56);
      }
      LLVMFuzzerTestOneInput(input, 640);
    }
    printf("%d random sequences, no rule broken\n", count);
    return 0;
  }
  for (int i = 1; i < argc; i++) {
    DIR *folder = opendir(argv[i]);
    if (folder == NULL) {
      failures += run_file(argv[i]);
      count++;
      continue;
    }
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
      char path[4096];
      if (entry->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
      failures += run_file(path);
      count++;
    }
    closedir(folder);
  }
  printf("%d sequences, no rule broken\n", count);
  return failures != 0 || count == 0;
}
