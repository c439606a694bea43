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

    both = before.unique("key").join(after.unique("key"), on="key", suffix="_after")
    return Difference(
        added=after.join(before, on="key", how="anti").height,
        removed=before.join(after, on="key", how="anti").height,
        changed=both.filter(pl.col("id") != pl.col("id_after")).height,
        moved=both.filter(pl.col("split") != pl.col("split_after")).height,
    )


def next_version(previous: str, changes: Difference, *, repackaged: bool) -> str:
    """The version after `previous`; raises ValueError when that is not MAJOR.MINOR.PATCH."""
    major, minor, patch = (int(part) for part in previous.split("."))
    if changes.removed or changes.changed or changes.moved:
        return f"{major + 1}.0.0"
    if changes.added:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}" if repackaged else previous
