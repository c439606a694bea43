"""Evaluation sets that training texts must not give away, and what was found of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.engine.dedup.texts import Listed

if TYPE_CHECKING:
    import pyarrow as pa

    from builders.engine.dedup.overlap import Overlap

EXAMPLES = 5


class Benchmark(NamedTuple):
    """One evaluation set."""

    name: str
    texts: Sequence[str]
    place: Callable[[int], str]
    """Names an item, e.g. exam.csv: row 12."""


class Hit(NamedTuple):
    """A text that gives an item away, or (when it is not `removed`) shares a 13-gram with it."""

    row: int
    item: int
    jaccard: float
    """0 where it is below the threshold, and was not measured."""
    covered: float
    span: int
    removed: bool


class Benchmarks:
    """All evaluation sets of a run, their items numbered through."""

    def __init__(self, benchmarks: Sequence[Benchmark]) -> None:
        self._benchmarks = benchmarks
        self._of = [(number, at) for number, one in enumerate(benchmarks) for at in range(len(one.texts))]
        self._listed = Listed([text for one in benchmarks for text in one.texts])
        self.rows = self._listed.rows
        self._hits: dict[int, dict[int, Hit]] = {}

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All items from `start` on."""
        return self._listed.texts(start)

    def add(self, row: int, item: int, *, jaccard: float = 0.0, overlap: "Overlap | None" = None) -> None:
        """A text met an item: near to it, sharing n-grams with it, or both."""
        before = self._hits.setdefault(row, {}).get(item) or Hit(row, item, 0.0, 0.0, 0, removed=False)
        removed = before.removed or jaccard > 0 or (overlap is not None and overlap.contaminated)
        covered, span = (overlap.covered, overlap.span) if overlap else (0.0, 0)
        merged = Hit(
            row, item, max(jaccard, before.jaccard), max(covered, before.covered), max(span, before.span), removed
        )
        self._hits[row][item] = merged

    def repeat(self, row: int, copy: int) -> None:
        """A copy of a row met what the row met."""
        self._hits[copy] = {item: hit._replace(row=copy) for item, hit in self._hits[row].items()}

    def worst(self) -> dict[int, Hit]:
        """For every row to remove the item that it gives away most."""
        removed = {row: [hit for hit in hits.values() if hit.removed] for row, hits in self._hits.items()}
        return {row: max(hits, key=_weight) for row, hits in removed.items() if hits}

    def place(self, item: int) -> str:
        """Where an item stands."""
        number, at = self._of[item]
        return self._benchmarks[number].place(at)

    def report(self, place: Callable[[int], str]) -> list[dict[str, Any]]:
        """For each benchmark: items hit, texts removed and why, texts that only touch it, and examples."""
        of = defaultdict(list)
        hits = [hit for hits in self._hits.values() for hit in hits.values()]
        for hit in sorted(hits, key=lambda hit: (not hit.removed, *(-part for part in _weight(hit)), hit.row)):
            of[self._of[hit.item][0]].append(hit)
        return [self._of_one(number, of[number], place) for number in range(len(self._benchmarks))]

    def _of_one(self, number: int, hits: list[Hit], place: Callable[[int], str]) -> dict[str, Any]:
        from builders.engine.dedup.overlap import COVERED, SPAN

        removed = [hit for hit in hits if hit.removed]
        why: Counter[str] = Counter()
        for hit in removed:
            why["near_duplicate"] += hit.jaccard > 0
            why["holds_half_of_an_item"] += hit.covered >= COVERED
            why[f"shares_{SPAN}_characters"] += hit.span >= SPAN
        rows = {hit.row for hit in removed}
        examples = [
            {"text": place(hit.row), "item": self.place(hit.item), "jaccard": round(hit.jaccard, 4) or None}
            | {"covered": round(hit.covered, 4), "span": hit.span}
            for hit in removed[:EXAMPLES]
        ]
        return {
            "benchmark": self._benchmarks[number].name,
            "items": len(self._benchmarks[number].texts),
            "items_hit": len({hit.item for hit in removed}),
            "removed": len(rows),
            "pairs": dict(why),
            "only_touched": len({hit.row for hit in hits} - rows),
            "examples": examples,
        }


def _weight(hit: Hit) -> tuple[float, float, int, int]:
    return (hit.jaccard, hit.covered, hit.span, -hit.item)
