"""Any set of rows, of any size, as batches: Parquet, JSON Lines, CSV, a folder of them, or a data set on the Hub.

    for table in open_tables(["answers.csv", "FreedomIntelligence/huatuo_encyclopedia_qa:data"], Path("build/scratch")):
        for batch in table.batches(["question"]):
            ...

Parquet is read where it is; the others are converted into Parquet in the scratch folder first, once.
"""

import bisect
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from builders.sources.formats.column_types import unified
from builders.sources.formats.conversion import REJECTED, Converted, Stretch, converted, room
from builders.sources.formats.data_files import DataFile, data_files, fingerprint
from builders.sources.formats.parts import part_of
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa

TOGETHER = 1 << 28
"""Bytes of files that are converted together: many small ones make one, a large one is on its own."""


class Table:
    """One INPUT of the command line, perhaps many files."""

    name: str
    """As the user gave it."""
    schema: "pa.Schema"
    """That of all files; a column that one of them lacks is null there."""
    rows: int
    """Those that `batches` gives."""
    bytes: int
    """Size of its data files."""
    fingerprint: str
    """SHA-256 over name, size and time of its data files; another one when the data may have changed."""
    rejected: Path | None
    """JSON Lines file of {place, reason, raw}: what stands in the files and is no row."""
    rejected_rows: int

    def __init__(self, name: str, files: Sequence[DataFile], scratch: Path) -> None:
        pieces = [_piece(group, scratch) for group in _groups(files)]
        self.name = name
        self._parts = [part for piece in pieces for part in piece.parts]
        self._stretches = [stretch for piece in pieces for stretch in piece.stretches]
        self._ends = list(accumulate(stretch.rows for stretch in self._stretches))
        self.schema, mixed = unified([piece.schema for piece in pieces])
        self.rows = self._ends[-1]
        self.bytes = sum(file.size for file in files)
        self.fingerprint = fingerprint(files)
        self.rejected_rows = sum(piece.rejected_rows for piece in pieces)
        self.rejected = _one_file([piece.rejected for piece in pieces if piece.rejected], scratch, self.fingerprint)
        for column in mixed:
            said = f"{name}: column {column} is of different types in its files; it is read as text, JSON where it was none"
            print(said, file=sys.stderr)

    def batches(
        self, columns: Sequence[str] | None = None, *, start: int = 0, at_most: int = 16_384
    ) -> Iterator["pa.RecordBatch"]:
        """Rows from `start` on, in the order of the files, always the same; raises InputError for a damaged file.

        Columns are those named, or all, of the types in `schema`. Row groups before `start` are not decoded.
        """
        import pyarrow as pa

        schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        for part in self._parts:
            if start < part.rows:
                yield from part.batches(schema, start, at_most)
            start = max(0, start - part.rows)

    def place(self, row: int) -> str:
        """File and number of a row, from 1 in each file, counting those rejected: `answers.csv: row 12`."""
        at = bisect.bisect_right(self._ends, row)
        stretch = self._stretches[at]
        within = row - (self._ends[at] - stretch.rows)
        return f"{stretch.name}: row {within + bisect.bisect_right(stretch.gaps, within) + 1}"


def open_tables(inputs: Sequence[str], scratch: Path) -> list[Table]:
    """A table for each INPUT; raises InputError in one line for what cannot be found or read."""
    return [Table(name, data_files(name), scratch) for name in inputs]


def merged_schema(tables: Sequence[Table]) -> "pa.Schema":
    """One schema for the rows of all tables; raises InputError naming a column that does not fit."""
    import pyarrow as pa

    try:
        return pa.unify_schemas([table.schema for table in tables], promote_options="permissive")
    except pa.ArrowException as wrong:
        reason = " ".join(str(wrong).split())
        raise InputError(
            f"{', '.join(table.name for table in tables)}: columns do not fit together: {reason}"
        ) from None


def _groups(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    """Parquet files one by one; of others, those that are converted together."""
    group: list[DataFile] = []
    size = 0
    for file in files:
        size += file.size
        if group and (size > TOGETHER or "parquet" in (file.kind, group[0].kind)):
            yield group
            group, size = [], file.size
        group.append(file)
    yield group


def _piece(files: list[DataFile], scratch: Path) -> Converted:
    if files[0].kind != "parquet":
        return converted(files, scratch)
    part = part_of(files[0].path)
    return Converted(part.schema, [part], [Stretch(files[0].name, part.rows)], None, 0)


def _one_file(paths: list[Path], scratch: Path, key: str) -> Path | None:
    if len(paths) < 2:
        return next(iter(paths), None)
    joined = scratch / f"table-{key[:32]}.{REJECTED}"
    draft = joined.with_suffix(".draft")
    with room(scratch), draft.open("wb") as file:
        for path in paths:
            with path.open("rb") as some:
                shutil.copyfileobj(some, file)
    return draft.rename(joined)
