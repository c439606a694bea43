"""Case files written by hand, and the two who speak over them by a script instead of two models."""

import asyncio
import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars
import pytest
from aiohttp import web
from answers import completion
from conftest import ROOT, Outcome, outcome

from builders import simulate_dialogues
from builders.engine.entities.lexicon import Lexicon
from builders.engine.patient import Ending
from builders.prompts import prompt
from builders.simulation.consultation import Held, consult
from builders.simulation.measures import measured
from schemas.base import Message
from schemas.case import CaseFile, Fact
from schemas.dialogue import Consultation, SimulatedDialogue, Turn
from schemas.settings import run_command

ULCER = CaseFile(
    id="胃/1",
    department="消化内科",
    complaint="胃疼",
    facts=(
        Fact(name="主诉", value="上腹隐痛两周"),
        Fact(name="发热", value="没有"),
        Fact(name="反酸", value="有"),
        Fact(name="年龄", value="45岁"),
        Fact(name="过敏史", value="对青霉素过敏"),
        Fact(name="胃镜", value="十二指肠球部见一处溃疡面", seen_by=("doctor", "judge")),
        Fact(name="依从性", value="自行停药三次", seen_by=("judge",)),
    ),
    diagnosis="十二指肠溃疡",
    advice="口服奥美拉唑，一日两次，按时复查。",
)
"""A case of seven facts: five for the patient, one for the doctor, one for the judge alone."""
GOOD = (
    "医生您好，胃疼。",
    "您好，疼了多久了？对什么药过敏吗？",
    "上腹隐痛两周了，对青霉素过敏。",
    "结合您说的情况，考虑十二指肠溃疡。建议口服奥美拉唑，一日两次。",
    "好的，谢谢医生，再见",
)
"""A consultation over it that nobody could object to, from the patient to the patient's goodbye."""


@cache
def lexicon() -> Lexicon:
    """The words that come with the package, read once."""
    return Lexicon.built_in()


class Speakers:
    """Answers from a script, patient and doctor by turns, and remembers what each was asked."""

    def __init__(self, *said: str, ends: Sequence[int] = ()) -> None:
        self._said = said
        self._ends = ends
        self.heard: list[tuple[str, list[Message], int]] = []

    async def __call__(
        self, messages: Sequence[Message], *, by: str = "teacher", shape: Any = None, sample: int = 0
    ) -> Any:
        number = len(self.heard)
        assert by == ("patient", "doctor")[number % 2]
        self.heard.append((by, list(messages), sample))
        text = self._said[number]
        return text if shape is None else shape(text=text, end=number in self._ends)

    def told(self, who: str) -> list[str]:
        """Everything that stood in the requests to one of them, request by request."""
        return ["\n".join(said.content for said in messages) for by, messages, _ in self.heard if by == who]


def hold(case: CaseFile, ask: Speakers, *, max_turns: int = 8, by_flag: bool = False, sample: int = 0) -> Held:
    """One consultation by a script."""
    return asyncio.run(consult(case, ask, max_turns=max_turns, ending=Ending(by_flag=by_flag), sample=sample))  # type: ignore[arg-type]


def texts(held: Held) -> list[str]:
    """What was said in it."""
    return [turn.text for turn in held.turns]


def measure(case: CaseFile, *said: str) -> Consultation:
    """What is measured on a consultation with these turns, from the patient to the doctor."""
    turns = [Turn(speaker=("patient", "doctor")[at % 2], text=text) for at, text in enumerate(said)]
    return measured(turns, case, "patient", lexicon())


def with_facts(**facts: str) -> CaseFile:
    """The case with other facts for the patient, and nothing for the doctor."""
    return ULCER.model_copy(update={"facts": tuple(Fact(name=name, value=value) for name, value in facts.items())})


# ------------------------------------------------------------------ the command line


def simulate(*arguments: object) -> Outcome:
    """`simulate("--rows", 5, …)`: the command in this process, as a user would call it."""
    out, talk = io.StringIO(), io.StringIO()
    words = [str(argument) for argument in arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk), pytest.raises(SystemExit) as ended:
        run_command(simulate_dialogues.SimulateDialogues, simulate_dialogues.main, words)
    return outcome(ended.value.code, talk.getvalue(), out.getvalue())


def start(*arguments: object) -> "subprocess.Popen[str]":
    """The command in a process of its own, which the test may kill."""
    command = [sys.executable, "-m", "builders.simulate_dialogues", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write(path: str, *cases: CaseFile | str) -> str:
    """A file of cases; a text among them stands as it is."""
    lines = (case if isinstance(case, str) else case.model_dump_json() for case in cases)
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def many(count: int) -> list[CaseFile]:
    """So many cases that differ in id, complaint and how long it lasts."""
    return [
        ULCER.model_copy(
            update={
                "id": str(number),
                "complaint": f"胃疼，第{number}号",
                "facts": (Fact(name="主诉", value=f"上腹隐痛{number + 2}天"), *ULCER.facts[1:]),
            }
        )
        for number in range(count)
    ]


def dialogues(out: str = "set") -> list[SimulatedDialogue]:
    """The rows of a release, in its order."""
    table = polars.read_parquet(f"{out}/simulated_dialogues/*.parquet")
    return [SimulatedDialogue.from_record(record) for record in table.to_dicts()]


def rejects(out: str = "set") -> list[dict[str, Any]]:
    """What a release kept of what was rejected."""
    return polars.read_parquet(f"{out}/rejected/*.parquet").to_dicts()


class Scripted:
    """A server that plays patient and doctor by a script, told apart by their prompts; `answer` is its handler."""

    def __init__(self, *said: str, second: Sequence[str] = ()) -> None:
        self._scripts = [said, tuple(second)]
        """Of the first and of the second consultation over a case."""
        self.bodies: list[dict[str, Any]] = []
        self.when: Callable[[int], Awaitable[None]] | None = None
        """Awaited before a turn is answered, with its number in the consultation."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The turn that the history of the request leads up to; the last one again when the script is over."""
        body = await request.json()
        self.bodies.append(body)
        script, number = self._scripts[body["seed"]], turn_of(body)
        if self.when is not None:
            await self.when(number)
        return completion(script[min(number, len(script) - 1)])

    def heard(self, role: str) -> list[str]:
        """Requests to one role, each as one text."""
        return [json.dumps(body, ensure_ascii=False) for body in self.bodies if role_of(body) == role]


def role_of(body: dict[str, Any]) -> str:
    """Whose turn a request is for."""
    first = body["messages"][0]["content"]
    return next(name for name in ("patient", "doctor") if first == prompt(f"simulate_{name}").text)


def turn_of(body: dict[str, Any]) -> int:
    """Number of the turn in the consultation that a request asks for, from 0."""
    own = [message["role"] for message in body["messages"]].count("assistant")
    return 2 * own + (role_of(body) == "doctor")
