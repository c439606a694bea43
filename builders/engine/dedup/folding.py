"""What two texts may differ in and still be the same: a table from code point to code points, built once a run.

    Folding().text("Ｃ反應蛋白（CRP）偏高！")  # 'c反应蛋白crp偏高'

The table says the same as `text` for every text without combining sequences; texts that hold one (é written as e and an
accent) are told by `Folding.ODD` in the table and folded by `text` itself.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SWITCHES = ("nfkc", "case", "width", "punctuation", "simplified")
"""Compatibility forms; case; full and half width; all but letters and digits dropped; traditional characters."""

CODE_POINTS = 0x110000
PLANES = 0x40000
"""Code points that can stay in a folded text: planes 4 to 16 hold no letter."""
BASIC = 0x10000
NEWLINE = 10
MAY_MERGE = (range(0x3400), range(0xA000, 0xAC00), range(0xF900, BASIC), range(BASIC, 0x20000))
"""Where combining marks and what is made with them stand: all but Chinese characters and Hangul syllables."""
JAMO = (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))
"""Vowels and finals, which a Hangul syllable is made with."""
WIDE = re.compile("[　＀-￯]")
MANY = 0x80000000
"""A table entry with this bit stands for several code points: `MANY | start << 5 | count` in `Folding.spelled`."""


class Folding:
    """What the switches ask for, in this order: NFKC, Unicode case folding, simplified characters, letters and digits."""

    ODD = 0xFFFFFFFF
    """Table entry of a code point that may merge with its neighbour."""

    def __init__(self, switches: Iterable[str] = SWITCHES) -> None:
        asked = set(switches)
        self.switches = tuple(name for name in SWITCHES if name in asked)
        if unknown := sorted(asked - set(SWITCHES)):
            raise ValueError(f"fold must be of {', '.join(SWITCHES)}, got {unknown[0]!r}")
        self._extended = False

    def text(self, text: str) -> str:
        """The folded text; what folds to nothing stays as it is, so that two emoji are not the same text."""
        return self._folded(text) or text

    def _folded(self, text: str) -> str:
        if "nfkc" in self.switches:
            text = unicodedata.normalize("NFKC", text)
        elif "width" in self.switches:
            text = WIDE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
        if "case" in self.switches:
            text = text.casefold()
        if "simplified" in self.switches:
            text = text.translate(simplified())
        return re.sub(r"[\W_]+", "", text) if "punctuation" in self.switches else text

    @cached_property
    def table(self) -> "NDArray[np.uint32]":
        """uint32 (1,114,112,): the code point each becomes, 0 when it is dropped, MANY | … or ODD.

        Beyond the basic plane it is filled by `extend`, for texts that need it.
        """
        import numpy as np

        table = np.zeros(CODE_POINTS, np.uint32)  # the pages of planes never asked for cost no memory
        self.spelled: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self._fill(table, 0, BASIC)
        return table

    def extend(self) -> None:
        """Fill the table beyond the basic plane: emoji, rare characters."""
        if not self._extended:
            self._fill(self.table, BASIC, PLANES)
            self._extended = True
            if "punctuation" not in self.switches:
                import numpy as np

                self.table[PLANES:] = np.arange(PLANES, CODE_POINTS, dtype=np.uint32)

    def _fill(self, table: "NDArray[np.uint32]", first: int, end: int) -> None:
        import numpy as np

        points = np.arange(first, end, dtype=np.uint32)
        points = points[((points < 0xD800) | (points >= 0xE000)) & (points != NEWLINE)]
        folded = _points(self._each(points))
        ends = np.flatnonzero(folded == NEWLINE)
        starts = np.concatenate(([0], ends[:-1] + 1))
        counts = ends - starts
        single = (counts == 1) & (folded[starts] != 0)
        many = (counts > 0) & ~single  # NUL, where it is kept, must not look dropped
        table[points[single]] = folded[starts[single]]
        spelled = [folded[start:end] for start, end in zip(starts[many], ends[many], strict=True)]
        offsets = np.cumsum([len(self.spelled), *map(len, spelled)])[:-1].astype(np.uint32)
        table[points[many]] = np.uint32(MANY) | offsets << np.uint32(5) | counts[many].astype(np.uint32)
        self.spelled = np.concatenate([self.spelled, *spelled]).astype(np.uint32)
        if "punctuation" not in self.switches and first == 0:
            table[NEWLINE], table[0xD800:0xE000] = NEWLINE, 0xFFFD
        table[np.array([point for point in self._odd if first <= point < end], np.uint32)] = self.ODD

    def _each(self, points: "NDArray[np.uint32]") -> str:
        """Every code point folded on its own, each with a line break behind it."""
        import numpy as np

        lines = np.full((len(points), 2), NEWLINE, np.uint32)
        lines[:, 0] = points
        text = lines.tobytes().decode("utf-32-le")
        if "punctuation" not in self.switches:
            return self._folded(text)
        # the same pattern, but for the line breaks that keep the code points apart
        kept = Folding(name for name in self.switches if name != "punctuation")._folded(text)
        return re.sub(r"[^\w\n]|_", "", kept)

    @cached_property
    def _odd(self) -> frozenset[int]:
        """Code points that may merge with, or change places with, the one before them."""
        if "nfkc" not in self.switches:
            return frozenset()
        points = [chr(point) for span in MAY_MERGE for point in span if point != NEWLINE]
        apart = unicodedata.normalize("NFD", "\n".join(points)).split("\n")
        odd = {mark for letters in apart for mark in letters[1:]} | {chr(jamo) for jamo in JAMO}
        if "punctuation" not in self.switches:  # marks stay, and their order is part of the normal form
            odd |= {point for point in points if unicodedata.combining(point)}
        compatible = unicodedata.normalize("NFKC", "\n".join(points)).split("\n")
        odd |= {point for point, letters in zip(points, compatible, strict=True) if letters[:1] in odd}
        return frozenset(map(ord, odd))


@cache
def simplified() -> dict[int, str]:
    """Traditional character to its simplified form, as `str.translate` takes it."""
    lines = (Path(__file__).parent / "simplified.txt").read_text(encoding="utf-8").splitlines()[1:]
    return {ord(pair[0]): pair[1] for line in lines for pair in line.split()}


def _points(text: str) -> "NDArray[np.uint32]":
    import numpy as np

    return np.frombuffer(text.encode("utf-32-le"), np.uint32)
