"""Tokenizers trained on the spot: one that knows every byte, one that knows only the characters it was shown."""

import re
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

ENDOFTEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
UNKNOWN, EOS, PAD = "<unk>", "</s>", "<pad>"
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CLINIC = (
    "胃疼怎么办？先做胃镜，再按结果用药。",
    "医生您好，我胃疼三天了，吃完饭更疼。多久了？疼在哪里？饭前疼还是饭后疼？",
    "血压150/95 mmHg要吃药吗？请先测一周血压，少盐，睡好。\n如果仍高，再来门诊。",
    "My stomach hurts after meals. Please see a doctor; drink warm water.\nuser assistant system",
)


def byte_level(texts: Sequence[str] = CLINIC, *, added: Sequence[str] = (), size: int = 400) -> PreTrainedTokenizerFast:
    """Byte-level BPE with Qwen's way of cutting words: any text goes through, a character may be several tokens.

    <|endoftext|> is 0 and both eos and pad, <|im_start|> is 1, <|im_end|> is 2, `added` follow, then the 256 bytes.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [ENDOFTEXT, IM_START, IM_END, *added]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=size + len(added), special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=ENDOFTEXT, pad_token=ENDOFTEXT, name_or_path="toy/byte-level"
    )


def with_unknown(
    texts: Sequence[str] = CLINIC, *, lower: bool = False, added: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """BPE over characters: what it was never shown is <unk>. `lower` folds case, as some encoders' tokenizers do."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase() if lower else normalizers.Sequence([])
    tokenizer.decoder = decoders.Fuse()
    special = [UNKNOWN, EOS, PAD, *added]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, unk_token=UNKNOWN, name_or_path="toy/with-unknown"
    )


def spaced(texts: Sequence[str] = CLINIC) -> PreTrainedTokenizerFast:
    """BPE as in Llama: a space before whatever comes first, ▁ for spaces, bytes for what it was never shown."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=True, fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = [UNKNOWN, "<s>", EOS, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=600, special_tokens=special, show_progress=False)
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token=EOS, unk_token=UNKNOWN, name_or_path="toy/spaced"
    )


def of_words(
    words: Sequence[str], *, special: Sequence[str] = (UNKNOWN, EOS, PAD, IM_START, IM_END)
) -> PreTrainedTokenizerFast:
    """A token a word: the id is the place in `special` followed by `words`, so ids can be written by hand."""
    tokenizer = Tokenizer(
        models.WordLevel({word: number for number, word in enumerate([*special, *words])}, unk_token=UNKNOWN)
    )
    longest_first = sorted(words, key=len, reverse=True)
    cut = "|".join(map(re.escape, longest_first))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{cut}|[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(special))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=EOS, unk_token=UNKNOWN, name_or_path="toy/of-words"
    )
