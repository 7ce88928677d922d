"""benchmarks/run, without the search for a compiler: options, rounds, result."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import docs
import gates
import programs
import report
from metrics import LONG_WORKLOADS, SMOKELESS_WORKLOADS, WORKLOADS, Figures

DESCRIPTION = """Build the benchmark programs in build/bench, run the workloads for libtaskreg and
for every peer that is installed, several rounds interleaved, and print medians, ranges, ratios and
whether the goals are reached."""


def options():
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=DESCRIPTION)
    add = parser.add_argument
    add("--rounds", type=int, metavar="N", help="how many rounds; 7, or 2 with --quick")
    add("--quick", action="store_true", help="an impression in minutes: fewer repetitions, shorter "
        "rests, not " + ", ".join(sorted(LONG_WORKLOADS)))
    add("--smoke", action="store_true", help="every program and workload for a moment: one round with "
        "--quick, without goals, not " + ", ".join(sorted(SMOKELESS_WORKLOADS)) + "; exit with 1 when one "
        "did not build, is missing or ended with an error")
    add("--only", metavar="W1,W2", help="these workloads; W3 means all sizes of W3")
    add("--peers", metavar="A,B", help="these peers; --list names them")
    add("--prototype", metavar="DIR", help="the folder of the C prototype, as another peer")
    add("--with-load", type=int, default=0, metavar="N", help="keep N processes busy beside it")
    add("--cpu", metavar="LIST", help="run on these processors only, as taskset -c takes them")
    add("--check", action="store_true", help="exit with 1 when a goal is missed")
    add("--write-docs", nargs="?", const=str(programs.ROOT / "docs"), metavar="DIR",
        help="write benchmarks.md and benchmarks.svg there; docs, if no DIR is given")
    add("--save", metavar="FILE", help="keep every single figure as JSON")
    add("--from", dest="saved", metavar="FILE", help="print the result of a saved run, run nothing")
    add("--list", action="store_true", help="name the workloads and the peers")
    chosen = parser.parse_args()
    if chosen.smoke:
        chosen.quick, chosen.rounds = True, 1
    if chosen.rounds is None:
        chosen.rounds = 2 if chosen.quick else 7
    if chosen.rounds < 1 or not 0 <= chosen.with_load <= 64:
        parser.error("--rounds is at least 1, --with-load at most 64")

    left_out = SMOKELESS_WORKLOADS if chosen.smoke else LONG_WORKLOADS if chosen.quick else set()
    chosen.workloads = [name for name in WORKLOADS if name not in left_out]
    if chosen.only:
        wanted = chosen.only.split(",")
        for word in wanted:
            if not any(word in (name, name.split("-")[0]) for name in WORKLOADS):
                parser.error(f"there is no workload {word}; --list names them")
        # A long workload has to be asked for by its full name beside --quick.
        chosen.workloads = [name for name in WORKLOADS if name in wanted or
                            name in chosen.workloads and name.split("-")[0] in wanted]
    if chosen.peers:
        chosen.peer_names = list(dict.fromkeys(chosen.peers.split(",")))
        for name in chosen.peer_names:
            if name not in programs.PEERS:
                parser.error(f"there is no peer {name}; --list names them")
    else:
        chosen.peer_names = [name for name in programs.PEERS
                             if chosen.prototype or programs.PEERS[name].program != "prototype"]
    return chosen


def rounds(chosen, peers):
    """Run everything; yield one dictionary a run, as Figures wants them."""
    total = chosen.rounds * len(chosen.workloads) * len(peers)
    done = 0
    crowds = [name for name in chosen.workloads if name.startswith("W3")]
    if crowds:
        # Not counted: a virtual machine gets its memory as it first touches it, which costs
        # whoever runs first twice the time for each thread.
        progress("warming up")
        programs.run(peers[0], crowds[-1], chosen.quick, chosen.cpu)
    for number in range(chosen.rounds):
        if not sys.stderr.isatty():
            print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr, flush=True)
        # Whoever is first finds another machine than whoever is last: everyone is everything.
        first = number % len(peers)
        order = peers[first:] + peers[:first]
        for workload in chosen.workloads:
            for peer in order:
                done += 1
                progress(f"[{done}/{total}] round {number + 1}, {workload}, {peer}")
                values, notes, error = programs.run(peer, workload, chosen.quick, chosen.cpu)
                yield {"round": number, "workload": workload, "peer": peer, "values": values,
                       "notes": notes, "error": error}
    progress("")


def progress(line):
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)


def describe(chosen, missing, load_before, took_s):
    """What a reader has to know beside the figures."""
    about = [report.machine(),
             f"{date.today()}, {chosen.rounds} rounds interleaved, {took_s:.0f} s"
             + (", --quick: an impression, not a result" if chosen.quick else ""),
             f"load average of the machine before it began: {load_before:.2f}"]
    if chosen.with_load:
        about.append(f"beside {chosen.with_load} busy processes")
    if chosen.cpu:
        about.append(f"on processors {chosen.cpu} only")
    about += [f"missing: {peer}: {why}" for peer, why in missing.items()]
    return about


def measure(chosen):
    """Build, run, and return what --save keeps."""
    print("building in " + str(programs.BUILD), file=sys.stderr)
    missing, peers = programs.build(chosen.peer_names, chosen.prototype)
    if not peers:
        sys.exit("benchmarks/run: none of these peers is here: "
                 + "; ".join(f"{peer}: {why}" for peer, why in missing.items()))
    load_before, start = os.getloadavg()[0], time.monotonic()
    with programs.Load(chosen.with_load, chosen.cpu):
        runs = list(rounds(chosen, peers))
    order = {peer: place for place, peer in enumerate(peers)}
    runs.sort(key=lambda run: (run["round"], order[run["peer"]]))
    return {"about": describe(chosen, missing, load_before, time.monotonic() - start),
            "load": chosen.with_load, "missing": missing, "runs": runs}


def smoke(kept):
    """Say what did not run as it should. Return the exit status."""
    failures = [f"{peer} is missing: {why}" for peer, why in kept["missing"].items()]
    failures += [f"{run['peer']}, {run['workload']}: {run['error']}"
                 for run in kept["runs"] if run["error"]]
    # Peers print nothing of what they cannot do; the library can do all of it.
    failures += [f"{run['peer']}, {run['workload']}: printed no figure" for run in kept["runs"]
                 if run["peer"].startswith("taskreg") and not (run["error"] or run["values"])]
    periodic = subprocess.run([programs.BUILD / "periodic", "100", "1"], stdin=subprocess.DEVNULL, check=False)
    failures += [f"periodic: status {periodic.returncode}"] if periodic.returncode else []
    print(f"{len(kept['runs'])} runs of {len({run['peer'] for run in kept['runs']})} peers, "
          f"{len(failures)} failed")
    print("\n".join(failures))
    return 1 if failures else 0


def main():
    chosen = options()
    if chosen.list:
        for name, title in WORKLOADS.items():
            print(f"{name:16} {title}")
        for name, peer in programs.PEERS.items():
            print(f"{name:16} {peer.description}")
        return 0
    # So that leaving by a signal, too, ends the load and the program that is running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        kept = (json.loads(Path(chosen.saved).read_text(encoding="utf-8")) if chosen.saved
                else measure(chosen))
    except KeyboardInterrupt:
        return 130
    if chosen.save:
        Path(chosen.save).write_text(json.dumps(kept, indent=1), encoding="utf-8")

    if chosen.smoke:
        return smoke(kept)
    figures = Figures(kept["runs"])
    verdicts = gates.judge(figures, kept["load"])
    print("\n".join(kept["about"]))
    print(report.text(figures, verdicts))
    if chosen.write_docs:
        docs.write(figures, verdicts, kept["about"], Path(chosen.write_docs))
    return 1 if chosen.check and any(gate.kept is False for gate in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
