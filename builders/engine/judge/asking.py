"""Ask a judge: K answers marked by a rubric, or two compared, every list read in the given order and backwards."""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeVar

from pydantic import Field, create_model, model_validator
from typing_extensions import TypedDict

from builders.engine.ask import Ask
from builders.engine.errors import Reject
from builders.prompts import prompt
from schemas.base import Message, Record
from schemas.preference import Mark
from schemas.rubrics import Rubric

Verdict = Literal["first", "second", "tie"]
SWAPPED: dict[Verdict, Verdict] = {"first": "second", "second": "first", "tie": "tie"}
WEIGHING = {"mean": "equal", "first": "in_order"}
SPEAKERS = {"user": "patient", "assistant": "doctor"}
T = TypeVar("T", bound=Record)


class Scored(Record):
    """What a judge says of one answer: the reason first, so that the marks follow from it."""

    n: int
    reason: str
    scores: dict[str, float]


class Marking(Record):
    """What a judge says of all of them; `marking_of` makes it strict for one rubric and number of answers."""

    answers: tuple[Scored, ...]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        numbers = sorted(scored.n for scored in self.answers)
        if numbers != list(range(1, len(numbers) + 1)):
            raise ValueError(f"answers: expected each n from 1 to {len(numbers)} once, got {numbers}")
        return self


class Comparison(Record):
    """Which of two answers a judge finds better, after its reason."""

    reason: str
    verdict: Verdict


class Pass(NamedTuple):
    """One reading of all answers; marks and reasons stand in the given order, however they were read."""

    backwards: bool
    sample: int
    marks: tuple[tuple[float, ...], ...]
    """A row an answer, a column a criterion of the rubric."""
    reasons: tuple[str, ...]


class Marked(NamedTuple):
    """Every reading of K answers."""

    criteria: tuple[str, ...]
    passes: tuple[Pass, ...]
    """At least one in each order."""
    unparsed: int
    """Passes that stayed unreadable, after they were sent back."""

    def marks(self, answer: int) -> tuple[Mark, ...]:
        """What an answer got on every criterion, pass by pass."""
        columns = zip(*(read.marks[answer] for read in self.passes), strict=True)
        return tuple(Mark(criterion=id, marks=marks) for id, marks in zip(self.criteria, columns, strict=True))

    def reasons(self, answer: int) -> tuple[str, ...]:
        """What was said of an answer, pass by pass."""
        return tuple(read.reasons[answer] for read in self.passes)


class Duel(NamedTuple):
    """Two answers compared in both orders."""

    verdict: Verdict
    """What both orders say; a tie when they disagree or one cannot be read."""
    passes: tuple[Verdict | None, Verdict | None]
    """What was said in the given order and backwards, the latter turned round again; None for what cannot be read."""
    reasons: tuple[str, ...]
    """Of the passes that were read; in the backward one `first` and `second` are the other way round."""

    @property
    def unparsed(self) -> int:
        """Passes that stayed unreadable, after they were sent back."""
        return self.passes.count(None)

    @property
    def flipped(self) -> bool:
        """Whether both orders were read and disagree."""
        return not self.unparsed and self.passes[0] != self.passes[1]


async def mark_all(
    ask: Ask,
    rubric: Rubric,
    conversation: Sequence[Message],
    answers: Sequence[str],
    *,
    reference: str = "",
    by: str = "judge",
    samples: int = 1,
) -> Marked:
    """All answers to a conversation marked on every criterion, in one call: `samples` times as given, as often backwards.

    A pass that stays unreadable is counted; raises Reject when that is every pass of one order. Reading backwards takes
    out what a judge gives evenly from the first place to the last, not what it gives the middle.
    """
    material, passes = _material(rubric, conversation, reference), list[Pass]()
    for backwards in (False, True):
        order = answers[::-1] if backwards else answers
        listed = [{"n": n, "text": text} for n, text in enumerate(order, start=1)]
        messages = prompt("judge_answers").messages({**material, "answers": listed})
        shape, failed = marking_of(rubric, len(answers)), list[Reject]()
        for sample in range(samples):
            said = await _heard(ask, messages, shape, by=by, sample=sample)
            if isinstance(said, Reject):
                failed.append(said)
            else:
                passes.append(_pass(said, rubric, backwards=backwards, sample=sample))
        if len(failed) == samples:
            raise Reject("judge unreadable", f"{'backwards' if backwards else 'in the given order'}: {failed[-1]}")
    return Marked(tuple(one.id for one in rubric.criteria), tuple(passes), 2 * samples - len(passes))


async def compare(
    ask: Ask,
    rubric: Rubric,
    conversation: Sequence[Message],
    first: str,
    second: str,
    *,
    reference: str = "",
    by: str = "judge",
    sample: int = 0,
) -> Duel:
    """Two answers to a conversation compared in both orders; what only one order says is no verdict but a tie."""
    material = {**_material(rubric, conversation, reference), "weighing": WEIGHING[rubric.by]}
    passes, reasons = list[Verdict | None](), list[str]()
    for backwards in (False, True):
        shown = {"first": second, "second": first} if backwards else {"first": first, "second": second}
        messages = prompt("judge_pair").messages({**material, **shown})
        said = await _heard(ask, messages, Comparison, by=by, sample=sample)
        if isinstance(said, Reject):
            passes.append(None)
        else:
            passes.append(SWAPPED[said.verdict] if backwards else said.verdict)
            reasons.append(said.reason)
    given, reverse = passes
    return Duel(given if given is not None and given == reverse else "tie", (given, reverse), tuple(reasons))


@cache
def marking_of(rubric: Rubric, count: int) -> type[Marking]:
    """The shape of a judge's answer in which every answer and criterion has its mark, from 0 to 10."""
    mark = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
    scores: Any = TypedDict("Scores", {one.id: mark for one in rubric.criteria})  # type: ignore[misc]
    scored: Any = create_model("Scored", __base__=Scored, scores=(scores, ...))
    every = Field(min_length=count, max_length=count)
    return create_model("Marking", __base__=Marking, answers=(tuple[scored, ...], every))


async def _heard(ask: Ask, messages: Sequence[Message], shape: type[T], *, by: str, sample: int) -> T | Reject:
    """What the judge says, or why it cannot be read: one bad pass does not end the judging."""
    try:
        return await ask(messages, by=by, shape=shape, sample=sample)
    except Reject as unreadable:
        return unreadable


def _material(rubric: Rubric, conversation: Sequence[Message], reference: str) -> dict[str, Any]:
    """What every judge is shown; system messages are no part of the conversation."""
    said = [{"speaker": SPEAKERS[one.role], "text": one.content} for one in conversation if one.role in SPEAKERS]
    criteria = [{"id": one.id, "name": one.zh, "text": one.text} for one in rubric.criteria]
    return {"conversation": said, "reference": reference, "criteria": criteria}


def _pass(said: Marking, rubric: Rubric, *, backwards: bool, sample: int) -> Pass:
    read = sorted(said.answers, key=lambda scored: scored.n, reverse=backwards)
    marks = tuple(tuple(scored.scores[one.id] for one in rubric.criteria) for scored in read)
    return Pass(backwards, sample, marks, tuple(scored.reason for scored in read))
