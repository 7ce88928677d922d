/* callbacks.c - functions that are called on cancellation (C7). */

#include "support.h"

static tr_registration *on_token(tr_token *token, tr_cancel_fn fn, void *ctx, tr_drop_fn drop) {
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, fn, ctx, drop, &registration));
  CHECK(registration != NULL);
  return registration;
}

/* The actions of a callback. */
struct record {
  atomic_int calls, drops;
  pthread_t thread;
};

static void call_is_counted(void *ctx) {
  struct record *record = ctx;
  CHECK_EQ(0, atomic_load(&record->drops));
  record->thread = pthread_self();
  atomic_fetch_add(&record->calls, 1);
}

static void drop_is_counted(void *ctx) {
  struct record *record = ctx;
  atomic_fetch_add(&record->drops, 1);
}

/* Proves: a callback runs once, on the thread that cancels, before tr_token_cancel returns, and its
   drop after it, once; one that is undone before never runs, and its drop runs in its place (C7).
   Why it matters: it closes sockets.  Catches: two calls for two cancels; drop before fn, or
   twice. */
CASE(callback_runs_once_or_not_at_all) {
  tr_token *token = tr_token_create();
  struct record kept = {0}, undone = {0};
  tr_registration *first = on_token(token, call_is_counted, &kept, drop_is_counted);
  tr_registration *second = on_token(token, call_is_counted, &undone, drop_is_counted);
  CHECK_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(second));
  CHECK_EQ(1, atomic_load(&undone.drops));
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_NONE, NULL));
  CHECK_EQ(1, atomic_load(&kept.calls));
  CHECK_EQ(1, atomic_load(&kept.drops));
  CHECK(pthread_equal(kept.thread, pthread_self()));
  CHECK_EQ(0, tr_token_cancel(token, TR_REASON_NONE, NULL));
  CHECK_EQ(TR_REMOVAL_HAS_RUN, tr_registration_remove(first));
  CHECK_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(NULL));
  tr_token_release(token);
  CHECK_EQ(1, atomic_load(&kept.calls));
  CHECK_EQ(1, atomic_load(&kept.drops));
  CHECK_EQ(0, atomic_load(&undone.calls));
  CHECK_EQ(1, atomic_load(&undone.drops));
}

/* Proves: with the token cancelled already the function is called at once, by the call, which
   returns that and leaves nothing to undo (C7). Why it matters: a late registrant must not wait
   indefinitely. Catches: a callback that is only put on the list. */
CASE(late_registration_runs_at_once) {
  tr_token *token = tr_token_create();
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_NONE, NULL));
  struct record record = {0};
  tr_registration *registration = (tr_registration *)&record;
  CHECK_EQ(TR_ERR_CANCELLED,
           tr_token_on_cancel(token, call_is_counted, &record, drop_is_counted, &registration));
  CHECK(registration == NULL);
  CHECK_EQ(1, atomic_load(&record.calls));
  CHECK_EQ(1, atomic_load(&record.drops));
  tr_token_release(token);
}

struct family {
  tr_token *parent, *child;
  tr_registry *registry;
  tr_task *task;
  tr_registration *own;
  atomic_int calls;
};

static void everything_below_is_flagged(void *ctx) {
  struct family *family = ctx;
  CHECK(tr_token_is_cancelled(family->parent));
  CHECK(tr_token_is_cancelled(family->child));
  CHECK(tr_task_is_cancelled(family->task));
  /* and everything may be called: none of it waits for the cancel that is calling */
  CHECK_EQ(0, tr_token_cancel(family->parent, TR_REASON_FATAL, NULL));
  CHECK_EQ(0, tr_token_cancel(family->child, TR_REASON_FATAL, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(family->task));
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(family->registry, "late", TR_KIND_MAINTENANCE, body_never, NULL,
                                   NULL));
  CHECK_EQ(TR_OK, tr_task_wait(family->task, FOREVER, NULL));
  if (family->own != NULL) tr_registration_remove(family->own);
  atomic_fetch_add(&family->calls, 1);
}

/* Proves: callbacks of a token, of its child, and of a task run when the flags of all below are up, and
   may cancel, spawn, wait and undo themselves (C7, C1).  Why it matters: a callback is where the
   application's own shutdown begins.  Catches: a callback under a lock, or before its token is
   propagated: then the second cancel waits for itself. */
CASE(callbacks_run_after_all_flags_and_may_call_everything) {
  for (int round = 0; round < check_rounds(50); round++) {
    struct family family = {.parent = tr_token_create()};
    family.child = tr_token_child(family.parent);
    tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
    options.token = family.child;
    CHECK_EQ(TR_OK, create_registry(&options, &family.registry));
    family.task = spawn(family.registry, "obeys", body_obeys, NULL);
    tr_registration *other = NULL;
    int which = round % 3;
    if (which == 0) family.own = on_token(family.parent, everything_below_is_flagged, &family, NULL);
    if (which == 1) family.own = on_token(family.child, everything_below_is_flagged, &family, NULL);
    if (which == 2)
      CHECK_EQ(TR_OK, tr_task_on_cancel(family.task, everything_below_is_flagged, &family, NULL, &other));
    CHECK_EQ(1, tr_token_cancel(family.parent, TR_REASON_USER_REQUESTED, NULL));
    CHECK_EQ(1, atomic_load(&family.calls));
    tr_registration_remove(other);
    tr_task_release(family.task);
    registry_finish(family.registry);
    tr_token_release(family.child);
    tr_token_release(family.parent);
  }
}

static void token_is_released(void *ctx) { tr_token_release(ctx); }

/* Proves: a callback may release the application's last reference to its token (C7). Why it
   matters: owners tidy up when they are stopped. Catches: the token freed under the call that
   cancels it. */
CASE(callback_may_release_its_token) {
  tr_token *token = tr_token_create();
  tr_registration *registration = on_token(token, token_is_released, token, NULL);
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_NONE, NULL));
  tr_registration_remove(registration);
}

/* Proves: a task's callback runs for its handle, its token and the deadline of a join, and not when
   the task just ends (C7, C3).  Why it matters: it interrupts what only it knows how to.
   Catches: one of the ways left out; a callback that runs for the next task in the record. */
CASE(callbacks_of_a_task_run_however_it_is_stopped) {
  for (int way = 0; way < 4; way++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    gate_await(&gate, 1);
    struct record record = {0};
    tr_registration *registration = NULL;
    CHECK_EQ(TR_OK, tr_task_on_cancel(task, call_is_counted, &record, drop_is_counted, &registration));
    tr_task_release(task); /* the registration keeps it */
    if (way == 0) {
      tr_task *again = tr_task_retain(task);
      CHECK_EQ(TR_OK, tr_task_cancel(again));
      tr_task_release(again);
    }
    if (way == 1) CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_NONE, NULL));
    if (way == 2) CHECK_EQ(TR_ERR_DEADLINE, tr_join_all(registry, 0, NULL));
    while (way == 2 && atomic_load(&record.drops) == 0) breathe(); /* on a thread of the library's (J4) */
    CHECK_EQ(way < 3, atomic_load(&record.calls));
    gate_open(&gate);
    CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL)); /* a shutdown would ask it to stop */
    registry_finish(registry);
    CHECK_EQ(way < 3, atomic_load(&record.calls));
    CHECK_EQ(way < 3, atomic_load(&record.drops));
    CHECK_EQ(way < 3 ? TR_REMOVAL_HAS_RUN : TR_REMOVAL_NEVER_RUNS, tr_registration_remove(registration));
    CHECK_EQ(way < 3, atomic_load(&record.calls));
    CHECK_EQ(1, atomic_load(&record.drops));
  }
}

struct held {
  struct gate gate;
  atomic_int has_returned;
};

static void callback_is_held(void *ctx) {
  struct held *held = ctx;
  gate_pass(&held->gate);
  atomic_store(&held->has_returned, 1);
}

static void *cancel_token(void *token) {
  tr_token_cancel(token, TR_REASON_NONE, NULL);
  return NULL;
}

struct undo {
  tr_registration *registration;
  struct held *held;
  _Atomic(pid_t) thread_id;
};

static void *undo_held(void *argument) {
  struct undo *undo = argument;
  atomic_store(&undo->thread_id, gettid());
  CHECK_EQ(TR_REMOVAL_WAITED, tr_registration_remove(undo->registration));
  CHECK_EQ(1, atomic_load(&undo->held->has_returned));
  return NULL;
}

/* Proves: removing a callback that another thread runs waits for it, and returns that; removing
   another one does not (C7). Why it matters: the memory that the callback uses is freed next.
   Catches: tr_registration_remove that returns while fn runs; one lock for all callbacks. */
CASE(undoing_waits_for_that_callback_alone) {
  tr_token *token = tr_token_create();
  struct held held = {GATE_INIT, 0};
  struct record other = {0};
  tr_registration *idle = on_token(token, call_is_counted, &other, drop_is_counted);
  struct undo undo = {on_token(token, callback_is_held, &held, NULL), &held, 0};
  pthread_t canceller = thread_start(cancel_token, token);
  gate_await(&held.gate, 1);
  CHECK_EQ(0, atomic_load(&other.calls)); /* the latest runs first */
  CHECK_EQ(TR_REMOVAL_NEVER_RUNS, tr_registration_remove(idle)); /* and this one, never */
  CHECK_EQ(0, atomic_load(&held.has_returned));
  pthread_t undoer = thread_start(undo_held, &undo);
  await_asleep(&undo.thread_id);
  gate_open(&held.gate);
  thread_end(undoer);
  thread_end(canceller);
  CHECK_EQ(0, atomic_load(&other.calls));
  CHECK_EQ(1, atomic_load(&other.drops));
  tr_token_release(token);
}

/* ---- Everything at once --------------------------------------------------------------------- */

struct churn {
  tr_token *root;
  unsigned random;
  int operations;
  long calls, at_once, undone;
};

struct guarded {
  atomic_int calls, drops, is_gone;
};

static void guarded_call(void *ctx) {
  struct guarded *guarded = ctx;
  CHECK_EQ(0, atomic_load(&guarded->is_gone));
  CHECK_EQ(0, atomic_fetch_add(&guarded->calls, 1));
}

static void guarded_drop(void *ctx) {
  struct guarded *guarded = ctx;
  CHECK_EQ(0, atomic_load(&guarded->is_gone));
  CHECK_EQ(0, atomic_fetch_add(&guarded->drops, 1));
}

/* One of the tokens that all threads register with and cancel; replaced when it is cancelled. */
struct shared {
  pthread_mutex_t lock;
  tr_token *token;
};
static struct shared shared = {PTHREAD_MUTEX_INITIALIZER, NULL};

static tr_token *shared_token(int renew) {
  pthread_mutex_lock(&shared.lock);
  if (renew) {
    tr_token_release(shared.token);
    shared.token = tr_token_create();
  }
  tr_token *token = tr_token_retain(shared.token);
  pthread_mutex_unlock(&shared.lock);
  return token;
}

static void *churn_callbacks(void *argument) {
  struct churn *churn = argument;
  for (int i = 0; i < churn->operations; i++) {
    churn->random = churn->random * 1664525u + 1013904223u;
    tr_token *token = shared_token(0);
    struct guarded guarded = {0};
    tr_registration *registration = NULL;
    tr_status status = tr_token_on_cancel(token, guarded_call, &guarded, guarded_drop, &registration);
    CHECK(status == TR_OK || status == TR_ERR_CANCELLED);
    if (churn->random >> 24 < 16) {
      if (tr_token_cancel(token, TR_REASON_NONE, NULL)) tr_token_release(shared_token(1));
    }
    if (status == TR_OK) tr_registration_remove(registration);
    int calls = atomic_load(&guarded.calls);
    CHECK(calls <= 1);
    CHECK_EQ(1, atomic_load(&guarded.drops));
    atomic_store(&guarded.is_gone, 1);
    churn->at_once += status == TR_ERR_CANCELLED;
    churn->calls += calls;
    churn->undone += calls == 0;
    tr_token_release(token);
  }
  return NULL;
}

/* Proves: while four threads register, undo and cancel 1 000 000 times, each callback runs at most once,
   each drop once, and nothing runs after it was undone, though its context lives on the stack
   (C7).  Why it matters: the races are all here.  Catches: a callback taken and undone at once; a
   registration freed by both or by neither. */
CASE(callbacks_come_and_go_while_tokens_are_cancelled) {
  enum { threads = 4 };
  shared.token = tr_token_create();
  struct churn churns[threads];
  pthread_t running[threads];
  for (int i = 0; i < threads; i++) {
    churns[i] = (struct churn){NULL, (unsigned)i * 2654435761u, check_rounds(250000), 0, 0, 0};
    running[i] = thread_start(churn_callbacks, &churns[i]);
  }
  long calls = 0, undone = 0;
  for (int i = 0; i < threads; i++) {
    thread_end(running[i]);
    calls += churns[i].calls;
    undone += churns[i].undone;
  }
  CHECK_EQ((long)threads * check_rounds(250000), calls + undone);
  CHECK(calls > 0);
  CHECK(undone > 0);
  tr_token_release(shared.token);
}

struct own {
  struct record record;
  tr_token *token;
  tr_registration *registration;
  pthread_barrier_t *start;
};

static void call_undoes_itself(void *ctx) {
  struct own *own = ctx;
  atomic_fetch_add(&own->record.calls, 1);
  /* NULL where the function is called at once. */
  uint32_t expected = own->registration == NULL ? TR_REMOVAL_NEVER_RUNS : TR_REMOVAL_HAS_RUN;
  CHECK_EQ(expected, tr_registration_remove(own->registration));
}
static void own_drop_is_counted(void *ctx) {
  struct own *own = ctx;
  atomic_fetch_add(&own->record.drops, 1);
}
static void *cancel_at_once(void *argument) {
  struct own *own = argument;
  pthread_barrier_wait(own->start);
  tr_token_cancel(own->token, TR_REASON_NONE, NULL);
  return NULL;
}

/* Proves: a callback that removes its own registration while the call that registers it is still in
   progress runs once, and so does its drop (C7). Why it matters: a late registrant's callback has
   ended before the call returns, and the freed memory may be reused. Catches: reading a callback
   that its runner may have freed (with AddressSanitizer; the explorer finds it in any case). */
CASE(callback_may_undo_itself_before_it_is_registered) {
  for (int round = 0; round < check_rounds(2000); round++) {
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 2);
    struct own own = {.token = tr_token_create(), .start = &start};
    pthread_t canceller = thread_start(cancel_at_once, &own);
    pthread_barrier_wait(&start);
    tr_status status = tr_token_on_cancel(own.token, call_undoes_itself, &own, own_drop_is_counted,
                                          &own.registration);
    CHECK(status == TR_OK || status == TR_ERR_CANCELLED);
    thread_end(canceller);
    CHECK_EQ(1, atomic_load(&own.record.calls));
    CHECK_EQ(1, atomic_load(&own.record.drops));
    tr_token_release(own.token);
    pthread_barrier_destroy(&start);
  }
}

/* Proves: a token with which callbacks are registered and removed repeatedly does not grow (C7).
   Why it matters: the process's own token lives as long as it does. Catches: a list that keeps
   removed callbacks. */
CASE(callbacks_that_went_leave_nothing_behind) {
  tr_token *token = tr_token_create();
  struct record record = {0};
  for (int i = 0; i < check_rounds(1000); i++)
    tr_registration_remove(on_token(token, call_is_counted, &record, NULL));
  long before = resident_bytes();
  for (int i = 0; i < check_rounds(200000); i++)
    tr_registration_remove(on_token(token, call_is_counted, &record, NULL));
  long grown = resident_bytes() - before;
  if (!check_under_a_tool()) CHECK_MSG(grown < 1L << 20, "grown by %ld KiB", grown / 1024);
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_NONE, NULL));
  CHECK_EQ(0, atomic_load(&record.calls));
  tr_token_release(token);
}

/* Proves: NULL for any argument that must not be NULL is rejected, and nothing runs (P4). Why it
   matters: the boundary is where the errors are. Catches: a crash; a drop for a context that was
   never taken. */
CASE(null_is_rejected) {
  tr_token *token = tr_token_create();
  tr_registry *registry = registry_new();
  tr_task *task = spawn(registry, "obeys", body_obeys, NULL);
  tr_registration *registration = NULL;
  struct record record = {0};
  CHECK_EQ(TR_ERR_INVALID,
           tr_token_on_cancel(NULL, call_is_counted, &record, drop_is_counted, &registration));
  CHECK_EQ(TR_ERR_INVALID, tr_token_on_cancel(token, NULL, &record, drop_is_counted, &registration));
  CHECK_EQ(TR_ERR_INVALID,
           tr_token_on_cancel(token, call_is_counted, &record, drop_is_counted, NULL));
  CHECK_EQ(TR_ERR_INVALID,
           tr_task_on_cancel(NULL, call_is_counted, &record, drop_is_counted, &registration));
  CHECK_EQ(TR_ERR_INVALID, tr_task_on_cancel(task, NULL, &record, drop_is_counted, &registration));
  CHECK_EQ(TR_ERR_INVALID, tr_task_on_cancel(task, call_is_counted, &record, drop_is_counted, NULL));
  CHECK(registration == NULL);
  CHECK_EQ(1, tr_token_cancel(token, TR_REASON_NONE, NULL));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(0, atomic_load(&record.calls) + atomic_load(&record.drops));
  wait_and_release(task);
  registry_finish(registry);
  tr_token_release(token);
}

CHECK_MAIN(
    CHECK_ENTRY(callback_runs_once_or_not_at_all),
    CHECK_ENTRY(late_registration_runs_at_once),
    CHECK_ENTRY(callbacks_run_after_all_flags_and_may_call_everything),
    CHECK_ENTRY(callback_may_release_its_token),
    CHECK_ENTRY(callbacks_of_a_task_run_however_it_is_stopped),
    CHECK_ENTRY(undoing_waits_for_that_callback_alone),
    CHECK_ENTRY(callbacks_come_and_go_while_tokens_are_cancelled),
    CHECK_ENTRY(callback_may_undo_itself_before_it_is_registered),
    CHECK_ENTRY(callbacks_that_went_leave_nothing_behind),
    CHECK_ENTRY(null_is_rejected))
