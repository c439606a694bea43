"""What became of every training row while the rows were prepared: kept with its length, or left out with its reason."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

EXAMPLES = 3
QUANTILES = (50, 90, 99, 100)


class Example(NamedTuple):
    """A row that was left out."""

    place: str
    detail: str


@dataclass
class SetTally:
    """One data set: rows read, kept, and left out by reason."""

    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason, without its detail, to rows."""
    examples: dict[str, list[Example]] = field(default_factory=dict)
    """The first three of each reason."""

    @property
    def read(self) -> int:
        """Rows there were."""
        return self.kept + self.left_out.total()

    def shown(self, reason: str) -> list[str]:
        """Examples of a reason, a line each."""
        return [f"    {example.place}: {example.detail}".rstrip(": ") for example in self.examples[reason]]


@dataclass
class Tally:
    """Filled row by row while the training rows are prepared."""

    sets: dict[str, SetTally] = field(default_factory=dict)
    lengths: "array[int]" = field(default_factory=lambda: array("i"), repr=False)
    """Tokens of every row kept."""
    answer_tokens: int = 0
    shortened: int = 0
    """Conversations that lost their oldest messages, or a question that nobody answered."""
    dropped: int = 0
    """Messages they lost."""

    def keep(self, data: str, *, tokens: int, answer: int, dropped: int = 0) -> None:
        """A row of `data` is trained on: its tokens, those under the loss, and messages it lost."""
        self._of(data).kept += 1
        self.lengths.append(tokens)
        self.answer_tokens += answer
        self.shortened += dropped > 0
        self.dropped += dropped

    def leave_out(self, data: str, place: str, reason: str) -> None:
        """A row of `data` is not; the reason counts by what stands before its first colon."""
        head, _, detail = reason.partition(": ")
        one = self._of(data)
        one.left_out[head] += 1
        shown = one.examples.setdefault(head, [])
        if len(shown) < EXAMPLES:
            shown.append(Example(place, detail))

    def _of(self, data: str) -> SetTally:
        return self.sets.setdefault(data, SetTally())

    @property
    def left_out(self) -> Counter[str]:
        """Reason to rows, over all data sets."""
        return sum((one.left_out for one in self.sets.values()), Counter())


class Lengths(NamedTuple):
    """How long the rows are that are trained on, in tokens."""

    rows: int
    quantiles: Mapping[int, int]
    """Per cent -> tokens that so many rows do not exceed."""
    tokens: int
    answer_tokens: int
    shortened: int
    dropped: int
    padding: float
    """Share of what is computed that would be padding, unpacked, with rows in random order."""

    def told(self) -> str:
        """One line."""
        if not self.rows:
            return "no rows"
        places = ", ".join(
            f"{'longest' if share == 100 else f'{share} %'} {tokens:,}" for share, tokens in self.quantiles.items()
        )
        return (
            f"{self.tokens:,} tokens, {self.answer_tokens:,} under the loss; {places}; "
            f"{self.shortened:,} of {self.rows:,} shortened by {self.dropped:,} messages; {self.padding:.0%} padding unpacked"
        )


def lengths_of(tally: Tally, micro: int) -> Lengths:
    """How long the kept rows are, and what padding `micro` of them at once would cost."""
    import numpy as np

    lengths = np.frombuffer(tally.lengths, np.int32) if tally.lengths else np.zeros(0, np.int32)
    tokens = int(lengths.sum(dtype=np.int64))
    mixed = np.random.default_rng(0).permutation(lengths)
    starts = np.arange(0, len(mixed), micro)
    longest = np.maximum.reduceat(mixed, starts) if len(mixed) else mixed
    computed = int((longest * np.diff(starts, append=len(mixed))).sum(dtype=np.int64))
    places = np.percentile(lengths, QUANTILES, method="inverted_cdf") if len(lengths) else np.zeros(len(QUANTILES))
    return Lengths(
        rows=len(lengths),
        quantiles={share: int(place) for share, place in zip(QUANTILES, places, strict=True)},
        tokens=tokens,
        answer_tokens=tally.answer_tokens,
        shortened=tally.shortened,
        dropped=tally.dropped,
        padding=1 - tokens / computed if computed else 0.0,
    )
