"""Rankings that people gave, from sheets: one line for each answer that one annotator has ranked.

    group,prompt,answer,annotator,rank,correction
    7,胃疼怎么办？,先做胃镜。,李,1,

Ranks count from 1 and may tie. Where every answer is wrong, the annotator's own stands under `correction`. A line whose
`annotator` is empty is the file's: everybody may fill in a copy of the same sheet.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from builders.ranking.agreement import MOST
from builders.ranking.candidates import id_of
from builders.sources.consultations import Broken
from builders.sources.raw_rows import raw_rows
from schemas.base import Message
from schemas.settings import InputError

NEEDED = ("group", "prompt", "answer", "rank")
MESSAGES = TypeAdapter(tuple[Message, ...])


class Line(NamedTuple):
    """What one annotator says of one answer."""

    place: str
    """File and row."""
    group: str
    prompt: str
    id: str
    """The answer's name on the sheet."""
    answer: str
    annotator: str
    rank: int | None
    """None where it was left empty."""
    correction: str = ""
    reference: str = ""
    department: str = ""


class Group(NamedTuple):
    """All that was said of the answers to one prompt."""

    key: str
    prompt: tuple[Message, ...]
    ids: tuple[str, ...]
    answers: tuple[str, ...]
    """In the order in which the sheet lists them."""
    orders: dict[str, tuple[int, ...]]
    """Annotator -> the rank of each answer; those who ranked none of them are not there."""
    corrections: dict[str, str]
    """Annotator -> a better answer of their own."""
    reference: str
    department: str


def sheet_lines(files: Iterable[Path], scratch: Path) -> Iterator[Line]:
    """Every line of CSV sheets; raises InputError naming file, row and column of what is wrong."""
    for file in files:
        for raw in raw_rows([str(file)], scratch):
            if isinstance(raw.row, Broken):
                raise InputError(f"--people {raw.row.place}: {raw.row.reason}")
            yield _line(raw.place, raw.row, file)


def _line(place: str, row: Mapping[str, Any], file: Path) -> Line:
    if missing := [name for name in NEEDED if name not in row]:
        raise InputError(f"--people {file}: no column {missing[0]}; there are {', '.join(row)}")
    said = {name: str(row.get(name) or "").strip() for name in Line._fields}
    for name in ("group", "prompt", "answer"):
        if not said[name]:
            raise InputError(f"--people {place}: {name}: is empty")
    return Line(
        place,
        said["group"],
        said["prompt"],
        said["id"] or id_of(said["answer"]),
        said["answer"],
        said["annotator"] or file.stem,
        _rank(said["rank"], place),
        said["correction"],
        said["reference"],
        said["department"],
    )


def _rank(text: str, place: str) -> int | None:
    digits = text.removesuffix(".0")  # as spreadsheets write whole numbers
    if not text:
        return None
    if not (digits.isascii() and digits.isdecimal() and int(digits) >= 1):
        raise InputError(f"--people {place}: rank: expected a whole number from 1, got {text!r}")
    return int(digits)


def groups_of(lines: Iterable[Line]) -> list[Group]:
    """Lines put together by their group, in the order in which groups first come; raises InputError."""
    together: dict[str, list[Line]] = {}
    for line in lines:
        together.setdefault(line.group, []).append(line)
    return [_group(key, lines) for key, lines in together.items()]


def _group(key: str, lines: list[Line]) -> Group:
    texts = {line.id: line.answer for line in reversed(lines)}
    ids = tuple(dict.fromkeys(line.id for line in lines))
    first = lines[0]
    if other := next((line for line in lines if line.prompt.split() != first.prompt.split()), None):
        raise InputError(f"--people {other.place}: prompt: not that of {first.place}, which has the same group {key!r}")
    said = {who: _order(ids, mine) for who, mine in _by_annotator(lines).items()}
    orders = {who: order for who, order in said.items() if order}
    if len(orders) > MOST:
        raise InputError(
            f"--people {first.place}: group {key!r}: {len(orders)} annotators; two rank, a third adjudicates"
        )
    return Group(
        key,
        prompt_of(first.prompt, first.place),
        ids,
        tuple(texts[id] for id in ids),
        orders,
        {line.annotator: line.correction for line in lines if line.correction},
        next((line.reference for line in lines if line.reference), ""),
        next((line.department for line in lines if line.department), ""),
    )


def _by_annotator(lines: Iterable[Line]) -> dict[str, list[Line]]:
    by: dict[str, list[Line]] = {}
    for line in lines:
        by.setdefault(line.annotator, []).append(line)
    return by


def _order(ids: tuple[str, ...], mine: list[Line]) -> tuple[int, ...]:
    """One annotator's rank of every answer; () when they ranked none, InputError when they ranked some."""
    ranks: dict[str, int] = {}
    for line in mine:
        if line.id in ranks:
            raise InputError(f"--people {line.place}: rank: {line.annotator} has ranked this answer before")
        if line.rank is not None:
            ranks[line.id] = line.rank
    if not ranks:
        return ()
    if len(ranks) < len(ids):
        empty = next((line for line in mine if line.rank is None), mine[0])
        raise InputError(
            f"--people {empty.place}: rank: {empty.annotator} has ranked {len(ranks)} of {len(ids)} answers"
        )
    return tuple(ranks[id] for id in ids)


def prompt_of(text: str, place: str) -> tuple[Message, ...]:
    """A question, or a conversation as a JSON list of {role, content}; raises InputError when it ends with an answer."""
    if not text.startswith("[{"):
        return (Message(role="user", content=text),)
    try:
        prompt = MESSAGES.validate_json(text)
    except ValidationError as wrong:
        raise InputError(f"--people {place}: prompt: {wrong.errors()[0]['msg']}") from None
    if prompt[-1].role != "user":
        raise InputError(f"--people {place}: prompt: ends with {prompt[-1].role}; it must end with a question")
    return prompt


def read_json(file: Path) -> Any:
    """What a JSON file holds; raises InputError when it is none."""
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as wrong:
        raise InputError(f"--people {file}: {wrong.strerror or wrong}") from None
    except (ValueError, RecursionError) as wrong:
        raise InputError(f"--people {file}: not valid JSON: {wrong}") from None
