"""Whether what one text denies is said openly by the other.

What the other text does not speak of proves nothing: a rewriter finds other words for most denials, and leaves some out.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from builders.engine.entities.alignment import likeness, twin
from builders.engine.entities.checks import Found
from builders.engine.entities.clauses import ANYTHING, NAMED, Clause, Denied, Reading
from builders.engine.entities.content import share, weight

COMFORT = re.compile("|".join((Path(__file__).parent / "words" / "comfort.txt").read_text(encoding="utf-8").split()))
OPENLY = 0.7
"""Share of what one text denies that, said openly by the other, turns it round."""
ALLOWED = 0.6
"""The same for a clause that recommends or permits."""
SAME_ENOUGH = 0.5
"""Share of what is denied that must stand in the other text's denial."""
LEAST = 2
"""Characters of content below which nothing is proved."""
IDENTICAL = 0.9
"""Likeness of clauses that differ in their denials alone."""


def denials(one: Reading, other: Reading) -> Iterator[Found]:
    """What one text denies and the other says openly."""
    told = _Told.of(one)
    for denied in one.denied:
        if not denied.focus <= ANYTHING and not COMFORT.search(denied.text) and _turned(denied, told, other):
            yield "negation", "".join(sorted(denied.focus)), denied.text


def turns(one: Reading, other: Reading) -> Iterator[Found]:
    """What a clause denies, where the other text has the same clause and does not deny it there."""
    for number, clause in enumerate(one.clauses):
        denied = one.denied_in(number)
        if denied and not clause.asks and not COMFORT.search(clause.text):
            moves = not one.denied_in(number + 1)
            for place in twin(clause, one.clauses, other.clauses):
                openly = (denied & other.clauses[place].topic) - other.denied_in(place, soft=True)
                moved = moves and other.denied_in(place + 1)
                if weight(openly) >= LEAST and not moved and _identical(clause, other, place):
                    yield "negation", "".join(sorted(openly)), clause.text


class _Told(NamedTuple):
    """A text, and what it names and says openly."""

    reading: Reading
    drugs: frozenset[str]
    named: frozenset[str]
    openly: frozenset[str]

    @classmethod
    def of(cls, reading: Reading) -> "_Told":
        return cls(
            reading,
            drugs=frozenset(mention.value for mention in reading.mentions if mention.kind == "drug"),
            named=frozenset(mention.value for mention in reading.mentions if mention.kind in NAMED),
            openly=frozenset[str]().union(*(clause.said for clause in reading.clauses)),
        )


def _turned(denied: Denied, told: _Told, other: Reading) -> bool:
    if denied.force == "idle":
        return False
    clause = told.reading.clauses[denied.place]
    if denied.force == "doubtful":
        return _supposed(denied, clause, other)
    if denied.force == "firm" and _named((denied.focus & told.named) - told.openly, other):
        return True
    said = [place for place in range(len(other.clauses)) if _says(other.clauses[place], denied, told)]
    if not any(_same(denied, there) for there in other.denied if there.force != "doubtful" or not denied.back):
        return bool(said)
    return any(
        place in said and _comparable(clause, other.clauses[place]) and not _near(denied, other, place)
        for place in twin(clause, told.reading.clauses, other.clauses)
    )


def _says(there: Clause, denied: Denied, told: _Told) -> bool:
    """Whether a clause of the other text says openly what is denied."""
    drugs = denied.focus & told.drugs
    if denied.back and drugs and there.allows and drugs <= there.said:
        return True
    if not (denied.force == "firm" or drugs or there.allows):
        return False
    return share(denied.focus, there.said) >= (ALLOWED if there.allows else OPENLY)


def _supposed(denied: Denied, clause: Clause, other: Reading) -> bool:
    """如果没有过敏, 如果过敏."""
    return any(
        share(denied.focus, there.supposed) >= OPENLY and likeness(clause, there) >= SAME_ENOUGH
        for there in other.clauses
    ) and not any(_same(denied, there) for there in other.denied)


def _named(names: frozenset[str], other: Reading) -> bool:
    """One of several things is allowed, and denied nowhere."""
    denied = frozenset[str]().union(*(there.around for there in other.denied)) if names else names
    return any(clause.allows and not clause.said.isdisjoint(names - denied) for clause in other.clauses)


def _identical(clause: Clause, other: Reading, place: int) -> bool:
    """A copy, or the same things in a clause that denies nothing."""
    there = other.clauses[place]
    silent = len(there.topic) > 1 and not other.denied_in(place, soft=True)
    return not there.asks and (silent or clause.bare == there.bare) and likeness(clause, there) >= IDENTICAL


def _comparable(one: Clause, other: Clause) -> bool:
    """A single thing in common makes no two clauses the same, unless one is a copy of the other."""
    return len(one.topic) > 1 or one.bare == other.bare


def _near(denied: Denied, other: Reading, place: int) -> bool:
    """The clause, or the one after it, denies it as well: 右眼正常不点, 右眼正常，无需用药."""
    return any(
        there.place in {place, place + (denied.back or there.back)} and _same(denied, there) for there in other.denied
    )


def _same(one: Denied, other: Denied) -> bool:
    if (one.borrowed and not other.back) or (other.borrowed and not one.back):
        return False
    direct = max(share(one.focus, other.focus), share(other.focus, one.focus))
    crossed = min(share(one.focus, other.around), share(other.focus, one.around))
    spelled = max(share(one.letters, other.letters), share(other.letters, one.letters))
    return max(direct, crossed) >= SAME_ENOUGH or spelled > SAME_ENOUGH or _same_topic(one, other)


def _same_topic(one: Denied, other: Denied) -> bool:
    """拔牙没用 and 拔牙并不能解决问题: what stands before the one cue stands before the other."""
    pairs: Sequence[tuple[Denied, Denied]] = ((one, other), (other, one))
    return any(back.back and share(back.focus, _topic(ahead)) >= SAME_ENOUGH for back, ahead in pairs)


def _topic(denied: Denied) -> frozenset[str]:
    """如果过敏，则禁用: a clause that opens with its denial speaks of what the clause before it does."""
    opens = not denied.back and weight(denied.around - denied.focus) <= LEAST
    return denied.around | denied.earlier if opens else denied.around
