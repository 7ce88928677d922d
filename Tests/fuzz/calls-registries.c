/* calls-registries.c - registries, groups, joins. */

#include "calls.h"

#include <string.h>

static void call_registry_create(int a, int b, int c) {
  if (registry_count == REGISTRIES || token_count == TOKENS) return;
  int number = registry_count;
  struct registry *registry = &registries[number];
  int token = a % 2 == 0 ? some_token(b) : -1;
  memset(registry, 0, sizeof *registry);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  registry->parent = -1;
  registry->log = number;
  options.log = on_log;
  options.log_context = registry;
  options.token = token < 0 ? NULL : tokens[token].it;
  options.max_tasks = registry->limit = (uint64_t)(c % 8 < 3 ? c % 8 + 1 : 0);
  if (c & 16) options.spin_ns = 0;
  if (c & 32) options.idle_threads = TR_IDLE_THREADS_NONE;
  options.stack_size = 256 << 10;
  MUST_EQ(TR_OK, tr_registry_create(&options, &registry->it));
  registry->refs = 1;
  registry_count++;
  if (token < 0) {
    token = new_token(tr_registry_token(registry->it), -1);
    tokens[token].refs = 0;
  }
  registry->token = token;
  registry->closed = tokens[token].cancelled;
}

void call_group_create(int b, int c) {
  int parent = some_registry(b), number = registry_count;
  if (parent < 0 || number == REGISTRIES || token_count == TOKENS) return;
  struct registry *group = &registries[number];
  memset(group, 0, sizeof *group);
  const char *name = c % 8 == 7 ? "a/b" : names[c >> 3 & 7].given, *kept = names[c >> 3 & 7].kept;
  int isDefault = (b & 128) != 0, isInvalid = kept == NULL || c % 8 == 7;
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  group->log = registries[parent].log;
  if (!isDefault) {
    options.max_tasks = group->limit = (uint64_t)(c % 8 < 3 ? c % 8 + 1 : 0);
    if (c % 8 == 6) {
      options.token = tokens[registries[parent].token].it;
      isInvalid = 1;
    }
    if (c & 64) {
      options.log = on_log;
      options.log_context = group;
      group->log = number;
    }
    if (c & 128) options.stack_size = 128 << 10;
  }
  MUST_EQ(isInvalid ? TR_ERR_INVALID : TR_OK,
          tr_registry_child(registries[parent].it, name, isDefault ? NULL : &options, &group->it));
  MUST_EQ(isInvalid, group->it == NULL);
  if (isInvalid) return;
  registry_count++;
  strcpy(group->path, registries[parent].path);
  if (group->path[0] != 0) strcat(group->path, "/");
  strcat(group->path, kept);
  group->parent = parent;
  group->refs = 1;
  group->token = new_token(tr_registry_token(group->it), registries[parent].token);
  tokens[group->token].refs = 0;
  group->closed = tokens[group->token].cancelled;
}

void call_registry(int what, int a, int b, int c) {
  if (what == 0) {
    call_registry_create(a, b, c);
    return;
  }
  if (what == 1) { /* one of its tasks may take a reference after the last one was given back */
    int actor = some_actor(a, HOSTS);
    if (actor < 0) return;
    int own = task_of(actor)->registry; /* or one above it, whose task it is as well */
    for (int climb = b % 4; climb > 0 && registries[own].parent >= 0; climb--) own = registries[own].parent;
    if (registries[own].refs < 3) {
      order_for(actor, RETAIN_REGISTRY, own);
      ask(actor);
      registries[own].refs++;
    }
    return;
  }
  int number = some_registry(b);
  if (number < 0) return;
  struct registry *registry = &registries[number];
  if (what == 2) {
    if (pending(JOIN, number) > 0) return;
    if (c % 3 == 0 && registry->refs > 0) {
      registry->refs--;
      tr_registry_release(registry->it);
    } else if (c % 3 == 1 && registry->reserve > 0) {
      registry->reserve--;
      tr_registry_release(registry->it);
    } else if (registry->refs + registry->reserve < 5) {
      MUST(tr_registry_retain(registry->it) == registry->it);
      if (c & 8) registry->reserve++;
      else registry->refs++;
    }
    return;
  }
  check_registry(number, c);
}

void call_join(int a, int b, int shuts) {
  int actor = some_actor(a, 0), number = some_registry(b);
  if (actor < 0 || number < 0) return;
  struct registry *registry = &registries[number];
  struct order *order = order_for(actor, shuts ? SHUTDOWN : JOIN, number);
  order->how = 3;
  order->text = "stop";
  int isOwn = task_of(actor) != NULL && is_within(task_of(actor)->registry, number);
  ask(actor);
  if (isOwn) {
    MUST_EQ(TR_ERR_DEADLOCK, order->status);
    return;
  }
  if (shuts) {
    registry->closed = 1;
    model_cancel(registry->token, 3, 4);
  }
  if (registry->live > 0 && is_flagged(actor)) {
    MUST_EQ(TR_ERR_CANCELLED, order->status);
    return;
  }
  if (registry->live == 0) {
    int waits = shuts && registry->parent < 0; /* for threads, of which a group has none (T4) */
    int held_up = waits && order->status == TR_ERR_DEADLINE && order->report.threads_left > 0;
    if (waits && is_flagged(actor) && order->status == TR_ERR_CANCELLED) return;
    if (!held_up) MUST_EQ(TR_OK, order->status);
    MUST_EQ(0, order->report.pending);
  } else {
    MUST_EQ(TR_ERR_DEADLINE, order->status);
    model_deadline(number);
    MUST_EQ(registry->live, order->report.pending);
    MUST_EQ(registry->live, order->report.abandoned);
    MUST_EQ(registry->live, order->report.stragglers_count);
    check_list(order->stragglers, order->report.stragglers_count, number);
  }
  MUST_EQ(0, order->report.aborted);
  MUST_EQ(0, order->report.ended);
  MUST_EQ(0, order->report.rejected);
}
