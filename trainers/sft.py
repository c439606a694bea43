"""Supervised fine-tuning: a model learns the assistant's side of conversations, exactly those tokens and no others.

    python -m trainers.sft --model new:tiny --data build/polished --out build/sft --epochs 3 --batch 32
    python -m trainers.sft --recipe huatuo1 --data my-org/huatuo@v1.0.0 --out build/huatuo1/sft
    python -m trainers.sft --model Qwen/Qwen3-8B-Base --data build/set --data general=belle.jsonl=0.25 --lora 16 --out build/sft

A preflight refuses what would teach something wrong; --dry-run stops behind it.
"""

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from schemas.settings import run_command
from schemas.train_settings import TrainSettings

if TYPE_CHECKING:
    from trainers.engine.run import Outcome, Run


class Sft(TrainSettings):
    """Fine-tune a model on the assistant's side of conversations."""

    command: ClassVar[str] = "sft"

    packing: bool = False
    """Lay short conversations side by side up to --max-length, each blind to the others: no padding is computed."""
    merge: bool = False
    """With --lora: save whole weights with the adapters folded in, so that the next trainer can start from them."""
    eval_rows: int = Field(default=500, ge=0)
    """Held-out conversations to measure the loss on; 0 for none."""
    eval_every: int | None = Field(default=None, gt=0)
    """Steps between measurements of the held-out loss; default: as --save-every. Before and after training in any case."""

    @model_validator(mode="after")
    def _there_is_something_to_merge(self) -> Self:
        if self.merge and self.lora is None:
            raise ValueError("--merge folds adapters into the weights; --lora RANK asks for them")
        if self.lora is not None and not self.merge and self.model.startswith("new:"):
            raise ValueError(
                f"--lora: adapters need the base they were made on, and {self.model} is not kept; add --merge"
            )
        return self


def main(settings: Sft) -> int:
    """Prepare the data, refuse what must not be trained on, train, and say where the model is."""
    from trainers.engine.command import carry_out
    from trainers.engine.preparing import prepare

    return carry_out(settings, lambda: prepare(settings))


def train(run: "Run") -> "Outcome":
    """The training itself, in one process of perhaps many."""
    from trainers.engine.supervised import fine_tune

    return fine_tune(run, Sft.model_validate(run.settings))


if __name__ == "__main__":
    run_command(Sft, main)
