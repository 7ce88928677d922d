/* 08-groups.c - the parts of a server as groups of its tasks.

   A group is a registry inside another: it has a token, a join and a shutdown of its own, and its
   tasks are also tasks of its ancestors. So one part of a server can be stopped and started while
   the others keep running, and code that lists or stops the whole need not know the parts. A task
   is listed with the path of its group. A task that joins a registry it is in would wait for
   itself; such a call returns TR_ERR_DEADLOCK.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <taskreg.h>

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

/* ---- The parts --------------------------------------------------------------------------- */

/* The groups net and storage are in `all`, the group peers is in net. */
struct server {
  tr_registry *all, *net, *peers, *storage;
};

/* The body of most tasks here: does nothing until it is asked to stop. */
static int serve(tr_task *self, void *ctx) {
  (void)self, (void)ctx;
  return tr_sleep(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1;
}

static void start(tr_registry *group, const char *name, tr_kind kind) {
  check(tr_spawn(group, name, kind, serve, NULL, NULL), "tr_spawn");
}

static void start_net(struct server *server) {
  check(tr_registry_child(server->all, "net", NULL, &server->net), "tr_registry_child");
  check(tr_registry_child(server->net, "peers", NULL, &server->peers), "tr_registry_child");
  start(server->net, "acceptor", TR_KIND_BACKGROUND_LOOP);
  start(server->peers, "10.0.0.1", TR_KIND_PEER_CONNECTION);
  start(server->peers, "10.0.0.2", TR_KIND_PEER_CONNECTION);
}

/* Releasing a group does not affect its tasks; here they have ended. */
static void stop_net(struct server *server) {
  tr_join_report report = TR_JOIN_REPORT_INIT;

  check(tr_shutdown(server->net, TR_REASON_RELOAD_REQUESTED, "new addresses", TR_SECONDS(5),
                    &report),
        "tr_shutdown");
  printf("net has stopped: %llu tasks ended, %zu are left\n", (unsigned long long)report.ended,
         tr_len(server->all));
  tr_registry_release(server->peers);
  tr_registry_release(server->net);
}

/* ---- Listing the whole ------------------------------------------------------------------- */

static int by_place(const void *a, const void *b) {
  const tr_task_summary *one = a, *other = b;
  int order = strcmp(one->group, other->group);

  return order != 0 ? order : strcmp(one->name, other->name);
}

static void list(struct server *server) {
  tr_task_summary tasks[16] = {TR_TASK_SUMMARY_INIT};
  size_t count = 0;

  check(tr_snapshot(server->all, tasks, 16, &count), "tr_snapshot");
  qsort(tasks, count, sizeof tasks[0], by_place);
  printf("%zu tasks:\n", count);
  for (size_t i = 0; i < count; i++) {
    printf("  %s%s%s (%s)\n", tasks[i].group, tasks[i].group[0] != '\0' ? "/" : "", tasks[i].name,
           tr_kind_name(tasks[i].kind));
  }
}

/* ---- Waiting for oneself ----------------------------------------------------------------- */

static void print_join(const char *what, tr_status status) {
  printf("  %s: %s\n", what,
         status == TR_OK               ? "joined"
         : status == TR_ERR_DEADLOCK ? "TR_ERR_DEADLOCK"
                                     : tr_strerror(status));
}

/* A task of net/peers joins each registry that it is in, and one that it is not in. */
static int join_from_inside(tr_task *self, void *ctx) {
  struct server *server = ctx;
  tr_registry *mine = NULL;

  (void)self;
  printf("from inside net/peers:\n");
  print_join("peers", tr_join_all(server->peers, TR_FOREVER, NULL));
  print_join("net", tr_join_all(server->net, TR_FOREVER, NULL));
  print_join("all", tr_shutdown(server->all, TR_REASON_USER_REQUESTED, NULL, TR_FOREVER, NULL));
  /* This task is not in the group that it creates, so it can join that group. */
  check(tr_registry_child(server->peers, "mine", NULL, &mine), "tr_registry_child");
  start(mine, "helper", TR_KIND_MAINTENANCE);
  print_join("its own helpers",
             tr_shutdown(mine, TR_REASON_REQUESTED_BY_RUN, "done", TR_FOREVER, NULL));
  tr_registry_release(mine);
  return 0;
}

int main(void) {
  struct server server = {NULL, NULL, NULL, NULL};
  tr_join_report report = TR_JOIN_REPORT_INIT;
  tr_task *task = NULL;

  check(tr_registry_create(NULL, &server.all), "tr_registry_create");
  check(tr_registry_child(server.all, "storage", NULL, &server.storage), "tr_registry_child");
  start(server.all, "console", TR_KIND_RPC_HANDLER);
  start(server.storage, "compactor", TR_KIND_MAINTENANCE);
  start_net(&server);
  list(&server);
  printf("net has %zu tasks, its peers %zu, storage %zu\n", tr_len(server.net),
         tr_len(server.peers), tr_len(server.storage));

  check(tr_spawn(server.peers, "10.0.0.3", TR_KIND_PEER_CONNECTION, join_from_inside, &server,
                 &task),
        "tr_spawn");
  check(tr_task_wait(task, TR_FOREVER, NULL), "tr_task_wait");
  tr_task_release(task);

  /* Stop one part, and start it again. */
  stop_net(&server);
  list(&server);
  start_net(&server);

  /* Stop everything. */
  check(tr_shutdown(server.all, TR_REASON_USER_REQUESTED, "enough", TR_SECONDS(5), &report),
        "tr_shutdown");
  printf("all has stopped: %llu tasks ended, the reason of storage is \"%s\"\n",
         (unsigned long long)report.ended,
         tr_reason_name(tr_token_reason(tr_registry_token(server.storage))));

  tr_registry_release(server.all);
  tr_registry_release(server.storage);
  tr_registry_release(server.net);
  tr_registry_release(server.peers);
  return EXIT_SUCCESS;
}
