"""Release folders that builders wrote, opened to be joined: whole, of one shape per config, and what each says of itself."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from builders.engine.folder import CARD, MANIFEST, REJECTED, files_by_config, manifest_of, sha256_of
from builders.engine.splits import SHARES
from builders.sources.formats.parts import Part, part_of
from cards.publication import Made
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa

NEEDED = ("id", "key", "origin", "form", "provenance", "messages")
NEEDED_PROVENANCE = ("source", "source_license", "license", "builder", "teachers", "cluster", "rehearsal")
BATCH = 8_192
"""Rows read at once."""


class Folder(NamedTuple):
    """A release of one config."""

    path: Path
    manifest: dict[str, Any]
    parts: tuple[Part, ...]
    """Its Parquet files, train first."""
    made: Made

    @property
    def rows(self) -> int:
        """Rows of all splits."""
        return self.made.rows

    @property
    def answered_on(self) -> str:
        """Date of the latest answer in it, YYYY-MM-DD; empty when it does not say."""
        return str(_report(self.path, self.manifest, "croissant.json").get("datePublished", ""))


class Config(NamedTuple):
    """All rows of a config, out of one folder or several."""

    name: str
    folders: tuple[Folder, ...]
    schema: "pa.Schema"
    """With the metadata that gives `load_dataset` our types."""

    @property
    def parts(self) -> list[Part]:
        """Its Parquet files in the order of the folders, train first in each: the order of the rows."""
        return [part for folder in self.folders for part in folder.parts]

    @property
    def rows(self) -> int:
        """Rows of all folders."""
        return sum(folder.rows for folder in self.folders)

    def batches(self, columns: Sequence[str] | None = None, *, start: int = 0) -> "Iterator[pa.RecordBatch]":
        """Rows from `start` on, with these columns or all; raises InputError for a damaged file."""
        import pyarrow as pa

        schema = self.schema if columns is None else pa.schema([self.schema.field(name) for name in columns])
        for part in self.parts:
            if start < part.rows:
                yield from part.batches(schema, start, BATCH)
            start = max(0, start - part.rows)

    def place(self, row: int) -> str:
        """File and number of a row, from 1: `build/qa/polished_qa/train-00000-of-00001.parquet: row 12`."""
        for part in self.parts:
            if row < part.rows:
                return f"{part.path}: row {row + 1}"
            row -= part.rows
        raise IndexError(row)


def open_configs(paths: Sequence[Path], order: Sequence[str]) -> list[Config]:
    """The configs of some release folders: those named in `order` first, the others as the folders come.

    Raises InputError for a folder that is no release of one config, or damaged, and for folders of one config whose
    columns differ.
    """
    if twice := next((path for number, path in enumerate(paths) if _named_before(path, paths[:number])), None):
        raise InputError(f"FOLDER {twice}: named twice")
    by_config: dict[str, list[Folder]] = {}
    for path in paths:
        folder = _opened(path)
        by_config.setdefault(folder.manifest["config"], []).append(folder)
    if strange := [name for name in order if name not in by_config]:
        raise InputError(f"--order: no folder holds {strange[0]}; they hold {', '.join(by_config)}")
    return [_config(name, by_config[name]) for name in dict.fromkeys((*order, *by_config))]


def _named_before(path: Path, before: Sequence[Path]) -> bool:
    return any(path.resolve() == other.resolve() for other in before)


def _opened(path: Path) -> Folder:
    manifest = manifest_of(path, "FOLDER")
    where, name = f"FOLDER {path}", manifest["config"]
    if "configs" in manifest:
        raise InputError(f"{where}: is itself a release of publish ({name}); name the folders that it was made from")
    if not re.fullmatch(r"\w[\w.-]*", name) or name in (REJECTED, "reports"):
        raise InputError(f"{where}: {MANIFEST}: {name!r} is no name for a config")
    for file, entry in manifest["files"].items():
        if file != CARD and sha256_of(path / file) != entry["sha256"]:
            raise InputError(f"{path / file} is not the file that {MANIFEST} names; run its builder again")
    files = sorted(files_by_config(manifest)[name], key=in_order)
    if not files:
        raise InputError(f"{where}: {MANIFEST} names no rows of {name}")
    parts = tuple(part_of(path / file) for file in files)
    return Folder(path, manifest, parts, _made(path, manifest, sum(part.rows for part in parts)))


def _made(path: Path, manifest: dict[str, Any], rows: int) -> Made:
    judged = _report(path, manifest, "reports/filters.json")
    said = {name: manifest[name] for name in Made.model_fields if name in manifest}
    try:
        return Made(**said, rows=rows, judged=judged.get("judged"), rejected=judged.get("rejected", {}))
    except ValidationError as wrong:
        field = wrong.errors()[0]["loc"][0]
        raise InputError(f"FOLDER {path}: {MANIFEST} has no {field}, or not of the right kind") from None


def _report(path: Path, manifest: dict[str, Any], name: str) -> dict[str, Any]:
    """What a JSON file of a folder says; nothing when it has none."""
    if name not in manifest["files"]:
        return {}
    try:
        said = json.loads((path / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        raise InputError(f"{path / name}: {wrong}") from None
    return said if isinstance(said, dict) else {}


def in_order(file: str) -> tuple[int, str]:
    """What Parquet files named after their split are sorted by: train, validation, test, any other."""
    usual, split = [name for name, _ in SHARES], Path(file).name.split("-")[0]
    return (usual.index(split) if split in usual else len(usual), file)


def _config(name: str, folders: list[Folder]) -> Config:
    first, *others = (part for folder in folders for part in folder.parts)
    _check_columns(first)
    for other in others:
        if differs := _first_difference(first.schema, other.schema):
            raise InputError(f"{other.path}: column {differs} is not as in {first.path}; both are of {name}")
    return Config(name, tuple(folders), first.schema)


def _first_difference(one: "pa.Schema", other: "pa.Schema") -> str | None:
    names: list[str] = list(dict.fromkeys((*one.names, *other.names)))
    for name in names:
        if name not in one.names or name not in other.names or one.field(name).type != other.field(name).type:
            return name
    return None


def _check_columns(part: Part) -> None:
    """Raise InputError unless a file has what every row to train on has."""
    from pyarrow import types

    if missing := [name for name in NEEDED if name not in part.schema.names]:
        raise InputError(f"{part.path}: no column {missing[0]}; publish joins rows to train on, which have it")
    provenance = part.schema.field("provenance").type
    held = [field.name for field in provenance] if types.is_struct(provenance) else []
    if missing := [name for name in NEEDED_PROVENANCE if name not in held]:
        raise InputError(f"{part.path}: column provenance has no {missing[0]}")
