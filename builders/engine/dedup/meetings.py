"""Which texts met: exact copies, then texts that share a band's key with another one.

Bands are sorted one after the other, so no table of all of them is ever held. Texts meet by rank, their place in the order
of preference: 0 is kept before all others.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.engine.dedup.earlier import Earlier
from builders.engine.dedup.signing import Keys

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Ranks:
    """The order of preference of the rows of a run, with room in it for the stored texts of an index."""

    def __init__(
        self, order: "NDArray[np.integer[Any]] | None", rows: int, *, stored_at: int = 0, stored: int = 0
    ) -> None:
        """Order (rows,): the rows, best first (None: as they stand); stored: how many texts go before order[stored_at]."""
        self.total, self.stored_at, self.stored = rows + stored, stored_at, stored
        place = np.arange(rows, dtype=np.uint32)
        place[stored_at:] += np.uint32(stored)
        self.of_row = place
        if order is not None:
            self.of_row = np.empty(rows, np.uint32)
            self.of_row[order] = place
        self._order = order

    def rows(self, ranks: "NDArray[np.int64]") -> "NDArray[np.integer[Any]]":
        """The row of each rank; of a stored text its row in the index, less the number of them: negative."""
        place = ranks - np.where(ranks >= self.stored_at + self.stored, self.stored, 0)
        stored = (ranks >= self.stored_at) & (ranks < self.stored_at + self.stored)
        live = np.where(stored, 0, place)
        rows = live if self._order is None or not len(self._order) else self._order[live]
        return np.where(stored, ranks - self.stored_at - self.stored, rows)


@dataclass
class Meetings:
    """The texts that share a key with another one (the candidates), and the runs of those with equal keys."""

    ranks: "NDArray[np.int64]"
    """(candidates,): ascending."""
    run_of: "NDArray[np.int32]"
    """(candidates, bands): the run a candidate is in, or -1 where its key is its own."""
    starts: "NDArray[np.int64]"
    """(runs,): where a run begins in `members`."""
    members: "NDArray[np.int32]"
    """Candidates, run after run, ascending within each."""

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def longest_run(self) -> int:
        """Texts in the largest run."""
        return int(np.diff(self.starts, append=len(self.members)).max(initial=0))


def first_copies(keys: Keys, ranks: Ranks) -> "NDArray[np.int64]":
    """(rows,): the best ranked row that each is an exact copy of: itself when there is none before it.

    Copies agree in a 64-bit hash of the folded text, in its length and in the key of the first band.
    """
    signs = text, length, key = keys.text, keys.length, keys.band(0)
    shift = _bits(ranks.total)
    packed = (text >> shift) << shift
    packed |= ranks.of_row
    packed.sort()
    first = np.arange(len(text))
    later = np.flatnonzero(packed[1:] >> shift == packed[:-1] >> shift) + 1
    if not len(later):
        return first
    begins = np.diff(later, prepend=-1) != 1
    leader = (later[begins] - 1)[np.cumsum(begins) - 1]
    below = (np.uint64(1) << shift) - np.uint64(1)
    copy, original = (ranks.rows((packed[place] & below).astype(np.int64)) for place in (later, leader))
    same = np.logical_and.reduce([sign[copy] == sign[original] for sign in signs])
    first[copy[same]] = original[same]
    others: dict[tuple[int, ...], int] = {}
    for row, run in zip(copy[~same].tolist(), original[~same].tolist(), strict=True):  # one of millions
        first[row] = others.setdefault((run, int(text[row]), int(length[row]), int(key[row])), row)
    return first


def meetings(keys: Keys, ranks: Ranks, own: "NDArray[np.bool_]", stored: Earlier, threads: int) -> Meetings:
    """The runs of every band, of the rows that are their `own` (rows,), and of the stored texts that they meet."""
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda band: _runs(keys.band(band), ranks, own, stored, band), range(keys.bands)))
    met = np.zeros(ranks.total, bool)
    for mine, _ in found:
        met[mine] = True
    candidates, number = np.flatnonzero(met), np.cumsum(met, dtype=np.int32) - np.int32(1)
    run_of = np.full((len(candidates), keys.bands), -1, np.int32)
    members, starts, runs, places = [np.zeros(0, np.int32)], [np.zeros(0, np.int64)], 0, 0
    for band in range(keys.bands):
        mine, begins = found[band]
        found[band] = found[-1]  # its memory is wanted
        members.append(number[mine])
        run_of[members[-1], band] = np.cumsum(begins, dtype=np.int32) + np.int32(runs - 1)
        starts.append(np.flatnonzero(begins) + places)
        runs, places = runs + len(starts[-1]), places + len(mine)
    return Meetings(candidates, run_of, np.concatenate(starts), np.concatenate(members))


def _runs(
    keys: "NDArray[np.uint64]", ranks: Ranks, own: "NDArray[np.bool_]", stored: Earlier, band: int
) -> "tuple[NDArray[np.uint32], NDArray[np.bool_]]":
    """(ranks, begins): the texts whose key another one has too, run after run, and where a run begins."""
    shift = _bits(ranks.total)
    if not own.all():
        keys, packed = keys[own], ranks.of_row[own].astype(np.uint64)
    else:
        packed = ranks.of_row.astype(np.uint64)
    packed |= keys << shift
    packed.sort()
    if stored.rows:
        key, row = stored.sharing(band, np.sort(keys))
        more = key << shift | (row + ranks.stored_at).astype(np.uint64)
        packed = np.sort(np.concatenate((packed, more)))
    same = packed[1:] >> shift == packed[:-1] >> shift
    after, before = np.concatenate(([False], same)), np.concatenate((same, [False]))
    met = np.flatnonzero(after | before) if len(packed) else np.zeros(0, np.int64)
    below = (np.uint64(1) << shift) - np.uint64(1)
    return (packed[met] & below).astype(np.uint32), ~after[met]


def _bits(total: int) -> np.uint64:
    """Bits that a rank takes at the low end of a packed key; what a key of 40 bits has above 64 is dropped."""
    return np.uint64(max(1, total.bit_length()))
