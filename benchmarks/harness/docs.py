"""Writing docs/benchmarks.md and docs/benchmarks.svg."""

import json
import subprocess
import sys
from pathlib import Path

from metrics import METRIC
from programs import ROOT
from report import heading, markdown

PANELS = [("W1", "p50"), ("W2", "rate"), ("W3-10000", "spawn"), ("W3-10000", "rss"),
          ("W3-10000", "stop"), ("W6", "rate")]


def panels(figures):
    found = []
    for place in PANELS:
        metric = METRIC[place]
        bars = []
        for peer in figures.peers:
            if figures.values(*place, peer):
                low, high = figures.range(*place, peer)
                bars.append({"peer": peer, "median": figures.median(*place, peer) * metric.scale,
                             "low": low * metric.scale, "high": high * metric.scale})
        if bars:
            found.append({"title": f"{metric.workload} {heading(metric)}", "bars": bars})
    return found


def interpreter():
    """A Python that has matplotlib: this one, or the system's, where it is installed if missing."""
    def has_it(python):
        return subprocess.run([python, "-c", "import matplotlib"], stderr=subprocess.DEVNULL,
                              check=False).returncode == 0

    for python in (sys.executable, "/usr/bin/python3"):
        if Path(python).exists() and has_it(python):
            return python
    install = f'source "{ROOT}/scripts/common.sh"; need_packages python3-matplotlib'
    if subprocess.run(["bash", "-c", install], check=False).returncode == 0:
        return "/usr/bin/python3" if has_it("/usr/bin/python3") else None
    return None


def write(figures, gates, about, folder):
    """Write the page and the plot into `folder`; without matplotlib, the page alone."""
    page, plot = folder / "benchmarks.md", folder / "benchmarks.svg"
    python, drawn = interpreter(), panels(figures)
    folder.mkdir(parents=True, exist_ok=True)
    has_plot = False
    if not python:
        print("no plot: matplotlib is not there (Debian: python3-matplotlib)", file=sys.stderr)
    elif drawn:
        has_plot = subprocess.run([python, Path(__file__).parent / "plot.py", plot], check=False,
                                  input=json.dumps(drawn), encoding="utf-8").returncode == 0
    page.write_text(markdown(figures, gates, about, plot.name if has_plot else None),
                    encoding="utf-8")
    print(f"\nwritten: {page}" + (f", {plot}" if has_plot else ""))
