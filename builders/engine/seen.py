"""Which keys came before, in a few bytes each: a run of millions of rows keeps no text of theirs in memory."""

import hashlib
from array import array

SLOTS = 2**18
"""At first: 2 MiB, enough for 170,000 keys."""


class Seen:
    """A set of keys by 64 bits of their BLAKE2b: open addressing in one array, at most two thirds full.

    Two of a million keys are taken for one another with a probability of 10⁶²/2⁶⁵ = 3·10⁻⁸.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * SLOTS))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, key: str) -> bool:
        """Remember a key; False when it came before."""
        mark = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) or 1  # 0 is an empty slot
        slot = self._slot(mark)
        if self._table[slot] == mark:
            return False
        self._table[slot] = mark
        self._count += 1
        if 3 * self._count > 2 * len(self._table):
            self._grow()
        return True

    def _slot(self, mark: int) -> int:
        """Where a mark stands, or would."""
        last = len(self._table) - 1
        slot = mark & last
        while self._table[slot] not in (0, mark):
            slot = (slot + 1) & last
        return slot

    def _grow(self) -> None:
        old, self._table = self._table, array("Q", bytes(16 * len(self._table)))
        for mark in old:
            if mark:
                self._table[self._slot(mark)] = mark
