/* alike.c - how a report as text begins, and how it tells of many tasks that are alike (Q5, Q6). */

#include "deadline.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static char *written(const tr_report *report, uint32_t format) {
  size_t length = 0;
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, format, NULL, 0, &length));
  char *text = malloc(length + 1);
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, format, text, length + 1, &length));
  return text;
}

/* Reports until the text contains `what` and `also`, or for long: the text, and the JSON of the same report, to be
   freed. */
static char *text_with(tr_registry *registry, const char *what, const char *also, char **json) {
  for (int64_t end = now_ns() + 20 * SECOND * check_scale();; breathe()) {
    tr_report *report = NULL;
    CHECK_EQ(TR_OK, tr_explain_with(registry, TR_EXPLAIN_NO_BACKTRACES, &report));
    char *text = written(report, TR_FORMAT_TEXT);
    int found = strstr(text, what) != NULL && strstr(text, also) != NULL;
    if (found && json != NULL) *json = written(report, TR_FORMAT_JSON);
    tr_report_release(report);
    if (found) return text;
    CHECK_MSG(now_ns() < end, "%.400s", text);
    free(text);
  }
}

static int lines_of(const char *text) {
  int lines = 0;
  for (; *text != 0; text++) lines += *text == '\n';
  return lines;
}

static int count_of(const char *text, const char *part) {
  int count = 0;
  for (; (text = strstr(text, part)) != NULL; text += strlen(part)) count++;
  return count;
}

/* Spawns from one place, however a compiler unrolls the loop around it: tasks from several places are not alike. */
static __attribute__((noinline)) void spawn_alike(tr_registry *registry, const char *name, tr_kind kind, tr_task_fn body,
                                                  void *ctx, tr_task **out) {
  CHECK_EQ(TR_OK, tr_spawn(registry, name, kind, body, ctx, out));
}

static int body_sleeps(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_sleep(FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* Proves: 200 tasks of which a report would say the same are one paragraph, that of the oldest, with their number and the
   names of the next five, within a screen; one that does something else has its own; JSON has each (Q6).  Why it matters:
   ten thousand paragraphs with the same words hide the one that is different.  Catches: a list that ends with the first;
   a task that is left out; different tasks taken for alike. */
CASE(tasks_that_are_alike_are_one_paragraph) {
  enum { COUNT = 200 };
  tr_registry *registry = registry_new();
  struct gate deaf = GATE_INIT;
  tr_task *other = spawn(registry, "different", body_deaf, &deaf);
  gate_await(&deaf, 1);
  for (int i = 0; i < COUNT; i++) {
    char name[32];
    snprintf(name, sizeof name, "conn %d", i);
    spawn_alike(registry, name, TR_KIND_PEER_CONNECTION, body_sleeps, NULL, NULL);
  }
  char *json = NULL, *text = text_with(registry, "  and 199 younger tasks like this: ", "task different: blocked in ", &json);
  CHECK_MSG(lines_of(text) < 24, "%.400s", text);
  CHECK(strstr(text, "task conn 0: asleep for ") != NULL);
  CHECK_EQ(2, count_of(text, "\ntask "));
  char *names = strstr(text, "like this: ");
  CHECK_EQ(5, count_of(names, "conn "));
  CHECK(strstr(names, ", \xE2\x80\xA6\n") != NULL);
  for (int i = 0; i < COUNT; i++) {
    char member[48];
    snprintf(member, sizeof member, "\"name\":\"conn %d\"", i);
    CHECK_EQ(1, count_of(json, member));
  }
  free(text);
  free(json);
  gate_open(&deaf);
  wait_and_release(other);
  registry_finish(registry);
}

static int body_marks(tr_task *self, void *ctx) {
  const char *const *texts = ctx;
  (void)self;
  CHECK_EQ(TR_OK, tr_label(texts[0]));
  CHECK_EQ(TR_OK, tr_checkpoint(texts[1]));
  return tr_sleep(FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

/* Proves: tasks that differ in their label alone are alike, and the label is behind the name; those at different
   checkpoints are not (Q6).  Why it matters: the label is different for each request, and a checkpoint says what each
   does.  Catches: a label that is lost; checkpoints that are not compared. */
CASE(a_label_keeps_no_tasks_apart_and_a_checkpoint_does) {
  static const char *const texts[3][2] = {{"GET /1", "reading"}, {"GET /2", "reading"}, {"GET /3", "writing"}};
  tr_registry *registry = registry_new();
  for (int i = 0; i < 3; i++)
    spawn_alike(registry, "request", TR_KIND_RPC_HANDLER, body_marks, (void *)texts[i], NULL);
  char *text = text_with(registry, "  and 1 younger task like this: request for \"GET /2\"\n",
                         "  for \"GET /3\"\n  at \"writing\"\n", NULL);
  CHECK(strstr(text, "  for \"GET /1\"\n  at \"reading\"\n  and 1 ") != NULL);
  free(text);
  registry_finish(registry);
}

/* Proves: of a hundred tasks that differ in their checkpoints alone, none is taken for another (Q6).  Why it matters: a
   paragraph that says "at reading" of those that write is wrong.  Catches: checkpoints that are not compared, where
   their numbers in the table of what was seen happen to be neighbours, as some of a hundred do. */
CASE(a_hundred_checkpoints_are_a_hundred_paragraphs) {
  enum { MANY = 100 };
  static char steps[MANY][16];
  static const char *texts[MANY][2];
  int count = check_under_a_tool() ? MANY / 4 : MANY;
  tr_registry *registry = registry_new();
  for (int i = 0; i < count; i++) {
    snprintf(steps[i], sizeof steps[i], "step %d", i);
    texts[i][0] = "one and the same";
    texts[i][1] = steps[i];
    spawn_alike(registry, "worker", TR_KIND_RPC_HANDLER, body_marks, (void *)texts[i], NULL);
  }
  char *text = NULL;
  for (int64_t end = now_ns() + AT_ONCE;; breathe()) { /* until all are asleep */
    free(text);
    text = text_with(registry, "tasks alive\n", "", NULL);
    if (count_of(text, "task worker: idle in tr_sleep for ") + count_of(text, "task worker: asleep") == count) break;
    CHECK_MSG(now_ns() < end, "%.400s", text);
  }
  CHECK_EQ(count, count_of(text, "\n  at \"step "));
  CHECK(strstr(text, " like this") == NULL);
  free(text);
  registry_finish(registry);
}

struct loop {
  pthread_mutex_t mutex;
  pthread_cond_t condition;
};

static int body_loops(tr_task *self, void *ctx) {
  struct loop *loop = ctx;
  tr_status status = TR_OK;
  (void)self;
  CHECK_EQ(0, pthread_mutex_lock(&loop->mutex));
  while (status == TR_OK) status = tr_cond_wait(&loop->condition, &loop->mutex, FOREVER);
  CHECK_EQ(0, pthread_mutex_unlock(&loop->mutex));
  return status == TR_ERR_CANCELLED ? 0 : 1;
}

/* Proves: a healthy daemon with six idle loops has a report in which nothing is blocked, nobody is named as the cause of
   anything, and the loops are one paragraph (E15, Q5, Q6).  Why it matters: it read like six hangs.  Catches: an idle
   loop that is shown as blocked in futex; a paragraph for each. */
CASE(six_idle_loops_are_no_six_hangs) {
  static struct loop loops[6];
  tr_registry *registry = registry_new();
  for (int i = 0; i < 6; i++) {
    char name[16];
    loops[i] = (struct loop){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER};
    snprintf(name, sizeof name, "flusher %d", i);
    spawn_alike(registry, name, TR_KIND_MAINTENANCE, body_loops, &loops[i], NULL);
  }
  const char *elsewhere = check_sees_conditions() ? ", to be signalled elsewhere: flusher 1, " : ": flusher 1, ";
  char *text = text_with(registry, "  and 5 younger tasks like this", elsewhere, NULL);
  CHECK_MSG(strncmp(text, "6 tasks alive\ntask flusher 0: idle in tr_cond_wait for ", 55) == 0, "%s", text);
  CHECK_MSG(strstr(text, "blocked") == NULL && strstr(text, "futex") == NULL, "%s", text);
  free(text);
  registry_finish(registry);
}

static int body_receives(tr_task *self, void *ctx) {
  char byte;
  (void)self;
  return recv(*(int *)ctx, &byte, 1, 0) == 0 ? 0 : 1;
}

/* Proves: the first line of a report on twenty connections that wait for one dead peer names the peer and how many wait
   for it, and the rest is one paragraph (Q5, Q6).  Why it matters: it was 57 lines, in none of which the peer stood.
   Catches: a cause that is only looked for among the holders of locks; ports of this end that keep them apart. */
CASE(twenty_connections_wait_for_one_dead_peer) {
  enum { COUNT = 20 };
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t length = sizeof address;
  int fds[COUNT], listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK_EQ(0, bind(listener, (struct sockaddr *)&address, sizeof address));
  CHECK_EQ(0, listen(listener, 128));
  CHECK_EQ(0, getsockname(listener, (struct sockaddr *)&address, &length));
  tr_registry *registry = registry_new();
  tr_task *tasks[COUNT];
  for (int i = 0; i < COUNT; i++) {
    char name[16];
    fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(0, connect(fds[i], (struct sockaddr *)&address, sizeof address));
    snprintf(name, sizeof name, "conn %d", i);
    spawn_alike(registry, name, TR_KIND_BACKGROUND_LOOP, body_receives, &fds[i], &tasks[i]);
  }
  char line[64];
  char *text = text_with(registry, "  and 19 younger tasks like this, for other descriptors: conn 1, ", "", NULL);
  snprintf(line, sizeof line, "20 tasks wait for tcp 127.0.0.1:%u\n20 tasks alive\n", ntohs(address.sin_port));
  CHECK_MSG(strncmp(text, line, strlen(line)) == 0, "%s", text);
  CHECK_MSG(lines_of(text) < 12, "%s", text);
  free(text);
  for (int i = 0; i < COUNT; i++) CHECK_EQ(0, shutdown(fds[i], SHUT_RD));
  for (int i = 0; i < COUNT; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
  for (int i = 0; i < COUNT; i++) close(fds[i]);
  close(listener);
}

CHECK_MAIN(CHECK_ENTRY(tasks_that_are_alike_are_one_paragraph),
           CHECK_ENTRY(a_label_keeps_no_tasks_apart_and_a_checkpoint_does),
           CHECK_ENTRY(a_hundred_checkpoints_are_a_hundred_paragraphs), CHECK_ENTRY(six_idle_loops_are_no_six_hangs),
           CHECK_ENTRY(twenty_connections_wait_for_one_dead_peer))
