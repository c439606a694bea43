"""The index of `--index DIR`: what earlier releases kept, so that the next one is compared with them without reading them.

    index.json                    how texts were compared, and the segments
    segment-00000/bands           uint64 (bands, rows): key << 24 | row, ascending in each band
    segment-00000/copies          uint64 (rows,): hashes of the folded texts, ascending; rows: uint32 (rows,), theirs
    segment-00000/texts.parquet   name and text of every row

A run adds one segment, whole or not at all, under a digest of the texts that it read: the same texts again replace it.
"""

import json
import shutil
from collections.abc import Iterator
from itertools import accumulate, chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.engine.dedup.scheme import Scheme
from builders.engine.dedup.signing import Keys
from builders.engine.dedup.texts import BATCH, chosen
from builders.engine.folder import as_json, replace_files
from schemas.base import Record
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Rows = NDArray[np.integer[Any]]

ROW_BITS = np.uint64(24)
MOST_ROWS = 1 << 24
"""Rows of a segment: a band's key of 40 bits and a row fit in 64."""
MANIFEST, TEXTS = "index.json", "texts.parquet"


class Entry(Record):
    """A segment, as the manifest lists it."""

    folder: str
    rows: int
    run: str


class Segment:
    """What one run kept."""

    def __init__(self, folder: Path, rows: int, bands: int) -> None:
        self.rows = rows
        self._file = folder / TEXTS
        try:
            self.bands = _mapped(folder / "bands", np.uint64, (bands, rows))
            self.copies = _mapped(folder / "copies", np.uint64, (rows,))
            self.order = _mapped(folder / "rows", np.uint32, (rows,))
            self.length = _mapped(folder / "lengths", np.uint32, (rows,))
        except (OSError, ValueError) as wrong:
            raise InputError(f"--index {folder}: damaged: {wrong}; remove it and index its release again") from None

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All texts from row `start` on."""
        yield from self._batches("text", start)

    def names(self, rows: "NDArray[np.int64]") -> list[str]:
        """Names of ascending rows."""
        found: list[str] = []
        for _, names in chosen(_Column(self, "name"), rows):
            found += names.to_pylist()
        return found

    def _batches(self, column: str, start: int) -> "Iterator[pa.LargeStringArray]":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self._file) as file:
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                ends = list(accumulate(sizes, initial=0))
                first = max(group for group, end in enumerate(ends) if end <= start)
                skip = start - ends[first]
                for batch in file.iter_batches(BATCH, range(first, len(sizes)), [column]):
                    if skip < len(batch):
                        yield batch.column(0).slice(skip)
                    skip = max(0, skip - len(batch))
        except (OSError, pa.ArrowException) as wrong:
            raise InputError(f"{self._file}: {wrong}") from None


class _Column:
    """One column of a segment, as a source of texts."""

    def __init__(self, segment: Segment, column: str) -> None:
        self.rows = segment.rows
        self._segment, self._column = segment, column

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        return self._segment._batches(self._column, start)


class Index:
    """The segments of an index, their rows numbered through. See Earlier."""

    def __init__(self, folder: Path, scheme: Scheme) -> None:
        """Opens, or begins, the index in a folder; `replaces` is whether it holds what this run would add.

        Raises InputError when its texts were compared in another way, or when it is damaged.
        """
        if folder.exists() and not folder.is_dir():
            raise InputError(f"--index {folder}: is no folder")
        self._folder, self._scheme, self._run, self.replaces = folder, scheme, "", False
        self._open(_entries(folder, scheme))

    def _open(self, entries: list[Entry]) -> None:
        bands, _ = self._scheme.bands
        self._entries = entries
        self._segments = [Segment(self._folder / entry.folder, entry.rows, bands) for entry in entries]
        self._starts = [0, *accumulate(segment.rows for segment in self._segments)]
        self.rows = self._starts[-1]

    def leave_out(self, text: "NDArray[np.uint64]") -> None:
        """Forget what a run on the same texts, by their hashes, has added; this run's segment goes in its place."""
        self._run = f"{len(text):x}-{int(text.sum()):016x}-{int(np.bitwise_xor.reduce(text, initial=0)):016x}"
        others = [entry for entry in self._entries if entry.run != self._run]
        self.replaces = len(others) < len(self._entries)
        self._open(others)

    def sharing(self, band: int, keys: "NDArray[np.uint64]") -> "tuple[NDArray[np.uint64], NDArray[np.int64]]":
        """(key, row) of the stored texts that have one of these ascending keys in a band."""
        wanted = np.unique(keys)
        found_keys, found_rows = [wanted[:0]], [np.zeros(0, np.int64)]
        for start, segment in zip(self._starts, self._segments, strict=False):
            stored = segment.bands[band]
            low = np.searchsorted(stored, wanted << ROW_BITS)
            high = np.searchsorted(stored, (wanted << ROW_BITS) + np.uint64(MOST_ROWS - 1), side="right")
            many = high - low
            at = np.arange(many.sum()) + np.repeat(low - np.cumsum(many) + many, many)
            found_keys.append(np.repeat(wanted, many))
            found_rows.append((stored[at] & np.uint64(MOST_ROWS - 1)).astype(np.int64) + start)
        return np.concatenate(found_keys), np.concatenate(found_rows)

    def copies(self, text: "NDArray[np.uint64]", length: "NDArray[np.uint32]") -> "NDArray[np.int64]":
        """The stored row with the same text for each, -1 where there is none."""
        found = np.full(len(text), -1)
        for start, segment in zip(self._starts, self._segments, strict=False):
            at = np.minimum(np.searchsorted(segment.copies, text), segment.rows - 1)
            row = segment.order[at].astype(np.int64)
            same = (segment.copies[at] == text) & (segment.length[row] == length) & (found < 0)
            found[same] = row[same] + start
        return found

    def lengths(self, rows: "Rows") -> "NDArray[np.uint32]":
        """Characters of the folded texts of these rows."""
        lengths = np.zeros(len(rows), np.uint32)
        for place, segment, mine in self._by_segment(rows):
            lengths[place] = segment.length[mine]
        return lengths

    def chosen(self, rows: "Rows") -> "Iterator[tuple[int, pa.LargeStringArray]]":
        """(place in `rows`, texts from there on) of these ascending rows."""
        for place, segment, mine in self._by_segment(rows):
            for at, texts in chosen(segment, mine):
                yield place.start + at, texts

    def names(self, rows: "Rows") -> list[str]:
        """What the releases call these ascending rows."""
        return [name for _, segment, mine in self._by_segment(rows) for name in segment.names(mine)]

    def _by_segment(self, rows: "Rows") -> "Iterator[tuple[slice, Segment, NDArray[np.int64]]]":
        cuts = np.searchsorted(rows, self._starts)
        for number, segment in enumerate(self._segments):
            place = slice(int(cuts[number]), int(cuts[number + 1]))
            if place.start < place.stop:
                yield place, segment, rows[place].astype(np.int64) - self._starts[number]

    def add(self, keys: Keys, kept: "Rows", texts: "Iterator[pa.RecordBatch]") -> None:
        """Add the rows that this run kept (of `keys`), with their (name, text) in order.

        What the same run added before is replaced. Segments are written whole, then listed, then take their places, which
        the next run does for one that is killed in between. Raises InputError when they cannot be written.
        """
        added: list[Entry] = []
        try:
            for number, first in enumerate(range(0, len(kept), MOST_ROWS)):
                name, rows = f"segment-{self._run}-{number:03d}", kept[first : first + MOST_ROWS]
                texts = self._write(name, keys, rows, texts)
                added.append(Entry(folder=name, rows=len(rows), run=self._run))
            self._folder.mkdir(parents=True, exist_ok=True)
            manifest = {
                **self._scheme.fingerprint,
                "segments": [entry.model_dump() for entry in (*self._entries, *added)],
            }
            replace_files(self._folder, {MANIFEST: as_json(manifest)})
        except OSError as wrong:
            for draft in self._folder.glob(".segment-*"):
                shutil.rmtree(draft, ignore_errors=True)
            raise InputError(f"--index {self._folder}: {wrong.strerror or wrong}") from None
        for entry in added:
            _take_place(self._folder, entry.folder)

    def _write(
        self, name: str, keys: Keys, rows: "Rows", texts: "Iterator[pa.RecordBatch]"
    ) -> "Iterator[pa.RecordBatch]":
        """A segment, ready to take its place; gives the texts behind its own."""
        draft, ready = self._folder / f".{name}.part", self._folder / f".{name}.ready"
        for old in (draft, ready):
            shutil.rmtree(old, ignore_errors=True)
        draft.mkdir(parents=True)
        _write_keys(draft, keys, rows, self._scheme)
        texts = _write_texts(draft / TEXTS, texts, len(rows))
        draft.rename(ready)
        return texts


def _take_place(folder: Path, name: str) -> None:
    """Move a segment that is ready where the manifest says it is."""
    ready = folder / f".{name}.ready"
    if ready.exists():
        shutil.rmtree(folder / name, ignore_errors=True)
        ready.rename(folder / name)


def _entries(folder: Path, scheme: Scheme) -> list[Entry]:
    if not (folder / MANIFEST).exists():
        if next(folder.glob("segment-*"), None):
            raise InputError(f"--index {folder / MANIFEST}: is missing, and there are segments; restore or remove them")
        return []
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        segments = [Entry.model_validate(one, strict=True) for one in manifest.pop("segments")]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as wrong:
        raise InputError(f"--index {folder / MANIFEST}: damaged: {' '.join(str(wrong).split())}") from None
    for name, mine in scheme.fingerprint.items():
        if manifest.get(name) != mine:
            raise InputError(f"--index {folder}: was made with {name} {manifest.get(name)}, this run has {mine}")
    for entry in segments:
        _take_place(folder, entry.folder)
    return segments


def _mapped(path: Path, kind: type, shape: tuple[int, ...]) -> "NDArray[Any]":
    return np.memmap(path, kind, "r", shape=shape) if np.prod(shape) else np.zeros(shape, kind)


def _write_keys(folder: Path, keys: Keys, rows: "Rows", scheme: Scheme) -> None:
    """The keys of these rows."""
    numbers = np.arange(len(rows), dtype=np.uint64)
    with (folder / "bands").open("wb") as file:
        for band in range(scheme.bands[0]):
            packed = keys.band(band)[rows] << ROW_BITS | numbers
            packed.sort()
            file.write(packed.data)
    text = keys.text[rows]
    order = np.argsort(text, kind="stable")
    (folder / "copies").write_bytes(text[order].data)
    (folder / "rows").write_bytes(order.astype(np.uint32).data)
    (folder / "lengths").write_bytes(keys.length[rows].data)


def _write_texts(path: Path, texts: "Iterator[pa.RecordBatch]", rows: int) -> "Iterator[pa.RecordBatch]":
    """The next `rows` (name, text) into a file; gives what is left of them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"name": pa.large_string(), "text": pa.large_string()})
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=False) as file:
        while rows:
            batch = next(texts)
            file.write_batch(batch.slice(0, rows))
            if len(batch) > rows:
                texts = chain([batch.slice(rows)], texts)
            rows -= min(rows, len(batch))
    return texts
