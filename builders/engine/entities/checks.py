"""What the guard looks at, one kind of thing a function; each yields what stands in one text and not in the other."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from builders.engine.entities.clauses import Clause, Denied, Reading, share
from builders.engine.entities.mentions import Mention

Found = tuple[str, str, str]
"""Kind, value, and how the text has it."""
NAMED = ("disease", "drug", "test")
AMOUNTS = ("dose", "frequency", "duration", "number")
WORDS = Path(__file__).parent / "words"
IN_PASSING = frozenset((WORDS / "in_passing.txt").read_text(encoding="utf-8").split())
"""Named by every polite explanation: neither their loss nor their coming is held against a text."""
COMFORT = re.compile("|".join((WORDS / "comfort.txt").read_text(encoding="utf-8").split()))
SAME_ENOUGH = 0.5
"""Share of what is denied that must stand in the other text's denial."""
OPENLY = 0.6
"""Share of what one text denies that, said openly by the other, turns it round."""
RIVAL = 0.6
"""Share of the best likeness at which another clause still counts as the same one."""
ALIGNED = 0.4
"""Share of a clause that must stand in another for the two to be the same clause."""
TOO_VAGUE = frozenset({"1 次", "1 day"})
"""Said of everything: 做一次检查, 一天一片."""


def names(one: Reading, other: Reading) -> Iterator[Found]:
    """Diseases, drugs and tests of one text that the other does not name."""
    there = {mention.value for mention in other.mentions if mention.kind in NAMED}
    for mention in one.mentions:
        if mention.kind in NAMED and mention.value not in there and mention.value not in IN_PASSING:
            yield mention.kind, mention.value, mention.text


def amounts(one: Reading, other: Reading) -> Iterator[Found]:
    """Doses, frequencies, durations and numbers of one text that the other has not in any form."""
    there = _amounts_of(other)
    for mention in one.mentions:
        if mention.kind in AMOUNTS and mention.value not in TOO_VAGUE and not _forms(mention) & there:
            yield mention.kind, mention.value, mention.text


def _amounts_of(reading: Reading) -> set[str]:
    return {form for mention in reading.mentions if mention.kind in {*AMOUNTS, "ordinal"} for form in _forms(mention)}


def _forms(mention: Mention) -> set[str]:
    """A value as other texts may have it: once in two months is two months, and 38.5 is 38.5 ℃."""
    value = mention.value
    if mention.kind == "frequency" and value.startswith("1/"):
        interval = value.removeprefix("1/")
        return {value, interval if interval[0].isdigit() else f"1 {interval}"}
    if mention.kind == "number":
        return {value, value.split(" ")[0]}
    return {value}


def sides(one: Reading, other: Reading) -> Iterator[Found]:
    """Sides of one text that the clause which says the same in the other does not have."""
    anywhere = {side for clause in other.clauses for side in clause.sides}
    bare = {_side(side) for side in anywhere}
    for clause in one.clauses:
        for side in clause.sides:
            if _side(side) not in bare or not _has_side(side, clause, other.clauses):
                yield "side", side, one.text[clause.start : clause.end]


def _has_side(side: str, clause: Clause, others: Sequence[Clause]) -> bool:
    scores = [_likeness(clause, other) for other in others]
    best = max(scores, default=0.0)
    if best < ALIGNED:
        return True
    return any(
        score >= RIVAL * best and _side(side) in {_side(one) for one in other.about}
        for score, other in zip(scores, others, strict=True)
    )


def _likeness(one: Clause, other: Clause) -> float:
    ours, theirs = _unsided(one), _unsided(other)
    return (share(ours, theirs) + share(theirs, ours)) / 2


def _unsided(clause: Clause) -> frozenset[str]:
    return frozenset(unit for unit in clause.whole if _side(unit) not in {"left", "right", "both"})


def _side(value: str) -> str:
    return value.partition(" ")[0]


def denials(one: Reading, other: Reading) -> Iterator[Found]:
    """What one text denies and the other says openly, or no longer denies."""
    for denied in one.denied:
        if denied.focus and not COMFORT.search(denied.text) and not any(_same(denied, there) for there in other.denied):
            if _openly(denied, other.clauses) or _names_something(denied, one.mentions):
                yield "negation", "".join(sorted(denied.focus)), denied.text


def _same(one: Denied, other: Denied) -> bool:
    direct = max(share(one.focus, other.focus), share(other.focus, one.focus))
    crossed = min(
        1.0 if other.back and not one.back else share(one.focus, other.around),
        1.0 if one.back and not other.back else share(other.focus, one.around),
    )
    return max(direct, crossed) >= SAME_ENOUGH


def _openly(denied: Denied, clauses: Sequence[Clause]) -> bool:
    return any(share(denied.focus, clause.said) >= OPENLY for clause in clauses)


def _names_something(denied: Denied, mentions: Sequence[Mention]) -> bool:
    named = {mention.value for mention in mentions if mention.kind in {*NAMED, "symptom"}}
    return bool(denied.focus & named)
