"""What step 1 brings: triplets, and items that are none."""

from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationError

from builders.engine.ask import ItemList
from schemas.base import Figure, Record, canonical


class Triplet(Record):
    """What the teacher writes: who asks, for what, about which material."""

    character: str = Field(max_length=60)
    instruction: str = Field(min_length=1)
    input: str
    intent: str | None


class Flawed(Record):
    """An item that is no triplet, and why."""

    why: str
    seen: str


def each_on_its_own(value: Any) -> tuple[Triplet | Flawed, ...]:
    """Every item that is a triplet is kept, whatever the others are."""
    if not isinstance(value, list):
        raise ValueError(f"expected a list, got {type(value).__name__}")
    return tuple(_triplet(item) for item in value)


def _triplet(item: Any) -> Triplet | Flawed:
    try:
        return Triplet.model_validate(item)
    except ValidationError as wrong:
        error = wrong.errors()[0]
        where = ".".join(str(part) for part in error["loc"])
        return Flawed(why=f"{where or 'item'}: {error['msg']}", seen=canonical(item)[:300])


class Triplets(ItemList):
    """The whole answer; its items are checked one by one, and a cut answer keeps the complete ones."""

    triplets: Annotated[
        tuple[Triplet | Flawed, ...], PlainValidator(each_on_its_own, json_schema_input_type=tuple[Triplet, ...])
    ]


class Candidate(Record):
    """A triplet with where it came from; `flawed` instead when it was none, even when asked again."""

    triplet: Triplet | None = None
    flawed: Flawed | None = None
    calls: tuple[str, ...] = ()
    teachers: tuple[str, ...] = ()
    rehearsal: bool = False
    figures: tuple[Figure, ...] = ()
