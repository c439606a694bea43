"""Folders as the tests compare them."""

import hashlib
import json
from pathlib import Path


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def manifest_is_true(folder: Path) -> bool:
    """Whether the manifest of a release names its files, all of them, with their hashes."""
    stated = json.loads((folder / "manifest.json").read_text())
    named = {name: entry["sha256"] for name, entry in {**stated["files"], **stated["kept_here"]}.items()}
    found = {name: data for name, data in files_of(folder).items() if name != "manifest.json"}
    return named == {name: hashlib.sha256(data).hexdigest() for name, data in found.items()}
