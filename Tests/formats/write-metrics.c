/* write-metrics.c MODE - writes the metrics of a registry to standard output, each time in full, and writes
   on standard error what they must say: lines of "name labels value", for openmetrics.py.

   MODE is "empty", a registry with metrics before its first task; "plain", one that keeps none; "counted",
   after a load that was counted; "load", twenty times while tasks come and go; "slow", through a pipe
   that is full all the time, beside the same load, once; "several", six registries as one text, and then the same
   without its end, to which a family of the program's own is added. */

#include "../c/support.h"

#include <inttypes.h>

#include <sys/ioctl.h>

static tr_registry *create(int keeps_metrics) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  options.flags = keeps_metrics ? TR_REGISTRY_METRICS : 0;
  options.max_tasks = 8;
  tr_registry *registry = NULL;
  CHECK_EQ(TR_OK, tr_registry_create(&options, &registry));
  return registry;
}

static void write_to(tr_registry *registry, int fd) {
  CHECK_EQ(TR_OK, tr_metrics_write(registry, fd, TR_FORMAT_OPENMETRICS));
}

static int body_sleeps(tr_task *self, void *ctx) {
  (void)self;
  TR_IGNORE(tr_sleep(*(const int64_t *)ctx));
  return 0;
}

/* Spawn until it is admitted, and wait for the end. */
static void run(tr_registry *registry, tr_kind kind, tr_task_fn body, void *ctx) {
  tr_task *task = NULL;
  tr_status status;
  while ((status = tr_spawn(registry, "one", kind, body, ctx, &task)) == TR_ERR_LIMIT) {}
  CHECK_EQ(TR_OK, status);
  wait_and_release(task);
}

static void expect(const char *name, const char *labels, uint64_t value) {
  fprintf(stderr, "%s %s %" PRIu64 "\n", name, labels, value);
}

/* A known number of each, in two kinds. */
static void write_counted(void) {
  static int64_t lasts[] = {0, 1000000, 3000000, 20000000};
  int code = 5;
  tr_registry *registry = create(1);
  struct gate gate = GATE_INIT;
  for (int i = 0; i < 8; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "deaf", 0x4242, body_deaf, &gate, NULL));
  for (int i = 0; i < 3; i++)
    CHECK_EQ(TR_ERR_LIMIT,
             tr_spawn(registry, "no", TR_KIND_PEER_CONNECTION, body_never, NULL, NULL));
  gate_open(&gate);
  CHECK_EQ(TR_OK, tr_join_all(registry, FOREVER, NULL));
  for (int i = 0; i < 12; i++) run(registry, TR_KIND_RPC_HANDLER, body_sleeps, &lasts[i % 4]);
  for (int i = 0; i < 2; i++) run(registry, TR_KIND_RPC_HANDLER, body_fails, &code);
  run(registry, TR_KIND_RPC_HANDLER, body_exits, NULL);
  for (int i = 0; i < 5; i++)
    CHECK_EQ(TR_OK, tr_spawn(registry, "obeys", TR_KIND_MAINTENANCE, body_obeys, NULL, NULL));
  tr_task *live = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, "lives", TR_KIND_BACKGROUND_LOOP, body_obeys, NULL, &live));
  write_to(registry, 1);
  expect("taskreg_tasks_live", "kind=background-loop", 1);
  expect("taskreg_tasks_live", "kind=maintenance", 5);
  expect("taskreg_tasks_peak", "kind=maintenance", 5);
  expect("taskreg_tasks_peak", "kind=rpc-handler", 1);
  expect("taskreg_tasks_peak", "kind=application", 8);
  expect("taskreg_tasks_peak", "kind=peer-connection", 0);
  expect("taskreg_tasks_rejected_total", "kind=peer-connection", 3);
  expect("taskreg_tasks_spawned_total", "kind=peer-connection", 0);
  expect("taskreg_tasks_spawned_total", "kind=rpc-handler", 15);
  expect("taskreg_tasks_ended_total", "kind=rpc-handler,outcome=returned", 12);
  expect("taskreg_tasks_ended_total", "kind=rpc-handler,outcome=failed", 2);
  expect("taskreg_tasks_ended_total", "kind=rpc-handler,outcome=exited", 1);
  expect("taskreg_tasks_ended_total", "kind=maintenance,outcome=returned", 0);
  expect("taskreg_task_run_seconds_count", "kind=rpc-handler", 15);
  expect("taskreg_task_run_seconds_count", "kind=application", 8);
  expect("taskreg_task_stop_seconds_count", "kind=rpc-handler", 0);
  CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_NONE, NULL, FOREVER, NULL));
  expect("new", "text", 0);
  write_to(registry, 1);
  expect("taskreg_tasks_live", "kind=maintenance", 0);
  expect("taskreg_tasks_peak", "kind=maintenance", 5);
  expect("taskreg_tasks_ended_total", "kind=maintenance,outcome=returned", 5);
  expect("taskreg_task_stop_seconds_count", "kind=maintenance", 5);
  expect("taskreg_task_stop_seconds_count", "kind=background-loop", 1);
  tr_task_release(live);
  tr_registry_release(registry);
}

static void write_several(void) {
  static const char *const names[] = {"a \"b\" \\ c\nd \xe2\x82\xac", "second\x1b", NULL, NULL, NULL, "deep"};
  tr_registry_options keeps = TR_REGISTRY_OPTIONS_INIT;
  keeps.flags = TR_REGISTRY_METRICS;
  tr_registry *all[6] = {create(1), create(0), create(1)};
  CHECK_EQ(TR_OK, tr_registry_child(all[0], "net\n\xc2\x9b", &keeps, &all[3]));
  CHECK_EQ(TR_OK, tr_registry_child(all[3], "peers", NULL, &all[4]));
  CHECK_EQ(TR_OK, tr_registry_child(all[3], "more", &keeps, &all[5]));
  tr_metrics_source sources[6];
  for (int i = 0; i < 6; i++) {
    for (int j = 0; j <= i; j++) run(all[i], TR_KIND_RPC_HANDLER, body_returns, NULL);
    sources[i] = (tr_metrics_source)TR_METRICS_SOURCE_INIT;
    sources[i].registry = all[i];
    sources[i].name = names[i];
  }
  CHECK_EQ(TR_OK, tr_metrics_write_all(sources, 6, 1, TR_FORMAT_OPENMETRICS, 0));
  CHECK_EQ(TR_OK, tr_metrics_write_all(sources, 6, 1, TR_FORMAT_OPENMETRICS, TR_METRICS_NO_EOF));
  CHECK(printf("# TYPE mine gauge\nmine 7\n# EOF\n") > 0 && fflush(stdout) == 0);
  CHECK_EQ(TR_OK, tr_metrics_write_all(NULL, 0, 1, TR_FORMAT_OPENMETRICS, 0));
  for (int i = 5; i > 0; i--) registry_finish(all[i]);
  registry_finish(all[0]);
}

/* Tasks that come and go, from three threads. */
struct load {
  tr_registry *registry;
  atomic_int stop;
};

static void *make_load(void *argument) {
  struct load *load = argument;
  static int code = 1;
  static int64_t moment = 200000;
  for (unsigned i = 0; !atomic_load(&load->stop); i++) {
    tr_kind kind = i % 5 == 4 ? TR_KIND_APPLICATION + i : 1 + i % 5;
    switch (i % 7) {
      case 0: run(load->registry, kind, body_fails, &code); break;
      case 1: run(load->registry, kind, body_exits, NULL); break;
      case 2: run(load->registry, kind, body_sleeps, &moment); break;
      case 3: {
        tr_task *task = NULL;
        if (tr_spawn(load->registry, "obeys", kind, body_obeys, NULL, &task) != TR_OK) break;
        TR_IGNORE(tr_task_cancel(task));
        wait_and_release(task);
        break;
      }
      default: TR_IGNORE(tr_spawn(load->registry, "brief", kind, body_returns, NULL, NULL));
    }
  }
  return NULL;
}

/* Passes on, slowly, what is written to the pipe `argument`. */
static void *pass_on(void *argument) {
  int fd = *(const int *)argument;
  char bytes[97];
  ssize_t length;
  while ((length = read(fd, bytes, sizeof bytes)) > 0) {
    CHECK_EQ(length, write(1, bytes, (size_t)length));
    /* until the pipe is full again, or its writer has left */
    for (int left = 0, i = 0; i < 2 && ioctl(fd, FIONREAD, &left) == 0 && left < 4096; i++) breathe();
  }
  return NULL;
}

static void write_under_load(int is_slow) {
  struct load load = {create(1), 0};
  pthread_t threads[3], reader;
  for (int i = 0; i < 3; i++) threads[i] = thread_start(make_load, &load);
  if (is_slow) {
    int ends[2];
    CHECK_EQ(0, pipe2(ends, O_CLOEXEC | O_NONBLOCK));
    CHECK_EQ(4096, fcntl(ends[1], F_SETPIPE_SZ, 4096));
    CHECK_EQ(0, fcntl(ends[0], F_SETFL, 0));
    while (tr_len(load.registry) == 0) breathe();
    reader = thread_start(pass_on, &ends[0]);
    write_to(load.registry, ends[1]);
    close(ends[1]);
    thread_end(reader);
    close(ends[0]);
  } else {
    for (int i = 0; i < 20; i++) {
      write_to(load.registry, 1);
      breathe();
    }
  }
  atomic_store(&load.stop, 1);
  for (int i = 0; i < 3; i++) thread_end(threads[i]);
  registry_finish(load.registry);
}

int main(int argc, char **argv) {
  const char *mode = argc == 2 ? argv[1] : "";
  check_watch();
  if (strcmp(mode, "counted") == 0) {
    write_counted();
  } else if (strcmp(mode, "several") == 0) {
    write_several();
  } else if (strcmp(mode, "load") == 0 || strcmp(mode, "slow") == 0) {
    write_under_load(mode[0] == 's');
  } else {
    CHECK(strcmp(mode, "empty") == 0 || strcmp(mode, "plain") == 0);
    tr_registry *registry = create(mode[0] == 'e');
    if (mode[0] == 'p') {
      run(registry, TR_KIND_RPC_HANDLER, body_returns, NULL);
      expect("taskreg_tasks_spawned_total", "-", 1);
      expect("taskreg_tasks_ended_total", "outcome=returned", 1);
      expect("taskreg_tasks_ended_total", "outcome=failed", 0);
      expect("taskreg_tasks_rejected_total", "-", 0);
      expect("taskreg_tasks_live", "-", 0);
    }
    write_to(registry, 1);
    registry_finish(registry);
  }
  return 0;
}
