"""The result as text for a terminal and as a Markdown page."""

import os
import platform
import subprocess
from pathlib import Path

from gates import verdict
from metrics import BASE, METRIC, METRICS, SUBJECT, WITHOUT_RATIO, WORKLOADS
from programs import PEERS

# The columns of the summary, one row a peer.
SUMMARY = [
    ("W1 p50", "W1", "p50"), ("W1 p99", "W1", "p99"), ("rested", "W1", "rested_p50"),
    ("W2", "W2", "rate"),
    ("W3 10 000: spawn", "W3-10000", "spawn"), ("RSS a task", "W3-10000", "rss"),
    ("stop", "W3-10000", "stop"),
    ("W4", "W4", "flag"), ("W5 10 000", "W5-10000", "p50"), ("W6", "W6", "rate"),
    ("W7 10 000 p99", "W7-10000", "p99"),
]


def number(value, metric):
    """With its digits, and a narrow space between the thousands."""
    if value is None:
        return "–"
    return f"{value * metric.scale:,.{metric.digits}f}".replace(",", "\u202f")


def factor(value):
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def rows(figures, metric):
    """One row a peer: name, median, min–max, ratio to the base, ratio to the subject."""
    found = []
    place = (metric.workload, metric.key)
    for peer in figures.peers:
        if not figures.values(*place, peer):
            continue
        low, high = figures.range(*place, peer)
        ratios = [None if metric.unit in WITHOUT_RATIO else figures.ratio(*place, peer, base)
                  for base in (BASE, SUBJECT)]
        found.append((peer, number(figures.median(*place, peer), metric),
                      f"{number(low, metric)} – {number(high, metric)}", *map(factor, ratios)))
    return found


def tables_of(figures, workload):
    """(metric, rows) for each metric of the workload that somebody has a figure for."""
    found = [(metric, rows(figures, metric)) for metric in METRICS if metric.workload == workload]
    return [(metric, lines) for metric, lines in found if lines]


def heading(metric):
    hint = {"less": ", less is better", "more": ", more is better", "": ""}[metric.better]
    return f"{metric.label} ({metric.unit}{hint})"


def columns(lines, gap="  "):
    """Tuples of one length as aligned text: the first column to the left, the others right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [gap.join(cell.ljust(width) if i == 0 else cell.rjust(width)
                     for i, (cell, width) in enumerate(zip(line, widths))).rstrip()
            for line in lines]


def summary(figures):
    """The rows of the summary table, its head first."""
    shown = [entry for entry in SUMMARY
             if any(figures.values(*entry[1:], peer) for peer in figures.peers)]
    lines = [("", *(f"{title}, {METRIC[place].unit}" for title, *pair in shown
                    for place in [tuple(pair)]))]
    for peer in figures.peers:
        lines.append((peer, *(number(figures.median(*pair, peer), METRIC[tuple(pair)])
                              for _, *pair in shown)))
    return lines


def text(figures, gates):
    """Everything, for a terminal."""
    out = []
    for workload, title in WORKLOADS.items():
        tables = tables_of(figures, workload)
        notes = figures.notes(workload)
        if tables or notes:
            out += ["", f"== {workload}  {title}"]
        for metric, found in tables:
            head = (heading(metric), "median", "min – max", "÷ " + BASE, "÷ " + SUBJECT)
            out += [""] + ["  " + line for line in columns([head, *found])]
        out += [""] * bool(notes)
        out += [f"  {peer}: {note}" + (f" ({times} rounds)" if times > 1 else "")
                for peer, _, note, times in notes]
    if len(figures.peers) > 1:
        out += ["", "== medians", ""] + ["  " + line for line in columns(summary(figures))]
    out += ["", "== gates", ""]
    out += ["  " + line for line in
            columns([("", "measured", "bound", ""),
                     *((gate.name, gate.figure, gate.bound, verdict(gate)) for gate in gates)])]
    return "\n".join(out)


def machine():
    """One line on what the figures were measured on."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    cores = len(os.sched_getaffinity(0))
    compiler = subprocess.run(["cc", "--version"], stdout=subprocess.PIPE, encoding="utf-8",
                              check=False).stdout.splitlines()[:1]
    return ", ".join([f"{cores} processors ({model})", f"Linux {platform.release()}",
                      " ".join(platform.libc_ver()), *compiler])


def table(lines):
    """Markdown; the first line is the head."""
    def row(cells):
        return "| " + " | ".join(cells) + " |"
    return [row(lines[0]), row(["---"] + ["---:"] * (len(lines[0]) - 1)), *map(row, lines[1:])]


def markdown(figures, gates, about, plot):
    out = ["# Benchmarks", "",
           "Written by `benchmarks/run --write-docs`; `benchmarks/README.md` says what is measured",
           "and how to read it. Every figure is the median of the rounds; a ratio is the median of",
           "the ratios within each round.", ""]
    out += [f"- {line}" for line in about]
    out += [f"- {peer}: {PEERS[peer].description}" for peer in figures.peers]
    if plot:
        out += ["", f"![Medians of the main workloads, with the range of the rounds]({plot})"]
    out += ["", "## Medians", ""] + table(summary(figures))
    out += ["", "## Goals", ""]
    out += table([("goal", "measured", "bound", ""),
                  *((gate.name, gate.figure, gate.bound, verdict(gate)) for gate in gates)])
    for workload, title in WORKLOADS.items():
        found = tables_of(figures, workload)
        if found:
            out += ["", f"## {workload}: {title}"]
        for metric, lines in found:
            out += [""] + table([(heading(metric), "median", "min – max", "÷ " + BASE,
                                  "÷ " + SUBJECT), *lines])
    notes = figures.notes()
    if notes:
        out += ["", "## Remarks", ""]
        out += [f"- {workload}, {peer}: {note}" + (f" ({times} rounds)" if times > 1 else "")
                for peer, workload, note, times in notes]
    return "\n".join(out) + "\n"
