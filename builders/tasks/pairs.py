"""Pairs of questions in text files without a header: label, first question, second question, parted by tabs.

1<tab>乳腺癌中期有什么症状<tab>乳腺癌中期症状
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from builders.sources.consultations import Broken, RawRow
from builders.sources.raw_rows import Origins, tabbed_lines
from schemas.settings import InputError

SUFFIXES = frozenset({".txt", ".tsv"})
FIELDS = ("label", "query1", "query2")


def files_of_pairs(name: str) -> list[Path]:
    """The text files an input means: itself, or those of a folder."""
    path = Path(name)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file() and file.name[0] not in "._"]


def rows_of_pairs(inputs: Sequence[str], scratch: Path) -> Iterator[RawRow]:
    """Every line; nothing is converted, so the scratch folder stays as it is."""
    origins = Origins()
    for name in inputs:
        origins.next_input()
        files = files_of_pairs(name)
        if not files:
            raise InputError(f"{name}: no text file (.txt or .tsv), nor a folder with one in it")
        for place, fields, line in tabbed_lines(files):
            whole = len(fields) == len(FIELDS)
            broken = Broken(place, f"{len(fields)} fields, expected label, question and question", line)
            yield RawRow(place, origins.of(place), dict(zip(FIELDS, fields, strict=True)) if whole else broken)
