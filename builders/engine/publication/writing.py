"""Writes the rows that stay as they are, config by config, and those that go with their reason: Arrow in, Arrow out."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.engine.dedup import arrow
from builders.engine.dedup.benchmarks import Benchmarks
from builders.engine.folder import REJECTED
from builders.engine.publication.choosing import REASONS, Chosen, Fate
from builders.engine.publication.folders import Config
from builders.engine.publication.pool import Pool
from builders.engine.publication.shards import TableShards
from builders.engine.run import Rejected

if TYPE_CHECKING:
    import polars
    import pyarrow as pa
    from numpy.typing import NDArray

    Rows = NDArray[np.integer[Any]]

PUBLISH = "publish"
"""Who rejects here."""


def write_rows(
    draft: Path, pool: Pool, chosen: Chosen, places: Mapping[str, tuple[str, str]], license: str
) -> "polars.DataFrame":
    """One directory per config, rows in the order they were read; gives key (CONFIG/KEY), id and split of every row.

    A row changes in its provenance alone: it gets its cluster, and `license` where it states none.
    """
    import polars as pl

    for config, start in zip(pool.configs, pool.starts, strict=True):
        if not (chosen.fate[start : start + config.rows] == Fate.KEPT).any():
            continue
        with TableShards(draft / config.name, config.schema) as shards:
            for first, batch in _numbered(config, start):
                kept = np.flatnonzero(chosen.fate[first : first + len(batch)] == Fate.KEPT)
                rows = batch.take(arrow.numbers(kept))
                placed = [places[name] for name in pool.names.gather(first + kept)]
                rows = _with_provenance(rows, [cluster for _, cluster in placed], license)
                _by_split(shards, rows, [split for split, _ in placed])
    kept, names = chosen.kept, pool.names.gather(chosen.kept)
    splits = pl.Series([places[name][0] for name in names], dtype=pl.String)
    return pl.DataFrame({"key": names, "id": pool.index["id"].gather(kept), "split": splits})


def _by_split(shards: TableShards, rows: "pa.RecordBatch", splits: list[str]) -> None:
    import pyarrow as pa

    for split in dict.fromkeys(splits):
        mine = np.flatnonzero([one == split for one in splits])
        shards.add_rows(split, pa.Table.from_batches([rows.take(arrow.numbers(mine))]))


def _with_provenance(rows: "pa.RecordBatch", clusters: list[str], license: str) -> "pa.RecordBatch":
    import pyarrow as pa
    import pyarrow.compute as pc

    at = rows.schema.get_field_index("provenance")
    provenance = rows.column(at)
    fields = {field.name: provenance.field(number) for number, field in enumerate(provenance.type)}
    stated = fields["license"].fill_null("")
    fields["license"] = pc.if_else(pc.equal(stated, ""), pa.scalar(license, stated.type), stated)
    fields["cluster"] = pa.array(clusters, fields["cluster"].type)
    struct = pa.StructArray.from_arrays(list(fields.values()), fields=list(provenance.type))
    return rows.set_column(at, rows.schema.field(at), struct)


def write_rejected(draft: Path, pool: Pool, chosen: Chosen, benchmarks: Benchmarks) -> None:
    """Every row that goes, whole, under `rejected`, and what may be published of it under `reports`: never text.

    A key may be text, so its hash stands for it.
    """
    import pyarrow as pa

    if len(chosen.kept) == pool.rows:
        return
    schema = pa.schema([pa.field(name, pa.string()) for name in Rejected.model_fields])
    with (
        TableShards(draft / REJECTED, schema) as shards,
        (draft / "reports" / "rejected.jsonl").open("w", encoding="utf-8") as told,
    ):
        for config, start in zip(pool.configs, pool.starts, strict=True):
            for first, batch in _numbered(config, start):
                gone = first + np.flatnonzero(chosen.fate[first : first + len(batch)] != Fate.KEPT)
                if not len(gone):
                    continue
                reasons = [REASONS[Fate(fate)] for fate in chosen.fate[gone].tolist()]
                details = [chosen.detail(row, pool, benchmarks) for row in gone.tolist()]
                table = _rejected(batch.take(arrow.numbers(gone - first)), config.name, reasons, details)
                shards.add_rows("rejected", table.cast(schema))
                told.writelines(
                    _told(config.name, key, why) for key, why in zip(table["key"].to_pylist(), reasons, strict=True)
                )


def _rejected(rows: "pa.RecordBatch", config: str, reasons: list[str], details: list[str]) -> "pa.Table":
    import polars as pl
    import pyarrow as pa

    frame = pl.DataFrame(pa.Table.from_batches([rows]))
    columns = {
        "key": frame["key"],
        "builder": pl.repeat(PUBLISH, frame.height, eager=True),
        "config": pl.repeat(config, frame.height, eager=True),
        "reason": pl.Series(reasons, dtype=pl.String),
        "detail": pl.Series(details, dtype=pl.String),
        "row": frame.select(pl.struct(pl.all()).struct.json_encode()).to_series(),
    }
    return pl.DataFrame(columns).to_arrow()


def _told(config: str, key: str, reason: str) -> str:
    id = hashlib.sha256(key.encode()).hexdigest()
    return json.dumps({"config": config, "id": id, "reason": reason}, ensure_ascii=False) + "\n"


def _numbered(config: Config, start: int) -> "Iterator[tuple[int, pa.RecordBatch]]":
    """The rows of a config in batches, each with the number of its first."""
    for batch in config.batches():
        yield start, batch
        start += len(batch)
