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
