r"""The one renderer and the one loss mask: a conversation as a model is trained on it, asked with it and scored by it.

<|im_start|>user\n胃疼怎么办？<|im_end|>\n<|im_start|>assistant\n【先做胃镜。<|im_end|>】\n      【…】 is under the loss
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from schemas.base import Message
from schemas.settings import InputError
from trainers.engine.faults import Faults
from trainers.engine.templates import Drawn, added_tokens, answer_shape, any_of, draw, template_errors

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerFast

AT_ONCE = 2048  # conversations a tokenizer call takes: every core has enough to do, and offsets do not fill the memory
IGNORED = -100  # label of a token outside the loss, as torch's cross entropy has it
INVERSE, PLAIN = "\x1b[7m", "\x1b[0m"
UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Unfit(Exception):
    """A conversation that cannot be trained on as it is: a short stable reason, then ": " and what was seen."""


class Rendered(NamedTuple):
    """A conversation as text and as tokens."""

    text: str
    ids: list[int]
    answers: list[tuple[int, int]]
    """Tokens under the loss, one pair an answer, end exclusive: from its first token to its end-of-turn token."""
    dropped: int
    """Messages left out: questions nobody answered at the end, and the oldest ones, to fit."""
    spans: list[tuple[int, int]]
    """The characters of `text` that `answers` are the tokens of."""

    def labels(self) -> list[int]:
        """The ids under the loss, -100 elsewhere."""
        labels = [IGNORED] * len(self.ids)
        for start, end in self.answers:
            labels[start:end] = self.ids[start:end]
        return labels


class Renderer:
    """Conversations to tokens, by the chat template that the tokenizer has when this is made.

    Text is data: a conversation in which somebody typed a control token, or the words that open a turn, is Unfit.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerFast", *, max_length: int | None = None) -> None:
        if not tokenizer.is_fast:
            raise InputError(
                f"--model {tokenizer.name_or_path}: its tokenizer is a slow one, which cannot say where a token lies in "
                "the text; save it as tokenizer.json first"
            )
        if not tokenizer.chat_template:
            raise InputError(f"--model {tokenizer.name_or_path}: it has no chat template; name one with --template")
        self.tokenizer = tokenizer
        self._max_length = max_length
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_truncation()
        self._backend.no_padding()
        self._shape = answer_shape(tokenizer)
        self._added = {number: word for word, number in added_tokens(tokenizer).items()}
        self._typed = any_of([*control_words(tokenizer), *self._shape.speakers])
        self._refusals = template_errors()
        self._faults = Faults(tokenizer, self._shape)

    @property
    def stops(self) -> tuple[int, ...]:
        """Ids of the tokens that end an answer."""
        return self._shape.stops

    def render(self, messages: Sequence[Message]) -> Rendered:
        """One conversation; raises Unfit."""
        verdict = self.render_many([messages])[0]
        if isinstance(verdict, Unfit):
            raise verdict
        return verdict

    def render_many(self, conversations: Sequence[Sequence[Message]]) -> list[Rendered | Unfit]:
        """Many conversations, in their order; the tokenizer runs on every core."""
        verdicts: list[Rendered | Unfit] = []
        for start in range(0, len(conversations), AT_ONCE):
            verdicts += self._render_some(conversations[start : start + AT_ONCE])
        return verdicts

    def prompt(self, messages: Sequence[Message], room: int | None = None) -> list[int]:
        """Token ids that a server gives the model for these messages, the opening of its answer included.

        Oldest turns go until it fits `room` tokens; raises Unfit when the last turn alone does not.
        """
        self._check_texts(messages)
        system, turns = _exchanges(messages)

        def ids(dropped: int) -> list[int]:
            kept = [*system, *(one for turn in turns[dropped:] for one in turn)]
            return self._encode(self._draw_one(kept, prompt=True).text)

        whole = ids(0)
        if room is None or len(whole) <= room:
            return whole
        last = max(0, len(turns) - 1)
        if len(shortest := ids(last)) > room:
            raise Unfit(f"longer than the room for a prompt: {len(shortest)} tokens of {room}")
        return ids(bisect_left(range(last), True, key=lambda dropped: len(ids(dropped)) <= room))

    def faults(self, messages: Sequence[Message], rendered: Rendered) -> str | None:
        """Why training on this rendering of `messages` would teach something wrong; None when it would not."""
        kept = _kept(messages, rendered.dropped)
        return self._faults.of(kept, rendered)

    def marked(self, rendered: Rendered, *, ansi: bool = False) -> str:
        """The text for people to read, with what is under the loss in 【…】, or in inverse video."""
        opening, closing = (INVERSE, PLAIN) if ansi else ("【", "】")
        pieces, at = list[str](), 0
        for start, end in rendered.spans:
            pieces += [_shown(rendered.text[at:start]), opening, _shown(rendered.text[start:end]), closing]
            at = end
        return "".join([*pieces, _shown(rendered.text[at:])])

    def _render_some(self, conversations: Sequence[Sequence[Message]]) -> list[Rendered | Unfit]:
        answered = [_kept(messages, 0) for messages in conversations]
        drawn = self._draw_all(answered)
        texts = [one.text for one in drawn if isinstance(one, Drawn)]
        encodings = iter(self._backend.encode_batch(texts, add_special_tokens=False))
        verdicts: list[Rendered | Unfit] = []
        for messages, kept, one in zip(conversations, answered, drawn, strict=True):
            if isinstance(one, Unfit):
                verdicts.append(one)
                continue
            rendered = self._read(one, next(encodings), len(messages) - len(kept))
            verdicts.append(rendered if self._fits(rendered) else self._shortened(kept, rendered))
        return verdicts

    def _draw_all(self, conversations: Sequence[Sequence[Message]]) -> list[Drawn | Unfit]:
        """Every conversation drawn; one template call for all of them, unless it trips over one."""
        verdicts = [self._unfit(messages) for messages in conversations]
        fit = [messages for messages, verdict in zip(conversations, verdicts, strict=True) if verdict is None]
        try:
            drawn = iter(draw(self.tokenizer, fit))
            return [verdict or next(drawn) for verdict in verdicts]
        except self._refusals:
            return [verdict or self._attempt(one) for verdict, one in zip(verdicts, conversations, strict=True)]

    def _attempt(self, messages: Sequence[Message]) -> Drawn | Unfit:
        try:
            return self._draw_one(messages)
        except Unfit as verdict:
            return verdict

    def _draw_one(self, messages: Sequence[Message], *, prompt: bool = False) -> Drawn:
        try:
            return draw(self.tokenizer, [messages], prompt=prompt)[0]
        except self._refusals as wrong:
            raise Unfit(f"the template refuses it: {wrong}") from None

    def _unfit(self, messages: Sequence[Message]) -> Unfit | None:
        if not any(one.role == "assistant" for one in messages):
            return Unfit("no answer: nobody writes as assistant")
        try:
            self._check_texts(messages)
        except Unfit as verdict:
            return verdict
        return None

    def _check_texts(self, messages: Sequence[Message]) -> None:
        for number, one in enumerate(messages, 1):
            if not one.content.strip():
                raise Unfit(f"an empty turn: message {number}, {one.role}")
            if typed := self._typed.search(one.content):
                raise Unfit(f"holds a control token of the template: {typed[0]!r} in message {number}, {one.role}")

    def _read(self, drawn: Drawn, encoding: "Encoding", dropped: int) -> Rendered:
        spans = [self._trimmed(drawn.text, *span) for span in drawn.spans]
        ids: list[int] = encoding.ids
        answers = []
        for start, end in spans:
            first, past = self._edge(encoding, start), self._edge(encoding, end, after=True)
            if first is None or past is None:
                return self._pieced(drawn.text, spans, dropped)
            answers.append((first, past))
        return Rendered(drawn.text, ids, answers, dropped, spans)

    def _trimmed(self, text: str, start: int, end: int) -> tuple[int, int]:
        """The span without what the prompt gives already, and without white space behind the end of the turn."""
        skip, rest = self._shape.skip, self._shape.rest
        start += len(skip) if text.startswith(skip, start) else 0
        return start, end - (len(rest) if rest and text.endswith(rest, start, end) else 0)

    def _edge(self, encoding: "Encoding", at: int, *, after: bool = False) -> int | None:
        """The token that begins at this character; None when one lies across it.

        Bytes of one character share its offsets, and the first of them is found. A control token may swallow the
        white space `after` it: the edge is then behind that token.
        """
        found: int | None = encoding.char_to_token(at)
        if found is None:
            return len(encoding.ids) if _end(encoding) <= at else None
        first, _ = encoding.token_to_chars(found) or (None, None)
        if first == at:
            return found
        return found + 1 if after and encoding.ids[found] in self._added else None

    def _pieced(self, text: str, spans: list[tuple[int, int]], dropped: int) -> Rendered:
        """Tokens as generation sees them: those of the prompt, then those of the answer, none across the edge."""
        ids, answers, at = list[int](), list[tuple[int, int]](), 0
        for start, end in spans:
            ids += self._encode(text[at:start])
            answers.append((len(ids), len(ids) + len(answer := self._continued(text[start:end]))))
            ids += answer
            at = end
        return Rendered(text, ids + self._encode(text[at:]), answers, dropped, spans)

    def _continued(self, text: str) -> list[int]:
        """Tokens of a text that stands behind another: some tokenizers put a space before whatever comes first."""
        line, behind = self._encode("\n"), self._encode("\n" + text)
        return behind[len(line) :] if behind[: len(line)] == line else self._encode(text)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def _fits(self, rendered: Rendered) -> bool:
        return self._max_length is None or len(rendered.ids) <= self._max_length

    def _shortened(self, kept: Sequence[Message], whole: Rendered) -> Rendered | Unfit:
        """The conversation with as few of its oldest exchanges left out as makes it fit."""
        system, turns = _exchanges(kept)

        def without(dropped: int) -> Rendered:
            gone = sum(map(len, turns[:dropped]))
            drawn = self._draw_one([*system, *(one for turn in turns[dropped:] for one in turn)])
            encoding = self._backend.encode(drawn.text, add_special_tokens=False)
            return self._read(drawn, encoding, whole.dropped + gone)

        try:
            last = without(len(turns) - 1)
            if not self._fits(last):
                return Unfit(f"longer than max_length: {len(last.ids)} tokens of {self._max_length}")
            fewest = bisect_left(range(len(turns) - 1), True, lo=1, key=lambda dropped: self._fits(without(dropped)))
            return without(fewest)
        except Unfit as verdict:
            return verdict


def _end(encoding: "Encoding") -> int:
    """The character behind the last token."""
    _, end = encoding.token_to_chars(len(encoding.ids) - 1) or (0, 0)
    return end


def control_words(tokenizer: "PreTrainedTokenizerFast") -> list[str]:
    """The added tokens that steer a model: the special ones, and those that the template writes."""
    template = tokenizer.get_chat_template()
    return [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content in template and not token.content.isspace())
    ]


def _shown(text: str) -> str:
    """Text for a terminal: what would move its cursor, colour it or turn it round is written as its code."""
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _exchanges(messages: Sequence[Message]) -> tuple[list[Message], list[list[Message]]]:
    """System messages at the start, and the rest cut before every question that follows an answer."""
    system = list(takewhile(lambda one: one.role == "system", messages))
    turns: list[list[Message]] = []
    before = "assistant"
    for one in messages[len(system) :]:
        if not turns or (before == "assistant" and one.role != "assistant"):
            turns.append([])
        turns[-1].append(one)
        before = one.role
    return system, turns


def _kept(messages: Sequence[Message], dropped: int) -> list[Message]:
    """The messages without unanswered ones at the end and, as part of `dropped`, the oldest ones."""
    answered = max((number for number, one in enumerate(messages, 1) if one.role == "assistant"), default=len(messages))
    kept = list(messages[:answered])
    oldest = max(0, dropped - (len(messages) - answered))
    system = len(list(takewhile(lambda one: one.role == "system", kept)))
    return kept[:system] + kept[system + oldest :]
