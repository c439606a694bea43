"""Private things become typed, numbered placeholders, the same thing the same one throughout a dialogue.

mask_all(["我叫王小明，电话13800138000", "王小明你好，我是张医生"]).texts
# ('我叫[姓名1]，电话[电话1]', '[姓名1]你好，我是[姓名2]医生')
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from builders.engine.privacy.find import find
from builders.engine.privacy.lexicon import word_at
from builders.engine.privacy.nicknames import PETS
from builders.engine.privacy.spans import BLANK, LABELS, PLACEHOLDER, Hit, any_of, folded, settle

EVERYWHERE = frozenset(("name", "hospital", "chat", "address"))
"""Kinds that are looked for by their text once they have been seen; the others look private wherever they stand."""
KIND_OF = {label: kind for kind, label in LABELS.items()}


class Masked(NamedTuple):
    """The turns of a dialogue without what was private, and how much of each kind there was."""

    texts: tuple[str, ...]
    counts: dict[str, int]


class Mask:
    """Masks the texts of one dialogue, one after the other.

    `known` are (kind, text) pairs from structured fields, such as the doctor's name; they are masked wherever they
    stand. A single character is not: it would be found in words.
    """

    def __init__(self, known: Iterable[tuple[str, str]] = ()) -> None:
        self.counts: Counter[str] = Counter()
        """Masked so far, by kind: every place, not every different thing."""
        self._numbers: dict[tuple[str, str], int] = {}
        self._last: Counter[str] = Counter()
        self._known: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None
        self.learn(known)

    def learn(self, known: Iterable[tuple[str, str]]) -> None:
        """Mask these (kind, text) pairs, too, from now on."""
        for kind, text in known:
            if kind not in LABELS:
                raise ValueError(f"kind must be one of {', '.join(LABELS)}, got {kind!r}")
            if len(text.strip()) > 1:
                self._known[folded(text.strip())] = kind
                self._pattern = None

    def reserve(self, text: str) -> None:
        """Give the numbers of the placeholders in a text to nothing else."""
        for label, number in PLACEHOLDER.findall(text):
            self._last[KIND_OF[label]] = max(self._last[KIND_OF[label]], int(number))

    def __call__(self, text: str) -> str:
        """The text with every hit replaced and everything else as it is."""
        self.reserve(text)
        while hits := self._hits(text):
            self.learn(worth_remembering(hits))
            text = replaced(text, hits, self._placeholder)
        return text

    def _hits(self, text: str) -> list[Hit]:
        if not self._known:
            return find(text)
        if self._pattern is None:
            self._pattern = re.compile(any_of(self._known))
        flat = folded(text)
        known = [
            Hit(self._known[found[0]], *found.span(), text[slice(*found.span())])
            for found in self._pattern.finditer(flat)
            if BLANK not in found[0]
        ]
        return settle([*known, *find(text)], tuple(LABELS)) if known else find(text)

    def _placeholder(self, hit: Hit) -> str:
        self.counts[hit.kind] += 1
        thing = (hit.kind, re.sub(r"[\s-]", "", folded(hit.text)))
        if thing not in self._numbers:
            self._last[hit.kind] += 1
            self._numbers[thing] = self._last[hit.kind]
        return f"[{LABELS[hit.kind]}{self._numbers[thing]}]"


def mask_all(texts: Sequence[str], known: Iterable[tuple[str, str]] = ()) -> Masked:
    """A dialogue masked as a whole: what any turn shows to be private is masked in earlier turns, too."""
    mask = Mask(known)
    for text in texts:
        mask.reserve(text)
        mask.learn(worth_remembering(find(text)))
    return Masked(tuple(mask(text) for text in texts), dict(mask.counts))


def worth_remembering(hits: Iterable[Hit]) -> list[tuple[str, str]]:
    """The (kind, text) pairs that are safe to mask without their cue."""
    return [(hit.kind, hit.text) for hit in hits if hit.kind in EVERYWHERE and distinctive(hit)]


def distinctive(hit: Hit) -> bool:
    """Whether a hit cannot be part of an ordinary word elsewhere."""
    return len(hit.text) > 1 and not word_at(hit.text, 0) and not re.fullmatch(PETS, hit.text)


def replaced(text: str, hits: Sequence[Hit], placeholder: Callable[[Hit], str]) -> str:
    """The text with each hit, in order and without overlaps, replaced."""
    pieces: list[str] = []
    end = 0
    for hit in hits:
        pieces += (text[end : hit.start], placeholder(hit))
        end = hit.end
    return "".join(pieces) + text[end:]
