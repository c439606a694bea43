"""All data sets of a run rendered into token ids, drawn in their shares, put in one order, and held against their evaluation sets."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from schemas.settings import InputError
from trainers.engine.data import Rendered, Renderer
from trainers.engine.rows.chat_rows import first_asked
from trainers.engine.rows.data_sets import Conversation, Opened, Split, Unreadable, general_probe
from trainers.engine.rows.encoding import Encoded, encode, put_in_order
from trainers.engine.rows.leaks import Leak, Text, shared
from trainers.engine.rows.mixture import Mix, mixed
from trainers.engine.rows.tally import Tally

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Say = Callable[[str], None]
MEASURED = ("held_out", "general")
"""Held-out rows of the data sets to learn from, and of those replayed against forgetting."""
SAMPLES = 2
"""Rendered rows that are shown."""


class Drawn(NamedTuple):
    """What a data set gives to a run."""

    rows: int
    """Repeats counted."""
    answer_tokens: int
    tokens: int


class Seen:
    """Counts what became of the rows of one data set, and keeps the first few that are trained on, to be shown."""

    def __init__(self, tally: Tally, name: str) -> None:
        self.samples: list[Rendered] = []
        self._tally, self._name = tally, name

    def kept(self, _: Conversation, rendered: Rendered) -> None:
        """A row that is trained on."""
        answer = sum(end - start for start, end in rendered.answers)
        self._tally.keep(self._name, tokens=len(rendered.ids), answer=answer, dropped=rendered.dropped)
        if len(self.samples) < SAMPLES:
            self.samples.append(rendered)

    def left_out(self, place: str, reason: str) -> None:
        """A row that is not, and why."""
        self._tally.leave_out(self._name, place, reason)


class Gathered(NamedTuple):
    """The training rows of all data sets, and their order."""

    parts: Sequence[Encoded]
    order: "NDArray[np.int64]"
    """(rows,): numbers that count through all parts."""
    lengths: "NDArray[np.int32]"
    """(rows,): tokens, in that order."""
    drawn: Sequence[Drawn]
    """What each data set gives."""
    samples: Sequence[Rendered]


def names_of(sets: Sequence[Opened]) -> list[str]:
    """A name for each data set that no other has."""
    names = [one.name for one in sets]
    return [name if names.count(name) == 1 else str(one.choice) for name, one in zip(names, sets, strict=True)]


def gather(sets: Sequence[Opened], renderer: Renderer, folder: Path, tally: Tally, *, seed: int, say: Say) -> Gathered:
    """Render what the mixture draws of every data set; raises InputError for shares that cannot be had."""
    shares = [one.choice.share for one in sets]
    mix = _mix([_readable(one) for one in sets], shares, seed) if any(shares) else None
    parts, samples = [], list[Rendered]()
    for number, (name, one) in enumerate(zip(names_of(sets), sets, strict=True)):
        say(f"reading {name}")
        seen = Seen(tally, name)
        wanted = None if mix is None else _wanted(mix, number, _readable(one))
        file = folder / "parts" / f"{number}-train.arrow"
        parts.append(encode(one.read("train"), renderer, file, seen, wanted=wanted))
        samples += seen.samples
    mix = mix or _mix([part.readable for part in parts], shares, seed)
    return _ordered(parts, mix, samples[:SAMPLES])


def _readable(one: Opened) -> int:
    return sum(isinstance(row, Conversation) for row in one.read("train"))


def _mix(sizes: Sequence[int], shares: Sequence[float | None], seed: int) -> Mix:
    try:
        return mixed(sizes, shares, seed)
    except ValueError as wrong:
        raise InputError(f"--data: {wrong}") from None


def _wanted(mix: Mix, number: int, size: int) -> "NDArray[np.bool_]":
    import numpy as np

    wanted = np.zeros(size, np.bool_)
    wanted[mix.rows[mix.sets == number]] = True
    return wanted


def _ordered(parts: Sequence[Encoded], mix: Mix, samples: Sequence[Rendered]) -> Gathered:
    """The order of the mixture, without the rows that were left out."""
    import numpy as np

    starts = np.concatenate(([0], np.cumsum([len(part.rows) for part in parts])))
    order = np.full(len(mix.rows), -1, np.int64)
    for number, part in enumerate(parts):
        place = np.full(part.readable, -1, np.int64)
        place[part.rows] = np.arange(len(part.rows)) + starts[number]
        of_part = mix.sets == number
        order[of_part] = place[mix.rows[of_part]]
    order = order[order >= 0]
    lengths, answers = (
        np.concatenate([getattr(part, name) for part in parts])[order] for name in ("lengths", "answers")
    )
    of_set = np.searchsorted(starts, order, side="right") - 1
    drawn = [_drawn(of_set == number, lengths, answers) for number in range(len(parts))]
    return Gathered(parts, order, lengths, drawn, samples)


def _drawn(of_set: "NDArray[np.bool_]", lengths: "NDArray[np.int32]", answers: "NDArray[np.int32]") -> Drawn:
    tokens, answer_tokens = (int(counts[of_set].sum()) for counts in (lengths, answers))
    return Drawn(int(of_set.sum()), answer_tokens, tokens)


class HeldOut(NamedTuple):
    """Rows that are kept from training to measure the loss on."""

    rows: dict[str, int]
    """Name of the set (held_out, general, general_probe) -> rows that are measured."""
    leaks: Sequence[Leak]
    """Conversations on both sides that refuse the run."""
    passed_over: int
    """Held-out rows that are near to a training row of their own data set, and are not measured on."""


def hold_out(sets: Sequence[Opened], renderer: Renderer, folder: Path, *, most: int, seed: int, say: Say) -> HeldOut:
    """Render at most `most` held-out rows of medicine and as many of general domains, and the general probe.

    Every held-out row is compared with every training row. One of the same cluster, or of another data set, refuses the
    run; one that is merely alike is not measured on.
    """
    say("comparing with the held-out rows")
    leaks = _leaks(sets)
    alike = {leak.held for leak in leaks if _forgiven(leak)}
    named = list(zip(names_of(sets), sets, strict=True))
    measured = {name: [one for one in named if one[1].choice.general == (name == "general")] for name in MEASURED}
    rows = {
        name: _measure(folder, name, _sample(_held(some, alike), most, seed), renderer)
        for name, some in measured.items()
    }
    rows["general_probe"] = _measure(folder, "general_probe", general_probe() if most else [], renderer)
    refused = [leak for leak in leaks if not _forgiven(leak)]
    return HeldOut({name: count for name, count in rows.items() if count}, refused, len(alike))


def _forgiven(leak: Leak) -> bool:
    """Alike within one data set: its splits were cut by other words than the whole."""
    return not leak.cluster and leak.among == _set_of(leak.place)


def _set_of(place: str) -> str:
    return place.partition(" | ")[0]


def _leaks(sets: Sequence[Opened]) -> list[Leak]:
    names = names_of(sets)
    held = {name: _both(name, one) for name, one in zip(names, sets, strict=True)}
    return shared((text for name, one in zip(names, sets, strict=True) for text in _texts(name, one, "train")), held)


def _both(name: str, one: Opened) -> Iterator[Text]:
    for split in ("validation", "test"):
        yield from _texts(name, one, split)


def _texts(name: str, one: Opened, split: Split) -> Iterator[Text]:
    for row in one.read(split):
        if isinstance(row, Conversation):
            whole = "\n".join(said.content for said in row.messages)
            place = f"{name} | {row.place}"
            yield Text(place, row.cluster, first_asked(row.messages), whole, f"{name}@{one.revision}")


def _held(sets: Iterable[tuple[str, Opened]], alike: set[str]) -> Iterator[Conversation]:
    for name, one in sets:
        for row in one.read("validation"):
            if isinstance(row, Conversation) and f"{name} | {row.place}" not in alike:
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


def _measure(folder: Path, name: str, rows: Sequence[Conversation | Unreadable], renderer: Renderer) -> int:
    import numpy as np

    if not rows:
        return 0
    seen = Seen(Tally(), name)
    part = encode(rows, renderer, folder / "parts" / f"0-{name}.arrow", seen)
    put_in_order(folder, name, np.arange(len(part.rows)))
    return len(part.rows)
