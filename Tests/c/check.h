/* check.h - the harness of the C and C++ conformance programs: checks, named cases, a watchdog.

   A program is a table of cases. `program` runs them all, `program CASE...` those that are named,
   `program --list` lists them. Of several each runs in a process of its own, so that none depends on
   what those before it have left in the process: signal handlers, backtraces, a user, a limit. The
   first check that fails prints where and what, and ends the process: threads of the failed case may
   still be using its stack, so nothing may run after it. A case that hangs is ended by an alarm, which
   prints its name. A case always has a result: one that ends the process itself, with whatever status,
   or is ended by a signal, has failed, and that is printed.

   Time limits are written for a native run and multiplied by check_scale(): 1, or more under a
   sanitizer or valgrind, or what TASKREG_TEST_SCALE says. Include this header before any other. */

#ifndef TASKREG_TESTS_CHECK_H
#define TASKREG_TESTS_CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define CHECK_UNDER_TSAN 1
#elif __has_feature(address_sanitizer)
#define CHECK_UNDER_ASAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define CHECK_UNDER_TSAN 1
#endif
#ifdef __SANITIZE_ADDRESS__
#define CHECK_UNDER_ASAN 1
#endif

/* How long one case may take natively, in seconds; a program may define another number first. */
#ifndef CHECK_WATCHDOG_SECONDS
#define CHECK_WATCHDOG_SECONDS 180
#endif

/* One case: its name, as given to CASE, and its function. */
struct check_case {
  const char *name;
  void (*run)(void);
};

/* The exit status of a process of one case of several when the case has passed: a stray _exit(0)
   does not pass it. */
enum { CHECK_PASSED = 42 };

/* Opens a case. CMakeLists.txt finds the cases by this word at the start of a line. */
#define CASE(name) static void name(void)
#define CHECK_ENTRY(name) {#name, name}

/* The case that is running, for failure messages. */
static const char *volatile check_current = "(before the first case)";

/* Where messages go, whatever a case does with descriptors 1 and 2. */
static int check_messages = 2;

/* Say whether the program runs under valgrind, which preloads objects of its own. */
static inline int check_under_valgrind(void) {
  const char *preload = getenv("LD_PRELOAD");
  return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

/* A size of stack that pthread_attr_setstacksize accepts: `wanted`, or the least that libc needs here. */
static inline size_t check_stack(size_t wanted) {
  long least = sysconf(_SC_THREAD_STACK_MIN);
  return least > 0 && (size_t)least > wanted ? (size_t)least : wanted;
}

/* Say whether backtraces have callers. */
static inline int check_finds_callers(void) {
#if defined(__x86_64__) && defined(__GLIBC__)
  return 1;
#else
  return 0;
#endif
}

/* Say whether reports know each wait for a lock of glibc's: before 2.34 every function has a place of its own, and known are
   those of pthread_mutex_lock, pthread_rwlock_rdlock and sem_wait, and mutexes of priority inheritance, whose holder
   Linux keeps. */
static inline int check_sees_all_locks(void) {
#if defined(__GLIBC__)
  return __GLIBC_PREREQ(2, 34);
#else
  return 0;
#endif
}

/* Say whether reports know which condition variable tr_cond_wait waits for: in glibc 2.43, too, pthread_cond_clockwait waits
   in a place of its own. */
static inline int check_sees_conditions(void) {
#if defined(__GLIBC__)
  return check_sees_all_locks() && !__GLIBC_PREREQ(2, 43);
#else
  return 0;
#endif
}

/* Say whether reports know whom a pthread_join waits for: glibc waits there from 2.43 on for a word that is not the
   thread's id, which Linux names if it was built with CONFIG_CHECKPOINT_RESTORE. */
static inline int check_sees_joins(void) {
#if defined(__GLIBC__)
  uint64_t word;
  return !__GLIBC_PREREQ(2, 43) || syscall(SYS_prctl, 40L /* PR_GET_TID_ADDRESS */, &word, 0L, 0L, 0L) == 0;
#else
  return 0;
#endif
}

/* The factor by which time limits are longer than natively. */
static inline int64_t check_scale(void) {
  static int64_t scale; /* written before the first thread is made: check_main asks first */
  if (scale == 0) {
    const char *given = getenv("TASKREG_TEST_SCALE");
    scale = given != NULL ? atoll(given) : 0;
    if (scale < 1) {
#if defined(CHECK_UNDER_TSAN)
      scale = 10;
#elif defined(CHECK_UNDER_ASAN)
      scale = 5;
#else
      scale = 1;
#endif
      if (check_under_valgrind()) scale = 20;
    }
  }
  return scale;
}

/* Say whether a tool slows the program down and keeps memory of its own. */
static inline int check_under_a_tool(void) {
#if defined(CHECK_UNDER_TSAN) || defined(CHECK_UNDER_ASAN)
  return 1;
#else
  return check_under_valgrind();
#endif
}

/* A number of repetitions: `natively`, or fewer when a tool makes each one slow. */
static inline int check_rounds(int natively) {
  int rounds = check_under_a_tool() ? natively / 10 : natively;
  return rounds < 1 ? 1 : rounds;
}

#if defined(__GNUC__)
__attribute__((format(printf, 3, 4), noreturn))
#endif
static inline void
check_fail(const char *file, int line, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  dprintf(check_messages, "%s:%d: case %s: %s\n", file, line, check_current, text);
  _exit(1);
}

/* Check a condition. */
#define CHECK(condition)                                                                           \
  do {                                                                                             \
    if (!(condition)) check_fail(__FILE__, __LINE__, "not so: %s", #condition);                    \
  } while (0)

/* Check a condition, and say more when it does not hold. */
#define CHECK_MSG(condition, ...)                                                                  \
  do {                                                                                             \
    if (!(condition)) {                                                                            \
      char check_text[512];                                                                        \
      snprintf(check_text, sizeof check_text, __VA_ARGS__);                                        \
      check_fail(__FILE__, __LINE__, "not so: %s: %s", #condition, check_text);                    \
    }                                                                                              \
  } while (0)

/* Check that an integer has the expected value. */
#define CHECK_EQ(expected, actual)                                                                 \
  do {                                                                                             \
    long long check_expected = (long long)(expected), check_actual = (long long)(actual);          \
    if (check_expected != check_actual)                                                            \
      check_fail(__FILE__, __LINE__, "%s is %lld, not %s = %lld", #actual, check_actual,           \
                 #expected, check_expected);                                                       \
  } while (0)

/* Check that a string has the expected value. */
#define CHECK_STR(expected, actual)                                                                \
  do {                                                                                             \
    const char *check_expected = (expected), *check_actual = (actual);                             \
    if (check_actual == NULL || strcmp(check_expected, check_actual) != 0)                         \
      check_fail(__FILE__, __LINE__, "%s is \"%.200s\", not \"%.200s\"", #actual,                  \
                 check_actual == NULL ? "(null)" : check_actual, check_expected);                  \
  } while (0)

/* Check that `low` <= actual <= `high`, all in nanoseconds. */
#define CHECK_BETWEEN_NS(low, high, actual)                                                        \
  do {                                                                                             \
    long long check_low = (long long)(low), check_high = (long long)(high);                        \
    long long check_actual = (long long)(actual);                                                  \
    if (check_actual < check_low || check_actual > check_high)                                     \
      check_fail(__FILE__, __LINE__, "%s is %.3f ms, not within %.3f to %.3f ms", #actual,         \
                 (double)check_actual / 1e6, (double)check_low / 1e6, (double)check_high / 1e6);   \
  } while (0)

/* The watchdog: says which case hangs, and ends the process. */
static inline void check_on_alarm(int signal_number) {
  (void)signal_number;
  const char *parts[] = {"HANG: case ", check_current, " did not end in time\n"};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (write(check_messages, parts[i], strlen(parts[i])) < 0) break;
  _exit(124);
}

/* Start the watchdog anew. */
static inline void check_watch(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = check_on_alarm;
  sigaction(SIGALRM, &action, NULL);
  sigset_t alarm_only;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
  alarm((unsigned)(CHECK_WATCHDOG_SECONDS * check_scale()));
}

/* The process that runs a case at the moment; 0 between them. Its children are none of it. */
static volatile pid_t check_process;

/* A case that calls exit in the middle has not passed. */
static inline void check_at_exit(void) {
  if (check_process != getpid()) return;
  dprintf(check_messages, "case %s: the process was ended by exit before the case was over\n", check_current);
  _exit(1);
}

/* Run one case in this process. */
static inline void check_run(const struct check_case *one) {
  check_watch();
  check_process = getpid();
  one->run();
  check_process = 0;
  alarm(0);
  dprintf(check_messages, "ok %s\n", one->name);
}

/* Whether the cases are those that this program runs when it is started again. */
static int check_is_program;

/* In the environment of a program that was started for one of several cases. */
#define CHECK_ONE_OF_SEVERAL "TASKREG_CHECK_ONE"

/* End the process of a case that has passed, and whose tasks never end. */
static inline void check_pass_at_once(void) {
  dprintf(check_messages, "ok %s\n", check_current);
  _exit(getenv(CHECK_ONE_OF_SEVERAL) != NULL ? CHECK_PASSED : 0);
}

/* Wait for the process of one case of several; say whether it passed, and what ended it if it could
   not say so itself. */
static inline int check_passed(pid_t process) {
  int status = 0;
  while (waitpid(process, &status, 0) < 0)
    if (errno != EINTR) {
      dprintf(check_messages, "case %s: waitpid: %s\n", check_current, strerror(errno));
      return 0;
    }
  if (WIFSIGNALED(status))
    dprintf(check_messages, "case %s: the process was ended by signal %d\n", check_current, WTERMSIG(status));
  else if (WEXITSTATUS(status) != CHECK_PASSED)
    dprintf(check_messages, "case %s: the process ended with status %d\n", check_current, WEXITSTATUS(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == CHECK_PASSED;
}

/* Main's stack begins with a few pages, and valgrind cannot make it larger while it delivers a signal: it ends the process
   by SIGSEGV. So it is made larger first. */
__attribute__((noinline)) static void check_touch_stack(void) {
  volatile char pages[256 * 1024];
  for (size_t i = sizeof pages; i >= 1024; i -= 1024) pages[i - 1] = 0;
}

/* Run the cases that the arguments name, or all; the exit status of the program. */
static inline int check_main(int argc, char **argv, const struct check_case *cases, size_t count) {
  check_scale();
  check_touch_stack();
  check_messages = fcntl(2, F_DUPFD_CLOEXEC, 50);
  if (check_messages < 0) check_messages = 2;
  if (argc == 2 && strcmp(argv[1], "--list") == 0) {
    for (size_t i = 0; i < count; i++) puts(cases[i].name);
    return 0;
  }
  for (int a = 1; a < argc; a++) {
    size_t i = 0;
    while (i < count && strcmp(cases[i].name, argv[a]) != 0) i++;
    if (i == count) {
      dprintf(check_messages, "%s: no case is called %s\n", argv[0], argv[a]);
      return 2;
    }
  }
  atexit(check_at_exit);
  int run = 0, several = argc != 2 && !(argc == 1 && count == 1);
  for (size_t i = 0; i < count; i++) {
    int wanted = argc == 1;
    for (int a = 1; a < argc; a++) wanted |= strcmp(cases[i].name, argv[a]) == 0;
    if (!wanted) continue;
    check_current = cases[i].name;
    run++;
    if (!several) {
      check_run(&cases[i]);
      continue;
    }
    pid_t process = fork(); /* of one thread: nothing of the library has been called in this process */
    if (process == 0) {
      /* As if it had been named alone; a process that has executed no program is a special one (Q1). Where an emulator
         cannot start itself again it is one. */
      if (check_is_program) {
        char path[4096]; /* by its own name, which is the kernel's for the thread */
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        path[length < 0 ? 0 : length] = 0;
        setenv(CHECK_ONE_OF_SEVERAL, "1", 1);
        execl(path, argv[0], cases[i].name, (char *)NULL);
      }
      check_run(&cases[i]);
      if (check_messages != 2) close(check_messages);
      return CHECK_PASSED;
    }
    if (process < 0) dprintf(check_messages, "case %s: fork: %s\n", check_current, strerror(errno));
    if (process < 0 || !check_passed(process)) return 1;
  }
  if (getenv(CHECK_ONE_OF_SEVERAL) != NULL) return CHECK_PASSED;
  dprintf(check_messages, "%d cases, no failure\n", run);
  if (check_messages != 2) close(check_messages);
  return 0;
}

#define CHECK_MAIN(...)                                                                            \
  static const struct check_case check_cases[] = {__VA_ARGS__};                                    \
  int main(int argc, char **argv) {                                                                \
    check_is_program = 1;                                                                          \
    return check_main(argc, argv, check_cases, sizeof check_cases / sizeof *check_cases);          \
  }

#endif /* TASKREG_TESTS_CHECK_H */
