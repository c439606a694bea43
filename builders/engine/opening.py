"""Everything a run needs, opened in order and closed again: ledger, rehearsal server, teachers, budget, spools."""

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping

from builders.engine.batch_desk import BatchDesk
from builders.engine.budget import Budget
from builders.engine.endpoints import UNSTARTED, ServedModel, served_model
from builders.engine.ledger import Ledger
from builders.engine.run import Stamp, Workshop
from builders.engine.spool import Spool
from builders.engine.switchboard import Switchboard
from builders.engine.teacher import Teacher
from builders.engine.throttle import Throttle
from schemas.settings import BuildSettings, InputError

NOBODY = """nobody to ask. Ways on:
  --{flag} rehearsal                        practise: no key, no cost, rows that refuse to be pushed
  --{flag} MODEL@openai                     with OPENAI_API_KEY in the environment
  --{flag} MODEL --base-url http://HOST/v1  any OpenAI-compatible server (vLLM, SGLang, llama.cpp, …)
  --{flag} MODEL@NAME                       an [endpoints.NAME] of suwen.toml or the recipe"""


def speakers_of(settings: BuildSettings, fields: tuple[str, ...], *, with_key: bool = True) -> dict[str, ServedModel]:
    """Who each model flag of a command names; raises InputError when one names nobody, or lacks its key or price."""
    named = settings.model_dump(include=set(fields))
    speakers = {field: _speaker(settings, field, named[field]) for field in fields}
    for served in speakers.values():
        if with_key:
            served.endpoint.key()
        if settings.max_usd is not None and served.price is None:
            raise InputError(
                f"--max-usd: the price of {served} is unknown; give --price IN,OUT in dollars per million tokens"
            )
    return speakers


def _speaker(settings: BuildSettings, field: str, value: str | None) -> ServedModel:
    flag = field.replace("_", "-")
    if value is None:
        raise InputError(f"--{flag}: {NOBODY.format(flag=flag)}")
    served = served_model(f"--{flag}", value, base_url=settings.base_url, price=settings.price, recipe=settings.recipe)
    return served._replace(batch=settings.batch)


@contextlib.asynccontextmanager
async def open_workshop(
    settings: BuildSettings, stamp: Stamp, speakers: Mapping[str, ServedModel]
) -> AsyncIterator[Workshop]:
    """A workshop whose `ask(by=NAME)` reaches the speaker of that name. Models of one endpoint share its throttle."""
    async with contextlib.AsyncExitStack() as stack:
        ledger = stack.enter_context(Ledger(settings.ledger, account=str(settings.out.resolve())))
        running = await stack.enter_async_context(_rehearsal_started(speakers))
        throttles = {served.endpoint.name: Throttle(settings.in_flight) for served in running.values()}
        teachers = {name: Teacher(served, throttles[served.endpoint.name]) for name, served in running.items()}
        for teacher in teachers.values():
            stack.push_async_callback(teacher.close)
        spent = ledger.spent()
        if spent.doubtful_calls:
            count = f"{spent.doubtful_calls} earlier calls are in doubt"
            print(f"{count}: cut off, perhaps paid; they count against the budget", file=sys.stderr)
        budget = Budget(max_usd=settings.max_usd, max_tokens=settings.max_total_tokens, spent=spent)
        switchboard = Switchboard(teachers, ledger=ledger, budget=budget, watermark=ledger.watermark(stamp.digest))
        await _open_desks(settings, switchboard, stack)
        beside = settings.out.resolve().parent
        rows, rejected = (stack.enter_context(contextlib.closing(Spool(beside))) for _ in range(2))
        yield Workshop(switchboard, stamp, rows=rows, rejected=rejected)


async def _open_desks(settings: BuildSettings, switchboard: Switchboard, stack: contextlib.AsyncExitStack) -> None:
    """One desk per served model; with --batch that is where its calls go."""
    switchboard.in_batches = settings.batch
    switchboard.desks = {
        str(teacher.served): BatchDesk(teacher, switchboard.ledger, switchboard.budget, count=switchboard.count)
        for teacher in switchboard.teachers.values()
    }
    for desk in switchboard.desks.values():
        await stack.enter_async_context(desk)
        switchboard.on_stop(desk.stop)


@contextlib.asynccontextmanager
async def _rehearsal_started(speakers: Mapping[str, ServedModel]) -> AsyncIterator[dict[str, ServedModel]]:
    """The speakers; those of the built-in rehearsal get its server, on a free port of the loopback."""
    if not any(served.endpoint.base_urls == UNSTARTED for served in speakers.values()):
        yield dict(speakers)
        return
    from builders.engine.rehearsal.server import Rehearsal

    async with Rehearsal() as rehearsal:
        running = {}
        for name, served in speakers.items():
            at = {"base_urls": (rehearsal.url,)} if served.endpoint.base_urls == UNSTARTED else {}
            running[name] = served._replace(endpoint=served.endpoint.model_copy(update=at))
        yield running
