"""Left, right and both, with the part of the body they belong to: 左腿, 左下肢 and 左侧下肢 are one."""

import re
from collections.abc import Iterator
from typing import NamedTuple

PARTS = {
    "腿": "大腿 小腿 下肢 腿部 腿",
    "脚": "脚踝 踝关节 踝 脚趾 脚跟 足跟 足底 脚 足",
    "胳膊": "胳膊 上臂 前臂 手臂 上肢 臂",
    "手": "手腕 手掌 手指 腕关节 腕 拇指 食指 手",
    "膝": "膝盖 膝关节 膝",
    "髋": "髋关节 髋部 髋 股骨头 股骨",
    "肩": "肩膀 肩关节 肩部 肩 锁骨",
    "肘": "肘关节 肘",
    "头": "偏头 头部 头 颞部 颞 额头 额",
    "脸": "面部 脸部 脸颊 面颊 脸 面 腮",
    "眼": "眼睛 眼皮 眼睑 眼部 眼 目",
    "耳": "耳朵 耳部 耳",
    "鼻": "鼻腔 鼻孔 鼻",
    "颈": "颈部 脖子 颈",
    "胸": "胸部 胸腔 胸口 胸",
    "乳房": "乳房 乳腺 乳头 乳",
    "肺": "肺部 上肺 下肺 肺",
    "腹": "上腹部 下腹部 上腹 下腹 腹部 小腹 腹股沟 腹",
    "肋": "肋骨 肋部 肋下 肋 季肋 胁",
    "腰": "腰部 腰",
    "臀": "臀部 屁股 臀",
    "肾": "肾脏 肾",
    "输尿管": "输尿管",
    "卵巢": "卵巢 附件",
    "输卵管": "输卵管",
    "睾丸": "睾丸 附睾 精索 阴囊",
    "甲状腺": "甲状腺",
    "扁桃体": "扁桃体",
    "肝": "肝",
    "脑": "脑部 脑 基底节 大脑",
    "心": "心房 心室 心",
    "牙": "牙 牙齿 智齿",
    "肢体": "肢体 身体 半身 身",
}
_PART_OF = {name: part for part, names in PARTS.items() for name in names.split()}
_PARTS = "|".join(sorted(_PART_OF, key=len, reverse=True))
SIDE = re.compile(
    rf"(?P<both>左右(?:两侧|双侧|两边|侧)|双侧|两侧|两边|双(?=[肺眼耳手脚腿膝肾乳足肩臂髋下上])|两(?=只?[眼耳手脚腿膝肾肩肺]))|(?P<side>[左右])(?!右|旋|氧|卡尼|乙拉|炔诺|不过|撇子)"
    rf"(?:侧|边|方|面(?!瘫|部|颊|肌|神经)|半|上(?=肺|叶)|下(?=肺|叶))?的?(?P<part>{_PARTS})?"
)


LONGEST = max(map(len, _PART_OF))
_BEFORE = re.compile(rf"(?:{_PARTS})$")


class Side(NamedTuple):
    """A place, and "left 腿", "right" or "both"."""

    start: int
    end: int
    value: str


def find(text: str) -> Iterator[Side]:
    """Sides of a folded text, left to right; 左右 of an amount is none."""
    for found in SIDE.finditer(text):
        if found["both"]:
            yield Side(found.start(), found.end(), "both")
        elif found["side"] == "左" or text[found.start() - 1 : found.start()] != "左":
            name = "left" if found["side"] == "左" else "right"
            part = _PART_OF.get(found["part"] or "") or _part_before(text[: found.start()])
            yield Side(found.start(), found.end(), f"{name} {part}" if part else name)


def _part_before(text: str) -> str | None:
    """睾丸右边 is the right testicle."""
    found = _BEFORE.search(text[-LONGEST:])
    return _PART_OF[found[0]] if found else None
