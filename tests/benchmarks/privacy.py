"""How much of what is private the de-identifier finds, how much of what it masks is private, and how fast it is.

    PYTHONPATH=. python tests/benchmarks/privacy.py --files privacy_sentences,privacy_sentences_more
    PYTHONPATH=. python tests/benchmarks/privacy.py --files privacy_sentences_held_back --totals
    PYTHONPATH=. python tests/benchmarks/privacy.py --data ../shared/data

Without --data (or SUWEN_TEST_DATA) only labelled sentences of tests/data are measured; the held-back ones
are for a last look, in totals. A span is found when a hit
overlaps it; `kind` asks for the same kind, `any` for any. Intervals are Wilson's, 95 %. With --data every row of
three real sets is masked, and some hits are shown for a person to judge.
"""

import argparse
import csv
import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from builders.engine.privacy.find import find
from builders.engine.privacy.mask import mask_all
from builders.engine.privacy.spans import LABELS, Hit

SENTENCES = Path(__file__).resolve().parent.parent / "data"
FILES = ("privacy_sentences", "privacy_sentences_more")
STRUCTURED = ("phone", "id_number", "chat", "mail", "url", "date", "record")
"""Kinds with a shape of their own."""
AROUND = 12
Z = 1.96


class Sentence(NamedTuple):
    """A labelled sentence: what is private in it, and what was found."""

    id: str
    text: str
    spans: list[Hit]
    hits: list[Hit]


class Tally(NamedTuple):
    """Of one kind: labelled spans, those found, hits, those that are right; `any` counts without asking for the kind."""

    spans: int
    found: int
    found_any: int
    hits: int
    right: int
    right_any: int

    @property
    def recall(self) -> float:
        """Of the labelled spans, the share found with their kind; 1 when there are none."""
        return self.found / self.spans if self.spans else 1.0

    @property
    def precision(self) -> float:
        """Of the hits, the share that is private and of that kind; 1 when there are none."""
        return self.right / self.hits if self.hits else 1.0


def sentences(path: Path) -> list[Sentence]:
    """The labelled sentences of a file, searched."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [Sentence(row["id"], row["text"], spans_of(row), find(row["text"])) for row in rows]


def spans_of(row: dict[str, Any]) -> list[Hit]:
    """Labelled spans with their places; a text that is listed twice stands for its first and its second place."""
    spans: list[Hit] = []
    last: dict[str, int] = {}
    for span in row["spans"]:
        start = row["text"].index(span["text"], last.get(span["text"], 0))
        last[span["text"]] = start + len(span["text"])
        spans.append(Hit(span["kind"], start, last[span["text"]], span["text"]))
    return spans


def meet(one: Hit, other: Hit, *, kind: bool) -> bool:
    """Whether two stretches overlap, and are of one kind where that is asked."""
    return one.start < other.end and other.start < one.end and (one.kind == other.kind or not kind)


def tally(labelled: list[Sentence], kinds: tuple[str, ...]) -> Tally:
    """Counts of some kinds over all sentences."""
    spans = [(span, case.hits) for case in labelled for span in case.spans if span.kind in kinds]
    hits = [(hit, case.spans) for case in labelled for hit in case.hits if hit.kind in kinds]
    counts = [
        sum(any(meet(one, other, kind=kind) for other in others) for one, others in pairs)
        for pairs in (spans, hits)
        for kind in (True, False)
    ]
    return Tally(len(spans), counts[0], counts[1], len(hits), counts[2], counts[3])


def wilson(part: int, whole: int) -> str:
    """A share and its 95 % interval (Wilson 1927), in percent."""
    if not whole:
        return "-"
    share, spread = part / whole, Z * Z / whole
    middle = (share + spread / 2) / (1 + spread)
    half = Z * (share * (1 - share) / whole + spread / whole / 4) ** 0.5 / (1 + spread)
    return f"{100 * share:.1f} ({100 * (middle - half):.0f}-{100 * (middle + half):.0f})"


def table(labelled: list[Sentence]) -> Iterator[str]:
    """A Markdown table, one row a kind."""
    yield "| kind | spans | recall, kind | recall, any | hits | precision, kind | precision, any |"
    yield "|---|---|---|---|---|---|---|"
    groups = [(kind, (kind,)) for kind in LABELS] + [("structured", STRUCTURED), ("all", tuple(LABELS))]
    for name, kinds in groups:
        row = tally(labelled, kinds)
        recall = [wilson(count, row.spans) for count in (row.found, row.found_any)]
        precision = [wilson(count, row.hits) for count in (row.right, row.right_any)]
        yield "| " + " | ".join((name, str(row.spans), *recall, str(row.hits), *precision)) + " |"


def wrong(labelled: list[Sentence]) -> Iterator[str]:
    """Each miss and each hit on nothing private."""
    for case in labelled:
        for span in case.spans:
            if not any(meet(span, hit, kind=True) for hit in case.hits):
                yield f"missed {span.kind} {span.text!r} in {case.id}: {case.text}"
        for hit in case.hits:
            if not any(meet(hit, span, kind=True) for span in case.spans):
                yield f"wrong {hit.kind} {hit.text!r} in {case.id}: {case.text}"


def dialogues(folder: Path) -> Iterator[list[str]]:
    """Every row of the real sets: the texts that belong together."""
    (path,) = folder.glob("toyhom_zh_qa/*.csv")
    with path.open(encoding="gb18030", newline="") as file:
        for row in csv.DictReader(file):
            yield [row["title"], row["ask"], row["answer"]]
    (path,) = folder.glob("huatuo26m_test_first2000/*.json")
    for row in json.loads(path.read_text(encoding="utf-8")):
        yield [*row["instruction"], *row["output"]]
    for path in sorted(folder.glob("chineseblue_cmdd_dev/dev/*.json")):
        turns = json.loads(path.read_text(encoding="utf-8"))["dialogue-content"]
        yield [turn["sentence"] for turn in turns]


def real(folder: Path, seed: int, shown: int) -> Iterator[str]:
    """Counts over the real sets, and some hits with what stands around them."""
    rows = list(dialogues(folder))
    counts: Counter[str] = Counter()
    for texts in rows:
        counts.update(mask_all(texts).counts)
    yield f"{len(rows)} real rows: " + ", ".join(f"{kind} {count}" for kind, count in counts.most_common())
    hits = [(text, hit) for texts in rows for text in texts for hit in find(text)]
    for text, hit in random.Random(seed).sample(hits, min(shown, len(hits))):
        before, after = text[max(0, hit.start - AROUND) : hit.start], text[hit.end : hit.end + AROUND]
        yield f"- {hit.kind}: {before}〖{hit.text}〗{after}".replace("\n", " ")
    yield speed(rows)


def speed(rows: list[list[str]]) -> str:
    """Texts of 150 characters a second of processor time: the real text, cut anew, the best of three."""
    whole = "\n".join(text for texts in rows for text in texts)
    texts = [whole[at : at + 150] for at in range(0, len(whole), 150)]
    seconds = []
    for _ in range(3):
        started = time.process_time()
        for text in texts:
            find(text)
        seconds.append(time.process_time() - started)
    return f"{len(texts) / min(seconds):,.0f} texts of 150 characters a second ({len(texts):,} texts)"


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SUWEN_TEST_DATA"), help="folder of real data")
    parser.add_argument("--files", default=",".join(FILES), help="which labelled files, by name")
    parser.add_argument("--totals", action="store_true", help="no list of what was missed")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--shown", type=int, default=40, help="hits to show of the real data")
    asked = parser.parse_args()
    for name in asked.files.split(",") if asked.files else []:
        labelled = sentences(SENTENCES / f"{name}.jsonl")
        print(f"\n{name}: {len(labelled)} sentences\n", *table(labelled), "", sep="\n")
        if not asked.totals:
            print(*wrong(labelled), sep="\n")
    if asked.data:
        print(*real(Path(asked.data), asked.seed, asked.shown), sep="\n")


if __name__ == "__main__":
    main()
