# taskreg-gdb.py - the tasks of a program with libtaskreg, in gdb.
#
#   info tasks   lists them, of a process or a core file
#   task ID      switches to the thread of one
#   task why     what each of them waits for, and who holds it up, by taskreg(1)
#
# gdb loads this by itself for a library that is installed under /usr; otherwise, and for a program that is linked with the
# archive: (gdb) source /usr/share/taskreg/taskreg-gdb.py
#
# It reads the table that taskreg(1) reads, which needs no debug information; see design note 0029. The numbers below are
# those of Sources/TrackedTasks/Machines/ReaderWord.swift, and the bits those of TaskWord.swift and TaskTraits.swift.
#
# Copyright 2026 the libtaskreg authors. SPDX-License-Identifier: Apache-2.0

import re
import shutil
import struct
import subprocess

import gdb

COOKIE = struct.pack("<4Q", 0x9E5A17C37461736B, 0xC4D26F817265670A, 0x83B10D5FE92C46A7, 0xF1A83C6E5B90D274)
LAYOUT = 1
TRAIT_ACTIVITY, TRAIT_LABELLED, TRAIT_STARTS_AGAIN = 4, 15, 19
WORDS = {
    "layout": 4, "count": 5, "list": 6, "forkedPlace": 7, "forkedMask": 8, "firstRegistry": 14, "nextRegistry": 15,
    "nextGroup": 16, "listNumber": 17, "monitor": 19, "firstGroup": 20, "path": 21, "pathSize": 22, "recordCount": 26,
    "chunks": 27, "chunkCount": 28, "firstChunk": 29, "recordSize": 30, "messageSize": 31, "activitySize": 32,
    "taskWord": 33, "taskID": 34, "name": 35, "nameSize": 36, "threadID": 39, "traits": 41, "checkpoint": 45,
    "labelCount": 54, "evenLabel": 55, "oddLabel": 56, "labelSize": 57, "startsAt": 72,
}
# Bounds for what a damaged memory may say.
MOST_REGISTRIES, MOST_TASKS = 1 << 16, 1 << 20


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def word(address):
    return struct.unpack("<Q", read(address, 8))[0]


def half(address):
    return struct.unpack("<I", read(address, 4))[0]


def text(raw):
    """Text of the program's, without anything that commands a terminal."""
    found = raw.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\\x%02x" % ord(c) for c in found)


class Table:
    """What the library says of its own memory."""

    def __init__(self, address):
        count = min(word(address + 8 * WORDS["count"]), 1024)
        self.words = struct.unpack("<%dQ" % count, read(address, 8 * count)) if count else ()
        if self["layout"] not in (0, LAYOUT):
            raise gdb.GdbError("this libtaskreg's records have layout %d; use the script of that release" % self["layout"])

    def __getitem__(self, name):
        return self.words[WORDS[name]] if WORDS[name] < len(self.words) else 0

    def is_forked(self):
        return half(self["forkedPlace"]) & self["forkedMask"] != 0


class Task:
    def __init__(self, table, group, record, activity):
        self.id = word(record + table["taskID"])
        self.word = word(record + table["taskWord"])
        self.name = text(read(record + table["name"], table["nameSize"]))
        if group:
            self.name = group + "/" + self.name
        stage = self.word >> 32 & 7
        traits = half(record + table["traits"]) if self.word >> 43 & 1 else 0
        starts_again = traits >> TRAIT_STARTS_AGAIN & 1 and word(activity + table["startsAt"]) != 0
        self.thread = half(record + table["threadID"]) if stage == 2 else 0
        if self.word >> 35 & 1:
            self.state = "abandoned"
        elif stage == 1:
            self.state = "waiting" if starts_again else "starting"
        else:
            self.state = "cancelling" if self.word & 3 else "running"
        self.remarks = ""
        if traits >> TRAIT_LABELLED & 1:
            place = table["evenLabel"] if word(activity + table["labelCount"]) % 2 == 0 else table["oddLabel"]
            self.remarks += ' for "%s"' % text(read(activity + place, table["labelSize"]))
        if traits >> TRAIT_ACTIVITY & 1 and word(activity + table["checkpoint"]):
            self.remarks += ' "%s"' % text(string_at(word(activity + table["checkpoint"])))


def string_at(address):
    found = b""
    while b"\0" not in found and len(found) < 256:
        found += read(address + len(found), min(64, 4096 - (address + len(found)) % 4096))
    return found


def tables():
    """The tables of all copies of the library. Without section headers, all that an object can write is searched."""
    named, others = [], []
    for line in gdb.execute("info files", to_string=True).splitlines():
        found = re.match(r"\s*(0x[0-9a-f]+) - (0x[0-9a-f]+) is (\S+)", line)
        if not found:
            continue
        start, end = int(found[1], 16), int(found[2], 16)
        if found[3] == "taskreg_root":
            named.append((start, end))
        elif found[3] == ".data" or found[3].startswith("load"):
            others.append((start, end))
    for places in named, others:
        addresses = set()
        for start, end in places:
            try:
                place = gdb.selected_inferior().search_memory(start, end - start, COOKIE)
            except gdb.MemoryError:
                continue
            if place is not None:
                addresses.add(place)
        if addresses:
            return [Table(address) for address in sorted(addresses)]
    raise gdb.GdbError("the program does not have libtaskreg, or does not run")


def registries(table):
    """The addresses of all registries, each with its groups behind it."""
    if table["layout"] == 0 or table.is_forked():
        return
    head = word(table["list"])
    left = [(head + table["firstRegistry"], "nextRegistry")] if head else []
    seen = set()
    while left:
        place, link = left.pop()
        address = word(place)
        if address == 0 or address in seen or len(seen) >= MOST_REGISTRIES:
            continue
        seen.add(address)
        yield address
        left.append((address + table[link], link))
        left.append((word(address + table["monitor"]) + table["firstGroup"], "nextGroup"))


def tasks():
    """All live tasks, by id. A registry that cannot be read, of a core that was cut off, is left out from there on."""
    found = []
    for table in tables():
        try:
            add_tasks(table, found)
        except gdb.MemoryError:
            pass
    return sorted(found, key=lambda task: task.id)


def add_tasks(table, found):
    """Adds the live tasks of a table."""
    for registry in registries(table):
        try:
            group = text(read(registry + table["path"], table["pathSize"]))
            made = half(registry + table["recordCount"])
            for number in range(table["chunkCount"]):
                room = table["firstChunk"] << number
                chunk = word(registry + table["chunks"] + 8 * number)
                for place in range(min(made, room)):
                    record = chunk + place * table["recordSize"]
                    activity = chunk + room * (table["recordSize"] + table["messageSize"]) + place * table["activitySize"]
                    stage = word(record + table["taskWord"]) >> 32 & 7
                    if stage in (1, 2) and len(found) < MOST_TASKS:
                        found.append(Task(table, group, record, activity))
                made -= min(made, room)
                if made == 0:
                    break
        except gdb.MemoryError:
            continue


def threads():
    """gdb's threads by the ids that the kernel gave them."""
    return {thread.ptid[1] or thread.ptid[2]: thread for thread in gdb.selected_inferior().threads()}


class InfoTasks(gdb.Command):
    """List the tasks of a program with libtaskreg.

The one whose thread is selected has an asterisk. "Thread" is gdb's number."""

    def __init__(self):
        super().__init__("info tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        known, selected = threads(), gdb.selected_thread()
        found = tasks()
        print("      ID  Thread       LWP  State       Name")
        for task in found:
            thread = known.get(task.thread)
            mark = "*" if thread is not None and selected is not None and thread.num == selected.num else " "
            print("%s%7d  %6s  %8s  %-10s  %s%s" % (mark, task.id, thread.num if thread else "-", task.thread or "-", task.state,
                                                  task.name, task.remarks))
        print("%d task%s" % (len(found), "" if len(found) == 1 else "s"))


class TaskCommand(gdb.Command):
    """Switch to the thread of a task: task ID."""

    def __init__(self):
        super().__init__("task", gdb.COMMAND_STATUS, gdb.COMPLETE_NONE, True)

    def invoke(self, argument, from_tty):
        if not re.fullmatch(r"\d+", argument.strip()):
            raise gdb.GdbError("task takes the id of a task (see info tasks), or why")
        for task in tasks():
            if task.id == int(argument):
                thread = threads().get(task.thread)
                if thread is None:
                    raise gdb.GdbError("task %d (%s) is %s, and has no thread here" % (task.id, task.name, task.state))
                gdb.execute("thread %d" % thread.num)
                return
        raise gdb.GdbError("there is no task %s" % argument)


class Program(gdb.Parameter):
    """Which program `task why` runs; the taskreg that is in PATH if this is empty."""

    set_doc = show_doc = "The program that `task why` runs."

    def __init__(self):
        super().__init__("taskreg-program", gdb.COMMAND_FILES, gdb.PARAM_OPTIONAL_FILENAME)
        self.value = ""

    def get_set_string(self):
        return ""

    def get_show_string(self, value):
        return "`task why` runs %s." % (value or "the taskreg in PATH")


class TaskWhy(gdb.Command):
    """Say what each task waits for, and who holds it up, by taskreg(1)."""

    def __init__(self):
        super().__init__("task why", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        tool = gdb.parameter("taskreg-program") or shutil.which("taskreg")
        if not tool:
            raise gdb.GdbError("taskreg is not in PATH: install it, or say where it is with `set taskreg-program`")
        done = subprocess.run([tool, "why", target()], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        gdb.write(done.stdout.decode("utf-8", "replace"))


def target():
    """The core file that gdb reads, or the id of the process."""
    found = re.search(r"^Local core dump file:\n\s+`(.*)', file type ", gdb.execute("info files", to_string=True), re.M)
    if found:
        return found[1]
    if gdb.selected_inferior().pid == 0:
        raise gdb.GdbError("the program does not run")
    return str(gdb.selected_inferior().pid)


Program()
InfoTasks()
TaskCommand()
TaskWhy()
