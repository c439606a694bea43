"""Rows with `messages`, from releases or any tables, written to one JSON Lines file that is there whole or not at all."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from builders.engine.folder import MANIFEST, files_by_config, manifest_of
from builders.exports.layouts import ID, LAYOUTS
from builders.sources.consultations import Consultation
from builders.sources.fields import id_of, shown
from builders.sources.messages import FORMAT as MESSAGES
from builders.sources.raw_rows import rejected_of
from builders.sources.tables import Table, open_tables
from schemas.settings import InputError

COLUMN = "messages"
NAMED = ("id", "key")
"""Columns that name a row; the first that is there counts."""
ALL = "all"
AT_ONCE = 1_024


class Exported(NamedTuple):
    """What was written."""

    rows: int
    left_out: Counter[str]
    """Rows that the layout cannot hold, by reason."""


def inputs_of(sources: Sequence[str], *, config: str | None, split: str) -> list[str]:
    """Data files of releases, and other tables as they are named; raises InputError when a choice leaves nothing."""
    chosen: list[str] = []
    for source in sources:
        folder = Path(source)
        if (folder / MANIFEST).exists():
            chosen += _of_release(folder, config, split)
        elif config is not None:
            raise InputError(f"--config: {source} is no release; it has no {MANIFEST}")
        else:
            chosen.append(source)
    return chosen


def _of_release(folder: Path, config: str | None, split: str) -> list[str]:
    configs = files_by_config(manifest_of(folder, "FOLDER"))
    if config is not None and config not in configs:
        raise InputError(f"--config {config}: {folder} has no such config; it has {', '.join(configs)}")
    files = [
        folder / name
        for each, names in configs.items()
        if config in (None, each)
        for name in names
        if split in (ALL, _split(name)) and (config or _has_messages(folder / name))
    ]
    if not files:
        splits = sorted({_split(name) for names in configs.values() for name in names})
        raise InputError(f"{folder}: no rows with messages in the split {split!r}; splits are {', '.join(splits)}")
    return [str(file) for file in files]


def _split(name: str) -> str:
    return Path(name).name.split("-")[0]


def _has_messages(path: Path) -> bool:
    from builders.sources.formats.parts import part_of

    return COLUMN in part_of(path).schema.names


def write(inputs: Sequence[str], layout: str, out: Path) -> Exported:
    """Write every row that the layout holds to `out`, and the others with their reasons beside it."""
    draft, apart = out.with_name(f".{out.name}.new"), left_out_beside(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    left_out: Counter[str] = Counter()
    written = 0
    try:
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as scratch, draft.open("wb") as file:
            rest = Path(scratch) / apart.name
            with rest.open("wb") as beside:
                for place, row, reason in _laid_out(inputs, layout, Path(scratch)):
                    if reason:
                        left_out[reason.partition(":")[0]] += 1
                        _line(beside, {"place": place, "reason": reason, "raw": row})
                    else:
                        written += 1
                        _line(file, row)
            file.flush()
            os.fsync(file.fileno())
            if not written:
                reasons = "; ".join(f"{reason} ({count})" for reason, count in left_out.most_common(3))
                raise InputError(f"no row can be written as {layout}: {reasons or 'the inputs hold none'}")
            rest.replace(apart) if left_out else apart.unlink(missing_ok=True)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(written, left_out)


def left_out_beside(out: Path) -> Path:
    """Where the rows go that the layout of `out` cannot hold."""
    return out.with_name(f"{out.stem}.left_out.jsonl")


def _line(file: IO[bytes], row: dict[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _laid_out(inputs: Sequence[str], layout: str, scratch: Path) -> Iterator[tuple[str, Any, str]]:
    """(place, row, reason) of every row: the row as the layout has it, or as it stood with the reason why not."""
    for table in open_tables(inputs, scratch):
        for place, raw in _rows(table):
            try:
                said: Consultation = MESSAGES.consultation(raw)
                row = LAYOUTS[layout](said.utterances)
            except ValueError as wrong:
                yield place, shown(raw), str(wrong)
                continue
            own = next((own for name in NAMED if (own := id_of(raw, name))), "")
            yield place, {ID.get(layout, "id"): own, **row} if own else row, ""
        for broken in rejected_of(table):
            yield broken.place, broken.raw, broken.reason


def _rows(table: Table) -> Iterator[tuple[str, dict[str, Any]]]:
    if COLUMN not in table.schema.names:
        raise InputError(f"{table.name}: no column {COLUMN}; there are {', '.join(table.schema.names)}")
    columns = [name for name in (*NAMED, COLUMN) if name in table.schema.names]
    number = 0
    for batch in table.batches(columns, at_most=AT_ONCE):
        for row in batch.to_pylist():
            yield table.place(number), row
            number += 1
