"""One file while its rows are read: how many were kept, and what was not, with the reason."""

import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from schemas.settings import InputError

LONGEST = 1 << 28
"""Bytes of one line, or of one value of an array; more is no row."""
MOST_SHOWN = 200


class Rows(NamedTuple):
    """Some rows of a file, in order."""

    rows: list[dict[str, Any]]
    bytes: int
    """What they took in the file, about."""


class Rejects:
    """A JSON Lines file of {place, reason, raw}, made when there is something to write; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._file: IO[str] | None = None

    def keep(self, place: str, reason: str, raw: str) -> None:
        """Write down what is no row."""
        if self._file is None:
            self._file = self.path.open("w", encoding="utf-8", errors="replace")
        json.dump({"place": place, "reason": reason, "raw": raw}, self._file, ensure_ascii=False)
        self._file.write("\n")
        self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()


class Reading:
    """What came of one file so far."""

    def __init__(self, path: Path, name: str, rejects: Rejects) -> None:
        self.path = path
        self.name = name
        self.kept = 0
        self.gaps: list[int] = []
        """For each row rejected, how many were kept before it."""
        self.columns: tuple[str, ...] = ()
        """Those a header names; a file that has one may have no rows."""
        self._rejects = rejects
        self._first = ""

    def reject(self, place: str, reason: str, raw: str) -> None:
        """Keep what is no row, with its reason; `place` is within the file."""
        self._first = self._first or f"{place}: {reason}"
        self.gaps.append(self.kept)
        self._rejects.keep(f"{self.name}: {place}", reason[:MOST_SHOWN], raw)

    def check(self) -> None:
        """Raise InputError when the whole file held no row."""
        if self.gaps and not self.kept:
            raise InputError(f"{self.path}: none of its {len(self.gaps)} rows can be read; {self._first[:MOST_SHOWN]}")
        if not self.kept and not self.columns:
            raise InputError(f"{self.path}: the file holds no rows")
