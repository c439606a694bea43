"""How a consultation ends: on what the doctor has to say, not on thanks and goodbye."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from builders.curation.bubbles import Said
from builders.curation.formulas import substance

CALLS_AGAIN = re.compile(
    r"(?:你好|您好|家长朋友|宝宝|宝贝|孩子|小孩|小朋友|您|你|现在|目前|今天|那)*(?:怎么样|好点|好些|好转|好一点|好|退烧)(?:了|些)?(?:吗|没|没有|么)?"
)
"""A doctor who looks in again when all is said: 「宝宝现在怎么样了？」"""


class Ended(NamedTuple):
    """A consultation that ends with the doctor, and what was cut after that."""

    turns: list[Said]
    farewells: int
    """Turns of thanks, goodbye and the like."""
    unanswered: int
    """Turns in which the patient says more, and nobody answers."""


def cut_farewells(turns: Sequence[Said]) -> Ended:
    """Cut from the end until the last turn is the doctor's and has substance; what that turn says is kept whole.

    Farewells further up stay: they are part of the talk.
    """
    kept = list(turns)
    farewells = unanswered = 0
    while kept and (kept[-1].speaker == "patient" or says_goodbye(kept[-1].text)):
        cut = kept.pop()
        if cut.speaker == "patient" and not says_goodbye(cut.text):
            unanswered += 1
        else:
            farewells += 1
    return Ended(kept, farewells, unanswered)


def says_goodbye(text: str) -> bool:
    """Whether a turn at the end says nothing but thanks, goodbye, good wishes, 「还有问题吗」, 「给个好评」."""
    left = [clause for clause in substance(text).split("，") if clause]
    return all(CALLS_AGAIN.fullmatch(clause) for clause in left)


def without_calls_again(turn: Said) -> Said:
    """A last turn without the lines at its end in which the doctor looks in again after goodbye."""
    lines = turn.text.split("\n")
    while lines and substance(lines[-1]) and says_goodbye(lines[-1]):
        lines.pop()
    after_goodbye = bool(lines) and not substance(lines[-1])
    return Said(turn.speaker, "\n".join(lines)) if after_goodbye else turn
