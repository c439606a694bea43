"""All data sets of a run rendered into token ids, drawn in their shares, put in one order, and held against their evaluation sets."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from schemas.settings import InputError
from trainers.engine.data import Rendered, Renderer
from trainers.engine.rows.chat_rows import first_asked
from trainers.engine.rows.data_sets import Conversation, Opened, Split, Unreadable, general_probe
from trainers.engine.rows.drawing import Draw, Pen
from trainers.engine.rows.encoding import SAMPLES, encode, put_in_order
from trainers.engine.rows.leaks import Leak, Shared, Text, shared
from trainers.engine.rows.mixture import Share, counts_of, mixed
from trainers.engine.rows.tally import SetTally, Tally

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Say = Callable[[str], None]
PROBE = "general_probe"
MEASURED = ("held_out", "general")
"""Held-out rows of the data sets to learn from, and of those replayed against forgetting."""
ALIKE = "alike to a training row of its own data set"


class Drawn(NamedTuple):
    """What a data set gives to a run."""

    rows: int
    """Repeats counted."""
    answer_tokens: int


class Gathered(NamedTuple):
    """The training rows of all data sets, and their order."""

    order: "NDArray[np.int64]"
    """(rows,): numbers that count through all parts."""
    lengths: "NDArray[np.int64]"
    """(rows,): tokens, in that order."""
    drawn: Sequence[Drawn]
    """What each data set gives."""
    trained: "Sequence[NDArray[np.bool_]]"
    """For each data set (size,): which of all that is read of it are trained on."""
    shares: Sequence[Share]
    """What became of every share that was asked for."""
    samples: Sequence[Rendered]


def names_of(sets: Sequence[Opened]) -> list[str]:
    """A name for each data set that no other has."""
    names = [one.name for one in sets]
    return [name if names.count(name) == 1 else str(one.choice) for name, one in zip(names, sets, strict=True)]


def gather(sets: Sequence[Opened], renderer: Renderer, folder: Path, tally: Tally, *, seed: int, say: Say) -> Gathered:
    """Render every row of the data sets without a share, and of the others as many as fill it with rows that are kept.

    Raises InputError for shares that cannot be had.
    """
    shares, names, pen = [one.choice.share for one in sets], names_of(sets), Pen(renderer, folder)
    sizes = [one.size("train") for one in sets]
    for name, share, size in zip(names, shares, sizes, strict=True):
        if share and not size:
            raise InputError(f"--data {name}: has a share, and no rows to draw")
    _counts(sizes, shares)  # what is wrong with the shares is told before anything is read
    draws: dict[int, Draw] = {}
    for number in sorted(range(len(sets)), key=lambda number: shares[number] is not None):
        say(f"reading {names[number]}")
        if shares[number] is None:
            draws[number] = pen.write_all(names[number], sets[number], tally)
            sizes[number] = len(draws[number].kept.at)
        else:
            draws[number] = pen.draw(sets[number], _counts(sizes, shares)[number], seed + number)
    counts = _counts([len(draws[number].kept.at) for number in range(len(sets))], shares)
    kept = [draws[number].first(count) for number, count in enumerate(counts)]
    for name, draw in zip(names, kept, strict=True):
        draw.tell(name, tally)
    return _ordered(sets, kept, counts, seed)


def _counts(sizes: Sequence[int], shares: Sequence[float | None]) -> list[int]:
    try:
        return counts_of(sizes, shares)
    except ValueError as wrong:
        raise InputError(f"--data: {wrong}") from None


def _ordered(sets: Sequence[Opened], draws: Sequence[Draw], counts: Sequence[int], seed: int) -> Gathered:
    """All rows in one order, and what each data set gives."""
    import numpy as np

    mix = mixed([len(draw.kept.at) for draw in draws], counts, seed)
    order, lengths = (np.zeros(len(mix.rows), np.int64) for _ in range(2))
    drawn, trained = [], []
    for number, (one, draw) in enumerate(zip(sets, draws, strict=True)):
        there = mix.sets == number
        rows = draw.kept.take(mix.rows[there])
        order[there], lengths[there] = rows.at, rows.lengths
        drawn.append(Drawn(len(rows.at), int(rows.answers.sum())))
        trained.append(np.zeros(one.size("train"), np.bool_))
        trained[-1][draw.kept.numbers] = True
    samples = [sample for draw in draws for sample in draw.samples]
    return Gathered(order, lengths, drawn, trained, _shares(sets, draws, drawn), samples[:SAMPLES])


def _shares(sets: Sequence[Opened], draws: Sequence[Draw], drawn: Sequence[Drawn]) -> list[Share]:
    total = sum(one.rows for one in drawn) or 1
    return [
        Share(name, one.choice.share, gave.rows / total, -(-gave.rows // (len(draw.kept.at) or 1)))
        for name, one, draw, gave in zip(names_of(sets), sets, draws, drawn, strict=True)
        if one.choice.share
    ]


class HeldOut(NamedTuple):
    """Rows that are kept from training to measure the loss on."""

    rows: dict[str, int]
    """Name of the set (held_out, general, general_probe) -> rows that are measured."""
    leaks: Sequence[Leak]
    """Conversations on both sides that refuse the run."""
    unmeasured: dict[str, SetTally]
    """Name of the set -> rows that would have been measured on, by reason; those that are measured are not counted."""


def hold_out(
    sets: Sequence[Opened],
    renderer: Renderer,
    folder: Path,
    *,
    most: int,
    seed: int,
    say: Say,
    trained: "Sequence[NDArray[np.bool_]] | None" = None,
) -> HeldOut:
    """Render at most `most` held-out rows of medicine and as many of general domains, and the general probe.

    Every held-out row is compared with every row that is `trained` on, as `gather` tells, or with all. One of the same
    cluster, or of another data set, refuses the run; one that is merely alike is not measured on.
    """
    say("comparing with the held-out rows")
    found = _shared(sets, trained or [None] * len(sets))
    named = list(zip(names_of(sets), sets, strict=True))
    rows, tally = dict[str, int](), Tally()
    for name in MEASURED:
        some = [one for one in named if one[1].choice.general == (name == "general")]
        sample = _sample(_held(some, found.alike, name, tally), most, seed)
        rows[name] = _measure(folder, name, sample, renderer, tally)
    rows[PROBE] = _measure(folder, PROBE, general_probe() if most else [], renderer, tally)
    return HeldOut({name: count for name, count in rows.items() if count}, found.leaks, tally.sets)


def _shared(sets: Sequence[Opened], trained: "Sequence[NDArray[np.bool_] | None]") -> Shared:
    named = list(zip(names_of(sets), sets, trained, strict=True))
    held = (text for name, one, _ in named for split in ("validation", "test") for text in _texts(name, one, split))
    return shared((text for name, one, rows in named for text in _texts(name, one, "train", rows)), held)


def _texts(name: str, one: Opened, split: Split, wanted: "NDArray[np.bool_] | None" = None) -> Iterator[Text]:
    for row in one.read(split, wanted):
        if isinstance(row, Conversation):
            whole = "\n".join(said.content for said in row.messages)
            yield Text(_place(name, row), row.cluster, first_asked(row.messages), whole, one.release)


def _place(name: str, row: Conversation) -> str:
    return f"{name} | {row.place}"


def _held(
    sets: Iterable[tuple[str, Opened]], alike: frozenset[str], measured: str, tally: Tally
) -> Iterator[Conversation]:
    """Held-out rows that can be measured on; the others are counted."""
    for name, one in sets:
        for row in one.read("validation"):
            if isinstance(row, Unreadable):
                tally.leave_out(measured, row.place, row.reason)
            elif _place(name, row) in alike:
                tally.leave_out(measured, row.place, ALIKE)
            else:
                yield row


def _sample(rows: Iterable[Conversation], most: int, seed: int) -> list[Conversation]:
    """At most so many rows, every one as likely as any other (reservoir sampling)."""
    rng = random.Random(seed)
    kept: list[Conversation] = []
    for number, row in enumerate(rows):
        if len(kept) < most:
            kept.append(row)
        elif (place := rng.randrange(number + 1)) < most:
            kept[place] = row
    return kept


def _measure(folder: Path, name: str, rows: Sequence[Conversation], renderer: Renderer, tally: Tally) -> int:
    import numpy as np

    if not rows:
        return 0
    file = folder / "parts" / f"0-{name}.arrow"
    part = encode(rows, renderer, file, lambda _, place, reason: tally.leave_out(name, place, reason))
    if len(part.rows):
        put_in_order(folder, name, np.arange(len(part.rows)))
    return len(part.rows)
