"""How processes that left no outcome ended, read from what the launcher of torch says of them in the log.

[0]:
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 4711) (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 4711
"""

import re
import shutil
import signal
from pathlib import Path
from typing import NamedTuple

from schemas.settings import BAD_INPUT
from trainers.engine.launching.stopping import STOPPED
from trainers.engine.run import Outcome, Run

FAILURE = re.compile(
    r"^ +rank +: (?P<rank>\d+) .*\n +exitcode +: (?P<code>-?\d+) .*\n +error_file: .*\n"
    r" +traceback : (?P<traceback>(?:.*\n)*?)(?=\[\d+\]:|-{9}|={9})",
    re.MULTILINE,
)
RAISED = re.compile(r"^ {2}(?P<name>[A-Za-z_][\w.]*)(?:: (?P<words>.*))?$", re.MULTILINE)
NO_ROOM = 1 << 22
"""Bytes of a disk below which it is full: no file of a checkpoint but the smallest fits."""
NO_MEMORY = ("out of memory", "OutOfMemory", "can't allocate memory", "MemoryError")
"""What CUDA, torch's CPU allocator and Python say."""


class Failure(NamedTuple):
    """How one process ended."""

    rank: int
    code: int
    """Exit code; minus the number of the signal that ended it."""
    raised: str
    """Class of the exception, with its modules."""
    words: str
    """What the exception said."""

    @property
    def killed(self) -> bool:
        """Ended by a signal out of the blue.

        Not by SIGTERM, with which torch ends the others when one has failed; and not by the SIGABRT of threads that
        an exception leaves behind.
        """
        return self.code < 0 and self.code != -signal.SIGTERM and not self.raised


def told_failure(log: Path, run: Run, code: int) -> Outcome:
    """One line on processes that ended without an outcome; bad input that one of them met is bad input."""
    said = log.read_text(encoding="utf-8", errors="replace")
    found = failures(said)
    if not found:
        last = (said.strip().splitlines() or ["nothing was said"])[-1].strip()
        return Outcome(code=STOPPED, message=f"the launcher ended with exit code {code}: {last}; full log: {log}")
    first = found[0]
    if first.raised.endswith("InputError"):
        return Outcome(code=BAD_INPUT, message=first.words)
    return Outcome(code=STOPPED, message=f"{_told(first, run)}; full log: {log}")


def failures(said: str) -> list[Failure]:
    """What a log says of each failed process, the likeliest culprit first.

    Torch's own first guess goes by whole seconds. But when a process is killed or finds something wrong, the others
    fail right behind it, for want of it.
    """
    found = []
    for told in FAILURE.finditer(said):
        raised = [*RAISED.finditer(told["traceback"])][-1:]
        name, words = (raised[0]["name"], raised[0]["words"] or "") if raised else ("", "")
        found.append(Failure(int(told["rank"]), int(told["code"]), name, words))
    found.reverse()  # torch's first guess comes last
    return sorted(found, key=lambda one: (not one.killed, not one.raised.endswith("InputError"), not _hungry(one)))


def _hungry(failure: Failure) -> bool:
    return any(sign in f"{failure.raised}: {failure.words}" for sign in NO_MEMORY)


def _told(failure: Failure, run: Run) -> str:
    process = f"process {failure.rank} of {run.spread.processes}"
    if failure.killed and failure.code == -signal.SIGKILL:
        return f"{process} was killed: this machine ran out of memory, or somebody did it{_knobs(run)}"
    if failure.killed:
        return f"{process} crashed with {signal.Signals(-failure.code).name}"
    if told := out_of_memory(f"{failure.raised}: {failure.words}", run):
        return f"{process}: {told}"
    if not failure.raised:
        return f"{process} ended with exit code {failure.code}"
    return f"{process} failed: {failure.raised.rpartition('.')[2]}: {failure.words}"


def disk_full(run: Run) -> str:
    """One line when there is next to no room where OUT is, which the libraries do not always say; else empty."""
    free = shutil.disk_usage(run.out).free
    if free > NO_ROOM:
        return ""
    return f"--out {run.out}: the disk is full; make room, and the same command with --resume goes on from the last checkpoint"


def out_of_memory(said: str, run: Run) -> str:
    """What to do about an error that says memory ran out; empty when it says something else."""
    if not any(sign in said for sign in NO_MEMORY):
        return ""
    where = "the GPU" if run.spread.device == "cuda" else "this machine"
    return f"{where} ran out of memory{_knobs(run)}"


def _knobs(run: Run) -> str:
    """What needs less memory and is not turned on yet."""
    knobs = {
        f"--micro-batch {run.batches.micro // 2}": run.batches.micro > 1,
        "--checkpointing": not run.settings.get("checkpointing"),
        "--profile zero3": run.spread.profile != "zero3" and run.spread.processes > 1,
        "--lora 16": not run.settings.get("lora"),
        "a shorter --max-length": True,
    }
    return "; less is needed with " + ", ".join(knob for knob, helps in knobs.items() if helps)
