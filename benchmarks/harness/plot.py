"""Draw the main figures as an SVG: `plot.py FILE <JSON`. Needs matplotlib.

The JSON is a list of panels: {title, bars: [{peer, median, low, high}]}.
"""

import json
import sys

import matplotlib

matplotlib.use("svg")
# Text stays text, and the same figures give the same file.
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "libtaskreg", "font.size": 9})
from matplotlib import pyplot  # noqa: E402  (the backend is chosen first)


def draw(axes, panel):
    bars = panel["bars"][::-1]  # the first peer on top
    medians = [bar["median"] for bar in bars]
    errors = [[bar["median"] - bar["low"] for bar in bars],
              [bar["high"] - bar["median"] for bar in bars]]
    colours = ["#2a6f97" if bar["peer"].startswith("taskreg") else "#a9b4c2" for bar in bars]
    axes.barh([bar["peer"] for bar in bars], medians, xerr=errors, color=colours,
              ecolor="#444444", capsize=2, error_kw={"linewidth": 0.8})
    axes.set_xscale("log")
    axes.set_title(panel["title"], loc="left", fontsize=10)
    axes.grid(axis="x", linewidth=0.4, alpha=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def main():
    panels = json.load(sys.stdin)
    down = (len(panels) + 1) // 2
    bars = max(len(panel["bars"]) for panel in panels)
    figure, grid = pyplot.subplots(down, 2, figsize=(10, down * (0.8 + 0.22 * bars)), squeeze=False)
    for axes, panel in zip(grid.flat, panels):
        draw(axes, panel)
    for axes in grid.flat[len(panels):]:
        axes.set_visible(False)
    figure.tight_layout()
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
