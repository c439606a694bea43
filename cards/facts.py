"""The facts a data set card states, each measured on the files it describes."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from schemas.base import PromptUse, Record

if TYPE_CHECKING:
    import polars

NOT_MEASURED = {"id", "key", "origin", "form", "group"}
MESSAGES = "messages"
SAID = (MESSAGES, "prompt", "chosen", "rejected")
"""Columns of chat messages; what they say is measured as a whole."""
LABELS = 200
LABEL_CHARS = 40
"""A column is one of labels when it has at most so many different values, none of them longer than this."""


class Lengths(Record):
    """Characters of one text column."""

    column: str
    p5: int
    p25: int
    median: int
    p75: int
    p95: int
    longest: int


class Measured(Record):
    """One figure that the filters measured on the rows they let through."""

    name: str
    rows: int
    """Rows that have it."""
    total: float
    p5: float
    median: float
    p95: float


class Cell(Record):
    """One cell of a grid: rows asked for and rows reached."""

    asked: int
    reached: int


class BuildFacts(Record):
    """What the build knows of itself."""

    config: str
    builder: str
    code_version: str
    license: str
    teachers: tuple[str, ...]
    prompts: tuple[PromptUse, ...]
    inputs: tuple[str, ...]
    columns: dict[str, str]
    """What each column holds, in the words of its schema."""
    settings: dict[str, Any]
    coverage: dict[str, Cell]
    rejected: dict[str, int]
    """Rows that did not make it, by reason."""
    calls: int
    tokens_in: int
    tokens_out: int
    usd: float | None
    """Cost of the calls the rows were made from; None when a price is unknown."""
    ledger_digest: str
    answered_on: str
    """Date of the latest answer, as YYYY-MM-DD (UTC); empty when nobody was asked."""


class DatasetFacts(Record):
    """What the card says: the build, and what was measured on its rows."""

    build: BuildFacts
    splits: dict[str, int]
    lengths: tuple[Lengths, ...]
    shares: dict[str, dict[str, int]]
    """Rows per value, for every column with few values."""
    origins: dict[str, int]
    """Rows by who wrote the answer: distilled, real, rewritten, expanded."""
    sources: dict[str, int]
    """Rows by the data set they start from, as NAME (LICENCE)."""
    figures: tuple[Measured, ...]
    """What the filters measured, by name."""
    clusters: int
    """Near-duplicate clusters among the rows; equals the rows when no two are alike."""
    rehearsal: bool
    example: dict[str, Any]

    @property
    def rows(self) -> int:
        """Rows over all splits."""
        return sum(self.splits.values())

    @property
    def from_people(self) -> bool:
        """Whether patients or doctors wrote any of it, or what it was made from."""
        masked = any(figure.name.startswith("masked_") for figure in self.figures)
        return masked or bool(self.origins.keys() - {"distilled"})

    @property
    def judged(self) -> int:
        """Rows and rejects together."""
        return self.rows + sum(self.build.rejected.values())


def measure(build: BuildFacts, files: Mapping[str, Sequence[str]]) -> DatasetFacts:
    """Read the Parquet files of every split and measure them."""
    import polars as pl

    splits = {split: pl.scan_parquet(list(paths)).select(pl.len()).collect().item() for split, paths in files.items()}
    rows = pl.scan_parquet([path for paths in files.values() for path in paths])
    columns = [name for name, kind in rows.collect_schema().items() if kind == pl.String and name not in NOT_MEASURED]
    few, texts = _sorted_by_kind(rows, columns)
    provenance = rows.select(
        pl.col("provenance").struct.field("cluster").n_unique().alias("clusters"),
        pl.col("provenance").struct.field("rehearsal").any().alias("rehearsal"),
    ).collect()
    example = rows.drop("provenance", "messages", strict=False).head(1).collect().to_dicts()[0]
    return DatasetFacts(
        build=build,
        splits=splits,
        lengths=(*(_lengths(rows, column) for column in texts), *_said(rows)),
        shares={column: _share(rows, column) for column in few},
        origins=_share(rows, "origin"),
        sources=_share(rows.select(_source().alias("source")), "source"),
        figures=_figures(rows),
        clusters=provenance["clusters"][0],
        rehearsal=bool(provenance["rehearsal"][0]),
        example=json.loads(json.dumps(example)),
    )


def _sorted_by_kind(rows: "polars.LazyFrame", columns: list[str]) -> tuple[list[str], list[str]]:
    """Columns of labels, and columns of text: a label is short and comes again and again."""
    import polars as pl

    height = rows.select(pl.len()).collect().item()
    widest = rows.select(pl.col(columns).str.len_chars().max().fill_null(0)).collect().to_dicts()[0]
    kinds = rows.select(pl.col(columns).n_unique()).collect().to_dicts()[0]
    most = min(LABELS, max(1, height // 2))
    few = [name for name in columns if widest[name] <= LABEL_CHARS and kinds[name] <= most]
    return few, [name for name in columns if name not in few]


def _lengths(rows: "polars.LazyFrame", column: str) -> Lengths:
    import polars as pl

    size = pl.col(column).str.len_chars().fill_null(0)
    points = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "longest": 1.0}
    measured = rows.select(size.quantile(at, "nearest").cast(pl.Int64).alias(name) for name, at in points.items())
    return Lengths(column=column, **measured.collect().to_dicts()[0])


def _said(rows: "polars.LazyFrame") -> tuple[Lengths, ...]:
    """Characters of all messages of a row together, for every column of messages."""
    import polars as pl

    there = [name for name in SAID if name in rows.collect_schema()]
    contents = {name: pl.col(name).list.eval(pl.element().struct.field("content")).list.join("") for name in there}
    return tuple(_lengths(rows.select(text.alias(name)), name) for name, text in contents.items())


def _share(rows: "polars.LazyFrame", column: str) -> dict[str, int]:
    import polars as pl

    counted = (
        rows.group_by(pl.col(column).fill_null("(none)"))
        .len()
        .collect()
        .sort(["len", column], descending=[True, False])
    )
    return dict(counted.iter_rows())


def _source() -> "polars.Expr":
    import polars as pl

    source, license = (pl.col("provenance").struct.field(name) for name in ("source", "source_license"))
    stated = pl.when(license == "").then(pl.lit("no licence stated")).otherwise(license)
    return pl.when(source == "").then(pl.lit("(none)")).otherwise(pl.format("{} ({})", source, stated))


def _figures(rows: "polars.LazyFrame") -> tuple[Measured, ...]:
    import polars as pl

    figures = rows.select(pl.col("provenance").struct.field("filters").explode()).unnest("filters").drop_nulls("name")
    value = pl.col("value")
    points = {"p5": 0.05, "median": 0.5, "p95": 0.95}
    measured = figures.group_by("name").agg(
        pl.len().alias("rows"),
        value.sum().round(6).alias("total"),
        *(value.quantile(at, "nearest").alias(name) for name, at in points.items()),
    )
    return tuple(Measured(**one) for one in measured.sort("name").collect().to_dicts())
