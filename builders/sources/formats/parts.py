"""Parquet files that rows are read from, or converted into: a part each, with a schema of its own."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from builders.sources.formats.column_types import fitted
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet

BUFFER = 1 << 20
"""Bytes of a column read at once; without it the whole column of a row group."""


class Part(NamedTuple):
    """A Parquet file."""

    path: Path
    schema: "pa.Schema"
    rows: int

    def batches(self, schema: "pa.Schema", start: int, at_most: int) -> Iterator["pa.RecordBatch"]:
        """Rows from `start` on, as columns of a schema that holds what the part's own does; absent ones are null."""
        import pyarrow as pa

        names = [name for name in schema.names if name in self.schema.names]
        if names:
            for batch in self._read(names, start, at_most):
                yield pa.RecordBatch.from_arrays([self._column(batch, field) for field in schema], schema=schema)
            return
        for at in range(start, self.rows, at_most):
            rows = min(at_most, self.rows - at)
            yield pa.RecordBatch.from_arrays([pa.nulls(rows, field.type) for field in schema], schema=schema)

    def _read(self, names: list[str], start: int, at_most: int) -> Iterator["pa.RecordBatch"]:
        with parquet_file(self.path) as file:
            sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
            first = 0
            while first < len(sizes) and start >= sizes[first]:
                start -= sizes[first]
                first += 1
            missing = sum(sizes[first:])
            for batch in file.iter_batches(at_most, row_groups=range(first, len(sizes)), columns=names):
                batch.validate(full=True)  # damaged texts would end the process later
                missing -= batch.num_rows
                if start < batch.num_rows:
                    yield batch.slice(start)
                start = max(0, start - batch.num_rows)
            if missing:
                raise InputError(f"{self.path}: damaged: {missing} rows fewer than its footer says")

    def _column(self, batch: "pa.RecordBatch", field: "pa.Field") -> "pa.Array":
        import pyarrow as pa

        if field.name not in batch.schema.names:
            return pa.nulls(batch.num_rows, field.type)
        try:
            return fitted(batch.column(field.name), field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as wrong:
            raise InputError(f"{self.path}: column {field.name}: {_one_line(wrong)}") from None


def part_of(path: Path) -> Part:
    """A Parquet file by its footer; raises InputError when it has none, or two columns of one name."""
    with parquet_file(path) as file:
        schema = file.schema_arrow
        if double := next((name for name in schema.names if schema.names.count(name) > 1), None):
            raise InputError(f"{path}: two columns are named {double!r}; rename one")
        return Part(path, schema, file.metadata.num_rows)


@contextlib.contextmanager
def parquet_file(path: Path) -> Iterator["pa.parquet.ParquetFile"]:
    """A Parquet file to read; what is wrong with it, while it is open, is an InputError that names it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER, page_checksum_verification=True) as file:
            yield file
    except (OSError, UnicodeDecodeError, pa.ArrowException) as wrong:
        raise InputError(f"{path}: cannot be read as Parquet: {_one_line(wrong)}") from None


def _one_line(wrong: BaseException) -> str:
    return " ".join(str(wrong).split())


class PartWriter:
    """Writes tables to part-00000.parquet and so on, a new one where the schema changes; use as a context manager.

    It writes in a thread of its own, one table at a time, so that the next can be parsed meanwhile.
    """

    def __init__(self, folder: Path) -> None:
        self.tables = 0
        self._folder = folder
        self._files = 0
        self._writer: pyarrow.parquet.ParquetWriter | None = None
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def write(self, table: "pa.Table") -> None:
        """Write a table as a row group; what went wrong with the one before is raised here."""
        if self._last is not None:
            self._last.result()
        self.tables += 1
        self._last = self._pool.submit(self._write, table)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, wrong: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()
        try:
            if kind is None and self._last is not None:
                self._last.result()
                self._close()
        finally:
            if self._writer is not None:  # after a full disk it would try again, and complain, when collected
                self._writer.is_open = False

    def _write(self, table: "pa.Table") -> None:
        import pyarrow.parquet as pq

        if self._writer is None or self._writer.schema != table.schema:
            self._close()
            path = self._folder / f"part-{self._files:05d}.parquet"
            self._files += 1
            self._writer = pq.ParquetWriter(
                path, table.schema, compression="zstd", compression_level=1, use_dictionary=False
            )
        self._writer.write_table(table)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
