"""One build from settings to a released folder: plan, ask, judge, release, and say what happened.

Every builder's `main` ends here. Talk goes to stderr; the last line on stdout is one JSON object.
"""

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import schemas
from builders.engine import plan as planning
from builders.engine.endpoints import ServedModel
from builders.engine.errors import LedgerError, Misconfigured, Unavailable
from builders.engine.folder import Previous, check_folder, only_builder_of, read_previous
from builders.engine.opening import open_workshop, speakers_of
from builders.engine.plan import Plan
from builders.engine.progress import Progress
from builders.engine.release import Release, release, told
from builders.engine.run import Stamp, Workshop, stopped_by_signals
from builders.engine.steps import Steps
from schemas.base import PromptUse, Row, canonical
from schemas.settings import BuildSettings, InputError

SHORT = 3
"""Exit code: the seeds ran dry before --rows, and --short was not given."""
STOPPED = 4
"""Exit code: stopped before the end (Ctrl-C, budget, endpoint lost); the same command goes on where it stood."""


@dataclass(frozen=True)
class Job:
    """A builder, as the engine sees it."""

    config: str
    """Name of the data set config, and of its folder."""
    family: type[Row]
    steps: Callable[[Workshop], Steps[Any]]
    speakers: tuple[str, ...] = ("teacher",)
    """Settings that name models; a builder reaches each by `ask(…, by=NAME)`."""
    prompts: tuple[PromptUse, ...] = ()
    plan: Callable[[], Plan] | None = None
    """What the run will ask at least; without it there is no --dry-run and no --pilot."""
    inputs: tuple[str, ...] = ()
    """What went in besides the teacher, with hashes, for the card."""


def produce(settings: BuildSettings, job: Job) -> int:
    """Build and release; returns the exit code. Raises InputError on bad input."""
    if (settings.dry_run or settings.pilot) and job.plan is None:
        raise InputError("--dry-run, --pilot: this builder has no plan to show")
    if settings.dry_run and job.plan:
        return _dry_run(settings, job)
    speakers = speakers_of(settings, job.speakers)
    _check_places(settings)
    try:
        return asyncio.run(_produce(settings, job, speakers))
    except (Misconfigured, LedgerError) as wrong:
        raise InputError(str(wrong)) from None
    except OSError as wrong:
        where = wrong.filename or settings.out
        raise InputError(
            f"{where}: {wrong.strerror or wrong}. Answers paid for are safe in {settings.ledger}"
        ) from None
    except KeyboardInterrupt:
        print(f"ended at once; calls in flight may have been paid for. {_resume(settings)}", file=sys.stderr)
        return STOPPED


def _release_before(settings: BuildSettings, job: Job) -> Previous | None:
    """The release that the build continues: that of --previous, else what --out holds. Raises InputError."""
    if settings.previous:
        check_folder(settings.out, job.config)
        return read_previous(settings.previous, job.config, flag="--previous")
    held = check_folder(settings.out, job.config)
    return read_previous(settings.out, job.config, flag="--out") if held else None


def _check_places(settings: BuildSettings) -> None:
    """Raise InputError when the ledger would lie in the data set, or a path is none."""
    try:
        out, ledger = settings.out.resolve(), settings.ledger.resolve()
        out.exists()
    except (OSError, RuntimeError) as wrong:  # too long a name, links in a circle
        raise InputError(f"--out {settings.out}: {wrong}") from None
    if ledger.is_relative_to(out):
        raise InputError(f"--ledger {settings.ledger}: lies inside --out {settings.out}; name another with --ledger")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {settings.out}: is a file")


def _dry_run(settings: BuildSettings, job: Job) -> int:
    """Say what a run would ask and cost; the JSON line has the same figures."""
    assert job.plan is not None
    plan, speakers = job.plan(), speakers_of(settings, job.speakers, with_key=False)
    estimate = planning.estimate(plan, speakers)
    print(planning.in_words(estimate, plan, speakers, settings.rows), file=sys.stderr)
    print(json.dumps({"dry_run": True, "rows": settings.rows, **estimate._asdict()}), flush=True)
    return 0


def stamp_of(settings: BuildSettings, job: Job) -> Stamp:
    """What every row of this build will say of its making."""
    prompts = [use.model_dump() for use in job.prompts]
    record = {name: value for name, value in settings.for_the_record().items() if name != "license"}
    decides = [record, job.config, prompts, job.inputs, schemas.__version__]
    digest = hashlib.sha256(canonical(decides).encode()).hexdigest()
    return Stamp(settings.command, schemas.__version__, job.config, settings.license, job.prompts, digest)


async def _produce(settings: BuildSettings, job: Job, speakers: Mapping[str, ServedModel]) -> int:
    with only_builder_of(settings.out):
        previous = _release_before(settings, job)
        async with open_workshop(settings, stamp_of(settings, job), speakers) as workshop:
            with stopped_by_signals(workshop.switchboard):
                return await _build(settings, job, workshop, previous)


async def _build(settings: BuildSettings, job: Job, workshop: Workshop, previous: Previous | None) -> int:
    steps = job.steps(workshop)
    workshop.measured = {} if settings.pilot else None
    goal = min(settings.pilot or sys.maxsize, settings.rows or sys.maxsize)
    async with Progress(workshop, goal if goal < sys.maxsize else None) as progress:
        try:
            stopped = await workshop.run(steps, at_once=settings.at_once)
        except Unavailable as lost:
            stopped = str(lost)
        except (Misconfigured, LedgerError):
            if workshop.switchboard.tally.calls:
                print(f"{progress.line()}\n{_resume(settings)}", file=sys.stderr)
                _last_line(workshop, steps, None)
            raise
    print(progress.line(), file=sys.stderr)
    if stopped is not None:
        print(f"stopped: {stopped}. {_resume(settings)}", file=sys.stderr)
        _last_line(workshop, steps, None)
        return STOPPED
    return _finish(settings, job, workshop, steps, previous)


def _finish(settings: BuildSettings, job: Job, workshop: Workshop, steps: Steps[Any], previous: Previous | None) -> int:
    if settings.pilot and job.plan:
        judged = workshop.accepted + sum(workshop.reasons.values())
        plan, accepted = job.plan(), workshop.accepted
        speakers = {name: teacher.served for name, teacher in workshop.switchboard.teachers.items()}
        print(
            planning.pilot(
                plan, workshop.measured or {}, speakers, rows=settings.rows, accepted=accepted, judged=judged
            ),
            file=sys.stderr,
        )
        _last_line(workshop, steps, None)
        return 0
    short = steps.shortfall() or (None if workshop.accepted else "no row was accepted")
    if short is not None and not (settings.short and workshop.accepted):
        print(f"short: {short}. Nothing was released; --short releases what was reached.", file=sys.stderr)
        _last_line(workshop, steps, None)
        return SHORT
    released = release(
        settings,
        family=job.family,
        workshop=workshop,
        coverage=steps.coverage(),
        calls_read=steps.calls_read(),
        inputs=job.inputs,
        previous=previous,
    )
    _say_what_was_made(settings, workshop, released)
    _last_line(workshop, steps, released)
    return 0


def _say_what_was_made(settings: BuildSettings, workshop: Workshop, released: Release) -> None:
    rejects = sum(workshop.reasons.values())
    print(f"{workshop.accepted + rejects} judged → {rejects} rejected → {workshop.accepted} rows", file=sys.stderr)
    for reason, count in sorted(workshop.reasons.items(), key=lambda item: -item[1]):
        print(f"  {count:6d} {reason}", file=sys.stderr)
    splits = ", ".join(f"{split} {count}" for split, count in released.splits.items())
    print(f"{released.config} {released.version} → {settings.out} ({splits})", file=sys.stderr)
    if released.changes is not None:
        print(f"  {told(released.changes, 'since the release before')}", file=sys.stderr)
    load = f"datasets.load_dataset({str(settings.out)!r}, {released.config!r})"
    print(f'next: python -c "import datasets; print({load})"', file=sys.stderr)


def _last_line(workshop: Workshop, steps: Steps[Any], released: Release | None) -> None:
    tally = workshop.switchboard.tally
    speakers = [teacher.served for teacher in workshop.switchboard.teachers.values()]
    priced = all(served.endpoint.price(served.model) for served in speakers)
    summary = {
        "rows": workshop.accepted,
        "rejected": dict(sorted(workshop.reasons.items())),
        "calls": tally.calls,
        "from_ledger": tally.from_ledger,
        "surplus": steps.surplus(),
        "in_doubt": workshop.switchboard.ledger.spent().doubtful_calls,
        "tokens": tally.tokens_in + tally.tokens_out,
        "usd": round(tally.usd, 6) if priced else None,
        "version": released.version if released else None,
        "path": str(released.path) if released else None,
    }
    print(json.dumps(summary, ensure_ascii=False), flush=True)


def _resume(settings: BuildSettings) -> str:
    return f"What was paid for is in {settings.ledger}; the same command goes on where it stood"
