r"""The text of a row, as `--text` and `--granularity` name it: a column, a path into one, a template, a side of a dialogue.

    text_of("answer", "text", schema, "answers.csv")                    a column
    text_of("messages.-1.content", "text", schema, "chats.jsonl")       a path: names in objects, numbers in lists
    text_of("{instruction}\n{input}", "text", schema, "alpaca.json")    a template; {{ and }} are braces
    text_of("dialogue", "first-turn", schema, "smile.jsonl")            of a list of turns, what the patient opens with

Of a list of turns, `answer` is what neither patient nor system says, and `dialogue` what all but the system say.
"""

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple

from builders.sources.formats.column_types import is_text
from builders.sources.turns import CONTENTS, elements, is_list, turns_in_json, turns_of, turns_type
from schemas.settings import InputError

if TYPE_CHECKING:
    import pyarrow as pa

GRANULARITIES = ("text", "first-turn", "answer", "dialogue")
MARK = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
MOST_SHOWN = 40


class Steps(NamedTuple):
    """A way from a column to a value in it: names in objects, numbers in lists."""

    column: str
    inner: tuple[str | int, ...] = ()


class TextOf:
    """Gives the text of every row of a batch; it can be sent to another process."""

    columns: tuple[str, ...]
    """Top-level columns to read."""

    def __init__(self, pieces: "tuple[str | Steps, ...]", granularity: str, where: str) -> None:
        self.columns = tuple(dict.fromkeys(piece.column for piece in pieces if isinstance(piece, Steps)))
        self._pieces = pieces
        self._granularity = granularity
        self._where = where

    def __call__(self, batch: "pa.RecordBatch") -> "pa.LargeStringArray":
        """The texts, "" where there is none; raises InputError when the values are not what the flags say."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if len(self._pieces) == 1 and isinstance(self._pieces[0], Steps):
            return self._texts(batch, self._pieces[0])
        parts = [
            self._texts(batch, piece) if isinstance(piece, Steps) else pa.scalar(piece, pa.large_string())
            for piece in self._pieces
        ]
        return pc.binary_join_element_wise(*parts, pa.scalar("", pa.large_string()))

    def _texts(self, batch: "pa.RecordBatch", steps: Steps) -> "pa.LargeStringArray":
        values = batch.column(steps.column)
        for step in steps.inner:
            values = _element(values, step) if isinstance(step, int) else _field(values, step)
        if self._granularity == "text":
            return _as_text(values, self._where)
        return _of_turns(values, self._granularity, self._where)


def text_of(text: str, granularity: str, schema: "pa.Schema", where: str, *, flag: str = "--text") -> TextOf:
    """What gives the texts of a table of this schema; raises InputError, which opens with `where`, for a wrong name.

    `flag` is what the user gave `text` with.
    """
    if granularity not in GRANULARITIES:
        raise InputError(f"{where}: --granularity {granularity}: expected one of {', '.join(GRANULARITIES)}")
    where = f"{where}: {flag} {text}"
    if "{" not in text or text in schema.names:
        steps, type = _steps(text, schema, where)
        _check(type, granularity, text, where)
        return TextOf((steps,), granularity, where)
    if granularity != "text":
        raise InputError(f"{where}: --granularity {granularity} is of one column; a template is read as text")
    pieces = _template(text, schema, where)
    return TextOf(pieces, granularity, where)


def _template(text: str, schema: "pa.Schema", where: str) -> tuple[str | Steps, ...]:
    pieces: list[str | Steps] = []
    at = 0
    for mark in MARK.finditer(text):
        pieces.append(text[at : mark.start()].replace("\\n", "\n"))
        at = mark.end()
        if mark[0] in ("{{", "}}"):
            pieces.append(mark[0][0])
        elif mark[1] is None:
            raise InputError(f"{where}: a brace that is not closed; {{{{ and }}}} stand for braces themselves")
        else:
            steps, type = _steps(mark[1], schema, where)
            _check(type, "text", mark[1], where)
            pieces.append(steps)
    pieces.append(text[at:].replace("\\n", "\n"))
    if not any(isinstance(piece, Steps) for piece in pieces):
        raise InputError(f"{where}: a template without a column; expected e.g. {{question}}")
    return tuple(piece for piece in pieces if piece != "")


def _steps(path: str, schema: "pa.Schema", where: str) -> "tuple[Steps, pa.DataType]":
    """The way a dotted path means, and the type at its end."""
    parts = path.split(".")
    for size in range(len(parts), 0, -1):
        column = ".".join(parts[:size])
        if column in schema.names:
            inner, type = _inside(parts[size:], schema.field(column).type, column, where)
            return Steps(column, inner), type
    raise InputError(f"{where}: no column {parts[0]!r}{_closest(path, schema.names)}")


def _inside(
    parts: list[str], type: "pa.DataType", so_far: str, where: str
) -> "tuple[tuple[str | int, ...], pa.DataType]":
    from pyarrow import types

    if not parts:
        return (), type
    if is_list(type):
        if not re.fullmatch(r"-?\d+", parts[0]):
            raise InputError(f"{where}: {so_far} is a list; name one element by its number, e.g. {so_far}.0.{parts[0]}")
        inner, end = _inside(parts[1:], type.value_type, f"{so_far}.{parts[0]}", where)
        return (int(parts[0]), *inner), end
    if not types.is_struct(type):
        raise InputError(f"{where}: {so_far} is {type}, and nothing is inside it")
    names = [field.name for field in type]
    for size in range(len(parts), 0, -1):
        name = ".".join(parts[:size])
        if name in names:
            inner, end = _inside(parts[size:], type.field(name).type, f"{so_far}.{name}", where)
            return (name, *inner), end
    raise InputError(f"{where}: no {parts[0]!r} in {so_far}{_closest(parts[0], names, so_far)}")


def _check(type: "pa.DataType", granularity: str, path: str, where: str) -> None:
    """Raise InputError for a type that holds no text of this granularity."""
    from pyarrow import types

    turns = turns_type(type)
    if granularity != "text":
        if turns is None and not types.is_null(type) and not _is_plain_text(type):
            raise InputError(f"{where}: {path} is {_short(type)}, no list of turns{_way_in(type, path)}")
    elif turns in ("objects", "beside"):
        raise InputError(
            f"{where}: the column is a list of turns: choose --granularity first-turn, answer or dialogue{_way_in(type, path)}"
        )
    elif turns is None and not _has_text(type):
        raise InputError(f"{where}: {path} is {_short(type)}, no text{_way_in(type, path)}")


def _is_plain_text(type: "pa.DataType") -> bool:
    from pyarrow import types

    return is_text(type) or types.is_binary(type) or types.is_large_binary(type) or types.is_binary_view(type)


def _has_text(type: "pa.DataType") -> bool:
    """Whether Arrow can write values of a type as text."""
    import pyarrow as pa
    from pyarrow import types

    try:
        return not types.is_nested(type) and pa.nulls(0, type).cast(pa.large_string()) is not None
    except pa.ArrowNotImplementedError:
        return False


def _way_in(type: "pa.DataType", path: str) -> str:
    """A dotted path to suggest: to the content of a first turn, or to the first text inside."""
    from pyarrow import types

    way = path
    while types.is_nested(type) and type.num_fields and not types.is_map(type):
        fields = [type.field(number) for number in range(type.num_fields)]
        said = [field for field in fields if field.name in CONTENTS] or [f for f in fields if is_text(f.type)] or fields
        way += ".0" if is_list(type) else f".{said[0].name}"
        type = said[0].type
    return f"; name a text inside, e.g. {way}" if way != path else ""


def _short(type: "pa.DataType") -> str:
    said = str(type)
    return said if len(said) <= MOST_SHOWN else said[:MOST_SHOWN] + "…"


def _closest(name: str, names: list[str], inside: str = "") -> str:
    close = difflib.get_close_matches(name, names, 1)
    prefix = f"{inside}." if inside else ""
    known = ", ".join(names[:MOST_SHOWN]) + (" …" if len(names) > MOST_SHOWN else "")
    return (f"; did you mean {prefix}{close[0]}?" if close else "") + f"; there are: {known}"


def _element(lists: "pa.Array", number: int) -> "pa.Array":
    """One element of every list, counted from its end when negative; null where the list is too short."""
    import numpy as np
    import pyarrow as pa

    lengths, flat = elements(lists)
    starts = np.cumsum(lengths) - lengths
    there = (number < lengths) & (-lengths <= number)
    return flat.take(pa.array(starts + number + (lengths if number < 0 else 0), mask=~there))


def _field(objects: "pa.Array", name: str) -> "pa.Array":
    import pyarrow.compute as pc

    return pc.struct_field(objects, [name])


def _as_text(values: "pa.Array", where: str) -> "pa.LargeStringArray":
    import pyarrow as pa

    if is_list(values.type):
        lengths, _ = elements(values)
        if len(lengths) and lengths.max() > 1:
            raise InputError(
                f"{where}: a list of up to {lengths.max()} texts: choose --granularity first-turn, answer or dialogue, if"
                " patient and doctor take turns in it, or name one of them by its number, after a dot"
            )
        values = _element(values, 0)
    try:
        texts = values.cast(pa.large_string())
        return texts.fill_null("") if texts.null_count else texts  # it imports pandas, which costs a tenth of a second
    except pa.ArrowInvalid:  # bytes that are not UTF-8
        whole = [value and value.decode(errors="replace") for value in values.to_pylist()]
        return pa.array(whole, pa.large_string()).fill_null("")


def _of_turns(values: "pa.Array", granularity: str, where: str) -> "pa.LargeStringArray":
    from pyarrow import types

    if types.is_null(values.type):
        return _as_text(values, where)
    if turns_type(values.type) is None:
        values = turns_in_json(_as_text(values, where), where)
    turns = turns_of(values, where)
    if turns.strangers and granularity != "dialogue":
        seen = ", ".join(turns.strangers[:MOST_SHOWN])
        raise InputError(f"{where}: who is the patient? No role in it is one we know: {seen}")
    sides = {"first-turn": turns.first_asked, "answer": turns.answers, "dialogue": turns.said}
    return sides[granularity]()
