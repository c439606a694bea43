"""The one seam between a builder and its teachers: `ask(messages, by=..., shape=..., sample=...)`.

Behind it: the ledger is looked up, the budget reserved, the attempt entered, the endpoint asked and asked again, the
answer made durable, and only then parsed. A builder sees text, a parsed shape, a `Reject`, or an end of the run.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, overload

import pydantic_core
from pydantic import BaseModel, ValidationError

from builders.engine.errors import Reject
from builders.engine.switchboard import Switchboard
from builders.engine.teacher import plain_text
from schemas.base import Message, Record

T = TypeVar("T", bound=BaseModel)

REPAIRS = 2
"""How often an answer in the wrong form is sent back before its seed is rejected."""


class Ask(Protocol):
    """What a builder knows of teachers."""

    @overload
    async def __call__(self, messages: str | Sequence[Message], *, by: str = ..., sample: int = ...) -> str: ...

    @overload
    async def __call__(
        self, messages: str | Sequence[Message], *, by: str = ..., shape: type[T], sample: int = ...
    ) -> T: ...


class ItemList(Record):
    """A shape whose items are checked one by one: an answer that was cut off keeps its complete items."""


class Heard(NamedTuple):
    """One answer that went into a row."""

    key: str
    by: str
    rehearsal: bool
    tokens_in: int
    tokens_out: int
    usd: float | None
    fresh: bool


class Asking:
    """`Ask` for one seed. `heard` lists the answers it got, for the provenance of the rows made from them."""

    def __init__(self, switchboard: Switchboard, *, free: bool = False) -> None:
        self._switchboard = switchboard
        self._free = free
        self.heard: list[Heard] = []

    async def __call__(
        self, messages: str | Sequence[Message], *, by: str = "teacher", shape: type[T] | None = None, sample: int = 0
    ) -> Any:
        """The answer as text, or parsed as `shape`; raises Reject when it stays unusable after being sent back."""
        said = [Message(role="user", content=messages)] if isinstance(messages, str) else list(messages)
        text, finish = await self._say(by, said, shape, sample)
        if shape is None:
            if finish == "length":
                raise Reject("answer cut off", f"at its length limit, after …{text[-30:]}")
            return without_thinking(text)
        for _ in range(REPAIRS):
            try:
                return parsed(text, shape, cut=finish == "length")
            except ValueError as wrong:
                said += [Message(role="assistant", content=text or "(nothing)"), _correction(wrong)]
                text, finish = await self._say(by, said, shape, sample)
        try:
            return parsed(text, shape, cut=finish == "length")
        except ValueError as wrong:
            raise Reject("not in the asked form", one_line(wrong)) from None

    async def _say(
        self, by: str, said: Sequence[Message], shape: type[BaseModel] | None, sample: int
    ) -> tuple[str, str]:
        call = self._switchboard.call(by, said, shape, sample)
        answer, fresh = await self._switchboard.answer(by, call, free=self._free)
        served = str(self._switchboard.teachers[by].served)
        costs = (answer.tokens_in, answer.tokens_out, answer.usd)
        self.heard.append(Heard(call.key, served, answer.rehearsal, *costs, fresh))
        if answer.refused:
            raise Reject("refused by the endpoint", json.loads(answer.body)["refused"])
        choice = json.loads(answer.body)["choices"][0]
        if choice.get("finish_reason") == "content_filter":
            raise Reject("refused by the endpoint", "content filter")
        return plain_text(choice["message"].get("content")), choice.get("finish_reason") or "stop"


def without_thinking(text: str) -> str:
    """What a model says once it has thought aloud, which reasoning models do between <think> and </think>."""
    _, thought, answer = text.rpartition("</think>")
    return answer.lstrip() if thought else text


def parsed(text: str, shape: type[T], *, cut: bool = False) -> T:
    """The JSON object in a model's answer, as `shape`; raises ValueError saying what is wrong with it.

    Code fences and thinking before the object are skipped. A cut or broken ItemList keeps its complete items.
    """
    start = text.find("{", text.rfind("</think>") + 1)
    if start < 0:
        raise ValueError(f"no JSON object in {text[:60]!r}")
    partial = issubclass(shape, ItemList)
    if cut and not partial:
        raise ValueError("the answer was cut off at its length limit")
    try:
        return shape.model_validate(_clean(_decoded(text, start, partial=partial)))
    except RecursionError:
        raise ValueError("the answer is nested without end") from None


def _decoded(text: str, start: int, *, partial: bool) -> Any:
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError:
        if not partial:
            raise
        value = pydantic_core.from_json(text[start:].encode("utf-8", "replace"), allow_partial=True)
    return value


def _clean(value: Any) -> Any:
    """A parsed answer whose texts UTF-8 can hold: escaped half emoji are replaced."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return {plain_text(name): _clean(item) for name, item in value.items()} if isinstance(value, dict) else value


def one_line(wrong: ValueError) -> str:
    """A parse error in one line, naming the field."""
    if isinstance(wrong, ValidationError):
        first = wrong.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc']) or 'answer'}: {first['msg']}"
    return str(wrong).splitlines()[0]


def _correction(wrong: ValueError) -> Message:
    problem = re.sub(r"\s+", " ", one_line(wrong))[:200]
    return Message(role="user", content=f"你的回答不符合要求的格式（{problem}）。请只返回符合格式的 JSON 对象。")
