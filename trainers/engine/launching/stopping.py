"""Stopping a run before its end: whoever asks leaves one file, and all processes stop together at their next step."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trainers.engine.run import Run

STOPPED = 4
"""Exit code of a run that stopped before its end."""


class Stopped(Exception):
    """The run was asked to stop, and did, behind a checkpoint; the message is one line for people."""

    @classmethod
    def at(cls, step: int, steps: int) -> "Stopped":
        """Stopped behind this optimizer step of so many."""
        return cls(f"stopped at step {step} of {steps}; the same command with --resume goes on")


def ask_to_stop(run: Run) -> None:
    """Ask all processes of a run to stop at their next step; asking twice asks for nothing more."""
    (run.folder / "stop").touch()


def asked_to_stop(run: Run) -> bool:
    """Whether the run was asked to stop. Every process must call this at the same step, and all hear the same.

    One that saw the file a step before the others would wait for them in its checkpoint, and they for it in their
    next gradient. So they agree: the price is one number reduced over all processes a step.
    """
    import torch
    from torch import distributed

    asked = (run.folder / "stop").exists()
    if not (distributed.is_available() and distributed.is_initialized()):
        return asked
    anybody = torch.tensor(int(asked), device=run.spread.device)
    distributed.all_reduce(anybody, op=distributed.ReduceOp.MAX)
    return bool(anybody)


def forget_requests(run: Run) -> None:
    """Take back what an earlier run of this folder was asked."""
    (run.folder / "stop").unlink(missing_ok=True)


@contextmanager
def listening(run: Run) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks the run to stop; the second raises KeyboardInterrupt. Main thread only."""
    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(number)
        if len(heard) > 1:
            raise KeyboardInterrupt
        ask_to_stop(run)
        print("stopping at the next step, with a checkpoint; once more stops at once", file=sys.stderr, flush=True)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
