"""Which clause of one text stands for a clause of the other."""

from collections.abc import Sequence

from builders.engine.entities.clauses import Clause
from builders.engine.entities.content import share, weight

TWINS = 0.75
"""Likeness at which two clauses are one and the same, but for amounts, sides and denials."""
LEAST_TOPIC = 2
"""Characters of content below which a clause is like too many others."""


def likeness(one: Clause, other: Clause) -> float:
    """Share of what two clauses speak of that they have in common, 0 to 1."""
    return (share(one.topic, other.topic) + share(other.topic, one.topic)) / 2


def twin(clause: Clause, ours: Sequence[Clause], theirs: Sequence[Clause]) -> list[int]:
    """Place of the clause that says nearly the same; of several alike the one of the same rank, or none."""
    if weight(clause.topic) < LEAST_TOPIC:
        return []
    scores = [likeness(clause, other) for other in theirs]
    best = max(scores, default=0.0)
    alike = [place for place, score in enumerate(scores) if score >= max(best, TWINS)]
    here = [other for other in ours if other.topic == clause.topic]
    if len(alike) == len(here):
        return [alike[here.index(clause)]]
    return alike if len(alike) == 1 else []
