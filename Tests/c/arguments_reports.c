/* arguments_reports.c - what arguments.c shows of the rest, for reports, metrics, notes and systemd: NULL in every
   pointer argument, sizes too small and too large, absurd numbers. Rules P4, E1, E5, E7, E8, E10, E11, E12. */

#include "guarded.h"

#include <limits.h>

/* The bytes each structure had in release 0.2, its first. Never changed. */
enum {
  FIRST_JOIN_REPORT = 152,
  FIRST_TASK_SUMMARY = 496,
  FIRST_SHUTDOWN_OPTIONS = 144,
  FIRST_STRAGGLER = 760,
  FIRST_ENDED_TASK = 240,
  FIRST_PHASE_REPORT = 64,
  FIRST_THREAD_REPORT = 272,
  FIRST_METRICS = 144,
  FIRST_SYSTEMD_OPTIONS = 32,
  FIRST_EXIT_OPTIONS = 32
};

/* A registry with metrics, in which one task has ended after it was asked to stop, and one ignores
   its flag, and the report of a shutdown that abandoned it. */
static struct {
  tr_registry *registry;
  tr_report *full;
  tr_task *deaf;
  struct gate gate, started;
} scene;

static void scene_open(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = TR_REGISTRY_METRICS | TR_REGISTRY_REPORT_THREADS;
  memset(&scene, 0, sizeof scene);
  scene.gate = (struct gate)GATE_INIT;
  scene.started = (struct gate)GATE_INIT;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &scene.registry));
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  how.heartbeat_ns = 1; /* it has missed it before the check */
  CHECK_EQ(TR_OK, tr_spawn_with(scene.registry, "deaf", TR_KIND_MAINTENANCE, body_deaf, &scene.gate, &how, &scene.deaf));
  tr_task *obeys = spawn(scene.registry, "obeys", body_obeys, &scene.started);
  gate_await(&scene.gate, 1);
  gate_await(&scene.started, 1);
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.full = &scene.full;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(scene.registry, TR_REASON_FATAL, "m", 200 * MS, &report));
  wait_and_release(obeys);
}

static void scene_close(void) {
  gate_open(&scene.gate);
  wait_and_release(scene.deaf);
  tr_report_release(scene.full);
  registry_finish(scene.registry);
}

/* Proves: NULL in every pointer argument of the functions on reports, metrics, notes and systemd is
   TR_ERR_INVALID, or what the header says it means, and outputs stay as they were (P4, E1, E8,
   E11). Why it matters: a report that was not made is NULL in the code that writes it. Catches: an
   output that is written before the other arguments are checked. */
CASE(null_is_an_error_in_every_argument_of_reports) {
  scene_open();
  tr_registry *registry = scene.registry;
  tr_report *full = scene.full, *marked = scene.full;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  tr_straggler straggler = TR_STRAGGLER_INIT;
  tr_ended_task ended = TR_ENDED_TASK_INIT;
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  tr_thread_report thread = TR_THREAD_REPORT_INIT;
  tr_metrics metrics = TR_METRICS_INIT;
  tr_task_summary summary = TR_TASK_SUMMARY_INIT;
  size_t count = 77;
  CHECK_EQ(TR_ERR_INVALID, tr_shutdown_with(NULL, TR_REASON_FATAL, "m", 0, NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_explain(NULL, &marked));
  CHECK_EQ(TR_ERR_INVALID, tr_explain(registry, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_explain(NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_report_counts(NULL, &counts));
  CHECK_EQ(TR_ERR_INVALID, tr_report_counts(full, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_report_straggler(NULL, 0, &straggler));
  CHECK_EQ(TR_ERR_INVALID, tr_report_straggler(full, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_report_slowest(NULL, 0, &ended));
  CHECK_EQ(TR_ERR_INVALID, tr_report_slowest(full, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_report_phase(NULL, 0, &phase));
  CHECK_EQ(TR_ERR_INVALID, tr_report_phase(full, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_report_thread(NULL, 0, &thread));
  CHECK_EQ(TR_ERR_INVALID, tr_report_thread(full, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_report_write(NULL, 1, TR_FORMAT_TEXT));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot_write(NULL, 1, TR_FORMAT_TEXT));
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_write(NULL, 1, TR_FORMAT_OPENMETRICS));
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(NULL, 0, &metrics));
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(registry, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_recent(NULL, &ended, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_recent(registry, &ended, 1, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_recent(registry, NULL, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_recent(registry, NULL, SIZE_MAX, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_health(NULL, &summary, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_health(NULL, NULL, 0, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_health(registry, NULL, 1, &count));
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));
  CHECK_EQ(TR_ERR_INVALID, tr_checkpoint(NULL)); /* outside a task */
  CHECK_EQ(TR_ERR_INVALID, tr_label(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_progress(1, 2, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat());
  CHECK(marked == scene.full && count == 77 && straggler.id == 0 && ended.id == 0 && phase.asked == 0 &&
        thread.thread_id == 0);
  tr_report_release(NULL);
  CHECK_EQ(TR_ERR_STALLED, tr_health(registry, NULL, 0, NULL)); /* here NULL has a meaning */
  CHECK_EQ(TR_OK, tr_recent(registry, NULL, 0, &count));
  CHECK_EQ(1, count);
  scene_close();
}

/* Proves: numbers that name nothing are TR_ERR_INVALID: places in a report beyond its end, kinds, formats,
   descriptors below 0, signals, negative times; a descriptor that is not open for writing is TR_ERR_SYSTEM
   with errno (P4, E8, E9, E10, E11, E12).  Why it matters: SIZE_MAX is what a failed search returns.
   Catches: a signed comparison of an index; a number of a kind that indexes a table. */
CASE(absurd_numbers_are_rejected_by_reports) {
  scene_open();
  tr_straggler straggler = TR_STRAGGLER_INIT;
  tr_ended_task ended = TR_ENDED_TASK_INIT;
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  tr_thread_report thread = TR_THREAD_REPORT_INIT;
  const size_t places[] = {1, 16, TR_REPORT_MOST, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    CHECK_EQ(TR_ERR_INVALID, tr_report_straggler(scene.full, places[i], &straggler));
    CHECK_EQ(TR_ERR_INVALID, tr_report_slowest(scene.full, places[i], &ended));
    CHECK_EQ(TR_ERR_INVALID, tr_report_phase(scene.full, places[i], &phase));
    if (places[i] > 16) CHECK_EQ(TR_ERR_INVALID, tr_report_thread(scene.full, places[i], &thread));
  }
  CHECK(straggler.id == 0 && ended.id == 0 && phase.asked == 0 && thread.thread_id == 0);
  tr_metrics metrics = TR_METRICS_INIT;
  const tr_kind kinds[] = {5, 0xff, TR_KIND_APPLICATION + 1, UINT32_MAX};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    CHECK_EQ(TR_ERR_INVALID, tr_metrics_read(scene.registry, kinds[i], &metrics));
  CHECK_EQ(0, metrics.spawned);
  const uint32_t formats[] = {0, TR_FORMAT_OPENMETRICS + 1, UINT32_MAX};
  int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), source = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
    CHECK_EQ(TR_ERR_INVALID, tr_report_write(scene.full, nowhere, formats[i]));
    CHECK_EQ(TR_ERR_INVALID, tr_snapshot_write(scene.registry, nowhere, formats[i]));
    CHECK_EQ(TR_ERR_INVALID, tr_metrics_write(scene.registry, nowhere, formats[i]));
  }
  CHECK_EQ(TR_ERR_INVALID, tr_report_write(scene.full, nowhere, TR_FORMAT_OPENMETRICS));
  CHECK_EQ(TR_ERR_INVALID, tr_snapshot_write(scene.registry, nowhere, TR_FORMAT_OPENMETRICS));
  CHECK_EQ(TR_ERR_INVALID, tr_metrics_write(scene.registry, nowhere, TR_FORMAT_TEXT));
  const int descriptors[] = {-1, INT_MIN};
  for (size_t i = 0; i < 2; i++) {
    CHECK_EQ(TR_ERR_INVALID, tr_report_write(scene.full, descriptors[i], TR_FORMAT_TEXT));
    CHECK_EQ(TR_ERR_INVALID, tr_snapshot_write(scene.registry, descriptors[i], TR_FORMAT_JSON));
    CHECK_EQ(TR_ERR_INVALID, tr_metrics_write(scene.registry, descriptors[i], TR_FORMAT_OPENMETRICS));
  }
  for (int i = 0; i < 2; i++) {
    int fd = i == 0 ? source : INT_MAX;
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_report_write(scene.full, fd, TR_FORMAT_JSON));
    CHECK_EQ(EBADF, errno);
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_snapshot_write(scene.registry, fd, TR_FORMAT_TEXT));
    CHECK_EQ(EBADF, errno);
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_metrics_write(scene.registry, fd, TR_FORMAT_OPENMETRICS));
    CHECK_EQ(EBADF, errno);
  }
  close(nowhere);
  close(source);
  const int signals[] = {0, -1, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, 65, INT_MAX, INT_MIN};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    CHECK_EQ(TR_ERR_INVALID, tr_enable_backtraces(signals[i]));
  tr_systemd_options systemd = TR_SYSTEMD_OPTIONS_INIT;
  systemd.socket = "@taskreg-nobody";
  systemd.flags = 1;
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(scene.registry, &systemd));
  systemd.flags = 0;
  systemd.status_ns = -1;
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(scene.registry, &systemd));
  tr_spawn_options how = TR_SPAWN_OPTIONS_INIT;
  const int64_t negative[] = {-1, INT64_MIN};
  for (size_t i = 0; i < 2; i++) {
    how.heartbeat_ns = negative[i];
    CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(scene.registry, "n", TR_KIND_MAINTENANCE, body_never, NULL, &how, NULL));
  }
  scene_close();
}

/* ---- Structures that are filled --------------------------------------------------------------- */

static tr_status fill_counts(void *place) { return tr_report_counts(scene.full, place); }
static tr_status fill_straggler(void *place) { return tr_report_straggler(scene.full, 0, place); }
static tr_status fill_slowest(void *place) { return tr_report_slowest(scene.full, 0, place); }
static tr_status fill_phase(void *place) { return tr_report_phase(scene.full, 0, place); }
static tr_status fill_thread(void *place) { return tr_report_thread(scene.full, 0, place); }
static tr_status fill_metrics(void *place) { return tr_metrics_read(scene.registry, 0, place); }

/* A structure, the function that fills it, and the eight bytes expected at an offset. */
struct filling {
  const char *name;
  tr_status (*fill)(void *);
  size_t first, size, offset;
  uint64_t expected; /* 0: the id of the task that ignores its flag */
};

static const struct filling fillings[] = {
    {"tr_join_report", fill_counts, FIRST_JOIN_REPORT, sizeof(tr_join_report), offsetof(tr_join_report, pending), 1},
    {"tr_straggler", fill_straggler, FIRST_STRAGGLER, sizeof(tr_straggler), offsetof(tr_straggler, id), 0},
    {"tr_ended_task", fill_slowest, FIRST_ENDED_TASK, sizeof(tr_ended_task), offsetof(tr_ended_task, ran_ns), UINT64_MAX},
    {"tr_phase_report", fill_phase, FIRST_PHASE_REPORT, sizeof(tr_phase_report), offsetof(tr_phase_report, asked), 2},
    /* The task that has ended is none of the report's, so the first thread is the main one. */
    {"tr_thread_report", fill_thread, FIRST_THREAD_REPORT, sizeof(tr_thread_report), offsetof(tr_thread_report, cpu_ns), UINT64_MAX},
    {"tr_metrics", fill_metrics, FIRST_METRICS, sizeof(tr_metrics), offsetof(tr_metrics, spawned), 2},
};

/* Proves: each structure that is filled may have any size from its first one to 64 KiB: it is
   filled no further than it claims, its size stays the caller's, and members that this library does
   not know become zero; every smaller size and absurd ones are TR_ERR_INVALID, with nothing written
   (P4, E1, E8, E10). Why it matters: they will grow, as the others have. Catches: a size that is
   not checked in one of them; the first size of another structure. */
CASE(structures_of_reports_are_filled_as_far_as_they_go) {
  scene_open();
  static char bytes[sizeof(tr_straggler) + 128];
  for (size_t f = 0; f < sizeof fillings / sizeof *fillings; f++) {
    const struct filling *filling = &fillings[f];
    for (size_t i = 0; i < filling->first + ABSURD_SIZES; i++) {
      uint32_t size = i < filling->first ? (uint32_t)i : absurd_sizes[i - filling->first];
      size_t length = i < filling->first ? i : filling->size;
      memset(bytes, '#', sizeof bytes);
      memcpy(bytes, &size, sizeof size);
      struct guarded guarded = guarded_copy(bytes, length < sizeof size ? sizeof size : length);
      CHECK_MSG(filling->fill(guarded.object) == TR_ERR_INVALID, "%s of %u bytes", filling->name, size);
      CHECK_EQ(0, memcmp(bytes, guarded.object, length));
      guarded_free(guarded);
    }
    for (size_t size = filling->first; size <= filling->size + 128; size += 8) {
      memset(bytes, '#', sizeof bytes);
      if (filling->fill == fill_counts) { /* it has inputs, which are not checked */
        tr_join_report counts = TR_JOIN_REPORT_INIT;
        memcpy(bytes, &counts, sizeof counts);
      }
      struct guarded guarded = sized_copy(bytes, size);
      CHECK_MSG(filling->fill(guarded.object) == TR_OK, "%s of %zu bytes", filling->name, size);
      uint32_t claimed;
      uint64_t found;
      memcpy(&claimed, guarded.object, sizeof claimed);
      memcpy(&found, (char *)guarded.object + filling->offset, sizeof found);
      CHECK_EQ(size, claimed);
      if (filling->expected == UINT64_MAX) CHECK((int64_t)found > 0);
      else CHECK_EQ(filling->expected == 0 ? tr_task_id(scene.deaf) : filling->expected, found);
      for (size_t at = filling->size; at < size; at++) CHECK_EQ(0, ((char *)guarded.object)[at]);
      guarded_free(guarded);
    }
  }
  scene_close();
}

/* ---- Options ----------------------------------------------------------------------------------- */

static tr_status use_shutdown(void *options) {
  return tr_shutdown_with(scene.registry, TR_REASON_NONE, NULL, 0, options, NULL);
}
static tr_status use_systemd(void *options) { return tr_systemd_start(scene.registry, options); }
static tr_status use_exit(void *options) { return tr_exit_by(3600 * SECOND, options); }

/* Proves: options of a shutdown, of systemd and of an end that are smaller than their first size, absurdly
   large, or not zero behind the known members, are TR_ERR_INVALID; larger ones with zeros are
   accepted (P4, E5, E11). Why it matters: an option of a later library must not be ignored.
   Catches: a tail that is not checked. */
CASE(options_of_shutdowns_are_read_as_far_as_they_go) {
  const struct {
    tr_status (*use)(void *);
    size_t first, size;
    tr_status right;
  } uses[] = {{use_shutdown, FIRST_SHUTDOWN_OPTIONS, sizeof(tr_shutdown_options), TR_ERR_DEADLINE},
              {use_systemd, FIRST_SYSTEMD_OPTIONS, sizeof(tr_systemd_options), TR_OK},
              {use_exit, FIRST_EXIT_OPTIONS, sizeof(tr_exit_options), TR_OK}};
  unsetenv("NOTIFY_SOCKET"); /* nothing is done then */
  scene_open();
  char bytes[256];
  for (size_t u = 0; u < sizeof uses / sizeof *uses; u++) {
    memset(bytes, 0, sizeof bytes);
    for (size_t size = 0; size < uses[u].first; size++) {
      struct guarded guarded = guarded_copy(bytes, size < 4 ? 4 : size);
      *(uint32_t *)guarded.object = (uint32_t)size;
      CHECK_EQ(TR_ERR_INVALID, uses[u].use(guarded.object));
      guarded_free(guarded);
    }
    for (size_t i = 0; i < ABSURD_SIZES; i++) {
      struct guarded guarded = guarded_copy(bytes, uses[u].size);
      *(uint32_t *)guarded.object = absurd_sizes[i];
      CHECK_EQ(TR_ERR_INVALID, uses[u].use(guarded.object));
      guarded_free(guarded);
    }
    for (size_t size = uses[u].first; size <= uses[u].size + 40; size += 8) {
      struct guarded guarded = sized_copy(bytes, size);
      CHECK_EQ(uses[u].right, uses[u].use(guarded.object));
      for (size_t at = uses[u].size; at < size; at++) {
        ((char *)guarded.object)[at] = 1;
        CHECK_EQ(TR_ERR_INVALID, uses[u].use(guarded.object));
        ((char *)guarded.object)[at] = 0;
      }
      guarded_free(guarded);
    }
  }
  CHECK_EQ(TR_OK, tr_exit_by_cancel());
  scene_close();
}

/* ---- Arrays ------------------------------------------------------------------------------------ */

static tr_status list_recent(void *array, size_t capacity, size_t *count) {
  return tr_recent(scene.registry, array, capacity, count);
}
static tr_status list_stalled(void *array, size_t capacity, size_t *count) {
  return tr_health(scene.registry, array, capacity, count);
}

/* Proves: the elements of the arrays of tr_recent and tr_health may have any size that is a
   multiple of eight from their first one on, and are filled at the caller's stride, with zeros
   behind; others are TR_ERR_INVALID, with nothing written; a capacity beyond all memory does not
   crash (P4, E7, E8). Why it matters: as with tr_snapshot. Catches: striding by the library's own
   size; a size that alignment forbids. */
CASE(elements_of_lists_have_the_size_of_the_callers) {
  const struct {
    tr_status (*list)(void *, size_t, size_t *);
    size_t first, size, id;
    tr_status right;
  } lists[] = {{list_recent, FIRST_ENDED_TASK, sizeof(tr_ended_task), offsetof(tr_ended_task, id), TR_OK},
               {list_stalled, FIRST_TASK_SUMMARY, sizeof(tr_task_summary), offsetof(tr_task_summary, id),
                TR_ERR_STALLED}};
  scene_open();
  static char bytes[2 * (sizeof(tr_task_summary) + 64)];
  for (size_t l = 0; l < 2; l++) {
    for (size_t i = 0; i < lists[l].first + ABSURD_SIZES; i++) {
      uint32_t size = i < lists[l].first ? (uint32_t)i : absurd_sizes[i - lists[l].first];
      size_t length = i < lists[l].first ? i : lists[l].size, count = 77;
      memset(bytes, '#', sizeof bytes);
      memcpy(bytes, &size, sizeof size);
      struct guarded guarded = guarded_copy(bytes, length < sizeof size ? sizeof size : length);
      CHECK_EQ(TR_ERR_INVALID, lists[l].list(guarded.object, 1, &count));
      CHECK_EQ(0, memcmp(bytes, guarded.object, length));
      CHECK_EQ(77, count);
      guarded_free(guarded);
    }
    for (size_t stride = lists[l].first; stride <= lists[l].size + 64; stride++) {
      uint32_t size = (uint32_t)stride;
      memset(bytes, '#', sizeof bytes);
      memcpy(bytes, &size, sizeof size);
      struct guarded guarded = guarded_copy(bytes, 2 * stride);
      size_t count = 77;
      CHECK_EQ(stride % 8 == 0 ? lists[l].right : TR_ERR_INVALID, lists[l].list(guarded.object, 2, &count));
      if (stride % 8 == 0) {
        uint64_t id;
        memcpy(&id, (char *)guarded.object + lists[l].id, sizeof id);
        CHECK_EQ(1, count);
        CHECK(l == 0 ? id == tr_task_id(scene.deaf) + 1 : id == tr_task_id(scene.deaf));
        for (size_t at = lists[l].size; at < stride; at++) CHECK_EQ(0, ((char *)guarded.object)[at]);
        for (size_t at = stride; at < 2 * stride; at++) CHECK_EQ('#', ((char *)guarded.object)[at]);
      }
      guarded_free(guarded);
    }
    const size_t capacities[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / lists[l].size + 2};
    for (size_t i = 0; i < 3; i++) {
      uint32_t size = (uint32_t)lists[l].size;
      size_t count = 77;
      memcpy(bytes, &size, sizeof size);
      tr_status status = lists[l].list(bytes, capacities[i], &count);
      CHECK(status == lists[l].right || (status == TR_ERR_INVALID && count == 77));
    }
  }
  scene_close();
}

CHECK_MAIN(
    CHECK_ENTRY(null_is_an_error_in_every_argument_of_reports),
    CHECK_ENTRY(absurd_numbers_are_rejected_by_reports),
    CHECK_ENTRY(structures_of_reports_are_filled_as_far_as_they_go),
    CHECK_ENTRY(options_of_shutdowns_are_read_as_far_as_they_go),
    CHECK_ENTRY(elements_of_lists_have_the_size_of_the_callers))
