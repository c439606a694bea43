"""Rows a second of the three builders of consultations, against a bare pool that sends the same requests.

    python tests/benchmarks/builder_speed.py                          # 100 and 400 at once, consultations also 1,000: 5 pairs
    python tests/benchmarks/builder_speed.py --builder polish_qa --at-once 100 --pairs 3
    python tests/benchmarks/builder_speed.py --consultations          # calls/s of 1,000 consultations and of 1,000 single calls
    python tests/benchmarks/builder_speed.py --profile curate_dialogues

The endpoint (builder_endpoint.py) is a process of its own with log-normal latency, median 0.3 s; every run of a side
(builder_clients.py) is one, too. Pairs are interleaved and their ratio is taken pair by pair. Rows a second are those of
the asking; `whole` is the command with its start, its release and everything. Prints JSON lines, then a Markdown table.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from builder_sources import FILES, WRITERS

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ROWS_AT_ONCE = {"polish_qa": 10, "curate_dialogues": 10, "simulate_dialogues": 2}
"""A run lasts so many rows of each worker; a consultation is nine calls."""
SPARE = 1.2
"""More rows in a source than are built, as near-duplicates among them are left out."""
CALLS_OF_A_CONSULTATION = 9
MOST = 1000
"""Consultations at once for which they are held against single calls."""


STEADY = "steady_calls_per_second"


class Stage(NamedTuple):
    """An endpoint that runs, and a source for each builder."""

    url: str
    home: Path

    def client(self, side: str, builder: str, rows: int, at_once: int, *more: str) -> dict[str, Any]:
        """One run of one side."""
        command = [sys.executable, str(HERE / "builder_clients.py"), side, builder, "--url", self.url]
        numbers = ["--source", str(self.home / FILES[builder]), "--rows", str(rows), "--at-once", str(at_once)]
        talk = None if more else subprocess.DEVNULL
        run = [*command, *numbers, *more]
        ended = subprocess.run(run, stdout=subprocess.PIPE, stderr=talk, text=True, check=True, env=environment())
        return dict(json.loads(ended.stdout))


def environment() -> dict[str, str]:
    """What a process of the benchmark finds: our packages and its neighbours."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}


@contextlib.contextmanager
def stage(builders: Sequence[str], most: int, median: float, sigma: float) -> Iterator[Stage]:
    """Sources large enough for the largest run, and a running endpoint."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for builder in builders:
            WRITERS[builder](home / FILES[builder], round(most * ROWS_AT_ONCE[builder] * SPARE))
        command = [sys.executable, str(HERE / "builder_endpoint.py"), "--median", str(median), "--sigma", str(sigma)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as server:
            assert server.stdout is not None
            try:
                yield Stage(json.loads(server.stdout.readline())["url"], home)
            finally:
                server.kill()


def pairs(stage: Stage, builder: str, at_once: int, count: int) -> dict[str, Any]:
    """Interleaved pairs of the bare pool and the builder; medians, and the ratio pair by pair."""
    rows = at_once * ROWS_AT_ONCE[builder]
    runs = [[stage.client(side, builder, rows, at_once) for side in ("bare", "suwen")] for _ in range(count)]
    ratios = [ours["rows_per_second"] / bare["rows_per_second"] for bare, ours in runs]
    return {
        "builder": builder,
        "at_once": at_once,
        "rows": rows,
        "pairs": count,
        "bare_rows_per_second": middle(runs, 0, "rows_per_second"),
        "suwen_rows_per_second": middle(runs, 1, "rows_per_second"),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "bare_cpu_us_per_call": middle(runs, 0, "cpu_us_per_call"),
        "suwen_cpu_us_per_call": middle(runs, 1, "cpu_us_per_call"),
        "suwen_whole_seconds": middle(runs, 1, "whole_seconds"),
        "suwen_asking_seconds": middle(runs, 1, "seconds"),
    }


def middle(runs: Sequence[Sequence[dict[str, Any]]], side: int, name: str) -> float:
    """Median of one figure of one side."""
    return round(statistics.median(float(run[side][name]) for run in runs), 2)


def consultations(stage: Stage, at_once: int, count: int) -> dict[str, Any]:
    """Calls a second of consultations, and of an engine run of single calls with as many in flight; interleaved.

    Between the first fifth of the calls and the last: a consultation that begins last ends nine calls later, alone.
    """
    rows = at_once * ROWS_AT_ONCE["simulate_dialogues"]
    calls = rows * CALLS_OF_A_CONSULTATION
    runs = [
        (
            stage.client("single", "simulate_dialogues", calls, at_once),
            stage.client("suwen", "simulate_dialogues", rows, at_once),
        )
        for _ in range(count)
    ]
    ratios = [ours[STEADY] / single[STEADY] for single, ours in runs]
    return {
        "consultations_at_once": at_once,
        "single_calls_per_second": middle(runs, 0, STEADY),
        "consultation_calls_per_second": middle(runs, 1, STEADY),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "single_cpu_us_per_call": middle(runs, 0, "cpu_us_per_call"),
        "consultation_cpu_us_per_call": middle(runs, 1, "cpu_us_per_call"),
    }


def table(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The pairs as Markdown."""
    yield "| builder | at once | rows | bare rows/s | ours rows/s | ratio | pairs | CPU µs/call, bare | ours |"
    yield "|---|--:|--:|--:|--:|--:|---|--:|--:|"
    for one in found:
        spread = f"{min(one['ratios'])}–{max(one['ratios'])}"
        yield (
            f"| {one['builder']} | {one['at_once']} | {one['rows']} | {one['bare_rows_per_second']} "
            f"| {one['suwen_rows_per_second']} | {one['ratio_median']} | {spread} "
            f"| {one['bare_cpu_us_per_call']:.0f} | {one['suwen_cpu_us_per_call']:.0f} |"
        )


def main() -> None:
    """Run what was asked for."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--builder", choices=tuple(ROWS_AT_ONCE), nargs="+", default=list(ROWS_AT_ONCE))
    flags.add_argument("--at-once", type=int, nargs="+", help="default: 100 400, and 1000 for consultations")
    flags.add_argument("--pairs", type=int, default=5)
    flags.add_argument("--median", type=float, default=0.3, help="seconds the endpoint takes, in the middle")
    flags.add_argument("--sigma", type=float, default=0.5)
    flags.add_argument("--consultations", action="store_true", help="consultations against single calls instead")
    flags.add_argument("--profile", choices=tuple(ROWS_AT_ONCE), help="one profiled run of this builder instead")
    flags.add_argument("--lines", type=int, default=30, help="lines of the profile")
    asked = flags.parse_args()
    builders = [asked.profile] if asked.profile else ["simulate_dialogues"] if asked.consultations else asked.builder
    most = max(asked.at_once or [MOST if "simulate_dialogues" in builders else 400])
    with stage(builders, most, asked.median, asked.sigma) as open_stage:
        if asked.profile:
            at_once = (asked.at_once or [400])[0]
            rows = at_once * ROWS_AT_ONCE[asked.profile]
            run = open_stage.client("suwen", asked.profile, rows, at_once, "--profile", str(asked.lines))
            print(json.dumps(run))
        elif asked.consultations:
            print(json.dumps(consultations(open_stage, (asked.at_once or [MOST])[0], asked.pairs)))
        else:
            compare(open_stage, builders, asked.at_once, asked.pairs)


def compare(open_stage: Stage, builders: Sequence[str], at_once: Sequence[int] | None, count: int) -> None:
    """Every builder at every number at once."""
    found = []
    for builder in builders:
        for number in at_once or (100, 400, *([MOST] if builder == "simulate_dialogues" else [])):
            found.append(pairs(open_stage, builder, number, count))
            print(json.dumps(found[-1]), flush=True)
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
