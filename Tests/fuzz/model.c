/* model.c - what becomes of the books; see model.h. */

#include "model.h"

#include <string.h>

struct token tokens[TOKENS];
struct registry registries[REGISTRIES];
struct task tasks[TASKS];
struct registration registrations[REGISTRATIONS];
int token_count, registry_count, task_count, registration_count;
int ending_count;
int watched = -1, notified = -1;
int interval_of[HOSTS] = {-1, -1, -1};
int has_backtraces;

int registry_lives(int number) {
  const struct registry *registry = &registries[number];
  if (registry->refs + registry->reserve > 0 || watched == number || notified == number) return 1;
  for (int i = 0; i < registry_count; i++)
    if (registries[i].parent == number && registry_lives(i)) return 1;
  for (int i = 0; i < task_count; i++)
    if (tasks[i].registry == number && (tasks[i].live || tasks[i].refs + tasks[i].reserve > 0)) return 1;
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].it != NULL && registrations[i].isTask &&
        tasks[registrations[i].owner].registry == number)
      return 1;
  return 0;
}

int token_lives(int number) {
  if (tokens[number].refs + tokens[number].reserve > 0) return 1;
  for (int i = 0; i < token_count; i++)
    if (tokens[i].parent == number && token_lives(i)) return 1;
  for (int i = 0; i < registry_count; i++)
    if (registries[i].token == number && registry_lives(i)) return 1;
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].it != NULL && !registrations[i].isTask && registrations[i].owner == number) return 1;
  return 0;
}

int registry_usable(int number) { return registries[number].refs + registries[number].reserve > 0; }

int task_lives(int number) {
  if (tasks[number].live || tasks[number].refs + tasks[number].reserve > 0) return 1;
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].it != NULL && registrations[i].isTask && registrations[i].owner == number) return 1;
  return 0;
}

int some_token(int byte) {
  for (int i = 0; i < token_count; i++)
    if (token_lives((byte + i) % token_count)) return (byte + i) % token_count;
  return -1;
}

int some_registry(int byte) {
  for (int i = 0; i < registry_count; i++)
    if (registry_usable((byte + i) % registry_count)) return (byte + i) % registry_count;
  return -1;
}

int some_task(int byte) {
  for (int i = 0; i < task_count; i++)
    if (task_lives((byte + i) % task_count)) return (byte + i) % task_count;
  return -1;
}

int is_within(int number, int other) {
  while (number >= 0 && number != other) number = registries[number].parent;
  return number >= 0;
}

static void expect_callbacks(int isTask, int owner) {
  for (int i = 0; i < registration_count; i++) {
    struct registration *registration = &registrations[i];
    if (registration->it != NULL && registration->isTask == isTask && registration->owner == owner)
      registration->expected = 1;
  }
}

void model_flag(int number) {
  if (!tasks[number].live || tasks[number].flagged) return;
  tasks[number].flagged = 1;
  tasks[number].level = TR_STOP_DRAIN;
  expect_callbacks(1, number);
}

void model_abort(int number) {
  model_flag(number);
  if (tasks[number].live) tasks[number].level = TR_STOP_ABORT;
}

/* A token is aborted: the phases that were asked so far, and everything below (C15). */
void model_abort_token(int number, tr_reason reason, size_t length) {
  model_cancel(number, reason, length);
  tokens[number].level = TR_STOP_ABORT;
  for (int i = 0; i < task_count; i++) {
    int registry = tasks[i].registry, wasAsked = tasks[i].phase == 0;
    if (registries[registry].token != number || tasks[i].cleanup) continue;
    for (int j = 0; j < registry_count; j++) wasAsked |= registries[j].asked && is_within(registry, j);
    if (wasAsked) model_abort(i);
  }
  for (int i = 0; i < token_count; i++)
    if (tokens[i].parent == number) model_abort_token(i, reason, length);
}

void model_cancel(int number, tr_reason reason, size_t length) {
  struct token *token = &tokens[number];
  if (token->cancelled) return;
  token->cancelled = 1;
  token->level = TR_STOP_DRAIN;
  token->reason = reason;
  token->length = length;
  expect_callbacks(0, number);
  for (int i = 0; i < registry_count; i++) {
    if (registries[i].token != number) continue;
    registries[i].closed = 1;
    for (int j = 0; j < task_count; j++)
      if (tasks[j].registry == i && !tasks[j].cleanup && tasks[j].phase == 0) model_flag(j);
  }
  for (int i = 0; i < token_count; i++)
    if (tokens[i].parent == number) model_cancel(i, reason, length);
}

void model_event(int registry, uint32_t event) {
  registries[registries[registry].log].events[event]++;
}

/* A shutdown asked the phases that the token does not (E5). */
void model_ask_phases(int number) {
  registries[number].asked = 1;
  for (int i = 0; i < task_count; i++)
    if (is_within(tasks[i].registry, number) && tasks[i].phase != 0 && !tasks[i].cleanup) model_flag(i);
}

/* The deadline of a join passed with tasks alive (J4). */
void model_deadline(int number) {
  for (int i = 0; i < registry_count; i++)
    if (is_within(i, number) && registries[i].closed) registries[i].overdue = 1;
  model_event(number, TR_EVENT_DEADLINE_EXCEEDED);
  for (int i = 0; i < task_count; i++)
    if (tasks[i].live && is_within(tasks[i].registry, number)) {
      tasks[i].overdue = 1;
      model_abort(i);
    }
}

int is_essential(const struct task *task) {
  if (task->how == TR_ENDED_RETURNED) return (task->essential & TR_SPAWN_ESSENTIAL) != 0;
  return task->essential != 0;
}

uint64_t live_in_phase(int registry, uint32_t phase) {
  uint64_t count = 0;
  for (int i = 0; i < task_count; i++)
    count += tasks[i].live && tasks[i].phase == phase && is_within(tasks[i].registry, registry);
  return count;
}

int slot_of(tr_kind kind) { return kind >= TR_KIND_APPLICATION ? SLOTS - 1 : (int)kind - 1; }

static void count_spawn(struct kind_counts *counts) {
  counts->spawned++;
  if (++counts->live > counts->peak) counts->peak = counts->live;
}

static void count_end(struct kind_counts *counts, const struct task *task) {
  counts->live--;
  counts->ended++;
  counts->failed += task->how == TR_ENDED_FAILED;
  counts->exited += task->how == TR_ENDED_EXITED;
  counts->stopped += (uint64_t)task->flagged;
}

/* A task lives, in its registry and all above it (T2). */
void model_spawn(int number) {
  struct task *task = &tasks[number];
  task->live = 1;
  for (int i = task->registry; i >= 0; i = registries[i].parent) {
    registries[i].live++;
    count_spawn(&registries[i].all);
    count_spawn(&registries[i].kinds[slot_of(task->kind)]);
  }
}

/* A spawn was rejected, in `registry` and all above it (T2). */
void model_rejection(int registry, tr_kind kind) {
  /* the log of a registry that is closed and has no task left hears of nothing more (O2) */
  if (!registries[registry].closed || registries[registry].live > 0)
    model_event(registry, TR_EVENT_SPAWN_REJECTED);
  for (int i = registry; i >= 0; i = registries[i].parent) {
    registries[i].counts.rejected++;
    registries[i].all.rejected++;
    registries[i].kinds[slot_of(kind)].rejected++;
  }
}

/* A task has ended, as the task says, in its registry and all above it (T2, C12). */
void model_end(int number) {
  struct task *task = &tasks[number];
  task->live = 0;
  task->ending = ++ending_count;
  for (int i = task->registry; i >= 0; i = registries[i].parent) {
    registries[i].live--;
    registries[i].counts.ended++;
    registries[i].counts.failed += task->how == TR_ENDED_FAILED;
    registries[i].counts.exited += task->how == TR_ENDED_EXITED;
    count_end(&registries[i].all, task);
    count_end(&registries[i].kinds[slot_of(task->kind)], task);
  }
  if (task->how != TR_ENDED_RETURNED)
    model_event(task->registry, task->how == TR_ENDED_EXITED ? TR_EVENT_TASK_EXITED : TR_EVENT_TASK_FAILED);
  /* whoever finds a deadline passed for it has waited until the abort grace was over as well (E6) */
  if (task->overdue) model_event(task->registry, TR_EVENT_TASK_LATE);
  if (is_essential(task))
    model_cancel(registries[task->registry].token,
                 task->how == TR_ENDED_RETURNED ? TR_REASON_REQUESTED_BY_RUN : TR_REASON_FATAL,
                 strlen(task->name));
}
