"""TRL can be told anything our flags do not decide, and what is wrong is said in one line."""

import os
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import InputError
from trainers.engine.loop.trackers import report_to

pytest.importorskip("torch")
trl = pytest.importorskip("trl")

OURS = {"use_cpu": True, "learning_rate": 1e-4, "lr_scheduler_type": "cosine"}


def arguments(out: Path, *overrides: str, family: Any = None, **ours: object) -> Any:
    """TRL's arguments of a run on a CPU."""
    from trainers.engine.loop.trl_arguments import trl_arguments

    return trl_arguments(family or trl.SFTConfig, {"output_dir": str(out), **OURS, **ours}, overrides)


def refusal(out: Path, override: str) -> str:
    """What is said about an override that is wrong."""
    with pytest.raises(InputError) as refused:
        arguments(out, override)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("trl.adam_beta2=0.95", "adam_beta2", 0.95),
        ("trl.max_grad_norm=0.5", "max_grad_norm", 0.5),
        ("trl.logging_steps=10", "logging_steps", 10),
        ("trl.dataloader_num_workers=2", "dataloader_num_workers", 2),
        ("trl.torch_compile=true", "torch_compile", True),
        ("trl.tf32=none", "tf32", None),
        ("trl.loss_type=dft", "loss_type", "dft"),
        ("trl.optim_args=eps=1e-6", "optim_args", "eps=1e-6"),
        ("trl.neftune_noise_alpha=5", "neftune_noise_alpha", 5.0),
        ("trl.lr_scheduler_type=constant", "lr_scheduler_type", "constant"),
        ('trl.lr_scheduler_kwargs={"num_cycles": 2}', "lr_scheduler_kwargs", {"num_cycles": 2}),
        ('trl.optim_target_modules=["q_proj", "v_proj"]', "optim_target_modules", ["q_proj", "v_proj"]),
        ("trl.optim_target_modules=all-linear", "optim_target_modules", "all-linear"),
        ("trl.trackio_static_space_id=none", "trackio_static_space_id", None),
        ("trl.run_name=胃病 一号", "run_name", "胃病 一号"),
    ],
)
def test_a_value_is_read_as_its_field_wants_it(tmp_path: Path, override: str, field: str, value: object) -> None:
    found = getattr(arguments(tmp_path, override), field)
    assert found == value
    assert not (isinstance(value, bool) ^ isinstance(found, bool))


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("trl.adam_beta_2=0.95", "--set trl.adam_beta_2: SFTConfig has no such field; did you mean trl.adam_beta2?"),
        ("trl.zzzzzz=1", "--set trl.zzzzzz: SFTConfig has no such field"),
        ("trl.learning_rate=1e-3", "--set trl.learning_rate: decided by --learning-rate"),
        ("trl.gradient_accumulation_steps=4", "--set trl.gradient_accumulation_steps: decided by --batch"),
        ("trl.deepspeed=zero3.json", "--set trl.deepspeed: decided by --profile"),
        ("trl.hub_token=hf_x", "--set trl.hub_token: decided by the environment variable HF_TOKEN"),
        ("trl.packing=true", "--set trl.packing: decided by --packing"),
        (
            "trl.logging_nan_inf_filter=true",
            "--set trl.logging_nan_inf_filter: not to be changed: a loss that is not finite ends the run",
        ),
        ("trl.adam_beta2=much", "--set trl.adam_beta2: expected a number, got 'much'"),
        ("trl.adam_beta2=nan", "--set trl.adam_beta2: expected a number, got 'nan'"),
        ("trl.dataloader_num_workers=1.5", "--set trl.dataloader_num_workers: expected a whole number, got '1.5'"),
        ("trl.torch_compile=yes please", "--set trl.torch_compile: expected true or false, got 'yes please'"),
        ("trl.tf32=maybe", "--set trl.tf32: expected none or true or false, got 'maybe'"),
        (
            "trl.lr_scheduler_kwargs={num_cycles: 2}",
            "--set trl.lr_scheduler_kwargs: expected none or a JSON object, got '{num_cycles: 2}'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, override: str, told: str) -> None:
    assert refusal(tmp_path, override) == told


def test_a_wrong_choice_is_answered_with_the_choices(tmp_path: Path) -> None:
    told = refusal(tmp_path, "trl.lr_scheduler_type=cosinus")
    assert told.startswith("--set trl.lr_scheduler_type: expected one of linear, cosine, ")
    assert told.endswith("got 'cosinus'")


def test_a_combination_that_trl_refuses_is_bad_input(tmp_path: Path) -> None:
    told = refusal(tmp_path, "trl.dataloader_prefetch_factor=2")
    assert told.startswith("--set trl.dataloader_prefetch_factor=2: ")


def test_every_family_of_trl_takes_what_is_always_set(tmp_path: Path) -> None:
    batch = {"per_device_train_batch_size": 8}
    for family in (trl.SFTConfig, trl.RewardConfig, trl.GRPOConfig, trl.RLOOConfig):
        made = arguments(tmp_path, family=family, **batch)
        assert made.logging_nan_inf_filter is False
        assert made.average_tokens_across_devices is True
        assert made.ddp_find_unused_parameters is False
        assert made.disable_tqdm is True
        assert (made.bf16, made.fp16, made.use_cpu) == (False, False, True)
        assert made.report_to == []
        assert (made.push_to_hub, made.hub_private_repo, made.trackio_static_space_id) == (False, True, False)


def test_every_field_our_flags_decide_is_one_of_trl() -> None:
    from dataclasses import fields

    from trainers.engine.loop.trl_arguments import FLAGS, SETTLED

    known = {field.name for family in (trl.SFTConfig, trl.RewardConfig, trl.GRPOConfig) for field in fields(family)}
    assert set(FLAGS) | set(SETTLED) <= known
    assert not set(FLAGS) & set(SETTLED)


def test_recomputed_activations_are_off_unless_asked_for(tmp_path: Path) -> None:
    assert arguments(tmp_path).gradient_checkpointing is False
    assert arguments(tmp_path, gradient_checkpointing=True).activation_checkpointing is True


def test_the_last_of_two_values_counts(tmp_path: Path) -> None:
    assert arguments(tmp_path, "trl.adam_beta2=0.9", "trl.adam_beta2=0.95").adam_beta2 == 0.95


def test_trackers_are_named_once_and_none_means_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    assert report_to(("tensorboard", "tensorboard"), out=tmp_path) == ["tensorboard"]
    assert os.environ["TENSORBOARD_LOGGING_DIR"] == str(tmp_path / "runs")
    assert report_to(("none",)) == []
    assert report_to(()) == []
    with pytest.raises(InputError, match="--track: none and tensorboard exclude each other"):
        report_to(("none", "tensorboard"))


def test_a_tracker_that_is_not_installed_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError) as refused:
        report_to(("trackio",))
    assert str(refused.value) == '--track trackio: not installed; run: pip install "suwen[track]"'


def test_nothing_is_reported_about_us_but_what_the_user_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    report_to(("none",))
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert os.environ["WANDB_ERROR_REPORTING"] == "true"


def test_wandb_stays_here_without_a_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "online")
    report_to(("wandb",))
    assert os.environ["WANDB_MODE"] == "online"
    monkeypatch.delenv("WANDB_MODE")
    report_to(("wandb",))
    assert os.environ["WANDB_MODE"] == "offline"
    assert "wandb sync" in capsys.readouterr().err
