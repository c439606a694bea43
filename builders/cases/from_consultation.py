"""A case file read out of a consultation that was really held: the patient's own words as facts, the doctor's as conclusion."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from builders.curation.bubbles import Said, merge_bubbles, opens
from builders.curation.formulas import substance
from builders.curation.inquiry import act_of, questions_in
from builders.curation.offtopic import kind_of, without_offtopic
from builders.engine.errors import Reject
from builders.sources.consultations import Consultation
from schemas.case import CaseFile, Fact

FEWEST_FACTS = 2
MOST_DESCRIBED = 8
LONGEST_COMPLAINT = 20
LONGEST_ANSWER = 20
SHORTEST_STATEMENT = 4
SHORTEST_ADVICE = 12
HOW_MUCH = re.compile(r"几|多[大久少长高重]")
MUCH = re.compile(r"[^，。]{0,4}(?:\d|[一二两三四五六七八九十半几])")
WHETHER = re.compile(r"[吗么]$|有没有|没有?$|不$|是不是|有无|否|(.)不\1")
YES_OR_NO = re.compile(r"没|有|不|是的|对|正常|会|偶尔|经常|一直")
SENTENCE_END = re.compile(r"(?<=[。！!？?；;\n])|(?<=[a-z0-9)]\.)(?=\s)")
CLAUSE_END = re.compile(r"[，,。！!？?；;\n]")
NUMBER = r"(?:\d+(?:\.\d+)?|[一二两三四五六七八九十半几]+)"


class Slot(NamedTuple):
    """A fact that a pattern finds in the patient's words."""

    name: str
    pattern: re.Pattern[str]
    whole_clause: bool = False
    """The value is the clause around what was found."""


SLOTS = (
    Slot(
        "年龄",
        re.compile(
            rf"{NUMBER}(?:周)?岁半?(?:{NUMBER}个月)?|(?:宝宝|孩子|小孩|宝贝|女儿|儿子|婴儿|现在|今年)[^，。,]{{0,4}}?({NUMBER}个半?多?月)|({NUMBER}个半?多?月)(?:大|的?(?:宝宝|孩子|婴儿|小孩))"
            r"|出生\d+天|\d+[- ]years?[- ]old"
        ),
    ),
    Slot(
        "持续时间",
        re.compile(
            rf"(?:已经|大概|大约|有|快|近)?(?:好|十|二十)?{NUMBER}(?:多)?(?:个)?(?:多)?(?:小时|天|日|周|星期|礼拜|月|年)(?:多|左右)?(?=了|以来|前|都|还|，|。|,|$)"
        ),
    ),
    Slot(
        "体温",
        re.compile(
            r"(?:体温|烧到|发烧|发热|烧|高热|低热)[^，。,\d]{0,6}((?:3[5-9]|4[0-2])(?:[.。]\d)?(?:度|℃)?)|((?:3[5-9]|4[0-2])(?:\.\d)?(?:度\d?|℃))"
        ),
    ),
    Slot(
        "用药",
        re.compile(
            r"(?:吃|服|用|喝|涂|抹|打|输|挂|注射|口服)[^，。,？?]{0,12}(?:药|片|胶囊|颗粒|口服液|冲剂|糖浆|软膏|针|水|素|林|头孢|胰岛素|丸|散|贴)"
        ),
        True,
    ),
    Slot("过敏史", re.compile(r"过敏"), True),
    Slot(
        "既往史",
        re.compile(
            r"病史|以前得过|曾经|从小|手术|(?:患|得|有)(?:了|过)?(?:多年)?的?(?:高血压|糖尿病|冠心病|肝炎|乙肝|哮喘|肾炎|甲亢|肺结核)"
        ),
        True,
    ),
)
SEXES = (
    (
        "女",
        re.compile(
            r"性别[:：]?\s*女|女[性孩宝儿]|我(?:妈|母亲|老婆|妻子|媳妇|奶奶|外婆|姥姥|姐|妹)|怀孕|月经|例假|白带|哺乳期|妇科|\b(?:female|she|her)\b"
        ),
    ),
    (
        "男",
        re.compile(
            r"性别[:：]?\s*男|男[性孩宝]|儿子|我(?:爸|父亲|老公|丈夫|爷爷|外公|姥爷|哥|弟)|前列腺|睾丸|阴茎|包皮|遗精|早泄|\b(?:male|he|his)\b"
        ),
    ),
)
ASKS = re.compile(
    r"[?？]|吗|怎么|什么|如何|多久|能不能|可不可以|是不是|有没有|请问|呢$|哪|想问|想咨询|想知道|多少|谁|几(?=[天次个])"
)


def case_from_consultation(
    read: Consultation, *, id: str, source: str, license: str, diseases: Callable[[str], Sequence[str]]
) -> CaseFile:
    """The case behind a consultation; `diseases` finds the names of diseases in a text, in order.

    Facts are the patient's words, unchanged: by pattern where one fits, else the sentence as 病情描述; a short answer
    stands under the doctor's question. Raises Reject: `no complaint`, `no advice`, `too few facts`.
    """
    said = [Said(one.speaker, one.text) for one in read.utterances if one.speaker != "system"]
    turns = merge_bubbles(without_offtopic(said).said)
    told = [text for text in (read.title, read.description) if text.strip()]
    told += [turn.text for turn in turns if turn.speaker == "patient"]
    sentences = _sentences(told)
    main = next((sentence for sentence in sentences if opens(sentence)), "")
    if not main:
        raise Reject("no complaint", " / ".join(told)[:80])
    advice = _advice(turns, read.diagnosis)
    facts = _facts(sentences, turns)
    if len(facts) < FEWEST_FACTS:
        raise Reject("too few facts", f"{len(facts)} in {len(sentences)} sentences")
    return CaseFile(
        id=id,
        department=read.department,
        complaint=_shortened(main),
        facts=tuple(facts),
        diagnosis=read.diagnosis.strip() or _first_named(turns, diseases),
        advice=advice,
        source=source,
        license=license,
    )


def _sentences(told: Sequence[str]) -> list[str]:
    """What the patient says, sentence by sentence, each once, without courtesy and talk about pictures."""
    split = (sentence.strip() for text in told for sentence in SENTENCE_END.split(text))
    return list(dict.fromkeys(one for one in split if substance(one) and kind_of(one) is None))


def _facts(sentences: Sequence[str], turns: Sequence[Said]) -> list[Fact]:
    statements = [stated for sentence in sentences if (stated := _stated(sentence))]
    told = "\n".join(statements)
    facts = {"主诉": next((stated for stated in statements if opens(stated)), "")}
    facts |= {slot.name: _found(slot, told) for slot in SLOTS}
    facts["性别"] = next((sex for sex, words in SEXES if words.search("\n".join(sentences))), "")
    facts |= dict(_answers(turns))
    facts["想得到的帮助"] = next((sentence for sentence in sentences if ASKS.search(sentence)), "")
    known = "\n".join(facts.values())
    rest = [stated for stated in statements if len(substance(stated)) >= SHORTEST_STATEMENT and stated not in known]
    for number, stated in enumerate(rest[:MOST_DESCRIBED], 1):
        facts["病情描述" if number == 1 else f"病情描述{number}"] = stated
    return [Fact(name=name, value=value) for name, value in facts.items() if value]


def _stated(sentence: str) -> str:
    """A sentence up to where it asks: 「我外婆得了糖尿病，」 of 「我外婆得了糖尿病，能治吗？」; empty when it only asks."""
    if not ASKS.search(sentence):
        return sentence
    clauses = re.split(r"(?<=[，,])", sentence)
    asks = next(number for number, clause in enumerate(clauses) if ASKS.search(clause) or number == len(clauses) - 1)
    return "".join(clauses[:asks]).rstrip("，,")


def _found(slot: Slot, told: str) -> str:
    """What the patient says for a slot, first come; a question about it says nothing."""
    for clause in CLAUSE_END.split(told):
        match = slot.pattern.search(clause)
        if match and not (slot.whole_clause and ASKS.search(clause)):
            return (
                clause.strip()
                if slot.whole_clause
                else next(part for part in (*match.groups(), match[0]) if part).strip()
            )
    return ""


def _answers(turns: Sequence[Said]) -> Iterator[tuple[str, str]]:
    """A doctor's only question, and the answer where it is plainly one: in real talk they often miss each other."""
    for turn, reply in pairwise(turns):
        asked = [line for line in turn.text.split("\n") if questions_in(line)]
        if turn.speaker == "doctor" and questions_in(turn.text) == 1 and len(asked) == 1:
            question, answer = asked[0].strip(" ？?。，,"), reply.text.strip()
            fits = (HOW_MUCH.search(question) and MUCH.match(answer)) or (
                WHETHER.search(question) and YES_OR_NO.match(answer)
            )
            if fits and len(question) <= LONGEST_ANSWER and "\n" not in answer and len(answer) <= LONGEST_ANSWER:
                yield question, answer


def _advice(turns: Sequence[Said], diagnosis: str) -> str:
    """What the doctor advises last, without the lines of courtesy around it."""
    advising = [turn.text for turn in turns if turn.speaker == "doctor" and act_of(turn.text) in ("advise", "both")]
    if not advising:
        raise Reject("no advice", diagnosis)
    last = next((text for text in reversed(advising) if len(substance(text)) >= SHORTEST_ADVICE), advising[-1])
    return "\n".join(line for line in last.split("\n") if substance(line))


def _first_named(turns: Sequence[Said], diseases: Callable[[str], Sequence[str]]) -> str:
    """The first disease that the doctor names while judging."""
    judging = (turn.text for turn in turns if turn.speaker == "doctor" and act_of(turn.text) in ("advise", "both"))
    return next((named[0] for text in judging if (named := diseases(text))), "")


def _shortened(main: str) -> str:
    """The first clause that says something, in its own words."""
    clause = next(one for one in (*CLAUSE_END.split(main), main) if len(substance(one)) >= 2).strip()
    return clause if len(clause) <= LONGEST_COMPLAINT else clause[:LONGEST_COMPLAINT]
