#!/usr/bin/python3
"""check.py TASKREG SOURCES PROGRAMS CASE - what `taskreg` says of a process, in one condition; each case says what it
proves. The programs (target.c, plain.c, two.c) say what there is to be seen."""

# Proves:  a list from outside is of a moment, complete and without mixtures, also of a process that spawns and ends tasks
# all the time (Y1), or hangs with a lock of the library's held (Y2); the table is found in programs of all kinds (Y3); what
# cannot be read has a reason, and no memory makes the tool crash or run on (Y4); who holds up whom is named as in a report
# (Y5); and all that of a core file, which may be cut off or be anything (Y7). That no task path pays for it is what scripts/instructions shows (Y6).
#
# Why it matters: it is what an operator has of a process that does not answer.
#
# Catches: see the cases.

import ctypes
import json
import mmap
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

TASKREG, SOURCES, PROGRAMS, CASE = sys.argv[1:5]
SOURCES, PROGRAMS = pathlib.Path(SOURCES), pathlib.Path(PROGRAMS)
LIBRARY = pathlib.Path(TASKREG).parent.parent / "lib/libtaskreg.so"
TASKS = {"alpha": "", "crawls": "", "beta": "net", "gamma": "net/peers"}
# Whom a pthread_join waits for: glibc waits there from 2.43 on for a word that is not the thread's id, which Linux names if
# it was built with CONFIG_CHECKPOINT_RESTORE (PR_GET_TID_ADDRESS); else it is said to be not known.
GLIBC = tuple(map(int, os.confstr("CS_GNU_LIBC_VERSION").split()[1].split(".")[:2]))
NAMES_WORD = ctypes.CDLL(None).prctl(40, ctypes.byref(ctypes.c_uint64()), 0, 0, 0) == 0
SEES_JOINS = GLIBC < (2, 43) or NAMES_WORD
running = []


def check(condition, message):
    if not condition:
        sys.exit(f"check.py: {CASE}: {message}")


def skip(reason):
    print(f"check.py: {CASE}: left out: {reason}")
    sys.exit(77)


class Program:
    """A program that has said that it is ready; it ends with this one."""

    def __init__(self, *arguments, **options):
        self.process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, **options)
        running.append(self.process)
        self.said = []
        for line in self.process.stdout:
            if line == "ready\n":
                return
            self.said.append(line.split())
        check(False, f"{arguments[0]} ended before it was ready")

    @property
    def id(self):
        return self.process.pid


def target(mode, *arguments, program="target", **options):
    return Program(PROGRAMS / f"taskreg-{program}", mode, *arguments, **options)


def ask(*arguments, status=0, **options):
    """What taskreg writes; it ends with `status`, and with nothing but one sentence on standard error otherwise."""
    done = subprocess.run([TASKREG, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
    check(done.returncode == status, f"taskreg {arguments}: status {done.returncode}, not {status}: {done.stderr}")
    if status:
        check(done.stdout == "" and done.stderr.startswith("taskreg: "), f"{done.stdout}{done.stderr}")
        return done.stderr
    check(done.stderr == "", done.stderr)
    return done.stdout


def validated(text, schema):
    found = json.loads(text)
    check(text.count("\n") == 1 and text.endswith("\n"), "JSON is not one line")
    try:
        import jsonschema
    except ImportError:
        return found
    jsonschema.validate(found, json.loads((SOURCES / "docs/schema" / schema).read_text()))
    return found


def ps(process, **options):
    return validated(ask("ps", process, "--json", **options), "ps.json")


def threads(process):
    return validated(ask("threads", process, "--json"), "threads.json")


def check_tree(found, others=0):
    """All tasks of the tree are there, once, with everything that they have."""
    check(found["complete"], "the list is not complete")
    tasks = {task["name"]: task for task in found["tasks"]}
    check(len(found["tasks"]) == found["count"], "the count is another")
    for name, group in TASKS.items():
        check(sum(task["name"] == name for task in found["tasks"]) == 1, f"{name} is not there once")
        check(tasks[name]["group"] == group and tasks[name]["state"] == "running", f"{tasks[name]}")
        check(tasks[name]["thread_id"] > 0 and tasks[name]["age_ns"] >= 0, f"{tasks[name]}")
        check(tasks[name]["parent_id"] is None and tasks[name]["spawn_place"]["object"], f"{tasks[name]}")
    check(others or len(tasks) == len(TASKS), f"others are there: {sorted(tasks)}")
    check(tasks["crawls"]["kind_name"] == "crawler", "the name of a kind is missing")
    gamma = tasks["gamma"]
    check(gamma["checkpoint"] == "reading \x1b[31m the manifest", gamma["checkpoint"])
    check(gamma["label"] == "GET /index.html", gamma["label"])
    check((gamma["progress"]["done"], gamma["progress"]["total"], gamma["progress"]["unit"]) == (7, 9, "blocks"),
          f"{gamma['progress']}")
    paths = {registry["group"] for registry in found["registries"]}
    check({"", "net", "net/peers"} <= paths, f"groups: {paths}")
    names = {registry["name"] for registry in found["registries"]}
    check("service \n of the target" in names and None in names, f"names: {names}")


def check_text(text):
    for character in text:
        check(character == "\n" or unicodedata.category(character) != "Cc", f"a control character: {text!r}")


def case_tree():
    """Proves:  a list from outside has each task once, with its group, kind, checkpoint, progress and label, as JSON that
             fits its schema, as a table and as a tree; nothing in it commands a terminal; the process is not stopped, and
             has no tracer.
    Catches: an offset of the table that is another field's; a group that is not walked; an escape that is missing."""
    program = target("tree")
    check_tree(ps(program.id))
    table, tree = ask("ps", program.id), ask("ps", "--tree", program.id)
    check_text(table)
    check_text(tree)
    check("4 tasks\n" in table and re.search(r"crawler +crawls\n", table), table)
    check(re.search(r'net/peers/gamma for "GET /index.html" "reading \\x1b\[31m the manifest" 7 of 9 blocks\n', table), table)
    check(re.search(r"^registry \d+ service \\x0a of the target: open, 4 spawned, 0 ended\n(  .*\n)*  group net: open, 2 spawned, 0 ended\n"
                    r"    beta .*\n    group net/peers: open, 1 spawned", tree, re.M), tree)
    status = pathlib.Path(f"/proc/{program.id}/status").read_text()
    check("TracerPid:\t0\n" in status and "State:\tT" not in status, status)
    metrics = ask("metrics", program.id)
    check_text(metrics)
    check('\ntaskreg_tasks_spawned_total{registry="service \\n of the target"} 4\n' in metrics, metrics)
    check(metrics.endswith("# EOF\n"), metrics)
    why = ask("why", program.id)
    check_text(why)
    check("4 tasks alive\n" in why and "task alpha: asleep" in why, why)


def case_empty():
    """Proves:  a program that has the library and no registry has an empty list, and that is not an error."""
    program = target("empty")
    check(ps(program.id)["count"] == 0, "there are tasks")
    check(ask("ps", program.id).endswith("\n0 tasks\n"), "a table of none")


def case_without_library():
    """Proves:  of a program without the library it is said that it has no tasks, and what can be asked instead."""
    program = Program(PROGRAMS / "taskreg-plain")
    for command in "ps", "why":
        text = ask(command, program.id, status=1)
        check("does not have libtaskreg" in text and f"taskreg threads {program.id}" in text, text)


def case_stopped():
    """Proves:  a process that is stopped is listed as any other: nothing of it runs for the list.
    Catches: a question that the process itself would have to answer."""
    program = target("tree")
    os.kill(program.id, signal.SIGSTOP)
    await_state(program.id, "T")
    check_tree(ps(program.id))
    check("is stopped" not in ask("ps", program.id), "the table says more than the tasks")
    check("stopped" in ask("why", program.id), "why does not say that the threads are stopped")
    check("state T" in ask("threads", program.id), "threads does not say that they are stopped")


def await_state(process, state):
    while pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != state:
        time.sleep(0.001)


def stuck(kind):
    found = 0
    for unlock in range(1, 13):
        program = target(f"stuck-{kind}{unlock}")
        check_tree(ps(program.id), others=1)
        found += 1
        program.process.kill()
    check(found == 12, "not all were tried")


def case_stuck_list():
    """Proves:  all tasks are listed while a thread hangs for good at any of the first twelve unlocks of a creation and an
             end of a registry, with the lock of the list of registries held. The list itself is whole then: no test stops
             a thread between two stores of a change.
    Catches: a reader that waits for the lock; an element that is linked before its number."""
    stuck("l")


def case_stuck_groups():
    """Proves:  the same of a group, with the lock of its registry held."""
    stuck("g")


def held(mode, lock, *, others=1):
    """What `why` says of a process in which `victim` waits for a lock that a thread holds for good; all tasks are listed."""
    program = target(mode)
    text = f"^task victim: (.*\n)*?  waits for mutex {lock}.* held by thread "
    # It has said that it is about to wait.
    for _ in range(1000):
        why = ask("why", program.id)
        need_proof(why)
        if re.search(text, why, re.M):
            break
        time.sleep(0.01)
    check(re.search(text, why, re.M), why)
    check_tree(ps(program.id), others=others)
    return re.search(text + r"(.*)", why, re.M).group(2)


def case_holds_allocator():
    """Proves:  of a process that hangs with its allocator's lock held all tasks are listed, and it is said which thread holds the
             lock, by the lock's name. Nothing in the process could say that: it would have to allocate.
    Catches: a holder that is not looked for among the threads that run no task."""
    text = held("holds-allocator", r"allocator_lock \(0x")
    check(re.match(r"holder \(thread \d+\), which is in pause", text), text)


def case_holds_loader():
    """Proves:  likewise of the dynamic linker's lock, which it needs for the names of symbols in a report of its own.
    Catches: dl_iterate_phdr(3) or dladdr(3) on the way."""
    text = held("holds-loader", "")
    check(re.match(r"holder \(thread \d+\), which is in pause", text), text)


def case_holds_registry():
    """Proves:  likewise of the lock of the registry that the tasks are in."""
    text = held("holds-registry", "")
    check(re.match(r".*\(thread \d+\), which is in pause", text), text)


def case_in_shutdown():
    """Proves:  in the middle of a shutdown that waits for a task each task that is left is listed, with what it was asked; the
             registry is seen to be closed, and the thread that shuts down to wait for it.
    Catches: a task that is passed as it was asked to stop; a gate that is read before it was closed."""
    program = target("shutdown")
    for _ in range(1000):
        found = ps(program.id)
        if found["count"] == 1 and found["tasks"][0]["state"] == "cancelling":
            break
        time.sleep(0.01)
    check([task["name"] for task in found["tasks"]] == ["deaf"] and found["complete"], f"{found['tasks']}")
    task = found["tasks"][0]
    check(task["state"] == "cancelling" and task["cancel_requested_for_ns"] >= 0 and task["group"] == "net/peers", f"{task}")
    closed = {registry["group"]: registry["closed"] for registry in found["registries"]}
    check(closed[""] and closed["net"] and closed["net/peers"], f"{closed}")
    counts = [registry for registry in found["registries"] if registry["group"] == ""]
    check(counts[0]["spawned"] == 5 and counts[0]["ended"] == 4, f"{counts}")
    why = ask("why", program.id)
    check(re.search(r"^task net/peers/deaf: blocked in pause", why, re.M) and "asked to stop" in why, why)
    check("shuts-down" in why, why)


def case_forked():
    """Proves:  a child of fork, which has its parent's registries in its memory, is said to have no tasks."""
    program = target("forked")
    child = int(program.said[0][1])
    check_tree(ps(program.id))
    check(ps(child)["count"] == 0, "the child has tasks")
    check("child of fork" in ask("ps", child), "it is not said why")


def case_stripped():
    """Proves:  nothing of a symbol table or of section headers is needed: all are taken from the program and the library.
    Catches: a table that is found by a symbol, or by the name of its section."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "target"
        shutil.copy(PROGRAMS / "taskreg-archive", program)
        subprocess.run(["strip", "--strip-all", program], check=True)
        subprocess.run(["objcopy", "--strip-all", "--remove-section=.comment", program], check=True)
        # Without section headers, as sstrip leaves it: their place, number and names in the ELF header are 0.
        bytes_ = bytearray(program.read_bytes())
        struct.pack_into("<Q", bytes_, 40, 0)
        struct.pack_into("<HHH", bytes_, 58, 0, 0, 0)
        program.write_bytes(bytes_)
        check_tree(ps(Program(program, "tree").id))


def built(kind):
    check_tree(ps(target("tree", program=kind).id))


def case_archive():
    """Proves:  the table is in a program with the archive inside, also where the linker removes unused sections."""
    built("archive")


def case_static():
    """Proves:  likewise in a static program."""
    built("static")


def case_static_pie():
    """Proves:  likewise in one that is at another address each time."""
    built("static-pie")


def case_two_copies():
    """Proves:  both copies of the library in a process are found, and the tasks of each."""
    with tempfile.TemporaryDirectory() as folder:
        copies = [pathlib.Path(folder) / f"libcopy{number}.so" for number in (1, 2)]
        for copy in copies:
            shutil.copy(LIBRARY, copy)
        found = ps(Program(PROGRAMS / "taskreg-two", *copies).id)
    check(sorted((task["name"], task["copy"]) for task in found["tasks"])[0][0] == "in the first", f"{found['tasks']}")
    check(len({task["copy"] for task in found["tasks"]}) == 2 and found["count"] == 2, f"{found['tasks']}")


def case_crowd():
    """Proves:  each of many tasks is listed, once; TASKREG_CROWD says how many.
    Catches: a chunk that is not read to its end, or at another place."""
    count = int(os.environ.get("TASKREG_CROWD", "1500"))
    program = target("crowd", count)
    begin = time.monotonic()
    text = ask("ps", program.id, "--json")
    print(f"{count} tasks in {time.monotonic() - begin:.3f} s")
    # Comparing with the schema takes minutes where there are very many.
    found = validated(text, "ps.json") if count <= 1500 else json.loads(text)
    check(found["complete"] and len({task["id"] for task in found["tasks"]}) == count == found["count"], "not all")


def judge(found, joined, spawned):
    """Each entry is of one task, that had not been joined before, and of which the spawn had begun by the end; how many came and
    went, and how many of these had a label."""
    listed = labelled = 0
    names = [task["name"] for task in found["tasks"]]
    check(len({task["id"] for task in found["tasks"]}) == found["count"], f"an id twice: {names}")
    for name, group in TASKS.items():
        check(names.count(name) == 1, f"{name} is there {names.count(name)} times, complete {found['complete']}")
    for task in found["tasks"]:
        if task["name"] in TASKS:
            check(task["group"] == TASKS[task["name"]], f"{task}")
            continue
        slot, number = map(int, task["name"][1:].split("-"))
        listed += 1
        check(joined[slot] < number <= spawned[slot], f"{task}: {joined[slot]} had ended, {spawned[slot]} begun")
        check(task["kind_number"] == 0x200 + number % 1000, f"{task}")
        check(task["group"] == "" or task["group"].startswith(f"g{slot}-"), f"{task}")
        check(task["label"] in (None, f"label {number}"), f"{task}")
        labelled += task["label"] is not None
        check(task["progress"] is None or task["progress"]["done"] == number, f"{task}")
    return listed, labelled


def case_churn():
    """Claim:   while tasks and groups come and go as fast as they can, each entry of a list is of one task: its name, kind,
             label and progress are of one number; no task is listed twice, none that had ended before, none that had not
             been spawned by the end, and none is missing that lived from the beginning to the end.
    Catches: the id read only once; fields of a record taken from another copy than the word; a label of the next task."""
    rounds = int(os.environ.get("TASKREG_ROUNDS", "100"))
    with tempfile.NamedTemporaryFile() as file:
        program = target("churn", file.name)
        ledger = mmap.mmap(file.fileno(), 0)
        labelled = listed = 0
        for _ in range(rounds):
            joined = struct.unpack_from("<6Q", ledger, 48)
            found = ps(program.id)
            spawned = struct.unpack_from("<6Q", ledger, 0)
            some, more = judge(found, joined, spawned)
            listed, labelled = listed + some, labelled + more
        print(f"{rounds} lists, {listed} entries of tasks that came and went, {labelled} of them with a label")
        check(listed > 0, "no task was seen that came and went")
        ledger.close()


def case_stream():
    """Claim:   the same of very many lists, which one process writes, one after the other: TASKREG_SNAPSHOTS says how many, and
             scripts/nightly takes a million. Some lists are on the way at a time, so what had ended is as of some lists before.
             The program with the tasks takes what time of the processors the lists leave.
    Catches: what comes once in many thousand lists; memory that a list leaves behind."""
    import collections
    import fcntl
    count = int(os.environ.get("TASKREG_SNAPSHOTS", "2000"))
    with tempfile.NamedTemporaryFile() as file:
        program = target("churn", file.name, preexec_fn=lambda: os.nice(5))
        ledger = mmap.mmap(file.fileno(), 0)
        watch = subprocess.Popen([TASKREG, "ps", "--json", "--watch", "0.001", str(program.id)], stdout=subprocess.PIPE)
        running.append(watch)
        fcntl.fcntl(watch.stdout, 1031, 4096)  # F_SETPIPE_SZ: so that few are on the way
        before = collections.deque([(0,) * 6], 16)
        begin, listed, most = time.monotonic(), 0, 0
        for number in range(count):
            before.append(struct.unpack_from("<6Q", ledger, 48))
            line = watch.stdout.readline()
            listed += judge(json.loads(line), before[0], struct.unpack_from("<6Q", ledger, 0))[0]
            if number % 1000 == 999 or number == 99:
                memory = int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{watch.pid}/status").read_text()).group(1))
                if number == 99:
                    most = memory + 8192
                check(memory <= most, f"{memory} KiB after {number + 1} lists")
        ended = sum(struct.unpack_from("<6Q", ledger, 48))
        print(f"{count} lists in {time.monotonic() - begin:.0f} s, {listed} entries of tasks that came and went; {ended} did")
        check(listed > 0, "no task was seen that came and went")
        ledger.close()


def case_rate():
    """Claim:   a process that spawns and ends tasks as fast as it can does so less than 2 % slower while somebody outside lists them,
             on a processor of its own, at the pace of the million lists (case_stream), some 200 a second; TASKREG_INTERVAL is the
             pause between two, in seconds. Windows without lists, with lists of it, and with lists of a process that does nothing
             take turns, TASKREG_WINDOWS of each; the medians are compared. The last show what any other work on the
             machine's other processor costs. For a machine that does nothing else: scripts/nightly."""
    import statistics
    import threading
    windows, processors = int(os.environ.get("TASKREG_WINDOWS", "0")), sorted(os.sched_getaffinity(0))
    if windows == 0:
        skip("a measurement; TASKREG_WINDOWS says how long")
    if len(processors) < 2:
        skip("there is one processor")
    rates, lists, spent = {"nobody": [], "another": [], "it": []}, [0], 0

    def count(stream):
        for _ in stream:
            lists[0] += 1

    with tempfile.NamedTemporaryFile() as file:
        os.sched_setaffinity(0, {processors[0]})
        program, idle = target("churn", file.name), target("tree")
        os.sched_setaffinity(0, {processors[1]})
        ledger = mmap.mmap(file.fileno(), 0)
        watches = {}
        for whom, process in ("another", idle), ("it", program):
            watches[whom] = subprocess.Popen([TASKREG, "ps", "--json", "--watch", os.environ.get("TASKREG_INTERVAL", "0.004"),
                                              str(process.id)], stdout=subprocess.PIPE if whom == "it" else subprocess.DEVNULL)
            running.append(watches[whom])
        threading.Thread(target=count, args=(watches["it"].stdout,), daemon=True).start()
        for window in range(3 * windows):
            whom = list(rates)[window % 3]
            for watched, watch in watches.items():
                os.kill(watch.pid, signal.SIGCONT if watched == whom else signal.SIGSTOP)
            time.sleep(0.1)
            first, listed, begin = sum(struct.unpack_from("<6Q", ledger, 48)), lists[0], time.monotonic()
            time.sleep(0.9)
            seconds = time.monotonic() - begin
            rates[whom].append((sum(struct.unpack_from("<6Q", ledger, 48)) - first) / seconds)
            if whom == "it":
                spent += seconds
                lists.append(lists[0] - listed)
        ledger.close()
    median = {whom: statistics.median(found) for whom, found in rates.items()}
    spread = statistics.quantiles(rates["nobody"], n=4)
    less = {whom: 100 * (1 - median[whom] / median["nobody"]) for whom in watches}
    print(f"{median['nobody']:.0f} tasks/s without lists (quartiles {spread[0]:.0f} and {spread[2]:.0f}), {median['it']:.0f} with "
          f"{sum(lists[1:]) / spent:.0f} lists/s: {less['it']:.2f} % less; {median['another']:.0f} beside lists of a process that "
          f"does nothing: {less['another']:.2f} % less")
    check(less["it"] < 2, "it is slower by more than 2 %")


def case_deadlock():
    """Proves:  a deadlock of threads, and the tasks that wait for it, are named from outside, by the same words as in the
             process."""
    program = target("deadlock")
    why = ask("why", program.id)
    need_proof(why)
    check(re.search(r"^deadlock: thread locks-\w+ waits for mutex .*held by thread locks-\w+ \(thread \d+\), which waits", why, re.M), why)
    check(re.search(r"^3 tasks wait ?.* for mutex .* held by thread locks-first", why, re.M) or "3 tasks" in why, why)
    found = validated(ask("why", "--json", program.id), "report.json")
    check(len(found["circles"]) == 1 and len(found["circles"][0]) == 2, f"{found['circles']}")
    check(found["pending"] == 3 and len(found["stragglers"]) == 3, "the tasks")
    check({s["waits_for"]["holder"]["name"] for s in found["stragglers"]} == {"locks-first"}, f"{found['stragglers']}")


def need_proof(text):
    if "could not be tried out" in text or "cannot be read" in text:
        skip("the system does not show system calls of threads")


def case_threads():
    """Proves:  of any program with threads: which system call each is in, what its descriptor is, who holds the mutex that
             it waits for, whose end it waits for, and who waits in a circle.
    Catches: a lock place of this process taken for the target's; a descriptor looked up in taskreg's own table."""
    program = Program(PROGRAMS / "taskreg-plain")
    text = ask("threads", program.id)
    check_text(text)
    need_proof(text)
    check(f"process {program.id} (taskreg-plain): 8 threads\n" in text, text)
    check(re.search(r"^deadlock: thread circle-\d waits for mutex .* held by thread circle-\d", text, re.M), text)
    check(re.search(r"thread reader \(\d+\) is in read on descriptor \d+: pipe, written by this process's fd \d+", text), text)
    check(re.search(r"thread acceptor \(\d+\) is in accept on descriptor \d+: tcp 127.0.0.1:\d+, LISTEN", text), text)
    check(re.search(r"thread journal \(\d+\) waits for mutex .* held by thread taskreg-plain \(thread %d\)" % program.id, text), text)
    check(not SEES_JOINS or re.search(r"thread joiner \(\d+\) waits for the end of thread sleeper \(thread \d+\)", text), text)
    found = threads(program.id)
    by_name = {thread["name"]: thread for thread in found["threads"]}
    check(len(found["threads"]) == 8 and found["threads_error"] is None, f"{found}")
    check(by_name["reader"]["descriptor"]["kind"] == "pipe", f"{by_name['reader']}")
    check(by_name["journal"]["waits_for"]["holder"]["thread_id"] == program.id, f"{by_name['journal']}")
    check([thread["name"] for thread in found["threads"] if thread["main"]] == ["taskreg-plain"], "the main thread")


def case_static_threads():
    """Proves:  a lock of a C library that is not this machine's is not taken for one of glibc's: what is not known is said."""
    program = target("tree", program="static")
    text = ask("threads", program.id)
    check("threads\n" in text, text)
    found = threads(program.id)
    gaps = {thread["waits_for"]["unknown_because"] for thread in found["threads"]
            if thread["syscall_name"] == "futex"}
    check(all(gap for gap in gaps), f"{gaps}")


def case_not_waited_for():
    """Proves:  of a process that has ended, and whose parent has not waited, just that is said."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    await_state(child, "Z")
    text = ask("ps", child, status=3)
    check("has not waited for it yet" in text and f"process {os.getpid()}" in text, text)
    os.waitpid(child, 0)


def case_no_process():
    """Proves:  of an id that belongs to nothing, just that is said."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    check(f"there is no process {child}" in ask("ps", child, status=3), "no such process")


def case_other_user():
    """Proves:  another user's process is refused with a sentence that says whose it is, and what it takes."""
    if os.geteuid() != 0:
        skip("only root can become another user")
    program = target("tree")

    def become_nobody():
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(TASKREG, folder)
        core = pathlib.Path(folder) / "core"
        os.chmod(make(core, b"its owner's"), 0o600)
        done = subprocess.run([copy, "ps", core], capture_output=True, text=True, preexec_fn=become_nobody)
        check(done.returncode == 4 and "no permission" in done.stderr, f"{done}")
        done = subprocess.run([copy, "ps", str(program.id)], capture_output=True, text=True, preexec_fn=become_nobody)
    check(done.returncode == 4 and "it is user 0's, and you are user 65534" in done.stderr, f"{done}")
    check("CAP_SYS_PTRACE" in done.stderr and done.stdout == "", f"{done}")


def case_kernel_thread():
    """Proves:  a thread of the kernel has no memory, and that is said."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            is_kernels = (process / "stat").read_text().rsplit(")", 1)[1].split()[1] == "2"
        except OSError:
            continue
        if is_kernels:
            check("thread of the kernel" in ask("ps", process.name, status=5), "a thread of the kernel")
            return
    skip("no thread of the kernel can be seen")


def case_wrong_commands():
    """Proves:  each wrong command has status 2 and a sentence, and --help and --version have 0."""
    for wrong in ([], ["ps"], ["ps", "0"], ["ps", "-5"], ["ps", "1", "2"], ["fly", "1"], ["ps", "1", "--fly"],
                  ["threads", "1", "--tree"], ["top"], ["top", "core"], ["top", "1", "--json"], ["top", "1", "-s", "size"], ["ps", "1", "-s", "id"], ["ps", "1", "--tree", "--json"], ["ps", "1", "--watch"],
                  ["ps", "1", "--watch", "0"], ["ps", "1", "--watch", "0.0001"], ["ps", "1", "--watch", "1.5x"], ["ps", "1", "--watch", ".5"], ["ps", "99999999999999999999"]):
        text = ask(*wrong, status=2)
        check("--help" in text, text)
    for wrong, said in (["ps", "1", "-jx"], ": -x"), (["ps", "1", "--fly=1"], ": --fly=1"), (["ps", "1", "--json=1"], ": --json=1"), (
            ["ps", "1", "--watch"], "--watch"), (["--", "--help"], "no such command: --help"):
        text = ask(*wrong, status=2)
        check(said in text, text)
    check("taskreg ps PID" in ask("--help"), "no help")
    check(ask("ps", "1", "--he") == ask("--help") == ask("-jh") == ask("help"), "an option in another form")
    check(re.fullmatch(r"taskreg \d+\.\d+\.\d+\n", ask("--version")), "no version")


def case_own_namespace():
    """Proves:  a process in a PID namespace of its own is listed by its own ids, and its threads are found.
    Catches: the id of a thread in another namespace, or none of this one's, taken for the target's."""
    test = subprocess.run(["unshare", "--pid", "--fork", "true"], capture_output=True)
    if test.returncode != 0:
        skip("no namespace can be made")
    process = subprocess.Popen(["unshare", "--pid", "--fork", PROGRAMS / "taskreg-target", "tree"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    running.append(process)
    check(process.stdout.readline() == "ready\n", "it is not ready")
    inside = int(pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    running_inside.append(inside)
    found = ps(inside)
    check_tree(found)
    check(all(task["thread_id"] < 100 for task in found["tasks"]), f"{[t['thread_id'] for t in found['tasks']]}")
    why = ask("why", inside)
    check("task alpha: asleep" in why, why)


def case_full_output():
    """Proves:  output that cannot be written is an error, and no signal ends the program."""
    program = target("tree")
    with open("/dev/full", "w") as full:
        done = subprocess.run([TASKREG, "ps", str(program.id)], stdout=full, stderr=subprocess.PIPE, text=True)
    check(done.returncode == 5 and "cannot be written" in done.stderr, f"{done}")


def case_watch():
    """Proves:  --watch writes one list after the other, leaves no memory behind, and ends with status 3 when the process has.
    Catches: a report that nobody frees."""
    program = target("tree")
    watch = subprocess.Popen([TASKREG, "ps", "--json", "--watch", "1", str(program.id)], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    running.append(watch)
    check(json.loads(watch.stdout.readline())["count"] == 4, "the first list")
    check(json.loads(watch.stdout.readline())["count"] == 4, "the second list")
    program.process.kill()
    program.process.wait()
    check(watch.wait(timeout=60) == 3, f"status {watch.returncode}")
    program = target("tree")
    for command in "why", "threads":
        watch = subprocess.Popen([TASKREG, command, "--json", "--watch=0.001", str(program.id)], stdout=subprocess.PIPE, text=True)
        running.append(watch)
        memory = []
        for number in range(300):
            watch.stdout.readline()
            memory.append(int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{watch.pid}/status").read_text()).group(1)))
        check(memory[299] <= memory[99] + 2048, f"{command}: {memory[99]} KiB after 100 lists, {memory[299]} after 300")
        watch.kill()


def case_executes():
    """Proves:  a process that executes a program between two lists is seen with the tasks of that, however soon the second list is.
    Catches: mappings of the list before that are taken for those of the process now."""
    program = target("executes")
    watch = subprocess.Popen([TASKREG, "ps", "--json", "--watch", "0.2", str(program.id)], stdout=subprocess.PIPE, text=True)
    running.append(watch)
    for _ in range(2):  # of which one read the mappings, less than a second ago
        found = json.loads(watch.stdout.readline())
        check([task["name"] for task in found["tasks"]] == ["before"], f"{found}")
    os.kill(watch.pid, signal.SIGSTOP)
    program.process.stdin.write("x")
    program.process.stdin.flush()
    check(program.process.stdout.readline() == "ready\n", "the second program")
    os.kill(watch.pid, signal.SIGCONT)
    # One may have been written before the stop.
    for _ in range(3):
        found = json.loads(watch.stdout.readline())
    check_tree(found)
    watch.kill()


# ---- Core files ----


class Core:
    """A program that ends with a core file, as the kernel writes it, in a folder of its own; or as gcore writes it."""

    def __init__(self, *arguments, by=None, gcore=False):
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
        if not gcore and (pattern.startswith("|") or "/" in pattern):
            skip(f"core files go elsewhere: {pattern}")
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        if not gcore and hard == 0:
            skip("core files are forbidden (ulimit -H -c)")
        if gcore and (not shutil.which("gcore") or not shutil.which("gdb")):
            skip("there is no gcore")
        self.program = Program(*arguments, cwd=folder,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (hard, hard)))
        self.id = self.program.id
        if gcore:
            # Threads that are about to wait have to wait.
            self.live = ask("why", self.id)
            done = subprocess.run(["gcore", "-o", folder / "core", str(self.id)], capture_output=True, text=True)
            if "not permitted" in done.stderr:
                skip("the system lets none attach")
            self.program.process.kill()
        else:
            self.live = ask("why" if "plain" not in str(arguments[0]) else "threads", self.id)
            if by is None:
                self.program.process.stdin.close()
            else:
                os.kill(self.id, by)
        self.program.process.wait()
        found = list(folder.glob("core*"))
        check(len(found) == 1, f"{found} {self.program.process.returncode}")
        self.path = found[0]


def check_core(core, signal_number, more=1):
    """The tasks of the tree are there, and `delta`, whose thread the signal hit."""
    found = ps(core.path)
    check_tree(found, others=more)
    check(found["process_id"] == core.id and found["core"]["signal"] == signal_number, f"{found['core']}")
    threads_ = {task["name"]: task["thread_id"] for task in found["tasks"]}
    check(found["core"]["thread_id"] == threads_["delta"], f"{found['core']} {threads_}")
    table = ask("ps", core.path)
    check_text(table)
    check(table.startswith(f"core file of process {core.id} ("), table)
    check(f"ended by signal {signal_number} (" in table, table)
    check(f") in thread {threads_['delta']}, task net/peers/delta; times are" in table, table)
    why = ask("why", core.path)
    check_text(why)
    need_proof(why)
    check(re.search(r"^task alpha: idle in tr_sleep", why, re.M) or "task alpha: asleep" in why, why)
    check(not re.search(r": ,|, ,|, $", why, re.M), why)
    listed = threads(core.path)
    check({thread["thread_id"] for thread in listed["threads"]} >= set(threads_.values()), f"{listed}")
    check('taskreg_tasks_spawned_total{registry="service \\n of the target"} 5\n' in ask("metrics", core.path), "metrics")


def case_core_segv():
    """Proves:  of a process that a task has ended by a segmentation fault the core file has the tasks with all that is
             theirs, names the task, and says what the others waited for; the texts that the core file leaves out come from
             the files on disk.
    Catches: registers that are another thread's; a call that was over taken for one that waits; a file that is not read."""
    check_core(Core(PROGRAMS / "taskreg-target", "segv"), signal.SIGSEGV)


def case_core_abort():
    """Proves:  likewise of abort(3) in a task."""
    check_core(Core(PROGRAMS / "taskreg-target", "abort"), signal.SIGABRT)


def case_core_static():
    """Proves:  likewise of a static program, with which the library is linked."""
    check_core(Core(PROGRAMS / "taskreg-static", "segv"), signal.SIGSEGV)


def case_core_static_pie():
    """Proves:  likewise of one that is at another address each time."""
    check_core(Core(PROGRAMS / "taskreg-static-pie", "segv"), signal.SIGSEGV)


def case_core_stripped():
    """Proves:  likewise of a stripped program."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "target"
        shutil.copy(PROGRAMS / "taskreg-archive", program)
        subprocess.run(["strip", "--strip-all", program], check=True)
        check_core(Core(program, "segv"), signal.SIGSEGV)


def check_deadlock(core):
    why = ask("why", core.path)
    need_proof(core.live)
    check(re.search(r"^deadlock: thread waits for mutex (first|second) .*held by thread \(thread \d+\), which waits", why, re.M), why)
    check("3 tasks" in why and " for mutex first " in why, why)
    found = validated(ask("why", "--json", core.path), "report.json")
    check(len(found["circles"]) == 1 and len(found["circles"][0]) == 2, f"{found['circles']}")
    holders = {s["waits_for"]["holder"]["thread_id"] for s in found["stragglers"]}
    check(len(found["stragglers"]) == 3 and len(holders) == 1, f"{holders}")
    # The live process said the same of the same threads.
    for thread in holders:
        check(f"(thread {thread})" in core.live, core.live)


def case_core_deadlock():
    """Proves:  a deadlock of threads, and the tasks that wait for it, are proven by the core file that the kernel writes when
             the process is ended: the registers say the calls, the memory of the locks the owners.
    Catches: a lock of another C library taken for this one's; a circle that is not found as no thread has a CPU clock."""
    check_deadlock(Core(PROGRAMS / "taskreg-target", "deadlock", by=signal.SIGQUIT))


def case_core_gcore():
    """Proves:  likewise by the one that gcore(1) writes of a process that hangs and lives on; no signal has ended it."""
    core = Core(PROGRAMS / "taskreg-target", "deadlock", gcore=True)
    check_deadlock(core)
    check(ps(core.path)["core"]["signal"] is None, f"{ps(core.path)['core']}")
    check("ended by" not in ask("ps", core.path), ask("ps", core.path))


def case_core_threads():
    """Proves:  of any program with threads the core file has which call each was in, who holds the mutex that it waits for,
             whose end it waits for, and who waits in a circle.
    Catches: a thread pointer that is another thread's."""
    core = Core(PROGRAMS / "taskreg-plain", by=signal.SIGQUIT)
    text = ask("threads", core.path)
    check_text(text)
    need_proof(core.live)
    check(f"process {core.id} (taskreg-plain): 8 threads\n" in text, text)
    check(re.search(r"^deadlock: thread waits for mutex (one|two) .* held by thread", text, re.M), text)
    check(re.search(r"is in read on descriptor \d+$", text, re.M) and re.search(r"is in accept on descriptor \d+$", text, re.M), text)
    check(re.search(r"waits for mutex journal_lock \(0x\w+\) held by thread taskreg-plain \(thread %d\)" % core.id, text), text)
    if SEES_JOINS:
        check(re.search(r"waits for the end of thread \(thread \d+\)", text), text)
        joined = re.search(r"waits for the end of thread sleeper \(thread (\d+)\)", core.live).group(1)
        check(f"waits for the end of thread (thread {joined})" in text, text)
    check("does not have libtaskreg" in ask("ps", core.path, status=1), "ps")


def case_core_other_file():
    """Proves:  a file on disk that is not the one that the process had is not read, and that is said; what is in the core file
             itself is shown nevertheless, as the holder of a lock whose name is not known any more.
    Catches: the names of another program taken for those of this one."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "taskreg-plain"
        shutil.copy(PROGRAMS / "taskreg-plain", program)
        core = Core(program, by=signal.SIGQUIT)
        need_proof(core.live)
        check("waits for mutex journal_lock (0x" in ask("threads", core.path), "the name of a lock")
        program.unlink()
        for other, sentence in (None, "cannot be read any more"), ("taskreg-target", "its build id is another"):
            if other:
                shutil.copy(PROGRAMS / other, program)
            done = subprocess.run([TASKREG, "threads", core.path], capture_output=True, text=True)
            check(done.returncode == 0 and f"{program} " in done.stderr and sentence in done.stderr, f"{other}: {done}")
            check(done.stderr.count("\n") == 1 and "journal_lock" not in done.stdout, f"{done}")
            check(re.search(r"waits for mutex 0x\w+ .*held by thread taskreg-plain", done.stdout), done.stdout)


def case_core_pipe():
    """Proves:  a core file is read from a pipe, as zstd(1) and coredumpctl(1) write it; one that is compressed is refused with
             the command that helps, and so is what is not a core file, with an exit status that says so."""
    core = Core(PROGRAMS / "taskreg-target", "segv")
    with open(core.path, "rb") as file:
        cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
        check_tree(ps("-", stdin=cat.stdout), others=1)
        cat.wait()
    if shutil.which("zstd"):
        packed = core.path.with_suffix(".zst")
        subprocess.run(["zstd", "-q", core.path, "-o", packed], check=True)
        check(f"zstd -dc {packed} | taskreg" in ask("ps", packed, status=5), "compressed")
        unpack = subprocess.Popen(["zstd", "-dcq", packed], stdout=subprocess.PIPE)
        check_tree(ps("-", stdin=unpack.stdout), others=1)
        unpack.wait()
    else:
        print("left out: there is no zstd")
    check("is not a core file" in ask("ps", TASKREG, status=5), "a program")
    check("too short" in ask("ps", make(core.path.with_name("empty"), b""), status=5), "empty")
    check("does not exist" in ask("why", core.path.with_name("none"), status=3), "no file")
    check("can be read" in ask("why", core.path.parent, status=5), "a folder")


def make(path, content):
    path.write_bytes(content)
    return path


def case_core_cut():
    """Proves:  of a core file that was cut off, at any place, what is there is shown, and it is said that some is missing.
    Catches: a read behind the end that is taken for zeroes."""
    core = Core(PROGRAMS / "taskreg-static", "segv")
    whole = core.path.read_bytes()
    statuses = set()
    # At each end of a part, and in its middle.
    places = {64, 1000}
    for number in range(struct.unpack_from("<H", whole, 56)[0]):
        offset, size = struct.unpack_from("<Q", whole, 64 + 56 * number + 8)[0], struct.unpack_from("<Q", whole, 64 + 56 * number + 32)[0]
        places |= {offset, offset + size // 2, offset + size - 1}
    for place in sorted(places):
        cut = make(core.path.with_name("cut"), whole[:place])
        done = subprocess.run([TASKREG, "ps", "--json", cut], capture_output=True, text=True)
        statuses.add(done.returncode)
        check(done.returncode in (0, 1, 5) and done.stderr != "", f"{place}: {done.returncode} {done.stderr}")
        if done.returncode == 0:
            found = validated(done.stdout, "ps.json")
            check("was cut off" in done.stderr, done.stderr)
            check(not found["complete"], f"{place}: {found['count']} tasks, and nothing is missing")
    check(statuses == {0, 1, 5}, f"{statuses}")
    check_tree(ps(core.path), others=1)


def case_core_scribbled():
    """Proves:  whatever is in a core file, in its header, the headers of its parts, its notes, the table of files, the memory of
             the registries, taskreg ends soon, by no signal, with a status that it may have, and with less than 1 GiB of
             memory.
    Catches: a number of parts, notes or files that is believed; a size that overflows; a note that leads back."""
    seed = int(os.environ.get("TASKREG_SEED", time.time_ns() % 1000000))
    rounds = int(os.environ.get("TASKREG_ROUNDS", "150"))
    print(f"TASKREG_SEED={seed}")
    random.seed(seed)
    core = Core(PROGRAMS / "taskreg-target", "segv")
    whole = core.path.read_bytes()
    count = struct.unpack_from("<H", whole, 56)[0]
    parts = [struct.unpack_from("<IIQQQQQQ", whole, 64 + 56 * number) for number in range(count)]
    notes = next((offset, offset + size) for kind, _, offset, _, _, size, _, _ in parts if kind == 4)
    # Where each note begins, and the table of files.
    heads, tables, place = [], [], notes[0]
    while place + 12 <= notes[1]:
        name, size, kind = struct.unpack_from("<III", whole, place)
        heads += [place, place + 4, place + 8, place + 20]
        if kind == 0x46494C45:
            tables += [(place + 20, number) for number in (size // 24, size, 1 << 20, 1 << 40, 1 << 63, (1 << 64) - 1)]
            heads += [place + 20 + 8 * word for word in range(0, 40)] * 3
        place += 12 + (name + 3 & ~3) + (size + 3 & ~3)
    cookie = whole.find(struct.pack("<4Q", 0x9E5A17C37461736B, 0xC4D26F817265670A, 0x83B10D5FE92C46A7, 0xF1A83C6E5B90D274))
    regions = [(0, 64), (64, 64 + 56 * count), notes, (cookie, cookie + 8 * struct.unpack_from("<Q", whole, cookie + 40)[0])]
    statuses = {}

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    def examine(content, number):
        path = make(core.path.with_name("scribbled"), content)
        command = random.choice((["ps", "--json"], ["ps", "--tree"], ["why"], ["threads"], ["threads", "--json"], ["metrics"]))
        done = subprocess.run([TASKREG, *command, path], capture_output=True, timeout=60, preexec_fn=limit)
        if done.returncode not in (0, 1, 5):
            kept = pathlib.Path(tempfile.gettempdir()) / f"taskreg-core-{seed}-{number}"
            kept.write_bytes(content)
            check(False, f"{command}: status {done.returncode}: {done.stderr}; the file is kept as {kept}")
        statuses[done.returncode] = statuses.get(done.returncode, 0) + 1
        if "--json" in command and done.returncode == 0:
            json.loads(done.stdout.decode())

    # How many files there are: these are tried in every run.
    for place, number in tables:
        content = bytearray(whole)
        struct.pack_into("<Q", content, place, number)
        examine(content, number)
    for number in range(rounds):
        content = bytearray(whole)
        if number % 10 == 0:
            # Nothing but random bytes, perhaps behind a header.
            content = bytearray(random.choices(range(256), k=random.randrange(1, 8192)))
            content[:random.choice((0, 64, 64 + 56 * count))] = whole[:64 + 56 * count]
        for _ in range(random.choice((1, 1, 2, 5, 20))):
            value = random.choice((0, 1, 2, 0xFFFF, 0xFFFFFFFF, 1 << 20, 1 << 40, 1 << 63, (1 << 64) - 1, random.getrandbits(64),
                                   random.getrandbits(12), len(whole), len(whole) - 12))
            first, end = random.choice(regions)
            place = random.choice((random.choice(heads), random.randrange(first, end)))
            size = random.choice((1, 2, 4, 8))
            if place + size <= len(content):
                content[place:place + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        if number % 7 == 0:
            del content[random.randrange(len(content)):]
        examine(content, number)
    print(f"{rounds} rounds: {statuses}")
    check(set(statuses) >= {0, 5}, f"{statuses}")


def case_core_crowd():
    """Proves:  of a core file whose few records are in very many places, so that its registries seem to have millions of tasks, no
             more are listed than 1 048 576, soon and with less than 1 GiB of memory, and it is said that some may be missing. With
             TASKREG_CROWD also by the other commands, which takes a minute.
    Catches: a bound for each registry in the place of one for all; a list that is there twice."""
    core = Core(PROGRAMS / "taskreg-target", "segv")
    whole = bytearray(core.path.read_bytes())
    at, number = struct.unpack_from("<Q", whole, 32)[0], struct.unpack_from("<H", whole, 56)[0]
    parts = [struct.unpack_from("<IIQQQQQQ", whole, at + 56 * part) for part in range(number)]

    def place(address):
        return next(offset + address - start for kind, _, offset, start, _, size, _, _ in parts
                    if kind == 1 and start <= address < start + size)

    def word(address):
        return struct.unpack_from("<Q", whole, place(address))[0]

    cookie = whole.find(struct.pack("<4Q", 0x9E5A17C37461736B, 0xC4D26F817265670A, 0x83B10D5FE92C46A7, 0xF1A83C6E5B90D274))
    words = struct.unpack_from("<77Q", whole, cookie)
    registry, start, copies = word(word(words[6]) + words[14]), 1 << 40, 9000
    registries = [registry, word(word(registry + words[19]) + words[20])]
    # 64 records of a task that lives; and these again and again, one behind the other, as the memory of each chunk.
    records = place(word(registry + words[27]))
    for record in range(1, 64):
        whole[records + record * words[30]:records + (record + 1) * words[30]] = whole[records:records + words[30]]
    for registry in registries:
        struct.pack_into("<I", whole, place(registry + words[26]), 0xFFFFFFFF)
        struct.pack_into(f"<{words[28]}Q", whole, place(registry + words[27]), *[start] * words[28])
    headers = [struct.pack("<IIQQQQQQ", *part) for part in parts]
    headers += [struct.pack("<IIQQQQQQ", 1, 6, records, start + 64 * words[30] * copy, 0, 64 * words[30], 64 * words[30], 8)
                for copy in range(copies)]
    struct.pack_into("<Q", whole, 32, len(whole))
    struct.pack_into("<H", whole, 56, len(headers))
    path = make(core.path.with_name("crowd"), bytes(whole) + b"".join(headers))

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    for command in ("ps", "metrics", "why") if "TASKREG_CROWD" in os.environ else ("ps",):
        begin = time.monotonic()
        done = subprocess.run([TASKREG, command, path], capture_output=True, timeout=200, preexec_fn=limit)
        print(f"{command}: {time.monotonic() - begin:.1f} s")
        check(done.returncode == 0 and done.stderr == b"", f"{command}: {done.returncode} {done.stderr[:200]}")
        if command == "ps":
            last = done.stdout.splitlines()[-1].decode()
            found = re.fullmatch(r"(\d+) tasks; some may be missing: .*", last)
            check(found and 1000000 < int(found.group(1)) <= 1048576, last)


# ---- top ----


def pages(text):
    """The rows of each page: id, thread, CPU%, CPU time, age, state, name."""
    found = []
    for line in text.splitlines():
        if line.startswith("process "):
            found.append([])
        elif re.match(r" *\d+ ", line):
            found[-1].append(line.split(None, 6))
    return found


def case_top():
    """Proves:  top writes one page after the other where there is no terminal: a task that turns round and round is above those
             that sleep, with the CPU time that the kernel counts; each order is one; it ends with status 3 when the process has.
    Catches: the CPU time of a thread's earlier tasks counted; a share that is of the whole age on each page."""
    program = target("segv")
    top = subprocess.Popen([TASKREG, "top", "--watch", "1", str(program.id)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running.append(top)
    text = ""
    while len(pages(text)) < 4:
        text += top.stdout.readline()
    check_text(text)
    for page in pages(text)[1:3]:
        rows = {row[6].split()[0]: row for row in page}
        check(page[0][6] == "net/peers/delta" and len(page) == 5, text)
        check(float(page[0][2]) > 0 and all(float(rows[name][2]) <= 1 for name in ("alpha", "net/beta")), text)
    stat = pathlib.Path(f"/proc/{program.id}/task/{pages(text)[2][0][1]}/schedstat").read_text()
    check(0 < float(pages(text)[2][0][3]) <= int(stat.split()[0]) / 1e9 + 0.01, f"{stat} {text}")
    program.process.kill()
    program.process.wait()
    check(top.wait(timeout=60) == 3 and "no process" in top.stderr.read(), "its end")

    program = target("tree")
    names = {"name": ["alpha", "beta", "crawls", "gamma"], "id": ["alpha", "crawls", "beta", "gamma"], "age": ["alpha", "crawls", "beta", "gamma"]}
    for key, expected in names.items():
        top = subprocess.Popen([TASKREG, "top", "-s", key, str(program.id)], stdout=subprocess.PIPE, text=True)
        running.append(top)
        lines = [top.stdout.readline() for _ in range(6)]
        top.kill()
        check([row[6].split()[0].split("/")[-1] for row in pages("".join(lines))[0]] == expected, f"{key}: {lines}")


def case_top_terminal():
    """Proves:  on a terminal of 80 columns and 24 lines a page has at most that; keys sort; q, SIGINT, SIGTERM and the end of the
             process end it, and the terminal is as it was before: its settings, its page, its cursor.
    Catches: settings that are put back on one way out and not on another; a line that is wrapped; a signal that ends it at once."""
    import fcntl
    import pty
    import select
    import termios
    program = target("crowd", 40)
    for way in "q", "SIGINT", "SIGTERM", "end":
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        before = termios.tcgetattr(slave)

        def lead():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        top = subprocess.Popen([TASKREG, "top", str(program.id)], stdin=slave, stdout=slave, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lead)
        running.append(top)
        shown = b""

        def read_until(pattern, end=b""):
            nonlocal shown
            begin = len(shown)
            deadline = time.monotonic() + 60
            while not re.search(pattern, shown[begin:]):
                check(time.monotonic() < deadline, f"{way}: no {pattern}: {shown[begin:]}")
                if select.select([master], [], [], 0.1)[0]:
                    shown += os.read(master, 65536)

        read_until(rb"q quit, .*name\x1b\[K\x1b\[J")
        page = re.sub(r"\x1b\[[?\d]*[a-zA-Z]", "", shown.decode())
        lines = page.split("\r\n")
        check(len(lines) <= 24, f"{len(lines)} lines: {page}")
        check(all(len(line) <= 80 for line in lines), f"too long: {page}")
        check("20 more" in lines[-2] and page.count("one of many") == 20, page)
        check(not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO), "keys come one by one")
        os.write(master, b"n")
        read_until(rb"of a processor, by name")
        if way == "q":
            os.write(master, b"q")
        elif way == "end":
            program.process.kill()
            program.process.wait()
        else:
            os.kill(top.pid, getattr(signal, way))
        read_until(rb"\x1b\[\?7h\x1b\[\?25h\x1b\[\?1049l")
        check(top.wait(timeout=60) == (3 if way == "end" else 0), f"{way}: status {top.returncode}")
        check(("no process" in top.stderr.read()) == (way == "end"), way)
        check(termios.tcgetattr(slave) == before, f"{way}: the settings of the terminal are not as before")
        os.close(master)
        os.close(slave)


# ---- gdb and bash ----


def gdb(*arguments, commands):
    """What gdb writes, which loads the script by itself, as it does where the library is installed under /usr."""
    if not shutil.which("gdb"):
        skip("there is no gdb")
    with tempfile.TemporaryDirectory() as folder:
        library = LIBRARY.resolve()
        place = pathlib.Path(folder + str(library) + "-gdb.py")
        place.parent.mkdir(parents=True)
        shutil.copy(SOURCES / "share/taskreg-gdb.py", place)
        done = subprocess.run(["gdb", "-nx", "-batch", "-iex", f"set auto-load scripts-directory {folder}",
                               "-iex", f"set auto-load safe-path {folder}", "-iex", "set debuginfod enabled off", *map(str, arguments),
                               *[word for command in commands for word in ("-ex", command)]], capture_output=True, text=True)
    if "not permitted" in done.stderr:
        skip("the system lets none attach")
    if "Scripting in the \"Python\" language is not supported" in done.stderr + done.stdout:
        skip("this gdb has no Python")
    return done.stdout + done.stderr


def check_gdb(text, listed, more=()):
    """gdb lists the tasks that taskreg lists, and has switched to the thread of gamma."""
    for task in listed["tasks"]:
        name = task["group"] + "/" * (task["group"] != "") + task["name"]
        check(re.search(rf"^[ *] *{task['id']} +\d+ +{task['thread_id']}  {task['state']} +{re.escape(name)}( |$)", text, re.M),
              f"{name}: {text}")
    check(f"{len(listed['tasks'])} tasks\n" in text, text)
    check('net/peers/gamma for "GET /index.html" "reading \\x1b[31m the manifest"' in text, text)
    gamma = [task for task in listed["tasks"] if task["name"] == "gamma"][0]
    check(re.search(rf"Switching to thread \d+ \(.*LWP {gamma['thread_id']}\)", text), text)
    check(re.search(rf"^\* *{gamma['id']} ", text, re.M), text)
    check("there is no task 77" in text, text)


def case_gdb():
    """Proves:  in gdb, `info tasks` lists the tasks that taskreg lists, `task ID` switches to the thread of one, and `task why`
             says what taskreg says; gdb loads the script by itself. So it is with a core file.
    Catches: a number of a word that has become another's; a core file that is taken for a process."""
    program = target("tree")
    listed = ps(program.id)
    gamma = [task["id"] for task in listed["tasks"] if task["name"] == "gamma"][0]
    commands = (f"set taskreg-program {TASKREG}", f"task {gamma}", "info tasks", "task why", "task 77")
    text = gdb("-p", program.id, commands=commands)
    check_gdb(text, listed)
    check("4 tasks alive" in text and "task alpha: " in text, text)
    program.process.kill()
    core = Core(PROGRAMS / "taskreg-target", "segv")
    text = gdb(PROGRAMS / "taskreg-target", core.path, commands=commands)
    check_gdb(text, ps(core.path))
    check("5 tasks alive" in text and f"core file of process {core.id} " in text, text)


def case_completion():
    """Proves:  bash completes the commands, the options of each that taskreg has, and files.
    Catches: an option that taskreg does not know, or knows and bash does not."""
    script = SOURCES / "share/taskreg.bash"

    def complete(*words):
        done = subprocess.run(["bash", "-c", 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _taskreg; printf "%s\n" "${COMPREPLY[@]}"',
                               script, "taskreg", *words], capture_output=True, text=True, cwd=SOURCES)
        check(done.returncode == 0 and done.stderr == "", done.stderr)
        return done.stdout.split()

    text = ask("--help")
    commands = set(re.findall(r"^  taskreg (\w+) ", text, re.M))
    check({*complete("")} == {*commands, "help"}, f"{complete('')} {commands}")
    options = {option for command in commands for option in complete(command, "--")} | {*complete("--")}
    check(options == set(re.findall(r"--\w+", text)), f"{options}")
    check(complete("ps", "READM") == ["README.md"] and complete("w") == ["why"], "files and commands")
    check(str(os.getpid()) in complete("ps", str(os.getpid())), "processes")


def case_scribbled():
    """Proves:  whatever is in the memory of a process, in the table, the registries, the records, taskreg ends soon, by no
             signal, with a status that it may have, and with less than 1 GiB of memory.
    Catches: an offset that is believed; a list that is followed in a circle; a text without an end."""
    seed = int(os.environ.get("TASKREG_SEED", time.time_ns() % 1000000))
    rounds = int(os.environ.get("TASKREG_ROUNDS", "150"))
    print(f"TASKREG_SEED={seed}")
    random.seed(seed)
    program = target("tree")
    os.kill(program.id, signal.SIGSTOP)
    await_state(program.id, "T")
    places = interesting(program.id)
    memory = os.open(f"/proc/{program.id}/mem", os.O_RDWR)
    statuses = {}

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    for _ in range(rounds):
        written = []
        for _ in range(random.choice((1, 1, 2, 5, 40))):
            start, size = random.choice(places)
            place = start + random.randrange(0, max(1, size - 8)) // 8 * 8
            value = random.choice((
                0, 1, (1 << 64) - 1, 1 << 63, random.getrandbits(64), random.getrandbits(16), random.choice(places)[0],
                place, random.choice(places)[0] + random.randrange(0, 4096) // 8 * 8))
            written.append((place, os.pread(memory, 8, place)))
            os.pwrite(memory, struct.pack("<Q", value), place)
        for command in random.choice((["ps", "--json"], ["ps"], ["ps", "--tree"], ["why"])), :
            done = subprocess.run([TASKREG, *command, str(program.id)], capture_output=True, timeout=60, preexec_fn=limit)
            check(done.returncode in (0, 1, 5), f"{command}: status {done.returncode}: {done.stderr}")
            statuses[done.returncode] = statuses.get(done.returncode, 0) + 1
            if command == ["ps", "--json"] and done.returncode == 0:
                json.loads(done.stdout.decode())
        for place, before in reversed(written):
            os.pwrite(memory, before, place)
    check_tree(ps(program.id))
    print(f"{rounds} rounds: {statuses}")


def interesting(process):
    """Where the table is, and the first bytes of what its addresses lead to."""
    cookie = struct.pack("<4Q", 0x9E5A17C37461736B, 0xC4D26F817265670A, 0x83B10D5FE92C46A7, 0xF1A83C6E5B90D274)
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for line in open(f"/proc/{process}/maps"):
            words = line.split()
            start, end = (int(word, 16) for word in words[0].split("-"))
            if words[1] != "rw-p" or words[4] == "0":
                continue
            memory.seek(start)
            found = memory.read(end - start).find(cookie)
            if found >= 0:
                table = start + found
                break
        else:
            check(False, "the table is not there")

        def word(address):
            memory.seek(address)
            return struct.unpack("<Q", memory.read(8))[0]

        count = word(table + 40)
        words = [word(table + 8 * number) for number in range(count)]
        places = [(table, 8 * count)]
        registry = word(word(words[6]) + words[14])
        while registry:
            places.append((registry, 2048))
            monitor = word(registry + words[19])
            places.append((monitor, 256))
            group = word(monitor + words[20])
            if group:
                places.append((group, 2048))
            chunk = word(registry + words[27])
            if chunk:
                places.append((chunk, 6 * words[30]))
                places.append((chunk + words[29] * (words[30] + words[31]), 6 * words[32]))
            registry = word(registry + words[15])
    return places


running_inside = []
try:
    globals()["case_" + CASE.replace("-", "_")]()
finally:
    for process in running_inside:
        os.kill(process, signal.SIGKILL)
    for process in running:
        process.kill()
