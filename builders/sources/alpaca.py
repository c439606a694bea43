"""Alpaca's layout, as Belle, LLaMA-Factory and many others have it.

{"instruction": "…", "input": "", "output": "…", "system": "…", "history": [["…", "…"], …]}
"""

from collections.abc import Mapping
from typing import Any

from builders.sources.consultations import Consultation, Format, Speaks
from builders.sources.fields import columns, id_of, kind, text
from builders.sources.voices import utterances


def consultation(row: Mapping[str, Any]) -> Consultation:
    """The turns before, then instruction and input as the question, then the output."""
    opening: list[tuple[Speaks, str]] = [("system", text(row, "system")), *history(row)]
    said = utterances([*opening, ("patient", question(row)), ("doctor", text(row, "output"))])
    return Consultation(utterances=said, own_id=id_of(row, "id"))


def question(row: Mapping[str, Any]) -> str:
    """Instruction and input, a line each, as LLaMA-Factory joins them."""
    return "\n".join(part for part in (text(row, "instruction"), text(row, "input")) if part)


def history(row: Mapping[str, Any]) -> list[tuple[Speaks, str]]:
    """The turns before the last: pairs of question and answer."""
    pairs = row.get("history") or []
    if not isinstance(pairs, list):
        raise ValueError(f"history: expected a list of pairs, got {kind(pairs)}")
    said: list[tuple[Speaks, str]] = []
    for number, pair in enumerate(pairs, 1):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise ValueError(f"history: item {number} is no pair of question and answer")
        said += [("patient", pair[0]), ("doctor", pair[1])]
    return said


FORMAT = Format(
    name="alpaca",
    about="instruction, input, output, with history where there is one; Belle, LLaMA-Factory and many others",
    license="",
    consultation=consultation,
    fits=lambda row: columns(row, "instruction", "output") and isinstance(row["output"], str),
)
