"""A growing index of texts that answers: is there one like this already?

Texts are compared as sets of character n-grams, folded (NFKC, case) and without punctuation; a text shorter than one
n-gram is a set of one. datasketch's bands only nominate candidates; the verdict is the exact Jaccard similarity.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from builders.engine.filters import Nearest, fold

if TYPE_CHECKING:
    from datasketch import MinHash

PERMUTATIONS = 128
NGRAM = 3
"""Characters a shingle, for instructions and first turns."""


def shingles(text: str, ngram: int = NGRAM) -> frozenset[str]:
    """The character n-grams of a text; never empty."""
    letters = re.sub(r"[\W_]+", "", fold(text))
    return frozenset(letters[at : at + ngram] for at in range(max(1, len(letters) - ngram + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """|A ∩ B| / |A ∪ B|."""
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def bands_for(threshold: float, permutations: int = PERMUTATIONS, *, recall: float = 0.99) -> tuple[int, int]:
    """The most rows a band, in as many bands as fit, that still find a pair at the threshold with this probability.

    A pair at Jaccard s meets in a band of r rows with probability s^r, in any of b bands with 1 - (1 - s^r)^b. At 0.8
    and 128 permutations: 21 bands of 6 rows, 0.998.
    """
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= recall:
            return bands, rows
    return permutations, 1


class NearIndex:
    """Texts let through so far, and the nearest of them to a new one."""

    def __init__(self, threshold: float, *, ngram: int = NGRAM) -> None:
        from datasketch import MinHashLSH

        if not 0 < threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {threshold}")
        self.threshold = threshold
        self._ngram = ngram
        self._sets: dict[str, frozenset[str]] = {}
        self._lsh = MinHashLSH(num_perm=PERMUTATIONS, params=bands_for(threshold))

    def nearest(self, text: str) -> Nearest:
        """The most similar text at or above the threshold, with its exact Jaccard; ("", 0.0) when there is none."""
        return min(self.twins(text), key=lambda near: (-near.score, near.key), default=Nearest("", 0.0))

    def twins(self, text: str) -> list[Nearest]:
        """Every text at or above the threshold, by key."""
        grams, signature = _signed(text, self._ngram)
        scored = [Nearest(key, jaccard(grams, self._sets[key])) for key in self._lsh.query(signature)]
        return sorted(near for near in scored if near.score >= self.threshold)

    def add(self, key: str, text: str) -> None:
        """Let a text through."""
        grams, signature = _signed(text, self._ngram)
        self._sets[key] = grams
        self._lsh.insert(key, signature)


def clusters(texts: Iterable[tuple[str, str]], threshold: float, *, ngram: int = NGRAM) -> dict[str, str]:
    """Connected components of (key, text) pairs at or above the threshold: each key to the first key of its component."""
    index = NearIndex(threshold, ngram=ngram)
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    order: dict[str, int] = {}
    for number, (key, text) in enumerate(texts):
        if key in parent:
            raise ValueError(f"two texts have the key {key!r}")
        parent[key], order[key] = key, number
        for twin in index.twins(text):
            first, second = sorted((root(key), root(twin.key)), key=order.__getitem__)
            parent[second] = first
        index.add(key, text)
    return {key: root(key) for key in parent}


@lru_cache(maxsize=4)  # a text is looked up, and added right after
def _signed(text: str, ngram: int) -> tuple[frozenset[str], "MinHash"]:
    from datasketch import MinHash

    grams = shingles(text, ngram)
    signature = MinHash(num_perm=PERMUTATIONS)
    signature.update_batch([gram.encode("utf-8", "surrogatepass") for gram in grams])
    return grams, signature
