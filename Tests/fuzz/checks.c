/* checks.c - what can be looked at, compared with the books. */

#include "actors.h"

#include <poll.h>
#include <string.h>

int is_readable(int fd) {
  struct pollfd poll_for = {fd, POLLIN, 0};
  MUST(poll(&poll_for, 1, 0) >= 0);
  return (poll_for.revents & POLLIN) != 0;
}

void check_token(int number, int how) {
  struct token *token = &tokens[number];
  MUST_EQ(token->cancelled, tr_token_is_cancelled(token->it));
  MUST_EQ(token->cancelled ? token->reason : 0, tr_token_reason(token->it));
  MUST_EQ(!token->cancelled || token->reason != TR_REASON_FATAL,
          tr_reason_is_graceful(tr_token_reason(token->it)));
  char text[8];
  MUST_EQ(token->cancelled ? token->length : 0, tr_token_message(token->it, text, sizeof text));
  if (how % 4 == 0) {
    int fd = -1;
    MUST_EQ(TR_OK, tr_token_fd(token->it, &fd));
    MUST(token->fd == 0 || token->fd == fd);
    token->fd = fd;
  }
  if (token->fd != 0) MUST_EQ(token->cancelled, is_readable(token->fd));
}

void check_task(int number, int how) {
  struct task *task = &tasks[number];
  char text[64];
  MUST_EQ(task->id, tr_task_id(task->it));
  MUST_EQ(task->kind, tr_task_kind(task->it));
  MUST_EQ(task->phase, tr_task_phase(task->it));
  MUST(tr_task_data(task->it) == task->data);
  MUST_EQ(strlen(task->name), tr_task_name(task->it, text, sizeof text));
  MUST_EQ(0, strcmp(task->name, text));
  MUST_EQ(task->flagged, tr_task_is_cancelled(task->it));
  MUST_EQ(task->level, tr_task_stop_level(task->it));
  MUST_EQ(task->level, __atomic_load_n(tr_task_cancel_flag(task->it), __ATOMIC_ACQUIRE));
  if (how % 4 == 0) {
    int fd = -1;
    MUST_EQ(TR_OK, tr_task_fd(task->it, &fd));
    MUST(task->fd == 0 || task->fd == fd);
    task->fd = fd;
  }
  if (task->fd != 0) MUST_EQ(task->flagged, is_readable(task->fd));
}

/* The names of a group and of those above it, as much as is kept of them (T3). */
void check_group(const char *group, int registry) {
  const char *path = registries[registry].path;
  size_t length = strlen(path);
  if (length > 127)
    for (length = 127; ((unsigned char)path[length] & 0xc0) == 0x80;) length--;
  MUST_EQ(length, strlen(group));
  MUST_EQ(0, memcmp(path, group, length));
}

/* What the task told of itself last (E3). */
static int are_same(const char *one, const char *other) {
  return one == NULL || other == NULL ? one == other : strncmp(one, other, 255) == 0; /* what is shown */
}

void check_notes(const struct task *task, const char *checkpoint, uint64_t done, uint64_t total, const char *unit) {
  MUST(are_same(task->checkpoint, checkpoint) && are_same(task->unit, unit));
  MUST_EQ(task->done, done);
  MUST_EQ(task->total, total);
}

/* What it works for: 127 bytes, up to the end of a character (E14). */
void check_label(const struct task *task, const char *label) {
  const char *whole = task->label == NULL ? "" : task->label;
  size_t length = strlen(whole);
  if (length > 127)
    for (length = 127; ((unsigned char)whole[length] & 0xc0) == 0x80;) length--;
  MUST_EQ(length, strlen(label));
  MUST_EQ(0, memcmp(whole, label, length));
}

static void check_listed(const tr_task_summary *entry, int registry, uint32_t state_of_overdue) {
  int found = 0;
  for (int i = 0; i < task_count; i++) {
    const struct task *task = &tasks[i];
    if (!task->live || task->id != entry->id || !is_within(task->registry, registry)) continue;
    found++;
    MUST_EQ(task->kind, entry->kind);
    MUST_EQ(0, strcmp(task->name, entry->name));
    MUST_EQ(task->flagged, entry->cancel_requested);
    MUST_EQ(task->level, entry->stop_level);
    MUST_EQ(task->draining, entry->draining_for_ns >= 0);
    MUST_EQ(task->cleanup ? TR_SPAWN_CLEANUP : 0, entry->flags);
    MUST_EQ(task->overdue ? state_of_overdue : task->flagged ? TR_STATE_CANCELLING : TR_STATE_RUNNING,
            entry->state);
    MUST(entry->thread_id > 0 && (entry->cancel_requested_at_ns != 0) == task->flagged);
    check_group(entry->group, task->registry);
    MUST_EQ(task->phase, entry->phase);
    MUST_EQ(0, entry->stalled);
    check_label(task, entry->label);
    check_notes(task, entry->checkpoint, entry->progress_done, entry->progress_total, entry->progress_unit);
    MUST_EQ(task->hasProgress, entry->progress_at_ns != 0);
  }
  MUST_EQ(1, found);
}

void check_list(const tr_task_summary *list, size_t count, int registry) {
  for (size_t i = 0; i < count; i++) {
    check_listed(&list[i], registry, TR_STATE_ABANDONED);
    for (size_t j = 0; j < i; j++) MUST(list[i].id != list[j].id);
  }
}

void check_registry(int number, int how) {
  struct registry *registry = &registries[number];
  MUST_EQ(registry->live, tr_len(registry->it));
  MUST_EQ(registry->live == 0, tr_is_empty(registry->it));
  MUST(tr_registry_token(registry->it) == tokens[registry->token].it);
  tr_task_summary list[TASKS];
  size_t room = how % 3 == 0 ? (size_t)how % 4 : TASKS, count = 77;
  list[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
  tr_status status = tr_snapshot(registry->it, room == 0 ? NULL : list, room, &count);
  MUST_EQ(room != 0 && room < registry->live ? TR_ERR_TRUNCATED : TR_OK, status);
  MUST_EQ(registry->live, count);
  check_list(list, room < count ? room : count, number);
}

int had_circle;

void check_counts(void) {
  had_circle |= has_circle();
  for (int i = 0; i < registration_count; i++)
    if (registrations[i].isUsed) {
      MUST_EQ(registrations[i].expected, atomic_load(&registrations[i].called));
      MUST_EQ(registrations[i].expected || registrations[i].it == NULL,
              atomic_load(&registrations[i].dropped));
    }
  for (int i = 0; i < registry_count; i++)
    for (int event = 1; event < EVENTS; event++) {
      /* How often a circle is found depends on which reports there were; that there is one does not. */
      if (event == TR_EVENT_DEADLOCK && had_circle) continue;
      MUST_EQ(registries[i].events[event], atomic_load(&registries[i].logged[event]));
    }
  for (int i = 0; i < task_count; i++) MUST_EQ(!tasks[i].live, atomic_load(&tasks[i].drops));
}
