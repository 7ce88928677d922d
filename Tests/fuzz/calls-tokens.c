/* calls-tokens.c - tokens, their timeouts, requests and callbacks. */

#define _GNU_SOURCE

#include "calls.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

int new_token(tr_token *it, int parent) {
  MUST(it != NULL);
  int number = token_count++;
  tokens[number] = (struct token){.it = it, .parent = parent, .refs = 1};
  if (parent >= 0 && tokens[parent].cancelled) {
    tokens[number].cancelled = 1;
    tokens[number].level = tokens[parent].level;
    tokens[number].reason = tokens[parent].reason;
    tokens[number].length = tokens[parent].length;
  }
  return number;
}

void call_token(int what, int a, int b, int c) {
  int number = some_token(b), actor = some_actor(a, 0);
  if (what == 0) {
    if (token_count < TOKENS) new_token(tr_token_create(), -1);
    return;
  }
  if (number < 0 || actor < 0) return;
  struct token *token = &tokens[number];
  struct order *order;
  switch (what) {
    case 1: if (token_count < TOKENS) new_token(tr_token_child(token->it), number); break;
    case 2: /* more references, or fewer; one may be held in reserve */
      if (pending(TOKEN_WAIT, number) > 0) return;
      if (c % 3 == 0 && token->refs > 0) {
        token->refs--;
        tr_token_release(token->it);
      } else if (c % 3 == 1 && token->reserve > 0) {
        token->reserve--;
        tr_token_release(token->it);
      } else if (token->refs + token->reserve < 5) {
        MUST(tr_token_retain(token->it) == token->it);
        if (c & 8) token->reserve++;
        else token->refs++;
      }
      if (!token_lives(number)) token->fd = 0;
      break;
    case 3:
      order = order_for(actor, TOKEN_CANCEL, number);
      order->how = c % 64;
      order->text = messages[c >> 6];
      int isFirst = !token->cancelled;
      ask(actor);
      MUST_EQ(isFirst, order->status);
      model_cancel(number, (tr_reason)(c % 64),
                   order->text == long_message ? 255 : order->text == NULL ? 0 : strlen(order->text));
      break;
    case 4: check_token(number, c); break;
    default:
      if (what == 6 && token->refs + token->reserve == 0) return;
      order_for(actor, TOKEN_WAIT, number);
      wait_with(actor, what == 6);
  }
}

void call_cancel_thrice(int b, int c) {
  int number = some_token(b);
  for (int i = 0; i < HOSTS; i++)
    if (!is_free(i) || number < 0) return;
  int before = tokens[number].cancelled, firsts = 0, winner = 0;
  for (int i = 0; i < HOSTS; i++) {
    struct order *order = order_for(i, TOKEN_CANCEL, number);
    order->how = c % 64 + i;
    order->text = i == 1 ? "stop" : NULL;
  }
  for (int i = 0; i < HOSTS; i++) command(i);
  for (int i = 0; i < HOSTS; i++)
    if (answer_of(i)->status == 1) {
      firsts++;
      winner = i;
    }
  MUST_EQ(!before, firsts);
  model_cancel(number, (tr_reason)(c % 64 + winner), winner == 1 ? 4 : 0);
}

void call_timeout(int b, int c) {
  static const int64_t timeouts[] = {0, INT64_C(3600000000000), INT64_MAX, -1};
  int parent = some_token(b);
  if (parent < 0 || token_count == TOKENS) return;
  int number = c & 64 ? new_token(tr_token_create_with_timeout(timeouts[c % 4]), -1)
                      : new_token(tr_token_child_with_timeout(tokens[parent].it, timeouts[c % 4]), parent);
  /* the message is the library's own, and stays as it is */
  if (timeouts[c % 4] == 0)
    model_cancel(number, TR_REASON_DEADLINE, tr_token_message(tokens[number].it, NULL, 0));
}

static void on_abort(void *ctx) { (void)ctx; }

/* The functions for ends that were registered for good, and how many of them were called: see check_ends. */
static int ends_expected;
static atomic_int ends_called;

static void on_end(void *ctx) { atomic_fetch_add((atomic_int *)ctx, 1); }

/* Every task has ended; a thread of a registry that was not shut down may still be on the way to its functions. */
void check_ends(void) {
  while (atomic_load(&ends_called) < ends_expected) usleep(20);
  MUST_EQ(ends_expected, atomic_load(&ends_called));
}

/* A function for the end of a task, for good or removed at once; at once called if the task has ended. */
static void call_on_end(int task, int for_good) {
  tr_registration *registration = NULL;
  atomic_int calls = 0;

  if (for_good) {
    MUST_EQ(TR_OK, tr_task_on_end(tasks[task].it, on_end, &ends_called, NULL, NULL));
    ends_expected += 1;
    return;
  }
  MUST_EQ(TR_OK, tr_task_on_end(tasks[task].it, on_end, &calls, on_end, &registration));
  if (tasks[task].live) MUST_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(registration));
  else MUST(registration == NULL);
  MUST_EQ(tasks[task].live ? 1 : 2, atomic_load(&calls)); /* drop alone, or both */
}

/* Abort, by a token or a task; a task that begins to drain; a registry that is closed; waits for several. */
void call_level(int a, int b, int c) {
  int token = some_token(b), task = some_task(b), registry = some_registry(b), actor = some_actor(a, 0);
  switch (c % 8) {
    case 0:
      if (token < 0) return;
      MUST_EQ(tokens[token].level < TR_STOP_ABORT, tr_token_abort(tokens[token].it, (tr_reason)(c / 8), NULL));
      model_abort_token(token, (tr_reason)(c / 8), 0);
      return;
    case 1:
      if (task < 0) return;
      MUST_EQ(TR_OK, tr_task_abort(tasks[task].it));
      model_abort(task);
      return;
    case 2: case 3: case 4:
      if (actor < 0) return;
      order_for(actor, BEGIN_DRAIN, 0);
      int expected = actor < HOSTS                                     ? TR_ERR_INVALID
                     : tasks[actor - HOSTS].level == TR_STOP_ABORT ? TR_ERR_CANCELLED
                                                                    : TR_OK;
      MUST_EQ(expected, ask(actor)->status);
      if (actor >= HOSTS) tasks[actor - HOSTS].draining = 1;
      return;
    case 5:
      if (registry < 0) return;
      MUST_EQ(TR_OK, tr_registry_close(registries[registry].it));
      registries[registry].closed = 1;
      MUST_EQ(1, tr_registry_is_closed(registries[registry].it));
      return;
    case 6: {
      if (task < 0) return;
      int fd = -1;
      MUST_EQ(TR_OK, tr_task_abort_fd(tasks[task].it, &fd));
      MUST_EQ(tasks[task].level == TR_STOP_ABORT, is_readable(fd));
      tr_registration *registration = NULL;
      tr_status status = tr_task_on_abort(tasks[task].it, on_abort, NULL, NULL, &registration);
      MUST_EQ(tasks[task].level == TR_STOP_ABORT ? TR_ERR_CANCELLED : TR_OK, status);
      if (status == TR_OK) MUST_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(registration));
      call_on_end(task, c & 8);
      return;
    }
    default: {
      if (token < 0) return;
      size_t index = 7;
      MUST_EQ(tokens[token].cancelled ? TR_OK : TR_ERR_TIMEDOUT, tr_token_wait_any(&tokens[token].it, 1, 0, &index));
      MUST_EQ(tokens[token].cancelled ? 0 : 7, index);
      MUST_EQ(tokens[token].level, tr_token_stop_level(tokens[token].it));
      int fd = -1;
      MUST_EQ(TR_OK, tr_token_abort_fd(tokens[token].it, &fd));
      MUST_EQ(tokens[token].level == TR_STOP_ABORT, is_readable(fd));
      tr_registration *registration = NULL;
      tr_status status = tr_token_on_abort(tokens[token].it, on_abort, NULL, NULL, &registration);
      MUST_EQ(tokens[token].level == TR_STOP_ABORT ? TR_ERR_CANCELLED : TR_OK, status);
      if (status == TR_OK) MUST_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(registration));
      pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
      pthread_cond_t never = PTHREAD_COND_INITIALIZER;
      MUST_EQ(0, pthread_mutex_lock(&mutex));
      MUST_EQ(tokens[token].cancelled ? TR_ERR_CANCELLED : TR_ERR_TIMEDOUT,
              tr_cond_wait_token(&never, &mutex, tokens[token].it, 0));
      MUST_EQ(0, pthread_mutex_unlock(&mutex));
    }
  }
}

/* Begins or ends the watch of no signal at all, or hands it over: there is one in the process. */
void call_watch(int b, int c) {
  int number = some_registry(b);
  if (c & 8 && watched >= 0) number = watched; /* which may be all that keeps the registry */
  if (number < 0) return;
  if (c & 32) {
    int from = watched >= 0 && c & 8 ? watched : number, to = some_registry(c);
    if (to < 0) return;
    MUST_EQ(watched == from ? TR_OK : TR_ERR_INVALID,
            tr_signal_watch_move(registries[from].it, registries[to].it));
    if (watched == from) watched = to;
  } else if (c % 3 != 0) {
    sigset_t signals;
    sigemptyset(&signals);
    if (c & 16) sigaddset(&signals, SIGKILL);
    const int array[] = {SIGKILL};
    MUST_EQ(watched < 0 && !(c & 16) ? TR_OK : TR_ERR_INVALID,
            c & 64 ? tr_signal_watch_start_array(registries[number].it, array, c & 16 ? 1 : 0, NULL)
                   : tr_signal_watch_start(registries[number].it, &signals, NULL));
    if (!(c & 16) && watched < 0) watched = number;
  } else {
    MUST_EQ(watched == number ? TR_OK : TR_ERR_INVALID, tr_signal_watch_stop(registries[number].it));
    if (watched == number) watched = -1;
  }
}

/* Asks for a cancel, and waits until the watch's thread is through with it. */
void call_request(int b, int c) {
  int number = some_token(b);
  if (number < 0) return;
  tr_token *token = tokens[number].it;
  MUST_EQ(watched < 0 ? TR_ERR_INVALID : TR_OK, tr_request_shutdown(token, (tr_reason)(c % 64)));
  if (watched < 0) return;
  model_cancel(number, (tr_reason)(c % 64), 0);
  MUST_EQ(TR_OK, tr_token_wait(token, -1));
  MUST_EQ(0, tr_token_cancel(token, 1, NULL)); /* returns once the flags below are up (C3) */
  for (int i = 0; i < token_count; i++) /* and these once it is on the way to their callbacks (C7) */
    if (tokens[i].cancelled && token_lives(i)) MUST_EQ(0, tr_token_cancel(tokens[i].it, 1, NULL));
  await_callbacks();
}

void await_callbacks(void) {
  for (int i = 0; i < registration_count; i++)
    while (registrations[i].expected && atomic_load(&registrations[i].dropped) == 0) usleep(20);
}

void call_on_cancel(int a, int b, int isTask) {
  int actor = some_actor(a, 0), owner = isTask ? some_task(b) : some_token(b);
  if (actor < 0 || owner < 0 || registration_count == REGISTRATIONS) return;
  int number = registration_count++;
  struct registration *registration = &registrations[number];
  *registration = (struct registration){.isUsed = 1, .isTask = isTask, .owner = owner};
  struct order *order = order_for(actor, isTask ? TASK_ON_CANCEL : TOKEN_ON_CANCEL, owner);
  order->how = number;
  int cancelled = isTask ? tasks[owner].flagged : tokens[owner].cancelled;
  ask(actor);
  MUST_EQ(cancelled ? TR_ERR_CANCELLED : TR_OK, order->status);
  registration->expected = cancelled;
  MUST_EQ(cancelled, registration->it == NULL);
}

void call_off_cancel(int a, int b) {
  int actor = some_actor(a, 0);
  if (actor < 0 || registration_count == 0) return;
  int number = b % registration_count;
  if (registrations[number].it == NULL) return;
  order_for(actor, OFF_CANCEL, number);
  ask(actor);
  registrations[number].it = NULL;
}
