"""SMILE: counselling dialogues that a model made of real questions and answers.

{"file": "0.json", "dialogue": [{"role": "client", "content": "…", "annotation": […]}, {"role": "counselor", …}]}
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format
from builders.sources.fields import id_of, objects
from builders.sources.voices import turns


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A dialogue of client and counsellor."""
    said = turns(objects(row, "dialogue"), "role", "content")
    return Consultation(department="心理咨询", utterances=said, tags=("simulated",), own_id=id_of(row, "file"))


def _fits(row: Mapping[str, Any]) -> bool:
    said = row.get("dialogue")
    in_objects = isinstance(said, list) and all(isinstance(turn, dict) for turn in said)
    return in_objects and any(turn.get("role") in ("client", "counselor") for turn in row["dialogue"])


FORMAT = Format(
    name="smile",
    about="SMILE: counselling dialogues, expanded by a model from single questions and answers",
    license="CC0-1.0",
    consultation=consultation,
    fits=_fits,
)
