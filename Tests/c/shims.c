/* shims.c - the C of the library itself, Sources/CPlatform, called as the core calls it and with the
   ends of what the core could hand it. The library has these compiled into its Swift functions, where
   no sanitizer for C looks at them; here they are compiled as C, and under
   -fsanitize=address,undefined in sanitized builds. Rules C6, C8, S7. */

#include "support.h"

#include <cplatform.h>

/* Proves: waiting for descriptors comes out as said, with timeouts from none to the largest there is
   (C8).  Why it matters: nanoseconds are turned into seconds here.  Catches: an overflow; a negative
   part of a timespec; an event of the flag that is taken for the descriptor's. */
CASE(polling_takes_every_timeout) {
  int flag = cp_eventfd(), fd = cp_eventfd();
  CHECK(flag > 2 && fd > 2);
  CHECK_EQ(0, cp_poll(fd, POLLIN, flag, 0));
  CHECK_EQ(0, cp_poll(fd, POLLIN, -1, 1));
  CHECK_EQ(0, cp_poll(fd, POLLIN, flag, 1000000001));
  cp_eventfd_raise(fd);
  static const int64_t timeouts[] = {INT64_MIN, -1, 0, 1, 999999999, 1000000000, INT64_MAX};
  for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++)
    CHECK_EQ(CP_POLL_READY, cp_poll(fd, POLLIN, flag, timeouts[i]));
  cp_eventfd_raise(flag);
  errno = 4711;
  CHECK_EQ(CP_POLL_FLAG, cp_poll(fd, POLLIN, flag, FOREVER));
  cp_eventfd_raise(flag);
  CHECK_EQ(4711, errno);
  close(fd);
  CHECK_EQ(CP_POLL_BAD, cp_poll(fd, POLLIN, -1, FOREVER));
  close(flag);
}

/* Proves: the other shims do what their comments say (S7).  Why it matters: nothing else is written
   in C.  Catches: an array that is too short for the kernel; a guard page that is none. */
CASE(shims_do_as_they_say) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  char *stacks = cp_map_stacks(8 * page);
  CHECK(stacks != NULL);
  CHECK(cp_install_guard(stacks, page));
  memset(stacks + page, 1, 7 * page);
  cp_discard(stacks + page, 7 * page);
  for (size_t at = page; at < 8 * page; at++) CHECK_EQ(0, stacks[at]);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    *(volatile char *)stacks = 1;
    _exit(0);
  }
  int status;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  cp_unmap(stacks, 8 * page);
  CHECK(cp_map_stacks(SIZE_MAX / 2) == NULL);

  CHECK(cp_usable_cpus() >= 1);
  CHECK(cp_current_cpu() >= -1);
  CHECK_EQ(gettid(), cp_gettid());
  CHECK(cp_thread_exists(cp_gettid()));
  CHECK(!cp_thread_exists(INT32_MAX));
  CHECK(cp_scheduling_digest() == cp_scheduling_digest());
  CHECK(cp_ticks() <= cp_ticks());
  CHECK_EQ(0, cp_set_own_thread_name("fifteen bytes.."));
  CHECK_EQ(ERANGE, cp_set_own_thread_name("sixteen bytes..."));
  cp_set_errno(4711);
  CHECK_EQ(4711, cp_errno());
  cp_reset_locale();
  cp_spin_hint();
  cp_prefetch_for_writing(&status);
}

CHECK_MAIN(
    CHECK_ENTRY(polling_takes_every_timeout),
    CHECK_ENTRY(shims_do_as_they_say))
