"""Names of diseases, symptoms, drugs and tests, from word lists that anybody can write.

    腹泻 = 拉肚子, 拉稀          a canonical name and its aliases
    百日咳                       or a name alone; # opens a comment

The file name says the kind: diseases.txt, 疾病.txt, symptoms.txt, 疾病症状.txt, drugs.txt, 药品.txt, tests.txt, 检查项目.txt.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, Self

from builders.engine.entities import negation, quantities, sides
from builders.engine.entities.automaton import HEAD, Words
from builders.engine.entities.mentions import Mention, folded
from builders.engine.entities.preparations import DOSAGE_FORM, unknown_drugs, without_form
from schemas.settings import InputError

BUILT_IN = Path(__file__).parent / "words"
KINDS = {
    "症状": "symptom",
    "symptom": "symptom",
    "疾病": "disease",
    "disease": "disease",
    "药": "drug",
    "drug": "drug",
    "检查": "test",
    "test": "test",
}
"""Part of a file name -> kind, the first that fits: 疾病症状.txt holds symptoms."""
TOO_COMMON = frozenset((BUILT_IN / "common.txt").read_text(encoding="utf-8").split())
"""Words of real lists that are everyday language: as entities they would mostly be false."""
LONGEST = 40
_NOTE = re.compile(r"[（(].*?[)）]")


class Name(NamedTuple):
    """What a word stands for."""

    kind: str
    value: str


class Entry(NamedTuple):
    """One line of a list."""

    kind: str
    value: str
    aliases: tuple[str, ...]


class Lexicon:
    """All that can be recognised. Built once, used for many texts."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Of two entries with a word in common the first one has it."""
        self.skipped: set[str] = set()
        """Names left out: single characters, and words too common to mean a disease or a test."""
        self._names: dict[str, Name] = {}
        for entry in entries:
            self._add(entry)
        self._words = Words(self._names)

    @classmethod
    def built_in(cls) -> Self:
        """The lists that come with the package."""
        return cls(_built_in())

    @classmethod
    def read(cls, paths: Sequence[Path], *, built_in: bool = True) -> Self:
        """Lists of one's own: files, or folders of them, after the built-in ones unless told otherwise."""
        own = [entry for path in paths for file in _files(path) for entry in _entries(file)]
        return cls([*(_built_in() if built_in else ()), *own])

    def __len__(self) -> int:
        return len(self._names)

    def mentions(self, text: str) -> list[Mention]:
        """Everything the text speaks of, in order."""
        plain = folded(text)
        named = list(self._named(plain))
        hidden = negation.hide(plain, ((start, end) for _, start, end, _ in named))
        amounts = [(found.kind, found.start, found.end, found.value) for found in quantities.find(hidden)]
        sided = [("side", *found) for found in sides.find(plain) if hidden[found.start] != negation.HIDDEN]
        denied = _Denied(negation.denials(hidden), hidden)
        return sorted(
            (
                Mention(kind, start, end, text[start:end], value, denied(kind, start, end))
                for kind, start, end, value in (*named, *amounts, *sided)
            ),
            key=lambda mention: (mention.start, mention.end),
        )

    def _add(self, entry: Entry) -> None:
        value = self._canonical(entry)
        for written in (entry.value, *entry.aliases):
            word = folded(written)
            if len(word) < HEAD or len(word) > LONGEST or word in TOO_COMMON:
                self.skipped.add(written)
            else:
                self._names.setdefault(word, Name(entry.kind, value))

    def _canonical(self, entry: Entry) -> str:
        """A drug goes by its name without its form; where an earlier list knows the name, by that list's."""
        bare = without_form(entry.value) if entry.kind == "drug" else entry.value
        for name in (entry.value, bare):
            known = self._names.get(folded(name))
            if known and known.kind == entry.kind:
                return known.value
        return entry.value if entry.aliases or len(bare) <= HEAD else bare

    def _named(self, plain: str) -> Iterator[tuple[str, int, int, str]]:
        last = 0
        for start, end, name in self._words.find(plain):
            if start < last:  # 软膏 of 红霉素软膏
                continue
            yield from unknown_drugs(plain, last, start)
            form = DOSAGE_FORM.match(plain, end) if name.kind == "drug" else None
            last = form.end() if form else end
            yield name.kind, start, last, name.value
        yield from unknown_drugs(plain, last, len(plain))


class _Denied:
    """Which places of a text are denied."""

    def __init__(self, found: Iterable[negation.Denial], hidden: str) -> None:
        self._forward: list[tuple[int, int]] = []
        self._gone: list[tuple[int, int]] = []
        """发烧没有: any finding may stand before it."""
        self._barred: list[tuple[int, int]] = []
        """头孢不能吃: a drug or a procedure, but 咳嗽不用吃药 denies no cough."""
        for denial in found:
            if negation.LIMITS.match(hidden, denial.cue):
                continue
            reach = hidden[denial.start : denial.end]
            self._forward.append((denial.start, denial.end))
            if negation.says_nothing(reach):
                place = (max(denial.before, denial.cue - negation.BACK), denial.cue)
                (self._gone if hidden[denial.cue] in "没无未排否" else self._barred).append(place)

    def __call__(self, kind: str, start: int, end: int) -> bool:
        if kind not in {"disease", "symptom", "drug", "test"}:
            return False
        before = self._gone if kind in {"disease", "symptom"} else [*self._gone, *self._barred]
        return any(first <= start and end <= last for first, last in (*self._forward, *before))


@cache
def _built_in() -> tuple[Entry, ...]:
    return tuple(
        entry for kind in ("drugs", "diseases", "tests", "symptoms") for entry in _entries(BUILT_IN / f"{kind}.txt")
    )


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_file():
        _kind(path)
        return [path]
    known = [file for file in sorted(path.glob("*.txt")) if _kind_of(file)]
    if not known:
        raise InputError(f"{path}: no list of diseases, symptoms, drugs or tests (.txt) in this folder")
    return known


def _kind_of(file: Path) -> str | None:
    return next((kind for part, kind in KINDS.items() if part in file.stem.lower()), None)


def _kind(file: Path) -> str:
    kind = _kind_of(file)
    if kind is None:
        raise InputError(f"{file}: the file name must say disease, symptom, drug or test (疾病, 症状, 药品, 检查)")
    return kind


def _entries(file: Path) -> Iterator[Entry]:
    kind = _kind(file)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as wrong:
        raise InputError(f"{file}: not UTF-8 text (byte {wrong.start})") from None
    for number, line in enumerate(lines, start=1):
        content = line.partition("#")[0].strip()
        if content:
            yield _entry(kind, content, f"{file}: line {number}")


def _entry(kind: str, content: str, place: str) -> Entry:
    name, equals, rest = (part.strip() for part in content.partition("="))
    aliases = [alias.strip() for alias in re.split("[,，]", rest)] if equals else []
    if not name or not all(aliases):
        raise InputError(f"{place}: expected a name, or name = alias, alias; got {content!r}")
    bare = _NOTE.sub("", name).strip().removesuffix("...")
    return Entry(kind, bare or name, tuple(alias for alias in (*aliases, name) if alias != bare))
