/* buffers.c - reports, lists and metrics as text in a buffer of the caller's. Rules E9, E10, P4.

   explain.c, metrics.c and Tests/formats check the contents, in a file; this program checks that a
   buffer gets the same. */

#include "guarded.h"

enum { MANY = 24 };

/* A registry with metrics, and tasks whose names have characters of two to four bytes. */
static struct {
  tr_registry *registry;
  tr_report *report;
  tr_task *tasks[MANY];
  char checkpoints[MANY][32]; /* those that are alike would be one paragraph (Q6) */
  struct gate gate;
} scene;

static int body_waits_at_its_checkpoint(tr_task *self, void *ctx) {
  CHECK_EQ(TR_OK, tr_checkpoint(ctx));
  return body_deaf(self, &scene.gate);
}

static void scene_open(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_METRICS;
  scene.gate = (struct gate)GATE_INIT;
  CHECK_EQ(TR_OK, create_registry(&options, &scene.registry));
  for (int i = 0; i < MANY; i++) {
    char name[64];
    snprintf(name, sizeof name, "%d-\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", i);
    snprintf(scene.checkpoints[i], sizeof scene.checkpoints[i], "reading \xC3\xA9 %d", i);
    scene.tasks[i] = spawn(scene.registry, name, body_waits_at_its_checkpoint, scene.checkpoints[i]);
  }
  gate_await(&scene.gate, MANY);
  CHECK_EQ(TR_OK, tr_explain(scene.registry, &scene.report));
}

static void scene_close(void) {
  tr_report_release(scene.report);
  gate_open(&scene.gate);
  for (int i = 0; i < MANY; i++) wait_and_release(scene.tasks[i]);
  registry_finish(scene.registry);
}

/* ---- The four functions, each with its sibling for a descriptor ---------------------------------- */

static tr_metrics_source source_of_scene(void) {
  tr_metrics_source source = TR_METRICS_SOURCE_INIT;
  source.registry = scene.registry;
  source.name = "\xE2\x82\xAC";
  return source;
}

static tr_status report_fd(int fd, uint32_t format) { return tr_report_write(scene.report, fd, format); }
static tr_status report_buffer(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  return tr_report_write_buffer(scene.report, format, buffer, capacity, length);
}
static tr_status list_buffer(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  return tr_snapshot_write_buffer(scene.registry, format, buffer, capacity, length);
}
static tr_status metrics_fd(int fd, uint32_t format) { return tr_metrics_write(scene.registry, fd, format); }
static tr_status metrics_buffer(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  return tr_metrics_write_buffer(scene.registry, format, buffer, capacity, length);
}
static tr_status all_fd(int fd, uint32_t format) {
  tr_metrics_source source = source_of_scene();
  return tr_metrics_write_all(&source, 1, fd, format, TR_METRICS_NO_EOF);
}
static tr_status all_buffer(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  tr_metrics_source source = source_of_scene();
  return tr_metrics_write_all_buffer(&source, 1, format, TR_METRICS_NO_EOF, buffer, capacity, length);
}

/* Texts that do not change while the scene is open. */
static const struct text {
  const char *name;
  tr_status (*to_fd)(int, uint32_t);
  tr_status (*to_buffer)(uint32_t, char *, size_t, size_t *);
  uint32_t format;
} texts[] = {{"report as text", report_fd, report_buffer, TR_FORMAT_TEXT},
             {"report as JSON", report_fd, report_buffer, TR_FORMAT_JSON},
             {"metrics", metrics_fd, metrics_buffer, TR_FORMAT_OPENMETRICS},
             {"metrics of all", all_fd, all_buffer, TR_FORMAT_OPENMETRICS}};
enum { TEXTS = sizeof texts / sizeof *texts };

/* The text that a descriptor gets, as a string to be freed. */
static char *written_to_a_file(const struct text *text, size_t *length) {
  int file = memfd_create("text", MFD_CLOEXEC);
  CHECK(file >= 0);
  CHECK_EQ(TR_OK, text->to_fd(file, text->format));
  off_t end = lseek(file, 0, SEEK_CUR);
  char *copy = malloc((size_t)end + 1);
  CHECK(end > 0 && copy != NULL);
  CHECK_EQ(end, pread(file, copy, (size_t)end, 0));
  copy[end] = 0;
  close(file);
  *length = (size_t)end;
  return copy;
}

/* Whether `bytes` of a text of this program's end at the end of a character. */
static int ends_at_a_character(const char *text, size_t bytes) {
  return ((unsigned char)text[bytes] & 0xC0) != 0x80;
}

/* Proves: a buffer of every capacity gets as much of the text that a descriptor gets as it has room
   for, with no character cut in two, and a NUL; the status says whether that is all of it, the
   length is always that of the whole text, and no byte behind the capacity is touched (E9, E10).
   Why it matters: bindings pass this text on, and half a character is an exception there. Catches:
   a NUL behind the end; the length of what was kept; a text that is cut at 1024 bytes. */
CASE(a_buffer_gets_what_a_descriptor_gets) {
  scene_open();
  for (int t = 0; t < TEXTS; t++) {
    size_t whole;
    char *expected = written_to_a_file(&texts[t], &whole);
    CHECK_MSG(whole > 2048, "%s has %zu bytes", texts[t].name, whole);
    char *blank = malloc(whole + 64);
    CHECK(blank != NULL);
    memset(blank, '#', whole + 64);
    for (size_t capacity = 0; capacity <= whole + 3; capacity += capacity > 160 && capacity + 80 < whole ? 31 : 1) {
      /* ends at a page that cannot be touched, but for the bytes up to a multiple of eight */
      struct guarded guarded = guarded_copy(blank, capacity + (8 - capacity % 8) % 8 + 8);
      char *buffer = (char *)guarded.object + 8;
      size_t length = 4711;
      tr_status status = texts[t].to_buffer(texts[t].format, buffer, capacity, &length);
      CHECK_MSG(status == (capacity > whole ? TR_OK : TR_ERR_TRUNCATED), "%s in %zu bytes: %d", texts[t].name, capacity,
                status);
      CHECK_EQ(whole, length);
      CHECK_EQ(0, memcmp(guarded.object, "########", 8));
      for (size_t at = capacity; at % 8 != 0; at++) CHECK_EQ('#', buffer[at]);
      if (capacity > 0) {
        size_t kept = strnlen(buffer, capacity);
        CHECK(kept < capacity && kept <= whole);
        CHECK_EQ(0, memcmp(expected, buffer, kept));
        CHECK(ends_at_a_character(expected, kept));
        /* nothing is left out that has room */
        if (kept < whole) CHECK(kept + 4 >= capacity);
        for (size_t more = kept + 1; more < capacity && more <= whole; more++)
          CHECK(!ends_at_a_character(expected, more));
      }
      guarded_free(guarded);
    }
    free(blank);
    free(expected);
  }
  scene_close();
}

/* Proves: NULL with capacity 0 is TR_OK with the length alone, SIZE_MAX is room enough, and one byte gets an empty
   text (E9, E10, P4).  Why it matters: to ask for the length first is how C programs do it.
   Catches: a NULL that is written to; SIZE_MAX as a negative number. */
CASE(the_length_alone_can_be_asked_for) {
  scene_open();
  for (int t = 0; t < TEXTS; t++) {
    size_t whole, length = 0;
    char *expected = written_to_a_file(&texts[t], &whole);
    CHECK_EQ(TR_OK, texts[t].to_buffer(texts[t].format, NULL, 0, &length));
    CHECK_EQ(whole, length);
    char *buffer = malloc(whole + 1);
    CHECK(buffer != NULL);
    CHECK_EQ(TR_OK, texts[t].to_buffer(texts[t].format, buffer, SIZE_MAX, &length));
    CHECK_STR(expected, buffer);
    CHECK_EQ(TR_ERR_TRUNCATED, texts[t].to_buffer(texts[t].format, buffer, 1, &length));
    CHECK_EQ(whole, length);
    CHECK_STR("", buffer);
    free(buffer);
    free(expected);
  }
  scene_close();
}

/* Proves: a list in a buffer is one of the tasks that are alive at the time of the call: when tasks are spawned
   between two calls, the second one says that its room was too small and how much it needed, and a third one with
   that much gets all (E9).
   Why it matters: the length of a list is out of date as soon as it is known.
   Catches: a length that is that of the buffer. */
CASE(a_list_that_grows_is_read_by_calling_again) {
  scene_open();
  for (uint32_t format = TR_FORMAT_TEXT; format <= TR_FORMAT_JSON; format++) {
    size_t before = 0, after = 0;
    CHECK_EQ(TR_OK, list_buffer(format, NULL, 0, &before));
    tr_task *more[3];
    for (int i = 0; i < 3; i++) more[i] = spawn(scene.registry, "one-more", body_deaf, &scene.gate);
    char *buffer = malloc(before + 1);
    CHECK(buffer != NULL);
    CHECK_EQ(TR_ERR_TRUNCATED, list_buffer(format, buffer, before + 1, &after));
    CHECK(after > before);
    CHECK(strnlen(buffer, before + 1) <= before);
    size_t room = after + 1024, whole = 0; /* ages have more digits by then */
    buffer = realloc(buffer, room);
    CHECK(buffer != NULL);
    CHECK_EQ(TR_OK, list_buffer(format, buffer, room, &whole));
    CHECK_EQ(whole, strlen(buffer));
    CHECK_EQ('\n', buffer[whole - 1]);
    int found = 0;
    for (const char *at = buffer; (at = strstr(at, "one-more")) != NULL; at++) found++;
    CHECK_EQ(3, found);
    free(buffer);
    gate_open(&scene.gate);
    for (int i = 0; i < 3; i++) wait_and_release(more[i]);
    scene_close();
    scene_open();
  }
  scene_close();
}

static void touches_nothing(tr_status (*write)(uint32_t, char *, size_t, size_t *), uint32_t format) {
  char buffer[8] = "as is";
  size_t length = 4711;
  CHECK_EQ(TR_ERR_INVALID, write(format, buffer, sizeof buffer, &length));
  CHECK_STR("as is", buffer);
  CHECK_EQ(4711, length);
}

static tr_status no_report(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  return tr_report_write_buffer(NULL, format, buffer, capacity, length);
}
static tr_status no_list(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  return tr_snapshot_write_buffer(NULL, format, buffer, capacity, length);
}
static tr_status no_metrics(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  return tr_metrics_write_buffer(NULL, format, buffer, capacity, length);
}
static tr_status no_sources(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  return tr_metrics_write_all_buffer(NULL, 1, format, 0, buffer, capacity, length);
}
static tr_status unknown_flags(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  return tr_metrics_write_all_buffer(NULL, 0, format, ~TR_METRICS_NO_EOF, buffer, capacity, length);
}
static tr_status too_many(uint32_t format, char *buffer, size_t capacity, size_t *length) {
  tr_metrics_source source = source_of_scene();
  return tr_metrics_write_all_buffer(&source, 1025, format, 0, buffer, capacity, length);
}

/* Proves: NULL for the object or the length, NULL for the buffer with a capacity, and formats that
   a text does not have are TR_ERR_INVALID, with nothing written; tr_error_detail names the function
   that was called (P4). Why it matters: the message is what a binding's exception says. Catches: a
   check that only the function for descriptors has; its name in the message. */
CASE(wrong_arguments_are_errors_and_write_nothing) {
  scene_open();
  tr_status (*const all[])(uint32_t, char *, size_t, size_t *) = {report_buffer, list_buffer, metrics_buffer, all_buffer};
  static const char *const names[] = {"tr_report_write_buffer: ", "tr_snapshot_write_buffer: ", "tr_metrics_write_buffer: ",
                                      "tr_metrics_write_all_buffer: "};
  const uint32_t good[] = {TR_FORMAT_TEXT, TR_FORMAT_JSON, TR_FORMAT_OPENMETRICS, TR_FORMAT_OPENMETRICS};
  const uint32_t wrong[] = {0, TR_FORMAT_OPENMETRICS, TR_FORMAT_OPENMETRICS + 1, UINT32_MAX};
  for (int i = 0; i < 4; i++) {
    char buffer[8] = "as is";
    size_t length = 4711;
    CHECK_EQ(TR_ERR_INVALID, all[i](good[i], buffer, sizeof buffer, NULL));
    CHECK_EQ(0, strncmp(names[i], tr_error_detail(), strlen(names[i])));
    CHECK_STR("as is", buffer);
    CHECK_EQ(TR_ERR_INVALID, all[i](good[i], NULL, 1, &length));
    CHECK_EQ(TR_ERR_INVALID, all[i](good[i], NULL, SIZE_MAX, &length));
    CHECK_EQ(0, strncmp(names[i], tr_error_detail(), strlen(names[i])));
    CHECK_EQ(4711, length);
    for (int w = 0; w < 4; w++) {
      if (wrong[w] == good[i]) continue;
      touches_nothing(all[i], wrong[w]);
      CHECK_EQ(0, strncmp(names[i], tr_error_detail(), strlen(names[i])));
    }
  }
  touches_nothing(metrics_buffer, TR_FORMAT_TEXT);
  touches_nothing(no_report, TR_FORMAT_TEXT);
  touches_nothing(no_list, TR_FORMAT_JSON);
  touches_nothing(no_metrics, TR_FORMAT_OPENMETRICS);
  touches_nothing(no_sources, TR_FORMAT_OPENMETRICS);
  touches_nothing(unknown_flags, TR_FORMAT_OPENMETRICS);
  touches_nothing(too_many, TR_FORMAT_OPENMETRICS);
  tr_metrics_source twice[2] = {source_of_scene(), source_of_scene()};
  char buffer[8] = "as is";
  size_t length = 4711;
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_write_all_buffer(twice, 2, TR_FORMAT_OPENMETRICS, 0, buffer, sizeof buffer, &length));
  CHECK_EQ(0, strncmp(names[3], tr_error_detail(), strlen(names[3])));
  CHECK(length == 4711 && strcmp(buffer, "as is") == 0);
  scene_close();
}

CHECK_MAIN(
    CHECK_ENTRY(a_buffer_gets_what_a_descriptor_gets),
    CHECK_ENTRY(the_length_alone_can_be_asked_for),
    CHECK_ENTRY(a_list_that_grows_is_read_by_calling_again),
    CHECK_ENTRY(wrong_arguments_are_errors_and_write_nothing))
