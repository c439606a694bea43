"""Texts that stand both in training and in an evaluation set, or are near-duplicates of one another there.

    shared(training_texts, {"validation": validation_texts})  # [] when nothing leaks

Near-duplicates are told as everywhere in the project: candidates by MinHash bands, then the exact Jaccard similarity of
the 5-character shingles of the folded text. Training texts are read once and let go; the evaluation sets stay in memory.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from builders.engine.dedup.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from builders.engine.dedup.kernel import Folded, Kernel

JACCARD = 0.8
"""Exact similarity of whole conversations from which one gives the other away."""
BATCH = 4096
"""Texts that a thread compares at a time."""
SHOWN = 24
"""Characters of an opening that a message shows."""


class Text(NamedTuple):
    """A conversation, and where it stands."""

    place: str
    """E.g. build/set: dialogues/train row 12."""
    cluster: str
    """Of its provenance; empty when there is none."""
    opening: str
    """What the patient says first; shown, so that a reader recognises the pair."""
    whole: str
    """All that is said."""
    release: str = ""
    """Name of the release that the cluster is one of: keys of clusters mean nothing across releases."""


class Leak(NamedTuple):
    """A text that an evaluation set holds too; of several alike the nearest."""

    place: str
    held: str
    """Place of the evaluation text."""
    among: str
    """Name of its set."""
    similarity: float
    """Exact Jaccard of the whole conversations."""
    cluster: bool
    """Both are of one near-duplicate cluster, by which splits are cut."""
    opening: str

    def told(self) -> str:
        """One line."""
        shown = self.opening[:SHOWN] + "…" * (len(self.opening) > SHOWN)
        alike = f"Jaccard {self.similarity:.2f}" + ", one cluster" * self.cluster
        return f"{self.place} = {self.among}, {self.held} ({alike}: {shown!r})"


def shared(train: Iterable[Text], held: Mapping[str, Iterable[Text]]) -> list[Leak]:
    """Every training text that an evaluation set holds too, then every text of such a set that a later one holds.

    A text leaks when it is of the same cluster of the same release, or at Jaccard 0.8 or more.
    """
    sets = {name: list(texts) for name, texts in held.items()}
    if not any(sets.values()):
        return []
    index = _Held(sets)
    leaks = index.leaks_of(train)
    for number, texts in enumerate(sets.values()):
        leaks += index.leaks_of(texts, after=number)
    return leaks


class _Held:
    """All evaluation sets, by cluster and by the keys of their bands."""

    def __init__(self, sets: Mapping[str, Sequence[Text]]) -> None:
        import numpy as np

        from builders.engine.dedup.kernel import WORTH_LOADING, kernel_for

        self._scheme = Scheme(JACCARD)
        self._kernel: Kernel = kernel_for("auto", WORTH_LOADING)
        self._texts = [text for texts in sets.values() for text in texts]
        self._names = list(sets)
        self._set_of = np.repeat(np.arange(len(sets)), [len(texts) for texts in sets.values()])
        self._of_cluster: dict[tuple[str, str], list[int]] = {}
        for row, text in enumerate(self._texts):
            if text.cluster:
                self._of_cluster.setdefault((text.release, text.cluster), []).append(row)
        folded = self._fold(self._texts)
        self._grams = self._gram_sets(folded)
        keys = self._keys(folded)
        self._order = [np.argsort(band, kind="stable") for band in keys]
        self._sorted = [band[order] for band, order in zip(keys, self._order, strict=True)]

    def leaks_of(self, texts: Iterable[Text], *, after: int = -1) -> list[Leak]:
        """Of these texts those that a set after number `after` holds too."""
        threads = len(os.sched_getaffinity(0))
        found: list[Leak] = []
        with ThreadPoolExecutor(threads) as pool:
            for window in _windows(texts, threads):
                for leaks in pool.map(lambda batch: self._leaks(batch, after), window):
                    found += leaks
        return found

    def _leaks(self, texts: Sequence[Text], after: int) -> list[Leak]:
        met: dict[int, set[int]] = {}
        for row, other in self._met(texts):
            met.setdefault(row, set()).add(other)
        same = {row: set(self._of_cluster.get((text.release, text.cluster), ())) for row, text in enumerate(texts)}
        rows = sorted(met.keys() | {row for row, others in same.items() if others})
        grams = self._gram_sets(self._fold([texts[row] for row in rows])) if rows else []
        leaks = []
        for row, own in zip(rows, grams, strict=True):
            others = {other for other in met.get(row, set()) | same[row] if self._set_of[other] > after}
            if leak := self._nearest(texts[row], own, others, same[row]):
                leaks.append(leak)
        return leaks

    def _nearest(self, text: Text, grams: "NDArray[np.uint64]", others: set[int], same: set[int]) -> Leak | None:
        """The leak to the most similar of the texts that are of one cluster with it, or near enough."""
        import numpy as np

        ratio, best = self._scheme.ratio, None
        for other in sorted(others):
            common = len(np.intersect1d(grams, self._grams[other], assume_unique=True))
            either = len(grams) + len(self._grams[other]) - common
            near = common * ratio.denominator >= ratio.numerator * either
            if (near or other in same) and (best is None or common / either > best.similarity):
                held, name = self._texts[other], self._names[self._set_of[other]]
                best = Leak(text.place, held.place, name, common / either, other in same, text.opening)
        return best

    def _met(self, texts: Sequence[Text]) -> Iterator[tuple[int, int]]:
        """(text, evaluation text) of all that share the key of a band."""
        import numpy as np

        for band, keys in enumerate(self._keys(self._fold(texts))):
            held, order = self._sorted[band], self._order[band]
            low, high = held.searchsorted(keys), held.searchsorted(keys, side="right")
            for row in np.flatnonzero(high > low).tolist():
                for other in order[low[row] : high[row]].tolist():
                    yield row, other

    def _fold(self, texts: Sequence[Text]) -> "Folded":
        from builders.engine.dedup import arrow
        from builders.engine.dedup.kernel import fold

        return fold(self._kernel, arrow.texts([text.whole for text in texts]), self._scheme.folding)

    def _keys(self, folded: "Folded") -> "NDArray[np.uint64]":
        """uint64 (bands, n)."""
        import numpy as np

        signs = self._kernel.sign(folded, self._scheme)
        return signs.high.astype(np.uint64) << np.uint64(8) | signs.low

    def _gram_sets(self, folded: "Folded") -> "list[NDArray[np.uint64]]":
        import numpy as np

        from builders.engine.dedup.numpy_kernel import gram_sets

        grams, offsets = gram_sets(folded, self._scheme)
        return np.split(grams, offsets[1:-1])


def _windows(texts: Iterable[Text], threads: int) -> Iterator[list[list[Text]]]:
    """The texts in batches, as many at once as there are threads."""
    rest = iter(texts)
    while window := [batch for _ in range(threads) if (batch := list(islice(rest, BATCH)))]:
        yield window
