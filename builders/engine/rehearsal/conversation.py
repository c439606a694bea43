"""A consultation as one of its two speakers sees it: what was said so far, and what there is to say now."""

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple

from builders.engine.rehearsal.lexicon import random_from

DATA_END = "</data>"


class Reply(NamedTuple):
    """What a speaker says, and whether the consultation is over for them."""

    text: str
    end: bool = False


class Conversation(NamedTuple):
    """One speaker's side: what they know, what the other and they themselves have said, in order.

    `identity` names the consultation; it is the same at each of its turns.
    """

    knows: Mapping[str, Any]
    heard: tuple[str, ...]
    spoken: tuple[str, ...]
    identity: tuple[object, ...]

    def rng(self, *parts: object) -> Random:
        """A source of chance for this consultation and whatever else is named, e.g. the number of the turn."""
        return random_from(*self.identity, *parts)

    @property
    def turn(self) -> int:
        """Number of the turn to be spoken, from 0."""
        return len(self.spoken)


def conversation(messages: Sequence[Mapping[str, str]], knows: Mapping[str, Any], *, sample: object) -> Conversation:
    """A chat request as a conversation: the user is the other one, the first thing they say stands behind the data."""
    first = messages[1]["content"]
    heard = [message["content"] for message in messages[1:] if message["role"] == "user"]
    heard[0] = first.rpartition(DATA_END)[2].strip()
    spoken = [message["content"] for message in messages[1:] if message["role"] == "assistant"]
    return Conversation(knows, tuple(heard), tuple(spoken), (messages[0]["content"], sample, first))


def says_goodbye(text: str, end: str) -> bool:
    """Whether somebody takes their leave, by the agreed word or any other."""
    return bool((end and end in text) or re.search("再见|拜拜", text))
