"""What a forward pass saves for the backward pass, counted and not guessed, before any weight is loaded.

One and two layers of the very model run on tensors without memory (torch's FakeTensorMode), and what autograd saves is
added up; three lengths tell what grows with tokens, what with pairs of tokens, and what does not.
"""

import copy
from typing import TYPE_CHECKING, Any, Literal

from schemas.base import Record
from trainers.engine.models import LoraChoice, lora_config

if TYPE_CHECKING:
    import torch

Arithmetic = Literal["autocast", "bf16", "fp32"]
"""fp32 weights under bf16 autocast (single, ddp); bf16 throughout (ZeRO keeps the fp32 masters); fp32."""
ARITHMETICS: tuple[Arithmetic, ...] = ("autocast", "bf16", "fp32")

LENGTHS = (128, 256, 384)
UNMASKED = "sdpa_unmasked"


class Saved(Record):
    """Bytes that the forward pass saves for the backward pass, in one arithmetic, with or without an attention mask."""

    arithmetic: Arithmetic
    masked: bool
    token: float
    """A token and layer."""
    pair: float
    """A pair of tokens and layer: masks, and all of eager attention."""
    copies: float
    """A layer, however many tokens: bf16 copies of fp32 weights under autocast."""
    beside: float
    """A token, outside the layers."""


def empty_model(config: Any, layers: int, lora: LoraChoice | None, attention: str | None = None) -> Any:
    """The model with so many layers, its parameters on the meta device."""
    import torch
    from transformers import AutoModelForCausalLM

    short = copy.deepcopy(config)
    text = short.get_text_config()
    text.num_hidden_layers = layers
    if kinds := getattr(text, "layer_types", None):  # some models have several
        text.layer_types = kinds[:layers]
    with torch.device("meta"):  # accelerate's init_empty_weights unties the embeddings
        model = AutoModelForCausalLM.from_config(short, attn_implementation=attention)
    if not lora:
        return model.train()
    from peft import get_peft_model

    return get_peft_model(model, lora_config(*lora), low_cpu_mem_usage=True).get_base_model().train()


def saved_by_layers(config: Any, lora: LoraChoice | None, *, eager: bool) -> tuple[Saved, ...]:
    """Measured on one and two layers, each with and without a mask; models without SDPA always mask."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register(UNMASKED, sdpa_attention_forward)
    AttentionMaskInterface.register(UNMASKED, lambda *_, **__: None)
    sdpa = not eager and empty_model(config, 1, None)._supports_sdpa
    found: list[Saved] = []
    for masked in (False, True):
        attention = ("sdpa" if masked else UNMASKED) if sdpa else "eager"
        one, two = (empty_model(config, layers, lora, attention) for layers in (1, 2))
        found.extend(_fitted(one, two, arithmetic, masked=masked, lora=lora is not None) for arithmetic in ARITHMETICS)
    return tuple(found)


def _fitted(one: Any, two: Any, arithmetic: Arithmetic, *, masked: bool, lora: bool) -> Saved:
    """Fits beside x T + 2 (copies + token x T + pair x T²) to what two layers save, and tells `beside` by one layer."""
    short, middle, long = LENGTHS
    step = middle - short
    both = {length: saved_bytes(two, length, arithmetic, lora=lora) for length in LENGTHS}
    layer = both[short] - saved_bytes(one, short, arithmetic, lora=lora)
    beside = (both[short] - 2 * layer) / short
    pair = (both[long] - 2 * both[middle] + both[short]) / (2 * step**2) / 2
    token = ((both[middle] - both[short]) / step - beside) / 2 - pair * (short + middle)
    copies = layer - token * short - pair * short**2
    return Saved(arithmetic=arithmetic, masked=masked, token=token, pair=pair, copies=copies, beside=beside)


def saved_bytes(model: Any, length: int, arithmetic: Arithmetic, *, lora: bool) -> int:
    """Bytes that the body of a model on the meta device saves for the backward pass of one sequence."""
    import torch
    from torch._subclasses import FakeTensorMode

    body, held = model.base_model, dict[int, tuple[int, torch.Tensor]]()
    frozen = torch.float32 if arithmetic == "fp32" or (arithmetic == "autocast" and not lora) else torch.bfloat16
    trained = torch.bfloat16 if arithmetic == "bf16" else torch.float32
    with FakeTensorMode():
        weights = {
            name: torch.empty(
                one.shape, dtype=trained if one.requires_grad else frozen, requires_grad=one.requires_grad
            )
            for name, one in body.named_parameters()
        }
        own = {one.untyped_storage()._cdata for one in weights.values()}
        buffers = {name: torch.empty(one.shape, dtype=one.dtype) for name, one in body.named_buffers()}

        def keep(one: "torch.Tensor") -> "torch.Tensor":
            storage = one.untyped_storage()
            if storage._cdata not in own:
                held.setdefault(storage._cdata, (storage.nbytes(), one))  # the tensor, or its number is given again
            return one

        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one),
            torch.autocast("cpu", torch.bfloat16, enabled=arithmetic == "autocast"),
        ):
            asked = {"input_ids": torch.zeros((1, length), dtype=torch.long), "use_cache": False}
            torch.func.functional_call(body, weights | buffers, kwargs=asked)
    return sum(size for size, _ in held.values())
