/* arguments.c - invalid arguments, and those of a caller of another version: NULL in every pointer
   argument, unknown kinds and flags, sizes too small and too large, absurd numbers. Rules P4, S3,
   S4. */

#include "guarded.h"

#include <poll.h>

/* The bytes each structure had in release 0.2, its first: the least it may have. Never changed. */
enum {
  FIRST_REGISTRY_OPTIONS = 120,
  FIRST_SPAWN_OPTIONS = 48,
  FIRST_TASK_SUMMARY = 480,
  FIRST_JOIN_REPORT = 120,
  FIRST_OUTCOME = 144
};

/* Proves: NULL in every pointer argument of every function that returns a status is
   TR_ERR_INVALID, or what the header says it means (P4). Why it matters: a forgotten check of
   malloc must not take the process down. Catches: dereferencing before the check; NULL accepted
   where it has no meaning. */
CASE(null_is_an_error_in_every_pointer_argument) {
  CHECK_EQ(TR_ERR_INVALID, tr_token_wait(NULL, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_token_wait(NULL, FOREVER));
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(NULL, NULL));
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, NULL));

  tr_registry *registry = registry_new();
  tr_task *task = NULL;
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.drop = drop_never;
  tr_kind kind = TR_KIND_RPC_HANDLER;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(NULL, "n", kind, body_never, NULL, &task));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, NULL, kind, body_never, NULL, &task));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "n", kind, NULL, NULL, &task));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(NULL, "n", kind, body_never, NULL, &how, &task));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, NULL, kind, body_never, NULL, &how, &task));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "n", kind, NULL, NULL, &how, &task));
  CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(NULL, NULL, kind, NULL, NULL, NULL, NULL));
  CHECK(task == NULL);
  CHECK_EQ(0, tr_len(registry));

  CHECK_EQ(TR_ERR_INVALID, tr_join_all(NULL, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_join_all(NULL, FOREVER, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown(NULL, TR_REASON_FATAL, "m", 0, NULL));
  size_t count = 77;
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot(NULL, &summary, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot(NULL, NULL, 0, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot(registry, &summary, 1, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot(registry, NULL, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot(registry, NULL, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot(registry, NULL, SIZE_MAX, &count));
  CHECK_EQ(77, count);

  CHECK_EQ(TR_ERR_INVALID, tr_task_cancel(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message(NULL, "m"));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message(NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_message_lossy(NULL, "m"));
  CHECK_EQ(TR_ERR_INVALID, tr_task_set_data(NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_wait(NULL, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_task_wait(NULL, FOREVER, NULL));
  registry_finish(registry);
}

/* Proves: the functions that return no status handle NULL as the header says: NULL for NULL, 0, an
   empty registry, nothing done (P4). Why it matters: clean-up paths release objects that were never
   created. Catches: a missing check in any of them. */
CASE(null_is_answered_where_there_is_no_status) {
  CHECK(tr_token_child(NULL) == NULL);
  CHECK(tr_token_retain(NULL) == NULL);
  tr_token_release(NULL);
  CHECK_EQ(0, tr_token_cancel(NULL, TR_REASON_FATAL, "m"));
  CHECK_EQ(0, tr_token_is_cancelled(NULL));
  CHECK_EQ(TR_REASON_NONE, tr_token_reason(NULL));
  char buffer[4];
  CHECK_EQ(0, tr_token_message(NULL, NULL, 0));
  CHECK_EQ(0, tr_token_message(NULL, buffer, sizeof buffer));
  CHECK(tr_registry_retain(NULL) == NULL);
  tr_registry_release(NULL);
  CHECK(tr_registry_token(NULL) == NULL);
  CHECK_EQ(0, tr_len(NULL));
  CHECK_EQ(1, tr_is_empty(NULL));
  CHECK(tr_task_self() == NULL);
  CHECK(tr_task_retain(NULL) == NULL);
  tr_task_release(NULL);
  CHECK_EQ(0, tr_task_id(NULL));
  CHECK_EQ(0, tr_task_name(NULL, buffer, sizeof buffer));
  CHECK_EQ(0, tr_task_name(NULL, NULL, 0));
  CHECK_EQ(0, tr_task_kind(NULL));
  CHECK_EQ(0, tr_task_phase(NULL));
  CHECK(tr_task_data(NULL) == NULL);
  CHECK_EQ(0, tr_task_is_cancelled(NULL));
  CHECK(tr_task_cancel_flag(NULL) == NULL);
}

/* Proves: the pointers that may be NULL may: options, out, report, outcome, message, ctx (P4,
   S4).  Why it matters: the short forms of every call use them.  Catches: writing through an
   absent output; demanding a context. */
CASE(null_is_fine_where_the_header_says_so) {
  tr_registry *registry = registry_new();
  CHECK_EQ(TR_OK, tr_spawn(registry, "n", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL));
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "n", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL,
                                NULL));
  tr_task *task = spawn(registry, "n", body_returns, NULL);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  tr_task_release(task);
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  size_t count = 1;
  CHECK_EQ(TR_OK, tr_snapshot(registry, NULL, 0, &count));
  CHECK_EQ(0, count);
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(0, tr_token_message(tr_registry_token(registry), NULL, 0));
  tr_registry_release(registry);
}

/* Proves: every status has a sentence of its own, every other number has "unknown status", and the
   version is the header's (P4). Why it matters: these strings are what the operator reads. Catches:
   a table that is indexed without a bound; a status without text. */
CASE(every_status_has_a_sentence) {
  for (tr_status a = 0; a >= TR_ERR_STALLED; a--) {
    const char *text = tr_strerror(a);
    CHECK(text != NULL && text[0] != 0);
    CHECK(strcmp(text, "unknown status") != 0);
    CHECK(strchr(text, '\n') == NULL);
    for (tr_status b = 0; b > a; b--) CHECK(strcmp(text, tr_strerror(b)) != 0);
  }
  CHECK_STR("unknown status", tr_strerror(1));
  CHECK_STR("unknown status", tr_strerror(TR_ERR_STALLED - 1));
  CHECK_STR("unknown status", tr_strerror(INT32_MAX));
  CHECK_STR("unknown status", tr_strerror(INT32_MIN));
  CHECK_EQ(TR_VERSION, tr_version());
}

/* Proves: the names of kinds, states, reasons, events and endings are lower-case words, all
   different, with "application" from 0x100 and "unknown" for the rest (S3, P4).  Why it matters:
   task tables and logs are made of them.  Catches: an off-by-one in a table; NULL for a strange
   number. */
CASE(every_number_has_a_name) {
  CHECK_STR("background-loop", tr_kind_name(TR_KIND_BACKGROUND_LOOP));
  CHECK_STR("peer-connection", tr_kind_name(TR_KIND_PEER_CONNECTION));
  CHECK_STR("rpc-handler", tr_kind_name(TR_KIND_RPC_HANDLER));
  CHECK_STR("maintenance", tr_kind_name(TR_KIND_MAINTENANCE));
  CHECK_STR("application", tr_kind_name(TR_KIND_APPLICATION));
  CHECK_STR("application", tr_kind_name(UINT32_MAX));
  CHECK_STR("unknown", tr_kind_name(0));
  CHECK_STR("unknown", tr_kind_name(5));
  CHECK_STR("unknown", tr_kind_name(0xff));
  struct {
    const char *(*name)(uint32_t);
    uint32_t first, last;
  } tables[] = {{tr_state_name, TR_STATE_STARTING, TR_STATE_WAITING},
                {tr_reason_name, TR_REASON_NONE, TR_REASON_DEADLINE},
                 {tr_event_name, TR_EVENT_TASK_FAILED, TR_EVENT_SCHEDULING_REFUSED},
                 {tr_diagnosis_name, TR_DIAGNOSIS_STARTING, TR_DIAGNOSIS_WAITING},
                {tr_ended_name, TR_ENDED_RETURNED, TR_ENDED_EXITED}};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
    for (uint32_t a = tables[t].first; a <= tables[t].last; a++) {
      const char *name = tables[t].name(a);
      CHECK(name != NULL && name[0] != 0);
      for (const char *c = name; *c != 0; c++) CHECK((*c >= 'a' && *c <= 'z') || *c == '-');
      CHECK(strcmp(name, "unknown") != 0);
      for (uint32_t b = tables[t].first; b < a; b++) CHECK(strcmp(name, tables[t].name(b)) != 0);
    }
    CHECK_STR("unknown", tables[t].name(tables[t].last + 1));
    CHECK_STR("unknown", tables[t].name(0x100));
    CHECK_STR("unknown", tables[t].name(UINT32_MAX));
  }
  CHECK_STR("unknown", tr_state_name(0));
  CHECK_STR("unknown", tr_event_name(0));
  CHECK_STR("unknown", tr_ended_name(0));
}

/* Proves: the four kinds and every number from 0x100 are accepted, 0 and 5 to 0xff are not (S3).
   Why it matters: the numbers between are for later kinds.  Catches: any wrong bound. */
CASE(unknown_kinds_are_rejected) {
  tr_registry *registry = registry_new();
  for (tr_kind kind = 0; kind <= 0x101; kind++) {
    int known = (kind >= 1 && kind <= 4) || kind >= 0x100;
    CHECK_EQ(known ? TR_OK : TR_ERR_INVALID,
             tr_spawn(registry, "k", kind, known ? body_returns : body_never, NULL, NULL));
  }
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, "k", UINT32_MAX, body_returns, NULL, &task));
  CHECK_EQ(UINT32_MAX, tr_task_kind(task));
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: each unknown flag of a spawn and of a registry is TR_ERR_INVALID, alone and
   beside known ones, and the known ones are accepted (P4).  Why it matters: a program built
   for a later library must not be misunderstood silently.  Catches: masking unknown bits away. */
CASE(unknown_flags_are_rejected) {
  const uint32_t all = TR_SPAWN_CLEANUP | TR_SPAWN_FRESH_THREAD | TR_SPAWN_ESSENTIAL |
                       TR_SPAWN_ESSENTIAL_ON_FAILURE | TR_SPAWN_UNJOINED;
  for (int bit = 0; bit < 32; bit++) {
    tr_registry *registry = registry_new();
    tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
    how.flags = 1u << bit;
    int known = (how.flags & all) != 0;
    CHECK_EQ(known ? TR_OK : TR_ERR_INVALID,
             tr_spawn_with(registry, "f", TR_KIND_MAINTENANCE, known ? body_returns : body_never,
                           NULL, &how, NULL));
    how.flags |= all;
    if (!known)
      CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "f", TR_KIND_MAINTENANCE, body_never, NULL,
                                             &how, NULL));
    while (tr_len(registry) > 0) breathe(); /* a shutdown does not wait for TR_SPAWN_UNJOINED */
    registry_finish(registry);
  }
  for (int bit = 0; bit < 32; bit++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.flags = 1u << bit;
    tr_registry *registry = NULL;
    if (options.flags == TR_REGISTRY_METRICS || options.flags == TR_REGISTRY_NO_DESCRIPTORS ||
        options.flags == TR_REGISTRY_REPORT_THREADS) {
      CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
      registry_finish(registry);
      continue;
    }
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
    options.flags |= TR_REGISTRY_METRICS | TR_REGISTRY_NO_DESCRIPTORS | TR_REGISTRY_REPORT_THREADS;
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry));
    CHECK(registry == NULL);
  }
}

/* Proves: every size of the registry options below the first is TR_ERR_INVALID, whatever
   lies behind it, and the exact size is read exactly (P4).  Why it matters: an uninitialised
   structure shows itself by its size.  Catches: reading fields before the size; reading past the
   end. */
CASE(registry_options_size_is_checked) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  for (uint32_t size = 0; size < FIRST_REGISTRY_OPTIONS; size++) {
    options.size = size;
    struct guarded guarded = guarded_copy(&options, size < sizeof size ? sizeof size : size);
    tr_registry *none = NULL;
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(guarded.object, &none));
    CHECK(none == NULL);
    guarded_free(guarded);
  }
  options.size = sizeof options;
  struct guarded guarded = guarded_copy(&options, sizeof options);
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(guarded.object, &registry));
  guarded_free(guarded);
  registry_finish(registry);
}

/* Proves: larger registry options with zeros behind are accepted, with anything else behind they
   are not, and an absurd size is rejected without reading that far (P4). Why it matters: programs
   built for a later library run on this one as long as they ask for nothing new. Catches: ignoring
   the tail; reading 4 GiB of it. */
CASE(registry_options_tail_must_be_zero) {
  char bytes[sizeof(tr_registry_options) + 200];
  for (size_t extra = 1; extra <= 200; extra += extra < 20 ? 1 : 45) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.size = (uint32_t)(sizeof options + extra);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &options, sizeof options);
    struct guarded guarded = guarded_copy(bytes, options.size);
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, tr_registry_create(guarded.object, &registry));
    registry_finish(registry);
    for (size_t at = 0; at < extra; at++) {
      ((char *)guarded.object)[sizeof options + at] = 1;
      tr_registry *none = NULL;
      CHECK_EQ(TR_ERR_INVALID, tr_registry_create(guarded.object, &none));
      CHECK(none == NULL);
      ((char *)guarded.object)[sizeof options + at] = 0;
    }
    guarded_free(guarded);
  }
  for (size_t i = 0; i < ABSURD_SIZES; i++) {
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.size = absurd_sizes[i];
    struct guarded guarded = guarded_copy(&options, sizeof options);
    tr_registry *none = NULL;
    CHECK_EQ(TR_ERR_INVALID, tr_registry_create(guarded.object, &none));
    CHECK(none == NULL);
    guarded_free(guarded);
  }
}

/* Proves: 64 KiB is the largest size a structure may have, and that one is served: options with
   zeros behind, outputs with zeros made behind (P4). Why it matters: a bound that no structure
   reaches by growth and no caller passes by accident. Catches: an off-by-one at the bound. */
CASE(largest_size_is_served) {
  static union {
    uint32_t size;
    tr_registry_options options;
    tr_spawn_options how;
    tr_join_report report;
    tr_outcome outcome;
    tr_task_summary summary;
    char bytes[65536];
  } largest;
  memset(&largest, 0, sizeof largest);
  largest.options = (tr_registry_options)TR_REGISTRY_OPTIONS_INIT;
  largest.size = sizeof largest;
  tr_registry *registry = NULL, *none = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&largest.options, &registry));
  largest.bytes[65535] = 1;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&largest.options, &none));
  memset(&largest, 0, sizeof largest);
  largest.how = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  largest.size = sizeof largest;
  tr_task *task = NULL;
  struct gate gate = GATE_INIT;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "n", TR_KIND_RPC_HANDLER, body_deaf, &gate, &largest.how,
                                &task));
  memset(&largest, '#', sizeof largest);
  largest.size = sizeof largest;
  size_t count = 0;
  CHECK_EQ(TR_OK, tr_snapshot(registry, &largest.summary, 1, &count));
  CHECK_EQ(1, count);
  CHECK_EQ(tr_task_id(task), largest.summary.id);
  CHECK_EQ(0, largest.bytes[65535]);
  gate_open(&gate);
  memset(&largest, '#', sizeof largest);
  largest.size = sizeof largest;
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, &largest.outcome));
  CHECK_EQ(TR_ENDED_RETURNED, largest.outcome.how);
  CHECK_EQ(0, largest.bytes[65535]);
  memset(&largest, '#', sizeof largest);
  largest.report = (tr_join_report)TR_JOIN_REPORT_INIT;
  largest.size = sizeof largest;
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, &largest.report));
  CHECK_EQ(0, largest.report.pending);
  CHECK_EQ(0, largest.bytes[65535]);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: the same three things for the spawn options: every smaller size, every tail, absurd
   sizes; and a rejected spawn leaves nothing behind (P4, S4). Why it matters: as for the
   registry's. Catches: checking one structure and not the other. */
CASE(spawn_options_size_and_tail_are_checked) {
  tr_registry *registry = registry_new();
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_never;
  tr_task *none = NULL;
  for (uint32_t size = 0; size < FIRST_SPAWN_OPTIONS; size++) {
    options.size = size;
    struct guarded guarded = guarded_copy(&options, size < sizeof size ? sizeof size : size);
    CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "s", TR_KIND_RPC_HANDLER, body_never, NULL,
                                           guarded.object, &none));
    guarded_free(guarded);
  }
  for (size_t i = 0; i < ABSURD_SIZES; i++) {
    options.size = absurd_sizes[i];
    struct guarded guarded = guarded_copy(&options, sizeof options);
    CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "s", TR_KIND_RPC_HANDLER, body_never, NULL,
                                           guarded.object, &none));
    guarded_free(guarded);
  }
  char bytes[sizeof options + 100];
  atomic_int drops = 0;
  int spawned = 0;
  for (size_t extra = 0; extra <= 100; extra += extra < 20 ? 1 : 20) {
    options = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
    options.drop = drop_counts;
    options.size = (uint32_t)(sizeof options + extra);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &options, sizeof options);
    struct guarded guarded = guarded_copy(bytes, options.size);
    CHECK_EQ(TR_OK, tr_spawn_with(registry, "s", TR_KIND_RPC_HANDLER, body_returns, &drops,
                                  guarded.object, NULL));
    spawned++;
    for (size_t at = 0; at < extra; at++) {
      ((char *)guarded.object)[sizeof options + at] = (char)0x80;
      CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "s", TR_KIND_RPC_HANDLER, body_never, &drops,
                                             guarded.object, &none));
      ((char *)guarded.object)[sizeof options + at] = 0;
    }
    guarded_free(guarded);
  }
  CHECK(none == NULL);
  registry_finish(registry);
  CHECK_EQ(spawned, drops);
}

/* Proves: a join report of every smaller size and of absurd ones is TR_ERR_INVALID before the call
   waits or asks a task to stop, by tr_join_all and by tr_shutdown (P4, J8). Why it matters: a join
   that fails after its work has been done loses the report. Catches: checking the report at the
   end; closing the registry first. */
CASE(join_report_size_is_checked_first) {
  struct gate gate = GATE_INIT;
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  for (uint32_t i = 0; i < FIRST_JOIN_REPORT + ABSURD_SIZES; i++) {
    report.size = i < FIRST_JOIN_REPORT ? i : absurd_sizes[i - FIRST_JOIN_REPORT];
    size_t length = i < FIRST_JOIN_REPORT ? i : sizeof report;
    struct guarded guarded =
        guarded_copy(&report, length < sizeof report.size ? sizeof report.size : length);
    CHECK_EQ(TR_ERR_INVALID, tr_join_all(registry, FOREVER, guarded.object));
    CHECK_EQ(TR_ERR_INVALID, tr_shutdown(registry, TR_REASON_FATAL, "m", FOREVER, guarded.object));
    guarded_free(guarded);
  }
  CHECK_EQ(0, tr_task_is_cancelled(task));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  CHECK_EQ(TR_OK, tr_spawn(registry, "still open", TR_KIND_RPC_HANDLER, body_returns, NULL, NULL));
  gate_open(&gate);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a report of exactly its size is filled exactly, and a larger one too, with zeros in
   the part that is not known, whatever was there, the size field staying the caller's (P4, J8).
   Why it matters: the caller's structure may be of a later version.  Catches: a copy of the
   wrong length; garbage left in new fields. */
CASE(larger_join_report_is_filled_and_its_tail_zeroed) {
  tr_registry *registry = registry_new();
  char bytes[sizeof(tr_join_report) + 64];
  for (size_t extra = 0; extra <= 64; extra += 8) {
    tr_join_report report = TR_JOIN_REPORT_INIT;
    report.size = (uint32_t)(sizeof report + extra);
    report.ended = 99;
    report.pending = 99;
    memset(bytes, '#', sizeof bytes);
    memcpy(bytes, &report, sizeof report);
    struct guarded guarded = guarded_copy(bytes, report.size);
    CHECK_EQ(TR_OK, tr_join_all(registry, 0, guarded.object));
    memcpy(&report, guarded.object, sizeof report);
    CHECK_EQ(sizeof report + extra, report.size);
    CHECK_EQ(0, report.ended);
    CHECK_EQ(0, report.pending);
    for (size_t at = 0; at < extra; at++)
      CHECK_EQ(0, ((char *)guarded.object)[sizeof report + at]);
    guarded_free(guarded);
  }
  registry_finish(registry);
}

/* Proves: an array for stragglers with a wrong element size is TR_ERR_INVALID before the call
   waits, one of capacity 0 is not read, and a capacity beyond all memory does not crash (P4, J8).
   Why it matters: the array is the part of a report a caller sets up. Catches: dividing or
   multiplying by an unchecked size. */
CASE(straggler_array_is_checked_first) {
  struct gate gate = GATE_INIT;
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  tr_task_summary array[2] = {TR_TASK_SUMMARY_INIT, TR_TASK_SUMMARY_INIT};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = array;
  report.stragglers_capacity = 2;
  for (uint32_t size = 0; size < FIRST_TASK_SUMMARY; size++) {
    array[0].size = size;
    CHECK_EQ(TR_ERR_INVALID, tr_join_all(registry, FOREVER, &report));
    CHECK_EQ(TR_ERR_INVALID, tr_shutdown(registry, TR_REASON_FATAL, "m", FOREVER, &report));
  }
  CHECK_EQ(0, tr_task_is_cancelled(task));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  array[0].size = 0;
  report.stragglers_capacity = 0;
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &report));
  CHECK_EQ(1, report.pending);
  CHECK_EQ(0, report.stragglers_count);
  array[0].size = sizeof array[0];
  report.stragglers_capacity = UINT64_MAX;
  tr_status status = tr_join_all(registry, 0, &report);
  CHECK(status == TR_ERR_DEADLINE || status == TR_ERR_INVALID);
  if (status == TR_ERR_DEADLINE) CHECK_EQ(1, report.stragglers_count);
  report.stragglers = NULL;
  report.stragglers_capacity = 5;
  report.stragglers_count = 0;
  status = tr_join_all(registry, 0, &report);
  CHECK(status == TR_ERR_DEADLINE || status == TR_ERR_INVALID);
  CHECK_EQ(0, report.stragglers_count);
  gate_open(&gate);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: an outcome of every smaller size and of absurd ones is TR_ERR_INVALID, also for a task
   that has ended, and a larger one is filled with zeros behind (P4, O3).  Why it matters: as for
   the report.  Catches: an unchecked size on the path that need not wait. */
CASE(outcome_size_is_checked) {
  tr_registry *registry = registry_new();
  int code = 5;
  tr_task *task = spawn(registry, "fails", body_fails, &code);
  CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, NULL));
  tr_outcome outcome = TR_OUTCOME_INIT;
  for (uint32_t i = 0; i < FIRST_OUTCOME + ABSURD_SIZES; i++) {
    outcome.size = i < FIRST_OUTCOME ? i : absurd_sizes[i - FIRST_OUTCOME];
    size_t length = i < FIRST_OUTCOME ? i : sizeof outcome;
    struct guarded guarded =
        guarded_copy(&outcome, length < sizeof outcome.size ? sizeof outcome.size : length);
    CHECK_EQ(TR_ERR_INVALID, tr_task_wait(task, FOREVER, guarded.object));
    guarded_free(guarded);
  }
  char bytes[sizeof(tr_outcome) + 64];
  for (size_t extra = 0; extra <= 64; extra += 4) {
    outcome = (tr_outcome)TR_OUTCOME_INIT;
    outcome.size = (uint32_t)(sizeof outcome + extra);
    memset(bytes, '#', sizeof bytes);
    memcpy(bytes, &outcome, sizeof outcome);
    struct guarded guarded = guarded_copy(bytes, outcome.size);
    CHECK_EQ(TR_OK, tr_task_wait(task, FOREVER, guarded.object));
    memcpy(&outcome, guarded.object, sizeof outcome);
    CHECK_EQ(sizeof outcome + extra, outcome.size);
    CHECK_EQ(TR_ENDED_FAILED, outcome.how);
    CHECK_EQ(5, outcome.code);
    for (size_t at = 0; at < extra; at++)
      CHECK_EQ(0, ((char *)guarded.object)[sizeof outcome + at]);
    guarded_free(guarded);
  }
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a snapshot element of every smaller size and of absurd ones is TR_ERR_INVALID with
   nothing written; a larger one is filled with zeros behind, at the caller's stride (P4, N3).
   Why it matters: the element size is what lets the structure grow.  Catches: striding by the
   library's own size; leaving garbage in the tail. */
CASE(snapshot_element_size_is_checked_and_kept) {
  struct gate gate = GATE_INIT;
  tr_registry *registry = registry_new();
  tr_task *tasks[3];
  for (int i = 0; i < 3; i++) tasks[i] = spawn(registry, "listed", body_deaf, &gate);
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  for (uint32_t i = 0; i < FIRST_TASK_SUMMARY + ABSURD_SIZES; i++) {
    summary.size = i < FIRST_TASK_SUMMARY ? i : absurd_sizes[i - FIRST_TASK_SUMMARY];
    size_t length = i < FIRST_TASK_SUMMARY ? i : sizeof summary;
    struct guarded guarded =
        guarded_copy(&summary, length < sizeof summary.size ? sizeof summary.size : length);
    size_t count = 77;
    CHECK_EQ(TR_ERR_INVALID, tr_snapshot(registry, guarded.object, 1, &count));
    CHECK_EQ(77, count);
    guarded_free(guarded);
  }
  for (size_t extra = 0; extra <= 64; extra += 8) {
    size_t stride = sizeof summary + extra;
    static char bytes[3 * (sizeof(tr_task_summary) + 64)];
    memset(bytes, '#', sizeof bytes);
    uint32_t size = (uint32_t)stride;
    memcpy(bytes, &size, sizeof size);
    struct guarded guarded = guarded_copy(bytes, 3 * stride);
    size_t count = 0;
    CHECK_EQ(TR_OK, tr_snapshot(registry, guarded.object, 3, &count));
    CHECK_EQ(3, count);
    uint64_t seen = 0;
    for (int i = 0; i < 3; i++) {
      const char *element = (char *)guarded.object + (size_t)i * stride;
      memcpy(&summary, element, sizeof summary);
      CHECK_EQ(stride, summary.size);
      CHECK_STR("listed", summary.name);
      for (int t = 0; t < 3; t++)
        if (summary.id == tr_task_id(tasks[t])) seen |= 1u << t;
      for (size_t at = sizeof summary; at < stride; at++) CHECK_EQ(0, element[at]);
    }
    CHECK_EQ(7, seen);
    guarded_free(guarded);
  }
  gate_open(&gate);
  for (int i = 0; i < 3; i++) tr_task_release(tasks[i]);
  registry_finish(registry);
}

/* What each initialising function makes of a structure, beside what its macro makes of one. */
#define INITIALISED(type, macro)                                                                   \
  static tr_status initialise_##type(void *structure, size_t size) {                               \
    return tr_##type##_init(structure, size);                                                      \
  }                                                                                                \
  static const tr_##type initial_##type = macro;
INITIALISED(registry_options, TR_REGISTRY_OPTIONS_INIT)
INITIALISED(spawn_options, TR_SPAWN_OPTIONS_INIT)
INITIALISED(task_summary, TR_TASK_SUMMARY_INIT)
INITIALISED(join_report, TR_JOIN_REPORT_INIT)
INITIALISED(shutdown_options, TR_SHUTDOWN_OPTIONS_INIT)
INITIALISED(outcome, TR_OUTCOME_INIT)
INITIALISED(signal_options, TR_SIGNAL_OPTIONS_INIT)
INITIALISED(straggler, TR_STRAGGLER_INIT)
INITIALISED(ended_task, TR_ENDED_TASK_INIT)
INITIALISED(phase_report, TR_PHASE_REPORT_INIT)
INITIALISED(thread_report, TR_THREAD_REPORT_INIT)
INITIALISED(metrics, TR_METRICS_INIT)
INITIALISED(metrics_source, TR_METRICS_SOURCE_INIT)
INITIALISED(systemd_options, TR_SYSTEMD_OPTIONS_INIT)
INITIALISED(exit_options, TR_EXIT_OPTIONS_INIT)
INITIALISED(ladder_options, TR_LADDER_OPTIONS_INIT)
INITIALISED(run_options, TR_RUN_OPTIONS_INIT)

/* Proves: each tr_..._init makes of a structure what its macro does, writes exactly as many bytes
   as the caller says it has, up to 64 KiB, and writes nothing if that is less than the structure
   had in 0.2, or more; a structure is all zero except for its size; an error is explained by the
   name of the argument (P4). Why it matters: languages that cannot use the macros start from these,
   and a binding may be older or newer than the library. Catches: the library's own size instead of
   the caller's; a default that is not zero; an argument that the declaration does not have. */
CASE(structures_are_initialised_by_functions) {
#define ROW(type) {"tr_" #type "_init", initialise_##type, &initial_##type, sizeof(tr_##type)}
  const struct {
    const char *name;
    tr_status (*initialise)(void *, size_t);
    const void *initial;
    size_t size;
  } rows[] = {ROW(registry_options), ROW(spawn_options), ROW(task_summary), ROW(join_report), ROW(shutdown_options),
              ROW(outcome), ROW(signal_options), ROW(straggler), ROW(ended_task), ROW(phase_report),
              ROW(thread_report), ROW(metrics),
              ROW(metrics_source), ROW(systemd_options), ROW(exit_options), ROW(ladder_options),
              ROW(run_options)};
#undef ROW
  static char bytes[65536], zeros[65536];
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    const size_t served[] = {rows[r].size, rows[r].size + 8, rows[r].size + 1, 65536};
    for (size_t i = 0; i < 4; i++) {
      memset(bytes, '#', sizeof bytes);
      struct guarded guarded = guarded_copy(bytes, served[i]);
      CHECK_MSG(rows[r].initialise(guarded.object, served[i]) == TR_OK, "%s of %zu bytes", rows[r].name, served[i]);
      uint32_t claimed;
      memcpy(&claimed, guarded.object, sizeof claimed);
      CHECK_EQ(served[i], claimed);
      CHECK_EQ(0, memcmp((char *)guarded.object + sizeof claimed, zeros, served[i] - sizeof claimed));
      if (i == 0) CHECK_EQ(0, memcmp(guarded.object, rows[r].initial, rows[r].size));
      guarded_free(guarded);
    }
    const size_t invalid[] = {0, 1, sizeof(uint32_t), rows[r].size - 1, 65537, SIZE_MAX, (size_t)INT64_MAX + 1};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
      memset(bytes, '#', sizeof bytes);
      CHECK_MSG(rows[r].initialise(bytes, invalid[i]) == TR_ERR_INVALID, "%s of %zu bytes", rows[r].name, invalid[i]);
      for (size_t at = 0; at < sizeof bytes; at++) CHECK_EQ('#', bytes[at]);
    }
    check_error_detail(rows[r].name, __FILE__, __LINE__);
    CHECK_EQ(TR_ERR_INVALID, rows[r].initialise(NULL, rows[r].size));
    check_error_detail(rows[r].name, __FILE__, __LINE__);
  }
}

/* Proves: a capacity beyond all memory neither crashes nor overflows: the live tasks are listed, or
   the call is rejected (P4, N3). Why it matters: capacity times element size wraps around. Catches:
   a multiplication before the comparison. */
CASE(absurd_snapshot_capacity_is_no_crash) {
  struct gate gate = GATE_INIT;
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "one", body_deaf, &gate);
  const size_t capacities[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / sizeof(tr_task_summary) + 2};
  for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
    tr_task_summary list[2] = {TR_TASK_SUMMARY_INIT, TR_TASK_SUMMARY_INIT};
    size_t count = 0;
    tr_status status = tr_snapshot(registry, list, capacities[i], &count);
    CHECK(status == TR_OK || status == TR_ERR_INVALID);
    if (status != TR_OK) continue;
    CHECK_EQ(1, count);
    CHECK_EQ(tr_task_id(task), list[0].id);
  }
  gate_open(&gate);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: numbers the header excludes are TR_ERR_INVALID and those it allows are not: stack
   sizes, abort grace, spin, idle times and counts, max_tasks, the reserved field (P4, S7, J4).
   Why it matters: a mistyped configuration is found at start, not in the night.  Catches:
   clamping silently; a trap on an arithmetic overflow. */
CASE(absurd_numbers_in_options_are_rejected) {
#define TRY(expected, field, value)                                                                \
  do {                                                                                             \
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;                                        \
    options.field = (value);                                                                       \
    tr_registry *registry = NULL;                                                                  \
    CHECK_EQ(expected, tr_registry_create(&options, &registry));                                   \
    CHECK((registry != NULL) == ((expected) == TR_OK));                                            \
    if (registry != NULL) registry_finish(registry);                                               \
  } while (0)
  const uint64_t tebibyte = UINT64_C(1) << 40;
  TRY(TR_OK, stack_size, 1);
  TRY(TR_OK, stack_size, tebibyte);
  TRY(TR_ERR_INVALID, stack_size, tebibyte + 1);
  TRY(TR_ERR_INVALID, stack_size, INT64_MAX);
  TRY(TR_ERR_INVALID, stack_size, (uint64_t)INT64_MAX + 1);
  TRY(TR_ERR_INVALID, stack_size, UINT64_MAX);
  TRY(TR_ERR_INVALID, stack_size, UINT64_MAX - 4094);
  TRY(TR_OK, abort_grace_ns, INT64_MAX);
  TRY(TR_OK, abort_grace_ns, TR_NO_ABORT_GRACE);
  TRY(TR_ERR_INVALID, abort_grace_ns, TR_FOREVER);
  TRY(TR_ERR_INVALID, abort_grace_ns, -3);
  TRY(TR_ERR_INVALID, abort_grace_ns, INT64_MIN);
  TRY(TR_OK, spin_ns, 0);
  TRY(TR_OK, spin_ns, TR_SPIN_NEVER);
  TRY(TR_OK, spin_ns, 1 * MS);
  TRY(TR_ERR_INVALID, spin_ns, 1 * MS + 1);
  TRY(TR_ERR_INVALID, spin_ns, INT64_MAX);
  TRY(TR_ERR_INVALID, spin_ns, TR_SPIN_NEVER - 1);
  TRY(TR_ERR_INVALID, spin_ns, INT64_MIN);
  TRY(TR_OK, idle_ns, -1);
  TRY(TR_OK, idle_ns, INT64_MIN);
  TRY(TR_OK, idle_ns, INT64_MAX);
  TRY(TR_OK, idle_threads, UINT32_MAX - 1);
  TRY(TR_OK, idle_threads, TR_IDLE_THREADS_NONE);
  TRY(TR_OK, max_tasks, 1);
  TRY(TR_OK, max_tasks, UINT64_MAX);
  TRY(TR_ERR_INVALID, reserved, 1);
#undef TRY
  tr_registry *registry = registry_new();
  const uint64_t sizes[] = {tebibyte + 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX,
                            UINT64_MAX - 4094};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
    how.stack_size = sizes[i];
    how.drop = drop_never;
    CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "big", TR_KIND_MAINTENANCE, body_never, NULL,
                                           &how, NULL));
  }
  CHECK_EQ(0, tr_len(registry));
  registry_finish(registry);
}

/* Proves: limits at the ends of their range work as they read: max_tasks of UINT64_MAX is no
   limit, idle times and counts at their ends run tasks and shut down (P4, G4).  Why it matters:
   UINT64_MAX is how people write "unlimited".  Catches: a signed comparison; max + 1. */
CASE(options_at_their_ends_still_run_tasks) {
  const int64_t idle_times[] = {INT64_MIN, -1, 0, 1, INT64_MAX};
  const uint32_t idle_counts[] = {0, 1, UINT32_MAX - 1, TR_IDLE_THREADS_NONE};
  for (size_t t = 0; t < 5; t++)
    for (size_t c = 0; c < 4; c++) {
      tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
      options.max_tasks = UINT64_MAX;
      options.abort_grace_ns = INT64_MAX;
      options.spin_ns = t % 2 ? TR_SPIN_NEVER : 1 * MS;
      options.idle_ns = idle_times[t];
      options.idle_threads = idle_counts[c];
      tr_registry *registry = NULL;
      CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
      for (int i = 0; i < 5; i++) wait_and_release(spawn(registry, "short", body_returns, NULL));
      registry_finish(registry);
    }
}

/* Proves: an error leaves every output as it was: out, count, report, outcome (P4, S4, J7). Why
   it matters: callers initialise outputs and read them after an error. Catches: clearing *out
   first. */
CASE(errors_leave_outputs_untouched) {
  tr_registry *registry = registry_new();
  tr_registry *marked_registry = registry;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = 1u << 31;
  CHECK_EQ(TR_ERR_INVALID, tr_registry_create(&options, &marked_registry));
  CHECK(marked_registry == registry);

  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  tr_task *marked_task = task;
  CHECK_EQ(TR_ERR_INVALID, tr_spawn(registry, "", TR_KIND_RPC_HANDLER, body_never, NULL,
                                    &marked_task));
  CHECK(marked_task == task);

  tr_outcome outcome = TR_OUTCOME_INIT, outcome_before;
  memset((char *)&outcome + offsetof(tr_outcome, how), 0x5a, sizeof outcome - offsetof(tr_outcome, how));
  outcome_before = outcome;
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 0, &outcome));
  CHECK_EQ(0, memcmp(&outcome, &outcome_before, sizeof outcome));

  gate_open(&gate);
  tr_task_release(task);
  registry_finish(registry);
}

/* Proves: a timeout of -1 never passes and one of INT64_MAX is very long, in every function that takes
   one (P4, J1, C4).  Why it matters: now + INT64_MAX overflows.  Catches: a trap or a deadline in
   the past on overflow; -1 taken for elapsed. */
CASE(extreme_timeouts_are_understood) {
  const int64_t long_ones[] = {TR_FOREVER, INT64_MAX, INT64_MAX - 1};
  tr_registry *registry = registry_new();
  for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; i++) {
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    tr_task *sleeper = spawn(registry, "sleeper", body_obeys, NULL);
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 0, NULL));
    struct join_call call;
    join_begin_asleep(&call, registry, long_ones[i]);
    CHECK_EQ(0, atomic_load(&call.returned));
    CHECK_EQ(TR_OK, tr_task_cancel(sleeper));
    CHECK_EQ(TR_OK, tr_task_wait(sleeper, long_ones[i], NULL));
    CHECK_EQ(0, tr_task_is_cancelled(task));
    gate_open(&gate);
    CHECK_EQ(TR_OK, tr_task_wait(task, long_ones[i], NULL));
    join_end(&call);
    CHECK_EQ(TR_OK, call.status);
    CHECK_EQ(2, call.report.ended);
    tr_task_release(task);
    tr_task_release(sleeper);
  }
  CHECK_EQ(TR_OK, tr_sleep(0));
  CHECK_EQ(TR_OK, tr_sleep(1));
  CHECK_EQ(TR_OK, tr_join_all(registry, 0, NULL));
  for (size_t i = 0; i < sizeof long_ones / sizeof *long_ones; i++)
    CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, long_ones[i], NULL));
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, 0, NULL));
  tr_registry_release(registry);
}

static int body_checks_timeouts(tr_task *self, void *context) {
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int64_t timeout = *(const int64_t *)context;
  int ends[2];
  (void)self;
  CHECK_EQ(0, pipe(ends));
  CHECK_EQ(TR_OK, tr_sleep(timeout));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_cancelled(timeout));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_wait_fd(ends[0], POLLIN, timeout));
  CHECK_EQ(0, pthread_mutex_lock(&mutex));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_cond_wait(&condition, &mutex, timeout));
  CHECK_EQ(0, pthread_mutex_unlock(&mutex));
  close(ends[0]);
  close(ends[1]);
  return 0;
}

/* Proves: a negative timeout other than -1 has passed, like 0, in every function that takes one
   (P4). Why it matters: `deadline - now` is such a number once the deadline has passed, and an
   unlimited wait is then the opposite of the intention. Catches: every negative number taken for
   TR_FOREVER, anywhere. */
CASE(a_negative_timeout_is_over) {
  const int64_t over[] = {0, -2, -1000000, INT64_MIN, INT64_MIN + 1};
  for (size_t i = 0; i < sizeof over / sizeof *over; i++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_token *token = tr_token_create();
    tr_token *timed = tr_token_child_with_timeout(token, over[i]);
    CHECK_EQ(1, tr_token_is_cancelled(timed));
    CHECK_EQ(TR_REASON_DEADLINE, tr_token_reason(timed));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait(token, over[i]));
    int64_t timeout = over[i];
    wait_and_release(spawn(registry, "checks", body_checks_timeouts, &timeout));
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, over[i], NULL));
    CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, over[i], NULL));
    CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, over[i], NULL));
    gate_open(&gate);
    tr_task_release(task);
    CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, TR_FOREVER, NULL));
    tr_registry_release(registry);
    tr_token_release(timed);
    tr_token_release(token);
  }
}

CHECK_MAIN(
    CHECK_ENTRY(null_is_an_error_in_every_pointer_argument),
    CHECK_ENTRY(null_is_answered_where_there_is_no_status),
    CHECK_ENTRY(null_is_fine_where_the_header_says_so),
    CHECK_ENTRY(every_status_has_a_sentence),
    CHECK_ENTRY(every_number_has_a_name),
    CHECK_ENTRY(unknown_kinds_are_rejected),
    CHECK_ENTRY(unknown_flags_are_rejected),
    CHECK_ENTRY(registry_options_size_is_checked),
    CHECK_ENTRY(registry_options_tail_must_be_zero),
    CHECK_ENTRY(spawn_options_size_and_tail_are_checked),
    CHECK_ENTRY(largest_size_is_served),
    CHECK_ENTRY(join_report_size_is_checked_first),
    CHECK_ENTRY(larger_join_report_is_filled_and_its_tail_zeroed),
    CHECK_ENTRY(straggler_array_is_checked_first),
    CHECK_ENTRY(outcome_size_is_checked),
    CHECK_ENTRY(snapshot_element_size_is_checked_and_kept),
    CHECK_ENTRY(structures_are_initialised_by_functions),
    CHECK_ENTRY(absurd_snapshot_capacity_is_no_crash),
    CHECK_ENTRY(absurd_numbers_in_options_are_rejected),
    CHECK_ENTRY(options_at_their_ends_still_run_tasks),
    CHECK_ENTRY(errors_leave_outputs_untouched),
    CHECK_ENTRY(extreme_timeouts_are_understood),
    CHECK_ENTRY(a_negative_timeout_is_over))
