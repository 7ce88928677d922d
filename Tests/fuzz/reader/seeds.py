#!/usr/bin/python3
"""seeds.py FUZZ_MEMORY PROGRAMS FOLDER - the inputs with which taskreg's fuzzing begins: what taskreg asks about small real
processes (Tests/taskreg), as FUZZ_MEMORY (memory.c) records it, in FOLDER/memory; and core files that have the same, in FOLDER/core.

What no answer depends on is left out. The core files have a machine of x86-64; elsewhere they are refused, which proves little."""

import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

FUZZ, PROGRAMS, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
MAPS, STATUS, NAME, THREAD_NAME, CALL, STAT, SCHEDSTAT, WCHAN, OWN_MAPS, THREAD_STATUS = range(10)
COOKIE = struct.pack("<4Q", 0x9E5A17C37461736B, 0xC4D26F817265670A, 0x83B10D5FE92C46A7, 0xF1A83C6E5B90D274)
# Of a file: where core.c says that the C library is, and where it is in the core files here.
SIZE, LIBRARY = 0x4000, 0x7E0000000000
# The id that each process has here.
PROCESS = 999999999
KEPT = re.compile(r"^(Name|State|Uid|NSpid|PPid):.*\n", re.M)


def filled_up(content):
    return content + bytes(-len(content) % 8)


class Record:
    """What was asked about a process, and answered."""

    def __init__(self, program, *arguments):
        process = subprocess.Popen([PROGRAMS / program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        while process.stdout.readline() not in ("ready\n", ""):
            pass
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run([FUZZ], check=True, env=os.environ | {"TASKREG_RECORD": str(process.pid), "TASKREG_RECORD_TO": file.name})
            whole = file.read()
        process.kill()
        process.wait()
        *self.places, files, segments, changes, threads = struct.unpack_from("<4Q4H", whole)
        at = 40

        def take(form, count):
            nonlocal at
            found = [struct.unpack_from(form, whole, at + struct.calcsize(form) * number) for number in range(count)]
            at += struct.calcsize(form) * count
            return found

        files, segments, _ = take("<HHi", files), take("<QII", segments), take("<IIQ", changes)
        self.threads = [thread for thread, in take("<i", threads)]
        at += at % 8
        self.files = {}
        for kind, size, thread in files:
            self.files[kind, thread] = whole[at:at + size]
            at += size + -size % 8
        self.memory = {}
        for address, size, _ in segments:
            self.memory.setdefault(address, b"")
            if size > len(self.memory[address]):
                self.memory[address] = whole[at:at + size]
            at += size + -size % 8
        self.merge()
        self.shorten()
        self.number(process.pid)
        self.trim()

    def merge(self):
        """Pieces that touch, or nearly so, become one."""
        merged = []
        for address, content in sorted(self.memory.items()):
            if merged and address <= merged[-1][0] + len(merged[-1][1]) + 128:
                first, before = merged.pop()
                end = max(first + len(before), address + len(content))
                joined = bytearray(before + bytes(end - first - len(before)))
                joined[address - first:address - first + len(content)] = content
                merged.append((first, bytes(joined)))
            else:
                merged.append((address, content))
        self.memory = dict(merged)

    def word(self, address):
        return next((struct.unpack_from("<Q", content, address - first)[0] for first, content in self.memory.items()
                     if first <= address <= first + len(content) - 8), 0)

    def shorten(self):
        """Of each registry's records, of which taskreg asks for 64 and more at a time, only the first are used: say that there are 4."""
        table = next((address + content.find(COOKIE) for address, content in self.memory.items() if COOKIE in content), 0)
        words = [self.word(table + 8 * number) for number in range(64)]
        if not words[6]:  # there is no list
            return
        registries = [self.word(self.word(words[6]) + words[14])]
        for registry in registries:
            registries += filter(None, (self.word(registry + words[15]), self.word(self.word(registry + words[19]) + words[20]),
                                        self.word(registry + words[16])))
        for registry in set(registries):
            chunk = self.word(registry + words[27])
            for first, content in list(self.memory.items()):
                place = registry + words[26] - first
                if 0 <= place < len(content):
                    self.memory[first] = content[:place] + struct.pack("<I", 4 if chunk else 0) + content[place + 4:]
            for first, content in list(self.memory.items()):
                start, end = chunk + 4 * words[30] - first, chunk + 64 * words[30] - first
                if chunk and 0 <= start < len(content):
                    self.memory[first] = content[:start]
                    if content[end:]:
                        self.memory[first + end] = content[end:]

    def number(self, process):
        """Give the process its id."""
        def given(thread):
            return PROCESS if thread == process else thread

        self.threads = [given(thread) for thread in self.threads]
        self.files = {(kind, given(thread)): text for (kind, thread), text in self.files.items()}
        for address, content in self.memory.items():
            words = struct.unpack(f"<{len(content) // 4}i", content[:len(content) // 4 * 4])
            self.memory[address] = struct.pack(f"<{len(words)}i", *map(given, words)) + content[len(words) * 4:]
        for place in (STATUS, 0), (THREAD_STATUS, PROCESS):
            self.files[place] = re.sub(rb"NSpid:.*", b"NSpid:\t%d" % PROCESS, self.files[place])

    def move(self):
        """Put the process into a PID namespace, out of which its threads are seen by other ids."""
        def outer(thread):
            return thread if thread == PROCESS else thread + 1000000

        for thread in self.threads:
            self.files[THREAD_STATUS, thread] = b"Name:\tinside\nNSpid:\t%d\t%d\n" % (outer(thread), thread)
        self.files[THREAD_STATUS, PROCESS] = b"NSpid:\t%d\t1\n" % PROCESS
        self.threads = [outer(thread) for thread in self.threads]
        self.files = {(kind, outer(thread) if thread else 0): text for (kind, thread), text in self.files.items()}

    def trim(self):
        """Of the maps only what is in a file; the part that has the table begins with it, as nothing before it was recorded."""
        for place in (STATUS, 0), (THREAD_STATUS, PROCESS):
            status = self.files[place].decode()
            self.files[place] = "".join(match.group() for match in KEPT.finditer(status)).encode()
        self.table = table = next((address + content.find(COOKIE) for address, content in self.memory.items() if COOKIE in content), 0)
        self.maps, lines, names = [], [], {}
        for line in self.files[MAPS, 0].decode().splitlines():
            words = line.split()
            start, end = (int(word, 16) for word in words[0].split("-"))
            if words[4] == "0" or "ld-linux" in words[5] or words[1] in ("---p", "r--s"):
                continue
            if words[1] == "rw-p":
                if not start <= table < end:
                    continue
                words[2] = f"{int(words[2], 16) + table - start:08x}"
                start = table
            elif words[1] != "r-xp" and words[2] != "00000000":
                continue
            words[5] = names.setdefault(words[5], "/" + pathlib.Path(words[5]).name.split(".")[0])
            self.maps.append((start, end, words[1], int(words[2], 16), words[5]))
            lines.append(" ".join([f"{start:x}-{end:x}", *words[1:6]]) + "\n")
        self.files[MAPS, 0] = "".join(lines).encode()
        own = [line for line in self.files.get((OWN_MAPS, 0), b"").decode().splitlines(True)
               if int(line.split("-")[0], 16) <= self.places[0] < int(line.split("-")[1].split()[0], 16)]
        self.files[OWN_MAPS, 0] = "".join(" ".join(line.split()[:5] + ["/libc"]) + "\n" for line in own).encode()
        self.offset = int(own[0].split()[2], 16) - int(own[0].split("-")[0], 16) if own else 0

    def input(self):
        """For fuzz-memory."""
        threads = self.threads + [0] * (len(self.threads) % 2)
        changes = struct.pack("<IIQ", 0xFFFFFFFF, 0, 0) * 4
        content = struct.pack("<4Q4H", *self.places, len(self.files), len(self.memory), 4, len(self.threads))
        content += b"".join(struct.pack("<HHi", kind, len(text), thread) for (kind, thread), text in self.files.items())
        content += b"".join(struct.pack("<QII", address, len(part), 0) for address, part in self.memory.items())
        content += changes + struct.pack(f"<{len(threads)}i", *threads)
        return content + b"".join(map(filled_up, [*self.files.values(), *self.memory.values()]))

    def core(self):
        """The same as a core file, which is a file with symbols and a build id as well: core.c has it for each that it names."""
        notes = b"".join(self.status(thread) for thread in self.threads[:7])
        information = bytearray(136)
        struct.pack_into("<I", information, 24, PROCESS)
        information[40:56] = self.files[NAME, 0].strip()[:15].ljust(16, b"\0")
        notes += note(3, bytes(information))
        parts = [(LIBRARY, LIBRARY + SIZE, 0)] + [(start, end, offset) for start, end, _, offset, _ in self.maps]
        table = struct.pack("<QQ", len(parts), 1) + b"".join(struct.pack("<3Q", *part) for part in parts)
        notes += note(0x46494C45, table + b"/library\0" * len(parts)) + struct.pack("<III", 4, 20, 3) + b"GNU\0" + bytes(range(20))
        memory = {}
        for address, part in self.memory.items():
            # A part of a file is one of memory.
            split = self.table - address if address < self.table < address + len(part) else len(part)
            memory[address] = part[:split]
            if part[split:]:
                memory[self.table] = part[split:]
        count = 2 + len(memory)
        at = 64 + 56 * count
        headers = struct.pack("<IIQQQQQQ", 4, 4, at, 0, 0, len(notes), 0, 4)
        at += len(notes)
        content = b""
        for address, part in memory.items():
            headers += struct.pack("<IIQQQQQQ", 1, 6, at + len(content), address, 0, len(part), len(part), 8)
            content += filled_up(part)
        names = b"\0lock\0work\0"
        symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 1, 0, 1, LIBRARY, 1 << 46) + struct.pack("<IBBHQQ", 6, 2, 0, 1, 0, 1 << 46)
        place = at + len(content)
        sections = bytes(64) + struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, place, len(names), 0, 0, 1, 0)
        sections += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, place + len(filled_up(names)), len(symbols), 1, 0, 8, 24)
        content += filled_up(names) + symbols
        size = at + len(content) + len(sections)
        headers += struct.pack("<IIQQQQQQ", 1, 5, 0, LIBRARY, 0, min(size, SIZE), SIZE, 4096)
        header = b"\x7fELF\x02\x01\x01" + bytes(9)
        header += struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, at + len(content), 0, 64, 56, count, 64, 3, 0)
        return header + headers + notes + content + sections

    def status(self, thread):
        """The note of a thread: what its file `syscall` says, in registers."""
        words = self.files.get((CALL, thread), b"running").decode().split()
        registers = [0] * 27
        registers[15] = (1 << 64) - 1
        registers[21] = 0x7D0000000000 + 4096 * self.threads.index(thread)
        if len(words) > 2:
            number, *arguments, stack, instruction = (int(word, 0) for word in words)
            arguments += [0] * 6
            for place, argument in zip((14, 13, 12, 7, 9, 8), arguments):
                registers[place] = argument
            registers[10], registers[15], registers[19] = (1 << 64) - 512, number % (1 << 64), stack
            registers[16] = self.moved(instruction)
        content = bytearray(336)
        struct.pack_into("<iiih", content, 0, 11, 0, 0, 11)
        struct.pack_into("<i", content, 32, thread)
        struct.pack_into("<27Q", content, 112, *registers)
        return note(1, bytes(content))

    def moved(self, instruction):
        """One at which the C library waits, where it is in the core file."""
        for start, end, _, offset, name in self.maps:
            for number, place in enumerate(self.places):
                if start <= instruction < end and place and instruction - start + offset == place + self.offset:
                    return LIBRARY + 0x100 * (number + 1)
        return instruction


def note(kind, content):
    return struct.pack("<III", 5, len(content), kind) + b"CORE\0\0\0\0" + content + bytes(-len(content) % 4)


for folder in "memory", "core":
    (FOLDER / folder).mkdir(parents=True, exist_ok=True)
for name, *command in (("tree", "taskreg-target", "tree"), ("deadlock", "taskreg-target", "deadlock"), ("shutdown", "taskreg-target", "shutdown"),
                       ("forked", "taskreg-target", "forked"), ("empty", "taskreg-target", "empty"), ("plain", "taskreg-plain"),
                       ("static", "taskreg-static", "tree")):
    found = Record(*command)
    if name == "forked":
        found.move()
    (FOLDER / "memory" / name).write_bytes(found.input())
    (FOLDER / "core" / name).write_bytes(found.core())
    print(f"{name}: {len(found.input())} bytes of memory, {len(found.core())} of a core file")
