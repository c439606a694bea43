"""The words of the rehearsal's patients and doctors, as they stand in `consultations.toml`."""

import re
import tomllib
from functools import cache
from typing import Any, NamedTuple

from builders.engine.rehearsal.lexicon import HERE


class Topic(NamedTuple):
    """What a question is about, and the names of the fields that answer it."""

    asks: re.Pattern[str]
    names: re.Pattern[str]


class Question(NamedTuple):
    """What a doctor asks to learn of the fields with such names."""

    names: re.Pattern[str]
    say: str


class Phrases(NamedTuple):
    """Phrases by who says them where, and the tables that connect questions with fields of a case."""

    rewriting: dict[str, list[str]]
    expanding: dict[str, list[str]]
    patient: dict[str, Any]
    doctor: dict[str, Any]
    questions: tuple[Question, ...]
    topics: tuple[Topic, ...]


@cache
def phrases() -> Phrases:
    """Read the phrases once for the process."""
    raw = tomllib.loads((HERE / "consultations.toml").read_text(encoding="utf-8"))
    questions = tuple(Question(re.compile(row["names"]), row["say"]) for row in raw["questions"])
    topics = tuple(Topic(re.compile(row["asks"]), re.compile(row["names"])) for row in raw["topics"])
    return Phrases(raw["rewriting"], raw["expanding"], raw["patient"], raw["doctor"], questions, topics)


@cache
def question_for(name: str) -> str:
    """The question a doctor asks to learn of one field of a case."""
    return next(row.say for row in phrases().questions if row.names.search(name)).replace("{name}", name)
