"""From K answers in an order to pairs of a better and a worse one; a tie makes none.

Every pair of one prompt weighs 1 / C(K, 2), so that a prompt counts once however many answers it has (Zhongjing's loss).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import permutations
from math import comb
from typing import NamedTuple

from builders.engine.judge import Marked, Preferred, pair_verdicts, preferences, ranking, totals
from builders.ranking.answers import Answer
from schemas.base import Figure, Message, Origin, Provenance
from schemas.preference import Mark, Preference, Standing, Writer
from schemas.rubrics import Rubric

WRITTEN_BY: Mapping[Writer, Origin] = {"policy": "distilled", "doctor": "real", "annotator": "real"}
"""Who wrote the better answer, as data sets say it."""


class Ranked(NamedTuple):
    """The answers to one prompt in an order, and who put them into it."""

    answers: tuple[Answer, ...]
    ranks: Sequence[int]
    """Place of each, 1 is best; equal places are ties, and the next place counts them."""
    pairs: Sequence[Preferred]
    """Those of which one is better, by their places in `answers`."""
    judge: str
    rubric: str = ""
    totals: Sequence[float | None] = ()
    marks: Sequence[tuple[Mark, ...]] = ()
    reasons: Sequence[tuple[str, ...]] = ()
    figures: tuple[Figure, ...] = ()
    """Of the whole group."""

    def standing(self, place: int) -> Standing:
        """How one answer did."""
        answer = self.answers[place]
        return Standing(
            writer=answer.writer,
            model=answer.model,
            sample=answer.sample,
            rank=self.ranks[place],
            total=self.totals[place] if self.totals else None,
            marks=self.marks[place] if self.marks else (),
            reasons=self.reasons[place] if self.reasons else (),
        )


def by_judge(answers: tuple[Answer, ...], marked: Marked, rubric: Rubric, *, margin: float, judge: str) -> Ranked:
    """The order that a judge's marks make; with dimensions, an answer's total is the mean over them."""
    verdicts = pair_verdicts(marked, rubric, margin=margin)
    agreed = sum(given == reverse for given, reverse in verdicts) / len(verdicts)
    figures = {"orders_agree": round(agreed, 4), "judge_unparsed": marked.unparsed}
    return Ranked(
        answers,
        ranking(marked, rubric, margin=margin),
        preferences(marked, rubric, margin=margin),
        judge,
        rubric.name,
        totals=[round(sum(stages) / len(stages), 4) for stages in totals(marked, rubric)],
        marks=[marked.marks(place) for place in range(len(answers))],
        reasons=[marked.reasons(place) for place in range(len(answers))],
        figures=tuple(Figure(name=name, value=value) for name, value in figures.items()),
    )


def by_places(answers: tuple[Answer, ...], places: Sequence[int], *, figures: tuple[Figure, ...] = ()) -> Ranked:
    """The order that people gave: smaller is better, equal is a tie, whatever numbers they counted in."""
    pairs = [
        Preferred(one, other, 0.0) for one, other in permutations(range(len(places)), 2) if places[one] < places[other]
    ]
    return Ranked(answers, competition(places), pairs, "people", figures=figures)


def competition(places: Sequence[int]) -> list[int]:
    """Any numbers in an order as places that count ties: (2, 2, 7) are (1, 1, 3)."""
    return [1 + sum(other < place for other in places) for place in places]


def rows_of(
    ranked: Ranked, *, group: str, prompt: tuple[Message, ...], reference: str, department: str, provenance: Provenance
) -> list[Preference]:  # fmt: skip
    """A row for every pair, the figures of the whole group on the first of them; keys are GROUP#i-j, answers from 1."""
    asked = sum(said.role == "user" for said in prompt)
    return [
        Preference(
            key=f"{group}#{min(pair[:2]) + 1}-{max(pair[:2]) + 1}",
            origin=WRITTEN_BY[ranked.answers[pair.better].writer],
            form="conversation" if asked > 1 else "instruction",
            department=department,
            prompt=prompt,
            chosen=(_said(ranked.answers[pair.better]),),
            rejected=(_said(ranked.answers[pair.worse]),),
            reference=reference,
            better=ranked.standing(pair.better),
            worse=ranked.standing(pair.worse),
            margin=round(pair.gap, 4),
            weight=1 / comb(len(ranked.answers), 2),
            group=group,
            answers=len(ranked.answers),
            judge=ranked.judge,
            rubric=ranked.rubric,
            provenance=_with(provenance, [*_of_pair(ranked, pair), *(ranked.figures if first else ())]),
        )
        for first, pair in _first_told(sorted(ranked.pairs, key=lambda pair: sorted(pair[:2])))
    ]


def _said(answer: Answer) -> Message:
    return Message(role="assistant", content=answer.text)


def _of_pair(ranked: Ranked, pair: Preferred) -> Iterator[Figure]:
    """What tells on a card whether length is what is preferred; a length that is equal counts for neither."""
    longer = len(ranked.answers[pair.better].text) - len(ranked.answers[pair.worse].text)
    if longer:
        yield Figure(name="chosen_is_longer", value=float(longer > 0))
    yield Figure(name="chosen_longer_by_chars", value=longer)
    yield Figure(name="margin", value=round(pair.gap, 4))


def _with(provenance: Provenance, figures: Iterable[Figure]) -> Provenance:
    return provenance.model_copy(update={"filters": (*provenance.filters, *figures)})


def _first_told(pairs: Iterable[Preferred]) -> Iterator[tuple[bool, Preferred]]:
    return ((number == 0, pair) for number, pair in enumerate(pairs))
