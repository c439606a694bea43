"""A process seen from outside: how long from start to end, and how much memory, its children's included."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from peers import Failed, reason

LAUNCHER = (sys.executable, "-S", Path(__file__).with_name("launched.py"))
SECONDS_BETWEEN_LOOKS = 0.2


class Ran(NamedTuple):
    """A process that ended well."""

    said: str
    """Its standard output."""
    seconds: float
    """From its start to its end, with interpreter and imports."""
    megabytes: float
    """At the peak, of the process and its descendants together."""


def watched(command: Sequence[object], *, cwd: Path, env: Mapping[str, str], minutes: float) -> Ran:
    """Run it to its end; raises Failed when it fails or is not done in time."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch, name) for name in ("figures", "said", "talk")]
        words = [str(word) for word in (*LAUNCHER, paths[0], *command)]
        with paths[1].open("w") as said, paths[2].open("w") as talk:
            child = subprocess.Popen(words, cwd=cwd, env=env, stdout=said, stderr=talk, start_new_session=True)
        with looking_at(child.pid, minutes) as seen:
            code = child.wait()
        said, talk = (path.read_text(errors="replace") for path in paths[1:])
        if seen.late:
            raise Failed(f"not done after {minutes:g} minutes")
        if code:
            raise Failed(reason(said + talk) or f"exit code {code}")
        figures = json.loads(paths[0].read_text())
    return Ran(said, figures["seconds"], max(seen.megabytes, figures["megabytes"]))


class Seen:
    """What looking on has found so far."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self.late = False


@contextlib.contextmanager
def looking_at(launcher: int, minutes: float) -> Iterator[Seen]:
    """Look at its children's memory now and then, and end what is left of them: after that time, or with the block."""
    seen, over = Seen(), threading.Event()

    def look() -> None:
        latest = time.monotonic() + minutes * 60
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            seen.megabytes = max(seen.megabytes, megabytes_of_children(launcher))
            if time.monotonic() > latest:
                seen.late = True
                end(launcher)

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        yield seen
    finally:
        over.set()
        looker.join()
        end(launcher)


def end(launcher: int) -> None:
    """Kill what still runs of its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(launcher, signal.SIGKILL)


def megabytes_of_children(launcher: int) -> float:
    """Of several processes together, each page that n of them share counted 1/n in each.

    A process on its own is left alone: its launcher is told its peak at the end, and to add up pages would slow it down.
    """
    members = [member for member in processes_of(launcher) if member != launcher]
    if len(members) < 2:
        return 0.0
    kilobytes = 0
    for member in members:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
            kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes / 1024


def processes_of(session: int) -> Iterator[int]:
    """The processes that are there now."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a look five times a second must cost nothing
        if name.isdecimal():
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(name)) == session:
                    yield int(name)
