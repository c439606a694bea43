"""What the tests share: the command line as a function, a rehearsal server to count at, and the real data if it is there."""

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from builders import distill_instructions
from builders.engine.rehearsal.faults import Manners
from builders.engine.rehearsal.server import Rehearsal
from schemas.settings import run_command

ROOT = Path(__file__).resolve().parent.parent


class Outcome(NamedTuple):
    """What a command left behind: exit code, its talk, and the JSON object on its last line."""

    code: int
    talk: str
    said: dict[str, Any]
    """Empty when the last line of stdout is no JSON."""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test works in a folder of its own, with no key in its environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "SUWEN_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is absent."""
    folder = os.environ.get("SUWEN_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SUWEN_TEST_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture
def distill() -> Callable[..., Outcome]:
    """`distill("--rows", 5, …)`: the command in this process, as a user would call it."""

    def call(*arguments: object) -> Outcome:
        out, talk = io.StringIO(), io.StringIO()
        words = [str(argument) for argument in arguments]
        command, main = distill_instructions.DistillInstructions, distill_instructions.main
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk), pytest.raises(SystemExit) as ended:
            run_command(command, main, words)
        return outcome(ended.value.code, talk.getvalue(), out.getvalue())

    return call


def outcome(code: Any, talk: str, out: str) -> Outcome:
    """An Outcome from what a process printed."""
    last = out.strip().splitlines()[-1:] or [""]
    return Outcome(int(code), talk, json.loads(last[0]) if last[0].startswith("{") else {})


@pytest.fixture
def rehearsal() -> Iterator[Callable[..., Rehearsal]]:
    """`rehearsal(latency=0.1, …)`: a rehearsal server in a thread of its own; its counters can be read from the test."""
    stops: list[Callable[[], None]] = []

    def start(**manners: Any) -> Rehearsal:
        server = Rehearsal(Manners(**manners))
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)

        def stop() -> None:
            asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

        stops.append(stop)
        return server

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def process() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """`process("--rows", 5, …)`: distill_instructions in a process of its own, which the test may kill."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "builders.distill_instructions", *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, env=environment, **{**pipes, **options}))
        return started[-1]

    yield start
    for child in started:
        if child.poll() is None:
            child.send_signal(signal.SIGKILL)
        child.communicate()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    """`serve(handler)`: address of a server on loopback whose every answer comes from `handler(request)`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", handler)
        runners.append(web.AppRunner(app, access_log=None))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield lambda handler: asyncio.run_coroutine_threadsafe(start(handler), loop).result(10)
    for runner in runners:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
