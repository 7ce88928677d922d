/* checks-reports.c - full reports, and what is written, compared with the books (E1, E5, E9, E10). */

#define _GNU_SOURCE

#include "actors.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- Reports --------------------------------------------------------------------------------- */

static void check_straggler(const tr_straggler *straggler, int registry, int mayHaveBacktraces) {
  int found = 0;
  for (int i = 0; i < task_count; i++) {
    const struct task *task = &tasks[i];
    if (!task->live || task->id != straggler->id || !is_within(task->registry, registry)) continue;
    found++;
    MUST_EQ(task->kind, straggler->kind);
    MUST_EQ(0, strcmp(task->name, straggler->name));
    MUST_EQ(task->phase, straggler->phase);
    MUST_EQ(task->overdue ? TR_STATE_ABANDONED : task->flagged ? TR_STATE_CANCELLING : TR_STATE_RUNNING,
            straggler->state);
    MUST(straggler->thread_id > 0 && straggler->age_ns > 0);
    MUST(straggler->diagnosis != TR_DIAGNOSIS_STARTING && straggler->diagnosis != TR_DIAGNOSIS_ENDED);
    MUST(task->flagged || (straggler->cancel_checks == 0 && straggler->cancel_requested_for_ns == -1));
    MUST(straggler->cancel_checks >= (uint32_t)task->checks);
    MUST_EQ(0, straggler->stalled);
    MUST_EQ(0, straggler->reads_flag_directly);
    MUST_EQ(straggler->frame_count > 0, straggler->backtrace == TR_BACKTRACE_TAKEN);
    MUST_EQ(!has_backtraces || !mayHaveBacktraces, straggler->backtrace == TR_BACKTRACE_NOT_ENABLED);
    MUST_EQ(task->hasProgress, straggler->progress_age_ns >= 0);
    check_label(task, straggler->label);
    check_notes(task, straggler->checkpoint, straggler->progress_done, straggler->progress_total,
                straggler->progress_unit);
    check_group(straggler->group, task->registry);
  }
  MUST_EQ(1, found);
}

/* Everybody alive, and nobody twice. */
static void check_stragglers(const tr_report *full, int registry, int mayHaveBacktraces) {
  uint64_t ids[TASKS];
  tr_straggler straggler = TR_STRAGGLER_INIT;
  size_t count = (size_t)registries[registry].live;
  for (size_t i = 0; i < count; i++) {
    MUST_EQ(TR_OK, tr_report_straggler(full, i, &straggler));
    check_straggler(&straggler, registry, mayHaveBacktraces);
    ids[i] = straggler.id;
    for (size_t j = 0; j < i; j++) MUST(ids[j] != ids[i]);
  }
  MUST_EQ(TR_ERR_INVALID, tr_report_straggler(full, count, &straggler));
}

/* The slowest come first, and each of them was asked to stop, and has. */
static void check_slowest(const tr_report *full, int registry) {
  int64_t before = INT64_MAX;
  tr_ended_task slow = TR_ENDED_TASK_INIT;
  size_t count = 0;
  for (; tr_report_slowest(full, count, &slow) == TR_OK; count++) {
    int found = 0;
    for (int i = 0; i < task_count; i++)
      if (tasks[i].id == slow.id && tasks[i].ending != 0 && tasks[i].flagged && is_within(tasks[i].registry, registry)) {
        found++;
        MUST_EQ(tasks[i].how, slow.how);
        MUST_EQ(0, tasks[i].overdue);
        check_group(slow.group, tasks[i].registry);
      }
    MUST_EQ(1, found);
    MUST(slow.stop_ns >= 0 && slow.stop_ns <= before);
    before = slow.stop_ns;
  }
  MUST(count <= 16);
}

/* A report that was made without a wait. */
void check_look(const tr_report *full, int registry, int mayHaveBacktraces) {
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  MUST_EQ(TR_OK, tr_report_counts(full, &counts));
  MUST_EQ(registries[registry].live, counts.pending);
  MUST_EQ(registries[registry].live, counts.abandoned);
  MUST_EQ(registries[registry].live, counts.stragglers_count);
  MUST(counts.ended == 0 && counts.aborted == 0 && counts.rejected == 0 && counts.extended_ns == 0);
  check_stragglers(full, registry, mayHaveBacktraces);
  tr_ended_task slow = TR_ENDED_TASK_INIT;
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  MUST_EQ(TR_ERR_INVALID, tr_report_slowest(full, 0, &slow));
  MUST_EQ(TR_ERR_INVALID, tr_report_phase(full, 0, &phase));
}

/* What share of `left` phase `number` gets, with those after it that have tasks. */
static int64_t share_of(const tr_shutdown_options *options, int registry, uint32_t number, int64_t left) {
  int areEqual = 1, isLast = 1;
  for (uint32_t i = 0; options != NULL && i < TR_PHASES; i++) areEqual &= options->phase_share[i] == 0;
  int64_t own = areEqual ? 1 : options->phase_share[number], sum = own;
  for (uint32_t i = number + 1; i < TR_PHASES; i++) {
    if (live_in_phase(registry, i) == 0) continue;
    isLast = 0;
    sum += areEqual ? 1 : options->phase_share[i];
  }
  return isLast || sum == 0 ? left : (int64_t)((long double)left * own / sum);
}

/* The phases that had tasks to ask, or that had ended before, in order, each with its share of the time (E5). */
void check_phases(const struct order *order) {
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  size_t index = 0;
  int64_t before = 0;
  for (uint32_t i = 0; order->call == SHUTDOWN && i < TR_PHASES; i++) {
    uint64_t live = live_in_phase(order->object, i);
    uint64_t ended = 0;
    /* Of those that ended after the token had been cancelled and before the call, some may be of this phase. */
    if (i == 0 && order->report.ended_before > 0 && tr_report_phase(order->full, 0, &phase) == TR_OK && phase.phase == 0)
      ended = phase.ended_before;
    if (live + ended == 0) continue;
    MUST_EQ(TR_OK, tr_report_phase(order->full, index++, &phase));
    MUST_EQ(i, phase.phase);
    MUST_EQ(ended, phase.ended_before);
    MUST(ended <= order->report.ended_before);
    MUST_EQ(live, phase.asked);
    MUST_EQ(live, phase.remaining);
    MUST(phase.start_ns >= before && phase.duration_ns >= 0);
    before = phase.start_ns + phase.duration_ns;
    if (live == 0) continue;
    if (order->report.extended_ns != 0) continue; /* there was more time than was known at its start */
    int64_t left = order->timeout > phase.start_ns ? order->timeout - phase.start_ns : 0;
    int64_t share = share_of(order->shutdown, order->object, i, left);
    MUST(phase.share_ns >= share - 1 && phase.share_ns <= share + 1);
    MUST(phase.duration_ns >= phase.share_ns);
  }
  MUST_EQ(TR_ERR_INVALID, tr_report_phase(order->full, index, &phase));
}

/* What else a join or a shutdown that did not fail has made. */
void check_join_report(const struct order *order) {
  MUST_EQ(order->wantsFull, order->full != NULL);
  if (order->full == NULL) return;
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  MUST_EQ(TR_OK, tr_report_counts(order->full, &counts));
  const tr_join_report *report = &order->report;
  MUST(counts.ended == report->ended && counts.failed == report->failed && counts.exited == report->exited);
  MUST(counts.pending == report->pending && counts.aborted == report->aborted);
  MUST(counts.abandoned == report->abandoned && counts.rejected == report->rejected);
  MUST(counts.elapsed_ns == report->elapsed_ns && counts.extended_ns == report->extended_ns);
  MUST_EQ(report->callbacks_ns, counts.callbacks_ns);
  MUST_EQ(report->threads_left, counts.threads_left);
  MUST_EQ(report->pending, counts.stragglers_count);
  tr_straggler straggler = TR_STRAGGLER_INIT;
  if (report->pending > 0) check_stragglers(order->full, order->object, 1);
  else MUST_EQ(TR_ERR_INVALID, tr_report_straggler(order->full, 0, &straggler));
  check_slowest(order->full, order->object);
  if (report->pending > 0 || order->call == JOIN) check_phases(order);
  check_written_report(order->full, (size_t)report->pending, (int)report->pending % 2);
  tr_report_release(order->full);
}

/* ---- What is written ------------------------------------------------------------------------- */

static char written[1 << 18];

/* A file to write to; its text is in `written` afterwards. */
static int file = -1;

static void begin_writing(void) {
  if (file < 0) file = memfd_create("written", MFD_CLOEXEC);
  MUST(file >= 0 && ftruncate(file, 0) == 0 && lseek(file, 0, SEEK_SET) == 0);
}

static void read_written(void) {
  ssize_t length = pread(file, written, sizeof written - 1, 0);
  MUST(length > 0 && (size_t)length < sizeof written - 1);
  written[length] = 0;
  MUST_EQ('\n', written[length - 1]);
  MUST_EQ(length, strlen(written));
}

/* The same text in a buffer, which may be too small for it: `call` writes to `buffered`, `room` and `&length`. What
   is in `written` was of the same moment, unless it has ages in it. */
static char buffered[sizeof written];

static void check_buffered(tr_status status, size_t room, size_t length, int isSame) {
  size_t kept = strnlen(buffered, sizeof buffered);
  MUST_EQ(room > length ? TR_OK : TR_ERR_TRUNCATED, status);
  MUST(room == 0 || (kept < room && kept + 4 >= (room > length ? length : room)));
  if (!isSame) return;
  MUST_EQ(strlen(written), length);
  MUST(room == 0 || strncmp(written, buffered, kept) == 0);
}

static size_t occurrences(const char *text) {
  size_t count = 0;
  for (const char *at = written; (at = strstr(at, text)) != NULL; at += strlen(text)) count++;
  return count;
}

/* Those alive are in the text, each by its number. */
static void check_ids(int registry, int isJSON) {
  char text[32];
  for (int i = 0; i < task_count; i++) {
    if (!tasks[i].live || !is_within(tasks[i].registry, registry)) continue;
    snprintf(text, sizeof text, isJSON ? "{\"id\":%llu," : "\n%8llu ", (unsigned long long)tasks[i].id);
    MUST_EQ(1, occurrences(text));
  }
}

void check_written_report(const tr_report *full, size_t stragglers, int how) {
  begin_writing();
  if (how == 2) {
    MUST_EQ(TR_ERR_INVALID, tr_report_write(full, file, TR_FORMAT_OPENMETRICS));
    MUST_EQ(0, lseek(file, 0, SEEK_CUR));
    return;
  }
  MUST_EQ(TR_OK, tr_report_write(full, file, how == 0 ? TR_FORMAT_TEXT : TR_FORMAT_JSON));
  read_written();
  if (how == 1) MUST_EQ(stragglers, occurrences("\"diagnosis\":"));
  size_t room = stragglers % 3 == 0 ? 100 * stragglers : sizeof buffered, length = 0;
  tr_status status = tr_report_write_buffer(full, how == 0 ? TR_FORMAT_TEXT : TR_FORMAT_JSON, buffered, room, &length);
  check_buffered(status, room, length, 1);
}

/* One text of all registries: every family once, every registry under the name that it was given here. */
static void check_exposition(void) {
  tr_metrics_source sources[16];
  char names[16][16];
  size_t count = 0;
  for (int i = 0; i < registry_count && count < 16; i++) {
    if (!registry_usable(i)) continue;
    snprintf(names[count], sizeof names[count], "r%d", i);
    sources[count] = (tr_metrics_source)TR_METRICS_SOURCE_INIT;
    sources[count].registry = registries[i].it;
    sources[count].name = names[count];
    count++;
  }
  begin_writing();
  MUST_EQ(TR_OK, tr_metrics_write_all(sources, count, file, TR_FORMAT_OPENMETRICS, TR_METRICS_NO_EOF));
  read_written();
  size_t length = 0;
  MUST_EQ(TR_OK, tr_metrics_write_all_buffer(sources, count, TR_FORMAT_OPENMETRICS, TR_METRICS_NO_EOF, buffered,
                                             sizeof buffered, &length));
  check_buffered(TR_OK, sizeof buffered, length, 1);
  MUST_EQ(0, occurrences("# EOF"));
  MUST_EQ(1, occurrences("# TYPE taskreg_tasks_live gauge\n"));
  for (size_t i = 0; i < count; i++) {
    char text[512];
    snprintf(text, sizeof text, "\ntaskreg_tasks_rejected_total{registry=\"%s\"", names[i]);
    MUST(occurrences(text) > 0);
  }
}

/* What no text of all is made of. */
static void reject_exposition(tr_registry *registry) {
  const tr_metrics_source good = {(uint32_t)sizeof good, 0, registry, "one"};
  tr_metrics_source sources[2] = {good, good};
  const uint32_t format = TR_FORMAT_OPENMETRICS;
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 2, file, format, 0)); /* the same name twice */
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 1, file, TR_FORMAT_JSON, 0));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 1, file, format, ~TR_METRICS_NO_EOF));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 1, -1, format, 0));
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 1025, file, format, 0));
  sources[1].name = "\xff";
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 2, file, format, 0));
  sources[1].name = "";
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 2, file, format, 0));
  sources[1] = (tr_metrics_source){(uint32_t)sizeof good, 0, NULL, "two"};
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 2, file, format, 0));
  sources[0].size = 4;
  MUST_EQ(TR_ERR_INVALID, tr_metrics_write_all(sources, 1, file, format, 0));
}

void check_written(int number, int what) {
  tr_registry *registry = registries[number].it;
  size_t room = what % 7 == 0 ? (size_t)what : sizeof buffered, length = 0;
  tr_status status;
  begin_writing();
  switch (what % 6) {
    case 0:
      MUST_EQ(TR_OK, tr_snapshot_write(registry, file, TR_FORMAT_TEXT));
      read_written();
      check_ids(number, 0);
      status = tr_snapshot_write_buffer(registry, TR_FORMAT_TEXT, buffered, room, &length);
      check_buffered(status, room, length, 0);
      break;
    case 1:
    case 2:
      MUST_EQ(TR_OK, tr_snapshot_write(registry, file, TR_FORMAT_JSON));
      read_written();
      check_ids(number, 1);
      MUST_EQ(registries[number].live, occurrences("{\"id\":"));
      break;
    case 3:
      MUST_EQ(TR_OK, tr_metrics_write(registry, file, TR_FORMAT_OPENMETRICS));
      read_written();
      MUST_EQ(1, occurrences("# EOF\n"));
      MUST_EQ(0, strcmp("# EOF\n", written + strlen(written) - 6));
      status = tr_metrics_write_buffer(registry, TR_FORMAT_OPENMETRICS, buffered, room, &length);
      check_buffered(status, room, length, 1);
      check_exposition();
      break;
    case 4:
      MUST_EQ(TR_ERR_INVALID, tr_snapshot_write(registry, file, 0));
      MUST_EQ(TR_ERR_INVALID, tr_snapshot_write(registry, -1, TR_FORMAT_TEXT));
      MUST_EQ(TR_ERR_INVALID, tr_metrics_write(registry, file, TR_FORMAT_JSON));
      reject_exposition(registry);
      MUST_EQ(0, lseek(file, 0, SEEK_CUR));
      break;
    default: /* nobody may write there */
      errno = 0;
      MUST_EQ(TR_ERR_SYSTEM, tr_snapshot_write(registry, quiet_pipe[0], TR_FORMAT_TEXT));
      MUST_EQ(EBADF, errno);
      MUST_EQ(TR_ERR_SYSTEM, tr_metrics_write(registry, quiet_pipe[0], TR_FORMAT_OPENMETRICS));
  }
}
