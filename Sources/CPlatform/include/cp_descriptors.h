/* cp_descriptors.h - descriptors: writing, polling, eventfds and datagram sockets; a part of
   cplatform.h.

   Shims. By POSIX and in glibc, write, read, poll, open, close and send are cancellation points. A
   thread that was cancelled must not end in the middle of the library, so each shim that calls one
   of them disables cancellation meanwhile, whoever its caller is. No shim returns 0, 1 or 2 for a
   new descriptor.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_DESCRIPTORS_H
#define TASKREG_CP_DESCRIPTORS_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cp_threads.h"

/* Close a descriptor of the library's own. errno is not changed. */
static inline void cp_close(int fd) {
  int saved = errno, cancellation = cp_disable_cancellation();
  close(fd);
  cp_set_cancellation(cancellation);
  errno = saved;
}

/* Return the descriptor fd, or a duplicate if it is 0, 1 or 2: where those are closed, the
   program's output would be written to it. Negative, with errno set, if none is available. */
static inline int cp_not_standard(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  cp_close(fd);
  return higher;
}

/* Create an eventfd(2) that is not readable; negative, with errno set, if none is available. */
static inline int cp_eventfd(void) {
  return cp_not_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* Make an eventfd readable; it stays so. */
static inline void cp_eventfd_raise(int fd) {
  int saved = errno, cancellation = cp_disable_cancellation();
  uint64_t one = 1;
  ssize_t written = write(fd, &one, sizeof one);
  (void)written; /* EAGAIN: it has been raised 2^64 - 2 times; EBADF: the application closed it */
  cp_set_cancellation(cancellation);
  errno = saved;
}

/* Write `count` bytes to `fd`, in as many calls as that takes; if fd is non-blocking, wait for
   it. Once `until_ns` on CLOCK_MONOTONIC has passed, give up: ETIMEDOUT; INT64_MAX never gives up.
   It is not begun while poll(2) says that it would block; a write to a terminal with less room, or
   to a pipe that others fill, blocks all the same. A pipe without a reader is EPIPE, without a
   SIGPIPE, and a file at its size limit (RLIMIT_FSIZE) is EFBIG, without a SIGXFSZ: the kernel
   sends both to the calling thread, which blocks them meanwhile and takes them if they came.
   Returns 0 or the error number. */
static inline int cp_write_until(int fd, const void *bytes, size_t count, int64_t until_ns) {
  sigset_t own, before, pending;
  int saved = errno, failure = 0, raised, cancellation = cp_disable_cancellation();
  sigemptyset(&own);
  sigaddset(&own, SIGPIPE);
  sigaddset(&own, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &own, &before);
  sigpending(&pending);
  while (count > 0 && failure == 0) {
    struct pollfd writable = {fd, POLLOUT, 0};
    size_t part = count;
    if (until_ns != INT64_MAX) {
      struct timespec now;
      clock_gettime(CLOCK_MONOTONIC, &now);
      int64_t left = (until_ns - now.tv_nsec) / 1000000 - (int64_t)now.tv_sec * 1000 + 1;
      int ready = left <= 0 ? 0 : poll(&writable, 1, left > INT_MAX ? INT_MAX : (int)left);
      if (ready == 0) failure = ETIMEDOUT;
      if (ready < 0 && errno != EINTR) failure = errno;
      if (ready <= 0) continue;
      if (part > PIPE_BUF) part = PIPE_BUF; /* which a pipe that is writable takes at once */
    }
    ssize_t written = write(fd, bytes, part);
    if (written == 0) {
      failure = EIO; /* a file that accepts no bytes would be retried indefinitely */
    } else if (written > 0) {
      bytes = (const char *)bytes + written;
      count -= (size_t)written;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (until_ns == INT64_MAX) poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      failure = errno;
    }
  }
  raised = failure == EPIPE ? SIGPIPE : failure == EFBIG ? SIGXFSZ : 0;
  if (raised != 0 && sigismember(&pending, raised) != 1) {
    struct timespec none = {0, 0};
    sigemptyset(&own);
    sigaddset(&own, raised);
    while (sigtimedwait(&own, NULL, &none) < 0 && errno == EINTR) {}
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  cp_set_cancellation(cancellation);
  errno = saved;
  return failure;
}

/* The same, however long it takes. */
static inline int cp_write_all(int fd, const void *bytes, size_t count) {
  return cp_write_until(fd, bytes, count, INT64_MAX);
}

/* Wait until `fd` has `events`, or `flag_fd` (negative: none) is readable, or `timeout_ns`
   nanoseconds have passed (negative: never times out), by ppoll(2), which reads only
   CLOCK_MONOTONIC.
   Returns a negative errno, or CP_POLL_FLAG, CP_POLL_READY, CP_POLL_BAD (fd is not open), or 0. If
   flag_fd is not open that is -EBADF, so that no caller polls it again without a pause. errno is
   not changed. */
enum { CP_POLL_READY = 1, CP_POLL_FLAG = 2, CP_POLL_BAD = 4 };
static inline int cp_poll(int fd, short events, int flag_fd, int64_t timeout_ns) {
  struct pollfd both[2] = {{fd, events, 0}, {flag_fd, POLLIN, 0}};
  struct timespec timeout = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
  int saved = errno, result = 0;
  if (syscall(SYS_ppoll, both, 2, timeout_ns < 0 ? NULL : &timeout, NULL, (size_t)8) < 0)
    result = -errno;
  else if (both[1].revents & POLLNVAL)
    result = -EBADF;
  else if (both[1].revents != 0)
    result = CP_POLL_FLAG;
  else if (both[0].revents & POLLNVAL)
    result = CP_POLL_BAD;
  else if (both[0].revents != 0)
    result = CP_POLL_READY;
  errno = saved;
  return result;
}

/* The same with several descriptors: `list` has `count` elements `struct pollfd`, and room for one
   more, for flag_fd. What poll(2) says of each is there if the result is CP_POLL_READY or
   CP_POLL_BAD. A negative descriptor is left out. The lists are untyped, as taskreg.h includes
   <poll.h> too, and Swift takes the type for that of one of the two modules. */
static inline int cp_poll_all(void *list, size_t count, int flag_fd, int64_t timeout_ns) {
  struct pollfd *all = (struct pollfd *)list;
  struct timespec timeout = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
  int saved = errno, result = 0;
  all[count].fd = flag_fd;
  all[count].events = POLLIN;
  all[count].revents = 0;
  if (syscall(SYS_ppoll, all, count + 1, timeout_ns < 0 ? NULL : &timeout, NULL, (size_t)8) < 0)
    result = -errno;
  else if (all[count].revents & POLLNVAL)
    result = -EBADF;
  else if (all[count].revents != 0)
    result = CP_POLL_FLAG;
  else
    for (size_t i = 0; i < count && result != CP_POLL_BAD; i++)
      if (all[i].revents != 0) result = all[i].revents & POLLNVAL ? CP_POLL_BAD : CP_POLL_READY;
  errno = saved;
  return result;
}

/* Allocate a copy of a list of `struct pollfd`, with room for one more element; NULL without
   memory. */
static inline void *cp_copy_poll_list(const void *list, size_t count) {
  void *copy = malloc((count + 1) * sizeof(struct pollfd));
  if (copy != NULL && count != 0) memcpy(copy, list, count * sizeof(struct pollfd));
  return copy;
}

/* Copy what poll(2) has said of each descriptor. */
static inline void cp_copy_poll_results(void *to, const void *from, size_t count) {
  for (size_t i = 0; i < count; i++)
    ((struct pollfd *)to)[i].revents = ((const struct pollfd *)from)[i].revents;
}

/* Create a socket that sends datagrams within this machine; negative, with errno set, if none is
   available. */
static inline int cp_datagram_socket(void) {
  return cp_not_standard(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

/* Connect a datagram socket, which may be connected already, to the one at `address`: a path, or
   '@' and an abstract name (unix(7)), of `length` bytes without a terminating NUL. Returns 0 or
   the error number; errno is not changed. */
static inline int cp_connect_datagrams(int fd, const char *address, size_t length) {
  struct sockaddr_un to;
  int saved = errno, failure = 0, cancellation;
  memset(&to, 0, sizeof to);
  to.sun_family = AF_UNIX;
  if (length == 0 || length > sizeof to.sun_path) return EINVAL;
  memcpy(to.sun_path, address, length);
  if (address[0] == '@') to.sun_path[0] = 0;
  cancellation = cp_disable_cancellation();
  if (connect(fd, (const struct sockaddr *)&to,
              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
    failure = errno;
  cp_set_cancellation(cancellation);
  errno = saved;
  return failure;
}

/* Send a datagram to the socket's peer. The call does not wait, and raises no SIGPIPE if the
   peer is gone. Returns 0 or the error number; errno is not changed. */
static inline int cp_send_datagram(int fd, const void *bytes, size_t count) {
  int saved = errno, failure = 0, cancellation = cp_disable_cancellation();
  while (send(fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EINTR) continue;
    failure = errno;
    break;
  }
  cp_set_cancellation(cancellation);
  errno = saved;
  return failure;
}

/* Give the calling thread a descriptor table of its own, which is empty; the process's table is not
   changed. False if Linux is older than 5.9, or forbids it. close_range(2) is called by number:
   glibc has it only since 2.34. */
static inline bool cp_use_no_descriptors(void) {
  int saved = errno;
  const unsigned close_range_unshare = 1u << 1;
  bool is_done = syscall(436, 0u, ~0u, close_range_unshare) == 0;
  errno = saved;
  return is_done;
}

#endif
