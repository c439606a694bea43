"""What a builder hands to the engine for one run: seeds, a function that builds, and what to say at the end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from builders.engine.run import Build, InOrder, Seeds

S = TypeVar("S")


def _as_handed_out(_: object, number: int) -> str:
    return f"{number:09d}"


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Steps(Generic[S]):
    """Seeds to rows. Everything after `key` has a default that fits a builder without quotas."""

    seeds: Seeds[S]
    build: Build[S]
    key: Callable[[S], str]
    """What a seed's rows are made from; also the key of what is rejected."""
    order: Callable[[S, int], str] = _as_handed_out
    """Sort key of a seed's rows, given how many seeds were handed out before it."""
    calls_read: Callable[[], Iterable[str]] = tuple
    """Ledger keys of calls behind the seeds themselves."""
    surplus: Callable[[], int] = int
    """Calls bought in this run and not needed."""
    shortfall: Callable[[], str | None] = _nothing
    """Why there are fewer rows than asked for, or None."""
    coverage: Callable[[], dict[str, tuple[int, int]]] = dict
    """Rows asked for and reached, per cell."""


def in_order(source: Iterable[S], build: Build[S], *, key: Callable[[S], str], rows: int | None) -> Steps[S]:
    """The steps of a builder that reads a source from its beginning, until `rows` seeds gave rows or it ends.

    A builder that makes several rows of a seed counts its seeds.
    """
    seeds = InOrder(source, rows)
    return Steps(seeds=seeds, build=build, key=key, shortfall=seeds.shortfall)
