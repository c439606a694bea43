"""MedDialog-CN in its three layouts on the Hub.

{"utterances": ["病人：晚上睡觉翻身时疼痛。", "医生：最好把图像上传看看。"]}                          processed.zh
{"dialogue_id": 2, "file_name": "2020.txt", "dialogue_turns": {"speaker": [0, 1], "utterance": ["…", "…"]}}   zh
{"dialogue_id": 2, "file_name": "2020.txt", "dialogue_turns": [{"speaker": "病人", "utterance": "…"}, …]}
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format
from builders.sources.fields import id_of, text
from builders.sources.voices import dialogue

CLASSES = {0: "病人", 1: "医生"}
"""The speakers by their number in the data set."""


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A consultation; ids count within the file they were crawled into."""
    turns = row.get("dialogue_turns")
    if isinstance(turns, dict):
        turns = {**turns, "speaker": [CLASSES.get(one, one) for one in turns.get("speaker") or []]}
    elif isinstance(turns, list):
        turns = [{**turn, "speaker": CLASSES.get(turn.get("speaker"), turn.get("speaker"))} for turn in turns]
    said = dialogue(row.get("utterances") if turns is None else turns)
    own, file = id_of(row, "dialogue_id"), text(row, "file_name")
    return Consultation(
        description=text(row, "description"),
        utterances=said,
        own_id=f"{file}/{own}" if own and file else own,
    )


def _fits(row: Mapping[str, Any]) -> bool:
    said = row.get("utterances")
    in_texts = isinstance(said, list) and bool(said) and all(isinstance(turn, str) for turn in said)
    return in_texts or bool(row.get("dialogue_turns"))


FORMAT = Format(
    name="meddialog_cn",
    about="MedDialog-CN on the Hub: consultations of haodf.com",
    license="",
    consultation=consultation,
    fits=_fits,
)
