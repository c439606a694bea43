"""What deduplication tools keep, against comparing every pair: exact Jaccard similarity of character 5-grams.

    python tests/benchmarks/dedup_truth.py --data ../shared/data --home ~/.cache/suwen-bench
    python tests/benchmarks/dedup_truth.py --data … --home … --sets reports,books-50000 --tools suwen-leader,rensa

Peers get the texts folded as ours folds them, the same 5-grams, 128 permutations and, but for `datasketch-auto`,
16 x 8 bands. The truth shares no code with ours: sets of strings, counted by a sparse product. It stays beside its set.

left       pairs at or above the threshold of which both are kept
false      removed, though nothing in the set is at or above the threshold
unjust     removed, though nothing that is kept is at or above the threshold
lost       groups of near duplicates of which nothing is kept
recall     of what one text a group would remove; ours keeps both ends of a chain by default, and so stays below 1
precision  of the removed, those that are in a group
untrue     of ours, removed rows that name a twin that was not kept, or not its exact similarity
"""

import argparse
import json
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from dedup_peers.tools import TOOLS, Tool, tool
from dedup_sets import data_and_home, folded, folded_copy, on_disk
from numpy.typing import NDArray
from peers import Failed
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

NGRAM, THRESHOLD = 5, 0.8
CLOSE = 1e-9
ROWS = 500  # of the product at once
SIZES = {"reports": "reports-8000", "books": "books-8000"}
DEFAULT_TOOLS = "suwen-leader,suwen-cluster,datasketch,datasketch-auto,rensa,fastsketchlsh,text-dedup,datatrove"
COLUMNS = ("left", "false", "unjust", "lost", "untrue", "recall", "precision", "kept", "removed", "seconds", "failed")

Rows = NDArray[np.int64]


class Truth(NamedTuple):
    """All pairs of a set at or above the threshold, by row number."""

    one: Rows
    other: Rows
    group: Rows
    """The group of each row: rows that pairs link, at any number of steps."""

    @property
    def sizes(self) -> Rows:
        """Rows in each group."""
        return np.bincount(self.group)


def shingles(text: str) -> set[str]:
    """Of a folded text; one that is shorter than an n-gram is its own only shingle."""
    return {text[at : at + NGRAM] for at in range(max(1, len(text) - NGRAM + 1))}


def jaccard(one: str, other: str) -> float:
    """Of two folded texts."""
    ours, theirs = shingles(one), shingles(other)
    return len(ours & theirs) / len(ours | theirs)


def pairs(texts: Sequence[str]) -> Iterator[tuple[Rows, Rows]]:
    """Every pair at or above the threshold, found by counting what each shares with every other."""
    numbers: dict[str, int] = {}
    sets = [[numbers.setdefault(shingle, len(numbers)) for shingle in shingles(text)] for text in texts]
    sizes = np.array([len(found) for found in sets])
    ends = np.concatenate([[0], np.cumsum(sizes)])
    members = np.concatenate(sets)
    has = csr_matrix((np.ones(len(members), np.int32), members, ends), shape=(len(texts), len(numbers)))
    held_by = has.T.tocsr()
    for first in range(0, len(texts), ROWS):
        shared = (has[first : first + ROWS] @ held_by).tocoo()
        one, other = shared.row + first, shared.col
        alike = shared.data / (sizes[one] + sizes[other] - shared.data) >= THRESHOLD
        alike &= one < other
        yield one[alike], other[alike]


def truth_of(path: Path) -> Truth:
    """From the cache beside the set, or compared now."""
    cache = path.with_suffix(f".truth-{THRESHOLD}.parquet")
    if not cache.exists():
        found = [np.concatenate(side) for side in zip(*pairs(texts_in(path)), strict=True)]
        part = cache.with_suffix(".part")
        pq.write_table(pa.table({"one": found[0].astype(np.int64), "other": found[1].astype(np.int64)}), part)
        part.replace(cache)
    table, rows = pq.read_table(cache), pq.ParquetFile(path).metadata.num_rows
    one, other = (table[side].to_numpy() for side in ("one", "other"))
    links = coo_matrix((np.ones(len(one), bool), (one, other)), shape=(rows, rows))
    return Truth(one, other, connected_components(links, directed=False)[1])


def texts_in(path: Path) -> list[str]:
    """Folded, in order; row n of a set has the id n."""
    return [folded(text) for text in pq.read_table(path)["text"].to_pylist()]


def judged(truth: Truth, ids: Rows) -> dict[str, Any]:
    """How what was kept stands against the truth."""
    kept = np.zeros(len(truth.group), bool)
    kept[ids] = True
    removed = ~kept
    has_kept_twin = np.zeros(len(kept), bool)
    has_kept_twin[truth.one[kept[truth.other]]] = True
    has_kept_twin[truth.other[kept[truth.one]]] = True
    alone = truth.sizes[truth.group] == 1
    kept_of = np.bincount(truth.group, weights=kept, minlength=len(truth.sizes))
    groups = truth.sizes > 1
    removable = (truth.sizes[groups] - 1).sum()
    surplus = np.maximum(kept_of[groups] - 1, 0).sum()
    false = int((removed & alone).sum())
    return {
        "kept": int(kept.sum()),
        "removed": int(removed.sum()),
        "left": int((kept[truth.one] & kept[truth.other]).sum()),
        "false": false,
        "unjust": int((removed & ~has_kept_twin).sum()),
        "lost": int((kept_of[groups] == 0).sum()),
        "recall": round(float(1 - surplus / max(removable, 1)), 4),
        "precision": round(1 - false / max(int(removed.sum()), 1), 4),
    }


def untrue(texts: Sequence[str], kept: Rows, removed: pa.Table) -> int:
    """Removed rows whose stated twin was not kept, or whose stated similarity is not the exact one."""
    there, wrong = set(kept.tolist()), 0
    stated = zip(*(removed[name].to_pylist() for name in ("id", "twin", "jaccard")), strict=True)
    for row, twin, said in stated:
        known = twin is not None and twin.isdecimal() and int(twin) in there
        wrong += not (known and abs(jaccard(texts[row], texts[int(twin)]) - said) <= CLOSE)
    return wrong


def measured(one: Tool, raw: Path, truth: Truth) -> dict[str, Any]:
    """Run a tool on a set and judge it."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            ran = one.run(raw if one.ours else folded_copy(raw), Path(scratch))
        except Failed as wrong:
            return {"tool": one.name, "failed": str(wrong)}
        kept = one.kept_ids(Path(scratch))
        found = {"tool": one.name, **judged(truth, kept), "seconds": round(ran.seconds, 2)}
        if one.ours:
            removed = pq.read_table(one.removed(Path(scratch)))
            both = np.concatenate([kept, removed["id"].to_numpy()])
            assert np.array_equal(np.sort(both), np.arange(len(truth.group))), "kept and removed are not the whole set"
            found["untrue"] = untrue(texts_in(raw), kept, removed)
    return found


def table(found: Sequence[dict[str, Any]]) -> str:
    """For people."""
    lines = [f"{'set':<14}{'tool':<17}" + "".join(f"{name:>10}" for name in COLUMNS)]
    for row in found:
        cells = "".join(f"{row.get(name, ''):>10}" for name in COLUMNS[:-1])
        lines.append(f"{row['set']:<14}{row['tool']:<17}{cells}  {row.get('failed', '')}".rstrip())
    return "\n".join(lines)


def main() -> None:
    """Judge every tool on every set."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument(
        "--sets", default="toyhom,bentsao,smile,turns,reports", help="comma-separated (default: %(default)s)"
    )
    flags.add_argument("--tools", default=DEFAULT_TOOLS, help=f"of: {', '.join(TOOLS)}")
    data_and_home(flags)
    asked = flags.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the tool too, which leads a session of its own
    tools = [tool(name, asked.home) for name in asked.tools.split(",")]
    found = []
    for name in (SIZES.get(name, name) for name in asked.sets.split(",")):
        raw = on_disk(name, asked.data, asked.home)
        truth = truth_of(raw)
        for each in tools:
            found.append({"set": name, **measured(each, raw, truth)})
            print(json.dumps(found[-1], ensure_ascii=False), flush=True)
    print(table(found))


if __name__ == "__main__":
    main()
