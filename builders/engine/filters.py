"""What is worth keeping: one filter, one function; each says why not, or nothing.

Text filters take a text and return a reason or None. Filters over a whole set (ROUGE-L, near-duplicates, verbs) are
objects that remember what they let through.
"""

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

REFUSAL = "refusal or AI phrase"
AI_PHRASES = re.compile(
    r"(作为|我(只)?是)(一个|一名|一款|一种)?(ai(?![a-z])|人工智能|大?(型)?语言模型|大模型|智能助手|聊天机器人)"
    r"|\bas an? (ai|artificial intelligence|(large )?language model)\b"
)
REFUSALS = re.compile(
    r"(很抱歉|对不起|抱歉).{0,12}(无法|不能|没办法)|无法(提供|回答|完成)(该|这个|这类|您的|你的)"
    r"|\bi('m| am) (sorry,? (but|i)\b|unable to (help|assist|provide|answer|give|offer|diagnose)\b)|\bi can(no|')t (help|assist|provide)\b"
)
"""On folded text: lower case, half width, straight apostrophes."""
BEYOND_TEXT = re.compile(
    r"https?://|www\.|\]\(|!\[|<img|\.(jpg|jpeg|png|gif|pdf|docx?|xlsx?|mp[34])\b|(下|上)图(所示|中|为|显示)|(如|见|看|根据|依据|参照|结合)(下|上)?图"
    r"|(这|那|本)(张|幅|段)(图|图片|照片|影像|视频|录音|音频)|(画|绘制|生成)一?(张|幅|个).{0,10}(图|插图|海报)"
    r"|(画|绘制|生成)(图片|插图|示意图|流程图|海报)|打开(链接|网页|附件)"
)
CJK = re.compile(r"[㐀-䶿一-鿿豈-﫿぀-ヿ가-힯]")
UNIT = re.compile(rf"{CJK.pattern}|(?:(?!{CJK.pattern})[^\W_])+")
ROUNDING = 1e-9
"""0.07 · 100 is a little more than 7 to a computer; a score at the cutoff must not be missed for it."""
FIRST_WORD_CODE = 0x40000
"""Words are compared as single code points from the unassigned planes on."""

VERB = re.compile(
    "解释|说明|介绍|阐述|描述|讲解|列出|列举|总结|归纳|概括|提炼|改写|重写|润色|缩写|扩写|翻译|比较|对比|区分|鉴别|分析|评估|评价|判断"
    "|推断|预测|计算|换算|估算|制定|设计|规划|安排|拟定|拟写|起草|撰写|编写|核对|检查|审核|校对|纠正|修改|提取|抽取|标注|分类|归类|排序"
    "|整理|汇总|梳理|推荐|建议|回答|解答|回复|模拟|扮演|转换|转述|给出|提供|指出|找出|挑出|补充|完善|优化|论证|反驳|讨论|解读|诊断"
    "|(?<![^请我你您,、:;。])(?:出|写|画|译)"
)
"""Task verbs; one of a single character only where a clause begins (出院 is no verb)."""
ENGLISH_VERB = re.compile(r"\s*(?:please\s+)?([a-z]+)\b", re.IGNORECASE)


def length(text: str, *, least: int, most: int) -> str | None:
    """Characters without surrounding space, both ends included."""
    size = len(text.strip())
    if size < least:
        return "too short"
    return "too long" if size > most else None


def speaks_as_ai(text: str) -> str | None:
    """「作为AI」 and its like, in either language."""
    return REFUSAL if AI_PHRASES.search(fold(text)) else None


def refuses(text: str) -> str | None:
    """An answer that is none: 「很抱歉，我无法……」, or one that speaks as an AI, in either language."""
    return REFUSAL if REFUSALS.search(fold(text)) else speaks_as_ai(text)


def beyond_text(text: str) -> str | None:
    """Links, images, files: what a text model can neither read nor make."""
    return "link or image" if BEYOND_TEXT.search(fold(text)) else None


def repeats_itself(text: str) -> str | None:
    """A model caught in a loop: under a third of the 12-character windows of a long text are different."""
    windows = [text[at : at + 12] for at in range(len(text) - 11)]
    return "repeats itself" if len(windows) > 60 and len(set(windows)) < len(windows) / 3 else None


def fold(text: str) -> str:
    """NFKC, lower case, straight apostrophes."""
    return unicodedata.normalize("NFKC", text).casefold().replace("’", "'")


def opening_verb(instruction: str) -> str | None:
    """The verb an instruction turns on: the first task verb in Chinese, the first word in English; None for questions."""
    folded = fold(instruction)
    if CJK.search(folded):
        found = None if re.search(r"[?？吗呢]\s*$", folded) else VERB.search(folded)
        return found[0] if found else None
    word = ENGLISH_VERB.match(folded)
    return word[1] if word and not folded.rstrip().endswith("?") else None


class VerbDiversity:
    """No verb may open more than a share of a group's instructions, once it opens `free` of them."""

    def __init__(self, *, share: float = 0.3, free: int = 4) -> None:
        self.share = share
        self.free = free
        self._verbs: dict[str, Counter[str]] = {}

    def overused(self, group: str, instruction: str) -> str | None:
        """The verb, when the group has too many of it already."""
        verb = opening_verb(instruction)
        seen = self._verbs.get(group, Counter())
        if verb is None or seen[verb] < self.free or seen[verb] < self.share * (seen.total() + 1):
            return None
        return verb

    def add(self, group: str, instruction: str) -> None:
        """Count an accepted instruction; questions count too, under no verb."""
        self._verbs.setdefault(group, Counter())[opening_verb(instruction) or "?"] += 1


class Nearest(NamedTuple):
    """The most similar text let through before, and how similar."""

    key: str
    score: float


class RougeL:
    """ROUGE-L F1 (Lin 2004, β = 1) of a text against every text before it: 2·LCS / (|a| + |b|), exact.

    Units are characters for CJK and words otherwise. No common subsequence is longer than what two texts share as bags
    of units, so the bags are intersected first, all at once, over posting lists; only texts that could reach the score
    are compared, by rapidfuzz's bit-parallel LCS. Nothing that reaches it is missed.
    """

    def __init__(self) -> None:
        self._words: dict[str, str] = {}
        self._texts: list[str] = []
        self._keys: list[str] = []
        self._sizes = array("I")
        self._postings: dict[tuple[str, int], array[int]] = {}
        """(unit, n) -> the texts in which the unit stands at least n + 1 times."""

    def nearest(self, text: str, at_least: float) -> Nearest:
        """The most similar text so far with this F1 or more; ("", 0.0) when there is none."""
        import numpy as np
        from rapidfuzz.distance import LCSseq

        units = self.units(text)
        lists = [self._postings[unit] for unit in _occurrences(units) if unit in self._postings]
        if not lists:
            return Nearest("", 0.0)
        shared = np.bincount(np.concatenate(lists), minlength=len(self._texts))
        total = np.frombuffer(self._sizes, dtype=np.uint32) + len(units)
        best = Nearest("", 0.0)
        for place in np.flatnonzero(2 * shared >= at_least * total - ROUNDING):
            score = 2 * LCSseq.similarity(units, self._texts[place]) / int(total[place])
            if score >= at_least - ROUNDING and score > best.score:
                best = Nearest(self._keys[place], score)
        return best

    def add(self, key: str, text: str) -> None:
        """Let a text through."""
        units = self.units(text)
        for unit in _occurrences(units):
            self._postings.setdefault(unit, array("I")).append(len(self._texts))
        self._keys.append(key)
        self._texts.append(units)
        self._sizes.append(len(units))

    def units(self, text: str) -> str:
        """One code point a unit: CJK characters as they are, words interned; punctuation and case are dropped."""
        return "".join(unit if CJK.match(unit) else self._word(unit) for unit in UNIT.findall(fold(text)))

    def _word(self, word: str) -> str:
        return self._words.setdefault(word, chr(FIRST_WORD_CODE + len(self._words)))


def _occurrences(units: str) -> Iterator[tuple[str, int]]:
    """Each unit with how often it stood before: a bag as a set."""
    seen: Counter[str] = Counter()
    for unit in units:
        yield unit, seen[unit]
        seen[unit] += 1


def first_reason(reasons: Iterable[str | None]) -> str | None:
    """The first filter that objects."""
    return next((reason for reason in reasons if reason), None)
