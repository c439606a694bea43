"""Rows of a JSON Lines file, or of one JSON array, each with the place to name when it is wrong."""

import json
from pathlib import Path
from typing import Any

from schemas.settings import InputError


def json_rows(path: Path) -> list[tuple[str, Any]]:
    """(place, row) for every row; raises InputError naming file and line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as wrong:
        raise InputError(f"{path}: {wrong.strerror or wrong}") from None
    except UnicodeDecodeError as wrong:
        raise InputError(f"{path}: not UTF-8 text (byte {wrong.start})") from None
    if text.lstrip().startswith("["):
        try:
            return [(f"{path}: item {number}", row) for number, row in enumerate(json.loads(text), 1)]
        except json.JSONDecodeError as wrong:
            raise InputError(f"{path}: line {wrong.lineno}: {wrong.msg}") from None
    rows = []
    for number, line in enumerate(text.split("\n"), 1):  # U+2028 and its like end no line of JSON Lines
        if line.strip():
            try:
                rows.append((f"{path}: line {number}", json.loads(line)))
            except json.JSONDecodeError as wrong:
                raise InputError(f"{path}: line {number}: not JSON: {wrong.msg}") from None
    return rows


def column(path: Path, field: str) -> list[str]:
    """One text field of every row; raises InputError naming file, row and field."""
    texts = []
    for where, row in json_rows(path):
        if not isinstance(row, dict) or not isinstance(row.get(field), str):
            raise InputError(f"{where}: {field}: expected a text")
        texts.append(row[field])
    return texts
