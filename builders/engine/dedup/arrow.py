"""numpy arrays and Python texts as Arrow arrays, without copies, and without pandas: `pa.array` imports it when it is
there, which costs a small job a third of its time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


def numbers(array: "NDArray[Any]", *, null: "NDArray[np.bool_] | None" = None) -> "pa.Array":
    """Whole or floating-point numbers; those at `null` are null."""
    import pyarrow as pa

    valid = None if null is None else _bits(~null)
    kind = pa.from_numpy_dtype(array.dtype)
    return pa.Array.from_buffers(kind, len(array), [valid, pa.py_buffer(np.ascontiguousarray(array))])


def flags(array: "NDArray[np.bool_]") -> "pa.BooleanArray":
    """Truth values."""
    import pyarrow as pa

    return pa.Array.from_buffers(pa.bool_(), len(array), [None, _bits(array)])


def texts(values: Sequence[str]) -> "pa.LargeStringArray":
    """Texts; half an emoji, which is no UTF-8, becomes a question mark."""
    import pyarrow as pa

    whole = [value.encode("utf-8", "replace") for value in values]
    ends = np.zeros(len(whole) + 1, np.int64)
    np.cumsum([len(value) for value in whole], out=ends[1:])
    return pa.LargeStringArray.from_buffers(len(whole), pa.py_buffer(ends), pa.py_buffer(b"".join(whole)))


def as_numpy(values: "pa.ChunkedArray") -> "NDArray[Any]":
    """Numbers without nulls."""
    parts = [
        np.frombuffer(chunk.buffers()[1], chunk.type.to_pandas_dtype())[chunk.offset : chunk.offset + len(chunk)]
        for chunk in values.chunks
        if len(chunk)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _bits(array: "NDArray[np.bool_]") -> "pa.Buffer":
    import pyarrow as pa

    return pa.py_buffer(np.packbits(array, bitorder="little"))
