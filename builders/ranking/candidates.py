"""Answers that people are to rank: kept as a release of their own, and written out as a blind sheet to fill in.

    group,prompt,id,answer,annotator,rank,correction
    toyhom/answers.csv:7,胃疼怎么办？,1f0c…,先做胃镜。,,,

Who wrote an answer stands in the release alone. The sheet's answers are shuffled, and named by the hash of their text.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

from pydantic import Field

from builders.engine.folder import files_by_config, manifest_of
from builders.ranking.answers import Answer
from schemas.base import Message, Row
from schemas.settings import InputError

CONFIG = "candidates"
SPEAKERS = {"user": "患者", "assistant": "医生"}
COLUMNS = ("group", "prompt", "id", "answer", "annotator", "rank", "correction")
FORMULA = tuple("=+-@")
"""What a spreadsheet takes for the beginning of a formula; a space before it keeps the text as it is."""


class Candidates(Row):
    """The answers to one prompt, before anybody has ranked them; the key is that of the ranking."""

    department: str = ""
    """Taxonomy id of the department where the source names a known one, else its own name for it."""
    prompt: tuple[Message, ...] = Field(min_length=1)
    """The conversation up to the question that all answer."""
    reference: str = ""
    """The doctor's own answer, where there is one."""
    answers: tuple[Answer, ...] = Field(min_length=2)

    @property
    def likeness(self) -> str:
        """What is asked first."""
        return next((said.content for said in self.prompt if said.role == "user"), self.prompt[0].content)


def id_of(text: str) -> str:
    """What an answer is called on a sheet; white space, which spreadsheets change, does not count."""
    return hashlib.sha256("".join(text.split()).encode()).hexdigest()[:12]


def read_candidates(folder: str) -> dict[str, Candidates]:
    """Group -> candidates, of a release that --export-sheet has written; raises InputError for any other folder."""
    import pyarrow.parquet as pq

    from schemas.features import from_arrow

    files = files_by_config(manifest_of(Path(folder), "--data")).get(CONFIG, [])
    if not files:
        raise InputError(
            f"--data {folder}: with --people, name the release of candidates that --export-sheet has written"
        )
    rows = [row for name in files for row in from_arrow(pq.read_table(Path(folder) / name), Candidates)]
    return {row.key: row for row in rows}


def check_sheet(sheet: Path) -> None:
    """Raise InputError when a sheet cannot be written there: it may be filled in already."""
    if sheet.suffix not in (".csv", ".json"):
        raise InputError(f"--export-sheet {sheet}: expected FILE.csv, or FILE.json for Label Studio")
    if sheet.exists():
        raise InputError(f"--export-sheet {sheet}: is there already; move it, or name another")


def write_sheet(candidates: Iterable[Candidates], sheet: Path, seed: int) -> int:
    """Write a blind sheet, as CSV or as Label Studio's tasks; returns how many prompts it holds."""
    shuffled = [(row, _shuffled(row, seed)) for row in candidates]
    text = _tasks(shuffled) if sheet.suffix == ".json" else _table(shuffled)
    sheet.parent.mkdir(parents=True, exist_ok=True)
    draft = sheet.with_name(f".{sheet.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(sheet)
    return len(shuffled)


def _shuffled(row: Candidates, seed: int) -> list[str]:
    texts = [answer.text for answer in row.answers]
    Random(f"{seed}/{row.key}").shuffle(texts)
    return texts


def _table(shuffled: Sequence[tuple[Candidates, list[str]]]) -> str:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    for row, texts in shuffled:
        asked = in_words(row.prompt)
        table.writerows([row.key, _plain(asked), id_of(said), _plain(said), "", "", ""] for said in texts)
    return "\ufeff" + text.getvalue()  # spreadsheets take a file without it for Latin-1


def _tasks(shuffled: Sequence[tuple[Candidates, list[str]]]) -> str:
    tasks = [
        {
            "data": {
                "group": row.key,
                "prompt": in_words(row.prompt),
                "items": [
                    {"id": id_of(said), "title": f"回答 {number}", "body": said} for number, said in enumerate(texts, 1)
                ],
            }
        }
        for row, texts in shuffled
    ]
    return json.dumps(tasks, ensure_ascii=False, indent=1)


def _plain(text: str) -> str:
    return f" {text}" if text.startswith(FORMULA) else text


def in_words(prompt: Sequence[Message]) -> str:
    """A prompt for people to read: the question, or who said what."""
    said = [one for one in prompt if one.role in SPEAKERS]
    return said[0].content if len(said) == 1 else "\n".join(f"{SPEAKERS[one.role]}：{one.content}" for one in said)
