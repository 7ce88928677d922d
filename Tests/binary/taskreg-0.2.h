#ifndef TASKREG_H
#define TASKREG_H 
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h>
#ifdef __cplusplus
extern "C" {
#endif
#if defined(__GNUC__) || defined(__clang__)
#define TASKREG_MUST_USE __attribute__((warn_unused_result))
#else
#define TASKREG_MUST_USE 
#endif
#define TR_IGNORE(call) \
  do { \
    if ((call) != 0) { \
    } \
  } while (0)
#define TR_VERSION 0x000200u
typedef int32_t tr_status;
enum {
  TR_OK = 0,
  TR_ERR_INVALID = -1,
  TR_ERR_NOMEM = -2,
  TR_ERR_AGAIN = -3,
  TR_ERR_LIMIT = -4,
  TR_ERR_CLOSED = -5,
  TR_ERR_DEADLINE = -6,
  TR_ERR_TIMEDOUT = -7,
  TR_ERR_CANCELLED = -8,
  TR_ERR_DEADLOCK = -9,
  TR_ERR_FORKED = -10,
  TR_ERR_SYSTEM = -11,
  TR_ERR_TRUNCATED = -12,
  TR_ERR_STALLED = -13
};
const char *tr_strerror(tr_status status);
const char *tr_error_detail(void);
uint32_t tr_version(void);
#define TR_FOREVER -1LL
#define TR_SECONDS(n) ((int64_t)((n) * INT64_C(1000000000)))
#define TR_MILLISECONDS(n) ((int64_t)((n) * INT64_C(1000000)))
#define TR_MICROSECONDS(n) ((int64_t)((n) * INT64_C(1000)))
typedef struct tr_token tr_token;
typedef struct tr_registry tr_registry;
typedef struct tr_task tr_task;
typedef struct tr_report tr_report;
typedef uint32_t tr_kind;
enum {
  TR_KIND_BACKGROUND_LOOP = 1,
  TR_KIND_PEER_CONNECTION = 2,
  TR_KIND_RPC_HANDLER = 3,
  TR_KIND_MAINTENANCE = 4,
  TR_KIND_APPLICATION = 0x100
};
typedef uint32_t tr_reason;
enum {
  TR_REASON_NONE = 0,
  TR_REASON_USER_REQUESTED = 1,
  TR_REASON_RPC_REQUESTED = 2,
  TR_REASON_RELOAD_REQUESTED = 3,
  TR_REASON_REQUESTED_BY_RUN = 4,
  TR_REASON_FATAL = 5,
  TR_REASON_DEADLINE = 6
};
enum {
  TR_STATE_STARTING = 1,
  TR_STATE_RUNNING = 2,
  TR_STATE_CANCELLING = 3,
  TR_STATE_ABANDONED = 4,
  TR_STATE_ENDED = 5,
  TR_STATE_WAITING = 6
};
typedef int (*tr_task_fn)(tr_task *self, void *ctx);
typedef void (*tr_drop_fn)(void *ctx);
enum {
  TR_LOG_INFO = 1,
  TR_LOG_WARNING = 2,
  TR_LOG_ERROR = 3
};
enum {
  TR_EVENT_TASK_FAILED = 1,
  TR_EVENT_TASK_EXITED = 2,
  TR_EVENT_DEADLINE_EXCEEDED = 3,
  TR_EVENT_SPAWN_REJECTED = 4,
  TR_EVENT_DEADLINE_NEAR = 5,
  TR_EVENT_DEADLINE_EXTENDED = 6,
  TR_EVENT_TASK_LATE = 7,
  TR_EVENT_TASK_STALLED = 8,
  TR_EVENT_TASK_RECOVERED = 9,
  TR_EVENT_INVALID_CALL = 10,
  TR_EVENT_SHORT_GRACE = 11,
  TR_EVENT_SYSTEMD_UNREACHABLE = 12,
  TR_EVENT_SIGNAL_LOST = 13,
  TR_EVENT_STALL_EXPLAINED = 14,
  TR_EVENT_STALL_ABORTED = 15,
  TR_EVENT_DEADLOCK = 16,
  TR_EVENT_TASK_RESTARTING = 17,
  TR_EVENT_TASK_OVERRUN = 18,
  TR_EVENT_SCHEDULING_REFUSED = 19
};
typedef struct tr_log_event {
  uint32_t size;
  uint32_t level;
  uint32_t event;
  tr_kind kind;
  uint64_t task_id;
  const char *task;
  const char *message;
  int32_t code;
  uint32_t reserved;
} tr_log_event;
typedef void (*tr_log_fn)(void *log_context, const tr_log_event *event);
const char *tr_kind_name(tr_kind kind);
const char *tr_state_name(uint32_t state);
const char *tr_reason_name(tr_reason reason);
const char *tr_event_name(uint32_t event);
const char *tr_ended_name(uint32_t how);
tr_status tr_kind_set_name(tr_kind kind, const char *name) TASKREG_MUST_USE;
tr_token *tr_token_create(void);
tr_token *tr_token_child(tr_token *parent);
tr_token *tr_token_child_with_timeout(tr_token *parent, int64_t timeout_ns);
tr_token *tr_token_create_with_timeout(int64_t timeout_ns);
tr_token *tr_token_retain(tr_token *token);
void tr_token_release(tr_token *token);
int tr_token_cancel(tr_token *token, tr_reason reason, const char *message);
enum {
  TR_STOP_NONE = 0,
  TR_STOP_DRAIN = 1,
  TR_STOP_ABORT = 2
};
int tr_token_abort(tr_token *token, tr_reason reason, const char *message);
uint32_t tr_token_stop_level(const tr_token *token);
int tr_token_is_cancelled(const tr_token *token);
tr_reason tr_token_reason(const tr_token *token);
int tr_reason_is_graceful(tr_reason reason);
size_t tr_token_message(const tr_token *token, char *buffer, size_t capacity);
tr_status tr_token_wait(tr_token *token, int64_t timeout_ns) TASKREG_MUST_USE;
#define TR_TOKENS_MOST 64u
tr_status tr_token_wait_any(tr_token *const *tokens, size_t count, int64_t timeout_ns,
                            size_t *index) TASKREG_MUST_USE;
#define TR_SPIN_NS_DEFAULT 5000
#define TR_SPIN_NEVER -1LL
enum {
  TR_LADDER_NOTHING = 0,
  TR_LADDER_ABORT_TASK = 1,
  TR_LADDER_END_PROCESS = 2
};
typedef struct tr_ladder_options {
  uint32_t size;
  uint32_t last_step;
  int64_t explain_after_ns;
  int64_t last_after_ns;
  int32_t explain_fd;
  uint32_t reserved;
} tr_ladder_options;
#define TR_LADDER_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_ladder_options), 0u, 0, 0, 0, 0u }
typedef struct tr_registry_options {
  uint32_t size;
  uint32_t flags;
  tr_token *token;
  uint64_t max_tasks;
  uint64_t stack_size;
  int64_t abort_grace_ns;
  tr_log_fn log;
  void *log_context;
  int64_t spin_ns;
  int64_t idle_ns;
  uint32_t idle_threads;
  uint32_t reserved;
  const sigset_t *blocked_signals;
  const int *blocked_signal_numbers;
  size_t blocked_signal_count;
  const tr_ladder_options *ladder;
  tr_drop_fn log_drop;
  const char *name;
} tr_registry_options;
#define TR_REGISTRY_METRICS 0x1u
#define TR_REGISTRY_NO_DESCRIPTORS 0x2u
#define TR_REGISTRY_REPORT_THREADS 0x4u
#define TR_NO_ABORT_GRACE -2LL
#define TR_IDLE_THREADS_NONE 0xFFFFFFFFu
#define TR_REGISTRY_OPTIONS_INIT \
  { \
    (uint32_t)sizeof(tr_registry_options), 0u, NULL, 0u, 0u, 0, NULL, NULL, 0, 0, 0u, 0u, NULL, \
        NULL, 0u, NULL, NULL, NULL \
  }
tr_status tr_registry_create(const tr_registry_options *options, tr_registry **out)
    TASKREG_MUST_USE;
tr_status tr_registry_child(tr_registry *parent, const char *name,
                            const tr_registry_options *options, tr_registry **out) TASKREG_MUST_USE;
tr_registry *tr_registry_retain(tr_registry *registry);
void tr_registry_release(tr_registry *registry);
tr_status tr_registry_close(tr_registry *registry) TASKREG_MUST_USE;
int tr_registry_is_closed(const tr_registry *registry);
tr_token *tr_registry_token(tr_registry *registry);
#define TR_SPAWN_CLEANUP 0x1u
#define TR_SPAWN_FRESH_THREAD 0x2u
#define TR_SPAWN_ESSENTIAL 0x4u
#define TR_SPAWN_ESSENTIAL_ON_FAILURE 0x8u
#define TR_SPAWN_UNJOINED 0x10u
enum {
  TR_RESTART_NEVER = 0,
  TR_RESTART_ON_FAILURE = 1,
  TR_RESTART_ALWAYS = 2
};
#define TR_RESTARTS_MOST 64u
typedef struct tr_restart_options {
  uint32_t size;
  uint32_t policy;
  int64_t min_delay_ns;
  int64_t max_delay_ns;
  uint32_t factor_percent;
  uint32_t jitter_percent;
  int64_t healthy_ns;
  int64_t window_ns;
  uint32_t max_restarts;
  uint32_t reserved;
} tr_restart_options;
#define TR_RESTART_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_restart_options), 0u, 0, 0, 0u, 0u, 0, 0, 0u, 0u }
typedef struct tr_spawn_options {
  uint32_t size;
  uint32_t flags;
  tr_drop_fn drop;
  uint64_t stack_size;
  int32_t cancel_signal;
  uint32_t phase;
  int64_t heartbeat_ns;
  const char *thread_name;
  int64_t room_wait_ns;
  const tr_restart_options *restart;
  uint32_t sched_policy;
  uint32_t sched_priority;
  int32_t nice_added;
  uint32_t cpu_words;
  const uint64_t *cpus;
} tr_spawn_options;
enum {
  TR_SCHED_DEFAULT = 0,
  TR_SCHED_OTHER = 1,
  TR_SCHED_BATCH = 2,
  TR_SCHED_IDLE = 3,
  TR_SCHED_FIFO = 4,
  TR_SCHED_RR = 5
};
#define TR_PHASES 8u
#define TR_SPAWN_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_spawn_options), 0u, NULL, 0u, 0, 0u, 0, NULL, 0, NULL, 0u, 0u, 0, 0u, NULL }
tr_status tr_spawn(tr_registry *registry, const char *name, tr_kind kind, tr_task_fn body,
                   void *ctx, tr_task **out) TASKREG_MUST_USE;
tr_status tr_spawn_with(tr_registry *registry, const char *name, tr_kind kind, tr_task_fn body,
                        void *ctx, const tr_spawn_options *options, tr_task **out) TASKREG_MUST_USE;
tr_status tr_wait_room(tr_registry *registry, int64_t timeout_ns) TASKREG_MUST_USE;
tr_status tr_registry_set_max_tasks(tr_registry *registry, uint64_t max_tasks) TASKREG_MUST_USE;
enum {
  TR_MISSED_SKIP = 0,
  TR_MISSED_BURST = 1,
  TR_MISSED_DELAY = 2
};
#define TR_SCHEDULE_FROM_END 1u
#define TR_SCHEDULE_ENDS_ON_FAILURE 2u
typedef struct tr_schedule {
  uint32_t size;
  uint32_t flags;
  int64_t period_ns;
  int64_t first_delay_ns;
  uint32_t missed;
  uint32_t jitter_percent;
} tr_schedule;
#define TR_SCHEDULE_INIT \
  { (uint32_t)sizeof(tr_schedule), 0u, 0, 0, 0u, 0u }
tr_status tr_spawn_every(tr_registry *registry, const char *name, tr_kind kind, tr_task_fn body,
                         void *ctx, const tr_schedule *schedule, const tr_spawn_options *options,
                         tr_task **out) TASKREG_MUST_USE;
tr_status tr_task_trigger(tr_task *task) TASKREG_MUST_USE;
tr_status tr_task_pause(tr_task *task) TASKREG_MUST_USE;
tr_status tr_task_resume(tr_task *task) TASKREG_MUST_USE;
tr_status tr_task_set_period(tr_task *task, int64_t period_ns) TASKREG_MUST_USE;
#define TR_ADOPT_JOINS_OTHERS 0x100u
typedef struct tr_adopt_options {
  uint32_t size;
  uint32_t flags;
  uint32_t phase;
  uint32_t reserved;
  int64_t heartbeat_ns;
} tr_adopt_options;
#define TR_ADOPT_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_adopt_options), 0u, 0u, 0u, 0 }
tr_status tr_adopt(tr_registry *registry, const char *name, tr_kind kind,
                   const tr_adopt_options *options, tr_task **out) TASKREG_MUST_USE;
tr_status tr_leave(void) TASKREG_MUST_USE;
tr_status tr_leave_with(int32_t code) TASKREG_MUST_USE;
typedef struct tr_task_summary {
  uint32_t size;
  uint32_t state;
  uint64_t id;
  char name[64];
  tr_kind kind;
  int32_t thread_id;
  int64_t spawned_at_ns;
  int64_t spawned_at_unix_ns;
  int64_t age_ns;
  uint32_t cancel_requested;
  uint32_t flags;
  int64_t cancel_requested_at_ns;
  const char *checkpoint;
  uint64_t progress_done;
  uint64_t progress_total;
  const char *progress_unit;
  int64_t progress_at_ns;
  uint32_t phase;
  uint32_t stalled;
  uint32_t stop_level;
  uint32_t library_wait;
  int64_t draining_for_ns;
  int64_t library_waited_ns;
  char group[128];
  char label[128];
  uint64_t runs;
  int64_t starts_in_ns;
  uint32_t last_how;
  int32_t last_code;
  uint64_t parent_id;
  uint64_t spawn_address;
} tr_task_summary;
#define TR_TASK_SUMMARY_INIT \
  { \
    (uint32_t)sizeof(tr_task_summary), 0u, 0u, {0}, 0u, 0, 0, 0, 0, 0u, 0u, 0, NULL, 0u, 0u, NULL, \
        0, 0u, 0u, 0u, 0u, 0, 0, {0}, {0}, 0u, 0, 0u, 0, 0u, 0u \
  }
size_t tr_len(const tr_registry *registry);
int tr_is_empty(const tr_registry *registry);
tr_status tr_snapshot(tr_registry *registry, tr_task_summary *buffer, size_t capacity,
                      size_t *count) TASKREG_MUST_USE;
typedef struct tr_join_report {
  uint32_t size;
  uint32_t threads_left;
  uint64_t ended;
  uint64_t failed;
  uint64_t exited;
  uint64_t pending;
  uint64_t aborted;
  uint64_t abandoned;
  uint64_t rejected;
  int64_t elapsed_ns;
  tr_task_summary *stragglers;
  uint64_t stragglers_capacity;
  uint64_t stragglers_count;
  int64_t extended_ns;
  tr_report **full;
  int64_t callbacks_ns;
  uint64_t ended_before;
  uint64_t failed_before;
  uint64_t exited_before;
  uint64_t unjoined;
} tr_join_report;
#define TR_JOIN_REPORT_INIT \
  { \
    (uint32_t)sizeof(tr_join_report), 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0, NULL, 0u, 0u, 0, NULL, 0, \
        0u, 0u, 0u, 0u \
  }
tr_status tr_join_all(tr_registry *registry, int64_t timeout_ns, tr_join_report *report)
    TASKREG_MUST_USE;
tr_status tr_join_all_report(tr_registry *registry, int64_t timeout_ns, tr_report **report)
    TASKREG_MUST_USE;
tr_status tr_registry_wait(tr_registry *registry, int64_t timeout_ns) TASKREG_MUST_USE;
tr_status tr_shutdown(tr_registry *registry, tr_reason reason, const char *message,
                      int64_t grace_ns, tr_join_report *report) TASKREG_MUST_USE;
typedef void (*tr_phase_fn)(void *context, uint32_t phase, uint64_t tasks);
typedef struct tr_shutdown_options {
  uint32_t size;
  uint32_t warn_percent;
  int64_t max_grace_ns;
  int64_t progress_window_ns;
  uint32_t phase_share[TR_PHASES];
  int64_t phase_max_grace_ns[TR_PHASES];
  tr_phase_fn on_phase_begin;
  tr_phase_fn on_phase_end;
  void *phase_context;
} tr_shutdown_options;
#define TR_WARN_NEVER 0xFFFFFFFFu
#define TR_SHUTDOWN_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_shutdown_options), 0u, 0, 0, {0}, {0}, NULL, NULL, NULL }
tr_status tr_shutdown_with(tr_registry *registry, tr_reason reason, const char *message,
                           int64_t grace_ns, const tr_shutdown_options *options,
                           tr_join_report *report) TASKREG_MUST_USE;
tr_status tr_shutdown_report(tr_registry *registry, tr_reason reason, const char *message,
                             int64_t grace_ns, const tr_shutdown_options *options,
                             tr_report **report) TASKREG_MUST_USE;
enum {
  TR_ENDED_RETURNED = 1,
  TR_ENDED_FAILED = 2,
  TR_ENDED_EXITED = 3
};
typedef struct tr_outcome {
  uint32_t size;
  uint32_t how;
  int32_t code;
  uint32_t was_cancelled;
  char message[128];
} tr_outcome;
#define TR_OUTCOME_INIT \
  { (uint32_t)sizeof(tr_outcome), 0u, 0, 0u, {0} }
tr_task *tr_task_self(void);
tr_task *tr_task_retain(tr_task *task);
void tr_task_release(tr_task *task);
uint64_t tr_task_id(const tr_task *task);
size_t tr_task_name(const tr_task *task, char *buffer, size_t capacity);
tr_kind tr_task_kind(const tr_task *task);
uint32_t tr_task_phase(const tr_task *task);
tr_status tr_task_set_data(tr_task *task, void *data) TASKREG_MUST_USE;
void *tr_task_data(const tr_task *task);
int tr_task_is_cancelled(const tr_task *task);
uint32_t tr_task_stop_level(const tr_task *task);
const uint32_t *tr_task_cancel_flag(const tr_task *task);
tr_status tr_task_cancel(tr_task *task) TASKREG_MUST_USE;
tr_status tr_task_abort(tr_task *task) TASKREG_MUST_USE;
tr_status tr_begin_drain(void) TASKREG_MUST_USE;
tr_status tr_shield_begin(void) TASKREG_MUST_USE;
tr_status tr_shield_end(void) TASKREG_MUST_USE;
tr_token *tr_task_token(tr_task *task);
tr_status tr_task_set_message(tr_task *task, const char *message) TASKREG_MUST_USE;
tr_status tr_task_set_message_lossy(tr_task *task, const char *message) TASKREG_MUST_USE;
tr_status tr_task_wait(tr_task *task, int64_t timeout_ns, tr_outcome *outcome) TASKREG_MUST_USE;
tr_status tr_sleep(int64_t duration_ns) TASKREG_MUST_USE;
#define TR_SIGNALS_HUP_RELOADS 0x1u
enum {
  TR_SIGNAL_STOP = 0,
  TR_SIGNAL_STOP_NOW = 1,
  TR_SIGNAL_RELOAD = 2,
  TR_SIGNAL_EXPLAIN = 3
};
typedef struct tr_signal_role {
  int32_t signal_number;
  uint32_t role;
  tr_reason reason;
  int32_t fd;
} tr_signal_role;
typedef struct tr_signal_options {
  uint32_t size;
  uint32_t flags;
  int64_t debounce_ns;
  const tr_signal_role *roles;
  uint64_t roles_count;
} tr_signal_options;
#define TR_NO_DEBOUNCE -2LL
#define TR_SIGNAL_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_signal_options), 0u, 0, NULL, 0u }
tr_status tr_signal_watch_start(tr_registry *registry, const sigset_t *set,
                                const tr_signal_options *options) TASKREG_MUST_USE;
tr_status tr_signal_watch_start_array(tr_registry *registry, const int *signals, size_t count,
                                      const tr_signal_options *options) TASKREG_MUST_USE;
tr_status tr_signal_watch_stop(tr_registry *registry) TASKREG_MUST_USE;
tr_status tr_signal_watch_move(tr_registry *from, tr_registry *to) TASKREG_MUST_USE;
int tr_signal_watch_pending(void);
tr_status tr_request_shutdown(tr_token *token, tr_reason reason) TASKREG_MUST_USE;
tr_status tr_wait_cancelled(int64_t timeout_ns) TASKREG_MUST_USE;
tr_status tr_wait_fd(int fd, short events, int64_t timeout_ns) TASKREG_MUST_USE;
tr_status tr_wait_fds(struct pollfd *fds, size_t count, int64_t timeout_ns) TASKREG_MUST_USE;
tr_status tr_task_sleep(tr_task *task, int64_t duration_ns) TASKREG_MUST_USE;
tr_status tr_task_wait_cancelled(tr_task *task, int64_t timeout_ns) TASKREG_MUST_USE;
tr_status tr_task_wait_fd(tr_task *task, int fd, short events, int64_t timeout_ns)
    TASKREG_MUST_USE;
tr_status tr_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t timeout_ns)
    TASKREG_MUST_USE;
tr_status tr_cond_wait_token(pthread_cond_t *cond, pthread_mutex_t *mutex, tr_token *token,
                             int64_t timeout_ns) TASKREG_MUST_USE;
tr_status tr_install_cancel_signal(int signal_number) TASKREG_MUST_USE;
tr_status tr_acknowledge_cancel(void) TASKREG_MUST_USE;
tr_status tr_token_fd(tr_token *token, int *fd) TASKREG_MUST_USE;
tr_status tr_task_fd(tr_task *task, int *fd) TASKREG_MUST_USE;
tr_status tr_token_abort_fd(tr_token *token, int *fd) TASKREG_MUST_USE;
tr_status tr_task_abort_fd(tr_task *task, int *fd) TASKREG_MUST_USE;
typedef struct tr_registration tr_registration;
typedef void (*tr_cancel_fn)(void *ctx);
tr_status tr_token_on_cancel(tr_token *token, tr_cancel_fn fn, void *ctx, tr_drop_fn drop,
                             tr_registration **registration) TASKREG_MUST_USE;
tr_status tr_task_on_cancel(tr_task *task, tr_cancel_fn fn, void *ctx, tr_drop_fn drop,
                            tr_registration **registration) TASKREG_MUST_USE;
tr_status tr_token_on_abort(tr_token *token, tr_cancel_fn fn, void *ctx, tr_drop_fn drop,
                            tr_registration **registration) TASKREG_MUST_USE;
tr_status tr_task_on_abort(tr_task *task, tr_cancel_fn fn, void *ctx, tr_drop_fn drop,
                           tr_registration **registration) TASKREG_MUST_USE;
typedef void (*tr_end_fn)(void *ctx);
tr_status tr_task_on_end(tr_task *task, tr_end_fn fn, void *ctx, tr_drop_fn drop,
                         tr_registration **registration) TASKREG_MUST_USE;
enum {
  TR_REMOVAL_NEVER_RUNS = 0,
  TR_REMOVAL_HAS_RUN = 1,
  TR_REMOVAL_WAITED = 2
};
uint32_t tr_registration_remove(tr_registration *registration);
tr_status tr_checkpoint(const char *where) TASKREG_MUST_USE;
tr_status tr_label(const char *text) TASKREG_MUST_USE;
tr_status tr_progress(uint64_t done, uint64_t total, const char *unit) TASKREG_MUST_USE;
tr_status tr_heartbeat(void) TASKREG_MUST_USE;
#define TR_HEARTBEAT_EXCEPT_WAITS 0x1u
tr_status tr_heartbeat_promise(tr_registry *registry, int64_t interval_ns, uint32_t flags)
    TASKREG_MUST_USE;
tr_status tr_heartbeat_pause(void) TASKREG_MUST_USE;
tr_status tr_heartbeat_resume(void) TASKREG_MUST_USE;
tr_status tr_health(tr_registry *registry, tr_task_summary *buffer, size_t capacity,
                    size_t *count) TASKREG_MUST_USE;
#define TR_REPORT_MOST 65536u
enum {
  TR_DIAGNOSIS_UNKNOWN = 0,
  TR_DIAGNOSIS_STARTING = 1,
  TR_DIAGNOSIS_BLOCKED = 2,
  TR_DIAGNOSIS_SPINNING = 3,
  TR_DIAGNOSIS_WORKING = 4,
  TR_DIAGNOSIS_PROGRESSING = 5,
  TR_DIAGNOSIS_STOPPED = 6,
  TR_DIAGNOSIS_ENDED = 7,
  TR_DIAGNOSIS_IDLE = 8,
  TR_DIAGNOSIS_WAITING = 9
};
enum {
  TR_LIBRARY_WAIT_NONE = 0,
  TR_LIBRARY_WAIT_TIME = 1,
  TR_LIBRARY_WAIT_CANCEL = 2,
  TR_LIBRARY_WAIT_DESCRIPTOR = 3,
  TR_LIBRARY_WAIT_CONDITION = 4,
  TR_LIBRARY_WAIT_TASK = 5,
  TR_LIBRARY_WAIT_TASKS = 6,
  TR_LIBRARY_WAIT_TOKEN = 7,
  TR_LIBRARY_WAIT_ROOM = 8,
  TR_LIBRARY_WAIT_DESCRIPTORS = 9
};
enum {
  TR_DESCRIPTOR_NOT_KNOWN = 1,
  TR_DESCRIPTOR_FILE = 2,
  TR_DESCRIPTOR_DEVICE = 3,
  TR_DESCRIPTOR_TERMINAL = 4,
  TR_DESCRIPTOR_PIPE = 5,
  TR_DESCRIPTOR_TCP = 6,
  TR_DESCRIPTOR_UDP = 7,
  TR_DESCRIPTOR_UNIX = 8,
  TR_DESCRIPTOR_SOCKET = 9,
  TR_DESCRIPTOR_EVENTFD = 10,
  TR_DESCRIPTOR_TIMERFD = 11,
  TR_DESCRIPTOR_EPOLL = 12,
  TR_DESCRIPTOR_SIGNALFD = 13,
  TR_DESCRIPTOR_INOTIFY = 14,
  TR_DESCRIPTOR_OTHER = 15
};
enum {
  TR_WAITS_UNKNOWN = 0,
  TR_WAITS_NOTHING = 1,
  TR_WAITS_MUTEX = 2,
  TR_WAITS_RWLOCK = 3,
  TR_WAITS_SIGNAL = 4,
  TR_WAITS_THREAD = 5,
  TR_WAITS_DESCRIPTOR = 6,
  TR_WAITS_DESCRIPTORS = 7,
  TR_WAITS_FILE_LOCK = 8,
  TR_WAITS_CHILD = 9,
  TR_WAITS_TIME = 10,
  TR_WAITS_TASK = 11,
  TR_WAITS_TASKS = 12,
  TR_WAITS_TOKEN = 13,
  TR_WAITS_STOP = 14,
  TR_WAITS_ROOM = 15
};
enum {
  TR_GAP_NONE = 0,
  TR_GAP_UNREAD = 1,
  TR_GAP_OUTSIDE = 2,
  TR_GAP_CALL = 3,
  TR_GAP_FOREIGN = 4,
  TR_GAP_UNLIKE = 5,
  TR_GAP_SHARED = 6,
  TR_GAP_OWNERLESS = 7,
  TR_GAP_OWNER_GONE = 8,
  TR_GAP_CHANGED = 9,
  TR_GAP_UNMAPPED = 10,
  TR_GAP_FORBIDDEN = 11,
  TR_GAP_OTHER_LIBRARY = 12,
  TR_GAP_UNTESTED = 13,
  TR_GAP_NO_THREAD = 14
};
typedef struct tr_straggler {
  uint32_t size;
  uint32_t diagnosis;
  uint64_t id;
  char name[64];
  tr_kind kind;
  int32_t thread_id;
  uint32_t state;
  uint32_t phase;
  int64_t age_ns;
  int64_t cancel_requested_for_ns;
  int64_t cpu_ns;
  int64_t cpu_since_ns;
  int64_t cpu_since_span_ns;
  uint32_t cancel_checks;
  uint32_t reads_flag_directly;
  char scheduler_state;
  char wait_channel[47];
  int32_t syscall;
  uint32_t stalled;
  const char *syscall_name;
  const char *checkpoint;
  uint64_t progress_done;
  uint64_t progress_total;
  const char *progress_unit;
  int64_t progress_age_ns;
  const uint64_t *frames;
  uint32_t frame_count;
  uint32_t flags;
  char group[128];
  uint32_t backtrace;
  int32_t probe_error;
  uint32_t stop_level;
  uint32_t reserved2;
  int64_t draining_for_ns;
  int32_t descriptor;
  uint32_t descriptor_kind;
  const char *descriptor_text;
  char label[128];
  uint32_t library_wait;
  uint32_t reserved3;
  uint64_t library_wait_object;
  int64_t library_waited_ns;
  int64_t library_wait_remaining_ns;
  int64_t run_queue_ns;
  uint32_t waits_for;
  uint32_t wait_gap;
  uint64_t wait_address;
  uint64_t holder_task_id;
  int32_t holder_thread_id;
  int32_t wait_fd;
  int32_t wait_pid;
  uint32_t wait_count;
  char holder_name[64];
  int64_t waited_at_least_ns;
  uint64_t runs;
  int64_t starts_in_ns;
  uint32_t last_how;
  int32_t last_code;
  uint64_t parent_id;
  uint64_t spawn_address;
  uint32_t holder_is_certain;
  uint32_t reserved;
} tr_straggler;
enum {
  TR_BACKTRACE_NOT_ENABLED = 0,
  TR_BACKTRACE_TAKEN = 1,
  TR_BACKTRACE_BLOCKED = 2,
  TR_BACKTRACE_UNANSWERED = 3,
  TR_BACKTRACE_ENDED = 4,
  TR_BACKTRACE_LEFT_OUT = 5
};
#define TR_STRAGGLER_INIT \
  { \
    (uint32_t)sizeof(tr_straggler), 0u, 0u, {0}, 0u, 0, 0u, 0u, 0, 0, 0, 0, 0, 0u, 0u, 0, {0}, 0, \
        0u, NULL, NULL, 0u, 0u, NULL, 0, NULL, 0u, 0u, {0}, 0u, 0, 0u, 0u, 0, 0, 0u, NULL, \
        {0}, 0u, 0u, 0u, 0, 0, 0, 0u, 0u, 0u, 0u, 0, 0, 0, 0u, {0}, 0, 0u, 0, 0u, 0, 0u, 0u, 0u, \
        0u \
  }
typedef struct tr_ended_task {
  uint32_t size;
  uint32_t how;
  uint64_t id;
  char name[64];
  tr_kind kind;
  int32_t code;
  int64_t spawned_at_ns;
  int64_t ran_ns;
  int64_t stop_ns;
  char group[128];
} tr_ended_task;
#define TR_ENDED_TASK_INIT \
  { (uint32_t)sizeof(tr_ended_task), 0u, 0u, {0}, 0u, 0, 0, 0, 0, {0} }
typedef struct tr_phase_report {
  uint32_t size;
  uint32_t phase;
  uint64_t asked;
  uint64_t remaining;
  int64_t start_ns;
  int64_t share_ns;
  int64_t duration_ns;
  uint64_t ended_before;
  int64_t callbacks_ns;
} tr_phase_report;
#define TR_PHASE_REPORT_INIT \
  { (uint32_t)sizeof(tr_phase_report), 0u, 0u, 0u, 0, 0, 0, 0u, 0 }
const char *tr_diagnosis_name(uint32_t diagnosis);
tr_status tr_explain(tr_registry *registry, tr_report **report) TASKREG_MUST_USE;
#define TR_EXPLAIN_NO_BACKTRACES 1u
#define TR_EXPLAIN_NO_DESCRIPTORS 2u
#define TR_EXPLAIN_THREADS 4u
tr_status tr_explain_with(tr_registry *registry, uint32_t flags, tr_report **report)
    TASKREG_MUST_USE;
void tr_report_release(tr_report *report);
tr_status tr_report_counts(const tr_report *report, tr_join_report *counts) TASKREG_MUST_USE;
tr_status tr_report_straggler(const tr_report *report, size_t index, tr_straggler *straggler)
    TASKREG_MUST_USE;
tr_status tr_report_slowest(const tr_report *report, size_t index, tr_ended_task *task)
    TASKREG_MUST_USE;
tr_status tr_report_phase(const tr_report *report, size_t index, tr_phase_report *phase)
    TASKREG_MUST_USE;
typedef struct tr_thread_report {
  uint32_t size;
  int32_t thread_id;
  char name[64];
  char scheduler_state;
  char wait_channel[47];
  int32_t syscall;
  int32_t probe_error;
  const char *syscall_name;
  int64_t cpu_ns;
  int64_t run_queue_ns;
  uint32_t holds_up;
  uint32_t holds_up_directly;
  uint32_t waits_for;
  uint32_t wait_gap;
  uint64_t wait_address;
  uint64_t holder_task_id;
  int32_t holder_thread_id;
  int32_t wait_fd;
  int32_t wait_pid;
  uint32_t wait_count;
  char holder_name[64];
  uint32_t holder_is_certain;
  uint32_t holds_up_is_certain;
} tr_thread_report;
#define TR_THREAD_REPORT_INIT \
  { \
    (uint32_t)sizeof(tr_thread_report), 0, {0}, 0, {0}, 0, 0, NULL, 0, 0, 0u, 0u, 0u, 0u, 0u, 0u, \
        0, 0, 0, 0u, {0}, 0u, 0u \
  }
tr_status tr_report_thread(const tr_report *report, size_t index, tr_thread_report *thread)
    TASKREG_MUST_USE;
enum {
  TR_FORMAT_TEXT = 1,
  TR_FORMAT_JSON = 2,
  TR_FORMAT_OPENMETRICS = 3
};
tr_status tr_report_write(const tr_report *report, int fd, uint32_t format) TASKREG_MUST_USE;
tr_status tr_report_write_buffer(const tr_report *report, uint32_t format, char *buffer,
                                 size_t capacity, size_t *length) TASKREG_MUST_USE;
tr_status tr_snapshot_write(tr_registry *registry, int fd, uint32_t format) TASKREG_MUST_USE;
tr_status tr_snapshot_write_buffer(tr_registry *registry, uint32_t format, char *buffer,
                                   size_t capacity, size_t *length) TASKREG_MUST_USE;
tr_status tr_enable_backtraces(int signal_number) TASKREG_MUST_USE;
typedef struct tr_metrics {
  uint32_t size;
  uint32_t reserved;
  uint64_t spawned;
  uint64_t ended;
  uint64_t failed;
  uint64_t exited;
  uint64_t rejected;
  uint64_t live;
  uint64_t peak;
  int64_t run_p50_ns;
  int64_t run_p90_ns;
  int64_t run_p99_ns;
  int64_t run_max_ns;
  int64_t stop_p50_ns;
  int64_t stop_p90_ns;
  int64_t stop_p99_ns;
  int64_t stop_max_ns;
  uint64_t restarts;
  uint64_t overruns;
} tr_metrics;
#define TR_METRICS_INIT \
  { (uint32_t)sizeof(tr_metrics), 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0, 0, 0, 0, 0, 0, 0, 0, 0u, 0u }
tr_status tr_metrics_read(tr_registry *registry, tr_kind kind, tr_metrics *metrics)
    TASKREG_MUST_USE;
#define TR_OPENMETRICS_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
tr_status tr_metrics_write(tr_registry *registry, int fd, uint32_t format) TASKREG_MUST_USE;
tr_status tr_metrics_write_buffer(tr_registry *registry, uint32_t format, char *buffer,
                                  size_t capacity, size_t *length) TASKREG_MUST_USE;
typedef struct tr_metrics_source {
  uint32_t size;
  uint32_t reserved;
  tr_registry *registry;
  const char *name;
} tr_metrics_source;
#define TR_METRICS_SOURCE_INIT \
  { (uint32_t)sizeof(tr_metrics_source), 0u, NULL, NULL }
#define TR_METRICS_NO_EOF 1u
tr_status tr_metrics_write_all(const tr_metrics_source *sources, size_t count, int fd,
                               uint32_t format, uint32_t flags) TASKREG_MUST_USE;
tr_status tr_metrics_write_all_buffer(const tr_metrics_source *sources, size_t count,
                                      uint32_t format, uint32_t flags, char *buffer,
                                      size_t capacity, size_t *length) TASKREG_MUST_USE;
#define TR_RECENT_MOST 64u
tr_status tr_recent(tr_registry *registry, tr_ended_task *buffer, size_t capacity, size_t *count)
    TASKREG_MUST_USE;
typedef struct tr_systemd_options {
  uint32_t size;
  uint32_t flags;
  const char *socket;
  int64_t watchdog_ns;
  int64_t status_ns;
} tr_systemd_options;
#define TR_SYSTEMD_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_systemd_options), 0u, NULL, 0, 0 }
tr_status tr_systemd_start(tr_registry *registry, const tr_systemd_options *options)
    TASKREG_MUST_USE;
tr_status tr_systemd_stop(tr_registry *registry) TASKREG_MUST_USE;
#define TR_EXIT_ABORT 0x1u
#define TR_EXIT_FROM_SIGNAL 0x2u
typedef struct tr_exit_options {
  uint32_t size;
  uint32_t flags;
  int64_t report_ns;
  int32_t code;
  int32_t fd;
  const char *reason_file;
} tr_exit_options;
#define TR_EXIT_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_exit_options), 0u, 0, 0, 0, NULL }
tr_status tr_exit_by(int64_t after_ns, const tr_exit_options *options) TASKREG_MUST_USE;
tr_status tr_exit_by_cancel(void) TASKREG_MUST_USE;
#define TR_RUN_NO_SYSTEMD 0x1u
#define TR_EXIT_STOPPED 0
#define TR_EXIT_FATAL 1
#define TR_EXIT_FAILED 70
#define TR_EXIT_DEADLINE 124
typedef struct tr_run_options {
  uint32_t size;
  uint32_t flags;
  int64_t grace_ns;
  const tr_shutdown_options *shutdown;
  const int *signals;
  size_t signals_count;
  const tr_signal_options *signal;
  const tr_systemd_options *systemd;
  int64_t exit_after_ns;
  const tr_exit_options *exit;
  const char *report_file;
  int32_t report_fd;
  uint32_t reserved;
} tr_run_options;
#define TR_RUN_OPTIONS_INIT \
  { (uint32_t)sizeof(tr_run_options), 0u, 0, NULL, NULL, 0, NULL, NULL, 0, NULL, NULL, 0, 0u }
tr_status tr_run_until_stopped(tr_registry *registry, const tr_run_options *options,
                               int32_t *exit_status) TASKREG_MUST_USE;
tr_status tr_registry_options_init(tr_registry_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_spawn_options_init(tr_spawn_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_restart_options_init(tr_restart_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_schedule_init(tr_schedule *schedule, size_t size) TASKREG_MUST_USE;
tr_status tr_adopt_options_init(tr_adopt_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_task_summary_init(tr_task_summary *summary, size_t size) TASKREG_MUST_USE;
tr_status tr_join_report_init(tr_join_report *report, size_t size) TASKREG_MUST_USE;
tr_status tr_shutdown_options_init(tr_shutdown_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_outcome_init(tr_outcome *outcome, size_t size) TASKREG_MUST_USE;
tr_status tr_signal_options_init(tr_signal_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_straggler_init(tr_straggler *straggler, size_t size) TASKREG_MUST_USE;
tr_status tr_ended_task_init(tr_ended_task *task, size_t size) TASKREG_MUST_USE;
tr_status tr_phase_report_init(tr_phase_report *phase, size_t size) TASKREG_MUST_USE;
tr_status tr_thread_report_init(tr_thread_report *thread, size_t size) TASKREG_MUST_USE;
tr_status tr_metrics_init(tr_metrics *metrics, size_t size) TASKREG_MUST_USE;
tr_status tr_metrics_source_init(tr_metrics_source *source, size_t size) TASKREG_MUST_USE;
tr_status tr_systemd_options_init(tr_systemd_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_exit_options_init(tr_exit_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_ladder_options_init(tr_ladder_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_run_options_init(tr_run_options *options, size_t size) TASKREG_MUST_USE;
tr_status tr_quiesce(int64_t timeout_ns) TASKREG_MUST_USE;
#ifdef __cplusplus
}
#endif
#endif
