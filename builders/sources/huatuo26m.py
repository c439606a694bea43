"""Huatuo-26M: real questions with answers, in the layout of its test set and in that of the Hub.

{"id": "", "instruction": ["腰间盘手术后能泡脚吗"], "input": "", "output": ["问题分析：……"]}
{"questions": "……", "answers": "……"}      or lists of them; the first wording counts
{"question": "……", "answer": "……", "label": "内科", "related_diseases": "……"}      Huatuo26M-Lite
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format
from builders.sources.fields import columns, first_text, id_of, text
from builders.sources.voices import utterances

LAYOUTS = (("instruction", "output"), ("questions", "answers"), ("question", "answer"))


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A question and its answer."""
    asked, answered = next((names for names in LAYOUTS if row.get(names[0]) is not None), LAYOUTS[0])
    return Consultation(
        department=text(row, "label"),
        utterances=utterances([("patient", first_text(row, asked)), ("doctor", first_text(row, answered))]),
        own_id=id_of(row, "id"),
    )


def _fits(row: Mapping[str, Any]) -> bool:
    in_lists = isinstance(row.get("instruction"), list) and isinstance(row.get("output"), list)
    return in_lists or columns(row, "questions", "answers") or columns(row, "question", "answer", "related_diseases")


FORMAT = Format(
    name="huatuo26m",
    about="Huatuo-26M, its test sets, encyclopaedia, knowledge graph and Lite sets: one question, one answer",
    license="Apache-2.0",
    consultation=consultation,
    fits=_fits,
)
