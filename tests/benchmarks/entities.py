"""How fast texts are read, and how much of what doctors marked in real consultations is found.

    python tests/benchmarks/entities.py --data ../shared/data

Truth: CMDD's own labels of symptoms and diseases (paediatric dialogues, dev split), a character each; type 1 is present,
2 absent, 3 unsure or asked. Even-numbered dialogues were looked at while the lists were written, odd ones were not.
CMDD calls absent
(2) also what a question merely names (发烧吗?), so absence is counted outside questions too. A sentence whose labels are
longer or shorter than it is left out and counted.
"""

import argparse
import csv
import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from wilson import interval

from builders.engine.entities.lexicon import Lexicon
from builders.engine.entities.mentions import Mention

TEXTS = 20_000
LENGTH = 150
QUESTION = re.compile(r"[?？吗么]|有没有|有无|是否|[不没]$")


class Sentence(NamedTuple):
    """A labelled sentence: spans and what each says of the finding."""

    text: str
    spans: Sequence[tuple[int, int]]
    types: Sequence[str]


def sentences(folder: Path, odd: bool, skipped: list[str]) -> Iterator[Sentence]:
    """Of every other dialogue."""
    for number, path in enumerate(sorted(folder.glob("*.json"))):
        if number % 2 == odd:
            for said in json.loads(path.read_text(encoding="utf-8"))["dialogue-content"]:
                if len(said["label"]) != len(said["sentence"]):
                    skipped.append(said["sentence"])
                    continue
                spans = list(spans_of(said["label"]))
                yield Sentence(said["sentence"], spans, [str(one) for one in said["type"]])


def spans_of(label: str) -> Iterator[tuple[int, int]]:
    """From B and I marks."""
    start = None
    for at, mark in enumerate(label + "O"):
        if mark != "I" and start is not None:
            yield start, at
            start = None
        if mark == "B" or (mark == "I" and start is None):
            start = at


def overlap(one: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    """Any character in common."""
    return any(one[0] < end and start < one[1] for start, end in others)


class Tally(NamedTuple):
    """Counts over sentences."""

    gold: int
    hit: int
    exact: int
    found: int
    right: int
    right_exact: int
    absent: int
    absent_seen: int
    present: int
    present_seen: int
    stated: int
    stated_seen: int


def tally(lexicon: Lexicon, labelled: Iterable[Sentence]) -> Tally:
    """Spans of disease and symptom, and what is said of them."""
    counts = [0] * 12
    for said in labelled:
        mentions = [one for one in lexicon.mentions(said.text) if one.kind in {"disease", "symptom"}]
        spans = [(one.start, one.end) for one in mentions]
        counts[0] += len(said.spans)
        counts[1] += sum(overlap(gold, spans) for gold in said.spans)
        counts[2] += sum(gold in spans for gold in said.spans)
        counts[3] += len(spans)
        counts[4] += sum(overlap(span, said.spans) for span in spans)
        counts[5] += sum(span in said.spans for span in spans)
        if len(said.types) == len(said.spans):
            for gold, kind in zip(said.spans, said.types, strict=True):
                negated = [one.negated for one in mentions if overlap(gold, [(one.start, one.end)])]
                if negated and kind in {"1", "2"}:
                    counts[6 if kind == "2" else 8] += 1
                    counts[7 if kind == "2" else 9] += all(negated) if kind == "2" else not any(negated)
                if negated and kind == "2" and not QUESTION.search(said.text):
                    counts[10] += 1
                    counts[11] += all(negated)
    return Tally(*counts)


def rows(name: str, found: Tally) -> Iterator[str]:
    """Lines of the table."""
    for figure, part, whole in (
        ("recall, overlap", found.hit, found.gold),
        ("recall, exact", found.exact, found.gold),
        ("precision, overlap", found.right, found.found),
        ("precision, exact", found.right_exact, found.found),
        ("absent (type 2) read as negated", found.absent_seen, found.absent),
        ("absent, not in a question, read as negated", found.stated_seen, found.stated),
        ("present (type 1) read as not negated", found.present_seen, found.present),
    ):
        yield f"| {name} | {figure} | {part} / {whole} | {interval(part, whole)} |"


def speed(lexicon: Lexicon, texts: Sequence[str]) -> str:
    """Texts a second on one core, full analysis."""
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        for text in texts:
            lexicon.mentions(text)
        best = max(best, len(texts) / (time.perf_counter() - started))
    return f"{best:,.0f}"


def real_texts(path: Path) -> list[str]:
    """Answers cut into pieces of about 150 characters."""
    with path.open(encoding="gb18030", newline="") as file:
        joined = "".join(row[3] for row in list(csv.reader(file))[1:])
    return [joined[at : at + LENGTH] for at in range(0, len(joined), LENGTH)][:TEXTS]


def main() -> None:
    """Print both tables."""
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--data", type=Path, required=True, help="folder of real data")
    flags.add_argument("--missed", action="store_true", help="list what was missed in the even-numbered dialogues")
    asked = flags.parse_args()
    graph = asked.data / "t_zhan_kg" / "entity"
    lexicons = {"built-in": Lexicon.built_in(), "built-in + t_zhan_kg": Lexicon.read([graph])}
    texts = real_texts(next((asked.data / "toyhom_zh_qa").glob("*.csv")))
    print(f"| lists | names | texts a second ({len(texts):,} of {LENGTH} characters) |\n|---|---|---|")
    for name, lexicon in lexicons.items():
        print(f"| {name} | {len(lexicon):,} | {speed(lexicon, texts)} |")
    print("\n| lists | figure | count | 95 % interval |\n|---|---|---|---|")
    folder = asked.data / "chineseblue_cmdd_dev" / "dev"
    for odd in (False, True):
        skipped: list[str] = []
        labelled = list(sentences(folder, odd, skipped))
        for name, lexicon in lexicons.items():
            half = "odd" if odd else "even"
            print("\n".join(rows(f"{name}, {half} dialogues", tally(lexicon, labelled))))
        print(f"\n{len(skipped)} sentences left out: labels of another length\n")
        if asked.missed and not odd:
            list_missed(lexicons["built-in"], labelled)


def list_missed(lexicon: Lexicon, labelled: Sequence[Sentence]) -> None:
    """Marked but not found, and found but not marked, most frequent first."""
    from collections import Counter

    missed, false = Counter[str](), Counter[str]()
    for said in labelled:
        mentions: list[Mention] = [one for one in lexicon.mentions(said.text) if one.kind in {"disease", "symptom"}]
        spans = [(one.start, one.end) for one in mentions]
        missed.update(said.text[start:end] for start, end in said.spans if not overlap((start, end), spans))
        false.update(one.text for one, span in zip(mentions, spans, strict=True) if not overlap(span, said.spans))
    print(missed.most_common(150), false.most_common(80), sep="\n")


if __name__ == "__main__":
    main()
