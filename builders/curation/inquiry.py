"""What a doctor's turn does: asks, advises or judges, both, or is courtesy alone; by rules for Chinese and simple English."""

import re
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from builders.curation.formulas import CLAUSE_END, fold, is_courtesy
from schemas.dialogue import Act

SENTENCE_END = re.compile(r"(?<=[。！!？?；;\n])|(?<=[a-z)]\.)(?=\s)")
LOST_EMOJI = re.compile(r"[?？]{3,}|^[?？\s]+$")
LONG_SENTENCE = 26
"""Characters from which a sentence that ends in 。 is prose, whose 是否 and 哪些 ask nothing; shorter ones are dictated."""
PARTICLE = re.compile(r"(?:吗|么|呢)$")
NUMBERED = re.compile(r"^\s*(?:\(?\d{1,2}[.、)）]|[-*•·])\s*")

TAG = re.compile(r"(?:好|行|可以|知道|明白|懂|清楚|记住)(?:了)?(?:吗|么|不|吧|没)|好不好|行不行|怎么样")
"""At the end of advice these ask nothing: 「今晚先别吃，好吗？」"""
CONFIRMS = re.compile(r"(?:对|是)(?:吗|吧|么|不)|是不是|对不对")
QUOTES = re.compile(r"(?:您|你)(?:是)?(?:问|提问|说|想问)")
NO_QUESTION = re.compile(
    r"(?:看|听|摸|分析|区分|查|了解|明确|评估|注意|观察|判断|排除|确定|确认|取决于|知道|清楚|鉴别|监测|教|决定|检查|复查)[^，]{0,8}(?:是否|有没有|有无|是不是|会不会|怎么|什么|哪|多|几|如何|能不能|还是)"
    r"|不(?:管|论|知道?|清楚|用|是)|无论|没(?:有)?(?:什么|多|几)|(?:关于|以下|有|这|那)几(?:个|种|点|项)|几个(?:问题|可能|方面|原因)|关于是否|不是(?:告诉|说|讲|跟)|什么(?:的$|[^，]{0,6}(?:都|也))|有什么[^，]{0,8}(?:随时|再|可以|及时)"
    r"|多少[^，]{0,3}(?:就|算|有点|会|都)|哪(?:怕|里都|个都|种都|儿都)|怎么样?(?:都|把|也)|(?:这|那|过|再|好|前|后|等|隔|用|吃|观察|调理|休息|坚持|多[^，]{0,2})(?:上|个)?几[天次个日周]|几[^，]{1,3}(?:就|即|后|内|以)"
)
"""Where a question word asks nothing."""
STAYS_A_QUESTION = re.compile(
    r"(?:吃|用|观察|调理|坚持)几[天次个日周](?:了|啦)|(?:看|查|检查|复查)[^，]{0,4}(?:过|了)?(?:吗|么|没|没有)$|^不?知道[^，]*(?:吗|么)$"
    r"|几[天次个日周][^，]{0,4}(?:有没有|有无|是否|是不是)"
)
QUESTION = re.compile(
    r"(?:吗|么|嘛|呐)$|(?<![还着])呢$|有没有|有无|是否|是不是|能不能|会不会|要不要|可不可以|(?!动不动|时不时)(?P<twice>[一-鿿])不(?P=twice)"
    r"|多(?:久|大|高|重|少|长时间|长|远|粗|厚)|几(?:天|次|个|岁|周|月|年|度|片|粒|点|斤|公斤|顿|支|包|日|回|遍|瓶|小时|分钟|级|公分|厘米)"
    r"|什么|啥|^还是[^建要得需应会有很比可考不]|哪|怎么样|怎样|怎么|如何|何时|谁"
    r"|(?<=[^也都还应该就是很])(?:没有|没)$|(?<=[^要从决并可])(?:不|否)$"
    r"|^(?:请)?(?:您)?(?:能|方便|可以)?(?:详细|具体)?(?:说说|描述一下|说一下|讲讲|告诉我)"
    r"|(?:发|传)[^，]{0,4}(?:过来|一下|给我|上来)|上传"
    r"|(?:是|在|喝|吃|用|拉|痛|疼|咳|白天|上午)[^，]{1,12}还是(?![^，]{0,3}(?:建议|要|得|需|应|会|有|很|比|可|考虑|不))[^，都]{2,}$"
)
ENGLISH_QUESTION = re.compile(
    r"^(?:(?:okay|ok|so|and|all right|alright|good|great|well|now|then|also|i see|hm+|but|oh)[,.]?\s+)*"
    r"(?:(?:what|how|when|where|which|who|whose|why)\b(?! i )"
    r"|(?:did|do|does|have|has|had|are|is|was|were|can|could|would|will|any)\s+(?:you|he|she|they|it|there|your|the|her|his|any|this|that|anyone|anybody|we|i)\b"
    r"|(?:please )?(?:tell me|describe|walk me through|let me ask|talk to me about)|any )"
)
ADVISES = re.compile(
    r"建议|要(?:补|多|少|注意|看|去|做|用|吃|查|住院)|应该|应当|需要|必须|最好|尽量|可以|不要|别|避免|禁|忌|注意|继续|先|服用|口服|外用|涂|多喝|多吃|少吃|吃点|吃上|喝点|用点|换成|加上|停了?药|坚持|按时|及时|定期"
    r"|考虑|可能|不排除|怀疑|属于|说明|提示|估计|像是|一般|引起|导致|造成|因为|由于|所以|有关|关系|正常的|没事|没问题|问题不大|放心|不用|不需要|不必|不能|没必要"
    r"|偏高|偏低|有点高|有点低|升高|降低|好转|轻度|中度|重度|会好|会[^，]{0,4}的$|就行|就好|差不多|按说|好处|坏处|副作用|的(?:话)?就"
    r"|(?<![没有无])有[^没，]{0,6}(?:症状|炎症|感染|炎)|^(?:就|还|那个?|这个?)?是[^否不什哪谁][^，]{0,16}$|^(?:对|是的|可以|没有|不是|不会|有的|有可能|会的)$"
)
"""In a turn that also asks, a clause that does more than lead up to the question."""
LEADS_UP = re.compile(
    r"(?:需要|想|要|得)(?:再|进一步|先)?(?:了解|询问|问|确认|知道)|几个(?:问题|可能)|为了(?:更|进一步|准确|明确)|以便|这将有助|请您?(?:尽量|提供|详细|如实|回答)|我了解到|您(?:之前|刚才)?(?:提到|说)|根据(?:您|你)的(?:描述|情况)$|医生建议(?:您|你)"
)
ENGLISH_ADVISES = re.compile(
    r"\b(?:recommend|suggest|should|need to|let's|i(?:'d| would) (?:like|want)|i(?:'ll| will)|we(?:'ll| will| can| should)|i think|i believe|likely|probably"
    r"|sounds like|looks? (?:good|like|a)|may be|might be|could be|don't|do not|avoid|continue|take (?:one|two|a|the|it|this)|prescri|normal|because)\b"
    r"|^(?:your|the|it|that|this)\b.*\b(?:is|are|looks?|has|have|was|were) (?!that)|^(?:yes|no)\b"
)


class _Clause(NamedTuple):
    text: str
    asks: bool
    advises: bool


def act_of(text: str) -> Act:
    """What a doctor's turn does; `close` is courtesy alone, be it goodbye, thanks, a greeting or 「嗯」."""
    said = _read(text)
    if not said:
        return "close"
    asks = any(clause.asks for clause in said)
    advises = any(clause.advises for clause in said)
    if asks:
        return "both" if advises else "ask"
    return "advise"


def questions_in(text: str) -> int:
    """How many questions a doctor's turn asks; 「发烧吗，咳嗽吗？」 are two."""
    return sum(clause.asks for clause in _read(text))


@lru_cache(maxsize=4096)
def _read(text: str) -> tuple[_Clause, ...]:
    """Every clause that is more than courtesy, with what it does."""
    said: list[_Clause] = []
    sentences = [NUMBERED.sub("", sentence) for sentence in SENTENCE_END.split(LOST_EMOJI.sub("", fold(text)))]
    for sentence in sentences:
        said += _sentence(sentence.strip(), said)
    return tuple(_without_answered(said))


def _sentence(sentence: str, before: list[_Clause]) -> list[_Clause]:
    marked, prose = sentence.endswith("?"), len(sentence) > LONG_SENTENCE and sentence.endswith("。")
    parts = [part.strip(" \"“”'()") for part in CLAUSE_END.split(sentence)]
    parts = [part for part in parts if part and not re.fullmatch(r"[\W_]*", part)]
    if marked and re.search(r"[a-z]{2}", sentence) and not re.search(r"[一-鿿]", sentence):
        parts = [sentence]  # an English question is one, whatever its commas
    said: list[_Clause] = []
    for number, part in enumerate(parts):
        if is_courtesy(part.rstrip("?")) or (marked and all(map(is_courtesy, parts))):
            continue
        last = marked and number == len(parts) - 1
        earlier = [*before, *said]
        asks = _asks(part.rstrip("?"), earlier[-1] if earlier else None, marked=last)
        asks = asks and not (prose and not PARTICLE.search(part))
        if TAG.fullmatch(part.rstrip("?")) and earlier and not asks:
            continue
        said.append(_Clause(part, asks, not asks and _advises(part)))
    return said


def _asks(clause: str, before: _Clause | None, *, marked: bool) -> bool:
    told, advised = before is not None and not before.asks, before is not None and before.advises
    if (told and TAG.fullmatch(clause)) or (advised and CONFIRMS.fullmatch(clause)):
        return False
    if not re.search(r"[一-鿿]", clause):
        return marked or ENGLISH_QUESTION.match(clause) is not None
    if marked:
        return True
    if QUOTES.match(clause) and not clause.endswith(("吗", "么", "呢")):
        return False
    if NO_QUESTION.search(clause) and not STAYS_A_QUESTION.search(clause):
        return bool(re.search(r"(?:吗|么)$", clause)) and not TAG.fullmatch(clause)
    return QUESTION.search(clause) is not None


def _advises(clause: str) -> bool:
    if re.search(r"[一-鿿]", clause):
        return ADVISES.search(clause) is not None and LEADS_UP.search(clause) is None
    return ENGLISH_ADVISES.search(clause) is not None


def _without_answered(said: list[_Clause]) -> list[_Clause]:
    """「为什么会反复呢？主要是因为……」: a question that its asker answers is none."""
    read: list[_Clause] = []
    for clause, after in zip_longest(said, said[1:]):
        answered = after is not None and re.match(r"(?:这|主要|一般|其实)?(?:是)?(?:因为|由于|原因)|主要是", after.text)
        rhetorical = clause.asks and answered and re.search(r"为什么|怎么会|为何", clause.text)
        read.append(_Clause(clause.text, False, True) if rhetorical else clause)
    return read
