"""CMDD: real paediatric consultations with symptoms marked by people, one JSON file each.

{"example-id": "10271527", "dialogue-content": [{"speaker": "患者", "sentence": "一直拉肚子", "label": "OOBII",
 "normalized": ["腹泻"], "type": ["1"]}, …]}
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from builders.sources.consultations import Consultation, Format, Span, Utterance
from builders.sources.fields import id_of, objects, text
from builders.sources.voices import speaker_of

KIND = "症状或疾病"
"""The set names no kinds: it marks symptoms, diseases and germs alike."""
STATUS: dict[str, Literal["present", "absent", "unsure"]] = {"1": "present", "2": "absent", "3": "unsure"}
MARKED = re.compile("[BI]I*")
"""An entity in a row of labels; some begin with I."""


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A consultation, bubble by bubble; empty sentences are left out, and marks that do not fit their sentence."""
    said = [utterance(bubble) for bubble in objects(row, "dialogue-content") if text(bubble, "sentence")]
    if not said:
        raise ValueError("dialogue-content: nothing is said in it")
    return Consultation(utterances=tuple(said), department="儿科", own_id=id_of(row, "example-id"))


def utterance(bubble: Mapping[str, Any]) -> Utterance:
    """One bubble, with its marks if they fit."""
    sentence = text(bubble, "sentence")
    try:
        marks = spans(bubble)
    except ValueError:
        marks = ()
    return Utterance(speaker=speaker_of(bubble.get("speaker")), text=sentence, spans=marks)


def spans(bubble: Mapping[str, Any]) -> tuple[Span, ...]:
    """What is marked in a sentence; raises ValueError when labels and sentence do not fit together."""
    sentence, label = text(bubble, "sentence"), text(bubble, "label")
    if len(label) != len(sentence):
        raise ValueError(f"label: {len(label)} marks for {len(sentence)} characters")
    found = list(MARKED.finditer(label))
    normal, types = bubble.get("normalized") or [], bubble.get("type") or []
    if not len(found) == len(normal) == len(types):
        raise ValueError(f"label: {len(found)} entities, but {len(normal)} normal forms and {len(types)} types")
    return tuple(
        Span(start=at.start(), end=at.end(), kind=KIND, value=value, status=STATUS.get(type_, ""))
        for at, value, type_ in zip(found, normal, types, strict=True)
    )


FORMAT = Format(
    name="cmdd",
    about="CMDD in ChineseBLUE: real paediatric consultations with symptoms marked",
    license="Apache-2.0",
    consultation=consultation,
    fits=lambda row: "dialogue-content" in row,
)
