"""Where the rows of every --data lie, and which revision they are of: known before any row is read.

found = find_data(settings.choices)
[one.revision for one in found]     what a run is known by
open_found(found, scratch, seed)    (in data_sets) the same, ready to be read
"""

import contextlib
import glob
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from builders.engine.folder import MANIFEST, files_by_config, manifest_of, sha256_of
from builders.sources.formats.data_files import SUFFIXES, DataFile, data_files, split_of
from builders.sources.formats.hub_files import NAME, downloaded
from builders.sources.formats.parts import part_of
from schemas.settings import InputError
from schemas.train_settings import DataChoice
from trainers.engine.rows.chat_rows import MESSAGES, Layout, layout_of
from trainers.engine.rows.chat_tables import Split

FLAG = "--data"
COLUMN = "messages"


class Found(NamedTuple):
    """Where the rows of a choice are, before any of them is read."""

    choice: DataChoice
    name: str
    """ORG/NAME on the Hub, or the folder's or file's own name."""
    revision: str
    """Commit on the Hub, content hash of a release, SHA-256 of a table's file or files."""
    release: str
    """What its clusters and splits are those of; the same for every config of one set."""
    layout: Layout
    files: Mapping[Split, Sequence[Sequence[DataFile]]]
    """Split -> files that make a table each."""
    version: str = ""
    configs: tuple[str, ...] = ()
    stated: Mapping[str, str] = {}
    """File of a release -> SHA-256 that its manifest states."""
    whole: bool = False
    """Nobody has cut it into splits."""


def find_data(choices: Sequence[DataChoice]) -> list[Found]:
    """Where every choice lies and its revision, cheaply; raises InputError for what is not there, or there twice."""
    with told():
        found = [_found(choice) for choice in choices]
        for number, one in enumerate(found):
            for earlier in found[:number]:
                _check_apart(one, earlier)
    return found


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Whatever is wrong with a data set names the flag that gave it."""
    try:
        yield
    except InputError as wrong:
        raise InputError(str(wrong) if str(wrong).startswith(FLAG) else f"{FLAG} {wrong}") from None


def _check_apart(one: Found, other: Found) -> None:
    """No file is trained on twice, whatever it is called: its rows would count double."""
    files, there = ({file.path.resolve(): file.name for file in _training_files(each)} for each in (one, other))
    if twice := next((name for path, name in files.items() if path in there), None):
        raise InputError(f"{one.choice}: {twice} is trained on already, by {FLAG} {other.choice}; name it once")


def _training_files(found: Found) -> Iterator[DataFile]:
    for group in found.files.get("train", ()):
        yield from group


def _found(choice: DataChoice) -> Found:
    path = Path(choice.where)
    if path.exists():
        if choice.revision:
            raise InputError(f"{choice}: a revision is for data sets on the Hub, and {choice.where} is on this disk")
        name = path.resolve().name
        return _release(choice, path, name, "") if (path / MANIFEST).exists() else _table(choice, path, name, "")
    if not NAME.fullmatch(choice.where) or choice.where.endswith(tuple(SUFFIXES)):
        raise InputError(f"{choice.where}: no such file or folder, and not ORG/NAME on the Hub")
    configs = [f"{glob.escape(config)}/*{suffix}" for config in choice.configs for suffix in SUFFIXES]
    patterns = [MANIFEST, *configs] if choice.configs else SUFFIXES
    folder = downloaded(choice.where, patterns, revision=choice.revision, config=None)
    commit = folder.name  # the client keeps a snapshot under the commit it resolved the revision to
    if (folder / MANIFEST).exists():
        return _release(choice, folder, choice.where, commit)
    data = folder / "data"
    return _table(choice, data if data.is_dir() and not choice.configs else folder, choice.where, commit)


def _release(choice: DataChoice, folder: Path, name: str, commit: str) -> Found:
    manifest = manifest_of(folder, FLAG)
    configs = _trainable(choice, folder, files_by_config(manifest))
    files: dict[Split, list[list[DataFile]]] = {}
    for names in configs.values():
        for split, group in _by_split([_data_file(folder, one) for one in names]).items():
            files.setdefault(split, []).append(group)
    revision = commit or manifest["content"]
    return Found(
        choice,
        name,
        revision,
        f"{name}@{revision}",
        MESSAGES,
        files,
        manifest["version"],
        configs=tuple(configs),
        stated={one: manifest["files"][one]["sha256"] for names in configs.values() for one in names},
    )


def _trainable(choice: DataChoice, folder: Path, by_config: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The configs that are trained on, with their files."""
    if unknown := next((config for config in choice.configs if config not in by_config), None):
        raise InputError(f"{choice.where}: no config {unknown}; it has {', '.join(by_config)}")
    wanted = {config: by_config[config] for config in choice.configs or by_config if by_config[config]}
    lacking = [config for config, names in wanted.items() if COLUMN not in part_of(folder / names[0]).schema.names]
    if choice.configs and lacking:
        raise InputError(f"{choice.where}: the rows of config {lacking[0]} have no column {COLUMN}")
    if len(lacking) == len(wanted):
        raise InputError(f"{choice.where}: none of its configs has a column {COLUMN}; it has {', '.join(by_config)}")
    return {config: names for config, names in wanted.items() if config not in lacking}


def _data_file(folder: Path, name: str) -> DataFile:
    status = (folder / name).stat()
    return DataFile(folder / name, name, "parquet", status.st_size, status.st_mtime_ns)


def _table(choice: DataChoice, path: Path, name: str, commit: str) -> Found:
    if choice.configs and not path.is_dir():
        raise InputError(f"{choice}: {choice.where} is one table and has no configs")
    places = {config: path / config for config in choice.configs} or {"": path}
    if missing := next((config for config, place in places.items() if not place.exists()), None):
        there = ", ".join(sorted(place.name for place in path.iterdir() if place.is_dir())) or "none"
        raise InputError(f"{choice.where}: no folder {missing} in it; its folders are {there}")
    layouts = {place: layout_of(str(place)) for place in places.values()}
    layout, *others = dict.fromkeys(layouts.values())
    if others:
        raise InputError(f"{choice}: rows of {layout.name} and of {others[0].name}; name them in a --data each")
    found = [
        file._replace(name=f"{config}/{file.name}") if config else file
        for config, place in places.items()
        for file in data_files(str(place))
    ]
    files: dict[Split, list[DataFile]] = _by_split(found) if path.is_dir() else {"train": found}
    if "train" not in files:
        raise InputError(f"{choice.where}: nothing to train on: its files are named {', '.join(sorted(files))}")
    return Found(
        choice,
        name,
        commit or _content(found),
        f"{name}@{commit}" if commit else str(path.resolve()),
        layout,
        {split: [group] for split, group in files.items()},
        configs=choice.configs,
        whole="validation" not in files,
    )


def _by_split(files: Iterable[DataFile]) -> dict[Split, list[DataFile]]:
    """Files by the split that their own name says, or else the nearest folder's; without a word, train."""
    by_split: dict[Split, list[DataFile]] = {}
    for file in files:
        named = next(filter(None, map(split_of, reversed(Path(file.name).parts))), "train")
        by_split.setdefault(cast("Split", named), []).append(file)
    return by_split


def _content(files: Sequence[DataFile]) -> str:
    """SHA-256 of a file; of several, over their names and hashes."""
    hashes = [(file.name, sha256_of(file.path)) for file in files]
    return hashes[0][1] or "" if len(hashes) == 1 else hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
