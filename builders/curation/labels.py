"""What each of the doctor's turns does, written into the turns."""

from collections.abc import Sequence

from builders.curation.inquiry import act_of
from schemas.dialogue import Turn


def labelled(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns with what each of the doctor's does."""
    return tuple(
        turn.model_copy(update={"act": act_of(turn.text)}) if turn.speaker == "doctor" else turn for turn in turns
    )
