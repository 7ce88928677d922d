/* calls-notes.c - what tasks tell of themselves, and who asks. */

#include "calls.h"

static const char *const places[] = {NULL, "", "reading the journal", "na\xc3\xafve", "\xff\xfe", long_message};
static const char *const units[] = {"blocks", NULL, "\xff", "files"};

void call_checkpoint(int a, int c) {
  int actor = some_actor(a, 0);
  if (actor < 0) return;
  struct order *order = order_for(actor, CHECKPOINT, 0);
  order->text = places[c % 6];
  MUST_EQ(actor < HOSTS ? TR_ERR_INVALID : TR_OK, ask(actor)->status);
  if (actor >= HOSTS) task_of(actor)->checkpoint = order->text;
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
  MUST_EQ(actor < HOSTS ? TR_ERR_INVALID : TR_OK, ask(actor)->status);
}

/* Nobody promises more than it can keep here. */
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
  check_look(full, number);
  if (c % 4 != 0) check_written_report(full, registries[number].live, c % 4 - 1);
  tr_report_release(full);
}
