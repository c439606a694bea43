"""The record every row family is built on: frozen, strict, and named by its own content.

A row has two identities. `id` is the SHA-256 of what it says; `key` is what it was made from (source + source row,
or cell/call/item). Same key with a new id means *changed*; a new key means *added*.
"""

import hashlib
import json
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict

Origin = Literal["distilled", "real", "rewritten", "expanded"]
"""Who wrote the answer: a teacher model, a doctor, a model rewriting a doctor, a model expanding a doctor."""
Form = Literal["instruction", "conversation"]


class Record(BaseModel):
    """A value that never changes and accepts no field it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Message(Record):
    """One chat message, as every OpenAI-compatible server and every chat template takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


class Figure(Record):
    """What a filter measured on a row that passed it, e.g. rouge_l = 0.43."""

    name: str
    value: float


class PromptUse(Record):
    """Which prompt made a row: its file name, and the SHA-256 of its text."""

    name: str
    sha256: str


class Provenance(Record):
    """Where a row comes from, down to the paid calls that made it."""

    source: str = ""
    """Data set or seed file the row starts from."""
    source_row: str = ""
    """Row id inside that source."""
    source_license: str = ""
    """Licence that the source states for itself; empty when it states none or there is no source."""
    license: str = ""
    """SPDX id of the licence the row is released under; empty means nobody has said, and such rows are not pushed."""
    parents: tuple[str, ...] = ()
    """Ids of the rows this one was made from."""
    builder: str = ""
    builder_version: str = ""
    prompts: tuple[PromptUse, ...] = ()
    teachers: tuple[str, ...] = ()
    """Models that wrote into this row, as MODEL@ENDPOINT."""
    calls: tuple[str, ...] = ()
    """Ledger keys of the answers in this row."""
    filters: tuple[Figure, ...] = ()
    """Filters passed, with what each measured."""
    cluster: str = ""
    """Key of the near-duplicate cluster; splits never cut through one."""
    rehearsal: bool = False
    """True when any answer came from the rehearsal teacher; such rows refuse to be pushed."""


class Row(Record):
    """A row of a data set. Families say what it holds; this says how it is named and where it came from."""

    origin: Origin
    """Who wrote the answer: distilled, real, rewritten or expanded."""
    form: Form
    """Instruction or conversation."""
    key: str
    """What the row was made from; stable while prompts, filters and teachers change."""
    provenance: Provenance = Provenance()
    """Prompts, teachers, ledger keys, filters passed, licence, cluster."""

    about: ClassVar[frozenset[str]] = frozenset({"key", "provenance"})
    """Fields that speak about the row rather than being its content."""

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of the content fields, in hexadecimal."""
        content = self.model_dump(mode="json", exclude=set(self.about))
        return hashlib.sha256(canonical(content).encode()).hexdigest()

    @property
    def likeness(self) -> str:
        """The text by which rows are alike when splits are cut: what is asked first, or the whole content."""
        if type(self).messages is Row.messages:
            return canonical(self.model_dump(mode="json", exclude=set(self.about)))
        return self.messages()[0].content

    def messages(self) -> list[Message]:
        """The row as a conversation to train on; families that are one override this."""
        raise TypeError(f"{type(self).__name__} has no conversation to train on")

    def record(self) -> dict[str, Any]:
        """The row as it stands in a data set: `id`, its fields, and `messages` when it has them."""
        fields = self.model_dump(mode="json")
        has_messages = type(self).messages is not Row.messages
        messages = {"messages": [said.model_dump() for said in self.messages()]} if has_messages else {}
        return {"id": self.id, **fields, **messages}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Read a row back from a data set; a content that no longer matches its id is a ValueError."""
        fields = {name: value for name, value in record.items() if name in cls.model_fields}
        row = cls.model_validate(fields)
        if "id" in record and record["id"] != row.id:
            raise ValueError(f"row {row.key!r}: id says {record['id']}, content says {row.id}")
        return row


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values have equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
