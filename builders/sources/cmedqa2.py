"""cMedQA2: questions in one file, their answers in another; the INPUT is the folder of both, or both files.

question.csv    question_id,content
answer.csv      ans_id,question_id,content
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from builders.sources.consultations import Broken, Consultation, Format, RawRow
from builders.sources.fields import columns, id_of, text
from builders.sources.raw_rows import raw_rows
from builders.sources.voices import utterances
from schemas.settings import InputError


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A question and one of its answers; raises ValueError when the question is in no file."""
    if row.get("question") is None:
        raise ValueError(f"question_id: {id_of(row, 'question_id')} is in no file of questions")
    said = utterances([("patient", text(row, "question")), ("doctor", text(row, "content"))])
    return Consultation(utterances=said, own_id=id_of(row, "ans_id"))


def rows(inputs: Sequence[str], scratch: Path) -> Iterator[RawRow]:
    """Every answer with its question; a question's own row is looked up, and is no row of its own.

    All questions are held in memory: 120,000 of them take some 40 MB.
    """
    asked = {
        id_of(raw.row, "question_id"): text(raw.row, "content")
        for raw in raw_rows(inputs, scratch)
        if not isinstance(raw.row, Broken) and not id_of(raw.row, "ans_id") and not id_of(raw.row, "pos_ans_id")
    }
    if not asked:
        raise InputError(f"{', '.join(inputs)}: no file of questions (question_id, content)")
    for raw in raw_rows(inputs, scratch):
        if isinstance(raw.row, Broken):
            yield raw
        elif id_of(raw.row, "ans_id"):
            question = asked.get(id_of(raw.row, "question_id"))
            yield raw._replace(row={**raw.row, "question": question})


FORMAT = Format(
    name="cmedqa2",
    about="cMedQA2: question.csv and answer.csv, joined",
    license="",
    consultation=consultation,
    fits=lambda row: columns(row, "question_id", "content"),
    rows=rows,
)
