"""Tables as the tests open them: relative to the test's own folder, with a scratch folder beside."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from builders.sources.tables import Table, open_tables
from schemas.settings import InputError

SCRATCH = Path("scratch")


def opened(path: object) -> Table:
    (table,) = open_tables([str(path)], SCRATCH)
    return table


def rows(table: Table, columns: list[str] | None = None, **where: int) -> list[dict]:
    return [row for batch in table.batches(columns, **where) for row in batch.to_pylist()]


def lines(*values: object) -> str:
    """JSON Lines; a text stands as it is."""
    return "".join(
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) + "\n" for value in values
    )


def rejected(table: Table) -> list[dict]:
    if table.rejected is None:
        return []
    kept = [json.loads(line) for line in table.rejected.read_text(encoding="utf-8").splitlines()]
    assert len(kept) == table.rejected_rows
    return kept


def written(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zst(content: bytes) -> bytes:
    with pa.CompressedOutputStream("packed.zst", "zstd") as packed:
        packed.write(content)
    return Path("packed.zst").read_bytes()


def refusal(path: object) -> str:
    with pytest.raises(InputError) as wrong:
        rows(opened(path))
    assert "\n" not in str(wrong.value)
    return str(wrong.value)


def damage(name: str, share: float) -> None:
    """Change a few bytes of a file, at this share of it."""
    content = bytearray(Path(name).read_bytes())
    at = int(len(content) * share)
    for number in range(at, at + 16):
        content[number] ^= 0x5A
    Path(name).write_bytes(content)
