"""Which data files an INPUT of a command line means: a file, a folder of them, or a data set on the Hub."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from builders.engine.folder import MANIFEST, REJECTED
from builders.sources.formats.hub_files import NAME, downloaded
from schemas.settings import InputError

KINDS = {".parquet": "parquet", ".jsonl": "json", ".ndjson": "json", ".json": "json", ".csv": "csv", ".tsv": "tsv"}
PACKED = (".gz", ".zst")
SUPPORTED = "Parquet, JSON Lines (.jsonl, .ndjson, .json), CSV and TSV, the last three also as .gz or .zst"
SUFFIXES = [*KINDS, *(kind + packed for kind in KINDS if kind != ".parquet" for packed in PACKED)]
ABOUT_DATA = frozenset(
    {MANIFEST, "croissant.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
)
"""JSON files in a folder of data that describe it, and hold no rows."""
NO_ROWS_TO_USE = {REJECTED, "reports"}
"""Folders of a release beside its data."""
ON_THE_HUB = re.compile(rf"(?P<name>{NAME.pattern})(@(?P<revision>[^:]+))?(:(?P<config>.+))?")


SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""Word in the name of a file or folder -> the split its rows are of."""
SPLIT = re.compile(rf"(?<![a-z])({'|'.join(SPLITS)})(?![a-z])")


def split_of(name: str) -> str:
    """The split that a file or a folder is named after; "" when it is named after none."""
    word = SPLIT.search(name.lower())
    return SPLITS[word[1]] if word else ""


class DataFile(NamedTuple):
    """A file of rows, as it was when it was found."""

    path: Path
    name: str
    """Its path below the folder that was named; the file's own name when it was named itself."""
    kind: str
    size: int
    mtime_ns: int


def fingerprint(files: Iterable[DataFile], *more: str) -> str:
    """SHA-256 over name, size and time of files; another one when their content may have changed."""
    seen = [*([file.name, file.size, file.mtime_ns] for file in files), *more]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def data_files(name: str) -> list[DataFile]:
    """The files an INPUT means, sorted by path; raises InputError unless there is at least one."""
    path = Path(name)
    with _explained(path):
        if path.is_dir():
            return _of_folder(path)
        if path.exists():
            return [_data_file(path, path.name, kind_of(path) or _kind_by_content(path))]
    found = ON_THE_HUB.fullmatch(name)
    if not found or name.startswith(".") or kind_of(path):
        raise InputError(f"{name}: no such file or folder")
    return _of_folder(downloaded(found["name"], SUFFIXES, revision=found["revision"], config=found["config"]), name)


def kind_of(path: Path) -> str | None:
    """Kind of rows by a file's extension; None for one we do not know."""
    suffix = path.suffix.lower()
    if suffix in PACKED:
        inner = KINDS.get(Path(path.stem).suffix.lower())
        return None if inner == "parquet" else inner
    return KINDS.get(suffix)


def _kind_by_content(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: neither a file nor a folder")
    with path.open("rb") as file:
        if file.read(4) == b"PAR1":
            return "parquet"
    raise InputError(f"{path}: not a kind of file this reads: {SUPPORTED}")


def _data_file(path: Path, name: str, kind: str) -> DataFile:
    status = path.stat()
    if not status.st_size:
        raise InputError(f"{path}: the file is empty")
    return DataFile(path, name, kind, status.st_size, status.st_mtime_ns)


def _of_folder(folder: Path, called: str | None = None) -> list[DataFile]:
    with _explained(folder):
        found = [
            _data_file(path, path.relative_to(folder).as_posix(), kind)
            for path in sorted(_below(folder, frozenset()))
            if (kind := kind_of(path)) and path.name not in ABOUT_DATA
        ]
    if not found:
        raise InputError(f"{called or folder}: no data files in this folder; read are {SUPPORTED}")
    return found


def _below(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """Files under a folder, through links too, but not round in circles."""
    above |= {folder.resolve()}
    entries = [path for path in folder.iterdir() if path.name[0] not in "._"]
    skipped = NO_ROWS_TO_USE if (folder / MANIFEST).exists() else set()
    for path in entries:
        if not path.is_dir():
            yield path
        elif path.name not in skipped and path.resolve() not in above:
            yield from _below(path, above)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as wrong:
        where = wrong.filename if isinstance(wrong.filename, str) else os.fspath(path)
        raise InputError(f"{where}: {wrong.strerror or wrong}") from None
