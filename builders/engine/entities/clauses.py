"""A text cut into clauses: what each says openly, denies, asks and supposes.

Two clauses say the same when they share most of it; that is how the guard finds the clause of the
polished answer that stands for one of the raw answer.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from builders.engine.entities import moods, negation
from builders.engine.entities.content import FILLERS, Content, weight
from builders.engine.entities.mentions import Mention, folded

SENTENCE = re.compile(rf"(?:(?!{negation.MARK}).)+")
NAMED = frozenset({"disease", "symptom", "drug", "test"})
MEASURED = frozenset({"dose", "frequency", "duration", "number", "side"})
EXCHANGED = frozenset({"dose", "frequency"})
ANYTHING = frozenset({"药物", "问题"})
"""What a denial may name without saying what it denies: 无需用药, 没发现问题."""
INJECT = "打针"
"""What the list of same words has for 打: 青霉素别打 forbids penicillin."""
COMMA = frozenset(",，")


class Clause(NamedTuple):
    """What stands between two marks."""

    start: int
    end: int
    text: str
    bare: str
    """The text without the characters that carry no content, nor deny."""
    said: frozenset[str]
    """What it says openly: without what it denies, asks or supposes."""
    topic: frozenset[str]
    """Everything in it but amounts and sides."""
    amounts: frozenset[tuple[str, str]]
    """Doses, frequencies and drugs, as (kind, value)."""
    sides: tuple[str, ...]
    """Left, right or both, as it says itself."""
    about: tuple[str, ...]
    """The same, or else those of the clause before: 左腿抬高，不要按摩 speaks of the left leg twice."""
    supposed: frozenset[str]
    """What it openly supposes: 过敏 of 如果过敏."""
    allows: bool
    """It recommends or permits."""
    asks: bool
    """It is a question."""


class Denied(NamedTuple):
    """Something that a text denies or advises against."""

    text: str
    focus: frozenset[str]
    """What is denied: what follows the cue, else what stands before it."""
    letters: frozenset[str]
    """The focus, character by character."""
    around: frozenset[str]
    """The focus and the rest of its clause up to there."""
    earlier: frozenset[str]
    """The clause before it."""
    force: negation.Force
    """How much it proves."""
    back: bool
    """The focus stands before the cue: 头孢不能吃."""
    borrowed: bool
    """Its own clause names nothing: the focus is the clause before."""
    place: int
    """Number of its clause."""


class Reading(NamedTuple):
    """A text as the guard compares it."""

    text: str
    mentions: Sequence[Mention]
    clauses: Sequence[Clause]
    denied: Sequence[Denied]

    def denied_in(self, place: int, *, soft: bool = False) -> frozenset[str]:
        """All that a clause denies."""
        there = (denied for denied in self.denied if denied.place == place and (soft or denied.force != "soft"))
        return frozenset[str]().union(*(denied.focus for denied in there))

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
    denials = list(negation.denials(masked))
    places = [_place(masked, found.start(), found.end()) for found in SENTENCE.finditer(plain)]
    reader = _Reader(text, plain, masked, Content(plain, mentions), places, mentions)
    return Reading(text, mentions, list(reader.clauses(denials)), [reader.denied(found) for found in denials])


class _Place(NamedTuple):
    """Where a clause stands, and the stretch of it that asks or supposes."""

    start: int
    end: int
    first: int
    last: int
    asks: bool
    """It is a question."""


def _place(masked: str, start: int, end: int) -> _Place:
    asks = moods.asks(masked, start, end)
    first, last = (0, end - start) if asks else moods.supposed(masked[start:end])
    return _Place(start, end, start + first, start + last, asks)


class _Reader:
    """A text on the way to clauses and denials."""

    def __init__(
        self,
        text: str,
        plain: str,
        masked: str,
        content: Content,
        places: Sequence[_Place],
        mentions: Sequence[Mention],
    ) -> None:
        self._text, self._plain, self._masked = text, plain, masked
        self._content, self._places, self._mentions = content, places, mentions
        self._drugs = {one.value for one in mentions if one.kind == "drug"}
        self._sides = {one.value for one in mentions if one.kind == "side"}
        self._measured = {one.value for one in mentions if one.kind in MEASURED}

    def denied(self, found: negation.Denial) -> Denied:
        """What a cue denies, and how firmly."""
        number = next(place for place, one in enumerate(self._places) if one.start <= found.cue < one.end)
        place = self._places[number]
        doubtful = place.first <= found.cue < place.last
        ahead = self._said(found.start, min(found.end, place.last) if doubtful else found.end)
        before = self._said(found.before, found.cue)
        earlier = self._said(*self._places[number - 1][:2]) if number else frozenset[str]()
        borrowed = ahead | before <= ANYTHING
        before = before if ahead or before else earlier
        verb = weight(ahead) == 1 or ahead == {INJECT}
        back = not ahead or (verb and bool(before & self._drugs))  # 头孢不能吃, 阿司匹林不能碰
        focus = before if back else ahead
        return Denied(
            text=self._text[found.before if back else found.cue : found.end],
            focus=focus,
            letters=frozenset() if back else frozenset(self._plain[found.start : found.end]) - FILLERS,
            around=ahead | before,
            earlier=earlier,
            force="doubtful" if doubtful else self._force(found, focus, borrowed),
            back=back,
            borrowed=borrowed,
            place=number,
        )

    def _force(self, found: negation.Denial, focus: frozenset[str], borrowed: bool) -> negation.Force:
        if (found.stops or borrowed) and not focus & self._drugs:
            return "idle"
        return "soft" if focus <= self._measured else found.force

    def _said(self, start: int, end: int) -> frozenset[str]:
        return self._content.between(start, end) - self._sides

    def clauses(self, denials: Sequence[negation.Denial]) -> Iterator[Clause]:
        """All clauses; what a whole clause supposes is said by the clause after it: 如果过敏，可以换药."""
        about: tuple[str, ...] = ()
        carried = frozenset[str]()
        for place in self._places:
            start, end, _, _, asks = place
            inside = [one for one in self._mentions if start <= one.start < end]
            cues = [found for found in denials if start <= found.cue < end]
            sides = tuple(one.value for one in inside if one.kind == "side")
            joined = self._plain[start - 1 : start] in COMMA
            about = sides or (about if joined else ())
            allows = moods.allows(self._masked[start:end])
            said, supposed = self._openly(place, cues), self._supposed(place, cues)
            follows = joined and (said or (allows and not cues))
            yield Clause(
                start,
                end,
                text=self._text[start:end],
                bare="".join(sign for sign in self._plain[start:end] if sign not in FILLERS),
                said=said | carried if follows else said,
                topic=self._content.between(start, end) - {one.value for one in inside if one.kind in MEASURED},
                amounts=frozenset((one.kind, one.value) for one in inside if one.kind in EXCHANGED),
                sides=sides,
                about=about,
                supposed=supposed,
                allows=allows,
                asks=asks,
            )
            carried = supposed if place.last == end and not cues else frozenset[str]()

    def _supposed(self, place: _Place, cues: Sequence[negation.Denial]) -> frozenset[str]:
        if place.asks:
            return frozenset()
        denied = (self._content.between(found.start, found.end) for found in cues)
        return self._content.between(place.first, place.last).difference(*denied)

    def _openly(self, place: _Place, cues: Sequence[negation.Denial]) -> frozenset[str]:
        """What a clause says: all of it, or what it allows before and after a denial."""
        start = place.last
        if not cues:
            return self._content.between(start, place.end)
        said = frozenset[str]()
        for found in cues:
            said |= self._allowed(start, found.cue)
            start = max(start, min(found.end, place.end))
        return said | self._allowed(start, place.end)

    def _allowed(self, start: int, end: int) -> frozenset[str]:
        return self._content.between(start, end) if moods.allows(self._masked[start:end]) else frozenset()
