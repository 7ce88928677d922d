/* calls-registries.c - registries and groups. */

#define _GNU_SOURCE /* sigfillset */
#include "calls.h"

#include <signal.h>
#include <string.h>

void call_registry_create(int a, int b, int c, int isMeasured, int64_t abort_grace) {
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
  if (c & 16) options.spin_ns = TR_SPIN_NEVER;
  if (c & 32) options.idle_threads = TR_IDLE_THREADS_NONE;
  options.stack_size = 256 << 10;
  if (isMeasured) options.flags = TR_REGISTRY_METRICS;
  registry->isMeasured = isMeasured;
  /* nobody of those who wait for orders would end within it */
  options.abort_grace_ns = abort_grace == 0 ? TR_NO_ABORT_GRACE : abort_grace;
  sigset_t blocked;
  sigfillset(&blocked);
  const int blocked_numbers[] = {SIGUSR1, SIGRTMIN + 5};
  if ((c & 192) == 64) options.blocked_signals = &blocked;
  if ((c & 192) == 192) {
    options.blocked_signal_numbers = blocked_numbers;
    options.blocked_signal_count = 2;
  }
  /* An hour after each event: only that it is read and copied shows. */
  tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
  ladder.explain_after_ns = ladder.last_after_ns = INT64_C(3600000000000);
  ladder.last_step = (uint32_t)a >> 2 & 3;
  ladder.explain_fd = a >> 5 & 3;
  if (a & 16) options.ladder = &ladder;
  if ((a & 16) && ladder.last_step > TR_LADDER_END_PROCESS) {
    MUST_EQ(TR_ERR_INVALID, tr_registry_create(&options, &registry->it));
    ladder.last_step = TR_LADDER_ABORT_TASK;
  }
  MUST_EQ(TR_OK, tr_registry_create(&options, &registry->it));
  memset(&ladder, 0xAA, sizeof ladder);
  registry->refs = 1;
  registry_count++;
  if (token < 0) {
    token = new_token(tr_registry_token(registry->it), -1);
    tokens[token].refs = 0;
  }
  registry->token = token;
  registry->closed = tokens[token].cancelled;
}

void call_group_create(int b, int c, int isMeasured) {
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
    if (isMeasured) options.flags = TR_REGISTRY_METRICS;
    group->isMeasured = isMeasured;
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
    call_registry_create(a, b, c, 0, 0);
    return;
  }
  if (what == 1) { /* one of its tasks may take a reference after the last one was released */
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
    if (pending(JOIN, number) + pending(REGISTRY_WAIT, number) > 0) return;
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
