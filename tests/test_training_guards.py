"""What ends a run in time: a loss that is no number, or somebody who asks; and what a run measures and tells."""

import io
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tiny_training import history, in_two_processes, model, one_thread, rows, trainer, uneven_rows

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

BROKEN = 2
"""Token whose embedding the tests break."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def with_a_broken_row(count: int, at: int) -> Any:
    """Rows of which one asks with a token that the model cannot digest; they are taken in order."""
    data = rows(count).to_list()
    data[at]["input_ids"][0] = BROKEN
    return type(rows(1)).from_list(data)


def about_to_break(out: Path, at: int, **options: Any) -> Any:
    """A trainer that takes 4 rows a step in their order, and meets the broken one."""
    options = {"train_sampling_strategy": "sequential", "save_steps": 1, "num_train_epochs": 1, **options}
    trained = trainer(out, train_dataset=with_a_broken_row(16, at), **options)
    trained.model.get_input_embeddings().weight.data[BROKEN] = float("nan")
    return trained


def test_a_loss_that_is_no_number_ends_the_run_and_its_batch_is_kept(tmp_path: Path) -> None:
    from trainers.engine.loop.guards import NotFinite

    trained = about_to_break(tmp_path, at=10)  # the third step, its second micro-batch, rows 10 and 11
    with pytest.raises(NotFinite) as ended:
        trained.train()
    kept = tmp_path / ".run" / "not_finite_rank0.json"
    assert str(ended.value).startswith(f"step 3: the loss is not finite; the batch is in {kept}; ")
    assert "--learning-rate" in str(ended.value)
    told = json.loads(kept.read_text(encoding="utf-8"))
    assert (told["what"], told["step"], told["process"], told["loss"]) == ("loss", 3, 0, "nan")
    assert told["learning_rate"] == pytest.approx(0.01 * (4 - 2) / 4)  # linear decay over 4 steps, 2 behind us
    assert [sequence["tokens"][0] == BROKEN for sequence in told["sequences"]] == [True, False]
    assert told["sequences"][1]["text"].replace(" ", "") == "膝盖上下楼疼测血压并查颈椎<eos>"
    assert told["sequences"][1]["labels"][:6] == [-100] * 6
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]


def test_a_broken_packed_row_is_kept_whole(tmp_path: Path) -> None:
    from trainers.engine.loop.guards import NotFinite

    data = rows(32, packed=True).to_list()
    data[0]["input_ids"][0] = BROKEN
    options = {"train_sampling_strategy": "sequential", "packed": True}
    trained = trainer(tmp_path, train_dataset=type(rows(1)).from_list(data), **options)
    trained.model.get_input_embeddings().weight.data[BROKEN] = float("nan")
    with pytest.raises(NotFinite, match="step 1"):
        trained.train()
    (sequence,) = json.loads((tmp_path / ".run" / "not_finite_rank0.json").read_text())["sequences"]
    assert sequence["tokens"] == data[0]["input_ids"] + data[1]["input_ids"]


def explode(trained: Any, step: int) -> None:
    """Make the gradient of one weight infinite in this step."""
    weight = trained.model.lm_head.weight
    weight.register_hook(lambda gradient: gradient * (torch.inf if trained.state.global_step == step - 1 else 1.0))


def test_a_gradient_that_is_no_number_is_never_saved(tmp_path: Path) -> None:
    from trainers.engine.loop.guards import NotFinite

    trained = trainer(tmp_path, save_steps=1)
    explode(trained, step=3)
    with pytest.raises(NotFinite, match="step 3: the gradient is not finite"):
        trained.train()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert len(json.loads((tmp_path / ".run" / "not_finite_rank0.json").read_text())["sequences"]) == 4  # 2 x 2 rows


def test_a_gradient_that_is_no_number_ends_the_run_where_nothing_is_saved(tmp_path: Path) -> None:
    from trainers.engine.loop.guards import NotFinite

    trained = trainer(tmp_path, save_steps=100)
    explode(trained, step=3)
    with pytest.raises(NotFinite, match="step 3: the gradient is not finite"):
        trained.train()
    assert trained.state.global_step == 3
    assert list(tmp_path.glob("checkpoint-*")) == []


def ask_in(trained: Any, step: int) -> None:
    """Ask the run to stop while this step is computed."""
    from transformers import TrainerCallback

    from trainers.engine.launching.stopping import ask_to_stop

    class Ask(TrainerCallback):
        def on_substep_end(self, args, state, control, **_):
            if state.global_step == step - 1:
                ask_to_stop(trained.run)

    trained.add_callback(Ask)


def test_a_run_that_is_asked_stops_at_the_end_of_its_step_and_goes_on_to_the_bit(tmp_path: Path) -> None:
    from trainers.engine.launching.stopping import Stopped, forget_requests

    whole = trainer(tmp_path / "whole")
    whole.train()
    asked = trainer(tmp_path / "asked")
    ask_in(asked, step=7)
    with pytest.raises(Stopped, match="step 7 of 12"):
        asked.train()
    forget_requests(asked.run)
    resumed = trainer(tmp_path / "asked")
    resumed.train(resume_from_checkpoint=tmp_path / "asked" / "checkpoint-7")
    assert history(resumed) == history(whole)


def test_who_asks_in_the_last_step_gets_the_finished_run(tmp_path: Path) -> None:
    trained = trainer(tmp_path)
    ask_in(trained, step=12)
    trained.train()
    assert trained.state.global_step == 12


def test_nothing_of_transformers_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trainer(tmp_path, max_steps=5).train()
    talk, said = capfd.readouterr()[::-1]
    assert said == ""
    assert talk.splitlines()[-1].startswith("step 5/5  epoch 1.25  loss ")
    assert "{'loss'" not in talk
    assert "shards" not in talk


DEEPSPEED = """
import sys
from trainers.engine.loop.quiet import quiet_deepspeed
quiet_deepspeed()
assert not {"torch", "deepspeed"} & set(sys.modules)
from deepspeed.accelerator import get_accelerator
from deepspeed.utils import logger
get_accelerator()
logger.warning("no GPU here")
logger.error("out of order")
"""


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs deepspeed")
def test_deepspeed_speaks_of_errors_alone() -> None:
    here = Path(__file__).resolve().parent.parent
    said = subprocess.run(
        [sys.executable, "-c", DEEPSPEED], cwd=here, capture_output=True, text=True, timeout=120, check=True
    )
    (line,) = said.stdout.splitlines()
    assert line.endswith("out of order")
    assert "WARNING" not in said.stderr


def test_peft_asks_models_by_their_old_names_in_silence(tmp_path: Path) -> None:
    from peft import LoraConfig

    from trainers.engine.loop.quiet import quiet_peft

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        quiet_peft()
        trainer(tmp_path, peft_config=LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    assert [str(one.message) for one in told if one.category is FutureWarning] == []


def mean_over_tokens(data: Any) -> float:
    """The loss by a plain loop: a row at a time, every answer token with the same weight."""
    measured, total, tokens = model().eval(), 0.0, 0
    for row in data:
        text, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"][1:])
        with torch.no_grad():
            logits = measured(text).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
        tokens += int((labels != -100).sum())
    return total / tokens


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("micro", [1, 3, 8])
def test_a_held_out_loss_is_the_mean_over_answer_tokens_whatever_the_micro_batch(
    tmp_path: Path, micro: int, packed: bool
) -> None:
    held = {"held_out": uneven_rows(packed=packed), "general": rows(2, packed=packed)}
    options = {"eval_dataset": held, "per_device_eval_batch_size": micro}
    measured = trainer(tmp_path, packed=packed, **options).evaluate()
    assert measured["eval_held_out_loss"] == pytest.approx(mean_over_tokens(uneven_rows()), rel=1e-6)
    assert measured["eval_general_loss"] == pytest.approx(mean_over_tokens(rows(2)), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["ddp", "zero2", "zero3"])
def test_a_held_out_loss_counts_no_row_twice_in_two_processes(tmp_path: Path, profile: str) -> None:
    assert in_two_processes(tmp_path, profile, "measure") == 0
    measured = json.loads((tmp_path / "measured.json").read_text())
    assert measured["step"] == 0
    assert measured["eval_held_out_loss"] == pytest.approx(mean_over_tokens(uneven_rows()), rel=1e-6)
    assert measured["eval_general_loss"] == pytest.approx(mean_over_tokens(rows(1)), rel=1e-6)


def test_curves_come_from_the_log_whatever_was_resumed() -> None:
    from trainers.engine.loop.curves import curves_of

    log = [
        {"step": 0, "eval_held-out_loss": 4.5, "eval_held-out_runtime": 0.3},
        {"step": 1, "loss": 4.0, "learning_rate": 0.01, "grad_norm": 1.5, "entropy": 3.9, "mean_token_accuracy": 0.1},
        {"step": 2, "loss": 3.0, "learning_rate": 0.005, "grad_norm": 1.0, "num_tokens": 80},
        {"step": 2, "eval_held-out_loss": 3.5},
        {"step": 2, "train_runtime": 9.0, "train_loss": 3.5},
    ]
    curves = {curve.name: curve.points for curve in curves_of(log)}
    assert curves == {
        "loss": ((1, 4.0), (2, 3.0)),
        "learning_rate": ((1, 0.01), (2, 0.005)),
        "grad_norm": ((1, 1.5), (2, 1.0)),
        "entropy": ((1, 3.9),),
        "mean_token_accuracy": ((1, 0.1),),
        "eval_held-out_loss": ((0, 4.5), (2, 3.5)),
    }


class State:
    """As much of a trainer's state as progress reads."""

    is_world_process_zero = True
    max_steps = 10

    def __init__(self, step: int) -> None:
        self.global_step, self.epoch = step, step / 4


def test_speed_leaves_out_the_first_step_evaluation_and_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    from trainers.engine.loop import progress

    clock = iter([0.0, 50.0, 52.0, 99.0, 101.0, 160.0, 162.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    shown = progress.Progress(between=1000)
    shown.on_train_begin(None, State(0), None)  # at 0 s; the first step ends at 50 s
    for step, after in ((1, None), (2, shown.on_save), (3, shown.on_evaluate), (4, None)):
        shown.on_step_end(None, State(step), None)
        shown.on_log(
            None, State(step), None, {"loss": 2.5, "learning_rate": 2e-5, "grad_norm": 1.25, "num_tokens": step * 600}
        )
        if after:
            after(None, State(step), None)
    assert shown.seconds == 6.0  # steps 2, 3 and 4 took two seconds each
    assert shown.tokens_per_second == 300.0
    assert shown.line(State(4)) == (
        "step 4/10  epoch 1.00  loss 2.5000  lr 2.00e-05  |grad| 1.250  300 tokens/s  12 s left"
    )


@pytest.mark.parametrize(("seconds", "told"), [(12.4, "12 s"), (59.9, "60 s"), (125, "2 min"), (7500, "2 h 05 min")])
def test_durations_are_told_in_words(seconds: float, told: str) -> None:
    from trainers.engine.loop.progress import span

    assert span(seconds) == told


def test_a_log_gets_a_line_now_and_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trainers.engine.loop.progress import Progress

    shown = Progress(between=0.0)
    shown.on_train_begin(None, State(0), None)
    shown.on_step_end(None, State(1), None)
    assert capsys.readouterr().err == "step 1/10  epoch 0.25\n"
    quiet = State(2)
    quiet.is_world_process_zero = False
    shown.on_step_end(None, quiet, None)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_all_processes_end_when_the_loss_of_one_is_no_number(tmp_path: Path) -> None:
    assert in_two_processes(tmp_path, "ddp", "broken") == 0
    told = {(tmp_path / f"ended_{process}.txt").read_text() for process in (0, 1)}
    kept = tmp_path / ".run" / "not_finite_rank1.json"
    assert len(told) == 1
    assert told.pop().startswith(f"step 2: the loss is not finite on process 1; the batch is in {kept}; ")
    assert [path.name for path in (tmp_path / ".run").iterdir()] == [kept.name]
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-1"]
