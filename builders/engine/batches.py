"""The calls of a grid: started once each, bought ahead as far as they are surely needed, never cut off."""

import asyncio
import heapq
from collections.abc import Iterable, Sequence
from typing import Generic

from builders.engine.errors import Unpaid
from builders.engine.grid import WINDOW, Batch, Cell, Fetch, Item, size_of


class Batches(Generic[Item]):
    """Every batch fetched so far, by cell and call."""

    def __init__(self, cells: Sequence[Cell[Item]], fetch: Fetch[Item], *, at_once: int) -> None:
        self._cells = cells
        self._fetch = fetch
        self._at_once = at_once
        self._tasks: dict[tuple[int, int], asyncio.Task[Batch[Item]]] = {}
        self._in_flight = 0

    async def of(self, cell: Cell[Item], *, free: bool, enough: int | None) -> Batch[Item]:
        """The batch a cell reads next. Raises Unpaid when it must be `free` and is not in the ledger.

        While it has to be waited for, further calls are bought ahead, for about `enough` items when that is given.
        """
        task = self._start(cell, cell.call, free=free)
        if not free:
            await asyncio.sleep(0)  # a call that is in the ledger needs no waiting for
            if not task.done():
                self._buy_ahead(enough)
        try:
            return await asyncio.shield(task)
        except Unpaid:
            del self._tasks[cell.rank, cell.call]
            raise

    def fetched(self, cell: Cell[Item], calls: Iterable[int]) -> list[Batch[Item]]:
        """Batches of a cell that have come."""
        return [self._tasks[cell.rank, k].result() for k in calls]

    def bought_unread(self) -> int:
        """Calls bought in this run of which nothing was judged."""
        unread = [task for (rank, k), task in self._tasks.items() if k not in self._cells[rank].judged]
        came = [task for task in unread if task.done() and not task.cancelled() and task.exception() is None]
        return sum(task.result().bought for task in came)

    async def land(self) -> None:
        """Let calls in flight come home: they are paid for."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _start(self, cell: Cell[Item], k: int, *, free: bool = False) -> "asyncio.Task[Batch[Item]]":
        if (cell.rank, k) not in self._tasks:
            earlier = [item for batch in self.fetched(cell, range(k - WINDOW + 1)) for item in batch.items]
            task = asyncio.ensure_future(self._fetch(cell.name, k, earlier, free=free))
            task.add_done_callback(self._landed)
            self._in_flight += 1
            self._tasks[cell.rank, k] = task
        return self._tasks[cell.rank, k]

    def _landed(self, _: object) -> None:
        self._in_flight -= 1

    def _buy_ahead(self, enough: int | None) -> None:
        """Start every call that is needed even if all its items are kept, up to the calls allowed at once."""
        wanted = [
            (k, cell.rank) for cell in self._cells for k in _surely_needed(cell) if (cell.rank, k) not in self._tasks
        ]
        coming = (
            0 if enough is None else sum(size_of(k) for rank, k in self._tasks if k not in self._cells[rank].judged)
        )
        for k, rank in heapq.nsmallest(max(0, self._at_once - self._in_flight), wanted):
            if enough is not None and coming >= enough:
                return
            cell = self._cells[rank]
            self._start(cell, k)
            coming += min(size_of(k), cell.need)


def _surely_needed(cell: Cell[Item]) -> range:
    need, k = cell.need, cell.call
    while need > 0 and k < cell.call + WINDOW:
        need -= size_of(k) - (cell.position if k == cell.call else 0)
        k += 1
    return range(cell.call, k)
