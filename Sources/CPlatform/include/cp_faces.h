/* cp_faces.h - what a descriptor of this process is: links and lines of proc(5), and what a socket
   says of itself; a part of cplatform.h.

   Shims. None of them blocks for longer than the kernel holds a lock of its own, takes a byte from
   a file, or opens one that a descriptor names: a file whose server is gone must not hang who asks.
   None changes errno.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CP_FACES_H
#define TASKREG_CP_FACES_H

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "cp_threads.h"

/* Whether a system call is the one in which pthread_cond_wait(3) waits to be signalled:
   FUTEX_WAIT_BITSET, or FUTEX_WAIT while the word is 0 in glibc before 2.34. The mutex is locked
   again by other operations, or with the value 2. After SIGCONT, a call with a time limit goes on
   as restart_syscall(2), with the same arguments. */
static inline bool cp_is_condition_wait(int32_t number, uint64_t operation, uint64_t value) {
  const uint64_t wait = 0, wait_bitset = 9, command = 127;
  switch (number) {
#ifdef SYS_futex_time64
  case SYS_futex_time64:
#endif
#ifdef SYS_futex
  case SYS_futex:
#endif
  case SYS_restart_syscall:
    return (operation & command) == wait_bitset ||
           ((operation & command) == wait && (uint32_t)value == 0);
  default: return false;
  }
}

/* Whether a system call is the one in which cp_poll waits. */
static inline bool cp_is_descriptor_wait(int32_t number) { return number == SYS_ppoll; }

/* Read a symbolic link without following it. Returns how many bytes it has, at most `capacity`, or
   a negative error number. */
static inline ssize_t cp_read_link(const char *path, void *bytes, size_t capacity) {
  int saved = errno;
  long count = syscall(SYS_readlinkat, AT_FDCWD, path, bytes, capacity);
  if (count < 0) count = -errno;
  errno = saved;
  return count;
}

/* Return the access mode of a descriptor of the calling thread's table, O_RDONLY, O_WRONLY or
   O_RDWR; negative if it is not open, or for its path alone (O_PATH). */
static inline int cp_descriptor_mode(int fd) {
  const int path_only = 010000000; /* O_PATH, a GNU extension */
  int saved = errno, flags = fcntl(fd, F_GETFL);
  errno = saved;
  return flags < 0 || (flags & path_only) != 0 ? -1 : flags & O_ACCMODE;
}

/* The type of an open file, as in st_mode, and the major number of its device; 0 if not known.
   AT_STATX_DONT_SYNC: no server of a network's file system is asked. Numbers: GNU extensions. */
struct cp_file_type {
  uint32_t type, major;
};
static inline struct cp_file_type cp_type_of_file(int fd) {
  struct cp_file_type found = {0, 0};
  const int empty_path = 0x1000, dont_sync = 0x4000;
  struct statx facts;
  int saved = errno;
  if (syscall(SYS_statx, fd, "", empty_path | dont_sync, STATX_TYPE, &facts) == 0) {
    found.type = facts.stx_mode & 0170000u;
    found.major = facts.stx_rdev_major;
  }
  errno = saved;
  return found;
}

/* Which file an open one is, as proc_locks(5) names it: the numbers of its device, and its inode;
   all are 0 if that is not known. No server is asked, as above. */
struct cp_file_id {
  uint32_t major, minor;
  uint64_t inode;
};
static inline struct cp_file_id cp_id_of_file(int fd) {
  struct cp_file_id found = {0, 0, 0};
  const int empty_path = 0x1000, dont_sync = 0x4000;
  struct statx facts;
  int saved = errno;
  if (syscall(SYS_statx, fd, "", empty_path | dont_sync, STATX_INO, &facts) == 0) {
    found.major = facts.stx_dev_major;
    found.minor = facts.stx_dev_minor;
    found.inode = facts.stx_ino;
  }
  errno = saved;
  return found;
}

/* Count the lines of a file of proc(5) that start with `start`, in its first 64 KiB. Returns their
   number or a negative error number; *is_cut says whether the file goes on. */
static inline int cp_count_lines(const char *path, const char *start, bool *is_cut) {
  int saved = errno, cancellation = cp_disable_cancellation();
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), count = fd < 0 ? -errno : 0;
  size_t length = strlen(start), matched = 0, left = 65536;
  *is_cut = false;
  if (fd >= 0) {
    char bytes[1024];
    ssize_t got = 0;
    bool fits = true; /* so far the line is `start` */
    while (left > 0 && ((got = read(fd, bytes, sizeof bytes)) > 0 || (got < 0 && errno == EINTR)))
      for (ssize_t i = 0; i < got; i++, left--) {
        if (bytes[i] == '\n') {
          fits = true;
          matched = 0;
        } else if (fits && matched < length) {
          fits = bytes[i] == start[matched++];
          if (fits && matched == length) count++;
        }
      }
    *is_cut = left == 0;
    if (got < 0) count = -errno;
    close(fd);
  }
  cp_set_cancellation(cancellation);
  errno = saved;
  return count;
}

/* Protocols and types of a socket, as numbers that Swift imports as one type everywhere. */
enum { CP_TCP = IPPROTO_TCP, CP_UDP = IPPROTO_UDP };
enum { CP_STREAM = SOCK_STREAM, CP_DATAGRAM = SOCK_DGRAM, CP_SEQPACKET = SOCK_SEQPACKET };

/* An end of a socket. */
struct cp_endpoint {
  int32_t family;      /* AF_INET, AF_INET6 or AF_UNIX; 0: not known, or there is none */
  uint16_t port;       /* in host order */
  uint16_t length;     /* of `name` */
  uint32_t scope;      /* of a link-local address: the number of the interface, or 0 */
  uint8_t address[16]; /* 4 bytes, or 16 */
  char name[108];      /* of a unix socket; an abstract one begins with a 0 byte */
};

/* What a socket says of itself. What it does not say is -1. */
struct cp_socket {
  int32_t domain, type, protocol;
  int32_t is_listening;
  int32_t tcp_state;          /* TCP_ESTABLISHED, ... */
  int32_t waiting, backlog;   /* of a listening socket: connections to accept, and their limit */
  int32_t unread, unsent;     /* bytes; unread of a datagram socket: those of the next datagram */
  int32_t peer;               /* the process that connected a unix socket, or made the pair */
  struct cp_endpoint local, remote;
};

static inline int32_t cp_socket_option(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

static inline void cp_read_endpoint(const struct sockaddr_storage *from, socklen_t size,
                                    struct cp_endpoint *to) {
  if (from->ss_family == AF_INET && size >= sizeof(struct sockaddr_in)) {
    struct sockaddr_in in;
    memcpy(&in, from, sizeof in);
    to->family = AF_INET;
    to->port = ntohs(in.sin_port);
    memcpy(to->address, &in.sin_addr, 4);
  } else if (from->ss_family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
    struct sockaddr_in6 in;
    memcpy(&in, from, sizeof in);
    to->family = AF_INET6;
    to->port = ntohs(in.sin6_port);
    to->scope = in.sin6_scope_id;
    memcpy(to->address, &in.sin6_addr, 16);
  } else if (from->ss_family == AF_UNIX && size >= offsetof(struct sockaddr_un, sun_path)) {
    struct sockaddr_un un;
    size_t length = size - offsetof(struct sockaddr_un, sun_path);
    memcpy(&un, from, size < sizeof un ? size : sizeof un);
    if (length > sizeof un.sun_path) length = sizeof un.sun_path;
    /* The length of a path counts its NUL; an abstract name has none. */
    if (length > 0 && un.sun_path[0] != 0) length = strnlen(un.sun_path, length);
    to->family = AF_UNIX;
    to->length = (uint16_t)length;
    memcpy(to->name, un.sun_path, length);
  }
}

/* Ask a socket of the calling thread's table. The kernel takes the socket's own lock for some
   answers, which another thread may hold as long as it copies bytes from or to it. False if it is
   not a socket. */
static inline bool cp_ask_socket(int fd, struct cp_socket *socket) {
  int saved = errno, bytes;
  struct sockaddr_storage address;
  struct tcp_info tcp;
  struct {
    int32_t process;
    uint32_t user, group;
  } peer; /* struct ucred, a GNU extension */
  socklen_t size = sizeof address;
  memset(socket, 0, sizeof *socket);
  socket->domain = cp_socket_option(fd, SO_DOMAIN);
  socket->type = cp_socket_option(fd, SO_TYPE);
  socket->protocol = cp_socket_option(fd, SO_PROTOCOL);
  socket->is_listening = cp_socket_option(fd, SO_ACCEPTCONN);
  socket->tcp_state = socket->waiting = socket->backlog = -1;
  socket->unread = socket->unsent = socket->peer = -1;
  if (getsockname(fd, (struct sockaddr *)&address, &size) == 0)
    cp_read_endpoint(&address, size, &socket->local);
  size = sizeof address;
  if (getpeername(fd, (struct sockaddr *)&address, &size) == 0)
    cp_read_endpoint(&address, size, &socket->remote);
  if (socket->is_listening != 1) {
    if (ioctl(fd, SIOCINQ, &bytes) == 0) socket->unread = bytes;
    if (ioctl(fd, SIOCOUTQ, &bytes) == 0) socket->unsent = bytes;
  }
  if (socket->protocol == IPPROTO_TCP) {
    size = sizeof tcp;
    memset(&tcp, 0, sizeof tcp);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &tcp, &size) == 0) {
      socket->tcp_state = tcp.tcpi_state;
      /* Of a listening socket the kernel gives its queue by these two names. */
      socket->waiting = (int32_t)tcp.tcpi_unacked;
      socket->backlog = (int32_t)tcp.tcpi_sacked;
    }
  }
  size = sizeof peer;
  if (socket->domain == AF_UNIX && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0)
    socket->peer = peer.process;
  errno = saved;
  return socket->domain >= 0;
}

#endif
