"""Which of several texts that repeat each other is kept: `first`, `longest` or `best:COLUMN`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.engine.dedup import arrow
from builders.engine.dedup.find import Order
from builders.engine.dedup.signing import Keys
from builders.sources.tables import merged_schema
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from builders.sources.tables import Table


def order_of(keep: str, tables: "Sequence[Table]", ids: str | None, *, precedence: bool) -> Order:
    """How rows are ordered, best first: (INPUT when `precedence`), what `keep` says, id, text, row.

    Without ids `first` is the order of the rows; everything else gives the same order wherever a row stands. Raises
    InputError for a column that is not there, or holds no numbers.
    """
    if keep == "first" and not ids:
        return lambda keys, items: None
    best = keep.removeprefix("best:")

    def order(keys: Keys, items: int) -> "NDArray[np.int64] | None":
        text = keys.text[items:]
        by: list[NDArray[Any]] = [np.arange(len(text)), text]
        if ids:
            places = _places(_column(tables, ids))
            if keep == "first" and not precedence and (places[1:] > places[:-1]).all():
                return None  # they stand in the order of their ids
            by.append(places)
        if keep == "longest":
            by.append(-keys.length[items:].astype(np.int64))
        elif keep != "first":
            by.append(-_numbers(_column(tables, best), best))
        if precedence:
            by.append(np.repeat(np.arange(len(tables)), [table.rows for table in tables]))
        return np.lexsort(by)

    return order


def _column(tables: "Sequence[Table]", name: str) -> "pa.ChunkedArray":
    """A column of all tables, of a type that holds those of each."""
    import pyarrow as pa

    try:
        kind = merged_schema(tables).field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        chunks = [batch.column(0).cast(kind) for table in tables for batch in table.batches([name])]
    except pa.ArrowException as wrong:
        raise InputError(f"column {name}: {wrong}") from None
    return pa.chunked_array(chunks, kind)


def _places(ids: "pa.ChunkedArray") -> "NDArray[np.integer[Any]]":
    """Numbers that order the ids; equal ids have the same."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(ids.type) and not ids.null_count:
        return arrow.as_numpy(ids)
    try:
        places = pc.rank(ids, tiebreaker="min")
    except pa.ArrowNotImplementedError:  # truth values, nothing but nulls, …
        places = pc.rank(ids.cast(pa.large_string()), tiebreaker="min")
    return arrow.as_numpy(pa.chunked_array([places]))


def _numbers(values: "pa.ChunkedArray", name: str) -> "NDArray[np.float64]":
    """The numbers of a column, the least there is for those that are missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            values = pc.if_else(pc.equal(values, ""), None, values)
        numbers: NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        raise InputError(f"--keep best:{name}: {name} holds {values.type}, not numbers") from None
    return np.nan_to_num(numbers, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
