"""Rows of JSON that does not keep to lines: an array of objects, or objects one after another, printed prettily."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn

from builders.sources.formats.reading import LONGEST, Reading, Rows
from schemas.settings import InputError

MOST_DEEP = 200
AT_ONCE = 16_384
"""Rows of a block, or characters in thousands, whichever comes first."""
NO_SPACE = re.compile(r"[^ \t\r\n]")
SURROGATE = re.compile("[\ud800-\udfff]")
HALF = re.compile(r"\\u[dD][89a-fA-F]")


def rows_of_values(reading: Reading, chunks: Iterator[bytes]) -> Iterator[Rows]:
    """The objects of a file; anything else in it is rejected, and what is no JSON is an InputError naming the line."""
    values = _Values(reading, chunks)
    in_array = values.take("[")
    while values.peek() and not (in_array and values.take("]")):
        yield _block(values, reading, in_array=in_array)
        if in_array and not values.peek():
            values.fail("the array does not end")
    if values.peek():
        values.fail("something follows the array")


def _block(values: "_Values", reading: Reading, *, in_array: bool) -> Rows:
    rows: list[dict[str, Any]] = []
    taken = 0
    while len(rows) < AT_ONCE and taken < AT_ONCE * 1000 and values.peek() not in ("", "]"):
        value, raw = values.next()
        taken += len(raw)
        reason = no_row(value, raw)
        if reason:
            reading.reject(f"item {reading.kept + len(reading.gaps) + 1}", reason, raw)
        else:
            rows.append(whole(value) if HALF.search(raw) else value)
            reading.kept += 1
        if in_array:
            values.take(",")
    return Rows(rows, taken)


def whole(row: dict[str, Any]) -> dict[str, Any]:
    """The row, with U+FFFD for every half of a character."""
    text = json.dumps(row, ensure_ascii=False)
    if not SURROGATE.search(text):
        return row
    mended: dict[str, Any] = json.loads(SURROGATE.sub("\ufffd", text))
    return mended


def _too_deep(value: Any, raw: str) -> bool:
    """Whether a value has more than MOST_DEEP levels."""
    if raw.count("{") + raw.count("[") <= MOST_DEEP:
        return False
    level = [value]
    for _ in range(MOST_DEEP):
        inside = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list)))
        level = [each for group in inside for each in group]
    return bool(level)


def no_row(value: Any, raw: str) -> str:
    """Why a JSON value is no row; empty when it is one."""
    if isinstance(value, dict):
        return "nested too deeply" if _too_deep(value, raw) else ""
    kinds = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return f"not a JSON object but {kinds.get(type(value), 'a number')}"


class _Values:
    """JSON values in a stream of UTF-8, of which a part is in memory."""

    def __init__(self, reading: Reading, chunks: Iterator[bytes]) -> None:
        self._path, self._chunks = reading.path, chunks
        self._json = json.JSONDecoder(strict=False)
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._line = "", 0, 1

    def peek(self) -> str:
        """The next character that is no space; none at the end."""
        while not (found := NO_SPACE.search(self._text, self._at)):
            self._at = len(self._text)
            if not self._more():
                return ""
        self._at = found.start()
        return found[0]

    def take(self, mark: str) -> bool:
        """Step over a character if it is the next one."""
        found = self.peek() == mark
        self._at += found
        return found

    def next(self) -> tuple[Any, str]:
        """The next value, and its text."""
        while True:
            try:
                value, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as wrong:
                if len(self._text) - self._at > LONGEST or not self._more():
                    self.fail(wrong.msg, wrong.pos)
            except (ValueError, RecursionError) as wrong:  # a number of 4,300 digits; lists in lists in lists
                self.fail(str(wrong))
            else:
                if end < len(self._text) or not self._more():
                    raw, self._at = self._text[self._at : end], end
                    return value, raw

    def fail(self, why: str, at: int | None = None) -> NoReturn:
        """Raise InputError naming the line."""
        line = self._line + self._text.count("\n", 0, self._at if at is None else at)
        raise InputError(f"{self._path}: line {line}: not JSON: {why}")

    def _more(self) -> bool:
        """Read on; what has been taken is forgotten."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._line += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + self._utf8.decode(chunk)
        self._at = 0
        return True
