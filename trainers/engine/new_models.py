"""Models made on the spot: a tokenizer learnt from the texts, and a Qwen3 with random weights.

`new:tiny` learns to answer visibly in minutes on two cores; `new:100m` is the smallest that is worth a GPU. Same texts, same
seed and same versions: same bytes.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen3Config

END_OF_TEXT, TURN_STARTS, TURN_ENDS = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
LONGEST = 8192
"""Positions; rotary embeddings cost nothing for those that are never seen."""
PIECES = "|".join(
    (
        r"\p{Han}+",  # words of Chinese are found by the merges; they start at no punctuation, as they would in Qwen's pattern
        r" ?[\p{L}\p{M}&&[^\p{Han}]]+",
        r"\p{N}",  # one digit at a time: doses stay comparable
        r" ?[^\s\p{L}\p{M}\p{N}]+",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""Where the tokenizer cuts before it merges."""


class Size(NamedTuple):
    """What a kind of new model is."""

    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int
    key_heads: int


# Weights without embeddings: layers x (2 x hidden x (hidden + key_heads x head size) + 3 x hidden x inner).
SIZES = {
    "new:tiny": Size(4_096, 128, 384, 4, 4, 2),  # 0.8 million, and 0.5 million of embeddings
    "new:100m": Size(16_384, 768, 2_944, 12, 12, 4),  # 100 million, and 12.6 million of embeddings
}


def make_new(kind: str, texts: Iterable[str], folder: Path, seed: int) -> None:
    """Write tokenizer and model of a kind (new:tiny, new:100m) into a folder; `texts` are read once, and not kept.

    The tokenizer has no chat template yet. Its vocabulary is smaller where the texts hold no more repeated pieces.
    """
    import torch
    import transformers
    from transformers.utils.logging import disable_progress_bar

    tokenizer = _tokenizer(texts, SIZES[kind].vocabulary)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.Qwen3ForCausalLM(_config(SIZES[kind], tokenizer))
    disable_progress_bar()  # of the files being written
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def _tokenizer(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerBase":
    """Byte-level BPE: every text comes back as it was, so nothing is normalised."""
    import transformers
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[END_OF_TEXT, TURN_STARTS, TURN_ENDS],
        max_token_length=24,  # bytes: 8 Chinese characters; past that, a small vocabulary goes to whole repeated clauses
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces,
        eos_token=TURN_ENDS,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN_STARTS],
        model_max_length=LONGEST,
        clean_up_tokenization_spaces=False,
    )


def _config(size: Size, tokenizer: "PreTrainedTokenizerBase") -> "Qwen3Config":
    import transformers

    return transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.key_heads,
        head_dim=size.hidden // size.heads,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
