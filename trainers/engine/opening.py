"""What a run finds in its folder: nothing, a run to go on with, a finished model, or somebody else's files."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from builders.engine.folder import sha256_of
from schemas.base import canonical
from schemas.settings import InputError
from schemas.train_settings import TrainSettings
from trainers.engine.model_source import check_whole
from trainers.engine.run import RUN, TRAINING, ModelChoice, Run

NOT_OF_THE_RUN = (
    "recipe",
    "out",
    "profile",
    "processes",
    "gpu_memory",
    "save_every",
    "keep",
    "resume",
    "track",
    "dry_run",
    "push",
    "public",
)
"""Settings that change neither what is learnt nor in which order."""


OF_A_MODEL = (".safetensors", ".bin", ".json", ".jinja", ".model")
"""Suffixes of files that decide what a model is."""


class State(NamedTuple):
    """How a run starts."""

    kind: Literal["new", "resumed", "finished"]
    finished: Mapping[str, Any]
    """training.json of a finished model; empty for the others."""


def recorded(settings: TrainSettings) -> dict[str, Any]:
    """The settings that can change what is learnt; of a file its name alone."""
    record = settings.model_dump(mode="json", exclude=set(NOT_OF_THE_RUN))
    choices = [(choice, Path(choice.where)) for choice in settings.choices]
    told = [choice.model_copy(update={"where": _name(path)}) if path.exists() else choice for choice, path in choices]
    record["data"] = [
        f"{'general=' * one.general}{one}{f'={one.share:g}' if one.share else ''}" for one in told
    ]  # as on the command line, without the folders of this machine
    for field in ("model", "template"):
        path = Path(record[field]).expanduser()
        record[field] = _name(path) if path.exists() else record[field]
    return record


def _name(path: Path) -> str:
    return path.resolve().name


def fingerprint(settings: TrainSettings, model: ModelChoice, template: str, revisions: Sequence[str]) -> str:
    """SHA-256 of what must be the same for a checkpoint to be gone on from."""
    base = [model.name, model.revision or _content(model), template, list(revisions)]
    return hashlib.sha256(canonical([settings.command, recorded(settings), base]).encode()).hexdigest()


def _content(model: ModelChoice) -> str:
    """SHA-256 over names and contents of a local model's files: other weights under the same name are another model."""
    folder = Path(model.path)
    if not folder.is_dir():
        return ""  # made on the spot, from the seed and the rows
    files = sorted(file for file in folder.iterdir() if file.suffix in OF_A_MODEL)
    return hashlib.sha256(canonical([(file.name, sha256_of(file)) for file in files]).encode()).hexdigest()


def state_of(out: Path, print_: str, *, resume: bool) -> State:
    """How a run of this fingerprint starts in a folder; raises InputError when it must not."""
    if held := _finished(out):
        if held.get("fingerprint") == print_:
            check_whole(out, held["files"])
            return State("finished", held)
        raise InputError(f"--out {out}: holds a model of other data or settings; name another folder")
    if not (out / RUN / "run.json").exists():
        if not (out / RUN).exists() and (strange := _strange(out)):
            raise InputError(f"--out {out}: holds {strange}, which no trainer wrote; name a new or empty folder")
        return State("new", {})
    if not any(out.glob("checkpoint-*")):
        return State("new", {})
    if Run.load(out).fingerprint != print_:
        raise InputError(f"--out {out}: holds an unfinished run of other data or settings; name another folder")
    if not resume:
        raise InputError(f"--out {out}: holds an unfinished run; --resume goes on with it, or name another folder")
    return State("resumed", {})


def _finished(out: Path) -> dict[str, Any]:
    if not (out / TRAINING).exists():
        return {}
    try:
        held = json.loads((out / TRAINING).read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"--out {out}: {TRAINING} is not valid JSON") from None
    return dict(held) if isinstance(held, dict) else {}


def _strange(out: Path) -> str:
    """A file in a folder that should be new or empty."""
    if out.exists() and not out.is_dir():
        return "a file"
    ours = (RUN, "runs")
    names = [path.name for path in out.iterdir()] if out.is_dir() else []
    return next((name for name in sorted(names) if name not in ours and not name.startswith(".git")), "")


def fresh_folder(out: Path) -> Path:
    """An empty OUT/.run."""
    folder = out / RUN
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as wrong:
        raise InputError(f"--out {out}: {wrong.strerror}") from None
    return folder
