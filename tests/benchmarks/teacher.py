"""How fast the engine asks, against a bare worker pool on the same endpoint, and what a row costs it.

    python tests/benchmarks/teacher.py                    # requests/s at 100 and 400 in flight: 5 interleaved pairs each
    python tests/benchmarks/teacher.py --memory 100000    # resident memory and CPU a row over a long run
    python tests/benchmarks/teacher.py --profile 25       # where the engine's own time goes
    python tests/benchmarks/teacher.py --peers            # other projects' clients on the same endpoint

The endpoint is a process of its own with log-normal latency, median 0.3 s; every side is a process of its own too.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROWS_PER_CALL_IN_FLIGHT = 15
"""A run lasts about so many answers of each worker: 5 s, long enough for the start not to count."""


@contextlib.contextmanager
def endpoint(median: float, sigma: float) -> Iterator[str]:
    """Address of a running endpoint."""
    command = [sys.executable, HERE / "endpoint.py", "--median", str(median), "--sigma", str(sigma)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["url"]
        finally:
            server.kill()


def client(side: str, url: str, rows: int, at_once: int, *more: str) -> dict[str, Any]:
    """One run of one side."""
    command = [sys.executable, HERE / "clients.py", side, "--url", url, "--rows", str(rows), "--at-once", str(at_once)]
    environment = {"PYTHONPATH": str(HERE.parent.parent), "PATH": ""}
    ended = subprocess.run([*command, *more], stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return dict(json.loads(ended.stdout))


def pairs(url: str, at_once: int, count: int) -> dict[str, Any]:
    """Interleaved pairs of the bare pool and the engine; medians, and the ratio pair by pair."""
    rows = at_once * ROWS_PER_CALL_IN_FLIGHT
    runs = [(client("bare", url, rows, at_once), client("suwen", url, rows, at_once)) for _ in range(count)]
    ratios = [ours["requests_per_second"] / bare["requests_per_second"] for bare, ours in runs]
    return {
        "at_once": at_once,
        "rows": rows,
        "pairs": count,
        "bare_requests_per_second": statistics.median(bare["requests_per_second"] for bare, _ in runs),
        "suwen_requests_per_second": statistics.median(ours["requests_per_second"] for _, ours in runs),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "bare_cpu_us_per_row": statistics.median(bare["cpu_us_per_row"] for bare, _ in runs),
        "suwen_cpu_us_per_row": statistics.median(ours["cpu_us_per_row"] for _, ours in runs),
    }


def peers(url: str, at_once: int) -> None:
    """Other projects on the same endpoint; each says what it reached, or why it does not run here."""
    rows = str(at_once * ROWS_PER_CALL_IN_FLIGHT)
    command = [sys.executable, HERE / "peers.py", "--url", url, "--rows", rows, "--at-once", str(at_once)]
    subprocess.run(command, check=True)


def main() -> None:
    """Run what was asked for; every result is one JSON line."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--at-once", type=int, nargs="+", default=[100, 400])
    flags.add_argument("--pairs", type=int, default=5)
    flags.add_argument("--median", type=float, default=0.3, help="seconds the endpoint takes, in the middle")
    flags.add_argument("--sigma", type=float, default=0.5)
    flags.add_argument("--memory", type=int, metavar="ROWS", help="one long run instead, at the most in flight")
    flags.add_argument("--profile", type=int, metavar="LINES", help="one profiled run instead")
    flags.add_argument("--peers", action="store_true", help="other projects instead, at the most in flight")
    asked = flags.parse_args()
    most = max(asked.at_once)
    with endpoint(asked.median, asked.sigma) as url:
        if asked.peers:
            peers(url, most)
        elif asked.memory:
            print(json.dumps(client("suwen", url, asked.memory, most)))
        elif asked.profile:
            print(
                json.dumps(client("suwen", url, most * ROWS_PER_CALL_IN_FLIGHT, most, "--profile", str(asked.profile)))
            )
        else:
            for at_once in asked.at_once:
                print(json.dumps(pairs(url, at_once, asked.pairs)), flush=True)


if __name__ == "__main__":
    main()
