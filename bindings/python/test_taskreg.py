#!/usr/bin/python3
# test_taskreg.py - a hundred tasks, half of them cancelled; SIGTERM; a straggler in a report. Also an example.
#
# Proves: a body, its arguments and its exceptions cross the library and come back; a wait that is cancelled raises
# in the task, and the outcome has the exception's text; a join and a wait for a signal keep the interpreter's lock
# from nobody; no task sees thread-local data of another; SIGTERM cancels the registry while all threads wait; a
# missed deadline raises, with the report's text; what was pinned for a task is unpinned once it has ended; a program
# that ends with a registry open, and with a straggler, ends with its own status (J1, C4, C13, O1, E10).
#
# Why it matters: the file is there to be copied; its mistakes would be those of every binding.
#
# Catches: a lock that is held in a join (the deadline passes); a drop that is missing; a structure declared wrongly.

import os
import signal
import subprocess
import sys
import threading
import time

import taskreg

finished, lock = [], threading.Lock()
go, stuck, local = threading.Event(), threading.Event(), threading.local()


def work(number):
    assert not hasattr(local, "number"), "data of another task"
    local.number = number
    if number % 2 == 0:
        try:
            taskreg.sleep()  # until it is cancelled
        finally:
            assert taskreg.is_cancelled()
    go.wait()
    with lock:
        finished.append(number)


def straggle():
    taskreg.checkpoint("waiting for an event that nobody sets")
    stuck.wait()


if sys.argv[1:] == ["end"]:  # the program whose end is tested below
    unclosed = taskreg.Registry(grace=0.05)
    unclosed.spawn("a straggler at the end", straggle)
    unclosed.spawn("cancelled at the end", taskreg.sleep)
    for number in range(20):  # return, or want the lock, while the interpreter ends
        unclosed.spawn(f"late {number}", time.sleep, 0.05 + 0.002 * number)
    sys.exit(3)

with taskreg.Registry(grace=10.0) as registry:
    tasks = [registry.spawn(f"work {number}", work, number) for number in range(100)]
    try:
        tasks[1].wait(timeout=0.01)
        raise AssertionError("a task that waits has ended")
    except TimeoutError as error:
        assert isinstance(error, taskreg.TimedOut)
    for task in tasks[::2]:
        task.cancel()
    for task in tasks[::2]:
        outcome = task.wait(timeout=10.0)
        assert outcome.how == "failed" and outcome.code == taskreg.lib.TR_ERR_CANCELLED, outcome
        assert outcome.was_cancelled and outcome.message.startswith("Cancelled: "), outcome
    assert not finished

    # The tasks need the interpreter's lock, and an event that is set while the join waits.
    threading.Timer(0.05, go.set).start()
    registry.join(timeout=10.0)
    assert sorted(finished) == list(range(1, 100, 2))
    assert all(task.wait(0).how == "returned" for task in tasks[1::2])
    for number in range(50):  # no thread is used again, though some are idle now
        outcome = registry.spawn("again", work, 2 * number + 1).wait(timeout=10.0)
        assert outcome.how == "returned", outcome

    try:
        registry.spawn("", work, 0)
        raise AssertionError("an empty name is accepted")
    except ValueError as error:
        assert "name" in str(error), error
    outcome = registry.spawn("raises", int, "not a number").wait(timeout=10.0)
    assert outcome.how == "failed" and "ValueError" in outcome.message and not outcome.was_cancelled, outcome

    straggler, stops = registry.spawn("straggler", straggle), registry.spawn("stops", taskreg.sleep)
    while "waiting for an event" not in registry.explain():
        time.sleep(0.001)
    registry.watch_signals()
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert registry.wait_cancelled(timeout=10.0) == "SIGTERM"
    outcome = stops.wait(timeout=10.0)
    assert outcome.was_cancelled and outcome.code == taskreg.lib.TR_ERR_CANCELLED, outcome
    try:
        registry.spawn("late", work, 1)
        raise AssertionError("a cancelled registry accepts a task")
    except taskreg.Error:
        pass
    try:
        registry.shutdown(grace=0.05)
        raise AssertionError("a straggler was not noticed")
    except taskreg.Deadline as error:
        print(error.report)
        assert "straggler" in error.report and "an event that nobody sets" in error.report
    stuck.set()

assert straggler.wait(0).how == "returned"
assert not taskreg._pinned and not taskreg._open
with taskreg.Registry() as again:  # a process has one watch at a time; that of the first registry has ended
    again.watch_signals()

ended = subprocess.run([sys.executable, "-B", __file__, "end"], stderr=subprocess.PIPE, text=True, timeout=60)
assert ended.returncode == 3, ended
assert "a straggler at the end" in ended.stderr and "an event that nobody sets" in ended.stderr, ended.stderr
print("100 tasks: 50 cancelled, 50 returned; a straggler was reported, and then joined")
