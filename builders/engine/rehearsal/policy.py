"""The rehearsal as a model in training: one of its answers to a conversation is whole, others have something wrong with them.

Every fourth sample from 0 on answers in full; the others stop early, break off, or speak of something else.
"""

from collections.abc import Callable
from typing import Any

from builders.engine.rehearsal.answering import answer
from builders.engine.rehearsal.lexicon import random_from
from builders.engine.rehearsal.sentences import sentences

BREAKS_OFF = 0.6
"""Share of an answer after which it breaks off."""
ASIDE = "小孩子便秘，平时饮食上要注意什么？"
"""What an answer that misses the question is about."""


def sampled(question: str, *, sample: Any, seed: str, length: int | None) -> str:
    """The answer of one sample; which of them has which flaw is another matter for every question."""
    whole = answer(instruction=question, input="", seed=seed, length=length)
    turn = sample % (len(FLAWS) + 1) if isinstance(sample, int) else 0
    flaws = random_from("policy", question).sample(FLAWS, len(FLAWS))
    return flaws[turn - 1](whole, seed) if turn else whole


def _stops_early(whole: str, _: str) -> str:
    return "".join(sentences(whole)[:2])


def _breaks_off(whole: str, _: str) -> str:
    return whole[: int(len(whole) * BREAKS_OFF)].rstrip("，。；、\n ")


def _misses(_: str, seed: str) -> str:
    return answer(instruction=ASIDE, input="", seed=seed)


FLAWS: tuple[Callable[[str, str], str], ...] = (_stops_early, _breaks_off, _misses)
