/* main_exits.c - programs whose main leaves by pthread_exit, and end when their tasks have. Rule P9. Each is this
   program again, in a process of its own; one that does not end is ended by an alarm. */

#include "groups.h"

/* What main leaves behind. Static, so that leak checkers find it. */
static tr_registry *left_registry, *left_group;
static tr_token *left_token;
static tr_registration *left_registration;
static atomic_int bodies;

/* The exit status of the process: 7 if it ended by itself, after its bodies, with its exit handlers
   run. */
static int expected_bodies;

static void at_the_end(void) { _exit(atomic_load(&bodies) == expected_bodies ? 7 : 8); }

static void expect_bodies(int count) {
  expected_bodies = count;
  CHECK_EQ(0, atexit(at_the_end));
}

static void until_main_has_ended(void) {
  while (thread_state(getpid()) != 'Z') breathe();
}

static int body_counts(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  atomic_fetch_add(&bodies, 1);
  return 0;
}

static int body_outlives_main(tr_task *self, void *ctx) {
  until_main_has_ended();
  return body_counts(self, ctx);
}

static tr_registry *registry_with(int64_t idle_ns, uint32_t idle_threads) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.idle_ns = idle_ns;
  options.idle_threads = idle_threads;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

static void leave_tasks(tr_registry *registry, tr_task_fn body, int count) {
  tr_task *tasks[3];
  for (int i = 0; i < count; i++) tasks[i] = spawn(registry, "task", body, registry);
  for (int i = 0; i < count; i++) {
    if (body == body_counts) CHECK_EQ(TR_OK, tr_task_wait(tasks[i], FOREVER, NULL));
    tr_task_release(tasks[i]);
  }
}

static int leaves_idle_threads(void) {
  expect_bodies(3);
  left_registry = registry_with(-1, 16);
  leave_tasks(left_registry, body_counts, 3);
  pthread_exit(NULL);
}

static int leaves_tasks(void) {
  expect_bodies(3);
  left_registry = registry_with(-1, 16);
  leave_tasks(left_registry, body_outlives_main, 3);
  pthread_exit(NULL);
}

static pthread_key_t last_key;
static struct gate last_gate = GATE_INIT;
static tr_task *last_task;
static _Atomic(pid_t) last_tid;

static int body_passes_last_gate(tr_task *self, void *ctx) {
  atomic_store(&last_tid, gettid());
  gate_pass(&last_gate);
  return body_counts(self, ctx);
}

/* In the second round: those of the library's have run. Main is still there, as far as the kernel knows. */
static void ends_the_task_in_round_two(void *round) {
  if (round == &last_key) {
    CHECK_EQ(0, pthread_setspecific(last_key, &last_gate));
    return;
  }
  gate_open(&last_gate);
  CHECK_EQ(TR_OK, tr_task_wait(last_task, FOREVER, NULL));
  tr_task_release(last_task);
  for (int seen = 0; seen < 3; breathe()) { /* until its thread is idle, or has left */
    char state = thread_state(atomic_load(&last_tid));
    seen = state == 'S' || state == 0 ? seen + 1 : 0;
  }
}

/* A thread that becomes idle after main has said that it leaves, and before the kernel has it as ended. */
static int leaves_task_that_ends_beside_main(void) {
  expect_bodies(1);
  left_registry = registry_with(-1, 16);
  CHECK_EQ(0, pthread_key_create(&last_key, ends_the_task_in_round_two));
  CHECK_EQ(0, pthread_setspecific(last_key, &last_key));
  last_task = spawn(left_registry, "last", body_passes_last_gate, NULL);
  gate_await(&last_gate, 1);
  pthread_exit(NULL);
}

static int leaves_tasks_without_reuse(void) {
  expect_bodies(3);
  left_registry = registry_with(0, TR_IDLE_THREADS_NONE);
  leave_tasks(left_registry, body_outlives_main, 3);
  pthread_exit(NULL);
}

static int leaves_released_registry(void) {
  expect_bodies(2);
  tr_registry *registry = registry_with(-1, 16);
  leave_tasks(registry, body_outlives_main, 2);
  tr_registry_release(registry);
  pthread_exit(NULL);
}

static int leaves_after_shutdown(void) {
  expect_bodies(2);
  left_registry = registry_with(-1, 16);
  leave_tasks(left_registry, body_counts, 2);
  CHECK_EQ(TR_OK, shutdown_fully(left_registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
  pthread_exit(NULL);
}

static int leaves_groups(void) {
  expect_bodies(4);
  left_registry = registry_with(-1, 16);
  left_group = group_new(left_registry, "group");
  leave_tasks(left_group, body_counts, 3);
  leave_tasks(left_group, body_outlives_main, 1);
  pthread_exit(NULL);
}

static void is_never_called(void *ctx) {
  (void)ctx;
  _exit(9);
}

static int leaves_timer(void) {
  expect_bodies(1);
  left_registry = registry_with(-1, 16);
  left_token = tr_token_child_with_timeout(tr_registry_token(left_registry), 1000 * SECOND);
  CHECK_EQ(TR_OK, tr_token_on_cancel(left_token, is_never_called, NULL, NULL, &left_registration));
  leave_tasks(left_registry, body_outlives_main, 1);
  pthread_exit(NULL);
}

static int leaves_signal_watch(void) {
  expect_bodies(2);
  left_registry = registry_with(-1, 16);
  CHECK_EQ(TR_OK, tr_signal_watch_start(left_registry, NULL, NULL));
  left_token = tr_token_child_with_timeout(tr_registry_token(left_registry), 1000 * SECOND);
  leave_tasks(left_registry, body_counts, 1);
  leave_tasks(left_registry, body_outlives_main, 1);
  pthread_exit(NULL);
}

/* Longer than an idle thread stays, or one of the library's own sleeps, once main has left. */
static void let_time_pass(void) {
  for (int64_t start = now_ns(); now_ns() - start < 300 * MS;) breathe();
}

static int body_asks_for_the_stop(tr_task *self, void *ctx) {
  until_main_has_ended();
  let_time_pass();
  CHECK_EQ(0, kill(getpid(), SIGTERM));
  CHECK_EQ(TR_ERR_CANCELLED, tr_sleep(1000 * SECOND));
  return body_counts(self, ctx);
}

/* Timers and signals continue for the tasks that are left. */
static int leaves_task_that_needs_a_signal(void) {
  expect_bodies(1);
  left_registry = registry_with(-1, 16);
  CHECK_EQ(TR_OK, tr_signal_watch_start(left_registry, NULL, NULL));
  leave_tasks(left_registry, body_asks_for_the_stop, 1);
  pthread_exit(NULL);
}

static pthread_t main_thread;

static void spawns_late(void *ctx) {
  /* The timeout may have passed before main could register this. */
  if (!pthread_equal(pthread_self(), main_thread)) until_main_has_ended();
  leave_tasks(ctx, body_outlives_main, 2);
}

/* A callback on a thread of the library's own is the application's. */
static int leaves_callback(void) {
  expect_bodies(3);
  left_registry = registry_with(-1, 16);
  main_thread = pthread_self();
  left_token = tr_token_create();
  tr_token *timed = tr_token_child_with_timeout(left_token, 50 * MS);
  tr_status registered = tr_token_on_cancel(timed, spawns_late, left_registry, NULL, &left_registration);
  CHECK(registered == TR_OK || registered == TR_ERR_CANCELLED);
  /* From now on the callback is about to run, or runs. */
  CHECK_EQ(TR_OK, tr_token_wait(timed, FOREVER));
  tr_token_release(timed);
  leave_tasks(left_registry, body_counts, 1);
  pthread_exit(NULL);
}

static struct gate worker_gate = GATE_INIT;

static void *thread_with_a_registry(void *argument) {
  left_registry = registry_with(10 * MS, 16);
  leave_tasks(left_registry, body_counts, 2);
  gate_open(&worker_gate);
  return argument;
}

static int never_had_an_object(void) {
  expect_bodies(2);
  CHECK_EQ(0, pthread_detach(thread_start(thread_with_a_registry, NULL)));
  gate_pass(&worker_gate);
  pthread_exit(NULL);
}

static void *thread_outlives_main(void *argument) {
  until_main_has_ended();
  let_time_pass();
  leave_tasks(left_registry, body_outlives_main, 2);
  return argument;
}

static int leaves_thread_of_its_own(void) {
  expect_bodies(3);
  left_registry = registry_with(-1, 16);
  CHECK_EQ(TR_OK, tr_signal_watch_start(left_registry, NULL, NULL));
  leave_tasks(left_registry, body_counts, 1);
  CHECK_EQ(0, pthread_detach(thread_start(thread_outlives_main, NULL)));
  pthread_exit(NULL);
}

static const struct role roles[] = {
    {"idle threads", leaves_idle_threads},
    {"tasks", leaves_tasks},
    {"task that ends beside main", leaves_task_that_ends_beside_main},
    {"tasks without reuse", leaves_tasks_without_reuse},
    {"released registry", leaves_released_registry},
    {"after a shutdown", leaves_after_shutdown},
    {"groups", leaves_groups},
    {"no object", never_had_an_object},
    {"timer", leaves_timer},
    {"signal watch", leaves_signal_watch},
    {"task that needs a signal", leaves_task_that_needs_a_signal},
    {"callback", leaves_callback},
    {"thread", leaves_thread_of_its_own},
};
enum { ROLES = sizeof roles / sizeof *roles, WITHOUT_OWN_THREADS = 8 };

static void each_ends(int first, int end) {
  for (int i = first; i < end; i++) {
    int status = status_of_role(roles[i].name, NULL);
    CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 7, "role %s: status 0x%x", roles[i].name,
              (unsigned)status);
  }
}

/* Proves: a program whose main left by pthread_exit ends when its tasks have, and not before, with
   its exit handlers run: with idle threads that are kept indefinitely, with tasks that end later,
   without reuse, in groups, with a registry that was released or shut down, and where another
   thread made all objects (P9). Why it matters: a program whose main leaves relies on the process
   ending with its last thread, as POSIX says. Catches: an idle thread that keeps the process. */
CASE(a_process_without_main_ends_with_its_tasks) { each_ends(0, WITHOUT_OWN_THREADS); }

/* Proves: the same with a pending timeout and a signal watch, which keep no process; they serve the tasks that are
   left, and a callback and a thread of the application's keep it until they have returned (P9, C11, C13).
   Why it matters: a leaked timeout of an hour is not to hold a process for an hour.
   Catches: threads of the library's own that keep the process, or leave it too early. */
CASE(nor_do_timers_and_signal_watches_keep_it) { each_ends(WITHOUT_OWN_THREADS, ROLES); }

static const struct check_case cases[] = {
    CHECK_ENTRY(a_process_without_main_ends_with_its_tasks),
    CHECK_ENTRY(nor_do_timers_and_signal_watches_keep_it),
};

int main(int argc, char **argv) {
  return roles_main(argc, argv, roles, ROLES, cases, sizeof cases / sizeof *cases);
}
