"""Write a release, or any table with messages, as a file that another trainer reads.

    python -m builders.export build/instructions --format alpaca --out build/llama-factory.jsonl
    python -m builders.export build/published --config polished_qa --format sharegpt --out build/axolotl.jsonl
    python -m builders.export more.parquet rows.jsonl --format messages --out build/trl.jsonl

Rows that a format cannot hold (alpaca knows only turns that alternate) are counted, and kept beside the file.
"""

import json
import sys
from pathlib import Path
from typing import ClassVar, Literal

from pydantic_settings import CliPositionalArg

from schemas.settings import InputError, Settings, run_command


class Export(Settings):
    """Write a release, or any table with messages, as a file for LLaMA-Factory, FastChat, DISC, TRL and their like."""

    command: ClassVar[str] = "export"

    source: CliPositionalArg[tuple[str, ...]]
    """Release folders, or tables with a column `messages`: Parquet, JSON Lines, CSV, a folder, or ORG/NAME on the Hub."""
    format: Literal["alpaca", "sharegpt", "disc", "messages"]
    """Layout of a row: alpaca (with history for the turns before the last), sharegpt, disc, or messages."""
    out: Path
    """JSON Lines file to write; rows that the format cannot hold go to NAME.left_out.jsonl beside it."""
    config: str | None = None
    """Of a release, this config alone; default: every one whose rows have messages."""
    split: str = "train"
    """Of a release, this split; `all` takes validation and test rows, too. Tables have no splits."""
    force: bool = False
    """Replace --out when it is there already; without this an existing file is left alone."""


def main(settings: Export) -> int:
    """Find the files, write the rows, say what was left out."""
    from builders.exports.writing import inputs_of, left_out_beside, write

    for file in (settings.out, left_out_beside(settings.out)):
        if file.exists() and (file.is_dir() or not settings.force):
            hint = "is a folder" if file.is_dir() else "is there already; --force replaces it"
            raise InputError(f"--out {settings.out}: {file} {hint}")
    inputs = inputs_of(settings.source, config=settings.config, split=settings.split)
    try:
        exported = write(inputs, settings.format, settings.out)
    except OSError as wrong:
        raise InputError(f"{wrong.filename or settings.out}: {wrong.strerror or wrong}") from None
    for reason, count in exported.left_out.most_common():
        print(f"  {count:6d} left out: {reason}", file=sys.stderr)
    if exported.left_out:
        print(f"  they stand in {left_out_beside(settings.out)}", file=sys.stderr)
    print(f"{exported.rows} rows → {settings.out} ({settings.format})", file=sys.stderr)
    figures = {"rows": exported.rows, "path": str(settings.out), "format": settings.format}
    print(json.dumps({**figures, "left_out": dict(exported.left_out)}, ensure_ascii=False), flush=True)
    return 0


if __name__ == "__main__":
    run_command(Export, main)
