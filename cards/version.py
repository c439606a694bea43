"""Semantic versions by content, after Croissant 1.1: what happened to the rows decides the number.

Rows removed, changed (same key, new id) or moved between splits: MAJOR. Rows added: MINOR. Same rows in other files:
PATCH. Nothing different: the same version.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import polars

FIRST = "1.0.0"


class Difference(NamedTuple):
    """Rows by what became of them."""

    added: int
    removed: int
    changed: int
    moved: int


def difference(before: "polars.DataFrame", after: "polars.DataFrame") -> Difference:
    """Compare two releases, each with the columns `key`, `id`, `split`. Several rows of one key are told apart by id."""
    import polars as pl

    counts = (
        before.group_by("key")
        .len("before")
        .join(after.group_by("key").len("after"), on="key", how="full", coalesce=True)
    )
    stayed = before.group_by("key", "id").len("b").join(after.group_by("key", "id").len("a"), on=["key", "id"])
    stayed = stayed.with_columns(same=pl.min_horizontal("a", "b"))
    counts = (
        counts.join(stayed.group_by("key").agg(pl.col("same").sum()), on="key", how="left")
        .fill_null(0)
        .with_columns(pl.col("before", "after", "same").cast(pl.Int64))
    )
    in_both = pl.min_horizontal("before", "after")
    totals = counts.select(
        added=(pl.col("after") - in_both).sum(),
        removed=(pl.col("before") - in_both).sum(),
        changed=(in_both - pl.col("same")).sum(),
    )
    places = pl.col("split").sort()
    moved = before.group_by("key").agg(places).join(after.group_by("key").agg(places), on="key", suffix="_after")
    same_size = pl.col("split").list.len() == pl.col("split_after").list.len()
    moved = moved.filter(same_size & (pl.col("split") != pl.col("split_after")))
    return Difference(**totals.to_dicts()[0], moved=moved.height)


def next_version(previous: str, changes: Difference, *, repackaged: bool) -> str:
    """The version after `previous`; raises ValueError when that is not MAJOR.MINOR.PATCH."""
    major, minor, patch = parts(previous)
    if changes.removed or changes.changed or changes.moved:
        return f"{major + 1}.0.0"
    if changes.added:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}" if repackaged else previous


def parts(version: str) -> tuple[int, int, int]:
    """MAJOR, MINOR, PATCH of a version, to compare it by; raises ValueError when it is none."""
    major, minor, patch = (int(part) for part in version.split("."))
    return major, minor, patch
