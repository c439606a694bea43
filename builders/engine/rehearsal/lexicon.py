"""The rehearsal teacher's vocabulary: each department's terms, the frames of sentences, and which terms a text holds.

The words live in `clinic.toml` and `frames.toml`, read once for the process. Everything built on them is a pure
function of its arguments: a rehearsal writes the same thing every time.
"""

import hashlib
import re
import tomllib
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
DEFAULT_DEPARTMENT = "default"
"""Speaks for a department that has no terms of its own."""
ALIGNED = {"diseases": "disease", "symptoms": "symptom", "drugs": "drug", "tests": "test"}
"""Columns of `clinic.toml` whose n-th terms belong together -> the slot each fills."""
SLOT = re.compile(r"\{(\w+)\}")


class Task(NamedTuple):
    """One thing a role asks for; `kind` names the input it needs, if any."""

    say: str
    kind: str
    intent: str | None


class Role(NamedTuple):
    """What one asking role sounds like."""

    voice: str
    group: str
    test_like: str
    tests: tuple[str, ...]
    characters: tuple[str, ...]
    asks: tuple[Task, ...]
    readings: tuple[Task, ...]


class Department(NamedTuple):
    """One department's terms and the bounds of its invented patients."""

    name: str
    rows: tuple[dict[str, str], ...]
    habits: tuple[str, ...]
    sex: str
    ages: tuple[int, int]


class Frames(NamedTuple):
    """The shared building blocks, as read from `frames.toml`."""

    roles: dict[str, Role]
    openings: dict[str, list[str]]
    demands: dict[str, list[str]]
    links: dict[str, dict[str, list[str]]]
    inputs: dict[str, dict[str, list[str]]]
    answers: dict[str, Any]


class Entry(NamedTuple):
    """A term with its kind (a slot's name, or dept) and the department it belongs to."""

    term: str
    kind: str
    department: str


@cache
def frames() -> Frames:
    """Read the sentence frames once for the process."""
    raw = tomllib.loads((HERE / "frames.toml").read_text(encoding="utf-8"))
    roles = {name: _role(table) for name, table in raw["roles"].items()}
    return Frames(roles, raw["openings"], raw["demands"], raw["links"], raw["inputs"], raw["answers"])


def _role(table: dict[str, Any]) -> Role:
    """Turn one role's table into a record."""
    return Role(
        table["voice"],
        table["group"],
        table.get("test_like", ""),
        tuple(table.get("tests", ())),
        tuple(table["characters"]),
        tuple(_task(entry) for entry in table["tasks"]),
        tuple(_task(entry) for entry in table["readings"]),
    )


def _task(entry: str | dict[str, str]) -> Task:
    """Read a task written either as a bare sentence or as a table."""
    if isinstance(entry, str):
        return Task(entry, "", None)
    return Task(entry["say"], entry.get("kind", ""), entry.get("intent"))


@cache
def clinic() -> dict[str, Department]:
    """Read the departments' terms once for the process."""
    raw = tomllib.loads((HERE / "clinic.toml").read_text(encoding="utf-8"))
    return {name: _department(table) for name, table in raw["departments"].items()}


def _department(table: dict[str, Any]) -> Department:
    """Line up a department's terms so that one row holds terms that belong together."""
    columns = [table[plural] for plural in ALIGNED]
    rows = tuple(dict(zip(ALIGNED.values(), row, strict=True)) for row in zip(*columns, strict=True))
    low, high = table.get("ages", (18, 75))
    return Department(table["name"], rows, tuple(table["habits"]), table.get("sex", ""), (low, high))


@cache
def _index() -> dict[str, list[Entry]]:
    """Every term by its first two characters, longest first: a scan need not try a thousand terms at each place."""
    index: dict[str, set[Entry]] = {}
    for name, department in clinic().items():
        terms = [(term, kind) for row in department.rows for kind, term in row.items()]
        terms += [(habit, "habit") for habit in department.habits]
        terms.append((department.name, "dept"))
        for term, kind in terms:
            index.setdefault(term[:2], set()).add(Entry(term, kind, name))
    order = list(clinic())
    return {
        head: sorted(entries, key=lambda e: (-len(e.term), e.term, e.kind, order.index(e.department)))
        for head, entries in index.items()
    }


def entries_in(text: str) -> list[Entry]:
    """List the lexicon's terms in `text`, in reading order, longest match first.

    A term several departments share is listed once for each of them.
    """
    index, found, at = _index(), list[Entry](), 0
    while at < len(text) - 1:
        step = 1
        for entry in index.get(text[at : at + 2], ()):
            if len(entry.term) < step:
                break
            if text.startswith(entry.term, at):
                found.append(entry)
                step = len(entry.term)
        at += step
    return found


def owner_of(entries: list[Entry]) -> str:
    """Name the department that owns most of the distinct entries; the default one when there are none."""
    votes = dict.fromkeys(clinic(), 0)
    for entry in dict.fromkeys(entries):
        votes[entry.department] += 1
    best = max(votes, key=lambda name: votes[name])
    return best if votes[best] else DEFAULT_DEPARTMENT


def random_from(*parts: object) -> Random:
    """Make a local random source that is the same in every process."""
    text = "\x1f".join(str(part) for part in parts)
    return Random(int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:16], "big"))


def fill(template: str, slots: dict[str, str]) -> str:
    """Put the slot values into a template."""
    return SLOT.sub(lambda match: slots[match.group(1)], template)
