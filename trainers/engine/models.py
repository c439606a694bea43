"""Where training starts: a model by the name on the command line, its tokenizer, its weights, and how it stops.

    choice = find_model("org/model@v1")              folder, ORG/NAME[@REVISION], new:tiny, new:100m
    model = load_model(choice, spread=spread, attention="auto", lora=None)
    finish(model, tokenizer, stop_ids, out)

No code from a model's repository is ever run, and a model whose weights only half fit is refused: it would train on noise.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.engine.hub_address import no_telemetry, one_line
from schemas.settings import InputError
from schemas.train_settings import TrainSettings
from trainers.engine.model_source import ADAPTERS, MAY_BE, in_folder, on_hub
from trainers.engine.run import RUN, ModelChoice, Spread

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

NEW = ("new:tiny", "new:100m")
"""Models made on the spot from the data they are trained on."""
MADE_HERE = f"{RUN}/base"
"""Where such a model lies in the folder of its run."""
HUB_NAME = re.compile(r"(?P<name>\w[\w.-]{0,95}/\w[\w.-]{0,95})(?:@(?P<revision>[^@\s]+))?")
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff")
"""What a generation config may only say when it samples."""
MOST_NAMED = 3


def find_model(name: str) -> ModelChoice:
    """What --model names: a folder before the Hub; raises InputError in one line. Of a Hub name the commit is settled here."""
    if name in NEW:
        return ModelChoice(name=name, path=name)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return in_folder(name, folder)
    hub = HUB_NAME.fullmatch(name)
    if name.startswith("new:") or folder.exists() or not hub:
        raise InputError(f"--model {name}: expected {MAY_BE}")
    return on_hub(name, hub["name"], hub["revision"])


class LoraChoice(NamedTuple):
    """Low-rank adapters beside frozen weights (Hu et al. 2021)."""

    rank: int
    targets: tuple[str, ...] = ()
    """Names of the layers that get adapters; empty for all linear layers but the head."""
    dropout: float = 0.0


def lora_of(settings: TrainSettings) -> LoraChoice | None:
    """The adapters that the flags ask for, if any."""
    return LoraChoice(settings.lora, settings.lora_targets, settings.lora_dropout) if settings.lora else None


def lora_config(rank: int, targets: Sequence[str] = (), dropout: float = 0.0) -> "LoraConfig":
    """What TRL's trainers take as `peft_config`; they wrap the model themselves, because only they know what ZeRO-3 needs.

    Adapters count twice (alpha = 2 x rank), so that their learning rate need not change with the rank.
    """
    import peft

    if any(target.split(".")[-1] == "lm_head" for target in targets):
        raise InputError(
            "--lora-targets: lm_head cannot have an adapter: the loss is computed from its weights directly"
        )
    return peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=dropout,
        target_modules=list(targets) or "all-linear",
        task_type="CAUSAL_LM",
    )


def load_tokenizer(choice: ModelChoice | Path) -> "PreTrainedTokenizerBase":
    """The tokenizer as its makers left it, chat template included; raises InputError in words.

    It must be a fast one, as loss masks are built from its character offsets.
    """
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(trust_remote_code=False, **_source(choice))
    except (OSError, ValueError, ImportError) as wrong:
        raise InputError(f"--model {choice.name}: its tokenizer cannot be loaded: {_in_words(wrong)}") from None
    if not tokenizer.is_fast:
        raise InputError(f"--model {choice.name}: has no fast tokenizer; convert it to a tokenizer.json")
    if not tokenizer("患者", add_special_tokens=False)[
        "input_ids"
    ]:  # transformers makes an empty one where files are missing
        raise InputError(f"--model {choice.name}: its tokenizer has no vocabulary; are its files there?")
    return tokenizer


def load_model(
    choice: ModelChoice | Path, *, spread: Spread, attention: str = "auto", lora: LoraChoice | None = None
) -> "PreTrainedModel":
    """Weights ready to train, on the CPU, or spread over the processes when a ZeRO-3 config is alive.

    The cache for generation is off: with it on, transformers lets the samples of a pack see each other.
    Raises InputError when weights are missing, left over, of another shape, or cannot be read.
    """
    import safetensors
    import transformers

    try:
        model, told = transformers.AutoModelForCausalLM.from_pretrained(
            dtype=weights_dtype(spread, lora),
            attn_implementation=attention_kernel(attention, spread),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are told, as the others are
            trust_remote_code=False,
            **_source(choice),
        )
    except (OSError, ValueError, ImportError, RuntimeError, safetensors.SafetensorError) as wrong:
        raise InputError(f"--model {choice.name}: cannot be loaded: {_in_words(wrong)}") from None
    _check_whole(told, choice.name)
    model.config.use_cache = False
    _take_back_sampling(model.generation_config)
    return model


def weights_dtype(spread: Spread, lora: LoraChoice | None) -> "torch.dtype":
    """What weights are held in.

    With bf16, one process and DDP keep full weights in fp32, as autocast does the arithmetic and small updates would be lost
    in bf16. DeepSpeed keeps fp32 copies of its own, and frozen weights under adapters take no updates: both are bf16.
    """
    import torch

    held_twice = spread.profile in ("zero2", "zero3") or lora is not None
    return torch.bfloat16 if spread.bf16 and held_twice else torch.float32


def attention_kernel(attention: str, spread: Spread) -> str:
    """What transformers is told; `auto` is FlashAttention where it is installed and can run, else PyTorch's own kernel."""
    from transformers.utils import is_flash_attn_2_available

    if attention != "auto":
        return attention
    flash = spread.device == "cuda" and spread.bf16 and is_flash_attn_2_available()
    return "flash_attention_2" if flash else "sdpa"


def finish(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", stop_ids: Sequence[int], folder: Path
) -> None:
    """Make saved weights stop where an answer ends: any of `stop_ids` does, the answer's own end token first.

    Writes generation_config.json, and config.json where there is one, which says again that generation uses its cache.
    """
    if not stop_ids:
        raise ValueError("stop_ids must name a token")
    told = model.generation_config
    told.eos_token_id = list(dict.fromkeys(stop_ids))
    told.pad_token_id = stop_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    told.use_cache = True
    _take_back_sampling(told)
    told.save_pretrained(folder)
    model.config.use_cache = True
    if (folder / "config.json").exists():
        model.config.save_pretrained(folder)


def name_base(folder: Path, base: ModelChoice) -> None:
    """Have saved adapters name their base as others can find it: on the Hub with its commit, else by its own name alone.

    `./NAME` can be no repository on the Hub: where no such folder is, nobody gets a stranger's model of that name. A base
    that was made here lies beside the adapters.
    """
    file = folder / ADAPTERS
    told = json.loads(file.read_text(encoding="utf-8"))
    alone = MADE_HERE if base.name in NEW else f"./{base.name}"
    named = {"base_model_name_or_path": base.name if base.revision else alone, "revision": base.revision}
    file.write_text(json.dumps({**told, **named}, ensure_ascii=False, indent=2, sort_keys=True), encoding="utf-8")


def _take_back_sampling(told: "GenerationConfig | None") -> None:
    """Published models say `temperature: 0.6` and `do_sample: false` at once; saving that again is an error."""
    if told is not None and told.do_sample is not True:
        for name in SAMPLING:
            setattr(told, name, None)


def _check_whole(told: dict[str, Any], name: str) -> None:
    """A half-loaded model is random where weights are missing, and was another model where some are left over.

    Under ZeRO-3 transformers tells what is missing, and never what is left over.
    """
    wrong = {
        "missing": sorted(told["missing_keys"]),
        "left over": sorted(told["unexpected_keys"]),
        "of another shape": sorted(key for key, *_ in told["mismatched_keys"]),
    }
    if parts := [f"{len(keys)} {kind} ({_some(keys)})" for kind, keys in wrong.items() if keys]:
        raise InputError(f"--model {name}: its weights are not those of the model in config.json: {', '.join(parts)}")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")


def _source(choice: ModelChoice | Path) -> dict[str, Any]:
    """Arguments of `from_pretrained` that say where from."""
    no_telemetry()
    if isinstance(choice, Path):
        return {"pretrained_model_name_or_path": str(choice), "local_files_only": True}
    return {"pretrained_model_name_or_path": choice.path, "revision": choice.revision}


def _in_words(wrong: BaseException) -> str:
    said = one_line(wrong)
    return "it needs code from its own repository, which is never run" if "trust_remote_code" in str(wrong) else said
