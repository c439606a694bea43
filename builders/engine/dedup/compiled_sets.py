"""Sets of n-grams for the compiled comparer: one text at a time in a hash table, others counted against it."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit, uint64

from builders.engine.dedup.scheme import MIX_64

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MIX_64A, _MIX_64B = np.uint64(MIX_64[0]), np.uint64(MIX_64[1])
TABLE, PAIR, MASK = 0, 1, 2
"""Places in Scratch.state."""


class Scratch(NamedTuple):
    """What a thread writes while it compares."""

    seen: "NDArray[np.int32]"
    """(candidates,): the last one that each was compared with."""
    hashes: "NDArray[np.uint64]"
    slots: "NDArray[np.uint64]"
    """Hash table of the n-grams of one text."""
    owner: "NDArray[np.int64]"
    """The table that last filled a slot: of another one, it is free."""
    counted: "NDArray[np.int64]"
    """The pair for which a slot was last counted."""
    state: "NDArray[np.int64]"
    """Number of the table, number of the pair, mask of the table."""


def scratch_for(candidates: int, longest: int) -> Scratch:
    """For this many candidates, and texts of so many characters at most."""
    room = 1 << int(2 * longest + 64).bit_length()
    return Scratch(
        seen=np.full(candidates, -1, np.int32),
        hashes=np.zeros(longest + 1, np.uint64),
        slots=np.zeros(room, np.uint64),
        owner=np.zeros(room, np.int64),
        counted=np.zeros(room, np.int64),
        state=np.zeros(3, np.int64),
    )


@njit(nogil=True, cache=True)
def _grams_64(points: Any, start: int, end: int, weights: Any, hashes: Any) -> int:
    """The 64-bit hashes of one text's n-grams into `hashes`; how many."""
    ngram = len(weights) - 1
    count = end - start - ngram + 1
    if count < 1:
        total = uint64(uint64(ngram - (end - start)) * weights[ngram])
        for place in range(end - start):
            total += uint64(points[start + place]) * weights[place]
        hashes[0] = total
        count = 1
    else:
        for at in range(count):
            hashes[at] = uint64(points[start + at]) * weights[0]
        for place in range(1, ngram):
            weight = weights[place]
            for at in range(count):
                hashes[at] += uint64(points[start + at + place]) * weight
    for at in range(count):
        mixed = hashes[at]
        mixed = (mixed ^ (mixed >> uint64(33))) * _MIX_64A
        mixed = (mixed ^ (mixed >> uint64(33))) * _MIX_64B
        hashes[at] = mixed ^ (mixed >> uint64(33))
    return count


@njit(nogil=True, cache=True)
def fill(points: Any, start: int, end: int, weights: Any, scratch: Any) -> int:
    """The n-grams of a text into the hash table, in place of those before; how many differ."""
    count = _grams_64(points, start, end, weights, scratch.hashes)
    size = 64
    while size < 2 * count:
        size *= 2
    mask, distinct = uint64(size - 1), 0
    scratch.state[TABLE] += 1
    scratch.state[MASK] = size - 1
    table = scratch.state[TABLE]
    for at in range(count):
        gram = scratch.hashes[at]
        slot = gram & mask
        while scratch.owner[slot] == table and scratch.slots[slot] != gram:
            slot = (slot + uint64(1)) & mask
        if scratch.owner[slot] != table:
            scratch.owner[slot], scratch.slots[slot] = table, gram
            distinct += 1
    return distinct


@njit(nogil=True, cache=True)
def shared(points: Any, start: int, end: int, weights: Any, scratch: Any) -> int:
    """n-grams of a text that the one in the hash table has too."""
    count = _grams_64(points, start, end, weights, scratch.hashes)
    scratch.state[PAIR] += 1
    mask, table, pair = uint64(scratch.state[MASK]), scratch.state[TABLE], scratch.state[PAIR]
    both = 0
    for at in range(count):
        gram = scratch.hashes[at]
        slot = gram & mask
        while scratch.owner[slot] == table and scratch.slots[slot] != gram:
            slot = (slot + uint64(1)) & mask
        if scratch.owner[slot] == table and scratch.counted[slot] != pair:
            scratch.counted[slot] = pair
            both += 1
    return both
