"""Identifiers that have a shape of their own: numbers, addresses of machines, exact calendar dates."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from builders.engine.privacy.spans import Hit

SPELLED = "[零〇一二三四五六七八九幺]"
GAP = "[ .-]{1,2}"
MOBILE = (
    rf"1[3-9][0-9](?:(?:{GAP})?[0-9]{{4}}(?:{GAP})?[0-9]{{4}}|{GAP}[0-9]{{3}}{GAP}[0-9]{{5}}|{GAP}[0-9]{{5}}{GAP}[0-9]{{3}})"
    rf"|1[3-9][0-9]{{2}}{GAP}(?:[0-9]{{3}}{GAP}[0-9]{{4}}|[0-9]{{4}}{GAP}[0-9]{{3}})"
    rf"|1[3-9][0-9]{{3}}{GAP}(?:[0-9]{{6}}|[0-9]{{3}}{GAP}[0-9]{{3}})|1[3-9][0-9]{{5}}{GAP}[0-9]{{4}}|1[ -][3-9](?:[ -][0-9]){{9}}"
)
UNITS = r"(?![ ]?(?:copies|IU|U/|拷贝|单位|mg|ml|g/|个?/|元|万|次方))"
PHONE = re.compile(
    rf"(?<![0-9])(?<![0-9]\.)(?:"
    rf"(?:(?:\+|00)?86[ -]?)?(?:{MOBILE})"
    r"|1[3-9][0-9][ -]?[*xX]{4}[ -]?[0-9]{4}"
    r"|[48]00[ -]?(?:[0-9]{3}[ -]?[0-9]{4}|[0-9]{4}[ -]?[0-9]{3})"
    r"|(?:(?:\+|00)86[ -]?)?\(?0(?:10|2[0-9]|[3-9][0-9]{2})\)?[ -]{0,2}[2-8][0-9]{2,3}[ -]?[0-9]{4}(?:(?:-|转)[0-9]{1,5})?"
    r"|\+[0-9]{1,3}[ -]?(?:\([0-9]{1,4}\)[ -]?)?[0-9](?:[ -]?[0-9]){6,11}"
    r"|\([2-9][0-9]{2}\) ?[0-9]{3}[ .-][0-9]{4}|[2-9][0-9]{2}[.-][0-9]{3}[.-][0-9]{4}"
    rf")(?![0-9])(?!\.[0-9]){UNITS}"
)
CUED_PHONE = re.compile(
    r"(?:(?:电话|座机|热线|固话|来电|拨打|致电|手机号?|联系方式|[Tt]el|TEL|[Pp]hone)[^0-9\0]{0,6}"
    r"|(?:护士站|[值办][班公]室|[前总]台|[导分服]?[诊务]台|客服|总机|急诊科?|门诊部?|病区|科室|联系|[拨请再]打|打到|拨)[ :是]{0,2})"
    rf"(?P<hit>[2-8][0-9]{{2,3}}[ -]?[0-9]{{4}}(?:[-转][0-9]{{1,5}})?|9[56][0-9]{{3,6}})(?![0-9]|\.[0-9]){UNITS}"
)
SPELLED_PHONE = re.compile(rf"(?<!{SPELLED})[一幺]{SPELLED}{{2}}[ -]?{SPELLED}{{4}}[ -]?{SPELLED}{{4}}(?!{SPELLED})")
TAIL = re.compile(
    r"(?P<what>身份证|手机|电话)(?:号码?)?(?:尾号|[最]?后[三四六]位)[ :是为]{0,2}(?P<hit>[0-9]{3,5}[0-9Xx])(?![0-9])"
)
PRODUCT = re.compile(
    r"(?:批号|准字|文号|注册证?号?|批准|许可证|备案|货号|型号|NCT|生产批次|有效期至?|生产日期|商品条码|追溯码)[ :是为A-Za-z]{0,8}$"
)
"""Numbers of goods are nobody's."""
BORN = r"(?:18|19|20)[0-9]{2}[ -]?(?:0[1-9]|1[0-2])[ -]?(?:0[1-9]|[12][0-9]|3[01])"
ID_NUMBER = re.compile(
    rf"(?<![0-9A-Za-z.])(?:[1-9][0-9]{{5}}[ -]?{BORN}[ -]?[0-9]{{3}}[0-9Xx]"
    r"|[1-9][0-9]{5}[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}"
    r"|[1-9][0-9]{2,5}[*xX]{6,12}[0-9]{2,4}[0-9Xx]"
    r"|[0-9]{3}-[0-9]{2}-[0-9]{4})(?![0-9A-Za-z])"
)
CUED_ID = re.compile(
    r"(?:身份证|护照|军官证|驾驶证|驾照|通行证|居住证|出生证|出生医学证明|证件|士兵证|SSN|[Pp]assport)"
    r"(?:号码|编号|号|[Nn]umber|[Nn]o\.?)?[ :是为]{0,3}(?P<hit>[A-Za-z一-龥]?字?第?[A-Za-z]{0,2}[0-9][0-9A-Za-z -]{4,18}[0-9Xx])(?![0-9])"
)
HANDLE = r"[A-Za-z][A-Za-z0-9_-]{3,24}"
WECHAT = r"微[ ]?信|薇信|围信|绿泡泡|威信|维信|徽信|[Ww]e[Cc]hat|weixin|Weixin|WeiXin|(?<![A-Za-z])(?:[Vv][Xx]|[Ww][Xx])|[Vv]信|(?:[加+➕]我?[Vv](?![A-Za-z])|(?<![A-Za-z])[Vv](?![A-Za-z])|[加+➕]我?[Vv](?=[a-z]{2,}[0-9_]))|[加+➕]我?[微薇威]|[微薇Vv][ ]?[❤♥💗💕]\uFE0F?|钉钉|抖音|快手|微博|小红书|支付宝|公众号|[Ss]kype|[Ll]ine ?ID|[Tt]elegram"
ASKED = r"(?:群|同号|账号|帐号|号码|号|ID|id)?[ ]?(?:联系我?|找我|加我|搜索?|私我)?(?:[:是为叫加搜]|就是|都是|[\"“'(\[【])?[ :\"“'(]{0,2}"
CHAT = re.compile(
    rf"(?:{WECHAT}){ASKED}(?P<hit>{HANDLE}|[0-9]{{5,12}})(?![A-Za-z0-9_])"
    rf"|(?:(?<![A-Za-z])[Qq][ ]?[Qq]?|企鹅|扣扣|叩叩|蔻蔻|秋秋|球球|[加我]扣|群)(?:群|交流群)?{ASKED}(?P<qq>[1-9](?:[0-9]{{4,11}}|(?:[ -]?[0-9]{{1,4}}){{2,5}})|{SPELLED}{{5,12}})(?![0-9A-Za-z.%])"
    r"|加我(?:好友)?[ :]{0,2}(?P<bare>[1-9][0-9]{5,11})(?![0-9.])"
    r"|(?<![A-Za-z0-9])(?P<wxid>wxid_[a-z0-9]{6,24})"
    r"|(?<![A-Za-z0-9_./@:-])(?P<handle>(?=[a-z0-9-]*_)[a-z][a-z0-9_-]{5,24})(?![A-Za-z0-9_@-]|\.[A-Za-z])"
    r"|(?:微博|抖音号?|快手号?|小红书号?|视频号|公众号)[ ]?(?:名|叫|是)?[ ]?[:@“”\"「【《]{1,2}(?P<pub>[一-龥A-Za-z0-9]{2,16})"
    rf"|(?P<same>(?:{WECHAT}|手机|电话|[Qq]{{2}})?号?码?(?:也是|和手机|跟手机|与手机|就是)?同号)"
)
MAIL = re.compile(
    r"(?<![A-Za-z0-9])[A-Za-z0-9][A-Za-z0-9._ -]{1,24}?[ ]?(?:@|艾特|[ ][aA][tT][ ])[ ]?[A-Za-z0-9-]{2,12}[ ]?(?:点|[ ]dot[ ])[ ]?(?:com|cn|net|org)(?![A-Za-z])"
    r"|(?<![A-Za-z0-9._+-])[A-Za-z0-9][A-Za-z0-9._+-]*[ ]?(?:@|\(at\)|\[at\])[ ]?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
)
TOP = r"(?:com|cn|net|org|gov|edu|info|cc|vip|top|xyz|site|club|shop|wang|health|io|me|tv|hk|tw|us|uk)"
URL = re.compile(
    r"(?:[Hh][Tt]{2}[Pp][Ss]?://|[Ww]{3}\.)[A-Za-z0-9./?=&%_:#~+@!$*;,-]*[A-Za-z0-9/=&%_#]"
    rf"|(?<![A-Za-z0-9@.-])(?:[A-Za-z0-9-]+\.)+{TOP}(?:\.cn)?(?![A-Za-z0-9.])(?:/[A-Za-z0-9./?=&%_:#~+-]*[A-Za-z0-9/=])?"
    rf"|(?<![A-Za-z0-9@.-])(?:[A-Za-z0-9-]+\.)+{TOP}(?:\.cn)?(?=\.(?![A-Za-z0-9]))"
)

DAY = r"(?:3[01]|[12][0-9]|0?[1-9])"
MONTH = r"(?:1[0-2]|0?[1-9])"
YEAR = r"(?:19|20)[0-9]{2}"
NO_UNIT = r"(?![0-9个天岁次周月年龄度斤片粒支瓶克两倍分%‰a-zA-Z~*×/]|[ ]?[a-zA-Z%]|\.[0-9]|-[0-9])"
CN_DAY = (
    r"(?:三十一?|二?十[一二三四五六七八九]?|二十[一二三四五六七八九]?|廿[一二三四五六七八九]?|[一二三四五六七八九])"
)
CN_MONTH = r"(?:十[一二]?|[正一二三四五六七八九冬腊])"
ENGLISH_MONTH = r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
DATE = re.compile(
    rf"(?<![0-9.])(?:(?:{YEAR}|[0-9]{{2}})[ ]?年[ ]?)?(?<![0-9.~-]){MONTH}[ ]?月份?[ ]?{DAY}(?:[ ]?[日号](?!线|楼|龄)(?:[、,~至到-]{{1,2}}{DAY}[日号])?|[、,~至到-]{{1,2}}{DAY}[日号])"
    rf"|(?<![0-9.])(?:{YEAR}|[0-9]{{2}})[ ]?年[ ]?{MONTH}[ ]?月{DAY}{NO_UNIT}"
    rf"|(?<![0-9.~个至到-]){MONTH}月{DAY}{NO_UNIT}"
    rf"|(?<![0-9.])(?:{YEAR}|[0-9]{{2}})[ ]?年[ ]?{MONTH}[-./]{DAY}(?![0-9.])"
    rf"|(?<![0-9.-]){YEAR}[ ]?(?P<sep>[-./、·])[ ]?{MONTH}(?P=sep)[ ]?{DAY}(?:(?=[0-9]{{1,2}}:[0-9]{{2}})|(?![0-9]|\.[0-9]|-[0-9]))"
    rf"|(?<![0-9.-])(?:[0-2][0-9]|3[0-5])\.{MONTH}\.{DAY}(?![0-9]|\.[0-9]|[ ]?(?:[a-zA-Z%×*/]|单位))"
    rf"|(?<![0-9.-])(?:[0-2][0-9]|3[0-5])(?P<short>[-/])(?:0[1-9]|1[0-2])(?P=short)(?:3[01]|[12][0-9]|0[1-9])(?![0-9]|[-/.][0-9]|[ ]?(?:[a-zA-Z%×*]|单位))"
    rf"|(?<![0-9.A-Za-z]){YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9A-Za-z]|\.[0-9]){UNITS}"
    rf"|(?<![0-9.])(?:1[0-2]|[1-9])\.(?:3[01]|[12][0-9]|0?[1-9])号(?!线|楼)"
    rf"|(?<![0-9A-Za-z.:/一-龥-])(?<![0-9A-Za-z一-龥] )(?:1[0-2]|[1-9])\.(?:3[01]|[12][0-9]|0?[1-9])(?:日(?!内|后|左右)|(?=发[觉现烧病热]|[做查拍去到]|检查|复查|住院|入院|出院|手术|上午|下午|早上|晚上|凌晨|开始|就诊|确诊|来月经|下[胃肠]))"
    rf"|(?:[〇零一二三四五六七八九]{{2,4}}年)?(?<![一二三四五六七八九十])(?<!个){CN_MONTH}月{CN_DAY}[日号](?!龄)"
    rf"|(?:(?:农历|阴历|旧历){CN_MONTH}月{CN_DAY}|[正腊冬]月{CN_DAY}|(?:农历|阴历|旧历)?{CN_MONTH}月(?:初[一二三四五六七八九十]|廿[一二三四五六七八九]?))(?![一二三四五六七八九十])"
    rf"|(?<![A-Za-z]){ENGLISH_MONTH}[ ]{DAY}(?:st|nd|rd|th)?(?:,?[ ]{YEAR})?(?![0-9A-Za-z%]|\.[0-9]|[ ](?:mg|ml|g|mcg)\b)"
    rf"|(?<![0-9.]){DAY}(?:st|nd|rd|th)?[ ](?:of[ ])?{ENGLISH_MONTH}(?:,?[ ]{YEAR})?(?![A-Za-z])"
    rf"|(?<![0-9一二三四五六七八九十~-])(?:{MONTH}|{CN_MONTH})月(?:{DAY}|{CN_DAY})[日号](?!龄|线|楼)"
    rf"|(?<![0-9/.])(?:(?:{MONTH}/{DAY}|{DAY}/{MONTH})/{YEAR}|(?:0[1-9]|[12][0-9]|3[01])-(?:0[1-9]|[12][0-9]|3[01])-{YEAR})(?![0-9/-])"
    rf"|(?<![0-9/.-])[12][0-9]/{MONTH}/{DAY}(?![0-9/.]|[ ]?[a-zA-Z%×*单])"
    rf"|(?<![0-9A-Za-z/.:-])(?:1[0-2]|0?[2-9]|0?1(?=/[0-9]{{2}}[日号发做去早晚上下开]))/(?:3[01]|2[0-9]|1[3-9])(?![0-9/.%次片粒小天周月岁米元以分支袋两年度个A-Za-z]|[ ]?[a-zA-Z])"
)
INSULIN = re.compile(r"胰岛素|诺和|优泌|赖脯|门冬|甘精|早中晚|三餐|单位")
"""「诺和灵 12.8.10」 is three doses, no day in 2012."""

SERIAL = r"(?P<hit>[A-Za-z]{0,4}[/-]?[0-9][0-9A-Za-z*/-]{2,24}(?:[ ][0-9]{4}(?![0-9年.]))*)(?![0-9A-Za-z])"
FILES = (
    r"病历|病案|病例|住院|门诊|就诊|挂号|登记|床位|医保|社保|新农合|就诊卡|诊疗卡|医疗卡|健康卡|检查|检验|化验|标本|样本|条码|条形码|影像|放射|X线|CT|MRI?|超声"
    r"|病理|蜡块|处方|订单|预约|取号|流水|发票|收据|保单|工号|学号|银行卡|信用卡|储蓄卡|卡|账|帐|患者|病人|编|档案|报告单?|申请单"
)
RECORD = re.compile(
    rf"(?:{FILES})(?:片|卡|单)?(?:号码|编号|序号|号|ID|id|No\.?|NO\.?)[ ]?(?:[:是为#№]{{1,2}}|尾号|No\.)?[ ]?{SERIAL}"
    rf"|(?:ID号?码?|MRN|[Mm]edical record (?:number|no\.?)|[Cc]hart (?:number|no\.?)|[Aa]ccount (?:number|no\.?)|[Cc]ase (?:number|no\.?)|[Pp]atient ID|[Rr]ecord (?:number|no\.?))[ ]?(?:is|:|#)?[ ]?{SERIAL.replace('hit', 'file')}"
    r"|(?:医保卡|社保卡|就诊卡|诊疗卡|健康卡|医疗卡|病历本|腕带)[ :是为]{0,2}(?P<plate>[A-Za-z]{0,2}[0-9]{6,20})(?![0-9])"
    r"|(?:银行卡|信用卡|储蓄卡|工行|建行|农行|中行|招行|账户|账号|帐号|卡号|转账)[^0-9\0]{0,6}(?P<card>[0-9](?:[ -]?[0-9]){11,18})(?![0-9])"
)
FILED = re.compile(rf"(?:{FILES})(?:片|卡|单)?(?:号码|编号|序号|号|ID|No\.?)[ ]?[:是为]?[ ]?$")
BED = re.compile(
    r"(?<![0-9.])(?:加[ ]?)?[A-Za-z]?[0-9]{1,4}(?:[+-][0-9]{1,2})?[ ]?号?(?:病床|床位|床)(?![被单垫棉板上以大小头尾]|位数|护|张)"
    r"|[一二三四五六七八九十]{1,4}号(?:病)?床"
    r"|床位?(?:号|编号)?[ ]?[:是]?[ ]?(?P<hit>加?[0-9]{1,4})(?![0-9])(?!元|块|天|张|米|个|多|万|岁|年|月|小)"
)
LONG = re.compile(r"(?<![0-9A-Za-z.])[0-9]{4}(?:[ -]?[0-9]{4}){2,3}(?:[ -]?[0-9]{1,3})?(?![0-9A-Za-z.])")
"""Twelve digits and more on their own: no measurement has so many that count."""


class Shape(NamedTuple):
    """A kind of identifier: what must be in the text for it to be worth looking, and what it looks like."""

    kind: str
    hint: re.Pattern[str]
    pattern: re.Pattern[str]
    holds: Callable[[str, "re.Match[str]"], bool] = lambda text, found: True


def no_insulin(text: str, found: re.Match[str]) -> bool:
    """Whether dotted numbers are a date."""
    return "年" in found[0] or "月" in found[0] or not INSULIN.search(text[max(0, found.start() - 12) : found.start()])


def no_round_number(text: str, found: re.Match[str]) -> bool:
    """Whether a long number has digits that count to its end, and is no barcode of goods made in China."""
    return not found[0].endswith("0000") and not re.fullmatch("69[0-9]{11}", found[0])


def identity(text: str, found: re.Match[str]) -> bool:
    """Whether a number is a person's: one that is called an order or record number needs the right checksum."""
    before = text[max(0, found.start() - 12) : found.start()]
    return "证" in before or not FILED.search(before) or checked(found[0])


def checked(number: str) -> bool:
    """Whether the last character of an 18-digit identity number is its checksum (GB 11643)."""
    digits = re.sub("[ -]", "", number).upper()
    if not re.fullmatch("[0-9]{17}[0-9X]", digits):
        return False
    return (
        "10X98765432"[sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(digits[:17])) % 11]
        == digits[17]
    )


DATED = re.compile(
    r"月[份 ]?[初廿0-9一二三四五六七八九十 ]|[0-9][ ]?[./、·-][ ]?[0-9]{1,2}[./、·-]|[0-9]\.[0-9]{1,2}[^0-9 a-zA-Z%]|(?:19|20)[0-9]{6}|[0-9]/[0-9]{2}|[A-Z][a-z]{2}|年[ ]?[0-9]"
)
DIGITS = re.compile("[0-9][0-9 .()+*xX转-]{5}")
SHAPES = (
    Shape("mail", re.compile(r"@|\(at\)|\[at\]|艾特|[ ][aA][tT][ ]"), MAIL),
    Shape("url", re.compile(r"://|[Ww]{3}\.|[A-Za-z0-9]\.[a-z]{2}"), URL),
    Shape("id_number", DIGITS, ID_NUMBER, identity),
    Shape("id_number", re.compile("证|护照|驾照|SSN|assport"), CUED_ID),
    Shape(
        "chat",
        re.compile(f"[A-Za-z0-9_-]{{4}}|[0-9 ]{{5}}|同号|{SPELLED}{{5}}|公众号|视频号|抖音|快手|微博|小红书"),
        CHAT,
    ),
    Shape("phone", DIGITS, PHONE),
    Shape("phone", DIGITS, CUED_PHONE),
    Shape("phone", re.compile(f"{SPELLED}{{3}}[ -]?{SPELLED}{{4}}"), SPELLED_PHONE),
    Shape("phone", re.compile("尾号|后.位"), TAIL),
    Shape("record", re.compile("[0-9A-Za-z]{3}"), RECORD),
    Shape("record", re.compile("床"), BED),
    Shape("record", re.compile(r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}"), LONG, no_round_number),
    Shape("date", DATED, DATE, no_insulin),
)


def shaped(text: str, folded: str) -> Iterator[Hit]:
    """Every identifier with a shape of its own, overlaps included."""
    for kind, hint, pattern, holds in SHAPES:
        if not hint.search(folded):
            continue
        for found in pattern.finditer(folded):
            if holds(folded, found) and not PRODUCT.search(folded[max(0, found.start() - 14) : found.start()]):
                group = next(
                    (name for name in found.re.groupindex if name not in ("sep", "short", "what") and found[name]), 0
                )
                start, end = found.span(group)
                told = "phone" if kind == "chat" and re.fullmatch(MOBILE, folded[start:end]) else kind
                told = "id_number" if pattern is TAIL and found["what"] == "身份证" else told
                yield Hit(told, start, end, text[start:end])
