"""Which chat template a model is trained and served with, and what that template puts around an answer.

A template that can be trained marks what the model writes with {% generation %} … {% endgeneration %}.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from schemas.base import Message
from schemas.settings import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).with_name("chat_templates")
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
MARKS = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
PADS = ("<|endoftext|>", "<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>", "<PAD>")
PROBE = (
    Message(role="user", content="第一句问话"),
    Message(role="assistant", content="第一句答话"),
    Message(role="user", content="第二句问话"),
    Message(role="assistant", content="第二句答话"),
)


class Template(NamedTuple):
    """A chat template and the name people know it by."""

    name: str
    text: str


class Drawn(NamedTuple):
    """A conversation as text, and the characters between generation marks, end exclusive."""

    text: str
    spans: list[tuple[int, int]]


class Shape(NamedTuple):
    """What a template puts around texts, learnt from four turns that cannot be mistaken."""

    skip: str
    """What the marks hold of the generation prompt: given to the model, so not for it to write."""
    rest: str
    """White space that the marks hold behind the end-of-turn token: nobody asks the model for it."""
    frames: frozenset[tuple[str, str]]
    """What the model writes before and after the answer's own text, e.g. ("", "<|im_end|>")."""
    stops: tuple[int, ...]
    """Ids of the tokens that end an answer, the one of the last answer first; none when the marks leave them out."""
    speakers: tuple[str, ...]
    """Plain words that open a turn, e.g. <病人>：; empty where control tokens do."""


def choose_template(tokenizer: "PreTrainedTokenizerFast", wanted: str) -> Template:
    """The template that `wanted` (auto, own, chatml, huatuo, huatuo2, ziya, FILE.jinja) means for this tokenizer.

    Raises InputError when there is no such template or the tokenizer cannot use it.
    """
    if wanted == "auto":
        return _automatic(tokenizer)
    if wanted == "own":
        return _own(tokenizer)
    if wanted in _shipped():
        _check_tokens(tokenizer, wanted)
        return _shipped_template(wanted)
    return _from_file(wanted)


def adopt(tokenizer: "PreTrainedTokenizerFast", template: Template) -> tuple[int, ...]:
    """Give the tokenizer this template for good, with an eos and a pad token that suit it; ids that end an answer.

    The end-of-turn token becomes the eos token, so that whoever serves the model stops there; padding is another
    token where the vocabulary has one.
    """
    tokenizer.chat_template = template.text
    stops = answer_shape(tokenizer).stops
    if not stops:
        raise InputError(
            f"--template {template.name}: no end-of-turn token between its generation marks: "
            "a model would never learn to stop"
        )
    if tokenizer.eos_token_id not in stops and "eos_token" not in template.text:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(stops[0])
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in (tokenizer.eos_token_id, *stops):
        vocabulary = tokenizer.get_vocab()
        taken = {tokenizer.eos_token_id, *stops}
        pads = [pad for pad in PADS if vocabulary.get(pad, tokenizer.eos_token_id) not in taken]
        tokenizer.pad_token = pads[0] if pads else tokenizer.eos_token
    if template.name != "own":
        tokenizer.response_template = _response(tokenizer, stops)
    return stops


def _response(tokenizer: "PreTrainedTokenizerFast", stops: Sequence[int]) -> dict[str, Any]:
    """Where `transformers serve` finds the answer in what was generated; travels in tokenizer_config.json.

    Without it the server goes by the architecture: of any Qwen it expects ChatML, and else gives the prompt back with the
    answer. A model's own template may bring thinking or tools, and is left as it is.
    """
    prompt = draw(tokenizer, [PROBE[:1]], prompt=True)[0].text
    ends = "|".join(re.escape(str(tokenizer.convert_ids_to_tokens(stop))) for stop in stops)
    return {
        "defaults": {"role": "assistant"},
        "start_anchor": prompt.rpartition(PROBE[0].content)[2],
        "fields": {"content": {"close_pattern": rf"\s*(?:{ends})", "content": "text"}},
    }


def draw(
    tokenizer: "PreTrainedTokenizerFast", conversations: Sequence[Sequence[Message]], *, prompt: bool = False
) -> list[Drawn]:
    """Conversations as the tokenizer's template writes them; with `prompt`, up to where the model goes on.

    Raises one of `template_errors()` when the template refuses one of them.
    """
    from transformers.utils.chat_template_utils import render_jinja_template

    texts, spans = render_jinja_template(
        conversations=[[{"role": one.role, "content": one.content} for one in said] for said in conversations],
        chat_template=tokenizer.get_chat_template(),
        return_assistant_tokens_mask=not prompt,
        add_generation_prompt=prompt,
        **tokenizer.special_tokens_map,
    )
    return [Drawn(text, _joined(marked)) for text, marked in zip(texts, spans or [[]] * len(texts), strict=True)]


def template_errors() -> tuple[type[Exception], ...]:
    """What a template raises that refuses a conversation, or trips over it."""
    from jinja2 import TemplateError

    return (TemplateError, TypeError, ValueError)


def added_tokens(tokenizer: "PreTrainedTokenizerFast") -> dict[str, int]:
    """Tokens that are cut out of a text before it is tokenized, with their ids."""
    return {token.content: number for number, token in tokenizer.added_tokens_decoder.items()}


def any_of(words: Sequence[str]) -> re.Pattern[str]:
    """A pattern that matches any of these words, the longest first; with no words, nothing."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def answer_shape(tokenizer: "PreTrainedTokenizerFast") -> Shape:
    """What the tokenizer's template puts around answers and questions; raises InputError when it cannot draw any."""
    try:
        drawn = draw(tokenizer, [PROBE])[0]
        prompt = draw(tokenizer, [PROBE[:1]], prompt=True)[0].text
    except template_errors() as wrong:
        raise InputError(f"--template: it cannot draw a question and an answer: {wrong}") from None
    added = added_tokens(tokenizer)
    written = [_around(drawn, span, said.content) for span, said in zip(drawn.spans, PROBE[1::2], strict=False)]
    whole = [pair for pair in written if pair is not None]
    if not whole:
        return Shape("", "", frozenset(), (), ())
    skip = _given(drawn, prompt, whole[0][0])
    ends = [_white_behind(after, list(added)) for _, after in whole]
    rest = next(filter(None, ends), "")
    frames = [(before.removeprefix(skip), after.removesuffix(rest)) for before, after in whole]
    last_first = [word for _, after in reversed(frames) for word in added if after.endswith(word)]
    stops = tuple(dict.fromkeys(added[word] for word in last_first))
    return Shape(skip, rest, frozenset(frames), stops, _speakers(drawn, list(added)))


def _around(drawn: Drawn, span: tuple[int, int], content: str) -> tuple[str, str] | None:
    """What stands before and after `content` between the marks; None when it is not there."""
    before, found, after = drawn.text[slice(*span)].partition(content)
    return (before, after) if found else None


def _given(drawn: Drawn, prompt: str, before: str) -> str:
    """What the first marks hold of the generation prompt."""
    start = drawn.spans[0][0]
    held = len(prompt) - start
    return before[:held] if drawn.text.startswith(prompt) and 0 < held <= len(before) else ""


def _white_behind(after: str, added: list[str]) -> str:
    """White space that follows the last added token of a text."""
    ends = [found.end() for found in any_of(added).finditer(after)]
    white = after[ends[-1] :] if ends else ""
    return white if white.isspace() else ""


def _speakers(drawn: Drawn, added: list[str]) -> tuple[str, ...]:
    """Plain words around the second question; two characters are too common to be told from speech."""
    question = drawn.text.find(PROBE[2].content)
    if question < 0 or len(drawn.spans) != len(PROBE) // 2 or not drawn.spans[0][1] <= question < drawn.spans[1][0]:
        return ()
    before = drawn.text[drawn.spans[0][1] : question].strip()
    after = drawn.text[question + len(PROBE[2].content) : drawn.spans[1][0]].strip()
    control = any_of(added)
    return tuple(word for word in (before, after) if len(word) > 2 and not control.search(word))


def _automatic(tokenizer: "PreTrainedTokenizerFast") -> Template:
    try:
        return _own(tokenizer)
    except InputError as wrong:
        if all(_is_one_token(tokenizer, token) for token in CHATML_TOKENS):
            return _shipped_template("chatml")
        if tokenizer.chat_template:
            raise
        named = ", ".join(_shipped())
        raise InputError(f"{wrong}; name one with --template: {named}, or a .jinja file") from None


def _own(tokenizer: "PreTrainedTokenizerFast") -> Template:
    if not tokenizer.chat_template:
        raise InputError(f"--model {tokenizer.name_or_path}: it has no chat template")
    text = tokenizer.get_chat_template()
    if MARKS.search(text):
        return Template("own", text)
    from trl.chat_template_utils import get_training_chat_template

    try:
        return Template("own", get_training_chat_template(tokenizer))
    except template_errors():
        raise InputError(
            f"--model {tokenizer.name_or_path}: its own chat template has no generation marks and is none that is known; "
            f"name another with --template: {', '.join(_shipped())}, or a .jinja file with marks"
        ) from None


def _shipped() -> list[str]:
    return sorted(file.stem for file in FOLDER.glob("*.jinja"))


def _shipped_template(name: str) -> Template:
    return Template(name, (FOLDER / f"{name}.jinja").read_text(encoding="utf-8"))


def _check_tokens(tokenizer: "PreTrainedTokenizerFast", name: str) -> None:
    if name != "chatml" and tokenizer.eos_token is None:
        raise InputError(
            f"--template {name}: {tokenizer.name_or_path} has no end-of-sequence token to end an answer with"
        )
    for token in CHATML_TOKENS if name == "chatml" else ():
        if not _is_one_token(tokenizer, token):
            raise InputError(f"--template chatml: {token} is no token in the vocabulary of {tokenizer.name_or_path}")


def _is_one_token(tokenizer: "PreTrainedTokenizerFast", token: str) -> bool:
    return token in added_tokens(tokenizer)


def _from_file(wanted: str) -> Template:
    from jinja2 import TemplateSyntaxError
    from transformers.utils.chat_template_utils import _compile_jinja_template

    path = Path(wanted)
    if path.suffix != ".jinja" and not path.is_file():
        known = ", ".join(("auto", "own", *_shipped()))
        raise InputError(f"--template: expected {known} or a .jinja file, got {wanted!r}")
    try:
        text = path.read_text(encoding="utf-8")
        _compile_jinja_template(text)
    except OSError as wrong:
        raise InputError(f"--template {wanted}: {wrong.strerror or wrong}") from None
    except UnicodeDecodeError as wrong:
        raise InputError(f"--template {wanted}: not UTF-8 text (byte {wrong.start})") from None
    except TemplateSyntaxError as wrong:
        raise InputError(f"--template {wanted}: line {wrong.lineno}: {wrong.message}") from None
    if not MARKS.search(text):
        raise InputError(
            f"--template {wanted}: it has no {{% generation %}} marks around what the model writes, nothing would be learnt"
        )
    return Template(path.stem, text)


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Marks that touch are one answer."""
    joined: list[tuple[int, int]] = []
    for start, end in spans:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
