"""Money and tokens that may still be spent: the worst case is reserved before a call, the truth settled after it."""

import asyncio
from collections import deque
from typing import NamedTuple

from builders.engine.errors import OutOfBudget
from builders.engine.ledger import Spent


class Price(NamedTuple):
    """US dollars per million tokens, in and out."""

    tokens_in: float
    tokens_out: float

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """What a call costs."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


class Cost(NamedTuple):
    """Tokens and US dollars; the dollars are 0 when the price is unknown."""

    tokens: int
    usd: float


class Budget:
    """Shares what is left among the calls in flight, first come first served.

    A call that does not fit waits for others to settle below their worst case; when nothing is in flight and it still
    does not fit, the budget is out.
    """

    def __init__(self, *, max_usd: float | None, max_tokens: int | None, spent: Spent) -> None:
        self.max_usd = max_usd
        self.max_tokens = max_tokens
        self.used = Cost(spent.tokens + spent.doubtful_tokens, spent.usd + spent.doubtful_usd)
        """Settled and doubtful spending of this account, over all runs."""
        self.reserved = Cost(0, 0.0)
        self._queue: deque[tuple[Cost, asyncio.Future[None]]] = deque()

    def stop(self, why: BaseException) -> None:
        """Let nobody wait any longer; what is in flight still settles."""
        while self._queue:
            _, turn = self._queue.popleft()
            if not turn.done():
                turn.set_exception(why)

    async def reserve(self, worst: Cost) -> None:
        """Set the worst case aside; raises OutOfBudget when it can never fit."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((worst, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.settle(worst, Cost(0, 0.0))
            raise

    def take_over(self, worst: Cost) -> None:
        """Calls of an earlier run that are coming in after all: what was held as doubtful is reserved again."""
        self.used = Cost(self.used.tokens - worst.tokens, max(0.0, self.used.usd - worst.usd))
        self.reserved = Cost(self.reserved.tokens + worst.tokens, self.reserved.usd + worst.usd)

    def settle(self, worst: Cost, actual: Cost) -> None:
        """Replace a reservation by what the call came to."""
        left = Cost(self.reserved.tokens - worst.tokens, self.reserved.usd - worst.usd)
        self.reserved = left if left.tokens else Cost(0, 0.0)  # no float dust when nothing is in flight
        self.used = Cost(self.used.tokens + actual.tokens, self.used.usd + actual.usd)
        self._admit()

    def _admit(self) -> None:
        """Let in whoever fits, in order; whoever is first, does not fit and has nothing to wait for is told so."""
        while self._queue:
            worst, turn = self._queue[0]
            fits = self._fits(worst)
            if not (fits or turn.done() or self.reserved == (0, 0.0)):
                return
            self._queue.popleft()
            if turn.done():
                continue
            if fits:
                self.reserved = Cost(self.reserved.tokens + worst.tokens, self.reserved.usd + worst.usd)
                turn.set_result(None)
            else:
                turn.set_exception(OutOfBudget(self._why(worst)))

    def _fits(self, worst: Cost) -> bool:
        usd = self.used.usd + self.reserved.usd + worst.usd
        tokens = self.used.tokens + self.reserved.tokens + worst.tokens
        return (self.max_usd is None or usd <= self.max_usd) and (self.max_tokens is None or tokens <= self.max_tokens)

    def _why(self, worst: Cost) -> str:
        if self.max_usd is not None and self.used.usd + worst.usd > self.max_usd:
            return f"--max-usd {self.max_usd:g}: {self.used.usd:.4f} spent, the next call may cost {worst.usd:.4f}; raise it to go on"
        return f"--max-total-tokens {self.max_tokens}: {self.used.tokens} used, the next call may take {worst.tokens}; raise it to go on"
