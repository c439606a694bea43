"""What a model card states: facts that a trainer measured, in the order the card tells them."""

from typing import Any

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
    licenses: dict[str, int] = {}
    """SPDX id (or "" where nobody stated one) -> rows."""
    rows: int
    """Rows trained on, repeats counted."""
    answer_tokens: int
    """Tokens under the loss."""
    share: float
    """Share of all training rows."""
    general: bool = False
    rehearsal: bool = False
    """True when any row came from the rehearsal teacher."""


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


class Curve(Record):
    """A figure over the run."""

    name: str
    points: tuple[tuple[int, float], ...]
    """(optimizer step, value), steps ascending."""


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
    left_out: dict[str, int] = {}
    """Reason -> rows that were not trained on."""
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
    hardware: str
    """E.g. `8 x NVIDIA A100-SXM4-80GB`, `2 CPU processes`."""
    profile: str
    seconds: float = 0.0
    tokens_per_second: float = 0.0
    versions: dict[str, str] = {}
    """Package -> version it was trained with."""
    warnings: tuple[str, ...] = ()
    """What a reader must know and the trainer noticed, e.g. a preflight bar that was lowered."""

    @property
    def rehearsal(self) -> bool:
        """Whether it learnt from rows of the rehearsal teacher, which are no medicine."""
        return any(one.rehearsal for one in self.data)
