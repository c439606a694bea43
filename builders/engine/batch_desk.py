"""Where calls are handed in for batches: gathered, planned in the ledger, submitted, fetched, and each one's fate told.

A worker hands in a call and waits. Once nobody has handed in anything for a moment, what is there becomes a batch. Its
name is in the ledger before a byte leaves, so whatever is killed when, the next run finds the batch and fetches it.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, NamedTuple

from builders.engine.batch_api import BatchApi, Result, State, line_of
from builders.engine.batch_book import BatchBook, OpenBatch, OpenCall
from builders.engine.budget import Budget, Cost
from builders.engine.errors import Interrupted, Misconfigured, Unavailable
from builders.engine.ledger import Answer, Claim, Ledger
from builders.engine.teacher import ABOUT_ONE_REQUEST, Failure, Teacher, cost_of, refusal

QUIET_SECONDS = 1.0
"""A batch is closed when nobody has handed in anything for so long."""
MOST_REQUESTS = 50_000
MOST_BYTES = 100_000_000
"""Half of what OpenAI takes; the file is held in memory while it is sent."""
SECONDS_BETWEEN_TAKEOVERS = 5.0
FIRST_LOOK, LONGEST_PAUSE = 0.25, 60.0
"""Seconds between looks at a batch: they grow by half."""
SETTLED_TOGETHER = 500
LOOKS_FOR_A_LATE_ONE = 20
"""How often, a second apart, a batch is looked for whose creation was begun: a slow endpoint may be at it still."""
SECONDS_TO_LAND = 10.0
"""How long the end of a run waits for results that are being written down; the next run fetches the others."""
LATEST = 300.0
"""Seconds that the files of a batch may come after its end."""
LATER = ("token_limit_exceeded", "rate_limit_exceeded")
"""What a batch fails validation for that passes by itself."""

Outcome = Answer | Failure | None


class _HandedIn(NamedTuple):
    key: str
    line: bytes
    worst: Cost


class BatchDesk:
    """The batches of one served model in one run; use as an async context manager.

    A run without --batch hands in nothing here, but fetches what earlier runs have handed in.
    """

    def __init__(self, teacher: Teacher, ledger: Ledger, budget: Budget, *, count: Callable[[Answer], None]) -> None:
        self._teacher = teacher
        self._ledger = ledger
        self._budget = budget
        self._count = count
        self._api = BatchApi(teacher)
        self._book = BatchBook(ledger, str(teacher.served))
        self._waiting: list[_HandedIn] = []
        self._arrived = asyncio.Event()
        self._coming: dict[str, asyncio.Future[Outcome]] = {}
        """Calls handed in or taken over, until their fate is known."""
        self._ended: BaseException | None = None
        self._held: dict[Claim, Cost] = {}
        """What the budget holds for calls taken over."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._landing: set[asyncio.Task[Any]] = set()
        """Those that write down what a batch has brought."""
        self.states: dict[str, str] = {}
        """Open batches by their id at the endpoint, and how far they are."""

    async def __aenter__(self) -> "BatchDesk":
        await self._take_over()  # before anybody asks the budget
        self._start(self._serve())
        return self

    async def _take_over(self) -> None:
        for batch in await self._book.take_over():
            for call in batch.calls:
                self._coming.setdefault(call.key, asyncio.get_running_loop().create_future())
                if call.ours:
                    self._budget.take_over(call.worst)
                    self._held[call.claim] = call.worst
            self._start(self._resume(batch))

    async def __aexit__(self, *_: object) -> None:
        if self._landing:
            await asyncio.wait(self._landing, timeout=SECONDS_TO_LAND)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for remote, done in self.states.items():
            told = f"batch {remote} goes on at the endpoint ({done or 'just begun'})"
            print(f"{told}; the same command fetches its results", file=sys.stderr)

    async def ask(self, key: str, request: Mapping[str, Any], worst: Cost) -> Outcome:
        """Hand in a call and wait for its fate; None when somebody else has or is buying it."""
        self.check()
        if key not in self._coming:
            self._coming[key] = asyncio.get_running_loop().create_future()
            self._waiting.append(_HandedIn(key, line_of(key, request), worst))
            self._arrived.set()
        return await asyncio.shield(self._coming[key])

    def check(self) -> None:
        """Raise what ended the fetching, if anything did: nobody is to wait for it any more."""
        if self._ended is not None:
            raise self._ended

    def stop(self) -> None:
        """Wait for nothing more; batches go on without us."""
        self._end(Interrupted("told to stop"))

    def _end(self, why: BaseException) -> None:
        self._ended = self._ended or why
        self._waiting.clear()
        for future in self._coming.values():
            if not future.done():
                future.set_exception(why)
                future.exception()  # heard, even when nobody waits for it

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside the others; whatever ends it badly ends everybody's waiting."""
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            if not done.cancelled() and (wrong := done.exception()):
                self._end(wrong)

        task.add_done_callback(ended)

    async def _serve(self) -> None:
        while True:
            await self._take_over()
            try:
                await asyncio.wait_for(self._arrived.wait(), SECONDS_BETWEEN_TAKEOVERS)
            except TimeoutError:
                continue
            if handed_in := await self._gathered():
                self._start(self._submit(handed_in))

    async def _gathered(self) -> list[_HandedIn]:
        """What was handed in, once nothing more comes or a batch is full."""
        seen = -1
        while seen != len(self._waiting) < MOST_REQUESTS:
            seen = len(self._waiting)
            await asyncio.sleep(QUIET_SECONDS)
        size = count = 0
        for one in self._waiting[:MOST_REQUESTS]:
            size += len(one.line)
            if count and size > MOST_BYTES:
                break
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        if not self._waiting:
            self._arrived.clear()
        return taken

    async def _submit(self, handed_in: list[_HandedIn]) -> None:
        handed_in = list({one.key: one for one in handed_in}.values())  # told and asked again while it waited here
        batch = await self._book.plan([(one.key, one.worst) for one in handed_in])
        planned = {call.key for call in batch.calls} if batch else set()
        for one in handed_in:
            if one.key not in planned:
                self._tell(one.key, None)
        if batch is None:
            return
        lines = [one.line for one in handed_in if one.key in planned]
        try:
            file = await self._api.upload(lines)
            await self._book.creating(batch)
            remote = await self._api.create(batch.uuid, file)
        except Misconfigured:
            await self._book.close(batch)
            raise
        await self._book.submitted(batch, remote)
        print(f"batch {remote}: {len(lines):,} requests handed in", file=sys.stderr, flush=True)
        await self._fetch(batch, remote)

    async def _resume(self, batch: OpenBatch) -> None:
        """Fetch what an earlier run has handed in, if it came to that."""
        try:
            await self._resumed(batch)
        finally:  # whatever ended the fetching, nobody is to wait for what it holds
            for call in batch.calls:
                if worst := self._held.pop(call.claim, None):
                    self._budget.settle(worst, worst)

    async def _resumed(self, batch: OpenBatch) -> None:
        looks = LOOKS_FOR_A_LATE_ONE if batch.maybe else 1
        remote = batch.remote or await self._api.find(batch.uuid, since=batch.at, looks=looks)
        if remote is None:  # killed before it was created, as far as can be seen
            await self._book.close(batch, doubtful=batch.maybe)
            self._let_go(batch.calls, Failure("unavailable", "never created", doubt=batch.maybe), taken_over=True)
            return
        if batch.remote is None:
            await self._book.submitted(batch, remote)
        print(
            f"batch {remote} of an earlier run: fetching its {len(batch.calls):,} results", file=sys.stderr, flush=True
        )
        await self._fetch(batch, remote, taken_over=True)

    async def _fetch(self, batch: OpenBatch, remote: str, *, taken_over: bool = False) -> None:
        """Wait for a batch, and tell every call's fate."""
        state = await self._until_over(remote)
        if task := asyncio.current_task():
            self._landing.add(task)
            task.add_done_callback(self._landing.discard)
        open_calls = {call.key: call for call in batch.calls}
        heard = 0
        for file in state.files:
            chunk: list[Result] = []
            async for result in self._api.results(file):
                heard += 1
                if result.key in open_calls:
                    chunk.append(result)
                if len(chunk) == SETTLED_TOGETHER:
                    await self._settle(chunk, open_calls, taken_over=taken_over)
                    chunk = []
            await self._settle(chunk, open_calls, taken_over=taken_over)
        fate = _fate_of_the_rest(remote, state, heard)
        await self._book.close(batch, doubtful=fate.doubt)
        del self.states[remote]
        self._let_go(open_calls.values(), fate, taken_over=taken_over)
        _stop_if_told(remote, state)

    async def _until_over(self, remote: str) -> State:
        pause, late = FIRST_LOOK, 0.0
        while True:
            state = await self._api.look(remote)
            self.states[remote] = state.done
            if state.over and (state.files or not state.through or late > LATEST):
                return state
            late += pause if state.over else 0.0
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 1.5)

    async def _settle(self, results: list[Result], open_calls: dict[str, OpenCall], *, taken_over: bool) -> None:
        """Make results durable, then tell them. What is told is no longer open."""
        calls = [open_calls.pop(result.key) for result in results]
        outcomes = [self._outcome(result, call) for result, call in zip(results, calls, strict=True)]
        await asyncio.gather(*(self._record(call, outcome) for call, outcome in zip(calls, outcomes, strict=True)))
        for call, outcome in zip(calls, outcomes, strict=True):
            self._done(call, outcome, taken_over=taken_over)

    def _outcome(self, result: Result, call: OpenCall) -> Answer | Failure:
        if result.status == 200:
            heard = self._teacher.heard(
                result.body, rehearsal=result.rehearsal, most_in=lambda: call.worst.tokens, batch=True
            )
            if isinstance(heard, Answer):
                return heard
            return Failure(
                "unavailable", f"a batch answered 200 with something that is no chat completion: {heard}", True
            )
        message = f"a batch answered {result.status or 'nothing'}: {result.said[:300]}"
        if result.status in ABOUT_ONE_REQUEST:
            if self._teacher.last_answer == float("-inf"):  # nothing was ever answered: it is about all of them
                return Failure("misconfigured", message)
            return refusal(Failure("refused", message))
        return Failure("throttled" if result.status == 429 else "unavailable", message)

    async def _record(self, call: OpenCall, outcome: Answer | Failure) -> None:
        if isinstance(outcome, Answer):
            await self._ledger.settle(call.claim, call.key, outcome)
            self._count(outcome)
        else:
            await self._ledger.fail(call.claim, "doubt" if outcome.doubt else "failed")

    def _let_go(self, calls: Iterable[OpenCall], fate: Failure, *, taken_over: bool) -> None:
        """Calls that did not come in: they can be asked again."""
        for call in calls:
            self._done(call, fate, taken_over=taken_over)

    def _done(self, call: OpenCall, outcome: Outcome, *, taken_over: bool) -> None:
        if worst := self._held.pop(call.claim, None):
            self._budget.settle(worst, cost_of(outcome, worst))
        self._tell(call.key, None if taken_over else outcome)  # its cost is settled; who waits finds it in the ledger

    def _tell(self, key: str, outcome: Outcome) -> None:
        future = self._coming.pop(key, None)
        if future is not None and not future.done():
            future.set_result(outcome)


def _fate_of_the_rest(remote: str, state: State, heard: int = 0) -> Failure:
    """What became of the calls of a batch that stand in no result file."""
    told = "; ".join(f"{code}: {message}" for code, message in state.trouble[:3])
    message = f"batch {remote} ended as {state.status}" + (f" ({told})" if told else " without an answer to this call")
    later = any(code in LATER for code, _ in state.trouble)
    return Failure(
        "throttled" if later else "unavailable", message, doubt=state.status == "gone" or heard < state.through
    )


def _stop_if_told(remote: str, state: State) -> None:
    """A batch that somebody cancelled is not handed in again at once; one that is refused would be refused again."""
    if state.status == "cancelled":
        raise Unavailable(f"batch {remote} was cancelled at the endpoint")
    if state.status == "failed" and not any(code in LATER for code, _ in state.trouble):
        raise Misconfigured(f"--batch: {_fate_of_the_rest(remote, state).message}")
