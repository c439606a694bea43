"""Addresses: chains of what they are made of (district, town, village, road, estate, door), weighed as a whole.

「蕲春县漕河镇李时珍大道东段」: district 1, town 1.6, road with its stretch 2: an address, as is all from 1.6 up. 「三楼」,
「尿路」 and 「农村」 are none.
"""

import re
from collections.abc import Iterator

from builders.engine.privacy.spans import HAN, any_of, words


def not_after(listed: str) -> str:
    """An expression that holds where none of the words ends; one look back for each length."""
    by_length: dict[int, list[str]] = {}
    for word in listed.split("|"):
        by_length.setdefault(len(word), []).append(word)
    return "".join(f"(?<!{'|'.join(group)})" for group in by_length.values())


PLACE = any_of(words("places"))
NUMBER = "[一二三四五六七八九十0-9〇零]"
NO_NAME = "的了着过去到在从是有被把让我你您他她它咱们这那哪该某本各每几多很最更不没再又也还及或等会能可以要已就说看做请找上来带往送个些另两所间跟和与同给对为因但并比如叫吃喝问想需应先经查住医附近当什么者后科走寄向"
PLAIN = f"(?:(?![{NO_NAME}]|{PLACE}){HAN}|和(?=[平谐顺兴美睦畅盛泰悦]))"
"""A character that the name of a town, a road or a village may be made of."""
ROOMY = f"(?:(?![到在往至从我你他她您是住寄给的了去找走过]){HAN}|[A-Za-z])"
"""A character that the name of an estate or a house may be made of."""
NO_REGION = "社区|地区|城区|郊区|军区|病区|市区|小区|园区|校区|景区|学区|县区|县市|城市|省市|外省|治区|辖区|灾区|疫区|区域|肺区|前区|后区|叶区|窦区|门区|牙区|超市|门市|夜市|菜市|上市|红旗|外地|一州"
NO_VILLAGE = "农村|农村村|重镇|地镇|乡村|山村|全村|全镇|全乡|邻村|行政村|自然村|壁村|小村|出村|进村|新村|石家庄|端庄|山庄|布庄|钱庄|茶庄|饭庄|乡镇|村镇|城镇|小镇|集镇|老乡|家乡|故乡|下乡|冰镇|异乡|同乡|回乡|返乡|村庄|村寨"
NO_ROAD = "尿路|通路|旁路|道路|马路|一路|思路|出路|门路|回路|传导路|胆路|气路|管路|线路|网路|电路|水路|铁路|半路|迷路|认路|老路|原路|顺路|末路|销路|套路|血路|段路|少路|夜路|山路|远路|平路|步路|里路|逛街|沿街|公路|路路|条路|开路|修路|赶路"
NUMBERED = "住院|门诊|内科|外科|医技|急诊|病房|教学|科研|行政|综合|感染|医院|病区|院区|手术室|窗口"
"""What has numbered houses in a hospital."""
ROAD = (
    rf"(?:(?:{PLACE})?{PLAIN}{{0,6}}?(?:大道|大街|步行街|延长线|路|街|巷|胡同|里弄){not_after(NO_ROAD)}"
    rf"(?:[东西南北中一二三四五六七八九](?:段|路|街|条))?(?:[东西南北中]段)?|{PLAIN}{{2,6}}?[东西南北][一二三四五六七八九十][条道])口?"
)
DOOR = rf"(?:{NUMBER}{{1,5}}(?:-{NUMBER}{{1,4}})?|[A-Za-z][0-9]{{0,3}})"
ESTATES = "小区|花园|花苑|公寓|新村|家园|家属[院楼区]|宿舍[楼区]?|大厦|广场|商城|山庄|名苑|雅苑|佳苑|嘉苑|嘉园|华庭|豪庭|新城|国际城|产业园|科学园|科技园|工业园|技术园|校区"
TOKENS = (
    ("place", rf"(?:{PLACE})(?:特别行政区|自治区|省|市|地区|州|盟)?"),
    ("house", rf"{DOOR}(?:号院|号楼|弄|栋|幢|单元)|[A-Za-z](?:座|栋|幢|区)|[东西中]单元"),
    ("door", rf"{DOOR}(?:号|座|层|楼|室|房|户|组|队|排|舍|门|委|屯|社|院|街)(?![线粒])|[东西南北](?:[门户]|区)"),
    (
        "crossing",
        r"(?:十字)?(?:路口|街口|交叉口|交口|交汇处|交界处)(?:[东西南北]{1,2}[侧边]?)?(?:[0-9]{1,4}米)?|地铁站(?:[0-9A-Z]{1,2}号?口)?|高架(?:桥?[上下])?",
    ),
    ("region", rf"{PLAIN}{{1,5}}?(?:自治[县州旗]|开发区|新区|街道|社区|[省市区县旗州]){not_after(NO_REGION)}"),
    ("village", rf"{PLAIN}{{1,4}}?(?:[村屯庄寨乡]|镇(?![静痛定咳惊吐痉])|农场|林场){not_after(NO_VILLAGE)}"),
    ("road", ROAD),
    (
        "estate",
        rf"{ROOMY}{{1,8}}?(?:(?:{ESTATES})(?:小区)?|{HAN}[园苑城府湾庭邸郡里](?={NUMBER}|[A-Za-z东西南北]))"
        rf"|{ROOMY}{{2,6}}?{not_after(NUMBERED)}(?=(?:{NUMBER}{{1,2}}期)?(?:[东西南北中]?区)?{NUMBER}{{1,3}}(?:栋|幢|号楼))",
    ),
    ("stage", rf"{NUMBER}{{1,2}}期(?:[东西南北中]?区)?|[东西南北中]区"),
    ("number", r"(?:[0-9]{1,4}-){0,3}[0-9]{3,4}(?![0-9.%~]|-[0-9])|[A-Z][0-9]{3,4}(?![0-9])"),
)
"""What addresses are made of; where two fit, the one named first."""
TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in TOKENS))
POINTS = {
    "place": 0.6,
    "house": 1.0,
    "door": 0.7,
    "crossing": 1.0,
    "region": 1.0,
    "village": 1.6,
    "road": 1.0,
    "estate": 1.0,
    "stage": 0.3,
    "number": 0.3,
}
ENOUGH = 1.6
INNER = frozenset(("crossing", "stage", "number"))
"""Nothing begins with these."""
INDOORS = re.compile(f"(?:{NUMBERED}|[部科楼院区月])$")
WARD = re.compile(f"(?:{NUMBERED})[部楼区]?$")
NAMED = frozenset(("region", "village", "road", "estate"))
SIGN = re.compile(
    rf"[号弄栋幢座室组楼层队排舍委期](?:(?<={NUMBER}.)|(?<=[A-Za-z].))|[村屯庄寨镇乡]{not_after('农村|乡镇|城镇')}|[区县旗]{not_after(NO_REGION)}|[路街叉]口|[大中东西南北]段|农场|林场|街道|单元|高架|[东西南北]门"
)
"""What addresses have: a door, a district, a village, a crossing."""
AROUND = 30
"""Characters before and after such a sign that an address may take."""
CUED = re.compile(
    r"(?:家庭住址|家庭地址|联系地址|收货地址|通讯地址|居住地址?|住址|户籍地址?|地址|家住|我住在?|住在|现居|寄到|邮寄到|快递到|邮编)[ ]?[:是为在]?[ ]?"
    rf"(?P<hit>[1-9][0-9]{{5}}(?![0-9])|(?=[一-龥0-9]{{0,6}}(?:{PLACE})|[^,。!?;\n\0]{{1,12}}(?<!农)(?<!乡)(?:[省市县镇乡村巷栋幢]|[路街](?!边|上|旁)))(?![院哪什])[一-龥0-9A-Za-z#-]{{2,40}})"
)
CUED_HINT = re.compile("[住址居籍寄递编]")
STREET = re.compile(
    r"\b[0-9]{1,5} (?:[A-Z][a-z]+ ){1,3}(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd)\b\.?"
)


def addresses(text: str) -> Iterator[tuple[int, int]]:
    """Every address: what the signs of one are surrounded by, and what somebody calls one."""
    for start, end in stretches(text):
        for chain in chains(text, start, end):
            if points(text, chain) >= ENOUGH:
                yield chain[0].start(), chain[-1].end()
    if CUED_HINT.search(text):
        yield from (found.span("hit") for found in CUED.finditer(text))
    yield from (found.span() for found in STREET.finditer(text))


def stretches(text: str) -> Iterator[tuple[int, int]]:
    """Where to look, without overlaps: a text is searched once however many signs it has."""
    start, end = 0, -1
    for sign in SIGN.finditer(text):
        if end >= 0 and sign.start() - AROUND > end:
            yield start, end
            end = -1
        if end < 0:
            start = max(0, sign.start() - AROUND)
        end = min(len(text), sign.end() + AROUND)
    if end >= 0:
        yield start, end


def chains(text: str, start: int, end: int) -> Iterator[list[re.Match[str]]]:
    """What addresses are made of, in runs that nothing but a space, or 与 between two roads, interrupts."""
    chain: list[re.Match[str]] = []
    for token in TOKEN.finditer(text, start, end):
        if chain and not joined(text, chain[-1], token):
            yield chain
            chain = []
        if chain or token.lastgroup not in INNER:
            chain.append(token)
    if chain:
        yield chain


def joined(text: str, one: re.Match[str], other: re.Match[str]) -> bool:
    """Whether two parts belong to one address."""
    between = text[one.end() : other.start()]
    roads = one.lastgroup == other.lastgroup == "road"
    same_unit = one.lastgroup == other.lastgroup == "door" and one[0][-1] == other[0][-1]
    return not same_unit and (between in ("", " ") or (roads and between in ("与", "和", "跟")))


def points(text: str, chain: list[re.Match[str]]) -> float:
    """How much of an address a run is; what names nothing must not stand in a hospital or inside a word."""
    kinds = {token.lastgroup for token in chain}
    start = chain[0].start()
    before = text[max(0, start - 4) : start]
    if not kinds & NAMED and INDOORS.search(before):
        return 0.0
    if kinds & NAMED == {"estate"} and WARD.search(before + chain[0][0]):
        return 0.0
    if kinds == {"village"} and len(chain) == 1 and re.search(f"{PLAIN}$", before):
        return 0.0
    whole = sum(POINTS[str(token.lastgroup)] for token in chain)
    return whole + sum(token.lastgroup == "road" and token[0].endswith("段") for token in chain)
