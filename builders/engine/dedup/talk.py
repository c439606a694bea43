"""What a search says while it runs, and at its end. Talk goes to stderr."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from builders.engine.dedup.find import Found
from builders.engine.dedup.outcome import Names
from builders.engine.dedup.scheme import Scheme, found
from builders.engine.dedup.texts import Source, chosen

if TYPE_CHECKING:
    from builders.sources.tables import Table

SECONDS_BETWEEN_LINES = 10.0
EXAMPLES, EXAMPLE_LETTERS = 3, 60


class Progress:
    """One line that moves on a terminal, a line now and then in a log."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._pause = 0.2 if self._live else SECONDS_BETWEEN_LINES
        self._started = self._said = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """`done` of `total` texts have been read, loaded or compared."""
        now = time.monotonic()
        if now - self._said >= self._pause:
            self._said = now
            line = f"{what}: {done:,} of {total:,} texts  {now - self._started:.0f} s"
            print(f"\r{line:<70}" if self._live else line, end="" if self._live else "\n", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Wipe the line that moves."""
        if self._live:
            print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)


def say_plan(tables: "Sequence[Table]", scheme: Scheme, kernel: str, threads: int) -> None:
    """What is compared, and how surely a pair is found."""
    rows = sum(table.rows for table in tables)
    bands, per_band = scheme.bands
    print(
        f"{rows:,} texts, {scheme.ngram}-grams of characters, {kernel} kernel, {threads} threads; {bands} bands of "
        f"{per_band} of {scheme.permutations} permutations",
        file=sys.stderr,
    )
    curve = "  ".join(f"{jaccard:.2f}: {chance:.3f}" for jaccard, chance in scheme.curve())
    print(f"a pair this alike is compared with this probability: {curve}", file=sys.stderr)
    if (reached := found(scheme.threshold, *scheme.bands)) < scheme.recall:
        print(
            f"--recall {scheme.recall} cannot be reached, {reached:.3f} is; take more --permutations", file=sys.stderr
        )
    for table in tables:
        if table.rejected_rows:
            print(f"{table.name}: {table.rejected_rows} rows cannot be read and are kept apart", file=sys.stderr)


def say_result(counts: dict[str, Any]) -> None:
    """The count at every arrow."""
    given = f" → {counts['evaluation']:,} give an evaluation item away" if counts["evaluation"] else ""
    print(
        f"{counts['texts']:,} texts → {counts['exact']:,} exact and {counts['near']:,} near copies, in "
        f"{counts['clusters']:,} clusters{given} → {counts['kept']:,} kept",
        file=sys.stderr,
    )


def say_benchmarks(report: list[dict[str, Any]]) -> None:
    """A line for each evaluation set."""
    for one in report:
        print(
            f"  {one['benchmark']}: {one['items_hit']} of {one['items']} items given away by {one['removed']} texts; "
            f"{one['only_touched']} more share 13 characters with one",
            file=sys.stderr,
        )


def examples(found: Found, source: Source, names: Names) -> list[dict[str, Any]]:
    """The near-duplicates nearest to the threshold, with the beginning of both texts."""
    near = np.flatnonzero(~found.exact & ~found.contaminated & (found.twin >= 0))
    near = near[np.argsort(found.jaccard[near], kind="stable")][:EXAMPLES]
    wanted = np.unique(np.concatenate((found.row[near], found.twin[near])).astype(np.int64))
    texts: list[str] = []
    for _, some in chosen(source, wanted):
        texts += some.to_pylist()
    of = dict(zip(wanted.tolist(), texts, strict=True))
    return [
        {"jaccard": round(float(found.jaccard[place]), 4)}
        | {"removed": names.of(row), "removed_text": of[row][:EXAMPLE_LETTERS]}
        | {"kept": names.of(twin), "kept_text": of[twin][:EXAMPLE_LETTERS]}
        for place, row, twin in zip(near, found.row[near].tolist(), found.twin[near].tolist(), strict=True)
    ]


def say_examples(shown: list[dict[str, Any]]) -> None:
    """What was called near with the least right."""
    for one in shown:
        print(f"  {one['jaccard']:.3f}  {one['removed']}  {' '.join(one['removed_text'].split())}", file=sys.stderr)
        print(f"      as  {one['kept']}  {' '.join(one['kept_text'].split())}", file=sys.stderr)
