"""What a text denies or advises against: cues, how far each reaches, and what looks like one but is none.

没有发烧、咳嗽和呕吐 denies all three; 不排除肺炎 denies nothing; 阿司匹林不能吃 reaches back to what stands before it.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Literal, NamedTuple

MARK = r"(?:[，。；！？!?;\n,:：]|\.(?!\d))"
"""Ends a clause."""
NONE = re.compile(
    rf"[不没](?={MARK}|$)|没有(?=[？?])|"
    r"不(?:能够?|可|可以|应|会)?(?:完全)?(?:排除|除外)|不可避免|不得不|不能不|不可不|不会不|并非不|(?:也|并)?不是不(?:能|可以|可|行)?|没有不|无不|离不开|免不了|少不了|不无|未尝不|不能没有|不可缺少|不可或缺"
    r"|是不是|有没有|有没(?=\ue000)|能不能|会不会|要不要|可不可以|好不好|行不行|对不对|用不用|需不需要|该不该|应不应该|吃不吃|有无|是否|能否|可否|([^\ue000])[不没]\1"
    r"|不适(?!合|宜|用|于)|不良|不足|不全|不仅|不但|不光|不只是|不管|不论|不断|不同(?!房|床|意)|不一样|不相同|不过(?!量|度|多)|不久|不停|不止|不便|不孕|不育|不好意思|不知道?|不客气|不用谢|不少(?!于)|不明原因|不规则|不得已|不耐受|不济"
    r"|差不多|对不起|不一定|不然|(?<![只需])要不(?!要)|不由|不错|不愧|不幸|不安|不振|不畅|不通畅|不到(?=\d)|不满(?=\d)|不妨(?!碍)|不失为|来不及|不得了|了不起|不胜|不懈|不解|不禁|不堪|不利于?|不齐|不清|不整|不宁|忍不住|不咋|不怎么样|不当|不定|不雅|不注意|只不过|从不|不见得|不再(?=发)|不单|不比"
    r"|无论|无力|无所谓|无形|无聊|无菌|无数|无意|无奈|无精打采|无从|无疑|无害|无创|无线|无痛|无比|毫无疑问|不要紧|没事|没有?关系|没有?根据(?=的)|没问题|没什么(?:大)?(?:事|问题|关系)|没有?(?:大|什么)?问题|没准|没错|没劲|没精神|没胃口|没力气"
    r"|未来|未必|未免|未婚|未成年|特别|分别|个别|级别|性别|差别|区别|鉴别|识别|类别|别人|别的|别处|别墅|别名|告别|非常|除非|非但|非典|非酒精|非甾体|非特异|是非|并非如此|莫名|莫大|莫非|免疫|难免|不免|避免不了|缺少|多少|至少|很少|少量|少许|少数|少年|少女|少见|禁不住|禁忌症|禁忌证|忌讳|无偿|防止|阻止|停经|停留|胎停|停育|可(?P<may>.)可不(?P=may)|[不没](?:好转?|见好|行|退|消|来|怀|管用)(?=[换做查拍加去试治补切修])|[查做打吃拔用]不(?=\ue000)|[不没](?:好转?|退|消|愈合?)的|还不(?![能可要宜行用])"
)
"""Compounds without force of their own, and questions."""
CUE = re.compile(
    r"(?P<potential>(?<=\w)不(?:上|下|了|动|出|开|起来|住|掉|进|着|平|稳)(?!来))|"
    r"不(?:建议|推荐|主张|提倡|支持|赞成|允许|鼓励)|(?:不|没有?)(?:必要|需要|用|必|须|需|宜|能够|能|可以|可|得|要|准|许|该|应该|应|会|再|是|属于|考虑|再|太|大|很|怎么|敢|想|光|只)?|没(?:有?办)?法|难以|没有?|未(?:曾|能|见|发现|出现|检出|查见|闻及|触及|引出)?|无(?:需|须|法|明显)?"
    r"|禁(?:止|忌|用|服|食)?|严禁|切忌|忌(?:用|食|口)?|切勿|勿|莫|(?<!特|分)别|休想|避(?:免|开)|杜绝|远离|戒(?:掉|除|断)?|停(?:止|用|服|掉|药|吃)?|慎(?:用|服|重)|排除|否认|拒绝|并非|绝非|非(?=\w)|尚未|从未|毫无|(?<![减多很缺至较最])少(?![量许数年女见儿于尿精有气部白经])|减少(?=[爬吃喝饮看玩走]|[^，。；,\n]{0,6}(?:摄入|食用|饮用|使用))|欠(?=佳|好)|至多|最多|只能|偶尔|控制|限制|低(?=[盐脂糖])|放下|防(?=\w)|免(?=\w)|拒"
)
"""A cue takes with it the verb that carries it: what follows is what is denied."""
END = re.compile(
    rf"{MARK}|但|却|可是|不过|而(?!已)|否则|因为|(?<![会要有未不用])(?:所以|因此)|就(?=[可能会要是行需应])|才(?=[可能会要是行])|的话|(?<=[吃用喝做动])(?=会)|(?<=[别要能][吃用喝碰])了(?=.)|(?<=[不没未][好行退])(?=[做再就换加来去拍查])|、(?=要|可|应|需)|[也还都就](?:要|可以)|应当|(?<=.)(?:可以|应该|需要|必须|建议|请)|(?<![会要有未不用])(?:导致|引起|造成)|(?<=\w)(?<![总还只不但可要于虑])是(?!否)|的时候"
)
CLAUSE = re.compile(MARK)
BACK = 12
"""Characters before a cue that it may reach when nothing follows it."""
REACH = 24
HIDDEN = "\ue000"
"""Stands for a character of an entity: 不想吃饭 is one symptom, and its 不 denies nothing."""
Force = Literal["firm", "soft", "doubtful", "idle"]
"""没有, 不要; 少, 避免, which advise as well as deny; what is only asked or supposed; what proves nothing."""
LIMITS = re.compile("至多|最多|只能|偶尔|控制|限制|低")
"""Cues that answer a 不超过 or 少 of the other text, but deny nothing that is named after them."""
SOFT = re.compile(f"{LIMITS.pattern}|停|减少|少|戒|防|免|放下|欠|慎|避|远离|杜绝|没(?:有?办)?法|无法|难以")
"""Cues of less force: only a recommendation turns them round."""
MILD = re.compile("不(?:太|很|怎么|算)?[大多高重深长快久]")
"""面积不大 is 面积小."""
UNDER = re.compile(
    "((?:不(?:能|要|可|可以|宜|应|建议|需要|需|用|必|得|许|会)?|没(?:有)?必要|别|勿|切勿|切忌|莫|无需|无须|可以|需要|(?<!可)能)(?:再|自行|自己|自已|私自|随意|随便|擅自|突然|骤然|马上|立即|轻易|特别|刻意|严格|完全|过早|提前|长期|因此|特意)?)(停(?!留)|戒(?!指)|忌|避免|禁止?)"
)
"""What is denied or allowed is the stopping itself: 不能停药."""


class Denial(NamedTuple):
    """A cue, the clause before it and what it denies, as places in the text."""

    before: int
    cue: int
    start: int
    end: int
    force: Force
    stops: bool
    """It is a 停: evidence about a named drug alone."""


def denials(text: str) -> Iterator[Denial]:
    """All denials of a folded text in which the entities are hidden, left to right; each ends where the next begins."""
    plain = NONE.sub(lambda found: HIDDEN * len(found[0]), text)
    plain = UNDER.sub(lambda found: found[1] + HIDDEN * len(found[2]), plain)
    cues = list(CUE.finditer(plain))
    opened = 0
    for cue, following in zip_longest(cues, cues[1:]):
        for mark in CLAUSE.finditer(plain, opened, cue.start()):
            opened = mark.end()
        limit = min(following.start() if following else len(plain), cue.end() + REACH)
        stop = END.search(plain, cue.end(), limit)
        end = stop.start() if stop else limit
        soft = cue["potential"] or SOFT.match(cue[0]) or MILD.match(plain, cue.start())
        yield Denial(
            opened,
            cue.start(),
            cue.end(),
            cue.end() if cue["potential"] else end,
            "soft" if soft else "firm",
            cue[0][0] == "停",
        )


_EMPTY = re.compile(
    r"(?:[吃用服喝做打涂抹擦选需要再去了的吧呢啊哦过着管治疗使好太多乱自行随便随意这个药它先也都是能可以\s]|处理|进行|选用|服用|食用|使用|饮用|应用)*"
)


def says_nothing(reach: str) -> bool:
    """Nothing but verbs and particles follows the cue: it denies what stands before it."""
    return _EMPTY.fullmatch(reach) is not None


def hide(plain: str, spans: Iterable[tuple[int, int]]) -> str:
    """A folded text with its entities hidden; the spans are in order and do not overlap."""
    parts, last = list[str](), 0
    for start, end in spans:
        parts += [plain[last:start], HIDDEN * (end - start)]
        last = end
    return "".join([*parts, plain[last:]])
