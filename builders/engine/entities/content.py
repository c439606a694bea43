"""What a stretch of text says, as a set: entities by canonical name, other characters as they are, synonyms as one."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from builders.engine.entities.automaton import Words
from builders.engine.entities.mentions import Mention

FILLERS = frozenset(
    "像象话的了吗呢吧啊哦也都还就才再又很太更最请您你我他她它们这那个会要能可以是有在到对把被给让与和及或并而且但所为因如若则即便去来着过得地时候后之其该应需建议予吃喝饮服用做使食进行目前现在先暂时已经曾开始情况一些点下不没无未别勿 \ue000、“”\"'（）()《》[]_"
)
"""Characters that carry no content of their own, or deny it."""
NOTHING = "_"
"""Stands first in a line of words that carry no content: 马上, 随便."""
_SAME = Path(__file__).parent / "words" / "same.txt"


class Content:
    """The content of any stretch of a folded text."""

    def __init__(self, plain: str, mentions: Sequence[Mention]) -> None:
        units: list[tuple[int, str]] = []
        last = 0
        for mention in (one for one in mentions if one.kind != "vague"):
            if mention.start < last:
                continue
            units += _characters(plain, last, mention.start)
            units.append((mention.start, mention.value))
            last = mention.end
        units += _characters(plain, last, len(plain))
        self._places = [place for place, _ in units]
        self._words = [word for _, word in units]

    def between(self, start: int, end: int) -> frozenset[str]:
        """Entities and content characters that begin in a stretch."""
        first, last = (bisect_left(self._places, place) for place in (start, end))
        return frozenset(self._words[first:last])


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


def share(part: frozenset[str], whole: Iterable[str]) -> float:
    """How much of a content stands in another, 0 to 1; a word counts for two characters."""
    common = part.intersection(whole)
    return weight(common) / weight(part) if common else 0.0


def weight(content: Iterable[str]) -> int:
    """A word counts for two characters."""
    return sum(min(len(unit), 2) for unit in content)
