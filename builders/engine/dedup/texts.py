"""Where texts come from: read more than once, always in the same order, batch by batch."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from builders.engine.dedup import arrow

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from builders.sources.tables import Table

BATCH = 8_192
"""Texts a batch: enough to keep a core busy, few enough to keep every core busy and long texts out of the way."""
READ_AHEAD = 2
FAR = 100_000
"""Rows worth skipping by starting to read again behind them."""

T = TypeVar("T")


class Source(Protocol):
    """Texts without nulls, all of them valid UTF-8."""

    rows: int

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All of them from row `start` on."""
        ...


class Listed:
    """Texts in memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.rows, self._texts = len(texts), arrow.texts(texts)

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All of them from row `start` on."""
        for at in range(start, self.rows, BATCH):
            yield self._texts.slice(at, BATCH)


class OfTable:
    """The text of every row of a table."""

    def __init__(
        self, table: "Table", columns: Sequence[str], text: "Callable[[pa.RecordBatch], pa.LargeStringArray]"
    ) -> None:
        self.rows = table.rows
        self._table, self._columns, self._text = table, columns, text

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All of them from row `start` on."""
        for batch in self._table.batches(self._columns, start=start, at_most=BATCH):
            yield self._text(batch)


class Joined:
    """Several sources, one after the other."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        *self._starts, self.rows = accumulate((source.rows for source in sources), initial=0)

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All of them from row `start` on."""
        for first, source in zip(self._starts, self._sources, strict=True):
            if start < first + source.rows:
                yield from source.texts(max(0, start - first))


def chosen(source: Source, rows: "NDArray[np.integer[Any]]") -> "Iterator[tuple[int, pa.LargeStringArray]]":
    """(place in `rows`, texts of the rows from there on): the texts of these ascending rows, batch by batch."""
    import numpy as np

    place = 0
    while place < len(rows):
        at = int(rows[place])
        for texts in source.texts(at):
            end = int(np.searchsorted(rows, at + len(texts)))
            if end > place:
                yield place, texts.take(arrow.numbers(rows[place:end] - at))
            at, place = at + len(texts), end
            if place == len(rows) or rows[place] > at + FAR:
                break


def ahead(items: Iterator[T], depth: int = READ_AHEAD) -> Iterator[T]:
    """The items, read by a thread of its own; what goes wrong there is raised here."""
    with ThreadPoolExecutor(1) as reader:
        waiting = deque(reader.submit(next, items, None) for _ in range(depth))
        try:
            while (item := waiting.popleft().result()) is not None:
                waiting.append(reader.submit(next, items, None))
                yield item
        finally:
            reader.shutdown(cancel_futures=True)
