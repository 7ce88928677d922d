#!/usr/bin/python3
# openmetrics.py WRITE_METRICS - what tr_metrics_write writes, read by the parser of the official client.
#
# Proves: in every state of a registry, and under load, the text is OpenMetrics 1.0.0 to the parser of
# prometheus_client; families, labels and their values are those documented; the numbers are those counted,
# and of one moment: ended and live add up to spawned, and a histogram has as many durations as tasks ended, in
# cumulative buckets whose bounds are powers of two (E8, E9).
#
# So is one text of several registries and groups, with and without metrics: each family is there once, and each sample
# says whose it is, whatever is in the name; and the program's own families may follow (E9).
#
# Why it matters: a scraper drops a whole text for one line that is wrong, and an alarm with it.
#
# Catches: buckets that are not cumulative; a family twice; "_total" in the name of a family; a bound that is
# no number; numbers copied one after the other while tasks end; a family for each registry; a name that is not escaped;
# "# EOF" in the middle.

import subprocess
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

KINDS = ["background-loop", "peer-connection", "rpc-handler", "maintenance", "application"]
OUTCOMES = ["returned", "failed", "exited"]
COUNTED = {
    "taskreg_tasks_spawned": "counter",
    "taskreg_tasks_ended": "counter",
    "taskreg_tasks_rejected": "counter",
    "taskreg_tasks_restarted": "counter",
    "taskreg_runs_overrun": "counter",
    "taskreg_tasks_live": "gauge",
}
KEPT = {
    "taskreg_tasks_peak": "gauge",
    "taskreg_task_run_seconds": "histogram",
    "taskreg_task_stop_seconds": "histogram",
}
# In nanoseconds, the upper bounds that are written.
BOUNDS = [2**power for power in range(10, 47)]


def check(condition, message):
    if not condition:
        sys.exit(f"openmetrics.py: {mode}: {message}")


def label_text(labels):
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels)) or "-"


def read(text, keeps_metrics):
    """Parses one text; returns its samples by name and labels, buckets in their order."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    expected = COUNTED | KEPT if keeps_metrics else COUNTED
    check(list(families) == list(expected), f"families are {list(families)}")
    kinds = [{"kind": kind} for kind in KINDS] if keeps_metrics else [{}]
    samples = {}
    for name, kind_of_metric in expected.items():
        family = families[name]
        check(family.type == kind_of_metric, f"{name} is a {family.type}")
        check(family.unit == ("seconds" if name.endswith("_seconds") else ""), f"unit of {name}")
        check(family.documentation.endswith("."), f"help of {name}: {family.documentation!r}")
        labels = kinds
        if name == "taskreg_tasks_ended":
            labels = [kind | {"outcome": outcome} for kind in kinds for outcome in OUTCOMES]
        if kind_of_metric == "histogram":
            wanted = [
                (name + "_bucket", label_text(kind | {"le": "-"})) for kind in kinds for _ in [*BOUNDS, "+Inf"]
            ]
            wanted += [(name + suffix, label_text(kind)) for kind in kinds for suffix in ("_count", "_sum")]
        else:
            suffix = "_total" if kind_of_metric == "counter" else ""
            wanted = [(name + suffix, label_text(one)) for one in labels]
        found = []
        for sample in family.samples:
            check(sample.timestamp is None and sample.exemplar is None, f"{sample} has more")
            check(sample.value >= 0, f"{sample} is negative")
            shown = dict(sample.labels)
            if "le" in shown:
                shown["le"] = "-"
            else:
                samples[sample.name, label_text(sample.labels)] = sample.value
            found.append((sample.name, label_text(shown)))
        check(sorted(found) == sorted(wanted), f"{name} has other samples: {set(found) ^ set(wanted)}")
    for kind in kinds:
        of = label_text(kind)
        ended = sum(samples["taskreg_tasks_ended_total", label_text(kind | {"outcome": o})] for o in OUTCOMES)
        spawned, live = samples["taskreg_tasks_spawned_total", of], samples["taskreg_tasks_live", of]
        check(spawned == ended + live, f"{of}: {spawned} spawned, {ended} ended, {live} live")
        if not keeps_metrics:
            continue
        peak = samples["taskreg_tasks_peak", of]
        check(live <= peak <= 8, f"{of}: peak {peak}, {live} live")
        for name in ("taskreg_task_run_seconds", "taskreg_task_stop_seconds"):
            check_histogram(name, families[name], kind, samples, ended)
    return samples


def check_histogram(name, family, kind, samples, ended):
    buckets = [s for s in family.samples if s.name == name + "_bucket" and s.labels["kind"] == kind["kind"]]
    bounds = [float(bucket.labels["le"]) for bucket in buckets]
    check(bounds == [bound / 1e9 for bound in BOUNDS] + [float("inf")], f"{name}: bounds {bounds}")
    for bucket in buckets[:-1]:
        # The text itself is what a series is known by.
        check(bucket.labels["le"] == f"{bounds[buckets.index(bucket)]:.9f}", f"{name}: {bucket.labels}")
    values = [bucket.value for bucket in buckets]
    check(values == sorted(values), f"{name}: buckets fall: {values}")
    count, total = (samples[name + suffix, label_text(kind)] for suffix in ("_count", "_sum"))
    check(values[-1] == count, f"{name}: {count} counted, {values[-1]} in the last bucket")
    check(count == ended if "run" in name else count <= ended, f"{name}: {count} of {ended} that ended")
    # Each duration is above the bound of the bucket before its own, and not above its own.
    low = high = below = 0
    for bound, before, value in zip(bounds, [0, *bounds], values):
        low += (value - below) * before
        high += (value - below) * bound if value > below else 0
        below = value
    check(low * 0.999999 <= total <= high * 1.000001, f"{name}: the sum {total} is not in {low} to {high}")


def run(writer, how):
    global mode
    mode = how
    result = subprocess.run([writer, how], capture_output=True, text=True, timeout=90)
    check(result.returncode == 0, f"status {result.returncode}: {result.stderr}")
    texts = result.stdout.split("# EOF\n")
    check(texts.pop() == "", "the last line is not # EOF")
    return [text + "# EOF\n" for text in texts], result.stderr.splitlines()


def check_reported(samples, lines):
    check(lines, "nothing was reported")
    for line in lines:
        name, labels, value = line.split()
        check(samples.get((name, labels)) == float(value), f"{line}, but {samples.get((name, labels))}")


def check_several(writer):
    texts, _ = run(writer, "several")
    check(len(texts) == 3, f"{len(texts)} texts")
    # Name, whether kinds are kept, and how many tasks there were, those of groups included.
    registries = [
        ('a "b" \\ c\nd \u20ac', True, 1 + 4 + 5 + 6),
        ("second\\x1b", False, 2),
        (None, True, 3),
        ("net\n\\x9b", True, 4 + 5 + 6),
        ("net\n\\x9b/peers", False, 5),
        ("deep", True, 6),
    ]
    for number, text in enumerate(texts[:2]):
        check("\x1b" not in text and "\x9b" not in text, "a control character")
        families = list(text_string_to_metric_families(text))
        names = [*(COUNTED | KEPT), *(["mine"] if number == 1 else [])]
        check([family.name for family in families] == names, f"{[family.name for family in families]}")
        for family in families[: len(names) - number]:
            series = [(sample.name, label_text(sample.labels)) for sample in family.samples]
            check(len(set(series)) == len(series), f"{family.name}: samples with the same labels")
            kept = family.name in KEPT
            for name, has_kinds, _ in registries:
                mine = [sample for sample in family.samples if sample.labels.get("registry") == name]
                check(bool(mine) == (has_kinds or not kept), f"{family.name} of {name!r}: {mine}")
                check(all(("kind" in sample.labels) == has_kinds for sample in mine), f"{family.name} of {name!r}")
            of = {sample.labels.get("registry") for sample in family.samples}
            check(of <= {name for name, _, _ in registries}, f"{family.name}: {of}")
        for name, _, count in registries:
            for family, suffix in (("spawned", "_total"), ("ended", "_total")):
                samples = next(f for f in families if f.name == f"taskreg_tasks_{family}").samples
                total = sum(s.value for s in samples if s.labels.get("registry") == name)
                check(total == count, f"{name!r}: {total} {family}, not {count}")
        for name, has_kinds, count in registries:
            counted = [
                s.value
                for s in next(f for f in families if f.name == "taskreg_task_run_seconds").samples
                if s.name.endswith("_count") and s.labels.get("registry") == name
            ]
            check(sum(counted) == (count if has_kinds else 0), f"{name!r}: {counted}")
    check(families[-1].samples[0].value == 7, "the program's own")
    check(all(not f.samples for f in text_string_to_metric_families(texts[2])), "samples of none")


def main(writer):
    texts, _ = run(writer, "empty")
    check(all(value == 0 for value in read(texts[0], True).values()), "something is not 0")

    texts, reported = run(writer, "plain")
    check_reported(read(texts[0], False), reported)

    texts, reported = run(writer, "counted")
    check(len(texts) == 2, f"{len(texts)} texts")
    middle = reported.index("new text 0")
    samples = read(texts[0], True)
    check_reported(samples, reported[:middle])
    # 3 of 1 ms, 3 of 3 ms, 3 of 20 ms: each at least as long as it slept.
    check(samples["taskreg_task_run_seconds_sum", "kind=rpc-handler"] >= 0.072, "the sum is too small")
    check_reported(read(texts[1], True), reported[middle + 1 :])

    check_several(writer)

    for how, count in (("load", 20), ("slow", 1)):
        texts, _ = run(writer, how)
        check(len(texts) == count, f"{len(texts)} texts")
        before = {}
        for text in texts:
            samples = read(text, True)
            for key, value in samples.items():
                grows = key[0].endswith(("_total", "_count", "_peak"))
                check(not grows or value >= before.get(key, 0), f"{key} fell to {value}")
            before = samples
        check(sum(v for (n, _), v in before.items() if n == "taskreg_tasks_spawned_total") > 0, "no load")


main(sys.argv[1])
