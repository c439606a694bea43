"""People's names: beside a title (张医生), after a cue (我叫王小明, 患者：李四), half hidden (王某某), pet names (妞妞).

A bare name is none: most characters of Chinese names are words. What a cue has shown once, `mask_all` finds everywhere.
"""

import re
from collections.abc import Iterator

from .spans import HAN, Hit, any_of, letters, words

SURNAMES = frozenset(letters("surnames"))
DOUBTFUL = frozenset(letters("doubtful_surnames"))
"""高, 白, 方 and such: surnames that end or begin many words, taken for one only after a boundary."""
DOUBLE = words("double_surnames")
GIVEN = frozenset(letters("given"))
LONGEST = 4

TITLE = re.compile(
    rf"{any_of(words('titles'))}|[姐哥姨叔婶伯嫂总工](?:(?![一-龥])|(?=说|给|帮|介绍|让|的|是|你|您)(?<![总工]))"
)
FORMAL = frozenset(("先生", "女士", "小姐"))
VERBS = frozenset("祝查时应成过")
"""Surnames that are verbs or the like before any title but the formal ones: 「祝宝宝健康」, 「出院时医生说」."""
CLOSE_TITLE = "姐哥姨叔婶伯嫂总工"
"""Titles of one character: the surname before them must stand after a boundary."""
NO_GIVEN = "的了着过去到在从是有被把让我你他她它们这那哪个些几多很最更不没就再又也还都或及等将会能可以要已因于与和跟给叫请问说看想吃喝用做男女任今岁您何什么吗呢吧啊呀，医患病症药痛疼痒咳血尿便"
AFTER = frozenset(
    "今现男女岁是的在有去来想要请问说从因最前昨患得住已也就和与跟我你他她您这那今每又还都对到给为被让做说了着过吗呢吧啊呀及或等不没很一两半曾经目后且能会可上下自刚常从开突发"
)
"""Characters that come after a name rather than being its last one, unless the name must be."""
COMPLAINS = "咳头胃肝肾腹肚腰胸眼耳鼻喉血糖尿便体查做吃喝烧疼痛拉吐哭高低"
"""Characters that a complaint begins with, right after the name of who has it."""
FOLLOWS = re.compile(
    f"[{''.join(sorted(AFTER))}{COMPLAINS}]|建议|签[字名]|负责|怀孕|预约|早产|主刀|坐诊|回复|医[生师]|大夫|主任|教授|的号|家[属长]"
)
"""What comes after a name that is no part of a longer word."""
GOODS = re.compile(
    "[片丸膏贴滴针液散汤茶囊粒征病癌炎瘤唑韦林定醇酯钠钾钙素]|胶囊|颗粒|注射|口服|单抗|综合|囊肿|试验|骨折|指数"
)
"""Shortly after a drug or a disease that begins like a name."""
BOUNDARY = frozenset(
    "下望好您你谢找问请是的挂叫给让跟看到在和与由经对了过听据托询教烦科院名为至被向往把从者及同陪拜见位室床号年说者医生老小长说为们我他她"
)
NOT_NAMES = re.compile(any_of(words("not_names")))
ENDINGS = words("endings")

STRONG_HINT = re.compile("我叫|名叫|名字|姓名|[大真人的]名|签名|签字|落款|署名|[系件诊号护托]人")
STRONG = re.compile(
    r"(?:我叫|我名叫|(?<!药)(?<!病)名叫|名字(?:叫做?|是|为|:)|(?<!药品)(?<!药)(?<!医院)(?<!疾病)(?:姓名|名字)(?:[ ]{0,2}[:：是为叫]|[ ])|大名(?:叫|是|:)|真名(?:叫|是|:)?"
    r"|(?:患者|病人|孩子|宝宝|小孩|联系人|家长|家属|收件人|就诊人|挂号人|监护人|委托人|医生|医师|护士)(?:的)?(?:姓名|名字|名)[ ]?[:是为叫]{0,2}|(?:签名|签字|落款|署名|收件人|联系人|就诊人|挂号人)[ ]?[:是为])[ ]{0,3}"
)
WEAK = re.compile(
    rf"(?:{any_of(words('cues'))}(?:名?叫|是)?[ ]?[:,]?[ ]?|(?:我是|这是|他是|她是|名为|署名|我姓|免贵姓)[ ]?|叫(?<![大喊哭嚎尖吼惊一乱直嗷]叫)做?[ ]?)"
    rf"(?=[{letters('surnames', 'doubtful_surnames')}{''.join(sorted(name[0] for name in DOUBLE))}])"
)
ONLY_SURNAME = re.compile(
    rf"(?:我姓|免贵姓|贵姓[是:]?|(?:患者|病人|医生|大夫|他|她|本人)姓)[ ]?(?P<hit>{any_of(DOUBLE)}|[{letters('surnames', 'doubtful_surnames')}])(?=[,。!?;、 ]|$|的|名|今|男|女)"
)
HIDDEN = re.compile(
    rf"(?P<hit>(?:{any_of(DOUBLE)}|[{letters('surnames')}]|(?<![一-龥])[{letters('doubtful_surnames')}])(?:某(?:某{{1,2}}|{HAN}(?=[,。 ]))?(?![些种个项天年月次地])|[xX]{{2,3}}(?![A-Za-z0-9])|[×○〇]{{1,3}}|[*]{{1,3}}|{HAN}[*×]))"
)
PET_CUE = re.compile(r"(?:小名|乳名|昵称)(?:叫做?|是|为|:)?[ ]?")
PETS = any_of(words("pet_names"))
PET = re.compile(
    rf"(?:(?:我家的?|我们家的?|咱家|家里的?|家有|宝宝|患儿|孩子|女儿|儿子|闺女|孙子|孙女|外孙女?|宝贝|小孩|妹妹|弟弟|(?<![大喊哭])叫做?)[ ]?"
    rf"|(?<![一-龥]))(?P<hit>{PETS})(?=[,。!?:; ]|$|妈|爸|[0-9]|[一二三四五六七八九十两半]+[岁个周天]|体|黄|早|感|同学|小朋友|[{''.join(sorted(AFTER))}{COMPLAINS}])"
)
A_GIVEN = f"[{''.join(sorted(GIVEN))}]"
ANY_GIVEN = f"{A_GIVEN}{{1,2}}"
ANY_SURNAME = f"[{letters('surnames', 'doubtful_surnames')}]"
FULL = rf"(?:{ANY_SURNAME}(?<![一-龥].){ANY_GIVEN}|(?:{any_of(DOUBLE)})(?<![一-龥]..){ANY_GIVEN})"
LISTED = re.compile(
    rf"(?P<hit>{FULL})(?=[,、 ]?[ ]?[男女](?![{NO_GIVEN}朋友孩人生儿性士])|[,、 ]?[ ]?[男女]性?[,。、;  ]|[,、 ][0-9]{{1,2}}岁|[ ,:;(]{{1,2}}(?:身份证|证件|电话|手机|联系电话)?号?[: ]?[1-9*][0-9*-]{{10,17}})"
)
"""A name in a list of facts about somebody: 「李梅，女，9岁」, 「李梅（身份证号…）」."""
OWNER = re.compile(
    rf"(?P<hit>[{letters('surnames')}](?:(?<![一-龥].)|(?<=[说问看拿取领叫给替帮把是找和跟请].)){ANY_GIVEN})(?=家[属长](?!院)|的(?:药|报告|片子|化验|检查单|病历|号|手术|床|家属|家长|妈妈|爸爸|儿子|女儿|老公|老婆|爱人|检查结果|单子|CT|B超|快递|主治))"
)
"""Whose medicine, report or relative it is: 「叶秋的药」."""
OLD_AND_YOUNG = re.compile(
    rf"(?P<hit>[老小](?:(?<![一-龥].)|(?<=同事.)|(?<=邻居.)|(?<=朋友.)|(?<=护士.)|(?<=司机.))[{''.join(sorted(SURNAMES - frozenset('叶毛石黄牛马鱼孙江金龙雷钟段兰林')))}])(?=说|给我|让我|介绍|推荐|帮|告诉|家|也|昨|刚|,|的爱人|的老婆|的孩子)"
)
AT_HOME = re.compile(
    r"(?:我家|我们家|咱家)(?:的|有个)?(?P<hit>(?!宝|孩|儿|女|小[孩朋]|老[大二三人公婆]|大[宝的]|二[宝胎]|三宝|[爸妈哥姐弟妹爷奶公婆叔姑舅姨]|现|已|刚|今|差|大概|出生|[男双龙]|早|[这那个住在有离也都是也])(?:(?![今快才刚满])[一-龥]){2})(?=今年|快|才|刚|[0-9一二三四五六七八九十两半]+个?半?[岁月])"
)
CALLED = re.compile(
    rf"(?:小孩|孩子|宝宝|女儿|儿子|闺女|孙子|孙女|外孙|娃|宝贝)(?:的?名字|小名)?叫(?P<hit>(?!什|他|她|我|你|医|声|做|不|得|了|起|唤|醒|救|家|爸|妈){HAN}{{2}})(?=[,。!;]|$|今年|[0-9一二三四五六七八九十两半]+个?[岁月])"
)
"""What a child is called, surname or not."""
BEFORE = (
    "和跟找给替让叫请问陪是的为由帮约代送接托知烦派换转挂见识绍荐到于名位与及对向被把说下你您我他她们在有听从等这那"
)
"""Characters that a bare name comes after, where it does not open a clause."""
LESS = "".join(sorted(DOUBTFUL - set("查应越项阳封祝浦")))
BARE = re.compile(
    rf"(?P<hit>(?:[{letters('surnames')}](?:(?<![一-龥].)|(?<=[{BEFORE}].)){A_GIVEN}{{1,2}}"
    rf"|[{LESS}](?:(?<![一-龥].)|(?<=[{BEFORE}].)(?<![时成于])){A_GIVEN}{{2}}))(?=[,。!?:;、 ()]|$|{FOLLOWS.pattern})"
)
"""A whole name that no cue announces: where a word could begin, before what follows a name."""
OF = re.compile(rf"的(?P<hit>[{letters('surnames')}][{''.join(sorted(GIVEN))}]{{2}})(?=[,。!?;]|$)")
SIGNED = re.compile(rf"-{{2,}}[ ]?(?P<hit>[{letters('surnames')}]{HAN}{{1,2}})[ ]*$", re.MULTILINE)
SOUNDS = "阿艾埃爱安奥巴拜比别波布卜达代迪德丁多尔法费夫甫格古哈海罕赫霍吉加江杰卡凯克孔库拉莱兰里力丽利林卢鲁伦罗洛马玛麦买曼米莫木穆娜乃南尼努诺帕派佩皮普齐其恰茜切萨赛沙莎山舍什斯苏索塔泰坦汤特提图吐托瓦万旺维温乌西希夏谢辛雅亚扬耶叶伊衣依尤于约扎则泽孜祖仁才让措卓央次旦增顿珠桑班姆热迈合伯凡"
"""Characters that names of other languages are written with."""
MINORITY = re.compile(rf"(?P<hit>[{SOUNDS}]{{2,8}}[·•‧・][{SOUNDS}]{{2,8}})")
WRITTEN = (
    (re.compile("[某xX×○〇*]"), HIDDEN),
    (re.compile("姓"), ONLY_SURNAME),
    (re.compile(PETS), PET),
    (re.compile(rf"{HAN}[,、 ]{{0,2}}[男女]|[0-9]岁|[0-9*-]{{11}}"), LISTED),
    (re.compile("家[属长]|的[药报片化检病号手床家妈爸儿女老爱单CB快主]"), OWNER),
    (re.compile(f"[{letters('surnames')}{LESS}]"), BARE),
    (re.compile("的"), OF),
    (re.compile("叫"), CALLED),
    (re.compile("[老小]"), OLD_AND_YOUNG),
    (re.compile("[我们咱]家"), AT_HOME),
    (re.compile("[·•‧・]"), MINORITY),
    (re.compile("--"), SIGNED),
)
"""What names look like, each with a cheap sign that it may be there."""
CAPITAL = r"[A-Z][a-z]+(?:['-][A-Z]?[a-z]+)*"
NO_ENGLISH_NAME = r"(?!(?:Please|Can|Could|What|Who|The|Hello|Hi|How|Is|Are|Do|Does|Why|When|Where|Thank|Thanks|Yes|No|Not|My|He|She|It|They|We|And|But|So|If|In|Appointment|Visit|Office|Said|Your|You|This|That|There|Here|Sorry|Okay|Ok|Well|Just|Maybe|Because|Anything|Any)\b)"
ENGLISH = re.compile(
    rf"\b(?:Mr|Mrs|Ms|Miss|Mister|Dr|Prof|Doctor|Professor|Nurse)\b\.?[ ]{NO_ENGLISH_NAME}(?P<hit>{CAPITAL}(?:[ ](?:[A-Z]\.[ ]?)?{NO_ENGLISH_NAME}{CAPITAL}){{0,2}})"
    rf"|(?i:\b(?:my name is|name is|name's|i am called|call me|patient name[: ]|patient's name[: is]*|name:)|(?:联系人?|姓名|我叫|名字叫?|英文名)[: ]?)[ ]?(?P<named>{NO_ENGLISH_NAME}{CAPITAL}(?:[ ](?:[A-Z]\.[ ]?)?{CAPITAL}){{0,2}})"
)
ENGLISH_HINT = re.compile("[A-Z][a-z]")


def named(text: str, folded: str) -> Iterator[Hit]:
    """Every name that a title or a cue shows, overlaps included."""
    for start, end in _names(folded):
        yield Hit("name", start, end, text[start:end])


def _names(text: str) -> Iterator[tuple[int, int]]:
    for found in TITLE.finditer(text):
        if size := _before_title(text[max(0, found.start() - 6) : found.start()], found[0]):
            yield found.start() - size, found.start()
    for found in STRONG.finditer(text) if STRONG_HINT.search(text) else ():
        if size := _minority(text, found.end()) or _after_cue(text, found.end(), sure=True) or _any_name(text, found):
            yield found.end(), found.end() + size
    for found in WEAK.finditer(text):
        if size := _after_cue(text, found.end(), sure=False):
            yield found.end(), found.end() + size
    for found in PET_CUE.finditer(text):
        if size := _pet(text, found.end()):
            yield found.end(), found.end() + size
    yield from _written(text)


def _written(text: str) -> Iterator[tuple[int, int]]:
    """Names that are told by how they are written."""
    for hint, pattern in WRITTEN:
        for found in pattern.finditer(text) if hint.search(text) else ():
            start = found.start("hit")
            if not _ends_a_word(text[max(0, start - 3) : start + 1]) and not NOT_NAMES.match(text, start):
                yield found.span("hit")
    if ENGLISH_HINT.search(text):
        yield from (found.span("hit" if found["hit"] else "named") for found in ENGLISH.finditer(text))


def _before_title(left: str, title: str) -> int:
    """How many characters before a title are a name."""
    for size in range(min(LONGEST, len(left)), 1, -1):
        surname = 2 if left[-size:][:2] in DOUBLE else 1
        if size - surname in (1, 2) and _full_name(left[-size:], surname) and _begins(left, size):
            return size
    if left[-2:] in DOUBLE:
        return 2
    last = left[-1:]
    if _ends_a_word(left) or (last in VERBS and title not in FORMAL):
        return 0
    if last in DOUBTFUL or title in CLOSE_TITLE:
        return int(last in SURNAMES | DOUBTFUL and _bounded(left[:-1]))
    return int(last in SURNAMES)


def _begins(left: str, size: int) -> bool:
    """Whether a full name begins there: after a boundary, or where nothing shorter could be the name."""
    sure = (
        left[-size] in SURNAMES
        and left[-1] not in SURNAMES | DOUBTFUL
        and not _ends_a_word(left[: len(left) - size + 1])
    )
    return sure or (_bounded(left[:-size]) and not _ends_a_word(left[: len(left) - size + 1]))


def _full_name(name: str, surname: int) -> bool:
    """Whether a surname and given characters make a name, and no word we know."""
    if surname == 1 and name[0] not in SURNAMES and name[0] not in DOUBTFUL:
        return False
    return all(letter in GIVEN for letter in name[surname:]) and not NOT_NAMES.match(name)


def _bounded(left: str) -> bool:
    return not left or not re.match(HAN, left[-1]) or left[-1] in BOUNDARY


def _ends_a_word(left: str) -> bool:
    return left[-2:] in ENDINGS or left[-3:] in ENDINGS


def _after_cue(text: str, start: int, *, sure: bool) -> int:
    """How many characters after a cue are a name; `sure` when the cue announces nothing but names."""
    ahead = text[start : start + LONGEST + 4]
    surname = 2 if ahead[:2] in DOUBLE else int(ahead[:1] in SURNAMES or ahead[:1] in DOUBTFUL)
    if not surname or NOT_NAMES.match(ahead) or (ahead[0] in VERBS - {"查"} and not sure):
        return 0
    sizes = (size for size in (surname + 2, surname + 1) if _given(ahead, surname, size, sure=sure))
    return next((size for size in sizes if sure or _stands_alone(ahead, size)), 0)


def _given(ahead: str, surname: int, size: int, *, sure: bool) -> bool:
    """Whether the characters after a surname, up to a size, are a given name."""
    given = ahead[surname:size]
    if len(given) < size - surname or any(letter in NO_GIVEN or not re.match(HAN, letter) for letter in given):
        return False
    whole = _is_end(ahead[size : size + 1])
    if len(given) > 1 and not whole and (given[-1] in AFTER or NOT_NAMES.match(ahead, size - 1)):
        return False
    return all(letter in GIVEN for letter in given) or (sure and (whole or len(given) == 1))


def _is_end(following: str) -> bool:
    return not following or not re.match(HAN, following)


def _stands_alone(ahead: str, size: int) -> bool:
    """Whether what follows a name is no part of a longer word."""
    following = ahead[size : size + 1]
    if _is_end(following):
        return following == "" or following not in "0123456789%.+-/"
    if size > 2 and ahead[0] in SURNAMES and not GOODS.search(ahead, size):
        return True
    return FOLLOWS.match(ahead, size) is not None and (ahead[0] not in DOUBTFUL or size > 2)


def _minority(text: str, start: int) -> int:
    found = re.compile(rf"{HAN}{{1,8}}[·•‧・.]{HAN}{{1,8}}").match(text, start)
    return len(found[0]) if found else 0


def _any_name(text: str, cue: re.Match[str]) -> int:
    """A name without a surname we know, where a form asks for one: 「姓名：妮娜」, 「我叫小雨」."""
    pet = re.compile(rf"(?:[小阿]{HAN}{{1,2}}?|({HAN})\1)(?=[,。!?; 、]|$|[今现男女想是]|[0-9])").match(text, cue.end())
    if pet and not re.match("小[孩三朋时便]", pet[0]):
        return len(pet[0])
    form = re.compile(rf"(?!保密|匿名|不|未|无|隐|略|什么|男|女|医|患){HAN}{{2,4}}(?=[,。; 、]|$)").match(
        text, cue.end()
    )
    return len(form[0]) if form and "姓名" in cue[0] else 0


def _pet(text: str, start: int) -> int:
    """How long a pet name after its cue is: up to the next word that is none of it."""
    ahead = text[start : start + 5]
    for size in (2, 3, 1, 4):
        if re.fullmatch(f"{HAN}{{{size}}}", ahead[:size]) and (_is_end(ahead[size : size + 1]) or ahead[size] in AFTER):
            return size
    return 2 if re.match(f"{HAN}{{2}}", ahead) else 0
