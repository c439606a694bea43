"""How many rows of each data set a model sees, which ones, and in which order: numbers only, no rows.

mixed([300, 1000], [None, 0.25], seed=0).counts  # (300, 100): a quarter of 400 rows is from the second set
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLOSE = 1e-9
"""Shares are decimal fractions, which floating-point numbers miss by less."""


class Mix(NamedTuple):
    """An order of training rows; `rows[i]` of set `sets[i]` is the i-th."""

    sets: "NDArray[np.int32]"
    """(total,): which data set."""
    rows: "NDArray[np.int64]"
    """(total,): number of the row in it, from 0."""
    counts: tuple[int, ...]
    """Rows of each set, repeats counted."""
    repeats: tuple[int, ...]
    """Times that the most used row of each set stands in the order; 0 where none does."""


def mixed(sizes: Sequence[int], shares: Sequence[float | None], seed: int) -> Mix:
    """A shuffled order in which every row of a set without a share stands once, and a set with one fills it.

    A share is of all rows of the order. Rows are drawn without replacement; a set with too few of them gives whole
    passes and a draw. When every set has a share, the order is the longest that repeats no row. Raises ValueError for
    shares that cannot be had.
    """
    import numpy as np

    counts = counts_of(sizes, shares)
    starts = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
    rng = np.random.default_rng(seed)
    drawn = [start + _drawn(size, count, rng) for start, size, count in zip(starts, sizes, counts, strict=False)]
    order = np.concatenate([*drawn, np.zeros(0, np.int64)])
    rng.shuffle(order)
    sets = np.zeros(len(order), np.int32)
    for start in starts[1:-1]:
        sets += order >= start
    order -= starts.take(sets)
    repeats = [-(-count // size) if size else 0 for size, count in zip(sizes, counts, strict=True)]
    return Mix(sets, order, tuple(counts), tuple(repeats))


def counts_of(sizes: Sequence[int], shares: Sequence[float | None]) -> list[int]:
    """Rows that each set gives, repeats counted."""
    told = [share for share in shares if share is not None]
    if any(share is not None and not size for size, share in zip(sizes, shares, strict=True)):
        raise ValueError("a data set with a share has no rows to draw")
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
