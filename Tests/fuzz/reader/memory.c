/* memory.c - taskreg looks at a process of which the input has all: its memory, what its files in proc(5) say, its threads, and
   what changes in its memory while it is read; see reader.c.

   An input, in the machine's order of bytes: `head`; then `files` of `file`, `segments` of `segment`, `changes` of `change`, and the
   `threads`, whose number is rounded up to an even one; then the bytes of the files and of the segments, each filled up to a word. It
   may end anywhere.

     TASKREG_RECORD=PID TASKREG_RECORD_TO=FILE fuzz-memory    makes one of a process: what taskreg asks about it */

#define _GNU_SOURCE

#include "reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

void taskreg_places(uint64_t *places);

struct head {
  uint64_t places[4]; /* where the C library of this process waits */
  uint16_t files, segments, changes, threads;
};
enum kind { MAPS, STATUS, NAME, THREAD_NAME, CALL, STAT, SCHEDSTAT, WCHAN, OWN_MAPS, THREAD_STATUS, KINDS };
struct file {
  uint16_t kind, size;
  int32_t thread;
};
struct segment {
  uint64_t address;
  uint32_t size, unused;
};
struct change {
  uint32_t after, place; /* after how many reads; where in the bytes of the segments */
  uint64_t word;
};

enum { MOST_FILES = 256, MOST_SEGMENTS = 1024, MOST_CHANGES = 64, MOST_THREADS = 64, MOST_BYTES = 1 << 20 };

static struct head head;
static struct file files[MOST_FILES];
static struct segment segments[MOST_SEGMENTS];
static struct change changes[MOST_CHANGES];
static int32_t threads[MOST_THREADS];
static const uint8_t *texts[MOST_FILES];
static uint8_t *memory[MOST_SEGMENTS];
static uint8_t bytes[MOST_BYTES];
static size_t filled;      /* of `bytes` */
static uint32_t reads;     /* of memory, so far */
static int looks;          /* at its file `status`, so far */
static int list = -1;      /* its list of threads, while that is open */
static int listed;
static long recorded;      /* the process whose answers are recorded; 0: none */

/* ---- Its files ---- */

static const struct {
  const char *path;
  bool has_thread;
} paths[KINDS] = {
    [MAPS] = {"/maps", false},          [STATUS] = {"/status", false},          [NAME] = {"/comm", false},
    [THREAD_NAME] = {"/comm", true},    [CALL] = {"/syscall", true},            [STAT] = {"/stat", true},
    [SCHEDSTAT] = {"/schedstat", true}, [WCHAN] = {"/wchan", true},             [THREAD_STATUS] = {"/status", true},
};

/* Which file a path is; false: none of these. */
static bool find_kind(const char *path, long process, struct file *found) {
  char text[64];
  *found = (struct file){0};
  if (strcmp(path, "/proc/self/maps") == 0) {
    found->kind = OWN_MAPS;
    return true;
  }
  const int length = snprintf(text, sizeof text, "/proc/%ld", process);
  if (strncmp(path, text, (size_t)length) != 0) return false;
  path += length;
  const bool has_thread = strncmp(path, "/task/", 6) == 0;
  if (has_thread) {
    char *end;
    found->thread = (int32_t)strtol(path + 6, &end, 10);
    path = end;
  }
  for (int kind = 0; kind < KINDS; kind++)
    if (paths[kind].path != NULL && paths[kind].has_thread == has_thread && strcmp(path, paths[kind].path) == 0) {
      found->kind = (uint16_t)kind;
      return true;
    }
  return false;
}

static int find_file(const char *path) {
  struct file wanted;
  if (!find_kind(path, PROCESS, &wanted)) return -1;
  for (int i = 0; i < head.files; i++)
    if (files[i].kind == wanted.kind && files[i].thread == wanted.thread) return i;
  return -1;
}

static int record_open(const char *path, int flags);

int world_open(const char *path, int flags) {
  char task[64];
  if (recorded != 0) return record_open(path, flags);
  if (strncmp(path, "/proc/self/fd/", 14) == 0) return NOT_MINE;
  snprintf(task, sizeof task, "/proc/%d/task", PROCESS);
  if (strcmp(path, task) == 0) {
    listed = 0;
    list = world_file("", 0);
    return list;
  }
  int found = find_file(path);
  if (found < 0) return -ENOENT;
  /* It is there for two pages of top. */
  if (files[found].kind == STATUS && looks++ == 2) return -ENOENT;
  return world_file(texts[found], files[found].size);
}

int world_has(const char *path) {
  return recorded != 0 || strncmp(path, "/proc/self/", 11) == 0 ? NOT_MINE : find_file(path) >= 0;
}

/* ---- Its memory ---- */

static size_t copy(uint64_t address, uint8_t *to, size_t size) {
  size_t done = 0;
  for (int i = 0; i < head.segments && done < size; i++) {
    const uint64_t place = address + done - segments[i].address;
    if (place >= segments[i].size || memory[i] == NULL) continue;
    const size_t left = (size_t)(segments[i].size - place), count = left < size - done ? left : size - done;
    memcpy(to + done, memory[i] + place, count);
    done += count;
    i = -1; /* another may begin behind it */
  }
  return done;
}

static void change(void) {
  reads++;
  for (int i = 0; i < head.changes; i++)
    if (changes[i].after == reads && filled >= 8 && changes[i].place <= filled - 8)
      memcpy(bytes + changes[i].place, &changes[i].word, 8);
}

static long read_memory(const struct iovec *to, const struct iovec *from, long parts) {
  size_t done = 0;
  for (long i = 0; i < parts; i++) {
    change();
    const size_t count = copy((uint64_t)(uintptr_t)from[i].iov_base, (uint8_t *)to->iov_base + done, from[i].iov_len);
    done += count;
    if (count < from[i].iov_len) break;
  }
  return done == 0 ? -EFAULT : (long)done;
}

/* What getdents64(2) answers: the ids of the threads, as many as have room. */
static long list_threads(char *to, size_t size) {
  enum { LENGTH_AT = 16, NAME_AT = 19, ENTRY = 32 };
  size_t done = 0;
  for (; listed < head.threads && done + ENTRY <= size; listed++, done += ENTRY) {
    const uint16_t length = ENTRY;
    memset(to + done, 0, ENTRY);
    memcpy(to + done + LENGTH_AT, &length, sizeof length);
    snprintf(to + done + NAME_AT, ENTRY - NAME_AT, "%u", (unsigned)threads[listed] % 1000000000);
  }
  return (long)done;
}

static bool record_call(long number, const long arguments[6], long *result);

bool world_call(long number, const long arguments[6], long *result) {
  if (recorded != 0) return record_call(number, arguments, result);
  if (number == SYS_process_vm_readv && arguments[0] == PROCESS) {
    *result = read_memory((const struct iovec *)arguments[1], (const struct iovec *)arguments[3], arguments[4]);
    return true;
  }
  if (number == SYS_getdents64 && (int)arguments[0] == list) {
    *result = list_threads((char *)arguments[1], (size_t)arguments[2]);
    return true;
  }
  return false;
}

/* ---- An input ---- */

/* Take `size` bytes of what is left; false if there are fewer. */
static bool take(const uint8_t **at, size_t *left, void *to, size_t size) {
  if (*left < size) return false;
  memcpy(to, *at, size);
  *at += size;
  *left -= size;
  return true;
}

static size_t filled_up(size_t size) { return (size + 7) & ~(size_t)7; }

static bool parse(const uint8_t *at, size_t left) {
  memset(memory, 0, sizeof memory);
  if (!take(&at, &left, &head, sizeof head)) return false;
  if (head.files > MOST_FILES || head.segments > MOST_SEGMENTS || head.changes > MOST_CHANGES || head.threads > MOST_THREADS)
    return false;
  if (!take(&at, &left, files, head.files * sizeof *files) || !take(&at, &left, segments, head.segments * sizeof *segments) ||
      !take(&at, &left, changes, head.changes * sizeof *changes) || !take(&at, &left, threads, head.threads * sizeof *threads))
    return false;
  if (head.threads % 2 != 0 && left >= 4) at += 4, left -= 4;
  for (int i = 0; i < head.files; i++) {
    if (files[i].size > left) files[i].size = (uint16_t)left;
    texts[i] = at;
    const size_t all = filled_up(files[i].size) < left ? filled_up(files[i].size) : left;
    at += all, left -= all;
  }
  filled = left < sizeof bytes ? left : sizeof bytes;
  memcpy(bytes, at, filled);
  size_t place = 0;
  for (int i = 0; i < head.segments && place < filled; i++) {
    if (segments[i].size > filled - place) segments[i].size = (uint32_t)(filled - place);
    memory[i] = bytes + place;
    place += filled_up(segments[i].size);
  }
  return true;
}

static void record(const char *process, const char *path);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  const char *process = getenv("TASKREG_RECORD"), *path = getenv("TASKREG_RECORD_TO");
  if (process != NULL && path != NULL) record(process, path);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const commands[][6] = {
      {"ps", "999999999", "--json"}, {"ps", "999999999"}, {"ps", "999999999", "--tree"}, {"why", "999999999"},
      {"why", "999999999", "--json"}, {"threads", "999999999"}, {"threads", "999999999", "--json"}, {"metrics", "999999999"},
      {"top", "999999999", "--watch", "0.001"},
  };
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
    /* Anew: memory may have been changed. */
    if (!parse(data, size)) return 0;
    reads = 0, looks = 0;
    reader_run(head.places, commands[i]);
  }
  return 0;
}

/* ---- Recording ---- */

static int record_open(const char *path, int flags) {
  struct file found;
  if (find_kind(path, recorded, &found)) {
    for (int i = 0; i < head.files; i++)
      if (files[i].kind == found.kind && files[i].thread == found.thread) return NOT_MINE;
    int fd = real_open(path, flags);
    if (fd < 0 || head.files == MOST_FILES) return fd < 0 ? -errno : fd;
    uint8_t *text = malloc(UINT16_MAX);
    size_t size = 0;
    ssize_t count;
    while (text != NULL && (count = read(fd, text + size, UINT16_MAX - size)) > 0) size += (size_t)count;
    close(fd);
    found.size = (uint16_t)size;
    texts[head.files] = text;
    files[head.files++] = found;
  }
  return NOT_MINE;
}

/* One part of what was read, if it is the first at that address. */
static void record_memory(const struct iovec *part, const uint8_t *content, size_t size, bool is_only) {
  for (int i = 0; i < head.segments; i++)
    if (segments[i].address == (uint64_t)(uintptr_t)part->iov_base && segments[i].size >= size) return;
  if (size == 0 || head.segments == MOST_SEGMENTS || filled + size + 8 > sizeof bytes) return;
  /* What is searched for the table is read in large parts, and once. */
  size_t first = 0;
  if (size >= 4096 && is_only) {
    static const uint64_t cookie[4] = {0x9E5A17C37461736B, 0xC4D26F817265670A, 0x83B10D5FE92C46A7, 0xF1A83C6E5B90D274};
    const uint8_t *found = memmem(content, size, cookie, sizeof cookie);
    if (found == NULL) return;
    first = (size_t)(found - content), size = sizeof cookie;
  }
  segments[head.segments++] = (struct segment){(uint64_t)(uintptr_t)part->iov_base + first, (uint32_t)size, 0};
  memcpy(bytes + filled, content + first, size);
  filled += filled_up(size);
}

static bool record_call(long number, const long arguments[6], long *result) {
  if (number != SYS_process_vm_readv || arguments[0] != recorded) return false;
  const struct iovec *to = (const struct iovec *)arguments[1], *from = (const struct iovec *)arguments[3];
  *result = process_vm_readv((pid_t)recorded, to, 1, from, (unsigned long)arguments[4], 0);
  if (*result < 0) *result = -errno;
  const uint8_t *content = to->iov_base;
  long left = *result;
  for (long part = 0; part < arguments[4] && left > 0; part++) {
    const long count = left < (long)from[part].iov_len ? left : (long)from[part].iov_len;
    record_memory(&from[part], content, (size_t)count, arguments[4] == 1);
    content += count, left -= count;
  }
  return true;
}

static void put(FILE *to, const void *from, size_t size) {
  static const char zeroes[8];
  fwrite(from, 1, size, to);
  fwrite(zeroes, 1, filled_up(size) - size, to);
}

static void record(const char *process, const char *path) {
  const char *const commands[][4] = {{"ps", process, "--json"}, {"why", process}, {"threads", process}};
  recorded = atol(process);
  uint64_t places[4];
  taskreg_places(places);
  for (int i = 0; i < 3; i++) reader_run(places, commands[i]);
  char task[64];
  snprintf(task, sizeof task, "/proc/%ld/task", recorded);
  DIR *folder = opendir(task);
  for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL && head.threads < MOST_THREADS;)
    if (entry->d_name[0] != '.') threads[head.threads++] = atoi(entry->d_name);
  if (folder != NULL) closedir(folder);
  /* Some that do nothing yet. */
  for (head.changes = 0; head.changes < 4; head.changes++) changes[head.changes].after = UINT32_MAX;
  FILE *to = fopen(path, "wb");
  if (to == NULL) abort();
  memcpy(head.places, places, sizeof places);
  put(to, &head, sizeof head);
  put(to, files, head.files * sizeof *files);
  put(to, segments, head.segments * sizeof *segments);
  put(to, changes, head.changes * sizeof *changes);
  put(to, threads, head.threads * sizeof *threads);
  for (int i = 0; i < head.files; i++) put(to, texts[i], files[i].size);
  put(to, bytes, filled);
  fclose(to);
  exit(0);
}
