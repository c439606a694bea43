"""A labelled example of a task, as its set has it, before it is worded."""

from typing import Any, NamedTuple

from schemas.task import TaskName


class Example(NamedTuple):
    """One example, or what is wrong with it."""

    key: str
    place: str
    task: TaskName
    input: str = ""
    labels: Any = None
    """As `labels.parse` gives them back."""
    choices: tuple[str, ...] = ()
    flaw: tuple[str, str] | None = None
    """(reason, detail) of an example that is no row."""


class Labelled(NamedTuple):
    """What a set says of one text, apart from where it stands."""

    input: str
    labels: Any
    own: str = ""
    """Which of several examples of one row; a part of its key."""
    flaw: tuple[str, str] | None = None
