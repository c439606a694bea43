"""DISC-MedLLM: consultations of its training set (DISC-Med-SFT) and of its evaluation.

{"_id": "…", "source": "MedDialog_redialog", "conversation": [{"role": "user", "content": "…"}, …]}
{"id": "0-36638", "model": "gpt-3.5-turbo", "source": "CMD", "dataset_info": {"department": "儿科"},
 "conversation": [{"role": "patient", "content": "…"}, …]}
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format
from builders.sources.fields import id_of, objects, text
from builders.sources.voices import turns


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A consultation; ids count within what the set calls a source."""
    source, own = text(row, "source"), id_of(row, "_id") or id_of(row, "id")
    about = row.get("dataset_info") or {}
    return Consultation(
        department=text(about, "department"),
        utterances=turns(objects(row, "conversation"), "role", "content"),
        tags=("simulated",) if text(row, "model") else (),
        own_id=f"{source}/{own}" if source and own else own,
    )


def _fits(row: Mapping[str, Any]) -> bool:
    said = row.get("conversation")
    return isinstance(said, list) and all(isinstance(turn, dict) and "role" in turn for turn in said)


FORMAT = Format(
    name="disc",
    about="DISC-MedLLM: consultations of patient and doctor, or user and assistant",
    license="LicenseRef-research-only",
    consultation=consultation,
    fits=_fits,
)
