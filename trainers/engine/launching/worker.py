"""One process of a run of many; `launch` starts it: `python -m trainers.engine.launching.worker OUT LIFELINE`.

Its stderr is .run/worker.log. What the first process says to people while it trains goes to .run/talk.log too, and the
launcher prints that.
"""

import io
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import TextIO

from trainers.engine.launching.stopping import STOPPED, Stopped
from trainers.engine.loop.quiet import quiet_deepspeed, quiet_peft
from trainers.engine.run import Outcome, Run

TALK = "talk.log"


def main(out: Path, lifeline: Path) -> None:
    """Train, and leave the outcome; an exception is left where the launcher of torch looks for it, and is exit code 1."""
    die_with_launcher(lifeline)
    from torch.distributed.elastic.multiprocessing.errors import record

    record(_work)(out)


def _work(out: Path) -> None:
    quiet_deepspeed()
    quiet_peft()
    run = Run.load(out)
    _keep_warnings_from_people()
    with _talking(run) if first_process() else nullcontext():
        outcome = trained(run)
    if first_process():
        outcome.save(run)
    _part()


def _keep_warnings_from_people() -> None:
    """Tie warnings and loggers to the stderr of this moment, the log, before people listen to another."""
    import transformers  # noqa: F401  its logger takes the stderr it finds when it is imported

    logging.basicConfig()
    logging.captureWarnings(capture=True)


def _part() -> None:
    """Leave the others in good order; a process that only ends aborts now and then, when its peers are gone first."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def trained(run: Run) -> Outcome:
    """Train in this process; a run that stopped because it was asked to is an outcome, not an error.

    A command without a dot is one of ours; `lab.dpo` is anybody's module with a `train(run)`.
    """
    module = import_module(run.command if "." in run.command else f"trainers.{run.command}")
    try:
        outcome: Outcome = module.train(run)
    except Stopped as stop:
        return Outcome(code=STOPPED, message=str(stop))
    return outcome


def first_process() -> bool:
    """Whether this is the process that speaks for all: the first of many, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def held_lifeline() -> Iterator[Path]:
    """A named pipe that this process holds open; the kernel closes it when the process ends, however it ends.

    Signals would not do: the launcher of torch stands between, and gives each worker a session of its own.
    """
    with tempfile.TemporaryDirectory(prefix="suwen-") as folder:
        pipe = Path(folder) / "lifeline"
        os.mkfifo(pipe)
        end = os.open(pipe, os.O_RDWR)  # both ends, so that opening waits for nobody
        try:
            yield pipe
        finally:
            os.close(end)


def die_with_launcher(lifeline: Path) -> None:
    """Kill this process, and what it started, as soon as nobody holds the lifeline; at once when nobody does now."""
    end = os.open(lifeline, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(end, True)

    def watch() -> None:
        os.read(end, 1)  # nobody writes: it returns when the last holder is gone
        shutil.rmtree(lifeline.parent, ignore_errors=True)  # a launcher that was killed could not
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


class _Both(io.TextIOBase):
    """Writes to the log and to people."""

    def __init__(self, log: TextIO, talk: TextIO) -> None:
        self._places = (log, talk)

    def write(self, text: str) -> int:
        for place in self._places:
            place.write(text)
            place.flush()
        return len(text)


@contextmanager
def _talking(run: Run) -> Iterator[None]:
    with (run.folder / TALK).open("a", encoding="utf-8", newline="") as talk, redirect_stderr(_Both(sys.stderr, talk)):
        yield


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
