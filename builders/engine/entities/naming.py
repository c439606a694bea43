"""Diseases, drugs and tests that one text names and the other does not, in whatever words."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from builders.engine.entities import negation
from builders.engine.entities.checks import Found
from builders.engine.entities.clauses import Reading
from builders.engine.entities.content import weight
from builders.engine.entities.mentions import Mention, folded

NAMED = ("disease", "drug", "test")
WORDS = Path(__file__).parent / "words"
IN_PASSING = frozenset((WORDS / "in_passing.txt").read_text(encoding="utf-8").split())
"""Named by every polite explanation: neither their loss nor their coming is held against a text."""
IMPLIED = {
    name: re.compile(evidence)
    for name, _, evidence in (
        line.partition(" = ") for line in (WORDS / "implied.txt").read_text(encoding="utf-8").splitlines()
    )
    if name[0] != "#"
}
"""A general name, and what says as much: 抗生素 where 头孢 stands."""
PAIR = 2
"""Characters of a name that stand together by chance."""
BESIDE = 2
"""Characters of other content in the clause of a finding."""
FINDS = re.compile("[是为像患得有]|考虑|诊断|属于|提示|可能|怀疑|排除|不|没|未|无|合并|伴")
GENERIC = str.maketrans("", "", "性病症类药物剂片的线检查治疗术部型腺期")
"""Left out of names: 缺铁贫血 is 缺铁性贫血."""


def names(one: Reading, other: Reading, *, dropped: bool) -> Iterator[Found]:
    """Diseases, drugs and tests that were dropped, or invented where `one` is the polished text."""
    gone, come = _unnamed(one, other), _unnamed(other, one)
    for mention in gone:
        exchanged = any(new.kind == mention.kind for new in come)
        if exchanged or not (_half_there(mention, other) or (dropped and _in_passing(mention, one))):
            yield mention.kind, mention.value, mention.text


def _unnamed(one: Reading, other: Reading) -> list[Mention]:
    there = {mention.value for mention in other.mentions if mention.kind in NAMED}
    return [
        mention
        for mention in one.mentions
        if mention.kind in NAMED
        and mention.value not in there
        and mention.value not in IN_PASSING
        and not _in_other_words(mention, other)
    ]


def _in_other_words(mention: Mention, other: Reading) -> bool:
    implied = IMPLIED.get(mention.value)
    return (implied is not None and implied.search(folded(other.text)) is not None) or _apart(mention, other)


def _in_passing(mention: Mention, one: Reading) -> bool:
    """A disease that is no finding of its clause but where it speaks of something else: 乳腺癌术后吃来曲唑."""
    if mention.kind != "disease":
        return False
    clause = next((clause for clause in one.clauses if clause.start <= mention.start < clause.end), None)
    beside = weight(clause.topic - {mention.value}) if clause else 0
    return beside > BESIDE and not (clause and FINDS.search(folded(one.text)[clause.start : mention.start]))


def _half_there(mention: Mention, other: Reading) -> bool:
    """Half of a name may stand for it where no other name has taken its place: 换关节, 关节置换."""
    letters = set(folded(mention.text))
    spans = ((one.start, one.end) for one in other.mentions if one.kind in {*NAMED, "symptom"})
    rest = negation.hide(folded(other.text), spans)
    pieces = [rest[clause.start : clause.end] for clause in other.clauses]
    general = mention.kind != "drug" or mention.value.endswith(("药", "剂"))
    return general and any(2 * len(letters & set(piece)) >= len(letters) for piece in pieces)


def _apart(mention: Mention, other: Reading) -> bool:
    """Said in other words (癌, 恶性肿瘤), or its characters stand apart: 肾结石, 肾脏有0.6厘米的结石."""
    if any(mention.value in clause.topic for clause in other.clauses):
        return True
    plain = folded(other.text)
    pieces = [plain[clause.start : clause.end] for clause in other.clauses]
    core = {folded(name).translate(GENERIC) for name in (mention.text, mention.value)}
    gap = ".?" if mention.kind == "drug" else ".*"
    spelled = [gap.join(map(re.escape, name)) for name in core if len(name) >= PAIR]
    if any(re.search(name, piece.translate(GENERIC)) for name in spelled for piece in pieces):
        return True
    if mention.kind == "drug":
        return False
    letters = folded(mention.text)
    joined = [one + two for one, two in zip_longest(pieces, pieces[1:], fillvalue="")]
    several = len(letters) > PAIR or mention.kind == "test"
    return several and any(set(name) <= set(piece) for name in core for piece in joined if len(name) >= PAIR)
