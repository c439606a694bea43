"""Pass one: every text once through the kernel, on all cores; of each only its keys stay, in memory or in files.

Beyond CHUNK texts the keys are written to the working folder as they come, so that an interrupted run goes on behind
the last whole chunk, and the memory of a run hardly grows with its texts.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from builders.engine.dedup.kernel import Folded, Kernel, Signs, fold
from builders.engine.dedup.scheme import Scheme
from builders.engine.dedup.texts import READ_AHEAD, Source, ahead

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
    """The signs of all texts, chunk after chunk; a chunk is in memory or in a file."""

    def __init__(self, chunks: Iterable[Signs], bands: int) -> None:
        self._chunks, self.bands = list(chunks), bands
        self._rows = sum(len(chunk.text) for chunk in self._chunks)

    @property
    def text(self) -> "NDArray[np.uint64]":
        """(rows,)."""
        return _joined([chunk.text for chunk in self._chunks], np.uint64)

    @property
    def suspect(self) -> "NDArray[np.bool_]":
        """(rows,)."""
        return _joined([chunk.suspect for chunk in self._chunks], np.bool_)

    @property
    def length(self) -> "NDArray[np.uint32]":
        """(rows,)."""
        return _joined([chunk.length for chunk in self._chunks], np.uint32)

    def band(self, band: int) -> "NDArray[np.uint64]":
        """(rows,): the 40-bit keys of a band."""
        keys = np.empty(self._rows, np.uint64)
        at = 0
        for chunk in self._chunks:
            part = keys[at : at + len(chunk.text)]
            part[:] = chunk.high[band]
            part <<= np.uint64(8)
            part |= chunk.low[band]
            at += len(part)
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

    `folder` keeps whole chunks for a run that is interrupted; `seen` is told the rows done.
    """

    def sign(batch: "pa.LargeStringArray") -> Signs:
        folded = fold(kernel, batch, scheme.folding)
        return kernel.sign(folded, scheme)._replace(suspect=look(folded))

    chunks: list[Signs] = []
    while folder and (found := _loaded(_file(folder, len(chunks)), scheme, CHUNK)):
        chunks.append(found)
    done = len(chunks) * CHUNK
    texts = ahead(source.texts(done))
    with ThreadPoolExecutor(threads) as pool:
        while done < source.rows:
            rows = min(CHUNK, source.rows - done)
            chunk = _room(scheme, rows)
            texts = _fill(chunk, texts, sign, pool, _after(done, seen))
            if folder and rows == CHUNK:
                chunk = _kept(chunk, _file(folder, len(chunks)), scheme)
            chunks.append(chunk)
            done += rows
    return Keys(chunks, scheme.bands[0])


def _fill(
    chunk: Signs,
    texts: "Iterator[pa.LargeStringArray]",
    sign: "Callable[[pa.LargeStringArray], Signs]",
    pool: ThreadPoolExecutor,
    seen: Callable[[int], None],
) -> "Iterator[pa.LargeStringArray]":
    """Sign texts until the chunk is full; gives what is left of them."""

    def work(batch: "pa.LargeStringArray", at: int) -> int:
        end = at + len(batch)
        arrays: Iterator[tuple[Any, Any]] = zip(chunk, sign(batch), strict=True)
        for room, mine in arrays:
            room[..., at:end] = mine
        return end

    at, rows, running = 0, len(chunk.text), list[Future[int]]()
    while at < rows:
        batch = next(texts)
        taken = batch.slice(0, rows - at)
        if len(taken) < len(batch):
            texts = chain([batch.slice(len(taken))], texts)
        running.append(pool.submit(work, taken, at))
        at += len(taken)
        if len(running) > READ_AHEAD:
            seen(running.pop(0).result())
    for last in running:
        seen(last.result())
    return texts


def _after(done: int, seen: Callable[[int], None]) -> Callable[[int], None]:
    return lambda at: seen(done + at)


def _room(scheme: Scheme, rows: int) -> Signs:
    bands, _ = scheme.bands
    return Signs(
        np.empty((bands, rows), np.uint32),
        np.empty((bands, rows), np.uint8),
        np.empty(rows, np.uint64),
        np.empty(rows, np.uint32),
        np.empty(rows, np.bool_),
    )


def _file(folder: Path, number: int) -> Path:
    return folder / f"signs-{number:05d}"


def _kept(chunk: Signs, path: Path, scheme: Scheme) -> Signs:
    """The chunk, in a file now."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        for array in chunk:
            file.write(array.reshape(-1).view(np.uint8).data)
    part.replace(path)
    found = _loaded(path, scheme, len(chunk.text))
    assert found is not None
    return found


def _loaded(path: Path, scheme: Scheme, rows: int) -> Signs | None:
    """A chunk that was kept, mapped; None when there is none."""
    if not path.exists():
        return None
    mapped, arrays, at = np.memmap(path, np.uint8, "r"), [], 0
    for array in _room(scheme, 0):
        shape = (*array.shape[:-1], rows)
        size = int(np.prod(shape)) * array.itemsize
        arrays.append(mapped[at : at + size].view(array.dtype).reshape(shape))
        at += size
    return Signs(*arrays)


def _joined(arrays: "list[NDArray[Any]]", kind: type) -> "NDArray[Any]":
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays) if arrays else np.zeros(0, kind)
