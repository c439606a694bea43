"""A growing index of texts that answers: is there one like this already? And the clusters of a few texts in memory.

index = NearIndex(0.8)
index.add("row 1", "孩子发烧三天怎么办")
index.nearest("孩子发烧三天，怎么办？")  # Nearest(key='row 1', score=1.0)
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from builders.engine.dedup.scheme import SHORT_NGRAM, Scheme
from builders.engine.filters import Nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NEWEST = 1024
"""Texts that are looked through one by one before they are sorted in."""


class NearIndex:
    """Texts let through so far, and the nearest of them to a new one; see Scheme for how texts are compared."""

    def __init__(self, threshold: float, *, ngram: int = SHORT_NGRAM) -> None:

        self.threshold = threshold
        self._scheme = Scheme(threshold, ngram)
        self._names: list[str] = []
        self._grams, self._ends = _Growing(), [0]
        self._newest = _Growing()
        self._sorted: list[_Sorted] = []
        self._signed: tuple[str, _Signed] | None = None

    def nearest(self, text: str) -> Nearest:
        """The most similar text at or above the threshold, with its exact Jaccard; ("", 0.0) when there is none."""
        return min(self.twins(text), key=lambda near: (-near.score, near.key), default=Nearest("", 0.0))

    def twins(self, text: str) -> list[Nearest]:
        """Every text at or above the threshold, by key."""
        import numpy as np

        signed, found = self._sign(text), []
        for row in self._met(signed.keys):
            stored = self._grams.all[self._ends[row] : self._ends[row + 1]]
            shared = len(np.intersect1d(stored, signed.grams, assume_unique=True))
            either = len(stored) + len(signed.grams) - shared
            ratio = self._scheme.ratio
            if shared * ratio.denominator >= ratio.numerator * either:
                found.append(Nearest(self._names[row], shared / either))
        return sorted(found)

    def add(self, key: str, text: str) -> None:
        """Let a text through."""
        signed = self._sign(text)
        self._names.append(key)
        self._grams.append(signed.grams)
        self._ends.append(self._ends[-1] + len(signed.grams))
        self._newest.append(signed.keys)
        if len(self._newest.all) == NEWEST * len(signed.keys):
            self._sort_in()

    def _met(self, keys: "NDArray[np.uint64]") -> list[int]:
        """Rows that share a band's key."""
        import numpy as np

        newest = self._newest.all.reshape(-1, len(keys))
        first = len(self._names) - len(newest)
        rows = set((np.flatnonzero((newest == keys).any(axis=1)) + first).tolist())
        return sorted(rows.union(*(some.rows_of(keys).tolist() for some in self._sorted)))

    def _sort_in(self) -> None:
        """Sort the newest in, and join pieces so that each is larger than all after it: few to look through."""
        import numpy as np

        keys, bands = self._newest.all, self._scheme.bands[0]
        rows = np.repeat(np.arange(len(self._names) - NEWEST, len(self._names), dtype=np.uint32), bands)
        piece = _Sorted.of(keys, rows)
        while self._sorted and len(self._sorted[-1].keys) <= len(piece.keys):
            last = self._sorted.pop()
            piece = _Sorted.of(np.concatenate((last.keys, piece.keys)), np.concatenate((last.rows, piece.rows)))
        self._sorted.append(piece)
        self._newest = _Growing()

    def _sign(self, text: str) -> "_Signed":
        if self._signed is None or self._signed[0] != text:  # a text is looked up, and added right after
            self._signed = (text, _signed(text, self._scheme))
        return self._signed[1]


class _Signed(NamedTuple):
    grams: "NDArray[np.uint64]"
    """Hashes of the n-grams, each once and ascending."""
    keys: "NDArray[np.uint64]"
    """(bands,): band << 40 | key."""


class _Sorted(NamedTuple):
    """Keys of many texts, ascending, and whose each is."""

    keys: "NDArray[np.uint64]"
    rows: "NDArray[np.uint32]"

    @classmethod
    def of(cls, keys: "NDArray[np.uint64]", rows: "NDArray[np.uint32]") -> "_Sorted":
        order = keys.argsort()
        return cls(keys[order], rows[order])

    def rows_of(self, keys: "NDArray[np.uint64]") -> "NDArray[np.uint32]":
        import numpy as np

        low, high = self.keys.searchsorted(keys), self.keys.searchsorted(keys, side="right")
        return np.concatenate([self.rows[start:end] for start, end in zip(low, high, strict=True)])


class _Growing:
    """An array of uint64 that grows at its end."""

    def __init__(self) -> None:
        import numpy as np

        self._room: NDArray[np.uint64] = np.empty(1024, np.uint64)
        self._used = 0

    @property
    def all(self) -> "NDArray[np.uint64]":
        return self._room[: self._used]

    def append(self, more: "NDArray[np.uint64]") -> None:
        import numpy as np

        end = self._used + len(more)
        if end > len(self._room):
            self._room = np.concatenate((self.all, np.empty(end, self._room.dtype)))
        self._room[self._used : end] = more
        self._used = end


def _signed(text: str, scheme: Scheme) -> _Signed:
    import numpy as np

    from builders.engine.dedup.kernel import EMPTY, Folded
    from builders.engine.dedup.numpy_kernel import band_keys, gram_sets, text_grams

    letters = np.frombuffer(scheme.folding.text(text).encode("utf-32-le", "surrogatepass"), np.uint32)
    points = letters if len(letters) else np.array([EMPTY], np.uint32)
    folded = Folded(points, np.array([0, len(points)]), np.zeros(0, np.int64))
    hashes, _ = text_grams(folded, scheme, np.uint32)
    a, b = scheme.permuting
    signature = (hashes[:, None] * a + b).min(axis=0, keepdims=True)
    keys = band_keys(signature, scheme)[:, 0]
    return _Signed(gram_sets(folded, scheme)[0], np.arange(len(keys), dtype=np.uint64) << np.uint64(40) | keys)


def clusters(texts: Iterable[tuple[str, str]], threshold: float, *, ngram: int = SHORT_NGRAM) -> dict[str, str]:
    """Connected components of (key, text) pairs at or above the threshold: each key to the first key of its component."""
    from builders.engine.dedup.find import find
    from builders.engine.dedup.texts import Listed

    keys, listed, known = list[str](), list[str](), set[str]()
    for key, text in texts:
        if key in known:
            raise ValueError(f"two texts have the key {key!r}")
        known.add(key)
        keys.append(key)
        listed.append(text)
    found = find(Listed(listed), Scheme(threshold, ngram), mode="cluster")
    first = {keys[row]: keys[twin] for row, twin in zip(found.row.tolist(), found.twin.tolist(), strict=True)}
    return {key: first.get(key, key) for key in keys}
