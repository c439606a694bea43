"""A patient's question and the answer to it: a doctor's, polished, or a model's to the same question.

{"department": "cardiology", "question": "高血压患者能吃党参吗？…", "raw": "高血压病人可以口服党参的。…",
 "answer": "您好，高血压患者可以服用党参。…", "origin": "rewritten"}
"""

from typing import Literal

from pydantic import Field

from schemas.base import Message, Row


class QA(Row):
    """One question, one answer; `raw` is what the doctor wrote, de-identified."""

    form: Literal["instruction"] = "instruction"
    """Always an instruction: one question, one answer."""
    department: str = ""
    """Taxonomy id of the department where the source names a known one, else its own name for it."""
    question: str = Field(min_length=1)
    """The patient's question, de-identified and otherwise as it was asked."""
    raw: str = Field(min_length=1)
    """The doctor's own answer, de-identified; stands beside whatever was made of it."""
    answer: str = Field(min_length=1)
    """The answer to train on: polished (origin `rewritten`), or a model's own (origin `distilled`)."""

    def messages(self) -> list[Message]:
        """The question and its answer."""
        return [Message(role="user", content=self.question), Message(role="assistant", content=self.answer)]
