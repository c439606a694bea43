"""TRL's arguments out of our settings: what our flags decide stays theirs, the rest can be set as trl.FIELD=VALUE."""

import dataclasses
import difflib
import json
import math
import os
import types
import typing
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Literal

from schemas.settings import InputError
from trainers.engine.loop.trackers import PRIVATE

FLAGS = {
    "output_dir": "--out",
    "learning_rate": "--learning-rate",
    "num_train_epochs": "--epochs",
    "max_steps": "--max-steps",
    "per_device_train_batch_size": "--micro-batch",
    "auto_find_batch_size": "--micro-batch",
    "gradient_accumulation_steps": "--batch",
    "accelerator_config": "--batch",
    "dataloader_drop_last": "--batch",
    "weight_decay": "--weight-decay",
    "warmup_steps": "--warmup",
    "max_length": "--max-length",
    "truncation_mode": "--max-length",
    "packing": "--packing",
    "packing_strategy": "--packing",
    "eval_packing": "--packing",
    "padding_free": "--packing",
    "bf16": "--precision",
    "fp16": "--precision",
    "bf16_full_eval": "--precision",
    "fp16_full_eval": "--precision",
    "activation_checkpointing": "--checkpointing",
    "gradient_checkpointing": "--checkpointing",
    "model_init_kwargs": "--model, --precision or --attention",
    "trust_remote_code": "--model",
    "seed": "--seed",
    "data_seed": "--seed",
    "save_strategy": "--save-every",
    "save_steps": "--save-every",
    "save_only_model": "--save-every",
    "save_on_each_node": "--save-every",
    "enable_jit_checkpoint": "--save-every",
    "save_total_limit": "--keep",
    "resume_from_checkpoint": "--resume",
    "ignore_data_skip": "--resume",
    "restore_callback_states_from_checkpoint": "--resume",
    "report_to": "--track",
    "push_to_hub": "--push",
    "hub_model_id": "--push",
    "hub_strategy": "--push",
    "hub_revision": "--push",
    "hub_always_push": "--push",
    "hub_private_repo": "--public",
    "hub_token": "the environment variable HF_TOKEN",
    "deepspeed": "--profile",
    "fsdp": "--profile",
    "fsdp_config": "--profile",
    "parallelism_config": "--profile",
    "use_cpu": "--profile",
    "ddp_backend": "--profile",
    "local_rank": "--processes",
    "chat_template_path": "--template",
    "eos_token": "--template",
    "pad_token": "--template",
    "eval_strategy": "--eval-every",
    "eval_steps": "--eval-every",
    "eval_delay": "--eval-every",
    "eval_on_start": "--eval-every",
}
"""Field of TRL -> our flag that decides it."""

SETTLED = {
    "logging_nan_inf_filter": "a loss that is not finite ends the run",
    "average_tokens_across_devices": "a token weighs the same on every process",
    "ddp_find_unused_parameters": "every parameter is used",
    "disable_tqdm": "progress is shown by us",
    "train_sampling_strategy": "the order of the rows is decided by us",
    "shuffle_dataset": "the order of the rows is decided by us",
    "remove_unused_columns": "rows are tokenized by us",
    "dataset_text_field": "rows are tokenized by us",
    "dataset_kwargs": "rows are tokenized by us",
    "dataset_num_proc": "rows are tokenized by us",
    "assistant_only_loss": "the loss mask is laid by us",
    "completion_only_loss": "the loss mask is laid by us",
    "load_best_model_at_end": "the last weights are the model",
    "metric_for_best_model": "the last weights are the model",
    "greater_is_better": "the last weights are the model",
    "prediction_loss_only": "only losses are measured while training",
    "do_train": "this command trains",
    "do_eval": "this command trains",
    "do_predict": "this command trains",
}
"""Field of TRL -> why it is not to be changed."""

ALWAYS: dict[str, object] = {
    "average_tokens_across_devices": True,
    "bf16": False,  # None would be bf16 in TRL, on a CPU too
    "ddp_find_unused_parameters": False,
    "disable_tqdm": True,
    "fp16": False,
    "logging_nan_inf_filter": False,
    "logging_steps": 1,
    "prediction_loss_only": True,
    "push_to_hub": False,
    "report_to": [],
}


def trl_arguments(family: type, ours: Mapping[str, object], overrides: Sequence[str]) -> Any:
    """An instance of a TRL config class, e.g. SFTConfig: our values, with `trl.FIELD=VALUE` overrides laid over them.

    `ours` should say `bf16` and `use_cpu`; left out, they are False and whether there is no GPU. Raises InputError for an
    override that is unknown, belongs to one of our flags, or is no value of its field.
    """
    told = overridden(family, overrides)
    cpu = bool(ours["use_cpu"]) if "use_cpu" in ours else _no_gpu()
    values = {**ALWAYS, **PRIVATE, **ours, **_on_device(cpu), **told}
    # Of its two names transformers takes the new one, and TRL turns the old one on.
    values["activation_checkpointing"] = bool(
        values.pop("gradient_checkpointing", False) or values.get("activation_checkpointing", False)
    )
    try:
        return family(**values)
    except (ValueError, TypeError, NotImplementedError) as wrong:
        if not told:
            raise
        raise InputError(f"--set {' '.join(overrides)}: {' '.join(str(wrong).split())}") from None


def overridden(family: type, overrides: Sequence[str]) -> dict[str, object]:
    """Field -> value of `trl.FIELD=VALUE` overrides; raises InputError for one that cannot be. Makes no instance."""
    return dict(_override(family, override) for override in overrides)


def _no_gpu() -> bool:
    import torch

    return not torch.cuda.is_available()


def _on_device(cpu: bool) -> dict[str, object]:
    backend = "gloo" if cpu and "WORLD_SIZE" in os.environ else None
    return {"use_cpu": cpu, "ddp_backend": backend, "dataloader_pin_memory": not cpu}


def _override(family: type, override: str) -> tuple[str, object]:
    name, _, text = override.removeprefix("trl.").partition("=")
    if name in FLAGS:
        raise InputError(f"--set trl.{name}: decided by {FLAGS[name]}")
    if name in SETTLED:
        raise InputError(f"--set trl.{name}: not to be changed: {SETTLED[name]}")
    hints = typing.get_type_hints(family)
    fields = [field.name for field in dataclasses.fields(family) if field.init]
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1)
        hint = f"; did you mean trl.{near[0]}?" if near else ""
        raise InputError(f"--set trl.{name}: {family.__name__} has no such field{hint}")
    return name, _value(name, text, hints[name])


def _value(name: str, text: str, hint: Any) -> object:
    """The text as a value of the field's type; of several types the first that takes it, strings last."""
    kinds = sorted(_kinds(hint), key=_strictness)
    for kind in kinds:
        found = _read(kind, text)
        if found is not _NOT_IT:
            return found
        if isinstance(kind, type) and issubclass(kind, (Enum, dict)):
            break  # a string is accepted beside these only because it spells them
    expected = " or ".join(dict.fromkeys(_words(kind) for kind in kinds if kind is not str or len(kinds) == 1))
    raise InputError(f"--set trl.{name}: expected {expected}, got {text!r}")


def _kinds(hint: Any) -> list[Any]:
    """The plain types in an annotation, its unions taken apart."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(hint) for kind in _kinds(part)]
    origin = typing.get_origin(hint)
    return [hint if origin in (None, Literal) else origin]


_NOT_IT = object()
_NUMBERS: dict[Any, Any] = {int: int, float: float}
_JSON = (dict, list)


def _strictness(kind: Any) -> int:
    order = [types.NoneType, bool, int, float]
    return order.index(kind) if kind in order else 9 if kind is str else 5


def _read(kind: Any, text: str) -> object:
    """The text as this type, or _NOT_IT."""
    if kind is types.NoneType:
        return None if text.lower() == "none" else _NOT_IT
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), _NOT_IT)
    if typing.get_origin(kind) is Literal:
        return next((value for value in typing.get_args(kind) if str(value).lower() == text.lower()), _NOT_IT)
    if kind in _NUMBERS:
        return _number(_NUMBERS[kind], text)
    if kind in _JSON:
        return _json(kind, text)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next((text for member in kind if member.value == text), _NOT_IT)
    return text if kind in (str, Any) else _NOT_IT


def _number(kind: Any, text: str) -> object:
    try:
        number = kind(text)
    except ValueError:
        return _NOT_IT
    return number if math.isfinite(number) else _NOT_IT


def _json(kind: type, text: str) -> object:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return _NOT_IT
    return found if isinstance(found, kind) else _NOT_IT


def _words(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(str(value).lower() for value in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(member.value) for member in kind)
    return {
        types.NoneType: "none",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        dict: "a JSON object",
        list: "a JSON list",
        str: "text",
    }.get(kind, getattr(kind, "__name__", str(kind)))
