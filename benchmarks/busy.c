/* busy.c - keeps one processor busy: `busy SECONDS`. It ends by itself after that time, and at once
   when the process that started it dies. */

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv) {
  const struct sched_param none = {0};
  volatile unsigned long turns = 0;
  /* It competes as an ordinary process, also if the benchmark was given a real-time priority: with
     one, it would keep the whole machine from running. */
  if (sched_setscheduler(0, SCHED_OTHER, &none) != 0) return 1;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() == 1) return 1;
  alarm(argc > 1 ? (unsigned)atoi(argv[1]) : 60);
  for (;;) turns++;
}
