"""A doctor's answer, polished by the teacher and held against the original by the guard."""

from collections.abc import Sequence
from typing import NamedTuple

from builders.engine import filters
from builders.engine.ask import Ask
from builders.engine.entities.guard import Change, Guard, Verdict
from builders.engine.errors import Reject
from builders.engine.wording import check_private, placeholders_in, speaks_of_the_task, unwrapped
from builders.prompts import prompt
from schemas.base import Figure

TRIES = 2
"""The first draft, and one more that is told what was lost and what was added."""


class Polished(NamedTuple):
    """An answer that says what the doctor said."""

    text: str
    figures: tuple[Figure, ...]


class Polisher:
    """Asks for a better wording until the guard lets it through, twice at most."""

    def __init__(self, guard: Guard, *, longest: float) -> None:
        self._guard = guard
        self._longest = longest
        """How many times as long as the original an answer may be; short ones may always have 120 characters."""

    async def __call__(self, question: str, answer: str, ask: Ask) -> Polished:
        """The polished answer; raises Reject when it still changes the medicine, or is no good text."""
        asked: dict[str, object] = {"question": question, "answer": answer}
        verdict = None
        for tries in range(TRIES):
            draft = unwrapped(await ask(prompt("polish_answer").messages(asked)))
            verdict = compared(self._guard, answer, draft)
            if verdict.faithful:
                self._check_text(answer, draft)
                return Polished(draft, self._figures(answer, draft, verdict, tries))
            again = {"draft": draft, "lost": told(verdict.lost), "added": told(verdict.invented)}
            asked = {"question": question, "answer": answer, **again}
        assert verdict is not None
        raise unfaithful(verdict, draft)

    def _check_text(self, answer: str, draft: str) -> None:
        most = max(120, round(self._longest * len(answer)))
        flaw = filters.first_reason(
            [
                filters.length(draft, least=min(len(answer) // 3, 20), most=most),
                filters.refuses(draft),
                speaks_of_the_task(draft),
                filters.beyond_text(draft),
                filters.repeats_itself(draft),
            ]
        )
        if flaw:
            raise Reject(f"polished: {flaw}", draft[:300])
        check_private(draft)

    @staticmethod
    def _figures(answer: str, draft: str, verdict: Verdict, tries: int) -> tuple[Figure, ...]:
        return (
            Figure(name="entities_kept", value=verdict.kept),
            Figure(name="length_ratio", value=round(len(draft) / len(answer), 3)),
            Figure(name="retries", value=tries),
        )


def compared(guard: Guard, raw: str, draft: str) -> Verdict:
    """The guard's verdict, and that no placeholder stands for nothing."""
    verdict = guard.compare(raw, draft)
    made_up = sorted(placeholders_in(draft) - placeholders_in(raw))
    new = tuple(Change("placeholder", name, name) for name in made_up)
    return verdict._replace(invented=(*verdict.invented, *new))


def told(changes: Sequence[Change]) -> list[str]:
    """What the guard found, as words for the teacher."""
    return [change.text for change in changes]


def unfaithful(verdict: Verdict, draft: str) -> Reject:
    """The verdict on a draft that changes the medicine: counted by what happened to which kind of thing."""
    lost = [f"-{change.kind} {change.text}" for change in verdict.lost]
    invented = [f"+{change.kind} {change.text}" for change in verdict.invented]
    kind = f"lost: {verdict.lost[0].kind}" if verdict.lost else f"invented: {verdict.invented[0].kind}"
    return Reject(f"entity guard, {kind}", f"{', '.join([*lost, *invented])} in {draft[:200]}")
