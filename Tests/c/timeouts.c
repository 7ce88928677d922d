/* timeouts.c - tokens that are cancelled at a moment, and the one thread that does it. Rule C11, with
   C1, C2, C6, C7, P1. */

#include "support.h"

#include "forking.h"

#include <poll.h>

#define TIMEOUT_MESSAGE "the token's timeout has passed"

static int is_readable(int fd, int timeout_ms) {
  struct pollfd one = {fd, POLLIN, 0};
  int ready = poll(&one, 1, timeout_ms);
  CHECK(ready >= 0);
  return ready == 1 && one.revents == POLLIN;
}

static tr_token *timed(tr_token *parent, int64_t timeout) {
  tr_token *token = tr_token_child_with_timeout(parent, timeout);
  CHECK(token != NULL);
  return token;
}

static void check_timed_out(tr_token *token) {
  char text[256];
  CHECK_EQ(1, tr_token_is_cancelled(token));
  CHECK_EQ(TR_REASON_DEADLINE, tr_token_reason(token));
  tr_token_message(token, text, sizeof text);
  CHECK_STR(TIMEOUT_MESSAGE, text);
  CHECK_STR("deadline", tr_reason_name(tr_token_reason(token)));
}

static void callback_arrives(void *ctx) { gate_arrive(ctx); }

/* Proves: when its timeout has passed a token is cancelled with TR_REASON_DEADLINE, not earlier, and
   like by any other cancel: its descriptor becomes readable, its callbacks run, waits for it end, its
   children and the tasks of a linked registry are flagged; its parent is not (C11, C2, C6, C7).  Why
   it matters: a timeout is another way to the one thing everybody waits for.  Catches: a timeout that
   sets the flag and nothing else. */
CASE(a_timeout_cancels_like_any_other_cancel) {
  tr_token *parent = tr_token_create();
  int64_t start = now_ns(), time = 300 * MS * check_scale(); /* all is set up before it has passed */
  tr_token *token = timed(parent, time), *child = tr_token_child(token);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.token = token;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  tr_task *task = spawn(registry, "obeys", body_obeys, NULL);
  struct gate gate = GATE_INIT;
  tr_registration *registration;
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, callback_arrives, &gate, NULL, &registration));
  int fd = -1;
  CHECK_EQ(TR_OK, tr_token_fd(token, &fd));
  CHECK(is_readable(fd, -1));
  CHECK_BETWEEN_NS(time, time + AT_ONCE, now_ns() - start);
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  CHECK_EQ(1, outcome_of(task).was_cancelled);
  CHECK_EQ(0, tr_token_cancel(token, TR_REASON_FATAL, "late")); /* waits until all below are */
  check_timed_out(token);
  check_timed_out(child);
  gate_await(&gate, 1);
  tr_registration_remove(registration);
  CHECK_EQ(1, gate.arrived);
  CHECK_EQ(0, tr_token_is_cancelled(parent));
  tr_task_release(task);
  registry_finish(registry);
  tr_token_release(child);
  tr_token_release(token);
  tr_token_release(parent);
  timer_thread_leaves();
}

/* Proves: a token that was cancelled before, by itself or with its parent, keeps that reason when
   its timeout passes, and nothing more happens to one that was released (C11, C1, C2). Why it
   matters: most timeouts never pass. Catches: a timer that stays when its token is freed. */
CASE(a_timeout_that_is_not_needed_does_nothing) {
  int64_t time = 300 * MS * check_scale();
  tr_token *parent = tr_token_create();
  tr_token *own = timed(parent, time), *other = timed(parent, time);
  tr_token *given_up = timed(parent, time), *last = timed(parent, 2 * time);
  CHECK_EQ(1, tr_token_cancel(own, TR_REASON_RPC_REQUESTED, "own"));
  atomic_int calls = 0;
  tr_registration *registration;
  CHECK_EQ(TR_OK, tr_token_on_cancel(given_up, drop_counts, &calls, NULL, &registration));
  tr_registration_remove(registration);
  tr_token_release(given_up);
  CHECK_EQ(TR_OK, tr_token_wait(last, FOREVER)); /* the others were due before */
  CHECK_EQ(TR_REASON_RPC_REQUESTED, tr_token_reason(own));
  check_timed_out(other);
  check_timed_out(last);
  CHECK_EQ(0, atomic_load(&calls));
  tr_token *with_parent = timed(parent, time), *marker = timed(own, time);
  CHECK_EQ(TR_REASON_RPC_REQUESTED, tr_token_reason(marker)); /* born cancelled */
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_USER_REQUESTED, "parent"));
  tr_token *root = tr_token_create(), *later = timed(root, 2 * time);
  CHECK_EQ(TR_OK, tr_token_wait(later, FOREVER));
  CHECK_EQ(TR_REASON_USER_REQUESTED, tr_token_reason(with_parent));
  CHECK_EQ(TR_REASON_RPC_REQUESTED, tr_token_reason(marker));
  tr_token *all[] = {own, other, last, with_parent, marker, parent, later, root};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) tr_token_release(all[i]);
  timer_thread_leaves();
}

/* Proves: a timeout of 0 has passed when the call returns; a negative one and one beyond the clock never
   pass, and need no thread; without a parent there is no token (C11, P4).  Why it matters: timeouts are
   computed.  Catches: a sum that overflows; a thread for what is never due. */
CASE(timeouts_at_the_ends_of_their_range) {
  int threads = thread_baseline();
  tr_token *parent = tr_token_create();
  tr_token *never[] = {timed(parent, -1), timed(parent, INT64_MAX - 1), timed(parent, INT64_MAX)};
  CHECK_EQ(threads, thread_count());
  CHECK(tr_token_child_with_timeout(NULL, 0) == NULL);
  CHECK(tr_token_child_with_timeout(NULL, -1) == NULL);
  tr_token *now = timed(parent, 0), *soon = timed(parent, 1), *far = timed(parent, INT64_MAX / 2);
  check_timed_out(now);
  CHECK_EQ(TR_OK, tr_token_wait(soon, FOREVER));
  check_timed_out(soon);
  CHECK_EQ(0, tr_token_is_cancelled(far));
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(0, tr_token_is_cancelled(never[i]));
    CHECK_EQ(TR_ERR_TIMEDOUT, tr_token_wait(never[i], 0));
  }
  CHECK_EQ(1, tr_token_cancel(parent, TR_REASON_FATAL, NULL));
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(TR_REASON_FATAL, tr_token_reason(never[i]));
    tr_token_release(never[i]);
  }
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(far));
  tr_token_release(now);
  tr_token_release(soon);
  tr_token_release(far);
  tr_token_release(parent);
  timer_thread_leaves();
}

/* One of many timers, and when it fired. */
struct alarm_clock {
  tr_token *token;
  tr_registration *registration;
  /* The moments before and after it was set. */
  int64_t before, after;
  int64_t timeout, fired;
  atomic_int place; /* -1 before */
  atomic_int *fired_before;
};

static void alarm_rings(void *ctx) {
  struct alarm_clock *clock = ctx;
  clock->fired = now_ns();
  atomic_store(&clock->place, atomic_fetch_add(clock->fired_before, 1));
}

static int by_place(const void *one, const void *other) {
  return (*(struct alarm_clock *const *)one)->place - (*(struct alarm_clock *const *)other)->place;
}

/* Proves: thousands of timeouts that were set in no order pass in theirs, each once, none early,
   whether or not some of them are removed (C11). Why it matters: this is the purpose of the queue.
   Catches: a heap that loses its order when one is removed from its middle. */
CASE(many_timeouts_pass_in_their_order) {
  enum { clocks = 4000 };
  static struct alarm_clock all[clocks];
  static struct alarm_clock *kept[clocks];
  tr_token *parent = tr_token_create();
  atomic_int fired = 0;
  uint32_t random = 4711;
  for (int i = 0; i < clocks; i++) {
    random = random * 1664525u + 1013904223u;
    all[i].timeout = 200 * MS * check_scale() + random / 10;
    all[i].fired_before = &fired;
    atomic_store(&all[i].place, -1);
    all[i].before = now_ns();
    all[i].token = timed(parent, all[i].timeout);
    all[i].after = now_ns();
    CHECK_EQ(TR_OK, tr_token_on_cancel(all[i].token, alarm_rings, &all[i], NULL,
                                       &all[i].registration));
  }
  int count = 0;
  for (int i = 0; i < clocks; i++) {
    if (i % 3 != 1) {
      kept[count++] = &all[i];
      continue;
    }
    tr_registration_remove(all[i].registration);
    tr_token_release(all[i].token);
  }
  for (int i = 0; i < count; i++) {
    while (atomic_load(&kept[i]->place) < 0) breathe();
    tr_registration_remove(kept[i]->registration);
    check_timed_out(kept[i]->token);
    tr_token_release(kept[i]->token);
  }
  CHECK_EQ(count, atomic_load(&fired));
  qsort(kept, (size_t)count, sizeof *kept, by_place);
  for (int i = 0; i < count; i++) {
    CHECK_EQ(i, kept[i]->place);
    CHECK(kept[i]->fired >= kept[i]->before + kept[i]->timeout);
    /* What certainly was due later did not come earlier. */
    if (i > 0)
      CHECK(kept[i - 1]->before + kept[i - 1]->timeout <= kept[i]->after + kept[i]->timeout);
  }
  tr_token_release(parent);
  timer_thread_leaves();
}

/* The acts of a timeout's callback on its own token. */
struct self_service {
  tr_token *token;
  tr_registration *registration;
  struct gate gate;
  char name[16];
  tr_token *next;
};

static void callback_gives_all_up(void *ctx) {
  struct self_service *service = ctx;
  pthread_getname_np(pthread_self(), service->name, sizeof service->name);
  service->next = tr_token_child_with_timeout(service->token, 0);
  tr_token_release(service->next);
  tr_registration_remove(service->registration);
  tr_token_release(service->token);
  gate_arrive(&service->gate);
}

/* Proves: a callback that a timeout runs, on a thread of the library's, may release the token, remove
   itself, and set further timeouts (C11, C7).  Why it matters: what has timed out is torn down
   there.  Catches: the token freed under the timer thread; a lock held while callbacks run. */
CASE(a_token_may_go_in_its_own_callback) {
  for (int i = 0; i < 5; i++) {
    tr_token *parent = tr_token_create();
    struct self_service service = {timed(parent, 50 * MS * check_scale()), NULL, GATE_INIT, "", NULL};
    CHECK_EQ(TR_OK, tr_token_on_cancel(service.token, callback_gives_all_up, &service, NULL,
                                       &service.registration));
    gate_await(&service.gate, 1);
    CHECK_STR("taskreg-events", service.name);
    tr_token_release(parent);
  }
  timer_thread_leaves();
}

/* One thread of those that churn. */
struct churn {
  tr_token *parent;
  unsigned random;
  atomic_int *fired;
};

static unsigned next_random(unsigned *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

static void *churn_timers(void *argument) {
  struct churn *churn = argument;
  enum { live = 16 };
  tr_token *tokens[live] = {NULL};
  tr_registration *registrations[live];
  int rounds = check_rounds(20000);
  for (int i = 0; i < rounds; i++) {
    int at = (int)(next_random(&churn->random) % live);
    if (tokens[at] == NULL) {
      tokens[at] = timed(churn->parent, next_random(&churn->random) % (300 * 1000));
      TR_IGNORE(tr_token_on_cancel(tokens[at], drop_counts, churn->fired, NULL, &registrations[at]));
      continue;
    }
    unsigned what = next_random(&churn->random) % 4;
    if (what == 0) tr_token_cancel(tokens[at], TR_REASON_USER_REQUESTED, "churn");
    if (what == 1) TR_IGNORE(tr_token_wait(tokens[at], next_random(&churn->random) % 100000));
    if (what == 2) sched_yield();
    if (tr_token_is_cancelled(tokens[at])) {
      tr_reason reason = tr_token_reason(tokens[at]);
      CHECK(reason == TR_REASON_DEADLINE || reason == TR_REASON_USER_REQUESTED);
    }
    tr_registration_remove(registrations[at]);
    tr_token_release(tokens[at]);
    tokens[at] = NULL;
  }
  for (int at = 0; at < live; at++)
    if (tokens[at] != NULL) {
      tr_registration_remove(registrations[at]);
      tr_token_release(tokens[at]);
    }
  return NULL;
}

/* Claim: four threads may create, cancel and release tokens with timeouts while these pass; no token is
   freed under the timer thread, and no timer outlives its token.
   Proves: that (C11, C1).  Why it matters: a request ends at the moment it times out sooner or later.
   Catches: the timer taken out after the token's memory was freed. */
CASE(timeouts_may_be_churned) {
  tr_token *parent = tr_token_create();
  atomic_int fired = 0;
  struct churn churns[4];
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) {
    churns[i] = (struct churn){parent, (unsigned)i * 77u + 1u, &fired};
    threads[i] = thread_start(churn_timers, &churns[i]);
  }
  for (int i = 0; i < 4; i++) thread_end(threads[i]);
  CHECK(atomic_load(&fired) > 0);
  CHECK_EQ(0, tr_token_is_cancelled(parent));
  tr_token_release(parent);
  timer_thread_leaves();
}

/* Proves: a program that uses no timeout has no thread for them; however many there are, there is
   one, which ends when the last has passed or was removed, and is created again (C11). Why it
   matters: unused features cost nothing. Catches: a thread for each; one that stays. */
CASE(one_thread_serves_all_timeouts_and_goes) {
  int threads = thread_baseline();
  tr_token *parent = tr_token_create();
  tr_token_release(tr_token_child(parent));
  CHECK_EQ(threads, thread_count());
  for (int round = 0; round < 2; round++) {
    tr_token *tokens[100];
    for (int i = 0; i < 100; i++)
      tokens[i] = timed(parent, round == 0 ? 3600 * SECOND : i * 100000);
    threads_settle(threads + 1, AT_ONCE);
    CHECK(threads_called("taskreg-timer") <= 1);
    for (int i = 0; i < 100; i++) {
      if (round == 1) CHECK_EQ(TR_OK, tr_token_wait(tokens[i], FOREVER));
      tr_token_release(tokens[i]);
    }
    threads_settle(threads, SECOND + 5 * SECOND * check_scale());
  }
  tr_token_release(parent);
}

static void use_in_child(void *argument) {
  tr_token *token = argument;
  CHECK(tr_token_child_with_timeout(token, 0) == NULL);
  CHECK_EQ(0, tr_token_cancel(token, TR_REASON_FATAL, NULL));
  tr_token_release(token);
  CHECK_EQ(TR_ERR_FORKED, tr_token_wait(token, FOREVER));
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutex_lock(&mutex);
  CHECK_EQ(TR_ERR_FORKED, tr_cond_wait(&condition, &mutex, FOREVER));
  CHECK_EQ(TR_ERR_FORKED, tr_install_cancel_signal(SIGRTMIN + 7));
  CHECK_EQ(TR_ERR_FORKED, tr_acknowledge_cancel());
}

static void *set_timeouts(void *argument) {
  atomic_int *stop = argument;
  tr_token *parent = tr_token_create();
  while (!atomic_load(stop)) tr_token_release(timed(parent, 50000));
  tr_token_release(parent);
  return NULL;
}

static void fork_while_timeouts_pass(void) {
  tr_token *parent = tr_token_create(), *token = timed(parent, 3600 * SECOND);
  atomic_int stop = 0;
  pthread_t thread = thread_start(set_timeouts, &stop);
  for (int i = 0; i < 20; i++) CHECK_EXITED(0, status_of_child(use_in_child, token));
  atomic_store(&stop, 1);
  thread_end(thread);
  tr_token_release(token);
  tr_token_release(parent);
}

/* Proves: in a child of fork, made while timeouts are being set and pass, every call of this part
   returns at once (C11, P1). Why it matters: the timer thread's lock may be held at that moment.
   Catches: a release in the child that takes its timer out. In a process of its own, because the
   memory that the other thread was about to free is lost in the child. */
CASE(a_child_of_fork_has_no_timeouts) { CHECK_EXITED(0, status_of_role("forks", NULL)); }

/* The observations of a callback that forks. */
struct forking {
  struct gate gate;
  pid_t child;
};

static void callback_forks(void *ctx) {
  struct forking *forking = ctx;
  forking->child = fork();
  if (forking->child == 0)
    begin_as_child();
  else
    gate_arrive(&forking->gate);
}

/* Proves: a callback that a timeout runs may fork: the child ends with its only thread, and in the
   parent timeouts pass as usual (C11, P1). Why it matters: a watchdog starts a process. Catches:
   the timer thread's child that continues to wait. */
CASE(a_callback_of_a_timeout_may_fork) {
  tr_token *parent = tr_token_create(), *token = timed(parent, 300 * MS * check_scale());
  struct forking forking = {GATE_INIT, -1};
  tr_registration *registration;
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, callback_forks, &forking, NULL, &registration));
  gate_await(&forking.gate, 1);
  tr_registration_remove(registration);
  CHECK(forking.child > 0);
  int status;
  while (waitpid(forking.child, &status, 0) < 0) CHECK(errno == EINTR);
  CHECK_EXITED(0, status);
  tr_token *next = timed(parent, 5 * MS);
  CHECK_EQ(TR_OK, tr_token_wait(next, FOREVER));
  tr_token_release(next);
  tr_token_release(token);
  tr_token_release(parent);
  timer_thread_leaves();
}

/* A tree of tokens to be made and cancelled on a small stack. */
struct tree {
  int count, is_row, is_timed;
};

static void *cancel_a_tree(void *argument) {
  const struct tree *tree = argument;
  tr_token *root = tr_token_create(), *above = root;
  tr_token *top = tree->is_timed ? timed(root, 300 * MS * check_scale()) : tr_token_child(root);
  tr_token **tokens = calloc((size_t)tree->count, sizeof *tokens);
  CHECK(tokens != NULL);
  above = top;
  for (int i = 0; i < tree->count; i++) {
    tokens[i] = i % 10 == 0 ? timed(above, 3600 * SECOND) : tr_token_child(above);
    if (!tree->is_row) above = tokens[i];
  }
  if (tree->is_timed)
    CHECK_EQ(TR_OK, tr_token_wait(tokens[tree->count - 1], FOREVER));
  else
    CHECK_EQ(1, tr_token_cancel(top, TR_REASON_DEADLINE, TIMEOUT_MESSAGE));
  tr_token_cancel(top, TR_REASON_NONE, NULL); /* waits until all are propagated */
  for (int i = 0; i < tree->count; i++) CHECK_EQ(TR_REASON_DEADLINE, tr_token_reason(tokens[i]));
  CHECK_EQ(0, tr_token_is_cancelled(root));
  tr_token_release(root);
  tr_token_release(top);
  for (int i = 0; i < tree->count; i++) tr_token_release(tokens[i]);
  free(tokens);
  return NULL;
}

/* Proves: a tree of 100 000 tokens, in a chain and in a row, is cancelled and freed on a stack of
   64 KiB, by a timeout on the timer thread's own (C11, C2). Why it matters: the depth of the tree
   is not limited. Catches: a recursion in cancel or release. */
CASE(a_tree_of_100000_is_cancelled_without_recursion) {
  pthread_attr_t attributes;
  CHECK_EQ(0, pthread_attr_init(&attributes));
  size_t size = 64 * 1024;
#if defined(CHECK_UNDER_TSAN) || defined(CHECK_UNDER_ASAN)
  size *= 4; /* their frames are larger; 100 000 of them are still too many */
#endif
  CHECK_EQ(0, pthread_attr_setstacksize(&attributes, check_stack(size)));
  int count = check_under_valgrind() ? 20000 : 100000;
  for (int shape = 0; shape < 4; shape++) {
    struct tree tree = {count, shape & 1, shape & 2};
    pthread_t thread;
    CHECK_EQ(0, pthread_create(&thread, &attributes, cancel_a_tree, &tree));
    thread_end(thread);
  }
  pthread_attr_destroy(&attributes);
  timer_thread_leaves();
}

static const struct check_case cases[] = {
    CHECK_ENTRY(one_thread_serves_all_timeouts_and_goes), /* first: no thread lingers yet */
    CHECK_ENTRY(timeouts_at_the_ends_of_their_range),
    CHECK_ENTRY(a_timeout_cancels_like_any_other_cancel),
    CHECK_ENTRY(a_timeout_that_is_not_needed_does_nothing),
    CHECK_ENTRY(many_timeouts_pass_in_their_order),
    CHECK_ENTRY(a_token_may_go_in_its_own_callback),
    CHECK_ENTRY(timeouts_may_be_churned),
    CHECK_ENTRY(a_child_of_fork_has_no_timeouts),
    CHECK_ENTRY(a_callback_of_a_timeout_may_fork),
    CHECK_ENTRY(a_tree_of_100000_is_cancelled_without_recursion)};

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "--role") == 0) {
    CHECK_STR("forks", argv[2]);
    fork_while_timeouts_pass();
    return 0;
  }
  return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
