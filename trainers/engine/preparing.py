"""What happens before the first step of supervised fine-tuning: rows read, rendered, checked and written as token ids.

prepare(settings)  →  Run       tokenized rows, tokenizer, facts and preflight lie under OUT/.run
                   →  Outcome   a dry run, or OUT holds the finished model already
"""

import contextlib
import dataclasses
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.settings import InputError
from trainers.engine.launching.launch import choose_spread, inside_launcher
from trainers.engine.loop.checkpoints import last_checkpoint, step_of
from trainers.engine.loop.trl_arguments import overridden
from trainers.engine.models import NEW, find_model, load_tokenizer
from trainers.engine.opening import fingerprint, state_of
from trainers.engine.preparation import Preparation, say
from trainers.engine.rows.data_sets import Opened, open_found
from trainers.engine.rows.finding import find_data
from trainers.engine.run import RUN, ModelChoice, Outcome, Run
from trainers.engine.templates import choose_template

if TYPE_CHECKING:
    from trainers.sft import Sft


def prepare(settings: "Sft") -> Run | Outcome:
    """The run, ready to be launched; raises InputError on anything that must not be trained on."""
    if settings.set:
        from trl import SFTConfig

        overridden(SFTConfig, settings.set)
    model = find_model(settings.model)
    found = find_data(settings.choices)
    mark = fingerprint(settings, model, _template_text(model, settings), [one.revision for one in found])
    state = state_of(settings.out, mark, resume=settings.resume)
    if state.kind == "finished":
        print(f"{settings.out}: is finished; nothing to train", file=sys.stderr)
        return Outcome(code=0, figures={**state.finished["figures"], "path": str(settings.out)})
    if state.kind == "resumed":
        return _resumed(settings)
    with tempfile.TemporaryDirectory(prefix="suwen-") as scratch, _place(settings) as out:
        sets = [_licensed(one, settings.rows_license) for one in open_found(found, Path(scratch), settings.seed)]
        if settings.push and not settings.dry_run:
            _check_push(model, sets)
        try:
            return Preparation(settings, model, sets, out).run(mark)
        except InputError:
            shutil.rmtree(out / RUN)  # of a run that never was
            raise


def _licensed(one: Opened, known: str) -> Opened:
    """Rows that state no licence have the one that the user knows."""
    licenses = Counter(one.licenses)
    unstated = licenses.pop("", 0)
    licenses[known] += unstated
    return dataclasses.replace(one, licenses=dict(+licenses))


def _template_text(model: ModelChoice, settings: "Sft") -> str:
    """What decides how rows look to the model; a model made on the spot has no tokenizer yet."""
    if model.name in NEW:
        file = Path(settings.template)
        return f"new {file.read_text(encoding='utf-8') if file.is_file() else settings.template}"
    return choose_template(load_tokenizer(model), settings.template).text


def _resumed(settings: "Sft") -> Run | Outcome:
    """The run as it was begun, with what may be told anew: how often to save, where curves go."""
    run = Run.load(settings.out)
    asked = choose_spread(settings.profile, settings.processes, settings.precision, fits=lambda _: True)
    told = settings.profile != "auto" or settings.processes is not None or inside_launcher()
    if told and (asked.profile, asked.processes) != (run.spread.profile, run.spread.processes):
        raise InputError(
            f"--resume: {settings.out} was begun with --profile {run.spread.profile} --processes {run.spread.processes}; "
            "go on with the same"
        )
    if settings.dry_run:
        point = last_checkpoint(settings.out)
        behind = step_of(point) if point else 0
        say(f"--resume would go on behind step {behind:,} of {run.batches.steps:,}")
        return Outcome(code=0, figures={"dry_run": True, "behind": behind, "steps": run.batches.steps})
    run = run.model_copy(update={"settings": settings.model_dump(mode="json")})
    run.save()
    return run


def _check_push(model: ModelChoice, sets: Sequence[Opened]) -> None:
    """Raise InputError before anything is trained when the model could not be published anyway."""
    rehearsed = [one.name for one in sets if one.rehearsal] or [model.name] * model.rehearsal
    if rehearsed:
        raise InputError(f"--push: {rehearsed[0]} holds rehearsal rows; a model that learnt from them stays here")
    if unlicensed := [(one.name, one.licenses[""]) for one in sets if one.licenses.get("")]:
        name, rows = unlicensed[0]
        raise InputError(
            f"--push: {rows:,} rows of {name} state no licence; where you know it, say --rows-license, e.g. cc-by-4.0"
        )


@contextlib.contextmanager
def _place(settings: "Sft") -> Iterator[Path]:
    """OUT, or for a dry run a folder that is gone afterwards."""
    if not settings.dry_run:
        yield settings.out
        return
    with tempfile.TemporaryDirectory(prefix="suwen-") as folder:
        yield Path(folder) / settings.out.name
