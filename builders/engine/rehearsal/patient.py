"""The rehearsal's patient: opens in a few words, tells what is asked for in the case's own words, thanks, and leaves.

Some never take their leave, contradict their case once, or tell everything at once, by a hash of the consultation.
"""

import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, NamedTuple

from builders.engine.rehearsal.conversation import Conversation, Reply, says_goodbye
from builders.engine.rehearsal.phrases import phrases
from builders.engine.rehearsal.sentences import closed, first_clause, sentences

LINGERING_SHARE = 0.04
CONTRADICTING_SHARE = 0.03
TELLING_ALL_SHARE = 0.02
LONGEST_OPENING = 24
"""Characters of the complaint in the first turn; with a greeting it has about 30."""
LONG_VALUE = 40
"""A value of more characters is not told a second time."""
SHORT_VALUE = 3
SHORT_NAME = 2
MOST_TOLD = 4
"""Facts told in one turn at most."""
QUESTION = re.compile("[？?]|吗[。，]?$|请.{0,6}(?:描述|说说|告诉|讲讲)")
COURTESY = re.compile(
    "还有.{0,6}(?:问题|疑问|想问|不明白)|明白了?吗|清楚了?吗|可以接受|觉得.{0,8}(?:怎么样|如何|可以吗)"
)
"""Questions that ask for nothing: the doctor is done."""
PROPOSAL = re.compile("方便吗|愿意.{0,8}吗|同意.{0,8}吗")
OPEN = re.compile("不舒服|说说|描述|具体|详细|其他|别的|还有|怎么了|什么情况想")
ADVICE = re.compile("建议|考虑|诊断|应该|注意|治疗|服用|复查|复诊|就诊|前面说的|不客气|祝您|再见")
DURATION = re.compile(r"(?:\d+|[一二两三四五六七八九半])(?=\s*(?:余|多)?\s*(?:天|周|个月|个多月|年|小时))")
OTHER_NUMBER = dict(zip("一二两三四五六七八九半", "三四五五六七八九六四两", strict=True))
DENIAL = re.compile("^(?:没有|否认|无|未)")
COMMON_WORDS = "有没有 什么时候 您的 是否 多久 怎么样 以前 这种情况 出现 现在 开始 请问 还有 不舒服 怎样 方面是怎样的"
"""Words that stand in any question; what only they have in common with a fact says nothing."""


class Fact(NamedTuple):
    """One thing the patient knows."""

    name: str
    value: str

    @property
    def wrong(self) -> str:
        """The value contradicted: another duration, or what is there denied and the reverse."""
        if found := DURATION.search(self.value):
            other = OTHER_NUMBER.get(found[0]) or str(int(found[0]) + 2)
            return self.value[: found.start()] + other + self.value[found.end() :]
        if DENIAL.search(self.value):
            return DENIAL.sub("有", self.value) if len(self.value) > SHORT_VALUE else f"有{self.name}"
        return f"没有{self.value}"

    @property
    def needs_name(self) -> bool:
        """Whether the value says little without its name: 无; of 大便, 每天一次."""
        return len(self.value) <= SHORT_VALUE or (
            len(self.name) <= SHORT_NAME and self.name not in self.value and self.name != "主诉"
        )

    def is_in(self, text: str) -> bool:
        """Whether a text tells it; a value like 无 only together with its name."""
        return self.value in text and (len(self.value) > SHORT_VALUE or self.name in text)


class Habits(NamedTuple):
    """What is wrong with this patient, if anything."""

    lingers: bool
    contradicts: bool
    tells_all: bool


def patient_turn(told: Conversation) -> Reply:
    """The next turn of the patient."""
    habits, rng = _habits(told), told.rng("patient", told.turn)
    if told.turn == 0:
        return Reply(_opening(told.knows, rng, tells_all=habits.tells_all))
    words, asked, end = phrases().patient, _asked(told.heard[-1]), str(told.knows.get("end", ""))
    facts = _facts(told.knows)
    is_over = not asked and (ADVICE.search(told.heard[-1]) or not _untold(facts, told))
    if is_over and habits.lingers:
        return Reply(str(words["lingers"][told.turn % len(words["lingers"])]))
    if is_over or any(says_goodbye(said, end) for said in told.spoken):
        return Reply(rng.choice(words["thanks"]) + end, end=True)
    return Reply(_answer(asked, facts, told, rng, contradicts=habits.contradicts))


def _habits(told: Conversation) -> Habits:
    drawn = told.rng("habits").random()
    lingers = drawn < LINGERING_SHARE
    contradicts = not lingers and drawn < LINGERING_SHARE + CONTRADICTING_SHARE
    tells_all = not lingers and not contradicts and drawn < LINGERING_SHARE + CONTRADICTING_SHARE + TELLING_ALL_SHARE
    return Habits(lingers, contradicts, tells_all)


def _facts(knows: Mapping[str, Any]) -> list[Fact]:
    return [Fact(str(fact["name"]), str(fact["value"]).strip().rstrip("。；;，,")) for fact in knows["facts"]]


def _opening(knows: Mapping[str, Any], rng: Random, *, tells_all: bool) -> str:
    facts = _facts(knows)
    complaint = str(knows.get("complaint") or (facts[0].value if facts else "我有点不舒服")).strip()
    what = first_clause(complaint, longest=LONGEST_OPENING)
    opening = closed(str(rng.choice(phrases().patient["openings"])).replace("{what}", what))
    return opening + "，".join(fact.value for fact in facts) + "。" if tells_all else opening


def _asked(said: str) -> list[str]:
    """The doctor's questions that want an answer."""
    return [sentence for sentence in sentences(said) if QUESTION.search(sentence) and not COURTESY.search(sentence)]


def _untold(facts: list[Fact], told: Conversation) -> list[Fact]:
    known = "\n".join(told.spoken)
    return [fact for fact in facts if not fact.is_in(known) and fact.wrong not in known]


def _answer(asked: list[str], facts: list[Fact], told: Conversation, rng: Random, *, contradicts: bool) -> str:
    """The facts that were asked about; the next one for an open question; else that they do not know."""
    words, untold = phrases().patient, _untold(facts, told)
    proposed = [question for question in asked if PROPOSAL.search(question)]
    questions = [question for question in asked if question not in proposed]
    wanted = list(dict.fromkeys(_wanted(questions, facts, untold)))[:MOST_TOLD] if questions or not asked else []
    contradicts &= not any(fact.wrong in spoken for fact in facts for spoken in told.spoken)
    said = [
        _told(fact, fact.wrong if contradicts and place == 0 else fact.value, rng, again=fact not in untold)
        for place, fact in enumerate(wanted)
    ]
    if proposed:
        said.append(rng.choice(words["agrees"]))
    return "".join(said) or str(rng.choice(words["unsure"]))


def _wanted(questions: list[str], facts: list[Fact], untold: list[Fact]) -> Iterator[Fact]:
    """What answers the questions: two facts when there is but one question, else one each; untold ones first."""
    for question in questions or [""]:
        scores = _closeness(question, facts)
        best = max(scores, default=0)
        near = [fact for fact, score in zip(facts, scores, strict=True) if best and score == best]
        if near:
            fresh = [fact for fact in near if fact in untold]
            yield from (fresh or near)[: 1 if len(questions) > 1 else 2]
        elif untold and (not question or OPEN.search(question)):
            yield untold[0]


def _closeness(question: str, facts: list[Fact]) -> list[int]:
    """How surely a question is about each fact: by its name, its topic, words in common with the value or the name."""
    topics = (topic for topic in phrases().topics if topic.asks.search(question))
    answering = next((names for topic in topics if (names := _named(topic.names, facts))), frozenset[str]())
    return [_score(question, fact, is_answer=fact.name in answering) for fact in facts]


def _score(question: str, fact: Fact, *, is_answer: bool) -> int:
    if fact.name in question:
        return 4
    if is_answer:
        return 3
    pairs = _pairs(question)
    return 2 if pairs & _pairs(fact.value) else int(bool(pairs & _pairs(fact.name)))


def _named(names: re.Pattern[str], facts: list[Fact]) -> frozenset[str]:
    return frozenset(fact.name for fact in facts if names.search(fact.name))


def _pairs(text: str) -> frozenset[str]:
    return _all_pairs(text) - _all_pairs(COMMON_WORDS)


def _all_pairs(text: str) -> frozenset[str]:
    return frozenset(pair for at in range(len(text) - 1) if (pair := text[at : at + 2]).isalnum())


def _told(fact: Fact, value: str, rng: Random, *, again: bool) -> str:
    words = phrases().patient
    if again and len(value) > LONG_VALUE:
        return str(words["long_again"])
    kind = "tells_named" if fact.needs_name else "again" if again else "tells"
    return str(rng.choice(words[kind])).replace("{name}", fact.name).replace("{value}", value)
