"""What a comparer does: decide which of the texts that met are near-duplicates, by exact Jaccard similarity.

A pair goes through ever dearer checks: compared before? → ratio of the sizes → agreement of the 8-bit signatures →
shared n-grams, counted on 64-bit hashes. J = shared / (one + other - shared) ≥ p/q is decided in whole numbers.
"""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from builders.engine.dedup.kernel import Folded
from builders.engine.dedup.meetings import Meetings
from builders.engine.dedup.scheme import Scheme

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Pairs(NamedTuple):
    """Pairs of candidates at or above the threshold."""

    one: "NDArray[np.int32]"
    other: "NDArray[np.int32]"
    """Stands before `one`."""
    shared: "NDArray[np.int32]"
    """n-grams that both have."""


class Among(NamedTuple):
    """Which earlier candidates a candidate is compared with: those from `low` on, below `high`, and not `out`."""

    low: int
    high: int
    out: "NDArray[np.bool_]"


class Comparer(Protocol):
    """Holds the texts of the candidates, and compares those that met.

    `slot` is the caller's thread, from 0: each has scratch memory of its own. At the beginning of every run stand the
    candidates let through by `commit`, as many as `filled` says.
    """

    filled: "NDArray[np.int32]"
    """(runs,)."""
    sizes: "NDArray[np.int32]"
    """(candidates,): distinct n-grams."""

    def put(self, slot: int, numbers: "NDArray[np.integer[Any]]", folded: Folded) -> None:
        """The texts of these candidates."""
        ...

    def first_kept(self, slot: int, first: int, end: int) -> "tuple[NDArray[np.int32], NDArray[np.int32]]":
        """(twin, shared) of candidates first … end - 1: the first one let through that each is near to, -1 when there
        is none, and the n-grams they share.
        """
        ...

    def near(self, slot: int, first: int, end: int, among: Among) -> Pairs:
        """Every near pair of a candidate in first … end - 1 with an earlier one of `among` that it met."""
        ...

    def links(self, slot: int, first: int, end: int, parent: "NDArray[np.int32]") -> Pairs:
        """Near pairs with candidates let through: for each of first … end - 1 at least one with every component (of the
        forest `parent`) that it is near to.
        """
        ...

    def forget(self) -> None:
        """Start over: nothing has been compared."""
        ...

    def commit(self, first: int, end: int, kept: "NDArray[np.bool_]") -> None:
        """Let those of first … end - 1 through that are kept."""
        ...

    def shared(self, one: "NDArray[np.integer[Any]]", other: "NDArray[np.integer[Any]]") -> "NDArray[np.int32]":
        """n-grams shared by each pair, near or not."""
        ...


def comparer(kernel: str, meetings: Meetings, lengths: "NDArray[np.uint32]", scheme: Scheme, threads: int) -> Comparer:
    """The comparer of a kernel; lengths (candidates,) are the characters of their folded texts."""
    if kernel == "compiled":
        from builders.engine.dedup.compiled_compare import CompiledComparer

        return CompiledComparer(meetings, lengths, scheme, threads)
    from builders.engine.dedup.numpy_compare import NumpyComparer

    return NumpyComparer(meetings, lengths, scheme, threads)
