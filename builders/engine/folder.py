"""The folder of a release: what may be written to, what it held before, and how a new release takes its place."""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas.settings import InputError

if TYPE_CHECKING:
    import polars

MANIFEST = "manifest.json"


class Previous(NamedTuple):
    """The release a build continues from."""

    folder: Path
    version: str
    content: str
    """SHA-256 over its data and facts, whatever its version."""
    rows: "polars.DataFrame"
    """Columns key, id, split."""


def check_folder(out: Path, config: str) -> bool:
    """Whether `out` holds an earlier release of this config, which the build continues from.

    Raises InputError unless `out` is new, empty, or such a release, and can be written to.
    """
    if not out.is_dir() or all(path.name.startswith(".git") for path in out.iterdir()):
        return False
    if not os.access(out, os.W_OK):
        raise InputError(f"--out {out}: permission denied")
    if not (out / MANIFEST).exists():
        raise InputError(f"--out {out}: holds files that no builder wrote; name a new or empty folder")
    held = manifest_of(out, "--out")["config"]
    if held != config:
        raise InputError(f"--out {out}: holds a release of {held}, not of {config}; name another folder")
    return True


def read_previous(folder: Path, config: str, *, flag: str) -> Previous:
    """Version and rows of an earlier release; raises InputError naming what is missing."""
    import polars as pl

    manifest = manifest_of(folder, flag)
    files = sorted(name for name in manifest["files"] if Path(name).match(f"{config}/*.parquet"))
    if not files:
        raise InputError(f"{flag} {folder}: holds no config {config}")
    frames = []
    for name in files:
        try:
            frame = pl.read_parquet(folder / name, columns=["key", "id"])
        except (OSError, pl.exceptions.PolarsError) as wrong:
            raise InputError(f"{flag} {folder / name}: {wrong}") from None
        frames.append(frame.with_columns(split=pl.lit(Path(name).name.split("-")[0])))
    return Previous(folder.resolve(), manifest["version"], manifest["content"], pl.concat(frames))


@contextlib.contextmanager
def only_builder_of(out: Path) -> Iterator[None]:
    """Hold the folder against other builds, and finish what a killed one left half done.

    Raises InputError when another build is at it.
    """
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    name = target.parent / f".{target.name}.lock"
    with _locked(name) as mine:
        if not mine:
            raise InputError(f"--out {out}: another build is writing to it")
        try:
            _roll_forward(target)
            yield
        finally:
            name.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(name: Path) -> Iterator[bool]:
    """An exclusive lock on a file that may be removed by whoever holds it; False when somebody does."""
    while True:
        with name.open("wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if name.exists() and name.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                yield True
                return


def fresh_draft(target: Path) -> Path:
    """An empty folder beside the target to write the new release to."""
    draft = target.with_name(f".{target.name}.new")
    discard(draft)
    draft.mkdir(parents=True)
    return draft


def discard(draft: Path) -> None:
    """Remove a draft."""
    shutil.rmtree(draft, ignore_errors=True)


def put_in_place(draft: Path, target: Path) -> None:
    """Make a complete draft the release in `target`; files there that no release named (a `.git`, notes) stay.

    A new target is one rename. Otherwise the draft is first renamed to `.NAME.ready`: from then on the new release
    stands, and a build that is killed between the moves is finished by the next one.
    """
    for path in draft.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    if not target.exists() or not any(target.iterdir()):
        draft.replace(target)
        return
    draft.replace(_ready(target))
    _roll_forward(target)


def _roll_forward(target: Path) -> None:
    """Move a release that is ready into its folder, the manifest last, and remove what only the old one had."""
    ready = _ready(target)
    if not (ready / MANIFEST).exists():
        discard(ready)  # everything is moved
        return
    target.mkdir(exist_ok=True)
    new, old = _named_by(ready), _named_by(target) if (target / MANIFEST).exists() else set()
    for name in new:
        if (ready / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (ready / name).replace(target / name)
    for name in old - new:
        (target / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # still holds something
            (target / name).parent.rmdir()
    (ready / MANIFEST).replace(target / MANIFEST)
    discard(ready)


def _ready(target: Path) -> Path:
    return target.with_name(f".{target.name}.ready")


def _named_by(folder: Path) -> set[Path]:
    """The files of the release in a folder, as its manifest names them; a name that leads outside is bad input."""
    names = {Path(name) for name in manifest_of(folder, "--out")["files"]}
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise InputError(f"--out {folder}: {MANIFEST} names a file outside the folder: {name}")
    return names


def manifest_of(folder: Path, flag: str) -> dict[str, Any]:
    """The manifest of a release; raises InputError, naming the flag, when there is none or it is no manifest."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as wrong:
        raise InputError(f"{flag} {folder}: no release there: {wrong.strerror}") from None
    except ValueError:
        raise InputError(f"{flag} {folder}: {MANIFEST} is not valid JSON") from None
    shapes = {"version": str, "content": str, "config": str, "files": dict}
    for field, shape in shapes.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(field), shape):
            raise InputError(f"{flag} {folder}: {MANIFEST} has no {field}, or not of the right kind")
    if not re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"]):
        raise InputError(f"{flag} {folder}: {MANIFEST}: version {manifest['version']!r} is not MAJOR.MINOR.PATCH")
    return dict(manifest)
