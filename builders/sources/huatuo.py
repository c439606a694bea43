"""HuatuoGPT's own training data: turns in a list of texts, each with the name of who speaks.

{"data": ["问：…", "答：…", …]}
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format
from builders.sources.fields import id_of, kind
from builders.sources.voices import dialogue


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A conversation, the names before its turns removed."""
    said = row.get("data")
    if not isinstance(said, list):
        raise ValueError(f"data: expected a list of texts, got {kind(said)}")
    return Consultation(utterances=dialogue(said), own_id=id_of(row, "id"))


def _fits(row: Mapping[str, Any]) -> bool:
    said = row.get("data")
    return isinstance(said, list) and len(said) > 1 and all(isinstance(turn, str) for turn in said)


FORMAT = Format(
    name="huatuo",
    about="HuatuoGPT's training data: a list of texts that begin with 问： and 答：",
    license="",
    consultation=consultation,
    fits=_fits,
)
