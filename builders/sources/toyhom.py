"""Toyhom: 792,000 real questions and answers of six departments, as CSV in GB18030.

department,title,ask,answer
心血管科,高血压能吃党参吗？,我有高血压……,可以口服……
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format
from builders.sources.fields import columns, text
from builders.sources.voices import utterances

NOTHING = ("无", "")
"""What the site writes for a question that is all in its title."""


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A question with its title, and the answer; a question that is all title is asked with the title's words."""
    title, asked = text(row, "title"), text(row, "ask")
    if asked.strip() in NOTHING:
        title, asked = "", title
    return Consultation(
        department=text(row, "department"),
        title=title,
        utterances=utterances([("patient", asked), ("doctor", text(row, "answer"))]),
    )


FORMAT = Format(
    name="toyhom",
    about="Chinese-medical-dialogue-data: real questions and answers, CSV in GB18030",
    license="MIT",
    consultation=consultation,
    fits=lambda row: columns(row, "department", "title", "ask", "answer"),
)
