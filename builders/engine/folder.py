"""The folder of a release: what may be written to, what it held before, and how a new release takes its place."""

import contextlib
import fcntl
import json
import os
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
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file")
    if not out.is_dir() or not any(out.iterdir()):
        return False
    if not os.access(out, os.W_OK):
        raise InputError(f"--out {out}: permission denied")
    if not (out / MANIFEST).exists():
        raise InputError(f"--out {out}: holds files that no builder wrote; name a new or empty folder")
    held = _manifest(out, "--out").get("config")
    if held != config:
        raise InputError(f"--out {out}: holds a release of {held}, not of {config}; name another folder")
    return True


def read_previous(folder: Path, config: str) -> Previous:
    """Version and rows of an earlier release; raises InputError naming what is missing."""
    import polars as pl

    manifest = _manifest(folder, "--previous")
    files = sorted((folder / config).glob("*.parquet"))
    if not files:
        raise InputError(f"--previous {folder}: holds no config {config}")
    frames = []
    for file in files:
        try:
            frame = pl.read_parquet(file, columns=["key", "id"])
        except (OSError, pl.exceptions.PolarsError) as wrong:
            raise InputError(f"--previous {file}: {wrong}") from None
        frames.append(frame.with_columns(split=pl.lit(file.name.split("-")[0])))
    return Previous(folder.resolve(), manifest["version"], manifest["content"], pl.concat(frames))


@contextlib.contextmanager
def only_builder_of(out: Path) -> Iterator[None]:
    """Hold the folder against other builds; raises InputError when one is at it."""
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"--out {out}: another build is writing to it") from None
        yield
        Path(lock.name).unlink(missing_ok=True)


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
    """Move every file of the draft into the target, the manifest last, and remove what the old release alone had.

    Files that no release named (a `.git`, notes) stay. A crash in between leaves a folder whose old manifest does not
    match its files; the next run puts it right.
    """
    new = sorted(path.relative_to(draft) for path in draft.rglob("*") if path.is_file() and path.name != MANIFEST)
    old = _named_by(target)
    for name in new:
        with (draft / name).open("rb") as file:
            os.fsync(file.fileno())
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).replace(target / name)
    for name in old - set(new):
        (target / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # still holds something
            (target / name).parent.rmdir()
    (draft / MANIFEST).replace(target / MANIFEST)
    discard(draft)


def _named_by(folder: Path) -> set[Path]:
    """The files of the release in a folder, and shards that a crash left in its directories."""
    if not (folder / MANIFEST).exists():
        return set()
    named = {Path(name) for name in _manifest(folder, "--out")["files"]}
    parts = {name.parent for name in named if name.parent != Path()}
    return named | {path.relative_to(folder) for part in parts for path in (folder / part).glob("*.parquet")}


def _manifest(folder: Path, flag: str) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as wrong:
        raise InputError(f"{flag} {folder}: no release there: {wrong.strerror}") from None
    except ValueError:
        raise InputError(f"{flag} {folder}: {MANIFEST} is not valid JSON") from None
    for field in ("version", "content", "config", "files"):
        if field not in manifest:
            raise InputError(f"{flag} {folder}: {MANIFEST} has no {field}")
    return dict(manifest)
