r"""One raw row of any chat layout as the messages a model learns from, or the reason why it is none.

{"messages": [{"role": "user", "content": "…"}, …]}              releases of ours, OpenAI, TRL
{"conversations": [{"from": "human", "value": "…"}, …]}          ShareGPT, Vicuna, MedicalGPT, BELLE 3.5M
{"instruction": "…", "input": "", "output": "…", "history": …}   Alpaca, BELLE, LLaMA-Factory
{"instruction": "Human:…\nAssistant:…\nHuman:…\nAssistant:", "output": "…"}   BELLE, several turns
{"prompt": "…", "completion": "…"}                               TRL; texts, or lists of messages
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from builders.sources import alpaca
from builders.sources.fields import columns, kind, text
from builders.sources.known import CASE_FORMATS, detect
from builders.sources.raw_rows import first_rows, mostly
from builders.sources.turns import ANSWERING, ASKING, KNOWN, SYSTEM
from builders.sources.webmedqa import first_rows as first_lines
from schemas.base import Message
from schemas.settings import InputError

Role = Literal["system", "user", "assistant"]
ROLES: dict[int, Role] = {SYSTEM: "system", ASKING: "user", ANSWERING: "assistant"}
LABEL = re.compile(r"(?:^|\n)\s*(Human|Assistant)\s*[:：]")
MOST_SHOWN = 20
UNREADABLE = "unreadable"
"""What the reason of such a row begins with, and is counted by."""


class Conversation(NamedTuple):
    """A row to learn from."""

    place: str
    """File and row, for people: `belle.jsonl: row 12`."""
    cluster: str
    """Key of its near-duplicate cluster; "" when nobody has looked."""
    messages: tuple[Message, ...]


class Unreadable(NamedTuple):
    """A row that nothing can be learnt from."""

    place: str
    reason: str
    """`unreadable: ` and what is wrong with it."""


class Layout(NamedTuple):
    """How the rows of a table hold conversations."""

    name: str
    columns: tuple[str, ...]
    """Those it may read; a table need not have all."""
    fits: Callable[[Mapping[str, Any]], bool]
    """Whether a row looks like one of these."""
    said: Callable[[Mapping[str, Any]], Iterable[tuple[Any, Any]]]
    """(role, content) pairs as the row has them; raises ValueError as `FIELD: what is wrong`."""


def messages_of(row: Mapping[str, Any], layout: Layout) -> tuple[Message, ...]:
    """The messages of a row, their edges stripped; raises ValueError, in words, when it cannot be learnt from."""
    said = tuple(_message(number, *turn) for number, turn in enumerate(layout.said(row), 1))
    if not any(message.role == "assistant" for message in said):
        raise ValueError("no assistant turn" if said else "nothing is said in it")
    if not any(message.role == "user" for message in said):
        raise ValueError("no question: nobody but the assistant speaks")
    return said


def _message(number: int, role: Any, content: Any) -> Message:
    side = KNOWN.get(str(role).strip().lower())
    if side is None:
        raise ValueError(f"message {number}: the role {role!r} is neither system, user nor assistant")
    words = "" if content is None else content
    if not isinstance(words, str):
        raise ValueError(f"message {number} ({ROLES[side]}): expected a text, got {kind(words)}")
    if not (words := words.strip()):
        raise ValueError(f"message {number} ({ROLES[side]}): empty")
    return Message(role=ROLES[side], content=words)


def first_asked(messages: Sequence[Message]) -> str:
    """The first user's words, by which conversations are alike; without any, the first that are no instruction."""
    by_role = {message.role: message.content for message in reversed(messages)}
    return by_role.get("user") or by_role.get("assistant", "")


def _listed(row: Mapping[str, Any], name: str) -> list[tuple[Any, Any]]:
    """(role, content) of the objects that a field lists, perhaps as JSON in a text."""
    value = row.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(f"{name}: expected a list of messages, got a text") from None
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        raise ValueError(f"{name}: expected a list of messages, got {kind(value)}")
    return [(_either(turn, "role", "from"), _either(turn, "content", "value")) for turn in value]


def _either(turn: Mapping[str, Any], name: str, other: str) -> Any:
    return turn[name] if turn.get(name) is not None else turn.get(other)


def _sharegpt(row: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    system = text(row, "system") or text(row, "system_prompt")
    return [*_system(system), *_listed(row, "conversations")]


def _alpaca(row: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    asked = [("user", alpaca.question(row))] if text(row, "input") else _labelled(text(row, "instruction"))
    return [*_system(text(row, "system")), *alpaca.history(row), *asked, ("assistant", text(row, "output"))]


def _labelled(instruction: str) -> list[tuple[str, str]]:
    """BELLE's turns before the last answer; any other instruction is one turn of the user."""
    before, *parts = LABEL.split(instruction)
    said = list(zip(parts[::2], parts[1::2], strict=True))
    if before.strip() or [name for name, _ in said[:2]] != ["Human", "Assistant"]:
        return [("user", instruction)]
    open_ended = said[-1][0] == "Assistant" and not said[-1][1].strip()
    return said[:-1] if open_ended else said


def _completed(row: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    sides = (("prompt", "user"), ("completion", "assistant"))
    return [
        turn
        for name, role in sides
        for turn in (_listed(row, name) if isinstance(row.get(name), list) else [(role, row.get(name))])
    ]


def _system(words: str) -> list[tuple[str, str]]:
    return [("system", words)] if words else []


def _of_turns(row: Mapping[str, Any], name: str) -> bool:
    said = row.get(name)
    return isinstance(said, list) and all(isinstance(turn, dict) for turn in said)


MESSAGES = Layout(
    "messages",
    ("messages",),
    lambda row: isinstance(row.get("messages"), list | str),
    lambda row: _listed(row, "messages"),
)
SHAREGPT = Layout(
    "sharegpt",
    ("conversations", "system", "system_prompt"),
    lambda row: _of_turns(row, "conversations"),
    _sharegpt,
)
ALPACA = Layout("alpaca", ("instruction", "input", "output", "system", "history"), alpaca.FORMAT.fits, _alpaca)
COMPLETION = Layout(
    "prompt and completion", ("prompt", "completion"), lambda row: columns(row, "prompt", "completion"), _completed
)
RAW_QUESTIONS = ("toyhom", "webmedqa", "cmedqa2", "huatuo26m")
"""Raw sources of one question and one answer a row."""


def layout_of(name: str) -> Layout:
    """The layout of a table, told from its first rows; raises InputError, in one line, when it has none of ours."""
    rows = first_lines(name) or first_rows(name)
    if not rows:
        raise InputError(f"{name}: the file holds no rows")
    if mostly(MESSAGES.fits, rows):
        return MESSAGES
    source = detect([name])  # a raw source may have Alpaca's columns, too
    if source in (None, "messages", "sharegpt", "alpaca"):
        for layout in (SHAREGPT, ALPACA, COMPLETION):
            if mostly(layout.fits, rows):
                return layout
    raise InputError(f"{name}: {_refusal(source, list(rows[0]))}")


def _refusal(source: str | None, found: Sequence[str]) -> str:
    """Why a table is not trained on, and what makes a release of it."""
    there = ", ".join(found[:MOST_SHOWN]) + (", …" if len(found) > MOST_SHOWN else "")
    needed = f"training needs messages, and the columns are {there}"
    if source is None:
        makes = "builders.polish_qa or builders.curate_dialogues, with --columns, makes a release of it"
        return f"{needed}; conversations, instruction and output, or prompt and completion would do, too; {makes}"
    if source in CASE_FORMATS:
        return f"{needed}: case files ({source}); builders.simulate_dialogues makes a release of them"
    builder = "polish_qa" if source in RAW_QUESTIONS else "curate_dialogues"
    unsafe = "raw rows are not trained on as they are, since nobody has de-identified them"
    return f"{needed}: {source}, and {unsafe}; builders.{builder} makes a release of it"
