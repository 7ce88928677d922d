/* guards.c - TASKREG_DEBUG=handles: a double release, or a use after the release, ends the process
   with a message that says where. Each mistake is made in a process of its own. Rule P8. */

#include "support.h"

#include <sys/resource.h>
#include <sys/wait.h>

/* The objects of the mistakes. Exported, so that the message can name the functions that
   release. */
static volatile int was_called;
static tr_registry *registry;
static tr_token *token;
static tr_task *task;
static tr_registration *registration;
static tr_report *report;

#define EXPORTED __attribute__((noinline, visibility("default")))

/* The statement behind each call keeps it from being a jump. */
EXPORTED void gives_back_registry(void) { tr_registry_release(registry), was_called = 1; }
EXPORTED void gives_back_token(void) { tr_token_release(token), was_called = 1; }
EXPORTED void gives_back_task(void) { tr_task_release(task), was_called = 1; }
EXPORTED void gives_back_registration(void) { tr_registration_remove(registration), was_called = 1; }
EXPORTED void gives_back_report(void) { tr_report_release(report), was_called = 1; }

static void never_called(void *context) { (void)context, check_fail(__FILE__, __LINE__, "called"); }
static void takes_note(void *context) { (void)context; }

static void make_registry(void) { CHECK_EQ(TR_OK, create_registry(NULL, &registry)); }
static void make_report(void) {
  make_registry();
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
}
static void make_registration(void) {
  CHECK((token = tr_token_create()) != NULL);
  CHECK_EQ(TR_OK, tr_token_on_cancel(token, never_called, NULL, NULL, &registration));
}

/* ---- The mistakes ---------------------------------------------------------------------------- */

EXPORTED int role_registry_twice(void) {
  make_registry();
  gives_back_registry();
  gives_back_registry();
  return 0;
}

EXPORTED int role_registry_used(void) {
  make_registry();
  gives_back_registry();
  (void)tr_len(registry);
  return 0;
}

EXPORTED int role_shut_down(void) {
  make_registry();
  gives_back_registry();
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  (void)!tr_shutdown_with(registry, TR_REASON_USER_REQUESTED, NULL, 0, &options, NULL);
  return 0;
}

EXPORTED int role_registry_in_a_structure(void) {
  make_registry();
  gives_back_registry();
  tr_metrics_source source = TR_METRICS_SOURCE_INIT;
  source.registry = registry;
  (void)!tr_metrics_write_all(&source, 1, 1, TR_FORMAT_OPENMETRICS, 0);
  return 0;
}

EXPORTED int role_token_twice(void) {
  CHECK((token = tr_token_create()) != NULL);
  CHECK(tr_token_retain(token) == token);
  gives_back_token();
  gives_back_token();
  gives_back_token();
  return 0;
}

/* The token lives on: its child holds it. */
EXPORTED int role_held_token_twice(void) {
  CHECK((token = tr_token_create()) != NULL);
  CHECK(tr_token_child(token) != NULL);
  gives_back_token();
  gives_back_token();
  return 0;
}

EXPORTED int role_token_used(void) {
  CHECK((token = tr_token_create()) != NULL);
  gives_back_token();
  (void)tr_token_cancel(token, TR_REASON_USER_REQUESTED, NULL);
  return 0;
}

EXPORTED int role_token_in_options(void) {
  CHECK((token = tr_token_create()) != NULL);
  gives_back_token();
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.token = token;
  (void)!create_registry(&options, &registry);
  return 0;
}

EXPORTED int role_borrowed_token_released(void) {
  make_registry();
  CHECK((token = tr_registry_token(registry)) != NULL);
  gives_back_token();
  return 0;
}

/* The task is alive. */
EXPORTED int role_task_twice(void) {
  make_registry();
  task = spawn(registry, "waits", body_obeys, NULL);
  gives_back_task();
  gives_back_task();
  return 0;
}

/* Its record would be another task's by now. */
EXPORTED int role_task_used(void) {
  make_registry();
  task = spawn(registry, "first", body_returns, NULL);
  tr_outcome outcome = outcome_of(task);
  CHECK_EQ(TR_ENDED_RETURNED, outcome.how);
  tr_registry *other = registry;
  gives_back_task();
  CHECK_EQ(TR_OK, tr_registry_wait(other, TR_FOREVER));
  for (int i = 0; i < 100; i++) wait_and_release(spawn(registry, "later", body_returns, NULL));
  (void)!tr_task_cancel(task);
  return 0;
}

static int body_passes_itself(tr_task *self, void *context) {
  *(tr_task **)context = self;
  return 0;
}

/* The task was borrowed: only its body may use it. */
EXPORTED int role_borrowed_task_used(void) {
  make_registry();
  CHECK_EQ(TR_OK, tr_spawn(registry, "first", TR_KIND_BACKGROUND_LOOP, body_passes_itself, &task, NULL));
  registry_finish(registry);
  (void)tr_task_id(task);
  return 0;
}

EXPORTED int role_registration_twice(void) {
  make_registration();
  gives_back_registration();
  gives_back_registration();
  return 0;
}

EXPORTED int role_report_twice(void) {
  make_report();
  gives_back_report();
  gives_back_report();
  return 0;
}

EXPORTED int role_report_used(void) {
  make_report();
  gives_back_report();
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  (void)!tr_report_counts(report, &counts);
  return 0;
}

/* Three references, two of them the registries': the program releases its own twice, and takes
   one. */
EXPORTED int role_lives_on(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *first = NULL, *second = NULL;
  CHECK((token = options.token = tr_token_create()) != NULL);
  CHECK_EQ(TR_OK, create_registry(&options, &first));
  CHECK_EQ(TR_OK, create_registry(&options, &second));
  gives_back_token();
  gives_back_token();
  CHECK(tr_token_retain(token) == token);
  tr_registry_release(first);
  tr_registry_release(second);
  return 0;
}

/* ---- A normal life ---------------------------------------------------------------------------- */

static void *lives(void *result) {
  int rounds = check_rounds(600);
  tr_registry *mine = NULL, *group = NULL;
  CHECK_EQ(TR_OK, create_registry(NULL, &mine));
  for (int i = 0; i < rounds; i++) {
    tr_token *parent = tr_token_create(), *child = tr_token_child(parent);
    tr_registration *one = NULL, *two = NULL;
    CHECK_EQ(TR_OK, tr_token_on_cancel(child, takes_note, NULL, NULL, &one));
    tr_token_release(parent);
    if (i % 2 == 0) CHECK_EQ(1, tr_token_cancel(child, TR_REASON_USER_REQUESTED, NULL));
    tr_status status = tr_token_on_cancel(child, takes_note, NULL, NULL, &two);
    CHECK_EQ(i % 2 == 0 ? TR_ERR_CANCELLED : TR_OK, status);
    tr_registration_remove(one);
    tr_registration_remove(two);
    tr_token_release(child);
    tr_task *made = spawn(mine, "short", body_returns, NULL);
    CHECK(tr_task_retain(made) == made);
    tr_task_release(made);
    wait_and_release(made);
    if (i % 50 != 0) continue;
    CHECK_EQ(TR_OK, tr_registry_child(mine, "group", NULL, &group));
    CHECK_EQ(TR_OK, tr_spawn(group, "long", TR_KIND_BACKGROUND_LOOP, body_obeys, NULL, NULL));
    tr_report *full = NULL;
    tr_join_report counts = TR_JOIN_REPORT_INIT;
    counts.full = &full;
    CHECK_EQ(TR_OK, tr_shutdown(group, TR_REASON_USER_REQUESTED, NULL, TR_FOREVER, &counts));
    CHECK_EQ(TR_OK, tr_report_counts(full, &counts));
    tr_report_release(full);
    tr_registry_release(group);
  }
  registry_finish(mine);
  return result;
}

/* More than are kept. */
EXPORTED int role_normal(void) {
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = thread_start(lives, NULL);
  for (int i = 0; i < 3; i++) thread_end(threads[i]);
  return 0;
}

/* ---- The cases ------------------------------------------------------------------------------- */

static int messages[2];

static void listen_to_it(const char *debug) {
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  dup2(messages[1], 2);
  unsetenv("TASKREG_DEBUG");
  if (debug != NULL) setenv("TASKREG_DEBUG", debug, 1);
}
static void checks_handles(void) { listen_to_it("handles"); }
static void checks_nothing(void) { listen_to_it(NULL); }
static void checks_something_else(void) { listen_to_it("handle"); }

/* Run a role; returns its stderr, and its wait status. */
static int run_role(const char *role, void (*prepare)(void), char *said, size_t size) {
  CHECK_EQ(0, pipe2(messages, O_CLOEXEC));
  int status = status_of_role(role, prepare);
  close(messages[1]);
  ssize_t length = read(messages[0], said, size - 1);
  CHECK(length >= 0);
  said[length] = 0;
  close(messages[0]);
  return status;
}

/* Check that a mistake ends its process, in one line that has these parts. */
static void check_found(const char *role, const char *const *parts) {
  char said[4096];
  int status = run_role(role, checks_handles, said, sizeof said);
  CHECK_MSG(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "%s ended with %d and \"%.300s\"", role, status, said);
  for (; *parts != NULL; parts++) CHECK_MSG(strstr(said, *parts) != NULL, "%s: no \"%.100s\" in \"%.300s\"", role, *parts, said);
  CHECK_MSG(strstr(said, "c-guards") != NULL, "%s: \"%.300s\"", role, said);
}
#define CHECK_FOUND(role, ...) check_found(role, (const char *const[]){__VA_ARGS__, NULL})

/* Proves: a second release ends the process and names the object, and the place of the first,
   whether the object is gone or still referenced (P8). Why it matters: it takes another holder's
   reference, and that holder breaks. Catches: a kind of handle that is not counted; the program's
   references mixed with the library's. */
CASE(second_release_is_found) {
  CHECK_FOUND("registry-twice", "libtaskreg: tr_registry_release: the tr_registry 0x", " is released a second time\n",
              "called by gives_back_registry+0x", "released by gives_back_registry+0x");
  CHECK_FOUND("token-twice", "libtaskreg: tr_token_release: the tr_token 0x", " is released a second time\n",
              "called by gives_back_token+0x", "released by gives_back_token+0x");
  CHECK_FOUND("held-token-twice", "tr_token_release: the tr_token 0x", "released by gives_back_token+0x");
  CHECK_FOUND("task-twice", "tr_task_release: the tr_task 0x", "called by gives_back_task+0x",
              "released by gives_back_task+0x");
  CHECK_FOUND("registration-twice", "tr_registration_remove: the tr_registration 0x",
              "called by gives_back_registration+0x", "released by gives_back_registration+0x");
  CHECK_FOUND("report-twice", "tr_report_release: the tr_report 0x", "called by gives_back_report+0x",
              "released by gives_back_report+0x");
}

/* Proves: the use of an object that is gone ends the process and says where it was released (P8).
   Why it matters: the memory is another object's by then, which is cancelled instead. Catches: a
   function, or a field of a structure, that is not checked; memory that is used again at once. */
CASE(use_after_release_is_found) {
  CHECK_FOUND("registry-used", "libtaskreg: tr_len: the tr_registry 0x", " is used after its release\n",
              "called by role_registry_used+0x", "released by gives_back_registry+0x");
  CHECK_FOUND("registry-in-a-structure", "tr_metrics_write_all: the tr_registry 0x", " is used after its release\n",
              "called by role_registry_in_a_structure+0x", "released by gives_back_registry+0x");
  CHECK_FOUND("shut-down", "tr_shutdown_with: the tr_registry 0x", " is used after its release\n",
              "called by role_shut_down+0x", "released by gives_back_registry+0x");
  CHECK_FOUND("token-used", "tr_token_cancel: the tr_token 0x", " is used after its release\n",
              "called by role_token_used+0x", "released by gives_back_token+0x");
  CHECK_FOUND("token-in-options", "tr_registry_create: the tr_token 0x", " is used after its release\n",
              "called by role_token_in_options+0x", "released by gives_back_token+0x");
  CHECK_FOUND("task-used", "tr_task_cancel: the tr_task 0x", " is used after its release\n",
              "called by role_task_used+0x", "released by gives_back_task+0x");
  CHECK_FOUND("report-used", "tr_report_counts: the tr_report 0x", " is used after its release\n",
              "called by role_report_used+0x", "released by gives_back_report+0x");
}

/* Proves: so does the release of a handle that is borrowed, and its use after its owner is gone
   (P8). Why it matters: it looks like any other handle. Catches: only handles that were given are
   known. */
CASE(what_is_borrowed_is_not_given_back) {
  CHECK_FOUND("borrowed-token-released", "tr_token_release: the tr_token 0x", "the program has no reference");
  CHECK_FOUND("borrowed-task-used", "tr_task_id: the tr_task 0x", "is used, which was borrowed and is there no more");
}

/* Proves: programs without mistakes run as usual, however many objects come and go (P8). Why it
   matters: a check that cries wolf is switched off. Catches: a reference that is not counted;
   memory freed while it is used. */
CASE(normal_life_goes_on) {
  char said[4096];
  CHECK_EXITED(0, run_role("normal", checks_handles, said, sizeof said));
  CHECK_STR("", said);
}

/* Proves: without the word in the environment nothing is counted (P8).  Why it matters: it costs memory and time.
   Catches: the check is on by default, or by any word. */
CASE(off_by_default) {
  char said[4096];
  CHECK_FOUND("lives-on", "tr_token_release: the tr_token 0x", "released by gives_back_token+0x");
  CHECK_EXITED(0, run_role("lives-on", checks_nothing, said, sizeof said));
  CHECK_EXITED(0, run_role("lives-on", checks_something_else, said, sizeof said));
}

static const struct role roles[] = {
    {"registry-twice", role_registry_twice},
    {"registry-used", role_registry_used},
    {"registry-in-a-structure", role_registry_in_a_structure},
    {"shut-down", role_shut_down},
    {"token-twice", role_token_twice},
    {"held-token-twice", role_held_token_twice},
    {"token-used", role_token_used},
    {"token-in-options", role_token_in_options},
    {"borrowed-token-released", role_borrowed_token_released},
    {"task-twice", role_task_twice},
    {"task-used", role_task_used},
    {"borrowed-task-used", role_borrowed_task_used},
    {"registration-twice", role_registration_twice},
    {"report-twice", role_report_twice},
    {"report-used", role_report_used},
    {"lives-on", role_lives_on},
    {"normal", role_normal},
};

static const struct check_case cases[] = {
    CHECK_ENTRY(second_release_is_found),   CHECK_ENTRY(use_after_release_is_found),
    CHECK_ENTRY(what_is_borrowed_is_not_given_back), CHECK_ENTRY(normal_life_goes_on),
    CHECK_ENTRY(off_by_default),
};

int main(int argc, char **argv) {
  return roles_main(argc, argv, roles, sizeof roles / sizeof *roles, cases, sizeof cases / sizeof *cases);
}
