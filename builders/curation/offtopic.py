"""Talk that a text model cannot share: pictures, voice messages, booking, ratings, the platform's own phrases.

Only a bubble that is nothing but such talk is dropped; whatever a clause says of medicine keeps the whole bubble.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, NamedTuple

from builders.curation.bubbles import Said
from builders.curation.formulas import WORDLESS, clauses, fold, is_courtesy, substance

Kind = Literal["picture", "voice", "booking", "rating", "platform", "wordless"]

PLACEHOLDER = re.compile(
    r"\s*[\[【<(（]?(?:图片|图|照片|语音|视频|文件|image|img|voice|表情)[^一-鿿]{0,12}[\]】>)）]?\s*", re.IGNORECASE
)
MEDICAL = re.compile(
    r"胸片|片子|拍个?片|b超|彩超|超声|ct|核磁|造影|x光|拍.{0,3}[背嗝奶]|拍拍|检查(?!单|结果|报告)|化验(?!单|结果|报告)|什么科|哪个?科|科室"
    r"|考虑|可能|建议|说明(?!书)|粘液|奶瓣|正常|异常|偏[高低]|颜色|[黄绿红黑白]色|感染|炎|治疗|严重|厉害|名字|名称|叫什么|[痛疼痒咳烧吐泻肿晕喘痰]|声音?|[耳喉嗓心肺]"
    r"|服用|盐水|输液|住院|毫升|\d\s*(?:次|度|天|片|ml|mg)"
)
"""A clause with any of these is no mere talk about pictures or bookings."""
TALK: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "voice",
        re.compile(r"语音|打(?:一下)?字|(?:最后一句|你|您|说的?).{0,4}听不|(?:能|可以)听(?:清楚?|见|到)(?:吗|么|我|$)"),
    ),
    (
        "picture",
        re.compile(
            r"图片|照片|相片|拍(?:照|图|下来)|拍(?:个|一)?张|(?:方便|麻烦|可以|能).{0,4}拍(?:一下|个)|截图|上传|传(?:上来|一下|给|过来|图)"
            r"|(?:拍|发|录)[^，]{0,3}视频|视频[^，]{0,3}(?:发|过来|给[我你您])"
            r"|(?<![激引诱爆复频多])发(?:图|张|个图|过来|上来|给[你您我]|[我你您]看|一下(?:吧|看|$))"
            r"|(?:看|有|带)[^，]{0,4}(?:化验单|报告单|检查单)|(?:化验单|报告单?|检查单|血单|化验结果|检查结果|说明书)[^，]{0,10}(?:看看|看下|看一下|有吗|发|传)"
            r"|^(?:我|你|您|帮[你您]|给[你您我]|我来)?(?:看看|看一下|看下)(?:吧)?$|我?需要确认一下的?$"
        ),
    ),
    (
        "booking",
        re.compile(
            r"挂号|加号|预约|出诊|坐诊|出门诊|门诊时间|电话咨询|电话联系|加(?:我|个|一下)?.{0,3}微信|微信号|扫码|公众号|qq号?$|手机号|下载.{0,6}app"
        ),
    ),
    (
        "rating",
        re.compile(
            r"好评|五星|心意|采纳|打赏|点赞|送.{0,3}(?:赞|花)|赠送.{0,6}赞|赞(?:数|的数)|(?:请|记得|麻烦|给[与予个]?).{0,8}评价|关注我$"
        ),
    ),
    (
        "platform",
        re.compile(
            r"对话框|会话|(?<![化疫经吸环尿殖泌血])系统(?:提示|会|将|自动)|自动关闭|关闭(?:对话|服务)|付费|收费|结束服务|康复记录|再次咨询"
            r"|(?:超过|以免).{0,6}分钟.{0,8}(?:回复|关闭)|我的问题.{0,4}看到|看不到吗"
        ),
    ),
)
PLATFORM_FORMULA = re.compile(
    r"辅诊医生|接诊医生|责任医生|更好.{0,12}服务|如实作答|自动关闭|关闭.{0,3}(?:对话|会话|服务)|收到.{0,4}回复|(?:^|[^一-鿿]|[您你还])(?:在|再)(?:吗|么|不)|^我?在(?:的|呢|啊)?$|对话框|稍等|^等|马上"
)
"""Formulas that the platform makes a doctor type, and the waiting in between."""
NOTHING_TO_SHOW = re.compile(
    r"(?:没|不|有|好|可以|行|嗯|哦|恩|能|我?刚|已经|现在|拿去|扔|丢|收|等|我(?:去|找|看|没|拿|让))"
)
SYMPTOM = re.compile(r"[痛疼痒咳烧热吐泻拉尿血肿晕麻胀痰喘涕药炎稀\d]")
FRAGMENT = 3
"""Characters of a clause that says nothing without the one beside it: 「用完了」."""
SHORT_REPLY = 10
"""Characters of a reply that can be nothing but 「没有照片」."""

SEES = re.compile(
    r"(?:从|根据|通过|结合|看着?)[^，。?！]{0,8}(?:图片|照片|相片|化验单|图像|(?:发|传)的图)[^，。?]{0,6}(?:看|显示|提示|判断|来说|上|考虑)"
    r"|(?:照片|图片)(?:上(?!来|传|一)|里|中|看(?!看|下|一)|显示|有些|颜色|来看|发的)|第[一二三四两1-4]张(?:图|照片|化验单)"
    r"|(?<!医生)我?看(?:到|见|过|清楚|清)?了?(?:一下|下)?(?:你|您)(?:发|传|上传|拍)[^，。?]{0,4}的?[^，。?]{0,6}(?:图|照片|化验单|报告|片子|结果|检查)"
    r"|我看了(?:一下)?(?:报告|化验单|图片|照片|片子)|看了[^，。?]{0,8}(?:图片|照片|化验单|常规结果|化验结果)|这回看清|看清楚了|(?<![电像波谱])图上|片子看(?:着|上去|起来)"
)
"""A doctor who judges by what only he sees."""
SHOWS = re.compile(
    r"(?:如|见|请看|看)(?:上|下|附|以下|这个)?图(?!像|文)|(?:那|这)个?照片.{0,4}的|(?:图片|照片)(?:上|里|中)的|如(?:上|下)?图|(?:see|as shown in) the (?:attached )?(?:picture|photo|image)"
)
"""A patient who lets a picture speak."""
SHOWING = 4
"""Bubbles back in which pictures were spoken of, when something unseen arrives."""


class OnTopic(NamedTuple):
    """What is left of the bubbles, and how many of each kind were dropped."""

    said: list[Said]
    dropped: Counter[str]


def kind_of(text: str) -> Kind | None:
    """What a bubble is about when it is nothing but talk about it; None for everything else, courtesy included."""
    if WORDLESS.fullmatch(text) or PLACEHOLDER.fullmatch(text):
        return "wordless"
    said = [clause for clause in clauses(text) if not is_courtesy(clause)]
    if not said:
        folded = fold(text)
        rates = next((True for kind, words in TALK if kind == "rating" and words.search(folded)), False)
        return "rating" if rates else "platform" if PLATFORM_FORMULA.search(folded) else None
    kinds = [kind for kind in map(_clause_kind, said) if kind]
    rest = [clause for clause in said if not _clause_kind(clause)]
    mere = all(len(clause) <= FRAGMENT and not SYMPTOM.search(clause) for clause in rest)
    return kinds[0] if kinds and mere else None


def without_offtopic(said: Sequence[Said]) -> OnTopic:
    """Drop bubbles of mere talk, and the patient's 「没有」 where all the doctor had said was dropped."""
    kept: list[Said] = []
    dropped: Counter[str] = Counter()
    unasked: Kind | None = None
    for number, bubble in enumerate(said):
        kind = kind_of(bubble.text)
        if kind == "booking" and _is_answered(said, number):
            kind = None
        if bubble.speaker == "doctor":
            starts = number == 0 or said[number - 1].speaker != "doctor"
            unasked = kind if kind and (starts or unasked) else None
        elif unasked and not kind and _has_nothing_to_show(bubble.text):
            kind = unasked
        if kind:
            dropped[kind] += 1
        else:
            kept.append(bubble)
    return OnTopic(kept, dropped)


def depends_on_picture(said: Sequence[Said]) -> str:
    """The words that only somebody who sees the picture understands; empty when there are none."""
    for number, bubble in enumerate(said):
        folded = fold(bubble.text)
        found = (SEES if bubble.speaker == "doctor" else SHOWS).search(folded)
        if found:
            return found[0]
        if bubble.speaker == "patient" and _arrives(said, number):
            answer = said[number + 1].text if number + 1 < len(said) else ""
            if substance(answer) and not re.search(r"[?？]|吗|么|没|几|上传|重新|[发传拍]", answer):
                return answer
    return ""


def _is_answered(said: Sequence[Said], number: int) -> bool:
    """A patient asks how to book, and the doctor says something about it: without the question it would hang in the air."""
    after = said[number + 1] if number + 1 < len(said) else said[number]
    asks = said[number].speaker == "patient" and after.speaker == "doctor"
    return asks and kind_of(after.text) is None and substance(after.text) != ""


def _arrives(said: Sequence[Said], number: int) -> bool:
    """Something unseen comes from the patient, after talk about pictures, and the doctor speaks next."""
    if said[number].text.strip() and not PLACEHOLDER.fullmatch(said[number].text):
        return False
    spoken_of = any(_about_pictures(bubble.text) for bubble in said[max(0, number - SHOWING) : number])
    return spoken_of and number + 1 < len(said) and said[number + 1].speaker == "doctor"


def _about_pictures(text: str) -> bool:
    return any(_clause_kind(clause) == "picture" for clause in clauses(text))


def _clause_kind(clause: str) -> Kind | None:
    if MEDICAL.search(clause):
        return None
    return next((kind for kind, words in TALK if words.search(clause)), None)


def _has_nothing_to_show(text: str) -> bool:
    said = fold(text).strip()
    return len(said) <= SHORT_REPLY and not SYMPTOM.search(said) and NOTHING_TO_SHOW.match(said) is not None
