/* scheduling.c - policy, nice value and affinity of one task's thread. Rule S10. */

#define _GNU_SOURCE
#include <sched.h>
#include <sys/resource.h>

#include "support.h"

/* How a body found its thread. */
struct seen {
  int policy, priority, nice, cpus, first; /* how many CPUs, and the first */
  pid_t tid;
  atomic_int runs;
  int fails; /* how many runs fail */
};

static void look(struct seen *seen) {
  struct sched_param parameter;
  cpu_set_t set;
  seen->tid = gettid();
  seen->policy = sched_getscheduler(0);
  CHECK_EQ(0, sched_getparam(0, &parameter));
  seen->priority = parameter.sched_priority;
  errno = 0;
  seen->nice = getpriority(PRIO_PROCESS, 0);
  CHECK_EQ(0, errno);
  CHECK_EQ(0, sched_getaffinity(0, sizeof set, &set));
  seen->cpus = CPU_COUNT(&set);
  for (seen->first = 0; !CPU_ISSET(seen->first, &set); seen->first++) {
  }
}

static int looks(tr_task *self, void *ctx) {
  struct seen *seen = ctx;
  (void)self;
  look(seen);
  return atomic_fetch_add(&seen->runs, 1) < seen->fails ? 1 : 0;
}

struct heard {
  atomic_int refused;
  int32_t code;
  char message[256];
};

static void hears(void *context, const tr_log_event *event) {
  struct heard *heard = context;
  if (event->event != TR_EVENT_SCHEDULING_REFUSED) return;
  heard->code = event->code;
  snprintf(heard->message, sizeof heard->message, "%s", event->message);
  atomic_fetch_add(&heard->refused, 1);
}

static tr_registry *registry_heard(struct heard *heard) {
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  tr_registry *registry = NULL;
  memset(heard, 0, sizeof *heard);
  options.log = hears;
  options.log_context = heard;
  CHECK_EQ(TR_OK, create_registry(&options, &registry));
  return registry;
}

static void run(tr_registry *registry, const tr_spawn_options *options, struct seen *seen) {
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, tr_spawn_with(registry, "scheduled", TR_KIND_MAINTENANCE, looks, seen, options, &task));
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
}

/* Proves: a body runs with the policy, the nice value and the affinity that its spawn asks for, in each run of a task that starts
   again; and tasks after it run with the registry's, in other threads (S10, S1). Why it matters: a compaction in the background must
   not slow what others wait for. Catches: an option that is not applied, or in the first run alone; a thread that is
   reused as it is. */
CASE(the_thread_is_scheduled_as_the_options_say) {
  struct heard heard;
  struct seen own = {.runs = 0}, plain = {.runs = 0};
  look(&own);
  tr_registry *registry = registry_heard(&heard);
  uint64_t cpus[16] = {0};
  cpus[own.first / 64] = 1ull << (own.first % 64);
  tr_restart_options restart = TR_RESTART_OPTIONS_INIT;
  restart.policy = TR_RESTART_ON_FAILURE;
  restart.min_delay_ns = restart.max_delay_ns = 1000000;
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.sched_policy = TR_SCHED_BATCH;
  options.nice_added = 2;
  options.cpus = cpus;
  options.cpu_words = 16;
  pid_t last = 0;
  for (int round = 0; round < 4; round++) {
    struct seen seen = {.fails = round};
    options.restart = round == 0 ? NULL : &restart;
    run(registry, &options, &seen);
    CHECK_EQ(round + 1, atomic_load(&seen.runs));
    CHECK(seen.policy == SCHED_BATCH && seen.cpus == 1 && seen.first == own.first);
    CHECK_EQ(own.nice + 2 > 19 ? 19 : own.nice + 2, seen.nice);
    tr_task *task = spawn(registry, "plain", looks, &plain);
    wait_and_release(task);
    CHECK(plain.policy == own.policy && plain.nice == own.nice && plain.cpus == own.cpus && plain.priority == own.priority);
    CHECK(seen.tid != plain.tid || seen.tid == last); /* a number may be used again */
    last = seen.tid;
  }
  tr_schedule schedule = TR_SCHEDULE_INIT;
  struct seen seen = {.fails = 0};
  schedule.period_ns = SECOND;
  options.restart = NULL;
  tr_task *periodic = NULL;
  CHECK_EQ(TR_OK, tr_spawn_every(registry, "periodic", TR_KIND_MAINTENANCE, looks, &seen, &schedule, &options, &periodic));
  while (atomic_load(&seen.runs) == 0) breathe();
  CHECK_EQ(TR_OK, tr_task_cancel(periodic));
  wait_and_release(periodic);
  CHECK(seen.policy == SCHED_BATCH && seen.cpus == 1);
  CHECK_EQ(0, atomic_load(&heard.refused));
  registry_finish(registry);
}

/* Proves: where the system refuses a part, the body runs with the rest, and an event says what and why; a policy of real time is
   either set or refused (S10). Why it matters: what was silently not applied is found by nobody. Catches: a refusal that ends the task or is
   not told; one that keeps the other parts from being set. */
CASE(what_the_system_refuses_is_an_event) {
  struct heard heard;
  struct seen own = {.runs = 0}, seen = {.runs = 0};
  look(&own);
  tr_registry *registry = registry_heard(&heard);
  uint64_t cpus[16] = {0};
  cpus[15] = 1ull << 63; /* CPU 1023 */
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.cpus = cpus;
  options.cpu_words = 16;
  options.sched_policy = TR_SCHED_BATCH;
  run(registry, &options, &seen);
  CHECK(atomic_load(&heard.refused) == 1 && heard.code == EINVAL);
  CHECK_STR("the system has refused its affinity (error 22)", heard.message);
  CHECK(seen.policy == SCHED_BATCH && seen.cpus == own.cpus);
  options = (tr_spawn_options)TR_SPAWN_OPTIONS_INIT;
  options.sched_policy = TR_SCHED_RR;
  options.sched_priority = 1;
  run(registry, &options, &seen);
  int refused = atomic_load(&heard.refused) == 2;
  CHECK(refused ? seen.policy == own.policy && heard.code == EPERM : seen.policy == SCHED_RR && seen.priority == 1);
  if (refused) CHECK_STR("the system has refused its policy or nice value (error 1)", heard.message);
  registry_finish(registry);
}

/* Without a right, as a nice value below the own one needs: the policy is set, the nice value is refused; and the
   other way around. */
static void asks_for_both(void *argument) {
  (void)argument;
  struct rlimit none = {0, 0};
  CHECK_EQ(0, setrlimit(RLIMIT_NICE, &none));
  CHECK_EQ(0, setrlimit(RLIMIT_RTPRIO, &none));
  if (geteuid() == 0) CHECK_EQ(0, setresuid(65534, 65534, 65534));
  struct heard heard;
  struct seen own = {.runs = 0}, seen = {.runs = 0};
  look(&own);
  tr_registry *registry = registry_heard(&heard);
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.sched_policy = TR_SCHED_BATCH;
  options.nice_added = -5;
  run(registry, &options, &seen);
  CHECK(seen.policy == SCHED_BATCH && seen.nice == own.nice);
  CHECK(atomic_load(&heard.refused) == 1 && (heard.code == EPERM || heard.code == EACCES));
  registry_finish(registry);
}

/* Proves: of a policy and a nice value, the one is set when the other is refused (S10). Why it matters: a batch job
   that should also be nicer than it may be has to be a batch job. Catches: one system call for both. */
CASE(one_of_two_may_be_refused) { CHECK_EQ(0, status_of_child(asks_for_both, NULL)); }

/* Proves: what no system accepts is TR_ERR_INVALID, with a reason, and nothing runs; the options' zeros change nothing (S10, P4).
   Why it matters: an option that is out of range is a mistake. Catches: a number that is cut to what fits. */
CASE(what_has_no_meaning_is_invalid) {
  tr_registry *registry = registry_new();
  uint64_t none[16] = {0}, some[17] = {1};
  const struct { uint32_t policy, priority; int32_t nice; const uint64_t *cpus; uint32_t words; } wrong[] = {
      {TR_SCHED_RR + 1, 0, 0, NULL, 0}, {UINT32_MAX, 0, 0, NULL, 0}, {TR_SCHED_FIFO, 0, 0, NULL, 0},
      {TR_SCHED_RR, 100, 0, NULL, 0},   {TR_SCHED_OTHER, 1, 0, NULL, 0}, {TR_SCHED_DEFAULT, 1, 0, NULL, 0},
      {0, 0, 41, NULL, 0},              {0, 0, -41, NULL, 0},         {0, 0, INT32_MIN, NULL, 0},
      {TR_SCHED_FIFO, 1, 1, NULL, 0},   {TR_SCHED_RR, 1, -1, NULL, 0},
      {0, 0, 0, NULL, 1},               {0, 0, 0, none, 16},          {0, 0, 0, some, 17},
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
    options.sched_policy = wrong[i].policy;
    options.sched_priority = wrong[i].priority;
    options.nice_added = wrong[i].nice;
    options.cpus = wrong[i].cpus;
    options.cpu_words = wrong[i].words;
    CHECK_EQ(TR_ERR_INVALID, tr_spawn_with(registry, "none", TR_KIND_MAINTENANCE, body_never, NULL, &options, NULL));
  }
  struct seen own = {.runs = 0}, seen = {.runs = 0};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.cpus = none; /* without words it means nothing */
  look(&own);
  run(registry, &options, &seen);
  CHECK(seen.policy == own.policy && seen.nice == own.nice && seen.cpus == own.cpus);
  registry_finish(registry);
}

CHECK_MAIN(CHECK_ENTRY(the_thread_is_scheduled_as_the_options_say), CHECK_ENTRY(what_the_system_refuses_is_an_event),
           CHECK_ENTRY(one_of_two_may_be_refused),
           CHECK_ENTRY(what_has_no_meaning_is_invalid))
