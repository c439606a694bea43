"""How much a stretch of text is like a whole name: its surname, its given characters, and what stands on both sides.

「我爱人李秀兰吃了」: 李 1.5, 秀 and 兰 1.5 each, 爱人 before them 2.5, 吃 after them 0.5: 7.5, a name.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from builders.engine.privacy.lexicon import covered, word_at
from builders.engine.privacy.spans import HAN, any_of, letters, words

ENOUGH = 2.0
"""Points that make a name; chosen on real consultations, where fewer let words through."""
DOUBLE = words("double_surnames")
SURNAMES = frozenset(letters("surnames"))
DOUBTFUL = frozenset(letters("doubtful_surnames"))
WORDLIKE = frozenset(letters("wordlike_surnames"))
OFTEN = frozenset(letters("given_often"))
GIVEN = OFTEN | frozenset(letters("given"))
A_WORD = 2.5
"""Points that it costs when the given characters are a word themselves."""
WORD, SURELY = 5.0, 2.0
"""Points that a known word costs, and those where a form or a list of facts has it in the place of a name."""
ROLES = words("cues")
LONGEST_ROLE = max(map(len, ROLES))
TITLES = any_of(words("titles"))
TITLE = re.compile(TITLES)

FORM = re.compile(
    r"(?:姓名|名字|全名|真名|本名|大名|署名|签名|签字|签章|落款|(?:联系|收件|就诊|挂号|监护|委托|申请|经办|签字|签名|陪护|陪同)人|[一-龥]{2}对象|检查者|送检者|(?:送检|报告|审核|主治|主诊|经管|管床|责任|申请|检查|记录|签发|操作|手术|麻醉|接诊|值班|开单|科室)(?:医[师生]|者|护士)"
    r"|患者|病人|患儿|产妇|受检者|死者)(?:的?(?:姓名|名字|名|签[名字章]))?[ ]{0,2}(?:[:是为叫写选填][ ]{0,3}|[ ]{1,3})$|(?:我叫|名叫|(?:名字|大名|真名|本名)[叫是为]?|敝人|鄙人|签[名字章])[ ]?$"
)
"""What a form has before a name."""
FORM_ENDS = frozenset(": 是为叫写选填名字章人")
"""Last characters of what FORM finds."""
NAMING = re.compile(
    r"(?:叫做?|我是|这是|[她他您]是|人是|的是|主刀是|转告|转达|感谢|谢谢|拜托|问过|请问|提醒|通知|名为|写的是|写着|祝好!?)[ ]?$"
)
BEFORE = frozenset(
    "和跟找给替让请陪为由帮约代送接托知烦派换转挂见识荐与及对向被把床号位而有听是的按据如像比说去到在个天致晚早午醒"
)
"""Characters that a name comes after where nothing announces it."""
RELATED = "娌长员师嫂哥姐弟妹爷奶爸妈爹娘叔伯姨姑舅婶公婆妻夫媳婿孙娃友伴蜜童工"
"""Last characters of what people are; ROLES has the words."""
NEVER = "的了着过去到在从是有被把让我你他她它们这那哪个些几多很最更不没就再又也还都或及等将会能要已因与和跟给叫请问说看想吃喝用做男女任岁您何什么吗呢吧啊呀，医患病症药痛疼痒咳血尿便性科型期片炎"
FIRST = re.compile(
    rf"(?=(?P<surname>{any_of(DOUBLE)}|[{letters('surnames', 'doubtful_surnames', 'wordlike_surnames')}])"
    rf"(?:[{letters('given_often', 'given')}]|(?<![一-龥].)(?![{NEVER}]){HAN}|(?<=[{RELATED}人儿女生士者夫授任家刀叫是:].)(?![{NEVER}]){HAN}))"
)
"""Where a whole name could begin."""
NO_CALL = re.compile("[大喊哭嚎尖吼惊一乱直嗷]叫[ ]?$")
FACTS = re.compile(
    r"[,、 ]{0,2}[(]?(?:性别[: ]{0,2})?[男女](?![男女朋友孩人生儿士婴子]|性(?!,))|[,、 (]{1,2}(?:年龄[: ]?)?[0-9]{1,3}(?:岁|周岁|个?月[大,])|[ ,:;(]{1,2}(?:身份证|证件|电话|手机|联系电话)?号?[: ]?[1-9*][0-9*-]{10,17}"
)
"""Facts about somebody, right after the name."""
SAYS = re.compile(
    r"说|讲|问我|告诉|建议|推荐|介绍|给我|让我|签[字名]|主刀|坐诊|负责|回复|提醒|本人|两位|三位|等[人三几]|[他她](?:[爸妈爹娘家])|家[属长](?!院)|自述|主诉"
    r"|的(?:药|报告|片子|化验|检查|病历|号|手术|床|家[属长]|妈|爸|儿子|女儿|老[公婆]|爱人|单子|CT|B超|快递|主治|血型|血|结果|病|穿刺|预约|家人|母亲|父亲|讲座)"
)
"""What people do, and what is theirs."""
WHEN = re.compile(
    "[今昨前明]天|[今昨]晚|今早|今年|去年|前年|上[个周午月]|下[个周午]|最近|近来|现在|目前|从小|从去|平时|经常|一直|总是|老是|已经|刚[才刚]|怀孕|怀[了二]|患有|得了|查出|住院|出院|入院|因[为胸腹]|[0-9]+岁|[一二三四五六七八九十]+岁|\n"
)
"""When it was, and how somebody fares."""
AFTER = frozenset(
    "今现是的在有去来想要请从因最前昨患得住已也就和与跟我你他她您又还都对到给为被让做了着过吃不没很曾目且能会可上刚突发系及或等说写开走看打喝用做咳头胃肝肾腹肚腰胸眼耳鼻喉血嘴脸手脚膝腿皮尿便睡疼痛吐痛产术这那抱"
)
"""Characters that come after a name rather than being its last one."""
STOPS = frozenset(",。!?:;、 ()…~\n\"'“”‘’")
OPENS = STOPS | {"@", "《", "「", "/", "|", "-"}


class Scored(NamedTuple):
    """A stretch that may be a name, and its points."""

    start: int
    end: int
    points: float


def whole_names(text: str) -> Iterator[tuple[int, int]]:
    """Every surname with its given characters that is enough of a name, the most likely length of each."""
    last = -1
    for found in FIRST.finditer(text):
        start, surname = found.start(), len(found["surname"])
        if covered(text, start) or TITLE.match(text, start + surname):
            continue
        before = 1.0 if start == last else left(text, start)
        best = max(candidates(text, start, surname, before), key=lambda each: each.points, default=None)
        if best and best.points >= ENOUGH:
            last = best.end
            yield best.start, best.end


def candidates(text: str, start: int, surname: int, before: float) -> Iterator[Scored]:
    """The lengths that a name beginning there can have; `before` are the points of what it follows."""
    word = word_at(text, start)
    first = weight(text[start : start + surname]) + before
    for size in (surname + 2, surname + 1):
        given = text[start + surname : start + size]
        if len(given) < size - surname or not possible(given):
            continue
        points = first + given_points(given) + right(text, start + size)
        if not GIVEN.issuperset(given) and not announced(text, start, start + size, before):
            continue
        if word:
            listed = FACTS.match(text, start + size) and text[start + size] not in "男女"
            points -= SURELY if before > 4 or listed else WORD if word >= size else WORD - 2
        if len(given) > 1 and word_at(text, start + surname) == len(given):
            points -= A_WORD  # 时|如果
        if len(given) > 1 and (given[-1] in AFTER or word_at(text, start + size - 1) > 1):
            points -= 2
        yield Scored(start, start + size, points)


def announced(text: str, start: int, end: int, before: float) -> bool:
    """Whether so much points at a name that characters unknown in names are taken for its given ones."""
    if text[start] not in SURNAMES:
        return False
    return before >= 1.5 or (
        before >= 1.0 and bool(FACTS.match(text, end) or (end - start > 2 and TITLE.match(text, end)))
    )


def weight(surname: str) -> float:
    """Points of a surname."""
    if len(surname) > 1:
        return 2.5
    return 1.5 if surname in SURNAMES else 0.4 if surname in DOUBTFUL else -0.8


def possible(given: str) -> bool:
    """Whether characters can be a given name at all; one that we do not know as such is let pass."""
    return all(letter in GIVEN or (letter not in NEVER and re.match(HAN, letter)) for letter in given)


def given_points(given: str) -> float:
    """Points of given characters; one on its own is more often part of a word."""
    points = sum(1.5 if letter in OFTEN else 0.7 if letter in GIVEN else -0.3 for letter in given)
    return points if len(given) > 1 else points - 0.3


def left(text: str, start: int) -> float:
    """Points of what stands before a name."""
    if start == 0:
        return 1.2
    before = text[max(0, start - 12) : start]
    if before[-1] in FORM_ENDS and FORM.search(before):
        return 4.5
    if is_role(before.rstrip(" ")) or is_role(re.sub("[叫是:, ]{1,2}$", "", before)):
        return 2.5
    if NAMING.search(before):
        return -1.0 if NO_CALL.search(before) else 2.2
    last = before[-1]
    if last in OPENS:
        return 1.2
    if last in BEFORE:
        return 1.0
    if last in RELATED:
        return 1.5
    return -1.5 if re.match(HAN, last) else -0.5


def is_role(before: str) -> bool:
    """Whether a text ends in what somebody is: 爱人, 主治医师."""
    return any(before[-size:] in ROLES for size in range(min(LONGEST_ROLE, len(before)), 0, -1))


def right(text: str, end: int) -> float:
    """Points of what stands after a name."""
    following = text[end : end + 1]
    if FACTS.match(text, end) or TITLE.match(text, end):
        return 3.0
    if SAYS.match(text, end):
        return 1.5
    if not following or following in STOPS:
        return 1.0
    if WHEN.match(text, end) or word_at(text, end):
        return 0.8
    if following in AFTER:
        return 0.5
    return -1.0 if re.match(HAN, following) else -0.5
