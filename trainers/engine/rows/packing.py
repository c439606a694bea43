"""Rows of different length laid into packs of one length, so that no step computes padding, in the order they came.

    packs = pack(lengths, 4096)                              which rows share a pack
    packed = packed_table(tokenized, packs, file)            input_ids, labels, seq_lengths: what TRL's collator takes

Sorting rows by length fills packs best and ruins a curriculum. Here a row goes where it leaves the least room among the
packs that were opened last, and a pack is never opened again once enough newer ones are: the order drifts by a window, not
by the length of the run. Samples in a pack do not see each other: positions start again at 0 with every one of them, from
which the attention mask (SDPA) or the sequence bounds (FlashAttention) follow.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa

PACKS_AT_ONCE = 256
"""256 packs of 4,096 tokens are a million tokens: 8 MB of ids and labels."""


@dataclass(frozen=True, eq=False)
class Packs:
    """Which rows share a pack: pack p holds `rows[starts[p]:starts[p + 1]]`, row numbers ascending."""

    rows: NDArray[np.int64]
    """Every row number once, pack after pack."""
    starts: NDArray[np.int64]
    """One more than there are packs."""

    def __len__(self) -> int:
        """How many packs there are."""
        return len(self.starts) - 1

    def of(self, number: int) -> NDArray[np.int64]:
        """Row numbers in a pack."""
        return self.rows[self.starts[number] : self.starts[number + 1]]

    def fill(self, lengths: NDArray[Any], length: int) -> float:
        """Share of all places that hold a token."""
        return float(lengths.sum() / (len(self) * length)) if len(self) else 0.0


def pack(lengths: NDArray[Any], length: int, *, open_bins: int = 64) -> Packs:
    """Lay rows of these lengths into packs of at most `length` tokens, packs in the order they were opened.

    Windowed best fit: a row goes into the fullest pack that takes it among the `open_bins` opened last, else opens one.
    So when row i comes before row j, i lands less than `open_bins` packs behind j. One bin is next fit.
    Raises ValueError for a row that is empty or longer than a pack.
    """
    if open_bins < 1:
        raise ValueError(f"open_bins must be at least 1, got {open_bins}")
    if len(wrong := np.flatnonzero((lengths < 1) | (lengths > length))):
        raise ValueError(f"row {wrong[0]}: has {lengths[wrong[0]]} tokens, a pack takes 1 to {length}")
    where = np.fromiter(_places(lengths.tolist(), length, open_bins), np.int64, len(lengths))
    rows = np.argsort(where, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(where))]).astype(np.int64)
    return Packs(rows, starts)


def _places(lengths: list[int], length: int, open_bins: int) -> Iterator[int]:
    """For every row the pack it goes into. Open packs are a sorted list of room * shift + number: best fit is a bisection."""
    shift = len(lengths) + 1
    open_packs: list[int] = []
    room: list[int] = []
    for tokens in lengths:
        best = bisect_left(open_packs, tokens * shift)
        if best < len(open_packs):
            number = open_packs.pop(best) % shift
        else:
            number = len(room)
            room.append(length)
            if number >= open_bins:
                oldest = number - open_bins
                del open_packs[bisect_left(open_packs, room[oldest] * shift + oldest)]
        room[number] -= tokens
        insort(open_packs, room[number] * shift + number)
        yield number


def packed_table(tokenized: "datasets.Dataset", packs: Packs, file: Path) -> "datasets.Dataset":
    """A data set with one row a pack, on disk in `file` and mapped into memory: `input_ids`, `labels`, `seq_lengths`.

    `tokenized` has `input_ids` and `labels`, of equal length row by row. Only a window of rows is in memory at a time, as
    `pack` keeps the order. Train on it with `padding_free=True, max_length=None, packing=False` and the sequential sampler.
    """
    import datasets
    from datasets.arrow_writer import ArrowWriter

    features = datasets.Features(
        {
            "input_ids": tokenized.features["input_ids"],
            "labels": tokenized.features["labels"],
            "seq_lengths": datasets.List(datasets.Value("int32")),
        }
    )
    draft = file.with_name(file.name + ".new")
    with ArrowWriter(path=str(draft), features=features) as writer:
        for table in _packed(tokenized.select_columns(["input_ids", "labels"]).with_format("arrow"), packs):
            writer.write_table(table)
        writer.finalize()
    draft.replace(file)
    return datasets.Dataset.from_file(str(file))


def _packed(tokenized: "datasets.Dataset", packs: Packs) -> "Iterator[pa.Table]":
    for first in range(0, len(packs), PACKS_AT_ONCE):
        starts = packs.starts[first : first + PACKS_AT_ONCE + 1]
        rows = packs.rows[starts[0] : starts[-1]]
        window: pa.Table = tokenized[int(rows.min()) : int(rows.max()) + 1]
        yield _joined(window.take(rows - rows.min()), (starts - starts[0]).astype(np.int32))


def _joined(rows: "pa.Table", starts: NDArray[np.int32]) -> "pa.Table":
    """Rows `starts[p]` to `starts[p + 1]` joined into one, for every p."""
    import pyarrow as pa

    ids, labels = (rows[name].combine_chunks() for name in ("input_ids", "labels"))
    lengths = ids.value_lengths().to_numpy(zero_copy_only=False)
    if not np.array_equal(lengths, labels.value_lengths().to_numpy(zero_copy_only=False)):
        raise ValueError("input_ids and labels of a row differ in length")
    tokens = np.concatenate([[0], np.cumsum(lengths)])[starts].astype(np.int32)
    columns = {
        "input_ids": pa.ListArray.from_arrays(tokens, ids.flatten()),
        "labels": pa.ListArray.from_arrays(tokens, labels.flatten()),
        "seq_lengths": pa.ListArray.from_arrays(starts, lengths.astype(np.int32)),
    }
    return pa.table(columns)
