"""Rows of JSON files: one object a line, one array of objects, or objects one after another over many lines.

pyarrow.json is faster and is not used: of `[null, {"b": 1}]` it makes `[{"b": 1}, {"b": 0}]`, it takes texts that look
like times for times, and a line `null`, or one nested deeply, ends the process (pyarrow 26).
"""

import codecs
import contextlib
import gc
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from builders.sources.formats.encodings import codec_of, utf8_chunks
from builders.sources.formats.reading import Reading, Rows
from schemas.settings import InputError

LONGEST = 1 << 28
"""Bytes of one line, or of one value of an array; more is no row."""
SURROGATE = re.compile("[\ud800-\udfff]")
SPACE = re.compile(r"[ \t\r\n]*")


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
    return _of_values(reading, rest) if _spans_lines(first) else _of_lines(reading, rest)


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

    with _no_collector():
        try:
            rows = [from_json(line, cache_strings="keys") for line in lines if line and not line.isspace()]
        except ValueError:
            return None
    return rows if all(type(row) is dict for row in rows) else None


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Many new objects, and no garbage among them: looking for it takes half of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _tolerated(reading: Reading, lines: list[bytes], number: int) -> list[dict[str, Any]]:
    rows = []
    for at, line in enumerate(lines, number):
        if not line or line.isspace():
            continue
        row, reason = _row_of(line)
        if row is None:
            reading.reject(f"line {at}", reason, line.decode(errors="replace"))
        else:
            rows.append(row)
            reading.kept += 1
    return rows


def _row_of(line: bytes) -> tuple[dict[str, Any] | None, str]:
    """A line's object, or why it is none."""
    from pydantic_core import from_json

    try:
        value = from_json(line, cache_strings="keys")
    except ValueError as wrong:
        if "recursion" in str(wrong):
            return None, "nested too deeply"
        try:
            value = json.loads(line, strict=False)  # also half an emoji, and control characters in a text
        except (ValueError, RecursionError) as wrong:
            return None, f"not JSON: {wrong}"
    if not isinstance(value, dict):
        return None, f"not a JSON object but {_kind(value)}"
    return _whole(value), ""


def _kind(value: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    """The row, with U+FFFD for every half of a character."""
    text = json.dumps(row, ensure_ascii=False)
    if not SURROGATE.search(text):
        return row
    mended: dict[str, Any] = json.loads(SURROGATE.sub("\ufffd", text))
    return mended


def _of_values(reading: Reading, chunks: Iterator[bytes]) -> Iterator[Rows]:
    """Rows of an array, or of objects one after another."""
    values = _Values(reading, chunks)
    in_array = values.skip("[")
    while (block := values.block()) or not values.ended:
        yield Rows(block, values.taken)
    if in_array and not values.closed:
        values.fail("the array is not closed")


class _Values:
    """JSON values read from a stream of bytes, a block at a time."""

    def __init__(self, reading: Reading, chunks: Iterator[bytes]) -> None:
        self.taken = 0
        self.ended = self.closed = False
        self._reading, self._chunks = reading, chunks
        self._decoder = json.JSONDecoder(strict=False)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._text, self._at, self._line, self._number = "", 0, 1, 0
