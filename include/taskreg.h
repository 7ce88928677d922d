/* taskreg.h - named, listed, cancellable threads that are joined with a deadline.

   The C interface of libtaskreg. The rules cited in brackets (S1, J4, ...) are those of
   docs/contract.md. Four things hold for every function:

   - Any thread may call it, unless its "Threads" label says otherwise. Only tr_request_shutdown is
     async-signal-safe.
   - It is not a cancellation point: a thread with a pending pthread_cancel(3) completes the call
     and returns from it. Do not call it while the cancel type is PTHREAD_CANCEL_ASYNCHRONOUS.
   - Timeouts are int64_t nanoseconds from now, measured on CLOCK_MONOTONIC: TR_SECONDS(5),
     TR_MILLISECONDS(200). TR_FOREVER (-1) never times out. 0 means "check, do not wait", and so
     does every other negative number, which is what `deadline - now` yields once the deadline has
     passed.
   - In a child of fork(2), functions that return a tr_status return TR_ERR_FORKED, functions that
     return a pointer return NULL (unless the pointer is to constant text), and the others return 0
     or do nothing. This does not apply if the parent had released every object of the library
     before the fork, or never had one.

   To find handles that are released twice or used after their release, run the program with
   TASKREG_DEBUG=handles in its environment. The mistake then ends the program by abort(3), as glibc
   does for memory that is freed twice, and a message on stderr names the function, the handle, the
   caller, and who released the handle. A use after release is found once the object is gone; a task
   is gone when it has ended. The last 4096 objects that went are remembered. [C4, P1, P8]

   Programs that make bindings read this header. So a constant is a member of an enum without a
   name, or a macro whose value is one literal: a mask (unsigned, so that ~ of it is too), a number
   that does not fit an int, and what the preprocessor needs. There is no cast in a constant, and no
   constant without its own number. Fields and parameters have types of a fixed width beside the
   enums (tr_status, tr_kind, uint32_t), so no compiler option changes their size.

   Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0 */

#ifndef TASKREG_H
#define TASKREG_H

#include <poll.h> /* struct pollfd */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/select.h> /* sigset_t, in strict C11 as well */

#ifdef __cplusplus
extern "C" {
#endif

/* A result that must be checked: a compiler that supports the attribute warns about a call that
   discards it. Where nothing can be done about a failure, say so:
   TR_IGNORE(tr_task_cancel(task)). */
#if defined(__GNUC__) || defined(__clang__)
#define TASKREG_MUST_USE __attribute__((warn_unused_result))
#else
#define TASKREG_MUST_USE
#endif
#define TR_IGNORE(call)                                                                            \
  do {                                                                                             \
    if ((call) != 0) {                                                                             \
    }                                                                                              \
  } while (0)

/* ---- Version and status ---------------------------------------------------------------- */

/* The version of this header, as 0xMMmmpp. Compare with tr_version(). */
#define TR_VERSION 0x000200u

/* The result of a call: TR_OK, or one of the negative codes below. */
typedef int32_t tr_status;

enum {
  TR_OK = 0,
  TR_ERR_INVALID = -1,    /* an argument is wrong: see tr_error_detail() */
  TR_ERR_NOMEM = -2,      /* out of memory */
  TR_ERR_AGAIN = -3,      /* the system refused a thread; a later call may succeed */
  TR_ERR_LIMIT = -4,      /* max_tasks tasks are alive already */
  TR_ERR_CLOSED = -5,     /* the registry accepts no more tasks */
  TR_ERR_DEADLINE = -6,   /* the deadline passed with tasks still alive */
  TR_ERR_TIMEDOUT = -7,   /* the timeout passed before the event */
  TR_ERR_CANCELLED = -8,  /* the calling task was asked to stop */
  TR_ERR_DEADLOCK = -9,   /* the calling task would wait for itself, or for one that waits for it */
  TR_ERR_FORKED = -10,    /* the parent process had objects of the library at fork */
  TR_ERR_SYSTEM = -11,    /* a system call failed in a way that has no other code */
  TR_ERR_TRUNCATED = -12, /* the buffer was too small for everything */
  TR_ERR_STALLED = -13    /* a task has missed its heartbeat interval */
};

/* Return one English sentence for `status`, for log files and error messages.

   Returns:   a static string, never NULL; "unknown status" for a number that is not a status.
   Threads:   any thread; never blocks.
   Since:     0.2 */
const char *tr_strerror(tr_status status);

/* Describe the calling thread's last TR_ERR_INVALID: which argument of which function was wrong,
   and what was expected ("tr_spawn: name is NULL"). Success and other errors leave the text
   unchanged, so read it right after a TR_ERR_INVALID, or after a NULL from tr_token_child or
   tr_task_token. A registry with a log callback also reports the text as an event,
   TR_EVENT_INVALID_CALL.

   Returns:   one line, never NULL, at most 191 bytes; "" in a thread that has had no such call.
   Ownership: the text is the calling thread's, and valid until its next call that returns
              TR_ERR_INVALID.
   Threads:   any thread; never blocks.
   Since:     0.2 */
const char *tr_error_detail(void);

/* Return the version of the library that is running, as 0xMMmmpp.

   Returns:   the number; TR_VERSION is the one the caller was compiled with.
   Threads:   any thread; never blocks.
   Since:     0.2 */
uint32_t tr_version(void);

/* ---- Durations -------------------------------------------------------------------------- */

/* A timeout that never passes, or a grace period that never ends. */
#define TR_FOREVER -1LL

/* The given number of seconds, milliseconds or microseconds in nanoseconds; fractions are
   allowed. */
#define TR_SECONDS(n) ((int64_t)((n) * INT64_C(1000000000)))
#define TR_MILLISECONDS(n) ((int64_t)((n) * INT64_C(1000000)))
#define TR_MICROSECONDS(n) ((int64_t)((n) * INT64_C(1000)))

/* ---- Types ------------------------------------------------------------------------------ */

typedef struct tr_token tr_token;       /* a one-shot cancellation flag with a reason */
typedef struct tr_registry tr_registry; /* a list of live tasks, closed and joined as one */
typedef struct tr_task tr_task;         /* one task: one thread running one body */
typedef struct tr_report tr_report;     /* the full report of a join, a shutdown or an explain */

/* What a task is for. Numbers from 0x100 are the application's own. [S3] */
typedef uint32_t tr_kind;
enum {
  TR_KIND_BACKGROUND_LOOP = 1, /* a long-running loop: heartbeat, sync */
  TR_KIND_PEER_CONNECTION = 2, /* serves one connection */
  TR_KIND_RPC_HANDLER = 3,     /* answers one request */
  TR_KIND_MAINTENANCE = 4,     /* a periodic job: compaction, log rotation */
  TR_KIND_APPLICATION = 0x100  /* the first number of the application's own */
};

/* Why a token was cancelled. Any number is accepted and recorded unchanged. */
typedef uint32_t tr_reason;
enum {
  TR_REASON_NONE = 0,             /* not cancelled, or no reason given */
  TR_REASON_USER_REQUESTED = 1,   /* a person or a signal asked for it */
  TR_REASON_RPC_REQUESTED = 2,    /* a remote caller asked for it */
  TR_REASON_RELOAD_REQUESTED = 3, /* stop in order to start again */
  TR_REASON_REQUESTED_BY_RUN = 4, /* the program's own run is complete */
  TR_REASON_FATAL = 5,            /* something failed beyond repair */
  TR_REASON_DEADLINE = 6          /* the token's timeout passed */
};

/* The stage a task has reached. It only advances, but for a task that starts again. */
enum {
  TR_STATE_STARTING = 1,   /* admitted; its thread has not entered the body yet */
  TR_STATE_RUNNING = 2,    /* in its body */
  TR_STATE_CANCELLING = 3, /* in its body, asked to stop */
  TR_STATE_ABANDONED = 4,  /* still alive after a join's deadline */
  TR_STATE_ENDED = 5,      /* ended; only a straggler in a join report shows this */
  TR_STATE_WAITING = 6     /* it waits for its next run and has no thread: see tr_restart_options,
                              tr_schedule. Then it is TR_STATE_RUNNING, and so on */
};

/* Callbacks are the application's functions that the library calls: tr_task_fn, tr_drop_fn,
   tr_log_fn, tr_cancel_fn, tr_end_fn and tr_phase_fn. Each may block, call any function of the
   library, and end its thread by pthread_exit; tr_registry_options.log_drop must not end it. A C++
   exception must not leave a callback; one that does ends the program by std::terminate. The table
   of rule P7 in docs/contract.md lists for each kind of callback who waits while it blocks, what
   happens when it ends its thread, and the few calls that fail inside it. [P7] */

/* The body of a task. `self` is borrowed for the duration of the call; `ctx` is the pointer given
   to tr_spawn. Return 0 for success, anything else for failure. A task that calls pthread_exit
   counts as exited. The library owns the thread: pthread_detach and pthread_join of it return
   EINVAL. [P7] */
typedef int (*tr_task_fn)(tr_task *self, void *ctx);

/* Releases a body's ctx. It runs exactly once for each successful spawn, after the body, on the
   task's thread, with no lock held, before the task's completion becomes observable. [S4, P7] */
typedef void (*tr_drop_fn)(void *ctx);

/* How serious a log event is. */
enum {
  TR_LOG_INFO = 1,
  TR_LOG_WARNING = 2,
  TR_LOG_ERROR = 3
};

/* What a log event is about. [C13, E4, E6, E7, E11, F4, B1] */
enum {
  TR_EVENT_TASK_FAILED = 1,          /* a body returned non-zero */
  TR_EVENT_TASK_EXITED = 2,          /* a body left by pthread_exit or thread cancellation, or an
                                        adopted thread ended without tr_leave */
  TR_EVENT_DEADLINE_EXCEEDED = 3,    /* a join's deadline passed with tasks alive */
  TR_EVENT_SPAWN_REJECTED = 4,       /* a spawn returned an error other than TR_ERR_INVALID */
  TR_EVENT_DEADLINE_NEAR = 5,        /* most of a shutdown's grace has passed with tasks alive */
  TR_EVENT_DEADLINE_EXTENDED = 6,    /* a shutdown's deadline was extended: tasks make progress */
  TR_EVENT_TASK_LATE = 7,            /* a task ended after a deadline and its abort grace */
  TR_EVENT_TASK_STALLED = 8,         /* a task has missed its heartbeat interval */
  TR_EVENT_TASK_RECOVERED = 9,       /* a stalled task has called tr_heartbeat again */
  TR_EVENT_INVALID_CALL = 10,        /* a call with this registry, or a task of it, returned
                                        TR_ERR_INVALID; the message is that of tr_error_detail */
  TR_EVENT_SHORT_GRACE = 11,         /* a shutdown's grace is above 0 and below 1 ms: were
                                        milliseconds meant? */
  TR_EVENT_SYSTEMD_UNREACHABLE = 12, /* a datagram of tr_systemd_start could not be sent: code is
                                        the errno; reported once, until one is sent again */
  TR_EVENT_SIGNAL_LOST = 13,         /* a watched signal has another handler now */
  TR_EVENT_STALL_EXPLAINED = 14,     /* what a stalled task is doing: one event for each line
                                        (tr_ladder_options) */
  TR_EVENT_STALL_ABORTED = 15,       /* a stalled task is told to abort (tr_ladder_options) */
  TR_EVENT_DEADLOCK = 16,            /* a report has found threads that wait for each other: the
                                        message names them, TR_LOG_ERROR unless a wait has a time
                                        limit. One event for each circle, in each report */
  TR_EVENT_TASK_RESTARTING = 17,     /* a body has ended, and runs again (tr_restart_options,
                                        tr_schedule); in the place of the two first events. Of a
                                        periodic task only if the run has failed */
  TR_EVENT_TASK_OVERRUN = 18,        /* a run of a periodic task took longer than its period */
  TR_EVENT_SCHEDULING_REFUSED = 19   /* the system has refused what a spawn's options ask for: the
                                        policy, the nice value or the affinity; the body runs
                                        without that one. code is the errno */
};

/* One log event. The pointers are valid during the callback only; the strings are UTF-8. Text from
   the application (task names, failure messages) is passed on unescaped. */
typedef struct tr_log_event {
  uint32_t size;       /* sizeof(tr_log_event) in the library */
  uint32_t level;      /* TR_LOG_... */
  uint32_t event;      /* TR_EVENT_... */
  tr_kind kind;        /* the task's kind; 0 when the event is not about a single task */
  uint64_t task_id;    /* the task's id; 0 when it has none */
  const char *task;    /* the task's name; "" when the event is not about a single task */
  const char *message; /* one line that says what happened */
  int32_t code;        /* the body's return value, or the tr_status of the rejected call */
  uint32_t reserved;   /* 0 */
} tr_log_event;

/* Receives log events. It is called on the thread where the event arose, with no lock held. A spawn
   or a join that the callback itself makes causes no TR_EVENT_SPAWN_REJECTED and no
   TR_EVENT_DEADLINE_...: its status reports the same; nor does a report cause a TR_EVENT_DEADLOCK.

   TR_EVENT_TASK_STALLED arises on one of the library's event threads, "taskreg-events" (see
   tr_token_child_with_timeout). The task cannot end before that callback has returned, so waiting
   for the task or joining its registry there is TR_ERR_DEADLOCK. TR_EVENT_TASK_RECOVERED arises on
   the same thread if the task called tr_heartbeat before that callback was over, and on the task's
   own thread otherwise. TR_EVENT_STALL_EXPLAINED and TR_EVENT_STALL_ABORTED are like
   TR_EVENT_TASK_STALLED.

   A slow callback delays its caller. TR_EVENT_DEADLOCK arises in the call that makes the report,
   once the report is complete. If that is the explanation of a stalled task, it arises before the
   first TR_EVENT_STALL_EXPLAINED, on the same thread and with the same restrictions.
   TR_EVENT_DEADLINE_... arise within a tr_shutdown or tr_join_all, which exceeds its deadline by
   the time the callback takes. TR_EVENT_TASK_FAILED, _EXITED and _LATE arise before the task's
   completion becomes observable, and TR_EVENT_TASK_RESTARTING before it waits. A callback never
   delays timeouts, cancel signals, heartbeats or notifications to systemd. [E7, O2, P7] */
typedef void (*tr_log_fn)(void *log_context, const tr_log_event *event);

/* Return the name of a kind, state, reason, event or way of ending, in lower case:
   "peer-connection".

   Returns:   a static string, never NULL; for kinds from 0x100 the name given to
              tr_kind_set_name, or "application"; else "unknown".
   Threads:   any thread; never blocks.
   Since:     0.2 */
const char *tr_kind_name(tr_kind kind);
const char *tr_state_name(uint32_t state);
const char *tr_reason_name(tr_reason reason);
const char *tr_event_name(uint32_t event);
const char *tr_ended_name(uint32_t how);

/* Give a kind of the application's own a name, in the whole process, which reports, lists and
   tr_kind_name show from then on in place of "application". A second name replaces the first. [S3]

   Requires:  kind is TR_KIND_APPLICATION or above; name is UTF-8 of at least one byte, of which 63
              are kept, cut at a character boundary.
   Returns:   TR_OK; TR_ERR_INVALID; TR_ERR_LIMIT if 64 other kinds have names; TR_ERR_NOMEM.
   Ownership: the name is copied, and each different one is kept until the process ends.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_status tr_kind_set_name(tr_kind kind, const char *name) TASKREG_MUST_USE;

/* ---- Tokens ------------------------------------------------------------------------------ */

/* Create a token that is not cancelled and has no parent. This function and the others that return
   a new token set errno when they return NULL: ENOMEM if out of memory, EAGAIN if the system
   refuses a thread or a key for thread-specific data, EINVAL for an argument that is wrong (see
   tr_error_detail), and EPERM in a child of fork.

   Returns:   the token; NULL with errno set.
   Ownership: the caller holds one reference; release it with tr_token_release.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_token *tr_token_create(void);

/* Create a token that is cancelled when `parent` is, and can also be cancelled on its own, which
   does not affect the parent. The child of a cancelled parent is created cancelled, with the
   parent's reason and message. [C2]

   Requires:  parent is a token or NULL.
   Returns:   the token; NULL with errno set as by tr_token_create: EINVAL if parent is NULL.
   Ownership: the caller holds one reference; the child keeps its parent alive.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_token *tr_token_child(tr_token *parent);

/* Create a child of `parent`, as tr_token_child does, that is also cancelled timeout_ns nanoseconds
   from now, with TR_REASON_DEADLINE, unless it was cancelled before. TR_FOREVER sets no timeout. A
   timeout of 0 has passed when this returns.

   Callbacks of this cancellation (tr_token_on_cancel) run on one of the library's event threads,
   "taskreg-events". A slow callback there delays no timeout. It delays other callbacks by 20 ms at
   most, unless eight block at once. An event thread is created when there is an event and ends when
   there is none. The timer thread, "taskreg-timer", waits for everything that is due at a certain
   time. It exists while something is due, and either a second longer or until tr_quiesce. [C11]

   Requires:  parent is a token or NULL.
   Returns:   the token; NULL with errno set as by tr_token_create: EAGAIN if the system refuses a
              thread, EINVAL if parent is NULL.
   Ownership: the caller holds one reference; the child keeps its parent alive. The last release
              removes the timeout.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_token *tr_token_child_with_timeout(tr_token *parent, int64_t timeout_ns);

/* Create a token without a parent that is cancelled timeout_ns nanoseconds from now, as
   tr_token_child_with_timeout does. [C11, C18]

   Returns:   the token; NULL with errno set as by tr_token_create: EAGAIN if the system refuses a
              thread.
   Ownership: the caller holds one reference; the last release removes the timeout.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_token *tr_token_create_with_timeout(int64_t timeout_ns);

/* Add a reference to `token`.

   Returns:   token itself; NULL for NULL.
   Ownership: the caller holds one more reference; release it with tr_token_release.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_token *tr_token_retain(tr_token *token);

/* Release a reference to `token`. The last release frees the token and cancels nothing.

   Requires:  token is NULL (a no-op) or a reference that the caller holds.
   Threads:   any thread; does not block.
   Since:     0.2 */
void tr_token_release(tr_token *token);

/* Cancel `token` with a reason and a message: its children are cancelled, registries linked to it
   close, the flags of their tasks are raised, and waits on any of these return. Only the first call
   records its reason and message. When a call returns, the first or a later one, every flag below
   the token is up, except those of clean-up tasks and of tasks of later phases. [C1, C2, C3, E5,
   S5]

   Requires:  message is NULL or a string. Its first 255 bytes are kept, cut at a character boundary
              and before the first byte that is not valid UTF-8.
   Returns:   1 to the first caller, 0 to every later one and for a NULL token.
   Ownership: message is copied.
   Threads:   any thread; does not wait for tasks; not async-signal-safe.
   Since:     0.2 */
int tr_token_cancel(tr_token *token, tr_reason reason, const char *message);

/* How urgently a task was asked to stop, or whatever a token stands for. The level only rises.
   [C15] */
enum {
  TR_STOP_NONE = 0,  /* it was not asked */
  TR_STOP_DRAIN = 1, /* take nothing new, and finish what is under way: this is what every cancel
                        asks for */
  TR_STOP_ABORT = 2  /* drop what is under way, now */
};

/* Cancel `token` and raise the level of everything below it to TR_STOP_ABORT: of the tasks of phase
   0, and of later phases that a shutdown has asked to stop by now. Phases that are asked later are
   asked to drain. As with tr_token_cancel, only the first of all calls records its reason and
   message, and clean-up tasks are left alone. [C1, C15, E5, S5]

   Requires:  message as in tr_token_cancel.
   Returns:   1 to the first caller who aborts, 0 to every later one and for a NULL token.
   Ownership: message is copied.
   Threads:   any thread; does not wait for tasks; not async-signal-safe.
   Since:     0.2 */
int tr_token_abort(tr_token *token, tr_reason reason, const char *message);

/* Return the level of `token`: one atomic load. [C15]

   Returns:   TR_STOP_...; TR_STOP_NONE for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
uint32_t tr_token_stop_level(const tr_token *token);

/* Say whether `token` is cancelled: one atomic load (acquire).

   Returns:   1 when cancelled, else 0; 0 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
int tr_token_is_cancelled(const tr_token *token);

/* Return the reason `token` was cancelled with.

   Returns:   the reason; TR_REASON_NONE while it is not cancelled and for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_reason tr_token_reason(const tr_token *token);

/* Say whether a stop for `reason` counts as success, for example to choose an exit status.

   Returns:   0 for TR_REASON_FATAL; 1 for every other, including TR_REASON_NONE and the
              application's own.
   Threads:   any thread; never blocks.
   Since:     0.2 */
int tr_reason_is_graceful(tr_reason reason);

/* Copy the message `token` was cancelled with into `buffer`, as snprintf would: at most
   capacity - 1 bytes, cut at a character boundary, and a terminating NUL when capacity is not 0.

   Requires:  buffer has room for capacity bytes, or is NULL.
   Returns:   the length in bytes of the whole message without the NUL; 0 when there is none.
   Threads:   any thread; never blocks.
   Since:     0.2 */
size_t tr_token_message(const tr_token *token, char *buffer, size_t capacity);

/* Wait until `token` is cancelled. [C4]

   Returns:   TR_OK once it is; TR_ERR_TIMEDOUT after timeout_ns nanoseconds; TR_ERR_CANCELLED when
              the flag of the calling task is raised first; TR_ERR_INVALID for NULL.
   Threads:   any thread; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_token_wait(tr_token *token, int64_t timeout_ns) TASKREG_MUST_USE;

#define TR_TOKENS_MOST 64u /* the most tokens that one tr_token_wait_any waits for */

/* Wait until one of several tokens is cancelled. [C4, C18]

   Requires:  tokens has count elements, none of them NULL; count is 1 to TR_TOKENS_MOST.
   Returns:   TR_OK once one of them is; TR_ERR_TIMEDOUT after timeout_ns nanoseconds;
              TR_ERR_CANCELLED when the flag of the calling task is raised first; TR_ERR_INVALID.
   Output:    *index (index may be NULL) is the first element that is cancelled, on TR_OK; else it
              is untouched.
   Threads:   any thread; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_token_wait_any(tr_token *const *tokens, size_t count, int64_t timeout_ns,
                            size_t *index) TASKREG_MUST_USE;

/* ---- Registries -------------------------------------------------------------------------- */

/* How long, in nanoseconds, a worker that has finished a task polls for the next one before it
   sleeps: the default of tr_registry_options.spin_ns. */
#define TR_SPIN_NS_DEFAULT 5000
/* For tr_registry_options.spin_ns: a worker without a task sleeps at once. */
#define TR_SPIN_NEVER -1LL

/* For tr_ladder_options.last_step. */
enum {
  TR_LADDER_NOTHING = 0,    /* there is none: the task stays as it is */
  TR_LADDER_ABORT_TASK = 1, /* the task is told to abort, as by tr_task_abort */
  TR_LADDER_END_PROCESS = 2 /* the process ends, as tr_exit_by has armed it */
};

/* What is done about a task that stays stalled, step by step: TR_EVENT_TASK_STALLED, as without a
   ladder; then an explanation of what the task is doing, as in a report, with its backtrace once
   tr_enable_backtraces was called; and, if the application asks for it, a last step. A heartbeat
   begins anew; time in which the process did not run does not count. The same applies to threads
   that are not tasks and have an interval; they cannot be told to abort.

   Each line of the explanation is a TR_EVENT_STALL_EXPLAINED of the registry's log; the whole is
   also written to explain_fd. Each step waits until the log callback has returned from the one
   before, except TR_LADDER_END_PROCESS: that is taken even then, with the status, the report and
   the reason file of tr_exit_by, whose time is over then. Call tr_exit_by before, with
   TR_EXIT_FROM_SIGNAL for instance: otherwise the step waits for the log callback, too, and its
   threads are made when it is taken, with its defaults, which may hang in a process that hangs. If
   the system refuses them, the process ends all the same, with a report as far as standard error
   takes it. [F4]

   Start from TR_LADDER_OPTIONS_INIT; a zero field means its default. */
typedef struct tr_ladder_options {
  uint32_t size;            /* sizeof(tr_ladder_options) */
  uint32_t last_step;       /* TR_LADDER_...; another number: TR_ERR_INVALID */
  int64_t explain_after_ns; /* for how long a heartbeat is overdue when the task is explained; 0:
                               for as long as its heartbeat interval; negative: TR_ERR_INVALID */
  int64_t last_after_ns;    /* how much longer it is when the last step is taken; likewise */
  int32_t explain_fd;       /* where the explanation goes beside the log: a descriptor that stays
                               open as long as the registry has tasks; what it does not take
                               within a second is left out; 0: nowhere; negative: TR_ERR_INVALID */
  uint32_t reserved;        /* 0 */
} tr_ladder_options;

#define TR_LADDER_OPTIONS_INIT                                                                     \
  { (uint32_t)sizeof(tr_ladder_options), 0u, 0, 0, 0, 0u }

/* How a registry behaves. Start from TR_REGISTRY_OPTIONS_INIT; a zero field means its default.
   [J4, O2, S7] */
typedef struct tr_registry_options {
  uint32_t size;                   /* sizeof(tr_registry_options) */
  uint32_t flags;                  /* TR_REGISTRY_...; unknown bits: TR_ERR_INVALID */
  tr_token *token;                 /* the token to link to; NULL: the registry creates one of its
                                      own */
  uint64_t max_tasks;              /* the most tasks alive at once; further spawns fail; 0: no limit
                                      of the library's */
  uint64_t stack_size;             /* bytes of a task's stack; 0: 1 MiB. Rounded up to pages, at
                                      least 64 KiB (128 KiB on aarch64), at most 1 TiB (else
                                      TR_ERR_INVALID). */
  int64_t abort_grace_ns;          /* how long a join or a shutdown waits for the tasks that it told
                                      to abort at its deadline; 0: 100 ms for a shutdown, not at all
                                      for a join; TR_NO_ABORT_GRACE: not at all for both; any other
                                      negative value: TR_ERR_INVALID. */
  tr_log_fn log;                   /* receives log events; NULL: there are no events */
  void *log_context;               /* passed to log. It must stay valid until the registry is
                                      closed, or its last reference released, and its last task has
                                      ended. That is so once tr_shutdown has returned TR_OK with no
                                      task unjoined (tr_join_report), except that a call that began
                                      earlier may use it until it returns; spawns rejected later
                                      report no event. Otherwise log_drop says when. */
  int64_t spin_ns;                 /* how long a worker polls for its next task before it sleeps, in
                                      nanoseconds, at most 1 ms; 0: TR_SPIN_NS_DEFAULT;
                                      TR_SPIN_NEVER: not at all */
  int64_t idle_ns;                 /* how long an idle thread is kept; 0: 2 s; negative:
                                      indefinitely */
  uint32_t idle_threads;           /* how many idle threads are kept longer than idle_ns; 0: 16;
                                      TR_IDLE_THREADS_NONE: none */
  uint32_t reserved;               /* 0 */
  const sigset_t *blocked_signals; /* the signals that are blocked when a task starts. SIGABRT and
                                      the synchronous faults are never blocked. NULL: those that the
                                      calling thread blocks. The set is copied. A process that a
                                      task starts by fork, posix_spawn, popen or system inherits the
                                      task's mask, through exec as well, and does not receive the
                                      signals that it blocks. */
  const int *blocked_signal_numbers; /* the same as an array, for languages that do not have
                                      sigset_t: blocked_signal_count signal numbers, which are
                                      copied; not together with blocked_signals. NULL: see there */
  size_t blocked_signal_count;     /* how many numbers that array has; 0 if it is NULL. An array of
                                      none blocks none. */
  const tr_ladder_options *ladder; /* what is done about a task that stays stalled; it is copied.
                                      NULL: nothing but the event; in a group, as its parent */
  tr_drop_fn log_drop;             /* called with log_context, exactly once, when the registry's
                                      memory is freed: the last references to it, to its groups and
                                      to their tasks were released, and its threads have ended.
                                      NULL: nothing is called; not NULL without log:
                                      TR_ERR_INVALID. It runs on the thread that releases the last
                                      of these, which may be a task's own after its end, or on one
                                      that later creates or releases a registry. A signal watch and
                                      systemd's notifications have a reference, too: if theirs is
                                      the last, it runs in the call that moves or stops them, or on
                                      the library's thread that was calling a function of the
                                      application's for this registry meanwhile. It must return:
                                      it must not end its thread. If creating the registry fails,
                                      it is never called. */
  const char *name;                /* what taskreg(1) calls the registry, and the value of the label
                                      "registry" of its metrics where none is given: at least 1
                                      byte of UTF-8, of which 63 are copied, without cutting inside
                                      a character. NULL: none. A group has the name that
                                      tr_registry_child was given: for it, NULL. */
} tr_registry_options;

/* For tr_registry_options.flags: keep counters by kind, durations and the last tasks that ended;
   see tr_metrics_read. It costs two lock operations for each task, about a fifth of a microsecond
   in total, and 28 KiB. [E8] */
#define TR_REGISTRY_METRICS 0x1u

/* For tr_registry_options.flags: reports do not say what the descriptors are that tasks of the
   registry, and of its groups, wait for: no paths and no addresses. [E13] */
#define TR_REGISTRY_NO_DESCRIPTORS 0x2u

/* For tr_registry_options.flags: reports on tasks of the registry, and of its groups, have a
   section for the threads of the process that run none of them; see TR_EXPLAIN_THREADS. [Q7] */
#define TR_REGISTRY_REPORT_THREADS 0x4u

/* For tr_registry_options.abort_grace_ns: no time at all after the deadline. It is not -1, as that
   is TR_FOREVER. [J4] */
#define TR_NO_ABORT_GRACE -2LL

/* For tr_registry_options.idle_threads: no thread outlives its task. */
#define TR_IDLE_THREADS_NONE 0xFFFFFFFFu

#define TR_REGISTRY_OPTIONS_INIT                                                                   \
  {                                                                                                \
    (uint32_t)sizeof(tr_registry_options), 0u, NULL, 0u, 0u, 0, NULL, NULL, 0, 0, 0u, 0u, NULL,    \
        NULL, 0u, NULL, NULL, NULL                                                                 \
  }

/* Create an open, empty registry.

   A program whose main thread leaves by pthread_exit(3) ends when its tasks and its own threads
   have ended. Idle threads, the timer thread and the threads of a signal watch do not keep the
   process alive. If the main thread itself has created no object of the library, the process may
   end up to a minute late. [P4, P9]

   Requires:  options is NULL (defaults) or initialised with TR_REGISTRY_OPTIONS_INIT; bytes beyond
              the structure this library knows must be zero.
   Returns:   TR_OK; TR_ERR_INVALID, TR_ERR_NOMEM.
   Output:    *out is the registry on TR_OK, else untouched.
   Ownership: the caller holds one reference; release it with tr_registry_release. The registry
              retains options->token.
   Threads:   any thread; does not block. No thread is created before the first spawn.
   Since:     0.2 */
tr_status tr_registry_create(const tr_registry_options *options, tr_registry **out)
    TASKREG_MUST_USE;

/* Create a group: a registry inside `parent`, with a token of its own (a child of the parent's), a
   join and a shutdown of its own. The group's tasks also belong to the parent and to all other
   ancestors: they are counted and listed there, joined there, and count against max_tasks there. If
   an ancestor is closed, a spawn in the group is rejected. The tasks run in threads of the root
   registry; a group has no threads of its own. A group's shutdown therefore joins tasks, and the
   root registry's shutdown joins the threads. A group of a registry whose token is cancelled is
   created closed. [T1, T2, T3, T4]

   Requires:  parent and out are not NULL; name is UTF-8 of at least 1 byte without '/': 63 bytes
              are kept, cut at a character boundary. options is NULL or as for tr_registry_create,
              with a NULL token. Its stack_size, abort_grace_ns, log and ladder default to the
              parent's where they are zero (log_context goes with log: if it is inherited, it must
              stay valid for the group as well; log_drop is not inherited, as the group keeps the
              parent's memory). spin_ns, idle_ns, idle_threads and the signals to block are checked
              and ignored, as the threads are the root registry's.
              The group keeps metrics only if its own options say so.
   Returns:   TR_OK; TR_ERR_INVALID, TR_ERR_NOMEM.
   Output:    *out is the group on TR_OK, else untouched.
   Ownership: the caller holds one reference to the group, which keeps what it needs of its parent
              alive. Releasing it does not affect the group's tasks: they stay alive and remain the
              parent's.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_status tr_registry_child(tr_registry *parent, const char *name,
                            const tr_registry_options *options, tr_registry **out) TASKREG_MUST_USE;

/* Add a reference to `registry`; all references share one list of tasks. [G1]

   Requires:  registry is NULL, or the caller has a reference, or is a task of the registry.
   Returns:   registry itself; NULL for NULL.
   Ownership: the caller holds one more reference; release it with tr_registry_release.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_registry *tr_registry_retain(tr_registry *registry);

/* Release a reference to `registry`. The last release neither waits nor cancels: live tasks run on,
   and what they need stays valid until they have ended. [G3]

   Requires:  registry is NULL (a no-op) or a reference that the caller holds.
   Threads:   any thread; does not block, except for log_drop, which it may call.
   Since:     0.2 */
void tr_registry_release(tr_registry *registry);

/* Reject spawns from now on, without asking a task to stop: only clean-up work is still accepted,
   as after a cancel. [C18, S5]

   Returns:   TR_OK, also when it was closed before; TR_ERR_INVALID for NULL.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_status tr_registry_close(tr_registry *registry) TASKREG_MUST_USE;

/* Say whether spawns in `registry` are rejected: it, or a registry that it is in, was closed, shut
   down or cancelled. [C18, S5]

   Returns:   1 when closed, else 0; 0 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
int tr_registry_is_closed(const tr_registry *registry);

/* Return the token `registry` is linked to. Cancelling it closes the registry and raises the flag
   of every task of phase 0 that is not a clean-up task. [E5, G2, S5]

   Returns:   the token; NULL for NULL.
   Ownership: borrowed; it lives as long as the registry. Retain it to keep it longer.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_token *tr_registry_token(tr_registry *registry);

/* ---- Spawning ---------------------------------------------------------------------------- */

/* Spawn a clean-up task: it is accepted even after the registry has closed, if the caller is a
   running task of the same registry or of a group inside it. The registry's token does not raise
   the flag of such a task, whenever it was spawned; a join's deadline and tr_task_cancel do.
   [S5] */
#define TR_SPAWN_CLEANUP 0x1u
/* Run the body in a thread that has run no other body and will run no other, so that
   thread-specific data it leaves behind affects no other task. [S1] */
#define TR_SPAWN_FRESH_THREAD 0x2u
/* Spawn an essential task: its end, however it ends, cancels the registry's token, with
   TR_REASON_REQUESTED_BY_RUN if it returned 0 and TR_REASON_FATAL otherwise, and with the task's
   name as the message. This does not raise the task's own flag. [C12] */
#define TR_SPAWN_ESSENTIAL 0x4u
/* As TR_SPAWN_ESSENTIAL, but returning 0 cancels nothing. [C12] */
#define TR_SPAWN_ESSENTIAL_ON_FAILURE 0x8u
/* Spawn an unjoined task: one that may hang for a minute in a call that nothing ends, such as
   getaddrinfo, and that nobody waits for. It is listed, counted in tr_len and max_tasks, asked to
   stop with its phase, and explained; but no join, no shutdown and no tr_registry_wait, of its
   registry or of one around it, waits for it or for its thread, as long as it is alive, and it is
   not a straggler. So TR_OK of those says that all other tasks have ended; tr_join_report.unjoined
   says how many unjoined ones are alive. tr_task_wait waits for it all the same.

   Whatever the body uses has to be there until it returns, and the log function with its context,
   too: the library keeps its own memory, and calls drop(ctx) at the end of the task, after the last
   release of the registry if need be. Not together with TR_SPAWN_CLEANUP. [S9] */
#define TR_SPAWN_UNJOINED 0x10u

/* After which ends of its body a task starts again. [B1] */
enum {
  TR_RESTART_NEVER = 0,
  TR_RESTART_ON_FAILURE = 1, /* after any end but returning 0 */
  TR_RESTART_ALWAYS = 2
};

/* The most that tr_restart_options.max_restarts may be. */
#define TR_RESTARTS_MOST 64u

/* When and how often a task starts again after its body has ended. Start from
   TR_RESTART_OPTIONS_INIT; a zero field means its default. [B1, B2]

   It stays one task: the same id, name and handles. It is alive, counted and waited for until its
   last run is over, and drop(ctx) runs once, then. Between two runs it has no thread, and its state
   is TR_STATE_WAITING; each run gets a thread as a spawn does. Waits for the task wait for its end.
   Asked to stop while it waits it ends at once, with the outcome of its last run; once it was asked
   to stop no further run begins, however the last one ends.

   A run that fails is one whose body returns non-zero or leaves its thread. A crash ends the
   process, and nothing is started again. */
typedef struct tr_restart_options {
  uint32_t size;           /* sizeof(tr_restart_options) */
  uint32_t policy;         /* TR_RESTART_...; other numbers: TR_ERR_INVALID */
  int64_t min_delay_ns;    /* the delay before the first restart; 0: 100 ms; negative:
                              TR_ERR_INVALID. A run begins up to a 32nd of its delay late, and
                              67 ms at most, together with those of other tasks */
  int64_t max_delay_ns;    /* no delay becomes longer; 0: 30 s, or min_delay_ns if that is more;
                              else below min_delay_ns: TR_ERR_INVALID */
  uint32_t factor_percent; /* each delay is this much of the one before: 200 doubles it; 0: 200;
                              below 100: TR_ERR_INVALID */
  uint32_t jitter_percent; /* each delay is shortened at random, by at most so much of it, so that
                              tasks that fail together do not start together; above 100:
                              TR_ERR_INVALID */
  int64_t healthy_ns;      /* after a run of so long the delay is min_delay_ns again; 0: 60 s;
                              negative: TR_ERR_INVALID */
  int64_t window_ns;       /* the time for max_restarts; 0: 60 s; negative: TR_ERR_INVALID */
  uint32_t max_restarts;   /* how many restarts there are at most in any window_ns; after one more
                              failure the task has ended for good. 0: any number; above
                              TR_RESTARTS_MOST: TR_ERR_INVALID */
  uint32_t reserved;       /* 0, else TR_ERR_INVALID */
} tr_restart_options;

#define TR_RESTART_OPTIONS_INIT                                                                    \
  { (uint32_t)sizeof(tr_restart_options), 0u, 0, 0, 0u, 0u, 0, 0, 0u, 0u }

/* How one task is spawned. Start from TR_SPAWN_OPTIONS_INIT; a zero field means its default.
   [C10, E5, E7, B1, S10] */
typedef struct tr_spawn_options {
  uint32_t size;         /* sizeof(tr_spawn_options) */
  uint32_t flags;        /* TR_SPAWN_...; unknown bits: TR_ERR_INVALID */
  tr_drop_fn drop;       /* called with ctx after the body; may be NULL */
  uint64_t stack_size;   /* bytes of stack; 0: the registry's; limits as in tr_registry_options. Any
                            other value implies a fresh thread. */
  int32_t cancel_signal; /* interrupts the task's system calls once it is asked to stop; 0: none.
                            The signal must have a handler without SA_RESTART (see
                            tr_install_cancel_signal) and must not be watched by
                            tr_signal_watch_start, else TR_ERR_INVALID. */
  uint32_t phase;        /* when a shutdown asks the task to stop: 0 (first, with the registry's
                            token) to TR_PHASES - 1; see tr_shutdown */
  int64_t heartbeat_ns;  /* the heartbeat interval: the task calls tr_heartbeat at least every
                            heartbeat_ns, from the start of its body; less than 1 ms is 1 ms; 0: no
                            heartbeats; negative: TR_ERR_INVALID */
  const char *thread_name; /* what the kernel calls the task's thread, at most 15 bytes of it, cut
                              at a character; copied; UTF-8, else TR_ERR_INVALID. NULL: the task's
                              name. For names whose first 15 bytes are the same:
                              "conn 127.0.0.1:" */
  int64_t room_wait_ns;    /* how long to wait for room where max_tasks tasks are alive, as by
                              tr_wait_room; TR_FOREVER: as long as it takes; 0: TR_ERR_LIMIT at
                              once. Other negative numbers are over, like 0 */
  const tr_restart_options *restart; /* when the task starts again after its body has ended; copied;
                                        NULL: never */
  /* How the task's thread is scheduled. The thread sets that itself before the body, and in each
     run; it runs nothing else. Where the system refuses a part, the body runs without that one,
     and there is an event, TR_EVENT_SCHEDULING_REFUSED. [S10] */
  uint32_t sched_policy;   /* TR_SCHED_...; other numbers: TR_ERR_INVALID */
  uint32_t sched_priority; /* 1 to 99 with TR_SCHED_FIFO and TR_SCHED_RR, otherwise 0, else
                              TR_ERR_INVALID */
  int32_t nice_added;      /* is added to the nice value of the registry's threads, as by nice(2);
                              without effect if these are of FIFO or RR; below -40 or above 40, and
                              other than 0 with TR_SCHED_FIFO or TR_SCHED_RR: TR_ERR_INVALID */
  uint32_t cpu_words;      /* how many words of cpus there are, at most 16; 0: the affinity of the
                              registry's threads */
  const uint64_t *cpus;    /* on which CPUs the thread may run: n is bit n % 64 of word n / 64;
                              copied. NULL with words, and none among them: TR_ERR_INVALID */
} tr_spawn_options;

/* The scheduling policies of a spawn's options: those of sched(7). */
enum {
  TR_SCHED_DEFAULT = 0, /* that of the registry's threads, with its priority */
  TR_SCHED_OTHER = 1,
  TR_SCHED_BATCH = 2,
  TR_SCHED_IDLE = 3,
  TR_SCHED_FIFO = 4,
  TR_SCHED_RR = 5
};

/* How many phases a shutdown has. */
#define TR_PHASES 8u

#define TR_SPAWN_OPTIONS_INIT                                                                      \
  { (uint32_t)sizeof(tr_spawn_options), 0u, NULL, 0u, 0, 0u, 0, NULL, 0, NULL, 0u, 0u, 0, 0u, NULL }

/* Run body(self, ctx) in a thread of its own, as a task of `registry` with a name and a kind. The
   body may be running, or may have ended, by the time this returns. It starts with the signal mask
   of the thread that created the registry, or with the one in the registry's options. The caller's
   mask is not used and not changed. [S1, S2, S3, S4, S5, S6, S7]

   Requires:  name is UTF-8 of at least 1 byte; 63 bytes are kept, cut at a character boundary, and
              the kernel's thread name is the first 15, cut in the same way. kind is one of
              TR_KIND_... or at least 0x100. body is not NULL.
   Returns:   TR_OK; TR_ERR_INVALID; TR_ERR_CLOSED after a shutdown or a cancelled token;
              TR_ERR_LIMIT at max_tasks; TR_ERR_AGAIN when the system refuses a thread;
              TR_ERR_NOMEM; TR_ERR_SYSTEM when the system refuses a thread for a lasting reason.
              After TR_ERR_AGAIN and TR_ERR_SYSTEM, errno is that of pthread_create: EINVAL when
              the program's thread-local variables leave no room on a stack of that size, or after
              unshare(CLONE_NEWPID).
   Output:    *out (out may be NULL) is the task on TR_OK, else untouched.
   Ownership: name is copied. On TR_OK ctx belongs to the body and *out carries one reference;
              release it with tr_task_release. On an error nothing has run and ctx is the caller's.
   Threads:   any thread, tasks included; does not wait for other tasks.
   Since:     0.2 */
tr_status tr_spawn(tr_registry *registry, const char *name, tr_kind kind, tr_task_fn body,
                   void *ctx, tr_task **out) TASKREG_MUST_USE;

/* As tr_spawn, with options. [S4, S8, B1]

   Requires:  options is NULL or initialised with TR_SPAWN_OPTIONS_INIT; bytes beyond the structure
              this library knows must be zero.
   Returns:   as tr_spawn; TR_ERR_INVALID for unknown flags too; with room_wait_ns TR_ERR_LIMIT when
              there was no room in that time, and TR_ERR_CANCELLED when the calling task was asked
              to stop meanwhile.
   Output:    as tr_spawn.
   Ownership: as tr_spawn; on TR_OK options->drop(ctx) runs exactly once, on an error it never runs.
   Threads:   as tr_spawn; blocks with room_wait_ns.
   Since:     0.2 */
tr_status tr_spawn_with(tr_registry *registry, const char *name, tr_kind kind, tr_task_fn body,
                        void *ctx, const tr_spawn_options *options, tr_task **out) TASKREG_MUST_USE;

/* Wait until fewer than max_tasks tasks are alive, in `registry` and in every registry around it,
   or until timeout_ns nanoseconds from now (TR_FOREVER: never times out). A listener that calls
   this before accept(2) leaves its clients in the kernel's queue instead of accepting and refusing
   them. Another thread may take the room first: then the spawn returns TR_ERR_LIMIT. [S8]

   Returns:   TR_OK, also without a limit; TR_ERR_TIMEDOUT; TR_ERR_CLOSED once the registry accepts
              no more tasks; TR_ERR_CANCELLED when the calling task is asked to stop;
              TR_ERR_INVALID.
   Threads:   any thread, tasks included; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_wait_room(tr_registry *registry, int64_t timeout_ns) TASKREG_MUST_USE;

/* Change max_tasks of `registry`: how many of its tasks may be alive at once, 0: no limit. If more
   are alive, no task is ended, and none is accepted until fewer are. [S6, S8]

   Returns:   TR_OK; TR_ERR_INVALID.
   Threads:   any thread; does not wait for tasks; takes a lock for a moment.
   Since:     0.2 */
tr_status tr_registry_set_max_tasks(tr_registry *registry, uint64_t max_tasks) TASKREG_MUST_USE;

/* ---- Periodic tasks ---------------------------------------------------------------------- */

/* What becomes of a periodic task's ticks at which no run could begin: another was under way, or
   the process did not run. [B5] */
enum {
  TR_MISSED_SKIP = 0,  /* they are left out: the next run begins at the next tick */
  TR_MISSED_BURST = 1, /* each is made up for: runs follow one another until none is left */
  TR_MISSED_DELAY = 2  /* one run begins at once, and the ticks are counted from there */
};

/* For tr_schedule.flags: the next tick is one period after the end of a run; without, ticks are
   whole periods after the first one, however long the runs take. [B5] */
#define TR_SCHEDULE_FROM_END 1u
/* A run that fails is the last, and the task has failed; without, the next run begins at the next
   tick. [B5] */
#define TR_SCHEDULE_ENDS_ON_FAILURE 2u

/* When a periodic task runs. Start from TR_SCHEDULE_INIT, and set period_ns. Times are those of
   CLOCK_MONOTONIC: neither a change of the clock on the wall nor time in which the machine was
   suspended makes a run due. [B5] */
typedef struct tr_schedule {
  uint32_t size;           /* sizeof(tr_schedule) */
  uint32_t flags;          /* TR_SCHEDULE_...; unknown bits: TR_ERR_INVALID */
  int64_t period_ns;       /* from tick to tick; 0 and negative: TR_ERR_INVALID. A run begins up to
                              a 32nd of it late, and 67 ms at most, together with those of other
                              tasks */
  int64_t first_delay_ns;  /* from the spawn to the first tick; 0: at once; negative:
                              TR_ERR_INVALID */
  uint32_t missed;         /* TR_MISSED_...; other numbers: TR_ERR_INVALID */
  uint32_t jitter_percent; /* each run begins later than its tick at random, by at most so much of
                              the period; above 100: TR_ERR_INVALID */
} tr_schedule;

#define TR_SCHEDULE_INIT                                                                           \
  { (uint32_t)sizeof(tr_schedule), 0u, 0, 0, 0u, 0u }

/* Spawn a periodic task: one whose body runs again and again, as the schedule says, and never twice
   at once. It is one task through all its runs, as one with tr_restart_options is: alive until it
   is asked to stop, with a state of its own and without a thread between two runs. Asked to stop,
   it ends after the run that is under way, or at once. A run that takes longer than the period is
   an event when it is over; for one that is to count as stalled (tr_health) while it lasts, set
   heartbeat_ns to the period: the interval begins with each run. [B2, B3, B4, B5, B6]

   Requires:  as tr_spawn; schedule is initialised with TR_SCHEDULE_INIT, options is NULL or
              initialised with TR_SPAWN_OPTIONS_INIT, and its restart is NULL.
   Returns:   as tr_spawn_with.
   Output:    as tr_spawn.
   Ownership: as tr_spawn_with; schedule and options are copied.
   Threads:   as tr_spawn_with.
   Since:     0.2 */
tr_status tr_spawn_every(tr_registry *registry, const char *name, tr_kind kind, tr_task_fn body,
                         void *ctx, const tr_schedule *schedule, const tr_spawn_options *options,
                         tr_task **out) TASKREG_MUST_USE;

/* Make a run of a periodic task begin at once or, if one is under way, after that; also while it is
   paused. Its ticks stay where they are. Several calls before that run begins are one, and so are a
   call and a tick that meet. A task that waits to start again (tr_restart_options) does so at once.
   [B6]

   Returns:   TR_OK; TR_ERR_CLOSED if no further run follows: the task was asked to stop, or has
              ended; TR_ERR_INVALID if it is of neither sort.
   Threads:   any thread; does not wait for the run.
   Since:     0.2 */
tr_status tr_task_trigger(tr_task *task) TASKREG_MUST_USE;

/* Pause the schedule of a periodic task, or go on with it. While it is paused no tick comes, and
   none is missed; a run that is under way goes on. Both may be repeated. [B6]

   Returns:   as tr_task_trigger.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_status tr_task_pause(tr_task *task) TASKREG_MUST_USE;
tr_status tr_task_resume(tr_task *task) TASKREG_MUST_USE;

/* Change the period of a periodic task. The next tick is so long after the last one, or at once if
   that is over. [B6]

   Requires:  period_ns is positive.
   Returns:   as tr_task_trigger.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_status tr_task_set_period(tr_task *task, int64_t period_ns) TASKREG_MUST_USE;

/* ---- Adopting ---------------------------------------------------------------------------- */

/* For tr_adopt_options.flags, beside TR_SPAWN_CLEANUP, TR_SPAWN_ESSENTIAL,
   TR_SPAWN_ESSENTIAL_ON_FAILURE and TR_SPAWN_UNJOINED: a join or a shutdown that the adopted thread
   itself calls, of its registry or of one that contains it, waits for all other tasks and not for
   this one. Without it such a call is TR_ERR_DEADLOCK. [A4] */
#define TR_ADOPT_JOINS_OTHERS 0x100u

/* How a thread is adopted. Start from TR_ADOPT_OPTIONS_INIT; a zero field means its default.
   [A1, A4, E5, E7] */
typedef struct tr_adopt_options {
  uint32_t size;        /* sizeof(tr_adopt_options) */
  uint32_t flags;       /* TR_ADOPT_JOINS_OTHERS, TR_SPAWN_...; other bits, and
                           TR_ADOPT_JOINS_OTHERS with TR_SPAWN_UNJOINED: TR_ERR_INVALID */
  uint32_t phase;       /* as in tr_spawn_options */
  uint32_t reserved;    /* 0, else TR_ERR_INVALID */
  int64_t heartbeat_ns; /* as in tr_spawn_options, from the call on */
} tr_adopt_options;

#define TR_ADOPT_OPTIONS_INIT                                                                      \
  { (uint32_t)sizeof(tr_adopt_options), 0u, 0u, 0u, 0 }

/* Make the calling thread a task of `registry`: main, a thread of another library, the thread of an
   event loop. From the return of this call until tr_leave it is a task like any other: counted,
   listed and waited for, asked to stop and told to abort, with waits that its flag ends, and with
   checkpoints, labels, heartbeats and an outcome. If the thread ends without tr_leave, the task has
   exited (TR_ENDED_EXITED); the end of the process ends it as it ends every task.

   The thread stays the caller's. Its signal mask, stack, kernel's name, scheduling and cancellation
   state are not changed, it is given no other task, and nobody waits for its end: a join and a
   shutdown wait until it has left. Nothing is sent to it but, if backtraces are enabled, their
   signal. A thread that has left may be adopted again. A heartbeat interval that the thread has set
   for itself (tr_heartbeat_promise) ends: the task has its own.

   The task counts as one that was spawned, in max_tasks and in metrics too. Whoever made the thread
   decides when its body ends, so call tr_leave before the thread goes on to other work. [A1, A2,
   A3, A4, A5]

   Requires:  as tr_spawn for name and kind, which are those of the task. options is NULL or
              initialised with TR_ADOPT_OPTIONS_INIT. The caller is not a task, and not in a
              callback of the library's.
   Returns:   TR_OK; TR_ERR_INVALID; TR_ERR_CLOSED after a shutdown or a cancelled token;
              TR_ERR_LIMIT at max_tasks; TR_ERR_NOMEM; TR_ERR_AGAIN when options ask for heartbeats
              and the system refuses the thread that watches them.
   Output:    *out (out may be NULL) is the task on TR_OK, else untouched.
   Ownership: name is copied. *out carries one reference; release it with tr_task_release, which
              ends nothing.
   Threads:   any thread that is not a task; does not wait for other tasks.
   Since:     0.2 */
tr_status tr_adopt(tr_registry *registry, const char *name, tr_kind kind,
                   const tr_adopt_options *options, tr_task **out) TASKREG_MUST_USE;

/* End the task of the calling thread, which was adopted: as a body that returns 0. When this
   returns, the outcome can be read, the functions of tr_task_on_end have run, and the thread is
   not a task any more. [A1, A5]

   Returns:   TR_OK; TR_ERR_INVALID if the thread was not adopted, has left already, or is in a
              callback of the library's.
   Threads:   the adopted thread; runs the callbacks for the end of the task.
   Since:     0.2 */
tr_status tr_leave(void) TASKREG_MUST_USE;

/* As tr_leave, as a body that returns `code`: any other number than 0 is a failure. Its message is
   set by tr_task_set_message before. [A5, O1]

   Returns:   as tr_leave.
   Threads:   as tr_leave.
   Since:     0.2 */
tr_status tr_leave_with(int32_t code) TASKREG_MUST_USE;

/* ---- Listing ----------------------------------------------------------------------------- */

/* One live task, as tr_snapshot lists it. [E3, E5, E7, T3, B3, N4] */
typedef struct tr_task_summary {
  uint32_t size;                  /* sizeof(tr_task_summary) */
  uint32_t state;                 /* TR_STATE_... */
  uint64_t id;                    /* unique in the process, never reused */
  char name[64];                  /* UTF-8, NUL-terminated */
  tr_kind kind;                   /* as given to tr_spawn */
  int32_t thread_id;              /* the kernel's thread id (gettid); 0 while starting */
  int64_t spawned_at_ns;          /* CLOCK_MONOTONIC */
  int64_t spawned_at_unix_ns;     /* the same moment on CLOCK_REALTIME, derived when listed */
  int64_t age_ns;                 /* from spawn to the moment of listing */
  uint32_t cancel_requested;      /* 1 once its flag is up */
  uint32_t flags;                 /* TR_SPAWN_CLEANUP if it is a clean-up task, TR_SPAWN_UNJOINED
                                     if it is an unjoined one */
  int64_t cancel_requested_at_ns; /* CLOCK_MONOTONIC; 0 while its flag is down */
  const char *checkpoint;         /* the last string given to tr_checkpoint, or NULL */
  uint64_t progress_done;         /* from the last tr_progress; all three are of the same call */
  uint64_t progress_total;        /* 0: not known, or no progress was reported */
  const char *progress_unit;      /* NULL when none was reported */
  int64_t progress_at_ns;         /* CLOCK_MONOTONIC; 0 when no progress was reported */
  uint32_t phase;                 /* as in tr_spawn_options */
  uint32_t stalled;               /* 1 while a heartbeat is overdue */
  uint32_t stop_level;            /* TR_STOP_... */
  uint32_t library_wait;          /* TR_LIBRARY_WAIT_...: the wait of the library in which it
                                     sleeps, from tr_health; TR_LIBRARY_WAIT_NONE from
                                     tr_snapshot, which does not look */
  int64_t draining_for_ns;        /* how long ago it called tr_begin_drain; -1: it has not */
  int64_t library_waited_ns;      /* for how long; -1: in none */
  char group[128];                /* the task's group, as the path "net/peers" from the root
                                     registry: UTF-8, 127 bytes are kept, cut at a character
                                     boundary; "" in the root registry */
  char label[128];                /* the text last given to tr_label: NUL-terminated, as it was
                                     given; "" if there is none */
  uint64_t runs;                  /* how many times its body has begun, of a task that starts again
                                     or is periodic; 0 for other tasks */
  int64_t starts_in_ns;           /* how much longer it waits for its next run; INT64_MAX: it is
                                     paused; -1: it does not wait */
  uint32_t last_how;              /* TR_ENDED_...: how its last run ended; 0: none has */
  int32_t last_code;              /* what the body returned there; 0 unless that is a failure */
  uint64_t parent_id;             /* the id of the task that has spawned it, which may have ended;
                                     0: it was spawned by no task */
  uint64_t spawn_address;         /* the address to which the call that spawned or adopted it
                                     returned; 0: not known */
} tr_task_summary;

#define TR_TASK_SUMMARY_INIT                                                                       \
  {                                                                                                \
    (uint32_t)sizeof(tr_task_summary), 0u, 0u, {0}, 0u, 0, 0, 0, 0, 0u, 0u, 0, NULL, 0u, 0u, NULL, \
        0, 0u, 0u, 0u, 0u, 0, 0, {0}, {0}, 0u, 0, 0u, 0, 0u, 0u                                   \
  }

/* Return how many tasks of `registry` are alive, abandoned ones included. [J5, N1]

   Returns:   the number; 0 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
size_t tr_len(const tr_registry *registry);

/* Say whether no task of `registry` is alive.

   Returns:   1 when there is none, else 0; 1 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
int tr_is_empty(const tr_registry *registry);

/* List the live tasks of `registry`. A task that is alive throughout the call is listed exactly
   once, a task that ended before the call is not listed, and no entry mixes two tasks or two
   moments. [N3]

   Requires:  buffer has room for capacity elements and buffer[0].size is set by
              TR_TASK_SUMMARY_INIT (the element size is read from there); or buffer is NULL and
              capacity is 0, to get the count alone.
   Returns:   TR_OK; TR_ERR_TRUNCATED when there are more than capacity tasks; TR_ERR_INVALID.
   Output:    *count (not NULL) is the number of live tasks, on TR_OK and TR_ERR_TRUNCATED; the
              first min(*count, capacity) elements are filled, in no particular order; what the
              others have is undefined. If an element is larger than this library knows, its
              further bytes are zero.
   Threads:   any thread; takes no lock, except briefly when it moves from group to group; blocks no
              spawn.
   Since:     0.2 */
tr_status tr_snapshot(tr_registry *registry, tr_task_summary *buffer, size_t capacity,
                      size_t *count) TASKREG_MUST_USE;

/* ---- Joining ----------------------------------------------------------------------------- */

/* The result of a join or a shutdown. Start from TR_JOIN_REPORT_INIT. To have the stragglers
   listed, set `stragglers` to an array of stragglers_capacity elements whose first is initialised
   with TR_TASK_SUMMARY_INIT. The array stays the caller's, and the library allocates nothing for
   it. [E1, E4, E5, G4] */
typedef struct tr_join_report {
  uint32_t size;                /* sizeof(tr_join_report) */
  uint32_t threads_left;        /* threads that a tr_shutdown could not join although all tasks had
                                   ended, or that are in a callback; 0 while tasks are pending and
                                   on TR_OK */
  uint64_t ended;               /* tasks that ended while the call waited, however they ended */
  uint64_t failed;              /* of these, bodies that returned non-zero */
  uint64_t exited;              /* of these, bodies that left by pthread_exit or cancellation */
  uint64_t pending;             /* tasks alive at the deadline: aborted + abandoned */
  uint64_t aborted;             /* of these, ended within the abort grace */
  uint64_t abandoned;           /* of these, still alive after the abort grace: still tracked */
  uint64_t rejected;            /* spawns rejected while the call waited */
  int64_t elapsed_ns;           /* how long the call took, without the time to examine stragglers
                                   for a full report */
  tr_task_summary *stragglers;  /* in: where to list the tasks alive at the deadline, or NULL */
  uint64_t stragglers_capacity; /* in: room in stragglers, in elements */
  uint64_t stragglers_count;    /* out: elements written: min(pending, stragglers_capacity). state
                                   is TR_STATE_ABANDONED, or TR_STATE_ENDED for an aborted one */
  int64_t extended_ns;          /* out: how far the deadline was extended for tasks that made
                                   progress */
  tr_report **full;             /* in: where to put a full report of the stragglers, or NULL; see
                                   tr_report */
  int64_t callbacks_ns;         /* out: time spent in the application's functions during the call:
                                   log callbacks, phase callbacks, and functions registered for a
                                   cancellation. The call may exceed its deadline by this much. */
  uint64_t ended_before;        /* out: tasks that ended after the registry's token had been
                                   cancelled, and before the call; they are not among `ended` */
  uint64_t failed_before;       /* out: of these, bodies that returned non-zero */
  uint64_t exited_before;       /* out: of these, bodies that left by pthread_exit or
                                   cancellation */
  uint64_t unjoined;            /* out: unjoined tasks that are alive, which are in none of the
                                   numbers above; a full report lists them behind the stragglers */
} tr_join_report;

#define TR_JOIN_REPORT_INIT                                                                        \
  {                                                                                                \
    (uint32_t)sizeof(tr_join_report), 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0, NULL, 0u, 0u, 0, NULL, 0, \
        0u, 0u, 0u, 0u                                                                             \
  }

/* Wait until every task of `registry` has ended, including those spawned meanwhile, or until
   timeout_ns nanoseconds from now. No task is asked to stop before the deadline. At the deadline
   the flag of every straggler is raised, and the call waits up to the registry's abort grace for
   them to end. Functions registered for the stragglers' cancellation run on a thread of the
   library; the call waits at most 10 ms for them. Here and below, "every task" and "no task" leave
   out unjoined tasks (TR_SPAWN_UNJOINED). [C4, J1-J7, S9, T5]

   Requires:  the caller is not a task of the registry or of a group inside it (else
              TR_ERR_DEADLOCK, nothing changed); report is NULL or initialised with
              TR_JOIN_REPORT_INIT.
   Returns:   TR_OK: no task is alive; TR_ERR_DEADLINE: some were alive at the deadline;
              TR_ERR_CANCELLED: the flag of the calling task (of another registry) was raised;
              TR_ERR_DEADLOCK, TR_ERR_INVALID; TR_ERR_NOMEM, nothing changed, if there is no memory
              for report->full.
   Output:    *report (may be NULL) and *report->full are written on TR_OK and TR_ERR_DEADLINE, else
              untouched.
   Ownership: report->stragglers stays the caller's. *report->full is the caller's too: release it
              with tr_report_release.
   Threads:   any thread, several at once; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_join_all(tr_registry *registry, int64_t timeout_ns, tr_join_report *report)
    TASKREG_MUST_USE;

/* As tr_join_all, with a full report instead of a tr_join_report, which languages such as Go cannot
   fill in: it holds the address of another pointer. tr_report_counts has the counts, and
   tr_report_straggler the stragglers. [E1, J1]

   Requires:  as tr_join_all; report is not NULL.
   Returns:   as tr_join_all; TR_ERR_NOMEM, nothing changed, if there is no memory for the report.
   Output:    *report is written on TR_OK and TR_ERR_DEADLINE, else untouched.
   Ownership: *report is the caller's; release it with tr_report_release.
   Threads:   as tr_join_all.
   Since:     0.2 */
tr_status tr_join_all_report(tr_registry *registry, int64_t timeout_ns, tr_report **report)
    TASKREG_MUST_USE;

/* Wait until every task of `registry` has ended, including those spawned meanwhile, or until
   timeout_ns nanoseconds from now. Unlike tr_join_all, it asks no task to stop at the end of the
   timeout, so that a program can print what it is waiting for and then wait again. [J9]

   Requires:  as tr_join_all.
   Returns:   TR_OK: at some moment of the call no task was alive; TR_ERR_TIMEDOUT: the timeout
              passed first; TR_ERR_CANCELLED: the flag of the calling task (of another registry) was
              raised; TR_ERR_DEADLOCK, TR_ERR_INVALID.
   Threads:   any thread, several at once; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_registry_wait(tr_registry *registry, int64_t timeout_ns) TASKREG_MUST_USE;

/* Close `registry`, cancel its token with reason and message, and join its tasks as tr_join_all
   does, with a deadline grace_ns nanoseconds from now. After TR_OK no thread of the registry is
   left but those of unjoined tasks. A registry that was shut down stays closed; a further call
   joins what is left.

   Tasks are asked to stop phase by phase. The token asks those of phase 0. When these have ended,
   or their share of the time is over, those of phase 1 are asked, and so on; the registry's token
   never asks a task of a later phase, however it is cancelled. When a phase starts, the remaining
   time is divided equally among it and the later phases that have tasks. Time that a phase does not
   use goes to the later ones. A task that does not stop therefore takes no time from the phases
   after its own; the call keeps waiting for it until the deadline. tr_shutdown_with sets shares of
   other sizes. [E5, G4, J1, S5]

   Requires:  as tr_join_all, and the caller is not a thread of the registry running a destructor of
              its thread-specific data (else TR_ERR_DEADLOCK); message as in tr_token_cancel. A
              token given in the registry's options is cancelled too, and so are other registries
              linked to it.
   Returns:   TR_OK; TR_ERR_DEADLINE: tasks were alive at the deadline, or (pending is 0 and
              threads_left is not) a thread whose task had ended was held up, until a second beyond
              the deadline, by a destructor of the application's thread-specific data or a callback;
              TR_ERR_CANCELLED, TR_ERR_DEADLOCK (nothing changed), TR_ERR_INVALID; TR_ERR_NOMEM,
              nothing changed, if there is no memory for report->full.
   Output:    as tr_join_all.
   Ownership: message is copied.
   Threads:   any thread, several at once; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_shutdown(tr_registry *registry, tr_reason reason, const char *message,
                      int64_t grace_ns, tr_join_report *report) TASKREG_MUST_USE;

/* A function that a shutdown calls when a phase has begun, or when it has ended, with
   tr_shutdown_options.phase_context, the number of the phase, and how many of its tasks are alive,
   unjoined ones left out. Each of the phases 0 to 7 begins and ends once, in this order, whether
   it has tasks or not: what closes the connections after the workers is called though no worker was
   left. A phase has begun once its tasks have been asked to stop. It has ended when all of them
   have, or its time is over, the last one that has tasks after the abort grace: the number says
   whether any is still alive.

   It is called on the thread that shuts down, under no lock, in the shutdown's time. What is due
   meanwhile, the next phase or the deadline, comes when it returns, except for a second signal,
   which takes effect at once; a phase whose time has gone by then is asked and told to abort in one
   step. It may call every function of the library. Spawns are rejected as the registry is closed; a
   shutdown that it calls is one of its own, with the callbacks of its own options. If it ends its
   thread (pthread_exit), the shutdown goes no further: another one asks the phases that are left.
   None is called after the flag of the calling task has cut the shutdown short. [E5, P7] */
typedef void (*tr_phase_fn)(void *context, uint32_t phase, uint64_t tasks);

/* How a shutdown proceeds. Start from TR_SHUTDOWN_OPTIONS_INIT; a zero field means its default.
   [E4, E5, E6] */
typedef struct tr_shutdown_options {
  uint32_t size;                   /* sizeof(tr_shutdown_options) */
  uint32_t warn_percent;           /* the percentage of the grace after which TR_EVENT_DEADLINE_NEAR
                                      is reported if tasks are alive: 1 to 99; 0: 80; TR_WARN_NEVER:
                                      not at all */
  int64_t max_grace_ns;            /* the deadline, and the time of the phase, are extended while
                                      tasks make progress (tr_progress), but never beyond
                                      max_grace_ns nanoseconds from the call; 0: no extension,
                                      but for a phase that has a limit of its own */
  int64_t progress_window_ns;      /* a task makes progress if it reported any within the last
                                      progress_window_ns nanoseconds. The deadline is then that long
                                      after the report. Less than 1 ms is 1 ms; 0: 1 s */
  uint32_t phase_share[TR_PHASES]; /* how the time is divided: a phase gets its share out of the sum
                                      of its own and those of the later phases that have tasks; each
                                      is at most 1000000; all 0: equal shares; a single 0: the phase
                                      reserves no time for itself */
  int64_t phase_max_grace_ns[TR_PHASES]; /* the time of a phase, and with it the deadline, is
                                      extended while tasks of it and of earlier ones make progress,
                                      but never beyond this many nanoseconds from its start, nor
                                      beyond max_grace_ns if that is not 0; 0: as max_grace_ns
                                      says */
  tr_phase_fn on_phase_begin;      /* called when a phase has begun, or NULL */
  tr_phase_fn on_phase_end;        /* called when a phase has ended, or NULL */
  void *phase_context;             /* for both */
} tr_shutdown_options;

/* For tr_shutdown_options.warn_percent: report no TR_EVENT_DEADLINE_NEAR. */
#define TR_WARN_NEVER 0xFFFFFFFFu

#define TR_SHUTDOWN_OPTIONS_INIT                                                                   \
  { (uint32_t)sizeof(tr_shutdown_options), 0u, 0, 0, {0}, {0}, NULL, NULL, NULL }

/* As tr_shutdown, with options.

   Requires:  as tr_shutdown; options is NULL or initialised with TR_SHUTDOWN_OPTIONS_INIT; bytes
              beyond the structure this library knows must be zero; no negative numbers.
   Returns:   as tr_shutdown.
   Output:    as tr_join_all.
   Ownership: as tr_shutdown.
   Threads:   as tr_shutdown.
   Since:     0.2 */
tr_status tr_shutdown_with(tr_registry *registry, tr_reason reason, const char *message,
                           int64_t grace_ns, const tr_shutdown_options *options,
                           tr_join_report *report) TASKREG_MUST_USE;

/* As tr_shutdown_with, with a full report instead of a tr_join_report, as tr_join_all_report. [E1,
   J1]

   Requires:  as tr_shutdown_with; report is not NULL.
   Returns:   as tr_shutdown_with; TR_ERR_NOMEM, nothing changed, if there is no memory for the
              report.
   Output:    as tr_join_all_report.
   Ownership: message is copied; *report is the caller's; release it with tr_report_release.
   Threads:   as tr_shutdown_with.
   Since:     0.2 */
tr_status tr_shutdown_report(tr_registry *registry, tr_reason reason, const char *message,
                             int64_t grace_ns, const tr_shutdown_options *options,
                             tr_report **report) TASKREG_MUST_USE;

/* ---- Tasks ------------------------------------------------------------------------------- */

/* How a task ended. [O1] */
enum {
  TR_ENDED_RETURNED = 1, /* its body returned 0 */
  TR_ENDED_FAILED = 2,   /* its body returned another value */
  TR_ENDED_EXITED = 3    /* its thread left the body by pthread_exit or thread cancellation; or it
                            was an adopted one, and ended without tr_leave */
};

/* The outcome of a task. Start from TR_OUTCOME_INIT. */
typedef struct tr_outcome {
  uint32_t size;          /* sizeof(tr_outcome) */
  uint32_t how;           /* TR_ENDED_... */
  int32_t code;           /* the body's return value; 0 if it exited */
  uint32_t was_cancelled; /* 1 if its flag was up when it ended */
  char message[128];      /* set with tr_task_set_message, UTF-8, NUL-terminated; else empty */
} tr_outcome;

#define TR_OUTCOME_INIT                                                                            \
  { (uint32_t)sizeof(tr_outcome), 0u, 0, 0u, {0} }

/* Return the task that the calling thread is running.

   Returns:   the task; NULL outside a task.
   Ownership: borrowed; it is valid until the body and its drop have returned.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_task *tr_task_self(void);

/* Add a reference to `task`, so that it can be used after its end.

   Returns:   task itself; NULL for NULL.
   Ownership: the caller holds one more reference; release it with tr_task_release.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_task *tr_task_retain(tr_task *task);

/* Release a reference to `task`; the task itself is not affected.

   Requires:  task is NULL (a no-op) or a reference that the caller holds.
   Threads:   any thread; does not block, except for log_drop, which it may call.
   Since:     0.2 */
void tr_task_release(tr_task *task);

/* Return the id of `task`, unique in the process and never reused.

   Returns:   the id, at least 1; 0 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
uint64_t tr_task_id(const tr_task *task);

/* Copy the name of `task` into `buffer`, as snprintf would: at most capacity - 1 bytes, cut at a
   character boundary, and a terminating NUL when capacity is not 0.

   Requires:  buffer has room for capacity bytes, or is NULL.
   Returns:   the length in bytes of the whole name without the NUL (1 to 63); 0 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
size_t tr_task_name(const tr_task *task, char *buffer, size_t capacity);

/* Return the kind of `task`.

   Returns:   the kind; 0 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_kind tr_task_kind(const tr_task *task);

/* Return the phase of `task`, as in tr_spawn_options. [E5]

   Returns:   0 to TR_PHASES - 1; 0 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
uint32_t tr_task_phase(const tr_task *task);

/* Attach a pointer of the application's to the calling task, for code that gets the task alone: a
   function deep below the body, by tr_task_self; a log callback on the task's thread; another
   thread that has a reference. A later call replaces it. The library does not use what it points
   to, and does not free it. [O5]

   Requires:  called by the task itself: its body, its drop, or a log callback on its thread.
   Returns:   TR_OK; TR_ERR_INVALID when task is not the calling task, or has ended.
   Ownership: what data points to stays the caller's; keep it valid for as long as another thread
              may read it.
   Threads:   the task's own; never blocks.
   Since:     0.2 */
tr_status tr_task_set_data(tr_task *task, void *data) TASKREG_MUST_USE;

/* Return the pointer that `task` has attached. What the task wrote there before it attached the
   pointer is visible to the caller. [O5]

   Returns:   the pointer, also after the end of the task; NULL if it has attached none, and for
              NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
void *tr_task_data(const tr_task *task);

/* Say whether `task` was asked to stop: one atomic load (acquire). [C3]

   Returns:   1 once its flag is up, else 0; 0 for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
int tr_task_is_cancelled(const tr_task *task);

/* Return how urgently `task` was asked to stop: one atomic load (acquire). [C15]

   Returns:   TR_STOP_...; TR_STOP_NONE for NULL.
   Threads:   any thread; never blocks.
   Since:     0.2 */
uint32_t tr_task_stop_level(const tr_task *task);

/* Return the address of the flag of `task`, for loops too tight for a call. The flag is its level:
   TR_STOP_NONE until the task is asked to stop, then TR_STOP_DRAIN or TR_STOP_ABORT. Read it
   atomically, for example by __atomic_load_n(flag, __ATOMIC_ACQUIRE); never write it.

   Returns:   the address; NULL for NULL.
   Ownership: borrowed; it is valid as long as the task is.
   Threads:   any thread; never blocks.
   Since:     0.2 */
const uint32_t *tr_task_cancel_flag(const tr_task *task);

/* Ask `task` to stop: raise its flag and end the library's wait that it is in, if any. Nothing is
   killed. [C3, C5]

   Returns:   TR_OK, also when it was asked before or has ended; TR_ERR_INVALID for NULL.
   Threads:   any thread; does not wait for the task.
   Since:     0.2 */
tr_status tr_task_cancel(tr_task *task) TASKREG_MUST_USE;

/* Tell `task` to abort: raise its level to TR_STOP_ABORT and end the library's wait that it is in,
   also while it drains. Nothing is killed. [C5, C15]

   Returns:   TR_OK, also when it was told before or has ended; TR_ERR_INVALID for NULL.
   Threads:   any thread; does not wait for the task.
   Since:     0.2 */
tr_status tr_task_abort(tr_task *task) TASKREG_MUST_USE;

/* Say that the calling task has heard the request to stop, and finishes its work. From now on every
   wait of the library in this task (tr_sleep, tr_wait_fd, tr_cond_wait, tr_task_wait,
   tr_token_wait, tr_join_all, tr_wait_cancelled, ...) waits again, and returns TR_ERR_CANCELLED
   only once the level is TR_STOP_ABORT: at the deadline of the shutdown, by a second signal, or by
   tr_task_abort. The cancel signal of the task stops, and is sent again when the task is told to
   abort.

     while (tr_task_stop_level(task) == TR_STOP_NONE)
       serve_next_request(connection);
     if (tr_begin_drain() == TR_OK)
       finish_requests_under_way(connection);

   Lists and reports show for how long the task has been draining. The call may be made before the
   task is asked to stop; a further call changes nothing. [C16]

   Returns:   TR_OK; TR_ERR_CANCELLED when the level is TR_STOP_ABORT already: the waits end as
              before; TR_ERR_INVALID outside a task.
   Threads:   a task's own thread; does not block.
   Since:     0.2 */
tr_status tr_begin_drain(void) TASKREG_MUST_USE;

/* Begin a shield: until the matching tr_shield_end no wait of the library in the calling task ends
   by its level, neither to drain nor to abort. It is for destructors and clean-up that have to wait
   for something that is certain to end, such as tasks that they have cancelled. Shields nest; those
   that are left open end with the task. Wait with a timeout in a shield unless the end is certain:
   a deadline does not end such a wait. [C17]

   Returns:   TR_OK; TR_ERR_INVALID outside a task.
   Threads:   a task's own thread; does not block.
   Since:     0.2 */
tr_status tr_shield_begin(void) TASKREG_MUST_USE;

/* End the innermost shield of the calling task. [C17]

   Returns:   TR_OK; TR_ERR_INVALID outside a task, or when there is no shield.
   Threads:   a task's own thread; does not block.
   Since:     0.2 */
tr_status tr_shield_end(void) TASKREG_MUST_USE;

/* Return a token of the calling task's own, to hand to code that takes a token. It is cancelled
   when the task is asked to stop, and aborted when the task is told to abort, in whatever way: with
   the reason and message of the registry's token if that is cancelled, with TR_REASON_DEADLINE by
   the deadline of a join, else with TR_REASON_NONE. It is a child of the registry's token, unless
   that does not ask the task to stop: for clean-up tasks and tasks of later phases. If the level of
   the task alone is raised, the token is cancelled where the task's callbacks run. The end of the
   task does not cancel it. The first call creates it, and every further call returns the same one.
   [C18]

   Requires:  called by the task itself, from its body.
   Returns:   the token; NULL with errno set as by tr_token_create: EINVAL for NULL, when task is
              not the calling task, and when its body is over.
   Ownership: borrowed; it lives until the body is over. Retain it to keep it longer.
   Threads:   the task's own; does not block.
   Since:     0.2 */
tr_token *tr_task_token(tr_task *task);

/* Set the message in the outcome of the calling task. A later call replaces it.

   Requires:  called by the task itself, from its body; message is NULL (none) or UTF-8; the first
              127 bytes are kept, cut at a character boundary.
   Returns:   TR_OK; TR_ERR_INVALID when task is not the calling task or message is not UTF-8.
   Ownership: message is copied.
   Threads:   the task's own; never blocks.
   Since:     0.2 */
tr_status tr_task_set_message(tr_task *task, const char *message) TASKREG_MUST_USE;

/* As tr_task_set_message, for text whose encoding is not known, such as that of strerror(3) in a
   locale without UTF-8: each byte that is not UTF-8 becomes U+FFFD, the replacement character. [O1]

   Requires:  called by the task itself, from its body; message is NULL (none) or a string; of the
              result the first 127 bytes are kept, cut at a character boundary.
   Returns:   TR_OK; TR_ERR_INVALID when task is not the calling task.
   Ownership: message is copied.
   Threads:   the task's own; never blocks.
   Since:     0.2 */
tr_status tr_task_set_message_lossy(tr_task *task, const char *message) TASKREG_MUST_USE;

/* Wait until `task` has ended, or until timeout_ns nanoseconds from now. [C4, O3]

   Requires:  the caller is not task itself (else TR_ERR_DEADLOCK); outcome is NULL or initialised
              with TR_OUTCOME_INIT.
   Returns:   TR_OK; TR_ERR_TIMEDOUT; TR_ERR_CANCELLED when the flag of the calling task is raised
              first; TR_ERR_DEADLOCK, also, at once, if `task` waits for the calling task and
              neither wait has a time limit; TR_ERR_INVALID. Longer circles are not refused; a
              report names them (tr_explain).
   Output:    *outcome (may be NULL) is written on TR_OK, else untouched.
   Threads:   any thread, several at once; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_task_wait(tr_task *task, int64_t timeout_ns, tr_outcome *outcome) TASKREG_MUST_USE;

/* Sleep for duration_ns nanoseconds, or indefinitely with TR_FOREVER. Inside a task the sleep ends
   early when the task is asked to stop; outside one it is a plain sleep. [C4]

   Returns:   TR_OK after the whole time; TR_ERR_CANCELLED when the flag of the calling task was up
              already or was raised meanwhile.
   Threads:   any thread; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_sleep(int64_t duration_ns) TASKREG_MUST_USE;

/* ---- Shutdown from a signal -------------------------------------------------------------- */

/* SIGHUP requests a reload: it cancels with TR_REASON_RELOAD_REQUESTED, however often it
   arrives. */
#define TR_SIGNALS_HUP_RELOADS 0x1u

/* What a watched signal asks for. [C13] */
enum {
  TR_SIGNAL_STOP = 0,     /* a stop: the first cancels, the second aborts, the third ends the
                             process */
  TR_SIGNAL_STOP_NOW = 1, /* a stop that counts as the second, or as the third if two have come */
  TR_SIGNAL_RELOAD = 2,   /* a stop in order to start again, which is not counted */
  TR_SIGNAL_EXPLAIN = 3   /* nobody is asked to stop: what the live tasks are doing is written to a
                             descriptor, as text */
};

/* The role of one signal. It has no size: it never grows. */
typedef struct tr_signal_role {
  int32_t signal_number;
  uint32_t role;    /* TR_SIGNAL_... */
  tr_reason reason; /* the token's; 0: TR_REASON_USER_REQUESTED, or TR_REASON_RELOAD_REQUESTED for a
                       reload */
  int32_t fd;       /* for TR_SIGNAL_EXPLAIN: where to; it must stay open as long as the watch.
                       What it does not take within a second is left out; until then the answer to
                       the next signal may be delayed, and for longer if a write blocks although
                       poll(2) says that it will not. For other roles it is not read */
} tr_signal_role;

/* How signals are handled. Start from TR_SIGNAL_OPTIONS_INIT; a zero field means its default. */
typedef struct tr_signal_options {
  uint32_t size;               /* sizeof(tr_signal_options) */
  uint32_t flags;              /* TR_SIGNALS_...; unknown bits: TR_ERR_INVALID */
  int64_t debounce_ns;         /* a stop that comes within this time of the last one that was
                                  counted is not counted, as wrappers deliver Ctrl-C twice; 0:
                                  100 ms; TR_NO_DEBOUNCE: every stop counts; any other negative
                                  value: TR_ERR_INVALID */
  const tr_signal_role *roles; /* roles_count elements: signals that are watched in addition to
                                  those of the set, or that ask for something other than a stop;
                                  copied */
  uint64_t roles_count;        /* at most one for each signal */
} tr_signal_options;

/* For tr_signal_options.debounce_ns: every stop counts. It is not -1, as that is TR_FOREVER.
   [C13] */
#define TR_NO_DEBOUNCE -2LL

#define TR_SIGNAL_OPTIONS_INIT                                                                     \
  { (uint32_t)sizeof(tr_signal_options), 0u, 0, NULL, 0u }

/* Let signals shut `registry` down. The first signal cancels its token, with
   TR_REASON_USER_REQUESTED and the signal's name ("SIGTERM") as the message. The program, which
   waits for the token, then calls tr_shutdown. A second signal, before or during the shutdown,
   tells the tasks of the phases asked so far to abort, and cuts the grace short for every
   tr_shutdown of this registry and of the groups inside it, even while callbacks of the first
   signal are still running. The deadline is then now for the phases asked so far. The remaining
   phases are asked in their order, each with 100 ms, or with the abort grace if that is longer,
   also if less was left to the original deadline. So a shutdown of n phases is over n times that
   after the second signal, at the latest. A third signal ends the process at once, with the status
   128 + its number. Signals that come within debounce_ns of the last one that counted do not count.
   A report says what cut the shutdown short. Signals may have roles: SIGQUIT can mean "stop now",
   and SIGUSR2 "explain to this descriptor", which is answered while the program sits in
   tr_shutdown, too, unless a callback of the cancellation is still running.

   A SIGHUP that requests a reload (see TR_SIGNALS_HUP_RELOADS) cancels the token and counts as none
   of the three. If both a reload and a stop have arrived, the stop takes precedence.

     tr_token *token = tr_registry_token(registry);
     tr_status status = tr_signal_watch_start(registry, NULL, NULL);
     if (status == TR_OK) status = tr_token_wait(token, TR_FOREVER);
     if (status == TR_OK)
       status = tr_shutdown(registry, tr_token_reason(token), NULL, grace_ns, &report);

   A token keeps its first reason, so a SIGTERM that arrives while a reload stops the tasks does not
   change the token. tr_signal_watch_pending reports such a signal, and the next watch starts with
   it: the token of its registry is already cancelled when this call returns. A program that reloads
   needs no code for that.

   Handlers are installed for the whole process, with SA_RESTART and SA_ONSTACK, and two threads of
   the library are started. One, "taskreg-signals", cancels the token and runs the callbacks of that
   cancellation, which may block, and may end the thread by pthread_exit. The other leaves the
   signals unblocked, so that every thread of the program may block them. No descriptor is used. A
   process can have one watch at a time.

   In a child process the signals have their previous actions, and are not counted here, however the
   child was created. A program that a child of fork(2) executes ignores the signals that were
   ignored before the watch. posix_spawn(3), system(3) and popen(3) run none of the library's code
   in the child and set such a signal to its default action. To keep a signal ignored in those
   children, leave it out of the set.

   To lose no signal between the start of the program and this call, block the signals with
   pthread_sigmask(3) first; they are delivered to the watch. If the registry is created after that,
   programs that its tasks start have them blocked, unless blocked_signals of its options says
   otherwise. To go from one registry to the next, as a reload does, call tr_signal_watch_move,
   which leaves no gap; or block the signals from tr_signal_watch_stop to the next
   tr_signal_watch_start. If another handler is installed for a watched signal, the registry's log
   callback receives TR_EVENT_SIGNAL_LOST, between a second and a minute later. [C13]

   Requires:  registry is not NULL. set is NULL, for SIGINT and SIGTERM (and SIGHUP if it reloads),
              except those that are ignored at the time, as under nohup(1); or a set of signals that
              can have a handler and are not synchronous faults; it may be empty. None is the cancel
              signal of a task, has the handler of tr_install_cancel_signal, or is the signal for
              backtraces. options is NULL (defaults) or initialised with TR_SIGNAL_OPTIONS_INIT.
   Returns:   TR_OK; TR_ERR_INVALID, also when there is a watch already; TR_ERR_NOMEM; TR_ERR_AGAIN
              when the system refuses a thread; TR_ERR_SYSTEM when it refuses a handler.
   Ownership: the watch holds a reference to the registry until tr_signal_watch_stop.
   Threads:   any thread; does not block, except briefly while it takes over a pending stop.
   Since:     0.2 */
tr_status tr_signal_watch_start(tr_registry *registry, const sigset_t *set,
                                const tr_signal_options *options) TASKREG_MUST_USE;

/* As tr_signal_watch_start, with the numbers of the signals in an array, for languages that do not
   know the layout of sigset_t. [C13]

   Requires:  as tr_signal_watch_start; signals has `count` numbers, at most 64, and may have one
              twice. NULL with count 0 is for the same signals as a NULL set; an array without
              elements is an empty set.
   Returns:   as tr_signal_watch_start; TR_ERR_INVALID also for a number that is not a signal.
   Ownership: as tr_signal_watch_start; the numbers are copied.
   Threads:   as tr_signal_watch_start.
   Since:     0.2 */
tr_status tr_signal_watch_start_array(tr_registry *registry, const int *signals, size_t count,
                                      const tr_signal_options *options) TASKREG_MUST_USE;

/* Stop the watch that tr_signal_watch_start started: its threads have ended when this returns, and
   the signals have their previous actions again, unless another handler was installed since. [C13]

   Requires:  tr_signal_watch_start has succeeded for this registry, or tr_signal_watch_move has
              moved the watch to it, and the watch was not stopped.
   Returns:   TR_OK; TR_ERR_INVALID when there is no such watch; TR_ERR_DEADLOCK from a callback of
              the token's cancellation on the watch's own thread.
   Threads:   any thread; waits for callbacks that the watch's thread is running.
   Since:     0.2 */
tr_status tr_signal_watch_stop(tr_registry *registry) TASKREG_MUST_USE;

/* Move the watch of tr_signal_watch_start from `from` to `to`, so that signals shut `to` down from
   now on, as a reload needs between two registries. At no moment are the signals unwatched. Signals
   that have arrived move too: after one stop, even one that was already reported to `from`, the
   token of `to` is cancelled when this returns; after two, the grace of its shutdowns is also cut
   short. [C13]

   Requires:  tr_signal_watch_start has succeeded for `from`, or the watch was moved to it, and the
              watch was not stopped; `to` is not NULL.
   Returns:   TR_OK; TR_ERR_INVALID when there is no such watch.
   Ownership: the watch holds a reference to `to` instead of the one to `from`.
   Threads:   any thread; does not block, except briefly while it takes over a pending stop.
   Since:     0.2 */
tr_status tr_signal_watch_move(tr_registry *from, tr_registry *to) TASKREG_MUST_USE;

/* Say whether a signal has asked the program to stop without being reported by a token: the watched
   registry had been cancelled for another reason before, such as TR_REASON_RELOAD_REQUESTED. The
   next tr_signal_watch_start starts with that signal; a program that makes no such call should end.
   [C13]

   Returns:   the number of the first such signal; 0 if there is none. A signal that has just
              arrived may be returned for the moment until the token is cancelled.
   Threads:   any thread; does not block.
   Since:     0.2 */
int tr_signal_watch_pending(void);

/* Request that the thread of tr_signal_watch_start cancel `token` with `reason` soon; for use in
   the application's own signal handlers. Of several requests for one token the first counts. [C14]

   Requires:  tr_signal_watch_start has succeeded for some registry (its set may be empty) and the
              watch was not stopped; the caller has a reference to token.
   Returns:   TR_OK; TR_ERR_INVALID for NULL, or when there is no such thread.
   Threads:   any thread; never blocks. It is the only function of the library that is
              async-signal-safe; it leaves errno unchanged.
   Since:     0.2 */
tr_status tr_request_shutdown(tr_token *token, tr_reason reason) TASKREG_MUST_USE;

/* ---- Waits, descriptors and callbacks ---------------------------------------------------- */

/* Wait until the calling task is asked to stop, or until timeout_ns nanoseconds from now. [C8]

   Returns:   TR_ERR_CANCELLED; TR_ERR_TIMEDOUT; TR_ERR_INVALID outside a task.
   Threads:   a task's own thread; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_wait_cancelled(int64_t timeout_ns) TASKREG_MUST_USE;

/* Wait until the descriptor `fd` has one of `events` (POLLIN, POLLOUT, ... of poll(2)), an error or
   a hang-up, or until timeout_ns nanoseconds from now; inside a task also until it is asked to
   stop. The request to stop is checked first, so a busy peer cannot keep a task from stopping.
   Tasks that wait in this way share descriptors of the library, one for 32 tasks or more, unless
   they have one by tr_task_fd. docs/costs.md lists everything that costs a descriptor, a thread or
   a mapping. [C8]

   Returns:   TR_OK; TR_ERR_TIMEDOUT; TR_ERR_CANCELLED; TR_ERR_INVALID when fd is not open;
              TR_ERR_NOMEM; TR_ERR_SYSTEM with errno set when a task's first wait needs a descriptor
              to share and none is available, and, with EBADF, in every wait of a task after the
              application has closed that descriptor. A program that closes all descriptors, to
              become a daemon, does so before it creates a registry.
   Threads:   any thread; blocks; not a cancellation point. Signals do not shorten it.
   Since:     0.2 */
tr_status tr_wait_fd(int fd, short events, int64_t timeout_ns) TASKREG_MUST_USE;

/* As tr_wait_fd, until one of `count` descriptors has one of its events, an error or a hang-up: the
   structures are those of poll(2), and negative descriptors are left out. [C19]

   Requires:  fds has count elements; it may be NULL if count is 0.
   Returns:   as tr_wait_fd; TR_ERR_INVALID when a descriptor is not open (its revents is POLLNVAL),
              or fds is NULL; TR_ERR_SYSTEM with EINVAL for more descriptors than RLIMIT_NOFILE.
   Output:    the field revents of each element is written on TR_OK, and on TR_ERR_INVALID for a
              descriptor that is not open; else untouched.
   Threads:   as tr_wait_fd.
   Since:     0.2 */
tr_status tr_wait_fds(struct pollfd *fds, size_t count, int64_t timeout_ns) TASKREG_MUST_USE;

/* Sleep, wait for the request to stop, or wait for a descriptor, as tr_sleep, tr_wait_cancelled and
   tr_wait_fd do, on any thread: what ends the wait early is that `task` is asked to stop. They are
   for language runtimes in which the code of a task may run on another thread than its own. On the
   task's own thread each is the same as its sibling. On another thread it uses the descriptor of
   tr_task_fd; the flag of the calling thread's own task, if it has one, does not end it. [C8]

   Requires:  the caller has a reference to task, or is called by it.
   Returns:   as tr_sleep, tr_wait_cancelled and tr_wait_fd; on another thread also TR_ERR_INVALID
              when task has ended without having been asked to stop, and the errors of tr_task_fd. A
              task that ends during the wait does not end it, unless it is asked to stop.
   Threads:   any thread, several at once; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_task_sleep(tr_task *task, int64_t duration_ns) TASKREG_MUST_USE;
tr_status tr_task_wait_cancelled(tr_task *task, int64_t timeout_ns) TASKREG_MUST_USE;
tr_status tr_task_wait_fd(tr_task *task, int fd, short events, int64_t timeout_ns)
    TASKREG_MUST_USE;

/* Wait on the condition variable `cond`, as pthread_cond_timedwait(3) does, until it is signalled,
   or until timeout_ns nanoseconds from now; inside a task also until it is asked to stop, which is
   checked first. As with any condition variable, TR_OK may be spurious, so call it in a loop around
   your condition. The timeout is measured on CLOCK_MONOTONIC, whatever clock the condition variable
   was created with.

     tr_status status = TR_OK;
     pthread_mutex_lock(&mutex);
     while (queue_is_empty && status == TR_OK)
       status = tr_cond_wait(&not_empty, &mutex, TR_FOREVER);

   To stop a task in such a wait, a thread of the library broadcasts the condition variable. Other
   threads that wait on it wake spuriously, as POSIX allows. The thread that cancels may hold the
   mutex and does not wait for anything. As with any signal of a condition variable, threads that
   were woken earlier and are not scheduled delay those that wait on the same one. A task that was
   asked to stop before the call gets TR_ERR_CANCELLED without having released the mutex: a loop
   that ignores the status spins, and keeps out whoever would end it. [C9]

   Requires:  the caller has locked mutex, once, and mutex is not robust. Both are initialised, and
              live until every such wait has returned.
   Returns:   TR_OK; TR_ERR_TIMEDOUT; TR_ERR_CANCELLED; TR_ERR_INVALID for NULL, or when an
              error-checking mutex is not the caller's, or mutex is robust; TR_ERR_SYSTEM for
              another failure of pthread_cond_clockwait(3) or pthread_mutex_lock(3), with errno set;
              TR_ERR_NOMEM, without having waited. The caller holds the mutex as before, unless
              errno says that it cannot be locked.
   Threads:   any thread; blocks; not a cancellation point. Signals do not shorten it.
   Since:     0.2 */
tr_status tr_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t timeout_ns)
    TASKREG_MUST_USE;

/* As tr_cond_wait, also until `token` is cancelled; in any thread, inside a task or not. [C9, C18]

   Requires:  as tr_cond_wait; token is not NULL.
   Returns:   as tr_cond_wait; TR_ERR_CANCELLED when the token is cancelled, too.
   Threads:   as tr_cond_wait.
   Since:     0.2 */
tr_status tr_cond_wait_token(pthread_cond_t *cond, pthread_mutex_t *mutex, tr_token *token,
                             int64_t timeout_ns) TASKREG_MUST_USE;

/* Install a handler that does nothing for a signal, so that a system call the signal interrupts
   returns EINTR instead of being restarted, as tr_spawn_options.cancel_signal needs. A program may
   instead install a handler of its own without SA_RESTART. With SA_RESTART the signal would
   interrupt nothing, and such a handler is rejected, as are the signals for which language runtimes
   have handlers. Choose a signal that has no other use, such as SIGRTMIN + 1. [C10]

   Returns:   TR_OK when the handler is installed, now or before; TR_ERR_INVALID for a number that
              is not a signal, is SIGKILL, SIGSTOP or a synchronous fault, and for a signal that has
              another handler or is ignored: it is left unchanged.
   Threads:   any thread; does not block. The handler stays until the process ends.
   Since:     0.2 */
tr_status tr_install_cancel_signal(int signal_number) TASKREG_MUST_USE;

/* Acknowledge that the calling task was asked to stop: its cancel_signal is not sent again. If it
   was not asked to stop, or has no such signal, the call does nothing. [C10]

   Returns:   TR_OK; TR_ERR_INVALID outside a task.
   Threads:   a task's own thread; does not block.
   Since:     0.2 */
tr_status tr_acknowledge_cancel(void) TASKREG_MUST_USE;

/* Get a descriptor that becomes readable, for poll(2), select(2) and epoll(7), when `token` is
   cancelled, and stays readable. The first call creates it, and every further call returns the
   same one. Do not read from it, write to it or close it. [C6]

   Requires:  neither argument is NULL.
   Returns:   TR_OK; TR_ERR_INVALID; TR_ERR_NOMEM; TR_ERR_SYSTEM with errno set when the process or
              the system has no descriptor left (EMFILE, ENFILE).
   Output:    *fd is written on TR_OK, else untouched. It is non-blocking, and closed on exec.
   Ownership: the descriptor is the token's, and closed with it.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_status tr_token_fd(tr_token *token, int *fd) TASKREG_MUST_USE;

/* As tr_token_fd, for the moment `task` is asked to stop. [C6]

   Requires:  neither argument is NULL.
   Returns:   as tr_token_fd.
   Output:    as tr_token_fd.
   Ownership: the descriptor is the task's. It is closed when the task has ended and the last
              reference to it was released.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_status tr_task_fd(tr_task *task, int *fd) TASKREG_MUST_USE;

/* As tr_token_fd, for the moment `token` is aborted. It is another descriptor. [C6, C15]

   Requires:  neither argument is NULL.
   Returns:   as tr_token_fd.
   Output:    as tr_token_fd.
   Ownership: as tr_token_fd.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_status tr_token_abort_fd(tr_token *token, int *fd) TASKREG_MUST_USE;

/* As tr_task_fd, for the moment `task` is told to abort. It is another descriptor. [C6, C15]

   Requires:  neither argument is NULL.
   Returns:   as tr_token_fd.
   Output:    as tr_token_fd.
   Ownership: as tr_task_fd.
   Threads:   any thread; does not block.
   Since:     0.2 */
tr_status tr_task_abort_fd(tr_task *task, int *fd) TASKREG_MUST_USE;

/* A function registered for the cancellation of a token or a task. [P7] */
typedef struct tr_registration tr_registration;
typedef void (*tr_cancel_fn)(void *ctx);

/* Register fn(ctx) to be called when `token` is cancelled, with the semantics of C++20's
   std::stop_callback: at most once, on the thread that cancels, with no lock held, once the flags
   of everything below the token are up. If the token is already cancelled, this call itself calls
   fn; or the thread that cancels does, if it is still calling the token's callbacks: then this call
   returns TR_OK, and tr_registration_remove waits for fn. If a task is cancelled by the deadline of
   a tr_join_all or tr_shutdown, a thread of the library calls fn. [C7, J4]

   Requires:  token, fn and registration are not NULL.
   Returns:   TR_OK; TR_ERR_CANCELLED when fn was called at once; TR_ERR_INVALID; TR_ERR_NOMEM.
   Output:    *registration must be passed to tr_registration_remove; it is NULL with
              TR_ERR_CANCELLED, when there is nothing to remove, and undefined with TR_ERR_NOMEM.
   Ownership: the registration holds a reference to the token. On TR_OK and TR_ERR_CANCELLED
              drop(ctx) (drop may be NULL) is called exactly once, after fn, or by
              tr_registration_remove if fn never runs; on other errors ctx stays the caller's.
   Threads:   any thread; calls fn and drop. fn may call any function, including
              tr_registration_remove for itself, and tr_token_cancel and tr_token_release for the
              token.
   Since:     0.2 */
tr_status tr_token_on_cancel(tr_token *token, tr_cancel_fn fn, void *ctx, tr_drop_fn drop,
                             tr_registration **registration) TASKREG_MUST_USE;

/* As tr_token_on_cancel, for the moment `task` is asked to stop, in whatever way: by
   tr_task_cancel, its registry's token, or the deadline of a join. [C7]

   Requires:  task, fn and registration are not NULL.
   Returns:   as tr_token_on_cancel. fn is not called for a task that ends without being asked to
              stop.
   Output:    as tr_token_on_cancel.
   Ownership: as tr_token_on_cancel; the registration holds a reference to the task.
   Threads:   as tr_token_on_cancel.
   Since:     0.2 */
tr_status tr_task_on_cancel(tr_task *task, tr_cancel_fn fn, void *ctx, tr_drop_fn drop,
                            tr_registration **registration) TASKREG_MUST_USE;

/* As tr_token_on_cancel, for the moment `token` is aborted. [C7, C15]

   Requires:  as tr_token_on_cancel.
   Returns:   as tr_token_on_cancel; TR_ERR_CANCELLED when the token is aborted already.
   Output:    as tr_token_on_cancel.
   Ownership: as tr_token_on_cancel.
   Threads:   as tr_token_on_cancel.
   Since:     0.2 */
tr_status tr_token_on_abort(tr_token *token, tr_cancel_fn fn, void *ctx, tr_drop_fn drop,
                            tr_registration **registration) TASKREG_MUST_USE;

/* As tr_task_on_cancel, for the moment `task` is told to abort. After a second signal a thread of
   the library calls fn. [C7, C15]

   Requires:  as tr_task_on_cancel.
   Returns:   as tr_token_on_cancel. fn is not called for a task that ends before it is told to
              abort.
   Output:    as tr_token_on_cancel.
   Ownership: as tr_task_on_cancel.
   Threads:   as tr_token_on_cancel.
   Since:     0.2 */
tr_status tr_task_on_abort(tr_task *task, tr_cancel_fn fn, void *ctx, tr_drop_fn drop,
                           tr_registration **registration) TASKREG_MUST_USE;

/* A function to be called when a task has ended. [P7] */
typedef void (*tr_end_fn)(void *ctx);

/* Register fn(ctx) to be called once `task` has ended, in whatever way: its outcome can be read,
   and it is in no list. fn is called exactly once unless its registration is removed before: on the
   thread of the registry's that ran the task, inside no task and with no lock held, or, if the task
   has ended already, by this call. A tr_task_wait and a join may return before fn has been called;
   a tr_shutdown of the root registry that returned TR_OK has waited for those on its threads. While
   fn blocks, that thread serves no
   other task. [O4]

   Requires:  task and fn are not NULL; registration may be NULL: then nothing can remove it.
   Returns:   TR_OK; TR_ERR_INVALID; TR_ERR_NOMEM.
   Output:    *registration must be passed to tr_registration_remove, before or after fn has been
              called; it is NULL when this call called fn, and undefined with an error.
   Ownership: the registration holds a reference to the task, until fn has been called or the
              registration is removed. On TR_OK drop(ctx) (drop may be NULL) is called exactly once,
              after fn, or by tr_registration_remove if fn never runs; on errors ctx stays the
              caller's.
   Threads:   any thread; may call fn and drop. fn may call any function; a tr_shutdown of the
              task's root registry is TR_ERR_DEADLOCK there, as it would wait for the thread.
   Since:     0.2 */
tr_status tr_task_on_end(tr_task *task, tr_end_fn fn, void *ctx, tr_drop_fn drop,
                         tr_registration **registration) TASKREG_MUST_USE;

/* What has happened to the function when its registration is removed. */
enum {
  TR_REMOVAL_NEVER_RUNS = 0, /* it was not called, and never will be */
  TR_REMOVAL_HAS_RUN = 1,    /* it has run, or is itself calling tr_registration_remove */
  TR_REMOVAL_WAITED = 2      /* another thread was running it, and it has returned */
};

/* Remove a registration: when this returns, fn is not running and never will run. If another thread
   is running fn, this call waits for that one function and its drop. A call from fn itself returns
   at once. [C7]

   Requires:  nothing; NULL is allowed, and nothing happens.
   Returns:   TR_REMOVAL_NEVER_RUNS, also for NULL and in a forked child; TR_REMOVAL_HAS_RUN;
              TR_REMOVAL_WAITED.
   Ownership: the registration is released. Remove each registration once, whether fn has run or
              not.
   Threads:   any thread; may block as described, whether or not the flag of the calling task is up;
              may call drop.
   Since:     0.2 */
uint32_t tr_registration_remove(tr_registration *registration);

/* ---- Checkpoints, progress and heartbeats ------------------------------------------------ */

/* Set the checkpoint of the calling task: a text that says what it does next. Snapshots and reports
   show the last one. The call looks the text up among those of the process, which takes some tens
   of nanoseconds, and copies it at its first use. [E3]

   Requires:  where is NULL (nothing in particular) or a string. Reports show up to 255 bytes of it;
              bytes that are not valid UTF-8 are replaced. If one process uses more than 4096
              different texts, the further ones are shown as "(too many different texts)".
   Returns:   TR_OK; TR_ERR_INVALID outside a task.
   Ownership: each different text is copied once and never freed; the string is the caller's again
              when the call returns.
   Threads:   a task's own thread; never blocks.
   Since:     0.2 */
tr_status tr_checkpoint(const char *where) TASKREG_MUST_USE;

/* Set the label of the calling task: whom or what it is working for now, such as a URL, a peer or a
   key. Snapshots, reports, lists and events show it beside the task's name and checkpoint. Unlike a
   checkpoint it may be different each time: nothing is allocated, and nothing is kept. [E14]

   Requires:  text is NULL (none), or a string. 127 bytes are kept, cut at a character boundary;
              bytes that are not UTF-8 are shown as U+FFFD.
   Returns:   TR_OK; TR_ERR_INVALID outside a task.
   Ownership: the text is copied.
   Threads:   a task's own thread; never blocks. Others read it at any moment, and whole.
   Since:     0.2 */
tr_status tr_label(const char *text) TASKREG_MUST_USE;

/* Report the progress of the calling task: done of total units. A further call with the same
   numbers does not count as progress. Snapshots and reports show the three values of one call
   together. A shutdown may wait longer for a task that makes progress
   (tr_shutdown_options.max_grace_ns). [E3, E4]

   Requires:  total is 0 when it is not known. unit is NULL or a string as in tr_checkpoint:
              "blocks".
   Returns:   TR_OK; TR_ERR_INVALID outside a task.
   Ownership: as tr_checkpoint.
   Threads:   a task's own thread; never blocks. It reads the clock, which takes some 30 ns.
   Since:     0.2 */
tr_status tr_progress(uint64_t done, uint64_t total, const char *unit) TASKREG_MUST_USE;

/* Report a heartbeat: the calling thread is within the interval that tr_spawn_options.heartbeat_ns
   or tr_heartbeat_promise has set. A task without an interval may call it too. A task that was
   reported as stalled (TR_EVENT_TASK_STALLED) is reported as recovered. In a thread that is not a
   task and has no interval, while tr_systemd_start serves systemd's watchdog, the call itself sets
   one: half of the watchdog's interval, until tr_systemd_stop or the end of the thread. [E7]

   Returns:   TR_OK; TR_ERR_INVALID outside a task if no interval is set and there is no such
              watchdog; with it also TR_ERR_NOMEM, TR_ERR_AGAIN as tr_heartbeat_promise.
   Threads:   any thread, for itself; does not block. It may call the log callback for that event.
   Since:     0.2 */
tr_status tr_heartbeat(void) TASKREG_MUST_USE;

/* For tr_heartbeat_promise: time in the library's own waits (tr_sleep, tr_wait_fd, tr_cond_wait,
   tr_token_wait, ...) does not count, and the end of each wait is a heartbeat; for event loops. */
#define TR_HEARTBEAT_EXCEPT_WAITS 0x1u

/* Set the heartbeat interval of the calling thread: from now on it calls tr_heartbeat at least
   every interval_ns nanoseconds. The call replaces an earlier interval. A task sets or changes its
   own interval in this way. Any other thread, such as the main thread, can set one with `registry`:
   tr_health of that registry and systemd's watchdog then include the thread, tr_health lists it
   under the kernel's name for it and with the task id 0, and the events of
   tr_spawn_options.heartbeat_ns are reported for it. The interval of such a thread ends when the
   thread sets 0, when the thread ends, and when tr_shutdown of the registry returns TR_OK. [E7]

   Requires:  interval_ns is at least 0 (less than 1 ms is 1 ms; 0 removes the interval). flags is 0
              or TR_HEARTBEAT_EXCEPT_WAITS. In a task, registry is NULL or its own; otherwise it is
              not NULL, unless interval_ns is 0.
   Returns:   TR_OK; TR_ERR_INVALID, also in a task whose body is over; TR_ERR_NOMEM; TR_ERR_AGAIN
              when the system refuses the thread that the library needs for this; TR_ERR_CLOSED when
              the registry is closed and has no task; TR_ERR_DEADLOCK outside a task, in the log
              callback for the calling thread's own recovery, if the interval that the event is
              about would end. On an error nothing has changed, except that with TR_ERR_CLOSED the
              old interval has ended.
   Ownership: what a thread's interval needs of the registry is kept until the thread sets 0 or
              ends, even if the interval has ended before.
   Threads:   any thread, for itself. It waits for a log callback that is running for the interval
              it replaces.
   Since:     0.2 */
tr_status tr_heartbeat_promise(tr_registry *registry, int64_t interval_ns, uint32_t flags)
    TASKREG_MUST_USE;

/* Pause or resume the heartbeat interval of the calling thread. Pause it for an operation that is
   known to take long. A paused thread is never stalled. Each call counts as a heartbeat. [E7]

   Returns:   TR_OK, also when it is paused, or resumed, already; TR_ERR_INVALID in a thread without
              an interval.
   Threads:   any thread, for itself; as tr_heartbeat.
   Since:     0.2 */
tr_status tr_heartbeat_pause(void) TASKREG_MUST_USE;
tr_status tr_heartbeat_resume(void) TASKREG_MUST_USE;

/* Say whether every task of `registry` is within its heartbeat interval, and list those that are
   stalled: the check that a watchdog needs. [E7]

   Requires:  buffer and capacity as in tr_snapshot. count may be NULL.
   Returns:   TR_OK: none is stalled; TR_ERR_STALLED: some are; TR_ERR_INVALID.
   Output:    *count is how many are stalled, on TR_OK and TR_ERR_STALLED; the first min(*count,
              capacity) elements are filled as by tr_snapshot, and library_wait with them, for
              which a file of proc(5) is read for each task in a wait.
   Threads:   as tr_snapshot.
   Since:     0.2 */
tr_status tr_health(tr_registry *registry, tr_task_summary *buffer, size_t capacity,
                    size_t *count) TASKREG_MUST_USE;

/* ---- Reports ----------------------------------------------------------------------------- */

/* A report is the full result of a join or a shutdown: which tasks did not stop, what each of them
   was doing, for how long, and whether it is stuck or merely slow; which tasks were the slowest to
   stop, also in a shutdown that succeeded; and how long each phase took. To get one, set
   tr_join_report.full to a tr_report *:

     tr_report *full = NULL;
     tr_join_report report = TR_JOIN_REPORT_INIT;
     report.full = &full;
     if (tr_shutdown(registry, reason, message, grace_ns, &report) == TR_ERR_DEADLINE)
       TR_IGNORE(tr_report_write(full, STDERR_FILENO, TR_FORMAT_TEXT));
     tr_report_release(full);

   A report is an object of its own: it copies its data, and refers neither to the registry nor to
   tasks. It lists every straggler, up to TR_REPORT_MOST of them. Further ones are counted but not
   listed, and so are those for which there was no memory. Examining a straggler takes some 30
   microseconds, after the deadline (and the abort grace). No task is stopped for it. While a
   straggler is examined, nothing is allocated and no lock of the application's is taken. [E1,
   E10] */

#define TR_REPORT_MOST 65536u /* the most stragglers that a report lists */

/* What a straggler seems to be doing, judged by how Linux says its thread is scheduled, by the CPU
   time it used, and by the progress it reported with tr_progress. */
enum {
  TR_DIAGNOSIS_UNKNOWN = 0,     /* the system does not say */
  TR_DIAGNOSIS_STARTING = 1,    /* its thread has not entered the body yet */
  TR_DIAGNOSIS_BLOCKED = 2,     /* it waits in the kernel: syscall_name and wait_channel say for
                                   what */
  TR_DIAGNOSIS_SPINNING = 3,    /* it has used a CPU for most of cpu_since_span_ns, or of its age */
  TR_DIAGNOSIS_WORKING = 4,     /* it is running or runnable some of the time */
  TR_DIAGNOSIS_PROGRESSING = 5, /* it reported progress in the last second before it was examined */
  TR_DIAGNOSIS_STOPPED = 6,     /* stopped by a signal or a debugger */
  TR_DIAGNOSIS_ENDED = 7,       /* it has ended meanwhile */
  TR_DIAGNOSIS_IDLE = 8,        /* it sleeps in a wait of the library: library_wait says in which.
                                   Its flag ends that, unless it is in a shield, or drains and was
                                   not told to abort: a report as text says so. What it waits for
                                   may never come */
  TR_DIAGNOSIS_WAITING = 9      /* it waits for its next run and has no thread: starts_in_ns says
                                   for how much longer */
};

/* The waits of the library that a report tells apart from being blocked. [E15] */
enum {
  TR_LIBRARY_WAIT_NONE = 0,       /* it is in none */
  TR_LIBRARY_WAIT_TIME = 1,       /* tr_sleep, tr_task_sleep */
  TR_LIBRARY_WAIT_CANCEL = 2,     /* tr_wait_cancelled, tr_task_wait_cancelled */
  TR_LIBRARY_WAIT_DESCRIPTOR = 3, /* tr_wait_fd, tr_task_wait_fd */
  TR_LIBRARY_WAIT_CONDITION = 4,  /* tr_cond_wait, tr_cond_wait_token: to be signalled; not to
                                     lock the mutex again */
  TR_LIBRARY_WAIT_TASK = 5,       /* tr_task_wait */
  TR_LIBRARY_WAIT_TASKS = 6,      /* tr_join_all, tr_shutdown, tr_registry_wait */
  TR_LIBRARY_WAIT_TOKEN = 7,      /* tr_token_wait, tr_token_wait_any */
  TR_LIBRARY_WAIT_ROOM = 8,       /* tr_wait_room, a spawn with room_wait_ns */
  TR_LIBRARY_WAIT_DESCRIPTORS = 9 /* tr_wait_fds */
};

/* What the descriptor is that a task waits for. [E13] */
enum {
  TR_DESCRIPTOR_NOT_KNOWN = 1, /* the text says why */
  TR_DESCRIPTOR_FILE = 2,      /* a file or a directory, with its path */
  TR_DESCRIPTOR_DEVICE = 3,
  TR_DESCRIPTOR_TERMINAL = 4,
  TR_DESCRIPTOR_PIPE = 5,   /* with a name or without */
  TR_DESCRIPTOR_TCP = 6,    /* with its addresses, state, and bytes to read */
  TR_DESCRIPTOR_UDP = 7,    /* likewise */
  TR_DESCRIPTOR_UNIX = 8,   /* with its names and the process at the other end */
  TR_DESCRIPTOR_SOCKET = 9, /* another one, or one that was not asked */
  TR_DESCRIPTOR_EVENTFD = 10,
  TR_DESCRIPTOR_TIMERFD = 11,
  TR_DESCRIPTOR_EPOLL = 12,
  TR_DESCRIPTOR_SIGNALFD = 13,
  TR_DESCRIPTOR_INOTIFY = 14,
  TR_DESCRIPTOR_OTHER = 15
};

/* What a thread waits for. For a lock or the end of a thread the report names a holder only if it
   is proven: the lock and its owner were read twice, the owner is a live thread of this process,
   and the thread was in the same wait before and after. The lock has to be one of glibc's, or one
   whose owner the kernel knows. Otherwise it is TR_WAITS_UNKNOWN, and a TR_GAP_... says why. What a
   lock has of its owner is a thread id: see holder_is_certain. Of a task in a wait of the library
   (library_wait) it is what that is for, not how it sleeps. [Q1, E15] */
enum {
  TR_WAITS_UNKNOWN = 0,     /* not known; see wait_gap */
  TR_WAITS_NOTHING = 1,     /* it runs */
  TR_WAITS_MUTEX = 2,       /* a mutex, held by holder_thread_id */
  TR_WAITS_RWLOCK = 3,      /* a read-write lock, held by the writer holder_thread_id, or by
                               wait_count readers */
  TR_WAITS_SIGNAL = 4,      /* a condition variable or a semaphore: to be signalled by any thread */
  TR_WAITS_THREAD = 5,      /* the end of the thread holder_thread_id */
  TR_WAITS_DESCRIPTOR = 6,  /* the descriptor wait_fd */
  TR_WAITS_DESCRIPTORS = 7, /* several descriptors; wait_count if poll(2) says how many */
  TR_WAITS_FILE_LOCK = 8,   /* a lock of a file, through the descriptor wait_fd; wait_pid holds it,
                               0: not known, or a lock of an open file (F_OFD_SETLKW) */
  TR_WAITS_CHILD = 9,       /* the end of a child process, wait_pid; 0: of any */
  TR_WAITS_TIME = 10,       /* it sleeps */
  TR_WAITS_TASK = 11,       /* the end of the task holder_task_id, which need not be in this
                               report */
  TR_WAITS_TASKS = 12,      /* the end of all tasks of a registry: of wait_count stragglers;
                               holder_task_id is one that waits for this task, or is in a circle
                               of waits, or else the oldest; both are 0 without memory */
  TR_WAITS_TOKEN = 13,      /* the cancellation of a token */
  TR_WAITS_STOP = 14,       /* that it is asked to stop */
  TR_WAITS_ROOM = 15        /* room for another task in a registry */
};

/* Why it is not known what a thread waits for. */
enum {
  TR_GAP_NONE = 0,           /* it is known */
  TR_GAP_UNREAD = 1,         /* what Linux says of the thread cannot be read; see probe_error */
  TR_GAP_OUTSIDE = 2,        /* it does not run and is in no system call: it waits for memory, or is
                                stopped */
  TR_GAP_CALL = 3,           /* the arguments of its system call do not say */
  TR_GAP_FOREIGN = 4,        /* it is in futex(2), but not in a lock of glibc's that the library
                                knows */
  TR_GAP_UNLIKE = 5,         /* the lock is not as glibc leaves one that is held */
  TR_GAP_SHARED = 6,         /* other processes may use the lock, with thread ids of another
                                namespace */
  TR_GAP_OWNERLESS = 7,      /* the lock names no owner */
  TR_GAP_OWNER_GONE = 8,     /* the owner that the lock names is not a live thread of this
                                process */
  TR_GAP_CHANGED = 9,        /* it changed each time it was examined */
  TR_GAP_UNMAPPED = 10,      /* the memory of the lock is not mapped */
  TR_GAP_FORBIDDEN = 11,     /* the system forbids the process to copy its own memory
                                (process_vm_readv(2)) */
  TR_GAP_OTHER_LIBRARY = 12, /* glibc's locks are not those that the library was built for */
  TR_GAP_UNTESTED = 13,      /* there was no thread, memory or time to find that out */
  TR_GAP_NO_THREAD = 14      /* the task has no thread yet, or has ended */
};

/* One straggler, as returned by tr_report_straggler. frames and descriptor_text are valid as long
   as the report. */
typedef struct tr_straggler {
  uint32_t size;                   /* sizeof(tr_straggler) */
  uint32_t diagnosis;              /* TR_DIAGNOSIS_... */
  uint64_t id;                     /* id to phase are as in tr_task_summary */
  char name[64];
  tr_kind kind;
  int32_t thread_id;
  uint32_t state;
  uint32_t phase;
  int64_t age_ns;                  /* from spawn to the moment it was examined */
  int64_t cancel_requested_for_ns; /* from when it was asked to stop to that moment; -1: it was
                                      not */
  int64_t cpu_ns;                  /* CPU time it has used, to within a few milliseconds; -1: not
                                      known, for example if its thread started it right after a long
                                      task */
  int64_t cpu_since_ns;            /* of that, used in the last cpu_since_span_ns; -1: not known */
  int64_t cpu_since_span_ns;       /* the time since it was asked to stop by tr_task_cancel or a
                                      deadline; or since the shutdown first sampled it, 10 ms after
                                      its phase was asked, or a tenth of the grace */
  uint32_t cancel_checks;          /* how often it has checked for cancellation since it was asked
                                      to stop: by tr_task_is_cancelled, or by a wait that ended with
                                      TR_ERR_CANCELLED. 0: never */
  uint32_t reads_flag_directly;    /* 1: it has called tr_task_cancel_flag, and may have checked the
                                      flag without being counted */
  char scheduler_state;            /* as in proc_pid_stat(5): 'R', 'S', 'D', 'T', ...; 0: not
                                      known */
  char wait_channel[47];           /* the kernel function it sleeps in, as in proc_pid_wchan(5), or
                                      "" */
  int32_t syscall;                 /* the number of the system call it is in; -1: in none, or not
                                      known */
  uint32_t stalled;                /* as in tr_task_summary */
  const char *syscall_name;        /* "read", or NULL for a number the library has no name for */
  const char *checkpoint;          /* as in tr_task_summary */
  uint64_t progress_done;
  uint64_t progress_total;
  const char *progress_unit;
  int64_t progress_age_ns;         /* how long ago it reported progress; -1: never */
  const uint64_t *frames;          /* its backtrace: the address where it was, then return
                                      addresses, innermost first, frame_count in total; NULL without
                                      a backtrace. See tr_enable_backtraces */
  uint32_t frame_count;
  uint32_t flags;                  /* as in tr_task_summary */
  char group[128];                 /* as in tr_task_summary */
  uint32_t backtrace;              /* TR_BACKTRACE_...: whether it was taken, and why not */
  int32_t probe_error;             /* 0, or the errno that kept the library from reading everything
                                      Linux says about its thread: EMFILE or ENFILE if no descriptor
                                      was available, EACCES after setuid(2), see tr_explain */
  uint32_t stop_level;             /* TR_STOP_... */
  uint32_t reserved2;              /* 0 */
  int64_t draining_for_ns;         /* for how long it had been draining when it was examined; -1:
                                      it was not */
  int32_t descriptor;              /* the descriptor it waits for in that system call: read, recv,
                                      write, send, accept, connect, poll of one, fsync, flock, ...;
                                      -1: none, or not known */
  uint32_t descriptor_kind;        /* TR_DESCRIPTOR_...; 0 without a descriptor */
  const char *descriptor_text;     /* what it is, in at most 255 bytes of UTF-8 without control
                                      characters: "pipe, written by this process's fd 6"; NULL
                                      without a descriptor */
  char label[128];                 /* as in tr_task_summary */
  uint32_t library_wait;           /* TR_LIBRARY_WAIT_...: the wait of the library in which it
                                      sleeps */
  uint32_t reserved3;              /* 0 */
  uint64_t library_wait_object;    /* the descriptor, or the id of the task, that it waits for; 0
                                      for other waits */
  int64_t library_waited_ns;       /* for how long; -1: it is in no wait of the library */
  int64_t library_wait_remaining_ns; /* how much longer if nothing ends it; -1: not limited, or no
                                        wait */
  int64_t run_queue_ns;            /* how long its thread, not for this task alone, has waited for a
                                      processor; -1: not known */
  uint32_t waits_for;              /* TR_WAITS_... */
  uint32_t wait_gap;               /* TR_GAP_...: why that is not known */
  uint64_t wait_address;           /* of the lock, or of what is to be signalled; 0: none */
  uint64_t holder_task_id;         /* the task that the holder runs, if it is in this report, or
                                      that has to end; 0: none */
  int32_t holder_thread_id;        /* the kernel's id of the thread that holds the lock or has to
                                      end, or runs the task that has to; 0: none, or not known */
  int32_t wait_fd;                 /* -1: none */
  int32_t wait_pid;                /* 0: none */
  uint32_t wait_count;             /* readers that hold the lock, descriptors, or tasks; 0: none */
  char holder_name[64];            /* of that task, or the kernel's name of the thread; "": not
                                      known */
  int64_t waited_at_least_ns;      /* how long it has waited for that, at the least: in a wait of
                                      the library since it began; else since an earlier report, or
                                      the sample of cpu_since_ns, if its thread has not run since.
                                      -1: not known, as Linux does not tell */
  uint64_t runs;                   /* runs to last_code are as in tr_task_summary */
  int64_t starts_in_ns;
  uint32_t last_how;
  int32_t last_code;
  uint64_t parent_id;              /* this and spawn_address are as in tr_task_summary */
  uint64_t spawn_address;
  uint32_t holder_is_certain;      /* 1: the holder is the thread that took the lock, or has to end.
                                      0: there is none; or an earlier thread with the same id may
                                      have taken the lock and ended with it, as it is not known
                                      that no thread id has come round since */
  uint32_t reserved;               /* 0 */
} tr_straggler;

/* Whether a backtrace was taken, and why not. */
enum {
  TR_BACKTRACE_NOT_ENABLED = 0, /* tr_enable_backtraces was not called, or none was requested */
  TR_BACKTRACE_TAKEN = 1,       /* frame_count is above 0 */
  TR_BACKTRACE_BLOCKED = 2,     /* its thread blocks the signal, or the signal has another
                                   handler */
  TR_BACKTRACE_UNANSWERED = 3,  /* its thread did not answer within a tenth of a second */
  TR_BACKTRACE_ENDED = 4,       /* the task ended before the signal was sent, or has no thread
                                   yet */
  TR_BACKTRACE_LEFT_OUT = 5     /* the report's second, or its room, for backtraces was used up */
};

#define TR_STRAGGLER_INIT                                                                          \
  {                                                                                                \
    (uint32_t)sizeof(tr_straggler), 0u, 0u, {0}, 0u, 0, 0u, 0u, 0, 0, 0, 0, 0, 0u, 0u, 0, {0}, 0,  \
        0u, NULL, NULL, 0u, 0u, NULL, 0, NULL, 0u, 0u, {0}, 0u, 0, 0u, 0u, 0, 0, 0u, NULL,         \
        {0}, 0u, 0u, 0u, 0, 0, 0, 0u, 0u, 0u, 0u, 0, 0, 0, 0u, {0}, 0, 0u, 0, 0u, 0, 0u, 0u, 0u,   \
        0u                                                                                         \
  }

/* A task that has ended: one of the slowest to stop in a report, or one of the last (tr_recent). */
typedef struct tr_ended_task {
  uint32_t size;         /* sizeof(tr_ended_task) */
  uint32_t how;          /* TR_ENDED_... */
  uint64_t id;           /* id, name, kind and group are as in tr_task_summary */
  char name[64];
  tr_kind kind;
  int32_t code;          /* as in tr_outcome */
  int64_t spawned_at_ns; /* CLOCK_MONOTONIC */
  int64_t ran_ns;        /* from spawn to its end */
  int64_t stop_ns;       /* from when it was asked to stop to its end; -1: it was not asked */
  char group[128];
} tr_ended_task;

#define TR_ENDED_TASK_INIT                                                                         \
  { (uint32_t)sizeof(tr_ended_task), 0u, 0u, {0}, 0u, 0, 0, 0, 0, {0} }

/* One phase of a shutdown that had tasks, or whose callbacks took a millisecond or more. */
typedef struct tr_phase_report {
  uint32_t size;       /* sizeof(tr_phase_report) */
  uint32_t phase;      /* its number */
  uint64_t asked;      /* its tasks that were alive when it started */
  uint64_t remaining;  /* its tasks that were alive when its time was over */
  int64_t start_ns;    /* from the call to its start */
  int64_t share_ns;    /* the time it was given; -1: no limit */
  int64_t duration_ns; /* the time it took: until all of its tasks had ended, or share_ns was
                          over */
  uint64_t ended_before; /* of phase 0: its tasks that ended after the registry's token had been
                            cancelled, and before the call; they are not among `asked` */
  int64_t callbacks_ns;  /* the time that its callbacks took (tr_phase_fn): that of on_phase_begin
                            is part of duration_ns, that of on_phase_end comes after it */
} tr_phase_report;

#define TR_PHASE_REPORT_INIT                                                                       \
  { (uint32_t)sizeof(tr_phase_report), 0u, 0u, 0u, 0, 0, 0, 0u, 0 }

/* Return the name of a diagnosis, in lower case: "spinning".

   Returns:   a static string, never NULL; "unknown" for a number that is not a diagnosis.
   Threads:   any thread; never blocks.
   Since:     0.2 */
const char *tr_diagnosis_name(uint32_t diagnosis);

/* Make a report of every live task of `registry` now, as a join's deadline does for its stragglers;
   for example from a signal that asks what the program is doing. No task is asked to stop.

   What the report says about a thread is read from files below /proc/self/task. If no descriptor is
   left for that, a thread with a descriptor table of its own reads them. In a program that has
   changed its user or group (setuid(2), or a set-user-ID program) these files belong to root, and
   the system call that a task is in cannot be read: probe_error is EACCES, syscall is -1, and the
   rest is as before. With backtraces enabled, on x86-64, syscall is still known for calls that are
   restarted after a signal, such as read(2). prctl(PR_SET_DUMPABLE, 1) after the change makes the
   files the program's again. It also lets other programs of the same user inspect the process, so
   the decision is the program's. [E1]

   Requires:  neither argument is NULL.
   Returns:   TR_OK; TR_ERR_INVALID; TR_ERR_NOMEM.
   Output:    *report is written on TR_OK, else untouched. Its counts are 0, except for pending and
              abandoned, which are the number of live tasks, and the time of log callbacks.
   Ownership: the report is the caller's; release it with tr_report_release.
   Threads:   any thread; takes some 30 microseconds for each task. It does not wait for tasks,
              except that with backtraces enabled it waits a tenth of a second for a thread that
              does not answer, and at most a second for all that do not. It may call the log
              callback (TR_EVENT_DEADLOCK).
   Since:     0.2 */
tr_status tr_explain(tr_registry *registry, tr_report **report) TASKREG_MUST_USE;

/* Take no backtraces, whether or not they are enabled: no thread is interrupted. */
#define TR_EXPLAIN_NO_BACKTRACES 1u
/* Do not say what the descriptors are that tasks wait for: no paths and no addresses. */
#define TR_EXPLAIN_NO_DESCRIPTORS 2u

/* List the threads of the process that run none of the tasks of the report, up to 256: first those
   that hold something that a task waits for, then others in the kernel's order. Threads that run
   tasks of other registries, and the library's own, are among them. See tr_report_thread. [Q7] */
#define TR_EXPLAIN_THREADS 4u

/* As tr_explain, with flags. 0 is the same as tr_explain, which takes backtraces if
   tr_enable_backtraces was called. TR_EXPLAIN_NO_BACKTRACES takes none, for a program that is
   inspected while it is healthy. The flags do not affect the reports of joins and shutdowns; see
   TR_REGISTRY_NO_DESCRIPTORS and TR_REGISTRY_REPORT_THREADS. [E1, E12, E13, Q7]

   Requires:  as tr_explain; flags is 0, or TR_EXPLAIN_... or'ed together.
   Returns:   as tr_explain.
   Output:    as tr_explain; without backtraces, backtrace of each straggler is
              TR_BACKTRACE_NOT_ENABLED; without descriptors, descriptor is -1.
   Ownership: as tr_explain.
   Threads:   as tr_explain.
   Since:     0.2 */
tr_status tr_explain_with(tr_registry *registry, uint32_t flags, tr_report **report)
    TASKREG_MUST_USE;

/* Free a report.

   Requires:  report is NULL (a no-op) or the caller's.
   Threads:   any thread, one at a time; does not block.
   Since:     0.2 */
void tr_report_release(tr_report *report);

/* Copy the counts of `report`: the ones that the call which made it wrote to its tr_join_report.

   Requires:  counts is initialised with TR_JOIN_REPORT_INIT; nothing is listed in it.
   Returns:   TR_OK; TR_ERR_INVALID.
   Output:    *counts is written on TR_OK; stragglers_count is how many stragglers the report lists,
              with the unjoined tasks behind them.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_status tr_report_counts(const tr_report *report, tr_join_report *counts) TASKREG_MUST_USE;

/* Copy one entry of `report`, by its index from 0: a straggler, one of the slowest tasks to stop,
   or a phase. Behind the stragglers of a join or a shutdown come the unjoined tasks that were alive
   at its end, with TR_SPAWN_UNJOINED in their flags. The slowest tasks come slowest first, up to
   16, stragglers not included. Phases come in order, without those that had no tasks; the report of
   a join has none. [E1, E5, E6]

   Requires:  the structure is initialised with its TR_..._INIT.
   Returns:   TR_OK; TR_ERR_INVALID when there is no such index, or an argument is NULL.
   Output:    written on TR_OK, else untouched.
   Ownership: straggler->frames and straggler->descriptor_text belong to the report and are valid
              until it is released.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_status tr_report_straggler(const tr_report *report, size_t index, tr_straggler *straggler)
    TASKREG_MUST_USE;
tr_status tr_report_slowest(const tr_report *report, size_t index, tr_ended_task *task)
    TASKREG_MUST_USE;
tr_status tr_report_phase(const tr_report *report, size_t index, tr_phase_report *phase)
    TASKREG_MUST_USE;

/* A thread of the process that runs none of the tasks of a report, as returned by
   tr_report_thread. */
typedef struct tr_thread_report {
  uint32_t size;            /* sizeof(tr_thread_report) */
  int32_t thread_id;        /* the kernel's id */
  char name[64];            /* the kernel's name of it, at most 15 bytes */
  char scheduler_state;     /* this and the next two are as in tr_straggler */
  char wait_channel[47];
  int32_t syscall;
  int32_t probe_error;      /* as in tr_straggler */
  const char *syscall_name; /* likewise */
  int64_t cpu_ns;           /* CPU time it has used; -1: not known */
  int64_t run_queue_ns;     /* how long it has waited for a processor; -1: not known */
  uint32_t holds_up;        /* how many stragglers wait for it, directly or through others, if it
                               waits for no other thread itself */
  uint32_t holds_up_directly; /* how many wait for something that it holds, or for its end */
  uint32_t waits_for;       /* this and the rest are as in tr_straggler */
  uint32_t wait_gap;
  uint64_t wait_address;
  uint64_t holder_task_id;
  int32_t holder_thread_id;
  int32_t wait_fd;
  int32_t wait_pid;
  uint32_t wait_count;
  char holder_name[64];
  uint32_t holder_is_certain;
  uint32_t holds_up_is_certain; /* 1: so is, in the same sense, what is said of holds_up and
                                   holds_up_directly */
} tr_thread_report;

#define TR_THREAD_REPORT_INIT                                                                      \
  {                                                                                                \
    (uint32_t)sizeof(tr_thread_report), 0, {0}, 0, {0}, 0, 0, NULL, 0, 0, 0u, 0u, 0u, 0u, 0u, 0u,  \
        0, 0, 0, 0u, {0}, 0u, 0u                                                                   \
  }

/* Copy one of the threads that `report` lists, by its index from 0. There are none unless they were
   asked for, by TR_EXPLAIN_THREADS or TR_REGISTRY_REPORT_THREADS. [Q7]

   Requires:  thread is initialised with TR_THREAD_REPORT_INIT.
   Returns:   TR_OK; TR_ERR_INVALID when there is no such index, or an argument is NULL.
   Output:    *thread is written on TR_OK, else untouched.
   Ownership: thread->syscall_name is static.
   Threads:   any thread; never blocks.
   Since:     0.2 */
tr_status tr_report_thread(const tr_report *report, size_t index, tr_thread_report *thread)
    TASKREG_MUST_USE;

/* The format in which something is written. */
enum {
  TR_FORMAT_TEXT = 1,       /* for people: UTF-8, control characters escaped as \xHH */
  TR_FORMAT_JSON = 2,       /* for machines: one JSON object (RFC 8259) on one line. A double holds
                               each of its numbers exactly; wall-clock times are text. The schemas
                               report.json and snapshot.json are installed in
                               share/taskreg/schema */
  TR_FORMAT_OPENMETRICS = 3 /* tr_metrics_write and tr_metrics_write_all only */
};

/* Write `report` to the descriptor `fd`, as text or as JSON. Function names in a backtrace are
   looked up in the dynamic symbol tables; functions without an entry there are shown as object and
   offset, for addr2line(1). [E10]

   Requires:  format is TR_FORMAT_TEXT or TR_FORMAT_JSON; fd is open for writing.
   Returns:   TR_OK; TR_ERR_INVALID; TR_ERR_SYSTEM with errno set when write(2) fails; a part may
              have been written. A pipe without a reader is EPIPE, without a SIGPIPE; a file at its
              size limit is EFBIG, without a SIGXFSZ.
   Threads:   any thread; blocks as write(2) does, even if fd is non-blocking, and whether or not
              the calling task is asked to stop; not a cancellation point. Allocates nothing.
   Since:     0.2 */
tr_status tr_report_write(const tr_report *report, int fd, uint32_t format) TASKREG_MUST_USE;

/* As tr_report_write, into a buffer of the caller's, as snprintf would: at most capacity - 1 bytes,
   cut at a character boundary, and a terminating NUL when capacity is not 0. A report does not
   change, so a second call with a buffer for *length + 1 bytes has room for it. [E10]

   Requires:  format is TR_FORMAT_TEXT or TR_FORMAT_JSON; buffer has room for capacity bytes, or is
              NULL and capacity is 0, to get the length alone; length is not NULL.
   Returns:   TR_OK; TR_ERR_TRUNCATED when buffer is not NULL and capacity is not above *length;
              TR_ERR_INVALID.
   Output:    *length, on TR_OK and TR_ERR_TRUNCATED, is the length in bytes of the whole text
              without the NUL. Nothing is written on an error.
   Threads:   any thread; not a cancellation point. Allocates nothing.
   Since:     0.2 */
tr_status tr_report_write_buffer(const tr_report *report, uint32_t format, char *buffer,
                                 size_t capacity, size_t *length) TASKREG_MUST_USE;

/* Write the live tasks of `registry` to the descriptor `fd`, as a table or as JSON. The guarantees
   of tr_snapshot about the list apply here too. [E9]

   Requires:  as tr_report_write.
   Returns:   as tr_report_write.
   Threads:   as tr_report_write. Tasks are written in no particular order.
   Since:     0.2 */
tr_status tr_snapshot_write(tr_registry *registry, int fd, uint32_t format) TASKREG_MUST_USE;

/* As tr_snapshot_write, into a buffer of the caller's, as tr_report_write_buffer does. Each call
   lists the tasks that are alive at the time, so a second call may need more room than the first
   one said: call again, with some room to spare, until the result is TR_OK. [E9]

   Requires:  as tr_report_write_buffer.
   Returns:   as tr_report_write_buffer.
   Output:    as tr_report_write_buffer; *length is that of the text of this call.
   Threads:   as tr_report_write_buffer. Tasks are written in no particular order.
   Since:     0.2 */
tr_status tr_snapshot_write_buffer(tr_registry *registry, uint32_t format, char *buffer,
                                   size_t capacity, size_t *length) TASKREG_MUST_USE;

/* Enable backtraces of stragglers in reports: signal_number is sent to the thread of each
   straggler, and its handler records the return addresses.

   The signal interrupts some system calls of the straggler with EINTR (signal(7) lists them; the
   others are restarted, by SA_RESTART). A thread that blocks the signal, or does not answer within
   a tenth of a second because it hangs in the kernel, has no backtrace. Only tasks that start after
   this call leave the signal unblocked, so make the call before the first spawn. The signal cannot
   also be a cancel_signal.

   The handler runs on the straggler's stack, or its alternate stack, and needs some 8 KiB of it,
   with what the kernel saves there. If there is less, or on a coroutine's stack that the handler
   cannot follow, the backtrace is shorter, down to the single address where the thread was; that
   one needs half a KiB beside what the kernel saves (AT_MINSIGSTKSZ of getauxval(3)). The handler
   allocates nothing, takes no lock and reads no unmapped memory. Return addresses are found with
   glibc, on x86-64 and aarch64, where process_vm_readv(2) is permitted. [E12]

   Returns:   TR_OK, also when called again with the same signal; TR_ERR_INVALID for a number that
              is not a signal, is SIGKILL, SIGSTOP or a synchronous fault, for a signal that has
              another handler or is ignored, and for another signal than the first time;
              TR_ERR_NOMEM.
   Threads:   any thread; does not block. The handler stays until the process ends.
   Since:     0.2 */
tr_status tr_enable_backtraces(int signal_number) TASKREG_MUST_USE;

/* ---- Metrics ----------------------------------------------------------------------------- */

/* Counters and durations of the tasks of one kind, or of all. Start from TR_METRICS_INIT. Members
   marked * are kept only with TR_REGISTRY_METRICS; without it, counters are 0 and durations are -1.
   A duration is the upper bound of its histogram bucket, at most a quarter above the true value,
   and -1 while there is none. Durations below 1.024 microseconds are reported as 1.024
   microseconds, and those above 19 hours as the longest measured. [E8] */
typedef struct tr_metrics {
  uint32_t size;        /* sizeof(tr_metrics) */
  uint32_t reserved;    /* 0 */
  uint64_t spawned;     /* tasks admitted, including those of groups; a task whose thread the system
                           then refuses is subtracted again */
  uint64_t ended;       /* of these, ended, in whatever way; includes failed and exited */
  uint64_t failed;      /* bodies that returned non-zero */
  uint64_t exited;      /* bodies that left by pthread_exit or cancellation */
  uint64_t rejected;    /* spawns rejected */
  uint64_t live;        /* alive now */
  uint64_t peak;        /* * the most tasks alive at once; may include one that was withdrawn
                             because the system refused its thread, and that counts as rejected */
  int64_t run_p50_ns;   /* * from spawn to end: half of the tasks took at most this long, ... */
  int64_t run_p90_ns;
  int64_t run_p99_ns;
  int64_t run_max_ns;   /* exact */
  int64_t stop_p50_ns;  /* * from the request to stop to the end, of the tasks that were asked */
  int64_t stop_p90_ns;
  int64_t stop_p99_ns;
  int64_t stop_max_ns;  /* exact */
  uint64_t restarts;    /* how often a task has started again (tr_restart_options) */
  uint64_t overruns;    /* how many runs of periodic tasks took longer than the period */
} tr_metrics;

#define TR_METRICS_INIT                                                                            \
  { (uint32_t)sizeof(tr_metrics), 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0u, 0, 0, 0, 0, 0, 0, 0, 0, 0u, 0u }

/* Read the metrics of `registry`. [E8]

   Requires:  kind is 0 for all kinds, TR_KIND_BACKGROUND_LOOP to TR_KIND_MAINTENANCE, or
              TR_KIND_APPLICATION for all of the application's own together; metrics is initialised
              with TR_METRICS_INIT.
   Returns:   TR_OK; TR_ERR_INVALID, also for one kind without TR_REGISTRY_METRICS.
   Output:    *metrics is written on TR_OK, else untouched.
   Threads:   any thread; takes a lock briefly.
   Since:     0.2 */
tr_status tr_metrics_read(tr_registry *registry, tr_kind kind, tr_metrics *metrics)
    TASKREG_MUST_USE;

/* The Content-Type with which an HTTP server sends such a text. */
#define TR_OPENMETRICS_CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Write the metrics of `registry` to the descriptor `fd` in the OpenMetrics text format, version
   1.0.0: the counters taskreg_tasks_spawned, _ended and _rejected, the gauges taskreg_tasks_live
   and _peak, and the histograms taskreg_task_run_seconds and taskreg_task_stop_seconds, by kind if
   kinds are kept. The text is a complete exposition, including its "# EOF"; two such texts one
   after the other are not a valid exposition. tr_metrics_write_all writes one for several
   registries. [E9]

   Requires:  format is TR_FORMAT_OPENMETRICS; fd is open for writing.
   Returns:   as tr_report_write; TR_ERR_NOMEM.
   Threads:   as tr_report_write, except that it allocates a copy of the metrics and takes a lock
              briefly.
   Since:     0.2 */
tr_status tr_metrics_write(tr_registry *registry, int fd, uint32_t format) TASKREG_MUST_USE;

/* As tr_metrics_write, into a buffer of the caller's, as tr_report_write_buffer does. Each call
   takes the metrics of the moment, so a second call may need more room than the first one said:
   call again, with some room to spare, until the result is TR_OK. [E9]

   Requires:  as tr_report_write_buffer, but format is TR_FORMAT_OPENMETRICS.
   Returns:   as tr_report_write_buffer; TR_ERR_NOMEM.
   Output:    as tr_report_write_buffer; *length is that of the text of this call.
   Threads:   any thread; not a cancellation point. It allocates a copy of the metrics and takes a
              lock briefly.
   Since:     0.2 */
tr_status tr_metrics_write_buffer(tr_registry *registry, uint32_t format, char *buffer,
                                  size_t capacity, size_t *length) TASKREG_MUST_USE;

/* One of several registries in an exposition. Start from TR_METRICS_SOURCE_INIT. */
typedef struct tr_metrics_source {
  uint32_t size;         /* sizeof(tr_metrics_source) */
  uint32_t reserved;     /* 0 */
  tr_registry *registry;
  const char *name;      /* the value of the label "registry" of its samples: 1 to 255 bytes of
                            UTF-8; NULL: the path of a group ("net/peers"), or the name in the
                            registry's options; no such label for one without either */
} tr_metrics_source;

#define TR_METRICS_SOURCE_INIT                                                                     \
  { (uint32_t)sizeof(tr_metrics_source), 0u, NULL, NULL }

/* Omit the "# EOF": the caller adds more, such as the program's own metric families, and then "#
   EOF". */
#define TR_METRICS_NO_EOF 1u

/* Write the metrics of `count` registries, which may be groups, as one text in the OpenMetrics
   format. It is like that of tr_metrics_write, with each family once and with the samples of all
   registries. A registry counts the tasks of its groups too, so a sum over a registry and its
   groups counts these tasks twice. [E9]

   Requires:  sources are `count` structures, each with the size of the first, at most 1024; count
              may be 0; no two have the same name; format is TR_FORMAT_OPENMETRICS; flags is 0 or
              TR_METRICS_NO_EOF; fd is open for writing.
   Returns:   as tr_metrics_write.
   Threads:   as tr_metrics_write. The metrics of one registry are of one moment.
   Since:     0.2 */
tr_status tr_metrics_write_all(const tr_metrics_source *sources, size_t count, int fd,
                               uint32_t format, uint32_t flags) TASKREG_MUST_USE;

/* As tr_metrics_write_all, into a buffer of the caller's. [E9]

   Requires:  sources, count and flags as in tr_metrics_write_all; the rest as in
              tr_metrics_write_buffer.
   Returns:   as tr_metrics_write_buffer.
   Output:    as tr_metrics_write_buffer.
   Threads:   as tr_metrics_write_buffer. The metrics of one registry are of one moment.
   Since:     0.2 */
tr_status tr_metrics_write_all_buffer(const tr_metrics_source *sources, size_t count,
                                      uint32_t format, uint32_t flags, char *buffer,
                                      size_t capacity, size_t *length) TASKREG_MUST_USE;

/* How many of the tasks that ended last a registry with TR_REGISTRY_METRICS remembers. */
#define TR_RECENT_MOST 64u

/* List the tasks of `registry` that ended last, the latest first. [E8]

   Requires:  as tr_snapshot, with TR_ENDED_TASK_INIT.
   Returns:   TR_OK; TR_ERR_TRUNCATED; TR_ERR_INVALID, also without TR_REGISTRY_METRICS.
   Output:    *count is how many are remembered, at most TR_RECENT_MOST; the first min(*count,
              capacity) elements are filled.
   Threads:   any thread; takes a lock briefly.
   Since:     0.2 */
tr_status tr_recent(tr_registry *registry, tr_ended_task *buffer, size_t capacity, size_t *count)
    TASKREG_MUST_USE;

/* ---- systemd ----------------------------------------------------------------------------- */

/* How systemd is notified. Start from TR_SYSTEMD_OPTIONS_INIT; a zero field means its default. */
typedef struct tr_systemd_options {
  uint32_t size;        /* sizeof(tr_systemd_options) */
  uint32_t flags;       /* none defined yet: 0 */
  const char *socket;   /* the socket's path, which starts with '/', or '@' and an abstract name, no
                           longer than unix(7) permits (else TR_ERR_INVALID); NULL: the value of the
                           environment variable NOTIFY_SOCKET */
  int64_t watchdog_ns;  /* WATCHDOG=1 is due at least every watchdog_ns; 0: the value of
                           WATCHDOG_USEC, if WATCHDOG_PID is not set or is this process; negative:
                           never */
  int64_t status_ns;    /* how often STATUS= reports what a stop is waiting for; 0: 1 s; negative:
                           TR_ERR_INVALID. This, and half of watchdog_ns, is at least 1 ms */
} tr_systemd_options;

#define TR_SYSTEMD_OPTIONS_INIT                                                                    \
  { (uint32_t)sizeof(tr_systemd_options), 0u, NULL, 0, 0 }

/* Start notifying systemd: the service is ready, and its state is reported from then on, by the
   protocol of sd_notify(3). No library is needed for it.

   READY=1 is sent at once. WATCHDOG=1 is sent at half the interval in which it is due, while
   tr_health finds no task stalled. STOPPING=1 is sent when the registry's token is cancelled. If
   that is with TR_REASON_RELOAD_REQUESTED, RELOADING=1 and MONOTONIC_USEC= are sent instead, and
   the READY=1 of the next tr_systemd_start ends the reload (Type=notify-reload of
   systemd.service(5)). Along with that, and from then on until no task is left, STATUS= reports how
   many tasks the stop is waiting for, the names of five of them, and their checkpoints and
   progress. EXTEND_TIMEOUT_USEC= is sent while tasks end or report progress; it asks for two
   seconds, or for twice status_ns if that is more. Control characters are escaped as \xHH. Without
   a socket the call does nothing, and tr_systemd_stop has nothing to stop. [E11]

   Requires:  registry is not NULL; options is NULL (defaults) or initialised with
              TR_SYSTEMD_OPTIONS_INIT.
   Returns:   TR_OK, also without a socket; TR_ERR_INVALID, also when systemd is being notified
              already; TR_ERR_NOMEM; TR_ERR_AGAIN when the system refuses a thread; TR_ERR_SYSTEM
              with errno set when the socket cannot be created, READY=1 cannot be sent, or
              NOTIFY_SOCKET is not a socket address (EAFNOSUPPORT). On an error nothing is kept.
   Ownership: a reference to the registry is held until tr_systemd_stop.
   Threads:   any thread; does not block. Without options it reads the environment, which no other
              thread may change meanwhile. Everything after READY=1 is sent by the timer thread (see
              tr_token_child_with_timeout), which exists until tr_systemd_stop. A datagram that
              cannot be sent at once is dropped, except that STOPPING=1 is sent again with the next
              STATUS=.
   Since:     0.2 */
tr_status tr_systemd_start(tr_registry *registry, const tr_systemd_options *options)
    TASKREG_MUST_USE;

/* Stop notifying systemd. Nothing more is sent, except for a stop or a reload that was not sent
   yet.

   Requires:  tr_systemd_start has succeeded for this registry, and tr_systemd_stop was not called
              since.
   Returns:   TR_OK; TR_ERR_INVALID when systemd is not being notified for it, or no socket was
              found; TR_ERR_DEADLOCK from the log callback for its TR_EVENT_SYSTEMD_UNREACHABLE.
   Threads:   any thread; waits for a datagram that is being sent, and for a log callback for its
              TR_EVENT_SYSTEMD_UNREACHABLE.
   Since:     0.2 */
tr_status tr_systemd_stop(tr_registry *registry) TASKREG_MUST_USE;

/* ---- An end that always comes ------------------------------------------------------------ */

/* For tr_exit_options.flags: end the process by SIGABRT, with its default action whatever handler
   the program has, so that the system can write a core; code is not used then. */
#define TR_EXIT_ABORT 0x1u

/* For tr_exit_options.flags: the time begins with the first signal that asks the process to stop
   (tr_signal_watch_start), not with the call; or with the call if such a signal has come before,
   also to a watch that has been stopped, unless another one was started since. */
#define TR_EXIT_FROM_SIGNAL 0x2u

/* How the process ends. Start from TR_EXIT_OPTIONS_INIT; a zero field means its default. */
typedef struct tr_exit_options {
  uint32_t size;           /* sizeof(tr_exit_options) */
  uint32_t flags;          /* TR_EXIT_... */
  int64_t report_ns;       /* how long writing the report may take at the most; 0: 1 s; negative:
                              TR_ERR_INVALID */
  int32_t code;            /* the exit status, 1 to 255; 0: 124, as timeout(1) has it */
  int32_t fd;              /* where the report goes: a descriptor that is open for writing, which is
                              duplicated; 0: standard error; negative: nowhere */
  const char *reason_file; /* a file to which the first 4 KiB of the report are appended, such as
                              "/dev/termination-log"; opened by this call, and made if it is not
                              there; NULL: none */
} tr_exit_options;

#define TR_EXIT_OPTIONS_INIT                                                                       \
  { (uint32_t)sizeof(tr_exit_options), 0u, 0, 0, 0, NULL }

/* End the process after_ns nanoseconds from now, whatever hangs: the main thread before
   tr_shutdown, in a handler of atexit(3) or in a destructor, a callback, or a thread that holds a
   lock of the allocator's or the loader's. Nothing in the library ends a process unless the
   application asks for it; this call does. [F1, F2]

   When the time is over, a thread that exists for this purpose writes a report: every registry with
   its tasks, what each reported last and when it was asked to stop, and every thread of the process
   with its name, state, system call and CPU time. Then it ends the process, as _exit(2) does: no
   exit handler and no destructor runs, and buffers of stdio are not written. If the report cannot
   be written within report_ns, as to a pipe that nobody reads, a second thread ends the process
   then. Neither takes a lock that another thread could hold. What cannot be learned in that way is
   said to be unknown.

   Everything is reserved by this call: threads, memory and descriptors. Where Linux is 5.9 or
   newer, the descriptors are in a table of the thread's own: closing all of the process's does not
   close them, and no program that it starts inherits them.

   A second call replaces the first once it has succeeded; its time counts from the second call, or
   from the signal. A child of fork(2) is not armed, and exec(2) ends it. If the process ends
   before, this call has no effect on how. The time is that of CLOCK_MONOTONIC, which stands still
   while the machine is suspended, and passes while the process is stopped.

   Requires:  after_ns is not TR_FOREVER; another number below 1 is over at once. systemd does not
              tell a service its TimeoutStopSec=: take less than that, by report_ns and a second.
              options is NULL (defaults) or initialised with TR_EXIT_OPTIONS_INIT.
   Returns:   TR_OK; TR_ERR_INVALID; TR_ERR_NOMEM; TR_ERR_AGAIN when the system refuses a thread;
              TR_ERR_SYSTEM with errno set when fd is not open, no descriptor is available, or
              reason_file cannot be opened. On an error an earlier call stays in effect.
   Ownership: fd stays the caller's; reason_file is not used after the call.
   Threads:   any thread; waits until the two threads have started.
   Since:     0.2 */
tr_status tr_exit_by(int64_t after_ns, const tr_exit_options *options) TASKREG_MUST_USE;

/* Take back what tr_exit_by has armed: the process goes on, and its threads have ended when this
   returns.

   Returns:   TR_OK; TR_ERR_INVALID when nothing is armed; TR_ERR_DEADLINE when the time is over,
              or a ladder has taken TR_LADDER_END_PROCESS: the process is about to end.
   Threads:   any thread; waits for the two threads, which run none of the application's code.
   Since:     0.2 */
tr_status tr_exit_by_cancel(void) TASKREG_MUST_USE;

/* ---- A whole service --------------------------------------------------------------------- */

/* For tr_run_options.flags: do not notify systemd. */
#define TR_RUN_NO_SYSTEMD 0x1u

/* The exit statuses of tr_run_until_stopped. */
#define TR_EXIT_STOPPED 0  /* every task but unjoined ones has ended, as it was asked to */
#define TR_EXIT_FATAL 1    /* the same, after TR_REASON_FATAL */
#define TR_EXIT_FAILED 70  /* a call failed; the status says which error (EX_SOFTWARE) */
#define TR_EXIT_DEADLINE 124 /* the deadline passed with tasks alive; tr_exit_by has the same */

/* How a service runs and stops. Start from TR_RUN_OPTIONS_INIT; a zero field means its default. */
typedef struct tr_run_options {
  uint32_t size;                       /* sizeof(tr_run_options) */
  uint32_t flags;                      /* TR_RUN_... */
  int64_t grace_ns;                    /* as tr_shutdown's: TR_FOREVER never times out; 0: 5 s, less
                                          than the 10 s that container runtimes allow */
  const tr_shutdown_options *shutdown; /* as tr_shutdown_with's; NULL: defaults */
  const int *signals;                  /* as tr_signal_watch_start_array's; NULL: SIGINT, SIGTERM */
  size_t signals_count;                /* the number of signals */
  const tr_signal_options *signal;     /* as tr_signal_watch_start's; NULL: defaults */
  const tr_systemd_options *systemd;   /* as tr_systemd_start's; NULL: defaults */
  int64_t exit_after_ns;               /* above 0: the process ends that long after the first
                                          signal, or after another cancellation of the token,
                                          whatever hangs, as by tr_exit_by; 0: it is never ended by
                                          force; negative: TR_ERR_INVALID */
  const tr_exit_options *exit;         /* as tr_exit_by's; NULL: defaults */
  const char *report_file;             /* a file that the report replaces, as JSON; NULL: none */
  int32_t report_fd;                   /* where the report goes as text; 0: standard error;
                                          negative: nowhere */
  uint32_t reserved;                   /* 0 */
} tr_run_options;

#define TR_RUN_OPTIONS_INIT                                                                        \
  { (uint32_t)sizeof(tr_run_options), 0u, 0, NULL, NULL, 0, NULL, NULL, 0, NULL, NULL, 0, 0u }

/* Do what the main function of every service does: let signals stop `registry`, notify systemd that
   the service is ready, wait until the registry's token is cancelled, shut the registry down with
   the token's reason, and write the report. [F3]

     int32_t code;
     tr_status status = tr_run_until_stopped(registry, NULL, &code);
     if (status != TR_OK) fprintf(stderr, "%s\n", tr_strerror(status));
     tr_registry_release(registry);
     return code;

   It stands for tr_signal_watch_start_array, tr_systemd_start, tr_exit_by if exit_after_ns is set,
   tr_token_wait, tr_shutdown_report, tr_report_write, tr_systemd_stop and tr_signal_watch_stop. The
   first three are started, or none. What tr_exit_by has armed stays armed when this returns, for
   exit handlers and destructors: return from main, or call tr_exit_by_cancel. In a task of another
   registry the flag of that task ends the call: what was armed is taken back then, unless a signal
   has asked the process to stop; and if the shutdown had begun, the report is one of tr_explain, of
   the tasks that are alive. The times add up:
   exit_after_ns is more than grace_ns, the abort grace and what main does afterwards; the limit of
   the process manager is more than exit_after_ns and the second for its report.

   When this returns, the signals have their previous actions again. So a stop that comes between
   two calls, as of a program that reloads, does what it does without a watch. Such a program calls
   these functions itself, and tr_signal_watch_move, which leaves no gap.

   Requires:  registry is not NULL; the caller is not one of its tasks or threads (else
              TR_ERR_DEADLOCK), unless it was adopted with TR_ADOPT_JOINS_OTHERS. options is NULL
              (defaults) or initialised with TR_RUN_OPTIONS_INIT;
              the structures that it refers to are as in the functions they belong to.
   Returns:   TR_OK; as tr_shutdown, TR_ERR_CANCELLED also when the calling task was asked to stop
              before; or as the first of the functions above that failed; TR_ERR_SYSTEM also with
              errno set when the report could not be written.
   Output:    *exit_status (exit_status may be NULL) is always written: TR_EXIT_STOPPED to
              TR_EXIT_DEADLINE, which main may return.
   Ownership: options, and all that it refers to, are not used after the call.
   Threads:   any thread, usually the main thread; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_run_until_stopped(tr_registry *registry, const tr_run_options *options,
                               int32_t *exit_status) TASKREG_MUST_USE;

/* ---- Initialisers ------------------------------------------------------------------------ */

/* Initialise a structure as its TR_..._INIT does, for languages that cannot use the macros:
   tr_spawn_options_init(&options, sizeof options) sets `size` bytes to zero, then the field `size`
   to that number. A structure that is all zero but for its size is always valid, and each zero
   means a default; a binding may set it up in that way without a call. Of an array only the first
   element needs its size.

   Requires:  size is the sizeof of the structure in the header, or its copy in the binding, that
              the caller was compiled with. The library never assumes a size of its own: a structure
              that grows in a later release has another sizeof there.
   Returns:   TR_OK; TR_ERR_INVALID for NULL, and for a size below that of 0.2 or above 64 KiB.
   Output:    exactly `size` bytes are written on TR_OK, none otherwise.
   Threads:   any thread; never blocks.
   Since:     0.2 */
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

/* ---- Ending the library's threads -------------------------------------------------------- */

/* Wait until the library's own threads have ended: the timer thread, event threads, those that wake
   condition variables, and those of a registry that was released without a shutdown. Call it before
   the end of a program that runs under a leak checker, before fork(2), or before dlclose(3).

   These threads end once nothing needs them, the timer thread usually a second later. They end at
   once when this function is called, when tr_shutdown of a registry that is not a group returns
   TR_OK, and when the last object of the library is released. The call does not wait for the
   threads of a registry in use, which tr_shutdown joins, for those of tr_signal_watch_start, which
   tr_signal_watch_stop joins, or for those of tr_exit_by, which tr_exit_by_cancel joins. [C4, G4]

   Returns:   TR_OK: none is left; TR_ERR_TIMEDOUT: some were left after timeout_ns nanoseconds,
              because a token has a timeout to come, or a task of a registry in use needs them;
              TR_ERR_CANCELLED: the flag of the calling task was raised; TR_ERR_DEADLOCK on a thread
              that would wait for itself.
   Threads:   any thread, except an event thread, and one that runs a destructor of its
              thread-specific data after its task (else TR_ERR_DEADLOCK); blocks; not a cancellation
              point.
   Since:     0.2 */
tr_status tr_quiesce(int64_t timeout_ns) TASKREG_MUST_USE;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TASKREG_H */
