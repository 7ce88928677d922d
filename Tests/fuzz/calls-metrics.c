/* calls-metrics.c - counters by kind, and the last tasks that ended (E8). */

#include "calls.h"

#include <string.h>

static void check_durations(int64_t p50, int64_t p90, int64_t p99, int64_t most, int isThere) {
  if (!isThere) {
    MUST(p50 == -1 && p90 == -1 && p99 == -1 && most == -1);
    return;
  }
  MUST(p50 >= 0 && p50 <= p90 && p90 <= p99);
  MUST(most >= 0);
}

void call_metrics(int b, int c) {
  static const tr_kind kinds[] = {0, 0, TR_KIND_BACKGROUND_LOOP, TR_KIND_PEER_CONNECTION,
                                  TR_KIND_MAINTENANCE, TR_KIND_APPLICATION, 5, TR_KIND_APPLICATION + 1};
  int number = some_registry(b);
  if (number < 0) return;
  const struct registry *registry = &registries[number];
  tr_kind kind = kinds[c % 8];
  tr_metrics metrics = TR_METRICS_INIT;
  metrics.spawned = 77;
  int isRight = kind == 0 || (registry->isMeasured && c % 8 < 6);
  MUST_EQ(isRight ? TR_OK : TR_ERR_INVALID, tr_metrics_read(registry->it, kind, &metrics));
  if (!isRight) {
    MUST_EQ(77, metrics.spawned);
    return;
  }
  const struct kind_counts *counts = kind == 0 ? &registry->all : &registry->kinds[slot_of(kind)];
  MUST_EQ(counts->spawned, metrics.spawned);
  MUST_EQ(counts->ended, metrics.ended);
  MUST_EQ(counts->failed, metrics.failed);
  MUST_EQ(counts->exited, metrics.exited);
  MUST_EQ(counts->rejected, metrics.rejected);
  MUST_EQ(counts->live, metrics.live);
  MUST_EQ(registry->isMeasured ? counts->peak : 0, metrics.peak);
  check_durations(metrics.run_p50_ns, metrics.run_p90_ns, metrics.run_p99_ns, metrics.run_max_ns,
                  registry->isMeasured && counts->ended > 0);
  check_durations(metrics.stop_p50_ns, metrics.stop_p90_ns, metrics.stop_p99_ns, metrics.stop_max_ns,
                  registry->isMeasured && counts->stopped > 0);
}

/* The task of a registry that was the last to end but `index`. */
static const struct task *ended_task(int registry, size_t index) {
  const struct task *last = NULL;
  int before = ending_count + 1;
  for (size_t i = 0; i <= index; i++) {
    last = NULL;
    for (int j = 0; j < task_count; j++)
      if (tasks[j].ending != 0 && tasks[j].ending < before && is_within(tasks[j].registry, registry) &&
          (last == NULL || tasks[j].ending > last->ending))
        last = &tasks[j];
    MUST(last != NULL);
    before = last->ending;
  }
  return last;
}

void call_recent(int b, int c) {
  int number = some_registry(b);
  if (number < 0) return;
  const struct registry *registry = &registries[number];
  tr_ended_task list[TASKS] = {TR_ENDED_TASK_INIT};
  size_t room = c % 3 == 0 ? (size_t)c % 4 : TASKS, count = 77;
  tr_status status = tr_recent(registry->it, room == 0 ? NULL : list, room, &count);
  if (!registry->isMeasured) {
    MUST_EQ(TR_ERR_INVALID, status);
    MUST_EQ(77, count);
    return;
  }
  MUST_EQ(registry->all.ended, count);
  MUST_EQ(room != 0 && room < count ? TR_ERR_TRUNCATED : TR_OK, status);
  for (size_t i = 0; i < count && i < room; i++) {
    const struct task *task = ended_task(number, i);
    MUST_EQ(task->id, list[i].id);
    MUST_EQ(task->kind, list[i].kind);
    MUST_EQ(task->how, list[i].how);
    MUST_EQ(task->code, list[i].code);
    MUST_EQ(0, strcmp(task->name, list[i].name));
    MUST_EQ(task->flagged, list[i].stop_ns >= 0);
    MUST(list[i].spawned_at_ns > 0 && list[i].ran_ns >= 0 && list[i].stop_ns <= list[i].ran_ns);
    check_group(list[i].group, task->registry);
  }
}

void call_write(int b, int c) {
  int number = some_registry(b);
  if (number >= 0) check_written(number, c);
}
