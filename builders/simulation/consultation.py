"""One consultation: a patient and a doctor speak in turn until one of them ends it, or they must.

The doctor sees the conclusion as the only one allowed, and what examinations would find; the patient sees neither.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from builders.curation.bubbles import Said
from builders.curation.farewells import cut_farewells, says_goodbye
from builders.engine.ask import Ask
from builders.engine.errors import Reject
from builders.engine.patient import Ending, Patient, Words, as_heard_by, speak
from builders.prompts import data_block, prompt
from schemas.base import Message
from schemas.case import CaseFile
from schemas.dialogue import Speaker, Turn

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

    async def says(self, turns: Sequence[Turn]) -> Words:
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
    """Hold one consultation of at most `max_turns` turns of each; raises Reject when nothing is left of it.

    Thanks and goodbyes at its end are cut: they teach a model nothing.
    """
    patient = Patient(case, ask, ending=ending, sample=sample)
    doctor = Doctor(case, ask, ending=ending, sample=sample)
    turns: list[Turn] = []
    ended: Ended = "max_turns"
    while ended == "max_turns" and len(turns) < 2 * max_turns:
        said = await patient.says(turns)
        if said.over and turns and says_goodbye(said.text):
            ended = "patient"
            break
        turns.append(_turn("patient", said, turns))
        answer = await doctor.says(turns)
        if answer.over and not answer.text:  # thanks, answered by the bare word
            turns.pop()
            ended = "doctor"
            break
        turns.append(_turn("doctor", answer, turns))
        if said.over or answer.over:
            ended = "patient" if said.over else "doctor"
    kept = len(cut_farewells([Said(turn.speaker, turn.text) for turn in turns]).turns)
    if not kept:
        raise Reject("nothing but courtesy", "; ".join(turn.text for turn in turns)[:300])
    return Held(tuple(turns[:kept]), ended)


def _turn(speaker: Speaker, said: Words, before: Sequence[Turn]) -> Turn:
    if not said.text:
        raise Reject(f"{speaker} said nothing", f"in turn {len(before) + 1}")
    return Turn(speaker=speaker, text=said.text)
