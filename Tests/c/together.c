/* together.c - groups whose tasks start again together, each time as a new group that a task makes which starts again
   itself; examples-c/11-all-for-one.c is a program that does so. Rule B7, with B1 to B4, C12, E5, J4, T1 and T2. */

#include "stalls.h"
#include "support.h"

#define HOUR (3600 * SECOND)

/* ---- A team --------------------------------------------------------------------------------- */

/* What a member does. */
enum act {
  OBEYS,   /* it waits until it is asked to stop */
  ORDERED, /* so it does, or until it is ordered to end in some way */
  FAILS,   /* it fails at once */
  DEAF,    /* it waits at team.held, and does not check its flag */
  DRAINS   /* it ends once it is told to abort */
};

enum { MEMBERS = 3 };
static const char *const names[MEMBERS] = {"writer", "reader", "keeper"};

/* The members, and the task that makes a group of them in each of its runs. */
struct team {
  tr_registry *around; /* where it makes the group */
  const char *name;    /* of the task and of the group */
  int64_t grace;
  uint32_t phase;
  enum act acts[MEMBERS];
  uint32_t flags;        /* of the members */
  int has_phases;        /* the members are of the phases 0, 1 and 2 */
  atomic_int places[16]; /* of the members that were asked to stop, one after the other */
  struct team *inner;    /* another team, whose task is a member beside these; may be NULL */
  int orders[2];         /* a pipe: 'f': fail, 'x': exit, 'r': return 0 */
  struct gate begun, held;
  atomic_int run;
  atomic_int alive; /* members from before their spawn until their drop */
  atomic_int spawned, asked;
  atomic_int wrong; /* how often members of two runs were alive at once */
};

struct member {
  struct team *team;
  int place, run;
};

static void team_init(struct team *team, tr_registry *around, const char *name, enum act writer, enum act keeper) {
  *team = (struct team){.around = around, .name = name, .grace = FOREVER, .acts = {writer, OBEYS, keeper},
                        .flags = TR_SPAWN_ESSENTIAL_ON_FAILURE, .begun = GATE_INIT, .held = GATE_INIT};
  CHECK_EQ(0, pipe(team->orders));
}

static void order(struct team *team, char what) { CHECK_EQ(1, write(team->orders[1], &what, 1)); }

static void check_alone(struct member *member) {
  if (atomic_load(&member->team->run) != member->run) atomic_fetch_add(&member->team->wrong, 1);
}

static int body_of_member(tr_task *self, void *ctx) {
  (void)self;
  struct member *member = ctx;
  struct team *team = member->team;
  enum act act = team->acts[member->place];
  check_alone(member);
  gate_arrive(&team->begun);
  tr_status status = TR_OK;
  char what = 'f';
  if (act == OBEYS) status = tr_sleep(FOREVER);
  if (act == ORDERED) {
    status = tr_wait_fd(team->orders[0], POLLIN, FOREVER);
    if (status == TR_OK) CHECK_EQ(1, read(team->orders[0], &what, 1));
  }
  if (act == DEAF) {
    gate_pass(&team->held);
    return 0;
  }
  if (act == DRAINS) {
    CHECK_EQ(TR_OK, tr_begin_drain());
    status = tr_sleep(FOREVER);
  }
  if (status == TR_ERR_CANCELLED) atomic_store(&team->places[atomic_fetch_add(&team->asked, 1) % 16], member->place);
  if (status == TR_OK && what == 'x') pthread_exit(NULL);
  return status == TR_OK && what != 'r' ? 7 : 0;
}

static void drop_member(void *ctx) {
  struct member *member = ctx;
  check_alone(member);
  atomic_fetch_sub(&member->team->alive, 1);
  free(member);
}

static tr_status spawn_member(struct team *team, tr_registry *group, int place) {
  struct member *member = malloc(sizeof *member);
  CHECK(member != NULL);
  *member = (struct member){team, place, atomic_load(&team->run)};
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.flags = team->flags;
  options.phase = team->has_phases ? (uint32_t)place : team->phase;
  options.drop = drop_member;
  atomic_fetch_add(&team->alive, 1);
  tr_status status = tr_spawn_with(group, names[place], TR_KIND_MAINTENANCE, body_of_member, member, &options, NULL);
  if (status == TR_OK) {
    atomic_fetch_add(&team->spawned, 1);
  } else {
    atomic_fetch_sub(&team->alive, 1);
    free(member);
  }
  return status;
}

static tr_status spawn_team(struct team *team, tr_restart_options restart, tr_task **task);

static tr_restart_options restarts(int64_t delay) {
  tr_restart_options options = TR_RESTART_OPTIONS_INIT;
  options.policy = TR_RESTART_ON_FAILURE;
  options.min_delay_ns = options.max_delay_ns = delay;
  return options;
}

/* One run is one group. As in the example. */
static int body_of_team(tr_task *self, void *ctx) {
  struct team *team = ctx;
  tr_registry *group = NULL;
  char why[128] = "a member could not start";
  if (atomic_load(&team->alive) != 0) atomic_fetch_add(&team->wrong, 1);
  atomic_fetch_add(&team->run, 1);
  CHECK_EQ(TR_OK, tr_registry_child(team->around, team->name, NULL, &group));
  tr_status status = TR_OK;
  for (int place = 0; place < MEMBERS && status == TR_OK; place++) status = spawn_member(team, group, place);
  if (status == TR_OK && team->inner != NULL) {
    team->inner->around = group;
    status = spawn_team(team->inner, restarts(MS), NULL);
  }
  CHECK_MSG(status == TR_OK || status == TR_ERR_CLOSED, "%s", tr_strerror(status));
  status = tr_token_wait(tr_registry_token(group), FOREVER);
  tr_token_message(tr_registry_token(group), why, sizeof why);
  if (tr_token_is_cancelled(tr_registry_token(team->around))) status = tr_wait_cancelled(FOREVER);
  TR_IGNORE(tr_begin_drain());
  TR_IGNORE(tr_shutdown(group, TR_REASON_REQUESTED_BY_RUN, why, team->grace, NULL));
  if (!tr_is_empty(group)) {
    CHECK_EQ(TR_OK, tr_task_cancel(self));
    snprintf(why, sizeof why, "a member did not stop");
    status = TR_ERR_DEADLINE;
  }
  tr_registry_release(group);
  if (status == TR_ERR_CANCELLED) return 0;
  CHECK_EQ(TR_OK, tr_task_set_message(self, why));
  return 1;
}

static tr_status spawn_team(struct team *team, tr_restart_options restart, tr_task **task) {
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.restart = &restart;
  options.flags = TR_SPAWN_ESSENTIAL_ON_FAILURE;
  options.phase = team->phase;
  return tr_spawn_with(team->around, team->name, TR_KIND_BACKGROUND_LOOP, body_of_team, team, &options, task);
}

static tr_task *team_start(struct team *team, tr_restart_options restart) {
  tr_task *task = NULL;
  CHECK_EQ(TR_OK, spawn_team(team, restart, &task));
  return task;
}

/* Wait until the members of run number `run` run, if each of those before had all of them; `task` must not end before. */
static void await_run(struct team *team, tr_task *task, int run) {
  for (int begun = 0; begun < MEMBERS * run; breathe()) {
    CHECK_MSG(tr_task_wait(task, 0, NULL) == TR_ERR_TIMEDOUT, "the team has ended before run %d", run);
    pthread_mutex_lock(&team->begun.lock);
    begun = team->begun.arrived;
    pthread_mutex_unlock(&team->begun.lock);
  }
}

/* Check that there were so many runs with all members, and that none is alive. */
static void team_end(struct team *team, int runs) {
  CHECK_EQ(runs, atomic_load(&team->run));
  CHECK_EQ(MEMBERS * runs, atomic_load(&team->spawned));
  CHECK_EQ(0, atomic_load(&team->alive));
  CHECK_EQ(0, atomic_load(&team->wrong));
  close(team->orders[0]);
  close(team->orders[1]);
}

/* Wait until the team's task waits to start again. */
static void await_waiting(tr_registry *registry, tr_task *task) {
  tr_task_summary found = TR_TASK_SUMMARY_INIT;
  do {
    breathe();
    CHECK(find_in_snapshot(registry, tr_task_id(task), &found));
  } while (found.state != TR_STATE_WAITING);
}

/* Wait until it waits for the end of its members, after a failure. */
static void await_joining(tr_registry *registry, tr_task *task) {
  tr_task_summary found = TR_TASK_SUMMARY_INIT;
  do {
    breathe();
    CHECK(find_in_snapshot(registry, tr_task_id(task), &found));
  } while (found.draining_for_ns < 0);
}

static struct log log_of_case;

/* The last message of that event, and how many there were. */
static int events_of(uint32_t event, char message[256]) {
  int count = 0;
  pthread_mutex_lock(&log_of_case.lock);
  for (int i = 0; i < log_of_case.count; i++)
    if (log_of_case.all[i].event == event) {
      count++;
      memcpy(message, log_of_case.all[i].message, 256);
    }
  pthread_mutex_unlock(&log_of_case.lock);
  return count;
}

/* ---- Failures ------------------------------------------------------------------------------- */

/* Proves: if a member fails or exits all others are asked to stop and end, and then all start again, never beside one of the
   run before; the task of the team stays one task, and what is beside it is not touched; members are listed under their group
   in each run (B7, C12, T1, T3). Why it matters: a reader that goes on with the state of a writer that is gone is worse than
   none. Catches: an essential end that cancels the registry around; a join of the group that returns before a member's drop. */
CASE(a_failure_of_one_starts_all_again) {
  log_init(&log_of_case, NULL);
  tr_registry *registry = registry_with(log_adds, &log_of_case);
  struct gate gate = GATE_INIT;
  tr_task *beside = spawn(registry, "beside", body_obeys, &gate);
  struct team team;
  team_init(&team, registry, "engine", ORDERED, OBEYS);
  tr_task *task = team_start(&team, restarts(1));
  uint64_t id = tr_task_id(task);
  for (int run = 1; run <= 3; run++) {
    await_run(&team, task, run);
    CHECK_EQ(run, atomic_load(&team.run));
    CHECK_EQ(MEMBERS, atomic_load(&team.alive));
    tr_task_summary tasks[8] = {TR_TASK_SUMMARY_INIT};
    size_t count = 0, members = 0;
    CHECK_EQ(TR_OK, tr_snapshot(registry, tasks, 8, &count));
    CHECK_EQ(MEMBERS + 2, count);
    for (size_t i = 0; i < count; i++) {
      if (strcmp(tasks[i].group, "engine") == 0 && tasks[i].parent_id == id) members++;
      if (tasks[i].id == id) CHECK_EQ(run, tasks[i].runs);
    }
    CHECK_EQ(MEMBERS, members);
    if (run < 3) order(&team, run == 1 ? 'f' : 'x');
  }
  CHECK_EQ(2 * (MEMBERS - 1), atomic_load(&team.asked));
  char message[256];
  CHECK_EQ(2, events_of(TR_EVENT_TASK_RESTARTING, message));
  CHECK_MSG(strstr(message, "run 2 failed with code 1: writer; starts again in ") != NULL, "%.256s", message);
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  CHECK_EQ(0, tr_task_is_cancelled(beside));
  tr_task_release(beside);
  registry_finish(registry);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  CHECK_EQ(2 * (MEMBERS - 1) + MEMBERS, atomic_load(&team.asked));
  team_end(&team, 3);
}

/* Proves: after max_restarts within the window the next failure of a member is the end of the team, with that member's name,
   and of the registry if the team's task is essential (B7, B1, C12). Members may fail before the others are spawned. Why it
   matters: what cannot work must not go on unnoticed. Catches: a count of restarts that begins anew with each group. */
CASE(after_too_many_failures_it_gives_up) {
  tr_registry *registry = registry_new();
  struct team team;
  team_init(&team, registry, "engine", FAILS, OBEYS);
  tr_restart_options restart = restarts(1);
  restart.max_restarts = 3;
  restart.window_ns = HOUR;
  tr_task *task = team_start(&team, restart);
  tr_outcome outcome = outcome_of(task);
  CHECK_EQ(TR_ENDED_FAILED, outcome.how);
  CHECK_STR("writer", outcome.message);
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(tr_registry_token(registry)));
  char text[64];
  tr_token_message(tr_registry_token(registry), text, sizeof text);
  CHECK_STR("engine", text);
  tr_task_release(task);
  registry_finish(registry);
  CHECK(atomic_load(&team.spawned) >= 4);
  atomic_store(&team.spawned, 4 * MEMBERS);
  team_end(&team, 4);
}

/* Proves: a member that returns takes no other with it, and an essential one all of them, which then start again (B7, C12).
   Catches: a group that any end of a task cancels. */
CASE(a_member_may_return) {
  tr_registry *registry = registry_new();
  struct team team;
  team_init(&team, registry, "engine", ORDERED, OBEYS);
  tr_task *task = team_start(&team, restarts(1));
  await_run(&team, task, 1);
  order(&team, 'r');
  while (tr_len(registry) > MEMBERS) breathe();
  CHECK_EQ(MEMBERS - 1, atomic_load(&team.alive));
  CHECK_EQ(0, atomic_load(&team.asked));
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  wait_and_release(task);
  team_end(&team, 1);

  team_init(&team, registry, "engine", ORDERED, OBEYS);
  team.flags = TR_SPAWN_ESSENTIAL;
  task = team_start(&team, restarts(1));
  await_run(&team, task, 1);
  order(&team, 'r');
  await_run(&team, task, 2);
  registry_finish(registry);
  tr_task_release(task);
  team_end(&team, 2);
}

/* ---- Stopping ------------------------------------------------------------------------------- */

/* Proves: a shutdown ends all of a team and starts nothing more, whether the members run, the team waits to start again, or its
   group is being joined after a failure (B7, B2, T2). Why it matters: each of these is the state of the service at some
   moment when it is stopped. Catches: a run that begins after the flag has risen; a wait for the back-off. */
CASE(a_shutdown_ends_it_in_each_state) {
  for (int state = 0; state < 3; state++) {
    tr_registry *registry = registry_new();
    struct team team;
    team_init(&team, registry, "engine", ORDERED, state == 2 ? DEAF : OBEYS);
    tr_task *task = team_start(&team, restarts(state == 1 ? HOUR : 1));
    await_run(&team, task, 1);
    if (state > 0) order(&team, 'f');
    if (state == 1) await_waiting(registry, task);
    if (state == 2) await_joining(registry, task);
    struct join_call call;
    shutdown_begin(&call, registry, FOREVER);
    while (!tr_task_is_cancelled(task)) breathe();
    if (state == 2) {
      CHECK_EQ(0, atomic_load(&call.returned));
      gate_open(&team.held);
    }
    join_end(&call);
    CHECK_EQ(TR_OK, call.status);
    CHECK_EQ(0, tr_len(registry));
    /* In the last two states the run has failed, and no other has come. */
    CHECK_EQ(state == 0 ? TR_ENDED_RETURNED : TR_ENDED_FAILED, outcome_of(task).how);
    tr_task_release(task);
    tr_registry_release(registry);
    team_end(&team, 1);
  }
}

/* Proves: a team's task that is asked to stop stops its members, waits until they have ended, and touches no other team (B7,
   C16). Why it matters: one part of a service is switched off. Catches: a wait for the members that the task's own flag ends. */
CASE(asked_to_stop_it_stops_its_members_alone) {
  tr_registry *registry = registry_new();
  struct team team, other;
  team_init(&team, registry, "engine", ORDERED, DEAF);
  team_init(&other, registry, "other", ORDERED, OBEYS);
  tr_task *task = team_start(&team, restarts(1)), *beside = team_start(&other, restarts(1));
  await_run(&team, task, 1);
  await_run(&other, beside, 1);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  while (atomic_load(&team.alive) > 1) breathe();
  CHECK_EQ(TR_ERR_TIMEDOUT, tr_task_wait(task, 10 * MS, NULL));
  gate_open(&team.held);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  CHECK_EQ(0, atomic_load(&team.alive));
  CHECK_EQ(0, tr_task_is_cancelled(beside));
  CHECK_EQ(MEMBERS, atomic_load(&other.alive));
  CHECK_EQ(0, tr_token_is_cancelled(tr_registry_token(registry)));
  tr_task_release(task);
  tr_task_release(beside);
  registry_finish(registry);
  team_end(&team, 1);
  team_end(&other, 1);
}

/* ---- Members that do not stop ---------------------------------------------------------------- */

/* Proves: no run begins beside a member that has not stopped by the deadline: a run that asks its own task to stop is the last,
   has failed, and takes the registry down, whose shutdown names the member (B7, B2, J4, T3). Why it matters: two writers of
   one file. Catches: a restart after a request to stop that came from the task itself. */
CASE(no_run_begins_beside_a_member_that_does_not_stop) {
  tr_registry *registry = registry_with_grace(TR_NO_ABORT_GRACE);
  struct team team;
  team_init(&team, registry, "engine", ORDERED, DEAF);
  team.grace = MS;
  tr_task *task = team_start(&team, restarts(1));
  await_run(&team, task, 1);
  order(&team, 'f');
  tr_outcome outcome = outcome_of(task);
  CHECK_EQ(TR_ENDED_FAILED, outcome.how);
  CHECK_STR("a member did not stop", outcome.message);
  CHECK_EQ(TR_REASON_FATAL, tr_token_reason(tr_registry_token(registry)));
  while (atomic_load(&team.alive) > 1) breathe();
  tr_task_summary late = TR_TASK_SUMMARY_INIT;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = &late;
  report.stragglers_capacity = 1;
  while (tr_len(registry) > 1) breathe();
  CHECK_EQ(TR_ERR_DEADLINE, tr_shutdown(registry, TR_REASON_NONE, NULL, MS, &report));
  CHECK_EQ(1, report.pending);
  CHECK_STR("engine", late.group);
  CHECK_STR("keeper", late.name);
  gate_open(&team.held);
  tr_task_release(task);
  registry_finish(registry);
  team_end(&team, 1);
}

/* Proves: a member that ends once it is told to abort keeps nobody from starting again (B7, C15, J4). Catches: a team that gives
   up although all have ended. */
CASE(members_that_end_when_told_to_abort_start_again) {
  tr_registry *registry = registry_with_grace(HOUR);
  struct team team;
  team_init(&team, registry, "engine", ORDERED, DRAINS);
  team.grace = MS;
  tr_task *task = team_start(&team, restarts(1));
  await_run(&team, task, 1);
  order(&team, 'f');
  await_run(&team, task, 2);
  CHECK_EQ(TR_OK, tr_task_cancel(task));
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  registry_finish(registry);
  team_end(&team, 2);
}

/* ---- Phases, and teams in teams ---------------------------------------------------------------- */

/* Proves: a team of a later phase stays until its phase is asked, though its registry is cancelled; a failure then starts nobody
   again, nor does a run that begins then, as nothing can be spawned (B7, B2, E5, S5). Why it matters: what the earlier phases
   use stays there while they stop. Catches: a group that its token asks before its phase. */
CASE(a_team_of_a_later_phase_stays_until_it_is_asked) {
  for (int state = 0; state < 3; state++) {
    tr_registry *registry = registry_new();
    struct team team;
    team_init(&team, registry, "engine", ORDERED, OBEYS);
    team.phase = 2;
    tr_task *task = team_start(&team, restarts(HOUR));
    await_run(&team, task, 1);
    if (state == 2) {
      order(&team, 'f');
      await_waiting(registry, task);
    }
    CHECK_EQ(1, tr_token_cancel(tr_registry_token(registry), TR_REASON_USER_REQUESTED, "stop"));
    if (state == 1) {
      order(&team, 'f');
      while (atomic_load(&team.alive) == MEMBERS) breathe();
    }
    if (state == 2) {
      CHECK_EQ(TR_OK, tr_task_trigger(task));
      while (atomic_load(&team.run) < 2) breathe();
    } else {
      CHECK_EQ(MEMBERS - state, atomic_load(&team.alive));
      CHECK_EQ(0, atomic_load(&team.asked));
    }
    CHECK_EQ(0, tr_task_is_cancelled(task));
    registry_finish(registry);
    CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
    tr_task_release(task);
    if (state == 2) CHECK_EQ(2, atomic_exchange(&team.run, 1));
    team_end(&team, 1);
  }
}

/* Proves: members of several phases stop in their order, after a failure and in a shutdown, if the team's task has the last phase
   of them (B7, E5). Why it matters: the reader stops before the writer of what it has read. Catches: a group that is shut down
   by its task before its phases are asked. */
CASE(members_stop_in_the_order_of_their_phases) {
  tr_registry *registry = registry_new();
  struct team team;
  team_init(&team, registry, "engine", ORDERED, OBEYS);
  team.phase = MEMBERS - 1;
  team.has_phases = 1;
  tr_task *task = team_start(&team, restarts(1));
  await_run(&team, task, 1);
  order(&team, 'f');
  await_run(&team, task, 2);
  registry_finish(registry);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  const int places[] = {1, 2, 0, 1, 2};
  CHECK_EQ(5, atomic_load(&team.asked));
  for (int i = 0; i < 5; i++) CHECK_EQ(places[i], atomic_load(&team.places[i]));
  team_end(&team, 2);
}

/* Proves: a team whose task is a member of another starts again alone if a member of it fails, and with the other if one of
   that fails (B7, T1, C12). Why it matters: that is "rest for one": who came later depends on who came before. Catches: a
   group that is cancelled by the end of a task in a group inside it. */
CASE(teams_within_teams_restart_the_rest_for_one) {
  tr_registry *registry = registry_new();
  struct team outer, inner;
  team_init(&outer, registry, "outer", ORDERED, OBEYS);
  team_init(&inner, NULL, "inner", ORDERED, OBEYS);
  outer.inner = &inner;
  tr_task *task = team_start(&outer, restarts(1));
  await_run(&inner, task, 1);
  order(&inner, 'f');
  await_run(&inner, task, 2);
  CHECK_EQ(1, atomic_load(&outer.run));
  CHECK_EQ(MEMBERS, atomic_load(&outer.alive));
  order(&outer, 'f');
  await_run(&outer, task, 2);
  await_run(&inner, task, 3);
  CHECK_EQ(2 * MEMBERS + 2, tr_len(registry));
  registry_finish(registry);
  CHECK_EQ(TR_ENDED_RETURNED, outcome_of(task).how);
  tr_task_release(task);
  team_end(&inner, 3);
  team_end(&outer, 2);
}

/* ---- All at once ------------------------------------------------------------------------------ */

enum { TEAMS = 16 };

/* Claim: 16 teams whose members fail at once and start again at once are shut down: when that has returned nobody is alive, none
   comes after it, and members of two runs of a team have never been alive at once.
   Proves: the failure of a member, the join of its group, the next run and a shutdown meet in every order (B7, B2). */
CASE(many_are_shut_down_while_they_start_again) {
  for (int round = 0; round < check_rounds(20) + 1; round++) {
    tr_registry *registry = registry_new();
    struct team teams[TEAMS];
    for (int i = 0; i < TEAMS; i++) {
      team_init(&teams[i], registry, "engine", FAILS, i % 2 ? FAILS : OBEYS);
      tr_task_release(team_start(&teams[i], restarts(1)));
    }
    while (atomic_load(&teams[TEAMS - 1].run) < 1 + round % 4) sched_yield();
    CHECK_EQ(TR_OK, shutdown_fully(registry, TR_REASON_USER_REQUESTED, NULL, FOREVER, NULL));
    for (int i = 0; i < TEAMS; i++) {
      int runs = atomic_load(&teams[i].run);
      atomic_store(&teams[i].spawned, MEMBERS * runs);
      team_end(&teams[i], runs);
    }
    CHECK_EQ(0, tr_len(registry));
    tr_registry_release(registry);
  }
}

CHECK_MAIN(CHECK_ENTRY(a_failure_of_one_starts_all_again), CHECK_ENTRY(after_too_many_failures_it_gives_up),
           CHECK_ENTRY(a_member_may_return),
           CHECK_ENTRY(a_shutdown_ends_it_in_each_state), CHECK_ENTRY(asked_to_stop_it_stops_its_members_alone),
           CHECK_ENTRY(no_run_begins_beside_a_member_that_does_not_stop),
           CHECK_ENTRY(members_that_end_when_told_to_abort_start_again),
           CHECK_ENTRY(a_team_of_a_later_phase_stays_until_it_is_asked),
           CHECK_ENTRY(members_stop_in_the_order_of_their_phases),
           CHECK_ENTRY(teams_within_teams_restart_the_rest_for_one),
           CHECK_ENTRY(many_are_shut_down_while_they_start_again))
