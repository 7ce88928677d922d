/* cplatform.h - static inline shims for what Swift cannot import, and nothing else.

   Macros, GNU extensions that Swift's own C module leaves out, and processor hints. No state, no
   logic: whatever can be said in Swift is said there.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_CPLATFORM_H
#define TASKREG_CPLATFORM_H

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cp_unwind.h"

/* GNU extensions, declared here rather than by _GNU_SOURCE: that macro changes the layout of
   unrelated types (fd_set), and Swift refuses two modules that disagree on a type. */
extern pid_t gettid(void);
extern int pthread_setname_np(pthread_t, const char *);
extern int pthread_attr_setsigmask_np(pthread_attr_t *, const sigset_t *);
extern int pthread_cond_clockwait(pthread_cond_t *, pthread_mutex_t *, clockid_t,
                                  const struct timespec *);
extern int pthread_mutex_clocklock(pthread_mutex_t *, clockid_t, const struct timespec *);
extern const char *sigabbrev_np(int);
extern char *secure_getenv(const char *);
extern int sched_getcpu(void);
extern int sched_getaffinity(pid_t, size_t, cpu_set_t *);

/* dl_iterate_phdr(3) by a name of our own, as <link.h> may or may not have declared it; and the beginning
   of its struct dl_phdr_info. */
#if UINTPTR_MAX == UINT64_MAX
typedef Elf64_Phdr cp_elf_phdr;
typedef Elf64_Dyn cp_elf_dyn;
typedef Elf64_Sym cp_elf_sym;
#else
typedef Elf32_Phdr cp_elf_phdr;
typedef Elf32_Dyn cp_elf_dyn;
typedef Elf32_Sym cp_elf_sym;
#endif
struct cp_object {
  uintptr_t base;
  const char *path;
  const cp_elf_phdr *headers;
  uint16_t header_count;
};
extern int cp_iterate_objects(int (*)(struct cp_object *, size_t, void *), void *)
    __asm__("dl_iterate_phdr");

static inline void cp_set_errno(int value) { errno = value; }
static inline int cp_errno(void) { return errno; }

/* What tr_error_detail returns, the calling thread's own. Of the model "initial-exec": a few bytes of the room
   that libc keeps for libraries loaded later, and no call of __tls_get_addr. */
enum { CP_ERROR_DETAIL_ROOM = 192 };
static inline char *cp_error_detail(void) {
  static _Thread_local char detail[CP_ERROR_DETAIL_ROOM] __attribute__((tls_model("initial-exec")));
  return detail;
}

/* Give the calling thread the process's locale, if uselocale(3) gave it another. */
static inline void cp_reset_locale(void) {
  if (uselocale((locale_t)0) != LC_GLOBAL_LOCALE) uselocale(LC_GLOBAL_LOCALE);
}

/* The kernel's thread id (gettid(2)); Swift's Glibc module lacks it. */
static inline int32_t cp_gettid(void) { return (int32_t)gettid(); }

/* The personality of a function (Itanium C++ ABI: Exception Handling, 1.6) beyond which no handler is looked for: whoever
   throws ends the program by std::terminate. The end of a thread, which forces the stack to be unwound, goes on. */
static int cp_lets_nothing_through(int version, int actions, uint64_t kind, void *exception, void *context) {
  (void)version, (void)kind, (void)exception, (void)context;
  return actions & 1 /* _UA_SEARCH_PHASE */ ? 3 /* _URC_FATAL_PHASE1_ERROR */ : 8 /* _URC_CONTINUE_UNWIND */;
}

/* Whether a mutex is robust (pthread_mutexattr_setrobust(3)): to lock it may find that its holder has died, of which
   the application alone can know what it means. glibc tells by no function; the bit is part of its ABI. */
static inline int cp_mutex_is_robust(const pthread_mutex_t *mutex) {
  return (mutex->__data.__kind & 16 /* PTHREAD_MUTEX_ROBUST_NORMAL_NP */) != 0;
}

/* Call body(argument). If that ends the thread instead of returning, by pthread_exit(3) or a cancellation,
   left(argument) is called as a cleanup handler: the frames of this call and of its callers are still there.
   Should `left` end the thread as well, it is called again.

   A C++ exception does not get past it: to let it through would leave the library's calls in the middle. It is not
   inlined, as the whole function has the personality. */
static __attribute__((noinline, unused)) void cp_call_guarded(void (*body)(void *), void (*left)(void *), void *argument) {
  /* 0x1b: relative to its place, in four bytes (DW_EH_PE_pcrel | DW_EH_PE_sdata4). */
  __asm__ volatile(".cfi_personality 0x1b, %c0" : : "i"(cp_lets_nothing_through));
  pthread_cleanup_push(left, argument);
  body(argument);
  pthread_cleanup_pop(0);
}

/* The kernel's name of the calling thread in `name`, which has 16 bytes; "" if it does not say (prctl(2)). */
static inline void cp_own_thread_name(char *name) {
  int saved = errno;
  if (syscall(SYS_prctl, 16 /* PR_GET_NAME */, name, 0, 0, 0) != 0) name[0] = 0;
  errno = saved;
}

/* The kernel's name of the calling thread: at most 15 bytes, else ERANGE (pthread_setname_np(3)). */
static inline int cp_set_own_thread_name(const char *name) {
  return pthread_setname_np(pthread_self(), name);
}

/* The signal mask new threads start with (pthread_attr_setsigmask_np(3), glibc 2.32). */
static inline int cp_attr_setsigmask(pthread_attr_t *attr, const sigset_t *mask) {
  return pthread_attr_setsigmask_np(attr, mask);
}

/* Have the kernel write 0 to `word` when the calling thread has ended and touches its memory no more, in the
   place of where the C library wanted that (set_tid_address(2)), which looks there for threads that are
   joined, and for stacks of its own. False where a filter of system calls forbids it. */
static inline bool cp_clear_at_end(void *word) {
  int saved = errno;
  bool is_done = syscall(SYS_set_tid_address, word) >= 0;
  errno = saved;
  return is_done;
}

/* Whether the kernel still knows a thread of this process by that id (tgkill(2) with signal 0). */
static inline bool cp_thread_exists(int32_t thread_id) {
  int saved = errno;
  bool exists = syscall(SYS_tgkill, getpid(), thread_id, 0) == 0 || errno != ESRCH;
  errno = saved;
  return exists;
}

/* The processor the caller runs on, from the vDSO; -1 when it cannot be told. */
static inline int32_t cp_current_cpu(void) { return (int32_t)sched_getcpu(); }

/* How many processors the process may use: 1 under `taskset -c 0`. */
static inline int32_t cp_usable_cpus(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int32_t count = 0;
  for (size_t i = 0; i < sizeof set / sizeof set.__bits[0]; i++)
    count += __builtin_popcountl(set.__bits[i]);
  return count;
}

/* Tell the processor that this is a spin loop. */
static inline void cp_spin_hint(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

/* Ask for a cache line that is about to be written, so that reading and then writing it moves it
   once. */
static inline void cp_prefetch_for_writing(const void *address) { __builtin_prefetch(address, 1); }

/* The time-stamp counter, where there is one that is cheap and fine; elsewhere 0. The explorer of Tests/model has
   a clock that stands still, as it repeats executions. */
static inline uint64_t cp_ticks(void) {
#if defined(TASKREG_EXPLORED)
  return 1;
#elif defined(__x86_64__) || defined(__i386__)
  return __builtin_ia32_rdtsc();
#else
  return 0;
#endif
}

/* How long a worker sleeps under the name of its last task, in nanoseconds: to tell the kernel at once would cost as
   much as an empty task, also where the next comes soon. For ever in the explorer of Tests/model: a wake-up that was
   lost would not show where the sleeper wakes up by itself. */
static inline int64_t cp_named_rest_ns(void) {
#if defined(TASKREG_EXPLORED)
  return -1;
#else
  return 20000000;
#endif
}

#include "thread_state.h"

/* ---- Descriptors ----

   To write, read, poll, open, close and send are cancellation points by POSIX, and in glibc. A thread that
   somebody has cancelled must not leave in the middle of the library: each shim here that calls one of them
   disables cancellation meanwhile, whoever calls it. */

/* Disable cancellation of the calling thread. Returns what cp_set_cancellation puts back. */
static inline int cp_disable_cancellation(void) {
  int before = PTHREAD_CANCEL_ENABLE;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  return before;
}
static inline void cp_set_cancellation(int before) { pthread_setcancelstate(before, NULL); }

/* Close a descriptor of the library's own. errno stays as it was. */
static inline void cp_close(int fd) {
  int saved = errno, cancellation = cp_disable_cancellation();
  close(fd);
  cp_set_cancellation(cancellation);
  errno = saved;
}

/* The descriptor fd, or another in its place that is not 0, 1 or 2: where those are closed, what the program
   prints would be written to it. Negative, with errno set, if there is none to be had. */
static inline int cp_not_standard(int fd) {
  if (fd < 0 || fd > 2) return fd;
  int higher = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  cp_close(fd);
  return higher;
}

/* A new eventfd(2) that is not readable; negative, with errno set, if there is none to be had. */
static inline int cp_eventfd(void) {
  return cp_not_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

/* Make an eventfd readable; one that is stays so. */
static inline void cp_eventfd_raise(int fd) {
  int saved = errno, cancellation = cp_disable_cancellation();
  uint64_t one = 1;
  ssize_t written = write(fd, &one, sizeof one);
  (void)written; /* EAGAIN, the only error there is: it has been raised 2^64 - 2 times */
  cp_set_cancellation(cancellation);
  errno = saved;
}

/* Write `count` bytes to `fd`, however many calls that takes; where fd is non-blocking, wait for it. A pipe
   nobody reads from is EPIPE, without a SIGPIPE, and a file at its limit of size (RLIMIT_FSIZE) is EFBIG, without
   a SIGXFSZ: both are blocked meanwhile, and taken if they came. The kernel sends them to the calling thread.
   Returns 0, or the error number. */
static inline int cp_write_all(int fd, const void *bytes, size_t count) {
  sigset_t own, before, pending;
  int saved = errno, failure = 0, raised, cancellation = cp_disable_cancellation();
  sigemptyset(&own);
  sigaddset(&own, SIGPIPE);
  sigaddset(&own, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &own, &before);
  sigpending(&pending);
  while (count > 0 && failure == 0) {
    ssize_t written = write(fd, bytes, count);
    if (written == 0) {
      failure = EIO; /* no file takes nothing for ever */
    } else if (written > 0) {
      bytes = (const char *)bytes + written;
      count -= (size_t)written;
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      struct pollfd writable = {fd, POLLOUT, 0};
      poll(&writable, 1, -1);
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

/* Wait until `fd` has `events`, or `flag_fd` (negative: none) is readable, or `timeout_ns`
   nanoseconds have passed (negative: for ever), by ppoll(2), which reads no clock but
   CLOCK_MONOTONIC.
   Returns a negative errno, or CP_POLL_FLAG, CP_POLL_READY, CP_POLL_BAD (fd is not open), or 0. */
enum { CP_POLL_READY = 1, CP_POLL_FLAG = 2, CP_POLL_BAD = 4 };
static inline int cp_poll(int fd, short events, int flag_fd, int64_t timeout_ns) {
  struct pollfd both[2] = {{fd, events, 0}, {flag_fd, POLLIN, 0}};
  struct timespec timeout = {(time_t)(timeout_ns / 1000000000), (long)(timeout_ns % 1000000000)};
  int saved = errno, result = 0;
  if (syscall(SYS_ppoll, both, 2, timeout_ns < 0 ? NULL : &timeout, NULL, (size_t)8) < 0)
    result = -errno;
  else if (both[1].revents != 0)
    result = CP_POLL_FLAG;
  else if (both[0].revents & POLLNVAL)
    result = CP_POLL_BAD;
  else if (both[0].revents != 0)
    result = CP_POLL_READY;
  errno = saved;
  return result;
}

/* The value of an environment variable; NULL in a program with rights that its caller has not (secure_getenv(3)). */
static inline const char *cp_environment(const char *name) { return secure_getenv(name); }

/* A socket to send datagrams from within this machine; negative, with errno set, if there is none to be had. */
static inline int cp_datagram_socket(void) {
  return cp_not_standard(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

/* Connect a datagram socket, once or again, to the one at `address`, a path or '@' and an abstract name (unix(7)),
   of `length` bytes; no terminating NUL is needed. Returns 0, or the error number; errno stays as it was. */
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

/* Send a datagram to where the socket is connected to. It does not wait, and a receiver that is gone raises no
   SIGPIPE. Returns 0, or the error number; errno stays as it was. */
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

/* Memory for stacks: reserved, and kept out of huge pages, which would make each stack touched
   cost 2 MiB. NULL when the system refuses. One that may not be executable (SELinux) is not. */
static inline void *cp_map_stacks(size_t size, bool executable) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
  void *memory = MAP_FAILED;
  if (executable) memory = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, flags, -1, 0);
  if (memory == MAP_FAILED) memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED) return NULL;
  madvise(memory, size, MADV_NOHUGEPAGE);
  return memory;
}
static inline void cp_unmap(void *memory, size_t size) { munmap(memory, size); }

/* Make pages fault on any access: MADV_GUARD_INSTALL (Linux 6.13), which needs no mapping of its
   own, else PROT_NONE. False when neither can be had. Of a mapping that is locked they are not. */
static inline bool cp_install_guard(void *pages, size_t size, bool is_locked) {
  const int guard_install = 102;
  if (!is_locked && madvise(pages, size, guard_install) == 0) return true;
  if (mprotect(pages, size, PROT_NONE) != 0) return false;
  if (is_locked) munlock(pages, size);
  return true;
}

/* Kibibytes of locked memory (VmLck of proc(5)); negative if that cannot be told. */
static inline long cp_locked_memory(void);

/* Whether what is mapped is locked at once, and costs memory whether it is used or not (MCL_FUTURE of
   mlockall(2)): a page is mapped to see. */
static inline bool cp_mappings_are_locked(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  void *probe = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (probe == MAP_FAILED) return true; /* RLIMIT_MEMLOCK, or no memory: little is better than much */
  long with = cp_locked_memory();
  munmap(probe, page);
  /* Other threads may lock and unlock meanwhile: then it is a guess, and either does no harm. */
  return with > 0 && cp_locked_memory() < with;
}

/* Whether an object of the program wants executable stacks, as GNU C's nested functions do: what glibc gives
   the threads that it makes stacks for. */
static inline int cp_visit_stack_wish(struct cp_object *object, size_t size, void *wish) {
  (void)size;
  for (uint16_t i = 0; i < object->header_count; i++)
    if (object->headers[i].p_type == PT_GNU_STACK && (object->headers[i].p_flags & PF_X)) {
      *(bool *)wish = true;
      return 1;
    }
  return 0;
}
static inline bool cp_wants_executable_stacks(void) {
  bool wish = false;
  cp_iterate_objects(cp_visit_stack_wish, &wish);
  return wish;
}

/* Give the pages of a stack that nobody runs on back to the system. */
static inline void cp_discard(void *memory, size_t size) {
  madvise(memory, size, MADV_DONTNEED);
}

/* Give the pages below the caller's frame back to the system, as glibc does at the end of a thread
   whose stack it allocated; nothing if the caller does not run on this stack. */
static inline void cp_discard_unused(void *stack, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t lowest = (uintptr_t)stack;
  uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
  if (frame < lowest || frame - lowest >= size) return;
  uintptr_t used = frame / page * page - page; /* a page for what the caller calls meanwhile */
  if (used > lowest) madvise(stack, used - lowest, MADV_DONTNEED);
}

/* pthread_mutex_clocklock(3), glibc 2.30: by a time on CLOCK_MONOTONIC; ETIMEDOUT if it cannot be had by then. */
static inline int cp_mutex_clocklock(pthread_mutex_t *mutex, const struct timespec *until) {
  return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, until);
}

/* pthread_cond_clockwait(3), glibc 2.30: the clock is CLOCK_MONOTONIC whatever the condition
   variable was made with. */
static inline int cp_cond_clockwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                                    const struct timespec *deadline) {
  return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, deadline);
}

/* Whether signal `number` exists, can have a handler, and is no synchronous fault. */
static inline bool cp_may_have_handler(int number) {
  switch (number) {
  case SIGKILL: case SIGSTOP: return false;
  case SIGSEGV: case SIGBUS: case SIGFPE: case SIGILL: case SIGTRAP: case SIGSYS: return false;
  }
  struct sigaction action;
  return number > 0 && sigaction(number, NULL, &action) == 0;
}

/* Whether it has a handler that interrupts system calls: one without SA_RESTART. */
static inline bool cp_has_interrupting_handler(int number) {
  struct sigaction action;
  if (!cp_may_have_handler(number) || sigaction(number, NULL, &action) != 0) return false;
  return action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN &&
         !(action.sa_flags & SA_RESTART);
}

/* Install `handler` for signal `number`, without SA_RESTART and on the thread's alternative stack if it has one,
   unless the signal has a handler, or is ignored, already. Returns 0 once `handler` is installed, now or before; EBUSY if another is; EINVAL
   for a number that is no signal or cannot have a handler. */
static inline int cp_install_handler(int number, void (*handler)(int)) {
  struct sigaction action, before;
  if (sigaction(number, NULL, &before) != 0) return EINVAL;
  if (before.sa_handler == handler) return 0;
  if (before.sa_handler != SIG_DFL) return EBUSY;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  if (sigaction(number, &action, &before) != 0) return EINVAL;
  if (before.sa_handler == SIG_DFL || before.sa_handler == handler) return 0;
  /* Another thread has installed one since: it goes back. */
  sigaction(number, &before, NULL);
  return EBUSY;
}

/* Signal sets; Swift does not find the type's initialiser when two modules include its header. */
static inline sigset_t cp_no_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  return set;
}

/* A signal set as bits: number 1 is bit 0, as the kernel and glibc keep them. */
static inline sigset_t cp_signal_set(uint64_t bits) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof bits / sizeof set.__val[0]; i++)
    set.__val[i] = (unsigned long)(bits >> (i * 8 * sizeof set.__val[0]));
  return set;
}
static inline uint64_t cp_signal_bits(const sigset_t *set) {
  uint64_t bits = 0;
  for (size_t i = 0; i < sizeof bits / sizeof set->__val[0]; i++)
    bits |= (uint64_t)set->__val[i] << (i * 8 * sizeof set->__val[0]);
  return bits;
}

static inline bool cp_is_ignored(int number) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Install `handler`, with SA_RESTART and on the thread's alternative stack if it has one. Returns 0 or the error
   number. */
static inline int cp_set_handler(int number, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return sigaction(number, &action, NULL) == 0 ? 0 : errno;
}

/* What a signal does that is about to get `handler`; the default if it has that by mistake, as somebody has put
   back what they found. Returns 0 or the error number. */
static inline int cp_get_previous(int number, void (*handler)(int), struct sigaction *previous) {
  if (sigaction(number, NULL, previous) != 0) return errno;
  if (previous->sa_handler == handler) {
    memset(previous, 0, sizeof *previous);
    previous->sa_handler = SIG_DFL;
  }
  return 0;
}

/* Whether a signal has that handler. */
static inline bool cp_has_plain_handler(int number, void (*handler)(int)) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 && action.sa_handler == handler;
}

/* Have a signal do what it did before `handler` was installed, unless somebody has installed another since.
   Async-signal-safe. */
static inline void cp_restore_handler(int number, void (*handler)(int),
                                      const struct sigaction *previous) {
  if (cp_has_plain_handler(number, handler)) sigaction(number, previous, NULL);
}

/* The process that the caller is in, also in a child that shares its parent's memory. Async-signal-safe. */
static inline int32_t cp_process(void) { return (int32_t)getpid(); }

/* Send a signal to the calling thread; in its own handler it comes when that returns. Async-signal-safe, and right
   in a child that shares its parent's memory. */
static inline void cp_raise(int number) {
  syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
}

/* "TERM" for SIGTERM (sigabbrev_np(3), glibc 2.32); NULL for a signal without a name. */
static inline const char *cp_signal_name(int number) { return sigabbrev_np(number); }

/* Take signal `number`, which the caller has blocked, if it is pending for the calling thread. */
static inline void cp_take_pending_signal(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  struct timespec none = {0, 0};
  int cancellation = cp_disable_cancellation();
  while (sigtimedwait(&set, NULL, &none) == number) {}
  cp_set_cancellation(cancellation);
}

/* Macros that Swift does not import or imports with an awkward type. */
static inline int cp_cancel_enable(void) { return PTHREAD_CANCEL_ENABLE; }
static inline int cp_cancel_disable(void) { return PTHREAD_CANCEL_DISABLE; }
static inline int cp_cancel_deferred(void) { return PTHREAD_CANCEL_DEFERRED; }
static inline int cp_create_detached(void) { return PTHREAD_CREATE_DETACHED; }
static inline int cp_process_shared(void) { return PTHREAD_PROCESS_SHARED; }
static inline clockid_t cp_clock_monotonic(void) { return CLOCK_MONOTONIC; }
static inline clockid_t cp_clock_realtime(void) { return CLOCK_REALTIME; }
static inline clockid_t cp_clock_thread(void) { return CLOCK_THREAD_CPUTIME_ID; }

/* The clock of the processor time that a thread of this process uses, by the thread's id; what
   pthread_getcpuclockid(3) makes of a pthread_t: bit 2 says a thread's, bits 0 and 1 are 2 for what the
   scheduler counts (include/linux/posix-timers_types.h). */
static inline clockid_t cp_clock_of_thread(int32_t thread_id) {
  return (clockid_t)((~(uint32_t)thread_id << 3) | 6u);
}

/* The first bytes of a file, at most `capacity`; a negative error number if it cannot be opened or read. Its descriptor
   is closed before this returns; should it be 0, 1 or 2 meanwhile, as those were closed, what the program
   prints is lost as before: it is open for reading alone. */
static inline ssize_t cp_read_file(const char *path, void *bytes, size_t capacity) {
  int saved = errno, cancellation = cp_disable_cancellation();
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  ssize_t count = -errno;
  if (fd >= 0) {
    size_t filled = 0;
    do {
      count = read(fd, (char *)bytes + filled, capacity - filled);
      if (count > 0) filled += (size_t)count;
    } while ((count > 0 && filled < capacity) || (count < 0 && errno == EINTR));
    count = count >= 0 || filled > 0 ? (ssize_t)filled : -errno;
    close(fd);
  }
  cp_set_cancellation(cancellation);
  errno = saved;
  return count;
}

/* Give the calling thread a table of descriptors of its own, which is empty; the process's stays as it is. False
   where Linux is older than 5.9, or forbids it. close_range(2) by number: glibc has it from 2.34 on. */
static inline bool cp_use_no_descriptors(void) {
  int saved = errno;
  const unsigned close_range_unshare = 1u << 1;
  bool is_done = syscall(436, 0u, ~0u, close_range_unshare) == 0;
  errno = saved;
  return is_done;
}

/* How many threads the process has beside its main thread, if that has ended by pthread_exit(3) while others run; -1 if
   it has not, or that cannot be told. proc(5): of a process, state and num_threads are those of the main thread and of
   all, the ended main thread included. The name in parentheses may have any characters. */
static inline long cp_threads_without_main(void) {
  char text[1024];
  ssize_t count = cp_read_file("/proc/self/stat", text, sizeof text - 1);
  if (count <= 0) return -1;
  text[count] = 0;
  const char *at = NULL;
  for (const char *c = text; *c != 0; c++) {
    if (*c == ')') at = c;
  }
  if (at == NULL || at[1] != ' ' || at[2] != 'Z') return -1;
  /* The state is field 3; what is wanted, field 20. */
  at += 2;
  for (int field = 3; field < 20; at++) {
    if (*at == 0) return -1;
    if (*at == ' ') field++;
  }
  return strtol(at, NULL, 10) - 1;
}

static inline long cp_locked_memory(void) {
  char text[4096];
  ssize_t count = cp_read_file("/proc/self/status", text, sizeof text - 1);
  if (count <= 0) return -1;
  text[count] = 0;
  const char *line = strstr(text, "\nVmLck:");
  return line == NULL ? -1 : strtol(line + 7, NULL, 10);
}

#include "syscall_names.h"

/* ---- Backtraces ---- */

typedef void (*cp_context_handler)(int, siginfo_t *, void *);

/* Install `handler` for signal `number`, with SA_RESTART and on the thread's alternative stack if it has
   one, every signal blocked meanwhile but the synchronous faults; unless the signal has another handler or
   is ignored. As cp_install_handler. */
static inline int cp_install_context_handler(int number, cp_context_handler handler) {
  struct sigaction action, before;
  if (sigaction(number, NULL, &before) != 0) return EINVAL;
  if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction == handler) return 0;
  if (before.sa_handler != SIG_DFL) return EBUSY;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(&action.sa_mask, faults[i]);
  if (sigaction(number, &action, &before) != 0) return EINVAL;
  if (before.sa_handler == SIG_DFL) return 0;
  if ((before.sa_flags & SA_SIGINFO) && before.sa_sigaction == handler) return 0;
  /* Another thread has installed one since: it goes back. */
  sigaction(number, &before, NULL);
  return EBUSY;
}

/* Whether the signal has that handler, and sending it is safe. */
static inline bool cp_has_context_handler(int number, cp_context_handler handler) {
  struct sigaction action;
  return sigaction(number, NULL, &action) == 0 && (action.sa_flags & SA_SIGINFO) &&
         action.sa_sigaction == handler;
}

/* Send signal `number` to one thread of this process (tgkill(2)); false if that failed. */
static inline bool cp_signal_thread(int32_t thread_id, int number) {
  int saved = errno;
  bool sent = syscall(SYS_tgkill, getpid(), thread_id, number) == 0;
  errno = saved;
  return sent;
}

/* Whether the caller, a handler of a signal, runs on an alternate stack with little room left below it. */
static inline bool cp_is_cramped(const void *context) {
  const ucontext_t *interrupted = (const ucontext_t *)context;
  uintptr_t here = (uintptr_t)__builtin_frame_address(0), lowest = (uintptr_t)interrupted->uc_stack.ss_sp;
  if (interrupted->uc_stack.ss_flags & SS_DISABLE) return false;
  return here - lowest < interrupted->uc_stack.ss_size && here - lowest < 4096;
}

/* Where the thread was, and who called: as cp_unwind, but the first alone where there is no room for more. */
static inline int cp_trace(const void *context, void **addresses, int capacity) {
  return cp_unwind(context, addresses, cp_is_cramped(context) && capacity > 1 ? 1 : capacity);
}

/* Sleep until the word at `address` is no more `value`, or until a time on CLOCK_MONOTONIC, or for no
   reason (futex(2)). */
static inline void cp_futex_wait(const void *address, uint32_t value, const struct timespec *until) {
  int saved = errno;
  syscall(SYS_futex, address, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value, until, NULL,
          FUTEX_BITSET_MATCH_ANY);
  errno = saved;
}

/* Wake all who sleep there. Async-signal-safe. */
static inline void cp_futex_wake(const void *address) {
  int saved = errno;
  syscall(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
  errno = saved;
}

/* ---- Symbols ---- */

/* What an address belongs to: an object, by its path, and a function that it exports, as they are called;
   "" where there is none. Both are cut at what there is room for. */
struct cp_symbol {
  uintptr_t address;       /* what is looked for */
  uintptr_t object_offset; /* the address less where the object was loaded, as addr2line(1) wants it */
  uintptr_t symbol_offset;
  char object[256];
  char symbol[256];
};

/* What <link.h> says an object is, at its beginning. */
struct cp_link_map {
  uintptr_t base;
  uintptr_t path;
  uintptr_t dynamic;
};

/* Copy text that may not be there; what is there of it, if it is long. */
static inline void cp_peek_text(uintptr_t address, char *to, size_t room) {
  struct cp_bytes bytes = cp_bytes_at(address, address + room - 1);
  size_t length = 0;
  while (cp_is_more(&bytes)) {
    char next = (char)cp_next(&bytes);
    if (bytes.failed || next == 0) break;
    to[length++] = next;
  }
  to[length] = 0;
}

/* More than any object exports; tables that say more are broken. */
enum { CP_MOST_SYMBOLS = 1 << 22 };

/* How many symbols a table has, by its hash table of the GNU's: one more than the last that is found by it;
   0 if it cannot be told. */
static inline size_t cp_count_symbols(uintptr_t hash) {
  uint32_t words[4], some[512], last = 0;
  if (!cp_peek(hash, words, sizeof words) || words[0] > CP_MOST_SYMBOLS) return 0;
  uint32_t bucket_count = words[0], first = words[1], bloom_count = words[2];
  uintptr_t buckets = hash + 16 + (uintptr_t)bloom_count * sizeof(uintptr_t);
  for (uint32_t at = 0; at < bucket_count; at += 512) {
    uint32_t count = bucket_count - at < 512 ? bucket_count - at : 512;
    if (!cp_peek(buckets + (uintptr_t)at * 4, some, (size_t)count * 4)) return 0;
    for (uint32_t i = 0; i < count; i++)
      if (some[i] > last) last = some[i];
  }
  if (last < first) return first; /* none is found by it */
  uintptr_t chain = buckets + (uintptr_t)bucket_count * 4;
  /* The last of a chain has the lowest bit. */
  for (int i = 0; i < 4096; i++, last++) {
    uint32_t entry;
    if (!cp_peek(chain + (uintptr_t)(last - first) * 4, &entry, sizeof entry)) return 0;
    if (entry & 1) return (size_t)last + 1;
  }
  return 0;
}

/* Find the exported function of an object that `found->address` is in. */
static inline void cp_find_function(const struct cp_link_map *object, struct cp_symbol *found) {
  uintptr_t table = 0, names = 0, names_size = 0, hash = 0, gnu_hash = 0;
  for (int i = 0; i < 256; i++) {
    cp_elf_dyn entry;
    if (!cp_peek(object->dynamic + (uintptr_t)i * sizeof entry, &entry, sizeof entry)) return;
    if (entry.d_tag == DT_NULL) break;
    uintptr_t value = (uintptr_t)entry.d_un.d_val;
    /* The dynamic linker has made addresses of them, but in the vDSO. */
    uintptr_t address = value < object->base ? value + object->base : value;
    switch (entry.d_tag) {
    case DT_SYMTAB: table = address; break;
    case DT_STRTAB: names = address; break;
    case DT_STRSZ: names_size = value; break;
    case DT_HASH: hash = address; break;
    case DT_GNU_HASH: gnu_hash = address; break;
    }
  }
  size_t count = 0;
  uint32_t header[2];
  if (gnu_hash != 0)
    count = cp_count_symbols(gnu_hash);
  else if (hash != 0 && cp_peek(hash, header, sizeof header))
    count = header[1];
  if (table == 0 || names == 0 || count > CP_MOST_SYMBOLS) return;
  enum { SOME = 128 };
  cp_elf_sym some[SOME];
  uintptr_t best = 0, best_name = 0;
  for (size_t at = 0; at < count; at += SOME) {
    size_t now = count - at < SOME ? count - at : SOME;
    if (!cp_peek(table + at * sizeof *some, some, now * sizeof *some)) return;
    for (size_t i = 0; i < now; i++) {
      const cp_elf_sym *symbol = &some[i];
      int type = symbol->st_info & 15;
      uintptr_t offset = found->object_offset - (uintptr_t)symbol->st_value;
      if (symbol->st_shndx == SHN_UNDEF || (type != STT_FUNC && type != STT_GNU_IFUNC)) continue;
      if (symbol->st_name >= names_size || offset >= (symbol->st_size > 0 ? symbol->st_size : 1)) continue;
      if (best_name != 0 && symbol->st_value <= best) continue;
      best = (uintptr_t)symbol->st_value;
      best_name = names + symbol->st_name;
    }
  }
  if (best_name == 0) return;
  found->symbol_offset = found->object_offset - best;
  cp_peek_text(best_name, found->symbol, sizeof found->symbol);
}

/* Find what an address belongs to. Unlike dladdr(3) and dl_iterate_phdr(3) it waits for nobody, as a straggler may
   hang in either; what is unloaded meanwhile is not found. Nothing is allocated. False if it belongs to no object, or
   where _dl_find_object(3) is not there (glibc 2.35); then nothing else is said. */
static inline bool cp_find_symbol(uintptr_t address, struct cp_symbol *found) {
  struct cp_found_object object;
  struct cp_link_map map;
  found->address = address;
  found->object_offset = found->symbol_offset = 0;
  found->object[0] = found->symbol[0] = 0;
  if (!cp_find_object(address, &object)) return false;
  if (!cp_peek((uintptr_t)object.link_map, &map, sizeof map)) return false;
  cp_peek_text(map.path, found->object, sizeof found->object);
  /* The program itself has no path there. */
  if (found->object[0] == 0) {
    uintptr_t program = (uintptr_t)getauxval(AT_EXECFN);
    if (program != 0) cp_peek_text(program, found->object, sizeof found->object);
  }
  found->object_offset = address - map.base;
  cp_find_function(&map, found);
  return true;
}

#endif
