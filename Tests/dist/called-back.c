/* called-back.c - a program that stops in a function which the library has called, for stripped.sh.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>

#include <taskreg.h>

static void on_event(void *context, const tr_log_event *event) {
  (void)context, (void)event;
  raise(SIGTRAP);
}

__attribute__((noinline)) static int caller_of_the_library(tr_registry *registry) {
  return tr_spawn(registry, NULL, TR_KIND_MAINTENANCE, NULL, NULL, NULL) == TR_ERR_INVALID; /* which is an event */
}

int main(void) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;
  options.log = on_event;
  if (tr_registry_create(&options, &registry) != TR_OK) return 2;
  int is_rejected = caller_of_the_library(registry);
  tr_registry_release(registry);
  return is_rejected ? 0 : 1;
}
