"""Which real answers are worth a call: each rule is a function that gives its reason, or None.

Rules look at de-identified text. They are cheap and err on the side of keeping: what they let through meets the guard.
"""

import re
from collections import Counter

from builders.engine import filters
from builders.engine.errors import Reject
from builders.sources.consultations import Consultation

LONGEST = 2000
CLAUSE = re.compile(r"[。！？!?\n；;，,]+")
REPEATED_CLAUSE = 8
"""Characters from which a clause that comes twice is no accident."""
REPEATED_SHARE = 0.15
"""Share of a text that may be repetition: 12 of 4,000 Toyhom answers and 9 of 2,000 of Huatuo-26M have over a tenth."""
REPEATED_IN_A_QUESTION = 0.4
"""A question often says its headline again: over 0.3 are 3 of 4,000 and 17 of 2,000."""
CUT = re.compile(
    r"([、：:（(]|因为|所以|以及|并且|而且|但是|如果|或者|例如|比如|包括|根据|由于|通过|对于|关于|及其)\s*$"
)
"""How an answer ends that was cut. A comma, or nothing, says little: a quarter of real answers has no full stop."""
ADVERTISEMENT = re.compile(
    r"加(我|我的|个)?(微信|v信|vx|qq|企鹅)|微信(同号|咨询)|点击.{0,12}(咨询|联系|头像|按钮|我)|在线咨询|咨询按钮|欢迎.{0,6}(来电|致电|来院|拨打)"
    r"|(我院|本院|我们医院).{0,20}(采用|引进|独创|治愈|专治|特色|先进)|祖传|秘方治|独家(疗法|秘方|技术)|包(治好|治愈|好|除根)|无效退款|采纳为|给(个|我)?好评|关注我"
    r"|电话[:：]?\s*\[电话|\[(电话|社交账号|网址|邮箱)\d",
    re.IGNORECASE,
)
POLITE = re.compile(
    r"^(您好|你好|亲|朋友|希望|期望|祝|感谢|谢谢|不客气|最后|以上|早日康复|身体健康|指导意见|意见建议|问题分析|病情分析|.{0,8}(帮助|协助)到?[你您])"
)
SENDS_AWAY = re.compile(
    r"(到|去|前往|来|上|找).{0,16}(医院|门诊|科室|诊所|医生|大夫|专家|就诊|就医|看看|检查|治疗)"
    r"|(及时|尽快|尽早|马上|积极).{0,6}(就诊|就医|治疗|检查|看医生|咨询)|在医生(的)?指导下|遵医嘱|听医生的|以免|避免.{0,4}(耽误|延误)"
)
A_CLAUSE = 40
"""Characters of the longest clause that only says so; some answers have no punctuation at all."""
LEAST_SUBSTANCE = 8


def repeats(text: str, share: float = REPEATED_SHARE) -> str | None:
    """The same clauses again, as sites that join pages leave them."""
    clauses = [clause for clause in CLAUSE.split(text) if len(clause) >= REPEATED_CLAUSE]
    again = sum(len(clause) * (count - 1) for clause, count in Counter(clauses).items() if count > 1)
    return "repetition inside the text" if again > share * len(text) else None


def advertises(answer: str) -> str | None:
    """Contact details, praise of one's own house, begging for a rating."""
    return "advertisement" if ADVERTISEMENT.search(answer) else None


def cut_off(answer: str) -> str | None:
    """An answer that stops in the middle of a sentence."""
    return "answer cut" if CUT.search(answer) else None


def only_sends_away(answer: str) -> str | None:
    """「请去医院」, and nothing that a patient could use besides."""
    clauses = [clause for clause in CLAUSE.split(answer) if clause.strip()]
    away = [clause for clause in clauses if len(clause) <= A_CLAUSE and SENDS_AWAY.search(clause)]
    rest = [
        clause for clause in clauses if clause not in away and not (len(clause) <= A_CLAUSE and POLITE.match(clause))
    ]
    substance = re.sub(r"[^\w]", "", "".join(rest))
    return "only sends to hospital" if away and len(substance) < LEAST_SUBSTANCE else None


def check(consultation: Consultation, *, min_answer: int) -> tuple[str, str]:
    """The question and the answer of a consultation worth polishing; raises Reject with the first rule that objects."""
    answers = [said.text for said in consultation.utterances if said.speaker == "doctor"]
    question = consultation.question.strip()
    if len(answers) > 1 or (consultation.utterances and consultation.utterances[-1].speaker == "patient" and answers):
        raise Reject("not one question and one answer", f"{len(consultation.utterances)} utterances")
    answer = answers[0].strip() if answers else ""
    if not question or not answer:
        raise Reject("no answer" if question else "no question", (question or answer)[:300])
    bad_length = filters.length(answer, least=min_answer, most=LONGEST)
    reason = filters.first_reason(
        [
            bad_length and f"answer {bad_length}",
            filters.length(question, least=4, most=LONGEST) and "question too short or too long",
            repeats(answer) or repeats(question, REPEATED_IN_A_QUESTION),
            advertises(answer),
            cut_off(answer),
            only_sends_away(answer),
            filters.beyond_text(answer),
        ]
    )
    if reason:
        raise Reject(reason, answer[:300])
    return question, answer
