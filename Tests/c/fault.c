/* fault.c - calls that fail on demand; see fault.h. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "fault.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Under a sanitizer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ONLY_THREADS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ONLY_THREADS 1
#endif
#endif

/* ---- Every n-th thread ---------------------------------------------------------------------- */

static atomic_int every, threads_asked_for, error_number, faulted;

void fault_every(int n, int error) {
  atomic_store(&faulted, 0);
  atomic_store(&error_number, error);
  atomic_store(&every, n);
}

static pthread_mutex_t hold_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static int is_held; /* guarded by hold_lock */

static void set_held(int value) {
  pthread_mutex_lock(&hold_lock);
  is_held = value;
  pthread_cond_broadcast(&released);
  pthread_mutex_unlock(&hold_lock);
}
void fault_hold(void) { set_held(1); }
void fault_release(void) { set_held(0); }

static void await_release(void) {
#ifndef ONLY_THREADS
  pthread_mutex_lock(&hold_lock);
  while (is_held) pthread_cond_wait(&released, &hold_lock);
  pthread_mutex_unlock(&hold_lock);
#endif
}

int faulted_threads(void) { return atomic_load(&faulted); }

#ifndef __GLIBC__ /* where one type takes every kind of address */
#define __CONST_SOCKADDR_ARG const struct sockaddr *
#endif

/* Say whether this call is one of those to fail. */
static int is_faulted(void) {
  int n = atomic_load(&every);
  return n > 0 && atomic_fetch_add(&threads_asked_for, 1) % n == n - 1;
}

/* ---- The n-th call of the library ----------------------------------------------------------- */

/* The watched object: written before there are threads. */
static uintptr_t watched_low, watched_high;

static atomic_long first_faulted, last_faulted, calls, calls_faulted;
static const char *_Atomic last_name = "";

/* How deep the thread is in a call of the C library that was made by the watched object and may
   allocate on its behalf. */
static __thread int depth __attribute__((tls_model("initial-exec")));

static int find_object(struct dl_phdr_info *info, size_t size, void *argument) {
  uintptr_t function = *(uintptr_t *)argument, low = UINTPTR_MAX, high = 0;
  (void)size;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
    uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    if (start < low) low = start;
    if (start + info->dlpi_phdr[i].p_memsz > high) high = start + info->dlpi_phdr[i].p_memsz;
  }
  if (function < low || function >= high) return 0;
  watched_low = low;
  watched_high = high;
  return 1;
}

void fault_watch(const void *function) {
  uintptr_t address = (uintptr_t)function;
  if (dl_iterate_phdr(find_object, &address) != 1) abort();
}

void fault_calls(long first, long last) {
  atomic_store(&calls, 0);
  atomic_store(&calls_faulted, 0);
  atomic_store(&first_faulted, first);
  atomic_store(&last_faulted, last);
}

void fault_none(void) {
  atomic_store(&every, 0);
  atomic_store(&last_faulted, 0);
}

long watched_calls(void) { return atomic_load(&calls); }
long faulted_calls(void) { return atomic_load(&calls_faulted); }
const char *faulted_call(void) { return atomic_load(&last_name); }

/* Find the function that stands behind this one. */
static void find_next(const char *name, void *function) {
  void *found = dlsym(RTLD_NEXT, name);
  if (found == NULL) abort();
  memcpy(function, &found, sizeof found);
}

/* The function with that `name`, looked up once; two threads find the same. */
#define NEXT(type, name)                                                                           \
  static type (*next) PARAMETERS_##name;                                                           \
  if (__atomic_load_n(&next, __ATOMIC_ACQUIRE) == NULL) {                                          \
    type(*found) PARAMETERS_##name;                                                                \
    find_next(#name, &found);                                                                      \
    __atomic_store_n(&next, found, __ATOMIC_RELEASE);                                              \
  }

#define CALLER ((uintptr_t)__builtin_return_address(0))

/* Say whether a call from `caller` is the watched object's own. */
static int is_own(uintptr_t caller) { return caller >= watched_low && caller < watched_high; }

/* Count a call if it is watched, and say whether it is one to fail. */
static int fails(const char *name, uintptr_t caller) {
  if (!is_own(caller) && depth == 0) return 0;
  long number = atomic_fetch_add(&calls, 1) + 1;
  if (number < atomic_load(&first_faulted) || number > atomic_load(&last_faulted)) return 0;
  atomic_store(&last_name, name);
  atomic_fetch_add(&calls_faulted, 1);
  return 1;
}

#define PARAMETERS_pthread_create                                                                  \
  (pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                   void *argument) {
  if (is_faulted()) {
    atomic_fetch_add(&faulted, 1);
    return atomic_load(&error_number);
  }
  uintptr_t caller = CALLER;
  if (fails("pthread_create", caller)) return EAGAIN;
  NEXT(int, pthread_create)
  depth += is_own(caller);
  int code = next(thread, attributes, start, argument);
  depth -= is_own(caller);
  if (code == 0) await_release();
  return code;
}

#ifndef ONLY_THREADS

#include <sched.h>
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

/* ---- Blocks and mappings in use ------------------------------------------------------------- */

/* The blocks the watched object holds: a hash table with linear probing, guarded by `table_lock`. */
enum { TABLE_SIZE = 1 << 14 };
static void *table[TABLE_SIZE];
static long table_count;
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_long bytes_mapped;

long held_bytes_mapped(void) { return atomic_load(&bytes_mapped); }

long held_blocks(void) {
  pthread_mutex_lock(&table_lock);
  long count = table_count;
  pthread_mutex_unlock(&table_lock);
  return count;
}

static size_t slot_of(const void *block) {
  return (size_t)(((uintptr_t)block >> 4) * UINT64_C(11400714819323198485) >> 50) % TABLE_SIZE;
}

static void hold(void *block) {
  if (block == NULL) return;
  pthread_mutex_lock(&table_lock);
  size_t slot = slot_of(block);
  while (table[slot] != NULL) slot = (slot + 1) % TABLE_SIZE;
  table[slot] = block;
  if (++table_count == TABLE_SIZE / 2) abort();
  pthread_mutex_unlock(&table_lock);
}

static void let_go(const void *block) {
  if (block == NULL) return;
  pthread_mutex_lock(&table_lock);
  size_t slot = slot_of(block);
  while (table[slot] != NULL && table[slot] != block) slot = (slot + 1) % TABLE_SIZE;
  if (table[slot] == block) {
    table_count--;
    table[slot] = NULL;
    /* Those behind it may have been pushed there. */
    for (size_t at = (slot + 1) % TABLE_SIZE; table[at] != NULL; at = (at + 1) % TABLE_SIZE) {
      void *moved = table[at];
      table[at] = NULL;
      size_t place = slot_of(moved);
      while (table[place] != NULL) place = (place + 1) % TABLE_SIZE;
      table[place] = moved;
    }
  }
  pthread_mutex_unlock(&table_lock);
}

/* ---- Memory --------------------------------------------------------------------------------- */

/* What stands behind malloc in glibc: dlsym may itself allocate. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

void *malloc(size_t size) {
  uintptr_t caller = CALLER;
  if (fails("malloc", caller)) {
    errno = ENOMEM;
    return NULL;
  }
  void *block = __libc_malloc(size);
  if (is_own(caller)) hold(block);
  return block;
}

void *calloc(size_t count, size_t size) {
  uintptr_t caller = CALLER;
  if (fails("calloc", caller)) {
    errno = ENOMEM;
    return NULL;
  }
  void *block = __libc_calloc(count, size);
  if (is_own(caller)) hold(block);
  return block;
}

int posix_memalign(void **block, size_t alignment, size_t size) {
  uintptr_t caller = CALLER;
  if (fails("posix_memalign", caller)) return ENOMEM;
  void *made = __libc_memalign(alignment, size);
  if (made == NULL) return ENOMEM;
  if (is_own(caller)) hold(made);
  *block = made;
  return 0;
}

void free(void *block) {
  let_go(block);
  __libc_free(block);
}

/* ---- Mappings ------------------------------------------------------------------------------- */

#define PARAMETERS_mmap (void *, size_t, int, int, int, off_t)
void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset) {
  uintptr_t caller = CALLER;
  if (fails("mmap", caller)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  NEXT(void *, mmap)
  void *memory = next(address, size, protection, flags, fd, offset);
  if (is_own(caller) && memory != MAP_FAILED) atomic_fetch_add(&bytes_mapped, (long)size);
  return memory;
}

/* Never made to fail: munmap(2) fails on a whole mapping only when that has become part of a larger
   one, for lack of mappings, and then nothing could be done about it. */
#define PARAMETERS_munmap (void *, size_t)
int munmap(void *address, size_t size) {
  uintptr_t caller = CALLER;
  NEXT(int, munmap)
  int code = next(address, size);
  if (is_own(caller) && code == 0) atomic_fetch_sub(&bytes_mapped, (long)size);
  return code;
}

#define PARAMETERS_mprotect (void *, size_t, int)
int mprotect(void *address, size_t size, int protection) {
  if (fails("mprotect", CALLER)) {
    errno = ENOMEM;
    return -1;
  }
  NEXT(int, mprotect)
  return next(address, size, protection);
}

#define PARAMETERS_madvise (void *, size_t, int)
int madvise(void *address, size_t size, int advice) {
  if (fails("madvise", CALLER)) {
    errno = EINVAL;
    return -1;
  }
  NEXT(int, madvise)
  return next(address, size, advice);
}

/* ---- Descriptors, threads, system calls ------------------------------------------------------ */

#define PARAMETERS_eventfd (unsigned, int)
int eventfd(unsigned initial, int flags) {
  if (fails("eventfd", CALLER)) {
    errno = EMFILE;
    return -1;
  }
  NEXT(int, eventfd)
  return next(initial, flags);
}

/* The library opens files to read them, so that there is no mode. */
#define PARAMETERS_open (const char *, int, ...)
int open(const char *path, int flags, ...) {
  uintptr_t caller = CALLER;
  if (fails("open", caller)) {
    errno = EMFILE;
    return -1;
  }
  mode_t mode = 0;
  if (flags & (O_CREAT | O_TMPFILE)) {
    va_list list;
    va_start(list, flags);
    mode = va_arg(list, mode_t);
    va_end(list);
  }
  NEXT(int, open)
  return next(path, flags, mode);
}

#define PARAMETERS_socket (int, int, int)
int socket(int domain, int type, int protocol) {
  if (fails("socket", CALLER)) {
    errno = EMFILE;
    return -1;
  }
  NEXT(int, socket)
  return next(domain, type, protocol);
}

#define PARAMETERS_connect (int, __CONST_SOCKADDR_ARG, socklen_t)
int connect(int fd, __CONST_SOCKADDR_ARG to, socklen_t length) {
  if (fails("connect", CALLER)) {
    errno = ENOMEM;
    return -1;
  }
  NEXT(int, connect)
  return next(fd, to, length);
}

#define PARAMETERS_send (int, const void *, size_t, int)
ssize_t send(int fd, const void *bytes, size_t count, int flags) {
  if (fails("send", CALLER)) {
    errno = ENOBUFS;
    return -1;
  }
  NEXT(ssize_t, send)
  return next(fd, bytes, count, flags);
}

/* Eight bytes go to an eventfd of the library's own, where a write cannot fail. */
#define PARAMETERS_write (int, const void *, size_t)
ssize_t write(int fd, const void *bytes, size_t count) {
  uintptr_t caller = CALLER;
  if (count != 8 && fails("write", caller)) {
    errno = ENOSPC;
    return -1;
  }
  NEXT(ssize_t, write)
  return next(fd, bytes, count);
}

#define PARAMETERS_backtrace (void **, int)
int backtrace(void **frames, int capacity) {
  if (fails("backtrace", CALLER)) return 0;
  NEXT(int, backtrace)
  return next(frames, capacity);
}

/* The clock of a thread fails when that has ended; the others do not. */
#define PARAMETERS_clock_gettime (clockid_t, struct timespec *)
int clock_gettime(clockid_t clock, struct timespec *now) {
  uintptr_t caller = CALLER;
  if (clock < 0 && fails("clock_gettime", caller)) {
    errno = EINVAL;
    return -1;
  }
  NEXT(int, clock_gettime)
  return next(clock, now);
}

#define PARAMETERS_pthread_attr_init (pthread_attr_t *)
int pthread_attr_init(pthread_attr_t *attributes) {
  if (fails("pthread_attr_init", CALLER)) return ENOMEM;
  NEXT(int, pthread_attr_init)
  return next(attributes);
}

#define PARAMETERS_pthread_attr_setstack (pthread_attr_t *, void *, size_t)
int pthread_attr_setstack(pthread_attr_t *attributes, void *stack, size_t size) {
  if (fails("pthread_attr_setstack", CALLER)) return EINVAL;
  NEXT(int, pthread_attr_setstack)
  return next(attributes, stack, size);
}

#define PARAMETERS_pthread_attr_setstacksize (pthread_attr_t *, size_t)
int pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size) {
  if (fails("pthread_attr_setstacksize", CALLER)) return EINVAL;
  NEXT(int, pthread_attr_setstacksize)
  return next(attributes, size);
}

#define PARAMETERS_pthread_attr_setsigmask_np (pthread_attr_t *, const sigset_t *)
int pthread_attr_setsigmask_np(pthread_attr_t *attributes, const sigset_t *mask) {
  if (fails("pthread_attr_setsigmask_np", CALLER)) return ENOMEM;
  NEXT(int, pthread_attr_setsigmask_np)
  return next(attributes, mask);
}

#define PARAMETERS_pthread_key_create (pthread_key_t *, void (*)(void *))
int pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
  if (fails("pthread_key_create", CALLER)) return EAGAIN;
  NEXT(int, pthread_key_create)
  return next(key, destructor);
}

/* Fails as glibc's does: when its allocation for keys after the 32nd fails. */
#define PARAMETERS_pthread_setspecific (pthread_key_t, const void *)
int pthread_setspecific(pthread_key_t key, const void *value) {
  uintptr_t caller = CALLER;
  NEXT(int, pthread_setspecific)
  depth += is_own(caller);
  int code = next(key, value);
  depth -= is_own(caller);
  return code;
}

/* pthread_atfork, as glibc's header and static part make it. */
int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);
#define PARAMETERS___register_atfork (void (*)(void), void (*)(void), void (*)(void), void *)
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                      void *object) {
  if (fails("pthread_atfork", CALLER)) return ENOMEM;
  NEXT(int, __register_atfork)
  return next(prepare, parent, child, object);
}

#define PARAMETERS_pthread_setname_np (pthread_t, const char *)
int pthread_setname_np(pthread_t thread, const char *name) {
  if (fails("pthread_setname_np", CALLER)) return EACCES;
  NEXT(int, pthread_setname_np)
  return next(thread, name);
}

#define PARAMETERS_sched_getaffinity (pid_t, size_t, cpu_set_t *)
int sched_getaffinity(pid_t thread, size_t size, cpu_set_t *set) {
  if (fails("sched_getaffinity", CALLER)) {
    errno = EINVAL;
    return -1;
  }
  NEXT(int, sched_getaffinity)
  return next(thread, size, set);
}

#define PARAMETERS_sched_getcpu (void)
int sched_getcpu(void) {
  if (fails("sched_getcpu", CALLER)) {
    errno = ENOSYS;
    return -1;
  }
  NEXT(int, sched_getcpu)
  return next();
}

#define PARAMETERS_syscall (long, ...)
long syscall(long number, ...) {
  long arguments[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) arguments[i] = va_arg(list, long);
  va_end(list);
  /* futex(2) needs no resource: waking cannot fail, and after a failed wait the word is checked
     again. Whether a thread exists must be answered: without that, and without set_tid_address, it
     could not be known. */
  int asks_for_thread = number == SYS_tgkill && arguments[2] == 0;
  if (number != SYS_futex && !asks_for_thread && fails("syscall", CALLER)) {
    errno = ENOMEM;
    return -1;
  }
  NEXT(long, syscall)
  return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
              arguments[5]);
}

#else

long held_blocks(void) { return 0; }
long held_bytes_mapped(void) { return 0; }

#endif
