/* results.c - every case of these programs has a result, and one of its own: what check.h says of itself. */

#include "check.h"

static int left_behind;

static void leaves_something(void) { left_behind = 1; }
static void finds_nothing(void) { CHECK_EQ(0, left_behind); }
static void exits(void) { exit(0); }
static void ends_at_once(void) { _exit(0); }
static void is_killed(void) { raise(SIGKILL); }
static void fails(void) { CHECK(left_behind == 7); }

static const struct check_case inner[] = {CHECK_ENTRY(leaves_something), CHECK_ENTRY(finds_nothing),
                                          CHECK_ENTRY(exits),            CHECK_ENTRY(ends_at_once),
                                          CHECK_ENTRY(is_killed),        CHECK_ENTRY(fails)};

/* Run the named cases of `inner`, as a program would; returns its exit status, and in `text` its
   output. */
static int status_of(const char *one, const char *other, char *text, size_t size) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    char *arguments[] = {"program", (char *)(uintptr_t)one, (char *)(uintptr_t)other, NULL};
    check_process = 0;
    check_is_program = 0;
    unsetenv(CHECK_ONE_OF_SEVERAL);
    dup2(ends[1], 2);
    close(ends[0]);
    close(ends[1]);
    exit(check_main(other != NULL ? 3 : 2, arguments, inner, sizeof inner / sizeof *inner));
  }
  close(ends[1]);
  size_t length = 0;
  ssize_t count;
  while ((count = read(ends[0], text + length, size - 1 - length)) > 0) length += (size_t)count;
  text[length] = 0;
  close(ends[0]);
  int status;
  CHECK_EQ(child, waitpid(child, &status, 0));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Proves: of several cases none sees the state that another has left in the process (P4). Why it
   matters: a case that passes or fails because of an earlier one proves nothing. Catches: cases
   that are run in one process. */
CASE(a_case_depends_on_none_before_it) {
  char text[1000];
  CHECK_EQ(0, status_of("leaves_something", "finds_nothing", text, sizeof text));
  CHECK_STR("ok leaves_something\nok finds_nothing\n2 cases, no failure\n", text);
}

/* Proves: a case that ends the process, by exit, by _exit or by a signal, has failed, and that
   is printed, also among several; a check that fails ends the run (P4). Why it matters: a run
   without any result looks like one that passed. Catches: a status of 0 taken for a case that
   has finished. */
CASE(every_case_has_a_result) {
  char text[1000];
  CHECK_EQ(1, status_of("exits", NULL, text, sizeof text));
  CHECK_STR("case exits: the process was ended by exit before the case was over\n", text);
  CHECK_EQ(1, status_of("finds_nothing", "exits", text, sizeof text));
  CHECK(strstr(text, "case exits: the process was ended by exit") != NULL);
  CHECK_EQ(1, status_of("finds_nothing", "ends_at_once", text, sizeof text));
  CHECK(strstr(text, "case ends_at_once: the process ended with status 0") != NULL);
  CHECK_EQ(1, status_of("finds_nothing", "is_killed", text, sizeof text));
  CHECK(strstr(text, "case is_killed: the process was ended by signal 9") != NULL);
  CHECK_EQ(1, status_of("finds_nothing", "fails", text, sizeof text));
  CHECK(strstr(text, "case fails: not so: left_behind == 7") != NULL && strstr(text, "no failure") == NULL);
}

CHECK_MAIN(CHECK_ENTRY(a_case_depends_on_none_before_it), CHECK_ENTRY(every_case_has_a_result))
