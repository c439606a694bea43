"""Checkpoints that are whole or not there at all, and what must be the same for one to be gone on from.

OUT/checkpoint-200/             whole: renamed into place after its last byte was on the disk
OUT/.checkpoint-300.writing/    a save under way, or one that was killed
OUT/.checkpoint-100.removing/   one that is kept no longer
"""

import os
import re
import shutil
from pathlib import Path

from pydantic import ValidationError

from schemas.base import Record
from schemas.settings import InputError
from trainers.engine.run import Run

MARK = "suwen.json"
"""File in a checkpoint that says what it belongs to."""


class Mark(Record):
    """What a checkpoint belongs to."""

    fingerprint: str
    """Of the run, see Run.fingerprint."""
    profile: str
    """How it was spread: optimizer states of one profile cannot be read by another."""
    processes: int
    seconds: float = 0.0
    """Training behind it, evaluation and saving left out."""

    @classmethod
    def of(cls, run: Run, *, seconds: float = 0.0) -> "Mark":
        """The mark that checkpoints of this run bear."""
        spread = run.spread
        return cls(
            fingerprint=run.fingerprint, profile=spread.profile, processes=spread.processes, seconds=round(seconds, 3)
        )


def whole_checkpoints(out: Path) -> list[Path]:
    """The checkpoints in OUT, oldest step first."""
    found = (path for path in out.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name) and path.is_dir())
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """Optimizer steps a checkpoint has behind it."""
    return int(checkpoint.name.rpartition("-")[2])


def last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint in OUT, which is whole; None when there is none."""
    return next(reversed(whole_checkpoints(out)), None)


def resume_point(out: Path, run: Run) -> Path | None:
    """The checkpoint to go on from; None when there is none. Raises InputError that names what differs from this run."""
    point = last_checkpoint(out)
    if point is None:
        return None
    was, now = _mark_of(point), Mark.of(run)
    advice = "give what it was started with, or train into another --out"
    if was.profile != now.profile:
        raise InputError(f"--resume: {point} was trained with --profile {was.profile}, not {now.profile}; {advice}")
    if was.processes != now.processes:
        raise InputError(f"--resume: {point} was trained by {was.processes} processes, not {now.processes}; {advice}")
    if was.fingerprint != now.fingerprint:
        raise InputError(f"--resume: the data or settings changed since {point} was written; {advice}")
    return point


def seconds_behind(checkpoint: Path) -> float:
    """Seconds of training that a checkpoint has behind it."""
    return _mark_of(checkpoint).seconds


def _mark_of(checkpoint: Path) -> Mark:
    try:
        return Mark.model_validate_json((checkpoint / MARK).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        raise InputError(f"--resume: {checkpoint} has no readable {MARK}: no trainer of ours wrote it") from None


def refuse_others(out: Path) -> None:
    """Raise InputError when OUT holds checkpoints that a new run would mix its own with."""
    if found := last_checkpoint(out):
        told = f"--out {out}: holds {found.name} of an earlier run"
        raise InputError(f"{told}; --resume goes on from there, or name another folder")


def remove_leftovers(out: Path) -> None:
    """Remove what a killed process was writing or removing; nobody else may be at work in OUT."""
    for ending in ("writing", "removing"):
        for path in out.glob(f".checkpoint-*.{ending}"):
            shutil.rmtree(path)


def writing(out: Path, step: int) -> Path:
    """Folder in which the checkpoint of this step takes shape, as the checkpoint-STEP inside it."""
    return out / f".checkpoint-{step}.writing"


def settle(out: Path, step: int, mark: Mark) -> None:
    """Put a finished checkpoint in its place. Every process must have written its part before; one process calls this."""
    draft = writing(out, step)
    finished = draft / f"checkpoint-{step}"
    (finished / MARK).write_text(mark.model_dump_json(indent=2), encoding="utf-8")
    for path in (*finished.rglob("*"), finished):
        to_disk(path)
    finished.rename(out / finished.name)
    to_disk(out)
    shutil.rmtree(draft)


def keep_newest(out: Path, keep: int) -> None:
    """Remove all checkpoints but the `keep` newest; one that goes loses its name first, its files after."""
    for old in whole_checkpoints(out)[:-keep]:
        going = out / f".{old.name}.removing"
        old.rename(going)
        shutil.rmtree(going)


def to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
