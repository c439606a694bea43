"""How texts are compared: n-grams, permutations, bands, and the probability that a pair meets in one.

    Scheme(threshold=0.8).bands  # (21, 6)

Signatures are those of `datasketch.MinHash(num_perm, scheme="affine32")` fed with the same 32-bit hashes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from builders.engine.dedup.folding import Folding

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERMUTATIONS = 128
SHORT_NGRAM, LONG_NGRAM = 3, 5
"""Characters a shingle: for instructions and first turns; for answers and dialogues."""
LONGEST_NGRAM = 64
RECALL = 0.99
"""Probability with which a pair right at the threshold must meet in a band."""
KEY_BITS = 40
"""Bits of a band's key: at 26 million texts 32 bits would make four million texts candidates by chance."""

FORMAT = 1
"""Of keys and hashes that are stored: another one when the same text gets others."""
SEED = 1
"""datasketch's default."""
MIX_32 = (0x85EBCA6B, 0xC2B2AE35)
MIX_64 = (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53)
"""Multipliers of MurmurHash3's finalisers."""
KEY_MIX = 0x9FB21C651E98DF25
GOLDEN = 0x9E3779B97F4A7C15


def found(jaccard: float, bands: int, rows: int) -> float:
    """1 - (1 - s^r)^b: the probability that a pair this alike meets in a band (Leskovec et al., eq. 3.4.2)."""
    return float(1 - (1 - jaccard**rows) ** bands)


def bands_for(threshold: float, permutations: int = PERMUTATIONS, *, recall: float = RECALL) -> tuple[int, int]:
    """The most rows a band, in as many bands as fit, that still find a pair at the threshold with this probability.

    More rows a band mean fewer pairs that meet by chance: the cheapest choice. At 0.8 and 128 permutations: 21 bands of
    6 rows, 0.998. (datasketch balances false positives against misses instead, and takes 9 of 13, which find 0.40.)
    """
    for rows in range(permutations, 0, -1):
        bands = permutations // rows
        if found(threshold, bands, rows) >= recall:
            return bands, rows
    return permutations, 1


@dataclass(frozen=True)
class Scheme:
    """Everything that decides which texts are near-duplicates; equal schemes give equal signatures and keys."""

    threshold: float = 0.8
    ngram: int = LONG_NGRAM
    permutations: int = PERMUTATIONS
    recall: float = RECALL
    folding: Folding = field(default_factory=Folding, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold must be in (0, 1], got {self.threshold}")
        if not 1 <= self.ngram <= LONGEST_NGRAM:
            raise ValueError(f"ngram must be from 1 to {LONGEST_NGRAM}, got {self.ngram}")
        if not 8 <= self.permutations <= 1024:
            raise ValueError(f"permutations must be from 8 to 1024, got {self.permutations}")

    @cached_property
    def bands(self) -> tuple[int, int]:
        """(bands, rows a band)."""
        return bands_for(self.threshold, self.permutations, recall=self.recall)

    @cached_property
    def ratio(self) -> Fraction:
        """The threshold as a fraction, so that the verdict compares whole numbers: 0.8 is 4/5, not 0.8000…0444."""
        return Fraction(str(self.threshold)).limit_denominator(1_000_000)

    @property
    def least_agreement(self) -> int:
        """Signature places (of 8 bits) that a pair must agree in to be worth the exact comparison: five deviations
        below what is expected at the threshold, which loses one of three million such pairs.
        """
        deviation = (self.threshold * (1 - self.threshold) / self.permutations) ** 0.5
        return max(0, int(self.permutations * (self.threshold - 5 * deviation)))

    def curve(self) -> Iterator[tuple[float, float]]:
        """(Jaccard, probability of meeting in a band), closer about the threshold."""
        near = (round(self.threshold + step / 100, 2) for step in (-10, -5, 0, 5))
        for jaccard in sorted({0.3, 0.5, 0.7, 0.9, *(point for point in near if 0 < point <= 1)}):
            yield jaccard, found(jaccard, *self.bands)

    @cached_property
    def permuting(self) -> tuple["NDArray[np.uint32]", "NDArray[np.uint32]"]:
        """(a, b), each uint32 (permutations,), of h -> a·h + b mod 2^32, drawn as datasketch draws them."""
        import numpy as np

        draw = np.random.RandomState(SEED)
        a = draw.randint(0, 1 << 31, self.permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        return a, draw.randint(0, 1 << 32, self.permutations, dtype=np.uint32)

    @cached_property
    def weights(self) -> "NDArray[np.uint64]":
        """uint64 (ngram + 1,): odd multipliers of the characters of an n-gram, and of the length of a shorter text."""
        import numpy as np

        state, drawn = GOLDEN, []
        for _ in range(self.ngram + 1):  # splitmix64
            state = (state + GOLDEN) % 2**64
            mixed = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
            mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
            drawn.append((mixed ^ mixed >> 31) | 1)
        return np.array(drawn, np.uint64)

    @property
    def fingerprint(self) -> dict[str, object]:
        """What must be equal for stored keys to be comparable."""
        bands, rows = self.bands
        return {
            "format": FORMAT,
            "threshold": self.threshold,
            "ngram": self.ngram,
            "permutations": self.permutations,
            "bands": bands,
            "rows": rows,
            "fold": list(self.folding.switches),
        }
