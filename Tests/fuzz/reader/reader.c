/* reader.c - runs the command taskreg inside of this program, and checks what it says.

   Claim:   whatever is in memory or in a core file, taskreg crashes nowhere, ends, leaves neither memory nor a descriptor behind,
            writes JSON that is JSON and text that commands no terminal, and has an exit status that it may have (Y4, Y7).

   The code under test is that of the program, all of it. Only what it asks of the system is answered by an input: the linker
   passes its calls of open, access, syscall, write and some more to the functions __wrap_… (ld(1), --wrap). */

#define _GNU_SOURCE

#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Look.swift */
int32_t taskreg_look(const char *const *words, intptr_t count, const uint64_t *places);

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* Whether taskreg runs. */
static bool is_looking;
static const char *const *command;

static _Noreturn void fail(const char *message, const char *text, size_t size) {
  is_looking = false;
  fprintf(stderr, "not so: taskreg");
  for (const char *const *word = command; *word != NULL; word++) fprintf(stderr, " %s", *word);
  fprintf(stderr, ": %s\n%.*s\n", message, (int)(size < 4000 ? size : 4000), text);
  abort();
}

/* ---- What it writes ---- */

static struct text {
  char *bytes;
  size_t count, room;
  bool is_cut; /* there was more */
} output, errors;

enum { MOST_TEXT = 1 << 25 };

static void add(struct text *text, const void *bytes, size_t count) {
  if (text->count + count > MOST_TEXT) {
    text->is_cut = true;
    return;
  }
  if (text->count + count > text->room) {
    text->room = (text->count + count) * 2;
    text->bytes = realloc(text->bytes, text->room);
    if (text->bytes == NULL) abort();
  }
  memcpy(text->bytes + text->count, bytes, count);
  text->count += count;
}

/* The length of the character at a place, 0 if it is none, or one that commands a terminal. */
static size_t character(const char *bytes, size_t left) {
  const unsigned char *c = (const unsigned char *)bytes;
  if (c[0] < 0x80) return c[0] >= 0x20 && c[0] != 0x7F;
  size_t length = c[0] >= 0xF0 ? 4 : c[0] >= 0xE0 ? 3 : 2;
  if (c[0] < 0xC2 || c[0] > 0xF4 || left < length) return 0;
  for (size_t i = 1; i < length; i++)
    if ((c[i] & 0xC0) != 0x80) return 0;
  if (c[0] == 0xC2 && c[1] < 0xA0) return 0;
  if ((c[0] == 0xE0 && c[1] < 0xA0) || (c[0] == 0xED && c[1] > 0x9F)) return 0;
  if ((c[0] == 0xF0 && c[1] < 0x90) || (c[0] == 0xF4 && c[1] > 0x8F)) return 0;
  return length;
}

static void check_text(const struct text *text) {
  for (size_t at = 0, length; at < text->count; at += length) {
    length = text->bytes[at] == '\n' ? 1 : character(text->bytes + at, text->count - at);
    if (length == 0) fail("a control character, or no UTF-8", text->bytes + at, text->count - at);
  }
  if (text->count > 0 && text->bytes[text->count - 1] != '\n') fail("no end of line", text->bytes, text->count);
}

/* JSON (RFC 8259), without blanks between its parts. Returns what is behind a value; NULL if there is none. */
static const char *json_string(const char *at, const char *end) {
  if (at == end || *at++ != '"') return NULL;
  while (at < end && *at != '"') {
    if (*at != '\\') {
      size_t length = character(at, (size_t)(end - at));
      if (length == 0) return NULL;
      at += length;
      continue;
    }
    if (end - at < 6) return NULL;
    if (at[1] != 'u') {
      if (strchr("\"\\/bfnrt", at[1]) == NULL) return NULL;
      at += 2;
      continue;
    }
    for (int i = 2; i < 6; i++)
      if (strchr("0123456789abcdefABCDEF", at[i]) == NULL || at[i] == 0) return NULL;
    at += 6;
  }
  return at == end ? NULL : at + 1;
}

static const char *json_number(const char *at, const char *end) {
  if (at < end && *at == '-') at++;
  const char *first = at;
  while (at < end && *at >= '0' && *at <= '9') at++;
  if (at == first || (*first == '0' && at - first > 1)) return NULL;
  if (at < end && *at == '.') {
    first = ++at;
    while (at < end && *at >= '0' && *at <= '9') at++;
    if (at == first) return NULL;
  }
  return at;
}

static const char *json_value(const char *at, const char *end, int depth) {
  static const char *const words[] = {"null", "true", "false"};
  if (at == end || depth > 16) return NULL;
  for (int i = 0; i < 3; i++)
    if (strncmp(at, words[i], strlen(words[i])) == 0) return at + strlen(words[i]);
  if (*at == '"') return json_string(at, end);
  if (*at != '{' && *at != '[') return json_number(at, end);
  const bool is_object = *at == '{';
  const char last = is_object ? '}' : ']';
  if (++at < end && *at == last) return at + 1;
  while (at != NULL && at < end) {
    if (is_object) {
      at = json_string(at, end);
      if (at == NULL || at == end || *at++ != ':') return NULL;
    }
    at = json_value(at, end, depth + 1);
    if (at == NULL || at == end) return NULL;
    if (*at == last) return at + 1;
    if (*at++ != ',') return NULL;
  }
  return NULL;
}

static void check_json(struct text *text) {
  add(text, "", 1); /* so that nothing is compared behind its end */
  const char *end = text->bytes + --text->count;
  const char *behind = json_value(text->bytes, end, 0);
  if (behind == NULL || end - behind != 1 || *behind != '\n') fail("this is not one line of JSON", text->bytes, text->count);
}

/* ---- Running a command ---- */

static int lowest_descriptor(void) {
  int fd = real_open("/dev/null", O_RDONLY | O_CLOEXEC);
  close(fd);
  return fd;
}

void reader_run(const uint64_t places[4], const char *const *arguments) {
  intptr_t count = 0;
  bool is_json = false, is_metrics = false;
  for (; arguments[count] != NULL; count++) {
    is_json |= strcmp(arguments[count], "--json") == 0;
    is_metrics |= strcmp(arguments[count], "metrics") == 0;
  }
  command = arguments;
  output.count = errors.count = 0;
  output.is_cut = errors.is_cut = false;
  int before = lowest_descriptor();
  is_looking = true;
  int32_t status = taskreg_look(arguments, count, places);
  is_looking = false;
  if (getenv("TASKREG_SHOW") != NULL) {
    for (intptr_t i = 0; i < count; i++) printf("%s%s", i == 0 ? "--- " : " ", arguments[i]);
    printf(": status %d\n%.*s%.*s", (int)status, (int)output.count, output.bytes, (int)errors.count, errors.bytes);
  }
  if (lowest_descriptor() != before) fail("a descriptor is left open", "", 0);
  const bool is_known = status == 0 || status == 1 || status == 3 || status == 5;
  if (!is_known || (status != 0 && errors.count == 0)) fail("this is not one of its exit statuses", "", 0);
  check_text(&errors);
  if (status != 0 || output.is_cut) return;
  if (is_json) check_json(&output);
  else check_text(&output);
  if (is_metrics && (output.count < 6 || memcmp(output.bytes + output.count - 6, "# EOF\n", 6) != 0))
    fail("metrics do not end", output.bytes, output.count);
}


/* ---- Its calls ---- */

int __real_open(const char *path, int flags, ...);
long __real_syscall(long number, ...);
int __real_access(const char *path, int mode);
ssize_t __real_write(int fd, const void *bytes, size_t count);
int __real_isatty(int fd);
int __real_usleep(useconds_t time);

int real_open(const char *path, int flags) { return __real_open(path, flags); }

int __wrap_open(const char *path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0;
  va_end(list);
  int fd = is_looking ? world_open(path, flags) : NOT_MINE;
  if (fd == NOT_MINE) return __real_open(path, flags, mode);
  if (fd < 0) errno = -fd;
  return fd < 0 ? -1 : fd;
}

int __wrap_access(const char *path, int mode) {
  const int has = is_looking ? world_has(path) : NOT_MINE;
  if (has == NOT_MINE) return __real_access(path, mode);
  if (!has) errno = ENOENT;
  return has ? 0 : -1;
}

long __wrap_syscall(long number, ...) {
  long arguments[6], result;
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) arguments[i] = va_arg(list, long);
  va_end(list);
  if (!is_looking || !world_call(number, arguments, &result))
    return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
  if (result < 0) errno = (int)-result;
  return result < 0 ? -1 : result;
}

ssize_t __wrap_write(int fd, const void *bytes, size_t count) {
  if (!is_looking || (fd != 1 && fd != 2)) return __real_write(fd, bytes, count);
  add(fd == 1 ? &output : &errors, bytes, count);
  return (ssize_t)count;
}

int __wrap_isatty(int fd) { return is_looking ? 0 : __real_isatty(fd); }
int __wrap_usleep(useconds_t time) { return is_looking ? 0 : __real_usleep(time); }

int world_file(const void *bytes, size_t size) {
  int fd = memfd_create("input", MFD_CLOEXEC);
  if (fd < 0) return -errno;
  if (__real_write(fd, bytes, size) != (ssize_t)size) abort();
  lseek(fd, 0, SEEK_SET);
  return fd;
}

/* ---- Changing an input ---- */

static uint64_t next(uint64_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

/* What is in memory and in the headers of a core file are words: numbers, and addresses of others. So a word is mostly put in the
   place of another, and nothing is moved. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  static const uint64_t values[] = {0, 1, 2, 8, 0xFF, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF, UINT64_C(1) << 40, UINT64_C(1) << 63};
  uint64_t state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
  for (int i = 0; i < 4; i++) next(&state);
  if (size < 64 || next(&state) % 4 == 0) return LLVMFuzzerMutate(data, size, most);
  for (uint64_t left = 1 + (next(&state) % 4 == 0 ? next(&state) % 8 : 0); left > 0; left--) {
    const size_t width = (size_t)1 << (next(&state) % 8 < 5 ? 3 : next(&state) % 4);
    const size_t unit = next(&state) % 8 == 0 ? 1 : width;
    const size_t place = next(&state) % (size - 8) / unit * unit, other = next(&state) % (size - 8) / 8 * 8;
    uint64_t word = 0;
    memcpy(&word, data + place, width);
    switch (next(&state) % 6) {
    case 0: word = values[next(&state) % (sizeof values / sizeof *values)]; break;
    case 1: word = next(&state) >> next(&state) % 64; break;
    case 2: word += next(&state) % 129 - 64; break;
    case 3: word ^= UINT64_C(1) << next(&state) % (8 * width); break;
    case 4: memcpy(&word, data + other, 8); break;
    default:
      memcpy(&word, data + other, 8);
      word += next(&state) % 64 * 8;
    }
    memcpy(data + place, &word, width);
  }
  return size;
}
