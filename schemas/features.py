"""Row families as tables: pydantic annotations in; Arrow, `datasets.Features` and polars schemas out.

Arrow is the hub: the other two are derived from it, so the three can never disagree.
"""

import json
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel

from schemas.base import Message, Row

if TYPE_CHECKING:
    import datasets
    import polars
    import pyarrow

R = TypeVar("R", bound=Row)


def arrow_schema(family: type[Row]) -> "pyarrow.Schema":
    """The Arrow schema of `Row.record()`, with the `huggingface` metadata that gives `load_dataset` our types."""
    schema = _bare_schema(family)
    info = {"info": {"features": features(family).to_dict()}}
    return schema.with_metadata({"huggingface": json.dumps(info)})


def features(family: type[Row]) -> "datasets.Features":
    """`datasets.Features` of a row family."""
    import datasets

    return datasets.Features.from_arrow_schema(_bare_schema(family))


def polars_schema(family: type[Row]) -> "polars.Schema":
    """The polars schema of a row family."""
    import polars

    empty = polars.from_arrow(_bare_schema(family).empty_table())
    assert isinstance(empty, polars.DataFrame)
    return empty.schema


def to_arrow(rows: Sequence[Row], family: type[Row]) -> "pyarrow.Table":
    """Rows to an Arrow table in the family's schema."""
    import pyarrow as pa

    return pa.Table.from_pylist([row.record() for row in rows], schema=arrow_schema(family))


def from_arrow(table: "pyarrow.Table", family: type[R]) -> list[R]:
    """An Arrow table back to rows, each checked against its own id."""
    return [family.from_record(record) for record in table.to_pylist()]


def _bare_schema(family: type[Row]) -> "pyarrow.Schema":
    import pyarrow as pa

    fields = [pa.field("id", pa.string())]
    fields += [pa.field(name, _arrow_type(field.annotation)) for name, field in family.model_fields.items()]
    if family.messages is not Row.messages:
        fields.append(pa.field("messages", pa.list_(_arrow_type(Message))))
    return pa.schema(fields)


def _arrow_type(annotation: Any) -> "pyarrow.DataType":
    import pyarrow as pa

    scalars = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    if annotation in scalars:
        return scalars[annotation]
    arguments = [argument for argument in get_args(annotation) if argument is not type(None)]
    if get_origin(annotation) is Literal:
        return _arrow_type(type(arguments[0]))
    if get_origin(annotation) in (Union, types.UnionType) and len(arguments) == 1:
        return _arrow_type(arguments[0])
    if get_origin(annotation) in (tuple, list):
        return pa.list_(_arrow_type(arguments[0]))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.items()
        return pa.struct([pa.field(name, _arrow_type(field.annotation)) for name, field in fields])
    raise TypeError(f"no column type for {annotation!r}")
