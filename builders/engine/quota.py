"""Fill a grid of cells to exactly N accepted rows, the same N whatever the latency and however many calls fly at once.

Every cell has a sequence of teacher calls; call k brings up to SIZES[k] items. Items are judged in the order
(k, cell, item), never in the order of arrival, and before anything more is bought for them. An accepted item is handed
out as a seed; once all seeds are out, their verdicts are heard together and what was lost is read further from the
same sequences. So latency decides nothing, and a cell's quota decides only how far its sequence is read.

A call may look at the items of its own cell's calls up to k - 8 and at no others: eight calls of a cell can be in
flight. While the next call has to be bought, further calls are bought ahead, and only those that are needed even if
every item of theirs is accepted.

With `paid_first`, reading starts from the ledger alone, and an item that is worth keeping but whose answer was never
bought is held back until nothing paid for is left. So a run with a looser filter than an earlier one asks nothing, and
one with a stricter filter buys the replacements and nothing else. A run that was cut off is resumed without it: then
the order is the same as if nothing had happened.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Generic

from builders.engine.batches import Batches
from builders.engine.errors import Interrupted, Reject, Unpaid
from builders.engine.grid import Cell, Fetch, Item, Judge, OnReject, Picked


class Quota(Generic[Item]):
    """The seeds of a run over a grid of cells; see the module docstring. `cells` come in the order ties are broken."""

    def __init__(
        self, cells: Sequence[str], rows: int, *, fetch: Fetch[Item], judge: Judge[Item], on_reject: OnReject[Item],
        at_once: int, stop_after: int | None = None, paid_first: bool = True,
        on_turned_down: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        each, rest = divmod(rows, len(cells))
        shares = [each + (rank < rest) for rank in range(len(cells))]
        self._cells = [Cell[Item](name, rank, shares[rank], shares[rank]) for rank, name in enumerate(cells)]
        self._batches = Batches(self._cells, fetch, at_once=at_once)
        self._judge, self._on_reject = judge, on_reject
        self._on_turned_down = on_turned_down
        self._left = stop_after
        self._order = [(0, cell.rank) for cell in self._cells]
        """Heap of (call, rank) of the cells in need; stale entries are skipped when met."""
        self._open = 0
        self._free = paid_first
        """Reading what is paid for; buying has not begun."""
        self._verdicts: list[tuple[Picked[Item], bool]] = []
        self._heard = asyncio.Event()
        self._stopped = False
        self.shortfall = 0
        """Rows that no cell could give."""

    async def __aiter__(self) -> AsyncIterator[Picked[Item]]:
        try:
            while self._left is None or self._left > 0:
                cell = self._next_cell()
                if cell is None:
                    if not await self._hear_verdicts() and not self._begin_buying():
                        break
                    continue
                picked = await self._read(cell)
                if picked is not None:
                    self._open += 1
                    self._left = None if self._left is None else self._left - 1
                    yield picked
            self._settle_rejects()
        finally:
            await self._batches.land()

    def told(self, seed: Picked[Item], accepted: bool) -> None:
        """A verdict; it counts from the next time all are in."""
        self._verdicts.append((seed, accepted))
        self._open -= 1
        self._heard.set()

    def stop(self) -> None:
        """Wait for no more verdicts."""
        self._stopped = True
        self._heard.set()

    def reached(self) -> dict[str, tuple[int, int]]:
        """Per cell: rows asked of it at first, and rows it gave."""
        return {cell.name: (cell.asked, cell.accepted) for cell in self._cells}

    def surplus(self) -> int:
        """Calls bought in this run and not needed."""
        return self._batches.bought_unread()

    def calls_read(self) -> list[str]:
        """Ledger keys of the calls up to each cell's last kept item: what the rows were made from."""
        read = [batch for cell in self._cells for batch in self._batches.fetched(cell, cell.calls_that_count())]
        return [key for batch in read for key in batch.calls]

    def saturated(self) -> list[str]:
        """Cells that ran dry."""
        return [cell.name for cell in self._cells if cell.saturated]

    def _next_cell(self) -> Cell[Item] | None:
        """The cell to read next: the one in need that has read least, ties by rank."""
        while self._order:
            call, rank = self._order[0]
            cell = self._cells[rank]
            if cell.need > 0 and not cell.blocked and call == self._place(cell):
                return cell
            heapq.heappop(self._order)
        return None

    def _place(self, cell: Cell[Item]) -> int:
        """The call that a cell reads next."""
        return cell.held[0].call if cell.held and not self._free else cell.call

    def _requeue(self, cell: Cell[Item]) -> None:
        heapq.heappush(self._order, (self._place(cell), cell.rank))

    def _begin_buying(self) -> bool:
        """Once nothing paid for is left to read: go back to what was held or blocked. False when that was done before."""
        if not self._free:
            return False
        self._free = False
        for cell in self._cells:
            cell.blocked = False
            self._retire_if_dry(cell)
            self._requeue(cell)
        return True

    async def _read(self, cell: Cell[Item]) -> Picked[Item] | None:
        """Judge the next item of a cell; None when it was not worth keeping, or there was none to judge."""
        picked = cell.held.popleft() if cell.held and not self._free else await self._next_item(cell)
        self._requeue(cell)
        if picked is None:
            return None
        try:
            measured = picked._replace(item=self._judge(picked))
        except Reject as verdict:
            cell.count(picked.call, good=0)
            if self._on_turned_down:
                self._on_turned_down(verdict.reason)
            cell.rejects.append((picked, verdict))
            return None
        if self._free and not self._judge.is_paid(picked):
            cell.held.append(picked)
            return None
        self._judge.keep(measured)
        cell.count(picked.call, good=1)
        cell.last_kept = max(cell.last_kept, (picked.call, picked.position))
        self._confirm_rejects(cell)
        return measured

    def _confirm_rejects(self, cell: Cell[Item]) -> None:
        """Report the rejects that stand before the last item kept: a cell is read no further than that."""
        confirmed = [one for one in cell.rejects if (one[0].call, one[0].position) < cell.last_kept]
        cell.rejects = [one for one in cell.rejects if (one[0].call, one[0].position) > cell.last_kept]
        for picked, verdict in confirmed:
            self._on_reject(picked, verdict)

    def _settle_rejects(self) -> None:
        """At the end: a cell that was not filled was read as far as it went, and all its rejects count."""
        for cell in self._cells:
            if cell.saturated or cell.need > 0:
                for picked, verdict in cell.rejects:
                    self._on_reject(picked, verdict)

    async def _next_item(self, cell: Cell[Item]) -> Picked[Item] | None:
        """The next item of a cell's sequence; None at the end of a call, or where it would have to be bought too early."""
        try:
            batch = await self._batches.of(cell, free=self._free, enough=self._left)
        except Unpaid:
            cell.blocked = True
            return None
        if cell.position >= len(batch.items):
            cell.judged.setdefault(cell.call, 0)
            cell.call, cell.position = cell.call + 1, 0
            self._retire_if_dry(cell)
            return None
        cell.position += 1
        return Picked(cell.name, cell.rank, cell.call, cell.position - 1, batch.items[cell.position - 1])

    async def _hear_verdicts(self) -> bool:
        """Wait for every open verdict and take back what was lost; False when there was nothing to hear."""
        while self._open and not self._stopped:
            self._heard.clear()
            await self._heard.wait()
        if self._stopped:
            raise Interrupted("told to stop")
        if not self._verdicts:
            return False
        for seed, accepted in self._verdicts:
            if not accepted:
                cell = self._cells[seed.rank]
                cell.accepted -= 1
                cell.good[seed.call] -= 1
                self._requeue(cell)
                if cell.saturated:
                    cell.quota -= 1
                    self._give_away(1)
        self._verdicts.clear()
        for cell in self._cells:
            self._retire_if_dry(cell)
        return True

    def _retire_if_dry(self, cell: Cell[Item]) -> None:
        """Saturate a dry cell; its rest goes to others."""
        if cell.need <= 0 or not cell.is_dry():
            return
        rest, cell.saturated = cell.need, True
        cell.quota = cell.accepted
        self._give_away(rest)

    def _give_away(self, rows: int) -> None:
        """Hand rows of dry cells, one at a time, to the cells with the least to do."""
        heap = [(cell.quota, cell.rank) for cell in self._cells if not cell.saturated]
        heapq.heapify(heap)
        self.shortfall += 0 if heap else rows
        for _ in range(rows if heap else 0):
            quota, rank = heapq.heappop(heap)
            self._cells[rank].quota += 1
            self._requeue(self._cells[rank])
            heapq.heappush(heap, (quota + 1, rank))
