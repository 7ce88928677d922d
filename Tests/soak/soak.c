/* soak.c - everything at random, for as long as one likes.

   soak SECONDS [SEED]

   Eight threads pick from a table of operations and apply them to registries, tasks and tokens that they
   share. Every ten seconds all of them stop, everything is shut down, the books are compared, and a
   line is printed. Claims, throughout:

   1. every accepted task runs its body once and its drop once, no rejected one does, and after a
      shutdown as many have ended as were accepted (S4, G4);
   2. the number of live tasks is never below what was accepted and not dropped (N1);
   3. no id comes twice, no entry of a snapshot mixes two tasks, none is listed twice (N2, N3);
   4. a callback runs once at the most, its drop exactly once, and none runs after it is taken back (C7); that for the
      end of a task finds its outcome, and is called unless it is taken back (O4);
   5. metrics have every accepted task, no end before its drop, and among the last tasks none twice (E8);
   6. what a task reports of itself is never mixed with what another reports, nor what two calls report (E3);
   7. a report has as many stragglers as it says, none twice, none that is of another registry; its phases are
      in order, each begins and ends once (E1, E5); the end of a straggler is reported once at the most (E6), and
      nobody is stalled whose heartbeat interval is an hour, with a ladder or without (E7, F4);
   8. when all is shut down the process has the threads, descriptors and memory that it had before.

   A seed repeats the choices of each thread; what the threads do to each other is up to the machine. */

#define CHECK_WATCHDOG_SECONDS 60

#include "../c/support.h"

#ifdef SOAK_FAULTS
#include "../c/fault.h"
#endif

#include <malloc.h>
#include <poll.h>

enum { THREADS = 8, HALLS = 4, HELD = 12, IDS = 1 << 20 };

/* A registry and the books about it. Lives until its registry is shut down and nobody uses it. */
struct hall {
  tr_registry *registry; /* where its tasks are spawned */
  tr_registry *above;    /* the registry that it is a group of, which has no other tasks; or NULL */
  atomic_int users;      /* the place it has among the halls, threads that use it, tasks */
  atomic_long accepted, bodies, drops;
};

/* One task: which hall it belongs to, and what it is to do. Freed by its drop. */
struct deed {
  struct hall *hall;
  uint32_t number;
  int way;
  atomic_int begun;
};

/* One callback that is registered. */
struct notice {
  tr_registration *registration;
  tr_token *token;
  atomic_int called, dropped;
};

struct actor {
  uint64_t random;
  tr_task *held[HELD];
  long operations;
};

static struct hall *halls[HALLS];
static pthread_mutex_t halls_lock = PTHREAD_MUTEX_INITIALIZER; /* guards `halls` */
static atomic_uint_least64_t ids[IDS], late_ids[IDS];
static atomic_int stops;
static pthread_barrier_t pause_begins, pause_ends;
static struct actor actors[THREADS];
static atomic_long total_spawned, total_rejected, total_threadless, total_joins, total_stragglers, total_callbacks, total_listed, total_explained, total_backtraces, total_late;
static int pipe_ends[2], nowhere;

static uint32_t next(struct actor *actor) {
  actor->random = actor->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(actor->random >> 33);
}

/* ---- Halls --------------------------------------------------------------------------------- */

/* Stalls come from a heartbeat interval that is exceeded, and none is here. */
static void hear(void *context, const tr_log_event *event) {
  (void)context;
  CHECK(event->event != TR_EVENT_TASK_STALLED && event->event != TR_EVENT_TASK_RECOVERED);
  if (event->event != TR_EVENT_TASK_LATE) return;
  CHECK(atomic_exchange(&late_ids[event->task_id % IDS], event->task_id) != event->task_id);
  atomic_fetch_add(&total_late, 1);
}
static struct hall *hall_new(struct actor *actor) {
  struct hall *hall = calloc(1, sizeof *hall);
  CHECK(hall != NULL);
  tr_registry_options options = TR_REGISTRY_OPTIONS_INIT;
  uint32_t random = next(actor);
  options.max_tasks = random % 4 == 0 ? 16 : 200;
  options.stack_size = 256 << 10; /* room for what a sanitizer keeps there */
  if (random & 16) options.spin_ns = TR_SPIN_NEVER;
  if (random & 32) options.idle_ns = 1 * MS;
  if ((random & 192) == 192) options.idle_threads = TR_IDLE_THREADS_NONE;
  if (random & 256) options.abort_grace_ns = 1 * MS;
  if (random & 1024) options.flags = TR_REGISTRY_METRICS;
  if (random & 65536) options.flags |= TR_REGISTRY_NO_DESCRIPTORS;
  if ((random & 393216) == 393216) options.flags |= TR_REGISTRY_REPORT_THREADS;
  sigset_t blocked;
  sigfillset(&blocked);
  const int blocked_numbers[] = {SIGUSR1, SIGRTMIN + 5};
  if ((random & 12288) == 4096) options.blocked_signals = &blocked;
  if ((random & 12288) == 12288) {
    options.blocked_signal_numbers = blocked_numbers;
    options.blocked_signal_count = 2;
  }
  options.log = hear;
  tr_ladder_options ladder = TR_LADDER_OPTIONS_INIT;
  ladder.last_step = TR_LADDER_ABORT_TASK;
  if (random & 131072) options.ladder = &ladder;
  tr_status status;
  while ((status = tr_registry_create(&options, &hall->registry)) != TR_OK) CHECK_EQ(TR_ERR_NOMEM, status);
  if (random & 512) {
    hall->above = hall->registry;
    options.max_tasks = random % 8 == 0 ? 8 : 0;
    options.flags = random & 2048 ? TR_REGISTRY_METRICS : 0;
    CHECK_EQ(TR_OK, tr_registry_child(hall->above, "inner", &options, &hall->registry));
  }
  atomic_store(&hall->users, 1);
  return hall;
}
static void hall_leave(struct hall *hall) {
  if (atomic_fetch_sub(&hall->users, 1) == 1) {
    CHECK_EQ(atomic_load(&hall->accepted), atomic_load(&hall->drops));
    CHECK_EQ(atomic_load(&hall->accepted), atomic_load(&hall->bodies));
    free(hall);
  }
}
/* Enter one of the halls, with a reference to its registry. */
static struct hall *hall_enter(struct actor *actor) {
  pthread_mutex_lock(&halls_lock);
  struct hall *hall = halls[next(actor) % HALLS];
  atomic_fetch_add(&hall->users, 1);
  tr_registry_retain(hall->registry);
  tr_registry_retain(hall->above);
  pthread_mutex_unlock(&halls_lock);
  return hall;
}
static void hall_exit(struct hall *hall) {
  tr_registry_release(hall->above);
  tr_registry_release(hall->registry);
  hall_leave(hall);
}
/* The registry to look at: the hall's or the one above, which have the same tasks. */
static tr_registry *hall_seen(struct actor *actor, const struct hall *hall) {
  return hall->above != NULL && next(actor) % 2 ? hall->above : hall->registry;
}
/* Put another hall in the place of one of them, which is now the caller's. */
static struct hall *hall_replace(struct actor *actor, unsigned place) {
  struct hall *new_one = hall_new(actor);
  pthread_mutex_lock(&halls_lock);
  struct hall *old = halls[place];
  halls[place] = new_one;
  pthread_mutex_unlock(&halls_lock);
  return old;
}
/* What a deed reports: which of these, how far, and of what follow from its number. */
static const char *const places[] = {"at the gate", "in the hall", "on the stairs", "in the cellar"};

static const char *place_of(uint32_t number) { return places[number % 4]; }
static uint32_t phase_of(uint32_t number) { return number % 5 == 0 ? number / 5 % TR_PHASES : 0; }

/* Whether what is shown of a deed is what it reports, by one call (E3). */
static void check_shown(unsigned number, const char *checkpoint, uint64_t done, uint64_t total, const char *unit) {
  CHECK(checkpoint == NULL || strcmp(checkpoint, place_of(number)) == 0);
  if (unit == NULL) CHECK(done == 0 && total == 0);
  else CHECK(strcmp(unit, place_of(number)) == 0 && total == done * 3 + number);
}

/* Whether a report is what it says it is; it is written at times, and released. */
static void read_report(struct actor *actor, const struct hall *hall, tr_report *full, uint64_t pending) {
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_report_counts(full, &counts));
  CHECK_EQ(pending, counts.pending);
  CHECK(counts.stragglers_count <= pending);
  enum { MOST = 256 };
  uint64_t seen[MOST];
  for (size_t i = 0; i < counts.stragglers_count; i++) {
    tr_straggler straggler = TR_STRAGGLER_INIT;
    unsigned number = 0;
    CHECK_EQ(TR_OK, tr_report_straggler(full, i, &straggler));
    CHECK_MSG(sscanf(straggler.name, "deed-%u-", &number) == 1, "name \"%s\"", straggler.name);
    CHECK_EQ(TR_KIND_APPLICATION + number, straggler.kind);
    CHECK_EQ(phase_of(number), straggler.phase);
    CHECK_EQ(0, straggler.stalled);
    CHECK_STR(hall->above != NULL ? "inner" : "", straggler.group);
    CHECK((straggler.state == TR_STATE_ENDED) == (straggler.diagnosis == TR_DIAGNOSIS_ENDED));
    check_shown(number, straggler.checkpoint, straggler.progress_done, straggler.progress_total,
               straggler.progress_unit);
    for (uint32_t n = 0; n < straggler.frame_count; n++) CHECK(straggler.frames[n] != 0);
    if (straggler.frame_count > 0) atomic_fetch_add(&total_backtraces, 1);
    if (i < MOST) seen[i] = straggler.id;
    for (size_t j = 0; j < i && i < MOST; j++) CHECK(seen[j] != seen[i]);
  }
  int64_t before = INT64_MAX;
  tr_ended_task slow = TR_ENDED_TASK_INIT;
  for (size_t i = 0; tr_report_slowest(full, i, &slow) == TR_OK; i++) {
    CHECK(i < 16 && slow.stop_ns >= 0 && slow.stop_ns <= before);
    before = slow.stop_ns;
  }
  tr_phase_report phase = TR_PHASE_REPORT_INIT;
  for (size_t i = 0, last = 0; tr_report_phase(full, i, &phase) == TR_OK; i++, last = phase.phase) {
    CHECK(i == 0 || phase.phase > last);
    CHECK(phase.asked + phase.ended_before > 0 || phase.callbacks_ns >= MS);
    CHECK(phase.duration_ns >= 0);
  }
  if (next(actor) % 4 == 0) {
    CHECK_EQ(TR_OK, tr_report_write(full, nowhere, next(actor) % 2 ? TR_FORMAT_TEXT : TR_FORMAT_JSON));
  }
  tr_report_release(full);
}
/* The callbacks of one shutdown: how many have come. */
static void note_phase(int *count, uint32_t phase, int is_end) {
  CHECK_EQ(2 * (int)phase + is_end, *count);
  if (++*count % 7 == 0) breathe();
}
static void phase_begins(void *context, uint32_t phase, uint64_t tasks) {
  (void)tasks;
  note_phase(context, phase, 0);
}
static void phase_ends(void *context, uint32_t phase, uint64_t tasks) {
  (void)tasks;
  note_phase(context, phase, 1);
}
/* Shut a hall down for good; a group alone before all of it, half the time. */
static void hall_close(struct actor *actor, struct hall *hall) {
  tr_join_report report = TR_JOIN_REPORT_INIT;
  if (hall->above != NULL && next(actor) % 2)
    CHECK_EQ(TR_OK, shutdown_fully(hall->above, TR_REASON_USER_REQUESTED, "soak", FOREVER, NULL));
  tr_report *full = NULL;
  if (next(actor) % 2) report.full = &full;
  int64_t grace = next(actor) % 2 ? FOREVER : 3 * MS; /* what is not asked in its phase is asked at the deadline */
  uint32_t random = next(actor);
  tr_shutdown_options options = TR_SHUTDOWN_OPTIONS_INIT;
  int calls = 0;
  if (random & 1) {
    options.on_phase_begin = phase_begins;
    options.on_phase_end = phase_ends;
    options.phase_context = &calls;
  }
  if (random & 2) options.phase_max_grace_ns[random >> 8 & 7] = 4 * MS;
  if (random & 4) options.max_grace_ns = 5 * MS;
  if (random & 8) options.phase_share[random >> 11 & 7] = 3;
  tr_status status =
      tr_shutdown_with(hall->registry, TR_REASON_RELOAD_REQUESTED, "soak", grace, &options, &report);
  CHECK(status == TR_OK || status == TR_ERR_DEADLINE);
  CHECK_EQ(random & 1 ? 2 * (int)TR_PHASES : 0, calls);
  CHECK_EQ(report.full != NULL, full != NULL);
  if (full != NULL) read_report(actor, hall, full, report.pending);
  CHECK_EQ(TR_OK, shutdown_fully(hall->registry, TR_REASON_RELOAD_REQUESTED, "soak", FOREVER, NULL));
  CHECK_EQ(0, tr_len(hall->registry));
  /* another thread may not have written down yet what was accepted; the last to leave knows all */
  long accepted = atomic_load(&hall->accepted);
  CHECK(atomic_load(&hall->drops) >= accepted);
  tr_task *task = NULL;
  CHECK_EQ(TR_ERR_CLOSED, tr_spawn(hall->registry, "late", TR_KIND_MAINTENANCE, body_never, NULL, &task));
  if (hall->above != NULL) {
    CHECK_EQ(TR_OK, shutdown_fully(hall->above, TR_REASON_USER_REQUESTED, "soak", FOREVER, NULL));
    CHECK_EQ(0, tr_len(hall->above));
  }
  hall_exit(hall);
}

/* ---- Tasks --------------------------------------------------------------------------------- */

enum { RETURNS, FAILS, EXITS, SLEEPS, WAITS, POLLS, SPAWNS, NOTICES, LISTENS, READS, TELLS, WAYS };

static pthread_mutex_t bell_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;

#define CANCEL_SIGNAL (SIGRTMIN + 1)
#define BACKTRACE_SIGNAL (SIGRTMIN + 3)

static int spawn_deed(struct hall *hall, uint32_t random, tr_task **out);

static int body_of_deed(tr_task *self, void *ctx) {
  struct deed *deed = ctx;
  CHECK_EQ(0, atomic_fetch_add(&deed->begun, 1));
  atomic_fetch_add(&deed->hall->bodies, 1);
  CHECK_EQ(TR_KIND_APPLICATION + deed->number, tr_task_kind(self));
  CHECK(self == tr_task_self());
  int64_t while_ns = (int64_t)(deed->number % 8) * MS / 2;
  tr_status status = TR_OK;
  /* Neither what waits indefinitely for a request, nor what only its cancel signal ends. */
  if (deed->way != READS && deed->number % 3 != 0 && deed->number % 7 == 0) {
    CHECK_EQ(TR_OK, tr_shield_begin());
    CHECK_EQ(TR_OK, tr_sleep(while_ns / 4));
    CHECK_EQ(TR_OK, tr_shield_end());
    CHECK(tr_task_data(self) == NULL);
    CHECK_EQ(TR_OK, tr_task_set_data(self, deed));
    CHECK(tr_task_data(tr_task_self()) == deed);
    tr_token *own = tr_task_token(self);
    CHECK(own != NULL && own == tr_task_token(self));
    int fd = -1;
    CHECK_EQ(TR_OK, tr_token_abort_fd(own, &fd));
    status = tr_begin_drain();
    CHECK(status == TR_OK || tr_task_stop_level(self) == TR_STOP_ABORT);
    status = TR_OK;
  }
  switch (deed->way) {
    case FAILS: return (int)(deed->number % 100) + 1;
    case EXITS: pthread_exit(NULL);
    case SLEEPS: status = tr_sleep(while_ns); break;
    case WAITS:
      status = tr_wait_cancelled(deed->number % 3 == 0 ? FOREVER : while_ns);
      CHECK(status != TR_OK);
      break;
    case POLLS:
      status = tr_wait_fd(pipe_ends[0], POLLIN, while_ns);
      CHECK(status != TR_OK);
      break;
    case LISTENS:
      pthread_mutex_lock(&bell_lock);
      status = tr_cond_wait(&bell, &bell_lock, deed->number % 3 == 0 ? FOREVER : while_ns);
      CHECK_EQ(0, pthread_mutex_unlock(&bell_lock));
      break;
    case READS: /* its cancel signal ends it, however close to the read the flag rises */
      while (!tr_task_is_cancelled(self)) {
        char byte;
        CHECK(read(pipe_ends[0], &byte, 1) < 0 && errno == EINTR);
      }
      CHECK_EQ(TR_OK, tr_checkpoint(place_of(deed->number)));
      if (deed->number % 2) CHECK_EQ(TR_OK, tr_acknowledge_cancel());
      break;
    case TELLS:
      CHECK_EQ(TR_OK, tr_checkpoint(place_of(deed->number)));
      CHECK_EQ(TR_OK, tr_label(place_of(deed->number + 1)));
      for (uint64_t done = 0; done < 64 && !tr_task_is_cancelled(self); done++) {
        CHECK_EQ(TR_OK, tr_progress(done, done * 3 + deed->number, place_of(deed->number)));
        CHECK_EQ(TR_OK, tr_heartbeat());
        if (done == 8) {
          CHECK_EQ(TR_OK, tr_heartbeat_promise(NULL, 3600 * SECOND, TR_HEARTBEAT_EXCEPT_WAITS));
          CHECK_EQ(TR_OK, tr_heartbeat_pause());
          CHECK_EQ(TR_OK, tr_heartbeat_resume());
        }
        if (done % 16 == 0) status = tr_sleep(while_ns / 8);
      }
      break;
    case SPAWNS: spawn_deed(deed->hall, deed->number * 2654435761u, NULL); break;
    case NOTICES:
      CHECK_EQ(TR_OK, tr_task_set_message(self, "soak"));
      CHECK_EQ(TR_ERR_DEADLOCK, tr_task_wait(self, FOREVER, NULL));
      CHECK_EQ(TR_ERR_DEADLOCK, tr_join_all(deed->hall->registry, FOREVER, NULL));
      if (deed->hall->above != NULL)
        CHECK_EQ(TR_ERR_DEADLOCK, tr_shutdown(deed->hall->above, TR_REASON_NONE, NULL, FOREVER, NULL));
      return 3;
    default: break;
  }
  if (status == TR_ERR_CANCELLED) CHECK(tr_task_is_cancelled(self));
  return 0;
}
static void drop_of_deed(void *ctx) {
  struct deed *deed = ctx;
  struct hall *hall = deed->hall;
  CHECK_EQ(1, atomic_load(&deed->begun));
  free(deed);
  atomic_fetch_add(&hall->drops, 1);
  hall_leave(hall);
}
/* Spawn a task whose temper is random; 0 if it was rejected. The caller uses the hall. */
static int spawn_deed(struct hall *hall, uint32_t random, tr_task **out) {
  struct deed *deed = calloc(1, sizeof *deed);
  CHECK(deed != NULL);
  deed->hall = hall;
  deed->number = random >> 8;
  deed->way = (int)(random % WAYS);
  char name[64];
  snprintf(name, sizeof name, "deed-%u-%.*s", deed->number, (int)(deed->number % 30),
           "zyxwvutsrqponmlkjihgfedcbazyxwvu");
  tr_spawn_options options = TR_SPAWN_OPTIONS_INIT;
  options.drop = drop_of_deed;
  options.flags = deed->number % 16 == 5 ? TR_SPAWN_FRESH_THREAD : deed->number % 16 == 9 ? TR_SPAWN_CLEANUP : 0;
  options.stack_size = deed->number % 64 == 17 ? 512 << 10 : 0;
  /* a clean-up task that waits for its flag indefinitely would hold up every shutdown */
  if (deed->number % 16 == 9 && (deed->way == WAITS || deed->way == LISTENS || deed->way == READS)) deed->way = RETURNS;
  if (deed->way == READS) options.cancel_signal = CANCEL_SIGNAL;
  options.phase = phase_of(deed->number);
  if (deed->way == TELLS || deed->number % 32 == 7) options.heartbeat_ns = 3600 * SECOND;
  if (deed->number % 512 == 3) options.flags |= TR_SPAWN_ESSENTIAL_ON_FAILURE;
  tr_task *task = NULL;
  atomic_fetch_add(&hall->users, 1);
  tr_status status = tr_spawn_with(hall->registry, name, TR_KIND_APPLICATION + deed->number, body_of_deed, deed,
                                   &options, out == NULL ? NULL : &task);
  if (status != TR_OK) {
    CHECK(status == TR_ERR_LIMIT || status == TR_ERR_CLOSED || status == TR_ERR_AGAIN || status == TR_ERR_NOMEM);
    CHECK(task == NULL && atomic_load(&deed->begun) == 0);
    free(deed);
    hall_leave(hall);
    atomic_fetch_add(&total_rejected, 1);
    if (status == TR_ERR_AGAIN) atomic_fetch_add(&total_threadless, 1);
    return 0;
  }
  atomic_fetch_add(&hall->accepted, 1);
  atomic_fetch_add(&total_spawned, 1);
  if (out != NULL) {
    uint64_t id = tr_task_id(task);
    CHECK(atomic_exchange(&ids[id % IDS], id) != id);
    *out = task;
  }
  return 1;
}

/* ---- Operations ---------------------------------------------------------------------------- */

static void op_spawn(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  unsigned place = next(actor) % HELD;
  tr_task *task = NULL;
  if (spawn_deed(hall, next(actor), next(actor) % 3 == 0 ? NULL : &task) && task != NULL) {
    tr_task_release(actor->held[place]);
    actor->held[place] = task;
  }
  hall_exit(hall);
}
static void op_cancel(struct actor *actor) {
  tr_task *task = actor->held[next(actor) % HELD];
  if (task == NULL) return;
  CHECK_EQ(TR_OK, tr_task_cancel(task));
}
static void op_wait(struct actor *actor) {
  tr_task *task = actor->held[next(actor) % HELD];
  if (task == NULL) return;
  tr_outcome outcome = TR_OUTCOME_INIT;
  tr_status status = tr_task_wait(task, next(actor) % 2 ? 0 : 1 * MS, &outcome);
  CHECK(status == TR_OK || status == TR_ERR_TIMEDOUT);
  CHECK((outcome.how != 0) == (status == TR_OK));
  if (status == TR_OK) CHECK_EQ(tr_task_is_cancelled(task), outcome.was_cancelled);
}
/* Waits on this thread until the task is asked to stop; one that has ended unasked cannot be waited with. */
static void op_named_wait(struct actor *actor) {
  tr_task *task = actor->held[next(actor) % HELD];
  if (task == NULL) return;
  int64_t while_ns = (int64_t)(next(actor) % 3) * MS / 2;
  unsigned way = next(actor) % 3;
  tr_status status = way == 0   ? tr_task_sleep(task, while_ns)
                     : way == 1 ? tr_task_wait_cancelled(task, while_ns)
                                : tr_task_wait_fd(task, pipe_ends[0], POLLIN, while_ns);
  if (status == TR_ERR_INVALID) CHECK_EQ(TR_OK, tr_task_wait(task, 0, NULL));
  else if (status == TR_ERR_CANCELLED) CHECK(tr_task_is_cancelled(task));
  else CHECK_EQ(way == 0 ? TR_OK : TR_ERR_TIMEDOUT, status);
}
static void op_let_go(struct actor *actor) {
  unsigned place = next(actor) % HELD;
  CHECK(tr_task_retain(actor->held[place]) == actor->held[place]);
  tr_task_release(actor->held[place]);
  tr_task_release(actor->held[place]);
  actor->held[place] = NULL;
}
static void op_join(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  tr_task_summary stragglers[4];
  stragglers[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
  tr_join_report report = TR_JOIN_REPORT_INIT;
  report.stragglers = stragglers;
  report.stragglers_capacity = 4;
  tr_report *full = NULL;
  if (next(actor) % 3 == 0) report.full = &full;
  tr_status status = tr_join_all(hall_seen(actor, hall), (int64_t)(next(actor) % 4) * MS, &report);
  CHECK_EQ(report.full != NULL, full != NULL);
  if (full != NULL) read_report(actor, hall, full, report.pending);
  CHECK_EQ(report.pending, report.aborted + report.abandoned);
  CHECK_EQ(report.pending < 4 ? report.pending : 4, report.stragglers_count);
  CHECK(status == (report.pending == 0 ? TR_OK : TR_ERR_DEADLINE));
  CHECK(report.failed + report.exited <= report.ended);
  atomic_fetch_add(&total_joins, 1);
  atomic_fetch_add(&total_stragglers, (long)report.pending);
  hall_exit(hall);
}
/* Nobody is asked to stop by it (J9). */
static void op_registry_wait(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  tr_status status = tr_registry_wait(hall_seen(actor, hall), (int64_t)(next(actor) % 3) * MS / 2);
  CHECK(status == TR_OK || status == TR_ERR_TIMEDOUT);
  hall_exit(hall);
}
static void op_close(struct actor *actor) { hall_close(actor, hall_replace(actor, next(actor) % HALLS)); }
/* The last release with tasks alive: they see to the rest themselves (G3). */
static void op_abandon(struct actor *actor) {
  struct hall *hall = hall_replace(actor, next(actor) % HALLS);
  /* its token would ask the tasks of phase 0 alone */
  tr_status status = tr_shutdown(hall->registry, TR_REASON_FATAL, NULL, 0, NULL);
  CHECK(status == TR_OK || status == TR_ERR_DEADLINE);
  hall_exit(hall);
}
static void op_list(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  enum { ROOM = 96 };
  tr_task_summary list[ROOM];
  list[0] = (tr_task_summary)TR_TASK_SUMMARY_INIT;
  size_t count = 0;
  tr_status status = tr_snapshot(hall_seen(actor, hall), list, ROOM, &count);
  CHECK_EQ(count > ROOM ? TR_ERR_TRUNCATED : TR_OK, status);
  if (count > ROOM) count = ROOM;
  atomic_fetch_add(&total_listed, (long)count);
  for (size_t i = 0; i < count; i++) {
    unsigned number = 0;
    CHECK_MSG(sscanf(list[i].name, "deed-%u-", &number) == 1, "name \"%s\"", list[i].name);
    CHECK_EQ(TR_KIND_APPLICATION + number, list[i].kind);
    CHECK_EQ(strlen(list[i].name), (size_t)snprintf(NULL, 0, "deed-%u-", number) + number % 30);
    CHECK_EQ(number % 16 == 9 ? TR_SPAWN_CLEANUP : 0, list[i].flags);
    CHECK_STR(hall->above != NULL ? "inner" : "", list[i].group);
    CHECK_EQ(list[i].cancel_requested, list[i].cancel_requested_at_ns != 0);
    CHECK_EQ(phase_of(number), list[i].phase);
    CHECK_EQ(0, list[i].stalled);
    check_shown(number, list[i].checkpoint, list[i].progress_done, list[i].progress_total, list[i].progress_unit);
    for (size_t j = 0; j < i; j++) CHECK(list[i].id != list[j].id);
  }
  hall_exit(hall);
}
static void op_explain(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  tr_report *full = NULL;
  tr_status status = next(actor) % 2 ? tr_explain(hall_seen(actor, hall), &full)
                                     : tr_explain_with(hall_seen(actor, hall), 1u + next(actor) % 3, &full);
  CHECK_EQ(TR_OK, status);
  tr_join_report counts = TR_JOIN_REPORT_INIT;
  CHECK_EQ(TR_OK, tr_report_counts(full, &counts));
  CHECK(counts.ended == 0 && counts.aborted == 0 && counts.abandoned == counts.pending);
  read_report(actor, hall, full, counts.pending);
  atomic_fetch_add(&total_explained, 1);
  hall_exit(hall);
}
static void op_show(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  CHECK_EQ(TR_OK, tr_snapshot_write(hall_seen(actor, hall), nowhere, next(actor) % 2 ? TR_FORMAT_TEXT : TR_FORMAT_JSON));
  char text[2048];
  size_t room = next(actor) % (sizeof text + 1), length = 0;
  memset(text, '#', sizeof text);
  tr_status status = tr_snapshot_write_buffer(hall_seen(actor, hall), TR_FORMAT_JSON, text, room, &length);
  CHECK_EQ(room > length ? TR_OK : TR_ERR_TRUNCATED, status);
  for (size_t at = room; at < sizeof text; at++) CHECK_EQ('#', text[at]);
  CHECK(room == 0 || strnlen(text, room) == (room > length ? length : strnlen(text, room)));
  size_t count = 77;
  CHECK_EQ(TR_OK, tr_health(hall_seen(actor, hall), NULL, 0, &count));
  CHECK_EQ(0, count);
  /* Armed by several threads at once: whoever cancels finds one, or another has been there before. */
  if (next(actor) % 4 == 0) {
    tr_status armed = tr_exit_by(INT64_C(86400) * SECOND, NULL);
    CHECK(armed == TR_OK || armed == TR_ERR_AGAIN);
    tr_status cancelled = tr_exit_by_cancel();
    CHECK(cancelled == TR_OK || cancelled == TR_ERR_INVALID);
  }
  tr_status quiet = tr_quiesce(0);
  CHECK(quiet == TR_OK || quiet == TR_ERR_TIMEDOUT || quiet == TR_ERR_CANCELLED);
  hall_exit(hall);
}
static void op_count(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  long accepted = atomic_load(&hall->accepted);
  long live = (long)tr_len(hall_seen(actor, hall));
  CHECK(live >= accepted - atomic_load(&hall->drops));
  hall_exit(hall);
}
static void op_measure(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  tr_registry *registry = hall_seen(actor, hall);
  long accepted = atomic_load(&hall->accepted);
  tr_metrics metrics = TR_METRICS_INIT;
  CHECK_EQ(TR_OK, tr_metrics_read(registry, 0, &metrics));
  CHECK((long)metrics.spawned >= accepted);
  CHECK((long)metrics.ended <= atomic_load(&hall->drops));
  CHECK_EQ(metrics.live, metrics.spawned - metrics.ended);
  tr_ended_task list[TR_RECENT_MOST];
  list[0] = (tr_ended_task)TR_ENDED_TASK_INIT;
  size_t count = 0;
  if (tr_recent(registry, list, TR_RECENT_MOST, &count) == TR_OK) {
    CHECK(metrics.live <= metrics.peak && metrics.run_p50_ns <= metrics.run_max_ns);
    for (size_t i = 0; i < count; i++) {
      unsigned number = 0;
      CHECK_MSG(sscanf(list[i].name, "deed-%u-", &number) == 1, "name \"%s\"", list[i].name);
      CHECK_EQ(TR_KIND_APPLICATION + number, list[i].kind);
      CHECK_STR(hall->above != NULL ? "inner" : "", list[i].group);
      CHECK(list[i].stop_ns <= list[i].ran_ns);
      for (size_t j = 0; j < i; j++) CHECK(list[i].id != list[j].id);
    }
  }
  if (next(actor) % 8 == 0) CHECK_EQ(TR_OK, tr_metrics_write(registry, nowhere, TR_FORMAT_OPENMETRICS));
  if (next(actor) % 8 == 0) {
    tr_metrics_source sources[2] = {TR_METRICS_SOURCE_INIT, TR_METRICS_SOURCE_INIT};
    sources[0].registry = sources[1].registry = registry;
    sources[1].name = "again";
    CHECK_EQ(TR_OK, tr_metrics_write_all(sources, 2, nowhere, TR_FORMAT_OPENMETRICS, 0));
  }
  hall_exit(hall);
}
static void op_tree(struct actor *actor) {
  tr_token *root = tr_token_create(), *middle = tr_token_child(root), *leaf = tr_token_child(middle);
  CHECK(root != NULL && middle != NULL && leaf != NULL);
  tr_token_release(middle);
  int fd = -1, top = next(actor) % 2;
  CHECK_EQ(TR_OK, tr_token_fd(leaf, &fd));
  if (next(actor) % 2)
    CHECK_EQ(1, tr_token_cancel(top ? root : middle, next(actor) % 6, "tree"));
  else
    CHECK_EQ(1, tr_token_abort(top ? root : middle, next(actor) % 6, "tree"));
  CHECK_EQ(top, tr_token_is_cancelled(root));
  CHECK_EQ(TR_OK, tr_token_wait(leaf, FOREVER));
  struct pollfd readable = {fd, POLLIN, 0};
  CHECK_EQ(1, poll(&readable, 1, 0));
  CHECK_EQ(0, tr_token_cancel(leaf, 9, NULL));
  tr_token_release(leaf);
  tr_token_release(root);
}
/* A token with a timeout, which passes, or is given up or cancelled before. */
static void op_timeout(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  tr_token *token = tr_token_child_with_timeout(tr_registry_token(hall->registry), (int64_t)(next(actor) % 5) * MS / 2);
  hall_exit(hall);
  if (token == NULL) return; /* no thread for the timer */
  unsigned way = next(actor) % 3;
  if (way == 0) tr_token_cancel(token, 77, NULL);
  if (way == 1) {
    CHECK_EQ(TR_OK, tr_token_wait(token, FOREVER));
    CHECK(tr_token_reason(token) != 77);
  }
  tr_token_release(token);
}
/* Somebody who waits on the condition variable wakes, or all do. */
static void op_ring(struct actor *actor) {
  pthread_mutex_lock(&bell_lock);
  if (next(actor) % 2) pthread_cond_signal(&bell);
  else pthread_cond_broadcast(&bell);
  pthread_mutex_unlock(&bell_lock);
}
static void call_notice(void *ctx) {
  struct notice *notice = ctx;
  CHECK_EQ(0, atomic_fetch_add(&notice->called, 1));
  atomic_fetch_add(&total_callbacks, 1);
}
static void drop_notice(void *ctx) { CHECK_EQ(0, atomic_fetch_add(&((struct notice *)ctx)->dropped, 1)); }
static void *cancel_token(void *token) {
  tr_token_cancel(token, TR_REASON_RPC_REQUESTED, NULL);
  tr_token_release(token);
  return NULL;
}
/* A callback is taken back while another thread may be cancelling. */
static void op_notice(struct actor *actor) {
  struct notice notice = {NULL, tr_token_create(), 0, 0};
  CHECK(notice.token != NULL);
  tr_registration *registration = NULL;
  pthread_t thread;
  tr_token_retain(notice.token);
  int races = next(actor) % 4 == 0 && pthread_create(&thread, NULL, cancel_token, notice.token) == 0;
  if (!races) {
    if (next(actor) % 2) tr_token_cancel(notice.token, 1, NULL);
    tr_token_release(notice.token);
  }
  tr_status status =
      tr_token_on_cancel(notice.token, call_notice, &notice, drop_notice, &registration);
  CHECK_EQ(status == TR_OK, registration != NULL);
  tr_registration_remove(registration);
  int called = atomic_load(&notice.called);
  CHECK_EQ(1, atomic_load(&notice.dropped));
  if (races) thread_end(thread);
  CHECK_EQ(called, atomic_load(&notice.called));
  tr_token_release(notice.token);
}
/* The same with a task, which others cancel, and its descriptor. */
static void op_task_notice(struct actor *actor) {
  tr_task *task = actor->held[next(actor) % HELD];
  if (task == NULL) return;
  struct notice notice = {NULL, NULL, 0, 0};
  tr_status status = tr_task_on_cancel(task, call_notice, &notice, drop_notice, &notice.registration);
  CHECK(status == TR_OK || (status == TR_ERR_CANCELLED && tr_task_is_cancelled(task)));
  int fd = -1;
  CHECK_EQ(TR_OK, tr_task_fd(task, &fd));
  if (next(actor) % 2) TR_IGNORE(next(actor) % 4 ? tr_task_cancel(task) : tr_task_abort(task));
  int up = tr_task_is_cancelled(task);
  struct pollfd readable = {fd, POLLIN, 0};
  int raised = poll(&readable, 1, 0);
  CHECK(!up || raised == 1 || tr_task_fd(task, &fd) == TR_OK);
  tr_registration_remove(notice.registration);
  CHECK_EQ(1, atomic_load(&notice.dropped));
}
/* What hears of the end of a task. */
struct ending {
  tr_task *task;
  atomic_int called, dropped;
};
static void call_ending(void *ctx) {
  struct ending *ending = ctx;
  tr_outcome outcome = TR_OUTCOME_INIT;
  CHECK_EQ(TR_OK, tr_task_wait(ending->task, 0, &outcome));
  CHECK(outcome.how != 0 && tr_task_self() == NULL);
  CHECK_EQ(0, atomic_fetch_add(&ending->called, 1));
  atomic_fetch_add(&total_callbacks, 1);
}
static void drop_ending(void *ctx) { CHECK_EQ(0, atomic_fetch_add(&((struct ending *)ctx)->dropped, 1)); }
/* One that nobody takes back is heard of before all is shut down. */
static atomic_long total_endings_kept, total_endings_heard;
static void call_kept_ending(void *ctx) {
  call_ending(ctx);
  atomic_fetch_add(&total_endings_heard, 1);
}
static void drop_kept_ending(void *ctx) {
  tr_task_release(((struct ending *)ctx)->task);
  free(ctx);
}
static void keep_ending(tr_task *task) {
  struct ending *kept = calloc(1, sizeof *kept);
  CHECK(kept != NULL);
  kept->task = tr_task_retain(task);
  atomic_fetch_add(&total_endings_kept, 1);
  CHECK_EQ(TR_OK, tr_task_on_end(task, call_kept_ending, kept, drop_kept_ending, NULL));
}
/* A callback for the end of a task that others wait for, or cancel, is taken back. */
static void op_end(struct actor *actor) {
  struct ending ending = {actor->held[next(actor) % HELD], 0, 0};
  if (ending.task == NULL) return;
  tr_registration *registration = NULL;
  CHECK_EQ(TR_OK, tr_task_on_end(ending.task, call_ending, &ending, drop_ending, &registration));
  int is_over = registration == NULL;
  if (is_over) CHECK_EQ(1, atomic_load(&ending.called));
  if (next(actor) % 2) CHECK_EQ(TR_OK, tr_task_cancel(ending.task));
  if (next(actor) % 2) TR_IGNORE(tr_task_wait(ending.task, 1 * MS, NULL));
  if (next(actor) % 2) keep_ending(ending.task);
  uint32_t removal = tr_registration_remove(registration);
  CHECK_EQ(is_over || removal != TR_REMOVAL_NEVER_RUNS, atomic_load(&ending.called));
  CHECK_EQ(1, atomic_load(&ending.dropped));
}
/* The actor's own thread is a task for a moment, while others list, cancel, join and close. */
static void op_adopt(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  tr_task *task = NULL;
  tr_adopt_options options = TR_ADOPT_OPTIONS_INIT;
  /* as lists are checked for the deeds: one without the flag of a clean-up task, and without a checkpoint */
  uint32_t number = (next(actor) >> 8) / 16 * 16;
  char name[64];
  snprintf(name, sizeof name, "deed-%u-%.*s", number, (int)(number % 30), "zyxwvutsrqponmlkjihgfedcbazyxwvu");
  options.phase = phase_of(number);
  if (next(actor) % 2) options.heartbeat_ns = 3600 * SECOND;
  tr_status status = tr_adopt(hall->registry, name, TR_KIND_APPLICATION + number, &options, &task);
  if (status == TR_OK) { /* in the books as a task with a body and a drop */
    atomic_fetch_add(&hall->users, 1);
    atomic_fetch_add(&hall->accepted, 1);
    atomic_fetch_add(&hall->bodies, 1);
  }
  hall_exit(hall);
  CHECK(status == TR_OK || status == TR_ERR_CLOSED || status == TR_ERR_LIMIT || status == TR_ERR_AGAIN ||
        status == TR_ERR_NOMEM);
  if (status != TR_OK) return;
  CHECK(tr_task_self() == task);
  if (next(actor) % 2) TR_IGNORE(tr_sleep(MS / 10));
  atomic_fetch_add(&hall->drops, 1);
  CHECK_EQ(TR_OK, next(actor) % 2 ? tr_leave() : tr_leave_with(0));
  hall_leave(hall);
  CHECK(tr_task_self() == NULL);
  CHECK_EQ(TR_OK, tr_task_wait(task, 0, NULL));
  tr_task_release(task);
}
/* Another reference to a registry's token, and waits on it. */
static void op_token(struct actor *actor) {
  struct hall *hall = hall_enter(actor);
  tr_token *token = tr_token_retain(tr_registry_token(hall->registry));
  tr_token *child = tr_token_child(token);
  CHECK(child != NULL);
  hall_exit(hall);
  tr_status status = tr_token_wait(child, (int64_t)(next(actor) % 2) * MS / 4);
  CHECK(status == TR_OK || status == TR_ERR_TIMEDOUT);
  CHECK(status != TR_OK || tr_token_reason(child) != 0);
  tr_token_release(token);
  tr_token_release(child);
}
#ifdef SOAK_FAULTS
/* For a moment, some of the process's threads cannot be made. */
static void op_fault(struct actor *actor) {
  fault_every((int)(next(actor) % 5) + 1, EAGAIN);
  breathe();
  fault_none();
}
#endif

/* What there is to do, and how often. A new operation is a function and a line here. */
static const struct {
  const char *name;
  unsigned weight;
  void (*apply)(struct actor *actor);
} operations[] = {
    {"spawn", 120, op_spawn},   {"cancel", 20, op_cancel},          {"wait", 30, op_wait}, {"named wait", 10, op_named_wait},
    {"let go", 20, op_let_go},  {"join", 12, op_join},              {"close", 3, op_close},
    {"abandon", 2, op_abandon}, {"list", 15, op_list},              {"count", 15, op_count},
    {"tree", 10, op_tree},      {"notice", 12, op_notice},          {"task notice", 10, op_task_notice}, {"end", 10, op_end},
    {"token", 8, op_token},     {"adopt", 20, op_adopt},     {"timeout", 10, op_timeout},        {"ring", 6, op_ring},
    {"wait for all", 8, op_registry_wait}, {"measure", 10, op_measure}, {"explain", 2, op_explain},        {"show", 4, op_show},
#ifdef SOAK_FAULTS
    {"fault", 1, op_fault},
#endif
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

/* ---- The whole ----------------------------------------------------------------------------- */

/* Works until told to stop, lets go of everything, waits for the books, and goes on. */
static void *act(void *argument) {
  struct actor *actor = argument;
  unsigned sum = 0;
  for (int i = 0; i < OPERATIONS; i++) sum += operations[i].weight;
  while (1) {
    while (!atomic_load(&stops)) {
      unsigned at = next(actor) % sum;
      int which = 0;
      while (at >= operations[which].weight) at -= operations[which++].weight;
      operations[which].apply(actor);
      actor->operations++;
    }
    for (int i = 0; i < HELD; i++) {
      tr_task_release(actor->held[i]);
      actor->held[i] = NULL;
    }
    pthread_barrier_wait(&pause_begins);
    pthread_barrier_wait(&pause_ends);
    if (atomic_load(&stops) == 2) return NULL;
  }
}

static int descriptor_count(void) {
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  int count = -3; /* ".", "..", and the directory's own */
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

/* For whoever looks at a run that failed: what the open descriptors are. */
static void list_descriptors(void) {
  DIR *directory = opendir("/proc/self/fd");
  for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
    char path[300], link[256];
    snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
    ssize_t length = readlink(path, link, sizeof link - 1);
    if (length > 0) printf("soak: descriptor %s is %.*s\n", entry->d_name, (int)length, link);
  }
  if (directory != NULL) closedir(directory);
  fflush(stdout);
}

static void open_halls(struct actor *keeper) {
  for (int i = 0; i < HALLS; i++) halls[i] = hall_new(keeper);
}
/* With all actors at rest: shut everything down and wait until what was let go of is gone, too. */
static void close_halls(struct actor *keeper, int threads) {
  for (int i = 0; i < HALLS; i++) hall_close(keeper, halls[i]);
  threads_settle(threads, 20 * AT_ONCE);
  /* whoever makes or releases a registry frees those that were let go of with tasks alive (G3) */
  for (int i = 0; i < 2; i++) registry_finish(registry_new());
}

/* Bytes that malloc has given out and not got back. */
static size_t memory_in_use(void) {
#if __GLIBC_PREREQ(2, 33)
  struct mallinfo2 info = mallinfo2();
#else
  struct mallinfo info = mallinfo(); /* counts in int, which a soak does not fill */
#endif
  return (size_t)info.uordblks + (size_t)info.hblkhd;
}

int main(int argc, char **argv) {
  int64_t seconds = argc > 1 ? atoll(argv[1]) : 0;
  uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)wall_ns();
  if (seconds <= 0) {
    fprintf(stderr, "usage: soak SECONDS [SEED]\n");
    return 2;
  }
  mallopt(M_ARENA_MAX, 1); /* mallinfo2 tells of the first alone */
  check_current = "soak";
  check_scale();
  check_watch();
  printf("soak: %lld s, seed %llu\n", (long long)seconds, (unsigned long long)seed);
  fflush(stdout);
  CHECK_EQ(0, pipe2(pipe_ends, O_CLOEXEC));
  CHECK_EQ(TR_OK, tr_install_cancel_signal(CANCEL_SIGNAL));
  CHECK_EQ(TR_OK, tr_enable_backtraces(BACKTRACE_SIGNAL));
  nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  CHECK(nowhere >= 0);
  int baseline = thread_baseline() + THREADS;
  struct actor keeper = {.random = seed};
  open_halls(&keeper);
  CHECK_EQ(0, pthread_barrier_init(&pause_begins, NULL, THREADS + 1));
  CHECK_EQ(0, pthread_barrier_init(&pause_ends, NULL, THREADS + 1));
  pthread_t threads[THREADS];
  atomic_store(&stops, 1); /* nobody refuses a thread before all of them exist */
  for (int i = 0; i < THREADS; i++) {
    actors[i].random = seed + (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15) + 1;
    threads[i] = thread_start(act, &actors[i]);
  }
  pthread_barrier_wait(&pause_begins);
  atomic_store(&stops, 0);
  pthread_barrier_wait(&pause_ends);
  int64_t start = now_ns(), end = start + seconds * SECOND, at = start;
  int descriptors = -1, rounds = 0;
  size_t memory = 0;
  while (at < end) {
    int64_t span = (rounds == 0 ? 2 : 10) * SECOND; /* the first round warms up */
    int64_t until = now_ns() + (end - at < span ? end - at : span);
    while (now_ns() < until) breathe();
    at = now_ns();
    check_watch();
    atomic_store(&stops, 1);
    pthread_barrier_wait(&pause_begins);
    close_halls(&keeper, baseline);
    CHECK_EQ(atomic_load(&total_endings_kept), atomic_load(&total_endings_heard));
    int now_open = descriptor_count();
    size_t used = memory_in_use();
    long operations_done = 0;
    for (int i = 0; i < THREADS; i++) operations_done += actors[i].operations;
    printf("soak: %5lld s  %ld operations, %ld spawned, %ld rejected (%ld for want of a thread), %ld joins with %ld stragglers, "
           "%ld listed, %ld callbacks, %ld explained with %ld backtraces, %ld late; %d threads, %d descriptors, %zu KiB\n",
           (long long)((at - start) / SECOND), operations_done, atomic_load(&total_spawned),
           atomic_load(&total_rejected), atomic_load(&total_threadless), atomic_load(&total_joins), atomic_load(&total_stragglers),
           atomic_load(&total_listed), atomic_load(&total_callbacks), atomic_load(&total_explained),
           atomic_load(&total_backtraces), atomic_load(&total_late), thread_count(), now_open, used >> 10);
    fflush(stdout);
    if (descriptors < 0) descriptors = now_open;
    if (now_open != descriptors) {
      list_descriptors();
      printf("soak: after another second there are ");
      usleep(1000000);
      for (int i = 0; i < 2; i++) registry_finish(registry_new()); /* as in close_halls */
      printf("%d descriptors, %zu KiB\n", descriptor_count(), memory_in_use() >> 10);
      fflush(stdout);
    }
    CHECK_EQ(descriptors, now_open);
    /* A tool has an allocator of its own, which mallinfo2 knows nothing of. */
    if (++rounds == 1) memory = used;
    if (!check_under_a_tool()) CHECK_MSG(used <= memory + (256 << 10), "memory grew from %zu to %zu", memory, used);
    if (at < end) {
      open_halls(&keeper);
      atomic_store(&stops, 0);
    } else {
      atomic_store(&stops, 2);
    }
    check_watch();
    pthread_barrier_wait(&pause_ends);
  }
  for (int i = 0; i < THREADS; i++) thread_end(threads[i]);
  threads_settle(baseline - THREADS, AT_ONCE);
  printf("soak: all rules kept, seed %llu\n", (unsigned long long)seed);
  return 0;
}
