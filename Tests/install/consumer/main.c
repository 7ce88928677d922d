/* Spawns three tasks, looks at the list, asks them to stop and joins them. */

#include <stdio.h>
#include <taskreg.h>

static int loop(tr_task *self, void *ctx) {
  (void)ctx;
  (void)self;
  while (tr_sleep(TR_SECONDS(1)) == TR_OK) {
  }
  return 0;
}

int main(void) {
  tr_registry *registry = NULL;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  size_t listed = 0;

  if (tr_version() != TR_VERSION) return 2;
  if (tr_registry_create(NULL, &registry) != TR_OK) return 3;
  for (int i = 0; i < 3; i++)
    if (tr_spawn(registry, "loop", TR_KIND_BACKGROUND_LOOP, loop, NULL, NULL) != TR_OK) return 4;
  if (tr_snapshot(registry, NULL, 0, &listed) != TR_OK) return 5;
  tr_status status =
      tr_shutdown(registry, TR_REASON_REQUESTED_BY_RUN, "done", INT64_C(10000000000), &report);
  tr_registry_release(registry);
  printf("C: %zu listed, %llu ended, %s\n", listed, (unsigned long long)report.ended,
         tr_strerror(status));
  return status == TR_OK && listed == 3 && report.ended == 3 ? 0 : 1;
}
