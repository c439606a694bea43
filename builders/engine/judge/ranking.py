"""What a judge's marks say of K answers: their totals, which pairs are told apart, and places to read."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

from builders.engine.judge.asking import Marked, Verdict
from schemas.rubrics import Rubric

DECIMALS = 9
"""Of a mean that counts: 4.1 - 3.1 is not less than 1."""


class Preferred(NamedTuple):
    """A pair of answers, by their places in the given list, that the judge tells apart."""

    better: int
    worse: int
    gap: float
    """Marks between their means: over all criteria, or in the dimension that decided."""


class Gap(NamedTuple):
    """How far one answer is above another at one stage of the rubric, in each of the two orders."""

    given: float
    backwards: float

    @property
    def mean(self) -> float:
        """Over both orders."""
        return round(fmean(self), DECIMALS)


def totals(marked: Marked, rubric: Rubric) -> list[tuple[float, ...]]:
    """Each answer's marks, 0 to 10: one mean over all criteria, or one a dimension where the first is to decide.

    Both orders weigh the same, however many of their passes were read.
    """
    return [
        tuple(round(fmean(pair), DECIMALS) for pair in zip(given, backwards, strict=True))
        for given, backwards in zip(*_stage_means(marked, rubric), strict=True)
    ]


def overall(marked: Marked, rubric: Rubric) -> list[float]:
    """Each answer's marks as one number, 0 to 10: the mean over the stages. Where the first decides, places may differ."""
    return [round(fmean(stages), DECIMALS) for stages in totals(marked, rubric)]


def preferences(marked: Marked, rubric: Rubric, *, margin: float) -> list[Preferred]:
    """The pairs that are told apart: the means differ by `margin`, and both orders put the same answer ahead.

    Where the first dimension is to decide, it is the first one with such a gap, and what the orders disagree on there
    is a tie. Such preferences can run in a circle (two gaps in safety too small to count make one that does): pairs of
    a circle are ties too.
    """
    found = list(_told_apart(marked, rubric, margin))
    reached = _reached(found, len(marked.passes[0].marks))
    return [pair for pair in found if pair.better not in reached[pair.worse]]


def ranking(marked: Marked, rubric: Rubric, *, margin: float) -> list[int]:
    """Each answer's place, for people to read: 1 is best; equal places are ties and are counted (1, 1, 3).

    Answers stand in the order of their totals, unless a preference wants another, and share a place until one comes
    that somebody in it is preferred to. So the better answer of a preference always has the smaller place, while
    different places alone do not say that two answers were told apart.
    """
    ahead = {answer: set[int]() for answer in range(len(marked.passes[0].marks))}
    for pair in preferences(marked, rubric, margin=margin):
        ahead[pair.worse].add(pair.better)
    levels: list[list[int]] = []
    for answer in _lined_up(ahead, totals(marked, rubric)):
        if levels and ahead[answer].isdisjoint(levels[-1]):
            levels[-1].append(answer)
        else:
            levels.append([answer])
    places = {answer: 1 + sum(map(len, levels[:n])) for n, level in enumerate(levels) for answer in level}
    return [places[answer] for answer in ahead]


def pair_verdicts(marked: Marked, rubric: Rubric, *, margin: float) -> list[tuple[Verdict, Verdict]]:
    """For every two answers, which one the given order puts ahead by `margin`, and which the other order."""
    return [
        (_winner([gap.given for gap in gaps], margin), _winner([gap.backwards for gap in gaps], margin))
        for _, _, gaps in _gaps(marked, rubric)
    ]


def _stage_means(marked: Marked, rubric: Rubric) -> list[list[tuple[float, ...]]]:
    """For the given order and for backwards: every answer's mean at every stage of the rubric."""
    orders = [[read.marks for read in marked.passes if read.backwards is backwards] for backwards in (False, True)]
    return [
        [
            tuple(fmean(marks[place] for marks in rows for place in stage) for stage in rubric.stages)
            for rows in zip(*passes, strict=True)
        ]
        for passes in orders
    ]


def _gaps(marked: Marked, rubric: Rubric) -> Iterator[tuple[int, int, list[Gap]]]:
    given, backwards = _stage_means(marked, rubric)
    for one, other in combinations(range(len(given)), 2):
        stages = zip(given[one], given[other], backwards[one], backwards[other], strict=True)
        yield one, other, [Gap(round(a - b, DECIMALS), round(c - d, DECIMALS)) for a, b, c, d in stages]


def _told_apart(marked: Marked, rubric: Rubric, margin: float) -> Iterator[Preferred]:
    for one, other, gaps in _gaps(marked, rubric):
        decisive = next((gap for gap in gaps if gap.mean and abs(gap.mean) >= margin), None)
        if decisive and decisive.given * decisive.backwards > 0:
            better, worse = (one, other) if decisive.mean > 0 else (other, one)
            yield Preferred(better, worse, abs(decisive.mean))


def _winner(gaps: Iterable[float], margin: float) -> Verdict:
    decisive = next((gap for gap in gaps if gap and abs(gap) >= margin), 0.0)
    return "first" if decisive > 0 else "second" if decisive < 0 else "tie"


def _reached(pairs: Sequence[Preferred], count: int) -> list[set[int]]:
    """For every answer those that it is better than, directly or through others (Warshall's closure)."""
    reached = [{pair.worse for pair in pairs if pair.better == answer} for answer in range(count)]
    for through in range(count):
        for below in reached:
            if through in below:
                below |= reached[through]
    return reached


def _lined_up(ahead: dict[int, set[int]], means: Sequence[tuple[float, ...]]) -> Iterator[int]:
    """Best total first, but nobody before those preferred to them; the earlier of equals first."""
    waiting = sorted(ahead, key=lambda answer: means[answer], reverse=True)
    while waiting:
        following = next(answer for answer in waiting if ahead[answer].isdisjoint(waiting))
        waiting.remove(following)
        yield following
