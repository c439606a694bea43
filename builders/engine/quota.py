"""Fill a grid of cells to exactly N accepted rows, the same N whatever the latency and however many calls fly at once.

Every cell has a sequence of teacher calls; call k brings up to SIZES[k] items. Items are judged in the order
(k, cell, item), never in the order of arrival, and before anything more is bought for them. An accepted item is handed
out as a seed; once all seeds are out, their verdicts are heard together and what was lost is read further from the
same sequences. So latency decides nothing, and a cell's quota decides only how far its sequence is read.

A call may look at the items of its own cell's calls up to k - 8 and at no others: eight calls of a cell can be in
flight. While the next call has to be bought, further calls are bought ahead, and only those that are needed even if
every item of theirs is accepted.

What is paid for comes first: reading starts from the ledger alone, and an item that is worth keeping but whose answer
was never bought is held back until nothing paid for is left. So the same run again, or one with a looser filter, asks
nothing; a run with a stricter one buys the replacements and nothing else.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from builders.engine.errors import Interrupted, Reject, Unpaid

Item = TypeVar("Item")

SIZES = (5, 10, 20)
"""Items asked of a cell's first, second and every later call: a small quota is not made to pay for twenty."""
WINDOW = 8
SATURATED_CALLS = 5
SATURATED_BELOW = 0.05
"""A cell whose last 5 calls gave under 5 % accepted rows is saturated; its rest goes to the other cells."""


def size_of(k: int) -> int:
    """Items asked of a cell's call k."""
    return SIZES[min(k, len(SIZES) - 1)]


class Batch(NamedTuple, Generic[Item]):
    """What one call brought: its items, the ledger keys behind it, and whether any of them was bought just now."""

    items: list[Item]
    calls: tuple[str, ...]
    bought: bool


class Picked(NamedTuple, Generic[Item]):
    """An item on its way to become a row, with where it stood."""

    cell: str
    rank: int
    call: int
    position: int
    item: Item

    @property
    def key(self) -> str:
        """The row key: cell/call/item."""
        return f"{self.cell}/{self.call:04d}/{self.position:02d}"

    @property
    def order(self) -> str:
        """Sort key of its row: (k, cell, item)."""
        return f"{self.call:05d}.{self.rank:06d}.{self.position:03d}"


class Fetch(Protocol[Item]):
    """Brings the items of a call."""

    async def __call__(self, cell: str, k: int, earlier: Sequence[Item], /, *, free: bool) -> Batch[Item]:
        """Items of call k of a cell, given those of its calls up to k - 8; raises Unpaid when `free` and not bought."""
        ...


class Judge(Protocol[Item]):
    """Decides which items are worth an answer."""

    def __call__(self, picked: Picked[Item], /) -> Item:
        """The item, perhaps with what was measured on it; raises Reject. Remembers nothing."""
        ...

    def keep(self, picked: Picked[Item]) -> None:
        """Remember an item that is kept: later ones are judged against it."""
        ...

    def is_paid(self, picked: Picked[Item]) -> bool:
        """Whether the item's answer is in the ledger."""
        ...


OnReject = Callable[[Picked[Item], Reject], None]


@dataclass
class _Cell(Generic[Item]):
    name: str
    rank: int
    quota: int
    accepted: int = 0
    """Items handed out whose verdict was good or is still open."""
    call: int = 0
    position: int = 0
    """Where reading goes on: item `position` of call `call`."""
    saturated: bool = False
    blocked: bool = False
    """The next call would have to be bought, and it is not yet time to buy."""
    held: "deque[Picked[Item]]" = field(default_factory=deque)
    """Items worth keeping that are not paid for, while others are."""
    batches: "dict[int, asyncio.Task[Batch[Item]]]" = field(default_factory=dict)
    judged: dict[int, int] = field(default_factory=dict)
    good: dict[int, int] = field(default_factory=dict)
    last_kept: tuple[int, int] = (-1, -1)
    """(call, position) of the last item kept so far."""
    rejects: "list[tuple[Picked[Item], Reject]]" = field(default_factory=list)
    """Verdicts on items after the last one kept; they count once a later item is kept."""

    @property
    def need(self) -> int:
        return 0 if self.saturated else self.quota - self.accepted

    def is_dry(self) -> bool:
        """Whether the calls read to their end lately gave almost nothing."""
        last = range(self.call - SATURATED_CALLS, self.call)
        if last.start < 0 or self.held:
            return False
        judged = sum(self.judged.get(k, 0) for k in last)
        return sum(self.good.get(k, 0) for k in last) < SATURATED_BELOW * max(judged, 1)


class Quota(Generic[Item]):
    """The seeds of a run over a grid of cells; see the module docstring. `cells` come in the order ties are broken."""

    def __init__(
        self, cells: Sequence[str], rows: int, *, fetch: Fetch[Item], judge: Judge[Item], on_reject: OnReject[Item],
        at_once: int, stop_after: int | None = None,
    ) -> None:  # fmt: skip
        each, rest = divmod(rows, len(cells))
        self._cells = [_Cell[Item](name, rank, each + (rank < rest)) for rank, name in enumerate(cells)]
        self._fetch, self._judge, self._on_reject = fetch, judge, on_reject
        self._at_once = at_once
        self._left = stop_after
        self._order = [(0, cell.rank) for cell in self._cells]
        """Heap of (call, rank) of the cells in need; stale entries are skipped when met."""
        self._in_flight = 0
        self._open = 0
        self._free = True
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
                        return
                    continue
                picked = await self._read(cell)
                if picked is not None:
                    self._open += 1
                    self._left = None if self._left is None else self._left - 1
                    yield picked
            self._settle_rejects()
        finally:
            await self._drain()

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
        """Per cell: rows asked of it at first or handed to it since, and rows it gave."""
        return {cell.name: (cell.quota, cell.accepted) for cell in self._cells}

    def surplus(self) -> int:
        """Calls bought in this run and never read."""
        unread = [task for cell in self._cells for k, task in cell.batches.items() if k not in cell.judged]
        finished = [task for task in unread if task.done() and not task.cancelled() and task.exception() is None]
        return sum(task.result().bought for task in finished)

    def calls_read(self) -> list[str]:
        """Ledger keys of the calls up to each cell's last kept item: what the rows were made from."""
        read = [
            cell.batches[k].result()
            for cell in self._cells
            for k in cell.judged
            if cell.saturated or cell.need > 0 or k <= cell.last_kept[0]
        ]
        return [key for batch in read for key in batch.calls]

    def saturated(self) -> list[str]:
        """Cells that ran dry."""
        return [cell.name for cell in self._cells if cell.saturated]

    def _next_cell(self) -> _Cell[Item] | None:
        """The cell to read next: the one in need that has read least, ties by rank."""
        while self._order:
            call, rank = self._order[0]
            cell = self._cells[rank]
            if cell.need > 0 and not cell.blocked and call == self._place(cell):
                return cell
            heapq.heappop(self._order)
        return None

    def _place(self, cell: _Cell[Item]) -> int:
        """The call that a cell reads next."""
        return cell.held[0].call if cell.held and not self._free else cell.call

    def _requeue(self, cell: _Cell[Item]) -> None:
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

    async def _read(self, cell: _Cell[Item]) -> Picked[Item] | None:
        """Judge the next item of a cell; None when it was not worth keeping, or there was none to judge."""
        picked = cell.held.popleft() if cell.held and not self._free else await self._next_item(cell)
        self._requeue(cell)
        if picked is None:
            return None
        try:
            measured = picked._replace(item=self._judge(picked))
        except Reject as verdict:
            self._count(cell, picked.call, good=0)
            cell.rejects.append((picked, verdict))
            return None
        if self._free and not self._judge.is_paid(picked):
            cell.held.append(picked)
            return None
        self._judge.keep(measured)
        self._count(cell, picked.call, good=1)
        cell.last_kept = max(cell.last_kept, (picked.call, picked.position))
        self._confirm_rejects(cell)
        return measured

    def _confirm_rejects(self, cell: _Cell[Item]) -> None:
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

    def _count(self, cell: _Cell[Item], call: int, *, good: int) -> None:
        cell.judged[call] = cell.judged.get(call, 0) + 1
        cell.good[call] = cell.good.get(call, 0) + good
        cell.accepted += good

    async def _next_item(self, cell: _Cell[Item]) -> Picked[Item] | None:
        """The next item of a cell's sequence; None at the end of a call, or where it would have to be bought too early."""
        try:
            batch = await self._batch(cell)
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

    async def _batch(self, cell: _Cell[Item]) -> Batch[Item]:
        task = self._started(cell, cell.call, free=self._free)
        if not self._free:
            await asyncio.sleep(0)  # a call that is in the ledger needs no waiting for
            if not task.done():
                self._buy_ahead()
        try:
            return await asyncio.shield(task)
        except Unpaid:
            del cell.batches[cell.call]
            raise

    def _started(self, cell: _Cell[Item], k: int, *, free: bool = False) -> "asyncio.Task[Batch[Item]]":
        if k not in cell.batches:
            earlier = [item for j in range(k - WINDOW + 1) for item in cell.batches[j].result().items]
            cell.batches[k] = asyncio.ensure_future(self._fetch(cell.name, k, earlier, free=free))
            cell.batches[k].add_done_callback(self._landed)
            self._in_flight += 1
        return cell.batches[k]

    def _landed(self, _: object) -> None:
        self._in_flight -= 1

    def _buy_ahead(self) -> None:
        """Start every call that is needed even if all its items are accepted, up to the calls allowed at once."""
        wanted = [(k, cell.rank) for cell in self._cells for k in self._surely_needed(cell) if k not in cell.batches]
        coming = sum(size_of(k) for cell in self._cells for k in cell.batches if k not in cell.judged)
        for k, rank in heapq.nsmallest(max(0, self._at_once - self._in_flight), wanted):
            if self._left is not None and coming >= self._left:
                return
            self._started(self._cells[rank], k)
            coming += min(size_of(k), self._cells[rank].need)

    def _surely_needed(self, cell: _Cell[Item]) -> range:
        need, k = cell.need, cell.call
        while need > 0 and k < cell.call + WINDOW:
            need -= size_of(k) - (cell.position if k == cell.call else 0)
            k += 1
        return range(cell.call, k)

    async def _hear_verdicts(self) -> bool:
        """Wait for every open verdict and take back what was lost; False when there was nothing to hear."""
        while self._open and not self._stopped:
            self._heard.clear()
            await self._heard.wait()
        if self._stopped:
            raise Interrupted("told to stop")
        if not self._verdicts:
            return False
        by_name = {cell.name: cell for cell in self._cells}
        for seed, accepted in self._verdicts:
            if not accepted:
                cell = by_name[seed.cell]
                cell.accepted -= 1
                cell.good[seed.call] -= 1
                self._requeue(cell)
        self._verdicts.clear()
        for cell in self._cells:
            self._retire_if_dry(cell)
        return True

    def _retire_if_dry(self, cell: _Cell[Item]) -> None:
        """Saturate a dry cell and hand its rest, one row at a time, to the cells with the least to do."""
        if cell.need <= 0 or not cell.is_dry():
            return
        rest, cell.saturated = cell.need, True
        cell.quota = cell.accepted
        heap = [(other.quota, other.rank) for other in self._cells if not other.saturated]
        heapq.heapify(heap)
        for _ in range(rest if heap else 0):
            quota, rank = heapq.heappop(heap)
            self._cells[rank].quota += 1
            self._requeue(self._cells[rank])
            heapq.heappush(heap, (quota + 1, rank))
        self.shortfall += 0 if heap else rest

    async def _drain(self) -> None:
        """Let calls in flight land: they are paid for."""
        tasks = [task for cell in self._cells for task in cell.batches.values()]
        await asyncio.gather(*tasks, return_exceptions=True)
