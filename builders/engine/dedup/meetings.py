"""Which texts met: exact copies, then texts that share a band's key with another one.

Bands are sorted one after the other, so no table of all of them is ever held. From here on texts go by rank, their
place in the order of preference: 0 is kept before all others.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from builders.engine.dedup.signing import Keys

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass
class Meetings:
    """The texts that share a key with another one ("candidates", by rank), and the runs of those with equal keys."""

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
        return int(np.diff([*self.starts, len(self.members)]).max(initial=0)) if len(self.starts) else 0


def first_copies(keys: Keys, rank_of: "NDArray[np.int64] | None" = None) -> "NDArray[np.int64]":
    """(rows,): by rank, the rank of the first text that each is an exact copy of: its own when there is none before it.

    Copies agree in a 64-bit hash of the folded text, in its length and in the key of the first band.
    """
    text, length, key = keys.text, keys.length, keys.band(0)
    packed, shift = _packed(text >> _bits(keys.rows), rank_of, keys.rows)
    packed.sort()
    first = np.arange(keys.rows, dtype=np.int64)
    later = np.flatnonzero(packed[1:] >> shift == packed[:-1] >> shift) + 1
    if not len(later):
        return first
    begins = np.concatenate(([True], np.diff(later) != 1))
    leader = (later[begins] - 1)[np.cumsum(begins) - 1]
    below = (np.uint64(1) << shift) - np.uint64(1)
    copy, original = (packed[later] & below).astype(np.int64), (packed[leader] & below).astype(np.int64)
    row_of = np.arange(keys.rows) if rank_of is None else np.argsort(rank_of)
    one, other = row_of[copy], row_of[original]
    same = np.logical_and.reduce([sign[one] == sign[other] for sign in (text, length, key)])
    first[copy[same]] = original[same]
    others: dict[tuple[int, ...], int] = {}
    for place in np.flatnonzero(~same):  # equal in the upper bits only: one of millions
        row = one[place]
        mine = (int(original[place]), int(text[row]), int(length[row]), int(key[row]))
        first[copy[place]] = others.setdefault(mine, int(copy[place]))
    return first


def meetings(keys: Keys, first: "NDArray[np.int64]", rank_of: "NDArray[np.int64] | None", threads: int) -> Meetings:
    """The runs of every band, over the texts that copy none before them."""
    own = first == np.arange(keys.rows)
    if rank_of is not None:
        own = own[rank_of]  # by row
    bands = keys.chunks[0].high.shape[0] if keys.chunks else 0
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda band: _runs(keys.band(band), own, rank_of), range(bands)))
    met = np.zeros(keys.rows, bool)
    for ranks, _ in found:
        met[ranks] = True
    candidates = np.flatnonzero(met)
    number = np.cumsum(met, dtype=np.int32)
    number -= 1
    run_of = np.full((len(candidates), bands), -1, np.int32)
    members, starts, runs, places = [], [], 0, 0
    for band, (ranks, begins) in enumerate(found):
        mine = number[ranks]
        run = np.cumsum(begins, dtype=np.int32) + np.int32(runs - 1)
        run_of[mine, band] = run
        members.append(mine)
        starts.append(np.flatnonzero(begins) + places)
        runs, places = runs + len(starts[-1]), places + len(mine)
        found[band] = found[band][:0]  # type: ignore[assignment]
    none = np.zeros(0, np.int64)
    return Meetings(
        candidates, run_of, np.concatenate([none, *starts]), np.concatenate([none.astype(np.int32), *members])
    )


def _runs(
    keys: "NDArray[np.uint64]", own: "NDArray[np.bool_]", rank_of: "NDArray[np.int64] | None"
) -> "tuple[NDArray[np.uint32], NDArray[np.bool_]]":
    """(ranks, begins): the texts whose key another one has too, run after run, and where a run begins."""
    packed, shift = _packed(keys, rank_of, len(keys))
    if not own.all():
        packed = packed[own]
    packed.sort()
    same = packed[1:] >> shift == packed[:-1] >> shift
    after, before = np.concatenate(([False], same)), np.concatenate((same, [False]))
    met = np.flatnonzero(after | before)
    below = (np.uint64(1) << shift) - np.uint64(1)
    return (packed[met] & below).astype(np.uint32), ~after[met]


def _packed(
    keys: "NDArray[np.uint64]", rank_of: "NDArray[np.int64] | None", rows: int
) -> "tuple[NDArray[np.uint64], np.uint64]":
    """(key << shift | rank, shift): sorted, they bring equal keys together, by rank. Overwrites the keys."""
    shift = _bits(rows)
    keys <<= shift
    keys |= np.arange(rows, dtype=np.uint64) if rank_of is None else rank_of.astype(np.uint64)
    return keys, shift


def _bits(rows: int) -> np.uint64:
    """Bits that a rank takes at the low end of a packed key."""
    return np.uint64(max(1, int(rows).bit_length()))
