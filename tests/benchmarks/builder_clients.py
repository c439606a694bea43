"""One client of the builders' benchmark, measured from inside; prints one JSON line.

    python tests/benchmarks/builder_clients.py bare polish_qa --url URL --source answers.csv --rows 1500 --at-once 100

`suwen` is the command itself, from its settings to the released folder. `bare` sends the same requests from a pool of
workers around `AsyncOpenAI` on the aiohttp transport and does nothing else; a consultation is as many calls, one after
the other, with the same history. `single` is an engine run of one call a row, as large as a call of a consultation.
"""

import argparse
import asyncio
import contextlib
import cProfile
import csv
import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from builder_endpoint import CALLS, QUESTIONS
from clients import workshop_at

from builders.curation.rewriting import Rewritten
from builders.engine.patient import GOODBYE, GREETING
from builders.engine.switchboard import json_schema
from builders.prompts import data_block, prompt
from schemas.case import CaseFile

Messages = list[dict[str, str]]
Say = Callable[..., Any]
SAMPLING: dict[str, Any] = {"model": "m", "max_tokens": 8192, "temperature": 1.0, "seed": 0}


class Pace:
    """How many calls were answered when, looked at twenty times a second."""

    def __init__(self, calls: Callable[[], int]) -> None:
        self._calls = calls
        self._seen: list[tuple[float, int]] = []

    async def __aenter__(self) -> "Pace":
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        self._seen.append((time.perf_counter(), self._calls()))

    async def _look(self) -> None:
        while True:
            self._seen.append((time.perf_counter(), self._calls()))
            await asyncio.sleep(0.05)

    def found(self) -> dict[str, float]:
        """Seconds and calls of the whole, and calls a second from the first fifth of them to the last."""
        begun, (ended, calls) = self._seen[0][0], self._seen[-1]
        (first, few), (last, most) = (next(at for at in self._seen if at[1] >= part * calls) for part in (0.2, 0.8))
        return {
            "seconds": ended - begun,
            "calls": calls,
            "steady_calls_per_second": round((most - few) / (last - first), 1),
        }


def user(content: str) -> dict[str, str]:
    """What stands in a request as said by the user."""
    return {"role": "user", "content": content}


def system(name: str) -> dict[str, str]:
    """A prompt of ours."""
    return {"role": "system", "content": prompt(name).text}


async def polish(row: dict[str, str], say: Say) -> None:
    """One call for an answer."""
    data = {"question": row["ask"], "answer": row["answer"]}
    await say([system("polish_answer"), user(data_block(data))])


async def rewrite(line: str, say: Say) -> None:
    """One call for a consultation."""
    speakers = {"user": "patient", "assistant": "doctor"}
    said = enumerate(json.loads(line)["messages"])
    dialogue = [{"n": n, "speaker": speakers[one["role"]], "text": one["content"]} for n, one in said]
    form = {"name": "Rewritten", "strict": True, "schema": json_schema(Rewritten)}
    asked = [system("rewrite_doctor"), user(data_block({"dialogue": dialogue}))]
    await say(asked, response_format={"type": "json_schema", "json_schema": form})


async def consult(line: str, say: Say) -> None:
    """Patient and doctor by turns, each with the whole history."""
    case = CaseFile.model_validate_json(line)
    told = [{"name": fact.name, "value": fact.value} for fact in case.facts_for("patient")]
    found = [{"name": fact.name, "value": fact.value} for fact in case.facts_for("doctor")]
    chart = {"conclusion": case.diagnosis, "advice": case.advice, "findings": found}
    known = data_block({"complaint": case.complaint, "facts": told, "end": GOODBYE})
    patient = [system("simulate_patient"), user(f"{known}\n{GREETING}")]
    doctor = [system("simulate_doctor")]
    hidden = data_block({**chart, "ask": [fact["name"] for fact in told], "end": GOODBYE})
    for call in range(CALLS):
        own, other = (doctor, patient) if call % 2 else (patient, doctor)
        text = await say(own)
        own.append({"role": "assistant", "content": text})
        other.append(user(f"{hidden}\n{text}" if call == 0 else text))


def seeds(builder: str, source: Path) -> Iterator[Any]:
    """The rows of a source."""
    with source.open(encoding="utf-8", newline="") as opened:
        yield from csv.DictReader(opened) if builder == "polish_qa" else opened


async def bare(builder: str, url: str, source: Path, rows: int, at_once: int) -> dict[str, float]:
    """The pool of workers."""
    import openai

    client = openai.AsyncOpenAI(
        base_url=url, api_key="none", max_retries=0, http_client=openai.DefaultAioHttpClient(trust_env=False)
    )
    work: dict[str, Callable[[Any, Say], Any]] = {
        "polish_qa": polish, "curate_dialogues": rewrite, "simulate_dialogues": consult,
    }  # fmt: skip
    left = (seed for _, seed in zip(range(rows), seeds(builder, source), strict=False))
    calls = 0

    async def say(messages: Messages, **more: Any) -> str:
        nonlocal calls
        request: dict[str, Any] = {**SAMPLING, "messages": messages, **more}
        said = await client.chat.completions.create(**request)
        calls += 1
        return str(said.choices[0].message.content)

    async def worker() -> None:
        for seed in left:
            await work[builder](seed, say)

    async with Pace(lambda: calls) as pace:
        await asyncio.gather(*(worker() for _ in range(at_once)))
    await client.close()
    return pace.found()


@contextlib.contextmanager
def stopwatch() -> Iterator[dict[str, float]]:
    """How long the engine asks inside a command, and how many calls and rows that are; the release comes after."""
    from builders.engine.run import Workshop

    run, found = Workshop.run, dict[str, float]()

    async def timed(self: Workshop, steps: Any, *, at_once: int) -> str | None:
        async with Pace(lambda: self.switchboard.tally.calls) as pace:
            stopped = await run(self, steps, at_once=at_once)
        found.update(pace.found(), accepted=self.accepted)
        return stopped

    Workshop.run = timed  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Workshop.run = run  # type: ignore[method-assign]


def suwen(builder: str, url: str, source: Path, rows: int, at_once: int) -> dict[str, float]:
    """The command itself."""
    from importlib import import_module

    from schemas.settings import run_command

    command = import_module(f"builders.{builder}")
    family = {"polish_qa": "PolishQA", "curate_dialogues": "CurateDialogues", "simulate_dialogues": "SimulateDialogues"}
    names = ["--cases", str(source)] if builder == "simulate_dialogues" else [str(source)]
    with tempfile.TemporaryDirectory() as home, stopwatch() as found, contextlib.redirect_stdout(sys.stderr):
        where = ["--out", f"{home}/set", "--ledger", f"{home}/ledger.sqlite", "--base-url", url, "--teacher", "m"]
        numbers = ["--rows", str(rows), "--at-once", str(at_once), "--price", "0.25,2", "--max-usd", "1000000"]
        started = time.perf_counter()
        with contextlib.suppress(SystemExit):
            run_command(getattr(command, family[builder]), command.main, [*names, *where, *numbers])
        whole = time.perf_counter() - started
    assert found["accepted"] == rows, found
    return {**found, "whole_seconds": round(whole, 2)}


async def single(url: str, source: Path, rows: int, at_once: int) -> dict[str, float]:
    """One call a row through the engine, each as large as the middle call of a consultation."""
    from builders.engine.ask import Ask
    from builders.engine.steps import in_order
    from schemas.base import Message
    from schemas.instruction import Instruction

    async def build(seed: tuple[int, str], ask: Ask) -> Sequence[Instruction]:
        number, line = seed
        case = CaseFile.model_validate_json(line)
        chart = {"conclusion": case.diagnosis, "advice": case.advice, "number": number}
        first = f"{data_block(chart)}\n{case.complaint}"
        told = [fact.value for fact in case.facts_for("patient")]
        said = [first, QUESTIONS[0], "，".join(told[:2]), QUESTIONS[1], "，".join(told[2:4])]
        turns = [Message(role="assistant" if at % 2 else "user", content=text) for at, text in enumerate(said)]
        answer = await ask([prompt("simulate_doctor").system, *turns])
        return [Instruction(key=str(number), department="all", role="patient", instruction=line, output=answer)]

    lines = list(seeds("simulate_dialogues", source))
    numbered = ((number, lines[number % len(lines)]) for number in range(rows))
    with tempfile.TemporaryDirectory() as home:
        async with workshop_at(url, Path(home), at_once) as workshop:
            steps = in_order(numbered, build, key=lambda seed: str(seed[0]), rows=None)
            async with Pace(lambda: workshop.switchboard.tally.calls) as pace:
                stopped = await workshop.run(steps, at_once=at_once)
            assert stopped is None, stopped
            assert workshop.accepted == rows
    return pace.found()


def measured(side: str, builder: str, url: str, source: Path, rows: int, at_once: int) -> dict[str, Any]:
    """Run one side and describe it."""
    cpu = time.process_time()
    if side == "bare":
        found = asyncio.run(bare(builder, url, source, rows, at_once))
    elif side == "single":
        found = asyncio.run(single(url, source, rows, at_once))
    else:
        found = suwen(builder, url, source, rows, at_once)
    cpu = time.process_time() - cpu
    return {
        "side": side, "builder": builder, "at_once": at_once, **found,
        "seconds": round(found["seconds"], 3),
        "rows_per_second": round(rows / found["seconds"], 2),
        "calls_per_second": round(found["calls"] / found["seconds"], 1),
        "cpu_us_per_call": round(cpu / found["calls"] * 1e6),
    }  # fmt: skip


def profiled(run: Callable[[], dict[str, Any]], lines: int) -> dict[str, Any]:
    """The run under cProfile; where the main thread's time goes is printed to stderr."""
    profile = cProfile.Profile()
    found = profile.runcall(run)
    statistics = pstats.Stats(profile, stream=sys.stderr)
    statistics.sort_stats("tottime").print_stats(lines)
    statistics.sort_stats("cumtime").print_stats(r"/(?:builders|schemas)/", lines)
    return found


if __name__ == "__main__":
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("side", choices=("bare", "suwen", "single"))
    flags.add_argument("builder", choices=("polish_qa", "simulate_dialogues", "curate_dialogues"))
    flags.add_argument("--url", required=True)
    flags.add_argument("--source", type=Path, required=True)
    flags.add_argument("--rows", type=int, default=1500)
    flags.add_argument("--at-once", type=int, default=100)
    flags.add_argument("--profile", type=int, default=0, help="print so many lines of a profile")
    asked = flags.parse_args()
    run = lambda: measured(asked.side, asked.builder, asked.url, asked.source, asked.rows, asked.at_once)  # noqa: E731
    print(json.dumps(profiled(run, asked.profile) if asked.profile else run()))
