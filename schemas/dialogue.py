"""A consultation of patient and doctor: real and curated, or held by two models over a case.

{"department": "pediatrics", "turns": [{"speaker": "patient", "text": "孩子咳嗽三天了。", "raw": "", "act": ""},
 {"speaker": "doctor", "text": "您好，发烧吗？痰多不多？", "raw": "发烧不，有痰吗", "act": "ask"}, …]}
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.base import Message, Record, Row
from schemas.case import CaseFile

Speaker = Literal["patient", "doctor"]
Act = Literal["", "ask", "advise", "both", "close"]
"""What a doctor's turn does: asks, advises or judges, does both, or says goodbye; empty for the patient."""


class Turn(Record):
    """One turn of one speaker."""

    speaker: Speaker
    text: str = Field(min_length=1)
    """What to train on."""
    raw: str = ""
    """What was really said, de-identified, where `text` is a rewriting of it."""
    act: Act = ""
    """What a doctor's turn does."""


class Claim(Record):
    """A medical statement of a doctor's turn, and what a knowledge graph says of it."""

    turn: int
    """Number of the turn in the dialogue, from 0."""
    text: str
    verdict: Literal["supported", "contradicted", "unknown"]
    fact: str = ""
    """The fact that decides, as HEAD RELATION TAIL."""


class Dialogue(Row):
    """A consultation: the patient opens, the doctor closes, nobody speaks twice running."""

    form: Literal["conversation"] = "conversation"
    """Always a conversation."""
    department: str = ""
    """Taxonomy id of the department where the source names a known one, else its own name for it."""
    turns: tuple[Turn, ...] = Field(min_length=2)
    """What was said, in order."""

    @model_validator(mode="after")
    def _take_turns(self) -> Self:
        heard = [turn.speaker for turn in self.turns]
        if heard != ["patient", "doctor"] * (len(heard) // 2):
            raise ValueError(f"speakers must alternate, from the patient to the doctor, got {heard}")
        return self

    @property
    def inquiry_rate(self) -> float:
        """Share of the doctor's turns that ask something."""
        doctor = [turn for turn in self.turns if turn.speaker == "doctor"]
        return sum(turn.act in ("ask", "both") for turn in doctor) / len(doctor)

    def messages(self) -> list[Message]:
        """The patient as user, the doctor as assistant."""
        roles: dict[str, Literal["user", "assistant"]] = {"patient": "user", "doctor": "assistant"}
        return [Message(role=roles[turn.speaker], content=turn.text) for turn in self.turns]


class RealDialogue(Dialogue):
    """A real consultation, curated; the doctor's turns rewritten where `raw` stands beside them."""

    claims: tuple[Claim, ...] = ()
    """What a knowledge graph said of the doctor's statements; empty when none was asked."""


class Consultation(Record):
    """What was measured on a simulated consultation."""

    ended: Literal["patient", "doctor", "max_turns"]
    """Who ended it, or that it had to be ended."""
    questions: int
    """Questions the doctor asked."""
    slots: int
    """Facts of the case that the patient could have told after opening."""
    elicited: tuple[str, ...]
    """Names of those the doctor got to hear by asking."""
    first_diagnosis: int
    """Number of the doctor's turn, from 1, that first names the diagnosis; 0 when none does."""
    premature: bool
    """The diagnosis was named before the doctor had asked anything or heard any of the facts."""
    contradictions: tuple[str, ...]
    """Where the patient said otherwise than the case, each as FACT: WORDS."""
    leaks: tuple[str, ...]
    """Words of the hidden chart that somebody said who could not know or should not say them."""


class SimulatedDialogue(Dialogue):
    """A consultation held by two models over a case file."""

    case: CaseFile
    """The case, with who saw which fact of it."""
    measured: Consultation
    """Questions, facts elicited, contradictions, leaks."""
