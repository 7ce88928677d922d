#!/usr/bin/python3
# blocking.py HEADER CONTRACT | --self-test: what the header says of blocking is what rule P6 lists.
#
# Proves: a function whose Threads label says that it blocks or waits is in P6's table, in a row whose bound is the
#   call's or somebody else's, and each function of such a row says so in its label. One that is only in rows with a
#   bound in milliseconds or seconds does not "never block". A label "as tr_f" is that of tr_f (P6).
# Why it matters: who writes an event loop decides by the label what may be called in it, and the waits of the
#   library are reviewed against the table.
# Catches: a new function that blocks and is in no row; "does not block" of one that waits for a thread.
import re
import sys

# The bound of a row is a time of the library's own: no reason to say "blocks".
BOUNDED = re.compile(r"^(?:an? )?(?:\d+ ms|tenth of a second|second|few of its instructions|its allowance)")
WAITS = re.compile(r"\bblocks(?! no)[;,. ]|\bmay block as described|\b[Ww]aits (?:for|until)")


def labels(header):
    """Each function of the header: its Threads label, without line breaks."""
    found, text = {}, ""
    for part in re.split(r"(/\*.*?\*/)", header, flags=re.S):
        if part.startswith("/*"):
            label = re.search(r"Threads: +(.*?)(?=\n   [A-Z][a-z]+: |\*/)", part, re.S)
            text = re.sub(r"\s+", " ", label[1]) if label else ""
            continue
        for name in re.findall(r"^(?!typedef)[a-z_0-9 ]+[ *](tr_[a-z_]+)\(", part, re.M):
            found[name] = text
    return found


def resolved(name, found, seen=()):
    """The label of a function, with that of the one which it refers to before it."""
    label = found.get(name, "")
    other = re.match(r"as (tr_[a-z_]+)", label) or re.search(r"; as (tr_[a-z_]+)", label)
    if other and other[1] not in seen:
        return resolved(other[1], found, (*seen, name)) + " " + label
    return label


def root(name, found):
    other = re.match(r"as (tr_[a-z_]+)", found.get(name, ""))
    return root(other[1], found) if other and other[1] != name else name


def rows(contract):
    """The rows of P6's table: the functions that each names, and its bound."""
    section = contract[contract.index("- **P6**"):]
    section = section[:section.index("\n- **P7**")]
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.strip().startswith("|") and len(cells) == 3 and cells[0] != "wait" and "---" not in cells[0]:
            yield set(re.findall(r"`(tr_[a-z_]+)`", cells[0])), cells[2]


def waits(label):
    # "does not wait for tasks" and "does not block, except briefly" are said of what has a fixed bound.
    said = re.sub(r"(?:does not|never) (?:block|wait)s?[^.;]*", "", label)
    return bool(WAITS.search(said))


def problems(header, contract):
    found = labels(header)
    bounded, unbounded = set(), set()
    for names, bound in rows(contract):
        (bounded if BOUNDED.match(bound) else unbounded).update(names)
    for name in sorted((bounded | unbounded) - set(found)):
        yield f"{name}: in the table of P6, and not a function of the header"
    for name in sorted(found):
        label = resolved(name, found)
        if waits(label) and root(name, found) not in unbounded and name not in unbounded:
            yield f'{name}: its label says that it waits ("{label}"), and no such row of P6 has it'
        if name in unbounded and not waits(label):
            yield f'{name}: P6 says that it waits, and its label does not ("{label}")'
        if name in bounded - unbounded and "never blocks" in label:
            yield f"{name}: never blocks, says its label; P6 has a wait of it"


HEADER = """
/* Sleep.
   Threads:   any thread; blocks; not a cancellation point.
   Since:     0.2 */
tr_status tr_sleep(int64_t duration_ns) TASKREG_MUST_USE;
/* Another.
   Threads:   as tr_sleep.
   Since:     0.2 */
tr_status tr_nap(int64_t duration_ns) TASKREG_MUST_USE;
/* Cancel.
   Threads:   any thread; does not wait for tasks; not async-signal-safe.
   Since:     0.2 */
int tr_token_cancel(tr_token *token);
"""
CONTRACT = """
- **P6** Nothing waits.
  | wait | for whom | at most |
  |---|---|---|
  | `tr_token_cancel` | that thread | 1 ms; then it does it itself |
  | `tr_sleep` | the flag | the call's deadline |
- **P7** Any callback may block.
"""


def self_test():
    def expect(text, header, contract):
        said = "\n".join(problems(header, contract))
        assert (said == "") if text == "" else (text in said), f'of {text!r} it is said {said!r}'

    expect("", HEADER, CONTRACT)
    expect("tr_sleep: its label says that it waits", HEADER, CONTRACT.replace("`tr_sleep`", "`tr_nap`"))
    expect("tr_nap: its label says that it waits", HEADER.replace("as tr_sleep.", "any; waits for a log."), CONTRACT)
    expect("tr_sleep: P6 says that it waits", HEADER.replace("blocks;", "does not block;"), CONTRACT)
    expect("cancel: never blocks", HEADER.replace("does not wait for tasks", "never blocks"), CONTRACT)
    expect("tr_doze: in the table", HEADER, CONTRACT.replace("`tr_sleep`", "`tr_sleep`, `tr_doze`"))


if sys.argv[1:] == ["--self-test"]:
    self_test()
    sys.exit(0)
header, contract = (open(path, encoding="utf-8").read() for path in sys.argv[1:])
said = list(problems(header, contract))
print("\n".join(said) or f"{len(labels(header))} functions, and P6, agree on what waits")
sys.exit(bool(said))
