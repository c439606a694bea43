"""The end of a run: weights, tokenizer, card and training.json take their places in OUT, the last one last.

Everything is written under .run/final first: OUT holds a whole model or none, and a run that is killed here is finished
by the next one from its last checkpoint.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.engine.folder import as_json, sha256_of
from cards.model_card import model_card
from cards.model_facts import Curve, Measured, ModelFacts
from cards.plots import curves_svg
from trainers.engine.opening import TRAINING
from trainers.engine.progress import curves_of
from trainers.engine.run import Outcome, Run

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainers.engine.training import Training

CARD, CURVES, FACTS = "README.md", "curves.svg", "facts.json"
PACKAGES = ("torch", "transformers", "trl", "accelerate", "deepspeed", "peft", "datasets")
PICKLES = ("training_args.bin",)
"""What transformers leaves beside the weights and no one should have to load."""


def prepared_facts(run: Run) -> ModelFacts:
    """What was known before the first step."""
    return ModelFacts.model_validate_json((run.folder / FACTS).read_text(encoding="utf-8"))


def facts_after(facts: ModelFacts, history: Sequence[Mapping[str, Any]], *, steps_done: int) -> ModelFacts:
    """The facts with what the log of a trainer adds: curves, figures before and after."""
    curves = curves_of(history)
    measured = tuple(_measured(one, curves, steps_done) for one in facts.measured)
    return facts.model_copy(update={"curves": curves, "measured": measured, "steps_done": steps_done})


def _measured(figure: Measured, curves: Sequence[Curve], steps_done: int) -> Measured:
    """A held-out figure with its values at the first step and at the last, as far as they were measured."""
    points = next((curve.points for curve in curves if curve.name == f"eval_{figure.name}_loss"), ())
    before = points[0][1] if points and points[0][0] == 0 else None
    after = points[-1][1] if points and points[-1][0] == steps_done > 0 else None
    return figure.model_copy(update={"before": before, "after": after})


def write_card(folder: Path, facts: ModelFacts) -> None:
    """README.md and its picture."""
    (folder / CURVES).write_bytes(curves_svg(facts.curves))
    (folder / CARD).write_text(model_card(facts), encoding="utf-8")


def hardware() -> str:
    """What computes here, in words."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    return f"CPU {platform.machine()}"


def versions() -> dict[str, str]:
    """Packages that decide what training does."""
    return {package: version(package) for package in PACKAGES}


def finish(trainer: "Training", run: Run, tokenizer: "PreTrainedTokenizerBase", *, merge: bool) -> Outcome:
    """Put the trained model in its place and say so; every process calls this, the first one writes."""
    from trainers.engine.models import finish as finish_model
    from trainers.engine.models import merged

    draft = run.folder / "final"
    facts = facts_after(prepared_facts(run), trainer.state.log_history, steps_done=trainer.state.global_step)
    facts = facts.model_copy(update=trainer.timing())
    trainer.save_weights(draft)
    if not trainer.is_world_process_zero():
        return Outcome(code=0)
    if merge:
        merged(run, draft)
        facts = facts.model_copy(update={"adapter": False})
    for name in PICKLES:
        (draft / name).unlink(missing_ok=True)
    finish_model(draft, tokenizer)
    write_card(draft, facts)
    figures = _figures(run, facts)
    files = {file.name: {"sha256": sha256_of(file), "bytes": file.stat().st_size} for file in sorted(draft.iterdir())}
    training = _training(run, facts, figures, files)
    for name in files:
        (draft / name).replace(run.out / name)
    (draft / TRAINING).write_bytes(as_json(training))
    (draft / TRAINING).replace(run.out / TRAINING)
    return Outcome(code=0, figures=figures)


def _figures(run: Run, facts: ModelFacts) -> dict[str, Any]:
    """The JSON object for stdout."""
    losses = {curve.name: curve.points[-1][1] for curve in facts.curves if curve.points}
    return {
        "steps": facts.steps_done,
        "rows": sum(one.rows for one in facts.data),
        "answer_tokens": sum(one.answer_tokens for one in facts.data),
        "left_out": sum(facts.left_out.values()),
        "loss": losses.get("loss"),
        "held_out": {one.name: {"before": one.before, "after": one.after} for one in facts.measured},
        "seconds": round(facts.seconds, 1),
        "tokens_per_second": round(facts.tokens_per_second, 1),
        "profile": run.spread.profile,
        "processes": run.spread.processes,
        "fingerprint": run.fingerprint,
        "path": str(run.out),
    }


def _training(run: Run, facts: ModelFacts, figures: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """training.json: what the model is, for the next trainer and for a push."""
    from cards.licenses import combined

    licenses = sorted({license for one in facts.data for license in one.licenses})
    return {
        "finished": True,
        "trainer": run.command,
        "fingerprint": run.fingerprint,
        "rehearsal": facts.rehearsal or run.model.rehearsal,
        "unlicensed_rows": sum(one.licenses.get("", 0) for one in facts.data),
        "license": combined(facts.base_license, licenses).license,
        "data": [{"name": one.name, "revision": one.revision} for one in facts.data]
        + [{"name": name, "revision": ""} for name in facts.earlier_data],
        "figures": {name: value for name, value in figures.items() if name != "path"},
        "facts": json.loads(facts.model_dump_json()),
        "files": files,
    }
