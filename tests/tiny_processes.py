"""One process of a tiny run that several share: python tiny_processes.py OUT PROFILE DEED, under torchrun or accelerate.

whole   train to the end
killed  the last process is gone after six steps
resume  go on from the last checkpoint, and write OUT/history.json
broken  one process meets a row that makes its loss no number
measure measure the held-out loss with micro-batches of 3, which leave a rest, and write OUT/measured.json
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from tiny_training import a_run, history, rows, trainer, uneven_rows
from transformers import TrainerCallback

from trainers.engine.loop.checkpoints import resume_point
from trainers.engine.loop.guards import NotFinite


class Gone(TrainerCallback):
    """The process vanishes after six steps, as when a machine takes it."""

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Between the end of a step and its checkpoint."""
        if state.global_step == 6:
            os.kill(os.getpid(), signal.SIGKILL)


def main(out: Path, profile: str, deed: str) -> None:
    """Do one deed."""
    torch.set_num_threads(1)
    run = a_run(out, profile=profile, processes=int(os.environ["WORLD_SIZE"]))
    options: dict[str, Any] = {"gradient_accumulation_steps": 1}
    if deed == "broken":
        data = rows(16).to_list()
        data[6]["input_ids"][0] = 2  # second step, second process
        options["train_dataset"] = type(rows(1)).from_list(data)
        options |= {"save_steps": 1, "train_sampling_strategy": "sequential"}
    if deed == "measure":
        held = {"held_out": uneven_rows(), "general": rows(1)}
        options |= {"eval_dataset": held, "eval_on_start": True, "per_device_eval_batch_size": 3, "max_steps": 1}
    trained = trainer(out, run=run, **options)
    if deed == "broken":
        trained.model.get_input_embeddings().weight.data[2] = float("nan")
    if deed == "killed" and trained.args.process_index == 1:
        trained.add_callback(Gone)
    try:
        trained.train(resume_from_checkpoint=resume_point(out, run))
    except NotFinite as wrong:
        (out / f"ended_{trained.args.process_index}.txt").write_text(str(wrong))
        return
    if trained.is_world_process_zero():
        measured = {name: value for entry in trained.state.log_history[:2] for name, value in entry.items()}
        (out / "measured.json").write_text(json.dumps(measured))
        (out / "history.json").write_text(json.dumps(history(trained)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
