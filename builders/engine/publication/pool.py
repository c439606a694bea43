"""All rows of all configs, numbered through in the order of precedence: their names, and their texts."""

import bisect
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from builders.engine.dedup.texts import Joined, Source, chosen
from builders.engine.publication.folders import Config
from builders.sources.texts import TextOf, text_of
from schemas.settings import InputError

if TYPE_CHECKING:
    import numpy as np
    import polars
    import pyarrow as pa
    from numpy.typing import NDArray

    Rows = NDArray[np.integer[Any]]


class Pool:
    """The rows that a publication starts from."""

    def __init__(self, configs: Sequence[Config]) -> None:
        self.configs = configs
        *starts, self.rows = accumulate((config.rows for config in configs), initial=0)
        self.starts = starts
        """Number of the first row of each config."""

    @cached_property
    def index(self) -> "polars.DataFrame":
        """Columns config, key and id of every row."""
        import polars as pl

        names = pl.Enum([config.name for config in self.configs])
        frames = [pl.DataFrame(schema={"config": names, "key": pl.String, "id": pl.String})]
        for config in self.configs:
            for batch in config.batches(["key", "id"]):
                frame = pl.DataFrame({name: pl.Series(batch.column(name)) for name in ("key", "id")})
                frames.append(frame.select(pl.lit(config.name, names).alias("config"), "key", "id"))
        return pl.concat(frames)

    @cached_property
    def names(self) -> "polars.Series":
        """CONFIG/KEY of every row."""
        import polars as pl

        return self.index.select(pl.col("config").cast(pl.String) + "/" + pl.col("key")).to_series()

    def config_of(self, row: int) -> int:
        """Number of the config that a row is of."""
        return bisect.bisect_right(self.starts, row) - 1

    def place(self, row: int) -> str:
        """File and number of a row."""
        at = self.config_of(row)
        return self.configs[at].place(row - self.starts[at])

    def texts(self, granularity: str) -> Source:
        """What is said in every row: all of it, the first turn, or the answers."""
        return Joined([_Said(config, granularity) for config in self.configs])

    def check_keys(self) -> None:
        """Raise InputError when two rows have one key and are not the same row."""
        import polars as pl

        named = self.index.with_row_index("row")
        several = named.group_by("config", "key").agg("row", "id").filter(pl.col("id").list.n_unique() > 1)
        if several.height:
            _, key, rows, ids = several.sort(pl.col("row").list.min()).row(0)
            other = next(row for row, id in zip(rows, ids, strict=True) if id != ids[0])
            raise InputError(f"{self.place(rows[0])} and {self.place(other)}: two different rows have the key {key!r}")


class Part:
    """Some rows of a source, ascending, as a source of their own."""

    def __init__(self, source: Source, rows: "Rows") -> None:
        self.rows = len(rows)
        self._source, self._rows = source, rows

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All of them from the row `start` of these on."""
        for _, texts in chosen(self._source, self._rows[start:]):
            yield texts


class _Said:
    """What is said in every row of a config."""

    def __init__(self, config: Config, granularity: str) -> None:
        self.rows = config.rows
        self._config = config
        self._text: TextOf = text_of("messages", granularity, config.schema, config.name)

    def texts(self, start: int = 0) -> "Iterator[pa.LargeStringArray]":
        """All of them from row `start` on."""
        for batch in self._config.batches(self._text.columns, start=start):
            yield self._text(batch)
