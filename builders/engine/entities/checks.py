"""What the guard looks at, one kind of thing a function; each yields what stands in one text and not in the other."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from builders.engine.entities import negation
from builders.engine.entities.clauses import EXCHANGED, Clause, Denied, Reading, share
from builders.engine.entities.mentions import Mention, folded

Found = tuple[str, str, str]
"""Kind, value, and how the text has it."""
NAMED = ("disease", "drug", "test")
AMOUNTS = ("dose", "frequency", "duration", "number")
WORDS = Path(__file__).parent / "words"
IN_PASSING = frozenset((WORDS / "in_passing.txt").read_text(encoding="utf-8").split())
"""Named by every polite explanation: neither their loss nor their coming is held against a text."""
COMFORT = re.compile("|".join((WORDS / "comfort.txt").read_text(encoding="utf-8").split()))
TOO_SOFT = frozenset({"好"})
"""Of 不好 and 欠佳: a rewriter says 变差."""
SAME_ENOUGH = 0.5
"""Share of what is denied that must stand in the other text's denial."""
OPENLY = 0.7
"""Share of what one text denies that, said openly by the other, turns it round."""
RIVAL = 0.6
"""Share of the best likeness at which another clause still counts as the same one."""
PAIR = 2
"""Characters of a name that stand together by chance."""
PLAIN_CUES = frozenset("不没无未别勿莫")
"""First characters of cues that deny anything; 停, 禁, 忌 and 避 tell more of what they deny."""
TWINS = 0.75
"""Share at which two clauses are one and the same, but for amounts, sides and denials."""
LEAST_TOPIC = 2
"""Characters of content below which a clause is like too many others."""
ALIGNED = 0.4
"""Share of a clause that must stand in another for the two to be the same clause."""
TOO_VAGUE = frozenset({"1 次", "2 次", "1 day"})
"""Said of everything: 做一次检查, 两次之间, 一天一片."""


def names(one: Reading, other: Reading) -> Iterator[Found]:
    """Diseases, drugs and tests of one text that the other does not name."""
    gone, come = _unnamed(one, other), _unnamed(other, one)
    for mention in gone:
        exchanged = any(new.kind == mention.kind for new in come)
        if exchanged or not _half_there(mention, other):
            yield mention.kind, mention.value, mention.text


def _unnamed(one: Reading, other: Reading) -> list[Mention]:
    there = {mention.value for mention in other.mentions if mention.kind in NAMED}
    return [
        mention
        for mention in one.mentions
        if mention.kind in NAMED
        and mention.value not in there
        and mention.value not in IN_PASSING
        and not _apart(mention, other)
    ]


def _half_there(mention: Mention, other: Reading) -> bool:
    """Half of a name may stand for it where no other name has taken its place: 换关节, 关节置换."""
    letters = set(folded(mention.text))
    spans = ((one.start, one.end) for one in other.mentions if one.kind in {*NAMED, "symptom"})
    rest = negation.hide(folded(other.text), spans)
    pieces = [rest[clause.start : clause.end] for clause in other.clauses]
    return mention.kind != "drug" and any(2 * len(letters & set(piece)) >= len(letters) for piece in pieces)


def _apart(mention: Mention, other: Reading) -> bool:
    """Said in other words (癌, 恶性肿瘤), or its characters stand apart: 肾结石, 肾脏有0.6厘米的结石; no drug is."""
    if any(mention.value in clause.topic for clause in other.clauses):
        return True
    if mention.kind == "drug":
        return False
    letters, plain = folded(mention.text), folded(other.text)
    pieces = [plain[clause.start : clause.end] for clause in other.clauses]
    if any(re.search(".*".join(map(re.escape, letters)), piece) for piece in pieces):
        return True
    joined = [one + two for one, two in zip_longest(pieces, pieces[1:], fillvalue="")]
    return (len(letters) > PAIR or mention.kind == "test") and any(set(letters) <= set(piece) for piece in joined)


def amounts(one: Reading, other: Reading) -> Iterator[Found]:
    """Doses, frequencies, durations and numbers of one text that the other has not in any form."""
    there = {form for mention in other.mentions for form in _forms(mention)}
    for mention in one.mentions:
        numbers = {number for found in other.mentions for number in _number(found, mention)}
        known = _forms(mention) & there or _number(mention) & numbers
        if mention.kind in AMOUNTS and mention.value not in TOO_VAGUE and not known:
            yield mention.kind, mention.value, mention.text


def _forms(mention: Mention) -> set[str]:
    """A value as another text may have it: once in two months, or two months."""
    value = mention.value
    if mention.kind == "frequency" and value.startswith("1/"):
        interval = value.removeprefix("1/")
        return {value, interval if interval[0].isdigit() else f"1 {interval}"}
    return {value} if mention.kind in {*AMOUNTS, "vague"} else set()


def _number(mention: Mention, beside: Mention | None = None) -> set[str]:
    """The number alone: 38.5 ℃ may be written 38.5. Beside another mention only if one of the two has no unit."""
    number, unit, _ = mention.value.partition(" ")
    if mention.kind not in {"dose", "number"} or (beside and unit and " " in beside.value):
        return set()
    return {number}


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
    return (share(one.topic, other.topic) + share(other.topic, one.topic)) / 2


def _side(value: str) -> str:
    return value.partition(" ")[0]


def exchanges(one: Reading, other: Reading) -> Iterator[Found]:
    """Doses and frequencies of one text that the other has too, but in another clause, or for another drug."""
    elsewhere = {mention.value for mention in other.mentions if mention.kind in EXCHANGED}
    for clause in one.clauses:
        for place in _twin(clause, one.clauses, other.clauses):
            twin = other.clauses[place].amounts
            come = {kind for kind, _ in twin - clause.amounts}
            for kind, value in sorted(clause.amounts - twin):
                if kind in come and value in elsewhere:
                    yield kind, value, one.text[clause.start : clause.end]
    theirs, ahead = other.intake(), other.intake(ahead=True)
    for (drug, kind), values in one.intake().items():
        there = theirs.get((drug, kind), set())
        if there and values <= elsewhere and not values & (there | ahead.get((drug, kind), set())):
            yield kind, " ".join([drug, *sorted(values)]), drug


def _twin(clause: Clause, ours: Sequence[Clause], theirs: Sequence[Clause]) -> list[int]:
    """Place of the clause that says nearly the same; of several alike the one of the same rank, or none."""
    if sum(map(len, clause.topic)) < LEAST_TOPIC:
        return []
    scores = [_likeness(clause, other) for other in theirs]
    best = max(scores, default=0.0)
    alike = [place for place, score in enumerate(scores) if score >= max(best, TWINS)]
    here = [other for other in ours if other.topic == clause.topic]
    if len(alike) == len(here):
        return [alike[here.index(clause)]]
    return alike if len(alike) == 1 else []


def denials(one: Reading, other: Reading) -> Iterator[Found]:
    """What one text denies and the other says openly, or no longer denies."""
    for denied in one.denied:
        if denied.focus - TOO_SOFT and not COMFORT.search(denied.text) and _gone(denied, one, other):
            yield "negation", "".join(sorted(denied.focus)), denied.text


def _gone(denied: Denied, one: Reading, other: Reading) -> bool:
    if any(_same(denied, there) for there in other.denied):
        return _turned(denied, one, other)
    if any(_same_topic(denied, there) for there in other.denied):
        return not denied.back and _openly(denied, other.clauses)
    return _openly(denied, other.clauses) or _names_something(denied, one.mentions)


def _turned(denied: Denied, one: Reading, other: Reading) -> bool:
    """The clause that says the same says it openly; what is denied in others is another thing."""
    return any(
        share(denied.focus, other.clauses[place].said) >= OPENLY
        and not any(
            _same(denied, there) for there in other.denied if there.place - there.back in {place, place - there.back}
        )
        for place in _twin(one.clauses[denied.place], one.clauses, other.clauses)
    )


def _same(one: Denied, other: Denied) -> bool:
    direct = max(share(one.focus, other.focus), share(other.focus, one.focus))
    crossed = min(share(one.focus, other.around), share(other.focus, one.around))
    spelled = max(share(one.letters, other.letters), share(other.letters, one.letters))
    stopped = one.cue == other.cue and one.cue not in PLAIN_CUES and _same_topic(one, other)
    return stopped or max(direct, crossed, spelled) >= SAME_ENOUGH


def _same_topic(one: Denied, other: Denied) -> bool:
    """拔牙没用 and 拔牙并不能解决问题: what stands before the one cue stands before the other."""
    back, ahead = (one, other) if one.back else (other, one)
    return back.back and not ahead.back and share(back.focus, ahead.around) >= SAME_ENOUGH


def _openly(denied: Denied, clauses: Sequence[Clause]) -> bool:
    return any(share(denied.focus, clause.said) >= OPENLY for clause in clauses)


def _names_something(denied: Denied, mentions: Sequence[Mention]) -> bool:
    named = {mention.value for mention in mentions if mention.kind in {*NAMED, "symptom"}}
    return bool(denied.focus & named)
