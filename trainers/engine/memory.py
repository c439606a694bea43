"""GPU memory of a training run, a process, worked out before anything is loaded.

    shape = ModelShape.of_config(AutoConfig.from_pretrained(path))
    estimate(shape, Spread(profile="zero2", processes=8, device="cuda", bf16=True), Load(micro=2, length=2048))

Weights, gradients and Adam follow ZeRO (Rajbhandari et al. 2020, §3): 16 bytes a trained parameter. What the forward pass
saves is counted on the model itself, see activations.py.
"""

from itertools import product
from typing import Any, NamedTuple

from schemas.base import Record
from trainers.engine.activations import Arithmetic, Saved, empty_model, saved_by_layers
from trainers.engine.models import LoraChoice
from trainers.engine.run import Spread

GIB = 2**30
BUCKET = 500_000_000
"""Elements that DeepSpeed gathers before it reduces them (`reduce_bucket_size`); one buffer of them, as ours does not overlap."""
LIVE = 1_000_000_000
"""Parameters that ZeRO-3 may hold gathered at once (`stage3_max_live_parameters`)."""
TILE_TOKENS, TILE_WORDS = 4096, 32768
"""Tile of TRL's fused LM head: the only logits that ever exist (trl/kernels/chunked_logprob.py)."""
CONTEXT, NCCL = 0.8, 0.5
"""GiB for the CUDA context with its kernels, and for NCCL's buffers: an allowance, not a count."""
FRAGMENTED = 0.05
"""Share of the rest that the allocator loses between blocks, and that gradients of activations take in passing: likewise."""


class ModelShape(Record):
    """What of a model decides how much memory it takes."""

    parameters: int
    trained: int
    layers: int
    hidden: int
    vocabulary: int
    head_trained: bool
    """False under LoRA, and the head's gradient with it."""
    saved: tuple[Saved, ...]

    @property
    def lora(self) -> bool:
        """Whether most weights are frozen; they are held in bf16 then."""
        return self.trained < self.parameters

    @classmethod
    def of_config(cls, config: Any, *, lora: LoraChoice | None = None, eager: bool = False) -> "ModelShape":
        """Counted on a model without memory; `config` is a transformers config.

        `eager`: attention that makes whole matrices of weights, not PyTorch's own kernel. A second or two for 7 B.
        """
        text = config.get_text_config()
        whole = empty_model(config, text.num_hidden_layers, lora)
        return cls(
            parameters=sum(one.numel() for one in whole.parameters()),
            trained=sum(one.numel() for one in whole.parameters() if one.requires_grad),
            layers=text.num_hidden_layers,
            hidden=text.hidden_size,
            vocabulary=text.vocab_size,
            head_trained=whole.get_output_embeddings().weight.requires_grad,
            saved=saved_by_layers(config, lora, eager=eager),
        )

    def saves(self, arithmetic: Arithmetic, *, masked: bool) -> Saved:
        """What is saved in one arithmetic."""
        return next(one for one in self.saved if one.arithmetic == arithmetic and one.masked == masked)


class Load(Record):
    """What goes through the model at once."""

    micro: int
    """Sequences."""
    length: int
    """Tokens of the longest of them."""
    checkpointing: bool = False
    packed: bool = False
    """They stand in one row of micro x length tokens."""
    frozen_copies: int = 0
    """Whole models beside the trained one: a reference, a reward model."""
    flash: bool = False
    """FlashAttention, which takes no mask."""


class Estimate(Record):
    """GiB that one process needs of its GPU."""

    weights: float
    """Frozen copies included."""
    gradients: float
    optimizer: float
    """Adam's two moments, and ZeRO's fp32 masters."""
    activations: float
    logits: float
    """The fused head: a tile of logits, and the gradients that it sums in fp32."""
    buffers: float
    """Buckets of ddp and ZeRO, weights gathered by ZeRO-3, bf16 copies of autocast."""
    reserve: float
    """CUDA context, NCCL, fragmentation."""

    @property
    def total(self) -> float:
        """All of it."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, float]:
        """Name -> GiB."""
        return {name: float(value) for name, value in self}

    def told(self) -> str:
        """One line."""
        return f"{self.total:.1f} GiB a process: " + ", ".join(f"{name} {gib:.1f}" for name, gib in self.parts.items())


def estimate(shape: ModelShape, spread: Spread, load: Load) -> Estimate:
    """What a process needs at its worst, in the backward pass of a full micro-batch."""
    arithmetic = _arithmetic(spread)
    half = spread.bf16 and (shape.lora or arithmetic == "bf16")  # the weights as they are loaded
    kept = shape.saves(arithmetic, masked=not load.flash and (load.packed or load.micro > 1))
    state = _state(shape, spread, load.frozen_copies)
    activations = _activations(shape, kept, load, stream=2 if half else 4)
    logits = _logits(shape, load.micro * load.length, 2 if spread.bf16 else 4)
    buffers = _buffers(shape, spread) + shape.layers * kept.copies
    used = sum((*state, activations, logits, buffers))
    outside = GIB * (CONTEXT + NCCL * (spread.processes > 1)) if spread.device == "cuda" else 0.0
    return Estimate(
        weights=state.weights / GIB,
        gradients=state.gradients / GIB,
        optimizer=state.optimizer / GIB,
        activations=activations / GIB,
        logits=logits / GIB,
        buffers=buffers / GIB,
        reserve=(outside + FRAGMENTED * used) / GIB,
    )


def of_gpus() -> list[float]:
    """GiB of every GPU that this process may use; none on a CPU."""
    import torch

    return [torch.cuda.get_device_properties(one).total_memory / GIB for one in range(torch.cuda.device_count())]


class Way(NamedTuple):
    """Flags under which a run fits."""

    flags: str
    total: float
    """GiB a process."""


def ways_to_fit(
    shape: ModelShape, spread: Spread, load: Load, *, room: float, adapters: ModelShape | None = None
) -> list[Way]:
    """What would fit into `room` GiB with the fewest flags changed, each way estimated in turn; none when nothing does.

    `adapters` is the shape of the same model under `--lora 16`. Of several smaller micro-batches the largest is told.
    """
    shapes = [("", shape)] + [("--lora 16", adapters)] * (adapters is not None)
    spreads = [("", spread)] + [
        (f"--profile {name}", spread.model_copy(update={"profile": name}))
        for name in ("zero2", "zero3")
        if spread.processes > 1 and name > spread.profile
    ]
    again = [("", load.checkpointing)] + [("--checkpointing", True)] * (not load.checkpointing)
    fewer = [("", load.micro)] + [("--micro-batch", load.micro >> times) for times in range(1, load.micro.bit_length())]
    found: dict[tuple[str, ...], Way] = {}
    for (one, model), (two, where), (three, recompute), (four, micro) in product(shapes, spreads, again, fewer):
        flags = tuple(flag for flag in (one, two, three, four) if flag)
        lighter = load.model_copy(update={"checkpointing": recompute, "micro": micro})
        need = estimate(model or shape, where, lighter).total
        if need <= room and flags not in found:
            found[flags] = Way(" ".join(flags) + f" {micro}" * bool(four), need)
    least = min(map(len, found), default=0)
    return [way for flags, way in found.items() if len(flags) == least]


class _State(NamedTuple):
    """Bytes."""

    weights: float
    gradients: float
    optimizer: float


def _arithmetic(spread: Spread) -> Arithmetic:
    if not spread.bf16:
        return "fp32"
    return "bf16" if spread.profile.startswith("zero") else "autocast"


def _state(shape: ModelShape, spread: Spread, frozen_copies: int) -> _State:
    """Bytes of the training state.

    bf16 under ZeRO is 2 weights + 2 gradients + 12 of fp32 master, mean and variance; else 4 + 4 + 8 of fp32. ZeRO-2
    shares out all but the weights, ZeRO-3 these as well, frozen copies included.
    """
    zero, size = spread.profile.startswith("zero"), 2 if spread.bf16 else 4
    shares = spread.processes if zero else 1
    weight_shares = spread.processes if spread.profile == "zero3" else 1
    own = size if zero else 4  # a trained weight, and its gradient
    frozen = shape.parameters - shape.trained + frozen_copies * shape.parameters
    return _State(
        weights=(frozen * size + shape.trained * own) / weight_shares,
        gradients=shape.trained * own / shares,
        optimizer=shape.trained * (12 if zero else 8) / shares,
    )


def _activations(shape: ModelShape, kept: Saved, load: Load, *, stream: int) -> float:
    """Bytes; with checkpointing only what goes into each layer stays, and one layer whole while it is gone back through."""
    tokens = load.micro * load.length
    row = tokens if load.packed else load.length
    layer = tokens * (kept.token + kept.pair * row)
    stored = tokens * shape.hidden * stream
    layers = shape.layers * stored + layer if load.checkpointing else shape.layers * layer
    return layers + tokens * kept.beside


def _logits(shape: ModelShape, tokens: int, size: int) -> float:
    """Bytes of the fused head: a tile, its words' weights, and gradients of hidden states and head summed in fp32."""
    words = min(TILE_WORDS, shape.vocabulary)
    tile = min(tokens, TILE_TOKENS) * TILE_WORDS * size + words * shape.hidden * size
    head = shape.vocabulary * shape.hidden * (4 + (2 if size == 2 else 0)) if shape.head_trained else 0
    return tile + tokens * shape.hidden * 4 + head


def _buffers(shape: ModelShape, spread: Spread) -> float:
    """Bytes: ddp holds its buckets beside the gradients (`gradient_as_bucket_view` is off); see BUCKET and LIVE."""
    size = 2 if spread.bf16 else 4
    match spread.profile:
        case "single":
            return 0
        case "ddp":
            return 4 * shape.trained if spread.processes > 1 else 0
        case "zero2":
            return size * min(BUCKET, shape.trained)
        case "zero3":
            return size * min(BUCKET, shape.trained) + size * min(LIVE, shape.parameters)
