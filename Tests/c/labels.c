/* labels.c - labels of tasks, names of kinds, and threads that are called otherwise than their tasks. Rules E14, S2, S3. */

#include "deadline.h"

#include <sys/prctl.h>

/* A task that sets labels as it is told. */
struct labelled {
  const char *text;
  struct gate ready;
};

static int body_labels(tr_task *self, void *ctx) {
  struct labelled *labelled = ctx;
  (void)self;
  CHECK_EQ(TR_OK, tr_label(labelled->text));
  gate_arrive(&labelled->ready);
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(FOREVER));
  return 0;
}

static tr_task_summary summary_of(tr_registry *registry) {
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_snapshot(registry, &summary, 1, &count));
  CHECK_EQ(1, count);
  return summary;
}

/* Proves: a label is kept to 127 bytes, cut where a character begins, and shown by snapshots, reports and lists as text and
   as JSON, escaped; NULL and "" are none, and the next task in the record has none (E14).  Why it matters: it comes from a
   peer, and may be anything.  Catches: half a character; a newline that gets through; a label of the task before. */
CASE(a_label_is_copied_cut_and_shown) {
  char long_text[300], kept[128], odd[300], odd_kept[128];
  memset(long_text, 'a', sizeof long_text);
  long_text[299] = 0;
  memset(kept, 'a', 127);
  kept[127] = 0;
  odd[0] = 0;
  for (int i = 0; i < 90; i++) strcat(odd, "\u20ac"); /* 42 of 3 bytes are 126 */
  memcpy(odd_kept, odd, 126);
  odd_kept[126] = 0;
  const struct {
    const char *given, *kept, *shown, *json;
  } labels[] = {
      {"GET /a from 10.0.0.9:5432", "GET /a from 10.0.0.9:5432", "for \"GET /a from 10.0.0.9:5432\"",
       "\"label\":\"GET /a from 10.0.0.9:5432\""},
      {"a\nb\x1b[2J\xff", "a\nb\x1b[2J\xff", "for \"a\\x0ab\\x1b[2J\ufffd\"", "\"label\":\"a\\nb\\u001b[2J\ufffd\""},
      {long_text, kept, kept, kept},
      {odd, odd_kept, odd_kept, odd_kept},
      {"", "", NULL, "\"label\":null"},
      {NULL, "", NULL, "\"label\":null"},
  };
  tr_registry *registry = registry_new();
  for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
    char given[300];
    struct labelled labelled = {NULL, GATE_INIT};
    if (labels[i].given != NULL) labelled.text = strcpy(given, labels[i].given);
    tr_task *task = spawn(registry, "labelled", body_labels, &labelled);
    gate_await(&labelled.ready, 1);
    memset(given, 'z', sizeof given); /* it was copied */
    tr_task_summary summary = summary_of(registry);
    CHECK_STR(labels[i].kept, summary.label);
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain(registry, &report));
    tr_straggler straggler = straggler_called(report, "labelled");
    CHECK_STR(labels[i].kept, straggler.label);
    for (uint32_t format = TR_FORMAT_TEXT; format <= TR_FORMAT_JSON; format++) {
      char of_report[8192], of_list[8192];
      size_t length;
      CHECK_EQ(TR_OK, tr_report_write_buffer(report, format, of_report, sizeof of_report, &length));
      CHECK_EQ(TR_OK, tr_snapshot_write_buffer(registry, format, of_list, sizeof of_list, &length));
      const char *wanted = format == TR_FORMAT_TEXT ? labels[i].shown : labels[i].json;
      if (wanted != NULL) {
        CHECK_MSG(strstr(of_report, wanted) != NULL, "%.400s", of_report);
        CHECK_MSG(strstr(of_list, wanted) != NULL, "%.400s", of_list);
      } else {
        CHECK(strstr(of_report, " for \"") == NULL && strstr(of_list, " for \"") == NULL);
      }
    }
    tr_report_release(report);
    TR_IGNORE(tr_task_cancel(task));
    wait_and_release(task);
  }
  struct gate gate = GATE_INIT;
  tr_task *without = spawn(registry, "without", body_deaf, &gate);
  gate_await(&gate, 1);
  tr_task_summary summary = summary_of(registry);
  CHECK_STR("", summary.label);
  gate_open(&gate);
  wait_and_release(without);
  registry_finish(registry);
}

enum { LETTERS = 26 };

static int body_changes_its_label(tr_task *self, void *ctx) {
  char text[128];
  struct gate *started = ctx;
  for (unsigned round = 0; !tr_task_is_cancelled(self); round++) {
    memset(text, 'a' + (int)(round % LETTERS), 127);
    text[127] = 0;
    CHECK_EQ(TR_OK, tr_label(text));
    if (round == 0) gate_arrive(started);
  }
  return 0;
}

/* Claim: each label that is read is one that was set, whole, while eight tasks change theirs as fast as they can and end,
   so that others come into their records.
   Proves: a label is never a mixture of two, or of two tasks (E14).  Why it matters: a request that never was is blamed.
   Catches: a slot that is written while it is read; a label that is read without the check of the task's id. */
CASE(a_label_is_never_a_mixture) {
  tr_registry *registry = registry_new();
  tr_task *tasks[8];
  for (int round = 0; round < check_rounds(60); round++) {
    struct gate started = GATE_INIT;
    for (int i = 0; i < 8; i++) tasks[i] = spawn(registry, "changes", body_changes_its_label, &started);
    gate_await(&started, 8);
    for (int look = 0; look < 40; look++) {
      tr_task_summary list[8];
      size_t count = 0;
      list[0].size = sizeof list[0];
      CHECK_EQ(TR_OK, tr_snapshot(registry, list, 8, &count));
      for (size_t i = 0; i < count; i++) {
        CHECK_EQ(127, strlen(list[i].label));
        for (int place = 1; place < 127; place++) CHECK_EQ(list[i].label[0], list[i].label[place]);
      }
    }
    for (int i = 0; i < 8; i++) TR_IGNORE(tr_task_cancel(tasks[i]));
    for (int i = 0; i < 8; i++) wait_and_release(tasks[i]);
  }
  registry_finish(registry);
}

/* Proves: a kind of the application's own is shown by the name it was given last, which is copied, escaped in text and in
   JSON; the library's kinds, names that are not UTF-8, and a 65th kind are rejected (S3).  Why it matters: "application"
   says nothing where there are ten of them.  Catches: a pointer that is kept; the name of another kind. */
CASE(kinds_of_the_applications_own_have_names) {
  char name[] = "up\nload";
  CHECK_STR("application", tr_kind_name(TR_KIND_APPLICATION + 7));
  CHECK_EQ(TR_OK, tr_kind_set_name(TR_KIND_APPLICATION + 7, "first"));
  CHECK_STR("first", tr_kind_name(TR_KIND_APPLICATION + 7));
  CHECK_EQ(TR_OK, tr_kind_set_name(TR_KIND_APPLICATION + 7, name));
  memset(name, 'z', sizeof name);
  CHECK_STR("up\nload", tr_kind_name(TR_KIND_APPLICATION + 7));
  CHECK_STR("application", tr_kind_name(TR_KIND_APPLICATION + 8));
  tr_registry *registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, "t", TR_KIND_APPLICATION + 7, body_deaf, &gate, &task));
  gate_await(&gate, 1);
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  char text[8192];
  size_t length;
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "\n  up\\x0aload, id ") != NULL, "%.400s", text);
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_JSON, text, sizeof text, &length));
  CHECK_MSG(strstr(text, "\"kind\":\"application\",\"kind_number\":263,\"kind_name\":\"up\\nload\"") != NULL, "%.400s", text);
  CHECK_EQ(TR_OK, tr_snapshot_write_buffer(registry, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_MSG(strstr(text, " up\\x0aload ") != NULL, "%.400s", text);
  tr_report_release(report);
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);

  CHECK_EQ(TR_ERR_INVALID, tr_kind_set_name(TR_KIND_MAINTENANCE, "x"));
  CHECK_EQ(TR_ERR_INVALID, tr_kind_set_name(TR_KIND_APPLICATION - 1, "x"));
  CHECK_EQ(TR_ERR_INVALID, tr_kind_set_name(TR_KIND_APPLICATION, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_kind_set_name(TR_KIND_APPLICATION, ""));
  CHECK_EQ(TR_ERR_INVALID, tr_kind_set_name(TR_KIND_APPLICATION, "\xff"));
  for (tr_kind kind = 1000; kind < 1063; kind++) CHECK_EQ(TR_OK, tr_kind_set_name(kind, "one of many"));
  CHECK_EQ(TR_ERR_LIMIT, tr_kind_set_name(1063, "one too many"));
  CHECK_EQ(TR_OK, tr_kind_set_name(1062, "again"));
  CHECK_STR("again", tr_kind_name(1062));
  CHECK_STR("application", tr_kind_name(1063));
}

static int body_tells_thread_name(tr_task *self, void *ctx) {
  (void)self;
  CHECK_EQ(0, prctl(PR_GET_NAME, ctx, 0, 0, 0));
  return 0;
}

/* Proves: thread_name is what the kernel calls the task's thread, in 15 bytes cut at a character; the task keeps its name,
   and the next task in the thread its own; one that is not UTF-8 is rejected (S2).  Why it matters: "conn 127.0.0.1:" is
   the same for every connection.  Catches: a name that stays with the thread; the task's name replaced. */
CASE(a_thread_may_be_called_otherwise_than_its_task) {
  tr_registry *registry = registry_new();
  char seen[16] = "";
  const struct {
    const char *given, *kernel;
  } names[] = {{":5432", ":5432"}, {"12345678901234\u20ac", "12345678901234"}, {NULL, "conn 127.0.0.1:"}, {"b", "b"}};
  for (int round = 0; round < 3; round++)
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
      tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
      options.thread_name = names[i].given;
      tr_task *task = NULL;
      CHECK_EQ(TR_OK, tr_spawn_with(registry, "conn 127.0.0.1:5432", TR_KIND_PEER_CONNECTION, body_tells_thread_name, seen,
                                    &options, &task));
      char name[64];
      CHECK_EQ(19, tr_task_name(task, name, sizeof name));
      wait_and_release(task);
      CHECK_STR(names[i].kernel, seen);
      wait_and_release(spawn(registry, "plain", body_tells_thread_name, seen));
      CHECK_STR("plain", seen);
    }
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.thread_name = "\xff";
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "n", TR_KIND_MAINTENANCE, body_never, NULL, &options, NULL));
  options.thread_name = "";
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "n", TR_KIND_MAINTENANCE, body_never, NULL, &options, NULL));
  registry_finish(registry);
}

CHECK_MAIN(CHECK_ENTRY(a_label_is_copied_cut_and_shown),
           CHECK_ENTRY(a_label_is_never_a_mixture),
           CHECK_ENTRY(kinds_of_the_applications_own_have_names),
           CHECK_ENTRY(a_thread_may_be_called_otherwise_than_its_task))
