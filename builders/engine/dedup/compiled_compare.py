"""The comparer of the compiled kernel: keeps texts as code points, hashes n-grams where a pair needs them."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

from builders.engine.dedup.compare import Among, Pairs
from builders.engine.dedup.compiled_kernel import STEP, grams_32, longest_of, minima
from builders.engine.dedup.compiled_sets import fill, scratch_for, shared
from builders.engine.dedup.kernel import Folded
from builders.engine.dedup.meetings import Meetings
from builders.engine.dedup.scheme import Scheme

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Texts(NamedTuple):
    """The candidates, as the compiled functions take them."""

    points: "NDArray[np.uint32]"
    offsets: "NDArray[np.int64]"
    sizes: "NDArray[np.int32]"
    sketch: "NDArray[np.uint8]"
    weights: "NDArray[np.uint64]"
    limits: "NDArray[np.int64]"
    """p and q of the threshold, and the least agreement of signatures."""


class Runs(NamedTuple):
    """The meetings, as the compiled functions take them."""

    run_of: "NDArray[np.int32]"
    starts: "NDArray[np.int64]"
    members: "NDArray[np.int32]"
    filled: "NDArray[np.int32]"
    passed: "NDArray[np.int32]"
    """(runs,): members that `commit` has seen."""


class CompiledComparer:
    """See Comparer."""

    def __init__(self, meetings: Meetings, lengths: "NDArray[np.uint32]", scheme: Scheme, threads: int) -> None:
        count, runs = len(meetings), len(meetings.starts)
        self._scheme = scheme
        self.sizes = np.zeros(count, np.int32)
        self.filled = np.zeros(runs, np.int32)
        offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        ratio = scheme.ratio
        self._texts = Texts(
            points=np.empty(offsets[-1], np.uint32),
            offsets=offsets,
            sizes=self.sizes,
            sketch=np.empty((count, scheme.permutations), np.uint8),
            weights=scheme.weights,
            limits=np.array([ratio.numerator, ratio.denominator, scheme.least_agreement]),
        )
        self._runs = Runs(meetings.run_of, meetings.starts, meetings.members, self.filled, np.zeros(runs, np.int32))
        longest = int(lengths.max(initial=0))
        self._scratch = [scratch_for(count, longest) for _ in range(threads)]

    def put(self, slot: int, numbers: "NDArray[np.integer[Any]]", folded: Folded) -> None:
        """The texts of these candidates."""
        a, b = self._scheme.permuting
        weights = self._scheme.weights.astype(np.uint32)
        _measure(folded.points, folded.offsets, weights, a, b, self._texts, self._scratch[slot], numbers)

    def first_kept(self, slot: int, first: int, end: int) -> "tuple[NDArray[np.int32], NDArray[np.int32]]":
        """(twin, shared) of candidates first … end - 1."""
        twin, shared = np.full(end - first, -1, np.int32), np.zeros(end - first, np.int32)
        _first_kept(first, end, self._texts, self._runs, self._scratch[slot], twin, shared)
        return twin, shared

    def near(self, slot: int, first: int, end: int, among: Among) -> Pairs:
        """Every near pair of a candidate in first … end - 1 with an earlier one of `among` that it met."""
        return _pairs(_near(first, end, self._texts, self._runs, self._scratch[slot], *among))

    def links(self, slot: int, first: int, end: int, parent: "NDArray[np.int32]") -> Pairs:
        """Near pairs with candidates let through, one with every component."""
        return _pairs(_links(first, end, self._texts, self._runs, self._scratch[slot], parent))

    def forget(self) -> None:
        """Start over: nothing has been compared."""
        for scratch in self._scratch:
            scratch.seen.fill(-1)

    def commit(self, first: int, end: int, kept: "NDArray[np.bool_]") -> None:
        """Let those of first … end - 1 through that are kept."""
        _commit(first, end, self._runs, kept)

    def shared(self, one: "NDArray[np.integer[Any]]", other: "NDArray[np.integer[Any]]") -> "NDArray[np.int32]":
        """n-grams shared by each pair, near or not."""
        return _shared_of(one, other, self._texts, self._scratch[0])  # type: ignore[no-any-return]


def _pairs(found: "NDArray[np.int32]") -> Pairs:
    return Pairs(found[:, 0], found[:, 1], found[:, 2])


@njit(nogil=True, cache=True)
def _new(one: int, other: int, scratch: Any) -> bool:
    """Whether the pair has not been compared before; it has from now on."""
    if scratch.seen[other] == one:
        return False
    scratch.seen[other] = one
    return True


@njit(nogil=True, cache=True)
def _plausible(one: int, other: int, texts: Any) -> Any:
    """Whether sizes and signatures leave it possible that the pair is near."""
    p, q, least = texts.limits
    small, large = texts.sizes[one], texts.sizes[other]
    if small > large:
        small, large = large, small
    if small * q < p * large:
        return False
    agree = 0
    for place in range(texts.sketch.shape[1]):
        agree += texts.sketch[one, place] == texts.sketch[other, place]
    return agree >= least


@njit(nogil=True, cache=True)
def _near_enough(one: int, other: int, loaded: bool, texts: Any, scratch: Any) -> int:
    """The n-grams shared, or -1 when the exact Jaccard similarity is below the threshold."""
    if not loaded:
        fill(texts.points, texts.offsets[one], texts.offsets[one + 1], texts.weights, scratch)
    p, q, _ = texts.limits
    both = shared(texts.points, texts.offsets[other], texts.offsets[other + 1], texts.weights, scratch)
    return both if both * q >= p * (texts.sizes[one] + texts.sizes[other] - both) else -1


@njit(nogil=True, cache=True)
def _measure(points: Any, offsets: Any, weights: Any, a: Any, b: Any, texts: Any, scratch: Any, numbers: Any) -> None:
    """Code points, signature and number of n-grams of these candidates."""
    hashes = np.empty(longest_of(offsets) + STEP + 1, np.uint32)
    lowest = np.empty(len(a), np.uint32)
    for row in range(len(offsets) - 1):
        count = grams_32(points, offsets[row], offsets[row + 1], weights, hashes)
        minima(hashes, count, a, b, lowest)
        one = numbers[row]
        for place in range(len(a)):
            texts.sketch[one, place] = np.uint8(lowest[place] & np.uint32(255))
        texts.sizes[one] = fill(points, offsets[row], offsets[row + 1], texts.weights, scratch)
        texts.points[texts.offsets[one] : texts.offsets[one + 1]] = points[offsets[row] : offsets[row + 1]]


@njit(nogil=True, cache=True)
def _first_kept(first: int, end: int, texts: Any, runs: Any, scratch: Any, twin: Any, common: Any) -> None:
    for one in range(first, end):
        loaded, best = False, one
        for run in runs.run_of[one]:
            if run < 0:
                continue
            for place in range(runs.starts[run], runs.starts[run] + runs.filled[run]):
                other = runs.members[place]
                if other >= best:
                    break
                if not (_new(one, other, scratch) and _plausible(one, other, texts)):
                    continue
                both = _near_enough(one, other, loaded, texts, scratch)
                loaded = True
                if both >= 0:
                    best = other
                    twin[one - first], common[one - first] = other, both
                    break


@njit(nogil=True, cache=True)
def _near(first: int, end: int, texts: Any, runs: Any, scratch: Any, low: int, high: int, out: Any) -> Any:
    pairs, many = np.empty((64, 3), np.int32), 0
    for one in range(first, end):
        loaded = False
        if out[one]:
            continue
        for run in runs.run_of[one]:
            if run < 0:
                continue
            place = runs.starts[run]
            if low > 0:
                place += runs.passed[run]
            while runs.members[place] < min(one, high):
                other = runs.members[place]
                place += 1
                if other < low or out[other] or not (_new(one, other, scratch) and _plausible(one, other, texts)):
                    continue
                both = _near_enough(one, other, loaded, texts, scratch)
                loaded = True
                if both >= 0:
                    pairs = _with(pairs, many, one, other, both)
                    many += 1
    return pairs[:many]


@njit(nogil=True, cache=True)
def _links(first: int, end: int, texts: Any, runs: Any, scratch: Any, parent: Any) -> Any:
    pairs, many = np.empty((64, 3), np.int32), 0
    for one in range(first, end):
        loaded, mine = False, many
        for run in runs.run_of[one]:
            if run < 0:
                continue
            for place in range(runs.starts[run], runs.starts[run] + runs.filled[run]):
                other = runs.members[place]
                if not _new(one, other, scratch) or _linked(pairs[mine:many], other, parent):
                    continue
                if not _plausible(one, other, texts):
                    continue
                both = _near_enough(one, other, loaded, texts, scratch)
                loaded = True
                if both >= 0:
                    pairs = _with(pairs, many, one, other, both)
                    many += 1
    return pairs[:many]


@njit(nogil=True, cache=True)
def _root(one: int, parent: Any) -> int:
    while parent[one] != one:
        one = parent[one]
    return one


@njit(nogil=True, cache=True)
def _linked(pairs: Any, other: int, parent: Any) -> bool:
    """Whether one of the pairs is with the component of `other`."""
    root = _root(other, parent)
    linked = False
    for link in range(len(pairs)):
        linked = linked or _root(pairs[link, 1], parent) == root
    return linked


@njit(nogil=True, cache=True)
def _with(pairs: Any, many: int, one: int, other: int, shared: int) -> Any:
    """The pairs with one more at place `many`."""
    if many == len(pairs):
        longer = np.empty((2 * len(pairs), 3), np.int32)
        longer[: len(pairs)] = pairs
        pairs = longer
    pairs[many, 0], pairs[many, 1], pairs[many, 2] = one, other, shared
    return pairs


@njit(nogil=True, cache=True)
def _commit(first: int, end: int, runs: Any, kept: Any) -> None:
    for one in range(first, end):
        for run in runs.run_of[one]:
            if run < 0:
                continue
            runs.passed[run] += 1
            if kept[one - first]:
                runs.members[runs.starts[run] + runs.filled[run]] = one
                runs.filled[run] += 1


@njit(nogil=True, cache=True)
def _shared_of(one: Any, other: Any, texts: Any, scratch: Any) -> Any:
    both = np.empty(len(one), np.int32)
    for place in range(len(one)):
        start, end = texts.offsets[one[place]], texts.offsets[one[place] + 1]
        fill(texts.points, start, end, texts.weights, scratch)
        start, end = texts.offsets[other[place]], texts.offsets[other[place] + 1]
        both[place] = shared(texts.points, start, end, texts.weights, scratch)
    return both
