"""Does a rewritten answer say medically the same as the raw one? What was lost, what was invented.

verdict = Guard(Lexicon.built_in()).compare("布洛芬5ml，不要吃头孢", "您好，布洛芬每次10毫升，请不要吃头孢")
verdict.lost        # (Change(kind="dose", value="5 ml", text="5ml"),)
verdict.invented    # (Change(kind="dose", value="10 ml", text="10毫升"),)
"""

from collections.abc import Iterator
from typing import NamedTuple

from builders.engine.entities import checks, clauses, naming, polarity, qualifiers
from builders.engine.entities.clauses import Reading
from builders.engine.entities.lexicon import Lexicon
from builders.engine.entities.mentions import folded


class Change(NamedTuple):
    """One thing that one text has and the other has not."""

    kind: str
    """disease, drug, test, dose, frequency, duration, number, side, negation or qualifier."""
    value: str
    """Canonical, as in a mention."""
    text: str
    """As the text has it."""


class Verdict(NamedTuple):
    """What a rewriting did to the medicine."""

    lost: tuple[Change, ...]
    """Of the raw text, and no longer there."""
    invented: tuple[Change, ...]
    """Of the polished text, and not in the raw one."""
    kept: int
    """Things of the raw text that survived."""

    @property
    def retention(self) -> float:
        """Share of the raw text's guarded things that survived; 1.0 when it has none."""
        return self.kept / (self.kept + len(self.lost)) if self.lost else 1.0

    @property
    def faithful(self) -> bool:
        """Nothing lost and nothing invented."""
        return not self.lost and not self.invented


class Guard:
    """Compares texts by a lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon = lexicon

    def compare(self, raw: str, polished: str) -> Verdict:
        """What `polished` lost of `raw` and what it added; a thing said twice counts once."""
        ours, theirs = self._read(raw), self._read(polished)
        lost, invented = _changes(ours, theirs, dropped=True), _changes(theirs, ours, dropped=False)
        return Verdict(lost, invented, max(0, _guarded(ours) - len(lost)))

    def _read(self, text: str) -> Reading:
        return clauses.read(text, self._lexicon.mentions(text))


def _changes(one: Reading, other: Reading, *, dropped: bool) -> tuple[Change, ...]:
    found = {(kind, value): Change(kind, value, text) for kind, value, text in _differences(one, other, dropped)}
    return tuple(found.values())


def _differences(one: Reading, other: Reading, dropped: bool) -> Iterator[checks.Found]:
    yield from naming.names(one, other, dropped=dropped)
    for check in (checks.amounts, checks.exchanges, checks.sides, polarity.denials, polarity.turns):
        yield from check(one, other)
    for word in qualifiers.exchanged(folded(one.text), folded(other.text)):
        yield "qualifier", word, word


def _guarded(reading: Reading) -> int:
    """How many different things of a text are guarded."""
    mentions = {(one.kind, one.value) for one in reading.mentions if one.kind not in {"symptom", "vague"}}
    return len(mentions) + len(set(reading.denied))
