"""Case files as this package writes them, one a line; see schemas/case.py."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from schemas.case import CaseFile


def case_of(row: Mapping[str, Any]) -> CaseFile:
    """A case file from its row; raises ValueError naming the field."""
    try:
        return CaseFile.model_validate(_without_nulls(row))
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise ValueError(f"{'.'.join(str(step) for step in first['loc'])}: {first['msg']}") from None


def _without_nulls(value: Any) -> Any:
    """A table has a null where an object had no such field."""
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value
