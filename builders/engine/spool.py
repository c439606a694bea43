"""Rows waiting to be released: on disk in the order they came, read back in the order they belong."""

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

HEAD = struct.Struct("<II")
"""Bytes of the sort key and of the line that follow."""


class Spool:
    """An append-only file of JSON lines with a sort key each; the file has no name, so a killed run leaves none behind.

    Nothing stays in memory while rows come; the places are read from the file when they are needed. Raises OSError
    naming the folder when the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".suwen-")  # noqa: SIM115 closed by close()
        self._count = 0
        self._end = 0

    def __len__(self) -> int:
        return self._count

    def add(self, order: str, line: str) -> None:
        """Append one line, to be read back at `order`."""
        key, data = order.encode(), line.encode()
        try:
            self._file.seek(self._end)
            self._file.write(HEAD.pack(len(key), len(data)) + key + data)
            self._file.flush()
        except OSError as wrong:
            raise OSError(wrong.errno, wrong.strerror, str(self._folder)) from None
        self._end += HEAD.size + len(key) + len(data)
        self._count += 1

    def __iter__(self) -> Iterator[str]:
        """All lines, sorted by their keys."""
        for _, start, length in sorted(self._places()):
            self._file.seek(start)
            yield self._file.read(length).decode()

    def _places(self) -> Iterator[tuple[bytes, int, int]]:
        """Sort key, start and length of every line, as they came."""
        at = 0
        for _ in range(self._count):
            self._file.seek(at)
            key_size, size = HEAD.unpack(self._file.read(HEAD.size))
            yield self._file.read(key_size), at + HEAD.size + key_size, size
            at += HEAD.size + key_size + size

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()
