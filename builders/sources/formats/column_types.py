"""One type for a column over blocks and files: wider where that loses nothing, text where they disagree."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

MOST_FIELDS = 1_000
"""A column of objects with more names in it than that is a dictionary, not a record: it is kept as JSON text."""
DEEPEST = 30
"""Parquet stops at 100 levels, of which a list takes two and an object one."""
EXACT_IN_DOUBLE = 2**53


def merged(one: "pa.DataType", other: "pa.DataType") -> "pa.DataType":
    """The type that holds what both hold; `string` when there is none."""
    import pyarrow as pa

    if one == other:
        return one
    fields = [pa.schema([pa.field("", _plain(each))]) for each in (one, other)]
    try:
        both = pa.unify_schemas(fields, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.string()
    return pa.string() if intricate(both) else both


def unified(schemas: "Sequence[pa.Schema]") -> "tuple[pa.Schema, list[str]]":
    """The first schema where all are alike, otherwise one that holds them all; and the columns it makes text of."""
    import pyarrow as pa
    from pyarrow import types

    if all(schema == schemas[0] for schema in schemas):
        return schemas[0], []
    found: dict[str, pa.DataType] = {}
    mixed = dict[str, None]()
    for field in (field for schema in schemas for field in schema):
        before = found.get(field.name, field.type)
        found[field.name] = both = merged(before, field.type)
        if is_text(both) and not all(is_text(one) or types.is_null(one) for one in (before, field.type)):
            mixed[field.name] = None
    return pa.schema(found), list(mixed)


def _plain(type: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa
    from pyarrow import types

    if types.is_dictionary(type):
        return type.value_type
    if types.is_string_view(type):
        return pa.large_string()
    return pa.large_binary() if types.is_binary_view(type) else type


def is_text(type: "pa.DataType") -> bool:
    """Whether a type is text, however it is laid out."""
    from pyarrow import types

    plain = _plain(type)
    return bool(types.is_string(plain) or types.is_large_string(plain))


def leaves(type: "pa.DataType", depth: int = 0) -> Iterator[tuple["pa.DataType", int]]:
    """(type, depth) of everything in a type that holds nothing else; an object without fields among them."""
    if not type.num_fields:
        yield type, depth
    for number in range(type.num_fields):
        yield from leaves(type.field(number).type, depth + 1)


def intricate(type: "pa.DataType") -> bool:
    """Whether a type has too much in it to be columns."""
    found = list(leaves(type))
    return len(found) > MOST_FIELDS or max(depth for _, depth in found) > DEEPEST


def fitted(array: "pa.Array", type: "pa.DataType") -> "pa.Array":
    """A column as another type that holds it; raises ArrowInvalid when a value is lost that way."""
    from pyarrow import types

    if array.type == type:
        return array
    if types.is_struct(array.type) and types.is_struct(type):
        return _wider(array, type)
    if types.is_list(array.type) and types.is_list(type):
        return _longer(array, type)
    if is_text(type) and not is_text(array.type) and not types.is_null(array.type) and not types.is_binary(array.type):
        return json_texts(array.to_pylist(), type)
    return array.cast(type)


def _wider(objects: "pa.StructArray", type: "pa.StructType") -> "pa.StructArray":
    """Objects with more fields; Arrow's own cast makes arrays that are too short of slices."""
    import pyarrow as pa

    names = [field.name for field in objects.type]
    own = dict(zip(names, objects.flatten(), strict=True))
    fields = [
        fitted(own[field.name], field.type) if field.name in own else pa.nulls(len(objects), field.type)
        for field in type
    ]
    return pa.StructArray.from_arrays(fields, fields=list(type), mask=objects.is_null())


def _longer(lists: "pa.ListArray", type: "pa.ListType") -> "pa.ListArray":
    """Lists of another type."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.list_value_length(lists).fill_null(0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, fitted(lists.flatten(), type.value_type), type=type, mask=lists.is_null())


def json_texts(values: Sequence[Any], type: "pa.DataType") -> "pa.Array":
    """Texts as they are, anything else as JSON."""
    import pyarrow as pa

    return pa.array([value if value is None or isinstance(value, str) else _json(value) for value in values], type)


def _json(value: Any) -> str:
    return json.dumps(_without_nulls(value), ensure_ascii=False, default=str)


def _without_nulls(value: Any) -> Any:
    """Arrow gives every object the fields of all the others."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
