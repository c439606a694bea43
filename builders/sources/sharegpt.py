"""ShareGPT's layout, as Vicuna, FastChat, LLaMA-Factory and MedicalGPT have it.

{"id": "…", "conversations": [{"from": "system", "value": "…"}, {"from": "human", "value": "…"}, {"from": "gpt", …}]}
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format
from builders.sources.fields import id_of, objects, text
from builders.sources.voices import turns, utterances


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A conversation; a system text may stand in it, or in a field of its own."""
    said = turns(objects(row, "conversations"), "from", "value")
    system = text(row, "system") or text(row, "system_prompt")
    opening = utterances([("system", system)]) if system else ()
    return Consultation(utterances=(*opening, *said), own_id=id_of(row, "id"))


def _fits(row: Mapping[str, Any]) -> bool:
    said = row.get("conversations")
    return isinstance(said, list) and all(isinstance(turn, dict) and "from" in turn for turn in said)


FORMAT = Format(
    name="sharegpt",
    about="conversations of human and gpt: ShareGPT, Vicuna, MedicalGPT, LLaMA-Factory",
    license="",
    consultation=consultation,
    fits=_fits,
)
