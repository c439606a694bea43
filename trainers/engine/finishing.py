"""The end of a run: weights, tokenizer, card and training.json take their places in OUT, the last one last.

Everything is written under .run/final first, and training.json says that all of it has arrived: without it there is no
model in OUT, and a run that is killed here is finished by the next one from its last checkpoint.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from builders.engine.folder import CARD, as_json, replace_files, sha256_of
from cards.model_card import model_card, without_folders
from cards.model_facts import Curve, Measured, ModelFacts
from cards.model_sections import license_of
from cards.plots import curves_svg
from schemas.settings import InputError
from trainers.engine import models
from trainers.engine.loop.checkpoints import to_disk
from trainers.engine.loop.curves import curves_of
from trainers.engine.run import TRAINING, Outcome, Run, Spread

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from trainers.engine.loop.training import Training

CURVES, FACTS = "curves.svg", "facts.json"
BROKEN_CARD = "README.old.md"
"""A card whose marks somebody broke, kept beside the new one."""


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


def card_so_far(trainer: "Training") -> None:
    """The card of a run that goes on, in OUT."""
    run, state = trainer.run, trainer.state
    write_card(run.out, facts_after(prepared_facts(run), state.log_history, steps_done=state.global_step), run.out)


def write_card(folder: Path, facts: ModelFacts, held: Path) -> None:
    """README.md and its picture, each whole or not at all; what people wrote into the card in the folder `held` stays."""
    replace_files(folder, {CURVES: curves_svg(facts.curves), CARD: _card(facts, held / CARD).encode()})


def _card(facts: ModelFacts, held: Path) -> str:
    """The card with the words in `held`; one that cannot be taken apart must not end a training, and is kept whole."""
    try:
        return model_card(facts, held=held.read_text(encoding="utf-8") if held.exists() else None)
    except ValueError as wrong:  # UnicodeDecodeError is one
        shutil.copyfile(held, held.with_name(BROKEN_CARD))
        print(f"{held}: {wrong}; what it held is in {BROKEN_CARD}", file=sys.stderr)
        return model_card(facts)


def finish(trainer: "Training", tokenizer: "PreTrainedTokenizerBase", *, merge: bool) -> Outcome:
    """Put the trained model in its place and say so; every process calls this, the first one writes."""
    run, draft = trainer.run, trainer.run.folder / "final"
    facts = facts_after(prepared_facts(run), trainer.state.log_history, steps_done=trainer.state.global_step)
    facts = facts.model_copy(update=trainer.timing())
    _save(trainer, draft, adapter=facts.adapter)
    if not trainer.is_world_process_zero():
        return Outcome(code=0)
    if not any(draft.glob("*.safetensors")):
        raise InputError(f"--out {run.out}: no process saved weights; a launcher of your own must have them gathered")
    model = trainer.accelerator.unwrap_model(trainer.model)
    if merge and facts.adapter:
        model = _folded_in(run, draft)
        facts = facts.model_copy(update={"adapter": False})
    elif facts.adapter:
        models.name_base(draft, run.model)
    models.finish(model, tokenizer, run.stop_ids, draft)
    write_card(draft, facts, run.out)
    figures = _in_place(run, facts, draft)
    _clear_up(run, base=not facts.adapter)
    return Outcome(code=0, figures=figures)


def _in_place(run: Run, facts: ModelFacts, draft: Path) -> dict[str, Any]:
    """Every file of the draft in OUT and on the disk, and then training.json; returns the figures."""
    figures = _figures(run, facts)
    files = {
        file.name: {"sha256": sha256_of(file), "bytes": file.stat().st_size}
        for file in sorted(draft.iterdir())
        if file.is_file()
    }
    for name in files:
        (draft / name).chmod(0o644)  # safetensors' own files are for their owner alone
        to_disk(draft / name)
        (draft / name).replace(run.out / name)
    to_disk(run.out)
    (draft / TRAINING).write_bytes(as_json(_training(run, facts, figures, files)))
    to_disk(draft / TRAINING)
    (draft / TRAINING).replace(run.out / TRAINING)
    to_disk(run.out)
    return figures


def _clear_up(run: Run, *, base: bool) -> None:
    """What only the training needed goes: token ids, and with `base` the model that was made here."""
    kept = [] if base else [run.out / models.MADE_HERE]
    for path in run.folder.iterdir():
        if path.is_dir() and path not in kept:
            shutil.rmtree(path)
        elif path.suffix in (".npy", ".arrow"):
            path.unlink()


def _save(trainer: "Training", draft: Path, *, adapter: bool) -> None:
    """Weights as they were trained, in an empty folder, whatever a killed run left there.

    Full fp32 ones that bf16 arithmetic saw are saved in bf16, half the size; adapters are small and stay exact.
    """
    import torch

    if trainer.is_world_process_zero():
        shutil.rmtree(draft, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    spread = trainer.run.spread
    if spread.bf16 and spread.profile in ("single", "ddp") and not adapter:
        trainer.accelerator.unwrap_model(trainer.model).to(torch.bfloat16)
    trainer.save_weights(draft)


def _folded_in(run: Run, draft: Path) -> "PreTrainedModel":
    """The whole model with the adapters of `draft` in its weights, saved there in their place.

    The sum is made in fp32 and rounded once. One process does it alone: ZeRO-3, were its configuration alive, would have
    all of them load the base together.
    """
    import peft
    import torch
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    base = models.load_model(run.model, spread=Spread(profile="single"))
    model = peft.PeftModel.from_pretrained(base, str(draft), torch_device="cpu").merge_and_unload()
    for file in draft.glob("adapter_*"):
        file.unlink()
    model = model.to(torch.bfloat16) if run.spread.bf16 else model
    model.save_pretrained(draft)
    return model


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
    """training.json: what the model is, for the next trainer and for a push; no folder of this machine stands in it."""
    verdict = license_of(facts)
    return {
        "finished": True,
        "trainer": run.command,
        "fingerprint": run.fingerprint,
        "rehearsal": facts.rehearsal,
        "unlicensed_rows": sum(one.licenses.get("", 0) for one in facts.data),
        "license": verdict.license,
        "license_name": verdict.name,
        "data": [{"name": one.name, "revision": one.revision} for one in facts.data]
        + [{"name": name, "revision": ""} for name in facts.earlier_data],
        "figures": {name: value for name, value in figures.items() if name != "path"},
        "facts": _without_folders(json.loads(facts.model_dump_json())),
        "files": files,
    }


def _without_folders(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _without_folders(value) for name, value in told.items()}
    if isinstance(told, list):
        return [_without_folders(value) for value in told]
    return without_folders(told) if isinstance(told, str) else told
