"""The words that are no names: everyday words that begin with a surname, places, and all medicine that we know."""

import re
from functools import cache
from pathlib import Path

from builders.engine.privacy.spans import words

MEDICAL = Path(__file__).parents[1] / "entities" / "words"
LONGEST = 7
"""Characters that a word is looked for with; a longer one begins with another word or like one."""


@cache
def lexicon() -> frozenset[str]:
    """Every word, cut to LONGEST characters."""
    listed = words("not_names") | words("endings") | words("places") | words("everyday")
    lines = (
        line
        for name in ("drugs", "diseases", "symptoms", "tests")
        for line in (MEDICAL / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    )
    named = (word for line in lines for word in re.split(r"\s*[=,]\s*", line.strip()))
    return frozenset(word[:LONGEST] for word in (*listed, *named) if len(word) > 1)


def word_at(text: str, start: int) -> int:
    """How long the longest word is that begins there; 0 where none does."""
    known = lexicon()
    return next((size for size in range(LONGEST, 1, -1) if text[start : start + size] in known), 0)


def covered(text: str, start: int) -> bool:
    """Whether a word that begins earlier reaches over a place: 黄 in 牛黄."""
    known = lexicon()
    return any(
        text[first : first + size] in known
        for first in range(max(0, start - 4), start)
        for size in range(start - first + 1, LONGEST)
    )
