"""The rehearsal's checker of claims: which of a doctor's sentences the given facts support or contradict, by their words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from builders.engine.rehearsal.sentences import sentences

MOST_CLAIMS = 8
LONGEST_CLAIM = 60
DENIAL = re.compile("(?:没有|没|无|并非|不是|不会|不(?![仅但过只断同]))[^，。！？；]{0,4}$")
"""What denies the words that follow it; 不仅 and 不过 do not."""


class Edge(NamedTuple):
    """One fact of the knowledge graph."""

    number: int
    head: str
    tail: str


def checked(data: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The claims of the turns that name a fact's head or tail, each with its verdict, at most eight."""
    edges = list(_edges(data["facts"]))
    found = (claim for turn in data["turns"] for claim in _claims(turn["n"], str(turn["text"]), edges))
    return {"claims": [claim for claim, _ in zip(found, range(MOST_CLAIMS), strict=False)]}


def _edges(facts: Sequence[Mapping[str, Any]]) -> Iterator[Edge]:
    for fact in facts:
        words = str(fact["text"]).split(maxsplit=2)
        if len(words) == 3:
            yield Edge(fact["f"], words[0], words[2])


def _claims(number: int, text: str, edges: Sequence[Edge]) -> Iterator[dict[str, Any]]:
    for sentence in sentences(text):
        claim = sentence[:LONGEST_CLAIM]
        near = [edge for edge in edges if edge.head in claim or edge.tail in claim]
        if near:
            verdict, fact = _verdict(claim, text, near)
            yield {"n": number, "text": claim, "verdict": verdict, "f": fact}


def _verdict(claim: str, text: str, near: Sequence[Edge]) -> tuple[str, int]:
    for edge in near:
        before, tail, _ = claim.partition(edge.tail)
        if tail and DENIAL.search(before):
            return "contradicted", edge.number
    for edge in near:
        if edge.head in text and edge.tail in text:
            return "supported", edge.number
    return "unknown", -1
