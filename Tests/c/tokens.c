/* tokens.c - tokens: one-shot cancellation, children, messages, waiting. Rules C1, C2, C4, G2. */

#include "support.h"

static void check_message(const tr_token *token, const char *expected) {
  char text[300];
  memset(text, 'x', sizeof text);
  CHECK_EQ(strlen(expected), tr_token_message(token, text, sizeof text));
  CHECK_STR(expected, text);
}

/* Proves: the first cancel returns 1 and alone records reason and message; later ones return 0 and
   change nothing (C1). Why it matters: a report that names the wrong cause is misleading. Catches:
   storing the reason on every call; returning 1 twice. */
CASE(first_cancel_wins_and_alone_is_recorded) {
  tr_token *token = tr_token_create();
  CHECK(token != NULL);
  CHECK_EQ(0, tr_token_is_cancelled(token));
  CHECK_EQ(TR_REASON_NONE, tr_token_reason(token));
  check_message(token, "");
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_RELOAD_REQUESTED, "first"));
  CHECK_EQ(1, tr_token_is_cancelled(token));
  CHECK_EQ(0, tr_token_cancel(token, TR_REASON_FATAL, "second"));
  CHECK_EQ(0, tr_token_cancel(token, TR_REASON_NONE, NULL));
  CHECK_EQ(1, tr_token_is_cancelled(token));
  CHECK_EQ(TR_REASON_RELOAD_REQUESTED, tr_token_reason(token));
  check_message(token, "first");
  tr_token_release(token);
}

struct race {
  tr_token *token;
  pthread_barrier_t *start;
  unsigned number;
  int won;
};

static void *race_to_cancel(void *argument) {
  struct race *race = argument;
  char message[32];
  snprintf(message, sizeof message, "racer %u", race->number);
  pthread_barrier_wait(race->start);
  race->won = tr_token_cancel(race->token, race->number, message);
  CHECK_EQ(1, tr_token_is_cancelled(race->token));
  CHECK(tr_token_reason(race->token) != 0);
  return NULL;
}

/* Proves: of eight threads that cancel at once exactly one wins, and reason and message are both
   the winner's (C1).  Why it matters: shutdown is asked for from several places at once, by a
   signal and an RPC for instance.  Catches: test and set that are not one step; recording the
   message after the flag. */
CASE(one_of_many_racing_cancels_wins) {
  for (int round = 0; round < check_rounds(300); round++) {
    tr_token *token = tr_token_create();
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 8);
    struct race races[8];
    pthread_t threads[8];
    for (unsigned i = 0; i < 8; i++) {
      races[i] = (struct race){token, &start, i + 1, -1};
      threads[i] = thread_start(race_to_cancel, &races[i]);
    }
    unsigned winners = 0, winner = 0;
    for (int i = 0; i < 8; i++) {
      thread_end(threads[i]);
      CHECK(races[i].won == 0 || races[i].won == 1);
      winners += (unsigned)races[i].won;
      if (races[i].won) winner = races[i].number;
    }
    CHECK_EQ(1, winners);
    CHECK_EQ(winner, tr_token_reason(token));
    char message[32];
    snprintf(message, sizeof message, "racer %u", winner);
    check_message(token, message);
    pthread_barrier_destroy(&start);
    tr_token_release(token);
  }
}

static void *read_reason_on_sight(void *argument) {
  const tr_token *token = argument;
  while (!tr_token_is_cancelled(token)) sched_yield();
  CHECK_EQ(TR_REASON_RPC_REQUESTED, tr_token_reason(token));
  check_message(token, "why it stopped");
  return NULL;
}

/* Proves: a thread that sees the flag sees the reason and the message (C1). Why it matters: a task
   reads the reason in the very loop pass in which it sees the flag. Catches: raising the flag
   before the reason is stored; a relaxed store of the flag. */
CASE(reason_is_there_for_whoever_sees_the_flag) {
  for (int round = 0; round < check_rounds(300); round++) {
    tr_token *token = tr_token_create();
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) threads[i] = thread_start(read_reason_on_sight, token);
    CHECK_EQ(1, tr_token_cancel(token, TR_REASON_RPC_REQUESTED, "why it stopped"));
    for (int i = 0; i < 3; i++) thread_end(threads[i]);
    tr_token_release(token);
  }
}

/* Proves: any number is recorded as the reason it is given as, 0 and the largest included, and a
   token without reason is cancelled all the same (C1).  Why it matters: applications have
   reasons of their own.  Catches: using reason 0 to mean "not cancelled"; masking the number. */
CASE(any_reason_is_recorded_as_given) {
  const tr_reason reasons[] = {TR_REASON_NONE, TR_REASON_FATAL, 6, 0x100, 0x80000000u, UINT32_MAX};
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
    tr_token *token = tr_token_create();
    CHECK_EQ(1, tr_token_cancel(token, reasons[i], NULL));
    CHECK_EQ(1, tr_token_is_cancelled(token));
    CHECK_EQ(reasons[i], tr_token_reason(token));
    CHECK_EQ(0, tr_token_cancel(token, 99, "late"));
    CHECK_EQ(reasons[i], tr_token_reason(token));
    check_message(token, "");
    tr_token_release(token);
  }
}

/* Proves: a child is cancelled with its parent and carries the parent's reason, a grandchild
   too, and a later cancel of the child returns 0 (C2).  Why it matters: one call stops a whole
   subtree.  Catches: cancelling only direct children; leaving the child's reason empty. */
CASE(child_is_cancelled_with_its_parent) {
  tr_token *parent = tr_token_create();
  tr_token *child = tr_token_child(parent);
  tr_token *grandchild = tr_token_child(child);
  CHECK(child != NULL && grandchild != NULL);
  CHECK_EQ(0, tr_token_is_cancelled(child));
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_USER_REQUESTED, "ctrl-c"));
  CHECK_EQ(1, tr_token_is_cancelled(child));
  CHECK_EQ(1, tr_token_is_cancelled(grandchild));
  CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(child));
  CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(grandchild));
  check_message(grandchild, "ctrl-c");
  CHECK_EQ(0, tr_token_cancel(child, TR_REASON_FATAL, "late"));
  CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(child));
  tr_token_release(grandchild);
  tr_token_release(child);
  tr_token_release(parent);
}

/* Proves: cancelling a child touches neither parent nor sibling (C2).  Why it matters: one
   connection is stopped without stopping the service.  Catches: upward propagation; a flag
   shared by the family. */
CASE(parent_and_siblings_are_untouched_by_a_child) {
  tr_token *parent = tr_token_create();
  tr_token *one = tr_token_child(parent);
  tr_token *two = tr_token_child(parent);
  CHECK_EQ(1, tr_token_cancel(one, TR_REASON_FATAL, "only me"));
  CHECK_EQ(0, tr_token_is_cancelled(parent));
  CHECK_EQ(0, tr_token_is_cancelled(two));
  CHECK_EQ(TR_REASON_NONE, tr_token_reason(parent));
  check_message(parent, "");
  tr_token_release(one);
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_USER_REQUESTED, NULL));
  CHECK_EQ(1, tr_token_is_cancelled(two));
  tr_token_release(two);
  tr_token_release(parent);
}

/* Proves: a child that was cancelled first keeps its own reason and message when the parent is
   cancelled, and the parent's own are not replaced by the child's (C2).  Why it matters: in the
   original a child's reason overwrote its parent's.  Catches: one reason for the whole family;
   overwriting on propagation. */
CASE(child_keeps_a_reason_of_its_own) {
  tr_token *parent = tr_token_create();
  tr_token *child = tr_token_child(parent);
  CHECK_EQ(1, tr_token_cancel(child, TR_REASON_RELOAD_REQUESTED, "child"));
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_FATAL, "parent"));
  CHECK_EQ(TR_REASON_RELOAD_REQUESTED, tr_token_reason(child));
  check_message(child, "child");
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(parent));
  check_message(parent, "parent");
  tr_token_release(parent);
  tr_token_release(child);
}

/* Proves: a child of a cancelled parent is created cancelled, with the parent's reason and message
   (C2). Why it matters: otherwise a connection accepted during shutdown would never be cancelled.
   Catches: linking without checking the parent's state. */
CASE(child_of_a_cancelled_parent_is_born_cancelled) {
  tr_token *parent = tr_token_create();
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_REQUESTED_BY_RUN, "done"));
  tr_token *child = tr_token_child(parent);
  CHECK(child != NULL);
  CHECK_EQ(1, tr_token_is_cancelled(child));
  CHECK_EQ(TR_REASON_REQUESTED_BY_RUN, tr_token_reason(child));
  check_message(child, "done");
  CHECK_EQ(0, tr_token_cancel(child, TR_REASON_FATAL, "late"));
  CHECK_EQ(TR_OK, tr_token_wait(child, FOREVER));
  tr_token_release(child);
  tr_token_release(parent);
}

/* Proves: when cancel returns, every flag below the token is up: tokens of a tree of 111, the
   registries linked to its leaves and their tasks (C2, C3).  Why it matters: after the call no
   new work may be accepted anywhere below.  Catches: propagation done by another thread, or
   after the return. */
CASE(cancel_reaches_everything_below_before_it_returns) {
  struct gate gate = GATE_INIT;
  tr_token *root = tr_token_create();
  tr_token *middle[10], *leaf[10][10];
  tr_registry *registries[10];
  tr_task *tasks[10];
  for (int i = 0; i < 10; i++) {
    middle[i] = tr_token_child(root);
    for (int j = 0; j < 10; j++) leaf[i][j] = tr_token_child(middle[i]);
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.token = leaf[i][i];
    CHECK_EQ(TR_OK, create_registry(&options, &registries[i]));
    tasks[i] = spawn(registries[i], "leaf", body_deaf, &gate);
  }
  CHECK_EQ(1, tr_token_cancel(root, TR_REASON_USER_REQUESTED, "all"));
  for (int i = 0; i < 10; i++) {
    CHECK_EQ(1, tr_token_is_cancelled(middle[i]));
    for (int j = 0; j < 10; j++) CHECK_EQ(1, tr_token_is_cancelled(leaf[i][j]));
    CHECK_EQ(1, tr_task_is_cancelled(tasks[i]));
    CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registries[i], "late", TR_KIND_RPC_HANDLER, body_never, NULL,
                                     NULL));
  }
  gate_open(&gate);
  for (int i = 0; i < 10; i++) {
    registry_finish(registries[i]);
    tr_task_release(tasks[i]);
    for (int j = 0; j < 10; j++) tr_token_release(leaf[i][j]);
    tr_token_release(middle[i]);
  }
  tr_token_release(root);
}

struct second_cancel {
  tr_token *token;
  pthread_barrier_t *start;
  tr_task **tasks;
  int count, delay;
  int looks_anyway; /* also when its call returned 0 */
};

static void *cancel_and_look(void *argument) {
  struct second_cancel *second = argument;
  pthread_barrier_wait(second->start);
  for (int i = 0; i < second->delay; i++) sched_yield();
  int won = tr_token_cancel(second->token, TR_REASON_FATAL, "race");
  if (!won && !second->looks_anyway) return NULL;
  for (int i = 0; i < second->count; i++) CHECK_EQ(1, tr_task_is_cancelled(second->tasks[i]));
  return NULL;
}

/* Two threads cancel a child token with a registry of a hundred tasks, the second a moment later
   or, when `on_parent`, its parent. Both check all the flags as soon as their call has returned;
   with `on_parent` only if it returned 1, as it always does on the parent. */
static void check_second_cancel(int on_parent) {
  enum { tasks = 100 };
  for (int round = 0; round < check_rounds(200); round++) {
    tr_token *parent = tr_token_create(), *child = tr_token_child(parent);
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.token = child;
    tr_registry *registry = NULL;
    CHECK_EQ(TR_OK, create_registry(&options, &registry));
    struct gate gate = GATE_INIT;
    tr_task *handles[tasks];
    for (int i = 0; i < tasks; i++) handles[i] = spawn(registry, "deaf", body_deaf, &gate);
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    struct second_cancel first = {child, &start, handles, tasks, 0, !on_parent};
    struct second_cancel second = {on_parent ? parent : child, &start, handles, tasks, round % 4,
                                   !on_parent};
    pthread_t thread = thread_start(cancel_and_look, &first);
    cancel_and_look(&second);
    thread_end(thread);
    gate_open(&gate);
    for (int i = 0; i < tasks; i++) tr_task_release(handles[i]);
    registry_finish(registry);
    pthread_barrier_destroy(&start);
    tr_token_release(child);
    tr_token_release(parent);
  }
}

/* Proves: when the cancel of a parent returns, every flag below is up, also below a child that
   another thread is just cancelling itself (C2, C3). Why it matters: the canceller continues with
   steps that must not overlap with new work. Catches: passing over a child that is found cancelled
   already. */
CASE(cancel_of_a_parent_is_complete_beside_that_of_a_child) { check_second_cancel(1); }

/* Proves: when a cancel returns 0, because another was first, every flag below is up all the same
   (C1, C3). Why it matters: the header guarantees it for every return, not only for a return of 1.
   Catches: returning as soon as the token is found cancelled already. */
CASE(second_cancel_returns_with_every_flag_up) { check_second_cancel(0); }

/* Proves: a child keeps its parent alive: the middle of a chain may be released first and a
   cancel of the top still reaches the bottom (C2).  Why it matters: owners release in any order.
   Catches: a child that refers to its parent weakly; unlinking on the owner's release. */
CASE(child_keeps_its_parent_alive) {
  tr_token *top = tr_token_create();
  tr_token *middle = tr_token_child(top);
  tr_token *bottom = tr_token_child(middle);
  tr_token_release(middle);
  CHECK_EQ(1, tr_token_cancel(top, TR_REASON_USER_REQUESTED, "through the gap"));
  CHECK_EQ(1, tr_token_is_cancelled(bottom));
  check_message(bottom, "through the gap");
  tr_token_release(top);
  CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(bottom));
  tr_token_release(bottom);
}

/* Proves: a chain of 10 000 tokens can be cancelled from its top and released from its top, so
   that the last release frees them all, without a crash (C2, P4).  Why it matters: depth is the
   caller's choice, the stack is not.  Catches: a crash by recursion into children or parents. */
CASE(deep_chain_is_cancelled_and_freed) {
  enum { depth = 10000 };
  static tr_token *chain[depth];
  for (int cancelled = 0; cancelled < 2; cancelled++) {
    chain[0] = tr_token_create();
    for (int i = 1; i < depth; i++) {
      chain[i] = tr_token_child(chain[i - 1]);
      CHECK(chain[i] != NULL);
    }
    if (cancelled) {
      CHECK_EQ(1, tr_token_cancel(chain[0], TR_REASON_FATAL, "deep"));
      CHECK_EQ(TR_REASON_FATAL, tr_token_reason(chain[depth - 1]));
    }
    for (int i = 0; i < depth; i++) tr_token_release(chain[i]);
  }
}

/* Proves: the last release of a parent's owner cancels nothing, and a token lives as long as one
   reference is left (C2, G1).  Why it matters: releasing is forgetting, not stopping.  Catches:
   cancel in the destructor; retain that does not count. */
CASE(release_cancels_nothing) {
  tr_token *parent = tr_token_create();
  tr_token *child = tr_token_child(parent);
  CHECK(tr_token_retain(parent) == parent);
  tr_token_release(parent);
  CHECK_EQ(0, tr_token_is_cancelled(parent));
  tr_token_release(parent);
  CHECK_EQ(0, tr_token_is_cancelled(child));
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait(child, 0));
  CHECK_EQ(1, tr_token_cancel(child, TR_REASON_USER_REQUESTED, NULL));
  tr_token_release(child);
}

/* Proves: children released in every order leave the rest intact (C2, P4).  Why it matters: each
   connection has a child token and they come and go for months.  Catches: broken links in the
   parent's list of children; a released child that is still cancelled. */
CASE(children_may_be_released_in_any_order) {
  int order[4];
  for (order[0] = 0; order[0] < 4; order[0]++)
    for (order[1] = 0; order[1] < 4; order[1]++)
      for (order[2] = 0; order[2] < 4; order[2]++) {
        order[3] = 6 - order[0] - order[1] - order[2];
        if (order[0] == order[1] || order[0] == order[2] || order[1] == order[2]) continue;
        for (int kept = 0; kept <= 4; kept++) {
          tr_token *parent = tr_token_create(), *children[4];
          for (int i = 0; i < 4; i++) children[i] = tr_token_child(parent);
          for (int i = 0; i < 4 - kept; i++) tr_token_release(children[order[i]]);
          CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_USER_REQUESTED, NULL));
          for (int i = 4 - kept; i < 4; i++) {
            CHECK_EQ(1, tr_token_is_cancelled(children[order[i]]));
            tr_token_release(children[order[i]]);
          }
          tr_token_release(parent);
        }
      }
}

struct nursery {
  tr_token *parent;
  pthread_barrier_t *start;
  tr_token *children[200];
  int keeps; /* whether the children are kept until the end */
};

static void *make_children(void *argument) {
  struct nursery *nursery = argument;
  pthread_barrier_wait(nursery->start);
  for (int i = 0; i < 200; i++) {
    nursery->children[i] = tr_token_child(nursery->parent);
    CHECK(nursery->children[i] != NULL);
    if (!nursery->keeps) tr_token_release(nursery->children[i]);
  }
  return NULL;
}

/* Proves: a child made while its parent is being cancelled is cancelled too, born so or reached,
   and children may be released meanwhile (C2).  Why it matters: this race is every shutdown of a
   busy service.  Catches: a gap between looking at the parent and joining its list; a cancel
   that walks freed children. */
CASE(no_child_slips_through_a_cancel) {
  for (int round = 0; round < check_rounds(200); round++) {
    tr_token *parent = tr_token_create();
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 3);
    static struct nursery keeper, forgetter;
    keeper = (struct nursery){parent, &start, {0}, 1};
    forgetter = (struct nursery){parent, &start, {0}, 0};
    pthread_t one = thread_start(make_children, &keeper);
    pthread_t two = thread_start(make_children, &forgetter);
    pthread_barrier_wait(&start);
    for (int i = 0; i < round % 16; i++) sched_yield();
    CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_FATAL, "race"));
    thread_end(one);
    thread_end(two);
    for (int i = 0; i < 200; i++) {
      CHECK_EQ(1, tr_token_is_cancelled(keeper.children[i]));
      CHECK_EQ(TR_REASON_FATAL, tr_token_reason(keeper.children[i]));
      tr_token_release(keeper.children[i]);
    }
    pthread_barrier_destroy(&start);
    tr_token_release(parent);
  }
}

/* Check the kept part of the message `given`. */
static void check_kept(const char *given, const char *expected) {
  tr_token *token = tr_token_create();
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, given));
  check_message(token, expected);
  tr_token_release(token);
}

/* Proves: 255 bytes of a message are kept, cut at a character and before anything that is not UTF-8
   (C1, P4). Why it matters: messages end up in logs and terminals. Catches: cutting inside a
   character; copying without a limit; not cancelling because of a bad message. */
CASE(message_is_cut_at_a_character) {
  char text[400];
  memset(text, 'm', sizeof text);
  for (int length = 254; length <= 257; length++) {
    char given[400], expected[400];
    snprintf(given, sizeof given, "%.*s", length, text);
    snprintf(expected, sizeof expected, "%.*s", length < 255 ? length : 255, text);
    check_kept(given, expected);
  }
  static const char *const wide[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
  for (int w = 0; w < 3; w++) {
    int size = (int)strlen(wide[w]);
    for (int before = 255 - size - 1; before <= 256; before++) {
      char given[400], expected[400];
      snprintf(given, sizeof given, "%.*s%s", before, text, wide[w]);
      if (before + size <= 255)
        snprintf(expected, sizeof expected, "%s", given);
      else
        snprintf(expected, sizeof expected, "%.*s", before < 255 ? before : 255, text);
      check_kept(given, expected);
    }
  }
  check_kept("good\xFF" "bad", "good");
  check_kept("\x80", "");
  check_kept("a\xC3", "a");
  check_kept("a\xC0\xAF", "a");
  check_kept("a\xED\xA0\x80z", "a");
  check_kept("a\xF4\x90\x80\x80z", "a");
  check_kept("", "");
  check_kept(NULL, "");
  char *huge = malloc(100001);
  CHECK(huge != NULL);
  memset(huge, 'h', 100000);
  huge[100000] = 0;
  char expected[256];
  snprintf(expected, sizeof expected, "%.255s", huge);
  check_kept(huge, expected);
  free(huge);
}

/* Proves: tr_token_message copies as snprintf would: whole length returned, capacity respected,
   cut at a character, NUL-terminated (C1, P4).  Why it matters: callers size their buffers by
   it.  Catches: writing one byte too many; returning the bytes copied; half a character. */
CASE(message_copy_respects_the_buffer) {
  tr_token *token = tr_token_create();
  const char *message = "ab\xE2\x82\xAC" "d"; /* a b euro d: 6 bytes */
  CHECK_EQ(0, tr_token_message(token, NULL, 0));
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, message));
  CHECK_EQ(6, tr_token_message(token, NULL, 0));
  CHECK_EQ(6, tr_token_message(token, NULL, 10));
  static const char *const expected[] = {NULL, "", "a", "ab", "ab", "ab", "ab\xE2\x82\xAC"};
  for (size_t capacity = 0; capacity <= 8; capacity++) {
    char buffer[16];
    memset(buffer, '#', sizeof buffer);
    CHECK_EQ(6, tr_token_message(token, buffer, capacity));
    if (capacity > 0) CHECK_STR(capacity <= 6 ? expected[capacity] : message, buffer);
    for (size_t i = capacity; i < sizeof buffer; i++) CHECK_EQ('#', buffer[i]);
  }
  char buffer[16];
  memset(buffer, '#', sizeof buffer);
  CHECK_EQ(6, tr_token_message(token, buffer, SIZE_MAX));
  CHECK_STR(message, buffer);
  CHECK_EQ(0, tr_token_message(NULL, buffer, sizeof buffer));
  tr_token_release(token);
}

/* Proves: a wait with a timeout ends with TIMEDOUT and not before its time, one of 0 only checks,
   and on a cancelled token every wait is TR_OK at once (C4). Why it matters: the timeout is the
   caller's budget. Catches: confusing units; treating 0 as unlimited; waiting on a set flag. */
CASE(wait_times_out_and_looks) {
  tr_token *token = tr_token_create();
  int64_t start = now_ns();
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait(token, 0));
  CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - start);
  start = now_ns();
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait(token, 30 * MS));
  CHECK_BETWEEN_NS(30 * MS, 30 * MS + AT_ONCE, now_ns() - start);
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, NULL));
  const int64_t timeouts[] = {0, 1, SECOND, INT64_MAX, -1, INT64_MIN};
  start = now_ns();
  for (size_t i = 0; i < sizeof timeouts / sizeof *timeouts; i++)
    CHECK_EQ(TR_OK, tr_token_wait(token, timeouts[i]));
  CHECK_BETWEEN_NS(0, AT_ONCE, now_ns() - start);
  tr_token_release(token);
}

struct waiter {
  tr_token *token;
  int64_t timeout;
  tr_status status;
  _Atomic(pid_t) tid;
};

static void *wait_for_token(void *argument) {
  struct waiter *waiter = argument;
  atomic_store(&waiter->tid, gettid());
  waiter->status = tr_token_wait(waiter->token, waiter->timeout);
  return NULL;
}

/* Proves: every waiter of a token and of its child wakes when the parent is cancelled, whatever
   its timeout, the largest and the most negative included (C2, C4).  Why it matters: a waiter
   left behind hangs the shutdown.  Catches: signal instead of broadcast; overflow of the
   deadline. */
CASE(cancel_wakes_every_waiter) {
  tr_token *parent = tr_token_create();
  tr_token *child = tr_token_child(parent);
  const int64_t timeouts[] = {-1, INT64_MAX - 1, INT64_MAX, 3600 * SECOND};
  struct waiter waiters[8];
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) {
    memset(&waiters[i], 0, sizeof waiters[i]);
    waiters[i].token = i % 2 ? child : parent;
    waiters[i].timeout = timeouts[i / 2];
    waiters[i].status = -99;
    threads[i] = thread_start(wait_for_token, &waiters[i]);
  }
  for (int i = 0; i < 8; i++) await_asleep(&waiters[i].tid);
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_USER_REQUESTED, NULL));
  for (int i = 0; i < 8; i++) {
    thread_end(threads[i]);
    CHECK_EQ(TR_OK, waiters[i].status);
  }
  tr_token_release(child);
  tr_token_release(parent);
}

/* Proves: a cancel that meets a wait just beginning is never lost (C4).  Why it matters: a lost
   wake-up is a hang that no test of order finds.  Catches: testing the flag before the lock is
   taken and waiting after. */
CASE(no_wake_up_of_a_token_wait_is_lost) {
  for (int round = 0; round < check_rounds(2000); round++) {
    struct waiter waiter;
    memset(&waiter, 0, sizeof waiter);
    waiter.token = tr_token_create();
    waiter.timeout = FOREVER;
    pthread_t thread = thread_start(wait_for_token, &waiter);
    while (round % 2 && atomic_load(&waiter.tid) == 0) sched_yield();
    for (int i = 0; i < round % 7; i++) sched_yield();
    CHECK_EQ(1, tr_token_cancel(waiter.token, TR_REASON_USER_REQUESTED, NULL));
    thread_end(thread);
    CHECK_EQ(TR_OK, waiter.status);
    tr_token_release(waiter.token);
  }
}

/* Proves: a registry is linked to the token of its options or to one of its own, and
   tr_registry_token returns it, borrowed (G2).  Why it matters: the token is how a program stops
   a registry from afar.  Catches: returning a copy; not retaining the caller's token. */
CASE(registry_is_linked_to_its_token) {
  tr_registry *own = registry_new();
  tr_token *borrowed = tr_registry_token(own);
  CHECK(borrowed != NULL);
  CHECK(tr_registry_token(own) == borrowed);
  CHECK_EQ(0, tr_token_is_cancelled(borrowed));
  CHECK_EQ(1, tr_token_cancel(borrowed, TR_REASON_USER_REQUESTED, NULL));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(own, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  registry_finish(own);

  tr_token *token = tr_token_create();
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.token = token;
  tr_registry *linked = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &linked));
  CHECK(tr_registry_token(linked) == token);
  tr_token_release(token); /* the registry's reference keeps it */
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(linked)));
  tr_token *kept = tr_token_retain(tr_registry_token(linked));
  registry_finish(linked);
  CHECK_EQ(1, tr_token_is_cancelled(kept)); /* and a retained one outlives the registry */
  CHECK_EQ(TR_REASON_REQUESTED_BY_RUN, tr_token_reason(kept));
  check_message(kept, "end of case");
  tr_token_release(kept);
}

/* Proves: two registries linked to one token both close when it is cancelled, by a shutdown of
   either too (G2, S5).  Why it matters: one token stops a service of several registries.
   Catches: a token that knows one registry only. */
CASE(one_token_closes_every_registry_linked_to_it) {
  tr_token *token = tr_token_create();
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.token = token;
  tr_registry *one = NULL, *two = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &one));
  CHECK_EQ(TR_OK, create_registry(&options, &two));
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(two, "obeys", body_obeys, &gate);
  gate_await(&gate, 1);
  CHECK_EQ(TR_OK, shutdown_fully(one, TR_REASON_RELOAD_REQUESTED, "both", 0, NULL));
  CHECK_EQ(1, tr_token_is_cancelled(token));
  CHECK_EQ(1, tr_task_is_cancelled(task));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(two, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  wait_and_release(task);
  registry_finish(one);
  registry_finish(two);
  CHECK_EQ(TR_REASON_RELOAD_REQUESTED, tr_token_reason(token));
  tr_token_release(token);
}

static void *cancel_token(void *argument) {
  tr_token_cancel(argument, TR_REASON_FATAL, "race");
  return NULL;
}

/* Proves: registries linked to a token may be released before and after it is cancelled, and
   while it is being cancelled by another thread, in any order (G2, G3, P4).  Why it matters: the
   list of what hangs on a token changes all the time.  Catches: a token that calls into a freed
   registry. */
CASE(registries_come_and_go_under_a_token) {
  for (int round = 0; round < check_rounds(300); round++) {
    tr_token *token = tr_token_create();
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.token = token;
    tr_registry *registries[6];
    for (int i = 0; i < 6; i++) CHECK_EQ(TR_OK, create_registry(&options, &registries[i]));
    tr_registry_release(registries[3]);
    pthread_t thread = thread_start(cancel_token, token);
    tr_registry_release(registries[0]);
    tr_registry_release(registries[5]);
    tr_registry_release(registries[1]);
    thread_end(thread);
    tr_registry_release(registries[4]);
    CHECK_EQ(TR_ERR_CLOSED,
             tr_spawn(registries[2], "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
    tr_token_release(token);
    tr_registry_release(registries[2]);
  }
}

/* Proves: a registry created with a cancelled token is closed from birth, and shutting it down
   is TR_OK (G2, S5).  Why it matters: a service that starts while it is being stopped must not
   run.  Catches: closing on the event of a cancel only, not on the state. */
CASE(registry_with_a_cancelled_token_is_born_closed) {
  tr_token *token = tr_token_create();
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_FATAL, "too late"));
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.token = token;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(registry, "late", TR_KIND_RPC_HANDLER, body_never, NULL, NULL));
  CHECK_EQ(0, tr_len(registry));
  registry_finish(registry);
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(token));
  tr_token_release(token);
}

CHECK_MAIN(
    CHECK_ENTRY(first_cancel_wins_and_alone_is_recorded),
    CHECK_ENTRY(one_of_many_racing_cancels_wins),
    CHECK_ENTRY(reason_is_there_for_whoever_sees_the_flag),
    CHECK_ENTRY(any_reason_is_recorded_as_given),
    CHECK_ENTRY(child_is_cancelled_with_its_parent),
    CHECK_ENTRY(parent_and_siblings_are_untouched_by_a_child),
    CHECK_ENTRY(child_keeps_a_reason_of_its_own),
    CHECK_ENTRY(child_of_a_cancelled_parent_is_born_cancelled),
    CHECK_ENTRY(cancel_reaches_everything_below_before_it_returns),
    CHECK_ENTRY(cancel_of_a_parent_is_complete_beside_that_of_a_child),
    CHECK_ENTRY(second_cancel_returns_with_every_flag_up),
    CHECK_ENTRY(child_keeps_its_parent_alive),
    CHECK_ENTRY(deep_chain_is_cancelled_and_freed),
    CHECK_ENTRY(release_cancels_nothing),
    CHECK_ENTRY(children_may_be_released_in_any_order),
    CHECK_ENTRY(no_child_slips_through_a_cancel),
    CHECK_ENTRY(message_is_cut_at_a_character),
    CHECK_ENTRY(message_copy_respects_the_buffer),
    CHECK_ENTRY(wait_times_out_and_looks),
    CHECK_ENTRY(cancel_wakes_every_waiter),
    CHECK_ENTRY(no_wake_up_of_a_token_wait_is_lost),
    CHECK_ENTRY(registry_is_linked_to_its_token),
    CHECK_ENTRY(one_token_closes_every_registry_linked_to_it),
    CHECK_ENTRY(registries_come_and_go_under_a_token),
    CHECK_ENTRY(registry_with_a_cancelled_token_is_born_closed))
