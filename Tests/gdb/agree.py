#!/usr/bin/python3
# agree.py GDB HUNG MODE - whether a report and gdb say the same of a program that hangs.
#
# Proves: of a program that hangs in one way, what a report says agrees with what gdb finds by other means: the threads and
# their names; the function of the C library, or the system call and its arguments, in which each task waits; who holds each
# mutex, who writes a lock; which thread is joined; and the circles of waits. Where the report names a holder, gdb names the
# same; where gdb can see none, the report names none (Q1 to Q4, Q7).
#
# Why it matters: "held by" is believed. The report reads memory and /proc of its own process while it runs; gdb stops the
# process and reads debug information.
#
# Catches: an owner that is read at another offset; a lock that is taken for another kind; a name of another thread; a
# descriptor that is another argument.

import json
import platform
import re
import subprocess
import sys
import time

# What each mode has to be in the report, and the functions of which one has to be in the backtrace.
MODES = {
    "mutex": ("mutex", r"pthread_mutex_lock|lll_lock_wait"),
    "rwlock-written": ("rwlock", r"pthread_rwlock_rdlock"),
    "rwlock-read": ("rwlock", r"pthread_rwlock_wrlock"),
    "condition": ("signal", r"pthread_cond_wait"),
    "semaphore": ("signal", r"sem_wait"),
    "join": ("thread", r"join"),
    "pipe": ("descriptor", r"\bread\b|_read"),
    "socket": ("descriptor", r"recv"),
    "foreign": ("unknown", r"syscall"),
    "flock": ("file-lock", r"flock"),
    "waitpid": ("child", r"wait4|waitpid"),
    "circle-2": ("mutex", r"pthread_mutex_lock|lll_lock_wait"),
    "circle-3": ("mutex", r"pthread_mutex_lock|lll_lock_wait"),
    "circle-5": ("mutex", r"pthread_mutex_lock|lll_lock_wait"),
}
PATIENCE = 60


def check(condition, what):
    if not condition:
        sys.exit(f"agree.py: {mode}: {what}")


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(77)


def report(program):
    """A report in which every task waits, as it does in the one before."""
    end, before = time.monotonic() + PATIENCE, None
    while True:
        program.stdin.write("\n")
        program.stdin.flush()
        line = program.stdout.readline()
        check(line, "the program has ended")
        value = json.loads(line)
        edges = [task["waits_for"] for task in value["stragglers"]]
        waits = [(edge["kind"], edge["address"], edge["descriptor"], edge["holder"]) for edge in edges]
        # What is in a circle is only there once all are in it.
        whole = not mode.startswith("circle") or len(value["circles"]) == 1
        if whole and waits == before and all(edge["kind"] == kind for edge in edges):
            return value
        check(time.monotonic() < end, f"it does not come to hang: {waits}, circles {value['circles']}")
        before = waits
        time.sleep(0.05)


class Debugger:
    """What gdb says of the stopped process."""

    def __init__(self, gdb, process, commands):
        arguments = [gdb, "-nx", "-batch", "-p", str(process)]
        for command in ["set pagination off", "set debuginfod enabled off", "set width 0", "info threads", *commands]:
            # A command that this gdb does not know ends no script.
            arguments += ["-ex", f"echo \\n@@ {command}\\n", "-ex", command]
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
        self.text = done.stdout + done.stderr
        if re.search(r"ptrace: (Operation not permitted|Inappropriate)|Could not attach", self.text):
            skip(f"gdb may not attach here: {done.stderr.strip()}")
        self.answers = dict(re.findall(r"^@@ (.*)\n((?:(?!@@ ).*\n?)*)", done.stdout, re.M))
        self.threads = {}
        for number, pthread, thread, name in re.findall(
            r'^[* ] +(\d+) +(?:Thread (0x[0-9a-f]+) \(LWP (\d+)\)|LWP \d+)(?: "([^"]*)")?', self.answers["info threads"], re.M
        ):
            self.threads[int(thread or 0)] = (int(number), int(pthread or "0", 16), name)

    def number(self, command):
        found = re.search(r"^\$\d+ = (-?\d+)", self.answers[command], re.M)
        check(found, f"gdb has no answer to {command}: {self.answers[command]}")
        return int(found[1])


def commands_for(value):
    """What gdb is asked: backtraces, registers, and the locks of the report, of which it knows the types."""
    commands = ["thread apply all bt 24"]
    for task in value["stragglers"]:
        edge = task["waits_for"]
        if edge["kind"] == "mutex":
            commands.append(f"print ((pthread_mutex_t *) {edge['address']})->__data.__owner")
        if edge["kind"] == "rwlock":
            commands.append(f"print ((pthread_rwlock_t *) {edge['address']})->__data.__cur_writer")
            commands.append(f"print ((pthread_rwlock_t *) {edge['address']})->__data.__readers >> 3")
    if platform.machine() == "x86_64":
        commands.append("thread apply all -s print $orig_rax")
        commands.append("thread apply all -s print $rdi")
    commands.append("print (unsigned long) joined")
    return commands


def of_thread(answer, number):
    """The part of an answer of `thread apply all` that is about one thread."""
    found = re.search(rf"^Thread {number} \(.*?(?=^Thread \d+ \(|\Z)", answer, re.M | re.S)
    check(found, f"gdb says nothing of its thread {number}: {answer}")
    return found[0]


def last_number(text):
    found = re.findall(r"^\$\d+ = (-?\d+)", text, re.M)
    check(found, f"gdb printed no number: {text}")
    return int(found[-1])


def compare_threads(value, debugger, process):
    tasks = {task["thread_id"]: task for task in value["stragglers"]}
    others = {thread["thread_id"]: thread for thread in value["threads"]}
    check(value["threads_unlisted"] == 0 and value["threads_error"] is None, "the list of threads is not whole")
    seen = set(debugger.threads)
    # gdb may come when a thread of the library's own has ended, or begun, since the report.
    passing = {t for t in seen ^ (set(tasks) | set(others)) if debugger.threads.get(t, others.get(t) and (0, 0, others[t]["name"]))[2].startswith("taskreg-")}
    check(seen ^ (set(tasks) | set(others)) == passing, f"gdb sees the threads {sorted(seen)}, not {sorted(tasks)} and {sorted(others)}")
    check(process in others, "the main thread is not among the others")
    for thread, (_, _, name) in debugger.threads.items():
        if thread in others:
            check(others[thread]["name"] == name, f"thread {thread} is {name!r}, not {others[thread]['name']!r}")
        if thread in tasks:
            check(tasks[thread]["name"] == name, f"task {thread} runs in {name!r}, not {tasks[thread]['name']!r}")


def compare_edge(task, debugger, value, process):
    edge, thread = task["waits_for"], task["thread_id"]
    number = debugger.threads[thread][0]
    backtrace = of_thread(debugger.answers["thread apply all bt 24"], number)
    check(re.search(function, backtrace), f"no {function} in {backtrace}")
    if platform.machine() == "x86_64":
        call = last_number(of_thread(debugger.answers["thread apply all -s print $orig_rax"], number))
        check(task["syscall"] == call, f"system call {task['syscall']}, gdb says {call}")
        first = last_number(of_thread(debugger.answers["thread apply all -s print $rdi"], number))
        if edge["kind"] in ("descriptor", "file-lock"):
            check(edge["descriptor"] == first, f"descriptor {edge['descriptor']}, gdb says {first}")
        if edge["kind"] == "child":
            check(edge["process"] == first, f"process {edge['process']}, gdb says {first}")
        if edge["kind"] == "mutex":
            check(int(edge["address"], 16) == first, f"mutex {edge['address']}, gdb says {first:#x}")
    holder = edge["holder"]["thread_id"] if edge["holder"] else 0
    owner = 0
    if edge["kind"] == "mutex":
        owner = debugger.number(f"print ((pthread_mutex_t *) {edge['address']})->__data.__owner")
    if edge["kind"] == "rwlock":
        owner = debugger.number(f"print ((pthread_rwlock_t *) {edge['address']})->__data.__cur_writer")
        readers = debugger.number(f"print ((pthread_rwlock_t *) {edge['address']})->__data.__readers >> 3")
        check((edge["count"] or 0) == (readers if owner == 0 else 0), f"{edge['count']} readers, gdb says {readers}")
    if edge["kind"] == "thread":
        joined = debugger.number("print (unsigned long) joined")
        owner = next((t for t, (_, pthread, _) in debugger.threads.items() if pthread == joined), -1)
    check(holder == owner, f"held by {holder}, gdb says {owner}")
    if holder:
        check(holder in debugger.threads, f"the holder {holder} is not a thread that gdb sees")
        name = debugger.threads[holder][2]
        check(edge["holder"]["name"] == name, f"the holder is {edge['holder']['name']!r}, gdb says {name!r}")
    if edge["kind"] == "file-lock":
        check(edge["process"] == process, f"the file is locked by {edge['process']}, not by {process}")


def compare_circles(value, debugger):
    size = int(mode[-1]) if mode.startswith("circle") else 0
    check(len(value["circles"]) == (1 if size else 0), f"circles: {value['circles']}")
    for circle in value["circles"]:
        check(len(circle) == size == len({node["thread_id"] for node in circle}), f"a circle of {len(circle)}")
        for place, node in enumerate(circle):
            owner = debugger.number(f"print ((pthread_mutex_t *) {node['waits_for']['address']})->__data.__owner")
            following = circle[(place + 1) % size]["thread_id"]
            check(owner == following, f"{node['thread_id']} waits for {following}, gdb says {owner}")


gdb, hung, mode = sys.argv[1:]
kind, function = MODES[mode]
if "NOTFOUND" in gdb:
    skip("there is no gdb; scripts/test installs it")
with subprocess.Popen([hung, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
    try:
        value = report(program)
        debugger = Debugger(gdb, program.pid, commands_for(value))
        compare_threads(value, debugger, program.pid)
        for task in value["stragglers"]:
            compare_edge(task, debugger, value, program.pid)
        compare_circles(value, debugger)
        # And it goes on to say so: gdb has changed nothing.
        again = report(program)
        check([t["waits_for"]["kind"] for t in again["stragglers"]] == [t["waits_for"]["kind"] for t in value["stragglers"]], "changed")
    finally:
        program.kill()
