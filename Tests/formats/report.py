#!/usr/bin/python3
# report.py WRITE_REPORT SCHEMAS - what tr_report_write and tr_snapshot_write write, read by others' parsers.
#
# Proves: snapshots and reports are UTF-8, the JSON among them one object that fits docs/schema to the letter, with
# no member more or less; names, groups and what tasks reported arrive as they were, control characters, quotes and
# all; the numbers are those of tr_report_counts; the text has a line for each straggler and no control character
# but the ends of its lines (E1, E3, E5, E6, E9, E10).
#
# Why it matters: a report is read once, at night, by a program that gives up at the first stray byte, or by
# somebody at a terminal, which a task's name must not command.
#
# Catches: a quote or a newline that is not escaped; a comma too many after the last straggler; null without its
# key; half a character; a member that the schema does not know; one straggler's checkpoint shown for another's;
# a number with more bits than a double keeps.
#
# Of ten thousand stragglers it proves that a report of them is made and written in bounded time and memory, and
# is as well-formed as any (E10).

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata

import jsonschema

KINDS = {1: "background-loop", 2: "peer-connection", 3: "rpc-handler", 4: "maintenance"}
BEFORE = ["ended_before", "failed_before", "exited_before"]
COUNTS = ["ended", "failed", "exited", *BEFORE, "pending", "aborted", "abandoned", "rejected", "threads_left", "unjoined"]
LARGEST_GROWTH = 16 << 20


def check(condition, message):
    if not condition:
        sys.exit(f"report.py: {mode}: {message}")


def no_doubles(pairs):
    check(len({key for key, _ in pairs}) == len(pairs), f"a key twice: {pairs}")
    return dict(pairs)


def read_integer(digits):
    check(int(float(digits)) == int(digits), f"{digits} is another number to a reader that keeps doubles")
    return int(digits)


def as_double_holds(number):
    """The 53 leading bits of a number."""
    behind = max(0, number.bit_length() - 53)
    return number >> behind << behind


def no_constant(name):
    sys.exit(f"report.py: {mode}: {name} is not JSON")


def strictness(schema, place="#"):
    """Every object of a schema names all its members, and no others are allowed."""
    if isinstance(schema, list):
        for number, item in enumerate(schema):
            strictness(item, f"{place}/{number}")
    elif isinstance(schema, dict):
        if schema.get("type") == "object":
            check(schema.get("additionalProperties") is False, f"{place}: others are allowed")
            check(schema["required"] == list(schema["properties"]), f"{place}: not all are required")
        for key, item in schema.items():
            strictness(item, f"{place}/{key}")


def validator(name):
    schema = json.loads((pathlib.Path(sys.argv[2]) / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    strictness(schema)
    return jsonschema.Draft202012Validator(schema)


def read_json(folder, name, schema):
    data = (folder / f"{name}.json").read_bytes()
    text = data.decode("utf-8")
    check(text.endswith("}\n"), f"{name}.json does not end with its object")
    check(text.count("\n") == 1, f"{name}.json is not one line")
    check(not any(ord(c) < 0x20 and c != "\n" or ord(c) == 0x7F for c in text), f"{name}.json: raw control")
    try:
        value = json.loads(text, object_pairs_hook=no_doubles, parse_int=read_integer, parse_constant=no_constant)
    except ValueError as failure:
        sys.exit(f"report.py: {mode}: {name}.json is not JSON: {failure}")
    error = next(schema.iter_errors(value), None)
    check(error is None, f"{name}.json: {error and (list(error.absolute_path), error.message)}")
    return value


def read_text(folder, name):
    text = (folder / f"{name}.txt").read_bytes().decode("utf-8")
    check(text.endswith("\n"), f"{name}.txt does not end a line")
    bad = [c for c in text if unicodedata.category(c) == "Cc" and c != "\n"]
    check(not bad, f"{name}.txt has control characters: {bad[:8]}")
    return text.removesuffix("\n").split("\n")


def shown(text):
    """Text for people, as of its first 255 bytes."""
    return "".join(f"\\x{ord(c):02x}" if unicodedata.category(c) == "Cc" else c for c in text)


def decode(word):
    """Text of the application's: 255 bytes of it at most, cut at a character."""
    if word == "-":
        return None
    if word == ".":
        return ""
    text, size = "", 0
    for character, width in pieces(bytes.fromhex(word)):
        if size + width > 255:
            break
        text, size = text + character, size + width
    return text


def decode_label(word):
    """A label: 127 bytes of it at most, cut where a character begins; None if it is empty."""
    data = b"" if word in "-." else bytes.fromhex(word)
    if len(data) > 127:
        end = next((n for n in (127, 126, 125) if data[n] & 0xC0 != 0x80), 124)
        data = data[: end if end == 127 or data[end] >= 0xC0 else 127]
    return "".join(character for character, width in pieces(data)) or None


def pieces(data):
    """The characters of some bytes, each with its width; a byte that begins none is U+FFFD."""
    while data:
        for width in range(1, 5):
            try:
                yield data[:width].decode("utf-8"), width
                break
            except UnicodeDecodeError:
                continue
        else:
            width = 1
            yield "\ufffd", 1
        data = data[width:]


def run(how, folder, *arguments):
    global mode
    mode = how
    result = subprocess.run([sys.argv[1], how, str(folder), *arguments], capture_output=True, text=True)
    check(result.returncode == 0, f"status {result.returncode}: {result.stderr}")
    tasks, counts, figures = {}, {}, {}
    for line in result.stdout.splitlines():
        word, *rest = line.split(" ")
        if word == "task":
            what, number, name, group, kind, phase, checkpoint, done, total, unit, label = rest
            tasks[int(number)] = {
                "what": what,
                "name": decode(name),
                "group": decode(group),
                "kind": KINDS.get(int(kind), "application"),
                "kind_number": int(kind),
                "phase": int(phase),
                "checkpoint": decode(checkpoint),
                "label": decode_label(label),
                "reported": (int(done), int(total), decode(unit)),
            }
        elif word == "counts":
            counts[rest[0]] = {key: int(value) for key, value in zip(rest[1::2], rest[2::2])}
        else:
            check(word == "figure", f"what is {line}?")
            figures[rest[0]] = int(rest[1])
    return tasks, counts, figures


def check_identity(found, task, where):
    for key in ("name", "group", "kind", "kind_number", "phase"):
        if key in found:
            check(found[key] == task[key], f"{where}: {key} is {found[key]!r}, not {task[key]!r}")


def check_reported(found, task, where):
    check_identity(found, task, where)
    check(found["label"] == task["label"], f"{where}: label {found['label']!r} of {task}")
    check(found["checkpoint"] == task["checkpoint"], f"{where}: checkpoint {found['checkpoint']!r} of {task}")
    if task["what"] == "progresses":
        progress = found["progress"]
        check(progress["total"] == 2 * progress["done"], f"{where}: {progress}")
        check(progress["unit"] == "steps", f"{where}: {progress}")
    elif task["reported"][0] == 0:
        check(found["progress"] is None, f"{where}: {found['progress']}")
    else:
        progress = found["progress"]
        reported = (progress["done"], progress["total"], progress["unit"])
        done, total, unit = task["reported"]
        wanted = (as_double_holds(done), as_double_holds(total), unit)
        check(reported == wanted, f"{where}: {reported}, not {wanted}")
    if task["what"] == "stalls":
        check(found["stalled"], f"{where}: a missed heartbeat is not reported")
    else:
        check(not found["stalled"], f"{where}: no heartbeat interval, and is stalled")


def check_snapshot(folder, name, tasks):
    value = read_json(folder, name, snapshot_schema)
    found = {task["id"]: task for task in value["tasks"]}
    check(value["count"] == len(value["tasks"]) == len(found), f"{name}: {value['count']} counted")
    check(set(found) == set(tasks), f"{name}: other tasks: {set(found) ^ set(tasks)}")
    for number, task in tasks.items():
        check_reported(found[number], task, f"{name} {number}")
        check(int(found[number]["spawned_at_unix_ns"]) + found[number]["age_ns"] == int(value["at_unix_ns"]), f"{name}: ages")
    lines = read_text(folder, name)
    check(len(lines) == len(tasks) + 2, f"{name}.txt has {len(lines)} lines")
    check(lines[-1] == f"{len(tasks)} task{'' if len(tasks) == 1 else 's'}", lines[-1])
    rows = {int(line.split()[0]): line for line in lines[1:-1]}
    for number, task in tasks.items():
        path = shown(f"{task['group']}/{task['name']}" if task["group"] else task["name"])
        check(path in rows[number], f"{name}.txt: {path!r} is not in {rows[number]!r}")
    return found


def check_report(folder, name, counts):
    value = read_json(folder, name, report_schema)
    for key in COUNTS + ["elapsed_ns", "extended_ns", "callbacks_ns"]:
        check(value[key] == counts[key], f"{name}: {key} is {value[key]}, not {counts[key]}")
    stragglers = value["stragglers"]
    check(len(stragglers) == counts["stragglers"] == len({s["id"] for s in stragglers}), f"{name}: stragglers")
    check(value["pending"] == value["aborted"] + value["abandoned"], f"{name}: pending")
    lines = read_text(folder, name)
    told = check_text(lines, value, name)
    for straggler in stragglers:
        nulls = [straggler[key] is None for key in ("cpu_since_ns", "cpu_since_span_ns")]
        check(nulls[0] == nulls[1], f"{name}: time without a span: {straggler}")
        check(straggler["syscall"] is not None or straggler["syscall_name"] is None, f"{name}: {straggler}")
        # Escaped once: what is a backslash in the text is one in JSON.
        if straggler["descriptor"] is not None:
            line = f"  on fd {straggler['descriptor']['number']}: {straggler['descriptor']['text']}"
            check(line in lines or straggler["id"] not in told, f"{name}: no line {line!r}")
            check(straggler["syscall"] is not None, f"{name}: a descriptor without a call: {straggler}")
        ended = straggler["state"] == "ended"
        check(ended == (straggler["diagnosis"] == "ended"), f"{name}: {straggler}")
    threads = value["threads"] or []
    own = {straggler["thread_id"] for straggler in stragglers if straggler["state"] != "ended"}
    ids = [thread["thread_id"] for thread in threads]
    check(len(set(ids)) == len(ids) and not own & set(ids), f"{name}: other threads {ids}")
    sections = [line for line in lines if line.startswith("other threads of the process: ")]
    check(len(sections) == (value["threads"] is not None), f"{name}: {sections}")
    for section in sections:
        count = len(threads) + value["threads_unlisted"]
        check(section.startswith(f"other threads of the process: {count}"), f"{name}: {section!r}, not {count}")
    stops = [task["stop_ns"] for task in value["slowest"]]
    check(stops == sorted(stops, reverse=True), f"{name}: the slowest are in another order: {stops}")
    check(all(task["ran_ns"] >= task["stop_ns"] for task in value["slowest"]), f"{name}: stopped longer than ran")
    phases = [phase["phase"] for phase in value["phases"]]
    check(phases == sorted(set(phases)), f"{name}: phases {phases}")
    for phase in value["phases"]:
        check(phase["ended_before"] == 0 or phase["phase"] == 0, f"{name}: {phase}")
        check(phase["ended_before"] <= value["ended_before"], f"{name}: {phase}")
        check(0 < phase["asked"] + phase["ended_before"] and phase["remaining"] <= phase["asked"], f"{name}: {phase}")
    return value, lines


def check_text(lines, value, name):
    word = "task " if value["occasion"] == "explain" else "straggler "
    headings = [number for number, line in enumerate(lines) if line.startswith(word)]
    stragglers = value["stragglers"]
    # Those that are alike are one paragraph, that of the oldest.
    alike = [re.match(r"  and (\d+) younger tasks? like this", line) for line in lines]
    count = len(headings) + sum(int(found[1]) for found in alike if found)
    check(count == len(stragglers), f"{name}.txt tells of {count} of {len(stragglers)}")
    by_id = {straggler["id"]: straggler for straggler in stragglers}
    told = set()
    for number in headings:
        heading, detail = lines[number : number + 2]
        straggler = by_id[int(re.findall(r", id (\d+), thread ", detail)[-1])]
        check(straggler["id"] not in told, f"{name}.txt tells of {straggler['id']} twice")
        told.add(straggler["id"])
        kind = straggler["kind"] if straggler["kind_name"] is None else shown(straggler["kind_name"])
        wanted = f"  {kind}, id {straggler['id']}, thread {straggler['thread_id']}, "
        check(detail.startswith(wanted), f"{name}.txt: {detail!r}, not {wanted!r}")
        if straggler["label"] is not None:
            line = f'  for "{shown(straggler["label"])}"'
            check(line in lines[number : number + 9], f"{name}.txt: no {line!r}")
        path = f"{straggler['group']}/{straggler['name']}" if straggler["group"] else straggler["name"]
        words = straggler["diagnosis"]
        if words == "idle":
            words = "asleep" if straggler["library_wait"]["for"] == "time" else "idle in "
        start = f"{word}{shown(path)}: {words}"
        check(heading.startswith(start), f"{name}.txt: {heading!r}, not {start!r}")
    check_summary(lines, value, name)
    return told


def check_summary(lines, value, name):
    if value["occasion"] == "explain":
        check(lines[0] == f"{value['pending']} task{'' if value['pending'] == 1 else 's'} alive", lines[0])
        return
    check(lines[0].startswith(value["occasion"]), lines[0])
    if value["reason"] != "none":
        message = f": {shown(value['message'])}" if value["message"] else ""
        check(lines[0].startswith(f"{value['occasion']} ({value['reason']}{message})"), lines[0])
    numbers = [int(number) for number in re.findall(r"\d+", lines[1])]
    wanted = [value[k] for k in ("ended", "failed", "exited", "pending", "aborted", "abandoned", "rejected")]
    check(numbers == wanted, f"{name}.txt: {lines[1]!r}, not {wanted}")
    before = [line for line in lines if line.startswith("  ended before the call ")]
    check(len(before) == (1 if value["ended_before"] else 0), f"{name}.txt: {before}")
    for line in before:
        numbers = [int(number) for number in re.findall(r"\d+", line)]
        check(numbers == [value[k] for k in BEFORE], f"{name}.txt: {line!r}")
    phases = [line for line in lines if re.match(r"  phase \d: ", line)]
    check(len(phases) == len(value["phases"]), f"{name}.txt: {phases}")
    slowest = [line for line in lines if line.startswith("slowest to stop: ")]
    check(len(slowest) == (1 if value["slowest"] else 0), f"{name}.txt: {slowest}")


def check_strictness(value):
    """The schema notices every member that is missing or of another type, and every one that is too many."""
    progress = next(s for s in value["stragglers"] if s["progress"] and s["progress"]["unit"])
    frames = next(s for s in value["stragglers"] if s["frames"] and s is not progress)
    value = value | {"stragglers": [progress, frames]}
    places = [value, value["threads"][0], progress, progress["progress"], frames["frames"][0], value["phases"][0], value["slowest"][0]]
    for place in places:
        for key, kept in list(place.items()):
            wrongs = [{} if isinstance(kept, list) else []]
            if key in ("threads_unlisted", "threads_error"):
                wrongs += [-1, 0.5]
            if key in ("occasion", "reason", "kind", "state", "diagnosis", "how"):
                wrongs.append("unheard-of")
            if isinstance(kept, (int, float)) and key != "code":
                wrongs += [-1, 0.5]
            if key in ("name", "kind_name", "address", "object_offset", "symbol_offset", "syscall_name", "wait_channel") and not (
                key == "name" and "holds_up" in place
            ):  # a thread may have no name
                wrongs.append("")
            del place[key]
            check(not report_schema.is_valid(value), f"the schema does without {key}")
            for wrong in wrongs:
                place[key] = wrong
                check(not report_schema.is_valid(value), f"the schema takes {wrong!r} for {key}")
            place[key] = kept
        place["more"] = 1
        check(not report_schema.is_valid(value), f"the schema takes more in {list(place)}")
        del place["more"]
    check(report_schema.is_valid(value), "the report was not put back")


def check_hostile(folder):
    tasks, counts, _ = run("hostile", folder)
    found = check_snapshot(folder, "snapshot", tasks)
    check({task["state"] for task in found.values()} == {"running"}, "not all run")
    value, _ = check_report(folder, "explain", counts["explain"])
    check({s["id"] for s in value["stragglers"]} == set(tasks), "a look lists other tasks")
    for straggler in value["stragglers"]:
        check_reported(straggler, tasks[straggler["id"]], "explain")
        check(straggler["cancel_requested_for_ns"] is None, "a look asks a task to stop")

    check(value["threads"] is not None, "no threads although the registry's options ask for them")

    value, lines = check_report(folder, "shutdown", counts["shutdown"])
    stay = {n: t for n, t in tasks.items() if t["what"] not in ("obeys", "fails", "exits")}
    check(value["reason"] == "fatal" and value["reason_number"] == 5, "the reason")
    check(value["message"] == '"disk\\ full"\n\x1b\x9b€', f"the message is {value['message']!r}")
    check(value["grace_ns"] == 10**9 and value["occasion"] == "shutdown", "the call")
    check({p["phase"] for p in value["phases"]} == {t["phase"] for t in tasks.values()}, "phases")
    check(sum(p["asked"] for p in value["phases"]) == len(tasks), f"asked: {value['phases']}")
    listed = {straggler["id"]: straggler for straggler in value["stragglers"]}
    check(set(stay) == set(listed), f"stragglers: {set(stay) ^ set(listed)}")
    check(value["ended"] == len(tasks) - len(stay) and value["failed"] == 1 and value["exited"] == 1, "ended")
    check(len(value["slowest"]) == 16, f"{len(value['slowest'])} are the slowest")
    for slow in value["slowest"]:
        task = tasks[slow["id"]]
        check_identity(slow, task, "slowest")
        how = {"obeys": ("returned", 0), "fails": ("failed", -7), "exits": ("exited", 0)}[task["what"]]
        check((slow["how"], slow["code"]) == how, f"{slow} of {task}")
    for number, straggler in listed.items():
        task = stay[number]
        check_reported(straggler, task, f"straggler {number}")
        check(straggler["state"] == "abandoned", f"{straggler}")
        check(straggler["cancel_requested_for_ns"] is not None, f"{straggler}")
        wanted = {"spins": ("spinning", "working"), "progresses": ("progressing",)}.get(
            task["what"], ("blocked",) if task["reported"][0] == 0 else ("blocked", "progressing")
        )
        check(straggler["diagnosis"] in wanted, f"{straggler['diagnosis']}: {straggler}")
        check(straggler["reads_flag_directly"] == (task["what"] == "reads"), f"{straggler}")
        check((straggler["cancel_checks"] > 0) == (task["what"] == "checks"), f"{straggler}")
    check(any(straggler["frames"] for straggler in listed.values()), "no backtrace")
    frames = [line for line in lines if re.match(r"  #\d+ 0x", line)]
    told = [int(found[1]) for found in map(re.compile(r"  .*, id (\d+), thread ").match, lines) if found]
    check(len(frames) == sum(len(listed[number]["frames"]) for number in told if number in listed), "frames")
    check_strictness(value)
    check_snapshot(folder, "after", stay)


def check_quiet(folder):
    _, counts, _ = run("quiet", folder)
    check_snapshot(folder, "empty", {})
    value, _ = check_report(folder, "join", counts["join"])
    check(value["grace_ns"] is None and value["reason"] == "none" and value["message"] == "", "the join")
    check(value["threads"] is None, "threads although nobody asked for them")
    value, _ = check_report(folder, "late", counts["late"])
    check(value["grace_ns"] == 0 and len(value["stragglers"]) == 1 and not value["phases"], "the late join")
    value, _ = check_report(folder, "done", counts["done"])
    check(value["reason"] == "unknown" and value["reason_number"] == 4711, "the reason")
    check(value["occasion"] == "shutdown" and not value["stragglers"], "the shutdown")


def check_crowd(folder):
    _, counts, figures = run("crowd", folder, "10000")
    count = figures["crowd"]
    if count < 10000:
        print(f"the system refuses more than {count} threads")
    check(count >= 1000, f"no crowd: {count} tasks")
    value, lines = check_report(folder, "crowd", counts["crowd"])
    check(len(lines) < 100, f"{len(lines)} lines of text for tasks that are alike")
    check(value["pending"] == count == len(value["stragglers"]), f"{len(value['stragglers'])} of {count}")
    names = {straggler["name"] for straggler in value["stragglers"]}
    check(names == {f'peer {number} "\\\n€' for number in range(count)}, "other names")
    snapshot = read_json(folder, "crowd-snapshot", snapshot_schema)
    check(snapshot["count"] == count, f"a snapshot of {snapshot['count']}")
    sizes = {kind: (folder / f"crowd.{kind}").stat().st_size for kind in ("txt", "json")}
    print(
        f"{count} stragglers: made in {figures['made_ns'] / 1e6:.0f} ms, "
        f"written as text in {figures['crowd.txt_ns'] / 1e6:.0f} ms ({sizes['txt'] >> 10} KiB), "
        f"as JSON in {figures['crowd.json_ns'] / 1e6:.0f} ms ({sizes['json'] >> 10} KiB), "
        f"memory grown by {figures['grown_bytes'] >> 10} KiB"
    )
    # A sanitizer keeps books of its own.
    if figures["scale"] == 1:
        check(figures["grown_bytes"] < LARGEST_GROWTH, f"{figures['grown_bytes']} bytes")


mode = "schemas"
report_schema = validator("report.json")
snapshot_schema = validator("snapshot.json")
cases = {"quiet": check_quiet, "hostile": check_hostile, "crowd": check_crowd}
for case in sys.argv[3:] or cases:
    with tempfile.TemporaryDirectory() as name:
        cases[case](pathlib.Path(name))
