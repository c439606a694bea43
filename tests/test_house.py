"""The house keeps its order: imports go one way, help is instant, and README and commands name each other."""

import ast
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

ROOMS = ("schemas", "cards", "builders", "trainers")
HEAVY = {"torch", "openai", "datasets", "polars", "datasketch", "pyarrow", "numba", "transformers"}


def modules() -> list[Path]:
    return [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]


def commands() -> list[str]:
    return [f"{room}.{path.stem}" for room in ("builders", "trainers") for path in (ROOT / room).glob("[!_]*.py")]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_from_right_to_left(path):
    room = path.relative_to(ROOT).parts[0]
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            package = name.split(".")[0]
            assert package not in ROOMS or package in allowed, f"{path}:{node.lineno} imports {name}"
            assert room == "trainers" or package != "torch"


OF_BUILDERS = (
    "ask",
    "teacher",
    "judge",
    "patient",
    "entities",
    "dedup",
    "errors",
    "folder",
    "hub",
    "hub_address",
    "push",
    "card_words",
    "splits",
)


def test_trainers_know_published_data_and_no_builder():
    """Of builders they take the engine's doors to teachers, near-duplicates, release folders and the Hub, and the readers of tables."""
    allowed = (*(f"builders.engine.{name}" for name in OF_BUILDERS), "builders.sources")
    for path in (ROOT / "trainers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            if name.startswith("builders"):
                assert any(name == door or name.startswith(f"{door}.") for door in allowed), f"{path}: {name}"


def test_importing_every_builder_imports_no_torch_and_the_commands_nothing_heavy():
    names = [
        str(path.relative_to(ROOT).with_suffix("")).replace(os.sep, ".") for path in (ROOT / "builders").rglob("*.py")
    ]
    everything = ", ".join(
        name.removesuffix(".__init__") for name in names if not name.endswith("__main__") and ".compiled_" not in name
    )
    assert loaded(f"import {everything}") & {"torch", "transformers", "numba"} == set()
    assert loaded(f"import {', '.join(commands())}") & HEAVY == set()


def loaded(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )


@pytest.mark.parametrize("command", commands())
def test_help_answers_before_anybody_gets_impatient(command):
    """Against a bare interpreter in the same run; on its own it takes about 0.2 s, and 0.5 s is the promise."""
    bare, helped = [], []
    for _ in range(3):
        bare.append(seconds([sys.executable, "-c", "import pydantic_settings"]))
        helped.append(seconds([sys.executable, "-m", command, "--help"]))
    assert statistics.median(helped) < 3 * statistics.median(bare) + 0.1


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - started


def test_readme_and_commands_name_each_other():
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"python -m ((?:builders|trainers)\.\w+)", readme)) - {"builders.engine"}
    assert named == set(commands())


@pytest.mark.parametrize("command", commands())
def test_every_flag_has_a_help_text(command):
    shown = subprocess.run(
        [sys.executable, "-m", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    flags = re.findall(r"^  (--[a-z-]+)[^\n]*(\n {6,}\S|  \S)", shown.stdout, re.MULTILINE)
    assert len(flags) == len(re.findall(r"^  --", shown.stdout, re.MULTILINE)) >= 4


def test_every_command_is_also_a_subcommand_of_suwen(tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "__init__.py").write_text("raise RuntimeError('the user has a schemas of their own')\n")
    suwen = Path(sys.executable).with_name("suwen")
    if not suwen.exists():
        pytest.skip("the package is not installed in this environment")
    listed = subprocess.run([suwen, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "distill_instructions" in listed.stderr
    helped = subprocess.run(
        [suwen, "distill_instructions", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "--teacher" in helped.stdout
    assert subprocess.run([suwen], cwd=tmp_path, capture_output=True, check=False).returncode == 2
    close = subprocess.run([suwen, "distil-instructions"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "did you mean distill_instructions?" in close.stderr
    assert subprocess.run([suwen, "nonsense"], cwd=tmp_path, capture_output=True, check=False).returncode == 2


def test_prompts_hold_no_placeholder_that_source_text_could_fill():
    for path in (ROOT / "builders" / "prompts").glob("*.txt"):
        text = path.read_text()
        assert "{{" not in text
        assert "<data>" in text
