"""How a run shows itself: one live line on a terminal, a plain line now and then in a log. All of it on stderr."""

import asyncio
import sys
import time

from builders.engine.run import Workshop

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Rows, rejects, calls a second, tokens, money and time left; use as an async context manager."""

    def __init__(self, workshop: Workshop, rows: int | None) -> None:
        self._workshop = workshop
        self._rows = rows
        self._started = time.monotonic()

    async def __aenter__(self) -> "Progress":
        self._task = asyncio.create_task(self._live() if sys.stderr.isatty() else self._log())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def line(self) -> str:
        """Where the run stands."""
        tally, done = self._workshop.switchboard.tally, self._workshop.accepted
        elapsed = max(time.monotonic() - self._started, 1e-9)
        missing = max(0, (self._rows or 0) - done)  # a seed may give several rows
        left = f"{missing * elapsed / done:.0f} s left" if done and self._rows else "…"
        goal = f"/{self._rows}" if self._rows else ""
        rejects = self._workshop.turned_down
        money = f"${tally.usd:.4f}" if tally.usd else "$0"
        switchboard = self._workshop.switchboard
        trouble = f"  trying again: {switchboard.trouble}" if switchboard.trouble else ""
        for remote, through in (item for desk in switchboard.desks.values() for item in desk.states.items()):
            trouble += f"  {remote}: {through or 'begun'}"
        return (
            f"{done}{goal} rows  {rejects} rejected  {tally.calls} calls ({tally.calls / elapsed:.0f}/s)  "
            f"{tally.from_ledger} from ledger  {tally.tokens_in + tally.tokens_out:,} tokens  {money}  {left}{trouble}"
        )

    async def _log(self) -> None:
        while True:
            await asyncio.sleep(SECONDS_BETWEEN_LINES)
            print(self.line(), file=sys.stderr, flush=True)

    async def _live(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
            while True:
                live.update(Text(self.line()), refresh=True)
                await asyncio.sleep(0.2)
