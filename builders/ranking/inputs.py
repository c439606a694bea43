"""Where prompts come from: what one --data means, by split, and whether its rows have `messages`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from builders.engine.folder import MANIFEST, files_by_config, manifest_of
from builders.sources.formats.data_files import data_files, split_of
from builders.sources.formats.parts import part_of
from builders.sources.messages import FORMAT as MESSAGES
from builders.sources.raw_rows import files_of_lines, first_rows, mostly
from schemas.settings import InputError

Wanted = Literal["train", "validation", "test", "all"]
COLUMN = "messages"


def inputs_of(where: str, split: Wanted) -> list[str]:
    """The files, or the folder, that a --data means: FOLDER[:CONFIG] of a release, a table, ORG/NAME[@REV][:CONFIG].

    Of several files that are named after splits those of the wanted one count. Raises InputError when that leaves none.
    """
    folder, _, config = where.rpartition(":")
    if (Path(where) / MANIFEST).exists():
        return _of_release(Path(where), "", split)
    if folder and (Path(folder) / MANIFEST).exists():
        return _of_release(Path(folder), config, split)
    if Path(where).is_file() or files_of_lines(where):
        return [where]
    files = {str(file.path): file.name for file in data_files(where)}
    chosen = _of_split(where, files, split)
    return chosen if len(chosen) < len(files) else [where]


def has_messages(inputs: Iterable[str]) -> bool:
    """Whether the rows of all inputs are conversations of user and assistant; raises InputError for a wrong file."""
    return all(not files_of_lines(name) and mostly(MESSAGES.fits, first_rows(name)) for name in inputs)


def _of_release(folder: Path, config: str, split: Wanted) -> list[str]:
    configs = files_by_config(manifest_of(folder, "--data"))
    if config and config not in configs:
        raise InputError(f"--data {folder}: no config {config!r}; it has {', '.join(configs)}")
    names = [name for one, files in configs.items() if one == (config or one) for name in files]
    told = {str(folder / name): name for name in names if COLUMN in part_of(folder / name).schema.names}
    if not told:
        raise InputError(f"--data {folder}: no rows with messages in {config or ', '.join(configs)}")
    return _of_split(str(folder), told, split)


def _of_split(where: str, files: dict[str, str], split: Wanted) -> list[str]:
    """Files of the split; one that is named after none belongs to every split."""
    chosen = [path for path, name in files.items() if split == "all" or split_of(Path(name).name) in (split, "")]
    if not chosen:
        there = ", ".join(sorted({split_of(Path(name).name) for name in files.values()}))
        raise InputError(f"--data {where}: no rows in the split {split!r}; it has {there}; choose with --split")
    return chosen
