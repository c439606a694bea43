"""Turn seeds into rows: a pool of workers, each asking for one seed at a time, and what becomes of what they bring.

The order of the rows is the order in which the seeds were handed out, never the order in which answers arrived.
"""

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

import pydantic_core

from builders.engine.ask import Ask, Asking, Heard
from builders.engine.errors import Interrupted, Reject
from builders.engine.seen import Seen
from builders.engine.spool import Spool
from builders.engine.switchboard import Switchboard
from schemas.base import PromptUse, Provenance, Record, Row

if TYPE_CHECKING:
    from builders.engine.steps import Steps

Seed = TypeVar("Seed", contravariant=True)
S = TypeVar("S")


class Seeds(Protocol[S]):
    """Seeds in order, and an ear for what became of each."""

    def __aiter__(self) -> AsyncIterator[S]:
        """The seeds, handed out one at a time."""
        ...

    def told(self, seed: S, accepted: bool) -> None:
        """Called once for every seed handed out."""
        ...

    def stop(self) -> None:
        """End now: whoever waits for verdicts is to wait no more."""
        ...


class Build(Protocol[Seed]):
    """A builder: one seed to its rows, each with a key of its own; raises Reject for a seed that is worth none."""

    async def __call__(self, seed: Seed, ask: Ask, /) -> Sequence[Row]:
        """Build the rows of one seed."""
        ...


class Rejected(Record):
    """A row that did not make it, kept with its reason."""

    key: str
    builder: str
    config: str
    reason: str
    detail: str
    row: str
    """JSON of the seed, or of the row as far as it had come."""


class Stamp(NamedTuple):
    """What the engine writes into the provenance of every row of a build."""

    builder: str
    version: str
    config: str
    license: str
    prompts: tuple[PromptUse, ...]
    digest: str
    """SHA-256 of everything that decides the rows besides the answers: settings, prompts, inputs, code version."""


JUDGED_BEFORE_A_WARNING = 200
HARDLY_ANY = 0.05


class Workshop:
    """One run: seeds in, rows and rejects out."""

    def __init__(self, switchboard: Switchboard, stamp: Stamp, *, rows: Spool, rejected: Spool) -> None:
        self.switchboard = switchboard
        self.stamp = stamp
        self.rows = rows
        self.rejected = rejected
        self.accepted = 0
        self.kept = self.turned_down = 0
        """Verdicts so far, as they fall: rows or items worth going on with, and those that are not."""
        self._turned_down_for: Counter[str] = Counter()
        self._warned = False
        self._keys = Seen()
        self.measured: dict[str, list[Heard]] | None = None
        """What each kind of call cost; kept by a pilot alone, which has to reckon with it."""
        self.reasons: dict[str, int] = {}

    def verdict(self, reason: str | None) -> None:
        """Hear a verdict as it falls; say so once when almost nothing is kept, before much is spent on it."""
        self.kept += reason is None
        self.turned_down += reason is not None
        self._turned_down_for.update([reason] if reason else [])
        judged = self.kept + self.turned_down
        if not self._warned and judged >= JUDGED_BEFORE_A_WARNING and self.kept < HARDLY_ANY * judged:
            self._warned = True
            (worst, count), *_ = self._turned_down_for.most_common(1)
            told = f"only {self.kept} of {judged} judged were kept; {count} were turned down for: {worst}"
            print(f"warning: {told}. Ctrl-C stops without losing anything.", file=sys.stderr, flush=True)

    def measure(self, kind: str, heard: Sequence[Heard]) -> None:
        """Note what calls of a kind cost, when anybody wants to know."""
        if self.measured is not None:
            self.measured.setdefault(kind, []).extend(heard)

    def reject(self, key: str, verdict: Reject, row: str) -> None:
        """Keep what was rejected, with its reason."""
        self.reasons[verdict.reason] = self.reasons.get(verdict.reason, 0) + 1
        kept = Rejected(
            key=key,
            builder=self.stamp.builder,
            config=self.stamp.config,
            reason=verdict.reason,
            detail=verdict.detail,
            row=row,
        )
        self.rejected.add(key, kept.model_dump_json())

    async def run(self, steps: "Steps[S]", *, at_once: int) -> str | None:
        """Build until the seeds end; returns why it ended early, or None. Bugs and misconfigurations are raised.

        Whatever ends the run, calls in flight are let land in the ledger first.
        """
        numbered = _Numbered(steps)
        self.switchboard.on_stop(steps.seeds.stop)
        ended = await asyncio.gather(*(self._worker(numbered, steps) for _ in range(at_once)), return_exceptions=True)
        await numbered.close()
        errors = [error for error in ended if isinstance(error, BaseException)]
        for error in errors:
            if not isinstance(error, Interrupted):
                raise error
        return next((str(error) for error in sorted(errors, key=lambda error: type(error) is Interrupted)), None)

    async def _worker(self, numbered: "_Numbered[S]", steps: "Steps[S]") -> None:
        try:
            while (handed := await numbered.take()) is not None:
                number, seed, repeated = handed
                self.switchboard.check()
                ask = Asking(self.switchboard)
                try:
                    if repeated:
                        raise Reject("key repeated", "an earlier seed has the same key")
                    rows = await steps.build(seed, ask)
                except Reject as verdict:
                    self.reject(steps.key(seed), verdict, _shown(seed))
                    self.verdict(verdict.reason)
                    rows = []
                finally:
                    self.measure("answers", ask.heard)
                for position, row in enumerate(rows):
                    self._only_once(row.key)
                    line = self._stamped(row, ask).model_dump_json()
                    self.rows.add(f"{steps.order(seed, number)}.{position:04d}", line)
                self.accepted += len(rows)
                if rows:
                    self.verdict(None)
                steps.seeds.told(seed, bool(rows))
        except BaseException:
            self.switchboard.stop()
            raise

    def _only_once(self, key: str) -> None:
        if not self._keys.add(key):
            raise ValueError(f"two rows have the key {key!r}: a builder gives every row a key of its own")

    def _stamped(self, row: Row, ask: Asking) -> Row:
        """The row with everything in its provenance that the engine knows and the builder does not."""
        known = row.provenance
        teachers = dict.fromkeys([*known.teachers, *(heard.by for heard in ask.heard)])
        provenance = Provenance(
            **{
                **known.model_dump(),
                "license": known.license or self.stamp.license,
                "builder": self.stamp.builder,
                "builder_version": self.stamp.version,
                "prompts": self.stamp.prompts,
                "teachers": tuple(teachers),
                "calls": (*known.calls, *(heard.key for heard in ask.heard)),
                "rehearsal": known.rehearsal or any(heard.rehearsal for heard in ask.heard),
            }
        )
        return row.model_copy(update={"provenance": provenance})


class InOrder(Seeds[S]):
    """Seeds from any iterable, until `rows` of them were accepted: always the first in the source's order.

    Hands out as many as are missing, hears all their verdicts, and goes on with as many as were lost.
    """

    def __init__(self, source: Iterable[S], rows: int | None = None) -> None:
        self._source = iter(source)
        self._rows = rows
        self._accepted = 0
        self._open = 0
        self._stopped = False
        self._heard = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[S]:
        for seed in self._source:
            while self._rows is not None and self._accepted + self._open >= self._rows:
                if self._open == 0 or self._stopped:
                    return
                self._heard.clear()
                await self._heard.wait()
            self._open += 1
            yield seed

    def shortfall(self) -> str | None:
        """Why fewer rows than asked for were accepted, or None."""
        if self._rows is None or self._accepted >= self._rows:
            return None
        return f"{self._accepted} of {self._rows} rows: the source has no more"

    def told(self, seed: S, accepted: bool) -> None:
        """A verdict: one fewer open, perhaps one more accepted."""
        self._open -= 1
        self._accepted += accepted
        self._heard.set()

    def stop(self) -> None:
        """Hand out nothing more."""
        self._stopped = True
        self._heard.set()


class _Handed(NamedTuple, Generic[S]):
    number: int
    seed: S
    repeated: bool
    """Whether an earlier seed had the same key."""


class _Numbered(Generic[S]):
    """Hands seeds to many workers, one at a time, each with its number."""

    def __init__(self, steps: "Steps[S]") -> None:
        self._seeds = steps.seeds.__aiter__()
        self._key = steps.key
        self._lock = asyncio.Lock()
        self._keys = Seen()
        self._count = 0

    async def take(self) -> _Handed[S] | None:
        async with self._lock:
            try:
                seed = await anext(self._seeds)
            except StopAsyncIteration:
                return None
            self._count += 1
            key = self._key(seed)
            repeated = not self._keys.add(key)
            return _Handed(self._count, seed, repeated)

    async def close(self) -> None:
        """End the seeds, which lets what they have in flight land."""
        if isinstance(self._seeds, AsyncGenerator):
            await self._seeds.aclose()


def _shown(seed: Any) -> str:
    """JSON of a seed, for those who read what was rejected."""
    fields = seed._asdict() if isinstance(seed, tuple) and hasattr(seed, "_asdict") else seed
    return pydantic_core.to_json(fields, fallback=str).decode()


@contextlib.contextmanager
def stopped_by_signals(switchboard: Switchboard) -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the run gently; a second one ends it at once."""

    def stop() -> None:
        if switchboard.stopping.is_set():
            raise KeyboardInterrupt
        print("stopping: waiting for the calls in flight (again to end at once)", file=sys.stderr, flush=True)
        switchboard.stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
