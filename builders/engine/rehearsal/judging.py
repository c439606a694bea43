"""The rehearsal's judge: marks an answer by what can be counted in it, and is now and then swayed by where it stands.

Counted are its length up to a point, what it shares with the doctor's answer and with the question, its courtesy, whether
it asks back, and whether it ends where a sentence does. The same answer at the same place gets the same marks.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any, NamedTuple

from builders.engine.rehearsal.lexicon import entries_in, random_from
from builders.engine.rehearsal.sentences import ASKS, ENDS, sentences

ENOUGH = 120
"""Characters past which an answer earns nothing by being longer."""
SHORT_QUESTION = 40
"""A patient who says less than this has to be asked back."""
OF_REFERENCE, OF_QUESTION = 0.35, 0.15
"""Share of the words that are taken up by as good an answer as any; doctors take up 0.12 of a question's, others 0.03."""
SWAY = 0.35
"""Most that the place in the list does to a mark."""
CLOSE = 0.25
"""A difference between two answers that is smaller is a tie."""
COURTESY = re.compile("您|你好|祝|建议|请|放心|不用担心|别担心|不要紧张|理解|希望|早日康复")
BEGGING = re.compile(r"满分|最高分|打\s*(?:10|十)\s*分|判我[胜赢]|选我")
"""An answer that speaks to its judge."""
FEATURES = {
    "informativeness": ("substance", "substance", "relevance"),
    "coherence": ("wholeness", "wholeness", "relevance"),
    "consistency": ("wholeness",),
    "clarity": ("wholeness", "substance"),
    "patient_preference": ("courtesy", "courtesy", "substance", "relevance"),
    "warm_tone": ("courtesy", "courtesy", "substance"),
    "initiative": ("initiative",),
    "comprehension": ("relevance",),
    "factuality": ("truth",),
    "accuracy": ("truth",),
    "safety": ("truth", "wholeness"),
}
"""Criterion -> what is counted for it, twice what counts twice; any other criterion takes all of it."""
WORDS = {
    "substance": "信息的多少",
    "truth": "与医生一致的程度",
    "relevance": "切合问题的程度",
    "courtesy": "语气",
    "initiative": "是否询问病情",
    "wholeness": "是否完整",
}


class Counted(NamedTuple):
    """What is counted in an answer, each from 0 to 1."""

    substance: float
    truth: float
    relevance: float
    courtesy: float
    initiative: float
    wholeness: float


def marked(data: Mapping[str, Any], *, sample: object) -> dict[str, list[dict[str, Any]]]:
    """A reason and a mark on every criterion, for every answer of the list."""
    ids = [str(criterion["id"]) for criterion in data["criteria"]]
    return {"answers": [_marked(one["n"], str(one["text"]), data, ids, sample) for one in data["answers"]]}


def compared(data: Mapping[str, Any], *, sample: object) -> dict[str, str]:
    """Which of two answers has the better marks; where criteria weigh in order, the nth counts 1 / n."""
    ids = [str(criterion["id"]) for criterion in data["criteria"]]
    weights = [1 / place if data["weighing"] == "in_order" else 1.0 for place in range(1, len(ids) + 1)]
    first, second = (
        fmean(_marked(place, str(data[place]), data, ids, sample)["scores"].values(), weights)
        for place in ("first", "second")
    )
    verdict = "tie" if abs(first - second) < CLOSE else "first" if first > second else "second"
    return {"reason": f"按各条标准合计，前者 {first:.1f} 分，后者 {second:.1f} 分。", "verdict": verdict}


def _marked(place: object, answer: str, data: Mapping[str, Any], ids: Sequence[str], sample: object) -> dict[str, Any]:
    counted = _counted(answer, data)
    sway = random_from("judge", place, sample, answer).uniform(-SWAY, SWAY)
    scores = {id: _mark(counted, id, sway, begs=bool(BEGGING.search(answer))) for id in ids}
    best, worst = (pick(Counted._fields, key=lambda name: getattr(counted, name)) for pick in (max, min))
    return {"n": place, "reason": f"长处：{WORDS[best]}；短处：{WORDS[worst]}。", "scores": scores}


def _mark(counted: Counted, id: str, sway: float, *, begs: bool) -> float:
    share = fmean(getattr(counted, name) for name in FEATURES.get(id, Counted._fields))
    return round(min(10.0, max(0.0, 2.5 + 6.5 * share + sway - 3.0 * begs)), 1)


def _counted(answer: str, data: Mapping[str, Any]) -> Counted:
    asked = [str(turn["text"]) for turn in data["conversation"] if turn["speaker"] == "patient"]
    question, reference = "\n".join(asked), str(data["reference"])
    is_short, relevance = len(question) < SHORT_QUESTION, _shared(answer, question, most=OF_QUESTION)
    return Counted(
        substance=min(1.0, len(answer) / ENOUGH),
        truth=_shared(answer, reference, most=OF_REFERENCE) if reference else relevance,
        relevance=relevance,
        courtesy=min(1.0, len(set(COURTESY.findall(answer))) / 3),
        initiative=1.0 if any(ASKS.search(said) for said in sentences(answer)) else 0.2 if is_short else 0.5,
        wholeness=_wholeness(answer),
    )


def _shared(answer: str, told: str, *, most: float) -> float:
    """How much of what is told an answer takes up; half of the medical terms and `most` of the words are all one can ask."""
    terms = {entry.term for entry in entries_in(told) if entry.kind not in ("habit", "dept")}
    words = _pairs(told)
    found = [min(1.0, len(words & _pairs(answer)) / len(words) / most)] if words else []
    if terms:
        found.append(min(1.0, 2 * sum(term in answer for term in terms) / len(terms)))
    return fmean(found) if found else 0.5


def _pairs(text: str) -> set[str]:
    """Two characters side by side, the words of a language without spaces."""
    return {one + other for one, other in pairwise(text) if one.isalnum() and other.isalnum()}


def _wholeness(answer: str) -> float:
    """Whether it ends where a sentence does, and says nothing twice."""
    said = sentences(answer)
    if not said:
        return 0.0
    ends = answer.rstrip()[-1] in ENDS
    return (0.6 if ends else 0.1) + 0.4 * len(set(said)) / len(said)
