"""A text cut into clauses, each the set of what it says: entities by canonical name, other characters as they are.

Two clauses say the same when they share most of it; that is how the guard finds the clause of the
polished answer that stands for one of the raw answer.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from builders.engine.entities import negation
from builders.engine.entities.automaton import Words
from builders.engine.entities.mentions import Mention, folded

SENTENCE = re.compile(rf"(?:(?!{negation.MARK}).)+")
FILLERS = frozenset(
    "的了吗呢吧啊哦也都还就才再又很太更最请您你我他她它们这那个会要能可以是有在到对把被给让与和及或并而且但所为因如若则即便去来着过得地时候后之其该应需建议予吃喝饮服用做使食进行目前现在先暂时已经曾开始情况一些点下不没无未别勿 \ue000、“”\"'（）()《》[]_"
)
"""Characters that carry no content of their own."""
NAMED = frozenset({"disease", "symptom", "drug", "test"})
MEASURED = frozenset({"dose", "frequency", "duration", "number", "side"})
EXCHANGED = frozenset({"dose", "frequency"})
NOTHING = "_"
"""Stands first in a line of words that carry no content: 马上, 随便."""
_SAME = Path(__file__).parent / "words" / "same.txt"


class Clause(NamedTuple):
    """What stands between two marks."""

    start: int
    end: int
    said: frozenset[str]
    """What it says, without what it denies."""
    topic: frozenset[str]
    """Everything in it but amounts and sides."""
    amounts: frozenset[tuple[str, str]]
    """Doses, frequencies and drugs, as (kind, value)."""
    sides: tuple[str, ...]
    """Left, right or both, as it says itself."""
    about: tuple[str, ...]
    """The same, or else those of the clause before: 左腿抬高，不要按摩 speaks of the left leg twice."""


class Denied(NamedTuple):
    """Something that a text denies or advises against."""

    text: str
    focus: frozenset[str]
    """What is denied: what follows the cue, else what stands before it."""
    letters: frozenset[str]
    """The focus, character by character."""
    around: frozenset[str]
    """The focus and the rest of its clause up to there."""
    cue: str
    """Its first character."""
    back: bool
    """The focus stands before the cue: 头孢不能吃."""
    place: int
    """Number of its clause."""


class Reading(NamedTuple):
    """A text as the guard compares it."""

    text: str
    mentions: Sequence[Mention]
    clauses: Sequence[Clause]
    denied: Sequence[Denied]

    def intake(self, *, ahead: bool = False) -> dict[tuple[str, str], set[str]]:
        """(drug, dose or frequency) -> values, each with the drug before it, or after it when looking ahead."""
        found: dict[tuple[str, str], set[str]] = {}
        drug = ""
        for mention in reversed(self.mentions) if ahead else self.mentions:
            if mention.kind == "drug":
                drug = mention.value
            elif drug and mention.kind in EXCHANGED:
                found.setdefault((drug, mention.kind), set()).add(mention.value)
        return found


def read(text: str, mentions: Sequence[Mention]) -> Reading:
    """Clauses and denials of a text whose mentions are known."""
    plain = folded(text)
    masked = negation.hide(plain, ((one.start, one.end) for one in mentions if one.kind in NAMED))
    content = _Content(plain, mentions)
    denials = list(negation.denials(masked))
    spans = [(found.start(), found.end()) for found in SENTENCE.finditer(plain)]
    taken = {one.value for one in mentions if one.kind == "drug"}
    denied = [_denied(found, content, spans, plain, taken) for found in denials]
    return Reading(text, mentions, list(_clauses(spans, plain, content, denials, mentions)), denied)


def share(part: frozenset[str], whole: Iterable[str]) -> float:
    """How much of a content stands in another, 0 to 1; a word counts for two characters."""
    total = sum(map(_weight, part))
    return sum(map(_weight, part.intersection(whole))) / total if total else 0.0


def _weight(unit: str) -> int:
    return min(len(unit), 2)


class _Content:
    """The content of any stretch of a text."""

    def __init__(self, plain: str, mentions: Sequence[Mention]) -> None:
        self._units: list[tuple[int, str]] = []
        last = 0
        for mention in (one for one in mentions if one.kind != "vague"):
            if mention.start < last:
                continue
            self._units += _characters(plain, last, mention.start)
            self._units.append((mention.start, mention.value))
            last = mention.end
        self._units += _characters(plain, last, len(plain))

    def between(self, start: int, end: int) -> Iterator[str]:
        """Entities and content characters that begin in a stretch."""
        return (unit for at, unit in self._units if start <= at < end)


def _characters(plain: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    stretch, last = plain[start:end], 0
    words, single = _same()
    for first, stop, unit in (*words.find(stretch), (len(stretch), len(stretch), "")):
        for at in range(last, first):
            sign = single.get(stretch[at], stretch[at])
            if sign not in FILLERS:
                yield start + at, sign
        if unit and unit != NOTHING:
            yield start + first, unit
        last = stop


@cache
def _same() -> tuple[Words[str], dict[str, str]]:
    """Words that say the same, and single characters that do."""
    lines = [line.split() for line in _SAME.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    means = {word: line[0] for line in lines for word in line}
    single = {word: first for word, first in means.items() if len(word) == 1}
    return Words({word: first for word, first in means.items() if len(word) > 1}), single


def _denied(
    found: negation.Denial, content: _Content, spans: Sequence[tuple[int, int]], plain: str, drugs: set[str]
) -> Denied:
    ahead = frozenset(content.between(found.start, found.end))
    before = frozenset(content.between(found.before, found.cue))
    if not ahead and not before:
        earlier = [span for span in spans if span[1] <= found.before]
        before = frozenset(content.between(*earlier[-1])) if earlier else before
    back = not ahead or (sum(map(_weight, ahead)) == 1 and bool(before & drugs))  # 头孢不能吃, 阿司匹林不能碰
    return Denied(
        text=plain[found.before if back else found.cue : found.end],
        focus=before if back else ahead,
        letters=frozenset() if back else frozenset(plain[found.start : found.end]) - FILLERS,
        around=ahead | before,
        cue=plain[found.cue],
        back=back,
        place=next((number for number, span in enumerate(spans) if span[0] <= found.cue < span[1]), -1),
    )


def _clauses(
    spans: Iterable[tuple[int, int]],
    plain: str,
    content: _Content,
    denials: Sequence[negation.Denial],
    mentions: Sequence[Mention],
) -> Iterator[Clause]:
    about: tuple[str, ...] = ()
    for start, end in spans:
        inside = [one for one in mentions if start <= one.start < end]
        sides = tuple(one.value for one in inside if one.kind == "side")
        about = sides or (about if plain[start - 1 : start] in {",", "，"} else ())
        measured = {one.value for one in inside if one.kind in MEASURED}
        said, last = list[str](), start
        for found in denials:
            if start <= found.cue < end:
                said += content.between(last, found.cue)
                last = max(last, min(found.end, end))
        said += content.between(last, end)
        yield Clause(
            start,
            end,
            said=frozenset(said),
            topic=frozenset(content.between(start, end)) - measured,
            amounts=frozenset((one.kind, one.value) for one in inside if one.kind in EXCHANGED),
            sides=sides,
            about=about,
        )
