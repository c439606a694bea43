"""The checks before every training run: each says what it found, and any that fails refuses the run with a reason.

    tally.keep("build/set", tokens=312, answer=120, dropped=0)
    tally.leave_out("build/set", "dialogues.parquet: row 7", "longer than max_length: 3102 tokens of 2048")
    report = examine(tally, held_out=500, leaks=leaks, memory=memory_check(need, room, ways), micro=2)
    refuse(report)

A trainer with checks of its own hands them to `examine` as `extra`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.settings import InputError
from trainers.engine.memory import Estimate, Way
from trainers.engine.rows.chat_rows import UNREADABLE
from trainers.engine.rows.leaks import Leak
from trainers.engine.rows.mixture import Share
from trainers.engine.rows.tally import Lengths, SetTally, Tally, lengths_of

__all__ = ["Check", "Report", "Tally", "examine", "leak_check", "memory_check", "refuse"]

LONG = "longer than max_length"
ROW_REASONS = frozenset({LONG, UNREADABLE})
"""Reasons that lie in a row alone; every other one says that the template and the rows do not go together."""
MOST_FAULTY, MOST_LEFT_OUT = 0.01, 0.5
"""Share of a data set's rows that may fall to the template, and to reasons of their own."""


class Check(NamedTuple):
    """What one check found."""

    name: str
    passed: bool
    said: str
    """One line, with figures."""
    remedy: str = ""
    """What to do when it failed."""


@dataclass(frozen=True)
class Report:
    """All that was found before training."""

    checks: tuple[Check, ...]
    lengths: Lengths
    sets: Mapping[str, SetTally]
    samples: tuple[str, ...] = ()
    unmeasured: Mapping[str, SetTally] = field(default_factory=dict)
    """Held-out rows that nothing can be measured on."""

    @property
    def refused(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def left_out(self) -> dict[str, int]:
        """Reason to rows, the most frequent first."""
        return dict(sum((one.left_out for one in self.sets.values()), Counter[str]()).most_common())

    def text(self) -> str:
        """For people, on stderr."""
        wide = max(len(check.name) for check in self.checks)
        lines = [
            f"{'ok     ' if check.passed else 'REFUSED'}  {check.name:<{wide}}  {check.said}" for check in self.checks
        ]
        for data, one in self.sets.items():
            for reason, rows in one.left_out.most_common():
                lines += [f"left out: {rows:,} of {one.read:,} rows of {data}: {reason}", *one.shown(reason)]
        for name, one in self.unmeasured.items():
            for reason, rows in one.left_out.most_common():
                lines += [f"not measured on: {rows:,} rows of {name}: {reason}", *one.shown(reason)]
        for number, sample in enumerate(self.samples, 1):
            lines += [
                f"sample {number}, under the loss what is marked:",
                *(f"    {line}" for line in sample.split("\n")),
            ]
        return "\n".join(lines)

    def record(self) -> dict[str, Any]:
        """JSON for .run/preflight.json; samples are rows, and stay out of it."""
        quantiles = {str(share): tokens for share, tokens in self.lengths.quantiles.items()}
        return {
            "checks": [check._asdict() for check in self.checks],
            "lengths": self.lengths._asdict() | {"quantiles": quantiles},
            "data": {
                data: {
                    "read": one.read,
                    "kept": one.kept,
                    "left_out": dict(one.left_out.most_common()),
                    "examples": {
                        reason: [example.place for example in shown] for reason, shown in one.examples.items()
                    },
                }
                for data, one in self.sets.items()
            },
        }


def examine(
    tally: Tally,
    *,
    held_out: int,
    leaks: Sequence[Leak],
    memory: Check,
    micro: int,
    unmeasured: Mapping[str, SetTally] | None = None,
    shares: Sequence[Share] = (),
    samples: Sequence[str] = (),
    extra: Sequence[Check] = (),
) -> Report:
    """Everything that is known before training, judged; `held_out` rows are kept from it to measure the loss on.

    `unmeasured` are those that cannot be, by evaluation set.
    """
    lengths = lengths_of(tally, micro)
    checks = (
        _rows(tally),
        _template(tally),
        _others(tally),
        Check("lengths", passed=True, said=lengths.told()),
        *_shares(shares),
        _held_out(held_out, unmeasured or {}),
        leak_check(leaks),
        memory,
        *extra,
    )
    return Report(checks, lengths, tally.sets, tuple(samples), unmeasured or {})


def refuse(report: Report) -> None:
    """Raise InputError with one line that names every check that failed, and what to do."""
    if report.refused:
        told = (f"{check.name}: {check.said}" + f"; {check.remedy}" * bool(check.remedy) for check in report.refused)
        raise InputError("preflight: " + " | ".join(told))


def leak_check(leaks: Sequence[Leak]) -> Check:
    """Training and evaluation sets share no conversation."""
    if not leaks:
        return Check("leaks", passed=True, said="no conversation stands on both sides")
    return Check(
        "leaks",
        passed=False,
        said=f"{len(leaks):,} {_rows_word(len(leaks))} in an evaluation set too, e.g. {leaks[0].told()}",
        remedy="python -m builders.publish A B … --out DIR joins the sets, with splits cut over everything",
    )


def memory_check(need: Estimate, room: float | None, ways: Callable[[float], Sequence[Way]]) -> Check:
    """The estimate fits into `room` GiB; None where there is no GPU to fit into. `ways` is asked only when it does not."""
    if room is None:
        return Check("memory", passed=True, said=f"{need.told()} (no GPU here to hold it against)")
    if need.total <= room:
        return Check("memory", passed=True, said=f"{need.told()} of {room:.1f}")
    fit = [f"{way.flags} ({way.total:.1f} GiB)" for way in ways(room)]
    remedy = (
        f"would fit: {', '.join(fit)}" if fit else "nothing tried would fit: more or larger GPUs, or a smaller model"
    )
    return Check("memory", passed=False, said=f"{need.told()}, and a GPU has {room:.1f}", remedy=remedy)


def _rows(tally: Tally) -> Check:
    kept, read = (sum(getattr(one, name) for one in tally.sets.values()) for name in ("kept", "read"))
    why = "; ".join(f"{rows:,} {reason}" for reason, rows in tally.left_out.most_common())
    return Check(
        "rows",
        passed=kept > 0,
        said=f"{kept:,} of {read:,} kept" + f" ({why})" * bool(why),
        remedy="no row is left to train on" if why else "the data is empty",
    )


def _template(tally: Tally) -> Check:
    """Left out one by one, but more than one in a hundred means that the template, not the row, is wrong."""
    wrong = [
        _worst(data, one, faulty)
        for data, one in tally.sets.items()
        if (faulty := _without(one.left_out, ROW_REASONS)).total() > MOST_FAULTY * one.read
    ]
    rows = _without(tally.left_out, ROW_REASONS).total()
    return Check(
        "template",
        passed=not wrong,
        said="; ".join(wrong)
        if wrong
        else f"{rows:,} rows do not go with the template, no more than 1 % of any data set",
        remedy="name a template that fits with --template, or mend the rows",
    )


def _others(tally: Tally) -> Check:
    """Rows that are too long or cannot be read."""
    over = {
        data: wrong
        for data, one in tally.sets.items()
        if (wrong := one.left_out - _without(one.left_out, ROW_REASONS)).total() > MOST_LEFT_OUT * one.read
    }
    long = any(wrong[LONG] >= wrong[UNREADABLE] for wrong in over.values())
    shown = (_worst(data, tally.sets[data], wrong) for data, wrong in over.items())
    return Check(
        "left out",
        passed=not over,
        said="; ".join(shown) if over else "no more than half of any data set is too long or unreadable",
        remedy="raise --max-length" if long else "look at the rows named above, or name the right config with --data",
    )


def _worst(data: str, one: SetTally, wrong: Counter[str]) -> str:
    reason, rows = wrong.most_common(1)[0]
    first = one.examples[reason][0]
    share = f"{wrong.total():,} of {one.read:,} rows of {data} ({wrong.total() / one.read:.1%})"
    most = f"{rows:,}: " if rows < wrong.total() else ""
    return f"{share}: {most}{reason}, first {first.place}" + f" ({first.detail})" * bool(first.detail)


def _without(counts: Counter[str], reasons: frozenset[str]) -> Counter[str]:
    return Counter({reason: rows for reason, rows in counts.items() if reason not in reasons})


def _shares(shares: Sequence[Share]) -> list[Check]:
    """What became of those that were asked for; nothing when none was."""
    return [Check("shares", passed=True, said="; ".join(share.told() for share in shares))] if shares else []


def _held_out(rows: int, unmeasured: Mapping[str, SetTally]) -> Check:
    told = (
        f"{rows:,} held-out rows"
        if rows
        else "no held-out rows: nothing will show when the model starts to learn by heart"
    )
    others = [f"{count:,} of {name}: {why}" for name, one in unmeasured.items() for why, count in one.left_out.items()]
    return Check("held out", passed=True, said=told + f"; not measured on: {', '.join(others)}" * bool(others))


def _rows_word(rows: int) -> str:
    return "conversation stands" if rows == 1 else "conversations stand"
