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
            items = [(f"{path}: item {number}", row) for number, row in enumerate(json.loads(text), 1)]
            return [(where, _whole(row, where)) for where, row in items]
        except json.JSONDecodeError as wrong:
            raise InputError(f"{path}: line {wrong.lineno}: {wrong.msg}") from None
    rows = []
    for number, line in enumerate(text.split("\n"), 1):  # U+2028 and its like end no line of JSON Lines
        if line.strip():
            try:
                rows.append((f"{path}: line {number}", _whole(json.loads(line), f"{path}: line {number}")))
            except json.JSONDecodeError as wrong:
                raise InputError(f"{path}: line {number}: not JSON: {wrong.msg}") from None
    return rows


def _whole(row: Any, where: str) -> Any:
    """The row, unless a text in it is no Unicode text: half an emoji, escaped."""
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as wrong:
        raise InputError(f"{where}: half a character (surrogate) in a text: {wrong.object[wrong.start]!r}") from None
    return row


def column(path: Path, field: str) -> list[str]:
    """One text field of every row; raises InputError naming file, row and field."""
    texts = []
    for where, row in json_rows(path):
        if not isinstance(row, dict) or not isinstance(row.get(field), str):
            raise InputError(f"{where}: {field}: expected a text")
        texts.append(row[field])
    return texts
