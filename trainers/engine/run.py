"""One training run as every process of it sees it: what was decided before the first of them started.

OUT/                          a Hub repository as it stands: weights, tokenizer, card, training.json
  checkpoint-200/             whole or not there
  .run/run.json               this record
  .run/tokenizer/             with the chat template that is trained
  .run/parts, train.npy, …    tokenized rows and their order, see rows/encoding.py
  .run/facts.json             what the card will say, as far as it is known before the first step
  .run/outcome.json           how it ended, written by the first process
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from schemas.base import Record

TRAINING = "training.json"
"""What a finished model says of itself; written last."""
RUN = ".run"
BASE = f"{RUN}/base"
"""Where a model that is made on the spot lies."""


class ModelChoice(Record):
    """The model that training starts from."""

    name: str
    """As a card should name it: the folder's own name, ORG/NAME, or new:tiny."""
    path: str
    """What `from_pretrained` takes: a folder, or a name on the Hub."""
    revision: str | None = None
    """Commit on the Hub."""
    license: str = ""
    """What its card states."""
    parents: tuple[str, ...] = ()
    """Data sets it was already trained on by us, as NAME@REVISION."""
    rehearsal: bool = False
    """It learnt from rehearsal rows already."""


class Batches(Record):
    """Batch maths: micro x accumulate x processes sequences an optimizer step."""

    micro: int
    accumulate: int
    processes: int
    steps: int
    """Optimizer steps of the whole run."""
    epochs: float

    @property
    def batch(self) -> int:
        """Sequences an optimizer step sees."""
        return self.micro * self.accumulate * self.processes


class Spread(Record):
    """How a run is spread over processes."""

    profile: Literal["single", "ddp", "zero2", "zero3"]
    processes: int = 1
    device: Literal["cpu", "cuda"] = "cpu"
    bf16: bool = False


class Run(Record):
    """Everything a process needs to know; saved as .run/run.json."""

    command: str
    """The trainer's module under `trainers`."""
    settings: dict[str, Any]
    """Its settings as JSON; the command's own settings class reads them back."""
    out: Path
    model: ModelChoice
    template: str
    """Name of the chat template."""
    stop_ids: tuple[int, ...]
    """Tokens that end an answer, its own end-of-turn token first."""
    batches: Batches
    spread: Spread
    fingerprint: str
    """SHA-256 of all that must be the same for a checkpoint to be gone on from."""

    @property
    def folder(self) -> Path:
        """Where the run keeps its own things."""
        return self.out / RUN

    @property
    def tokenizer(self) -> Path:
        """Folder of the tokenizer, chat template included."""
        return self.folder / "tokenizer"

    def save(self) -> None:
        """Write run.json, whole or not at all."""
        draft = self.folder / "run.json.new"
        draft.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        draft.replace(self.folder / "run.json")

    @classmethod
    def load(cls, out: Path) -> "Run":
        """Read run.json back from where OUT is now; an OSError when there is none."""
        run = cls.model_validate_json((out / RUN / "run.json").read_text(encoding="utf-8"))
        made_here = run.model.name.startswith("new:")
        model = run.model.model_copy(update={"path": str((out / BASE).resolve())}) if made_here else run.model
        return run.model_copy(update={"out": out, "model": model})


class Outcome(Record):
    """How a run ended."""

    code: int
    """Exit code: 0 done, 2 something given is wrong, 4 stopped before the end."""
    message: str = ""
    """One line for people, when it is not 0."""
    figures: dict[str, Any] = Field(default_factory=dict)
    """The JSON object for stdout."""

    def save(self, run: Run) -> None:
        """Write outcome.json, whole or not at all."""
        draft = run.folder / "outcome.json.new"
        draft.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        draft.replace(run.folder / "outcome.json")
