"""Pass one: every text once through the kernel, on all cores; of each only its keys stay, in memory or in files.

Beyond CHUNK texts the keys are written to the working folder as they come, so that an interrupted run goes on behind
the last whole chunk, and the memory of a run hardly grows with its texts.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from builders.engine.dedup.kernel import Kernel, Signs, fold
from builders.engine.dedup.scheme import Scheme

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

CHUNK = 1 << 20
"""Texts whose keys go to one file: 120 MB at 21 bands."""
READ_AHEAD = 4

T = TypeVar("T")


class Source(Protocol):
    """Texts that can be read more than once, always in the same order."""

    rows: int

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All of them from row `start` on, without nulls, batch by batch."""
        ...


class Keys:
    """The signs of all texts, chunk after chunk; a chunk is in memory or in a file."""

    def __init__(self, chunks: Iterable[Signs]) -> None:
        self.chunks = list(chunks)
        self.rows = sum(len(chunk.text) for chunk in self.chunks)

    @property
    def text(self) -> "NDArray[np.uint64]":
        """(rows,)."""
        return _joined([chunk.text for chunk in self.chunks], np.uint64)

    @property
    def length(self) -> "NDArray[np.uint32]":
        """(rows,)."""
        return _joined([chunk.length for chunk in self.chunks], np.uint32)

    def band(self, band: int) -> "NDArray[np.uint64]":
        """(rows,): the 40-bit keys of a band."""
        keys = np.empty(self.rows, np.uint64)
        at = 0
        for chunk in self.chunks:
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
    seen: Callable[[int], None] = lambda rows: None,
) -> Keys:
    """The keys of every text of a source. `folder` keeps whole chunks for a run that is interrupted; `seen` is told
    the rows done."""
    chunks: list[Signs] = []
    while folder and (found := _loaded(_file(folder, len(chunks)), scheme, CHUNK)):
        chunks.append(found)
    done = len(chunks) * CHUNK
    texts = ahead(source.texts(done))
    with ThreadPoolExecutor(threads) as pool:
        while done < source.rows:
            rows = min(CHUNK, source.rows - done)
            chunk = _room(scheme, rows)
            texts = _fill(chunk, texts, scheme, kernel, pool, lambda at, done=done: seen(done + at))
            if folder and rows == CHUNK:
                chunk = _kept(chunk, _file(folder, len(chunks)), scheme)
            chunks.append(chunk)
            done += rows
    return Keys(chunks)


def _fill(
    chunk: Signs,
    texts: "Iterator[pa.LargeStringArray]",
    scheme: Scheme,
    kernel: Kernel,
    pool: ThreadPoolExecutor,
    seen: Callable[[int], None],
) -> "Iterator[pa.LargeStringArray]":
    """Sign texts until the chunk is full; gives what is left of them."""

    def work(batch: "pa.LargeStringArray", at: int) -> int:
        signs = kernel.sign(fold(kernel, batch, scheme.folding), scheme)
        end = at + len(batch)
        chunk.high[:, at:end], chunk.low[:, at:end] = signs.high, signs.low
        chunk.text[at:end], chunk.length[at:end] = signs.text, signs.length
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


def _room(scheme: Scheme, rows: int) -> Signs:
    bands, _ = scheme.bands
    return Signs(
        np.empty((bands, rows), np.uint32),
        np.empty((bands, rows), np.uint8),
        np.empty(rows, np.uint64),
        np.empty(rows, np.uint32),
    )


def _file(folder: Path, number: int) -> Path:
    return folder / f"signs-{number:05d}"


def _kept(chunk: Signs, path: Path, scheme: Scheme) -> Signs:
    """The chunk, in a file now."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        for array in chunk:
            file.write(memoryview(array).cast("B"))
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


def _joined(arrays: "list[NDArray[T]]", kind: type) -> "NDArray[T]":
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays) if arrays else np.zeros(0, kind)


def ahead(items: Iterator[T], depth: int = READ_AHEAD) -> Iterator[T]:
    """The items, read by a thread of its own; an error of the reader is raised here."""
    queue: Queue[tuple[T | None, BaseException | None]] = Queue(depth)
    stopped = threading.Event()

    def put(item: T | None, error: BaseException | None = None) -> None:
        while not stopped.is_set():
            try:
                return queue.put((item, error), timeout=0.1)
            except Full:
                continue

    def read() -> None:
        try:
            for item in items:
                put(item)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as wrong:  # raised where the items are used
            put(None, wrong)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        while (got := queue.get()) != (None, None):
            item, error = got
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        reader.join()
