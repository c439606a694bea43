"""The builder that README shows is copied from there, and runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import polars
from conftest import ROOT


def test_the_builder_in_the_readme_runs_as_it_stands():
    source = re.search(r"```python\n(# plain_answers\.py\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert source is not None
    assert source[1].count("\n") <= 45
    Path("plain_answers.py").write_text(source[1])
    Path("questions.jsonl").write_text(
        "".join(
            json.dumps({"question": f"{what}要怎么预防？"}, ensure_ascii=False) + "\n"
            for what in ("感冒", "痛风", "近视", "肺结核")
        )
    )
    command = [
        sys.executable,
        "plain_answers.py",
        "--teacher",
        "rehearsal",
        "--source",
        "questions.jsonl",
        "--rows",
        "3",
        "--out",
        "set",
    ]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["rows"] == 3
    rows = polars.read_parquet("set/plain_answers/*.parquet")
    assert set(rows["instruction"]) == {"感冒要怎么预防？", "痛风要怎么预防？", "近视要怎么预防？"}


def test_a_source_that_ends_early_is_said_so():
    test_the_builder_in_the_readme_runs_as_it_stands()
    command = [
        sys.executable,
        "plain_answers.py",
        "--teacher",
        "rehearsal",
        "--source",
        "questions.jsonl",
        "--rows",
        "9",
        "--out",
        "more",
    ]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 3
    assert "4 of 9 rows: the source has no more" in ended.stderr
    assert not Path("more").exists()


def test_a_question_that_comes_twice_is_rejected_and_a_wrong_row_is_one_line():
    test_the_builder_in_the_readme_runs_as_it_stands()

    def run(questions, *flags):
        Path("questions.jsonl").write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in questions))
        command = [sys.executable, "plain_answers.py", "--teacher", "rehearsal", "--source", "questions.jsonl", *flags]
        return subprocess.run(
            command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
        )

    twice = run(
        [{"question": "感冒要怎么预防？"}, {"question": "感冒要怎么预防？"}, {"question": "什么是痛风？"}],
        "--out",
        "two",
    )
    said = json.loads(twice.stdout.splitlines()[-1])
    assert (said["rows"], said["rejected"]) == (2, {"key repeated": 1})
    wrong = run([{"question": "感冒要怎么预防？"}, {"ask": "什么是痛风？"}], "--out", "three")
    assert (wrong.returncode, wrong.stderr.splitlines()[-1]) == (
        2,
        "plain_answers: questions.jsonl: line 2: question: expected a text",
    )


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
    command = [sys.executable, "consult.py", "--doctor", "qwen-max@ward", "--patient", "qwen-plus@home", "--out", "set"]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.splitlines()[-1])["calls"] == 3 * 6
    assert (doctor.asked.total(), patient.asked.total()) == (3 * 4, 3 * 2)
    rows = polars.read_parquet("set/consult/*.parquet")
    assert rows.height == 6  # two rows a seed
    provenance = rows["provenance"].to_list()
    assert all(known["teachers"] == ["qwen-max@ward", "qwen-plus@home"] for known in provenance)
    assert {len(known["calls"]) for known in provenance} == {6}
