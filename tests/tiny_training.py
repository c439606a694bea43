"""A model that trains in a blink: two layers, 32 wide, on rows of a few dozen characters; and a run to train it in."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from trainers.engine.run import Batches, ModelChoice, Run, Spread

QUESTIONS = (
    "胃疼三天了怎么办",
    "孩子发烧三十九度",
    "血压高要吃药吗",
    "最近总是失眠",
    "膝盖上下楼疼",
    "头晕恶心想吐",
    "咳嗽有黄痰",
)
ANSWERS = (
    "建议做胃镜检查",
    "先物理降温并查血常规",
    "需要规律服药并监测",
    "注意作息必要时就诊",
    "建议拍片检查关节",
    "测血压并查颈椎",
)
CHARACTERS = sorted(set("".join(QUESTIONS + ANSWERS)))
SPECIAL = ("<pad>", "<eos>", "<unk>")


def tokenizer() -> Any:
    """One token a character."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate((*SPECIAL, *CHARACTERS))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def model(dropout: float = 0.1) -> Any:
    """Qwen3 with random weights, the same ones every time, and dropout, so that lost random states show."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    config = Qwen3Config(
        vocab_size=len(SPECIAL) + len(CHARACTERS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        attention_dropout=dropout,
        pad_token_id=0,
        eos_token_id=1,
    )
    return Qwen3ForCausalLM(config)


def rows(count: int, *, packed: bool = False) -> Any:
    """Consultations of one turn, only the answer under the loss; packed: two of them a row."""
    made = [_row(QUESTIONS[at % len(QUESTIONS)], ANSWERS[at % len(ANSWERS)]) for at in range(count)]
    return _as_data(made, packed=packed)


def uneven_rows(*, packed: bool = False) -> Any:
    """Eight consultations with answers of 1 to 50 tokens: the mean of batches is far from the mean of their tokens."""
    everything = "".join(ANSWERS)
    made = [
        _row(QUESTIONS[at % len(QUESTIONS)], everything[:long]) for at, long in enumerate((49, 0, 5, 1, 30, 2, 11, 0))
    ]
    return _as_data(made, packed=packed)


def _row(question: str, answer: str) -> dict[str, list[int]]:
    numbers = {character: len(SPECIAL) + at for at, character in enumerate(CHARACTERS)}
    asked, answered = [numbers[c] for c in question], [*(numbers[c] for c in answer), 1]
    return {"input_ids": asked + answered, "labels": [-100] * len(asked) + answered}


def _as_data(made: list[dict[str, list[int]]], *, packed: bool) -> Any:
    from datasets import Dataset

    pairs = zip(made[::2], made[1::2], strict=True)
    return Dataset.from_list([_side_by_side(*pair) for pair in pairs] if packed else made)


def _side_by_side(one: dict[str, list[int]], other: dict[str, list[int]]) -> dict[str, list[int]]:
    joined = {name: one[name] + other[name] for name in one}
    return joined | {"seq_lengths": [len(one["input_ids"]), len(other["input_ids"])]}


def a_run(out: Path, *, fingerprint: str = "f" * 64, profile: str = "single", processes: int = 1) -> Run:
    """A run into OUT, its folder made."""
    (out / ".run").mkdir(parents=True, exist_ok=True)
    return Run(
        command="sft",
        settings={},
        out=out,
        model=ModelChoice(name="new:tiny", path="new:tiny"),
        template="chatml",
        stop_ids=(1,),
        batches=Batches(micro=2, accumulate=2, processes=processes, steps=12, epochs=3),
        spread=Spread(profile=profile, processes=processes),
        fingerprint=fingerprint,
    )


def trainer(out: Path, *, packed: bool = False, run: Run | None = None, **options: Any) -> Any:
    """An SFT trainer of ours over 16 rows: 4 optimizer steps an epoch, 3 epochs; options are arguments of TRL."""
    from trl import SFTConfig, SFTTrainer

    from trainers.engine.loop.token_means import TokenMeans
    from trainers.engine.loop.training import Training
    from trainers.engine.loop.trl_arguments import trl_arguments

    class Supervised(TokenMeans, Training, SFTTrainer):
        pass

    peft = {"peft_config": options.pop("peft_config")} if "peft_config" in options else {}
    data = options.pop("train_dataset", None) or rows(32 if packed else 16, packed=packed)
    held = options.pop("eval_dataset", None)
    shape = {"max_length": None, "padding_free": packed, "packing": False, "save_steps": 5, "save_total_limit": 2}
    batch = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2, "num_train_epochs": 3}
    ours = {"output_dir": str(out), "use_cpu": True, "gradient_checkpointing": False, "seed": 3, "learning_rate": 1e-2}
    arguments = trl_arguments(SFTConfig, {**ours, **shape, **batch, **options}, [])
    return Supervised(
        model=model(),
        args=arguments,
        train_dataset=data,
        eval_dataset=held,
        processing_class=tokenizer(),
        run=run or a_run(out),
        write_card=lambda step: (out / "README.md").write_text(f"# 我们的卡片, step {step}\n", encoding="utf-8"),
        **peft,
    )


def history(trained: Any) -> list[tuple[float, float, float]]:
    """Loss, learning rate and gradient norm of every optimizer step."""
    log = trained.state.log_history
    return [(entry["loss"], entry["learning_rate"], entry["grad_norm"]) for entry in log if "loss" in entry]


@contextlib.contextmanager
def one_thread() -> Any:
    """As many threads as CI promises, so that sums are added in one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def in_two_processes(out: Path, profile: str, deed: str) -> int:
    """A deed of tiny_processes.py in two processes that share a run; its exit code."""
    here = Path(__file__).resolve().parent
    stage = {"zero_stage": int(profile[-1]) if profile != "ddp" else 0, "gradient_accumulation_steps": 1}
    zero3 = {"zero3_init_flag": True, "zero3_save_16bit_model": True} if profile == "zero3" else {}
    spread = {"compute_environment": "LOCAL_MACHINE", "num_processes": 2, "use_cpu": True, "mixed_precision": "no"}
    config = {**spread, "distributed_type": "DEEPSPEED", "deepspeed_config": {**stage, **zero3}}
    out.mkdir(parents=True, exist_ok=True)
    file = out.parent / f"{profile}.json"
    file.write_text(json.dumps(config))
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", _free_port()]
    accelerate = ["-m", "accelerate.commands.launch", "--config_file", str(file), "--main_process_port", _free_port()]
    launcher = torchrun if profile == "ddp" else accelerate
    command = [sys.executable, *launcher, str(here / "tiny_processes.py"), str(out), profile, deed]
    environment = {**os.environ, "PYTHONPATH": f"{here.parent}{os.pathsep}{here}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, timeout=280).returncode


def _free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])
