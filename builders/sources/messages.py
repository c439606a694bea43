"""Chat messages, as OpenAI's fine-tuning, TRL and our own releases have them.

{"messages": [{"role": "system", "content": "…"}, {"role": "user", "content": "…"}, {"role": "assistant", …}]}
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format
from builders.sources.fields import id_of, objects
from builders.sources.voices import dialogue, turns


def consultation(row: Mapping[str, Any]) -> Consultation:
    """A conversation; messages may also stand as JSON in a text."""
    said = row.get("messages")
    heard = dialogue(said) if isinstance(said, str) else turns(objects(row, "messages"), "role", "content")
    return Consultation(utterances=heard, own_id=id_of(row, "id"))


FORMAT = Format(
    name="messages",
    about="messages of user and assistant: OpenAI, TRL, and releases of this package",
    license="",
    consultation=consultation,
    fits=lambda row: isinstance(row.get("messages"), list | str),
)
