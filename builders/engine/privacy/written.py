"""Names that are told by how they are written: half hidden (王某某), a surname alone (我姓王), of other languages, signed."""

import re
from collections.abc import Iterator

from builders.engine.privacy.lexicon import covered, word_at
from builders.engine.privacy.scores import DOUBLE, is_role
from builders.engine.privacy.spans import HAN, any_of, letters, words

ANY_SURNAME = f"(?:{any_of(DOUBLE)}|[{letters('surnames', 'doubtful_surnames', 'wordlike_surnames')}])"
ONLY_SURNAME = re.compile(
    rf"(?:我|免贵|敝|贵|本人|患者|病人|医生|大夫|他|她|(?<![一-龥]))姓[是:]?[ ]?(?P<hit>{ANY_SURNAME})(?=[,。!?;、 ]|$|的|名|今|男|女)"
)
HIDDEN = re.compile(
    rf"(?P<hit>(?:{any_of(DOUBLE)}|[{letters('surnames')}]|(?<![一-龥])[{letters('doubtful_surnames')}])(?:某(?:某{{1,2}}|{HAN}(?=[,。 ]))?(?![些种个项天年月次地])|[xX]{{2,3}}(?![A-Za-z0-9])|[×○〇]{{1,3}}|[*]{{1,3}}|{HAN}[*×]))"
)
SIGNED = re.compile(rf"-{{2,}}[ ]?(?P<hit>[{letters('surnames')}]{HAN}{{1,2}})[ ]*$", re.MULTILINE)
SOUNDS = "阿艾埃爱安奥巴拜比别波布卜达代迪德丁多尔法费夫甫格古哈海罕赫霍吉加江杰卡凯克孔库拉莱兰里力丽利林卢鲁伦罗洛马玛麦买曼米莫木穆娜乃南尼努诺帕派佩皮普齐其恰茜切萨赛沙莎山舍什斯苏索塔泰坦汤特提图吐托瓦万旺维温乌西希夏谢辛雅亚扬耶叶伊衣依尤于约扎则泽孜祖仁才让措卓央次旦增顿珠桑班姆热迈合伯凡杜"
"""Characters that names of other languages are written with."""
DOTTED = re.compile(rf"(?P<hit>[{SOUNDS}]{{2,8}}[·•‧・][{SOUNDS}]{{2,8}})")
PARTS = any_of(words("other_names"))
COMPOSED = re.compile(rf"(?P<hit>{PARTS}{{2,3}})")
"""Tibetan, Mongolian and Uyghur names of two parts: 扎西次仁, 萨仁高娃."""
CAPITAL = r"[A-Z][a-z]+(?:['-][A-Z]?[a-z]+)*"
NO_ENGLISH_NAME = r"(?!(?:Please|Can|Could|What|Who|The|Hello|Hi|How|Is|Are|Do|Does|Why|When|Where|Thank|Thanks|Yes|No|Not|My|He|She|It|They|We|And|But|So|If|In|Appointment|Visit|Office|Said|Your|You|This|That|There|Here|Sorry|Okay|Ok|Well|Just|Maybe|Because|Anything|Any)\b)"
ENGLISH = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mister|Dr|Prof|Doctor|Professor|Nurse)\b\.?[ ]{NO_ENGLISH_NAME}(?P<hit>{CAPITAL}(?:[ ](?:[A-Z]\.[ ]?)?{NO_ENGLISH_NAME}{CAPITAL}){{0,2}})"
    rf"|(?i:\b(?:my name is|name is|name's|i am called|call me|patient name[: ]|patient's name[: is]*|name:)|(?:联系人?|姓名|我叫|名字叫?|英文名)[: ]?)[ ]?(?P<named>{NO_ENGLISH_NAME}{CAPITAL}(?:[ ](?:[A-Z]\.[ ]?)?{CAPITAL}){{0,2}})"
)
ENGLISH_HINT = re.compile("[A-Z][a-z]")
WRITTEN = (
    (re.compile("[某xX×○〇*]"), HIDDEN),
    (re.compile("姓"), ONLY_SURNAME),
    (re.compile("[·•‧・]"), DOTTED),
    (re.compile(PARTS), COMPOSED),
    (re.compile("--"), SIGNED),
)
"""What names look like, each with a cheap sign that it may be there."""


def written(text: str) -> Iterator[tuple[int, int]]:
    """Every name that its writing shows."""
    for hint, pattern in WRITTEN:
        for found in pattern.finditer(text) if hint.search(text) else ():
            start = after_role(text, *found.span("hit"))
            if not covered(text, start) and not word_at(text, start):
                yield start, found.end("hit")
    if ENGLISH_HINT.search(text):
        yield from (found.span("hit" if found["hit"] else "named") for found in ENGLISH.finditer(text))


def after_role(text: str, start: int, end: int) -> int:
    """Where a name begins whose first characters may belong to who it is: 丈夫阿卜杜拉."""
    sure = (at for at in range(min(start + 2, end - 2), start, -1) if is_role(text[max(0, at - 6) : at]))
    return next(sure, start)
