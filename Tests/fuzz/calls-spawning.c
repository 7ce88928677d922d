/* calls-spawning.c - how tasks begin and end. */

#define _GNU_SOURCE

#include "calls.h"

#include <string.h>
#include <unistd.h>

#define UNKNOWN_FLAG (1u << 31)

/* What a spawn has to return. */
static int spawn_status(int actor, const struct order *order, int invalid) {
  if (invalid) return TR_ERR_INVALID;
  for (int i = order->object; i >= 0; i = registries[i].parent) {
    int isOwn = task_of(actor) != NULL && is_within(task_of(actor)->registry, i);
    int passes = (order->options.flags & TR_SPAWN_CLEANUP) && isOwn;
    if (registries[i].closed && !passes) return TR_ERR_CLOSED;
    if (registries[i].limit != 0 && registries[i].live >= registries[i].limit) return TR_ERR_LIMIT;
  }
  return TR_OK;
}

/* Gives `actor` the spawn of a task to make. Returns whether it is invalid. */
static int prepare_spawn(int actor, int number, int registry, int b, int c, struct wish wish) {
  struct order *order = order_for(actor, SPAWN, registry);
  static const tr_kind kinds[] = {TR_KIND_BACKGROUND_LOOP, TR_KIND_MAINTENANCE, TR_KIND_APPLICATION, 0x77};
  order->text = names[b % 8].given;
  order->kind = kinds[c % 16 == 15 ? 3 : c % 3];
  order->options = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  order->options.drop = on_drop;
  order->options.flags = wish.flags | (c & 16 ? TR_SPAWN_CLEANUP : 0) | (c & 32 ? TR_SPAWN_FRESH_THREAD : 0) |
                         ((c & 192) == 192 && b & 128 ? UNKNOWN_FLAG : 0);
  if (wish.isPlain) order->options.flags = 0;
  order->isPlain = tasks[number].isPlain = wish.isPlain;
  order->options.phase = wish.phase;
  order->options.heartbeat_ns = wish.heartbeat;
  order->wantsHandle = !(c & 64);
  order->how = number;
  order->task = NULL;
  tasks[number].number = number;
  atomic_store(&tasks[number].bodies, 0);
  atomic_store(&tasks[number].drops, 0);
  actors[HOSTS + number].state = IDLE;
  return names[b % 8].kept == NULL || order->kind == 0x77 || (order->options.flags & UNKNOWN_FLAG) != 0 ||
         wish.phase >= TR_PHASES || wish.heartbeat < 0;
}

/* A spawn was accepted: waits for the body, and writes the task down. */
static void note_spawn(const struct order *order, int name) {
  struct task *task = &tasks[order->how];
  const struct registry *registry = &registries[order->object];
  while (atomic_load(&task->bodies) == 0) usleep(20);
  task->registry = order->object;
  task->refs = order->wantsHandle;
  task->reserve = task->overdue = task->fd = task->messageLength = 0;
  task->data = NULL;
  task->hasProgress = task->checks = task->ending = 0;
  task->interval = order->options.heartbeat_ns > 0 ? HAS_INTERVAL : NO_INTERVAL;
  task->phase = order->options.phase;
  task->checkpoint = task->unit = task->label = NULL;
  task->done = task->total = 0;
  task->cleanup = (order->options.flags & TR_SPAWN_CLEANUP) != 0;
  task->essential = order->options.flags & (TR_SPAWN_ESSENTIAL | TR_SPAWN_ESSENTIAL_ON_FAILURE);
  /* one of a later phase outlasts the token, too, and while the registry is open nobody was asked (E5) */
  task->level = registry->overdue                      ? TR_STOP_ABORT
                : task->cleanup || task->phase != 0 ? TR_STOP_NONE
                                                    : tokens[registry->token].level;
  task->flagged = task->level != TR_STOP_NONE;
  task->draining = 0;
  task->kind = order->kind;
  task->name = names[name % 8].kept;
  task->how = 0;
  task->code = 0;
  task->id = tr_task_id(task->it);
  MUST(!order->wantsHandle || order->task == task->it);
  for (int i = 0; i < TASKS; i++) MUST(i == order->how || i >= task_count || tasks[i].id != task->id);
  model_spawn(order->how);
}

void call_spawn(int a, int b, int c, struct wish wish) {
  int actor = some_actor(a, 0), registry = some_registry(a >> 4);
  if (actor < 0 || registry < 0 || task_count == TASKS) return;
  int invalid = prepare_spawn(actor, task_count, registry, b, c, wish);
  struct order *order = &actors[actor].order;
  int expected = spawn_status(actor, order, invalid);
  ask(actor);
  MUST_EQ(expected, order->status);
  if (expected == TR_OK) {
    task_count++;
    note_spawn(order, b);
  } else {
    MUST(order->task == NULL);
    if (expected != TR_ERR_INVALID) model_rejection(registry, order->kind);
  }
}

/* Three spawn at once: as many get in as there is room for (S6). */
void call_spawn_thrice(int b, int c) {
  int registry = some_registry(b);
  if (registry < 0 || task_count + 3 > TASKS) return;
  for (int i = 0; i < HOSTS; i++)
    if (!is_free(i)) return;
  for (int i = 0; i < HOSTS; i++) prepare_spawn(i, task_count + i, registry, 0, c & 0x70, (struct wish){0});
  for (int i = 0; i < HOSTS; i++) command(i);
  int accepted = 0, isClosed = 0, expected = 3;
  for (int i = registry; i >= 0; i = registries[i].parent) isClosed |= registries[i].closed;
  if (isClosed) expected = 0;
  for (int i = registry; i >= 0; i = registries[i].parent)
    if (registries[i].limit != 0 && registries[i].limit - registries[i].live < (uint64_t)expected)
      expected = (int)(registries[i].limit - registries[i].live);
  struct order kept[HOSTS];
  for (int i = 0; i < HOSTS; i++) kept[i] = *answer_of(i);
  for (int i = 0; i < HOSTS; i++) {
    if (kept[i].status == TR_OK) {
      accepted++;
      continue;
    }
    MUST_EQ(isClosed ? TR_ERR_CLOSED : TR_ERR_LIMIT, kept[i].status);
    model_rejection(registry, kept[i].kind);
  }
  MUST_EQ(expected, accepted);
  int first = task_count;
  task_count += 3;
  for (int i = 0; i < HOSTS; i++) {
    tasks[first + i].registry = registry;
    tasks[first + i].live = tasks[first + i].refs = tasks[first + i].reserve = 0;
    tasks[first + i].id = 0;
    tasks[first + i].ending = 0;
    if (kept[i].status == TR_OK) note_spawn(&kept[i], 0);
    else atomic_store(&tasks[first + i].drops, 1); /* there was none: nothing to be dropped */
  }
}

/* A thread of the program's own is adopted, and leaves at once, with a code (A1, A3, A5). */
void call_adopt(int a, int b, int c) {
  static const int64_t lengths[] = {0, INT64_C(3600000000000), INT64_MAX, -1};
  int actor = some_actor(a, 0), registry = some_registry(a >> 4), number = task_count;
  if (actor < 0 || registry < 0 || number == TASKS) return;
  struct wish wish = {.flags = c & 8 ? TR_SPAWN_ESSENTIAL : 0, .phase = (uint32_t)(c >> 1) % (TR_PHASES + 1),
                      .heartbeat = lengths[b >> 3 & 3]};
  int invalid = prepare_spawn(actor, number, registry, b, c & ~32, wish) || task_of(actor) != NULL;
  struct order *order = &actors[actor].order;
  order->call = ADOPT;
  order->wantsHandle = 1;
  order->fd = b >> 6; /* the code */
  int expected = spawn_status(actor, order, invalid);
  ask(actor);
  MUST_EQ(expected, order->status);
  if (expected != TR_OK) {
    MUST(order->task == NULL);
    if (expected != TR_ERR_INVALID) model_rejection(registry, order->kind);
    return;
  }
  task_count++;
  atomic_store(&tasks[number].bodies, 1); /* there is no body, and nothing to be dropped */
  atomic_store(&tasks[number].drops, 1);
  note_spawn(order, b);
  interval_of[actor] = -1;
  tasks[number].code = order->fd;
  tasks[number].how = order->fd == 0 ? TR_ENDED_RETURNED : TR_ENDED_FAILED;
  model_end(number);
}

void end_task(int number, int exits, int code) {
  struct task *task = &tasks[number];
  struct order *order = order_for(HOSTS + number, exits ? EXIT : RETURN, 0);
  order->how = code;
  task->how = exits ? TR_ENDED_EXITED : code != 0 ? TR_ENDED_FAILED : TR_ENDED_RETURNED;
  task->code = exits ? 0 : code;
  /* what an essential one cancels has happened when a wait for it returns, and not when its drop has */
  int isHeld = task->refs + task->reserve > 0, isHeldFor = !isHeld && is_essential(task);
  if (isHeldFor) MUST(tr_task_retain(task->it) == task->it);
  command(HOSTS + number);
  if (isHeld || isHeldFor) MUST_EQ(TR_OK, tr_task_wait(task->it, -1, NULL));
  if (isHeldFor) tr_task_release(task->it);
  while (atomic_load(&task->drops) == 0) usleep(20);
  model_end(number);
  int isKnown = isHeld || isHeldFor;
  for (int i = task->registry; i >= 0; i = registries[i].parent)
    if (registry_usable(i)) {
      while (tr_len(registries[i].it) != registries[i].live) usleep(20);
      isKnown = 1;
    }
  /* who knows of the end knows that the log has heard of it (O2, E6) */
  const struct registry *log = &registries[registries[task->registry].log];
  for (int event = 1; event < EVENTS; event++)
    while (!isKnown && atomic_load(&log->logged[event]) != log->events[event]) usleep(20);
}
