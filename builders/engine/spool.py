"""Rows waiting to be released: on disk in the order they came, read back in the order they belong."""

import tempfile
from collections.abc import Iterator
from pathlib import Path


class Spool:
    """An append-only file of JSON lines with a sort key each; the file has no name, so a killed run leaves none behind.

    Only the keys and offsets stay in memory. Raises OSError naming the folder when the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder, prefix=".suwen-")  # noqa: SIM115 closed by close()
        self._places: list[tuple[str, int, int]] = []
        self._end = 0

    def __len__(self) -> int:
        return len(self._places)

    def add(self, order: str, line: str) -> None:
        """Append one line, to be read back at `order`."""
        data = line.encode()
        try:
            self._file.seek(self._end)
            self._file.write(data)
            self._file.flush()
        except OSError as wrong:
            raise OSError(wrong.errno, wrong.strerror, str(self._folder)) from None
        self._places.append((order, self._end, len(data)))
        self._end += len(data)

    def __iter__(self) -> Iterator[str]:
        """All lines, sorted by their keys."""
        for _, start, length in sorted(self._places):
            self._file.seek(start)
            yield self._file.read(length).decode()

    def close(self) -> None:
        """Give the disk space back."""
        self._file.close()
