"""Texts that are near to each other, the slow and obvious way to find them, and the command as the dedup tests call it."""

import contextlib
import io
import json
import os
import random
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import ROOT, Outcome, outcome
from tables import lines, written

from builders.dedup import Dedup, main
from builders.engine.dedup.folding import simplified
from schemas.settings import run_command

LETTERS = "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好看起发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间斯知世什两次使身者被高已亲其进此话常与活正感"
RARE = [chr(point) for point in range(0x4E00, 0x9F00) if point not in simplified()]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def command(*arguments: object) -> list[str]:
    """`python -m builders.dedup …`."""
    return [sys.executable, "-m", "builders.dedup", *map(str, arguments)]


def dedup(*arguments: object, **more: str) -> Outcome:
    """The command in a process of its own; `more` is for its environment."""
    environment = {**ENVIRONMENT, **more}
    done = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, check=False)
    return outcome(done.returncode, done.stderr, done.stdout)


def here(*arguments: object) -> Outcome:
    """The command in this process, where a bug is a traceback and starting costs nothing."""
    out, talk = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(talk), pytest.raises(SystemExit) as ended:
        run_command(Dedup, main, [str(argument) for argument in arguments])
    return outcome(ended.value.code, talk.getvalue(), out.getvalue())


def refused(*arguments: object) -> str:
    """What the command says of bad input: its last line, nothing like a traceback before it, nothing on stdout."""
    done = dedup(*arguments)
    assert (done.code, done.said) == (2, {})
    return message(done.talk)


def message(talk: str) -> str:
    """The one line that says what is wrong; before it stands the plan at most."""
    *plan, last = talk.splitlines()
    assert not [line for line in plan if line.startswith((" ", "Traceback", "dedup:", "Exception"))], talk
    assert last.startswith("dedup: "), talk
    return last.removeprefix("dedup: ")


def given(name: str, rows: Iterable[dict]) -> str:
    """A JSON Lines file of these rows."""
    written(name, lines(*rows))
    return name


def texts_file(name: str, texts: Iterable[str]) -> str:
    """A JSON Lines file of id and text."""
    return given(name, ({"id": number, "text": text} for number, text in enumerate(texts)))


def table(path: object) -> list[dict]:
    """The rows of a Parquet file."""
    return pq.read_table(path).to_pylist()


def kept(out: str = "build/dedup", column: str = "id") -> list:
    return [row[column] for row in table(f"{out}/kept.parquet")]


def removed(out: str = "build/dedup") -> list[dict]:
    return table(f"{out}/removed.parquet")


def report(out: str = "build/dedup") -> dict:
    return json.loads(Path(out, "report.json").read_text(encoding="utf-8"))


def folded(text: str) -> str:
    """NFKC, case folded, simplified, letters and digits alone; what nothing is left of stays."""
    kept = unicodedata.normalize("NFKC", text).casefold().translate(simplified())
    return re.sub(r"[\W_]+", "", kept) or text


def shingles(text: str, ngram: int = 5) -> frozenset[str]:
    letters = folded(text)
    return frozenset(letters[at : at + ngram] for at in range(max(1, len(letters) - ngram + 1)))


def jaccard(one: str, other: str, ngram: int = 5) -> Fraction:
    a, b = shingles(one, ngram), shingles(other, ngram)
    return Fraction(len(a & b), len(a | b))


def near_pairs(texts: Sequence[str], threshold: str, ngram: int = 5) -> dict[tuple[int, int], Fraction]:
    """Every (later, earlier) pair at or above the threshold, with its similarity."""
    sets, least, near = [shingles(text, ngram) for text in texts], Fraction(threshold), {}
    for one, a in enumerate(sets):
        for other, b in enumerate(sets[:one]):
            if len(a & b) >= least * len(a | b):
                near[one, other] = Fraction(len(a & b), len(a | b))
    return near


def leader(count: int, near: dict[tuple[int, int], Fraction]) -> dict[int, int]:
    """Removed to twin: what is near to nothing kept before it is kept."""
    twins: dict[int, int] = {}
    for one in range(count):
        for other in range(one):
            if other not in twins and (one, other) in near:
                twins[one] = other
                break
    return twins


def components(count: int, near: Iterable[tuple[int, int]]) -> dict[int, int]:
    """Removed to the first of its connected component."""
    parent = list(range(count))

    def root(one: int) -> int:
        return one if parent[one] == one else root(parent[one])

    for one, other in near:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    return {one: root(one) for one in range(count) if root(one) != one}


def sentence(draw: random.Random, least: int = 18, most: int = 45) -> str:
    return "".join(draw.choices(LETTERS, k=draw.randint(least, most)))


def sentences(seed: int, count: int) -> list[str]:
    """Chinese sentences, most of them an earlier one with an edit or several, some a copy but for punctuation."""
    draw = random.Random(seed)
    texts = [sentence(draw) for _ in range(count // 8)]
    while len(texts) < count:
        letters = list(draw.choice(texts))
        for _ in range(draw.randint(0, 3)):
            at = draw.randrange(len(letters))
            letters[at : at + draw.randint(0, 2)] = draw.choices(LETTERS, k=draw.randint(0, 2))
        texts.append("".join(letters) + draw.choice(["", "。", "？！"]))
    draw.shuffle(texts)
    return texts


def distinct(count: int, first: int = 0) -> str:
    """A text in which no character comes twice, and none is traditional; another `first`, other characters."""
    return "".join(RARE[first : first + count])
