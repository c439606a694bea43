"""Rows of JSON files: one object a line, one array of objects, or objects one after another over many lines.

pyarrow.json is faster and is not used: of `[null, {"b": 1}]` it makes `[{"b": 1}, {"b": 0}]`, it takes texts that look
like times for times, and a line `null`, or one nested deeply, ends the process (pyarrow 26).
"""

import json
from collections.abc import Iterator
from typing import Any

from builders.sources.formats.encodings import codec_of, utf8_chunks
from builders.sources.formats.json_values import no_row, rows_of_values, whole
from builders.sources.formats.reading import LONGEST, Reading, Rows
from schemas.settings import InputError


def json_records(reading: Reading, notes: list[str]) -> Iterator[Rows]:
    """The rows of a file; what is no JSON object goes to the rejected ones, and damage in an array is an InputError."""
    codec = codec_of(reading.path)
    if codec.note:
        notes.append(f"{reading.name}: {codec.note}")
    chunks = utf8_chunks(reading.path, codec)
    first = next(chunks, b"")
    while not first.strip() and (more := next(chunks, None)) is not None:
        first += more
    rest = _chained(first, chunks)
    return rows_of_values(reading, rest) if _spans_lines(first) else _of_lines(reading, rest)


def _chained(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _spans_lines(start: bytes) -> bool:
    """Whether a file holds values over many lines, or an array; from its first bytes."""
    line, _, more = start.lstrip().partition(b"\n")
    if line.strip() in (b"{", b"["):
        return True
    if not line.startswith(b"["):
        return False
    try:
        json.loads(line)
    except ValueError:
        return True
    return not more.strip()


def _of_lines(reading: Reading, chunks: Iterator[bytes]) -> Iterator[Rows]:
    number = 1
    for lines in _whole_lines(reading, chunks):
        rows = _parsed(lines)
        if rows is None:
            rows = _tolerated(reading, lines, number)
        else:
            reading.kept += len(rows)
        number += len(lines)
        yield Rows(rows, sum(map(len, lines)))


def _whole_lines(reading: Reading, chunks: Iterator[bytes]) -> Iterator[list[bytes]]:
    rest = b""
    for chunk in chunks:
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield whole.split(b"\n")
        if len(rest) > LONGEST:
            raise InputError(f"{reading.path}: a line of more than {LONGEST} bytes; expected one record a line")
    if rest:
        yield [rest]


def _parsed(lines: list[bytes]) -> list[dict[str, Any]] | None:
    """Rows of lines that are all JSON objects, or blank; None when one is not."""
    from pydantic_core import from_json

    try:
        rows = [from_json(line, cache_strings="keys") for line in lines if line and not line.isspace()]
    except ValueError:
        return None
    return rows if all(type(row) is dict for row in rows) else None


def _tolerated(reading: Reading, lines: list[bytes], number: int) -> list[dict[str, Any]]:
    rows = []
    for at, line in enumerate(lines, number):
        if not line or line.isspace():
            continue
        row, reason = _row_of(line)
        if reason:
            reading.reject(f"line {at}", reason, line.decode(errors="replace"))
        else:
            rows.append(row)
            reading.kept += 1
    return rows


def _row_of(line: bytes) -> tuple[Any, str]:
    """A line's object, or why it is none."""
    from pydantic_core import from_json

    try:
        value = from_json(line, cache_strings="keys")
        return value, no_row(value, "")
    except ValueError:
        raw = line.decode(errors="replace")
    try:
        value = json.loads(raw, strict=False)  # also half an emoji, and control characters in a text
    except RecursionError:
        return None, "nested too deeply"
    except ValueError as wrong:
        return None, f"not JSON: {wrong}"
    reason = no_row(value, raw)
    return (None, reason) if reason else (whole(value), "")
