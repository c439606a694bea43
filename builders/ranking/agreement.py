"""What several people's rankings of the same answers come to: two rank, and where they differ a third decides.

As in Zhongjing (arXiv 2308.03549) the whole ranking goes to the third one: answers taken pair by pair from two rankings
can run in a circle, the order of one person cannot.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from builders.engine.errors import Reject
from builders.engine.judge import kappa
from builders.ranking.pairs import competition

MOST = 3
"""Two annotators and one who adjudicates."""


class Decided(NamedTuple):
    """The ranking that stands, and whose it is."""

    places: tuple[int, ...]
    by: tuple[str, ...]
    """One annotator, two who agree, or the one who adjudicated."""
    annotators: int
    adjudicated: bool


def decide(orders: Mapping[str, Sequence[int]]) -> Decided:
    """The ranking that stands, of those in the order in which they were given; raises Reject when none does."""
    if not orders:
        raise Reject("nobody ranked it")
    names = list(orders)
    places = [tuple(competition(orders[name])) for name in names]
    if len(names) == 1:
        return Decided(places[0], (names[0],), 1, False)
    if places[0] == places[1]:
        return Decided(places[0], (names[0], names[1]), len(names), False)
    if len(names) < MOST:
        apart = sum(one != other for one, other in _verdicts(places[0], places[1]))
        raise Reject("annotators differ", f"on {apart} pairs, and nobody has adjudicated")
    return Decided(places[2], (names[2],), len(names), True)


class Agreement(NamedTuple):
    """How far the first two annotators agree on which of two answers is better."""

    kappa: float | None
    """Cohen's, over better, worse and tie; None where nothing was ranked twice, or everything got the same verdict."""
    pairs: int
    groups: int
    """Prompts that two have ranked."""


def agreement(groups: Iterable[Mapping[str, Sequence[int]]]) -> Agreement:
    """Of all groups together, each pair of answers in the order in which the group lists them."""
    twice = [list(orders.values())[:2] for orders in groups if len(orders) > 1]
    verdicts = [pair for first, second in twice for pair in _verdicts(first, second)]
    return Agreement(kappa(verdicts, scale=(-1, 0, 1)), len(verdicts), len(twice))


def _verdicts(first: Sequence[int], second: Sequence[int]) -> Iterator[tuple[int, int]]:
    """For every two answers what each says of the earlier one: 1 better, -1 worse, 0 a tie."""
    for one, other in combinations(range(len(first)), 2):
        yield _sign(first[other] - first[one]), _sign(second[other] - second[one])


def _sign(difference: int) -> int:
    return (difference > 0) - (difference < 0)
