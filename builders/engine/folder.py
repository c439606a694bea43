"""The folder of a release: what may be written to, what it held before, and how a new release takes its place."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas.settings import InputError

if TYPE_CHECKING:
    import polars

MANIFEST = "manifest.json"
CARD = "README.md"
REJECTED = "rejected"
"""Folder of what was thrown away; it stays on this disk and is never pushed."""


class Previous(NamedTuple):
    """The release a build continues from."""

    version: str
    content: str
    """SHA-256 over its data and facts, whatever its version."""
    rows: "polars.DataFrame"
    """Columns key, id, split."""


def check_folder(out: Path, config: str) -> bool:
    """Whether `out` holds an earlier release of this config, which the build continues from.

    Raises InputError unless `out` is new, empty, or such a release, and can be written to.
    """
    held = held_by(out)
    if held and held["config"] != config:
        raise InputError(f"--out {out}: holds a release of {held['config']}, not of {config}; name another folder")
    return held is not None


def held_by(out: Path) -> dict[str, Any] | None:
    """The manifest of the release in `out`; None when it is new or empty. Raises InputError when it is anything else."""
    if not out.is_dir() or all(path.name.startswith(".git") for path in out.iterdir()):
        return None
    if not os.access(out, os.W_OK):
        raise InputError(f"--out {out}: permission denied")
    if not (out / MANIFEST).exists():
        raise InputError(f"--out {out}: holds files that no builder wrote; name a new or empty folder")
    return manifest_of(out, "--out")


def holds(target: Path, content: str, version: str) -> bool:
    """Whether a folder holds just this release already."""
    if not (target / MANIFEST).exists():
        return False
    held = manifest_of(target, "--out")
    if held["content"] != content or held["version"] != version:
        return False
    found = {name: sha256_of(target / name) for name in held["files"]}
    return found.get(CARD) is not None and all(
        found[name] == entry["sha256"] for name, entry in held["files"].items() if name != CARD
    )


def sha256_of(path: Path) -> str | None:
    """SHA-256 of a file, in hexadecimal; None when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def as_json(value: Any) -> bytes:
    """A manifest or report as it stands in its file: the same value, the same bytes."""
    return (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()


def configs_of(manifest: Mapping[str, Any]) -> list[str]:
    """The configs of a release in their order, the default first: one of a builder, perhaps several of `publish`."""
    return str(manifest["config"]).split("+")


def files_by_config(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """Config -> names of its Parquet files."""
    names = sorted(manifest["files"])
    return {
        config: [name for name in names if Path(name).match(f"{config}/*.parquet")] for config in configs_of(manifest)
    }


def read_previous(folder: Path, config: str, *, flag: str) -> Previous:
    """Version and rows of an earlier release; raises InputError naming what is missing."""
    manifest = manifest_of(folder, flag)
    files = sorted(name for name in manifest["files"] if Path(name).match(f"{config}/*.parquet"))
    if not files:
        raise InputError(f"{flag} {folder}: holds no config {config}")
    rows = rows_of([folder / name for name in files], flag)
    return Previous(manifest["version"], manifest["content"], rows)


def rows_of(files: Iterable[Path], flag: str) -> "polars.DataFrame":
    """Key, id and split of every row in Parquet files that are named after their split."""
    import polars as pl

    frames = []
    for path in files:
        try:
            frame = pl.read_parquet(path, columns=["key", "id"])
        except (OSError, pl.exceptions.PolarsError) as wrong:
            raise InputError(f"{flag} {path}: {wrong}") from None
        frames.append(frame.with_columns(split=pl.lit(path.name.split("-")[0])))
    return pl.concat(frames)


def rows_of_configs(files: Mapping[str, Iterable[Path]], flag: str) -> "polars.DataFrame":
    """Key, id and split of every row in the Parquet files of some configs; a key is CONFIG/KEY."""
    import polars as pl

    frames = [pl.DataFrame(schema=dict.fromkeys(("key", "id", "split"), pl.String))]
    for config, paths in files.items():
        if paths := list(paths):
            frames.append(rows_of(paths, flag).with_columns(key=pl.lit(f"{config}/") + pl.col("key")))
    return pl.concat(frames)


@contextlib.contextmanager
def only_builder_of(out: Path, *, flag: str = "--out") -> Iterator[None]:
    """Hold the folder against other builds, and finish what a killed one left half done.

    Raises InputError when another build is at it.
    """
    target = out.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    name = target.parent / f".{target.name}.lock"
    with _locked(name) as mine:
        if not mine:
            raise InputError(f"{flag} {out}: another build is writing to it")
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
    manifest = manifest_of(folder, "--out")
    names = {Path(name) for name in (*manifest["files"], *manifest.get("kept_here", ()))}
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            raise InputError(f"--out {folder}: {MANIFEST} names a file outside the folder: {name}")
    return names


def manifest_of(folder: Path, flag: str) -> dict[str, Any]:
    """The manifest of a release; raises InputError, naming the flag, when there is none or it is no manifest."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
    except OSError as wrong:
        raise InputError(f"{flag} {folder}: no release there: {wrong.strerror}") from None
    except ValueError:
        raise InputError(f"{flag} {folder}: {MANIFEST} is not valid JSON") from None
    return checked_manifest(text, f"{flag} {folder}")


def checked_manifest(text: str, where: str) -> dict[str, Any]:
    """A manifest from its text; raises InputError, saying where it stands, when it is none."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: {MANIFEST} is not valid JSON") from None
    shapes = {"version": str, "content": str, "config": str, "files": dict}
    for field, shape in shapes.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(field), shape):
            raise InputError(f"{where}: {MANIFEST} has no {field}, or not of the right kind")
    if not re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"]):
        raise InputError(f"{where}: {MANIFEST}: version {manifest['version']!r} is not MAJOR.MINOR.PATCH")
    for name, entry in manifest["files"].items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{where}: {MANIFEST} names a file outside the folder: {name}")
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
            raise InputError(f"{where}: {MANIFEST} has no SHA-256 of {name}")
    return dict(manifest)


def replace_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files of a release anew, each whole or not at all."""
    for name, data in files.items():
        draft = folder / f".{Path(name).name}.new"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
        draft.replace(folder / name)
