/* A plain C program that uses enough of the library for its innards to be linked and to run: tasks,
   a straggler-free shutdown, a report, text. Compiled by archive.sh in many ways; RENAMED gives the
   functions of a second copy of the library in the same program other names. */

#include <stdio.h>

#include "taskreg.h"

#ifdef RENAMED
#define tr_registry_create renamed_registry_create
#define tr_registry_release renamed_registry_release
#define tr_spawn renamed_spawn
#define tr_shutdown renamed_shutdown
#define tr_sleep renamed_sleep
#define tr_strerror renamed_strerror
#define tr_task_is_cancelled renamed_task_is_cancelled
tr_status renamed_registry_create(const tr_registry_options *options, tr_registry **out);
void renamed_registry_release(tr_registry *registry);
tr_status renamed_spawn(tr_registry *registry, const char *name, tr_kind kind, tr_task_fn body,
                        void *ctx, tr_task **out);
tr_status renamed_shutdown(tr_registry *registry, tr_reason reason, const char *message,
                           int64_t grace_ns, tr_join_report *report);
tr_status renamed_sleep(int64_t duration_ns);
const char *renamed_strerror(tr_status status);
int renamed_task_is_cancelled(const tr_task *task);
#define use_library use_renamed_library
#endif

int use_library(void);

static int loop(tr_task *self, void *ctx) {
  (void)ctx;
  while (!tr_task_is_cancelled(self)) tr_sleep(INT64_C(1000000000));
  return 0;
}

int use_library(void) {
  tr_registry *registry = NULL;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  if (tr_registry_create(NULL, &registry) != TR_OK) return 1;
  for (int i = 0; i < 4; i++)
    if (tr_spawn(registry, "loop", TR_KIND_BACKGROUND_LOOP, loop, NULL, NULL) != TR_OK) return 2;
  tr_status status =
      tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, "done", INT64_C(10000000000), &report);
  tr_registry_release(registry);
  if (status != TR_OK || report.ended != 4) {
    fprintf(stderr, "shutdown: %s, %llu of 4 ended\n", tr_strerror(status),
            (unsigned long long)report.ended);
    return 3;
  }
  return 0;
}

#ifndef RENAMED
#ifdef BOTH
int use_renamed_library(void);
#else
static int use_renamed_library(void) { return 0; }
#endif
#ifndef NO_MAIN
int main(void) {
  int status = use_library();
  return status != 0 ? status : use_renamed_library();
}
#endif
#endif
