/* write-report.c MODE FOLDER [COUNT] - writes reports and snapshots into FOLDER, as text and as JSON, and says on
   standard output what they must say, for report.py: lines of words, text in hexadecimal and "-" for none.

   MODE is "hostile", tasks with names, groups and checkpoints of every kind, some of which stop, some of which
   wait and some of which compute; "quiet", reports with next to nothing in them; "crowd", COUNT tasks that do not
   stop, and what writing of them takes. */

#define CHECK_WATCHDOG_SECONDS 300
#include "../c/support.h"

#include <inttypes.h>

/* A name of every character that is not to be seen, or means something to who reads it. */
static const char *const names[] = {
    "plain",
    "\"quoted\" and 'quoted'",
    "back\\slash \\u0041 \\n \\x41 \\",
    "two\nstraggler lines: blocked",
    "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10",
    "\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f",
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "C1: \xc2\x80\xc2\x85\xc2\x9b\xc2\x9f, none: \xc2\xa0",
    "two bytes: \xc2\xa1\xc3\xa9\xdf\xbf",
    "three: \xe0\xa0\x80\xe2\x82\xac\xe2\x80\xa8\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbd\xef\xbf\xbf",
    "four: \xf0\x90\x80\x80\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf",
    "</script><!-- & -->{\"a\":[1,null]}",
    "%s%n%d $(reboot) `x` ;",
    " leading and trailing blanks ",
    "/slash/es\t",
    "exactly 63 bytes ..............................................",
    "cut in a character of two ....................................\xc3\xa9tail",
    "cut in a character of four ..................................\xf0\x9f\x98\x80tail",
    "far too long: 0123456789012345678901234567890123456789012345678901234567890123456789",
};

/* What is reported, cut and not UTF-8 among it; a report shows 255 bytes. */
static const char *const texts[] = {
    NULL,
    "",
    "reading \"\\\n\t\x7f",
    "\xff\xfe",
    "half \xe2\x82",
    "overlong \xc0\xaf, surrogate \xed\xa0\x80, beyond \xf4\x90\x80\x80.",
    "alone \x80\xbf and \xc3(",
    "\xf0\x9f\x98\x80 then \xf0\x9f\x98",
    "C1 \xc2\x9b and \x9b",
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
    "012345678901234567890123456789012345678901234567890123\xe2\x82\xac, and what is cut",
};

static const char *folder;

static int create_file(const char *name) {
  char path[320];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  CHECK_MSG(fd >= 0, "%s cannot be made", path);
  return fd;
}

/* Writes the report to `name`.json and .txt; returns what both took. */
static int64_t write_report(const tr_report *report, const char *name) {
  char file[64];
  int64_t took = 0;
  for (uint32_t format = TR_FORMAT_TEXT; format <= TR_FORMAT_JSON; format++) {
    snprintf(file, sizeof file, "%s.%s", name, format == TR_FORMAT_TEXT ? "txt" : "json");
    int fd = create_file(file);
    int64_t start = now_ns();
    CHECK_EQ(TR_OK, tr_report_write(report, fd, format));
    int64_t one = now_ns() - start;
    took += one;
    printf("figure %s_ns %" PRId64 "\n", file, one);
    close(fd);
  }
  return took;
}

static void write_snapshot(tr_registry *registry, const char *name) {
  char file[64];
  for (uint32_t format = TR_FORMAT_TEXT; format <= TR_FORMAT_JSON; format++) {
    snprintf(file, sizeof file, "%s.%s", name, format == TR_FORMAT_TEXT ? "txt" : "json");
    int fd = create_file(file);
    CHECK_EQ(TR_OK, tr_snapshot_write(registry, fd, format));
    close(fd);
  }
}

/* One word for text. */
static void expect_text(const char *text) {
  putchar(' ');
  if (text == NULL) putchar('-');
  else if (text[0] == 0) putchar('.');
  else
    for (; *text != 0; text++) printf("%02x", (unsigned char)*text);
}

static void expect_counts(const char *name, const tr_report *report) {
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_report_counts(report, &counts));
  printf("counts %s ended %" PRIu64 " failed %" PRIu64 " exited %" PRIu64
         " ended_before %" PRIu64 " failed_before %" PRIu64 " exited_before %" PRIu64 " pending %" PRIu64 " aborted %" PRIu64
         " abandoned %" PRIu64 " rejected %" PRIu64 " threads_left %" PRIu32 " unjoined %" PRIu64 " elapsed_ns %" PRId64
         " extended_ns %" PRId64 " callbacks_ns %" PRId64 " stragglers %" PRIu64 "\n",
         name, counts.ended, counts.failed, counts.exited, counts.ended_before, counts.failed_before,
         counts.exited_before, counts.pending, counts.aborted, counts.abandoned,
         counts.rejected, counts.threads_left, counts.unjoined, counts.elapsed_ns, counts.extended_ns,
         counts.callbacks_ns, counts.stragglers_count);
}

/* ---- Tasks of every kind ---------------------------------------------------------------------- */

static struct gate gate = GATE_INIT;
static atomic_int stop;

struct task {
  const char *checkpoint;
  const char *unit;
  uint64_t done, total;
  tr_task_fn rest;
  const char *label;
};

/* Reports what it is to report, and goes on as it is to go on. */
static int body_reports(tr_task *self, void *ctx) {
  struct task *task = ctx;
  if (task->checkpoint != NULL) TR_IGNORE(tr_checkpoint(task->checkpoint));
  if (task->label != NULL) TR_IGNORE(tr_label(task->label));
  if (task->done > 0) TR_IGNORE(tr_progress(task->done, task->total, task->unit));
  return task->rest(self, &gate);
}

static int rest_spins(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  while (!atomic_load(&stop)) {}
  return 0;
}

static int rest_progresses(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  for (uint64_t done = 1; !atomic_load(&stop); done++) {
    TR_IGNORE(tr_progress(done, 2 * done, "steps"));
    breathe();
  }
  return 0;
}

static int rest_checks(tr_task *self, void *ctx) {
  gate_arrive(ctx);
  TR_IGNORE(tr_sleep(FOREVER));
  tr_task_is_cancelled(self);
  gate_pass(ctx);
  return 0;
}

static int rest_reads_flag(tr_task *self, void *ctx) {
  CHECK_EQ(0, __atomic_load_n(tr_task_cancel_flag(self), __ATOMIC_ACQUIRE));
  gate_pass(ctx);
  return 0;
}

static int rest_fails(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  TR_IGNORE(tr_sleep(FOREVER));
  return -7;
}

static int rest_exits(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  TR_IGNORE(tr_sleep(FOREVER));
  pthread_exit(NULL);
}

static int count_of_tasks;

/* Spawns one, and says so: task WHAT ID NAME GROUP KIND PHASE CHECKPOINT DONE TOTAL UNIT LABEL. */
static void spawn_expected(tr_registry *registry, const char *group, const char *name, tr_kind kind,
                       const tr_spawn_options *options, const struct task *given, const char *what) {
  struct task *task = malloc(sizeof *task);
  CHECK(task != NULL);
  *task = *given;
  tr_task *handle = NULL;
  tr_spawn_options own = *options;
  own.drop = free;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, name, kind, body_reports, task, &own, &handle));
  char kept[64];
  CHECK(tr_task_name(handle, kept, sizeof kept) > 0);
  printf("task %s %" PRIu64, what, tr_task_id(handle));
  expect_text(kept);
  expect_text(group);
  printf(" %" PRIu32 " %" PRIu32, kind, options->phase);
  expect_text(given->checkpoint);
  printf(" %" PRIu64 " %" PRIu64, given->done, given->total);
  expect_text(given->unit);
  expect_text(given->label);
  printf("\n");
  tr_task_release(handle);
  count_of_tasks++;
}

static void write_hostile(void) {
  CHECK_EQ(TR_OK, tr_kind_set_name(TR_KIND_APPLICATION, "\"up\\\n\x1b\xc2\x9b\xe2\x82\xac"));
  CHECK_EQ(TR_OK, tr_enable_backtraces(SIGRTMIN + 2));
  tr_registry *registries[3];
  const char *groups[3] = {"", "net \"\\\n\xc2\x9b", "net \"\\\n\xc2\x9b/\xe2\x82\xac\x7f"};
  tr_registry_options with_threads = TR_REGISTRY_OPTIONS_INIT;
  with_threads.flags = TR_REGISTRY_REPORT_THREADS;
  CHECK_EQ(TR_OK, tr_registry_create(&with_threads, &registries[0]));
  CHECK_EQ(TR_OK, tr_registry_child(registries[0], groups[1], NULL, &registries[1]));
  CHECK_EQ(TR_OK, tr_registry_child(registries[1], "\xe2\x82\xac\x7f", NULL, &registries[2]));
  const tr_kind kinds[] = {TR_KIND_BACKGROUND_LOOP, TR_KIND_PEER_CONNECTION, TR_KIND_RPC_HANDLER,
                           TR_KIND_MAINTENANCE, TR_KIND_APPLICATION, UINT32_MAX};
  size_t name_count = sizeof names / sizeof *names, text_count = sizeof texts / sizeof *texts;
  for (size_t i = 0; i < name_count * text_count; i += 3) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.phase = i % 4 == 0 ? (uint32_t)(i % 8) : 0;
    struct task task = {texts[i % text_count], texts[(i + 3) % text_count], i % 5, i % 2 == 0 ? UINT64_MAX - i : 0,
                        body_deaf, texts[(i + 1) % text_count]};
    if (task.done == 0) task.total = 0, task.unit = NULL;
    if (task.done == 4) task.done = UINT64_MAX;
    size_t of = i % 3 == 0 ? i / 3 % 3 : 0;
    spawn_expected(registries[of], groups[of], names[i % name_count], kinds[i % 6], &options, &task, "deaf");
  }
  const tr_spawn_options plain = TR_SPAWN_OPTIONS_INIT;
  tr_spawn_options interval = TR_SPAWN_OPTIONS_INIT;
  interval.heartbeat_ns = 1;
  struct task rests = {NULL, NULL, 0, 0, rest_spins, NULL};
  spawn_expected(registries[0], "", "spins", TR_KIND_BACKGROUND_LOOP, &plain, &rests, "spins");
  rests.rest = rest_progresses;
  spawn_expected(registries[0], "", "progresses", TR_KIND_BACKGROUND_LOOP, &plain, &rests, "progresses");
  rests.rest = rest_checks;
  spawn_expected(registries[0], "", "checks", TR_KIND_BACKGROUND_LOOP, &plain, &rests, "checks");
  rests.rest = rest_reads_flag;
  spawn_expected(registries[0], "", "reads its flag", TR_KIND_BACKGROUND_LOOP, &plain, &rests, "reads");
  rests.rest = body_deaf;
  spawn_expected(registries[0], "", "stalls", TR_KIND_BACKGROUND_LOOP, &interval, &rests, "stalls");
  rests.rest = body_obeys;
  for (int i = 0; i < 17; i++)
    spawn_expected(registries[i % 3], groups[i % 3], names[i], kinds[i % 6], &plain, &rests, "obeys");
  rests.rest = rest_fails;
  spawn_expected(registries[0], "", "fails", TR_KIND_MAINTENANCE, &plain, &rests, "fails");
  rests.rest = rest_exits;
  spawn_expected(registries[0], "", "exits", TR_KIND_MAINTENANCE, &plain, &rests, "exits");
  gate_await(&gate, count_of_tasks);

  write_snapshot(registries[0], "snapshot");
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(registries[0], &report));
  write_report(report, "explain");
  expect_counts("explain", report);
  tr_report_release(report);

  tr_join_report counts = TR_JOIN_REPORT_INIT;
  counts.full = &report;
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registries[0], TR_REASON_FATAL, "\"disk\\ full\"\n\x1b\xc2\x9b\xe2\x82\xac",
                                        SECOND, &counts));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registries[0], "late", TR_KIND_MAINTENANCE, body_never, NULL, NULL));
  write_report(report, "shutdown");
  expect_counts("shutdown", report);
  tr_report_release(report);
  write_snapshot(registries[0], "after");
  atomic_store(&stop, 1);
  gate_open(&gate);
  CHECK_EQ(TR_OK, shutdown_fully(registries[0], TR_REASON_NONE, NULL, FOREVER, NULL));
  for (int i = 2; i >= 0; i--) tr_registry_release(registries[i]);
}

static void write_quiet(void) {
  tr_registry *registry = registry_new();
  write_snapshot(registry, "empty");
  tr_report *report = NULL;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  counts.full = &report;
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, &counts));
  write_report(report, "join");
  expect_counts("join", report);
  tr_report_release(report);
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, &counts));
  write_report(report, "late");
  expect_counts("late", report);
  tr_report_release(report);
  gate_open(&gate);
  wait_and_release(task);
  CHECK_EQ(TR_OK, shutdown_fully(registry, 4711, NULL, FOREVER, &counts));
  write_report(report, "done");
  expect_counts("done", report);
  tr_report_release(report);
  tr_registry_release(registry);
}

/* ---- Ten thousand stragglers --------------------------------------------------------------------- */

static void write_crowd(int wanted) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.stack_size = 64 * 1024;
  options.idle_threads = TR_IDLE_THREADS_NONE;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  int count = 0;
  for (; count < wanted; count++) {
    char name[64];
    snprintf(name, sizeof name, "peer %d \"\\\n\xe2\x82\xac", count);
    tr_status status = tr_spawn(registry, name, TR_KIND_PEER_CONNECTION, body_deaf, &gate, NULL);
    if (status == TR_ERR_AGAIN) break;
    CHECK_EQ(TR_OK, status);
  }
  gate_await(&gate, count);
  printf("figure crowd %d\n", count);
  fflush(stdout);
  long before = resident_bytes();
  tr_report *report = NULL;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  counts.full = &report;
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_USER_REQUESTED, "crowd", 0, &counts));
  int64_t made = now_ns() - start;
  int64_t written = write_report(report, "crowd");
  printf("figure grown_bytes %ld\n", resident_bytes() - before);
  printf("figure made_ns %" PRId64 "\n", made);
  printf("figure scale %" PRId64 "\n", check_scale());
  expect_counts("crowd", report);
  /* Generous, as machines are busy: 0.3 s and 0.1 s are what it takes. */
  CHECK(made < 10 * SECOND * check_scale());
  CHECK(written < 10 * SECOND * check_scale());
  tr_report_release(report);
  write_snapshot(registry, "crowd-snapshot");
  gate_open(&gate);
  registry_finish(registry);
}

int main(int argc, char **argv) {
  CHECK_MSG(argc >= 3, "usage: write-report MODE FOLDER [COUNT]");
  folder = argv[2];
  check_watch();
  if (strcmp(argv[1], "crowd") == 0) {
    write_crowd(argc > 3 ? atoi(argv[3]) : 10000);
  } else if (strcmp(argv[1], "hostile") == 0) {
    write_hostile();
  } else {
    CHECK(strcmp(argv[1], "quiet") == 0);
    write_quiet();
  }
  return 0;
}
