"""Rows of a data set rendered for training: every one, or as many as a share needs although some of them are left out.

pen = Pen(renderer, folder)
pen.write_all(name, opened, tally)                      every row
pen.draw(opened, need=100, seed=0).first(100)           rows drawn one by one, until 100 can be trained on
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainers.engine.data import Rendered, Renderer
from trainers.engine.rows.data_sets import Opened
from trainers.engine.rows.encoding import Encoded, LeaveOut, encode
from trainers.engine.rows.tally import Tally

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SURPLUS, MORE = 1.05, 64
"""So many times the rows that should be enough, and some more, are rendered at once: every pass reads the table again."""


class Rows(NamedTuple):
    """Rows of a data set that can be trained on, in the order they were drawn; every column is (kept,)."""

    numbers: "NDArray[np.int64]"
    """Of all that is read of the data set, from 0."""
    turns: "NDArray[np.int64]"
    """When each was drawn, ascending; rows in between were left out."""
    at: "NDArray[np.int64]"
    """Number among the rows of all parts of the run."""
    lengths: "NDArray[np.int64]"
    answers: "NDArray[np.int64]"
    dropped: "NDArray[np.int64]"

    def take(self, which: "NDArray[np.int64] | slice") -> "Rows":
        """Some of them."""
        return Rows(*(column[which] for column in self))


class LeftOut(NamedTuple):
    """A row that was drawn and cannot be trained on."""

    turn: int
    place: str
    reason: str


class Draw(NamedTuple):
    """What came of drawing."""

    kept: Rows
    left_out: Sequence[LeftOut] = ()
    """Those that nobody was told of yet."""
    samples: Sequence[Rendered] = ()

    def first(self, count: int) -> "Draw":
        """As if drawing had stopped when so many rows were kept; all of it when there are no more."""
        if count >= len(self.kept.turns):
            return self
        kept = self.kept.take(slice(count))
        last = kept.turns[-1] if count else -1
        return self._replace(kept=kept, left_out=[one for one in self.left_out if one.turn < last])

    def tell(self, name: str, tally: Tally) -> None:
        """Count every row."""
        columns = (column.tolist() for column in (self.kept.lengths, self.kept.answers, self.kept.dropped))
        for tokens, answer, dropped in zip(*columns, strict=True):
            tally.keep(name, tokens=tokens, answer=answer, dropped=dropped)
        for one in self.left_out:
            tally.leave_out(name, one.place, one.reason)


class Pen:
    """Writes the parts of a run, and knows how many rows lie in them."""

    def __init__(self, renderer: Renderer, folder: Path) -> None:
        self._renderer, self._folder = renderer, folder
        self._parts = self._written = 0

    def write_all(self, name: str, one: Opened, tally: Tally) -> Draw:
        """Every row; what is left out is counted at once, so that a large set of nothing else fits the memory."""
        part, at = self._write(one, lambda _, place, reason: tally.leave_out(name, place, reason))
        return Draw(Rows(part.rows, part.rows, at, part.lengths, part.answers, part.dropped), (), part.samples)

    def draw(self, one: Opened, need: int, seed: int) -> Draw:
        """Rows drawn without replacement until `need` of them can be trained on, and some more; or all there are."""
        import numpy as np

        order = np.random.default_rng(seed).permutation(one.size("train"))
        turns = np.argsort(order)
        found = [Draw(Rows(*[np.zeros(0, np.int64)] * len(Rows._fields)))]
        tried = kept = 0
        while kept < need and tried < len(order):
            some = np.sort(order[tried : tried + _enough(need - kept, kept, tried)])
            found.append(self._write_some(one, some, turns))
            tried, kept = tried + len(some), kept + len(found[-1].kept.turns)
        return _joined(found)

    def _write_some(self, one: Opened, numbers: "NDArray[np.int64]", turns: "NDArray[np.int64]") -> Draw:
        import numpy as np

        wanted = np.zeros(len(turns), np.bool_)
        wanted[numbers] = True
        left_out: list[LeftOut] = []

        def leave_out(row: int, place: str, reason: str) -> None:
            left_out.append(LeftOut(int(turns[numbers[row]]), place, reason))

        part, at = self._write(one, leave_out, wanted)
        kept = numbers[part.rows]
        rows = Rows(kept, turns[kept], at, part.lengths, part.answers, part.dropped)
        return Draw(rows, left_out, part.samples)

    def _write(
        self, one: Opened, leave_out: LeaveOut, wanted: "NDArray[np.bool_] | None" = None
    ) -> "tuple[Encoded, NDArray[np.int64]]":
        """A part, and the numbers of its rows among those of all parts."""
        import numpy as np

        file = self._folder / "parts" / f"{self._parts}-train.arrow"
        part = encode(one.read("train", wanted), self._renderer, file, leave_out)
        first, self._written = self._written, self._written + len(part.rows)
        self._parts += 1
        return part, np.arange(first, self._written)


def _enough(missing: int, kept: int, tried: int) -> int:
    """Rows from which so many more can probably be kept, if they are like those that were tried."""
    if tried and not kept:
        return sys.maxsize
    return math.ceil(missing * (tried / kept if tried else 1) * SURPLUS) + MORE


def _joined(found: Sequence[Draw]) -> Draw:
    import numpy as np

    rows = Rows(*(np.concatenate(columns) for columns in zip(*(one.kept for one in found), strict=True)))
    return Draw(
        rows.take(np.argsort(rows.turns)),
        [row for one in found for row in one.left_out],
        [sample for one in found for sample in one.samples],
    )
