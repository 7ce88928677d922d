/* names.c - names: what is kept, where they are cut, which are rejected, and the kernel's names.
   Rule S2. */

#include "support.h"

#include <sys/prctl.h>

/* What a task reports about its own thread. */
struct seen_name {
  char by_prctl[16];
  char by_proc[32];
  char by_library[64];
  struct gate *gate;
};

static int look_at_own_name(tr_task *self, void *ctx) {
  struct seen_name *seen = ctx;
  CHECK_EQ(0, prctl(PR_GET_NAME, seen->by_prctl, 0, 0, 0));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", (int)gettid());
  int file = open(path, O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0);
  ssize_t length = read(file, seen->by_proc, sizeof seen->by_proc - 1);
  CHECK(length > 0);
  close(file);
  seen->by_proc[length] = 0;
  if (seen->by_proc[length - 1] == '\n') seen->by_proc[length - 1] = 0;
  CHECK(tr_task_name(self, seen->by_library, sizeof seen->by_library) < 64);
  if (seen->gate != NULL) gate_pass(seen->gate);
  return 0;
}

/* Spawn a task called `name` and check its name in the snapshot, the handle, the task itself and
   the kernel. The copy given to the library is overwritten at once. */
static void check_called(tr_registry *registry, const char *name, const char *kept,
                         const char *kernel) {
  struct gate gate = GATE_INIT;
  struct seen_name seen;
  memset(&seen, 0, sizeof seen);
  seen.gate = &gate;
  char *given = strdup(name);
  CHECK(given != NULL);
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, given, TR_KIND_APPLICATION, look_at_own_name, &seen, &task));
  memset(given, '!', strlen(given));
  free(given);
  gate_await(&gate, 1);
  tr_task_summary summary;
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &summary));
  CHECK_STR(kept, summary.name);
  char copy[80];
  memset(copy, '#', sizeof copy);
  CHECK_EQ(strlen(kept), tr_task_name(task, copy, sizeof copy));
  CHECK_STR(kept, copy);
  CHECK_STR(kept, seen.by_library);
  CHECK_STR(kernel, seen.by_prctl);
  /* /proc escapes what does not print: compare where nothing is to escape */
  if (strchr(kernel, '\n') == NULL && strchr(kernel, '\\') == NULL) CHECK_STR(kernel, seen.by_proc);
  gate_open(&gate);
  wait_and_release(task);
}

/* Proves: names of 1, 15, 16 and 63 bytes are kept whole, of 64 and 10 000 cut to 63, and the
   kernel gets the first 15 bytes of each; the name is a copy (S2). Why it matters: a task table
   whose names are cut at 15 is useless, and pthread_setname_np rejects 16. Catches: off by one at
   either limit; keeping the caller's pointer; leaving the thread unnamed when the name is long. */
CASE(names_are_kept_to_63_bytes_and_15_for_the_kernel) {
  tr_registry *registry = registry_new();
  static const size_t lengths[] = {1, 2, 14, 15, 16, 17, 31, 62, 63, 64, 65, 127, 255, 256, 10000};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    static char name[10001], kept[64], kernel[16];
    for (size_t at = 0; at < lengths[i]; at++) name[at] = (char)('a' + at % 26);
    name[lengths[i]] = 0;
    snprintf(kept, sizeof kept, "%.63s", name);
    snprintf(kernel, sizeof kernel, "%.15s", name);
    check_called(registry, name, kept, kernel);
  }
  registry_finish(registry);
}

/* Proves: a name is cut at a character, for snapshots at 63 and for the kernel at 15, with
   characters of 2, 3 and 4 bytes at every position around the cut (S2).  Why it matters: half a
   character breaks whatever prints the table.  Catches: cutting at the byte; dropping a
   character that fits. */
CASE(names_are_cut_at_a_character) {
  tr_registry *registry = registry_new();
  static const char *const wide[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
  static const size_t limits[] = {15, 63};
  for (int w = 0; w < 3; w++)
    for (int l = 0; l < 2; l++)
      for (size_t before = limits[l] - 5; before <= limits[l] + 1; before++) {
        char name[160], kept[64], kernel[16];
        memset(name, 'n', before);
        strcpy(name + before, wide[w]);
        strcat(name, "tail-that-is-long-enough-to-pass-the-limit");
        size_t size = strlen(wide[w]);
        for (int c = 0; c < 2; c++) {
          char *out = c ? kernel : kept;
          size_t limit = c ? 15 : 63;
          size_t cut = strlen(name) < limit ? strlen(name) : limit;
          if (before < cut && before + size > cut) cut = before;
          memcpy(out, name, cut);
          out[cut] = 0;
        }
        check_called(registry, name, kept, kernel);
      }
  /* nothing but wide characters */
  char name[10001];
  for (size_t at = 0; at < 9999; at += 3) memcpy(name + at, "\xE2\x82\xAC", 4);
  char kept[64], kernel[16];
  snprintf(kept, sizeof kept, "%.63s", name);
  snprintf(kernel, sizeof kernel, "%.15s", name);
  check_called(registry, name, kept, kernel);
  for (size_t at = 0; at < 10000; at += 4) memcpy(name + at, "\xF0\x9F\x98\x80", 5);
  snprintf(kept, sizeof kept, "%.60s", name);
  snprintf(kernel, sizeof kernel, "%.12s", name);
  check_called(registry, name, kept, kernel);
  registry_finish(registry);
}

/* Proves: the first and last characters of each UTF-8 length are names: U+0001, U+007F, U+0080,
   U+07FF, U+0800, U+D7FF, U+E000, U+FFFF, U+10000, U+10FFFF, control characters too (S2). Why it
   matters: a validator that is too strict rejects names of real people. Catches: wrong bounds in
   the validator. */
CASE(every_valid_character_is_accepted) {
  tr_registry *registry = registry_new();
  static const char *const names[] = {"\x01", "\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80",
                                      "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBF",
                                      "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "a\nb", "tab\there",
                                      "\xEF\xBB\xBF", " "};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    check_called(registry, names[i], names[i], names[i]);
  registry_finish(registry);
}

/* Proves: an empty name and every sort of broken UTF-8 is TR_ERR_INVALID, alone, behind good
   text, and before it; nothing runs and ctx stays the caller's (S2, S4).  Why it matters: a name
   goes into logs, terminals and JSON.  Catches: a validator without the overlong, surrogate,
   range or truncation checks; one that reads past the NUL. */
CASE(broken_utf8_is_rejected) {
  tr_registry *registry = registry_new();
  static const char *const broken[] = {
      "\x80", "\xBF", "\xBF\x80",                     /* continuation without a start */
      "\xC0\x80", "\xC0\xAF", "\xC1\xBF",             /* overlong, 2 bytes */
      "\xE0\x80\x80", "\xE0\x9F\xBF",                 /* overlong, 3 bytes */
      "\xF0\x80\x80\x80", "\xF0\x8F\xBF\xBF",         /* overlong, 4 bytes */
      "\xED\xA0\x80", "\xED\xAF\xBF", "\xED\xB0\x80", /* surrogates */
      "\xED\xBF\xBF", "\xED\xA0\xBD\xED\xB8\x80",
      "\xF4\x90\x80\x80", "\xF5\x80\x80\x80",         /* beyond U+10FFFF */
      "\xF7\xBF\xBF\xBF", "\xF8\x88\x80\x80\x80",
      "\xFC\x84\x80\x80\x80\x80", "\xFE", "\xFF",     /* never in UTF-8 */
      "\xC3", "\xE2", "\xE2\x82", "\xF0", "\xF0\x9F", /* truncated by the end */
      "\xF0\x9F\x98", "\xDF", "\xEF\xBF",
      "\xC3(", "\xE2(\xA1", "\xE2\x82(", "\xF0(\x8C\xBC", /* truncated by a character */
      "\xF0\x90(\xBC", "\xF0\x28\x8C\x28", "\xC3\xC3\xA9", "\xE2\x82\xE2\x82\xAC"};
  static const char *const before[] = {"", "name ", "", "\xC3\xA9"};
  static const char *const after[] = {"", "", " name", "\xC3\xA9"};
  atomic_int drops = 0;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_counts;
  tr_task *none = NULL;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "", TR_KIND_RPC_HANDLER, body_never, &drops,
                                         &options, &none));
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
    for (int form = 0; form < 4; form++) {
      char name[64];
      snprintf(name, sizeof name, "%s%s%s", before[form], broken[i], after[form]);
      CHECK_MSG(tr_spawn_with(registry, name, TR_KIND_RPC_HANDLER, body_never, &drops, &options,
                              &none) == TR_ERR_INVALID,
                "broken name %zu in form %d", i, form);
    }
  CHECK(none == NULL);
  CHECK_EQ(0, tr_len(registry));
  registry_finish(registry);
  CHECK_EQ(0, drops);
}

/* Proves: a long name is valid or not as a whole: broken UTF-8 beyond the 63 bytes that are kept
   is TR_ERR_INVALID too, and so is a character truncated by the end right at the cut (S2).
   Why it matters: whether a call succeeds must not depend on where the cut falls.  Catches:
   validating after cutting. */
CASE(broken_utf8_beyond_the_cut_is_rejected_too) {
  tr_registry *registry = registry_new();
  char name[10002];
  const size_t places[] = {14, 15, 61, 62, 63, 64, 100, 255, 256, 9999};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    memset(name, 'v', 10000);
    name[10000] = 0;
    name[places[i]] = (char)0xFF;
    CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, name, TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
    name[places[i]] = (char)0xE2;
    name[places[i] + 1] = 0; /* the end truncates the character */
    CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, name, TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  }
  registry_finish(registry);
}

/* Proves: tr_task_name copies as snprintf would: whole length returned, capacity respected, cut
   at a character, NUL-terminated (S2, P4).  Why it matters: a name is copied into fixed fields
   of log lines.  Catches: one byte too many; half a character; returning what was copied. */
CASE(name_copy_respects_the_buffer) {
  tr_registry *registry = registry_new();
  const char *name = "ab\xE2\x82\xAC" "d";
  tr_task *task = spawn(registry, name, body_returns, NULL);
  static const char *const expected[] = {NULL, "", "a", "ab", "ab", "ab", "ab\xE2\x82\xAC"};
  for (int ended = 0; ended < 2; ended++) {
    CHECK_EQ(6, tr_task_name(task, NULL, 0));
    CHECK_EQ(6, tr_task_name(task, NULL, 10));
    for (size_t capacity = 0; capacity <= 8; capacity++) {
      char buffer[16];
      memset(buffer, '#', sizeof buffer);
      CHECK_EQ(6, tr_task_name(task, buffer, capacity));
      if (capacity > 0) CHECK_STR(capacity <= 6 ? expected[capacity] : name, buffer);
      for (size_t i = capacity; i < sizeof buffer; i++) CHECK_EQ('#', buffer[i]);
    }
    char buffer[16];
    memset(buffer, '#', sizeof buffer);
    CHECK_EQ(6, tr_task_name(task, buffer, SIZE_MAX));
    CHECK_STR(name, buffer);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL)); /* and the same after the end */
  }
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: each task's thread bears its own name, however many tasks its thread has served
   before, and short names leave nothing of longer ones behind (S2, S1).  Why it matters: `top
   -H` and core dumps show it.  Catches: naming a thread when it is made only; writing a name
   over a longer one. */
CASE(every_task_names_its_thread_anew) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 20; i++) {
    char name[32];
    snprintf(name, sizeof name, i % 2 ? "s%d" : "long-name-%d", i);
    struct seen_name seen;
    memset(&seen, 0, sizeof seen);
    wait_and_release(spawn(registry, name, look_at_own_name, &seen));
    CHECK_STR(name, seen.by_prctl);
    CHECK_STR(name, seen.by_library);
  }
  char own[16];
  CHECK_EQ(0, prctl(PR_GET_NAME, own, 0, 0, 0));
  CHECK(strncmp(own, "long-name", 9) != 0); /* the spawner's own name is not touched */
  registry_finish(registry);
}

static int body_renames_itself(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  CHECK_EQ(0, prctl(PR_SET_NAME, "renamed", 0, 0, 0));
  return 0;
}

/* Proves: a task that renames its own thread renames no later task's: the next one of the same name
   has it (S2, S1). Why it matters: libraries name the threads they run in. Catches: setting the
   kernel's name only when it differs from the last one set. */
CASE(renaming_ones_own_thread_affects_no_later_task) {
  tr_registry *registry = registry_new();
  for (int i = 0; i < 10; i++) {
    wait_and_release(spawn(registry, "same name", body_renames_itself, NULL));
    struct seen_name seen;
    memset(&seen, 0, sizeof seen);
    wait_and_release(spawn(registry, "same name", look_at_own_name, &seen));
    CHECK_STR("same name", seen.by_prctl);
  }
  registry_finish(registry);
}

struct overheard {
  atomic_int events;
  char task[256];
};

static void overhear(void *log_context, const tr_log_event *event) {
  struct overheard *overheard = log_context;
  snprintf(overheard->task, sizeof overheard->task, "%s", event->task);
  CHECK(strstr(event->message, "4711") != NULL);
  atomic_fetch_add(&overheard->events, 1);
}

static int body_fails_under_a_hostile_message(tr_task *self, void *ctx) {
  CHECK_EQ(TR_OK, tr_task_set_message(self, ctx));
  return 4711;
}

/* Proves: malicious text stays plain text: conversions of printf, terminal escape sequences,
   newlines, quotes, paths and right-to-left overrides come out of handles, snapshots, outcomes and
   the log byte by byte, with zeros behind them in a snapshot, and the first 15 bytes reach the
   kernel (S2, O1, O2). Why it matters: names are often made of what a peer sent; docs/security.md
   says which side escapes them. Catches: a format string; text used as a path, or partly "cleaned";
   bytes of the task before behind a short name. */
CASE(hostile_text_is_text_and_nothing_else) {
  static const char *const hostile[] = {"%n%n%s%s%p%1000000d",
                                        "\x1b]0;title\a\x1b[2J\x1b[31m",
                                        "\n2026-01-01 root: all is well\r",
                                        "../../../etc/passwd",
                                        "\",\"admin\":true,\"x\":\"",
                                        "'; rm -rf ~; echo '",
                                        "\xe2\x80\xaegnirts",
                                        "\x01\x7f\x08\x08"};
  struct overheard overheard = {0};
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = overhear;
  options.log_context = &overheard;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  wait_and_release(spawn(registry, "a name that is long enough to lie behind all of the others",
                         body_returns, NULL));
  for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
    char kernel[16];
    CHECK(snprintf(kernel, sizeof kernel, "%s", hostile[i]) > 0);
    check_called(registry, hostile[i], hostile[i], kernel);
    tr_task *task = spawn(registry, hostile[i], body_fails_under_a_hostile_message,
                          (void *)(uintptr_t)hostile[i]);
    tr_outcome outcome = outcome_of(task);
    CHECK_STR(hostile[i], outcome.message);
    CHECK_EQ((int)i + 1, atomic_load(&overheard.events));
    CHECK_STR(hostile[i], overheard.task);
    tr_task_release(task);
    struct gate gate = GATE_INIT;
    task = spawn(registry, hostile[i], body_deaf, &gate);
    tr_task_summary summary;
    CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &summary));
    for (size_t at = strlen(hostile[i]); at < sizeof summary.name; at++)
      CHECK_EQ(0, summary.name[at]);
    gate_open(&gate);
    wait_and_release(task);
  }
  registry_finish(registry);
}

CHECK_MAIN(
    CHECK_ENTRY(names_are_kept_to_63_bytes_and_15_for_the_kernel),
    CHECK_ENTRY(names_are_cut_at_a_character),
    CHECK_ENTRY(every_valid_character_is_accepted),
    CHECK_ENTRY(broken_utf8_is_rejected),
    CHECK_ENTRY(broken_utf8_beyond_the_cut_is_rejected_too),
    CHECK_ENTRY(name_copy_respects_the_buffer),
    CHECK_ENTRY(every_task_names_its_thread_anew),
    CHECK_ENTRY(renaming_ones_own_thread_affects_no_later_task),
    CHECK_ENTRY(hostile_text_is_text_and_nothing_else))
