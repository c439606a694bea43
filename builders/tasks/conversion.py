"""From labelled sets to worded rows: read, drawn, worded, and parsed back before they count."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from builders.engine.errors import Reject
from builders.sources.consultations import Broken, RawRow
from builders.sources.fields import id_of, shown
from builders.sources.raw_rows import files_of, first_rows, mostly
from builders.tasks.examples import Example, Labelled
from builders.tasks.labels import parse, render
from builders.tasks.pairs import files_of_pairs, rows_of_pairs
from builders.tasks.sets import SETS, TaskSet
from schemas.base import Provenance
from schemas.settings import InputError
from schemas.task import Task, TaskName

if TYPE_CHECKING:
    from builders.engine.ask import Ask

WORDINGS = Path(__file__).with_name("wordings.toml")
MAY_BE_EMPTY = frozenset({"ner", "relation"})
"""Tasks whose right answer may be that there is nothing."""


def task_set(task: TaskName, format: str | None, inputs: Sequence[str]) -> TaskSet:
    """The set of this name for this task, or the one that the first rows look like; raises InputError."""
    serving = [one for one in SETS if one.task == task]
    names = ", ".join(one.name for one in serving)
    if format is not None:
        found = next((one for one in serving if one.name == format), None)
        if found is None:
            raise InputError(f"--format {format}: no set of that name for --task {task}; there are {names}")
        return found
    fitting = [one for one in serving if all(_fits(one, name) for name in inputs)]
    if len(fitting) != 1:
        raise InputError(
            f"{', '.join(inputs)}: its rows look like no set for --task {task}; name one of {names} with --format"
        )
    return fitting[0]


def _fits(known: TaskSet, name: str) -> bool:
    of_pairs = bool(files_of_pairs(name))
    if of_pairs or known.rows is rows_of_pairs:
        return of_pairs and known.rows is rows_of_pairs
    return mostly(known.fits, first_rows(name))


def described(known: TaskSet, inputs: Sequence[str]) -> tuple[str, ...]:
    """Each input for the card: its name and the SHA-256 over its files."""
    return tuple(f"{Path(name).name} ({known.name}, sha256 {_digest(known, name)})" for name in inputs)


def _digest(known: TaskSet, name: str) -> str:
    whole = hashlib.sha256()
    files = files_of_pairs(name) if known.rows is rows_of_pairs else files_of(name)
    for path in files:
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def examples_of(known: TaskSet, inputs: Sequence[str], scratch: Path) -> Iterator[Example]:
    """Every example of every row, private things masked; a row that gives none is one example with its flaw."""
    for raw in known.rows(inputs, scratch):
        yield from _of_row(known, raw)


def _of_row(known: TaskSet, raw: RawRow) -> Iterator[Example]:
    if isinstance(raw.row, Broken):
        unread = ("unreadable", raw.row.reason)
        yield masked(Example(f"{known.name}/{raw.origin}", raw.place, known.task, input=raw.row.raw, flaw=unread))
        return
    found: list[Labelled] = []
    flaw = ("no labels", "nothing is labelled in it")
    try:
        key = f"{known.name}/{id_of(raw.row, known.id) or raw.origin}"
        found = list(known.examples(raw.row))
    except ValueError as wrong:
        key, flaw = f"{known.name}/{raw.origin}", ("unreadable", str(wrong))
    if not found:
        yield masked(Example(key, raw.place, known.task, input=shown(raw.row), flaw=flaw))
    for one in found:
        own = f"{key}/{one.own}" if one.own else key
        yield masked(Example(own, raw.place, known.task, one.input, one.labels, known.choices, one.flaw))


class Conversion:
    """The builder of a run: an example to its row."""

    def __init__(self, known: TaskSet, *, seed: int, without_labels: float) -> None:
        self._known = known
        self._seed = seed
        self._without_labels = without_labels

    async def __call__(self, example: Example, ask: "Ask | None") -> Sequence[Task]:
        """Word an example; raises Reject for one that is none, was not drawn, or whose answer does not parse back."""
        if example.flaw:
            raise Reject(*example.flaw)
        if not example.labels and example.task in MAY_BE_EMPTY and not self._drawn(example.key):
            raise Reject("without labels, not drawn", f"--without-labels {self._without_labels:g}")
        output = render(example.task, example.labels)
        check(example, output)
        number, instruction = wording(example, self._seed)
        row = Task(
            key=example.key,
            task=example.task,
            wording=f"{example.task}/{number}",
            instruction=instruction,
            input=example.input,
            output=output,
            labels=json.dumps(example.labels, ensure_ascii=False),
            choices=example.choices,
            provenance=Provenance(
                source=self._known.name, source_row=example.place, source_license=self._known.license
            ),
        )
        return [row]

    def _drawn(self, key: str) -> bool:
        return _hashed(f"without labels {self._seed} {key}") < self._without_labels * 2**64


def check(example: Example, output: str) -> None:
    """Raise Reject unless the answer says the labels, all of them and in the words of the text."""
    if not example.input.strip() or not output.strip():
        raise Reject("no text" if output.strip() else "no labels", example.place)
    try:
        parsed = parse(example.task, output, example.choices)
    except ValueError as wrong:
        raise Reject("answer does not parse back", str(wrong)) from None
    if parsed != example.labels:
        raise Reject("answer does not parse back", f"{output} gives {json.dumps(parsed, ensure_ascii=False)}")
    if example.task == "ner" and (strange := [each["text"] for each in parsed if each["text"] not in example.input]):
        raise Reject("label not in the text", strange[0])


def masked(example: Example) -> Example:
    """The example with private things masked, in its text and in its labels alike."""
    from builders.engine.privacy.mask import mask_all

    text, labels = mask_all([example.input, json.dumps(example.labels, ensure_ascii=False)]).texts
    return example._replace(input=text, labels=json.loads(labels))


def wording(example: Example, seed: int) -> tuple[int, str]:
    """Number, from 1, and text of the wording that a key draws."""
    wordings = _wordings()[example.task]
    number = _hashed(f"wording {seed} {example.key}") % len(wordings)
    return number + 1, wordings[number].replace("{choices}", "、".join(example.choices))


def _hashed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


@cache
def _wordings() -> dict[str, list[str]]:
    tables = tomllib.loads(WORDINGS.read_text(encoding="utf-8"))
    return {task: list(table["wordings"]) for task, table in tables.items()}
