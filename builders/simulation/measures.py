"""What a simulated consultation is worth: did the doctor ask, was he told, did anybody say what he could not know?

All by rules, on the words alone: no model judges. A rule that cannot tell says nothing.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from builders.curation.inquiry import questions_in
from builders.engine.entities.lexicon import Lexicon
from builders.engine.entities.mentions import Mention
from builders.simulation.consultation import Ended
from schemas.case import CaseFile, Fact
from schemas.dialogue import Consultation, Turn

TOLD_SHARE = 0.6
"""Share of a fact's character pairs that must be heard for it to have been told."""
LONG_ENOUGH = 6
"""Characters of a finding from which hearing most of it is no chance."""
ABSENT = re.compile(r"^(?:没有|没|无|否认|未见|未)(?:明显)?([^，。,;；]{0,4})$")
"""A fact that something is not there: 「没有」, 「无发热」."""
PRESENT = {"有", "是", "有的", "阳性"}
DENIES = re.compile(r"没|无|不|否认|从未")
UNSURE = re.compile(r"不(太)?(清楚|知道|记得|确定|好说)|没(有)?(注意|留意|量|测|查|看)过?|记不(清|得)|说不(清|好)")
SPOILS = re.compile(
    r"(根据|按照|参考)(给出的|提供的|您的|所给的)?(参考)?(资料|诊断结果|结论|病历|病例)|(资料|病历|档案)(上)?(显示|提示)"
    r"|参考(诊断|结论|答案)|标准答案|系统(提示|给出)的?(诊断|结论|答案)|<data>"
)
"""Words by which a doctor shows that the conclusion was before him."""
SENTENCE = re.compile(r"[^。！？!?\n；;]*[。！？!?\n；;]?")
CLAUSE = re.compile(r"[^，,。！？!?\n；;]+[，,。！？!?\n；;]*")
ASKS_HOW_LONG = re.compile(r"多久|多长时间|(?<![这那前近])几天|什么时候开始|何时开始|持续(了)?多|多少天")
ASKS_AGE = re.compile(r"多大|年龄|几岁|岁数")
RULED_OUT = re.compile(r"(不考虑|不是|不像|不支持|排除|没有|并非|未见)[^，。,]{0,4}$")
AMOUNTS = {"duration", "number", "dose", "frequency"}


class Exchange(NamedTuple):
    """The patient's words, and the doctor's before them ("" for the opening)."""

    asked: str
    said: str


def measured(turns: Sequence[Turn], case: CaseFile, ended: Ended, lexicon: Lexicon) -> Consultation:
    """Everything that is measured on one consultation."""
    doctor = [turn.text for turn in turns if turn.speaker == "doctor"]
    patient = [turn.text for turn in turns if turn.speaker == "patient"]
    exchanges = [Exchange(asked, said) for asked, said in zip(["", *doctor], patient, strict=False)]
    opening, later = exchanges[0], exchanges[1:]
    open_facts = [fact for fact in case.facts_for("patient") if not tells(fact, opening, lexicon)]
    asked_for = [one for one in later if questions_in(one.asked)]
    elicited = tuple(fact.name for fact in open_facts if any(tells(fact, one, lexicon) for one in asked_for))
    first = first_diagnosis(case, doctor, patient, lexicon)
    before = doctor[: first - 1] if first else []
    return Consultation(
        ended=ended,
        questions=sum(questions_in(text) for text in doctor),
        slots=len(open_facts),
        elicited=elicited,
        first_diagnosis=first,
        premature=first > 0 and not any(questions_in(text) for text in before),
        contradictions=tuple(contradictions(case, exchanges, lexicon)),
        leaks=tuple(leaks(case, doctor, patient, lexicon)),
    )


def tells(fact: Fact, exchange: Exchange, lexicon: Lexicon) -> bool:
    """Whether the patient's words hold a fact: most of its characters and all its amounts, or yes or no to what was asked."""
    if absent := ABSENT.match(fact.value):
        return _answers(absent[1] or fact.name, exchange, lexicon, yes=False)
    if fact.value in PRESENT:
        return _answers(fact.name, exchange, lexicon, yes=True)
    amounts = [one for one in lexicon.mentions(fact.value) if one.kind in AMOUNTS]
    if amounts and not {one.value for one in amounts} <= {one.value for one in lexicon.mentions(exchange.said)}:
        return False
    rest = fact.value
    for one in reversed(amounts):
        rest = rest[: one.start] + rest[one.end :]
    return not _bare(rest) or _share(_bare(rest), _bare(exchange.said)) >= TOLD_SHARE


def _answers(subject: str, exchange: Exchange, lexicon: Lexicon, *, yes: bool) -> bool:
    """Whether the patient says yes, or no, to a subject that he or the doctor names."""
    if UNSURE.search(exchange.said):
        return False
    known = {one.value for one in lexicon.mentions(subject)} or {subject}
    for one in _findings(exchange.said, lexicon):
        if one.value in known:
            return yes != (one.negated or _denied_after(exchange.said, one))
    named = known & {one.value for one in lexicon.mentions(exchange.asked)}
    named_here = _share(_bare(subject), _bare(exchange.said)) >= TOLD_SHARE
    if not named and not named_here and _share(_bare(subject), _bare(exchange.asked)) < TOLD_SHARE:
        return False
    if _findings(exchange.said, lexicon) and not named_here:
        return False  # he speaks of something else
    return yes != bool(DENIES.search(exchange.said))


def first_diagnosis(case: CaseFile, doctor: Sequence[str], patient: Sequence[str], lexicon: Lexicon) -> int:
    """Number of the doctor's turn, from 1, that first states the diagnosis; 0 when none does.

    A question about it states nothing, nor does ruling it out, and what the patient has named himself is no news.
    """
    names = diagnoses(case, lexicon)
    for number, text in enumerate(doctor, 1):
        known = {mention.value for said in patient[:number] for mention in lexicon.mentions(said)}
        if any(name in known or name in "".join(patient[:number]) for name in names):
            return 0
        stated = [clause for clause in CLAUSE.findall(text) if not questions_in(clause)]
        if any(_names(clause, names, lexicon) for clause in stated):
            return number
    return 0


def _names(clause: str, names: set[str], lexicon: Lexicon) -> bool:
    """Whether a clause says that it is one of these."""
    if any(mention.value in names for mention in _diseases(clause, lexicon)):
        return True
    places = ((clause.find(name), name) for name in names)
    return any(at >= 0 and not RULED_OUT.search(clause[:at]) for at, _ in places)


def diagnoses(case: CaseFile, lexicon: Lexicon) -> set[str]:
    """What the diagnosis is called: as the case has it, part by part, and by its canonical names."""
    parts = {part.strip() for part in re.split(r"[，,、；;。\n/]|伴", case.diagnosis) if len(part.strip()) > 1}
    return parts | {mention.value for mention in _diseases(case.diagnosis, lexicon)}


def contradictions(case: CaseFile, exchanges: Sequence[Exchange], lexicon: Lexicon) -> list[str]:
    """Where the patient says otherwise than the case: has what is absent there, or the reverse, or another time or age.

    What the case says both ways, and words that stand in it, contradict nothing.
    """
    facts = case.facts_for("patient")
    whole = _bare("".join(fact.value for fact in facts))
    states = _states(facts, lexicon)
    found = []
    for exchange in exchanges:
        for mention in _findings(exchange.said, lexicon):
            denied = mention.negated or _denied_after(exchange.said, mention)
            name, absent = states.get(mention.value, ("", denied))
            words = exchange.said[max(0, mention.start - 4) : mention.end + 2]
            if absent != denied and _bare(words) not in whole and not _open(exchange.said, mention):
                found.append(f"{name}: {words}")
        if ASKS_HOW_LONG.search(exchange.asked):
            found += _other_values(facts, exchange.said, re.compile(r"^duration \S+ (day|week|month|year)$"), lexicon)
        if ASKS_AGE.search(exchange.asked):
            found += _other_values(facts, exchange.said, re.compile(r"^number \S+ 岁$"), lexicon)
    return found


def _states(facts: Sequence[Fact], lexicon: Lexicon) -> dict[str, tuple[str, bool]]:
    """Finding to (fact, absent), for those that the case states one way only."""
    stated: dict[str, set[tuple[str, bool]]] = {}
    for fact in facts:
        absent = ABSENT.match(fact.value)
        text = absent[1] or fact.name if absent else fact.name if fact.value in PRESENT else fact.value
        for mention in _findings(text, lexicon):
            if not _open(text, mention):
                stated.setdefault(mention.value, set()).add((fact.name, bool(absent) or mention.negated))
    return {value: next(iter(ways)) for value, ways in stated.items() if len({absent for _, absent in ways}) == 1}


def leaks(case: CaseFile, doctor: Sequence[str], patient: Sequence[str], lexicon: Lexicon) -> list[str]:
    """Words of the hidden chart: a doctor who shows that he has one, a patient who knows the diagnosis or a finding first."""
    found = [match[0] for text in doctor if (match := SPOILS.search(text))]
    names = diagnoses(case, lexicon)
    told = _bare("".join(fact.value for fact in case.facts_for("patient")) + case.complaint)
    secrets = {name for name in names if _bare(name) not in told}
    seen = {fact.name for fact in case.facts_for("patient")}
    findings = [
        fact for fact in case.facts_for("doctor") if fact.name not in seen and len(_bare(fact.value)) >= LONG_ENOUGH
    ]
    for number, said in enumerate(patient):
        heard = "".join(doctor[:number])
        found += [f"patient: {name}" for name in sorted(secrets) if name in said and name not in heard]
        found += [
            f"patient: {fact.name}"
            for fact in findings
            if _share(_bare(fact.value), _bare(said)) >= TOLD_SHARE > _share(_bare(fact.value), _bare(heard))
        ]
    return found


def _other_values(facts: Iterable[Fact], said: str, wanted: re.Pattern[str], lexicon: Lexicon) -> list[str]:
    """Times or ages in the patient's answer that the case does not have, when it has any; `wanted` is KIND VALUE."""

    def values(text: str) -> list[str]:
        return [named for m in lexicon.mentions(text) if wanted.match(named := f"{m.kind} {m.value}")]

    known = {value for fact in facts for value in values(fact.value)}
    return [value for value in values(said) if known and value not in known]


def _open(text: str, mention: Mention) -> bool:
    """Whether a mention stands in a question of the patient's, or he cannot tell."""
    before = text[max(0, mention.start - 10) : mention.start]
    after = SENTENCE.match(text, mention.end)
    sentence = before + text[mention.start : after.end() if after else mention.end]
    return bool(questions_in(sentence) or UNSURE.search(sentence))


def _denied_after(text: str, mention: Mention) -> bool:
    """「发热的话，没有」, 「发烧倒是没有」."""
    return bool(re.match(r"(的话|嘛|这个|倒是|呢|方面)?[，,]?(没有?|无|不)(?![是多])", text[mention.end :]))


def _findings(text: str, lexicon: Lexicon) -> list[Mention]:
    return [mention for mention in lexicon.mentions(text) if mention.kind in ("symptom", "disease")]


def _diseases(text: str, lexicon: Lexicon) -> list[Mention]:
    return [mention for mention in lexicon.mentions(text) if mention.kind == "disease" and not mention.negated]


def _bare(text: str) -> str:
    return re.sub(r"[^\w.%]", "", text)


def _share(part: str, whole: str) -> float:
    """Share of the character pairs of `part` that stand in `whole`."""
    if len(part) < 2:
        return float(bool(part) and part in whole)
    pairs = [part[at : at + 2] for at in range(len(part) - 1)]
    return sum(pair in whole for pair in pairs) / len(pairs)
