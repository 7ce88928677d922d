/* 04-snapshot.c - which tasks are alive right now, and what are they?

   tr_snapshot fills an array of yours with one entry for each live task. It takes no lock and
   does not hold up any task, so it can be called at any time: from a monitoring thread, from a
   signal loop, while another thread shuts down.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _POSIX_C_SOURCE 200809L

#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include <taskreg.h>

#define APP_KIND_IMPORT (TR_KIND_APPLICATION + 1) /* a kind of this program's own */

static void check(tr_status status, const char *call) {
  if (status != TR_OK) {
    fprintf(stderr, "%s: %s\n", call, tr_strerror(status));
    exit(EXIT_FAILURE);
  }
}

/* Semaphores, so that the lists below do not depend on which thread is faster. */
static sem_t arrived; /* posted by each task when its body runs */
static sem_t may_end; /* stay_longer waits for this after it was asked to stop */

static int stay(tr_task *self, void *ctx) {
  (void)self;
  (void)ctx;
  sem_post(&arrived);
  return tr_sleep(TR_FOREVER) == TR_ERR_CANCELLED ? 0 : 1; /* until it is asked to stop */
}

/* As stay, but has work to complete before it ends. */
static int stay_longer(tr_task *self, void *ctx) {
  int result = stay(self, ctx);

  while (sem_wait(&may_end) != 0) {
    /* Interrupted by a signal: wait again. (A wait loops.) */
  }
  return result;
}

static int by_id(const void *a, const void *b) {
  uint64_t left = ((const tr_task_summary *)a)->id, right = ((const tr_task_summary *)b)->id;

  return left < right ? -1 : left > right;
}

/* List all tasks of `registry`: start with an array that is probably too small, and grow it until
   all tasks fit. Returns the array, which the caller frees. */
static tr_task_summary *list_tasks(tr_registry *registry, size_t *count) {
  tr_task_summary *tasks = NULL;
  size_t capacity = 2;

  for (;;) {
    tr_task_summary *larger = realloc(tasks, capacity * sizeof *tasks);
    tr_status status;

    if (larger == NULL) {
      free(tasks);
      return NULL;
    }
    tasks = larger;
    tasks[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT; /* has the size of an element */
    status = tr_snapshot(registry, tasks, capacity, count);
    if (status == TR_OK) {
      return tasks;
    }
    if (status != TR_ERR_TRUNCATED) {
      free(tasks);
      check(status, "tr_snapshot");
    }
    capacity = *count + 4; /* *count is how many there were; there may be a few more by now */
  }
}

static void print_tasks(tr_registry *registry) {
  size_t count = 0;
  tr_task_summary *tasks = list_tasks(registry, &count);

  if (tasks == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(EXIT_FAILURE);
  }
  qsort(tasks, count, sizeof *tasks, by_id); /* ids rise in the order of the spawns */
  for (size_t i = 0; i < count; i++) {
    printf("  %s: %s, %s, age %" PRId64 " ms, thread %" PRId32 "\n", tasks[i].name,
           tr_kind_name(tasks[i].kind), tr_state_name(tasks[i].state),
           tasks[i].age_ns / TR_MILLISECONDS(1), tasks[i].thread_id);
  }
  free(tasks);
}

int main(void) {
  static const char *const names[] = {"heartbeat", "peer 192.0.2.7:4711", "import"};
  static const tr_kind kinds[] = {TR_KIND_BACKGROUND_LOOP, TR_KIND_PEER_CONNECTION,
                                  APP_KIND_IMPORT};
  tr_registry *registry = NULL;
  tr_task *compaction = NULL;
  size_t count = 0;

  if (sem_init(&arrived, 0, 0) != 0 || sem_init(&may_end, 0, 0) != 0) {
    perror("sem_init");
    return EXIT_FAILURE;
  }
  check(tr_registry_create(NULL, &registry), "tr_registry_create");
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    check(tr_spawn(registry, names[i], kinds[i], stay, NULL, NULL), "tr_spawn");
  }
  check(tr_spawn(registry, "compaction", TR_KIND_MAINTENANCE, stay_longer, NULL, &compaction),
        "tr_spawn");
  for (int i = 0; i < 4; i++) {
    while (sem_wait(&arrived) != 0) {
    }
  }

  /* Without an array a snapshot only counts; tr_len returns the same number. */
  check(tr_snapshot(registry, NULL, 0, &count), "tr_snapshot");
  printf("%zu tasks:\n", count);
  print_tasks(registry);

  /* The state of a task that was asked to stop is "cancelling" until it has ended. */
  check(tr_task_cancel(compaction), "tr_task_cancel");
  printf("after asking one to stop:\n");
  print_tasks(registry);

  /* Only live tasks are listed: one that has ended is gone, and its memory is used again. */
  sem_post(&may_end);
  check(tr_task_wait(compaction, TR_FOREVER, NULL), "tr_task_wait");
  tr_task_release(compaction);
  printf("after its end:\n");
  print_tasks(registry);

  check(tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, "done", TR_SECONDS(1), NULL),
        "tr_shutdown");
  printf("after the shutdown: %zu\n", tr_len(registry));
  tr_registry_release(registry);
  sem_destroy(&may_end);
  sem_destroy(&arrived);
  return EXIT_SUCCESS;
}
