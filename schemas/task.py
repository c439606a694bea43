"""A medical language task as an instruction whose answer is known: entities, relations, intents, pairs, terms, reports.

{"task": "ner", "instruction": "找出下面这句话里的疾病和症状……", "input": "今天拉了两次", "output": "症状：腹泻", "labels": "[…]"}
"""

from typing import Literal

from pydantic import Field

from schemas.base import Message, Origin, Row

TaskName = Literal["ner", "relation", "intent", "pair", "normalisation", "report", "self_cognition"]


class Task(Row):
    """One labelled example, worded as an instruction."""

    origin: Origin = "real"
    """Who wrote the labels: people, in every set known so far."""
    form: Literal["instruction"] = "instruction"
    """Always an instruction."""
    task: TaskName
    """Which kind of task it is."""
    wording: str
    """Which of the task's wordings was drawn, e.g. ner/3."""
    instruction: str = Field(min_length=1)
    input: str = ""
    """The text the task is about."""
    output: str = Field(min_length=1)
    """The answer; it parses back to `labels`."""
    labels: str
    """The labels as JSON, as the task's own set has them."""
    choices: tuple[str, ...] = ()
    """The closed set of labels; empty where the answer is free text."""

    @property
    def likeness(self) -> str:
        """The text alone: a wording is shared by hundreds of rows that have nothing else in common."""
        return self.input or self.instruction

    def messages(self) -> list[Message]:
        """Instruction and input as the question, the labels in words as the answer."""
        asked = f"{self.instruction}\n{self.input}" if self.input else self.instruction
        return [Message(role="user", content=asked), Message(role="assistant", content=self.output)]
