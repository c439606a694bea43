"""The flags that every trainer shares, and how a data set is named on their command lines.

`--data build/set:polished_qa --data org/set@v1.2.0:real_dialogues,simulated_dialogues --data general=belle.jsonl=0.25`
"""

import re
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from schemas.base import Record
from schemas.settings import Settings

Profile = Literal["auto", "single", "ddp", "zero2", "zero3"]
Tracker = Literal["none", "tensorboard", "trackio", "wandb"]

GENERAL = "general="
DATA = re.compile(
    r"(?P<where>[^@:=]+(?::[^@:=,\s]*[\\/][^@:=]*)?)(?:@(?P<revision>[^:=]+))?(?::(?P<configs>[^=]+))?(?:=(?P<share>[^=]+))?"
)


class DataChoice(Record):
    """What one --data names."""

    where: str
    """A release folder, a table (JSON Lines, JSON, CSV, Parquet, a folder of them), or ORG/NAME on the Hub."""
    revision: str | None = None
    """Branch, tag or commit on the Hub."""
    configs: tuple[str, ...] = ()
    """Of several configs these; empty for every one that has the needed columns."""
    share: float | None = None
    """Share of all training rows that comes from here; None: every row once."""
    general: bool = False
    """General-domain rows, replayed against forgetting."""

    def __str__(self) -> str:
        """As it is written on the command line, without `general=` and share."""
        at = f"@{self.revision}" if self.revision else ""
        return f"{self.where}{at}{':' + ','.join(self.configs) if self.configs else ''}"


def data_choice(value: str) -> DataChoice:
    """`[general=]WHERE[@REV][:CONFIG,…][=SHARE]` taken apart; raises ValueError in words."""
    told = value.removeprefix(GENERAL)
    parts = DATA.fullmatch(told)
    if not parts:
        raise ValueError(f"expected [general=]WHERE[@REV][:CONFIG,…][=SHARE], got {value!r}")
    configs = tuple(part for part in (parts["configs"] or "").split(",") if part)
    return DataChoice(
        where=parts["where"],
        revision=parts["revision"],
        configs=configs,
        share=_share(parts["share"], value),
        general=value.startswith(GENERAL),
    )


def _share(text: str | None, value: str) -> float | None:
    if text is None:
        return None
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise ValueError(f"a share must be a number between 0 and 1, e.g. =0.25, got {value!r}")
    return share


class TrainSettings(Settings):
    """The flags that every trainer shares."""

    whole: ClassVar[tuple[str, ...]] = ("data", "set")

    model: str
    """Model to start from: a folder, ORG/NAME[@REVISION] on the Hub, or new:tiny, new:100m made on the spot from the data."""
    data: tuple[str, ...] = Field(min_length=1)
    """Rows to train on, repeatable: [general=]WHERE[@REV][:CONFIG,…][=SHARE]; WHERE is a release, a table or a Hub name."""
    out: Path = Path("build/model")
    """Folder for the trained model; it is a Hub repository as it stands."""
    template: str = "auto"
    """Chat template: own, chatml, huatuo, huatuo2, ziya, or a .jinja file with generation marks. Default: own if it can be trained."""
    max_length: int = Field(default=2048, gt=7)
    """Tokens of a conversation at most; whole oldest turns go first, an answer is never cut."""
    epochs: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    """Passes over the data."""
    max_steps: int | None = Field(default=None, gt=0)
    """Stop after this many optimizer steps, whatever --epochs says; the learning rate ends at zero there."""
    learning_rate: float = Field(default=2e-5, gt=0, allow_inf_nan=False)
    """Peak learning rate; after the warm-up it falls to zero along a cosine."""
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """AdamW's weight decay; biases and norms have none."""
    batch: int = Field(default=128, gt=0)
    """Sequences an optimizer step sees over all processes, however many there are."""
    micro_batch: int = Field(default=2, gt=0)
    """Sequences a process takes at once; the rest of --batch is accumulated."""
    lora: int | None = Field(default=None, gt=0)
    """Train LoRA adapters of this rank, scaled by twice it, on all linear layers; default: all weights."""
    lora_targets: tuple[str, ...] = ()
    """Layers that get adapters, e.g. q_proj,v_proj; default: all linear layers but the head."""
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout inside the adapters."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic: bf16, or fp32; auto is bf16 on GPUs and fp32 on a CPU."""
    attention: str = "auto"
    """Attention kernel as transformers names it, e.g. sdpa, flash_attention_2; auto takes the fastest that is installed."""
    checkpointing: bool = False
    """Recompute activations in the backward pass: a fifth slower, far less memory."""
    profile: Profile = "auto"
    """How it is spread: single, ddp, zero2, zero3; auto takes the simplest that fits the GPUs found."""
    processes: int | None = Field(default=None, gt=0)
    """Processes, one a GPU; default: all GPUs of this machine. On a CPU, as many as said."""
    gpu_memory: float | None = Field(default=None, gt=0)
    """GiB a GPU has, for the estimate; default: what the GPUs here have. Too little is refused."""
    rows_license: str = ""
    """Licence of rows that state none, where you know it, e.g. cc-by-4.0; a model of unlicensed rows is not pushed."""
    set: tuple[str, ...] = ()
    """Anything else TRL or transformers can be told, repeatable: trl.FIELD=VALUE, e.g. trl.adam_beta2=0.95."""
    save_every: int = Field(default=200, gt=0)
    """Steps between checkpoints; a killed run loses no more than these."""
    keep: int = Field(default=2, gt=0)
    """Checkpoints kept."""
    resume: bool = False
    """Go on from the last whole checkpoint in --out, to the bit."""
    track: tuple[Tracker, ...] = ("tensorboard",)
    """Where curves go, repeatable: tensorboard (files in --out), trackio, wandb, none. Projects there are private."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Order of the rows, dropout, weights made on the spot."""
    dry_run: bool = False
    """Stop behind the preflight: what would be trained on, batch maths, memory, two rendered samples."""
    push: str | None = None
    """Publish the model in this Hub repository, e.g. org/name; private unless --public. Nothing leaves without it."""
    public: bool = False
    """With --push: make the repository public when it is new, and allow publishing in one that is."""

    @field_validator("data")
    @classmethod
    def _shares_add_up(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        shares = sum(choice.share or 0.0 for choice in map(data_choice, value))
        if shares > 1 + 1e-9:
            raise ValueError(f"the shares add up to {shares:g}, more than 1")
        return value

    @model_validator(mode="after")
    def _adapters_are_asked_for(self) -> Self:
        for name in ("lora_targets", "lora_dropout"):
            if self.lora is None and getattr(self, name):
                raise ValueError(f"--{name.replace('_', '-')} says how adapters are made; --lora RANK asks for them")
        return self

    @model_validator(mode="after")
    def _public_is_of_a_push(self) -> Self:
        if self.public and not self.push:
            raise ValueError("--public: say where to, with --push ORG/NAME")
        return self

    @field_validator("set")
    @classmethod
    def _set_names_a_field(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if not re.fullmatch(r"trl\.[a-z]\w*=.*", one, re.DOTALL):
                raise ValueError(f"expected trl.FIELD=VALUE, e.g. trl.adam_beta2=0.95, got {one!r}")
        return value

    @property
    def choices(self) -> tuple[DataChoice, ...]:
        """What every --data names."""
        return tuple(data_choice(value) for value in self.data)
