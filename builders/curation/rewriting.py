"""The doctor's side of a real consultation in better words, with nothing medical changed, and short ones made longer.

The patient's words are never sent back: what the row holds of them is what was read.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from builders.curation.inquiry import questions_in
from builders.engine import filters
from builders.engine.ask import Ask
from builders.engine.entities.guard import Change, Guard, Verdict
from builders.engine.entities.lexicon import Lexicon
from builders.engine.errors import Reject
from builders.engine.wording import check_private, placeholders_in, speaks_of_the_task
from builders.polishing.polisher import compared, told, unfaithful
from builders.prompts import prompt
from schemas.base import Record
from schemas.dialogue import Turn

SENTENCE = re.compile(r"[^。！？!?\n；;]+[。！？!?\n；;]*")
QUESTION_WORD = re.compile(r"[?？]|吗|呢|有没有|有无|是否|是不是|如何|怎么|什么|多少|几[天次岁个]")
CLAUSE = re.compile(r"[^，,。！？!?\n；;]+[，,。！？!?\n；;]*")
PARTICLES = frozenset("的了吗呢吧啊呀么有没是在你您孩宝子还就也都不")
LONGEST_RATIO = 6
ALWAYS_ALLOWED = 120
"""Characters that a rewritten turn may always have: 「嗯」 becomes a sentence."""
DENIES = re.compile(r"没|不|无|未|否认|\\bno\\b|\\bnot\\b", re.IGNORECASE)
"""An answer without any of these says yes to what was asked."""
NEWS = {"disease", "symptom", "drug", "test"}
"""What a patient of an expanded dialogue may not bring up."""


class Rewording(Record):
    """One of the doctor's turns in new words."""

    n: int
    text: str


class Rewritten(Record):
    """All of them."""

    turns: tuple[Rewording, ...]


class Spoken(Record):
    """A turn of an expanded dialogue."""

    speaker: Literal["patient", "doctor"]
    text: str


class Expanded(Record):
    """A dialogue made of one question and its answer."""

    turns: tuple[Spoken, ...]


class Reworded(NamedTuple):
    """A dialogue whose doctor speaks in new words."""

    turns: tuple[Turn, ...]
    kept: int
    """Guarded entities of the doctor's that are in the new words."""
    retries: int
    """Turns, or whole expansions, that took a second draft."""


class Rewriter:
    """Rewrites dialogues under the guard."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon
        self._guard = Guard(lexicon)

    async def rewrite(self, turns: Sequence[Turn], ask: Ask) -> Reworded:
        """The dialogue with the doctor's turns in new words; raises Reject when a second draft still changes the medicine."""
        raw = {n: turn.text for n, turn in enumerate(turns) if turn.speaker == "doctor"}
        dialogue = [{"n": n, "speaker": turn.speaker, "text": turn.text} for n, turn in enumerate(turns)]
        drafts = await self._drafts({"dialogue": dialogue}, raw, ask)
        verdicts = {n: self._verdict(text, drafts.get(n, "")) for n, text in raw.items()}
        wrong = {n: verdict for n, verdict in verdicts.items() if not verdict.faithful}
        if wrong:
            again = [
                {"n": n, "draft": drafts.get(n, ""), "lost": told(verdict.lost), "added": told(verdict.invented)}
                for n, verdict in wrong.items()
            ]
            drafts |= await self._drafts({"dialogue": dialogue, "again": again}, wrong, ask)
        for n in wrong:
            verdicts[n] = self._verdict(raw[n], drafts.get(n, ""))
            if not verdicts[n].faithful:
                raise unfaithful(verdicts[n], drafts.get(n, ""))
        for n, text in raw.items():
            check_turn(text, drafts[n])
        return Reworded(_with(turns, drafts), sum(verdict.kept for verdict in verdicts.values()), len(wrong))

    async def expand(self, question: str, answer: str, turns: int, ask: Ask) -> Reworded:
        """A question and its answer as a dialogue in which the doctor speaks `turns` times; raises Reject."""
        asked: dict[str, object] = {"question": question, "answer": answer, "turns": turns}
        tries = 0
        while True:
            made = await ask(prompt("expand_dialogue").messages(asked), shape=Expanded)
            _check_shape(made, question, turns)
            verdict = self._expansion(question, answer, made)
            if verdict.faithful:
                break
            if tries:
                raise unfaithful(verdict, "\n".join(turn.text for turn in made.turns if turn.speaker == "doctor"))
            tries += 1
            draft = [turn.model_dump() for turn in made.turns]
            asked |= {"draft": draft, "lost": told(verdict.lost), "added": told(verdict.invented)}
        _check_words(made, f"{question}\n{answer}")
        spoken = [Turn(speaker=turn.speaker, text=turn.text.strip()) for turn in made.turns[1:]]
        spoken[-1] = spoken[-1].model_copy(update={"raw": answer})
        return Reworded((Turn(speaker="patient", text=question), *spoken), verdict.kept, tries)

    @staticmethod
    async def _drafts(data: dict[str, object], wanted: Collection[int], ask: Ask) -> dict[int, str]:
        """Rewordings by number; raises Reject for one that nobody asked for."""
        answer = await ask(prompt("rewrite_doctor").messages(data), shape=Rewritten)
        if strange := [turn.n for turn in answer.turns if turn.n not in wanted]:
            raise Reject("rewrote what was not asked for", f"turn {strange[0]}")
        return {turn.n: turn.text.strip() for turn in answer.turns}

    def _verdict(self, raw: str, draft: str) -> Verdict:
        """The guard's, and that what asked still asks and what did not does not."""
        if not draft:
            return Verdict((Change("turn", raw, raw),), (), 0)
        verdict = compared(self._guard, raw, draft)
        dropped = tuple(Change("question", question, question) for question in questions_dropped(raw, draft))
        verdict = verdict._replace(lost=(*verdict.lost, *dropped))
        if questions_in(draft) and not may_ask(raw):
            verdict = verdict._replace(invented=(*verdict.invented, Change("question", "?", "原话中没有的提问")))
        return verdict

    def _expansion(self, question: str, answer: str, made: Expanded) -> Verdict:
        """What the doctor states must be the answer; what the patient adds must be nothing new."""
        said = [turn.text for turn in made.turns if turn.speaker == "doctor"]
        verdict = self._guard.compare(answer, "\n".join(said))
        stated = self._guard.compare(answer, "\n".join(map(without_questions, said)))  # to ask is to invent nothing
        return verdict._replace(invented=(*stated.invented, *self._news(question, answer, made)))

    def _news(self, question: str, answer: str, made: Expanded) -> Iterator[Change]:
        """What the patient brings up that neither text has, or says yes to when he is asked."""
        known = {mention.value for mention in self._lexicon.mentions(f"{question}\n{answer}")}
        texts = [turn.text for turn in made.turns]
        for asked, said in zip(texts[1::2], texts[2::2], strict=False):
            heard = said if DENIES.search(said) else f"{said}\n{asked}"
            for mention in self._lexicon.mentions(heard):
                if mention.kind in NEWS and not mention.negated and mention.value not in known:
                    yield Change(mention.kind, mention.value, mention.text)


def without_questions(text: str) -> str:
    """The sentences of a text that ask nothing."""
    return "".join(sentence for sentence in SENTENCE.findall(text) if not questions_in(sentence))


def may_ask(text: str) -> bool:
    """Whether a text has a question word or mark at all, be it read as a question or not: a full stop makes no statement."""
    return bool(questions_in(text) or questions_in(text.replace("。", "\n")) or QUESTION_WORD.search(text))


def questions_dropped(raw: str, draft: str) -> list[str]:
    """The questions of a turn of which little is left in its rewording: a question word, or half of what it is about."""
    asked = [sentence.strip() for sentence in CLAUSE.findall(raw) if questions_in(sentence)]
    if asked and not may_ask(draft):
        return asked
    return [question for question in asked if _half_gone(QUESTION_WORD.sub("", question), draft)]


def _half_gone(words: str, draft: str) -> bool:
    letters = {letter for letter in words if letter.isalnum()} - PARTICLES
    return len(letters) > 1 and 2 * len(letters & set(draft)) < len(letters)


def check_turn(raw: str, draft: str) -> None:
    """Raise Reject for a rewording that is no good text."""
    flaw = filters.first_reason(
        [
            filters.length(draft, least=1, most=max(ALWAYS_ALLOWED, LONGEST_RATIO * len(raw))),
            filters.refuses(draft),
            speaks_of_the_task(draft),
            filters.beyond_text(draft),
            filters.repeats_itself(draft),
        ]
    )
    if flaw:
        raise Reject(f"rewritten: {flaw}", draft[:300])
    check_private(draft)


def _check_words(made: Expanded, known: str) -> None:
    """Raise Reject when what a model added to a short consultation has something private or about the task in it."""
    for turn in made.turns[1:]:
        check_private(turn.text)
        if speaks_of_the_task(turn.text) or placeholders_in(turn.text) - placeholders_in(known):
            raise Reject("expanded: talks about the task", turn.text[:300])


def _with(turns: Sequence[Turn], drafts: Mapping[int, str]) -> tuple[Turn, ...]:
    return tuple(
        turn.model_copy(update={"text": drafts[n], "raw": turn.text}) if n in drafts else turn
        for n, turn in enumerate(turns)
    )


def _check_shape(made: Expanded, question: str, turns: int) -> None:
    speakers = [turn.speaker for turn in made.turns]
    if speakers != ["patient", "doctor"] * turns:
        raise Reject("expanded: wrong turns", " ".join(speakers)[:300])
    if made.turns[0].text != question:
        raise Reject("expanded: question changed", made.turns[0].text[:300])
    if not all(turn.text.strip() for turn in made.turns):
        raise Reject("expanded: empty turn")
