"""Chinese prose in pieces: sentences and clauses, which of them ask, and which have medical content."""

import re
from collections.abc import Iterable

from builders.engine.rehearsal.lexicon import entries_in

SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;]*")
CLAUSE = re.compile(r"[^，,、。！？!?；;：:\n]+")
ASKS = re.compile(
    r"[？?]|(?:吗|(?<![什那这怎多])么|(?<![还着])呢|(?<=[^要从决并可])不|(?<=[^也都还应该就是很])没)[。，\s]*$"
)
"""A question mark, or words that leave none out: 发烧不, 化验没."""
WONDERS = re.compile(r"什么|啥|哪|怎么|怎样|多久|多长|多少|几|还是|是否|有无|谁|(?P<twice>[一-鿿])[不没](?P=twice)")
"""Words of a question that also stand in statements: what ends on neither mark is left without one."""
ENDS = "。！？!?"
NUMBER = r"\d+(?:\.\d+)?(?:\s*[-~～至到]\s*\d+(?:\.\d+)?)?"
UNIT = r"(?:mg|μg|ug|g|ml|mmHg|mmol/L|毫克|微克|克|毫升|毫米汞柱|片|粒|丸|袋|支|滴|包|℃|度|天|周|个月|年|小时|次|%|％)"
AMOUNT = re.compile(rf"{NUMBER}\s*{UNIT}|[一二两三四五六半]\s*(?:片|粒|丸|袋|支|滴|包|毫克|毫升)", re.IGNORECASE)
"""A number with its unit: doses, values, durations."""
NAMED = re.compile(r"[炎病癌瘤片丸膏]|胶囊|颗粒|口服液|注射液|综合征|感染|溃疡|霉素|沙星|西林|拉唑|地平|洛尔|他汀")
"""What a diagnosis or a drug is known by when the lexicon lacks it."""
MEDICAL = re.compile(
    r"[不没无未药症疹]|避免|禁|忌|检查|化验|彩超|B超|CT|磁共振|手术|治疗|服|疼|痛|发热|发烧|咳|血|饮食|吃|休息|复查|门诊|住院"
)


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text, with the mark they end on."""
    return [found for piece in SENTENCE.findall(text) if (found := piece.strip()) and re.search(r"\w", found)]


def first_clause(text: str, *, longest: int) -> str:
    """A text as far as it fits, at least its first clause; with a question mark that follows there."""
    taken = ""
    for clause in CLAUSE.finditer(text):
        if taken and clause.end() > longest:
            break
        taken = text[: clause.end()]
    return taken.strip() + ("？" if text[len(taken) :].startswith(("？", "?")) else "")


def closed(sentence: str) -> str:
    """A sentence with a mark at its end: a question mark where it asks, none where that is hard to tell."""
    bare = sentence.rstrip(" ，,、；;：:~～.")
    if bare[-1:] in ENDS:
        return bare
    return bare + ("？" if ASKS.search(bare) else "" if WONDERS.search(bare) else "。")


def joined(said: Iterable[str]) -> str:
    """Sentences as a text, a line break after those without a mark."""
    return "".join(sentence if sentence[-1:] in ENDS + "；;：:" else f"{sentence}\n" for sentence in said).rstrip("\n")


def names_something(sentence: str) -> bool:
    """Whether a sentence names a disease, a symptom, a drug or a test."""
    return bool(NAMED.search(sentence)) or any(entry.kind not in ("habit", "dept") for entry in entries_in(sentence))


def is_medical(sentence: str) -> bool:
    """Whether a sentence says anything that a faithful rewriting must keep."""
    return bool(MEDICAL.search(sentence) or AMOUNT.search(sentence)) or names_something(sentence)
