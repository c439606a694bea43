"""A checkpoint is whole or not there at all, and a run that goes on from one ends as if nothing had happened."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_training import a_run, history, in_two_processes, one_thread, trainer

from schemas.settings import InputError
from trainers.engine.loop.checkpoints import keep_newest, last_checkpoint, remove_leftovers, resume_point
from trainers.engine.run import Run

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

ROOT = Path(__file__).resolve().parent.parent
STEPS = 12


class Killed(BaseException):
    """The process ends here and now, as far as the trainer can tell."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def killed_after(trained: Any, steps: int) -> None:
    """Train until this many optimizer steps are done."""
    from transformers import TrainerCallback

    class Kill(TrainerCallback):
        def on_substep_end(self, args, state, control, **_):
            if state.global_step == steps:
                raise Killed

    trained.add_callback(Kill)
    with pytest.raises(Killed):
        trained.train()


def checkpoint(out: Path, step: int, run: Run | None = None) -> Path:
    """An empty checkpoint, marked as the run's."""
    from trainers.engine.loop.checkpoints import Mark, settle, writing

    (writing(out, step) / f"checkpoint-{step}").mkdir(parents=True)
    settle(out, step, Mark.of(run or a_run(out), seconds=1.5))
    return out / f"checkpoint-{step}"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_a_run_killed_in_its_second_epoch_goes_on_to_the_bit(tmp_path: Path, packed: bool) -> None:
    whole = trainer(tmp_path / "whole", packed=packed)
    whole.train()
    killed_after(trainer(tmp_path / "killed", packed=packed), 6)  # 4 steps an epoch, checkpoint-5 is the last
    point = resume_point(tmp_path / "killed", a_run(tmp_path / "killed"))
    assert point is not None
    assert point.name == "checkpoint-5"
    resumed = trainer(tmp_path / "killed", packed=packed)
    resumed.train(resume_from_checkpoint=point)
    assert len(history(whole)) == STEPS
    assert history(resumed) == history(whole)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_means_over_several_steps_are_the_same_after_a_resume(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", logging_steps=4)
    whole.train()
    killed_after(trainer(tmp_path / "killed", logging_steps=4), 6)
    resumed = trainer(tmp_path / "killed", logging_steps=4)
    resumed.train(resume_from_checkpoint=last_checkpoint(tmp_path / "killed"))
    assert [entry["step"] for entry in resumed.state.log_history if "loss" in entry] == [4, 5, 8, 10, 12]
    assert history(resumed) == history(whole)


@pytest.mark.parametrize("last", [6, 12], ids=["within an epoch", "at the end of all"])
def test_a_run_that_goes_on_from_its_last_step_takes_none(tmp_path: Path, last: int) -> None:
    whole = trainer(tmp_path, max_steps=last)
    whole.train()
    resumed = trainer(tmp_path, max_steps=last)
    resumed.train(resume_from_checkpoint=tmp_path / f"checkpoint-{last}")
    assert resumed.state.global_step == last
    assert history(resumed) == history(whole)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_adapters_are_gone_on_from_and_bear_our_card(tmp_path: Path) -> None:
    from peft import LoraConfig

    adapters = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], lora_dropout=0.1, task_type="CAUSAL_LM")
    whole = trainer(tmp_path / "whole", peft_config=adapters)
    whole.train()
    killed_after(trainer(tmp_path / "killed", peft_config=adapters), 6)
    point = last_checkpoint(tmp_path / "killed")
    assert point is not None
    assert (point / "README.md").read_text(encoding="utf-8") == "# 我们的卡片, step 5\n"
    resumed = trainer(tmp_path / "killed", peft_config=adapters)
    resumed.train(resume_from_checkpoint=point)
    assert history(resumed) == history(whole)


def test_a_checkpoint_holds_our_card_and_no_pickled_arguments(tmp_path: Path) -> None:
    trainer(tmp_path, max_steps=5).train()
    held = {path.name for path in (tmp_path / "checkpoint-5").iterdir()}
    assert {"model.safetensors", "optimizer.pt", "rng_state.pth", "suwen.json", "README.md"} <= held
    assert "training_args.bin" not in held
    assert (tmp_path / "checkpoint-5" / "README.md").read_text(encoding="utf-8") == "# 我们的卡片, step 5\n"


def test_the_newest_checkpoints_are_kept_and_nothing_half_done_is_left(tmp_path: Path) -> None:
    trainer(tmp_path, save_steps=3).train()
    assert {path.name for path in tmp_path.iterdir() if "checkpoint" in path.name} == {"checkpoint-9", "checkpoint-12"}


def test_checkpoints_are_counted_by_their_step_not_their_name(tmp_path: Path) -> None:
    for step in (5, 100, 20):
        checkpoint(tmp_path, step)
    keep_newest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-100", "checkpoint-20"]
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"


def test_a_killed_save_is_no_checkpoint_and_is_gone_at_the_next_start(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path, 5)
    (tmp_path / ".checkpoint-10.writing" / "checkpoint-10").mkdir(parents=True)
    (tmp_path / ".checkpoint-10.writing" / "checkpoint-10" / "model.safetensors").write_bytes(b"half a mo")
    (tmp_path / ".checkpoint-1.removing").mkdir()
    assert last_checkpoint(tmp_path) == whole
    remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-5", ".run"}


def test_seconds_of_training_are_counted_on(tmp_path: Path) -> None:
    killed_after(trainer(tmp_path), 6)
    point = last_checkpoint(tmp_path)
    assert point is not None
    before = json.loads((point / "suwen.json").read_text())["seconds"]
    resumed = trainer(tmp_path)
    resumed.train(resume_from_checkpoint=point)
    assert 0 < before < resumed.timing()["seconds"]


@pytest.mark.parametrize(
    ("differs", "told"),
    [
        ({"profile": "zero2"}, "was trained with --profile single, not zero2"),
        ({"profile": "single", "processes": 4}, "was trained by 1 processes, not 4"),
        ({"fingerprint": "0" * 64}, "the data or settings changed since"),
    ],
)
def test_a_run_that_differs_does_not_go_on(tmp_path: Path, differs: dict[str, Any], told: str) -> None:
    checkpoint(tmp_path, 5)
    with pytest.raises(InputError, match=told) as refused:
        resume_point(tmp_path, a_run(tmp_path, **differs))
    assert "\n" not in str(refused.value)


def test_a_checkpoint_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-500").mkdir()
    with pytest.raises(InputError, match=r"checkpoint-500 has no readable suwen\.json"):
        resume_point(tmp_path, a_run(tmp_path))


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert resume_point(tmp_path, a_run(tmp_path)) is None


def test_a_new_run_does_not_mix_its_checkpoints_with_those_of_another(tmp_path: Path) -> None:
    checkpoint(tmp_path, 5)
    with pytest.raises(InputError, match="holds checkpoint-5 of an earlier run; --resume goes on"):
        trainer(tmp_path).train()


def test_a_repeated_prompt_order_depends_on_seed_and_epoch_alone() -> None:
    from trl.trainer.utils import RepeatSampler

    from trainers.engine.loop.training import EpochRepeatSampler

    def order(epoch: int, *, seed: int = 7) -> list[int]:
        sampler = EpochRepeatSampler(RepeatSampler(range(8), 2, batch_size=4, repeat_count=3, seed=seed))
        sampler.set_epoch(epoch)
        return list(sampler)

    theirs = RepeatSampler(range(8), 2, batch_size=4, repeat_count=3, seed=7)
    assert order(0) == list(theirs)
    assert order(1) != order(0)
    assert order(1) == order(1)
    assert len(order(1)) == 8 * 2 * 3
    assert order(1)[:8] == order(1)[8:16] == order(1)[16:24]  # a batch of 4 prompts, twice each, 3 times over
    assert order(1, seed=8) != order(1)


def test_an_unshuffled_repeated_order_stays_as_it_is() -> None:
    from trl.trainer.utils import RepeatSampler

    from trainers.engine.loop.training import EpochRepeatSampler

    sampler = EpochRepeatSampler(RepeatSampler(["胃", "肺"], 2, batch_size=1, shuffle=False))
    sampler.set_epoch(3)
    assert list(sampler) == [0, 0, 1, 1]


# --- real kills: a process imports the libraries once, then forks runs and kills them ---

KILLER = """
import os, random, signal, sys, time, json
from pathlib import Path
import torch
torch.set_num_threads(1)
import trl, trainers.engine.loop.training
from tiny_training import a_run, history, trainer
from trainers.engine.loop.checkpoints import last_checkpoint, resume_point

out, kills, draws = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))

def child():
    pid = os.fork()
    if pid:
        return pid
    trained = trainer(out, save_steps=1)
    trained.train(resume_from_checkpoint=resume_point(out, a_run(out)))
    (out / "history.json").write_text(json.dumps(history(trained)))
    os._exit(0)

def saving():
    return any(out.glob(".checkpoint-*.writing"))

met = 0
for _ in range(kills):
    pid, ended, deadline = child(), 0, time.monotonic() + 60
    seen = last_checkpoint(out)
    while not ended and time.monotonic() < deadline and not (saving() and last_checkpoint(out) != seen):
        ended = os.waitpid(pid, os.WNOHANG)[0]
    time.sleep(draws.uniform(0, 0.05))
    if not ended:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    met += saving()
    newest = last_checkpoint(out)
    print(json.dumps({"newest": newest.name if newest else None, "half": saving()}), flush=True)
assert os.waitpid(child(), 0)[1] == 0
"""


def kill(out: Path, kills: int, seed: int) -> list[dict[str, Any]]:
    """Train in OUT, killed so often at random moments of a save, then to the end; what stood after each kill."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", KILLER, str(out), str(kills), str(seed)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


def killed_and_whole(tmp_path: Path, kills: int) -> list[dict[str, Any]]:
    """Kill a run, and hold its history against one that was left in peace."""
    told = kill(tmp_path / "killed", kills, seed=random.Random(kills).randrange(1000))
    whole = trainer(tmp_path / "whole", save_steps=1)
    whole.train()
    assert [tuple(step) for step in json.loads((tmp_path / "killed" / "history.json").read_text())] == history(whole)
    return told


def test_a_run_killed_while_it_saves_always_finds_a_whole_checkpoint(tmp_path: Path) -> None:
    told = killed_and_whole(tmp_path, kills=3)
    assert len(told) == 3
    assert all(step["newest"] for step in told)


@pytest.mark.slow
def test_many_kills_do_no_more_harm_than_one(tmp_path: Path) -> None:
    halves = 0
    for attempt in range(4):
        told = killed_and_whole(tmp_path / str(attempt), kills=8 + attempt)
        halves += sum(step["half"] for step in told)
    assert halves  # the kills met saves under way, not only the moments between them


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["ddp", "zero2", "zero3"])
def test_processes_of_which_one_is_killed_go_on_together_to_the_bit(tmp_path: Path, profile: str) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert in_two_processes(whole, profile, "whole") == 0
    assert in_two_processes(killed, profile, "killed") != 0
    assert [path.name for path in killed.glob("checkpoint-*")] == ["checkpoint-5"]
    assert in_two_processes(killed, profile, "resume") == 0
    assert json.loads((whole / "history.json").read_text()) == json.loads((killed / "history.json").read_text())
