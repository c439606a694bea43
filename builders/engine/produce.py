"""One build from settings to a released folder: plan, ask, judge, release, and say what happened.

Every builder's `main` ends here. Talk goes to stderr; the last line on stdout is one JSON object.
"""

import asyncio
import contextlib
import gc
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import schemas
from builders.engine import plan as planning
from builders.engine.closing import last_line, say_what_was_made, say_what_was_seen, say_where_it_is, summary
from builders.engine.endpoints import ServedModel
from builders.engine.errors import LedgerError, Misconfigured, Unavailable
from builders.engine.folder import Previous, check_folder, only_builder_of, read_previous
from builders.engine.opening import open_workshop, speakers_of
from builders.engine.plan import Plan
from builders.engine.progress import Progress
from builders.engine.push import Place, place_on_the_hub, push
from builders.engine.release import Continued, release
from builders.engine.run import Stamp, Workshop, stopped_by_signals
from builders.engine.steps import Steps
from schemas.base import PromptUse, Row, canonical
from schemas.settings import BuildSettings, InputError

SHORT = 3
"""Exit code: the seeds ran dry before --rows, and --short was not given."""
LEAST_WORKERS = 64
"""Workers of a run that wants fewer rows than that; more than its rows would only stand about."""
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
    temperatures: Mapping[str, float] = field(default_factory=dict)
    """Sampling temperature of a speaker; 1 for those that are not named."""
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
    speakers = {
        name: served._replace(temperature=job.temperatures.get(name, served.temperature))
        for name, served in speakers_of(settings, job.speakers).items()
    }
    _check_places(settings)
    _check_push(settings, speakers)
    try:
        with only_builder_of(settings.out):
            name = None if settings.pilot else settings.push
            place = place_on_the_hub(name, public=settings.public, pr=settings.pr)
            previous = _release_before(settings, job, place)
            taken = frozenset(place.head.tags) - {place.head.tag} if place and place.head else frozenset()
            ended = asyncio.run(_produce(settings, job, speakers, Continued(previous, taken)))
            return _publish(settings, job.config, ended, place)
    except (Misconfigured, LedgerError) as wrong:
        raise InputError(str(wrong)) from None
    except Unavailable as lost:
        print(f"stopped: {lost}. {_resume(settings)}", file=sys.stderr)
        return STOPPED
    except OSError as wrong:
        where = wrong.filename or settings.out
        raise InputError(
            f"{where}: {wrong.strerror or wrong}. Answers paid for are safe in {settings.ledger}"
        ) from None
    except KeyboardInterrupt:
        print(
            f"ended at once; what was in flight may have been done all the same. {_resume(settings)}", file=sys.stderr
        )
        return STOPPED


def _check_push(settings: BuildSettings, speakers: Mapping[str, ServedModel]) -> None:
    """Raise InputError before anything is asked when the rows could not be published anyway."""
    if not settings.push:
        if settings.public or settings.pr:
            raise InputError(f"--{'public' if settings.public else 'pr'}: say where to, with --push ORG/NAME")
        return
    if rehearsed := [name for name, served in speakers.items() if served.endpoint.name == "rehearsal"]:
        raise InputError(f"--push: --{rehearsed[0]} is the rehearsal; its rows stay here")
    if not settings.license:
        raise InputError(
            "--push: name the licence of the rows, e.g. --license cc-by-4.0; rows without one are not pushed"
        )


def _release_before(settings: BuildSettings, job: Job, place: Place | None) -> Previous | None:
    """The release that the build continues: that of --previous, else of --push, else of --out. Raises InputError."""
    held = check_folder(settings.out, job.config)
    if settings.previous:
        return read_previous(settings.previous, job.config, flag="--previous")
    if place and place.head and (previous := place.repo.previous(place.head, job.config)):
        return previous
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


class _Ended(NamedTuple):
    code: int
    figures: dict[str, Any]


async def _produce(
    settings: BuildSettings, job: Job, speakers: Mapping[str, ServedModel], continued: Continued
) -> _Ended:
    async with open_workshop(settings, stamp_of(settings, job), speakers) as workshop:
        with stopped_by_signals(workshop.switchboard), _seldom_collecting():
            return await _build(settings, job, workshop, continued)


@contextlib.contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Look for garbage seldom: every call makes thousands of objects, none of them in circles.

    The more calls are in flight, the more there is to look through, and for nothing.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


async def _build(settings: BuildSettings, job: Job, workshop: Workshop, continued: Continued) -> _Ended:
    steps = job.steps(workshop)
    workshop.measured = {} if settings.pilot else None
    goal = min(settings.pilot or sys.maxsize, settings.rows or sys.maxsize)
    async with Progress(workshop, goal if goal < sys.maxsize else None) as progress:
        try:
            stopped = await workshop.run(steps, at_once=min(settings.in_flight, max(goal, LEAST_WORKERS)))
        except Unavailable as lost:
            stopped = str(lost)
        except (Misconfigured, LedgerError):
            if workshop.switchboard.tally.calls:
                print(f"{progress.line()}\n{_resume(settings)}", file=sys.stderr)
                last_line(summary(workshop, steps, None))
            raise
    print(progress.line(), file=sys.stderr)
    if stopped is not None:
        print(f"stopped: {stopped}. {_resume(settings)}", file=sys.stderr)
        return _Ended(STOPPED, summary(workshop, steps, None))
    return _finish(settings, job, workshop, steps, continued)


def _finish(settings: BuildSettings, job: Job, workshop: Workshop, steps: Steps[Any], continued: Continued) -> _Ended:
    if settings.pilot and job.plan:
        return _Ended(0, {**summary(workshop, steps, None), "pilot": _reckon(settings, job.plan(), workshop)})
    short = steps.shortfall() or (None if workshop.accepted else "no row was accepted")
    if short is not None and not (settings.short and workshop.accepted):
        hint = "; --short releases what was reached" if workshop.accepted else ""
        print(f"short: {short}. Nothing was released{hint}.", file=sys.stderr)
        say_what_was_seen(workshop)
        return _Ended(SHORT, summary(workshop, steps, None))
    released = release(
        settings,
        family=job.family,
        workshop=workshop,
        coverage=steps.coverage(),
        calls_read=steps.calls_read(),
        inputs=job.inputs,
        continued=continued,
    )
    say_what_was_made(settings, workshop, released)
    return _Ended(0, summary(workshop, steps, released))


def _reckon(settings: BuildSettings, plan: Plan, workshop: Workshop) -> dict[str, float] | None:
    """What the whole run would cost, by what its pilot has cost."""
    judged = workshop.accepted + sum(workshop.reasons.values())
    speakers = {name: teacher.served for name, teacher in workshop.switchboard.teachers.items()}
    share = planning.wilson(workshop.accepted, judged)
    reckoned = planning.reckon(plan, workshop.measured or {}, speakers, share)
    print(planning.pilot(reckoned, share, settings.rows, accepted=workshop.accepted, judged=judged), file=sys.stderr)
    return reckoned.usd._asdict() if reckoned.usd else None


def _publish(settings: BuildSettings, config: str, ended: _Ended, place: Place | None) -> int:
    """Push what was released; the figures are told whatever becomes of that."""
    pushed = None
    try:
        if place and ended.code == 0:
            pushed = push(settings.out, place.repo, place.head, public=settings.public, pr=settings.pr)
            say_where_it_is(pushed, settings.out, config, public=settings.public)
    finally:
        last_line(ended.figures, pushed)
    return ended.code


def _resume(settings: BuildSettings) -> str:
    return f"What was paid for is in {settings.ledger}; the same command goes on where it stood"
