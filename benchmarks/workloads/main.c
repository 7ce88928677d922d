/* main.c - one workload for one peer: `bench-PEER [--quick] [--variant NAME] WORKLOAD`.

   Prints `metric value` lines (times in nanoseconds, memory in bytes, rates per second), `# text`
   for a remark and `! text` for an error. Exit status: 0, 2 for a usage error, 3 for an error. */

#include "workloads.h"

#include <stdio.h>
#include <string.h>

const bench_peer *const peer = &bench_peer_under_test;
bool quick;

static const struct {
  const char *name;
  void (*run)(long size);
  long size;
} workloads[] = {
    {"W1", w1_latency, 0},        {"W1-work", w1_work, 0},
    {"W2", w2_burst, 10000},
    {"W3-1000", w3_crowd, 1000},  {"W3-10000", w3_crowd, 10000},
    {"W3-30000", w3_crowd, 30000}, {"W4", w4_flag, 0},
    {"W5-1000", w5_snapshot, 1000}, {"W5-10000", w5_snapshot, 10000},
    {"W6", w6_million, 1000000},  {"W7-100", w7_stragglers, 100},
    {"W7-10000", w7_stragglers, 10000}, {"W8", w8_rest, 32},
    {"W9", w9_stop, 0},
};

int main(int argc, char **argv) {
  const char *variant = NULL, *workload = NULL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--quick") == 0) quick = true;
    else if (strcmp(argv[i], "--variant") == 0 && i + 1 < argc) variant = argv[++i];
    else workload = argv[i];
  }
  if (peer->choose == NULL ? variant != NULL : peer->choose(variant) != 0) {
    fprintf(stderr, "%s has no variant %s\n", peer->name, variant);
    return 2;
  }
  for (size_t i = 0; workload != NULL && i < sizeof workloads / sizeof *workloads; i++) {
    if (strcmp(workload, workloads[i].name) != 0) continue;
    workloads[i].run(workloads[i].size);
    return 0;
  }
  fprintf(stderr, "usage: %s [--quick] [--variant NAME] WORKLOAD\nworkloads:", argv[0]);
  for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) {
    fprintf(stderr, " %s", workloads[i].name);
  }
  fprintf(stderr, "\n");
  return 2;
}
