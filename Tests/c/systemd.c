/* systemd.c - the notifications to systemd, by the protocol of sd_notify(3), datagram by datagram.
   Rule E11, with E3, E7, P1, P4. */

#include "support.h"

#include "forking.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* ---- The other end -------------------------------------------------------------------------- */

/* A socket that stands in for systemd's. */
struct service_manager {
  int fd;
  char address[108]; /* as in NOTIFY_SOCKET */
  char folder[64];   /* "" for an abstract one */
};

static void manager_bind(struct service_manager *manager) {
  struct sockaddr_un name;
  memset(&name, 0, sizeof name);
  name.sun_family = AF_UNIX;
  size_t length = strlen(manager->address);
  memcpy(name.sun_path, manager->address, length);
  if (manager->address[0] == '@') name.sun_path[0] = 0;
  manager->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK(manager->fd >= 0);
  CHECK_EQ(0, bind(manager->fd, (struct sockaddr *)&name,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
}

static void manager_open(struct service_manager *manager, int is_abstract) {
  memset(manager, 0, sizeof *manager);
  if (is_abstract) {
    snprintf(manager->address, sizeof manager->address, "@taskreg-test-%d", (int)getpid());
  } else {
    strcpy(manager->folder, "/tmp/taskreg-test-XXXXXX");
    CHECK(mkdtemp(manager->folder) != NULL);
    snprintf(manager->address, sizeof manager->address, "%s/notify", manager->folder);
  }
  manager_bind(manager);
}

/* Leave, so that there is no receiver at the address. */
static void manager_leave(struct service_manager *manager) {
  close(manager->fd);
  if (manager->folder[0] != 0) CHECK_EQ(0, unlink(manager->address));
}

static void manager_close(struct service_manager *manager) {
  manager_leave(manager);
  if (manager->folder[0] != 0) CHECK_EQ(0, rmdir(manager->folder));
}

static int is_readable(int fd, int timeout_ms) {
  struct pollfd one = {fd, POLLIN, 0};
  int ready;
  while ((ready = poll(&one, 1, timeout_ms)) < 0) CHECK(errno == EINTR);
  return ready;
}

/* The next datagram, which is waited for; each is checked to be lines of KEY=VALUE, and not too long. */
static const char *receive(struct service_manager *manager) {
  static char text[8192];
  CHECK_EQ(1, is_readable(manager->fd, -1));
  ssize_t length = recv(manager->fd, text, sizeof text - 1, MSG_DONTWAIT);
  CHECK(length > 0 && length <= 4096); /* what systemd takes */
  text[length] = 0;
  CHECK_EQ(length, strlen(text));
  static const char *const keys[] = {"READY=1", "STOPPING=1", "WATCHDOG=1", "EXTEND_TIMEOUT_USEC=",
                                     "STATUS=stopping: ", "RELOADING=1", "MONOTONIC_USEC=", "STATUS=reloading: "};
  for (const char *line = text; line != NULL;) {
    const char *end = strchr(line, '\n');
    int known = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
      size_t key = strlen(keys[i]);
      int is_whole = keys[i][key - 1] == '1';
      if (strncmp(line, keys[i], key) == 0 && (!is_whole || line[key] == 0 || line[key] == '\n')) known++;
    }
    CHECK_MSG(known == 1, "an unknown line in \"%.400s\"", text);
    for (const char *c = line; c != end && *c != 0; c++)
      CHECK_MSG((unsigned char)*c >= 0x20 && *c != 0x7F, "a control character in \"%.400s\"", text);
    line = end == NULL ? NULL : end + 1;
  }
  return text;
}

#define EXPECT(manager, text) CHECK_STR(text, receive(manager))

/* Check that nothing more has come, and does not come for a while. */
static void expect_nothing(struct service_manager *manager, int for_ms) {
  if (is_readable(manager->fd, for_ms)) CHECK_STR("(nothing)", receive(manager));
}

static void drain(struct service_manager *manager) {
  while (is_readable(manager->fd, 0)) receive(manager);
}

/* Wait until the timer thread has finished its current action. */
static void timer_thread_settles(void) {
  tr_token *parent = tr_token_create(), *token = NULL;
  /* One whose time is up as it is made would not be cancelled there. */
  for (int64_t timeout = MS; token == NULL || tr_token_is_cancelled(token); timeout *= 2) {
    tr_token_release(token);
    token = tr_token_child_with_timeout(parent, timeout);
    CHECK(token != NULL);
  }
  CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
  tr_token_release(token);
  tr_token_release(parent);
}

/* Wait until the timer thread sleeps. */
static void timer_thread_sleeps(void) {
  int seen = 0;
  while (seen < 3) {
    int timer, asleep = threads_named("taskreg-timer", &timer) > 0 && thread_state(timer) == 'S';
    seen = asleep ? seen + 1 : 0;
    breathe();
  }
}

/* ---- Short forms ---------------------------------------------------------------------------- */

static tr_status systemd_on(tr_registry *registry, const char *socket, int64_t watchdog, int64_t status) {
  tr_systemd_options options = TR_SYSTEMD_OPTIONS_INIT;
  options.socket = socket;
  options.watchdog_ns = watchdog;
  options.status_ns = status;
  return tr_systemd_start(registry, &options);
}

#define NEVER INT64_C(-1)
#define LATER (3600 * SECOND)

static void cancel_token(tr_registry *registry) {
  CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "test"));
}

/* A task that sets its checkpoint on request, and does not stop by itself. */
struct reporter {
  sem_t go, done;
  const char *checkpoint, *unit;
  uint64_t progress, total;
  int leaves, has_progress, beats;
};

static void reporter_init(struct reporter *reporter) {
  memset(reporter, 0, sizeof *reporter);
  sem_init(&reporter->go, 0, 0);
  sem_init(&reporter->done, 0, 0);
}

static int body_reports(tr_task *self, void *ctx) {
  (void)self;
  struct reporter *reporter = ctx;
  while (1) {
    sem_take(&reporter->go);
    if (reporter->leaves) return 0;
    if (reporter->beats) CHECK_EQ(TR_OK, tr_heartbeat());
    if (reporter->checkpoint != NULL) CHECK_EQ(TR_OK, tr_checkpoint(reporter->checkpoint));
    if (reporter->has_progress)
      CHECK_EQ(TR_OK, tr_progress(reporter->progress, reporter->total, reporter->unit));
    sem_post(&reporter->done);
  }
}

static void reporter_reports(struct reporter *reporter) {
  sem_post(&reporter->go);
  sem_take(&reporter->done);
}

static void reporter_progresses(struct reporter *reporter, uint64_t progress) {
  reporter->has_progress = 1;
  reporter->progress = progress;
  reporter_reports(reporter);
}

static void reporter_leaves(struct reporter *reporter) {
  reporter->leaves = 1;
  sem_post(&reporter->go);
}

/* ---- Cases ---------------------------------------------------------------------------------- */

#define EXTEND_2S "EXTEND_TIMEOUT_USEC=2000000\n"

/* Proves: the whole conversation, at a path and at an abstract address: READY=1 at once; nothing
   while the service runs; STOPPING=1 at the cancellation, with a first status; then a status each
   interval that names the tasks the stop waits for and what they reported; EXTEND_TIMEOUT_USEC= in
   the one after a task has reported progress or ended, and in no other; one status that no task is
   left; then nothing (E11, E3). Why it matters: systemd kills a service that is late, and its
   status shows what takes so long. Catches: an extension while nothing moves, or none when
   something does; a status that never stops. */
CASE(a_stop_is_notified_step_by_step) {
  for (int is_abstract = 0; is_abstract < 2; is_abstract++) {
    struct service_manager manager;
    manager_open(&manager, is_abstract);
    tr_registry *registry = registry_new(), *net = NULL, *peers = NULL;
    CHECK_EQ(TR_OK, tr_registry_child(registry, "net", NULL, &net));
    CHECK_EQ(TR_OK, tr_registry_child(net, "peers", NULL, &peers));
    CHECK_EQ(TR_OK, systemd_on(registry, manager.address, NEVER, 20 * MS));
    EXPECT(&manager, "READY=1");
    struct reporter journal, peer;
    reporter_init(&journal);
    reporter_init(&peer);
    tr_task *journal_task = spawn(registry, "journal", body_reports, &journal);
    tr_task *peer_task = spawn(peers, "peer 1.2.3.4", body_reports, &peer);
    expect_nothing(&manager, 100);
    journal.checkpoint = "flushing";
    journal.total = 100;
    journal.unit = "blocks";
    reporter_progresses(&journal, 30);
    cancel_token(registry);
#define STATUS_OF(progress)                                                                        \
  "STATUS=stopping: waiting for 2 tasks: journal (flushing; " progress                             \
  " of 100 blocks), net/peers/peer 1.2.3.4"
    EXPECT(&manager, "STOPPING=1\n" STATUS_OF("30"));
    for (int i = 0; i < 5; i++) EXPECT(&manager, STATUS_OF("30"));
    for (int round = 0; round < 3; round++) {
      reporter_progresses(&journal, 31);
      const char *text;
      while (strcmp(text = receive(&manager), EXTEND_2S STATUS_OF("31")) != 0)
        CHECK_STR(round == 0 ? STATUS_OF("30") : STATUS_OF("32"), text);
      for (int i = 0; i < 3; i++) EXPECT(&manager, STATUS_OF("31"));
      reporter_progresses(&journal, 31); /* the same again is none */
      reporter_reports(&peer);             /* nor is being busy */
      for (int i = 0; i < 3; i++) EXPECT(&manager, STATUS_OF("31"));
      if (round == 2) break;
      reporter_progresses(&journal, 32);
      while (strcmp(text = receive(&manager), EXTEND_2S STATUS_OF("32")) != 0)
        CHECK_STR(STATUS_OF("31"), text);
    }
    reporter_leaves(&journal);
    wait_and_release(journal_task);
#define LAST_STATUS "STATUS=stopping: waiting for 1 task: net/peers/peer 1.2.3.4"
    const char *text;
    while (strcmp(text = receive(&manager), EXTEND_2S LAST_STATUS) != 0) CHECK_STR(STATUS_OF("31"), text);
    for (int i = 0; i < 3; i++) EXPECT(&manager, LAST_STATUS);
    peer.total = 0; /* without a total and a unit */
    reporter_progresses(&peer, 7);
    while (strcmp(text = receive(&manager), EXTEND_2S LAST_STATUS " (7)") != 0) CHECK_STR(LAST_STATUS, text);
    reporter_leaves(&peer);
    wait_and_release(peer_task);
    while (strcmp(text = receive(&manager), EXTEND_2S "STATUS=stopping: no task is left") != 0)
      CHECK_STR(LAST_STATUS " (7)", text);
    expect_nothing(&manager, 200);
    CHECK_EQ(TR_OK, tr_systemd_stop(registry));
    tr_registry_release(peers);
    tr_registry_release(net);
    registry_finish(registry);
    expect_nothing(&manager, 0);
    manager_close(&manager);
  }
  timer_thread_leaves();
}

/* Proves: a cancellation is reported at once, whatever the intervals, even one that came before;
   and without any task (E11). Why it matters: after STOPPING=1 systemd does not take the end for a
   crash. Catches: a check of the token that waits for the next status; a timer that becomes due
   earlier without waking the sleeping thread. */
CASE(a_cancellation_is_notified_at_once) {
  struct service_manager manager;
  manager_open(&manager, 0);
  for (int when = 0; when < 3; when++) {
    tr_registry *registry = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = when == 2 ? NULL : spawn(registry, "deaf", body_deaf, &gate);
    if (when == 1) cancel_token(registry);
    CHECK_EQ(TR_OK, systemd_on(registry, manager.address, LATER, LATER));
    EXPECT(&manager, "READY=1");
    if (when != 1) {
      timer_thread_sleeps();
      cancel_token(registry);
    }
    EXPECT(&manager, when == 2 ? "STOPPING=1\nSTATUS=stopping: no task is left"
                               : "STOPPING=1\nSTATUS=stopping: waiting for 1 task: deaf");
    expect_nothing(&manager, 50);
    gate_open(&gate);
    if (task != NULL) wait_and_release(task);
    CHECK_EQ(TR_OK, tr_systemd_stop(registry));
    registry_finish(registry);
  }
  manager_close(&manager);
  timer_thread_leaves();
}

/* Proves: more time is requested, twice the interval of the status, if that is more than two
   seconds, up to intervals beyond the clock (E11). Why it matters: the time must last until the
   next request. Catches: a fixed number; a product that overflows. */
CASE(an_extension_lasts_two_intervals) {
  struct service_manager manager;
  manager_open(&manager, 0);
  tr_registry *registry = registry_new();
  struct reporter reporter;
  reporter_init(&reporter);
  tr_task *task = spawn(registry, "slow", body_reports, &reporter);
  cancel_token(registry);
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, INT64_MAX, 1100 * MS));
  EXPECT(&manager, "READY=1");
  EXPECT(&manager, "STOPPING=1\nSTATUS=stopping: waiting for 1 task: slow");
  reporter_progresses(&reporter, 1);
  EXPECT(&manager, "EXTEND_TIMEOUT_USEC=2200000\nSTATUS=stopping: waiting for 1 task: slow (1)");
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, NEVER, INT64_MAX));
  EXPECT(&manager, "READY=1");
  EXPECT(&manager, "STOPPING=1\nSTATUS=stopping: waiting for 1 task: slow (1)");
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  reporter_leaves(&reporter);
  wait_and_release(task);
  registry_finish(registry);
  manager_close(&manager);
  timer_thread_leaves();
}

/* Proves: WATCHDOG=1 comes at half the interval, not more often, during a stop as well; not while a
   task is stalled, even in a group; and again at its next heartbeat or its end (E11, E7). Why it
   matters: the watchdog is there to detect hangs, and a notification that is always sent is worse
   than none. Catches: a check of only the registry's own tasks; one that is left out once the stop
   has started. */
CASE(the_watchdog_is_fed_while_nobody_is_stalled) {
  struct service_manager manager;
  manager_open(&manager, 1);
  tr_registry *registry = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "group", NULL, &group));
  int64_t start = now_ns();
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, 40 * MS, LATER));
  EXPECT(&manager, "READY=1");
  for (int i = 0; i < 5; i++) EXPECT(&manager, "WATCHDOG=1");
  CHECK(now_ns() - start >= 100 * MS);
  for (int is_stopping = 0; is_stopping < 2; is_stopping++) {
    struct reporter reporter;
    reporter_init(&reporter);
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.heartbeat_ns = 300 * MS;
    tr_task *task = NULL;
    CHECK_EQ(TR_OK, tr_spawn_with(is_stopping ? registry : group, "hangs", TR_KIND_RPC_HANDLER, body_reports,
                                  &reporter, &options, &task));
    if (is_stopping) {
      cancel_token(registry);
      const char *text;
      while (strcmp(text = receive(&manager), "STOPPING=1\nSTATUS=stopping: waiting for 1 task: hangs") != 0)
        CHECK_STR("WATCHDOG=1", text);
    }
    while (tr_health(registry, NULL, 0, NULL) != TR_ERR_STALLED) breathe();
    timer_thread_settles();
    drain(&manager);
    expect_nothing(&manager, 200);
    reporter.beats = 1;
    do reporter_reports(&reporter);
    while (!is_readable(manager.fd, 30));
    EXPECT(&manager, "WATCHDOG=1");
    while (tr_health(registry, NULL, 0, NULL) != TR_ERR_STALLED) breathe();
    timer_thread_settles();
    drain(&manager);
    expect_nothing(&manager, 100);
    reporter_leaves(&reporter);
    wait_and_release(task);
    for (int i = 0; i < 3; i++) EXPECT(&manager, "WATCHDOG=1");
  }
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  drain(&manager);
  expect_nothing(&manager, 100);
  tr_registry_release(group);
  registry_finish(registry);
  manager_close(&manager);
  timer_thread_leaves();
}

/* Proves: a thread that is not a task, once it has called tr_heartbeat, has half of the watchdog's
   interval: WATCHDOG=1 stops while it hangs, and comes again when it continues, until the end of
   the watchdog, with which its interval ends: the timer thread ends, and a heartbeat fails again
   (E11, E7, C11). Why it matters: nothing else detects a main loop that hangs. Catches: an interval
   that outlives the watchdog it was set for. */
CASE(the_watchdog_starves_while_mains_loop_hangs) {
  struct service_manager manager;
  manager_open(&manager, 1);
  tr_registry *registry = registry_new();
  CHECK_EQ(TR_ERR_INVALID, tr_heartbeat());
  for (int round = 0; round < 2; round++) {
    CHECK_EQ(TR_OK, systemd_on(registry, manager.address, 40 * MS, LATER));
    EXPECT(&manager, "READY=1");
    for (int i = 0; i < 3; i++) EXPECT(&manager, "WATCHDOG=1"); /* no interval is set */
    CHECK_EQ(TR_OK, tr_heartbeat());
    while (tr_health(registry, NULL, 0, NULL) != TR_ERR_STALLED) breathe();
    timer_thread_settles();
    drain(&manager);
    expect_nothing(&manager, 200);
    do CHECK_EQ(TR_OK, tr_heartbeat());
    while (!is_readable(manager.fd, 5));
    EXPECT(&manager, "WATCHDOG=1");
    CHECK_EQ(TR_OK, tr_systemd_stop(registry));
    CHECK_EQ(TR_ERR_INVALID, tr_heartbeat());
    CHECK_EQ(TR_OK, tr_health(registry, NULL, 0, NULL));
    while (threads_called("taskreg-timer") > 0) breathe();
    drain(&manager);
  }
  CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 0, 0));
  registry_finish(registry);
  manager_close(&manager);
  timer_thread_leaves();
}

static int is_utf8(const char *text) {
  const unsigned char *c = (const unsigned char *)text;
  while (*c != 0) {
    int more = *c < 0x80 ? 0 : *c >= 0xC2 && *c < 0xE0 ? 1 : *c >= 0xE0 && *c < 0xF0 ? 2 : *c >= 0xF0 && *c < 0xF5 ? 3 : -1;
    if (more < 0) return 0;
    c++;
    for (; more > 0; more--, c++)
      if ((*c & 0xC0) != 0x80) return 0;
  }
  return 1;
}

/* Proves: no name of a task or a group, no checkpoint and no unit makes a line of its own, or is more than
   printable UTF-8; five tasks are named and the others counted; the datagram is never longer than systemd
   takes (E11).  Why it matters: names are made of what peers send, and a forged READY=1 or WATCHDOG=1
   would be believed.  Catches: text that is passed on; escapes that overflow a buffer. */
CASE(text_cannot_forge_a_line) {
  struct service_manager manager;
  manager_open(&manager, 0);
  tr_registry *registry = registry_new(), *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(registry, "g\nWATCHDOG=1", NULL, &group));
  struct reporter reporter;
  reporter_init(&reporter);
  reporter.checkpoint = "flush\nSTOPPING=1\x80\x1b]0;t\a";
  reporter.unit = "b\nEXTEND_TIMEOUT_USEC=9";
  reporter.total = UINT64_MAX;
  tr_task *task = spawn(group, "evil\nREADY=1\r\t\x7f\302\205\303\251", body_reports, &reporter);
  reporter_progresses(&reporter, UINT64_MAX - 1);
  cancel_token(registry);
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, NEVER, LATER));
  EXPECT(&manager, "READY=1");
  EXPECT(&manager, "STOPPING=1\nSTATUS=stopping: waiting for 1 task: g\\x0aWATCHDOG=1/"
                   "evil\\x0aREADY=1\\x0d\\x09\\x7f\\x85\303\251 "
                   "(flush\\x0aSTOPPING=1\357\277\275\\x1b]0;t\\x07; "
                   "18446744073709551614 of 18446744073709551615 b\\x0aEXTEND_TIMEOUT_USEC=9)");
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  reporter_leaves(&reporter);
  wait_and_release(task);
  tr_registry_release(group);
  registry_finish(registry);

  /* The longest there are, of every sort of character, in groups as deep as their path is long. */
  static const char *const stuff[] = {"\n", "n", "\303\251", "\342\202\254", "\360\237\214\215", "\302\205"};
  for (size_t s = 0; s < sizeof stuff / sizeof *stuff; s++) {
    static char name[64], place[300];
    name[0] = place[0] = 0;
    while (strlen(name) + strlen(stuff[s]) < sizeof name) strcat(name, stuff[s]);
    while (strlen(place) + strlen(stuff[s]) < sizeof place) strcat(place, stuff[s]);
    registry = registry_new();
    tr_registry *below = registry;
    for (int depth = 0; depth < 3; depth++) {
      tr_registry *next = NULL;
      CHECK_EQ(TR_OK, tr_registry_child(below, name, NULL, &next));
      if (depth > 0) tr_registry_release(below);
      below = next;
    }
    enum { tasks = 12 };
    struct reporter reporters[tasks];
    tr_task *all[tasks];
    for (int i = 0; i < tasks; i++) {
      reporter_init(&reporters[i]);
      reporters[i].checkpoint = reporters[i].unit = place;
      reporters[i].total = UINT64_MAX;
      all[i] = spawn(below, name, body_reports, &reporters[i]);
      reporter_progresses(&reporters[i], UINT64_MAX - 1);
    }
    cancel_token(registry);
    CHECK_EQ(TR_OK, systemd_on(registry, manager.address, NEVER, LATER));
    EXPECT(&manager, "READY=1");
    const char *text = receive(&manager); /* which checks for control characters, and the length */
    CHECK(is_utf8(text));
    CHECK(strncmp(text, "STOPPING=1\nSTATUS=stopping: waiting for 12 tasks: ", 49) == 0);
    const char *last = strstr(text, ", and 7 more");
    CHECK(last != NULL && last[12] == 0);
    CHECK_EQ(TR_OK, tr_systemd_stop(registry));
    for (int i = 0; i < tasks; i++) {
      reporter_leaves(&reporters[i]);
      wait_and_release(all[i]);
    }
    tr_registry_release(below);
    registry_finish(registry);
  }

  registry = registry_new();
  struct gate gate = GATE_INIT;
  tr_task *tasks[6];
  for (int i = 0; i < 6; i++) {
    char number[16];
    snprintf(number, sizeof number, "task %d", i);
    tasks[i] = spawn(registry, number, body_deaf, &gate);
    gate_await(&gate, i + 1);
  }
  cancel_token(registry);
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, NEVER, LATER));
  EXPECT(&manager, "READY=1");
  const char *text = receive(&manager);
  CHECK(strncmp(text, "STOPPING=1\nSTATUS=stopping: waiting for 6 tasks: task ", 54) == 0);
  CHECK(strstr(text, ", and 1 more") != NULL);
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  gate_open(&gate);
  for (int i = 0; i < 6; i++) wait_and_release(tasks[i]);
  registry_finish(registry);
  expect_nothing(&manager, 0);
  manager_close(&manager);
  timer_thread_leaves();
}

/* Send to the manager until its queue is full. */
static void fill_queue(struct service_manager *manager) {
  struct sockaddr_un name;
  memset(&name, 0, sizeof name);
  name.sun_family = AF_UNIX;
  strcpy(name.sun_path, manager->address);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  CHECK(fd >= 0);
  while (sendto(fd, "WATCHDOG=1", 10, 0, (struct sockaddr *)&name, sizeof name) == 10) continue;
  CHECK(errno == EAGAIN);
  close(fd);
}

/* Proves: a receiver that does not read, or that is missing, holds up neither the cancellation nor
   the shutdown nor tr_systemd_stop; STOPPING=1 comes once there is room; READY=1 that cannot be
   sent is an error of which nothing is left (E11). Why it matters: the receiver of a notification
   must not block the stop. Catches: a send that waits; a STOPPING=1 that is lost; SIGPIPE. */
CASE(a_socket_that_takes_nothing_does_no_harm) {
  struct service_manager manager;
  manager_open(&manager, 0);
  tr_registry *registry = registry_new();
  fill_queue(&manager);
  errno = 0;
  CHECK_EQ(TR_ERR_SYSTEM, systemd_on(registry, manager.address, 2 * MS, 2 * MS));
  CHECK_EQ(EAGAIN, errno);
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));
  drain(&manager);
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, 2 * MS, 2 * MS));
  EXPECT(&manager, "READY=1");
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  fill_queue(&manager);
  int64_t start = now_ns();
  cancel_token(registry);
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_FATAL, NULL, 50 * MS, NULL));
  CHECK(now_ns() - start < 50 * MS + AT_ONCE);
  for (const char *text = ""; strncmp(text, "STOPPING=1\n", 11) != 0; text = receive(&manager)) {
    CHECK(text[0] == 0 || strcmp(text, "WATCHDOG=1") == 0);
  }
  fill_queue(&manager);
  manager_leave(&manager);
  for (int i = 0; i < 20; i++) breathe(); /* it finds no receiver */
  errno = 0;
  tr_registry *other = registry_new();
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  CHECK_EQ(TR_ERR_SYSTEM, systemd_on(other, manager.address, 0, 0));
  CHECK_EQ(ENOENT, errno);
  manager_bind(&manager);
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, NEVER, 2 * MS));
  EXPECT(&manager, "READY=1");
  EXPECT(&manager, "STOPPING=1\nSTATUS=stopping: waiting for 1 task: deaf");
  manager_leave(&manager);
  for (int i = 0; i < 20; i++) breathe();
  manager_bind(&manager); /* as after a restart of systemd itself */
  EXPECT(&manager, "STATUS=stopping: waiting for 1 task: deaf");
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  gate_open(&gate);
  wait_and_release(task);
  registry_finish(registry);
  registry_finish(other);
  manager_close(&manager);
  timer_thread_leaves();
}

/* Proves: a stop for a reload is reported as RELOADING=1, with the moment as MONOTONIC_USEC=, and
   never as STOPPING=1; READY=1 of the next registry ends it; one that is detected only by
   tr_systemd_stop is sent by that (E11). Why it matters: systemd kills a service that says
   STOPPING=1 and does not end, and waits for the RELOADING=1 of one that it has asked to reload.
   Catches: a check of the token and not of its reason. */
CASE(a_reload_is_notified_as_one) {
  struct service_manager manager;
  manager_open(&manager, 0);
  for (int is_late = 0; is_late < 30; is_late++) { /* the timer thread may be faster in some of them */
    tr_registry *registry = registry_new(), *next = registry_new();
    struct gate gate = GATE_INIT;
    tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
    CHECK_EQ(TR_OK, systemd_on(registry, manager.address, NEVER, LATER));
    EXPECT(&manager, "READY=1");
    long long before = now_ns() / 1000, moment;
    CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_RELOAD_REQUESTED, "SIGHUP"));
    if (is_late) CHECK_EQ(TR_OK, tr_systemd_stop(registry));
    const char *text = receive(&manager);
    int read = 0;
    CHECK_EQ(1, sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%lld\n%n", &moment, &read));
    CHECK_STR("STATUS=reloading: waiting for 1 task: deaf", text + read);
    CHECK(moment >= before && moment <= now_ns() / 1000);
    gate_open(&gate);
    wait_and_release(task);
    if (!is_late) CHECK_EQ(TR_OK, tr_systemd_stop(registry));
    CHECK_EQ(TR_OK, systemd_on(next, manager.address, NEVER, LATER));
    EXPECT(&manager, "READY=1");
    CHECK_EQ(TR_OK, tr_systemd_stop(next));
    expect_nothing(&manager, 0);
    registry_finish(registry);
    registry_finish(next);
  }
  manager_close(&manager);
  timer_thread_leaves();
}

/* The events about systemd in a log. */
struct unsent {
  tr_registry *registry;
  atomic_int count, code, off;
};

static void log_of_systemd(void *context, const tr_log_event *event) {
  struct unsent *unsent = context;
  CHECK_EQ(TR_EVENT_SYSTEMD_UNREACHABLE, event->event);
  CHECK_EQ(TR_LOG_WARNING, event->level);
  CHECK(strncmp(event->message, "systemd could not be notified of WATCHDOG=1: error ", 51) == 0);
  atomic_store(&unsent->off, tr_systemd_stop(unsent->registry));
  atomic_store(&unsent->code, event->code);
  atomic_fetch_add(&unsent->count, 1);
}

/* Proves: the socket stays connected when its path is gone, as after chroot(2); without a receiver
   there is one event, and another only after something was sent in between; a later receiver at the
   path is notified; the log's callback cannot stop the notifications that its event is about (E11,
   O2). Why it matters: a daemon gives up its root once it is ready, and without an event a healthy
   service would be killed by its watchdog. Catches: a path that is looked up for each datagram; an
   event for each datagram that is lost. */
CASE(the_socket_is_connected_once) {
  struct service_manager manager;
  manager_open(&manager, 0);
  struct unsent unsent = {NULL, 0, 0, 1};
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.log = log_of_systemd;
  options.log_context = &unsent;
  CHECK_EQ(TR_OK, create_registry(&options, &unsent.registry));
  CHECK_EQ(TR_OK, systemd_on(unsent.registry, manager.address, 4 * MS, LATER));
  EXPECT(&manager, "READY=1");
  CHECK_EQ(0, unlink(manager.address));
  drain(&manager);
  for (int i = 0; i < 5; i++) EXPECT(&manager, "WATCHDOG=1");
  CHECK_EQ(0, atomic_load(&unsent.count));
  close(manager.fd);
  for (int round = 1; round <= 2; round++) {
    while (atomic_load(&unsent.count) < round) breathe();
    CHECK_EQ(TR_ERR_DEADLOCK, atomic_load(&unsent.off));
    CHECK_EQ(ECONNREFUSED, atomic_load(&unsent.code));
    struct timespec moment = {0, 50000000};
    nanosleep(&moment, NULL);
    CHECK_EQ(round, atomic_load(&unsent.count));
    manager_bind(&manager);
    for (int i = 0; i < 5; i++) EXPECT(&manager, "WATCHDOG=1");
    if (round == 1) manager_leave(&manager);
  }
  CHECK_EQ(TR_OK, tr_systemd_stop(unsent.registry));
  registry_finish(unsent.registry);
  manager_close(&manager);
  timer_thread_leaves();
}

static void set(const char *name, const char *value) {
  CHECK_EQ(0, value == NULL ? unsetenv(name) : setenv(name, value, 1));
}

/* Proves: without options the environment gives the address, and the watchdog's interval if it is
   meant for this process; an invalid number counts as none; without a socket nothing is done and no
   thread is created; options take precedence over the environment (E11). Why it matters: the same
   program runs under systemd and in a terminal, and its children inherit the environment. Catches:
   a watchdog that was meant for the parent; an error where there is no systemd. */
CASE(the_environment_says_where_and_when) {
  while (threads_called("taskreg-timer") > 0) breathe();
  struct service_manager manager;
  manager_open(&manager, 1);
  tr_registry *registry = registry_new();
  char pid[32], other_pid[32], usec[] = "40000";
  snprintf(pid, sizeof pid, "%d", (int)getpid());
  snprintf(other_pid, sizeof other_pid, "%d", (int)getppid());

  const char *none[] = {NULL, ""};
  set("WATCHDOG_USEC", usec);
  set("WATCHDOG_PID", pid);
  for (size_t i = 0; i < 2; i++) {
    set("NOTIFY_SOCKET", none[i]);
    CHECK_EQ(TR_OK, tr_systemd_start(registry, NULL));
    CHECK_EQ(TR_OK, systemd_on(registry, NULL, 0, 0));
    CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));
  }
  CHECK_EQ(0, threads_called("taskreg-timer"));
  char longest[200];
  memset(longest, 'x', sizeof longest);
  longest[0] = '/';
  longest[108] = 0;
  const char *strange[] = {"vsock:2:1234", "relative", "/", "@", longest};
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
    set("NOTIFY_SOCKET", strange[i]);
    errno = 0;
    CHECK_EQ(TR_ERR_SYSTEM, tr_systemd_start(registry, NULL));
    CHECK_EQ(EAFNOSUPPORT, errno);
    CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));
  }
  CHECK_EQ(0, threads_called("taskreg-timer"));

  set("NOTIFY_SOCKET", manager.address);
  struct {
    const char *usec, *pid;
    int is_due;
  } watchdogs[] = {{usec, pid, 1},       {usec, NULL, 1},      {usec, other_pid, 0}, {usec, "", 0},
                   {usec, "x", 0},       {NULL, pid, 0},       {"", pid, 0},         {"0", pid, 0},
                   {"-40000", pid, 0},   {"40000 ", pid, 0},   {"4e4", pid, 0},      {"0040000", pid, 1},
                   {"18446744073709551616", pid, 0}, {"18446744073709551615", pid, 0}};
  for (size_t i = 0; i < sizeof watchdogs / sizeof *watchdogs; i++) {
    set("WATCHDOG_USEC", watchdogs[i].usec);
    set("WATCHDOG_PID", watchdogs[i].pid);
    CHECK_EQ(TR_OK, tr_systemd_start(registry, NULL));
    EXPECT(&manager, "READY=1");
    if (watchdogs[i].is_due)
      for (int n = 0; n < 2; n++) EXPECT(&manager, "WATCHDOG=1");
    else
      expect_nothing(&manager, 60);
    CHECK_EQ(TR_OK, tr_systemd_stop(registry));
    drain(&manager);
  }
  set("WATCHDOG_USEC", usec);
  CHECK_EQ(TR_OK, systemd_on(registry, NULL, NEVER, 0));
  EXPECT(&manager, "READY=1");
  expect_nothing(&manager, 60);
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  set("WATCHDOG_USEC", "3600000000");
  CHECK_EQ(TR_OK, systemd_on(registry, NULL, 20 * MS, 0));
  EXPECT(&manager, "READY=1");
  EXPECT(&manager, "WATCHDOG=1");
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  drain(&manager);
  set("NOTIFY_SOCKET", "/nowhere/at/all");
  set("WATCHDOG_USEC", usec);
  set("WATCHDOG_PID", NULL);
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, 0, 0));
  EXPECT(&manager, "READY=1");
  EXPECT(&manager, "WATCHDOG=1");
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  set("NOTIFY_SOCKET", NULL);
  set("WATCHDOG_USEC", NULL);
  registry_finish(registry);
  manager_close(&manager);
  timer_thread_leaves();
}

/* Proves: NULL, unknown flags, sizes that no release had, invalid addresses and negative intervals
   are rejected; a process has one notifier; it is stopped for its own registry, once, and may be
   started again (E11, P4). Why it matters: two of them would contradict each other. Catches: a
   check that is left out; a claim that is not released on an error. */
CASE(what_makes_no_sense_is_rejected) {
  struct service_manager manager;
  manager_open(&manager, 1);
  tr_registry *registry = registry_new(), *other = registry_new();
  tr_systemd_options options = TR_SYSTEMD_OPTIONS_INIT;
  options.socket = manager.address;
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(NULL, NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(NULL, &options));
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(NULL));
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));
  for (int bit = 0; bit < 32; bit++) {
    options.flags = 1u << bit;
    CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(registry, &options));
  }
  options.flags = 0;
  static const uint32_t sizes[] = {0, 1, 8, 31, 65537, UINT32_MAX};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    options.size = sizes[i];
    CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(registry, &options));
  }
  options.size = sizeof options;
  CHECK_EQ(TR_ERR_INVALID, systemd_on(registry, manager.address, 0, -1));
  CHECK_EQ(TR_ERR_INVALID, systemd_on(registry, manager.address, 0, INT64_MIN));
  char longest[200];
  memset(longest, 'x', sizeof longest);
  longest[0] = '@';
  longest[109] = 0;
  const char *strange[] = {"", "/", "@", "relative", "vsock:2:1234", longest};
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
    CHECK_EQ(TR_ERR_INVALID, systemd_on(registry, strange[i], NEVER, 0));
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));
  /* The longest name there is. */
  longest[108] = 0;
  struct service_manager far = {-1, "", ""};
  memcpy(far.address, longest, 108);
  errno = 0;
  CHECK_EQ(TR_ERR_SYSTEM, systemd_on(registry, longest, NEVER, 0));
  CHECK_EQ(ECONNREFUSED, errno);
  longest[0] = '/';
  longest[107] = 0;
  CHECK_EQ(TR_ERR_SYSTEM, systemd_on(registry, longest, NEVER, 0));
  CHECK_EQ(ENOENT, errno);

  struct {
    tr_systemd_options options;
    uint64_t later;
  } larger = {options, 0};
  larger.options.size = sizeof larger;
  for (int round = 0; round < 3; round++) {
    CHECK_EQ(TR_OK, tr_systemd_start(registry, round == 1 ? &larger.options : &options));
    EXPECT(&manager, "READY=1");
    CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(registry, &options));
    CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(other, &options));
    CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(other));
    CHECK_EQ(TR_OK, tr_systemd_stop(registry));
    CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));
  }
  larger.later = 1;
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_start(registry, &larger.options));
  expect_nothing(&manager, 0);
  registry_finish(registry);
  registry_finish(other);
  manager_close(&manager);
  timer_thread_leaves();
}

/* Proves: at the end of RLIMIT_NOFILE the error is TR_ERR_SYSTEM with EMFILE, and nothing is left;
   the descriptor is not a standard one, and is closed on exec (E11). Why it matters: the program's
   output would go to systemd. Catches: the claim kept; a socket on descriptor 0. */
CASE(the_socket_is_a_descriptor_like_the_others) {
  struct service_manager manager;
  manager_open(&manager, 1);
  tr_registry *registry = registry_new();
  struct rlimit before, none;
  CHECK_EQ(0, getrlimit(RLIMIT_NOFILE, &before));
  int lowest = dup(manager.fd);
  none = before;
  none.rlim_cur = (rlim_t)lowest;
  close(lowest);
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
  errno = 0;
  tr_status status = systemd_on(registry, manager.address, NEVER, 0);
  int error = errno;
  CHECK_EQ(0, setrlimit(RLIMIT_NOFILE, &before));
  CHECK_EQ(TR_ERR_SYSTEM, status);
  CHECK_EQ(EMFILE, error);
  CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(registry));

  int stdin_copy = fcntl(0, F_DUPFD_CLOEXEC, 10);
  if (stdin_copy >= 0) close(0);
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, NEVER, 0));
  EXPECT(&manager, "READY=1");
  struct stat found;
  CHECK_EQ(-1, fstat(0, &found));
  int sockets = 0;
  for (int fd = 3; fd < 64; fd++)
    if (fd != manager.fd && fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode)) {
      if (fcntl(fd, F_GETFD) & FD_CLOEXEC) sockets++;
    }
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  for (int fd = 3; fd < 64; fd++)
    if (fd != manager.fd && fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode)) {
      if (fcntl(fd, F_GETFD) & FD_CLOEXEC) sockets--;
    }
  CHECK_EQ(1, sockets);
  if (stdin_copy >= 0) {
    CHECK_EQ(0, dup2(stdin_copy, 0));
    close(stdin_copy);
  }
  registry_finish(registry);
  manager_close(&manager);
  timer_thread_leaves();
}

/* The observations of a callback. */
struct ends_there {
  tr_registry *registry, *other;
  tr_status status, other_status;
  struct gate gate;
};

static void callback_ends(void *ctx) {
  struct ends_there *ends = ctx;
  ends->status = tr_systemd_stop(ends->registry);
  ends->other_status = tr_systemd_stop(ends->other);
  gate_arrive(&ends->gate);
}

/* Proves: a timeout's callback may stop the notifications, because it runs on another thread than
   the sender; and so may a callback of the registry's token (E11). Why it matters: a service is
   ended where the stop is detected. Catches: a deadlock; a datagram after the end. */
CASE(it_is_ended_by_what_a_timeout_calls) {
  struct service_manager manager;
  manager_open(&manager, 1);
  struct ends_there ends = {registry_new(), registry_new(), 1, 1, GATE_INIT};
  CHECK_EQ(TR_OK, systemd_on(ends.registry, manager.address, 20 * MS, MS));
  EXPECT(&manager, "READY=1");
  tr_token *parent = tr_token_create(), *token = tr_token_child_with_timeout(parent, 100 * MS);
  tr_registration *registration = NULL;
  tr_status status = tr_token_on_cancel(token, callback_ends, &ends, NULL, &registration);
  if (status == TR_OK) {
    gate_await(&ends.gate, 1);
    tr_registration_remove(registration);
    CHECK_EQ(TR_OK, ends.status);
    CHECK_EQ(TR_ERR_INVALID, ends.other_status);
    drain(&manager);
    expect_nothing(&manager, 60);
  } else {
    CHECK_EQ(TR_ERR_CANCELLED, status); /* called by this thread, on a machine that is very slow */
    CHECK_EQ(TR_OK, ends.status);
  }
  if (status == TR_OK) {
    CHECK_EQ(TR_OK, systemd_on(ends.registry, manager.address, 20 * MS, MS));
    CHECK_EQ(TR_OK, tr_token_on_cancel(tr_registry_token(ends.registry), callback_ends, &ends, NULL,
                                       &registration));
    cancel_token(ends.registry);
    gate_await(&ends.gate, 2);
    CHECK_EQ(TR_OK, ends.status);
    tr_registration_remove(registration);
  }
  drain(&manager);
  expect_nothing(&manager, 60);
  tr_token_release(token);
  tr_token_release(parent);
  registry_finish(ends.registry);
  registry_finish(ends.other);
  manager_close(&manager);
  timer_thread_leaves();
}

/* Proves: the registry is kept as long as systemd is notified, even if the application has released
   it (E11). Why it matters: main may release its reference first. Catches: a reference that is not
   taken. */
CASE(a_reference_is_held) {
  struct service_manager manager;
  manager_open(&manager, 1);
  tr_registry *registry = registry_new();
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, 2 * MS, MS));
  EXPECT(&manager, "READY=1");
  struct gate gate = GATE_INIT;
  tr_task *task = spawn(registry, "deaf", body_deaf, &gate);
  tr_registry_release(registry);
  for (int i = 0; i < 5; i++) EXPECT(&manager, "WATCHDOG=1");
  CHECK_EQ(1, tr_len(registry));
  gate_open(&gate);
  wait_and_release(task);
  CHECK_EQ(TR_OK, tr_shutdown(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  manager_close(&manager);
  timer_thread_leaves();
}

/* The observations of a child of fork. */
struct at_fork {
  tr_registry *registry;
  const char *address;
};

static void use_in_child(void *argument) {
  const struct at_fork *at = argument;
  CHECK_EQ(TR_ERR_FORKED, systemd_on(at->registry, at->address, MS, MS));
  CHECK_EQ(TR_ERR_FORKED, tr_systemd_start(at->registry, NULL));
  CHECK_EQ(TR_ERR_FORKED, tr_systemd_start(NULL, NULL));
  CHECK_EQ(TR_ERR_FORKED, tr_systemd_stop(at->registry));
  CHECK_EQ(TR_ERR_FORKED, tr_systemd_stop(NULL));
  CHECK_EQ(0, tr_token_cancel(tr_registry_token(at->registry), TR_REASON_FATAL, NULL));
  for (int i = 0; i < 50; i++) breathe();
}

/* Proves: a child of fork, created while systemd is being notified, sends nothing, and every call
   returns TR_ERR_FORKED; the parent continues (E11, P1). Why it matters: systemd would take the
   child's datagrams for the service's. Catches: a claim without the check. */
CASE(a_child_of_fork_notifies_nothing) {
  struct service_manager manager;
  manager_open(&manager, 1);
  int on = 1;
  CHECK_EQ(0, setsockopt(manager.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  tr_registry *registry = registry_new();
  CHECK_EQ(TR_OK, systemd_on(registry, manager.address, 2 * MS, MS));
  struct at_fork at = {registry, manager.address};
  for (int i = 0; i < 5; i++) {
    CHECK_EXITED(0, status_of_child(use_in_child, &at));
    struct ucred sender = {0, 0, 0};
    while (is_readable(manager.fd, 0)) {
      char text[256];
      union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
      } control;
      struct iovec part = {text, sizeof text};
      struct msghdr message = {
          .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
      CHECK(recvmsg(manager.fd, &message, MSG_DONTWAIT) > 0);
      memcpy(&sender, CMSG_DATA(&control.header), sizeof sender);
      CHECK_EQ(getpid(), sender.pid);
    }
    EXPECT(&manager, "WATCHDOG=1");
  }
  CHECK_EQ(TR_OK, tr_systemd_stop(registry));
  registry_finish(registry);
  manager_close(&manager);
  timer_thread_leaves();
}

/* One thread of those that begin and end. */
struct churn {
  tr_registry *registry;
  const char *address;
  atomic_int *begun;
};

static void *begin_and_end(void *argument) {
  struct churn *churn = argument;
  int rounds = check_rounds(500);
  for (int i = 0; i < rounds; i++) {
    tr_status status = systemd_on(churn->registry, churn->address, 1, 1);
    if (status == TR_OK) {
      atomic_fetch_add(churn->begun, 1);
      if (i % 3 == 0) breathe();
      if (i == rounds / 2)
        tr_token_cancel(tr_registry_token(churn->registry), TR_REASON_USER_REQUESTED, NULL);
      CHECK_EQ(TR_OK, tr_systemd_stop(churn->registry));
    } else if (status == TR_ERR_SYSTEM) {
      CHECK_EQ(EAGAIN, errno); /* the receiver is slow */
      sched_yield();
    } else {
      CHECK_EQ(TR_ERR_INVALID, status);
      CHECK_EQ(TR_ERR_INVALID, tr_systemd_stop(churn->registry));
    }
  }
  return NULL;
}

static void *receive_all(void *argument) {
  struct service_manager *manager = argument;
  for (const char *text = ""; strcmp(text, "STATUS=stopping: end"); text = receive(manager)) continue;
  return NULL;
}

static int body_ends_soon(tr_task *self, void *ctx) {
  (void)self;
  return tr_progress(1, 2, ctx) == TR_OK ? 0 : 1;
}

/* Claim: three threads may start and stop the notifications for three registries, which are
   cancelled and have tasks starting and ending meanwhile; there is one at a time, and every
   datagram is whole. Proves: that (E11). Why it matters: start and stop come from any thread.
   Catches: a watch that is freed while it is in use; a callback that finds it freed. */
CASE(beginning_and_ending_may_race) {
  struct service_manager manager;
  manager_open(&manager, 1);
  atomic_int begun = 0;
  pthread_t receiver = thread_start(receive_all, &manager), threads[3];
  struct churn churns[3];
  for (int i = 0; i < 3; i++) {
    churns[i] = (struct churn){registry_new(), manager.address, &begun};
    threads[i] = thread_start(begin_and_end, &churns[i]);
  }
  static char unit[] = "parts";
  for (int i = 0; i < check_rounds(500); i++)
    TR_IGNORE(tr_spawn(churns[i % 3].registry, "brief", TR_KIND_RPC_HANDLER, body_ends_soon, unit, NULL));
  for (int i = 0; i < 3; i++) thread_end(threads[i]);
  CHECK(atomic_load(&begun) > 0);
  struct sockaddr_un name;
  memset(&name, 0, sizeof name);
  name.sun_family = AF_UNIX;
  memcpy(name.sun_path + 1, manager.address + 1, strlen(manager.address) - 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  CHECK_EQ(20, sendto(fd, "STATUS=stopping: end", 20, 0, (struct sockaddr *)&name,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(manager.address))));
  close(fd);
  thread_end(receiver);
  for (int i = 0; i < 3; i++) registry_finish(churns[i].registry);
  manager_close(&manager);
  timer_thread_leaves();
}

CHECK_MAIN(CHECK_ENTRY(a_stop_is_notified_step_by_step), CHECK_ENTRY(a_cancellation_is_notified_at_once),
           CHECK_ENTRY(an_extension_lasts_two_intervals),
           CHECK_ENTRY(the_watchdog_is_fed_while_nobody_is_stalled),
           CHECK_ENTRY(the_watchdog_starves_while_mains_loop_hangs), CHECK_ENTRY(text_cannot_forge_a_line),
           CHECK_ENTRY(a_socket_that_takes_nothing_does_no_harm),
           CHECK_ENTRY(a_reload_is_notified_as_one), CHECK_ENTRY(the_socket_is_connected_once),
           CHECK_ENTRY(the_environment_says_where_and_when),
           CHECK_ENTRY(what_makes_no_sense_is_rejected),
           CHECK_ENTRY(the_socket_is_a_descriptor_like_the_others),
           CHECK_ENTRY(it_is_ended_by_what_a_timeout_calls), CHECK_ENTRY(a_reference_is_held),
           CHECK_ENTRY(a_child_of_fork_notifies_nothing), CHECK_ENTRY(beginning_and_ending_may_race))
