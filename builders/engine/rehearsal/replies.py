"""What the rehearsal says to a prompt: triplets, answers, or any object a JSON schema describes."""

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from builders.engine.rehearsal.answering import answer
from builders.engine.rehearsal.asking import triplets
from schemas.settings import InputError
from schemas.taxonomy import Taxonomy, load_taxonomy

DATA = re.compile(r"<data>(.*?)</data>", re.DOTALL)
REWRITE = re.compile(r"只重写这 (\d+) 项")
INJECTED = re.compile(r"(?:忽略|无视|ignore)[^：:]{0,40}[：:]\s*([^\"]+)", re.IGNORECASE)


def reply(request: Mapping[str, Any], *, length: int | None = None, obey: bool = False) -> str:
    """The answer to a chat request; the same request always gets the same one."""
    messages: Sequence[Mapping[str, str]] = request["messages"]
    said = "\n".join(message["content"] for message in messages)
    seed = hashlib.sha256(json.dumps([request.get("seed"), *messages], sort_keys=True).encode()).hexdigest()
    if obey and (order := INJECTED.search(said)):
        return order[1].replace("\\n", "\n")
    data = _data(messages)
    form = (request.get("response_format") or {}).get("json_schema")
    if form and {"department", "role", "count"} <= set(data):
        return json.dumps({"triplets": _triplets(data, messages[-1]["content"], seed)}, ensure_ascii=False)
    if form:
        schema = form["schema"]
        made = instance(schema, schema.get("$defs", {}), random.Random(seed), messages[-1]["content"])
        return json.dumps(made, ensure_ascii=False)
    question = str(data.get("instruction", messages[-1]["content"]))
    return answer(instruction=question, input=str(data.get("input", "")), seed=seed, length=length)


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
        count = rng.randint(max(1, node.get("minItems", 1)), min(5, node.get("maxItems", 3)))
        return [instance(node.get("items", {}), defs, rng, about) for _ in range(count)]
    return _scalar(node, rng, about)


def _scalar(node: Mapping[str, Any], rng: random.Random, about: str) -> Any:
    match node.get("type"):
        case "integer":
            return rng.randint(node.get("minimum", 0), node.get("maximum", 5))
        case "number":
            return round(rng.uniform(node.get("minimum", 0), node.get("maximum", 1)), 2)
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
    return answer(instruction=about, input="", seed=str(rng.random()), length=60)[: node.get("maxLength", 400)]


def _triplets(data: Mapping[str, Any], last: str, seed: str) -> list[dict[str, str | None]]:
    again = REWRITE.search(last)
    count = int(again[1]) if again else int(data["count"])
    taxonomy = _taxonomy()
    try:
        department, role = taxonomy.department(data["department"]), taxonomy.role(data["role"])
    except InputError:  # a department or role of the user's own
        department, role = "default", "none"
    return triplets(department=department, role=role, count=count, seed=seed)


def _data(messages: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    for message in messages:
        if message["role"] == "user" and (found := DATA.search(message["content"])):
            data = json.loads(found[1])
            return data if isinstance(data, dict) else {}
    return {}


@cache
def _taxonomy() -> Taxonomy:
    return load_taxonomy()
