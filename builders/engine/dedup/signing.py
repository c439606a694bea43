"""Pass one: every text once through the kernel, on all cores; of each only its keys stay, in memory or in files.

Beyond CHUNK texts the keys are written to the working folder as they come, so that an interrupted run goes on behind
the last whole chunk, and the memory of a run hardly grows with its texts.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from builders.engine.dedup.kernel import Folded, Kernel, Signs, fold
from builders.engine.dedup.scheme import Scheme
from builders.engine.dedup.texts import BATCH, Source

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

CHUNK = 1 << 20
"""Texts whose keys go to one file: 120 MB at 21 bands."""

T = TypeVar("T")


class Look(Protocol):
    """Looks at texts in passing."""

    def __call__(self, folded: Folded) -> "NDArray[np.bool_]":
        """Which of them are worth a second look."""
        ...


def nothing_to_see(folded: Folded) -> "NDArray[np.bool_]":
    """No text is worth a second look."""
    return np.zeros(len(folded.offsets) - 1, bool)


class Keys:
    """The signs of all texts, chunk after chunk.

    Each chunk is a function that gives it: one in a file is mapped for as long as it is looked at, and takes no memory.
    """

    def __init__(self, chunks: "Sequence[Callable[[], Signs]]", rows: int, bands: int) -> None:
        self._chunks, self.rows, self.bands = chunks, rows, bands

    @property
    def text(self) -> "NDArray[np.uint64]":
        """(rows,)."""
        return self._joined(np.uint64, lambda signs: signs.text)

    @property
    def suspect(self) -> "NDArray[np.bool_]":
        """(rows,)."""
        return self._joined(np.bool_, lambda signs: signs.suspect)

    @property
    def length(self) -> "NDArray[np.uint32]":
        """(rows,)."""
        return self._joined(np.uint32, lambda signs: signs.length)

    def _joined(self, kind: type, part: "Callable[[Signs], NDArray[Any]]") -> "NDArray[Any]":
        joined: NDArray[Any] = np.empty(self.rows, kind)
        at = 0
        for chunk in self._chunks:
            some = part(chunk())
            joined[at : at + len(some)] = some
            at += len(some)
        return joined

    def band(self, band: int) -> "NDArray[np.uint64]":
        """(rows,): the 40-bit keys of a band."""
        keys = self._joined(np.uint64, lambda signs: signs.high[band])
        keys <<= np.uint64(8)
        keys |= self._joined(np.uint8, lambda signs: signs.low[band])
        return keys


def sign_all(
    source: Source,
    scheme: Scheme,
    kernel: Kernel,
    *,
    threads: int,
    folder: Path | None = None,
    look: Look = nothing_to_see,
    seen: Callable[[int], None] = lambda rows: None,
) -> Keys:
    """The keys of every text of a source.

    `folder` keeps whole chunks for a run that is interrupted; `seen` is told the rows done. Every thread reads for itself:
    a chunk is one thread's from the file to its keys.
    """
    large = folder is not None and source.rows > 2 * CHUNK
    size = CHUNK if large else max(BATCH, -(-source.rows // threads))
    done = Done(seen)

    def sign(batch: "pa.LargeStringArray") -> Signs:
        folded = fold(kernel, batch, scheme.folding)
        return kernel.sign(folded, scheme)._replace(suspect=look(folded))

    def whole(start: int) -> Callable[[], Signs]:
        path = folder / f"signs-{start // size:05d}" if folder and large else None
        rows = min(size, source.rows - start)
        if path and path.exists():
            done(rows)
            return partial(_mapped, path, scheme, rows)
        chunk = _room(scheme, rows)
        _fill(chunk, source.texts(start), sign, done)
        return _kept(chunk, path, scheme) if path else partial(Signs, *chunk)

    with ThreadPoolExecutor(threads) as pool:
        return Keys(list(pool.map(whole, range(0, source.rows, size))), source.rows, scheme.bands[0])


class Done:
    """Adds up what several threads have done, and tells it."""

    def __init__(self, seen: Callable[[int], None]) -> None:
        self._seen, self._sum, self._lock = seen, 0, threading.Lock()

    def __call__(self, more: int) -> None:
        """So many more."""
        with self._lock:
            self._sum += more
            self._seen(self._sum)


def _fill(
    chunk: Signs,
    texts: "Iterator[pa.LargeStringArray]",
    sign: "Callable[[pa.LargeStringArray], Signs]",
    done: Done,
) -> None:
    """Sign texts until the chunk is full."""
    at, rows = 0, len(chunk.text)
    while at < rows:
        batch = next(texts).slice(0, rows - at)
        arrays: Iterator[tuple[Any, Any]] = zip(chunk, sign(batch), strict=True)
        for room, mine in arrays:
            room[..., at : at + len(batch)] = mine
        at += len(batch)
        done(len(batch))


def _room(scheme: Scheme, rows: int) -> Signs:
    bands, _ = scheme.bands
    return Signs(
        np.empty((bands, rows), np.uint32),
        np.empty((bands, rows), np.uint8),
        np.empty(rows, np.uint64),
        np.empty(rows, np.uint32),
        np.empty(rows, np.bool_),
    )


def _kept(chunk: Signs, path: Path, scheme: Scheme) -> Callable[[], Signs]:
    """The chunk, in a file now."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        for array in chunk:
            file.write(array.reshape(-1).view(np.uint8).data)
    part.replace(path)
    return partial(_mapped, path, scheme, len(chunk.text))


def _mapped(path: Path, scheme: Scheme, rows: int) -> Signs:
    """A chunk that was kept."""
    mapped, arrays, at = np.memmap(path, np.uint8, "r"), [], 0
    for array in _room(scheme, 0):
        shape = (*array.shape[:-1], rows)
        size = int(np.prod(shape)) * array.itemsize
        arrays.append(mapped[at : at + size].view(array.dtype).reshape(shape))
        at += size
    return Signs(*arrays)
