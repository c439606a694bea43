"""What may be wrong with a rendered conversation: each fault has a reason of its own.

It looks at every row before training, so it does the cheap comparison where that is enough, and the whole one where not.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING

from schemas.base import Message
from trainers.engine.templates import Shape, added_tokens, any_of, draw, template_errors

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from trainers.engine.data import Rendered

LOST = "a turn does not survive the template"


class Faults:
    """The faults of renderings by one tokenizer and its chat template."""

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", shape: Shape) -> None:
        self._tokenizer = tokenizer
        self._shape = shape
        self._backend = tokenizer.backend_tokenizer
        self._added = {number: word for word, number in added_tokens(tokenizer).items()}
        self._control = any_of(list(self._added.values()))
        self._refusals = template_errors()
        self._behind = lru_cache(maxsize=4096)(self._tokens_behind)

    def of(self, messages: Sequence[Message], rendered: "Rendered") -> str | None:
        """Why training on this rendering of exactly these messages would teach something wrong, or None."""
        return (
            self._wrongly_marked(messages, rendered)
            or self._unfaithful(messages, rendered)
            or self._endless(rendered)
            or self._unserved(messages, rendered)
            or self._unknown(rendered)
            or self._garbled(rendered)
        )

    def _wrongly_marked(self, messages: Sequence[Message], rendered: "Rendered") -> str | None:
        answers, marked = sum(one.role == "assistant" for one in messages), len(rendered.spans)
        if not any(start < end for start, end in rendered.answers):
            return "nothing is under the loss: the template marks no answer"
        if marked < answers:
            return f"an answer is not under the loss: the template marks {marked} of {answers}"
        if marked > answers:
            return f"more than the answers is under the loss: the template marks {marked} places, answers are {answers}"
        return None

    def _unfaithful(self, messages: Sequence[Message], rendered: "Rendered") -> str | None:
        """Every text is there, in order; the assistant's alone is marked. White space around a text may go."""
        at = answers = 0
        for number, said in enumerate(messages, 1):
            start, end = rendered.spans[answers]  # of the answer that comes next: the last message is one
            content = said.content.strip()
            if said.role == "assistant":
                wrong = self._unframed(rendered.text[start:end], content)
                at, answers = end, answers + 1
            else:
                found = rendered.text.find(content, at, start)
                wrong = _missing(content, rendered.text[start:end]) if found < 0 else None
                at = found + len(content)
            if wrong:
                return f"{wrong}: message {number}, {said.role}"
        return None

    def _unframed(self, written: str, content: str) -> str | None:
        """What is wrong with the text under the loss, which should be the answer in one of the template's frames."""
        for before, after in self._shape.frames:
            framed = written.startswith(before) and written.endswith(after)
            if framed and written[len(before) : len(written) - len(after)].strip() == content:
                return None
        return "more than the answer is under the loss" if content in written else LOST

    def _endless(self, rendered: "Rendered") -> str | None:
        stops = self._shape.stops
        if all(start < end and rendered.ids[end - 1] in stops for start, end in rendered.answers):
            return None
        return "an answer does not end with a stop token under the loss: the model would never learn to stop"

    def _unserved(self, messages: Sequence[Message], rendered: "Rendered") -> str | None:
        """Before each answer stands what a server would send: the same text, and the same tokens.

        An answer that no question precedes is asked of no server.
        """
        asked = next((number for number, one in enumerate(messages) if one.role == "user"), len(messages))
        answers = [number for number, one in enumerate(messages) if one.role == "assistant"]
        checked = [place for place, number in enumerate(answers) if number > asked]
        try:
            prompts = draw(self._tokenizer, [messages[: answers[place]] for place in checked], prompt=True)
        except self._refusals as wrong:
            return f"the template refuses what a server would send: {wrong}"
        for place, prompt in zip(checked, prompts, strict=True):
            if rendered.text[: rendered.spans[place][0]] != prompt.text:
                return f"the served prompt is not how the training text begins: before answer {place + 1}"
            if not self._same_tokens(prompt.text, rendered.ids[: rendered.answers[place][0]]):
                return f"the served prompt has other tokens than the training text: before answer {place + 1}"
        return None

    def _same_tokens(self, prompt: str, ids: list[int]) -> bool:
        """Whether the prompt's tokens are these.

        An added token cuts the text before anything else looks at it, so what stands behind the last one is tokenized
        alike whatever stands before: comparing that much is enough. Earlier answers may have been tokenized at their
        edges as they were generated rather than as a server would read them again.
        """
        behind = list(takewhile(lambda token: token not in self._added, reversed(ids)))[::-1]
        if len(behind) == len(ids):
            return self._encode(prompt) == ids
        last = self._added[ids[-len(behind) - 1]]
        text = prompt[prompt.rfind(last) + len(last) :]
        return self._behind(last, text) == behind or self._encode(prompt) == ids

    def _tokens_behind(self, added: str, text: str) -> list[int]:
        return self._encode(added + text)[1:]

    def _unknown(self, rendered: "Rendered") -> str | None:
        unknown = self._tokenizer.unk_token_id
        if unknown is None or unknown in self._shape.stops or unknown not in rendered.ids:
            return None
        seen = [letter for letter in dict.fromkeys(rendered.text) if unknown in self._encode(letter)]
        return f"unknown tokens: {rendered.ids.count(unknown)} of them, e.g. {''.join(seen[:8])!r}"

    def _garbled(self, rendered: "Rendered") -> str | None:
        """Whether the tokens say something else than the text; white space beside added tokens is left to them."""
        told = self._backend.decode(rendered.ids, skip_special_tokens=False)
        if told == rendered.text:
            return None
        told, text = self._tight(told), self._tight(rendered.text)
        if told == text:
            return None
        at = next((at for at, (one, other) in enumerate(zip(told, text, strict=False)) if one != other), len(told))
        return f"the tokens do not give the text back: {text[at : at + 8]!r} becomes {told[at : at + 8]!r}"

    def _tight(self, text: str) -> str:
        """The text without white space beside added tokens."""
        pieces, at = list[str](), 0
        for found in self._control.finditer(text):
            pieces += [text[at : found.start()].strip(), found[0]]
            at = found.end()
        return "".join([*pieces, text[at:].strip()])

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids


def _missing(content: str, marked: str) -> str:
    return "a question is under the loss" if content in marked else LOST
