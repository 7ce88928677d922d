/* shims.c - the C code of the library itself, Sources/CPlatform, called as the core calls it and
   with the extreme arguments that the core could pass. The library has these compiled into its
   Swift functions, where no sanitizer for C checks them; here they are compiled as C, and under
   -fsanitize=address,undefined in sanitized builds. Rules C6, C8, E1, E10, E12, S7. */

#include "support.h"

#include <cplatform.h>

#include <dlfcn.h>
#include <execinfo.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* nameless.c */
extern int (*const nameless_function)(int);

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
  char *stacks = cp_map_stacks(8 * page, false);
  CHECK(stacks != NULL);
  CHECK(cp_install_guard(stacks, page, false));
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
  CHECK(cp_map_stacks(SIZE_MAX / 2, false) == NULL);

  CHECK(cp_usable_cpus() >= 1);
  CHECK(cp_current_cpu() >= -1);
  CHECK_EQ(gettid(), cp_gettid());
  CHECK(cp_thread_exists(cp_gettid()));
  CHECK(!cp_thread_exists(INT32_MAX));
  struct cp_scheduling scheduling = cp_get_scheduling(0), same = cp_get_scheduling(gettid());
  CHECK(cp_scheduling_digest(&scheduling) == cp_scheduling_digest(&same));
  CHECK(cp_ticks() <= cp_ticks());
  CHECK_EQ(0, cp_set_own_thread_name("fifteen bytes.."));
  CHECK_EQ(ERANGE, cp_set_own_thread_name("sixteen bytes..."));
  cp_set_errno(4711);
  CHECK_EQ(4711, cp_errno());
  cp_reset_locale();
  cp_spin_hint();
  cp_prefetch_for_writing(&status);
}

/* Proves: system calls that block have the names that the kernel gives them, and other numbers
   none (E1). Why it matters: "it is in system call 202" is useless. Catches: a name beside its
   number. */
CASE(system_calls_have_names) {
  CHECK_STR("read", cp_syscall_name(SYS_read));
  CHECK_STR("futex", cp_syscall_name(SYS_futex));
  CHECK_STR("ppoll", cp_syscall_name(SYS_ppoll));
  CHECK_STR("clock_nanosleep", cp_syscall_name(SYS_clock_nanosleep));
  CHECK_STR("epoll_pwait", cp_syscall_name(SYS_epoll_pwait));
  CHECK_STR("wait4", cp_syscall_name(SYS_wait4));
  CHECK_STR("restart_syscall", cp_syscall_name(SYS_restart_syscall));
  CHECK(cp_syscall_name(-1) == NULL);
  CHECK(cp_syscall_name(INT32_MIN) == NULL);
  CHECK(cp_syscall_name(INT32_MAX) == NULL);
  int named = 0;
  for (int number = 0; number < 1024; number++) {
    const char *name = cp_syscall_name(number);
    named += name != NULL;
    CHECK(name == NULL || (strlen(name) > 1 && strlen(name) < 24));
  }
  CHECK(named > 100);
}

/* Proves: the first bytes of a file are read, up to the room there is; errno is as before; and no
   descriptor stays open, even if 0, 1 and 2 are closed (E1). Why it matters: reports are made in
   processes that ran out of descriptors. Catches: one that is left open after an error. */
CASE(files_are_read_and_closed) {
  char bytes[64], expected[64];
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    for (int fd = 0; fd < 3; fd++) close(fd);
    errno = 4711;
    CHECK_EQ(5, cp_read_file("/proc/self/stat", bytes, 5));
    CHECK(cp_read_file("/proc/self/stat", bytes, sizeof bytes) == sizeof bytes);
    CHECK_EQ(-ENOENT, cp_read_file("/proc/self/nothing", bytes, sizeof bytes));
    CHECK_EQ(-EISDIR, cp_read_file("/proc", bytes, sizeof bytes));
    CHECK_EQ(4711, errno);
    for (int fd = 0; fd < 3; fd++) CHECK(fcntl(fd, F_GETFD) < 0);
    _exit(0);
  }
  int status;
  while (waitpid(child, &status, 0) < 0) CHECK(errno == EINTR);
  CHECK_EQ(0, status);
  snprintf(expected, sizeof expected, "%d (", (int)getpid());
  CHECK_EQ((ssize_t)sizeof bytes, cp_read_file("/proc/self/stat", bytes, sizeof bytes));
  CHECK(memcmp(expected, bytes, strlen(expected)) == 0);
  CHECK(cp_read_file("/proc/self/comm", bytes, sizeof bytes) > 1);
  CHECK_EQ(0, cp_read_file("/dev/null", bytes, sizeof bytes));
}

static int ends_with(const char *text, const char *end) {
  size_t length = strlen(text), end_length = strlen(end);
  return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* Proves: an address is found in the object it is in, in the function that the object exports
   there, at its start, in its middle and not behind its end; in the program, in an object that
   exports no function, in the vDSO, and in none (E10, E12). Why it matters: this is the visible
   part of a backtrace. Catches: the function before taken for an address between two; offsets from
   somewhere else; a table read beyond its end. */
CASE(addresses_have_symbols) {
  struct cp_symbol found;
  uintptr_t known = (uintptr_t)&tr_strerror;
  CHECK(cp_find_symbol(known, &found));
  CHECK_STR("tr_strerror", found.symbol);
  CHECK_EQ(0, found.symbol_offset);
  CHECK(strstr(found.object, "/libtaskreg.so") != NULL);
  uintptr_t base = known - found.object_offset;
  CHECK_EQ(0, base % (uintptr_t)sysconf(_SC_PAGESIZE));
  CHECK(cp_find_symbol(known + 3, &found));
  CHECK_STR("tr_strerror", found.symbol);
  CHECK_EQ(3, found.symbol_offset);
  CHECK_EQ(known + 3 - base, found.object_offset);
  /* Up to the last byte, and not beyond: some of these have padding behind them. */
  uintptr_t functions[] = {known, (uintptr_t)&tr_version, (uintptr_t)&tr_kind_name,
                           (uintptr_t)&tr_token_cancel, (uintptr_t)&tr_task_id, (uintptr_t)&tr_sleep};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    Dl_info info;
    void *entry;
    CHECK(dladdr1((void *)functions[i], &info, &entry, RTLD_DL_SYMENT) != 0);
    uintptr_t size = ((const ElfW(Sym) *)entry)->st_size;
    CHECK(size > 1);
    CHECK(cp_find_symbol(functions[i] + size - 1, &found));
    CHECK_STR(info.dli_sname, found.symbol);
    CHECK_EQ(size - 1, found.symbol_offset);
    CHECK(cp_find_symbol(functions[i] + size, &found));
    CHECK(strcmp(info.dli_sname, found.symbol) != 0);
  }

  CHECK(cp_find_symbol((uintptr_t)nameless_function, &found));
  CHECK(ends_with(found.object, "libc-nameless.so"));
  CHECK_STR("", found.symbol);
  CHECK(found.object_offset > 0 && found.symbol_offset == 0);

  CHECK(cp_find_symbol((uintptr_t)&ends_with, &found));
  CHECK(ends_with(found.object, "c-shims"));
  CHECK(found.object_offset > 0);

  int on_stack;
  char *in_heap = malloc(100000);
  CHECK(in_heap != NULL);
  uintptr_t nowhere[] = {0, 1, 4095, (uintptr_t)&on_stack, (uintptr_t)in_heap, UINTPTR_MAX - 4095, UINTPTR_MAX};
  for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
    CHECK(!cp_find_symbol(nowhere[i], &found));
    CHECK(found.object[0] == 0 && found.symbol[0] == 0);
  }
  free(in_heap);

  uintptr_t vdso = (uintptr_t)getauxval(AT_SYSINFO_EHDR);
  if (vdso != 0 && !check_under_a_tool()) {
    int is_clock_found = 0;
    for (uintptr_t address = vdso; address < vdso + 8192; address += 16)
      if (cp_find_symbol(address, &found)) is_clock_found |= strstr(found.symbol, "clock_gettime") != NULL;
    CHECK(is_clock_found);
  }
}

/* Proves: by the dynamic linker's list each address is found in the object in which glibc's own function finds it, with the same
   unwind table, and in none otherwise (E10, E12). Why it matters: before glibc 2.35 there is no such function, and reports named
   no place. Catches: a segment that is too long by one byte; the program taken for a library, whose headers are elsewhere. */
CASE(objects_are_found_in_the_linkers_list) {
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  struct cp_symbol library;
  CHECK(cp_find_symbol((uintptr_t)&tr_strerror, &library));
  int on_stack;
  char *in_heap = malloc(100000);
  CHECK(in_heap != NULL);
  const uintptr_t inside[] = {(uintptr_t)&tr_strerror, (uintptr_t)&ends_with, (uintptr_t)nameless_function, (uintptr_t)&malloc,
                              (uintptr_t)&stdout, (uintptr_t)getauxval(AT_SYSINFO_EHDR), (uintptr_t)getauxval(AT_PHDR),
                              (uintptr_t)&tr_strerror - library.object_offset};
  for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
    struct cp_found_object walked = {0}, known = {0};
    if (inside[i] == 0) continue; /* without a vDSO */
    CHECK_MSG(cp_walk_to_object(inside[i], &walked), "number %zu", i);
    if (cp_dl_find_object == NULL) continue;
    CHECK(cp_dl_find_object((void *)inside[i], &known) == 0);
    CHECK(walked.link_map == known.link_map && walked.eh_frame == known.eh_frame);
  }
  const uintptr_t nowhere[] = {0, 1, 4095, (uintptr_t)&on_stack, (uintptr_t)in_heap, inside[7] - 1, UINTPTR_MAX - page, UINTPTR_MAX};
  for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
    struct cp_found_object walked;
    CHECK_MSG(!cp_walk_to_object(nowhere[i], &walked), "number %zu", i);
  }
  free(in_heap);
  /* Up to the last byte of the last segment, and not beyond. */
  Dl_info info;
  struct link_map *map;
  CHECK(dladdr1((void *)(uintptr_t)nameless_function, &info, (void **)&map, RTLD_DL_LINKMAP) != 0);
  const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)map->l_addr;
  const ElfW(Phdr) *segments = (const ElfW(Phdr) *)(map->l_addr + header->e_phoff);
  uintptr_t end = 0;
  for (size_t i = 0; i < header->e_phnum; i++)
    if (segments[i].p_type == PT_LOAD) end = map->l_addr + segments[i].p_vaddr + segments[i].p_memsz;
  struct cp_found_object walked;
  CHECK(cp_walk_to_object(end - 1, &walked) && walked.link_map == map);
  CHECK(!cp_walk_to_object(end, &walked) || walked.link_map != map);
}

static int unexported[4] = {1, 2, 3, 4};

/* Proves: a variable that is not exported is found in the file of its object, up to its last byte; and not in a file
   that is another one, is cut off anywhere, is damaged, or cannot be read (Q3).  Why it matters: most locks are static;
   and the file may have been replaced since.  Catches: a name from a file that was not loaded; a table that is trusted. */
CASE(static_variables_have_their_names_from_the_file) {
  enum { MOST = 64 << 20 };
  struct cp_symbol found;
  for (size_t i = 0; i < sizeof unexported; i++) {
    CHECK(cp_find_symbol((uintptr_t)unexported + i, &found));
    CHECK_STR("", found.symbol);
    CHECK(cp_find_in_file(CP_VARIABLES, &found));
    CHECK_STR("unexported", found.symbol);
    CHECK_EQ(i, found.symbol_offset);
  }
  CHECK(cp_find_symbol((uintptr_t)(unexported + 4), &found));
  /* AddressSanitizer makes variables longer, by what is poisoned. */
  if (!check_under_a_tool()) CHECK(!cp_find_in_file(CP_VARIABLES, &found) || strcmp(found.symbol, "unexported") != 0);
  CHECK(cp_find_symbol((uintptr_t)&ends_with, &found));
  CHECK(!cp_find_in_file(CP_VARIABLES, &found)); /* a function */
  CHECK_STR("", found.symbol);
  CHECK(cp_find_in_file(CP_FUNCTIONS, &found));
  CHECK_STR("ends_with", found.symbol);

  /* Other files. */
  CHECK(cp_find_symbol((uintptr_t)unexported, &found));
  struct cp_symbol library, other = found;
  CHECK(cp_find_symbol((uintptr_t)&tr_strerror, &library));
  const char *const wrong[] = {library.object, "/", "/dev/null", "/nowhere", ""};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    snprintf(other.object, sizeof other.object, "%s", wrong[i]);
    CHECK(!cp_find_in(other.object, CP_VARIABLES, &other));
  }

  /* A copy, first as it is, then with another build id, then cut off, then damaged. */
  char *bytes = malloc(MOST);
  CHECK(bytes != NULL);
  int from = open(found.object, O_RDONLY | O_CLOEXEC), copy = memfd_create("copy", MFD_CLOEXEC);
  size_t size = (size_t)read(from, bytes, MOST);
  CHECK(from >= 0 && copy >= 0 && size > 4096 && size < MOST && close(from) == 0);
  CHECK(write(copy, bytes, size) == (ssize_t)size);
  snprintf(other.object, sizeof other.object, "/proc/self/fd/%d", copy);
  CHECK(cp_find_in(other.object, CP_VARIABLES, &other));
  CHECK_STR("unexported", other.symbol);
  other.symbol[0] = 0;
  static const char note[] = "\3\0\0\0GNU"; /* its type and its name; the id follows */
  const char *build_id = memmem(bytes, size, note, sizeof note);
  CHECK(build_id != NULL);
  off_t place_of_id = build_id + sizeof note - bytes;
  char first = (char)(bytes[place_of_id] + 1);
  CHECK(pwrite(copy, &first, 1, place_of_id) == 1);
  CHECK(!cp_find_in(other.object, CP_VARIABLES, &other));
  CHECK_STR("", other.symbol);
  CHECK(pwrite(copy, bytes + place_of_id, 1, place_of_id) == 1);
  CHECK(cp_find_in(other.object, CP_VARIABLES, &other));
  const cp_elf_ehdr *header = (const cp_elf_ehdr *)bytes;
  const int rounds = check_under_a_tool() ? 100 : 2000;
  unsigned number = 1;
  for (int i = 0; i < rounds; i++) {
    other.symbol[0] = 0;
    number = number * 1664525 + 1013904223;
    if (i % 4 == 0) {
      CHECK_EQ(0, ftruncate(copy, (off_t)(number % size)));
      (void)cp_find_in(other.object, CP_VARIABLES, &other);
      CHECK(pwrite(copy, bytes, size, 0) == (ssize_t)size);
    } else {
      /* The header, the parts and the sections are what it follows. */
      size_t begin = i % 4 == 1 ? 0 : (size_t)header->e_shoff, room = i % 4 == 1 ? 1024 : size - begin;
      size_t place = begin + (number >> 4) % room;
      char damaged = (char)(number >> 24);
      CHECK(pwrite(copy, &damaged, 1, (off_t)place) == 1);
      (void)cp_find_in(other.object, CP_VARIABLES, &other);
      CHECK(pwrite(copy, bytes + place, 1, (off_t)place) == 1);
    }
    CHECK(strlen(other.symbol) < sizeof other.symbol);
  }
  CHECK(cp_find_in(other.object, CP_VARIABLES, &other));
  close(copy);
  free(bytes);
}

/* An object made up of `words`, for its tables to be wrong in. */
static int finds_in(uint32_t *words, cp_elf_dyn *dynamic) {
  struct cp_link_map object = {(uintptr_t)words, 0, (uintptr_t)dynamic, 0};
  struct cp_symbol found;
  memset(&found, 0, sizeof found);
  found.object_offset = 16;
  cp_find_function(&object, &found);
  return found.symbol[0] != 0;
}

/* Proves: tables that lead out of their object are not followed (E10).  Why it matters: objects are patched, packed and
   stripped by many tools, and a report must not crash in one.  Catches: memory that is read without cp_peek; a
   chain without an end. */
CASE(broken_tables_are_not_followed) {
  enum { count = 1024 };
  uint32_t *words = calloc(count, 4);
  CHECK(words != NULL);
  size_t size = count * 4;
  cp_elf_dyn *dynamic = (cp_elf_dyn *)(words + 900);
  cp_elf_sym *symbols = (cp_elf_sym *)(words + 400);
  uintptr_t base = (uintptr_t)words;
  /* One that is right: a GNU hash table at 200 with a bucket, whose chain is the symbol number 1. */
  words[200] = 1, words[201] = 1, words[202] = 1, words[203] = 0, words[206] = 1, words[207] = 1;
  symbols[1].st_info = STT_FUNC;
  symbols[1].st_shndx = 1;
  symbols[1].st_name = 1;
  symbols[1].st_value = 8;
  symbols[1].st_size = 16;
  memcpy((char *)(words + 300) + 1, "function", 9);
  dynamic[0].d_tag = DT_SYMTAB, dynamic[0].d_un.d_ptr = base + 1600;
  dynamic[1].d_tag = DT_STRTAB, dynamic[1].d_un.d_ptr = base + 1200;
  dynamic[2].d_tag = DT_STRSZ, dynamic[2].d_un.d_val = 10;
  dynamic[3].d_tag = DT_GNU_HASH, dynamic[3].d_un.d_ptr = base + 800;
  CHECK_EQ(1, finds_in(words, dynamic));
  cp_elf_dyn right[4];
  memcpy(right, dynamic, sizeof right);

  uintptr_t wrong[] = {base + size, base + size - 8, base + size - 1, UINTPTR_MAX - 7, UINTPTR_MAX - base};
  for (int entry = 0; entry < 4; entry++)
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
      dynamic[entry].d_un.d_val = wrong[i];
      finds_in(words, dynamic);
      memcpy(dynamic, right, sizeof right);
    }
  for (int entry = 0; entry < 4; entry++) {
    dynamic[entry].d_tag = 0x60000001;
    CHECK_EQ(0, finds_in(words, dynamic));
    memcpy(dynamic, right, sizeof right);
  }
  dynamic[2].d_un.d_val = 1; /* the name begins behind the names */
  CHECK_EQ(0, finds_in(words, dynamic));
  memcpy(dynamic, right, sizeof right);
  static const uint32_t numbers[] = {0, 1, 2, 200, 0x7fffffff, 0x80000000, 0xffffffff};
  for (int word = 200; word < 208; word++)
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
      uint32_t before = words[word];
      words[word] = numbers[i];
      finds_in(words, dynamic);
      words[word] = before;
    }
  memset(words + 207, 0, (count - 207) * 4 / 2); /* no end of the chain, to the end of the object */
  memcpy(dynamic, right, sizeof right);
  finds_in(words, dynamic);
  symbols[1].st_name = 4711;
  finds_in(words, dynamic);
  CHECK_EQ(0, finds_in(words, dynamic));
  free(words);
}

static atomic_int contexts_seen;
static void on_context(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)info;
  void *ours[64], *theirs[64];
  int count = cp_unwind(context, ours, 64), all = backtrace(theirs, 64), at = 0;
  while (at < all && theirs[at] != ours[0]) at++;
  /* Of the outermost, theirs may have one more: a return address of 0. */
  if (count < 4 || at == all || all - at < count || all - at > count + 1) return;
  for (int i = 0; i < count; i++)
    if (ours[i] != theirs[at + i]) return;
  atomic_fetch_add(&contexts_seen, 1);
}

static int compares(const void *one, const void *other) {
  (void)one;
  (void)other;
  CHECK(cp_signal_thread(gettid(), SIGRTMIN + 7));
  return 0;
}

static void on_another(int number) {
  (void)number;
  CHECK(cp_signal_thread(gettid(), SIGRTMIN + 7));
}

/* Proves: the callers that are found are those that backtrace(3) finds, through libc, and through another handler's
   frame; and only a signal that is free gets the handler (E12).  Why it matters: it is an unwinder of its own.
   Catches: a wrong register, rule, or row of the tables. */
CASE(callers_are_found) {
  void *frames[4];
  CHECK(backtrace(frames, 4) > 0);
  int number = SIGRTMIN + 7;
  CHECK_EQ(0, cp_install_context_handler(number, on_context));
  CHECK_EQ(0, cp_install_context_handler(number, on_context));
  CHECK(cp_has_context_handler(number, on_context));
  CHECK(cp_signal_thread(gettid(), number));
  int pair[2] = {2, 1};
  qsort(pair, 2, sizeof *pair, compares);
  signal(SIGRTMIN + 8, on_another);
  CHECK(cp_signal_thread(gettid(), SIGRTMIN + 8));
#if !defined(CHECK_UNDER_TSAN) && !defined(CHECK_UNDER_ASAN)
  if (!check_under_valgrind()) CHECK_EQ(3, atomic_load(&contexts_seen));
#endif
  CHECK(!cp_signal_thread(INT32_MAX, number));
  signal(number, SIG_IGN);
  CHECK(!cp_has_context_handler(number, on_context));
  char byte;
  CHECK(!cp_peek(0, &byte, 1) && !cp_peek(UINTPTR_MAX - 4095, &byte, 1) && cp_peek((uintptr_t)&number, &byte, 1));
  CHECK_EQ(EBUSY, cp_install_context_handler(number, on_context));
  signal(number, SIG_DFL);
  CHECK_EQ(EINVAL, cp_install_context_handler(SIGKILL, on_context));
  CHECK_EQ(EINVAL, cp_install_context_handler(4711, on_context));
}

/* Proves: a sleep on a word ends at once if the word has changed, and at its timeout (E12). Why it
   matters: a request for a backtrace waits at most a tenth of a second. Catches: a relative time
   taken for an absolute one. */
CASE(a_sleep_on_a_word_ends) {
  uint32_t word = 1;
  int64_t start = now_ns();
  struct timespec until = {(time_t)((start + 20 * MS) / SECOND), (long)((start + 20 * MS) % SECOND)};
  errno = 4711;
  cp_futex_wait(&word, 0, &until);
  while (now_ns() < start + 20 * MS) cp_futex_wait(&word, 1, &until);
  cp_futex_wake(&word);
  CHECK_EQ(4711, errno);
  CHECK_BETWEEN_NS(20 * MS, AT_ONCE, now_ns() - start);
}

CHECK_MAIN(
    CHECK_ENTRY(polling_takes_every_timeout),
    CHECK_ENTRY(shims_do_as_they_say),
    CHECK_ENTRY(system_calls_have_names),
    CHECK_ENTRY(files_are_read_and_closed),
    CHECK_ENTRY(addresses_have_symbols), CHECK_ENTRY(objects_are_found_in_the_linkers_list),
    CHECK_ENTRY(static_variables_have_their_names_from_the_file),
    CHECK_ENTRY(broken_tables_are_not_followed),
    CHECK_ENTRY(callers_are_found),
    CHECK_ENTRY(a_sleep_on_a_word_ends))
