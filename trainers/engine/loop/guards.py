"""What ends a run at once: a loss that is no number. Its batch is kept, the last whole checkpoint stays.

Every micro-batch asks all processes in one small message, so that they stop together. The loss is read between forward
and backward, where TRL has just read its metrics and the device has nothing left to wait for. The gradient is read with
the next loss, a step late, for the same reason; and before every save.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed
from torch import Tensor

from trainers.engine.launching.stopping import Stopped
from trainers.engine.run import Run

TOKENS = ("input_ids", "prompt_ids", "completion_ids")
"""Inputs that hold token ids, in the order of the text."""
ADVICE = "look at its rows, or try a lower --learning-rate, a longer --warmup, --precision bf16 or fp32"


class NotFinite(Stopped):
    """The loss or its gradient is infinite or no number: going on would only save broken weights."""


class Verdict(NamedTuple):
    """What the processes found, the same in each of them."""

    loss_of: int | None
    """A process whose loss is not finite."""
    gradient: bool
    """The gradient of the step before was not finite."""


def ask_all(loss: Tensor, gradient: float | Tensor | None, *, process: int, processes: int) -> Verdict:
    """The verdict of all processes on this micro-batch; every one of them must call this."""
    norm = torch.as_tensor(0.0 if gradient is None else gradient, dtype=torch.float32, device=loss.device)
    wrong = ~torch.stack((loss.float().mean(), norm.reshape(()))).isfinite()
    told = wrong * (process + 1)
    if processes > 1:
        torch.distributed.all_reduce(told, torch.distributed.ReduceOp.MAX)
    loss_of, gradient_of = told.tolist()
    return Verdict(loss_of - 1 if loss_of else None, bool(gradient_of))


def is_finite(gradient: float | Tensor | None) -> bool:
    """Whether a gradient norm is a number; waits for the device."""
    return gradient is None or math.isfinite(float(gradient))


class Culprit(NamedTuple):
    """A batch that broke a run, and what was measured on it."""

    what: str
    """`loss` or `gradient`."""
    step: int
    process: int
    loss: float
    learning_rate: float
    batches: Sequence[Mapping[str, Any]]
    """Inputs of the model, one mapping a micro-batch."""


def kept_at(run: Run, process: int) -> Path:
    """Where a process keeps the batch that broke the run."""
    return run.folder / f"not_finite_rank{process}.json"


def keep(run: Run, culprit: Culprit, decode: Callable[[Sequence[int]], str]) -> None:
    """Write the batch down: token ids, labels and text of every sequence, its row where the inputs name it."""
    sequences = [sequence for batch in culprit.batches for sequence in _sequences(batch, decode)]
    told = {
        "what": culprit.what,
        "step": culprit.step,
        "process": culprit.process,
        "loss": str(culprit.loss),  # JSON has no word for what this may be
        "learning_rate": culprit.learning_rate,
        "sequences": sequences,
    }
    file = kept_at(run, culprit.process)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")


def _sequences(batch: Mapping[str, Any], decode: Callable[[Sequence[int]], str]) -> list[dict[str, Any]]:
    parts = [batch[name].tolist() for name in TOKENS if name in batch]
    masks = batch["attention_mask"].tolist() if "attention_mask" in batch else None
    labels = batch["labels"].tolist() if "labels" in batch else None
    rows = batch["rows"].tolist() if "rows" in batch else None
    sequences = []
    for at, split in enumerate(zip(*parts, strict=True)):
        tokens = [token for part in split for token in part]
        length = sum(masks[at]) if masks and len(masks[at]) == len(tokens) else len(tokens)
        sequence: dict[str, Any] = {"row": rows[at]} if rows else {}
        sequence |= {"text": decode(tokens[:length]), "tokens": tokens[:length]}
        sequences.append(sequence | ({"labels": labels[at][:length]} if labels else {}))
    return sequences


def not_finite(run: Run, what: str, step: int, process: int | None) -> NotFinite:
    """The one line that says what happened, where, and what to try."""
    whose = f" on process {process}" if process is not None and run.spread.processes > 1 else ""
    kept = kept_at(run, process or 0)
    return NotFinite(f"step {step}: the {what} is not finite{whose}; the batch is in {kept}; {ADVICE}")
