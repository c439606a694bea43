"""Columns from JSON objects: types grow with what comes, and a column whose values disagree becomes text."""

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from builders.sources.formats.column_types import (
    EXACT_IN_DOUBLE,
    MOST_FIELDS,
    fitted,
    intricate,
    is_text,
    json_texts,
    leaves,
    merged,
)
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_COLUMNS = 2_000


class Columns:
    """The columns of one conversion so far."""

    def __init__(self, label: str) -> None:
        self.types: dict[str, pa.DataType] = {}
        self.mixed: set[str] = set()
        """Columns kept as text because their values are of different types."""
        self.label = label
        self._wide: set[str] = set()
        """Columns with an integer that a double cannot hold."""

    def expect(self, names: Iterable[str]) -> None:
        """Columns of text that are there even if no row comes."""
        import pyarrow as pa

        self.types = dict.fromkeys(names, pa.string()) | self.types

    def table_of(self, rows: list[dict[str, Any]]) -> "pa.Table":
        """Rows as a table of all columns so far, those that are new in them included."""
        import pyarrow as pa

        names = dict.fromkeys(chain(self.types, chain.from_iterable(rows)))
        if len(names) > MOST_COLUMNS:
            raise InputError(
                f"{self.label}: more than {MOST_COLUMNS:,} columns; expected one record a line, or an array of records"
            )
        found = {name: self._column(name, [row.get(name) for row in rows]) for name in names}
        for name, array in found.items():
            self._widen(name, array)
        return pa.table({name: fitted(array, self.types[name]) for name, array in found.items()})

    def _column(self, name: str, values: list[Any]) -> "pa.Array":
        import pyarrow as pa

        if name not in self.mixed:
            array = _array(values)
            if array is not None:
                return array
            self.mixed.add(name)
        return json_texts(values, pa.string())

    def _widen(self, name: str, array: "pa.Array") -> None:
        import pyarrow as pa
        from pyarrow import types

        if _widest(array) > EXACT_IN_DOUBLE:
            self._wide.add(name)
        before = self.types.get(name, array.type)
        both = merged(before, array.type)
        loses = name in self._wide and any(types.is_floating(leaf) for leaf, _ in leaves(both))
        if loses or (is_text(both) and not all(is_text(one) or types.is_null(one) for one in (before, array.type))):
            self.mixed.add(name)
        self.types[name] = pa.string() if name in self.mixed else both


def _array(values: list[Any]) -> "pa.Array | None":
    """A column of the values as they are; None when there is no type that holds them all."""
    import pyarrow as pa
    from pyarrow import types

    objects = [value for value in values if type(value) is dict]
    if objects and len(set().union(*objects)) > MOST_FIELDS:
        return None
    try:
        array = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return None
    if intricate(array.type):
        return None
    kinds = [leaf for leaf, _ in leaves(array.type)]
    if any(map(types.is_floating, kinds)) and _mixes(values, array.type):
        return None
    return pa.array([_emptied(value) for value in values]) if any(map(types.is_struct, kinds)) else array


def _mixes(values: Iterable[Any], type_: "pa.DataType") -> bool:
    """Whether true or false stands among fractions, which Arrow takes for 1 and 0."""
    from pyarrow import types

    if types.is_list(type_):
        return _mixes([each for value in values if value for each in value], type_.value_type)
    if types.is_struct(type_):
        return any(_mixes([value.get(field.name) for value in values if value], field.type) for field in type_)
    return types.is_floating(type_) and bool in set(map(type, values))


def _emptied(value: Any) -> Any:
    """Parquet has no object without fields; null stands for it."""
    if isinstance(value, dict):
        return {name: _emptied(each) for name, each in value.items()} or None
    return [_emptied(each) for each in value] if isinstance(value, list) else value


def _widest(array: "pa.Array") -> int:
    """The largest integer in a column, without its sign."""
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_list(array.type):
        return _widest(array.flatten())
    if types.is_struct(array.type):
        return max((_widest(field) for field in array.flatten()), default=0)
    if not types.is_integer(array.type):
        return 0
    return max((abs(bound) for bound in pc.min_max(array).as_py().values() if bound is not None), default=0)
