"""Rows of CSV and TSV files, every field the text it is: "007" stays "007", an empty field is "", "NA" is "NA"."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import Any

from builders.sources.formats.encodings import codec_of, text_lines
from builders.sources.formats.reading import Reading, Rows
from schemas.settings import InputError

LONGEST_FIELD = 1 << 24
"""Characters; a longer field is a quote that was never closed."""
AT_ONCE = 16_384
"""Rows of a block, or characters in thousands, whichever comes first."""
UNCLOSED = "a quote is not closed"


def csv_records(reading: Reading, notes: list[str], delimiter: str = ",") -> Iterator[Rows]:
    """The rows of a file under its header; a row with other than the header's fields goes to the rejected ones."""
    codec = codec_of(reading.path)
    if codec.note:
        notes.append(f"{reading.name}: {codec.note}")
    lines = _Lines(text_lines(reading.path, codec))
    records = _records(lines, delimiter)
    header, wrong = next(records, ([], ""))
    if wrong:
        raise InputError(f"{reading.path}: header: {wrong}")
    reading.columns = _checked(header, str(reading.path))
    rows: list[dict[str, Any]] = []
    taken = 0
    for record, wrong in records:
        if wrong or len(record) != len(header):
            reason = wrong or f"{len(record)} fields where the header has {len(header)}"
            reading.reject(f"row {reading.kept + len(reading.gaps) + 1}", reason, "".join(lines.held).rstrip("\r\n"))
            continue
        rows.append(dict(zip(reading.columns, record, strict=True)))
        reading.kept += 1
        taken += sum(map(len, lines.held))
        if len(rows) >= AT_ONCE or taken >= AT_ONCE * 1000:
            yield Rows(rows, taken)
            rows, taken = [], 0
    yield Rows(rows, taken)


def _checked(header: list[str], where: str) -> tuple[str, ...]:
    """The names of the columns; one without (pandas writes its index so) is called by its number."""
    if not header:
        raise InputError(f"{where}: the file holds no rows")
    header = [name if name.strip() else f"column_{at}" for at, name in enumerate(header, 1)]
    for at, name in enumerate(header, 1):
        if header.index(name) != at - 1:
            raise InputError(f"{where}: header: two columns are named {name!r}; rename one")
    return tuple(header)


class _Lines:
    """Lines for csv.reader that can be taken back: those of the record it is in are held."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.held: list[str] = []
        self.ended = False
        """Whether there was no further line when one was asked for: within a record, that is within quotes."""
        self._lines = lines
        self._again: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        self.ended = False
        while self._again:
            self.held.append(self._again.popleft())
            yield self.held[-1]
        for line in self._lines:
            self.held.append(line)
            yield line
        self.ended = True

    def give_back(self) -> None:
        """Of the record, keep the first line alone; the others come again."""
        self._again.extendleft(reversed(self.held[1:]))
        del self.held[1:]


def _records(lines: _Lines, delimiter: str) -> Iterator[tuple[list[str], str]]:
    """(fields, what is wrong) of every record; where a quote is not closed, that is one line, and the next is read anew."""
    csv.field_size_limit(LONGEST_FIELD)
    going_on = True
    while going_on:
        going_on = False
        try:
            for fields in csv.reader(lines, delimiter=delimiter):
                if lines.ended or (len(lines.held) > 1 and not _sound(lines.held, delimiter)):
                    going_on = True
                    break
                if fields:
                    yield fields, ""
                lines.held.clear()
        except csv.Error:  # a field past the limit
            going_on = True
        if going_on:
            lines.give_back()
            yield [], UNCLOSED
            lines.held.clear()


def _sound(held: list[str], delimiter: str) -> bool:
    """Whether a record of many lines is quoted as it should be: a stray quote ends at the next one, with text behind it."""
    try:
        return len(list(csv.reader(held, delimiter=delimiter, strict=True))) == 1
    except csv.Error:
        return False
