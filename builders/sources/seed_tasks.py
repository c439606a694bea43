"""Human seed instructions: our own (human_seeds.jsonl), and the files of Alpaca, self-instruct, Belle and AlpaCare.

    {"role": "nurse", "department": "cardiology", "character": "心内科责任护士", "intent": null, "instruction": "…", "input": "…"}
    {"id": "seed_task_0", "name": "…", "instruction": "…", "instances": [{"input": "", "output": "…"}]}     self-instruct, Belle
    {"instruction": "…", "input": "…", "output": "…"}                                                       Alpaca
    {"topic": "Neurology", "view": "Student", "type": "…", "instruction": "…", "input": "<noinput>"}         AlpaCare

JSON Lines or one JSON array. A row that cannot be read is bad input: seeds are few, and steer everything.
"""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from builders.sources.json_rows import json_rows
from schemas.base import Record
from schemas.settings import InputError
from schemas.taxonomy import NO_ROLE, Taxonomy

OWN = Path(__file__).with_name("human_seeds.jsonl")
"""Written for this package, CC0."""


class HumanSeed(Record):
    """An instruction written by a person, to show a teacher what is wanted."""

    instruction: str = Field(min_length=2)
    input: str = ""
    role: str = NO_ROLE
    department: str = ""
    character: str = ""
    intent: str | None = None


class SeedFile(Record):
    """The seeds of one file, with the hash that the card states."""

    name: str
    sha256: str
    seeds: tuple[HumanSeed, ...]


def read_seeds(path: Path, taxonomy: Taxonomy) -> SeedFile:
    """The seeds of a file in any of the formats above; raises InputError naming file, row and field."""
    rows = json_rows(path)
    seeds = tuple(_seed(row, where, taxonomy) for where, row in rows)
    if not seeds:
        raise InputError(f"{path}: no seeds in it")
    return SeedFile(name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest(), seeds=seeds)


def _seed(row: Any, where: str, taxonomy: Taxonomy) -> HumanSeed:
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object, got {type(row).__name__}")
    fields = {"instruction": row.get("instruction"), "input": row.get("input") or ""}
    if "instances" in row:
        instances = row["instances"]
        if not (isinstance(instances, list) and instances and isinstance(instances[0], dict)):
            raise InputError(f"{where}: instances: expected a list with at least one object")
        fields["input"] = instances[0].get("input") or ""
    elif "view" in row:
        fields["role"] = _known(taxonomy.role, row["view"], NO_ROLE)
        fields["department"] = _known(taxonomy.department, row.get("topic", ""), "")
    elif "role" in row:
        fields |= {name: row[name] for name in ("role", "department", "character", "intent") if name in row}
        fields["role"] = _named(taxonomy.role, row["role"], f"{where}: role") or NO_ROLE
        if fields.get("intent") not in (None, *taxonomy.intents):
            raise InputError(f"{where}: intent: {fields['intent']!r} is none of {', '.join(taxonomy.intents)}")
        fields["department"] = _named(taxonomy.department, row.get("department"), f"{where}: department")
    if fields["input"] == "<noinput>":
        fields["input"] = ""
    try:
        return HumanSeed.model_validate(fields)
    except ValidationError as wrong:
        error = wrong.errors()[0]
        raise InputError(f"{where}: {error['loc'][0]}: {error['msg']}") from None


def _named(resolve: Any, name: Any, where: str) -> str:
    """The id of a name, or InputError naming the place; nothing stays nothing."""
    if not name:
        return ""
    try:
        return str(resolve(str(name)))
    except InputError as wrong:
        raise InputError(f"{where}: {wrong}") from None


def _known(resolve: Any, name: Any, otherwise: str) -> str:
    try:
        return str(resolve(str(name)))
    except InputError:
        return otherwise
