"""JSON and CSV files become Parquet once, in a scratch folder, where a later run finds them done.

A conversion is a folder: part-00000.parquet and so on, rejected.jsonl, and about.json, which says what rows came of which
file. It is written under another name and renamed when it is done, so what is there is whole.
"""

import contextlib
import gc
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.sources.formats.column_types import unified
from builders.sources.formats.columns import Columns
from builders.sources.formats.csv_records import csv_records
from builders.sources.formats.data_files import DataFile, fingerprint
from builders.sources.formats.json_records import json_records
from builders.sources.formats.parts import Part, PartWriter, part_of
from builders.sources.formats.reading import Reading, Rejects, Rows
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa

LAYOUT = "1"
"""Another one when the same files would be converted otherwise."""
ABOUT = "about.json"
REJECTED = "rejected.jsonl"
ROW_GROUP = 16_384
BLOCK = 1 << 24
WORTH_A_WORD = 1 << 26


class Stretch(NamedTuple):
    """The rows of one data file among others."""

    name: str
    rows: int
    gaps: Sequence[int] = ()
    """For each row of the file that was rejected, how many were kept before it."""


class Converted(NamedTuple):
    """What came of some data files."""

    schema: "pa.Schema"
    parts: list[Part]
    stretches: list[Stretch]
    rejected: Path | None
    rejected_rows: int


def converted(files: Sequence[DataFile], scratch: Path) -> Converted:
    """Files of JSON or CSV as Parquet; raises InputError for what is wrong with them, or a scratch folder that is full."""
    folder = scratch / f"table-{fingerprint(files, LAYOUT, *(str(file.path.resolve()) for file in files))[:32]}"
    if not (folder / ABOUT).exists():
        draft = folder.with_suffix(".draft")
        try:
            with room(scratch), _no_collector():
                for unfinished in (draft, folder):
                    shutil.rmtree(unfinished, ignore_errors=True)
                draft.mkdir(parents=True)
                _announce(files, scratch)
                _convert(files, draft)
                draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    for note in about["notes"]:
        print(note, file=sys.stderr)
    parts = [part_of(path) for path in sorted(folder.glob("part-*.parquet"))]
    return Converted(
        schema=unified([part.schema for part in parts])[0],
        parts=parts,
        stretches=[Stretch(file.name, *seen) for file, seen in zip(files, about["files"], strict=True)],
        rejected=folder / REJECTED if about["rejected"] else None,
        rejected_rows=about["rejected"],
    )


@contextlib.contextmanager
def room(scratch: Path) -> Iterator[None]:
    """While something is written under a scratch folder: a full disk is an InputError that names it."""
    try:
        yield
    except OSError as wrong:
        said = wrong.strerror or " ".join(str(wrong).split())
        raise InputError(f"{scratch}: cannot hold the rows that are converted there: {said}") from None


def _announce(files: Sequence[DataFile], scratch: Path) -> None:
    size = sum(file.size for file in files)
    if size > WORTH_A_WORD:
        print(f"{_label(files)}: {size / 1e9:.1f} GB, read once into Parquet under {scratch}", file=sys.stderr)


def _label(files: Sequence[DataFile]) -> str:
    return files[0].name if len(files) == 1 else f"{files[0].name} … {files[-1].name}"


def _convert(files: Sequence[DataFile], draft: Path) -> None:
    notes: list[str] = []
    seen = []
    with PartWriter(draft) as parts, Rejects(draft / REJECTED) as rejects:
        rows = _Buffered(Columns(_label(files)), parts)
        for file in files:
            reading = Reading(file.path, file.name, rejects)
            for some in _records(file, reading, notes):
                rows.add(some)
            reading.check()
            rows.expect(reading.columns)
            seen.append((reading.kept, reading.gaps))
        rows.end()
    notes += [
        f"{_label(files)}: the values of column {name} are of different types; it is kept as text, JSON where it was none"
        for name in sorted(rows.columns.mixed)
    ]
    about: dict[str, Any] = {"files": seen, "notes": notes, "rejected": rejects.count}
    (draft / ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")


def _records(file: DataFile, reading: Reading, notes: list[str]) -> Iterator[Rows]:
    if file.kind == "json":
        return json_records(reading, notes)
    return csv_records(reading, notes, "\t" if file.kind == "tsv" else ",")


class _Buffered:
    """Rows on their way to Parquet, gathered until they are worth a row group."""

    def __init__(self, columns: Columns, parts: PartWriter) -> None:
        self.columns = columns
        self._parts = parts
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def add(self, some: Rows) -> None:
        """Take some rows."""
        self._rows += some.rows
        self._bytes += some.bytes
        if self._bytes >= BLOCK or len(self._rows) >= ROW_GROUP:
            self._flush()

    def expect(self, names: Sequence[str]) -> None:
        """Columns that are there even if no row comes."""
        self.columns.expect(names)

    def end(self) -> None:
        """Write what is left; raises InputError when no row had a column."""
        self._flush()
        if self._rows:
            raise InputError(f"{self.columns.label}: none of its {len(self._rows)} objects has anything in it")
        if not self._parts.tables:
            self._parts.write(self.columns.table_of([]))

    def _flush(self) -> None:
        if not self.columns.types and not any(self._rows):
            return  # empty objects alone: there is no column yet to count them in
        step = ROW_GROUP if self.columns.types else len(self._rows)
        for start in range(0, len(self._rows), step):
            self._parts.write(self.columns.table_of(self._rows[start : start + step]))
        self._rows, self._bytes = [], 0


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """While many objects are made, and no garbage among them: looking for it takes half of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
