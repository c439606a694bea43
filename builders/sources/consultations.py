"""A consultation as a source has it, before anything is done to it: one typed row for every source there is.

A question with its answer is a consultation of two utterances. What cannot be read is a `Broken` row with its place and
its reason, never a crash: sources yield one `Read` for every row of their files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from schemas.base import Record

Speaks = Literal["patient", "doctor", "system"]


class Span(Record):
    """An entity that people have marked in an utterance."""

    start: int
    end: int
    kind: str
    """As the set names it."""
    value: str = ""
    """Its normal form, where the set gives one."""
    status: Literal["", "present", "absent", "unsure"] = ""


class Utterance(Record):
    """One bubble of one speaker; the same speaker may speak several in a row."""

    speaker: Speaks
    text: str
    spans: tuple[Span, ...] = ()


class Consultation(Record):
    """What a source says of one consultation."""

    department: str = ""
    title: str = ""
    """Headline of a question, where the site has one."""
    description: str = ""
    """The case as the patient wrote it down before anybody spoke."""
    utterances: tuple[Utterance, ...]
    diagnosis: str = ""
    """The doctor's conclusion, where the source keeps it apart."""
    doctor: str = ""
    """Name of the doctor, where the source has one; it is masked and never published."""
    hospital: str = ""
    tags: tuple[str, ...] = ()
    """What else the source says of it, e.g. safety."""
    own_id: str = ""
    """Id inside the source; empty when it has none."""

    @property
    def question(self) -> str:
        """What the patient says before the doctor first speaks, with title and description, each once."""
        opening: list[str] = []
        for said in self.utterances:
            if said.speaker == "doctor":
                break
            opening.append(said.text)
        texts: list[str] = []
        for text in (self.title, self.description, *opening):
            if text and not any(text in known for known in texts):
                texts = [known for known in texts if known not in text] + [text]
        return "\n".join(texts)


class Broken(NamedTuple):
    """A row that cannot be read, kept as it stands."""

    place: str
    """File and row, e.g. `answers.csv: row 12`."""
    reason: str
    raw: str


class RawRow(NamedTuple):
    """A row as its file has it."""

    place: str
    """File and row, for people."""
    origin: str
    """File and number, unique over all inputs, e.g. `answers.csv:12`."""
    row: Mapping[str, Any] | Broken


class Read(NamedTuple):
    """One row of a source."""

    key: str
    """SOURCE/own id or file:row; unique in a source whose ids are."""
    place: str
    row: Consultation | Broken


def _never(row: Mapping[str, Any]) -> bool:
    return False


class Format(NamedTuple):
    """How the rows of one raw source are understood."""

    name: str
    about: str
    """One line for --help and README."""
    license: str
    """SPDX id, or `LicenseRef-…`, that its publisher states; empty when none is stated."""
    consultation: Callable[[Mapping[str, Any]], Consultation]
    """One raw row (JSON object or CSV record) to a consultation; raises ValueError as `FIELD: what is wrong`."""
    fits: Callable[[Mapping[str, Any]], bool] = _never
    """Whether a raw row looks like one of these; for rows whose format nobody named."""
    rows: Callable[[Sequence[str], Path], Iterator[RawRow]] | None = None
    """How its rows are found where they are not those of tables: (inputs, scratch folder) to rows."""
