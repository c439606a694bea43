"""How far a judge can be trusted, in figures: does it hold to its verdict, agree with others, and see more than length."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations
from statistics import StatisticsError, correlation, fmean
from typing import Literal, NamedTuple

from builders.engine.judge.asking import Duel

DECIMALS = 9
"""That count in a difference: answers with equal totals are exactly at their mean."""


class LengthBias(NamedTuple):
    """How far totals follow length among the answers to one prompt; None where there is nothing to measure it by."""

    correlation: float | None
    """Pearson's, of totals and lengths, each less its prompt's mean."""
    longer_wins: float | None
    """Share of pairs in which the longer answer has the higher total."""
    pairs: int
    """Pairs of one prompt that differ in length and in total."""


def flip_rate(duels: Iterable[Duel]) -> float | None:
    """Share of the duels read in both orders whose orders disagree; None without any."""
    flips = [duel.flipped for duel in duels if not duel.unparsed]
    return fmean(flips) if flips else None


def agreement(verdicts: Iterable[tuple[Hashable, Hashable]]) -> float | None:
    """Share of the pairs of verdicts, of two passes or two raters, that are the same; None without any."""
    same = [one == other for one, other in verdicts]
    return fmean(same) if same else None


def kappa(
    verdicts: Sequence[tuple[Hashable, Hashable]],
    *,
    scale: Sequence[Hashable] = ("first", "tie", "second"),
    weights: Literal["none", "linear", "quadratic"] = "none",
) -> float | None:
    """Cohen's kappa of two raters: 1 - disagreement seen / disagreement by chance; None where chance leaves none.

    With weights a disagreement counts by its distance on `scale` (Cohen 1968); a verdict that is not on it raises
    ValueError.
    """
    places = {verdict: place for place, verdict in enumerate(scale)}
    if unknown := {str(verdict) for pair in verdicts for verdict in pair if verdict not in places}:
        raise ValueError(f"verdicts must be one of {', '.join(map(str, scale))}; got {min(unknown)}")
    ones, others = (Counter(places[pair[rater]] for pair in verdicts) for rater in (0, 1))
    power = {"none": 0, "linear": 1, "quadratic": 2}[weights]
    seen = sum(_distance(places[one], places[other], power) for one, other in verdicts)
    expected = sum(ones[one] * others[other] * _distance(one, other, power) for one in ones for other in others)
    return 1 - seen * len(verdicts) / expected if expected else None


def _distance(one: int, other: int, power: int) -> int:
    return abs(one - other) ** power if one != other else 0


def length_bias(totals: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]]) -> LengthBias:
    """Whether the longer answer tends to win: one list of totals and of lengths in characters a prompt.

    Only answers to one prompt are compared: between prompts, a hard question has long answers for good reasons.
    """
    marks = [round(total - fmean(group), DECIMALS) for group in totals for total in group]
    chars = [round(length - fmean(group), DECIMALS) for group in lengths for length in group]
    wins = [
        (total > other_total) == (length > other_length)
        for of_prompt in zip(totals, lengths, strict=True)
        for (total, length), (other_total, other_length) in combinations(zip(*of_prompt, strict=True), 2)
        if total != other_total and length != other_length
    ]
    try:
        follows = correlation(marks, chars)
    except StatisticsError:  # fewer than two answers, or all alike
        follows = None
    return LengthBias(follows, fmean(wins) if wins else None, len(wins))
