/* whole.c - whole programs: each uses the features for which the library has threads and memory of
   its own, releases everything, and returns from main. Rules G3, G4, C7, C11, C13, E7. Valgrind,
   and AddressSanitizer, then check for lost memory: a thread that is left shows there as possibly
   lost memory. */

#include "groups.h"

/* The objects that a program uses. */
struct work {
  tr_registry *registry, *group;
  tr_token *expired, *pending, *detached;
  tr_registration *removed, *kept, *of_task;
  tr_task *obedient, *beating, *grouped;
  struct gate begun;
  atomic_int dropped;
  sem_t called;
};

static void callback_counts(void *ctx) { CHECK_EQ(0, sem_post(ctx)); }

static void callback_is_taken_back(void *ctx) {
  (void)ctx;
  check_fail(__FILE__, __LINE__, "a callback ran that was taken back");
}

static int body_counts_down(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  CHECK_EQ(TR_OK, tr_checkpoint("counting down"));
  CHECK_EQ(TR_OK, tr_progress(1, 1, "steps"));
  return 0;
}

static int body_beats(tr_task *self, void *ctx) {
  (void)self;
  gate_arrive(ctx);
  do CHECK_EQ(TR_OK, tr_heartbeat());
  while (tr_sleep(1 * MS) == TR_OK);
  return 0;
}

/* Waits on a condition variable, which a thread of the library's wakes when the task is asked to stop. */
static int body_waits_on_a_condition(tr_task *self, void *ctx) {
  (void)self;
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  tr_status status;
  CHECK_EQ(0, pthread_mutex_lock(&lock));
  gate_arrive(ctx);
  do status = tr_cond_wait(&never, &lock, FOREVER);
  while (status == TR_OK);
  CHECK_EQ(TR_ERR_CANCELLED, status);
  CHECK_EQ(0, pthread_mutex_unlock(&lock));
  CHECK_EQ(0, pthread_cond_destroy(&never));
  CHECK_EQ(0, pthread_mutex_destroy(&lock));
  return 0;
}

/* A log, so that heartbeats are watched. */
static void log_ignores(void *context, const tr_log_event *event) { (void)context, (void)event; }

/* Start everything: tasks, a group, timeouts, callbacks, heartbeat intervals, and a signal
   watch. */
static void work_begins(struct work *work) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_ignores;
  options.flags = TR_REGISTRY_METRICS;
  memset(work, 0, sizeof *work);
  work->begun = (struct gate)GATE_INIT;
  CHECK_EQ(0, sem_init(&work->called, 0, 0));
  CHECK_EQ(TR_OK, create_registry(&options, &work->registry));
  work->group = group_new(work->registry, "group");
  CHECK_EQ(TR_OK, tr_signal_watch_start(work->registry, NULL, NULL));

  /* Tasks that end by themselves, with a handle and without. */
  for (int i = 0; i < 8; i++) wait_and_release(spawn(work->registry, "short", body_counts_down, NULL));
  tr_task_release(spawn_drop(work->registry, "forgotten", body_counts_down, &work->dropped, drop_counts, 0));

  /* Tasks that continue until they are asked to stop. */
  work->obedient = spawn_drop(work->registry, "waits", body_waits_on_a_condition, &work->begun, NULL, 0);
  tr_spawn_options beats = TR_SPAWN_OPTIONS_INIT;
  beats.heartbeat_ns = 1000 * SECOND;
  CHECK_EQ(TR_OK, tr_spawn_with(work->registry, "beats", TR_KIND_BACKGROUND_LOOP, body_beats, &work->begun, &beats,
                                &work->beating));
  work->grouped = spawn(work->group, "obeys", body_obeys, &work->begun);
  CHECK_EQ(TR_OK, tr_heartbeat_promise(work->registry, 1000 * SECOND, 0));
  gate_await(&work->begun, 3);

  /* A timeout that passes, with a callback; one that does not; and one of a token that no registry has. */
  work->expired = tr_token_child_with_timeout(tr_registry_token(work->registry), 5 * MS);
  work->pending = tr_token_child_with_timeout(tr_registry_token(work->group), 1000 * SECOND);
  tr_token *root = tr_token_create();
  work->detached = tr_token_child_with_timeout(root, 1000 * SECOND);
  tr_token_release(root);
  CHECK(work->expired != NULL && work->pending != NULL && work->detached != NULL);
  tr_status status = tr_token_on_cancel(work->expired, callback_counts, &work->called, NULL, &work->removed);
  CHECK(status == TR_OK || status == TR_ERR_CANCELLED); /* it may have passed already; then it was called here */
  CHECK_EQ(TR_OK, tr_token_on_cancel(work->detached, callback_is_taken_back, NULL, NULL, &work->kept));
  CHECK_EQ(TR_OK, tr_task_on_cancel(work->beating, callback_counts, &work->called, NULL, &work->of_task));
  CHECK_EQ(TR_OK, tr_token_wait(work->expired, FOREVER));
  sem_take(&work->called);

  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(work->registry, &report));
  tr_report_release(report);
}

/* Have the program asked to stop by a signal, and wait until its tasks have ended. */
static void work_is_stopped(struct work *work) {
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  CHECK_EQ(TR_OK, tr_token_wait(tr_registry_token(work->registry), FOREVER));
  wait_and_release(work->obedient);
  wait_and_release(work->beating);
  wait_and_release(work->grouped);
  sem_take(&work->called);
}

/* Give everything back but the registry. */
static void work_is_given_back(struct work *work) {
  tr_registration_remove(work->removed);
  tr_registration_remove(work->kept);
  tr_registration_remove(work->of_task);
  tr_token_release(work->expired);
  tr_token_release(work->pending);
  tr_token_release(work->detached);
  tr_registry_release(work->group);
}

/* Check that no thread of the library's is left. Its own are gone at once; where a worker was joined, /proc has it for a
   moment yet. */
static void check_no_thread_is_left(int threads) {
  CHECK_EQ(0, threads_called("taskreg-timer") + threads_called("taskreg-events") + threads_called("taskreg-signals"));
  threads_settle(threads, 10 * SECOND * check_scale());
}

/* Proves: a program that has used tasks, a group, timeouts, callbacks, heartbeats, condition
   variables and a signal watch, and then shuts its last registry down, has no thread of the
   library's left when the shutdown returns, and loses no memory (G4, C11, C13). Why it matters:
   users run their own programs under valgrind, and take its reports about the library for defects
   of their own. Catches: a thread of the library that continues after the last shutdown; lost
   memory of a timer, a callback or an interval. */
CASE(a_program_that_shuts_down_leaves_nothing) {
  int threads = thread_baseline();
  struct work work;
  work_begins(&work);
  work_is_stopped(&work);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(work.registry));
  work_is_given_back(&work);
  CHECK_EQ(TR_OK, shutdown_fully(work.registry, TR_REASON_USER_REQUESTED, "end", FOREVER, NULL));
  check_no_thread_is_left(threads);
  CHECK_EQ(1, atomic_load(&work.dropped));
  tr_registry_release(work.registry);
  CHECK_EQ(0, sem_destroy(&work.called));
}

/* Proves: so has one that never shuts down, but releases everything and calls tr_quiesce (G3, G4,
   C11). Why it matters: a library inside a program often has no shutdown of its own, but a last
   release. Catches: threads of a released registry that are not waited for; the timer thread that
   lingers. */
CASE(a_program_that_releases_and_quiesces_leaves_nothing) {
  int threads = thread_baseline();
  struct work work;
  work_begins(&work);
  work_is_stopped(&work);
  CHECK_EQ(TR_OK, tr_signal_watch_stop(work.registry));
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0));
  work_is_given_back(&work);
  tr_registry_release(work.registry);
  CHECK_EQ(TR_OK, tr_quiesce(FOREVER));
  check_no_thread_is_left(threads);
  CHECK_EQ(1, atomic_load(&work.dropped));
  CHECK_EQ(0, sem_destroy(&work.called));
}

CHECK_MAIN(CHECK_ENTRY(a_program_that_shuts_down_leaves_nothing),
           CHECK_ENTRY(a_program_that_releases_and_quiesces_leaves_nothing))
