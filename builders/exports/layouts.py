"""A conversation in the layout of another trainer; what a layout cannot hold is a ValueError that says why."""

from collections.abc import Callable, Sequence
from typing import Any

from builders.sources.consultations import Speaks, Utterance

Layout = Callable[[Sequence[Utterance]], dict[str, Any]]
CHAT: dict[Speaks, str] = {"system": "system", "patient": "user", "doctor": "assistant"}
SHAREGPT: dict[Speaks, str] = {"system": "system", "patient": "human", "doctor": "gpt"}


def alpaca(said: Sequence[Utterance]) -> dict[str, Any]:
    """The last turn as instruction and output, those before it as history, as LLaMA-Factory reads them."""
    system, turns = _without_system(said)
    heard = [turn.speaker for turn in turns]
    if not turns or heard != ["patient", "doctor"] * (len(heard) // 2):
        raise ValueError(f"turns do not alternate from user to assistant: {_in_words(heard)}")
    *pairs, (asked, answered) = list(zip(turns[::2], turns[1::2], strict=True))
    row = {
        "instruction": asked.text,
        "input": "",
        "output": answered.text,
        "history": [[question.text, answer.text] for question, answer in pairs],
    }
    return {**row, "system": system} if system else row


def sharegpt(said: Sequence[Utterance]) -> dict[str, Any]:
    """Turns from human and gpt."""
    return {"conversations": [{"from": SHAREGPT[turn.speaker], "value": turn.text} for turn in said]}


def disc(said: Sequence[Utterance]) -> dict[str, Any]:
    """Turns of user and assistant, as DISC-Med-SFT has them."""
    return {"conversation": _chat(said)}


def messages(said: Sequence[Utterance]) -> dict[str, Any]:
    """Messages of user and assistant, as OpenAI's fine-tuning and TRL have them."""
    return {"messages": _chat(said)}


LAYOUTS: dict[str, Layout] = {"alpaca": alpaca, "sharegpt": sharegpt, "disc": disc, "messages": messages}
ID = {"disc": "_id"}
"""What a layout calls the id of a row, where it is not `id`."""


def _chat(said: Sequence[Utterance]) -> list[dict[str, str]]:
    return [{"role": CHAT[turn.speaker], "content": turn.text} for turn in said]


def _without_system(said: Sequence[Utterance]) -> tuple[str, Sequence[Utterance]]:
    return (said[0].text, said[1:]) if said[0].speaker == "system" else ("", said)


def _in_words(heard: Sequence[Speaks]) -> str:
    shown = ", ".join(CHAT[speaker] for speaker in heard[:6])
    return f"{shown} …" if len(heard) > 6 else shown or "nobody speaks"
