"""One client, measured from inside: `python tests/benchmarks/clients.py SIDE --url URL --rows N --at-once C`.

`bare` is what anybody would write: a pool of workers around `AsyncOpenAI` on the aiohttp transport. `suwen` is a
builder of ours with everything on: ledger (durable before parsing), budget, throttle, provenance, rows on disk.
Prints one JSON line: rows, seconds, requests a second, CPU microseconds a row, resident memory on the way.
"""

import argparse
import asyncio
import cProfile
import json
import pstats
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

QUESTION = (
    "患者今天问：{number}号病例，低热伴咳嗽三天，既往有高血压，正在服用氨氯地平，应注意什么？" + "请分点说明。" * 20
)


def prompts(rows: int) -> Iterator[str]:
    """So many different questions."""
    return (QUESTION.format(number=number) for number in range(rows))


async def bare(url: str, rows: int, at_once: int, tick: Callable[[int], None]) -> float:
    """The pool of workers; returns seconds."""
    import openai

    client = openai.AsyncOpenAI(
        base_url=url, api_key="none", max_retries=0, http_client=openai.DefaultAioHttpClient(trust_env=False)
    )
    asked, done = prompts(rows), 0

    async def worker() -> None:
        nonlocal done
        for question in asked:
            said = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": question}], max_tokens=8192, temperature=1.0, seed=0
            )
            assert said.choices[0].message.content
            done += 1
            tick(done)

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    await client.close()
    return time.perf_counter() - started


@asynccontextmanager
async def workshop_at(url: str, home: Path, at_once: int) -> AsyncIterator[Any]:
    """The engine as a builder's `main` opens it."""
    from builders.engine.opening import open_workshop, speakers_of
    from builders.engine.run import Stamp
    from schemas.settings import BuildSettings

    class Bench(BuildSettings):
        command = "bench"

    settings = Bench(
        teacher="m", base_url=url, at_once=at_once, out=home / "set", ledger=home / "ledger.sqlite", price="0.25,2",
        max_usd=1e6,
    )  # fmt: skip
    stamp = Stamp("bench", "0", "bench", "cc0-1.0", (), "bench")
    async with open_workshop(settings, stamp, speakers_of(settings, ("teacher",))) as workshop:
        yield workshop


async def suwen(url: str, rows: int, at_once: int, tick: Callable[[int], None], home: Path) -> float:
    """The engine, from the first seed to the last row; returns seconds."""
    from builders.engine.ask import Ask
    from builders.engine.steps import in_order
    from schemas.instruction import Instruction

    done = 0

    async def build(question: str, ask: Ask) -> Sequence[Instruction]:
        nonlocal done
        answer = await ask(question)
        done += 1
        tick(done)
        return [Instruction(key=question, department="all", role="patient", instruction=question, output=answer)]

    async with workshop_at(url, home, at_once) as workshop:
        steps = in_order(prompts(rows), build, key=lambda question: question, rows=None)
        started = time.perf_counter()
        stopped = await workshop.run(steps, at_once=at_once)
        seconds = time.perf_counter() - started
        assert stopped is None, stopped
        assert workshop.accepted == rows
    return seconds


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def measured(side: str, url: str, rows: int, at_once: int) -> dict[str, Any]:
    """Run one side and describe it."""
    memory: dict[int, int] = {}

    def tick(done: int) -> None:
        if done % 10_000 == 0:
            memory[done] = resident()

    with tempfile.TemporaryDirectory() as home:
        cpu = time.process_time()
        if side == "bare":
            seconds = asyncio.run(bare(url, rows, at_once, tick))
        else:
            seconds = asyncio.run(suwen(url, rows, at_once, tick, Path(home)))
        cpu = time.process_time() - cpu
    return {
        "side": side,
        "rows": rows,
        "at_once": at_once,
        "seconds": round(seconds, 2),
        "requests_per_second": round(rows / seconds, 1),
        "cpu_us_per_row": round(cpu / rows * 1e6),
        "resident_mb": {str(done): round(size / 1e6, 1) for done, size in memory.items()},
    }


def profiled(run: Callable[[], dict[str, Any]], lines: int) -> dict[str, Any]:
    """The run under cProfile; where its time goes is printed to stderr."""
    profile = cProfile.Profile()
    found = profile.runcall(run)
    pstats.Stats(profile, stream=sys.stderr).strip_dirs().sort_stats("tottime").print_stats(lines)
    return found


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("side", choices=("bare", "suwen"))
    flags.add_argument("--url", required=True)
    flags.add_argument("--rows", type=int, default=4000)
    flags.add_argument("--at-once", type=int, default=400)
    flags.add_argument("--profile", type=int, default=0, help="print so many lines of a profile")
    asked = flags.parse_args()
    run = lambda: measured(asked.side, asked.url, asked.rows, asked.at_once)  # noqa: E731
    print(json.dumps(profiled(run, asked.profile) if asked.profile else run()))
