"""What a rehearsal can be told to do wrong, and when it does it."""

import hashlib
import math
import random
from typing import Literal, NamedTuple, Self, get_args

from pydantic import Field, model_validator

from schemas.base import Record

Fault = Literal[
    "throttled", "server_error", "cut", "slow_body", "broken_json", "truncated", "not_a_completion", "flawed_item"
]

FAULTS: tuple[Fault, ...] = get_args(Fault)


class Manners(Record):
    """How the rehearsal behaves: latency, and the share of answers with each fault.

    The shares of `FAULTS` add up to at most 1. They hold online and in batches, where a connection cannot be cut or
    slow; what only batches do wrong stands apart from that sum.
    """

    latency: float = Field(default=0.0, ge=0)
    """Median seconds before an answer."""
    spread: float = Field(default=0.0, ge=0)
    """Sigma of the log-normal latency."""
    throttled: float = Field(default=0.0, ge=0, le=1)
    """Share of 429 answers."""
    retry_after: float = Field(default=0.0, ge=0)
    """Seconds in the Retry-After header of a 429."""
    server_error: float = Field(default=0.0, ge=0, le=1)
    """Share of 503 answers."""
    cut: float = Field(default=0.0, ge=0, le=1)
    """Share of connections closed in the middle of the body."""
    slow_body: float = Field(default=0.0, ge=0, le=1)
    """Share of answers that trickle in over a second."""
    broken_json: float = Field(default=0.0, ge=0, le=1)
    """Share of structured answers that are no JSON."""
    truncated: float = Field(default=0.0, ge=0, le=1)
    """Share of answers cut at their length limit."""
    not_a_completion: float = Field(default=0.0, ge=0, le=1)
    """Share of 200 answers that are no chat completion."""
    flawed_item: float = Field(default=0.0, ge=0, le=1)
    """Share of lists with an item outside the schema."""
    batch_seconds: float = Field(default=0.2, ge=0)
    """Seconds from the creation of a batch to its results; more when there is more to write than fits."""
    batch_expired: float = Field(default=0.0, ge=0, le=1)
    """Share of a batch's requests that are unfinished when it ends; a batch with one of them ends as expired."""
    batch_failed: float = Field(default=0.0, ge=0, le=1)
    """Share of batches refused for too many enqueued tokens; the first, then spread evenly."""
    answer_chars: int | None = Field(default=None, gt=0)
    """About how many characters a free answer has."""
    obey: bool = False
    """Follow instructions found inside the data it is given, as a gullible model would."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        total = sum(getattr(self, fault) for fault in FAULTS)
        if total > 1:
            raise ValueError(f"the shares of all faults must add up to at most 1, got {total:g}")
        return self


class Turn(NamedTuple):
    """What happens to one request."""

    fault: Fault | None
    delay: float


def turn(manners: Manners, body: bytes, attempt: int) -> Turn:
    """The fate of a request: depends on what it says and how often it came, never on the clock."""
    rng = random.Random(hashlib.sha256(body + attempt.to_bytes(4, "big")).digest())
    delay = manners.latency * math.exp(rng.gauss(0.0, manners.spread)) if manners.latency else 0.0
    drawn = rng.random()
    for fault in FAULTS:
        drawn -= getattr(manners, fault)
        if drawn < 0:
            return Turn(fault, delay)
    return Turn(None, delay)


def unfinished(manners: Manners, body: bytes, attempt: int) -> bool:
    """Whether a request in a batch is left over when the batch ends; like `turn`, it is another draw each time."""
    rng = random.Random(hashlib.sha256(b"batch_expired" + body + attempt.to_bytes(4, "big")).digest())
    return rng.random() < manners.batch_expired


def refused(manners: Manners, number: int) -> bool:
    """Whether the batch that is created as the `number`th, from 1, fails validation."""
    share = manners.batch_failed
    return math.ceil(number * share) > math.ceil((number - 1) * share)
