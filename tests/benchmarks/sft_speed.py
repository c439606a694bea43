"""Tokens a second of `python -m trainers.sft` against bare TRL: same model, rows, order of rows, batches and settings.

    python tests/benchmarks/sft_speed.py                        # new:tiny, rows made up here: 5 interleaved pairs, unpacked and packed
    python tests/benchmarks/sft_speed.py --data DATA            # 4,000 consultations of Toyhom, in DATA/toyhom_zh_qa
    python tests/benchmarks/sft_speed.py --model body --pairs 2 --steps 12
    python tests/benchmarks/sft_speed.py --model new:100m --batch 64 --micro-batch 16 --max-length 2048     # on a GPU, bf16

Bare is `bare()` below: TRL's SFTTrainer, told what our flags mean. Every run is a process of its own, with one and the same
clock among its callbacks. Tokens are those of the batches, padding left out, between the log after --skip steps and the last.
Nothing is evaluated, and saving comes behind the last step: it is in `whole` alone, a process from start to exit. Unpacked,
both sides take the same batches, so that their losses agree. On a GPU each side also tells model FLOPs utilisation and what
it allocated, beside our estimate of it. Where others use the machine, go by tokens a CPU second and OMP_NUM_THREADS=1.
Prints JSON lines, then Markdown tables.
"""

import argparse
import csv
import json
import math
import os
import random
import re
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = 4000
BODY = (2_048, 384, 1_152, 10, 6, 2)
"""--model body, see new_models.Size: 17 million weights in layers, 0.8 million in the head."""
SAID = "胃疼三天了 饭后更明显 孩子发烧三十九度 最近总是睡不着 咳嗽有黄痰 先做胃镜 按时服药 多喝温水 清淡饮食 一周后复查".split()  # noqa: SIM905
PEAKS = {"B200": 2250, "H200": 989, "H100": 989, "H100 PCIe": 756, "A100": 312, "L40S": 362, "L4": 121, "A10": 125}
"""Dense bf16 TFLOP/s of a GPU, as its maker states them."""
FORMS = {
    "tokens_per_second": ",.0f",
    "tokens_per_cpu_second": ",.0f",
    "loss": ".4f",
    "whole_seconds": ".1f",
    "peak_rss_mib": ",.0f",
}
"""Figures in the table, and how they are written."""


class Job(NamedTuple):
    """What one process is told."""

    home: str
    """Folder of the stage."""
    model: str
    data: str | None
    batch: int
    micro_batch: int
    max_length: int
    learning_rate: float
    steps: int
    skip: int
    logging_steps: int
    track: str
    out: str = ""
    packed: bool = False
    device: str = "cpu"
    attention: str = "sdpa"
    longest: int = 0
    """Tokens of the longest row."""

    def at(self, name: str) -> Path:
        """A file or folder of the stage."""
        return Path(self.home) / name


# --- the stage: a model, and the rows as each side takes them ---


def spoken(data: str | None) -> Iterator[tuple[str, str]]:
    """Questions and answers: Toyhom's, or made-up ones about as long."""
    if data:
        [table] = (Path(data) / "toyhom_zh_qa").glob("*.csv")
        with table.open(encoding="gb18030", errors="replace", newline="") as file:
            for row in csv.DictReader(file):
                yield f"{row['title']}\n{row['ask']}", row["answer"]
        return
    rng = random.Random(0)
    for _ in range(ROWS):
        asked, answered = (round(rng.lognormvariate(math.log(phrases), 0.5)) for phrases in (10, 18))
        yield "，".join(rng.choices(SAID, k=asked + 1)) + "？", "，".join(rng.choices(SAID, k=answered + 1)) + "。"


def stage(job: Job) -> dict[str, Any]:
    """Makes home/model, home/tokenizer, home/ours, a folder of rows, and home/bare.jsonl: they in the order of our seed.

    One row is held out: from a table without a split, our side would take 5 %.
    """
    from schemas.base import Message
    from trainers.engine.data import Renderer, Unfit
    from trainers.engine.models import load_tokenizer
    from trainers.engine.rows.mixture import mixed
    from trainers.engine.templates import adopt, choose_template

    said = [(question.strip(), answer.strip()) for question, answer in spoken(job.data)]
    make_model(job, [text for pair in said for text in pair])
    tokenizer = load_tokenizer(job.at("model"))
    adopt(tokenizer, choose_template(tokenizer, "chatml"))
    tokenizer.save_pretrained(job.at("tokenizer"))
    renderer = Renderer(tokenizer, max_length=job.max_length)
    talks = [[Message(role="user", content=one), Message(role="assistant", content=other)] for one, other in said]
    lines, lengths = [], []
    for talk, drawn in zip(talks, renderer.render_many(talks), strict=True):
        if not isinstance(drawn, Unfit) and not renderer.faults(talk, drawn):
            lines.append(json.dumps({"messages": [one.model_dump() for one in talk]}, ensure_ascii=False))
            lengths.append(len(drawn.ids))
    held_out = lines.pop()
    job.at("ours").mkdir()
    job.at("ours/validation.jsonl").write_text(held_out, encoding="utf-8")
    job.at("ours/train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    order = mixed([len(lines)], [len(lines)], 0).rows
    job.at("bare.jsonl").write_text("\n".join(lines[row] for row in order), encoding="utf-8")
    told = {"rows": len(lines), "tokens": sum(lengths), "longest": max(lengths)}
    return told | machine(job, sum(length**2 for length in lengths) / sum(lengths))


def make_model(job: Job, texts: Sequence[str]) -> None:
    """A folder is taken as it is; everything else is made on the spot."""
    from trainers.engine import new_models

    if Path(job.model).is_dir():
        job.at("model").symlink_to(Path(job.model).resolve())
        return
    new_models.SIZES["body"] = new_models.Size(*BODY)
    new_models.make_new(job.model, texts, job.at("model"), 0)


def machine(job: Job, looked_back: float) -> dict[str, Any]:
    """What computes, and on a GPU what a token costs; `looked_back` is tokens squared over tokens of the rows."""
    import torch

    from trainers.engine.models import attention_kernel
    from trainers.engine.run import Spread

    if not torch.cuda.is_available():
        return {"device": "cpu", "threads": torch.get_num_threads(), "attention": "sdpa"}
    from transformers import AutoConfig, AutoModelForCausalLM

    config, name = AutoConfig.from_pretrained(job.at("model")), torch.cuda.get_device_name()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    embeddings = 0 if config.tie_word_embeddings else model.get_input_embeddings().weight.numel()
    weights = sum(one.numel() for one in model.parameters()) - embeddings  # looking a row up costs nothing
    wide = config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return {
        "device": "cuda",
        "gpu": name,
        "attention": attention_kernel("auto", Spread(profile="single", device="cuda", bf16=True)),
        "peak_flops": peak(name),
        "flops_per_token": flops_per_token(weights, wide, looked_back),
    }


def peak(gpu: str) -> float | None:
    """Dense bf16 FLOP/s of a GPU by its name, the longest that fits; None for one that is not in the table."""
    fitting = [name for name in PEAKS if re.search(rf"\b{name}\b", gpu)]
    return PEAKS[max(fitting, key=len)] * 1e12 if fitting else None


def flops_per_token(weights: int, attention_width: int, looked_back: float) -> float:
    """6 a weight: 2 forward, 4 backward (Kaplan et al. 2020, §2.1). And causal attention, packed or not.

    A row of n tokens has two products of n x n x width, 2 operations a place, thrice with the backward pass, of which half
    lie behind the mask: 6 x width x n². `looked_back` is n² over n, summed over the rows.
    """
    return 6 * weights + 6 * attention_width * looked_back


# --- the two sides ---


def bare(job: Job) -> None:
    """TRL as its documentation has it, at our settings."""
    from datasets import load_dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    told = SFTConfig(
        output_dir=job.out,
        assistant_only_loss=True,
        packing=job.packed,
        packing_strategy="bfd",
        max_length=job.max_length,
        per_device_train_batch_size=job.micro_batch,
        gradient_accumulation_steps=job.batch // job.micro_batch,
        max_steps=job.steps,
        learning_rate=job.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(0.05 * job.steps),
        bf16=job.device == "cuda",
        use_cpu=job.device == "cpu",
        dataloader_pin_memory=job.device == "cuda",
        activation_checkpointing=False,
        model_init_kwargs={"attn_implementation": job.attention},
        logging_steps=job.logging_steps,
        report_to=job.track,
        save_strategy="no",
        seed=0,
        data_seed=0,
    )
    rows = load_dataset("json", data_files=str(job.at("bare.jsonl")), split="train", cache_dir=job.out)
    tokenizer = AutoTokenizer.from_pretrained(job.at("tokenizer"))
    trainer = SFTTrainer(str(job.at("model")), args=told, train_dataset=rows, processing_class=tokenizer)
    trainer.train()
    trainer.save_model()


def ours(job: Job) -> None:
    """The command, in this process, so that the clock can be among its callbacks."""
    places = {"model": job.at("model"), "data": job.at("ours"), "out": job.out}
    same = {name: getattr(job, name) for name in ("batch", "micro_batch", "max_length", "learning_rate", "track")}
    run = {"max_steps": job.steps, "template": "chatml", "profile": "single", "eval_rows": 0, "save_every": 10**6}
    flags = places | same | run | {"attention": job.attention, "set": f"trl.logging_steps={job.logging_steps}"}
    told = [word for name, value in flags.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    sys.argv = ["sft", *told, *(["--packing"] if job.packed else [])]
    try:
        runpy.run_module("trainers.sft", run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise


SIDES = {"bare": bare, "ours": ours}


def timed(side: str, job: Job) -> dict[str, Any]:
    """One run of one side, as the clock saw it."""
    from transformers import TrainerCallback
    from transformers.trainer import DEFAULT_CALLBACKS

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is Any to mypy here
        """At every log the step, the seconds at its end, those on a CPU, the tokens so far, and the loss."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.marks: list[tuple[int, float, float, float, float]] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ended = (time.perf_counter(), time.process_time())

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
            if "loss" in logs:
                self.marks.append((state.global_step, *self.ended, logs["num_tokens"], logs["loss"]))

    clock = Clock()
    DEFAULT_CALLBACKS.append(clock)
    SIDES[side](job)
    first, last = next(mark for mark in clock.marks if mark[0] >= job.skip), clock.marks[-1]
    steps, seconds, on_cpu, tokens = (last[at] - first[at] for at in range(4))
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "tokens_per_second": round(tokens / seconds, 1),
        "tokens_per_cpu_second": round(tokens / on_cpu, 1),
        "steps": steps,
        "tokens": tokens,
        "loss": round(last[4], 5),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_rss_mib": round(used.ru_maxrss / 1024),
        **(on_gpu(job) if job.device == "cuda" else {}),
    }


def on_gpu(job: Job) -> dict[str, Any]:
    """GiB at the worst; and as we estimate them, without the context of CUDA, which PyTorch does not count."""
    import torch
    from transformers import AutoConfig

    from trainers.engine.memory import GIB, Load, ModelShape, estimate
    from trainers.engine.run import Spread

    shape = ModelShape.of_config(AutoConfig.from_pretrained(job.at("model")))
    length, flash = job.max_length if job.packed else job.longest, job.attention == "flash_attention_2"
    load = Load(micro=job.micro_batch, length=length, packed=job.packed, flash=flash)
    told = estimate(shape, Spread(profile="single", device="cuda", bf16=True), load)
    return {
        "allocated_gib": round(torch.cuda.max_memory_allocated() / GIB, 2),
        "reserved_gib": round(torch.cuda.max_memory_reserved() / GIB, 2),
        "estimated_gib": round(told.total - told.reserve, 2),
        "estimated_with_reserve_gib": round(told.total, 2),
    }


# --- pairs ---


def child(job: Job, side: str) -> dict[str, Any]:
    """One process of this file; its figures are its last line on stdout, and what it says to people goes to home/log."""
    settled = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment = {"CUDA_VISIBLE_DEVICES": "0", **os.environ, **settled}
    command = [sys.executable, __file__, "--side", side, "--job", json.dumps(job._asdict())]
    began = time.monotonic()
    with job.at("log").open("w") as log:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=job.home)
    whole = time.monotonic() - began
    if ended.returncode:
        raise SystemExit(f"{side} ended with exit code {ended.returncode}:\n{job.at('log').read_text()[-3000:]}")
    return {"side": side, **json.loads(ended.stdout.splitlines()[-1]), "whole_seconds": round(whole, 1)}


def pairs(job: Job, set_up: dict[str, Any], count: int) -> dict[str, Any]:
    """Interleaved pairs, each side first in turn; medians, and the ratio pair by pair."""
    runs: list[dict[str, dict[str, Any]]] = []
    for number in range(count):
        runs.append({})
        for side in ("bare", "ours") if number % 2 == 0 else ("ours", "bare"):
            with tempfile.TemporaryDirectory(dir=job.home) as out:
                told = child(job._replace(out=f"{out}/{side}"), side)
            if set_up.get("peak_flops"):
                told["mfu"] = told["tokens_per_second"] * set_up["flops_per_token"] / set_up["peak_flops"]
            runs[-1][side] = told
            print(json.dumps({"packed": job.packed, **told}), flush=True)
    ratios = [run["ours"]["tokens_per_second"] / run["bare"]["tokens_per_second"] for run in runs]
    return {"packed": job.packed, "ratios": ratios, **{side: middle([run[side] for run in runs]) for side in SIDES}}


def middle(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Medians of all figures of one side."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0] if name != "side"}


def table(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The cases as Markdown."""
    yield (
        "| rows | ours / bare | pairs | bare tokens/s | ours | bare tokens/CPU s | ours | bare loss | ours "
        "| bare whole s | ours | bare peak RSS MiB | ours |"
    )
    yield "|---|--:|---" + "|--:" * 2 * len(FORMS) + "|"
    for one in found:
        ratios = one["ratios"]
        ratio = f"{statistics.median(ratios):.3f} | {min(ratios):.3f}–{max(ratios):.3f}"
        figures = (f"{one[side][name]:{form}}" for name, form in FORMS.items() for side in SIDES)
        yield f"| {named(one)} | {ratio} | {' | '.join(figures)} |"


def named(one: dict[str, Any]) -> str:
    """What a case is called in a table."""
    return "packed" if one["packed"] else "unpacked"


def gpu_table(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What only a GPU tells, as Markdown; memory is that of our side."""
    yield "| rows | bare MFU | ours | GiB allocated | estimated | GiB reserved | estimated with reserve |"
    yield "|---|--:|--:|--:|--:|--:|--:|"
    for one in found:
        used = " | ".join(f"{one[side].get('mfu', math.nan):.1%}" for side in SIDES)
        names = ("allocated_gib", "estimated_gib", "reserved_gib", "estimated_with_reserve_gib")
        yield f"| {named(one)} | {used} | " + " | ".join(f"{one['ours'][name]:.2f}" for name in names) + " |"


def compare(job: Job, count: int, cases: Sequence[bool]) -> None:
    """Set the stage once, run the pairs, and print what came of them."""
    set_up = child(job, "stage")
    print(json.dumps(set_up), flush=True)
    job = job._replace(**{name: set_up[name] for name in ("device", "attention", "longest")})
    found = [pairs(job._replace(packed=packed), set_up, count) for packed in cases]
    print("\n".join(table(found)))
    if job.device == "cuda":
        print("\n" + "\n".join(gpu_table(found)))


def main() -> None:
    """Run what was asked for."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument(
        "--model", default="new:tiny", help="new:tiny, new:100m, body, or a folder (default: %(default)s)"
    )
    flags.add_argument("--data", type=Path, help="folder of real data; default: rows made up on the spot")
    flags.add_argument("--pairs", type=int, default=5)
    flags.add_argument("--only", choices=("unpacked", "packed"), help="default: both")
    flags.add_argument("--steps", type=int, default=30, help="optimizer steps of a run (default: %(default)s)")
    flags.add_argument("--skip", type=int, default=5, help="steps that are not timed (default: %(default)s)")
    flags.add_argument("--batch", type=int, default=16)
    flags.add_argument("--micro-batch", type=int, default=4)
    flags.add_argument("--max-length", type=int, default=512)
    flags.add_argument("--learning-rate", type=float, default=1e-3)
    flags.add_argument(
        "--logging-steps", type=int, default=1, help="of both sides (default: %(default)s, as ours has it)"
    )
    flags.add_argument("--track", choices=("none", "tensorboard"), default="none", help="of both sides")
    flags.add_argument("--side", choices=("stage", *SIDES), help=argparse.SUPPRESS)
    flags.add_argument("--job", help=argparse.SUPPRESS)
    asked = flags.parse_args()
    if asked.side:
        job = Job(**json.loads(asked.job))
        print(json.dumps(stage(job) if asked.side == "stage" else timed(asked.side, job)))
        return
    cases = [packed for packed in (False, True) if asked.only in (None, "packed" if packed else "unpacked")]
    with tempfile.TemporaryDirectory() as home:
        named = {name: getattr(asked, name) for name in Job._fields if hasattr(asked, name)}
        model = str(Path(asked.model).resolve()) if Path(asked.model).is_dir() else asked.model
        data = str(asked.data.resolve()) if asked.data else None
        compare(Job(**{**named, "home": home, "model": model, "data": data}), asked.pairs, cases)


if __name__ == "__main__":
    main()
