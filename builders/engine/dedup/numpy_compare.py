"""The comparer of the numpy kernel: keeps texts as sorted n-gram hashes, compares many pairs at a time."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.engine.dedup.compare import Among, Pairs
from builders.engine.dedup.kernel import Folded
from builders.engine.dedup.meetings import Meetings
from builders.engine.dedup.numpy_kernel import NumpyKernel, gram_sets
from builders.engine.dedup.scheme import Scheme

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indexes = NDArray[np.integer[Any]]

PAIRS_AT_ONCE = 1 << 19
GRAMS_AT_ONCE = 1 << 22
TRIED_FIRST = 4
"""Candidates compared exactly before the rest is: most texts that repeat another one repeat one of these."""


class NumpyComparer:
    """See Comparer."""

    def __init__(self, meetings: Meetings, lengths: "NDArray[np.uint32]", scheme: Scheme, threads: int) -> None:
        count, runs = len(meetings), len(meetings.starts)
        self._scheme, self._kernel = scheme, NumpyKernel()
        self._run_of, self._starts, self._members = meetings.run_of, meetings.starts, meetings.members
        self.filled = np.zeros(runs, np.int32)
        self._passed = np.zeros(runs, np.int32)
        self.sizes = np.zeros(count, np.int32)
        self._sketch = np.empty((count, scheme.permutations), np.uint8)
        # a text has no more n-grams than characters: room for all, of which what is unused costs nothing
        self._offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        self._grams = np.empty(self._offsets[-1], np.uint64)

    def put(self, slot: int, numbers: "Indexes", folded: Folded) -> None:
        """The texts of these candidates."""
        self._sketch[numbers] = self._kernel.signatures(folded, self._scheme)
        grams, ends = gram_sets(folded, self._scheme)
        sizes = np.diff(ends)
        self.sizes[numbers] = sizes
        places = np.arange(len(grams)) + np.repeat(self._offsets[numbers] - ends[:-1], sizes)
        self._grams[places] = grams

    def first_kept(self, slot: int, first: int, end: int) -> "tuple[NDArray[np.int32], NDArray[np.int32]]":
        """(twin, shared) of candidates first … end - 1."""
        twin, both = np.full(end - first, -1, np.int32), np.zeros(end - first, np.int32)
        for one, other in self._met(first, end, lambda runs: (self._starts[runs], self.filled[runs])):
            turn = np.arange(len(one)) - np.searchsorted(one, one)  # the how manieth candidate of its text
            for least, most in ((0, TRIED_FIRST), (TRIED_FIRST, len(one))):
                tried = (turn >= least) & (turn < most) & (twin[one - first] < 0)
                pairs = self._near_enough(one[tried], other[tried])
                hit, place = np.unique(pairs.one, return_index=True)  # the first of each: they are in order
                twin[hit - first], both[hit - first] = pairs.other[place], pairs.shared[place]
        return twin, both

    def near(self, slot: int, first: int, end: int, among: Among) -> Pairs:
        """Every near pair of a candidate in first … end - 1 with an earlier one of `among` that it met."""

        def places(runs: "Indexes") -> "tuple[Indexes, Indexes]":
            begins = self._starts[runs] + (self._passed[runs] if among.low > 0 else 0)
            return begins, self._ends[runs] - begins

        found = []
        for one, other in self._met(first, end, places):
            wanted = (other >= among.low) & (other < np.minimum(one, among.high))
            wanted &= ~(among.out[one] | among.out[other])
            found.append(self._near_enough(one[wanted], other[wanted]))
        return _together(found)

    def links(self, slot: int, first: int, end: int, parent: "NDArray[np.int32]") -> Pairs:
        """Near pairs with candidates let through: all of them, which is more than one with every component."""
        met = self._met(first, end, lambda runs: (self._starts[runs], self.filled[runs]))
        return _together([self._near_enough(one, other) for one, other in met])

    def forget(self) -> None:
        """Start over: nothing has been compared."""

    def commit(self, first: int, end: int, kept: "NDArray[np.bool_]") -> None:
        """Let those of first … end - 1 through that are kept."""
        block = self._run_of[first:end]
        self._passed += np.bincount(block[block >= 0], minlength=len(self._passed)).astype(np.int32)
        one, band = np.nonzero((block >= 0) & kept[:, None])
        runs = block[one, band]
        order = np.argsort(runs, kind="stable")
        runs, one = runs[order], one[order]
        turn = np.arange(len(runs)) - np.searchsorted(runs, runs)
        self._members[self._starts[runs] + self.filled[runs] + turn] = one + first
        self.filled += np.bincount(runs, minlength=len(self.filled)).astype(np.int32)

    def shared(self, one: "Indexes", other: "Indexes") -> "NDArray[np.int32]":
        """n-grams shared by each pair, near or not."""
        shared = np.zeros(len(one), np.int32)
        cost = np.cumsum(self.sizes[one], dtype=np.int64)
        cuts = np.searchsorted(cost, np.arange(GRAMS_AT_ONCE, cost[-1] if len(cost) else 0, GRAMS_AT_ONCE))
        for first, end in zip([0, *cuts], [*cuts, len(one)], strict=True):
            if first < end:
                shared[first:end] = self._shared(one[first:end], other[first:end])
        return shared

    @property
    def _ends(self) -> "Indexes":
        return np.append(self._starts[1:], len(self._members))

    def _met(
        self, first: int, end: int, places: "Callable[[Indexes], tuple[Indexes, Indexes]]"
    ) -> "Iterator[tuple[Indexes, Indexes]]":
        """(one, other) of those that met, each pair once and in order; `places`: (begin, count) of runs in members."""
        one, band = np.nonzero(self._run_of[first:end] >= 0)
        begins, counts = places(self._run_of[first:end][one, band])
        total = np.cumsum(counts, dtype=np.int64)
        at = 0
        while at < len(one):
            stop = int(np.searchsorted(total, (total[at - 1] if at else 0) + PAIRS_AT_ONCE)) + 1
            stop = int(np.searchsorted(one, one[min(stop, len(one)) - 1], side="right"))  # whole texts
            many = counts[at:stop]
            inside = np.arange(many.sum()) + np.repeat(begins[at:stop] - np.cumsum(many) + many, many)
            packed = np.repeat(one[at:stop] + first, many) << 32 | self._members[inside]
            packed = np.unique(packed)
            yield packed >> 32, packed & 0xFFFFFFFF
            at = stop

    def _near_enough(self, one: "Indexes", other: "Indexes") -> Pairs:
        """The pairs at or above the threshold."""
        ratio = self._scheme.ratio
        p, q = ratio.numerator, ratio.denominator
        small, large = np.minimum(self.sizes[one], self.sizes[other]), np.maximum(self.sizes[one], self.sizes[other])
        plausible = small.astype(np.int64) * q >= large.astype(np.int64) * p
        one, other = one[plausible], other[plausible]
        agree = np.empty(len(one), np.int64)
        for at in range(0, len(one), PAIRS_AT_ONCE // 64):
            part = slice(at, at + PAIRS_AT_ONCE // 64)
            agree[part] = np.count_nonzero(self._sketch[one[part]] == self._sketch[other[part]], axis=1)
        one, other = one[agree >= self._scheme.least_agreement], other[agree >= self._scheme.least_agreement]
        shared = self.shared(one, other).astype(np.int64)
        near = shared * q >= p * (self.sizes[one].astype(np.int64) + self.sizes[other] - shared)
        return Pairs(*(column[near].astype(np.int32) for column in (one, other, shared)))

    def _shared(self, one: "Indexes", other: "Indexes") -> "Indexes":
        """n-grams of `one` that `other` has, by binary search of all of them at once."""
        counts = self.sizes[one].astype(np.int64)
        ends = np.cumsum(counts)
        wanted = self._grams[np.arange(ends[-1]) + np.repeat(self._offsets[one] - ends + counts, counts)]
        low = np.repeat(self._offsets[other], counts)
        last = low + np.repeat(self.sizes[other], counts) - 1
        high = last.copy()
        for _ in range(int(self.sizes[other].max()).bit_length()):
            middle = (low + high) >> 1
            below = self._grams[middle] < wanted
            low = np.where(below, middle + 1, low)
            high = np.where(below, high, middle)
        found = self._grams[np.minimum(low, last)] == wanted
        return np.add.reduceat(found, ends - counts, dtype=np.int64)


def _together(found: list[Pairs]) -> Pairs:
    if not found:
        none = np.zeros(0, np.int32)
        return Pairs(none, none, none)
    return Pairs(*(np.concatenate(columns) for columns in zip(*found, strict=True)))
