/* attached.c - what a program attaches to a task and to a registry: a pointer (O5), a message in any encoding (O1), the
   log's context (O2); the phase of a task (E5); why there is no token (C1). */

#include "support.h"

/* ---- A pointer ----------------------------------------------------------------------------------- */

struct noted {
  int first, second;
  struct gate attached;
  void *before;
};

static void *found_by_a_deep_function(void) { return tr_task_data(tr_task_self()); }

static int body_attaches(tr_task *self, void *ctx) {
  struct noted *noted = ctx;
  noted->before = tr_task_data(self);
  CHECK_EQ(TR_OK, tr_task_set_data(self, &noted->first));
  CHECK(found_by_a_deep_function() == &noted->first);
  noted->second = 4711;
  CHECK_EQ(TR_OK, tr_task_set_data(self, &noted->second));
  gate_pass(&noted->attached);
  return 0;
}

static void drop_attaches_another(void *ctx) {
  struct noted *noted = ctx;
  CHECK(found_by_a_deep_function() == &noted->second);
  CHECK_EQ(TR_OK, tr_task_set_data(tr_task_self(), noted));
}

/* Proves: what a task attaches is seen by its own functions, by its drop and by whoever has a reference, also after its
   end; a later pointer replaces it; only the task itself attaches one, in its body or its drop (O5, P4).
   Why it matters: a log callback or a library function gets the task alone.
   Catches: a pointer that is gone with the body; one that another thread can change; one without release. */
CASE(a_task_carries_a_pointer) {
  tr_registry *registry = registry_new();
  struct noted noted = {0, 0, GATE_INIT, &noted};
  tr_task *task = spawn_drop(registry, "carries", body_attaches, &noted, drop_attaches_another, 0);
  gate_await(&noted.attached, 1);
  CHECK(noted.before == NULL);
  CHECK_EQ(4711, *(int *)tr_task_data(task));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_data(task, NULL));
  CHECK(strstr(tr_error_detail(), "task is not the one that calls") != NULL);
  gate_open(&noted.attached);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  CHECK(tr_task_data(task) == &noted);
  CHECK(tr_task_data(NULL) == NULL);
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_data(NULL, &noted));
  CHECK(tr_task_data(tr_task_self()) == NULL);
  registry_finish(registry);
  CHECK(tr_task_data(task) == &noted);
  tr_task_release(task);
}

static int body_must_be_bare(tr_task *self, void *ctx) {
  if (tr_task_data(self) != NULL) return 1;
  if (ctx != NULL) CHECK_EQ(TR_OK, tr_task_set_data(self, ctx));
  TR_IGNORE(tr_checkpoint("notes")); /* notes of another kind do not show the old pointer */
  return tr_task_data(self) == ctx ? 0 : 2;
}

/* Proves: the next task in the same memory has no pointer until it attaches one, and NULL takes it away (O5).
   Why it matters: a pointer of another connection is worse than none.
   Catches: a trait, or a pointer, that stays with the record. */
CASE(the_next_task_has_no_pointer) {
  tr_registry *registry = registry_new();
  int rounds = check_rounds(200);
  for (int i = 0; i < rounds; i++) {
    tr_task *task = spawn(registry, "bare", body_must_be_bare, i % 2 == 0 ? registry : NULL);
    CHECK_EQ(0, outcome_of(task).code);
    CHECK(tr_task_data(task) == (i % 2 == 0 ? registry : NULL));
    tr_task_release(task);
  }
  registry_finish(registry);
}

/* ---- Messages in any encoding -------------------------------------------------------------------- */

struct message {
  const char *given;
  tr_status status;
};

static int body_says(tr_task *self, void *ctx) {
  struct message *message = ctx;
  CHECK_EQ(TR_OK, tr_task_set_message(self, "before"));
  message->status = tr_task_set_message_lossy(self, message->given);
  return 1;
}

static void check_shown(tr_registry *registry, const char *given, const char *expected) {
  struct message message = {given, -99};
  tr_task *task = spawn(registry, "says", body_says, &message);
  tr_outcome outcome = outcome_of(task);
  CHECK_EQ(TR_OK, message.status);
  CHECK_STR(expected, outcome.message);
  tr_task_release(task);
}

/* Proves: a message in another encoding is kept, with U+FFFD for each byte that is not UTF-8; 127 bytes of the result
   are kept, cut at a character; what is UTF-8 is kept as by tr_task_set_message (O1).
   Why it matters: strerror(3) speaks the encoding of the locale, and the reason of a failure would be lost.
   Catches: half a replacement at the end; a read beyond the NUL; a byte after a bad one that is swallowed. */
CASE(any_bytes_are_a_message) {
  tr_registry *registry = registry_new();
  check_shown(registry, "\xE2\x82\xAC", "\xE2\x82\xAC");
  check_shown(registry, NULL, "");
  check_shown(registry, "", "");
  check_shown(registry, "na\xEFve", "na\xEF\xBF\xBDve");
  check_shown(registry, "\xFF\xFE", "\xEF\xBF\xBD\xEF\xBF\xBD");
  check_shown(registry, "end\xC3", "end\xEF\xBF\xBD");
  check_shown(registry, "\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  for (int before = 120; before <= 130; before++) {
    char given[200], expected[200];
    memset(given, 'm', sizeof given);
    strcpy(given + before, "\xFFtail");
    memset(expected, 'm', sizeof expected);
    strcpy(expected + before, "\xEF\xBF\xBDtail");
    size_t cut = before < 127 && before + 3 > 127 ? (size_t)before : 127;
    if (strlen(expected) > cut) expected[cut] = 0;
    check_shown(registry, given, expected);
  }
  tr_task *task = spawn(registry, "over", body_returns, NULL);
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message_lossy(task, "from outside"));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message_lossy(NULL, "m"));
  wait_and_release(task);
  registry_finish(registry);
}

/* ---- Phases -------------------------------------------------------------------------------------- */

/* Proves: the phase of a task is the one that it was spawned with, during its life and after it (E5).
   Why it matters: a task that spawns others gives them its own phase.  Catches: the phase of the record's last task. */
CASE(a_task_knows_its_phase) {
  tr_registry *registry = registry_new();
  CHECK_EQ(0, tr_task_phase(NULL));
  for (uint32_t phase = 0; phase < 2 * TR_PHASES; phase++) {
    struct gate gate = GATE_INIT;
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.phase = (phase * 5) % TR_PHASES;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "phased", TR_KIND_APPLICATION, body_deaf, &gate, &options, &task));
    CHECK_EQ(options.phase, tr_task_phase(task));
    gate_open(&gate);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    CHECK_EQ(options.phase, tr_task_phase(task));
    tr_task_release(task);
  }
  registry_finish(registry);
}

/* ---- The context of a log ------------------------------------------------------------------------ */

struct journal {
  atomic_int events, drops;
};

static void log_counts(void *context, const tr_log_event *event) {
  struct journal *journal = context;
  (void)event;
  CHECK_EQ(0, atomic_load(&journal->drops));
  atomic_fetch_add(&journal->events, 1);
}

static void drop_journal(void *context) { atomic_fetch_add(&((struct journal *)context)->drops, 1); }

static tr_registry_options options_with(struct journal *journal) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_counts;
  options.log_context = journal;
  options.log_drop = drop_journal;
  return options;
}

/* Waits until the drop has run; an orphaned registry is freed by a later call. */
static void await_drop(struct journal *journal) {
  while (atomic_load(&journal->drops) == 0) {
    tr_registry_release(registry_new());
    breathe();
  }
  CHECK_EQ(1, atomic_load(&journal->drops));
}

/* Proves: log_drop is called once, after the last event, when the last reference to the registry, its groups and its
   tasks is gone, in whatever order they go; a group that inherits the log does not call it again, one with a log of its
   own does; a registry that is not created calls nothing (O2, P7).
   Why it matters: the context of a log is allocated by whoever has made the registry, and nobody else knows when it can
   go.  Catches: a drop by the group; a drop at the shutdown, with handles left; a drop for a failed creation. */
CASE(the_context_of_a_log_is_dropped_once) {
  for (int way = 0; way < 4; way++) {
    struct journal journal = {0, 0}, own = {0, 0};
    tr_registry_options options = options_with(&journal), of_group = options_with(&own);
    tr_registry *registry = NULL, *group = NULL, *heir = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    CHECK_EQ(TR_OK, tr_registry_child(registry, "heir", NULL, &heir));
    CHECK_EQ(TR_OK, tr_registry_child(registry, "own", &of_group, &group));
    int code = 3;
    tr_task *task = spawn(heir, "fails", body_fails, &code);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
    tr_task_release(task);
    CHECK_EQ(1, atomic_load(&journal.events));
    struct gate gate = GATE_INIT;
    task = spawn(group, "late", body_deaf, &gate);
    if (way == 0) {
      gate_open(&gate);
      CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
    }
    tr_registry_release(registry);
    CHECK_EQ(0, atomic_load(&journal.drops));
    tr_registry_release(way % 2 == 0 ? group : heir);
    tr_registry_release(way % 2 == 0 ? heir : group);
    CHECK_EQ(0, atomic_load(&journal.drops) + atomic_load(&own.drops)); /* the task's handle */
    if (way == 1) tr_task_release(task);
    gate_open(&gate);
    if (way != 1) {
      CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
      tr_task_release(task);
    }
    await_drop(&own);
    await_drop(&journal);
    CHECK_EQ(1, atomic_load(&own.drops));
  }
  struct journal never = {0, 0};
  tr_registry_options options = options_with(&never);
  tr_registry *registry = NULL;
  options.flags = 0x80;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
  options = options_with(&never);
  options.log = NULL;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
  CHECK(strstr(tr_error_detail(), "log_drop") != NULL);
  CHECK(registry == NULL && atomic_load(&never.drops) == 0);
}

/* ---- Why there is no token ------------------------------------------------------------------------ */

static int body_asks_too_early(tr_task *self, void *ctx) {
  (void)self;
  errno = 0;
  CHECK(tr_task_token(ctx) == NULL);
  CHECK_EQ(EINVAL, errno);
  errno = 4711;
  CHECK(tr_task_token(self) != NULL);
  CHECK_EQ(4711, errno);
  return 0;
}

/* Proves: where there is no token errno says that an argument is wrong, and tr_error_detail which; a call that succeeds
   leaves errno alone (C1, P4).  Why it matters: NULL alone is taken for a lack of memory.
   Catches: an errno of another call; one that is set on success.  (ENOMEM: c.failing; EAGAIN: c.no_thread; EPERM:
   c.process.) */
CASE(errno_says_why_there_is_no_token) {
  tr_registry *registry = registry_new();
  errno = 0;
  CHECK(tr_token_child(NULL) == NULL);
  CHECK_EQ(EINVAL, errno);
  CHECK(strstr(tr_error_detail(), "tr_token_child: parent is NULL") != NULL);
  errno = 0;
  CHECK(tr_token_child_with_timeout(NULL, FOREVER) == NULL);
  CHECK_EQ(EINVAL, errno);
  errno = 0;
  CHECK(tr_task_token(NULL) == NULL);
  CHECK_EQ(EINVAL, errno);
  tr_task *other = spawn(registry, "other", body_obeys, NULL);
  tr_task *task = spawn(registry, "asks", body_asks_too_early, other);
  wait_and_release(task);
  CHECK_EQ(TR_OK, tr_task_cancel(other));
  wait_and_release(other);
  errno = 4711;
  tr_token *token = tr_token_create(), *child = tr_token_child(token);
  CHECK(token != NULL && child != NULL);
  CHECK_EQ(4711, errno);
  tr_token_release(child);
  tr_token_release(token);
  registry_finish(registry);
}

CHECK_MAIN(CHECK_ENTRY(a_task_carries_a_pointer), CHECK_ENTRY(the_next_task_has_no_pointer),
           CHECK_ENTRY(any_bytes_are_a_message), CHECK_ENTRY(a_task_knows_its_phase),
           CHECK_ENTRY(the_context_of_a_log_is_dropped_once), CHECK_ENTRY(errno_says_why_there_is_no_token))
