/* faces.c - what a report says of the descriptor that a task waits for (E13): one case for each sort of descriptor,
   hostile paths, and descriptors that are closed or reused under the call. */

#include "deadline.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* A task that is in one system call on one descriptor, until it is asked to stop: then SIGUSR1 interrupts it. */
struct caller {
  void (*call)(struct caller *);
  int fd;
  int own_table; /* it has descriptors of its own: `fd` is closed there, and opened again as a pipe (1), a unix socket
                    (2), or `path` (3) */
  const char *path;
  struct gate ready;
  char bytes[128]; /* as many as a signalfd reads at least */
};

static int body_calls(tr_task *self, void *ctx) {
  struct caller *caller = ctx;
  if (caller->own_table) {
    int ends[2] = {-1, -1};
    CHECK_EQ(0, unshare(CLONE_FILES));
    if (caller->own_table == 1) CHECK_EQ(0, pipe(ends));
    if (caller->own_table == 2) CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    if (caller->own_table == 3) ends[0] = open(caller->path, O_RDWR);
    CHECK_EQ(caller->fd, dup2(ends[0], caller->fd));
  }
  gate_arrive(&caller->ready);
  caller->call(caller);
  CHECK_MSG(tr_task_is_cancelled(self), "a call on fd %d does not block", caller->fd);
  return 0;
}

static void calls_read(struct caller *c) { c->bytes[0] = (char)read(c->fd, c->bytes, sizeof c->bytes); }
static void calls_write(struct caller *c) { c->bytes[0] = (char)write(c->fd, c->bytes, sizeof c->bytes); }
static void calls_write_counter(struct caller *c) { /* Linux takes no more than the counter's eight bytes since 6.9 */
  uint64_t one = 1;
  CHECK(write(c->fd, &one, sizeof one) < 0 && errno == EINTR);
}
static void calls_recv(struct caller *c) { c->bytes[0] = (char)recv(c->fd, c->bytes, sizeof c->bytes, 0); }
static void calls_recv_all(struct caller *c) {
  c->bytes[0] = (char)recv(c->fd, c->bytes, sizeof c->bytes, MSG_WAITALL | MSG_PEEK);
}
static void calls_send(struct caller *c) { c->bytes[0] = (char)send(c->fd, c->bytes, sizeof c->bytes, 0); }
static void calls_accept(struct caller *c) { CHECK(accept(c->fd, NULL, NULL) < 0); }
static void calls_flock(struct caller *c) { CHECK(flock(c->fd, LOCK_EX) != 0); }
static void calls_epoll(struct caller *c) {
  struct epoll_event event;
  CHECK(epoll_wait(c->fd, &event, 1, -1) <= 0);
}
static void calls_poll(struct caller *c) {
  struct pollfd one = {c->fd, POLLIN, 0};
  CHECK(poll(&one, 1, -1) <= 0);
}
static void calls_poll_of_two(struct caller *c) {
  struct pollfd two[2] = {{c->fd, POLLIN, 0}, {c->fd, POLLIN, 0}};
  CHECK(poll(two, 2, -1) <= 0);
}
static void calls_nothing_with_it(struct caller *c) {
  (void)c;
  pause();
}

/* A registry whose only task is in `caller`'s call. */
static tr_registry *registry_in_call(struct caller *caller, uint32_t flags) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = flags;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  tr_status status = tr_install_cancel_signal(SIGUSR1);
  CHECK(status == TR_OK);
  caller->ready = (struct gate)GATE_INIT;
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.cancel_signal = SIGUSR1;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "calls", TR_KIND_MAINTENANCE, body_calls, caller, &how, NULL));
  gate_await(&caller->ready, 1);
  return registry;
}

static struct caller caller_of(void (*call)(struct caller *), int fd) {
  struct caller caller;
  memset(&caller, 0, sizeof caller);
  caller.call = call;
  caller.fd = fd;
  return caller;
}

/* A report in which the task is blocked in a system call with a name; NULL where Linux shows no system calls. The
   gate is a futex, in which the task is not for long. */
static tr_report *report_in_call(tr_registry *registry, uint32_t flags, tr_straggler *straggler) {
  for (int64_t until = now_ns() + AT_ONCE;;) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, flags, &report));
    *straggler = straggler_called(report, "calls");
    if (straggler->scheduler_state == 'S' && straggler->syscall_name != NULL &&
        strcmp(straggler->syscall_name, "futex") != 0)
      return report;
    tr_report_release(report);
    if (now_ns() > until && straggler->syscall < 0) return NULL;
    CHECK(now_ns() < until);
    breathe();
  }
}

/* Say whether `text` fits `pattern`, whose '#' stands for a number. */
static int fits(const char *pattern, const char *text) {
  for (; *pattern != 0; pattern++) {
    if (*pattern == '#') {
      size_t digits = strspn(text, "0123456789");
      if (digits == 0) return 0;
      text += digits;
    } else if (*text++ != *pattern) {
      return 0;
    }
  }
  return *text == 0;
}

/* Check the face of the descriptor of `caller`, in the structure, in text and in JSON. */
static void check_face(struct caller caller, uint32_t kind, const char *pattern) {
  tr_registry *registry = registry_in_call(&caller, 0);
  tr_straggler straggler;
  tr_report *report = report_in_call(registry, 0, &straggler);
  if (report != NULL) {
    CHECK_EQ(caller.fd, straggler.descriptor);
    CHECK(straggler.descriptor_text != NULL);
    CHECK_MSG(straggler.descriptor_kind == kind, "kind %u: %s", straggler.descriptor_kind, straggler.descriptor_text);
    CHECK_MSG(fits(pattern, straggler.descriptor_text), "\"%s\" is not \"%s\"", straggler.descriptor_text, pattern);
    static char text[65536], line[1024];
    size_t length = 0;
    CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
    snprintf(line, sizeof line, "\n  on fd %d: %s\n", caller.fd, straggler.descriptor_text);
    CHECK_MSG(strstr(text, line) != NULL, "%.400s", text);
    CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_JSON, text, sizeof text, &length));
    snprintf(line, sizeof line, "\"descriptor\":{\"number\":%d,\"kind\":\"", caller.fd);
    CHECK_MSG(strstr(text, line) != NULL, "%.400s", text);
    tr_report_release(report);
  }
  registry_finish(registry);
}

#define FACE(call, fd, kind, ...)                                                                  \
  do {                                                                                             \
    char face_text[512];                                                                           \
    snprintf(face_text, sizeof face_text, __VA_ARGS__);                                            \
    check_face(caller_of(call, fd), kind, face_text);                                              \
  } while (0)

/* ---- One for each sort of descriptor ------------------------------------------------------------------------------ */

/* Proves: a read of a pipe names the descriptor of this process that writes it, how many others do, and none if there
   is none; a write that fills it names the one that reads it (E13).  Why it matters: who has to write is the next
   question.  Catches: the same end taken for the other one; the descriptor itself counted; an end of another pipe. */
CASE(a_pipe_names_its_other_end) {
  int ends[2], others[2];
  CHECK_EQ(0, pipe(others));
  CHECK_EQ(0, pipe(ends));
  FACE(calls_read, ends[0], TR_DESCRIPTOR_PIPE, "pipe, written by this process's fd %d", ends[1]);
  FACE(calls_poll, ends[0], TR_DESCRIPTOR_PIPE, "pipe, written by this process's fd %d", ends[1]);
  int second = dup(ends[1]), third = dup(ends[1]), reader = dup(ends[0]);
  FACE(calls_read, ends[0], TR_DESCRIPTOR_PIPE, "pipe, written by this process's fd %d and 2 others", ends[1]);
  close(third);
  FACE(calls_read, reader, TR_DESCRIPTOR_PIPE, "pipe, written by this process's fd %d and 1 other", ends[1]);
  close(second);
  close(reader);
  CHECK_EQ(0, fcntl(ends[1], F_SETFL, O_NONBLOCK));
  char page[4096] = {0};
  while (write(ends[1], page, sizeof page) > 0) continue;
  CHECK_EQ(0, fcntl(ends[1], F_SETFL, 0));
  FACE(calls_write, ends[1], TR_DESCRIPTOR_PIPE, "pipe, read by this process's fd %d", ends[0]);
  pid_t child = fork(); /* has the other end of the other pipe */
  CHECK(child >= 0);
  if (child == 0) {
    for (;;) pause();
  }
  close(others[1]);
  FACE(calls_read, others[0], TR_DESCRIPTOR_PIPE, "pipe, written by no descriptor of this process below 4096");
  CHECK_EQ(0, kill(child, SIGKILL));
  CHECK_EQ(child, waitpid(child, NULL, 0));
  close(others[0]);
  close(ends[0]);
  close(ends[1]);
}

static int loopback_socket(int family, int type, struct sockaddr_storage *address, socklen_t *size) {
  int fd = socket(family, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  memset(address, 0, sizeof *address);
  address->ss_family = (sa_family_t)family;
  *size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
  if (family == AF_INET) ((struct sockaddr_in *)address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (family == AF_INET6) ((struct sockaddr_in6 *)address)->sin6_addr = in6addr_loopback;
  if (bind(fd, (struct sockaddr *)address, *size) != 0) {
    close(fd);
    return -1;
  }
  CHECK_EQ(0, getsockname(fd, (struct sockaddr *)address, size));
  return fd;
}

static unsigned port_of(const struct sockaddr_storage *address) { /* at the same place in both */
  return ntohs(((const struct sockaddr_in *)address)->sin_port);
}

/* Proves: a socket of TCP has both addresses, its state, what there is to read, and what a listening one has to accept,
   by IPv4 and by IPv6; and what there is to read is there afterwards (E13).  Why it matters: the peer that does not
   answer is the culprit.  Catches: the ends exchanged; bytes taken; a port in the wrong order. */
CASE(a_tcp_socket_has_two_addresses) {
  const int families[] = {AF_INET, AF_INET6};
  const char *const hosts[] = {"127.0.0.1", "[::1]"};
  for (int i = 0; i < 2; i++) {
    struct sockaddr_storage address, own;
    socklen_t size, own_size = sizeof own;
    int server = loopback_socket(families[i], SOCK_STREAM, &address, &size);
    if (server < 0 && i == 1) continue; /* no IPv6 here */
    CHECK(server >= 0);
    CHECK_EQ(0, listen(server, 7));
    unsigned port = port_of(&address);
    FACE(calls_accept, server, TR_DESCRIPTOR_TCP, "tcp %s:%u, LISTEN, 0 of 7 connections to accept", hosts[i], port);
    int client = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(0, connect(client, (struct sockaddr *)&address, size));
    CHECK_EQ(0, getsockname(client, (struct sockaddr *)&own, &own_size));
    int peer = accept(server, NULL, NULL);
    CHECK(peer >= 0);
    FACE(calls_recv, client, TR_DESCRIPTOR_TCP, "tcp %s:%u \u2192 %s:%u, ESTABLISHED, 0 bytes to read", hosts[i],
         port_of(&own), hosts[i], port);
    FACE(calls_read, peer, TR_DESCRIPTOR_TCP, "tcp %s:%u \u2192 %s:%u, ESTABLISHED, 0 bytes to read", hosts[i], port,
         hosts[i], port_of(&own));
    CHECK_EQ(5, send(peer, "12345", 5, 0));
    struct pollfd readable = {client, POLLIN, 0};
    CHECK_EQ(1, poll(&readable, 1, -1));
    FACE(calls_recv_all, client, TR_DESCRIPTOR_TCP, "tcp %s:%u \u2192 %s:%u, ESTABLISHED, 5 bytes to read", hosts[i],
         port_of(&own), hosts[i], port);
    char bytes[8];
    CHECK_EQ(5, recv(client, bytes, sizeof bytes, MSG_DONTWAIT));
    close(client);
    close(peer);
    close(server);
  }
}

/* Proves: a socket of UDP has its address, and its peer's if it is connected (E13).  Why it matters: as for TCP.
   Catches: a peer that is invented for a socket without one. */
CASE(a_udp_socket_has_an_address) {
  struct sockaddr_storage address, other;
  socklen_t size, other_size;
  int fd = loopback_socket(AF_INET, SOCK_DGRAM, &address, &size);
  int peer = loopback_socket(AF_INET, SOCK_DGRAM, &other, &other_size);
  CHECK(fd >= 0 && peer >= 0);
  FACE(calls_recv, fd, TR_DESCRIPTOR_UDP, "udp 127.0.0.1:%u, 0 bytes to read", port_of(&address));
  CHECK_EQ(0, connect(fd, (struct sockaddr *)&other, other_size));
  FACE(calls_recv, fd, TR_DESCRIPTOR_UDP, "udp 127.0.0.1:%u \u2192 127.0.0.1:%u, 0 bytes to read", port_of(&address),
       port_of(&other));
  close(fd);
  close(peer);
}

static int unix_socket(int type, const char *name, size_t length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memcpy(address.sun_path, name, length);
  int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  CHECK_EQ(0, bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
  return fd;
}

/* Proves: a unix socket has its names, an abstract one with "@" for each NUL, escaped, and the process at its other
   end; one without a peer claims none (E13).  Why it matters: a name is chosen by whoever binds it.  Catches: a name
   that is read beyond its length; a control character that gets through; a listening socket with a peer. */
CASE(a_unix_socket_has_names_and_a_peer) {
  int pair[2];
  CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  FACE(calls_recv, pair[0], TR_DESCRIPTOR_UNIX, "unix stream, peer process %d (this one), 0 bytes to read", getpid());
  CHECK_EQ(0, fcntl(pair[0], F_SETFL, O_NONBLOCK));
  char page[4096] = {0};
  while (send(pair[0], page, sizeof page, 0) > 0) continue;
  CHECK_EQ(0, fcntl(pair[0], F_SETFL, 0));
  FACE(calls_send, pair[0], TR_DESCRIPTOR_UNIX,
       "unix stream, peer process %d (this one), 0 bytes to read, # bytes unsent", getpid());
  close(pair[0]);
  close(pair[1]);

  char folder[] = "/tmp/taskreg-faces-XXXXXX", name[100];
  CHECK(mkdtemp(folder) != NULL);
  snprintf(name, sizeof name, "%s/a\nb\x1b[2J", folder);
  int server = unix_socket(SOCK_STREAM, name, strlen(name) + 1);
  CHECK_EQ(0, listen(server, 1));
  FACE(calls_accept, server, TR_DESCRIPTOR_UNIX, "unix stream %s/a\\x0ab\\x1b[2J, LISTEN", folder);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, name);
  int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_EQ(0, connect(client, (struct sockaddr *)&address, sizeof address));
  FACE(calls_recv, client, TR_DESCRIPTOR_UNIX,
       "unix stream \u2192 %s/a\\x0ab\\x1b[2J, peer process %d (this one), 0 bytes to read", folder, getpid());
  close(client);
  close(server);
  CHECK_EQ(0, unlink(name));
  CHECK_EQ(0, rmdir(folder));

  char abstract[] = "\0taskreg faces\0\xff!";
  snprintf(abstract + 1, sizeof abstract - 1, "taskreg %05d", getpid() % 100000);
  int datagrams = unix_socket(SOCK_DGRAM, abstract, sizeof abstract - 1); /* it has NULs in it */
  FACE(calls_recv, datagrams, TR_DESCRIPTOR_UNIX, "unix datagram @taskreg %05d@\xef\xbf\xbd!, 0 bytes to read",
       getpid() % 100000);
  close(datagrams);
}

/* Proves: eventfd, timerfd, epoll with how many, signalfd and inotify are told apart, and are as before (E13).  Why it
   matters: a loop that waits for its timer is healthy.  Catches: a counter that is consumed; lines counted that are
   not descriptors. */
CASE(descriptors_of_the_kernels_own_are_told_apart) {
  int event = eventfd(0, EFD_CLOEXEC);
  FACE(calls_read, event, TR_DESCRIPTOR_EVENTFD, "eventfd, counter 0");
  uint64_t most = UINT64_MAX - 1;
  CHECK_EQ(sizeof most, write(event, &most, sizeof most));
  FACE(calls_write_counter, event, TR_DESCRIPTOR_EVENTFD, "eventfd, counter 18446744073709551614");
  CHECK_EQ(sizeof most, read(event, &most, sizeof most));
  CHECK(most == UINT64_MAX - 1);

  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  FACE(calls_read, timer, TR_DESCRIPTOR_TIMERFD, "timerfd, not armed, or due already");
  struct itimerspec later = {.it_value = {3600, 0}};
  CHECK_EQ(0, timerfd_settime(timer, 0, &later, NULL));
  FACE(calls_read, timer, TR_DESCRIPTOR_TIMERFD, "timerfd, due in #.# s");

  int epoll = epoll_create1(EPOLL_CLOEXEC);
  FACE(calls_epoll, epoll, TR_DESCRIPTOR_EPOLL, "epoll of 0 descriptors");
  struct epoll_event none = {.events = 0};
  CHECK_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, event, &none));
  FACE(calls_epoll, epoll, TR_DESCRIPTOR_EPOLL, "epoll of 1 descriptor");
  for (int i = 0; i < 99; i++) CHECK_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, dup(timer), &none));
  FACE(calls_epoll, epoll, TR_DESCRIPTOR_EPOLL, "epoll of 100 descriptors");
  FACE(calls_poll, epoll, TR_DESCRIPTOR_EPOLL, "epoll of 100 descriptors");

  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR2);
  int signal = signalfd(-1, &signals, SFD_CLOEXEC);
  FACE(calls_read, signal, TR_DESCRIPTOR_SIGNALFD, "signalfd");

  int notes = inotify_init1(IN_CLOEXEC);
  FACE(calls_read, notes, TR_DESCRIPTOR_INOTIFY, "inotify with 0 watches");
  CHECK(inotify_add_watch(notes, "/proc/self", IN_DELETE_SELF) >= 0);
  FACE(calls_read, notes, TR_DESCRIPTOR_INOTIFY, "inotify with 1 watch");
}

/* Proves: a terminal is called one, by its path (E13).  Why it matters: a daemon that reads a terminal was started
   wrongly.  Catches: it taken for a file. */
CASE(a_terminal_is_called_one) {
  int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return; /* no pseudo-terminals here */
  CHECK_EQ(0, grantpt(master));
  CHECK_EQ(0, unlockpt(master));
  int fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  CHECK(fd >= 0);
  FACE(calls_read, fd, TR_DESCRIPTOR_TERMINAL, "terminal %s", ptsname(master));
  close(fd);
  close(master);
}

/* ---- Paths -------------------------------------------------------------------------------------------------------- */

/* Proves: a file and a named pipe have their paths, a deleted one says so; a path with control characters and broken
   UTF-8 is escaped; of a long one the end is shown, from the start of a character; one that the kernel does not tell is
   "not known" (E13).  Why it matters: a path may come from a peer, and must not forge a line of the report.  Catches:
   bytes that are not escaped; a text that begins in the middle of a character; a path that is cut and shown as whole. */
CASE(paths_are_escaped_and_bounded) {
  char folder[] = "/tmp/taskreg-faces-XXXXXX", path[8192];
  CHECK(mkdtemp(folder) != NULL);
  snprintf(path, sizeof path, "%s/a\nb\x1b]0;x\a\xff\xc2\x85z", folder);
  int held = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), fd = open(path, O_RDWR | O_CLOEXEC);
  CHECK(held >= 0 && fd >= 0);
  CHECK_EQ(0, flock(held, LOCK_EX));
  FACE(calls_flock, fd, TR_DESCRIPTOR_FILE, "%s/a\\x0ab\\x1b]0;x\\x07\ufffd\\x85z", folder);
  CHECK_EQ(0, unlink(path));
  FACE(calls_flock, fd, TR_DESCRIPTOR_FILE, "%s/a\\x0ab\\x1b]0;x\\x07\ufffd\\x85z (deleted)", folder);
  close(held);
  close(fd);

  snprintf(path, sizeof path, "%s/fifo", folder);
  CHECK_EQ(0, mkfifo(path, 0600));
  int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), writer = open(path, O_WRONLY | O_CLOEXEC);
  CHECK(reader >= 0 && writer >= 0);
  CHECK_EQ(0, fcntl(reader, F_SETFL, 0));
  FACE(calls_read, reader, TR_DESCRIPTOR_PIPE, "pipe %s/fifo, written by this process's fd %d", folder, writer);
  close(reader);
  close(writer);
  CHECK_EQ(0, unlink(path));

  /* Folders of 250 bytes, made of characters of two, with a file in each of them. */
  int depth = 0, base = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  char part[251] = "x";
  for (int i = 1; i < 249; i += 2) strcpy(part + i, "\u00e9");
  for (; depth < 18; depth++) {
    CHECK_EQ(0, mkdirat(at, part, 0700));
    int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(next >= 0);
    held = openat(next, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    fd = openat(next, "file", O_RDWR | O_CLOEXEC);
    CHECK(held >= 0 && fd >= 0);
    CHECK_EQ(0, flock(held, LOCK_EX));
    if (depth == 0 || depth == 15 || depth == 17) {
      char expected[512] = "...";
      for (int i = 0; i < 77; i++) strcat(expected, "\u00e9");
      strcat(expected, "/file");
      if (depth < 17)
        check_face(caller_of(calls_flock, fd), TR_DESCRIPTOR_FILE, expected);
      else
        check_face(caller_of(calls_flock, fd), TR_DESCRIPTOR_NOT_KNOWN,
                   "not known, because its path is too long for the kernel to tell");
    }
    close(held);
    close(fd);
    close(at);
    at = next;
  }
  for (; depth > 0; depth--) {
    CHECK_EQ(0, unlinkat(at, "file", 0));
    int above = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(above >= 0);
    CHECK_EQ(0, unlinkat(above, part, AT_REMOVEDIR));
    close(at);
    at = above;
  }
  close(at);
  close(base);
  CHECK_EQ(0, rmdir(folder));
}

/* ---- What is not known, and what is not said ---------------------------------------------------------------------- */

/* Proves: a descriptor that was closed under the call has no face, and neither has one whose number is another file's by
   now: a file under a recv, a socket under a read in a pipe (E13).  Why it matters: an operator would look at the wrong
   file.  Catches: the face of whatever has the number; where the kernel sleeps taken for all that tells them apart: under
   a recv in UDP it tells nothing. */
CASE(a_descriptor_that_is_closed_or_reused_has_no_face) {
  for (int round = 0; round < 4; round++) {
    int ends[2], pair[2], is_socket = round >= 2, udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(udp >= 0);
    CHECK_EQ(0, pipe(ends));
    CHECK_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
    int fd = dup(round == 3 ? udp : is_socket ? pair[0] : ends[0]), file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && file >= 0);
    struct caller caller = caller_of(is_socket ? calls_recv : calls_read, fd);
    tr_registry *registry = registry_in_call(&caller, 0);
    tr_straggler straggler;
    tr_report *report = report_in_call(registry, 0, &straggler);
    if (report != NULL && straggler.wait_channel[0] != 0) {
      tr_report_release(report);
      if (round == 0) close(fd);
      if (round == 1) CHECK_EQ(fd, dup2(pair[0], fd));
      if (is_socket) CHECK_EQ(fd, dup2(file, fd));
      report = report_in_call(registry, 0, &straggler);
      CHECK(report != NULL);
      CHECK_EQ(fd, straggler.descriptor);
      CHECK_MSG(straggler.descriptor_kind == TR_DESCRIPTOR_NOT_KNOWN, "%s", straggler.descriptor_text);
      CHECK_STR(round == 0 ? "not known, because it is not open any more"
                           : "not known, because its number has come to be that of another file",
                straggler.descriptor_text);
    }
    tr_report_release(report);
    /* Where it is not open any more, the task's next call fails, so it would spin. */
    registry_finish(registry);
    close(fd);
    for (int i = 0; i < 2; i++) close(ends[i]), close(pair[i]);
    close(file);
    close(udp);
  }
}

/* Proves: a task whose thread has descriptors of its own gets the face of its own, and nothing that would be asked of
   another file of that number (E13).  Why it matters: the number means something else there.  Catches: the process's
   table read for the thread's. */
CASE(a_thread_with_descriptors_of_its_own_shows_those) {
  int fd = eventfd(0, EFD_CLOEXEC);
  struct caller caller = caller_of(calls_read, fd);
  caller.own_table = 1;
  check_face(caller, TR_DESCRIPTOR_PIPE, "pipe; its thread has descriptors of its own");
  close(fd);
}

/* Proves: a unix socket and a named pipe of such a thread, which are not asked for more, are shown as what their links
   say, although the kernel sleeps for them in a function of one sort of file (E13).  Why it matters: "its number has come
   to be that of another file" accuses the program of a close that never was.  Catches: a sort that is only assumed held
   against what the thread waits in. */
CASE(a_descriptor_that_is_not_asked_is_not_contradicted) {
  int fd = eventfd(0, EFD_CLOEXEC);
  struct caller caller = caller_of(calls_read, fd);
  caller.own_table = 2;
  check_face(caller, TR_DESCRIPTOR_SOCKET, "socket; not asked for more, because its thread has descriptors of its own");
  char path[64];
  snprintf(path, sizeof path, "/tmp/taskreg-faces-%d", (int)getpid());
  CHECK_EQ(0, mkfifo(path, 0600));
  caller.own_table = 3;
  caller.path = path;
  check_face(caller, TR_DESCRIPTOR_FILE, path);
  CHECK_EQ(0, unlink(path));
  close(fd);
}

/* Proves: without a call of one descriptor there is none: a poll of two, a call without one (E13).  Why it matters: a
   first argument may be anything.  Catches: an address taken for a descriptor; the first of two shown as the only one. */
CASE(other_calls_have_no_descriptor) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  void (*const calls[])(struct caller *) = {calls_poll_of_two, calls_nothing_with_it};
  for (int i = 0; i < 2; i++) {
    struct caller caller = caller_of(calls[i], ends[0]);
    tr_registry *registry = registry_in_call(&caller, 0);
    tr_straggler straggler;
    tr_report *report = report_in_call(registry, 0, &straggler);
    CHECK_EQ(-1, straggler.descriptor);
    CHECK_EQ(0, straggler.descriptor_kind);
    CHECK(straggler.descriptor_text == NULL);
    tr_report_release(report);
    registry_finish(registry);
  }
  close(ends[0]);
  close(ends[1]);
}

/* Proves: TR_EXPLAIN_NO_DESCRIPTORS, and TR_REGISTRY_NO_DESCRIPTORS for a registry and the groups in it, leave descriptors
   out of the structure, of text and of JSON, and nothing else (E13).  Why it matters: paths and addresses are
   disclosed otherwise.  Catches: a flag that is not read; a group that does not inherit it. */
CASE(descriptors_can_be_left_out) {
  int ends[2];
  CHECK_EQ(0, pipe(ends));
  struct caller caller = caller_of(calls_read, ends[0]);
  for (int way = 0; way < 2; way++) {
    tr_registry *registry = registry_in_call(&caller, way == 1 ? TR_REGISTRY_NO_DESCRIPTORS : 0);
    tr_straggler straggler;
    uint32_t flags = way == 0 ? TR_EXPLAIN_NO_DESCRIPTORS | TR_EXPLAIN_NO_BACKTRACES : 0;
    tr_report *report = report_in_call(registry, flags, &straggler);
    if (report != NULL) {
      CHECK_STR("read", straggler.syscall_name);
      CHECK(straggler.descriptor == -1 && straggler.descriptor_kind == 0 && straggler.descriptor_text == NULL);
      static char text[65536];
      size_t length = 0;
      CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
      CHECK_MSG(strstr(text, " in read") != NULL && strstr(text, "on fd") == NULL, "%.400s", text);
      CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_JSON, text, sizeof text, &length));
      CHECK(strstr(text, "\"descriptor\":null") != NULL);
    }
    tr_report_release(report);
    registry_finish(registry);
  }
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_NO_DESCRIPTORS;
  tr_registry *top = NULL, *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &top));
  CHECK_EQ(TR_OK, tr_registry_child(top, "group", NULL, &group));
  caller.ready = (struct gate)GATE_INIT;
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.cancel_signal = SIGUSR1;
  CHECK_EQ(TR_OK, tr_spawn_with(group, "calls", TR_KIND_MAINTENANCE, body_calls, &caller, &how, NULL));
  gate_await(&caller.ready, 1);
  for (int i = 0; i < 2; i++) {
    tr_straggler straggler;
    tr_report *report = report_in_call(i == 0 ? group : top, 0, &straggler);
    CHECK(straggler.descriptor == -1 && straggler.descriptor_text == NULL);
    tr_report_release(report);
  }
  tr_registry_release(group);
  registry_finish(top);
  close(ends[0]);
  close(ends[1]);
}

/* Where /proc is not there: in a child, which has a view of the mounted file systems of its own. */
static int without_proc(void) {
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) return 0;
  return mount("none", "/proc", "tmpfs", 0, NULL) == 0;
}

/* Proves: without /proc a report has no descriptor, and says why it does not know the rest (E13).  Why it matters:
   containers are made so.  Catches: a face that is made of nothing. */
CASE(without_proc_there_is_no_descriptor) {
  if (getuid() != 0 || check_under_a_tool()) return; /* tools read /proc themselves */
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (!without_proc()) _exit(0);
    int ends[2];
    CHECK_EQ(0, pipe(ends));
    struct caller caller = caller_of(calls_read, ends[0]);
    tr_registry *registry = registry_in_call(&caller, 0);
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain(registry, &report));
    tr_straggler straggler = straggler_called(report, "calls");
    CHECK_EQ(ENOENT, straggler.probe_error);
    CHECK(straggler.descriptor == -1 && straggler.descriptor_text == NULL);
    tr_report_release(report);
    registry_finish(registry);
    _exit(0);
  }
  int status = 0;
  CHECK_EQ(child, waitpid(child, &status, 0));
  CHECK_EQ(0, status);
}

CHECK_MAIN(CHECK_ENTRY(a_pipe_names_its_other_end),
           CHECK_ENTRY(a_tcp_socket_has_two_addresses),
           CHECK_ENTRY(a_udp_socket_has_an_address),
           CHECK_ENTRY(a_unix_socket_has_names_and_a_peer),
           CHECK_ENTRY(descriptors_of_the_kernels_own_are_told_apart),
           CHECK_ENTRY(a_terminal_is_called_one),
           CHECK_ENTRY(paths_are_escaped_and_bounded),
           CHECK_ENTRY(a_descriptor_that_is_closed_or_reused_has_no_face),
           CHECK_ENTRY(a_thread_with_descriptors_of_its_own_shows_those),
           CHECK_ENTRY(a_descriptor_that_is_not_asked_is_not_contradicted),
           CHECK_ENTRY(other_calls_have_no_descriptor),
           CHECK_ENTRY(descriptors_can_be_left_out),
           CHECK_ENTRY(without_proc_there_is_no_descriptor))
