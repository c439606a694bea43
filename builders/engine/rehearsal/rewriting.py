"""A doctor's words put politely, nothing medical changed: answers, turns of a dialogue, answers drawn out to one.

Faithful unless a slip is drawn, by a hash of what is to be rewritten; a draft that was complained about is mended, but
now and then handed in again as it was, so that a rejection is seen too.
"""

import json
import re
from collections.abc import Mapping
from random import Random
from typing import Any

from builders.engine.rehearsal.lexicon import random_from
from builders.engine.rehearsal.phrases import phrases
from builders.engine.rehearsal.sentences import ASKS, closed, is_medical, joined, sentences
from builders.engine.rehearsal.slips import invent_drug, slipped

SLIP_SHARE = 0.12
"""Share of first drafts, of an answer or of a whole dialogue, with one thing wrong in them."""
STUBBORN_SHARE = 1 / 8
"""Share of the drafts complained about that come back as they were."""
MISCOUNT_SHARE = 0.01
"""Share of rewritten dialogues with a turn too few or too many."""
EXPANSION_SLIP_SHARE = 0.05
SHORT_ANSWER = 40
"""An answer of fewer characters is not also said goodbye to: courtesy would be most of it."""
LONG_SENTENCE = 40
"""A sentence of more characters is broken up where a connective begins."""
GREETING = re.compile(r"^(?:(?:您好|医生好|亲)[，,。！!：:、~～\s]*)+")
BEGUN = re.compile("请问|您好|好|嗯|哦|额|对|是的")
"""How a turn begins that needs no other opening."""
CONNECTIVE = re.compile(r"[，,](?=建议|另外|同时|平时|此外)")
IDLE = re.compile(
    "微信|QQ|电话|网址|热线|欢迎|预约|加号|照片|图片|语音|感谢|谢谢|希望.{0,12}帮助|期望.{0,12}帮助|祝您|采纳|好评|做为参考|作为参考"
)
"""Words of courtesy and advertisement; a short sentence is dropped for them, when nothing in it is medical."""

Turn = dict[str, Any]


def polished(data: Mapping[str, Any], *, sample: object) -> str:
    """The answer of a doctor, rewritten; with `draft` in the data, mended."""
    answer, draft = str(data["answer"]), data.get("draft")
    rng = random_from("polish", sample, data["question"], answer, draft, data.get("lost"), data.get("added"))
    if draft and rng.random() < STUBBORN_SHARE:
        return str(draft)
    courtesy = phrases().rewriting
    greeting, closing = rng.choice(courtesy["greetings"]), rng.choice(courtesy["closings"])
    told = joined(tidied(answer))
    whole = greeting + (joined([told, closing]) if len(told) >= SHORT_ANSWER else told)
    slips = not draft and rng.random() < SLIP_SHARE
    return slipped(whole, rng) if slips else whole


def rewritten(data: Mapping[str, Any], *, sample: object) -> dict[str, list[Turn]]:
    """Every doctor's turn of a dialogue, rewritten; with `again` in the data, only those it lists, mended."""
    said = {turn["n"]: str(turn["text"]) for turn in data["dialogue"] if turn["speaker"] == "doctor"}
    key = json.dumps([sample, data], ensure_ascii=False)
    if again := data.get("again"):
        return {"turns": [{"n": one["n"], "text": _mended(said[one["n"]], one, key)} for one in again]}
    careless = random_from("careless", key)
    at_risk = [n for n, text in said.items() if is_medical(text)] or list(said)
    wrong = careless.choice(at_risk) if at_risk and careless.random() < SLIP_SHARE else None
    turns = [{"n": n, "text": _turn(text, random_from("turn", key, n), slips=n == wrong)} for n, text in said.items()]
    return {"turns": _miscounted(turns, random_from("count", key))}


def _mended(text: str, complaint: Mapping[str, Any], key: str) -> str:
    rng = random_from("again", key, complaint["n"])
    return str(complaint["draft"]) if rng.random() < STUBBORN_SHARE else _turn(text, rng, slips=False)


def _turn(text: str, rng: Random, *, slips: bool) -> str:
    """One turn, politely; it asks when it asked before, and only then."""
    told = joined(tidied(text))
    lead = rng.choice(phrases().rewriting["asks" if ASKS.search((sentences(told) or [told])[0]) else "tells"])
    polite = told if BEGUN.match(told) else lead + told
    return slipped(polite, rng) if slips else polite


def _miscounted(turns: list[Turn], rng: Random) -> list[Turn]:
    if rng.random() >= MISCOUNT_SHARE or not turns:
        return turns
    extra = {"n": turns[-1]["n"] + 1, "text": rng.choice(phrases().rewriting["goodbyes"])}
    return turns[:-1] if rng.random() < 0.5 else [*turns, extra]


def tidied(text: str) -> list[str]:
    """A doctor's sentences without greeting, repetition and advertisement; what has medical content stays word for word."""
    polite = re.sub("你(?!们)", "您", text.strip())
    said = [closed(sentence) for sentence in sentences(GREETING.sub("", polite))]
    kept = [sentence for sentence in dict.fromkeys(said) if not _is_idle(sentence)]
    asks = any(map(ASKS.search, said))
    if not kept or asks != any(map(ASKS.search, kept)):
        kept = said or [closed(polite)]
    return [CONNECTIVE.sub("。", sentence) if len(sentence) > LONG_SENTENCE else sentence for sentence in kept]


def _is_idle(sentence: str) -> bool:
    return len(sentence) <= LONG_SENTENCE and IDLE.search(sentence) is not None and not is_medical(sentence)


def expanded(data: Mapping[str, Any], *, sample: object) -> dict[str, list[Turn]]:
    """A question and its answer as a dialogue with `turns` turns of the doctor: questions first, then the answer."""
    question, answer, count = str(data["question"]), str(data["answer"]), int(data["turns"])
    drawn = random_from("slip", sample, question, answer, count)
    slips = drawn.random() < EXPANSION_SLIP_SHARE
    if data.get("draft"):
        slips = slips and random_from("again", sample, data).random() < STUBBORN_SHARE
    rng = random_from("expand", sample, question, answer, count)
    doctor = _doctor_turns(answer, count, rng)
    patient = [question, *(_patient_answer(turn, rng) for turn in doctor[:-1])]
    if slips:
        _spoil(patient, doctor, drawn)
    pairs = zip(patient, doctor, strict=True)
    return {"turns": [turn for asked, told in pairs for turn in (_said("patient", asked), _said("doctor", told))]}


def _doctor_turns(answer: str, count: int, rng: Random) -> list[str]:
    """The doctor's turns: one or two questions as far as there is room, then the answer's sentences, word for word."""
    words, said = phrases().expanding, sentences(answer) or [answer]
    asked = max(min(count - 1, rng.randint(1, 2)), count - len(said))
    told = count - asked
    bank = words["questions"]
    questions = [bank[place % len(bank)] for place in rng.sample(range(max(asked, len(bank))), asked)]
    parts = [joined(said[place * len(said) // told : (place + 1) * len(said) // told]) for place in range(told)]
    checked = [joined([closed(part), rng.choice(words["checks"])]) for part in parts[:-1]]
    return [f"您好，{text}" if place == 0 else text for place, text in enumerate([*questions, *checked, parts[-1]])]


def _patient_answer(asked: str, rng: Random) -> str:
    words = phrases().expanding
    return rng.choice(words["nods" if asked.endswith(tuple(words["checks"])) else "unsure"])


def _spoil(patient: list[str], doctor: list[str], rng: Random) -> None:
    """Invent a drug, or leave out a character of the question."""
    if rng.random() < 0.5:
        doctor[-1] = invent_drug(doctor[-1], rng)
    else:
        place = len(patient[0]) // 2
        patient[0] = patient[0][:place] + patient[0][place + 1 :] if len(patient[0]) > 1 else patient[0] + "啊"


def _said(speaker: str, text: str) -> Turn:
    return {"speaker": speaker, "text": text}
