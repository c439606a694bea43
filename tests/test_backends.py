"""A run learns the same however it is spread over processes, goes on to the bit, and dies whole: by its command line.

In CI one short run of each profile is held against one of a single process; the rest is slow.
"""

import hashlib
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for needed in ("trl", "deepspeed", "peft"):
    pytest.importorskip(needed)

import yaml  # noqa: E402
from backends import (  # noqa: E402
    STEPS,
    Clinic,
    Command,
    all_gone,
    apart,
    checkpoint,
    curve,
    history,
    in_words,
    kill_worker,
    processes_of,
    spread,
    tensors,
)
from conftest import Outcome  # noqa: E402

from schemas.settings import RECIPES  # noqa: E402

pytestmark = pytest.mark.timeout(900)  # some tests start several commands, one after the other
PROFILES = ("ddp", "zero2", "zero3")
FOUR_DIGITS = 5e-5
"""Relative; fp32 alone makes 7e-6 of it, as DeepSpeed adds gradient norms up in fp64 and torch does not."""
A_HAIR = 1e-5
"""Of any weight: a hundredth of one step of AdamW at 1e-3. Sums in another order move some by a fifth of that."""
LAST_RATE = 1.0926e-5
"""Peak 1e-3 after one step of warm-up; at the last step 1e-3 x (1 + cos(pi x 14 / 15)) / 2."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clinic]:
    shared = Clinic(tmp_path_factory.mktemp("backends"))
    yield shared
    for command in shared.started:
        command.killed()


@pytest.fixture
def start(place: Clinic, tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """`start("--profile", "ddp", …)`: a command that writes into `out` of this test's own folder."""
    started: list[Command] = []

    def begin(*more: object, **options: object) -> Command:
        started.append(place.start(tmp_path / "out", *more, **options))
        return started[-1]

    yield begin
    for command in started:
        command.killed()


def sha256(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def learnt_alike(one: Path, other: Path) -> None:
    """Every logged loss, gradient norm, learning rate and held-out loss to four digits, and the weights to a hair."""
    found = apart(one, other)
    assert found.learning_rate == 0.0, found
    assert max(found.loss, found.grad_norm, found.held_out) < FOUR_DIGITS, found
    assert found.weights < A_HAIR, found


# --- one short run of each profile, held against one of a single process ---


@pytest.mark.parametrize("profile", PROFILES)
def test_two_processes_learn_what_one_learns(place: Clinic, profile: str):
    alone, both = place.trained("single"), place.trained(profile)
    assert len(curve(both, "loss")) == STEPS
    learnt_alike(alone, both)
    assert curve(both, "loss")[-1] < curve(both, "loss")[0] - 1


@pytest.mark.parametrize("profile", ["single", *PROFILES])
def test_the_learning_rate_is_spent_at_the_last_step_and_not_before(place: Clinic, profile: str):
    rates = curve(place.trained(profile), "learning_rate")
    assert rates[-1] == pytest.approx(LAST_RATE, rel=1e-4)
    assert max(rates) == rates[1] == 1e-3
    assert rates[1:] == sorted(rates[1:], reverse=True)


@pytest.mark.parametrize("profile", ["single", *PROFILES])
def test_what_was_saved_loads_with_plain_transformers(place: Clinic, profile: str):
    from transformers import AutoModelForCausalLM

    model, told = AutoModelForCausalLM.from_pretrained(place.trained(profile), output_loading_info=True)
    assert not any(told[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.dtype == torch.float32
    assert model.get_input_embeddings().weight.data_ptr() == model.get_output_embeddings().weight.data_ptr()


@pytest.mark.parametrize("profile", PROFILES)
def test_the_same_tensors_are_saved_whatever_the_profile(place: Clinic, profile: str):
    assert tensors(place.trained(profile)).keys() == tensors(place.trained("single")).keys()


@pytest.mark.parametrize("profile", ["single", *PROFILES])
def test_stdout_is_one_line_of_figures(place: Clinic, profile: str):
    found = place.run(profile)
    assert len(found.printed.splitlines()) == 1, found.printed
    assert (found.said["steps"], found.said["processes"]) == (STEPS, 1 if profile == "single" else 2)


# --- what else can be spread ---


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_packs_are_learnt_alike(place: Clinic, profile: str):
    alone, both = place.trained("single", "--packing"), place.trained(profile, "--packing")
    assert len(curve(both, "loss")) == 6  # 24 packs are 3 steps of 8, twice
    learnt_alike(alone, both)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_adapters_are_learnt_alike(place: Clinic, profile: str):
    base = place.trained("single")
    alone, both = (place.trained(one, "--lora", 4, model=base) for one in ("single", profile))
    assert len(tensors(both)) == 56  # two for each of 7 linear layers in 4 blocks
    assert tensors(both).keys() == tensors(alone).keys()
    learnt_alike(alone, both)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["single", *PROFILES])
def test_adapters_load_with_plain_transformers_where_their_base_is(
    place: Clinic, monkeypatch: pytest.MonkeyPatch, profile: str
):
    from transformers import AutoModelForCausalLM

    base = place.trained("single")
    monkeypatch.chdir(base.parent)
    model = AutoModelForCausalLM.from_pretrained(place.trained(profile, "--lora", 4, model=base))
    ids = torch.tensor([[1, 5, 9, 30, 31]])
    assert not torch.allclose(model(ids).logits, AutoModelForCausalLM.from_pretrained(base)(ids).logits, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_adapters_that_are_folded_in_give_the_same_whole_model(place: Clinic, profile: str):
    base = place.trained("single")
    alone, both = (place.trained(one, "--lora", 4, "--merge", model=base) for one in ("single", profile))
    assert tensors(both).keys() == tensors(alone).keys() == tensors(base).keys()
    learnt_alike(alone, both)


@pytest.mark.slow
def test_eight_processes_learn_what_one_learns_and_spend_the_learning_rate(place: Clinic):
    both = place.trained("ddp", "--micro-batch", 1, processes=8)
    learnt_alike(place.trained("single"), both)
    assert curve(both, "learning_rate")[-1] == pytest.approx(LAST_RATE, rel=1e-4)


# --- stopped and gone on ---


def stopped(start: Callable[..., Command], out: Path, *more: object) -> int:
    """Ctrl-C to a command in its second epoch; the step it stopped at."""
    command = start("--save-every", 1, *more)
    command.until(lambda: checkpoint(out, 9))
    command.process.send_signal(signal.SIGINT)
    told = in_words(command.ends(), 4)
    last = checkpoint(out)
    assert last is not None
    step = int(last.name.partition("-")[2])
    assert told == f"sft: stopped at step {step} of {STEPS}; the same command with --resume goes on"
    assert 8 < step < STEPS
    return step


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["single", *PROFILES])
def test_a_run_stopped_in_its_second_epoch_goes_on_to_the_bit(
    place: Clinic, start: Callable[..., Command], tmp_path: Path, profile: str
):
    out, whole = tmp_path / "out", place.trained(profile)
    stopped(start, out, *spread(profile))
    other = "ddp" if profile != "ddp" else "zero2"
    told = in_words(start("--resume", "--profile", other, "--processes", 2).ends(), 2)
    begun = f"--profile {profile} --processes {1 if profile == 'single' else 2}"
    assert told == f"sft: --resume: {out} was begun with {begun}; go on with the same"
    assert start("--resume", *spread(profile)).ends().code == 0
    assert sha256(out) == sha256(whole)
    for name in ("loss", "grad_norm", "learning_rate"):
        assert curve(out, name) == curve(whole, name)
    assert [entry["step"] for entry in history(out) if "loss" in entry] == list(range(1, STEPS + 1))


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_packs_and_adapters_go_on_to_the_bit(
    place: Clinic, start: Callable[..., Command], tmp_path: Path, profile: str
):
    more = ("--packing", "--max-length", 64, "--lora", 4, "--lora-dropout", 0.1, *spread(profile))
    out, base = tmp_path / "out", place.trained("single")
    whole = place.start(tmp_path / "whole", *more, model=base).ends()
    assert whole.code == 0, whole.talk
    command = start("--save-every", 1, *more, model=base)
    command.until(lambda: checkpoint(out, whole.said["steps"] // 2 + 1))
    command.process.send_signal(signal.SIGINT)
    assert command.ends().code == 4
    assert start("--resume", *more, model=base).ends().code == 0
    adapters = "adapter_model.safetensors"
    assert (out / adapters).read_bytes() == (tmp_path / "whole" / adapters).read_bytes()


# --- launchers of the user's own ---


def under(launcher: tuple[str, ...], start: Callable[..., Command], *more: object) -> Outcome:
    """A run that the user's own launcher started, whose figures stand in its output once."""
    command = start(*more, launcher=launcher)
    ended = command.ends()
    assert ended.code == 0, ended.talk
    assert command.printed.count('"steps"') == 1
    assert ended.talk.count("reading rows") == 1
    return ended


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


@pytest.mark.slow
def test_torchrun_trains_as_ddp_does(place: Clinic, start: Callable[..., Command], tmp_path: Path):
    figures = under((*TORCHRUN, "2"), start).said
    assert (figures["profile"], figures["processes"]) == ("ddp", 2)
    assert sha256(tmp_path / "out") == sha256(place.trained("ddp"))


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["zero2", "zero3"])
def test_accelerate_trains_with_our_recipe(place: Clinic, start: Callable[..., Command], tmp_path: Path, profile: str):
    recipe = yaml.safe_load((RECIPES / f"{profile}.yaml").read_text(encoding="utf-8"))
    here = tmp_path / "here.yaml"
    here.write_text(yaml.safe_dump({**recipe, "use_cpu": True, "num_processes": 2, "mixed_precision": "no"}))
    figures = under(("-m", "accelerate.commands.launch", "--config_file", str(here)), start).said
    assert (figures["profile"], figures["processes"]) == (profile, 2)
    assert sha256(tmp_path / "out") == sha256(place.trained(profile))


@pytest.mark.slow
def test_a_launcher_with_other_processes_does_not_go_on_with_a_run(start: Callable[..., Command], tmp_path: Path):
    stopped(start, tmp_path / "out", *spread("ddp"))
    told = start("--resume", launcher=(*TORCHRUN, "1")).ends()
    assert told.code != 0, told.said
    assert "was begun with --profile ddp --processes 2; go on with the same" in told.talk


# --- killed ---


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_a_process_that_is_killed_ends_the_command_in_one_line(
    start: Callable[..., Command], tmp_path: Path, profile: str
):
    out = tmp_path / "out"
    command = start("--save-every", 1, "--epochs", 200, *spread(profile))
    command.until(lambda: checkpoint(out))
    kill_worker(out, 1)
    told = in_words(command.ends(), 4)
    assert told.startswith("sft: process 1 of 2 was killed: this machine ran out of memory, or somebody did it")
    assert all_gone(out)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES)
def test_a_command_that_is_killed_leaves_no_process_and_a_whole_checkpoint(
    start: Callable[..., Command], tmp_path: Path, profile: str
):
    out = tmp_path / "out"
    more = ("--epochs", 200, "--max-steps", 6, *spread(profile))
    command = start("--save-every", 1, *more)
    command.until(lambda: checkpoint(out, 2))
    assert sorted(processes_of(out).values())[-2:] == ["0", "1"]
    command.process.kill()
    assert all_gone(out)
    assert start("--resume", *more).ends().code == 0
    shutil.rmtree(out)
