/* lineage.c - who has spawned a task, and where. Rule N4. */

#include "support.h"

#include <inttypes.h>

#define APART __attribute__((noinline))

/* ---- Functions that a report names ------------------------------------------------------------ */

static struct gate gate = GATE_INIT;

APART static tr_task *spawned_here(tr_registry *registry, const char *name, tr_task_fn body, void *ctx) {
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn(registry, name, TR_KIND_MAINTENANCE, body, ctx, &task));
  return task;
}

APART static tr_task *spawned_with_here(tr_registry *registry, const char *name, tr_task_fn body, void *ctx) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  tr_restart_options restart = TR_RESTART_OPTIONS_INIT;
  tr_task *task = NULL;
  restart.policy = TR_RESTART_ON_FAILURE;
  options.restart = &restart;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, name, TR_KIND_MAINTENANCE, body, ctx, &options, &task));
  return task;
}

APART static tr_task *scheduled_here(tr_registry *registry, const char *name, tr_task_fn body, void *ctx) {
  tr_schedule schedule = TR_SCHEDULE_INIT;
  tr_task *task = NULL;
  schedule.period_ns = 3600 * SECOND;
  schedule.first_delay_ns = 3600 * SECOND;
  CHECK_EQ(TR_OK, tr_spawn_every(registry, name, TR_KIND_MAINTENANCE, body, ctx, &schedule, NULL, &task));
  return task;
}

APART static tr_task *adopted_here(tr_registry *registry) {
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_adopt(registry, "adopted", TR_KIND_MAINTENANCE, NULL, &task));
  return task;
}

/* Built with ThreadSanitizer, the library's entries call another function of it, to which the place that is recorded belongs:
   there it is not checked. Libraries that are used are not built so. */
#ifdef CHECK_UNDER_TSAN
enum { HAS_PLACES = 0 };
#else
enum { HAS_PLACES = 1 };
#endif

/* Whether an address is in a function, which is short. */
static int is_in(uint64_t address, uintptr_t start) {
  return address > start && address < start + 2048;
}

static tr_task_summary listed(tr_registry *registry, tr_task *task) {
  tr_task_summary found = TR_TASK_SUMMARY_INIT;
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &found));
  return found;
}

/* Proves: each function that makes a task records the address to which it returns, and no two the same; a report shows the
   function, also one that the program does not export, and the offset (N4). Why it matters: a hundred tasks with one name are told apart
   by who made them. Catches: an address in the library; one that a wrapper has replaced. */
CASE(the_place_of_a_spawn_is_shown) {
  tr_registry *registry = registry_new();
  tr_task *tasks[4] = {
      spawned_here(registry, "one", body_deaf, &gate),
      spawned_with_here(registry, "two", body_deaf, &gate),
      scheduled_here(registry, "three", body_deaf, &gate),
      adopted_here(registry),
  };
  const uintptr_t functions[4] = {(uintptr_t)spawned_here, (uintptr_t)spawned_with_here, (uintptr_t)scheduled_here,
                                  (uintptr_t)adopted_here};
  const char *names[4] = {" at spawned_here+0x", " at spawned_with_here+0x", " at scheduled_here+0x", " at adopted_here+0x"};
  gate_await(&gate, 2);
  char text[16384], json[32768];
  size_t length = 0;
  tr_report *report = NULL;
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
  CHECK_EQ(TR_OK, tr_snapshot_write_buffer(registry, TR_FORMAT_JSON, json, sizeof json, &length));
  for (int i = 0; i < 4; i++) {
    tr_task_summary seen = listed(registry, tasks[i]);
    CHECK(seen.spawn_address != 0 && seen.parent_id == 0);
    CHECK(!HAS_PLACES || is_in(seen.spawn_address, functions[i]));
    CHECK_MSG(!HAS_PLACES || strstr(text, names[i]) != NULL, "no%s", names[i]);
    char address[64];
    snprintf(address, sizeof address, "{\"address\":\"0x%" PRIx64 "\"", seen.spawn_address);
    CHECK_MSG(strstr(json, address) != NULL, "no %s", address);
  }
  CHECK(strstr(json, "\"parent_id\":null") != NULL);
  tr_report_release(report);
  CHECK_EQ(TR_OK, tr_leave());
  gate_open(&gate);
  for (int i = 0; i < 4; i++) {
    CHECK_EQ(TR_OK, tr_task_cancel(tasks[i]));
    wait_and_release(tasks[i]);
  }
  registry_finish(registry);
}

/* ---- Parents ----------------------------------------------------------------------------------- */

struct family {
  tr_registry *registry;
  tr_task *child, *grandchild;
  struct gate grown, child_goes, all_go;
};

static int grandchild_waits(tr_task *self, void *ctx) {
  struct family *family = ctx;
  (void)self;
  gate_arrive(&family->grown);
  gate_pass(&family->all_go);
  return 0;
}

static int child_spawns(tr_task *self, void *ctx) {
  struct family *family = ctx;
  (void)self;
  family->grandchild = spawned_here(family->registry, "grandchild", grandchild_waits, family);
  gate_arrive(&family->grown);
  gate_pass(&family->child_goes);
  return 0;
}

static int parent_spawns(tr_task *self, void *ctx) {
  struct family *family = ctx;
  (void)self;
  tr_registry *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(family->registry, "group", NULL, &group));
  family->child = spawned_with_here(group, "child", child_spawns, family);
  tr_registry_release(group);
  gate_pass(&family->all_go);
  return 0;
}

/* Proves: a task knows the task that has spawned it, whatever registry each is in, and also when that one has ended; one that
   no task has spawned has no parent, although its record had a task before that did; so does what an adopted thread spawns (N4).
   Why it matters: a tree without the dead branches is none. Catches: a parent that is taken from the registry; one that the record's
   last task has left. */
CASE(a_task_knows_its_parent) {
  tr_registry *registry = registry_new();
  struct family family = {.registry = registry, .grown = GATE_INIT, .child_goes = GATE_INIT, .all_go = GATE_INIT};
  tr_task *parent = spawn(registry, "parent", parent_spawns, &family);
  gate_await(&family.grown, 2);
  CHECK_EQ(0, listed(registry, parent).parent_id);
  CHECK_EQ(tr_task_id(parent), listed(registry, family.child).parent_id);
  CHECK_EQ(tr_task_id(family.child), listed(registry, family.grandchild).parent_id);
  gate_open(&family.child_goes);
  uint64_t child = tr_task_id(family.child);
  wait_and_release(family.child);
  CHECK_EQ(child, listed(registry, family.grandchild).parent_id);
  char text[8192], wanted[64];
  size_t length = 0;
  tr_report *report = NULL;
  tr_straggler seen = TR_STRAGGLER_INIT;
  CHECK_EQ(TR_OK, tr_explain(registry, &report));
  CHECK_EQ(TR_OK, tr_report_write_buffer(report, TR_FORMAT_TEXT, text, sizeof text, &length));
  snprintf(wanted, sizeof wanted, "\n  spawned by task %" PRIu64 " at %s", child, HAS_PLACES ? "spawned_here+0x" : "");
  CHECK_MSG(strstr(text, wanted) != NULL, "no %s", wanted);
  for (size_t i = 0; i < 2; i++) {
    CHECK_EQ(TR_OK, tr_report_straggler(report, i, &seen));
    CHECK_EQ(seen.id == tr_task_id(parent) ? 0 : child, seen.parent_id);
    CHECK(seen.spawn_address != 0);
  }
  tr_report_release(report);
  gate_open(&family.all_go);
  wait_and_release(parent);
  wait_and_release(family.grandchild);
  for (int round = 0; round < 4; round++) {
    tr_task *orphan = spawned_here(registry, "orphan", body_obeys, NULL);
    CHECK_EQ(0, listed(registry, orphan).parent_id);
    CHECK_EQ(TR_OK, tr_task_cancel(orphan));
    wait_and_release(orphan);
  }
  tr_task *adopted = adopted_here(registry);
  tr_task *of_adopted = spawned_here(registry, "of adopted", body_obeys, NULL);
  CHECK(listed(registry, adopted).parent_id == 0 && listed(registry, of_adopted).parent_id == tr_task_id(adopted));
  CHECK_EQ(TR_OK, tr_leave());
  CHECK_EQ(TR_OK, tr_task_cancel(of_adopted));
  wait_and_release(of_adopted);
  tr_task_release(adopted);
  registry_finish(registry);
}

CHECK_MAIN(CHECK_ENTRY(the_place_of_a_spawn_is_shown), CHECK_ENTRY(a_task_knows_its_parent))
