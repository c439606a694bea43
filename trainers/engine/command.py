"""What every trainer's command does around its own work: places checked first, one run a folder, the push last.

prepare()  →  Run      →  launch, perhaps in many processes  →  Outcome  →  push
           →  Outcome  (a dry run; or OUT holds the finished model already)
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from builders.engine.errors import Unavailable
from builders.engine.folder import only_builder_of
from builders.engine.hub_address import no_telemetry
from schemas.settings import InputError
from schemas.train_settings import TrainSettings
from trainers.engine.launching.stopping import STOPPED
from trainers.engine.loop.quiet import quiet_deepspeed, quiet_peft
from trainers.engine.run import Outcome, Run

if TYPE_CHECKING:
    from trainers.engine.hub.push import Place

QUIET = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}

Prepare = Callable[[], Run | Outcome]


def carry_out(settings: TrainSettings, prepare: Prepare) -> int:
    """Prepare, launch, push; the last line on stdout is one JSON object. Returns the exit code."""
    from trainers.engine.launching.launch import inside_launcher
    from trainers.engine.loop.trackers import report_to

    keep_quiet()
    report_to(settings.track)
    try:
        outcome = _one_of_many(settings, prepare) if inside_launcher() else _alone(settings, prepare)
    except OSError as wrong:
        raise InputError(f"{wrong.filename or f'--out {settings.out}'}: {wrong.strerror or wrong}") from None
    except KeyboardInterrupt:
        outcome = Outcome(
            code=STOPPED, message="stopped at once; the same command begins again, or goes on with --resume"
        )
    except Unavailable as lost:
        outcome = Outcome(code=STOPPED, message=f"{lost}; the same command goes on where it stood")
    return _told(settings, outcome)


def _alone(settings: TrainSettings, prepare: Prepare) -> Outcome:
    """The usual case: this process prepares, starts what is needed, and pushes."""
    from trainers.engine.hub.push import place_for_model
    from trainers.engine.launching.launch import launch

    place = None if settings.dry_run else place_for_model(settings.push, public=settings.public)
    with only_builder_of(settings.out):
        ready = prepare()
        outcome = ready if isinstance(ready, Outcome) else launch(ready)
        return _pushed(outcome, place, settings) if outcome.code == 0 and place else outcome


def _one_of_many(settings: TrainSettings, prepare: Prepare) -> Outcome:
    """The user started the processes: the first prepares for all, and each trains."""
    from trainers.engine.launching.launch import first_process_prepares, launch
    from trainers.engine.launching.worker import first_process

    if settings.push:
        raise InputError("--push: under a launcher of your own, push afterwards: the same command without the launcher")
    with only_builder_of(settings.out) if first_process() else contextlib.nullcontext():
        ready = first_process_prepares(prepare, settings.out)
        return ready if isinstance(ready, Outcome) else launch(ready)


def _pushed(outcome: Outcome, place: "Place", settings: TrainSettings) -> Outcome:
    from trainers.engine.hub.push import push_model

    pushed = push_model(settings.out, place, public=settings.public)
    return outcome.model_copy(update={"figures": {**outcome.figures, "pushed": pushed._asdict()}})


def _told(settings: TrainSettings, outcome: Outcome) -> int:
    if outcome.message:
        print(f"{settings.command}: {outcome.message}", file=sys.stderr)
    if outcome.figures:
        print(json.dumps(outcome.figures, ensure_ascii=False), flush=True)
    return outcome.code


def keep_quiet() -> None:
    """No telemetry, and what the libraries say about themselves stays away: progress and warnings here are ours.

    TRL pings the Hub once a run; DeepSpeed looks for an accelerator aloud when it is imported.
    """
    no_telemetry()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    quiet_deepspeed()
    quiet_peft()
