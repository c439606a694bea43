"""A builder of many turns, for tests that need one: doctor and patient speak in turn, the last word is the row.

python tests/consult.py --teacher rehearsal --source complaints.jsonl --rows 24 --out build/consult
"""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from builders.engine.ask import Ask
from builders.engine.produce import Job, produce
from builders.engine.steps import in_order
from builders.sources.json_rows import column
from schemas.base import Message
from schemas.instruction import Instruction
from schemas.settings import BuildSettings, run_command

TURNS = 3


class Consult(BuildSettings):
    """Hold consultations of three turns."""

    command: ClassVar[str] = "consult"
    source: Path
    """JSON Lines with a `complaint` each."""


async def build(complaint: str, ask: Ask) -> Sequence[Instruction]:
    """The doctor answers three times, the patient asks on in between: five calls, each needing the one before."""
    said = [Message(role="user", content=complaint)]
    for turn in range(TURNS):
        said.append(Message(role="assistant", content=await ask(said)))
        if turn < TURNS - 1:
            said.append(
                Message(role="user", content=await ask([*said, Message(role="user", content="病人接着问什么？")]))
            )
    return [
        Instruction(key=complaint, department="all", role="patient", instruction=complaint, output=said[-1].content)
    ]


def main(settings: Consult) -> int:
    """Read the complaints in order."""
    steps = in_order(column(settings.source, "complaint"), build, key=lambda complaint: complaint, rows=settings.rows)
    return produce(settings, Job(config="consult", family=Instruction, steps=lambda _: steps))


if __name__ == "__main__":
    run_command(Consult, main)
