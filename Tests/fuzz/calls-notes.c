/* calls-notes.c - what tasks tell of themselves, and who asks. */

#include "calls.h"

static const char *const places[] = {NULL, "", "reading the journal", "na\xc3\xafve", "\xff\xfe", long_message};
static const char *const units[] = {"blocks", NULL, "\xff", "files"};

void call_checkpoint(int a, int c) {
  int actor = some_actor(a, 0);
  if (actor < 0) return;
  struct order *order = order_for(actor, c & 128 ? LABEL : CHECKPOINT, 0);
  order->text = places[c % 6];
  MUST_EQ(actor < HOSTS ? TR_ERR_INVALID : TR_OK, ask(actor)->status);
  if (actor < HOSTS) return;
  if (c & 128) task_of(actor)->label = order->text;
  else task_of(actor)->checkpoint = order->text;
}

void call_progress(int a, int b, int c) {
  int actor = some_actor(a, 0);
  if (actor < 0) return;
  struct order *order = order_for(actor, PROGRESS, 0);
  order->done = b == 255 ? UINT64_MAX : (uint64_t)b;
  order->total = c >> 2 == 63 ? UINT64_MAX : (uint64_t)c >> 2;
  order->text = units[c % 4];
  MUST_EQ(actor < HOSTS ? TR_ERR_INVALID : TR_OK, ask(actor)->status);
  struct task *task = task_of(actor);
  if (task == NULL) return;
  task->hasProgress = 1;
  task->done = order->done;
  task->total = order->total;
  task->unit = order->text;
}

void call_heartbeat(int a) {
  int actor = some_actor(a, 0);
  if (actor < 0) return;
  order_for(actor, HEARTBEAT, 0);
  int isInvalid = actor < HOSTS && interval_of[actor] < 0;
  MUST_EQ(isInvalid ? TR_ERR_INVALID : TR_OK, ask(actor)->status);
}

/* A task sets its own interval, any other thread one with a registry; none is ever overdue here (E7). */
void call_heartbeat_interval(int a, int b, int c) {
  static const int64_t intervals[] = {INT64_C(3600000000000), INT64_MAX, 0, -1};
  int actor = some_actor(a, 0), number = c & 4 ? -1 : some_registry(b);
  if (actor < 0) return;
  struct task *task = task_of(actor);
  if (task != NULL && c & 8 && registry_usable(task->registry)) number = task->registry;
  struct order *order = order_for(actor, SET_INTERVAL, number);
  order->timeout = intervals[c % 4];
  order->how = c & 16 ? (int)TR_HEARTBEAT_EXCEPT_WAITS : (c & 224) == 224 ? 1 << 30 : 0;
  ask(actor);
  int isInvalid = order->how == 1 << 30 || order->timeout < 0;
  if (task != NULL) isInvalid |= number >= 0 && number != task->registry;
  else isInvalid |= order->timeout > 0 && number < 0;
  if (isInvalid) {
    MUST_EQ(TR_ERR_INVALID, order->status);
  } else if (task != NULL) {
    MUST_EQ(TR_OK, order->status);
    if (order->timeout > 0) task->interval = HAS_INTERVAL;
    else if (task->interval == HAS_INTERVAL) task->interval = INTERVAL_ENDED;
  } else if (order->timeout == 0) {
    MUST_EQ(TR_OK, order->status);
    interval_of[actor] = -1;
  } else {
    /* a change of an interval does not set a new one, unless a shutdown has ended it */
    int isFinished = registries[number].closed && registries[number].live == 0;
    if (!isFinished) MUST_EQ(TR_OK, order->status);
    else if (interval_of[actor] != number || order->status != TR_OK) MUST_EQ(TR_ERR_CLOSED, order->status);
    interval_of[actor] = order->status == TR_OK ? number : -1;
  }
}

void call_pause(int a, int c) {
  int actor = some_actor(a, 0);
  if (actor < 0) return;
  int status = (order_for(actor, c & 1 ? PAUSE : RESUME, 0), ask(actor)->status);
  if (actor >= HOSTS && task_of(actor)->interval == INTERVAL_ENDED) {
    MUST(status == TR_OK || status == TR_ERR_INVALID);
    return;
  }
  int hasInterval = actor < HOSTS ? interval_of[actor] >= 0 : task_of(actor)->interval == HAS_INTERVAL;
  MUST_EQ(hasInterval ? TR_OK : TR_ERR_INVALID, status);
}

void end_intervals(void) {
  for (int i = 0; i < HOSTS; i++) {
    order_for(i, SET_INTERVAL, -1);
    MUST_EQ(TR_OK, ask(i)->status);
    interval_of[i] = -1;
  }
}

/* No interval is so short that a heartbeat is missed here. */
void call_health(int b, int c) {
  int number = some_registry(b);
  if (number < 0) return;
  tr_task_summary list[2] = {TR_TASK_SUMMARY_INIT};
  size_t count = 77;
  MUST_EQ(TR_OK, tr_health(registries[number].it, c & 1 ? list : NULL, c & 1 ? 2 : 0, c & 2 ? &count : NULL));
  MUST_EQ(c & 2 ? 0 : 77, count);
  MUST_EQ(0, list[0].id);
  /* A timeout to come needs a thread, and so may a task. */
  tr_status quiet = tr_quiesce(0);
  MUST(quiet == TR_OK || quiet == TR_ERR_TIMEDOUT);
}

void call_explain(int b, int c) {
  int number = some_registry(b);
  if (number < 0) return;
  tr_report *full = NULL;
  MUST_EQ(TR_OK, tr_explain(registries[number].it, &full));
  check_look(full, number, 1);
  if (c % 4 != 0) check_written_report(full, registries[number].live, c % 4 - 1);
  tr_report_release(full);
}

void call_explain_with(int b, int c) {
  int number = some_registry(b);
  if (number < 0) return;
  tr_report *full = NULL;
  uint32_t flags = c & 1 ? TR_EXPLAIN_NO_BACKTRACES : 0;
  if (c & 64) flags |= TR_EXPLAIN_NO_DESCRIPTORS;
  if (c & 128) flags |= TR_EXPLAIN_THREADS;
  if (c & 2) { /* each other bit, alone and with the good ones */
    flags |= 8u << ((unsigned)c >> 2) % 29;
    MUST_EQ(TR_ERR_INVALID, tr_explain_with(registries[number].it, flags, &full));
    MUST(full == NULL);
    return;
  }
  MUST_EQ(TR_ERR_INVALID, tr_explain_with(registries[number].it, flags, NULL));
  MUST_EQ(TR_OK, tr_explain_with(registries[number].it, flags, &full));
  check_look(full, number, (flags & TR_EXPLAIN_NO_BACKTRACES) == 0);
  tr_thread_report thread = TR_THREAD_REPORT_INIT;
  int has_threads = (flags & TR_EXPLAIN_THREADS) != 0; /* the caller is one, unless it runs a task */
  MUST(!has_threads || tr_report_thread(full, 0, &thread) == TR_OK || registries[number].live > 0);
  MUST(has_threads || tr_report_thread(full, 0, &thread) == TR_ERR_INVALID);
  if (c & 12) check_written_report(full, registries[number].live, (c >> 2) % 4 - 1);
  tr_report_release(full);
}
