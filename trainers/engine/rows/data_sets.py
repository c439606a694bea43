"""The rows a trainer learns from: releases of ours, tables in any chat layout, and data sets on the Hub.

for opened in open_data(settings.choices, scratch):
    for row in opened.read("train"):  # Conversation, or Unreadable with its reason
        ...
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from builders.engine.folder import MANIFEST, sha256_of
from builders.sources.tables import Table
from schemas.settings import InputError
from schemas.train_settings import DataChoice
from trainers.engine.rows.chat_rows import MESSAGES, Conversation, Unreadable, messages_of
from trainers.engine.rows.chat_tables import Piece, Split, cut
from trainers.engine.rows.finding import Found, find_data, told

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Conversation",
    "Found",
    "Opened",
    "Split",
    "Unreadable",
    "find_data",
    "general_probe",
    "open_data",
    "open_found",
]

PROBE = Path(__file__).with_name("general_probe.jsonl")
"""General-domain conversations written for this package, CC0: what a model forgets shows on them."""


@dataclass(frozen=True)
class Opened:
    """A data set that can be read, and what a card states of it."""

    choice: DataChoice
    name: str
    """ORG/NAME on the Hub, or the folder's or file's own name."""
    revision: str
    """Commit on the Hub, content hash of a release, SHA-256 of a table's file or files."""
    version: str
    """Of a release, e.g. 1.2.0; "" for a table."""
    configs: tuple[str, ...]
    release: str
    """What its clusters and splits are those of; the same for every config of one set."""
    licenses: dict[str, int]
    """Licence its training rows are released under ("" where nobody stated one) -> rows."""
    rehearsal: bool
    """True when any training row came from the rehearsal teacher."""
    pieces: Mapping[Split, Sequence[Piece]] = field(repr=False)

    def size(self, split: Split) -> int:
        """What `read` gives of a split."""
        return sum(piece.size for piece in self.pieces.get(split, ()))

    def read(self, split: Split, wanted: "NDArray[np.bool_] | None" = None) -> Iterator[Conversation | Unreadable]:
        """Every row of a split, in the order of its files, always the same; nothing for a split that is not there.

        Of all that it gives, which are counted from 0, only the `wanted` (size,); the others are not even parsed.
        """
        first = 0
        for piece in self.pieces.get(split, ()):
            yield from piece.read(None if wanted is None else wanted[first : first + piece.size])
            first += piece.size


def open_data(choices: Sequence[DataChoice], scratch: Path, *, seed: int = 0) -> list[Opened]:
    """Every choice, found first and opened then; raises InputError in one line for what cannot be trained on."""
    return open_found(find_data(choices), scratch, seed)


def open_found(found: Sequence[Found], scratch: Path, seed: int = 0) -> list[Opened]:
    """The same ready to be read: converted, and a table that nobody has split is cut, 5 % held out by the seed.

    Raises InputError in one line for what cannot be trained on.
    """
    with told():
        for one in found:
            _check_unchanged(one)
        return [_opened(one, scratch, seed) for one in found]


def general_probe() -> list[Conversation]:
    """60 short conversations about anything but medicine, 40 of them Chinese."""
    lines = PROBE.read_text(encoding="utf-8").splitlines()
    rows = [(f"{PROBE.name}: row {number}", json.loads(line)) for number, line in enumerate(lines, 1)]
    return [Conversation(place, "", messages_of(row, MESSAGES)) for place, row in rows]


def _check_unchanged(found: Found) -> None:
    """The files of a release are those of its manifest."""
    for file in (file for groups in found.files.values() for group in groups for file in group):
        if found.stated and sha256_of(file.path) != found.stated[file.name]:
            raise InputError(f"{file.path}: not the file that {MANIFEST} names; build or download the release anew")


def _opened(found: Found, scratch: Path, seed: int) -> Opened:
    pieces: dict[Split, list[Piece]] = {
        split: [Piece(Table(found.choice.where, group, scratch), found.layout) for group in groups]
        for split, groups in found.files.items()
    }
    if found.whole:
        (whole,) = pieces["train"]
        pieces |= {split: [piece] for split, piece in cut(whole.table, found.layout, seed).items()}
    stated = [piece.stated() for piece in pieces.get("train", [])]
    return Opened(
        choice=found.choice,
        name=found.name,
        revision=found.revision,
        version=found.version,
        configs=found.configs,
        release=found.release,
        licenses=dict(sum((one.licenses for one in stated), Counter[str]())),
        rehearsal=any(one.rehearsal for one in stated),
        pieces=pieces,
    )
