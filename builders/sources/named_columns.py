"""Rows of no known layout: the user says which column holds what.

question=ask,answer=reply,department=dept,id=case_no        one question, one answer
dialogue=turns,description=self_report                      a dialogue in any shape that voices.py knows
"""

import difflib
from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format, Speaks
from builders.sources.fields import first_text, id_of
from builders.sources.voices import dialogue, utterances
from schemas.settings import InputError

TEXTS = ("department", "title", "description", "diagnosis", "doctor", "hospital")
FIELDS = ("question", "answer", "dialogue", *TEXTS, "id")
"""What a column can hold."""
NAME = "columns"


def named_columns(columns: Mapping[str, str]) -> Format:
    """A format whose rows hold the fields in these columns; raises InputError for a field there is not."""
    for field in columns:
        if field not in FIELDS:
            close = difflib.get_close_matches(field, FIELDS, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise InputError(f"--columns: no field {field!r}{hint}; there are {', '.join(FIELDS)}")
    if "dialogue" not in columns and "question" not in columns:
        raise InputError("--columns: say which column holds the question, or the dialogue")

    def consultation(row: Mapping[str, Any]) -> Consultation:
        if missing := next((column for column in columns.values() if column not in row), None):
            raise InputError(f"--columns: no column {missing!r}; there are {', '.join(row)}")
        return _consultation(row, columns)

    return FORMAT._replace(consultation=consultation)


def _consultation(row: Mapping[str, Any], columns: Mapping[str, str]) -> Consultation:
    texts = {field: first_text(row, columns[field]) for field in TEXTS if field in columns}
    sides: tuple[tuple[str, Speaks], ...] = (("question", "patient"), ("answer", "doctor"))
    asked = [(side, first_text(row, columns[field])) for field, side in sides if field in columns]
    said = utterances(asked) if any(words for _, words in asked) else ()
    if "dialogue" in columns:
        said = (*said, *dialogue(row[columns["dialogue"]]))
    return Consultation(
        utterances=said or utterances(()),
        own_id=id_of(row, columns["id"]) if "id" in columns else "",
        **texts,
    )


def _explain(row: Mapping[str, Any]) -> Consultation:
    raise InputError("--format columns: say which column holds what with --columns, e.g. question=ask,answer=reply")


FORMAT = Format(
    name=NAME,
    about="any rows: --columns says which column holds what",
    license="",
    consultation=_explain,
)
