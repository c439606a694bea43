"""Rows in which a model says who it is: every question of a topic with every answer of it."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TOPICS = Path(__file__).with_name("self_cognition.toml")


class Said(NamedTuple):
    """A question about the model itself and its answer."""

    key: str
    question: str
    answer: str
    states: tuple[str, ...]
    """What the answer must name: the model, its maker, or both."""


def self_cognition(name: str, maker: str) -> Iterator[Said]:
    """Every question once with its topic's first answer, shifted by one from question to question; then with the next."""
    topics = tomllib.loads(TOPICS.read_text(encoding="utf-8"))["topic"]
    names = {"name": name, "maker": maker}
    for turn in range(max(len(topic["answers"]) for topic in topics)):
        for number, topic in enumerate(topics, 1):
            answers = topic["answers"]
            for place, question in enumerate(topic["questions"] if turn < len(answers) else (), 1):
                which = (turn + place) % len(answers)
                answer = answers[which].replace("{name}", name).replace("{maker}", maker)
                key = f"self_cognition/{number}/{place}/{which + 1}"
                yield Said(key, question, answer, tuple(dict.fromkeys(names[one] for one in topic["states"])))
