/* finalising.c - what finalising.py calls while its interpreter ends; the claims are there.

   The functions of the interpreter that are passed here need its lock, which a thread does not get any more: CPython ends
   that thread inside the call. Each is called by way of `enter`, which sees that the call began and that it did not
   return. */

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <taskreg.h>

#define ROUNDS 3

static void require(int holds, const char *what, int line) {
  if (holds) return;
  fprintf(stderr, "finalising.c:%d: not so: %s; the last error: %s\n", line, what, tr_error_detail());
  _exit(1);
}
#define REQUIRE(condition) require(condition, #condition, __LINE__)

/* Generous, as the machine may be busy; nothing here takes a second. */
static void take(sem_t *semaphore, const char *what) {
  struct timespec end;
  clock_gettime(CLOCK_REALTIME, &end);
  end.tv_sec += 20;
  while (sem_timedwait(semaphore, &end) != 0) require(0, what, 0);
}

/* A function of the interpreter, and what became of its calls. */
struct call {
  void (*function)(void);
  sem_t ended; /* posted as often as a call has ended its thread */
  int returned;
};

static void thread_ends(void *call) { sem_post(&((struct call *)call)->ended); }

static pthread_t main_thread;

static void enter(void *ctx) {
  struct call *call = ctx;
  if (pthread_equal(pthread_self(), main_thread)) return; /* it would come back, to a timeout that had passed */
  pthread_cleanup_push(thread_ends, call);
  call->function();
  call->returned = 1;
  pthread_cleanup_pop(0);
}

/* A token whose timeout calls fn, which is there in time: on a busy machine the first may have passed before. */
static tr_token *timeout_that_calls(tr_cancel_fn fn, void *ctx, tr_registration **registration) {
  for (int64_t timeout = TR_MILLISECONDS(20);; timeout *= 2) {
    tr_token *token = tr_token_create_with_timeout(timeout);
    REQUIRE(token != NULL);
    tr_status status = tr_token_on_cancel(token, fn, ctx, NULL, registration);
    if (status == TR_OK) return token;
    REQUIRE(status == TR_ERR_CANCELLED);
    tr_token_release(token);
  }
}

static void post(void *semaphore) {
  if (!pthread_equal(pthread_self(), main_thread)) sem_post(semaphore);
}

/* Timeouts: the callback on an event thread ends that thread, the next one of C comes. */
static void timeouts(struct call *call) {
  for (int i = 0; i < ROUNDS; i++) {
    sem_t came;
    sem_init(&came, 0, 0);
    tr_registration *of_first, *of_next;
    tr_token *first = timeout_that_calls(enter, call, &of_first);
    take(&call->ended, "a timeout's callback ended its thread");
    tr_token *next = timeout_that_calls(post, &came, &of_next);
    take(&came, "the next timeout's callback was called");
    REQUIRE(tr_registration_remove(of_first) == TR_REMOVAL_HAS_RUN);
    tr_registration_remove(of_next);
    tr_token_release(first);
    tr_token_release(next);
  }
}

/* Stalls: the log callback on an event thread ends that thread; the task recovers, and the next stall is reported. */
static void log_enters(void *ctx, const tr_log_event *event) {
  if (event->event == TR_EVENT_TASK_STALLED) enter(ctx);
}

static int beats_when_told(tr_task *task, void *go) {
  (void)task;
  REQUIRE(sem_wait(go) == 0);
  return tr_heartbeat() == TR_OK ? 0 : 1;
}

static void stalls(struct call *call) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_enters;
  options.log_context = call;
  tr_registry *registry;
  REQUIRE(tr_registry_create(&options, &registry) == TR_OK);
  for (int i = 0; i < ROUNDS; i++) {
    sem_t go;
    sem_init(&go, 0, 0);
    tr_spawn_options interval = TR_SPAWN_OPTIONS_INIT;
    interval.heartbeat_ns = 1000000;
    tr_task *task;
    REQUIRE(tr_spawn_with(registry, "stalls", TR_KIND_APPLICATION, beats_when_told, &go, &interval, &task) == TR_OK);
    take(&call->ended, "the log callback for a stall ended its thread");
    sem_post(&go);
    tr_outcome outcome = TR_OUTCOME_INIT;
    REQUIRE(tr_task_wait(task, TR_SECONDS(20), &outcome) == TR_OK && outcome.how == TR_ENDED_RETURNED);
    tr_task_release(task);
  }
  REQUIRE(tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, TR_SECONDS(20), NULL) == TR_OK);
  tr_registry_release(registry);
}

/* Signals: the callback on taskreg-signals ends that thread; a request and a signal are answered on a new one. */
static void signals(struct call *call) {
  tr_registry *registry;
  REQUIRE(tr_registry_create(NULL, &registry) == TR_OK);
  REQUIRE(tr_signal_watch_start(registry, NULL, NULL) == TR_OK);
  for (int i = 0; i < ROUNDS; i++) {
    tr_token *token = tr_token_create(), *next = tr_token_create();
    tr_registration *registration = NULL;
    REQUIRE(tr_token_on_cancel(token, enter, call, NULL, &registration) == TR_OK);
    REQUIRE(tr_request_shutdown(token, TR_REASON_FATAL) == TR_OK);
    take(&call->ended, "the callback for a request ended its thread");
    REQUIRE(tr_request_shutdown(next, TR_REASON_FATAL) == TR_OK);
    REQUIRE(tr_token_wait(next, TR_SECONDS(20)) == TR_OK);
    tr_registration_remove(registration);
    tr_token_release(token);
    tr_token_release(next);
  }
  tr_registration *registration = NULL;
  REQUIRE(tr_token_on_cancel(tr_registry_token(registry), enter, call, NULL, &registration) == TR_OK);
  REQUIRE(kill(getpid(), SIGTERM) == 0);
  take(&call->ended, "the callback for a signal ended its thread");
  REQUIRE(tr_token_is_cancelled(tr_registry_token(registry)));
  tr_registration_remove(registration);
  REQUIRE(tr_signal_watch_stop(registry) == TR_OK);
  REQUIRE(tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, TR_SECONDS(20), NULL) == TR_OK);
  tr_registry_release(registry);
}

/* Tasks: a body that comes back into the interpreter has exited, and is counted so. */
static int body_enters(tr_task *task, void *call) {
  (void)task;
  enter(call);
  return 0;
}

static void tasks(struct call *call) {
  tr_registry *registry;
  REQUIRE(tr_registry_create(NULL, &registry) == TR_OK);
  for (int i = 0; i < ROUNDS; i++) {
    tr_task *task;
    tr_outcome outcome = TR_OUTCOME_INIT;
    REQUIRE(tr_spawn(registry, "enters", TR_KIND_APPLICATION, body_enters, call, &task) == TR_OK);
    REQUIRE(tr_task_wait(task, TR_SECONDS(20), &outcome) == TR_OK && outcome.how == TR_ENDED_EXITED);
    take(&call->ended, "the body ended its thread");
    tr_task_release(task);
  }
  REQUIRE(tr_shutdown(registry, TR_REASON_USER_REQUESTED, NULL, TR_SECONDS(20), NULL) == TR_OK);
  tr_registry_release(registry);
}

/* Called by finalising.py, with its function, in the main thread while the interpreter ends. */
void scenario(void (*function)(void));

void scenario(void (*function)(void)) {
  struct call call = {.function = function};
  sem_init(&call.ended, 0, 0);
  main_thread = pthread_self();
  timeouts(&call);
  stalls(&call);
  signals(&call);
  tasks(&call);
  REQUIRE(!call.returned);
  REQUIRE(tr_quiesce(TR_SECONDS(20)) == TR_OK);
  puts("every thread that the interpreter ended was replaced");
  fflush(stdout);
}
