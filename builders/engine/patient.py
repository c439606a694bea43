"""A simulated patient: a model that knows a case as far as the patient may, opens short and answers what is asked.

    patient = Patient(case, ask, by="patient")
    opening = await patient.says([])
    answer = await patient.says([opening turn, doctor's turn])

`simulate_dialogues` makes training data with it, and evaluation holds consultations with it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from builders.curation.formulas import substance
from builders.engine.ask import Ask
from builders.engine.errors import Reject
from builders.prompts import data_block, prompt
from schemas.base import Message, Record
from schemas.case import CaseFile
from schemas.dialogue import Turn

GOODBYE = "再见"
"""The word by which HuatuoGPT's patient ends a consultation (arXiv 2305.15075, appendix A.2)."""
GREETING = "您好，请问有什么可以帮您？"
"""What the patient model is spoken to with first; not part of the dialogue."""
LONGEST = 2000


class Words(NamedTuple):
    """What a speaker said, without the word that ends a consultation, and whether that was there."""

    text: str
    over: bool


class Spoken(Record):
    """A turn whose end is a flag of its own, for models that do not keep to a word."""

    text: str
    end: bool


class Ending(NamedTuple):
    """How a speaker says that the consultation is over: by a word, or by a flag."""

    word: str = GOODBYE
    by_flag: bool = False


class Patient:
    """A patient of one case. Knows nothing of the diagnosis, and of the facts only those a patient sees."""

    def __init__(
        self, case: CaseFile, ask: Ask, *, by: str = "patient", ending: Ending | None = None, sample: int = 0
    ) -> None:
        self._case = case
        self._ask = ask
        self._by = by
        self._ending = ending or Ending()
        self._sample = sample

    async def says(self, turns: Sequence[Turn]) -> Words:
        """The patient's next words, after `turns`, which are none or end on the doctor; raises Reject for none at all."""
        return await speak(self._ask, self._messages(turns), by=self._by, ending=self._ending, sample=self._sample)

    def _messages(self, turns: Sequence[Turn]) -> list[Message]:
        facts = [{"name": fact.name, "value": fact.value} for fact in self._case.facts_for("patient")]
        known = {"complaint": self._case.complaint, "facts": facts, "end": self._ending.word}
        opening = Message(role="user", content=f"{data_block(known)}\n{GREETING}")
        return [prompt("simulate_patient").system, opening, *as_heard_by("patient", turns)]


def as_heard_by(speaker: str, turns: Sequence[Turn]) -> list[Message]:
    """Turns as a chat model hears them: its own are the assistant's."""
    return [Message(role="assistant" if turn.speaker == speaker else "user", content=turn.text) for turn in turns]


async def speak(ask: Ask, messages: Sequence[Message], *, by: str, ending: Ending, sample: int) -> Words:
    """One turn of a model; raises Reject when it is empty, endless or no turn."""
    if ending.by_flag:
        spoken = await ask(messages, by=by, shape=Spoken, sample=sample)
        said = Words(parted(spoken.text, ending.word).text, spoken.end)
    else:
        said = parted(await ask(messages, by=by, sample=sample), ending.word)
    if not said.text and not said.over:
        raise Reject(f"{by} said nothing")
    if len(said.text) > LONGEST:
        raise Reject(f"{by} talks without end", said.text[:300])
    return said


def parted(text: str, word: str) -> Words:
    """A text without the word that ends a consultation, if it ends on that: 「再见效果不好」 does not, 「再见，祝您健康」 does."""
    text = text.strip()
    at = text.rfind(word)
    if at < 0 or substance(text[at + len(word) :].lstrip("啦了哦喽呀吧")):
        return Words(text, over=False)
    rest = text[at + len(word) :].lstrip("啦了哦喽呀吧！!。.～~，, ")
    return Words((text[:at].rstrip("，,、～~ ") + rest).strip(), over=True)
