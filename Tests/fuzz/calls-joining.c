/* calls-joining.c - joins and shutdowns that do not wait for long. */

#include "calls.h"

#define MS INT64_C(1000000)
#define HOUR (3600000 * MS)

/* The events on the way to the deadline (E4, E6). */
static void note_way_to_deadline(const struct order *order, int number) {
  const tr_shutdown_options *options = order->shutdown;
  if (order->call == SHUTDOWN && order->timeout > 0 && (options == NULL || options->warn_percent != TR_WARN_NEVER))
    model_event(number, TR_EVENT_DEADLINE_NEAR);
  int hasProgress = 0;
  for (int i = 0; i < task_count; i++)
    hasProgress |= tasks[i].live && tasks[i].hasProgress && is_within(tasks[i].registry, number);
  if (order->report.extended_ns == 0) return; /* nobody told of any, or the machine was too slow for it */
  MUST(hasProgress && options != NULL && options->max_grace_ns > order->timeout);
  MUST_EQ(options->max_grace_ns - order->timeout, order->report.extended_ns);
  model_event(number, TR_EVENT_DEADLINE_EXTENDED);
}

/* A call that ends by the flag of its caller, which it may have raised itself, comes to the deadline or does not. */
static void note_way_cut_short(int number) {
  static const uint32_t events[] = {TR_EVENT_DEADLINE_NEAR, TR_EVENT_DEADLINE_EXTENDED};
  struct registry *log = &registries[registries[number].log];
  for (size_t i = 0; i < 2; i++)
    if (atomic_load(&log->logged[events[i]]) > log->events[events[i]]) model_event(number, events[i]);
}

/* Makes the call that `actor` has been given, and writes down what it came to. */
static void make_join(int actor, int number) {
  struct registry *registry = &registries[number];
  struct order *order = &actors[actor].order;
  int shuts = order->call == SHUTDOWN;
  int isOwn = task_of(actor) != NULL && is_within(task_of(actor)->registry, number);
  ask(actor);
  if (isOwn) {
    MUST_EQ(TR_ERR_DEADLOCK, order->status);
    MUST(order->full == NULL);
    return;
  }
  if (shuts) {
    registry->closed = 1;
    model_cancel(registry->token, 3, 4);
    model_ask_phases(number);
  }
  if (registry->live > 0 && is_flagged(actor)) {
    MUST_EQ(TR_ERR_CANCELLED, order->status);
    MUST(order->full == NULL);
    note_way_cut_short(number);
    task_of(actor)->checks++;
    return;
  }
  if (registry->live == 0) {
    int waits = shuts && registry->parent < 0; /* for threads, of which a group has none (T4) */
    int held_up = waits && order->status == TR_ERR_DEADLINE && order->report.threads_left > 0;
    if (waits && is_flagged(actor) && order->status == TR_ERR_CANCELLED) {
      task_of(actor)->checks++;
      return;
    }
    if (!held_up) MUST_EQ(TR_OK, order->status);
    MUST_EQ(0, order->report.pending);
  } else {
    MUST_EQ(TR_ERR_DEADLINE, order->status);
    note_way_to_deadline(order, number);
    model_deadline(number);
    await_callbacks(); /* they run on a thread of the library's (J4) */
    MUST_EQ(registry->live, order->report.pending);
    MUST_EQ(registry->live, order->report.abandoned);
    MUST_EQ(registry->live, order->report.stragglers_count);
    MUST(order->report.elapsed_ns >= order->timeout + order->report.extended_ns);
    check_list(order->stragglers, order->report.stragglers_count, number);
  }
  MUST_EQ(0, order->report.aborted);
  MUST_EQ(0, order->report.ended);
  MUST_EQ(0, order->report.rejected);
  check_join_report(order);
}

void call_join(int a, int b, int shuts) {
  int actor = some_actor(a, 0), number = some_registry(b);
  if (actor < 0 || number < 0) return;
  struct order *order = order_for(actor, shuts ? SHUTDOWN : JOIN, number);
  order->how = 3;
  order->text = "stop";
  make_join(actor, number);
}

void call_join_fully(int a, int b, int c) {
  int actor = some_actor(a, 0), number = some_registry(b);
  if (actor < 0 || number < 0) return;
  struct order *order = order_for(actor, JOIN, number);
  order->wantsFull = 1;
  if (c & 2) { /* no report to be made, and nobody is asked to stop */
    order->wantsFull = 0;
    order->call = REGISTRY_WAIT;
    wait_with(actor, c & 1);
  } else if (c & 1) wait_with(actor, 1);
  else make_join(actor, number);
}

/* The callbacks for the phases of a shutdown: how many have come. Each phase begins and ends once, in order (E5). */
static int phase_calls, phase_registry;
static void note_phase(int which, uint64_t number) {
  MUST_EQ(which, phase_calls++);
  MUST_EQ(number, live_in_phase(phase_registry, (uint32_t)which / 2));
}
static void on_phase_begin(void *context, uint32_t phase, uint64_t alive) {
  MUST(context == &phase_calls);
  note_phase(2 * (int)phase, alive);
}
static void on_phase_end(void *context, uint32_t phase, uint64_t alive) {
  MUST(context == &phase_calls);
  note_phase(2 * (int)phase + 1, alive);
}

/* Options of a shutdown. Returns whether they are invalid. */
static int choose_options(tr_shutdown_options *options, int how, int b) {
  *options = (tr_shutdown_options)TR_SHUTDOWN_OPTIONS_INIT;
  switch (how) {
    case 1: for (uint32_t i = 0; i < TR_PHASES; i++) options->phase_share[i] = i * (uint32_t)b % 7; break;
    case 2: options->phase_share[b % (int)TR_PHASES] = 1000000; break;
    case 3: options->warn_percent = TR_WARN_NEVER; break;
    case 4: options->warn_percent = 1 + (uint32_t)b % 99; break;
    case 5:
      options->max_grace_ns = 4 * MS;
      options->progress_window_ns = HOUR;
      break;
    case 6:
      if (b % 4 == 0) options->warn_percent = 100 + (uint32_t)b;
      else if (b % 4 == 1) options->max_grace_ns = -1;
      else if (b % 4 == 2) options->progress_window_ns = INT64_MIN;
      else if (b & 64) options->phase_max_grace_ns[b % (int)TR_PHASES] = -1;
      else options->phase_share[b % (int)TR_PHASES] = 1000001;
      return 1;
    case 7:
      options->on_phase_begin = on_phase_begin;
      options->on_phase_end = on_phase_end;
      options->phase_context = &phase_calls;
      break;
    default: break;
  }
  return 0;
}

void call_shutdown_with(int a, int b, int c) {
  int actor = some_actor(a, 0), number = some_registry(b);
  if (actor < 0 || number < 0) return;
  struct order *order = order_for(actor, SHUTDOWN, number);
  tr_shutdown_options options;
  /* who is to stop already returns at once, and may or may not have been warned, or had more time, before */
  int how = c >> 2 & 7, isBrief = is_flagged(actor);
  if (how == 5 && isBrief) how = 0;
  int isInvalid = choose_options(&options, how, b);
  order->how = 3;
  order->text = "stop";
  order->wantsFull = (c & 32) != 0;
  if (how != 0) order->shutdown = &options;
  if (isInvalid) {
    MUST_EQ(TR_ERR_INVALID, ask(actor)->status);
    MUST(order->full == NULL);
    return;
  }
  if (c % 4 == 3 && !isBrief) order->timeout = 2 * MS;
  if (c % 4 == 2 && registries[number].live == 0) order->timeout = -1;
  if (how != 7) {
    make_join(actor, number);
    return;
  }
  /* A limit of a phase's own extends nothing without progress. */
  int hasProgress = 0;
  for (int i = 0; i < task_count; i++)
    hasProgress |= tasks[i].live && tasks[i].hasProgress && is_within(tasks[i].registry, number);
  if (!hasProgress) options.phase_max_grace_ns[b % (int)TR_PHASES] = 4 * MS;
  order->wantsFull = 0; /* which lists a phase without tasks if the machine holds its callback up for a millisecond */
  phase_calls = 0;
  phase_registry = number;
  make_join(actor, number);
  int all = 2 * (int)TR_PHASES;
  if (order->status == TR_ERR_DEADLOCK) MUST_EQ(0, phase_calls);
  else if (order->status == TR_ERR_CANCELLED) MUST(phase_calls <= all);
  else MUST_EQ(all, phase_calls);
}
