"""Requests made from one of our prompts about real answers and consultations: recognised by the prompt's own text.

The schema may stand in words at the end of the last message; a complaint that an answer was not in the asked form is
answered like the request before it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from builders.engine.rehearsal.claims import checked
from builders.engine.rehearsal.clinician import doctor_turn
from builders.engine.rehearsal.conversation import Conversation, Reply, conversation
from builders.engine.rehearsal.judging import compared, marked
from builders.engine.rehearsal.patient import patient_turn
from builders.engine.rehearsal.rewriting import expanded, polished, rewritten
from builders.prompts import prompt

NOT_IN_FORM = "你的回答不符合要求的格式"
SCHEMA_BEGINS = "\n\nAnswer with one JSON object that fits this JSON schema:\n"
WRITERS: Mapping[str, Callable[..., str | dict[str, Any]]] = {
    "polish_answer": polished,
    "rewrite_doctor": rewritten,
    "expand_dialogue": expanded,
    "judge_answers": marked,
    "judge_pair": compared,
}
SPEAKERS: Mapping[str, Callable[[Conversation], Reply]] = {
    "simulate_patient": patient_turn,
    "simulate_doctor": doctor_turn,
}
CHECKER = "check_claims"


def prompt_of(messages: Sequence[Mapping[str, str]]) -> str | None:
    """Name of the prompt that a request is made from; None when it is none of those answered here."""
    return _names().get(messages[0]["content"]) if messages and messages[0]["role"] == "system" else None


@cache
def _names() -> dict[str, str]:
    return {prompt(name).text: name for name in (*WRITERS, *SPEAKERS, CHECKER)}


def written_for(
    name: str, messages: Sequence[Mapping[str, str]], data: Mapping[str, Any], *, sample: object, formed: bool
) -> str:
    """The answer to a prompt of ours, as text or JSON; `formed` says whether a speaker is asked for `text` and `end`."""
    if name in SPEAKERS:
        said = SPEAKERS[name](conversation(_plain(messages), data, sample=sample))
        return _json({"text": said.text, "end": said.end}) if formed else said.text
    made = checked(data) if name == CHECKER else WRITERS[name](data, sample=sample)
    return made if isinstance(made, str) else _json(made)


def _plain(messages: Sequence[Mapping[str, str]]) -> Sequence[Mapping[str, str]]:
    """The turns alone, without complaints about their form and without a schema in words."""
    while len(messages) > 3 and messages[-1]["content"].startswith(NOT_IN_FORM):
        messages = messages[:-2]
    last = messages[-1]
    return [*messages[:-1], {**last, "content": last["content"].rpartition(SCHEMA_BEGINS)[0] or last["content"]}]


def _json(made: dict[str, Any]) -> str:
    return json.dumps(made, ensure_ascii=False)
