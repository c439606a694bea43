"""What a text speaks of, where, and whether it denies it."""

from functools import cache
from typing import NamedTuple

from builders.engine.dedup.folding import simplified

WIDE_LATIN = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
"""Full-width letters, digits and signs; ，。； and their like stay what they are."""
KEPT = {ord(sign) for sign in "，；：！？"}


class Mention(NamedTuple):
    """One thing that a text speaks of."""

    kind: str
    """disease, symptom, drug, test, dose, frequency, duration, number, side or vague (第10天, 每天)."""
    start: int
    end: int
    text: str
    """As the text has it, `text[start:end]`."""
    value: str
    """Canonical: 阿莫西林, "500 mg", "3/day", "14 day", "left 腿"."""
    negated: bool
    """Denied (没有发热), ruled out, or advised against (禁用, 不建议)."""


def folded(text: str) -> str:
    """Lower case, half width, simplified characters; every character stays in its place."""
    return text.translate(_table())


@cache
def _table() -> dict[int, int]:
    table = {code: ord(form) for code, form in simplified().items() if len(form) == 1}
    table |= {code: half for code, half in WIDE_LATIN.items() if code not in KEPT}
    upper = [*range(ord("A"), ord("Z") + 1), *(code for code, half in WIDE_LATIN.items() if chr(half).isupper())]
    table |= {code: ord(chr(WIDE_LATIN.get(code, code)).lower()) for code in upper}
    table |= {ord("Ⅰ") + step: ord("1") + step for step in range(9)} | {
        ord("ⅰ") + step: ord("1") + step for step in range(9)
    }
    return table | {ord("　"): ord(" "), ord("µ"): ord("μ"), ord("～"): ord("~"), ord("，"): ord("，")}
