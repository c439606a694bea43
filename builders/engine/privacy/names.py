"""People's names: whole ones by their points, beside a title (张医生), in a form (姓名：妮娜), nicknames, half hidden ones.

What one turn has shown, `mask_all` finds in every other turn.
"""

import re
from collections.abc import Iterator

from builders.engine.privacy.lexicon import covered, word_at
from builders.engine.privacy.nicknames import bounded, nicknamed
from builders.engine.privacy.scores import DOUBLE, DOUBTFUL, SURNAMES, TITLES, WORDLIKE, whole_names
from builders.engine.privacy.spans import HAN, Hit, letters
from builders.engine.privacy.written import ANY_SURNAME, written

TITLE = re.compile(rf"{TITLES}")
FORMAL = frozenset(("先生", "女士", "小姐"))
VERBS = frozenset("祝过向经任代由管包解")
SOMETIMES = frozenset("查时应成")
"""Surnames that are verbs or the like before any title but the formal ones: 「祝宝宝健康」, 「出院时医生说」."""
NO_GIVEN = "的了着过去到在从是有被把让我你他她它们这那哪个些几多很最更不没就再又也还都或及等将会能可以要已因于与和跟给叫请问说看想吃喝用做男女任岁您何什么吗呢吧啊呀，医患病症药痛疼痒咳血尿便性科"
A_NAME = f"(?:(?![{NO_GIVEN}]){HAN})"
IN_FORM = re.compile(
    r"(?:(?<!药品)(?<!药)(?<!医院)(?<!疾病)(?:姓名|名字)|受检者|受试者|(?:联系|收件|就诊|挂号|监护|委托)人|(?:送检|报告|审核|主治|主诊|经管|管床|责任|申请|检查|签发)医[师生]|签名|签字|署名|落款)(?:[ ]?[:是为叫][ ]{0,2}|[ ]{1,3})"
    rf"(?P<hit>(?!保密|匿名|不详|未|无|隐|略|什么|男|女|医|患|年龄|性别|科|电话|日期|建议){A_NAME}{{2,4}})(?=[,。; 、\n]|$)"
    rf"|(?:我叫|名叫|姓名[: ]{{1,2}})(?P<known>{ANY_SURNAME}{A_NAME}{{1,2}})(?=[,。;! 、\n]|$)"
    rf"|我叫(?P<new>(?![你他她它医救了人孩护不过家老爸妈过车着着去])(?:{A_NAME}){{2,3}})(?=[,。;!、\n]|$)"
    rf"|我是(?P<double>(?P<two>[{letters('given_often')}])(?P=two))(?=[,。;!、\n]|$)"
    rf"|我叫(?P<pet>[小阿]{HAN}{{1,2}}?|(?P<one>{HAN})(?P=one))(?=[,。!?; 、]|$|[今现男女想是]|[0-9])"
)
"""A name that needs no surname we know, where a form or its owner gives it: 「姓名：妮娜」, 「我叫小雨」."""


def named(text: str, folded: str) -> Iterator[Hit]:
    """Every name, overlaps included."""
    for spans in (whole_names(folded), titled(folded), in_form(folded), nicknamed(folded), written(folded)):
        for start, end in spans:
            yield Hit("name", start, end, text[start:end])


def titled(text: str) -> Iterator[tuple[int, int]]:
    """A surname beside a title; a whole name there is found by its points."""
    for found in TITLE.finditer(text):
        if size := surname_before(text, found.start(), found[0]):
            yield found.start() - size, found.start()


def surname_before(text: str, end: int, title: str) -> int:
    """How long the surname is that ends before a title; 0 when what stands there is none."""
    if text[max(0, end - 2) : end] in DOUBLE:
        return 2
    last = text[end - 1 : end]
    if (
        last not in SURNAMES | DOUBTFUL | WORDLIKE
        or (last in VERBS and title not in FORMAL)
        or (last in SOMETIMES and end > 1 and re.match(HAN, text[end - 2]))
    ):
        return 0
    if covered(text, end - 1) or word_at(text, end - 1):
        return 0
    return int(last in SURNAMES or bounded(text, end - 1))


def in_form(text: str) -> Iterator[tuple[int, int]]:
    """What a form calls a name, whatever it is."""
    for found in IN_FORM.finditer(text):
        group = next(name for name in ("hit", "known", "new", "double", "pet") if found[name])
        if group not in ("hit", "new") or not word_at(text, found.start(group)):
            yield found.span(group)
