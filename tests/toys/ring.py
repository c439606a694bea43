"""A trainer that learns nothing: its processes add up their ranks at every step, and one of them may come to grief.

python -m toys.ring OUT         as a command's main does it, behind the preparation
"""

import os
import signal
import sys
import warnings
from pathlib import Path

from schemas.settings import InputError
from trainers.engine.launching.launch import first_process_prepares, inside_launcher, launch
from trainers.engine.launching.stopping import Stopped, asked_to_stop
from trainers.engine.run import Outcome, Run


def train(run: Run) -> Outcome:
    import torch
    from accelerate import Accelerator, PartialState
    from accelerate.utils import GradientAccumulationPlugin
    from torch import distributed

    PartialState(cpu=True)  # as TrainingArguments begins
    state = Accelerator(gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1)).state
    warnings.warn("of no use to people", stacklevel=1)
    for step in range(1, run.batches.steps + 1):
        ranks = torch.tensor(state.process_index + 1)
        if step == 2 and state.process_index == run.settings.get("unlucky"):
            come_to_grief(run.settings["fate"])
        if distributed.is_initialized():
            distributed.all_reduce(ranks)
        if state.is_main_process and step == 1:
            print(f"第 1 步 of {run.batches.steps}", file=sys.stderr)
        if asked_to_stop(run) and not run.settings.get("deaf"):
            raise Stopped.at(step, run.batches.steps)
    zero = state.deepspeed_plugin.deepspeed_config["zero_optimization"]["stage"] if state.deepspeed_plugin else None
    return Outcome(code=0, figures={"sum": int(ranks), "processes": state.num_processes, "zero": zero})


def come_to_grief(fate: str) -> None:
    if fate == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fate == "wrong":
        raise InputError("--data 对话.jsonl: row 3 has no answer")
    raise ZeroDivisionError("one of ours")


def main(out: Path) -> int:
    def prepare() -> Run:
        print("prepared", file=sys.stderr)
        run = Run.load(out)
        if run.settings.get("refused"):
            raise InputError("--data: refused by the preflight")
        return run

    run = first_process_prepares(prepare, out) if inside_launcher() else prepare()
    outcome = launch(run)
    if outcome.message:
        print(f"ring: {outcome.message}", file=sys.stderr)
    if outcome.figures:
        print(outcome.model_dump_json(include={"figures"}))
    return outcome.code


if __name__ == "__main__":
    try:
        raise SystemExit(main(Path(sys.argv[1])))
    except InputError as wrong:
        print(f"ring: {wrong}", file=sys.stderr)
        raise SystemExit(2) from None
