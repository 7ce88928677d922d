"""taskreg.py - libtaskreg for Python, by cffi in ABI mode: one file, to be copied and changed.

    with taskreg.Registry(grace=5.0) as registry:     # shuts down when it is left, with that grace period
        registry.watch_signals()                      # SIGTERM and SIGINT cancel the registry
        task = registry.spawn("worker", work, 1, 2)   # work(1, 2) in a thread of its own
        registry.wait_cancelled()                     # until one of them arrives

cffi releases the interpreter lock around each call, so no call that waits keeps other threads from running. Python's
own signal handlers do not run meanwhile. Durations are seconds; None never times out. SPDX-License-Identifier:
Apache-2.0
"""
import atexit
import collections
import ctypes
import itertools
import os
import sys

import cffi

CDEF = """
enum { TR_OK = 0, TR_ERR_INVALID = -1, TR_ERR_DEADLINE = -6, TR_ERR_TIMEDOUT = -7, TR_ERR_CANCELLED = -8 };
enum { TR_KIND_APPLICATION = 0x100, TR_REASON_USER_REQUESTED = 1, TR_SPAWN_FRESH_THREAD = 2, TR_FORMAT_TEXT = 1 };
typedef struct tr_token tr_token;
typedef struct tr_registry tr_registry;
typedef struct tr_registry_options tr_registry_options;
typedef struct tr_signal_options tr_signal_options;
typedef struct tr_shutdown_options tr_shutdown_options;
typedef struct sigset sigset_t;
typedef struct tr_task tr_task;
typedef struct tr_report tr_report;
typedef int (*tr_task_fn)(tr_task *self, void *ctx);
typedef void (*tr_drop_fn)(void *ctx);
typedef struct tr_spawn_options { uint32_t size, flags; tr_drop_fn drop; uint64_t stack_size; int32_t cancel_signal;
  uint32_t phase; int64_t heartbeat_ns; const char *thread_name; int64_t room_wait_ns;
  const void *restart; uint32_t sched_policy, sched_priority; int32_t nice_added; uint32_t cpu_words;
  const uint64_t *cpus; } tr_spawn_options;
typedef struct tr_outcome { uint32_t size, how; int32_t code; uint32_t was_cancelled; char message[128]; } tr_outcome;
const char *tr_strerror(int32_t status);
const char *tr_error_detail(void);
const char *tr_ended_name(uint32_t how);
int32_t tr_registry_create(const tr_registry_options *options, tr_registry **out);
void tr_registry_release(tr_registry *registry);
tr_token *tr_registry_token(tr_registry *registry);
int tr_token_cancel(tr_token *token, uint32_t reason, const char *message);
int32_t tr_token_wait(tr_token *token, int64_t timeout_ns);
size_t tr_token_message(const tr_token *token, char *buffer, size_t capacity);
int32_t tr_signal_watch_start(tr_registry *registry, const sigset_t *set, const tr_signal_options *options);
int32_t tr_signal_watch_stop(tr_registry *registry);
int32_t tr_spawn_with(tr_registry *registry, const char *name, uint32_t kind, tr_task_fn body, void *ctx,
                      const tr_spawn_options *options, tr_task **out);
int32_t tr_join_all_report(tr_registry *registry, int64_t timeout_ns, tr_report **report);
int32_t tr_shutdown_report(tr_registry *registry, uint32_t reason, const char *message, int64_t grace_ns,
                           const tr_shutdown_options *options, tr_report **report);
tr_task *tr_task_self(void);
void tr_task_release(tr_task *task);
int tr_task_is_cancelled(const tr_task *task);
int32_t tr_task_cancel(tr_task *task);
int32_t tr_task_set_message(tr_task *task, const char *message);
int32_t tr_task_wait(tr_task *task, int64_t timeout_ns, tr_outcome *outcome);
int32_t tr_sleep(int64_t duration_ns);
int32_t tr_checkpoint(const char *where);
int32_t tr_explain(tr_registry *registry, tr_report **report);
int32_t tr_report_write_buffer(const tr_report *report, uint32_t format, char *buffer, size_t capacity,
                               size_t *length);
void tr_report_release(tr_report *report);
"""
ffi = cffi.FFI()
ffi.cdef(CDEF)
lib = ffi.dlopen(os.environ.get("TASKREG_LIBRARY", "libtaskreg.so.0"))
Outcome = collections.namedtuple("Outcome", "how code was_cancelled message")


class Error(Exception):
    """A call's error: its status, and the sentence for it or, for a wrong argument, which one it is."""
    def __init__(self, status, text, report=None):
        super().__init__(text)
        self.status, self.report = status, report


class Invalid(Error, ValueError): "An argument is wrong."
class Deadline(Error, TimeoutError): "Tasks were alive at the deadline; `report` says which, and what they were doing."
class TimedOut(Error, TimeoutError): "The timeout passed before the event."
class Cancelled(Error): "The calling task was asked to stop. Let it leave the body."


_CLASSES = {lib.TR_ERR_INVALID: Invalid, lib.TR_ERR_DEADLINE: Deadline, lib.TR_ERR_TIMEDOUT: TimedOut,
            lib.TR_ERR_CANCELLED: Cancelled}


def _check(status, report=None):
    if status != lib.TR_OK:
        text = lib.tr_error_detail() if status == lib.TR_ERR_INVALID else lib.tr_strerror(status)
        raise _CLASSES.get(status, Error)(status, ffi.string(text).decode(), report)


def _ns(seconds):
    return -1 if seconds is None else max(0, int(seconds * 1e9))


def _new(structure):
    value = ffi.new(structure + " *")  # all zero: every default
    value.size = ffi.sizeof(structure)
    return value


def _report(call, *arguments):
    """Make a call whose last parameter takes a report, and return the report's text."""
    out, length = ffi.new("tr_report **"), ffi.new("size_t *")
    status, text = call(*arguments, out), None
    if out[0] != ffi.NULL:
        report = ffi.gc(out[0], lib.tr_report_release)
        lib.tr_report_write_buffer(report, lib.TR_FORMAT_TEXT, ffi.NULL, 0, length)
        buffer = ffi.new("char[]", length[0] + 1)
        _check(lib.tr_report_write_buffer(report, lib.TR_FORMAT_TEXT, buffer, length[0] + 1, length))
        text = ffi.string(buffer).decode()
    _check(status, text)
    return text


# One body for all tasks; ctx is a key. No drop: the body takes what is pinned, and after a successful spawn it runs.
_pinned, _keys = {}, itertools.count(1)


@ffi.callback("tr_task_fn", error=1)
def _body(task, ctx):
    function, arguments = _pinned.pop(int(ffi.cast("uintptr_t", ctx)))
    try:
        function(*arguments)
        return 0
    except BaseException as error:  # nothing leaves a callback, not even SystemExit
        lib.tr_task_set_message(task, f"{type(error).__name__}: {error}".encode(errors="replace"))
        return error.status if isinstance(error, Error) else 1


# Tasks outlive the module: the interpreter frees that at its end, but not the trampoline, which is never freed.
ctypes.pythonapi.Py_IncRef(ctypes.py_object(_body))

# No task outlives the interpreter unasked: what is not closed is closed at its end. A child of fork has no registry.
_open = set()
os.register_at_fork(after_in_child=_open.clear)


@atexit.register
def _close_all():
    for registry in list(_open):
        try:
            registry.close()
        except Error as error:
            print(f"taskreg: {error}", error.report or "", sep="\n", file=sys.stderr)


class Registry:
    def __init__(self, grace=5.0):
        out = ffi.new("tr_registry **")
        _check(lib.tr_registry_create(ffi.NULL, out))
        self._registry, self.grace = ffi.gc(out[0], lib.tr_registry_release), grace
        _open.add(self)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        try:
            self.close()
        except Deadline:
            if kind is None:  # an exception that is under way says more
                raise

    def close(self):
        """Shut down, and stop watching signals. Stragglers run on; Deadline reports them."""
        _open.discard(self)
        try:
            self.shutdown(self.grace)
        finally:
            lib.tr_signal_watch_stop(self._registry)  # an error, without effect, if there is no watch

    def spawn(self, name, function, *arguments):
        key, out, options, name = next(_keys), ffi.new("tr_task **"), _new("tr_spawn_options"), name.encode()
        # A thread of its own: threading.local and contextvars hold nothing of the task before.
        options.flags = lib.TR_SPAWN_FRESH_THREAD
        _pinned[key] = function, arguments
        status = lib.tr_spawn_with(self._registry, name, lib.TR_KIND_APPLICATION, _body, ffi.cast("void *", key),
                                   options, out)
        if status != lib.TR_OK:
            del _pinned[key]  # the body does not run
        _check(status)
        return Task(out[0])

    def cancel(self, message=""):
        """Close the registry and ask all its tasks to stop."""
        lib.tr_token_cancel(lib.tr_registry_token(self._registry), lib.TR_REASON_USER_REQUESTED, message.encode())

    def watch_signals(self):
        """SIGTERM and SIGINT cancel the registry; a second one cuts the grace short; until the registry is closed."""
        _check(lib.tr_signal_watch_start(self._registry, ffi.NULL, ffi.NULL))

    def wait_cancelled(self, timeout=None):
        """Wait until the registry is cancelled, and return the message: "SIGTERM", or that of cancel."""
        token, message = lib.tr_registry_token(self._registry), ffi.new("char[256]")
        _check(lib.tr_token_wait(token, _ns(timeout)))
        lib.tr_token_message(token, message, 256)
        return ffi.string(message).decode()

    def join(self, timeout=None):
        """Wait for all tasks. At the deadline, ask those that are left to stop, and raise Deadline."""
        return _report(lib.tr_join_all_report, self._registry, _ns(timeout))

    def shutdown(self, grace, message=""):
        """Cancel, and join within grace seconds. Returns the report's text, or raises Deadline, which has it."""
        return _report(lib.tr_shutdown_report, self._registry, lib.TR_REASON_USER_REQUESTED, message.encode(),
                       _ns(grace), ffi.NULL)

    def explain(self):
        """Report all live tasks; none is asked to stop."""
        return _report(lib.tr_explain, self._registry)


class Task:
    def __init__(self, task):
        self._task = ffi.gc(task, lib.tr_task_release)

    def cancel(self):
        _check(lib.tr_task_cancel(self._task))

    def wait(self, timeout=None):
        outcome = _new("tr_outcome")
        _check(lib.tr_task_wait(self._task, _ns(timeout), outcome))
        return Outcome(ffi.string(lib.tr_ended_name(outcome.how)).decode(), outcome.code,
                       bool(outcome.was_cancelled), ffi.string(outcome.message).decode())


# For the body of a task:
def is_cancelled():
    return bool(lib.tr_task_is_cancelled(lib.tr_task_self()))


def sleep(seconds=None):
    """Sleep; raise Cancelled as soon as the calling task is asked to stop."""
    _check(lib.tr_sleep(_ns(seconds)))


def checkpoint(where):
    """Say what the calling task does next; reports show it."""
    _check(lib.tr_checkpoint(where.encode()))
