"""The parts of a quota grid: cells, the batches that calls bring, and what is picked from them."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from builders.engine.errors import Reject

Item = TypeVar("Item")

SIZES = (5, 10, 20)
"""Items asked of a cell's first, second and every later call: a small quota is not made to pay for twenty."""
WINDOW = 8
"""Calls of one cell that may be in flight: call k looks at the items of calls up to k - 8."""
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
class Cell(Generic[Item]):
    """One cell of the grid while it is filled."""

    name: str
    rank: int
    """Place in the order that breaks ties."""
    asked: int
    """Rows asked of it at first."""
    quota: int
    """Rows it has to give now: more than asked when others ran dry, fewer when it did."""
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
    judged: dict[int, int] = field(default_factory=dict)
    """Items judged, per call."""
    good: dict[int, int] = field(default_factory=dict)
    """Items kept, per call."""
    last_kept: tuple[int, int] = (-1, -1)
    """(call, position) of the last item kept so far."""
    rejects: "list[tuple[Picked[Item], Reject]]" = field(default_factory=list)
    """Verdicts on items after the last one kept; they count once a later item is kept."""

    @property
    def need(self) -> int:
        """Rows still missing."""
        return 0 if self.saturated else self.quota - self.accepted

    def count(self, call: int, *, good: int) -> None:
        """Enter one verdict on an item of a call."""
        self.judged[call] = self.judged.get(call, 0) + 1
        self.good[call] = self.good.get(call, 0) + good
        self.accepted += good

    def calls_that_count(self) -> list[int]:
        """Calls up to the last item kept; all that were read when the cell could not be filled."""
        unfilled = self.saturated or self.need > 0
        return [k for k in self.judged if unfilled or k <= self.last_kept[0]]

    def is_dry(self) -> bool:
        """Whether the calls read to their end lately gave almost nothing."""
        last = range(self.call - SATURATED_CALLS, self.call)
        if last.start < 0 or self.held:
            return False
        judged = sum(self.judged.get(k, 0) for k in last)
        return sum(self.good.get(k, 0) for k in last) < SATURATED_BELOW * max(judged, 1)
