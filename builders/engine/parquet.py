"""Parquet as the Hub likes it: content-defined chunks (small diffs between versions), a page index, shards by size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

ROW_GROUP = 1000
SHARD_BYTES = 500_000_000
"""Uncompressed bytes a shard, the size `datasets` cuts at."""


def _usual(split: str) -> tuple[int, str]:
    """Train, validation, test; anything else after them."""
    known = ("train", "validation", "test")
    return (known.index(split) if split in known else len(known), split)


class ParquetShards:
    """Writes records to SPLIT-00000-of-0000N.parquet files in one folder; use as a context manager.

    `files` maps each split to its shards once the block has ended.
    """

    def __init__(self, folder: Path, schema: "pyarrow.Schema") -> None:
        self.folder = folder
        self.files: dict[str, list[Path]] = {}
        self._schema = schema
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._writers: dict[str, pyarrow.parquet.ParquetWriter] = {}
        self._bytes: dict[str, int] = {}

    def __enter__(self) -> "ParquetShards":
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def add(self, split: str, record: dict[str, Any]) -> None:
        """Append a record to a split."""
        waiting = self._waiting.setdefault(split, [])
        waiting.append(record)
        if len(waiting) >= ROW_GROUP:
            self._flush(split)

    def __exit__(self, failed: object, *_: object) -> None:
        try:
            if not failed:
                for split in list(self._waiting):
                    self._flush(split)
                for writer in self._writers.values():
                    writer.close()
        finally:
            for (
                writer
            ) in self._writers.values():  # after a full disk they would try again, and complain, when collected
                writer.is_open = False
        if failed:
            return
        self.files = {split: self._named(split, self.files[split]) for split in sorted(self.files, key=_usual)}

    def _flush(self, split: str) -> None:
        import pyarrow as pa

        records = self._waiting.pop(split, [])
        if not records:
            return
        if self._bytes.get(split, SHARD_BYTES) >= SHARD_BYTES:
            self._next_shard(split)
        table = pa.Table.from_pylist(records, schema=self._schema)
        self._writers[split].write_table(table)
        self._bytes[split] += table.nbytes

    def _next_shard(self, split: str) -> None:
        import pyarrow.parquet as pq

        if split in self._writers:
            self._writers[split].close()
        shards = self.files.setdefault(split, [])
        shards.append(self.folder / f"{split}-{len(shards):05d}.part")
        self._bytes[split] = 0
        self._writers[split] = pq.ParquetWriter(
            shards[-1], self._schema, compression="zstd", use_content_defined_chunking=True, write_page_index=True
        )

    def _named(self, split: str, paths: list[Path]) -> list[Path]:
        total = len(paths)
        names = [self.folder / f"{split}-{number:05d}-of-{total:05d}.parquet" for number in range(total)]
        return [path.rename(name) for path, name in zip(paths, names, strict=True)]
