"""How many rows of each data set a model sees, and in which order: numbers only, no rows.

counts_of([300, 1000], [None, 0.25])  # [300, 100]: a quarter of 400 rows is from the second set
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLOSE = 1e-9
"""Shares are decimal fractions, which floating-point numbers miss by less."""


class Share(NamedTuple):
    """What became of a share that was asked for."""

    name: str
    asked: float
    got: float
    """Its part of the rows that are trained on."""
    passes: int
    """Times that its most used row stands among them."""

    def told(self) -> str:
        """Part of a line."""
        repeated = f", rows up to {self.passes:,} times" if self.passes > 1 else ""
        return f"{self.name} {self.asked:.1%} asked, {self.got:.1%} got{repeated}"


class Mix(NamedTuple):
    """An order of training rows; `rows[i]` of set `sets[i]` is the i-th."""

    sets: "NDArray[np.int32]"
    """(total,): which data set."""
    rows: "NDArray[np.int64]"
    """(total,): number of the row in it, from 0."""


def mixed(sizes: Sequence[int], counts: Sequence[int], seed: int) -> Mix:
    """A shuffled order in which each set stands with so many rows, drawn without replacement.

    A set with too few of them gives whole passes and a draw.
    """
    import numpy as np

    starts = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    rng = np.random.default_rng(seed)
    drawn = [start + _drawn(size, count, rng) for start, size, count in zip(starts, sizes, counts, strict=False)]
    order = np.concatenate([*drawn, np.zeros(0, np.int64)])
    rng.shuffle(order)
    sets = np.zeros(len(order), np.int32)
    for start in starts[1:-1]:
        sets += order >= start
    order -= starts.take(sets)
    return Mix(sets, order)


def counts_of(sizes: Sequence[int], shares: Sequence[float | None]) -> list[int]:
    """Rows that each set gives, repeats counted: one without a share each of its own once, one with a share fills it.

    A share is of all rows together. When every set has one, the rows are as many as can be without a repeat. Raises
    ValueError for shares that cannot be had.
    """
    told = [share for share in shares if share is not None]
    if len(told) == len(shares):
        return _without_repeats(sizes, told)
    rest = 1 - math.fsum(told)
    if rest < CLOSE:
        raise ValueError(f"the shares add up to {1 - rest:g}; nothing is left for the data sets without one")
    once = sum(size for size, share in zip(sizes, shares, strict=True) if share is None)
    return [size if share is None else round(share / rest * once) for size, share in zip(sizes, shares, strict=True)]


def _without_repeats(sizes: Sequence[int], shares: Sequence[float]) -> list[int]:
    if shares and abs(math.fsum(shares) - 1) > CLOSE:
        raise ValueError(f"every data set has a share, and they add up to {math.fsum(shares):g}, not to 1")
    total = min((math.floor(size / share + CLOSE) for size, share in zip(sizes, shares, strict=True)), default=0)
    return [min(size, round(share * total)) for size, share in zip(sizes, shares, strict=True)]


def _drawn(size: int, count: int, rng: "np.random.Generator") -> "NDArray[np.int64]":
    """`count` of the numbers below `size`: all of them as often as they fit, then a draw without replacement."""
    import numpy as np

    if not size:
        return np.zeros(0, np.int64)
    passes, more = divmod(count, size)
    whole = np.tile(np.arange(size, dtype=np.int64), passes)
    return np.concatenate((whole, rng.choice(size, more, replace=False, shuffle=False)))
