"""Which rows stay: no row twice or nearly so, none that gives an evaluation item away, and so many of each config.

Of several rows that repeat each other the one first in the order of precedence stays (*leader* decision): every row that
goes for being like another names a row that stays, or that the mix left out.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from builders.engine.dedup.benchmarks import Benchmark, Benchmarks, Hit
from builders.engine.dedup.find import Found, Say, find
from builders.engine.dedup.overlap import COVERED, SPAN
from builders.engine.dedup.scheme import LONG_NGRAM, SHORT_NGRAM, Scheme
from builders.engine.publication.mix import drawn
from builders.engine.publication.pool import Part, Pool
from builders.engine.splits import CLUSTER_JACCARD, placed
from builders.sources.tables import Table, open_tables
from builders.sources.texts import text_of
from schemas.settings import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Fate(IntEnum):
    """What becomes of a row."""

    KEPT = 0
    SAME = 1
    EXACT = 2
    NEAR = 3
    GIVEN_AWAY = 4
    LEFT_OUT = 5


REASONS = {
    Fate.SAME: "same row twice",
    Fate.EXACT: "exact copy",
    Fate.NEAR: "near-duplicate",
    Fate.GIVEN_AWAY: "evaluation item",
    Fate.LEFT_OUT: "left out by the mix",
}


class Chosen(NamedTuple):
    """The fate of every row of a pool, and why."""

    fate: "NDArray[np.uint8]"
    twin: "NDArray[np.int64]"
    """The kept row that a row repeats, -1 where there is none."""
    jaccard: "NDArray[np.float64]"
    hits: dict[int, Hit]
    """What a row that gives an evaluation item away was found by."""

    @property
    def kept(self) -> "NDArray[np.int64]":
        """The rows that stay, ascending."""
        return np.flatnonzero(self.fate == Fate.KEPT)

    def counts(self, pool: Pool) -> list[dict[Fate, int]]:
        """For each config how many rows met which fate."""
        ends = [*pool.starts[1:], pool.rows]
        many = [np.bincount(self.fate[a:b], minlength=len(Fate)) for a, b in zip(pool.starts, ends, strict=True)]
        return [{fate: int(counted[fate]) for fate in Fate} for counted in many]

    def detail(self, row: int, pool: Pool, benchmarks: Benchmarks) -> str:
        """Why a row goes, in words."""
        fate = self.fate[row]
        if fate == Fate.LEFT_OUT:
            return ""
        if fate != Fate.GIVEN_AWAY:
            return f"Jaccard {self.jaccard[row]:.4f} with {pool.names[int(self.twin[row])]}"
        return f"{_why(self.hits[row])} of {benchmarks.place(self.hits[row].item)}"


def _why(hit: Hit) -> str:
    why = [f"Jaccard {hit.jaccard:.4f}"] if hit.jaccard else []
    why += [f"{hit.covered:.0%} of the 13-grams"] if hit.covered >= COVERED else []
    why += [f"{hit.span} characters in a row"] if hit.span >= SPAN else []
    return ", ".join(why)


def evaluation_sets(names: Sequence[str], text: str | None, granularity: str, scratch: Path) -> Benchmarks:
    """Evaluation sets to be kept out of the rows; raises InputError for one that cannot be read."""
    return Benchmarks([_benchmark(table, text, granularity) for table in open_tables(names, scratch)])


def _benchmark(table: Table, text: str | None, granularity: str) -> Benchmark:
    flag = "--against-text" if text else "--against"
    try:
        texts = text_of(text or "messages", "text" if text else granularity, table.schema, table.name, flag=flag)
    except InputError as wrong:
        hint = "" if text else "; --against-text says what is compared of evaluation sets"
        raise InputError(f"--against {wrong}{hint}") from None
    items = [item for batch in table.batches(texts.columns) for item in texts(batch).to_pylist()]
    name = Path(table.name).name if Path(table.name).exists() else table.name  # where it lies is nobody else's business
    return Benchmark(name, items, table.place)


def choose(
    pool: Pool, benchmarks: Benchmarks, *, granularity: str, max_jaccard: float, scratch: Path, say: Say
) -> Chosen:
    """Judge every row by its text; the mix comes later."""
    scheme = Scheme(max_jaccard, SHORT_NGRAM if granularity == "first-turn" else LONG_NGRAM)
    found = find(pool.texts(granularity), scheme, benchmarks=benchmarks, folder=scratch, say=say)
    chosen = Chosen(np.zeros(pool.rows, np.uint8), np.full(pool.rows, -1), np.zeros(pool.rows), benchmarks.worst())
    chosen.fate[found.row] = _fates(pool, found)
    chosen.twin[found.row] = np.where(found.contaminated, -1, found.twin)
    chosen.jaccard[found.row] = found.jaccard
    _check_one_row_a_key(pool, chosen)
    return chosen


def _fates(pool: Pool, found: Found) -> "NDArray[Any]":
    twin = np.where(found.contaminated, found.row, found.twin)
    same = (pool.names.gather(found.row) == pool.names.gather(twin)).to_numpy()
    alike = np.where(same, Fate.SAME, np.where(found.exact, Fate.EXACT, Fate.NEAR))
    return np.where(found.contaminated, Fate.GIVEN_AWAY, alike)


def _check_one_row_a_key(pool: Pool, chosen: Chosen) -> None:
    """Rows of one key say the same, so all but one are copies, unless a file lies about an id."""
    names = pool.names.gather(chosen.kept)
    if double := names.filter(names.is_duplicated()).head(1).to_list():
        one, other, *_ = (pool.place(row) for row in (pool.names == double[0]).arg_true().to_list())
        raise InputError(f"{one} and {other}: have one key and one id, and other messages; build again")


def leave_out(pool: Pool, chosen: Chosen, mix: Mapping[str, int], seed: int) -> list[str]:
    """Take so many rows of each config in the mix, by the hash of their keys; tells where there were too few."""
    short = []
    for config, start in zip(pool.configs, pool.starts, strict=True):
        if config.name not in mix:
            continue
        rows = start + np.flatnonzero(chosen.fate[start : start + config.rows] == Fate.KEPT)
        taken = drawn(pool.names.gather(rows), mix[config.name], seed)
        if len(taken) < mix[config.name]:
            short.append(f"{config.name}: {len(taken):,} rows are left, --mix asks for {mix[config.name]:,}")
        chosen.fate[np.delete(rows, taken)] = Fate.LEFT_OUT
    return short


def places(pool: Pool, chosen: Chosen, old: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """CONFIG/KEY of every kept row -> (split, cluster): clusters of like first turns over all configs, none cut.

    `old` holds the splits of the previous release.
    """
    kept = chosen.kept
    names = pool.names.gather(kept).to_list()
    found = find(Part(pool.texts("first-turn"), kept), Scheme(CLUSTER_JACCARD, SHORT_NGRAM), mode="cluster")
    first = dict(zip(found.row.tolist(), found.twin.tolist(), strict=True))
    return placed({name: names[first.get(row, row)] for row, name in enumerate(names)}, old)
