"""Labelled sets for medical language tasks become instructions, by templates: Zhongjing's third kind of training data.

    python -m builders.convert_tasks cmdd/ --task ner --license apache-2.0 --out build/tasks-ner
    python -m builders.convert_tasks cMedQQ/ --task pair --rows 2000 --out build/tasks-pair
    python -m builders.convert_tasks --task self_cognition --name 素问 --maker 某某医学实验室 --out build/self

No teacher is asked. Each task has several wordings, drawn by the row's key; closed sets of labels stand in the
instruction; and a row counts only if its answer parses back to its labels.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field
from pydantic_settings import CliPositionalArg

from schemas.base import Provenance
from schemas.settings import BuildSettings, InputError, run_command
from schemas.task import Task, TaskName

if TYPE_CHECKING:
    from builders.engine.ask import Ask
    from builders.engine.produce import Job
    from builders.tasks.self_cognition import Said


class ConvertTasks(BuildSettings):
    """Turn labelled sets for medical language tasks into instructions whose answers are known."""

    command: ClassVar[str] = "convert_tasks"
    data_flags: ClassVar[tuple[str, ...]] = ("source",)

    source: CliPositionalArg[tuple[str, ...]] = ()
    """Labelled sets: JSON, JSON Lines, tab-separated lines, or a folder of them; none for --task self_cognition."""
    task: TaskName
    """What the labels are: ner, relation, intent, pair, normalisation, report; or self_cognition, which needs no SOURCE."""
    format: str | None = None
    """Which set it is, e.g. cmeee, cmdd, cmeie, kuake_qic, cmedqq, chip_cdn, imcs_mrg; default: told from its rows."""
    without_labels: float = Field(default=0.1, ge=0, le=1)
    """Of texts in which nothing is labelled (answered 没有) keep this share, drawn by their keys; the others are rejected."""
    name: str | None = Field(default=None, min_length=1)
    """With --task self_cognition: what the model is called."""
    maker: str | None = Field(default=None, min_length=1)
    """With --task self_cognition: who made the model."""
    out: Path = Path("build/tasks")
    """Folder to write the data set to; it is a Hub repository as it stands."""


async def introduce(said: "Said", ask: "Ask | None") -> Sequence[Task]:
    """A question about the model and its answer, as a row; raises Reject when the answer does not say who it is."""
    from builders.engine.errors import Reject
    from builders.tasks.labels import parse

    if parse("self_cognition", said.answer, said.states) != list(said.states):
        raise Reject("answer does not parse back", said.answer)
    row = Task(
        key=said.key,
        task="self_cognition",
        wording=said.key,
        instruction=said.question,
        output=said.answer,
        labels=json.dumps(said.states, ensure_ascii=False),
        provenance=Provenance(source="self_cognition", source_row=said.key),
    )
    return [row]


def job_of(settings: ConvertTasks) -> "Job":
    """The run that the settings ask for; raises InputError when they do not go together."""
    return _introductions(settings) if settings.task == "self_cognition" else _conversions(settings)


def _introductions(settings: ConvertTasks) -> "Job":
    from builders.engine.produce import Job
    from builders.engine.steps import in_order
    from builders.tasks.self_cognition import self_cognition

    name, maker = settings.name, settings.maker
    if settings.source or settings.format:
        raise InputError("--task self_cognition: comes from templates; leave SOURCE and --format out")
    if name is None or maker is None:
        raise InputError("--task self_cognition: say who the model is, with --name and --maker")
    steps = in_order(self_cognition(name, maker), introduce, key=lambda said: said.key, rows=settings.rows)
    return Job(config="converted_tasks", family=Task, steps=lambda _: steps, speakers=())


def _conversions(settings: ConvertTasks) -> "Job":
    from builders.engine.produce import Job
    from builders.engine.steps import in_order
    from builders.tasks.conversion import Conversion, described, examples_of, task_set

    if settings.name or settings.maker:
        raise InputError(f"--name, --maker: go with --task self_cognition, not with {settings.task}")
    if not settings.source:
        raise InputError("SOURCE: name the labelled sets to convert")
    known = task_set(settings.task, settings.format, settings.source)
    examples = examples_of(known, settings.source, settings.ledger.parent / "sources")
    build = Conversion(known, seed=settings.seed, without_labels=settings.without_labels)
    steps = in_order(examples, build, key=lambda example: example.key, rows=settings.rows)
    inputs = described(known, settings.source)
    return Job(config="converted_tasks", family=Task, steps=lambda _: steps, speakers=(), inputs=inputs)


def main(settings: ConvertTasks) -> int:
    """Read, word, check, release."""
    from builders.engine.produce import produce

    return produce(settings, job_of(settings))


if __name__ == "__main__":
    run_command(ConvertTasks, main)
