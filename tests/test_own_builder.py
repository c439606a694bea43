"""The builder that README shows is copied from there, and runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars
from conftest import ROOT

FOUR = [{"question": f"{what}要怎么预防？"} for what in ("感冒", "痛风", "近视", "肺结核")]


def plain_answers(questions, *flags):
    """The builder of the README, copied from there, over these rows."""
    source = re.search(r"```python\n(# plain_answers\.py\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert source is not None
    assert source[1].count("\n") <= 45
    Path("plain_answers.py").write_text(source[1])
    Path("questions.jsonl").write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in questions))
    return run("plain_answers.py", "--teacher", "rehearsal", "--source", "questions.jsonl", *flags)


def run(*command):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=False)


def test_the_builder_in_the_readme_runs_as_it_stands():
    ended = plain_answers(FOUR, "--rows", "3", "--out", "set")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["rows"] == 3
    rows = polars.read_parquet("set/plain_answers/*.parquet")
    assert set(rows["instruction"]) == {"感冒要怎么预防？", "痛风要怎么预防？", "近视要怎么预防？"}


def test_a_source_that_ends_early_is_said_so():
    ended = plain_answers(FOUR, "--rows", "9", "--out", "more")
    assert ended.returncode == 3
    assert "4 of 9 rows: the source has no more" in ended.stderr
    assert not Path("more").exists()


def test_a_question_that_comes_twice_is_rejected():
    ended = plain_answers([FOUR[0], FOUR[0], FOUR[1]], "--out", "two")
    said = json.loads(ended.stdout.splitlines()[-1])
    assert (said["rows"], said["rejected"]) == (2, {"key repeated": 1})


def test_a_wrong_row_of_a_source_is_one_line():
    ended = plain_answers([FOUR[0], {"ask": "什么是痛风？"}], "--out", "three")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == "plain_answers: questions.jsonl: line 2: question: expected a text"


CONSULTATION = """
from typing import ClassVar
from builders.engine.produce import Job, produce
from builders.engine.steps import in_order
from pydantic import BaseModel
from schemas.base import Message
from schemas.instruction import Instruction
from schemas.settings import BuildSettings, run_command


class Consult(BuildSettings):
    command: ClassVar[str] = "consult"
    doctor: str
    patient: str


class Triage(BaseModel):
    urgent: bool
    reasons: list[str]


async def build(complaint, ask):
    said = [Message(role="user", content=complaint)]
    for _ in range(2):
        said.append(Message(role="assistant", content=await ask(said, by="doctor")))
        said.append(Message(role="user", content=await ask(said, by="patient")))
    triage = await ask(said, by="doctor", shape=Triage)
    second = await ask(said, by="doctor", sample=1)
    output = f"{said[-2].content}{second}{triage.urgent}"
    first = Instruction(key=f"{complaint}/a", department="x", role="patient", instruction=complaint, output=output)
    return [first, first.model_copy(update={"key": f"{complaint}/b", "output": second})]


def main(settings):
    steps = in_order(["肚子疼", "咳嗽", "失眠"], build, key=str, rows=settings.rows)
    return produce(settings, Job(config="consult", family=Instruction, steps=lambda _: steps, speakers=("doctor", "patient")))


run_command(Consult, main)
"""


def test_two_models_at_two_endpoints_hold_a_conversation_in_one_run(rehearsal):
    doctor, patient = rehearsal(), rehearsal()
    Path("suwen.toml").write_text(
        f'[endpoints.ward]\nbase_urls = ["{doctor.url}"]\n[endpoints.home]\nbase_urls = ["{patient.url}"]\n'
    )
    Path("consult.py").write_text(CONSULTATION)
    ended = run("consult.py", "--doctor", "qwen-max@ward", "--patient", "qwen-plus@home", "--out", "set")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["calls"] == 3 * 6
    assert (doctor.asked.total(), patient.asked.total()) == (3 * 4, 3 * 2)
    rows = polars.read_parquet("set/consult/*.parquet")
    assert rows.height == 6  # two rows a seed
    provenance = rows["provenance"].to_list()
    assert all(known["teachers"] == ["qwen-max@ward", "qwen-plus@home"] for known in provenance)
    assert {len(known["calls"]) for known in provenance} == {6}
