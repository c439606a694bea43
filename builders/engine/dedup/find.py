"""Near-duplicates among any number of texts: signed once, met band by band, compared exactly, decided in order.

    find(Listed(["高血压怎么治", "肚子疼", "高血压怎么治？"]), Scheme()).twin  # [0]: row 2 repeats row 0

A run's rows are the evaluation items, if any, and behind them the texts of the source; what `find` gives back counts the
source's alone.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from builders.engine.dedup.benchmarks import Benchmarks
from builders.engine.dedup.compare import comparer
from builders.engine.dedup.decide import Crew, block_for, cluster, every_pair, leader
from builders.engine.dedup.earlier import Earlier, NothingEarlier
from builders.engine.dedup.kernel import Kernel, fold, kernel_for
from builders.engine.dedup.meetings import Ranks, first_copies, meetings
from builders.engine.dedup.overlap import Overlaps
from builders.engine.dedup.scheme import Scheme
from builders.engine.dedup.signing import Done, Keys, nothing_to_see, sign_all
from builders.engine.dedup.texts import Joined, Source, chosen

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Rows = NDArray[np.integer[Any]]

Mode = Literal["leader", "cluster"]
Say = Callable[[str, int, int], None]
PairsSeen = Callable[["Rows", "Rows", "NDArray[np.float64]"], None]
PART = 1 << 18
"""Candidates that a thread reads in one go."""
KEPT = np.iinfo(np.int64).min
Order = Callable[[Keys, int], "Rows | None"]
"""(keys, items) to the rows of the source, best first, None for as they stand; `items` rows of the keys come before."""


@dataclass(frozen=True)
class Found:
    """What is to be removed, by row, and what the search cost."""

    row: "Rows"
    """(removed,): ascending."""
    twin: "Rows"
    """(removed,): the kept row that each repeats; a stored one as its row less the number of them, so negative; of a row
    that gives an evaluation item away the item."""
    jaccard: "NDArray[np.float64]"
    """(removed,): exact Jaccard similarity with the twin; 0 of a row that holds an item without being near to it, which
    was not measured."""
    exact: "NDArray[np.bool_]"
    """(removed,): the folded text is that of the twin."""
    contaminated: "NDArray[np.bool_]"
    """(removed,): gives an evaluation item away."""
    keys: Keys | None = field(repr=False)
    """Those of the run's rows, when there is an index to add them to."""
    kernel: str
    candidates: int
    longest_run: int


@dataclass
class Search:
    """One search; `find` is its order of events."""

    source: Source
    scheme: Scheme
    kernel: Kernel
    threads: int
    benchmarks: Benchmarks
    stored: Earlier
    indexed: bool
    say: Say

    def sign(self, folder: Path | None) -> None:
        """Pass one."""
        self.items, joined = self.benchmarks.rows, Joined([self.benchmarks, self.source])
        self.texts, self.rows = joined, joined.rows
        self.overlaps = self._overlaps() if self.items else None
        look = self.overlaps.look if self.overlaps else nothing_to_see
        seen = lambda rows: self.say("read", rows, self.rows)  # noqa: E731
        self.keys: Keys | None = sign_all(
            joined, self.scheme, self.kernel, threads=self.threads, folder=folder, look=look, seen=seen
        )

    def _overlaps(self) -> Overlaps:
        import pyarrow as pa

        texts = pa.concat_arrays(list(self.benchmarks.texts()))
        return Overlaps(fold(self.kernel, texts, self.scheme.folding), self.scheme)

    def meet(self, order: Order) -> None:
        """Copies, then runs of equal keys."""
        keys, self.keys = self.keys, None
        assert keys is not None
        if self.indexed:
            self.stored.leave_out(keys.text[self.items :])
        best = order(keys, self.items)
        whole = None if best is None else np.concatenate((np.arange(self.items), best + self.items))
        self.ranks = Ranks(whole, self.rows, stored_at=self.items, stored=self.stored.rows)
        self.first = first_copies(keys, self.ranks)
        own = self.first == np.arange(self.rows)
        self.known = np.zeros(0, np.int64)
        if self.stored.rows:
            asked = own & (np.arange(self.rows) >= self.items)
            self.known = np.full(self.rows, -1)
            self.known[asked] = self.stored.copies(keys.text[asked], keys.length[asked])
            own &= self.known < 0
        self.met = meetings(keys, self.ranks, own, self.stored, self.threads)
        self.of = self.ranks.rows(self.met.ranks)  # candidate → row; of a stored text negative
        self.length, self.suspect = keys.length, keys.suspect
        self.keys = keys if self.indexed else None  # or their memory is wanted

    def load(self) -> None:
        """Pass two: the texts of the candidates, and what suspects share with evaluation items."""
        live = self.of >= 0
        lengths = np.empty(len(self.of), np.uint32)
        lengths[live] = self.length[self.of[live]]
        lengths[~live] = self.stored.lengths(self.of[~live] + self.stored.rows)
        self.comparer = comparer(self.kernel.name, self.met, lengths, self.scheme, self.threads)
        number = np.flatnonzero(live)[np.argsort(self.of[live], kind="stable")]
        self._put(number, lambda numbers: chosen(self.texts, self.of[numbers]))
        number = np.flatnonzero(~live)
        self._put(number, lambda numbers: self.stored.chosen(self.of[numbers] + self.stored.rows))
        if self.overlaps:
            self._examine(self.overlaps)

    def _put(self, numbers: "Rows", chosen: "Callable[[Rows], Iterator[tuple[int, pa.LargeStringArray]]]") -> None:
        """The texts of candidates, which `chosen` gives; each thread reads a part of them."""
        done = Done(lambda rows: self.say("load", rows, len(numbers)))

        def put(slot: int, first: int, end: int) -> None:
            part = numbers[first:end]
            for place, texts in chosen(part):
                folded = fold(self.kernel, texts, self.scheme.folding)
                self.comparer.put(slot, part[place : place + len(texts)], folded)
                done(len(texts))

        with Crew(self.comparer, len(numbers), threads=self.threads, block=PART) as crew:
            crew.spread(0, len(numbers), put, step=max(1, min(PART, -(-len(numbers) // self.threads))))

    def _examine(self, overlaps: Overlaps) -> None:
        copies = (self.first != np.arange(self.rows)) & (self.first >= self.items)
        suspects = np.flatnonzero(self.suspect & ~copies)
        suspects = suspects[suspects >= self.items]
        for place, texts in chosen(self.texts, suspects):
            for overlap in overlaps.of(fold(self.kernel, texts, self.scheme.folding)):
                self.benchmarks.add(int(suspects[place + overlap.text]) - self.items, overlap.item, overlap=overlap)

    def decide(self, mode: str, pairs: PairsSeen | None) -> None:
        """Evaluation items first, then leader or cluster; `pairs` is told every near pair, as rows."""
        many, items = len(self.met), int(np.searchsorted(self.met.ranks, self.items))
        fixed = int(np.searchsorted(self.met.ranks, self.items + self.stored.rows))
        seen = lambda at: self.say("compare", at, many)  # noqa: E731
        with Crew(self.comparer, many, threads=self.threads, block=block_for(self.met.longest_run)) as crew:
            out = self._decontaminate(crew, fixed, items)
            if pairs:
                self._tell(crew, fixed, out, pairs)
            if mode == "leader":
                self.twin, shared = leader(crew, fixed=fixed, out=out, seen=seen)
                self.gone = np.flatnonzero(self.twin >= 0)
                shared = shared[self.gone]
            else:
                self.twin = cluster(crew, out=out, seen=seen)
                self.gone = np.flatnonzero(self.twin != np.arange(many))
                shared = self.comparer.shared(self.gone, self.twin[self.gone])
        self.jaccard = self._jaccard(self.gone, self.twin[self.gone], shared)
        del self.comparer  # the texts are the most of what is held

    def _jaccard(self, one: "Rows", other: "Rows", shared: "Rows") -> "NDArray[np.float64]":
        both = self.comparer.sizes[one].astype(np.int64) + self.comparer.sizes[other] - shared
        return shared / both

    def _decontaminate(self, crew: Crew, fixed: int, items: int) -> "NDArray[np.bool_]":
        """Candidates that are not for training: evaluation items, and what gives one away."""
        out = np.zeros(len(self.met), bool)
        out[:items] = True
        if not self.items:
            return out
        same: dict[int, list[int]] = {}
        for item, original in enumerate(self.first[: self.items].tolist()):
            same.setdefault(original, []).append(item)
        alike = {item: [(item, 1.0)] for item in same}
        for one, other, shared in every_pair(crew, first=0, high=items, out=np.zeros_like(out)):
            for row, item, jaccard in zip(
                self.of[one].tolist(), self.of[other].tolist(), self._jaccard(one, other, shared).tolist(), strict=True
            ):
                if row < 0:
                    continue  # a stored text: what was kept before is not judged again
                if row < self.items:  # two items: who repeats the one gives the other away
                    alike[row].append((item, jaccard))
                    alike[item].append((row, jaccard))
                else:
                    self._given_away(row, [(item, jaccard)], same)
        for row in np.flatnonzero(self.first[self.items :] < self.items) + self.items:
            self._given_away(int(row), alike[int(self.first[row])], same)
        away = np.array(sorted(self.benchmarks.worst()), np.int64) + self.items
        for row in (np.flatnonzero(np.isin(self.first, away) & (self.first != np.arange(self.rows)))).tolist():
            self.benchmarks.repeat(int(self.first[row]) - self.items, row - self.items)
        return out | np.isin(self.of, away)

    def _given_away(self, row: int, items: list[tuple[int, float]], same: dict[int, list[int]]) -> None:
        """A row is near to these items, and so to all that are the `same`."""
        for item, jaccard in items:
            for copy in same[item]:
                self.benchmarks.add(row - self.items, copy, jaccard=jaccard)

    def _tell(self, crew: Crew, fixed: int, out: "NDArray[np.bool_]", pairs: PairsSeen) -> None:
        for one, other, shared in every_pair(crew, first=fixed, high=len(self.met), out=out):
            pairs(self.of[one] - self.items, self._away(self.of[other]), self._jaccard(one, other, shared))
        copy = np.flatnonzero((self.first != np.arange(self.rows)) & (self.first >= self.items))
        pairs(copy - self.items, self.first[copy] - self.items, np.ones(len(copy)))

    def _away(self, rows: "Rows") -> "Rows":
        """Rows of the run as those of the source; stored ones stay as they are."""
        return np.where(rows < 0, rows, rows - self.items)

    def found(self) -> Found:
        """What to remove: what was found of the first of all copies goes for each of them."""
        twin, jaccard = np.full(self.rows, KEPT), np.ones(self.rows)
        twin[self.of[self.gone]] = self._away(self.of[self.twin[self.gone]])
        jaccard[self.of[self.gone]] = self.jaccard
        known = np.flatnonzero(self.known >= 0)
        twin[known] = self.known[known] - self.stored.rows
        copies = self.first != np.arange(self.rows)
        original = self.first[copies]
        exact = np.zeros(self.rows, bool)
        exact[known] = True
        exact[copies] = (twin[original] == KEPT) | exact[original]
        twin[copies] = np.where(twin[original] == KEPT, original - self.items, twin[original])
        jaccard[copies] = jaccard[original]
        given = np.zeros(self.rows, bool)
        for row, hit in self.benchmarks.worst().items():
            given[row + self.items] = True
            twin[row + self.items], jaccard[row + self.items] = hit.item, hit.jaccard
        removed = np.flatnonzero(twin[self.items :] != KEPT) + self.items
        return Found(
            row=removed - self.items,
            twin=twin[removed],
            jaccard=jaccard[removed],
            exact=exact[removed],
            contaminated=given[removed],
            keys=self.keys,
            kernel=self.kernel.name,
            candidates=len(self.met),
            longest_run=self.met.longest_run,
        )


def find(
    source: Source,
    scheme: Scheme,
    *,
    mode: Mode = "leader",
    kernel: Kernel | None = None,
    threads: int | None = None,
    order: Order = lambda keys, items: None,
    stored: Earlier | None = None,
    benchmarks: Benchmarks | None = None,
    folder: Path | None = None,
    pairs: PairsSeen | None = None,
    say: Say = lambda what, done, of: None,
) -> Found:
    """Which texts of a source repeat one before them (in `order`), a `stored` one, or an evaluation item.

    `folder` keeps what an interrupted run has read; `say` is told (what, how many, of how many). Same result with any
    kernel and any number of threads. Raises ValueError for a mode that cannot be had with stored texts.
    """
    if mode == "cluster" and stored is not None and stored.rows:
        raise ValueError("cluster mode joins texts across releases: it takes no index")
    search = Search(
        source=source,
        scheme=scheme,
        kernel=kernel or kernel_for("auto", source.rows * 100),
        threads=threads or len(os.sched_getaffinity(0)),
        benchmarks=benchmarks or Benchmarks([]),
        stored=stored or NothingEarlier(),
        indexed=stored is not None,
        say=say,
    )
    search.sign(folder)
    search.meet(order)
    search.load()
    search.decide(mode, pairs)
    return search.found()
