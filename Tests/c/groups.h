/* groups.h - a tree of groups for the programs that test them: `top`, in it the group `net`, in that
   `peers`, and `storage` beside `net`. */

#ifndef TASKREG_TESTS_GROUPS_H
#define TASKREG_TESTS_GROUPS_H

#include "support.h"

static inline tr_registry *group_with(tr_registry *parent, const char *name,
                               const tr_registry_options *options) {
  tr_registry *group = NULL;
  CHECK_EQ(TR_OK, tr_registry_child(parent, name, options, &group));
  CHECK(group != NULL);
  return group;
}

static inline tr_registry *group_new(tr_registry *parent, const char *name) {
  return group_with(parent, name, NULL);
}

enum { TOP, NET, PEERS, STORAGE, TREE };

/* The name of the place, as it is listed. */
static const char *const paths[TREE] = {"", "net", "net/peers", "storage"};

static inline void tree_below(tr_registry *top, tr_registry *tree[TREE]) {
  tree[TOP] = top;
  tree[NET] = group_new(top, "net");
  tree[PEERS] = group_new(tree[NET], "peers");
  tree[STORAGE] = group_new(top, "storage");
}

static inline void tree_new(tr_registry *tree[TREE]) { tree_below(registry_new(), tree); }

/* Shut the root registry down, and release all of them. */
static inline void tree_finish(tr_registry *tree[TREE]) {
  CHECK_EQ(TR_OK, shutdown_fully(tree[TOP], TR_REASON_REQUESTED_BY_RUN, "end", FOREVER, NULL));
  for (int i = 0; i < TREE; i++) {
    CHECK_EQ(0, tr_len(tree[i]));
    tr_registry_release(tree[i]);
  }
}

static inline void check_lengths(tr_registry *tree[TREE], size_t top, size_t net, size_t peers,
                          size_t storage) {
  const size_t expected[TREE] = {top, net, peers, storage};
  for (int i = 0; i < TREE; i++) {
    CHECK_MSG(tr_len(tree[i]) == expected[i], "\"%s\" has %zu, not %zu", paths[i], tr_len(tree[i]),
              expected[i]);
    CHECK_EQ(expected[i] == 0, tr_is_empty(tree[i]));
    CHECK_EQ(expected[i], snapshot_count(tree[i]));
  }
}

static inline tr_token *token_of(tr_registry *registry) { return tr_registry_token(registry); }

static inline int is_stopped(tr_registry *registry) { return tr_token_is_cancelled(token_of(registry)); }

/* The entry of `task` in a snapshot of `registry`. */
static inline tr_task_summary entry_of(tr_registry *registry, tr_task *task) {
  tr_task_summary entry;
  CHECK_EQ(1, find_in_snapshot(registry, tr_task_id(task), &entry));
  return entry;
}

/* Check that `registry` lists `task` with the path of its group. */
static inline void check_path(const char *path, tr_registry *registry, tr_task *task) {
  tr_task_summary entry = entry_of(registry, task);
  CHECK_STR(path, entry.group);
}

/* Make a spawn that must be rejected. */
static inline tr_status try_spawn(tr_registry *registry) {
  return tr_spawn(registry, "rejected", TR_KIND_RPC_HANDLER, body_never, NULL, NULL);
}

#endif /* TASKREG_TESTS_GROUPS_H */
