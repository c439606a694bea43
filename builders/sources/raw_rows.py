"""The rows of any inputs as their files have them, one at a time, with the lines that are no rows among them."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.sources.consultations import Broken, RawRow
from builders.sources.formats.csv_records import csv_records
from builders.sources.formats.data_files import DataFile, data_files, kind_of
from builders.sources.formats.encodings import codec_of, text_lines
from builders.sources.formats.json_records import json_records
from builders.sources.formats.parts import part_of
from builders.sources.formats.reading import Reading, Rejects
from builders.sources.tables import Table, open_tables

AT_ONCE = 1_024
"""Rows that are Python objects at a time."""
LINES = ".txt"


class Origins:
    """Names for rows over several inputs: a file whose name an earlier input had, too, is called NAME#2."""

    def __init__(self) -> None:
        self._owners: dict[str, int] = {}
        self._input = 0

    def next_input(self) -> None:
        """From now on the rows are another input's."""
        self._input += 1

    def of(self, place: str) -> str:
        """`answers.csv:12` for `answers.csv: row 12`."""
        file, _, row = place.rpartition(": ")
        owner = self._owners.setdefault(file, self._input)
        mark = "" if owner == self._input else f"#{self._input}"
        return f"{file}{mark}:{row.removeprefix('row ')}"


def raw_rows(inputs: Sequence[str], scratch: Path) -> Iterator[RawRow]:
    """Every row of every table, in order; what could not be read of a table follows its rows."""
    origins = Origins()
    for table in open_tables(inputs, scratch):
        origins.next_input()
        for number, row in enumerate(_rows(table)):
            place = table.place(number)
            yield RawRow(place, origins.of(place), row)
        for broken in rejected_of(table):
            yield RawRow(broken.place, origins.of(broken.place), broken)


def _rows(table: Table) -> Iterator[dict[str, Any]]:
    for batch in table.batches(at_most=AT_ONCE):
        yield from batch.to_pylist()


def rejected_of(table: Table) -> Iterator[Broken]:
    """What stands in the files of a table and is no row."""
    if table.rejected is not None:
        with table.rejected.open(encoding="utf-8") as lines:
            for line in lines:
                yield Broken(**json.loads(line))


def mostly(fits: Callable[[Mapping[str, Any]], bool], rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether more than half of the rows fit."""
    return 2 * sum(map(fits, rows)) > len(rows)


def first_rows(name: str, most: int = 20) -> list[dict[str, Any]]:
    """Some rows from the beginning of an input, read without converting anything; raises InputError for a wrong file.

    As in a table, a field that one of them has is null in the others.
    """
    rows = _peeked(name, most)
    fields = dict.fromkeys(field for row in rows for field in row)
    return [{**fields, **row} for row in rows]


def _peeked(name: str, most: int) -> list[dict[str, Any]]:
    file = data_files(name)[0]
    if file.kind == "parquet":
        part = part_of(file.path)
        batch = next(part.batches(part.schema, 0, most), None)
        return batch.to_pylist() if batch else []
    with tempfile.TemporaryDirectory() as folder, Rejects(Path(folder) / "rejected.jsonl") as rejects:
        blocks = _blocks(file, Reading(file.path, file.name, rejects))
        return next((block[:most] for block in blocks if block), [])


def _blocks(file: DataFile, reading: Reading) -> Iterator[list[dict[str, Any]]]:
    notes: list[str] = []
    if file.kind == "json":
        return (some.rows for some in json_records(reading, notes))
    return (some.rows for some in csv_records(reading, notes, "\t" if file.kind == "tsv" else ","))


def files_of_lines(name: str) -> list[Path]:
    """The text files (.txt) an input means: itself, or those of a folder without data files; else none."""
    path = Path(name)
    if not path.is_dir():
        return [path] if path.suffix.lower() == LINES and path.is_file() else []
    files = sorted(file for file in path.iterdir() if file.name[0] not in "._")
    return [] if any(kind_of(file) for file in files) else [file for file in files if file.suffix.lower() == LINES]


def files_of(name: str) -> list[Path]:
    """The files an input means, of lines or of tables; raises InputError when there are none."""
    return files_of_lines(name) or [file.path for file in data_files(name)]


def tabbed_lines(files: Sequence[Path]) -> Iterator[tuple[str, list[str], str]]:
    """(place, fields, line) of every line of files without a header whose fields are parted by tabs."""
    for path in files:
        for number, line in enumerate(text_lines(path, codec_of(path)), 1):
            line = line.rstrip("\r\n")
            if line.strip():
                yield f"{path.name}: row {number}", line.split("\t"), line
