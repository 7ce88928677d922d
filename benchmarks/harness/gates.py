"""The goals: each with the figure that was measured, the bound, and whether it is kept."""

from collections import namedtuple

from metrics import BASE, SUBJECT

# `kept` is True, False, or None when something that is needed was not measured.
Gate = namedtuple("Gate", "name figure bound kept")


class Judge:
    """Builds gates from the figures of the subject. `scale` turns a figure into `unit`."""

    def __init__(self, figures):
        self.figures, self.gates = figures, []

    def add(self, name, value, bound, unit, scale=1.0, most=True):
        """`most`: the value may be at most the bound; otherwise at least."""
        sign = "≤" if most else "≥"
        kept = None if value is None else (value <= bound if most else value >= bound)
        figure = "not measured" if value is None else show(value * scale, unit)
        self.gates.append(Gate(name, figure, f"{sign} {show(bound * scale, unit)}", kept))

    def ratio(self, name, workload, key, bound, base=BASE, most=True):
        value = self.figures.ratio(workload, key, SUBJECT, base)
        self.add(f"{name}, against {base}", value, bound, "×", most=most)

    def median(self, name, workload, key, bound, unit, scale=1.0, most=True):
        self.add(name, self.figures.median(workload, key, SUBJECT), bound, unit, scale, most)

    def worst(self, name, workload, key, bound, unit, scale=1.0, most=True):
        found = self.figures.range(workload, key, SUBJECT)
        value = None if found is None else found[1 if most else 0]
        self.add(name + ", worst round", value, bound, unit, scale, most)


def show(value, unit):
    return (f"{value:.3g} {unit}" if abs(value) < 1000 else f"{value:.0f} {unit}").rstrip()


def judge(figures, load):
    """The gates of a run; beside busy processes, those that are meant to hold there."""
    to = Judge(figures)
    errors = [run for run in figures.runs if run["error"] and run["peer"].startswith(SUBJECT)]
    to.add("runs of libtaskreg that failed", float(len(errors)), 0, "")
    to.add("rounds, interleaved", float(figures.rounds), 7, "", most=False)
    if load:
        beside = f"beside {load} busy processes"
        to.ratio(f"W1 p50 {beside}", "W1", "p50", 1)
        to.ratio(f"W2 rate {beside}", "W2", "rate", 1, most=False)
        return to.gates

    to.ratio("W1 p50", "W1", "p50", 1 / 60)
    to.ratio("W1 p50", "W1", "p50", 1 / 30, base="glib")
    to.ratio("W1 p99", "W1", "p99", 1 / 20)
    to.ratio("W1 p50 after 100 µs of rest", "W1", "rested_p50", 0.6)
    to.median("W1 with a body of 1 µs, less the body, ÷ empty", "W1-work", "work_ratio", 1.6, "×")
    to.median("W1 with a drop, ÷ empty", "W1-work", "drop_ratio", 1.6, "×")
    to.add("W1 p50 from Swift, against taskreg", figures.ratio("W1", "p50", "swift", SUBJECT), 2, "×")
    to.add("W1 p50 from C++, against taskreg", figures.ratio("W1", "p50", "cpp", SUBJECT), 1.3, "×")
    to.add("W1 with a context on the heap, from C++, against taskreg",
           figures.ratio("W1-work", "owned", "cpp", SUBJECT), 1.1, "×")
    to.ratio("W2 rate", "W2", "rate", 60, most=False)
    to.ratio("W2 rate", "W2", "rate", 1, base="libdispatch", most=False)
    # Against threads that each have something to do: without a record each, a thread takes two pages
    # of stack and 288 bytes of glibc's, and nothing that keeps a name as well could take less.
    to.ratio("W3 10 000: RSS a task", "W3-10000", "rss", 1, base="pthread-record")
    to.ratio("W3 10 000: spawn", "W3-10000", "spawn", 0.8)
    to.ratio("W3 10 000: cancel → all joined", "W3-10000", "stop", 0.45)
    for key, what in (("live", "alive at once, cancelled and joined"), ("listed", "listed")):
        to.worst("W3 30 000: " + what, "W3-30000", key, 30000, "", most=False)
    to.ratio("W6 rate", "W6", "rate", 30, most=False)
    # Some pages more or less are noise: this is a fifteenth of a byte for each task.
    to.worst("W6 RSS growth", "W6", "growth", 64 * 1024, "KiB", 1 / 1024)

    flag, plain = (figures.median("W4", key, SUBJECT) for key in ("flag", "plain"))
    to.add("W4 the flag by pointer, against a plain load", flag / plain if flag and plain else None,
           1.1, "×")
    to.median("W4 the flag by pointer", "W4", "flag", 0.275, "ns")
    to.median("W4 the function", "W4", "call", 2.5, "ns")
    to.median("W5 a list of 10 000", "W5-10000", "p50", 150e3, "µs", 1e-3)
    for size, live in (("1000", "1 000"), ("10000", "10 000")):
        to.median(f"W5 spawn rate kept beside endless listing of {live}", "W5-" + size, "kept", 0.5,
                  "%", 100, most=False)
    to.median("W7 100 stragglers: past the deadline, p99", "W7-100", "p99", 1e6, "ms", 1e-6)
    to.median("W7 10 000 stragglers: past the deadline, p99", "W7-10000", "p99", 5e6, "ms", 1e-6)
    for size, live in (("100", "100"), ("10000", "10 000")):
        to.worst(f"W7 {live} stragglers: all counts exact (1: yes)", "W7-" + size, "exact", 1, "",
                 most=False)
    # Zero, as far as clocks can tell: the two that are subtracted agree to a microsecond or three
    # over the whole window, of ten seconds; peers whose threads sleep show as much.
    to.median("W8 CPU time of an idle registry", "W8", "cpu", 200, "µs each s", 1e-3)
    to.ratio("W1 p50", "W1", "p50", 2.5, base="prototype")
    to.ratio("W2 rate", "W2", "rate", 1 / 2.5, base="prototype", most=False)
    return to.gates


def verdict(gate):
    return {True: "pass", False: "FAIL", None: "–"}[gate.kept]
