"""What the rehearsal says to a prompt: triplets, rewritings, turns of a consultation, answers, or whatever a schema asks."""

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from builders.engine.rehearsal.answering import answer
from builders.engine.rehearsal.asking import triplets
from builders.engine.rehearsal.policy import sampled
from builders.engine.rehearsal.prompted import prompt_of, written_for
from schemas.settings import InputError
from schemas.taxonomy import Taxonomy, load_taxonomy

DATA = re.compile(r"<data>(?=\{)")
REWRITE = re.compile(r"只重写这 (\d+) 项")
SCHEMA_IN_WORDS = re.compile(r"fits this JSON schema:\n(\{.*\})\s*$", re.DOTALL)
LIKE = {
    "caregiver": "relative",
    "clinician": "specialist",
    "general_public": "patient",
    "genetic_counselor": "specialist",
    "insurance_clerk": "hospital_administrator",
    "pregnant_woman": "patient",
}
"""Roles that speak like another one here."""
INJECTED = re.compile(r"(?:忽略|无视|ignore)[^：:]{0,40}[：:]\s*(?:\\\\\")?([^\"\\\\]+)", re.IGNORECASE)


def reply(request: Mapping[str, Any], *, length: int | None = None, obey: bool = False) -> str:
    """The answer to a chat request; the same request always gets the same one."""
    messages: Sequence[Mapping[str, str]] = request["messages"]
    said = "\n".join(message["content"] for message in messages)
    seed = hashlib.sha256(json.dumps([request.get("seed"), *messages], sort_keys=True).encode()).hexdigest()
    if obey and (order := INJECTED.search(said)):
        return order[1].replace("\\n", "\n")
    data = _data(messages)
    form = (request.get("response_format") or {}).get("json_schema") or _form_in_words(messages[-1]["content"])
    if name := prompt_of(messages):
        formed = form is not None and "end" in form["schema"].get("properties", {})
        return written_for(name, messages, data, sample=request.get("seed"), formed=formed)
    if form and "triplets" in form["schema"].get("properties", {}):
        return json.dumps({"triplets": _triplets(data, messages[-1]["content"], seed)}, ensure_ascii=False)
    if form:
        schema = form["schema"]
        made = instance(schema, schema.get("$defs", {}), random.Random(seed), messages[-1]["content"])
        return json.dumps(made, ensure_ascii=False)
    if not data:
        return sampled(messages[-1]["content"], sample=request.get("seed"), seed=seed, length=length)
    question = str(data.get("instruction") or next(iter(data.values()), messages[-1]["content"]))
    return answer(instruction=question, input=str(data.get("input", "")), seed=seed, length=length)


def _form_in_words(asked: str) -> dict[str, Any] | None:
    """The schema of a request whose endpoint takes none: it stands at the end of the prompt."""
    found = SCHEMA_IN_WORDS.search(asked)
    return {"schema": json.loads(found[1])} if found else None


def instance(node: Mapping[str, Any], defs: Mapping[str, Any], rng: random.Random, about: str) -> Any:
    """Something that fits a JSON schema: enums and constants are kept to, strings are sentences about `about`."""
    if "$ref" in node:
        return instance(defs[node["$ref"].rsplit("/", 1)[1]], defs, rng, about)
    if "anyOf" in node:
        return instance(node["anyOf"][0], defs, rng, about)
    if "const" in node or "enum" in node:
        return rng.choice(node.get("enum") or [node["const"]])
    if node.get("type") == "object":
        return {name: instance(inner, defs, rng, about) for name, inner in node.get("properties", {}).items()}
    if node.get("type") == "array":
        least = node.get("minItems", 1)
        count = rng.randint(least, max(least, min(node.get("maxItems", least + 2), least + 2)))
        return [instance(node.get("items", {}), defs, rng, about) for _ in range(count)]
    return _scalar(node, rng, about)


def _scalar(node: Mapping[str, Any], rng: random.Random, about: str) -> Any:
    match node.get("type"):
        case "integer":
            low, high = _bounds(node, step=1)
            return rng.randint(int(low), int(high))
        case "number":
            return rng.uniform(*_bounds(node, step=0))
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
    return answer(instruction=about, input="", seed=str(rng.random()), length=60)[: node.get("maxLength", 400)]


def _bounds(node: Mapping[str, Any], *, step: int) -> tuple[float, float]:
    """Inclusive bounds of a number, five apart where the schema leaves them open."""
    low = node.get("minimum", node["exclusiveMinimum"] + step if "exclusiveMinimum" in node else None)
    high = node.get("maximum", node["exclusiveMaximum"] - step if "exclusiveMaximum" in node else None)
    if low is None:
        low = 0 if high is None or high >= 0 else high - 5
    return low, low + 5 if high is None else high


def _triplets(data: Mapping[str, Any], last: str, seed: str) -> list[dict[str, str | None]]:
    again = REWRITE.search(last)
    count = int(again[1]) if again else int(data.get("count", 5))
    taxonomy = _taxonomy()
    try:
        department, role = taxonomy.department(str(data["department"])), taxonomy.role(str(data["role"]))
    except (InputError, KeyError):  # a department or role of the user's own
        department, role = "default", "none"
    return triplets(department=department, role=LIKE.get(role, role), count=count, seed=seed)


def _data(messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The first data block of the conversation that holds a JSON object."""
    for message in messages:
        for start in (mark.end() for mark in DATA.finditer(message["content"]) if message["role"] == "user"):
            try:
                data, _ = json.JSONDecoder().raw_decode(message["content"], start)
            except json.JSONDecodeError:
                continue
            if isinstance(data, dict):
                return data
    return {}


@cache
def _taxonomy() -> Taxonomy:
    return load_taxonomy()
