"""The peers and their programs: which there are, building them, running one workload."""

import re
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bench"

# A peer is a program bench-PROGRAM, in one of its variants.
Peer = namedtuple("Peer", "program variant description")
PEERS = {
    "taskreg": Peer("taskreg", None, "libtaskreg, 64 KiB stacks"),
    "taskreg-spin0": Peer("taskreg", "spin0", "libtaskreg, spin_ns = TR_SPIN_NEVER"),
    "taskreg-fresh": Peer("taskreg", "fresh", "libtaskreg, no thread outlives its task"),
    "cpp": Peer("cpp", None, "libtaskreg from C++, 64 KiB stacks"),
    "swift": Peer("swift", None, "libtaskreg from Swift, 64 KiB stacks; W1 and W1-work alone"),
    "pthread-64k": Peer("pthread", None, "raw pthreads, 64 KiB stacks"),
    "pthread-record": Peer("pthread", "record", "the same, each thread with a record from malloc"),
    "pthread-8m": Peer("pthread", "8m", "raw pthreads, 8 MiB stacks"),
    "handmade": Peer("handmade", None, "a registry written by hand: mutex, condvars, list"),
    "jthread": Peer("jthread", None, "C++20 std::jthread"),
    "glib": Peer("glib", None, "GLib GThreadPool without a limit"),
    "apr": Peer("apr", None, "APR thread pool"),
    "libdispatch": Peer("libdispatch", None, "libdispatch, a concurrent queue"),
    "prototype": Peer("prototype", None, "the C prototype, process-shared condition variables"),
    "prototype-futex": Peer("prototype", "futex", "the C prototype, futexes"),
}

# Longer than any workload of the slowest peer takes on a busy machine.
LONGEST_RUN_S = 300


def build(peers, prototype):
    """Build what `peers` need. Return ({peer: why it is missing}, what is to be run)."""
    configure = ["cmake", "-S", ROOT / "benchmarks", "-B", BUILD, "-DCMAKE_BUILD_TYPE=Release",
                 "-DBENCH_PROTOTYPE=" + (str(Path(prototype).resolve()) if prototype else "")]
    if not (BUILD / "CMakeCache.txt").exists():
        configure += ["-G", "Ninja"]
    log = BUILD / "build.log"
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as out:
        def step(command):
            out.flush()
            return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=subprocess.STDOUT, check=False).returncode == 0

        if not step(configure):
            fail("cmake could not configure the benchmarks", log)
        missing = {}
        for line in (BUILD / "peers.txt").read_text(encoding="utf-8").splitlines():
            found = re.match(r"missing (\S+) (.*)", line)
            if found:
                missing[found[1]] = found[2]
        present = [peer for peer in peers if PEERS[peer].program not in missing]
        programs = sorted({"bench-" + PEERS[peer].program for peer in present})
        if not step(["cmake", "--build", BUILD, "--target", "busy", "periodic", *programs]):
            fail("the benchmarks could not be built", log)
    return {peer: missing[PEERS[peer].program] for peer in peers if peer not in present}, present


def fail(message, log):
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:]
    sys.exit("\n".join(["benchmarks/run: " + message + "; the end of " + str(log) + ":"] + tail))


def run(peer, workload, quick, cpus):
    """Run one workload in a process of its own. Return (values, notes, error)."""
    program, variant, _ = PEERS[peer]
    command = pinned(cpus) + [BUILD / ("bench-" + program), workload]
    if variant:
        command += ["--variant", variant]
    if quick:
        command += ["--quick"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LONGEST_RUN_S, check=False,
                              encoding="utf-8", errors="replace")
    except subprocess.TimeoutExpired:
        return {}, [], f"did not end within {LONGEST_RUN_S} s"
    values, notes, errors = {}, [], []
    for line in done.stdout.splitlines():
        found = re.fullmatch(r"(\w+) ([-+.0-9e]+)", line)
        if found:
            values[found[1]] = float(found[2])
        elif line.startswith("# "):
            notes.append(line[2:])
        else:
            errors.append(line.removeprefix("! "))
    if done.returncode < 0:
        errors.append(f"killed by signal {-done.returncode}")
    elif done.returncode > 0 and not errors:
        errors.append(f"exit status {done.returncode}")
    return ({} if errors else values), notes, "; ".join(errors)


def pinned(cpus):
    return ["taskset", "-c", cpus] if cpus else []


class Load:
    """So many busy processes beside the benchmark; none survives it."""

    # They also end by themselves, even if nobody is left to end them.
    LONGEST_S = 4 * 3600

    def __init__(self, count, cpus):
        self.count, self.cpus, self.processes = count, cpus, []

    def __enter__(self):
        for _ in range(self.count):
            self.processes.append(subprocess.Popen(
                pinned(self.cpus) + [BUILD / "busy", str(self.LONGEST_S)]))

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
