/* older.c - runs a program as if Linux were older: system calls that it did not have yet answer ENOSYS.

   older VERSION PROGRAM [ARGUMENT…]

   Numbers of system calls are given out in their order, so one comparison does. What the program starts is under the same
   filter. That a call is there says nothing of what it did then: flags, files in /proc and mistakes are those of the
   kernel that runs.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The last system call of a version; before 5.1 x86-64 had numbers of its own. */
static const struct {
  const char *version;
  unsigned last;
} versions[] = {
#ifdef __x86_64__
    {"3.10", 313}, /* finit_module */
    {"4.4", 325},  /* mlock2 */
    {"4.18", 334}, /* rseq */
#else
    {"3.10", 273},
    {"4.4", 284},
    {"4.18", 293},
#endif
    {"5.4", 435},  /* clone3 */
    {"5.10", 440}, /* process_madvise */
};

int main(int argc, char **argv) {
  unsigned last = 0;
  for (size_t i = 0; argc > 2 && i < sizeof versions / sizeof *versions; i++)
    if (strcmp(argv[1], versions[i].version) == 0) last = versions[i].last;
  if (last == 0) {
    fprintf(stderr, "usage: older VERSION PROGRAM [ARGUMENT...]\nVERSION is one of:");
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) fprintf(stderr, " %s", versions[i].version);
    fprintf(stderr, "\n");
    return 2;
  }
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  /* As root without no_new_privs, which programs would inherit. */
  if ((geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("older: no filter can be set");
    return 2;
  }
  execvp(argv[2], argv + 2);
  fprintf(stderr, "older: %s: %s\n", argv[2], strerror(errno));
  return 127;
}
