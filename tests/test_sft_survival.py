"""A training survives what happens to it: Ctrl-C, kills, broken losses, other flags, two at once. It ends as if nothing had."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from conftest import Outcome  # noqa: E402
from folders import files_of  # noqa: E402
from trained import (  # noqa: E402
    SMALL,
    Running,
    answered,
    at_home,
    clinic,
    commands,
    in_words,
    told,
    weights,
)

FLAGS = (*SMALL, "--data", "rows.jsonl", "--batch", 4, "--epochs", 2, "--save-every", 4, "--eval-every", 24)
"""46 rows in steps of 4: 12 steps an epoch, 24 in all."""
OF_A_CLOCK = ("seconds", "tokens_per_second", "path")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Iterator[Path]:
    """A folder for all runs of this file."""
    with at_home(tmp_path_factory.mktemp("sft")) as folder:
        clinic("rows.jsonl", 48)
        yield folder


@pytest.fixture(autouse=True)
def _own_folder(home, monkeypatch) -> None:
    """Every test works in the folder of this file."""
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def undisturbed(home) -> Outcome:
    """The same run, left alone."""
    ended = commands()(*FLAGS, "--out", "undisturbed")
    assert ended.code == 0, ended.talk
    assert ended.said["steps"] == 24
    return ended


def start(out: str, *flags: object) -> Running:
    return commands().start(*FLAGS, *flags, "--out", out)


def run(out: str, *flags: object) -> Outcome:
    return commands()(*FLAGS, *flags, "--out", out)


def figures(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if name not in OF_A_CLOCK}


def ended_as(undisturbed: Outcome, ended: Outcome, out: str) -> None:
    """The run ended well, with the very weights and figures of the undisturbed one."""
    assert ended.code == 0, ended.talk
    assert weights(out) == weights("undisturbed")
    assert figures(ended.said) == figures(undisturbed.said)
    curves = [told(folder)["facts"]["curves"] for folder in (out, "undisturbed")]
    assert curves[0] == curves[1]
    assert not list(Path(out).glob(".checkpoint-*"))


def interrupted(out: str, step: int, *flags: object) -> str:
    """The one line of a run that got Ctrl-C behind its checkpoint of this step."""
    running = start(out, *flags)
    assert running.until(Path(out, f"checkpoint-{step}").exists), running.talk
    running.signal(signal.SIGINT)
    return in_words(running.outcome(), code=4)


def killed(out: str, moment: Any, *flags: object) -> None:
    """A run that got kill -9 when `moment()` came."""
    running = start(out, *flags)
    assert running.until(moment), running.talk
    running.signal(signal.SIGKILL)
    assert running.outcome().code == -signal.SIGKILL, running.talk


def test_ctrl_c_in_both_epochs_changes_nothing_of_the_end(undisturbed):
    said = interrupted("twice", 4)
    assert "of 24; the same command with --resume goes on" in said
    (first,) = (path for path in Path("twice").glob("checkpoint-*") if path.name != "checkpoint-4")
    assert first.name.removeprefix("checkpoint-") in said

    refused = in_words(run("twice"))
    assert "--out twice: holds an unfinished run; --resume goes on with it" in refused
    other = in_words(run("twice", "--resume", "--learning-rate", 1e-3))
    assert "--out twice: holds an unfinished run of other data or settings" in other
    kept = Path("rows.jsonl").read_bytes()
    clinic("rows.jsonl", 47)
    changed = in_words(run("twice", "--resume"))
    assert "--out twice: holds an unfinished run of other data or settings" in changed
    Path("rows.jsonl").write_bytes(kept)
    spread = in_words(run("twice", "--resume", "--profile", "ddp", "--processes", 2))
    assert "--profile single" in spread

    interrupted("twice", 16, "--resume")
    ended_as(undisturbed, run("twice", "--resume"), "twice")


def test_a_finished_run_is_not_trained_again_and_says_the_same(undisturbed):
    before = files_of(Path("undisturbed"))
    for more in ((), ("--resume",)):
        again = run("undisturbed", *more)
        assert again.code == 0
        assert again.said == undisturbed.said
        assert "nothing to train" in again.talk
    assert files_of(Path("undisturbed")) == before
    other = in_words(run("undisturbed", "--seed", 1))
    assert "--out undisturbed: holds a model of other data or settings" in other


def test_a_run_that_is_killed_while_it_saves_goes_on_from_the_checkpoint_before(undisturbed):
    killed("saving", Path("saving/.checkpoint-12.writing").exists)
    ended_as(undisturbed, run("saving", "--resume"), "saving")


def test_a_run_that_is_killed_while_it_finishes_is_finished_by_the_next(undisturbed):
    killed("finishing", Path("finishing/.run/final/model.safetensors").exists)
    assert not Path("finishing/training.json").exists()
    ended_as(undisturbed, run("finishing", "--resume"), "finishing")


def test_a_run_that_is_killed_before_its_first_checkpoint_begins_again(undisturbed):
    """Twice: while it saves for the first time, and while it prepares anew; then nobody's files are in the way."""
    killed("early", Path("early/.checkpoint-4.writing").exists)
    killed("early", lambda: Path("early/.run/base").exists() and not Path("early/.run/run.json").exists())
    ended_as(undisturbed, run("early"), "early")


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", [".run/parts", ".run/run.json", "checkpoint-8", ".run/final", "model.safetensors", "README.md"]
)
def test_whenever_it_is_killed_the_next_run_ends_well(undisturbed, file):
    out = f"killed-{file.replace('/', '-')}"
    killed(out, Path(out, file).exists)
    ended_as(undisturbed, run(out, "--resume"), out)


def test_ctrl_c_while_it_prepares_is_one_line(undisturbed):
    running = start("preparing")
    assert running.until(Path("preparing/.run/base").exists)
    running.signal(signal.SIGINT)
    ended = running.outcome()
    assert "Traceback" not in ended.talk
    assert ended.code in (4, 130)
    shutil.rmtree("preparing", ignore_errors=True)


def test_a_run_goes_on_from_another_working_directory(undisturbed, monkeypatch):
    interrupted("moved", 4)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    flags = [flag if flag != "rows.jsonl" else "../rows.jsonl" for flag in FLAGS]
    ended = commands()(*flags, "--resume", "--out", "../moved")
    monkeypatch.chdir("..")
    ended_as(undisturbed, ended, "moved")
    assert not list(Path("elsewhere").iterdir())


def test_two_runs_into_one_folder_do_not_meet(undisturbed):
    first = start("shared")
    assert first.until(Path("shared/.run").exists)
    said = in_words(run("shared"))
    assert "shared" in said
    ended_as(undisturbed, first.outcome(), "shared")


def test_a_loss_that_is_no_number_ends_the_run_and_its_batch_is_kept(undisturbed):
    said = in_words(run("broken", "--learning-rate", 1e30, "--save-every", 100), code=4)
    assert "is not finite; the batch is in broken/.run/not_finite_rank0.json" in said
    assert "--learning-rate" in said
    assert not Path("broken/model.safetensors").exists()
    kept = json.loads(Path("broken/.run/not_finite_rank0.json").read_text(encoding="utf-8"))
    assert f"step {kept['step']}: the {kept['what']}" in said
    answers = {f"{answered(number)}<|im_end|>" for number in range(48)}
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("broken/.run/tokenizer")
    assert len(kept["sequences"]) == 4
    for sequence in kept["sequences"]:
        learnt = tokenizer.decode([label for label in sequence["labels"] if label != -100])
        assert learnt in answers
        assert learnt in sequence["text"]


def test_another_model_of_the_same_name_is_another_run(undisturbed):
    """A base is what its weights are: two folders called `base` are two models."""
    of_a_run = shutil.ignore_patterns(".run", "checkpoint-*", "training.json")
    for place in ("one", "other"):
        shutil.copytree("undisturbed", Path(place, "base"), ignore=of_a_run)
    from safetensors.torch import load_file, save_file

    halved = {name: weight / 2 for name, weight in load_file("other/base/model.safetensors").items()}
    save_file(halved, "other/base/model.safetensors", metadata={"format": "pt"})
    once = ("--max-steps", 1, "--epochs", 1, "--eval-rows", 0)
    assert run("tuned", *once, "--model", "one/base").code == 0
    said = in_words(run("tuned", *once, "--model", "other/base"))
    assert "--out tuned: holds a model of other data or settings" in said


def test_another_template_under_the_same_name_is_another_run(undisturbed):
    shutil.copyfile("undisturbed/chat_template.jinja", "own.jinja")
    once = ("--max-steps", 1, "--eval-rows", 0, "--template", "own.jinja")
    assert run("drawn", *once).code == 0
    Path("own.jinja").write_text(Path("own.jinja").read_text(encoding="utf-8") + "{# again #}", encoding="utf-8")
    assert "--out drawn: holds a model of other data or settings" in in_words(run("drawn", *once))


@pytest.mark.slow
def test_adapters_go_on_to_the_bit_as_well(undisturbed):
    lora = ("--model", "undisturbed", "--lora", 4, "--lora-dropout", 0.1)
    whole = run("adapters", *lora)
    assert whole.code == 0, whole.talk
    interrupted("adapters-again", 16, *lora)
    again = run("adapters-again", *lora, "--resume")
    assert again.code == 0, again.talk
    both = [Path(out, "adapter_model.safetensors").read_bytes() for out in ("adapters", "adapters-again")]
    assert both[0] == both[1]
