"""webMedQA: text files without a header, of which a fifth are answers and the others are answers to other questions.

内科<tab>1<tab>12345<tab>胃疼怎么办？<tab>您好，……        1: this is the answer, 0: it is not
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from builders.sources.consultations import Broken, Consultation, Format, RawRow
from builders.sources.fields import columns, text
from builders.sources.raw_rows import Origins, files_of_lines, raw_rows, tabbed_lines
from builders.sources.voices import utterances

FIELDS = 5


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A question and its answer; raises ValueError for an answer to another question."""
    if text(row, "label") != "1":
        raise ValueError(f"label: {text(row, 'label')}, not the answer to this question")
    return Consultation(
        department=text(row, "department"),
        utterances=utterances([("patient", text(row, "question")), ("doctor", text(row, "answer"))]),
    )


def rows(inputs: Sequence[str], scratch: Path) -> Iterator[RawRow]:
    """The lines of text files; tables with a header are read as such."""
    origins = Origins()
    for name in inputs:
        origins.next_input()
        files = files_of_lines(name)
        for place, fields, line in tabbed_lines(files):
            whole = len(fields) == FIELDS
            broken = Broken(place, f"{len(fields)} fields where the set has {FIELDS}", line)
            yield RawRow(place, origins.of(place), of_fields(fields) if whole else broken)
        if not files:
            yield from raw_rows([name], scratch)


def first_rows(name: str, most: int = 20) -> list[dict[str, str]]:
    """Some rows from the beginning of such a text file; none when an input is something else."""
    lines = [fields for _, fields, _ in islice(tabbed_lines(files_of_lines(name)), most)]
    return [of_fields(fields) for fields in lines if len(fields) == FIELDS and fields[1] in ("0", "1")]


def of_fields(fields: Sequence[str]) -> dict[str, str]:
    """A line by name. Department and question id change places among the copies of the set: the id is the number."""
    first, label, third, question, answer = fields
    department = third if first.isdigit() else first
    return {"department": department, "label": label, "question": question, "answer": answer}


FORMAT = Format(
    name="webmedqa",
    about="webMedQA: tab-separated lines of department, label, id, question and answer",
    license="",
    consultation=consultation,
    fits=lambda row: columns(row, "department", "label", "question", "answer"),
    rows=rows,
)
