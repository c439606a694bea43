"""Between questions and teachers: the ledger is looked up, the budget reserved, the endpoint asked until it answers."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

from pydantic import BaseModel

from builders.engine.batch_desk import BatchDesk
from builders.engine.budget import Budget, Cost
from builders.engine.endpoints import ServedModel
from builders.engine.errors import Interrupted, Misconfigured, Unavailable, Unpaid
from builders.engine.ledger import Answer, Claim, Ledger
from builders.engine.teacher import Failure, Teacher, cost_of, refusal, worst_input
from schemas.base import Message, canonical

TRIES_AT_A_WRONG_ADDRESS = 3
TRIES = 8  # waiting 0.5 + 1 + 2 + ... + 30 s between them: about a minute
OTHERS_ANSWERED = 3
"""A call fails by its own fault when others were answered between so many of its attempts."""
SILENCE_SECONDS = 90.0
"""An endpoint that answered anybody this recently is alive: a failing call is tried on."""
LEAST_WAIT, LONGEST_WAIT = 0.05, 30.0
SECONDS_BETWEEN_LOOKS = 0.25
"""How often a call that another run is buying is looked up."""


class Call(NamedTuple):
    """A request and its ledger key: everything that can change the answer, and nothing else."""

    request: dict[str, Any]
    key: str


@dataclass
class Tally:
    """What a run has asked so far."""

    calls: int = 0
    """Answers bought by this run."""
    from_ledger: int = 0
    """Answers found in the ledger."""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float = 0.0
    """Cost of the answers bought by this run."""


class Switchboard:
    """Connects role names to teachers, with one ledger and one budget behind all of them."""

    def __init__(
        self,
        teachers: Mapping[str, Teacher],
        *,
        ledger: Ledger,
        budget: Budget,
        watermark: int = 0,
    ) -> None:
        self.teachers = teachers
        self.ledger = ledger
        self.budget = budget
        self.watermark = watermark
        """Answers of the ledger that were there before this build; only these count as free."""
        self.tally = Tally()
        self.trouble = ""
        """Why nothing is being answered; empty as soon as something is."""
        self.stopping = asyncio.Event()
        """Set to let nothing more leave; what is in flight still lands in the ledger."""
        self.desks: dict[str, BatchDesk] = {}
        """Who fetches the batches of each served model."""
        self.in_batches = False
        """Whether calls are handed in there rather than sent one by one."""
        self._jitter = random.Random(0)
        self._listeners: list[Callable[[], None]] = []

    def is_paid(self, messages: Sequence[Message], *, by: str = "teacher") -> bool:
        """Whether somebody else's build has paid for the text answer to these messages."""
        return self.ledger.has(self.call(by, messages, None, 0).key, up_to=self.watermark)

    def call(self, by: str, messages: Sequence[Message], shape: type[BaseModel] | None, sample: int) -> Call:
        """The request that a question becomes at the endpoint of `by`."""
        served = self.teachers[by].served
        endpoint = served.endpoint
        request: dict[str, Any] = {"model": served.model, "messages": [said.model_dump() for said in messages]}
        optional: dict[str, Any] = {
            "max_tokens": endpoint.answer_limit,
            "max_completion_tokens": endpoint.answer_limit,
            "temperature": served.temperature,
            "seed": sample,
        }
        request |= {name: value for name, value in optional.items() if name in endpoint.sends}
        if shape is not None:
            schema = json_schema(shape)
            if "response_format" in endpoint.sends:
                form = {"name": shape.__name__, "strict": True, "schema": schema}
                request["response_format"] = {"type": "json_schema", "json_schema": form}
            else:
                last = request["messages"][-1]
                last["content"] += f"\n\nAnswer with one JSON object that fits this JSON schema:\n{canonical(schema)}"
        identity = canonical({"endpoint": endpoint.name, "sample": sample, **request})
        return Call(request, hashlib.sha256(identity.encode()).hexdigest())

    async def answer(self, by: str, call: Call, *, free: bool) -> tuple[Answer, bool]:
        """The answer to a call, perhaps a refusal, and whether this run bought it. Raises Unpaid when it must be free."""
        if free and not self.ledger.has(call.key, up_to=self.watermark):
            raise Unpaid(call.key)
        while True:
            found = self.ledger.find(call.key)
            if found is not None:
                self.tally.from_ledger += 1
                return found, False
            bought = await self._buy(self.teachers[by], call)
            if bought is not None:
                return bought, True
            self.check()
            self.desks[str(self.teachers[by].served)].check()  # who may be fetching it
            await asyncio.sleep(SECONDS_BETWEEN_LOOKS)

    def on_stop(self, listener: Callable[[], None]) -> None:
        """Call this when the run is told to stop."""
        self._listeners.append(listener)

    def stop(self) -> None:
        """Let nothing more leave, and wake whoever waits so that they notice."""
        self.stopping.set()
        self.budget.stop(Interrupted("told to stop"))
        for listener in self._listeners:
            listener()
        for teacher in self.teachers.values():
            teacher.throttle.open_up()

    async def _buy(self, teacher: Teacher, call: Call) -> Answer | None:
        """Try until there is an answer; None when somebody else has or is buying it."""
        attempts = failures = interleaved = 0
        while True:
            self.check()
            heard = teacher.answers
            if self.in_batches:
                outcome = await self._attempt_in_batch(self.desks[str(teacher.served)], teacher, call)
            else:
                async with teacher.throttle.slot():
                    outcome = await self._attempt(teacher, call)
            if not isinstance(outcome, Failure):
                return outcome
            self.trouble = outcome.message
            attempts += 1
            failures += outcome.kind != "throttled"
            interleaved += teacher.answers > heard
            self._raise_if_lost(teacher, outcome, attempts)
            if failures >= TRIES and interleaved >= OTHERS_ANSWERED:
                return await self._remember_refusal(call, outcome)
            await self._sleep(self._pause(outcome, attempts))

    def _pause(self, failure: Failure, attempts: int) -> float:
        """Seconds before the next attempt: what the endpoint asked for, else twice as long each time."""
        doubling = 0.5 * 2 ** min(attempts - 1, 10)
        pause = doubling if failure.retry_after is None else max(failure.retry_after, LEAST_WAIT)
        return min(LONGEST_WAIT, pause) * self._jitter.uniform(0.5, 1.5)

    async def _attempt(self, teacher: Teacher, call: Call) -> Answer | Failure | None:
        """Reserve, claim, send, settle: one attempt, with every state of it on disk."""
        self.check()
        worst = self._worst(teacher.served, call)
        await self.budget.reserve(worst)
        actual = Cost(0, 0.0)
        try:
            self.check()
            claim = await self.ledger.claim(call.key, tokens=worst.tokens, usd=worst.usd)
            if claim is None:
                return None
            actual = worst  # from here on, until something better is known, it may have been paid for
            outcome = await teacher.send(call.request)
            if isinstance(outcome, Failure) and outcome.kind == "refused":
                outcome = refusal(outcome)
            actual = await self._record(claim, call, outcome, worst)
            return outcome
        finally:
            self.budget.settle(worst, actual)

    async def _attempt_in_batch(self, desk: BatchDesk, teacher: Teacher, call: Call) -> Answer | Failure | None:
        """Reserve, hand in, wait for the batch, settle."""
        worst = self._worst(teacher.served, call)
        await self.budget.reserve(worst)
        actual = Cost(0, 0.0)
        try:
            self.check()
            actual = worst  # it may be in a batch until something better is known
            outcome = await desk.ask(call.key, call.request, worst)
            actual = cost_of(outcome, worst)
            return outcome
        finally:
            self.budget.settle(worst, actual)

    async def _record(self, claim: Claim, call: Call, outcome: Answer | Failure, worst: Cost) -> Cost:
        if isinstance(outcome, Failure):
            await self.ledger.fail(claim, "doubt" if outcome.doubt else "failed")
        else:
            await self.ledger.settle(claim, call.key, outcome)
            self.count(outcome)
        return cost_of(outcome, worst)

    def count(self, answer: Answer) -> None:
        """An answer was bought and is on disk."""
        self.trouble = ""
        self.tally.calls += 1
        self.tally.tokens_in += answer.tokens_in
        self.tally.tokens_out += answer.tokens_out
        self.tally.usd += answer.usd or 0.0

    async def _remember_refusal(self, call: Call, failure: Failure) -> Answer | None:
        """A call that fails for ever while others are answered must not hold up the run: it is refused."""
        claim = await self.ledger.claim(call.key, tokens=0, usd=0.0)
        if claim is None:
            return None
        answer = refusal(failure)
        await self.ledger.settle(claim, call.key, answer)
        return answer

    def _raise_if_lost(self, teacher: Teacher, failure: Failure, attempts: int) -> None:
        """Raise when the endpoint itself, not just this call, is beyond hope."""
        silence = asyncio.get_running_loop().time() - teacher.last_answer
        never_answered = silence == float("inf")
        if failure.kind == "misconfigured":
            raise Misconfigured(failure.message)
        if failure.kind == "wrong address" and never_answered and attempts >= TRIES_AT_A_WRONG_ADDRESS:
            raise Misconfigured(failure.message)
        if silence >= SILENCE_SECONDS and attempts >= TRIES:
            raise Unavailable(f"{failure.message} ({attempts} attempts)")

    def check(self) -> None:
        """Raise Interrupted when the run was told to stop."""
        if self.stopping.is_set():
            raise Interrupted("told to stop")

    async def _sleep(self, pause: float) -> None:
        """Wait, but not past a stop."""
        try:
            await asyncio.wait_for(self.stopping.wait(), pause)
        except TimeoutError:
            return
        raise Interrupted("told to stop")

    def _worst(self, served: ServedModel, call: Call) -> Cost:
        tokens_in, tokens_out = worst_input(call.request), served.endpoint.answer_limit
        price = served.price
        return Cost(tokens_in + tokens_out, price.usd(tokens_in, tokens_out) if price else 0.0)


@cache
def json_schema(shape: type[BaseModel]) -> dict[str, Any]:
    """The shape as a strict JSON schema: every property required, no other allowed (OpenAI structured outputs)."""
    return cast(dict[str, Any], _strict(shape.model_json_schema()))


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    strict = {name: _strict(value) for name, value in node.items() if name not in ("default", "title")}
    if isinstance(node.get("properties"), dict):
        strict["properties"] = {name: _strict(value) for name, value in node["properties"].items()}
        strict |= {"required": list(node["properties"]), "additionalProperties": False}
    return strict
