"""The facts that the card of a joined release states: what each build says of itself, and what was measured on the files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cards.facts import Lengths
from schemas.base import Record

if TYPE_CHECKING:
    import polars

ORIGINS = ("distilled", "real", "rewritten", "expanded")
FORMS = ("instruction", "conversation")


class Made(Record):
    """One release folder that went in, as its manifest and reports have it."""

    version: str
    content: str
    builder: str
    code_version: str
    teachers: tuple[str, ...]
    prompts: dict[str, str]
    """Prompt name -> SHA-256."""
    settings: dict[str, Any]
    ledger_digest: str
    rows: int
    """Rows that were read of it."""
    judged: int | None
    """Rows that its builder judged; None when it does not say."""
    rejected: dict[str, int]
    """What its builder threw away, by reason."""


class Arrows(Record):
    """How many rows of a config are left after every step."""

    read: int
    same_row: int
    """Read from two folders."""
    exact_copy: int
    near_duplicate: int
    evaluation_item: int
    """Rows that give an evaluation item away; one that is a copy as well counts here."""
    left_out: int
    """By the mix."""
    rows: int

    @property
    def removed(self) -> dict[str, int]:
        """Step -> rows it took."""
        return {name: count for name, count in self.model_dump().items() if name not in ("read", "rows")}


class Source(Record):
    """Where some rows start from."""

    source: str
    license: str
    """As the source states it."""
    rows: int


class ConfigFacts(Record):
    """One config of a release."""

    name: str
    made: tuple[Made, ...]
    arrows: Arrows
    columns: dict[str, str]
    """Column -> its Arrow type."""
    splits: dict[str, int]
    grid: dict[str, dict[str, int]]
    """Origin -> form -> rows."""
    teachers: dict[str, int]
    """Model -> rows that it wrote into."""
    sources: tuple[Source, ...]
    licenses: dict[str, int]
    """Licence that rows are released under -> rows."""
    lengths: tuple[Lengths, ...]
    """Of the whole conversation, and of its messages in number."""
    rehearsed: int
    """Rows from the rehearsal."""
    example: dict[str, Any]

    @property
    def rows(self) -> int:
        """Rows of all splits."""
        return sum(self.splits.values())

    def union(self, what: str) -> list[str]:
        """What the folders say, each once: builder, code_version or ledger_digest."""
        return list(dict.fromkeys(str(made.model_dump()[what]) for made in self.made))


class PublicationFacts(Record):
    """What the card of a joined release says."""

    configs: tuple[ConfigFacts, ...]
    """In the order of precedence; the first is the default."""
    empty: dict[str, Arrows]
    """Configs of which no row is left."""
    settings: dict[str, Any]
    code_version: str
    twins: dict[str, dict[str, int]]
    """Config of the removed row -> config of the row it repeats -> rows."""
    benchmarks: tuple[dict[str, Any], ...]
    """Evaluation set by evaluation set: items, items_hit, removed, why."""
    clusters: int
    """Of rows whose first turns are alike, over all configs."""
    largest_cluster: int
    answered_on: str
    """Date of the latest answer in any build, YYYY-MM-DD; empty when none says."""

    @property
    def rows(self) -> int:
        """Rows of all configs."""
        return sum(config.rows for config in self.configs)

    @property
    def arrows(self) -> dict[str, Arrows]:
        """Of every config that was read."""
        return {**{config.name: config.arrows for config in self.configs}, **self.empty}

    @property
    def splits(self) -> dict[str, int]:
        """Rows of every split over all configs."""
        names = dict.fromkeys(split for config in self.configs for split in config.splits)
        return {split: sum(config.splits.get(split, 0) for config in self.configs) for split in names}

    @property
    def grid(self) -> dict[str, dict[str, int]]:
        """Origin -> form -> rows, over all configs."""
        grids = [config.grid for config in self.configs]
        return {
            origin: {form: sum(grid.get(origin, {}).get(form, 0) for grid in grids) for form in FORMS}
            for origin in ORIGINS
        }

    @property
    def rehearsal(self) -> bool:
        """Whether any row is from the rehearsal."""
        return any(config.rehearsed for config in self.configs)

    @property
    def licenses(self) -> list[str]:
        """Licences that rows are released under; "" stands for rows without one."""
        return sorted({license for config in self.configs for license in config.licenses})


def measured(files: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the Parquet files of a config, by split, say of its rows: the fields of ConfigFacts that are measured."""
    import polars as pl

    rows = pl.scan_parquet([path for paths in files.values() for path in paths])
    length = pl.element().struct.field("content").str.len_chars()
    said = rows.select(
        characters=pl.col("messages").list.eval(length).list.sum(), messages=pl.col("messages").list.len()
    )
    about = rows.select(pl.col("provenance").struct.unnest()).with_columns(pl.col(pl.String).fill_null(""))
    sources = _counted(about.select("source", "source_license"))
    teachers = _counted(about.select("teachers").explode("teachers").drop_nulls())
    example = rows.drop("provenance", "messages").head(1).collect().to_dicts()[0]
    return {
        "splits": {
            split: pl.scan_parquet(list(paths)).select(pl.len()).collect().item() for split, paths in files.items()
        },
        "grid": _grid(_counted(rows.select("origin", "form"))),
        "teachers": dict(teachers),
        "sources": tuple(Source(source=source, license=stated, rows=count) for source, stated, count in sources),
        "licenses": dict(_counted(about.select("license"))),
        "lengths": tuple(_lengths(said, name) for name in ("characters", "messages")),
        "rehearsed": about.select(pl.col("rehearsal").sum()).collect().item(),
        "example": json.loads(json.dumps(example)),
    }


class Clusters(NamedTuple):
    """Clusters of rows whose first turns are alike."""

    number: int
    largest: int
    cut: int
    """Those that stand in two splits."""


def clusters(files: Iterable[Mapping[str, Sequence[str]]]) -> Clusters:
    """Measured over the files of all configs, each by split."""
    import polars as pl

    cluster = pl.col("provenance").struct.field("cluster")
    parts = [
        pl.scan_parquet(list(paths)).select(cluster, split=pl.lit(split))
        for of_config in files
        for split, paths in of_config.items()
    ]
    each = pl.concat(parts).group_by("cluster").agg(pl.len().alias("rows"), pl.col("split").n_unique())
    found = each.select(number=pl.len(), largest=pl.col("rows").max(), cut=(pl.col("split") > 1).sum())
    return Clusters(**found.collect().to_dicts()[0])


def _counted(rows: "polars.LazyFrame") -> list[tuple[Any, ...]]:
    """The different rows, each with its number behind it, most first."""
    import polars as pl

    names = rows.collect_schema().names()
    counted = rows.group_by(names).agg(pl.len().alias("rows")).collect()
    return counted.sort(["rows", *names], descending=[True, *(False for _ in names)]).rows()


def _grid(counted: list[tuple[Any, ...]]) -> dict[str, dict[str, int]]:
    grid: dict[str, dict[str, int]] = {}
    for origin, form, rows in sorted(counted):
        grid.setdefault(origin, {})[form] = rows
    return grid


def _lengths(rows: "polars.LazyFrame", column: str) -> Lengths:
    import polars as pl

    points = {"p5": 0.05, "p25": 0.25, "median": 0.5, "p75": 0.75, "p95": 0.95, "longest": 1.0}
    found = rows.select(
        pl.col(column).quantile(at, "nearest").cast(pl.Int64).alias(name) for name, at in points.items()
    )
    return Lengths(column=column, **found.collect().to_dicts()[0])
