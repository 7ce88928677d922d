/* plain.c - a program with threads and without the library, at which `taskreg threads` looks (check.py). It writes a line
   when all of its threads are where they stay, and lives until its standard input ends. */

#define _GNU_SOURCE 1

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER, two = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both;
static pthread_t sleeper;
static int ends[2], listener;
static _Atomic int started;

static void must(int is_true, const char *what) {
  if (is_true) return;
  perror(what);
  exit(1);
}

static void begin(const char *name) {
  prctl(PR_SET_NAME, name);
  atomic_fetch_add(&started, 1);
}

static void *sleeps(void *argument) {
  begin("sleeper");
  while (1) pause();
  return argument;
}
static void *reads(void *argument) {
  char byte;
  begin("reader");
  must(read(ends[0], &byte, 1) < 0, "read");
  return argument;
}
static void *accepts(void *argument) {
  begin("acceptor");
  accept(listener, NULL, NULL);
  return argument;
}
static void *locks(void *argument) {
  begin("journal");
  pthread_mutex_lock(&journal_lock);
  return argument;
}
static void *joins(void *argument) {
  begin("joiner");
  pthread_join(sleeper, NULL);
  return argument;
}
static void *goes_round(void *argument) {
  pthread_mutex_t *mine = argument == NULL ? &one : &two, *other = argument == NULL ? &two : &one;
  pthread_mutex_lock(mine);
  pthread_barrier_wait(&both);
  begin(argument == NULL ? "circle-1" : "circle-2");
  pthread_mutex_lock(other);
  return argument;
}

int main(void) {
  struct sockaddr_in any;
  pthread_t thread;
  memset(&any, 0, sizeof any);
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  must(pipe(ends) == 0, "pipe");
  listener = socket(AF_INET, SOCK_STREAM, 0);
  must(listener >= 0 && bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 5) == 0, "listen");
  pthread_barrier_init(&both, NULL, 2);
  pthread_mutex_lock(&journal_lock);
  must(pthread_create(&sleeper, NULL, sleeps, NULL) == 0, "pthread_create");
  void *(*const bodies[])(void *) = {reads, accepts, locks, joins, goes_round, goes_round};
  for (size_t i = 0; i < 6; i++)
    must(pthread_create(&thread, NULL, bodies[i], i == 5 ? &both : NULL) == 0, "pthread_create");
  while (atomic_load(&started) < 7) usleep(1000);
  printf("ready\n");
  fflush(stdout);
  for (int byte; (byte = getchar()) != EOF;) {}
  _exit(0);
}
