"""A private stretch of text, and what every detector stands on: folded text, word lists, and which of two hits wins."""

import re
from bisect import bisect
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

LABELS = {
    "name": "姓名",
    "hospital": "医院",
    "phone": "电话",
    "id_number": "证件号",
    "chat": "社交账号",
    "mail": "邮箱",
    "url": "网址",
    "address": "地址",
    "date": "日期",
    "record": "编号",
}
"""Every kind, with the word its placeholders carry."""
PLACEHOLDER = re.compile(rf"\[({'|'.join(LABELS.values())})(\d+)\]")
BLANK = "\0"
"""Stands for every character of a placeholder while a text is searched: no pattern matches it."""
HALF_WIDTH = {**{wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)}, 0x3000: 0x20} | dict.fromkeys(
    map(ord, "‐‑–—―−"), 0x2D
)
"""Full-width ASCII, the wide space and all dashes; one character becomes one, so positions hold."""
HAN = "[一-龥]"


class Hit(NamedTuple):
    """Something private: its kind (see LABELS), where it stands, and its text as written."""

    kind: str
    start: int
    end: int
    text: str


def folded(text: str) -> str:
    """Half width and with one dash, of the same length; placeholders are blanked."""
    return PLACEHOLDER.sub(lambda found: BLANK * len(found[0]), text).translate(HALF_WIDTH)


def settle(hits: Iterable[Hit], rank: Sequence[str]) -> list[Hit]:
    """Without overlaps, in order: the kinds named first win, then the longer one, then an address before a name."""
    order = {kind: place for place, kind in enumerate(rank)}
    kept: list[Hit] = []
    for hit in sorted(
        set(hits), key=lambda hit: (order.get(hit.kind, len(order)), hit.start - hit.end, hit.start, hit.kind)
    ):
        place = bisect(kept, hit.start, key=lambda other: other.start)
        free_before = place == 0 or kept[place - 1].end <= hit.start
        if free_before and (place == len(kept) or hit.end <= kept[place].start):
            kept.insert(place, hit)
    return kept


@cache
def words(name: str) -> frozenset[str]:
    """A word list of the folder `words`, without its comments."""
    lines = (Path(__file__).parent / "words" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def letters(*names: str) -> str:
    """The characters of word lists that are lists of characters."""
    return "".join(sorted({letter for name in names for word in words(name) for letter in word}))


def any_of(listed: Iterable[str]) -> str:
    """An expression for the longest of the words that stands at a place, as a trie: tried once a character."""
    branches: dict[str, list[str]] = {}
    for word in sorted(listed):
        branches.setdefault(word[:1], []).append(word[1:])
    whole = branches.pop("", None) is not None
    inner = "|".join(re.escape(first) + any_of(rest) for first, rest in branches.items())
    return f"(?:{inner})?" if whole and inner else f"(?:{inner})" if inner else ""
