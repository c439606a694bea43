"""Conversations that stand both in training and in an evaluation set, or are near-duplicates of one another there.

    shared(training_texts, evaluation_texts).leaks  # [] when nothing leaks

Near-duplicates are told as everywhere in the project: candidates by MinHash bands, then the exact Jaccard similarity of
the 5-character shingles of the folded text. Training texts are read once and let go; the evaluation sets stay in memory,
equal texts once.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
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
    """E.g. build/set | dialogues/train.parquet: row 12."""
    cluster: str
    """Of its provenance; empty when there is none."""
    opening: str
    """What the patient says first; shown, so that a reader recognises the pair."""
    whole: str
    """All that is said."""
    release: str
    """What the cluster is one of: its key means nothing elsewhere, and the splits of one release may hold what is alike."""


class Leak(NamedTuple):
    """A text that an evaluation set holds too; of several alike the nearest."""

    place: str
    held: str
    """Place of the evaluation text."""
    similarity: float
    """Exact Jaccard of the whole conversations."""
    cluster: bool
    """Both are of one near-duplicate cluster, by which splits are cut."""
    opening: str

    def told(self) -> str:
        """One line."""
        shown = self.opening[:SHOWN] + "…" * (len(self.opening) > SHOWN)
        alike = f"Jaccard {self.similarity:.2f}" + ", one cluster" * self.cluster
        return f"{self.place} = {self.held} ({alike}: {shown!r})"


class Shared(NamedTuple):
    """What stands on both sides."""

    leaks: Sequence[Leak]
    """Texts of one cluster with an evaluation text, or alike to one of another release."""
    alike: frozenset[str]
    """Places of evaluation texts that are merely alike to a training text of their own release: its splits were cut by
    other words than the whole."""


def shared(train: Iterable[Text], held: Iterable[Text]) -> Shared:
    """Every training text that an evaluation set holds too, then every evaluation text that a later release's holds.

    A text leaks when it is of the same cluster of the same release, or at Jaccard 0.8 or more to one of another.
    """
    texts = list(held)
    if not texts:
        return Shared([], frozenset())
    index = _Held(texts)
    leaks = index.leaks_of(train)
    alike = index.alike
    for release in dict.fromkeys(text.release for text in texts):
        leaks += index.leaks_of((text for text in texts if text.release == release), among_later=True)
    return Shared(leaks, alike)


class _Same(NamedTuple):
    """All that matters of a text: those that agree in it leak, or do not, together."""

    release: str
    cluster: str
    whole: str


class _Held:
    """All evaluation texts, equal ones once, by cluster and by the keys of their bands."""

    def __init__(self, texts: Sequence[Text]) -> None:
        import numpy as np

        from builders.engine.dedup.kernel import WORTH_LOADING, kernel_for

        self._scheme = Scheme(JACCARD)
        self._kernel: Kernel = kernel_for("auto", WORTH_LOADING)
        self._places: dict[_Same, list[str]] = {}
        for text in texts:
            self._places.setdefault(_same(text), []).append(text.place)
        self._texts = list(self._places)
        self._release = {name: number for number, name in enumerate(dict.fromkeys(text.release for text in texts))}
        self._of_cluster: dict[tuple[str, str], int] = {}
        for row, same in enumerate(self._texts):
            if same.cluster:
                self._of_cluster.setdefault((same.release, same.cluster), row)
        self._alike = np.zeros(len(self._texts), np.bool_)
        folded = self._fold(self._texts)
        self._grams = self._gram_sets(folded)
        keys = self._keys(folded)
        self._order = [np.argsort(band, kind="stable") for band in keys]
        self._sorted = [band[order] for band, order in zip(keys, self._order, strict=True)]

    @property
    def alike(self) -> frozenset[str]:
        """Places of those that a text of their own release, of no cluster of theirs, was alike to."""
        return frozenset(
            place for text, alike in zip(self._texts, self._alike, strict=True) if alike for place in self._places[text]
        )

    def leaks_of(self, texts: Iterable[Text], *, among_later: bool = False) -> list[Leak]:
        """Of these texts those that leak; `among_later` compares them with releases that came after theirs alone."""
        threads = len(os.sched_getaffinity(0))
        found: list[Leak] = []
        with ThreadPoolExecutor(threads) as pool:
            for window in _windows(texts, threads):
                for leaks in pool.map(lambda batch: self._leaks(batch, among_later), window):
                    found += leaks
        return found

    def _leaks(self, texts: Sequence[Text], among_later: bool) -> list[Leak]:
        alike: dict[_Same, list[Text]] = {}
        for text in texts:
            alike.setdefault(_same(text), []).append(text)
        different = list(alike)
        leaks = []
        for row, grams, others in self._candidates(different):
            if among_later:
                others = {other for other in others if self._is_later(other, different[row])}
            if nearest := self._nearest(different[row], grams, others):
                other, similarity = nearest
                cluster = self._one_cluster(different[row], other)
                held = self._places[self._texts[other]][0]
                leaks += [Leak(text.place, held, similarity, cluster, text.opening) for text in alike[different[row]]]
        return leaks

    def _candidates(self, texts: Sequence[_Same]) -> Iterator[tuple[int, "NDArray[np.uint64]", set[int]]]:
        """(text, its shingles, evaluation texts that share the key of a band, or a cluster, with it)."""
        met = self._met(texts)
        for row, text in enumerate(texts):
            if (mate := self._of_cluster.get((text.release, text.cluster))) is not None:
                met.setdefault(row, set()).add(mate)
        rows = sorted(met)
        grams = self._gram_sets(self._fold([texts[row] for row in rows])) if rows else []
        for row, own in zip(rows, grams, strict=True):
            yield row, own, met[row]

    def _nearest(self, text: _Same, grams: "NDArray[np.uint64]", others: set[int]) -> tuple[int, float] | None:
        """The most similar of those that it leaks to; those that it is merely alike to are marked."""
        import numpy as np

        ratio, best = self._scheme.ratio, None
        for other in sorted(others):
            own, cluster = self._texts[other].release == text.release, self._one_cluster(text, other)
            if own and not cluster and self._alike[other]:
                continue  # told already
            common = len(np.intersect1d(grams, self._grams[other], assume_unique=True))
            either = len(grams) + len(self._grams[other]) - common
            near = common * ratio.denominator >= ratio.numerator * either
            if near and own and not cluster:
                self._alike[other] = True
            elif (near or cluster) and (best is None or common / either > best[1]):
                best = other, common / either
        return best

    def _one_cluster(self, text: _Same, other: int) -> bool:
        held = self._texts[other]
        return bool(text.cluster) and (text.release, text.cluster) == (held.release, held.cluster)

    def _is_later(self, other: int, text: _Same) -> bool:
        return self._release[self._texts[other].release] > self._release[text.release]

    def _met(self, texts: Sequence[_Same]) -> dict[int, set[int]]:
        """Text -> evaluation texts that share the key of a band with it."""
        met: dict[int, set[int]] = {}
        for band, keys in enumerate(self._keys(self._fold(texts))):
            held, order = self._sorted[band], self._order[band]
            low, high = held.searchsorted(keys), held.searchsorted(keys, side="right")
            for row in (high > low).nonzero()[0].tolist():
                met.setdefault(row, set()).update(order[low[row] : high[row]].tolist())
        return met

    def _fold(self, texts: Sequence[_Same]) -> "Folded":
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


def _same(text: Text) -> _Same:
    return _Same(text.release, text.cluster, text.whole)


def _windows(texts: Iterable[Text], threads: int) -> Iterator[list[list[Text]]]:
    """The texts in batches, as many at once as there are threads."""
    rest = iter(texts)
    while window := [batch for _ in range(threads) if (batch := list(islice(rest, BATCH)))]:
        yield window
