"""What a careless teacher does to a doctor's words: each slip is one that the guard over a rewriting has to notice."""

import re
from collections.abc import Callable
from random import Random

from builders.engine.rehearsal.phrases import phrases
from builders.engine.rehearsal.sentences import AMOUNT, joined, names_something, sentences

Slip = Callable[[str, Random], str]
"""Gives the text back as it is where there is nothing to get wrong."""

DENIALS = {
    "不能": "能",
    "不可以": "可以",
    "不可": "可",
    "不要": "要",
    "不宜": "宜",
    "不会": "会",
    "不是": "是",
    "不建议": "建议",
    "不需要": "需要",
    "没有": "有",
    "避免": "适当",
    "禁止": "允许",
}
ASSENTS = {"可以": "不可以", "建议": "不建议", "需要": "不需要", "应该": "不应该", "能够": "不能够", "考虑": "不考虑"}
DENIED = re.compile(rf"(?<![有是会能要])(?:{'|'.join(sorted(DENIALS, key=len, reverse=True))})")
"""Not in 有没有, 是不是, 能不能."""
AFFIRMED = re.compile(rf"(?<![不没])(?:{'|'.join(ASSENTS)})")
SIDE = re.compile("左(?![右氧旋甲炔归卡西])|(?<!左)右(?![旋美归])")
"""Left and right, but not 左右 (about) nor the drugs that begin with them."""
FREQUENCY = re.compile(
    r"((?:每|[一1])\s*(?:日|天|周|晚)|日)(\s*)([一二两三四五六1-6])(?=\s*(?:-|~|到|至)?\s*[\d一二三四]?\s*次)"
)
MORE = dict(zip("一二两三四五六123456", "二三三四五六八234568", strict=True))
SHORTEST_TO_CUT = 24


def lose_amount(text: str, rng: Random) -> str:
    """Leave out a dose, a value or a duration."""
    found = list(AMOUNT.finditer(text))
    return _replaced(text, rng.choice(found), "") if found else text


def invent_drug(text: str, rng: Random) -> str:
    """Add a drug the doctor never named."""
    drugs = [drug for drug in phrases().rewriting["invented"] if drug[:3] not in text]
    return joined([text, f"可同时服用{rng.choice(drugs)}。"]) if drugs else text


def flip_negation(text: str, rng: Random) -> str:
    """Drop a negation, or deny what was affirmed when there is none to drop."""
    if denied := list(DENIED.finditer(text)):
        found = rng.choice(denied)
        return _replaced(text, found, DENIALS[found[0]])
    affirmed = list(AFFIRMED.finditer(text))
    if not affirmed:
        return text
    found = rng.choice(affirmed)
    return _replaced(text, found, ASSENTS[found[0]])


def swap_sides(text: str, _: Random) -> str:
    """Take left for right throughout."""
    return SIDE.sub(lambda found: "右" if found[0] == "左" else "左", text)


def change_frequency(text: str, rng: Random) -> str:
    """Give a drug more often than the doctor does."""
    found = list(FREQUENCY.finditer(text))
    if not found:
        return text
    one = rng.choice(found)
    return _replaced(text, one, one[1] + one[2] + MORE[one[3]])


def cut_short(text: str, _: Random) -> str:
    """Stop half way."""
    return text[: len(text) // 2] if len(text) >= SHORTEST_TO_CUT else text


def lose_sentence(text: str, rng: Random) -> str:
    """Leave out a sentence that names a drug, a disease or a test."""
    said = sentences(text)
    lost = [place for place, sentence in enumerate(said) if names_something(sentence)]
    if len(said) < 2 or not lost:
        return text
    del said[rng.choice(lost)]
    return joined(said)


SLIPS: tuple[Slip, ...] = (
    lose_amount,
    invent_drug,
    flip_negation,
    swap_sides,
    change_frequency,
    cut_short,
    lose_sentence,
)


def slipped(text: str, rng: Random) -> str:
    """The text with one slip in it, any that it gives occasion for; inventing a drug is always possible."""
    for slip in rng.sample(SLIPS, len(SLIPS)):
        if (wrong := slip(text, rng)) != text:
            return wrong
    return text


def _replaced(text: str, found: re.Match[str], by: str) -> str:
    return text[: found.start()] + by + text[found.end() :]
