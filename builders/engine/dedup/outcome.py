"""Writes what a search found: the kept rows, the removed ones with their twins, the pairs, the report."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.engine.dedup import arrow
from builders.engine.dedup.benchmarks import Benchmarks
from builders.engine.dedup.find import Found
from builders.engine.dedup.stored import Index
from builders.engine.dedup.texts import READ_AHEAD, ahead
from builders.sources.tables import merged_schema
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet
    from numpy.typing import NDArray

    from builders.sources.tables import Table

    Rows = NDArray[np.integer[Any]]

ADDED = ("twin", "jaccard", "cluster", "reason")
"""Columns of removed.parquet behind those of the input."""
ROW_GROUP = 1 << 13


class Names:
    """What rows are called: by their id, or by file and number."""

    def __init__(self, tables: "Sequence[Table]", ids: str | None, index: Index | None, benchmarks: Benchmarks) -> None:
        self._tables, self._column, self._index, self._items = tables, ids, index, benchmarks
        self._starts = np.cumsum([0, *(table.rows for table in tables)])
        self._stored: dict[int, str] = {}

    @cached_property
    def _ids(self) -> "pa.ChunkedArray | None":
        import pyarrow as pa

        if not (ids := self._column):
            return None
        kind, batches = pa.large_string(), (batch for table in self._tables for batch in table.batches([ids]))
        try:
            return pa.chunked_array([batch.column(0).cast(kind) for batch in batches], kind)
        except pa.ArrowException as wrong:
            raise InputError(f"--id {ids}: {wrong}") from None

    def know(self, twins: "Rows") -> None:
        """Look up the stored rows among these twins, all at once."""
        if self._index:
            rows = np.unique(twins[twins < 0]) + self._index.rows
            self._stored = dict(zip((rows - self._index.rows).tolist(), self._index.names(rows), strict=True))

    def __call__(self, rows: "Rows") -> list[str]:
        """The name of each row; of a stored one (negative), as its release called it."""
        if self._ids is not None and (not len(rows) or rows.min() >= 0):
            return ["" if name is None else name for name in self._ids.take(arrow.numbers(rows)).to_pylist()]
        return [self._stored[row] if row < 0 else self.of(row) for row in rows.tolist()]

    def of(self, row: int) -> str:
        """The name of one row of the inputs."""
        if self._ids is not None:
            return self._ids[row].as_py() or ""
        table = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._tables[table].place(row - int(self._starts[table]))

    def item(self, item: int) -> str:
        """The name of an evaluation item."""
        return self._items.place(item)


class Clusters:
    """Numbers the groups of rows that repeat each other, from 1, in the order of the kept row of each."""

    def __init__(self, found: Found) -> None:
        self._kept = np.unique(found.twin[~found.contaminated])
        self.count = len(self._kept)

    def __call__(self, twins: "Rows") -> "Rows":
        """The number of the group that each of these kept rows stands for."""
        return np.searchsorted(self._kept, twins) + 1


@contextlib.contextmanager
def drafts(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Gives the draft of a file; all take their places when the block has ended, in this order, and none if it fails."""
    names: list[str] = []

    def draft(name: str) -> Path:
        names.append(name)
        return folder / f".{name}.part"

    try:
        yield draft
        for name in names:
            (folder / f".{name}.part").replace(folder / name)
    finally:
        for name in names:
            (folder / f".{name}.part").unlink(missing_ok=True)


@contextlib.contextmanager
def parquet(path: Path, schema: "pa.Schema", texts: Sequence[str] = ()) -> "Iterator[pyarrow.parquet.ParquetWriter]":
    """A writer of a file; `texts` hardly repeat, and get no dictionary."""
    import pyarrow.parquet as pq

    often = [name for name in schema.names if name not in texts] or False
    writer = pq.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, use_dictionary=often, write_statistics=often
    )
    try:
        yield writer
        writer.close()
    finally:
        writer.is_open = False  # after a full disk it would try again, and complain, when collected


def write_rows(
    tables: "Sequence[Table]", found: Found, names: Names, files: tuple[Path, Path], texts: Sequence[str]
) -> None:
    """The kept rows, and the removed ones, into these two files."""
    schema = merged_schema(tables)
    removed_schema = _with_verdicts(schema)
    names.know(found.twin[~found.contaminated])
    clusters, row, place = Clusters(found), 0, 0
    with (
        parquet(files[0], schema, texts) as kept,
        parquet(files[1], removed_schema, texts) as removed,
        ThreadPoolExecutor(1) as pool,
    ):
        writing = [pool.submit(int)]
        for batch in ahead(_batches(tables, schema)):
            end = int(np.searchsorted(found.row, row + len(batch)))
            going = found.row[place:end] - row
            stays = np.ones(len(batch), bool)
            stays[going] = False
            writing.append(pool.submit(kept.write_batch, batch.filter(arrow.flags(stays)) if len(going) else batch))
            if len(going):
                verdicts = _verdicts(found, slice(place, end), names, clusters)
                rows = [*batch.take(arrow.numbers(going)).columns, *verdicts]
                writing.append(pool.submit(removed.write_batch, type(batch).from_arrays(rows, schema=removed_schema)))
            while len(writing) > READ_AHEAD:
                writing.pop(0).result()
            row, place = row + len(batch), end
        for last in writing:
            last.result()


def _batches(tables: "Sequence[Table]", schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    import pyarrow as pa

    for table in tables:
        for batch in table.batches(at_most=ROW_GROUP):
            if batch.schema == schema:
                yield batch
                continue
            columns = [_fitted(batch, field, table.name) for field in schema]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _fitted(batch: "pa.RecordBatch", field: "pa.Field", where: str) -> "pa.Array":
    import pyarrow as pa

    if field.name not in batch.schema.names:
        return pa.nulls(len(batch), field.type)
    try:
        return batch.column(field.name).cast(field.type)
    except pa.ArrowException as wrong:
        raise InputError(
            f"{where}: column {field.name}: cannot stand beside that of the other inputs: {wrong}"
        ) from None


def _with_verdicts(schema: "pa.Schema") -> "pa.Schema":
    """Columns of removed.parquet; a name that the input has too is prefixed."""
    import pyarrow as pa

    types = (pa.large_string(), pa.float64(), pa.int64(), pa.large_string())
    for name, kind in zip(ADDED, types, strict=True):
        while name in schema.names:
            name = f"dedup_{name}"
        schema = schema.append(pa.field(name, kind))
    return schema


def _verdicts(found: Found, part: slice, names: Names, clusters: Clusters) -> "list[pa.Array]":
    given, twins = found.contaminated[part], found.twin[part]
    twin = np.empty(len(twins), object)
    twin[~given] = names(twins[~given])
    twin[given] = [names.item(int(item)) for item in twins[given]]
    reason = np.where(given, "evaluation", np.where(found.exact[part], "exact", "near"))
    return [
        arrow.texts(twin.tolist()),
        arrow.numbers(found.jaccard[part], null=given & (found.jaccard[part] == 0)),
        arrow.numbers(clusters(twins), null=given),
        arrow.texts(reason.tolist()),
    ]
