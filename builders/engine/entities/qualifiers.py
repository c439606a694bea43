"""Words that turn a diagnosis, a finding or an intake into another one: 急性 and 慢性, 饭前 and 饭后.

Losing one or adding one is how people write; one group's member in place of another is a change.
"""

import re
from collections.abc import Iterator

GROUPS = (
    "急性/亚急性/慢性",
    "良性/恶性",
    "阳性/阴性",
    "周围性/中枢性",
    "原发性/继发性|继发",
    "病毒性/细菌性/真菌性|霉菌性/支原体/滴虫性",
    "轻度|轻微|轻症/中度/重度|重症",
    "早期/中期/晚期",
    "先天性/后天性",
    "干性/湿性",
    "升高|增高|上升|偏高/降低|下降|偏低|减低",
    "饭前|餐前|食前|早饭前|早餐前|空腹/饭后|餐后|食后|进食后|饭中|随餐|餐中",
    "临睡|睡前/早上|早晨|清晨|晨起|晨间",
    "上腹/下腹",
    "上叶/中叶/下叶",
    "内侧/外侧",
    "上肢|胳膊|手臂/下肢|腿",
    "升级/降级",
    "冷敷|冰敷/热敷",
    "加量|增加剂量|加大剂量/减量|减少剂量",
    "初发/复发",
    "不超过|别超过|不要超过|不能超过|勿超过|不得超过|不宜超过|不可超过|至多|最多|以内|之内|不多于|不要多于|少于|控制在/可以超过|可超过",
    "多吃|多喝|多食/少吃|少喝|少食|不吃|不喝|忌食",
)
_WORDS = {
    word: (group, member)
    for group, line in enumerate(GROUPS)
    for member, words in enumerate(line.split("/"))
    for word in words.split("|")
}
_FIND = re.compile("|".join(sorted(_WORDS, key=len, reverse=True)))


def found(text: str) -> dict[int, dict[int, str]]:
    """Group -> member -> the word that says it."""
    said: dict[int, dict[int, str]] = {}
    for word in _FIND.findall(text):
        group, member = _WORDS[word]
        said.setdefault(group, {}).setdefault(member, word)
    return said


def exchanged(one: str, other: str) -> Iterator[str]:
    """Words of one folded text in whose place the other has another of their group."""
    ours, theirs = found(one), found(other)
    for group, members in ours.items():
        there = theirs.get(group, {})
        if there.keys() - members.keys():
            yield from (word for member, word in members.items() if member not in there)
