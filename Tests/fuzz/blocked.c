/* blocked.c - calls that block: what they may return, and when. */

#include "actors.h"

#include <string.h>

#define MAY(status) (1u << -(status))
/* What a call may return in the state the model is in; 0: it blocks. */
static unsigned may_return(int number, const struct order *order) {
  unsigned may = 0;
  int flagged = is_flagged(number);
  switch (order->call) {
    case TOKEN_WAIT: if (tokens[order->object].cancelled) may |= MAY(TR_OK); break;
    case TASK_WAIT:
      if (task_of(number) == &tasks[order->object]) return MAY(TR_ERR_DEADLOCK);
      if (!tasks[order->object].live) may |= MAY(TR_OK);
      break;
    case JOIN:
    case REGISTRY_WAIT:
      if (task_of(number) != NULL && is_within(task_of(number)->registry, order->object))
        return MAY(TR_ERR_DEADLOCK);
      if (registries[order->object].live == 0) may |= MAY(TR_OK);
      break;
    case WAIT_FD:
      if (flagged) return MAY(TR_ERR_CANCELLED);
      if (order->fd == -1) return MAY(TR_ERR_INVALID);
      if (order->fd == ready_pipe[0]) may |= MAY(TR_OK);
      break;
    case COND_WAIT: if (order->how != rounds) may |= MAY(TR_OK); break;
    case WAIT_CANCELLED: if (number < HOSTS) return MAY(TR_ERR_INVALID); break;
    default: break;
  }
  if (flagged) may |= MAY(TR_ERR_CANCELLED);
  return may;
}

static void check_outcome(const struct order *order) {
  const struct task *task = &tasks[order->object];
  MUST_EQ(task->how, order->outcome.how);
  MUST_EQ(task->code, order->outcome.code);
  MUST_EQ(task->flagged, order->outcome.was_cancelled);
  MUST_EQ(task->messageLength, strlen(order->outcome.message));
}

static void check_answer(int number, unsigned may) {
  struct order *order = answer_of(number);
  actors[number].isPending = 0;
  if (actors[number].mayBeRefused) may |= MAY(TR_ERR_DEADLOCK);
  actors[number].mayBeRefused = 0;
  if (!(may & MAY(order->status))) broken(__FILE__, __LINE__, "a status that is allowed", may, order->status);
  if (order->call == TASK_WAIT && order->status == TR_OK) check_outcome(order);
  if (order->status == TR_ERR_CANCELLED && number >= HOSTS) tasks[number - HOSTS].checks++;
  if (order->call == JOIN && order->status == TR_OK) {
    MUST_EQ(0, order->report.pending);
    MUST_EQ(0, order->report.stragglers_count);
    /* no more than what came to pass since it was told to join */
    const struct counts *now = &registries[order->object].counts, *before = &order->before;
    MUST(order->report.ended <= now->ended - before->ended);
    MUST(order->report.failed <= now->failed - before->failed);
    MUST(order->report.exited <= now->exited - before->exited);
    MUST(order->report.rejected <= now->rejected - before->rejected);
    check_join_report(order);
  }
}

/* Ends those blocked calls that can end now, and looks that the others have not. */
void settle(void) {
  for (int i = 0; i < ACTORS; i++) {
    if (!actors[i].isPending) continue;
    unsigned may = may_return(i, &actors[i].order);
    int isRefused = actors[i].mayBeRefused && has_answered(i);
    if (may != 0 || isRefused) check_answer(i, may);
    else MUST(actors[i].mayBeRefused || !has_answered(i));
  }
}

/* A task begins to wait for one that waits for it, both without a time limit: one of the two waits is refused, or both,
   sooner or later (J7). */
static void close_circle(int number) {
  const struct order *order = &actors[number].order;
  if (order->call != TASK_WAIT || number < HOSTS) return;
  struct actor *other = &actors[HOSTS + order->object];
  if (other->isPending && other->order.call == TASK_WAIT && HOSTS + other->order.object == number)
    other->mayBeRefused = actors[number].mayBeRefused = 1;
}

/* Whether a chain of waits leads from a task to `goal`. */
static int leads_to(int goal, int number, char *seen) {
  const struct actor *actor = &actors[HOSTS + number];
  if (!actor->isPending || seen[number]) return 0;
  seen[number] = 1;
  for (int i = 0; i < task_count; i++) {
    int isFor = actor->order.call == TASK_WAIT ? i == actor->order.object
                : (actor->order.call == JOIN || actor->order.call == REGISTRY_WAIT) &&
                      is_within(tasks[i].registry, actor->order.object);
    if (isFor && tasks[i].live && (i == goal || leads_to(goal, i, seen))) return 1;
  }
  return 0;
}

/* Whether tasks wait for each other in a circle, which every report finds (Q4). */
int has_circle(void) {
  for (int i = 0; i < task_count; i++) {
    char seen[TASKS] = {0};
    if (leads_to(i, i, seen)) return 1;
  }
  return 0;
}

/* Makes a call that may block, with a timeout of 0 or without one. */
void wait_with(int number, int forever) {
  struct order *order = &actors[number].order;
  unsigned may = may_return(number, order);
  order->timeout = forever ? -1 : 0;
  if (order->call == JOIN) order->before = registries[order->object].counts;
  if (!forever) {
    /* what is ready is looked at before the flag, and the flag before the clock */
    if ((may & MAY(TR_OK)) && order->call != WAIT_FD) may = MAY(TR_OK);
    if (may == 0) may = order->call == SLEEP ? MAY(TR_OK) : MAY(TR_ERR_TIMEDOUT);
  }
  if (forever && may == 0) close_circle(number);
  command(number);
  if (may != 0) check_answer(number, may);
  else actors[number].isPending = 1;
}
