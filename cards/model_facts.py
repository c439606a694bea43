"""What a model card states: facts that a trainer measured, in the order the card tells them."""

from typing import Any

from pydantic import Field

from schemas.base import Record


class TrainedOn(Record):
    """One data set a model learnt from."""

    name: str
    """ORG/NAME on the Hub, or the folder's or file's own name."""
    revision: str
    """Commit on the Hub, else version and content hash of a release, else SHA-256 of the file."""
    version: str = ""
    """Of a release, e.g. 1.2.0."""
    configs: tuple[str, ...] = ()
    licenses: dict[str, int] = Field(default_factory=dict)
    """SPDX id (or "" where nobody stated one) -> rows."""
    rows: int
    """Rows in one pass over the data, repeats counted."""
    answer_tokens: int
    """Tokens under the loss in one pass."""
    share: float
    """Share of all rows of a pass."""
    general: bool = False
    rehearsal: bool = False
    """True when any row came from the rehearsal teacher."""

    @property
    def on_hub(self) -> bool:
        """Whether the name is one on the Hub; folders and files have no slash in theirs."""
        return "/" in self.name


class Measured(Record):
    """A figure and what it was measured on."""

    name: str
    """E.g. `held-out loss`, `general probe loss`."""
    before: float | None = None
    """Before training; None when it was not measured."""
    after: float | None = None
    rows: int
    on: str
    """The rows in words, e.g. `validation split of org/set`."""
    is_loss: bool = True
    """A mean loss per answer token, in nats: less is better, and e to it is a perplexity."""

    @property
    def general(self) -> bool:
        """Whether it says what was kept of general abilities; else it was measured on held-out rows of the data."""
        return "general" in self.name

    @property
    def change(self) -> float | None:
        """What training changed, as a share of the value before; None when one of the two is missing."""
        return self.after / self.before - 1 if self.before and self.after is not None else None

    @property
    def words(self) -> str:
        """Its name in words: `held_out` that is a loss reads `held-out loss`."""
        name = self.name.replace("held_out", "held-out").replace("_", " ")
        return f"{name} loss" if self.is_loss and not name.endswith("loss") else name


class Curve(Record):
    """A figure over the run."""

    name: str
    points: tuple[tuple[int, float], ...]
    """(optimizer step, value), steps ascending."""

    @property
    def words(self) -> str:
        """Its name in words: a trainer's `eval_general_loss` reads `general loss`, and its `loss` `train loss`."""
        name = self.name.removeprefix("eval_").replace("held_out", "held-out").replace("_", " ")
        return "train loss" if name == "loss" else name


class ModelFacts(Record):
    """Everything the card of a trained model states."""

    name: str
    """Title of the card."""
    trainer: str
    """Command that made it: sft, reward, rlaif, pretrain."""
    base: str
    base_revision: str | None = None
    base_license: str = ""
    base_on_hub: bool = False
    """True when the base is a Hub repository that others can find."""
    made_here: bool = False
    """True when the base was made on the spot with random weights."""
    architecture: str = ""
    parameters: int
    trained_parameters: int
    adapter: bool = False
    """LoRA adapters, not whole weights."""
    data: tuple[TrainedOn, ...]
    earlier_data: tuple[str, ...] = ()
    """What its base learnt from before, as NAME@REVISION, when it was one of ours."""
    base_rehearsal: bool = False
    """True when its base learnt from rehearsal rows already."""
    left_out: dict[str, int] = Field(default_factory=dict)
    """Reason -> rows that were not trained on."""
    not_drawn: int = 0
    """Rows that would do, and that the shares of the mixture left no place for."""
    template: str
    max_length: int
    settings: dict[str, Any]
    """The run's settings, without paths of this machine."""
    preflight: tuple[tuple[str, str], ...] = ()
    """(check, what it found)."""
    measured: tuple[Measured, ...] = ()
    curves: tuple[Curve, ...] = ()
    steps: int
    steps_done: int
    """Fewer than `steps` while the run goes on."""
    passes: float = 0.0
    """Passes over the data that `steps` take, e.g. 0.25; 0 when nobody counted."""
    sequences_seen: int = 0
    """Sequences that `steps` take, each as often as it comes; packed ones hold several rows."""
    hardware: str
    """E.g. `8 x NVIDIA A100-SXM4-80GB`, `2 CPU processes`."""
    profile: str
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    versions: dict[str, str] = Field(default_factory=dict)
    """Package -> version it was trained with."""
    warnings: tuple[str, ...] = ()
    """What a reader must know and the trainer noticed, e.g. a preflight bar that was lowered."""

    @property
    def rehearsal(self) -> bool:
        """Whether it or its base learnt from rows of the rehearsal teacher, which are no medicine."""
        return self.base_rehearsal or any(one.rehearsal for one in self.data)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.steps_done >= self.steps
