"""What a run will ask and cost: guessed before it (`--dry-run`), reckoned from real answers (`--pilot`)."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from builders.engine.ask import Heard
from builders.engine.endpoints import ServedModel
from schemas.base import Message

BYTES_A_TOKEN = 4
"""Rough: Chinese takes about 0.75 tokens a character in current vocabularies, English a token for four letters."""
CONFIDENT = 1.96
NO_PRICE = "  cost: unknown, no price for this model; give --price IN,OUT or usd_per_million in suwen.toml"


class Step(NamedTuple):
    """One kind of call: how many at least, and the tokens of one."""

    name: str
    calls: int
    tokens_in: int
    tokens_out: int
    by: str = "teacher"


class Plan(NamedTuple):
    """Every kind of call of a run."""

    steps: tuple[Step, ...]


class Interval(NamedTuple):
    """Low, expected, high."""

    low: float
    mean: float
    high: float


def tokens_of(messages: Sequence[Message]) -> int:
    """Tokens of a prompt, roughly."""
    return sum(len(said.content.encode()) for said in messages) // BYTES_A_TOKEN


class Estimate(NamedTuple):
    """What a run would ask for and cost; money is None when the price is unknown."""

    calls: int
    tokens_in: int
    tokens_out: int
    usd: float | None
    worst_usd: float | None
    """If every answer is as long as it may be."""


def estimate(plan: Plan, speakers: Mapping[str, ServedModel]) -> Estimate:
    """The plan in figures."""
    usd: float | None = 0.0
    worst: float | None = 0.0
    for step in plan.steps:
        served = speakers[step.by]
        price, limit = served.price, served.endpoint.answer_limit
        if price is None or usd is None or worst is None:
            usd = worst = None
            continue
        usd += step.calls * price.usd(step.tokens_in, step.tokens_out)
        worst += step.calls * price.usd(step.tokens_in * BYTES_A_TOKEN, limit)
    tokens_in = sum(step.calls * step.tokens_in for step in plan.steps)
    tokens_out = sum(step.calls * step.tokens_out for step in plan.steps)
    return Estimate(sum(step.calls for step in plan.steps), tokens_in, tokens_out, usd, worst)


def in_words(estimate: Estimate, plan: Plan, speakers: Mapping[str, ServedModel], rows: int | None) -> str:
    """An estimate as a person reads it."""
    models = ", ".join(dict.fromkeys(str(served) for served in speakers.values()))
    lines = [f"plan: {rows or 'all'} rows from {models}, {estimate.calls} calls at least"]
    lines += [
        f"  {step.name}: {step.calls} calls of {step.tokens_in} tokens in, {step.tokens_out} out" for step in plan.steps
    ]
    lines.append(
        f"  expected tokens: {estimate.tokens_in:,} in, {estimate.tokens_out:,} out (assumed lengths; --pilot 20 measures them)"
    )
    if estimate.usd is None:
        lines.append(NO_PRICE)
    else:
        worst = f"${estimate.worst_usd:.2f} if every answer is as long as it may be"
        lines.append(f"  cost: about ${estimate.usd:.2f} expected, {worst}")
    return "\n".join(lines)


class Reckoned(NamedTuple):
    """What a pilot says of the whole run."""

    lines: tuple[str, ...]
    """What each kind of call took."""
    usd: Interval | None
    """Cost of the whole run; None when a price is unknown."""


def reckon(
    plan: Plan, measured: Mapping[str, Sequence[Heard]], speakers: Mapping[str, ServedModel], share: Interval
) -> Reckoned:
    """The whole run by the answers of a pilot, at today's prices; `share` of what is judged becomes a row."""
    lines = []
    low = mean = high = 0.0
    unpriced = False
    for step in plan.steps:
        heard, served = measured.get(step.name, ()), speakers[step.by]
        price = served.price
        unpriced |= price is None
        if not heard:
            continue
        tokens = statistics.fmean(one.tokens_in + one.tokens_out for one in heard)
        lines.append(f"  {step.name}: {tokens:.0f} tokens a call over {len(heard)} calls")
        costs = [price.usd(one.tokens_in, one.tokens_out) if price else 0.0 for one in heard]
        low += total(costs, step.calls).low
        mean += total(costs, step.calls / share.mean).mean
        high += total(costs, step.calls / share.low).high
    return Reckoned(tuple(lines), None if unpriced else Interval(low, mean, high))


def pilot(reckoned: Reckoned, share: Interval, rows: int | None, *, accepted: int, judged: int) -> str:
    """What a pilot found, as a person reads it."""
    lines = [f"pilot: {accepted} rows accepted of {judged} judged ({share.low:.0%} to {share.high:.0%} expected)"]
    lines += reckoned.lines
    if reckoned.usd is None:
        return "\n".join([*lines, NO_PRICE])
    low, mean, high = reckoned.usd
    return "\n".join([*lines, f"  {rows or 'all'} rows: ${mean:.4f} expected, 95 % interval ${low:.4f} to ${high:.4f}"])


def total(sample: Sequence[float], calls: float) -> Interval:
    """The sum over `calls` calls like those of the sample: mean ± 1.96·s·√(n + n²/m) for n calls and a sample of m."""
    mean = statistics.fmean(sample) if sample else 0.0
    spread = statistics.stdev(sample) if len(sample) > 1 else mean
    around = CONFIDENT * spread * math.sqrt(calls + calls**2 / max(len(sample), 1))
    return Interval(max(0.0, calls * mean - around), calls * mean, calls * mean + around)


def wilson(good: int, all_of: int) -> Interval:
    """Wilson's 95 % interval of a proportion (JASA 22, 1927)."""
    if all_of == 0:
        return Interval(0.01, 1.0, 1.0)
    share, z2 = good / all_of, CONFIDENT**2
    centre = (share + z2 / (2 * all_of)) / (1 + z2 / all_of)
    half = CONFIDENT / (1 + z2 / all_of) * math.sqrt(share * (1 - share) / all_of + z2 / (4 * all_of**2))
    return Interval(max(centre - half, 0.01), max(share, 0.01), min(centre + half, 1.0))
