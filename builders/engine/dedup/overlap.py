"""What a text and an evaluation item have in common: shared 13-character n-grams, and the longest span of them.

MinHash finds texts that are alike as a whole; an exam question inside a long answer is found here. 13-grams are GPT-3's
measure (Brown et al. 2020, appendix C), a span of 64 characters is Med-PaLM 2's (Singhal et al. 2023).
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from builders.engine.dedup.kernel import Folded
from builders.engine.dedup.numpy_kernel import text_grams
from builders.engine.dedup.scheme import Scheme

if TYPE_CHECKING:
    from numpy.typing import NDArray

NGRAM = 13
SPAN = 64
"""Characters in a row that a text must not share with an evaluation item."""
COVERED = 0.5
"""Share of an evaluation item's 13-grams that a text must not hold."""
TOP_BITS = 23
"""Size of the table that most n-grams are ruled out by: 8 MB, which a core's cache holds."""


class Overlap(NamedTuple):
    """What a text shares with an item."""

    text: int
    item: int
    covered: float
    """Share of the item's 13-grams that the text holds."""
    span: int
    """Characters of the longest span that both hold."""

    @property
    def contaminated(self) -> bool:
        """Whether the text gives the item away."""
        return self.span >= SPAN or self.covered >= COVERED


class Overlaps:
    """The 13-grams of evaluation items; an item shorter than one has none."""

    def __init__(self, items: Folded, folding_scheme: Scheme) -> None:
        self._scheme = Scheme(ngram=NGRAM, folding=folding_scheme.folding)
        self._room = np.maximum(np.diff(items.offsets) - NGRAM + 1, 0)
        grams, starts = text_grams(items, self._scheme, np.uint64)
        item = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(grams)))
        place = np.arange(len(grams)) - starts[item]
        order = np.argsort(grams, kind="stable")
        order = order[self._room[item[order]] > 0]
        self._grams, self._item, self._place = grams[order], item[order], place[order]
        short, _ = text_grams(items, self._scheme, np.uint32)
        self._short = np.unique(short[np.sort(order)])
        self._top = np.zeros(1 << TOP_BITS, bool)
        self._top[self._short >> np.uint32(32 - TOP_BITS)] = True

    def look(self, folded: Folded) -> "NDArray[np.bool_]":
        """(n,): which texts share a 13-gram with an item; of a thousand n-grams one or none is mistaken for one."""
        count = len(folded.offsets) - 1
        suspect = np.zeros(count, bool)
        if len(self._short):
            grams, starts = text_grams(folded, self._scheme, np.uint32)
            likely = np.flatnonzero(self._top[grams >> np.uint32(32 - TOP_BITS)])
            found = np.searchsorted(self._short, grams[likely])
            hit = likely[self._short[np.minimum(found, len(self._short) - 1)] == grams[likely]]
            suspect[np.searchsorted(starts, hit, side="right") - 1] = True
        return suspect

    def of(self, folded: Folded) -> list[Overlap]:
        """Every overlap of these texts with an item, by text and item."""
        grams, starts = text_grams(folded, self._scheme, np.uint64)
        low, high = (np.searchsorted(self._grams, grams, side=side) for side in ("left", "right"))
        many = high - low
        at = np.repeat(np.arange(len(grams)), many)
        which = np.arange(len(at)) + np.repeat(low - np.cumsum(many) + many, many)
        text = np.searchsorted(starts, at, side="right") - 1
        place, item, there = at - starts[text], self._item[which], self._place[which]
        order = np.lexsort((place, place - there, item, text))
        text, place, item, there = text[order], place[order], item[order], there[order]
        pair = (np.diff(text, prepend=-1) != 0) | (np.diff(item, prepend=-1) != 0)
        broken = pair | (np.diff(place, prepend=-1) != 1) | (np.diff(there, prepend=-1) != 1)
        run = np.cumsum(broken) - 1
        spans = np.bincount(run) + NGRAM - 1 if len(run) else run
        pairs = np.flatnonzero(pair)
        longest = np.maximum.reduceat(spans[run], pairs) if len(pairs) else pairs
        number = np.cumsum(pair) - 1
        covered = np.bincount(np.unique(np.stack((number, there)), axis=1)[0], minlength=len(pairs))
        return [
            Overlap(int(text[first]), int(item[first]), int(held) / int(self._room[item[first]]), int(span))
            for first, held, span in zip(pairs, covered, longest, strict=True)
        ]
