"""Texts of earlier releases that a search compares its own with, without reading all of them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Rows = NDArray[np.integer[Any]]


class Earlier(Protocol):
    """Texts of earlier releases, all of them kept, known by their keys."""

    rows: int

    def leave_out(self, text: "NDArray[np.uint64]") -> None:
        """Forget what a run on the same texts, by their hashes, has added: they are no copies of themselves."""
        ...

    def sharing(self, band: int, keys: "NDArray[np.uint64]") -> "tuple[NDArray[np.uint64], NDArray[np.int64]]":
        """(key, row) of those that have one of these ascending keys in a band."""
        ...

    def copies(self, text: "NDArray[np.uint64]", length: "NDArray[np.uint32]") -> "Rows":
        """For each text, by its hash and length, the row that is the same; -1 where there is none."""
        ...

    def lengths(self, rows: "Rows") -> "NDArray[np.uint32]":
        """Characters of the folded texts of these rows."""
        ...

    def chosen(self, rows: "Rows") -> "Iterator[tuple[int, pa.LargeStringArray]]":
        """(place in `rows`, texts from there on) of these ascending rows."""
        ...


class NothingEarlier:
    """No earlier release."""

    rows = 0

    def leave_out(self, text: "NDArray[np.uint64]") -> None:
        """Nothing to forget."""

    def sharing(self, band: int, keys: "NDArray[np.uint64]") -> "tuple[NDArray[np.uint64], NDArray[np.int64]]":
        """None."""
        return keys[:0], np.zeros(0, np.int64)

    def copies(self, text: "NDArray[np.uint64]", length: "NDArray[np.uint32]") -> "Rows":
        """None."""
        return np.full(len(text), -1)

    def lengths(self, rows: "Rows") -> "NDArray[np.uint32]":
        """None."""
        return np.zeros(0, np.uint32)

    def chosen(self, rows: "Rows") -> "Iterator[tuple[int, pa.LargeStringArray]]":
        """None."""
        yield from ()
