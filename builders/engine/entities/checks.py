"""Amounts and sides that stand in one text and not in the other, or at another place there."""

import re
from collections.abc import Iterator, Sequence

from builders.engine.entities import numbers
from builders.engine.entities.alignment import LEAST_TOPIC, likeness, twin
from builders.engine.entities.clauses import EXCHANGED, Clause, Reading
from builders.engine.entities.content import weight
from builders.engine.entities.mentions import Mention, folded

Found = tuple[str, str, str]
"""Kind, value, and how the text has it."""
AMOUNTS = ("dose", "frequency", "duration", "number")
RIVAL = 0.6
"""Share of the best likeness at which another clause still counts as the same one."""
ALIGNED = 0.4
"""Share of a clause that must stand in another for the two to be the same clause."""
SWAPPED = 0.5
"""The same, where the other text has the very same side of the same part too."""
TOO_VAGUE = frozenset({"1 次", "2 次", "1 day", "1 疗程"})
"""Said of everything: 做一次检查, 两次之间, 一天一片."""
ONE_PIECE = frozenset(f"1 {unit}" for unit in "片粒袋支滴喷贴")
"""一天一片 says no more than 每日1次."""
_NUMBER = re.compile(numbers.NUMBER)


def amounts(one: Reading, other: Reading) -> Iterator[Found]:
    """Doses, frequencies, durations and numbers of one text that the other has not in any form."""
    measured = [mention for mention in other.mentions if mention.kind in {*AMOUNTS, "vague"}]
    there = {form for mention in measured for form in _forms(mention)}
    bare = {mention.value for mention in measured if _bare(mention)}
    digits = {digits for mention in measured for digits in _digits(mention)}
    for mention in one.mentions:
        known = _forms(mention) & there or _digits(mention) & bare or (_bare(mention) and mention.value in digits)
        if mention.kind in AMOUNTS and mention.value not in TOO_VAGUE and not known:
            yield mention.kind, mention.value, mention.text


def _forms(mention: Mention) -> set[str]:
    """A value as another text may have it: once in two months, or two months."""
    value = mention.value
    if mention.kind == "frequency" and value.startswith("1/"):
        interval = value.removeprefix("1/")
        return {value, interval if interval[0].isdigit() else f"1 {interval}"}
    return {value, "1/day"} if mention.kind == "dose" and value in ONE_PIECE else {value}


def _bare(mention: Mention) -> bool:
    """A number without a unit: it may be written with any in the other text, 0.5 for 0.5克."""
    return mention.kind == "number" and " " not in mention.value


def _digits(mention: Mention) -> set[str]:
    """The numbers of a measured value, as they are written and in its canonical unit."""
    written = {numbers.written(numbers.parse(found)) for found in _NUMBER.findall(folded(mention.text))}
    return written | {re.split("[ /]", mention.value)[0]}


def sides(one: Reading, other: Reading) -> Iterator[Found]:
    """Sides of one text that the other does not have, or not where it says the same."""
    values = {side for clause in other.clauses for side in clause.sides}
    bare = {_side(side) for side in values}
    for clause in one.clauses:
        for side in clause.sides if not clause.asks and clause.sides else ():
            if _side(side) not in bare:
                gone = side != "both" or bool(bare)
            else:
                gone = not _has_side(side, clause, other.clauses, least=SWAPPED if side in values else ALIGNED)
            if gone:
                yield "side", side, clause.text


def _has_side(side: str, clause: Clause, others: Sequence[Clause], *, least: float) -> bool:
    """No clause says the same with another side; without a doubt if the other text has this side of this part."""
    if any(weight(other.topic) < LEAST_TOPIC and _side(side) in other.sides for other in others):  # 左边的
        return True
    scores = [likeness(clause, other) for other in others]
    best = max(scores, default=0.0)
    if best < least:
        return True
    return any(
        score >= RIVAL * best
        and (_side(side) in {_side(one) for one in other.about} or (least == SWAPPED and not other.about))
        for score, other in zip(scores, others, strict=True)
    )


def _side(value: str) -> str:
    return value.partition(" ")[0]


def exchanges(one: Reading, other: Reading) -> Iterator[Found]:
    """Doses and frequencies of one text that the other has too, but in another clause, or for another drug."""
    elsewhere = {mention.value for mention in other.mentions if mention.kind in EXCHANGED}
    for clause in one.clauses:
        for place in twin(clause, one.clauses, other.clauses):
            there = other.clauses[place].amounts
            come = {kind for kind, _ in there - clause.amounts}
            for kind, value in sorted(clause.amounts - there):
                if kind in come and value in elsewhere:
                    yield kind, value, one.text[clause.start : clause.end]
    theirs, ahead = other.intake(), other.intake(ahead=True)
    for (drug, kind), values in one.intake().items():
        there_too = theirs.get((drug, kind), set())
        if there_too and values <= elsewhere and not values & (there_too | ahead.get((drug, kind), set())):
            yield kind, " ".join([drug, *sorted(values)]), drug
