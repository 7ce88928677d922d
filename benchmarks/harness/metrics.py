"""What the workloads measure, and the figures of a whole run."""

import statistics
from collections import namedtuple

# `key` is what the program prints; its figure times `scale` is in `unit`. `better` is "less",
# "more", or "" for a figure that is neither.
Metric = namedtuple("Metric", "workload key label unit scale better digits")

WORKLOADS = {
    "W1": "spawn one task, wait for it",
    "W1-work": "the same with a body of 1 µs, with a drop, and with a context on the heap",
    "W2": "a burst of 10 000 trivial tasks",
    "W3-1000": "1 000 blocked tasks",
    "W3-10000": "10 000 blocked tasks",
    "W3-30000": "30 000 blocked tasks",
    "W4": "asking “am I cancelled”",
    "W5-1000": "listing 1 000 tasks",
    "W5-10000": "listing 10 000 tasks",
    "W6": "a million short tasks",
    "W7-100": "joins with a deadline, 100 stragglers",
    "W7-10000": "joins with a deadline, 10 000 stragglers",
    "W8": "at rest, with idle threads",
    "W9": "from the cancel to the return of what blocks",
}
# What --quick leaves out.
LONG_WORKLOADS = {"W3-30000"}
# What takes more than a moment, and runs the same code as a smaller one or rests.
SMOKELESS_WORKLOADS = LONG_WORKLOADS | {"W3-10000", "W5-10000", "W7-10000", "W8"}

US, MS, K = 1e-3, 1e-6, 1e-3
METRICS = [
    Metric("W1", "p50", "p50", "µs", US, "less", 2),
    Metric("W1", "p99", "p99", "µs", US, "less", 2),
    Metric("W1", "rested_p50", "p50 after 100 µs of rest", "µs", US, "less", 1),
    Metric("W1-work", "empty", "an empty body", "µs", US, "less", 2),
    Metric("W1-work", "work", "a body of 1 µs", "µs", US, "less", 2),
    Metric("W1-work", "drop", "an empty body and a drop", "µs", US, "less", 2),
    Metric("W1-work", "owned", "an empty body, its context from malloc, freed by the drop", "µs", US, "less", 2),
    Metric("W1-work", "work_ratio", "a body of 1 µs, less the body, ÷ empty", "", 1, "less", 2),
    Metric("W1-work", "drop_ratio", "the drop ÷ empty", "", 1, "less", 2),
    Metric("W2", "rate", "rate", "1000/s", K, "more", 1),
    Metric("W2", "cold", "rate of the first burst", "1000/s", K, "more", 1),
    *(metric for size in ("1000", "10000", "30000") for metric in (
        Metric("W3-" + size, "live", "alive at once", "tasks", 1, "more", 0),
        Metric("W3-" + size, "spawn", "spawn each", "µs", US, "less", 1),
        Metric("W3-" + size, "rss", "RSS a task", "bytes", 1, "less", 0),
        Metric("W3-" + size, "listed", "listed", "tasks", 1, "", 0),
        Metric("W3-" + size, "stop", "cancel → all joined", "ms", MS, "less", 1),
        Metric("W3-" + size, "gone", "cancel → threads gone", "ms", MS, "less", 1),
    )),
    Metric("W4", "plain", "a plain load, for comparison", "ns", 1, "less", 2),
    Metric("W4", "flag", "through the pointer", "ns", 1, "less", 2),
    Metric("W4", "call", "through the function", "ns", 1, "less", 2),
    *(metric for size in ("1000", "10000") for metric in (
        Metric("W5-" + size, "p50", "one list, p50", "µs", US, "less", 1),
        Metric("W5-" + size, "p99", "one list, p99", "µs", US, "less", 1),
        Metric("W5-" + size, "quiet", "spawn rate, quiet", "1000/s", K, "more", 1),
        Metric("W5-" + size, "beside", "spawn rate beside endless listing", "1000/s", K, "more", 1),
        Metric("W5-" + size, "kept", "of the quiet rate", "%", 100, "more", 0),
    )),
    Metric("W6", "rate", "rate", "1000/s", K, "more", 1),
    Metric("W6", "growth", "RSS growth after the first 1 000", "KiB", 1 / 1024, "less", 0),
    Metric("W6", "threads", "threads at the end", "threads", 1, "", 0),
    *(metric for size in ("100", "10000") for metric in (
        Metric("W7-" + size, "p50", "past the deadline, p50", "ms", MS, "less", 3),
        Metric("W7-" + size, "p99", "past the deadline, p99", "ms", MS, "less", 3),
        Metric("W7-" + size, "first", "the first join, flags still down", "ms", MS, "less", 3),
    )),
    Metric("W8", "cpu", "CPU time", "µs each s", US, "less", 1),
    Metric("W8", "threads", "idle threads", "threads", 1, "", 0),
    *(metric for key, what in (("sleep", "a sleep"), ("fd", "a wait for a descriptor"),
                               ("condition", "a condition variable")) for metric in (
        Metric("W9", key + "_p50", what + ", p50", "µs", US, "less", 1),
        Metric("W9", key + "_p99", what + ", p99", "µs", US, "less", 1),
    )),
]
# Where a ratio would say nothing: a count, or a figure that is meant to be none at all.
WITHOUT_RATIO = {"", "tasks", "threads", "KiB", "%", "µs each s"}
METRIC = {(metric.workload, metric.key): metric for metric in METRICS}

# The peer that every ratio is against, and the one that is being judged.
BASE = "pthread-64k"
SUBJECT = "taskreg"


class Figures:
    """The figures of a run: one value for each workload, metric, peer and round.

    `runs` is a list of dictionaries: round, workload, peer, values, notes, error.
    """

    def __init__(self, runs):
        self.runs = runs
        self.rounds = 1 + max((run["round"] for run in runs), default=-1)
        self.peers = list(dict.fromkeys(run["peer"] for run in runs))
        self.by_place = {(run["workload"], run["peer"], run["round"]): run for run in runs}
        for run in runs:
            values = run["values"]
            if values.get("quiet") and "beside" in values:
                values["kept"] = values["beside"] / values["quiet"]

    def values(self, workload, key, peer):
        """{round: value}, rounds without a value left out."""
        found = {}
        for number in range(self.rounds):
            run = self.by_place.get((workload, peer, number))
            if run and key in run["values"]:
                found[number] = run["values"][key]
        return found

    def median(self, workload, key, peer):
        values = self.values(workload, key, peer)
        return statistics.median(values.values()) if values else None

    def range(self, workload, key, peer):
        values = self.values(workload, key, peer).values()
        return (min(values), max(values)) if values else None

    def ratio(self, workload, key, peer, base):
        """The median of the ratios within each round: slow phases of the machine drop out."""
        ours, theirs = self.values(workload, key, peer), self.values(workload, key, base)
        ratios = [ours[number] / theirs[number] for number in ours if theirs.get(number)]
        return statistics.median(ratios) if ratios else None

    def notes(self, workload=None):
        """(peer, workload, text, rounds it occurred in), remarks and errors alike, in order."""
        counted = {}
        for run in self.runs:
            if workload not in (None, run["workload"]):
                continue
            texts = run["notes"] + (["FAILED: " + run["error"]] if run["error"] else [])
            for text in texts:
                key = (run["peer"], run["workload"], text)
                counted[key] = counted.get(key, 0) + 1
        return [(*key, times) for key, times in counted.items()]
