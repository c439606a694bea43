"""Which of the candidates are kept: leader or cluster, or simply every near pair; the comparisons run on all cores.

Candidates are decided on in blocks, which changes nothing in the result: a text's twin is the *first* one let through
that it is near to, and the texts of a block are compared with each other too before they are let through.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from builders.engine.dedup.compare import Among, Comparer, Pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK, SMALL_BLOCK = 4096, 512
CROWD = 2000
"""Where a run is longer than this, blocks are small: within a block all that met are compared."""
PARTS = 4
"""Parts of a block for each thread: some hold more work than others."""

T = TypeVar("T")
Seen = Callable[[int], None]


class Twins(NamedTuple):
    """For every candidate the one it repeats (-1: it is kept), and the n-grams they share."""

    twin: "NDArray[np.int32]"
    shared: "NDArray[np.int32]"


def block_for(longest_run: int) -> int:
    """Candidates to decide on at a time."""
    return SMALL_BLOCK if longest_run > CROWD else BLOCK


class Crew:
    """Threads over the candidates of a comparer; use as a context manager."""

    def __init__(self, comparer: Comparer, count: int, *, threads: int, block: int) -> None:
        self.comparer, self.count, self.block = comparer, count, block
        self._threads, self._slots = threads, SimpleQueue[int]()
        for slot in range(threads):
            self._slots.put(slot)

    def __enter__(self) -> "Crew":
        self._pool = ThreadPoolExecutor(self._threads)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def blocks(self, first: int) -> Iterator[tuple[int, int]]:
        """(first, end) of every block from a candidate on."""
        for start in range(first, self.count, self.block):
            yield start, min(start + self.block, self.count)

    def spread(self, first: int, end: int, work: Callable[[int, int, int], T], step: int = 0) -> list[T]:
        """work(slot, first, end) over parts of first … end - 1, of `step` each; the results in order."""
        step = step or max(1, -(-(end - first) // (PARTS * self._threads)))

        def part(start: int) -> T:
            slot = self._slots.get()
            try:
                return work(slot, start, min(start + step, end))
            finally:
                self._slots.put(slot)

        return list(self._pool.map(part, range(first, end, step)))


def leader(crew: Crew, *, fixed: int, out: "NDArray[np.bool_]", seen: Seen) -> Twins:
    """Kept is what is near to nothing kept before it.

    Of the `fixed` first ones all are kept; those `out` are neither kept nor compared. `seen` is told how far it is.
    """
    comparer, closed = crew.comparer, out.copy()
    twins = Twins(np.full(crew.count, -1, np.int32), np.zeros(crew.count, np.int32))
    comparer.commit(0, fixed, ~out[:fixed])
    for first, end in crew.blocks(fixed):
        parts = crew.spread(first, end, comparer.first_kept)
        twins.twin[first:end] = np.concatenate([twin for twin, _ in parts])
        twins.shared[first:end] = np.concatenate([shared for _, shared in parts])
        twins.twin[first:end][out[first:end]] = -1
        closed[first:end] |= twins.twin[first:end] >= 0
        among = Among(first, crew.count, closed)
        for pairs in crew.spread(first, end, partial(comparer.near, among=among)):
            _settle(pairs, twins)
        comparer.commit(first, end, (twins.twin[first:end] < 0) & ~out[first:end])
        seen(end)
    return twins


def _settle(pairs: Pairs, twins: Twins) -> None:
    """Near pairs of one block, in order: what is near to a kept text is not kept."""
    order = np.lexsort((pairs.other, pairs.one))
    for one, other, shared in zip(*(column[order].tolist() for column in pairs), strict=True):
        if twins.twin[one] < 0 and twins.twin[other] < 0:
            twins.twin[one], twins.shared[one] = other, shared


def cluster(crew: Crew, *, out: "NDArray[np.bool_]", seen: Seen) -> "NDArray[np.int32]":
    """The first member of the connected component of every candidate; those `out` are alone."""
    comparer, parent = crew.comparer, np.arange(crew.count, dtype=np.int32)
    for first, end in crew.blocks(0):
        earlier = crew.spread(first, end, partial(comparer.links, parent=parent))
        among = Among(first, crew.count, out)
        inside = crew.spread(first, end, partial(comparer.near, among=among))
        for pairs in (*earlier, *inside):
            for one, other in zip(pairs.one.tolist(), pairs.other.tolist(), strict=True):
                if not out[one]:
                    _join(one, other, parent)
        comparer.commit(first, end, ~out[first:end])
        seen(end)
    for one in range(crew.count):  # ascending: the parent's parent is its root by now
        parent[one] = parent[parent[one]]
    return parent


def _join(one: int, other: int, parent: "NDArray[np.int32]") -> None:
    one, other = _root(one, parent), _root(other, parent)
    parent[max(one, other)] = min(one, other)


def _root(one: int, parent: "NDArray[np.int32]") -> int:
    while (above := parent[one]) != one:
        parent[one] = parent[above]
        one = int(above)
    return one


def every_pair(crew: Crew, *, first: int, high: int, out: "NDArray[np.bool_]") -> Iterator[Pairs]:
    """Every near pair of a candidate from `first` on with an earlier one below `high`. Before `leader` and `cluster`."""
    among = Among(0, high, out)
    for start, end in crew.blocks(first):
        yield from crew.spread(start, end, partial(crew.comparer.near, among=among))
    crew.comparer.forget()
