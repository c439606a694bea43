"""What is known of a model before its first step: the facts of its card that preparation measured."""

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cards.model_facts import Measured, ModelFacts, TrainedOn
from trainers.engine.memory import ModelShape
from trainers.engine.models import NEW
from trainers.engine.preflight import Report
from trainers.engine.rows.data_sets import Opened
from trainers.engine.rows.gathering import Drawn, HeldOut
from trainers.engine.run import Batches, ModelChoice, Run, Spread

if TYPE_CHECKING:
    from trainers.sft import Sft

PACKAGES = ("torch", "transformers", "trl", "accelerate", "deepspeed", "peft", "datasets")
ON = {
    "held_out": "held-out rows of the training sets",
    "general": "held-out rows of the general sets",
    "general_probe": "general conversations that ship with suwen",
}


def trained_on(sets: Sequence[Opened], drawn: Sequence[Drawn]) -> tuple[TrainedOn, ...]:
    """What each data set gave."""
    total = sum(one.rows for one in drawn) or 1
    return tuple(
        TrainedOn(
            name=one.name,
            revision=one.revision,
            version=one.version,
            configs=one.configs,
            licenses=one.licenses,
            rows=gave.rows,
            answer_tokens=gave.answer_tokens,
            share=gave.rows / total,
            general=one.choice.general,
            rehearsal=one.rehearsal,
        )
        for one, gave in zip(sets, drawn, strict=True)
    )


def sequences_seen(batches: Batches, a_pass: int | None) -> int:
    """Sequences that the steps of a run take, of `a_pass` each pass; without it (packed) the last step of a pass counts as full."""
    if a_pass is None:
        return batches.steps * batches.batch
    whole, rest = divmod(batches.steps, max(1, math.ceil(a_pass / batches.batch)))
    return whole * a_pass + min(rest * batches.batch, a_pass)


def hardware(spread: Spread) -> str:
    """What computes, in words."""
    import torch

    if spread.device == "cuda":
        return f"{spread.processes} x {torch.cuda.get_device_name(0)}"
    return "one CPU process" if spread.processes == 1 else f"{spread.processes} CPU processes"


def facts_before(
    run: Run,
    settings: "Sft",
    *,
    recorded: Mapping[str, Any],
    data: tuple[TrainedOn, ...],
    shape: ModelShape,
    report: Report,
    held_out: HeldOut,
    architecture: str,
    not_drawn: int = 0,
) -> ModelFacts:
    """All that a card can say of a run that has not begun; `not_drawn` rows would do and have no place in the mixture."""
    model: ModelChoice = run.model
    made_here = model.name in NEW
    a_pass = None if settings.packing else sum(one.rows for one in data)
    return ModelFacts(
        name=settings.push or run.out.resolve().name,
        trainer=run.command,
        base=model.name,
        base_revision=model.revision,
        base_license=model.license,
        base_on_hub=model.revision is not None,
        base_rehearsal=model.rehearsal,
        made_here=made_here,
        architecture=architecture,
        parameters=shape.parameters,
        trained_parameters=shape.trained,
        adapter=settings.lora is not None,
        data=data,
        earlier_data=model.parents,
        left_out=report.left_out,
        not_drawn=not_drawn,
        template=run.template,
        max_length=settings.max_length,
        settings=dict(recorded),
        preflight=tuple((check.name, check.said) for check in report.checks),
        measured=tuple(Measured(name=name, rows=rows, on=ON[name]) for name, rows in held_out.rows.items()),
        steps=run.batches.steps,
        steps_done=0,
        passes=run.batches.epochs,
        sequences_seen=sequences_seen(run.batches, a_pass),
        hardware=hardware(run.spread),
        profile=run.spread.profile,
        versions={package: version(package) for package in PACKAGES},
    )
