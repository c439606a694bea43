"""One consultation: a patient and a doctor speak in turn until one of them ends it, or they must.

The doctor sees the conclusion as the only one allowed, and what examinations would find; the patient sees neither.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from builders.curation.farewells import says_goodbye
from builders.engine.ask import Ask
from builders.engine.errors import Reject
from builders.engine.patient import Ending, Patient, Said, as_heard_by, speak
from builders.prompts import data_block, prompt
from schemas.base import Message
from schemas.case import CaseFile
from schemas.dialogue import Turn

Ended = Literal["patient", "doctor", "max_turns"]


class Held(NamedTuple):
    """A consultation as it was held; it ends on the doctor."""

    turns: tuple[Turn, ...]
    ended: Ended


class Doctor:
    """A doctor who has the conclusion of a case before him, and must ask before he says it."""

    def __init__(self, case: CaseFile, ask: Ask, *, ending: Ending, sample: int) -> None:
        self._case = case
        self._ask = ask
        self._ending = ending
        self._sample = sample

    async def says(self, turns: Sequence[Turn]) -> Said:
        """The doctor's next words, after `turns`, which end on the patient."""
        return await speak(self._ask, self._messages(turns), by="doctor", ending=self._ending, sample=self._sample)

    def _messages(self, turns: Sequence[Turn]) -> list[Message]:
        case = self._case
        told = {fact.name for fact in case.facts_for("patient")}
        chart = {
            "conclusion": case.diagnosis,
            "advice": case.advice,
            "findings": [
                {"name": fact.name, "value": fact.value} for fact in case.facts_for("doctor") if fact.name not in told
            ],
            "ask": list(dict.fromkeys(fact.name for fact in case.facts_for("patient"))),
            "end": self._ending.word,
        }
        first, *rest = as_heard_by("doctor", turns)
        opening = Message(role="user", content=f"{data_block(chart)}\n{first.content}")
        return [prompt("simulate_doctor").system, opening, *rest]


async def consult(case: CaseFile, ask: Ask, *, max_turns: int, ending: Ending, sample: int = 0) -> Held:
    """Hold one consultation of at most `max_turns` turns of each; raises Reject when nothing was said before the end."""
    patient = Patient(case, ask, ending=ending, sample=sample)
    doctor = Doctor(case, ask, ending=ending, sample=sample)
    turns: list[Turn] = []
    for _ in range(max_turns):
        said = await patient.says(turns)
        if said.over and turns and (not said.text or says_goodbye(said.text)):
            return Held(tuple(turns), "patient")  # thanks and a goodbye teach a model nothing
        if not said.text:
            raise Reject("patient said nothing", f"in turn {len(turns) + 1}")
        turns.append(Turn(speaker="patient", text=said.text))
        answer = await doctor.says(turns)
        if not answer.text:
            raise Reject("doctor said nothing", f"in turn {len(turns) + 1}")
        turns.append(Turn(speaker="doctor", text=answer.text))
        if said.over or answer.over:
            return Held(tuple(turns), "patient" if said.over else "doctor")
    return Held(tuple(turns), "max_turns")
