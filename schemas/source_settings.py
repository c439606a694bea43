"""The flags of builders that start from real questions, answers and consultations."""

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator
from pydantic_settings import CliPositionalArg

from schemas.settings import BuildSettings


def columns_of(value: str) -> dict[str, str]:
    """`question=ask,answer=reply` as {"question": "ask", …}; raises ValueError."""
    pairs = [pair.split("=", 1) for pair in value.split(",")]
    if wrong := next((pair for pair in pairs if len(pair) != 2 or not all(pair)), None):
        raise ValueError(f"expected FIELD=COLUMN pairs, e.g. question=ask,answer=reply, got {'='.join(wrong)!r}")
    return {field.strip(): column.strip() for field, column in pairs}


def _pairs(value: str) -> str:
    columns_of(value)
    return value


Columns = Annotated[str, AfterValidator(_pairs)]
"""Which column holds what, as FIELD=COLUMN pairs with commas between them."""


class SourceSettings(BuildSettings):
    """Where real rows come from, how they are understood, and what they are checked with."""

    data_flags: ClassVar[tuple[str, ...]] = ("source",)

    source: CliPositionalArg[tuple[str, ...]]
    """Real rows: JSON, JSON Lines, CSV (GB18030, too) or Parquet, a folder of them, or ORG/NAME[@REVISION] on the Hub."""
    format: str | None = None
    """How a row is understood, e.g. toyhom, huatuo26m, cmdd, sharegpt; a wrong name lists all. Default: told from the columns."""
    columns: Columns | None = None
    """For rows of no known format: which column holds what, e.g. question=ask,answer=reply,department=dept."""
    words: tuple[Path, ...] = ()
    """More medical words to guard: a file or folder of word lists, one kind of word each (disease, symptom, drug, test)."""
