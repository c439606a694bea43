"""Parquet as every release has it, from Arrow tables instead of records."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from builders.engine.parquet import ROW_GROUP, SHARD_BYTES, ParquetShards

if TYPE_CHECKING:
    import pyarrow as pa


class TableShards(ParquetShards):
    """ParquetShards that take tables; row groups and shards are cut where the same rows as records would be."""

    def __init__(self, folder: Path, schema: "pa.Schema") -> None:
        super().__init__(folder, schema)
        self._rows: dict[str, list[pa.Table]] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def add_rows(self, split: str, rows: "pa.Table") -> None:
        """Append rows to a split."""
        import pyarrow as pa

        waiting = self._rows.setdefault(split, [])
        waiting.append(rows)
        if sum(map(len, waiting)) < ROW_GROUP:
            return
        joined = pa.concat_tables(waiting)
        whole = len(joined) - len(joined) % ROW_GROUP
        for at in range(0, whole, ROW_GROUP):
            self._write(split, joined.slice(at, ROW_GROUP))
        self._rows[split] = [joined.slice(whole)]

    def __exit__(self, failed: object, *_: object) -> None:
        import pyarrow as pa

        whole = False
        try:
            for split, waiting in () if failed else self._rows.items():
                if sum(map(len, waiting)):
                    self._write(split, pa.concat_tables(waiting))
            whole = not failed
        finally:
            super().__exit__(not whole, *_)

    def _write(self, split: str, rows: "pa.Table") -> None:
        if self._bytes.get(split, SHARD_BYTES) >= SHARD_BYTES:
            self._next_shard(split)
        self._writers[split].write_table(rows.combine_chunks())  # as cut, however the rows came
        self._bytes[split] += rows.nbytes
