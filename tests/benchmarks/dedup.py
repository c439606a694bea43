"""How fast deduplication is, from file to file: ours and the peers, each a process of its own, taking turns.

    python tests/benchmarks/dedup.py --data ../shared/data
    python tests/benchmarks/dedup.py --data … --sets books-50000 --tools suwen,rensa --pairs 3
    python tests/benchmarks/dedup.py --data … --scale 100000,1000000,5000000,26000000

A run is timed from outside: interpreter, imports, reading, deciding, writing. Ours folds the texts itself and writes every
row that is kept or removed (`suwen-dry-run` writes none); the peers get the texts folded and write ids. All take 5-grams
of characters and 128 permutations, the peers 16 x 8 bands (`datasketch-auto` its own choice). What the answers are worth
is in `dedup_truth.py`. Compiled kernels are compiled, and a peer is installed, before anything is timed.

--scale times ours alone on `books` of these sizes; for 26 million it needs 20 GB of disk, 7 of them to stay under --home.
Prints one JSON line per set and tool, and a table at the end. Sets and environments stay for the next time.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from dedup_peers.tools import TOOLS, Tool, tool
from dedup_sets import data_and_home, folded_copy, on_disk
from peers import Failed

SLOW = 60
"""Seconds from which one run is enough."""
SMALL = "books-8000"
DEFAULT_SETS = "books-8000,books-560000,reports-100000"
DEFAULT_TOOLS = (
    "suwen,suwen-compiled,suwen-numpy,suwen-dry-run,rensa,fastsketchlsh,datasketch,datasketch-auto,text-dedup,datatrove"
)
SCALED = "suwen,suwen-dry-run"
OURS = "suwen"
COLUMNS = ("runs", "seconds", "least", "most", "megabytes", "texts_per_second", "us_per_text", "times_ours", "kept")


class Figures(NamedTuple):
    """One run."""

    seconds: float
    megabytes: float
    kept: int


def timed(one: Tool, raw: Path, home: Path) -> Figures:
    """Run it once; what it writes is counted and thrown away."""
    texts = raw if one.ours else folded_copy(raw)
    os.sync()  # what the run before wrote is not to slow this one down
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        ran = one.run(texts, Path(scratch))
        return Figures(ran.seconds, ran.megabytes, one.kept(ran, Path(scratch)))


def taking_turns(raw: Path, tools: Sequence[Tool], rounds: int, home: Path) -> dict[str, list[Figures] | str]:
    """The runs of each tool, or why it has none."""
    found: dict[str, list[Figures] | str] = {one.name: [] for one in tools}
    for number in range(1, rounds + 1):
        for one in tools:
            runs = found[one.name]
            if isinstance(runs, str) or (runs and runs[0].seconds > SLOW):
                continue
            try:
                runs.append(timed(one, raw, home))
            except Failed as wrong:
                found[one.name] = str(wrong)
                continue
            print(f"{raw.stem}, round {number}: {one.name} {runs[-1].seconds:.2f} s", file=sys.stderr)
    return found


def described(name: str, texts: int, found: dict[str, list[Figures] | str]) -> list[dict[str, Any]]:
    """A row for each tool."""
    ours = found.get(OURS)
    yardstick = median(ours) if ours and not isinstance(ours, str) else None
    rows: list[dict[str, Any]] = []
    for one, runs in found.items():
        row: dict[str, Any] = {"set": name, "tool": one}
        rows.append(row | ({"failed": runs} if isinstance(runs, str) else summary(runs, texts, yardstick)))
    return rows


def summary(runs: Sequence[Figures], texts: int, yardstick: float | None) -> dict[str, Any]:
    """Of the runs of one tool."""
    seconds = median(runs)
    return {
        "runs": len(runs),
        "seconds": round(seconds, 3),
        "least": round(min(run.seconds for run in runs), 3),
        "most": round(max(run.seconds for run in runs), 3),
        "megabytes": round(max(run.megabytes for run in runs)),
        "texts_per_second": round(texts / seconds),
        "us_per_text": round(seconds / texts * 1e6, 2),
        "times_ours": round(seconds / yardstick, 2) if yardstick else None,
        "kept": runs[0].kept,
    }


def median(runs: Sequence[Figures]) -> float:
    """Of the seconds."""
    return statistics.median(run.seconds for run in runs)


def get_ready(tools: Sequence[Tool], data: Path, home: Path) -> None:
    """Install the peers and fill the cache of compiled kernels; a tool that fails will say so when it is timed."""
    raw = on_disk(SMALL, data, home)
    for one in tools:
        try:
            timed(one, raw, home)
        except Failed as wrong:
            print(f"{one.name}: {wrong}", file=sys.stderr)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"machine": models[0] if models else platform.machine(), "cores": len(os.sched_getaffinity(0))}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """For people."""
    lines = [f"{'set':<16}{'tool':<17}" + "".join(f"{name:>17}" for name in COLUMNS)]
    for row in rows:
        cells = "".join(f"{row.get(name) or '':>17}" for name in COLUMNS)
        lines.append(f"{row['set']:<16}{row['tool']:<17}{row.get('failed') or cells}")
    return "\n".join(lines)


def main() -> None:
    """Time every tool on every set."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument(
        "--sets", default=DEFAULT_SETS, help="NAME or NAME-TEXTS, comma-separated (default: %(default)s)"
    )
    flags.add_argument("--tools", help=f"of: {', '.join(TOOLS)}")
    flags.add_argument("--pairs", type=int, default=5, help=f"rounds; a tool that needs over {SLOW} s runs once")
    flags.add_argument("--scale", help="numbers of texts, comma-separated: time ours alone on so many")
    data_and_home(flags)
    asked = flags.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the tool too, which leads a session of its own
    names = [f"books-{number}" for number in asked.scale.split(",")] if asked.scale else asked.sets.split(",")
    wanted = asked.tools or (SCALED if asked.scale else DEFAULT_TOOLS)
    tools = [tool(name, asked.home) for name in wanted.split(",")]
    print(json.dumps(machine()), flush=True)
    get_ready(tools, asked.data, asked.home)
    rows = []
    for name in names:
        raw = on_disk(name, asked.data, asked.home)
        texts = pq.ParquetFile(raw).metadata.num_rows
        found = described(name, texts, taking_turns(raw, tools, asked.pairs, asked.home))
        rows += found
        for row in found:
            print(json.dumps(row, ensure_ascii=False), flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
