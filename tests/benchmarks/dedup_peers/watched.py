"""A process seen from outside: how long from start to end, and how much memory, its children's included."""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from peers import Failed, reason

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
    words = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as talk:
        started = time.perf_counter()
        child = subprocess.Popen(words, cwd=cwd, env=env, stdout=out, stderr=talk, start_new_session=True)
        with looking_at(child.pid, minutes) as seen:
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)  # it is waited for: Popen must not try again
        out.seek(0), talk.seek(0)
        said = out.read()
        if seen.late:
            raise Failed(f"not done after {minutes:g} minutes")
        if child.returncode:
            raise Failed(reason(said + talk.read()) or f"exit code {child.returncode}")
    return Ran(said, seconds, max(seen.megabytes, usage.ru_maxrss / 1024))


class Seen:
    """What looking on has found so far."""

    def __init__(self) -> None:
        self.megabytes = 0.0
        self.late = False


@contextlib.contextmanager
def looking_at(session: int, minutes: float) -> Iterator[Seen]:
    """Look at a session's memory now and then, and end what is left of it: after that time, or with the block."""
    seen, over = Seen(), threading.Event()

    def look() -> None:
        latest = time.monotonic() + minutes * 60
        while not over.wait(SECONDS_BETWEEN_LOOKS):
            seen.megabytes = max(seen.megabytes, megabytes_of_children(session))
            if time.monotonic() > latest:
                seen.late = True
                end(session)

    looker = threading.Thread(target=look, daemon=True)
    looker.start()
    try:
        yield seen
    finally:
        over.set()
        looker.join()
        end(session)


def end(session: int) -> None:
    """Kill what still runs of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)


def megabytes_of_children(session: int) -> float:
    """Of a session of several processes, each page shared by n of them counted 1/n in each.

    A process on its own is left alone: the kernel tells its peak at the end, and to add up pages would slow it down.
    """
    members = list(processes_of(session))
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
