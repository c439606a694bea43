"""The rehearsal's doctor: asks for what the case has to tell, names the conclusion with reasons and advice, says goodbye.

Some name it without asking, betray the chart, ask for ever, or never say goodbye, by a hash of the consultation.
"""

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Literal, NamedTuple

from builders.engine.rehearsal.conversation import Conversation, Reply, says_goodbye
from builders.engine.rehearsal.phrases import phrases, question_for
from builders.engine.rehearsal.sentences import CLAUSE, closed, joined, sentences

SHARES: dict[str, float] = {"premature": 0.04, "leaks": 0.02, "endless": 0.02, "stays": 0.02}
"""Shares of the doctors who name the conclusion without asking, betray the chart, ask for ever, never say goodbye."""
MOST_ROUNDS = 4
MOST_QUESTIONS = 3
MOST_ADVICE = 6
"""Sentences of the advice at most."""
PROPOSING_SHARE = 0.5
"""Share of the doctors with findings in the chart who propose the test and quote its result."""
OPENING = re.compile(r"^(?:医生|大夫)?(?:您好|你好)?[，,！!。\s]*")

Habit = Literal["", "premature", "leaks", "endless", "stays"]


class Plan(NamedTuple):
    """What a doctor is going to ask, round by round, and how they behave."""

    rounds: tuple[tuple[str, ...], ...]
    proposed: Mapping[str, str] | None
    """The finding whose test is proposed in the last round; quoted with the conclusion."""
    habit: Habit


def doctor_turn(told: Conversation) -> Reply:
    """The next turn of the doctor."""
    plan, words, rng = _plan(told), phrases().doctor, told.rng("doctor", told.turn)
    end = str(told.knows.get("end", ""))
    if told.turn and says_goodbye(told.heard[-1], end):
        if plan.habit == "stays":
            return Reply(rng.choice(words["stays"]))
        return Reply(rng.choice(words["closes"]) + end, end=True)
    if told.turn < len(plan.rounds):
        return Reply(_asking(plan, told.turn, rng))
    if plan.habit == "endless":
        return Reply(rng.choice(words["links"]) + words["wonders"][told.turn % len(words["wonders"])])
    if told.turn == len(plan.rounds):
        return Reply(_conclusion(plan, told, rng))
    return Reply(rng.choice(words["repeats"]))


def _plan(told: Conversation) -> Plan:
    rng, drawn = told.rng("plan"), told.rng("habit").random()
    habit = _habit(drawn)
    if habit == "premature":
        return Plan((), None, habit)
    names = list(dict.fromkeys(str(name) for name in told.knows.get("ask") or ()))
    sizes = [rng.randint(1, MOST_QUESTIONS) for _ in range(rng.randint(1, MOST_ROUNDS))]
    questions = [question_for(name) for name in names] or rng.sample(phrases().doctor["wonders"], 2)
    findings: Sequence[Mapping[str, str]] = told.knows.get("findings") or ()
    proposed = rng.choice(findings) if findings and rng.random() < PROPOSING_SHARE else None
    return Plan(_dealt(list(dict.fromkeys(questions)), sizes), proposed, habit)


def _habit(drawn: float) -> Habit:
    habits: tuple[Habit, ...] = ("premature", "leaks", "endless", "stays")
    for habit in habits:
        drawn -= SHARES[habit]
        if drawn < 0:
            return habit
    return ""


def _dealt(questions: Sequence[str], sizes: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    """The questions in rounds of these sizes, as far as they last."""
    rounds, at = list[tuple[str, ...]](), 0
    for size in sizes:
        rounds.append(tuple(questions[at : at + size]))
        at += size
    return tuple(asked for asked in rounds if asked)


def _asking(plan: Plan, turn: int, rng: Random) -> str:
    words = phrases().doctor
    asked = rng.choice(words["greetings" if turn == 0 else "links"]) + "".join(plan.rounds[turn])
    if plan.proposed and turn == len(plan.rounds) - 1:
        asked += words["proposes"].replace("{name}", plan.proposed["name"])
    return str(asked)


def _conclusion(plan: Plan, told: Conversation, rng: Random) -> str:
    """Reasons, the conclusion and the advice; with no question in it, so that the patient knows it is over."""
    words, knows, quoted = phrases().doctor, told.knows, ""
    named = str(knows.get("conclusion") or "").strip().rstrip("。？?，,；;")
    if found := plan.proposed:
        quoted = (
            words["quotes"].replace("{name}", found["name"]).replace("{value}", found["value"].strip().rstrip("。"))
        )
    verdict = _verdict(plan.habit, rng).replace("{said}", _complaint(told)) if named else words["undecided"]
    advice = words["advises"] + joined(_advice(knows, words["general_advice"]))
    return joined([quoted + verdict.replace("{conclusion}", named), advice, rng.choice(words["warns"])])


def _verdict(habit: Habit, rng: Random) -> str:
    words = phrases().doctor
    if habit in ("leaks", "premature"):
        return str(words[habit])
    return str(rng.choice(words["reasons"]) + rng.choice(words["concludes"]))


def _complaint(told: Conversation) -> str:
    """What the patient opened with, without the greeting."""
    clause = CLAUSE.search(OPENING.sub("", told.heard[0]))
    return f"“{clause[0].strip()}”" if clause else "这些情况"


def _advice(knows: Mapping[str, Any], otherwise: Sequence[str]) -> list[str]:
    given = [closed(sentence) for sentence in sentences(str(knows.get("advice") or ""))]
    return [sentence for sentence in given if "？" not in sentence and "?" not in sentence][:MOST_ADVICE] or list(
        otherwise
    )
