"""The rows a trainer learns from: releases of ours, tables in any chat layout, and data sets on the Hub.

for opened in open_data(settings.choices, scratch):
    for row in opened.read("train"):  # Conversation, or Unreadable with its reason
        ...
"""

import contextlib
import glob
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from builders.engine.folder import MANIFEST, files_by_config, manifest_of, sha256_of
from builders.sources.formats.data_files import SUFFIXES, DataFile, data_files
from builders.sources.formats.hub_files import NAME, downloaded
from builders.sources.formats.parts import part_of
from builders.sources.tables import Table
from schemas.settings import InputError
from schemas.train_settings import DataChoice
from trainers.engine.rows.chat_rows import MESSAGES, Conversation, Layout, Unreadable, layout_of, messages_of
from trainers.engine.rows.chat_tables import Piece, Split, cut

__all__ = ["Conversation", "Opened", "Split", "Unreadable", "general_probe", "open_data"]

FLAG = "--data"
COLUMN = "messages"
SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
SPLIT_WORD = re.compile(rf"(?<![a-z])({'|'.join(SPLIT_WORDS)})(?![a-z])")
PROBE = Path(__file__).with_name("general_probe.jsonl")
"""General-domain conversations written for this package, CC0: what a model forgets shows on them."""


@dataclass(frozen=True)
class Opened:
    """A data set that can be read, and what a card states of it."""

    choice: DataChoice
    name: str
    """ORG/NAME on the Hub, or the folder's or file's own name."""
    revision: str
    """Commit on the Hub, content hash of a release, SHA-256 of a table's file or files."""
    version: str
    """Of a release, e.g. 1.2.0; "" for a table."""
    configs: tuple[str, ...]
    licenses: dict[str, int]
    """Licence its training rows are released under ("" where nobody stated one) -> rows."""
    rehearsal: bool
    """True when any training row came from the rehearsal teacher."""
    splits: tuple[Split, ...]
    """Those that have rows."""
    pieces: Mapping[Split, Sequence[Piece]] = field(repr=False)

    def read(self, split: Split) -> Iterator[Conversation | Unreadable]:
        """Every row of a split, in the order of its files, always the same; nothing for a split that is not there."""
        for piece in self.pieces.get(split, ()):
            yield from piece.read()


class _Found(NamedTuple):
    """Where the rows of a choice are, before any of them is read."""

    choice: DataChoice
    name: str
    revision: str
    layout: Layout
    files: Mapping[Split, Sequence[Sequence[DataFile]]]
    """Split -> files that make a table each."""
    version: str = ""
    configs: tuple[str, ...] = ()
    whole: bool = False
    """Nobody has cut it into splits."""


def open_data(choices: Sequence[DataChoice], scratch: Path, *, seed: int = 0) -> list[Opened]:
    """Every choice, found first and opened then; raises InputError in one line for what cannot be trained on.

    A table that nobody has split is cut: 5 % of it are held out, and which depends on the seed.
    """
    found = []
    for choice in choices:
        with _told():
            found.append(_found(choice))
    with _told():
        return [_opened(one, scratch, seed) for one in found]


def general_probe() -> list[Conversation]:
    """60 short conversations about anything but medicine, 40 of them Chinese."""
    lines = PROBE.read_text(encoding="utf-8").splitlines()
    rows = [(f"{PROBE.name}: row {number}", json.loads(line)) for number, line in enumerate(lines, 1)]
    return [Conversation(place, place.replace(": row ", ":"), "", messages_of(row, MESSAGES)) for place, row in rows]


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Whatever is wrong with a data set names the flag that gave it."""
    try:
        yield
    except InputError as wrong:
        raise InputError(str(wrong) if str(wrong).startswith(FLAG) else f"{FLAG} {wrong}") from None


def _found(choice: DataChoice) -> _Found:
    path = Path(choice.where)
    if path.exists():
        if choice.revision:
            raise InputError(f"{choice}: a revision is for data sets on the Hub, and {choice.where} is on this disk")
        name = path.resolve().name
        return _release(choice, path, name, "") if (path / MANIFEST).exists() else _table(choice, path, name, "")
    if not NAME.fullmatch(choice.where):
        raise InputError(f"{choice.where}: no such file or folder, and not ORG/NAME on the Hub")
    configs = [f"{glob.escape(config)}/*{suffix}" for config in choice.configs for suffix in SUFFIXES]
    patterns = [MANIFEST, *configs] if choice.configs else SUFFIXES
    folder = downloaded(choice.where, patterns, revision=choice.revision, config=None)
    commit = folder.name  # the client keeps a snapshot under the commit it resolved the revision to
    if (folder / MANIFEST).exists():
        return _release(choice, folder, choice.where, commit)
    data = folder / "data"
    return _table(choice, data if data.is_dir() and not choice.configs else folder, choice.where, commit)


def _release(choice: DataChoice, folder: Path, name: str, commit: str) -> _Found:
    manifest = manifest_of(folder, FLAG)
    configs = _trainable(choice, folder, files_by_config(manifest))
    files: dict[Split, list[list[DataFile]]] = {}
    for names in configs.values():
        _check_unchanged(folder, names, manifest["files"])
        for split, group in _by_split([_data_file(folder, one) for one in names]).items():
            files.setdefault(split, []).append(group)
    return _Found(
        choice, name, commit or manifest["content"], MESSAGES, files, manifest["version"], configs=tuple(configs)
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


def _check_unchanged(folder: Path, names: Iterable[str], stated: Mapping[str, Any]) -> None:
    for name in names:
        if sha256_of(folder / name) != stated[name]["sha256"]:
            raise InputError(f"{folder / name}: not the file that {MANIFEST} names; build or download the release anew")


def _data_file(folder: Path, name: str) -> DataFile:
    status = (folder / name).stat()
    return DataFile(folder / name, name, "parquet", status.st_size, status.st_mtime_ns)


def _table(choice: DataChoice, path: Path, name: str, commit: str) -> _Found:
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
    return _Found(
        choice,
        name,
        commit or _content(found),
        layout,
        {split: [group] for split, group in files.items()},
        configs=choice.configs,
        whole="validation" not in files,
    )


def _by_split(files: Iterable[DataFile]) -> dict[Split, list[DataFile]]:
    """Files by the split that their own name says, or else the nearest folder's; without a word, train."""
    by_split: dict[Split, list[DataFile]] = {}
    for file in files:
        words = (SPLIT_WORD.search(part.lower()) for part in reversed(Path(file.name).parts))
        word = next((word[1] for word in words if word), "train")
        by_split.setdefault(SPLIT_WORDS[word], []).append(file)
    return by_split


def _content(files: Sequence[DataFile]) -> str:
    """SHA-256 of a file; of several, over their names and hashes."""
    hashes = [(file.name, sha256_of(file.path)) for file in files]
    return hashes[0][1] or "" if len(hashes) == 1 else hashlib.sha256(json.dumps(hashes).encode()).hexdigest()


def _opened(found: _Found, scratch: Path, seed: int) -> Opened:
    pieces: dict[Split, list[Piece]] = {
        split: [Piece(Table(found.choice.where, group, scratch), found.layout) for group in groups]
        for split, groups in found.files.items()
    }
    if found.whole:
        (whole,) = pieces["train"]
        pieces |= {split: [piece] for split, piece in cut(whole.table, found.layout, seed).items()}
    train = pieces.get("train", [])
    return Opened(
        choice=found.choice,
        name=found.name,
        revision=found.revision,
        version=found.version,
        configs=found.configs,
        licenses=dict(sum((piece.licenses() for piece in train), Counter[str]())),
        rehearsal=any(piece.rehearsal() for piece in train),
        splits=tuple(split for split in ("train", "validation", "test") if pieces.get(split)),
        pieces=pieces,
    )
