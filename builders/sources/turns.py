"""Who says what in a column of dialogues, a million turns at a time: no Python object per row.

A dialogue is a list of {role, content} under any of their usual names, a list of texts in which patient and doctor take
turns, a list of roles beside a list of contents, or the JSON of one of the first two in a text.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from builders.sources.formats.column_types import is_text
from schemas.settings import InputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

ROLES = ("role", "from", "speaker", "participant")
CONTENTS = ("content", "value", "text", "utterance", "sentence")
SYSTEM, ASKING, ANSWERING = 0, 1, 2
SPEAKERS = {
    SYSTEM: "system developer 系统",
    ASKING: "user human patient client seeker usr customer questioner prompter 患者 病人 病患 用户 问 提问者 求助者 来访者",
    ANSWERING: """assistant gpt chatgpt model bot ai sys doctor physician nurse counselor counsellor supporter therapist
        helper agent expert reporter answerer 医生 大夫 护士 助手 答 回答者 咨询师 心理咨询师""",
}
"""Roles by what they do; one that is not here answers, too."""
KNOWN = {name: speaker for speaker, names in SPEAKERS.items() for name in names.split()}


class Turns(NamedTuple):
    """The turns of some dialogues, one after another."""

    dialogue: "npt.NDArray[np.int64]"
    """For each turn, the number of its dialogue."""
    speaker: "npt.NDArray[np.int8]"
    content: "pa.LargeStringArray"
    dialogues: int
    strangers: Sequence[str] = ()
    """The roles there are, when we know none of them."""

    def first_asked(self) -> "pa.LargeStringArray":
        """For each dialogue the first turn of the one who asks."""
        import numpy as np
        import pyarrow as pa

        asked = np.flatnonzero(self.speaker == ASKING)
        first = asked[np.diff(self.dialogue[asked], prepend=-1) != 0]
        at = np.full(self.dialogues, -1)
        at[self.dialogue[first]] = first
        return self.content.take(pa.array(at, mask=at < 0)).fill_null("")

    def answers(self) -> "pa.LargeStringArray":
        """For each dialogue what is said by those who neither ask nor instruct, a turn a line."""
        return self._lines(self.speaker == ANSWERING)

    def said(self) -> "pa.LargeStringArray":
        """For each dialogue what is said, a turn a line, instructions left out."""
        return self._lines(self.speaker != SYSTEM)

    def _lines(self, wanted: "npt.NDArray[np.bool_]") -> "pa.LargeStringArray":
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        kept = np.flatnonzero(wanted & self.content.is_valid().to_numpy(zero_copy_only=False))
        ends = np.cumsum(np.bincount(self.dialogue[kept], minlength=self.dialogues))
        offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
        lists = pa.LargeListArray.from_arrays(offsets, self.content.take(pa.array(kept)))
        return pc.binary_join(lists, pa.scalar("\n", pa.large_string()))


def turns_type(type: "pa.DataType") -> str | None:
    """How a type holds dialogues: `objects`, `texts` or `beside`; None when it does not, as far as a type can tell."""
    from pyarrow import types

    if types.is_struct(type):
        names = _role_and_content(type)
        sides = [type.field(name).type for name in names or ()]
        return "beside" if sides and all(is_list(side) and _is_text(side.value_type) for side in sides) else None
    if not is_list(type):
        return None
    if _is_text(type.value_type):
        return "texts"
    names = _role_and_content(type.value_type) if types.is_struct(type.value_type) else None
    return "objects" if names and all(_is_text(type.value_type.field(name).type) for name in names) else None


def turns_of(array: "pa.Array", where: str) -> Turns:
    """The turns of a column whose type `turns_type` knows; raises InputError when roles and contents do not pair."""
    import numpy as np
    import pyarrow.compute as pc

    how = turns_type(array.type)
    if how == "texts":
        dialogue, texts = _flat(array)
        return Turns(dialogue, _alternating(dialogue), _text(texts), len(array))
    role, content = _role_and_content(array.type if how == "beside" else array.type.value_type) or ("", "")
    if how == "beside":
        dialogue, contents = _flat(pc.struct_field(array, [content]))
        of_role, roles = _flat(pc.struct_field(array, [role]))
        if not np.array_equal(of_role, dialogue):
            raise InputError(f"{where}: not as many {role} as {content} in every dialogue")
    else:
        dialogue, flat = _flat(array)
        roles, contents = pc.struct_field(flat, [role]), pc.struct_field(flat, [content])
    speakers, strangers = _speakers(_text(roles))
    return Turns(dialogue, speakers, _text(contents), len(array), strangers)


def turns_in_json(texts: "pa.Array", where: str) -> "pa.Array":
    """Dialogues written as JSON, as a list column; a text among them that is no dialogue is one turn of the patient.

    Raises InputError when none of the texts is a dialogue.
    """
    import pyarrow as pa

    dialogues: list[list[tuple[str, str | None]]] = []
    plain = lists = 0
    for text in texts.to_pylist():
        turns = _parsed(text) if text and not text.isspace() else []
        plain += turns is None
        lists += bool(turns)
        dialogues.append([("user", text)] if turns is None else turns)
    if plain and not lists:
        raise InputError(f"{where}: plain text, not a list of turns; use --granularity text")
    pair = pa.struct([("role", pa.large_string()), ("content", pa.large_string())])
    return pa.array([[{"role": r, "content": c} for r, c in turns] for turns in dialogues], pa.large_list(pair))


def _parsed(text: str) -> list[tuple[str, str | None]] | None:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    if value is None:
        return []
    if not isinstance(value, list):
        return None
    if all(isinstance(turn, str) for turn in value):
        return [(("user", "assistant")[number % 2], turn) for number, turn in enumerate(value)]
    keys = _names_in(value[0]) if isinstance(value[0], dict) else None
    if keys is None or not all(isinstance(turn, dict) for turn in value):
        return None
    return [(str(turn.get(keys[0]) or ""), _as_text(turn.get(keys[1]))) for turn in value]


def _as_text(content: Any) -> str | None:
    return content if content is None or isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _role_and_content(struct: "pa.StructType") -> tuple[str, str] | None:
    return _names_in([field.name for field in struct])


def _names_in(names: Any) -> tuple[str, str] | None:
    role = next((name for name in ROLES if name in names), None)
    content = next((name for name in CONTENTS if name in names), None)
    return (role, content) if role and content else None


def _speakers(roles: "pa.LargeStringArray") -> "tuple[npt.NDArray[np.int8], list[str]]":
    """What each role does, and the roles if none of them is known."""
    import numpy as np

    coded = roles.dictionary_encode()
    names = [str(name).strip().rstrip(":：").lower() for name in coded.dictionary.to_pylist()]
    codes: npt.NDArray[np.int64] = coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    does = np.array([KNOWN.get(name, ANSWERING) for name in [*names, ""]], np.int8)
    return does[codes.astype(np.int64)], [] if any(name in KNOWN for name in names) else names


def _alternating(dialogue: "npt.NDArray[np.int64]") -> "npt.NDArray[np.int8]":
    """The patient opens, and they take turns."""
    import numpy as np

    numbers = np.arange(len(dialogue))
    opening = np.diff(dialogue, prepend=-1) != 0
    within = numbers - np.maximum.accumulate(np.where(opening, numbers, 0))
    return np.where(within % 2 == 0, ASKING, ANSWERING).astype(np.int8)


def _flat(lists: "pa.Array") -> "tuple[npt.NDArray[np.int64], pa.Array]":
    """For each element the number of its list, and the elements."""
    import numpy as np

    lengths, flat = elements(lists)
    return np.repeat(np.arange(len(lists)), lengths), flat


def elements(lists: "pa.Array") -> "tuple[npt.NDArray[np.int64], pa.Array]":
    """The length of every list, 0 where it is null, and all their elements one after another."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = lists.cast(pa.large_list(lists.type.value_type))
    return pc.list_value_length(lists).fill_null(0).to_numpy(), lists.flatten()


def is_list(type: "pa.DataType") -> bool:
    """Whether a type is a list, however it is laid out."""
    from pyarrow import types

    kinds = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view)
    return any(kind(type) for kind in kinds)


def _is_text(type: "pa.DataType") -> bool:
    from pyarrow import types

    return is_text(type) or bool(types.is_null(type))


def _text(array: "pa.Array") -> "pa.LargeStringArray":
    import pyarrow as pa

    return array.cast(pa.large_string())
