"""Whose turn it is: bubbles of one speaker become one turn, and a consultation opens with what the patient comes with."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from builders.curation.formulas import substance
from builders.curation.inquiry import questions_in
from builders.engine.errors import Reject
from schemas.dialogue import Speaker

BETWEEN_BUBBLES = "\n"
"""Bubbles are sent one by one, mostly without a stop. A line break keeps each as it was typed, and shows where it ended;
any punctuation of ours would be a word put into the patient's mouth."""
LATEST_OPENING = 12
"""Turns that may pass before the patient has said what the matter is."""
AGE = re.compile(r"[\d一二三四五六七八九十半两]\s*(?:个?多?月|岁|周岁|斤|公斤|kg|度)")
COMPLAINT = re.compile(
    r"[痛疼痒咳烧热吐泻拉便尿血肿晕麻酸胀痰喘涕奶药疹癌病症炎毒闷慌累困醒睡食饿渴汗冷疱疤痘斑肠胃肝肾肺脑心孕经胎针疫苗烫伤摔骨牙眼耳鼻喉颈腰腿脚手肤发化]"
    r"|不舒服|难受|检查|月经|指标|[?？]|吗$|怎么|能不能|可以"
)

SYMPTOM = re.compile(r"[痛疼痒咳烧吐泻拉肿晕麻胀痰喘涕疹]|发热|便秘|便血")
DENIES = re.compile(r"(?:都|也|就|还|又|一直)?(?:没|不(?!舒服|想|肯|爱|能|会|好)|无|未)|.{0,4}正常$")
BARE_ANSWER = re.compile(r"[^痛疼痒咳烧热吐泻拉肿血药，]*(?:有的?|没有?|有点|有过|不是|是的|会的?|了)")


class Said(NamedTuple):
    """A bubble or a turn."""

    speaker: Speaker
    text: str


class Opened(NamedTuple):
    """A consultation that opens with the patient's complaint."""

    turns: list[Said]
    before: int
    """Turns that stood before the complaint was out; what the patient stated in them is in turn 1."""


def merge_bubbles(said: Sequence[Said]) -> list[Said]:
    """Consecutive utterances of one speaker as one turn, every bubble on its own line, unchanged."""
    by_speaker = groupby(said, key=lambda bubble: bubble.speaker)
    return [Said(speaker, BETWEEN_BUBBLES.join(one.text for one in bubbles)) for speaker, bubbles in by_speaker]


def description_first(turns: Sequence[Said], description: str = "") -> Opened:
    """The patient's complaint as turn 1, of merged turns: the case description, or else what the patient states first.

    A doctor who opens with a question has read a description that most sets do not publish. His questions before the
    complaint is out are left out, with their 「没有」 and 「三天了」; what the patient states in answer (「11个月」,
    「没有发烧」) needs no question before it and is gathered into turn 1. A patient who never says what the matter is
    makes the consultation a Reject.
    """
    if description.strip():
        return _described(list(turns), description.strip())
    stated: list[str] = []
    for number, turn in enumerate(turns[:LATEST_OPENING]):
        if turn.speaker == "patient":
            answers = number > 0 and questions_in(turns[number - 1].text) > 0
            said = [bubble for bubble in turn.text.split(BETWEEN_BUBBLES) if not answers or stands_alone(bubble)]
            complaint = BETWEEN_BUBBLES.join([*stated, *said])
            if opens(complaint):
                return Opened([Said("patient", complaint), *turns[number + 1 :]], number)
            stated += [bubble for bubble in said if stands_alone(bubble)]
    raise Reject("no complaint", " / ".join(stated))


def opens(text: str) -> bool:
    """Whether a patient's turn can stand first: it says what the matter is, or asks something; what is not does not count."""
    said = substance(text)
    if not re.search(r"[一-鿿]", said):
        return len(said.split()) >= 4
    stated = "，".join(clause for clause in said.split("，") if not DENIES.match(clause))
    return (
        len(stated) >= 12
        or (len(stated) >= 6 and COMPLAINT.search(stated) is not None)
        or (len(stated) >= 4 and SYMPTOM.search(stated) is not None)
    )


def stands_alone(bubble: str) -> bool:
    """Whether a patient's answer can be understood without its question: 「没有发烧」 can, 「没有」 and 「三天了」 cannot."""
    said = substance(bubble)
    if BARE_ANSWER.fullmatch(said):
        return False
    if not re.search(r"[一-鿿]", said):
        return re.fullmatch(r"3[5-9](?:\.\d+)?|4[0-2](?:\.\d+)?", said) is not None or len(said.split()) >= 4
    return len(said) >= 6 or AGE.search(said) is not None or (len(said) >= 3 and COMPLAINT.search(said) is not None)


def _described(turns: list[Said], description: str) -> Opened:
    greets = bool(turns) and turns[0].speaker == "doctor" and not substance(turns[0].text)
    rest = turns[1:] if greets else turns
    if rest and rest[0].speaker == "patient":
        opening = rest[0].text
        if description in opening:
            return Opened(rest, int(greets))
        if opening.strip() in description:
            rest = rest[1:]
    return Opened(merge_bubbles([Said("patient", description), *rest]), int(greets))
