"""Fields of a raw row, checked as they are taken: what is wrong is a ValueError that opens with the field's name."""

import json
from collections.abc import Mapping
from typing import Any

KINDS = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}


def text(row: Mapping[str, Any], name: str) -> str:
    """The text of a field; "" when it is absent, null or blank."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a text, got {kind(value)}")
    return "" if value.isspace() else value


def id_of(row: Mapping[str, Any], name: str) -> str:
    """The id of a row as text, whatever it is written as; "" when it has none."""
    value = row.get(name)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # a column of numbers with gaps comes as fractions
    if value is None or isinstance(value, str | int):
        return "" if value is None else str(value).strip()
    raise ValueError(f"{name}: expected a text or a number, got {kind(value)}")


def objects(row: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects of a field that lists them."""
    value = row.get(name)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError(f"{name}: expected a list of objects, got {kind(value)}")
    return value


def first_text(row: Mapping[str, Any], name: str) -> str:
    """The text of a field, or the first of those that it lists, however deep; "" when there is none."""
    value = row.get(name)
    while isinstance(value, list):
        value = value[0] if value else None
    return text({name: value}, name)


def columns(row: Mapping[str, Any], *names: str) -> bool:
    """Whether a row has all of these fields, whatever is in them."""
    return all(name in row for name in names)


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return "nothing" if value is None else KINDS.get(type(value), type(value).__name__)


def shown(row: Mapping[str, Any]) -> str:
    """A raw row as it is kept when it cannot be read."""
    return json.dumps(row, ensure_ascii=False, default=str)
