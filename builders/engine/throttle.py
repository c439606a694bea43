"""How many calls one endpoint gets at once: additive increase, multiplicative decrease, and pauses it asked for.

The shape is TCP's congestion control (RFC 5681): each answer widens the window by 1/window, a push-back (429 or a
timeout) narrows it to 0.7 of its size, at most once a second. `Retry-After` and the rate-limit headers pause everybody.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import AsyncIterator, Mapping

SHRINK = 0.7
SECONDS_BETWEEN_CUTS = 1.0
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


class Throttle:
    """Hands out the slots of one endpoint, first come first served."""

    def __init__(self, ceiling: int) -> None:
        self.ceiling = float(ceiling)
        self.window = float(ceiling)
        self.in_flight = 0
        self._resume_at = 0.0
        self._last_cut = float("-inf")
        self._open = False
        self._queue: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """One slot, held for as long as a call is in flight."""
        await self._enter()
        try:
            yield
        finally:
            self.in_flight -= 1
            self._admit()

    def answered(self, headers: Mapping[str, str]) -> None:
        """An answer came: widen the window, unless the headers say the allowance is used up."""
        self.window = min(self.ceiling, self.window + 1 / self.window)
        for kind in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
                self.pause(seconds(headers.get(f"x-ratelimit-reset-{kind}", "")) or 1.0)

    def pushed_back(self, retry_after: float | None) -> None:
        """The endpoint said "too much", or nothing at all: narrow the window, and wait as long as it asked."""
        now = asyncio.get_running_loop().time()
        if now - self._last_cut >= SECONDS_BETWEEN_CUTS:
            self.window = max(1.0, self.window * SHRINK)
            self._last_cut = now
        if retry_after:
            self.pause(retry_after)

    def pause(self, delay: float) -> None:
        """Admit nobody for `delay` seconds."""
        loop = asyncio.get_running_loop()
        self._resume_at = max(self._resume_at, loop.time() + delay)
        loop.call_at(self._resume_at, self._admit)

    def open_up(self) -> None:
        """Admit everybody at once; for a run that is stopping, whose calls will not be sent."""
        self._open = True
        self._admit()

    def _has_room(self, now: float) -> bool:
        return self.in_flight + 1 <= max(1.0, self.window) and now >= self._resume_at

    async def _enter(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.in_flight -= 1
                self._admit()
            raise

    def _admit(self) -> None:
        loop = asyncio.get_running_loop()
        while self._queue and (self._open or self._has_room(loop.time())):
            turn = self._queue.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)


def seconds(text: str) -> float | None:
    """A delay as servers write it: `2`, `0.5`, `20ms`, `1m30s`; None when it is not one (RFC 9110 dates are ignored)."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text.strip())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip():
        return None
    return sum(float(number) * UNITS[unit] for number, unit in parts)
