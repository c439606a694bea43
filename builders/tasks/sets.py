"""Labelled sets: for each, which task it is, what its labels may be, and how a row gives examples.

A row that says nothing of labels (a test split) raises ValueError; one that says there are none has empty labels.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from builders.sources import cmdd, imcs21
from builders.sources.consultations import RawRow
from builders.sources.fields import columns, id_of, kind, objects, text
from builders.sources.raw_rows import raw_rows
from builders.tasks.examples import Labelled
from builders.tasks.pairs import rows_of_pairs
from schemas.task import TaskName


class TaskSet(NamedTuple):
    """A labelled set, for one task it serves."""

    name: str
    task: TaskName
    about: str
    license: str
    """As its publisher states it; empty when none is stated."""
    choices: tuple[str, ...]
    examples: Callable[[Mapping[str, Any]], Iterable[Labelled]]
    fits: Callable[[Mapping[str, Any]], bool]
    id: str = "id"
    """Field that names a row."""
    rows: Callable[[Sequence[str], Path], Iterator[RawRow]] = raw_rows


CHOICES = tomllib.loads(Path(__file__).with_name("choices.toml").read_text(encoding="utf-8"))
CMEEE: dict[str, str] = CHOICES["entities"]
PREDICATES: tuple[str, ...] = tuple(CHOICES["predicates"])
INTENTS: tuple[str, ...] = tuple(CHOICES["intents"])
SECTIONS: tuple[str, ...] = tuple(CHOICES["sections"])
SAME: dict[str, str] = CHOICES["same"]
OVERLAP: dict[str, str] = CHOICES["overlap"]


def _cmeee(row: Mapping[str, Any]) -> Iterator[Labelled]:
    said = text(row, "text")
    found = []
    for entity in objects(row, "entities"):
        mention, type_ = text(entity, "entity"), text(entity, "type")
        if type_ not in CMEEE:
            raise ValueError(f"entities: unknown type {type_!r}")
        if mention not in said:
            raise ValueError(f"entities: {mention!r} is not in the text")
        found.append((entity.get("start_idx") or 0, CMEEE[type_], mention))
    yield Labelled(said, entities([(of, mention) for _, of, mention in sorted(found)], tuple(CMEEE.values())))


def entities(found: Iterable[tuple[str, str]], choices: Sequence[str]) -> list[dict[str, str]]:
    """(kind, mention) in the order of the text, as labels: kind by kind, each mention once."""
    once = list(dict.fromkeys(found))
    return [{"kind": choice, "text": mention} for choice in choices for of, mention in once if of == choice]


def _cmdd(row: Mapping[str, Any]) -> Iterator[Labelled]:
    for number, bubble in enumerate(objects(row, "dialogue-content"), 1):
        said = text(bubble, "sentence")
        if not said:
            continue
        try:
            marks = cmdd.spans(bubble)
        except ValueError as wrong:
            yield Labelled(said, None, str(number), ("labels do not fit", str(wrong)))
            continue
        found = [(cmdd.KIND, said[mark.start : mark.end]) for mark in marks]
        yield Labelled(said, entities(found, (cmdd.KIND,)), str(number))


def _cmdd_terms(row: Mapping[str, Any]) -> Iterator[Labelled]:
    for number, bubble in enumerate(objects(row, "dialogue-content"), 1):
        said = text(bubble, "sentence")
        marks = cmdd.utterance(bubble).spans if said else ()
        terms = {(said[mark.start : mark.end], mark.value): None for mark in marks if mark.value}
        for place, (mention, term) in enumerate(terms, 1):
            yield Labelled(f"原话：{said}\n说法：{mention}", [term], f"{number}/{place}")


def _cmeie(row: Mapping[str, Any]) -> Iterator[Labelled]:
    triples = []
    for spo in objects(row, "spo_list"):
        object_ = spo.get("object")
        end = text(object_, "@value") if isinstance(object_, dict) else text(spo, "object")
        predicate = text(spo, "predicate").replace("(", "（").replace(")", "）")
        if predicate not in PREDICATES:
            raise ValueError(f"spo_list: unknown predicate {predicate!r}")
        triples.append((text(spo, "subject"), predicate, end))
    labels = [dict(zip(("subject", "predicate", "object"), triple, strict=True)) for triple in dict.fromkeys(triples)]
    yield Labelled(text(row, "text"), labels)


def _qic(row: Mapping[str, Any]) -> Iterator[Labelled]:
    label = text(row, "label").replace("疾病描述", "疾病表述")  # the set's readme and its files differ
    yield Labelled(text(row, "query"), [_known(label, dict(zip(INTENTS, INTENTS, strict=True)))])


def _pair(names: Mapping[str, str], *fields: tuple[str, str]) -> Callable[[Mapping[str, Any]], Iterator[Labelled]]:
    """Examples of a set whose questions stand in the first of these pairs of fields that a row has."""

    def examples(row: Mapping[str, Any]) -> Iterator[Labelled]:
        first, second = next((pair for pair in fields if row.get(pair[0]) is not None), fields[0])
        one, two = text(row, first), text(row, second)
        if not one or not two:
            raise ValueError(f"{second if one else first}: missing")
        yield Labelled(f"问题一：{one}\n问题二：{two}", [_known(id_of(row, "label"), names)])

    return examples


def _known(label: str, names: Mapping[str, str]) -> str:
    if label not in names:
        raise ValueError(f"label: {label!r} is none of {', '.join(names)}" if label else "label: missing")
    return names[label]


def _cdn(row: Mapping[str, Any]) -> Iterator[Labelled]:
    terms = [term.strip() for term in text(row, "normalized_result").split("##")]
    if not any(terms):
        raise ValueError("normalized_result: missing")
    yield Labelled(text(row, "text"), [term for term in terms if term])


def _mrg(row: Mapping[str, Any]) -> Iterator[Labelled]:
    said = [f"{text(turn, 'speaker')}：{text(turn, 'sentence')}" for turn in objects(row, "dialogue")]
    report = row.get("report")
    reports = [report] if isinstance(report, dict) else report
    if not isinstance(reports, list) or not reports:
        raise ValueError(f"report: expected reports, got {kind(report)}")
    seen: list[dict[str, str]] = []
    for written in reports:
        sections = {name: text(written, name).strip() for name in SECTIONS if text(written, name)}
        if sections and sections not in seen:
            seen.append(sections)
            asked = "\n".join([f"患者自述：{text(row, 'self_report')}", *said])
            yield Labelled(asked, sections, str(len(seen)))


SETS: tuple[TaskSet, ...] = (
    TaskSet(
        "cmeee", "ner", "CMeEE of CBLUE", "", tuple(CMEEE.values()), _cmeee, lambda row: columns(row, "text", "entities")
    ),
    TaskSet(
        "cmdd", "ner", "symptoms marked in CMDD", "Apache-2.0", (cmdd.KIND,), _cmdd, cmdd.FORMAT.fits, id="example-id"
    ),
    TaskSet(
        "cmeie", "relation", "CMeIE of CBLUE", "", PREDICATES, _cmeie, lambda row: columns(row, "text", "spo_list")
    ),
    TaskSet("kuake_qic", "intent", "KUAKE-QIC of CBLUE", "", INTENTS, _qic, lambda row: columns(row, "query", "label")),
    TaskSet(
        "cmedqq", "pair", "cMedQQ in ChineseBLUE, lines of label, question, question", "Apache-2.0",
        tuple(SAME.values()), _pair(SAME, ("query1", "query2")), lambda row: False, rows=rows_of_pairs,
    ),
    TaskSet(
        "kuake_qqr", "pair", "KUAKE-QQR of CBLUE", "",
        tuple(OVERLAP.values()), _pair(OVERLAP, ("query1", "query2"), ("query", "title")), lambda row: columns(row, "label") and (columns(row, "query1") or columns(row, "query", "title")),
    ),
    TaskSet(
        "chip_sts", "pair", "CHIP-STS of CBLUE", "",
        tuple(SAME.values()), _pair(SAME, ("text1", "text2")), lambda row: columns(row, "text1", "text2", "label"),
    ),
    TaskSet("chip_cdn", "normalisation", "CHIP-CDN of CBLUE", "", (), _cdn, lambda row: columns(row, "text", "normalized_result")),
    TaskSet(
        "cmdd", "normalisation", "normal forms in CMDD", "Apache-2.0", (), _cmdd_terms, cmdd.FORMAT.fits, id="example-id"
    ),
    TaskSet(
        "imcs_mrg", "report", "IMCS-MRG of CBLUE", "", SECTIONS, _mrg, imcs21.FORMAT.fits, rows=imcs21.rows
    ),
)  # fmt: skip
