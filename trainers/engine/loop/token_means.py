"""Held-out losses that are means over answer tokens, whatever the micro-batch, the packing and the number of processes.

class Supervised(TokenMeans, Training, SFTTrainer): ...
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer

IGNORED = -100


class EvenRows(Dataset[dict[str, Any]]):
    """Rows filled up to a multiple of what the processes take at once, by rows without an answer.

    Left to itself, accelerate fills up with the first rows, answers and all, and they would count twice.
    """

    def __init__(self, rows: Any, at_once: int) -> None:
        self.rows = rows
        self.total = math.ceil(len(rows) / at_once) * at_once

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, at: int) -> dict[str, Any]:
        row: dict[str, Any] = self.rows[at % len(self.rows)]
        return row if at < len(self.rows) else {**row, "labels": [IGNORED] * len(row["labels"])}


class TokenMeans(Trainer):
    """For trainers whose loss of a batch is the mean over its labels; comes first among the bases.

    transformers takes the mean of the batches' means instead, in which a token of a short batch weighs more.
    """

    _measured: Tensor
    """Sum of the losses, and the number, of the tokens that this process has seen of a held-out set."""

    def _get_dataloader(self, dataset: Any, *arguments: Any, is_training: bool = False, **named: Any) -> Any:
        if not is_training and self.args.world_size > 1:
            dataset = EvenRows(dataset, self.args.eval_batch_size * self.args.world_size)
        return super()._get_dataloader(dataset, *arguments, is_training=is_training, **named)

    def evaluation_loop(self, *arguments: Any, metric_key_prefix: str = "eval", **named: Any) -> Any:
        """Transformers' own loop, and for its loss the mean over all tokens of all processes."""
        self._measured = torch.zeros(2, dtype=torch.float64, device=self.args.device)
        output = super().evaluation_loop(*arguments, metric_key_prefix=metric_key_prefix, **named)
        loss, tokens = self.accelerator.reduce(self._measured, reduction="sum").tolist()
        output.metrics[f"{metric_key_prefix}_loss"] = loss / tokens
        return output

    def prediction_step(self, model: Any, inputs: Mapping[str, Any], *arguments: Any, **named: Any) -> Any:
        """TRL's step; its loss is noted, and how many tokens it is the mean of."""
        tokens = (inputs["labels"][:, 1:] != IGNORED).sum().to(self.args.device)  # the first token is never predicted
        loss, logits, labels = super().prediction_step(model, inputs, *arguments, **named)
        self._measured += torch.stack((loss.double() * tokens, tokens))
        return loss, logits, labels
