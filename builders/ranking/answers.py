"""Several answers of one policy to one prompt, those that teach nothing left out and counted.

An answer that the length limit cut is left out: a judge would mark down where it was cut, not what it says, and a reward
model would learn the limit. So is one that says nothing, one that the endpoint refused to give, one with somebody's
number in it, and a copy of another. A policy's own 「很抱歉，我无法……」 is an answer, and is judged.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from builders.engine.ask import Ask
from builders.engine.errors import Reject
from builders.engine.filters import fold
from builders.engine.wording import check_private
from schemas.base import Figure, Message, Record
from schemas.preference import Writer

NGRAM = 3
POLICY = "policy"
COPY, EMPTY = "copy of another answer", "empty answer"
FIGURES = {
    "answer cut off": "answers_cut",
    "refused by the endpoint": "answers_refused",
    "private in the answer": "answers_private",
    EMPTY: "answers_empty",
    COPY: "answers_copied",
}


class Answer(Record):
    """One answer, and who wrote it."""

    text: str
    writer: Writer = "policy"
    model: str = ""
    """MODEL@ENDPOINT of the policy; empty for people."""
    sample: int = 0
    """Which sample of the policy it is."""


class Gathered(NamedTuple):
    """The answers to a prompt that can be told apart, and how many were left out for which reason."""

    answers: tuple[Answer, ...]
    left_out: Counter[str]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """How many answers were left out, by reason; none where nothing was."""
        return tuple(Figure(name=FIGURES[why], value=count) for why, count in sorted(self.left_out.items()))


async def gather(
    prompt: Sequence[Message], ask: Ask, *, model: str, count: int, max_jaccard: float, reference: str = ""
) -> Gathered:
    """Ask the policy `count` times, and put the doctor's `reference` with its answers where it is given; raises Reject.

    One after the other: the calls of a row stand in its provenance in the order of its samples.
    """
    said, left_out = list[Answer](), Counter[str]()
    for sample in range(count):
        try:
            text = (await ask(prompt, by=POLICY, sample=sample)).strip()
            check_private(text)
        except Reject as verdict:
            left_out[verdict.reason] += 1
            continue
        said.append(Answer(text=text, model=model, sample=sample))
    if reference:
        said.append(Answer(text=reference, writer="doctor"))
    return apart(said, max_jaccard, left_out)


def apart(said: Sequence[Answer], max_jaccard: float, left_out: Counter[str]) -> Gathered:
    """Without empty answers and without copies of an earlier one; raises Reject when fewer than two are left."""
    kept = list[Answer]()
    for answer in said:
        near = any(jaccard(answer.text, other.text) >= max_jaccard for other in kept)
        if not answer.text or near:
            left_out[COPY if near else EMPTY] += 1
        else:
            kept.append(answer)
    if len(kept) < 2:
        seen = ", ".join(f"{count} {why}" for why, count in sorted(left_out.items()))
        alike = len(kept) + left_out[COPY] >= 2
        raise Reject("answers alike" if alike else "too few answers", f"{len(kept)} left; {seen}")
    return Gathered(tuple(kept), left_out)


def jaccard(one: str, other: str) -> float:
    """Jaccard of the character 3-grams of two texts, whatever their case, width and white space."""
    ours, theirs = _grams(one), _grams(other)
    return len(ours & theirs) / len(ours | theirs)


def _grams(text: str) -> set[str]:
    letters = "".join(fold(text).split())
    return {letters[at : at + NGRAM] for at in range(max(1, len(letters) - NGRAM + 1))}
